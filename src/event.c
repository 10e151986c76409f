/*
 * event.c
 *	  Writes wacta.event: the triggers by which each change of a lead is told.
 *
 * In C, for a customer's tap waits for three of them.  76_event.sql says which
 * changes are told, and with which columns.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/rel.h"

static const char *const WRITE = "INSERT INTO wacta.event (event, lead_id, data) VALUES ($1, $2, $3)";

/*
 * What another's code changes is told like anything else, and the deferred
 * trigger that calls hooks is ours, so the restriction is lifted for this row.
 */
static void
write_event(Datum *values, const char *nulls)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {TEXTOID, INT8OID, JSONBOID};
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	SPI_connect();
	if (plan == NULL)
	{
		plan = SPI_prepare(WRITE, lengthof(types), types);
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare the writing of events");
	}
	SetUserIdAndSecContext(user, context & ~SECURITY_RESTRICTED_OPERATION);
	if (SPI_execute_plan(plan, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write wacta.event");
	SetUserIdAndSecContext(user, context);
	SPI_finish();
}

PG_FUNCTION_INFO_V1(wacta_write_event);

/* SQL: wacta.write_event(event text, lead_id bigint, data jsonb) RETURNS void */
Datum
wacta_write_event(PG_FUNCTION_ARGS)
{
	Datum		values[3];
	char		nulls[3];

	for (int i = 0; i < lengthof(values); i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	write_event(values, nulls);
	PG_RETURN_VOID();
}

static JsonbValue
string_value(const char *text)
{
	return (JsonbValue)
	{
		.type = jbvString,.val.string = {.len = strlen(text),.val = (char *) text}
	};
}

/* As to_jsonb() has it, for the types that columns of events are of. */
static JsonbValue
value_of(HeapTuple row, TupleDesc desc, int column)
{
	JsonbValue	value = {.type = jbvNull};
	bool		isnull;
	Datum		datum = SPI_getbinval(row, desc, column, &isnull);

	if (isnull)
		return value;
	switch (SPI_gettypeid(desc, column))
	{
		case INT4OID:
			value.type = jbvNumeric;
			value.val.numeric = int64_to_numeric(DatumGetInt32(datum));
			return value;
		case INT8OID:
			value.type = jbvNumeric;
			value.val.numeric = int64_to_numeric(DatumGetInt64(datum));
			return value;
		case TIMESTAMPTZOID:
			return string_value(JsonEncodeDateTime(palloc(MAXDATELEN + 1), datum, TIMESTAMPTZOID, NULL));
		case TEXTOID:
			return string_value(TextDatumGetCString(datum));
		default:
			elog(ERROR, "events have no columns like \"%s\"", SPI_fname(desc, column));
	}
}

static int
column_of(TupleDesc desc, const char *name)
{
	int			column = SPI_fnumber(desc, name);

	if (column <= 0)
		elog(ERROR, "there is no column \"%s\"", name);
	return column;
}

/* The columns that the trigger's arguments name, behind the first. */
static Jsonb *
data_of(const Trigger *trigger, HeapTuple row, TupleDesc desc)
{
	JsonbParseState *state = NULL;
	JsonbValue *data = pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);

	for (int i = 1; i < trigger->tgnargs; i++)
	{
		JsonbValue	name = string_value(trigger->tgargs[i]);
		JsonbValue	value = value_of(row, desc, column_of(desc, trigger->tgargs[i]));

		pushJsonbValue(&state, WJB_KEY, &name);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	data = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(data);
}

PG_FUNCTION_INFO_V1(wacta_tell);

/* SQL: wacta.tell() RETURNS trigger, after an INSERT or an UPDATE of a row with a lead_id */
Datum
wacta_tell(PG_FUNCTION_ARGS)
{
	TriggerData *call = (TriggerData *) fcinfo->context;
	HeapTuple	row;
	TupleDesc	desc;
	bool		isnull;
	Datum		values[3];

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(call->tg_event) || !TRIGGER_FIRED_FOR_ROW(call->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(call->tg_event) || call->tg_trigger->tgnargs == 0)
		ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("wacta.tell() is a trigger function with the name of an event, for rows after an INSERT or UPDATE"));
	row = TRIGGER_FIRED_BY_UPDATE(call->tg_event) ? call->tg_newtuple : call->tg_trigtuple;
	desc = RelationGetDescr(call->tg_relation);
	values[0] = CStringGetTextDatum(call->tg_trigger->tgargs[0]);
	values[1] = SPI_getbinval(row, desc, column_of(desc, "lead_id"), &isnull);
	values[2] = JsonbPGetDatum(data_of(call->tg_trigger, row, desc));
	write_event(values, isnull ? " n " : "   ");
	return PointerGetDatum(NULL);
}
