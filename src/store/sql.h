/*
 * The text of statements: cut into tokens, checked against the rules of tenancy, and turned into
 * what an engine wants. No database is asked here, so all of it is pure and fuzzed. Internal to
 * this folder.
 */
#ifndef STORE_SQL_H
#define STORE_SQL_H

#include "base/arena.h"
#include "store/statement.h"

enum engine_kind { ENGINE_SQLITE, ENGINE_POSTGRES };

enum {
	SQL_TEXT_MAX = 64 * 1024, /* bytes of a statement */
	SQL_PARAMS_MAX = 64,      /* different names in one statement */
	SQL_COLUMNS_MAX = 128,    /* of an answer */
};

/* --- tokens --------------------------------------------------------------------- */

enum sql_token_kind {
	SQL_END,
	SQL_WORD,   /* bare identifier or keyword */
	SQL_QUOTED, /* "x", `x`, [x] */
	SQL_STRING, /* 'x'; on PostgreSQL also E'x' and $tag$x$tag$ */
	SQL_NUMBER,
	SQL_PARAMETER, /* :name */
	SQL_SIGN,      /* one byte of punctuation, or :: */
};

struct sql_token {
	enum sql_token_kind kind;
	struct str text; /* as written, quotes included */
	struct str body; /* without quotes (doubled ones stay doubled) or colon */
};

struct sql_scan {
	struct str rest;
	enum engine_kind engine; /* which quotes there are */
};

/* The next token, comments and white space skipped; SQL_END again and again at the end.
 * -ERR_INVALID for an open quote or comment, a byte that is not ASCII outside of strings and
 * comments, a control byte, and a parameter that is not :name. */
int sql_next(struct sql_scan *scan, struct sql_token *ret);

/* True when the token is that word (given in upper case), bare. */
bool sql_is(const struct sql_token *token, const char *word);

/* True when the token can be read as that name, in any case, bare or quoted in whatever way. */
bool sql_names(const struct sql_token *token, const char *name);

/*
 * Cuts the next statement off a text of several, at its semicolon (which is left out; those inside
 * of BEGIN ... END of a trigger, of strings and of $$ bodies do not count). White space and
 * comments before it are skipped. 1, or 0 when there is none any more; -ERR_INVALID.
 */
int sql_cut(struct str *rest, enum engine_kind engine, struct str *ret);

/* --- plans ----------------------------------------------------------------------- */

enum sql_verb { SQL_READ, SQL_INSERT, SQL_UPDATE, SQL_DELETE };

enum sql_param_source { SQL_MEMBER, SQL_TENANT, SQL_NOW };

struct sql_param {
	enum sql_param_source source;
	size_t column; /* SQL_MEMBER: of the `in` schema, as in schema/row.h */
	uint32_t type; /* PostgreSQL: oid, from the server */
};

/* A statement as an engine runs it. Owned by the slot; read-only once the start is over. */
struct sql_plan {
	struct arena arena; /* everything below */
	struct str text;    /* with ?1, ?2 or $1, $2 for the parameters; NUL behind it */
	char name[32];      /* PostgreSQL: of the prepared statement, made from the text */
	enum sql_verb verb;
	bool system;
	struct str target; /* the table that is written; empty for SQL_READ */
	struct sql_param *params;
	size_t param_count;
	/* by engine_ops.check: for each column of the answer the one of the `out` schema */
	size_t *columns;
	uint32_t *column_types; /* PostgreSQL: oids */
	size_t column_count;
	bool at_most_one; /* PostgreSQL: a change that is sure to touch one row at most */
};

/*
 * Makes the plan of a statement for an engine and checks what can be checked without a database:
 *
 *  - one statement, ASCII, its first word SELECT, INSERT, UPDATE, DELETE, WITH or VALUES (REPLACE
 *    only as INSERT ... ON CONFLICT);
 *  - every parameter is a member of `in`, :tenant or :now, and not positional;
 *  - of a tenant statement: a token that can be read as `main` and is followed by a dot stands at
 *    most once, directly behind INTO, DELETE FROM, UPDATE or UPDATE OR x, and only when it is the
 *    verb's own target; `temp`, `pg_temp`, `pg_catalog`, `information_schema` and other schemas
 *    never; sqlite_x and pg_x tables never; no common table expression or alias called main; a
 *    statement that writes names :tenant;
 *  - of a system statement: every table behind FROM, JOIN, INTO, UPDATE or DELETE FROM is main.x or
 *    the name of a common table expression or a function;
 *  - on PostgreSQL: no function off the list in sql_rules.c; no SET, set_config, DO, COPY, LISTEN,
 *    LOCK, FOR UPDATE in a read, SELECT INTO, writing common table expressions.
 *
 * -ERR_INVALID with a sentence that begins with the statement's name.
 */
int sql_plan_make(const struct statement *statement, enum engine_kind engine, struct sql_plan *ret);
void sql_plan_done(struct sql_plan *plan);

#endif
