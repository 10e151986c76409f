/*
 * run_as.c
 *	  SQL that is somebody else's: a hook, a CRM's own table.
 *
 * wacta's functions run with the rights of the extension's owner, often a
 * superuser.  What they do on behalf of others must not: it is done here, with
 * the rights of those others and with nothing that they change in the session
 * left behind.  As in the server's own maintenance commands, a setting that the
 * other's code makes (search_path above all) is undone before our code goes on,
 * and the other can leave nothing for later: a deferred trigger, a cursor WITH
 * HOLD, a temporary table, a prepared statement would be run, or met with, by
 * whoever has the session when that other is gone.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(wacta_query_as);
PG_FUNCTION_INFO_V1(wacta_texts_of);
PG_FUNCTION_INFO_V1(wacta_call_with_caller);

/* Between these two the session is the other role's. */
typedef struct
{
	Oid			user;
	int			context;
	int			settings;
} Identity;

static Identity
become(Oid role, int restriction)
{
	Identity	was;

	GetUserIdAndSecContext(&was.user, &was.context);
	SetUserIdAndSecContext(role, was.context | SECURITY_LOCAL_USERID_CHANGE | restriction);
	was.settings = NewGUCNestLevel();
	return was;
}

/* After an error the abort of the (sub)transaction does the same. */
static void
become_again(Identity was)
{
	AtEOXact_GUC(false, was.settings);
	SetUserIdAndSecContext(was.user, was.context);
}

/*
 * A key is the same text in every session: one writes it down, and another one
 * looks for it.  For the caller's level of settings, which is undone.
 */
static void
fix_output_settings(void)
{
	static const char *const settings[][2] = {
		{"datestyle", "ISO"}, {"timezone", "UTC"}, {"intervalstyle", "postgres"},
		{"bytea_output", "hex"}, {"extra_float_digits", "1"}
	};

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

static Datum
array_of_texts(char **texts, int n)
{
	Datum	   *values = palloc(n * sizeof(Datum));
	bool	   *nulls = palloc(n * sizeof(bool));
	int			dims[1] = {n};
	int			from[1] = {1};

	for (int i = 0; i < n; i++)
	{
		nulls[i] = texts[i] == NULL;
		values[i] = texts[i] ? CStringGetTextDatum(texts[i]) : (Datum) 0;
	}
	return PointerGetDatum(construct_md_array(values, nulls, 1, dims, from,
											  TEXTOID, -1, false, TYPALIGN_INT));
}

/* A row of the result as the texts that the types' output functions give. */
static Datum
row_as_texts(HeapTuple row, TupleDesc desc)
{
	char	  **texts = palloc(desc->natts * sizeof(char *));

	for (int i = 0; i < desc->natts; i++)
		texts[i] = SPI_getvalue(row, desc, i + 1);
	return array_of_texts(texts, desc->natts);
}

/*
 * texts_of(row record, columns text[]): through the types' output functions,
 * never through a cast, which could be its owner's code.  A column that is not
 * there has no text: a key of a table whose owner has renamed it must not stop
 * who writes to the table.
 */
Datum
wacta_texts_of(PG_FUNCTION_ARGS)
{
	HeapTupleHeader header = PG_GETARG_HEAPTUPLEHEADER(0);
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));
	HeapTupleData row = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};
	int			level = NewGUCNestLevel();
	Datum	   *names;
	char	  **texts;
	int			n;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &names, NULL, &n);
	texts = palloc(n * sizeof(char *));
	fix_output_settings();
	for (int i = 0; i < n; i++)
	{
		int			column = SPI_fnumber(desc, TextDatumGetCString(names[i]));

		texts[i] = column > 0 ? SPI_getvalue(&row, desc, column) : NULL;
	}
	AtEOXact_GUC(true, level);
	ReleaseTupleDesc(desc);
	PG_RETURN_DATUM(array_of_texts(texts, n));
}

static void
execute(const char *query, ArrayType *arguments, ReturnSetInfo *result)
{
	Datum	   *values;
	bool	   *nulls;
	int			n;
	Oid			types[FUNC_MAX_ARGS];
	char		null_flags[FUNC_MAX_ARGS];

	deconstruct_array(arguments, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	if (n > FUNC_MAX_ARGS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many arguments")));
	for (int i = 0; i < n; i++)
	{
		types[i] = TEXTOID;
		null_flags[i] = nulls[i] ? 'n' : ' ';
	}
	SPI_execute_with_args(query, n, types, values, null_flags, false, 0);
	fix_output_settings();
	for (uint64 i = 0; SPI_tuptable && i < SPI_processed; i++)
	{
		Datum		row = row_as_texts(SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		bool		is_null = false;

		tuplestore_putvalues(result->setResult, result->setDesc, &row, &is_null);
	}
}

/*
 * query_as(role oid, query text, arguments text[], path text): the rows of a
 * statement that runs with a role's rights, each as an array of texts.
 */
Datum
wacta_query_as(PG_FUNCTION_ARGS)
{
	Oid			role = PG_GETARG_OID(0);
	char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(1));
	ArrayType  *arguments = PG_GETARG_ARRAYTYPE_P(2);
	char	   *path = text_to_cstring(PG_GETARG_TEXT_PP(3));
	Identity	was;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	SPI_connect();
	was = become(role, SECURITY_RESTRICTED_OPERATION);
	if (path[0] != '\0')
		(void) set_config_option("search_path", path, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	execute(query, arguments, (ReturnSetInfo *) fcinfo->resultinfo);
	become_again(was);
	SPI_finish();
	return (Datum) 0;
}

/* The function that does the work: the same name with "_for" behind it. */
static Oid
worker_of(Form_pg_proc function)
{
	char	   *name = psprintf("%s_for", NameStr(function->proname));
	Oid			types[FUNC_MAX_ARGS];

	types[0] = OIDOID;
	memcpy(types + 1, function->proargtypes.values, function->pronargs * sizeof(Oid));
	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
						   PointerGetDatum(buildoidvector(types, function->pronargs + 1)),
						   ObjectIdGetDatum(function->pronamespace));
}

/*
 * A SECURITY DEFINER function that knows who called it: in one of SQL the
 * caller is hidden behind the owner, and session_user is not who called when
 * that is another such function.
 */
Datum
wacta_call_with_caller(PG_FUNCTION_ARGS)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	Form_pg_proc function = (Form_pg_proc) GETSTRUCT(tuple);
	Oid			worker = worker_of(function);
	LOCAL_FCINFO(call, FUNC_MAX_ARGS);
	FmgrInfo	info;
	Identity	was;
	Datum		result;

	if (!OidIsValid(worker))
		elog(ERROR, "no function does the work of %s", NameStr(function->proname));
	fmgr_info(worker, &info);
	InitFunctionCallInfoData(*call, &info, fcinfo->nargs + 1, fcinfo->fncollation, NULL, NULL);
	call->args[0].value = ObjectIdGetDatum(GetUserId());
	call->args[0].isnull = false;
	memcpy(call->args + 1, fcinfo->args, fcinfo->nargs * sizeof(NullableDatum));

	was = become(function->proowner, 0);
	ReleaseSysCache(tuple);
	result = FunctionCallInvoke(call);
	fcinfo->isnull = call->isnull;
	become_again(was);
	return result;
}
