/*
 * dispatch.h
 *	  From the outbox to the transport.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef COURIER_DISPATCH_H
#define COURIER_DISPATCH_H

#include "outbox.h"

extern void dispatch(const OutboxMessage *message, uint64 claimed_at);
extern void let_go(Transfer *t);

#endif							/* COURIER_DISPATCH_H */
