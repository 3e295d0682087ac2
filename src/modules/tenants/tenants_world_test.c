/* Tenants for tests, whom nobody has to make over HTTP. */
#include "modules/tenants/tenants_world_test.h"

#include "modules/tenants/tenants.h"

static const struct statement tenant_add = STATEMENT("test_world_tenant",
	.sql = "INSERT INTO main.tenant (tenant_id, slug, name, tier, status, settings, limits, "
	       "version, created_at, updated_at) VALUES (:tenant, :slug, :name, :tier, :status, "
	       ":settings, :limits, :version, :created_at, :updated_at) "
	       "ON CONFLICT (tenant_id) DO NOTHING",
	.in = &tenant_schema);
static const struct statement slug_add = STATEMENT("test_world_slug",
	.sql = "INSERT INTO main.tenant_slug (slug, id) VALUES (:slug, :tenant_id) "
	       "ON CONFLICT (slug) DO NOTHING",
	.in = &tenant_schema, .flags = STATEMENT_SYSTEM);

static const struct statement *const statements[] = { &tenant_add, &slug_add };

const struct module tenant_fixture_module = {
	MODULE_HEAD,
	.name = "tenant-fixture",
	.statements = statements,
	.statement_count = LEN(statements),
};

static int add_in_tx(struct tx *tx, void *arg)
{
	const struct tenant *tenant = arg;
	struct uuid id;
	int r = tx_exec(tx, &slug_add, tenant);

	REQUIRE(uuid_parse(tenant->tenant_id, &id));
	if (r == 0)
		r = tx_enter(tx, &id);
	if (r == 0)
		r = tx_exec(tx, &tenant_add, tenant);
	return r < 0 ? r : tx_leave(tx);
}

static int add(const struct db *db, void *arg)
{
	struct db system = db_of_system(db->store, db->arena);
	char id[UUID_TEXT_LEN];
	struct tenant tenant = {
		.tenant_id = str_of(id, sizeof(id)),
		.slug = str_from_c(arg),
		.name = str_from_c(arg),
		.version = 1,
		.created_at = 1000000,
		.updated_at = 1000000,
	};

	uuid_write(id, &db->tenant);
	return db_write(&system, add_in_tx, &tenant);
}

void world_make_tenant(struct world *world, const char *caller, const char *slug)
{
	world_do(world, caller, add, (void *)slug);
}
