/* Transactions in each other's way: nothing is lost, nothing is seen that is not another's end. */
#include "store/pg_fixture_test.h"

#include "base/fault.h"

#include <stdio.h>

/* Somebody else, who is past row-level security, at a moment of our choice. */
static struct str intruder_url(void)
{
	static char url[PG_URL_MAX];
	char database[64];

	(void)snprintf(database, sizeof(database), "%s",
		pg_ask(store_test_postgres(true), "SELECT current_database()"));
	return pg_server_url(pg_server_shared(), "postgres", database, "", url);
}

static void intrude(const char *sql)
{
	nopark_end(); /* the test blocks here on purpose */
	pg_run(intruder_url(), sql);
	nopark_begin();
}

struct pair {
	struct thing a, b;
	unsigned runs;
};

static struct pair make_pair(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1);
	struct pair pair = {
		.a = { .id = thing_id(&test->arena), .name = S("a"), .amount = 50 },
		.b = { .id = thing_id(&test->arena), .name = S("b"), .amount = 50 },
	};

	EXPECT_INT(db_exec(&db, &thing_add, &pair.a), 0);
	EXPECT_INT(db_exec(&db, &thing_add, &pair.b), 0);
	return pair;
}

/* --- lost update -------------------------------------------------------------------------- */

static int add_ten(struct tx *tx, void *arg)
{
	struct pair *pair = arg;
	struct thing thing;
	int r = tx_one(tx, &thing_get, &pair->a, &thing);

	if (r < 0)
		return r;
	if (pair->runs++ == 0)
		intrude("UPDATE main.thing SET amount = amount + 100 WHERE name = 'a'");
	thing.amount += 10;
	return tx_exec(tx, &thing_set, &thing);
}

static void no_update_is_lost(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1);
	struct pair pair = make_pair(test);
	struct thing thing;

	EXPECT_INT(db_write(&db, add_ten, &pair), 0);
	EXPECT_INT(pair.runs, 2); /* it was run again */
	EXPECT_INT(db_one(&db, &thing_get, &pair.a, &thing), 0);
	EXPECT_INT(thing.amount, 160);
}

TEST(postgres_loses_no_update)
{
	store_test_run(ENGINE_POSTGRES, thing_modules, NULL, no_update_is_lost);
}

/* --- write skew ----------------------------------------------------------------------------- */

/* Takes 60 out of one, which both together must have: each alone may. */
static int take_sixty(struct tx *tx, void *arg)
{
	struct pair *pair = arg;
	struct thing a, b;

	if (tx_one(tx, &thing_get, &pair->a, &a) < 0 || tx_one(tx, &thing_get, &pair->b, &b) < 0)
		return -(int)err_last()->code;
	if (pair->runs++ == 0)
		intrude("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT sum(amount) FROM main.thing;"
			"UPDATE main.thing SET amount = amount - 40 WHERE name = 'b'; COMMIT");
	if (a.amount + b.amount < 70)
		return fail(ERR_PRECONDITION, "there is too little");
	a.amount -= 40;
	return tx_exec(tx, &thing_set, &a);
}

static void no_write_is_skewed(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1);
	struct pair pair = make_pair(test);
	struct total total;

	EXPECT_INT(db_write(&db, take_sixty, &pair), -ERR_PRECONDITION);
	EXPECT_INT(pair.runs, 2);
	EXPECT_INT(db_one(&db, &thing_total, NULL, &total), 0);
	EXPECT_INT(total.sum, 60);
}

TEST(postgres_lets_no_write_skew_pass)
{
	store_test_run(ENGINE_POSTGRES, thing_modules, NULL, no_write_is_skewed);
}

/* --- forever -------------------------------------------------------------- */

static int always_late(struct tx *tx, void *arg)
{
	struct pair *pair = arg;
	struct thing thing;
	int r = tx_one(tx, &thing_get, &pair->a, &thing);

	if (r < 0)
		return r;
	pair->runs++;
	intrude("UPDATE main.thing SET amount = amount + 1 WHERE name = 'a'");
	return tx_exec(tx, &thing_set, &thing);
}

static void conflicts_end(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1);
	struct pair pair = make_pair(test);

	EXPECT_INT(db_write(&db, always_late, &pair), -ERR_UNAVAILABLE);
	EXPECT_INT(pair.runs, TX_ATTEMPTS);
}

TEST(postgres_gives_up_after_five_repetitions)
{
	store_test_run(ENGINE_POSTGRES, thing_modules, NULL, conflicts_end);
}

/* --- many at once --------------------------------------------------------- */

static int add_one_each(struct tx *tx, void *arg)
{
	struct thing thing;
	int r = tx_one(tx, &thing_get, arg, &thing);

	if (r < 0)
		return r;
	thing.amount++;
	return tx_exec(tx, &thing_set, &thing);
}

struct counter {
	struct store_test *test;
	struct thing *thing;
	size_t ok, refused;
};

static int count_up(void *arg)
{
	struct counter *counter = arg;
	struct arena arena;

	arena_init(&arena, 4096, MEGABYTE);
	for (int i = 0; i < 10; i++) {
		struct db db = store_test_tenant(counter->test, 1);
		int r;

		db.arena = &arena;
		r = db_write(&db, add_one_each, counter->thing);
		if (r == 0)
			counter->ok++;
		else if (EXPECT_INT(r, -ERR_UNAVAILABLE))
			counter->refused++;
	}
	arena_done(&arena);
	return 0;
}

static void all_are_counted(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1);
	struct thing thing = { .id = thing_id(&test->arena), .name = S("a") };
	struct counter counter = { test, &thing, 0, 0 };
	struct scope scope;

	EXPECT_INT(db_exec(&db, &thing_add, &thing), 0);
	scope_open(&scope, TIME_NEVER);
	for (int i = 0; i < 8; i++)
		EXPECT_INT(scope_spawn(&scope, count_up, &counter), 0);
	EXPECT_INT(scope_close(&scope), 0);
	EXPECT_INT(counter.ok + counter.refused, 80);
	EXPECT(counter.ok > 0);
	EXPECT_INT(db_one(&db, &thing_get, &thing, &thing), 0);
	EXPECT_INT(thing.amount, counter.ok);
}

STORE_TEST_WITH(updates_by_many_are_all_counted, thing_modules, NULL)
{
	all_are_counted(test);
}

/* --- one connection for two tenants --------------------------------------- */

static int fail_in_the_middle(struct tx *tx, void *arg)
{
	struct thing *thing = arg;
	size_t changed;

	(void)tx_exec(tx, &thing_add, thing);
	return tx_change(tx, &thing_add, thing, &changed);
}

static void nothing_of_the_former_is_left(struct store_test *test)
{
	struct db one = store_test_tenant(test, 1), two = store_test_tenant(test, 2);
	struct db system = db_of_system(test->store, &test->arena);
	struct pair pair = make_pair(test);
	struct total total;

	for (int i = 0; i < 5; i++) {
		EXPECT_INT(db_write(&one, fail_in_the_middle, &pair.a), -ERR_CONFLICT);
		EXPECT_INT(db_one(&two, &thing_total, NULL, &total), 0);
		EXPECT_INT(total.count, 0);
		EXPECT_INT(db_exec(&two, &thing_add, &pair.a), 0);
		EXPECT_INT(db_one(&one, &thing_total, NULL, &total), 0);
		EXPECT_INT(total.count, 2);
		EXPECT_INT(db_one(&system, &thing_total_of_all, NULL, &total), 0);
		EXPECT_INT(total.count, 3);
		EXPECT_INT(db_exec(&two, &thing_drop, &pair.a), 0);
	}
}

TEST(postgres_connections_keep_nothing_of_a_tenant)
{
	static const struct store_options options = { .pool_max = 2 };

	store_test_run(ENGINE_POSTGRES, thing_modules, &options, nothing_of_the_former_is_left);
}

TEST(postgres_without_a_tenant_shows_nothing)
{
	static const char *const queries[] = { "SELECT count(*) FROM main.thing",
		"INSERT INTO main.thing VALUES (gen_random_uuid(), gen_random_uuid(), 'x', 1)",
		"DELETE FROM main.thing", "UPDATE main.thing SET amount = 5" };
	struct pg_bench bench;
	struct store_options options = { .url = store_test_postgres(false) };
	PGconn *pg;

	pg_bench_open(&bench, &options, store_test_postgres(true));
	pg_run(intruder_url(),
		"INSERT INTO main.thing VALUES (gen_random_uuid(), gen_random_uuid(), 'y', 1)");
	pg = PQconnectdb(store_test_postgres(false).at);
	for (int round = 0; round < 2; round++) { /* never set, and no longer set */
		for (size_t i = 0; i < LEN(queries); i++) {
			PGresult *result = PQexec(pg, queries[i]);

			EXPECT_INT(PQresultStatus(result), PGRES_FATAL_ERROR);
			PQclear(result);
		}
		PQclear(PQexec(pg, "BEGIN; SELECT set_config('app.tenant', "
				   "'01900000-0000-7000-8000-000000000001', true); COMMIT"));
	}
	PQfinish(pg);
	pg_bench_close(&bench);
}

/* --- torture -------------------------------------------------------------- */

#ifdef BULKHEAD_FAULTS

static int add_and_look(struct tx *tx, void *arg)
{
	struct thing thing;
	int r = tx_exec(tx, &thing_add, arg);

	return r < 0 ? r : tx_one(tx, &thing_get, arg, &thing);
}

/* Each allocation and each call to the system fails in turn: what was acknowledged is there, what
 * was not is not (or nobody knows, and says so), and the next transaction is as good as ever. */
static void torture(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1);
	size_t ok = 0, unknown = 0, tried = 0;
	struct total total;

	for (enum fault_kind kind = 0; kind < FAULT_KINDS; kind++) {
		bool struck = true;

		for (size_t nth = 1; struck; nth++) {
			struct thing thing = { .id = thing_id(&test->arena), .amount = 1 };
			int r;

			thing.name = thing.id;
			tried++;
			fault_arm(kind, nth);
			r = nth % 2 ? db_write(&db, add_and_look, &thing)
				    : db_exec(&db, &thing_add, &thing);
			struck = fault_struck(kind);
			fault_arm(kind, 0);
			ok += r == 0;
			unknown += r < 0 && strstr(err_text(), "is unknown") != NULL;
			test_note(r == 0 || r == -ERR_UNAVAILABLE || r == -ERR_NO_MEMORY ||
					  r == -ERR_IO,
				__FILE__, __LINE__, "%d: %s", r, err_text());
			(void)fiber_sleep_until(sched_now() + 150 * MILLISECOND); /* the pause */
			EXPECT_INT(db_one(&db, &thing_total, NULL, &total), 0);
			EXPECT(total.count >= (int64_t)ok &&
				total.count <= (int64_t)(ok + unknown));
		}
	}
	EXPECT(tried > 6);
}

TEST(postgres_under_torture)
{
	static const struct store_options options = { .pool_max = 2 };

	store_test_run(ENGINE_POSTGRES, thing_modules, &options, torture);
}

TEST(postgres_under_torture_while_connecting)
{
	static const struct store_options options = { .pool_max = 2, .connection_age_ns = 1 };

	store_test_run(ENGINE_POSTGRES, thing_modules, &options, torture);
}

#endif
