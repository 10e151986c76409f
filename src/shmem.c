/*
 * shmem.c
 *	  The slots of the workers in shared memory, and their changes of state.
 *
 * Who changes a slot: the launcher makes and frees it and starts its worker;
 * the worker attaches, counts, and says how it ended.  Other backends only
 * read, but for wake-ups (wake.c) and suspensions (lifecycle.c).
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "shmem.h"

#include "backoff.h"
#include "gate.h"
#include "guc.h"
#include "miscadmin.h"
#include "pace.h"
#include "refusal.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"
#include "wacta.h"

#define TRANCHE				"wacta"

/* The launcher's schedule: 1 s to 60 s, forgotten after 60 s of health */
#define RESTART_BASE		USECS_PER_SEC
#define RESTART_CAP			(60 * USECS_PER_SEC)
#define RESTART_JITTER		0.25
#define HEALTHY_MS			60000
#define ABSENT_RETRY_MS		60000

/* How long a worker that is well again tells what was wrong */
#define TELL_ERROR_MS		600000

WactaShared *wacta_shared = NULL;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

/* In a worker: its slot, and what its end will mean if it exits with 0. */
static WorkerSlot *my_slot = NULL;
static WorkerState my_exit_state = WORKER_WAITING;

static int
slot_count(void)
{
	return wacta_max_databases * MAX_WORKERS_PER_DATABASE;
}

static Size
slots_size(void)
{
	return MAXALIGN(add_size(offsetof(WactaShared, slot),
							 mul_size(slot_count(), sizeof(WorkerSlot))));
}

static Size
suspensions_size(void)
{
	return MAXALIGN(mul_size(MaxBackends, sizeof(Suspension)));
}

static Size
shared_size(void)
{
	return add_size(add_size(slots_size(), suspensions_size()),
					add_size(add_size(gate_shmem_size(), pace_shmem_size()),
							 refusal_shmem_size()));
}

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche(TRANCHE, 3);
}

static void
init_slot(WorkerSlot *slot)
{
	int			i;

	pg_atomic_init_u32(&slot->wakes, 0);
	pg_atomic_init_u64(&slot->sending, 0);
	for (i = 0; i < COURIER_COUNTERS; i++)
		pg_atomic_init_u64(&slot->counter[i], 0);
}

/* What follows the slots. */
static void
init_parts(char *memory, LWLock *pace_lock, LWLock *refusal_lock)
{
	wacta_shared->n_suspensions = MaxBackends;
	wacta_shared->suspensions = (Suspension *) memory;
	memory += suspensions_size();
	gate_shmem_init((struct Gate *) memory);
	memory += gate_shmem_size();
	pace_shmem_init((struct Pace *) memory, pace_lock);
	memory += pace_shmem_size();
	refusal_shmem_init((struct Refusals *) memory, refusal_lock);
}

static void
startup_shmem(void)
{
	LWLockPadded *locks;
	bool		found;
	int			i;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	wacta_shared = ShmemInitStruct("wacta", shared_size(), &found);
	if (!found)
	{
		memset(wacta_shared, 0, shared_size());
		locks = GetNamedLWLockTranche(TRANCHE);
		wacta_shared->lock = &locks[0].lock;
		wacta_shared->n_slots = slot_count();
		for (i = 0; i < wacta_shared->n_slots; i++)
			init_slot(&wacta_shared->slot[i]);
		init_parts((char *) wacta_shared + slots_size(), &locks[1].lock, &locks[2].lock);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
wacta_shmem_init(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}

bool
database_is_suspended(Oid database)
{
	int			i;

	for (i = 0; i < wacta_shared->n_suspensions; i++)
		if (wacta_shared->suspensions[i].pid != 0 &&
			wacta_shared->suspensions[i].database_oid == database)
			return true;
	return false;
}

/* Enters a state; the launcher may start the worker again when it is due. */
void
slot_set_state(WorkerSlot *slot, WorkerState state)
{
	TimestampTz now = GetCurrentTimestamp();

	if (slot->state != state || slot->since == 0)
		slot->since = now;
	slot->state = state;
	slot->next_start = now;
	if (state == WORKER_ABSENT)
		slot->next_start = TimestampTzPlusMilliseconds(now, ABSENT_RETRY_MS);
}

void
slot_set_error(WorkerSlot *slot, const char *error)
{
	strlcpy(slot->last_error, error, sizeof(slot->last_error));
	slot->last_error_at = GetCurrentTimestamp();
}

/* Notes one more failure in a row and when to try again. */
void
slot_fail(WorkerSlot *slot, const char *error)
{
	slot_set_error(slot, error);
	slot_set_state(slot, WORKER_BACKOFF);
	slot->failures++;
	slot->next_start += backoff_delay(slot->failures, RESTART_BASE, RESTART_CAP,
									  RESTART_JITTER,
									  (uint64) (slot - wacta_shared->slot));
}

void
wake_launcher(void)
{
	if (wacta_shared->launcher_latch != NULL)
		SetLatch(wacta_shared->launcher_latch);
}

/* An error while the lock was held must not make the exit wait for itself. */
static void
launcher_detach(int code, Datum arg)
{
	LWLockReleaseAll();
	LWLockAcquire(wacta_shared->lock, LW_EXCLUSIVE);
	wacta_shared->launcher_pid = 0;
	wacta_shared->launcher_latch = NULL;
	LWLockRelease(wacta_shared->lock);
}

/*
 * Called by the launcher before it connects.  Workers of a former launcher go
 * on working: to stop couriers would leave what they have in flight in doubt.  One
 * that was being started is given up, for its generation is over.
 */
void
launcher_attach(void)
{
	int			i;

	before_shmem_exit(launcher_detach, (Datum) 0);
	pace_forget_past();
	LWLockAcquire(wacta_shared->lock, LW_EXCLUSIVE);
	wacta_shared->launcher_pid = MyProcPid;
	wacta_shared->launcher_latch = MyLatch;
	for (i = 0; i < wacta_shared->n_slots; i++)
	{
		WorkerSlot *slot = &wacta_shared->slot[i];

		if (slot->in_use && slot->state == WORKER_STARTING)
		{
			slot->generation++;
			slot_set_state(slot, WORKER_WAITING);
		}
	}
	LWLockRelease(wacta_shared->lock);
}

/*
 * Says how the worker ended.  Must not touch libcurl, which may be in any
 * state here, and runs after the transaction, if any, has been aborted.
 */
static void
worker_detach(int code, Datum arg)
{
	WorkerSlot *slot = my_slot;
	bool		noted;

	LWLockReleaseAll();
	if (slot->kind == WORKER_COURIER)
		pace_courier_gone(slot->database_oid, slot->number);
	LWLockAcquire(wacta_shared->lock, LW_EXCLUSIVE);
	noted = slot->last_error_at >= slot->since;
	if (TimestampDifferenceExceeds(slot->since, GetCurrentTimestamp(), HEALTHY_MS))
		slot->failures = 0;
	slot->pid = 0;
	slot->latch = NULL;
	if (code == 0)
		slot_set_state(slot, my_exit_state);
	else if (slot->stopping || database_is_suspended(slot->database_oid))
		slot_set_state(slot, WORKER_WAITING);
	else
		slot_fail(slot, noted ? slot->last_error : "ended early, see the server log");
	slot->stopping = false;
	wake_launcher();
	LWLockRelease(wacta_shared->lock);
	pg_atomic_write_u64(&slot->counter[COUNT_IN_FLIGHT], 0);
}

/*
 * Takes the slot; false when the launcher has given this worker up, or the
 * database must stay free.  Call it before connecting: a worker that has not
 * attached is never in a database, and shutdown runs the callback last.
 */
bool
worker_attach(int slot_no, uint32 generation)
{
	WorkerSlot *slot = &wacta_shared->slot[slot_no];
	bool		mine;

	LWLockAcquire(wacta_shared->lock, LW_EXCLUSIVE);
	mine = slot->in_use && slot->state == WORKER_STARTING && slot->generation == generation;
	if (mine && database_is_suspended(slot->database_oid))
	{
		slot_set_state(slot, WORKER_WAITING);
		mine = false;
	}
	if (mine)
	{
		my_slot = slot;
		slot_set_state(slot, WORKER_RUNNING);
		slot->stopping = false;
		slot->has_run = true;
		slot->pid = MyProcPid;
		slot->latch = MyLatch;
		if (pg_atomic_read_u64(&slot->sending) % 2 == 1)
			courier_stop_sending();
		before_shmem_exit(worker_detach, (Datum) 0);
	}
	LWLockRelease(wacta_shared->lock);
	return mine;
}

/* The number of the courier that we are; -1: we are none. */
int
courier_number(void)
{
	return my_slot != NULL && my_slot->kind == WORKER_COURIER ? my_slot->number : -1;
}

/*
 * The worker is about to exit with 0: what that means, and why.  False when it
 * is what was noted last.
 */
bool
worker_leave(WorkerState state, const char *reason)
{
	bool		news = strcmp(my_slot->last_error, reason) != 0;

	my_exit_state = state;
	worker_note_error(reason);
	return news;
}

void
worker_note_error(const char *error)
{
	LWLockAcquire(wacta_shared->lock, LW_EXCLUSIVE);
	slot_set_error(my_slot, error);
	LWLockRelease(wacta_shared->lock);
}

/*
 * What kept this worker from starting is over, and so is what it has met itself
 * and not again for a while.
 */
void
worker_is_well(void)
{
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(wacta_shared->lock, LW_EXCLUSIVE);
	if (my_slot->last_error_at < my_slot->since ||
		TimestampDifferenceExceeds(my_slot->last_error_at, now, TELL_ERROR_MS))
	{
		my_slot->last_error[0] = '\0';
		my_slot->last_error_at = 0;
	}
	LWLockRelease(wacta_shared->lock);
}

/* Only the courier itself writes its counters, so no read-modify-write is needed. */
void
courier_count(CourierCounter which, int64 n)
{
	pg_atomic_uint64 *counter = &my_slot->counter[which];

	pg_atomic_write_u64(counter, pg_atomic_read_u64(counter) + n);
}

void
courier_set_in_flight(int n)
{
	pg_atomic_write_u64(&my_slot->counter[COUNT_IN_FLIGHT], n);
}

/* How often this worker was woken; a new value means that there may be work. */
uint32
worker_wakes(void)
{
	return pg_atomic_read_u32(&my_slot->wakes);
}

/*
 * Between these two calls, and only there, libcurl may begin requests.  Full
 * barriers: whether one may begin is looked up after the first, and all that
 * has begun has left this process before the second.
 */
void
courier_start_sending(void)
{
	pg_atomic_fetch_add_u64(&my_slot->sending, 1);
	pg_memory_barrier();
}

void
courier_stop_sending(void)
{
	pg_memory_barrier();
	pg_atomic_fetch_add_u64(&my_slot->sending, 1);
}
