/*
 * check.c
 *	  Will it work? Tried before it is needed.
 *
 * Does once, one after the other, what the first request would need, and tells
 * with each fault what to do about it.  Changes nothing.  Called by main.c.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "check.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

#define CONNECT_SECONDS "5"

static bool
fail(const char *what, const char *reason, const char *hint)
{
	fprintf(stderr, "wacta-gateway: %s: %.*s\n  %s\n", what, (int) strcspn(reason, "\n"), reason, hint);
	return false;
}

/* One value, or NULL after telling why not. */
static bool
ask(PGconn *conn, const char *sql, const char *value, const char *what, const char *hint)
{
	PGresult   *result = PQexecParams(conn, sql, value != NULL ? 1 : 0, NULL, &value, NULL, NULL, 0);
	bool		good = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;

	if (good)
		printf("%s: %s\n", what, PQgetvalue(result, 0, 0));
	else
		fail(what, PQresultErrorMessage(result), hint);
	PQclear(result);
	return good;
}

static bool
check_database(PGconn *conn, const Options *options)
{
	if (PQstatus(conn) != CONNECTION_OK)
		return fail("database", PQerrorMessage(conn),
					"Is the setting \"db\" right, and do pg_hba.conf and pg_ident.conf let this user in?");
	return ask(conn, "SELECT pg_catalog.format('%s on %s %s', pg_catalog.current_database(), current_user, pg_catalog.version())",
			   NULL, "database", "") &&
		ask(conn, "SELECT pg_catalog.set_config('role', $1, false)", options->anon_role, "role of strangers",
			"SELECT wacta.create_roles() makes the roles; and the login must be a member of it.") &&
		ask(conn, "SELECT wacta_api.health()", NULL, "health",
			"Is the extension in this database, and may the role execute wacta_api.health()?");
}

bool
check_all(const Options *options, const JwtKeys *keys)
{
	const char *const keywords[] = {"dbname", "connect_timeout", "fallback_application_name", NULL};
	const char *const values[] = {options->db, CONNECT_SECONDS, "wacta-gateway", NULL};
	PGconn	   *conn = PQconnectdbParams(keywords, values, 1);
	bool		good = check_database(conn, options);

	PQfinish(conn);
	printf("token secret: %s\n", keys != NULL ? "good" : "none, so nobody can sign in");
	return good;
}
