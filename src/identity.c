/*
 * identity.c
 *	  Which cluster, database and node this is, and what a courier says when the
 *	  queue belongs to another one.
 *
 * The queue is bound to an identity in wacta.fence (src/sql/57_fence.sql), which
 * compares it with what is found here.  Nothing in here decides.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include <limits.h>
#include <sys/stat.h>

#include "access/htup_details.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "compat.h"
#include "fmgr.h"
#include "funcapi.h"
#include "guc.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "shmem.h"
#include "storage/fd.h"
#include "utils/builtins.h"

#define MACHINE_ID_FILE		"/etc/machine-id"
#define NODE_ID_LEN			16	/* hexadecimal digits */
#define IDENTITY_COLUMNS	4

/*
 * The timeline that is written or, in recovery, replayed.  pg_control must not be
 * asked: after a promotion it tells the former one until the next checkpoint.
 */
static TimeLineID
current_timeline(void)
{
	TimeLineID	timeline;

	if (!RecoveryInProgress())
		return GetWALInsertionTimeLine();
	GetXLogReplayRecPtr(&timeline);
	return timeline;
}

/* The first line of /etc/machine-id; "" when there is none, as in many containers. */
static void
read_machine_id(char *id, size_t size)
{
	FILE	   *file = AllocateFile(MACHINE_ID_FILE, "r");

	id[0] = '\0';
	if (file == NULL)
		return;
	if (fgets(id, size, file) == NULL)
		id[0] = '\0';
	FreeFile(file);
}

/* pg_control is written in place, so its inode number lasts as long as the directory. */
static uint64
control_file_inode(void)
{
	char		path[MAXPGPATH];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", DataDir, XLOG_CONTROL_FILE);
	if (stat(path, &st) < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", XLOG_CONTROL_FILE)));
	return (uint64) st.st_ino;
}

/*
 * A copy of the data directory differs in at least one of machine, path and
 * inode, unless it is a snapshot of the volume that took the place of the
 * original.  Hashed, for a machine's id is not to be told to others.
 */
static void
derive_node_id(char *node_id)
{
	char		machine[64];
	char		resolved[PATH_MAX];
	const char *path = realpath(DataDir, resolved) != NULL ? resolved : DataDir;
	char	   *facts;
	bytea	   *hash;

	read_machine_id(machine, sizeof(machine));
	facts = psprintf("wacta node\n%s\n%s\n" UINT64_FORMAT, machine, path, control_file_inode());
	hash = DatumGetByteaPP(DirectFunctionCall1(sha256_bytea,
											   PointerGetDatum(cstring_to_text(facts))));
	hex_encode(VARDATA_ANY(hash), NODE_ID_LEN / 2, node_id);
	node_id[NODE_ID_LEN] = '\0';
}

/* What the site says, or else what this process has found out at its first call. */
static const char *
current_node_id(void)
{
	static char derived[NODE_ID_LEN + 1];

	if (wacta_node_id != NULL && wacta_node_id[0] != '\0')
		return wacta_node_id;
	if (derived[0] == '\0')
		derive_node_id(derived);
	return derived;
}

PG_FUNCTION_INFO_V1(wacta_cluster_identity);

/* SQL: wacta.cluster_identity() RETURNS record */
Datum
wacta_cluster_identity(PG_FUNCTION_ARGS)
{
	TupleDesc	tupdesc;
	Datum		values[IDENTITY_COLUMNS];
	bool		nulls[IDENTITY_COLUMNS] = {false};

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int64GetDatum((int64) GetSystemIdentifier());
	values[1] = Int32GetDatum((int32) current_timeline());
	values[2] = ObjectIdGetDatum(MyDatabaseId);
	values[3] = CStringGetTextDatum(current_node_id());
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}

/* The courier's functions can be called from SQL as well, where nobody is to be told. */
static bool
am_courier(void)
{
	return MyBgworkerEntry != NULL && strcmp(MyBgworkerEntry->bgw_type, "wacta courier") == 0;
}

PG_FUNCTION_INFO_V1(wacta_note_fence);

/*
 * SQL: wacta.note_fence(problem text) RETURNS void
 *
 * Has a courier say that it holds the queue: in courier_status() for as long as
 * it does, in the log when the reason is new.  NULL: it does not hold it.
 */
Datum
wacta_note_fence(PG_FUNCTION_ARGS)
{
	static char told[WORKER_ERROR_LEN];
	char		error[WORKER_ERROR_LEN] = "";
	char	   *problem;

	if (!am_courier())
		PG_RETURN_VOID();
	if (!PG_ARGISNULL(0))
	{
		problem = text_to_cstring(PG_GETARG_TEXT_PP(0));
		snprintf(error, sizeof(error), "held until wacta.unfence(reason) is run: %s", problem);
		worker_note_error(error);
		if (strcmp(error, told) != 0)
			ereport(LOG,
					(errmsg("%s sends nothing: %s", MyBgworkerEntry->bgw_name, problem),
					 errhint("Make sure that nobody else sends this queue, then run wacta.unfence(reason) in its database."),
					 errhidestmt(true), errhidecontext(true)));
	}
	strlcpy(told, error, sizeof(told));
	PG_RETURN_VOID();
}
