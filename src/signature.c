/*
 * signature.c
 *	  What signatures need beside the tokens: JWTs of staff sessions, HMACs and
 *	  comparison in constant time for webhooks.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "common/base64.h"
#include "common/hmac.h"
#include "common/sha1.h"
#include "compat.h"
#include "fmgr.h"
#include "keyring.h"
#include "utils/builtins.h"

char *
wacta_base64url(const uint8 *bytes, int len)
{
	int			max = pg_b64_enc_len(len);
	char	   *buf = palloc(max + 1);
	int			n = pg_b64_encode((const char *) bytes, len, buf, max);
	int			i;

	while (n > 0 && buf[n - 1] == '=')
		n--;
	for (i = 0; i < n; i++)
		buf[i] = buf[i] == '+' ? '-' : buf[i] == '/' ? '_' : buf[i];
	buf[n] = '\0';
	return buf;
}

PG_FUNCTION_INFO_V1(wacta_session_jwt);

/*
 * SQL: wacta.session_jwt(claims text) RETURNS text: a JWT (RFC 7519) signed with
 * HS256 under the session key.  The claims are JSON made by wacta itself.
 */
Datum
wacta_session_jwt(PG_FUNCTION_ARGS)
{
	static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
	text	   *claims = PG_GETARG_TEXT_PP(0);
	uint8		mac[WACTA_MAC_LEN];
	char	   *signing_input;

	signing_input = psprintf("%s.%s",
							 wacta_base64url((const uint8 *) header, sizeof(header) - 1),
							 wacta_base64url((const uint8 *) VARDATA_ANY(claims),
											 VARSIZE_ANY_EXHDR(claims)));
	wacta_hmac_sha256(keyring_current(KEY_SESSION)->hmac, (const uint8 *) signing_input,
					  strlen(signing_input), mac);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s.%s", signing_input,
											  wacta_base64url(mac, WACTA_MAC_LEN))));
}

PG_FUNCTION_INFO_V1(wacta_equal_constant_time);

/*
 * SQL: wacta.equal_constant_time(a bytea, b bytea) RETURNS boolean.  The time
 * depends on the lengths alone; NULL is equal to nothing, itself included.
 */
Datum
wacta_equal_constant_time(PG_FUNCTION_ARGS)
{
	bytea	   *a;
	bytea	   *b;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_BOOL(false);
	a = PG_GETARG_BYTEA_PP(0);
	b = PG_GETARG_BYTEA_PP(1);
	PG_RETURN_BOOL(VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
				   timingsafe_bcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0);
}

PG_FUNCTION_INFO_V1(wacta_hmac_sql);

/* SQL: wacta.hmac_sha256(data bytea, key bytea) RETURNS bytea */
Datum
wacta_hmac_sql(PG_FUNCTION_ARGS)
{
	bytea	   *data = PG_GETARG_BYTEA_PP(0);
	bytea	   *secret = PG_GETARG_BYTEA_PP(1);
	bytea	   *result = palloc(VARHDRSZ + WACTA_MAC_LEN);
	HmacKey    *key = wacta_hmac_key((const uint8 *) VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret));

	SET_VARSIZE(result, VARHDRSZ + WACTA_MAC_LEN);
	wacta_hmac_sha256(key, (const uint8 *) VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data),
					  (uint8 *) VARDATA(result));
	PG_RETURN_BYTEA_P(result);
}

PG_FUNCTION_INFO_V1(wacta_hmac_sha1);

/*
 * SQL: wacta.hmac_sha1(data bytea, key bytea) RETURNS bytea.  Rarely called, so
 * its key is not made ready as those of hmac.c are.
 */
Datum
wacta_hmac_sha1(PG_FUNCTION_ARGS)
{
	bytea	   *data = PG_GETARG_BYTEA_PP(0);
	bytea	   *secret = PG_GETARG_BYTEA_PP(1);
	bytea	   *result = palloc(VARHDRSZ + SHA1_DIGEST_LENGTH);
	pg_hmac_ctx *ctx = pg_hmac_create(PG_SHA1);
	bool		ok;

	SET_VARSIZE(result, VARHDRSZ + SHA1_DIGEST_LENGTH);
	ok = ctx != NULL &&
		pg_hmac_init(ctx, (const uint8 *) VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret)) >= 0 &&
		pg_hmac_update(ctx, (const uint8 *) VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data)) >= 0 &&
		pg_hmac_final(ctx, (uint8 *) VARDATA(result), SHA1_DIGEST_LENGTH) >= 0;
	pg_hmac_free(ctx);
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute HMAC-SHA1")));
	PG_RETURN_BYTEA_P(result);
}
