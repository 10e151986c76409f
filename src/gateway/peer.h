/*
 * peer.h
 *	  Where a request comes from, through the proxies that are trusted to tell.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_PEER_H
#define GATEWAY_PEER_H

#include <event2/keyvalq_struct.h>
#include <stdbool.h>

#include "arena.h"

/* The proxies that are trusted. */
typedef struct ProxyList ProxyList;

/*
 * Reads addresses and networks (10.0.0.0/8), commas or spaces between them;
 * NULL if that is not what it is.  To be freed as a whole.
 */
extern ProxyList *proxies_parse(const char *text);

/*
 * The client's IP address, an IPv4 address never as a mapped IPv6 one.  Whoever
 * connects is trusted with trust_any, others if they are in the list.
 */
extern const char *peer_address(Arena *arena, const struct evkeyvalq *headers, const char *socket_peer,
								const ProxyList *proxies, bool trust_any);

#endif							/* GATEWAY_PEER_H */
