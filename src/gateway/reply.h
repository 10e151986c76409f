/*
 * reply.h
 *	  What goes back: a call's result or an error, as status, headers and body.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_REPLY_H
#define GATEWAY_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "call.h"

#define REPLY_HSTS "max-age=31536000"

typedef struct ReplyHeader
{
	struct ReplyHeader *next;
	const char *name;
	const char *value;
} ReplyHeader;

typedef struct Reply
{
	int			status;
	const char *content_type;	/* NULL: no body, or the type is unknown */
	ReplyHeader *headers;
	const char *body;			/* the arena's, or the call's */
	size_t		body_len;
	bool		is_error;		/* made by the gateway, not by a function */
} Reply;

extern void reply_add_header(Arena *arena, Reply *reply, const char *name, const char *value);

/* Takes a header out of the reply; its value, or NULL when there is none. */
extern const char *reply_take_header(Reply *reply, const char *name);

/* An error in PostgREST's shape; code and message must not be NULL. */
extern void reply_error(Arena *arena, Reply *reply, int status, const char *code,
						const char *message, const char *details, const char *hint);

/* The same error for people: a page that says what they can do. */
extern void reply_error_page(Arena *arena, Reply *reply);

/* The reply points into the call's results: clear the call after it is sent. */
extern void reply_from_call(Arena *arena, Reply *reply, const Call *call, bool authenticated);

/*
 * What keeps a browser from doing more with an answer of our own than showing
 * it, as lines of a head; and the one that a site for https alone adds to all.
 */
extern const char *reply_safety_lines(void);
extern const char *reply_hsts_line(void);

/* PostgREST's status for an SQLSTATE. */
extern int	reply_status_of(const char *sqlstate, bool authenticated);

#endif							/* GATEWAY_REPLY_H */
