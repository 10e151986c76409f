/*
 * courier.c
 *	  The worker that drains the outbox of one database.
 *
 * The loop: claim messages and commit; send them, with no transaction and no
 * snapshot; settle whatever has finished and commit.  A message whose settling
 * is lost in a crash was committed as being sent, so the next courier of this
 * number finds it and puts it in doubt; none is sent twice.
 *
 * The courier waits on its latch and on libcurl's sockets at once and reaches
 * CHECK_FOR_INTERRUPTS within milliseconds in every state, for DROP DATABASE,
 * shutdown and pg_terminate_backend() wait for that.  When it is told to end it
 * does so at once, whatever is in flight.
 *
 * Three parts that must not be mixed: outbox.c knows SPI and no libcurl;
 * transport.c and below know libcurl and nothing of PostgreSQL, so that no error
 * is ever thrown through libcurl's frames; this file and dispatch.c pass data
 * between them and throw only while libcurl is not on the stack.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "access/xact.h"
#include "compat.h"
#include "courier.h"
#include "fmgr.h"
#include "gate.h"
#include "guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "shmem.h"
#include "storage/ipc.h"
#include "transport.h"
#include "turns.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "worker.h"

WACTA_MODULE_MAGIC("wacta_courier");

extern PGDLLEXPORT void wacta_courier_main(Datum main_arg);

/*
 * Short, because nobody is served while the courier waits for a lock, and nothing
 * is lost when it does not get it: it comes again.
 */
#define LOCK_TIMEOUT		"200ms"

static MemoryContext TickContext;	/* reset in each round */
static uint32 idle_event;
static uint32 transfer_event;
static WaitEventSet *wait_set;

/* ---- One round ---- */

/*
 * No more is sent while answers cannot be settled for an error: the next ones
 * might be lost as well.
 */
static bool
may_claim(const Backlog *b)
{
	return wacta_enabled && transport_room() > 0 && !b->failing;
}

/* These two are called inside libcurl: nothing in them may raise an error. */
static bool
may_begin(const Transfer *t)
{
	return gate_is_open(t->claimed_at, t->lead_id, t->channel_id, t->template_id);
}

static void
has_begun(const Transfer *t)
{
	turn_begun(t->channel_id);
}

/*
 * Does what there is to do on the network now.  As long as answers keep coming
 * it goes on, for what is settled together costs less; in between others may
 * commit what forbids a request.
 */
static void
send_and_receive(void)
{
	int			before;
	int			after;

	do
	{
		transport_finished(&before);
		courier_start_sending();
		transport_pump();
		courier_stop_sending();
		report_new_turns();
		if (transport_trouble() != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_CONNECTION_FAILURE),
					 errmsg("the transport has failed: %s", transport_trouble())));
		transport_finished(&after);
	} while (after > before && transport_under_way() > 0);
}

/* Does what there is to do in the database now. */
static void
work(Courier *c)
{
	int64		now = monotonic_ms();
	uint32		wakes = worker_wakes();
	Backlog		b;
	bool		look;

	/* Before the claim: what is committed after it counts once more. */
	if (wakes != c->wakes)
		c->work_likely = true;
	c->wakes = wakes;

	if (now < c->not_before)
		return;
	if (backlog().alone_due <= now)
		settle_alone(c);
	if (now < c->not_before)
		return;
	b = backlog();
	look = may_claim(&b) &&
		(c->work_likely || now >= c->claim_due || (b.together > 0 && c->more_due));
	if (b.together > 0 || look)
		exchange(c, look);
	if (look)
		report_turns();
	if (wacta_enabled && c->started && now >= Max(c->reap_due, c->not_before))
		reap(c);
}

/* How long nothing need be done, in ms. */
static long
time_to_wait(Courier *c)
{
	int64		now = monotonic_ms();
	long		transport = transport_wait_ms();
	Backlog		b = backlog();
	int64		due = Min(now + wacta_poll_interval, b.alone_due);
	bool		woken = c->work_likely || worker_wakes() != c->wakes;
	long		wait;

	if (may_claim(&b))
		due = woken ? now : Min(due, c->claim_due);
	if (wacta_enabled && c->started)
		due = Min(due, c->reap_due);
	if (b.together > 0)
		due = now;
	due = Max(due, c->not_before);
	wait = due > now ? (long) (due - now) : 0;
	return transport >= 0 ? Min(wait, transport) : wait;
}

/* Tells shared memory and pg_stat_activity what goes on. */
static void
show_activity(void)
{
	int			n = transport_under_way();
	char		text[64];

	courier_set_in_flight(n);
	if (n == 0)
		pgstat_report_activity(STATE_IDLE, NULL);
	else
	{
		snprintf(text, sizeof(text), "wacta: sending %d", n);
		pgstat_report_activity(STATE_RUNNING, text);
	}
}

/*
 * Sleeps until the latch, a socket of libcurl or the time says there is work.
 * The latch is reset here and by PostgreSQL's own waits; whether there are new
 * messages is told by worker_wakes(), which the next round looks at.
 */
static void
wait_for_work(Courier *c)
{
	WaitEvent	event;
	uint32		what = transport_under_way() > 0 ? transfer_event : idle_event;

	Assert(!IsTransactionState());
	if (WaitEventSetWait(wait_set, time_to_wait(c), &event, 1, what) == 1 &&
		(event.events & WL_LATCH_SET))
		ResetLatch(MyLatch);
}

/* ---- The process ---- */

static void
configure(Courier *c)
{
	TransferConfig config = {
		.version = ++c->config_version,
		.connect_timeout = wacta_connect_timeout,
		.request_timeout = wacta_request_timeout,
		.allow_http = wacta_allow_http,
		.ca_file = wacta_ca_file,
		.proxy = wacta_proxy
	};

	transport_configure(&config, wacta_max_in_flight);
	channel_forget_all();

	/*
	 * A request must not leave before its attempt is on disk: after a crash the
	 * message would be queued again.
	 */
	if (synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
		SetConfigOption("synchronous_commit", "local", PGC_USERSET, PGC_S_SESSION);
	c->work_likely = true;
}

static void
open_transport(void)
{
	const char *error;

	if (!transport_open(MAX_IN_FLIGHT, &error))
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("could not set up the transport: %s", error)));
	if (!transport_resolves_in_background())
		ereport(LOG,
				(errmsg("this libcurl resolves names synchronously"),
				 errdetail("A slow name server stops the courier, and no time limit applies to it.")));

	transfer_set_hooks(may_begin, has_begun);

	/* Constant for the life of the process, so it is made once. */
	wait_set = wacta_create_wait_event_set(3);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, transport_fd(), NULL, NULL);
}

/* False when the launcher has thought better of it. */
static bool
courier_init(Courier *c, int slot)
{
	if (!worker_start(slot, LOCK_TIMEOUT))
		return false;
	memset(c, 0, sizeof(*c));
	c->number = courier_number();
	idle_event = wacta_wait_event("WactaCourierMain");
	transfer_event = wacta_wait_event("WactaCourierTransfer");
	TickContext = AllocSetContextCreate(TopMemoryContext, "wacta courier tick",
										ALLOCSET_DEFAULT_SIZES);
	open_transport();
	configure(c);
	return true;
}

void
wacta_courier_main(Datum main_arg)
{
	Courier		courier;

	if (!courier_init(&courier, DatumGetInt32(main_arg)))
		proc_exit(0);
	for (;;)
	{
		if (worker_handle_interrupts())
			configure(&courier);
		MemoryContextReset(TickContext);
		MemoryContextSwitchTo(TickContext);
		send_and_receive();
		work(&courier);
		show_activity();
		wait_for_work(&courier);
	}
}
