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
	char name[32];      /* PostgreSQL: of the prepared statement, made from name and text */
	enum sql_verb verb;
	bool system;
	struct str target; /* the table that is written, without main.; empty for SQL_READ */
	struct str alias;  /* what the target's columns are called with; `target` without one */
	/* all tables it names, the target included, without main., each once. A tenant statement
	 * may run only when each of them is a table of tenants: the text cannot tell. */
	struct str *tables;
	size_t table_count;
	struct sql_param *params;
	size_t param_count;
	/* by engine_ops.check: for each column of the answer the one of the `out` schema */
	size_t *columns;
	uint32_t *column_types; /* PostgreSQL: oids */
	size_t column_count;
	bool at_most_one; /* PostgreSQL: a change that is sure to touch one row at most */
	bool few_rows;    /* PostgreSQL: a LIMIT or the like bounds its answer */
};

/*
 * Makes the plan of a statement for an engine and checks what can be checked without a database.
 * The text that an engine gets is made of the tokens that were checked: comments are left out.
 * Whatever is not in the grammar of sql_parse.c is refused; beyond that:
 *
 *  - one statement (a semicolon may end it), ASCII, SELECT, VALUES, INSERT, UPDATE or DELETE, with
 *    or without a WITH whose queries only read. No OR REPLACE and its like: ON CONFLICT instead.
 *    INSERT names its columns;
 *  - every parameter is a member of `in`, :tenant or :now, and not positional;
 *  - names are bare, or quoted and of small letters; in front of a dot stands a table or an alias
 *    of the statement, or `main`; no table or alias is called like a schema, pg_x or sqlite_x;
 *  - functions, types of casts and collations are those of sql_words.c. Nothing that depends on
 *    the time or the session;
 *  - a tenant statement reads tables by their plain name and names main.x once, for what it writes.
 *    INSERT gives tenant_id the value :tenant; the WHERE of UPDATE and DELETE is tenant_id =
 *    :tenant (of the target) AND ...; DO UPDATE has tenant_id among its conflict's columns;
 *    tenant_id is not assigned; RETURNING has no queries;
 *  - a system statement names every table main.x, unless it is a common table expression or a
 *    function;
 *  - rows are locked (FOR UPDATE and its like) on PostgreSQL and by statements that write.
 *
 * -ERR_INVALID with a sentence that begins with the statement's name; -ERR_NO_MEMORY.
 */
int sql_plan_make(const struct statement *statement, enum engine_kind engine, struct sql_plan *ret);
void sql_plan_done(struct sql_plan *plan);

#endif
