/* Backups of a real file: whole whatever is written meanwhile, never half, refused when damaged,
 * and put back without ever being neither the one nor the other. */
#include "store/backup_internal.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"
#include "observe/clock.h"
#include "store/folder_lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DAY_US ((int64_t)86400 * 1000000)

static const int64_t start_us = (int64_t)1795132800 * 1000000; /* 2026-11-20T00:00:00Z */

/* --- a folder with a database ---------------------------------------------------------- */

struct fixture {
	char path[64];
	struct backup_place place;
	struct arena arena;
};

static void fixture_open(struct fixture *fixture)
{
	*fixture = (struct fixture){ .path = "/tmp/bulkhead-backup-XXXXXX" };
	REQUIRE(mkdtemp(fixture->path) != NULL);
	fixture->place.folder = str_from_c(fixture->path);
	arena_init(&fixture->arena, 4096, 16 * MEGABYTE);
}

static void fixture_done(struct fixture *fixture)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf %s", fixture->path);
	EXPECT_INT(system(command), 0);
	arena_done(&fixture->arena);
}

static const char *path_of(const struct fixture *fixture, const char *file)
{
	static char path[4][PATH_MAX];
	static unsigned next;
	char *at = path[next++ % 4];

	(void)snprintf(at, PATH_MAX, "%s/%s", fixture->path, file);
	return at;
}

static sqlite3 *open_database(const char *path)
{
	sqlite3 *db = NULL;

	REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
	(void)sqlite3_busy_timeout(db, 10000);
	/* As the server does: nobody but the writer takes the log into the file. */
	(void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	return db;
}

static void run(const struct fixture *fixture, const char *sql)
{
	sqlite3 *db = open_database(path_of(fixture, DATABASE_FILE));
	char *message = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
		(void)test_note(false, __FILE__, __LINE__, "%s: %s", sql, message);
	sqlite3_free(message);
	(void)sqlite3_close(db);
}

/* The number that a statement gives about a file; -1 when it cannot be asked. */
static int64_t ask(const char *path, const char *sql)
{
	sqlite3 *db = open_database(path);
	sqlite3_stmt *statement = NULL;
	int64_t number = -1;

	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
		sqlite3_step(statement) == SQLITE_ROW)
		number = sqlite3_column_int64(statement, 0);
	(void)sqlite3_finalize(statement);
	(void)sqlite3_close(db);
	return number;
}

static void make_database(const struct fixture *fixture)
{
	run(fixture,
		"PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;"
		"CREATE TABLE account (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL);"
		"CREATE TABLE entry (id INTEGER PRIMARY KEY, account INTEGER NOT NULL "
		"  REFERENCES account (id), text TEXT NOT NULL);"
		"CREATE INDEX entry_by_text ON entry (text);"
		"CREATE TABLE migration (module TEXT, number INTEGER);"
		"INSERT INTO migration VALUES ('notes', 2), ('notes', 1), ('flags', 1);"
		"INSERT INTO account VALUES (1, 1000), (2, 0);"
		"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) "
		"INSERT INTO entry SELECT i, 1, hex(randomblob(100)) FROM n");
}

/* How many files of the backup folder end so; NULL: all. */
static size_t count_files(const struct fixture *fixture, const char *folder, const char *ending)
{
	DIR *listing = opendir(path_of(fixture, folder));
	size_t count = 0;

	if (!listing)
		return 0;
	for (struct dirent *entry; (entry = readdir(listing));)
		count += entry->d_name[0] != '.' &&
			 (!ending || str_ends(str_from_c(entry->d_name), str_from_c(ending)));
	(void)closedir(listing);
	return count;
}

static const char *copy_path(const struct fixture *fixture, struct str name, const char *ending)
{
	char file[128];

	(void)snprintf(file, sizeof(file), "backups/%.*s%s", STR_ARG(name), ending);
	return path_of(fixture, file);
}

static struct backup create(struct fixture *fixture)
{
	struct backup backup = { 0 };
	int r = backup_create(&fixture->place, &fixture->arena, &backup);

	if (r < 0)
		(void)test_note(false, __FILE__, __LINE__, "backup_create: %s", err_text());
	REQUIRE(r == 0);
	return backup;
}

static int verify(struct fixture *fixture, struct str name)
{
	struct backup backup;

	return backup_verify(&fixture->place, name, &fixture->arena, &backup);
}

static int restore(struct fixture *fixture, struct str name, struct backup_restored *ret)
{
	return backup_restore(&fixture->place, name, &fixture->arena, ret);
}

static void write_file(const char *path, struct str bytes, off_t at)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	REQUIRE(fd >= 0);
	REQUIRE(pwrite(fd, bytes.at, bytes.len, at) == (ssize_t)bytes.len);
	(void)close(fd);
}

/* A clock that stands where the test puts it. */
static int64_t frozen_us;

static uint64_t frozen_ns(void *arg)
{
	(void)arg;
	return 1;
}

static int64_t frozen_wall(void *arg)
{
	(void)arg;
	return frozen_us;
}

static const struct clock_source frozen = { frozen_ns, frozen_wall, NULL };

/* --- making ---------------------------------------------------------------------------- */

TEST(backup_is_whole)
{
	struct fixture fixture;
	struct backup_entry *entries;
	struct backup backup;
	struct stat what;
	const char *copy;
	size_t count;

	fixture_open(&fixture);
	make_database(&fixture);
	backup = create(&fixture);
	EXPECT(backup_is_name(backup.name));
	EXPECT_INT(backup.migrations.count, 3);
	EXPECT_STR(backup.migrations.at[1].module, S("notes"));
	EXPECT_INT(backup.migrations.at[1].number, 1);
	EXPECT_INT(count_files(&fixture, "backups", NULL), 2);

	copy = copy_path(&fixture, backup.name, ".db");
	REQUIRE(stat(copy, &what) == 0);
	EXPECT_INT(what.st_mode & 07777, 0600);
	EXPECT_INT(what.st_size, backup.size);
	EXPECT_INT(ask(copy, "SELECT count(*) FROM entry"), 500);
	EXPECT_INT(count_files(&fixture, "backups", NULL), 2); /* it makes no log */
	REQUIRE(stat(path_of(&fixture, "backups"), &what) == 0);
	EXPECT_INT(what.st_mode & 07777, 0700);

	EXPECT_INT(verify(&fixture, backup.name), 0);
	REQUIRE(backup_list(&fixture.place, &fixture.arena, &entries, &count) == 0);
	REQUIRE(count == 1);
	EXPECT_INT(entries[0].problem.len, 0);
	EXPECT_STR(entries[0].backup.name, backup.name);
	EXPECT_STR(entries[0].backup.sha256, backup.sha256);
	EXPECT_INT(entries[0].backup.created_at, backup.created_at);
	EXPECT_INT(entries[0].backup.migrations.count, 3);
	fixture_done(&fixture);
}

struct writer {
	const struct fixture *fixture;
	_Atomic size_t commits;
	atomic_bool stop;
};

/* Moves amounts between two accounts and grows the file: a state in which the sum is not 1000 was
 * never committed. */
static void *write_on(void *arg)
{
	struct writer *writer = arg;
	sqlite3 *db = open_database(path_of(writer->fixture, DATABASE_FILE));

	(void)sqlite3_exec(db, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
	while (!atomic_load(&writer->stop)) {
		if (sqlite3_exec(db,
			    "BEGIN IMMEDIATE;"
			    "UPDATE account SET amount = amount - 7 WHERE id = 1;"
			    "INSERT INTO entry SELECT NULL, 1, hex(randomblob(400));"
			    "UPDATE account SET amount = amount + 7 WHERE id = 2; COMMIT",
			    NULL, NULL, NULL) == SQLITE_OK)
			atomic_fetch_add(&writer->commits, 1);
	}
	(void)sqlite3_close(db);
	return NULL;
}

TEST(backup_while_somebody_writes)
{
	struct fixture fixture;
	struct writer writer = { &fixture };
	pthread_t thread;

	fixture_open(&fixture);
	make_database(&fixture);
	run(&fixture, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
		      "WHERE i < 20000) INSERT INTO entry SELECT NULL, 2, hex(randomblob(300)) "
		      "FROM n");
	REQUIRE(pthread_create(&thread, NULL, write_on, &writer) == 0);
	while (atomic_load(&writer.commits) == 0)
		(void)usleep(1000);
	for (int i = 0; i < 4; i++) {
		size_t before = atomic_load(&writer.commits);
		struct backup backup = create(&fixture);
		const char *copy = copy_path(&fixture, backup.name, ".db");

		EXPECT(atomic_load(&writer.commits) > before);
		EXPECT_INT(ask(copy, "SELECT sum(amount) FROM account"), 1000);
		EXPECT_INT(ask(copy, "SELECT (SELECT amount FROM account WHERE id = 2) / 7 - "
				     "(SELECT count(*) FROM entry) + 20500"),
			0);
	}
	atomic_store(&writer.stop, true);
	(void)pthread_join(thread, NULL);
	EXPECT_INT(count_files(&fixture, "backups", ".db"), 4);
	fixture_done(&fixture);
}

TEST(backup_names_are_times_and_never_taken_twice)
{
	struct fixture fixture;
	struct backup first, second;

	fixture_open(&fixture);
	make_database(&fixture);
	frozen_us = start_us + 123456;
	clock_replace(&frozen);
	first = create(&fixture);
	second = create(&fixture);
	clock_replace(NULL);
	EXPECT_STR(first.name, S("bulkhead-2026-11-20T00-00-00.123Z"));
	EXPECT_STR(second.name, S("bulkhead-2026-11-20T00-00-00.124Z"));
	EXPECT_INT(first.created_at, start_us + 123000);
	fixture_done(&fixture);
}

TEST(backup_name_form)
{
	static const struct {
		const char *text;
		bool is;
	} cases[] = {
		{ "bulkhead-2026-11-20T00-00-00.123Z", true },
		{ "bulkhead-2026-11-20T00-00-00.123z", false },
		{ "bulkhead-2026-11-20T00:00:00.123Z", false },
		{ "bulkheaX-2026-11-20T00-00-00.123Z", false },
		{ "bulkhead-2026-11-20T00-00-00.12/Z", false },
		{ "bulkhead-2026-11-20T00-00-00.123Z.db", false },
		{ "../../../../../../../etc/shadow/x", false },
		{ "d", false },
		{ "", false },
	};

	for (size_t i = 0; i < LEN(cases); i++)
		if (backup_is_name(str_from_c(cases[i].text)) != cases[i].is)
			(void)test_note(false, __FILE__, __LINE__, "%s", cases[i].text);
}

TEST(backup_of_nothing)
{
	struct fixture fixture;
	struct backup_entry *entries;
	struct backup backup;
	size_t count = 9;

	fixture_open(&fixture);
	EXPECT_INT(backup_create(&fixture.place, &fixture.arena, &backup), -ERR_NOT_FOUND);
	EXPECT_INT(backup_list(&fixture.place, &fixture.arena, &entries, &count), 0);
	EXPECT_INT(count, 0);
	EXPECT_INT(count_files(&fixture, ".", NULL), 0);
	fixture_done(&fixture);
}

TEST(backup_can_be_stopped)
{
	static const atomic_bool stop = true;
	struct fixture fixture;
	struct backup backup;
	struct buf findings;

	fixture_open(&fixture);
	make_database(&fixture);
	fixture.place.stop = &stop;
	EXPECT_INT(backup_create(&fixture.place, &fixture.arena, &backup), -ERR_CANCELLED);
	EXPECT_INT(count_files(&fixture, "backups", NULL), 0);

	run(&fixture, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
		      "WHERE i < 20000) INSERT INTO entry SELECT NULL, 2, hex(randomblob(30)) "
		      "FROM n");
	buf_init(&findings, KILOBYTE);
	EXPECT_INT(database_check(&fixture.place, &findings), -ERR_CANCELLED);
	buf_done(&findings);
	fixture_done(&fixture);
}

TEST(backup_one_at_a_time)
{
	struct fixture fixture;
	struct folder backups;
	struct backup backup;
	size_t removed;

	fixture_open(&fixture);
	make_database(&fixture);
	REQUIRE(folder_open_backups(fixture.place.folder, true, &backups) == 0);
	REQUIRE(folder_lock_backups(&backups) == 0);
	EXPECT_INT(backup_create(&fixture.place, &fixture.arena, &backup), -ERR_CONFLICT);
	EXPECT_INT(backup_prune(&fixture.place, &(struct backup_retention){ 1, 0 }, &removed),
		-ERR_CONFLICT);
	folder_close(&backups);
	(void)create(&fixture);
	fixture_done(&fixture);
}

TEST(backup_sweeps_what_a_dead_process_left)
{
	static const char *const left[] = {
		"backups/bulkhead-2026-11-19T00-00-00.000Z.db.partial",
		"backups/bulkhead-2026-11-19T00-00-00.000Z.db.partial-journal",
		"backups/bulkhead-2026-11-19T00-00-00.000Z.json.partial",
		"backups/bulkhead-2026-11-19T00-00-00.001Z.json",
	};
	struct fixture fixture;

	fixture_open(&fixture);
	make_database(&fixture);
	REQUIRE(mkdir(path_of(&fixture, "backups"), 0700) == 0);
	for (size_t i = 0; i < LEN(left); i++)
		write_file(path_of(&fixture, left[i]), S("x"), 0);
	write_file(path_of(&fixture, "backups/mine.db.partial"), S("x"), 0);
	(void)create(&fixture);
	EXPECT_INT(count_files(&fixture, "backups", NULL), 3); /* the backup, and mine */
	EXPECT_INT(access(path_of(&fixture, "backups/mine.db.partial"), F_OK), 0);
	fixture_done(&fixture);
}

TEST(backup_leaves_room_on_the_disk)
{
	struct fixture fixture;
	struct folder folder;

	fixture_open(&fixture);
	REQUIRE(folder_open(fixture.place.folder, &folder) == 0);
	EXPECT_INT(folder_has_room(&folder, 1), 0);
	EXPECT_INT(folder_has_room(&folder, UINT64_MAX), -ERR_UNAVAILABLE);
	EXPECT(strstr(err_text(), "too full") != NULL);
	folder_close(&folder);
	fixture_done(&fixture);
}

/* --- damage ---------------------------------------------------------------------------- */

/* Ruins the middle of a page of the table that is full of text. */
static void ruin(const char *path)
{
	struct stat what;
	char noise[256];

	memset(noise, 0xa5, sizeof(noise));
	REQUIRE(stat(path, &what) == 0);
	write_file(path, str_of(noise, sizeof(noise)), what.st_size / 2);
}

TEST(backup_of_a_damaged_database_is_refused)
{
	struct fixture fixture;
	struct backup backup;
	struct buf findings;

	fixture_open(&fixture);
	make_database(&fixture);
	run(&fixture, "PRAGMA wal_checkpoint(TRUNCATE)");
	buf_init(&findings, 64 * KILOBYTE);
	EXPECT_INT(database_check(&fixture.place, &findings), 0);
	EXPECT_INT(findings.len, 0);

	run(&fixture, "PRAGMA foreign_keys = OFF; INSERT INTO entry VALUES (9999, 77, 'x');"
		      "PRAGMA wal_checkpoint(TRUNCATE)");
	EXPECT_INT(database_check(&fixture.place, &findings), -ERR_INVALID);
	EXPECT_STR(buf_str(&findings), S("row 9999 of entry refers to nothing in account\n"));
	EXPECT_INT(backup_create(&fixture.place, &fixture.arena, &backup), -ERR_INVALID);
	EXPECT(strstr(err_text(), "refers to nothing") != NULL);

	buf_reset(&findings);
	ruin(path_of(&fixture, DATABASE_FILE));
	EXPECT_INT(database_check(&fixture.place, &findings), -ERR_INVALID);
	EXPECT(findings.len > 0);
	EXPECT_INT(backup_create(&fixture.place, &fixture.arena, &backup), -ERR_INVALID);
	EXPECT(strstr(err_text(), "damaged") != NULL);
	EXPECT_INT(count_files(&fixture, "backups", NULL), 0);

	buf_reset(&findings);
	write_file(path_of(&fixture, DATABASE_FILE), S("this is no database"), 0);
	EXPECT_INT(database_check(&fixture.place, &findings), -ERR_INVALID);
	EXPECT(findings.len > 0);
	EXPECT_INT(backup_create(&fixture.place, &fixture.arena, &backup), -ERR_INVALID);
	buf_done(&findings);
	fixture_done(&fixture);
}

/* What is done to a backup, and what is said of it. */
static const struct damage {
	const char *ending;
	const char *bytes; /* written over; NULL: the file is removed */
	off_t at;          /* -1: the file ends there, at half */
	bool listed;       /* as damaged: by its manifest or its size */
	const char *says;  /* in the error of verify */
	bool there;        /* in the list */
} damages[] = {
	{ ".db", "zzz", 5000, false, "SHA-256", true },
	{ ".db", "x", -1, true, "bytes and not", true },
	{ ".db", NULL, 0, false, "there is no", false },
	{ ".json", NULL, 0, true, "there is no", true },
	{ ".json", "[", 0, true, "damaged", true },
	{ ".json", "{\"format\":2", 0, true, "damaged", true },
	{ ".json", "x", -1, true, "damaged", true },
};

TEST(backup_damage_is_found)
{
	struct fixture fixture;
	struct backup_restored restored;

	fixture_open(&fixture);
	make_database(&fixture);
	for (size_t i = 0; i < LEN(damages); i++) {
		const struct damage *damage = &damages[i];
		struct backup backup = create(&fixture);
		const char *path = copy_path(&fixture, backup.name, damage->ending);
		struct backup_entry *entries;
		size_t count;

		if (!damage->bytes)
			REQUIRE(unlink(path) == 0);
		else if (damage->at < 0)
			REQUIRE(truncate(path, 100) == 0);
		else
			write_file(path, str_from_c(damage->bytes), damage->at);

		if (verify(&fixture, backup.name) == 0 || !strstr(err_text(), damage->says))
			(void)test_note(false, __FILE__, __LINE__, "%zu: %s", i, err_text());
		EXPECT(restore(&fixture, backup.name, &restored) < 0);
		EXPECT_INT(
			ask(path_of(&fixture, DATABASE_FILE), "SELECT count(*) FROM entry"), 500);
		EXPECT_INT(count_files(&fixture, ".", ".restoring"), 0);
		REQUIRE(backup_list(&fixture.place, &fixture.arena, &entries, &count) == 0);
		EXPECT_INT(count, damage->there);
		if (count == 1)
			EXPECT_INT(entries[0].problem.len > 0, damage->listed);
		(void)unlink(copy_path(&fixture, backup.name, ".db"));
		(void)unlink(copy_path(&fixture, backup.name, ".json"));
	}
	fixture_done(&fixture);
}

/* A manifest that fits the bytes does not make a sound database of them. */
TEST(backup_with_the_manifest_of_another)
{
	struct fixture fixture;
	struct backup first, second;

	fixture_open(&fixture);
	make_database(&fixture);
	first = create(&fixture);
	second = create(&fixture);
	REQUIRE(rename(copy_path(&fixture, first.name, ".json"),
			copy_path(&fixture, second.name, ".json")) == 0);
	EXPECT_INT(verify(&fixture, second.name), -ERR_INVALID);
	EXPECT(strstr(err_text(), "another backup") != NULL);
	EXPECT_INT(verify(&fixture, S("bulkhead-2020-01-01T00-00-00.000Z")), -ERR_NOT_FOUND);
	EXPECT_INT(verify(&fixture, S("../bulkhead")), -ERR_NOT_FOUND);
	fixture_done(&fixture);
}

/* --- retention -------------------------------------------------------------------------- */

#define NEWEST "backups/bulkhead-2026-11-24T00-00-00.000Z"

TEST(backup_retention)
{
	static const struct {
		struct backup_retention retention;
		size_t left;
	} cases[] = {
		{ { 10, 0 }, 5 },
		{ { 5, 100 }, 5 },
		{ { 3, 0 }, 3 },
		{ { 3, 2 }, 2 }, /* days 4 and 3; day 2 is too old by an hour */
		{ { 10, 3 }, 3 },
		{ { 0, 0 }, 1 },
		{ { 10, 1 }, 1 },
	};
	struct fixture fixture;
	size_t removed;

	fixture_open(&fixture);
	make_database(&fixture);
	clock_replace(&frozen);
	for (size_t i = 0; i < LEN(cases); i++) {
		for (int day = 0; day < 5; day++) {
			frozen_us = start_us + day * DAY_US;
			(void)create(&fixture);
		}
		frozen_us += DAY_US / 24;
		REQUIRE(backup_prune(&fixture.place, &cases[i].retention, &removed) == 0);
		EXPECT_INT(removed, 5 - cases[i].left);
		EXPECT_INT(count_files(&fixture, "backups", NULL), 2 * cases[i].left);
		EXPECT_INT(access(path_of(&fixture, NEWEST ".db"), F_OK), 0);
		frozen_us += 1000 * DAY_US; /* the only one that is left stays at any age */
		REQUIRE(backup_prune(
				&fixture.place, &(struct backup_retention){ 1, 1 }, &removed) == 0);
		EXPECT_INT(count_files(&fixture, "backups", NULL), 2);
		(void)unlink(path_of(&fixture, NEWEST ".db"));
		(void)unlink(path_of(&fixture, NEWEST ".json"));
	}
	clock_replace(NULL);
	fixture_done(&fixture);
}

TEST(backup_retention_counts_good_ones)
{
	struct fixture fixture;
	struct backup all[4];
	size_t removed;

	fixture_open(&fixture);
	make_database(&fixture);
	for (size_t i = 0; i < LEN(all); i++)
		all[i] = create(&fixture);
	REQUIRE(unlink(copy_path(&fixture, all[3].name, ".json")) == 0);
	REQUIRE(backup_prune(&fixture.place, &(struct backup_retention){ 2, 0 }, &removed) == 0);
	EXPECT_INT(removed, 1);
	EXPECT_INT(verify(&fixture, all[1].name), 0);
	EXPECT_INT(verify(&fixture, all[2].name), 0);
	fixture_done(&fixture);
}

/* --- restoring --------------------------------------------------------------------------- */

TEST(restore_puts_back_and_keeps_the_former)
{
	struct fixture fixture;
	struct backup_restored restored;
	struct backup backup;
	char aside[PATH_MAX];

	fixture_open(&fixture);
	make_database(&fixture);
	backup = create(&fixture);
	run(&fixture,
		"INSERT INTO entry VALUES (501, 1, 'after'); DELETE FROM entry WHERE id < 10");
	REQUIRE(restore(&fixture, backup.name, &restored) == 0);
	EXPECT_STR(restored.backup.name, backup.name);
	EXPECT_INT(ask(path_of(&fixture, DATABASE_FILE), "SELECT count(*) FROM entry"), 500);
	EXPECT_INT(ask(path_of(&fixture, DATABASE_FILE), "SELECT max(id) FROM entry"), 500);

	(void)snprintf(aside, sizeof(aside), "%s/%.*s", fixture.path, STR_ARG(restored.aside));
	EXPECT(str_starts(restored.aside, S("bulkhead.db.before-restore-2")));
	EXPECT_INT(ask(aside, "SELECT count(*) FROM entry"), 492);
	EXPECT_INT(ask(aside, "SELECT max(id) FROM entry"), 501);
	EXPECT_INT(count_files(&fixture, ".", ".restoring"), 0);
	EXPECT_INT(verify(&fixture, backup.name), 0);
	fixture_done(&fixture);
}

/* What a damaged file and its log hold cannot be told, so both are kept as they are. */
TEST(restore_over_a_damaged_database)
{
	struct fixture fixture;
	struct backup_restored restored;
	struct backup backup;
	struct stat what;
	char log[PATH_MAX];
	off_t size;

	fixture_open(&fixture);
	make_database(&fixture);
	backup = create(&fixture);
	REQUIRE(stat(path_of(&fixture, "bulkhead.db-wal"), &what) == 0);
	size = what.st_size;
	EXPECT(size > 0);
	write_file(path_of(&fixture, DATABASE_FILE), S("this is no database"), 0);
	/* Its log would mend it: that must be of no use, either. */
	write_file(path_of(&fixture, "bulkhead.db-wal"), S("nor is this a log"), 0);
	REQUIRE(restore(&fixture, backup.name, &restored) == 0);
	EXPECT_INT(ask(path_of(&fixture, DATABASE_FILE), "SELECT count(*) FROM entry"), 500);
	(void)snprintf(log, sizeof(log), "%s/%.*s-wal", fixture.path, STR_ARG(restored.aside));
	REQUIRE(stat(log, &what) == 0);
	EXPECT_INT(what.st_size, size);
	fixture_done(&fixture);
}

TEST(restore_into_an_empty_folder)
{
	struct fixture fixture;
	struct backup_restored restored;
	struct backup backup;

	fixture_open(&fixture);
	make_database(&fixture);
	backup = create(&fixture);
	REQUIRE(unlink(path_of(&fixture, DATABASE_FILE)) == 0);
	REQUIRE(restore(&fixture, backup.name, &restored) ==
		0); /* a log without a file is not kept */
	EXPECT_INT(restored.aside.len, 0);
	EXPECT_INT(ask(path_of(&fixture, DATABASE_FILE), "SELECT count(*) FROM entry"), 500);
	fixture_done(&fixture);
}

TEST(restore_needs_the_folder_alone)
{
	struct fixture fixture;
	struct folder_lock lock = { 0 };
	struct backup_restored restored;
	struct backup backup;

	fixture_open(&fixture);
	make_database(&fixture);
	backup = create(&fixture);
	REQUIRE(folder_lock_take(fixture.place.folder, &lock) == 0);
	EXPECT_INT(restore(&fixture, backup.name, &restored), -ERR_CONFLICT);
	EXPECT(strstr(err_text(), "stop the server") != NULL);
	folder_lock_release(&lock);
	EXPECT_INT(restore(&fixture, S("bulkhead"), &restored), -ERR_NOT_FOUND);
	EXPECT_INT(restore(&fixture, S("bulkhead-2020-01-01T00-00-00.000Z"), &restored),
		-ERR_NOT_FOUND);
	EXPECT_INT(restore(&fixture, backup.name, &restored), 0);
	fixture_done(&fixture);
}

/* --- disks that fail ---------------------------------------------------------------------- */

/* The file system below SQLite, but writes to a copy fail from the nth on. */
static struct {
	sqlite3_vfs vfs;
	sqlite3_vfs *real;
	sqlite3_io_methods methods;
	const sqlite3_io_methods *real_methods;
	size_t left;
	int code;
	bool struck;
} weak;

static int weak_write(sqlite3_file *file, const void *at, int count, sqlite3_int64 offset)
{
	if (weak.left == 0) {
		weak.struck = true;
		return weak.code;
	}
	weak.left--;
	return weak.real_methods->xWrite(file, at, count, offset);
}

static int weak_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
	int rc = weak.real->xOpen(weak.real, name, file, flags, out);

	(void)vfs;
	if (rc != SQLITE_OK || !name || !str_ends(str_from_c(name), S(".db.partial")))
		return rc;
	weak.real_methods = file->pMethods;
	weak.methods = *file->pMethods;
	weak.methods.xWrite = weak_write;
	file->pMethods = &weak.methods;
	return rc;
}

TEST(backup_on_a_disk_that_becomes_full)
{
	static const struct {
		int code, error;
	} codes[] = { { SQLITE_FULL, -ERR_UNAVAILABLE }, { SQLITE_IOERR_WRITE, -ERR_IO },
		{ SQLITE_NOMEM, -ERR_NO_MEMORY } };
	struct fixture fixture;
	struct backup backup;

	fixture_open(&fixture);
	make_database(&fixture);
	weak.real = sqlite3_vfs_find(NULL);
	weak.vfs = *weak.real;
	weak.vfs.zName = "weak";
	weak.vfs.xOpen = weak_open;
	REQUIRE(sqlite3_vfs_register(&weak.vfs, 1) == SQLITE_OK);
	for (size_t i = 0; i < LEN(codes); i++)
		for (size_t nth = 0;; nth += 7) {
			int r;

			weak.left = nth;
			weak.code = codes[i].code;
			weak.struck = false;
			r = backup_create(&fixture.place, &fixture.arena, &backup);
			if (!weak.struck) {
				EXPECT_INT(r, 0);
				EXPECT(nth > 20); /* it has written something */
				break;
			}
			EXPECT_INT(r, codes[i].error);
			EXPECT_INT(count_files(&fixture, "backups", NULL), 2 * i);
		}
	(void)sqlite3_vfs_unregister(&weak.vfs);
	fixture_done(&fixture);
}

/* --- processes that die ------------------------------------------------------------------- */

/* Runs `body` again and again in a process of its own, which is killed at some moment: later in
 * later rounds, since a slow machine gets nothing done in the first. */
static void kill_while(
	void (*body)(struct fixture *), struct fixture *fixture, unsigned round, uint64_t *seed)
{
	pid_t pid = fork();
	int status;

	REQUIRE(pid >= 0);
	if (pid == 0)
		for (;;)
			body(fixture);
	(void)usleep(2000 + test_random(seed) % (30000 * (1 + round % 20)));
	REQUIRE(kill(pid, SIGKILL) == 0);
	REQUIRE(waitpid(pid, &status, 0) == pid);
	EXPECT(WIFSIGNALED(status));
}

static void create_one(struct fixture *fixture)
{
	struct backup backup;

	if (backup_create(&fixture->place, &fixture->arena, &backup) < 0)
		_exit(EXIT_FAILURE);
	arena_reset(&fixture->arena);
}

/* What has the name of a backup is one; the next one removes what was left of others. */
TEST(backup_of_a_process_that_is_killed)
{
	struct backup_entry *entries;
	struct fixture fixture;
	uint64_t seed = 7;
	size_t count;

	fixture_open(&fixture);
	make_database(&fixture);
	for (unsigned round = 0; round < (test_long() ? 200 : 20); round++)
		kill_while(create_one, &fixture, round, &seed);
	REQUIRE(backup_list(&fixture.place, &fixture.arena, &entries, &count) == 0);
	EXPECT(count > 0);
	for (size_t i = 0; i < count; i++)
		EXPECT_INT(verify(&fixture, entries[i].backup.name), 0);
	(void)create(&fixture);
	EXPECT_INT(count_files(&fixture, "backups", NULL), 2 * (count + 1));
	fixture_done(&fixture);
}

static struct str restored_name;

static void restore_one(struct fixture *fixture)
{
	struct backup_restored restored;

	if (restore(fixture, restored_name, &restored) < 0)
		_exit(EXIT_FAILURE);
	arena_reset(&fixture->arena);
}

/* There is either the former database or all of the backup. */
TEST(restore_of_a_process_that_is_killed)
{
	struct fixture fixture;
	uint64_t seed = 7;
	struct backup backup;
	char name[BACKUP_NAME_LEN];

	fixture_open(&fixture);
	make_database(&fixture);
	backup = create(&fixture);
	memcpy(name, backup.name.at, sizeof(name)); /* the arena is emptied on the way */
	restored_name = str_of(name, sizeof(name));
	for (unsigned round = 0; round < (test_long() ? 200 : 20); round++) {
		int64_t rows;

		run(&fixture, "INSERT OR IGNORE INTO entry VALUES (501, 1, 'after')");
		kill_while(restore_one, &fixture, round, &seed);
		rows = ask(path_of(&fixture, DATABASE_FILE), "SELECT count(*) FROM entry");
		EXPECT(rows == 500 || rows == 501);
		EXPECT_INT(verify(&fixture, restored_name), 0);
	}
	fixture_done(&fixture);
}

#ifdef BULKHEAD_FAULTS

TEST_SLOW(backup_torture, 120)
{
	struct fixture fixture;
	struct backup backup;

	fixture_open(&fixture);
	make_database(&fixture);
	for (enum fault_kind kind = 0; kind < FAULT_KINDS; kind++)
		for (size_t nth = 1;; nth++) {
			size_t before = count_files(&fixture, "backups", ".db");
			int r;

			fault_arm(kind, nth);
			r = backup_create(&fixture.place, &fixture.arena, &backup);
			if (!fault_struck(kind)) {
				fault_arm(kind, 0);
				EXPECT_INT(r, 0);
				EXPECT(nth > 3);
				break;
			}
			fault_arm(kind, 0);
			if (r == 0)
				EXPECT_INT(verify(&fixture, backup.name), 0);
			else
				EXPECT_INT(count_files(&fixture, "backups", ".db"), before);
			EXPECT_INT(count_files(&fixture, "backups", NULL),
				2 * count_files(&fixture, "backups", ".db"));
		}
	EXPECT_INT(ask(path_of(&fixture, DATABASE_FILE), "SELECT count(*) FROM entry"), 500);
	fixture_done(&fixture);
}

/* After each failure there is the former database, all of it, or all of the backup. */
TEST_SLOW(restore_torture, 120)
{
	struct fixture fixture;
	struct backup backup;

	fixture_open(&fixture);
	make_database(&fixture);
	backup = create(&fixture);
	run(&fixture, "INSERT INTO entry VALUES (501, 1, 'after')");
	for (enum fault_kind kind = 0; kind < FAULT_KINDS; kind++)
		for (size_t nth = 1;; nth++) {
			struct backup_restored restored;
			int64_t rows;
			int r;

			fault_arm(kind, nth);
			r = restore(&fixture, backup.name, &restored);
			if (!fault_struck(kind)) {
				fault_arm(kind, 0);
				EXPECT_INT(r, 0);
				EXPECT(nth > 1);
				run(&fixture, "INSERT INTO entry VALUES (501, 1, 'after')");
				break;
			}
			fault_arm(kind, 0);
			EXPECT_INT(count_files(&fixture, ".", ".restoring"), 0);
			rows = ask(path_of(&fixture, DATABASE_FILE), "SELECT count(*) FROM entry");
			EXPECT(rows == 500 || rows == 501);
			if (rows == 500) {
				EXPECT(r == 0 || strstr(err_text(), "sync") != NULL);
				run(&fixture, "INSERT INTO entry VALUES (501, 1, 'after')");
			} else {
				EXPECT(r < 0);
			}
		}
	fixture_done(&fixture);
}

#endif
