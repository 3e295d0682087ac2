/* Users for tests. */
#include "modules/users/users_fixture_test.h"

#include "modules/rbac/rbac.h"
#include "modules/users/users_internal.h"

#include <stdio.h>

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
