/* Events in the outbox: in the transaction or not at all, whose they are, and when they go. */
#include "store/outbox.h"

#include "observe/clock.h"
#include "store/store_test.h"

struct left {
	int64_t count;
};

static const struct schema left_schema = SCHEMA(left, "How many.", FIELD(left, count, "Rows."));

static const struct statement count_mine = STATEMENT("outbox_test_count",
	.sql = "SELECT count(*) AS count FROM outbox AS o WHERE o.tenant_id = :tenant",
	.out = &left_schema);
static const struct statement count_all =
	STATEMENT("outbox_test_count_all", .sql = "SELECT count(*) AS count FROM main.outbox AS o",
		.out = &left_schema, .flags = STATEMENT_SYSTEM);
static const struct statement *const statements[] = { &count_mine, &count_all };
static const struct store_test_module modules[] = { { "test", NULL, statements, LEN(statements) },
	{ 0 } };

struct emission {
	size_t count;
	int result; /* of the transaction function */
	struct str type;
};

static int emit_in_tx(struct tx *tx, void *arg)
{
	const struct emission *emission = arg;
	int r = 0;

	for (size_t i = 0; i < emission->count && r == 0; i++)
		r = tx_emit(tx, &(struct event){ .type = emission->type, .subject = S("x") });
	return r < 0 ? r : emission->result;
}

static int64_t rows(const struct db *db)
{
	struct left left = { -1 };

	EXPECT_INT(db_one(db, db->system ? &count_all : &count_mine, NULL, &left), 0);
	return left.count;
}

STORE_TEST_WITH(outbox_keeps_what_was_committed, modules, NULL)
{
	struct db one = store_test_tenant(test, 1), two = store_test_tenant(test, 2);
	struct db all = db_of_system(test->store, &test->arena);
	struct emission three = { 3, 0, S("thing.done") };
	struct emission failed = { 3, fail(ERR_CONFLICT, "no"), S("thing.done") };

	EXPECT_INT(db_write(&one, emit_in_tx, &three), 0);
	EXPECT_INT(db_write(&one, emit_in_tx, &failed), -ERR_CONFLICT);
	EXPECT_INT(db_write(&all, emit_in_tx, &three), 0);
	EXPECT_INT(rows(&one), 3);
	EXPECT_INT(rows(&two), 0);
	EXPECT_INT(rows(&all), 6);
}

static _Atomic int64_t shift_us; /* the notices look at the clock, too */

static int64_t shifted_us(void *arg)
{
	struct timespec now;

	(void)arg;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + shift_us;
}

static uint64_t real_ns(void *arg)
{
	struct timespec now;

	(void)arg;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

STORE_TEST_WITH(outbox_forgets_what_is_old, modules, NULL)
{
	static const struct clock_source source = { real_ns, shifted_us, NULL };
	struct db one = store_test_tenant(test, 1);
	struct emission many = { 1201, 0, S("thing.done") }, few = { 5, 0, S("thing.done") };

	clock_replace(&source);
	shift_us = -(int64_t)((OUTBOX_KEEP + HOUR) / MICROSECOND);
	EXPECT_INT(db_write(&one, emit_in_tx, &many), 0);
	shift_us = -(int64_t)((OUTBOX_KEEP - HOUR) / MICROSECOND);
	EXPECT_INT(db_write(&one, emit_in_tx, &few), 0);
	shift_us = 0;
	EXPECT_INT(rows(&one), 1206);
	EXPECT_INT(outbox_sweep(test->store), 0);
	EXPECT_INT(rows(&one), 5);
	EXPECT_INT(outbox_sweep(test->store), 0);
	EXPECT_INT(rows(&one), 5);
	clock_replace(NULL);
}
