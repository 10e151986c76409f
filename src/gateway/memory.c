/*
 * memory.c
 *	  How much memory clients make the gateway hold.
 *
 * What a client has sent, and what it has yet to read, lies in buffers of the
 * HTTP library and in the arenas of exchanges.  Both take their memory here, so
 * that one number covers every stage of a request, also one that is broken off.
 * What to do about it is for connection.c and refuse.c.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "memory.h"

#include <malloc.h>
#include <stdlib.h>

static size_t held;

void *
memory_alloc(size_t size)
{
	void	   *memory = malloc(size);

	held += malloc_usable_size(memory);
	return memory;
}

void *
memory_realloc(void *memory, size_t size)
{
	size_t		before = malloc_usable_size(memory);
	void	   *moved = realloc(memory, size);

	if (moved != NULL)
		held += malloc_usable_size(moved) - before;
	return moved;
}

void
memory_free(void *memory)
{
	held -= malloc_usable_size(memory);
	free(memory);
}

size_t
memory_held(void)
{
	return held;
}
