/* Handlers, their contract, and the module. */
#include "modules/users/users_internal.h"

#include "base/embed.h"
#include "base/err.h"
#include "base/time_text.h"
#include "crypto/random.h"
#include "http/match.h"
#include "http/server.h"
#include "modules/mails/mails.h"
#include "modules/tenants/tenants.h"
#include "observe/clock.h"
#include "rest/db.h"
#include "rest/page.h"
#include "rest/write.h"
#include "schema/encode.h"

EMBED_TEXT(users_sql, "src/modules/users/users.sql");

#define READ_FAILS   ROUTE_FAILS(NOT_FOUND)
#define CHANGE_FAILS READ_FAILS | ROUTE_FAILS(CONFLICT) | ROUTE_FAILS(INVALID)

/* --- where links lead ---------------------------------------------------------------------- */

enum { APP_URL_MAX = 500 };

/* Set before anything is served. */
static char app_url[APP_URL_MAX + 1] = "http://localhost:3000";
static bool email_anyone;

int users_configure(const struct users_options *options)
{
	struct str url = options->app_url;

	if (url.len > APP_URL_MAX || !format_uri(url) || str_ends(url, S("/")))
		return fail(ERR_INVALID,
			"the address of the product's pages must be a URI of at most %d bytes "
			"without a / at its end",
			APP_URL_MAX);
	memcpy(app_url, url.at, url.len);
	app_url[url.len] = '\0';
	email_anyone = options->email_anyone;
	return 0;
}

bool users_email_anyone(void)
{
	return email_anyone;
}

struct str users_app_url(void)
{
	return str_from_c(app_url);
}

/* --- who asks -------------------------------------------------------------------------------- */

/* The user, or whom the key belongs to; empty for neither. */
static struct str asker_of(const struct req *req)
{
	const struct caller *caller = &req->caller;

	return caller->kind == CALLER_USER ? caller->id : caller->owner;
}

static struct uuid id_of(struct str text)
{
	struct uuid id = { { 0 } };

	CHECK(uuid_parse(text, &id));
	return id;
}

/* What was refused because it goes too far is told to the tenant. */
static int refused(struct req *req, int r, struct str type, struct str id)
{
	struct user_refusal refusal = {
		.actor = audit_actor_of(req),
		.action = S("access.denied"),
		.type = type,
		.id = id,
	};
	struct db db = req_db(req);
	struct err err;

	if (r != -ERR_FORBIDDEN)
		return r;
	err = *err_last();
	r = db_write(&db, user_refusal_in_tx, &refusal);
	return r < 0 ? r : err_restore(&err);
}

/* --- users ---------------------------------------------------------------- */

static const struct page_order newest_first = {
	.name = S_INIT("users, newest first"),
	.list = &user_list,
	.key = { "id" },
	.after = { "after_id" },
	.start = { UUID_LAST },
};

static bool fold(struct req *req, const struct opt_str *in, struct opt_str *ret)
{
	*ret = *in;
	if (in->set)
		ret->value = user_key_of(&req->arena, in->value);
	return !in->set || ret->value.at;
}

static int users_list(struct req *req, const struct user_query *in, struct user_page *out)
{
	struct user_search search = { .limit = in->limit, .status = in->status };
	struct db db = req_db(req);
	int r;

	if (!fold(req, &in->email, &search.email_key) || !fold(req, &in->search, &search.search))
		return -(int)err_last()->code;
	r = page_begin(req, &newest_first, in->cursor, &search);
	if (r == 0)
		r = db_all(&db, in->email.set ? &user_list_email : &user_list, &search,
			&out->items.at, &out->items.count);
	if (r < 0)
		return r;
	return page_end(req, &newest_first, in->limit, out->items.at, &out->items.count);
}
HANDLER(users_list, user_query, user_page, 0)

static int user_get(struct req *req, const struct user_ref *in, struct user *out)
{
	struct db db = req_db(req);

	return db_one(&db, &user_by_id, in, out);
}
HANDLER(user_get, user_ref, user, READ_FAILS)

static struct user_change change_of(const struct req *req, struct str id)
{
	return (struct user_change){
		.req = req,
		.rights = req_rights(req),
		.actor = audit_actor_of(req),
		.id = id_of(id),
		.self = str_eq(id, asker_of(req)),
	};
}

static int user_patch(struct req *req, const struct user_patch *in, struct user *out)
{
	struct user_change change = change_of(req, in->id);

	change.name = in->name;
	change.status = in->status;
	change.ret = out;
	return refused(req, req_write(req, user_change_in_tx, &change), S("user"), in->id);
}
HANDLER(user_patch, user_patch, user, CHANGE_FAILS | ROUTE_FAILS(FORBIDDEN))

static int user_delete(struct req *req, const struct user_ref *in, struct nothing *out)
{
	struct user_change change = change_of(req, in->id);

	(void)out;
	return refused(req, req_write(req, user_change_in_tx, &change), S("user"), in->id);
}
HANDLER(user_delete, user_ref, nothing, CHANGE_FAILS | ROUTE_FAILS(FORBIDDEN))

/* --- oneself -------------------------------------------------------------- */

static int get_rights(struct req *req, struct texts *ret)
{
	const struct rights *rights = req_rights(req);

	ret->at = arena_alloc(&req->arena, (rights_count() + 1) * sizeof(*ret->at));
	if (!ret->at)
		return -(int)err_last()->code;
	ret->count = 0;
	for (size_t i = 0; i < rights_count(); i++)
		if (rights_has(rights, right_at(i)))
			ret->at[ret->count++] = right_at(i);
	return 0;
}

static int get_roles(struct req *req, struct texts *ret)
{
	struct uuid tenant = id_of(req->caller.tenant), id = id_of(req->caller.id);
	struct rights rights;

	return rbac_rights(req_server(req)->store, &tenant, &id, &req->arena, &rights, ret);
}

static int get_tenant(struct req *req, struct me_tenant *ret)
{
	struct uuid id = id_of(req->caller.tenant);
	struct tenant tenant;
	int r = tenant_find(req_server(req)->store, &id, &req->arena, &tenant);

	if (r == 0)
		*ret = (struct me_tenant){ tenant.tenant_id, tenant.slug, tenant.name };
	return r;
}

static int me_get(struct req *req, const struct nothing *in, struct me *out)
{
	struct db db = req_db(req);
	int r = db_one(&db, &user_by_id, &(struct user_ref){ req->caller.id }, &out->user);

	(void)in;
	if (r == 0)
		r = get_tenant(req, &out->tenant);
	if (r == 0)
		r = get_roles(req, &out->roles);
	if (r == 0)
		r = get_rights(req, &out->rights);
	out->impersonator.set = req->caller.impersonator.len > 0;
	out->impersonator.value = req->caller.impersonator;
	return r;
}
HANDLER(me_get, nothing, me, READ_FAILS)

static int me_patch(struct req *req, const struct me_patch *in, struct user *out)
{
	struct user_change change = {
		.req = req,
		.actor = audit_actor_of(req),
		.id = id_of(req->caller.id),
		.self = true,
		.name = { .set = true, .value = in->name },
		.ret = out,
	};

	return req_write(req, user_change_in_tx, &change);
}
HANDLER(me_patch, me_patch, user, CHANGE_FAILS)

/* --- all that is known of oneself ----------------------------------------- */

struct export
{
	struct uuid id;
	struct str id_text;
	struct texts roles;
	struct str exported_at;
	struct buf *text;
};

static int export_in_tx(struct tx *tx, void *arg)
{
	struct export *export = arg;
	struct json_writer writer;
	struct user user;
	int r = user_get_in_tx(tx, &export->id, &user);

	if (r < 0)
		return r;
	buf_reset(export->text);
	json_writer_init(&writer, export->text);
	json_write_object(&writer);
	json_write_key(&writer, S("exportedAt"));
	json_write_string(&writer, export->exported_at);
	json_write_key(&writer, S("user"));
	schema_encode(&user_schema, SCHEMA_OUTPUT, &user, &writer);
	json_write_key(&writer, S("roles"));
	json_write_array(&writer);
	for (size_t i = 0; i < export->roles.count; i++)
		json_write_string(&writer, export->roles.at[i]);
	json_write_array_end(&writer);
	r = user_export_in_tx(tx, &export->id, &writer);
	if (r < 0)
		return r;
	json_write_object_end(&writer);
	return json_writer_done(&writer);
}

/* A file, not an answer in the envelope: people keep it. */
static int me_export(struct req *req)
{
	char now[TIME_RFC3339_LEN];
	struct buf text;
	struct export export = {
		.id = id_of(req->caller.id), .exported_at = str_of(now, sizeof(now)), .text = &text
	};
	struct db db = req_db(req);
	struct str body = S("");
	int r = get_roles(req, &export.roles);

	time_write_rfc3339(now, clock_wall_us());
	buf_init(&text, USER_EXPORT_MAX);
	if (r == 0)
		r = db_read(&db, export_in_tx, &export);
	if (r == 0) {
		body = arena_str(&req->arena, buf_str(&text));
		r = body.at ? 0 : -(int)err_last()->code;
	}
	buf_done(&text);
	if (r == 0)
		r = reply_header(
			req, S("content-disposition"), S("attachment; filename=\"my-data.json\""));
	return r < 0 ? r : reply_json(req, 200, body);
}

/* --- invitations ---------------------------------------------------------- */

static int order_of(struct req *req, struct invitation_order *ret)
{
	struct me_tenant tenant;
	int r = get_tenant(req, &tenant);

	if (r == 0 && !mails_can_leave())
		r = fail(ERR_UNAVAILABLE, "this installation cannot send mails");
	if (r < 0)
		return r;
	*ret = (struct invitation_order){
		.actor = audit_actor_of(req),
		.rights = req_rights(req),
		.asker = asker_of(req),
		.tenant_name = tenant.name,
	};
	random_bytes(ret->secret, sizeof(ret->secret));
	return 0;
}

static int invitation_create(
	struct req *req, const struct invitation_new *in, struct invitation *out)
{
	struct invitation_order order;
	int r = order_of(req, &order);

	if (r < 0)
		return r;
	uuid_v7(&order.id, clock_wall_us());
	order.in = in;
	order.ret = out;
	r = req_write(req, invitation_make_in_tx, &order);
	crypto_wipe(order.secret, sizeof(order.secret));
	return refused(req, r, S("role"), in->role);
}
HANDLER(invitation_create, invitation_new, invitation,
	READ_FAILS | ROUTE_FAILS(CONFLICT) | ROUTE_FAILS(INVALID) | ROUTE_FAILS(FORBIDDEN))

static const struct page_order newest_invitations = {
	.name = S_INIT("invitations, newest first"),
	.list = &invitation_list,
	.key = { "id" },
	.after = { "after_id" },
	.start = { UUID_LAST },
};

static int invitations_list(
	struct req *req, const struct invitation_query *in, struct invitation_page *out)
{
	struct invitation_query query = *in;
	struct db db = req_db(req);
	int r = page_begin(req, &newest_invitations, in->cursor, &query);

	if (r == 0)
		r = db_all(&db, &invitation_list, &query, &out->items.at, &out->items.count);
	if (r < 0)
		return r;
	return page_end(req, &newest_invitations, in->limit, out->items.at, &out->items.count);
}
HANDLER(invitations_list, invitation_query, invitation_page, 0)

static int invitation_resend(struct req *req, const struct user_ref *in, struct invitation *out)
{
	struct invitation_order order;
	int r = order_of(req, &order);

	if (r < 0)
		return r;
	order.id = id_of(in->id);
	order.ret = out;
	r = req_write(req, invitation_again_in_tx, &order);
	crypto_wipe(order.secret, sizeof(order.secret));
	return refused(req, r, S("invitation"), in->id);
}
HANDLER(invitation_resend, user_ref, invitation, READ_FAILS | ROUTE_FAILS(FORBIDDEN))

static int invitation_delete(struct req *req, const struct user_ref *in, struct nothing *out)
{
	struct invitation_order order = { .id = id_of(in->id), .actor = audit_actor_of(req) };

	(void)out;
	return req_write(req, invitation_withdraw_in_tx, &order);
}
HANDLER(invitation_delete, user_ref, nothing, READ_FAILS)

/* --- the contract --------------------------------------------------------- */

#define DONE_BY(text, handler_, right)                                                             \
	text, .place = ROUTE_PUBLIC, .handler = &(handler_), .need = right

/* clang-format off */
static const struct route routes[] = {
	{ HTTP_GET, "/api/v1/users", DONE_BY("List users", users_list_handler, "users:read"),
		.in = &user_query_schema, .out = &user_page_schema },
	{ HTTP_GET, "/api/v1/users/{id}", DONE_BY("Show a user", user_get_handler, "users:read"),
		.in = &user_path_schema, .out = &user_schema, .versioned = true, .may_fail = READ_FAILS },
	{ HTTP_PATCH, "/api/v1/users/{id}", DONE_BY("Rename, suspend or resume a user", user_patch_handler, "users:write"),
		.in = &user_patch_schema, .out = &user_schema, .versioned = true, .may_fail = CHANGE_FAILS },
	{ HTTP_DELETE, "/api/v1/users/{id}", DONE_BY("Delete a user and all that is theirs", user_delete_handler, "users:write"),
		.in = &user_path_schema, .versioned = true, .may_fail = CHANGE_FAILS },

	{ HTTP_GET, "/api/v1/me", DONE_BY("Show who asks, and what they may do", me_get_handler, RIGHT_SELF),
		.out = &me_schema, .may_fail = READ_FAILS },
	{ HTTP_PATCH, "/api/v1/me", DONE_BY("Change one's own name", me_patch_handler, RIGHT_SELF),
		.in = &me_patch_schema, .out = &user_schema, .versioned = true, .may_fail = CHANGE_FAILS },
	{ HTTP_GET, "/api/v1/me/export", "Give out all data of who asks", .run = me_export,
		.place = ROUTE_PUBLIC, .need = RIGHT_SELF, .may_fail = READ_FAILS },

	{ HTTP_POST, "/api/v1/invitations", DONE_BY("Invite somebody by mail", invitation_create_handler, "users:invite"),
		.in = &invitation_new_schema, .out = &invitation_schema, .status = 201, .idempotent = true,
		.may_fail = CHANGE_FAILS },
	{ HTTP_GET, "/api/v1/invitations", DONE_BY("List open invitations", invitations_list_handler, "users:invite"),
		.in = &invitation_query_schema, .out = &invitation_page_schema },
	{ HTTP_POST, "/api/v1/invitations/{id}/resend", DONE_BY("Mail an invitation again, with a new link", invitation_resend_handler, "users:invite"),
		.in = &user_path_schema, .out = &invitation_schema, .may_fail = READ_FAILS },
	{ HTTP_DELETE, "/api/v1/invitations/{id}", DONE_BY("Withdraw an invitation", invitation_delete_handler, "users:invite"),
		.in = &user_path_schema, .may_fail = READ_FAILS },
};
/* clang-format on */

/* --- the module ----------------------------------------------------------- */

static const struct statement *const statements[] = {
	&user_insert,
	&user_update,
	&user_remove,
	&user_by_id,
	&user_by_email,
	&user_list,
	&user_list_email,
	&user_accounts,
	&invitation_secret,
	&invitation_by_id,
	&invitation_list,
	&invitation_count,
	&invitation_insert,
	&invitation_remove,
	&invitation_replace,
	&invitation_renew,
	&invitation_sweep,
};

static void close_module(struct server *server)
{
	(void)server;
	user_watchers_forget();
}

static int sweep(struct server *server)
{
	return invitations_sweep(server->store);
}

static const struct chore chores[] = {
	{ "invitations", 10 * MINUTE, sweep },
};

const struct module users_module = {
	MODULE_HEAD,
	.name = "users",
	.routes = routes,
	.route_count = LEN(routes),
	.migrations = users_sql,
	.statements = statements,
	.statement_count = LEN(statements),
	.close = close_module,
	.chores = chores,
	.chore_count = LEN(chores),
};
