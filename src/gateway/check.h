/*
 * check.h
 *	  Will it work? Tried before it is needed.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_CHECK_H
#define GATEWAY_CHECK_H

#include <stdbool.h>

#include "jwt.h"
#include "options.h"

/* Says what is well on standard output, what is not on standard error. */
extern bool check_all(const Options *options, const JwtKeys *keys);

#endif							/* GATEWAY_CHECK_H */
