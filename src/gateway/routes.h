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

#define MAX_ARGS	4
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

/* One function of wacta_api: one static statement, prepared once a session. */
typedef struct ApiFunction
{
	const char *name;			/* also the prepared statement's */
	const char *sql;
	FunctionInput input;
	FunctionOutput output;
	int			nargs;
	const char *args[MAX_ARGS];
} ApiFunction;

#define ROUTE_LINK	0x01		/* a customer's link: trailing "." and ")" go */
#define ROUTE_PAGE	0x02		/* people look at it: errors may be pages */
#define ROUTE_KEY	0x04		/* a secret may come as key or last segment */
#define ROUTE_GET_WRITES 0x08	/* the GET is a POST whose body is its query */

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
	char	   *key;			/* ROUTE_KEY: the extra segment, or NULL */
	const char *query;			/* still encoded, "" when there is none */
} RouteMatch;

/* Below 32, different for each function. */
extern int	routes_function_index(const ApiFunction *function);

/*
 * Finds the route of a request target such as "/t/abc?utm_source=x"; without
 * one match->route is NULL.
 */
extern bool routes_match(Arena *arena, const char *target, RouteMatch *match);

/* The function for a method, NULL if the route does not take it. */
extern const ApiFunction *routes_function(const Route *route, HttpMethod method);

/* The value of the Allow header. */
extern const char *routes_allow(const Route *route);

extern const char *method_name(HttpMethod method);

#endif							/* GATEWAY_ROUTES_H */
