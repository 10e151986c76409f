/*
 * hmac.c
 *	  HMAC-SHA256 (RFC 2104) with keys that are made ready once and used often.
 *
 * Both hashes of an HMAC begin with a block that depends on the key alone.  A key
 * made ready is the two states behind that block, so a MAC costs two copies
 * and the hashing of what is its own; looking the algorithm up, which a MAC by
 * pg_hmac_create() does each time, takes OpenSSL 3 longer than all of that.
 *
 * OpenSSL's objects are not palloc'd.  A key's belong to the memory context that
 * the key lives in, which frees them when it is reset: no error leaks them.  All
 * are made at first use, in the process that uses them and never before a fork.
 *
 * A PostgreSQL without OpenSSL brings its own SHA-256, which has nothing to look
 * up and no state to copy: there a key is kept as it is.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "hmac.h"

#include "compat.h"
#include "utils/memutils.h"

#ifdef WACTA_HAVE_LIBCRYPTO
#include <openssl/err.h>
#include <openssl/evp.h>
#else
#include "common/hmac.h"
#endif

static void
refused(const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg("could not compute HMAC-SHA256: %s", why ? why : _("out of memory"))));
}

#ifdef WACTA_HAVE_LIBCRYPTO

#define INNER_PAD	0x36
#define OUTER_PAD	0x5c

struct HmacKey
{
	MemoryContextCallback on_reset;
	EVP_MD_CTX *inner;			/* has taken in the key xor INNER_PAD */
	EVP_MD_CTX *outer;			/* has taken in the key xor OUTER_PAD */
};

/* OpenSSL overwrites a state before it frees it. */
static void
forget_key(void *arg)
{
	HmacKey    *key = arg;

	EVP_MD_CTX_free(key->inner);
	EVP_MD_CTX_free(key->outer);
}

/* The key as a block: a long one by its hash, a short one filled up with zeros. */
static bool
make_block(const uint8 *secret, size_t len, uint8 block[PG_SHA256_BLOCK_LENGTH])
{
	memset(block, 0, PG_SHA256_BLOCK_LENGTH);
	if (len > PG_SHA256_BLOCK_LENGTH)
		return EVP_Digest(secret, len, block, NULL, EVP_sha256(), NULL);
	memcpy(block, secret, len);
	return true;
}

static EVP_MD_CTX *
take_in(const uint8 block[PG_SHA256_BLOCK_LENGTH], uint8 pad)
{
	EVP_MD_CTX *state = EVP_MD_CTX_new();
	uint8		padded[PG_SHA256_BLOCK_LENGTH];
	bool		ok;
	int			i;

	for (i = 0; i < PG_SHA256_BLOCK_LENGTH; i++)
		padded[i] = block[i] ^ pad;
	ok = state && EVP_DigestInit_ex(state, EVP_sha256(), NULL) &&
		EVP_DigestUpdate(state, padded, sizeof(padded));
	explicit_bzero(padded, sizeof(padded));
	if (ok)
		return state;
	EVP_MD_CTX_free(state);
	return NULL;
}

HmacKey *
wacta_hmac_key(const uint8 *secret, size_t len)
{
	HmacKey    *key = palloc0(sizeof(HmacKey));
	uint8		block[PG_SHA256_BLOCK_LENGTH];

	key->on_reset.func = forget_key;
	key->on_reset.arg = key;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &key->on_reset);
	if (make_block(secret, len, block))
	{
		key->inner = take_in(block, INNER_PAD);
		key->outer = take_in(block, OUTER_PAD);
	}
	explicit_bzero(block, sizeof(block));
	if (key->inner == NULL || key->outer == NULL)
		refused(ERR_reason_error_string(ERR_get_error()));
	return key;
}

/* The hash of what a state has taken in, and data; the state stays as it is. */
static bool
finish(const EVP_MD_CTX *state, const uint8 *data, size_t len, uint8 hash[WACTA_MAC_LEN])
{
	static EVP_MD_CTX *copy = NULL;

	if (copy == NULL)
		copy = EVP_MD_CTX_new();
	return copy && EVP_MD_CTX_copy_ex(copy, state) && EVP_DigestUpdate(copy, data, len) &&
		EVP_DigestFinal_ex(copy, hash, NULL);
}

void
wacta_hmac_sha256(const HmacKey *key, const uint8 *data, size_t len, uint8 mac[WACTA_MAC_LEN])
{
	uint8		hash[WACTA_MAC_LEN];

	if (!finish(key->inner, data, len, hash) || !finish(key->outer, hash, sizeof(hash), mac))
		refused(ERR_reason_error_string(ERR_get_error()));
}

#else							/* !WACTA_HAVE_LIBCRYPTO */

struct HmacKey
{
	MemoryContextCallback on_reset;
	size_t		len;
	uint8		secret[FLEXIBLE_ARRAY_MEMBER];
};

static void
forget_key(void *arg)
{
	HmacKey    *key = arg;

	explicit_bzero(key->secret, key->len);
}

HmacKey *
wacta_hmac_key(const uint8 *secret, size_t len)
{
	HmacKey    *key = palloc0(offsetof(HmacKey, secret) + len);

	key->on_reset.func = forget_key;
	key->on_reset.arg = key;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &key->on_reset);
	key->len = len;
	memcpy(key->secret, secret, len);
	return key;
}

void
wacta_hmac_sha256(const HmacKey *key, const uint8 *data, size_t len, uint8 mac[WACTA_MAC_LEN])
{
	pg_hmac_ctx *ctx = pg_hmac_create(PG_SHA256);
	const char *why = NULL;

	if (ctx == NULL)
		refused(NULL);
	if (pg_hmac_init(ctx, key->secret, key->len) < 0 ||
		pg_hmac_update(ctx, data, len) < 0 ||
		pg_hmac_final(ctx, mac, WACTA_MAC_LEN) < 0)
		why = pg_hmac_error(ctx);
	pg_hmac_free(ctx);
	if (why != NULL)
		refused(why);
}

#endif							/* WACTA_HAVE_LIBCRYPTO */
