/*
 * pool.c
 *	  The connections to the database, and the queue in front of them.
 *
 * A call runs on a connection of its own from begin to commit.  When all are
 * taken it waits, but not for long and not behind too many: a full queue helps
 * no one.  Must not know what a call does.  Called by server.c.
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

	if (pool->complained)
		return;
	pool->complained = true;
	fprintf(stderr, "wacta-gateway: no connection to the database, trying again: %.*s\n",
			(int) strcspn(reason, "\n"), reason);
}

void
pool_call_done(Call *call)
{
	if (call->deadline != NULL)
		event_free(call->deadline);
	call->deadline = NULL;
	call->session = NULL;
	call->done(call);
}

static CallQueue *
queue_of(Pool *pool, const Call *call)
{
	return call->background ? &pool->background : &pool->waiting;
}

static void
leave_queue(Pool *pool, Call *call)
{
	CallQueue  *queue = queue_of(pool, call);

	TAILQ_REMOVE(&queue->calls, call, link);
	queue->count--;
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

void
pool_session_idle(Session *session)
{
	Pool	   *pool = session->pool;
	Call	   *call = TAILQ_FIRST(&pool->waiting.calls);

	end_outage(pool);
	if (call == NULL)
		call = TAILQ_FIRST(&pool->background.calls);
	if (call == NULL || session->state != SESSION_IDLE)
		return;
	leave_queue(pool, call);
	run_call(session, call);
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
	leave_queue(call->pool, call);
	call->outcome = CALL_NO_CONNECTION;
	pool_call_done(call);
}

void
pool_submit(Pool *pool, Call *call)
{
	CallQueue  *queue = queue_of(pool, call);
	bool		gives_way = call->background && pool->waiting.count > 0;
	Session    *session = gives_way ? NULL : find_idle(pool);

	call->pool = pool;
	call->session = NULL;
	call->outcome = CALL_LOST;
	if (session == NULL && queue->count >= pool->config->queue)
	{
		call->outcome = CALL_NO_CONNECTION;
		pool_call_done(call);
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
