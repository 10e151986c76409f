/*
 * funnel.c
 *	  Counts messages as they change: the triggers of wacta.message that write
 *	  wacta.funnel_delta.
 *
 * Each message counts in one bucket, which its own columns name (46_funnel.sql
 * tells of them, and recounts them in SQL).  What a statement moves from bucket
 * to bucket is added up here, in memory, and written at its end as one row for
 * each bucket: a thousand messages that were delivered are two rows.
 *
 * The courier updates each message twice.  So an update has a row trigger, whose
 * WHEN lets through only what moves: transition tables would copy all rows of
 * every update, twice.  Inserts and deletes have transition tables, since what
 * waits for a row trigger waits in memory, and a restore inserts millions.
 *
 * A trigger may run statements of its own, in subtransactions of its own, while
 * an outer statement is not at its end.  So sums belong to a subtransaction:
 * they are written by it, and vanish with it.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#define COST_DIGITS 6			/* of wacta.message.cost behind the point */

static const char *const SETTINGS =
"SELECT c.time_zone, 'queued'::wacta.message_status, 'sending'::wacta.message_status FROM wacta.config c";

static const char *const ZONE = "SELECT c.time_zone FROM wacta.config c";

static const char *const WRITE =
"INSERT INTO wacta.funnel_delta (day, project_id, template_id, channel_id, counted, state, done, number, cost)"
" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/* Compared as bytes, so it is cleared before it is filled. */
typedef struct BucketKey
{
	DateADT		day;
	int32		project_id;		/* 0: none, as for the template */
	int32		template_id;
	int32		channel_id;
	Oid			state;			/* of wacta.message_status */
	bool		accepted;
	NameData	purpose;
} BucketKey;

typedef struct Bucket
{
	BucketKey	key;			/* must be first */
	int64		number;
	int64		cost;			/* in units of 10^-COST_DIGITS */
} Bucket;

typedef struct Tally
{
	struct Tally *outer;
	SubTransactionId owner;
	MemoryContext context;
	HTAB	   *buckets;
	Datum		zone;			/* text: in which days are counted */
	Oid			queued;
	Oid			sending;
} Tally;

static Tally *innermost = NULL;

static void
drop_tally(void)
{
	Tally	   *tally = innermost;

	innermost = tally->outer;
	MemoryContextDelete(tally->context);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		innermost = NULL;		/* its memory goes with the transaction */
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
					  SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		while (innermost != NULL && innermost->owner == mine)
			drop_tally();
}

/* Kept for the session: each statement that changes messages asks for them. */
static SPIPlanPtr
kept_plan(const char *query, int n, Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare(query, n, types);

	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%s\"", query);
	return plan;
}

static char *
answer_of(SPIPlanPtr plan, Snapshot snapshot)
{
	if (SPI_execute_snapshot(plan, NULL, NULL, snapshot, InvalidSnapshot, true, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not ask a question twice");
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/*
 * What is counted depends on the time zone, and a recount on every row.  A
 * transaction that keeps one snapshot from its beginning to its end may know
 * neither, and nothing that it writes would collide with what it has missed.
 * That is a serialization failure, but not by its SQLSTATE: PostgREST repeats
 * 40001 without end.
 */
static bool
is_current(const char *question)
{
	SPIPlanPtr	plan;
	char	   *mine;
	char	   *newest;
	bool		same;

	if (!IsolationUsesXactSnapshot())
		return true;
	SPI_connect();
	plan = SPI_prepare(question, 0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\"", question);
	mine = answer_of(plan, GetTransactionSnapshot());
	newest = answer_of(plan, GetLatestSnapshot());
	same = mine == NULL || newest == NULL ? mine == newest : strcmp(mine, newest) == 0;
	SPI_finish();
	return same;
}

static void
check_snapshot(const char *question)
{
	if (!is_current(question))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("what is counted has changed since this transaction began"),
				 errhint("Repeat the transaction.")));
}

static void
load_settings(Tally *tally)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext caller = CurrentMemoryContext;
	HeapTuple	row;
	TupleDesc	desc;
	bool		isnull;

	check_snapshot(ZONE);
	SPI_connect();
	if (plan == NULL)
		plan = kept_plan(SETTINGS, 0, NULL);
	if (SPI_execute_plan(plan, NULL, NULL, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read wacta.config");
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	tally->queued = DatumGetObjectId(SPI_getbinval(row, desc, 2, &isnull));
	tally->sending = DatumGetObjectId(SPI_getbinval(row, desc, 3, &isnull));
	MemoryContextSwitchTo(tally->context);
	tally->zone = PointerGetDatum(PG_DETOAST_DATUM_COPY(SPI_getbinval(row, desc, 1, &isnull)));
	MemoryContextSwitchTo(caller);
	SPI_finish();
}

static void
begin_tally(void)
{
	static bool registered = false;
	MemoryContext context = AllocSetContextCreate(TopTransactionContext, "wacta tally", ALLOCSET_SMALL_SIZES);
	Tally	   *tally = MemoryContextAllocZero(context, sizeof(Tally));
	HASHCTL		info = {.keysize = sizeof(BucketKey), .entrysize = sizeof(Bucket), .hcxt = context};

	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		registered = true;
	}
	tally->context = context;
	tally->owner = GetCurrentSubTransactionId();
	tally->buckets = hash_create("wacta buckets", 16, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	load_settings(tally);
	tally->outer = innermost;
	innermost = tally;
}

static Tally *
current_tally(void)
{
	if (innermost == NULL || innermost->owner != GetCurrentSubTransactionId())
		begin_tally();
	return innermost;
}

/* ---- Counting ---- */

typedef enum Column
{
	ENQUEUED_AT, PROJECT_ID, TEMPLATE_ID, CHANNEL_ID, PURPOSE, STATUS, ACCEPTED_AT, COST
} Column;

static const char *const column_name[] = {
	[ENQUEUED_AT] = "enqueued_at",[PROJECT_ID] = "project_id",[TEMPLATE_ID] = "template_id",[CHANNEL_ID] = "channel_id",
	[PURPOSE] = "purpose",[STATUS] = "status",[ACCEPTED_AT] = "accepted_at",[COST] = "cost"
};

typedef AttrNumber Columns[lengthof(column_name)];

/* Where they are in a table: wacta.message, or a partition of it. */
static AttrNumber *
columns_of(Relation relation)
{
	static Oid	known = InvalidOid;
	static Columns columns;

	if (known == RelationGetRelid(relation))
		return columns;
	known = InvalidOid;
	for (int i = 0; i < lengthof(columns); i++)
	{
		columns[i] = SPI_fnumber(RelationGetDescr(relation), column_name[i]);
		if (columns[i] <= 0)
			elog(ERROR, "there is no column \"%s\"", column_name[i]);
	}
	known = RelationGetRelid(relation);
	return columns;
}

static int32
id_or_zero(TupleTableSlot *row, AttrNumber column)
{
	bool		isnull;
	Datum		id = slot_getattr(row, column, &isnull);

	return isnull ? 0 : DatumGetInt32(id);
}

static int64
cost_units(Datum cost)
{
	Datum		scale = NumericGetDatum(int64_to_numeric(INT64CONST(1000000)));

	return DatumGetInt64(DirectFunctionCall1(numeric_int8, DirectFunctionCall2(numeric_mul, cost, scale)));
}

static BucketKey
bucket_of(Tally *tally, TupleTableSlot *row, AttrNumber *columns)
{
	BucketKey	key;
	bool		isnull;
	char	   *purpose = TextDatumGetCString(slot_getattr(row, columns[PURPOSE], &isnull));

	memset(&key, 0, sizeof(key));
	key.day = DatumGetDateADT(DirectFunctionCall1(timestamp_date,
												  DirectFunctionCall2(timestamptz_zone, tally->zone,
																	  slot_getattr(row, columns[ENQUEUED_AT], &isnull))));
	key.project_id = id_or_zero(row, columns[PROJECT_ID]);
	key.template_id = id_or_zero(row, columns[TEMPLATE_ID]);
	key.channel_id = id_or_zero(row, columns[CHANNEL_ID]);
	key.state = DatumGetObjectId(slot_getattr(row, columns[STATUS], &isnull));
	if (key.state == tally->sending)
		key.state = tally->queued;
	slot_getattr(row, columns[ACCEPTED_AT], &isnull);
	key.accepted = !isnull;
	strlcpy(NameStr(key.purpose), purpose, NAMEDATALEN);
	return key;
}

static void
count_row(TupleTableSlot *row, AttrNumber *columns, int sign)
{
	Tally	   *tally = current_tally();
	BucketKey	key = bucket_of(tally, row, columns);
	bool		found;
	bool		isnull;
	Bucket	   *bucket = hash_search(tally->buckets, &key, HASH_ENTER, &found);
	Datum		cost = slot_getattr(row, columns[COST], &isnull);

	if (!found)
		bucket->number = bucket->cost = 0;
	bucket->number += sign;
	if (key.accepted && !isnull)
		bucket->cost += sign * cost_units(cost);
}

/* ---- Writing ---- */

static void
write_bucket(Bucket *bucket)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {DATEOID, INT4OID, INT4OID, INT4OID, TEXTOID, TEXTOID, BOOLOID, INT8OID, NUMERICOID};
	Datum		state = DirectFunctionCall1(enum_out, ObjectIdGetDatum(bucket->key.state));
	Datum		values[] = {
		DateADTGetDatum(bucket->key.day), Int32GetDatum(bucket->key.project_id), Int32GetDatum(bucket->key.template_id),
		Int32GetDatum(bucket->key.channel_id), CStringGetTextDatum(NameStr(bucket->key.purpose)),
		CStringGetTextDatum(DatumGetCString(state)), BoolGetDatum(bucket->key.accepted), Int64GetDatum(bucket->number),
		NumericGetDatum(int64_div_fast_to_numeric(bucket->cost, COST_DIGITS))
	};

	if (plan == NULL)
		plan = kept_plan(WRITE, lengthof(types), types);
	if (SPI_execute_plan(plan, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write wacta.funnel_delta");
}

/* An INSERT into funnel_delta has no triggers, so the sums stay as they are meanwhile. */
static void
write_tally(void)
{
	HASH_SEQ_STATUS all;
	Bucket	   *bucket;

	if (innermost == NULL || innermost->owner != GetCurrentSubTransactionId())
		return;
	SPI_connect();
	hash_seq_init(&all, innermost->buckets);
	while ((bucket = hash_seq_search(&all)) != NULL)
		if (bucket->number != 0 || bucket->cost != 0)
			write_bucket(bucket);
	SPI_finish();
	drop_tally();
}

/* ---- Triggers ---- */

/* A place of our own in the transition table: other triggers read it, too. */
static void
count_table(Tuplestorestate *rows, Relation relation, int sign)
{
	AttrNumber *columns = columns_of(relation);
	TupleTableSlot *row = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsMinimalTuple);
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "wacta count", ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(scratch);

	tuplestore_select_read_pointer(rows, tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND));
	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, row))
	{
		count_row(row, columns, sign);
		ExecClearTuple(row);	/* its tuple is in scratch, and freed once */
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);
	ExecDropSingleTupleTableSlot(row);
}

PG_FUNCTION_INFO_V1(wacta_count_messages);

/*
 * SQL: wacta.count_messages() RETURNS trigger
 *
 * AFTER INSERT or DELETE, for each statement, with its transition table; AFTER
 * UPDATE for each row that moves, and for each statement.
 */
Datum
wacta_count_messages(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("wacta.count_messages() is a trigger function, for after the event"));
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
	{
		AttrNumber *columns = columns_of(trigger->tg_relation);

		count_row(trigger->tg_trigslot, columns, -1);
		count_row(trigger->tg_newslot, columns, 1);
		return PointerGetDatum(NULL);
	}
	if (trigger->tg_newtable != NULL)
		count_table(trigger->tg_newtable, trigger->tg_relation, 1);
	if (trigger->tg_oldtable != NULL)
		count_table(trigger->tg_oldtable, trigger->tg_relation, -1);
	write_tally();
	return PointerGetDatum(NULL);
}

PG_FUNCTION_INFO_V1(wacta_check_snapshot);

/* SQL: wacta.check_snapshot(question text) RETURNS void */
Datum
wacta_check_snapshot(PG_FUNCTION_ARGS)
{
	check_snapshot(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}
