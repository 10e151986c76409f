/*
 * pool.h
 *	  The connections to the database, and the queue in front of them.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_POOL_H
#define GATEWAY_POOL_H

#include <event2/event.h>
#include <stdint.h>

#include "call.h"

typedef struct Pool Pool;

typedef struct PoolConfig
{
	const char *conninfo;
	int			size;
	int			queue;			/* calls that may wait */
	int			group;			/* taps made in one transaction, at most */
	long		queue_timeout;	/* milliseconds, as the others */
	long		call_timeout;
	long		statement_timeout;
	long		lock_timeout;
} PoolConfig;

/* How it stands, for who watches it. */
typedef struct PoolFigures
{
	int			size;
	int			idle;
	int			busy;
	int			sockets;		/* connecting ones, too */
	int			waiting;		/* calls */
	uint64_t	connects;
	uint64_t	failures;
	uint64_t	groups;			/* of taps */
	uint64_t	grouped;		/* taps in them */
} PoolFigures;

/* Starts to connect; calls may be submitted at once.  Keeps config. */
extern Pool *pool_start(struct event_base *base, const PoolConfig *config);
extern void pool_submit(Pool *pool, Call *call);
extern PoolFigures pool_figures(const Pool *pool);

/* At the end of the program, when no call is left. */
extern void pool_stop(Pool *pool);

#endif							/* GATEWAY_POOL_H */
