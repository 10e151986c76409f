/*
 * routes.h
 *	  What the gateway answers, and which function of wacta_api answers it.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_ROUTES_H
#define GATEWAY_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"

#define MAX_ARGS	8
#define MAX_FUNCTIONS 32
#define MAX_ROUTES	32
#define MAX_PARAMS	2

typedef enum HttpMethod
{
	METHOD_GET,
	METHOD_HEAD,
	METHOD_POST,
	METHOD_OPTIONS,
	METHOD_OTHER
} HttpMethod;

typedef enum FunctionInput
{
	INPUT_ARGS,					/* named text arguments */
	INPUT_RAW					/* one bytea: the body byte for byte */
} FunctionInput;

typedef enum FunctionOutput
{
	OUTPUT_JSON,
	OUTPUT_BYTES				/* a body whose type response.headers names */
} FunctionOutput;

/*
 * How much of the pool calls of a function may take, so that none of these can
 * keep the others waiting; see share.c.
 */
typedef enum CallShare
{
	SHARE_ALL,					/* short, and nothing to wait for */
	SHARE_LEAD,					/* takes the lock of a lead */
	SHARE_PROVIDERS,			/* webhooks */
	SHARE_STAFF,				/* figures over long times */
	SHARE_PASSWORDS,			/* a processor's time each */
	SHARE_CLIENT				/* of an address, whatever the function */
} CallShare;

/* One function of wacta_api: one static statement, prepared once a session. */
typedef struct ApiFunction
{
	const char *name;			/* also the prepared statement's */
	const char *sql;
	FunctionInput input;
	FunctionOutput output;
	CallShare	share;
	int			nargs;
	const char *args[MAX_ARGS];
} ApiFunction;

#define ROUTE_LINK	0x01		/* a customer's link, as messengers mangle it */
#define ROUTE_PAGE	0x02		/* people look at it: errors may be pages */
#define ROUTE_WEBHOOK 0x04		/* a provider calls: with a key, not a token of ours */
#define ROUTE_GET_WRITES 0x08	/* the GET is a POST whose body is its query */
#define ROUTE_SESSION 0x10		/* begins or ends a session */
#define ROUTE_METRICS 0x20		/* the gateway's own figures */
#define ROUTE_NO_LIMIT 0x40		/* asked again and again by those who watch over us */

typedef struct Route
{
	const char *pattern;		/* also what request.path and the log say */
	const ApiFunction *get;
	const ApiFunction *post;
	unsigned	flags;
} Route;

typedef struct PathParam
{
	const char *name;
	char	   *value;			/* decoded */
} PathParam;

/* A request target that has found its route. */
typedef struct RouteMatch
{
	const Route *route;
	int			nparams;
	PathParam	params[MAX_PARAMS];
	char	   *key;			/* ROUTE_WEBHOOK: the extra segment, or NULL */
	const char *query;			/* still encoded, "" when there is none */
} RouteMatch;

/* Below MAX_ROUTES, different for each route. */
extern int	routes_index(const Route *route);
extern const char *routes_pattern(int index);

/* Below MAX_FUNCTIONS, different for each function. */
extern int	routes_function_index(const ApiFunction *function);

/*
 * Finds the route of a request target such as "/t/abc?utm_source=x"; without
 * one match->route is NULL.
 */
extern bool routes_match(Arena *arena, const char *target, RouteMatch *match);

/* The function for a method, NULL if the route does not take it. */
extern const ApiFunction *routes_function(const Route *route, HttpMethod method);

/* The function that records a visit of a link, NULL where visits are not recorded. */
extern const ApiFunction *routes_visit_function(const Route *route);

/* The value of the Allow header. */
extern const char *routes_allow(const Route *route);

/* A customer's tap, its arguments, and the function that takes several taps. */
enum
{
	TAP_LINK_ARGS = 3,			/* token, action, lead_id */
	TAP_CONFIRM = 3,
	TAP_CALL_AT = 4
};
extern const ApiFunction *routes_tap_function(void);
extern const ApiFunction *routes_taps_function(void);

extern const char *method_name(HttpMethod method);

#endif							/* GATEWAY_ROUTES_H */
