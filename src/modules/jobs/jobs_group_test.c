/*
 * Groups in batches: jobs that are added together, ended together and due together leave their
 * groups as they would one after the other. Two tenants do the same, one in batches and one job by
 * job, by chance; what their groups look like must be equal after each step.
 */
#include "modules/jobs/jobs_run_fixture_test.h"

#include <stdlib.h>

enum { GROUPS = 4, ADDED_MAX = 12, STEPS = 12, RUNS = 3 };

static const char *const keys[GROUPS] = { "a", "B", "c d", "\xc3\xa9" };

struct batch {
	struct job_new jobs[ADDED_MAX];
	size_t count;
};

static int add_in_tx(struct tx *tx, void *arg)
{
	const struct batch *batch = arg;

	return jobs_add_in_tx(tx, batch->jobs, batch->count, NULL);
}

static void add(const struct db *db, const struct batch *batch, bool together)
{
	struct batch part;

	if (together) {
		REQUIRE(db_write_with(db, &jobs_adding, add_in_tx, (void *)batch) == 0);
		return;
	}
	part.count = 1;
	for (size_t i = 0; i < batch->count; i++) {
		part.jobs[0] = batch->jobs[i];
		REQUIRE(db_write_with(db, &jobs_adding, add_in_tx, &part) == 0);
	}
}

static int by_group(const void *a, const void *b)
{
	const struct taken *left = a, *right = b;

	return str_cmp(left->group_key.value, right->group_key.value);
}

/* Takes all there is, and ends it: the first of a group as `kind` says, others by completion. */
static size_t work(struct store_test *test, const struct db *db, enum end_kind kind, bool together)
{
	struct take take = taker("default", 100);
	struct job_end *ends;
	struct haul got;

	take.tenant = &db->tenant;
	got = haul(test, &take);
	if (!got.count)
		return 0;
	qsort(got.at, got.count, sizeof(*got.at), by_group);
	ends = arena_alloc(&test->arena, got.count * sizeof(*ends));
	REQUIRE(ends);
	for (size_t i = 0; i < got.count; i++) {
		bool first = i == 0 || by_group(&got.at[i - 1], &got.at[i]) != 0;

		ends[i] = end_of(&take, &got.at[i], first ? kind : END_COMPLETE);
	}
	for (size_t i = 0; i + 1 < got.count; i++)
		ends[i].lease_id = ends[got.count - 1].lease_id;
	for (size_t i = 0; i < got.count && !together; i++)
		REQUIRE(end_all(db, &ends[i], 1) == 0);
	if (together)
		REQUIRE(end_all(db, ends, got.count) == 0);
	for (size_t i = 0; i < got.count; i++)
		EXPECT_INT(ends[i].result_code, 0);
	return got.count;
}

static void compare(const struct db *one, const struct db *other)
{
	static const enum job_state states[] = { JOB_AVAILABLE, JOB_RUNNING, JOB_SCHEDULED,
		JOB_RETRYABLE, JOB_COMPLETED, JOB_DISCARDED };

	for (size_t i = 0; i < LEN(states); i++)
		EXPECT_INT(jobs_in(one, states[i]), jobs_in(other, states[i]));
	EXPECT_INT(jobs_count(one, COUNT_GROUPS), jobs_count(other, COUNT_GROUPS));
	for (size_t i = 0; i < GROUPS; i++) {
		struct group_seen left = group_look(one, "default", keys[i]);
		struct group_seen right = group_look(other, "default", keys[i]);

		EXPECT_INT(left.active, right.active);
		EXPECT_INT(left.waiting, right.waiting);
		EXPECT_INT(left.halted, right.halted);
	}
}

static void step(struct store_test *test, uint64_t *random, const struct db dbs[2])
{
	static const enum end_kind kinds[] = { END_COMPLETE, END_FAIL, END_DISCARD, END_RELEASE };
	enum end_kind kind = kinds[test_random(random) % LEN(kinds)];
	struct batch batch = { .count = test_random(random) % (ADDED_MAX + 1) };
	size_t worked[2];

	for (size_t i = 0; i < batch.count; i++)
		batch.jobs[i] = (struct job_new){ .name = S("test:plain"),
			.group_key = str_from_c(keys[test_random(random) % GROUPS]),
			.attempts = 1 + (int64_t)(test_random(random) % 2) };
	for (size_t i = 0; i < 2; i++) {
		if (batch.count)
			add(&dbs[i], &batch, i == 0);
		worked[i] = work(test, &dbs[i], kind, i == 0);
	}
	EXPECT_INT(worked[0], worked[1]);
	compare(&dbs[0], &dbs[1]);
	arena_reset(&test->arena);
}

/* A group with one seat halts at a discard; with more seats the order of ends decides who still
 * gets one, so those go on. */
JOBS_TEST(groups_are_the_same_in_batches)
{
	static const char *const settings[RUNS] = { "\"groupConcurrency\":1",
		"\"groupConcurrency\":3", "\"groupConcurrency\":1,\"onDiscard\":\"halt\"" };

	for (unsigned run = 0; run < RUNS; run++) {
		const struct db dbs[2] = { store_test_tenant(test, 2 * run + 1),
			store_test_tenant(test, 2 * run + 2) };
		uint64_t random = 20 + run;

		queue_give(test, "default", settings[run]);
		for (size_t i = 0; i < STEPS; i++)
			step(test, &random, dbs);
	}
}

/* The first ones have seats, each a period after the former; so has who follows them. */
JOBS_TEST(rates_of_groups_hold_in_batches)
{
	struct db db = store_test_tenant(test, 1);
	struct take take = taker("default", 10);
	struct batch batch = { .count = 5 };
	struct job_end end;
	struct haul got;

	queue_give(test, "default",
		"\"groupConcurrency\":3,\"groupRate\":{\"count\":1,\"perMs\":60000}");
	for (size_t i = 0; i < batch.count; i++)
		batch.jobs[i] = (struct job_new){ .name = S("test:plain"), .group_key = S("g") };
	add(&db, &batch, true);
	EXPECT_INT(jobs_in(&db, JOB_SCHEDULED), 2);
	EXPECT_INT(group_look(&db, "default", "g").active, 3);
	EXPECT_INT(group_look(&db, "default", "g").waiting, 2);

	got = haul(test, &take);
	REQUIRE(got.count == 1);
	end = end_of(&take, &got.at[0], END_COMPLETE);
	REQUIRE(end_all(&db, &end, 1) == 0);
	EXPECT_INT(jobs_in(&db, JOB_SCHEDULED), 3);
	EXPECT_INT(group_look(&db, "default", "g").active, 3);
	EXPECT_INT(group_look(&db, "default", "g").waiting, 1);
	EXPECT_INT(group_look(&db, "default", "g").next_at - got.at[0].created_at, 4 * 60000000);
}
