/* Writing databases of this version, and opening those of others. */
#include "rest/fixture_test.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

/* tests/fixtures of the working copy that this program was built in: build/FLAVOUR/unit. */
static void find_fixtures(char *path, size_t size, const char *folder)
{
	char program[PATH_SIZE];
	ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);

	REQUIRE(len > 0);
	program[len] = '\0';
	for (int up = 0; up < 3; up++)
		*strrchr(program, '/') = '\0';
	REQUIRE((size_t)snprintf(path, size, "%s/tests/fixtures/%s", program, folder) < size);
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

/* --- writing ------------------------------------------------------------------------------ */

static void write_fixture(const struct store_options *options, const char *to, const char *name)
{
	char path[PATH_SIZE];

	if (options->url.len) {
		(void)snprintf(path, sizeof(path), "%s/%s.sql", to, name);
		/* Not even the owner sees the rows, so it takes who stands above row-level
		 * security. */
		run("pg_dump --schema=main --clean --if-exists --no-owner "
		    "\"$(echo '%s' | sed s,//owner@,//postgres@,)\" >'%s'",
			store_test_postgres(true).at, path);
	} else {
		char from[PATH_SIZE];

		(void)snprintf(path, sizeof(path), "%s/%s.db", to, name);
		(void)snprintf(from, sizeof(from), "%s/bulkhead.db", options->folder.at);
		run("sqlite3 '%s' 'PRAGMA journal_mode=DELETE; VACUUM INTO \"%s\"' >/dev/null",
			from, path);
	}
}

void fixture_try(enum engine_kind engine, const struct module *const *modules, const char *name,
	void (*make)(struct world *), void (*look)(struct world *))
{
	const char *to = getenv("WRITE_FIXTURES");
	struct store_options options = { .pool_wait_ns = 20 * SECOND };
	char path[256];

	options.folder = world_folder(path, sizeof(path));
	if (engine == ENGINE_POSTGRES)
		options.url = store_test_postgres(false);
	world_run_on(&options, modules, make);
	if (to)
		write_fixture(&options, to, name);
	world_run_on(&options, modules, look);
	world_remove_folder(path);
}

/* --- reading ------------------------------------------------------------------------------- */

/* What is opened, and how. */
struct opening {
	enum engine_kind engine;
	const struct module *const *modules;
	void (*look)(struct world *);
};

static void open_fixture(const struct opening *opening, const char *file)
{
	struct store_options options = { .pool_wait_ns = 20 * SECOND };
	char path[256], copy[PATH_SIZE];

	options.folder = world_folder(path, sizeof(path));
	if (opening->engine == ENGINE_POSTGRES) {
		options.url = store_test_postgres(false);
		run("psql -qX -v ON_ERROR_STOP=1 '%s' <'%s' >/dev/null",
			store_test_postgres(true).at, file);
	} else {
		(void)snprintf(copy, sizeof(copy), "%s/bulkhead.db", path);
		run("cp '%s' '%s'", file, copy);
	}
	world_run_on(&options, opening->modules, opening->look);
	world_remove_folder(path);
}

/* Each in a process of its own, since a test has one database of PostgreSQL. */
static void open_in_child(const struct opening *opening, const char *file)
{
	pid_t child = fork();
	int status;

	REQUIRE(child >= 0);
	if (child == 0) {
		open_fixture(opening, file);
		test_end();
	}
	EXPECT_INT(waitpid(child, &status, 0), child);
	test_note(WIFEXITED(status) && WEXITSTATUS(status) == 0, __FILE__, __LINE__, "%s", file);
}

void fixtures_open(enum engine_kind engine, const struct module *const *modules, const char *folder,
	void (*look)(struct world *))
{
	const struct opening opening = { engine, modules, look };
	struct str suffix = engine == ENGINE_POSTGRES ? S(".sql") : S(".db");
	char path[PATH_SIZE], file[2 * PATH_SIZE];
	struct dirent *entry;
	size_t count = 0;
	DIR *dir;

	find_fixtures(path, sizeof(path), folder);
	dir = opendir(path);
	REQUIRE(dir);
	while ((entry = readdir(dir)))
		if (str_ends(str_from_c(entry->d_name), suffix)) {
			REQUIRE((size_t)snprintf(file, sizeof(file), "%s/%s", path, entry->d_name) <
				sizeof(file));
			open_in_child(&opening, file);
			count++;
		}
	(void)closedir(dir);
	EXPECT(count > 0);
}
