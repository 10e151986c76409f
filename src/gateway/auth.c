/*
 * auth.c
 *	  Who is asking: token or cookie to database role.
 *
 * A bearer token that does not hold is an error.  A cookie that does not hold
 * is no cookie: the visitor is a stranger and gets the sign-in page.  A webhook's
 * caller is always a stranger, whose secret the function looks at.  Whether a
 * role may be taken is for the database to say.  Called by refuse.c.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "auth.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "request.h"
#include "text.h"

#define MAX_ROLE_NAME 63		/* PostgreSQL's NAMEDATALEN - 1 */

static void
become_anonymous(Arena *arena, const char *anon_role, Identity *identity)
{
	json_t	   *claims = json_pack("{s:s}", "role", anon_role);
	char	   *text = claims != NULL ? json_dumps(claims, JSON_COMPACT) : NULL;

	identity->role = anon_role;
	identity->claims = arena_strdup(arena, text != NULL ? text : "{}");
	identity->authenticated = false;
	free(text);
	json_decref(claims);
}

/*
 * "none" is not a role but SET ROLE's word for the login's own rights, which
 * no token may ask for.
 */
static bool
is_role_name(const json_t *role)
{
	const char *name = json_string_value(role);

	return name != NULL && name[0] != '\0' && strcmp(name, "none") != 0 &&
		strlen(name) <= MAX_ROLE_NAME;
}

/* A token without a role gives its claims, but no rights. */
static AuthVerdict
take_claims(Arena *arena, json_t *claims, const char *anon_role, Identity *identity)
{
	json_t	   *role = json_object_get(claims, "role");
	char	   *text;

	if (role != NULL && !is_role_name(role))
		return AUTH_BAD_ROLE;
	text = json_dumps(claims, JSON_COMPACT);
	identity->claims = arena_strdup(arena, text != NULL ? text : "{}");
	free(text);
	identity->role = role != NULL ? arena_strdup(arena, json_string_value(role)) : anon_role;
	identity->authenticated = strcmp(identity->role, anon_role) != 0;
	return AUTH_GOOD;
}

static AuthVerdict
use_token(Arena *arena, const JwtKeys *keys, const char *token, const char *anon_role, Identity *identity)
{
	json_t	   *claims;
	AuthVerdict verdict;

	switch (jwt_verify(keys, token, time(NULL), &claims))
	{
		case JWT_GOOD:
			verdict = take_claims(arena, claims, anon_role, identity);
			json_decref(claims);
			return verdict;
		case JWT_EXPIRED:
			return AUTH_EXPIRED;
		case JWT_EARLY:
			return AUTH_EARLY;
		case JWT_REFUSED:
			break;
	}
	return AUTH_REFUSED;
}

/* A host, cut short in place by the port that its scheme has anyway. */
static char *
without_standard_port(char *host, bool https)
{
	const char *port = https ? ":443" : ":80";
	size_t		len = strlen(host);

	if (len > strlen(port) && strcmp(host + len - strlen(port), port) == 0)
		host[len - strlen(port)] = '\0';
	return host;
}

/*
 * Browsers say where a form came from.  Origin "null" comes from nowhere of
 * ours, unless the browser says so: it hides the origin if a page wants no
 * referrer.
 */
static bool
is_cross_site(Arena *arena, const struct evkeyvalq *headers)
{
	const char *origin = request_header(headers, "Origin");
	const char *host = request_header(headers, "Host");
	const char *site = request_header(headers, "Sec-Fetch-Site");
	const char *scheme_end;
	bool		https;

	if (site != NULL && text_equal_nocase(site, "cross-site"))
		return true;
	if (origin == NULL ||
		(strcmp(origin, "null") == 0 && site != NULL && text_equal_nocase(site, "same-origin")))
		return false;
	scheme_end = strstr(origin, "://");
	if (host == NULL || scheme_end == NULL)
		return true;
	https = text_starts_nocase(origin, "https:");
	return !text_equal_nocase(without_standard_port(arena_strdup(arena, scheme_end + 3), https),
							  without_standard_port(arena_strdup(arena, host), https));
}

AuthVerdict
auth_identify(Arena *arena, const JwtKeys *keys, const char *anon_role,
			  const struct evkeyvalq *headers, unsigned route_flags, bool writes,
			  Identity *identity)
{
	const char *authorization = request_header(headers, "Authorization");
	char	   *cookie;

	become_anonymous(arena, anon_role, identity);
	if ((route_flags & ROUTE_WEBHOOK) != 0)
		return AUTH_GOOD;
	/* Nobody else may sign a visitor in or out, so here no cookie is needed. */
	if (writes && (route_flags & ROUTE_SESSION) != 0 && is_cross_site(arena, headers))
		return AUTH_CROSS_SITE;
	if (authorization != NULL && text_bearer_token(authorization) != NULL)
		return use_token(arena, keys, text_bearer_token(authorization), anon_role, identity);
	cookie = request_cookie(arena, headers, SESSION_COOKIE);
	if (cookie == NULL)
		return AUTH_GOOD;
	if (use_token(arena, keys, cookie, anon_role, identity) != AUTH_GOOD)
	{
		become_anonymous(arena, anon_role, identity);
		return AUTH_GOOD;
	}
	return writes && is_cross_site(arena, headers) ? AUTH_CROSS_SITE : AUTH_GOOD;
}
