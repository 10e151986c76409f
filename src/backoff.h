/*
 * backoff.h
 *	  When to try again.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef WACTA_BACKOFF_H
#define WACTA_BACKOFF_H

extern int64 backoff_delay(int attempt, int64 base, int64 cap, double jitter, uint64 seed);

#endif							/* WACTA_BACKOFF_H */
