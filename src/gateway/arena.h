/*
 * arena.h
 *	  Memory that lives as long as one HTTP exchange and is freed as a whole.
 *
 * Everything decoded from a request is kept here, so that no path through an
 * exchange has its own list of things to free.  Running out of memory ends the
 * program: its supervisor starts it again, and the database rolls back.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_ARENA_H
#define GATEWAY_ARENA_H

#include <stddef.h>

typedef struct Arena Arena;

extern Arena *arena_new(void);
extern void arena_free(Arena *arena);

/* Zeroed, aligned for any object. */
extern void *arena_alloc(Arena *arena, size_t size);
extern char *arena_strdup(Arena *arena, const char *text);
extern char *arena_strndup(Arena *arena, const char *text, size_t len);
extern char *arena_printf(Arena *arena, const char *format,...)
			__attribute__((format(printf, 2, 3)));

/* calloc for what outlives an exchange; never returns NULL. */
extern void *must_alloc(size_t size);

#endif							/* GATEWAY_ARENA_H */
