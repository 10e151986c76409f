/*
 * bend.h
 *	  Inputs bent byte by byte, the same way for the same seed.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef FUZZ_BEND_H
#define FUZZ_BEND_H

#include <stddef.h>
#include <stdint.h>

#define MAX_SIZE (256 * 1024)

typedef struct Bytes
{
	unsigned char *data;		/* room for MAX_SIZE */
	size_t		len;
} Bytes;

extern void bend_seed(uint64_t seed);
extern uint32_t random_below(uint32_t bound);
extern void read_file(const char *name, Bytes *bytes);

/* Changes one thing; pieces are what is likely to be at the edge of something. */
extern void bend(Bytes *bytes, const char *const *pieces, size_t count);

/* As a C string, behind a "# ". */
extern void print_input(const Bytes *in);

#endif							/* FUZZ_BEND_H */
