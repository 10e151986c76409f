/*
 * main.c
 *	  wacta-gateway: the HTTP front door of the wacta extension.
 *
 * An ordinary program with one database login, apart from the server: whatever
 * goes wrong in parsing HTTP costs this process and no more.  One thread, one
 * event loop for clients and connections to the database.  This file starts and
 * ends it; the way of a request begins in server.c.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "access.h"
#include "arena.h"
#include "check.h"
#include "connection.h"
#include "group.h"
#include "jwt.h"
#include "listen.h"
#include "memory.h"
#include "metrics.h"
#include "options.h"
#include "pool.h"
#include "server.h"
#include "service.h"

#define SPARE_DESCRIPTORS 64	/* beside clients and the pool */
#define LOG_BUFFER	65536	/* of standard output; see access.c */

typedef struct Gateway
{
	Options		options;
	int			argc;
	char	  **argv;
	struct event_base *base;
	Server	   *server;
	struct event *give_up;
	bool		gave_up;
} Gateway;

static void
die(const char *what, const char *reason)
{
	fprintf(stderr, "wacta-gateway: %s: %s\n", what, reason);
	exit(1);
}

static void
log_libevent(int severity, const char *message)
{
	if (severity >= EVENT_LOG_ERR)
		fprintf(stderr, "wacta-gateway: libevent: %s\n", message);
}

/*
 * Every client is a descriptor.  Where there are fewer than the settings want,
 * it is clients who have to do with less.
 */
static void
raise_descriptor_limit(Options *options)
{
	long		others = 2 * options->pool + SPARE_DESCRIPTORS;
	struct rlimit limit;
	rlim_t		wanted;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	wanted = (rlim_t) (options->max_connections + others);
	limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur == wanted)
		return;
	options->max_connections = (long) limit.rlim_cur > 2 * others ? (long) limit.rlim_cur - others : others;
	fprintf(stderr, "wacta-gateway: only %ld descriptors for clients: raise the limit (LimitNOFILE)\n",
			options->max_connections);
}

static JwtKeys *
load_keys(const char *path, bool must)
{
	char		reason[256] = "";
	char	   *what;
	JwtKeys    *keys;

	if (path[0] == '\0')
		return NULL;
	keys = jwt_keys_load(path, reason, sizeof(reason));
	if (keys != NULL)
		return keys;
	if (asprintf(&what, "token secret file \"%s\"", path) < 0)
		abort();
	if (must)
		die(what, reason);
	fprintf(stderr, "wacta-gateway: %s: %s; the secret read before stays\n", what, reason);
	free(what);
	return NULL;
}

static void
on_give_up(evutil_socket_t fd, short what, void *arg)
{
	Gateway    *gateway = arg;

	(void) fd;
	(void) what;
	fprintf(stderr, "wacta-gateway: gave up on %d requests\n", server_active(gateway->server));
	gateway->gave_up = true;
	event_base_loopbreak(gateway->base);
}

static void
on_stop(evutil_socket_t fd, short what, void *arg)
{
	Gateway    *gateway = arg;
	struct timeval limit = {gateway->options.stop_timeout / 1000, (gateway->options.stop_timeout % 1000) * 1000};

	(void) fd;
	(void) what;
	service_tell("STOPPING=1");
	if (!evtimer_pending(gateway->give_up, NULL))
		evtimer_add(gateway->give_up, &limit);
	server_stop(gateway->server);
}

static void
on_reload(evutil_socket_t fd, short what, void *arg)
{
	Gateway    *gateway = arg;
	JwtKeys    *keys;

	(void) fd;
	(void) what;
	service_tell_reloading();
	options_reload(&gateway->options, gateway->argc, gateway->argv);
	keys = load_keys(gateway->options.jwt_secret_file, false);
	if (keys != NULL)
		server_set_keys(gateway->server, keys);
	fprintf(stderr, "wacta-gateway: settings%s read again\n", keys != NULL ? " and token secret" : "");
	service_tell("READY=1");
}

static void
catch_signals(Gateway *gateway, struct event **events)
{
	signal(SIGPIPE, SIG_IGN);
	events[0] = evsignal_new(gateway->base, SIGTERM, on_stop, gateway);
	events[1] = evsignal_new(gateway->base, SIGINT, on_stop, gateway);
	events[2] = evsignal_new(gateway->base, SIGHUP, on_reload, gateway);
	event_add(events[0], NULL);
	event_add(events[1], NULL);
	event_add(events[2], NULL);
}

static PoolConfig
pool_config(const Options *options)
{
	return (PoolConfig)
	{
		.conninfo = options->db,
			.size = (int) options->pool,
			.queue = (int) options->queue,
			.group = options->group < MAX_GROUP ? (int) options->group : MAX_GROUP,
			.queue_timeout = options->queue_timeout,
			.call_timeout = options->request_timeout,
			.statement_timeout = options->statement_timeout,
			.lock_timeout = options->lock_timeout,
	};
}

/* Until SIGTERM. */
static void
run(Gateway *gateway, JwtKeys *keys)
{
	PoolConfig	config = pool_config(&gateway->options);
	PoolFigures figures;
	struct event *signals[3];
	Pool	   *pool;
	int			i;

	gateway->base = event_base_new();
	catch_signals(gateway, signals);
	gateway->give_up = evtimer_new(gateway->base, on_give_up, gateway);
	access_start(gateway->base);
	connection_start(gateway->base, &gateway->options);
	pool = pool_start(gateway->base, &config);
	gateway->server = server_start(gateway->base, &gateway->options, keys, pool);
	listen_all(gateway->base, &gateway->options, gateway->server);
	fflush(stdout);
	figures = pool_figures(pool);
	metrics_start(&figures);
	service_start(gateway->base);
	event_base_dispatch(gateway->base);
	access_stop();
	/* Calls that were given up on still belong to the pool: leave them be. */
	if (gateway->gave_up)
		_exit(1);
	server_free(gateway->server);
	connection_stop();
	pool_stop(pool);
	service_stop();
	for (i = 0; i < 3; i++)
		event_free(signals[i]);
	event_free(gateway->give_up);
	event_base_free(gateway->base);
}

int
main(int argc, char **argv)
{
	Gateway		gateway = {.argc = argc,.argv = argv};
	JwtKeys    *keys;
	bool		good = true;

	options_read(&gateway.options, argc, argv);
	setvbuf(stdout, NULL, _IOFBF, LOG_BUFFER);
	raise_descriptor_limit(&gateway.options);
	event_set_mem_functions(memory_alloc, memory_realloc, memory_free);
	event_set_log_callback(log_libevent);
	keys = load_keys(gateway.options.jwt_secret_file, true);
	if (gateway.options.check)
	{
		good = check_all(&gateway.options, keys);
		jwt_keys_free(keys);
	}
	else
		run(&gateway, keys);
	free(gateway.options.proxies);
	return good ? 0 : 1;
}
