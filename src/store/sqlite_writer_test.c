/* Groups: what hurts one member hurts no other, whatever it is. */
#include "base/mem.h"
#include "observe/clock.h"
#include "store/engine.h"
#include "store/sqlite_metrics.h"
#include "store/sqlite_test.h"
#include "store/sqlite_vfs_test.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

enum { MEMBERS = 8 };

/* --- a writer that stands still until it is told to go on ------------------------------ */

static struct {
	sem_t go;
	atomic_bool entered;
	int result;
} gate;

static int stand_still(struct tx *tx, void *arg)
{
	(void)tx, (void)arg;
	atomic_store(&gate.entered, true);
	(void)sem_wait(&gate.go);
	return 0;
}

static int hold_writer(void *arg)
{
	struct sqlite_test *test = arg;
	struct arena arena;
	struct db db;

	arena_init(&arena, 4096, MEGABYTE);
	db = sqlite_test_db(test, 99, &arena);
	gate.result = db_write(&db, stand_still, NULL);
	arena_done(&arena);
	return 0;
}

static void nap(void)
{
	(void)fiber_sleep_until(sched_now() + MILLISECOND);
}

static void close_gate(struct sqlite_test *test, struct scope *scope)
{
	(void)sem_init(&gate.go, 0, 0);
	atomic_store(&gate.entered, false);
	REQUIRE(scope_spawn(scope, hold_writer, test) == 0);
	while (!atomic_load(&gate.entered))
		nap();
}

static void open_gate(void)
{
	(void)sem_post(&gate.go);
}

/* Until so many wait behind the gate. */
static void await_queue(int64_t count)
{
	while (metric_value(sqlite_metrics.queue) != count)
		nap();
}

/* --- members --------------------------------------------------------------------------------- */

enum wrong {
	FINE,
	RETURNS_ERROR,
	IGNORES_ERROR, /* of a statement */
	IS_NOT_UNIQUE,
	BREAKS_RULE,
	REFERS_TO_NOTHING,
	REFERS_LATER, /* a deferred foreign key */
	HAS_NO_MEMORY,
	HAS_NO_ROOM, /* on the disk */
	HAS_BAD_DISK,
	TAKES_TOO_LONG,
	SINGLE_IS_NOT_UNIQUE,
	SINGLE_TOUCHES_MANY, /* rows where one is expected: found out by us */
	WRONGS,
};

static const int wrong_codes[WRONGS] = {
	[RETURNS_ERROR] = -ERR_PRECONDITION,
	[IGNORES_ERROR] = -ERR_CONFLICT,
	[IS_NOT_UNIQUE] = -ERR_CONFLICT,
	[BREAKS_RULE] = -ERR_INVALID,
	[REFERS_TO_NOTHING] = -ERR_INVALID,
	[REFERS_LATER] = -ERR_INVALID,
	[HAS_NO_MEMORY] = -ERR_NO_MEMORY,
	[HAS_NO_ROOM] = -ERR_UNAVAILABLE,
	[HAS_BAD_DISK] = -ERR_IO,
	[TAKES_TOO_LONG] = -ERR_TIMEOUT,
	[SINGLE_IS_NOT_UNIQUE] = -ERR_CONFLICT,
	[SINGLE_TOUCHES_MANY] = -ERR_INTERNAL,
};

struct member {
	struct sqlite_test *test;
	unsigned number;
	enum wrong wrong;
	int result, runs;
	struct err err;
	struct arena arena;
};

/* Allocations of SQLite on this thread fail while it is set. */
static _Thread_local bool no_memory;
static sqlite3_mem_methods real_memory;

static void *allocate(int size)
{
	return no_memory ? NULL : real_memory.xMalloc(size);
}

static void *reallocate(void *at, int size)
{
	return no_memory ? NULL : real_memory.xRealloc(at, size);
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

static struct note note_of(struct member *member, unsigned number)
{
	char slug[20];

	(void)snprintf(slug, sizeof(slug), "slug-%u", number);
	return (struct note){ .id = sqlite_test_id_text(&member->arena, number),
		.slug = arena_str(&member->arena, str_from_c(slug)),
		.stars = 1,
		.body = S("text") };
}

/* Writes more than the page cache takes, so that the log is written before the commit. */
static int write_much(struct tx *tx, struct member *member, struct note *note)
{
	char *text = arena_alloc(&member->arena, 300000);
	int r;

	memset(text, 'x', 300000);
	note->body = str_of(text, 300000);
	atomic_store(&test_vfs.write_code,
		member->wrong == HAS_NO_ROOM ? SQLITE_FULL : SQLITE_IOERR_WRITE);
	r = tx_exec(tx, &note_add, note);
	atomic_store(&test_vfs.write_code, 0);
	return r;
}

static int write_in_tx(struct tx *tx, void *arg)
{
	struct member *member = arg;
	struct note note = note_of(member, member->number * 2), more;
	struct number number = { 1000000000 };
	int r;

	member->runs++;
	r = tx_exec(tx, &note_add, &note);
	if (r < 0)
		return r;
	more = note_of(member, member->number * 2 + 1);
	switch (member->wrong) {
	case RETURNS_ERROR: return fail(ERR_PRECONDITION, "no");
	case IGNORES_ERROR: (void)tx_exec(tx, &note_add, &note); return 0;
	case IS_NOT_UNIQUE: more.slug = note.slug; break;
	case BREAKS_RULE: more.stars = 6; break;
	case REFERS_TO_NOTHING:
	case REFERS_LATER: more.box_id = (struct opt_str){ .set = true, .value = more.id }; break;
	case TAKES_TOO_LONG: return tx_exec(tx, &spin_write, &number);
	case HAS_NO_MEMORY:
		no_memory = true;
		r = tx_exec(tx, &note_add, &more);
		no_memory = false;
		return r;
	case HAS_NO_ROOM:
	case HAS_BAD_DISK: return write_much(tx, member, &more);
	default: break;
	}
	return tx_exec(tx, member->wrong == REFERS_LATER ? &later_add : &note_add, &more);
}

static int run_member(void *arg)
{
	struct member *member = arg;
	struct db db = sqlite_test_db(member->test, 1, &member->arena);
	struct note note = note_of(member, 9000);
	struct scope scope;

	note.slug = S("taken");
	scope_open(&scope,
		member->wrong == TAKES_TOO_LONG ? sched_now() + 100 * MILLISECOND : TIME_NEVER);
	if (member->wrong == SINGLE_IS_NOT_UNIQUE)
		member->result = db_exec(&db, &note_add, &note);
	else if (member->wrong == SINGLE_TOUCHES_MANY)
		member->result = db_exec(&db, &note_delete, NULL);
	else
		member->result = db_write(&db, write_in_tx, member);
	member->err = *err_last();
	(void)scope_close(&scope);
	return 0;
}

/* Runs members as one group. */
static void run_group(struct sqlite_test *test, struct member *members, size_t count)
{
	struct scope scope;

	scope_open(&scope, TIME_NEVER);
	close_gate(test, &scope);
	for (size_t i = 0; i < count; i++) {
		members[i].test = test;
		arena_init(&members[i].arena, 16 * KILOBYTE, MEGABYTE);
		REQUIRE(scope_spawn(&scope, run_member, &members[i]) == 0);
	}
	await_queue((int64_t)count);
	open_gate();
	EXPECT_INT(scope_close(&scope), 0);
	for (size_t i = 0; i < count; i++)
		arena_done(&members[i].arena);
}

static int64_t notes(struct sqlite_test *test, unsigned number)
{
	char sql[200];

	(void)snprintf(sql, sizeof(sql),
		"SELECT count(*) FROM note WHERE slug IN ('slug-%u', 'slug-%u')", number * 2,
		number * 2 + 1);
	return sqlite_test_number(test, sql);
}

static void one_of_eight(struct sqlite_test *test, enum wrong wrong, size_t at)
{
	struct member members[MEMBERS] = { 0 };
	uint64_t groups = (uint64_t)metric_value(sqlite_metrics.reruns);

	for (size_t i = 0; i < MEMBERS; i++) {
		members[i].number = (unsigned)(wrong * 100 + at * MEMBERS + i);
		members[i].wrong = i == at ? wrong : FINE;
	}
	run_group(test, members, MEMBERS);

	for (size_t i = 0; i < MEMBERS; i++) {
		int wanted = i == at ? wrong_codes[wrong] : 0;

		if (members[i].result != wanted)
			test_note(false, __FILE__, __LINE__, "wrong %d at %zu: %zu got %d (%s)",
				wrong, at, i, members[i].result, members[i].err.frames[0].text);
		if (notes(test, members[i].number) != (i == at ? 0 : 2))
			test_note(false, __FILE__, __LINE__, "wrong %d at %zu: rows of %zu", wrong,
				at, i);
	}
	if (wrong == TAKES_TOO_LONG || wrong == SINGLE_TOUCHES_MANY)
		EXPECT((uint64_t)metric_value(sqlite_metrics.reruns) > groups);
}

static void errors_stay_alone(struct sqlite_test *test)
{
	for (enum wrong wrong = RETURNS_ERROR; wrong < WRONGS; wrong++)
		for (size_t at = 0; at < MEMBERS; at++)
			one_of_eight(test, wrong, at);
}

TEST_SLOW(sqlite_error_of_a_member_is_its_own, 60)
{
	struct sqlite_test test;

	control_memory();
	test_vfs_use();
	sqlite_test_make(&test);
	test.options.cache_bytes = 64 * KILOBYTE;
	sqlite_test_sql(&test, "INSERT INTO note VALUES (x'01900000000070008000000000000001', "
			       "x'0190000000007000800000000000ffff', 'taken', 1, NULL, NULL), "
			       "(x'01900000000070008000000000000001', "
			       "x'0190000000007000800000000000fffe', 'taken too', 1, NULL, NULL)");
	sqlite_test_open(&test);
	sqlite_test_run(&test, errors_stay_alone);
	sqlite_test_close(&test);
	EXPECT_INT(sqlite_test_number(&test, "SELECT count(*) FROM later"), 0);
	sqlite_test_remove(&test);
}
