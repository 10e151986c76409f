/*
 * wacta.h
 *	  What the files of wacta.so offer one another.
 *
 * A symbol that wacta_courier.so uses as well is PGDLLEXPORT: it finds them in
 * wacta.so, which is preloaded wherever a courier runs.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef WACTA_H
#define WACTA_H

#include "datatype/timestamp.h"

/* clock.c */
extern TimestampTz wacta_now(void);

/* secrecy.c */
extern void wacta_secrecy_init(void);

/* wake.c */
extern void wacta_wake_init(void);
extern void wake_launcher_when_committed(void);

/* launcher.c */
extern void wacta_register_launcher(void);
extern PGDLLEXPORT void wacta_launcher_main(Datum main_arg);

/* gate.c */
extern void wacta_gate_init(void);

/* lifecycle.c */
extern void wacta_lifecycle_init(void);

#endif							/* WACTA_H */
