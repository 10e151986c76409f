/*
 * listen.h
 *	  The sockets on which clients are awaited.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_LISTEN_H
#define GATEWAY_LISTEN_H

#include <event2/event.h>

#include "options.h"
#include "server.h"

/* Opens them all, or takes over those of systemd; ends the program if it cannot. */
extern void listen_all(struct event_base *base, const Options *options, Server *server);

#endif							/* GATEWAY_LISTEN_H */
