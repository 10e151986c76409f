/*
 * courier.h
 *	  The state of a courier, and its dealings with the outbox.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef COURIER_COURIER_H
#define COURIER_COURIER_H

/* What this courier is doing; times are monotonic ms. */
typedef struct Courier
{
	int			number;
	bool		started;		/* nothing is left of a former courier */
	uint32		wakes;			/* worker_wakes() when we last minded it */
	bool		work_likely;	/* woken, or the last claim left some */
	bool		more_due;		/* when the last claim had taken what it could */
	int			empty_claims;	/* in a row */
	int64		claim_due;
	int64		reap_due;
	int64		not_before;		/* pause after a failed transaction */
	int			failures;		/* in a row */
	bool		answer_lost;	/* one was let go, and none was settled since */
	bool		locked_out;		/* the last exchange met a lock, and said so */
	uint32		config_version;
} Courier;

/* What waits to be settled. */
typedef struct Backlog
{
	int			together;		/* in the next exchange */
	int64		alone_due;		/* when settle_alone() is to be called */
	bool		failing;		/* some cannot be settled, and not for a lock */
} Backlog;

extern Backlog backlog(void);
extern void exchange(Courier *c, bool look);
extern void settle_alone(Courier *c);
extern void reap(Courier *c);

#endif							/* COURIER_COURIER_H */
