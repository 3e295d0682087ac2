/* Roles and rights over HTTP on both engines: who may do what, who may give what, and that nothing
 * of it is stale or reaches another tenant. */
#include "modules/rbac/rbac_internal.h"

#include "rest/idempotency.h"
#include "rest/world_test.h"

#include <stdio.h>

/* --- things that rights are about ---------------------------------------------------------- */

static int hello(struct req *req, const struct nothing *in, struct nothing *out)
{
	(void)req, (void)in, (void)out;
	return 0;
}
HANDLER(hello, nothing, nothing, 0)

#define GUARDED(path, right)                                                                       \
	{                                                                                          \
		HTTP_GET, path, "Whether one is let in", .place = ROUTE_PUBLIC,                    \
							 .handler = &hello_handler, .need = right  \
	}

static const struct route routes[] = {
	GUARDED("/look", "jobs:read"),
	GUARDED("/work", "jobs:write"),
	GUARDED("/users", "users:write"),
	GUARDED("/keys", "keys:read"),
	GUARDED("/tenant", "tenant:write"),
	GUARDED("/operate", "platform:things"),
	GUARDED("/self", RIGHT_SELF),
	GUARDED("/public", RIGHT_PUBLIC),
};

static const struct module things_module = {
	MODULE_HEAD,
	.name = "things",
	.routes = routes,
	.route_count = LEN(routes),
};

static const struct module *const modules[] = { &rest_module, &things_module, &audit_module,
	&rbac_module, NULL };

/* --- helpers --------------------------------------------------------------------------------- */

struct grant {
	struct uuid user;
	struct str role; /* empty: none */
	int result;
};

static int grant_in_tx(struct tx *tx, void *arg)
{
	const struct grant *grant = arg;

	return grant->role.len ? rbac_grant_in_tx(tx, &grant->user, grant->role)
			       : rbac_add_in_tx(tx, &grant->user);
}

static int grant_db(const struct db *db, void *arg)
{
	struct grant *grant = arg;
	struct db own = db_of(db->store, &db->tenant, db->arena);

	grant->result = db_write(&own, grant_in_tx, grant);
	return 0;
}

/* Makes a user with a role, "" for none. */
static int give(struct world *world, const char *name, const char *role)
{
	struct grant grant = { world_user(str_from_c(name)), str_from_c(role), 0 };

	world_do(world, name, grant_db, &grant);
	return grant.result;
}

static int status_of(struct world *world, const char *caller, const char *path)
{
	return world_get(world, caller, "%s", path).status;
}

/* Which of the paths are open to a caller: a letter each. */
static const char *doors(struct world *world, const char *caller)
{
	static char text[LEN(routes) + 1];
	size_t len = 0;

	for (size_t i = 0; i < LEN(routes); i++)
		if (status_of(world, caller, routes[i].path) == 204)
			text[len++] = routes[i].path[1];
	text[len] = '\0';
	return text;
}

/* --- the built-in roles ----------------------------------------------------------------------- */

WORLD_TEST(rbac_roles_open_doors, modules)
{
	static const struct {
		const char *caller, *role, *doors;
	} cases[] = {
		{ "anna", "owner", "lwuktsp" },
		{ "adam", "admin", "lwuktsp" },
		{ "amy", "member", "lwsp" },
		{ "alex", "viewer", "lsp" },
		{ "abel", "", "sp" },
		{ "otto", "owner", "lwuktosp" },
		{ "olga", "admin", "lwuktosp" },
		{ "omar", "member", "lwsp" },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		EXPECT_STR(str_from_c(doors(world, cases[i].caller)), S("p"));
		EXPECT_INT(give(world, cases[i].caller, cases[i].role), 0);
		EXPECT_STR(str_from_c(doors(world, cases[i].caller)), str_from_c(cases[i].doors));
	}
	EXPECT_STR(str_from_c(doors(world, "nemo")), S("p"));
	EXPECT_STR(str_from_c(doors(world, NULL)), S("p"));
	EXPECT_INT(give(world, "anna", "no-such-role"), -ERR_NOT_FOUND);
}
