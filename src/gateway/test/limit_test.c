/*
 * limit_test.c
 *	  limit.c with a clock of its own: points, time, networks, a full table.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "limit.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const LimitRules rules = {.burst = 100,.rate = 4};
static int	tests;
static int	failures;

static void
ok(bool good, const char *what)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, what);
	failures += !good;
}

static struct in6_addr
address(const char *text)
{
	struct in6_addr parsed = {0};

	inet_pton(AF_INET6, text, &parsed);
	return parsed;
}

/* One of many that have nothing to do with each other. */
static struct in6_addr
stranger(unsigned number)
{
	char		text[64];

	snprintf(text, sizeof(text), "3fff:db8:%x:%x::1", number >> 16, number & 0xffff);
	return address(text);
}

static void
test_points(void)
{
	struct in6_addr client = address("::ffff:203.0.113.1");
	int			i;

	ok(limit_wait(&rules, &client, 1000) == 0, "a stranger may ask");
	for (i = 0; i < 99; i++)
		limit_spend(&rules, &client, 1, 1000);
	ok(limit_wait(&rules, &client, 1000) == 0, "and goes on until nothing is left");
	limit_spend(&rules, &client, 1, 1000);
	ok(limit_wait(&rules, &client, 1000) == 1, "then waits for one point");
	ok(limit_clients(&rules, 1000) == 1, "and is counted");
	ok(limit_wait(&rules, &client, 1249) == 1, "which comes back");
	ok(limit_wait(&rules, &client, 1250) == 0, "after a quarter of a second");
	limit_spend(&rules, &client, 40, 1250);
	ok(limit_wait(&rules, &client, 1250) == 10, "a debt takes its time");
	limit_spend(&rules, &client, 1000000, 1250);
	ok(limit_wait(&rules, &client, 1250) == 26, "but not for ever");
	ok(limit_wait(&rules, &client, 1250 + 26000) == 0, "and is paid");
	ok(limit_clients(&rules, 1250 + 60000) == 0, "nobody waits in the end");
}

static void
test_networks(void)
{
	struct in6_addr one = address("2001:db8:1:1::1");
	struct in6_addr neighbour = address("2001:db8:1:1:ffff:ffff:ffff:ffff");
	struct in6_addr other = address("2001:db8:1:2::1");
	struct in6_addr v4 = address("::ffff:203.0.113.2");
	struct in6_addr next = address("::ffff:203.0.113.3");

	limit_spend(&rules, &one, 200, 0);
	limit_spend(&rules, &v4, 200, 0);
	ok(limit_wait(&rules, &neighbour, 0) > 0, "a network of 64 bits is one client");
	ok(limit_wait(&rules, &other, 0) == 0, "the next one is another");
	ok(limit_wait(&rules, &v4, 0) > 0 && limit_wait(&rules, &next, 0) == 0, "of IPv4 every address is one");
}

static void
test_full(void)
{
	struct in6_addr worst = address("::ffff:203.0.113.9");
	struct in6_addr other;
	unsigned	i;
	int			limited = 0;

	limit_spend(&rules, &worst, 150, 0);
	for (i = 0; i < 300000; i++)
	{
		other = stranger(i);
		limit_spend(&rules, &other, 1, 0);
	}
	ok(limit_wait(&rules, &worst, 0) > 0, "many who owe little do not drive out who owes much");
	for (i = 0; i < 300000; i++)
	{
		other = stranger(i);
		limited += limit_wait(&rules, &other, 0) > 0;
	}
	ok(limited == 0, "nor are they taken for each other");
}

static void
test_off(void)
{
	const LimitRules off = {.burst = 0,.rate = 1};
	struct in6_addr client = address("::ffff:203.0.113.1");

	limit_spend(&off, &client, 1000000, 0);
	ok(limit_wait(&off, &client, 0) == 0 && limit_clients(&off, 0) == 0, "no burst, no limit");
}

int
main(void)
{
	test_points();
	test_networks();
	test_full();
	test_off();
	printf("1..%d\n", tests);
	return failures > 0;
}
