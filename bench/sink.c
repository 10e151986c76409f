/*
 * sink.c
 *	  The provider's end of the benchmarks: takes any message, and costs little.
 *
 *		sink [PORT]
 *
 * Prints the port of 127.0.0.1 that it listens on, and ends when its standard
 * input is closed, that is with the script that started it.
 *
 *	POST .../messages		a message: answered as Meta does when it takes one
 *	POST /reset?delay_ms=N	forget what came; from now on answer after N ms
 *	GET  /stats				name=value lines: requests, distinct, duplicates, cpu_us
 *	GET  /arrivals			a line for each request: callback id, CLOCK_MONOTONIC in ns
 *	GET  /sample			the body of the newest message
 *
 * One thread and one epoll set, so that on a small machine the sink takes no
 * more than a core from what is measured.  It trusts its clients.
 *
 * Copyright (c) 2026, the wacta authors
 */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG			4096
#define EVENTS_AT_ONCE	256
#define REQUEST_MAX		16384
#define ANSWER_MAX		512
#define CALLBACK_PREFIX	"wacta:outbox:"

typedef struct Connection
{
	int			fd;
	bool		waiting;		/* its answer is not due yet */
	int64_t		due;			/* monotonic ns */
	struct Connection *next;	/* in the queue of those that wait */
	int			answer_len;
	size_t		len;			/* of in */
	char		answer[ANSWER_MAX];
	char		in[REQUEST_MAX + 1];
} Connection;

typedef struct Request
{
	char	   *head;			/* ends with an empty line */
	char	   *body;
	size_t		body_len;
	size_t		len;
} Request;

typedef struct Arrival
{
	uint64_t	id;
	int64_t		at;
} Arrival;

static int	epfd;
static int	listener;
static int64_t started;

static Arrival *arrivals;
static size_t n_arrivals;
static size_t arrivals_size;
static char sample[REQUEST_MAX + 1];
static size_t sample_len;

/* All wait for the same time, so the first to come is the first that is due. */
static int64_t delay;
static Connection *first_waiting;
static Connection *last_waiting;

static void
die(const char *what)
{
	fprintf(stderr, "sink: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* ---- Writing ---- */

/* Long answers are for the script that measures, which reads them at once. */
static bool
send_all(int fd, const char *data, size_t len)
{
	while (len > 0)
	{
		ssize_t		n = send(fd, data, len, MSG_NOSIGNAL);
		struct pollfd wait = {fd, POLLOUT, 0};

		if (n < 0 && errno == EAGAIN)
			poll(&wait, 1, 1000);
		else if (n < 0 && errno != EINTR)
			return false;
		if (n > 0)
		{
			data += n;
			len -= n;
		}
	}
	return true;
}

static bool
send_text(int fd, const char *status, const char *text, size_t len)
{
	char		head[128];
	int			n = snprintf(head, sizeof(head),
							 "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
							 status, len);

	return send_all(fd, head, n) && send_all(fd, text, len);
}

/* ---- What came ---- */

static uint64_t
callback_id(const Request *r)
{
	const char *found = memmem(r->body, r->body_len, CALLBACK_PREFIX, strlen(CALLBACK_PREFIX));

	return found ? strtoull(found + strlen(CALLBACK_PREFIX), NULL, 10) : 0;
}

static void
record(uint64_t id)
{
	if (n_arrivals == arrivals_size)
	{
		arrivals_size = arrivals_size ? 2 * arrivals_size : 65536;
		arrivals = realloc(arrivals, arrivals_size * sizeof(Arrival));
		if (arrivals == NULL)
			die("arrivals");
	}
	arrivals[n_arrivals].id = id;
	arrivals[n_arrivals++].at = now_ns();
}

static int
compare_ids(const void *a, const void *b)
{
	uint64_t	x = *(const uint64_t *) a;
	uint64_t	y = *(const uint64_t *) b;

	return (x > y) - (x < y);
}

static size_t
count_distinct(void)
{
	uint64_t   *ids = malloc((n_arrivals + 1) * sizeof(uint64_t));
	size_t		distinct = 0;
	size_t		i;

	if (ids == NULL)
		die("ids");
	for (i = 0; i < n_arrivals; i++)
		ids[i] = arrivals[i].id;
	qsort(ids, n_arrivals, sizeof(uint64_t), compare_ids);
	for (i = 0; i < n_arrivals; i++)
		distinct += i == 0 || ids[i] != ids[i - 1];
	free(ids);
	return distinct;
}

static int64_t
cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (int64_t) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

static bool
send_stats(int fd)
{
	char		text[256];
	size_t		distinct = count_distinct();
	int			n = snprintf(text, sizeof(text), "requests=%zu\ndistinct=%zu\nduplicates=%zu\ncpu_us=%" PRId64 "\n",
							 n_arrivals, distinct, n_arrivals - distinct, cpu_us());

	return send_text(fd, "200 OK", text, n);
}

static bool
send_arrivals(int fd)
{
	char	   *text = malloc(n_arrivals * 44 + 1);
	size_t		len = 0;
	size_t		i;
	bool		ok;

	if (text == NULL)
		die("arrivals");
	for (i = 0; i < n_arrivals; i++)
		len += sprintf(text + len, "%" PRIu64 " %" PRId64 "\n", arrivals[i].id, arrivals[i].at);
	ok = send_text(fd, "200 OK", text, len);
	free(text);
	return ok;
}

/* ---- A message ---- */

/* Copies the number after "to": at most 20 digits. */
static void
read_recipient(const Request *r, char *number)
{
	const char *at = memmem(r->body, r->body_len, "\"to\":", 5);
	int			n = 0;

	if (at != NULL)
		for (at += 5; n < 20 && at < r->body + r->body_len && *at != ',' && *at != '}'; at++)
			if (*at >= '0' && *at <= '9')
				number[n++] = *at;
	number[n] = '\0';
}

/* As long as Meta's. */
static void
write_answer(Connection *c, const Request *r)
{
	static uint64_t serial = 0;
	char		number[24];
	char		body[ANSWER_MAX];
	int			n;

	read_recipient(r, number);
	n = snprintf(body, sizeof(body),
				 "{\"messaging_product\":\"whatsapp\",\"contacts\":[{\"input\":\"%s\",\"wa_id\":\"%s\"}],"
				 "\"messages\":[{\"id\":\"wamid.HBgM%020" PRId64 "%026" PRIu64 "AA==\",\"message_status\":\"accepted\"}]}",
				 number, number, started, ++serial);
	c->answer_len = snprintf(c->answer, sizeof(c->answer),
							 "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: %d\r\n\r\n%s",
							 n, body);
}

static void
wait_to_answer(Connection *c)
{
	c->waiting = true;
	c->due = now_ns() + delay;
	c->next = NULL;
	if (last_waiting != NULL)
		last_waiting->next = c;
	else
		first_waiting = c;
	last_waiting = c;
}

static bool
take_message(Connection *c, const Request *r)
{
	record(callback_id(r));
	memcpy(sample, r->body, r->body_len);
	sample_len = r->body_len;
	write_answer(c, r);
	if (delay == 0)
		return send_all(c->fd, c->answer, c->answer_len);
	wait_to_answer(c);
	return true;
}

/* ---- Requests ---- */

static bool
reset(int fd, const char *head)
{
	const char *ms = strstr(head, "delay_ms=");

	n_arrivals = 0;
	delay = ms ? strtoll(ms + strlen("delay_ms="), NULL, 10) * 1000000 : 0;
	return send_text(fd, "200 OK", "", 0);
}

static bool
has_path(const Request *r, const char *ending)
{
	const char *line_end = strstr(r->head, " HTTP/");

	return line_end != NULL && line_end - r->head >= strlen(ending) &&
		memcmp(line_end - strlen(ending), ending, strlen(ending)) == 0;
}

static bool
serve(Connection *c, const Request *r)
{
	if (has_path(r, "/messages"))
		return take_message(c, r);
	if (has_path(r, " /stats"))
		return send_stats(c->fd);
	if (has_path(r, " /arrivals"))
		return send_arrivals(c->fd);
	if (has_path(r, " /sample"))
		return send_text(c->fd, "200 OK", sample, sample_len);
	if (strncmp(r->head, "POST /reset", 11) == 0)
		return reset(c->fd, r->head);
	return send_text(c->fd, "404 Not Found", "", 0);
}

/* Is there a whole request at the start of the buffer? */
static bool
find_request(Connection *c, Request *r)
{
	char	   *end = memmem(c->in, c->len, "\r\n\r\n", 4);
	char	   *length;

	if (end == NULL)
		return false;
	*end = '\0';
	r->head = c->in;
	r->body = end + 4;
	length = strcasestr(c->in, "\r\nContent-Length:");
	r->body_len = length ? strtoul(length + strlen("\r\nContent-Length:"), NULL, 10) : 0;
	r->len = r->body - c->in + r->body_len;
	if (r->len > c->len)
		*end = '\r';			/* looked for again when more has come */
	return r->len <= c->len;
}

static bool
serve_buffered(Connection *c)
{
	Request		r;

	while (!c->waiting && find_request(c, &r))
	{
		if (!serve(c, &r))
			return false;
		c->len -= r.len;
		memmove(c->in, c->in + r.len, c->len);
	}
	return true;
}

/* False: the connection is over. */
static bool
take_input(Connection *c)
{
	ssize_t		n = recv(c->fd, c->in + c->len, REQUEST_MAX - c->len, 0);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	c->len += n;
	c->in[c->len] = '\0';
	return serve_buffered(c);
}

/* ---- Connections ---- */

static void
hang_up(Connection *c)
{
	close(c->fd);
	c->fd = -1;
	if (!c->waiting)			/* else it is freed when its turn comes */
		free(c);
}

static void
watch(int fd, void *what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};

	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) != 0)
		die("epoll_ctl");
}

static void
take_connections(void)
{
	int			fd;
	int			on = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
	{
		Connection *c = calloc(1, sizeof(Connection));

		if (c == NULL)
			die("connection");
		c->fd = fd;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		watch(fd, c);
	}
}

static void
answer_due(void)
{
	while (first_waiting != NULL && first_waiting->due <= now_ns())
	{
		Connection *c = first_waiting;

		first_waiting = c->next;
		if (first_waiting == NULL)
			last_waiting = NULL;
		c->waiting = false;
		if (c->fd < 0)
			free(c);
		else if (!send_all(c->fd, c->answer, c->answer_len) || !serve_buffered(c))
			hang_up(c);
	}
}

/* Milliseconds until the next answer is due, rounded up; -1: none waits. */
static int
time_to_wait(void)
{
	int64_t		left;

	if (first_waiting == NULL)
		return -1;
	left = first_waiting->due - now_ns();
	return left > 0 ? (int) ((left + 999999) / 1000000) : 0;
}

static void
listen_on(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port),
	.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t	len = sizeof(address);
	int			on = 1;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (listener < 0 || bind(listener, (struct sockaddr *) &address, len) != 0 || listen(listener, BACKLOG) != 0 ||
		getsockname(listener, (struct sockaddr *) &address, &len) != 0)
		die("listen");
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
}

/* Each connection of a courier is a descriptor here. */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void
serve_events(void)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int			n = epoll_wait(epfd, events, EVENTS_AT_ONCE, time_to_wait());
	int			i;

	for (i = 0; i < n; i++)
	{
		void	   *what = events[i].data.ptr;

		if (what == &listener)
			take_connections();
		else if (what == NULL)
			exit(0);			/* standard input was closed */
		else if (!take_input(what))
			hang_up(what);
	}
	answer_due();
}

int
main(int argc, char **argv)
{
	started = now_ns();
	raise_descriptor_limit();
	listen_on(argc > 1 ? atoi(argv[1]) : 0);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	watch(listener, &listener);
	watch(STDIN_FILENO, NULL);
	for (;;)
		serve_events();
}
