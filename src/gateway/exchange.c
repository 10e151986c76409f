/*
 * exchange.c
 *	  One request and its reply, from its head to its last byte.
 *
 * The HTTP library stops reading a connection while a request of it is being
 * answered, so a client that has left is noticed when the reply is written; on
 * every way a connection can end, on_client_gone is told first.
 *
 * This file only orders the steps; what they mean is in routes, refuse, request,
 * call and reply.  Never logs a target or a header: tokens are in them.
 * Started by server.c, goes on in pool.c's callback.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "exchange.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "access.h"
#include "connection.h"
#include "metrics.h"
#include "refuse.h"
#include "request.h"

/* One of its parts has ended, and the last one ends it. */
static void
exchange_release(Exchange *exchange)
{
	ExchangeContext *context = exchange->context;

	if (--exchange->holds > 0)
		return;
	call_clear(&exchange->call);
	call_clear(&exchange->visit);
	if (exchange->body != NULL)
		evbuffer_free(exchange->body);
	arena_free(exchange->arena);
	free(exchange);
	if (--context->active == 0)
		context->all_done(context->owner);
}

/*
 * The connection is being freed.  A request that still knows it is freed with
 * it; one that does not has been cut loose and is ours.
 */
static void
on_client_gone(struct evhttp_connection *connection, void *arg)
{
	Exchange   *exchange = arg;
	bool		replied = exchange->reply.status != 0;

	(void) connection;
	if (evhttp_request_get_connection(exchange->http) == NULL)
		evhttp_request_free(exchange->http);
	exchange->http = NULL;
	if (replied)
		exchange_release(exchange);
}

/* The last byte of the reply has been handed to the kernel. */
static void
on_reply_written(struct evhttp_request *http, void *arg)
{
	evhttp_connection_set_closecb(evhttp_request_get_connection(http), NULL, NULL);
	exchange_release(arg);
}

static double
elapsed_ms(const struct timespec *began)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) (now.tv_sec - began->tv_sec) * 1e3 + (double) (now.tv_nsec - began->tv_nsec) / 1e6;
}

static void
note_end(const Exchange *exchange)
{
	double		ms = elapsed_ms(&exchange->began);
	const Route *route = exchange->match.route;
	AccessLine	line = {
		.request_id = exchange->id,
		.method = method_name(exchange->method),
		.route = route != NULL ? route->pattern : NULL,
		.peer = exchange->peer.text,
		.status = exchange->reply.status,
		.bytes = exchange->reply.body_len,
		.ms = ms,
		.client_gone = exchange->http == NULL,
	};

	metrics_request(route, exchange->reply.status, ms / 1e3);
	if (exchange->context->options->access_log)
		access_write(&line);
}

static bool
wants_page(const Exchange *exchange)
{
	const char *accept = request_header(evhttp_request_get_input_headers(exchange->http), "Accept");

	return exchange->reply.is_error && exchange->match.route != NULL &&
		(exchange->match.route->flags & ROUTE_PAGE) != 0 &&
		accept != NULL && strstr(accept, "text/html") != NULL;
}

/* libevent's own words, save for a status that it does not know. */
static const char *
reason_of(int status)
{
	return status == 429 ? "Too Many Requests" : NULL;
}

static void
write_head(Exchange *exchange)
{
	struct evkeyvalq *out = evhttp_request_get_output_headers(exchange->http);
	const Reply *reply = &exchange->reply;
	const ReplyHeader *header;
	char		length[32];

	for (header = reply->headers; header != NULL; header = header->next)
		evhttp_add_header(out, header->name, header->value);
	/* To who asked for it, or will ask about it; else refusals would not look alike. */
	if (reply->status >= 500 ||
		request_header(evhttp_request_get_input_headers(exchange->http), "X-Request-Id") != NULL)
		evhttp_add_header(out, "X-Request-Id", exchange->id);
	if (exchange->context->options->hsts)
		evhttp_add_header(out, "Strict-Transport-Security", REPLY_HSTS);
	if (reply->content_type != NULL)
		evhttp_add_header(out, "Content-Type", reply->content_type);
	if (evhttp_find_header(out, "X-Content-Type-Options") == NULL)
		evhttp_add_header(out, "X-Content-Type-Options", "nosniff");
	/* Whatever it is, it was said to one person. */
	if (evhttp_find_header(out, "Cache-Control") == NULL)
		evhttp_add_header(out, "Cache-Control", "no-store");
	if (reply->status != 204 && reply->status != 304)
	{
		snprintf(length, sizeof(length), "%zu", reply->body_len);
		evhttp_add_header(out, "Content-Length", length);
	}
	if (exchange->close || exchange->context->stopping)
		evhttp_add_header(out, "Connection", "close");
}

/* The last that a step does: the exchange may be gone afterwards. */
void
exchange_send(Exchange *exchange)
{
	struct evhttp_request *http = exchange->http;
	struct evbuffer *body;

	if (http != NULL && wants_page(exchange))
		reply_error_page(exchange->arena, &exchange->reply);
	note_end(exchange);
	refuse_charge(exchange);
	if (http == NULL)
	{
		exchange_release(exchange);
		return;
	}
	write_head(exchange);
	body = evbuffer_new();
	if (exchange->method != METHOD_HEAD && exchange->reply.status != 204 && exchange->reply.status != 304)
		evbuffer_add(body, exchange->reply.body, exchange->reply.body_len);
	evhttp_request_set_on_complete_cb(http, on_reply_written, exchange);
	connection_reply_begins();
	evhttp_send_reply(http, exchange->reply.status, reason_of(exchange->reply.status), body);
	connection_reply_ends();
	evbuffer_free(body);
}

void
exchange_send_error(Exchange *exchange, int status, const char *code, const char *message)
{
	reply_error(exchange->arena, &exchange->reply, status, code, message, NULL, NULL);
	exchange_send(exchange);
}

static void
start_call(Exchange *exchange, Call *call)
{
	const Options *options = exchange->context->options;

	if (exchange->wait > 0)
		call->share = share_of_client(&exchange->peer.address);
	else
		call->share = share_of(call->function, call->args, (int) options->pool, (int) options->queue);
	pool_submit(exchange->context->pool, call);
}

static void
on_visit_done(Call *call)
{
	Exchange   *exchange = call->owner;

	exchange_release(exchange);
}

/* Records the visit of a page that was answered: nobody waits for it, and what fails is lost. */
static void
record_visit(Exchange *exchange)
{
	Call	   *visit = &exchange->visit;

	*visit = exchange->call;
	visit->function = routes_visit_function(exchange->match.route);
	visit->read_only = false;
	visit->background = true;
	visit->reply = visit->response = visit->error = NULL;
	visit->done = on_visit_done;
	start_call(exchange, visit);
}

/* The page was a function's answer to a GET or a HEAD, not an error, and its route has visits to record. */
static bool
is_visit(const Exchange *exchange)
{
	return exchange->call.outcome == CALL_COMMITTED && exchange->call.read_only && !exchange->reply.is_error &&
		routes_visit_function(exchange->match.route) != NULL;
}

/*
 * Where the site has it so, a link's page is answered by the request that the
 * tap be made at once: the GET becomes the POST.  Only the page knows, as it
 * knows who previews links.
 */
static bool
is_tap_due(Exchange *exchange)
{
	const char *to = is_visit(exchange) ? reply_take_header(&exchange->reply, "X-Accel-Redirect") : NULL;

	return to != NULL && strcmp(to, "@tap") == 0 && exchange->method == METHOD_GET;
}

/* Goes on with the call of the page as the POST's. */
static void
make_tap(Exchange *exchange)
{
	Call	   *call = &exchange->call;

	call_clear(call);
	memset(&exchange->reply, 0, sizeof(Reply));
	call->function = routes_function(exchange->match.route, METHOD_POST);
	call->read_only = false;
	call->method = method_name(METHOD_POST);
	start_call(exchange, call);
}

static void
on_call_done(Call *call)
{
	Exchange   *exchange = call->owner;
	bool		visit;

	reply_from_call(exchange->arena, &exchange->reply, call, exchange->identity.authenticated);
	refuse_bad_proof(exchange);
	if (is_tap_due(exchange))
	{
		make_tap(exchange);
		return;
	}
	visit = is_visit(exchange);
	exchange->holds += visit;
	exchange_send(exchange);
	if (visit)
		record_visit(exchange);
}

static HttpMethod
method_of(struct evhttp_request *http)
{
	switch (evhttp_request_get_command(http))
	{
		case EVHTTP_REQ_GET:
			return METHOD_GET;
		case EVHTTP_REQ_HEAD:
			return METHOD_HEAD;
		case EVHTTP_REQ_POST:
			return METHOD_POST;
		case EVHTTP_REQ_OPTIONS:
			return METHOD_OPTIONS;
		default:
			return METHOD_OTHER;
	}
}

/* "/path?query", also of a target that names scheme and host. */
static const char *
target_of(Exchange *exchange)
{
	const char *target = evhttp_request_get_uri(exchange->http);
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(exchange->http);
	const char *query;

	if (target == NULL || target[0] == '/' || uri == NULL)
		return target != NULL ? target : "";
	target = evhttp_uri_get_path(uri);
	query = evhttp_uri_get_query(uri);
	return arena_printf(exchange->arena, "%s%s%s", target != NULL ? target : "",
						query != NULL ? "?" : "", query != NULL ? query : "");
}

/*
 * Where a GET may write, the query says it all; and some providers post with
 * all that they have to say in the query.
 */
static bool
says_it_in_query(const Exchange *exchange)
{
	struct evbuffer *input = evhttp_request_get_input_buffer(exchange->http);

	return (exchange->match.route->flags & ROUTE_GET_WRITES) != 0 &&
		(exchange->method == METHOD_GET || evbuffer_get_length(input) == 0);
}

/* The client may leave while the call still runs, so the body changes hands. */
static void
take_raw_body(Exchange *exchange)
{
	struct evbuffer *input = evhttp_request_get_input_buffer(exchange->http);
	Call	   *call = &exchange->call;

	exchange->query_is_body = says_it_in_query(exchange);
	if (exchange->query_is_body)
	{
		const char *query = exchange->match.query;

		/* A key in the query is no part of the call; see headers.c. */
		call->body = exchange->match.key != NULL ? query : request_query_without(exchange->arena, query, "key");
		call->body_len = strlen(call->body);
		return;
	}
	exchange->body = evbuffer_new();
	evbuffer_add_buffer(exchange->body, input);
	call->body_len = evbuffer_get_length(exchange->body);
	call->body = call->body_len > 0 ? (const char *) evbuffer_pullup(exchange->body, -1) : "";
}

/* Fills the arguments; true if that ended the exchange. */
static bool
refuse_arguments(Exchange *exchange)
{
	struct evbuffer *input = evhttp_request_get_input_buffer(exchange->http);
	size_t		len = evbuffer_get_length(input);
	const char *body = len > 0 ? (const char *) evbuffer_pullup(input, -1) : "";
	const char *content_type = request_header(evhttp_request_get_input_headers(exchange->http), "Content-Type");
	Call	   *call = &exchange->call;
	ArgumentVerdict verdict;

	verdict = request_arguments(exchange->arena, call->function, &exchange->match,
								content_type, body, len, call->args);
	if (verdict == ARGUMENTS_BAD_TYPE)
		exchange_send_error(exchange, 415, "PGRST107", "the body must be JSON or a form");
	else if (verdict == ARGUMENTS_BAD_BODY)
		exchange_send_error(exchange, 400, "PGRST102", "the body must be a JSON object, and not deeply nested");
	return verdict != ARGUMENTS_GOOD;
}

static void
submit(Exchange *exchange)
{
	const struct evkeyvalq *headers = evhttp_request_get_input_headers(exchange->http);
	const Route *route = exchange->match.route;
	bool		writes = exchange->method == METHOD_POST || (route->flags & ROUTE_GET_WRITES) != 0;
	Call	   *call = &exchange->call;

	call->read_only = !writes;
	call->role = exchange->identity.role;
	call->claims = exchange->identity.claims;
	call->method = writes ? "POST" : method_name(exchange->method);
	call->path = route->pattern;
	call->headers = request_headers_json(exchange->arena, headers, &exchange->match,
										 exchange->peer.text, exchange->id, exchange->query_is_body);
	call->cookies = request_cookies_json(exchange->arena, headers);
	call->done = on_call_done;
	call->owner = exchange;
	start_call(exchange, call);
}

static Exchange *
exchange_begin(ExchangeContext *context, struct evhttp_request *http)
{
	Exchange   *exchange = must_alloc(sizeof(Exchange));
	struct evhttp_connection *connection = evhttp_request_get_connection(http);
	const struct evkeyvalq *headers = evhttp_request_get_input_headers(http);
	char	   *address = NULL;
	ev_uint16_t port;

	connection_request_came(connection);
	context->active++;
	exchange->holds = 1;
	exchange->context = context;
	exchange->http = http;
	exchange->arena = arena_new();
	exchange->method = method_of(http);
	clock_gettime(CLOCK_MONOTONIC, &exchange->began);
	evhttp_connection_get_peer(connection, &address, &port);
	peer_find(exchange->arena, headers, address != NULL ? address : "",
			  context->options->proxies, context->options->trust_proxy, &exchange->peer);
	exchange->id = request_id(exchange->arena, headers);
	evhttp_connection_set_closecb(connection, on_client_gone, exchange);
	exchange->close = request_is_chunked(headers);
	return exchange;
}

static void
answer(Exchange *exchange)
{
	routes_match(exchange->arena, target_of(exchange), &exchange->match);
	if (refuse_request(exchange))
		return;
	if (exchange->call.function->input == INPUT_RAW)
		take_raw_body(exchange);
	else if (refuse_arguments(exchange))
		return;
	submit(exchange);
}

void
exchange_start(struct evhttp_request *http, void *arg)
{
	answer(exchange_begin(arg, http));
}

void
exchange_start_metrics(struct evhttp_request *http, void *arg)
{
	Exchange   *exchange = exchange_begin(arg, http);

	exchange->for_metrics = true;
	answer(exchange);
}
