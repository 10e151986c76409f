/*
 * secrecy.c
 *	  Keeps statements that carry a secret out of the log and pg_stat_activity.
 *
 * A site may log every statement and every parameter.  The functions listed
 * below take a secret as an argument, and the front doors pass request headers
 * (cookies, keys) as one; whatever the log would say of such a statement is
 * replaced.  This is the net below the advice of the documentation, which is to
 * put secrets into files (wacta.secret_dir).
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "fmgr.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/elog.h"
#include "utils/memutils.h"
#include "wacta.h"

#define HIDDEN	"<hidden by wacta: this statement carries a secret>"

/* A statement that has one of these in its text is not shown. */
static const char *const secret_bearers[] = {
	"add_signing_key", "set_session_secret", "set_credential", "add_staff",
	"set_staff_password", "change_password", "password_", "wacta_api.login", "wacta_api.track",
	"wacta_http.track_many", "examine_link",
	"wacta_api.webhook", "record_click", "verify_token", "ingest_webhook", "receive_webhook",
	"token_check", "examine_token", "mint_signed", "request.headers", "request.cookies", "wacta.seal"
};

static emit_log_hook_type prev_emit_log_hook = NULL;

static bool
carries_secret(const char *statement)
{
	int			i;

	for (i = 0; i < lengthof(secret_bearers); i++)
		if (strcasestr(statement, secret_bearers[i]) != NULL)
			return true;
	return false;
}

static void
replace(ErrorData *edata, char **field)
{
	if (*field != NULL)
		*field = MemoryContextStrdup(edata->assoc_context, HIDDEN);
}

/*
 * What wacta itself says is for the operator, and quotes nothing: of a secret's
 * file, or by RAISE that a webhook has stopped a sender.
 */
static bool
is_ours(const ErrorData *edata)
{
	return edata->filename != NULL &&
		(strcmp(edata->filename, "seal.c") == 0 || strcmp(edata->filename, "pl_exec.c") == 0);
}

/*
 * LOG entries are the server's own words on the statement (log_statement,
 * log_duration): their message and detail quote it.  An error's message is kept,
 * for wacta's own never quote a secret; its statement and parameters are not.
 */
static void
hide_secrets(ErrorData *edata)
{
	if (debug_query_string != NULL && carries_secret(debug_query_string))
	{
		edata->hide_stmt = true;
		if (edata->elevel <= LOG && !is_ours(edata))
		{
			replace(edata, &edata->message);
			replace(edata, &edata->detail);
		}
		if (edata->context != NULL && strstr(edata->context, "with parameters") != NULL)
			replace(edata, &edata->context);
	}
	if (prev_emit_log_hook)
		prev_emit_log_hook(edata);
}

void
wacta_secrecy_init(void)
{
	prev_emit_log_hook = emit_log_hook;
	emit_log_hook = hide_secrets;
}

PG_FUNCTION_INFO_V1(wacta_hide_statement);

/*
 * SQL: wacta.hide_statement() RETURNS void: replaces what pg_stat_activity shows
 * of the running statement.  Functions that take a secret call it first.
 */
Datum
wacta_hide_statement(PG_FUNCTION_ARGS)
{
	pgstat_report_activity(STATE_RUNNING, HIDDEN);
	PG_RETURN_VOID();
}
