/* What words mean in statements, which functions may be called, and which types be cast to: tables.
 * Internal to this folder. */
#ifndef STORE_SQL_WORDS_H
#define STORE_SQL_WORDS_H

#include "store/sql.h"

/* What a bare word is, when it is more than a name. */
enum sql_word_flags {
	WORD_RESERVED = 1, /* never a name */
	WORD_CLAUSE = 2,   /* ends an expression: a clause begins, or goes on */
	WORD_BRACKET = 4,  /* a bracket behind it is not that of a call */
	WORD_REFUSED = 8,  /* never stands in an expression */
};

/* The flags of a word; 0 of every other token. */
unsigned sql_word(const struct sql_token *token);

/* Where a function is called. */
enum sql_call {
	CALL_VALUE, /* in an expression */
	CALL_TABLE, /* as a table, behind FROM */
};

/* True when the function is on the list: for everybody, or, with `system`, for system statements.
 */
bool sql_function_allowed(
	const struct sql_token *name, enum engine_kind engine, enum sql_call call, bool system);

/* True when it is the name of a type that may be cast to (the first word of two: DOUBLE). */
bool sql_type_allowed(const struct sql_token *name, enum engine_kind engine, bool system);

/* True for a collation that is the same everywhere. */
bool sql_collation_allowed(const struct sql_token *name, enum engine_kind engine);

#endif
