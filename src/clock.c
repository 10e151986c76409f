/*
 * clock.c
 *	  wacta.now(): the one clock of the domain.
 *
 * Everything in wacta that depends on the time of day asks this function, so
 * that a test can pin it (wacta.fixed_now, superuser only) instead of
 * sleeping.  It is clock_timestamp(), not now(): a courier that works through a
 * long batch must not judge due times by the moment its transaction began.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "fmgr.h"
#include "guc.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "wacta.h"

/*
 * The current time, or the pinned one.  The text was checked when the setting
 * was assigned, so parsing it here cannot fail for its form.
 */
TimestampTz
wacta_now(void)
{
	if (wacta_fixed_now == NULL || wacta_fixed_now[0] == '\0')
		return GetCurrentTimestamp();

	return DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
												   CStringGetDatum(wacta_fixed_now),
												   ObjectIdGetDatum(InvalidOid),
												   Int32GetDatum(-1)));
}

PG_FUNCTION_INFO_V1(wacta_now_sql);

/* SQL: wacta.now() RETURNS timestamptz */
Datum
wacta_now_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(wacta_now());
}
