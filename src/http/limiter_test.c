/* Limiters on a virtual clock: tables, naive models with random times, threads, floods. */
#include "http/limiter.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/test.h"

#define DAY (24 * HOUR)

enum { SANITIZED = BUILT_WITH_ASAN || BUILT_WITH_TSAN, MILLION = 1000 * 1000 };

static const char *algorithm_names[] = { "bucket", "window" };

static struct limiter make(enum limiter_algorithm algorithm, struct limit limit, size_t slots)
{
	struct limiter limiter;
	struct limiter_options options = { S("api"), algorithm, limit, slots };

	REQUIRE(limiter_init(&limiter, &options) == 0);
	return limiter;
}

static struct str key_of(uint64_t number, char at[8])
{
	memcpy(at, &number, 8);
	return str_of(at, 8);
}

/* --- tables ------------------------------------------------------------- */

struct step {
	uint64_t at_ns, cost;
	bool allowed;
	uint64_t remaining, more_ns, full_ns, retry_ns;
};

static void run_steps(const char *what, enum limiter_algorithm algorithm, struct limit limit,
	const struct step *steps, size_t count, uint64_t start_ns)
{
	struct limiter limiter = make(algorithm, limit, 64);

	for (size_t i = 0; i < count; i++) {
		const struct step *step = &steps[i];
		struct limit_verdict got;

		limiter_take(&limiter, S("key"), step->cost, start_ns + step->at_ns, &got);
		test_note(got.allowed == step->allowed && got.remaining == step->remaining &&
				  got.more_ns == step->more_ns && got.full_ns == step->full_ns &&
				  got.retry_after_ns == step->retry_ns,
			__FILE__, __LINE__,
			"%s, step %zu: %d, %llu left, more %llu, full %llu, retry %llu", what, i,
			got.allowed, (unsigned long long)got.remaining,
			(unsigned long long)got.more_ns, (unsigned long long)got.full_ns,
			(unsigned long long)got.retry_after_ns);
	}
	limiter_done(&limiter);
}

#define NEVER UINT64_MAX

/* 4 units in 8 s, at most 3 at once: one comes back every 2 s. */
static const struct step bucket_steps[] = {
	{ 0, 0, true, 3, 0, 0, 0 },
	{ 0, 1, true, 2, 2 * SECOND, 2 * SECOND, 0 },
	{ 0, 2, true, 0, 2 * SECOND, 6 * SECOND, 0 },
	{ 0, 1, false, 0, 2 * SECOND, 6 * SECOND, 2 * SECOND },
	{ 0, 3, false, 0, 2 * SECOND, 6 * SECOND, 6 * SECOND },
	{ 0, 4, false, 0, 2 * SECOND, 6 * SECOND, NEVER },
	{ 0, 0, true, 0, 2 * SECOND, 6 * SECOND, 0 },
	{ 2 * SECOND - 1, 1, false, 0, 1, 4 * SECOND + 1, 1 },
	{ 2 * SECOND, 1, true, 0, 2 * SECOND, 6 * SECOND, 0 },
	{ 7 * SECOND, 0, true, 2, 1 * SECOND, 1 * SECOND, 0 },
	{ 7 * SECOND, 2, true, 0, 1 * SECOND, 5 * SECOND, 0 },
	{ 6 * SECOND, 1, false, 0, 2 * SECOND, 6 * SECOND, 2 * SECOND }, /* a clock behind */
	{ 12 * SECOND, 3, true, 0, 2 * SECOND, 6 * SECOND, 0 },
	{ 99 * DAY, 0, true, 3, 0, 0, 0 },
	{ 99 * DAY, 3, true, 0, 2 * SECOND, 6 * SECOND, 0 },
};

/* 4 units in 8 s. */
static const struct step window_steps[] = {
	{ 0, 0, true, 4, 0, 0, 0 },
	{ 0, 1, true, 3, 8 * SECOND, 8 * SECOND, 0 },
	{ 1 * SECOND, 2, true, 1, 7 * SECOND, 8 * SECOND, 0 },
	{ 2 * SECOND, 2, false, 1, 6 * SECOND, 7 * SECOND, 6 * SECOND },
	{ 2 * SECOND, 3, false, 1, 6 * SECOND, 7 * SECOND, 7 * SECOND },
	{ 2 * SECOND, 5, false, 1, 6 * SECOND, 7 * SECOND, NEVER },
	{ 2 * SECOND, 1, true, 0, 6 * SECOND, 8 * SECOND, 0 },
	{ 8 * SECOND - 1, 1, false, 0, 1, 2 * SECOND + 1, 1 },
	{ 8 * SECOND, 1, true, 0, 1 * SECOND, 8 * SECOND, 0 },
	{ 7 * SECOND, 1, false, 0, 2 * SECOND, 9 * SECOND, 2 * SECOND }, /* a clock behind */
	{ 9 * SECOND, 0, true, 2, 1 * SECOND, 7 * SECOND, 0 },
	{ 10 * SECOND, 3, true, 0, 6 * SECOND, 8 * SECOND, 0 },
	{ 99 * DAY, 4, true, 0, 8 * SECOND, 8 * SECOND, 0 },
};

/* 1 unit in 4 s, then nothing for 10 s. */
static const struct step block_steps[] = {
	{ 0, 1, true, 0, 4 * SECOND, 4 * SECOND, 0 },
	{ 1 * SECOND, 0, true, 0, 3 * SECOND, 3 * SECOND, 0 },
	{ 1 * SECOND, 9, false, 0, 3 * SECOND, 3 * SECOND, NEVER }, /* no block for that */
	{ 1 * SECOND, 0, true, 0, 3 * SECOND, 3 * SECOND, 0 },
	{ 1 * SECOND, 1, false, 0, 10 * SECOND, 10 * SECOND, 10 * SECOND },
	{ 5 * SECOND, 1, false, 0, 6 * SECOND, 6 * SECOND, 6 * SECOND }, /* no longer for asking */
	{ 5 * SECOND, 0, false, 0, 6 * SECOND, 6 * SECOND, 6 * SECOND },
	{ 5 * SECOND, 9, false, 0, 6 * SECOND, 6 * SECOND, NEVER },
	{ 11 * SECOND - 1, 1, false, 0, 1, 1, 1 },
	{ 11 * SECOND, 1, true, 0, 4 * SECOND, 4 * SECOND, 0 },
};

/* 1 unit in 10 s, blocks of 2 s: a block gives nothing back. */
static const struct step short_block_steps[] = {
	{ 0, 1, true, 0, 10 * SECOND, 10 * SECOND, 0 },
	{ 1 * SECOND, 1, false, 0, 9 * SECOND, 9 * SECOND, 9 * SECOND },
	{ 3 * SECOND, 0, true, 0, 7 * SECOND, 7 * SECOND, 0 },
	{ 9 * SECOND, 1, false, 0, 2 * SECOND, 2 * SECOND, 2 * SECOND },
	{ 11 * SECOND, 1, true, 0, 10 * SECOND, 10 * SECOND, 0 },
};

TEST(limiter_steps)
{
	static const uint64_t starts[] = { 0, 1, 12345678, INT64_MAX - 3 * SECOND, UINT64_MAX,
		UINT64_MAX - 3 * SECOND }; /* the last ones wrap around on the way */
	const struct limit four = { .quota = 4, .window_ns = 8 * SECOND };
	const struct limit four_burst = { .quota = 4, .window_ns = 8 * SECOND, .burst = 3 };
	const struct limit blocking = {
		.quota = 1, .window_ns = 4 * SECOND, .block_ns = 10 * SECOND
	};
	const struct limit brief = { .quota = 1, .window_ns = 10 * SECOND, .block_ns = 2 * SECOND };

	for (size_t i = 0; i < LEN(starts); i++) {
		run_steps("bucket", LIMITER_TOKEN_BUCKET, four_burst, bucket_steps,
			LEN(bucket_steps), starts[i]);
		run_steps("window", LIMITER_SLIDING_WINDOW, four, window_steps, LEN(window_steps),
			starts[i]);
		for (enum limiter_algorithm a = LIMITER_TOKEN_BUCKET; a <= LIMITER_SLIDING_WINDOW;
			a++) {
			run_steps(algorithm_names[a], a, blocking, block_steps, LEN(block_steps),
				starts[i]);
			run_steps(algorithm_names[a], a, brief, short_block_steps,
				LEN(short_block_steps), starts[i]);
		}
	}
}

TEST(limiter_options_that_are_refused)
{
	static const struct {
		struct str name;
		struct limit limit;
		size_t slots;
		enum limiter_algorithm algorithm;
		bool good;
	} cases[] = {
		{ S_INIT("auth"), { 10, MINUTE, 0, 15 * MINUTE }, 0, LIMITER_SLIDING_WINDOW, true },
		{ S_INIT("a-1_b"), { LIMIT_QUOTA_MAX, LIMIT_WINDOW_MIN }, 1, 0, true },
		{ S_INIT("year"), { 1, LIMIT_SPAN_MAX, 1, LIMIT_SPAN_MAX }, 16, 0, true },
		{ S_INIT(""), { 10, MINUTE }, 16 },
		{ S_INIT("Auth"), { 10, MINUTE }, 16 },
		{ S_INIT("a\"b"), { 10, MINUTE }, 16 },
		{ S_INIT("a b"), { 10, MINUTE }, 16 },
		{ S_INIT("123456789012345678901234567890123"), { 10, MINUTE }, 16 },
		{ S_INIT("zero"), { 0, MINUTE }, 16 },
		{ S_INIT("huge"), { LIMIT_QUOTA_MAX + 1, MINUTE }, 16 },
		{ S_INIT("burst"), { 1, MINUTE, LIMIT_QUOTA_MAX + 1 }, 16 },
		{ S_INIT("short"), { 1, LIMIT_WINDOW_MIN - 1 }, 16 },
		{ S_INIT("long"), { 1, LIMIT_SPAN_MAX + 1 }, 16 },
		{ S_INIT("block"), { 1, MINUTE, 0, LIMIT_SPAN_MAX + 1 }, 16 },
		{ S_INIT("full"), { 1, LIMIT_SPAN_MAX, 2 }, 16 },
		{ S_INIT("slots"), { 1, MINUTE }, LIMITER_SLOTS_MAX + 1 },
		{ S_INIT("burst"), { 5, MINUTE, 9 }, 16, LIMITER_SLIDING_WINDOW },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct limiter limiter;
		struct limiter_options options = { cases[i].name, cases[i].algorithm,
			cases[i].limit, cases[i].slots };
		int r = limiter_init(&limiter, &options);

		test_note(r == (cases[i].good ? 0 : -ERR_INVALID), __FILE__, __LINE__,
			"case %zu: %d", i, r);
		if (r == 0)
			limiter_done(&limiter);
	}
	EXPECT_INT(mem_used(), 0);
}

TEST(limiter_tells_its_policy)
{
	struct limiter limiter = make(LIMITER_TOKEN_BUCKET,
		(struct limit){ .quota = 600, .window_ns = MINUTE, .burst = 50 }, 0);
	struct limit_verdict verdict;

	EXPECT_INT(limiter.slots, LIMITER_SLOTS);
	limiter_take(&limiter, S("x"), 1, 5, &verdict);
	EXPECT_STR(verdict.name, S("api"));
	EXPECT_INT(verdict.quota, 600);
	EXPECT_INT(verdict.window_ns, MINUTE);
	EXPECT_INT(verdict.limit, 50);
	EXPECT_INT(verdict.remaining, 49);
	EXPECT(verdict.allowed && !verdict.blocked);
	limiter_done(&limiter);
	limiter_done(&limiter);
}

TEST(limiter_forgets_on_request)
{
	for (enum limiter_algorithm a = LIMITER_TOKEN_BUCKET; a <= LIMITER_SLIDING_WINDOW; a++) {
		struct limiter limiter = make(
			a, (struct limit){ .quota = 1, .window_ns = HOUR, .block_ns = DAY }, 16);
		struct limit_verdict verdict;

		limiter_take(&limiter, S("a"), 1, 0, &verdict);
		limiter_take(&limiter, S("a"), 1, 0, &verdict);
		EXPECT(!verdict.allowed && verdict.blocked);
		limiter_forget(&limiter, S("b"));
		limiter_take(&limiter, S("a"), 1, 0, &verdict);
		EXPECT(!verdict.allowed);
		limiter_forget(&limiter, S("a"));
		limiter_take(&limiter, S("a"), 1, 0, &verdict);
		EXPECT(verdict.allowed && !verdict.blocked);
		limiter_done(&limiter);
	}
}

/* A key may be moved to another limit: a bucket takes along the time until it is full, a window the
 * units in it. */
TEST(limiter_with_other_limits)
{
	struct limit large = { .quota = 1000, .window_ns = MINUTE };
	struct limit_verdict verdict;

	REQUIRE(limit_prepare(&large) == 0);
	for (enum limiter_algorithm a = LIMITER_TOKEN_BUCKET; a <= LIMITER_SLIDING_WINDOW; a++) {
		struct limiter limiter =
			make(a, (struct limit){ .quota = 10, .window_ns = MINUTE }, 16);

		limiter_take(&limiter, S("a"), 10, 0, &verdict);
		EXPECT_INT(verdict.remaining, 0);
		limiter_take_of(&limiter, &large, S("b"), 950, 0, &verdict);
		EXPECT(verdict.allowed);
		EXPECT_INT(verdict.limit, 1000);
		limiter_take_of(&limiter, &large, S("b"), 51, 0, &verdict);
		EXPECT(!verdict.allowed);
		limiter_take(&limiter, S("b"), 1, 1, &verdict);
		EXPECT(!verdict.allowed);
		EXPECT_INT(verdict.remaining, 0);
		limiter_take(&limiter, S("b"), 10, 2 * MINUTE, &verdict);
		EXPECT(verdict.allowed);
		limiter_done(&limiter);
	}
}

/* Cells run out only when limits change: then what was taken last comes back later, never earlier.
 */
TEST(limiter_window_with_all_cells_in_use)
{
	struct limiter limiter = make(
		LIMITER_SLIDING_WINDOW, (struct limit){ .quota = 16, .window_ns = MINUTE }, 16);
	struct limit large = { .quota = 100, .window_ns = MINUTE };
	struct limit_verdict verdict;

	REQUIRE(limit_prepare(&large) == 0);
	for (uint64_t i = 0; i < 16; i++) {
		limiter_take(&limiter, S("k"), 1, i * SECOND, &verdict);
		EXPECT(verdict.allowed);
	}
	limiter_take_of(&limiter, &large, S("k"), 80, 30 * SECOND, &verdict);
	EXPECT(verdict.allowed);
	EXPECT_INT(verdict.remaining, 4);
	limiter_take_of(&limiter, &large, S("k"), 20, 89 * SECOND, &verdict);
	EXPECT(!verdict.allowed);
	EXPECT_INT(verdict.remaining, 19);
	EXPECT_INT(verdict.retry_after_ns, SECOND + large.grain_ns);
	limiter_done(&limiter);
}

TEST(limiter_address_keys)
{
	static const struct {
		struct str a, b;
		bool same;
	} cases[] = {
		{ S_INIT("10.0.0.1"), S_INIT("10.0.0.1"), true },
		{ S_INIT("10.0.0.1"), S_INIT("10.0.0.2"), false },
		{ S_INIT("10.0.0.1"), S_INIT("::ffff:10.0.0.1"), true },
		{ S_INIT("2001:db8::1"), S_INIT("2001:db8::2"), true },
		{ S_INIT("2001:db8::1"), S_INIT("2001:db8:0:0:ffff:ffff:ffff:ffff"), true },
		{ S_INIT("2001:db8::1"), S_INIT("2001:db8:0:1::1"), false },
		{ S_INIT("::1"), S_INIT("0.0.0.1"), false },
		{ S_INIT("::"), S_INIT("0.0.0.0"), false },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		char a_key[LIMITER_ADDRESS_KEY], b_key[LIMITER_ADDRESS_KEY];
		struct address a, b;

		REQUIRE(address_parse(cases[i].a, 1, &a) == 0);
		REQUIRE(address_parse(cases[i].b, 2, &b) == 0);
		limiter_address_key(&a, a_key);
		limiter_address_key(&b, b_key);
		test_note((memcmp(a_key, b_key, sizeof(a_key)) == 0) == cases[i].same, __FILE__,
			__LINE__, "case %zu", i);
	}
}

/* --- against naive models ------------------------------------------------ */

/* A bucket in whole numbers: what is missing, in units of 1/quota ns. */
struct model_bucket {
	unsigned __int128 missing;
	uint64_t at_ns;
};

static bool model_bucket_take(struct model_bucket *model, const struct limit *limit, uint64_t cost,
	uint64_t now_ns, uint64_t *ret_remaining, uint64_t *ret_wait_ns)
{
	unsigned __int128 most = (unsigned __int128)limit->burst * limit->window_ns;
	unsigned __int128 back = (unsigned __int128)(now_ns - model->at_ns) * limit->quota;
	unsigned __int128 wish;
	bool allowed;

	model->missing -= MIN(model->missing, back);
	model->at_ns = now_ns;
	wish = model->missing + (unsigned __int128)cost * limit->window_ns;
	allowed = wish <= most;
	*ret_wait_ns = 0;
	if (allowed)
		model->missing = wish;
	else
		*ret_wait_ns = (uint64_t)((wish - most + limit->quota - 1) / limit->quota);
	*ret_remaining = (uint64_t)((most - model->missing) / limit->window_ns);
	return allowed;
}

/* Numbers as limits have them: small ones, round ones, odd ones. */
static uint64_t random_number(uint64_t *seed, uint64_t most)
{
	switch (test_random(seed) % 3) {
	case 0: return 1 + test_random(seed) % MIN(most, (uint64_t)20);
	case 1: return 1 + test_random(seed) % most;
	default: return MIN(most, (uint64_t)60);
	}
}

/* From one take to the next: often at once, often about as long as one unit needs. */
static uint64_t random_pause(uint64_t *seed, const struct limit *limit)
{
	uint64_t unit_ns = limit->window_ns / limit->quota;

	switch (test_random(seed) % 6) {
	case 0:
	case 1: return 0;
	case 2: return unit_ns;
	case 3: return test_random(seed) % (3 * unit_ns + 1);
	case 4: return test_random(seed) % (limit->window_ns / 8 + 1);
	default: return test_random(seed) % 16 ? 1 : test_random(seed) % (2 * limit->window_ns);
	}
}

TEST(limiter_bucket_is_its_model)
{
	uint64_t seed = 42;

	for (size_t round = 0; round < 300; round++) {
		struct limit limit = { .quota = random_number(&seed, 1000),
			.window_ns = random_number(&seed, 100000) * MILLISECOND +
				     test_random(&seed) % 1000,
			.burst = random_number(&seed, 2000) };
		struct limiter limiter = make(LIMITER_TOKEN_BUCKET, limit, 16);
		uint64_t now_ns = test_random(&seed);
		struct model_bucket model = { .at_ns = now_ns };

		for (size_t i = 0; i < 300; i++) {
			uint64_t cost =
				test_random(&seed) % 4 ? 1 : test_random(&seed) % limit.burst;
			struct limit_verdict got;
			uint64_t remaining, wait_ns;
			bool allowed;

			now_ns += random_pause(&seed, &limit);
			allowed = model_bucket_take(
				&model, &limiter.limit, cost, now_ns, &remaining, &wait_ns);
			limiter_take(&limiter, S("k"), cost, now_ns, &got);
			REQUIRE(got.allowed == allowed);
			REQUIRE(got.remaining == remaining);
			REQUIRE(got.retry_after_ns == wait_ns);
			REQUIRE((got.more_ns == 0) == (model.missing == 0));
			REQUIRE(got.more_ns <= got.full_ns);
		}
		limiter_done(&limiter);
	}
}

enum { LOG_MAX = 4096 };

/* Each take that was allowed. */
struct model_log {
	uint64_t at_ns[LOG_MAX], units[LOG_MAX];
	size_t count;
};

/* Units taken less than `span_ns` ago. */
static uint64_t model_used(const struct model_log *log, uint64_t now_ns, uint64_t span_ns)
{
	uint64_t used = 0;

	for (size_t i = log->count; i-- > 0 && now_ns - log->at_ns[i] < span_ns;)
		used += log->units[i];
	return used;
}

TEST(limiter_window_is_its_model)
{
	static struct model_log log;
	uint64_t seed = 7;

	for (size_t round = 0; round < 300; round++) {
		struct limit limit = { .quota = random_number(&seed, round % 2 ? 16 : 1000),
			.window_ns = random_number(&seed, 10000) * MILLISECOND +
				     test_random(&seed) % 1000 };
		struct limiter limiter = make(LIMITER_SLIDING_WINDOW, limit, 16);
		uint64_t now_ns = test_random(&seed);

		log.count = 0;
		for (size_t i = 0; i < 1000; i++) {
			uint64_t cost =
				test_random(&seed) % 4 ? 1 : test_random(&seed) % limit.quota;
			uint64_t late_ns = limiter.limit.grain_ns;
			uint64_t used, used_late;
			struct limit_verdict got;

			now_ns += random_pause(&seed, &limit);
			used = model_used(&log, now_ns, limit.window_ns);
			used_late = model_used(&log, now_ns, limit.window_ns + late_ns);
			limiter_take(&limiter, S("k"), cost, now_ns, &got);
			if (got.allowed)
				REQUIRE(used + cost <= limit.quota);
			else
				REQUIRE(used_late + cost > limit.quota);
			REQUIRE(got.remaining <= limit.quota - used);
			REQUIRE(got.remaining + (got.allowed ? cost : 0) >=
				limit.quota - MIN(used_late, limit.quota));
			REQUIRE(got.more_ns <= got.full_ns);
			if (got.allowed && cost) {
				log.at_ns[log.count] = now_ns;
				log.units[log.count++] = cost;
			}
		}
		limiter_done(&limiter);
	}
}

/* Who waits as told is let in, and not a nanosecond earlier. */
TEST(limiter_keeps_its_promises)
{
	uint64_t seed = 99;

	for (size_t round = 0; round < 4000; round++) {
		enum limiter_algorithm algorithm = round % 2;
		struct limit limit = { .quota = random_number(&seed, 1000),
			.window_ns = random_number(&seed, 10000) * MILLISECOND,
			.block_ns = round % 3 ? 0 : random_number(&seed, 10000) * MILLISECOND };
		struct limiter limiter = make(algorithm, limit, 16);
		uint64_t now_ns = test_random(&seed), cost = 0;
		struct limit_verdict told = { .allowed = true }, got;

		while (told.allowed) {
			cost = 1 + test_random(&seed) % limit.quota;
			now_ns += test_random(&seed) % (limit.window_ns / 16);
			limiter_take(&limiter, S("k"), cost, now_ns, &told);
		}
		REQUIRE(told.retry_after_ns > 0 && told.retry_after_ns < NEVER);
		REQUIRE(told.blocked == (limit.block_ns > 0));
		if (!told.blocked) {
			now_ns += told.retry_after_ns - 1;
			limiter_take(&limiter, S("k"), cost, now_ns, &got);
			REQUIRE(!got.allowed && got.retry_after_ns == 1);
			now_ns++;
		} else {
			now_ns += told.retry_after_ns;
		}
		limiter_take(&limiter, S("k"), cost, now_ns, &got);
		REQUIRE(got.allowed);
		limiter_take(&limiter, S("k"), 0, now_ns + got.full_ns, &got);
		REQUIRE(got.remaining == got.limit && got.more_ns == 0 && got.full_ns == 0);
		limiter_done(&limiter);
	}
}

TEST(limiter_survives_any_clock)
{
	uint64_t seed = 5;

	for (enum limiter_algorithm a = LIMITER_TOKEN_BUCKET; a <= LIMITER_SLIDING_WINDOW; a++) {
		struct limiter limiter = make(a,
			(struct limit){ .quota = 50, .window_ns = SECOND, .block_ns = SECOND }, 64);
		struct limit odd = { .quota = 5, .window_ns = HOUR };
		struct limit_verdict got;

		REQUIRE(limit_prepare(&odd) == 0);
		for (size_t i = 0; i < 20000; i++) {
			char at[8];
			struct str key = key_of(test_random(&seed) % 100, at);

			limiter_take_of(&limiter, i % 3 ? &odd : &limiter.limit, key,
				test_random(&seed) % 60, test_random(&seed), &got);
			REQUIRE(got.remaining <= got.limit);
			REQUIRE(got.allowed == (got.retry_after_ns == 0));
		}
		limiter_done(&limiter);
	}
}

/* --- threads --------------------------------------------------------------- */

enum { THREADS = 4, TAKES = 20000 };

struct crowd {
	struct limiter *limiter;
	size_t keys;
	uint64_t cost;
	_Atomic uint64_t allowed[64]; /* units, by key */
};

static void *take_many(void *arg)
{
	struct crowd *crowd = arg;

	for (size_t i = 0; i < TAKES; i++) {
		size_t number = i % crowd->keys;
		struct limit_verdict verdict;
		char at[8];

		limiter_take(
			crowd->limiter, key_of(number, at), crowd->cost, 1000 + i % 3, &verdict);
		if (verdict.allowed)
			crowd->allowed[number] += crowd->cost;
	}
	return NULL;
}

TEST(limiter_is_exact_under_concurrency)
{
	static const struct {
		size_t keys;
		uint64_t quota, cost, wanted;
	} cases[] = {
		{ 1, 10, 1, 10 },
		{ 1, 5000, 1, 5000 },
		{ 1, 5000, 7, 4998 },
		{ 20, 400, 3, 399 },
	};

	for (enum limiter_algorithm a = LIMITER_TOKEN_BUCKET; a <= LIMITER_SLIDING_WINDOW; a++)
		for (size_t i = 0; i < LEN(cases); i++) {
			struct limiter limiter = make(
				a, (struct limit){ .quota = cases[i].quota, .window_ns = HOUR }, 0);
			struct crowd crowd = {
				.limiter = &limiter, .keys = cases[i].keys, .cost = cases[i].cost
			};
			pthread_t threads[THREADS];

			for (size_t t = 0; t < THREADS; t++)
				REQUIRE(pthread_create(&threads[t], NULL, take_many, &crowd) == 0);
			for (size_t t = 0; t < THREADS; t++)
				(void)pthread_join(threads[t], NULL);
			for (size_t key = 0; key < cases[i].keys; key++)
				EXPECT_INT(crowd.allowed[key], cases[i].wanted);
			limiter_done(&limiter);
		}
}

/* --- floods ---------------------------------------------------------------- */

/* Ten million addresses: no more memory, the blocked stay blocked, the busy stay counted. */
TEST_SLOW(limiter_under_a_flood, 120)
{
	for (enum limiter_algorithm a = LIMITER_TOKEN_BUCKET; a <= LIMITER_SLIDING_WINDOW; a++) {
		const uint64_t flood =
			(a == LIMITER_TOKEN_BUCKET ? 10 : 2) * MILLION / (SANITIZED ? 10 : 1);
		struct limiter limiter =
			make(a, (struct limit){ .quota = 10, .window_ns = HOUR, .block_ns = DAY },
				16 * 1024);
		size_t memory = mem_used();
		uint64_t now_ns = 0;
		struct limit_verdict verdict;
		char at[8];

		for (uint64_t key = 0; key < 100; key++) {
			limiter_take(
				&limiter, key_of(key, at), key < 50 ? 10 : 9, now_ns, &verdict);
			EXPECT(verdict.allowed);
			if (key < 50)
				limiter_take(&limiter, key_of(key, at), 1, now_ns, &verdict);
			EXPECT(verdict.blocked == (key < 50));
		}
		for (uint64_t i = 0; i < flood; i++)
			limiter_take(&limiter, key_of(1000 + i, at), 1, now_ns += 10, &verdict);
		EXPECT_INT(mem_used(), memory);
		EXPECT(limiter_evicted(&limiter) > flood - 17 * 1024);

		for (uint64_t key = 0; key < 100; key++) {
			limiter_take(&limiter, key_of(key, at), 0, now_ns, &verdict);
			test_note(verdict.blocked == (key < 50), __FILE__, __LINE__,
				"key %d is %sblocked", (int)key, verdict.blocked ? "" : "not ");
			if (key >= 50)
				EXPECT_INT(verdict.remaining, 1);
		}
		limiter_done(&limiter);
	}
}

/* One set of 16: who goes first. */
TEST(limiter_evicts_what_is_missed_least)
{
	for (enum limiter_algorithm a = LIMITER_TOKEN_BUCKET; a <= LIMITER_SLIDING_WINDOW; a++) {
		struct limiter limiter = make(a,
			(struct limit){ .quota = 5, .window_ns = 5 * SECOND, .block_ns = HOUR }, 1);
		struct limit_verdict verdict;
		char at[8];

		/* 0 to 9 are blocked, the later the longer; 10 to 14 have used some; 15 is old. */
		for (uint64_t key = 0; key < 10; key++) {
			limiter_take(&limiter, key_of(key, at), 5, key, &verdict);
			limiter_take(&limiter, key_of(key, at), 1, key, &verdict);
		}
		limiter_take(&limiter, key_of(15, at), 1, 0, &verdict);
		for (uint64_t key = 10; key < 15; key++)
			limiter_take(&limiter, key_of(key, at), key - 9, 6 * SECOND, &verdict);
		EXPECT_INT(limiter_evicted(&limiter), 0);

		limiter_take(
			&limiter, key_of(100, at), 4, 6 * SECOND, &verdict); /* for 15, expired */
		EXPECT_INT(limiter_evicted(&limiter), 0);
		limiter_take(&limiter, key_of(101, at), 4, 6 * SECOND, &verdict); /* for 10 */
		EXPECT_INT(limiter_evicted(&limiter), 1);
		limiter_take(&limiter, key_of(10, at), 0, 6 * SECOND, &verdict);
		EXPECT_INT(verdict.remaining, 5);
		limiter_take(&limiter, key_of(11, at), 0, 6 * SECOND, &verdict);
		EXPECT_INT(verdict.remaining, 3);

		for (uint64_t key = 200; key < 206; key++) { /* block all the others, too */
			limiter_take(&limiter, key_of(key, at), 5, 6 * SECOND, &verdict);
			limiter_take(&limiter, key_of(key, at), 1, 6 * SECOND, &verdict);
			EXPECT(verdict.blocked);
		}
		for (uint64_t key = 0; key < 10; key++) {
			limiter_take(&limiter, key_of(key, at), 0, 6 * SECOND, &verdict);
			EXPECT(verdict.blocked);
		}
		limiter_take(&limiter, key_of(300, at), 1, 6 * SECOND, &verdict);
		EXPECT(verdict.allowed);
		limiter_take(&limiter, key_of(0, at), 0, 6 * SECOND, &verdict);
		EXPECT(!verdict.blocked); /* its block would have ended first */
		limiter_take(&limiter, key_of(1, at), 0, 6 * SECOND, &verdict);
		EXPECT(verdict.blocked);
		limiter_done(&limiter);
	}
}

#ifdef BULKHEAD_FAULTS
TEST(limiter_without_memory)
{
	struct limiter_options options = { S("api"), LIMITER_TOKEN_BUCKET,
		{ .quota = 5, .window_ns = SECOND }, 16 };

	for (size_t nth = 1;; nth++) {
		struct limiter limiter;
		int r;

		fault_arm(FAULT_MEMORY, nth);
		r = limiter_init(&limiter, &options);
		if (!fault_struck(FAULT_MEMORY)) {
			EXPECT_INT(r, 0);
			EXPECT_INT(nth, 3);
			limiter_done(&limiter);
			break;
		}
		EXPECT_INT(r, -ERR_NO_MEMORY);
		EXPECT_INT(mem_used(), 0);
		limiter_done(&limiter);
	}
	fault_arm(FAULT_MEMORY, 0);
}
#endif
