/*
 * form.c
 *	  Percent-decoding of a form's keys and values (application/x-www-form-urlencoded),
 *	  and percent-encoding for URLs (RFC 3986).
 *
 * Decoding is as browsers and providers do it: a plus sign is a space, %2B a byte,
 * and a percent sign that no two hexadecimal digits follow is itself.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include <ctype.h>

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

static int
hex_value(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that starts at in[0], and in *used how many characters stand for it. */
static char
decode_byte(const char *in, int left, int *used)
{
	*used = 1;
	if (*in == '+')
		return ' ';
	if (*in == '%' && left > 2 && hex_value(in[1]) >= 0 && hex_value(in[2]) >= 0)
	{
		*used = 3;
		return (char) (hex_value(in[1]) << 4 | hex_value(in[2]));
	}
	return *in;
}

/*
 * What does not decode to text that the database can store (a byte 0, half a
 * character) stays as it came, so that nothing of it is lost.
 */
PG_FUNCTION_INFO_V1(wacta_percent_decode);

Datum
wacta_percent_decode(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	const char *in = VARDATA_ANY(value);
	int			left = VARSIZE_ANY_EXHDR(value);
	text	   *decoded = palloc(VARHDRSZ + left);
	char	   *out = VARDATA(decoded);
	int			used;

	for (; left > 0; in += used, left -= used)
		*out++ = decode_byte(in, left, &used);
	SET_VARSIZE(decoded, out - (char *) decoded);
	if (!pg_verifymbstr(VARDATA(decoded), VARSIZE(decoded) - VARHDRSZ, true))
		PG_RETURN_TEXT_P(value);
	PG_RETURN_TEXT_P(decoded);
}

PG_FUNCTION_INFO_V1(wacta_percent_encode);

/* SQL: wacta.percent_encode(value text) RETURNS text */
Datum
wacta_percent_encode(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	const unsigned char *in = (unsigned char *) VARDATA_ANY(value);
	int			left = VARSIZE_ANY_EXHDR(value);
	StringInfoData out;

	initStringInfo(&out);
	for (; left > 0; in++, left--)
	{
		if (*in < 0x80 && (isalnum(*in) || strchr("_.~-", *in)))
			appendStringInfoChar(&out, *in);
		else
			appendStringInfo(&out, "%%%02X", *in);
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}
