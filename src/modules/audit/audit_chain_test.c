/*
 * The chain: every change of its rows is found, whatever it is, and what chains, deletes and erases
 * leaves it whole, in whatever order and however often it happens.
 */
#include "modules/audit/audit_test.h"

#include "base/fault.h"
#include "crypto/random.h"
#include "http/server.h"
#include "observe/clock.h"
#include "observe/clock_test.h"

/* --- straight ---------------------------------------------------------------------------- */

WORLD_TEST(audit_chain_is_whole, audit_world)
{
	struct some some = audit_some(3);
	struct audit_verdict verdict;

	world_do(world, "ada", audit_write_some, &some);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.unchained, 3);
	EXPECT_INT(verdict.report.entries, 0);
	EXPECT_INT(verdict.report.found, 0);
	EXPECT(verdict.report.oldest_unchained > 0);

	world_do(world, "ada", audit_chain_all, NULL);
	some.count = 2 * AUDIT_CHAIN_BATCH + 1; /* several batches, several pages */
	world_do(world, "ada", audit_write_some, &some);
	world_do(world, "bob", audit_write_some, &some);
	world_do(world, "ada", audit_chain_all, NULL);
	world_do(world, "ada", audit_chain_all, NULL); /* nothing to do */
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.unchained, 0);
	EXPECT_INT(verdict.report.entries, 3 + 2 * (2 * AUDIT_CHAIN_BATCH + 1));
	EXPECT_INT(verdict.report.tenants, 2);
	EXPECT_INT(verdict.report.found, 0);
	EXPECT_INT(verdict.report.erased, 0);
}

WORLD_TEST(audit_key_is_another, audit_world)
{
	static const struct master_key other = { { 1, 2, 3 } };
	struct some some = audit_some(3);
	struct audit_verdict verdict;

	world_do(world, "ada", audit_write_some, &some);
	world_do(world, "ada", audit_chain_all, NULL);
	audit_keys_set(&other, NULL);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.found, 1);
	EXPECT_INT(verdict.kinds[FINDING_KEY], 1);

	/* Nothing is chained behind a head that was sealed with another key. */
	world_do(world, "ada", audit_write_some, &some);
	world_do(world, "ada", audit_chain_all, NULL);
	audit_keys_set(&world_master_key, NULL);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.unchained, 3);
	EXPECT_INT(verdict.kinds[FINDING_EDITED], 3); /* in the tail: written under the other one */
	EXPECT_INT(verdict.report.found, 3);
}

/* --- rows in the hands of others ------------------------------------------ */

enum { ENTRIES = 12 };

struct place {
	struct str text;
	int64_t sequence, other;
};

static const struct schema place_schema =
	SCHEMA(place, "What is changed, and where.", FIELD(place, text, "To what."),
		FIELD(place, sequence, "Where."), FIELD(place, other, "And where else."));

#define ROW                                                                                        \
	"id, sequence, chain, kind, user_id, key_id, session_id, impersonator_id, address, "       \
	"address_salt, address_digest, action, target_type, target_id, state_before, "             \
	"state_after, person_id, personal, personal_salt, personal_count, security, request_id, "  \
	"trace_id, created_at, seal"

static const struct statement row_put = STATEMENT("test_audit_put",
	.sql = "INSERT INTO main.audit (tenant_id, " ROW ") VALUES (:tenant, :id, :sequence, "
	       ":chain, :kind, :user_id, :key_id, :session_id, :impersonator_id, :address, "
	       ":address_salt, :address_digest, :action, :target_type, :target_id, :state_before, "
	       ":state_after, :person_id, :personal, :personal_salt, :personal_count, :security, "
	       ":request_id, :trace_id, :created_at, :seal)",
	.in = &audit_row_schema);
static const struct statement rows_all = STATEMENT("test_audit_all",
	.sql = "SELECT " ROW " FROM audit WHERE tenant_id = :tenant ORDER BY id",
	.out = &audit_row_schema);
static const struct statement rows_clear =
	STATEMENT("test_audit_clear", .sql = "DELETE FROM main.audit WHERE tenant_id = :tenant");

#define MARK_COLUMNS "kind, sequence, chain, broken_at, marked_at, seal, told_sequence, told_at"

static const struct statement mark_put = STATEMENT("test_mark_put",
	.sql = "INSERT INTO main.audit_mark (tenant_id, " MARK_COLUMNS ") VALUES (:tenant, :kind, "
	       ":sequence, :chain, :broken_at, :marked_at, :seal, :told_sequence, :told_at)",
	.in = &audit_mark_schema);
static const struct statement marks_all = STATEMENT("test_mark_all",
	.sql = "SELECT " MARK_COLUMNS " FROM audit_mark WHERE tenant_id = :tenant ORDER BY kind",
	.out = &audit_mark_schema);
static const struct statement marks_clear = STATEMENT(
	"test_mark_clear", .sql = "DELETE FROM main.audit_mark WHERE tenant_id = :tenant");
static const struct statement rows_delete = STATEMENT("test_audit_delete",
	.sql = "DELETE FROM main.audit WHERE tenant_id = :tenant AND sequence >= :sequence "
	       "AND sequence <= :other",
	.in = &place_schema);
static const struct statement row_move = STATEMENT("test_audit_move",
	.sql = "UPDATE main.audit SET sequence = :other WHERE tenant_id = :tenant "
	       "AND sequence = :sequence",
	.in = &place_schema);
static const struct statement row_loosen = STATEMENT("test_audit_loosen",
	.sql = "UPDATE main.audit SET sequence = NULL WHERE tenant_id = :tenant "
	       "AND sequence = :sequence",
	.in = &place_schema);

/* Makes the first that is not chained no entry at all. */
static const struct statement loose_garble = STATEMENT("test_audit_garble",
	.sql = "UPDATE main.audit SET kind = 'nonsense' WHERE tenant_id = :tenant AND id IN "
	       "(SELECT id FROM audit WHERE tenant_id = :tenant AND sequence IS NULL "
	       "ORDER BY id LIMIT 1)",
	.in = &place_schema);

/* Changes of one column of one row; each makes it another value than it was. */
#define CHANGE(table, name, set)                                                                   \
	STATEMENT("test_change_" name,                                                             \
		.sql = "UPDATE main." table " SET " set                                            \
		       " WHERE tenant_id = :tenant AND sequence = :sequence",                      \
		.in = &place_schema)

static const struct statement changes[] = {
	CHANGE("audit", "chain", "chain = seal"),
	CHANGE("audit", "no_chain", "chain = NULL"),
	CHANGE("audit", "seal", "seal = chain"),
	CHANGE("audit", "kind", "kind = 'key'"),
	CHANGE("audit", "no_kind", "kind = 'nonsense'"),
	CHANGE("audit", "user", "user_id = session_id"),
	CHANGE("audit", "no_user", "user_id = NULL"),
	CHANGE("audit", "key", "key_id = user_id"),
	CHANGE("audit", "session", "session_id = user_id"),
	CHANGE("audit", "impersonator", "impersonator_id = user_id"),
	CHANGE("audit", "address", "address = '198.51.100.1'"),
	CHANGE("audit", "address_salt", "address_salt = 'AAAAAAAAAAAAAAAAAAAAAA'"),
	CHANGE("audit", "address_digest", "address_digest = seal"),
	CHANGE("audit", "address_gone",
		"address = NULL, address_salt = NULL, address_digest = NULL"),
	CHANGE("audit", "address_erased", "address = NULL, address_salt = NULL"),
	CHANGE("audit", "action", "action = 'user.looked'"),
	CHANGE("audit", "target_type", "target_type = 'role'"),
	CHANGE("audit", "no_target", "target_id = NULL"),
	CHANGE("audit", "before", "state_before = state_after"),
	CHANGE("audit", "no_after", "state_after = NULL"),
	CHANGE("audit", "no_json", "state_after = 'hello'"),
	CHANGE("audit", "person", "person_id = user_id"),
	CHANGE("audit", "personal", "personal = replace(personal, 'ada', 'eve')"),
	CHANGE("audit", "personal_less", "personal = substr(personal, 1, 18)"),
	CHANGE("audit", "personal_erased", "personal = NULL, personal_salt = NULL"),
	CHANGE("audit", "personal_never",
		"personal = NULL, personal_salt = NULL, personal_count = 0"),
	CHANGE("audit", "security", "security = NOT security"),
	CHANGE("audit", "request", "request_id = 'r-2'"),
	CHANGE("audit", "trace", "trace_id = NULL"),
	CHANGE("audit", "created", "created_at = created_at - 1"),
};

static const struct statement mark_changes[] = {
	CHANGE("audit_mark", "mark_sequence", "sequence = sequence - 1"),
	CHANGE("audit_mark", "mark_chain", "chain = seal"),
	CHANGE("audit_mark", "mark_broken", "broken_at = 1"),
	CHANGE("audit_mark", "mark_time", "marked_at = marked_at + 1"),
	CHANGE("audit_mark", "mark_kind", "kind = 'start'"),
	CHANGE("audit_mark", "mark_seal", "seal = chain"),
};

static int open_tampering(struct server *server)
{
	static const struct statement *all[100];
	const struct statement *fixed[] = { &row_put, &rows_all, &rows_clear, &mark_put, &marks_all,
		&marks_clear, &rows_delete, &row_move, &row_loosen, &loose_garble };
	size_t count = 0;

	for (size_t i = 0; i < LEN(fixed); i++)
		all[count++] = fixed[i];
	for (size_t i = 0; i < LEN(changes); i++)
		all[count++] = &changes[i];
	for (size_t i = 0; i < LEN(mark_changes); i++)
		all[count++] = &mark_changes[i];
	return store_register(server->store, all, count);
}

static const struct module tampering = { MODULE_HEAD, .name = "audit-tampering",
	.open = open_tampering };

/* Those of audit_world, and the module above. */
static const struct module *tampered[8];

__attribute__((constructor)) static void join_modules(void)
{
	size_t count = 0;

	for (; audit_world[count]; count++)
		tampered[count] = audit_world[count];
	tampered[count] = &tampering;
}

/* --- saving and restoring ------------------------------------------------- */

/* All rows of a tenant; texts live in the arena. */
struct saved {
	struct arena arena;
	struct audit_row *rows;
	struct audit_mark *marks;
	size_t count, mark_count;
};

static int save(const struct db *db, void *arg)
{
	struct saved *saved = arg;
	struct db own = *db;
	int r;

	arena_init(&saved->arena, 64 * KILOBYTE, 16 * MEGABYTE);
	own.arena = &saved->arena;
	r = db_all(&own, &rows_all, NULL, &saved->rows, &saved->count);
	if (r == 0)
		r = db_all(&own, &marks_all, NULL, &saved->marks, &saved->mark_count);
	return r;
}

static int restore_in_tx(struct tx *tx, void *arg)
{
	const struct saved *saved = arg;
	int r = tx_exec(tx, &rows_clear, NULL);

	if (r == 0)
		r = tx_exec(tx, &marks_clear, NULL);
	for (size_t i = 0; i < saved->count && r == 0; i++)
		r = tx_exec(tx, &row_put, &saved->rows[i]);
	for (size_t i = 0; i < saved->mark_count && r == 0; i++)
		r = tx_exec(tx, &mark_put, &saved->marks[i]);
	return r;
}

static int restore(const struct db *db, void *arg)
{
	return db_write(db, restore_in_tx, arg);
}

/* --- one change ----------------------------------------------------------- */

struct tampering {
	const struct statement *statement;
	struct place place;
	size_t changed;
};

static int tamper_in_tx(struct tx *tx, void *arg)
{
	struct tampering *tampering = arg;

	return tx_change(tx, tampering->statement, &tampering->place, &tampering->changed);
}

static int tamper(const struct db *db, void *arg)
{
	return db_write(db, tamper_in_tx, arg);
}

static void do_tamper(
	struct world *world, const struct statement *statement, int64_t sequence, int64_t other)
{
	struct tampering work = { statement, { .sequence = sequence, .other = other }, 0 };

	world_do(world, "ada", tamper, &work);
	test_note(work.changed > 0, __FILE__, __LINE__, "%s changed nothing", statement->name);
}

static void expect_found(
	struct world *world, struct saved *saved, struct audit_heads *heads, const char *title)
{
	struct audit_verdict verdict = audit_verdict_of(world, heads);

	test_note(verdict.report.found > 0, __FILE__, __LINE__, "not found: %s", title);
	world_do(world, "ada", restore, saved);
}

static void make_entries(struct world *world, struct saved *saved)
{
	struct some some = audit_some(ENTRIES);

	world_do(world, "ada", audit_write_some, &some);
	world_do(world, "bob", audit_write_some, &some);
	world_do(world, "ada", audit_chain_all, NULL);
	world_do(world, "ada", save, saved);
	EXPECT_INT(saved->count, ENTRIES);
}

WORLD_TEST(audit_each_change_is_found, tampered)
{
	struct saved saved;

	make_entries(world, &saved);
	for (size_t i = 0; i < LEN(changes); i++)
		for (int64_t at = 1; at <= ENTRIES; at += (ENTRIES - 1) / 2) {
			do_tamper(world, &changes[i], at, 0);
			expect_found(world, &saved, NULL, changes[i].name);
		}
	for (size_t i = 0; i < LEN(mark_changes); i++) {
		do_tamper(world, &mark_changes[i], ENTRIES, 0);
		expect_found(world, &saved, NULL, mark_changes[i].name);
	}
	EXPECT_INT(audit_verdict_of(world, NULL).report.found, 0);
	arena_done(&saved.arena);
}

WORLD_TEST(audit_change_is_one_finding, tampered)
{
	static const struct {
		const char *name;
		enum audit_finding_kind kind;
	} cases[] = {
		{ "test_change_action", FINDING_EDITED },
		{ "test_change_personal", FINDING_EDITED },
		{ "test_change_address_erased", FINDING_ERASED },
		{ "test_change_chain", FINDING_ORDER },
	};
	struct audit_verdict verdict;
	struct saved saved;

	make_entries(world, &saved);
	for (size_t i = 0; i < LEN(cases); i++)
		for (size_t j = 0; j < LEN(changes); j++) {
			if (strcmp(changes[j].name, cases[i].name) != 0)
				continue;
			do_tamper(world, &changes[j], 5, 0);
			verdict = audit_verdict_of(world, NULL);
			EXPECT_INT(verdict.kinds[cases[i].kind], 1);
			EXPECT_INT(verdict.first, 5);
			EXPECT_INT(verdict.report.found, 1);
			world_do(world, "ada", restore, &saved);
		}
	do_tamper(world, &rows_delete, 4, 6);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.found, 1);
	EXPECT_INT(verdict.kinds[FINDING_GAP], 1);
	EXPECT_INT(verdict.first, 4);
	world_do(world, "ada", restore, &saved);
	do_tamper(world, &rows_delete, 9, 100);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.found, 1);
	EXPECT_INT(verdict.kinds[FINDING_END], 1);
	EXPECT_INT(verdict.first, 9);
	arena_done(&saved.arena);
}

/* --- random ones ---------------------------------------------------------- */

static void swap(struct world *world, int64_t a, int64_t b)
{
	do_tamper(world, &row_move, a, 1000);
	do_tamper(world, &row_move, b, a);
	do_tamper(world, &row_move, 1000, b);
}

/* A copy of an entry under another id, unchained or in the place of another one. */
static int copy_entry(const struct db *db, void *arg)
{
	const struct saved *saved = arg;
	struct audit_row row = saved->rows[random_u64() % saved->count];
	char text[UUID_TEXT_LEN];
	struct uuid id;

	uuid_v7(&id, clock_wall_us());
	uuid_write(text, &id);
	row.id = str_of(text, sizeof(text));
	if (random_u64() % 2)
		row.sequence.set = false;
	else
		row.sequence.value = ENTRIES + 1;
	return db_exec(db, &row_put, &row);
}

/* The chain without its last entries, and a head that was true when they were not there yet. */
static void rewind_chain(struct world *world, const struct saved *saved, int64_t to)
{
	struct saved past = *saved;
	struct audit_mark head = saved->marks[0];
	struct uuid tenant = world_tenant("ada");
	char seal[AUDIT_DIGEST_TEXT];

	for (size_t i = 0; i < saved->count; i++)
		if (saved->rows[i].sequence.value == to)
			head.chain = saved->rows[i].chain;
	head.sequence = to;
	audit_mark_seal(0, &tenant, &head, seal);
	head.seal = str_of(seal, sizeof(seal));
	past.marks = &head;
	world_do(world, "ada", restore, &past);
	do_tamper(world, &rows_delete, to + 1, 1000);
}

static void tamper_somehow(struct world *world, struct saved *saved, struct audit_heads *heads)
{
	int64_t a = 1 + (int64_t)(random_u64() % ENTRIES);
	int64_t b = 1 + (a + (int64_t)(random_u64() % (ENTRIES - 1))) % ENTRIES;
	struct some some = audit_some(3);

	switch (random_u64() % 8) {
	case 0:
		do_tamper(world, &changes[random_u64() % LEN(changes)], a, 0);
		expect_found(world, saved, NULL, "edit");
		return;
	case 1:
		do_tamper(world, &rows_delete, MIN(a, b), MAX(a, b));
		expect_found(world, saved, NULL, "some are deleted");
		return;
	case 2:
		do_tamper(world, &rows_delete, a, 1000);
		expect_found(world, saved, NULL, "the last ones are deleted");
		return;
	case 3:
		swap(world, a, b);
		expect_found(world, saved, NULL, "two are swapped");
		return;
	case 4:
		world_do(world, "ada", copy_entry, saved);
		expect_found(world, saved, NULL, "a copy is added");
		return;
	case 5:
		do_tamper(world, &row_loosen, a, 0);
		expect_found(world, saved, NULL, "one is taken out of the chain");
		return;
	case 6:
		rewind_chain(world, saved, MIN(a, ENTRIES - 1));
		expect_found(world, saved, heads, "a state of the past");
		return;
	default:
		rewind_chain(world, saved, MIN(a, ENTRIES - 1));
		world_do(world, "ada", audit_write_some, &some); /* and it went on from there */
		world_do(world, "ada", audit_chain_all, NULL);
		expect_found(world, saved, heads, "another future");
		return;
	}
}

WORLD_TEST(audit_random_changes_are_found, tampered)
{
	struct uuid tenant = world_tenant("ada");
	struct audit_heads heads = { 0 };
	char text[AUDIT_HEAD_TEXT];
	struct saved saved;
	size_t done;

	make_entries(world, &saved);
	REQUIRE(saved.mark_count == 1);
	REQUIRE(audit_heads_add(&heads, audit_head_write(text, &tenant, &saved.marks[0]), true,
			&done) == 0);
	EXPECT_INT(heads.count, 1);
	for (int i = 0; i < (test_long() ? 2000 : 60); i++)
		tamper_somehow(world, &saved, &heads);
	EXPECT_INT(audit_verdict_of(world, &heads).report.found, 0);
	audit_heads_done(&heads);
	arena_done(&saved.arena);
}

/* --- several sequencers --------------------------------------------------- */

/* Writers of one tenant, and sequencers beside them, until all is written. */
enum { WRITERS = 4, SEQUENCERS = 4, WRITES = 40 };

struct race {
	const struct db *db;
	size_t writing; /* writers that are not done */
	size_t lost;    /* batches that another sequencer had before */
};

static int write_on(void *arg)
{
	struct race *race = arg;
	struct some some = audit_some(3);
	struct arena arena;
	struct db db = *race->db;
	int r = 0;

	arena_init(&arena, 64 * KILOBYTE, 16 * MEGABYTE);
	db.arena = &arena;
	for (int i = 0; i < WRITES && r == 0; i++) {
		r = audit_write_some(&db, &some);
		arena_reset(&arena);
	}
	arena_done(&arena);
	race->writing--;
	return r;
}

static int sequence_on(void *arg)
{
	struct race *race = arg;
	struct arena arena;
	struct db db = *race->db;
	int r = 0;

	arena_init(&arena, 64 * KILOBYTE, 16 * MEGABYTE);
	db.arena = &arena;
	while (race->writing > 0 && r == 0) {
		size_t count = 0;

		r = audit_chain_one(&db, &count);
		if (r == -ERR_NOT_FOUND || r == -ERR_CONFLICT) {
			race->lost++;
			r = 0;
		}
		arena_reset(&arena);
		if (r == 0)
			fiber_yield();
	}
	arena_done(&arena);
	return r;
}

static int run_race(const struct db *db, void *arg)
{
	struct race *race = arg;
	struct scope scope;
	int r = 0;

	race->db = db;
	race->writing = WRITERS;
	scope_open(&scope, TIME_NEVER);
	for (int i = 0; i < WRITERS && r == 0; i++)
		r = scope_spawn(&scope, write_on, race);
	for (int i = 0; i < SEQUENCERS && r == 0; i++)
		r = scope_spawn(&scope, sequence_on, race);
	return r < 0 ? r : scope_close(&scope);
}

WORLD_TEST(audit_sequencers_race, audit_world)
{
	struct race race = { 0 };
	struct audit_verdict verdict;

	world_do(world, "ada", run_race, &race);
	world_do(world, "ada", audit_chain_all, NULL);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.found, 0);
	EXPECT_INT(verdict.report.entries, WRITERS * WRITES * 3);
	EXPECT_INT(verdict.report.unchained, 0);
	if (!store_is_sqlite(world->store))
		EXPECT(race.lost > 0); /* else this would say nothing */
}

/* A transaction that writes an entry and commits late, when younger ones are chained. */
struct late {
	const struct db *db;
	bool chained;
};

static int write_late_in_tx(struct tx *tx, void *arg)
{
	struct some some = audit_some(1);
	struct late *late = arg;
	struct audit_mark head = { 0 };
	int r = tx_audit(tx, &some.actor, &some.entry);

	if (r == 0) /* so that it has reached the server */
		r = audit_mark_read(tx, AUDIT_HEAD, &head);
	nopark_end(); /* the test waits here on purpose */
	for (int i = 0; i < 1000 && r >= 0 && !late->chained; i++)
		r = fiber_sleep_until(clock_now_ns() + 10 * MILLISECOND);
	nopark_begin();
	return r < 0 ? r : 0;
}

static int write_late(void *arg)
{
	struct late *late = arg;
	struct arena arena;
	struct db db = *late->db;
	int r;

	arena_init(&arena, 64 * KILOBYTE, 16 * MEGABYTE);
	db.arena = &arena;
	r = db_write(&db, write_late_in_tx, late);
	arena_done(&arena);
	return r;
}

static int run_late(const struct db *db, void *arg)
{
	struct late late = { db, false };
	struct some some = audit_some(5);
	struct scope scope;
	int r;

	(void)arg;
	scope_open(&scope, TIME_NEVER);
	r = scope_spawn(&scope, write_late, &late);
	if (r == 0)
		r = fiber_sleep_until(clock_now_ns() + 100 * MILLISECOND);
	if (r == 0)
		r = audit_write_some(db, &some);
	if (r == 0)
		r = audit_sequence(db->store); /* neither waits for it nor leaves it room */
	late.chained = true;
	return r < 0 ? r : scope_close(&scope);
}

WORLD_TEST(audit_late_commit, audit_world)
{
	struct audit_verdict verdict;

	if (store_is_sqlite(world->store)) {
		test_skip("its transactions commit in their order");
		return;
	}
	world_do(world, "ada", run_late, NULL);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.entries, 5);
	EXPECT_INT(verdict.report.unchained, 1);
	world_do(world, "ada", audit_chain_all, NULL);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.entries, 6);
	EXPECT_INT(verdict.report.found, 0);
}

/* --- what was cut short --------------------------------------------------- */

static int chain_and_fail_in_tx(struct tx *tx, void *arg)
{
	struct audit_mark head = { 0 };
	int r = audit_mark_read(tx, AUDIT_HEAD, &head);

	(void)arg;
	if (r < 0)
		return r;
	head.sequence += 5;
	r = audit_mark_put(tx, &head, head.sequence - 5);
	return r < 0 ? r : fail(ERR_CANCELLED, "the power is gone");
}

static int chain_and_fail(const struct db *db, void *arg)
{
	EXPECT_INT(db_write(db, chain_and_fail_in_tx, arg), -ERR_CANCELLED);
	return 0;
}

WORLD_TEST(audit_batch_is_aborted, audit_world)
{
	struct some some = audit_some(7);

	world_do(world, "ada", audit_write_some, &some);
	world_do(world, "ada", audit_chain_all, NULL);
	world_do(world, "ada", audit_write_some, &some);
	world_do(world, "ada", chain_and_fail, NULL);
	EXPECT_INT(audit_verdict_of(world, NULL).report.found, 0);
	world_do(world, "ada", audit_chain_all, NULL);
	EXPECT_INT(audit_verdict_of(world, NULL).report.entries, 14);
	EXPECT_INT(audit_verdict_of(world, NULL).report.found, 0);
}

/* --- what goes ------------------------------------------------------------ */

#define DAY (24 * HOUR)

static int retain(const struct db *db, void *arg)
{
	(void)arg;
	return audit_retain(db->store, 90 * 24 * HOUR);
}

static int tell(const struct db *db, void *arg)
{
	(void)arg;
	return audit_tell(db->store);
}

WORLD_TEST(audit_retention_keeps_the_chain, tampered)
{
	struct some some = audit_some(2 * AUDIT_DELETE_BATCH + 10);
	struct audit_heads heads = { 0 };
	struct audit_verdict verdict;
	struct uuid tenant = world_tenant("ada");
	char text[AUDIT_HEAD_TEXT];
	struct saved saved;
	size_t done;

	clock_ahead(0);
	world_do(world, "ada", audit_write_some, &some);
	world_do(world, "ada", audit_chain_all, NULL);
	world_do(world, "ada", save, &saved);
	REQUIRE(audit_heads_add(&heads, audit_head_write(text, &tenant, &saved.marks[0]), true,
			&done) == 0);
	arena_done(&saved.arena);
	world_do(world, "ada", retain, NULL);
	EXPECT_INT(audit_verdict_of(world, &heads).report.entries, some.count);

	clock_ahead(60 * DAY);
	some.count = 7;
	world_do(world, "ada", audit_write_some, &some);
	world_do(world, "bob", audit_write_some, &some);
	world_do(world, "ada", audit_chain_all, NULL);
	clock_ahead(91 * DAY);
	world_do(world, "ada", audit_write_some, &some); /* not chained: stays in any case */
	world_do(world, "ada", retain, NULL);
	verdict = audit_verdict_of(world, &heads);
	EXPECT_INT(verdict.report.entries, 14);
	EXPECT_INT(verdict.report.unchained, 7);
	EXPECT_INT(verdict.report.found, 0);

	/* All of them go, and the chain goes on from where it was. */
	clock_ahead(200 * DAY);
	world_do(world, "ada", retain, NULL);
	verdict = audit_verdict_of(world, &heads);
	EXPECT_INT(verdict.report.entries, 0);
	EXPECT_INT(verdict.report.found, 0);
	world_do(world, "ada", audit_chain_all, NULL);
	verdict = audit_verdict_of(world, &heads);
	EXPECT_INT(verdict.report.entries, 7);
	EXPECT_INT(verdict.report.found, 0);

	world_do(world, "ada", save, &saved);
	EXPECT_INT(saved.mark_count, 2);
	arena_done(&saved.arena);
	do_tamper(world, &rows_delete, 1, 2 * AUDIT_DELETE_BATCH + 18); /* the first that is left */
	EXPECT(audit_verdict_of(world, NULL).report.found > 0);
	audit_heads_done(&heads);
	clock_back();
}

/* Old entries go also when they are not whole, but that stays known. */
WORLD_TEST(audit_retention_forgets_no_tampering, tampered)
{
	struct some some = audit_some(20);
	struct audit_verdict verdict;

	clock_ahead(0);
	world_do(world, "ada", audit_write_some, &some);
	world_do(world, "ada", audit_chain_all, NULL);
	clock_ahead(50 * DAY);
	world_do(world, "ada", audit_write_some, &some);
	world_do(world, "ada", audit_chain_all, NULL);
	do_tamper(world, &rows_delete, 5, 5);
	clock_ahead(91 * DAY);
	world_do(world, "ada", retain, NULL);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.entries, 20);
	EXPECT_INT(verdict.report.found, 1);
	EXPECT_INT(verdict.kinds[FINDING_DELETED], 1);
	EXPECT_INT(verdict.first, 6);

	clock_ahead(150 * DAY); /* also when more goes */
	world_do(world, "ada", retain, NULL);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.found, 1);
	EXPECT_INT(verdict.first, 6);
	clock_back();
}

/* The last one that goes is the one that the rest is verified from. */
WORLD_TEST(audit_retention_behind_a_lost_link, tampered)
{
	struct some some = audit_some(ENTRIES);
	struct audit_verdict verdict;

	clock_ahead(0);
	world_do(world, "ada", audit_write_some, &some);
	world_do(world, "ada", audit_chain_all, NULL);
	for (size_t i = 0; i < LEN(changes); i++)
		if (strcmp(changes[i].name, "test_change_no_chain") == 0)
			do_tamper(world, &changes[i], ENTRIES, 0);
	clock_ahead(91 * DAY);
	world_do(world, "ada", retain, NULL);
	world_do(world, "ada", audit_write_some, &some);
	world_do(world, "ada", audit_chain_all, NULL);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.entries, ENTRIES);
	EXPECT_INT(verdict.report.found, 1);
	EXPECT_INT(verdict.kinds[FINDING_DELETED], 1);
	clock_back();
}

/* One row that is none hides neither those behind it nor how many there are. */
WORLD_TEST(audit_unreadable_rows_are_passed, tampered)
{
	struct some some = audit_some(AUDIT_CHECK_BATCH + 20);
	struct audit_verdict verdict;

	world_do(world, "ada", audit_write_some, &some);
	do_tamper(world, &loose_garble, 0, 0);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.unchained, some.count);
	EXPECT_INT(verdict.report.found, 1);
	EXPECT_INT(verdict.kinds[FINDING_UNREADABLE], 1);

	world_do(world, "ada", audit_chain_all, NULL);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.entries, some.count - 1);
	EXPECT_INT(verdict.report.found, 1);
	EXPECT_INT(verdict.kinds[FINDING_UNREADABLE], 1);
}

/* --- who goes ------------------------------------------------------------- */

static int ask_to_erase_in_tx(struct tx *tx, void *arg)
{
	return audit_erase_user_in_tx(tx, arg);
}

static int ask_to_erase(const struct db *db, void *arg)
{
	return db_write(db, ask_to_erase_in_tx, arg);
}

static int erase(const struct db *db, void *arg)
{
	(void)arg;
	return audit_erase(db->store);
}

static void write_about(struct world *world, enum audit_kind kind, const char *user,
	const char *target, size_t count)
{
	struct some some = audit_some(count);

	some.actor.kind = kind;
	some.actor.user = str_from_c(user);
	some.entry.id = str_from_c(target);
	world_do(world, "ada", audit_write_some, &some);
}

#define ADA "01900000-0000-7000-8000-00000000000a"
#define EVE "01900000-0000-7000-8000-00000000000e"

WORLD_TEST(audit_erasure_keeps_the_chain, tampered)
{
	struct audit_verdict verdict;
	struct answer answer;
	struct uuid ada;

	REQUIRE(uuid_parse(S(ADA), &ada));
	clock_ahead(0);
	write_about(world, AUDIT_USER, ADA, ADA, AUDIT_ERASE_BATCH + 3);
	write_about(world, AUDIT_USER, ADA, EVE, 3);
	write_about(world, AUDIT_USER, EVE, ADA, 4);
	write_about(world, AUDIT_USER, EVE, EVE, 5);
	write_about(world, AUDIT_NOBODY, "", ADA, 6);
	world_do(world, "ada", audit_chain_all, NULL);
	world_do(world, "ada", ask_to_erase, &ada);
	world_do(world, "ada", ask_to_erase, &ada); /* again: the same */
	world_do(world, "ada", erase, NULL);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.erased, AUDIT_ERASE_BATCH + 3 + 3 + 4 + 6);
	EXPECT_INT(verdict.report.found, 0);

	/* Hers are gone, those of others are not. */
	answer = world_get(world, "ada", "/api/v1/audit?limit=100&userId=" EVE "&targetId=" ADA);
	EXPECT_INT(answer_count(&answer, "192.0.2.7"), 4);
	EXPECT_INT(answer_count(&answer, "@example.com"), 0);
	EXPECT_INT(answer_count(&answer, "{\"personal\":\""), 8);
	answer = world_get(world, "ada", "/api/v1/audit?limit=100&userId=" ADA "&targetId=" EVE);
	EXPECT_INT(answer_count(&answer, "192.0.2.7"), 0);
	EXPECT_INT(answer_count(&answer, "@example.com"), 6);
	answer = world_get(world, "ada", "/api/v1/audit?limit=100&targetId=" ADA);
	EXPECT_INT(answer_count(&answer, "192.0.2.7"), 4);
	EXPECT_INT(answer_count(&answer, "@example.com"), 0);
	answer = world_get(world, "ada", "/api/v1/audit?limit=100&userId=" EVE "&targetId=" EVE);
	EXPECT_INT(answer_count(&answer, "192.0.2.7"), 5);
	EXPECT_INT(answer_count(&answer, "@example.com"), 10);

	/* What came later goes in the second round, after which an entry tells of it. */
	write_about(world, AUDIT_USER, ADA, ADA, 2);
	world_do(world, "ada", erase, NULL);
	EXPECT_INT(audit_verdict_of(world, NULL).report.erased, AUDIT_ERASE_BATCH + 16);
	clock_ahead(16 * MINUTE);
	world_do(world, "ada", erase, NULL);
	world_do(world, "ada", audit_chain_all, NULL);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.erased, AUDIT_ERASE_BATCH + 18);
	EXPECT_INT(verdict.report.found, 0);
	answer = world_get(world, "ada", "/api/v1/audit?action=audit.erased");
	EXPECT_STR(str_from_c(answer_text(&answer, "targetId")), S(ADA));
	EXPECT_STR(str_from_c(answer_text(&answer, "kind")), S("program"));
	clock_back();
}

/* Whoever can write to the database cannot have it erase for them. */
static int forge_order(const struct db *db, void *arg)
{
	struct audit_ask ask = { .user_id = S(ADA), .seal = S("forged") };

	(void)arg;
	return db_exec(db, &audit_erasure_add, &ask);
}

WORLD_TEST(audit_erasure_is_not_forged, tampered)
{
	write_about(world, AUDIT_USER, ADA, ADA, 3);
	world_do(world, "ada", audit_chain_all, NULL);
	world_do(world, "ada", forge_order, NULL);
	world_do(world, "ada", erase, NULL);
	EXPECT_INT(audit_verdict_of(world, NULL).report.erased, 0);
	EXPECT_INT(audit_verdict_of(world, NULL).report.found, 0);
}

/* --- what the log knows --------------------------------------------------- */

static int64_t told_of(struct world *world)
{
	struct saved saved;
	int64_t told;

	world_do(world, "ada", save, &saved);
	told = saved.marks[0].told_sequence;
	arena_done(&saved.arena);
	return told;
}

WORLD_TEST(audit_heads_are_told, tampered)
{
	struct some some = audit_some(3);

	clock_ahead(0);
	world_do(world, "ada", audit_write_some, &some);
	world_do(world, "ada", audit_chain_all, NULL);
	world_do(world, "ada", tell, NULL);
	EXPECT_INT(told_of(world), 3);
	world_do(world, "ada", audit_write_some, &some);
	world_do(world, "ada", audit_chain_all, NULL);
	world_do(world, "ada", tell, NULL); /* not twice in a minute */
	EXPECT_INT(told_of(world), 3);
	clock_ahead(61 * SECOND);
	world_do(world, "ada", tell, NULL);
	EXPECT_INT(told_of(world), 6);
	clock_back();
}

/* --- each allocation fails in turn ---------------------------------------- */

#ifdef BULKHEAD_FAULTS
struct torture {
	int (*fn)(const struct db *db, void *arg);
	void *arg;
	size_t failed;
};

static int torture(const struct db *db, void *arg)
{
	struct torture *torture = arg;

	for (size_t nth = 1; nth < 60; nth++) {
		int r;

		fault_arm(FAULT_MEMORY, nth);
		r = torture->fn(db, torture->arg);
		fault_arm(FAULT_MEMORY, 0);
		EXPECT(r == 0 || r == -ERR_NO_MEMORY || r == -ERR_UNAVAILABLE);
		torture->failed += r < 0;
	}
	return 0;
}

static int verify(const struct db *db, void *arg)
{
	struct audit_verdict verdict = { .heads = arg };

	return audit_verify_all(db, &verdict);
}

/* On the thread of the transaction, whichever that is. */
static int write_torn_in_tx(struct tx *tx, void *arg)
{
	struct torture *torture = arg;
	struct some *some = torture->arg;
	int r;

	fault_arm(FAULT_MEMORY, torture->failed);
	r = tx_audit(tx, &some->actor, &some->entry);
	fault_arm(FAULT_MEMORY, 0);
	return r;
}

static int write_torn(const struct db *db, void *arg)
{
	struct torture work = { .arg = arg };
	int r = -1;

	for (work.failed = 1; work.failed < 100 && r < 0; work.failed++) {
		r = db_write(db, write_torn_in_tx, &work);
		EXPECT(r == 0 || r == -ERR_NO_MEMORY);
	}
	EXPECT(work.failed > 4);
	return r;
}

WORLD_TEST(audit_write_survives_failures, audit_world)
{
	struct some some = audit_some(1);

	world_do(world, "ada", write_torn, &some);
	world_do(world, "ada", audit_chain_all, NULL);
	EXPECT_INT(audit_verdict_of(world, NULL).report.entries, 1);
	EXPECT_INT(audit_verdict_of(world, NULL).report.found, 0);
}

WORLD_TEST(audit_survives_failures, tampered)
{
	struct audit_heads heads = { 0 };
	struct some some = audit_some(3);
	size_t failed = 0;
	struct uuid ada;
	struct torture cases[] = {
		{ audit_write_some, &some, 0 },
		{ audit_chain_all, NULL, 0 },
		{ tell, NULL, 0 },
		{ ask_to_erase, &ada, 0 },
		{ erase, NULL, 0 },
		{ verify, &heads, 0 },
		{ retain, NULL, 0 },
	};

	REQUIRE(uuid_parse(S(ADA), &ada));
	clock_ahead(0);
	some.actor.user = S(ADA);
	world_do(world, "ada", audit_write_some, &some);
	world_do(world, "ada", audit_chain_all, NULL);
	for (size_t i = 0; i < LEN(cases); i++) {
		clock_ahead((uint64_t)i * 25 * DAY);
		world_do(world, "ada", torture, &cases[i]);
		failed += cases[i].failed;
	}
	EXPECT(failed > (store_is_sqlite(world->store) ? 0 : 10));
	world_do(world, "ada", audit_chain_all, NULL);
	EXPECT_INT(audit_verdict_of(world, NULL).report.found, 0);
	clock_back();
}
#endif
