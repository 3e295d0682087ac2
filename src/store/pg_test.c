/* Transactions on a real PostgreSQL: what they do, and in how many round trips. */
#include "store/pg_fixture_test.h"

#include <stdio.h>

#define PG_TEST(name_)                                                                             \
	static void body_##name_(struct store_test *test);                                         \
	TEST(name_)                                                                                \
	{                                                                                          \
		store_test_run(ENGINE_POSTGRES, thing_modules, NULL, body_##name_);                \
	}                                                                                          \
	static void body_##name_(struct store_test *test)

static struct thing make(struct arena *arena, const char *name, int64_t amount)
{
	return (struct thing){ .id = thing_id(arena), .name = str_from_c(name), .amount = amount };
}

STORE_TEST_WITH(things_are_kept, thing_modules, NULL)
{
	struct db db = store_test_tenant(test, 1), other = store_test_tenant(test, 2);
	struct thing apple = make(&test->arena, "apple", 7), read = { 0 }, *all;
	size_t count;

	EXPECT_INT(db_exec(&db, &thing_add, &apple), 0);
	EXPECT_INT(db_one(&db, &thing_get, &apple, &read), 0);
	EXPECT_STR(read.name, S("apple"));
	EXPECT_STR(read.id, apple.id);
	EXPECT_INT(read.amount, 7);
	EXPECT(read.parent.set && read.parent.null);
	EXPECT_INT(db_one(&other, &thing_get, &apple, &read), -ERR_NOT_FOUND);
	EXPECT_INT(db_all(&db, &thing_list, NULL, &all, &count), 0);
	EXPECT_INT(count, 1);
	apple.amount = 8;
	EXPECT_INT(db_exec(&db, &thing_set, &apple), 0);
	EXPECT_INT(db_exec(&other, &thing_set, &apple), -ERR_NOT_FOUND);
	EXPECT_INT(db_one(&db, &thing_get, &apple, &read), 0);
	EXPECT_INT(read.amount, 8);
}

/* --- round trips ------------------------------------------------------------------------ */

static int add_three(struct tx *tx, void *arg)
{
	struct thing *things = arg;

	for (int i = 0; i < 3; i++) {
		int r = tx_exec(tx, &thing_add, &things[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

static int get_and_set(struct tx *tx, void *arg)
{
	struct thing thing;
	int r = tx_one(tx, &thing_get, arg, &thing);

	if (r < 0)
		return r;
	thing.amount++;
	return tx_exec(tx, &thing_set, &thing);
}

static int get_twice(struct tx *tx, void *arg)
{
	struct thing thing;
	int r = tx_one(tx, &thing_get, arg, &thing);

	return r < 0 ? r : tx_one(tx, &thing_get, arg, &thing);
}

static int nothing(struct tx *tx, void *arg)
{
	(void)tx, (void)arg;
	return 0;
}

PG_TEST(postgres_takes_as_few_round_trips_as_can_be)
{
	struct db db = store_test_tenant(test, 1);
	struct thing things[3] = { make(&test->arena, "a", 1), make(&test->arena, "b", 2),
		make(&test->arena, "c", 3) };
	struct thing apple = make(&test->arena, "apple", 7), read;
	const struct tx_options soft = { .durability = TX_SOFT };
	uint64_t before;

#define TAKES(trips_, call_)                                                                       \
	do {                                                                                       \
		before = pg_round_trips_here();                                                    \
		EXPECT_INT(call_, 0);                                                              \
		EXPECT_INT(pg_round_trips_here() - before, trips_);                                \
	} while (0)

	for (int round = 0; round < 2; round++) { /* first use prepares, in the same flush */
		TAKES(1, db_exec(&db, &thing_add, &apple));
		TAKES(1, db_one(&db, &thing_get, &apple, &read));
		TAKES(1, db_exec(&db, &thing_set, &apple));
		TAKES(1, db_write(&db, add_three, things));
		TAKES(1, db_write_with(&db, &soft, add_three,
				 (struct thing[3]){ make(&test->arena, "d", 1),
					 make(&test->arena, "e", 2), make(&test->arena, "f", 3) }));
		TAKES(2, db_write(&db, get_and_set, &apple));
		TAKES(2, db_read(&db, get_twice, &apple));
		TAKES(0, db_write(&db, nothing, NULL));
		pg_run(store_test_postgres(true),
			"ALTER TABLE main.thing NO FORCE ROW LEVEL SECURITY;"
			"DELETE FROM main.thing;"
			"ALTER TABLE main.thing FORCE ROW LEVEL SECURITY");
	}
	/* One whose answer could be a reason to roll back waits for it. */
	EXPECT_INT(db_exec(&db, &thing_add, &apple), 0);
	apple.amount = -1;
	TAKES(2, db_exec(&db, &thing_rename, &apple));
}

/* --- plans --------------------------------------------------------------------------------- */

static int add_planned(struct tx *tx, void *arg)
{
	const struct thing *things = arg;
	int r = tx_exec(tx, &thing_add_planned, &things[0]);

	return r < 0 ? r : tx_exec(tx, &thing_add_planned, &things[1]);
}

static void expect_plans(struct db *db, const struct thing *thing, const char *mode)
{
	struct thing read;

	EXPECT_INT(db_one(db, &thing_get, thing, &read), 0);
	EXPECT_STR(read.name, str_from_c(mode));
}

/* The mode in which a row was written is its name. */
PG_TEST(postgres_plans_once_what_says_so)
{
	struct db db = store_test_tenant(test, 1);
	struct thing things[4];
	uint64_t before;

	pg_run(store_test_postgres(true),
		"ALTER TABLE main.thing DROP CONSTRAINT thing_tenant_id_name_key;"
		"ALTER TABLE main.thing ALTER name SET DEFAULT current_setting('plan_cache_mode')");
	for (size_t i = 0; i < LEN(things); i++)
		things[i] = make(&test->arena, "", 1);
	before = pg_round_trips_here();
	EXPECT_INT(db_exec(&db, &thing_add_planned, &things[0]), 0);
	EXPECT_INT(db_write(&db, add_planned, &things[1]), 0);
	EXPECT_INT(db_exec(&db, &thing_add_bare, &things[3]), 0);
	EXPECT_INT(pg_round_trips_here() - before, 3);
	for (size_t i = 0; i < 3; i++)
		expect_plans(&db, &things[i], "force_generic_plan");
	expect_plans(&db, &things[3], "auto");
}

/* --- what may go wrong -------------------------------------------------------------------- */

static int set_two(struct tx *tx, void *arg)
{
	int r = tx_exec(tx, &thing_set, arg);

	return r < 0 ? r : tx_exec(tx, &thing_set, arg);
}

/* The first answer ends the transaction; the second one is nobody's, least of all the next one's.
 */
PG_TEST(postgres_hands_no_answer_to_the_next_transaction)
{
	struct db db = store_test_tenant(test, 1);
	struct thing ghost = make(&test->arena, "ghost", 1), apple = make(&test->arena, "apple", 7);
	struct thing read;

	EXPECT_INT(db_write(&db, set_two, &ghost), -ERR_NOT_FOUND);
	EXPECT_INT(db_exec(&db, &thing_add, &apple), 0);
	EXPECT_INT(db_write(&db, set_two, &ghost), -ERR_NOT_FOUND);
	EXPECT_INT(db_one(&db, &thing_get, &apple, &read), 0);
	EXPECT_INT(db_write(&db, set_two, &ghost), -ERR_NOT_FOUND);
	EXPECT_INT(db_write(&db, set_two, &apple), 0);
}

PG_TEST(postgres_names_the_field_of_a_constraint)
{
	struct db db = store_test_tenant(test, 1);
	struct thing apple = make(&test->arena, "apple", 7), pear = make(&test->arena, "apple", 1);

	EXPECT_INT(db_exec(&db, &thing_add, &apple), 0);
	EXPECT_INT(db_exec(&db, &thing_add, &pear), -ERR_CONFLICT);
	EXPECT_STR(str_from_c(err_last()->field), S("name"));
	EXPECT_STR(str_from_c(err_last()->rule), S("unique"));

	pear.name = S("pear");
	pear.amount = -1;
	EXPECT_INT(db_exec(&db, &thing_add, &pear), -ERR_INVALID);
	EXPECT_STR(str_from_c(err_last()->field), S("amount"));
	EXPECT_STR(str_from_c(err_last()->rule), S("check"));

	pear.amount = 1;
	pear.parent = (struct opt_str){ true, false, thing_id(&test->arena) };
	EXPECT_INT(db_exec(&db, &thing_add, &pear), -ERR_INVALID);
	EXPECT_STR(str_from_c(err_last()->field), S("parent"));
	EXPECT_STR(str_from_c(err_last()->rule), S("unknown_reference"));

	pear.parent.value = apple.id;
	EXPECT_INT(db_exec(&db, &thing_add, &pear), 0);
	EXPECT_INT(db_exec(&db, &thing_drop, &apple), -ERR_CONFLICT);
	EXPECT_STR(str_from_c(err_last()->rule), S("still_referenced"));

	/* The connection is as good as before. */
	EXPECT_INT(db_one(&db, &thing_get, &apple, &pear), 0);
}

static int add_then_fail(struct tx *tx, void *arg)
{
	int r = tx_exec(tx, &thing_add, arg);

	return r < 0 ? r : fail(ERR_PRECONDITION, "no");
}

static int add_twice(struct tx *tx, void *arg)
{
	int r = tx_exec(tx, &thing_add, arg);

	return r < 0 ? r : tx_exec(tx, &thing_add, arg); /* told by the commit */
}

static int ignore_errors(struct tx *tx, void *arg)
{
	size_t changed;

	(void)tx_exec(tx, &thing_add, arg);
	EXPECT_INT(tx_change(tx, &thing_add, arg, &changed), -ERR_CONFLICT);
	return 0;
}

PG_TEST(postgres_commits_all_or_nothing)
{
	struct db db = store_test_tenant(test, 1);
	struct thing apple = make(&test->arena, "apple", 7);
	struct total total;

	EXPECT_INT(db_write(&db, add_then_fail, &apple), -ERR_PRECONDITION);
	EXPECT_INT(db_write(&db, add_twice, &apple), -ERR_CONFLICT);
	EXPECT_STR(str_from_c(err_last()->field), S("id"));
	EXPECT_INT(db_write(&db, ignore_errors, &apple), -ERR_CONFLICT);
	EXPECT_INT(db_one(&db, &thing_total, NULL, &total), 0);
	EXPECT_INT(total.count, 0);

	/* Two rows where one was expected: neither is changed. */
	EXPECT_INT(db_exec(&db, &thing_add, &apple), 0);
	apple = make(&test->arena, "pear", 100);
	EXPECT_INT(db_exec(&db, &thing_add, &apple), 0);
	apple.amount = 7;
	EXPECT_INT(db_exec(&db, &thing_rename, &apple), -ERR_INTERNAL);
	EXPECT_INT(db_one(&db, &thing_total, NULL, &total), 0);
	EXPECT_INT(total.sum, 107);
}

/* --- rows one by one ------------------------------------------------------------------------ */

static int count_row(void *row, void *arg)
{
	struct thing *thing = row;
	int64_t *sum = arg;

	*sum += thing->amount;
	return *sum >= 1000000; /* that is enough */
}

static int sum_all(struct tx *tx, void *arg)
{
	struct thing thing;
	int r = tx_each(tx, &thing_list, NULL, &thing, count_row, arg);
	struct total total;

	return r < 0 ? r : tx_one(tx, &thing_total, NULL, &total);
}

PG_TEST(postgres_gives_rows_one_by_one)
{
	struct db db = store_test_tenant(test, 1);
	int64_t sum = 0;

	for (int i = 0; i < 50; i++) {
		char name[16];
		struct thing thing;

		(void)snprintf(name, sizeof(name), "t%d", i);
		thing = make(&test->arena, name, i);
		EXPECT_INT(db_exec(&db, &thing_add, &thing), 0);
	}
	EXPECT_INT(db_read(&db, sum_all, &sum), 0);
	EXPECT_INT(sum, 49 * 50 / 2);
	sum = 999990; /* ends in the middle; what follows still works */
	EXPECT_INT(db_read(&db, sum_all, &sum), 0);
	EXPECT(sum >= 1000000);
}

/* More rows than anybody may want: refused, without gathering them, and no harm done. */
PG_TEST(postgres_refuses_too_many_rows)
{
	struct db db = store_test_tenant(test, 1);
	struct thing *all, apple = make(&test->arena, "apple", 1);
	size_t count;

	pg_run(store_test_postgres(true),
		"ALTER TABLE main.thing NO FORCE ROW LEVEL SECURITY;"
		"INSERT INTO main.thing SELECT '01900000-0000-7000-8000-000000000001',"
		" gen_random_uuid(), 'n' || n, 1 FROM generate_series(1, 20000) n;"
		"ALTER TABLE main.thing FORCE ROW LEVEL SECURITY");
	EXPECT_INT(db_all(&db, &thing_list, NULL, &all, &count), -ERR_TOO_LARGE);
	EXPECT_INT(db_exec(&db, &thing_add, &apple), 0);
}

/* --- two worlds ----------------------------------------------------------- */

static int enter_both(struct tx *tx, void *arg)
{
	struct uuid *tenants = arg;
	struct total total;

	for (int i = 0; i < 2; i++) {
		struct thing thing = make(tx_arena(tx), i ? "x" : "y", 1);

		if (tx_enter(tx, &tenants[i]) < 0 || tx_exec(tx, &thing_add, &thing) < 0 ||
			tx_one(tx, &thing_total, NULL, &total) < 0)
			return -(int)err_last()->code;
		EXPECT_INT(total.count, 1); /* of this one only */
		if (tx_leave(tx) < 0)
			return -(int)err_last()->code;
	}
	if (tx_one(tx, &thing_total_of_all, NULL, &total) < 0)
		return -(int)err_last()->code;
	EXPECT_INT(total.count, 2);
	return 0;
}

static int enter_and_stay(struct tx *tx, void *arg)
{
	struct total total;
	int r = tx_enter(tx, arg);

	return r < 0 ? r : tx_one(tx, &thing_total, NULL, &total);
}

PG_TEST(postgres_enters_a_tenant_and_leaves)
{
	struct db system = db_of_system(test->store, &test->arena);
	struct db one = store_test_tenant(test, 1), two = store_test_tenant(test, 2);
	struct uuid tenants[2] = { one.tenant, two.tenant };
	struct total total;

	EXPECT_INT(db_write(&system, enter_both, tenants), 0);
	/* What was put on for a transaction ends with it. */
	EXPECT_INT(db_write(&system, enter_and_stay, &tenants[0]), 0);
	EXPECT_INT(db_one(&system, &thing_total_of_all, NULL, &total), 0);
	EXPECT_INT(total.count, 2);
	EXPECT_INT(db_one(&one, &thing_total, NULL, &total), 0);
	EXPECT_INT(total.count, 1);
}

PG_TEST(postgres_tells_the_order_of_deletion)
{
	struct str *names;
	size_t count;

	EXPECT_INT(test->store->engine->ops->tenant_tables(
			   test->store->engine, &test->arena, &names, &count),
		0);
	EXPECT_INT(count, 3);
}

/* --- time ----------------------------------------------------------------- */

static int change_and_wait(struct tx *tx, void *arg)
{
	size_t changed;

	return tx_change(tx, &thing_set, arg, &changed);
}

static int stop_soon(void *arg)
{
	struct scope *scope = arg;

	(void)fiber_sleep_until(sched_now() + 100 * MILLISECOND);
	scope_cancel(scope);
	return 0;
}

PG_TEST(postgres_is_told_when_nobody_waits_any_more)
{
	struct db db = store_test_tenant(test, 1);
	struct thing apple = make(&test->arena, "apple", 7), read;
	struct str owner = store_test_postgres(true);
	struct scope scope, outer;
	PGconn *blocker;

	EXPECT_INT(db_exec(&db, &thing_add, &apple), 0);
	pg_run(owner, "ALTER TABLE main.thing NO FORCE ROW LEVEL SECURITY");
	blocker = PQconnectdb(owner.at);
	PQclear(PQexec(blocker, "BEGIN; SELECT FROM main.thing FOR UPDATE"));

	for (int i = 0; i < 2; i++) { /* before the commit is on the way, and with it */
		int r;

		scope_open(&scope, sched_now() + 100 * MILLISECOND);
		apple.amount = 1;
		r = i ? db_exec(&db, &thing_set, &apple) : db_write(&db, change_and_wait, &apple);
		test_note(r == -ERR_TIMEOUT, __FILE__, __LINE__, "%d: %s", r, err_text());
		EXPECT_INT(scope_close(&scope), 0);
	}
	scope_open(&outer, TIME_NEVER);
	EXPECT_INT(scope_spawn(&test->worker->sched.root, stop_soon, &outer), 0);
	EXPECT_INT(db_exec(&db, &thing_set, &apple), -ERR_CANCELLED);
	EXPECT_INT(scope_close(&outer), 0);

	/* Nothing waits for the lock at the server, and nothing was changed. */
	EXPECT(!pg_somebody_waits(owner));
	PQclear(PQexec(blocker, "COMMIT"));
	PQfinish(blocker);
	EXPECT_INT(db_one(&db, &thing_get, &apple, &read), 0);
	EXPECT_INT(read.amount, 7);
}
