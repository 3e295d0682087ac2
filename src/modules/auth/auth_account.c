/*
 * What people do with their account besides signing in: links that were mailed, another password,
 * another address, the end. Whatever changes how one signs in wants the password or a link, ends
 * the other sessions, and is told to the address that was there before.
 */
#include "modules/auth/auth_signin.h"

#include "http/server.h"
#include "modules/mails/mails.h"
#include "rest/db.h"

/* --- parts --------------------------------------------------------------------------------- */

static int alert(struct tx *tx, const struct user *user, struct str to, struct str what)
{
	struct mail_post mail = {
		.kind = MAIL_ALERT,
		.to = to,
		.name = user->name,
		.detail = what,
		.proved = user->email_verified_at.set,
	};
	struct tenant tenant;
	int r = tenant_get_in_tx(tx, &tenant);

	if (r < 0)
		return r;
	mail.tenant_name = tenant.name;
	return mail_post_in_tx(tx, &mail);
}

static int note(struct tx *tx, const struct audit_actor *actor, struct str action, struct str user)
{
	struct audit_entry entry = { .action = action, .type = S("user"), .id = user };

	return tx_audit(tx, actor, &entry);
}

/* Another password: of whoever knows the old one there is nothing left. */
static int set_password(struct tx *tx, const struct audit_actor *actor, const struct user *user,
	struct str hash, const struct uuid *keep)
{
	struct uuid id = signin_uuid(user->id);
	int r = password_put_in_tx(tx, &id, hash, false);

	if (r == 0)
		r = links_drop_in_tx(tx, &id, LINK_RESET);
	if (r == 0) /* they may have asked for another address */
		r = links_drop_in_tx(tx, &id, LINK_CHANGE_EMAIL);
	if (r == 0)
		r = sessions_revoke_in_tx(tx, &id, keep);
	if (r == 0)
		r = note(tx, actor, S("auth.password_changed"), user->id);
	return r < 0 ? r : alert(tx, user, user->email, S("The password was changed."));
}

/* --- links ------------------------------------------------------------------------------------ */

/* A link in use. */
struct visit {
	struct req *req;
	struct audit_actor actor;
	struct link_ref ref;
	enum link_kind kind;
	int (*act)(struct tx *tx, struct visit *visit);
	struct link_owner owner;
	struct user user;
	struct tenant tenant;
	struct str hash; /* of LINK_RESET */
};

/* What the link was for may be gone. */
static int find_owner(struct tx *tx, struct visit *visit)
{
	struct uuid id = signin_uuid(visit->owner.user_id);
	int r = user_get_in_tx(tx, &id, &visit->user);

	if (r == -ERR_NOT_FOUND || (r == 0 && visit->user.status != USER_ACTIVE))
		return link_refuse();
	return r;
}

/* As the tenant of the link. */
static int visit_in_tx(struct tx *tx, void *arg)
{
	struct visit *visit = arg;
	int r = link_take_in_tx(tx, &visit->ref, visit->kind, &visit->owner);

	if (r == 0)
		r = find_owner(tx, visit);
	return r < 0 ? r : visit->act(tx, visit);
}

/* The same, and then something among the rows of the installation. */
static int visit_and_clear_in_tx(struct tx *tx, void *arg)
{
	struct visit *visit = arg;
	int r = tx_enter(tx, &visit->ref.tenant);

	if (r == 0)
		r = visit_in_tx(tx, visit);
	if (r == 0)
		r = tx_leave(tx);
	if (r == 0)
		r = tx_enter(tx, &tenant_system);
	if (r == 0)
		r = attempts_clear_in_tx(tx, visit->user.email);
	return r < 0 ? r : tx_leave(tx);
}

/* The tenant must be one that is served, whatever the link says. */
static int visit_read(struct visit *visit, struct str token)
{
	int r;

	if (!link_read(token, &visit->ref))
		return link_refuse();
	r = served_tenant_id(visit->req, &visit->ref.tenant, &visit->tenant);
	return r > 0 ? 0 : r < 0 ? r : link_refuse();
}

static int visit_run(struct visit *visit, bool clear)
{
	struct store *store = req_server(visit->req)->store;
	struct db db = clear ? db_of_system(store, &visit->req->arena)
			     : db_of(store, &visit->ref.tenant, &visit->req->arena);

	return db_write(&db, clear ? visit_and_clear_in_tx : visit_in_tx, visit);
}

/* --- the address is proved ------------------------------------------------ */

static int verify(struct tx *tx, struct visit *visit)
{
	struct uuid id = signin_uuid(visit->user.id);

	return user_verified_in_tx(tx, &id, &visit->actor);
}

int auth_verify_email(struct req *req, const struct token_in *in, struct nothing *out)
{
	struct visit visit = {
		.req = req, .actor = audit_actor_of(req), .kind = LINK_VERIFY, .act = verify
	};
	int r = visit_read(&visit, in->token);

	(void)out;
	return r < 0 ? r : visit_run(&visit, false);
}

/* --- a lock ends ---------------------------------------------------------- */

static int unlock(struct tx *tx, struct visit *visit)
{
	return note(tx, &visit->actor, S("auth.unlocked"), visit->user.id);
}

int auth_unlock(struct req *req, const struct token_in *in, struct nothing *out)
{
	struct visit visit = {
		.req = req, .actor = audit_actor_of(req), .kind = LINK_UNLOCK, .act = unlock
	};
	int r = visit_read(&visit, in->token);

	(void)out;
	return r < 0 ? r : visit_run(&visit, true);
}

/* --- a forgotten password ------------------------------------------------- */

/* Whose link it is, before anything is hashed. */
static int look_in_tx(struct tx *tx, void *arg)
{
	struct visit *visit = arg;
	int r = link_look_in_tx(tx, &visit->ref, visit->kind, &visit->owner);

	return r < 0 ? r : find_owner(tx, visit);
}

/* Who reads the mails has proved the address by that. */
static int reset(struct tx *tx, struct visit *visit)
{
	int r = verify(tx, visit);

	return r < 0 ? r : set_password(tx, &visit->actor, &visit->user, visit->hash, NULL);
}

static int choose(struct visit *visit, struct str password, const char *field)
{
	struct password_context context = {
		.email = visit->user.email,
		.name = visit->user.name,
		.tenant_slug = visit->tenant.slug,
		.tenant = visit->tenant.name,
	};

	return choose_password(visit->req, password, &context, field, &visit->hash);
}

int auth_reset_password(struct req *req, const struct reset_in *in, struct nothing *out)
{
	struct visit visit = {
		.req = req, .actor = audit_actor_of(req), .kind = LINK_RESET, .act = reset
	};
	struct db db;
	int r = visit_read(&visit, in->token);

	(void)out;
	if (r < 0)
		return r;
	db = db_of(req_server(req)->store, &visit.ref.tenant, &req->arena);
	r = db_read(&db, look_in_tx, &visit);
	if (r == 0)
		r = choose(&visit, in->password, "password");
	return r < 0 ? r : visit_run(&visit, true);
}

/* --- another address ------------------------------------------------------ */

static int confirm(struct tx *tx, struct visit *visit)
{
	struct uuid id = signin_uuid(visit->user.id), session;
	bool signed_in = uuid_parse(visit->req->caller.session, &session);
	int r;

	if (!visit->owner.email.set)
		return link_refuse();
	r = user_set_email_in_tx(
		tx, &id, visit->owner.email.value, &visit->actor, &(struct user){ 0 });
	/* Links that went to the former address prove nothing any more. */
	if (r == 0)
		r = links_drop_in_tx(tx, &id, LINK_RESET);
	if (r == 0)
		r = links_drop_in_tx(tx, &id, LINK_VERIFY);
	if (r == 0)
		r = sessions_revoke_in_tx(tx, &id, signed_in ? &session : NULL);
	return r < 0 ? r
		     : alert(tx, &visit->user, visit->user.email,
			       S("The address of the account was changed to another one."));
}

int auth_confirm_email(struct req *req, const struct token_in *in, struct nothing *out)
{
	struct visit visit = {
		.req = req, .actor = audit_actor_of(req), .kind = LINK_CHANGE_EMAIL, .act = confirm
	};
	int r = visit_read(&visit, in->token);

	(void)out;
	return r < 0 ? r : visit_run(&visit, false);
}

/* --- who is signed in ----------------------------------------------------- */

/* A change that the user who asks wants. */
struct wish {
	struct audit_actor actor;
	struct user user;
	struct uuid session; /* that of the request */
	struct str hash, email;
};

static int change_password_in_tx(struct tx *tx, void *arg)
{
	const struct wish *wish = arg;

	return set_password(tx, &wish->actor, &wish->user, wish->hash, &wish->session);
}

int auth_change_password(struct req *req, const struct change_password_in *in, struct nothing *out)
{
	struct wish wish = { .actor = audit_actor_of(req) };
	struct visit visit = { .req = req };
	struct db db = req_db(req);
	int r = caller_user(req, &visit.user, &visit.tenant);

	(void)out;
	if (r == 0)
		r = confirm_password(req, &visit.user, in->current_password, "currentPassword");
	if (r == 0)
		r = choose(&visit, in->new_password, "newPassword");
	if (r < 0)
		return r;
	wish.user = visit.user;
	wish.hash = visit.hash;
	(void)uuid_parse(req->caller.session, &wish.session);
	return db_write(&db, change_password_in_tx, &wish);
}

static int change_email_in_tx(struct tx *tx, void *arg)
{
	const struct wish *wish = arg;
	const struct link_order order = {
		.kind = LINK_CHANGE_EMAIL, .user = &wish->user, .email = wish->email
	};
	int r = link_mail_in_tx(tx, &order);

	if (r <= 0)
		return r;
	r = note(tx, &wish->actor, S("auth.email_change_requested"), wish->user.id);
	return r < 0 ? r
		     : alert(tx, &wish->user, wish->user.email,
			       S("Somebody who knows the password asked to change the address "
				 "of the account. If that was not you, change the password."));
}

int auth_change_email(struct req *req, const struct change_email_in *in, struct nothing *out)
{
	struct wish wish = { .actor = audit_actor_of(req), .email = in->email };
	struct db db = req_db(req);
	struct tenant tenant;
	int r = caller_user(req, &wish.user, &tenant);

	(void)out;
	if (r == 0)
		r = confirm_password(req, &wish.user, in->password, "password");
	return r < 0 ? r : db_write(&db, change_email_in_tx, &wish);
}

static int leave_in_tx(struct tx *tx, void *arg)
{
	const struct wish *wish = arg;
	struct uuid id = signin_uuid(wish->user.id);
	int r = alert(tx, &wish->user, wish->user.email, S("The account was deleted."));

	return r < 0 ? r : user_delete_in_tx(tx, &id, &wish->actor);
}

int auth_leave(struct req *req, const struct leave_in *in, struct nothing *out)
{
	struct wish wish = { .actor = audit_actor_of(req) };
	struct db db = req_db(req);
	struct tenant tenant;
	int r = caller_user(req, &wish.user, &tenant);

	(void)out;
	if (r == 0)
		r = confirm_password(req, &wish.user, in->password, "password");
	return r < 0 ? r : db_write(&db, leave_in_tx, &wish);
}
