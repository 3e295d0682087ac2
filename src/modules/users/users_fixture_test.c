/* Tenants and users for tests. */
#include "modules/users/users_fixture_test.h"

#include "modules/rbac/rbac.h"
#include "modules/tenants/tenants.h"
#include "modules/users/users_internal.h"

#include <stdio.h>

static const struct statement tenant_add = STATEMENT("test_world_tenant",
	.sql = "INSERT INTO main.tenant (tenant_id, slug, name, tier, status, settings, limits, "
	       "version, created_at, updated_at) VALUES (:tenant, :slug, :name, :tier, :status, "
	       ":settings, :limits, :version, :created_at, :updated_at)",
	.in = &tenant_schema);
static const struct statement slug_add = STATEMENT("test_world_slug",
	.sql = "INSERT INTO main.tenant_slug (slug, id) VALUES (:slug, :tenant_id)",
	.in = &tenant_schema, .flags = STATEMENT_SYSTEM);

static const struct statement *const statements[] = { &tenant_add, &slug_add };

const struct module user_fixture_module = {
	MODULE_HEAD,
	.name = "user-fixture",
	.statements = statements,
	.statement_count = LEN(statements),
};

static int add_tenant_in_tx(struct tx *tx, void *arg)
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

static int add_tenant(const struct db *db, void *arg)
{
	struct db system = db_of_system(db->store, db->arena);
	char id[UUID_TEXT_LEN];
	struct tenant tenant = {
		.tenant_id = str_of(id, sizeof(id)),
		.slug = str_from_c(arg),
		.name = arena_printf(db->arena, "Tenant %s", (const char *)arg),
		.version = 1,
		.created_at = 1000000,
		.updated_at = 1000000,
	};

	uuid_write(id, &db->tenant);
	return db_write(&system, add_tenant_in_tx, &tenant);
}

void world_make_tenant(struct world *world, const char *caller)
{
	char slug[3] = { (char)(*caller | 0x20), (char)(*caller | 0x20) };

	world_do(world, caller, add_tenant, slug);
}

struct making {
	const char *name, *role;
};

static int make_in_tx(struct tx *tx, void *arg)
{
	const struct making *making = arg;
	struct uuid id = world_user(str_from_c(making->name));
	struct user user = {
		.name = str_from_c(making->name),
		.version = 1,
		.created_at = tx_now_us(tx),
		.updated_at = tx_now_us(tx),
	};
	int r = user_id_text(tx, &id, &user.id);

	user.email = arena_printf(tx_arena(tx), "%s@example.org", making->name);
	if (r == 0)
		r = user_write(tx, &user_insert, &user);
	if (r == 0)
		r = rbac_add_in_tx(tx, &id);
	return r == 0 && *making->role ? rbac_grant_in_tx(tx, &id, str_from_c(making->role)) : r;
}

static int make(const struct db *db, void *arg)
{
	struct db own = db_of(db->store, &db->tenant, db->arena);

	return db_write(&own, make_in_tx, arg);
}

void world_make_user(struct world *world, const char *name, const char *role)
{
	struct making making = { name, role };

	world_do(world, name, make, &making);
}
