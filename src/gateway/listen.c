/*
 * listen.c
 *	  The sockets on which clients are awaited.
 *
 * Addresses from the settings, or sockets that the service manager has opened
 * before and passes on.  Called by main.c once.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "service.h"

#define BACKLOG 1024

static void
die(const char *what, const char *reason)
{
	fprintf(stderr, "wacta-gateway: %s: %s\n", what, reason);
	exit(1);
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

static void
print_inet(const struct sockaddr_storage *address, socklen_t len, const char *path)
{
	char		host[NI_MAXHOST];
	char		port[NI_MAXSERV];

	if (getnameinfo((const struct sockaddr *) address, len, host, sizeof(host), port, sizeof(port),
					NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		die("listener", "could not tell its address");
	printf("listening on http://%s%s%s:%s%s\n", address->ss_family == AF_INET6 ? "[" : "", host,
		   address->ss_family == AF_INET6 ? "]" : "", port, path);
}

/* The first line of output, from which a caller learns the port. */
static void
announce(struct evconnlistener *listener, bool for_metrics)
{
	struct sockaddr_storage address = {0};
	socklen_t	len = sizeof(address);

	if (getsockname(evconnlistener_get_fd(listener), (struct sockaddr *) &address, &len) != 0)
		die("listener", strerror(errno));
	if (address.ss_family == AF_UNIX)
		printf("listening on unix:%s\n", ((struct sockaddr_un *) &address)->sun_path);
	else
		print_inet(&address, len, for_metrics ? "/metrics" : "");
}

static void
add_listener(Server *server, struct evconnlistener *listener, bool for_metrics)
{
	announce(listener, for_metrics);
	if (!server_listen(server, listener, for_metrics))
		die("listener", "could not be added");
}

static struct evconnlistener *
listen_named(struct event_base *base, const char *where)
{
	return strncmp(where, "unix:", 5) == 0 ? listen_unix(base, where + 5) : listen_inet(base, where);
}

/* systemd listens already, and goes on when we end: nobody is turned away meanwhile. */
static struct evconnlistener *
take_over(struct event_base *base, int fd)
{
	struct evconnlistener *listener;

	evutil_make_socket_nonblocking(fd);
	evutil_make_socket_closeonexec(fd);
	listener = evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE, 0, fd);
	if (listener == NULL)
		die("socket of systemd", strerror(errno));
	return listener;
}

void
listen_all(struct event_base *base, const Options *options, Server *server)
{
	int			passed = service_sockets();
	bool		has_metrics = false;
	int			i;

	for (i = 0; i < passed; i++)
	{
		bool		for_metrics = strcmp(service_socket_name(i), "metrics") == 0;

		has_metrics |= for_metrics;
		add_listener(server, take_over(base, SERVICE_FIRST_SOCKET + i), for_metrics);
	}
	if (passed == 0)
		add_listener(server, listen_named(base, options->listen), false);
	if (options->metrics_listen[0] != '\0' && !has_metrics)
		add_listener(server, listen_named(base, options->metrics_listen), true);
}
