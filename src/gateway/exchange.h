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

#include "jwt.h"
#include "options.h"
#include "pool.h"

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

/* The HTTP library's callback; arg is an ExchangeContext. */
extern void exchange_start(struct evhttp_request *http, void *arg);

/* The same for a listener that is there for the figures alone. */
extern void exchange_start_metrics(struct evhttp_request *http, void *arg);

#endif							/* GATEWAY_EXCHANGE_H */
