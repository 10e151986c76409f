/*
 * auth.h
 *	  Who is asking: token or cookie to database role.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_AUTH_H
#define GATEWAY_AUTH_H

#include <event2/keyvalq_struct.h>
#include <stdbool.h>

#include "arena.h"
#include "jwt.h"

#define SESSION_COOKIE "wacta_session"

typedef struct Identity
{
	const char *role;
	const char *claims;			/* request.jwt.claims */
	bool		authenticated;	/* the role came from a token */
} Identity;

typedef enum AuthVerdict
{
	AUTH_GOOD,
	AUTH_REFUSED,
	AUTH_EXPIRED,
	AUTH_EARLY,
	AUTH_BAD_ROLE,
	AUTH_CROSS_SITE				/* another site made the visitor's browser do it */
} AuthVerdict;

extern AuthVerdict auth_identify(Arena *arena, const JwtKeys *keys, const char *anon_role,
								 const struct evkeyvalq *headers, unsigned route_flags,
								 bool writes, Identity *identity);

#endif							/* GATEWAY_AUTH_H */
