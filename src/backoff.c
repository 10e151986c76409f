/*
 * backoff.c
 *	  When to try again: exponential, capped, spread by a reproducible jitter.
 *
 * A pure function of its arguments, so that the schedule of a message can be
 * told in advance and tested exactly.  Used by the launcher for couriers that
 * fail, and from SQL for messages.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "backoff.h"

#include "common/int.h"
#include "fmgr.h"
#include "utils/timestamp.h"

/* A number in [0, 1) that depends on both arguments (the finalizer of splitmix64). */
static double
fraction(uint64 seed, int attempt)
{
	uint64		x = seed + UINT64CONST(0x9e3779b97f4a7c15) * (uint64) attempt;

	x = (x ^ (x >> 30)) * UINT64CONST(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64CONST(0x94d049bb133111eb);
	x ^= x >> 31;
	return (double) (x >> 11) / (double) (UINT64CONST(1) << 53);
}

/*
 * The delay after the attempt-th failure, in the unit of base and cap.
 *
 * base * 2^(attempt - 1), at most cap, then shortened by up to the share jitter
 * of it.  The jitter only shortens: otherwise those that have reached the cap
 * would have to exceed it, or all come back at the same moment.
 */
int64
backoff_delay(int attempt, int64 base, int64 cap, double jitter, uint64 seed)
{
	int64		delay = base;
	int			i;

	for (i = 1; i < attempt && delay < cap; i++)
		delay = delay > cap / 2 ? cap : delay * 2;
	delay = Min(delay, cap);
	return delay - (int64) (delay * jitter * fraction(seed, attempt));
}

/* The length of an interval in microseconds; an interval with months has none. */
static int64
interval_length(const Interval *interval, const char *name)
{
	int64		days = (int64) interval->day * USECS_PER_DAY;
	int64		length;

	if (interval->month != 0 || pg_add_s64_overflow(days, interval->time, &length) || length < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be a length of time without months, and not negative", name)));
	return length;
}

PG_FUNCTION_INFO_V1(wacta_backoff);

/* SQL: wacta.backoff(attempt, base, cap, jitter, seed) RETURNS interval */
Datum
wacta_backoff(PG_FUNCTION_ARGS)
{
	int			attempt = PG_GETARG_INT32(0);
	int64		base = interval_length(PG_GETARG_INTERVAL_P(1), "base");
	int64		cap = interval_length(PG_GETARG_INTERVAL_P(2), "cap");
	double		jitter = PG_GETARG_FLOAT8(3);
	Interval   *result;

	if (attempt < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be at least 1", "attempt")));
	if (!(jitter >= 0 && jitter <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be between 0 and 1", "jitter")));

	result = palloc0(sizeof(Interval));
	result->time = backoff_delay(attempt, base, cap, jitter, (uint64) PG_GETARG_INT64(4));
	PG_RETURN_INTERVAL_P(result);
}
