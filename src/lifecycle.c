/*
 * lifecycle.c
 *	  Takes workers out of the way of commands that need a database free.
 *
 * DROP DATABASE, ALTER DATABASE ... SET TABLESPACE, ALTER DATABASE ... RENAME
 * and CREATE DATABASE ... TEMPLATE fail while anybody is connected, and only
 * DROP DATABASE ... WITH (FORCE) ends background workers by itself.  So before
 * such a command runs, this backend suspends the database: the launcher starts
 * nothing there.  It stops the workers and waits until they have gone.  The
 * suspension ends with the transaction, whether that commits or fails, or with
 * the backend; then the launcher starts them again if the database still exists.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "compat.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "shmem.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "tcop/utility.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
#include "wacta.h"

/* After this time the command goes ahead, and tells itself who is in its way. */
#define GIVE_UP_MS		10000
#define LOOK_AGAIN_MS	5

static ProcessUtility_hook_type prev_ProcessUtility = NULL;

/*
 * Does this backend have a suspension?  And is the command running now?  SET
 * TABLESPACE commits in its middle, which must not end the suspension.
 */
static bool suspended = false;
static bool in_command = false;

/* ---- Which database a command needs free ---- */

static bool
has_option(List *options, const char *name)
{
	ListCell   *lc;

	foreach(lc, options)
		if (strcmp(((DefElem *) lfirst(lc))->defname, name) == 0)
			return true;
	return false;
}

static const char *
template_of(List *options)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *option = lfirst(lc);

		if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return "template1";
}

/* NULL when the statement is none of those above. */
static const char *
database_needed_free(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_DropdbStmt:
			return ((DropdbStmt *) stmt)->dbname;
		case T_CreatedbStmt:
			return template_of(((CreatedbStmt *) stmt)->options);
		case T_AlterDatabaseStmt:
			if (has_option(((AlterDatabaseStmt *) stmt)->options, "tablespace"))
				return ((AlterDatabaseStmt *) stmt)->dbname;
			return NULL;
		case T_RenameStmt:
			if (((RenameStmt *) stmt)->renameType == OBJECT_DATABASE)
				return ((RenameStmt *) stmt)->subname;
			return NULL;
		default:
			return NULL;
	}
}

static bool
has_worker(Oid database)
{
	bool		found = false;
	int			i;

	LWLockAcquire(wacta_shared->lock, LW_SHARED);
	for (i = 0; i < wacta_shared->n_slots && !found; i++)
		found = wacta_shared->slot[i].in_use &&
			wacta_shared->slot[i].database_oid == database;
	LWLockRelease(wacta_shared->lock);
	return found;
}

/* ---- The suspension of this backend ---- */

static void
resume(void)
{
	int			i;

	if (!suspended)
		return;
	LWLockAcquire(wacta_shared->lock, LW_EXCLUSIVE);
	for (i = 0; i < wacta_shared->n_suspensions; i++)
		if (wacta_shared->suspensions[i].pid == MyProcPid)
			wacta_shared->suspensions[i].pid = 0;
	wake_launcher();
	LWLockRelease(wacta_shared->lock);
	suspended = false;
}

static void
resume_at_exit(int code, Datum arg)
{
	resume();
}

static void
resume_at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT ||
		(!in_command && (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)))
		resume();
}

/*
 * There is an entry for each backend, but one transaction may rename several
 * databases, so there might be none left: then PostgreSQL's own message about
 * other sessions is all that happens.
 */
static void
suspend(Oid database)
{
	static bool registered = false;
	int			i;

	if (!registered)
		before_shmem_exit(resume_at_exit, (Datum) 0);
	registered = true;

	LWLockAcquire(wacta_shared->lock, LW_EXCLUSIVE);
	for (i = 0; i < wacta_shared->n_suspensions; i++)
	{
		Suspension *entry = &wacta_shared->suspensions[i];

		if (entry->pid != 0)
			continue;
		entry->pid = MyProcPid;
		entry->database_oid = database;
		suspended = true;
		break;
	}
	LWLockRelease(wacta_shared->lock);
}

/* Sends SIGTERM to the workers of the database; returns how many pids it wrote. */
static int
terminate_workers(Oid database, pid_t *pids, int max)
{
	int			n = 0;
	int			i;

	LWLockAcquire(wacta_shared->lock, LW_EXCLUSIVE);
	for (i = 0; i < wacta_shared->n_slots && n < max; i++)
	{
		WorkerSlot *slot = &wacta_shared->slot[i];

		if (slot->pid == 0 || slot->database_oid != database)
			continue;
		slot->stopping = true;
		pids[n++] = slot->pid;
		kill(slot->pid, SIGTERM);
	}
	LWLockRelease(wacta_shared->lock);
	return n;
}

static bool
any_alive(const pid_t *pids, int n)
{
	int			i;

	for (i = 0; i < n; i++)
		if (BackendPidGetProc(pids[i]) != NULL)
			return true;
	return false;
}

/*
 * Waits until the workers have left the process array, which is where the
 * command will look.  A worker that is only being started need not be waited
 * for: it cannot attach to its slot any more and never connects.
 */
static void
free_database(Oid database)
{
	pid_t		pids[MAX_WORKERS_PER_DATABASE];
	TimestampTz start = GetCurrentTimestamp();
	int			n;

	suspend(database);
	n = terminate_workers(database, pids, lengthof(pids));
	while (any_alive(pids, n) &&
		   !TimestampDifferenceExceeds(start, GetCurrentTimestamp(), GIVE_UP_MS))
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LOOK_AGAIN_MS, wacta_wait_event("WactaSuspend"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Only who could run the command may have workers stopped for it.  (A database
 * marked as a template may be copied by others than its owner; one that sends
 * messages hardly is.)
 */
static bool
must_be_freed(const char *database, Oid *oid)
{
	if (database == NULL)
		return false;
	*oid = get_database_oid(database, true);
	return OidIsValid(*oid) && *oid != MyDatabaseId &&
		has_worker(*oid) && wacta_owns_database(*oid, GetUserId());
}

static void
run_command(PlannedStmt *pstmt, const char *query, bool read_only_tree,
			ProcessUtilityContext context, ParamListInfo params,
			QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	if (prev_ProcessUtility)
		prev_ProcessUtility(pstmt, query, read_only_tree, context, params, env, dest, qc);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params, env, dest, qc);
}

static void
free_and_run(PlannedStmt *pstmt, const char *query, bool read_only_tree,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	const char *database = database_needed_free(pstmt->utilityStmt);
	Oid			oid;

	if (database != NULL)
		wake_launcher_when_committed();
	if (!must_be_freed(database, &oid))
	{
		run_command(pstmt, query, read_only_tree, context, params, env, dest, qc);
		return;
	}

	free_database(oid);
	in_command = true;
	PG_TRY();
	{
		run_command(pstmt, query, read_only_tree, context, params, env, dest, qc);
	}
	PG_FINALLY();
	{
		in_command = false;
	}
	PG_END_TRY();
}

/* Called from _PG_init of a server that preloads wacta. */
void
wacta_lifecycle_init(void)
{
	prev_ProcessUtility = ProcessUtility_hook;
	ProcessUtility_hook = free_and_run;
	RegisterXactCallback(resume_at_transaction_end, NULL);
}
