/*
 * roster.c
 *	  Which databases should have workers, and what stands in the way.
 *
 * Reads wacta.databases and wacta.worker_role and looks the names up in the
 * shared catalogs.  Called by the launcher at each pass; connects to nothing.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "roster.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "compat.h"
#include "guc.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

/*
 * The row of a shared catalog with this name, or NULL.  Not through the system
 * caches or their indexes: a process without a database has these only after
 * some backend has written the file that they are loaded from.
 */
static HeapTuple
find_by_name(Oid catalog, Oid index, AttrNumber column, const char *name)
{
	Relation	rel = table_open(catalog, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, column, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum(name));
	scan = systable_beginscan(rel, index, criticalSharedRelcachesBuilt, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return tuple;
}

/* NULL when the role can run a worker. */
static char *
role_problem(const char *name, Oid *oid)
{
	HeapTuple	tuple = find_by_name(AuthIdRelationId, AuthIdRolnameIndexId,
									 Anum_pg_authid_rolname, name);
	Form_pg_authid role;

	if (!HeapTupleIsValid(tuple))
		return psprintf("role \"%s\" does not exist", name);
	role = (Form_pg_authid) GETSTRUCT(tuple);
	*oid = role->oid;
	if (role->rolsuper)
		return psprintf("role \"%s\" is a superuser, which a worker must not be", name);
	if (WACTA_ROLE_NEEDS_LOGIN && !role->rolcanlogin)
		return psprintf("role \"%s\" is not permitted to log in", name);
	return NULL;
}

/* NULL when the database can be connected to. */
static char *
database_problem(const char *name, Oid *oid)
{
	HeapTuple	tuple = find_by_name(DatabaseRelationId, DatabaseNameIndexId,
									 Anum_pg_database_datname, name);
	Form_pg_database database;

	if (!HeapTupleIsValid(tuple))
		return psprintf("database \"%s\" does not exist", name);
	database = (Form_pg_database) GETSTRUCT(tuple);
	*oid = database->oid;
	if (!database->datallowconn)
		return psprintf("database \"%s\" does not accept connections", name);
	return NULL;
}

/* In its own transaction, which must not be open when the launcher waits. */
List *
read_roster(void)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *wanted = NIL;
	List	   *names;
	Oid			role_oid = InvalidOid;
	char	   *trouble;
	ListCell   *lc;

	if (!SplitGUCList(pstrdup(wacta_databases), ',', &names))
		return NIL;				/* the check hook does not let this happen */

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	MemoryContextSwitchTo(caller);
	trouble = role_problem(wacta_worker_role, &role_oid);
	foreach(lc, names)
	{
		Wanted	   *w = palloc0(sizeof(Wanted));

		w->database = lfirst(lc);
		w->role_oid = role_oid;
		w->problem = database_problem(w->database, &w->database_oid);
		if (w->problem == NULL)
			w->problem = trouble;
		wanted = lappend(wanted, w);
	}
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
	return wanted;
}
