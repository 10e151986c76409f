/*
 * request.c
 *	  Fills a request's form: what is one message's own in the JSON of many.
 *
 * wacta.plan_request() builds, once for all messages of a kind, the JSON text of
 * the request with placeholders.  A placeholder is a control character (U+0001,
 * which JSON writes as \u0001), a name, and the control character again, inside
 * a JSON string; no value of ours has control characters, so none can be taken
 * for a placeholder.  Filling is one pass, and what is filled in is not read
 * again.  Here and not in SQL, for it is done for each message of a campaign.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "compat.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "token.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#define MARK		"\\u0001"
#define MARK_LEN	6
#define NAME_MAX_LEN 64
#define ELLIPSIS	"\xe2\x80\xa6"

/* What is one message's own. */
typedef struct Filling
{
	int64		lead_id;
	int64		message_id;
	const char *recipient;		/* phone in E.164, or user id */
	const char *customer_name;
	TimestampTz now;
	TimestampTz expires;		/* of its links */
	bool		never_expires;
} Filling;

/* The inside of a JSON string. */
static void
append_escaped(StringInfo out, const char *value)
{
	StringInfoData quoted;

	initStringInfo(&quoted);
	escape_json(&quoted, value);
	appendBinaryStringInfo(out, quoted.data + 1, quoted.len - 2);
	pfree(quoted.data);
}

/*
 * How many bytes of a value fit into so many UTF-16 code units; the database's
 * encoding is UTF-8.  A character of four bytes is two units.
 */
static int
clip(const char *value, int room)
{
	int			i = 0;

	while (value[i] != '\0')
	{
		int			len = pg_mblen(value + i);

		room -= len > 3 ? 2 : 1;
		if (room < 0)
			break;
		i += len;
	}
	return i;
}

/* The customer's name, or as much of it as fits and an ellipsis: see wacta.room_for_name(). */
static void
append_name(StringInfo out, const char *customer_name, int room)
{
	char	   *name;
	int			len = clip(customer_name, room);

	if (customer_name[len] == '\0')
	{
		append_escaped(out, customer_name);
		return;
	}
	name = pnstrdup(customer_name, clip(customer_name, room - 1));
	append_escaped(out, name);
	appendStringInfoString(out, ELLIPSIS);
	pfree(name);
}

/* The part of a link behind its fixed beginning: "signed <action>" or "seed <action>". */
static void
append_link(StringInfo out, const char *kind, const Filling *f)
{
	const char *p;

	if (strncmp(kind, "seed ", 5) != 0)
	{
		appendStringInfoString(out, wacta_signed_token(f->lead_id, f->message_id, strchr(kind, ' ') + 1,
													   f->now, f->never_expires ? NULL : &f->expires));
		return;
	}
	appendStringInfo(out, INT64_FORMAT "/?token=", f->lead_id);
	for (p = wacta_seed_token(f->lead_id, f->now); *p; p++)
		appendStringInfoString(out, *p == ':' ? "%3A" : (char[]) {*p, '\0'});
	appendStringInfo(out, "&action=%s", kind + 5);
}

/* false: there is no such placeholder. */
static bool
append_value(StringInfo out, const char *name, const Filling *f)
{
	if (strcmp(name, "to") == 0)
		append_escaped(out, f->recipient);
	else if (strncmp(name, "customer_name ", 14) == 0)
		append_name(out, f->customer_name, atoi(name + 14));
	else if (strcmp(name, "message_id") == 0)
		appendStringInfo(out, INT64_FORMAT, f->message_id);
	else if (strncmp(name, "link signed ", 12) == 0 || strncmp(name, "link seed ", 10) == 0)
		append_link(out, name + 5, f);
	else
		return false;
	return true;
}

/* The placeholder that begins at p, if there is one: its name, and where it ends. */
static const char *
read_placeholder(const char *p, char name[NAME_MAX_LEN])
{
	const char *end = strstr(p + MARK_LEN, MARK);
	size_t		len = end ? end - (p + MARK_LEN) : NAME_MAX_LEN;

	if (len >= NAME_MAX_LEN)
		return NULL;
	memcpy(name, p + MARK_LEN, len);
	name[len] = '\0';
	return end + MARK_LEN;
}

static text *
fill(const char *form, const Filling *f)
{
	StringInfoData out;
	char		name[NAME_MAX_LEN];
	const char *p = form;
	const char *end;

	initStringInfo(&out);
	while (*p)
	{
		size_t		plain = strcspn(p, "\\");

		appendBinaryStringInfo(&out, p, plain);
		p += plain;
		if (strncmp(p, MARK, MARK_LEN) == 0 &&
			(end = read_placeholder(p, name)) != NULL && append_value(&out, name, f))
			p = end;
		else if (*p)
		{
			/* any other escape is two characters at least, the second never a mark's begin */
			appendBinaryStringInfo(&out, p, p[1] ? 2 : 1);
			p += p[1] ? 2 : 1;
		}
	}
	return cstring_to_text_with_len(out.data, out.len);
}

PG_FUNCTION_INFO_V1(wacta_fill_request);

/*
 * SQL: wacta.fill_request(form text, lead_id bigint, message_id bigint,
 *		recipient text, customer_name text, now timestamptz, expires timestamptz)
 *		RETURNS text.  expires may be NULL: the links do not expire.
 */
Datum
wacta_fill_request(PG_FUNCTION_ARGS)
{
	Filling		f = {0};
	int			i;

	for (i = 0; i < 6; i++)
		if (PG_ARGISNULL(i))
			PG_RETURN_NULL();
	f.lead_id = PG_GETARG_INT64(1);
	f.message_id = PG_GETARG_INT64(2);
	f.recipient = text_to_cstring(PG_GETARG_TEXT_PP(3));
	f.customer_name = text_to_cstring(PG_GETARG_TEXT_PP(4));
	f.now = PG_GETARG_TIMESTAMPTZ(5);
	f.never_expires = PG_ARGISNULL(6);
	f.expires = f.never_expires ? 0 : PG_GETARG_TIMESTAMPTZ(6);
	PG_RETURN_TEXT_P(fill(text_to_cstring(PG_GETARG_TEXT_PP(0)), &f));
}

PG_FUNCTION_INFO_V1(wacta_parameter_text);

/*
 * SQL: wacta.parameter_text(value text, fallback text) RETURNS text: a value as
 * it may stand in a template's parameter.  The provider refuses line breaks,
 * tabs and more than four spaces in a row (code 132018), and an empty text
 * (131008): white space and control characters become one space each run, none
 * at the ends, and an empty or NULL value becomes the fallback.
 */
Datum
wacta_parameter_text(PG_FUNCTION_ARGS)
{
	text	   *value = PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0);
	int			len = value ? VARSIZE_ANY_EXHDR(value) : 0;
	const unsigned char *from = value ? (const unsigned char *) VARDATA_ANY(value) : NULL;
	char	   *to = palloc(len + 1);
	bool		space = false;
	int			n = 0;
	int			i;

	/* in UTF-8 no byte of a longer character is below 0x80 */
	for (i = 0; i < len; i++)
	{
		if (from[i] <= ' ' || from[i] == 0x7f)
		{
			space = n > 0;
			continue;
		}
		if (space)
			to[n++] = ' ';
		space = false;
		to[n++] = from[i];
	}
	if (n > 0)
		PG_RETURN_TEXT_P(cstring_to_text_with_len(to, n));
	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(PG_GETARG_DATUM(1));
}
