/*
 * refuse.h
 *	  What needs no database: requests that are refused, and the figures.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_REFUSE_H
#define GATEWAY_REFUSE_H

#include "exchange.h"

/* True if it has answered the request; else its function and identity are known. */
extern bool refuse_request(Exchange *exchange);

/* Makes a 429 of a refusal by the database, if the client's address is limited. */
extern void refuse_bad_proof(Exchange *exchange);

/* Takes the points that the reply costs from the client's address. */
extern void refuse_charge(const Exchange *exchange);

#endif							/* GATEWAY_REFUSE_H */
