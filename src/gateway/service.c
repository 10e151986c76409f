/*
 * service.c
 *	  The gateway as a service of systemd: sockets passed in, states told.
 *
 * Both are a few environment variables and a datagram, stable and documented for
 * programs that do not link libsystemd (sd_listen_fds(3), sd_notify(3)).  This one
 * does not: the library brings liblzma and four others, which a process that
 * reads from strangers can do without.  Called by main.c and listen.c.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "service.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct event *watchdog;

/* A number that is meant for this process, else 0. */
static long
own_number(const char *name, const char *pid_name)
{
	const char *text = getenv(name);
	const char *pid = getenv(pid_name);

	if (text == NULL || (pid != NULL && strtol(pid, NULL, 10) != (long) getpid()))
		return 0;
	return strtol(text, NULL, 10);
}

int
service_sockets(void)
{
	return getenv("LISTEN_PID") != NULL ? (int) own_number("LISTEN_FDS", "LISTEN_PID") : 0;
}

/* LISTEN_FDNAMES has them all, with colons between. */
const char *
service_socket_name(int index)
{
	static char name[256];
	const char *names = getenv("LISTEN_FDNAMES");

	name[0] = '\0';
	while (names != NULL && index-- > 0)
	{
		names = strchr(names, ':');
		names = names != NULL ? names + 1 : NULL;
	}
	if (names != NULL)
		snprintf(name, sizeof(name), "%.*s", (int) strcspn(names, ":"), names);
	return name;
}

void
service_tell(const char *state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	socklen_t	len;
	int			fd;

	if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(address.sun_path))
		return;
	strcpy(address.sun_path, path);
	len = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(path));
	/* "@" stands for the zero byte of an abstract name. */
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *) &address, len) < 0)
		perror("wacta-gateway: could not tell systemd");
	close(fd);
}

void
service_tell_reloading(void)
{
	struct timespec now;
	char		state[64];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
			 (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000);
	service_tell(state);
}

/* An event loop that turns is alive. */
static void
on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	(void) arg;
	service_tell("WATCHDOG=1");
}

void
service_start(struct event_base *base)
{
	long		usec = own_number("WATCHDOG_USEC", "WATCHDOG_PID") / 2;
	struct timeval interval = {usec / 1000000, usec % 1000000};

	service_tell("READY=1");
	if (usec <= 0)
		return;
	watchdog = event_new(base, -1, EV_PERSIST, on_watchdog, NULL);
	event_add(watchdog, &interval);
}

void
service_stop(void)
{
	if (watchdog != NULL)
		event_free(watchdog);
}
