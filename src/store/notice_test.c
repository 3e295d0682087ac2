/* Notices of one instance: told after the commit, in order, to those who listen. */
#include "store/notice.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"
#include "observe/clock.h"
#include "store/fake_store_test.h"
#include "store/notice_internal.h"
#include "store/store_test.h"

#include <stdio.h>

static struct fake_store fake;
static char said[2000]; /* what was heard: "topic:tenant:key " each */

static void note(struct notice_listener *listener, const struct uuid *tenant, struct str key)
{
	size_t len = strlen(said);

	(void)snprintf(said + len, sizeof(said) - len, "%s:%u:%.*s ", listener->topic,
		tenant->bytes[15], STR_ARG(key));
}

static struct notice_listener on_a = { "a", note, NULL }, on_b = { "b", note, NULL };

static struct db handle(unsigned tenant, struct arena *arena)
{
	struct uuid id = { { 1, [15] = (uint8_t)tenant } };

	return db_of(&fake.store, &id, arena);
}

static void expect_said(const char *wanted)
{
	EXPECT_STR(str_from_c(said), str_from_c(wanted));
	said[0] = 0;
}

static void with_store(void (*body)(size_t, void *))
{
	fake_store_open(&fake, false);
	REQUIRE(notice_listen(&fake.store, &on_a) == 0);
	REQUIRE(notice_listen(&fake.store, &on_b) == 0);
	run_fibers(1, 1, 0, body, NULL);
	fake_store_close(&fake);
	EXPECT_INT(mem_used(), 0);
}

/* --- after the commit ------------------------------------------------------------------ */

static void late(void *arg)
{
	(void)arg;
	expect_said("a:1:one b:1: a:1:two "); /* before anything else is done */
	(void)strcpy(said, "late ");
}

static int say_some(struct tx *tx, void *arg)
{
	char text[] = "one";

	REQUIRE(tx_after_commit(tx, late, NULL) == 0);
	REQUIRE(tx_notice(tx, S("a"), str_from_c(text)) == 0);
	REQUIRE(tx_notice(tx, S("b"), S("")) == 0);
	text[0] = 'x'; /* it was copied */
	REQUIRE(tx_notice(tx, S("nobody"), S("three")) == 0);
	REQUIRE(tx_notice(tx, S("a"), S("two")) == 0);
	expect_said("");
	return *(int *)arg;
}

static int say_as_others(struct tx *tx, void *arg)
{
	struct uuid other = { { 1, [15] = 9 } };

	(void)arg;
	REQUIRE(tx_notice(tx, S("a"), S("system")) == 0);
	REQUIRE(tx_enter(tx, &other) == 0);
	REQUIRE(tx_notice(tx, S("a"), S("tenant")) == 0);
	return tx_leave(tx);
}

static void told_after_commit(size_t number, void *arg)
{
	struct arena arena;
	struct db db, system;
	int result = 0;

	(void)number, (void)arg;
	arena_init(&arena, 4096, MEGABYTE);
	db = handle(1, &arena);
	system = db_of_system(&fake.store, &arena);

	EXPECT_INT(db_write(&db, say_some, &result), 0);
	expect_said("late ");
	fake.repeats = 3; /* only those of the last run */
	EXPECT_INT(db_write(&db, say_some, &result), 0);
	expect_said("late ");
	fake.repeats = 0;

	result = -ERR_CONFLICT;
	EXPECT_INT(db_write(&db, say_some, &result), -ERR_CONFLICT);
	fake.outcome = ERR_CONFLICT;
	result = 0;
	EXPECT_INT(db_write(&db, say_some, &result), -ERR_CONFLICT);
	expect_said("");
	fake.outcome = ERR_UNAVAILABLE; /* nobody knows whether it is committed */
	EXPECT_INT(db_write(&db, say_some, &result), -ERR_UNAVAILABLE);
	expect_said("a:1:one b:1: a:1:two ");
	fake.outcome = 0;

	EXPECT_INT(db_write(&system, say_as_others, NULL), 0);
	expect_said("a:1:system a:9:tenant ");
	notice_unlisten(&fake.store, &on_a);
	notice_unlisten(&fake.store, &on_a);
	EXPECT_INT(db_write(&system, say_as_others, NULL), 0);
	expect_said("");
	notices_tell_missed(fake.store.notices);
	expect_said("b:0: ");
	arena_done(&arena);
}

TEST(notices_are_told_after_the_commit)
{
	with_store(told_after_commit);
}

/* --- what is refused --------------------------------------------------------------------- */

struct attempt {
	struct str topic, key;
	size_t times;
	int wanted;
};

static int say_it(struct tx *tx, void *arg)
{
	struct attempt *attempt = arg;

	for (size_t i = 1; i < attempt->times; i++)
		REQUIRE(tx_notice(tx, attempt->topic, attempt->key) == 0);
	EXPECT_INT(tx_notice(tx, attempt->topic, attempt->key), attempt->wanted);
	EXPECT_INT(tx_notice(tx, S("a"), S("fine")), attempt->wanted); /* all of it has failed */
	return 0;
}

static void refused(size_t number, void *arg)
{
	static const char xs[NOTICE_KEY_MAX + 1] = "xxx"; /* and NULs */
	static char longest[NOTICE_KEY_MAX + 1];
	struct attempt attempts[] = {
		{ S(""), S("k"), 1, -ERR_INVALID },
		{ S("a"), str_of(xs, 4), 1, -ERR_INVALID },
		{ S("a"), S("\xff"), 1, -ERR_INVALID },
		{ S("\xc0"), S("k"), 1, -ERR_INVALID },
		{ S("a"), str_of(longest, NOTICE_KEY_MAX + 1), 1, -ERR_INVALID },
		{ S("nobody"), str_of(longest, NOTICE_KEY_MAX), 1, 0 },
		{ str_of(longest, NOTICE_TOPIC_MAX + 1), S("k"), 1, -ERR_INVALID },
		{ str_of(longest, NOTICE_TOPIC_MAX), S("k"), 1, 0 },
		{ S("nobody"), S("k"), TX_NOTICES_MAX - 1, 0 },
		{ S("nobody"), S("k"), TX_NOTICES_MAX + 1, -ERR_FULL },
	};
	struct attempt in_read = { S("a"), S("k"), 1, -ERR_INTERNAL };
	struct arena arena;
	struct db db;

	(void)number, (void)arg;
	memset(longest, 'l', sizeof(longest));
	arena_init(&arena, 4096, 4 * MEGABYTE);
	db = handle(1, &arena);
	for (size_t i = 0; i < LEN(attempts); i++) {
		EXPECT_INT(db_write(&db, say_it, &attempts[i]), attempts[i].wanted);
		expect_said(attempts[i].wanted ? "" : "a:1:fine ");
	}
	EXPECT_INT(db_read(&db, say_it, &in_read), -ERR_INTERNAL);
	expect_said("");
	arena_done(&arena);
}

TEST(notices_that_are_refused)
{
	with_store(refused);
}

/* --- on real engines ----------------------------------------------------------------------- */

static int say_three(struct tx *tx, void *arg)
{
	int r = tx_notice(tx, S("a"), S("one"));

	if (r == 0)
		r = tx_notice(tx, S("b"), S("two"));
	return r < 0 ? r : *(int *)arg; /* a bare code must not commit either */
}

/* Not what the thread that looks for others says. */
static void note_own(struct notice_listener *listener, const struct uuid *tenant, struct str key)
{
	if (key.len)
		note(listener, tenant, key);
}

STORE_TEST_WITH(notices_of_an_engine, NULL, NULL)
{
	struct notice_listener own = { "a", note_own, NULL };
	struct db db = store_test_tenant(test, 3);
	int result = 0;

	REQUIRE(notice_listen(test->store, &own) == 0);
	EXPECT_INT(db_write(&db, say_three, &result), 0);
	expect_said("a:3:one ");
	result = -ERR_CONFLICT;
	EXPECT_INT(db_write(&db, say_three, &result), -ERR_CONFLICT);
	EXPECT_INT(db_read(&db, say_three, &result), -ERR_INTERNAL);
	expect_said("");
	notice_unlisten(test->store, &own);
}

TEST(notice_listeners_are_few)
{
	static struct notice_listener many[NOTICE_LISTENERS_MAX + 1];

	fake_store_open(&fake, false);
	for (size_t i = 0; i < LEN(many); i++) {
		many[i] = (struct notice_listener){ "many", note, NULL };
		EXPECT_INT(notice_listen(&fake.store, &many[i]),
			i < NOTICE_LISTENERS_MAX ? 0 : -ERR_FULL);
	}
	notice_unlisten(&fake.store, &many[5]);
	EXPECT_INT(notice_listen(&fake.store, &many[NOTICE_LISTENERS_MAX]), 0);
	fake_store_close(&fake);
}

TEST(notices_are_fresh_for_five_seconds)
{
	uint64_t now = clock_now_ns();

	fake_store_open(&fake, false);
	EXPECT(notices_fresh(&fake.store));
	fake_store_close(&fake);

	fake_store_open(&fake, true);
	EXPECT(!notices_fresh(&fake.store));
	fake.store.notices->looked_ns = now;
	EXPECT(notices_fresh(&fake.store));
	EXPECT(notices_fresh_at(fake.store.notices, now + NOTICE_STALE_AFTER - 1));
	EXPECT(!notices_fresh_at(fake.store.notices, now + NOTICE_STALE_AFTER));
	EXPECT(notices_fresh_at(fake.store.notices, now - 1)); /* of a thread that is behind */
	fake_store_close(&fake);
}

#ifdef BULKHEAD_FAULTS
static int say_two(struct tx *tx, void *arg)
{
	(void)arg;
	(void)tx_notice(tx, S("a"), S("1"));
	return tx_notice(tx, S("a"), S("2")); /* fails when the first one did */
}

static void without_memory(size_t number, void *arg)
{
	(void)number, (void)arg;
	for (size_t nth = 1;; nth++) {
		struct arena arena;
		struct db db;
		bool struck;
		int r;

		arena_init(&arena, 64, MEGABYTE); /* a chunk for every allocation */
		db = handle(1, &arena);
		fault_arm(FAULT_MEMORY, nth);
		r = db_write(&db, say_two, NULL);
		struck = fault_struck(FAULT_MEMORY);
		fault_arm(FAULT_MEMORY, 0);
		arena_done(&arena);
		if (!struck) {
			EXPECT_INT(r, 0);
			expect_said("a:1:1 a:1:2 ");
			EXPECT(nth > 3);
			break;
		}
		EXPECT_INT(r, -ERR_NO_MEMORY);
		expect_said("");
	}
}

TEST(notices_without_memory)
{
	with_store(without_memory);
}
#endif
