/*
 * gate.h
 *	  Holds back requests of whom or what the database has withdrawn.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef WACTA_GATE_H
#define WACTA_GATE_H

#include "postgres_ext.h"

struct Gate;

/* shmem.c makes room for it and calls gate_shmem_init() once. */
extern Size gate_shmem_size(void);
extern void gate_shmem_init(struct Gate *memory);

extern bool gate_is_closed(int32 channel_id);

/* For couriers.  Neither of them raises an error. */
extern PGDLLEXPORT uint64 gate_clock(void);
extern PGDLLEXPORT bool gate_is_open(uint64 claimed_at, int64 lead_id,
									 int32 channel_id, int32 template_id);

#endif							/* WACTA_GATE_H */
