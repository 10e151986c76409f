/*
 * call.c
 *	  One request in the database: one pipeline, one transaction, and for a
 *	  webhook a second one.
 *
 * begin, role and request.* settings, the function, response.* settings and
 * commit leave in one write and come back in one read.  Statements that take
 * values are prepared, with the values apart.  Must not touch HTTP.  Called by
 * session.c, which moves the bytes.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "call.h"

#include <stdio.h>
#include <string.h>

#include "session.h"

#define TEXT_OID	25
#define BYTEA_OID	17

static const char *const begin_read_only = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY";
static const char *const begin_read_write = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/* The role comes first: what follows runs with its rights already. */
static const char *const setup_sql =
"SELECT pg_catalog.set_config('role', $1, true),"
" pg_catalog.set_config('request.method', $2, true),"
" pg_catalog.set_config('request.path', $3, true),"
" pg_catalog.set_config('request.headers', $4, true),"
" pg_catalog.set_config('request.cookies', $5, true),"
" pg_catalog.set_config('request.jwt.claims', $6, true)";

static const char *const response_sql =
"SELECT pg_catalog.current_setting('response.status', true),"
" pg_catalog.current_setting('response.headers', true)";

/*
 * A webhook is stored and committed first.  Then it has one try at being applied,
 * so that who sent it sees its effect; what fails here comes again in the inbox
 * worker, and the answer does not tell of it.
 */
static const char *const apply_sql = "SELECT wacta_http.apply_received()";

/* client_encoding is set with the connection's parameters. */
static const char *const session_sql =
"SELECT pg_catalog.set_config('statement_timeout', $1, false),"
" pg_catalog.set_config('lock_timeout', $2, false),"
" pg_catalog.set_config('idle_in_transaction_session_timeout', $1, false),"
" pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false)";

static void
begin_pipeline(Session *session)
{
	session->nsteps = 0;
	session->step = 0;
	session->failed = false;
	session->committed = false;
}

static bool
add_step(Session *session, Step step, int sent)
{
	if (!sent || session->nsteps == MAX_STEPS)
		return false;
	session->steps[session->nsteps++] = step;
	return true;
}

static bool
add_prepared(Session *session, Step step, const char *name, int nargs, const char *const *args)
{
	return add_step(session, step,
					PQsendQueryPrepared(session->conn, name, nargs, args, NULL, NULL, 0));
}

bool
call_prepare(Session *session, long statement_timeout, long lock_timeout)
{
	PGconn	   *conn = session->conn;
	char		statement_ms[32];
	char		lock_ms[32];
	const char *values[] = {statement_ms, lock_ms};

	snprintf(statement_ms, sizeof(statement_ms), "%ldms", statement_timeout);
	snprintf(lock_ms, sizeof(lock_ms), "%ldms", lock_timeout);
	begin_pipeline(session);
	return add_step(session, STEP_OTHER, PQsendQueryParams(conn, session_sql, 2, NULL, values, NULL, NULL, 0)) &&
		add_step(session, STEP_OTHER, PQsendPrepare(conn, "begin_ro", begin_read_only, 0, NULL)) &&
		add_step(session, STEP_OTHER, PQsendPrepare(conn, "begin_rw", begin_read_write, 0, NULL)) &&
		add_step(session, STEP_OTHER, PQsendPrepare(conn, "setup", setup_sql, 0, NULL)) &&
		add_step(session, STEP_OTHER, PQsendPrepare(conn, "response", response_sql, 0, NULL)) &&
		add_step(session, STEP_OTHER, PQsendPrepare(conn, "commit", "COMMIT", 0, NULL)) &&
		PQpipelineSync(conn);
}

bool
call_rollback(Session *session)
{
	begin_pipeline(session);
	return add_step(session, STEP_OTHER,
					PQsendQueryParams(session->conn, "ROLLBACK", 0, NULL, NULL, NULL, NULL, 0)) &&
		PQpipelineSync(session->conn);
}

/*
 * A statement is prepared at its first use in a connection, after the role was
 * taken: only the web roles may look into wacta_api.  Each run checks again
 * whether its own role may execute the function.
 */
static bool
add_prepare(Session *session, const ApiFunction *function)
{
	static const Oid text_types[MAX_ARGS] = {TEXT_OID, TEXT_OID, TEXT_OID, TEXT_OID, TEXT_OID, TEXT_OID, TEXT_OID, TEXT_OID};
	static const Oid raw_types[] = {BYTEA_OID};

	if ((session->prepared & (UINT32_C(1) << routes_function_index(function))) != 0)
		return true;
	return add_step(session, STEP_PREPARE,
					PQsendPrepare(session->conn, function->name, function->sql, function->nargs,
								  function->input == INPUT_RAW ? raw_types : text_types));
}

static bool
add_function(Session *session, const Call *call)
{
	const ApiFunction *function = call->function;
	int			result_format = function->output == OUTPUT_BYTES;
	const char *value = call->body;
	int			len = (int) call->body_len;
	int			binary = 1;

	if (function->input == INPUT_RAW)
		return add_step(session, STEP_FUNCTION,
						PQsendQueryPrepared(session->conn, function->name, 1,
											&value, &len, &binary, result_format));
	return add_step(session, STEP_FUNCTION,
					PQsendQueryPrepared(session->conn, function->name, function->nargs,
										call->args, NULL, NULL, result_format));
}

static bool
add_after(Session *session, const Call *call, const char *const *setup)
{
	if (call->function->input != INPUT_RAW)
		return true;
	return add_prepared(session, STEP_AFTER, "begin_rw", 0, NULL) &&
		add_prepared(session, STEP_AFTER, "setup", 6, setup) &&
		add_step(session, STEP_AFTER, PQsendQueryParams(session->conn, apply_sql, 0, NULL, NULL, NULL, NULL, 0)) &&
		add_prepared(session, STEP_AFTER, "commit", 0, NULL);
}

bool
call_send(Session *session, Call *call)
{
	const char *setup[] = {call->role, call->method, call->path, call->headers,
	call->cookies, call->claims};

	begin_pipeline(session);
	return add_prepared(session, STEP_OTHER, call->read_only ? "begin_ro" : "begin_rw", 0, NULL) &&
		add_prepared(session, STEP_SETUP, "setup", 6, setup) &&
		add_prepare(session, call->function) &&
		add_function(session, call) &&
		add_prepared(session, STEP_RESPONSE, "response", 0, NULL) &&
		add_prepared(session, STEP_COMMIT, "commit", 0, NULL) &&
		add_after(session, call, setup) &&
		PQpipelineSync(session->conn);
}

const char *
call_error_field(const Call *call, int field)
{
	return call->error != NULL ? PQresultErrorField(call->error, field) : NULL;
}

void
call_clear(Call *call)
{
	PQclear(call->reply);
	PQclear(call->response);
	PQclear(call->error);
	call->reply = call->response = call->error = NULL;
}

/*
 * Statements outlive DROP and CREATE EXTENSION, but not a change of what they
 * return, nor a connection pooler that mixes up its servers.  Then the
 * connection is given up, so that the next call prepares anew.
 */
static bool
is_statement_stale(const char *sqlstate)
{
	return sqlstate != NULL &&
		(strcmp(sqlstate, "0A000") == 0 || strcmp(sqlstate, "26000") == 0 ||
		 strcmp(sqlstate, "42P05") == 0);
}

/* The only ways in which set_config('role', ...) refuses a name. */
static bool
is_role_refusal(Step step, const char *sqlstate)
{
	return step == STEP_SETUP &&
		(strcmp(sqlstate, "22023") == 0 || strcmp(sqlstate, "42501") == 0);
}

/*
 * The first error decides; the server skips everything behind it.  One without
 * a code is libpq's own: the connection is broken, and its end tells the call.
 */
static void
note_error(Session *session, Step step, PGresult *result)
{
	Call	   *call = session->call;
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	bool		first = !session->failed;

	session->failed = true;
	session->worn |= is_statement_stale(sqlstate);
	if (!first || call == NULL || sqlstate == NULL || step == STEP_AFTER)
	{
		PQclear(result);
		return;
	}
	call->error = result;
	call->outcome = is_role_refusal(step, sqlstate) ? CALL_BAD_ROLE : CALL_ERROR;
}

/* Keeps the results that the reply is made of, frees the others. */
static void
note_success(Session *session, Step step, PGresult *result)
{
	Call	   *call = session->call;

	if (step == STEP_PREPARE)
		session->prepared |= UINT32_C(1) << routes_function_index(call->function);
	/* The server answers ROLLBACK to the COMMIT of a broken transaction. */
	if (step == STEP_COMMIT)
		session->committed = strcmp(PQcmdStatus(result), "COMMIT") == 0;
	if (step == STEP_FUNCTION && call->reply == NULL)
		call->reply = result;
	else if (step == STEP_RESPONSE && call->response == NULL)
		call->response = result;
	else
		PQclear(result);
}

bool
call_take_result(Session *session, PGresult *result)
{
	Step		step = session->step < session->nsteps ? session->steps[session->step] : STEP_OTHER;

	switch (PQresultStatus(result))
	{
		case PGRES_PIPELINE_SYNC:
			PQclear(result);
			return true;
		case PGRES_COMMAND_OK:
		case PGRES_TUPLES_OK:
			note_success(session, step, result);
			break;
		case PGRES_PIPELINE_ABORTED:
			PQclear(result);
			break;
		default:
			note_error(session, step, result);
			break;
	}
	session->step++;
	return false;
}
