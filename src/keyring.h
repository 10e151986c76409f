/*
 * keyring.h
 *	  The signing keys of this database, ready to sign with, in backend-local memory.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef WACTA_KEYRING_H
#define WACTA_KEYRING_H

#include "datatype/timestamp.h"
#include "hmac.h"

typedef enum KeyPurpose
{
	KEY_LINK,					/* signs customers' links */
	KEY_SESSION,				/* signs staff sessions (JWT, HS256) */
	KEY_PERSON					/* hides numbers that are kept only to be known again */
} KeyPurpose;

/* One key, ready to sign with.  Valid until the next keyring_*() call. */
typedef struct SigningKey
{
	int32		key_id;			/* 1 .. 65535, as it stands in a signed link */
	KeyPurpose	purpose;
	bool		retired;		/* kept only to say why a link is refused */
	HmacKey    *hmac;
} SigningKey;

extern void keyring_init(void);

/* All keys of the ring, retired ones included, in the order of key_id. */
extern int	keyring_keys(const SigningKey **keys);

/*
 * The newest key that is not retired.  Raises
 * ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE when there is none.
 */
extern const SigningKey *keyring_current(KeyPurpose purpose);

/* How long a link of the seed form works; NULL: until its key is retired. */
extern const Interval *keyring_seed_ttl(void);

/* base64url (RFC 4648 section 5) without padding, palloc'd. */
extern char *wacta_base64url(const uint8 *bytes, int len);

#endif							/* WACTA_KEYRING_H */
