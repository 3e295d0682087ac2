/* Reads beside the writer: one state each, bounded in time, and long ones not on the worker. */
#include "observe/clock.h"
#include "store/engine.h"
#include "store/sqlite.h"
#include "store/sqlite_metrics.h"
#include "store/sqlite_test.h"

#include <unistd.h>

enum { MOVES = 300, READERS = 4 };

/* --- one state ------------------------------------------------------------------------- */

/* Two notes that have five stars together, in every state that is committed. */
struct pair {
	struct sqlite_test *test;
	struct note one, other;
	int64_t sum;
	atomic_bool *over;
};

static int move_star(struct tx *tx, void *arg)
{
	struct pair *pair = arg;
	struct note one, other;
	int r = tx_one(tx, &note_get, &pair->one, &one);

	if (r == 0)
		r = tx_one(tx, &note_get, &pair->other, &other);
	if (r < 0)
		return r;
	one.stars = (one.stars + 1) % 6;
	other.stars = 5 - one.stars;
	r = tx_exec(tx, &note_star, &one);
	return r < 0 ? r : tx_exec(tx, &note_star, &other);
}

static int read_pair(struct tx *tx, void *arg)
{
	struct pair *pair = arg;
	struct note one, other;
	int r = tx_one(tx, &note_get, &pair->one, &one);

	(void)usleep(100); /* time for the writer */
	if (r == 0)
		r = tx_one(tx, &note_get, &pair->other, &other);
	pair->sum = one.stars + other.stars;
	return r;
}

static struct pair pair_of(struct sqlite_test *test, struct arena *arena)
{
	return (struct pair){ .test = test,
		.one = { .id = sqlite_test_id_text(arena, 1), .slug = S("one"), .stars = 0 },
		.other = { .id = sqlite_test_id_text(arena, 2), .slug = S("two"), .stars = 5 } };
}

static atomic_bool over;

static int read_on(void *arg)
{
	struct sqlite_test *test = arg;
	struct arena arena;

	arena_init(&arena, 4096, MEGABYTE);
	while (!atomic_load(&over)) {
		struct pair pair = pair_of(test, &arena);
		struct db db = sqlite_test_db(test, 1, &arena);

		EXPECT_INT(db_read(&db, read_pair, &pair), 0);
		EXPECT_INT(pair.sum, 5);
		arena_reset(&arena);
		fiber_yield();
	}
	arena_done(&arena);
	return 0;
}

/* The other worker, which only reads. */
static int read_elsewhere(void *arg)
{
	struct worker *worker = arg;

	(void)read_on(worker->arg);
	worker_stop(worker);
	return 0;
}

static int start_elsewhere(struct worker *worker)
{
	return scope_spawn(&worker->sched.root, read_elsewhere, worker);
}

static void states_are_whole(struct sqlite_test *test)
{
	struct worker elsewhere = { .fiber_limit = 10, .on_start = start_elsewhere, .arg = test };
	struct pair pair = pair_of(test, &test->arena);
	struct db db = sqlite_test_db(test, 1, &test->arena);
	struct scope scope;

	atomic_store(&over, false);
	EXPECT_INT(db_exec(&db, &note_add, &pair.one), 0);
	EXPECT_INT(db_exec(&db, &note_add, &pair.other), 0);
	REQUIRE(worker_start(&elsewhere) == 0);
	scope_open(&scope, TIME_NEVER);
	for (size_t i = 0; i < READERS; i++)
		REQUIRE(scope_spawn(&scope, read_on, test) == 0);
	for (size_t i = 0; i < MOVES; i++)
		EXPECT_INT(db_write(&db, move_star, &pair), 0);
	atomic_store(&over, true);
	EXPECT_INT(scope_close(&scope), 0);
	worker_join(&elsewhere);
}

TEST(sqlite_reads_see_one_state)
{
	struct sqlite_test test;

	/* At once on the worker, then on the threads. */
	for (size_t i = 0; i < 2; i++) {
		if (i == 1)
			sqlite_read_budget_ns = 0;
		sqlite_test_make(&test);
		sqlite_test_open(&test);
		sqlite_test_run(&test, states_are_whole);
		sqlite_test_close(&test);
		sqlite_test_remove(&test);
	}
}

/* --- long reads --------------------------------------------------------------------------- */

static int64_t moved(void)
{
	return metric_value(sqlite_metrics.moved);
}

static int read_three(struct tx *tx, void *arg)
{
	struct number number, *rows, *result = arg;
	size_t count;
	int r = tx_one(tx, &note_count, NULL, &number);

	result->number++;
	if (r == 0)
		r = tx_all(tx, &spin, &(struct number){ 300000 }, &rows, &count);
	return r == 0 ? tx_one(tx, &note_count, NULL, &number) : r;
}

static void long_reads_move(struct sqlite_test *test)
{
	struct db db = sqlite_test_db(test, 1, &test->arena);
	struct number number = { 0 };
	int64_t before = moved();

	EXPECT_INT(db_one(&db, &spin, &(struct number){ 10 }, &number), 0);
	EXPECT_INT(number.number, 10);
	EXPECT_INT(moved(), before);
	EXPECT_INT(db_one(&db, &spin, &(struct number){ 300000 }, &number), 0);
	EXPECT_INT(number.number, 300000);
	EXPECT_INT(moved(), before + 1);

	/* Known to be slow: moved without being tried, however short it is this time. */
	EXPECT_INT(db_one(&db, &spin, &(struct number){ 10 }, &number), 0);
	EXPECT_INT(number.number, 10);
	EXPECT_INT(moved(), before + 2);
	EXPECT_INT(db_one(&db, &note_count, NULL, &number), 0);
	EXPECT_INT(moved(), before + 2);

	/* A function runs again as a whole. */
	number.number = 0;
	EXPECT_INT(db_read(&db, read_three, &number), 0);
	EXPECT_INT(number.number, 2);
	EXPECT_INT(moved(), before + 3);
}

TEST(sqlite_long_reads_move_to_a_thread)
{
	struct sqlite_test test;

	sqlite_read_budget_ns = MILLISECOND;
	sqlite_test_make(&test);
	sqlite_test_open(&test);
	sqlite_test_run(&test, long_reads_move);
	sqlite_test_close(&test);
	sqlite_test_remove(&test);
}

/* --- callers that go ------------------------------------------------------ */

struct spinning {
	struct sqlite_test *test;
	struct arena arena;
	struct scope scope;
	uint64_t time_ns;
	int result;
};

static int run_spinning(void *arg)
{
	struct spinning *spinning = arg;
	struct db db = sqlite_test_db(spinning->test, 1, &spinning->arena);
	struct number number;

	scope_open(
		&spinning->scope, spinning->time_ns ? sched_now() + spinning->time_ns : TIME_NEVER);
	spinning->result = db_one(&db, &spin, &(struct number){ 2000000000 }, &number);
	(void)scope_close(&spinning->scope);
	return 0;
}

static void readers_go(struct sqlite_test *test)
{
	struct spinning spinning[4] = { { .time_ns = 30 * MILLISECOND }, { .test = test },
		{ .test = test }, { .time_ns = 30 * MILLISECOND } };
	struct scope scope;

	/* Two threads: the last two wait for one. */
	scope_open(&scope, TIME_NEVER);
	for (size_t i = 0; i < LEN(spinning); i++) {
		spinning[i].test = test;
		arena_init(&spinning[i].arena, 4096, MEGABYTE);
		REQUIRE(scope_spawn(&scope, run_spinning, &spinning[i]) == 0);
	}
	(void)fiber_sleep_until(sched_now() + 100 * MILLISECOND);
	scope_cancel(&spinning[1].scope);
	scope_cancel(&spinning[2].scope);
	(void)scope_close(&scope);
	EXPECT_INT(spinning[0].result, -ERR_TIMEOUT);
	EXPECT_INT(spinning[1].result, -ERR_CANCELLED);
	EXPECT_INT(spinning[2].result, -ERR_CANCELLED);
	EXPECT_INT(spinning[3].result, -ERR_TIMEOUT);
	for (size_t i = 0; i < LEN(spinning); i++)
		arena_done(&spinning[i].arena);

	/* Before it begins. */
	scope_open(&scope, sched_now());
	EXPECT_INT(db_one(&(struct db){ test->store, &test->arena, sqlite_test_id(1), false },
			   &note_count, NULL, &(struct number){ 0 }),
		-ERR_TIMEOUT);
	(void)scope_close(&scope);
}

TEST(sqlite_readers_may_go_at_any_time)
{
	struct sqlite_test test;

	sqlite_test_make(&test);
	sqlite_test_open(&test);
	sqlite_test_run(&test, readers_go);
	sqlite_test_close(&test);
	sqlite_test_remove(&test);
}
