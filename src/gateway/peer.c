/*
 * peer.c
 *	  The client's address: the socket's, or what trusted proxies say of it.
 *
 * Each proxy adds the address that it saw at the end of X-Forwarded-For; what
 * stands before is the client's own claim.  So the list is read from its end, as
 * long as the one who wrote an entry is trusted.  Called by exchange.c and
 * connection.c, and by options.c for the list of proxies.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "peer.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "text.h"

#define SEPARATORS	", \t"
#define V4_BITS		96			/* of a mapped address come before the IPv4 one */

/* All addresses are IPv6 here, IPv4 ones mapped. */
typedef struct Network
{
	struct in6_addr address;
	int			bits;
} Network;

struct ProxyList
{
	int			count;
	Network		networks[];
};

static bool
read_ipv4(const char *text, struct in6_addr *address)
{
	static const unsigned char prefix[12] = {[10] = 0xff,[11] = 0xff};

	memcpy(address->s6_addr, prefix, sizeof(prefix));
	return inet_pton(AF_INET, text, address->s6_addr + sizeof(prefix)) == 1;
}

static bool
read_address(const char *text, struct in6_addr *address)
{
	return read_ipv4(text, address) || inet_pton(AF_INET6, text, address) == 1;
}

/* Cuts the word in place: a proxy may add the port, and brackets with it. */
static char *
without_port(char *word)
{
	char	   *colon = strchr(word, ':');

	if (word[0] == '[')
	{
		word++;
		word[strcspn(word, "]")] = '\0';
	}
	else if (colon != NULL && strchr(colon + 1, ':') == NULL)
		*colon = '\0';
	return word;
}

static bool
read_network(char *word, Network *network)
{
	char	   *slash = strchr(word, '/');
	char	   *end = NULL;
	long		bits;

	if (slash != NULL)
		*slash++ = '\0';
	if (!read_address(word, &network->address))
		return false;
	network->bits = 128;
	if (slash == NULL)
		return true;
	bits = strtol(slash, &end, 10);
	if (end == slash || *end != '\0' || bits < 0 || bits > 128)
		return false;
	if (strchr(word, ':') == NULL)
		bits += V4_BITS;
	network->bits = (int) bits;
	return bits <= 128;
}

ProxyList *
proxies_parse(const char *text)
{
	char	   *copy = strdup(text);
	ProxyList  *list = must_alloc(sizeof(ProxyList) + (strlen(text) / 2 + 1) * sizeof(Network));
	char	   *rest = copy;
	char	   *word;
	bool		good = copy != NULL;

	while (good && (word = strtok_r(rest, SEPARATORS, &rest)) != NULL)
		good = read_network(word, &list->networks[list->count++]);
	free(copy);
	if (good)
		return list;
	free(list);
	return NULL;
}

static bool
network_contains(const Network *network, const struct in6_addr *address)
{
	const unsigned char *a = network->address.s6_addr;
	const unsigned char *b = address->s6_addr;
	int			whole = network->bits / 8;
	int			left = network->bits % 8;

	return memcmp(a, b, (size_t) whole) == 0 &&
		(left == 0 || ((a[whole] ^ b[whole]) & (0xff << (8 - left))) == 0);
}

static bool
is_proxy(const ProxyList *list, const struct in6_addr *address)
{
	int			i;

	for (i = 0; i < list->count; i++)
	{
		if (network_contains(&list->networks[i], address))
			return true;
	}
	return false;
}

/* The other end of a Unix socket has no address, but is on this machine. */
static struct in6_addr
socket_address(Arena *arena, const char *socket_peer)
{
	const char *without_zone = arena_strndup(arena, socket_peer, strcspn(socket_peer, "%"));
	struct in6_addr address;

	if (!read_address(without_zone, &address))
		read_ipv4("127.0.0.1", &address);
	return address;
}

/* Lines of one name are one list, by HTTP's own rule. */
static char *
forwarded_for(Arena *arena, const struct evkeyvalq *headers)
{
	const struct evkeyval *header;
	char	   *list = arena_strdup(arena, "");

	TAILQ_FOREACH(header, headers, next)
	{
		if (text_equal_nocase(header->key, "X-Forwarded-For"))
			list = arena_printf(arena, "%s,%s", list, header->value);
	}
	return list;
}

/* Cuts the last word off a list, which begins with a separator; NULL when there is none. */
static char *
last_word(char *list)
{
	size_t		len = strlen(list);

	while (len > 0 && strchr(SEPARATORS, list[len - 1]) != NULL)
		list[--len] = '\0';
	if (len == 0)
		return NULL;
	while (strchr(SEPARATORS, list[len - 1]) == NULL)
		len--;
	list[len - 1] = '\0';
	return list + len;
}

struct in6_addr
peer_of_socket(int fd)
{
	struct sockaddr_storage name = {0};
	socklen_t	len = sizeof(name);
	struct in6_addr address;

	read_ipv4("127.0.0.1", &address);
	if (getpeername(fd, (struct sockaddr *) &name, &len) != 0)
		return address;
	if (name.ss_family == AF_INET6)
		return ((struct sockaddr_in6 *) &name)->sin6_addr;
	if (name.ss_family == AF_INET)
		memcpy(address.s6_addr + V4_BITS / 8, &((struct sockaddr_in *) &name)->sin_addr, sizeof(struct in_addr));
	return address;
}

const char *
peer_text(Arena *arena, const struct in6_addr *address)
{
	char		text[INET6_ADDRSTRLEN];

	if (IN6_IS_ADDR_V4MAPPED(address))
		inet_ntop(AF_INET, address->s6_addr + V4_BITS / 8, text, sizeof(text));
	else
		inet_ntop(AF_INET6, address, text, sizeof(text));
	return arena_strdup(arena, text);
}

static bool
is_loopback(const struct in6_addr *address)
{
	return IN6_IS_ADDR_LOOPBACK(address) ||
		(IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[V4_BITS / 8] == 127);
}

/* Does the request say that it was passed on? */
static bool
is_forwarded(const struct evkeyvalq *headers)
{
	static const char *const names[] = {"X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"};
	const struct evkeyval *header;
	size_t		i;

	TAILQ_FOREACH(header, headers, next)
	{
		for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		{
			if (text_equal_nocase(header->key, names[i]))
				return true;
		}
	}
	return false;
}

/* What is no address ends the list: who wrote it is then the last one known. */
void
peer_find(Arena *arena, const struct evkeyvalq *headers, const char *socket_peer,
		  const ProxyList *proxies, bool trust_any, Peer *peer)
{
	struct in6_addr told;
	bool		is_loop;
	bool		trusted;
	char	   *list;
	char	   *word;

	peer->address = socket_address(arena, socket_peer);
	is_loop = is_loopback(&peer->address);
	trusted = trust_any || is_proxy(proxies, &peer->address);
	peer->is_local = is_loop && !is_forwarded(headers);
	peer->is_unnamed_proxy = is_loop && !peer->is_local && !trusted;
	list = trusted ? forwarded_for(arena, headers) : NULL;
	while (trusted && (word = last_word(list)) != NULL && read_address(without_port(word), &told))
	{
		peer->address = told;
		trusted = is_proxy(proxies, &peer->address);
	}
	peer->text = peer_text(arena, &peer->address);
}
