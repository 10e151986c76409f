/*
 * share.h
 *	  How much of the pool a call may take, and for whom it counts.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_SHARE_H
#define GATEWAY_SHARE_H

#include <netinet/in.h>
#include <stdint.h>

#include "routes.h"

/* Calls of one key are counted together. */
typedef struct Share
{
	uint64_t	key;			/* 0: not counted */
	int			running;		/* at most so many at once */
	int			waiting;		/* and at most so many behind them */
	int			status;			/* for those beyond */
} Share;

/* args are those of the function; pool and queue the sizes of both. */
extern Share share_of(const ApiFunction *function, const char *const *args, int pool, int queue);

/* For all calls of one address. */
extern Share share_of_client(const struct in6_addr *address);

#endif							/* GATEWAY_SHARE_H */
