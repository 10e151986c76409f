/*
 * arena.c
 *	  Memory that lives as long as one HTTP exchange.
 *
 * Blocks are chained; a request that needs more than a block's rest gets a
 * block of its own.  Called by every file that decodes or builds text.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

#define BLOCK_SIZE	4096
#define ALIGNMENT	16

typedef struct Block
{
	struct Block *next;
	size_t		size;
	size_t		used;
	_Alignas(ALIGNMENT) char data[];
} Block;

struct Arena
{
	Block	   *blocks;			/* the first is the one being filled */
};

static void *
must_have(void *memory)
{
	if (memory == NULL)
	{
		fputs("wacta-gateway: out of memory\n", stderr);
		abort();
	}
	return memory;
}

void *
must_alloc(size_t size)
{
	return memset(must_have(malloc(size)), 0, size);
}

static Block *
add_block(Arena *arena, size_t size)
{
	Block	   *block = must_have(memory_alloc(sizeof(Block) + size));

	block->size = size;
	block->used = 0;
	block->next = arena->blocks;
	arena->blocks = block;
	return block;
}

Arena *
arena_new(void)
{
	Arena	   *arena = must_alloc(sizeof(Arena));

	add_block(arena, BLOCK_SIZE);
	return arena;
}

void
arena_free(Arena *arena)
{
	while (arena->blocks != NULL)
	{
		Block	   *block = arena->blocks;

		arena->blocks = block->next;
		memory_free(block);
	}
	free(arena);
}

void *
arena_alloc(Arena *arena, size_t size)
{
	Block	   *block = arena->blocks;
	void	   *memory;

	if (size > SIZE_MAX / 2)
		abort();
	size = (size + ALIGNMENT - 1) & ~(size_t) (ALIGNMENT - 1);
	if (size > block->size - block->used)
		block = add_block(arena, size > BLOCK_SIZE ? size : BLOCK_SIZE);
	memory = block->data + block->used;
	block->used += size;
	return memset(memory, 0, size);
}

char *
arena_strndup(Arena *arena, const char *text, size_t len)
{
	char	   *copy = arena_alloc(arena, len + 1);

	if (len > 0)
		memcpy(copy, text, len);
	return copy;
}

char *
arena_strdup(Arena *arena, const char *text)
{
	return arena_strndup(arena, text, strlen(text));
}

char *
arena_printf(Arena *arena, const char *format,...)
{
	va_list		args;
	int			len;
	char	   *text;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0)
		abort();
	text = arena_alloc(arena, (size_t) len + 1);
	va_start(args, format);
	vsnprintf(text, (size_t) len + 1, format, args);
	va_end(args);
	return text;
}
