/*
 * pace.h
 *	  How many messages a second each sender may begin.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef WACTA_PACE_H
#define WACTA_PACE_H

#include "postgres_ext.h"
#include "storage/lwlock.h"

struct Pace;

/* What a courier has of one sender. */
typedef struct PaceCount
{
	int32		channel_id;
	int			claimed;		/* and not begun */
	int			started;		/* since the last report */
} PaceCount;

/* shmem.c makes room for it and calls pace_shmem_init() once. */
extern Size pace_shmem_size(void);
extern void pace_shmem_init(struct Pace *memory, LWLock *lock);

extern void pace_forget_past(void);
extern void pace_courier_gone(Oid database, int courier);
extern PGDLLEXPORT void pace_report(const PaceCount *counts, int n);

#endif							/* WACTA_PACE_H */
