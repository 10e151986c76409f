/*
 * access.h
 *	  The access log: one line of JSON a request, on standard output.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_ACCESS_H
#define GATEWAY_ACCESS_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * None of the texts may hold a character that JSON would want escaped, nor
 * anything secret: so there is no target here, and no header.
 */
typedef struct AccessLine
{
	const char *request_id;		/* NULL, as the next two: not known */
	const char *method;
	const char *route;			/* its pattern */
	const char *peer;
	int			status;
	size_t		bytes;			/* of the reply's body */
	double		ms;
	bool		client_gone;
} AccessLine;

extern void access_start(struct event_base *base);
extern void access_write(const AccessLine *line);
extern void access_stop(void);

#endif							/* GATEWAY_ACCESS_H */
