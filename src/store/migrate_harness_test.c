/* Places to migrate in, for tests. */
#include "store/migrate_test.h"

#include "base/err.h"
#include "store/pg_server_test.h"
#include "store/store_test.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void keep_line(void *arg, struct str line)
{
	struct migrate_test *test = arg;

	buf_append(&test->said, line);
	buf_byte(&test->said, '\n');
}

void migrate_test_open(struct migrate_test *test, enum engine_kind engine)
{
	*test = (struct migrate_test){ .engine = engine };
	buf_init(&test->said, MEGABYTE);
	(void)snprintf(test->folder, sizeof(test->folder), "/tmp/migrate-XXXXXX");
	REQUIRE(mkdtemp(test->folder) != NULL);
	test->options.store.folder = str_from_c(test->folder);
	test->options.wait_ns = 10 * SECOND;
	test->options.say = keep_line;
	test->options.arg = test;
	if (engine == ENGINE_POSTGRES) {
		test->options.store.url = store_test_postgres(false);
		test->options.owner_url = store_test_postgres(true);
	}
}

void migrate_test_close(struct migrate_test *test)
{
	char command[sizeof(test->folder) + 16];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", test->folder);
	EXPECT(system(command) == 0);
	buf_done(&test->said);
}

int migrate_test_up(struct migrate_test *test, const char *text)
{
	struct migration_source source = { "notes", text };

	buf_reset(&test->said);
	return migrate_up(&test->options, &source, 1);
}

int migrate_test_down(struct migrate_test *test, const char *text, size_t steps)
{
	struct migration_source source = { "notes", text };
	int r;

	buf_reset(&test->said);
	test->options.only = S("notes");
	r = migrate_down(&test->options, &source, 1, steps);
	test->options.only = str_of(NULL, 0);
	return r;
}

/* --- looking at it ------------------------------------------------------------ */

static char answer[2048];

static int keep_first(void *arg, int count, char **values, char **names)
{
	(void)arg;
	(void)names;
	if (!answer[0] && count > 0)
		(void)snprintf(answer, sizeof(answer), "%s", values[0] ? values[0] : "");
	return 0;
}

static void run_sqlite(struct migrate_test *test, const char *sql)
{
	char path[sizeof(test->folder) + 16], *message = NULL;
	sqlite3 *at = NULL;

	(void)snprintf(path, sizeof(path), "%s/bulkhead.db", test->folder);
	REQUIRE(sqlite3_open(path, &at) == SQLITE_OK);
	(void)sqlite3_busy_timeout(at, 10000);
	if (!test_note(sqlite3_exec(at, sql, keep_first, NULL, &message) == SQLITE_OK, __FILE__,
		    __LINE__, "%s: %s", sql, message))
		test_end();
	REQUIRE(sqlite3_close(at) == SQLITE_OK);
}

const char *migrate_test_ask(struct migrate_test *test, const char *sql)
{
	if (test->engine == ENGINE_POSTGRES)
		return pg_ask(test->options.owner_url, sql);
	answer[0] = '\0';
	run_sqlite(test, sql);
	return answer;
}

void migrate_test_run(struct migrate_test *test, const char *sql)
{
	if (test->engine == ENGINE_POSTGRES)
		pg_run(test->options.owner_url, sql);
	else
		run_sqlite(test, sql);
}

void migrate_test_must(int r, const char *file, int line)
{
	if (!test_note(r >= 0, file, line, "%d: %s", r, err_text()))
		test_end();
}

void migrate_test_fails(int r, int code, const char *words, const char *file, int line)
{
	test_note(r == code && strstr(err_text(), words), file, line, "%d: %s; wanted %d: ...%s...",
		r, r < 0 ? err_text() : "", code, words);
}
