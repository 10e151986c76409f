/*
 * token.c
 *	  Signed tokens of customers' links, in their two forms.
 *
 * signed	base64url (RFC 4648 section 5, no padding) of
 *				version 1 | key id 2 | action 1 | zero 1 | lead 8 | message 8 |
 *				issued 4 | expires 4 | tag 16			(bytes, big endian)
 *			The zero byte makes 45 bytes, hence 60 characters with no spare bits:
 *			each token has exactly one spelling.
 *			tag = the first 128 bits of HMAC-SHA256(key, all before it).
 *			Its first byte is 0x01, so what it signs can never be read as the
 *			other form, which begins with a digit.
 * seed		<lead_id>:<unix time>:<hash>, hash = the first 12 hexadecimal digits of
 *			HMAC-SHA256(key, "lead_id:unix time").  It names no key, action or
 *			message: every key of the ring is tried.
 *
 * token_check() never raises an error for what a customer sent: it says a reason,
 * which the domain audits; the public sees one message for all of them.  The
 * tag is verified before anything else of the token is believed, and compared in
 * constant time.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include <ctype.h>

#include "common/base64.h"
#include "common/int.h"
#include "fmgr.h"
#include "funcapi.h"
#include "keyring.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "token.h"
#include "wacta.h"

#define TOKEN_VERSION	1
#define TAG_LEN			16
#define SIGNED_LEN		29		/* bytes before the tag */
#define TOKEN_LEN		(SIGNED_LEN + TAG_LEN)
#define TOKEN_TEXT_LEN	60		/* base64url of TOKEN_LEN bytes */
#define SEED_HASH_LEN	12
#define SEED_TEXT_MAX	(19 + 1 + 19 + 1 + SEED_HASH_LEN)
#define KEY_ID_MAX		65535

/* The actions a link may carry; the array's index is their code in a token. */
static const char *const action_names[] = {NULL, "interested", "not_interested", "brochure", "call_me"};

#define N_ACTIONS		((int) lengthof(action_names))

/* What a token says, and why it is refused: reason is NULL for a good one. */
typedef struct Token
{
	const char *reason;
	const char *form;
	int64		lead_id;
	int64		message_id;		/* 0: none */
	int			action;			/* 0: none */
	int64		issued;			/* Unix seconds */
	int64		expires;		/* Unix seconds; 0: never */
	int32		key_id;
} Token;

static int
action_code(const char *name)
{
	int			i;

	for (i = 1; i < N_ACTIONS; i++)
		if (strcmp(name, action_names[i]) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid action: \"%s\"", name),
			 errhint("Actions of a link are interested, not_interested, brochure and call_me.")));
	return 0;					/* keep the compiler quiet */
}

static int64
unix_seconds(TimestampTz t)
{
	return t / USECS_PER_SEC +
		(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
}

static TimestampTz
from_unix_seconds(int64 seconds)
{
	return (seconds - (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY) *
		USECS_PER_SEC;
}

static void
check_lead_id(int64 lead_id)
{
	if (lead_id <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("lead_id must be greater than zero")));
}

static void
put_u64(uint8 *p, uint64 v)
{
	v = pg_hton64(v);
	memcpy(p, &v, sizeof(v));
}

static void
put_u32(uint8 *p, uint32 v)
{
	v = pg_hton32(v);
	memcpy(p, &v, sizeof(v));
}

static uint64
get_u64(const uint8 *p)
{
	uint64		v;

	memcpy(&v, p, sizeof(v));
	return pg_ntoh64(v);
}

static uint32
get_u32(const uint8 *p)
{
	uint32		v;

	memcpy(&v, p, sizeof(v));
	return pg_ntoh32(v);
}

/* ---- the seed form ---- */

/* The 12 hexadecimal digits, NUL-terminated. */
static void
seed_hash(const SigningKey *key, int64 lead_id, int64 issued, char out[SEED_HASH_LEN + 1])
{
	uint8		mac[WACTA_MAC_LEN];
	char		text[48];
	int			len = snprintf(text, sizeof(text), INT64_FORMAT ":" INT64_FORMAT, lead_id, issued);

	wacta_hmac_sha256(key->hmac, (const uint8 *) text, len, mac);
	hex_encode((const char *) mac, SEED_HASH_LEN / 2, out);
	out[SEED_HASH_LEN] = '\0';
}

/*
 * Reads a decimal number without sign or leading zeros, up to max, and steps
 * over the colon behind it.
 */
static bool
seed_number(const char **p, int64 max, int64 *value)
{
	const char *start = *p;
	int64		v = 0;

	for (; isdigit((unsigned char) **p); (*p)++)
		if (pg_mul_s64_overflow(v, 10, &v) || pg_add_s64_overflow(v, **p - '0', &v))
			return false;
	if (v > max || *p == start || **p != ':' || (*start == '0' && *p - start > 1))
		return false;
	(*p)++;
	*value = v;
	return true;
}

/* A calendar's arithmetic, not one of seconds: the site may say "3 months". */
static bool
seed_has_ended(int64 issued)
{
	const Interval *ttl = keyring_seed_ttl();

	return ttl != NULL &&
		DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												TimestampTzGetDatum(from_unix_seconds(issued)),
												IntervalPGetDatum(ttl))) <= wacta_now();
}

/* Every key is tried, and none before the last ends the work: no timing tells which one fits. */
static void
check_seed(const char *text, Token *token)
{
	const SigningKey *keys;
	char		expected[SEED_HASH_LEN + 1];
	int64		lead_id;
	int64		issued;
	bool		retired = false;
	int			n,
				i;

	token->form = "seed";
	token->reason = "malformed";
	if (!seed_number(&text, PG_INT64_MAX, &lead_id) ||
		!seed_number(&text, unix_seconds(END_TIMESTAMP) - 1, &issued) ||
		lead_id == 0 || strlen(text) != SEED_HASH_LEN)
		return;

	n = keyring_keys(&keys);
	for (i = 0; i < n; i++)
	{
		if (keys[i].purpose != KEY_LINK)
			continue;
		seed_hash(&keys[i], lead_id, issued, expected);
		if (timingsafe_bcmp(expected, text, SEED_HASH_LEN) != 0)
			continue;
		if (keys[i].retired)
			retired = true;
		else
			token->key_id = keys[i].key_id;
	}
	if (token->key_id != 0)
		token->reason = seed_has_ended(issued) ? "expired" : NULL;
	else
		token->reason = retired ? "retired_key" : "tampered";
	if (token->key_id != 0 || retired)
	{
		token->lead_id = lead_id;
		token->issued = issued;
	}
}

/* ---- the signed form ---- */

static int
base64url_decode(const char *text, uint8 out[TOKEN_LEN])
{
	char		std[TOKEN_TEXT_LEN];
	int			i;

	for (i = 0; i < TOKEN_TEXT_LEN; i++)
	{
		if (text[i] == '+' || text[i] == '/' || text[i] == '=')
			return -1;
		std[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
	}
	return pg_b64_decode(std, TOKEN_TEXT_LEN, (char *) out, TOKEN_LEN);
}

static const SigningKey *
find_link_key(int32 key_id)
{
	const SigningKey *keys;
	int			n = keyring_keys(&keys);

	while (--n >= 0)
		if (keys[n].key_id == key_id && keys[n].purpose == KEY_LINK)
			return &keys[n];
	return NULL;
}

static void
read_signed(const uint8 *b, Token *token)
{
	token->action = b[3];
	token->lead_id = (int64) get_u64(b + 5);
	token->message_id = (int64) get_u64(b + 13);
	token->issued = get_u32(b + 21);
	token->expires = get_u32(b + 25);
}

static void
check_signed(const char *text, Token *token)
{
	uint8		b[TOKEN_LEN];
	uint8		mac[WACTA_MAC_LEN];
	const SigningKey *key;

	token->form = "signed";
	token->reason = "malformed";
	if (strlen(text) != TOKEN_TEXT_LEN || base64url_decode(text, b) != TOKEN_LEN ||
		b[0] != TOKEN_VERSION)
		return;
	key = find_link_key(b[1] << 8 | b[2]);
	if (key == NULL)
	{
		token->reason = "foreign";
		return;
	}
	wacta_hmac_sha256(key->hmac, b, SIGNED_LEN, mac);
	token->reason = "tampered";
	if (timingsafe_bcmp(mac, b + SIGNED_LEN, TAG_LEN) != 0)
		return;
	read_signed(b, token);
	token->key_id = key->key_id;
	token->reason = key->retired ? "retired_key" : NULL;
	if (token->reason == NULL && token->expires != 0 &&
		token->expires <= unix_seconds(wacta_now()))
		token->reason = "expired";
}

static void
check_token(text *given, Token *token)
{
	char	   *text = text_to_cstring(given);

	if (strlen(text) <= SEED_TEXT_MAX && strchr(text, ':') != NULL)
		check_seed(text, token);
	else
		check_signed(text, token);
	pfree(text);
}

/* What the function returns: worked out at its first call in a statement, for that costs more than the token. */
static TupleDesc
result_desc(FunctionCallInfo fcinfo)
{
	FmgrInfo   *function = fcinfo->flinfo;

	if (function->fn_extra == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(function->fn_mcxt);
		TupleDesc	desc;

		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		function->fn_extra = BlessTupleDesc(desc);
		MemoryContextSwitchTo(caller);
	}
	return function->fn_extra;
}

static Datum
token_datum(FunctionCallInfo fcinfo, const Token *token)
{
	Datum		v[8] = {0};
	bool		nulls[8] = {false};

	nulls[0] = token->reason == NULL;
	if (!nulls[0])
		v[0] = CStringGetTextDatum(token->reason);
	v[1] = CStringGetTextDatum(token->form);
	nulls[2] = token->lead_id == 0;
	v[2] = Int64GetDatum(token->lead_id);
	nulls[3] = token->message_id == 0;
	v[3] = Int64GetDatum(token->message_id);
	nulls[4] = token->action <= 0 || token->action >= N_ACTIONS;
	if (!nulls[4])
		v[4] = CStringGetTextDatum(action_names[token->action]);
	nulls[5] = token->issued == 0;
	v[5] = TimestampTzGetDatum(from_unix_seconds(token->issued));
	nulls[6] = token->expires == 0;
	v[6] = TimestampTzGetDatum(from_unix_seconds(token->expires));
	nulls[7] = token->key_id == 0;
	v[7] = Int32GetDatum(token->key_id);
	return HeapTupleGetDatum(heap_form_tuple(result_desc(fcinfo), v, nulls));
}

PG_FUNCTION_INFO_V1(wacta_token_check);

/*
 * SQL: wacta.token_check(token text, OUT reason text, OUT form text,
 *		OUT lead_id bigint, OUT message_id bigint, OUT action text,
 *		OUT issued_at timestamptz, OUT expires_at timestamptz, OUT key_id int)
 *
 * reason: NULL (good), malformed, foreign, tampered, retired_key, expired.  The
 * caller judges lead and action, for which this function knows no right answer.
 */
Datum
wacta_token_check(PG_FUNCTION_ARGS)
{
	Token		token = {0};

	check_token(PG_GETARG_TEXT_PP(0), &token);
	PG_RETURN_DATUM(token_datum(fcinfo, &token));
}

PG_FUNCTION_INFO_V1(wacta_verify_token);

/*
 * SQL: wacta.verify_token(token text, INOUT lead_id bigint, OUT issued_at timestamptz)
 *
 * A given lead_id must be the token's.  One error for every refusal: whoever
 * tries tokens learns nothing from them.
 */
Datum
wacta_verify_token(PG_FUNCTION_ARGS)
{
	Token		token = {0};
	Datum		v[2];
	bool		nulls[2] = {false};

	if (!PG_ARGISNULL(0))
		check_token(PG_GETARG_TEXT_PP(0), &token);
	if (PG_ARGISNULL(0) || token.reason != NULL ||
		(!PG_ARGISNULL(1) && PG_GETARG_INT64(1) != token.lead_id))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("invalid or expired token")));
	v[0] = Int64GetDatum(token.lead_id);
	v[1] = TimestampTzGetDatum(from_unix_seconds(token.issued));
	nulls[1] = token.issued == 0;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(result_desc(fcinfo), v, nulls)));
}

char *
wacta_seed_token(int64 lead_id, TimestampTz issued_at)
{
	int64		issued = unix_seconds(issued_at);
	char		hash[SEED_HASH_LEN + 1];

	check_lead_id(lead_id);
	if (TIMESTAMP_NOT_FINITE(issued_at) || issued < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("issued_at must not be before 1970")));
	seed_hash(keyring_current(KEY_LINK), lead_id, issued, hash);
	return psprintf(INT64_FORMAT ":" INT64_FORMAT ":%s", lead_id, issued, hash);
}

PG_FUNCTION_INFO_V1(wacta_mint_seed);

/* SQL: wacta.mint_token(lead_id bigint, issued_at timestamptz) RETURNS text: the seed form */
Datum
wacta_mint_seed(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(wacta_seed_token(PG_GETARG_INT64(0), PG_GETARG_TIMESTAMPTZ(1))));
}

/* A time as it stands in a signed token: 32 bits, up to the year 2106. */
static uint32
token_seconds(TimestampTz t, const char *name)
{
	int64		seconds = unix_seconds(t);

	if (TIMESTAMP_NOT_FINITE(t) || seconds <= 0 || seconds > PG_UINT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is out of range for a token", name)));
	return (uint32) seconds;
}

static char *
sign_token(const SigningKey *key, int64 lead_id, int64 message_id, const char *action,
		   TimestampTz issued, const TimestampTz *expires)
{
	uint8		b[TOKEN_LEN];
	uint8		mac[WACTA_MAC_LEN];

	check_lead_id(lead_id);
	if (key->key_id > KEY_ID_MAX)
		elog(ERROR, "signing key %d is out of range", key->key_id);
	b[0] = TOKEN_VERSION;
	b[1] = key->key_id >> 8;
	b[2] = key->key_id & 0xff;
	b[3] = action_code(action);
	b[4] = 0;
	put_u64(b + 5, lead_id);
	put_u64(b + 13, message_id);
	put_u32(b + 21, token_seconds(issued, "issued_at"));
	put_u32(b + 25, expires ? token_seconds(*expires, "expires_at") : 0);
	wacta_hmac_sha256(key->hmac, b, SIGNED_LEN, mac);
	memcpy(b + SIGNED_LEN, mac, TAG_LEN);
	return wacta_base64url(b, TOKEN_LEN);
}

char *
wacta_signed_token(int64 lead_id, int64 message_id, const char *action,
				   TimestampTz issued, const TimestampTz *expires)
{
	return sign_token(keyring_current(KEY_LINK), lead_id, message_id, action, issued, expires);
}

PG_FUNCTION_INFO_V1(wacta_mint_signed);

/*
 * SQL: wacta.mint_signed(lead_id bigint, message_id bigint, action text,
 *		issued_at timestamptz, expires_at timestamptz, key_id int) RETURNS text
 * message_id, expires_at and key_id may be NULL: none, never, the newest.
 */
Datum
wacta_mint_signed(PG_FUNCTION_ARGS)
{
	const SigningKey *key;
	TimestampTz expires = PG_ARGISNULL(4) ? 0 : PG_GETARG_TIMESTAMPTZ(4);

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
		PG_RETURN_NULL();
	key = PG_ARGISNULL(5) ? keyring_current(KEY_LINK) : find_link_key(PG_GETARG_INT32(5));
	if (key == NULL || key->retired)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("signing key %d cannot sign", PG_GETARG_INT32(5))));
	PG_RETURN_TEXT_P(cstring_to_text(sign_token(key, PG_GETARG_INT64(0),
												PG_ARGISNULL(1) ? 0 : PG_GETARG_INT64(1),
												text_to_cstring(PG_GETARG_TEXT_PP(2)),
												PG_GETARG_TIMESTAMPTZ(3),
												PG_ARGISNULL(4) ? NULL : &expires)));
}
