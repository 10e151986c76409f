/*
 * inbox.c
 *	  The worker that applies the webhooks of one database, and its timer.
 *
 * A request stores a webhook's bytes, commits, and has its answer; its commit
 * wakes this worker.  What is due is applied oldest first, many bodies in a
 * transaction, each in a savepoint (63_inbox.sql).  A body whose time has not
 * come, or that somebody's lock holds up, comes again by itself.
 *
 * A body can end this process, or the server: by a fault of the server or of an
 * extension in a trigger, or by running out of memory.  So the first bodies after
 * a start, and those that have failed before, are taken one by one: a transaction
 * of its own says that this body is about to be tried, the next one applies it.
 * After a few tries that never ended it is set aside, and the others go on.
 *
 * Between webhooks the worker runs the jobs of wacta.schedule (69_schedule.sql), if
 * it is to: one transaction takes the job that is due and says when it comes again,
 * the next one runs it.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "inbox.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "postmaster/bgworker.h"
#include "refusal.h"
#include "shmem.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker.h"

/*
 * Who is served next does not wait for who is locked: it comes again soon, and
 * there may be many such.
 */
#define LOCK_TIMEOUT		"20ms"

#define BATCH_MAX			100 /* bodies in one transaction */
#define LOOK_EVERY_MS		60000	/* when nobody has woken us */
#define TEND_EVERY_MS		10000
#define PAUSE_MS			1000	/* after a failure, and after each more in a row */
#define JOB_LOOK_MS			1000	/* between looks at the schedule, when woken */
#define FAILURES_MAX		3	/* in a row, then the launcher's backoff */
#define EMPTY_LOOK_MS		100 /* what is due is locked by others */

/* While it fails no more often than this, requests rely on the worker's return. */
#define FAILURES_SERVED		5

/* Look again from here back, for what was committed late. */
#define COMMIT_LAG_US		(60 * USECS_PER_SEC)

/* What this worker is doing; times are monotonic ms. */
typedef struct InboxWorker
{
	bool		started;		/* a transaction has succeeded */
	uint32		wakes;			/* worker_wakes() when we last minded it */
	int			alone;			/* so many bodies are to be taken one by one */
	TimestampTz from;			/* nothing is due before this */
	int64		look_due;
	int64		tend_due;
	int64		jobs_looked_at;
	int64		jobs_due;
	int64		not_before;		/* pause after a failed transaction */
	int			failures;		/* in a row */
} InboxWorker;

/* What one transaction shall do, and what it has brought. */
typedef struct InboxRound
{
	enum
	{
		ROUND_BATCH, ROUND_TAKE, ROUND_APPLY, ROUND_FAIL, ROUND_TEND, ROUND_TAKE_JOB, ROUND_JOB
	}			what;
	TimestampTz from;
	int64		inbox_id;		/* 0: none is due */
	const ErrorData *error;
	char	   *job;			/* NULL: none is due */

	ExtensionPresence presence;
	int			applied;
	bool		alone;			/* some must be taken one by one */
	int			wait;			/* ms until more is due; -1: nothing is */
	TimestampTz first_due;
	bool		more;			/* tending is not finished */
} InboxRound;

static const char *const activities[] = {
	[ROUND_BATCH] = "wacta: applying webhooks",
	[ROUND_TAKE] = "wacta: taking a webhook",
	[ROUND_APPLY] = "wacta: applying a webhook alone",
	[ROUND_FAIL] = "wacta: noting a failure",
	[ROUND_TEND] = "wacta: tending the inbox",
	[ROUND_TAKE_JOB] = "wacta: looking at the schedule",
	[ROUND_JOB] = "wacta: running a job"
};

static WorkerStatement batch_statement = {
	"SELECT applied, alone, wait_ms, first_due FROM wacta.inbox_apply_due($1, $2)",
	2, {INT4OID, TIMESTAMPTZOID}
};
static WorkerStatement take_statement = {"SELECT wacta.inbox_take()", 0};
static WorkerStatement apply_statement = {"SELECT wacta.inbox_apply($1)", 1, {INT8OID}};
static WorkerStatement fail_statement = {
	"SELECT wacta.inbox_failed($1, $2, $3)",
	3, {INT8OID, TEXTOID, TEXTOID}
};
static WorkerStatement tend_statement = {"SELECT wacta.inbox_tend()", 0};
static WorkerStatement take_job_statement = {"SELECT job, wait_ms FROM wacta.take_due_job()", 0};
static WorkerStatement job_statement = {"SELECT wacta.run_job($1, 'timer')", 1, {TEXTOID}};

static MemoryContext RoundContext;	/* reset in each round */
static uint32 idle_event;

static int64
monotonic_ms(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MILLISEC(now);
}

/* ---- One transaction ---- */

static void
run_batch(InboxRound *r)
{
	Datum		args[2] = {Int32GetDatum(BATCH_MAX), TimestampTzGetDatum(r->from)};
	bool		isnull;

	if (worker_run(&batch_statement, args, 4) != 1)
		return;
	r->applied = DatumGetInt32(worker_value(0, 1));
	r->alone = DatumGetBool(worker_value(0, 2));
	r->wait = DatumGetInt32(worker_field(0, 3, &isnull));
	if (isnull)
		r->wait = -1;
	r->first_due = DatumGetTimestampTz(worker_value(0, 4));
}

static void
run_take(InboxRound *r)
{
	bool		isnull;

	if (worker_run(&take_statement, NULL, 1) != 1)
		return;
	r->inbox_id = DatumGetInt64(worker_field(0, 1, &isnull));
	if (isnull)
		r->inbox_id = 0;
}

static void
run_fail(InboxRound *r)
{
	Datum		args[3] = {
		Int64GetDatum(r->inbox_id),
		CStringGetTextDatum(unpack_sql_state(r->error->sqlerrcode)),
		CStringGetTextDatum(r->error->message)
	};

	(void) worker_run(&fail_statement, args, 1);
}

/* In the memory of the round, where SPI leaves its results. */
static void
run_take_job(InboxRound *r)
{
	Datum		job;
	bool		isnull;

	if (worker_run(&take_job_statement, NULL, 2) != 1)
		return;
	job = worker_field(0, 1, &isnull);
	if (!isnull)
		r->job = MemoryContextStrdup(RoundContext, TextDatumGetCString(job));
	r->wait = DatumGetInt32(worker_field(0, 2, &isnull));
	if (isnull)
		r->wait = -1;
}

static void
run_job(InboxRound *r)
{
	Datum		job = CStringGetTextDatum(r->job);

	(void) worker_run(&job_statement, &job, 1);
}

static void
run_round(void *arg)
{
	InboxRound *r = arg;
	Datum		id = Int64GetDatum(r->inbox_id);

	r->presence = extension_presence();
	if (r->presence != EXTENSION_PRESENT)
		return;
	switch (r->what)
	{
		case ROUND_BATCH:
			run_batch(r);
			break;
		case ROUND_TAKE:
			run_take(r);
			break;
		case ROUND_APPLY:
			(void) worker_run(&apply_statement, &id, 1);
			break;
		case ROUND_FAIL:
			run_fail(r);
			break;
		case ROUND_TEND:
			if (worker_run(&tend_statement, NULL, 1) == 1)
				r->more = DatumGetBool(worker_value(0, 1));
			break;
		case ROUND_TAKE_JOB:
			run_take_job(r);
			break;
		case ROUND_JOB:
			run_job(r);
			break;
	}
}

/*
 * Notes a failure and pauses.  A worker that may do nothing at all was started
 * between CREATE EXTENSION and wacta.grant_courier(), which wakes the launcher.
 */
static void
note_failure(InboxWorker *w, const ErrorData *edata)
{
	if (!w->started && edata->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
		worker_end(WORKER_ABSENT, edata->message);

	worker_note_error(edata->message);
	ereport(LOG,
			(errcode(edata->sqlerrcode),
			 errmsg("could not apply webhooks: %s", edata->message)));
	if (!met_a_lock(edata))
		w->failures++;
	w->not_before = monotonic_ms() + PAUSE_MS * Max(w->failures, 1);
	if (w->failures >= FAILURES_MAX)
		ereport(ERROR,
				(errcode(edata->sqlerrcode),
				 errmsg("inbox worker gives up after %d failed transactions", w->failures)));
}

/* True when it was done; otherwise *error is set, or the extension is being changed. */
static bool
transact(InboxWorker *w, InboxRound *r, ErrorData **error)
{
	*error = NULL;
	if (!worker_transaction(activities[r->what], run_round, r, error))
		return false;
	if (extension_has_gone(r->presence))
	{
		w->not_before = monotonic_ms() + EMPTY_LOOK_MS;
		return false;
	}
	w->started = true;
	return true;
}

/* ---- What is due ---- */

/* The error came at the commit, or is one that no savepoint holds. */
static void
note_body_failure(InboxWorker *w, int64 inbox_id, const ErrorData *cause)
{
	InboxRound	r = {.what = ROUND_FAIL, .inbox_id = inbox_id, .error = cause};
	ErrorData  *error;

	if (transact(w, &r, &error))
		worker_note_error(cause->message);
	else if (error != NULL)
		note_failure(w, error);
}

/* One body, in two transactions, so that what never ends has been counted. */
static void
apply_alone(InboxWorker *w)
{
	InboxRound	take = {.what = ROUND_TAKE};
	InboxRound	apply = {.what = ROUND_APPLY};
	ErrorData  *error;

	if (!transact(w, &take, &error))
	{
		if (error != NULL)
			note_failure(w, error);
		return;
	}
	w->alone = take.inbox_id == 0 ? 0 : w->alone - 1;
	if (take.inbox_id == 0)
		return;
	apply.inbox_id = take.inbox_id;
	if (transact(w, &apply, &error))
		w->failures = 0;
	else if (error != NULL)
		note_body_failure(w, take.inbox_id, error);
}

/*
 * Many bodies in one transaction.  If that fails, any of them may be the reason,
 * so they are taken one by one.
 */
static void
apply_batch(InboxWorker *w)
{
	InboxRound	r = {.what = ROUND_BATCH, .from = w->from, .wait = -1};
	ErrorData  *error;
	int64		sleep = LOOK_EVERY_MS;

	if (!transact(w, &r, &error))
	{
		if (error != NULL)
		{
			w->alone = BATCH_MAX;
			note_failure(w, error);
		}
		return;
	}
	w->failures = 0;
	w->alone = r.alone ? 1 : 0;
	w->from = r.first_due - COMMIT_LAG_US;
	if (r.wait >= 0)
		sleep = Min(sleep, r.wait);
	if (r.wait == 0 && r.applied == 0 && !r.alone)
		sleep = EMPTY_LOOK_MS;
	w->look_due = r.alone ? 0 : monotonic_ms() + sleep;
}

/*
 * Retention and counts.  The next look begins at the beginning, in case something
 * was committed later than COMMIT_LAG_US allows for.
 */
static void
tend(InboxWorker *w)
{
	InboxRound	r = {.what = ROUND_TEND};
	ErrorData  *error;

	w->tend_due = monotonic_ms() + TEND_EVERY_MS;
	if (!transact(w, &r, &error))
	{
		if (error != NULL)
			note_failure(w, error);
		return;
	}
	refusals_are_stored();
	worker_is_well();
	w->from = DT_NOBEGIN;
	if (r.more)
		w->tend_due = 0;
}

/* ---- The timer ---- */

/*
 * What goes wrong in a job is kept in the schedule.  An error that comes this far
 * says nothing of the webhooks, so it must not end their worker.
 */
static bool
transact_job(InboxWorker *w, InboxRound *r)
{
	ErrorData  *error;

	if (transact(w, r, &error))
		return true;
	if (error != NULL)
	{
		worker_note_error(error->message);
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("could not run jobs: %s", error->message)));
	}
	return false;
}

/* One job; the webhooks come before the next one. */
static void
run_due_job(InboxWorker *w)
{
	InboxRound	r = {.what = ROUND_TAKE_JOB, .wait = -1};

	w->jobs_looked_at = monotonic_ms();
	w->jobs_due = w->jobs_looked_at + LOOK_EVERY_MS;
	if (!transact_job(w, &r))
		return;
	if (r.wait >= 0)
		w->jobs_due = w->jobs_looked_at + Min(r.wait, LOOK_EVERY_MS);
	if (r.job == NULL)
		return;
	r.what = ROUND_JOB;
	(void) transact_job(w, &r);
	w->jobs_due = 0;
}

/* ---- The process ---- */

static void
work(InboxWorker *w)
{
	uint32		wakes = worker_wakes();

	/* Before the look: what is committed after it counts once more. */
	if (wakes != w->wakes)
	{
		w->look_due = 0;
		w->jobs_due = Min(w->jobs_due, w->jobs_looked_at + JOB_LOOK_MS);
	}
	w->wakes = wakes;

	if (monotonic_ms() >= Max(w->look_due, w->not_before))
	{
		if (w->alone > 0)
			apply_alone(w);
		else
			apply_batch(w);
	}
	if (monotonic_ms() >= Max(w->tend_due, w->not_before))
		tend(w);
	if (monotonic_ms() >= Max(w->jobs_due, w->not_before))
		run_due_job(w);
}

/* The latch may have been reset by waits inside of a transaction: the count tells. */
static void
wait_for_work(const InboxWorker *w)
{
	int64		now = monotonic_ms();
	int64		due = Min(worker_wakes() != w->wakes ? 0 : w->look_due, w->tend_due);

	due = Max(Min(due, w->jobs_due), w->not_before);
	pgstat_report_activity(STATE_IDLE, NULL);
	if (due > now)
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 (long) (due - now), idle_event);
	ResetLatch(MyLatch);
}

void
wacta_inbox_main(Datum main_arg)
{
	InboxWorker w = {.alone = BATCH_MAX, .from = DT_NOBEGIN};

	if (!worker_start(DatumGetInt32(main_arg), LOCK_TIMEOUT))
		proc_exit(0);
	idle_event = wacta_wait_event("WactaInboxMain");
	RoundContext = AllocSetContextCreate(TopMemoryContext, "wacta inbox round",
										 ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		if (worker_handle_interrupts())
			w.look_due = w.tend_due = w.jobs_due = 0;
		MemoryContextReset(RoundContext);
		MemoryContextSwitchTo(RoundContext);
		work(&w);
		wait_for_work(&w);
	}
}

bool
am_inbox_worker(void)
{
	return MyBgworkerEntry != NULL && strcmp(MyBgworkerEntry->bgw_type, "wacta inbox") == 0;
}

/* ---- Who applies ---- */

/*
 * A worker runs here, or has run and is to be back within moments.  One that never
 * ran may never do, for want of a free background worker say.
 */
static bool
serves(const WorkerSlot *slot)
{
	return slot->in_use && slot->kind == WORKER_INBOX && slot->database_oid == MyDatabaseId &&
		slot->has_run && slot->state != WORKER_ABSENT &&
		(slot->state != WORKER_BACKOFF || slot->failures <= FAILURES_SERVED);
}

bool
inbox_is_served(void)
{
	bool		served = false;
	int			i;

	if (wacta_shared == NULL)
		return false;
	LWLockAcquire(wacta_shared->lock, LW_SHARED);
	for (i = 0; i < wacta_shared->n_slots && !served; i++)
		served = serves(&wacta_shared->slot[i]);
	LWLockRelease(wacta_shared->lock);
	return served;
}

PG_FUNCTION_INFO_V1(wacta_inbox_is_served);

/* SQL: wacta.inbox_is_served() RETURNS boolean */
Datum
wacta_inbox_is_served(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(inbox_is_served());
}
