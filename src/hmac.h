/*
 * hmac.h
 *	  HMAC-SHA256 with keys that are made ready once and used often.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef WACTA_HMAC_H
#define WACTA_HMAC_H

#include "common/sha2.h"

#define WACTA_MAC_LEN	PG_SHA256_DIGEST_LENGTH

typedef struct HmacKey HmacKey;

/*
 * A key made ready.  It lives in the current memory context, and is wiped when
 * that is reset or deleted.  The secret is not needed any longer.
 */
extern HmacKey *wacta_hmac_key(const uint8 *secret, size_t len);

/* The MAC (RFC 2104) of data under the key. */
extern void wacta_hmac_sha256(const HmacKey *key, const uint8 *data, size_t len,
							  uint8 mac[WACTA_MAC_LEN]);

/* Both raise ERRCODE_INTERNAL_ERROR when the library refuses. */

#endif							/* WACTA_HMAC_H */
