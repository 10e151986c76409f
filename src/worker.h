/*
 * worker.h
 *	  What the background workers of a database have in common.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef WACTA_WORKER_H
#define WACTA_WORKER_H

#include "executor/spi.h"
#include "shmem.h"

/* A statement and its plan, prepared at the first use. */
typedef struct WorkerStatement
{
	const char *text;
	int			nargs;
	Oid			argtypes[10];
	SPIPlanPtr	plan;
} WorkerStatement;

typedef enum ExtensionPresence
{
	EXTENSION_PRESENT,
	EXTENSION_BUSY,				/* it is being dropped or changed */
	EXTENSION_ABSENT,
	EXTENSION_REPLACED			/* it is not the one this worker began with */
} ExtensionPresence;

/* The process */
extern PGDLLEXPORT bool worker_start(int slot_no, const char *lock_timeout);
extern PGDLLEXPORT bool worker_handle_interrupts(void);
extern PGDLLEXPORT void worker_end(WorkerState state, const char *reason) pg_attribute_noreturn();

/* One transaction: begin, any number of statements, then commit or abort. */
extern PGDLLEXPORT void worker_begin(const char *activity);
extern PGDLLEXPORT void worker_commit(void);
extern PGDLLEXPORT void worker_abort(void);
extern PGDLLEXPORT bool worker_transaction(const char *activity, void (*statements) (void *),
										   void *arg, ErrorData **error);

extern PGDLLEXPORT ExtensionPresence extension_presence(void);
extern PGDLLEXPORT bool extension_has_gone(ExtensionPresence presence);
extern PGDLLEXPORT uint64 worker_run(WorkerStatement *s, Datum *values, int columns);
extern PGDLLEXPORT Datum worker_field(uint64 row, int column, bool *isnull);
extern PGDLLEXPORT Datum worker_value(uint64 row, int column);
extern PGDLLEXPORT bool met_a_lock(const ErrorData *edata);

#endif							/* WACTA_WORKER_H */
