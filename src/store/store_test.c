/* A store of its own for each test, on either engine, with a worker to run in. */
#include "store/store_test.h"

#include "store/migration.h"
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

static struct str make_folder(char *path, size_t size)
{
	const char *base = getenv("TMPDIR");

	(void)snprintf(path, size, "%s/bulkhead-store-XXXXXX", base ? base : "/tmp");
	REQUIRE(mkdtemp(path) != NULL);
	return str_from_c(path);
}

/* --- the store ---------------------------------------------------------------------- */

static void fail_test(const char *doing)
{
	char text[ERR_TEXT_MAX * ERR_FRAMES];

	(void)err_describe(err_last(), text, sizeof(text));
	test_note(false, __FILE__, __LINE__, "%s: %s", doing, text);
	test_end();
}

static void migrate(const struct store_options *options, const struct store_test_module *modules)
{
	struct migration_source sources[MODULES_MAX] = { { "store", store_migrations } };
	struct migration_options how = { .store = *options };
	const struct store_test_module *first = modules;
	size_t count = 1;

	if (options->url.len)
		how.owner_url = store_test_postgres(true);
	for (; modules && modules->name; modules++)
		if (modules->migrations) {
			REQUIRE(count < MODULES_MAX);
			sources[count++] =
				(struct migration_source){ modules->name, modules->migrations };
		}
	if (migrate_up(&how, sources, count) < 0)
		fail_test("migrate_up");
	for (modules = first; modules && modules->name; modules++)
		if (modules->migrated)
			modules->migrated(options);
}

static void open_store(struct store_test *test, const struct store_test_module *modules)
{
	if (store_open(&test->options, &test->store) < 0)
		fail_test("store_open");
	for (; modules && modules->name; modules++) {
		if (store_register(test->store, modules->statements, modules->count) < 0)
			fail_test(modules->name);
		if (modules->registered)
			modules->registered(test->store);
	}
	if (store_start(test->store) < 0)
		fail_test("store_start");
}

/* --- a worker that runs the body ------------------------------------------------------ */

struct run {
	struct store_test test;
	void (*body)(struct store_test *);
	struct worker worker;
};

static int run_body(void *arg)
{
	struct run *run = arg;

	run->body(&run->test);
	worker_stop(&run->worker);
	return 0;
}

static int start_body(struct worker *worker)
{
	struct run *run = worker->arg;

	return scope_spawn(&worker->sched.root, run_body, run);
}

void store_test_run(enum engine_kind engine, const struct store_test_module *modules,
	const struct store_options *options, void (*body)(struct store_test *))
{
	struct run run = { .body = body };
	char path[256];

	if (options)
		run.test.options = *options;
	run.test.options.folder = make_folder(path, sizeof(path));
	if (engine == ENGINE_POSTGRES)
		run.test.options.url = store_test_postgres(false);

	migrate(&run.test.options, modules);
	open_store(&run.test, modules);
	arena_init(&run.test.arena, ARENA, ARENA_LIMIT);
	run.test.worker = &run.worker;
	run.worker.fiber_limit = 10000;
	run.worker.on_start = start_body;
	run.worker.arg = &run;
	REQUIRE(worker_start(&run.worker) == 0);
	worker_join(&run.worker);

	store_close(run.test.store);
	arena_done(&run.test.arena);
	remove_folder(path);
}

struct db store_test_tenant(struct store_test *test, unsigned number)
{
	struct uuid id = { { 0x01, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80 } };

	id.bytes[14] = (uint8_t)(number >> 8);
	id.bytes[15] = (uint8_t)number;
	return db_of(test->store, &id, &test->arena);
}
