/*
 * Concurrent transactions behave as if they had run one after the other. Two or three of them read
 * and write a few cells by small random programs, started in a random order; what they have read
 * and what is there in the end must be what some order would have given. Lost updates and write
 * skew are two of the programs. With TX_READ_COMMITTED on PostgreSQL the same check finds both, so
 * it is able to.
 */
#include "store/store_test.h"

#include <stdio.h>

enum { CELLS = 3, ACTORS_MAX = 3, STEPS_MAX = 4, ROUNDS = 60, ROUNDS_LONG = 2000 };

struct cell {
	int64_t id, value;
};

static const struct schema cell_schema = SCHEMA(cell, "A number that several change.",
	FIELD(cell, id, "Which."), FIELD(cell, value, "What it holds."));

static const char cell_migrations[] =
	"-- up 1: cells\n"
	"CREATE TABLE main.cell (\n"
	"	tenant_id uuid NOT NULL, id bigint NOT NULL, value bigint NOT NULL,\n"
	"	PRIMARY KEY (tenant_id, id)\n"
	");\n";

static const struct statement cell_get = STATEMENT("cell_get",
	.sql = "SELECT id, value FROM cell WHERE tenant_id = :tenant AND id = :id",
	.in = &cell_schema, .out = &cell_schema);
static const struct statement cell_set = STATEMENT("cell_set",
	.sql = "UPDATE main.cell SET value = :value WHERE tenant_id = :tenant AND id = :id",
	.in = &cell_schema, .expect = EXPECT_ONE);
static const struct statement cell_put = STATEMENT("cell_put",
	.sql = "INSERT INTO main.cell (tenant_id, id, value) VALUES (:tenant, :id, :value) "
	       "ON CONFLICT (tenant_id, id) DO UPDATE SET value = excluded.value",
	.in = &cell_schema);

static const struct statement *const cell_statements[] = { &cell_get, &cell_set, &cell_put };

static const struct store_test_module modules[] = {
	{ "cells", cell_migrations, cell_statements, LEN(cell_statements) },
	{ NULL },
};

/* --- programs ------------------------------------------------------------------------- */

/* One step: reads a cell, or writes into it what the reads so far add up to. */
struct step {
	bool writes;
	int64_t cell;
};

struct program {
	struct step steps[STEPS_MAX];
	size_t count;
};

/* Read and write one cell: the second to commit must have seen the first. */
static const struct program lost_update = { { { false, 0 }, { true, 0 } }, 2 };

/* Read both, write one each: allowed one by one, wrong together. */
static const struct program write_skew[2] = {
	{ { { false, 0 }, { false, 1 }, { true, 0 } }, 3 },
	{ { { false, 0 }, { false, 1 }, { true, 1 } }, 3 },
};

/* A state and what a program makes of it. */
struct world {
	int64_t cells[CELLS];
};

/* What a program has seen, besides its own writes. */
struct seen {
	int64_t values[STEPS_MAX];
};

/* What actor `who` writes: differs from what anybody else would. */
static int64_t made_of(size_t who, int64_t sum)
{
	return sum * 3 + (int64_t)who + 1;
}

static void simulate(
	const struct program *program, size_t who, struct world *world, struct seen *ret)
{
	int64_t sum = 0;

	for (size_t i = 0; i < program->count; i++) {
		int64_t *cell = &world->cells[program->steps[i].cell];

		ret->values[i] = 0;
		if (program->steps[i].writes)
			*cell = made_of(who, sum);
		else
			sum += ret->values[i] = *cell;
	}
}

/* --- actors ------------------------------------------------------------------------------ */

struct actor {
	const struct program *program;
	size_t who;
	struct db db;
	struct arena arena;
	enum tx_isolation isolation;
	unsigned delay; /* yields before it begins */
	struct seen seen;
	int result;
};

static int act_in_tx(struct tx *tx, void *arg)
{
	struct actor *actor = arg;
	int64_t sum = 0;

	for (size_t i = 0; i < actor->program->count; i++) {
		const struct step *step = &actor->program->steps[i];
		struct cell cell = { step->cell, made_of(actor->who, sum) };
		int r = step->writes ? tx_exec(tx, &cell_set, &cell)
				     : tx_one(tx, &cell_get, &cell, &cell);

		if (r < 0)
			return r;
		actor->seen.values[i] = step->writes ? 0 : cell.value;
		sum += actor->seen.values[i];
	}
	return 0;
}

static int act(void *arg)
{
	struct actor *actor = arg;
	struct tx_options options = { .isolation = actor->isolation };

	for (unsigned i = 0; i < actor->delay; i++)
		fiber_yield();
	actor->result = db_write_with(&actor->db, &options, act_in_tx, actor);
	return 0;
}

/* --- rounds ------------------------------------------------------------------------------- */

static int reset_in_tx(struct tx *tx, void *arg)
{
	int r = 0;

	(void)arg;
	for (int64_t i = 0; i < CELLS && r == 0; i++)
		r = tx_exec(tx, &cell_put, &(struct cell){ i, i + 10 });
	return r;
}

static int look_in_tx(struct tx *tx, void *arg)
{
	struct world *world = arg;
	int r = 0;

	for (int64_t i = 0; i < CELLS && r == 0; i++) {
		struct cell cell = { .id = i };

		r = tx_one(tx, &cell_get, &cell, &cell);
		world->cells[i] = cell.value;
	}
	return r;
}

/* Whether the committed actors, in this order, give what was seen and what is there. */
static bool is_order(
	const struct actor *actors, const size_t *order, size_t count, const struct world *end)
{
	struct world world;

	for (int64_t i = 0; i < CELLS; i++)
		world.cells[i] = i + 10;
	for (size_t i = 0; i < count; i++) {
		const struct actor *actor = &actors[order[i]];
		struct seen seen;

		if (actor->result < 0)
			continue;
		simulate(actor->program, actor->who, &world, &seen);
		for (size_t k = 0; k < actor->program->count; k++)
			if (seen.values[k] != actor->seen.values[k])
				return false;
	}
	return memcmp(&world, end, sizeof(world)) == 0;
}

static bool is_serial(const struct actor *actors, size_t count, const struct world *end)
{
	static const size_t orders[][ACTORS_MAX] = { { 0, 1, 2 }, { 1, 0, 2 }, { 0, 2, 1 },
		{ 2, 0, 1 }, { 1, 2, 0 }, { 2, 1, 0 } };

	for (size_t i = 0; i < (count == 2 ? 2 : LEN(orders)); i++)
		if (is_order(actors, orders[i], count, end))
			return true;
	return false;
}

static struct program random_program(uint64_t *random)
{
	struct program program = { .count = 2 + test_random(random) % (STEPS_MAX - 1) };

	for (size_t i = 0; i < program.count; i++) {
		program.steps[i].writes = i + 1 == program.count || test_random(random) % 3 == 0;
		program.steps[i].cell = (int64_t)(test_random(random) % CELLS);
	}
	return program;
}

struct round {
	struct store_test *test;
	uint64_t random;
	enum tx_isolation isolation;
	size_t committed, gave_up; /* actors so far */
};

/* Lets the programs run at once; true when the outcome is that of some order. */
static bool play(struct round *round, const struct program *programs, size_t count)
{
	struct db db = store_test_tenant(round->test, 1);
	struct actor actors[ACTORS_MAX];
	struct world end;
	struct scope scope;

	REQUIRE(db_write(&db, reset_in_tx, NULL) == 0);
	scope_open(&scope, TIME_NEVER);
	for (size_t i = 0; i < count; i++) {
		struct actor *actor = &actors[i];

		*actor = (struct actor){ .program = &programs[i],
			.who = i,
			.db = db,
			.isolation = round->isolation,
			.delay = (unsigned)(test_random(&round->random) % 3) };
		arena_init(&actor->arena, 4096, MEGABYTE);
		actor->db.arena = &actor->arena;
		REQUIRE(scope_spawn(&scope, act, actor) == 0);
	}
	REQUIRE(scope_close(&scope) == 0);
	REQUIRE(db_read(&db, look_in_tx, &end) == 0);
	for (size_t i = 0; i < count; i++) {
		round->committed += actors[i].result == 0;
		round->gave_up += actors[i].result == -ERR_UNAVAILABLE;
		EXPECT(actors[i].result == 0 || actors[i].result == -ERR_UNAVAILABLE);
		arena_done(&actors[i].arena);
	}
	return is_serial(actors, count, &end);
}

/* Rounds of the two well-known anomalies and of random programs; how many were not serial. */
static size_t play_all(struct store_test *test, enum tx_isolation isolation)
{
	size_t rounds = test_long() ? ROUNDS_LONG : ROUNDS, wrong = 0;
	struct round round = { test, 20260101, isolation, 0, 0 };

	for (size_t i = 0; i < rounds; i++) {
		struct program programs[ACTORS_MAX];
		size_t count = 2 + i % 2;

		round.test->worker->sched.order_seed = test_random(&round.random) | 1;
		for (size_t k = 0; k < ACTORS_MAX; k++)
			programs[k] = i % 4 == 0   ? lost_update
				      : i % 4 == 1 ? write_skew[k % 2]
						   : random_program(&round.random);
		wrong += !play(&round, programs, count);
	}
	round.test->worker->sched.order_seed = 0;
	EXPECT(round.committed > rounds);
	EXPECT(round.gave_up < rounds / 10);
	return wrong;
}

STORE_TEST_WITH(interleaved_writes_are_serial, modules, NULL)
{
	EXPECT_INT(play_all(test, TX_SERIALIZABLE), 0);
}

/* On SQLite there is one writer and no such difference. */
STORE_TEST_WITH(interleaved_writes_can_be_wrong_when_only_committed_is_read, modules, NULL)
{
	size_t wrong = play_all(test, TX_READ_COMMITTED);

	if (store_is_sqlite(test->store))
		EXPECT_INT(wrong, 0);
	else
		EXPECT(wrong > 0);
}
