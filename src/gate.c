/*
 * gate.c
 *	  Holds back requests of whom or what the database has withdrawn.
 *
 * The claim decides by the database whether a message may be sent, but between
 * its commit and the first byte of the request there may be seconds: for a name,
 * a connection, a TLS handshake.  A transaction that withdraws something (a
 * person's consent, a sender, a template) must not commit while a request that it
 * forbids can still begin.  So in shared memory there is a table of entries, found
 * by a hash of what was withdrawn, and a counter, the clock:
 *
 *	withdrawing transaction			courier
 *	-----------------------			-------
 *	updates rows
 *	closes its entries				reads the clock, then begins to claim
 *	waits for who is sending		commits the claim
 *	commits							starts to send (WorkerSlot.sending is odd)
 *	advances the clock,				before each request: is an entry closed, or
 *	stamps its entries with it,		stamped later than the claim's clock?
 *	opens them						stops sending (even)
 *
 * Claims before the withdrawal became visible have read a clock below its stamp:
 * what is left of them is refused.  Claims that have read the clock at or above
 * it have a snapshot that sees the withdrawal.  In between the entry is closed.
 *
 * The closing and the change of WorkerSlot.sending are full barriers, each before
 * a look at the other's side, so one of two holds: the courier sees the entry
 * closed, or we see it sending and wait until it has stopped.  Either way no
 * request begins between our look and the commit.  The courier waits for nobody
 * while it is sending, so that this wait is short and never a deadlock.
 *
 * Different things may share an entry, and a withdrawal may be rolled back: then
 * a message is held back in vain, goes back to the queue, and is claimed again.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "gate.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "compat.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "shmem.h"
#include "tcop/utility.h"
#include "utils/rel.h"
#include "wacta.h"

#define GATE_ENTRIES	16384

/* More than these in one transaction, and it holds back its whole database. */
#define MAX_HELD		1024

#define FIRST_NAP_US	50
#define LONGEST_NAP_US	1000
#define COMPLAIN_US		1000000

/* What can be held back; the id is that of a column with the name given below. */
typedef enum HeldKind
{
	HELD_DATABASE,
	HELD_LEAD,
	HELD_CHANNEL,
	HELD_TEMPLATE,
	HELD_KINDS
} HeldKind;

static const char *const id_column[HELD_KINDS] = {
	"", "lead_id", "channel_id", "template_id"
};

typedef struct GateEntry
{
	pg_atomic_uint64 stamp;		/* the clock when it was opened last */
	pg_atomic_uint32 closed;	/* by so many transactions */
} GateEntry;

typedef struct Gate
{
	pg_atomic_uint64 clock;
	GateEntry	entry[GATE_ENTRIES];
} Gate;

static Gate *gate = NULL;		/* NULL in a server that does not preload wacta */

/* The entries of the current transaction; the first n_closed of them are closed. */
static GateEntry *held[MAX_HELD];
static int	n_held = 0;
static int	n_closed = 0;

static ProcessUtility_hook_type prev_ProcessUtility = NULL;

Size
gate_shmem_size(void)
{
	return MAXALIGN(sizeof(Gate));
}

void
gate_shmem_init(Gate *memory)
{
	int			i;

	gate = memory;
	pg_atomic_init_u64(&gate->clock, 0);
	for (i = 0; i < GATE_ENTRIES; i++)
	{
		pg_atomic_init_u64(&gate->entry[i].stamp, 0);
		pg_atomic_init_u32(&gate->entry[i].closed, 0);
	}
}

static GateEntry *
entry_of(HeldKind kind, int64 id)
{
	struct
	{
		Oid			database;
		uint32		kind;
		int64		id;
	}			key = {MyDatabaseId, kind, id};

	return &gate->entry[hash_bytes_extended((const unsigned char *) &key, sizeof(key), 0)
						% GATE_ENTRIES];
}

/* ---- The courier's side ---- */

/* What a claim carries: to be read before its transaction takes a snapshot. */
uint64
gate_clock(void)
{
	uint64		now = pg_atomic_read_u64(&gate->clock);

	pg_memory_barrier();
	return now;
}

/* Closed is looked at first: who opens an entry has stamped it before. */
static bool
entry_is_open(GateEntry *entry, uint64 claimed_at)
{
	if (pg_atomic_read_u32(&entry->closed) > 0)
		return false;
	pg_read_barrier();
	return pg_atomic_read_u64(&entry->stamp) <= claimed_at;
}

/*
 * May a request begin that was claimed at this clock?  To be asked only between
 * courier_start_sending() and courier_stop_sending().  A message may have no
 * template: 0.
 */
bool
gate_is_open(uint64 claimed_at, int64 lead_id, int32 channel_id, int32 template_id)
{
	return entry_is_open(entry_of(HELD_DATABASE, 0), claimed_at) &&
		entry_is_open(entry_of(HELD_LEAD, lead_id), claimed_at) &&
		entry_is_open(entry_of(HELD_CHANNEL, channel_id), claimed_at) &&
		(template_id == 0 || entry_is_open(entry_of(HELD_TEMPLATE, template_id), claimed_at));
}

/* Is nothing of this sender to begin just now, so that to claim it would be in vain? */
bool
gate_is_closed(int32 channel_id)
{
	return pg_atomic_read_u32(&entry_of(HELD_DATABASE, 0)->closed) > 0 ||
		pg_atomic_read_u32(&entry_of(HELD_CHANNEL, channel_id)->closed) > 0;
}

/* ---- The withdrawing transaction's side ---- */

/* Notes what is to be closed before the commit.  A savepoint's rollback forgets none. */
static void
hold(HeldKind kind, int64 id)
{
	Assert(n_closed == 0);
	if (n_held == MAX_HELD)
	{
		held[0] = entry_of(HELD_DATABASE, 0);
		n_held = 1;
	}
	held[n_held++] = entry_of(kind, id);
}

/* Is it still in the same round of sending, and is that any of our business? */
static bool
is_sending(WorkerSlot *slot, uint64 round)
{
	bool		ours;

	if (pg_atomic_read_u64(&slot->sending) != round)
		return false;
	LWLockAcquire(wacta_shared->lock, LW_SHARED);
	ours = slot->pid != 0 && slot->database_oid == MyDatabaseId;
	LWLockRelease(wacta_shared->lock);
	return ours;
}

/* It takes microseconds, unless the courier's process has been stopped. */
static void
wait_until_sent(WorkerSlot *slot, uint64 round)
{
	long		nap = FIRST_NAP_US;
	long		waited = 0;

	pgstat_report_wait_start(wacta_wait_event("WactaGate"));
	while (is_sending(slot, round))
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(nap);
		if (waited < COMPLAIN_US && waited + nap >= COMPLAIN_US)
			ereport(WARNING,
					(errcode(ERRCODE_WARNING),
					 errmsg("commit waits for courier %d, which is in the middle of sending", slot->number),
					 errhint("Its process %d seems to be stopped.", (int) slot->pid)));
		waited += nap;
		nap = Min(2 * nap, LONGEST_NAP_US);
	}
	pgstat_report_wait_end();
}

/* From the return of this on nothing begins that we hold, until we open again. */
static void
close_held(void)
{
	int			i;

	if (n_closed == n_held)
		return;
	while (n_closed < n_held)
		pg_atomic_fetch_add_u32(&held[n_closed++]->closed, 1);
	pg_memory_barrier();
	for (i = 0; i < wacta_shared->n_slots; i++)
	{
		WorkerSlot *slot = &wacta_shared->slot[i];
		uint64		round = pg_atomic_read_u64(&slot->sending);

		if (round % 2 == 1)
			wait_until_sent(slot, round);
	}
}

/* The stamp never goes back, whatever the order in which transactions end. */
static void
stamp(GateEntry *entry, uint64 now)
{
	uint64		was = pg_atomic_read_u64(&entry->stamp);

	while (was < now && !pg_atomic_compare_exchange_u64(&entry->stamp, &was, now))
		;
}

/* The transaction has ended, one way or the other, and others can see it. */
static void
open_held(void)
{
	uint64		now;
	int			i;

	if (n_closed > 0)
	{
		now = pg_atomic_add_fetch_u64(&gate->clock, 1);
		for (i = 0; i < n_closed; i++)
		{
			stamp(held[i], now);
			pg_atomic_fetch_sub_u32(&held[i]->closed, 1);
		}
	}
	n_held = n_closed = 0;
}

/*
 * What is prepared withdraws nothing yet: COMMIT PREPARED does, see below.
 * Couriers come here as well, when a provider's answer has them stop a sender.
 */
static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			close_held();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			open_held();
			break;
		default:
			break;
	}
}

/*
 * Who prepared the transaction may have gone, and the server may have restarted:
 * what it withdraws is not known here.  So nothing at all begins meanwhile.
 */
static void
hold_and_run(PlannedStmt *pstmt, const char *query, bool read_only_tree,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *stmt = pstmt->utilityStmt;

	if (IsA(stmt, TransactionStmt) &&
		((TransactionStmt *) stmt)->kind == TRANS_STMT_COMMIT_PREPARED)
	{
		hold(HELD_DATABASE, 0);
		close_held();
	}
	if (prev_ProcessUtility)
		prev_ProcessUtility(pstmt, query, read_only_tree, context, params, env, dest, qc);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params, env, dest, qc);
}

/* Called from _PG_init of a server that preloads wacta. */
void
wacta_gate_init(void)
{
	prev_ProcessUtility = ProcessUtility_hook;
	ProcessUtility_hook = hold_and_run;
	RegisterXactCallback(at_transaction_end, NULL);
}

/* ---- The trigger ---- */

static HeldKind
kind_of_column(const char *name)
{
	int			kind;

	for (kind = HELD_LEAD; kind < HELD_KINDS; kind++)
		if (strcmp(id_column[kind], name) == 0)
			return kind;
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("nothing can be held back by column \"%s\"", name)));
	return HELD_DATABASE;		/* keep compiler quiet */
}

static int64
row_id(TriggerData *trigger, const char *column)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	int			number = SPI_fnumber(desc, column);
	bool		isnull = true;
	Datum		id = (Datum) 0;

	if (number > 0)
		id = heap_getattr(trigger->tg_trigtuple, number, desc, &isnull);
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("a row of \"%s\" has no \"%s\"",
						RelationGetRelationName(trigger->tg_relation), column)));
	return SPI_gettypeid(desc, number) == INT4OID ? DatumGetInt32(id) : DatumGetInt64(id);
}

PG_FUNCTION_INFO_V1(wacta_hold_back);

/* SQL: wacta.hold_back() RETURNS trigger: its argument is the column with the id. */
Datum
wacta_hold_back(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const char *column;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event) || trigger->tg_trigger->tgnargs != 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called by an AFTER trigger for each row, with one argument",
						"wacta.hold_back")));

	column = trigger->tg_trigger->tgargs[0];
	if (gate != NULL)
		hold(kind_of_column(column), row_id(trigger, column));
	return PointerGetDatum(NULL);
}
