/* Groups: what hurts one member hurts no other, whatever it is. */
#include "base/mem.h"
#include "observe/clock.h"
#include "store/engine.h"
#include "store/sqlite.h"
#include "store/sqlite_metrics.h"
#include "store/sqlite_test.h"
#include "store/sqlite_vfs_test.h"
#include "store/sqlite_writer.h"

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
	sqlite_group_time_ns = MINUTE; /* however slow this machine is: what waits is one group */
	(void)sem_init(&gate.go, 0, 0);
	atomic_store(&gate.entered, false);
	gate.result = 0;
	REQUIRE(scope_spawn(scope, hold_writer, test) == 0);
	while (!atomic_load(&gate.entered) && gate.result == 0)
		nap();
	REQUIRE(gate.result == 0);
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
	TOUCHES_ANOTHER_TENANT,
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
	[TOUCHES_ANOTHER_TENANT] = -ERR_INTERNAL,
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
	case TOUCHES_ANOTHER_TENANT: /* no registered statement can: so the guard is misled */
		((struct sqlite_connection *)tx->session)->guard.tenant = sqlite_test_id(2);
		break;
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

/* Runs one member, whenever its turn comes. */
static void run_alone(struct sqlite_test *test, struct member *member)
{
	member->test = test;
	arena_init(&member->arena, 16 * KILOBYTE, MEGABYTE);
	(void)run_member(member);
	arena_done(&member->arena);
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

/* --- many that cannot be with others -------------------------------------- */

static void all_are_wrong(struct sqlite_test *test)
{
	enum { MANY = 40 };
	static struct member members[MANY];

	/* Half of them undo the group they are in: more often than a group is run again. */
	for (size_t i = 0; i < MANY; i++) {
		members[i].number = (unsigned)(2000 + i);
		members[i].wrong = i % 2 ? SINGLE_TOUCHES_MANY : FINE;
	}
	run_group(test, members, MANY);
	for (size_t i = 0; i < MANY; i++) {
		EXPECT_INT(members[i].result, wrong_codes[members[i].wrong]);
		EXPECT_INT(notes(test, members[i].number), i % 2 ? 0 : 2);
		EXPECT(members[i].runs <= SQLITE_GROUP_RERUNS + 2);
	}
}

TEST(sqlite_group_of_many_errors_ends)
{
	struct sqlite_test test;

	sqlite_test_make(&test);
	sqlite_test_sql(&test, "INSERT INTO note VALUES (x'01900000000070008000000000000001', "
			       "x'0190000000007000800000000000ffff', 'taken', 1, NULL, NULL), "
			       "(x'01900000000070008000000000000001', "
			       "x'0190000000007000800000000000fffe', 'taken too', 1, NULL, NULL)");
	sqlite_test_open(&test);
	sqlite_test_run(&test, all_are_wrong);
	sqlite_test_close(&test);
	sqlite_test_remove(&test);
}

/* --- commits that fail ---------------------------------------------------- */

static void commit_fails(struct sqlite_test *test)
{
	static const struct {
		int write_code, sync_code, wanted;
	} rows[] = {
		{ 0, SQLITE_IOERR_FSYNC, -ERR_IO },
		{ SQLITE_FULL, 0, -ERR_UNAVAILABLE },
		{ SQLITE_IOERR_WRITE, 0, -ERR_IO },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		struct member members[MEMBERS] = { 0 }, after = { 0 };

		for (size_t j = 0; j < MEMBERS; j++)
			members[j].number = (unsigned)(3000 + i * 100 + j);
		atomic_store(&test_vfs.write_code, rows[i].write_code);
		atomic_store(&test_vfs.sync_code, rows[i].sync_code);
		run_group(test, members, MEMBERS);
		for (size_t j = 0; j < MEMBERS; j++) {
			EXPECT_INT(members[j].result, rows[i].wanted);
			EXPECT_INT(members[j].runs, 1);
		}

		/* Nothing goes on as long as the disk is bad, */
		after.number = (unsigned)(3090 + i * 100);
		run_alone(test, &after);
		EXPECT_INT(after.result, rows[i].wanted);

		/* and everything once it is good again. */
		atomic_store(&test_vfs.write_code, 0);
		atomic_store(&test_vfs.sync_code, 0);
		run_alone(test, &after);
		EXPECT_INT(after.result, 0);
		EXPECT_INT(notes(test, after.number), 2);
		for (size_t j = 0; j < MEMBERS; j++)
			EXPECT_INT(notes(test, members[j].number), 0);
	}
}

TEST(sqlite_commit_that_fails_leaves_nothing)
{
	struct sqlite_test test;

	test_vfs_use();
	sqlite_test_make(&test);
	sqlite_test_open(&test);
	sqlite_test_run(&test, commit_fails);
	sqlite_test_close(&test);
	EXPECT_INT(sqlite_test_number(&test, "SELECT count(*) FROM note"), 6);
	EXPECT_INT(sqlite_test_number(&test, "SELECT count(*) FROM pragma_integrity_check WHERE "
					     "integrity_check <> 'ok'"),
		0);
	sqlite_test_remove(&test);
}

/* --- durability ----------------------------------------------------------- */

static int write_note(struct tx *tx, void *arg)
{
	return tx_exec(tx, &note_add, arg);
}

static int write_softly(struct sqlite_test *test, unsigned number, enum tx_durability durability)
{
	struct member member = { .number = number };
	struct db db = sqlite_test_db(test, 1, &test->arena);
	struct note note;

	arena_init(&member.arena, 4096, MEGABYTE);
	note = note_of(&member, number);
	EXPECT_INT(db_write_with(&db, &(struct tx_options){ .durability = durability }, write_note,
			   &note),
		0);
	arena_done(&member.arena);
	return atomic_exchange(&test_vfs.syncs, 0);
}

static void durable_is_synced(struct sqlite_test *test)
{
	(void)write_softly(test, 1, TX_DURABLE);
	EXPECT(write_softly(test, 2, TX_DURABLE) > 0);
	EXPECT_INT(write_softly(test, 3, TX_SOFT), 0);
	EXPECT_INT(write_softly(test, 4, TX_SOFT), 0);
	EXPECT(write_softly(test, 5, TX_DURABLE) > 0);
	EXPECT_INT(write_softly(test, 6, TX_SOFT), 0);
}

TEST(sqlite_durable_is_synced_and_soft_is_not)
{
	struct sqlite_test test;

	test_vfs_use();
	sqlite_test_make(&test);
	sqlite_test_open(&test);
	sqlite_test_run(&test, durable_is_synced);
	sqlite_test_close(&test);
	EXPECT_INT(sqlite_test_number(&test, "SELECT count(*) FROM note"), 6);
	sqlite_test_remove(&test);
}

/* --- callers that go ------------------------------------------------------ */

struct going {
	struct member member;
	struct scope scope;
	bool single_spin; /* a statement that takes for ever */
	bool done;
};

static int run_going(void *arg)
{
	struct going *going = arg;
	struct member *member = &going->member;
	struct db db = sqlite_test_db(member->test, 1, &member->arena);
	struct number number = { 1000000000 };

	scope_open(&going->scope, TIME_NEVER);
	if (going->single_spin)
		member->result = db_exec(&db, &spin_write, &number);
	else
		member->result = db_write(&db, write_in_tx, member);
	(void)scope_close(&going->scope);
	going->done = true;
	return 0;
}

static void spawn_going(struct sqlite_test *test, struct scope *scope, struct going *going)
{
	going->member.test = test;
	arena_init(&going->member.arena, 16 * KILOBYTE, MEGABYTE);
	REQUIRE(scope_spawn(scope, run_going, going) == 0);
}

static void cancelled_in_the_queue(struct sqlite_test *test)
{
	struct going going = { .member.number = 1 };
	struct scope scope;

	scope_open(&scope, TIME_NEVER);
	close_gate(test, &scope);
	spawn_going(test, &scope, &going);
	await_queue(1);
	scope_cancel(&going.scope);
	await_queue(0); /* although the writer stands still */
	nap();
	EXPECT(going.done);
	EXPECT_INT(going.member.result, -ERR_CANCELLED);
	EXPECT_INT(going.member.runs, 0);
	open_gate();
	(void)scope_close(&scope);
	arena_done(&going.member.arena);
}

static void cancelled_while_it_runs(struct sqlite_test *test)
{
	struct going going = { .member.number = 2, .single_spin = true };
	struct going fine = { .member.number = 3 };
	struct scope scope;

	scope_open(&scope, TIME_NEVER);
	close_gate(test, &scope);
	spawn_going(test, &scope, &fine);
	spawn_going(test, &scope, &going);
	await_queue(2);
	open_gate();
	await_queue(0);
	(void)fiber_sleep_until(sched_now() + 50 * MILLISECOND);
	EXPECT(!going.done && !fine.done);
	scope_cancel(&going.scope);
	(void)scope_close(&scope);
	EXPECT_INT(going.member.result, -ERR_CANCELLED);
	EXPECT_INT(fine.member.result, 0);
	EXPECT_INT(fine.member.runs, 2); /* the interrupt undid the group */
	EXPECT_INT(notes(test, 3), 2);
	EXPECT_INT(sqlite_test_number(test, "SELECT count(*) FROM note WHERE stars <> 1"), 0);
	arena_done(&going.member.arena);
	arena_done(&fine.member.arena);
}

static void cancelled_while_it_commits(struct sqlite_test *test)
{
	struct going going = { .member.number = 4 };
	struct scope scope;

	scope_open(&scope, TIME_NEVER);
	atomic_store(&test_vfs.hold, true);
	spawn_going(test, &scope, &going);
	while (sem_trywait(&test_vfs.held) != 0)
		nap();
	scope_cancel(&going.scope);
	nap(), nap();
	EXPECT(!going.done);
	atomic_store(&test_vfs.hold, false);
	(void)sem_post(&test_vfs.go);
	(void)scope_close(&scope);
	EXPECT_INT(going.member.result, 0);
	EXPECT_INT(notes(test, 4), 2);
	arena_done(&going.member.arena);
}

static void out_of_time_before_it_begins(struct sqlite_test *test)
{
	struct going going = { .member.number = 5 };
	struct scope scope, late;

	scope_open(&scope, TIME_NEVER);
	close_gate(test, &scope);
	scope_open(&late, sched_now() + 20 * MILLISECOND);
	spawn_going(test, &late, &going);
	(void)scope_close(&late); /* ends although the writer stands still */
	EXPECT_INT(going.member.result, -ERR_TIMEOUT);
	EXPECT_INT(going.member.runs, 0);
	open_gate();
	(void)scope_close(&scope);
	EXPECT_INT(notes(test, 5), 0);
	arena_done(&going.member.arena);
}

/* A section that must end is not hurt by its scope, but by its own deadline. */
static void shielded(struct sqlite_test *test)
{
	struct member member = { .number = 6, .test = test };
	struct db db;
	struct scope scope;
	uint64_t former;

	arena_init(&member.arena, 16 * KILOBYTE, MEGABYTE);
	db = sqlite_test_db(test, 1, &member.arena);
	scope_open(&scope, sched_now() + 5 * MILLISECOND);
	(void)fiber_sleep_until(sched_now() + 10 * MILLISECOND);
	EXPECT_INT(db_write(&db, write_in_tx, &member), -ERR_TIMEOUT);
	former = shield_begin(sched_now() + 10 * SECOND);
	EXPECT_INT(db_write(&db, write_in_tx, &member), 0);
	shield_end(former);
	former = shield_begin(sched_now() + 20 * MILLISECOND);
	EXPECT_INT(db_exec(&db, &spin_write, &(struct number){ 1000000000 }), -ERR_TIMEOUT);
	shield_end(former);
	(void)scope_close(&scope);
	arena_done(&member.arena);
}

static void callers_go(struct sqlite_test *test)
{
	cancelled_in_the_queue(test);
	cancelled_while_it_runs(test);
	cancelled_while_it_commits(test);
	out_of_time_before_it_begins(test);
	shielded(test);
}

TEST(sqlite_callers_may_go_at_any_time)
{
	struct sqlite_test test;

	test_vfs_use();
	sqlite_test_make(&test);
	sqlite_test_open(&test);
	sqlite_test_run(&test, callers_go);
	sqlite_test_close(&test);
	sqlite_test_remove(&test);
}

/* --- a full queue --------------------------------------------------------- */

static void queue_fills(struct sqlite_test *test)
{
	struct going going[3] = { { .member.number = 1 }, { .member.number = 2 },
		{ .member.number = 3 } };
	struct scope scope;

	scope_open(&scope, TIME_NEVER);
	close_gate(test, &scope);
	spawn_going(test, &scope, &going[0]);
	spawn_going(test, &scope, &going[1]);
	await_queue(2);
	spawn_going(test, &scope, &going[2]);
	nap(), nap();
	EXPECT(going[2].done);
	EXPECT_INT(going[2].member.result, -ERR_FULL);
	EXPECT(!going[0].done && !going[1].done);
	open_gate();
	(void)scope_close(&scope);
	EXPECT_INT(going[0].member.result, 0);
	EXPECT_INT(going[1].member.result, 0);
	EXPECT_INT(notes(test, 3), 0);
	for (size_t i = 0; i < LEN(going); i++)
		arena_done(&going[i].member.arena);
}

TEST(sqlite_full_queue_refuses_at_once)
{
	struct sqlite_test test;

	sqlite_test_make(&test);
	test.options.write_queue = 2;
	sqlite_test_open(&test);
	sqlite_test_run(&test, queue_fills);
	sqlite_test_close(&test);
	sqlite_test_remove(&test);
}
