/*
 * exchange.h
 *	  One request and its reply.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_EXCHANGE_H
#define GATEWAY_EXCHANGE_H

#include <event2/http.h>
#include <stdbool.h>
#include <time.h>

#include "arena.h"
#include "auth.h"
#include "call.h"
#include "jwt.h"
#include "options.h"
#include "peer.h"
#include "pool.h"
#include "reply.h"
#include "routes.h"

/* What all exchanges share. */
typedef struct ExchangeContext
{
	const Options *options;
	JwtKeys    *keys;			/* NULL: no token is good */
	Pool	   *pool;
	bool		stopping;		/* each reply is its connection's last */
	int			active;			/* exchanges that have begun and not ended */
	void		(*all_done) (void *owner);	/* active has become 0 */
	void	   *owner;
} ExchangeContext;

/* exchange.c and refuse.c share it; nobody else looks into it. */
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

/* The last that a step does: the exchange may be gone afterwards. */
extern void exchange_send(Exchange *exchange);
extern void exchange_send_error(Exchange *exchange, int status, const char *code, const char *message);

/* The HTTP library's callback; arg is an ExchangeContext. */
extern void exchange_start(struct evhttp_request *http, void *arg);

/* The same for a listener that is there for the figures alone. */
extern void exchange_start_metrics(struct evhttp_request *http, void *arg);

#endif							/* GATEWAY_EXCHANGE_H */
