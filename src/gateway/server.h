/*
 * server.h
 *	  HTTP in, HTTP out.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_SERVER_H
#define GATEWAY_SERVER_H

#include <event2/event.h>
#include <event2/listener.h>

#include "jwt.h"
#include "options.h"
#include "pool.h"

#define MAX_LISTENERS	8

typedef struct Server Server;

extern Server *server_start(struct event_base *base, const Options *options, JwtKeys *keys, Pool *pool);

/* Takes over the listener; false if there are too many. */
extern bool server_listen(Server *server, struct evconnlistener *listener, bool for_metrics);

/* Takes over the keys. */
extern void server_set_keys(Server *server, JwtKeys *keys);

/* Accepts no more, and ends the event loop when what has begun is done. */
extern void server_stop(Server *server);

/* Requests that have begun and not ended. */
extern int	server_active(const Server *server);
extern void server_free(Server *server);

#endif							/* GATEWAY_SERVER_H */
