/*
 * refusal.h
 *	  Counts of webhooks that proved nothing.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef WACTA_REFUSAL_H
#define WACTA_REFUSAL_H

#include "postgres_ext.h"
#include "storage/lwlock.h"

struct Refusals;

/* shmem.c makes room for it and calls refusal_shmem_init() once. */
extern Size refusal_shmem_size(void);
extern void refusal_shmem_init(struct Refusals *memory, LWLock *lock);

/* For the inbox worker, after the transaction in which it read them. */
extern void refusals_are_stored(void);

#endif							/* WACTA_REFUSAL_H */
