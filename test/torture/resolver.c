/*
 * resolver.c
 *	  Slow and failing name lookups for fault tests, by LD_PRELOAD.
 *
 * A name below .faults.test says itself what becomes of its lookup: slow<ms>-...
 * is answered after so many milliseconds, fail-... not at all, any other at
 * once; the answer is 127.0.0.1.  Each lookup that was slow or failed is a line
 * in the file that FAULTS_LOOKUPS names.  Other names are looked up as ever.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ZONE ".faults.test"

typedef int (*Lookup) (const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* One write, so that lines of several processes do not mix. */
static void
note(const char *line)
{
	const char *path = getenv("FAULTS_LOOKUPS");
	int			fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;

	if (fd < 0 || write(fd, line, strlen(line)) < 0)
		abort();				/* a fault that is not counted */
	close(fd);
}

static void
wait_ms(long ms)
{
	struct timespec left = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&left, &left) != 0)
		continue;				/* a signal: wait for the rest */
}

static int
is_ours(const char *node)
{
	size_t		len = node ? strlen(node) : 0;

	return len > strlen(ZONE) && strcmp(node + len - strlen(ZONE), ZONE) == 0;
}

int
getaddrinfo(const char *node, const char *service,
			const struct addrinfo *hints, struct addrinfo **result)
{
	Lookup		lookup = (Lookup) dlsym(RTLD_NEXT, "getaddrinfo");

	if (!is_ours(node))
		return lookup(node, service, hints, result);
	if (strncmp(node, "fail-", 5) == 0)
	{
		note("lookup_failed\n");
		return EAI_AGAIN;
	}
	if (strncmp(node, "slow", 4) == 0)
	{
		note("lookup_slow\n");
		wait_ms(atol(node + 4));
	}
	return lookup("127.0.0.1", service, hints, result);
}
