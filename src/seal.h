/*
 * seal.h
 *	  Secrets at rest: OpenPGP encryption (pgcrypto) under the key in wacta.key_file.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef WACTA_SEAL_H
#define WACTA_SEAL_H

/*
 * Decrypts what wacta.seal() made; palloc'd in the current context, and the
 * caller wipes it.  Raises ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE when the
 * key file is missing, and pgcrypto's ERRCODE_EXTERNAL_ROUTINE_INVOCATION_EXCEPTION
 * class when it holds another key.
 */
extern bytea *wacta_unseal(bytea *sealed);

#endif							/* WACTA_SEAL_H */
