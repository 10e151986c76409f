/*
 * page.c
 *	  Filling of pages: {{name}} by a value, escaped; {{{name}}} by markup that we
 *	  made ourselves; {{:name}} by a text of the page's language, escaped, with the
 *	  project's name in it.
 *
 * One pass from left to right: what a value says is never read for names.  In C,
 * for each customer's tap fills ten templates, and what a template costs in SQL
 * is a regular expression and an aggregate.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#define BLANK	'\001'			/* and a letter: what it is filled with */

/* Text as it may stand in HTML, in attributes too; blanks are none of a value's. */
static void
append_escaped(StringInfo out, const char *value, int len)
{
	for (; len > 0; value++, len--)
		switch (*value)
		{
			case '&':
				appendStringInfoString(out, "&amp;");
				break;
			case '<':
				appendStringInfoString(out, "&lt;");
				break;
			case '>':
				appendStringInfoString(out, "&gt;");
				break;
			case '"':
				appendStringInfoString(out, "&quot;");
				break;
			case '\'':
				appendStringInfoString(out, "&#39;");
				break;
			case BLANK:
				break;
			default:
				appendStringInfoCharMacro(out, *value);
		}
}

PG_FUNCTION_INFO_V1(wacta_html_escape);

/* SQL: wacta_http.html_escape(value text) RETURNS text; of NULL the empty text. */
Datum
wacta_html_escape(PG_FUNCTION_ARGS)
{
	StringInfoData out;
	text	   *value;

	initStringInfo(&out);
	if (!PG_ARGISNULL(0))
	{
		value = PG_GETARG_TEXT_PP(0);
		append_escaped(&out, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}

/* As the operator ->> has it; NULL: there is none. */
static char *
get_value(Jsonb *object, const char *name, int len)
{
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(object) || getKeyJsonValueFromContainer(&object->root, name, len, &value) == NULL)
		return NULL;
	switch (value.type)
	{
		case jbvNull:
			return NULL;
		case jbvString:
			return pnstrdup(value.val.string.val, value.val.string.len);
		case jbvBool:
			return value.val.boolean ? "true" : "false";
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric)));
		default:
			return JsonbToCString(NULL, value.val.binary.data, value.val.binary.len);
	}
}

/* The project's name is set apart: it need not be written in the page's direction. */
static void
append_text(StringInfo out, Jsonb *texts, Jsonb *vars, const char *name, int len)
{
	static const char *const PROJECT = "{project}";
	const char *at = get_value(texts, name, len);
	const char *project = get_value(vars, "project", strlen("project"));
	const char *next;

	if (at == NULL)
		return;
	for (; (next = strstr(at, PROJECT)) != NULL; at = next + strlen(PROJECT))
	{
		append_escaped(out, at, next - at);
		appendStringInfoString(out, "<bdi>");
		if (project != NULL)
			append_escaped(out, project, strlen(project));
		appendStringInfoString(out, "</bdi>");
	}
	append_escaped(out, at, strlen(at));
}

static void
append_value(StringInfo out, Jsonb *vars, char kind, const char *name, int len)
{
	const char *value = get_value(vars, name, len);

	if (value == NULL)
		return;
	if (kind == '{')
		appendStringInfoString(out, value);
	else
		append_escaped(out, value, strlen(value));
}

/* The length of the name that stands at `at` with the braces behind it; 0: none does. */
static int
name_length(const char *at, const char *closing)
{
	int			len = strspn(at, "abcdefghijklmnopqrstuvwxyz_");

	return strncmp(at + len, closing, strlen(closing)) == 0 ? len : 0;
}

PG_FUNCTION_INFO_V1(wacta_render);

/* SQL: wacta_http.render(template text, vars jsonb, texts jsonb) RETURNS text */
Datum
wacta_render(PG_FUNCTION_ARGS)
{
	const char *at = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Jsonb	   *vars = PG_GETARG_JSONB_P(1);
	Jsonb	   *texts = PG_GETARG_JSONB_P(2);
	StringInfoData out;
	const char *open;

	initStringInfo(&out);
	for (; (open = strstr(at, "{{")) != NULL;)
	{
		char		kind = open[2] == '{' || open[2] == ':' ? open[2] : '\0';
		const char *closing = kind == '{' ? "}}}" : "}}";
		const char *name = open + (kind == '\0' ? 2 : 3);
		int			len = name_length(name, closing);

		appendBinaryStringInfo(&out, at, open - at);
		if (len == 0)
		{
			appendStringInfoChar(&out, *open);	/* braces of something else */
			at = open + 1;
			continue;
		}
		if (kind == ':')
			append_text(&out, texts, vars, name, len);
		else
			append_value(&out, vars, kind, name, len);
		at = name + len + strlen(closing);
	}
	appendStringInfoString(&out, at);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}

PG_FUNCTION_INFO_V1(wacta_fill_page);

/*
 * SQL: wacta_http.fill_page(blank text, token text, other text) RETURNS bytea
 *
 * U+0001 and a t stand for the token, U+0001 and an o for the other.  The bytes
 * are those of the database's encoding, UTF-8.
 */
Datum
wacta_fill_page(PG_FUNCTION_ARGS)
{
	const char *at = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const char *token = PG_ARGISNULL(1) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(1));
	const char *other = PG_ARGISNULL(2) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(2));
	StringInfoData out;
	const char *blank;

	initStringInfo(&out);
	for (; (blank = strchr(at, BLANK)) != NULL; at = blank + 2)
	{
		const char *value = blank[1] == 't' ? token : blank[1] == 'o' ? other : "";

		appendBinaryStringInfo(&out, at, blank - at);
		append_escaped(&out, value, strlen(value));
		if (blank[1] == '\0')
			break;
	}
	if (blank == NULL)
		appendStringInfoString(&out, at);
	PG_RETURN_BYTEA_P(cstring_to_text_with_len(out.data, out.len));
}
