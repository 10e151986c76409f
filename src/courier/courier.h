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
	bool		started;		/* courier_start() has been called */
	bool		work_likely;	/* woken, or the last claim was a full one */
	int			empty_claims;	/* in a row */
	int64		claim_due;
	int64		reap_due;
	int64		not_before;		/* pause after a failed transaction */
	int			failures;		/* in a row */
	bool		one_by_one;		/* settling together has failed */
	uint32		config_version;
} Courier;

extern void exchange(Courier *c, bool look);
extern void settle_one_by_one(Courier *c);

#endif							/* COURIER_COURIER_H */
