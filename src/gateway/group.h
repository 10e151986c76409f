/*
 * group.h
 *	  Taps of several customers, made in one transaction.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_GROUP_H
#define GATEWAY_GROUP_H

#include "call.h"

#define MAX_GROUP	64

/* May this call be made together with others? */
extern bool group_takes(const Call *call);

/* And with the members of this group, as far as rights go? */
extern bool group_admits(const Call *group, const Call *call);

/*
 * An empty group, itself a call, for calls of the kind of this one.  When it is
 * done, each member is: with its result, with what broke the connection, or, if
 * it was not attended to, through alone(), which runs it by itself.
 */
extern Call *group_new(const Call *first, void (*alone) (Call *member));
extern void group_add(Call *group, Call *member);

/* Sets the group's arguments, when all its members are there. */
extern void group_close(Call *group);

#endif							/* GATEWAY_GROUP_H */
