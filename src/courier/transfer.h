/*
 * transfer.h
 *	  One HTTP request and its answer.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef COURIER_TRANSFER_H
#define COURIER_TRANSFER_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "channel.h"

#define ANSWER_MAX			(64 * 1024)
#define ANSWER_HEADERS_MAX	100
#define TRANSFER_ERROR_LEN	256

/* What became of a request, as far as it can be known. */
typedef enum TransferOutcome
{
	OUTCOME_ANSWERED,			/* a complete HTTP answer came */
	OUTCOME_NOT_SENT,			/* certainly no byte of it has left */
	OUTCOME_UNKNOWN				/* it began to leave, and no whole answer came */
} TransferOutcome;

typedef enum TransferPhase
{
	TRANSFER_FREE,
	TRANSFER_TAKEN,				/* holds ids and perhaps a body */
	TRANSFER_UNDER_WAY,			/* libcurl has it */
	TRANSFER_FINISHED			/* waits to be settled */
} TransferPhase;

/* How to send; the strings are the settings' own, and libcurl copies them. */
typedef struct TransferConfig
{
	uint32_t	version;		/* a new one has handles set up again */
	long		connect_timeout;	/* ms */
	long		request_timeout;	/* ms */
	bool		allow_http;
	const char *ca_file;
	const char *proxy;
} TransferConfig;

typedef struct Transfer
{
	TransferPhase phase;

	/* Whose it is: only carried */
	int64_t		lead_id;
	int64_t		message_id;
	int32_t		channel_id;
	int32_t		template_id;	/* 0: none */
	int32_t		attempt;
	uint64_t	claimed_at;		/* gate_clock() before the claim */

	/* What the settling of it has met with: only carried, too */
	bool		alone;			/* to be settled in a transaction of its own */
	int			settle_failures;
	int			settle_locks;	/* times a lock was in the way */
	int64_t		settle_due;		/* monotonic ms; not before then */

	/* The request */
	Channel    *channel;
	char	   *body;			/* malloc'd */
	CURL	   *easy;			/* made once, used again and again */
	uint32_t	config_version; /* what easy was set up with */
	int			begun;			/* times libcurl was about to send it */
	bool		held_back;		/* when it was its turn it was not to be sent any more */
	int64_t		begun_at;		/* microseconds since 1970 */
	int64_t		started;		/* monotonic ms */
	int64_t		overdue;		/* from then on libcurl's time-out must have come */

	/* The answer */
	TransferOutcome outcome;
	int			http_status;	/* 0: none */
	int			retry_after;	/* seconds; -1: not given */
	char	   *answer;			/* malloc'd, at most ANSWER_MAX */
	size_t		answer_len;
	size_t		answer_size;
	int			header_lines;
	bool		too_large;
	int			elapsed_ms;
	char		error[TRANSFER_ERROR_LEN];
	char		curl_error[CURL_ERROR_SIZE];
} Transfer;

/* Both are called inside libcurl.  May this request begin?  And: it does. */
typedef bool (*TransferGate) (const Transfer *t);
typedef void (*TransferBegun) (const Transfer *t);

extern int64_t monotonic_ms(void);

extern void transfer_set_hooks(TransferGate new_gate, TransferBegun new_begun);

extern bool transfer_hold_back(Transfer *t);
extern bool transfer_prepare(Transfer *t, const TransferConfig *config);
extern void transfer_finish(Transfer *t, CURLcode result);
extern void transfer_fail(Transfer *t, TransferOutcome outcome, const char *error);
extern void transfer_reset(Transfer *t);

#endif							/* COURIER_TRANSFER_H */
