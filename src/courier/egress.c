/*
 * egress.c
 *	  May a request go to this URL?
 *
 * The URL of a channel comes from a table, so it is held against the list of
 * hosts in the server's configuration before a handle is made for it.  It is
 * taken apart by libcurl's own parser: no other reading of it could be used to
 * get past the list.
 *
 * Free of PostgreSQL: see transport.c.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "egress.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SEPARATORS	", \t\r\n\""

typedef struct UrlParts
{
	char	   *scheme;
	char	   *host;
	char	   *port;			/* the scheme's default when the URL has none */
	char	   *user;
} UrlParts;

static void
free_parts(UrlParts *parts)
{
	curl_free(parts->scheme);
	curl_free(parts->host);
	curl_free(parts->port);
	curl_free(parts->user);
}

static bool
split_url(const char *url, UrlParts *parts)
{
	CURLU	   *handle = curl_url();
	bool		ok;

	memset(parts, 0, sizeof(*parts));
	ok = handle != NULL &&
		curl_url_set(handle, CURLUPART_URL, url, 0) == CURLUE_OK &&
		curl_url_get(handle, CURLUPART_SCHEME, &parts->scheme, 0) == CURLUE_OK &&
		curl_url_get(handle, CURLUPART_HOST, &parts->host, 0) == CURLUE_OK &&
		curl_url_get(handle, CURLUPART_PORT, &parts->port, CURLU_DEFAULT_PORT) == CURLUE_OK;
	if (ok)
		(void) curl_url_get(handle, CURLUPART_USER, &parts->user, 0);
	curl_url_cleanup(handle);
	return ok;
}

/* Is text[0 .. len) the string s, letter case aside? */
static bool
same(const char *text, size_t len, const char *s)
{
	return strlen(s) == len && strncasecmp(text, s, len) == 0;
}

/* Does one entry of the list, of the given length, name this host and port? */
static bool
entry_matches(const char *entry, size_t len, const UrlParts *parts, const char *default_port)
{
	size_t		host_len = strlen(parts->host);

	if (len > host_len && entry[host_len] == ':')
		return same(entry, host_len, parts->host) &&
			same(entry + host_len + 1, len - host_len - 1, parts->port);
	return same(entry, len, parts->host) && strcmp(parts->port, default_port) == 0;
}

static bool
listed(const char *hosts, const UrlParts *parts, const char *default_port)
{
	const char *entry = hosts + strspn(hosts, SEPARATORS);

	while (*entry != '\0')
	{
		size_t		len = strcspn(entry, SEPARATORS);

		if (entry_matches(entry, len, parts, default_port))
			return true;
		entry += len;
		entry += strspn(entry, SEPARATORS);
	}
	return false;
}

/* False: why says what is wrong, without the path, which might tell something. */
bool
egress_allows(const EgressPolicy *policy, const char *url,
			  bool *tls, char *why, size_t why_size)
{
	UrlParts	parts;
	bool		ok = false;

	if (!split_url(url, &parts))
		snprintf(why, why_size, "the URL of the channel is malformed");
	else
	{
		*tls = strcasecmp(parts.scheme, "https") == 0;
		if (!*tls && !(policy->allow_http && strcasecmp(parts.scheme, "http") == 0))
			snprintf(why, why_size, "the URL of the channel must begin with https://");
		else if (parts.user != NULL)
			snprintf(why, why_size, "the URL of the channel must not have a user name");
		else if (!listed(policy->hosts, &parts, *tls ? "443" : "80"))
			snprintf(why, why_size, "host \"%.100s\" with port %s is not in wacta.allowed_hosts",
					 parts.host, parts.port);
		else
			ok = true;
	}
	free_parts(&parts);
	return ok;
}
