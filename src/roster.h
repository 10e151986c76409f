/*
 * roster.h
 *	  Which databases should have workers.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef WACTA_ROSTER_H
#define WACTA_ROSTER_H

#include "nodes/pg_list.h"

/* A database that should have workers, as it stands in the catalogs. */
typedef struct Wanted
{
	char	   *database;
	Oid			database_oid;
	Oid			role_oid;
	char	   *problem;		/* why no worker can run there, or NULL */
} Wanted;

/* A list of Wanted, in the current memory context. */
extern List *read_roster(void);

#endif							/* WACTA_ROSTER_H */
