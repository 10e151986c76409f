/*
 * options.h
 *	  The settings of wacta-gateway: flags, environment and a file.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_OPTIONS_H
#define GATEWAY_OPTIONS_H

#include <stdbool.h>

#include "peer.h"

typedef struct Options
{
	const char *config;
	const char *listen;
	const char *db;
	const char *anon_role;
	const char *jwt_secret_file;
	long		pool;
	long		queue;
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
	const char *trusted_proxies;
	ProxyList  *proxies;		/* the same, parsed; the caller frees it */
	bool		trust_proxy;
	bool		access_log;
} Options;

/*
 * Fills the options; flags win over the environment, that over the file.
 * Prints help or the reason of a refusal and ends the program itself.
 */
extern void options_read(Options *options, int argc, char **argv);

#endif							/* GATEWAY_OPTIONS_H */
