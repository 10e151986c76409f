/*
 * text.h
 *	  Bytes from the network made into text that PostgreSQL takes.
 *
 * Copyright (c) 2026, the wacta authors
 */
#ifndef GATEWAY_TEXT_H
#define GATEWAY_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"

/* A copy in which what is not UTF-8, and a zero byte, is U+FFFD. */
extern char *text_clean(Arena *arena, const char *bytes, size_t len);

/* Percent-decoded and clean; a "%" that starts no escape stands for itself. */
extern char *text_decode(Arena *arena, const char *bytes, size_t len, bool plus_is_space);

/* Does the text hold %2F, %3F, %3D or %26? */
extern bool text_has_encoded_delimiter(const char *text, size_t len);

/* %2F %3F %3D %26 turned into / ? = &, all else left as it is. */
extern char *text_decode_delimiters(Arena *arena, const char *text, size_t len);

/* Without trailing full stops and closing parentheses, in place. */
extern void text_trim_link(char *text);

extern bool text_equal_nocase(const char *a, const char *b);
extern bool text_starts_nocase(const char *text, const char *prefix);

/* Is it a token of RFC 9110, as names of headers are? */
extern bool text_is_token(const char *text);

/* The token of an Authorization header, NULL if its scheme is not Bearer. */
extern const char *text_bearer_token(const char *authorization);

#endif							/* GATEWAY_TEXT_H */
