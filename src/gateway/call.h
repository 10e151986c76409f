/*
 * call.h
 *	  One request's work in the database, and what came of it.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_CALL_H
#define GATEWAY_CALL_H

#include <event2/event.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "routes.h"
#include "share.h"

typedef enum CallOutcome
{
	CALL_COMMITTED,
	CALL_ERROR,					/* the database raised; error has it */
	CALL_BAD_ROLE,				/* the login may not take this role; error has it */
	CALL_LOST,					/* the connection broke before the commit was told */
	CALL_NO_CONNECTION,			/* waited in vain, or too many wait already */
	CALL_CROWDED,				/* too many wait already in its own share */
	CALL_TIMED_OUT				/* the database did not answer in time */
} CallOutcome;

struct Pool;
struct Session;
struct Call;

typedef TAILQ_HEAD(CallList, Call) CallList;

/*
 * The caller fills the first part, leaves it alone until done is called, which
 * happens exactly once, maybe before pool_submit returns, and then calls
 * call_clear.  There is no way to take a call back: a client that has left
 * does not undo what it asked for.
 */
typedef struct Call
{
	const ApiFunction *function;
	Share		share;
	bool		read_only;
	bool		background;		/* nobody waits for it: all others come first */
	bool		alone;			/* in a transaction of its own */
	const char *role;
	const char *method;
	const char *path;
	const char *headers;
	const char *cookies;
	const char *claims;
	const char *args[MAX_ARGS];	/* INPUT_ARGS */
	const char *body;			/* INPUT_RAW */
	size_t		body_len;
	void		(*done) (struct Call *call);
	void	   *owner;

	/* results, valid in done */
	CallOutcome outcome;
	PGresult   *reply;			/* one row, one column; a row for each member of a group */
	PGresult   *response;		/* response.status, response.headers */
	PGresult   *error;

	/* the pool's own */
	struct Pool *pool;
	struct Session *session;	/* NULL while it waits */
	struct event *deadline;
	CallList   *members;		/* of a group, see group.h; else NULL */
	TAILQ_ENTRY(Call) link;		/* in the queue, or in its group */
} Call;

extern void call_clear(Call *call);

/* A diagnostic field of the call's error, or NULL. */
extern const char *call_error_field(const Call *call, int field);

/* Queues everything of a call on its session's connection, but does not flush. */
extern bool call_send(struct Session *session, Call *call);

/* Queues the statements that every call uses, for a new connection. */
extern bool call_prepare(struct Session *session, long statement_timeout, long lock_timeout);

/* Queues the end of a transaction that an error has left open. */
extern bool call_rollback(struct Session *session);

/*
 * Takes one result off the connection.  Returns true when it was the last of
 * the pipeline.
 */
extern bool call_take_result(struct Session *session, PGresult *result);

#endif							/* GATEWAY_CALL_H */
