/*
 * session.h
 *	  One connection to the database and what it is doing.
 *
 * Shared by pool.c (who gets which connection), session.c (connecting, reading
 * and writing) and call.c (what is sent, what comes back); of no concern to
 * the rest of the gateway.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_SESSION_H
#define GATEWAY_SESSION_H

#include <event2/event.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "call.h"

struct Pool;

typedef enum SessionState
{
	SESSION_DOWN,				/* waits for its next attempt */
	SESSION_CONNECTING,
	SESSION_PREPARING,			/* statements that every call uses */
	SESSION_IDLE,
	SESSION_BUSY,				/* runs a call */
	SESSION_CLEANING			/* rolls back what a call has left open */
} SessionState;

/* What a result in the pipeline belongs to. */
typedef enum Step
{
	STEP_OTHER,
	STEP_SETUP,
	STEP_PREPARE,
	STEP_FUNCTION,
	STEP_RESPONSE,
	STEP_COMMIT,
	STEP_AFTER					/* in a transaction of its own, for nobody's answer */
} Step;

#define MAX_STEPS 12

typedef struct Session
{
	struct Pool *pool;
	SessionState state;
	PGconn	   *conn;
	struct event *readable;
	struct event *writable;
	struct event *timer;		/* next attempt, or end of this one */
	unsigned	attempts;		/* in vain since it last was up */
	uint32_t	prepared;		/* one bit for each ApiFunction */
	Step		steps[MAX_STEPS];
	int			nsteps;
	int			step;
	bool		failed;			/* an error in this pipeline */
	bool		committed;
	bool		worn;			/* its statements are out of date */
	Call	   *call;
} Session;

extern void session_start(Session *session);
extern void session_run(Session *session, Call *call);

/* Breaks the connection off, with its call if it has one, and starts anew. */
extern void session_break(Session *session, CallOutcome outcome);

/* The database is back: no need to wait out the pause. */
extern void session_hurry(Session *session);

/* At the end of the program: no new attempt. */
extern void session_close(Session *session);

/* session.c to pool.c */
extern struct event_base *pool_base(struct Pool *pool);
extern const char *pool_conninfo(struct Pool *pool);
extern void pool_timeouts(struct Pool *pool, long *statement_timeout, long *lock_timeout);
extern void pool_session_connected(Session *session);
extern void pool_session_idle(Session *session);
extern void pool_session_failed(Session *session, const char *reason);
extern void pool_call_done(Call *call);

#endif							/* GATEWAY_SESSION_H */
