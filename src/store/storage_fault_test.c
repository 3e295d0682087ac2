/*
 * The SQLite engine on a disk that loses power and fails (store/vfs_test.h). Fibers write a ledger
 * (store/ledger_test.h), DURABLE and SOFT ones at once, through several openings of the store,
 * until the power goes; then the store opens what has survived. With syncs that lie the same run
 * must be found out.
 */
#include "store/ledger_test.h"
#include "store/migration.h"
#include "store/sqlite.h"
#include "store/vfs_test.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FIBERS = 8,
	EACH = 4, /* transactions of a fiber in one opening */
	OPENINGS_MAX = 3,
	TOKENS = FIBERS * EACH * OPENINGS_MAX,
	SEEDS = 300,
	SEEDS_LONG = 10000,
	TELLS = 5,
};

/* How a run differs from a good one. */
struct way {
	struct disk_fault fault; /* with spread and count 0: none */
	size_t spread;           /* not 0: it strikes after fewer calls than that, by chance */
	size_t room;             /* not 0: the disk is full after fewer bytes, by chance */
	bool no_cut;             /* the power stays until the end */
};

struct life {
	struct store_test test;
	char database[300];
	char *start; /* the file as it is at the beginning of each life */
	size_t start_size;
	struct ledger ledger;
	uint64_t random;
	unsigned soft_percent; /* of transactions */
	size_t opening;
	enum ledger_verdict verdict;
	char why[LEDGER_WHY_MAX];
};

/* --- the file ---------------------------------------------------------------------------- */

static void read_start(struct life *life)
{
	int fd = open(life->database, O_RDONLY | O_CLOEXEC);
	struct stat stat;

	REQUIRE(fd >= 0 && fstat(fd, &stat) == 0);
	life->start_size = (size_t)stat.st_size;
	life->start = malloc(life->start_size);
	REQUIRE(life->start && read(fd, life->start, life->start_size) == stat.st_size);
	close(fd);
}

static void write_start(const struct life *life)
{
	static const char *const endings[] = { "-wal", "-shm", "-journal" };
	int fd = open(life->database, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0600);
	char name[sizeof(life->database) + 16];

	CHECK(fd >= 0);
	CHECK(write(fd, life->start, life->start_size) == (ssize_t)life->start_size);
	close(fd);
	for (size_t i = 0; i < LEN(endings); i++) {
		(void)snprintf(name, sizeof(name), "%s%s", life->database, endings[i]);
		(void)unlink(name);
	}
}

static bool file_is_sound(const struct life *life)
{
	sqlite3_stmt *check;
	bool sound = false;
	sqlite3 *db;

	if (sqlite3_open(life->database, &db) == SQLITE_OK &&
		sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &check, NULL) == SQLITE_OK) {
		sound = sqlite3_step(check) == SQLITE_ROW &&
			strcmp((const char *)sqlite3_column_text(check, 0), "ok") == 0;
		(void)sqlite3_finalize(check);
	}
	(void)sqlite3_close(db);
	return sound;
}

static void life_init(struct life *life)
{
	*life = (struct life){ 0 };
	store_test_folder(&life->test, ENGINE_SQLITE);
	store_test_migrate(&life->test, ledger_modules);
	REQUIRE(store_test_open(&life->test, ledger_modules) == 0);
	store_test_work(&life->test, ledger_found);
	store_test_close(&life->test);
	(void)snprintf(life->database, sizeof(life->database), "%s/bulkhead.db", life->test.folder);
	read_start(life);
	life->test.arg = life;
	sqlite_vfs_name = DISK_VFS;
}

static void life_done(struct life *life)
{
	sqlite_vfs_name = NULL;
	free(life->start);
	store_test_remove(&life->test);
}

/* --- writing ------------------------------------------------------------------------------- */

struct writer {
	struct life *life;
	size_t number;
};

static int write_some(void *arg)
{
	struct writer *writer = arg;
	struct life *life = writer->life;
	struct db db = store_test_tenant(&life->test, 1);
	struct arena arena;

	arena_init(&arena, 4096, MEGABYTE);
	db.arena = &arena;
	for (size_t i = 0; i < EACH && disk_is_on(); i++) {
		size_t token = (life->opening * FIBERS + writer->number) * EACH + i;
		uint64_t random = test_random(&life->random);
		enum tx_durability durability =
			(random >> 56) % 100 < life->soft_percent ? TX_SOFT : TX_DURABLE;
		int r = ledger_write(&db, &life->ledger, token, durability, random);

		if (r == 0)
			ledger_note(&life->ledger, token, durability);
		EXPECT(r == 0 || r == -ERR_IO || r == -ERR_UNAVAILABLE || r == -ERR_FULL);
		arena_reset(&arena);
	}
	arena_done(&arena);
	return 0;
}

static void write_all(struct store_test *test)
{
	struct writer writers[FIBERS];
	struct scope scope;

	scope_open(&scope, TIME_NEVER);
	for (size_t i = 0; i < FIBERS; i++) {
		writers[i] = (struct writer){ test->arg, i };
		REQUIRE(scope_spawn(&scope, write_some, &writers[i]) == 0);
	}
	(void)scope_close(&scope);
}

static void look(struct store_test *test)
{
	struct life *life = test->arg;

	life->verdict = ledger_check(test, &life->ledger, life->why);
}

/* --- lives ------------------------------------------------------------------------------------ */

static void begin_life(struct life *life, const struct way *way, uint64_t seed)
{
	struct disk_fault fault = way->fault;

	life->random = seed * 0x9E3779B97F4A7C15u | 1;
	life->soft_percent = (unsigned)(seed % 3) * 40;
	life->why[0] = '\0';
	ledger_init(&life->ledger, TOKENS, true);
	write_start(life);
	disk_start(life->random);
	if (way->spread)
		fault.after = test_random(&life->random) % way->spread;
	if (way->spread || way->fault.count)
		disk_fail(&fault);
	if (way->room)
		disk_room(test_random(&life->random) % way->room);
	if (!way->no_cut)
		disk_cut_after(1 + test_random(&life->random) % 400);
}

/* What has survived, opened by the engine; then the file by itself. */
static void end_life(struct life *life)
{
	disk_cut();
	disk_power_on();
	if (store_test_open(&life->test, ledger_modules) < 0) {
		life->verdict = LEDGER_BROKEN;
		(void)snprintf(life->why, sizeof(life->why), "it does not open: %s", err_text());
	} else {
		store_test_work(&life->test, look);
		store_test_close(&life->test);
	}
	disk_done();
	if (life->verdict != LEDGER_BROKEN && !file_is_sound(life)) {
		life->verdict = LEDGER_BROKEN;
		(void)snprintf(life->why, sizeof(life->why), "integrity_check");
	}
	ledger_done(&life->ledger);
}

static enum ledger_verdict live(struct life *life, const struct way *way, uint64_t seed)
{
	size_t openings = 1 + seed % OPENINGS_MAX;

	begin_life(life, way, seed);
	for (life->opening = 0; life->opening < openings && disk_is_on(); life->opening++) {
		if (store_test_open(&life->test, ledger_modules) < 0)
			continue;
		store_test_work(&life->test, write_all);
		store_test_close(&life->test);
	}
	end_life(life);
	return life->verdict;
}

/* Counts what was found; tells what should not have been. */
static void live_all(const struct way *way, uint64_t seeds, bool expected, size_t counts[3])
{
	struct life life;
	size_t told = 0;

	memset(counts, 0, 3 * sizeof(*counts));
	life_init(&life);
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		counts[live(&life, way, seed)]++;
		if (life.verdict != LEDGER_WHOLE && !expected && told++ < TELLS)
			fprintf(stderr, "  seed %llu: %s\n", (unsigned long long)seed, life.why);
	}
	life_done(&life);
}

static uint64_t seeds(void)
{
	if (BUILT_WITH_TSAN)
		return SEEDS / 10; /* threads meet in each of them in the same way */
	return test_long() ? SEEDS_LONG : SEEDS;
}

TEST_SLOW(storage_power_cuts_are_survived, 900)
{
	size_t counts[3];

	live_all(&(struct way){ 0 }, seeds(), false, counts);
	EXPECT_INT(counts[LEDGER_FORGOTTEN], 0);
	EXPECT_INT(counts[LEDGER_BROKEN], 0);
}

/* Errors, and then the power goes, too. */
TEST_SLOW(storage_errors_are_survived, 900)
{
	static const struct way ways[] = {
		{ { DISK_SYNC, DISK_ANY_FILE }, .spread = 40 },
		{ { DISK_SYNC, DISK_DATABASE, .count = 2 } },
		{ { DISK_SYNC, DISK_WAL, .count = 4 }, .spread = 20 },
		{ { DISK_SYNC, DISK_WAL, .cut = 10 }, .spread = 20 },
		{ { DISK_WRITE, DISK_ANY_FILE, .count = 2 }, .spread = 100 },
		{ { DISK_WRITE, DISK_WAL, .code = SQLITE_FULL }, .spread = 100 },
		{ { DISK_TRUNCATE, DISK_ANY_FILE, .count = 2 } },
		{ { DISK_READ, DISK_ANY_FILE, .count = 2 }, .spread = 60 },
		{ { DISK_SHM_LOCK, DISK_ANY_FILE, .count = 2 }, .spread = 100 },
		{ { DISK_SHM_LOCK, DISK_ANY_FILE, .code = SQLITE_BUSY }, .spread = 100 },
		{ { DISK_SHM_MAP, DISK_ANY_FILE }, .spread = 3 },
		{ { DISK_LOCK, DISK_ANY_FILE }, .spread = 6 },
		{ { DISK_OPEN, DISK_ANY_FILE }, .spread = 6 },
		{ { DISK_SIZE, DISK_ANY_FILE }, .spread = 10 },
		{ { DISK_DELETE, DISK_ANY_FILE } },
		{ .room = 200000 },
	};
	size_t counts[3];

	for (size_t i = 0; i < LEN(ways); i++) {
		live_all(&ways[i], seeds() / LEN(ways), false, counts);
		if (!EXPECT(counts[LEDGER_FORGOTTEN] == 0 && counts[LEDGER_BROKEN] == 0))
			fprintf(stderr, "  in way %zu\n", i);
	}
}

/* Takes syncs out: what the tests above say is worth nothing unless these are found out. */
TEST_SLOW(storage_missing_syncs_are_seen, 900)
{
	static const struct {
		const char *what;
		struct way way;
	} cases[] = {
		{ "one sync of the WAL",
			{ { DISK_SYNC, DISK_WAL, .lie = true, .cut = 4 }, .spread = 8 } },
		{ "all syncs of the WAL",
			{ { DISK_SYNC, DISK_WAL, .count = SIZE_MAX, .lie = true } } },
		{ "all syncs of the database",
			{ { DISK_SYNC, DISK_DATABASE, .count = SIZE_MAX, .lie = true } } },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		size_t counts[3];

		live_all(&cases[i].way, BUILT_WITH_TSAN ? SEEDS / 12 : SEEDS / 4, true, counts);
		if (!EXPECT(counts[LEDGER_FORGOTTEN] + counts[LEDGER_BROKEN] > 0))
			fprintf(stderr, "  %s\n", cases[i].what);
	}
}

/* --- migrations ------------------------------------------------------------------------------- */

static int migrate(struct store_test *test)
{
	struct migration_source sources[] = { { "store", store_migrations },
		{ ledger_modules[0].name, ledger_modules[0].migrations } };
	struct migration_options options = { .store = test->options };

	return migrate_up(&options, sources, LEN(sources));
}

static void try_it(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1);
	char why[LEDGER_WHY_MAX];
	struct ledger ledger;

	ledger_init(&ledger, 1, true);
	ledger_found(test);
	EXPECT_INT(ledger_write(&db, &ledger, 0, TX_DURABLE, 1), 0);
	ledger_note(&ledger, 0, TX_DURABLE);
	EXPECT_INT(ledger_check(test, &ledger, why), LEDGER_WHOLE);
	ledger_done(&ledger);
}

/* The power goes while a new database is made; the next start makes it, whatever is left. */
TEST_SLOW(storage_migrations_survive_power_cuts, 900)
{
	size_t cut = 0, count = seeds() / 3;

	sqlite_vfs_name = DISK_VFS;
	for (uint64_t seed = 1; seed <= count; seed++) {
		uint64_t random = seed * 0x9E3779B97F4A7C15u | 1;
		struct store_test test = { 0 };
		int r;

		store_test_folder(&test, ENGINE_SQLITE);
		disk_start(random);
		disk_cut_after(1 + test_random(&random) % 60);
		r = migrate(&test);
		cut += r < 0;
		disk_cut();
		disk_power_on();
		if (!EXPECT_INT(migrate(&test), 0)) {
			fprintf(stderr, "  seed %llu: %s\n", (unsigned long long)seed, err_text());
		} else {
			REQUIRE(store_test_open(&test, ledger_modules) == 0);
			store_test_work(&test, try_it);
			store_test_close(&test);
		}
		disk_done();
		store_test_remove(&test);
	}
	EXPECT(cut > count / 4);
	EXPECT(cut < count);
	sqlite_vfs_name = NULL;
}
