/*
 * mend.c
 *	  JSON whose characters PostgreSQL cannot store, made storable.
 *
 * What people type reaches us through phones and gateways that cut messages in
 * the middle of a character.  JSON allows it (RFC 8259, section 8.2), jsonb does
 * not, and one such character must not make a webhook of a thousand statuses
 * unreadable.  Each of these is replaced, in strings by U+FFFD:
 *
 *	- bytes that are no UTF-8, and the byte 0;
 *	- \u0000, and half of a surrogate pair;
 *	- a control character within a string, by a space;
 *	- a number beyond what numeric can hold, by null.
 *
 * A byte order mark at the start goes.  Everything else, valid JSON or not, stays
 * as it is.  No memory is allocated, nothing is thrown: this file is fuzzed alone.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "c.h"

#include "mb/pg_wchar.h"
#include "mend.h"

#define REPLACEMENT			"\xEF\xBF\xBD"	/* U+FFFD */
#define ESCAPED_REPLACEMENT "\\uFFFD"
#define BYTE_ORDER_MARK		"\xEF\xBB\xBF"
#define MAX_DIGITS			1000	/* of a number; numeric has room for 131,072 */
#define MAX_EXPONENT_DIGITS 4

/* What is left to read, and where to write. */
typedef struct Mending
{
	const unsigned char *in;
	const unsigned char *end;
	unsigned char *out;
} Mending;

static void
put(Mending *m, const char *bytes, size_t len)
{
	memcpy(m->out, bytes, len);
	m->out += len;
}

/* Hands on so many bytes as they are. */
static void
pass(Mending *m, size_t len)
{
	put(m, (const char *) m->in, len);
	m->in += len;
}

static int
hex_value(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The code unit of a \uXXXX that stands here, or -1. */
static int
code_unit(const unsigned char *at, const unsigned char *end)
{
	int			unit = 0;
	int			i;

	if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
		return -1;
	for (i = 2; i < 6; i++)
	{
		int			digit = hex_value(at[i]);

		if (digit < 0)
			return -1;
		unit = unit * 16 + digit;
	}
	return unit;
}

/* At a backslash within a string. */
static void
mend_escape(Mending *m)
{
	int			unit = code_unit(m->in, m->end);
	int			next;

	if (unit < 0)
	{
		/* only these two would be taken for something else, left to themselves */
		pass(m, m->end - m->in > 1 && (m->in[1] == '"' || m->in[1] == '\\') ? 2 : 1);
		return;
	}
	next = unit >= 0xD800 && unit <= 0xDBFF ? code_unit(m->in + 6, m->end) : -1;
	if (next >= 0xDC00 && next <= 0xDFFF)
		pass(m, 12);			/* a whole pair */
	else if (unit == 0 || (unit >= 0xD800 && unit <= 0xDFFF))
	{
		put(m, ESCAPED_REPLACEMENT, 6);
		m->in += 6;
	}
	else
		pass(m, 6);
}

/* One character of a string, or outside of one. */
static void
mend_character(Mending *m, bool in_string)
{
	int			len;

	if (*m->in < 0x20 && *m->in != '\0' && in_string)
	{
		put(m, " ", 1);
		m->in++;
		return;
	}
	len = *m->in == '\0' ? -1 : pg_encoding_verifymbchar(PG_UTF8, (const char *) m->in, m->end - m->in);
	if (len > 0)
		pass(m, len);
	else
	{
		put(m, REPLACEMENT, 3);
		m->in++;
	}
}

/* At the first character of a number. */
static void
mend_number(Mending *m)
{
	const unsigned char *at = m->in;
	size_t		exponent_digits = 0;
	bool		in_exponent = false;

	for (; at < m->end && (strchr("+-.eE", *at) || (*at >= '0' && *at <= '9')) && *at != '\0'; at++)
	{
		in_exponent |= (*at | 0x20) == 'e';
		exponent_digits += in_exponent && *at >= '0' && *at <= '9';
	}
	if (at - m->in > MAX_DIGITS || exponent_digits > MAX_EXPONENT_DIGITS)
	{
		put(m, "null", 4);
		m->in = at;
	}
	else
		pass(m, at - m->in);
}

/*
 * Writes JSON with what cannot be stored replaced to out, which must have
 * MENDED_SIZE(len) bytes, and returns the length of the result.
 */
size_t
mend_json(const unsigned char *in, size_t len, unsigned char *out)
{
	Mending		m = {in, in + len, out};
	bool		in_string = false;

	if (len >= 3 && memcmp(in, BYTE_ORDER_MARK, 3) == 0)
		m.in += 3;
	while (m.in < m.end)
	{
		if (*m.in == '"')
			in_string = !in_string;
		if (in_string && *m.in == '\\')
			mend_escape(&m);
		else if (!in_string && (*m.in == '-' || (*m.in >= '0' && *m.in <= '9')))
			mend_number(&m);
		else
			mend_character(&m, in_string);
	}
	return m.out - out;
}
