/*
 * connection.h
 *	  Watches clients' connections beside the HTTP library.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_CONNECTION_H
#define GATEWAY_CONNECTION_H

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdbool.h>

#include "options.h"

/* The options are looked at anew each time. */
extern void connection_start(struct event_base *base, const Options *options);
extern void connection_stop(void);

/* By how much patience is divided while there are too many clients. */
#define CROWDED		8
extern void connection_set_crowded(bool is_crowded);

/* As the library would make it, but watched. */
extern struct bufferevent *connection_new(void);

/* A request is whole: the next byte of its connection begins another one. */
extern void connection_request_came(struct evhttp_connection *http);

/*
 * Between these two whatever is written to clients is our own; at other times it
 * is the library that refuses a request which it could not read.
 */
extern void connection_reply_begins(void);
extern void connection_reply_ends(void);

#endif							/* GATEWAY_CONNECTION_H */
