/* Files and disks as they are found: sentences for people, and no half state. */
#include "base/fault.h"
#include "store/folder_lock.h"
#include "store/sqlite_file.h"
#include "store/sqlite_test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- opening ---------------------------------------------------------------------------- */

static void expect_refused(struct sqlite_test *test, int wanted, const char *says)
{
	struct store *store = NULL;

	EXPECT_INT(store_open(&test->options, &store), wanted);
	if (str_find(str_from_c(err_text()), str_from_c(says)) < 0)
		test_note(
			false, __FILE__, __LINE__, "\"%s\" does not say \"%s\"", err_text(), says);
	store_close(store);
}

/* Writes bytes into the database file. */
static void scribble(struct sqlite_test *test, off_t at, const void *bytes, size_t size)
{
	char path[100];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/bulkhead.db", test->folder);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	REQUIRE(fd >= 0 && pwrite(fd, bytes, size, at) == (ssize_t)size);
	(void)close(fd);
}

TEST(sqlite_open_refuses_what_is_not_ours)
{
	struct sqlite_test test;
	char noise[4096];

	sqlite_test_make(&test);
	sqlite_test_sql(&test, "PRAGMA application_id=1234567");
	expect_refused(&test, -ERR_INVALID, "is the database of another program");
	sqlite_test_sql(&test, "PRAGMA application_id=1112034050"); /* "BHK" 2 */
	expect_refused(&test, -ERR_INVALID, "has format 2, which a newer version");
	sqlite_test_sql(&test, "PRAGMA application_id=0");
	sqlite_test_open(&test);
	expect_refused(&test, -ERR_CONFLICT, "another process (pid ");
	sqlite_test_close(&test);
	EXPECT_INT(sqlite_test_number(&test, "PRAGMA application_id"),
		SQLITE_FILE_ID + SQLITE_FILE_FORMAT);

	memset(noise, 0x5A, sizeof(noise));
	scribble(&test, 100, noise, 2000); /* the schema's page behind the header */
	expect_refused(&test, -ERR_IO, "the database file is corrupt");
	scribble(&test, 0, noise, sizeof(noise));
	expect_refused(&test, -ERR_IO, "the file is not a database");
	sqlite_test_remove(&test);
}

TEST(sqlite_open_makes_a_file_for_its_owner_only)
{
	struct store_options options;
	struct sqlite_file file;
	struct sqlite_test test;
	struct stat status;

	sqlite_test_make(&test);
	sqlite_test_remove(&test);
	options = test.options;
	expect_refused(&test, -ERR_IO, "bulkhead.lock: No such file or directory");

	REQUIRE(mkdir(test.folder, 0700) == 0);
	(void)umask(0);
	REQUIRE(sqlite_file_init(&file, options.folder, MEGABYTE) == 0);
	REQUIRE(sqlite_file_check(&file) == 0);
	REQUIRE(stat(file.path, &status) == 0);
	EXPECT_INT(status.st_mode & 0777, 0600);
	sqlite_test_remove(&test);
}

static void regain_rights(void)
{
	if (getuid() == 0)
		REQUIRE(seteuid(0) == 0);
}

/* Root may do anything, so it becomes somebody else; each test is a process of its own. */
static void lose_rights(void)
{
	if (geteuid() == 0)
		REQUIRE(setegid(65534) == 0 && seteuid(65534) == 0);
}

TEST(sqlite_open_needs_a_file_it_can_write)
{
	struct sqlite_test test;
	char path[100];

	sqlite_test_make(&test);
	(void)snprintf(path, sizeof(path), "%s/bulkhead.db", test.folder);
	REQUIRE(chmod(path, 0444) == 0 && chmod(test.folder, 0777) == 0);
	lose_rights();
	expect_refused(&test, -ERR_IO, "bulkhead.db cannot be written");
	regain_rights();
	REQUIRE(chmod(test.folder, 0555) == 0);
	(void)snprintf(path, sizeof(path), "%s/bulkhead.lock", test.folder);
	(void)unlink(path);
	lose_rights();
	expect_refused(&test, -ERR_IO, "bulkhead.lock: Permission denied");
	regain_rights();
	(void)chmod(test.folder, 0755);
	sqlite_test_remove(&test);
}

/* --- a full disk ---------------------------------------------------------------------------- */

static char letters[64 * 1024];

/* Writes notes until there is no room; how many there was room for. */
static unsigned fill(struct sqlite_test *test, unsigned from)
{
	struct db db = sqlite_test_db(test, 1, &test->arena);
	unsigned count = 0;
	int r = 0;

	for (; r == 0 && count < 1000; count++) {
		struct note note = { .id = sqlite_test_id_text(&test->arena, from + count),
			.slug = sqlite_test_id_text(&test->arena, from + count),
			.body = str_of(letters, sizeof(letters)) };

		r = db_exec(&db, &note_add, &note);
	}
	EXPECT_INT(r, -ERR_UNAVAILABLE);
	if (str_find(str_from_c(err_text()), S("the disk is full")) < 0)
		test_note(false, __FILE__, __LINE__, "%s", err_text());
	return count - 1;
}

static unsigned kept;

static void fill_twice(struct sqlite_test *test)
{
	struct db db = sqlite_test_db(test, 1, &test->arena);
	struct number number;
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	memset(letters, 'x', sizeof(letters));
	kept = fill(test, 1);
	EXPECT(kept > 0);
	EXPECT_INT(db_one(&db, &note_count, NULL, &number), 0); /* reads go on */
	EXPECT_INT(number.number, kept);
	kept += fill(test, 2000);

	/* There is room again. */
	if (setrlimit(RLIMIT_FSIZE, &limit) == 0 && test->arg) {
		struct note note = { .id = sqlite_test_id_text(&test->arena, 5000),
			.slug = S("after"),
			.body = S("x") };

		EXPECT_INT(db_exec(&db, &note_add, &note), 0);
		kept++;
	}
}

static void expect_sound(struct sqlite_test *test)
{
	EXPECT_INT(sqlite_test_number(test, "SELECT count(*) FROM note"), kept);
	EXPECT_INT(sqlite_test_number(test, "SELECT count(*) FROM pragma_integrity_check WHERE "
					    "integrity_check <> 'ok'"),
		0);
}

TEST(sqlite_file_that_may_not_grow_is_a_full_disk)
{
	struct rlimit limit = { 1024 * 1024, RLIM_INFINITY };
	struct sqlite_test test;

	sqlite_test_make(&test);
	sqlite_test_open(&test);
	test.arg = &kept; /* the limit is taken away in the end */
	(void)signal(SIGXFSZ, SIG_IGN);
	REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	sqlite_test_run(&test, fill_twice);
	sqlite_test_close(&test);
	expect_sound(&test);
	sqlite_test_remove(&test);
}

TEST(sqlite_full_disk_leaves_what_was_there)
{
	struct sqlite_test test;
	char path[100];

	/* Mounts of this process only. */
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		test_skip("needs the right to mount");
	sqlite_test_make(&test);
	(void)snprintf(path, sizeof(path), "%s/bulkhead.db", test.folder);
	REQUIRE(unlink(path) == 0);
	REQUIRE(mount("none", test.folder, "tmpfs", 0, "size=2m") == 0);
	sqlite_test_make_tables(&test);
	sqlite_test_open(&test);
	sqlite_test_run(&test, fill_twice);
	sqlite_test_close(&test);
	expect_sound(&test);
	(void)umount(test.folder);
	sqlite_test_remove(&test);
}

/* --- no memory ------------------------------------------------------------ */

#ifdef BULKHEAD_FAULTS

/* Opens and closes with the nth allocation, or system call, of ours failing. */
TEST(sqlite_open_survives_each_fault)
{
	static const enum fault_kind kinds[] = { FAULT_MEMORY, FAULT_SYSCALL };
	struct sqlite_test test;
	bool struck = true;

	sqlite_test_make(&test);
	for (size_t kind = 0; kind < LEN(kinds); kind++) {
		for (size_t nth = 1; struck; nth++) {
			struct store *store = NULL;
			int r;

			fault_arm(kinds[kind], nth);
			r = store_open(&test.options, &store);
			if (r == 0)
				r = store_register(
					store, sqlite_test_statements, sqlite_test_statement_count);
			if (r == 0)
				r = store_start(store);
			struck = fault_struck(kinds[kind]);
			EXPECT(struck ? r < 0 : r == 0);
			fault_arm(kinds[kind], 0);
			store_close(store);
		}
		struck = true;
	}
	sqlite_test_remove(&test);
}

#endif
