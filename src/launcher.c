/*
 * launcher.c
 *	  Starts couriers and an inbox worker for each database in wacta.databases,
 *	  and keeps it so.
 *
 * The launcher connects to no database and reads shared catalogs alone (roster.c).  It
 * handles, in any order and combination:
 *
 *	- a change of the settings: workers that are no longer wanted are stopped;
 *	- a database, a role or the extension that is missing: asked for again once a
 *	  minute, and at once after a transaction that ran CREATE EXTENSION;
 *	- a worker that fails: restarted after 1 s to 60 s, forgotten when it has
 *	  run for a minute;
 *	- no free background worker: the same, and it says so in the log;
 *	- a backend that needs the database free (lifecycle.c): nothing is started
 *	  there until its transaction ends;
 *	- its own restart: workers that run are adopted, not stopped.
 *
 * A worker is never restarted by the postmaster, which could not tell that its
 * database is being dropped.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include <signal.h>

#include "compat.h"
#include "guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "roster.h"
#include "shmem.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "wacta.h"

#define NAP_MS				60000	/* longest sleep */
#define LOG_EVERY_MS		60000	/* between complaints about worker slots */
#define RESTART_SECONDS		5	/* of the launcher itself */

/*
 * What only the launcher knows of each slot.  A handle points to memory of this
 * process, so it cannot be in the slot.
 */
typedef struct SlotNote
{
	BackgroundWorkerHandle *handle;
	bool		wanted;
	bool		blocked;		/* there was a problem at the last look */
} SlotNote;

/* How a worker of each kind is started, and what the log calls it. */
static const struct
{
	const char *library;
	const char *function;
	const char *type;
	const char *label;
}			kinds[] = {
	[WORKER_COURIER] = {"wacta_courier", "wacta_courier_main", "wacta courier", "a courier"},
	[WORKER_INBOX] = {"wacta", "wacta_inbox_main", "wacta inbox", "the inbox worker"}
};

static SlotNote *notes;
static MemoryContext PassContext;	/* reset at each pass */
static bool complained_of_databases = false;

/* ---- Slots: the caller of these holds the lock ---- */

/* The slot of a worker, made if there is room; else -1. */
static int
slot_for(const char *database, WorkerKind kind, int number)
{
	int			room = -1;
	int			i;

	for (i = 0; i < wacta_shared->n_slots; i++)
	{
		WorkerSlot *slot = &wacta_shared->slot[i];

		if (!slot->in_use)
			room = room < 0 ? i : room;
		else if (slot->kind == kind && slot->number == number &&
				 strcmp(NameStr(slot->database), database) == 0)
			return i;
	}
	if (room >= 0)
	{
		WorkerSlot *slot = &wacta_shared->slot[room];

		slot->in_use = true;
		namestrcpy(&slot->database, database);
		slot->kind = kind;
		slot->number = number;
		slot_set_state(slot, WORKER_WAITING);
	}
	return room;
}

/* Forgets a slot.  The generation goes on, so that a late starter is noticed. */
static void
free_slot(WorkerSlot *slot)
{
	int			i;

	slot->in_use = false;
	slot->database_oid = InvalidOid;
	slot->generation++;
	slot->since = slot->last_error_at = 0;
	slot->starts = slot->failures = 0;
	slot->has_run = slot->look_again = false;
	slot->last_error[0] = '\0';
	for (i = 0; i < COURIER_COUNTERS; i++)
		pg_atomic_write_u64(&slot->counter[i], 0);
}

/*
 * The flag goes first: a worker that is told to stop while it starts exits by
 * itself once it looks, whatever became of the signal.
 */
static void
stop_worker(WorkerSlot *slot)
{
	if (slot->state != WORKER_RUNNING || slot->stopping)
		return;
	slot->stopping = true;
	kill(slot->pid, SIGTERM);
}

/* Adapts one slot to what the catalogs say; true when there is news for the log. */
static bool
update_slot(int i, const Wanted *w)
{
	WorkerSlot *slot = &wacta_shared->slot[i];
	SlotNote   *note = &notes[i];
	bool		news = false;

	note->wanted = true;
	if (slot->database_oid != w->database_oid || slot->role_oid != w->role_oid)
	{
		stop_worker(slot);
		if (slot->state == WORKER_RUNNING)
			return false;		/* the new values when it has gone */
		slot->generation++;
		slot->database_oid = w->database_oid;
		slot->role_oid = w->role_oid;
		slot_set_state(slot, WORKER_WAITING);
	}
	if (w->problem == NULL)
	{
		if (note->blocked)
			slot->next_start = GetCurrentTimestamp();
		note->blocked = false;
		return false;
	}

	stop_worker(slot);
	if (slot->state == WORKER_RUNNING || slot->state == WORKER_STARTING)
		return false;
	news = !note->blocked || strcmp(slot->last_error, w->problem) != 0;
	if (news)
	{
		slot_set_error(slot, w->problem);
		slot_set_state(slot, WORKER_ABSENT);
	}
	note->blocked = true;
	return news;
}

/* Slots that nothing wants any more. */
static void
retire_slots(void)
{
	int			i;

	for (i = 0; i < wacta_shared->n_slots; i++)
	{
		WorkerSlot *slot = &wacta_shared->slot[i];

		if (!slot->in_use || notes[i].wanted)
			continue;
		stop_worker(slot);
		if (slot->state != WORKER_RUNNING)
		{
			free_slot(slot);
			notes[i].blocked = false;
		}
	}
}

/* ---- One pass ---- */

static void
complain_of_databases(void)
{
	if (!complained_of_databases)
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("\"wacta.databases\" lists more databases than there is room for"),
				 errhint("You might need to increase \"wacta.max_databases\".")));
	complained_of_databases = true;
}

/* Adapts the slot of one worker; false when there is no room for it. */
static bool
sync_slot(const Wanted *w, WorkerKind kind, int number, bool *news)
{
	int			i = slot_for(w->database, kind, number);

	if (i >= 0 && update_slot(i, w))
		*news = true;
	return i >= 0;
}

/* Brings the slots in line with the settings and the catalogs. */
static void
sync_slots(void)
{
	List	   *wanted = read_roster();
	bool		overflow = false;
	ListCell   *lc;
	int			i;
	int			n;

	for (i = 0; i < wacta_shared->n_slots; i++)
		notes[i].wanted = false;
	foreach(lc, wanted)
	{
		Wanted	   *w = lfirst(lc);
		bool		news = false;

		LWLockAcquire(wacta_shared->lock, LW_EXCLUSIVE);
		for (n = 0; n < wacta_couriers_per_database; n++)
			overflow |= !sync_slot(w, WORKER_COURIER, n, &news);
		overflow |= !sync_slot(w, WORKER_INBOX, 0, &news);
		LWLockRelease(wacta_shared->lock);
		if (news)
			ereport(LOG,
					(errmsg("no workers for database \"%s\": %s", w->database, w->problem)));
	}
	LWLockAcquire(wacta_shared->lock, LW_EXCLUSIVE);
	retire_slots();
	LWLockRelease(wacta_shared->lock);
	if (overflow)
		complain_of_databases();
}

/*
 * Has the postmaster forgotten the last worker of this slot?  Until then its
 * place is taken, and to start the next one may fail.  We are signalled when it
 * has.  If that worker ended before it could attach, this is where it is noticed.
 */
static bool
last_worker_is_gone(int i)
{
	WorkerSlot *slot = &wacta_shared->slot[i];
	pid_t		pid;

	if (notes[i].handle == NULL)
		return true;
	if (GetBackgroundWorkerPid(notes[i].handle, &pid) != BGWH_STOPPED)
		return false;
	pfree(notes[i].handle);
	notes[i].handle = NULL;
	LWLockAcquire(wacta_shared->lock, LW_EXCLUSIVE);
	if (slot->in_use && slot->state == WORKER_STARTING)
		slot_fail(slot, "could not be started, see the server log");
	LWLockRelease(wacta_shared->lock);
	return true;
}

/* Is some worker on its way out, so that its place will be free in a moment? */
static bool
any_is_leaving(void)
{
	bool		leaving = false;
	int			i;

	LWLockAcquire(wacta_shared->lock, LW_SHARED);
	for (i = 0; i < wacta_shared->n_slots && !leaving; i++)
	{
		WorkerSlot *slot = &wacta_shared->slot[i];

		leaving = notes[i].handle != NULL &&
			slot->state != WORKER_STARTING && slot->state != WORKER_RUNNING;
	}
	LWLockRelease(wacta_shared->lock);
	return leaving;
}

/*
 * Is it time to start this one?  If so, marks it as starting, under the same lock
 * as the test for a suspension.  Otherwise *wait is cut to the time it is due.
 */
static bool
take_turn(int i, WorkerLaunch *launch, char *database, long *wait)
{
	WorkerSlot *slot = &wacta_shared->slot[i];
	TimestampTz now = GetCurrentTimestamp();
	bool		due = false;

	LWLockAcquire(wacta_shared->lock, LW_EXCLUSIVE);
	if (slot->in_use && !notes[i].blocked &&
		slot->state != WORKER_RUNNING && slot->state != WORKER_STARTING &&
		!database_is_suspended(slot->database_oid))
	{
		if (slot->look_again)
			slot->next_start = now;
		due = slot->next_start <= now;
		if (!due)
			*wait = Min(*wait, TimestampDifferenceMilliseconds(now, slot->next_start) + 1);
	}
	if (due)
	{
		slot->look_again = false;
		slot->starts++;
		slot_set_state(slot, WORKER_STARTING);
		launch->generation = ++slot->generation;
		launch->database_oid = slot->database_oid;
		launch->role_oid = slot->role_oid;
		launch->kind = slot->kind;
		launch->number = slot->number;
		strlcpy(database, NameStr(slot->database), NAMEDATALEN);
	}
	LWLockRelease(wacta_shared->lock);
	return due;
}

static void
name_worker(BackgroundWorker *worker, const WorkerLaunch *launch, const char *database)
{
	const char *type = kinds[launch->kind].type;

	strlcpy(worker->bgw_type, type, BGW_MAXLEN);
	if (launch->kind == WORKER_COURIER)
		snprintf(worker->bgw_name, BGW_MAXLEN, "%s %d of %s", type, launch->number, database);
	else
		snprintf(worker->bgw_name, BGW_MAXLEN, "%s of %s", type, database);
}

static bool
register_worker(int i, const WorkerLaunch *launch, const char *database)
{
	BackgroundWorker worker;
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	bool		ok;

	StaticAssertStmt(sizeof(WorkerLaunch) <= BGW_EXTRALEN, "bgw_extra is too small");
	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION |
		WACTA_BGWORKER_INTERRUPTIBLE;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = Int32GetDatum(i);
	memcpy(worker.bgw_extra, launch, sizeof(WorkerLaunch));
	strlcpy(worker.bgw_library_name, kinds[launch->kind].library, sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, kinds[launch->kind].function, sizeof(worker.bgw_function_name));
	name_worker(&worker, launch, database);

	ok = RegisterDynamicBackgroundWorker(&worker, &notes[i].handle);
	MemoryContextSwitchTo(old);
	return ok;
}

/* Said once, and then once a minute with the number of times it was held back. */
static void
complain_of_worker_slots(const char *label, const char *database)
{
	static TimestampTz last = 0;
	static int	held_back = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (last != 0 && !TimestampDifferenceExceeds(last, now, LOG_EVERY_MS))
	{
		held_back++;
		return;
	}
	ereport(LOG,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg("could not start %s for database \"%s\": no background worker is free",
					label, database),
			 held_back == 0 ? 0 : errdetail_plural("It was tried %d more time since the last message.",
												   "It was tried %d more times since the last message.",
												   held_back, held_back),
			 errhint("You might need to increase \"max_worker_processes\".")));
	last = now;
	held_back = 0;
}

static void
launch_worker(int i, const WorkerLaunch *launch, const char *database)
{
	WorkerSlot *slot = &wacta_shared->slot[i];
	bool		leaving;

	if (register_worker(i, launch, database))
		return;
	leaving = any_is_leaving();
	LWLockAcquire(wacta_shared->lock, LW_EXCLUSIVE);
	if (slot->in_use && slot->state == WORKER_STARTING)
	{
		if (leaving)
			slot_set_state(slot, WORKER_WAITING);
		else
			slot_fail(slot, "no background worker is free (max_worker_processes)");
	}
	LWLockRelease(wacta_shared->lock);
	if (!leaving)
		complain_of_worker_slots(kinds[launch->kind].label, database);
}

/* Starts what is due; returns the time until something else will be, in ms. */
static long
tend_slots(void)
{
	long		wait = NAP_MS;
	int			i;

	for (i = 0; i < wacta_shared->n_slots; i++)
	{
		WorkerLaunch launch = {0};
		char		database[NAMEDATALEN];

		if (!last_worker_is_gone(i))
			wait = Min(wait, 1000);
		else if (take_turn(i, &launch, database, &wait))
		{
			launch_worker(i, &launch, database);
			wait = Min(wait, 1000);
		}
	}
	return wait;
}

/* ---- The process ---- */

void
wacta_register_launcher(void)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_SECONDS;
	strlcpy(worker.bgw_library_name, "wacta", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "wacta_launcher_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "wacta launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "wacta launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

static void
launcher_init(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	launcher_attach();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("wacta launcher");

	notes = MemoryContextAllocZero(TopMemoryContext,
								   wacta_shared->n_slots * sizeof(SlotNote));
	PassContext = AllocSetContextCreate(TopMemoryContext, "wacta launcher pass",
										ALLOCSET_DEFAULT_SIZES);
}

void
wacta_launcher_main(Datum main_arg)
{
	uint32		wait_event = wacta_wait_event("WactaLauncherMain");

	launcher_init();
	for (;;)
	{
		long		wait;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			complained_of_databases = false;
		}
		MemoryContextReset(PassContext);
		MemoryContextSwitchTo(PassContext);
		sync_slots();
		wait = tend_slots();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 wait, wait_event);
	}
}
