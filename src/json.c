/*
 * json.c
 *	  The SQL side of mend.c.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "fmgr.h"
#include "mend.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(wacta_mend_json);

/* SQL: wacta.mend_json(body bytea) RETURNS bytea: see mend.c.  54000 beyond 300 MB. */
Datum
wacta_mend_json(PG_FUNCTION_ARGS)
{
	bytea	   *body = PG_GETARG_BYTEA_PP(0);
	size_t		len = VARSIZE_ANY_EXHDR(body);
	bytea	   *mended;

	if (MENDED_SIZE(len) > MaxAllocSize - VARHDRSZ)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a body of %zu bytes is too large to be mended", len)));
	mended = palloc(VARHDRSZ + MENDED_SIZE(len));
	len = mend_json((unsigned char *) VARDATA_ANY(body), len, (unsigned char *) VARDATA(mended));
	SET_VARSIZE(mended, VARHDRSZ + len);
	PG_RETURN_BYTEA_P(mended);
}
