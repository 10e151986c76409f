/*
 * token.h
 *	  Minting of customers' tokens, for what fills a request.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef WACTA_TOKEN_H
#define WACTA_TOKEN_H

#include "datatype/timestamp.h"

/*
 * A token of the signed form, palloc'd, signed with the newest key of the ring.
 * message_id 0: none; expires NULL: never.  Raises ERRCODE_INVALID_PARAMETER_VALUE
 * for an action or a time that a token cannot carry.
 */
extern char *wacta_signed_token(int64 lead_id, int64 message_id, const char *action,
								TimestampTz issued, const TimestampTz *expires);

/* A token of the seed form, palloc'd. */
extern char *wacta_seed_token(int64 lead_id, TimestampTz issued);

#endif							/* WACTA_TOKEN_H */
