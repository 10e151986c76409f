/*
 * request.c
 *	  The framing of a request and the arguments it carries.
 *
 * Decodes path, query, form and JSON into the few text arguments that the
 * route's function has; nothing else of the input travels on.  Must not decide
 * what a value means.  Called by exchange.c.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "request.h"

#include <event2/http.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "text.h"

#define MAX_HEADERS		100		/* lines */
#define MAX_DEPTH		32		/* of JSON */

const char *
request_header(const struct evkeyvalq *headers, const char *name)
{
	return evhttp_find_header(headers, name);
}

static int
count_headers(const struct evkeyvalq *headers, const char *name)
{
	const struct evkeyval *header;
	int			count = 0;

	TAILQ_FOREACH(header, headers, next)
		count += text_equal_nocase(header->key, name);
	return count;
}

/*
 * The HTTP library takes any name: to it, "Content-Length " is not one that it
 * knows.  And many lines of one name make a list that is long to put together.
 */
static bool
lines_are_sound(const struct evkeyvalq *headers)
{
	const struct evkeyval *header;
	int			count = 0;

	TAILQ_FOREACH(header, headers, next)
	{
		if (++count > MAX_HEADERS || !text_is_token(header->key))
			return false;
	}
	return true;
}

/*
 * The HTTP library takes the first Content-Length, ignores a Transfer-Encoding
 * that is not "chunked", and reads no body for a GET.  A proxy that decides
 * otherwise would see another request begin where this one still goes on, so
 * every such request is refused.
 */
static bool
framing_is_sound(HttpMethod method, const struct evkeyvalq *headers)
{
	const char *length = request_header(headers, "Content-Length");
	const char *coding = request_header(headers, "Transfer-Encoding");

	if (count_headers(headers, "Content-Length") > 1 ||
		count_headers(headers, "Transfer-Encoding") > 1 ||
		count_headers(headers, "Host") > 1)
		return false;
	if (length != NULL && (length[0] == '\0' || length[strspn(length, "0123456789")] != '\0'))
		return false;
	if (coding != NULL && (length != NULL || !text_equal_nocase(coding, "chunked")))
		return false;
	if (method == METHOD_POST)
		return true;
	return coding == NULL && (length == NULL || length[strspn(length, "0")] == '\0');
}

bool
request_head_is_sound(HttpMethod method, const struct evkeyvalq *headers)
{
	return lines_are_sound(headers) && framing_is_sound(method, headers);
}

bool
request_is_chunked(const struct evkeyvalq *headers)
{
	return request_header(headers, "Transfer-Encoding") != NULL;
}

static int
find_argument(const ApiFunction *function, const char *name)
{
	int			i;

	for (i = 0; i < function->nargs; i++)
	{
		if (strcmp(function->args[i], name) == 0)
			return i;
	}
	return -1;
}

/* Cuts the next "name=value" that is not empty off *rest; false at the end. */
static bool
next_pair(const char **rest, const char **pair, size_t *len)
{
	*rest += strspn(*rest, "&");
	if (**rest == '\0')
		return false;
	*pair = *rest;
	*len = strcspn(*rest, "&");
	*rest += *len;
	return true;
}

static char *
pair_name(Arena *arena, const char *pair, size_t len)
{
	const char *equals = memchr(pair, '=', len);

	return text_decode(arena, pair, equals != NULL ? (size_t) (equals - pair) : len, true);
}

static char *
pair_value(Arena *arena, const char *pair, size_t len)
{
	const char *equals = memchr(pair, '=', len);

	if (equals == NULL)
		return arena_strdup(arena, "");
	return text_decode(arena, equals + 1, len - (size_t) (equals + 1 - pair), true);
}

/*
 * Of a dotted name the last part counts, as in PostgREST: Meta's hub.challenge
 * is the argument challenge.  Where a link was taken out of HTML as it stands
 * there, "&amp;" still separates.
 */
static void
arguments_from_form(Arena *arena, const ApiFunction *function, const char *form, const char **args)
{
	const char *pair;
	size_t		len;

	while (next_pair(&form, &pair, &len))
	{
		char	   *name = pair_name(arena, pair, len);
		char	   *dot = strrchr(name, '.');
		int			i;

		while (text_starts_nocase(name, "amp;"))
			name += strlen("amp;");
		i = find_argument(function, dot != NULL ? dot + 1 : name);
		if (i >= 0)
			args[i] = pair_value(arena, pair, len);
	}
}

/* A JSON value as the text of an argument; objects and arrays stay JSON. */
static const char *
json_argument(Arena *arena, const json_t *value)
{
	char	   *dumped;
	const char *text;

	if (json_is_null(value))
		return NULL;
	if (json_is_string(value))
		return text_clean(arena, json_string_value(value), json_string_length(value));
	dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	if (dumped == NULL)
		return NULL;
	text = arena_strdup(arena, dumped);
	free(dumped);
	return text;
}

/* Does it nest no deeper than an argument may? */
static bool
json_is_shallow(const char *body, size_t len)
{
	bool		quoted = false;
	int			depth = 0;
	size_t		at;

	for (at = 0; at < len && depth <= MAX_DEPTH; at++)
	{
		if (body[at] == '"')
			quoted = !quoted;
		else if (quoted)
			at += body[at] == '\\';
		else if (body[at] == '{' || body[at] == '[')
			depth++;
		else if (body[at] == '}' || body[at] == ']')
			depth--;
	}
	return depth <= MAX_DEPTH;
}

static ArgumentVerdict
arguments_from_json(Arena *arena, const ApiFunction *function,
					const char *body, size_t len, const char **args)
{
	json_t	   *root = json_is_shallow(body, len) ? json_loadb(body, len, 0, NULL) : NULL;
	ArgumentVerdict verdict = json_is_object(root) ? ARGUMENTS_GOOD : ARGUMENTS_BAD_BODY;
	int			i;

	for (i = 0; i < function->nargs && verdict == ARGUMENTS_GOOD; i++)
	{
		json_t	   *value = json_object_get(root, function->args[i]);

		if (value != NULL)
			args[i] = json_argument(arena, value);
	}
	json_decref(root);
	return verdict;
}

static bool
media_type_is(const char *content_type, const char *wanted)
{
	size_t		len = strlen(wanted);

	if (content_type == NULL || !text_starts_nocase(content_type, wanted))
		return false;
	return content_type[len] == '\0' || strchr("; \t", content_type[len]) != NULL;
}

static ArgumentVerdict
arguments_from_body(Arena *arena, const ApiFunction *function, const char *content_type,
					const char *body, size_t len, const char **args)
{
	if (len == 0)
		return ARGUMENTS_GOOD;
	if (media_type_is(content_type, "application/json"))
		return arguments_from_json(arena, function, body, len, args);
	if (!media_type_is(content_type, "application/x-www-form-urlencoded"))
		return ARGUMENTS_BAD_TYPE;
	arguments_from_form(arena, function, arena_strndup(arena, body, len), args);
	return ARGUMENTS_GOOD;
}

/* A link alone must not say the explicit yes: only the page's own form does. */
static void
forget_confirm(const ApiFunction *function, const char **args)
{
	int			i = find_argument(function, "confirm");

	if (i >= 0)
		args[i] = NULL;
}

ArgumentVerdict
request_arguments(Arena *arena, const ApiFunction *function, const RouteMatch *match,
				  const char *content_type, const char *body, size_t body_len,
				  const char **args)
{
	bool		is_link = (match->route->flags & ROUTE_LINK) != 0;
	ArgumentVerdict verdict;
	int			i;

	arguments_from_form(arena, function, match->query, args);
	if (is_link)
		forget_confirm(function, args);
	verdict = arguments_from_body(arena, function, content_type, body, body_len, args);
	for (i = 0; i < match->nparams; i++)
	{
		int			at = find_argument(function, match->params[i].name);

		if (at >= 0)
			args[at] = match->params[i].value;
	}
	for (i = 0; i < function->nargs && is_link; i++)
	{
		/* These strings are the arena's, and no one else points to them. */
		if (args[i] != NULL)
			text_trim_link((char *) args[i]);
	}
	return verdict;
}

char *
request_query_value(Arena *arena, const char *query, const char *name)
{
	const char *pair;
	size_t		len;
	char	   *value = NULL;

	while (next_pair(&query, &pair, &len))
	{
		if (strcmp(pair_name(arena, pair, len), name) == 0)
			value = pair_value(arena, pair, len);
	}
	return value;
}

char *
request_query_without(Arena *arena, const char *query, const char *name)
{
	char	   *rest = arena_alloc(arena, strlen(query) + 1);
	size_t		to = 0;
	const char *pair;
	size_t		len;

	while (next_pair(&query, &pair, &len))
	{
		if (strcmp(pair_name(arena, pair, len), name) == 0)
			continue;
		if (to > 0)
			rest[to++] = '&';
		memcpy(rest + to, pair, len);
		to += len;
	}
	return rest;
}
