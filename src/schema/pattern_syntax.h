/* The syntax of patterns: ECMA-262 in, PCRE2 out. Private to this folder. */
#ifndef SCHEMA_PATTERN_SYNTAX_H
#define SCHEMA_PATTERN_SYNTAX_H

#include "base/buf.h"

/*
 * Appends the pattern as PCRE2 reads it. Returns 0, ERR_INVALID for what is not in the common part
 * of both syntaxes, or the buffer's failure. What passes may still be refused by PCRE2 (a group
 * that is not closed, a range out of order, a property that does not exist).
 */
int pattern_translate(struct str source, struct buf *ret) WARN_UNUSED;

#endif
