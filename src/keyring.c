/*
 * keyring.c
 *	  Loads wacta.signing_key once a backend and keeps its keys ready.
 *
 * Verifying a link must not cost a query and a PGP decryption each time, so the
 * ring is cached, and with it the one setting that a link's verdict depends on.
 * A statement trigger on both tables sends a relcache invalidation for the
 * table; every backend drops its copy when it sees one, also when the change
 * rolls back.
 *
 * The ring is read as the owner of the keys' table, so that a role which may
 * verify a link needs no right on them.  The queries are fixed and qualified, and
 * run with SECURITY_RESTRICTED_OPERATION.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "keyring.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "compat.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "seal.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

static const char *const LOAD_KEYS =
"SELECT key_id, purpose, retired_at IS NOT NULL, sealed"
"  FROM wacta.signing_key ORDER BY key_id";

static const char *const LOAD_SEED_TTL =
"SELECT seed_link_ttl FROM wacta.config WHERE seed_link_ttl IS NOT NULL";

/* The ring, all of it in KeyringContext; the relids are what it was read from. */
static MemoryContext KeyringContext = NULL;
static SigningKey *ring = NULL;
static int	ring_size = 0;
static bool ring_valid = false;
static Interval *seed_ttl = NULL;
static Oid	keyring_relid = InvalidOid;
static Oid	config_relid = InvalidOid;

static void
keyring_invalidated(Datum arg, Oid relid)
{
	/* InvalidOid means that everything may have changed */
	if (relid == InvalidOid || relid == keyring_relid || relid == config_relid)
		ring_valid = false;
}

void
keyring_init(void)
{
	CacheRegisterRelcacheCallback(keyring_invalidated, (Datum) 0);
}

/* Those of a ring that could not be read to its end, too: keys go with their memory. */
static void
wipe_ring(void)
{
	ring = NULL;
	ring_size = 0;
	seed_ttl = NULL;
	if (KeyringContext == NULL)
		KeyringContext = AllocSetContextCreate(TopMemoryContext, "wacta key ring",
											   ALLOCSET_SMALL_SIZES);
	else
		MemoryContextReset(KeyringContext);
}

static Oid
table_relid(const char *name)
{
	Oid			nsp = get_namespace_oid("wacta", true);
	Oid			relid = OidIsValid(nsp) ? get_relname_relid(name, nsp) : InvalidOid;

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"wacta\" is not installed in this database"),
				 errhint("Run CREATE EXTENSION wacta CASCADE.")));
	return relid;
}

static Oid
relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

static KeyPurpose
purpose_of(const char *name)
{
	if (strcmp(name, "session") == 0)
		return KEY_SESSION;
	return strcmp(name, "person") == 0 ? KEY_PERSON : KEY_LINK;
}

/* Row i of the current SPI result; the key is decrypted no longer than it takes to make it ready. */
static void
read_key(uint64 i, SigningKey *key)
{
	HeapTuple	row = SPI_tuptable->vals[i];
	TupleDesc	desc = SPI_tuptable->tupdesc;
	bool		isnull;
	char	   *purpose = SPI_getvalue(row, desc, 2);
	bytea	   *sealed = DatumGetByteaPP(SPI_getbinval(row, desc, 4, &isnull));
	bytea	   *secret = wacta_unseal(sealed);
	MemoryContext caller = MemoryContextSwitchTo(KeyringContext);

	key->key_id = DatumGetInt32(SPI_getbinval(row, desc, 1, &isnull));
	key->purpose = purpose_of(purpose);
	key->retired = DatumGetBool(SPI_getbinval(row, desc, 3, &isnull));
	key->hmac = wacta_hmac_key((const uint8 *) VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret));
	MemoryContextSwitchTo(caller);
	explicit_bzero(VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret));
}

static void
load_keys(void)
{
	int			n;
	SigningKey *keys;

	if (SPI_execute(LOAD_KEYS, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read wacta.signing_key");
	keys = MemoryContextAllocZero(KeyringContext,
								  sizeof(SigningKey) * Max(SPI_processed, 1));
	for (n = 0; n < (int) SPI_processed; n++)
		read_key(n, &keys[n]);
	ring = keys;
	ring_size = n;
}

static void
load_seed_ttl(void)
{
	bool		isnull;
	Interval   *ttl;

	if (SPI_execute(LOAD_SEED_TTL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read wacta.config");
	if (SPI_processed == 0)
		return;
	ttl = MemoryContextAlloc(KeyringContext, sizeof(Interval));
	*ttl = *DatumGetIntervalP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	seed_ttl = ttl;
}

static void
load_ring(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	load_keys();
	load_seed_ttl();
	SPI_finish();
}

/*
 * Reads the ring with the newest snapshot: under an old one (REPEATABLE READ)
 * we would cache a state whose invalidation we have already seen.
 */
static void
refresh_ring(void)
{
	Oid			keys = table_relid("signing_key");
	Oid			config = table_relid("config");
	Oid			save_user;
	int			save_sec;

	wipe_ring();
	keyring_relid = keys;
	config_relid = config;
	ring_valid = true;			/* before reading: an invalidation meanwhile must stick */
	GetUserIdAndSecContext(&save_user, &save_sec);
	SetUserIdAndSecContext(relation_owner(keys),
						   save_sec | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	PushActiveSnapshot(GetLatestSnapshot());
	PG_TRY();
	{
		load_ring();
	}
	PG_CATCH();
	{
		ring_valid = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
	PopActiveSnapshot();
	SetUserIdAndSecContext(save_user, save_sec);
}

int
keyring_keys(const SigningKey **keys)
{
	if (!ring_valid)
		refresh_ring();
	*keys = ring;
	return ring_size;
}

const Interval *
keyring_seed_ttl(void)
{
	if (!ring_valid)
		refresh_ring();
	return seed_ttl;
}

const SigningKey *
keyring_current(KeyPurpose purpose)
{
	const SigningKey *keys;
	int			n = keyring_keys(&keys);

	while (--n >= 0)
		if (keys[n].purpose == purpose && !keys[n].retired)
			return &keys[n];

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("there is no signing key for %s",
					purpose == KEY_SESSION ? "staff sessions" : "links"),
			 purpose == KEY_SESSION
			 ? errhint("Set one with wacta.set_session_secret().")
			 : errhint("Add one with wacta.add_signing_key().")));
	return NULL;				/* keep the compiler quiet */
}

PG_FUNCTION_INFO_V1(wacta_keyring_changed);

/* Statement trigger on wacta.signing_key and wacta.config: makes every backend read the ring anew. */
Datum
wacta_keyring_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("keyring_changed() must be called as a trigger")));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	return PointerGetDatum(NULL);
}
