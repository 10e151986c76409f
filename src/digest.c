/*
 * digest.c
 *	  Digests under which a number is known again that is not kept itself.
 *
 * There are so few phone numbers that a plain hash of one is undone by trying all
 * of them.  So the digest is an HMAC, and its key is sealed like all others: who
 * has a dump of the database and not the key file learns no number from it.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "fmgr.h"
#include "keyring.h"

/* There is one such key at most; a digest under another one would be found by nobody. */
static const HmacKey *
person_key(void)
{
	const SigningKey *keys;
	int			n = keyring_keys(&keys);

	while (--n >= 0)
		if (keys[n].purpose == KEY_PERSON)
			return keys[n].hmac;
	return NULL;
}

PG_FUNCTION_INFO_V1(wacta_person_digest);

/* SQL: wacta.person_digest(value text) RETURNS bytea; NULL: there is no key yet, so no digest either. */
Datum
wacta_person_digest(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	const HmacKey *key = person_key();
	bytea	   *digest;

	if (key == NULL)
		PG_RETURN_NULL();
	digest = palloc(VARHDRSZ + WACTA_MAC_LEN);
	SET_VARSIZE(digest, VARHDRSZ + WACTA_MAC_LEN);
	wacta_hmac_sha256(key, (const uint8 *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value),
					  (uint8 *) VARDATA(digest));
	PG_RETURN_BYTEA_P(digest);
}
