/*
 * headers.c
 *	  The head of a request as the functions see it: JSON, by request.h.
 *
 * What is left out here is as important as what is in: our own bearer tokens
 * and cookies are used up by the gateway, and x-wacta-* names are its own to
 * give.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include <ctype.h>
#include <event2/util.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "request.h"
#include "text.h"

#define MAX_ID 128

/* Takes over the JSON value. */
static char *
dump_into(Arena *arena, json_t *value)
{
	char	   *dumped = json_dumps(value, JSON_COMPACT);
	char	   *text = arena_strdup(arena, dumped != NULL ? dumped : "{}");

	free(dumped);
	json_decref(value);
	return text;
}

static void
set_text(json_t *object, const char *name, const char *value)
{
	json_object_set_new(object, name, json_string(value));
}

static char *
lower_name(Arena *arena, const char *name)
{
	char	   *lower = text_clean(arena, name, strlen(name));
	char	   *at;

	for (at = lower; *at != '\0'; at++)
		*at = (char) tolower((unsigned char) *at);
	return lower;
}

static bool
is_withheld(const char *name, const char *value, bool is_webhook)
{
	if (strcmp(name, "cookie") == 0)
		return true;
	if (strcmp(name, "authorization") == 0)
		return !is_webhook && text_bearer_token(value) != NULL;
	return strncmp(name, "x-wacta-", 8) == 0 && strcmp(name, "x-wacta-key") != 0;
}

/* Lines of one name are one list, by HTTP's own rule. */
static void
add_header(Arena *arena, json_t *object, const struct evkeyval *header, bool is_webhook)
{
	char	   *name = lower_name(arena, header->key);
	char	   *value = text_clean(arena, header->value, strlen(header->value));
	const char *before = json_string_value(json_object_get(object, name));
	char	   *list = NULL;

	if (is_withheld(name, value, is_webhook))
		return;
	if (before != NULL && asprintf(&list, "%s, %s", before, value) < 0)
		abort();
	set_text(object, name, list != NULL ? list : value);
	free(list);
}

/*
 * The shared secret of a webhook: header, else last segment of the path, else
 * ?key=.  With one in the path a "key" of the query is a field like others: on a
 * telephone that is what callers press.
 */
static void
add_key(Arena *arena, json_t *object, const RouteMatch *match)
{
	const char *key = match->key;

	if (json_object_get(object, "x-wacta-key") != NULL)
		return;
	if (key == NULL)
		key = request_query_value(arena, match->query, "key");
	if (key != NULL)
		set_text(object, "x-wacta-key", key);
}

char *
request_headers_json(Arena *arena, const struct evkeyvalq *headers, const RouteMatch *match,
					 const char *peer, const char *id, bool query_is_body)
{
	bool		is_webhook = (match->route->flags & ROUTE_WEBHOOK) != 0;
	json_t	   *object = json_object();
	const struct evkeyval *header;
	int			i;

	TAILQ_FOREACH(header, headers, next)
		add_header(arena, object, header, is_webhook);
	set_text(object, "x-wacta-peer", peer);
	set_text(object, "x-request-id", id);
	if (is_webhook)
		add_key(arena, object, match);
	for (i = 0; i < match->nparams; i++)
	{
		if (strcmp(match->params[i].name, "source") == 0)
			set_text(object, "x-wacta-source", match->params[i].value);
	}
	if (query_is_body)
		set_text(object, "content-type", "application/x-www-form-urlencoded");
	return dump_into(arena, object);
}

/* Ours step through all numbers of 64 bits from a random one, so that none comes twice. */
const char *
request_id(Arena *arena, const struct evkeyvalq *headers)
{
	static const char *const letters =
	"-._:/+=0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	const char *id = request_header(headers, "X-Request-Id");
	static uint64_t number;

	if (id != NULL && id[0] != '\0' && strlen(id) <= MAX_ID && id[strspn(id, letters)] == '\0')
		return arena_strdup(arena, id);
	if (number == 0)
		evutil_secure_rng_get_bytes(&number, sizeof(number));
	number += UINT64_C(0x9E3779B97F4A7C15);
	return arena_printf(arena, "%016" PRIx64, number);
}

/* Cuts the next "name=value" off a Cookie header; false at its end. */
static bool
next_cookie(Arena *arena, const char **rest, char **name, char **value)
{
	while (**rest != '\0')
	{
		const char *start = *rest + strspn(*rest, " \t;");
		size_t		len = strcspn(start, ";");
		const char *equals = memchr(start, '=', len);

		*rest = start + len;
		while (len > 0 && (start[len - 1] == ' ' || start[len - 1] == '\t'))
			len--;
		if (equals == NULL || equals == start || equals >= start + len)
			continue;
		*name = text_clean(arena, start, (size_t) (equals - start));
		*value = text_clean(arena, equals + 1, len - (size_t) (equals + 1 - start));
		return true;
	}
	return false;
}

char *
request_cookies_json(Arena *arena, const struct evkeyvalq *headers)
{
	json_t	   *object = json_object();
	const struct evkeyval *header;
	char	   *name;
	char	   *value;

	TAILQ_FOREACH(header, headers, next)
	{
		const char *rest = header->value;

		while (text_equal_nocase(header->key, "Cookie") && next_cookie(arena, &rest, &name, &value))
			set_text(object, name, value);
	}
	return dump_into(arena, object);
}

char *
request_cookie(Arena *arena, const struct evkeyvalq *headers, const char *wanted)
{
	const struct evkeyval *header;
	char	   *name;
	char	   *value;

	TAILQ_FOREACH(header, headers, next)
	{
		const char *rest = header->value;

		while (text_equal_nocase(header->key, "Cookie") && next_cookie(arena, &rest, &name, &value))
		{
			if (strcmp(name, wanted) == 0)
				return value;
		}
	}
	return NULL;
}
