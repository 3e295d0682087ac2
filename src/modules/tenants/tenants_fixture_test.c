/*
 * Databases that earlier versions have made are opened by this one: tests/fixtures/VERSION.db and
 * VERSION.sql (a dump of PostgreSQL). The same steps make them and read them:
 *
 *     WRITE_FIXTURES=tests/fixtures build/debug/unit fixture_of_this_version
 *
 * writes those of the version that is compiled, once, when it is released.
 */
#include "modules/tenants/tenants_internal.h"

#include "base/version.h"
#include "rest/idempotency.h"
#include "rest/world_test.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

static const struct module *const modules[] = { &rest_module, &tenants_module, &audit_module,
	NULL };

/* tests/fixtures of the working copy that this program was built in: build/FLAVOUR/unit. */
static void find_fixtures(char *path, size_t size)
{
	char program[PATH_SIZE];
	ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);

	REQUIRE(len > 0);
	program[len] = '\0';
	for (int up = 0; up < 3; up++)
		*strrchr(program, '/') = '\0';
	REQUIRE((size_t)snprintf(path, size, "%s/tests/fixtures", program) < size);
}

PRINTF_LIKE(1, 2)
static void run(const char *format, ...)
{
	char command[3 * PATH_SIZE];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	test_note(system(command) == 0, __FILE__, __LINE__, "%s", command);
}

/* --- what is in them ------------------------------------------------------------------ */

static void make_rows(struct world *world)
{
	struct answer answer =
		world_call(world, "olga", "POST /api/v1/tenants", "Idempotency-Key: acme\r\n",
			"{\"slug\":\"acme\",\"name\":\"Acme \xc3\xa4\",\"tier\":\"professional\","
			"\"settings\":{\"colour\":\"red\",\"list\":[1,2,{\"deep\":null}]},"
			"\"limits\":{\"requestsPerMinute\":5000}}");

	REQUIRE(answer.status == 201);
	answer = world_call(world, "olga", "POST /api/v1/tenants", "",
		"{\"slug\":\"other\",\"name\":\"Other\",\"tier\":\"free\"}");
	REQUIRE(answer.status == 201);
}

static void read_rows(struct world *world)
{
	struct answer answer = world_call(world, "olga", "GET /api/v1/tenants", "", NULL);
	char path[100];

	EXPECT_INT(answer.status, 200);
	EXPECT(answer_count(&answer, "\"slug\":\"acme\"") == 1);
	EXPECT(answer_count(&answer, "\"slug\":\"other\"") == 1);
	EXPECT(answer_count(&answer, "\"name\":\"Acme \xc3\xa4\"") == 1);
	EXPECT(answer_count(&answer, "\"list\":[1,2,{\"deep\":null}]") == 1);
	EXPECT(answer_count(&answer, "\"requestsPerMinute\":5000") == 1);

	/* The answer that was kept is a day old at most. A row of today's goes beside the old ones.
	 */
	answer = world_call(world, "olga", "POST /api/v1/tenants", "",
		"{\"slug\":\"newest\",\"name\":\"Newest\",\"tier\":\"starter\"}");
	EXPECT_INT(answer.status, 201);
	(void)snprintf(path, sizeof(path), "/api/v1/tenants/%s", answer_text(&answer, "id"));
	answer = world_get(world, "olga", "%s", path);
	EXPECT_INT(answer.status, 200);
}

/* --- writing ------------------------------------------------------------------------------ */

static void write_fixture(const struct store_options *options, const char *to)
{
	char path[PATH_SIZE];

	if (options->url.len) {
		(void)snprintf(path, sizeof(path), "%s/%s.sql", to, BULKHEAD_VERSION);
		/* Not even the owner sees the rows, so it takes who stands above row-level
		 * security. */
		run("pg_dump --schema=main --clean --if-exists --no-owner "
		    "\"$(echo '%s' | sed s,//owner@,//postgres@,)\" >'%s'",
			store_test_postgres(true).at, path);
	} else {
		char from[PATH_SIZE];

		(void)snprintf(path, sizeof(path), "%s/%s.db", to, BULKHEAD_VERSION);
		(void)snprintf(from, sizeof(from), "%s/bulkhead.db", options->folder.at);
		run("sqlite3 '%s' 'PRAGMA journal_mode=DELETE; VACUUM INTO \"%s\"' >/dev/null",
			from, path);
	}
}

static void try_this_version(enum engine_kind engine)
{
	const char *to = getenv("WRITE_FIXTURES");
	struct store_options options = { 0 };
	char path[256];

	options.folder = world_folder(path, sizeof(path));
	if (engine == ENGINE_POSTGRES)
		options.url = store_test_postgres(false);
	world_run_on(&options, modules, make_rows);
	if (to)
		write_fixture(&options, to);
	world_run_on(&options, modules, read_rows);
	world_remove_folder(path);
}

TEST(fixture_of_this_version_sqlite)
{
	try_this_version(ENGINE_SQLITE);
}

TEST(fixture_of_this_version_postgres)
{
	try_this_version(ENGINE_POSTGRES);
}

/* --- reading ------------------------------------------------------------------------------- */

static void open_fixture(enum engine_kind engine, const char *file)
{
	struct store_options options = { 0 };
	char path[256], copy[PATH_SIZE];

	options.folder = world_folder(path, sizeof(path));
	if (engine == ENGINE_POSTGRES) {
		options.url = store_test_postgres(false);
		run("psql -qX -v ON_ERROR_STOP=1 '%s' <'%s' >/dev/null",
			store_test_postgres(true).at, file);
	} else {
		(void)snprintf(copy, sizeof(copy), "%s/bulkhead.db", path);
		run("cp '%s' '%s'", file, copy);
	}
	world_run_on(&options, modules, read_rows);
	world_remove_folder(path);
}

/* Each in a process of its own, since a test has one database of PostgreSQL. */
static void open_in_child(enum engine_kind engine, const char *file)
{
	pid_t child = fork();
	int status;

	REQUIRE(child >= 0);
	if (child == 0) {
		open_fixture(engine, file);
		test_end();
	}
	EXPECT_INT(waitpid(child, &status, 0), child);
	test_note(WIFEXITED(status) && WEXITSTATUS(status) == 0, __FILE__, __LINE__, "%s", file);
}

static void open_all(enum engine_kind engine, const char *suffix)
{
	char folder[PATH_SIZE], file[2 * PATH_SIZE];
	struct dirent *entry;
	size_t count = 0;
	DIR *dir;

	find_fixtures(folder, sizeof(folder));
	dir = opendir(folder);
	REQUIRE(dir);
	while ((entry = readdir(dir)))
		if (str_ends(str_from_c(entry->d_name), str_from_c(suffix))) {
			REQUIRE((size_t)snprintf(file, sizeof(file), "%s/%s", folder,
					entry->d_name) < sizeof(file));
			open_in_child(engine, file);
			count++;
		}
	(void)closedir(dir);
	EXPECT(count > 0);
}

TEST(fixtures_are_opened_sqlite)
{
	open_all(ENGINE_SQLITE, ".db");
}

TEST(fixtures_are_opened_postgres)
{
	open_all(ENGINE_POSTGRES, ".sql");
}
