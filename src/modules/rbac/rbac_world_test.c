/* The world of the tests of this module. */
#include "modules/rbac/rbac_world_test.h"

#include "http/server.h"
#include "rest/idempotency.h"

#include <stdio.h>

/* --- things that rights are about ---------------------------------------------------- */

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

struct tally {
	struct str text;
	int64_t count;
};

/* clang-format off */
static const struct schema tally_schema = SCHEMA(tally, "How many there are of a kind.",
	FIELD(tally, text, "Which."),
	FIELD(tally, count, "So many."));
/* clang-format on */

static const struct statement audit_tally = STATEMENT("test_audit_tally",
	.sql = "SELECT count(*) AS count FROM audit WHERE tenant_id = :tenant AND action = :text",
	.in = &tally_schema, .out = &tally_schema);
static const struct statement event_tally = STATEMENT("test_event_tally",
	.sql = "SELECT count(*) AS count FROM outbox WHERE tenant_id = :tenant AND type = :text",
	.in = &tally_schema, .out = &tally_schema);

static const struct statement member_wipe = STATEMENT("test_member_wipe",
	.sql = "DELETE FROM main.role_member WHERE tenant_id = :tenant AND role = :text",
	.in = &tally_schema);

static const struct statement *const statements[] = { &audit_tally, &event_tally, &member_wipe };

/* --- keys ---------------------------------------------------------------------------- */

static int (*identify_user)(struct req *, struct caller *ret);

static struct str scopes_of(const struct req *req)
{
	for (size_t i = 0; i < req->head.count; i++)
		if (str_eq_nocase(req->head.fields[i].name, S("x-key")))
			return req->head.fields[i].value;
	return str_of(NULL, 0);
}

static int identify(struct req *req, struct caller *ret)
{
	struct str scopes = scopes_of(req);
	int r = identify_user(req, ret);
	struct rights *rights;

	if (r < 0 || scopes.len == 0)
		return r;
	rights = arena_new(&req->arena, struct rights);
	if (!rights)
		return -(int)err_last()->code;
	while (scopes.len)
		(void)rights_add(rights, str_cut(&scopes, ' '));
	ret->kind = CALLER_SECRET;
	ret->owner = ret->id;
	ret->rights = rights;
	return 0;
}

static int open_things(struct server *server)
{
	identify_user = server->hooks.identify;
	server->hooks.identify = identify;
	return 0;
}

static const struct module things_module = {
	MODULE_HEAD,
	.name = "things",
	.routes = routes,
	.route_count = LEN(routes),
	.statements = statements,
	.statement_count = LEN(statements),
	.open = open_things,
};

const struct module *const rbac_world[] = { &rest_module, &things_module, &audit_module,
	&rbac_module, NULL };

const char *world_doors(struct world *world, const char *caller)
{
	static char text[LEN(routes) + 1];
	size_t len = 0;

	for (size_t i = 0; i < LEN(routes); i++)
		if (world_get(world, caller, "%s", routes[i].path).status == 204)
			text[len++] = routes[i].path[1];
	text[len] = '\0';
	return text;
}

/* --- users --------------------------------------------------------------------------- */

struct grant {
	struct uuid user;
	const char *role;
	int result;
};

/* That of an operator is one of the tenant of the installation, not of all. */
static struct db own_db(const struct db *db)
{
	return db_of(db->store, &db->tenant, db->arena);
}

static int grant_in_tx(struct tx *tx, void *arg)
{
	const struct grant *grant = arg;

	return grant->role ? rbac_grant_in_tx(tx, &grant->user, str_from_c(grant->role))
			   : rbac_add_in_tx(tx, &grant->user);
}

static int grant_db(const struct db *db, void *arg)
{
	struct grant *grant = arg;
	struct db own = own_db(db);

	grant->result = db_write(&own, grant_in_tx, grant);
	return 0;
}

int world_give(struct world *world, const char *name, const char *role)
{
	struct grant grant = { world_user(str_from_c(name)), role, 0 };

	world_do(world, name, grant_db, &grant);
	return grant.result;
}

const char *world_roles_path(const char *method, const char *name)
{
	static char text[200];
	struct uuid id = world_user(str_from_c(name));
	char user[UUID_TEXT_LEN];

	uuid_write(user, &id);
	(void)snprintf(
		text, sizeof(text), "%s /api/v1/users/%.*s/roles", method, UUID_TEXT_LEN, user);
	return text;
}

struct asking {
	struct uuid user;
	struct rights rights;
};

static int ask_rights(const struct db *db, void *arg)
{
	struct asking *asking = arg;
	struct texts roles;

	return rbac_rights(
		db->store, &db->tenant, &asking->user, db->arena, &asking->rights, &roles);
}

struct rights world_rights(struct world *world, const char *name)
{
	struct asking asking = { .user = world_user(str_from_c(name)) };

	world_do(world, name, ask_rights, &asking);
	return asking.rights;
}

/* --- what was written ---------------------------------------------------------------- */

static int tally_audits(const struct db *db, void *arg)
{
	struct db own = own_db(db);

	return db_one(&own, &audit_tally, arg, arg);
}

static int tally_events(const struct db *db, void *arg)
{
	struct db own = own_db(db);

	return db_one(&own, &event_tally, arg, arg);
}

int64_t world_audits(struct world *world, const char *caller, const char *action)
{
	struct tally tally = { .text = str_from_c(action) };

	world_do(world, caller, tally_audits, &tally);
	return tally.count;
}

int64_t world_events(struct world *world, const char *caller, const char *type)
{
	struct tally tally = { .text = str_from_c(type) };

	world_do(world, caller, tally_events, &tally);
	return tally.count;
}

static int wipe(const struct db *db, void *arg)
{
	struct tally tally = { .text = str_from_c(arg) };
	struct db own = own_db(db);

	return db_exec(&own, &member_wipe, &tally);
}

void world_take_silently(struct world *world, const char *caller, const char *role)
{
	world_do(world, caller, wipe, (void *)(uintptr_t)role);
}
