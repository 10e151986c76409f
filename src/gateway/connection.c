/*
 * connection.c
 *	  Watches clients' connections beside the HTTP library.
 *
 * The library reads a request until it is whole, and refuses by itself what it
 * cannot read.  So what is unwhole is bounded here: how much of it there is, how
 * long it takes, and what all of it holds in memory; and what the library says on
 * its own gets our headers, a line in the log and its place in the figures.
 * Called by server.c and exchange.c; requests are exchange.c's.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "connection.h"

#include <event2/buffer.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "access.h"
#include "arena.h"
#include "limit.h"
#include "memory.h"
#include "metrics.h"
#include "peer.h"
#include "reply.h"

#define READ_AHEAD		65536	/* what the library reads beyond a request, and more */
#define MAX_LINGERING	256
#define LINGER_SECONDS	3
#define LINGER_BYTES	(8 * 1024 * 1024)

/* The library passes nothing of ours on to a connection's callbacks. */
static struct event_base *the_base;
static const Options *the_options;
static bool short_of_memory;	/* the shortage in progress is in the log */
static bool is_own_reply;
static bool crowded;
static int	lingering;

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

typedef struct Linger
{
	struct event *event;
	int64_t		until;
	size_t		left;			/* bytes */
	LIST_ENTRY(Linger) link;
} Linger;

static LIST_HEAD(, Linger) lingerers = LIST_HEAD_INITIALIZER(lingerers);

static void
end_linger(Linger *linger)
{
	int			fd = event_get_fd(linger->event);

	event_free(linger->event);
	close(fd);
	LIST_REMOVE(linger, link);
	free(linger);
	lingering--;
}

static void
on_linger(evutil_socket_t fd, short what, void *arg)
{
	static char nowhere[65536];
	Linger	   *linger = arg;
	ssize_t		len = (what & EV_READ) != 0 ? recv(fd, nowhere, sizeof(nowhere), MSG_DONTWAIT) : 0;

	if (len > 0 && now_ms() < linger->until && linger->left > (size_t) len)
	{
		linger->left -= (size_t) len;
		return;
	}
	end_linger(linger);
}

/*
 * A connection that is closed while bytes of the client are unread is reset, and
 * then the client may never see the answer.  So a second descriptor of the socket
 * stays for a while and reads to nowhere.
 */
static void
linger_on(int fd)
{
	struct timeval patience = {LINGER_SECONDS, 0};
	Linger	   *linger;
	int			copy = lingering < MAX_LINGERING ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;

	if (copy < 0)
		return;
	linger = must_alloc(sizeof(Linger));
	linger->until = now_ms() + LINGER_SECONDS * 1000;
	linger->left = LINGER_BYTES;
	linger->event = event_new(the_base, copy, EV_READ | EV_PERSIST, on_linger, linger);
	event_add(linger->event, &patience);
	LIST_INSERT_HEAD(&lingerers, linger, link);
	lingering++;
}

/* A request that never became an exchange. */
static void
note_refusal(int fd, int status)
{
	struct in6_addr address = peer_of_socket(fd);
	Arena	   *arena = arena_new();
	AccessLine	line = {.peer = peer_text(arena, &address),.status = status};

	metrics_request(NULL, status, 0);
	limit_spend(&the_options->limit, &address, 1, now_ms());
	if (the_options->access_log)
		access_write(&line);
	arena_free(arena);
}

static const char *
reason_of(int status)
{
	switch (status)
	{
		case 408:
			return "Request Timeout";
		case 413:
			return "Content Too Large";
		default:
			return "Service Unavailable";
	}
}

/* The library answers only what is whole; it hears of a broken connection. */
static void
cut_off(struct bufferevent *connection, int status, MetricsEvent event)
{
	struct evbuffer *input = bufferevent_get_input(connection);
	int			fd = bufferevent_getfd(connection);
	char		answer[1024];
	int			len = snprintf(answer, sizeof(answer),
							   "HTTP/1.1 %d %s\r\n%s%s%sContent-Length: 0\r\nConnection: close\r\n\r\n",
							   status, reason_of(status), reply_safety_lines(),
							   the_options->hsts ? reply_hsts_line() : "",
							   status == 503 ? "Retry-After: 2\r\n" : "");

	metrics_note(event);
	note_refusal(fd, status);
	send(fd, answer, (size_t) len, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	linger_on(fd);
	/* At once, or the next to send would be cut off for nothing. */
	evbuffer_drain(input, evbuffer_get_length(input));
	bufferevent_trigger_event(connection, BEV_EVENT_READING | BEV_EVENT_ERROR, BEV_TRIG_DEFER_CALLBACKS);
}

/*
 * The request that is coming in, by descriptor.  The library keeps no such thing,
 * and what it has understood of a request, each line and each chunk, is out of the
 * buffer already.
 */
typedef struct Arrival
{
	int64_t		since;			/* 0 between requests */
	size_t		bytes;
} Arrival;

static Arrival *
arrival_of(struct bufferevent *connection)
{
	static Arrival *arrivals;
	static int	size;
	int			fd = bufferevent_getfd(connection);
	int			more = 2 * fd + 64;

	if (fd >= size)
	{
		arrivals = realloc(arrivals, (size_t) more * sizeof(*arrivals));
		if (arrivals == NULL)
			abort();
		memset(arrivals + size, 0, (size_t) (more - size) * sizeof(*arrivals));
		size = more;
	}
	return &arrivals[fd];
}

/* Some send just enough to stay: how long have they been about this request? */
static long
arriving_ms(struct bufferevent *connection, size_t more)
{
	Arrival    *arrival = arrival_of(connection);

	if (arrival->since == 0)
		arrival->since = now_ms();
	arrival->bytes += more;
	return (long) (now_ms() - arrival->since);
}

static long
receive_timeout(void)
{
	return crowded ? the_options->receive_timeout / CROWDED + 1 : the_options->receive_timeout;
}

void
connection_set_crowded(bool is_crowded)
{
	crowded = is_crowded;
}

void
connection_request_came(struct evhttp_connection *http)
{
	struct bufferevent *connection = evhttp_connection_get_bufferevent(http);

	if (bufferevent_getfd(connection) >= 0)
		*arrival_of(connection) = (Arrival) {0};
}

static void
note_shortage(void)
{
	if (!short_of_memory)
		fprintf(stderr, "wacta-gateway: %zu bytes held, requests are cut off\n", memory_held());
	short_of_memory = true;
}

/*
 * A request is in memory before it is an exchange's, and the library sets no
 * end to a line within a chunked body.  So who has sent more than a request may
 * have is cut off; and so are, when memory is short and exchanges refuse bodies
 * already, those who go on sending, last of all small requests.
 */
static void
on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *connection)
{
	size_t		pending = evbuffer_get_length(input);
	size_t		limit = (size_t) the_options->max_held;

	if (info->n_added == 0 || bufferevent_getfd(connection) < 0)
		return;
	if (arriving_ms(connection, info->n_added) > receive_timeout())
		cut_off(connection, 408, METRICS_CUT_SLOW);
	else if (pending > (size_t) the_options->max_body + (size_t) the_options->max_headers + READ_AHEAD)
		cut_off(connection, 413, METRICS_CUT_LARGE);
	else if (memory_held() > (pending > (size_t) the_options->max_headers ? 2 : 3) * limit)
	{
		note_shortage();
		cut_off(connection, 503, METRICS_CUT_MEMORY);
	}
	else if (memory_held() <= limit)
		short_of_memory = false;
}

/* Another connection may have had the descriptor before, and have ended within a request. */
static void
on_first_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *connection)
{
	if (bufferevent_getfd(connection) >= 0)
		*arrival_of(connection) = (Arrival) {0};
	evbuffer_remove_cb(input, on_first_input, connection);
	evbuffer_add_cb(input, on_input, connection);
	on_input(input, info, connection);
}

/*
 * The status of an answer of which the first line has been written, or 0.  The
 * library repeats the version that the client told, whatever it was.  By a peek:
 * once something was sent, nobody may copy from the front of the buffer.
 */
static int
status_of(struct evbuffer *output)
{
	struct evbuffer_iovec first = {0};
	char		line[40] = "";
	int			status = 0;

	evbuffer_peek(output, -1, NULL, &first, 1);
	memcpy(line, first.iov_base, first.iov_len < sizeof(line) ? first.iov_len : sizeof(line) - 1);
	return sscanf(line, "HTTP/%*d.%*d %3d", &status) == 1 ? status : 0;
}

/* A head that was too large is to the library what it cannot read. */
static int
mend_status(struct evbuffer *output, int status, const Arrival *arrival)
{
	if (status != 400 || arrival->bytes <= (size_t) the_options->max_headers)
		return status;
	/* Once something was sent, the front of the buffer is the library's. */
	evbuffer_unfreeze(output, 1);
	evbuffer_drain(output, evbuffer_get_length(output));
	evbuffer_freeze(output, 1);
	evbuffer_add_printf(output, "HTTP/1.1 431 Request Header Fields Too Large\r\n");
	return 431;
}

/*
 * The library's own refusals begin with the status line, and our headers go
 * behind it.  It answers one request at a time, so its line comes into an empty
 * buffer; "100 Continue" is no answer yet.  Who is refused may still be sending.
 */
static void
on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *connection)
{
	int			fd = bufferevent_getfd(connection);
	int			status;

	if (is_own_reply || info->n_added == 0 || info->orig_size != 0 || fd < 0)
		return;
	status = status_of(output);
	if (status < 400)
		return;
	is_own_reply = true;
	status = mend_status(output, status, arrival_of(connection));
	evbuffer_add_printf(output, "%s%s", reply_safety_lines(), the_options->hsts ? reply_hsts_line() : "");
	is_own_reply = false;
	note_refusal(fd, status);
	linger_on(fd);
}

void
connection_reply_begins(void)
{
	is_own_reply = true;
}

void
connection_reply_ends(void)
{
	is_own_reply = false;
}

struct bufferevent *
connection_new(void)
{
	struct bufferevent *connection = bufferevent_socket_new(the_base, -1, 0);

	metrics_note(METRICS_ACCEPTED);
	if (connection == NULL)
		return NULL;
	evbuffer_add_cb(bufferevent_get_input(connection), on_first_input, connection);
	evbuffer_add_cb(bufferevent_get_output(connection), on_output, connection);
	return connection;
}

void
connection_start(struct event_base *base, const Options *options)
{
	the_base = base;
	the_options = options;
}

void
connection_stop(void)
{
	while (!LIST_EMPTY(&lingerers))
		end_linger(LIST_FIRST(&lingerers));
}
