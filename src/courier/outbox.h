/*
 * outbox.h
 *	  The courier's statements: everything it knows of the database.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef COURIER_OUTBOX_H
#define COURIER_OUTBOX_H

#include "transfer.h"

/* A claimed message, in the memory context of the caller. */
typedef struct OutboxMessage
{
	int64		lead_id;
	int64		message_id;
	int32		attempt;
	int32		channel_id;
	int32		template_id;	/* 0: none */
	int64		channel_revision;
	char	   *body;
} OutboxMessage;

/* What became of the messages that were settled. */
typedef struct OutboxTally
{
	int32		accepted;
	int32		failed;
	int32		in_doubt;
	int32		retried;
} OutboxTally;

/* A channel as the database has it. */
typedef struct OutboxChannel
{
	int64		revision;
	char	   *url;
	char	  **headers;		/* secret: the caller wipes them */
	int			n_headers;
} OutboxChannel;

/* The calls, in a transaction of worker.h */
extern int64 outbox_start(int courier);
extern OutboxMessage *outbox_claim(int courier, int max, const int32 *busy, int n_busy,
								   int *n, bool *progress);
extern bool outbox_channel(int32 channel_id, OutboxChannel *channel);
extern OutboxTally outbox_settle(Transfer *const *transfers, int n);
extern int	outbox_wait(void);
extern int64 outbox_reap(void);

#endif							/* COURIER_OUTBOX_H */
