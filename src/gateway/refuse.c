/*
 * refuse.c
 *	  What needs no database: requests that are refused, and the figures.
 *
 * Soundness, route, method, size, token, and how often the address was refused
 * before: each check may answer the request and is then true.  Called by
 * exchange.c, which goes on with what is left.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "refuse.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <time.h>

#include "limit.h"
#include "memory.h"
#include "metrics.h"
#include "request.h"

#define MAX_ARGUMENTS_BODY (64 * 1024)

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
void
refuse_charge(const Exchange *exchange)
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

/* Of an address that is limited, what could not prove itself gets the 429, too. */
void
refuse_bad_proof(Exchange *exchange)
{
	if (exchange->wait > 0 && is_refusal(exchange->reply.status))
		reply_limited(exchange);
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
	exchange_send(exchange);
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
		exchange_send_error(exchange, 400, "PGRST100", "the head of the request can be read in more ways than one");
		return true;
	}
	if (route == NULL)
	{
		exchange_send_error(exchange, 404, "PGRST125", "no such path");
		return true;
	}
	if (exchange->method == METHOD_OPTIONS)
	{
		reply_add_header(exchange->arena, &exchange->reply, "Allow", routes_allow(route));
		exchange->reply.status = 204;
		exchange_send(exchange);
		return true;
	}
	if (routes_function(route, exchange->method) == NULL)
	{
		reply_add_header(exchange->arena, &exchange->reply, "Allow", routes_allow(route));
		exchange_send_error(exchange, 405, "PGRST101", "this path does not take this method");
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
		exchange_send_error(exchange, 413, "54000", "the body is too large");
	else
		exchange_send_error(exchange, 503, "53200", "too many requests are being held");
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
			exchange_send_error(exchange, 401, "PGRST301", "JWT refused");
			break;
		case AUTH_EXPIRED:
			exchange_send_error(exchange, 401, "PGRST301", "JWT expired");
			break;
		case AUTH_EARLY:
			exchange_send_error(exchange, 401, "PGRST301", "JWT not yet valid");
			break;
		case AUTH_BAD_ROLE:
			exchange_send_error(exchange, 403, "42501", "the role of this token cannot be used");
			break;
		case AUTH_CROSS_SITE:
			exchange_send_error(exchange, 403, "42501", "a request from another site");
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
	exchange_send(exchange);
	return true;
}

bool
refuse_request(Exchange *exchange)
{
	/* Who shows nothing that could prove a right is refused at once. */
	if ((!has_credentials(exchange) && refuse_limited(exchange)) ||
		answer_metrics(exchange) || refuse_early(exchange))
		return true;
	exchange->call.function = routes_function(exchange->match.route, exchange->method);
	return refuse_body(exchange) || refuse_stranger(exchange) || refuse_limited(exchange);
}
