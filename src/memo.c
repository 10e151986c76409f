/*
 * memo.c
 *	  What a session has worked out once and may use again.
 *
 * The form of a request is the same for all messages of a kind and costs more
 * than the rest of a claim.  The caller's key says everything that the value was
 * worked out from, versions of rows included, so that a value can be old but
 * never wrong: there is nothing to invalidate.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "compat.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define MEMO_ENTRIES	64

typedef struct MemoEntry
{
	text	   *key;			/* NULL: free */
	text	   *value;
} MemoEntry;

static MemoEntry memo[MEMO_ENTRIES];
static MemoryContext MemoContext = NULL;

/* Where the key has its place; another key may be there. */
static MemoEntry *
memo_place(text *key)
{
	return &memo[hash_bytes((unsigned char *) VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key)) % MEMO_ENTRIES];
}

static text *
keep(text *t)
{
	text	   *copy = MemoryContextAlloc(MemoContext, VARSIZE_ANY(t));

	memcpy(copy, t, VARSIZE_ANY(t));
	return copy;
}

PG_FUNCTION_INFO_V1(wacta_recall);

/* SQL: wacta.recall(key text) RETURNS text: what was memorized, or NULL. */
Datum
wacta_recall(PG_FUNCTION_ARGS)
{
	text	   *key = PG_GETARG_TEXT_PP(0);
	MemoEntry  *place = memo_place(key);

	if (place->key == NULL ||
		VARSIZE_ANY_EXHDR(place->key) != VARSIZE_ANY_EXHDR(key) ||
		memcmp(VARDATA_ANY(place->key), VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key)) != 0)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(VARDATA_ANY(place->value), VARSIZE_ANY_EXHDR(place->value)));
}

PG_FUNCTION_INFO_V1(wacta_memorize);

/* SQL: wacta.memorize(key text, value text) RETURNS void, in the place of whatever was there. */
Datum
wacta_memorize(PG_FUNCTION_ARGS)
{
	text	   *key = PG_GETARG_TEXT_PP(0);
	MemoEntry  *place = memo_place(key);

	if (MemoContext == NULL)
		MemoContext = AllocSetContextCreate(TopMemoryContext, "wacta memo", ALLOCSET_DEFAULT_SIZES);
	if (place->key != NULL)
	{
		pfree(place->key);
		place->key = NULL;
		pfree(place->value);
	}
	place->value = keep(PG_GETARG_TEXT_PP(1));
	place->key = keep(key);
	PG_RETURN_VOID();
}
