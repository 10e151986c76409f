/*
 * pool.c
 *	  The connections to the database, and the queue in front of them.
 *
 * A call runs on a connection of its own from begin to commit.  When all are
 * taken it waits, but not for long and not behind too many: a full queue helps
 * no one.  One queue serves all, in order, save that a call whose share (share.c)
 * is used up is passed over until one of the same share ends.  Must not know what
 * a call does.  Called by exchange.c.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "session.h"

typedef struct CallQueue
{
	TAILQ_HEAD(, Call) calls;
	int			count;
} CallQueue;

struct Pool
{
	struct event_base *base;
	const PoolConfig *config;
	Session    *sessions;
	CallQueue	waiting;
	CallQueue	background;
	uint64_t	connects;
	uint64_t	failures;
	bool		complained;		/* the outage in progress is in the log */
};

struct event_base *
pool_base(Pool *pool)
{
	return pool->base;
}

const char *
pool_conninfo(Pool *pool)
{
	return pool->config->conninfo;
}

void
pool_timeouts(Pool *pool, long *statement_timeout, long *lock_timeout)
{
	*statement_timeout = pool->config->statement_timeout;
	*lock_timeout = pool->config->lock_timeout;
}

/* One line an outage; libpq's messages hold no password. */
void
pool_session_failed(Session *session, const char *reason)
{
	Pool	   *pool = session->pool;

	pool->failures++;
	if (pool->complained)
		return;
	pool->complained = true;
	fprintf(stderr, "wacta-gateway: no connection to the database, trying again: %.*s\n",
			(int) strcspn(reason, "\n"), reason);
}

static void
set_deadline(Call *call, long ms)
{
	struct timeval tv = {ms / 1000, (ms % 1000) * 1000};

	evtimer_add(call->deadline, &tv);
}

static void
run_call(Session *session, Call *call)
{
	set_deadline(call, session->pool->config->call_timeout);
	session_run(session, call);
}

/* The first connection after an outage calls the others. */
static void
end_outage(Pool *pool)
{
	int			i;

	if (!pool->complained)
		return;
	pool->complained = false;
	fputs("wacta-gateway: connected to the database\n", stderr);
	for (i = 0; i < pool->config->size; i++)
		session_hurry(&pool->sessions[i]);
}

static Session *
find_idle(Pool *pool)
{
	int			i;

	for (i = 0; i < pool->config->size; i++)
	{
		if (pool->sessions[i].state == SESSION_IDLE)
			return &pool->sessions[i];
	}
	return NULL;
}

/* Calls of the same share that run. */
static int
running_beside(const Pool *pool, const Call *call)
{
	int			count = 0;
	int			i;

	for (i = 0; i < pool->config->size && call->share.key != 0; i++)
	{
		const Call *other = pool->sessions[i].call;

		count += other != NULL && other->share.key == call->share.key;
	}
	return count;
}

static int
running_in_background(const Pool *pool)
{
	int			count = 0;
	int			i;

	for (i = 0; i < pool->config->size; i++)
		count += pool->sessions[i].call != NULL && pool->sessions[i].call->background;
	return count;
}

/*
 * Has one more of the call's share room among those that run?  What nobody waits
 * for leaves half of the pool alone, too.
 */
static bool
may_run(const Pool *pool, const Call *call)
{
	if (call->background && running_in_background(pool) >= (pool->config->size + 1) / 2)
		return false;
	return call->share.key == 0 || running_beside(pool, call) < call->share.running;
}

static CallQueue *
queue_of(Pool *pool, const Call *call)
{
	return call->background ? &pool->background : &pool->waiting;
}

/* And among those that run or wait? */
static bool
may_wait(Pool *pool, const Call *call)
{
	const Call *other;
	int			count = running_beside(pool, call);

	if (call->share.key == 0)
		return true;
	TAILQ_FOREACH(other, &queue_of(pool, call)->calls, link)
		count += other->share.key == call->share.key;
	return count < call->share.running + call->share.waiting;
}

static void
leave_queue(Call *call)
{
	CallQueue  *queue = queue_of(call->pool, call);

	TAILQ_REMOVE(&queue->calls, call, link);
	queue->count--;
}

/* The one that has waited longest of those that may run, or NULL. */
static Call *
next_call(const Pool *pool, const CallQueue *queue)
{
	Call	   *call = TAILQ_FIRST(&queue->calls);

	while (call != NULL && !may_run(pool, call))
		call = TAILQ_NEXT(call, link);
	return call;
}

static void
dispatch(Pool *pool)
{
	while (pool->waiting.count + pool->background.count > 0)
	{
		Session    *session = find_idle(pool);
		Call	   *call = session != NULL ? next_call(pool, &pool->waiting) : NULL;

		if (session != NULL && call == NULL)
			call = next_call(pool, &pool->background);
		if (call == NULL)
			return;
		leave_queue(call);
		run_call(session, call);
	}
}

void
pool_session_idle(Session *session)
{
	end_outage(session->pool);
	dispatch(session->pool);
}

void
pool_session_connected(Session *session)
{
	session->pool->connects++;
}

/*
 * The next call leaves before the answer to this one is made, so that the database
 * does not wait for it.  It need not be on the same connection, which may be
 * broken: but there may be room in this call's share now.
 */
void
pool_call_done(Call *call)
{
	Pool	   *pool = call->pool;

	if (call->deadline != NULL)
		event_free(call->deadline);
	call->deadline = NULL;
	call->session = NULL;
	dispatch(pool);
	call->done(call);
}

/*
 * Too late.  A call that waits is withdrawn; for one that runs the connection
 * is broken off, and the server finishes or rolls back by its own time-outs.
 */
static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	Call	   *call = arg;

	(void) fd;
	(void) what;
	if (call->session != NULL)
	{
		session_break(call->session, CALL_TIMED_OUT);
		return;
	}
	leave_queue(call);
	call->outcome = CALL_NO_CONNECTION;
	pool_call_done(call);
}

static void
refuse(Call *call, CallOutcome outcome)
{
	call->outcome = outcome;
	pool_call_done(call);
}

void
pool_submit(Pool *pool, Call *call)
{
	CallQueue  *queue = queue_of(pool, call);
	bool		gives_way = call->background && pool->waiting.count > 0;
	Session    *session = gives_way || !may_run(pool, call) ? NULL : find_idle(pool);

	call->pool = pool;
	call->session = NULL;
	call->outcome = CALL_LOST;
	if (session == NULL && !may_wait(pool, call))
	{
		refuse(call, CALL_CROWDED);
		return;
	}
	if (session == NULL && queue->count >= pool->config->queue)
	{
		refuse(call, CALL_NO_CONNECTION);
		return;
	}
	call->deadline = evtimer_new(pool->base, on_deadline, call);
	if (session != NULL)
	{
		run_call(session, call);
		return;
	}
	set_deadline(call, pool->config->queue_timeout);
	TAILQ_INSERT_TAIL(&queue->calls, call, link);
	queue->count++;
}

PoolFigures
pool_figures(const Pool *pool)
{
	PoolFigures now = {.size = pool->config->size,.waiting = pool->waiting.count + pool->background.count,
	.connects = pool->connects,.failures = pool->failures};
	int			i;

	for (i = 0; i < pool->config->size; i++)
	{
		const Session *session = &pool->sessions[i];

		now.sockets += session->conn != NULL && PQsocket(session->conn) >= 0;
		now.idle += session->state == SESSION_IDLE;
		now.busy += session->state == SESSION_BUSY || session->state == SESSION_CLEANING;
	}
	return now;
}

Pool *
pool_start(struct event_base *base, const PoolConfig *config)
{
	Pool	   *pool = must_alloc(sizeof(Pool));
	int			i;

	pool->base = base;
	pool->config = config;
	pool->sessions = must_alloc((size_t) config->size * sizeof(Session));
	TAILQ_INIT(&pool->waiting.calls);
	TAILQ_INIT(&pool->background.calls);
	for (i = 0; i < config->size; i++)
	{
		pool->sessions[i].pool = pool;
		session_start(&pool->sessions[i]);
	}
	return pool;
}

void
pool_stop(Pool *pool)
{
	int			i;

	for (i = 0; i < pool->config->size; i++)
		session_close(&pool->sessions[i]);
	free(pool->sessions);
	free(pool);
}
