/*
 * peer.h
 *	  Where a request comes from, through the proxies that are trusted to tell.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_PEER_H
#define GATEWAY_PEER_H

#include <event2/keyvalq_struct.h>
#include <netinet/in.h>
#include <stdbool.h>

#include "arena.h"

/* The proxies that are trusted. */
typedef struct ProxyList ProxyList;

/*
 * Reads addresses and networks (10.0.0.0/8), commas or spaces between them;
 * NULL if that is not what it is.  To be freed as a whole.
 */
extern ProxyList *proxies_parse(const char *text);

typedef struct Peer
{
	struct in6_addr address;	/* an IPv4 address is mapped */
	const char *text;			/* the same, IPv4 in its own form */
	bool		is_local;		/* a program on this machine, no proxy of others */
	bool		is_unnamed_proxy;	/* speaks for others, but nobody has named it */
} Peer;

/*
 * The client, through the proxies.  Whoever connects is trusted with trust_any,
 * others if they are in the list.
 */
extern void peer_find(Arena *arena, const struct evkeyvalq *headers, const char *socket_peer,
					  const ProxyList *proxies, bool trust_any, Peer *peer);

/* The other end of a socket. */
extern struct in6_addr peer_of_socket(int fd);
extern const char *peer_text(Arena *arena, const struct in6_addr *address);

#endif							/* GATEWAY_PEER_H */
