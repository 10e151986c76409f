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

struct Pool
{
	struct event_base *base;
	const PoolConfig *config;
	Session    *sessions;
	TAILQ_HEAD(, Call) waiting;
	int			nwaiting;
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
	Call	   *call = TAILQ_FIRST(&pool->waiting);

	end_outage(pool);
	if (call == NULL || session->state != SESSION_IDLE)
		return;
	TAILQ_REMOVE(&pool->waiting, call, link);
	pool->nwaiting--;
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
	TAILQ_REMOVE(&call->pool->waiting, call, link);
	call->pool->nwaiting--;
	call->outcome = CALL_NO_CONNECTION;
	pool_call_done(call);
}

void
pool_submit(Pool *pool, Call *call)
{
	Session    *session = find_idle(pool);

	call->pool = pool;
	call->session = NULL;
	call->outcome = CALL_LOST;
	if (session == NULL && pool->nwaiting >= pool->config->queue)
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
	TAILQ_INSERT_TAIL(&pool->waiting, call, link);
	pool->nwaiting++;
}

Pool *
pool_start(struct event_base *base, const PoolConfig *config)
{
	Pool	   *pool = must_alloc(sizeof(Pool));
	int			i;

	pool->base = base;
	pool->config = config;
	pool->sessions = must_alloc((size_t) config->size * sizeof(Session));
	TAILQ_INIT(&pool->waiting);
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
