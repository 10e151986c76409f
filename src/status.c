/*
 * status.c
 *	  wacta.courier_status(): one row a courier.
 *
 * Reads shared memory alone, so it answers in any database and while couriers
 * are stuck.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "guc.h"
#include "miscadmin.h"
#include "shmem.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#define STATUS_COLUMNS	15

/* The one word an operator reads. */
static const char *
state_name(const CourierSlot *slot, uint64 in_flight, bool suspended)
{
	switch (slot->state)
	{
		case COURIER_WAITING:
			return suspended ? "suspended" : "waiting";
		case COURIER_STARTING:
			return "starting";
		case COURIER_RUNNING:
			if (slot->stopping)
				return "stopping";
			if (in_flight > 0)
				return "sending";
			return wacta_enabled ? "idle" : "disabled";
		case COURIER_ABSENT:
			return "absent";
		case COURIER_BACKOFF:
			return "backoff";
	}
	return "?";					/* keep compiler quiet */
}

static void
fill_row(CourierSlot *slot, bool suspended, Datum *values, bool *nulls)
{
	bool		will_start = slot->state != COURIER_RUNNING && slot->state != COURIER_STARTING;
	uint64		count[COURIER_COUNTERS];
	int			i;
	int			c = 0;

	memset(nulls, 0, STATUS_COLUMNS * sizeof(bool));
	for (i = 0; i < COURIER_COUNTERS; i++)
		count[i] = pg_atomic_read_u64(&slot->counter[i]);

	values[c++] = NameGetDatum(&slot->database);
	values[c++] = Int32GetDatum(slot->number);
	nulls[c] = slot->pid == 0;
	values[c++] = Int32GetDatum((int32) slot->pid);
	values[c++] = CStringGetTextDatum(state_name(slot, count[COUNT_IN_FLIGHT], suspended));
	values[c++] = TimestampTzGetDatum(slot->since);
	values[c++] = Int32GetDatum((int32) count[COUNT_IN_FLIGHT]);
	values[c++] = Int64GetDatum((int64) count[COUNT_CLAIMED]);
	values[c++] = Int64GetDatum((int64) count[COUNT_ACCEPTED]);
	values[c++] = Int64GetDatum((int64) count[COUNT_FAILED]);
	values[c++] = Int64GetDatum((int64) count[COUNT_IN_DOUBT]);
	values[c++] = Int64GetDatum((int64) count[COUNT_RETRIED]);
	values[c++] = Int32GetDatum(Max(slot->starts - 1, 0));
	nulls[c] = !will_start;
	values[c++] = TimestampTzGetDatum(slot->next_start);
	nulls[c] = slot->last_error_at == 0;
	values[c++] = CStringGetTextDatum(slot->last_error);
	nulls[c] = slot->last_error_at == 0;
	values[c++] = TimestampTzGetDatum(slot->last_error_at);
	Assert(c == STATUS_COLUMNS);
}

PG_FUNCTION_INFO_V1(wacta_courier_status);

/* SQL: wacta.courier_status() RETURNS TABLE (...) */
Datum
wacta_courier_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		values[STATUS_COLUMNS];
	bool		nulls[STATUS_COLUMNS];
	int			i;

	if (wacta_shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there are no couriers because \"%s\" is not preloaded", "wacta"),
				 errhint("Add \"wacta\" to \"shared_preload_libraries\" and restart the server.")));

	InitMaterializedSRF(fcinfo, 0);
	for (i = 0; i < wacta_shared->n_slots; i++)
	{
		CourierSlot slot;
		bool		suspended;

		/* A copy, because the lock must not be held while memory is allocated. */
		LWLockAcquire(wacta_shared->lock, LW_SHARED);
		slot = wacta_shared->slot[i];
		suspended = slot.in_use && database_is_suspended(slot.database_oid);
		LWLockRelease(wacta_shared->lock);
		if (!slot.in_use)
			continue;
		fill_row(&slot, suspended, values, nulls);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
