/* The log across a change of the master key: whole for who has the new one, and nothing that the
 * former key could do afterwards goes unseen. */
#include "modules/audit/audit_test.h"

#include "http/server.h"
#include "observe/clock_test.h"

static const struct master_key second = { { 2 } };

enum { BEFORE = 5, BETWEEN = 3, AFTER = 4 };

/* --- rows in the hands of others ---------------------------------------------------------- */

static const struct statement moves = STATEMENT("test_era_moves",
	.sql = "UPDATE main.audit_era SET sequence = sequence + 1 WHERE tenant_id = :tenant");
static const struct statement changes = STATEMENT("test_era_changes",
	.sql = "UPDATE main.audit_era SET chain = seal WHERE tenant_id = :tenant");
static const struct statement vanishes = STATEMENT(
	"test_era_vanishes", .sql = "DELETE FROM main.audit_era WHERE tenant_id = :tenant");

static const struct statement *const statements[] = { &moves, &changes, &vanishes };

static const struct module hands_module = {
	MODULE_HEAD,
	.name = "era-test",
	.statements = statements,
	.statement_count = LEN(statements),
};

static const struct module *modules[8];

__attribute__((constructor)) static void join_modules(void)
{
	size_t count = 0;

	for (; audit_world[count]; count++)
		modules[count] = audit_world[count];
	modules[count] = &hands_module;
}

/* --- steps ------------------------------------------------------------------------------------ */

static void write_some(struct world *world, size_t count)
{
	struct some some = audit_some(count);

	world_do(world, "ada", audit_write_some, &some);
}

static void write_and_chain(struct world *world, size_t count)
{
	write_some(world, count);
	world_do(world, "ada", audit_chain_all, NULL);
}

static int reseal(const struct db *db, void *arg)
{
	struct server server = { .store = db->store, .former_key = &world_master_key };

	return audit_reseal(&server, arg);
}

/* A log whose key was changed in the middle; the second is in force. */
static void change_key(struct world *world)
{
	struct resealed counted = { 0 }, again = { 0 };
	struct audit_verdict verdict;

	write_and_chain(world, BEFORE);
	audit_keys_set(&second, &world_master_key);
	write_some(world, BETWEEN);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.found, 0);
	world_do(world, "o", reseal, &counted);
	EXPECT(counted.sealed >= 3 && counted.lost == 0);
	world_do(world, "o", reseal, &again);
	EXPECT(again.sealed <= 1 && again.lost == 0); /* the log of the system has begun */
	audit_keys_set(&second, NULL);
	write_and_chain(world, AFTER);
}

WORLD_TEST(audit_key_is_changed, modules)
{
	struct audit_verdict verdict;

	change_key(world);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.found, 0);
	EXPECT_INT(verdict.report.unchained, 0);
	EXPECT_INT(verdict.report.entries, BEFORE + BETWEEN + AFTER + 1);

	audit_keys_set(&second, NULL); /* as after a start: it knows nothing of former keys */
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.found, 0);
}

/* What is sealed with the former key behind its end was written by nobody. */
WORLD_TEST(audit_former_key_adds_nothing, modules)
{
	struct audit_verdict verdict;

	change_key(world);
	audit_keys_set(&world_master_key, NULL);
	write_some(world, 2);
	audit_keys_set(&second, NULL);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.kinds[FINDING_EDITED], 2);
	world_do(world, "ada", audit_chain_all, NULL);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.kinds[FINDING_EDITED], 2);
	EXPECT_INT(verdict.report.found, 2);
}

/* --- where it ends ------------------------------------------------------------------------ */

static int change(const struct db *db, void *arg)
{
	return db_exec(db, arg, NULL);
}

WORLD_TEST(audit_end_of_a_key_is_sealed, modules)
{
	const struct statement *const all[] = { &moves, &changes, &vanishes };

	change_key(world);
	for (size_t i = 0; i < LEN(all); i++) {
		struct audit_verdict verdict;

		world_do(world, "ada", change, (void *)all[i]);
		verdict = audit_verdict_of(world, NULL);
		EXPECT_INT(verdict.kinds[FINDING_MARK], all[i] == &vanishes ? 0 : 1);
		EXPECT_INT(verdict.kinds[FINDING_EDITED], BEFORE);
	}
}

/* The end as it would be, had somebody with the former key written another past. */
static int pretend_in_tx(struct tx *tx, void *arg)
{
	char chain[AUDIT_DIGEST_TEXT], seal[AUDIT_DIGEST_TEXT];
	struct audit_eras eras;
	struct audit_era era = { .key_id = str_of(audit_key_at(1)->id, AUDIT_KEY_ID),
		.chain = str_of(chain, sizeof(chain)),
		.seal = str_of(seal, sizeof(seal)) };
	int r = audit_eras_read(tx, &eras);

	(void)arg;
	REQUIRE(r == 0 && eras.count == 1);
	era.sequence = eras.at[0].until;
	memcpy(chain, eras.at[0].chain, sizeof(chain));
	chain[0] = chain[0] == 'A' ? 'B' : 'A';
	audit_era_seal(0, tx_tenant(tx), &era, seal);
	return tx_exec(tx, &audit_era_put, &era);
}

static int pretend(const struct db *db, void *arg)
{
	return db_write(db, pretend_in_tx, arg);
}

WORLD_TEST(audit_past_is_that_of_the_change, modules)
{
	struct audit_verdict verdict;

	change_key(world);
	verdict = audit_verdict_of(world, NULL); /* gets to know the former key: number 1 */
	world_do(world, "ada", pretend, NULL);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.kinds[FINDING_HEAD], 1);
	EXPECT_INT(verdict.report.found, 1);
}

/* --- retention ---------------------------------------------------------------------------- */

static int retain(const struct db *db, void *arg)
{
	(void)arg;
	return audit_retain(db->store, 30 * 24 * HOUR);
}

static int count_keys(const struct db *db, void *arg)
{
	struct db system = db_of(db->store, &tenant_system, db->arena);
	struct audit_former *rows;

	return db_all(&system, &audit_former_list, NULL, &rows, arg);
}

/* Nobody keeps a former key for entries that are gone. */
WORLD_TEST(audit_former_key_goes_with_its_entries, modules)
{
	struct audit_verdict verdict;
	size_t count = 0;

	change_key(world);
	world_do(world, "o", retain, NULL);
	world_do(world, "o", count_keys, &count);
	EXPECT_INT(count, 1);
	clock_pass(31 * 24 * HOUR);
	write_and_chain(world, 1);
	world_do(world, "o", retain, NULL);
	world_do(world, "o", count_keys, &count);
	EXPECT_INT(count, 0);
	audit_keys_set(&second, NULL);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.found, 0);
	clock_back();
}
