/*
 * The chain: every change of its rows is found, whatever it is, and what chains, deletes and erases
 * leaves it whole, in whatever order and however often it happens.
 */
#include "modules/audit/audit_test.h"

#include "base/fault.h"
#include "crypto/random.h"
#include "http/server.h"
#include "observe/clock.h"

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
	audit_keys_set(&other);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.found, 1);
	EXPECT_INT(verdict.kinds[FINDING_KEY], 1);

	/* Nothing is chained behind a head that was sealed with another key. */
	world_do(world, "ada", audit_write_some, &some);
	world_do(world, "ada", audit_chain_all, NULL);
	audit_keys_set(&world_master_key);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.unchained, 3);
	EXPECT_INT(verdict.kinds[FINDING_EDITED], 3); /* in the tail: written under the other one */
	EXPECT_INT(verdict.report.found, 3);
}

/* --- rows in the hands of others ---------------------------------------------------------------
 */

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
		&marks_clear, &rows_delete, &row_move, &row_loosen };
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

/* --- saving and restoring ----------------------------------------------------------------------
 */

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

/* --- one change
 * ------------------------------------------------------------------------------------ */

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

/* --- random ones
 * ---------------------------------------------------------------------------------- */

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
	audit_mark_seal(&tenant, &head, seal);
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
