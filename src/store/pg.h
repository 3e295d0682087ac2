/* The PostgreSQL engine from inside: what its parts share. Internal to this folder. */
#ifndef STORE_PG_H
#define STORE_PG_H

#include "store/pg_pool.h"
#include "store/store.h"

/* --- what the database holds, read once at the start -------------------------------- */

enum pg_constraint_kind { PG_UNIQUE_INDEX, PG_FOREIGN_KEY, PG_CHECK };

struct pg_constraint {
	enum pg_constraint_kind kind;
	struct str table, name;
	struct str blamed; /* the column that is to blame; empty when it is not one */
	struct str other;  /* PG_FOREIGN_KEY: the table that is referred to */
	struct str *keys;  /* PG_UNIQUE_INDEX: all columns, when a row is found by them alone */
	size_t key_count;
};

struct pg_catalog {
	struct arena arena;
	struct str *tenant_tables; /* those that refer to others first */
	size_t tenant_table_count;
	struct str circle; /* one of several tables that refer to each other; empty: none */
	struct pg_constraint *constraints;
	size_t constraint_count;
};

/* Reads it over a connection in blocking mode. -ERR_IO, -ERR_INVALID, -ERR_NO_MEMORY. */
int pg_catalog_read(PGconn *pg, struct pg_catalog *ret);
void pg_catalog_done(struct pg_catalog *catalog);

/* NULL when there is none (since a migration while we run, perhaps). */
const struct pg_constraint *pg_constraint_find(
	const struct pg_catalog *catalog, struct str table, struct str name);

/* --- errors -------------------------------------------------------------------------- */

/* What an error means for the transaction. */
enum pg_trouble {
	PG_FINE,
	PG_REFUSED,   /* it fails */
	PG_CONFLICT,  /* it can be run again */
	PG_STALE,     /* a prepared statement is not what we think: again */
	PG_GONE,      /* the server has ended the connection */
	PG_ABANDONED, /* the caller did not wait: the connection cannot be used any more */
};

/*
 * Fills the error slot from a result that is an error, and says what it means. `statement` may be
 * NULL (a command of ours).
 */
enum pg_trouble pg_error(const PGresult *result, const struct pg_catalog *catalog,
	const struct statement *statement, int *ret);

/* --- checks at the start ------------------------------------------------------------- */

/* Refuses a server or a login that would undo what keeps tenants apart. Blocks. */
int pg_check_rights(PGconn *pg, const struct store_options *options);

/* Prepares a statement, and fills in what only the server knows. Blocks. */
int pg_check_statement(
	PGconn *pg, const struct pg_catalog *catalog, const struct statement *statement);

/* Whether the change of a plan, which has this text, is sure to touch one row at most
 * (pg_single.c). */
bool pg_touches_one(const struct pg_catalog *catalog, struct str text, const struct sql_plan *plan);

/* Whether a text bounds the number of rows it gives. */
bool pg_has_limit(struct str text);

/* --- the engine ------------------------------------------------------------------------ */

struct pg_engine {
	struct engine engine;
	const struct store_options *options;
	struct arena arena; /* of what is made once */
	const char *login;  /* of tenants' sessions */
	const char *role;   /* what system sessions put on */
	struct pg_catalog catalog;
	struct offload offload;
	bool offloading;
	PGconn *check, *check_system;            /* until the start */
	struct pg_text commands[2][PG_COMMANDS]; /* of tenant and of system sessions */
	struct pg_pool tenant, system;
	bool started;
	bool pooled;                /* a pooler stands between us and the server */
	atomic_bool unprepared;     /* no prepared statements */
	_Atomic unsigned surprises; /* prepared statements that were not where we left them */
	const struct metric *conflicts, *repetitions, *unknown; /* counters */
};

/* engine_ops.run, step and enter (pg_tx.c). */
int pg_tx_run(struct engine *engine, struct tx *tx);
int pg_tx_step(struct tx *tx, const struct statement *statement, const void *in,
	struct tx_rows *rows, size_t *changed);
int pg_tx_enter(struct tx *tx);

#endif
