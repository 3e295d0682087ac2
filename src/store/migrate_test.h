/* Runs of migrations in tests, on either engine: a folder or a database of the test's own, what the
 * run says kept as text, and ways to look at what came out. */
#ifndef STORE_MIGRATE_TEST_H
#define STORE_MIGRATE_TEST_H

#include "base/buf.h"
#include "base/test.h"
#include "store/migration.h"
#include "store/sql.h"

struct migrate_test {
	enum engine_kind engine;
	char folder[64];
	struct migration_options options;
	struct buf said; /* lines, NUL-free */
};

/* A new place; on PostgreSQL the database of this test. */
void migrate_test_open(struct migrate_test *test, enum engine_kind engine);
void migrate_test_close(struct migrate_test *test);

/* migrate_up of one module "notes", or of the store and it. */
int migrate_test_up(struct migrate_test *test, const char *text);
int migrate_test_down(struct migrate_test *test, const char *text, size_t steps);

/* The first column of the first row as text, "" without one; by who owns the tables. */
const char *migrate_test_ask(struct migrate_test *test, const char *sql);

/* Runs SQL by who owns the tables; several statements are allowed. */
void migrate_test_run(struct migrate_test *test, const char *sql);

/* Ends the test when the call failed, and shows why. */
void migrate_test_must(int r, const char *file, int line);
#define MUST(call) migrate_test_must(call, __FILE__, __LINE__)

/* Expects a failure with that code whose text contains the words. */
void migrate_test_fails(int r, int code, const char *words, const char *file, int line);
#define FAILS(call, code, words) migrate_test_fails(call, code, words, __FILE__, __LINE__)

/* A test for both engines. */
#define MIGRATE_TEST(name_)                                                                        \
	static void migrate_test_##name_(struct migrate_test *test);                               \
	TEST(name_##_sqlite)                                                                       \
	{                                                                                          \
		struct migrate_test test;                                                          \
		migrate_test_open(&test, ENGINE_SQLITE);                                           \
		migrate_test_##name_(&test);                                                       \
		migrate_test_close(&test);                                                         \
	}                                                                                          \
	TEST(name_##_postgres)                                                                     \
	{                                                                                          \
		struct migrate_test test;                                                          \
		migrate_test_open(&test, ENGINE_POSTGRES);                                         \
		migrate_test_##name_(&test);                                                       \
		migrate_test_close(&test);                                                         \
	}                                                                                          \
	static void migrate_test_##name_(struct migrate_test *test)

#endif
