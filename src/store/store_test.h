/*
 * Tests that run on both engines from one source:
 *
 *     STORE_TEST(note_is_renamed)
 *     {
 *             struct db db = store_test_tenant(test, 1);
 *             ...
 *     }
 *
 * The body runs in a fiber of a worker, once with a new SQLite file and once with a new database of
 * a real PostgreSQL; both are thrown away afterwards. A test that is for one engine only asks
 * store_is_sqlite, and says so with test_skip.
 */
#ifndef STORE_STORE_TEST_H
#define STORE_STORE_TEST_H

#include "base/test.h"
#include "loop/worker.h"
#include "store/migration.h"
#include "store/sql.h"
#include "store/store.h"

struct store_test {
	struct store *store;
	struct store_options options; /* what it was opened with */
	struct arena arena;
	struct worker *worker;
	void *arg; /* the test's */
	char folder[256];
};

/* What is set up: migrations (texts of x.sql, by module name) and statements. Ends with a NULL
 * name. */
struct store_test_module {
	const char *name;
	const char *migrations;
	const struct statement *const *statements;
	size_t count;
	/* When the database is migrated, and when the statements are registered; before the store
	 * is opened, and started. NULL: nothing. */
	void (*migrated)(const struct store_options *);
	void (*registered)(struct store *);
};

void store_test_run(enum engine_kind engine, const struct store_test_module *modules,
	const struct store_options *options, void (*body)(struct store_test *));

#define STORE_TEST_WITH(name_, modules_, options_)                                                 \
	static void store_test_##name_(struct store_test *test);                                   \
	TEST(name_##_sqlite)                                                                       \
	{                                                                                          \
		store_test_run(ENGINE_SQLITE, modules_, options_, store_test_##name_);             \
	}                                                                                          \
	TEST(name_##_postgres)                                                                     \
	{                                                                                          \
		store_test_run(ENGINE_POSTGRES, modules_, options_, store_test_##name_);           \
	}                                                                                          \
	static void store_test_##name_(struct store_test *test)

/*
 * The parts of store_test_run, for tests that close a store and open it again. The options need a
 * folder, and a URL on PostgreSQL; a test starts with store_test_folder and ends with its removal.
 */
void store_test_folder(struct store_test *test, enum engine_kind engine);
void store_test_migrate(struct store_test *test, const struct store_test_module *modules);

/* Opens, registers and starts. A negative code when that fails; nothing is open then. */
int store_test_open(struct store_test *test, const struct store_test_module *modules);

/* Runs the body in a fiber of a new worker and waits for its end. */
void store_test_work(struct store_test *test, void (*body)(struct store_test *));
void store_test_close(struct store_test *test);
void store_test_remove(struct store_test *test);

/* A handle of tenant 1, 2, ...: fixed ids. */
struct db store_test_tenant(struct store_test *test, unsigned number);

/* URL of this test's database of the test server, which is made by the first call; the owner's when
 * `owner`. Valid until the test ends. */
struct str store_test_postgres(bool owner);

/* The same of a database that store_test_postgres_migrate makes. */
struct str store_test_postgres_url(bool owner);

/*
 * Makes this test's database as migrate_up would: by a copy of one that a test with the same
 * sources has migrated before, since catalogs are copied much faster than they are written.
 * Migrates it when it is there already. Errors are those of migrate_up.
 */
int store_test_postgres_migrate(const struct migration_options *options,
	const struct migration_source *sources, size_t count);

#endif
