/* A blocking connection to PostgreSQL for migrations. Internal to this folder. */
#ifndef STORE_MIGRATE_PG_H
#define STORE_MIGRATE_PG_H

#include "store/migrate.h"

#include <libpq-fe.h>

/* Of the advisory lock, which is one of the database: "bulkhead" as a number. */
#define MIGRATE_LOCK_KEY "7094695996560859492"

enum { PG_NAME_MAX = 63, PG_PARAMS_MAX = 8 };

struct pg_migrator {
	PGconn *connection;
	char app[PG_NAME_MAX + 1]; /* the login of the program */
	char system[PG_NAME_MAX + 1];
	char owner[PG_NAME_MAX + 1]; /* who migrates; may be `app` */
	char state[6]; /* SQLSTATE of the last failure; "" when the connection broke */
};

static inline struct pg_migrator *pg_migrator_of(struct migrate_run *run)
{
	return run->database;
}

/*
 * Runs a statement; the values are texts, its result the caller's to clear (`ret` NULL: not
 * wanted). Fails with the server's sentence: -ERR_UNAVAILABLE for a broken connection, a server
 * that stops or has no room, a lock that was not to be had, a deadlock; else -ERR_INVALID.
 */
int pg_migrator_run(struct pg_migrator *pg, const char *sql, size_t count,
	const char *const *values, PGresult **ret);

/* The same, without values and result. */
int pg_migrator_do(struct pg_migrator *pg, const char *sql);

/* The login, its role for system work, the schema: what needs more rights than tables do. In a
 * transaction. 1 from a dry run that would have to make roles first; -ERR_FORBIDDEN when the owner
 * may not (say has told what an administrator runs). */
int pg_secure_roles(struct migrate_run *run);

/* Row-level security, policies and grants of all tables of the schema, and what is wrong with them.
 * In a transaction; changes nothing when nothing is to be changed. */
int pg_secure_tables(struct migrate_run *run);

/* Lets the owner touch the rows of all tenants until pg_secure_tables, in a transaction. */
int pg_open_tables(struct migrate_run *run);

#endif
