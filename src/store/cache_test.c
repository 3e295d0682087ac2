/*
 * Caches: what is kept and for how long, that one loads for all, and above all that nobody gets
 * what was forgotten, in whatever order things happen.
 */
#include "store/cache.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"
#include "observe/clock.h"
#include "observe/metric.h"
#include "store/fake_store_test.h"
#include "store/notice_internal.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static struct fake_store fake;
static struct cache *cache;

static void run_with(const struct cache_options *options, bool polled, size_t workers,
	size_t fibers, uint64_t order_seed, void (*body)(size_t, void *), void *arg)
{
	fake_store_open(&fake, polled);
	REQUIRE(cache_open(&fake.store, options, &cache) == 0);
	run_fibers(workers, fibers, order_seed, body, arg);
	cache_close(cache);
	fake_store_close(&fake);
}

static int load_nothing(const struct db *db, void *arg, struct cache_value *ret)
{
	(void)db, (void)arg, (void)ret;
	return 0;
}

static void count_once(size_t number, void *arg)
{
	struct uuid tenant = { { 1 } };
	struct str value;
	struct db db = db_of(&fake.store, &tenant, NULL);

	(void)number, (void)arg;
	REQUIRE(cache_get_or_load(cache, &db, S("k"), load_nothing, NULL, &value) == 0);
}

/* The memory in use once there are metrics, which stay. */
static size_t memory_before(void)
{
	static const struct cache_options options = {
		.name = "test", .memory = CACHE_MEMORY_MIN, .ttl_ns = SECOND
	};

	run_with(&options, false, 1, 1, 0, count_once, NULL);
	return mem_used();
}

static void with_cache_of(const struct cache_options *options, bool polled, size_t workers,
	size_t fibers, uint64_t order_seed, void (*body)(size_t, void *), void *arg)
{
	size_t before = memory_before();

	run_with(options, polled, workers, fibers, order_seed, body, arg);
	EXPECT_INT(mem_used(), before);
}

static const struct cache_options usual = {
	.name = "test", .memory = MEGABYTE, .ttl_ns = MINUTE, .absent_ns = SECOND
};

/* In one fiber. */
static void with_cache(void (*body)(size_t, void *))
{
	with_cache_of(&usual, false, 1, 1, 0, body, NULL);
}

static struct db handle(unsigned tenant, struct arena *arena)
{
	struct uuid id = { { 1, [15] = (uint8_t)tenant } };

	return db_of(&fake.store, &id, arena);
}

/* --- a loader that does as it is told ----------------------------------------------------- */

struct plan {
	struct str value; /* what it brings, or ... */
	int result;       /* ... how it fails */
	const struct str *tags;
	size_t tag_count;
	uint64_t ttl_ns;
	uint64_t takes_ns;
	_Atomic size_t loads;
	_Atomic size_t begun;
};

static int load(const struct db *db, void *arg, struct cache_value *ret)
{
	struct plan *plan = arg;

	plan->begun++;
	if (plan->takes_ns) {
		int r = fiber_sleep_until(sched_now() + plan->takes_ns);

		if (r < 0)
			return r;
	}
	plan->loads++;
	ret->tags = plan->tags;
	ret->tag_count = plan->tag_count;
	ret->ttl_ns = plan->ttl_ns;
	if (plan->result)
		return fail((enum err_code) - plan->result, "the load fails");
	ret->bytes = arena_str(db->arena, plan->value);
	return ret->bytes.at ? 0 : -(int)err_last()->code;
}

/* Asks; the number of loads it took. */
static size_t ask(const struct db *db, const char *key, struct plan *plan, int wanted)
{
	size_t before = plan->loads;
	struct str value = S("untouched");
	int r = cache_get_or_load(cache, db, str_from_c(key), load, plan, &value);

	EXPECT_INT(r, wanted);
	if (r == 0)
		EXPECT_STR(value, plan->value);
	else
		EXPECT_STR(value, S("untouched"));
	return plan->loads - before;
}

/* --- what is kept --------------------------------------------------------------------------- */

static void kept(size_t number, void *arg)
{
	struct plan plan = { .value = S("value") }, other = { .value = S("") };
	struct arena arena;
	struct db one, two;

	(void)number, (void)arg;
	arena_init(&arena, 4096, 4 * MEGABYTE);
	one = handle(1, &arena);
	two = handle(2, &arena);
	EXPECT_INT(ask(&one, "key", &plan, 0), 1);
	EXPECT_INT(ask(&one, "key", &plan, 0), 0);
	EXPECT_INT(ask(&two, "key", &other, 0), 1); /* another tenant's */
	EXPECT_INT(ask(&two, "key", &other, 0), 0);
	EXPECT_INT(ask(&one, "", &other, 0), 1);
	EXPECT_INT(ask(&one, "", &other, 0), 0);
	EXPECT_INT(ask(&one, "key", &plan, 0), 0);
	arena_done(&arena);
}

TEST(cache_keeps_what_was_loaded)
{
	with_cache(kept);
}

static void answers(size_t number, void *arg)
{
	static const struct {
		int result;
		bool kept;
	} cases[] = {
		{ -ERR_NOT_FOUND, true },
		{ -ERR_UNAVAILABLE, false },
		{ -ERR_TIMEOUT, false }, /* of the load, not of the caller */
		{ -ERR_CANCELLED, false },
		{ -ERR_INTERNAL, false },
	};
	struct arena arena;
	struct db db;

	(void)number, (void)arg;
	arena_init(&arena, 4096, 4 * MEGABYTE);
	db = handle(1, &arena);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct plan plan = { .result = cases[i].result };
		char key[16];

		(void)snprintf(key, sizeof(key), "key %zu", i);
		EXPECT_INT(ask(&db, key, &plan, cases[i].result), 1);
		EXPECT_INT(ask(&db, key, &plan, cases[i].result), cases[i].kept ? 0 : 1);
		EXPECT_STR(str_from_c(err_text()), S("the load fails"));
	}
	arena_done(&arena);
}

TEST(cache_keeps_that_there_is_none_but_no_failure)
{
	with_cache(answers);
}

static void never_absent(size_t number, void *arg)
{
	struct plan plan = { .result = -ERR_NOT_FOUND };
	struct arena arena;
	struct db db;

	(void)number, (void)arg;
	arena_init(&arena, 4096, MEGABYTE);
	db = handle(1, &arena);
	EXPECT_INT(ask(&db, "key", &plan, -ERR_NOT_FOUND), 1);
	EXPECT_INT(ask(&db, "key", &plan, -ERR_NOT_FOUND), 1);
	arena_done(&arena);
}

TEST(cache_without_a_time_for_what_is_absent)
{
	static const struct cache_options options = {
		.name = "test", .memory = MEGABYTE, .ttl_ns = MINUTE
	};

	with_cache_of(&options, false, 1, 1, 0, never_absent, NULL);
}

static void too_large(size_t number, void *arg)
{
	static char bytes[CACHE_VALUE_MAX + 1];
	struct plan plan = { .value = str_of(bytes, sizeof(bytes)) };
	char key[CACHE_KEY_MAX + 2];
	struct arena arena, small;
	struct db db;

	(void)number, (void)arg;
	arena_init(&arena, 4096, 16 * MEGABYTE);
	db = handle(1, &arena);
	EXPECT_INT(ask(&db, "large", &plan, 0), 1);
	EXPECT_INT(ask(&db, "large", &plan, 0), 1);
	plan.value.len--;
	EXPECT_INT(ask(&db, "fits", &plan, 0), 1);
	EXPECT_INT(ask(&db, "fits", &plan, 0), 0);

	memset(key, 'k', sizeof(key));
	key[CACHE_KEY_MAX + 1] = 0;
	EXPECT_INT(ask(&db, key, &plan, -ERR_TOO_LARGE), 0);
	key[CACHE_KEY_MAX] = 0;
	plan.value.len = 5;
	EXPECT_INT(ask(&db, key, &plan, 0), 1);
	EXPECT_INT(ask(&db, key, &plan, 0), 0);

	arena_init(&small, 64, 1000);
	db.arena = &small;
	plan.value.len = CACHE_VALUE_MAX;
	EXPECT_INT(ask(&db, "fits", &plan, -ERR_TOO_LARGE), 0);
	arena_done(&small);
	arena_done(&arena);
}

TEST(cache_keeps_nothing_too_large)
{
	static const struct cache_options options = {
		.name = "test", .memory = 4 * MEGABYTE, .ttl_ns = MINUTE
	};

	with_cache_of(&options, false, 1, 1, 0, too_large, NULL);
}

/* --- time ------------------------------------------------------------------------------------ */

static _Atomic uint64_t time_ns = HOUR;

static uint64_t read_ns(void *arg)
{
	(void)arg;
	return time_ns;
}

static int64_t read_us(void *arg)
{
	(void)arg;
	return (int64_t)(time_ns / 1000);
}

static const struct clock_source test_clock = { read_ns, read_us, NULL };

/* The first millisecond in which it is loaded again. */
static uint64_t life_ms(const struct db *db, const char *key, struct plan *plan, int wanted)
{
	EXPECT_INT(ask(db, key, plan, wanted), 1);
	for (uint64_t ms = 1;; ms++) {
		time_ns += MILLISECOND;
		if (ask(db, key, plan, wanted))
			return ms;
	}
}

static void lives(size_t number, void *arg)
{
	uint64_t shortest = HOUR, longest = 0;
	struct arena arena;
	struct db db;

	(void)number, (void)arg;
	arena_init(&arena, 4096, 4 * MEGABYTE);
	db = handle(1, &arena);
	for (size_t i = 0; i < 50; i++) {
		struct plan plan = { .value = S("v") };
		struct plan none = { .result = -ERR_NOT_FOUND };
		struct plan brief = { .value = S("v"), .ttl_ns = 20 * MILLISECOND };
		struct arena_mark mark = arena_mark(&arena);
		uint64_t life;
		char key[16];

		(void)snprintf(key, sizeof(key), "key %zu", i);
		life = life_ms(&db, key, &plan, 0);
		shortest = MIN(shortest, life);
		longest = MAX(longest, life);
		(void)snprintf(key, sizeof(key), "none %zu", i);
		life = life_ms(&db, key, &none, -ERR_NOT_FOUND);
		EXPECT(life >= 45 && life <= 50);
		(void)snprintf(key, sizeof(key), "brief %zu", i);
		life = life_ms(&db, key, &brief, 0);
		EXPECT(life >= 18 && life <= 20);
		arena_back(&arena, mark);
	}
	EXPECT(shortest >= 180 && shortest < 190);
	EXPECT(longest > 190 && longest <= 200);
	arena_done(&arena);
}

TEST(cache_forgets_in_time)
{
	static const struct cache_options options = { .name = "test",
		.memory = MEGABYTE,
		.ttl_ns = 200 * MILLISECOND,
		.absent_ns = 50 * MILLISECOND };

	clock_replace(&test_clock);
	with_cache_of(&options, false, 1, 1, 0, lives, NULL);
	clock_replace(NULL);
}

/* --- forgetting ------------------------------------------------------------------------------- */

struct wish {
	const char *key, *tag;
	int result;
};

static int forget_in_tx(struct tx *tx, void *arg)
{
	struct wish *wish = arg;
	int r = wish->key ? cache_forget(tx, cache, str_from_c(wish->key)) : 0;

	if (r == 0 && wish->tag)
		r = cache_forget_tag(tx, cache, str_from_c(wish->tag));
	return r < 0 ? r : wish->result;
}

static void forgotten(size_t number, void *arg)
{
	static const struct str red[] = { S_INIT("red"), S_INIT("round") };
	static const struct str blue[] = { S_INIT("blue"), S_INIT("round") };
	static const struct {
		struct wish wish;
		unsigned tenant;
		bool gone[6]; /* plain, a, b, none, plain of tenant 2, a of tenant 2 */
		int wanted;
	} cases[] = {
		{ { "plain", NULL, 0 }, 1, { 1, 0, 0, 0, 0, 0 }, 0 },
		{ { "plain", NULL, 0 }, 2, { 0, 0, 0, 0, 1, 0 }, 0 },
		{ { "a", NULL, 0 }, 1, { 0, 1, 0, 0, 0, 0 }, 0 },
		{ { "none", NULL, 0 }, 1, { 0, 0, 0, 1, 0, 0 }, 0 },
		{ { NULL, "red", 0 }, 1, { 0, 1, 0, 1, 0, 0 }, 0 },
		{ { NULL, "blue", 0 }, 1, { 0, 0, 1, 0, 0, 0 }, 0 },
		{ { NULL, "round", 0 }, 1, { 0, 1, 1, 0, 0, 0 }, 0 },
		{ { NULL, "round", 0 }, 2, { 0, 0, 0, 0, 0, 1 }, 0 },
		{ { "red", "plain", 0 }, 1, { 0, 0, 0, 0, 0, 0 }, 0 }, /* a tag is no key */
		{ { "plain", "round", 0 }, 1, { 1, 1, 1, 0, 0, 0 }, 0 },
		{ { "plain", "round", -ERR_CONFLICT }, 1, { 0 }, -ERR_CONFLICT },
	};
	struct plan plain = { .value = S("plain") };
	struct plan a = { .value = S("a"), .tags = red, .tag_count = 2 };
	struct plan b = { .value = S("b"), .tags = blue, .tag_count = 2 };
	struct plan none = { .result = -ERR_NOT_FOUND, .tags = red, .tag_count = 1 };
	struct arena arena;
	struct db one, two;

	(void)number, (void)arg;
	arena_init(&arena, 4096, 4 * MEGABYTE);
	one = handle(1, &arena);
	two = handle(2, &arena);

	for (size_t i = 0; i < LEN(cases); i++) {
		static const bool all[6] = { 1, 1, 1, 1, 1, 1 }, none_gone[6];
		struct wish wish = cases[i].wish;

		for (int after = 0; after < 2; after++) {
			const bool *gone = after ? cases[i].gone : i ? none_gone : all;

			EXPECT_INT(ask(&one, "plain", &plain, 0), gone[0]);
			EXPECT_INT(ask(&one, "a", &a, 0), gone[1]);
			EXPECT_INT(ask(&one, "b", &b, 0), gone[2]);
			EXPECT_INT(ask(&one, "none", &none, -ERR_NOT_FOUND), gone[3]);
			EXPECT_INT(ask(&two, "plain", &plain, 0), gone[4]);
			EXPECT_INT(ask(&two, "a", &a, 0), gone[5]);
			if (!after)
				EXPECT_INT(db_write(cases[i].tenant == 1 ? &one : &two,
						   forget_in_tx, &wish),
					cases[i].wanted);
		}
	}
	arena_done(&arena);
}

TEST(cache_forgets_by_key_and_tag)
{
	with_cache(forgotten);
}

static int forget_long(struct tx *tx, void *arg)
{
	static char key[CACHE_KEY_MAX + 1];
	bool *tag = arg;

	memset(key, 'k', sizeof(key));
	return *tag ? cache_forget_tag(tx, cache, str_of(key, sizeof(key)))
		    : cache_forget(tx, cache, str_of(key, sizeof(key)));
}

static void odd_notices(size_t number, void *arg)
{
	struct plan plan = { .value = S("v") };
	bool tag = false;
	struct arena arena;
	struct db db;

	(void)number, (void)arg;
	arena_init(&arena, 4096, MEGABYTE);
	db = handle(1, &arena);
	EXPECT_INT(db_write(&db, forget_long, &tag), -ERR_TOO_LARGE);
	tag = true;
	EXPECT_INT(db_write(&db, forget_long, &tag), -ERR_TOO_LARGE);

	EXPECT_INT(ask(&db, "key", &plan, 0), 1);
	notices_tell(fake.store.notices, S("test"), &db.tenant, S("?key"));
	notices_tell(fake.store.notices, S("other"), &db.tenant, S("kkey"));
	EXPECT_INT(ask(&db, "key", &plan, 0), 0);
	notices_tell(fake.store.notices, S("test"), &db.tenant, S("kkey"));
	EXPECT_INT(ask(&db, "key", &plan, 0), 1);
	notices_tell_missed(fake.store.notices);
	EXPECT_INT(ask(&db, "key", &plan, 0), 1);
	arena_done(&arena);
}

TEST(cache_hears_notices)
{
	with_cache(odd_notices);
}

static void not_fresh(size_t number, void *arg)
{
	struct plan plan = { .value = S("v") };
	struct arena arena;
	struct db db;

	(void)number, (void)arg;
	arena_init(&arena, 4096, MEGABYTE);
	db = handle(1, &arena);
	EXPECT_INT(ask(&db, "key", &plan, 0), 1);
	EXPECT_INT(ask(&db, "key", &plan, 0), 1);
	fake.store.notices->looked_ns = time_ns;
	EXPECT_INT(ask(&db, "key", &plan, 0), 1);
	EXPECT_INT(ask(&db, "key", &plan, 0), 0);
	time_ns += NOTICE_STALE_AFTER - 1;
	EXPECT_INT(ask(&db, "key", &plan, 0), 0);
	time_ns += 1;
	EXPECT_INT(ask(&db, "key", &plan, 0), 1);
	EXPECT_INT(ask(&db, "other", &plan, 0), 1);
	EXPECT_INT(ask(&db, "other", &plan, 0), 1);
	fake.store.notices->looked_ns = time_ns;
	EXPECT_INT(ask(&db, "key", &plan, 0), 0); /* nothing was missed */
	EXPECT_INT(ask(&db, "other", &plan, 0), 1);
	arena_done(&arena);
}

TEST(cache_reads_through_when_it_cannot_hear)
{
	clock_replace(&test_clock);
	with_cache_of(&usual, true, 1, 1, 0, not_fresh, NULL);
	clock_replace(NULL);
}

/* --- one loads for all ---------------------------------------------------- */

enum { CROWD_WORKERS = 4, CROWD_FIBERS = 250 };

static int64_t count_of(const char *family, const char *name)
{
	char line[100];
	struct buf text;
	ptrdiff_t at;
	int64_t value = -1;

	buf_init(&text, MEGABYTE);
	REQUIRE(metric_write(&text, METRIC_TEXT) == 0);
	(void)snprintf(line, sizeof(line), "\n%s{cache=\"%s\"} ", family, name);
	at = str_find(buf_str(&text), str_from_c(line));
	if (at >= 0) {
		buf_byte(&text, 0);
		value = strtoll(text.at + at + strlen(line), NULL, 10);
	}
	buf_done(&text);
	return value;
}

static void ask_in_crowd(size_t number, void *arg)
{
	struct plan *plan = arg;
	struct arena arena;
	struct str value = { 0 };
	struct db db;

	(void)number;
	arena_init(&arena, 256, MEGABYTE);
	db = handle(1, &arena);
	EXPECT_INT(cache_get_or_load(cache, &db, S("key"), load, plan, &value), plan->result);
	EXPECT_STR(value, plan->value);
	if (plan->result)
		EXPECT_STR(str_from_c(err_text()), S("the load fails"));
	arena_done(&arena);
}

TEST(cache_loads_once_in_a_stampede)
{
	struct plan plan = { .value = S("the value of all"), .takes_ns = 100 * MILLISECOND };

	with_cache_of(&usual, false, CROWD_WORKERS, CROWD_FIBERS, 0, ask_in_crowd, &plan);
	EXPECT_INT(plan.begun, 1);
	EXPECT_INT(plan.loads, 1);
	EXPECT_INT(count_of("cache_loads_total", "test"), 1 + 1); /* the one of memory_before */
	EXPECT_INT(count_of("cache_hits_total", "test") + count_of("cache_misses_total", "test"),
		1 + CROWD_WORKERS * CROWD_FIBERS);
	EXPECT_INT(count_of("cache_bytes", "test"), 0);
}

/* All get the error of the one; those who come later load again. */
TEST(cache_fails_for_all_who_wait)
{
	struct plan plan = { .result = -ERR_UNAVAILABLE, .takes_ns = 200 * MILLISECOND };

	with_cache_of(&usual, false, CROWD_WORKERS, CROWD_FIBERS, 0, ask_in_crowd, &plan);
	EXPECT(plan.loads >= 1 && plan.loads <= 3);
}

/* A value that is not kept reaches those who wait. */
static char large[CACHE_VALUE_MAX + 10];

static void ask_large(size_t number, void *arg)
{
	struct plan *plan = arg;
	struct str value = { 0 };
	struct arena arena;
	struct db db;

	(void)number;
	arena_init(&arena, 256, 4 * MEGABYTE);
	db = handle(1, &arena);
	EXPECT_INT(cache_get_or_load(cache, &db, S("key"), load, plan, &value), 0);
	EXPECT(str_eq(value, plan->value));
	arena_done(&arena);
}

TEST(cache_gives_what_it_does_not_keep)
{
	struct plan plan = { .value = str_of(large, sizeof(large)), .takes_ns = 200 * MILLISECOND };

	with_cache_of(&usual, false, 2, 10, 0, ask_large, &plan);
	EXPECT(plan.loads >= 1 && plan.loads <= 3);
}

/* --- cancelled ones --------------------------------------------------------------------------- */

struct hasty {
	struct plan plan;
	uint64_t deadline_ns; /* of those with even numbers, from the start */
	bool cancel;          /* ... who are cancelled then, not out of time */
	_Atomic size_t answered, gave_up;
};

static int cancel_later(void *arg)
{
	struct scope *scope = arg;

	(void)fiber_sleep_until(scope->deadline_ns - HOUR);
	scope_cancel(scope);
	return 0;
}

static void ask_hastily(size_t number, void *arg)
{
	struct hasty *hasty = arg;
	struct scope scope, around;
	struct str value = { 0 };
	struct arena arena;
	struct db db;
	int r;

	arena_init(&arena, 256, MEGABYTE);
	db = handle(1, &arena);
	scope_open(&around, TIME_NEVER);
	scope_open(&scope, number % 2
				   ? TIME_NEVER
				   : sched_now() + hasty->deadline_ns + (hasty->cancel ? HOUR : 0));
	if (number % 2 == 0 && hasty->cancel)
		REQUIRE(scope_spawn(&around, cancel_later, &scope) == 0);
	r = cache_get_or_load(cache, &db, S("key"), load, &hasty->plan, &value);
	if (r == 0) {
		hasty->answered++;
		EXPECT_STR(value, hasty->plan.value);
	} else {
		hasty->gave_up++;
		EXPECT_INT(number % 2, 0);
		EXPECT_INT(r, hasty->cancel ? -ERR_CANCELLED : -ERR_TIMEOUT);
		EXPECT(err_last()->code == (enum err_code) - r);
	}
	if (number % 2 == 0)
		scope_cancel(&scope);
	(void)scope_close(&scope);
	(void)scope_close(&around);
	arena_done(&arena);
}

/* Those in a hurry leave, whoever of them loads; the patient get the value. */
TEST(cache_waiters_leave_and_take_over)
{
	for (int cancel = 0; cancel < 2; cancel++) {
		struct hasty hasty = { .plan = { .value = S("v"), .takes_ns = 600 * MILLISECOND },
			.deadline_ns = 50 * MILLISECOND,
			.cancel = cancel };

		with_cache_of(&usual, false, CROWD_WORKERS, 100, 0, ask_hastily, &hasty);
		EXPECT_INT(hasty.answered + hasty.gave_up, 400);
		EXPECT(hasty.gave_up >= 100); /* a slow machine lets some come late */
		EXPECT_INT(hasty.plan.loads, 1);
		EXPECT(hasty.plan.begun >= 1 && hasty.plan.begun <= 201);
	}
}

/* Giving up in the very moment in which the answer comes, over and over. */
TEST(cache_waiters_leave_at_any_moment)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct hasty hasty = { .plan = { .value = S("v"), .takes_ns = 2 * MILLISECOND },
			.deadline_ns = (1 + seed % 3) * MILLISECOND,
			.cancel = seed & 1 };

		with_cache_of(&usual, false, 2, 60, seed, ask_hastily, &hasty);
		EXPECT_INT(hasty.answered + hasty.gave_up, 120);
		EXPECT(hasty.answered >= 60);
	}
}

/* --- changes while others load -------------------------------------------- */

enum { RACE_KEYS = 3, RACE_ROUNDS = 300 };

/* What stands for the database: a version by key. */
struct race {
	_Atomic uint64_t committed[RACE_KEYS]; /* what a load that begins now finds */
	_Atomic uint64_t returned[RACE_KEYS];  /* what db_write has returned for */
	_Atomic uint64_t seed;
	bool by_tag;
	uint64_t wait_ns; /* 0: loads yield, else sleep up to so long */
	_Atomic size_t hits, loads;
};

struct race_key {
	struct race *race;
	unsigned key;
};

/* A random number of this place in the race. */
static uint64_t chance(struct race *race)
{
	uint64_t seed = race->seed++ * 0x9e3779b97f4a7c15 + 1;

	(void)test_random(&seed);
	return test_random(&seed) >> 16;
}

static void linger(struct race *race)
{
	if (race->wait_ns && chance(race) % 4 == 0)
		(void)fiber_sleep_until(sched_now() + chance(race) % race->wait_ns);
	else
		for (uint64_t i = chance(race) % 4; i > 0; i--)
			fiber_yield();
}

static int load_version(const struct db *db, void *arg, struct cache_value *ret)
{
	static const struct str tags[] = { S_INIT("tag 0"), S_INIT("tag 1"), S_INIT("tag 2") };
	struct race_key *key = arg;
	uint64_t version;

	linger(key->race);
	version = key->race->committed[key->key];
	key->race->loads++;
	linger(key->race); /* it may be an old one by now */
	ret->bytes = arena_printf(db->arena, "%llu", (unsigned long long)version);
	ret->tags = &tags[key->key];
	ret->tag_count = 1;
	return ret->bytes.at ? 0 : -ERR_NO_MEMORY;
}

static int change_in_tx(struct tx *tx, void *arg)
{
	struct race_key *key = arg;
	struct str text =
		arena_printf(tx_arena(tx), key->race->by_tag ? "tag %u" : "key %u", key->key);

	return key->race->by_tag ? cache_forget_tag(tx, cache, text)
				 : cache_forget(tx, cache, text);
}

/* The engine commits when the function has run, before the front hears of it; close enough to
 * change the version in front of db_write, and it gives races a longer window. */
static void change(const struct db *db, struct race_key *key)
{
	uint64_t version = ++key->race->committed[key->key], seen;

	linger(key->race);
	REQUIRE(db_write(db, change_in_tx, key) == 0);
	seen = key->race->returned[key->key];
	while (seen < version &&
		!atomic_compare_exchange_weak(&key->race->returned[key->key], &seen, version))
		;
}

static void look(const struct db *db, struct race_key *key)
{
	uint64_t least = key->race->returned[key->key], got;
	struct str text, value;

	text = arena_printf(db->arena, "key %u", key->key);
	REQUIRE(cache_get_or_load(cache, db, text, load_version, key, &value) == 0);
	got = strtoull(value.at, NULL, 10);
	test_note(got >= least, __FILE__, __LINE__, "got version %llu after %llu was committed",
		(unsigned long long)got, (unsigned long long)least);
}

static void run_race(size_t number, void *arg)
{
	struct race *race = arg;
	struct arena arena;

	arena_init(&arena, 1024, MEGABYTE);
	for (size_t i = 0; i < RACE_ROUNDS; i++) {
		struct arena_mark mark = arena_mark(&arena);
		struct race_key key = { race, (unsigned)(chance(race) % RACE_KEYS) };
		struct db db = handle(1, &arena);

		if (number % 8 == 0)
			change(&db, &key);
		else
			look(&db, &key);
		linger(race);
		arena_back(&arena, mark);
	}
	arena_done(&arena);
}

/* One thread, every order that the seeds give; then threads against each other. */
TEST_SLOW(cache_never_gives_what_was_forgotten, 120)
{
	size_t seeds = test_long() ? 500 : 30;

	for (uint64_t seed = 1; seed <= seeds; seed++) {
		struct race race = { .seed = seed, .by_tag = seed & 1 };

		with_cache_of(&usual, false, 1, 24, seed, run_race, &race);
		EXPECT(race.loads < 24 * RACE_ROUNDS); /* some were hits, or waited */
	}
	for (uint64_t seed = 1; seed <= (test_long() ? 50U : 5U); seed++) {
		struct race race = { .seed = seed, .by_tag = seed & 1, .wait_ns = MILLISECOND / 2 };

		with_cache_of(&usual, false, 4, 8, seed, run_race, &race);
	}
}

/* --- memory --------------------------------------------------------------- */

enum { LOAD_MEMORY = 256 * 1024 };

static int load_random(const struct db *db, void *arg, struct cache_value *ret)
{
	uint64_t *seed = arg;

	ret->bytes.len = test_random(seed) % (test_random(seed) % 20 ? 3000 : 100000);
	ret->bytes.at = arena_zalloc(db->arena, ret->bytes.len + 1);
	return ret->bytes.at ? 0 : -ERR_NO_MEMORY;
}

enum { ASKERS = 8, ASKER_ARENA = 128 * 1024 };

static void ask_random(size_t number, void *arg)
{
	/* What they ask with, and what is on its way to them. */
	size_t most = LOAD_MEMORY + ASKERS * (ASKER_ARENA + 2 * 100000) + 400000;
	uint64_t seed = number + 1;
	struct arena arena;
	size_t before = *(size_t *)arg;

	arena_init(&arena, ASKER_ARENA, MEGABYTE);
	for (size_t i = 0; i < 3000; i++) {
		struct db db = handle((unsigned)(test_random(&seed) % 3), &arena);
		struct str value, key;

		key = arena_printf(&arena, "%u", (unsigned)(test_random(&seed) % 500));
		REQUIRE(cache_get_or_load(cache, &db, key, load_random, &seed, &value) == 0);
		REQUIRE(mem_used() - before <= most);
		arena_reset(&arena);
		if (i % 16 == 0)
			fiber_yield();
	}
	arena_done(&arena);
}

TEST(cache_memory_is_bounded)
{
	static const struct cache_options options = {
		.name = "test", .memory = LOAD_MEMORY, .ttl_ns = MINUTE
	};

	size_t before = memory_before();

	with_cache_of(&options, false, 4, ASKERS / 4, 0, ask_random, &before);
	EXPECT(count_of("cache_evictions_total", "test") > 100);
	EXPECT_INT(count_of("cache_bytes", "test"), 0);
}

TEST(cache_takes_no_more_memory_than_it_may)
{
	static const size_t sizes[] = { CACHE_MEMORY_MIN, 100000, MEGABYTE, 8 * MEGABYTE,
		100 * MEGABYTE + 1 };

	(void)memory_before();
	fake_store_open(&fake, false);
	for (size_t i = 0; i < LEN(sizes); i++) {
		struct cache_options options = {
			.name = "test", .memory = sizes[i], .ttl_ns = MINUTE
		};
		size_t before = mem_used();

		REQUIRE(cache_open(&fake.store, &options, &cache) == 0);
		EXPECT(mem_used() - before <= sizes[i] / 4 + 4096);
		cache_close(cache);
		EXPECT_INT(mem_used(), before);
	}
	fake_store_close(&fake);
}

/* --- opening, and without memory -------------------------------------------------------------- */

TEST(cache_names_are_taken_once)
{
	struct cache_options other = usual;
	struct cache *one, *two, *three;
	size_t before;

	(void)memory_before();
	other.name = "other";
	fake_store_open(&fake, false);
	REQUIRE(cache_open(&fake.store, &usual, &one) == 0);
	EXPECT_INT(cache_open(&fake.store, &usual, &two), -ERR_CONFLICT);
	REQUIRE(cache_open(&fake.store, &other, &two) == 0);
	before = mem_used();
	cache_close(one);
	REQUIRE(cache_open(&fake.store, &usual, &three) == 0);
	EXPECT_INT(mem_used(), before);
	cache_close(two);
	cache_close(three);
	cache_close(NULL);
	fake_store_close(&fake);
	EXPECT(mem_used() < before);
}

#ifdef BULKHEAD_FAULTS
TEST(cache_open_without_memory)
{
	int r;

	(void)memory_before();
	fake_store_open(&fake, false);
	for (size_t nth = 1;; nth++) {
		size_t before = mem_used();

		fault_arm(FAULT_MEMORY, nth);
		r = cache_open(&fake.store, &usual, &cache);
		if (!fault_struck(FAULT_MEMORY))
			break;
		EXPECT_INT(r, -ERR_NO_MEMORY);
		EXPECT_INT(mem_used(), before);
	}
	fault_arm(FAULT_MEMORY, 0);
	EXPECT_INT(r, 0);
	cache_close(cache);
	fake_store_close(&fake);
}

/* Without memory it keeps nothing, but gives what was loaded. */
static void ask_without_memory(size_t number, void *arg)
{
	static const struct str tags[] = { S_INIT("a"), S_INIT("b") };

	(void)number, (void)arg;
	for (size_t nth = 1;; nth++) {
		struct plan plan = { .value = S("value"), .tags = tags, .tag_count = 2 };
		struct wish wish = { "key", "a", 0 };
		struct str value = { 0 };
		struct arena arena;
		struct db db;
		bool struck;
		int r, w;

		arena_init(&arena, 64, MEGABYTE); /* a chunk for every allocation */
		db = handle(1, &arena);
		fault_arm(FAULT_MEMORY, nth);
		r = cache_get_or_load(cache, &db, S("key"), load, &plan, &value);
		w = r < 0 ? 0 : cache_get_or_load(cache, &db, S("key"), load, &plan, &value);
		r = r < 0 ? r : w;
		if (r == 0)
			r = db_write(&db, forget_in_tx, &wish);
		struck = fault_struck(FAULT_MEMORY);
		fault_arm(FAULT_MEMORY, 0);
		EXPECT(r == 0 || (r == -ERR_NO_MEMORY && struck));
		EXPECT(r < 0 || str_eq(value, S("value")));
		EXPECT_INT(db_write(&db, forget_in_tx, &wish), 0);
		arena_done(&arena);
		if (!struck) {
			EXPECT_INT(plan.loads, 1);
			EXPECT(nth > 5);
			break;
		}
	}
}

TEST(cache_without_memory)
{
	with_cache(ask_without_memory);
}

/* The one who loads has no memory for those who wait: they are told, and not left alone. */
static int load_then_fail(const struct db *db, void *arg, struct cache_value *ret)
{
	int r = load(db, arg, ret);

	fault_arm(FAULT_MEMORY, 1);
	return r;
}

static void wait_without_memory(size_t number, void *arg)
{
	struct plan *plan = arg;
	struct str value = { 0 };
	struct arena arena;
	struct db db;
	int r;

	arena_init(&arena, 256, MEGABYTE);
	db = handle(1, &arena);
	r = cache_get_or_load(cache, &db, S("key"), load_then_fail, plan, &value);
	EXPECT_INT(r, number == 0 || plan->result ? plan->result : -ERR_NO_MEMORY);
	EXPECT(r == 0 || err_last()->code == (enum err_code) - r);
	arena_done(&arena);
}

TEST(cache_waiters_without_memory)
{
	struct plan plan = { .value = S("v"), .takes_ns = 20 * MILLISECOND };

	with_cache_of(&usual, false, 1, 10, 0, wait_without_memory, &plan);
	EXPECT_INT(plan.loads, 1);
}
#endif
