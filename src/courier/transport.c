/*
 * transport.c
 *	  Many transfers at once over one libcurl multi handle.
 *
 * All sockets of libcurl are in one epoll set, whose descriptor the courier
 * waits for together with its latch.  Nothing here blocks, and nothing here or
 * in the files below it (transfer, channel, egress) calls PostgreSQL: no ereport
 * could then jump through the frames of libcurl, no palloc'd memory could be
 * used by its resolver thread, and a test can link these files by themselves.
 *
 * Signals are blocked around every call into libcurl, since a thread inherits
 * the mask of the one that makes it: PostgreSQL's handlers must run on the main
 * thread alone.  At the end of the process nothing is cleaned up: that might
 * block, and the kernel closes sockets faster.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* epoll_create1() */
#endif

#include "transport.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define EVENTS_AT_ONCE		256
#define SWEEP_EVERY_MS		250
#define OVERDUE_MS			2000	/* grace for libcurl's own time-out */
#define DESCRIPTORS_KEPT	128 /* for PostgreSQL's files and the like */

static CURLM *multi = NULL;
static int	epfd = -1;
static TransferConfig config;
static const char *trouble = NULL;	/* libcurl has failed as a whole */

static Transfer *transfers = NULL;	/* n_transfers of them */
static int	n_transfers = 0;
static Transfer **free_list = NULL;
static int	n_free = 0;
static Transfer **finished = NULL;
static int	n_finished = 0;
static int	n_under_way = 0;
static int	capacity = 0;

static int64_t timer_due = -1;	/* monotonic ms; -1: libcurl has no timer */
static int64_t last_sweep = 0;

/* ---- Signals ---- */

/* Blocks what may be blocked; what a fault raises must go through. */
static void
block_signals(sigset_t *old)
{
	sigset_t	block;

	sigfillset(&block);
	sigdelset(&block, SIGTRAP);
	sigdelset(&block, SIGABRT);
	sigdelset(&block, SIGILL);
	sigdelset(&block, SIGFPE);
	sigdelset(&block, SIGSEGV);
	sigdelset(&block, SIGBUS);
	sigdelset(&block, SIGSYS);
	pthread_sigmask(SIG_SETMASK, &block, old);
}

static void
restore_signals(const sigset_t *old)
{
	pthread_sigmask(SIG_SETMASK, old, NULL);
}

/* ---- Callbacks of the multi handle: they run inside libcurl ---- */

/* Keeps the epoll set as libcurl wants it.  socketp says whether fd is in it. */
static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socketp)
{
	struct epoll_event event = {0};
	int			op = socketp ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (what == CURL_POLL_REMOVE)
	{
		/* It may be closed already, which has removed it. */
		(void) epoll_ctl(epfd, EPOLL_CTL_DEL, fd, &event);
		curl_multi_assign(multi, fd, NULL);
		return 0;
	}
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	event.data.fd = fd;
	if (epoll_ctl(epfd, op, fd, &event) != 0)
	{
		if (errno == EEXIST)
			op = EPOLL_CTL_MOD;
		else if (errno == ENOENT)
			op = EPOLL_CTL_ADD;
		else
			return -1;
		if (epoll_ctl(epfd, op, fd, &event) != 0)
			return -1;
	}
	curl_multi_assign(multi, fd, &epfd);
	return 0;
}

/* May be called from within curl_multi_socket_action(), so it only takes note. */
static int
set_timer(CURLM *m, long timeout_ms, void *arg)
{
	timer_due = timeout_ms < 0 ? -1 : monotonic_ms() + timeout_ms;
	return 0;
}

/* ---- Setting up ---- */

/*
 * Transfers must stay below the limit on descriptors.  The soft limit is often
 * a low default; a process may raise its own up to the hard limit.
 */
static int
descriptors_allow(int wish)
{
	struct rlimit limit;
	rlim_t		need = (rlim_t) wish + DESCRIPTORS_KEPT;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return wish;
	if (limit.rlim_cur < need && limit.rlim_cur < limit.rlim_max)
	{
		limit.rlim_cur = need < limit.rlim_max ? need : limit.rlim_max;
		(void) setrlimit(RLIMIT_NOFILE, &limit);
		(void) getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur >= need)
		return wish;
	return limit.rlim_cur > DESCRIPTORS_KEPT + 1 ? (int) (limit.rlim_cur - DESCRIPTORS_KEPT) : 1;
}

static bool
make_multi(void)
{
	multi = curl_multi_init();
	return multi != NULL &&
		curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long) CURLPIPE_MULTIPLEX) == CURLM_OK;
}

static bool
make_slots(int n)
{
	int			i;

	transfers = calloc(n, sizeof(Transfer));
	free_list = calloc(n, sizeof(Transfer *));
	finished = calloc(n, sizeof(Transfer *));
	if (transfers == NULL || free_list == NULL || finished == NULL)
		return false;
	n_transfers = n;
	for (i = n - 1; i >= 0; i--)
		free_list[n_free++] = &transfers[i];
	return true;
}

/*
 * Once, in the courier's main function: a process that has initialized libcurl
 * must not fork.  SSLKEYLOGFILE would have it write session keys to a file.
 */
bool
transport_open(int max_transfers, const char **error)
{
	sigset_t	old;
	bool		ok;

	*error = NULL;
	unsetenv("SSLKEYLOGFILE");
	block_signals(&old);
	if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
		*error = "libcurl could not be initialized";
	else if ((epfd = epoll_create1(EPOLL_CLOEXEC)) < 0)
		*error = strerror(errno);
	else if (!make_multi() || !make_slots(max_transfers))
		*error = "out of memory";
	ok = *error == NULL;
	restore_signals(&old);
	return ok;
}

/* Takes effect on the transfers that start from now on. */
void
transport_configure(const TransferConfig *new_config, int max_transfers)
{
	sigset_t	old;

	config = *new_config;
	capacity = descriptors_allow(max_transfers < n_transfers ? max_transfers : n_transfers);
	block_signals(&old);
	(void) curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) capacity);
	restore_signals(&old);
}

int
transport_fd(void)
{
	return epfd;
}

/* If not, a name lookup blocks the courier and cannot time out. */
bool
transport_resolves_in_background(void)
{
	return (curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_ASYNCHDNS) != 0;
}

/* ---- The life of a transfer ---- */

/* How many more may be sent now.  What waits to be settled has a slot, too. */
int
transport_room(void)
{
	int			room = capacity - n_under_way;

	if (room > n_free)
		room = n_free;
	return room > 0 ? room : 0;
}

int
transport_under_way(void)
{
	return n_under_way;
}

/* The channel of each transfer that is under way; channels has room for all. */
int
transport_channels(int32_t *channels)
{
	int			n = 0;
	int			i;

	for (i = 0; i < n_transfers && n < n_under_way; i++)
		if (transfers[i].phase == TRANSFER_UNDER_WAY)
			channels[n++] = transfers[i].channel_id;
	return n;
}

/* NULL when there is no slot, which a caller that minds the room never sees. */
Transfer *
transport_take(void)
{
	Transfer   *t;

	if (n_free == 0)
		return NULL;
	t = free_list[--n_free];
	t->phase = TRANSFER_TAKEN;
	t->retry_after = -1;
	t->started = monotonic_ms();
	return t;
}

static void
add_finished(Transfer *t)
{
	finished[n_finished++] = t;
}

void
transport_refuse(Transfer *t, const char *why)
{
	transfer_fail(t, OUTCOME_NOT_SENT, why);
	add_finished(t);
}

/* Hands the transfer, which has its channel and body, to libcurl. */
void
transport_send(Transfer *t)
{
	sigset_t	old;
	CURLMcode	rc;

	block_signals(&old);
	if (!transfer_prepare(t, &config))
		add_finished(t);
	else if ((rc = curl_multi_add_handle(multi, t->easy)) != CURLM_OK)
		transport_refuse(t, curl_multi_strerror(rc));
	else
	{
		t->phase = TRANSFER_UNDER_WAY;
		t->overdue = monotonic_ms() + config.request_timeout + OVERDUE_MS;
		n_under_way++;
	}
	restore_signals(&old);
}

/* The transfers that wait to be settled. */
Transfer **
transport_finished(int *n)
{
	*n = n_finished;
	return finished;
}

void
transport_release(Transfer *t)
{
	int			i = n_finished;

	while (--i >= 0 && finished[i] != t)
		;
	if (i >= 0)
		finished[i] = finished[--n_finished];
	transfer_reset(t);
	free_list[n_free++] = t;
}

/* ---- The motor ---- */

static void
end_transfer(Transfer *t, CURLcode result)
{
	curl_multi_remove_handle(multi, t->easy);
	n_under_way--;
	transfer_finish(t, result);
	add_finished(t);
}

static void
collect(void)
{
	CURLMsg    *msg;
	int			left;

	while ((msg = curl_multi_info_read(multi, &left)) != NULL)
	{
		CURL	   *easy = msg->easy_handle;
		CURLcode	result = msg->data.result;
		char	   *owner = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		/* From here on msg is invalid. */
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, &owner);
		end_transfer((Transfer *) owner, result);
	}
}

/*
 * Ends what need not wait any longer: a transfer that will not begin, since it
 * may be waiting for the connection of another one; and, as the net below
 * libcurl's time-outs, one that is long overdue.
 */
static void
sweep(int64_t now)
{
	int			i;

	if (now - last_sweep < SWEEP_EVERY_MS || n_under_way == 0)
		return;
	last_sweep = now;
	for (i = 0; i < n_transfers; i++)
	{
		Transfer   *t = &transfers[i];

		if (t->phase != TRANSFER_UNDER_WAY)
			continue;
		if (transfer_hold_back(t))
			end_transfer(t, CURLE_ABORTED_BY_CALLBACK);
		else if (now > t->overdue)
			end_transfer(t, CURLE_OPERATION_TIMEDOUT);
	}
}

static void
act(curl_socket_t fd, int events)
{
	int			running;
	CURLMcode	rc = curl_multi_socket_action(multi, fd, events, &running);

	if (rc != CURLM_OK)
		trouble = curl_multi_strerror(rc);
}

/* Lets libcurl do whatever it can do now. */
void
transport_pump(void)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int64_t		now = monotonic_ms();
	sigset_t	old;
	int			n;
	int			i;

	block_signals(&old);
	n = epoll_wait(epfd, events, EVENTS_AT_ONCE, 0);
	for (i = 0; i < n; i++)
	{
		int			mask = 0;

		if (events[i].events & EPOLLIN)
			mask |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			mask |= CURL_CSELECT_OUT;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			mask |= CURL_CSELECT_ERR;
		act(events[i].data.fd, mask);
	}
	if (timer_due >= 0 && timer_due <= now)
	{
		timer_due = -1;
		act(CURL_SOCKET_TIMEOUT, 0);
	}
	collect();
	sweep(now);
	restore_signals(&old);
}

/* How long the caller may wait for the descriptor; -1: for ever. */
long
transport_wait_ms(void)
{
	int64_t		now = monotonic_ms();
	int64_t		wait = timer_due < 0 ? -1 : timer_due <= now ? 0 : timer_due - now;

	if (n_under_way > 0 && (wait < 0 || wait > SWEEP_EVERY_MS))
		wait = SWEEP_EVERY_MS;
	return (long) wait;
}

/* Not NULL: the multi handle cannot be trusted any more. */
const char *
transport_trouble(void)
{
	return trouble;
}
