/*
 * mend.h
 *	  JSON whose characters PostgreSQL cannot store, made storable.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef WACTA_MEND_H
#define WACTA_MEND_H

#include <stddef.h>

/* Room that the result of mend_json() may need for so many bytes. */
#define MENDED_SIZE(len)	(3 * (size_t) (len))

extern size_t mend_json(const unsigned char *in, size_t len, unsigned char *out);

#endif							/* WACTA_MEND_H */
