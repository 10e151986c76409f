/*
 * jwt.h
 *	  Checks signed tokens (JWT).
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_JWT_H
#define GATEWAY_JWT_H

#include <jansson.h>
#include <stddef.h>
#include <time.h>

typedef struct JwtKeys JwtKeys;

typedef enum JwtVerdict
{
	JWT_GOOD,
	JWT_REFUSED,				/* malformed, forged, wrong algorithm */
	JWT_EXPIRED,
	JWT_EARLY					/* nbf or iat lies ahead */
} JwtVerdict;

/* Reads the secret file; NULL and a reason when it cannot be used. */
extern JwtKeys *jwt_keys_load(const char *path, char *error, size_t error_size);
extern void jwt_keys_free(JwtKeys *keys);

/* On JWT_GOOD the claims are the caller's, to be released with json_decref. */
extern JwtVerdict jwt_verify(const JwtKeys *keys, const char *token, time_t now, json_t **claims);

#endif							/* GATEWAY_JWT_H */
