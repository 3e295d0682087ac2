/* Handlers, their contract, and the module. */
#include "modules/api_keys/api_keys_internal.h"

#include "base/embed.h"
#include "crypto/random.h"
#include "http/server.h"
#include "observe/clock.h"
#include "rest/db.h"
#include "rest/page.h"
#include "rest/write.h"

EMBED_TEXT(api_keys_sql, "src/modules/api_keys/api_keys.sql");

#define READ_FAILS   ROUTE_FAILS(NOT_FOUND)
#define CREATE_FAILS ROUTE_FAILS(INVALID) | ROUTE_FAILS(FORBIDDEN) | ROUTE_FAILS(CONFLICT)
#define CHANGE_FAILS READ_FAILS | CREATE_FAILS
#define REVOKE_FAILS READ_FAILS | ROUTE_FAILS(INVALID)

/* --- who asks --------------------------------------------------------------------------- */

static bool is_key(const struct req *req)
{
	return req->caller.kind == CALLER_SECRET || req->caller.kind == CALLER_PUBLISHABLE;
}

static struct key_asker asker_of(struct req *req)
{
	return (struct key_asker){
		.actor = audit_actor_of(req),
		.rights = *req_rights(req),
		.with = is_key(req) ? req->caller.id : str_of(NULL, 0),
	};
}

/* Who tries to give more than they have is told of. */
static int refused(struct req *req, int r, struct str key)
{
	struct err err = *err_last();
	struct uuid tenant;

	if (r != -ERR_FORBIDDEN || !uuid_parse(req->caller.tenant, &tenant))
		return r;
	tell_security(req, &tenant, &req->caller, S("api_key.escalation_refused"), key);
	return err_restore(&err);
}

/* --- handlers ------------------------------------------------------------------------------- */

/* What a key makes belongs to the user whom the key belongs to. */
static int api_key_create(struct req *req, const struct api_key_new *in, struct api_key_made *out)
{
	struct key_creation creation = {
		.asker = asker_of(req),
		.in = in,
		.owner_id = is_key(req) ? req->caller.owner : req->caller.id,
		.text = { .kind = in->kind },
		.ret = &out->shown,
	};
	int r = scopes_check(in->kind, &in->scopes);

	if (r == 0)
		r = networks_check(&in->allowed_addresses);
	if (r < 0)
		return r;

	CHECK(uuid_parse(req->caller.tenant, &creation.text.tenant));
	uuid_v7(&creation.text.id, clock_wall_us());
	random_bytes(creation.text.secret, sizeof(creation.text.secret));
	r = req_write(req, key_create_in_tx, &creation);
	crypto_wipe(&creation.text, sizeof(creation.text));
	return refused(req, r, str_of(NULL, 0));
}
HANDLER(api_key_create, api_key_new, api_key_made, CREATE_FAILS)

static const struct page_order newest_first = {
	.name = S_INIT("API keys, newest first"),
	.list = &key_list,
	.key = { "id" },
	.after = { "after_id" },
	.start = { UUID_LAST },
};

static int api_keys_list(struct req *req, const struct api_key_query *in, struct api_key_page *out)
{
	struct api_key_query query = *in;
	struct db db = req_db(req);
	int r = page_begin(req, &newest_first, in->cursor, &query);

	if (r < 0)
		return r;
	r = db_all(&db, &key_list, &query, &out->items.at, &out->items.count);
	if (r < 0)
		return r;
	return page_end(req, &newest_first, in->limit, out->items.at, &out->items.count);
}
HANDLER(api_keys_list, api_key_query, api_key_page, 0)

static int api_key_get(struct req *req, const struct api_key_ref *in, struct api_key *out)
{
	struct db db = req_db(req);

	return db_one(&db, &key_get, in, out);
}
HANDLER(api_key_get, api_key_ref, api_key, READ_FAILS)

static int api_key_update(struct req *req, const struct api_key_patch *in, struct api_key *out)
{
	struct key_change change = {
		.asker = asker_of(req), .req = req, .id = in->id, .patch = in, .ret = out
	};
	int r = networks_check(&in->allowed_addresses);

	if (r == 0)
		r = req_write(req, key_change_in_tx, &change);
	return refused(req, r, in->id);
}
HANDLER(api_key_update, api_key_patch, api_key, CHANGE_FAILS)

static int api_key_rotate(
	struct req *req, const struct api_key_rotation *in, struct api_key_made *out)
{
	struct key_text text = { 0 };
	struct key_change change = {
		.asker = asker_of(req), .req = req, .id = in->id, .text = &text, .ret = &out->shown
	};
	int r = overlap_read(in->overlap, &change.overlap_us);

	if (r < 0)
		return r;
	CHECK(uuid_parse(req->caller.tenant, &text.tenant) && uuid_parse(in->id, &text.id));
	random_bytes(text.secret, sizeof(text.secret));
	r = req_write(req, key_change_in_tx, &change);
	crypto_wipe(&text, sizeof(text));
	return refused(req, r, in->id);
}
HANDLER(api_key_rotate, api_key_rotation, api_key_made, CHANGE_FAILS)

static int api_key_revoke(struct req *req, const struct api_key_ref *in, struct api_key *out)
{
	struct key_change change = { .asker = asker_of(req), .req = req, .id = in->id, .ret = out };

	return req_write(req, key_change_in_tx, &change);
}
HANDLER(api_key_revoke, api_key_ref, api_key, REVOKE_FAILS)

/* --- the contract --------------------------------------------------------- */

#define ROUTE(text, handler_, right)                                                               \
	text, .place = ROUTE_PUBLIC, .handler = &(handler_), .need = right, .versioned = true

/* clang-format off */
static const struct route routes[] = {
	{ HTTP_POST, "/api/v1/api-keys", ROUTE("Make an API key", api_key_create_handler, "keys:write"),
		.in = &api_key_new_schema, .out = &api_key_made_schema, .status = 201, .idempotent = true,
		.may_fail = CREATE_FAILS },
	{ HTTP_GET, "/api/v1/api-keys", "List API keys", .place = ROUTE_PUBLIC, .handler = &api_keys_list_handler,
		.need = "keys:read", .in = &api_key_query_schema, .out = &api_key_page_schema },
	{ HTTP_GET, "/api/v1/api-keys/{id}", ROUTE("Show an API key", api_key_get_handler, "keys:read"),
		.in = &api_key_ref_schema, .out = &api_key_schema, .may_fail = READ_FAILS },
	{ HTTP_PATCH, "/api/v1/api-keys/{id}", ROUTE("Change an API key", api_key_update_handler, "keys:write"),
		.in = &api_key_patch_schema, .out = &api_key_schema, .may_fail = CHANGE_FAILS },
	{ HTTP_POST, "/api/v1/api-keys/{id}/rotate", ROUTE("Give an API key another secret", api_key_rotate_handler, "keys:write"),
		.in = &api_key_rotation_schema, .out = &api_key_made_schema, .idempotent = true,
		.may_fail = CHANGE_FAILS },
	{ HTTP_DELETE, "/api/v1/api-keys/{id}", ROUTE("Revoke an API key", api_key_revoke_handler, "keys:write"),
		.in = &api_key_ref_schema, .out = &api_key_schema, .may_fail = REVOKE_FAILS },
};
/* clang-format on */

/* --- the module ----------------------------------------------------------- */

static int open_module(struct server *server)
{
	int r = known_open(server->store);

	if (r < 0)
		return r;
	r = uses_open();
	if (r == 0)
		r = identify_open(server);
	if (r == 0)
		owner_open();
	if (r < 0) {
		uses_close();
		known_close();
	}
	return r;
}

static void close_module(struct server *server)
{
	identify_close(server);
	uses_close();
	known_close();
}

static int write_uses(struct server *server)
{
	return uses_write(server->store);
}

static int sweep(struct server *server)
{
	return keys_sweep(server->store);
}

static const struct chore chores[] = {
	{ "uses of API keys", MINUTE, write_uses },
	{ "API keys that ended long ago", HOUR, sweep },
};

const struct module api_keys_module = {
	MODULE_HEAD,
	.name = "api-keys",
	.routes = routes,
	.route_count = LEN(routes),
	.migrations = api_keys_sql,
	.statements = key_statements,
	.statement_count = KEY_STATEMENTS,
	.open = open_module,
	.close = close_module,
	.chores = chores,
	.chore_count = LEN(chores),
};
