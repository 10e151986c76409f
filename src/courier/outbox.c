/*
 * outbox.c
 *	  The courier's statements: everything it knows of the database.
 *
 * SPI only, nothing of libcurl but the results it is handed.  The statements are
 * calls of the courier's functions in schema wacta, in transactions of worker.c.
 * Every function may raise an error; the caller then calls worker_abort() and
 * nothing has happened.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "outbox.h"

#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "worker.h"

/* From the epoch of Unix to that of PostgreSQL */
#define EPOCH_OFFSET_US	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

static WorkerStatement start_statement = {
	"SELECT wacta.courier_start($1)",
	1, {INT4OID}
};
static WorkerStatement claim_statement = {
	"SELECT lead_id, message_id, attempt, channel_id, channel_revision, body, template_id"
	"  FROM wacta.courier_claim($1, $2, $3)",
	3, {INT4OID, INT4OID, INT4ARRAYOID}
};
static WorkerStatement channel_statement = {
	"SELECT revision, url, headers FROM wacta.courier_channel($1)",
	1, {INT4OID}
};
static WorkerStatement settle_statement = {
	"SELECT accepted, failed, in_doubt, retried"
	"  FROM wacta.courier_settle($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
	10, {INT8ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, INT4ARRAYOID,
	INT4ARRAYOID, BYTEAARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID}
};
static WorkerStatement wait_statement = {"SELECT wacta.courier_wait()", 0};
static WorkerStatement reap_statement = {"SELECT wacta.courier_reap()", 0};

/* A copy in the context of the caller, in UTF-8 as it goes over the wire. */
static char *
utf8_copy(text *t)
{
	char	   *utf8 = pg_server_to_any(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t), PG_UTF8);
	int			len = utf8 == VARDATA_ANY(t) ? VARSIZE_ANY_EXHDR(t) : strlen(utf8);
	char	   *copy = SPI_palloc(len + 1);

	memcpy(copy, utf8, len);
	copy[len] = '\0';
	return copy;
}

/* ---- The calls ---- */

/*
 * Puts what a former courier of this number left behind in doubt; how many.  It
 * may take several calls: 0 says that nothing is left.
 */
int64
outbox_start(int courier)
{
	Datum		args[1] = {Int32GetDatum(courier)};

	if (worker_run(&start_statement, args, 1) != 1)
		return 0;
	return DatumGetInt64(worker_value(0, 1));
}

static Datum
int32_array(const int32 *values, int n)
{
	Datum	   *datums = palloc(Max(n, 1) * sizeof(Datum));
	int			i;

	for (i = 0; i < n; i++)
		datums[i] = Int32GetDatum(values[i]);
	return PointerGetDatum(construct_array(datums, n, INT4OID, 4, true, TYPALIGN_INT));
}

/*
 * Claims up to max messages; *n is how many there are to be sent.  busy has the
 * channel of each that is under way, so that no channel takes all slots.  A row without a
 * message says that others were settled in their stead: *progress, so that the
 * next claim may find more, though this one was not a full one.
 */
OutboxMessage *
outbox_claim(int courier, int max, const int32 *busy, int n_busy, int *n, bool *progress)
{
	Datum		args[3] = {Int32GetDatum(courier), Int32GetDatum(max), int32_array(busy, n_busy)};
	uint64		rows = worker_run(&claim_statement, args, 7);
	OutboxMessage *messages = SPI_palloc(Max(rows, 1) * sizeof(OutboxMessage));
	uint64		i;

	*n = 0;
	for (i = 0; i < rows; i++)
	{
		OutboxMessage *m = &messages[*n];
		bool		isnull;

		(void) worker_field(i, 2, &isnull);
		if (isnull)
		{
			*progress = true;
			continue;
		}
		m->lead_id = DatumGetInt64(worker_value(i, 1));
		m->message_id = DatumGetInt64(worker_value(i, 2));
		m->attempt = DatumGetInt32(worker_value(i, 3));
		m->channel_id = DatumGetInt32(worker_value(i, 4));
		m->channel_revision = DatumGetInt64(worker_value(i, 5));
		m->body = utf8_copy(DatumGetTextPP(worker_value(i, 6)));
		m->template_id = DatumGetInt32(worker_field(i, 7, &isnull));
		(*n)++;
	}
	return messages;
}

/* False when there is no such channel. */
bool
outbox_channel(int32 channel_id, OutboxChannel *channel)
{
	Datum		args[1] = {Int32GetDatum(channel_id)};
	ArrayType  *array;
	Datum	   *lines;
	bool	   *nulls;
	bool		isnull;
	int			n;
	int			i;

	if (worker_run(&channel_statement, args, 3) != 1)
		return false;
	(void) worker_field(0, 1, &isnull);
	if (isnull)
		return false;

	array = DatumGetArrayTypePCopy(worker_value(0, 3));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &lines, &nulls, &n);
	channel->revision = DatumGetInt64(worker_value(0, 1));
	channel->url = utf8_copy(DatumGetTextPP(worker_value(0, 2)));
	channel->headers = SPI_palloc(Max(n, 1) * sizeof(char *));
	channel->n_headers = 0;
	for (i = 0; i < n; i++)
		if (!nulls[i])
			channel->headers[channel->n_headers++] = utf8_copy(DatumGetTextPP(lines[i]));
	explicit_bzero(array, VARSIZE(array));
	return true;
}

static const char *
outcome_name(TransferOutcome outcome)
{
	switch (outcome)
	{
		case OUTCOME_ANSWERED:
			return "answered";
		case OUTCOME_NOT_SENT:
			return "not_sent";
		case OUTCOME_UNKNOWN:
			break;
	}
	return "unknown";
}

static Datum
bytea_datum(const char *data, size_t len)
{
	bytea	   *b = palloc(VARHDRSZ + len);

	SET_VARSIZE(b, VARHDRSZ + len);
	memcpy(VARDATA(b), data, len);
	return PointerGetDatum(b);
}

/* One of the parallel arrays of courier_settle(). */
static Datum
array_datum(Datum *values, bool *nulls, int n, Oid type)
{
	int			lower = 1;
	int			len = type == INT4OID ? 4 : type == INT8OID || type == TIMESTAMPTZOID ? 8 : -1;
	bool		by_value = len > 0;
	char		align = len == 8 ? TYPALIGN_DOUBLE : TYPALIGN_INT;

	return PointerGetDatum(construct_md_array(values, nulls, 1, &n, &lower,
											  type, len, by_value, align));
}

#define SETTLE_COLUMNS	10

static void
fill_settlement(const Transfer *t, Datum *v, bool *null)
{
	bool		answered = t->outcome == OUTCOME_ANSWERED;

	memset(null, 0, SETTLE_COLUMNS * sizeof(bool));
	v[0] = Int64GetDatum(t->lead_id);
	v[1] = Int64GetDatum(t->message_id);
	v[2] = Int32GetDatum(t->attempt);
	v[3] = CStringGetTextDatum(outcome_name(t->outcome));
	v[4] = Int32GetDatum(t->http_status);
	null[4] = t->http_status == 0;
	v[5] = Int32GetDatum(t->retry_after);
	null[5] = t->retry_after < 0;
	null[6] = !answered;
	v[6] = answered ? bytea_datum(t->answer, t->answer_len) : (Datum) 0;
	null[7] = t->error[0] == '\0';
	v[7] = CStringGetTextDatum(t->error);
	v[8] = Int32GetDatum(t->elapsed_ms);
	null[9] = t->begun_at == 0;
	v[9] = TimestampTzGetDatum(t->begun_at - EPOCH_OFFSET_US);
}

OutboxTally
outbox_settle(Transfer *const *transfers, int n)
{
	static const Oid types[SETTLE_COLUMNS] = {
		INT8OID, INT8OID, INT4OID, TEXTOID, INT4OID, INT4OID, BYTEAOID, TEXTOID, INT4OID, TIMESTAMPTZOID
	};
	Datum	   *values[SETTLE_COLUMNS];
	bool	   *nulls[SETTLE_COLUMNS];
	Datum		args[SETTLE_COLUMNS];
	OutboxTally tally = {0};
	int			i;
	int			c;

	for (c = 0; c < SETTLE_COLUMNS; c++)
	{
		values[c] = palloc(n * sizeof(Datum));
		nulls[c] = palloc(n * sizeof(bool));
	}
	for (i = 0; i < n; i++)
	{
		Datum		v[SETTLE_COLUMNS];
		bool		null[SETTLE_COLUMNS];

		fill_settlement(transfers[i], v, null);
		for (c = 0; c < SETTLE_COLUMNS; c++)
		{
			values[c][i] = v[c];
			nulls[c][i] = null[c];
		}
	}
	for (c = 0; c < SETTLE_COLUMNS; c++)
		args[c] = array_datum(values[c], nulls[c], n, types[c]);

	if (worker_run(&settle_statement, args, 4) == 1)
	{
		tally.accepted = DatumGetInt32(worker_value(0, 1));
		tally.failed = DatumGetInt32(worker_value(0, 2));
		tally.in_doubt = DatumGetInt32(worker_value(0, 3));
		tally.retried = DatumGetInt32(worker_value(0, 4));
	}
	return tally;
}

/* Time until the next queued message is due, in ms; -1: there is none. */
int
outbox_wait(void)
{
	bool		isnull;
	Datum		wait;

	if (worker_run(&wait_statement, NULL, 1) != 1)
		return -1;
	wait = worker_field(0, 1, &isnull);
	return isnull ? -1 : Max(DatumGetInt32(wait), 0);
}

/* Ends what has run out of its lease or its time to live; how many. */
int64
outbox_reap(void)
{
	if (worker_run(&reap_statement, NULL, 1) != 1)
		return 0;
	return DatumGetInt64(worker_value(0, 1));
}
