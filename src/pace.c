/*
 * pace.c
 *	  How many messages a second each sender may begin.
 *
 * In no second, wherever it begins, shall a sender begin more requests than its
 * rate, however many couriers it has.  Shared memory keeps for each sender the
 * requests that have begun, in buckets of 20 ms, and for each courier those that
 * it has claimed and that have not begun.  A claim asks for turns and gets
 *
 *		rate - begun in the last second - claimed and not begun
 *
 * Nothing but this adds to the sum of the last two, so that it stays below the
 * rate at all times.  A bucket counts until all of it is older than a second; a
 * courier reports a beginning a little late, while it still counts as claimed.
 *
 * When the provider says that we are too fast, the rate is halved.  It comes back
 * by a share of the full rate each second; it is computed when it is asked for.
 *
 * What was begun before the launcher started (by this server before a crash, by
 * another one before a promotion) is not known, so there are no turns in the
 * first second.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "pace.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "gate.h"
#include "guc.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "shmem.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#define SENDERS_PER_DATABASE	64

#define BUCKET_US		20000
#define SECOND_US		1000000
#define BUCKETS			(SECOND_US / BUCKET_US + 1) /* a second, and the one that has begun */

#define SLOWER_EVERY_US	SECOND_US	/* one burst brings many complaints */
#define RECOVERY_SHARE	0.05	/* of the full rate, each second */

/* When no time can be told: some other message or transaction must go on first. */
#define LOOK_AGAIN_US	50000

typedef struct Sender
{
	Oid			database_oid;
	int32		channel_id;
	int			max_rate;		/* as the last claim said; 0: none */
	int64		last_asked;

	int64		slowed_at;		/* 0: never */
	int			slowed_to;

	int			claimed[MAX_COURIERS_PER_DATABASE];
	int64		newest;			/* number of the newest bucket, since the epoch of the clock */
	int			begun[BUCKETS]; /* bucket n is at n % BUCKETS */
} Sender;

typedef struct Pace
{
	int64		known_from;		/* no turns before then */
	int			n_senders;		/* in use, at the front */
	int			max_senders;
	Sender		sender[FLEXIBLE_ARRAY_MEMBER];
} Pace;

static Pace *pace = NULL;		/* NULL in a server that does not preload wacta */
static LWLock *pace_lock = NULL;

/* When the next turn comes for what this transaction was refused. */
static TimestampTz refused_in = 0;
static int64 next_turn = 0;

/* Microseconds of a clock that nobody sets. */
static int64
monotonic_us(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MICROSEC(now);
}

static int
max_senders(void)
{
	return wacta_max_databases * SENDERS_PER_DATABASE;
}

Size
pace_shmem_size(void)
{
	return MAXALIGN(add_size(offsetof(Pace, sender), mul_size(max_senders(), sizeof(Sender))));
}

void
pace_shmem_init(Pace *memory, LWLock *lock)
{
	pace = memory;
	pace_lock = lock;
	pace->n_senders = 0;
	pace->max_senders = max_senders();
	pace_forget_past();
}

/* Called when somebody else may have sent until now. */
void
pace_forget_past(void)
{
	pace->known_from = monotonic_us() + SECOND_US + BUCKET_US;
}

/* ---- One sender: the caller holds the lock ---- */

/* Empties the buckets that time has passed. */
static void
turn_to(Sender *s, int64 now)
{
	int64		bucket = now / BUCKET_US;

	if (bucket - s->newest >= BUCKETS)
	{
		memset(s->begun, 0, sizeof(s->begun));
		s->newest = bucket;
	}
	while (s->newest < bucket)
		s->begun[++s->newest % BUCKETS] = 0;
}

static int
all_begun(const Sender *s)
{
	int			n = 0;
	int			i;

	for (i = 0; i < BUCKETS; i++)
		n += s->begun[i];
	return n;
}

static int
all_claimed(const Sender *s)
{
	int			n = 0;
	int			i;

	for (i = 0; i < MAX_COURIERS_PER_DATABASE; i++)
		n += s->claimed[i];
	return n;
}

static void
note_begun(Sender *s, int n, int64 now)
{
	turn_to(s, now);
	s->begun[s->newest % BUCKETS] += n;
}

static int
rate_of(const Sender *s, int64 now)
{
	double		seconds = (double) (now - s->slowed_at) / SECOND_US;
	double		rate = s->slowed_to + RECOVERY_SHARE * s->max_rate * seconds;

	if (s->slowed_at == 0 || rate >= s->max_rate)
		return s->max_rate;
	return Max((int) rate, 1);
}

/* How long until there is a turn, given how many are too many now. */
static int64
time_to_turn(const Sender *s, int too_many, int64 now)
{
	int64		bucket;

	for (bucket = s->newest - BUCKETS + 1; bucket <= s->newest; bucket++)
	{
		too_many -= s->begun[(bucket + BUCKETS) % BUCKETS];
		if (too_many < 0)
			return Max((bucket + BUCKETS) * BUCKET_US - now, 0);
	}
	return LOOK_AGAIN_US;
}

static Sender *
find_sender(Oid database, int32 channel_id)
{
	int			i;

	for (i = 0; i < pace->n_senders; i++)
		if (pace->sender[i].channel_id == channel_id && pace->sender[i].database_oid == database)
			return &pace->sender[i];
	return NULL;
}

/* One whose past does not matter any more; NULL: there is none. */
static Sender *
idle_sender(int64 now)
{
	Sender	   *idle = NULL;
	int			i;

	for (i = 0; i < pace->n_senders; i++)
	{
		Sender	   *s = &pace->sender[i];

		turn_to(s, now);
		if (all_begun(s) + all_claimed(s) == 0 && (idle == NULL || s->last_asked < idle->last_asked))
			idle = s;
	}
	return idle;
}

/* The caller's entry for this sender, made if there is none; NULL: no room just now. */
static Sender *
sender_for(int32 channel_id, int64 now)
{
	Sender	   *s = find_sender(MyDatabaseId, channel_id);

	if (s != NULL)
		return s;
	if (pace->n_senders < pace->max_senders)
		s = &pace->sender[pace->n_senders++];
	else
		s = idle_sender(now);
	if (s != NULL)
	{
		memset(s, 0, sizeof(*s));
		s->database_oid = MyDatabaseId;
		s->channel_id = channel_id;
	}
	return s;
}

/*
 * Takes up to so many turns.  A courier's count as claimed until it reports what
 * became of them; anybody else's have begun.
 */
static int
take(Sender *s, int courier, int wanted, int64 now, int64 *wait)
{
	int			free;
	int			n;

	turn_to(s, now);
	s->last_asked = now;
	free = rate_of(s, now) - all_begun(s) - all_claimed(s);
	n = Max(Min(free, wanted), 0);
	if (courier == courier_number())
		s->claimed[courier] += n;
	else
		note_begun(s, n, now);
	*wait = n < wanted ? time_to_turn(s, n - free, now) : 0;
	return n;
}

/* The same for a sender by its id.  max_rate 0: as many as are wanted. */
static int
take_turns(int32 channel_id, int courier, int max_rate, int wanted, int64 now, int64 *wait)
{
	int			granted = max_rate > 0 ? 0 : wanted;
	Sender	   *s;

	LWLockAcquire(pace_lock, LW_EXCLUSIVE);
	s = max_rate > 0 ? sender_for(channel_id, now) : find_sender(MyDatabaseId, channel_id);
	if (s != NULL)
		s->max_rate = max_rate;
	if (max_rate > 0)
	{
		*wait = s == NULL ? LOOK_AGAIN_US : pace->known_from - now;
		if (s != NULL && *wait <= 0)
			granted = take(s, courier, wanted, now, wait);
	}
	LWLockRelease(pace_lock);
	return granted;
}

/* ---- What couriers tell ---- */

/* After a claim, whether it succeeded or not, and after something has begun. */
void
pace_report(const PaceCount *counts, int n)
{
	int			courier = courier_number();
	int64		now = monotonic_us();
	int			i;
	int			j;

	LWLockAcquire(pace_lock, LW_EXCLUSIVE);
	for (i = 0; i < pace->n_senders; i++)
	{
		Sender	   *s = &pace->sender[i];

		if (s->database_oid != MyDatabaseId)
			continue;
		s->claimed[courier] = 0;
		for (j = 0; j < n; j++)
		{
			if (counts[j].channel_id != s->channel_id)
				continue;
			s->claimed[courier] = counts[j].claimed;
			note_begun(s, counts[j].started, now);
		}
	}
	LWLockRelease(pace_lock);
}

/* It has ended, with or without beginning what it had claimed. */
void
pace_courier_gone(Oid database, int courier)
{
	int64		now = monotonic_us();
	int			i;

	LWLockAcquire(pace_lock, LW_EXCLUSIVE);
	for (i = 0; i < pace->n_senders; i++)
	{
		Sender	   *s = &pace->sender[i];

		if (s->database_oid != database)
			continue;
		note_begun(s, s->claimed[courier], now);
		s->claimed[courier] = 0;
	}
	LWLockRelease(pace_lock);
}

/* ---- SQL ---- */

static void
note_refusal(int64 now, int64 wait)
{
	TimestampTz xact = GetCurrentTransactionStartTimestamp();

	if (refused_in != xact)
		next_turn = PG_INT64_MAX;
	refused_in = xact;
	next_turn = Min(next_turn, now + wait);
}

PG_FUNCTION_INFO_V1(wacta_take_turns);

/* SQL: wacta.take_turns(channel_id, courier, max_rate, wanted, OUT granted, OUT wait_ms) */
Datum
wacta_take_turns(PG_FUNCTION_ARGS)
{
	int			courier = PG_GETARG_INT32(1);
	int			max_rate = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2);
	int			wanted = PG_GETARG_INT32(3);
	int			granted = wanted;
	int64		now = monotonic_us();
	int64		wait = 0;
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (pace != NULL && gate_is_closed(PG_GETARG_INT32(0)))
	{
		granted = 0;
		wait = LOOK_AGAIN_US;
	}
	else if (pace != NULL)
		granted = take_turns(PG_GETARG_INT32(0), courier, max_rate, wanted, now, &wait);
	if (granted < wanted)
		note_refusal(now, wait);
	values[0] = Int32GetDatum(granted);
	values[1] = Int32GetDatum((int32) ((wait + 999) / 1000));
	nulls[1] = granted >= wanted;
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

PG_FUNCTION_INFO_V1(wacta_turn_wait);

/* SQL: wacta.turn_wait() RETURNS integer */
Datum
wacta_turn_wait(PG_FUNCTION_ARGS)
{
	int64		wait;

	if (refused_in != GetCurrentTransactionStartTimestamp())
		PG_RETURN_NULL();
	wait = next_turn - monotonic_us();
	PG_RETURN_INT32(Max((int32) ((wait + 999) / 1000), 1));
}

PG_FUNCTION_INFO_V1(wacta_slow_sender);

/* SQL: wacta.slow_sender(channel_id) RETURNS integer */
Datum
wacta_slow_sender(PG_FUNCTION_ARGS)
{
	int64		now = monotonic_us();
	int			rate = 0;
	Sender	   *s;

	if (pace == NULL)
		PG_RETURN_NULL();
	LWLockAcquire(pace_lock, LW_EXCLUSIVE);
	s = find_sender(MyDatabaseId, PG_GETARG_INT32(0));
	if (s != NULL && s->max_rate > 0)
	{
		rate = rate_of(s, now);
		if (s->slowed_at == 0 || now - s->slowed_at >= SLOWER_EVERY_US)
		{
			rate = s->slowed_to = Max(rate / 2, 1);
			s->slowed_at = now;
		}
	}
	LWLockRelease(pace_lock);
	if (rate == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(rate);
}

#define PACE_COLUMNS	6

static void
fill_row(Sender *s, int64 now, Datum *values, bool *nulls)
{
	turn_to(s, now);
	memset(nulls, 0, PACE_COLUMNS * sizeof(bool));
	values[0] = Int32GetDatum(s->channel_id);
	values[1] = Int32GetDatum(s->max_rate);
	values[2] = Int32GetDatum(rate_of(s, now));
	values[3] = Int32GetDatum(all_begun(s));
	values[4] = Int32GetDatum(all_claimed(s));
	nulls[5] = s->slowed_at == 0;
	values[5] = TimestampTzGetDatum(GetCurrentTimestamp() - (now - s->slowed_at));
}

PG_FUNCTION_INFO_V1(wacta_sender_pace);

/* SQL: wacta.sender_pace() RETURNS TABLE (...) */
Datum
wacta_sender_pace(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		now = monotonic_us();
	int			i;

	InitMaterializedSRF(fcinfo, 0);
	for (i = 0; pace != NULL && i < pace->max_senders; i++)
	{
		Sender		s;
		Datum		values[PACE_COLUMNS];
		bool		nulls[PACE_COLUMNS];
		bool		ours;

		/* A copy, because the lock must not be held while memory is allocated. */
		LWLockAcquire(pace_lock, LW_SHARED);
		s = pace->sender[i];
		ours = i < pace->n_senders && s.database_oid == MyDatabaseId && s.max_rate > 0;
		LWLockRelease(pace_lock);
		if (!ours)
			continue;
		fill_row(&s, now, values, nulls);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
