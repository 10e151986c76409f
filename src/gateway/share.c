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

#define PASSWORDS		2		/* checked at once */
#define PASSWORDS_WAITING 16	/* about half a second */
#define CLIENT_WAITING	16		/* of one address that is limited */

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
	const uint64_t prime = UINT64_C(1099511628211);
	uint64_t	value = (UINT64_C(14695981039346656037) ^ share) * prime;
	size_t		i;

	for (i = 0; i < len; i++)
		value = (value ^ (unsigned char) text[i]) * prime;
	return value != 0 ? value : 1;
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
	Share		share = {.key = hash(function->share, "", 0),.status = 503};

	switch (function->share)
	{
		case SHARE_LEAD:
			share.key = lead_key(function, args);
			share.running = 1;
			share.waiting = half(half(queue));
			return share;
		case SHARE_PROVIDERS:
		case SHARE_STAFF:
			share.running = half(pool);
			share.waiting = half(queue);
			return share;
		case SHARE_PASSWORDS:
			share.running = PASSWORDS;
			share.waiting = PASSWORDS_WAITING;
			share.status = 429;
			return share;
		default:
			return (Share) {0};
	}
}

Share
share_of_client(const struct in6_addr *address)
{
	return (Share)
	{
		.key = hash(SHARE_CLIENT, (const char *) address->s6_addr, sizeof(address->s6_addr)),
			.running = 1,.waiting = CLIENT_WAITING,.status = 429
	};
}
