/* Handlers, their contract, and the module. */
#include "modules/tenants/tenants_internal.h"

#include "base/embed.h"
#include "http/server.h"
#include "rest/db.h"
#include "rest/page.h"
#include "rest/write.h"

EMBED_TEXT(tenants_sql, "src/modules/tenants/tenants.sql");

#define READ_FAILS   ROUTE_FAILS(NOT_FOUND)
#define CHANGE_FAILS READ_FAILS | ROUTE_FAILS(CONFLICT) | ROUTE_FAILS(INVALID)

/* --- for operators -------------------------------------------------------------------- */

static int tenant_create(struct req *req, const struct tenant_new *in, struct tenant *out)
{
	struct audit_actor actor = audit_actor_of(req);
	struct tenant_create create = { in, out, &actor };

	return req_system_write(req, tenant_create_in_tx, &create);
}
HANDLER(tenant_create, tenant_new, tenant, ROUTE_FAILS(CONFLICT))

static const struct page_order newest_first = {
	.name = S_INIT("tenants, newest first"),
	.list = &tenant_list,
	.key = { "tenant_id" },
	.after = { "after_id" },
	.start = { UUID_LAST },
};

static int tenants_list(struct req *req, const struct tenant_query *in, struct tenant_page *out)
{
	struct tenant_query query = *in;
	struct db db = req_system_db(req);
	int r;

	r = page_begin(req, &newest_first, in->cursor, &query);
	if (r < 0)
		return r;
	r = db_all(&db, &tenant_list, &query, &out->items.at, &out->items.count);
	if (r < 0)
		return r;
	return page_end(req, &newest_first, in->limit, out->items.at, &out->items.count);
}
HANDLER(tenants_list, tenant_query, tenant_page, 0)

static int tenant_get(struct req *req, const struct tenant_ref *in, struct tenant *out)
{
	struct db db = req_system_db(req);

	return db_one(&db, &tenant_by_id, in, out);
}
HANDLER(tenant_get, tenant_ref, tenant, READ_FAILS)

static int tenant_update(struct req *req, const struct tenant_patch *in, struct tenant *out)
{
	struct tenant_change change = {
		.req = req, .patch = in, .ret = out, .actor = audit_actor_of(req)
	};

	CHECK(uuid_parse(in->id, &change.id));
	return req_system_write(req, tenant_change_in_tx, &change);
}
HANDLER(tenant_update, tenant_patch, tenant, CHANGE_FAILS)

static int move(
	struct req *req, const struct tenant_ref *in, enum tenant_status to, struct tenant *out)
{
	struct tenant_change change = {
		.req = req, .to = to, .ret = out, .actor = audit_actor_of(req)
	};

	CHECK(uuid_parse(in->id, &change.id));
	return req_system_write(req, tenant_change_in_tx, &change);
}

static int tenant_suspend(struct req *req, const struct tenant_ref *in, struct tenant *out)
{
	return move(req, in, TENANT_SUSPENDED, out);
}
HANDLER(tenant_suspend, tenant_ref, tenant, CHANGE_FAILS)

static int tenant_resume(struct req *req, const struct tenant_ref *in, struct tenant *out)
{
	return move(req, in, TENANT_ACTIVE, out);
}
HANDLER(tenant_resume, tenant_ref, tenant, CHANGE_FAILS)

/* From now on nobody gets in; what there is goes later (tenants_purge). */
static int tenant_remove(struct req *req, const struct tenant_ref *in, struct tenant *out)
{
	return move(req, in, TENANT_DELETING, out);
}
HANDLER(tenant_remove, tenant_ref, tenant, CHANGE_FAILS)

/* --- for the tenant itself --------------------------------------------------------------- */

static int tenant_self_get(struct req *req, const struct nothing *in, struct tenant *out)
{
	struct db db = req_db(req);

	(void)in;
	return db_one(&db, &tenant_self, NULL, out);
}
HANDLER(tenant_self_get, nothing, tenant, READ_FAILS)

static int tenant_self_update(
	struct req *req, const struct tenant_self_patch *in, struct tenant *out)
{
	struct tenant_patch patch = { .name = in->name, .settings = in->settings };
	struct tenant_change change = {
		.req = req, .patch = &patch, .ret = out, .actor = audit_actor_of(req)
	};

	return req_write(req, tenant_change_self_in_tx, &change);
}
HANDLER(tenant_self_update, tenant_self_patch, tenant, CHANGE_FAILS)

/* --- the contract --------------------------------------------------------------------------- */

#define OPERATORS(text, handler_)                                                                  \
	text, .place = ROUTE_PUBLIC, .handler = &(handler_), .need = "platform:tenants"
#define SELF(text, handler_, right)                                                                \
	text, .place = ROUTE_PUBLIC, .handler = &(handler_), .need = right

/* clang-format off */
static const struct route routes[] = {
	{ HTTP_POST, "/api/v1/tenants", OPERATORS("Make a tenant", tenant_create_handler),
		.in = &tenant_new_schema, .out = &tenant_schema, .status = 201, .idempotent = true,
		.versioned = true, .may_fail = ROUTE_FAILS(CONFLICT) },
	{ HTTP_GET, "/api/v1/tenants", OPERATORS("List tenants", tenants_list_handler),
		.in = &tenant_query_schema, .out = &tenant_page_schema },
	{ HTTP_GET, "/api/v1/tenants/{id}", OPERATORS("Show a tenant", tenant_get_handler),
		.in = &tenant_ref_schema, .out = &tenant_schema, .versioned = true, .may_fail = READ_FAILS },
	{ HTTP_PATCH, "/api/v1/tenants/{id}", OPERATORS("Change a tenant", tenant_update_handler),
		.in = &tenant_patch_schema, .out = &tenant_schema, .versioned = true, .may_fail = CHANGE_FAILS },
	{ HTTP_POST, "/api/v1/tenants/{id}/suspend", OPERATORS("Stop serving a tenant", tenant_suspend_handler),
		.in = &tenant_ref_schema, .out = &tenant_schema, .versioned = true, .may_fail = CHANGE_FAILS },
	{ HTTP_POST, "/api/v1/tenants/{id}/resume", OPERATORS("Serve a tenant again", tenant_resume_handler),
		.in = &tenant_ref_schema, .out = &tenant_schema, .versioned = true, .may_fail = CHANGE_FAILS },
	{ HTTP_DELETE, "/api/v1/tenants/{id}", OPERATORS("Delete a tenant and all that is its", tenant_remove_handler),
		.in = &tenant_ref_schema, .out = &tenant_schema, .status = 202, .versioned = true,
		.may_fail = CHANGE_FAILS },

	{ HTTP_GET, "/api/v1/tenant", SELF("Show the caller's tenant", tenant_self_get_handler, "tenant:read"),
		.out = &tenant_schema, .versioned = true, .may_fail = READ_FAILS },
	{ HTTP_PATCH, "/api/v1/tenant", SELF("Change the caller's tenant", tenant_self_update_handler, "tenant:write"),
		.in = &tenant_self_patch_schema, .out = &tenant_schema, .versioned = true, .may_fail = CHANGE_FAILS },
};
/* clang-format on */

/* --- the module --------------------------------------------------------------------------------
 */

/* A key may have less than what its tenant gives, never more. */
static void limit_caller(const struct tenant_quotas *quotas, struct caller *caller)
{
	const struct limit *most = caller->kind == CALLER_SECRET ? &quotas->server : &quotas->user;

	if (!caller->limits.own || caller->limits.own->quota > most->quota)
		caller->limits.own = most;
	caller->limits.tenant = &quotas->total;
}

/* Whoever has no tenant has no rows either. */
static int admit(struct req *req)
{
	struct store *store = req_server(req)->store;
	const struct tenant_brief *brief;
	struct uuid id;
	int r;

	if (req->caller.tenant.len == 0 || !store)
		return 0;
	if (!uuid_parse(req->caller.tenant, &id))
		return fail(ERR_FORBIDDEN, "there is no such tenant");
	r = tenant_brief(store, &id, &req->arena, &brief);
	if (r == 0 && brief->limited)
		limit_caller(&brief->quotas, &req->caller);
	return r;
}

static int open_module(struct server *server)
{
	int r = tenant_tables_open(server->store);

	if (r == 0)
		r = tenant_cache_open(server);
	if (r == 0)
		server->hooks.admit = admit;
	return r;
}

static void close_module(struct server *server)
{
	server->hooks.admit = NULL;
	tenant_cache_close();
}

static int purge(struct server *server)
{
	return tenants_purge(server->store, NULL);
}

static const struct chore chores[] = {
	{ "tenants to delete", MINUTE, purge },
};

const struct module tenants_module = {
	MODULE_HEAD,
	.name = "tenants",
	.routes = routes,
	.route_count = LEN(routes),
	.migrations = tenants_sql,
	.statements = tenant_statements,
	.statement_count = TENANT_STATEMENTS,
	.open = open_module,
	.close = close_module,
	.chores = chores,
	.chore_count = LEN(chores),
};
