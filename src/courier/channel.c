/*
 * channel.c
 *	  The courier's cache of channels: URL and headers with the access token.
 *
 * The token is decrypted once a revision of the channel, not once a message.  It
 * is overwritten as soon as the revision has been replaced and the last transfer
 * that used it is over.
 *
 * Free of PostgreSQL: see transport.c.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* explicit_bzero() */
#endif

#include "channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static Channel *cache = NULL;	/* a handful, so a list will do */

static void
destroy(Channel *channel)
{
	struct curl_slist *line;

	for (line = channel->headers; line != NULL; line = line->next)
		explicit_bzero(line->data, strlen(line->data));
	curl_slist_free_all(channel->headers);
	free(channel->url);
	free(channel);
}

Channel *
channel_hold(Channel *channel)
{
	channel->refs++;
	return channel;
}

void
channel_release(Channel *channel)
{
	if (channel != NULL && --channel->refs == 0)
		destroy(channel);
}

/* The cached channel, unless it is older than the revision asked for. */
Channel *
channel_find(int32_t id, int64_t revision)
{
	Channel    *channel;

	for (channel = cache; channel != NULL; channel = channel->next)
		if (channel->id == id)
			return channel->revision >= revision ? channel : NULL;
	return NULL;
}

static void
forget(int32_t id)
{
	Channel   **link = &cache;

	while (*link != NULL)
	{
		Channel    *channel = *link;

		if (channel->id != id)
		{
			link = &channel->next;
			continue;
		}
		*link = channel->next;
		channel_release(channel);
	}
}

/* After a change of the settings, which the refusals depend on. */
void
channel_forget_all(void)
{
	while (cache != NULL)
		forget(cache->id);
}

/* False when memory has run out. */
static bool
add_header(Channel *channel, const char *line)
{
	struct curl_slist *list;

	if (strpbrk(line, "\r\n") != NULL)
	{
		snprintf(channel->refusal, sizeof(channel->refusal),
				 "a header line of the channel has a line break");
		return true;
	}
	list = curl_slist_append(channel->headers, line);
	if (list == NULL)
		return false;
	channel->headers = list;
	return true;
}

/* Replaces what is cached of this channel; NULL when memory has run out. */
Channel *
channel_store(int32_t id, int64_t revision, const char *url,
			  char *const *headers, int n_headers, const EgressPolicy *policy)
{
	Channel    *channel = calloc(1, sizeof(Channel));
	bool		ok;
	int			i;

	forget(id);
	if (channel == NULL)
		return NULL;
	channel->id = id;
	channel->revision = revision;
	channel->refs = 1;			/* the cache's own */
	channel->url = strdup(url);
	ok = channel->url != NULL;
	if (ok)
		(void) egress_allows(policy, url, &channel->tls,
							 channel->refusal, sizeof(channel->refusal));
	for (i = 0; ok && i < n_headers; i++)
		ok = add_header(channel, headers[i]);

	/* Never wait for "100 Continue": bodies are small, and it costs a round trip. */
	if (!ok || !add_header(channel, "Expect:"))
	{
		destroy(channel);
		return NULL;
	}
	channel->next = cache;
	cache = channel;
	return channel;
}
