/*
 * clicks.c
 *	  The customers: requests over kept-alive connections, and how long each took.
 *
 *	  clicks PORT CONNECTIONS FILE
 *
 * FILE has a request a line: method, target and, if it has one, a form.  Each is
 * sent once, as soon as one of the connections is free.  Prints one line: requests a second, p50 and
 * p99 in milliseconds, and how many answers were 200.
 *
 * One thread on epoll, so that it costs little beside what it measures.
 *
 * Copyright (c) 2026, the wacta authors
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS	1000
#define ANSWER_SIZE		65536

typedef struct Connection
{
	int			fd;
	double		began;			/* milliseconds; 0: no request is under way */
	size_t		have;
	char		answer[ANSWER_SIZE];
} Connection;

static int	poll_fd;
static char **requests;
static size_t n_requests;
static size_t next_request;
static double *took;
static size_t n_done;
static size_t n_good;

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static double
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

/* A line of the file as it goes over the wire. */
static char *
make_request(char *line)
{
	char	   *target = strchr(line, ' ');
	char	   *form = target != NULL ? strchr(target + 1, ' ') : NULL;
	char		length[100] = "";
	char	   *request;

	if (form != NULL)
		*form++ = '\0';
	if (form != NULL || strncmp(line, "POST", 4) == 0)
		snprintf(length, sizeof(length), "%sContent-Length: %zu\r\n",
				 form != NULL ? "Content-Type: application/x-www-form-urlencoded\r\n" : "", form != NULL ? strlen(form) : 0);
	if (asprintf(&request, "%s HTTP/1.1\r\nHost: localhost\r\n"
				 "User-Agent: Mozilla/5.0 (Linux; Android 14) Mobile\r\n%s\r\n%s", line, length, form != NULL ? form : "") < 0)
		die("memory");
	return request;
}

static void
read_requests(const char *path)
{
	FILE	   *file = fopen(path, "r");
	char	   *line = NULL;
	size_t		size = 0;

	if (file == NULL)
		die(path);
	while (getline(&line, &size, file) > 0)
	{
		line[strcspn(line, "\n")] = '\0';
		requests = realloc(requests, (n_requests + 1) * sizeof(char *));
		if (requests == NULL)
			die("memory");
		requests[n_requests++] = make_request(line);
	}
	free(line);
	fclose(file);
}

static void
open_connection(Connection *c, int port)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int			on = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *) &address, sizeof(address)) != 0)
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

/* A request is small: the socket takes it at once. */
static void
send_next(Connection *c)
{
	const char *request;
	size_t		len;

	c->began = 0;
	if (next_request == n_requests)
		return;
	request = requests[next_request++];
	len = strlen(request);
	c->began = now_ms();
	c->have = 0;
	if (send(c->fd, request, len, MSG_NOSIGNAL) != (ssize_t) len)
		die("send");
}

/* Is the answer whole?  Only what the servers measured here send is understood. */
static bool
is_whole(const Connection *c)
{
	const char *end = memmem(c->answer, c->have, "\r\n\r\n", 4);
	const char *chunked;
	const char *length;

	if (end == NULL)
		return false;
	chunked = strcasestr(c->answer, "\r\ntransfer-encoding: chunked\r\n");
	if (chunked != NULL && chunked < end)
		return memcmp(c->answer + c->have - 7, "\r\n0\r\n\r\n", 7) == 0;
	length = strcasestr(c->answer, "\r\ncontent-length:");
	if (length == NULL || length > end)
	{
		fprintf(stderr, "an answer without a length: %.200s\n", c->answer);
		exit(1);
	}
	return c->have >= (size_t) (end + 4 - c->answer) + strtoul(length + 17, NULL, 10);
}

static void
receive(Connection *c, int port)
{
	ssize_t		n = recv(c->fd, c->answer + c->have, ANSWER_SIZE - 1 - c->have, 0);

	if (n < 0)
		die("recv");
	if (n == 0)
	{
		if (c->began != 0)
		{
			fprintf(stderr, "a connection was closed before its answer\n");
			exit(1);
		}
		close(c->fd);
		open_connection(c, port);
		return;
	}
	c->have += n;
	c->answer[c->have] = '\0';
	if (!is_whole(c))
		return;
	took[n_done++] = now_ms() - c->began;
	n_good += strncmp(c->answer, "HTTP/1.1 200", 12) == 0;
	send_next(c);
}

static int
compare(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
	static Connection connections[MAX_CONNECTIONS];
	int			port = argc == 4 ? atoi(argv[1]) : 0;
	int			n = argc == 4 ? atoi(argv[2]) : 0;
	double		began;
	double		seconds;
	int			i;

	if (port == 0 || n < 1 || n > MAX_CONNECTIONS)
	{
		fprintf(stderr, "usage: clicks PORT CONNECTIONS FILE\n");
		return 2;
	}
	read_requests(argv[3]);
	took = calloc(n_requests + 1, sizeof(double));
	poll_fd = epoll_create1(0);
	for (i = 0; i < n; i++)
		open_connection(&connections[i], port);
	began = now_ms();
	for (i = 0; i < n; i++)
		send_next(&connections[i]);
	while (n_done < n_requests)
	{
		struct epoll_event events[64];
		int			ready = epoll_wait(poll_fd, events, 64, 60000);

		if (ready <= 0)
			die("no answer");
		while (--ready >= 0)
			receive(events[ready].data.ptr, port);
	}
	seconds = (now_ms() - began) / 1e3;
	qsort(took, n_done, sizeof(double), compare);
	printf("%.1f %.3f %.3f %zu\n", n_done / seconds, took[n_done / 2], took[n_done * 99 / 100], n_good);
	return 0;
}
