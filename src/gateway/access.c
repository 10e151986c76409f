/*
 * access.c
 *	  The access log: one line of JSON a request, on standard output.
 *
 * Lines leave together at the end of a pass of the event loop, so that under load
 * one system call carries many of them.  Called by exchange.c and connection.c.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "access.h"

#include <stdio.h>
#include <time.h>

static struct event *flush_soon;

static void
on_flush(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	(void) arg;
	fflush(stdout);
}

void
access_start(struct event_base *base)
{
	flush_soon = event_new(base, -1, 0, on_flush, NULL);
}

static void
print_text(const char *name, const char *value)
{
	if (value != NULL)
		printf(",\"%s\":\"%s\"", name, value);
	else
		printf(",\"%s\":null", name);
}

/* Most lines have the second of the one before. */
static void
print_time(void)
{
	static time_t second;
	static char stamp[32];
	struct timespec now;
	struct tm	tm;

	clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec != second)
	{
		second = now.tv_sec;
		gmtime_r(&second, &tm);
		strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	}
	printf("{\"time\":\"%s.%03ldZ\"", stamp, now.tv_nsec / 1000000);
}

void
access_write(const AccessLine *line)
{
	print_time();
	print_text("id", line->request_id);
	print_text("peer", line->peer);
	print_text("method", line->method);
	print_text("route", line->route);
	printf(",\"status\":%d,\"bytes\":%zu,\"ms\":%.3f,\"client_gone\":%s}\n",
		   line->status, line->bytes, line->ms, line->client_gone ? "true" : "false");
	event_active(flush_soon, EV_TIMEOUT, 0);
}

void
access_stop(void)
{
	fflush(stdout);
	event_free(flush_soon);
}
