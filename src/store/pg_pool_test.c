/* The pool: its bounds, its order, and what becomes of it when the server goes. */
#include "store/pg_fixture_test.h"

#include "observe/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ARENA = 16 * 1024, ARENA_LIMIT = 4 * 1024 * 1024 };

static struct pg_engine *engine_of(struct pg_bench *bench)
{
	return CONTAINER_OF(bench->store->engine, struct pg_engine, engine);
}

static struct db db_number(struct pg_bench *bench, struct arena *arena, unsigned number)
{
	struct uuid id = { { 0x01, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0,
		(uint8_t)number } };

	return db_of(bench->store, &id, arena);
}

/* Runs `count` fibers of a worker and waits for them. */
struct crowd {
	struct pg_bench *bench;
	int (*run)(struct crowd *, size_t number, struct arena *arena);
	size_t next;
	_Atomic size_t ok, unavailable, other, unknown;
	void *arg;
};

static int one_of_crowd(void *arg)
{
	struct crowd *crowd = arg;
	struct arena arena;
	int r;

	arena_init(&arena, ARENA, ARENA_LIMIT);
	r = crowd->run(crowd, crowd->next++, &arena);
	if (r == 0)
		crowd->ok++;
	else if (r == -ERR_UNAVAILABLE && strstr(err_text(), "is unknown"))
		crowd->unknown++;
	else if (r == -ERR_UNAVAILABLE)
		crowd->unavailable++;
	else if (crowd->other++ == 0)
		fprintf(stderr, "  for example: %s\n", err_text());
	if (r == -ERR_UNAVAILABLE && crowd->unavailable == 1)
		fprintf(stderr, "  for example: %s\n", err_text());
	arena_done(&arena);
	return 0;
}

static void run_crowd(struct crowd *crowd, size_t count)
{
	struct scope scope;

	scope_open(&scope, TIME_NEVER);
	for (size_t i = 0; i < count; i++)
		REQUIRE(scope_spawn(&scope, one_of_crowd, crowd) == 0);
	EXPECT_INT(scope_close(&scope), 0);
}

static void open_shared(struct pg_bench *bench, struct store_options options)
{
	options.url = store_test_postgres(false);
	pg_bench_open(bench, &options, store_test_postgres(true));
}

/* --- bounds -------------------------------------------------------------------------------- */

static int add_one(struct crowd *crowd, size_t number, struct arena *arena)
{
	struct db db = db_number(crowd->bench, arena, 1);
	struct thing thing = { .id = thing_id(arena), .amount = 1 };

	(void)number;
	thing.name = thing.id;
	return db_exec(&db, &thing_add, &thing);
}

static size_t most_open;

static int watch_bound(void *arg)
{
	struct pg_pool *pool = arg;

	while (fiber_sleep_until(sched_now() + MILLISECOND) == 0)
		most_open = MAX(most_open, pool->open);
	return 0;
}

static int fill(struct pg_bench *bench, unsigned worker)
{
	struct crowd crowd = { .bench = bench, .run = add_one };

	if (worker == 0)
		EXPECT_INT(scope_spawn(&worker_here()->sched.root, watch_bound,
				   &engine_of(bench)->tenant),
			0);
	run_crowd(&crowd, 200);
	EXPECT_INT(crowd.ok, 200);
	EXPECT_INT(crowd.other + crowd.unavailable + crowd.unknown, 0);
	return 0;
}

TEST(pool_is_shared_by_workers_and_bounded)
{
	struct pg_bench bench;

	open_shared(
		&bench, (struct store_options){
				.pool_max = 4, .pool_queue = 1000, .pool_wait_ns = 20 * SECOND });
	pg_bench_run(&bench, 3, fill);
	EXPECT(most_open >= 2 && most_open <= 3); /* and one for the system */
	EXPECT_STR(str_from_c(pg_ask(store_test_postgres(true),
			   "SELECT count(*) <= 6 FROM pg_stat_activity " /* one for hints, too */
			   "WHERE datname = current_database() AND application_name = 'bulkhead'")),
		S("t"));
	EXPECT_INT(engine_of(&bench)->tenant.waiting, 0);
	pg_bench_close(&bench);
}

/* Takes a connection out of the pool for a while. */
static int hold(struct pg_pool *pool, uint64_t time_ns)
{
	struct pg_connection *connection;
	int r = pg_pool_take(pool, &connection);

	if (r < 0)
		return r;
	(void)fiber_sleep_until(sched_now() + time_ns);
	pg_pool_give(connection);
	return 0;
}

static int hold_long(struct crowd *crowd, size_t number, struct arena *arena)
{
	(void)number, (void)arena;
	return hold(&engine_of(crowd->bench)->tenant, 300 * MILLISECOND);
}

static int overload(struct pg_bench *bench, unsigned worker)
{
	struct crowd crowd = { .bench = bench, .run = hold_long };
	uint64_t began = clock_now_ns();

	(void)worker;
	run_crowd(&crowd, 20);
	/* One has it, four wait, of which none gets it in time; the others are refused at once. */
	EXPECT_INT(crowd.ok, 1);
	EXPECT_INT(crowd.unavailable, 19);
	EXPECT(clock_now_ns() - began < 2 * SECOND);
	return 0;
}

TEST(pool_refuses_beyond_its_line_and_its_time)
{
	struct pg_bench bench;

	open_shared(&bench,
		(struct store_options){
			.pool_max = 2, .pool_queue = 4, .pool_wait_ns = 100 * MILLISECOND });
	pg_bench_run(&bench, 1, overload);
	pg_bench_close(&bench);
}

/* --- order ----------------------------------------------------------------------------------- */

static size_t order[64], ordered;

static int note_order(struct crowd *crowd, size_t number, struct arena *arena)
{
	struct pg_pool *pool = &engine_of(crowd->bench)->tenant;
	struct pg_connection *connection;
	int r = pg_pool_take(pool, &connection);

	(void)arena;
	if (r < 0)
		return r;
	order[ordered++] = number;
	(void)fiber_sleep_until(sched_now() + MILLISECOND);
	pg_pool_give(connection);
	return 0;
}

static int in_order(struct pg_bench *bench, unsigned worker)
{
	struct crowd crowd = { .bench = bench, .run = note_order };

	(void)worker;
	run_crowd(&crowd, LEN(order));
	EXPECT_INT(ordered, LEN(order));
	for (size_t i = 0; i < ordered; i++)
		EXPECT_INT(order[i], i);
	return 0;
}

TEST(pool_serves_who_waits_longest)
{
	struct pg_bench bench;

	open_shared(&bench, (struct store_options){ .pool_max = 2 });
	pg_bench_run(&bench, 1, in_order);
	pg_bench_close(&bench);
}

/* --- giving up ------------------------------------------------------------ */

static int give_up(struct crowd *crowd, size_t number, struct arena *arena)
{
	struct scope scope;
	int r;

	(void)arena;
	scope_open(&scope, sched_now() + (number * 7 % 40 + 1) * MILLISECOND);
	r = hold(&engine_of(crowd->bench)->tenant, (number % 5) * MILLISECOND);
	EXPECT_INT(scope_close(&scope), 0);
	return r;
}

static int give_up_often(struct pg_bench *bench, unsigned worker)
{
	struct crowd crowd = { .bench = bench, .run = give_up };

	(void)worker;
	for (int i = 0; i < 10; i++)
		run_crowd(&crowd, 60);
	EXPECT(crowd.ok > 0);
	EXPECT_INT(crowd.unavailable + crowd.unknown, 0);
	EXPECT_INT(crowd.ok + crowd.other, 600);
	crowd = (struct crowd){ .bench = bench, .run = add_one };
	run_crowd(&crowd, 20); /* none of the connections was lost on the way */
	EXPECT_INT(crowd.ok, 20);
	return 0;
}

TEST(pool_loses_no_connection_to_who_gives_up)
{
	struct pg_bench bench;
	struct pg_pool *pool;

	open_shared(&bench, (struct store_options){ .pool_max = 5, .pool_wait_ns = 30 * SECOND });
	pg_bench_run(&bench, 4, give_up_often);
	pool = &engine_of(&bench)->tenant;
	EXPECT_INT(pool->waiting, 0);
	EXPECT_INT(pool->connecting, 0);
	EXPECT(pool->open <= 4);
	pg_bench_close(&bench);
}

/* --- age ------------------------------------------------------------------ */

static int use_for_a_while(struct pg_bench *bench, unsigned worker)
{
	struct crowd crowd = { .bench = bench, .run = add_one };

	(void)worker;
	for (int i = 0; i < 5; i++) {
		run_crowd(&crowd, 5);
		(void)fiber_sleep_until(sched_now() + 30 * MILLISECOND);
	}
	EXPECT_INT(crowd.ok, 25);
	return 0;
}

TEST(pool_replaces_old_connections)
{
	struct pg_bench bench;
	const struct metric *connects;
	int64_t before;

	open_shared(&bench,
		(struct store_options){ .pool_max = 2, .connection_age_ns = 50 * MILLISECOND });
	connects = engine_of(&bench)->tenant.metrics.connects;
	before = metric_value(connects);
	pg_bench_run(&bench, 1, use_for_a_while);
	EXPECT(metric_value(connects) - before >= 2);
	pg_bench_close(&bench);
}

/* --- the server goes ------------------------------------------------------ */

static struct pg_server server;
static char app_url[PG_URL_MAX], owner_url[PG_URL_MAX];
static _Atomic bool again;

static void open_own(struct pg_bench *bench, struct store_options options)
{
	pg_server_start(&server, NULL);
	pg_server_database(&server, "things");
	options.url = pg_server_url(&server, "app", "things", "", app_url);
	pg_bench_open(bench, &options, pg_server_url(&server, "owner", "things", "", owner_url));
}

/* Adds until it was told to stop, each time something new; counts what it was told. */
static int add_many(struct crowd *crowd, size_t number, struct arena *arena)
{
	struct db db = db_number(crowd->bench, arena, 1);

	(void)number;
	while (again) {
		struct arena_mark mark = arena_mark(arena);
		struct thing thing = { .id = thing_id(arena), .amount = 1 };
		int r;

		thing.name = thing.id;
		r = db_exec(&db, &thing_add, &thing);
		if (r == 0)
			crowd->ok++;
		else if (r == -ERR_UNAVAILABLE && strstr(err_text(), "is unknown"))
			crowd->unknown++;
		else if (test_note(r == -ERR_UNAVAILABLE, __FILE__, __LINE__, "%s", err_text()))
			crowd->unavailable++;
		if (r < 0) /* as a caller would, a little later */
			(void)fiber_sleep_until(sched_now() + 20 * MILLISECOND);
		arena_back(arena, mark);
	}
	return -ERR_NOT_FOUND; /* counted itself */
}

static struct crowd load[2];

static int load_server(struct pg_bench *bench, unsigned worker)
{
	load[worker] = (struct crowd){ .bench = bench, .run = add_many };
	run_crowd(&load[worker], 20);
	return 0;
}

static void *restart_server(void *arg)
{
	const char *signal = arg;

	for (int i = 0; i < 2; i++) {
		(void)usleep(300 * 1000);
		pg_server_stop(&server, signal);
		(void)usleep(200 * 1000);
		pg_server_restart(&server, NULL);
	}
	(void)usleep(800 * 1000);
	again = false;
	return NULL;
}

static void survive(const char *signal)
{
	size_t ok, unknown, unavailable, rows, last;
	struct pg_bench bench;
	pthread_t thread;

	open_own(&bench, (struct store_options){ .pool_max = 8 });
	again = true;
	CHECK(pthread_create(&thread, NULL, restart_server, (void *)signal) == 0);
	pg_bench_run(&bench, 2, load_server);
	CHECK(pthread_join(thread, NULL) == 0);

	ok = load[0].ok + load[1].ok;
	unknown = load[0].unknown + load[1].unknown;
	unavailable = load[0].unavailable + load[1].unavailable;
	rows = (size_t)strtoul(pg_ask(pg_server_url(&server, "postgres", "things", "", owner_url),
				       "SELECT count(*) FROM main.thing"),
		NULL, 10);
	last = (size_t)strtoul(
		pg_ask(str_from_c(owner_url), "SELECT count(DISTINCT id) FROM main.thing"), NULL,
		10);
	/* What was acknowledged is there, what was refused is not, once each. */
	test_note(rows >= ok && rows <= ok + unknown && rows == last, __FILE__, __LINE__,
		"%zu rows (%zu different), %zu acknowledged, %zu unknown, %zu refused", rows, last,
		ok, unknown, unavailable);
	EXPECT(ok > 100);
	EXPECT(unknown <= 3 * 8); /* one for each connection and restart, at most */
	pg_bench_close(&bench);
	pg_server_remove(&server);
}

TEST_SLOW(pool_heals_after_a_crash_of_the_server, 120)
{
	survive("QUIT");
}

TEST_SLOW(pool_heals_after_the_server_was_killed, 120)
{
	survive("KILL");
}

/* --- nobody there --------------------------------------------------------- */

static int meet_nobody(struct pg_bench *bench, unsigned worker)
{
	struct crowd crowd = { .bench = bench, .run = add_one };
	uint64_t began;

	(void)worker;
	run_crowd(&crowd, 3);
	EXPECT_INT(crowd.ok, 3);
	EXPECT(engine_of(bench)->tenant.open > 1);
	pg_server_stop(&server, "QUIT");
	(void)fiber_sleep_until(clock_now_ns() + 50 * MILLISECOND);
	EXPECT_INT(engine_of(bench)->tenant.open, 0); /* the end of idle ones has been noticed */

	run_crowd(&crowd, 1); /* this one tries */
	EXPECT_INT(crowd.unavailable, 1);
	began = clock_now_ns();
	run_crowd(&crowd, 100); /* these know */
	EXPECT_INT(crowd.unavailable, 101);
	EXPECT(clock_now_ns() - began < 1 * SECOND);

	pg_server_restart(&server, NULL);
	(void)fiber_sleep_until(clock_now_ns() + 500 * MILLISECOND);
	run_crowd(&crowd, 5);
	EXPECT_INT(crowd.ok, 8);
	return 0;
}

TEST(pool_fails_fast_while_the_server_is_away)
{
	struct pg_bench bench;

	open_own(&bench, (struct store_options){ .pool_max = 4 });
	pg_bench_run(&bench, 1, meet_nobody);
	pg_bench_close(&bench);
	pg_server_remove(&server);
}
