/* The log: short after silence, bounded under load, whatever readers do. */
#include "store/sqlite_log.h"

#include "base/test.h"
#include "store/sqlite_file.h"
#include "store/sqlite_metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096 };

struct log_test {
	char folder[64];
	struct sqlite_file file;
	sqlite3 *writer, *reader;
	struct sqlite_log log;
};

static void run(sqlite3 *db, const char *sql)
{
	char *text = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
		test_note(false, __FILE__, __LINE__, "%s: %s", sql, text);
	sqlite3_free(text);
}

static void set_up(struct log_test *test)
{
	*test = (struct log_test){ .folder = "/tmp/bulkhead-log-XXXXXX" };
	REQUIRE(sqlite_metrics_init() == 0);
	REQUIRE(mkdtemp(test->folder) != NULL);
	REQUIRE(sqlite_file_init(&test->file, str_from_c(test->folder), MEGABYTE) == 0);
	REQUIRE(sqlite_file_check(&test->file) == 0);
	REQUIRE(sqlite_file_open(&test->file, SQLITE_WRITER, &test->writer) == 0);
	REQUIRE(sqlite_file_open(&test->file, SQLITE_READER, &test->reader) == 0);
	run(test->writer, "PRAGMA synchronous=OFF; CREATE TABLE t (n integer PRIMARY KEY, b blob)");
	sqlite_log_watch(&test->log, test->writer);
}

static void tear_down(struct log_test *test)
{
	char path[200];

	(void)sqlite3_close(test->reader);
	(void)sqlite3_close(test->writer);
	(void)unlink(test->file.path);
	(void)snprintf(path, sizeof(path), "%s/bulkhead.db-wal", test->folder);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/bulkhead.db-shm", test->folder);
	(void)unlink(path);
	(void)rmdir(test->folder);
}

static size_t log_bytes(struct log_test *test)
{
	struct stat status = { 0 };
	char path[200];

	(void)snprintf(path, sizeof(path), "%s/bulkhead.db-wal", test->folder);
	return stat(path, &status) == 0 ? (size_t)status.st_size : 0;
}

/* About so many pages in transactions of 500 each, tended after each of them. */
static void write_pages(struct log_test *test, size_t pages)
{
	for (size_t i = 0; i < pages / 500; i++) {
		run(test->writer,
			"WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < "
			"100) REPLACE INTO t SELECT n, randomblob(20000) FROM n");
		EXPECT_INT(sqlite_log_tend(&test->log, test->writer, false), SQLITE_OK);
	}
}

TEST(sqlite_log_is_bounded_under_load)
{
	struct log_test test;

	set_up(&test);
	write_pages(&test, 3 * SQLITE_CHECKPOINT_PAGES);
	EXPECT(test.log.file_pages >= SQLITE_CHECKPOINT_PAGES);
	EXPECT(log_bytes(&test) < (SQLITE_CHECKPOINT_PAGES + 2000) * (size_t)PAGE * 11 / 10);

	/* Silence: the file becomes short. */
	EXPECT(sqlite_log_wants_idle(&test.log));
	EXPECT_INT(sqlite_log_tend(&test.log, test.writer, true), SQLITE_OK);
	EXPECT_INT(log_bytes(&test), 0);
	EXPECT_INT(test.log.pages, 0);
	EXPECT(!sqlite_log_wants_idle(&test.log));
	tear_down(&test);
}

TEST(sqlite_log_moves_after_silence)
{
	struct log_test test;

	set_up(&test);
	write_pages(&test, 500);
	EXPECT(!sqlite_log_wants_idle(&test.log)); /* not worth it */
	write_pages(&test, 1500);
	EXPECT(sqlite_log_wants_idle(&test.log));
	EXPECT_INT(sqlite_log_tend(&test.log, test.writer, true), SQLITE_OK);
	EXPECT(!sqlite_log_wants_idle(&test.log));
	EXPECT(log_bytes(&test) > 0); /* the next transaction begins at its front */
	write_pages(&test, 500);
	EXPECT(test.log.pages < 1000);
	tear_down(&test);
}

TEST(sqlite_log_grows_no_longer_than_a_reader_holds_it)
{
	sqlite3_stmt *stmt = NULL;
	struct log_test test;

	set_up(&test);
	write_pages(&test, 500);
	REQUIRE(sqlite3_prepare_v2(test.reader, "SELECT n FROM t", -1, &stmt, NULL) == SQLITE_OK);
	REQUIRE(sqlite3_step(stmt) == SQLITE_ROW);
	write_pages(&test, 2 * SQLITE_CHECKPOINT_PAGES);
	EXPECT(test.log.pages >=
		2 * SQLITE_CHECKPOINT_PAGES - 2000); /* the reader's state is kept */
	EXPECT_INT(sqlite_log_empty(&test.log, test.writer), SQLITE_BUSY);
	(void)sqlite3_finalize(stmt);
	write_pages(&test, SQLITE_CHECKPOINT_PAGES + 1000);
	EXPECT(test.log.pages < SQLITE_CHECKPOINT_PAGES);
	EXPECT_INT(sqlite_log_empty(&test.log, test.writer), SQLITE_OK);
	EXPECT_INT(log_bytes(&test), 0);
	tear_down(&test);
}
