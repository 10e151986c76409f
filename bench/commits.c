/*
 * commits.c
 *	  A client that enqueues one message now and then, and notes when it was done.
 *
 *		commits CONNINFO COUNT PAUSE_MS
 *
 * Prints a line for each message: its id, and the CLOCK_MONOTONIC in ns at which
 * its COMMIT had returned.  The sink's clock is the same one.  Between two messages
 * it commits a row of its own, and prints "bare" and the ns which that took: the
 * courier needs such a commit between the wake-up and the wire, so this tells
 * what the machine allows at the time.  The pauses vary by half, so that they keep
 * no step with anything that is done at intervals.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void
die(PGconn *connection)
{
	fprintf(stderr, "commits: %s", PQerrorMessage(connection));
	exit(1);
}

static int64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void
rest(int pause_ms)
{
	double		ns = pause_ms * 1e6 * (0.5 + rand() / (RAND_MAX + 1.0));
	struct timespec pause = {(time_t) (ns / 1e9), (long) ns % 1000000000};

	nanosleep(&pause, NULL);
}

static PGresult *
run(PGconn *connection, const char *statement)
{
	PGresult   *result = PQexec(connection, statement);

	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		die(connection);
	return result;
}

/* The person is made before, so that the message alone is in the transaction. */
static void
enqueue(PGconn *connection)
{
	PGresult   *person = run(connection, "SELECT wacta.upsert_lead('+' || 919800000000 + nextval('person'), 'Asha Rao', 'Palm Residency')");
	char		statement[128];
	PGresult   *message;
	int64_t		committed;

	snprintf(statement, sizeof(statement), "SELECT wacta.send_interactive(%s)", PQgetvalue(person, 0, 0));
	message = run(connection, statement);
	committed = now_ns();
	printf("%s %" PRId64 "\n", PQgetvalue(message, 0, 0), committed);
	PQclear(message);
	PQclear(person);
}

static void
commit_bare_row(PGconn *connection)
{
	int64_t		began = now_ns();

	PQclear(run(connection, "INSERT INTO bare_row VALUES (now())"));
	printf("bare %" PRId64 "\n", now_ns() - began);
}

int
main(int argc, char **argv)
{
	PGconn	   *connection = PQconnectdb(argc == 4 ? argv[1] : "");
	int			count = argc == 4 ? atoi(argv[2]) : 0;
	int			i;

	if (PQstatus(connection) != CONNECTION_OK)
		die(connection);
	for (i = 0; i < count; i++)
	{
		rest(atoi(argv[3]));
		enqueue(connection);
		rest(atoi(argv[3]));
		commit_bare_row(connection);
	}
	PQfinish(connection);
	return 0;
}
