/*
 * jwt.c
 *	  Checks signed tokens with libcjose.
 *
 * The key, never the token, says which algorithm is right: an octet key takes
 * HS256 and an RSA key RS256, so "none", and a public key taken for a shared
 * secret, fail before a signature is looked at.  Must not log tokens or keys.
 * Called by auth.c for each request, by main.c to load the keys.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "jwt.h"

#include <cjose/cjose.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena.h"

#define MAX_KEYS		8
#define MIN_SECRET		32
#define MAX_SECRET_FILE 65536
#define LEEWAY			30		/* seconds that clocks may differ */

struct JwtKeys
{
	int			count;
	cjose_jwk_t *keys[MAX_KEYS];
};

/* Reads a whole file that others cannot read; returns its length or -1. */
static ssize_t
read_secret_file(const char *path, char *text, size_t size, char *error, size_t error_size)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	ssize_t		len = -1;

	if (fd < 0 || fstat(fd, &status) != 0)
		snprintf(error, error_size, "could not open it: %s", strerror(errno));
	else if (!S_ISREG(status.st_mode))
		snprintf(error, error_size, "it is not a regular file");
	else if ((status.st_mode & S_IRWXO) != 0)
		snprintf(error, error_size, "everybody may read or write it: its mode should be 0600 or 0640");
	else if ((len = read(fd, text, size)) < 0)
		snprintf(error, error_size, "could not read it: %s", strerror(errno));
	else if ((size_t) len == size)
	{
		snprintf(error, error_size, "it is too large");
		len = -1;
	}
	if (fd >= 0)
		close(fd);
	return len;
}

static bool
add_key(JwtKeys *keys, cjose_jwk_t *key, char *error, size_t error_size)
{
	cjose_err	err;

	if (key == NULL)
	{
		snprintf(error, error_size, "it holds a key that cannot be used");
		return false;
	}
	if (keys->count == MAX_KEYS ||
		(cjose_jwk_get_kty(key, &err) != CJOSE_JWK_KTY_OCT &&
		 cjose_jwk_get_kty(key, &err) != CJOSE_JWK_KTY_RSA))
	{
		snprintf(error, error_size, "it may hold %d keys, of type oct or RSA", MAX_KEYS);
		cjose_jwk_release(key);
		return false;
	}
	keys->keys[keys->count++] = key;
	return true;
}

static bool
is_base64url(const char *text)
{
	while (isalnum((unsigned char) *text) || *text == '-' || *text == '_')
		text++;
	return *text == '\0';
}

/* The library ends the program over a number with padding or a line feed in it. */
static bool
has_sound_numbers(const json_t *jwk)
{
	static const char *const names[] = {"k", "n", "e", "d", "p", "q", "dp", "dq", "qi", "x", "y"};
	size_t		i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		const char *number = json_string_value(json_object_get(jwk, names[i]));

		if (number != NULL && !is_base64url(number))
			return false;
	}
	return true;
}

/* A key that is shared must be long enough to resist guessing. */
static bool
add_jwk(JwtKeys *keys, json_t *jwk, char *error, size_t error_size)
{
	cjose_err	err;
	cjose_jwk_t *key = has_sound_numbers(jwk) ? cjose_jwk_import_json((cjose_header_t *) jwk, &err) : NULL;

	if (key != NULL && cjose_jwk_get_kty(key, &err) == CJOSE_JWK_KTY_OCT &&
		cjose_jwk_get_keysize(key, &err) < MIN_SECRET * 8)
	{
		cjose_jwk_release(key);
		snprintf(error, error_size, "a secret in it is shorter than %d bytes", MIN_SECRET);
		return false;
	}
	return add_key(keys, key, error, error_size);
}

static bool
add_json(JwtKeys *keys, const char *text, size_t len, char *error, size_t error_size)
{
	json_t	   *root = json_loadb(text, len, 0, NULL);
	json_t	   *set = json_object_get(root, "keys");
	json_t	   *jwk;
	size_t		i;
	bool		good = true;

	if (root == NULL)
		snprintf(error, error_size, "it begins like JSON but is none");
	else if (!json_is_array(set))
		good = add_jwk(keys, root, error, error_size);
	else
	{
		json_array_foreach(set, i, jwk)
			good = good && add_jwk(keys, jwk, error, error_size);
		if (json_array_size(set) == 0)
			snprintf(error, error_size, "its set of keys is empty");
	}
	json_decref(root);
	return good && keys->count > 0;
}

static bool
add_secret(JwtKeys *keys, const char *text, size_t len, char *error, size_t error_size)
{
	cjose_err	err;

	if (len < MIN_SECRET)
	{
		snprintf(error, error_size, "it is shorter than %d bytes", MIN_SECRET);
		return false;
	}
	return add_key(keys, cjose_jwk_create_oct_spec((const uint8_t *) text, len, &err),
				   error, error_size);
}

JwtKeys *
jwt_keys_load(const char *path, char *error, size_t error_size)
{
	JwtKeys    *keys = must_alloc(sizeof(JwtKeys));
	char	   *text = must_alloc(MAX_SECRET_FILE);
	ssize_t		len = read_secret_file(path, text, MAX_SECRET_FILE, error, error_size);
	bool		good = len >= 0;

	/* Editors end a file with a line feed, which is not part of the secret. */
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	if (good && len > 0 && text[0] == '{')
		good = add_json(keys, text, (size_t) len, error, error_size);
	else if (good)
		good = add_secret(keys, text, (size_t) len, error, error_size);
	explicit_bzero(text, MAX_SECRET_FILE);
	free(text);
	if (good)
		return keys;
	jwt_keys_free(keys);
	return NULL;
}

void
jwt_keys_free(JwtKeys *keys)
{
	if (keys == NULL)
		return;
	while (keys->count > 0)
		cjose_jwk_release(keys->keys[--keys->count]);
	free(keys);
}

static bool
key_fits(const cjose_jwk_t *key, const char *algorithm, const char *kid)
{
	cjose_err	err;
	const char *own_kid = cjose_jwk_get_kid(key, &err);
	const char *wanted = cjose_jwk_get_kty(key, &err) == CJOSE_JWK_KTY_OCT ? "HS256" : "RS256";

	if (kid != NULL && own_kid != NULL && strcmp(kid, own_kid) != 0)
		return false;
	return strcmp(algorithm, wanted) == 0;
}

static bool
signature_holds(const JwtKeys *keys, cjose_jws_t *jws)
{
	cjose_err	err;
	cjose_header_t *header = cjose_jws_get_protected(jws);
	const char *algorithm = cjose_header_get(header, CJOSE_HDR_ALG, &err);
	const char *kid = cjose_header_get(header, CJOSE_HDR_KID, &err);
	int			i;

	/* An extension that must be understood, and is not, is a refusal. */
	if (algorithm == NULL || json_object_get((json_t *) header, "crit") != NULL)
		return false;
	for (i = 0; i < keys->count; i++)
	{
		if (key_fits(keys->keys[i], algorithm, kid) && cjose_jws_verify(jws, keys->keys[i], &err))
			return true;
	}
	return false;
}

/* A claim that holds a time; false if it is there but is not a number. */
static bool
get_time(const json_t *claims, const char *name, double standard, double *value)
{
	const json_t *claim = json_object_get(claims, name);

	*value = claim != NULL ? json_number_value(claim) : standard;
	return claim == NULL || json_is_number(claim);
}

static JwtVerdict
check_times(const json_t *claims, time_t now)
{
	double		expires;
	double		not_before;
	double		issued;

	if (!get_time(claims, "exp", (double) now + 1, &expires) ||
		!get_time(claims, "nbf", 0, &not_before) ||
		!get_time(claims, "iat", 0, &issued))
		return JWT_REFUSED;
	if (expires + LEEWAY <= (double) now)
		return JWT_EXPIRED;
	if (not_before > (double) now + LEEWAY || issued > (double) now + LEEWAY)
		return JWT_EARLY;
	return JWT_GOOD;
}

/* Three parts of base64url: spares the library anything else. */
static bool
looks_like_jwt(const char *token)
{
	int			dots = 0;

	for (; *token != '\0'; token++)
	{
		if (*token == '.')
			dots++;
		else if (!isalnum((unsigned char) *token) && *token != '-' && *token != '_')
			return false;
	}
	return dots == 2;
}

JwtVerdict
jwt_verify(const JwtKeys *keys, const char *token, time_t now, json_t **claims)
{
	cjose_err	err;
	cjose_jws_t *jws;
	uint8_t    *payload = NULL;
	size_t		payload_len = 0;
	JwtVerdict	verdict = JWT_REFUSED;

	*claims = NULL;
	if (keys == NULL || !looks_like_jwt(token))
		return JWT_REFUSED;
	jws = cjose_jws_import(token, strlen(token), &err);
	if (jws == NULL)
		return JWT_REFUSED;
	if (signature_holds(keys, jws) &&
		cjose_jws_get_plaintext(jws, &payload, &payload_len, &err))
	{
		*claims = json_loadb((const char *) payload, payload_len, JSON_REJECT_DUPLICATES, NULL);
		if (json_is_object(*claims))
			verdict = check_times(*claims, now);
	}
	cjose_jws_release(jws);
	if (verdict != JWT_GOOD)
	{
		json_decref(*claims);
		*claims = NULL;
	}
	return verdict;
}
