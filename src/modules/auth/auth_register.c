/*
 * Making an account: with a tenant of one's own, in a tenant that is open, or by invitation. Each
 * is one transaction. Joining under AUTH_VERIFY_FIRST is put down as an errand instead, so that
 * neither the answer nor its time tells whether the address had an account.
 */
#include "modules/auth/auth_signin.h"

#include "http/server.h"
#include "modules/rbac/rbac.h"
#include "observe/clock.h"

struct registration {
	struct req *req;
	const struct register_in *in;
	struct audit_actor actor;
	struct str hash;
	struct invitation_ref invitation;
	struct tenant tenant;
	struct uuid tenant_id, user_id;
	struct user user;
	struct session_new session;
	struct session_made made;
};

/* --- what it is to be ----------------------------------------------------------------- */

enum way { MAKE_TENANT, JOIN_TENANT, TAKE_INVITATION };

static int find_way(const struct register_in *in, enum way *ret)
{
	if (in->tenant && in->invitation.set)
		return fail_field(
			ERR_INVALID, "invitation", "not_both", "and a tenant cannot both be said");
	if (!in->tenant && !in->invitation.set)
		return fail_field(
			ERR_INVALID, "tenant", "required", "or an invitation must be there");
	if (in->tenant && !in->email.set)
		return fail_field(ERR_INVALID, "email", "required", "must be there");
	*ret = !in->tenant ? TAKE_INVITATION : in->tenant->name.set ? MAKE_TENANT : JOIN_TENANT;
	return 0;
}

static int read_policy(struct tx *tx, void *arg)
{
	return policy_get_in_tx(tx, arg);
}

/* Whether the tenant takes people this way. */
static int ask_policy(const struct registration *reg, enum auth_sign_up at_most)
{
	struct db db = db_of(req_server(reg->req)->store, &reg->tenant_id, &reg->req->arena);
	struct auth_policy policy;
	int r = db_read(&db, read_policy, &policy);

	if (r == 0 && policy.sign_up > at_most)
		r = fail(ERR_FORBIDDEN, policy.sign_up == SIGN_UP_CLOSED
						? "this tenant takes nobody"
						: "this tenant takes who was invited");
	return r;
}

static int open_way(struct registration *reg, enum way way)
{
	const struct register_in *in = reg->in;
	int r;

	if (way == MAKE_TENANT)
		return auth_options()->new_tenants
			       ? 0
			       : fail(ERR_FORBIDDEN, "tenants are made by operators only");
	if (way == JOIN_TENANT)
		r = served_tenant(reg->req, in->tenant->slug, &reg->tenant);
	else if (!invitation_read(in->invitation.value, &reg->invitation))
		return fail_field(ERR_INVALID, "invitation", "invalid_token", "is none");
	else
		r = served_tenant_id(reg->req, &reg->invitation.tenant, &reg->tenant);
	if (r < 0)
		return r;
	if (r == 0 && way == JOIN_TENANT)
		return fail_field(ERR_NOT_FOUND, "tenant.slug", "unknown", "is no tenant");
	if (r == 0)
		return fail_field(ERR_INVALID, "invitation", "invalid_token", "is not good");
	reg->tenant_id = signin_uuid(reg->tenant.tenant_id);
	return ask_policy(reg, way == JOIN_TENANT ? SIGN_UP_OPEN : SIGN_UP_INVITATION);
}

/* --- parts of the transactions, as the tenant ----------------------------------------------- */

static int make_user(struct tx *tx, struct registration *reg, struct str role)
{
	struct user_new new = {
		.email = reg->in->email.value, .name = reg->in->name, .actor = &reg->actor
	};
	int r = user_create_in_tx(tx, &new, &reg->user);

	if (r < 0)
		return r;
	reg->user_id = signin_uuid(reg->user.id);
	return rbac_grant_in_tx(tx, &reg->user_id, role);
}

static int take_invitation(struct tx *tx, struct registration *reg)
{
	const struct opt_str *email = &reg->in->email;
	int r = invitation_take_in_tx(tx, &reg->invitation, reg->in->name, &reg->actor, &reg->user);

	if (r == -ERR_NOT_FOUND)
		return fail_field(ERR_INVALID, "invitation", "invalid_token",
			"is not good, or not good any more");
	if (r < 0)
		return r;
	reg->user_id = signin_uuid(reg->user.id);
	return email->set && !str_eq_nocase(email->value, reg->user.email)
		       ? fail_field(ERR_INVALID, "email", "other_address",
				 "is not the one that was invited")
		       : 0;
}

/* The account can be used: a password, a session, and a link if the address is not proved. */
static int settle(struct tx *tx, struct registration *reg)
{
	struct audit_entry entry = {
		.action = S("auth.registered"), .type = S("user"), .id = reg->user.id
	};
	int r = password_put_in_tx(tx, &reg->user_id, reg->hash, false);

	if (r == 0 && !reg->user.email_verified_at.set)
		r = MIN(link_mail_in_tx(tx, LINK_VERIFY, &reg->user, str_of(NULL, 0)), 0);
	if (r == 0)
		r = tx_audit(tx, &reg->actor, &entry);
	return r < 0 ? r : session_begin_in_tx(tx, &reg->session, &reg->made);
}

/* --- transactions ---------------------------------------------------------------------------- */

static int make_tenant_in_tx(struct tx *tx, void *arg)
{
	struct registration *reg = arg;
	struct audit_entry entry = { .action = S("tenant.created"), .type = S("tenant") };
	int r = tenant_make_in_tx(
		tx, reg->in->tenant->slug, reg->in->tenant->name.value, &reg->tenant);

	if (r < 0)
		return r;
	reg->tenant_id = signin_uuid(reg->tenant.tenant_id);
	entry.id = reg->tenant.tenant_id;
	r = tx_enter(tx, &reg->tenant_id);
	if (r == 0)
		r = tx_audit(tx, &reg->actor, &entry);
	if (r == 0)
		r = make_user(tx, reg, S("owner"));
	if (r == 0)
		r = settle(tx, reg);
	return r < 0 ? r : tx_leave(tx);
}

static int join_in_tx(struct tx *tx, void *arg)
{
	struct registration *reg = arg;
	int r = make_user(tx, reg, S("member"));

	return r < 0 ? r : settle(tx, reg);
}

static int invited_in_tx(struct tx *tx, void *arg)
{
	struct registration *reg = arg;
	int r = take_invitation(tx, reg);

	return r < 0 ? r : settle(tx, reg);
}

/* --- the answer of who may or may not have joined ------------------------- */

/* What an account that has just been made looks like; this one is nobody's. */
static int join_later(struct registration *reg, struct signed_in *out)
{
	struct errand errand = {
		.kind = ERRAND_JOIN,
		.email = reg->in->email.value,
		.tenant_id = { .set = true, .value = reg->tenant.tenant_id },
		.name = reg->in->name,
		.hash = reg->hash,
	};
	char *id_text = arena_alloc(&reg->req->arena, UUID_TEXT_LEN);
	int64_t now = clock_wall_us();
	struct uuid id;
	int r;

	if (!id_text)
		return -(int)err_last()->code;
	r = errand_put(reg->req, &errand);
	if (r < 0)
		return r;
	uuid_v7(&id, now);
	uuid_write(id_text, &id);
	out->user = (struct user){
		.id = str_of(id_text, UUID_TEXT_LEN),
		.email = reg->in->email.value,
		.name = reg->in->name,
		.version = 1,
		.created_at = now,
		.updated_at = now,
	};
	out->tenant = reg->tenant;
	out->tenant.settings = (struct settings){ 0 }; /* for those who belong to it */
	out->tenant.limits = (struct tenant_limits){ 0 };
	return 0;
}

/* --- the handler ---------------------------------------------------------- */

static int hash(struct registration *reg)
{
	const struct register_in *in = reg->in;
	struct password_context context = {
		.email = in->email.value,
		.name = in->name,
		.tenant_slug = in->tenant ? in->tenant->slug : reg->tenant.slug,
		.tenant = in->tenant && in->tenant->name.set ? in->tenant->name.value
							     : reg->tenant.name,
	};

	return choose_password(reg->req, in->password, &context, "password", &reg->hash);
}

/* The member is called otherwise here. PostgreSQL tells it late, so it is not known before. */
static int make_tenant(struct registration *reg)
{
	struct db system = db_of_system(req_server(reg->req)->store, &reg->req->arena);
	int r = db_write(&system, make_tenant_in_tx, reg);

	return r == -ERR_CONFLICT && strcmp(err_last()->field, "slug") == 0
		       ? err_blame("tenant.slug", "unique")
		       : r;
}

static int write_all(struct registration *reg, enum way way)
{
	struct db db = db_of(req_server(reg->req)->store, &reg->tenant_id, &reg->req->arena);

	switch (way) {
	case MAKE_TENANT: return make_tenant(reg);
	case JOIN_TENANT: return db_write(&db, join_in_tx, reg);
	case TAKE_INVITATION: break;
	}
	return db_write(&db, invited_in_tx, reg);
}

static int sign_in(struct registration *reg, enum way way, struct signed_in *out)
{
	struct req *req = reg->req;
	struct uuid bundle;
	int r = session_bundle(req,
		reg->in->refresh_token.set ? reg->in->refresh_token.value : str_of(NULL, 0),
		&bundle);

	if (r < 0)
		return r;
	reg->session = (struct session_new){
		.user = &reg->user_id,
		.bundle = r ? &bundle : NULL,
		.user_agent = h1_find(&req->head, S("user-agent")),
		.address = req->client_text,
	};
	r = write_all(reg, way);
	if (r == 0)
		r = session_answer(req, &reg->made, &reg->user, &reg->tenant, out);
	crypto_wipe(reg->made.refresh, sizeof(reg->made.refresh));
	return r;
}

int auth_register(struct req *req, const struct register_in *in, struct signed_in *out)
{
	struct registration reg = { .req = req, .in = in, .actor = audit_actor_of(req) };
	enum way way = JOIN_TENANT;
	int r = find_way(in, &way);

	if (r == 0)
		r = open_way(&reg, way);
	if (r == 0)
		r = hash(&reg);
	if (r < 0)
		return r;
	return way == JOIN_TENANT && auth_options()->verify_first ? join_later(&reg, out)
								  : sign_in(&reg, way, out);
}
