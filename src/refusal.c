/*
 * refusal.c
 *	  Counts the webhooks that proved nothing, in shared memory.
 *
 * Anyone can send such webhooks, at any rate.  A row for each would fill the disk,
 * and a counter in a table would have all of them wait for one row.  So they are
 * counted here, for each hour, provider and reason, and once a minute the inbox
 * worker adds what has come to wacta.webhook_refusal.  A crash of the server
 * loses the counts of that minute.  Where no inbox worker serves the database,
 * nothing is counted here and the caller uses the table.
 *
 * An entry is what has come in its hour and how much of it is in the table.  What
 * the worker reads is marked, and taken for stored when its transaction has
 * committed: no count is lost when that fails.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "refusal.h"

#include "fmgr.h"
#include "funcapi.h"
#include "inbox.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "shmem.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#define ENTRIES			256
#define NAME_LEN		40
#define COLUMNS			4

/* What could not be stored in this time never will be: its database is gone. */
#define KEEP_US			USECS_PER_DAY

typedef struct Refusal
{
	Oid			database;		/* InvalidOid: free */
	TimestampTz hour;
	char		provider[NAME_LEN];
	char		reason[NAME_LEN];
	int64		count;
	int64		read;			/* as the worker has read it */
	int64		stored;
} Refusal;

typedef struct Refusals
{
	LWLock	   *lock;
	Refusal		entry[ENTRIES];
} Refusals;

static Refusals *refusals = NULL;

Size
refusal_shmem_size(void)
{
	return MAXALIGN(sizeof(Refusals));
}

void
refusal_shmem_init(Refusals *memory, LWLock *lock)
{
	refusals = memory;
	refusals->lock = lock;
}

static bool
is_free(const Refusal *entry, TimestampTz hour)
{
	return !OidIsValid(entry->database) || entry->hour < hour - KEEP_US ||
		(entry->hour != hour && entry->stored == entry->count);
}

/* The entry for this key, made if there is room; else NULL.  The caller holds the lock. */
static Refusal *
find_entry(const Refusal *key)
{
	Refusal    *room = NULL;
	int			i;

	for (i = 0; i < ENTRIES; i++)
	{
		Refusal    *entry = &refusals->entry[i];

		if (entry->database == key->database && entry->hour == key->hour &&
			strcmp(entry->provider, key->provider) == 0 && strcmp(entry->reason, key->reason) == 0)
			return entry;
		if (room == NULL && is_free(entry, key->hour))
			room = entry;
	}
	if (room != NULL)
		*room = *key;
	return room;
}

static void
copy_name(char *name, text *value)
{
	int			len = pg_mbcliplen(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), NAME_LEN - 1);

	memcpy(name, VARDATA_ANY(value), len);
	name[len] = '\0';
}

PG_FUNCTION_INFO_V1(wacta_count_refusal);

/*
 * SQL: wacta.count_refusal(provider text, reason text, hour timestamptz) RETURNS bigint
 *
 * NULL: it was not counted.
 */
Datum
wacta_count_refusal(PG_FUNCTION_ARGS)
{
	Refusal		key = {.database = MyDatabaseId, .hour = PG_GETARG_TIMESTAMPTZ(2)};
	Refusal    *entry;
	int64		count = 0;

	if (!inbox_is_served())
		PG_RETURN_NULL();
	copy_name(key.provider, PG_GETARG_TEXT_PP(0));
	copy_name(key.reason, PG_GETARG_TEXT_PP(1));

	LWLockAcquire(refusals->lock, LW_EXCLUSIVE);
	entry = find_entry(&key);
	if (entry != NULL)
		count = ++entry->count;
	LWLockRelease(refusals->lock);
	if (count == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(count);
}

static void
put_row(ReturnSetInfo *rsinfo, const Refusal *entry)
{
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS] = {false};

	values[0] = TimestampTzGetDatum(entry->hour);
	values[1] = CStringGetTextDatum(entry->provider);
	values[2] = CStringGetTextDatum(entry->reason);
	values[3] = Int64GetDatum(entry->count - entry->stored);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(wacta_counted_refusals);

/* SQL: wacta.counted_refusals() RETURNS TABLE (...): what is not in the table yet. */
Datum
wacta_counted_refusals(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			i;

	InitMaterializedSRF(fcinfo, 0);
	for (i = 0; wacta_shared != NULL && i < ENTRIES; i++)
	{
		Refusal		entry;

		/* A copy, because the lock must not be held while memory is allocated. */
		LWLockAcquire(refusals->lock, LW_EXCLUSIVE);
		if (am_inbox_worker() && refusals->entry[i].database == MyDatabaseId)
			refusals->entry[i].read = refusals->entry[i].count;
		entry = refusals->entry[i];
		LWLockRelease(refusals->lock);
		if (entry.database == MyDatabaseId && entry.count > entry.stored)
			put_row(rsinfo, &entry);
	}
	return (Datum) 0;
}

void
refusals_are_stored(void)
{
	int			i;

	LWLockAcquire(refusals->lock, LW_EXCLUSIVE);
	for (i = 0; i < ENTRIES; i++)
	{
		Refusal    *entry = &refusals->entry[i];

		if (entry->database == MyDatabaseId)
			entry->stored = entry->read;
	}
	LWLockRelease(refusals->lock);
}
