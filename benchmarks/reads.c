/*
 * Reads on SQLite: at once on the worker, or on threads of their own. Ratios of both ways.
 *
 * One worker, 100,000 rows of 50 tenants, all in the cache. A read goes to a thread and back, or
 * runs on the worker with a budget. Rates are of wall-clock time, costs of the processor time of
 * the whole process; medians of several rounds. "stall without" is the longest that scans beside
 * hold up the worker without a budget, for each 1 with one. doc/decisions/007 is made from this.
 */
#include "base/mem.h"
#include "loop/worker.h"
#include "observe/clock.h"
#include "store/sqlite.h"
#include "store/store.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { ROWS = 100000, TENANTS = 50, FIBERS_MAX = 64, ROUNDS = 5, SAMPLES_MAX = 200000 };

#define BUDGET     (250 * MICROSECOND)
#define ENDLESS    HOUR
#define ROUND_TIME (400 * MILLISECOND)

struct item {
	struct str id, title;
	int64_t created_us;
};

static const struct schema item_schema =
	SCHEMA(item, "Something.", FIELD(item, id, "Which.", .format = FORMAT_UUID),
		FIELD(item, title, "Its name."), FIELD(item, created_us, "When it came."));

struct sum {
	int64_t sum;
};

static const struct schema sum_schema = SCHEMA(sum, "A sum.", FIELD(sum, sum, "Of times."));

static const struct statement get = STATEMENT("item_get",
	.sql = "SELECT id, title, created_us FROM item WHERE tenant_id = :tenant AND id = :id",
	.in = &item_schema, .out = &item_schema);
static const struct statement list = STATEMENT("item_list",
	.sql = "SELECT id, title, created_us FROM item WHERE tenant_id = :tenant "
	       "AND created_us > :created_us ORDER BY created_us, id LIMIT 20",
	.in = &item_schema, .out = &item_schema);

#define SUM "SELECT sum(created_us * length(title)) AS sum FROM main.item"
static const struct statement scan =
	STATEMENT("item_sum", .sql = SUM, .out = &sum_schema, .flags = STATEMENT_SYSTEM);
/* The same; but that it is slow is not known of it. */
static const struct statement endless_scan = STATEMENT("item_sum_endless",
	.sql = SUM " WHERE 1 = 1", .out = &sum_schema, .flags = STATEMENT_SYSTEM);
static const struct statement *const statements[] = { &get, &list, &scan, &endless_scan };

static const char tables[] =
	"CREATE TABLE outbox (tenant_id uuid NOT NULL, id uuid NOT NULL, type text NOT NULL, "
	"subject text NOT NULL, data text, trace text, created_us bigint NOT NULL, "
	"PRIMARY KEY (tenant_id, id)) WITHOUT ROWID;"
	"CREATE TABLE item (tenant_id uuid NOT NULL, id uuid NOT NULL, title text NOT NULL, "
	"created_us bigint NOT NULL, PRIMARY KEY (tenant_id, id)) WITHOUT ROWID;"
	"CREATE INDEX item_by_time ON item (tenant_id, created_us, id);"
	"WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 99999) "
	"INSERT INTO item SELECT CAST(x'019000000000700080000000000000' || char(65 + n % 50) AS "
	"BLOB), "
	"randomblob(16), 'A title of an item', n FROM n;";

/* --- what is measured --------------------------------------------------------------- */

enum what { POINT, LIST, POINT_IN_TX, WHATS };
static const char *const what_names[] = { "point read", "list of 20", "function of 2 reads" };

struct run {
	enum what what;
	size_t fibers;
	bool disturbed; /* another fiber scans the table */
	uint64_t count; /* of reads */
	double rate, cpu_us, p50_us, p99_us, stall_us;
};

static struct store *store;
static struct uuid tenants[TENANTS];
static struct str ids[ROWS]; /* of row i of tenant i % TENANTS, in no order */
static uint64_t samples[SAMPLES_MAX];
static size_t sample_count;
static uint64_t end_ns, stall_ns;
static struct run *current;

static void must(int r, const char *doing)
{
	if (r == 0)
		return;
	(void)fprintf(stderr, "%s: %s\n", doing, err_text());
	exit(1);
}

static uint64_t cpu_ns(clockid_t of)
{
	struct timespec time;

	(void)clock_gettime(of, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static int read_twice(struct tx *tx, void *arg)
{
	struct item back;
	int r = tx_one(tx, &get, arg, &back);

	return r < 0 ? r : tx_one(tx, &get, arg, &back);
}

static int read_loop(void *arg)
{
	struct arena arena;
	uint64_t seed = (uintptr_t)arg * 7919 + 1;
	struct item back, *rows;
	size_t count;

	arena_init(&arena, 64 * KILOBYTE, MEGABYTE);
	while (clock_now_ns() < end_ns) {
		size_t number =
			(seed = seed * 6364136223846793005ULL + 1442695040888963407ULL) >> 33;
		struct item key = { .id = ids[number % ROWS],
			.created_us = (int64_t)(number % ROWS) };
		struct db db = db_of(store, &tenants[number % ROWS % TENANTS], &arena);
		uint64_t began = clock_now_ns();

		switch (current->what) {
		case POINT: must(db_one(&db, &get, &key, &back), "get"); break;
		case LIST: must(db_all(&db, &list, &key, &rows, &count), "list"); break;
		default: must(db_read(&db, read_twice, &key), "read"); break;
		}
		if (sample_count < SAMPLES_MAX)
			samples[sample_count++] = clock_now_ns() - began;
		current->count++;
		arena_reset(&arena);
		fiber_yield();
	}
	arena_done(&arena);
	return 0;
}

static int scan_loop(void *arg)
{
	struct arena arena;
	struct sum sum;

	(void)arg;
	arena_init(&arena, 64 * KILOBYTE, MEGABYTE);
	while (clock_now_ns() < end_ns) {
		struct db db = db_of_system(store, &arena);

		must(db_one(&db, sqlite_read_budget_ns == ENDLESS ? &endless_scan : &scan, NULL,
			     &sum),
			"scan");
		arena_reset(&arena);
		(void)fiber_sleep_until(sched_now() + 20 * MILLISECOND);
	}
	arena_done(&arena);
	return 0;
}

/* The longest round of all fibers, in time that the worker worked: so long it stood still for the
 * others. */
static int stall_loop(void *arg)
{
	(void)arg;
	stall_ns = 0;
	while (clock_now_ns() < end_ns) {
		uint64_t began = cpu_ns(CLOCK_THREAD_CPUTIME_ID);

		fiber_yield();
		stall_ns = MAX(stall_ns, cpu_ns(CLOCK_THREAD_CPUTIME_ID) - began);
	}
	return 0;
}

static int by_value(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

/* One round of a load, with a budget for reads. */
static struct run once(struct run run, uint64_t budget_ns)
{
	uint64_t began = clock_now_ns(), cpu = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
	struct scope scope;

	sqlite_read_budget_ns = budget_ns;
	current = &run;
	sample_count = 0;
	end_ns = began + ROUND_TIME;
	scope_open(&scope, TIME_NEVER);
	for (size_t i = 0; i < run.fibers; i++)
		must(scope_spawn(&scope, read_loop, (void *)(uintptr_t)i), "spawn");
	if (run.disturbed) {
		must(scope_spawn(&scope, scan_loop, NULL), "spawn");
		must(scope_spawn(&scope, stall_loop, NULL), "spawn");
	}
	(void)scope_close(&scope);
	run.rate = (double)run.count * 1e9 / (double)(clock_now_ns() - began);
	run.cpu_us = (double)(cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e3 / (double)run.count;
	qsort(samples, sample_count, sizeof(samples[0]), by_value);
	run.p50_us = (double)samples[sample_count / 2] / 1e3;
	run.p99_us = (double)samples[sample_count * 99 / 100] / 1e3;
	run.stall_us = (double)stall_ns / 1e3;
	return run;
}

/* --- rounds ---------------------------------------------------------------------------- */

static double ratio_of(double a, double b)
{
	return b > 0 ? a / b : 0;
}

static int by_size(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return left < right ? -1 : left > right;
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(values[0]), by_size);
	return values[ROUNDS / 2];
}

static void compare(struct run run)
{
	double rate[ROUNDS], cpu[ROUNDS], p50[ROUNDS], p99[ROUNDS], stall[ROUNDS];
	char name[80];

	for (size_t i = 0; i < ROUNDS; i++) {
		struct run here = once(run, BUDGET), there = once(run, 0);
		struct run endless = once(run, ENDLESS);

		rate[i] = ratio_of(here.rate, there.rate);
		cpu[i] = ratio_of(here.cpu_us, there.cpu_us);
		p50[i] = ratio_of(here.p50_us, there.p50_us);
		p99[i] = ratio_of(here.p99_us, there.p99_us);
		stall[i] = ratio_of(endless.stall_us, here.stall_us);
	}
	(void)snprintf(name, sizeof(name), "%s, %zu fibers%s", what_names[run.what], run.fibers,
		run.disturbed ? ", scans beside" : "");
	printf("%-44s %8.2f %8.2f %8.2f %8.2f", name, median(rate), median(cpu), median(p50),
		median(p99));
	if (run.disturbed)
		printf(" %14.0f", median(stall));
	printf("\n");
}

static int compare_all(void *arg)
{
	for (enum what what = POINT; what < WHATS; what++)
		for (size_t fibers = 1; fibers <= FIBERS_MAX; fibers *= FIBERS_MAX)
			compare((struct run){ .what = what, .fibers = fibers });
	compare((struct run){ .what = POINT, .fibers = 16, .disturbed = true });
	worker_stop(arg);
	return 0;
}

static int on_start(struct worker *worker)
{
	return scope_spawn(&worker->sched.root, compare_all, worker);
}

static void make_file(const char *folder)
{
	char path[200];
	sqlite3 *db;

	(void)snprintf(path, sizeof(path), "%s/bulkhead.db", folder);
	must(sqlite3_open(path, &db), "open");
	must(sqlite3_exec(db, tables, NULL, NULL, NULL), "tables");
	(void)sqlite3_close(db);
}

static void read_ids(const char *folder)
{
	char path[200];
	sqlite3_stmt *stmt;
	sqlite3 *db;
	size_t next[TENANTS] = { 0 };

	(void)snprintf(path, sizeof(path), "%s/bulkhead.db", folder);
	must(sqlite3_open(path, &db), "open");
	must(sqlite3_prepare_v2(db, "SELECT tenant_id, id FROM item", -1, &stmt, NULL), "ids");
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		const uint8_t *tenant = sqlite3_column_blob(stmt, 0);
		size_t number = (size_t)tenant[15] - 65, row = next[number]++ * TENANTS + number;
		struct uuid id;
		char *text = malloc(UUID_TEXT_LEN);

		memcpy(tenants[number].bytes, tenant, 16);
		memcpy(id.bytes, sqlite3_column_blob(stmt, 1), 16);
		uuid_write(text, &id);
		ids[row] = str_of(text, UUID_TEXT_LEN);
	}
	(void)sqlite3_finalize(stmt);
	(void)sqlite3_close(db);
}

int main(void)
{
	char folder[] = "/tmp/bulkhead-reads-XXXXXX", command[100];
	struct worker worker = { .fiber_limit = 1000, .on_start = on_start };
	struct store_options options = { 0 };

	if (!mkdtemp(folder))
		return 1;
	make_file(folder);
	read_ids(folder);
	options.folder = str_from_c(folder);
	options.cache_bytes = 256 * MEGABYTE;
	must(store_open(&options, &store), "store_open");
	must(store_register(store, statements, LEN(statements)), "store_register");
	must(store_start(store), "store_start");

	printf("%-44s %35s\n", "", "on the worker, within a budget, for each 1 on threads:");
	printf("%-44s %8s %8s %8s %8s %14s\n", "", "rate", "CPU", "p50", "p99", "stall without");
	must(worker_start(&worker), "worker");
	worker_join(&worker);

	store_close(store);
	(void)snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command) == 0 ? 0 : 1;
}
