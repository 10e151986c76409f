/*
 * keyring.h
 *	  The signing keys of this database, decrypted, in backend-local memory.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef WACTA_KEYRING_H
#define WACTA_KEYRING_H

#include "common/sha2.h"

#define WACTA_MAC_LEN	PG_SHA256_DIGEST_LENGTH

typedef enum KeyPurpose
{
	KEY_LINK,					/* signs customers' links */
	KEY_SESSION					/* signs staff sessions (JWT, HS256) */
} KeyPurpose;

/* One decrypted key.  Valid until the next keyring_*() call. */
typedef struct SigningKey
{
	int32		key_id;			/* 1 .. 65535, as it stands in a signed link */
	KeyPurpose	purpose;
	bool		retired;		/* kept only to say why a link is refused */
	int			secret_len;		/* bytes */
	uint8	   *secret;
} SigningKey;

extern void keyring_init(void);

/* All keys of the ring, retired ones included, in the order of key_id. */
extern int	keyring_keys(const SigningKey **keys);

/*
 * The newest key that is not retired.  Raises
 * ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE when there is none.
 */
extern const SigningKey *keyring_current(KeyPurpose purpose);

/* HMAC-SHA256 (RFC 2104) of data under key; raises ERRCODE_INTERNAL_ERROR when the library refuses. */
extern void wacta_hmac_sha256(const SigningKey *key, const uint8 *data, size_t len,
							  uint8 mac[WACTA_MAC_LEN]);

/* base64url (RFC 4648 section 5) without padding, palloc'd. */
extern char *wacta_base64url(const uint8 *bytes, int len);

#endif							/* WACTA_KEYRING_H */
