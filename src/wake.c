/*
 * wake.c
 *	  Wakes workers and the launcher when a transaction commits.
 *
 * A statement trigger on the outbox, or a function that stores a webhook, arms a
 * flag; the commit of the transaction sets the latch of the database's couriers,
 * or of its inbox worker.  Nothing is sent for a transaction that rolls back, and
 * the worker cannot wake too early: the callback runs when the commit is visible
 * to others.  LISTEN and NOTIFY are not for background workers.  After PREPARE
 * TRANSACTION nobody is woken: a courier's poll finds the messages
 * (wacta.poll_interval), an inbox worker's the webhooks (within a minute).
 *
 * In a server that does not preload wacta all of this does nothing.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "shmem.h"
#include "wacta.h"

/* What the current transaction will do when it commits */
static bool wake_at_commit[] = {
	[WORKER_COURIER] = false,
	[WORKER_INBOX] = false
};
static bool wake_launcher_at_commit = false;

/*
 * The latch ends the worker's sleep.  The count is what it goes by: a worker
 * that is inside a transaction just now may have its latch reset there, by a wait
 * for a lock or for a synchronous standby, and would forget that it was woken.
 */
static void
set_latches(WorkerKind kind)
{
	int			i;

	LWLockAcquire(wacta_shared->lock, LW_SHARED);
	for (i = 0; i < wacta_shared->n_slots; i++)
	{
		WorkerSlot *slot = &wacta_shared->slot[i];

		if (slot->latch != NULL && slot->kind == kind && slot->database_oid == MyDatabaseId)
		{
			pg_atomic_fetch_add_u32(&slot->wakes, 1);
			SetLatch(slot->latch);
		}
	}
	LWLockRelease(wacta_shared->lock);
}

/*
 * Something was installed in this database: whatever was absent may be there.
 * The flag is set in a running worker's slot as well, which may have looked a
 * moment too early; it is used when that worker has ended.
 */
static void
look_again_at_once(void)
{
	int			i;

	LWLockAcquire(wacta_shared->lock, LW_EXCLUSIVE);
	for (i = 0; i < wacta_shared->n_slots; i++)
	{
		WorkerSlot *slot = &wacta_shared->slot[i];

		if (slot->in_use &&
			(slot->database_oid == MyDatabaseId || !OidIsValid(slot->database_oid)))
			slot->look_again = true;
	}
	wake_launcher();
	LWLockRelease(wacta_shared->lock);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	WorkerKind	kind;

	switch (event)
	{
		case XACT_EVENT_COMMIT:
			for (kind = 0; kind < lengthof(wake_at_commit); kind++)
				if (wake_at_commit[kind])
					set_latches(kind);
			if (wake_launcher_at_commit)
				look_again_at_once();
			/* FALLTHROUGH */
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			memset(wake_at_commit, 0, sizeof(wake_at_commit));
			wake_launcher_at_commit = false;
			break;
		default:
			break;
	}
}

/* Called from _PG_init of a server that preloads wacta. */
void
wacta_wake_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
}

PG_FUNCTION_INFO_V1(wacta_wake_courier);

/* SQL: wacta.wake_courier() RETURNS trigger: on a statement that adds messages. */
Datum
wacta_wake_courier(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as a trigger", "wacta.wake_courier")));

	wake_at_commit[WORKER_COURIER] = wacta_shared != NULL;
	return PointerGetDatum(NULL);
}

PG_FUNCTION_INFO_V1(wacta_wake);

/* SQL: wacta.wake() RETURNS void: for functions that make messages due by an UPDATE. */
Datum
wacta_wake(PG_FUNCTION_ARGS)
{
	wake_at_commit[WORKER_COURIER] = wacta_shared != NULL;
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(wacta_wake_inbox);

/* SQL: wacta.wake_inbox() RETURNS void: for functions that leave something to be applied. */
Datum
wacta_wake_inbox(PG_FUNCTION_ARGS)
{
	wake_at_commit[WORKER_INBOX] = wacta_shared != NULL;
	PG_RETURN_VOID();
}

/* Databases have come or gone, or something was installed in this one. */
void
wake_launcher_when_committed(void)
{
	wake_launcher_at_commit = wacta_shared != NULL;
}

PG_FUNCTION_INFO_V1(wacta_wake_launcher);

/* SQL: wacta.wake_launcher() RETURNS void: the install script calls it last. */
Datum
wacta_wake_launcher(PG_FUNCTION_ARGS)
{
	wake_launcher_when_committed();
	PG_RETURN_VOID();
}
