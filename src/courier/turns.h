/*
 * turns.h
 *	  What this courier has of the turns of each sender.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef COURIER_TURNS_H
#define COURIER_TURNS_H

#include "postgres.h"

extern void turn_claimed(int32 channel_id);
extern void turn_begun(int32 channel_id);
extern void turn_given_back(int32 channel_id);

extern void report_turns(void);
extern void report_new_turns(void);

#endif							/* COURIER_TURNS_H */
