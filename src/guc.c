/*
 * guc.c
 *	  Defines the settings of wacta.
 *
 * Called from _PG_init, also in a backend of a server that does not preload
 * wacta: the settings that can only be made at server start are left out there.
 * A setting never holds a secret, only the name of a file that does.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include <limits.h>

#include "guc.h"

#include "compat.h"
#include "miscadmin.h"
#include "shmem.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#define NODE_ID_MAX			64
#define NODE_ID_CHARACTERS \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:/"

/* File that holds the key for secrets at rest; relative to the data directory. */
char	   *wacta_key_file = NULL;

/* The one directory from which secrets may be read on behalf of SQL. */
char	   *wacta_secret_dir = NULL;

/* Pins wacta.now(), for tests. */
char	   *wacta_fixed_now = NULL;

/* Databases that get couriers and an inbox worker, separated by commas. */
char	   *wacta_databases = NULL;

/* Role that couriers and inbox workers connect as. */
char	   *wacta_worker_role = NULL;

/* Couriers in each database. */
int			wacta_couriers_per_database = 1;

/* Databases for which there is room in shared memory. */
int			wacta_max_databases = 16;

/* Off: couriers finish what is in flight and claim nothing new. */
bool		wacta_enabled = true;

/* The hosts that requests may go to, and no others. */
char	   *wacta_allowed_hosts = NULL;

/* Accept http:// URLs: for tests, hence only at server start. */
bool		wacta_allow_http = false;

/* Certification authorities instead of the system's. */
char	   *wacta_ca_file = NULL;

/* HTTP proxy; the environment's is never used. */
char	   *wacta_proxy = NULL;

/* Transfers of one courier that may be under way at once. */
int			wacta_max_in_flight = 64;

/* Time limits of one transfer, in ms: up to the TLS handshake, and in all. */
int			wacta_connect_timeout = 5000;
int			wacta_request_timeout = 30000;

/* Longest sleep of an idle courier, in ms. */
int			wacta_poll_interval = 5000;

/* Names this node, where it cannot be told by its machine and data directory. */
char	   *wacta_node_id = NULL;

/* What couriers do after a promotion: a FailoverMode. */
int			wacta_failover = FAILOVER_HOLD;

static const struct config_enum_entry failover_options[] = {
	{"hold", FAILOVER_HOLD, false},
	{"continue", FAILOVER_CONTINUE, false},
	{NULL, 0, false}
};

static bool
check_list(char **newval, void **extra, GucSource source)
{
	char	   *copy = pstrdup(*newval);
	List	   *names;
	bool		ok = SplitGUCList(copy, ',', &names);

	if (ok)
		list_free(names);
	else
		GUC_check_errdetail("List syntax is invalid.");
	pfree(copy);
	return ok;
}

/* Parses like timestamptz_in(), which must not be called here because it throws. */
static bool
check_fixed_now(char **newval, void **extra, GucSource source)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;
	int			dtype;
	int			nf;
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	char		workbuf[MAXDATELEN + MAXDATEFIELDS];
	TimestampTz timestamp;

	if ((*newval)[0] == '\0')
		return true;
	if (ParseDateTime(*newval, workbuf, sizeof(workbuf), field, ftype,
					  MAXDATEFIELDS, &nf) != 0 ||
		wacta_decode_datetime(field, ftype, nf, &dtype, &tm, &fsec, &tz) != 0 ||
		dtype != DTK_DATE)
		return false;
	if (tm2timestamp(&tm, fsec, &tz, &timestamp) != 0)
	{
		GUC_check_errdetail("timestamp out of range: \"%s\"", *newval);
		return false;
	}
	return true;
}

/* It is shown in messages and kept in tables, whatever their encoding. */
static bool
check_node_id(char **newval, void **extra, GucSource source)
{
	if (strlen(*newval) <= NODE_ID_MAX &&
		(*newval)[strspn(*newval, NODE_ID_CHARACTERS)] == '\0')
		return true;
	GUC_check_errdetail("It may have up to %d letters, digits and characters of \"-_.:/\".", NODE_ID_MAX);
	return false;
}

/* Settings that any backend may need. */
static void
define_domain_gucs(void)
{
	DefineCustomStringVariable("wacta.key_file",
							   "Sets the file with the key that encrypts secrets at rest.",
							   "Relative to the data directory; made with mode 0600 when missing.",
							   &wacta_key_file, "wacta.key",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("wacta.secret_dir",
							   "Sets the directory that credential files are read from.",
							   "Empty: none are read.",
							   &wacta_secret_dir, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("wacta.fixed_now",
							   "Pins the clock of wacta, for tests.",
							   "Empty: the time of day.",
							   &wacta_fixed_now, "",
							   PGC_SUSET, GUC_NOT_IN_SAMPLE | GUC_NO_SHOW_ALL,
							   check_fixed_now, NULL, NULL);
}

/* Settings that the launcher reads. */
static void
define_launcher_gucs(void)
{
	DefineCustomStringVariable("wacta.databases",
							   "Lists the databases that get couriers and an inbox worker.",
							   NULL,
							   &wacta_databases, "",
							   PGC_SIGHUP, GUC_LIST_INPUT, check_list, NULL, NULL);
	DefineCustomStringVariable("wacta.worker_role",
							   "Sets the role that couriers and inbox workers connect as.",
							   "It must be able to log in and must not be a superuser.",
							   &wacta_worker_role, "wacta_courier",
							   PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("wacta.couriers_per_database",
							"Sets the number of couriers in each database.",
							NULL,
							&wacta_couriers_per_database, 1, 1, MAX_COURIERS_PER_DATABASE,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	if (process_shared_preload_libraries_in_progress)
		DefineCustomIntVariable("wacta.max_databases",
								"Sets the number of databases that can have couriers and an inbox worker.",
								NULL,
								&wacta_max_databases, 16, 1, 1000,
								PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

/* Settings on where a courier may send, and by what way. */
static void
define_egress_gucs(void)
{
	DefineCustomStringVariable("wacta.allowed_hosts",
							   "Lists the hosts that couriers may send to.",
							   "An entry is a host, which means the standard port alone, or host:port.",
							   &wacta_allowed_hosts,
							   "graph.facebook.com, wb.omni.tatatelebusiness.com, waba-v2.360dialog.io",
							   PGC_SIGHUP, GUC_LIST_INPUT, check_list, NULL, NULL);
	DefineCustomStringVariable("wacta.ca_file",
							   "Sets the file of certification authorities that couriers trust.",
							   "Empty: the system's.",
							   &wacta_ca_file, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("wacta.proxy",
							   "Sets the HTTP proxy that couriers use.",
							   "Empty: none.  Environment variables are not looked at.",
							   &wacta_proxy, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	if (process_shared_preload_libraries_in_progress)
		DefineCustomBoolVariable("wacta.allow_http",
								 "Lets couriers send without TLS, for tests.",
								 NULL,
								 &wacta_allow_http, false,
								 PGC_POSTMASTER, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
}

/*
 * Settings on whose queue this is.  The node's name can be set without a restart
 * so that also a backend which loads wacta late knows it.
 */
static void
define_fence_gucs(void)
{
	DefineCustomStringVariable("wacta.node_id",
							   "Sets the name of this node, which the queue is bound to.",
							   "Empty: derived from the machine's id, the data directory's path and an inode number.",
							   &wacta_node_id, "", PGC_SIGHUP, 0, check_node_id, NULL, NULL);
	DefineCustomEnumVariable("wacta.failover",
							 "Sets what couriers do with the queue after a promotion.",
							 "Continue: send it; the site makes sure that the former primary is off.",
							 &wacta_failover, FAILOVER_HOLD, failover_options,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
}

/* Settings on how a courier works. */
static void
define_courier_gucs(void)
{
	DefineCustomBoolVariable("wacta.enabled",
							 "Lets couriers claim messages.",
							 "Off: they finish what is in flight and stay idle.",
							 &wacta_enabled, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("wacta.max_in_flight",
							"Sets the number of transfers that a courier has under way at once.",
							NULL,
							&wacta_max_in_flight, 64, 1, MAX_IN_FLIGHT,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("wacta.connect_timeout",
							"Sets the time limit for a connection, TLS handshake included.",
							NULL,
							&wacta_connect_timeout, 5000, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("wacta.request_timeout",
							"Sets the time limit for a whole transfer.",
							NULL,
							&wacta_request_timeout, 30000, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("wacta.poll_interval",
							"Sets the longest sleep of an idle courier.",
							"Messages are noticed at commit; this is the net below.",
							&wacta_poll_interval, 5000, 10, 3600 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

void
wacta_define_gucs(void)
{
	define_domain_gucs();
	define_launcher_gucs();
	define_egress_gucs();
	define_fence_gucs();
	define_courier_gucs();
	MarkGUCPrefixReserved("wacta");
}
