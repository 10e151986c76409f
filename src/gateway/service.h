/*
 * service.h
 *	  The gateway as a service of systemd.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_SERVICE_H
#define GATEWAY_SERVICE_H

#include <event2/event.h>

#define SERVICE_FIRST_SOCKET 3

/* How many listening sockets were passed, and what the unit calls each. */
extern int	service_sockets(void);
extern const char *service_socket_name(int index);

/* Ready; and from now on a sign of life as often as the unit wants one. */
extern void service_start(struct event_base *base);

/* Lines of NAME=value, see sd_notify(3); nothing happens without systemd. */
extern void service_tell(const char *state);
extern void service_tell_reloading(void);
extern void service_stop(void);

#endif							/* GATEWAY_SERVICE_H */
