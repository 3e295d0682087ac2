/*
 * One connection: its guards, its prepared statements by number, and running one of them from
 * struct to structs. For one thread at a time, and one transaction at a time. Internal to this
 * folder.
 */
#ifndef STORE_SQLITE_CONNECTION_H
#define STORE_SQLITE_CONNECTION_H

#include "store/engine.h"
#include "store/sqlite_file.h"
#include "store/sqlite_guard.h"

#include <stdatomic.h>

/* Statements of our own. */
enum sqlite_own {
	SQLITE_OWN_BEGIN, /* to read */
	SQLITE_OWN_BEGIN_IMMEDIATE,
	SQLITE_OWN_COMMIT,
	SQLITE_OWN_ROLLBACK,
	SQLITE_OWN_SAVEPOINT,
	SQLITE_OWN_RELEASE,
	SQLITE_OWN_ROLLBACK_TO,
	SQLITE_OWNS,
};

/* What a connection is opened with; lives as long as it. */
struct sqlite_database {
	struct sqlite_file file;
	struct sqlite_schema schema;
};

/* What ends a transaction that runs; asked while statements run. */
struct sqlite_limits {
	const atomic_int *stop;   /* not 0: the negative code why its caller wants no more */
	uint64_t deadline_ns;     /* clock_now_ns */
	uint64_t budget_until_ns; /* TIME_NEVER: none */
};

/* A statement that is kept. */
struct sqlite_prepared {
	sqlite3_stmt *stmt;
	const char *text; /* of the plan it was made or found for last: the address */
};

struct sqlite_connection {
	sqlite3 *db; /* NULL: closed */
	const struct sqlite_database *database;
	struct sqlite_guard guard;
	sqlite3_stmt *own[SQLITE_OWNS];
	struct sqlite_prepared *statements; /* by number; zeroed: not prepared yet */
	size_t statement_room;
	struct tx *tx; /* that runs; NULL: none */
	struct sqlite_limits limits;
	unsigned looks;                /* at the clock, while it ran */
	bool over_budget;              /* that is why it was interrupted */
	const struct statement *slow;  /* the statement that went over the budget; NULL */
	const struct statement *wrote; /* the transaction's last change; NULL: none */
};

/* Opens a connection and sets up its guards. The errors of sqlite_file_open. */
int sqlite_connection_open(struct sqlite_connection *connection,
	const struct sqlite_database *database, enum sqlite_role role);

/* Closed connections and zeroed ones are allowed. */
void sqlite_connection_close(struct sqlite_connection *connection);

/* Runs a statement of our own; the result code. */
int sqlite_connection_do(struct sqlite_connection *connection, enum sqlite_own what);

/* Begins an attempt of a transaction on this connection, and ends it. Commits nothing. */
void sqlite_connection_attach(
	struct sqlite_connection *connection, struct tx *tx, const struct sqlite_limits *limits);
void sqlite_connection_detach(struct sqlite_connection *connection);

/* Prepares a statement under the guards; the caller finalizes it. */
int sqlite_connection_prepare(struct sqlite_connection *connection,
	const struct statement *statement, sqlite3_stmt **ret);

/* What engine_ops.step and engine_ops.enter do, on the transaction's connection. */
int sqlite_connection_step(struct tx *tx, const struct statement *statement, const void *in,
	struct tx_rows *rows, size_t *changed);
int sqlite_connection_enter(struct tx *tx);

/* Binds a value. Its text must stay until the statement has run. */
int sqlite_bind(sqlite3_stmt *stmt, int number, const struct row_value *value);

#endif
