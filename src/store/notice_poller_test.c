/* Notices between instances: two stores on one database, in one process. */
#include "store/notice_poller.h"

#include "base/fault.h"
#include "observe/clock.h"
#include "observe/metric.h"
#include "store/cache.h"
#include "store/fake_store_test.h"
#include "store/migration.h"
#include "store/pg_server_test.h"
#include "store/store_test.h"

#include <libpq-fe.h>
#include <stdio.h>

/* --- what a store hears ------------------------------------------------------------------- */

struct ear {
	struct notice_listener listener;
	_Atomic size_t heard, missed;
	pthread_mutex_t lock;
	char said[4000]; /* "tenant:key " each */
};

static void note(struct notice_listener *listener, const struct uuid *tenant, struct str key)
{
	struct ear *ear = CONTAINER_OF(listener, struct ear, listener);
	size_t len;

	if (key.len == 0) {
		ear->missed++;
		return;
	}
	(void)pthread_mutex_lock(&ear->lock);
	len = strlen(ear->said);
	(void)snprintf(ear->said + len, sizeof(ear->said) - len, "%u:%.*s ", tenant->bytes[15],
		STR_ARG(key));
	(void)pthread_mutex_unlock(&ear->lock);
	ear->heard++;
}

static void listen(struct store *store, struct ear *ear)
{
	*ear = (struct ear){ .listener = { "t", note, NULL } };
	(void)pthread_mutex_init(&ear->lock, NULL);
	REQUIRE(notice_listen(store, &ear->listener) == 0);
}

static void expect_said(struct ear *ear, const char *wanted)
{
	(void)pthread_mutex_lock(&ear->lock);
	EXPECT_STR(str_from_c(ear->said), str_from_c(wanted));
	ear->said[0] = 0;
	(void)pthread_mutex_unlock(&ear->lock);
}

/* Waits for a counter to get there; the milliseconds it took, or a failure. */
static uint64_t await(_Atomic size_t *count, size_t wanted, uint64_t limit_ns)
{
	uint64_t began = clock_now_ns();

	while (*count < wanted && clock_now_ns() - began < limit_ns)
		(void)fiber_sleep_until(sched_now() + MILLISECOND);
	test_note(*count >= wanted, __FILE__, __LINE__, "%zu of %zu in %llu ms", (size_t)*count,
		wanted, (unsigned long long)(limit_ns / MILLISECOND));
	return (clock_now_ns() - began) / MILLISECOND;
}

static bool becomes_fresh(const struct store *store, bool fresh, uint64_t limit_ns)
{
	uint64_t began = clock_now_ns();

	while (notices_fresh(store) != fresh && clock_now_ns() - began < limit_ns)
		(void)fiber_sleep_until(sched_now() + 5 * MILLISECOND);
	return notices_fresh(store) == fresh;
}

/* --- another instance --------------------------------------------------------------------- */

struct other {
	struct store *store;
	struct ear ear;
};

/* 0: as usual. Looks once, at least. */
static void open_other(const struct store_options *options, uint64_t look_every_ns,
	uint64_t retention_ns, struct other *ret)
{
	REQUIRE(store_open(options, &ret->store) == 0);
	if (look_every_ns)
		ret->store->notices->look_every_ns = look_every_ns;
	if (retention_ns)
		ret->store->notices->retention_ns = retention_ns;
	listen(ret->store, &ret->ear);
	REQUIRE(store_start(ret->store) == 0);
	REQUIRE(becomes_fresh(ret->store, true, 2 * SECOND));
	(void)await(&ret->ear.missed, 2, 2 * SECOND); /* before it looked, before it got hints */
}

static int say(struct tx *tx, void *arg)
{
	return tx_notice(tx, S("t"), str_from_c(arg));
}

static void write_notice(const struct db *db, const char *key)
{
	int r = db_write(db, say, (void *)key);

	test_note(r == 0, __FILE__, __LINE__, "db_write: %s", err_text());
}

/* SQL of a login that says which tenant it is. */
static const char as_tenant[] = "SELECT set_config('app.tenant', "
				"'01900000-0000-7000-8000-000000000001', true);";

static struct str app_url(void)
{
	return store_test_postgres(false);
}

static struct str count_rows(void)
{
	return str_from_c(
		pg_ask(app_url(), "SET ROLE app_system; SELECT count(*) FROM main.notice"));
}

static void on_postgres(void (*body)(struct store_test *))
{
	store_test_run(ENGINE_POSTGRES, NULL, NULL, body);
}

/* --- heard by others ------------------------------------------------------------------------ */

static int say_as_system(struct tx *tx, void *arg)
{
	struct uuid tenant = { { 0x01, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80, [15] = 7 } };

	(void)arg;
	REQUIRE(tx_notice(tx, S("t"), S("system")) == 0);
	REQUIRE(tx_enter(tx, &tenant) == 0);
	REQUIRE(tx_notice(tx, S("t"), S("tenant")) == 0);
	return tx_leave(tx);
}

static int say_and_fail(struct tx *tx, void *arg)
{
	(void)arg;
	REQUIRE(tx_notice(tx, S("t"), S("never")) == 0);
	return fail(ERR_CONFLICT, "no");
}

static void heard_once(struct store_test *test)
{
	struct db one = store_test_tenant(test, 1), two = store_test_tenant(test, 2);
	struct db system = db_of_system(test->store, &test->arena);
	struct other other;
	struct ear own;

	listen(test->store, &own);
	open_other(&test->options, 0, 0, &other);
	write_notice(&one, "first");
	expect_said(&own, "1:first "); /* at once */
	EXPECT(await(&other.ear.heard, 1, 2 * SECOND) < 1000);
	write_notice(&two, "second");
	EXPECT_INT(db_write(&one, say_and_fail, NULL), -ERR_CONFLICT);
	EXPECT(await(&other.ear.heard, 2, 2 * SECOND) < 1000);
	test_note(db_write(&system, say_as_system, NULL) == 0, __FILE__, __LINE__, "db_write: %s",
		err_text());
	EXPECT(await(&other.ear.heard, 4, 2 * SECOND) < 1000);

	/* Once, whatever else there is to see. */
	(void)fiber_sleep_until(sched_now() + 1200 * MILLISECOND);
	expect_said(&other.ear, "1:first 2:second 1:system 7:tenant ");
	expect_said(&own, "2:second 1:system 7:tenant ");
	EXPECT_INT(other.ear.missed, 2);
	EXPECT_STR(count_rows(), S("4"));

	/* And the other way round. */
	one.store = other.store;
	write_notice(&one, "back");
	expect_said(&other.ear, "1:back ");
	EXPECT(await(&own.heard, 5, 2 * SECOND) < 1000);
	expect_said(&own, "1:back ");
	store_close(other.store);
	notice_unlisten(test->store, &own.listener);
}

TEST(notices_reach_other_instances)
{
	on_postgres(heard_once);
}

/* --- late commits --------------------------------------------------------- */

/* SQL on a thread of its own. */
struct late {
	pthread_t thread;
	char url[PG_URL_MAX];
	char sql[1000];
};

static void *run_late(void *arg)
{
	struct late *late = arg;
	PGconn *pg = PQconnectdb(late->url);
	PGresult *result = PQexec(pg, late->sql);

	test_note(PQresultStatus(result) == PGRES_COMMAND_OK, __FILE__, __LINE__, "%s: %s",
		late->sql, PQerrorMessage(pg));
	PQclear(result);
	PQfinish(pg);
	return NULL;
}

static void start_late(struct late *late, struct str url)
{
	(void)snprintf(late->url, sizeof(late->url), "%.*s", STR_ARG(url));
	REQUIRE(pthread_create(&late->thread, NULL, run_late, late) == 0);
}

/* A transaction that leaves a notice and takes its time. */
static void begin_late(struct late *late, const char *key, double seconds)
{
	(void)snprintf(late->sql, sizeof(late->sql),
		"BEGIN;%s INSERT INTO main.notice (tenant_id, topic, key, origin, created_us) "
		"VALUES ('01900000-0000-7000-8000-000000000001', 't', '%s', 1, 1);"
		"SELECT pg_sleep(%f); COMMIT",
		as_tenant, key, seconds);
	start_late(late, app_url());
}

static void heard_late(struct store_test *test)
{
	struct db db = store_test_tenant(test, 2);
	struct late slow, slower;
	struct other other;

	open_other(&test->options, 0, 0, &other);
	begin_late(&slower, "slower", 2);
	begin_late(&slow, "slow", 1);
	(void)fiber_sleep_until(sched_now() + 200 * MILLISECOND);
	for (size_t i = 1; i <= 5; i++) { /* these take later positions and are seen earlier */
		write_notice(&db, "fast");
		(void)await(&other.ear.heard, i, SECOND);
	}
	expect_said(&other.ear, "2:fast 2:fast 2:fast 2:fast 2:fast ");
	(void)await(&other.ear.heard, 6, 3 * SECOND);
	expect_said(&other.ear, "1:slow ");
	(void)await(&other.ear.heard, 7, 3 * SECOND);
	expect_said(&other.ear, "1:slower ");
	(void)pthread_join(slow.thread, NULL);
	(void)pthread_join(slower.thread, NULL);
	(void)fiber_sleep_until(sched_now() + 600 * MILLISECOND);
	expect_said(&other.ear, "");
	EXPECT_INT(other.ear.missed, 2);
	store_close(other.store);
}

TEST(notices_of_late_commits_are_heard)
{
	on_postgres(heard_late);
}

/* --- hints ---------------------------------------------------------------- */

static size_t count_notifies(PGconn *listening)
{
	PGnotify *notify;
	size_t count = 0;

	(void)PQconsumeInput(listening);
	while ((notify = PQnotifies(listening))) {
		PQfreemem(notify);
		count++;
	}
	return count;
}

static void hinted(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1);
	uint64_t began, took_ms;
	struct other other;
	PGconn *listening;
	size_t count;

	open_other(&test->options, HOUR, 0, &other); /* never looks by itself */
	listening = PQconnectdb(app_url().at);
	PQclear(PQexec(listening, "LISTEN bulkhead_notice"));
	(void)fiber_sleep_until(sched_now() + 500 * MILLISECOND); /* the first one's stands, too */

	write_notice(&db, "hinted");
	EXPECT(await(&other.ear.heard, 1, 2 * SECOND) < 500);
	(void)fiber_sleep_until(sched_now() + 20 * MILLISECOND);
	EXPECT_INT(count_notifies(listening), 1);

	/* Many commits, few hints: one a millisecond. */
	began = clock_now_ns();
	for (size_t i = 0; i < 300; i++)
		write_notice(&db, "many");
	took_ms = (clock_now_ns() - began) / MILLISECOND;
	(void)await(&other.ear.heard, 301, 2 * SECOND);
	(void)fiber_sleep_until(sched_now() + 50 * MILLISECOND);
	count = count_notifies(listening);
	EXPECT(count >= 1 && count <= took_ms + 2);
	EXPECT_INT(other.ear.heard, 301);
	EXPECT_INT(other.ear.missed, 2);
	PQfinish(listening);
	store_close(other.store);
}

TEST(notices_come_sooner_by_hints)
{
	on_postgres(hinted);
}

/* Looking goes on, and hints come again, when their connection was lost. */
static void hints_lost(struct store_test *test)
{
	static const char kill[] =
		"SET ROLE app; SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
		"WHERE query LIKE '%bulkhead_notice%' AND pid <> pg_backend_pid() "
		"AND datname = current_database()";
	struct db db = store_test_tenant(test, 1);
	struct other other;

	open_other(&test->options, 0, 0, &other);
	(void)fiber_sleep_until(sched_now() + 300 * MILLISECOND);
	EXPECT_STR(str_from_c(pg_ask(app_url(), kill)), S("2"));
	(void)await(&other.ear.missed, 3, SECOND); /* it may have been a crash */
	write_notice(&db, "lost");
	EXPECT(await(&other.ear.heard, 1, 2 * SECOND) < 1000);
	EXPECT(notices_fresh(other.store));
	store_close(other.store);
}

/* --- words ---------------------------------------------------------------------------------- */

/* Says it until it was heard: who was not heard of yet is told nothing. */
static void say_until_heard(struct store_test *test, struct other *other, const char *key)
{
	uint64_t until = clock_now_ns() + 10 * SECOND;
	size_t before = other->ear.heard;

	while (other->ear.heard == before && clock_now_ns() < until) {
		notice_hint(test->store, S("t"), str_from_c(key));
		(void)fiber_sleep_until(clock_now_ns() + 20 * MILLISECOND);
	}
	EXPECT(other->ear.heard > before);
}

/* As often as it was said. */
static void expect_first(struct ear *ear)
{
	(void)pthread_mutex_lock(&ear->lock);
	EXPECT(str_starts(str_from_c(ear->said), S("0:first ")));
	ear->said[0] = 0;
	(void)pthread_mutex_unlock(&ear->lock);
}

static void say_words(struct store_test *test)
{
	struct other other;
	struct ear own;
	uint64_t began, took;
	size_t before;

	listen(test->store, &own);
	open_other(&test->options, 0, 0, &other);
	say_until_heard(test, &other, "first");
	expect_first(&other.ear);

	before = other.ear.heard;
	began = clock_now_ns();
	notice_hint(test->store, S("t"), S("second"));
	notice_hint(test->store, S("t"), S("second")); /* is one word */
	(void)await(&other.ear.heard, before + 1, 5 * SECOND);
	took = clock_now_ns() - began;
	test_note(took < 400 * MILLISECOND, __FILE__, __LINE__, "a word took %llu ms",
		(unsigned long long)(took / MILLISECOND));
	expect_said(&other.ear, "0:second ");
	EXPECT_STR(count_rows(), S("0"));
	EXPECT_INT(own.heard, 0);

	before = other.ear.missed;
	for (int i = 0; i < 1000; i++) { /* more than a NOTIFY holds: then it may be anything */
		char key[201];

		(void)snprintf(key, sizeof(key), "%0200d", i);
		notice_hint(test->store, S("t"), str_from_c(key));
	}
	(void)await(&other.ear.missed, before + 1, 5 * SECOND);
	notice_unlisten(test->store, &own.listener);
	store_close(other.store);
}

TEST(words_reach_other_instances_without_a_row)
{
	on_postgres(say_words);
}

/* Alone, or on SQLite, nothing is said. */
static void say_to_nobody(struct store_test *test)
{
	struct ear own;

	listen(test->store, &own);
	notice_hint(test->store, S("t"), S("nobody"));
	EXPECT_INT(own.heard, 0);
	notice_unlisten(test->store, &own.listener);
}

TEST(words_need_somebody_else)
{
	store_test_run(ENGINE_SQLITE, NULL, NULL, say_to_nobody);
	on_postgres(say_to_nobody);
}

TEST(notices_come_without_hints)
{
	on_postgres(hints_lost);
}

/* --- missed --------------------------------------------------------------- */

static void flood(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1);
	struct other other;
	char sql[500];

	open_other(&test->options, 0, 0, &other);
	(void)snprintf(sql, sizeof(sql),
		"BEGIN;%s INSERT INTO main.notice (tenant_id, topic, key, origin, created_us) "
		"SELECT '01900000-0000-7000-8000-000000000001', 't', 'x', 1, 1 "
		"FROM generate_series(1, 6000); COMMIT",
		as_tenant);
	pg_run(app_url(), sql);
	(void)await(&other.ear.missed, 3, 2 * SECOND);
	EXPECT_INT(other.ear.heard, 0);
	write_notice(&db, "after");
	(void)await(&other.ear.heard, 1, 2 * SECOND);
	expect_said(&other.ear, "1:after ");
	EXPECT_INT(other.ear.missed, 3);
	store_close(other.store);
}

TEST(notices_that_are_too_many_are_missed)
{
	on_postgres(flood);
}

/* Rows go when they are old. Who did not look for too long is told. */
static void cleaned(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1);
	struct other other, sleepy;
	size_t rounds = 0;

	open_other(&test->options, 50 * MILLISECOND, 300 * MILLISECOND, &other);
	open_other(&test->options, 5500 * MILLISECOND, 0, &sleepy);
	for (size_t i = 0; i < 20; i++)
		write_notice(&db, "old");
	(void)await(&other.ear.heard, 20, 2 * SECOND);
	/* Not while a transaction of another test goes on, which the server's snapshots show, too.
	 */
	while (!str_eq(count_rows(), S("0")) && rounds++ < 400)
		(void)fiber_sleep_until(sched_now() + 50 * MILLISECOND);
	EXPECT(rounds < 400);
	EXPECT_INT(other.ear.missed, 2);
	(void)await(&sleepy.ear.missed, 3, 12 * SECOND);
	store_close(other.store);
	store_close(sleepy.store);
}

TEST_SLOW(notices_are_deleted_when_they_are_old, 60)
{
	on_postgres(cleaned);
}

/* --- out of reach --------------------------------------------------------- */

static int load_number(const struct db *db, void *arg, struct cache_value *ret)
{
	_Atomic size_t *loads = arg;

	ret->bytes = arena_printf(db->arena, "%zu", ++*loads);
	return ret->bytes.at ? 0 : -ERR_NO_MEMORY;
}

static size_t loads_for(struct cache *cache, const struct db *db, _Atomic size_t *loads)
{
	size_t before = *loads;
	struct str value;

	EXPECT_INT(cache_get_or_load(cache, db, S("key"), load_number, loads, &value), 0);
	return *loads - before;
}

/* Looks take longer than they may: what is kept is not given any more, until they work again. */
static void out_of_reach(struct store_test *test)
{
	static const struct cache_options options = {
		.name = "reach", .memory = MEGABYTE, .ttl_ns = HOUR
	};
	struct late lock = { .sql = "BEGIN; LOCK TABLE main.notice IN ACCESS EXCLUSIVE MODE;"
				    "SELECT pg_sleep(8); COMMIT" };
	_Atomic size_t loads = 0;
	struct other other;
	struct cache *cache;
	struct db db;

	open_other(&test->options, 0, 0, &other);
	REQUIRE(cache_open(other.store, &options, &cache) == 0);
	db = store_test_tenant(test, 1);
	db.store = other.store;
	EXPECT_INT(loads_for(cache, &db, &loads), 1);
	EXPECT_INT(loads_for(cache, &db, &loads), 0);

	start_late(&lock, store_test_postgres(true));
	(void)fiber_sleep_until(sched_now() + 500 * MILLISECOND);
	pg_run(app_url(), "SELECT pg_current_xact_id()"); /* there may be something to see */
	(void)fiber_sleep_until(sched_now() + 2500 * MILLISECOND);
	EXPECT_INT(loads_for(cache, &db, &loads), 0);
	EXPECT(becomes_fresh(other.store, false, 4 * SECOND));
	EXPECT_INT(loads_for(cache, &db, &loads), 1);
	EXPECT_INT(loads_for(cache, &db, &loads), 1);
	(void)pthread_join(lock.thread, NULL);
	EXPECT(becomes_fresh(other.store, true, 5 * SECOND));
	EXPECT_INT(loads_for(cache, &db, &loads), 1); /* all was forgotten */
	EXPECT_INT(loads_for(cache, &db, &loads), 0);
	EXPECT_INT(other.ear.missed, 3);
	cache_close(cache);
	store_close(other.store);
}

TEST_SLOW(notices_out_of_reach, 60)
{
	on_postgres(out_of_reach);
}

/* --- a server that ends --------------------------------------------------- */

static void server_ends(size_t number, void *arg)
{
	struct pg_server *server = arg;
	char app[PG_URL_MAX], owner[PG_URL_MAX];
	struct uuid tenant = { { 1 } };
	struct migration_source source = { "store", store_migrations };
	struct migration_options how = { 0 };
	struct store *store;
	struct arena arena;
	struct other other;
	size_t missed;
	struct db db;

	(void)number;
	pg_server_database(server, "ends");
	how.store.url = pg_server_url(server, "app", "ends", "", app);
	how.owner_url = pg_server_url(server, "owner", "ends", "", owner);
	REQUIRE(migrate_up(&how, &source, 1) == 0);
	open_other(&how.store, 0, 0, &other);
	REQUIRE(store_open(&how.store, &store) == 0 && store_start(store) == 0);
	arena_init(&arena, 4096, MEGABYTE);
	db = db_of(store, &tenant, &arena);
	write_notice(&db, "before");
	(void)await(&other.ear.heard, 1, SECOND);

	pg_server_stop(server, "QUIT");
	EXPECT(notices_fresh(other.store));
	EXPECT(becomes_fresh(other.store, false, 7 * SECOND));
	EXPECT(db_write(&db, say, "lost") < 0);
	pg_server_restart(server, NULL);
	EXPECT(becomes_fresh(other.store, true, 20 * SECOND));
	EXPECT(becomes_fresh(store, true, 20 * SECOND));
	missed = other.ear.missed;
	write_notice(&db, "after");
	for (size_t i = 0; i < 1000 && other.ear.heard < 2 && other.ear.missed == missed; i++)
		(void)fiber_sleep_until(sched_now() + MILLISECOND);
	/* By itself, or with all that may have been missed: the hints come back some time. */
	EXPECT(other.ear.heard == 2 || other.ear.missed > missed);
	EXPECT(other.ear.missed >= 3);
	store_close(other.store);
	store_close(store);
	arena_done(&arena);
}

/* Stale after five seconds, fresh again when it can be; the pool's pauses are up to ten seconds. */
TEST_SLOW(notices_of_a_server_that_ends, 90)
{
	struct pg_server server;

	pg_server_start(&server, NULL);
	run_fibers(1, 1, 0, server_ends, &server);
	pg_server_remove(&server);
}

/* --- without memory ------------------------------------------------------- */

#ifdef BULKHEAD_FAULTS
static void start_without_memory(struct store_test *test)
{
	for (size_t nth = 1;; nth++) {
		struct store *store;
		bool struck;
		int r;

		REQUIRE(store_open(&test->options, &store) == 0);
		fault_arm(FAULT_MEMORY, nth);
		r = store_start(store);
		struck = fault_struck(FAULT_MEMORY);
		fault_arm(FAULT_MEMORY, 0);
		EXPECT(r == 0 || (struck && r == -ERR_NO_MEMORY));
		store_close(store);
		if (!struck) {
			EXPECT(nth > 3);
			break;
		}
	}
}

TEST(notices_start_without_memory)
{
	on_postgres(start_without_memory);
}
#endif
