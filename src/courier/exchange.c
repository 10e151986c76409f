/*
 * exchange.c
 *	  One transaction with the outbox: settle what has finished, claim what is due.
 *
 * Called by the courier's loop.  An error of the database does no harm here: the
 * transaction is rolled back, finished transfers are still there, and the loop
 * tries again after a pause.  Three failures in a row end the courier.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "courier.h"

#include "dispatch.h"
#include "guc.h"
#include "miscadmin.h"
#include "outbox.h"
#include "shmem.h"
#include "storage/ipc.h"
#include "transport.h"
#include "utils/memutils.h"

#define CLAIM_MAX			1000	/* messages in one transaction */
#define REAP_EVERY_MS		10000
#define EMPTY_CLAIM_MS		100 /* after a claim that got nothing though some was due; doubled */
#define FAILURES_MAX		3	/* transactions in a row, then the launcher's backoff */
#define FAILURE_PAUSE_MS	1000
#define SETTLE_TRIES		3	/* of one message by itself */

/* What one transaction shall do, and what it has brought. */
typedef struct Exchange
{
	Transfer  **settle;
	int			n_settle;
	bool		look;			/* start, reap, claim */
	int			want;			/* how many to claim */

	OutboxPresence presence;
	OutboxTally tally;
	OutboxMessage *claimed;
	int			n_claimed;
	int			wait;			/* ms until more is due; -1: nothing queued */
} Exchange;

/* What is said once need not be said once a minute. */
static void
leave(CourierState state, const char *reason)
{
	bool		news = courier_leave(state, reason);

	ereport(news ? LOG : DEBUG1, (errmsg("courier ends: %s", reason)));
	proc_exit(0);
}

/* The statements of one transaction. */
static void
exchange_statements(Courier *c, Exchange *x)
{
	x->presence = outbox_presence();
	if (x->presence != OUTBOX_PRESENT)
		return;
	if (x->n_settle > 0)
		x->tally = outbox_settle(x->settle, x->n_settle);
	if (!x->look)
		return;
	if (!c->started)
		x->tally.in_doubt += (int32) outbox_start(c->number);
	if (monotonic_ms() >= c->reap_due)
		outbox_reap();
	if (x->want > 0)
		x->claimed = outbox_claim(c->number, x->want, &x->n_claimed);
	if (x->n_claimed < x->want)
		x->wait = outbox_wait();
}

/*
 * Notes a failed transaction.  The error itself is reported as a LOG line, with
 * no context that could quote parameters.  A courier that may do nothing at all
 * was started between CREATE EXTENSION and wacta.grant_courier(), which wakes
 * the launcher.
 */
static void
note_failure(Courier *c, const ErrorData *edata)
{
	if (!c->started && edata->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
		leave(COURIER_ABSENT, edata->message);

	c->failures++;
	c->not_before = monotonic_ms() + FAILURE_PAUSE_MS * c->failures;
	courier_note_error(edata->message);
	ereport(LOG,
			(errcode(edata->sqlerrcode),
			 errmsg("could not exchange messages with the outbox: %s", edata->message)));
	if (c->failures >= FAILURES_MAX)
		ereport(ERROR,
				(errcode(edata->sqlerrcode),
				 errmsg("courier gives up after %d failed transactions", c->failures)));
}

/*
 * Runs one transaction; false if it failed, and then it has done nothing.  The
 * error is kept in *error, in the memory of this round.
 */
static bool
try_exchange(Courier *c, Exchange *x, const char *activity, ErrorData **error)
{
	MemoryContext tick = CurrentMemoryContext;
	volatile bool ok = true;

	PG_TRY();
	{
		outbox_begin(activity);
		exchange_statements(c, x);
		outbox_commit();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(tick);
		*error = CopyErrorData();
		FlushErrorState();
		outbox_abort();
		ok = false;
	}
	PG_END_TRY();
	return ok;
}

/* After the commit: there is no way back, and nothing here may fail. */
static void
note_exchange(Courier *c, const Exchange *x)
{
	int64		now = monotonic_ms();
	int64		sleep = wacta_poll_interval;

	courier_count(COUNT_ACCEPTED, x->tally.accepted);
	courier_count(COUNT_FAILED, x->tally.failed);
	courier_count(COUNT_IN_DOUBT, x->tally.in_doubt);
	courier_count(COUNT_RETRIED, x->tally.retried);
	courier_count(COUNT_CLAIMED, x->n_claimed);
	if (!x->look)
		return;
	c->started = true;
	if (now >= c->reap_due)
		c->reap_due = now + REAP_EVERY_MS;
	c->work_likely = x->n_claimed > 0 && x->n_claimed == x->want;
	if (x->wait >= 0)
		sleep = Min(sleep, x->wait);

	/* Due, but not to be had: locked, or its channel is paused. */
	if (x->n_claimed > 0 || x->wait != 0)
		c->empty_claims = 0;
	else
		sleep = Min(EMPTY_CLAIM_MS << Min(c->empty_claims++, 10), wacta_poll_interval);
	c->claim_due = now + sleep;
}

/* The extension has gone or changed: the work of this process is over. */
static void
mind_presence(Courier *c, OutboxPresence presence)
{
	switch (presence)
	{
		case OUTBOX_PRESENT:
			break;
		case OUTBOX_BUSY:
			c->not_before = monotonic_ms() + EMPTY_CLAIM_MS;
			break;
		case OUTBOX_ABSENT:
			leave(COURIER_ABSENT, "extension \"wacta\" does not exist");
			break;
		case OUTBOX_REPLACED:
			leave(COURIER_WAITING, "extension \"wacta\" was dropped");
			break;
	}
}

/*
 * Settles each finished transfer by itself, so that one which cannot be settled,
 * say for a lock, does not hold up the others.  When its tries are used up it is
 * let go: the outbox still has it as being sent, and its lease will run out.
 */
void
settle_one_by_one(Courier *c)
{
	int			n;
	Transfer  **finished = transport_finished(&n);
	ErrorData  *error = NULL;
	bool		any = false;

	while (--n >= 0)
	{
		Transfer   *t = finished[n];
		Exchange	x = {.settle = &t, .n_settle = 1};

		CHECK_FOR_INTERRUPTS();
		if (try_exchange(c, &x, "wacta: settling", &error))
		{
			mind_presence(c, x.presence);
			if (x.presence != OUTBOX_PRESENT)
				return;
			note_exchange(c, &x);
			transport_release(t);
			any = true;
		}
		else if (++t->settle_failures >= SETTLE_TRIES)
		{
			ereport(LOG,
					(errcode(error->sqlerrcode),
					 errmsg("could not settle message " INT64_FORMAT " of lead " INT64_FORMAT ": %s",
							t->message_id, t->lead_id, error->message)));
			transport_release(t);
		}
	}
	(void) transport_finished(&n);
	c->one_by_one = n > 0;
	if (any || error == NULL)
		c->failures = 0;
	else
		note_failure(c, error);
}

/*
 * Settles what has finished and claims as much as may be under way then, all in
 * one transaction: commits are what costs.
 */
void
exchange(Courier *c, bool look)
{
	Exchange	x = {.look = look, .wait = -1};
	ErrorData  *error = NULL;
	int			i;

	x.settle = transport_finished(&x.n_settle);
	if (look)
		x.want = Min(Max(transport_capacity() - transport_under_way(), 0), CLAIM_MAX);
	if (!try_exchange(c, &x, look ? "wacta: claiming" : "wacta: settling", &error))
	{
		c->one_by_one = x.n_settle > 0;
		note_failure(c, error);
		return;
	}
	mind_presence(c, x.presence);
	if (x.presence != OUTBOX_PRESENT)
		return;
	c->failures = 0;
	note_exchange(c, &x);
	transport_release_finished();
	for (i = 0; i < x.n_claimed; i++)
		dispatch(&x.claimed[i]);
}
