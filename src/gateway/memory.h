/*
 * memory.h
 *	  How much memory clients make the gateway hold.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_MEMORY_H
#define GATEWAY_MEMORY_H

#include <stddef.h>

/* malloc, realloc and free, with a count of what is out. */
extern void *memory_alloc(size_t size);
extern void *memory_realloc(void *memory, size_t size);
extern void memory_free(void *memory);

/* Bytes of requests, replies and connections that are held at this moment. */
extern size_t memory_held(void);

#endif							/* GATEWAY_MEMORY_H */
