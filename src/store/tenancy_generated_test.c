/*
 * Generated statements against the store: whatever it registers runs as tenant 1,
 *
 *     twice in a transaction that is rolled back, while tenant 2 has different rows: the answers
 *     must be the same (what tenant 2 has does not even show by counts or by which error it is);
 *     once for good: the rows of tenant 2 must be what they were.
 *
 * tenancy_grammar_test.c shows that without a guard many of them would do both.
 */
#include "store/tenancy_grammar_test.h"
#include "store/tenancy_test.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	STATEMENTS_SQLITE = 3000,
	STATEMENTS_POSTGRES = 1000,
	LONG_ROUNDS = 10, /* each with a seed of its own */
	TELLS = 5,        /* failures that are told with their statements */
	REFILL = 20,      /* changes after which both tenants get their rows again */
};

struct candidate {
	struct attack attack;
	bool loose;
	char *sql;
	struct attack_result answer;
};

static struct candidate *candidates;
static size_t candidate_count, refused, mean_count, told;
static uint64_t seed;

static void prepare(struct store *store)
{
	enum engine_kind engine = store_is_sqlite(store) ? ENGINE_SQLITE : ENGINE_POSTGRES;
	size_t count = engine == ENGINE_SQLITE ? STATEMENTS_SQLITE : STATEMENTS_POSTGRES;
	uint64_t random = seed;
	struct buf buf;

	candidates = calloc(count, sizeof(*candidates));
	CHECK(candidates);
	buf_init(&buf, GRAMMAR_TEXT_MAX);
	for (size_t i = 0; i < count; i++) {
		struct candidate *candidate = &candidates[candidate_count];
		struct grammar_statement made;

		grammar_next(&random, engine, &buf, &made);
		candidate->sql = strdup(made.sql.at);
		candidate->loose = made.loose;
		attack_register(store, &candidate->attack, candidate->sql, made.rows);
		if (candidate->attack.refused) {
			refused++;
			free(candidate->sql);
			continue;
		}
		mean_count += made.mean;
		candidate_count++;
	}
	buf_done(&buf);
}

static void tell(const struct candidate *candidate, const char *what)
{
	if (told++ < TELLS)
		fprintf(stderr, "  %s (seed %llu)\n    %s\n    %s\n", what,
			(unsigned long long)seed, candidate->sql, candidate->answer.text);
}

static bool same_answer(const struct candidate *candidate, const struct attack_result *a,
	const struct attack_result *b)
{
	return a->code == b->code && a->count == b->count &&
	       (a->rows == b->rows || candidate->loose);
}

/* Whether what tenant 2 has shows in what tenant 1 gets. Returns how many answered at all. */
static size_t look_for_differences(struct store_test *test)
{
	size_t answered = 0;

	attack_set_up(test, 0);
	for (size_t i = 0; i < candidate_count; i++)
		attack_run(test, &candidates[i].attack, false, &candidates[i].answer);
	attack_set_up(test, 1);
	for (size_t i = 0; i < candidate_count; i++) {
		struct candidate *candidate = &candidates[i];
		struct attack_result again;

		attack_run(test, &candidate->attack, false, &again);
		if (!same_answer(candidate, &candidate->answer, &again))
			tell(candidate, "the rows of the other tenant show");
		if (candidate->answer.told || again.told)
			tell(candidate, "a text of the other tenant came back");
		answered += again.code == 0 && again.count > 0;
	}
	return answered;
}

/* Whether what tenant 1 does changes what tenant 2 has. */
static void look_for_changes(struct store_test *test)
{
	struct arena_mark mark;
	struct str before;
	size_t changes = 0;

	attack_set_up(test, 0);
	before = attack_snapshot(test);
	mark = arena_mark(&test->arena);
	for (size_t i = 0; i < candidate_count; i++) {
		struct candidate *candidate = &candidates[i];

		attack_run(test, &candidate->attack, true, &candidate->answer);
		if (candidate->answer.told)
			tell(candidate, "a text of the other tenant came back");
		if (!str_eq(attack_snapshot(test), before)) {
			tell(candidate, "rows of the other tenant have changed");
			changes = REFILL;
		}
		if (++changes >= REFILL) {
			attack_set_up(test, 0);
			changes = 0;
		}
		arena_back(&test->arena, mark);
	}
}

static void judge(struct store_test *test)
{
	size_t answered = look_for_differences(test);

	look_for_changes(test);
	EXPECT_INT(told, 0);
	/* or it would say nothing: */
	EXPECT(candidate_count > (candidate_count + refused) / 10);
	EXPECT(mean_count > 0);
	EXPECT(answered > candidate_count / 4);
	fprintf(stderr, "  %zu registered (%zu mean), %zu refused, %zu answered\n", candidate_count,
		mean_count, refused, answered);
}

static void generate(enum engine_kind engine, uint64_t first_seed)
{
	seed = first_seed;
	attack_test(engine, prepare, judge);
	for (size_t i = 0; i < candidate_count; i++)
		free(candidates[i].sql);
	free(candidates);
	candidate_count = refused = mean_count = 0;
}

static void generate_all(enum engine_kind engine)
{
	for (uint64_t i = 1; i <= (test_long() ? LONG_ROUNDS : 1) && told == 0; i++)
		generate(engine, 20260000 + i);
}

TEST_SLOW(tenancy_generated_sqlite, 300)
{
	generate_all(ENGINE_SQLITE);
}

TEST_SLOW(tenancy_generated_postgres, 300)
{
	generate_all(ENGINE_POSTGRES);
}
