/*
 * The disk of tests, tried with bare SQLite: with synchronous=FULL nothing that was acknowledged is
 * lost however the power goes; with fewer syncs than SQLite wants, or syncs that lie, something is,
 * and the checks see it. So a green run of the engine on this disk means something.
 */
#include "store/vfs_test.h"

#include "base/err.h"
#include "base/test.h"

#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	ACCOUNTS = 8,
	BALANCE = 1000,
	TRANSACTIONS = 40,
	SEEDS = 300,
	SEEDS_LONG = 10000,
	TELLS = 5, /* failures that are told by their seed */
};

/* How a run differs from a right one. */
struct way {
	const char *synchronous;
	struct disk_fault fault; /* with spread and count 0: none */
	size_t spread;           /* not 0: it strikes after fewer calls than that, by chance */
	size_t room;     /* not 0: the disk is full after fewer bytes than that, by chance */
	bool may_forget; /* acknowledged transactions may be lost, but only the last ones */
};

/* What a run has found. */
enum verdict { WHOLE, FORGOTTEN, BROKEN };

struct run {
	sqlite3 *db;
	uint64_t random;
	char folder[64];
	char path[96];
	size_t tried; /* tokens are 1 to this one */
	bool acknowledged[TRANSACTIONS + 1];
};

static void open_folder(struct run *run)
{
	const char *parent = getenv("TMPDIR");

	(void)snprintf(run->folder, sizeof(run->folder), "%.40s/disk-XXXXXX",
		parent && strlen(parent) <= 40 ? parent : "/tmp");
	CHECK(mkdtemp(run->folder));
	(void)snprintf(run->path, sizeof(run->path), "%s/test.db", run->folder);
}

static void remove_files(struct run *run)
{
	static const char *const endings[] = { "", "-wal", "-shm", "-journal" };
	char name[128];

	for (size_t i = 0; i < LEN(endings); i++) {
		(void)snprintf(name, sizeof(name), "%s%s", run->path, endings[i]);
		(void)unlink(name);
	}
}

/* SQLite's code. */
static int run_sql(sqlite3 *db, const char *format, ...) PRINTF_LIKE(2, 3);
static int run_sql(sqlite3 *db, const char *format, ...)
{
	char sql[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(sql, sizeof(sql), format, args);
	va_end(args);
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* The integer that a query answers, or -1. */
static int64_t ask(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement;
	int64_t answer = -1;

	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
		return -1;
	if (sqlite3_step(statement) == SQLITE_ROW)
		answer = sqlite3_column_int64(statement, 0);
	return sqlite3_finalize(statement) == SQLITE_OK ? answer : -1;
}

static int open_database(struct run *run, const char *synchronous)
{
	int r = sqlite3_open_v2(
		run->path, &run->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, DISK_VFS);

	if (r == SQLITE_OK)
		r = run_sql(run->db,
			"PRAGMA journal_mode=WAL; PRAGMA synchronous=%s; PRAGMA "
			"wal_autocheckpoint=12;"
			"PRAGMA cache_size=4; PRAGMA page_size=1024",
			synchronous);
	return r;
}

static void close_database(struct run *run)
{
	CHECK(sqlite3_close(run->db) == SQLITE_OK);
	run->db = NULL;
}

static int make_tables(struct run *run)
{
	int r = run_sql(run->db,
		"BEGIN; CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);"
		"CREATE TABLE half (token INTEGER, side INTEGER, filler BLOB, "
		"PRIMARY KEY (side, token)) WITHOUT ROWID;");

	for (int i = 0; i < ACCOUNTS && r == SQLITE_OK; i++)
		r = run_sql(run->db, "INSERT INTO account VALUES (%d, %d)", i, BALANCE);
	return r == SQLITE_OK ? run_sql(run->db, "COMMIT") : r;
}

/* Moves money from one account to another and leaves both halves of a token. */
static int transact(struct run *run)
{
	int amount = (int)(test_random(&run->random) % 50);
	int from = (int)(test_random(&run->random) % ACCOUNTS);
	int to = (int)(test_random(&run->random) % ACCOUNTS);
	int size = (int)(test_random(&run->random) % 3000);
	size_t token = ++run->tried;
	int r;

	r = run_sql(run->db,
		"BEGIN IMMEDIATE;"
		"UPDATE account SET balance = balance - %d WHERE id = %d;"
		"INSERT INTO half VALUES (%zu, 0, randomblob(%d));"
		"UPDATE account SET balance = balance + %d WHERE id = %d;"
		"INSERT INTO half VALUES (%zu, 1, randomblob(%d)); COMMIT",
		amount, from, token, size, amount, to, token, size / 4);
	run->acknowledged[token] = r == SQLITE_OK;
	if (r != SQLITE_OK && !sqlite3_get_autocommit(run->db))
		(void)run_sql(run->db, "ROLLBACK");
	return r;
}

/* The transactions: both halves or none; those that were acknowledged up to some point and no other
 * one, if the end was forgotten. One that was refused may be there all the same. */
static enum verdict check_tokens(struct run *run)
{
	enum verdict verdict = WHOLE;
	sqlite3_stmt *halves;

	if (sqlite3_prepare_v2(run->db, "SELECT count(*) FROM half WHERE token = ?1", -1, &halves,
		    NULL) != SQLITE_OK)
		return BROKEN;
	for (size_t token = 1; token <= run->tried && verdict != BROKEN; token++) {
		int count;

		(void)sqlite3_bind_int64(halves, 1, (sqlite3_int64)token);
		count = sqlite3_step(halves) == SQLITE_ROW ? sqlite3_column_int(halves, 0) : 1;
		(void)sqlite3_reset(halves);
		if (count == 1 || (count == 2 && verdict == FORGOTTEN))
			verdict = BROKEN;
		else if (count == 0 && run->acknowledged[token])
			verdict = FORGOTTEN;
	}
	(void)sqlite3_finalize(halves);
	return verdict;
}

static enum verdict check(struct run *run)
{
	if (ask(run->db, "SELECT count(*) FROM sqlite_schema WHERE name = 'half'") == 0)
		return run->acknowledged[1] ? FORGOTTEN : WHOLE;
	if (ask(run->db, "SELECT integrity_check = 'ok' FROM pragma_integrity_check") != 1)
		return BROKEN;
	if (ask(run->db, "SELECT sum(balance) FROM account") != (int64_t)ACCOUNTS * BALANCE)
		return BROKEN;
	return check_tokens(run);
}

/* One life of a database, with a power cut somewhere, and what is found afterwards. */
static enum verdict live(const struct way *way, uint64_t seed, struct run *run)
{
	uint64_t choice = seed * 0x9E3779B97F4A7C15u | 1;
	enum verdict verdict = BROKEN;

	run->random = choice;
	run->tried = 0;
	disk_start(choice);
	if (open_database(run, way->synchronous) == SQLITE_OK && make_tables(run) == SQLITE_OK) {
		struct disk_fault fault = way->fault;

		if (way->spread)
			fault.after = test_random(&choice) % way->spread;
		if (way->spread || fault.count)
			disk_fail(&fault);
		if (way->room)
			disk_room(test_random(&choice) % way->room);
		disk_cut_after(1 + test_random(&choice) % (TRANSACTIONS * 8));
		for (size_t i = 0; i < TRANSACTIONS && disk_is_on(); i++)
			(void)transact(run);
	}
	disk_cut();
	close_database(run);
	disk_power_on();

	if (open_database(run, "FULL") == SQLITE_OK)
		verdict = check(run);
	close_database(run);
	disk_done();
	remove_files(run);
	return verdict;
}

static uint64_t seeds(void)
{
	return test_long() ? SEEDS_LONG : SEEDS;
}

/* Lives many lives; counts what was found. Failures are told unless they are expected. */
static void live_all(const struct way *way, uint64_t count, bool expected, size_t counts[3])
{
	size_t told = 0;
	struct run run = { 0 };

	memset(counts, 0, 3 * sizeof(*counts));
	open_folder(&run);
	for (uint64_t seed = 1; seed <= count; seed++) {
		enum verdict verdict = live(way, seed, &run);

		counts[verdict]++;
		if (expected || verdict == WHOLE || (verdict == FORGOTTEN && way->may_forget))
			continue;
		if (told++ < TELLS)
			fprintf(stderr, "  seed %llu: %s after token %zu\n",
				(unsigned long long)seed,
				verdict == BROKEN ? "broken" : "forgotten", run.tried);
	}
	(void)rmdir(run.folder);
}

TEST_SLOW(disk_full_sync_survives_power_cuts, 600)
{
	size_t counts[3];

	live_all(&(struct way){ "FULL" }, seeds(), false, counts);
	EXPECT_INT(counts[FORGOTTEN], 0);
	EXPECT_INT(counts[BROKEN], 0);
}

/* What a SOFT transaction may do: be forgotten, together with all after it, but not be halved. */
TEST_SLOW(disk_normal_sync_forgets_only_the_end, 600)
{
	size_t counts[3];

	live_all(&(struct way){ "NORMAL", .may_forget = true }, seeds(), false, counts);
	EXPECT(counts[FORGOTTEN] > 0);
	EXPECT_INT(counts[BROKEN], 0);
}

/*
 * Calls that fail. After a failed sync a later one that succeeds brings nothing back; SQLite must
 * not rely on it. A short read is what it gets from a file that was cut off; on a page of the
 * database it may take that for empty pages, so it is not among these.
 */
TEST_SLOW(disk_errors_are_survived, 600)
{
	static const struct way ways[] = {
		{ "FULL", { DISK_SYNC, DISK_ANY_FILE }, .spread = 20 },
		{ "FULL", { DISK_SYNC, DISK_DATABASE, .count = 2 } },
		{ "FULL", { DISK_SYNC, DISK_WAL, .after = 3, .count = 5 } },
		{ "FULL", { DISK_WRITE, DISK_ANY_FILE, .count = 2 }, .spread = 60 },
		{ "FULL", { DISK_TRUNCATE, DISK_ANY_FILE, .count = 2 } },
		{ "FULL", { DISK_READ, DISK_ANY_FILE, .count = 2 }, .spread = 60 },
		{ "FULL", { DISK_READ, DISK_WAL, .code = SQLITE_IOERR_SHORT_READ }, .spread = 20 },
		{ "FULL", { DISK_SHM_LOCK, DISK_ANY_FILE, .count = 3 }, .spread = 60 },
		{ "FULL", { DISK_SHM_LOCK, DISK_ANY_FILE, .code = SQLITE_BUSY }, .spread = 60 },
		{ "FULL", { DISK_LOCK, DISK_ANY_FILE }, .spread = 4 },
		{ "FULL", { DISK_SIZE, DISK_ANY_FILE }, .spread = 10 },
		{ "FULL", .room = 100000 },
	};
	size_t counts[3];

	for (size_t i = 0; i < LEN(ways); i++) {
		live_all(&ways[i], seeds() / LEN(ways), false, counts);
		if (!EXPECT(counts[FORGOTTEN] == 0 && counts[BROKEN] == 0))
			fprintf(stderr, "  in way %zu\n", i);
	}
}

/* Each of these is a database that believes to be safe and is not: the disk must show it. */
TEST_SLOW(disk_missing_syncs_are_seen, 600)
{
	static const struct {
		const char *what;
		struct way way;
		bool breaks; /* and not only forgets */
	} cases[] = {
		{ "no syncs", { "OFF" }, true },
		{ "one sync of the WAL",
			{ "FULL", { DISK_SYNC, DISK_WAL, .lie = true, .cut = 4 }, .spread = 20 },
			false },
		{ "all syncs of the WAL",
			{ "FULL", { DISK_SYNC, DISK_WAL, .count = SIZE_MAX, .lie = true } }, true },
		{ "one sync of the database",
			{ "FULL", { DISK_SYNC, DISK_DATABASE, .lie = true, .cut = 30 },
				.spread = 8 },
			true },
		{ "all syncs of the database",
			{ "FULL", { DISK_SYNC, DISK_DATABASE, .count = SIZE_MAX, .lie = true } },
			true },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		size_t counts[3];

		live_all(&cases[i].way, SEEDS / LEN(cases), true, counts);
		if (!EXPECT(counts[FORGOTTEN] + counts[BROKEN] > 0) ||
			!EXPECT(!cases[i].breaks || counts[BROKEN] > 0))
			fprintf(stderr, "  %s: %zu whole, %zu forgotten, %zu broken\n",
				cases[i].what, counts[WHOLE], counts[FORGOTTEN], counts[BROKEN]);
	}
}
