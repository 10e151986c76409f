/*
 * limit.h
 *	  How much of what is refused one address may ask for.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_LIMIT_H
#define GATEWAY_LIMIT_H

#include <netinet/in.h>
#include <stdint.h>

/* All in points; burst 0 switches the limit off. */
typedef struct LimitRules
{
	long		burst;
	long		rate;			/* given back a second */
} LimitRules;

/* now is milliseconds of a clock that never goes back. */
extern void limit_spend(const LimitRules *rules, const struct in6_addr *client, long points, int64_t now);

/* Seconds until the client may ask again, 0 if it may at once. */
extern long limit_wait(const LimitRules *rules, const struct in6_addr *client, int64_t now);

/* Clients that may not ask now. */
extern int	limit_clients(const LimitRules *rules, int64_t now);

#endif							/* GATEWAY_LIMIT_H */
