/*
 * egress.h
 *	  May a request go to this URL?
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef COURIER_EGRESS_H
#define COURIER_EGRESS_H

#include <stdbool.h>
#include <stddef.h>

/* What a site allows: wacta.allowed_hosts and wacta.allow_http. */
typedef struct EgressPolicy
{
	const char *hosts;
	bool		allow_http;
} EgressPolicy;

extern bool egress_allows(const EgressPolicy *policy, const char *url,
						  bool *tls, char *why, size_t why_size);

#endif							/* COURIER_EGRESS_H */
