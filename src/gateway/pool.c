/*
 * pool.c
 *	  The connections to the database, and the queue in front of them.
 *
 * A call runs on a connection of its own from begin to commit.  When all are
 * taken it waits, but not for long and not behind too many: a full queue helps
 * no one.  One queue serves all, in order, save that a call whose share (share.c)
 * is used up is passed over until one of the same share ends.
 *
 * Customers' taps run in groups (group.c), few of them at a time: each then finds
 * more taps waiting, and takes fewer transactions for them.  A group waits for
 * nobody's lock, so it need not leave room for others of its kind.  A tap that
 * comes alone does wait, but there is one such at a time, in the place of a group.
 *
 * Must not know what a call does.  Called by exchange.c.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "group.h"
#include "session.h"

#define GROUP_PAUSE		3000	/* microseconds */

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
	const Call *gathering;		/* the group that is being put together */
	struct event *group_timer;
	bool		group_due;		/* taps have waited for company long enough */
	int			crowd;			/* taps at work when the last group began */
	uint64_t	connects;
	uint64_t	failures;
	uint64_t	groups;
	uint64_t	grouped;
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

static void on_deadline(evutil_socket_t fd, short what, void *arg);

static void
set_deadline(Call *call, long ms)
{
	struct timeval tv = {ms / 1000, (ms % 1000) * 1000};

	evtimer_add(call->deadline, &tv);
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

/* Of a call, or of the members of a group: those of one share. */
static int
count_share(const Call *call, uint64_t key)
{
	const Call *member;
	int			count = 0;

	if (call == NULL || call->members == NULL)
		return call != NULL && call->share.key == key;
	TAILQ_FOREACH(member, call->members, link)
		count += member->share.key == key;
	return count;
}

/* Calls of the same share that run. */
static int
running_beside(const Pool *pool, const Call *call)
{
	int			count = 0;
	int			i;

	if (call->share.key == 0)
		return 0;
	for (i = 0; i < pool->config->size; i++)
		count += count_share(pool->sessions[i].call, call->share.key);
	return count + count_share(pool->gathering, call->share.key);
}

static bool
goes_in_group(const Pool *pool, const Call *call)
{
	return pool->config->group > 1 && group_takes(call);
}

/* Taps that run together, or one that came alone; 0: something else runs. */
static int
running_taps(const Pool *pool, const Call *call)
{
	const Call *member;
	int			count = 0;

	if (call == NULL || call->members == NULL)
		return call != NULL && goes_in_group(pool, call);
	TAILQ_FOREACH(member, call->members, link)
		count++;
	return count;
}

static int
running_groups(const Pool *pool)
{
	int			count = 0;
	int			i;

	for (i = 0; i < pool->config->size; i++)
		count += running_taps(pool, pool->sessions[i].call) > 0;
	return count;
}

static int
running_members(const Pool *pool)
{
	int			count = 0;
	int			i;

	for (i = 0; i < pool->config->size; i++)
		count += running_taps(pool, pool->sessions[i].call);
	return count;
}

/* Two, so that one works while the other waits for the disk; more when the pool is made for more processors. */
static int
most_groups(const Pool *pool)
{
	int			quarter = pool->config->size / 4;

	return quarter > 2 ? quarter : pool->config->size > 1 ? 2 : 1;
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

/* Do so many taps wait? */
static bool
has_waiting(const Pool *pool, int wanted)
{
	const Call *call;
	int			count = 0;

	TAILQ_FOREACH(call, &pool->waiting.calls, link)
	{
		if (count >= wanted)
			break;
		count += goes_in_group(pool, call);
	}
	return count >= wanted;
}

/*
 * At once when no group is at work.  Else when as many wait as make two groups of
 * equal size with those at work, or after a moment: customers who have just been
 * answered come again, others instead of them, and a group of one costs nearly as
 * much as one of all.
 */
static bool
may_start_group(const Pool *pool)
{
	static const struct timeval pause = {0, GROUP_PAUSE};
	int			running = running_groups(pool);

	if (running == 0 || running >= most_groups(pool))
		return running == 0;
	if (pool->group_due || has_waiting(pool, pool->crowd / most_groups(pool)))
		return true;
	if (!evtimer_pending(pool->group_timer, NULL))
		evtimer_add(pool->group_timer, &pause);
	return false;
}

/* Has one more of the call's share room among those that run? */
static bool
has_room(const Pool *pool, const Call *call)
{
	return call->share.key == 0 || running_beside(pool, call) < call->share.running;
}

/* What nobody waits for leaves half of the pool alone, too. */
static bool
may_run(const Pool *pool, const Call *call)
{
	if (call->background && running_in_background(pool) >= (pool->config->size + 1) / 2)
		return false;
	if (goes_in_group(pool, call) && !may_start_group(pool))
		return false;
	return has_room(pool, call);
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

/* ---- Running ---- */

static void dispatch(Pool *pool);

static void
run_call(Session *session, Call *call)
{
	set_deadline(call, session->pool->config->call_timeout);
	session_run(session, call);
}

/* It goes on as one that has waited longest; what it waits for from now on is its own. */
static void
run_alone(Call *call)
{
	Pool	   *pool = call->pool;

	call->alone = true;
	call->deadline = evtimer_new(pool->base, on_deadline, call);
	set_deadline(call, pool->config->queue_timeout);
	TAILQ_INSERT_HEAD(&pool->waiting.calls, call, link);
	pool->waiting.count++;
	dispatch(pool);
}

/* A member's time is its group's. */
static void
join_group(Call *group, Call *member)
{
	event_free(member->deadline);
	member->deadline = NULL;
	group_add(group, member);
}

/* All that wait and may go together with this one. */
static Call *
gather(Pool *pool, Call *first)
{
	Call	   *group = group_new(first, run_alone);
	Call	   *call = TAILQ_FIRST(&pool->waiting.calls);
	int			count = 1;

	pool->gathering = group;
	join_group(group, first);
	while (call != NULL && count < pool->config->group)
	{
		Call	   *next = TAILQ_NEXT(call, link);

		if (goes_in_group(pool, call) && group_admits(group, call) && has_room(pool, call))
		{
			leave_queue(call);
			join_group(group, call);
			count++;
		}
		call = next;
	}
	pool->gathering = NULL;
	pool->groups++;
	pool->grouped += (uint64_t) count;
	pool->crowd = count + running_members(pool);
	group_close(group);
	group->pool = pool;
	group->outcome = CALL_LOST;
	group->deadline = evtimer_new(pool->base, on_deadline, group);
	return group;
}

static void
on_group_timer(evutil_socket_t fd, short what, void *arg)
{
	Pool	   *pool = arg;

	(void) fd;
	(void) what;
	pool->group_due = true;
	dispatch(pool);
	pool->group_due = false;
}

static void
run(Session *session, Call *call)
{
	Pool	   *pool = session->pool;

	if (!goes_in_group(pool, call))
		run_call(session, call);
	else if (running_groups(pool) > 0 || has_waiting(pool, 1))
		run_call(session, gather(pool, call));
	else
	{
		pool->crowd = 1;
		run_call(session, call);
	}
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
		run(session, call);
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
		run(session, call);
		return;
	}
	set_deadline(call, pool->config->queue_timeout);
	TAILQ_INSERT_TAIL(&queue->calls, call, link);
	queue->count++;
	if (goes_in_group(pool, call))
		dispatch(pool);			/* it may be the one that the others waited for */
}

PoolFigures
pool_figures(const Pool *pool)
{
	PoolFigures now = {.size = pool->config->size,.waiting = pool->waiting.count + pool->background.count,
	.connects = pool->connects,.failures = pool->failures,.groups = pool->groups,.grouped = pool->grouped};
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
	pool->group_timer = evtimer_new(base, on_group_timer, pool);
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
	event_free(pool->group_timer);
	free(pool->sessions);
	free(pool);
}
