/*
 * guc.h
 *	  The settings of wacta; guc.c says what each is for.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef WACTA_GUC_H
#define WACTA_GUC_H

/* Values of wacta.failover */
typedef enum FailoverMode
{
	FAILOVER_HOLD,
	FAILOVER_CONTINUE
} FailoverMode;

/* The domain, in any backend */
extern char *wacta_key_file;
extern char *wacta_secret_dir;
extern char *wacta_fixed_now;
extern char *wacta_node_id;
extern int	wacta_failover;

/* The launcher */
extern char *wacta_databases;
extern char *wacta_worker_role;
extern int	wacta_couriers_per_database;
extern int	wacta_max_databases;

/* The couriers, which live in a shared object of their own */
extern PGDLLEXPORT bool wacta_enabled;
extern PGDLLEXPORT char *wacta_allowed_hosts;
extern PGDLLEXPORT bool wacta_allow_http;
extern PGDLLEXPORT char *wacta_ca_file;
extern PGDLLEXPORT char *wacta_proxy;
extern PGDLLEXPORT int wacta_max_in_flight;
extern PGDLLEXPORT int wacta_connect_timeout;
extern PGDLLEXPORT int wacta_request_timeout;
extern PGDLLEXPORT int wacta_poll_interval;

extern void wacta_define_gucs(void);

#endif							/* WACTA_GUC_H */
