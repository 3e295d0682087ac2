/*
 * For tests of the SQLite engine: a folder with a database made by hand, and fibers on workers that
 * use it.
 */
#ifndef STORE_SQLITE_TEST_H
#define STORE_SQLITE_TEST_H

#include "base/test.h"
#include "loop/worker.h"
#include "store/store.h"

#include <sqlite3.h>

enum { SQLITE_TEST_FIBERS = 600 };

struct sqlite_test {
	char folder[64];
	struct store_options options;
	struct store *store;
	struct worker worker;
	void (*body)(struct sqlite_test *);
	struct arena arena;
	void *arg; /* the test's */
};

/* A new folder with a database of the tables below. */
void sqlite_test_make(struct sqlite_test *test);
void sqlite_test_make_tables(struct sqlite_test *test);

/* Runs SQL on the file with a connection of its own. The store may be open. */
void sqlite_test_sql(struct sqlite_test *test, const char *sql);

/* The number that a query on the file gives. */
int64_t sqlite_test_number(struct sqlite_test *test, const char *sql);

/* Opens the store, registers the statements below and starts it. */
void sqlite_test_open(struct sqlite_test *test);

/* Runs the body in a fiber of a new worker, and waits for all fibers of it. */
void sqlite_test_run(struct sqlite_test *test, void (*body)(struct sqlite_test *));

/* Closes the store; sqlite_test_remove the folder, too. */
void sqlite_test_close(struct sqlite_test *test);
void sqlite_test_remove(struct sqlite_test *test);

/* The handle of tenant 1, 2, ... */
struct db sqlite_test_db(struct sqlite_test *test, unsigned tenant, struct arena *arena);
struct uuid sqlite_test_id(unsigned number);
struct str sqlite_test_id_text(struct arena *arena, unsigned number);

/* --- the tables ------------------------------------------------------------------ */

/* A note with a unique slug, a rule for its stars, and a box that it may lie in. */
struct note {
	struct str id;
	struct str slug;
	int64_t stars;
	struct opt_str box_id;
	struct str body;
};

struct number {
	int64_t number;
};

extern const struct schema note_schema;
extern const struct statement note_add, note_get, note_star, note_delete, note_count, note_all,
	note_upsert, spin, spin_write, later_add;
extern const struct statement *const sqlite_test_statements[];
extern const size_t sqlite_test_statement_count;

#endif
