/* Handlers, their contract, and the module. */
#include "modules/rbac/rbac_internal.h"

#include "base/embed.h"
#include "http/server.h"
#include "rest/db.h"
#include "rest/page.h"
#include "rest/write.h"

EMBED_TEXT(rbac_sql, "src/modules/rbac/rbac.sql");

#define FAILS_READ   ROUTE_FAILS(NOT_FOUND)
#define FAILS_GIVE   ROUTE_FAILS(FORBIDDEN) | ROUTE_FAILS(CONFLICT) | ROUTE_FAILS(INVALID)
#define FAILS_CHANGE FAILS_READ | FAILS_GIVE

/* --- roles --------------------------------------------------------------------------- */

/* A change that was refused because it goes too far is told to the tenant. */
static int refused(struct req *req, int r, struct str type, struct str id)
{
	struct refusal refusal = { .type = type, .id = id };
	struct db db = req_db(req);
	struct err err;

	if (r != -ERR_FORBIDDEN)
		return r;
	err = *err_last();
	refusal.actor = audit_actor_of(req);
	r = db_write(&db, refusal_in_tx, &refusal);
	return r < 0 ? r : err_restore(&err);
}

static int role_create(struct req *req, const struct role_new *in, struct role *out)
{
	struct role_create create = { asker_of(req), in, out };
	int r = req_write(req, role_create_in_tx, &create);

	return refused(req, r, S("role"), in->name);
}
HANDLER(role_create, role_new, role, FAILS_GIVE)

static int built_in_make(struct req *req, enum built_in which, struct role *ret)
{
	const struct built_in_role *role = &built_in_roles[which];
	struct db db = req_db(req);
	const struct rights *rights = built_in_rights(which, &db.tenant);
	struct texts texts = { arena_alloc(&req->arena, (rights_count() + 1) * sizeof(*texts.at)),
		0 };

	if (!texts.at)
		return -(int)err_last()->code;
	for (size_t i = 0; i < rights_count(); i++)
		if (rights_has(rights, right_at(i)))
			texts.at[texts.count++] = right_at(i);
	*ret = (struct role){ .name = role->name,
		.description = role->text,
		.rights = texts,
		.built_in = true,
		.version = 1 };
	return 0;
}

static int roles_list(struct req *req, const struct nothing *in, struct role_page *out)
{
	struct db db = req_db(req);
	struct role *own, *all;
	size_t count;
	int r = db_all(&db, &role_list, NULL, &own, &count);

	(void)in;
	if (r < 0)
		return r;
	all = arena_alloc(&req->arena, (BUILT_IN_ROLES + count) * sizeof(*all));
	if (!all)
		return -(int)err_last()->code;
	for (int i = 0; i < BUILT_IN_ROLES && r == 0; i++)
		r = built_in_make(req, (enum built_in)i, &all[i]);
	if (r < 0)
		return r;
	if (count)
		memcpy(all + BUILT_IN_ROLES, own, count * sizeof(*all));
	out->items.at = all;
	out->items.count = BUILT_IN_ROLES + count;
	return 0;
}
HANDLER(roles_list, nothing, role_page, 0)

static int role_show(struct req *req, const struct role_ref *in, struct role *out)
{
	int built_in = built_in_find(in->name);
	struct db db = req_db(req);

	return built_in >= 0 ? built_in_make(req, (enum built_in)built_in, out)
			     : db_one(&db, &role_get, in, out);
}
HANDLER(role_show, role_ref, role, FAILS_READ)

static int role_patch(struct req *req, const struct role_patch *in, struct role *out)
{
	struct role_change change = { asker_of(req), req, in->name, in, out };
	int r = req_write(req, role_change_in_tx, &change);

	return refused(req, r, S("role"), in->name);
}
HANDLER(role_patch, role_patch, role, FAILS_CHANGE)

static int role_remove(struct req *req, const struct role_ref *in, struct nothing *out)
{
	struct role_change change = { asker_of(req), req, in->name, NULL, NULL };
	int r = req_write(req, role_change_in_tx, &change);

	(void)out;
	return refused(req, r, S("role"), in->name);
}
HANDLER(role_remove, role_ref, nothing, FAILS_CHANGE)

static const struct page_order oldest_first = {
	.name = S_INIT("members of a role, oldest first"),
	.list = &role_member_list,
	.key = { "user_id" },
	.after = { "after_id" },
	.start = { UUID_FIRST },
};

static int members_list(struct req *req, const struct member_query *in, struct member_page *out)
{
	struct member_query query = *in;
	struct role_ref ref = { .name = in->name };
	struct db db = req_db(req);
	struct role role;
	int r = built_in_find(in->name) >= 0 ? 0 : db_one(&db, &role_get, &ref, &role);

	if (r == 0)
		r = page_begin(req, &oldest_first, in->cursor, &query);
	if (r == 0)
		r = db_all(&db, &role_member_list, &query, &out->items.at, &out->items.count);
	if (r < 0)
		return r;
	return page_end(req, &oldest_first, in->limit, out->items.at, &out->items.count);
}
HANDLER(members_list, member_query, member_page, FAILS_READ)

/* --- users and rights ---------------------------------------------------------------- */

static int user_roles_show(struct req *req, const struct member_ref *in, struct user_roles *out)
{
	struct db db = req_db(req);
	struct holding holding = { 0 };
	struct uuid user;
	int r;

	CHECK(uuid_parse(in->id, &user));
	r = holding_get_db(&db, &user, &holding);
	if (r < 0)
		return r;
	if (!holding.known)
		return fail(ERR_NOT_FOUND, "there is no such user");
	return user_roles_make(&req->arena, in->id, &holding, out);
}
HANDLER(user_roles_show, member_ref, user_roles, FAILS_READ)

static int user_roles_put(struct req *req, const struct user_roles_new *in, struct user_roles *out)
{
	struct roles_set set = {
		.asker = asker_of(req), .req = req, .roles = &in->roles, .ret = out
	};
	int r;

	CHECK(uuid_parse(in->id, &set.user));
	r = req_write(req, roles_set_in_tx, &set);
	return refused(req, r, S("user"), in->id);
}
HANDLER(user_roles_put, user_roles_new, user_roles, FAILS_CHANGE)

/* Those of platform: are shown to whose they can be. */
static int rights_list(struct req *req, const struct nothing *in, struct right_page *out)
{
	struct db db = req_db(req);
	bool system = uuid_cmp(&db.tenant, &tenant_system) == 0;
	size_t room = rights_count() + 1;

	(void)in;
	out->items.at = arena_alloc(&req->arena, room * sizeof(*out->items.at));
	if (!out->items.at)
		return -(int)err_last()->code;
	for (size_t i = 0; i < rights_count(); i++) {
		struct right_info info = { .right = right_at(i) };

		if (right_is_platform(info.right) && !system)
			continue;
		info.roles.at =
			arena_alloc(&req->arena, BUILT_IN_ROLES_MAX * sizeof(*info.roles.at));
		if (!info.roles.at)
			return -(int)err_last()->code;
		info.roles.count = right_roles(info.right, info.roles.at);
		out->items.at[out->items.count++] = info;
	}
	return 0;
}
HANDLER(rights_list, nothing, right_page, 0)

/* --- the contract -------------------------------------------------------------------- */

#define READS(text, handler_)                                                                      \
	text, .place = ROUTE_PUBLIC, .handler = &(handler_), .need = "roles:read"
#define WRITES(text, handler_)                                                                     \
	text, .place = ROUTE_PUBLIC, .handler = &(handler_), .need = "roles:write"

/* clang-format off */
static const struct route routes[] = {
	{ HTTP_GET, "/api/v1/roles", READS("List the roles", roles_list_handler), .out = &role_page_schema },
	{ HTTP_POST, "/api/v1/roles", WRITES("Make a role", role_create_handler),
		.in = &role_new_schema, .out = &role_schema, .status = 201, .idempotent = true,
		.versioned = true, .may_fail = FAILS_GIVE },
	{ HTTP_GET, "/api/v1/roles/{name}", READS("Show a role", role_show_handler),
		.in = &role_ref_schema, .out = &role_schema, .versioned = true, .may_fail = FAILS_READ },
	{ HTTP_PATCH, "/api/v1/roles/{name}", WRITES("Change a role", role_patch_handler),
		.in = &role_patch_schema, .out = &role_schema, .versioned = true, .may_fail = FAILS_CHANGE },
	{ HTTP_DELETE, "/api/v1/roles/{name}", WRITES("Delete a role that nobody has", role_remove_handler),
		.in = &role_ref_schema, .versioned = true, .may_fail = FAILS_CHANGE },
	{ HTTP_GET, "/api/v1/roles/{name}/members", READS("List who has a role", members_list_handler),
		.in = &member_query_schema, .out = &member_page_schema, .may_fail = FAILS_READ },

	{ HTTP_GET, "/api/v1/users/{id}/roles", READS("Show the roles of a user", user_roles_show_handler),
		.in = &member_ref_schema, .out = &user_roles_schema, .versioned = true, .may_fail = FAILS_READ },
	{ HTTP_PUT, "/api/v1/users/{id}/roles", WRITES("Set the roles of a user", user_roles_put_handler),
		.in = &user_roles_new_schema, .out = &user_roles_schema, .versioned = true,
		.may_fail = FAILS_CHANGE },

	{ HTTP_GET, "/api/v1/rights", READS("List the rights that there are", rights_list_handler),
		.out = &right_page_schema },
};
/* clang-format on */

/* --- the module ---------------------------------------------------------------------- */

static int gather(const struct server *server)
{
	int r = rights_begin();

	for (size_t i = 0; i < server->site_count; i++)
		for (const struct router_entry *entry = server->sites[i].router.first;
			entry && r == 0; entry = entry->next)
			r = right_of_route(entry->route);
	built_in_refresh();
	return r;
}

static int open_module(struct server *server)
{
	int r = gather(server);

	if (r == 0)
		r = schema_compile(&user_state_schema);
	if (r < 0)
		return r;
	r = rbac_check_open(server);
	if (r < 0)
		schema_release(&user_state_schema);
	return r;
}

static void close_module(struct server *server)
{
	rbac_check_close(server);
	schema_release(&user_state_schema);
}

const struct module rbac_module = {
	MODULE_HEAD,
	.name = "rbac",
	.routes = routes,
	.route_count = LEN(routes),
	.migrations = rbac_sql,
	.statements = rbac_statements,
	.statement_count = RBAC_STATEMENTS,
	.open = open_module,
	.close = close_module,
};
