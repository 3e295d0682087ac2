/*
 * The store, one engine at a time, beside the same work done by hand on the same database. Prints a
 * line for each figure: NAME VALUE. benchmarks/store.mjs runs it and makes ratios of them.
 *
 *     store_native sqlite FOLDER
 *     store_native postgres FOLDER APP_URL OWNER_URL
 */
#include "base/num.h"
#include "crypto/library.h"
#include "crypto/random.h"
#include "loop/worker.h"
#include "observe/clock.h"
#include "observe/metric.h"
#include "store/migration.h"
#include "store/store.h"

#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
	TENANTS = 50,
	ROWS = 100000,
	LIST = 20,
	FIBERS = 64,
	READS = 40000,
	SAMPLES_MAX = 400000,
	OVERLOAD_POOL = 4,
	OVERLOAD_QUEUE = 60,
	OVERLOAD = 10, /* times as many as can be served or wait */
};

#define GROUPS  "\nstore_group_size_count "
#define MEMBERS "\nstore_group_size_sum "

#define WRITE_TIME (2 * SECOND)

/* --- the table --------------------------------------------------------------------- */

#define COLUMNS                                                                                    \
	"(tenant_id uuid NOT NULL, id uuid NOT NULL, title text NOT NULL, body text NOT NULL, "    \
	"created_us bigint NOT NULL, PRIMARY KEY (tenant_id, id))"

static const char migrations[] =
	"-- up 1: items\n"
	"CREATE TABLE main.item " COLUMNS " --sqlite: WITHOUT ROWID\n;\n"
	"CREATE INDEX item_by_time ON main.item (tenant_id, created_us, id);\n";

struct item {
	struct str id, title, body;
	int64_t created_us;
};

static const struct schema item_schema = SCHEMA(item, "Something.",
	FIELD(item, id, "Which.", .format = FORMAT_UUID), FIELD(item, title, "Its name."),
	FIELD(item, body, "What it is."), FIELD(item, created_us, "When it came."));

struct count {
	int64_t count;
};

static const struct schema count_schema = SCHEMA(count, "How many.", FIELD(count, count, "Rows."));

static const struct statement insert = STATEMENT("item_insert",
	.sql = "INSERT INTO main.item (tenant_id, id, title, body, created_us) "
	       "VALUES (:tenant, :id, :title, :body, :now)",
	.in = &item_schema);
static const struct statement get = STATEMENT("item_get",
	.sql = "SELECT id, title, body, created_us FROM item WHERE tenant_id = :tenant AND id = "
	       ":id",
	.in = &item_schema, .out = &item_schema);
static const struct statement get_system = STATEMENT("item_get_system",
	.sql = "SELECT id, title, body, created_us FROM main.item WHERE tenant_id = :tenant AND id "
	       "= :id",
	.in = &item_schema, .out = &item_schema, .flags = STATEMENT_SYSTEM);
static const struct statement list = STATEMENT("item_list",
	.sql = "SELECT id, title, body, created_us FROM item "
	       "WHERE tenant_id = :tenant AND created_us > :created_us "
	       "ORDER BY created_us, id LIMIT 20",
	.in = &item_schema, .out = &item_schema);
static const struct statement count = STATEMENT("item_count",
	.sql = "SELECT count(*) AS count FROM item WHERE tenant_id = :tenant",
	.out = &count_schema);
static const struct statement *const statements[] = { &insert, &get, &get_system, &list, &count };

static const char body_text[] = "A body of about a hundred bytes, which is what a small business "
				"row has besides its name and ids.";

static struct uuid tenant_of(uint64_t number)
{
	struct uuid id = { { 1, 2, 3, 4, 5, 6, 0x70, 8, 0x80, 10, 11, 12, 13, 14, 15 } };

	id.bytes[15] = (uint8_t)(number % TENANTS);
	return id;
}

/* Ids of the rows that are there from the beginning: row n belongs to tenant n % TENANTS. */
static struct uuid ids[ROWS];
static char id_texts[ROWS][UUID_TEXT_LEN];

static struct item item_of(size_t number)
{
	return (struct item){ .id = str_of(id_texts[number], UUID_TEXT_LEN),
		.title = S("A title of an item"),
		.body = S(body_text),
		.created_us = (int64_t)number };
}

static void make_ids(void)
{
	for (size_t i = 0; i < ROWS; i++) {
		uuid_v7(&ids[i], clock_wall_us());
		uuid_write(id_texts[i], &ids[i]);
	}
}

/* --- figures ------------------------------------------------------------------------- */

_Noreturn static void die(const char *doing)
{
	char text[ERR_TEXT_MAX * ERR_FRAMES];

	(void)err_describe(err_last(), text, sizeof(text));
	(void)fprintf(stderr, "store_native: %s: %s\n", doing, text);
	exit(1);
}

static void must(int r, const char *doing)
{
	if (r < 0)
		die(doing);
}

static void tell(const char *name, double value)
{
	(void)printf("%s %.6g\n", name, value);
	(void)fflush(stdout);
}

static uint64_t cpu_ns(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static uint64_t samples[SAMPLES_MAX];
static size_t sample_count;

static void sample(uint64_t ns)
{
	if (sample_count < SAMPLES_MAX)
		samples[sample_count++] = ns;
}

static int by_value(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static double percentile_ms(double share)
{
	if (sample_count == 0)
		return 0;
	qsort(samples, sample_count, sizeof(samples[0]), by_value);
	return (double)samples[(size_t)((double)(sample_count - 1) * share)] / (double)MILLISECOND;
}

/* The number behind a line's beginning in the metrics; 0 without such a line. */
static double metric_now(const char *line)
{
	struct buf text;
	ptrdiff_t at;
	double value = 0;

	buf_init(&text, 4 * 1024 * 1024);
	must(metric_write(&text, METRIC_TEXT), "metrics");
	buf_byte(&text, '\0');
	at = str_find(buf_str(&text), str_from_c(line));
	if (at >= 0)
		value = strtod(text.at + at + strlen(line), NULL);
	buf_done(&text);
	return value;
}

/* --- the store under load ---------------------------------------------------------------- */

static struct store_options options;
static struct store *store;

static void open_store(const char *owner_url)
{
	struct migration_source sources[] = { { "store", store_migrations },
		{ "items", migrations } };
	struct migration_options how = { .store = options, .owner_url = str_from_c(owner_url) };

	must(migrate_up(&how, sources, LEN(sources)), "migrate");
	must(store_open(&options, &store), "open");
	must(store_register(store, statements, LEN(statements)), "register");
	must(store_start(store), "start");
}

/* What runs on the worker, one thing after the other. */
static struct worker worker;
static int (*body)(void *);

static int run_body(void *arg)
{
	(void)body(arg);
	worker_stop(&worker);
	return 0;
}

static int start_body(struct worker *started)
{
	return scope_spawn(&started->sched.root, run_body, NULL);
}

static void on_worker(int (*fn)(void *))
{
	body = fn;
	worker = (struct worker){ .fiber_limit = 10000, .on_start = start_body };
	must(worker_start(&worker), "worker");
	worker_join(&worker);
}

/* --- writes -------------------------------------------------------------------------------- */

struct load {
	uint64_t until_ns;
	bool with_event;
	size_t done, refused;
};

struct writer {
	struct load *load;
	struct db db;
	struct item item;
};

static int insert_with_event(struct tx *tx, void *arg)
{
	struct writer *writer = arg;
	int r = tx_exec(tx, &insert, &writer->item);

	return r < 0 ? r
		     : tx_emit(tx, &(struct event){
					   .type = S("item.created"), .subject = writer->item.id });
}

static int write_until(void *arg)
{
	struct load *load = arg;
	char text[UUID_TEXT_LEN];
	struct arena arena;
	struct writer writer = { .load = load, .item = item_of(0) };

	arena_init(&arena, 4096, 1024 * 1024);
	writer.item.id = str_of(text, sizeof(text));
	while (clock_now_ns() < load->until_ns) {
		struct uuid id, tenant = tenant_of(load->done);
		uint64_t began = clock_now_ns();
		int r;

		uuid_v7(&id, clock_wall_us());
		uuid_write(text, &id);
		writer.db = db_of(store, &tenant, &arena);
		r = load->with_event ? db_write(&writer.db, insert_with_event, &writer)
				     : db_exec(&writer.db, &insert, &writer.item);
		if (r == 0) {
			sample(clock_now_ns() - began);
			load->done++;
		} else if (r == -ERR_UNAVAILABLE || r == -ERR_FULL) {
			load->refused++;
			(void)fiber_sleep_until(clock_now_ns() + 10 * MILLISECOND);
		} else {
			die("write");
		}
		arena_reset(&arena);
	}
	arena_done(&arena);
	return 0;
}

static struct load write_with(size_t fibers, bool with_event)
{
	struct load load = { .until_ns = clock_now_ns() + WRITE_TIME, .with_event = with_event };
	struct scope scope;

	sample_count = 0;
	scope_open(&scope, TIME_NEVER);
	for (size_t i = 0; i < fibers; i++)
		must(scope_spawn(&scope, write_until, &load), "fiber");
	must(scope_close(&scope), "writers");
	return load;
}

static double per_second(size_t done)
{
	return (double)done * (double)SECOND / (double)WRITE_TIME;
}

static int measure_writes(void *arg)
{
	struct load load;
	double groups = metric_now(GROUPS), members = metric_now(MEMBERS);

	(void)arg;
	load = write_with(FIBERS, false);
	groups = metric_now(GROUPS) - groups;
	if (groups > 0)
		tell("group_size", (metric_now(MEMBERS) - members) / groups);
	tell("row_per_s", per_second(load.done));
	tell("row_p50_ms", percentile_ms(0.5));
	tell("row_p99_ms", percentile_ms(0.99));
	load = write_with(FIBERS, true);
	tell("event_per_s", per_second(load.done));
	tell("event_p50_ms", percentile_ms(0.5));
	tell("event_p99_ms", percentile_ms(0.99));
	load = write_with(1, false);
	tell("alone_per_s", per_second(load.done));
	return 0;
}

/* --- reads ------------------------------------------------------------------------------------ */

static int fill_in_tx(struct tx *tx, void *arg)
{
	size_t from = *(size_t *)arg;
	int r = 0;

	for (size_t i = from; i < from + 1000 && r == 0; i++) {
		struct uuid tenant = tenant_of(i);
		struct item item = item_of(i);

		r = tx_enter(tx, &tenant);
		if (r == 0)
			r = tx_exec(tx, &insert, &item);
		if (r == 0)
			r = tx_leave(tx);
	}
	return r;
}

static int fill(void *arg)
{
	struct arena arena;
	struct db db;

	(void)arg;
	arena_init(&arena, 64 * 1024, 64 * 1024 * 1024);
	db = db_of_system(store, &arena);
	for (size_t i = 0; i < ROWS; i += 1000) {
		must(db_write(&db, fill_in_tx, &i), "fill");
		arena_reset(&arena);
	}
	arena_done(&arena);
	return 0;
}

enum reading { POINT, POINT_SYSTEM, PAGE, PAGE_AND_COUNT };

static size_t page_with_count(const struct db *db, const struct item *from)
{
	struct count all;
	struct item *items;
	size_t got;

	must(db_all(db, &list, from, &items, &got), "list");
	must(db_one(db, &count, NULL, &all), "count");
	return got;
}

static void read_once(enum reading what, size_t number, struct arena *arena)
{
	struct uuid tenant = tenant_of(number);
	struct db db = db_of(store, &tenant, arena);
	struct item item = item_of(number), *items;
	size_t got = LIST;

	switch (what) {
	case POINT: must(db_one(&db, &get, &item, &item), "get"); break;
	case POINT_SYSTEM:
		db.system = true;
		must(db_one(&db, &get_system, &item, &item), "get");
		break;
	case PAGE: must(db_all(&db, &list, &item, &items, &got), "list"); break;
	case PAGE_AND_COUNT: got = page_with_count(&db, &item); break;
	}
	CHECK(got == LIST);
}

static void measure_reading(const char *name, enum reading what, size_t times)
{
	struct arena arena;
	uint64_t began, used;

	arena_init(&arena, 64 * 1024, 1024 * 1024);
	used = cpu_ns();
	sample_count = 0;
	for (size_t i = 0; i < times; i++) {
		began = clock_now_ns();
		read_once(what, i * 7919 % (ROWS / 2), &arena);
		sample(clock_now_ns() - began);
		arena_reset(&arena);
	}
	used = cpu_ns() - used;
	arena_done(&arena);

	(void)printf("%s_cpu_us %.6g\n", name, (double)used / (double)times / 1000);
	(void)printf("%s_p50_us %.6g\n", name, percentile_ms(0.5) * 1000);
}

static int measure_reads(void *arg)
{
	(void)arg;
	for (int warm = 0; warm < 2; warm++) /* the second time counts */
		measure_reading(warm ? "point" : "cold_point", POINT, READS);
	measure_reading("system_point", POINT_SYSTEM, READS);
	measure_reading("page", PAGE, READS / 4);
	measure_reading("page_and_count", PAGE_AND_COUNT, READS / 20);
	return 0;
}

/* --- SQLite by hand ------------------------------------------------------- */

static void check_sqlite(sqlite3 *db, int r)
{
	if (r == SQLITE_OK || r == SQLITE_DONE || r == SQLITE_ROW)
		return;
	(void)fprintf(stderr, "store_native: sqlite: %s\n", sqlite3_errmsg(db));
	exit(1);
}

static sqlite3 *open_sqlite(const char *path)
{
	sqlite3 *db;

	check_sqlite(NULL, sqlite3_open(path, &db));
	check_sqlite(db,
		sqlite3_exec(db,
			"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA "
			"secure_delete=OFF; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16384; "
			"PRAGMA wal_autocheckpoint=16000",
			NULL, NULL, NULL));
	return db;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement;

	check_sqlite(db, sqlite3_prepare_v2(db, sql, -1, &statement, NULL));
	return statement;
}

static void insert_by_hand(sqlite3 *db, sqlite3_stmt *statement, size_t number)
{
	struct uuid id, tenant = tenant_of(number);

	uuid_v7(&id, clock_wall_us());
	check_sqlite(db, sqlite3_bind_blob(statement, 1, tenant.bytes, 16, SQLITE_STATIC));
	check_sqlite(db, sqlite3_bind_blob(statement, 2, id.bytes, 16, SQLITE_STATIC));
	check_sqlite(db, sqlite3_bind_text(statement, 3, "A title of an item", -1, SQLITE_STATIC));
	check_sqlite(db, sqlite3_bind_text(statement, 4, body_text, -1, SQLITE_STATIC));
	check_sqlite(db, sqlite3_bind_int64(statement, 5, clock_wall_us()));
	check_sqlite(db, sqlite3_step(statement));
	check_sqlite(db, sqlite3_reset(statement));
}

/* Commits of `group` rows each, as fast as one thread can. */
static double write_by_hand(const char *path, size_t group)
{
	sqlite3 *db = open_sqlite(path);
	sqlite3_stmt *begin, *commit, *add;
	uint64_t until;
	size_t done = 0;

	check_sqlite(db, sqlite3_exec(db,
				 "CREATE TABLE IF NOT EXISTS item " COLUMNS
				 " WITHOUT ROWID; CREATE INDEX IF NOT "
				 "EXISTS item_by_time ON item (tenant_id, created_us, id)",
				 NULL, NULL, NULL));
	begin = prepare(db, "BEGIN IMMEDIATE");
	commit = prepare(db, "COMMIT");
	add = prepare(db, "INSERT INTO item VALUES (?, ?, ?, ?, ?)");
	for (until = clock_now_ns() + WRITE_TIME; clock_now_ns() < until; done += group) {
		check_sqlite(db, sqlite3_step(begin));
		check_sqlite(db, sqlite3_reset(begin));
		for (size_t i = 0; i < group; i++)
			insert_by_hand(db, add, done + i);
		check_sqlite(db, sqlite3_step(commit));
		check_sqlite(db, sqlite3_reset(commit));
	}
	(void)sqlite3_finalize(begin);
	(void)sqlite3_finalize(commit);
	(void)sqlite3_finalize(add);
	(void)sqlite3_close(db);
	return per_second(done);
}

static void read_by_hand(const char *path)
{
	sqlite3 *db = open_sqlite(path);
	sqlite3_stmt *one = prepare(db, "SELECT id, title, body, created_us FROM item "
					"WHERE tenant_id = ? AND id = ?");
	uint64_t began = cpu_ns();
	size_t bytes = 0;

	for (size_t i = 0; i < READS; i++) {
		size_t number = i * 7919 % (ROWS / 2);
		struct uuid tenant = tenant_of(number);

		check_sqlite(db, sqlite3_bind_blob(one, 1, tenant.bytes, 16, SQLITE_STATIC));
		check_sqlite(db, sqlite3_bind_blob(one, 2, ids[number].bytes, 16, SQLITE_STATIC));
		CHECK(sqlite3_step(one) == SQLITE_ROW);
		bytes += (size_t)sqlite3_column_bytes(one, 2);
		check_sqlite(db, sqlite3_reset(one));
	}
	CHECK(bytes == READS * (sizeof(body_text) - 1));
	tell("bare_point_cpu_us", (double)(cpu_ns() - began) / READS / 1000);
	(void)sqlite3_finalize(one);
	(void)sqlite3_close(db);
}

static void measure_sqlite(const char *folder)
{
	char path[4096];

	options.folder = str_from_c(folder);
	open_store("");
	on_worker(fill);
	on_worker(measure_reads);
	(void)snprintf(path, sizeof(path), "%s/bulkhead.db", folder);
	read_by_hand(path);
	on_worker(measure_writes);
	store_close(store);

	(void)snprintf(path, sizeof(path), "%s/bare.db", folder);
	tell("bare_group_of_64_per_s", write_by_hand(path, FIBERS));
	(void)snprintf(path, sizeof(path), "%s/single.db", folder);
	tell("bare_single_per_s", write_by_hand(path, 1));
}

/* --- PostgreSQL by hand --------------------------------------------------- */

static PGconn *connect_by_hand(const char *url)
{
	PGconn *connection = PQconnectdb(url);

	if (PQstatus(connection) != CONNECTION_OK) {
		(void)fprintf(stderr, "store_native: %s", PQerrorMessage(connection));
		exit(1);
	}
	return connection;
}

static void ask(PGconn *connection, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
		(void)fprintf(stderr, "store_native: %s", PQerrorMessage(connection));
		exit(1);
	}
	PQclear(result);
}

/* What autovacuum would do a minute later. */
static void analyze(const char *owner_url)
{
	PGconn *connection = connect_by_hand(owner_url);

	ask(connection, PQexec(connection, "VACUUM ANALYZE main.item"));
	PQfinish(connection);
}

/* The same statement on a copy of the table without row-level security. */
static void read_postgres_by_hand(const char *owner_url)
{
	PGconn *connection = connect_by_hand(owner_url);
	uint64_t used;

	ask(connection, PQexec(connection, "CREATE TABLE main.bare AS SELECT * FROM main.item"));
	ask(connection,
		PQexec(connection, "ALTER TABLE main.bare ADD PRIMARY KEY (tenant_id, id)"));
	ask(connection, PQexec(connection, "ANALYZE main.bare"));
	ask(connection, PQprepare(connection, "get",
				"SELECT id, title, body, created_us FROM main.bare WHERE "
				"tenant_id = $1::uuid AND id = $2::uuid",
				2, NULL));
	used = cpu_ns();
	sample_count = 0;
	for (size_t i = 0; i < READS / 4; i++) {
		size_t number = i * 7919 % (ROWS / 2);
		struct uuid tenant = tenant_of(number);
		const char *values[] = { (const char *)tenant.bytes,
			(const char *)ids[number].bytes };
		const int lengths[] = { 16, 16 }, formats[] = { 1, 1 };
		uint64_t began = clock_now_ns();

		ask(connection, PQexecPrepared(connection, "get", 2, values, lengths, formats, 1));
		sample(clock_now_ns() - began);
	}
	used = cpu_ns() - used;
	tell("bare_point_cpu_us", (double)used / (READS / 4.0) / 1000);
	tell("bare_point_p50_us", percentile_ms(0.5) * 1000);
	PQfinish(connection);
}

static double round_trips(void)
{
	return metric_now("\nstore_round_trips_total ");
}

static int get_then_insert(struct tx *tx, void *arg)
{
	struct item *item = arg, found;
	int r = tx_one(tx, &get, item, &found);

	if (r != -ERR_NOT_FOUND)
		return r;
	r = tx_exec(tx, &insert, item);
	return r < 0 ? r : tx_emit(tx, &(struct event){ .type = S("item.created") });
}

static int count_round_trips(void *arg)
{
	enum { TIMES = 200 };
	struct arena arena;
	struct uuid tenant = tenant_of(0);
	struct db db;
	struct item *items;
	size_t got;
	double before;

	(void)arg;
	arena_init(&arena, 64 * 1024, 16 * 1024 * 1024);
	db = db_of(store, &tenant, &arena);
	before = round_trips();
	for (size_t i = 0; i < TIMES; i++)
		must(db_all(&db, &list, &(struct item){ 0 }, &items, &got), "list");
	tell("trips_read", (round_trips() - before) / TIMES);

	before = round_trips();
	for (size_t i = 0; i < 2 * TIMES; i++) {
		struct item item = item_of(1);
		struct uuid id;
		char text[UUID_TEXT_LEN];

		uuid_v7(&id, clock_wall_us());
		uuid_write(text, &id);
		item.id = str_of(text, sizeof(text));
		if (i < TIMES)
			must(db_exec(&db, &insert, &item), "insert");
		else
			must(db_write(&db, get_then_insert, &item), "write");
		if (i == TIMES - 1 || i == 2 * TIMES - 1) {
			tell(i < TIMES ? "trips_write" : "trips_read_write_event",
				(round_trips() - before) / TIMES);
			before = round_trips();
		}
	}
	arena_done(&arena);
	return 0;
}

static int overload(void *arg)
{
	struct load load;

	(void)arg;
	load = write_with((size_t)OVERLOAD * (OVERLOAD_POOL + OVERLOAD_QUEUE), false);
	tell("overload_per_s", per_second(load.done));
	tell("overload_refused_per_s", per_second(load.refused));
	tell("overload_p99_ms", percentile_ms(0.99));
	return 0;
}

static int without_overload(void *arg)
{
	struct load load;

	(void)arg;
	load = write_with(OVERLOAD_POOL, false);
	tell("full_pool_per_s", per_second(load.done));
	tell("full_pool_p99_ms", percentile_ms(0.99));
	return 0;
}

static void measure_postgres(const char *folder, const char *url, const char *owner_url)
{
	options.folder = str_from_c(folder);
	options.url = str_from_c(url);
	open_store(owner_url);
	on_worker(fill);
	analyze(owner_url);
	on_worker(measure_reads);
	on_worker(count_round_trips);
	on_worker(measure_writes);
	store_close(store);
	read_postgres_by_hand(owner_url);

	options.pool_max = OVERLOAD_POOL;
	options.pool_queue = OVERLOAD_QUEUE;
	open_store(owner_url);
	on_worker(without_overload);
	on_worker(overload);
	store_close(store);
}

int main(int argc, char **argv)
{
	crypto_start();
	make_ids();
	if (argc == 3 && strcmp(argv[1], "sqlite") == 0)
		measure_sqlite(argv[2]);
	else if (argc == 5 && strcmp(argv[1], "postgres") == 0)
		measure_postgres(argv[2], argv[3], argv[4]);
	else
		return (void)fprintf(stderr,
			       "store_native sqlite FOLDER | postgres FOLDER URL OWNER_URL\n"),
		       2;
	return 0;
}
