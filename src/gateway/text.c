/*
 * text.c
 *	  Bytes from the network made into text that PostgreSQL takes.
 *
 * A customer's mangled link must end on the page for refused links, so bad
 * encoding is replaced and not an error of its own.  Called by routes.c,
 * request.c and headers.c; knows nothing of HTTP beyond percent escapes.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "text.h"

#include <string.h>
#include <strings.h>

static const char replacement[] = "\xEF\xBF\xBD";

/*
 * Length of the UTF-8 sequence that starts at s, 0 if there is none.  The same
 * rules as the server's: no overlong forms, no surrogates, nothing above
 * U+10FFFF; and no zero byte, which no text value can hold.
 */
static size_t
utf8_sequence(const unsigned char *s, size_t left)
{
	if (s[0] == 0)
		return 0;
	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xC2 && s[0] <= 0xDF)
		return left >= 2 && (s[1] & 0xC0) == 0x80 ? 2 : 0;
	if (left < 3 || (s[1] & 0xC0) != 0x80 || (s[2] & 0xC0) != 0x80)
		return 0;
	if (s[0] == 0xE0)
		return s[1] >= 0xA0 ? 3 : 0;
	if (s[0] == 0xED)
		return s[1] <= 0x9F ? 3 : 0;
	if (s[0] >= 0xE1 && s[0] <= 0xEF)
		return 3;
	if (left < 4 || (s[3] & 0xC0) != 0x80)
		return 0;
	if (s[0] == 0xF0)
		return s[1] >= 0x90 ? 4 : 0;
	if (s[0] == 0xF4)
		return s[1] <= 0x8F ? 4 : 0;
	return s[0] >= 0xF1 && s[0] <= 0xF3 ? 4 : 0;
}

char *
text_clean(Arena *arena, const char *bytes, size_t len)
{
	char	   *text = arena_alloc(arena, 3 * len + 1);
	char	   *to = text;
	size_t		at = 0;

	while (at < len)
	{
		size_t		step = utf8_sequence((const unsigned char *) bytes + at, len - at);

		if (step == 0)
		{
			memcpy(to, replacement, 3);
			to += 3;
			at++;
			continue;
		}
		memcpy(to, bytes + at, step);
		to += step;
		at += step;
	}
	return text;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The byte that the escape at s stands for, -1 if it is no escape. */
static int
escape_value(const char *s, size_t left)
{
	int			high;
	int			low;

	if (left < 3 || s[0] != '%')
		return -1;
	high = hex_value(s[1]);
	low = hex_value(s[2]);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

char *
text_decode(Arena *arena, const char *bytes, size_t len, bool plus_is_space)
{
	char	   *decoded = arena_alloc(arena, len + 1);
	size_t		to = 0;
	size_t		at = 0;

	while (at < len)
	{
		int			value = escape_value(bytes + at, len - at);

		if (value >= 0)
		{
			decoded[to++] = (char) value;
			at += 3;
			continue;
		}
		decoded[to++] = plus_is_space && bytes[at] == '+' ? ' ' : bytes[at];
		at++;
	}
	return text_clean(arena, decoded, to);
}

static bool
is_delimiter(int value)
{
	return value == '/' || value == '?' || value == '=' || value == '&';
}

bool
text_has_encoded_delimiter(const char *text, size_t len)
{
	size_t		at;

	for (at = 0; at < len; at++)
	{
		if (is_delimiter(escape_value(text + at, len - at)))
			return true;
	}
	return false;
}

char *
text_decode_delimiters(Arena *arena, const char *text, size_t len)
{
	char	   *decoded = arena_alloc(arena, len + 1);
	size_t		to = 0;
	size_t		at = 0;

	while (at < len)
	{
		int			value = escape_value(text + at, len - at);

		if (is_delimiter(value))
		{
			decoded[to++] = (char) value;
			at += 3;
		}
		else
			decoded[to++] = text[at++];
	}
	return decoded;
}

void
text_trim_link(char *text)
{
	size_t		len = strlen(text);

	while (len > 0 && (text[len - 1] == '.' || text[len - 1] == ')'))
		text[--len] = '\0';
}

bool
text_equal_nocase(const char *a, const char *b)
{
	return strcasecmp(a, b) == 0;
}

bool
text_starts_nocase(const char *text, const char *prefix)
{
	return strncasecmp(text, prefix, strlen(prefix)) == 0;
}

bool
text_is_token(const char *text)
{
	static const char *const letters =
	"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	return text[0] != '\0' && text[strspn(text, letters)] == '\0';
}

const char *
text_bearer_token(const char *authorization)
{
	const char *token = authorization + strlen("bearer");

	if (!text_starts_nocase(authorization, "bearer") || strchr(" \t", *token) == NULL)
		return NULL;
	return token + strspn(token, " \t");
}
