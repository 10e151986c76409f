/*
 * status.c
 *	  wacta.courier_status(), wacta.inbox_worker_status(): one row a worker.
 *
 * Reads shared memory alone, so it answers in any database and while workers
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

#define COURIER_COLUMNS	15

typedef void (*FillRow) (WorkerSlot *slot, bool suspended, Datum *values, bool *nulls);

/* The one word an operator reads. */
static const char *
state_name(const WorkerSlot *slot, uint64 in_flight, bool suspended)
{
	switch (slot->state)
	{
		case WORKER_WAITING:
			return suspended ? "suspended" : "waiting";
		case WORKER_STARTING:
			return "starting";
		case WORKER_RUNNING:
			if (slot->stopping)
				return "stopping";
			if (slot->kind == WORKER_INBOX)
				return "running";
			if (in_flight > 0)
				return "sending";
			return wacta_enabled ? "idle" : "disabled";
		case WORKER_ABSENT:
			return "absent";
		case WORKER_BACKOFF:
			return "backoff";
	}
	return "?";					/* keep compiler quiet */
}

/* When it is started again, and its last error: what all workers have. */
static void
fill_end(const WorkerSlot *slot, Datum *values, bool *nulls)
{
	bool		will_start = slot->state != WORKER_RUNNING && slot->state != WORKER_STARTING;

	values[0] = Int32GetDatum(Max(slot->starts - 1, 0));
	nulls[1] = !will_start;
	values[1] = TimestampTzGetDatum(slot->next_start);
	nulls[2] = nulls[3] = slot->last_error_at == 0;
	values[2] = CStringGetTextDatum(slot->last_error);
	values[3] = TimestampTzGetDatum(slot->last_error_at);
}

static void
fill_courier(WorkerSlot *slot, bool suspended, Datum *values, bool *nulls)
{
	uint64		count[COURIER_COUNTERS];
	int			i;
	int			c = 0;

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
	fill_end(slot, &values[c], &nulls[c]);
}

static void
fill_inbox(WorkerSlot *slot, bool suspended, Datum *values, bool *nulls)
{
	values[0] = NameGetDatum(&slot->database);
	nulls[1] = slot->pid == 0;
	values[1] = Int32GetDatum((int32) slot->pid);
	values[2] = CStringGetTextDatum(state_name(slot, 0, suspended));
	values[3] = TimestampTzGetDatum(slot->since);
	fill_end(slot, &values[4], &nulls[4]);
}

/* A row for each worker of the kind. */
static void
list_workers(FunctionCallInfo fcinfo, WorkerKind kind, FillRow fill_row)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			i;

	if (wacta_shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there are no %s because \"%s\" is not preloaded",
						kind == WORKER_COURIER ? "couriers" : "inbox workers", "wacta"),
				 errhint("Add \"wacta\" to \"shared_preload_libraries\" and restart the server.")));

	InitMaterializedSRF(fcinfo, 0);
	for (i = 0; i < wacta_shared->n_slots; i++)
	{
		Datum		values[COURIER_COLUMNS];
		bool		nulls[COURIER_COLUMNS] = {false};
		WorkerSlot	slot;
		bool		suspended;

		/* A copy, because the lock must not be held while memory is allocated. */
		LWLockAcquire(wacta_shared->lock, LW_SHARED);
		slot = wacta_shared->slot[i];
		suspended = slot.in_use && database_is_suspended(slot.database_oid);
		LWLockRelease(wacta_shared->lock);
		if (!slot.in_use || slot.kind != kind)
			continue;
		fill_row(&slot, suspended, values, nulls);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

PG_FUNCTION_INFO_V1(wacta_courier_status);

/* SQL: wacta.courier_status() RETURNS TABLE (...) */
Datum
wacta_courier_status(PG_FUNCTION_ARGS)
{
	list_workers(fcinfo, WORKER_COURIER, fill_courier);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(wacta_inbox_worker_status);

/* SQL: wacta.inbox_worker_status() RETURNS TABLE (...) */
Datum
wacta_inbox_worker_status(PG_FUNCTION_ARGS)
{
	list_workers(fcinfo, WORKER_INBOX, fill_inbox);
	return (Datum) 0;
}
