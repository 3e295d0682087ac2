/* A store of its own for each test, on either engine, with a worker to run in. */
#include "store/store_test.h"

#include "store/store_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MODULES_MAX = 16, ARENA = 64 * 1024, ARENA_LIMIT = 64 * 1024 * 1024 };

/* --- a folder --------------------------------------------------------------------- */

static void remove_folder(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		char name[512];

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		(void)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (entry->d_type == DT_DIR)
			remove_folder(name);
		else
			(void)unlink(name);
	}
	if (folder)
		(void)closedir(folder);
	(void)rmdir(path);
}

void store_test_folder(struct store_test *test, enum engine_kind engine)
{
	const char *base = getenv("TMPDIR");

	(void)snprintf(test->folder, sizeof(test->folder), "%s/bulkhead-store-XXXXXX",
		base ? base : "/tmp");
	REQUIRE(mkdtemp(test->folder) != NULL);
	test->options.folder = str_from_c(test->folder);
	if (!test->options.pool_wait_ns)
		test->options.pool_wait_ns = 20 * SECOND; /* slow machines */
	if (engine == ENGINE_POSTGRES)
		test->options.url = store_test_postgres_url(false);
}

void store_test_remove(struct store_test *test)
{
	remove_folder(test->folder);
}

/* --- the store ---------------------------------------------------------------------- */

static void fail_test(const char *doing)
{
	char text[ERR_TEXT_MAX * ERR_FRAMES];

	(void)err_describe(err_last(), text, sizeof(text));
	test_note(false, __FILE__, __LINE__, "%s: %s", doing, text);
	test_end();
}

void store_test_migrate(struct store_test *test, const struct store_test_module *modules)
{
	struct migration_source sources[MODULES_MAX] = { { "store", store_migrations } };
	struct migration_options how = { .store = test->options };
	size_t count = 1;

	for (const struct store_test_module *each = modules; each && each->name; each++)
		if (each->migrations) {
			REQUIRE(count < MODULES_MAX);
			sources[count++] =
				(struct migration_source){ each->name, each->migrations };
		}
	if ((test->options.url.len ? store_test_postgres_migrate : migrate_up)(
		    &how, sources, count) < 0)
		fail_test("migrate_up");
	for (; modules && modules->name; modules++)
		if (modules->migrated)
			modules->migrated(&test->options);
}

int store_test_open(struct store_test *test, const struct store_test_module *modules)
{
	int r = store_open(&test->options, &test->store);

	if (r < 0)
		return r;
	for (; modules && modules->name && r == 0; modules++) {
		r = store_register(test->store, modules->statements, modules->count);
		if (r == 0 && modules->registered)
			modules->registered(test->store);
	}
	if (r == 0)
		r = store_start(test->store);
	if (r < 0) {
		struct err err = *err_last();

		store_close(test->store);
		test->store = NULL;
		return fail(err.code, "%s", err.frames[err.depth - 1].text);
	}
	return 0;
}

void store_test_close(struct store_test *test)
{
	store_close(test->store);
	test->store = NULL;
}

/* --- a worker that runs the body ------------------------------------------------------ */

struct run {
	struct store_test *test;
	void (*body)(struct store_test *);
	struct worker worker;
};

static int run_body(void *arg)
{
	struct run *run = arg;

	run->body(run->test);
	worker_stop(&run->worker);
	return 0;
}

static int start_body(struct worker *worker)
{
	struct run *run = worker->arg;

	return scope_spawn(&worker->sched.root, run_body, run);
}

void store_test_work(struct store_test *test, void (*body)(struct store_test *))
{
	struct run run = { .test = test, .body = body };

	arena_init(&test->arena, ARENA, ARENA_LIMIT);
	test->worker = &run.worker;
	run.worker.fiber_limit = 10000;
	run.worker.on_start = start_body;
	run.worker.arg = &run;
	REQUIRE(worker_start(&run.worker) == 0);
	worker_join(&run.worker);
	test->worker = NULL;
	arena_done(&test->arena);
}

void store_test_run(enum engine_kind engine, const struct store_test_module *modules,
	const struct store_options *options, void (*body)(struct store_test *))
{
	struct store_test test = { 0 };

	if (options)
		test.options = *options;
	store_test_folder(&test, engine);
	store_test_migrate(&test, modules);
	if (store_test_open(&test, modules) < 0)
		fail_test("the store");
	store_test_work(&test, body);
	store_test_close(&test);
	store_test_remove(&test);
}

struct db store_test_tenant(struct store_test *test, unsigned number)
{
	struct uuid id = { { 0x01, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80 } };

	id.bytes[14] = (uint8_t)(number >> 8);
	id.bytes[15] = (uint8_t)number;
	return db_of(test->store, &id, &test->arena);
}
