/*
 * worker.c
 *	  What couriers and inbox workers have in common: how they connect and end,
 *	  their settings, transactions and statements.
 *
 * A worker's statements are calls of its functions in schema wacta; its role can
 * do nothing else.  Each transaction is short: statement_timeout, which is not
 * armed in a background worker by itself, is armed here.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "worker.h"

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "compat.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#define TIME_LIMIT_MS	30000

/* The extension that this worker works for. */
static Oid	my_extension = InvalidOid;

/* Where the caller wants results: its own context, which outlives transactions. */
static MemoryContext caller_context;

/* ---- The process ---- */

/*
 * Whatever the role or the database sets for itself, these hold.  The worker's
 * functions have a search_path of their own; this is for what stands around them.
 *
 * Their statements look up a few rows by their keys.  The plan for that is the
 * same whatever the statistics say of tables that fill and empty within seconds,
 * so it is made once, from indexes and nested loops alone; JIT compilation would
 * cost many times what it saves.
 */
static void
pin_settings(const char *lock_timeout)
{
	static const char *const pinned[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"row_security", "on"},
		{"plan_cache_mode", "force_generic_plan"},
		{"enable_seqscan", "off"},
		{"enable_bitmapscan", "off"},
		{"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"},
		{"enable_sort", "off"},
		{"jit", "off"}
	};
	int			i;

	for (i = 0; i < lengthof(pinned); i++)
		SetConfigOption(pinned[i][0], pinned[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", lock_timeout, PGC_SUSET, PGC_S_OVERRIDE);
}

/* Attaches and connects; false when the launcher has thought better of it. */
bool
worker_start(int slot_no, const char *lock_timeout)
{
	WorkerLaunch launch;

	memcpy(&launch, MyBgworkerEntry->bgw_extra, sizeof(launch));
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	if (!worker_attach(slot_no, launch.generation))
		return false;
	BackgroundWorkerInitializeConnectionByOid(launch.database_oid, launch.role_oid,
											  WACTA_CONNECT_FLAGS);
	pgstat_report_appname(MyBgworkerEntry->bgw_type);
	pin_settings(lock_timeout);
	return true;
}

/* Between transactions, where there is no statement to cancel; true after a reload. */
bool
worker_handle_interrupts(void)
{
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
	if (!ConfigReloadPending)
		return false;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	return true;
}

/* What is said once need not be said once a minute. */
void
worker_end(WorkerState state, const char *reason)
{
	bool		news = worker_leave(state, reason);

	ereport(news ? LOG : DEBUG1, (errmsg("%s ends: %s", MyBgworkerEntry->bgw_name, reason)));
	proc_exit(0);
}

/* ---- Transactions ---- */

/*
 * SPI_palloc() allocates in the context that is current at SPI_connect(), which
 * is how results get out of the transaction.
 */
void
worker_begin(const char *activity)
{
	caller_context = CurrentMemoryContext;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	MemoryContextSwitchTo(caller_context);
	enable_timeout_after(STATEMENT_TIMEOUT, TIME_LIMIT_MS);
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	debug_query_string = activity;
	pgstat_report_activity(STATE_RUNNING, activity);
}

/* A cancellation that came too late must not hit the next transaction. */
static void
no_longer_active(void)
{
	disable_timeout(STATEMENT_TIMEOUT, false);
	QueryCancelPending = false;
	debug_query_string = NULL;
}

void
worker_commit(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller_context);
	no_longer_active();
	pgstat_report_stat(true);
}

void
worker_abort(void)
{
	no_longer_active();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(caller_context);
	pgstat_report_stat(true);
}

/*
 * Runs one transaction; false if it failed, and then it has done nothing.  The
 * error is kept in *error, in the memory of the caller.
 */
bool
worker_transaction(const char *activity, void (*statements) (void *), void *arg, ErrorData **error)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile bool ok = true;

	PG_TRY();
	{
		worker_begin(activity);
		statements(arg);
		worker_commit();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		*error = CopyErrorData();
		FlushErrorState();
		worker_abort();
		ok = false;
	}
	PG_END_TRY();
	return ok;
}

/* Somebody else's transaction was in the way: that says nothing of the worker. */
bool
met_a_lock(const ErrorData *edata)
{
	return edata->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		edata->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED;
}

/* ---- Statements ---- */

/*
 * Is the extension there, and will it stay until the transaction ends?  DROP
 * EXTENSION holds the lock that is tried here until it has committed or rolled
 * back; we come again rather than wait for it.
 */
ExtensionPresence
extension_presence(void)
{
	Oid			extension = get_extension_oid("wacta", true);

	if (!OidIsValid(extension))
		return OidIsValid(my_extension) ? EXTENSION_REPLACED : EXTENSION_ABSENT;
	if (!ConditionalLockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock))
		return EXTENSION_BUSY;
	if (get_extension_oid("wacta", true) != extension)
		return EXTENSION_BUSY;
	if (OidIsValid(my_extension) && my_extension != extension)
		return EXTENSION_REPLACED;
	my_extension = extension;
	return EXTENSION_PRESENT;
}

/* True when it is busy; does not return when the work of this process is over. */
bool
extension_has_gone(ExtensionPresence presence)
{
	if (presence == EXTENSION_ABSENT)
		worker_end(WORKER_ABSENT, "extension \"wacta\" does not exist");
	if (presence == EXTENSION_REPLACED)
		worker_end(WORKER_WAITING, "extension \"wacta\" was dropped");
	return presence == EXTENSION_BUSY;
}

/* Runs it and checks that the rows have as many columns as we are going to read. */
uint64
worker_run(WorkerStatement *s, Datum *values, int columns)
{
	int			rc;

	if (s->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(s->text, s->nargs, s->argtypes);

		if (plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		s->plan = plan;
	}
	rc = SPI_execute_plan(s->plan, values, NULL, false, 0);
	if (rc != SPI_OK_SELECT || SPI_tuptable->tupdesc->natts != columns)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(rc));
	return SPI_processed;
}

Datum
worker_field(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

/* A field that is never null. */
Datum
worker_value(uint64 row, int column)
{
	bool		isnull;
	Datum		d = worker_field(row, column, &isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("column %d of a worker's function is null", column)));
	return d;
}
