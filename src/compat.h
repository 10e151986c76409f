/*
 * compat.h
 *	  Every test of the PostgreSQL version in the project, with compat.c.
 *
 * The floor is PostgreSQL 15.  Code elsewhere uses the names defined here and
 * never looks at PG_VERSION_NUM itself.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef WACTA_COMPAT_H
#define WACTA_COMPAT_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "pgtime.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"

#if PG_VERSION_NUM < 150000
#error "wacta needs PostgreSQL 15 or later"
#endif

/* postgres.h brings VARDATA() and its like only up to 15. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* A shared object tells its name and version from 18 on. */
#if PG_VERSION_NUM >= 180000
#define WACTA_MODULE_MAGIC(module)	PG_MODULE_MAGIC_EXT(.name = module)
#else
#define WACTA_MODULE_MAGIC(module)	PG_MODULE_MAGIC
#endif

/* A worker whose role may not log in, from 17 on. */
#if PG_VERSION_NUM >= 170000
#define WACTA_CONNECT_FLAGS			BGWORKER_BYPASS_ROLELOGINCHECK
#define WACTA_ROLE_NEEDS_LOGIN		false
#else
#define WACTA_CONNECT_FLAGS			0
#define WACTA_ROLE_NEEDS_LOGIN		true
#endif

/* A worker that DROP DATABASE and its like may end by themselves, from 19 on. */
#if PG_VERSION_NUM >= 190000
#define WACTA_BGWORKER_INTERRUPTIBLE	BGWORKER_INTERRUPTIBLE
#else
#define WACTA_BGWORKER_INTERRUPTIBLE	0
#endif

/* The server has OpenSSL's libcrypto loaded, unless it was built without. */
#ifdef USE_OPENSSL
#define WACTA_HAVE_LIBCRYPTO	1
#endif

/* Wait events with a name of our own, from 17 on. */
extern PGDLLEXPORT uint32 wacta_wait_event(const char *name);

/* A wait event set that lives as long as the process. */
extern PGDLLEXPORT WaitEventSet *wacta_create_wait_event_set(int nevents);

/* Is the role the owner of the database, or allowed to act as it? */
extern bool wacta_owns_database(Oid database, Oid role);

/* DecodeDateTime() takes one more argument from 16 on. */
extern int	wacta_decode_datetime(char **field, int *ftype, int nf, int *dtype,
								  struct pg_tm *tm, fsec_t *fsec, int *tz);

/* get_extension_schema() is exported from 16 on */
extern Oid	wacta_extension_schema(Oid extension);

#endif							/* WACTA_COMPAT_H */
