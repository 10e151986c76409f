/*
 * share.c
 *	  How much of the pool a call may take, and for whom it counts.
 *
 * A connection that waits is lost to everybody else: for the lock of a lead, for
 * figures over a year, for a password's hash.  So calls that may wait for the
 * same thing have a key in common, and the pool runs only so many of one key at
 * a time.  Taps of one lead would wait for each other in the database anyway;
 * here the second waits without a connection, and a lead whose row is locked
 * costs one connection and no more.  Webhooks and the staff's pages may each have
 * half of the pool: the rest is always there for customers.
 *
 * Nothing depends on a key being right: a forged one only waits behind others of
 * its kind.  Called by exchange.c; pool.c counts.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "share.h"

#include <stddef.h>
#include <string.h>

#define LEAD_WAITING	8		/* taps and clicks of one lead that may queue up */
#define PASSWORDS		2		/* checked at once */

/*
 * Where a signed token has its lead, see src/token.c: all links of one lead are
 * alike there.
 */
#define TOKEN_LEN		60
#define TOKEN_LEAD_AT	6
#define TOKEN_LEAD_LEN	12

/* FNV-1a: two leads that meet share a queue, which hurts neither. */
static uint64_t
hash(CallShare share, const char *text, size_t len)
{
	uint64_t	value = UINT64_C(14695981039346656037) ^ share;
	size_t		i;

	for (i = 0; i < len; i++)
		value = (value ^ (unsigned char) text[i]) * UINT64_C(1099511628211);
	return value | 1;
}

static const char *
argument(const ApiFunction *function, const char *const *args, const char *name)
{
	int			i;

	for (i = 0; i < function->nargs; i++)
	{
		if (strcmp(function->args[i], name) == 0)
			return args[i];
	}
	return NULL;
}

/*
 * The token comes first: of a link only that is proved, and another lead_id with
 * each request must not make another key.
 */
static uint64_t
lead_key(const ApiFunction *function, const char *const *args)
{
	const char *lead_id = argument(function, args, "lead_id");
	const char *token = argument(function, args, "token");

	if (token != NULL && strlen(token) == TOKEN_LEN)
		return hash(SHARE_LEAD, token + TOKEN_LEAD_AT, TOKEN_LEAD_LEN);
	if (token != NULL)
		return hash(SHARE_LEAD, token, strcspn(token, ":"));
	return lead_id != NULL ? hash(SHARE_LEAD, lead_id, strlen(lead_id)) : 0;
}

static int
half(int of)
{
	return of > 1 ? of / 2 : 1;
}

Share
share_of(const ApiFunction *function, const char *const *args, int pool, int queue)
{
	switch (function->share)
	{
		case SHARE_LEAD:
			return (Share) {.key = lead_key(function, args),.running = 1,.waiting = LEAD_WAITING};
		case SHARE_PROVIDERS:
		case SHARE_STAFF:
			return (Share) {.key = hash(function->share, "", 0),.running = half(pool),.waiting = half(queue)};
		case SHARE_PASSWORDS:
			return (Share) {.key = hash(function->share, "", 0),.running = PASSWORDS,.waiting = 0};
		case SHARE_ALL:
			break;
	}
	return (Share) {0};
}
