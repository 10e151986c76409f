/*
 * metrics.c
 *	  What Prometheus reads at /metrics, in its text format 0.0.4.
 *
 * Labels are patterns of routes and classes of status, never anything that a
 * client sent: so no token gets into a time series, and no client can make new
 * ones.  Called by exchange.c, refuse.c and connection.c.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "metrics.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define NO_ROUTE	MAX_ROUTES
#define CLASSES		6			/* 1xx to 5xx, by their digit */
#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

static const double bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

typedef struct RouteFigures
{
	uint64_t	by_class[CLASSES];
	uint64_t	by_bound[lengthof(bounds)];	/* each request in the first that fits */
	uint64_t	count;
	double		seconds;
} RouteFigures;

static RouteFigures figures[MAX_ROUTES + 1];
static uint64_t events[METRICS_EVENTS];
static int	own_descriptors;

static int
open_descriptors(void)
{
	DIR		   *dir = opendir("/proc/self/fd");
	int			count = -3;		/* ".", ".." and the directory itself */

	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

void
metrics_start(const PoolFigures *pool)
{
	own_descriptors = open_descriptors() - pool->sockets;
}

void
metrics_note(MetricsEvent event)
{
	events[event]++;
}

void
metrics_request(const Route *route, int status, double seconds)
{
	RouteFigures *row = &figures[route != NULL ? routes_index(route) : NO_ROUTE];
	size_t		i = 0;

	row->by_class[status / 100 < CLASSES ? status / 100 : 0]++;
	row->count++;
	row->seconds += seconds;
	while (i < lengthof(bounds) && seconds > bounds[i])
		i++;
	if (i < lengthof(bounds))
		row->by_bound[i]++;
}

static const char *
label_of(int row)
{
	return row == NO_ROUTE ? "none" : routes_pattern(row);
}

static void
write_head(struct evbuffer *out, const char *name, const char *type, const char *help)
{
	evbuffer_add_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
write_value(struct evbuffer *out, const char *name, const char *type, const char *help, double value)
{
	write_head(out, name, type, help);
	evbuffer_add_printf(out, "%s %.16g\n", name, value);
}

static void
write_requests(struct evbuffer *out)
{
	int			row;
	int			class;

	write_head(out, "wacta_gateway_requests_total", "counter",
			   "Requests answered, by route and class of status; none: no route, or no sound request");
	for (row = 0; row <= MAX_ROUTES; row++)
	{
		for (class = 0; class < CLASSES; class++)
		{
			if (figures[row].by_class[class] > 0)
				evbuffer_add_printf(out, "wacta_gateway_requests_total{route=\"%s\",code=\"%dxx\"} %ju\n",
									label_of(row), class, (uintmax_t) figures[row].by_class[class]);
		}
	}
}

static void
write_histogram(struct evbuffer *out, const RouteFigures *row, const char *label)
{
	uint64_t	sum = 0;
	size_t		i;

	for (i = 0; i < lengthof(bounds); i++)
	{
		sum += row->by_bound[i];
		evbuffer_add_printf(out, "wacta_gateway_request_duration_seconds_bucket{route=\"%s\",le=\"%g\"} %ju\n",
							label, bounds[i], (uintmax_t) sum);
	}
	evbuffer_add_printf(out,
						"wacta_gateway_request_duration_seconds_bucket{route=\"%s\",le=\"+Inf\"} %ju\n"
						"wacta_gateway_request_duration_seconds_sum{route=\"%s\"} %.6f\n"
						"wacta_gateway_request_duration_seconds_count{route=\"%s\"} %ju\n",
						label, (uintmax_t) row->count, label, row->seconds, label, (uintmax_t) row->count);
}

static void
write_durations(struct evbuffer *out)
{
	int			row;

	write_head(out, "wacta_gateway_request_duration_seconds", "histogram",
			   "Time from a request's last byte to its answer, by route");
	for (row = 0; row <= MAX_ROUTES; row++)
	{
		if (figures[row].count > 0)
			write_histogram(out, &figures[row], label_of(row));
	}
}

static void
write_pool(struct evbuffer *out, const PoolFigures *pool)
{
	write_value(out, "wacta_gateway_database_up", "gauge",
				"1: at least one connection to the database stands", pool->idle + pool->busy > 0);
	write_head(out, "wacta_gateway_pool_connections", "gauge", "Connections of the pool, by state");
	evbuffer_add_printf(out,
						"wacta_gateway_pool_connections{state=\"idle\"} %d\n"
						"wacta_gateway_pool_connections{state=\"busy\"} %d\n"
						"wacta_gateway_pool_connections{state=\"down\"} %d\n",
						pool->idle, pool->busy, pool->size - pool->idle - pool->busy);
	write_value(out, "wacta_gateway_pool_size", "gauge", "Connections that the pool may have", pool->size);
	write_value(out, "wacta_gateway_pool_waiting", "gauge", "Requests that wait for a connection", pool->waiting);
	write_value(out, "wacta_gateway_pool_connects_total", "counter",
				"Connections made to the database", (double) pool->connects);
	write_value(out, "wacta_gateway_pool_failures_total", "counter",
				"Connections that broke or could not be made", (double) pool->failures);
	write_value(out, "wacta_gateway_groups_total", "counter",
				"Transactions begun for customers' taps, however many are in one", (double) pool->groups);
	write_value(out, "wacta_gateway_grouped_taps_total", "counter", "Taps in them", (double) pool->grouped);
}

static void
write_events(struct evbuffer *out)
{
	write_value(out, "wacta_gateway_connections_accepted_total", "counter",
				"Connections of clients", (double) events[METRICS_ACCEPTED]);
	write_value(out, "wacta_gateway_limited_total", "counter",
				"Requests answered 429 because of their address", (double) events[METRICS_LIMITED]);
	write_head(out, "wacta_gateway_cut_off_total", "counter",
			   "Connections cut off in the middle of a request, by reason");
	evbuffer_add_printf(out,
						"wacta_gateway_cut_off_total{reason=\"slow\"} %ju\n"
						"wacta_gateway_cut_off_total{reason=\"large\"} %ju\n"
						"wacta_gateway_cut_off_total{reason=\"memory\"} %ju\n",
						(uintmax_t) events[METRICS_CUT_SLOW], (uintmax_t) events[METRICS_CUT_LARGE],
						(uintmax_t) events[METRICS_CUT_MEMORY]);
}

/* Resident memory in bytes, 0 where it cannot be told. */
static double
resident(void)
{
	FILE	   *file = fopen("/proc/self/statm", "r");
	long		pages = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%*d %ld", &pages) != 1)
		pages = 0;
	fclose(file);
	return (double) pages * (double) sysconf(_SC_PAGESIZE);
}

/* Under the names that Prometheus's own libraries use for any program. */
static void
write_process(struct evbuffer *out, int descriptors)
{
	struct rusage usage;
	struct rlimit limit = {0};

	getrusage(RUSAGE_SELF, &usage);
	getrlimit(RLIMIT_NOFILE, &limit);
	write_value(out, "process_cpu_seconds_total", "counter", "Processor time used",
				(double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
				(double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
	write_value(out, "process_resident_memory_bytes", "gauge", "Resident memory", resident());
	write_value(out, "process_open_fds", "gauge", "Open descriptors", descriptors);
	write_value(out, "process_max_fds", "gauge", "Descriptors that may be open", (double) limit.rlim_cur);
}

void
metrics_write(struct evbuffer *out, const MetricsNow *now)
{
	int			descriptors = open_descriptors();

	write_head(out, "wacta_gateway_info", "gauge", "1, with the version of the program");
	evbuffer_add_printf(out, "wacta_gateway_info{version=\"%s\"} 1\n", WACTA_VERSION);
	write_requests(out);
	write_durations(out);
	write_value(out, "wacta_gateway_requests_in_flight", "gauge", "Requests that are being answered", now->active);
	write_pool(out, &now->pool);
	write_value(out, "wacta_gateway_connections", "gauge", "Connections of clients that are open",
				descriptors - own_descriptors - now->pool.sockets);
	write_value(out, "wacta_gateway_held_bytes", "gauge",
				"Memory held for requests, replies and connections", (double) now->held);
	write_value(out, "wacta_gateway_max_held_bytes", "gauge", "The setting max-held", (double) now->max_held);
	write_value(out, "wacta_gateway_limited_clients", "gauge",
				"Addresses whose requests are refused for now", now->limited_clients);
	write_events(out);
	write_process(out, descriptors);
}
