/* No memory, at each place: SQLite's allocations and ours fail in turn, on the thread under test.
 */
#include "base/fault.h"
#include "store/engine.h"
#include "store/sqlite.h"
#include "store/sqlite_test.h"

#ifdef BULKHEAD_FAULTS

/* Until the next one of SQLite's on this thread that fails; 0: none does. */
static _Thread_local size_t countdown;
static _Thread_local bool struck;
static sqlite3_mem_methods real_memory;

static bool fails(void)
{
	if (countdown == 0 || --countdown > 0)
		return false;
	struck = true;
	return true;
}

static void *allocate(int size)
{
	return fails() ? NULL : real_memory.xMalloc(size);
}

static void *reallocate(void *at, int size)
{
	return fails() ? NULL : real_memory.xRealloc(at, size);
}

static void control_memory(void)
{
	sqlite3_mem_methods memory;

	REQUIRE(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory) == SQLITE_OK);
	memory = real_memory;
	memory.xMalloc = allocate;
	memory.xRealloc = reallocate;
	REQUIRE(sqlite3_config(SQLITE_CONFIG_MALLOC, &memory) == SQLITE_OK);
}

static void arm(bool sqlite, size_t nth)
{
	struck = false;
	countdown = sqlite ? nth : 0;
	fault_arm(FAULT_MEMORY, sqlite ? 0 : nth);
}

static bool disarm(void)
{
	bool met = struck || fault_struck(FAULT_MEMORY);

	countdown = 0;
	fault_arm(FAULT_MEMORY, 0);
	return met;
}

/* --- opening --------------------------------------------------------------------------- */

TEST_SLOW(sqlite_open_survives_each_lack_of_memory, 120)
{
	struct sqlite_test test;
	bool met = true;

	control_memory();
	sqlite_test_make(&test);
	/* The later ones are many and alike: statement by statement is prepared. */
	for (size_t nth = 1; met; nth += 1 + nth / 50) {
		struct store *store = NULL;
		int r;

		arm(true, nth);
		r = store_open(&test.options, &store);
		if (r == 0)
			r = store_register(
				store, sqlite_test_statements, sqlite_test_statement_count);
		if (r == 0)
			r = store_start(store);
		met = disarm();
		if (r != 0 && (!met || r != -ERR_NO_MEMORY))
			test_note(false, __FILE__, __LINE__, "allocation %zu: %d, %s", nth, r,
				err_text());
		store_close(store);
	}
	EXPECT_INT(sqlite_test_number(&test, "SELECT count(*) FROM note"), 0);
	sqlite_test_remove(&test);
}

/* --- a transaction ----------------------------------------------------------------------- */

struct attempt {
	bool sqlite; /* whose allocations */
	size_t nth;
	bool met;
	struct note note;
};

static int work(struct tx *tx, void *arg)
{
	struct attempt *attempt = arg;
	struct note back, *rows;
	struct number number;
	size_t count;
	int r;

	arm(attempt->sqlite, attempt->nth);
	r = tx_exec(tx, &note_add, &attempt->note);
	if (r == 0)
		r = tx_one(tx, &note_upsert, &attempt->note, &back);
	if (r == 0)
		r = tx_all(tx, &note_all, NULL, &rows, &count);
	if (r == 0)
		r = tx_one(tx, &note_count, NULL, &number);
	attempt->met |= disarm();
	return r;
}

static int look(struct tx *tx, void *arg)
{
	struct attempt *attempt = arg;
	struct note back;

	return tx_one(tx, &note_get, &attempt->note, &back);
}

/* Whether the next allocation was reached. */
static bool try_write(struct sqlite_test *test, struct attempt *attempt, unsigned number)
{
	struct db db = sqlite_test_db(test, 1, &test->arena);
	int r;

	attempt->met = false;
	attempt->note = (struct note){ .id = sqlite_test_id_text(&test->arena, number),
		.slug = sqlite_test_id_text(&test->arena, number),
		.stars = 2,
		.body = S("text") };
	r = db_write(&db, work, attempt);
	if (r != 0 && (r != -ERR_NO_MEMORY || !attempt->met))
		test_note(false, __FILE__, __LINE__, "write, allocation %zu: %d, %s", attempt->nth,
			r, err_text());
	EXPECT_INT(db_read(&db, look, attempt), r == 0 ? 0 : -ERR_NOT_FOUND);
	return attempt->met;
}

/* The same on the worker's own thread. */
static bool try_read(struct sqlite_test *test, struct attempt *attempt)
{
	struct db db = sqlite_test_db(test, 1, &test->arena);
	struct note *rows;
	size_t count;
	int r;

	arm(attempt->sqlite, attempt->nth);
	r = db_all(&db, &note_all, NULL, &rows, &count);
	attempt->met = disarm();
	if (r != 0 && (r != -ERR_NO_MEMORY || !attempt->met))
		test_note(false, __FILE__, __LINE__, "read, allocation %zu: %d, %s", attempt->nth,
			r, err_text());
	return attempt->met;
}

static void try_each(struct sqlite_test *test)
{
	struct attempt attempt = { 0 };
	unsigned number = 1;

	for (int sqlite = 0; sqlite < 2; sqlite++) {
		attempt.sqlite = sqlite;
		attempt.nth = 1;
		while (try_write(test, &attempt, number++))
			attempt.nth++;
		EXPECT(attempt.nth > 1 || !sqlite);
		attempt.nth = 1;
		while (try_read(test, &attempt))
			attempt.nth++;
	}
}

TEST_SLOW(sqlite_transactions_survive_each_lack_of_memory, 120)
{
	struct sqlite_test test;

	control_memory();
	/* A store that has prepared nothing yet, and one that has. */
	sqlite_test_make(&test);
	sqlite_test_open(&test);
	sqlite_test_run(&test, try_each);
	sqlite_test_close(&test);
	EXPECT_INT(sqlite_test_number(&test, "SELECT count(*) FROM pragma_integrity_check WHERE "
					     "integrity_check <> 'ok'"),
		0);
	sqlite_test_remove(&test);
}

#endif
