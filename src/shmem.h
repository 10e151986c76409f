/*
 * shmem.h
 *	  What launcher, workers and ordinary backends know of each other.
 *
 * Shared memory holds plain data only: no heap pointer, no file descriptor, no
 * BackgroundWorkerHandle.  A Latch pointer is plain in this sense, because
 * latches are part of the PGPROC array, which every process maps at one address.
 *
 * One LWLock guards everything but the counters, which are atomic.  It is held
 * for a look at the slots and never while anything is waited for.  The gate
 * (gate.c) needs none; the pace (pace.c) and the refusals (refusal.c) have their own.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef WACTA_SHMEM_H
#define WACTA_SHMEM_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

#define MAX_COURIERS_PER_DATABASE	8
#define MAX_WORKERS_PER_DATABASE	(MAX_COURIERS_PER_DATABASE + 1)
#define MAX_IN_FLIGHT				2000

#define WORKER_ERROR_LEN			256

typedef enum WorkerKind
{
	WORKER_COURIER,				/* sends what is queued */
	WORKER_INBOX				/* applies what came in; one a database */
} WorkerKind;

/*
 *	WAITING ──▶ STARTING ──▶ RUNNING ──▶ WAITING (told to stop)
 *	                │           │  └───▶ ABSENT  (nothing to do here, for now)
 *	                └───────────┴──────▶ BACKOFF (failed)
 *
 * From WAITING, ABSENT and BACKOFF the launcher goes to STARTING when next_start
 * has come, unless the database is suspended.
 */
typedef enum WorkerState
{
	WORKER_WAITING,
	WORKER_STARTING,			/* registered, has not called worker_attach() */
	WORKER_RUNNING,			/* pid and latch are set */
	WORKER_ABSENT,				/* no such database, role or extension */
	WORKER_BACKOFF
} WorkerState;

typedef enum CourierCounter
{
	COUNT_IN_FLIGHT,			/* a gauge, the others only grow */
	COUNT_CLAIMED,
	COUNT_ACCEPTED,
	COUNT_FAILED,
	COUNT_IN_DOUBT,
	COUNT_RETRIED,
	COURIER_COUNTERS
} CourierCounter;

/* One worker that should run: courier n, or the inbox worker, of a listed database. */
typedef struct WorkerSlot
{
	bool		in_use;
	NameData	database;
	WorkerKind	kind;
	int			number;			/* 0 .. couriers_per_database - 1; of an inbox worker 0 */
	Oid			database_oid;	/* InvalidOid: there is no such database */
	Oid			role_oid;

	WorkerState state;
	TimestampTz since;			/* start of this state */
	TimestampTz next_start;
	uint32		generation;		/* tells a late starter that its turn is over */
	bool		stopping;		/* told to stop: its end is no failure */
	bool		has_run;		/* there was nothing in its way, at least once */
	bool		look_again;		/* something was installed: do not wait for next_start */
	int			starts;
	int			failures;		/* in a row */

	pid_t		pid;
	Latch	   *latch;
	pg_atomic_uint32 wakes;		/* times the latch was set by a commit */

	char		last_error[WORKER_ERROR_LEN];
	TimestampTz last_error_at;

	/* Of couriers alone */
	pg_atomic_uint64 counter[COURIER_COUNTERS];
	pg_atomic_uint64 sending;	/* odd: requests may begin just now; see gate.c */
} WorkerSlot;

/* What the launcher hands to a worker in bgw_extra; bgw_main_arg is the slot. */
typedef struct WorkerLaunch
{
	uint32		generation;
	Oid			database_oid;
	Oid			role_oid;
	WorkerKind	kind;
	int			number;
} WorkerLaunch;

/* A backend that needs a database free of workers until its transaction ends. */
typedef struct Suspension
{
	pid_t		pid;			/* 0: free entry */
	Oid			database_oid;
} Suspension;

typedef struct WactaShared
{
	LWLock	   *lock;
	pid_t		launcher_pid;
	Latch	   *launcher_latch;
	int			n_slots;
	int			n_suspensions;
	Suspension *suspensions;	/* n_suspensions of them, after the slots */
	WorkerSlot slot[FLEXIBLE_ARRAY_MEMBER];
} WactaShared;

/* NULL in a server that does not preload wacta. */
extern PGDLLEXPORT WactaShared *wacta_shared;

extern void wacta_shmem_init(void);

/* The caller holds the lock for the first three. */
extern bool database_is_suspended(Oid database);
extern void slot_set_state(WorkerSlot *slot, WorkerState state);
extern void slot_set_error(WorkerSlot *slot, const char *error);
extern void slot_fail(WorkerSlot *slot, const char *error);
extern void wake_launcher(void);

extern void launcher_attach(void);

/* Called by a worker about its own slot. */
extern bool worker_attach(int slot_no, uint32 generation);
extern bool worker_leave(WorkerState state, const char *reason);
extern PGDLLEXPORT void worker_note_error(const char *error);
extern PGDLLEXPORT void worker_is_well(void);
extern PGDLLEXPORT uint32 worker_wakes(void);
extern PGDLLEXPORT int courier_number(void);
extern PGDLLEXPORT void courier_count(CourierCounter which, int64 n);
extern PGDLLEXPORT void courier_set_in_flight(int n);
extern PGDLLEXPORT void courier_start_sending(void);
extern PGDLLEXPORT void courier_stop_sending(void);

#endif							/* WACTA_SHMEM_H */
