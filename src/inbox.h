/*
 * inbox.h
 *	  The inbox worker, as others see it.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef WACTA_INBOX_H
#define WACTA_INBOX_H

extern PGDLLEXPORT void wacta_inbox_main(Datum main_arg);

extern bool inbox_is_served(void);
extern bool am_inbox_worker(void);

#endif							/* WACTA_INBOX_H */
