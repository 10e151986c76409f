/*
 * request.h
 *	  What a request says: its framing, its arguments, its head as JSON.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_REQUEST_H
#define GATEWAY_REQUEST_H

#include <event2/keyvalq_struct.h>
#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "routes.h"

typedef enum ArgumentVerdict
{
	ARGUMENTS_GOOD,
	ARGUMENTS_BAD_TYPE,			/* neither JSON nor a form */
	ARGUMENTS_BAD_BODY			/* not a JSON object, or too deep a one */
} ArgumentVerdict;

/*
 * Does everybody read this head alike, above all where the request ends?  If
 * not, the connection must be closed after the refusal.
 */
extern bool request_head_is_sound(HttpMethod method, const struct evkeyvalq *headers);

/*
 * A body in chunks: the HTTP library reads their sizes so generously that no
 * further request may follow on the connection.
 */
extern bool request_is_chunked(const struct evkeyvalq *headers);

/*
 * Fills args, in the order of the function's own, from query, body and path;
 * the later of these wins; "confirm" of a link does not count in its query.
 * What has no value is NULL, unknown names are ignored.
 */
extern ArgumentVerdict request_arguments(Arena *arena, const ApiFunction *function,
										 const RouteMatch *match, const char *content_type,
										 const char *body, size_t body_len,
										 const char **args);

/* The decoded value of one field of a query, NULL if it is not there. */
extern char *request_query_value(Arena *arena, const char *query, const char *name);

/* The query as it came, without the pairs of that name. */
extern char *request_query_without(Arena *arena, const char *query, const char *name);

/*
 * request.headers: names in lower case.  Credentials that the gateway itself
 * uses up are left out; those of a webhook are for its function to compare.
 */
extern char *request_headers_json(Arena *arena, const struct evkeyvalq *headers,
								  const RouteMatch *match, const char *peer, const char *id,
								  bool query_is_body);

/*
 * The X-Request-Id that came, if it is fit for logs and headers, else one of
 * our own.
 */
extern const char *request_id(Arena *arena, const struct evkeyvalq *headers);

/* request.cookies */
extern char *request_cookies_json(Arena *arena, const struct evkeyvalq *headers);

/* The value of one cookie, NULL if it is not there. */
extern char *request_cookie(Arena *arena, const struct evkeyvalq *headers, const char *name);

/* The first header of that name, NULL if there is none. */
extern const char *request_header(const struct evkeyvalq *headers, const char *name);

#endif							/* GATEWAY_REQUEST_H */
