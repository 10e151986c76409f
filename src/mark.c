/*
 * mark.c
 *	  How far each lane of the queue has been emptied, in the memory of a session.
 *
 * A claim deletes what it takes from wacta.queue.  As long as some old snapshot
 * might still see them, deleted rows stay in the index, and a claim that began
 * at its lower end would walk over every message that was sent since then.  So
 * a claim begins at a mark: below it, nothing is left.
 *
 * Something may turn up below all the same.  A transaction queues a message now
 * and commits in a minute.  So the mark follows in two steps: what a look at the
 * lane found to be its first row becomes the mark only when all transactions
 * that were running at that look have ended, and if another look, which sees
 * what these have queued, found nothing lower.  What is queued later still has
 * a later due time, unless the clock was set back or somebody chose a due time
 * in the past: now and then a look begins at the lower end after all, which is
 * the net, and takes one part in a hundred of the time at most.  It is the net
 * for a transaction that runs for long, too, which is not waited for.
 *
 * Called by wacta.courier_claim() only.  A mark that is lost costs time alone.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "fmgr.h"
#include "guc.h"
#include "portability/instr_time.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "wacta.h"

#define LOOK_BACK_EVERY		1000000 /* us */
#define LOOK_BACK_SHARE		100 /* of the time, at most one part in so many */

typedef struct LaneKey
{
	int32		channel_id;
	int32		template_id;
} LaneKey;

typedef struct Lane
{
	LaneKey		key;			/* must be first */
	TimestampTz mark;			/* no row is due before it */
	TimestampTz next_mark;		/* would be true, but for transactions below next_xid */
	FullTransactionId next_xid; /* invalid: there is no next mark */
	int64		next_since;		/* monotonic us */
	int64		look_began;		/* monotonic us; 0: the look under way begins at the mark */
	int64		look_back_due;	/* monotonic us */
} Lane;

static HTAB *lanes = NULL;

/* Whatever is done to the time of day. */
static int64
monotonic_us(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MICROSEC(now);
}

/* All transactions below it have ended, as the snapshot sees it. */
static FullTransactionId
oldest_running(Snapshot snapshot, FullTransactionId next)
{
	return FullTransactionIdFromU64(U64FromFullTransactionId(next) -
									(uint32) (XidFromFullTransactionId(next) - snapshot->xmin));
}

/* What an aborted claim had taken is there again. */
static void
forget_lanes(void)
{
	if (lanes != NULL)
		hash_destroy(lanes);
	lanes = NULL;
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		forget_lanes();
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
					  SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_lanes();
}

static Lane *
find_lane(LaneKey key)
{
	static bool registered = false;
	Lane	   *lane;
	bool		found;

	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		registered = true;
	}
	if (lanes == NULL)
	{
		HASHCTL		info = {.keysize = sizeof(LaneKey), .entrysize = sizeof(Lane),
		.hcxt = TopMemoryContext};

		lanes = hash_create("wacta lanes", 64, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	lane = hash_search(lanes, &key, HASH_ENTER, &found);
	if (!found)
	{
		memset(lane, 0, sizeof(Lane));
		lane->key = key;
		lane->mark = DT_NOBEGIN;
		lane->next_xid = InvalidFullTransactionId;
	}
	return lane;
}

static LaneKey
lane_args(FunctionCallInfo fcinfo)
{
	return (LaneKey) {PG_GETARG_INT32(0), PG_GETARG_INT32(1)};
}

PG_FUNCTION_INFO_V1(wacta_lane_mark);

/*
 * SQL: wacta.lane_mark(channel_id integer, template_id integer) RETURNS
 * timestamptz: where a look at the lane is to begin; -infinity at first, now and
 * then, and while a test has pinned the clock.
 */
Datum
wacta_lane_mark(PG_FUNCTION_ARGS)
{
	Lane	   *lane;
	int64		now = monotonic_us();

	if (wacta_fixed_now != NULL && wacta_fixed_now[0] != '\0')
		PG_RETURN_TIMESTAMPTZ(DT_NOBEGIN);
	lane = find_lane(lane_args(fcinfo));
	if (now < lane->look_back_due && lane->mark <= GetCurrentTimestamp())
		PG_RETURN_TIMESTAMPTZ(lane->mark);
	lane->look_began = now;
	PG_RETURN_TIMESTAMPTZ(DT_NOBEGIN);
}

PG_FUNCTION_INFO_V1(wacta_note_lane);

/*
 * SQL: wacta.note_lane(channel_id integer, template_id integer,
 *		first timestamptz, looked_at timestamptz) RETURNS void
 *
 * A look found that nothing in the lane is due before first (NULL: before
 * looked_at).  Must be called in the statement that looked, for its snapshot
 * tells which transactions that look could not see.
 */
Datum
wacta_note_lane(PG_FUNCTION_ARGS)
{
	Lane	   *lane = find_lane(lane_args(fcinfo));
	TimestampTz first = PG_GETARG_TIMESTAMPTZ(PG_ARGISNULL(2) ? 3 : 2);
	FullTransactionId next = ReadNextFullTransactionId();
	int64		now = monotonic_us();

	if (lane->look_began != 0)
	{
		lane->look_back_due = now + Max(LOOK_BACK_EVERY, (now - lane->look_began) * LOOK_BACK_SHARE);
		lane->look_began = 0;
		lane->mark = Min(lane->mark, first);
	}
	if (FullTransactionIdIsValid(lane->next_xid) && now < lane->next_since + LOOK_BACK_EVERY &&
		FullTransactionIdPrecedes(oldest_running(GetActiveSnapshot(), next), lane->next_xid))
		PG_RETURN_VOID();
	if (FullTransactionIdIsValid(lane->next_xid))
		lane->mark = Min(lane->next_mark, first);

	/* read after the snapshot was taken: whatever it saw running is below */
	lane->next_mark = first;
	lane->next_xid = next;
	lane->next_since = now;
	PG_RETURN_VOID();
}
