/*
 * metrics.h
 *	  What Prometheus reads at /metrics.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_METRICS_H
#define GATEWAY_METRICS_H

#include <event2/buffer.h>
#include <stddef.h>

#include "pool.h"
#include "routes.h"

/* Events that are no request's end. */
typedef enum MetricsEvent
{
	METRICS_ACCEPTED,			/* a client has connected */
	METRICS_LIMITED,			/* answered 429 for its address's sake */
	METRICS_CUT_SLOW,			/* a request took too long to arrive */
	METRICS_CUT_LARGE,			/* more came than a request may have */
	METRICS_CUT_MEMORY,			/* no room for it */
	METRICS_EVENTS
} MetricsEvent;

/* What only others know, at the moment of the scrape. */
typedef struct MetricsNow
{
	PoolFigures pool;
	int			active;			/* requests */
	size_t		held;			/* bytes */
	size_t		max_held;
	int			limited_clients;
} MetricsNow;

/* Before clients connect: what is open now is no client's. */
extern void metrics_start(const PoolFigures *pool);
extern void metrics_note(MetricsEvent event);

/* A request has been answered; route is NULL if it found none. */
extern void metrics_request(const Route *route, int status, double seconds);
extern void metrics_write(struct evbuffer *out, const MetricsNow *now);

#endif							/* GATEWAY_METRICS_H */
