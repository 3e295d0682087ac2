/*
 * All that happens to jobs, at once: takes, ends, promotions, cancellations and the reaper's ends
 * run beside each other in random orders, on connections of their own, READ COMMITTED where that is
 * how they run. Whatever the order, the books must balance afterwards: seats, places and keys are
 * those of the rows, every job is somewhere, and each start was ended once.
 */
#include "modules/jobs/jobs_run_fixture_test.h"

#include "base/err.h"
#include "base/fault.h"
#include "observe/clock.h"

#include <stdlib.h>

enum { ACTORS = 4, JOBS = 10, ROUNDS = 25, ROUNDS_LONG = 600 };

struct balance {
	int64_t seats, places, crowded, keys, nobodys;
};

/* clang-format off */
static const struct schema balance_schema = SCHEMA(balance, "What does not fit together.",
	FIELD(balance, seats, "Groups whose seats are not those of their jobs."),
	FIELD(balance, places, "The same of those who wait."),
	FIELD(balance, crowded, "Groups with more seats taken than there are."),
	FIELD(balance, keys, "Keys with two jobs that have not ended."),
	FIELD(balance, nobodys, "Jobs that run for nobody."));
/* clang-format on */

#define OF_GROUP "j.tenant_id = g.tenant_id AND j.queue = g.queue AND j.group_key = g.key"

static const struct statement look_balance = STATEMENT("test_job_balance",
	.sql = "SELECT (SELECT count(*) FROM main.job_group AS g WHERE g.active <> (SELECT "
	       "count(*) "
	       "FROM main.job AS j WHERE " OF_GROUP " AND j.seated)) AS seats, "
	       "(SELECT count(*) FROM main.job_group AS g WHERE g.waiting <> (SELECT count(*) "
	       "FROM main.job AS j WHERE " OF_GROUP " AND j.blocked)) AS places, "
	       "(SELECT count(*) FROM main.job_group AS g WHERE g.active > 1) AS crowded, "
	       "(SELECT count(*) FROM (SELECT j.unique_key FROM main.job AS j WHERE j.unique_key "
	       "IS NOT NULL AND j.state NOT IN ('completed', 'discarded', 'cancelled') "
	       "GROUP BY j.tenant_id, j.queue, j.unique_key HAVING count(*) > 1) AS x) AS keys, "
	       "(SELECT count(*) FROM main.job AS j WHERE j.state = 'running' "
	       "AND j.lease_id IS NULL) AS nobodys",
	.out = &balance_schema, .flags = STATEMENT_SYSTEM);

static const struct statement *const statements[] = { &look_balance };

/* --- actors ------------------------------------------------------------------------------------
 */

/* Who holds what; shared by all, so that two end the same start. */
struct board {
	struct store_test *test;
	struct take take;
	struct held {
		char id[UUID_TEXT_LEN];
		int64_t attempt;
	} held[JOBS * 4];
	size_t held_count;
	struct str ids[JOBS];
	size_t taken, ended; /* starts, and how many of them were ended */
};

struct actor {
	struct board *board;
	struct arena arena;
	uint64_t random;
	size_t first, count; /* of what is held */
	struct job_end ends[JOBS * 4];
	struct taken *taken;
	size_t taken_count;
	int result;
};

static int take_in_tx(struct tx *tx, void *arg)
{
	struct actor *actor = arg;
	struct take take = actor->board->take;
	int64_t next_us;

	take.lease_opened = true;
	return jobs_take_in_tx(tx, &take, &actor->taken, &actor->taken_count, &next_us);
}

static int end_in_tx(struct tx *tx, void *arg)
{
	struct actor *actor = arg;

	return jobs_end_in_tx(tx, actor->ends, actor->count);
}

static int cancel_in_tx(struct tx *tx, void *arg)
{
	struct actor *actor = arg;
	enum job_state state;
	int r = job_cancel_in_tx(tx, actor->board->ids[test_random(&actor->random) % JOBS], &state);

	return r == -ERR_CONFLICT || r == -ERR_NOT_FOUND ? 0 : r;
}

static void act_end(struct actor *actor, const struct db *db)
{
	static const enum end_kind kinds[] = { END_COMPLETE, END_FAIL, END_SNOOZE, END_RELEASE,
		END_LOST, END_DISCARD };
	struct board *board = actor->board;
	char lease[UUID_TEXT_LEN];

	uuid_write(lease, &board->take.lease.id);
	actor->first = board->held_count ? test_random(&actor->random) % board->held_count : 0;
	actor->count = board->held_count - actor->first;
	for (size_t i = 0; i < actor->count; i++) {
		const struct held *held = &board->held[actor->first + i];

		actor->ends[i] = (struct job_end){ .id = str_of(held->id, UUID_TEXT_LEN),
			.queue = test_random(&actor->random) % 2 ? S("default") : S(""),
			.lease_id = str_of(lease, sizeof(lease)),
			.attempt = held->attempt,
			.kind = kinds[test_random(&actor->random) % LEN(kinds)],
			.delay_us = 1,
			.message = S("because") };
	}
	actor->result = db_write_with(db, &jobs_ending, end_in_tx, actor);
	for (size_t i = 0; i < actor->count && actor->result == 0; i++)
		board->ended += actor->ends[i].result_code == 0;
}

static int act(void *arg)
{
	static const struct tx_options alone = { .isolation = TX_READ_COMMITTED };
	struct actor *actor = arg;
	struct store *store = actor->board->test->store;
	struct db db = store_test_tenant(actor->board->test, 1);
	struct db system = db_of_system(store, &actor->arena);
	size_t changed;
	int64_t next_us;

	db.arena = &actor->arena;
	for (uint64_t i = test_random(&actor->random) % 3; i > 0; i--)
		fiber_yield();
	switch (test_random(&actor->random) % 6) {
	case 0:
	case 1: actor->result = db_write_with(&system, &jobs_taking, take_in_tx, actor); break;
	case 2:
	case 3: act_end(actor, &db); break;
	case 4: actor->result = jobs_promote(store, &actor->arena, &changed, &next_us); break;
	default: actor->result = db_write_with(&db, &alone, cancel_in_tx, actor); break;
	}
	return 0;
}

/* --- rounds --------------------------------------------------------------------------------------
 */

static void add_jobs(struct board *board)
{
	static const struct str keys[] = { S_INIT("a"), S_INIT("b"), S_INIT("") };
	static const struct str uniques[] = { S_INIT("u"), S_INIT(""), S_INIT("") };
	struct db db = store_test_tenant(board->test, 1);

	for (size_t i = 0; i < JOBS; i++) {
		struct job_new job = { .name = S("test:plain"),
			.attempts = 4,
			.group_key = keys[i % 3],
			.unique_key = i < 3 ? uniques[i] : S(""),
			.delay_ns = i % 4 == 3 ? MICROSECOND : 0 };

		board->ids[i] = job_put(&db, &job);
	}
}

static void note_taken(struct board *board, const struct actor *actor)
{
	for (size_t i = 0; i < actor->taken_count; i++) {
		struct held *held = &board->held[board->held_count];

		REQUIRE(board->held_count < LEN(board->held));
		memcpy(held->id, actor->taken[i].id.at, UUID_TEXT_LEN);
		held->attempt = actor->taken[i].attempt;
		board->held_count++;
		board->taken++;
	}
}

static void act_together(struct board *board, uint64_t *random)
{
	static struct actor actors[ACTORS];
	struct scope scope;

	scope_open(&scope, TIME_NEVER);
	for (size_t i = 0; i < ACTORS; i++) {
		actors[i] = (struct actor){ .board = board, .random = test_random(random) | 1 };
		arena_init(&actors[i].arena, 16 * KILOBYTE, 4 * MEGABYTE);
		REQUIRE(scope_spawn(&scope, act, &actors[i]) == 0);
	}
	REQUIRE(scope_close(&scope) == 0);
	for (size_t i = 0; i < ACTORS; i++) {
		/* a deadlock that five repetitions did not solve is no wrong result */
		EXPECT(actors[i].result == 0 || actors[i].result == -ERR_UNAVAILABLE);
		if (actors[i].result == 0)
			note_taken(board, &actors[i]);
		arena_done(&actors[i].arena);
	}
}

static void check_balance(struct store_test *test)
{
	struct db db = db_of_system(test->store, &test->arena);
	struct balance balance;

	REQUIRE(db_one(&db, &look_balance, NULL, &balance) == 0);
	EXPECT_INT(balance.seats, 0);
	EXPECT_INT(balance.places, 0);
	EXPECT_INT(balance.crowded, 0);
	EXPECT_INT(balance.keys, 0);
	EXPECT_INT(balance.nobodys, 0);
}

static void race(struct store_test *test)
{
	size_t rounds = test_long() ? ROUNDS_LONG : ROUNDS;
	static struct board board;
	uint64_t random = 20261122;
	struct db db = store_test_tenant(test, 1);

	for (size_t round = 0; round < rounds; round++) {
		struct arena_mark mark = arena_mark(&test->arena);

		board = (struct board){ .test = test, .take = taker("default", 5) };
		add_jobs(&board);
		test->worker->sched.order_seed = test_random(&random) | 1;
		for (size_t step = 0; step < 5; step++)
			act_together(&board, &random);
		test->worker->sched.order_seed = 0;
		check_balance(test);
		EXPECT_INT(jobs_count(&db, COUNT_JOBS), (int64_t)(JOBS * (round + 1)));
		/* each start runs still, or was ended once */
		EXPECT_INT(jobs_in(&db, JOB_RUNNING) + (int64_t)board.ended, board.taken);
		for (size_t i = 0; i < JOBS; i++) {
			enum job_state state;

			(void)job_cancel(&db, board.ids[i], &state);
		}
		for (size_t i = 0; i < board.held_count; i++) {
			struct taken taken = { .id = str_of(board.held[i].id, UUID_TEXT_LEN),
				.tenant_id = uuid_text(&test->arena, &db.tenant),
				.attempt = board.held[i].attempt };

			(void)end_one(test, &board.take, &taken, END_COMPLETE);
		}
		EXPECT_INT(jobs_count(&db, COUNT_WAITING), 0);
		check_balance(test);
		arena_back(&test->arena, mark);
	}
}

TEST(jobs_keep_their_books_whatever_happens_at_once_sqlite)
{
	jobs_test_with(statements, LEN(statements));
	jobs_test_run(ENGINE_SQLITE, race);
}

TEST(jobs_keep_their_books_whatever_happens_at_once_postgres)
{
	jobs_test_with(statements, LEN(statements));
	jobs_test_run(ENGINE_POSTGRES, race);
}

/* --- no memory ------------------------------------------------------------------------- */

#ifdef BULKHEAD_FAULTS

struct torn {
	size_t nth;
	struct take *take;
	struct taken *at;
	size_t count;
	struct job_end *ends;
	size_t end_count;
};

static int torn_in_tx(struct tx *tx, void *arg)
{
	struct torn *torn = arg;
	int64_t next_us;
	int r;

	fault_arm(FAULT_MEMORY, torn->nth);
	if (torn->end_count)
		r = jobs_end_in_tx(tx, torn->ends, torn->end_count);
	else
		r = jobs_take_in_tx(tx, torn->take, &torn->at, &torn->count, &next_us);
	fault_arm(FAULT_MEMORY, 0);
	/* PostgreSQL may still be rolling the last one back, whose rows a take passes over. */
	if (r == 0 && !torn->end_count && torn->count == 0)
		r = fail(ERR_UNAVAILABLE, "somebody else has the rows");
	return r;
}

/* Each allocation fails once: all has happened, or nothing. The arena is small, so that many do. */
static size_t tear(struct store_test *test, const struct tx_options *how, struct db db,
	struct torn *torn, struct arena *arena, enum job_state before)
{
	struct db look = store_test_tenant(test, 1);
	uint64_t until = clock_now_ns() + 20 * SECOND;
	int r = -1;

	for (torn->nth = 1; torn->nth < 500 && r < 0; torn->nth += r == -ERR_NO_MEMORY) {
		arena_done(arena);
		arena_init(arena, 64, 4 * MEGABYTE);
		db.arena = arena;
		r = db_write_with(&db, how, torn_in_tx, torn);
		EXPECT(r == 0 || r == -ERR_NO_MEMORY ||
			(r == -ERR_UNAVAILABLE && clock_now_ns() < until));
		if (r < 0)
			EXPECT_INT(jobs_in(&look, before), 6);
	}
	EXPECT_INT(r, 0);
	return torn->nth;
}

JOBS_TEST(jobs_survive_a_lack_of_memory)
{
	struct db db = store_test_tenant(test, 1), system = db_of_system(test->store, &test->arena);
	struct take take = taker("default", 10);
	struct torn torn = { .take = &take };
	struct job_end ends[6];
	struct arena arena, ends_arena;

	for (size_t i = 0; i < 6; i++)
		(void)job_put(&db, &(struct job_new){ .name = S("test:plain"),
					   .unique_key = i == 1 ? S("u") : S(""),
					   .group_key = i == 2 ? S("g") : S("") });
	arena_init(&arena, 64, MEGABYTE);
	EXPECT(tear(test, &jobs_taking, system, &torn, &arena, JOB_AVAILABLE) > 20);
	REQUIRE(torn.count == 6);
	take.lease_opened = true;
	arena_init(&ends_arena, 64, MEGABYTE);
	for (size_t i = 0; i < 6; i++)
		ends[i] = end_of(&take, &torn.at[i], i % 2 ? END_COMPLETE : END_FAIL);
	torn.ends = ends;
	torn.end_count = 6;
	EXPECT(tear(test, &jobs_ending, db, &torn, &ends_arena, JOB_RUNNING) > 20);
	EXPECT_INT(jobs_in(&db, JOB_COMPLETED), 3);
	EXPECT_INT(jobs_in(&db, JOB_RETRYABLE), 3);
	arena_done(&arena);
	arena_done(&ends_arena);
}

#endif
