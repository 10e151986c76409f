/*
 * seal.c
 *	  Secrets at rest: pgcrypto's OpenPGP encryption under a key kept in a file.
 *
 * A dump of the database holds only ciphertext; the key (wacta.key_file) stays
 * outside of it.  The file is made with mode 0600 when something is sealed and
 * it is missing; opening never makes one, for a new key could open nothing.
 *
 * pgcrypto's functions are called through their OIDs, without an SQL statement,
 * so that no logging of nested statements can print an argument.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "seal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "compat.h"
#include "fmgr.h"
#include "guc.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "parser/parse_func.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define KEY_BYTES		32
#define KEY_HEX			(KEY_BYTES * 2)
#define SECRET_MAX		8192	/* bytes of a secret read from a file */

/*
 * The key has 256 random bits, so hashing it many times (S2K mode 3) would buy
 * nothing and cost milliseconds.
 */
#define SEAL_OPTIONS	"cipher-algo=aes256, s2k-mode=1, s2k-digest-algo=sha256"

static int
open_key_file(int flags)
{
	return OpenTransientFilePerm(wacta_key_file, flags | PG_BINARY, S_IRUSR | S_IWUSR);
}

/* Makes the file with a new key; another backend may win the race, and then its key counts. */
static void
create_key_file(void)
{
	uint8		raw[KEY_BYTES];
	char		hex[KEY_HEX + 1];
	int			fd = open_key_file(O_CREAT | O_EXCL | O_WRONLY);

	if (fd < 0 && errno == EEXIST)
		return;
	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create the file set by \"%s\": %m", "wacta.key_file")));
	if (!pg_strong_random(raw, KEY_BYTES))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random bytes")));
	hex_encode((const char *) raw, KEY_BYTES, hex);
	hex[KEY_HEX] = '\n';
	if (write(fd, hex, sizeof(hex)) != sizeof(hex) || pg_fsync(fd) != 0)
	{
		int			save_errno = errno ? errno : ENOSPC;

		unlink(wacta_key_file);
		errno = save_errno;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write the file set by \"%s\": %m", "wacta.key_file")));
	}
	CloseTransientFile(fd);
	fsync_fname(".", true);
	explicit_bzero(raw, sizeof(raw));
	explicit_bzero(hex, sizeof(hex));
	ereport(LOG,
			(errmsg("made the key file set by \"%s\"", "wacta.key_file"),
			 errhint("Back it up apart from the database: without it no sealed secret can be read.")));
}

/* Others must not read the key: group and world bits are refused, as ssh and libpq do. */
static void
check_key_file_mode(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the file set by \"%s\" is not private", "wacta.key_file"),
				 errhint("It must be a regular file of mode 0600.")));
}

/* The key as hexadecimal text, palloc'd. */
static char *
read_key_file(bool create)
{
	char	   *hex = palloc0(KEY_HEX + 1);
	int			fd = open_key_file(O_RDONLY);
	ssize_t		got;

	if (fd < 0 && errno == ENOENT && create)
	{
		create_key_file();
		fd = open_key_file(O_RDONLY);
	}
	if (fd < 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not open the file set by \"%s\": %m", "wacta.key_file"),
				 errhint("Restore the key file that the secrets were sealed with.")));
	check_key_file_mode(fd);
	got = read(fd, hex, KEY_HEX);
	CloseTransientFile(fd);
	if (got != KEY_HEX || strspn(hex, "0123456789abcdef") != KEY_HEX)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("the file set by \"%s\" does not hold a key", "wacta.key_file"),
				 errdetail("It must begin with %d lower-case hexadecimal digits.", KEY_HEX)));
	return hex;
}

/* pgcrypto may live in any schema. */
static Oid
pgcrypto_function(const char *name, int nargs, const Oid *argtypes)
{
	Oid			ext = get_extension_oid("pgcrypto", false);
	char	   *nspname = get_namespace_name(wacta_extension_schema(ext));

	return LookupFuncName(list_make2(makeString(nspname), makeString(pstrdup(name))),
						  nargs, argtypes, false);
}

bytea *
wacta_unseal(bytea *sealed)
{
	static const Oid args[] = {BYTEAOID, TEXTOID};
	char	   *key = read_key_file(false);
	Datum		plain;

	plain = OidFunctionCall2(pgcrypto_function("pgp_sym_decrypt_bytea", 2, args),
							 PointerGetDatum(sealed), CStringGetTextDatum(key));
	explicit_bzero(key, KEY_HEX);
	return DatumGetByteaP(plain);
}

PG_FUNCTION_INFO_V1(wacta_seal_sql);

/* SQL: wacta.seal(bytea) RETURNS bytea; makes the key file when it is missing */
Datum
wacta_seal_sql(PG_FUNCTION_ARGS)
{
	static const Oid args[] = {BYTEAOID, TEXTOID, TEXTOID};
	char	   *key = read_key_file(true);
	Datum		sealed;

	sealed = OidFunctionCall3(pgcrypto_function("pgp_sym_encrypt_bytea", 3, args),
							  PG_GETARG_DATUM(0), CStringGetTextDatum(key),
							  CStringGetTextDatum(SEAL_OPTIONS));
	explicit_bzero(key, KEY_HEX);
	PG_RETURN_DATUM(sealed);
}

PG_FUNCTION_INFO_V1(wacta_unseal_sql);

/* SQL: wacta.unseal(bytea) RETURNS bytea; for the owner's functions alone */
Datum
wacta_unseal_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(wacta_unseal(PG_GETARG_BYTEA_P(0)));
}

PG_FUNCTION_INFO_V1(wacta_password_hash);

/* SQL: wacta.password_hash(text) RETURNS text: pgcrypto crypt() with a new bcrypt salt */
Datum
wacta_password_hash(PG_FUNCTION_ARGS)
{
	static const Oid salt_args[] = {TEXTOID, INT4OID};
	static const Oid crypt_args[] = {TEXTOID, TEXTOID};
	Datum		salt = OidFunctionCall2(pgcrypto_function("gen_salt", 2, salt_args),
										CStringGetTextDatum("bf"), Int32GetDatum(10));

	PG_RETURN_DATUM(OidFunctionCall2(pgcrypto_function("crypt", 2, crypt_args),
									 PG_GETARG_DATUM(0), salt));
}

PG_FUNCTION_INFO_V1(wacta_password_matches);

/* SQL: wacta.password_matches(password text, hash text) RETURNS boolean, in constant time */
Datum
wacta_password_matches(PG_FUNCTION_ARGS)
{
	static const Oid args[] = {TEXTOID, TEXTOID};
	text	   *hash = PG_GETARG_TEXT_PP(1);
	text	   *got = DatumGetTextPP(OidFunctionCall2(pgcrypto_function("crypt", 2, args),
													  PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)));
	int			len = VARSIZE_ANY_EXHDR(hash);

	PG_RETURN_BOOL(len == VARSIZE_ANY_EXHDR(got) &&
				   timingsafe_bcmp(VARDATA_ANY(hash), VARDATA_ANY(got), len) == 0);
}

/*
 * The one directory that secrets may be read from is a superuser's setting, and
 * a name may not leave it.
 */
static char *
secret_path(const char *name)
{
	if (wacta_secret_dir[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"%s\" is not set", "wacta.secret_dir"),
				 errhint("Ask a superuser to set it to the directory that holds the secret's file.")));
	if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid name of a secret's file: \"%s\"", name),
				 errdetail("It is a file's name within \"%s\", without a slash or a leading period.",
						   "wacta.secret_dir")));
	return psprintf("%s/%s", wacta_secret_dir, name);
}

PG_FUNCTION_INFO_V1(wacta_read_secret_file);

/* SQL: wacta.read_secret_file(name text) RETURNS text, without its trailing line end */
Datum
wacta_read_secret_file(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char		buf[SECRET_MAX + 1];
	ssize_t		got;
	int			fd = OpenTransientFile(secret_path(name), O_RDONLY | O_NOFOLLOW | PG_BINARY);

	if (fd < 0 && errno == ELOOP)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the secret's file \"%s\" is a symbolic link", name)));
	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open the secret's file \"%s\": %m", name)));
	got = read(fd, buf, sizeof(buf));
	CloseTransientFile(fd);
	if (got <= 0 || got > SECRET_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the secret's file \"%s\" must have 1 to %d bytes", name, SECRET_MAX)));
	while (got > 0 && (buf[got - 1] == '\n' || buf[got - 1] == '\r'))
		got--;
	PG_RETURN_TEXT_P(cstring_to_text_with_len(buf, got));
}

PG_FUNCTION_INFO_V1(wacta_random_bytes);

/* SQL: wacta.random_bytes(count int) RETURNS bytea */
Datum
wacta_random_bytes(PG_FUNCTION_ARGS)
{
	int32		count = PG_GETARG_INT32(0);
	bytea	   *result;

	if (count < 1 || count > 1024)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("count must be between 1 and 1024")));
	result = palloc(VARHDRSZ + count);
	SET_VARSIZE(result, VARHDRSZ + count);
	if (!pg_strong_random(VARDATA(result), count))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random bytes")));
	PG_RETURN_BYTEA_P(result);
}
