/*
 * session.c
 *	  One connection to the database on the event loop: connect, write, read.
 *
 * Nothing here waits: every step ends in an event.  A connection that breaks
 * is made anew with growing pauses.  Must not decide which call runs next
 * (pool.c) nor what is sent (call.c).  Called by pool.c and the event loop.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "session.h"

#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT 10000	/* milliseconds */
#define FIRST_PAUSE		100
#define LONGEST_PAUSE	2000

static void
set_timer(Session *session, long ms)
{
	struct timeval tv = {ms / 1000, (ms % 1000) * 1000};

	evtimer_add(session->timer, &tv);
}

static void
free_events(Session *session)
{
	if (session->readable != NULL)
		event_free(session->readable);
	if (session->writable != NULL)
		event_free(session->writable);
	session->readable = session->writable = NULL;
}

/* The events go before the socket they watch. */
static void
disconnect(Session *session)
{
	free_events(session);
	evtimer_del(session->timer);
	PQfinish(session->conn);
	session->conn = NULL;
	session->prepared = 0;
	session->worn = false;
	session->state = SESSION_DOWN;
}

/* Doubling pauses with some chance in them, so that a pool does not come as one. */
static long
next_pause(Session *session)
{
	long		pause = LONGEST_PAUSE;

	if (session->attempts < 5)
		pause = FIRST_PAUSE << session->attempts;
	if (pause > LONGEST_PAUSE)
		pause = LONGEST_PAUSE;
	session->attempts++;
	return pause - random() % (pause / 4);
}

void
session_break(Session *session, CallOutcome outcome)
{
	Call	   *call = session->call;

	disconnect(session);
	set_timer(session, next_pause(session));
	session->call = NULL;
	if (call == NULL)
		return;
	/* Once the commit was told, the work is done, whatever happened then. */
	if (session->committed)
		call->outcome = CALL_COMMITTED;
	else if (call->error == NULL)
		call->outcome = outcome;
	pool_call_done(call);
}

static void
connection_failed(Session *session)
{
	pool_session_failed(session, session->conn != NULL ? PQerrorMessage(session->conn) : "out of memory");
	session_break(session, CALL_LOST);
}

/* Writes what can be written now, and the rest when the socket is ready. */
static bool
flush(Session *session)
{
	int			left = PQflush(session->conn);

	if (left > 0)
		event_add(session->writable, NULL);
	return left >= 0;
}

/* Everything of a pipeline has come back. */
static void
pipeline_done(Session *session)
{
	Call	   *call = session->call;

	session->call = NULL;
	if (session->state == SESSION_PREPARING && session->failed)
	{
		pool_session_failed(session, "could not set up the connection");
		session_break(session, CALL_LOST);
		return;
	}
	if (session->state == SESSION_PREPARING)
	{
		evtimer_del(session->timer);
		pool_session_connected(session);
	}
	if (call != NULL && (session->committed || !session->failed))
		call->outcome = session->committed ? CALL_COMMITTED : CALL_LOST;
	if (session->worn)
		session_break(session, CALL_LOST);
	else if (session->state == SESSION_BUSY && session->failed)
	{
		session->state = SESSION_CLEANING;
		if (!call_rollback(session) || !flush(session))
			session_break(session, CALL_LOST);
	}
	else
	{
		session->state = SESSION_IDLE;
		session->attempts = 0;
	}
	if (call != NULL)
		pool_call_done(call);
	if (session->state == SESSION_IDLE)
		pool_session_idle(session);
}

/* Is there a pipeline whose results are due? */
static bool
awaits_results(const Session *session)
{
	return session->state == SESSION_PREPARING || session->state == SESSION_BUSY ||
		session->state == SESSION_CLEANING;
}

/*
 * libpq tells the end of each statement's results by a NULL; two in a row mean
 * that it has nothing more, which a pipeline not yet done must not see.
 */
static void
take_results(Session *session)
{
	int			nulls = 0;

	while (awaits_results(session) && !PQisBusy(session->conn))
	{
		PGresult   *result = PQgetResult(session->conn);

		if (result == NULL && ++nulls > 1)
			break;
		if (result == NULL)
			continue;
		nulls = 0;
		if (call_take_result(session, result))
			pipeline_done(session);
		else if (PQstatus(session->conn) == CONNECTION_BAD)
			break;
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	Session    *session = arg;
	PGnotify   *notify;
	bool		alive = PQconsumeInput(session->conn) != 0;

	(void) fd;
	(void) what;
	/* A last message may have come with the end of the connection. */
	take_results(session);
	if (session->conn == NULL)
		return;
	if (!alive || PQstatus(session->conn) == CONNECTION_BAD || !flush(session))
	{
		connection_failed(session);
		return;
	}
	while ((notify = PQnotifies(session->conn)) != NULL)
		PQfreemem(notify);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	Session    *session = arg;

	(void) fd;
	(void) what;
	if (!flush(session))
		connection_failed(session);
}

/* Notices could hold what must not be logged. */
static void
ignore_notice(void *arg, const char *message)
{
	(void) arg;
	(void) message;
}

static void
connected(Session *session)
{
	struct event_base *base = pool_base(session->pool);
	evutil_socket_t fd = PQsocket(session->conn);
	long		statement_timeout;
	long		lock_timeout;

	free_events(session);
	session->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, session);
	session->writable = event_new(base, fd, EV_WRITE, on_writable, session);
	event_add(session->readable, NULL);
	session->state = SESSION_PREPARING;
	PQsetNoticeProcessor(session->conn, ignore_notice, NULL);
	pool_timeouts(session->pool, &statement_timeout, &lock_timeout);
	if (PQsetnonblocking(session->conn, 1) != 0 || !PQenterPipelineMode(session->conn) ||
		!call_prepare(session, statement_timeout, lock_timeout) || !flush(session))
		connection_failed(session);
}

static void
on_connect_progress(evutil_socket_t fd, short what, void *arg)
{
	Session    *session = arg;
	short		wanted = EV_WRITE;

	(void) fd;
	(void) what;
	switch (PQconnectPoll(session->conn))
	{
		case PGRES_POLLING_OK:
			connected(session);
			return;
		case PGRES_POLLING_FAILED:
			connection_failed(session);
			return;
		case PGRES_POLLING_READING:
			wanted = EV_READ;
			break;
		default:
			break;
	}
	/* The socket may be another one by now: several hosts, several addresses. */
	free_events(session);
	session->readable = event_new(pool_base(session->pool), PQsocket(session->conn), wanted,
								  on_connect_progress, session);
	event_add(session->readable, NULL);
}

/*
 * libpq asks to wait for "writable" first, whatever the address.  Looking up a
 * host name is the one thing that it does not do in the background: a socket
 * directory or an address is better than a name.
 */
static void
session_connect(Session *session)
{
	const char *const keywords[] = {"dbname", "client_encoding", "fallback_application_name", NULL};
	const char *const values[] = {pool_conninfo(session->pool), "UTF8", "wacta-gateway", NULL};

	session->state = SESSION_CONNECTING;
	session->committed = false;
	session->conn = PQconnectStartParams(keywords, values, 1);
	if (session->conn == NULL || PQstatus(session->conn) == CONNECTION_BAD)
	{
		connection_failed(session);
		return;
	}
	set_timer(session, CONNECT_TIMEOUT);
	session->readable = event_new(pool_base(session->pool), PQsocket(session->conn), EV_WRITE,
								  on_connect_progress, session);
	event_add(session->readable, NULL);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	Session    *session = arg;

	(void) fd;
	(void) what;
	if (session->state == SESSION_DOWN)
		session_connect(session);
	else
	{
		pool_session_failed(session, "time-out while connecting");
		session_break(session, CALL_LOST);
	}
}

void
session_start(Session *session)
{
	session->timer = evtimer_new(pool_base(session->pool), on_timer, session);
	session_connect(session);
}

void
session_run(Session *session, Call *call)
{
	session->state = SESSION_BUSY;
	session->call = call;
	call->session = session;
	if (!call_send(session, call) || !flush(session))
		connection_failed(session);
}

void
session_hurry(Session *session)
{
	if (session->state == SESSION_DOWN)
		set_timer(session, 0);
}

void
session_close(Session *session)
{
	disconnect(session);
	event_free(session->timer);
}
