/*
 * options.h
 *	  The settings of wacta-gateway: flags, environment and a file.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_OPTIONS_H
#define GATEWAY_OPTIONS_H

#include <stdbool.h>

#include "limit.h"
#include "peer.h"

typedef struct Options
{
	const char *config;
	const char *listen;
	const char *metrics_listen;
	const char *db;
	const char *anon_role;
	const char *jwt_secret_file;
	long		pool;
	long		queue;
	long		group;
	long		queue_timeout;	/* all times in milliseconds */
	long		request_timeout;
	long		statement_timeout;
	long		lock_timeout;
	long		client_timeout;
	long		receive_timeout;
	long		stop_timeout;
	long		max_body;		/* sizes in bytes */
	long		max_headers;
	long		max_held;
	long		max_connections;
	LimitRules	limit;
	long		limit_login;	/* points */
	long		limit_request;
	const char *trusted_proxies;
	ProxyList  *proxies;		/* the same, parsed; the caller frees it */
	bool		trust_proxy;
	bool		hsts;
	bool		access_log;
	bool		check;			/* only look whether all this works */
} Options;

/*
 * Fills the options; flags win over the environment, that over the file.
 * Prints help or the reason of a refusal and ends the program itself.
 */
extern void options_read(Options *options, int argc, char **argv);

/*
 * Reads them once more, while the program runs.  What cannot change then stays as
 * it was, and all of it does if there is something to refuse; both are told.
 */
extern void options_reload(Options *options, int argc, char **argv);

#endif							/* GATEWAY_OPTIONS_H */
