/*
 * A statement is a constant: its text, and the tables that describe its parameters and its rows.
 *
 *     static const struct statement note_get = STATEMENT("note_get",
 *             .sql = "SELECT id, title, version FROM note WHERE tenant_id = :tenant AND id = :id",
 *             .in = &note_ref_schema, .out = &note_schema);
 *
 * One text serves both engines wherever their dialects allow; otherwise .sqlite and .postgres stand
 * beside each other. Only statements that were registered at the start can run; they are prepared
 * and checked then, so no text is ever made from input.
 *
 * Parameters are written :name. A name is a member of the struct of `in`, except these two, which
 * the store binds itself:
 *
 *     :tenant   the tenant of the handle
 *     :now      the time of the transaction, microseconds since 1970
 *
 * Columns of the answer have the names of members of the struct of `out`; every column must be
 * one. Members without a column stay zero. How values become columns is told in schema/row.h.
 *
 * What a statement may do (doc/store.md, "Tenancy"):
 *
 *     A tenant statement reads tables by their plain name, which shows the rows of its tenant, and
 *     writes at most one table, named main.x right behind INTO, DELETE FROM or UPDATE (columns of
 *     the target through an alias: UPDATE main.note AS n ... WHERE n.id = :id). INSERT names
 *     tenant_id among its columns and gives it the value :tenant; the WHERE of UPDATE and DELETE
 *     is tenant_id = :tenant AND ...; ON CONFLICT ... DO UPDATE has tenant_id among the columns of
 *     the conflict. Functions and types are those on the lists in store/sql_words.c.
 *
 *     A STATEMENT_SYSTEM statement crosses tenants. It names all tables main.x and runs on a
 *     system handle only. A test lists them; there should be few.
 */
#ifndef STORE_STATEMENT_H
#define STORE_STATEMENT_H

#include "schema/schema.h"

#pragma GCC visibility push(default)

enum statement_flags {
	STATEMENT_SYSTEM = 1,    /* crosses tenants */
	STATEMENT_PLAN_ONCE = 2, /* PostgreSQL plans it once, for any parameters, and by indexes,
				    since the plan of an empty table stays; and what follows in the
				    transaction */
};

/* The least and the most a change must touch; see tx_exec. */
enum statement_expect {
	EXPECT_ANY,
	EXPECT_ONE, /* exactly one row; none is -ERR_NOT_FOUND */
};

struct statement_slot;

struct statement {
	const char *name; /* one of its kind: "note_get"; in logs, metrics and errors */
	const char *sql;  /* for both engines, */
	const char *sqlite, *postgres; /* or for one of them */
	const struct schema *in, *out; /* of parameters and rows; NULL: none */
	unsigned flags;                /* enum statement_flags */
	enum statement_expect expect;
	struct statement_slot *slot; /* where registration keeps its result */
};

#define STATEMENT(name_, ...)                                                                      \
	{                                                                                          \
		.name = (name_), .slot = &(struct statement_slot){ 0 }, ##__VA_ARGS__              \
	}

/* For the store. */
enum { STATEMENT_ENGINES = 2 };

struct statement_slot {
	size_t number; /* from 1 on, in this process; 0: never registered */
	struct sql_plan *plan[STATEMENT_ENGINES]; /* by enum engine_kind (store/engine.h) */
	size_t uses[STATEMENT_ENGINES];
};

#pragma GCC visibility pop

#endif
