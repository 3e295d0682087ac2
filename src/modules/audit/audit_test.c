/* Entries, their chain, and what is told of them, on both engines. */
#include "modules/audit/audit_internal.h"

#include "rest/idempotency.h"
#include "rest/world_test.h"

static const struct module *const modules[] = { &rest_module, &audit_module, NULL };

struct person {
	struct str id, email, password;
};

/* clang-format off */
static const struct schema person_schema = SCHEMA(person, "Somebody.",
	FIELD(person, id, "Who."),
	FIELD(person, email, "Where.", .flags = PERSONAL),
	FIELD(person, password, "Never told.", .flags = SECRET));
/* clang-format on */

static int write_in_tx(struct tx *tx, void *arg)
{
	static const struct person ada = { S_INIT("1"), S_INIT("ada@example.com"),
		S_INIT("xyzzy") };
	static const struct audit_actor actor = { AUDIT_NOBODY, .address = S_INIT("192.0.2.1") };
	struct audit_entry entry = { .action = S("user.created"),
		.type = S("user"),
		.id = S("1"),
		.schema = &person_schema,
		.after = &ada };

	(void)arg;
	return tx_audit(tx, &actor, &entry);
}

static int write_one(const struct db *db, void *arg)
{
	return db_write(db, write_in_tx, arg);
}

WORLD_TEST(audit_entry_is_written, modules)
{
	REQUIRE(schema_compile(&person_schema) == 0);
	world_do(world, "ada", write_one, NULL);
	schema_release(&person_schema);
}
