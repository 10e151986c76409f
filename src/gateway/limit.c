/*
 * limit.c
 *	  How much of what is refused one address may ask for.
 *
 * A bucket of points for each client: what is refused takes some out, time puts
 * them back, and who has none left gets a 429 before the database is asked.  Good
 * requests cost nothing, since thousands of customers of one telephone company
 * share an address.  An IPv6 client owns a whole /64, so that is its address here.
 *
 * The table has a fixed size.  A bucket that is full again is as good as none, so
 * a client takes the place in its row that owes least: new addresses drive out
 * the harmless first.  Called by refuse.c and connection.c.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "limit.h"

#include <event2/util.h>
#include <stdbool.h>
#include <string.h>

#define ROWS	4096			/* a power of two */
#define PLACES	8				/* in a row */
#define V6_BYTES 8				/* of an IPv6 address count */

/* 1/1000 of a point, so that a rate of few points a second still adds up. */
typedef int64_t Millipoints;

typedef struct Bucket
{
	struct in6_addr client;
	Millipoints owed;			/* 0: nobody's */
	int64_t		at;				/* when that was so */
} Bucket;

static Bucket table[ROWS][PLACES];

/* IPv4 addresses are mapped ones here. */
static struct in6_addr
client_of(const struct in6_addr *address)
{
	struct in6_addr client = *address;

	if (!IN6_IS_ADDR_V4MAPPED(address))
		memset(client.s6_addr + V6_BYTES, 0, sizeof(client.s6_addr) - V6_BYTES);
	return client;
}

/* Keyed, so that nobody can choose addresses that meet in one row. */
static Bucket *
row_of(const struct in6_addr *client)
{
	static uint64_t key[2];
	uint64_t	half[2];

	if (key[0] == 0)
	{
		evutil_secure_rng_get_bytes(key, sizeof(key));
		key[0] |= 1;
	}
	memcpy(half, client->s6_addr, sizeof(half));
	half[0] = (half[0] ^ key[1]) * key[0];
	half[0] = ((half[0] >> 32) ^ half[0] ^ half[1]) * key[0];
	return table[(half[0] >> 40) % ROWS];
}

static Millipoints
owed_now(const LimitRules *rules, const Bucket *bucket, int64_t now)
{
	Millipoints owed = bucket->owed - (now - bucket->at) * rules->rate;

	return owed > 0 ? owed : 0;
}

static Bucket *
find_bucket(const struct in6_addr *client)
{
	Bucket	   *row = row_of(client);
	int			i;

	for (i = 0; i < PLACES; i++)
	{
		if (row[i].owed > 0 && memcmp(&row[i].client, client, sizeof(*client)) == 0)
			return &row[i];
	}
	return NULL;
}

static Bucket *
take_place(const LimitRules *rules, const struct in6_addr *client, int64_t now)
{
	Bucket	   *row = row_of(client);
	Bucket	   *least = row;
	int			i;

	for (i = 1; i < PLACES; i++)
	{
		if (owed_now(rules, &row[i], now) < owed_now(rules, least, now))
			least = &row[i];
	}
	*least = (Bucket) {.client = *client,.at = now};
	return least;
}

/*
 * A debt ends at twice the burst: who has asked too much for long does not wait
 * for longer than it takes to earn one burst.
 */
void
limit_spend(const LimitRules *rules, const struct in6_addr *address, long points, int64_t now)
{
	struct in6_addr client = client_of(address);
	Millipoints most = (Millipoints) rules->burst * 2000;
	Bucket	   *bucket;

	if (rules->burst == 0 || points <= 0)
		return;
	bucket = find_bucket(&client);
	if (bucket == NULL)
		bucket = take_place(rules, &client, now);
	bucket->owed = owed_now(rules, bucket, now) + (Millipoints) points * 1000;
	bucket->at = now;
	if (bucket->owed > most)
		bucket->owed = most;
}

/* Who has less than a point left has none. */
static long
wait_of(const LimitRules *rules, const Bucket *bucket, int64_t now)
{
	Millipoints over = owed_now(rules, bucket, now) - (Millipoints) (rules->burst - 1) * 1000;
	Millipoints per_second = (Millipoints) rules->rate * 1000;

	return over <= 0 ? 0 : (long) ((over + per_second - 1) / per_second);
}

long
limit_wait(const LimitRules *rules, const struct in6_addr *address, int64_t now)
{
	struct in6_addr client = client_of(address);
	const Bucket *bucket = rules->burst > 0 ? find_bucket(&client) : NULL;

	return bucket != NULL ? wait_of(rules, bucket, now) : 0;
}

int
limit_clients(const LimitRules *rules, int64_t now)
{
	int			count = 0;
	int			row;
	int			i;

	for (row = 0; row < ROWS && rules->burst > 0; row++)
	{
		for (i = 0; i < PLACES; i++)
			count += wait_of(rules, &table[row][i], now) > 0;
	}
	return count;
}
