/*
 * wacta.c
 *	  Entry of wacta.so: settings, hooks, and the launcher.
 *
 * wacta.so belongs into shared_preload_libraries.  Without that the functions of
 * the domain still work, since a backend loads the library when it first calls
 * one of them, but no courier runs.  libcurl is not linked here: the couriers
 * have a shared object of their own, which no other process loads.
 *
 * Copyright (c) 2026, the wacta authors
 */
#include "postgres.h"

#include "compat.h"
#include "fmgr.h"
#include "guc.h"
#include "keyring.h"
#include "miscadmin.h"
#include "shmem.h"
#include "wacta.h"

WACTA_MODULE_MAGIC("wacta");

void		_PG_init(void);

/*
 * During pg_upgrade nothing may run in the background: the server is not the
 * site's yet, and its messages must not leave twice.
 */
void
_PG_init(void)
{
	wacta_define_gucs();
	keyring_init();
	wacta_secrecy_init();

	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;

	wacta_shmem_init();
	wacta_wake_init();
	wacta_gate_init();
	wacta_lifecycle_init();
	wacta_register_launcher();
}
