/*
 * What tables the database has: read once when it is opened, since nobody can change it while we
 * hold the lock of the folder. Internal to this folder.
 */
#ifndef STORE_SQLITE_SCHEMA_H
#define STORE_SQLITE_SCHEMA_H

#include "base/arena.h"

#include <sqlite3.h>

enum {
	SQLITE_TABLES_MAX = 1000,
	SQLITE_REFERENCES_MAX = 64,        /* foreign keys of a table */
	SQLITE_REFERENCE_COLUMNS_MAX = 16, /* of a foreign key */
};

/* A foreign key of a table. */
struct sqlite_reference {
	struct str table; /* the one it refers to */
	struct str from[SQLITE_REFERENCE_COLUMNS_MAX], to[SQLITE_REFERENCE_COLUMNS_MAX];
	size_t count;
};

struct sqlite_table {
	struct str name;   /* NUL behind it */
	bool tenant;       /* has a column tenant_id */
	int tenant_column; /* its number from 0 on, as the hook counts them */
	bool referenced;   /* by a foreign key of another or of itself */
	struct sqlite_reference *references;
	size_t reference_count;
};

struct sqlite_schema {
	struct arena arena; /* everything below */
	struct sqlite_table *tables;
	size_t count;
};

/* -ERR_INVALID for what we cannot guard, and the errors of reading. */
int sqlite_schema_read(sqlite3 *db, struct sqlite_schema *ret);

/* Zeroed ones are allowed. */
void sqlite_schema_done(struct sqlite_schema *schema);

/* The table of that name in any case, as SQLite compares them; NULL. */
const struct sqlite_table *sqlite_schema_find(const struct sqlite_schema *schema, struct str name);

/* The names of the tenants' tables, those that refer to others first; of a circle in any order. */
int sqlite_schema_order(const struct sqlite_schema *schema, struct arena *arena, struct str **ret,
	size_t *ret_count);

#endif
