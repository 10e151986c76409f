/*
 * transport.h
 *	  Many transfers at once over one libcurl multi handle.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef COURIER_TRANSPORT_H
#define COURIER_TRANSPORT_H

#include "transfer.h"

extern bool transport_open(int max_transfers, const char **error);
extern void transport_configure(const TransferConfig *new_config, int max_transfers);
extern int	transport_fd(void);
extern bool transport_resolves_in_background(void);

/* The life of a transfer: take, then send or refuse, later finished, release. */
extern int	transport_room(void);
extern int	transport_under_way(void);
extern int	transport_channels(int32_t *channels);
extern Transfer *transport_take(void);
extern void transport_send(Transfer *t);
extern void transport_refuse(Transfer *t, const char *why);
extern Transfer **transport_finished(int *n);
extern void transport_release(Transfer *t);

extern void transport_pump(void);
extern long transport_wait_ms(void);
extern const char *transport_trouble(void);

#endif							/* COURIER_TRANSPORT_H */
