/*
 * channel.h
 *	  Where a channel's requests go and with which headers, kept between requests.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef COURIER_CHANNEL_H
#define COURIER_CHANNEL_H

#include <curl/curl.h>
#include <stdint.h>

#include "egress.h"

/* Malloc'd, and counted: a transfer may outlive the entry in the cache. */
typedef struct Channel
{
	int32_t		id;
	int64_t		revision;
	int			refs;
	bool		tls;
	char	   *url;
	struct curl_slist *headers; /* one of them carries the access token */
	char		refusal[192];	/* why nothing may be sent; empty: it may */
	struct Channel *next;
} Channel;

extern Channel *channel_find(int32_t id, int64_t revision);
extern Channel *channel_store(int32_t id, int64_t revision, const char *url,
							  char *const *headers, int n_headers,
							  const EgressPolicy *policy);
extern void channel_forget_all(void);
extern Channel *channel_hold(Channel *channel);
extern void channel_release(Channel *channel);

#endif							/* COURIER_CHANNEL_H */
