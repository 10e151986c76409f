/*
 * exchange.c
 *	  One transaction with the outbox: settle what has finished, claim what is due.
 *
 * Called by the courier's loop.  An error of the database does no harm here: the
 * transaction is rolled back, finished transfers are still there, and the loop
 * tries again after a pause.  Three failures in a row end the courier, with what
 * it has in flight; but not those that are only somebody else's lock.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "courier.h"

#include "dispatch.h"
#include "gate.h"
#include "guc.h"
#include "miscadmin.h"
#include "outbox.h"
#include "shmem.h"
#include "transport.h"
#include "utils/memutils.h"
#include "worker.h"

#define CLAIM_MAX			1000	/* messages in one transaction */
#define REAP_EVERY_MS		10000
#define EMPTY_CLAIM_MS		100 /* after a claim that got nothing though some was due; doubled */
#define FAILURES_MAX		3	/* transactions in a row, then the launcher's backoff */
#define FAILURE_PAUSE_MS	1000
#define SETTLE_TRIES		3	/* of one message by itself */
#define LOCK_PAUSE_MS		250 /* of one message that is locked; doubled up to 16 times */
#define REAP_FULL			1000	/* reaped at once: there may be more */

/* What one transaction shall do, and what it has brought. */
typedef struct Exchange
{
	Courier    *courier;
	Transfer  **settle;
	int			n_settle;
	bool		look;			/* start, claim */
	bool		reap;			/* nothing else */
	int			want;			/* how many to claim */
	uint64		claimed_at;		/* gate_clock() before the transaction */

	ExtensionPresence presence;
	OutboxTally tally;
	int64		found;			/* left by a former courier */
	int64		reaped;
	OutboxMessage *claimed;
	int			n_claimed;
	bool		progress;		/* the claim has settled some itself */
	int			wait;			/* ms until more is due; -1: nothing queued */
} Exchange;

/* The statements of one transaction. */
static void
exchange_statements(void *arg)
{
	Exchange   *x = arg;
	Courier    *c = x->courier;

	x->presence = extension_presence();
	if (x->presence != EXTENSION_PRESENT)
		return;
	if (x->reap)
		x->reaped = outbox_reap();
	if (x->n_settle > 0)
		x->tally = outbox_settle(x->settle, x->n_settle);
	if (!x->look)
		return;

	/* Once something has been claimed it could not be told from what was found. */
	if (!c->started)
		x->found = outbox_start(c->number);
	x->tally.in_doubt += (int32) x->found;
	if (x->found > 0)
		return;
	if (x->want > 0)
	{
		int32	   *busy = palloc(MAX_IN_FLIGHT * sizeof(int32));
		int			n_busy = transport_channels(busy);

		x->claimed = outbox_claim(c->number, x->want, busy, n_busy, &x->n_claimed, &x->progress);
	}
	if (x->n_claimed < x->want && !x->progress)
		x->wait = outbox_wait();
}

/*
 * Says that a transaction has failed: a LOG line with no context that could quote
 * parameters.  A lock may be there for long, and is not told again and again.
 */
static void
report_failure(Courier *c, const ErrorData *edata)
{
	bool		lock = met_a_lock(edata);

	worker_note_error(edata->message);
	ereport(lock && c->locked_out ? DEBUG1 : LOG,
			(errcode(edata->sqlerrcode),
			 errmsg("could not exchange messages with the outbox: %s", edata->message)));
	c->locked_out = lock;
}

/*
 * Notes a failure that counts, and pauses.  A courier that may do nothing at all
 * was started between CREATE EXTENSION and wacta.grant_courier(), which wakes
 * the launcher.
 */
static void
note_failure(Courier *c, const ErrorData *edata)
{
	if (!c->started && edata->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
		worker_end(WORKER_ABSENT, edata->message);

	report_failure(c, edata);
	c->failures++;
	c->not_before = monotonic_ms() + FAILURE_PAUSE_MS * c->failures;
	if (c->failures >= FAILURES_MAX)
		ereport(ERROR,
				(errcode(edata->sqlerrcode),
				 errmsg("courier gives up after %d failed transactions", c->failures)));
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
	c->locked_out = false;

	/* To claim well is no excuse for losing the answers. */
	if (x->n_settle > 0)
		c->answer_lost = false;
	if (!c->answer_lost)
		c->failures = 0;
	if (!x->look)
	{
		/* What is queued again may be due before the next look. */
		c->work_likely |= x->tally.retried > 0;
		return;
	}
	c->started = x->found == 0;
	c->work_likely = x->found > 0 || x->progress ||
		(x->n_claimed > 0 && x->n_claimed == x->want);
	if (x->wait >= 0)
		sleep = Min(sleep, x->wait);
	c->more_due = x->wait == 0;

	/* Due, but not to be had: locked, or its channel is paused. */
	if (x->n_claimed > 0 || x->wait != 0)
		c->empty_claims = 0;
	else
		sleep = Min(EMPTY_CLAIM_MS << Min(c->empty_claims++, 10), wacta_poll_interval);
	c->claim_due = now + sleep;
}

/* Was the transaction to no effect, because the extension is being changed? */
static bool
came_in_vain(Courier *c, const Exchange *x)
{
	if (extension_has_gone(x->presence))
		c->not_before = monotonic_ms() + EMPTY_CLAIM_MS;
	return x->presence != EXTENSION_PRESENT;
}

/* ---- Settling by itself what could not be settled with the others ---- */

Backlog
backlog(void)
{
	Backlog		b = {.alone_due = PG_INT64_MAX};
	int			n;
	Transfer  **finished = transport_finished(&n);

	while (--n >= 0)
	{
		Transfer   *t = finished[n];

		if (!t->alone)
			b.together++;
		else
			b.alone_due = Min(b.alone_due, t->settle_due);
		b.failing |= t->settle_failures > 0;
	}
	return b;
}

/* The one that is due for longest, so that each has its turn; NULL: none is due. */
static Transfer *
next_alone(void)
{
	Transfer   *next = NULL;
	int			n;
	Transfer  **finished = transport_finished(&n);

	while (--n >= 0)
	{
		Transfer   *t = finished[n];

		if (t->alone && (next == NULL || t->settle_due < next->settle_due))
			next = t;
	}
	return next != NULL && next->settle_due <= monotonic_ms() ? next : NULL;
}

/*
 * Has a transfer that could not be settled tried again later: as often as it
 * takes when a lock was in the way.  After SETTLE_TRIES other errors it is let go,
 * and the result is false: the outbox still has it as being sent, and its lease
 * will run out.
 */
static bool
put_off(Courier *c, Transfer *t, const ErrorData *edata)
{
	int64		now = monotonic_ms();

	worker_note_error(edata->message);
	if (met_a_lock(edata))
		t->settle_due = now + (LOCK_PAUSE_MS << Min(t->settle_locks++, 4));
	else if (++t->settle_failures < SETTLE_TRIES)
		t->settle_due = now + FAILURE_PAUSE_MS;
	else
	{
		ereport(LOG,
				(errcode(edata->sqlerrcode),
				 errmsg("could not settle message " INT64_FORMAT " of lead " INT64_FORMAT ": %s",
						t->message_id, t->lead_id, edata->message)));
		let_go(t);
		c->answer_lost = true;
		return false;
	}
	return true;
}

/*
 * Settles one by one, so that a transfer which cannot be settled does not hold up
 * the others.  Having waited for a lock it returns, for there is libcurl to mind;
 * the next round goes on.
 */
void
settle_alone(Courier *c)
{
	ErrorData  *lost = NULL;
	Transfer   *t;

	while ((t = next_alone()) != NULL)
	{
		Exchange	x = {.courier = c, .settle = &t, .n_settle = 1};
		ErrorData  *error = NULL;

		if (worker_transaction("wacta: settling", exchange_statements, &x, &error))
		{
			if (came_in_vain(c, &x))
				return;
			note_exchange(c, &x);
			let_go(t);
			continue;
		}
		if (!put_off(c, t, error))
			lost = error;
		if (met_a_lock(error))
			break;
	}
	if (lost != NULL)
		note_failure(c, lost);
}

/* ---- Together ---- */

/* What shall be settled together, in the memory of this round. */
static Transfer **
together(int *n)
{
	int			n_finished;
	Transfer  **finished = transport_finished(&n_finished);
	Transfer  **chosen = palloc(Max(n_finished, 1) * sizeof(Transfer *));
	int			i;

	*n = 0;
	for (i = 0; i < n_finished; i++)
		if (!finished[i]->alone)
			chosen[(*n)++] = finished[i];
	return chosen;
}

/*
 * Settles what has finished and claims as much as may be under way then, all in
 * one transaction: commits are what costs.  If that fails, any of the transfers
 * may be the reason, so from then on each of them is settled alone.
 */
void
exchange(Courier *c, bool look)
{
	Exchange	x = {.courier = c, .look = look, .wait = -1};
	ErrorData  *error = NULL;
	int			i;

	x.settle = together(&x.n_settle);
	if (look)
		x.want = Min(transport_room(), CLAIM_MAX);
	x.claimed_at = gate_clock();
	if (!worker_transaction(look ? "wacta: claiming" : "wacta: settling",
							exchange_statements, &x, &error))
	{
		for (i = 0; i < x.n_settle; i++)
			x.settle[i]->alone = true;
		if (!met_a_lock(error))
			note_failure(c, error);
		else
		{
			report_failure(c, error);
			if (x.n_settle == 0)
				c->not_before = monotonic_ms() + FAILURE_PAUSE_MS;
		}
		return;
	}
	if (came_in_vain(c, &x))
		return;
	note_exchange(c, &x);
	for (i = x.n_settle - 1; i >= 0; i--)
		let_go(x.settle[i]);
	for (i = 0; i < x.n_claimed; i++)
		dispatch(&x.claimed[i], x.claimed_at);
}

/* ---- What has run out of time ---- */

/* In a transaction of its own, so that its failure costs nothing else. */
void
reap(Courier *c)
{
	Exchange	x = {.courier = c, .reap = true};
	ErrorData  *error = NULL;

	c->reap_due = monotonic_ms() + REAP_EVERY_MS;
	if (!worker_transaction("wacta: reaping", exchange_statements, &x, &error))
	{
		report_failure(c, error);
		return;
	}
	if (came_in_vain(c, &x))
		return;
	worker_is_well();
	if (x.reaped >= REAP_FULL)
		c->reap_due = 0;
}
