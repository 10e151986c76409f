/*
 * exchange.c
 *	  One request and its reply, from its head to its last byte.
 *
 * The HTTP library stops reading a connection while a request of it is being
 * answered, so a client that has left is noticed when the reply is written; on
 * every way a connection can end, on_client_gone is told first.
 *
 * This file only orders the steps; what they mean is in routes, request, auth,
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
#include "arena.h"
#include "auth.h"
#include "connection.h"
#include "limit.h"
#include "memory.h"
#include "metrics.h"
#include "peer.h"
#include "reply.h"
#include "request.h"
#include "routes.h"
#include "text.h"

#define MAX_ARGUMENTS_BODY (64 * 1024)

typedef struct Exchange
{
	ExchangeContext *context;
	Arena	   *arena;
	struct evhttp_request *http;	/* NULL when the client has gone */
	struct timespec began;
	HttpMethod	method;
	RouteMatch	match;			/* match.route NULL: no such route */
	Peer		peer;
	const char *id;				/* X-Request-Id */
	bool		for_metrics;	/* came where only they are told */
	long		wait;			/* seconds that its address is limited for, or 0 */
	Identity	identity;
	struct evbuffer *body;		/* INPUT_RAW */
	bool		query_is_body;	/* INPUT_RAW, and body is NULL */
	Call		call;
	Call		visit;			/* its record, once the client has the answer */
	Reply		reply;
	bool		close;			/* no further request on this connection */
	int			holds;			/* what is still to end: the reply, the visit's record */
} Exchange;

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

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * A 429 is none, since it would prolong itself, nor is a conflict, which a client
 * with every right may meet.
 */
static bool
is_refusal(int status)
{
	return status >= 400 && status < 500 && status != 409 && status != 429;
}

/*
 * What a request costs its address: little if it was refused, much if it tried
 * a password in vain.
 */
static long
points_of(const Exchange *exchange)
{
	const Options *options = exchange->context->options;
	const Route *route = exchange->match.route;
	bool		signs_in = route != NULL && (route->flags & ROUTE_SESSION) != 0 && exchange->method == METHOD_POST;

	if (!is_refusal(exchange->reply.status))
		return exchange->identity.authenticated ? 0 : options->limit_request;
	return signs_in ? options->limit_login : 1;
}

/*
 * Behind a proxy that nobody has named, all clients have one address, and it is
 * not they who should pay for each other.
 */
static void
charge(const Exchange *exchange)
{
	static bool warned;

	if (!exchange->peer.is_unnamed_proxy)
	{
		limit_spend(&exchange->context->options->limit, &exchange->peer.address, points_of(exchange), now_ms());
		return;
	}
	if (!warned)
		fprintf(stderr, "wacta-gateway: requests come through a proxy that trusted-proxies does not name: "
				"clients cannot be told apart, and are not limited\n");
	warned = true;
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
static void
send_reply(Exchange *exchange)
{
	struct evhttp_request *http = exchange->http;
	struct evbuffer *body;

	if (http != NULL && wants_page(exchange))
		reply_error_page(exchange->arena, &exchange->reply);
	note_end(exchange);
	charge(exchange);
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

static void
send_error(Exchange *exchange, int status, const char *code, const char *message)
{
	reply_error(exchange->arena, &exchange->reply, status, code, message, NULL, NULL);
	send_reply(exchange);
}

/* Instead of whatever the answer was. */
static void
reply_limited(Exchange *exchange)
{
	Reply	   *reply = &exchange->reply;

	metrics_note(METRICS_LIMITED);
	*reply = (Reply) {0};
	reply_add_header(exchange->arena, reply, "Retry-After", arena_printf(exchange->arena, "%ld", exchange->wait));
	reply_error(exchange->arena, reply, 429, "53400", "too many requests of this address were refused", NULL, NULL);
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
	if (exchange->wait > 0 && is_refusal(exchange->reply.status))
		reply_limited(exchange);
	if (is_tap_due(exchange))
	{
		make_tap(exchange);
		return;
	}
	visit = is_visit(exchange);
	exchange->holds += visit;
	send_reply(exchange);
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
 * Figures tell much about a site: to programs on this machine, or to who reaches
 * the listener that is there for them.
 */
static bool
may_see_metrics(const Exchange *exchange)
{
	return exchange->for_metrics ||
		(exchange->context->options->metrics_listen[0] == '\0' && exchange->peer.is_local);
}

static void
send_metrics(Exchange *exchange)
{
	const ExchangeContext *context = exchange->context;
	struct evbuffer *text = evbuffer_new();
	MetricsNow	now = {
		.pool = pool_figures(context->pool),
		.active = context->active,
		.held = memory_held(),
		.max_held = (size_t) context->options->max_held,
		.limited_clients = limit_clients(&context->options->limit, now_ms()),
	};
	Reply	   *reply = &exchange->reply;

	metrics_write(text, &now);
	reply->status = 200;
	reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
	reply->body_len = evbuffer_get_length(text);
	reply->body = arena_strndup(exchange->arena, (const char *) evbuffer_pullup(text, -1), reply->body_len);
	evbuffer_free(text);
	reply_add_header(exchange->arena, reply, "Cache-Control", "no-store");
	send_reply(exchange);
}

/* Figures, and nothing else, where they belong; true if that ended the exchange. */
static bool
answer_metrics(Exchange *exchange)
{
	const Route *route = exchange->match.route;
	bool		is_metrics = route != NULL && (route->flags & ROUTE_METRICS) != 0;

	if ((is_metrics && !may_see_metrics(exchange)) || (!is_metrics && exchange->for_metrics))
	{
		exchange->match.route = NULL;
		return false;
	}
	if (!is_metrics || (exchange->method != METHOD_GET && exchange->method != METHOD_HEAD))
		return false;
	send_metrics(exchange);
	return true;
}

/* Refuses what cannot be answered without the database; true if it did. */
static bool
refuse_early(Exchange *exchange)
{
	const Route *route = exchange->match.route;

	if (!request_head_is_sound(exchange->method, evhttp_request_get_input_headers(exchange->http)))
	{
		exchange->close = true;
		send_error(exchange, 400, "PGRST100", "the head of the request can be read in more ways than one");
		return true;
	}
	if (route == NULL)
	{
		send_error(exchange, 404, "PGRST125", "no such path");
		return true;
	}
	if (exchange->method == METHOD_OPTIONS)
	{
		reply_add_header(exchange->arena, &exchange->reply, "Allow", routes_allow(route));
		exchange->reply.status = 204;
		send_reply(exchange);
		return true;
	}
	if (routes_function(route, exchange->method) == NULL)
	{
		reply_add_header(exchange->arena, &exchange->reply, "Allow", routes_allow(route));
		send_error(exchange, 405, "PGRST101", "this path does not take this method");
		return true;
	}
	return false;
}

/*
 * Refuses a body that is too large, or for which there is no room: this one is
 * in memory already, but leaves it at once.  True if it did.
 */
static bool
refuse_body(Exchange *exchange)
{
	size_t		len = evbuffer_get_length(evhttp_request_get_input_buffer(exchange->http));
	bool		too_large = exchange->call.function->input == INPUT_ARGS && len > MAX_ARGUMENTS_BODY;

	if (len == 0 || (!too_large && memory_held() <= (size_t) exchange->context->options->max_held))
		return false;
	exchange->close = true;
	if (too_large)
		send_error(exchange, 413, "54000", "the body is too large");
	else
		send_error(exchange, 503, "53200", "too many requests are being held");
	return true;
}

/* Finds out who is asking; true if that ended the exchange. */
static bool
refuse_stranger(Exchange *exchange)
{
	ExchangeContext *context = exchange->context;

	switch (auth_identify(exchange->arena, context->keys, context->options->anon_role,
						  evhttp_request_get_input_headers(exchange->http),
						  exchange->match.route->flags, exchange->method == METHOD_POST,
						  &exchange->identity))
	{
		case AUTH_GOOD:
			return false;
		case AUTH_REFUSED:
			send_error(exchange, 401, "PGRST301", "JWT refused");
			break;
		case AUTH_EXPIRED:
			send_error(exchange, 401, "PGRST301", "JWT expired");
			break;
		case AUTH_EARLY:
			send_error(exchange, 401, "PGRST301", "JWT not yet valid");
			break;
		case AUTH_BAD_ROLE:
			send_error(exchange, 403, "42501", "the role of this token cannot be used");
			break;
		case AUTH_CROSS_SITE:
			send_error(exchange, 403, "42501", "a request from another site");
			break;
	}
	return true;
}

static bool
has_credentials(const Exchange *exchange)
{
	const struct evkeyvalq *headers = evhttp_request_get_input_headers(exchange->http);

	return request_header(headers, "Authorization") != NULL || request_header(headers, "Cookie") != NULL;
}

/*
 * Refuses a stranger whose address has been refused too often; true if it did.
 * Links and webhooks have their proof with them, and others share the address: so
 * these are looked at, on one connection for the whole address, and it is the bad
 * ones that get the 429 in the end.
 */
static bool
refuse_limited(Exchange *exchange)
{
	unsigned	flags = exchange->match.route != NULL ? exchange->match.route->flags : 0;

	exchange->wait = 0;
	if (!exchange->identity.authenticated && !exchange->peer.is_unnamed_proxy && (flags & ROUTE_NO_LIMIT) == 0)
		exchange->wait = limit_wait(&exchange->context->options->limit, &exchange->peer.address, now_ms());
	if (exchange->wait == 0 || (flags & (ROUTE_LINK | ROUTE_WEBHOOK)) != 0)
		return false;
	reply_limited(exchange);
	send_reply(exchange);
	return true;
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
		send_error(exchange, 415, "PGRST107", "the body must be JSON or a form");
	else if (verdict == ARGUMENTS_BAD_BODY)
		send_error(exchange, 400, "PGRST102", "the body must be a JSON object, and not deeply nested");
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
	/* Who shows nothing that could prove a right is refused at once. */
	if ((!has_credentials(exchange) && refuse_limited(exchange)) ||
		answer_metrics(exchange) || refuse_early(exchange))
		return;
	exchange->call.function = routes_function(exchange->match.route, exchange->method);
	if (refuse_body(exchange) || refuse_stranger(exchange) || refuse_limited(exchange))
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
