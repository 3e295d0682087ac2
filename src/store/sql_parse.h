/*
 * The grammar of statements: what a text may be made of, clause by clause. Whatever it does not
 * know is refused, so that every place where an engine would look for a table or call a function is
 * seen here. Internal to this folder.
 */
#ifndef STORE_SQL_PARSE_H
#define STORE_SQL_PARSE_H

#include "store/sql.h"

enum {
	SQL_NAMES_MAX = 64,  /* tables, aliases and so on of a statement, each kind */
	SQL_NAME_MAX = 63,   /* bytes; PostgreSQL cuts longer ones off */
	SQL_LEVELS_MAX = 40, /* of brackets and queries in each other */
};

/* Names, each once. They lie in the text. */
struct sql_names {
	struct str at[SQL_NAMES_MAX];
	size_t count;
};

/* What is asked. */
struct sql_text {
	const char *name; /* of the statement, for sentences */
	enum engine_kind engine;
	bool system;
	const struct sql_token *tokens; /* `count` of them, and SQL_END behind them */
	size_t count;
};

/* What a statement was found to be. */
struct sql_shape {
	enum sql_verb verb;
	struct str target;       /* empty for SQL_READ */
	struct str alias;        /* of the target, or its name */
	struct sql_names tables; /* all it names, without the schema; the target, too */
};

/* Checks the tokens against the grammar and the rules of sql_rules.h. -ERR_INVALID with a sentence
 * that begins with the statement's name. */
int sql_parse(const struct sql_text *text, struct sql_shape *ret);

#endif
