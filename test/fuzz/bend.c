/*
 * bend.c
 *	  Inputs bent byte by byte, the same way for the same seed.
 *
 * Called by the fuzzing programs of this directory.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "bend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;

void
bend_seed(uint64_t seed)
{
	state = seed * 2 + 1;
}

/* xorshift64* (Vigna 2016). */
uint32_t
random_below(uint32_t bound)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t) ((state * UINT64_C(0x2545F4914F6CDD1D)) >> 32) % bound;
}

void
read_file(const char *name, Bytes *bytes)
{
	FILE	   *file = fopen(name, "rb");

	if (file == NULL)
	{
		perror(name);
		exit(2);
	}
	bytes->data = malloc(MAX_SIZE);
	bytes->len = fread(bytes->data, 1, MAX_SIZE / 4, file);
	fclose(file);
}

static void
insert(Bytes *b, size_t at, const void *what, size_t len)
{
	if (b->len + len > MAX_SIZE)
		return;
	memmove(b->data + at + len, b->data + at, b->len - at);
	memcpy(b->data + at, what, len);
	b->len += len;
}

static void
cut(Bytes *b, size_t at, size_t len)
{
	if (len > b->len - at)
		len = b->len - at;
	memmove(b->data + at, b->data + at + len, b->len - at - len);
	b->len -= len;
}

void
bend(Bytes *b, const char *const *pieces, size_t count)
{
	size_t		at = random_below((uint32_t) b->len + 1);
	unsigned char byte = (unsigned char) random_below(256);
	char		digits[3000];
	const char *piece = pieces[random_below((uint32_t) count)];

	switch (random_below(8))
	{
		case 0:
		case 1:
		case 2:
			insert(b, at, piece, strlen(piece));
			break;
		case 3:
			insert(b, at, &byte, 1);
			break;
		case 4:
			if (at < b->len)
				b->data[at] = byte;
			break;
		case 5:
			cut(b, at, 1 + random_below(40));
			break;
		case 6:
			cut(b, at, b->len);
			break;
		case 7:
			memset(digits, '0' + random_below(10), sizeof(digits));
			insert(b, at, digits, random_below(sizeof(digits)));
			break;
	}
}

void
print_input(const Bytes *in)
{
	size_t		i;

	printf("# \"");
	for (i = 0; i < in->len && i < 2000; i++)
		printf(in->data[i] >= ' ' && in->data[i] < 0x7f && in->data[i] != '"' && in->data[i] != '\\' ? "%c" : "\\%03o", in->data[i]);
	printf("\"\n");
}
