/*
 * The store of the program: opened once, before anything is served, closed when nothing runs any
 * more. With a database URL it is PostgreSQL, else a SQLite file in the data folder.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "store/db.h"

/* What it is opened with; texts and what they point at live as long as the store. Sizes in bytes,
 * times in nanoseconds; 0 is the default in parentheses. */
struct store_options {
	struct str folder; /* DATA_DIR: of bulkhead.db, backups; NUL behind it */

	/* SQLite */
	size_t read_threads; /* for reads that take longer than a worker may stand still (2) */
	size_t write_queue;  /* transactions that may wait for the writer (4096) */
	size_t cache_bytes;  /* page cache of the writer (16 MB); readers have a quarter */

	/* PostgreSQL */
	struct str url;             /* of the login without rights of an owner; empty: SQLite */
	struct str direct_url;      /* past a pooler; empty: `url` */
	size_t pool_max;            /* connections (10), and one more for hints (doc/notices.md) */
	size_t pool_queue;          /* callers that may wait for one (64 for each connection) */
	uint64_t pool_wait_ns;      /* at most so long (2 s) */
	uint64_t connection_age_ns; /* replaced then (30 min) */
	uint64_t connect_ns;        /* a connection must stand by then (5 s) */
	bool unprepared;            /* no prepared statements, for a pooler that cannot keep them */
	bool production;            /* refuses fsync=off and a login that owns tables */
};

/* Opens the database, which migrate_up has brought up to date. -ERR_UNAVAILABLE,
 * -ERR_IO, -ERR_INVALID (a corrupt file, a login with too many rights) with sentences for people.
 */
int store_open(const struct store_options *options, struct store **ret);

/*
 * Compiles and checks statements (all their schemas included) against the migrated database. All of
 * them or none; the first mistake is the error. Before store_start.
 */
int store_register(struct store *store, const struct statement *const *statements, size_t count);

/* The tables that have tenants, by their plain names, those that refer to others first. In the
 * arena. Before store_start. */
int store_tenant_tables(
	struct store *store, struct arena *arena, struct str **ret, size_t *ret_count);

/* From here on transactions run. */
int store_start(struct store *store);

/* Ends threads and connections. NULL is allowed. No fiber may be in a transaction. */
void store_close(struct store *store);

/* True when this is the SQLite engine. */
bool store_is_sqlite(const struct store *store);

/* Whether it answers: for health checks. Runs a statement; 0 or the error. */
int store_ping(struct store *store, struct arena *arena);

#endif
