/*
 * Tries of several who meet at one row. They run READ COMMITTED on PostgreSQL, so here is shown
 * that what is held is enough: of two, the second always counts on what the first has left; and of
 * many at a time no more get a try than the limit says. With a plain look instead of holding, the
 * same check finds a lost try.
 */
#include "modules/auth/auth_attempts.h"

#include "modules/auth/auth.h"
#include "store/store_test.h"

#include <stdio.h>

/* --- two that meet --------------------------------------------------------------------- */

/* What a transaction does with the row. */
enum deed {
	TAKE,   /* holds, counts one, saves */
	LOOK,   /* the same without holding: the wrong way */
	UNLOCK, /* throws it away, as the link in the mail does: SERIALIZABLE */
};

struct row_seen {
	struct str key;
	int64_t tries;
};

/* clang-format off */
static const struct schema key_schema = SCHEMA(row_seen, "Which row.",
	FIELD(row_seen, key, "Of whom."));
static const struct schema seen_schema = SCHEMA(row_seen, "What is there.",
	FIELD(row_seen, key, "Of whom."), FIELD(row_seen, tries, "So many."));
/* clang-format on */

static const struct statement row_see = STATEMENT("test_attempt_see",
	.sql = "SELECT key, tries FROM auth_attempt WHERE tenant_id = :tenant AND key = :key",
	.in = &key_schema, .out = &seen_schema);

static const struct statement *const own_statements[] = { &row_see };

static const struct store_test_module *tables(void)
{
	static struct store_test_module modules[3];

	modules[0] = (struct store_test_module){ "auth", auth_module.migrations, attempt_statements,
		ATTEMPT_STATEMENTS };
	modules[1] =
		(struct store_test_module){ "test", NULL, own_statements, LEN(own_statements) };
	return modules;
}

static const struct str email = S_INIT("ada@example.com");

struct actor {
	enum deed deed;
	struct db db;
	struct arena arena;
	struct actor *other;
	bool first;                     /* stops half way until the other is in the way */
	_Atomic bool half_way, ordered; /* has the row; has begun to ask for it */
	unsigned runs;
	int64_t found; /* tries that it counts on */
	int result;
};

/* Both begin at about the same time, and the second asks while the first has the row. Long enough
 * for the second one's statement to wait in the database; a slow machine makes the test weaker, not
 * wrong. */
static void stay_half_way(struct actor *actor)
{
	actor->half_way = true;
	if (!actor->first || !fiber_current() || actor->runs > 1)
		return; /* on SQLite there is one writer: nobody could be in the way */
	nopark_end();   /* the test stops here on purpose */
	while (!actor->other->ordered)
		fiber_yield();
	EXPECT_INT(fiber_sleep_until(sched_now() + 50 * MILLISECOND), 0);
	nopark_begin();
	EXPECT(actor->other->deed == LOOK || !actor->other->half_way);
}

static int see(struct tx *tx, const char *key, int64_t *ret)
{
	struct row_seen seen = { .key = str_of(key, ATTEMPT_KEY_LEN) };
	int r = tx_one(tx, &row_see, &seen, &seen);

	*ret = r == 0 ? seen.tries : 0;
	return r == -ERR_NOT_FOUND ? 0 : r;
}

static int count_one(struct tx *tx, struct actor *actor, const char *key)
{
	struct attempt_row row = { 0 };
	int r = actor->deed == LOOK ? see(tx, key, &row.tries) : attempt_hold_in_tx(tx, key, &row);

	if (r < 0)
		return r;
	actor->found = row.tries++;
	stay_half_way(actor);
	return attempt_save_in_tx(tx, key, &row);
}

static int act_in_tx(struct tx *tx, void *arg)
{
	struct actor *actor = arg;
	char key[ATTEMPT_KEY_LEN];
	int r;

	actor->runs++;
	actor->ordered = true;
	attempt_email_key(key, email);
	if (actor->deed != UNLOCK)
		return count_one(tx, actor, key);
	r = attempts_clear_in_tx(tx, email);
	if (r == 0) /* which is answered when it is done */
		r = see(tx, key, &actor->found);
	stay_half_way(actor);
	return r;
}

static int act(void *arg)
{
	struct actor *actor = arg;

	while (!actor->first && !actor->other->half_way)
		if (fiber_sleep_until(sched_now() + MILLISECOND) < 0)
			return -ERR_CANCELLED;
	actor->result = actor->deed == UNLOCK
				? db_write(&actor->db, act_in_tx, actor)
				: db_write_with(&actor->db, &attempt_tx, act_in_tx, actor);
	return 0;
}

static int prepare_in_tx(struct tx *tx, void *arg)
{
	const int64_t *tries = arg;
	struct attempt_row row;
	char key[ATTEMPT_KEY_LEN];
	int r = attempts_clear_in_tx(tx, email);

	attempt_email_key(key, email);
	if (r < 0 || *tries == 0)
		return r;
	r = attempt_hold_in_tx(tx, key, &row);
	row.tries = *tries;
	return r < 0 ? r : attempt_save_in_tx(tx, key, &row);
}

static int look_in_tx(struct tx *tx, void *arg)
{
	char key[ATTEMPT_KEY_LEN];

	attempt_email_key(key, email);
	return see(tx, key, arg);
}

/* Tries that are there in the end. */
static int64_t meet(struct store_test *test, enum deed first, enum deed second, int64_t before)
{
	struct db db = db_of(test->store, &tenant_system, &test->arena);
	struct actor actors[2] = { { .deed = first, .first = true }, { .deed = second } };
	struct scope scope;
	int64_t tries = -1;

	REQUIRE(db_write(&db, prepare_in_tx, &before) == 0);
	scope_open(&scope, TIME_NEVER);
	for (int i = 0; i < 2; i++) {
		actors[i].other = &actors[1 - i];
		arena_init(&actors[i].arena, 4096, MEGABYTE);
		actors[i].db = db_of(test->store, &tenant_system, &actors[i].arena);
		REQUIRE(scope_spawn(&scope, act, &actors[i]) == 0);
	}
	REQUIRE(scope_close(&scope) == 0);
	for (int i = 0; i < 2; i++) {
		EXPECT_INT(actors[i].result, 0);
		arena_done(&actors[i].arena);
	}
	REQUIRE(db_read(&db, look_in_tx, &tries) == 0);
	return tries;
}

STORE_TEST_WITH(attempts_that_meet, tables(), NULL)
{
	static const struct {
		const char *title;
		enum deed first, second;
		int64_t before, after;
	} cases[] = {
		{ "both find none", TAKE, TAKE, 0, 2 },
		{ "both find some", TAKE, TAKE, 5, 7 },
		{ "counted, then unlocked", TAKE, UNLOCK, 5, 0 },
		{ "unlocked, then counted", UNLOCK, TAKE, 5, 1 },
		{ "unlocked twice", UNLOCK, UNLOCK, 5, 0 },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		int64_t tries = meet(test, cases[i].first, cases[i].second, cases[i].before);

		if (!EXPECT_INT(tries, cases[i].after))
			(void)fprintf(stderr, "  %s\n", cases[i].title);
	}
}

/* The same is able to fail. */
STORE_TEST_WITH(attempts_that_only_look, tables(), NULL)
{
	EXPECT_INT(meet(test, LOOK, LOOK, 5), store_is_sqlite(test->store) ? 7 : 6);
}

/* --- many ---------------------------------------------------------------------------------- */

enum { TAKERS = 60, TRIES = 7 };

struct taker {
	struct db db;
	struct arena arena;
	enum attempt_verdict verdict;
	int result;
};

static int take_in_tx(struct tx *tx, void *arg)
{
	static const struct attempt_limits limits = { .tries = TRIES, .lock_us = 900000000 };
	struct taker *taker = arg;
	struct attempt_row row;
	char key[ATTEMPT_KEY_LEN];
	int r;

	attempt_email_key(key, email);
	r = attempt_hold_in_tx(tx, key, &row);
	if (r < 0)
		return r;
	taker->verdict = attempt_take(&row, &limits, tx_now_us(tx));
	return attempt_save_in_tx(tx, key, &row);
}

static int take(void *arg)
{
	struct taker *taker = arg;

	taker->result = db_write_with(&taker->db, &attempt_tx, take_in_tx, taker);
	return 0;
}

STORE_TEST_WITH(attempts_of_many, tables(), NULL)
{
	struct taker takers[TAKERS];
	struct scope scope;
	int64_t none = 0;
	size_t allowed = 0, locks = 0;
	struct db db = db_of(test->store, &tenant_system, &test->arena);

	REQUIRE(db_write(&db, prepare_in_tx, &none) == 0);
	scope_open(&scope, TIME_NEVER);
	for (size_t i = 0; i < TAKERS; i++) {
		arena_init(&takers[i].arena, 4096, MEGABYTE);
		takers[i].db = db_of(test->store, &tenant_system, &takers[i].arena);
		REQUIRE(scope_spawn(&scope, take, &takers[i]) == 0);
	}
	REQUIRE(scope_close(&scope) == 0);
	for (size_t i = 0; i < TAKERS; i++) {
		EXPECT_INT(takers[i].result, 0);
		allowed += takers[i].verdict == ATTEMPT_ALLOWED;
		locks += takers[i].verdict == ATTEMPT_LOCKS;
		arena_done(&takers[i].arena);
	}
	EXPECT_INT(allowed, TRIES - 1);
	EXPECT_INT(locks, 1);
}
