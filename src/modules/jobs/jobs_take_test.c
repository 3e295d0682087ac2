/* Taking: who gets what, in which order, and within which bounds. */
#include "modules/jobs/jobs_run_fixture_test.h"

#include "base/err.h"
#include "base/fault.h"
#include "observe/clock.h"
#include "observe/clock_test.h"

#include <stdio.h>

static struct str put(const struct db *db, const char *queue, int64_t priority)
{
	struct job_new job = { .name = S("test:plain"),
		.queue = str_from_c(queue),
		.priority = { .set = true, .value = priority } };

	return job_put(db, &job);
}

struct many {
	const char *queue;
	size_t count;
};

static int put_in_tx(struct tx *tx, void *arg)
{
	const struct many *many = arg;
	struct job_new *jobs = arena_zalloc(tx_arena(tx), many->count * sizeof(*jobs));
	struct job_added *added = arena_zalloc(tx_arena(tx), many->count * sizeof(*added));

	for (size_t i = 0; i < many->count; i++)
		jobs[i] = (struct job_new){ .name = S("test:plain"),
			.queue = str_from_c(many->queue) };
	return jobs_add_in_tx(tx, jobs, many->count, added);
}

static void put_many(const struct db *db, const char *queue, size_t count)
{
	while (count) {
		struct many many = { queue, MIN(count, (size_t)JOB_BULK_MAX) };
		struct arena arena;
		struct db own = *db;

		arena_init(&arena, 64 * KILOBYTE, 16 * MEGABYTE);
		own.arena = &arena;
		REQUIRE(db_write_with(&own, &jobs_adding, put_in_tx, &many) == 0);
		arena_done(&arena);
		count -= many.count;
	}
}

static size_t count_of(const struct haul *haul, const struct db *db)
{
	struct str tenant = uuid_text(db->arena, &db->tenant);
	size_t count = 0;

	for (size_t i = 0; i < haul->count; i++)
		count += str_eq(haul->at[i].tenant_id, tenant);
	return count;
}

/* --- order --------------------------------------------------------------------------------- */

JOBS_TEST(jobs_are_taken_in_the_order_of_their_turns)
{
	struct db db = store_test_tenant(test, 1);
	struct take take = taker("default", 10);
	struct str ids[] = { put(&db, "default", 5), put(&db, "default", 9), put(&db, "default", 0),
		put(&db, "default", 5) };
	static const size_t order[] = { 2, 0, 3, 1 };
	struct haul got;

	(void)put(&db, "other", 0);
	got = haul(test, &take);
	REQUIRE(got.count == 4);
	for (size_t i = 0; i < 4; i++)
		EXPECT_STR(got.at[i].id, ids[order[i]]);
	EXPECT_INT(got.at[0].attempt, 1);
	EXPECT_STR(got.at[0].worker, S("tester"));
	EXPECT_STR(got.at[0].payload.json, S("{}"));
	EXPECT_INT(haul(test, &take).count, 0);
}

/* One of priority 9 waits for at most 90 s behind others, however many come. */
JOBS_TEST(jobs_nobody_waits_for_ever_behind_more_urgent_ones)
{
	struct db db = store_test_tenant(test, 1);
	struct take take = taker("default", 1);
	struct str patient = put(&db, "default", 9);

	(void)put(&db, "default", 0);
	EXPECT(!str_eq(haul(test, &take).at[0].id, patient));
	clock_pass(91 * SECOND);
	(void)put(&db, "default", 0);
	EXPECT_STR(haul(test, &take).at[0].id, patient);
	clock_back();
}

/* --- tenants -------------------------------------------------------------------------------- */

JOBS_TEST(jobs_of_a_flood_do_not_hold_up_others)
{
	struct db flood = store_test_tenant(test, 1), other = store_test_tenant(test, 2);
	struct take take = taker("default", 10);
	struct haul got;

	put_many(&flood, "default", test_long() ? 100000 : 5000);
	got = haul(test, &take);
	EXPECT_INT(got.count, 10);
	(void)put(&other, "default", 9);
	got = haul(test, &take);
	EXPECT_INT(got.count, 10);
	EXPECT_INT(count_of(&got, &other), 1);
	/* and it starts among the first ones */
	EXPECT_INT(count_of(&(struct haul){ got.at, 2, 0 }, &other), 1);
}

JOBS_TEST(jobs_tenants_take_turns)
{
	enum { TENANTS = 70, EACH = 3 };
	size_t given[TENANTS] = { 0 };
	struct take take = taker("default", 7);

	for (unsigned i = 0; i < TENANTS; i++) {
		struct db db = store_test_tenant(test, i + 1);

		put_many(&db, "default", EACH);
	}
	/* after so many takes everybody has had one, and nobody a second one */
	for (size_t round = 0; round < TENANTS / 7; round++) {
		struct haul got = haul(test, &take);

		EXPECT_INT(got.count, 7);
		for (unsigned i = 0; i < TENANTS; i++) {
			struct db db = store_test_tenant(test, i + 1);

			given[i] += count_of(&got, &db);
		}
	}
	for (size_t i = 0; i < TENANTS; i++)
		EXPECT_INT(given[i], 1);
	/* what some leave over goes to the others */
	take.max = 1000;
	for (size_t left = TENANTS * (EACH - 1); left;) {
		size_t count = haul(test, &take).count;

		REQUIRE(count > 0 && count <= left);
		left -= count;
	}
}

JOBS_TEST(jobs_a_workers_tenant_is_the_only_one_it_takes_from)
{
	struct db db = store_test_tenant(test, 1), other = store_test_tenant(test, 2);
	struct take take = taker("default", 10);
	struct haul got;

	put_many(&db, "default", 3);
	put_many(&other, "default", 3);
	take.tenant = &db.tenant;
	take.lease.tenant = db.tenant;
	got = haul(test, &take);
	EXPECT_INT(got.count, 3);
	EXPECT_INT(count_of(&got, &db), 3);
	EXPECT_INT(jobs_count(&other, COUNT_WAITING), 3);
}

/* --- bounds ------------------------------------------------------------------------------------
 */

JOBS_TEST(jobs_a_paused_queue_gives_nothing)
{
	struct db db = store_test_tenant(test, 1);
	struct take take = taker("still", 10);

	put_many(&db, "still", 3);
	queue_give(test, "still", "\"paused\":true");
	EXPECT_INT(haul(test, &take).count, 0);
	queue_give(test, "still", "\"paused\":false");
	EXPECT_INT(haul(test, &take).count, 3);
}

JOBS_TEST(jobs_a_tenant_that_has_paused_a_queue_gives_nothing)
{
	struct db db = store_test_tenant(test, 1), other = store_test_tenant(test, 2);
	struct take take = taker("default", 10), own = take;
	struct haul got;

	put_many(&db, "default", 3);
	put_many(&other, "default", 3);
	tenant_pause(&db, "default");
	got = haul(test, &take);
	EXPECT_INT(got.count, 3);
	EXPECT_INT(count_of(&got, &other), 3);
	own.tenant = &db.tenant;
	EXPECT_INT(haul(test, &own).count, 0);
}

/* Whoever takes; what runs goes on. */
JOBS_TEST(jobs_of_a_tenant_that_is_not_active_wait)
{
	static const char *const idle[] = { "suspended", "deleting" };
	struct db db = store_test_tenant(test, 1), other = store_test_tenant(test, 2);
	struct take all = taker("default", 10), own = taker("default", 10);
	struct haul first, got;

	own.tenant = &db.tenant;
	tenant_is(&db, "active");
	(void)put(&db, "default", 5);
	first = haul(test, &all);
	EXPECT_INT(first.count, 1);
	for (size_t i = 0; i < LEN(idle); i++) {
		tenant_is(&db, idle[i]);
		(void)put(&db, "default", 5);
		(void)put(&other, "default", 5);
		got = haul(test, &all);
		EXPECT_INT(got.count, 1);
		EXPECT_INT(count_of(&got, &other), 1);
		EXPECT_INT(haul(test, &own).count, 0);
	}
	EXPECT_INT(end_one(test, &all, &first.at[0], END_COMPLETE), 0);
	tenant_is(&db, "active");
	EXPECT_INT(haul(test, &own).count, 2);
}

JOBS_TEST(jobs_no_more_run_than_the_queue_allows)
{
	struct db db = store_test_tenant(test, 1), other = store_test_tenant(test, 2);
	struct take take = taker("narrow", 10);
	struct haul got;

	queue_give(test, "narrow", "\"concurrency\":5,\"tenantConcurrency\":3");
	put_many(&db, "narrow", 10);
	got = haul(test, &take);
	EXPECT_INT(got.count, 3);
	put_many(&other, "narrow", 10);
	EXPECT_INT(haul(test, &take).count, 2);
	EXPECT_INT(haul(test, &take).count, 0);
	EXPECT_INT(end_one(test, &take, &got.at[0], END_COMPLETE), 0);
	EXPECT_INT(haul(test, &take).count, 1);
	EXPECT_INT(haul(test, &take).count, 0);
}

JOBS_TEST(jobs_start_at_the_rate_of_the_queue)
{
	struct db db = store_test_tenant(test, 1);
	struct take take = taker("slow", 100);
	struct haul got;

	clock_ahead(0);
	queue_give(test, "slow", "\"rate\":{\"count\":4,\"perMs\":3600000}");
	put_many(&db, "slow", 20);
	EXPECT_INT(haul(test, &take).count, 4);
	got = haul(test, &take);
	EXPECT_INT(got.count, 0);
	EXPECT(got.next_us > 0);
	clock_pass(15 * MINUTE + SECOND);
	EXPECT_INT(haul(test, &take).count, 1);
	clock_pass(40 * MINUTE);
	EXPECT_INT(haul(test, &take).count, 2);
	clock_pass(10 * HOUR);
	EXPECT_INT(haul(test, &take).count, 4);
	clock_back();
	/* back by hours, for which nobody waits */
	clock_ahead(HOUR + SECOND);
	EXPECT_INT(haul(test, &take).count, 4);
	clock_back();
}

JOBS_TEST(jobs_start_at_the_rate_of_each_tenant)
{
	struct db db = store_test_tenant(test, 1), other = store_test_tenant(test, 2);
	struct take take = taker("each", 100);
	struct haul got;

	clock_ahead(0);
	queue_give(test, "each", "\"tenantRate\":{\"count\":2,\"perMs\":3600000}");
	put_many(&db, "each", 10);
	EXPECT_INT(haul(test, &take).count, 2);
	put_many(&other, "each", 10);
	got = haul(test, &take);
	EXPECT_INT(got.count, 2);
	EXPECT_INT(count_of(&got, &other), 2);
	clock_pass(31 * MINUTE);
	got = haul(test, &take);
	EXPECT_INT(got.count, 2);
	EXPECT_INT(count_of(&got, &other), 1);
	clock_back();
}

/* --- rates, without rows ------------------------------------------------------------------------
 */

/* Whatever the pace at which is asked, and whoever of those who ask at once comes first: at most
 * the count in a burst, and over any stretch of time at most that and the rate. */
TEST(jobs_rates_are_kept_exactly)
{
	uint64_t random = 7;

	for (size_t trial = 0; trial < 300; trial++) {
		struct queue_rate rate = { 1 + (int64_t)(test_random(&random) % 50),
			1 + (int64_t)(test_random(&random) % 5000) };
		int64_t now = 1000000, began = now, next_at = 0, started = 0;

		for (size_t step = 0; step < 200; step++) {
			int64_t most = 1 + (int64_t)(test_random(&random) % 60);
			int64_t at =
				now - (int64_t)(test_random(&random) % 1000); /* began sooner */
			int64_t room = rate_room(&rate, next_at, at, most);

			EXPECT(room >= 0 && room <= most);
			if (room < most) {
				int64_t again =
					rate_again(&rate, rate_spend(&rate, next_at, at, room), at);

				EXPECT(rate_room(&rate, rate_spend(&rate, next_at, at, room), again,
					       1) == 1);
			}
			if (room > 0)
				next_at = rate_spend(&rate, next_at, at, room);
			started += room;
			EXPECT(started <=
				rate.count + (now - began) * rate.count / (rate.per_ms * 1000) + 1);
			now += (int64_t)(test_random(&random) % (uint64_t)(rate.per_ms * 500));
		}
	}
}

/* --- two at once ----------------------------------------------------------------------- */

struct actor {
	struct store_test *test;
	struct take take;
	struct arena arena;
	struct haul haul;
	int result;
	unsigned delay;
};

static int act_in_tx(struct tx *tx, void *arg)
{
	struct actor *actor = arg;

	return jobs_take_in_tx(
		tx, &actor->take, &actor->haul.at, &actor->haul.count, &actor->haul.next_us);
}

static int act(void *arg)
{
	struct actor *actor = arg;
	struct db db = db_of_system(actor->test->store, &actor->arena);

	for (unsigned i = 0; i < actor->delay; i++)
		fiber_yield();
	actor->result = db_write_with(&db, &jobs_taking, act_in_tx, actor);
	return 0;
}

enum { ACTORS = 3 };

static size_t take_together(
	struct store_test *test, const char *queue, struct actor *actors, uint64_t *random)
{
	struct scope scope;
	size_t count = 0;

	scope_open(&scope, TIME_NEVER);
	for (size_t i = 0; i < ACTORS; i++) {
		actors[i] = (struct actor){ .test = test,
			.take = taker(queue, 4),
			.delay = (unsigned)(test_random(random) % 3) };
		arena_init(&actors[i].arena, 16 * KILOBYTE, MEGABYTE);
		REQUIRE(scope_spawn(&scope, act, &actors[i]) == 0);
	}
	REQUIRE(scope_close(&scope) == 0);
	for (size_t i = 0; i < ACTORS; i++) {
		EXPECT_INT(actors[i].result, 0);
		count += actors[i].haul.count;
	}
	return count;
}

static void end_hauls(struct store_test *test, struct actor *actors, enum end_kind kind)
{
	for (size_t i = 0; i < ACTORS; i++) {
		for (size_t k = 0; k < actors[i].haul.count; k++)
			EXPECT_INT(end_one(test, &actors[i].take, &actors[i].haul.at[k], kind), 0);
		arena_done(&actors[i].arena);
	}
}

/* No job goes to two; with a bound, never more run than it says, whatever is interleaved. */
JOBS_TEST(jobs_taken_at_once_are_taken_once_and_within_bounds)
{
	static const struct {
		const char *queue, *settings;
		size_t most;
	} cases[] = {
		{ "free", "\"attempts\":3", 12 },
		{ "narrow", "\"concurrency\":5", 5 },
		{ "own", "\"tenantConcurrency\":3", 6 },
		{ "slow", "\"rate\":{\"count\":7,\"perMs\":36000000}", 7 },
		{ "each", "\"tenantRate\":{\"count\":3,\"perMs\":36000000}", 6 },
	};
	size_t rounds = test_long() ? 300 : 12;
	uint64_t random = 20261121;

	for (size_t i = 0; i < LEN(cases); i++) {
		struct db db = store_test_tenant(test, 1), other = store_test_tenant(test, 2);
		bool rate = strstr(cases[i].settings, "ate\"") != NULL;

		queue_give(test, cases[i].queue, cases[i].settings);
		put_many(&db, cases[i].queue, 8);
		put_many(&other, cases[i].queue, 8);
		for (size_t round = 0; round < (rate ? 1 : rounds); round++) {
			struct actor actors[ACTORS];
			size_t count;

			test->worker->sched.order_seed = test_random(&random) | 1;
			count = take_together(test, cases[i].queue, actors, &random);
			EXPECT(count <= cases[i].most);
			EXPECT(count > 0);
			/* an end finds its start only when that is the only one */
			end_hauls(test, actors, END_RELEASE);
			test->worker->sched.order_seed = 0;
		}
	}
}

/* More tenants than one take looks at: it says to go on, and the next one does. */
JOBS_TEST(tenants_beyond_those_of_one_take_have_their_turn)
{
	enum { TENANTS = 70, PAUSED = 66 };
	struct take take = taker("crowd", 100);
	size_t got = 0;

	for (unsigned i = 0; i < TENANTS; i++) {
		struct db db = store_test_tenant(test, i + 1);

		(void)put(&db, "crowd", 5);
		if (i < PAUSED)
			tenant_pause(&db, "crowd");
	}
	for (int i = 0; i < 3 && got < TENANTS - PAUSED; i++) {
		struct haul some = haul(test, &take);

		got += some.count;
		EXPECT(some.next_us > 0);
	}
	EXPECT_INT(got, TENANTS - PAUSED);
}

static int open_in_tx(struct tx *tx, void *arg)
{
	const struct take *take = arg;

	return lease_open_in_tx(tx, &take->lease);
}

/* Someone whose lease is that of a program, and there. */
static struct take program(struct store_test *test, const char *queue, const struct db *of)
{
	struct db system = db_of(test->store, &tenant_system, &test->arena);
	struct take take = taker(queue, 1);

	take.lease.kind = LEASE_PROGRAM;
	take.lease_opened = true;
	take.tenant = &of->tenant;
	REQUIRE(db_write(&system, open_in_tx, &take) == 0);
	return take;
}

static int take_named(
	struct store_test *test, const struct take *take, struct str id, struct taken *ret)
{
	struct db system = db_of_system(test->store, &test->arena);
	struct uuid job;

	REQUIRE(uuid_parse(id, &job));
	return jobs_take_named(&system, take, &job, ret);
}

JOBS_TEST(a_job_is_taken_by_its_name)
{
	struct db db = store_test_tenant(test, 1), other = store_test_tenant(test, 2);
	struct take take = program(test, "default", &db), elsewhere = take, others = take;
	struct str first = put(&db, "default", 5), id = put(&db, "default", 5);
	struct taken taken;

	elsewhere.queue = S("plain");
	others.tenant = &other.tenant;
	EXPECT_INT(take_named(test, &elsewhere, id, &taken), 0);
	EXPECT_INT(take_named(test, &others, id, &taken), 0);
	EXPECT_INT(take_named(test, &take, id, &taken), 1);
	EXPECT_STR(taken.id, id);
	EXPECT_STR(taken.tenant_id, uuid_text(&test->arena, &db.tenant));
	EXPECT_INT(taken.attempt, 1);
	EXPECT_INT(job_look(&db, id).state, JOB_RUNNING);
	EXPECT_INT(job_look(&db, first).state, JOB_AVAILABLE);
	EXPECT_INT(take_named(test, &take, id, &taken), 0); /* it runs */
	EXPECT_INT(end_one(test, &take, &taken, END_COMPLETE), 0);
}

JOBS_TEST(what_may_not_start_is_not_taken_by_its_name)
{
	struct db db = store_test_tenant(test, 1);
	struct take take = program(test, "default", &db), lost = take;
	struct job_new grouped = { .name = S("test:plain"), .group_key = S("g") },
		       later = { .name = S("test:plain"), .delay_ns = HOUR };
	struct str id = job_put(&db, &grouped), blocked = job_put(&db, &grouped);
	struct taken taken;

	EXPECT_INT(take_named(test, &take, job_put(&db, &later), &taken), 0);
	EXPECT_INT(take_named(test, &take, blocked, &taken), 0);
	uuid_v7(&lost.lease.id, clock_wall_us());
	EXPECT_INT(take_named(test, &lost, id, &taken), 0);
	tenant_is(&db, "suspended");
	EXPECT_INT(take_named(test, &take, id, &taken), 0);
	tenant_is(&db, "active");
	tenant_pause(&db, "default");
	EXPECT_INT(take_named(test, &take, id, &taken), 0);
	EXPECT_INT(job_look(&db, id).attempt, 0);
}

#ifdef BULKHEAD_FAULTS

/* Whoever was not told that it was taken hands its first start back, which is nobody's if it was
 * not.
 */
JOBS_TEST(a_job_taken_by_its_name_survives_a_lack_of_memory)
{
	struct db db = store_test_tenant(test, 1);
	struct take take = program(test, "default", &db);
	struct str tenant = uuid_text(&test->arena, &db.tenant);
	struct arena arena;
	struct taken taken;
	struct uuid job;
	size_t nth = 0;
	int r = -1;

	while (r < 0 && nth++ < 200) {
		struct db system = db_of_system(test->store, &arena);
		struct str id = put(&db, "default", 5);

		REQUIRE(uuid_parse(id, &job));
		arena_init(&arena, 64, MEGABYTE);
		fault_arm(FAULT_MEMORY, nth);
		r = jobs_take_named(&system, &take, &job, &taken);
		fault_arm(FAULT_MEMORY, 0);
		if (r < 0) {
			taken = (struct taken){ .tenant_id = tenant, .id = id, .attempt = 1 };
			(void)end_one(test, &take, &taken, END_RELEASE);
			EXPECT_INT(job_look(&db, id).state, JOB_AVAILABLE);
		}
		arena_done(&arena);
	}
	EXPECT_INT(r, 1);
	EXPECT(nth > 1);
}

#endif

/* An instance that was cut off may come back before it has noticed that it was taken for lost; what
 * it took then would be ended at once, and a job of one attempt be discarded. */
JOBS_TEST(nothing_is_taken_under_a_lost_lease)
{
	struct take take = taker("default", 10);
	struct haul got;
	struct db db = store_test_tenant(test, 1);
	struct db system = db_of(test->store, &tenant_system, &test->arena);
	struct str id = job_put(&db, &(struct job_new){ .name = S("test:plain") });

	take.lease.kind = LEASE_PROGRAM;
	take.lease_opened = true;
	EXPECT_INT(haul_try(test, &test->arena, &take, &got), -ERR_CONFLICT);
	EXPECT_INT(job_look(&db, id).state, JOB_AVAILABLE);
	EXPECT_INT(job_look(&db, id).attempt, 0);

	REQUIRE(db_write(&system, open_in_tx, &take) == 0);
	EXPECT_INT(haul_try(test, &test->arena, &take, &got), 0);
	EXPECT_INT(got.count, 1);
}
