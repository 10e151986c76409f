/*
 * launcher.c
 *	  Starts a courier for each database in wacta.databases, and keeps it so.
 *
 * The launcher connects to no database and reads shared catalogs alone (roster.c).  It
 * handles, in any order and combination:
 *
 *	- a change of the settings: couriers that are no longer wanted are stopped;
 *	- a database, a role or the extension that is missing: asked for again once a
 *	  minute, and at once after a transaction that ran CREATE EXTENSION;
 *	- a courier that fails: restarted after 1 s to 60 s, forgotten when it has
 *	  run for a minute;
 *	- no free background worker: the same, and it says so in the log;
 *	- a backend that needs the database free (lifecycle.c): nothing is started
 *	  there until its transaction ends;
 *	- its own restart: couriers that run are adopted, not stopped.
 *
 * A courier is never restarted by the postmaster, which could not tell that its
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

static SlotNote *notes;
static MemoryContext PassContext;	/* reset at each pass */
static bool complained_of_databases = false;

/* ---- Slots: the caller of these holds the lock ---- */

/* The slot of a courier, made if there is room; else -1. */
static int
slot_for(const char *database, int number)
{
	int			room = -1;
	int			i;

	for (i = 0; i < wacta_shared->n_slots; i++)
	{
		CourierSlot *slot = &wacta_shared->slot[i];

		if (!slot->in_use)
			room = room < 0 ? i : room;
		else if (slot->number == number && strcmp(NameStr(slot->database), database) == 0)
			return i;
	}
	if (room >= 0)
	{
		CourierSlot *slot = &wacta_shared->slot[room];

		slot->in_use = true;
		namestrcpy(&slot->database, database);
		slot->number = number;
		slot_set_state(slot, COURIER_WAITING);
	}
	return room;
}

/* Forgets a slot.  The generation goes on, so that a late starter is noticed. */
static void
free_slot(CourierSlot *slot)
{
	int			i;

	slot->in_use = false;
	slot->database_oid = InvalidOid;
	slot->generation++;
	slot->since = slot->last_error_at = 0;
	slot->starts = slot->failures = 0;
	slot->look_again = false;
	slot->last_error[0] = '\0';
	for (i = 0; i < COURIER_COUNTERS; i++)
		pg_atomic_write_u64(&slot->counter[i], 0);
}

/*
 * The flag goes first: a courier that is told to stop while it starts exits by
 * itself once it looks, whatever became of the signal.
 */
static void
stop_courier(CourierSlot *slot)
{
	if (slot->state != COURIER_RUNNING || slot->stopping)
		return;
	slot->stopping = true;
	kill(slot->pid, SIGTERM);
}

/* Adapts one slot to what the catalogs say; true when there is news for the log. */
static bool
update_slot(int i, const Wanted *w)
{
	CourierSlot *slot = &wacta_shared->slot[i];
	SlotNote   *note = &notes[i];
	bool		news = false;

	note->wanted = true;
	if (slot->database_oid != w->database_oid || slot->role_oid != w->role_oid)
	{
		stop_courier(slot);
		if (slot->state == COURIER_RUNNING)
			return false;		/* the new values when it has gone */
		slot->generation++;
		slot->database_oid = w->database_oid;
		slot->role_oid = w->role_oid;
		slot_set_state(slot, COURIER_WAITING);
	}
	if (w->problem == NULL)
	{
		if (note->blocked)
			slot->next_start = GetCurrentTimestamp();
		note->blocked = false;
		return false;
	}

	stop_courier(slot);
	if (slot->state == COURIER_RUNNING || slot->state == COURIER_STARTING)
		return false;
	news = !note->blocked || strcmp(slot->last_error, w->problem) != 0;
	if (news)
	{
		slot_set_error(slot, w->problem);
		slot_set_state(slot, COURIER_ABSENT);
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
		CourierSlot *slot = &wacta_shared->slot[i];

		if (!slot->in_use || notes[i].wanted)
			continue;
		stop_courier(slot);
		if (slot->state != COURIER_RUNNING)
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
		{
			i = slot_for(w->database, n);
			overflow |= i < 0;
			if (i >= 0 && update_slot(i, w))
				news = true;
		}
		LWLockRelease(wacta_shared->lock);
		if (news)
			ereport(LOG,
					(errmsg("no courier for database \"%s\": %s", w->database, w->problem)));
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
	CourierSlot *slot = &wacta_shared->slot[i];
	pid_t		pid;

	if (notes[i].handle == NULL)
		return true;
	if (GetBackgroundWorkerPid(notes[i].handle, &pid) != BGWH_STOPPED)
		return false;
	pfree(notes[i].handle);
	notes[i].handle = NULL;
	LWLockAcquire(wacta_shared->lock, LW_EXCLUSIVE);
	if (slot->in_use && slot->state == COURIER_STARTING)
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
		CourierSlot *slot = &wacta_shared->slot[i];

		leaving = notes[i].handle != NULL &&
			slot->state != COURIER_STARTING && slot->state != COURIER_RUNNING;
	}
	LWLockRelease(wacta_shared->lock);
	return leaving;
}

/*
 * Is it time to start this one?  If so, marks it as starting, under the same lock
 * as the test for a suspension.  Otherwise *wait is cut to the time it is due.
 */
static bool
take_turn(int i, CourierLaunch *launch, char *database, long *wait)
{
	CourierSlot *slot = &wacta_shared->slot[i];
	TimestampTz now = GetCurrentTimestamp();
	bool		due = false;

	LWLockAcquire(wacta_shared->lock, LW_EXCLUSIVE);
	if (slot->in_use && !notes[i].blocked &&
		slot->state != COURIER_RUNNING && slot->state != COURIER_STARTING &&
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
		slot_set_state(slot, COURIER_STARTING);
		launch->generation = ++slot->generation;
		launch->database_oid = slot->database_oid;
		launch->role_oid = slot->role_oid;
		launch->number = slot->number;
		strlcpy(database, NameStr(slot->database), NAMEDATALEN);
	}
	LWLockRelease(wacta_shared->lock);
	return due;
}

static bool
register_courier(int i, const CourierLaunch *launch, const char *database)
{
	BackgroundWorker worker;
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	bool		ok;

	StaticAssertStmt(sizeof(CourierLaunch) <= BGW_EXTRALEN, "bgw_extra is too small");
	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION |
		WACTA_BGWORKER_INTERRUPTIBLE;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = Int32GetDatum(i);
	memcpy(worker.bgw_extra, launch, sizeof(CourierLaunch));
	strlcpy(worker.bgw_library_name, "wacta_courier", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "wacta_courier_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_type, "wacta courier", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "wacta courier %d of %s", launch->number, database);

	ok = RegisterDynamicBackgroundWorker(&worker, &notes[i].handle);
	MemoryContextSwitchTo(old);
	return ok;
}

/* Said once, and then once a minute with the number of times it was held back. */
static void
complain_of_worker_slots(const char *database)
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
			 errmsg("could not start a courier for database \"%s\": no background worker is free",
					database),
			 held_back == 0 ? 0 : errdetail_plural("It was tried %d more time since the last message.",
												   "It was tried %d more times since the last message.",
												   held_back, held_back),
			 errhint("You might need to increase \"max_worker_processes\".")));
	last = now;
	held_back = 0;
}

static void
launch_courier(int i, const CourierLaunch *launch, const char *database)
{
	CourierSlot *slot = &wacta_shared->slot[i];
	bool		leaving;

	if (register_courier(i, launch, database))
		return;
	leaving = any_is_leaving();
	LWLockAcquire(wacta_shared->lock, LW_EXCLUSIVE);
	if (slot->in_use && slot->state == COURIER_STARTING)
	{
		if (leaving)
			slot_set_state(slot, COURIER_WAITING);
		else
			slot_fail(slot, "no background worker is free (max_worker_processes)");
	}
	LWLockRelease(wacta_shared->lock);
	if (!leaving)
		complain_of_worker_slots(database);
}

/* Starts what is due; returns the time until something else will be, in ms. */
static long
tend_slots(void)
{
	long		wait = NAP_MS;
	int			i;

	for (i = 0; i < wacta_shared->n_slots; i++)
	{
		CourierLaunch launch = {0};
		char		database[NAMEDATALEN];

		if (!last_worker_is_gone(i))
			wait = Min(wait, 1000);
		else if (take_turn(i, &launch, database, &wait))
		{
			launch_courier(i, &launch, database);
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
