/*
 * Handles that are wrong, and what is left of one tenant on a connection that another one gets:
 * everything fails closed.
 */
#include "store/store_test.h"

#include <stdio.h>

struct item {
	int64_t id;
	struct str body;
};

static const struct schema item_schema = SCHEMA(item, "A row that says whose it is.",
	FIELD(item, id, "Which."), FIELD(item, body, "Whose."));

static const char migrations[] =
	"-- up 1: items\n"
	"CREATE TABLE main.item (\n"
	"	tenant_id uuid NOT NULL, id bigint NOT NULL, body text NOT NULL,\n"
	"	PRIMARY KEY (tenant_id, id)\n"
	");\n";

static const struct statement item_put = STATEMENT("item_put",
	.sql = "INSERT INTO main.item (tenant_id, id, body) VALUES (:tenant, :id, :body)",
	.in = &item_schema);
static const struct statement item_all =
	STATEMENT("item_all", .sql = "SELECT id, body FROM item", .out = &item_schema);
static const struct statement item_drop = STATEMENT("item_drop",
	.sql = "DELETE FROM main.item WHERE tenant_id = :tenant AND id = :id", .in = &item_schema);
static const struct statement item_all_system = STATEMENT("item_all_system",
	.sql = "SELECT id, body FROM main.item", .out = &item_schema, .flags = STATEMENT_SYSTEM);
static const struct statement item_clear_system =
	STATEMENT("item_clear_system", .sql = "DELETE FROM main.item", .flags = STATEMENT_SYSTEM);
static const struct statement item_forgotten =
	STATEMENT("item_forgotten", .sql = "SELECT id, body FROM item", .out = &item_schema);

static const struct statement *const statements[] = { &item_put, &item_all, &item_drop,
	&item_all_system, &item_clear_system };

static const struct store_test_module modules[] = {
	{ "items", migrations, statements, LEN(statements) },
	{ NULL },
};

/* One connection, so that whoever comes next gets what the last one left. */
static const struct store_options one_connection = { .pool_max = 1, .read_threads = 1 };

static void put(struct store_test *test, unsigned tenant, int64_t id)
{
	struct db db = store_test_tenant(test, tenant);
	char body[16];

	(void)snprintf(body, sizeof(body), "of %u", tenant);
	REQUIRE(db_exec(&db, &item_put, &(struct item){ id, str_from_c(body) }) == 0);
}

/* Three rows of tenant 1 and two of tenant 2. */
static void fill(struct store_test *test)
{
	for (int64_t id = 1; id <= 5; id++)
		put(test, id <= 3 ? 1 : 2, id);
}

static bool all_of(const struct item *rows, size_t count, unsigned tenant)
{
	char body[16];

	(void)snprintf(body, sizeof(body), "of %u", tenant);
	for (size_t i = 0; i < count; i++)
		if (!str_eq(rows[i].body, str_from_c(body)))
			return false;
	return true;
}

/* Each tenant sees its rows and no other's. */
static void expect_apart(struct store_test *test)
{
	for (unsigned tenant = 1; tenant <= 2; tenant++) {
		struct db db = store_test_tenant(test, tenant);
		struct item *rows;
		size_t count;

		REQUIRE(db_all(&db, &item_all, NULL, &rows, &count) == 0);
		EXPECT_INT(count, tenant == 1 ? 3 : 2);
		EXPECT(all_of(rows, count, tenant));
	}
}

/* --- handles ------------------------------------------------------------------------- */

static int reach_in_tx(struct tx *tx, void *arg)
{
	struct item *rows;
	size_t count;

	*(bool *)arg = true;
	return tx_all(tx, &item_all, NULL, &rows, &count);
}

static void expect_refused(const struct db *db)
{
	struct item item = { 9, S("x") }, *rows;
	bool ran = false;
	size_t count;

	EXPECT_INT(db_exec(db, &item_put, &item), -ERR_FORBIDDEN);
	EXPECT_INT(db_one(db, &item_all, NULL, &item), -ERR_FORBIDDEN);
	EXPECT_INT(db_all(db, &item_all, NULL, &rows, &count), -ERR_FORBIDDEN);
	EXPECT_INT(db_all(db, &item_all_system, NULL, &rows, &count), -ERR_FORBIDDEN);
	EXPECT_INT(db_exec(db, &item_clear_system, NULL), -ERR_FORBIDDEN);
	EXPECT_INT(db_read(db, reach_in_tx, &ran), -ERR_FORBIDDEN);
	EXPECT_INT(db_write(db, reach_in_tx, &ran), -ERR_FORBIDDEN);
	EXPECT(!ran);
}

STORE_TEST_WITH(tenancy_a_handle_without_tenant_does_nothing, modules, NULL)
{
	struct uuid nil = { { 0 } };
	struct db handles[] = { { 0 }, { .arena = &test->arena },
		{ .store = test->store, .arena = &test->arena },
		{ .store = test->store, .arena = &test->arena, .system = true },
		db_of(test->store, &nil, &test->arena) };

	fill(test);
	for (size_t i = 0; i < LEN(handles); i++)
		expect_refused(&handles[i]);
	expect_apart(test);
}

STORE_TEST_WITH(tenancy_statements_fit_their_handle, modules, NULL)
{
	struct db tenant = store_test_tenant(test, 1);
	struct db system = db_of_system(test->store, &test->arena);
	struct item item = { 9, S("x") }, *rows;
	size_t count;

	fill(test);
	EXPECT_INT(db_all(&tenant, &item_all_system, NULL, &rows, &count), -ERR_INTERNAL);
	EXPECT_INT(db_exec(&tenant, &item_clear_system, NULL), -ERR_INTERNAL);
	EXPECT_INT(db_all(&system, &item_all, NULL, &rows, &count), -ERR_INTERNAL);
	EXPECT_INT(db_exec(&system, &item_put, &item), -ERR_INTERNAL);
	EXPECT_INT(db_all(&tenant, &item_forgotten, NULL, &rows, &count), -ERR_INTERNAL);

	EXPECT_INT(db_all(&system, &item_all_system, NULL, &rows, &count), 0);
	EXPECT_INT(count, 5);
	expect_apart(test);
}

static int write_in_tx(struct tx *tx, void *arg)
{
	(void)arg;
	(void)tx_exec(tx, &item_put, &(struct item){ 9, S("of 1") });
	return 0; /* whatever it thinks of the error */
}

STORE_TEST_WITH(tenancy_a_read_writes_nothing, modules, NULL)
{
	struct db db = store_test_tenant(test, 1);

	fill(test);
	EXPECT_INT(db_read(&db, write_in_tx, NULL), -ERR_INTERNAL);
	expect_apart(test);
}

/* --- entering ---------------------------------------------------------------------------- */

/* What a transaction of a system handle does, step by step. */
enum move {
	END,
	ENTER_1,
	ENTER_2,
	ENTER_NIL,
	LEAVE,
	PUT,      /* a tenant statement that writes */
	SEE_1,    /* a tenant statement that must show the rows of tenant 1 only */
	SEE_2,    /* and of tenant 2 */
	SEE_ALL,  /* a system statement */
	PUT_SAME, /* a row that is there already */
};

struct moves {
	struct store_test *test;
	bool on_tenant_handle;
	enum move at[8];
	int result;
	bool wrong; /* something was seen that should not have been */
};

static int see(struct tx *tx, struct moves *moves, unsigned tenant)
{
	const struct statement *statement = tenant ? &item_all : &item_all_system;
	struct item *rows;
	size_t count;
	int r = tx_all(tx, statement, NULL, &rows, &count);

	if (r == 0 && tenant && (count == 0 || !all_of(rows, count, tenant)))
		moves->wrong = true;
	return r;
}

static void move(struct tx *tx, struct moves *moves, enum move which)
{
	struct uuid ids[] = { { { 0 } }, store_test_tenant(moves->test, 1).tenant,
		store_test_tenant(moves->test, 2).tenant };

	/* Errors are ignored: the store must not. */
	switch (which) {
	case END: break;
	case ENTER_1: (void)tx_enter(tx, &ids[1]); break;
	case ENTER_2: (void)tx_enter(tx, &ids[2]); break;
	case ENTER_NIL: (void)tx_enter(tx, &ids[0]); break;
	case LEAVE: (void)tx_leave(tx); break;
	case PUT: (void)tx_exec(tx, &item_put, &(struct item){ 77, S("of 1") }); break;
	case PUT_SAME: (void)tx_exec(tx, &item_put, &(struct item){ 1, S("of 1") }); break;
	case SEE_1: (void)see(tx, moves, 1); break;
	case SEE_2: (void)see(tx, moves, 2); break;
	case SEE_ALL: (void)see(tx, moves, 0); break;
	}
}

static int moves_in_tx(struct tx *tx, void *arg)
{
	struct moves *moves = arg;

	for (size_t i = 0; i < LEN(moves->at) && moves->at[i] != END; i++)
		move(tx, moves, moves->at[i]);
	return 0;
}

STORE_TEST_WITH(tenancy_entering_is_for_a_while, modules, &one_connection)
{
	struct moves cases[] = {
		{ .at = { SEE_ALL, ENTER_1, SEE_1, LEAVE, ENTER_2, SEE_2, LEAVE, SEE_ALL } },
		{ .at = { ENTER_2, SEE_2 } }, /* and never leaves */
		{ .at = { ENTER_1, LEAVE, SEE_ALL } },
		{ .at = { ENTER_1, ENTER_2 }, .result = -ERR_INTERNAL },
		{ .at = { ENTER_NIL }, .result = -ERR_INTERNAL },
		{ .at = { LEAVE }, .result = -ERR_INTERNAL },
		{ .at = { ENTER_1, LEAVE, LEAVE }, .result = -ERR_INTERNAL },
		{ .at = { SEE_1 }, .result = -ERR_INTERNAL },
		{ .at = { PUT }, .result = -ERR_INTERNAL },
		{ .at = { ENTER_1, SEE_ALL }, .result = -ERR_INTERNAL },
		{ .at = { ENTER_1, LEAVE, SEE_1 }, .result = -ERR_INTERNAL },
		{ .at = { ENTER_1, PUT, LEAVE, PUT }, .result = -ERR_INTERNAL },
		{ .at = { ENTER_1, PUT, ENTER_2, SEE_2 }, .result = -ERR_INTERNAL },
		{ .at = { ENTER_1, PUT_SAME, LEAVE, SEE_ALL }, .result = -ERR_CONFLICT },
		{ .at = { ENTER_1, SEE_1 }, .on_tenant_handle = true, .result = -ERR_INTERNAL },
		{ .at = { ENTER_2, SEE_2 }, .on_tenant_handle = true, .result = -ERR_INTERNAL },
		{ .at = { LEAVE, SEE_1 }, .on_tenant_handle = true, .result = -ERR_INTERNAL },
		{ .at = { SEE_1, SEE_ALL }, .on_tenant_handle = true, .result = -ERR_INTERNAL },
	};

	fill(test);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct db db = cases[i].on_tenant_handle ? store_test_tenant(test, 1)
							 : db_of_system(test->store, &test->arena);

		cases[i].test = test;
		if (!EXPECT_INT(db_write(&db, moves_in_tx, &cases[i]), cases[i].result) ||
			!EXPECT(!cases[i].wrong))
			fprintf(stderr, "  in case %zu: %s\n", i, err_text());
		expect_apart(test); /* PUT left nothing, and the connection is nobody's */
	}
}

/* --- one connection for several tenants ------------------------------------------------------ */

static int fail_in_tx(struct tx *tx, void *arg)
{
	struct item item = { 50, S("of 2") };
	size_t changed;
	int r = tx_change(tx, &item_put, &item, &changed);

	if (r == 0 && *(bool *)arg)
		r = tx_change(tx, &item_put, &item, &changed);
	return r < 0 ? r : fail(ERR_PRECONDITION, "changed its mind");
}

STORE_TEST_WITH(tenancy_errors_leave_nothing_on_a_connection, modules, &one_connection)
{
	fill(test);
	for (unsigned i = 0; i < 20; i++) {
		struct db db = store_test_tenant(test, 2);
		bool twice = i % 2;

		EXPECT_INT(db_write(&db, fail_in_tx, &twice),
			twice ? -ERR_CONFLICT : -ERR_PRECONDITION);
		expect_apart(test);
		EXPECT_INT(db_exec(&db, &item_put, &(struct item){ 4, S("x") }), -ERR_CONFLICT);
		expect_apart(test);
	}
}

enum { TAKERS = 16, TURNS = 60 };

struct taker {
	struct store_test *test;
	unsigned tenant;
	bool wrong;
};

static int turn_in_tx(struct tx *tx, void *arg)
{
	struct taker *taker = arg;
	struct item *rows;
	size_t count;
	int r = tx_all(tx, &item_all, NULL, &rows, &count);

	if (r == 0 && (count < 2 || !all_of(rows, count, taker->tenant)))
		taker->wrong = true;
	return r;
}

static int take_turns(void *arg)
{
	struct taker *taker = arg;
	struct arena arena;

	arena_init(&arena, 4096, MEGABYTE);
	for (unsigned i = 0; i < TURNS; i++) {
		struct db db = store_test_tenant(taker->test, taker->tenant);
		struct item *rows, item = { 1000 + i, S("none") };
		size_t count;

		db.arena = &arena;
		if (i % 3 == 0) {
			EXPECT_INT(db_write(&db, turn_in_tx, taker), 0);
		} else if (i % 3 == 1) {
			EXPECT_INT(db_all(&db, &item_all, NULL, &rows, &count), 0);
			taker->wrong |= count < 2 || !all_of(rows, count, taker->tenant);
		} else {
			EXPECT_INT(db_exec(&db, &item_drop, &item), 0);
		}
		arena_reset(&arena);
	}
	arena_done(&arena);
	return 0;
}

/* The same prepared statements on the same connections, by turns. */
STORE_TEST_WITH(tenancy_statements_are_shared_and_rows_are_not, modules, &one_connection)
{
	struct taker takers[TAKERS];
	struct scope scope;

	fill(test);
	scope_open(&scope, TIME_NEVER);
	for (unsigned i = 0; i < TAKERS; i++) {
		takers[i] = (struct taker){ test, 1 + i % 2, false };
		REQUIRE(scope_spawn(&scope, take_turns, &takers[i]) == 0);
	}
	EXPECT_INT(scope_close(&scope), 0);
	for (unsigned i = 0; i < TAKERS; i++)
		EXPECT(!takers[i].wrong);
	expect_apart(test);
}
