/* Entries for tests, and a clock. */
#include "modules/audit/audit_test.h"

#include "http/server.h"
#include "rest/idempotency.h"

/* clang-format off */
const struct schema subject_schema = SCHEMA(subject, "Somebody.",
	FIELD(subject, id, "Who."),
	FIELD(subject, email, "Where.", .flags = PERSONAL),
	FIELD(subject, password, "Never told.", .flags = SECRET),
	FIELD(subject, age, "How old."));
/* clang-format on */

static int open_fixture(struct server *server)
{
	(void)server;
	return schema_compile(&subject_schema);
}

static void close_fixture(struct server *server)
{
	(void)server;
	schema_release(&subject_schema);
}

static const struct module fixture = { MODULE_HEAD, .name = "audit-fixture", .open = open_fixture,
	.close = close_fixture };

const struct module *const audit_world[] = { &rest_module, &audit_module, &fixture, NULL };

/* --- writing ------------------------------------------------------------------------------- */

struct some audit_some(size_t count)
{
	static const struct subject before = { S_INIT("1"), S_INIT("ada@example.com"),
		S_INIT("xyzzy"), 36 };
	static const struct subject after = { S_INIT("1"), S_INIT("countess@example.com"),
		S_INIT("plugh"), 37 };

	return (struct some){
		.actor = { .kind = AUDIT_USER,
			.user = S("01900000-0000-7000-8000-0000000000aa"),
			.session = S("01900000-0000-7000-8000-0000000000bb"),
			.address = S("192.0.2.7"),
			.request = S("r-1"),
			.trace = S("4bf92f3577b34da6a3ce929d0e0e4736") },
		.entry = { .action = S("user.updated"),
			.type = S("user"),
			.id = S("01900000-0000-7000-8000-0000000000cc"),
			.schema = &subject_schema,
			.before = &before,
			.after = &after },
		.count = count,
	};
}

static int write_in_tx(struct tx *tx, void *arg)
{
	struct some *some = arg;
	int r = 0;

	for (size_t i = 0; i < some->count && r == 0; i++)
		r = tx_audit(tx, &some->actor, &some->entry);
	return r;
}

int audit_write_some(const struct db *db, void *arg)
{
	return db_write(db, write_in_tx, arg);
}

/* --- chaining and verifying ------------------------------------------------------------------- */

int audit_chain_all(const struct db *db, void *arg)
{
	(void)arg;
	return audit_sequence(db->store);
}

int audit_verify_all(const struct db *db, void *arg)
{
	struct audit_heads none = { 0 };
	struct audit_verdict *verdict = arg;
	int r = audit_verify(
		db->store, verdict->heads ? verdict->heads : &none, db->arena, &verdict->report);

	memset(verdict->kinds, 0, sizeof(verdict->kinds));
	verdict->first = 0;
	for (size_t i = 0; r == 0 && i < verdict->report.count; i++)
		verdict->kinds[verdict->report.at[i].kind]++;
	if (r == 0 && verdict->report.count > 0)
		verdict->first = verdict->report.at[0].sequence;
	verdict->report.at = NULL;
	return r;
}

struct audit_verdict audit_verdict_of(struct world *world, struct audit_heads *heads)
{
	struct audit_verdict verdict = { .heads = heads };

	world_do(world, "ada", audit_verify_all, &verdict);
	return verdict;
}
