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
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "arena.h"
#include "jwt.h"
#include "memory.h"
#include "options.h"
#include "pool.h"
#include "server.h"

#define BACKLOG 1024

typedef struct Gateway
{
	Options		options;
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

/* Every client is a descriptor. */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
	{
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
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

static struct evconnlistener *
listen_at(struct event_base *base, const struct sockaddr *address, socklen_t len, const char *name)
{
	struct evconnlistener *listener;

	listener = evconnlistener_new_bind(base, NULL, NULL,
									   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
									   BACKLOG, address, (int) len);
	if (listener == NULL)
		die(name, strerror(errno));
	return listener;
}

/* A socket file left behind by a former process is in the way. */
static struct evconnlistener *
listen_unix(struct event_base *base, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat status;

	if (strlen(path) >= sizeof(address.sun_path))
		die(path, "the path is too long for a socket");
	strcpy(address.sun_path, path);
	if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode))
		unlink(path);
	return listen_at(base, (struct sockaddr *) &address, sizeof(address), path);
}

/* "host:port" or "[v6]:port" to its two parts, in place. */
static bool
split_address(char *text, char **host, char **port)
{
	char	   *colon = strrchr(text, ':');

	if (colon == NULL || colon[1] == '\0')
		return false;
	*colon = '\0';
	*host = text;
	*port = colon + 1;
	if (text[0] == '[' && colon > text && colon[-1] == ']')
	{
		colon[-1] = '\0';
		(*host)++;
	}
	return (*host)[0] != '\0';
}

static struct evconnlistener *
listen_inet(struct event_base *base, const char *name)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,.ai_flags = AI_PASSIVE};
	struct addrinfo *found;
	struct evconnlistener *listener;
	char	   *copy = strdup(name);
	char	   *host;
	char	   *port;
	int			error;

	if (copy == NULL)
		abort();
	if (!split_address(copy, &host, &port))
		die(name, "an address must read host:port or unix:/path");
	error = getaddrinfo(host, port, &hints, &found);
	if (error != 0)
		die(name, gai_strerror(error));
	listener = listen_at(base, found->ai_addr, found->ai_addrlen, name);
	freeaddrinfo(found);
	free(copy);
	return listener;
}

/* The first line of output, from which a caller learns the port. */
static void
announce(struct evconnlistener *listener)
{
	struct sockaddr_storage address = {0};
	socklen_t	len = sizeof(address);
	char		host[NI_MAXHOST];
	char		port[NI_MAXSERV];

	if (getsockname(evconnlistener_get_fd(listener), (struct sockaddr *) &address, &len) != 0 ||
		getnameinfo((struct sockaddr *) &address, len, host, sizeof(host), port, sizeof(port),
					NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		die("listener", "could not tell its address");
	if (address.ss_family == AF_INET6)
		printf("listening on http://[%s]:%s\n", host, port);
	else
		printf("listening on http://%s:%s\n", host, port);
}

static void
open_listener(Gateway *gateway)
{
	const char *where = gateway->options.listen;
	struct evconnlistener *listener;

	if (strncmp(where, "unix:", 5) == 0)
	{
		listener = listen_unix(gateway->base, where + 5);
		printf("listening on %s\n", where);
	}
	else
	{
		listener = listen_inet(gateway->base, where);
		announce(listener);
	}
	server_listen(gateway->server, listener);
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
	if (!evtimer_pending(gateway->give_up, NULL))
		evtimer_add(gateway->give_up, &limit);
	server_stop(gateway->server);
}

static void
on_reload(evutil_socket_t fd, short what, void *arg)
{
	Gateway    *gateway = arg;
	JwtKeys    *keys = load_keys(gateway->options.jwt_secret_file, false);

	(void) fd;
	(void) what;
	if (keys == NULL)
		return;
	server_set_keys(gateway->server, keys);
	fputs("wacta-gateway: token secret read again\n", stderr);
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

int
main(int argc, char **argv)
{
	Gateway		gateway = {0};
	PoolConfig	config;
	Pool	   *pool;
	JwtKeys    *keys;
	struct event *signals[3];
	int			i;

	options_read(&gateway.options, argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	raise_descriptor_limit();
	event_set_mem_functions(memory_alloc, memory_realloc, memory_free);
	event_set_log_callback(log_libevent);
	keys = load_keys(gateway.options.jwt_secret_file, true);
	gateway.base = event_base_new();
	catch_signals(&gateway, signals);
	gateway.give_up = evtimer_new(gateway.base, on_give_up, &gateway);
	config = (PoolConfig)
	{
		.conninfo = gateway.options.db,
			.size = (int) gateway.options.pool,
			.queue = (int) gateway.options.queue,
			.queue_timeout = gateway.options.queue_timeout,
			.call_timeout = gateway.options.request_timeout,
			.statement_timeout = gateway.options.statement_timeout,
			.lock_timeout = gateway.options.lock_timeout,
	};
	pool = pool_start(gateway.base, &config);
	gateway.server = server_start(gateway.base, &gateway.options, keys, pool);
	open_listener(&gateway);
	event_base_dispatch(gateway.base);
	/* Calls that were given up on still belong to the pool: leave them be. */
	if (gateway.gave_up)
		_exit(1);
	server_free(gateway.server);
	pool_stop(pool);
	for (i = 0; i < 3; i++)
		event_free(signals[i]);
	event_free(gateway.give_up);
	event_base_free(gateway.base);
	free(gateway.options.proxies);
	return 0;
}
