/*
 * An operator acts as a user: a session of the user that names the operator, without a refresh
 * token, for minutes. Begun and ended in one transaction with the entries in the audit logs of the
 * tenant and of the installation.
 */
#include "modules/operators/operators_internal.h"

#include "base/err.h"
#include "http/server.h"
#include "modules/rbac/rbac.h"
#include "observe/clock.h"
#include "rest/db.h"
#include "rest/page.h"
#include "rest/write.h"

/* --- statements --------------------------------------------------------------------------- */

#define COLUMNS "id, operator_id, of_tenant_id, user_id, reason, created_at, expires_at, ended_at"

struct clean {
	int64_t before;
};

/* clang-format off */
static const struct schema key_schema = SCHEMA(impersonation_ref, "An impersonation by its id.",
	FIELD(impersonation_ref, id, "Which.", .format = FORMAT_UUID));

static const struct schema search_schema = SCHEMA(impersonation_query, "Which rows of the list.",
	FIELD(impersonation_query, limit, "How many."),
	FIELD(impersonation_query, after_id, "Where the page begins.", .format = FORMAT_UUID));

static const struct schema clean_schema = SCHEMA(clean, "Which are thrown away.",
	FIELD(clean, before, "Over by then.", .format = FORMAT_DATE_TIME));
/* clang-format on */

const struct statement impersonation_insert = STATEMENT("impersonation_insert",
	.sql = "INSERT INTO main.impersonation (tenant_id, " COLUMNS ") VALUES (:tenant, :id, "
	       ":operator_id, :of_tenant_id, :user_id, :reason, :created_at, :expires_at, "
	       ":ended_at)",
	.in = &impersonation_schema);

const struct statement impersonation_get = STATEMENT("impersonation_get",
	.sql = "SELECT " COLUMNS " FROM impersonation WHERE tenant_id = :tenant AND id = :id",
	.in = &key_schema, .out = &impersonation_schema);

const struct statement impersonation_stop = STATEMENT("impersonation_stop",
	.sql = "UPDATE main.impersonation SET ended_at = :now WHERE tenant_id = :tenant "
	       "AND id = :id AND ended_at IS NULL",
	.in = &key_schema);

const struct statement impersonation_rows = STATEMENT("impersonation_rows",
	.sql = "SELECT " COLUMNS " FROM impersonation WHERE tenant_id = :tenant AND id < :after_id "
	       "ORDER BY id DESC LIMIT :limit + 1",
	.in = &search_schema, .out = &impersonation_schema);

const struct statement impersonation_clean = STATEMENT("impersonation_clean",
	.sql = "DELETE FROM main.impersonation WHERE tenant_id = :tenant AND expires_at < :before",
	.in = &clean_schema);

int impersonations_clean_in_tx(struct tx *tx, void *arg)
{
	struct clean clean = { tx_now_us(tx) - (int64_t)(IMPERSONATION_KEPT / MICROSECOND) };

	(void)arg;
	return tx_exec(tx, &impersonation_clean, &clean);
}

/* --- what may not be done as somebody else --------------------------------------------------- */

/* Of the routes for whoever is signed in: to look, and to end it. */
static bool is_harmless(const struct route *route)
{
	struct str path = str_from_c(route->path);

	if (route->method == HTTP_GET)
		return !str_ends(path, S("/export"));
	return str_eq(path, S("/api/v1/auth/logout"));
}

/* What would let the operator in again when the time is over: keys, accounts, roles. */
static bool outlasts(const struct route *route)
{
	static const struct str rights[] = { S_INIT("keys:write"), S_INIT("roles:write"),
		S_INIT("users:invite") };
	struct str need = str_from_c(route->need);

	for (size_t i = 0; i < LEN(rights); i++)
		if (str_eq(need, rights[i]))
			return route->method != HTTP_GET;
	return str_eq(str_from_c(route->path), S("/api/v1/users/import"));
}

bool impersonator_may(const struct route *route)
{
	struct str need = str_from_c(route->need);

	if (str_eq(need, S(RIGHT_SELF)))
		return is_harmless(route);
	return !str_starts(need, S("platform:")) && !outlasts(route);
}

/* --- entries -------------------------------------------------------------- */

/* The same for the tenant and for the installation. */
static int audit(struct tx *tx, const struct audit_actor *actor, struct str action,
	const struct impersonation *impersonation)
{
	return tx_audit(tx, actor,
		&(struct audit_entry){ .action = action,
			.type = S("user"),
			.id = impersonation->user_id,
			.schema = &impersonation_schema,
			.after = impersonation,
			.security = true });
}

/* --- begin ---------------------------------------------------------------- */

struct begin {
	const struct impersonate *in;
	struct audit_actor actor;
	struct uuid tenant, user;
	struct str user_agent;
	struct auth_visit visit;
	struct impersonated *ret;
};

static int begin_in_tenant(struct tx *tx, struct begin *begin)
{
	struct auth_visitor visitor = {
		.user = &begin->user,
		.operator_id = begin->actor.user,
		.user_agent = begin->user_agent,
		.address = begin->actor.address,
		.lifetime_ns = (uint64_t)begin->in->minutes * MINUTE,
	};
	struct user *user = &begin->ret->user;
	int r = user_get_in_tx(tx, &begin->user, user);

	if (r == 0 && user->status != USER_ACTIVE)
		r = fail(ERR_CONFLICT, "this user is suspended");
	return r < 0 ? r : auth_visit_begin_in_tx(tx, &visitor, &begin->visit);
}

/* What is noted. Texts in the transaction's arena. */
static int describe(struct tx *tx, const struct begin *begin, struct impersonation *ret)
{
	struct str id = uuid_text(tx_arena(tx), &begin->visit.session);

	if (!id.at)
		return -(int)err_last()->code;
	*ret = (struct impersonation){
		.id = id,
		.operator_id = begin->actor.user,
		.of_tenant_id = begin->ret->tenant.tenant_id,
		.user_id = begin->ret->user.id,
		.reason = begin->in->reason,
		.created_at = tx_now_us(tx),
		.expires_at = begin->visit.expires_us,
	};
	return 0;
}

static int begin_in_tx(struct tx *tx, void *arg)
{
	struct begin *begin = arg;
	struct impersonation *impersonation = &begin->ret->impersonation;
	int r = tx_enter(tx, &begin->tenant);

	if (r == 0)
		r = begin_in_tenant(tx, begin);
	if (r == 0)
		r = describe(tx, begin, impersonation);
	if (r == 0)
		r = audit(tx, &begin->actor, S("impersonation.started"), impersonation);
	if (r == 0)
		r = tx_leave(tx);
	if (r == 0)
		r = tx_enter(tx, &tenant_system);
	if (r == 0)
		r = tx_exec(tx, &impersonation_insert, impersonation);
	if (r == 0)
		r = audit(tx, &begin->actor, S("impersonation.started"), impersonation);
	return r < 0 ? r : tx_leave(tx);
}

/* By id or slug; one whose people are not served cannot be acted in either. */
static int find_tenant(struct req *req, struct str text, struct uuid *id, struct tenant *ret)
{
	struct store *store = req_server(req)->store;
	int r = uuid_parse(text, id) ? tenant_find(store, id, &req->arena, ret)
				     : tenant_find_slug(store, text, &req->arena, ret);

	if (r < 0)
		return r;
	CHECK(uuid_parse(ret->tenant_id, id));
	if (uuid_cmp(id, &tenant_system) == 0)
		return fail_field(ERR_INVALID, "tenant", "is_system",
			"is the one of the operators, whom nobody acts as");
	if (ret->status != TENANT_ACTIVE)
		return fail(ERR_CONFLICT, "this tenant is not served");
	return 0;
}

int impersonate(struct req *req, const struct impersonate *in, struct impersonated *out)
{
	struct begin begin = { .in = in,
		.actor = audit_actor_of(req),
		.user_agent = h1_value(&req->head, H1_USER_AGENT),
		.ret = out };
	int r;

	if (req->caller.kind != CALLER_USER)
		return fail(ERR_FORBIDDEN, "only a person can act as somebody else");
	CHECK(uuid_parse(in->user_id, &begin.user));
	r = find_tenant(req, in->tenant, &begin.tenant, &out->tenant);
	if (r == 0)
		r = req_system_write(req, begin_in_tx, &begin);
	if (r == 0)
		r = auth_visit_token(req, &begin.visit, &out->access_token, &out->expires_in);
	return r;
}

/* --- another token -------------------------------------------------------- */

/* Only for who began it, as long as it lasts. */
static int may_go_on(const struct req *req, const struct impersonation *impersonation)
{
	if (!str_eq(req->caller.id, impersonation->operator_id))
		return fail(ERR_FORBIDDEN, "only who began it can go on");
	if ((impersonation->ended_at.set && !impersonation->ended_at.null) ||
		impersonation->expires_at <= clock_wall_us())
		return fail(ERR_CONFLICT, "it is over");
	return 0;
}

int impersonation_token(
	struct req *req, const struct impersonation_ref *in, struct impersonation_access *out)
{
	struct db db = db_of(req_server(req)->store, &tenant_system, &req->arena);
	struct impersonation impersonation = { 0 };
	struct auth_visit visit = { 0 };
	int r = db_one(&db, &impersonation_get, in, &impersonation);

	if (r == 0)
		r = may_go_on(req, &impersonation);
	if (r < 0)
		return r;
	visit.expires_us = impersonation.expires_at;
	CHECK(uuid_parse(impersonation.of_tenant_id, &visit.tenant) &&
		uuid_parse(impersonation.id, &visit.session) &&
		uuid_parse(impersonation.user_id, &visit.user) &&
		uuid_parse(impersonation.operator_id, &visit.operator));
	return auth_visit_token(req, &visit, &out->access_token, &out->expires_in);
}

/* --- end ------------------------------------------------------------------ */

struct end {
	const struct impersonation_ref *in;
	struct audit_actor actor;
};

static int end_in_tenant(
	struct tx *tx, const struct end *end, const struct impersonation *impersonation)
{
	struct uuid tenant, session;
	int r;

	CHECK(uuid_parse(impersonation->of_tenant_id, &tenant) &&
		uuid_parse(impersonation->id, &session));
	r = tx_enter(tx, &tenant);
	if (r == 0)
		r = auth_visit_end_in_tx(tx, &session);
	if (r == 0)
		r = audit(tx, &end->actor, S("impersonation.ended"), impersonation);
	return r < 0 ? r : tx_leave(tx);
}

static int end_in_tx(struct tx *tx, void *arg)
{
	const struct end *end = arg;
	struct impersonation impersonation = { 0 };
	size_t stopped = 0;
	int r = tx_enter(tx, &tenant_system);

	if (r == 0)
		r = tx_one(tx, &impersonation_get, end->in, &impersonation);
	if (r == 0)
		r = tx_change(tx, &impersonation_stop, end->in, &stopped);
	if (r == 0 && stopped > 0)
		r = audit(tx, &end->actor, S("impersonation.ended"), &impersonation);
	if (r == 0)
		r = tx_leave(tx);
	return r < 0 || stopped == 0 ? r : end_in_tenant(tx, end, &impersonation);
}

int impersonation_end(struct req *req, const struct impersonation_ref *in, struct nothing *out)
{
	struct end end = { in, audit_actor_of(req) };

	(void)out;
	return req_system_write(req, end_in_tx, &end);
}

/* --- list ----------------------------------------------------------------- */

static const struct page_order newest_first = {
	.name = S_INIT("impersonations, newest first"),
	.list = &impersonation_rows,
	.key = { "id" },
	.after = { "after_id" },
	.start = { UUID_LAST },
};

int impersonation_list(
	struct req *req, const struct impersonation_query *in, struct impersonation_page *out)
{
	struct impersonation_query query = *in;
	struct db db = db_of(req_server(req)->store, &tenant_system, &req->arena);
	int r = page_begin(req, &newest_first, in->cursor, &query);

	if (r < 0)
		return r;
	r = db_all(&db, &impersonation_rows, &query, &out->items.at, &out->items.count);
	if (r < 0)
		return r;
	return page_end(req, &newest_first, in->limit, out->items.at, &out->items.count);
}
