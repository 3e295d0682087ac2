/*
 * Signing in with a password. Whatever is wrong (no account, several, another password, locked,
 * suspended) takes the same way: the same rows are read, one hash is computed, one transaction
 * notes it, and one answer is given.
 */
#include "modules/auth/auth_signin.h"

#include "http/server.h"
#include "modules/mails/mails.h"
#include "observe/metric.h"

struct login {
	struct req *req;
	const struct login_in *in;
	struct audit_actor actor;
	struct trial trial;
	bool found;        /* an account that could sign in, were the password right */
	bool has_password; /* and there is one to compare with */
	struct tenant tenant;
	struct uuid tenant_id, user_id; /* when not found: those of nobody */
	struct user user;
	struct password_row stored;
	struct str renewed; /* hash to keep instead; empty: none */
	struct session_new session;
	struct session_made made;
	bool strange; /* from a device never seen */
};

/* --- results ------------------------------------------------------------------------------ */

enum login_result { LOGIN_OK, LOGIN_REFUSED, LOGIN_LOCKED, LOGIN_THROTTLED, LOGIN_RESULTS };

static const struct metric *results[LOGIN_RESULTS];

int logins_open(void)
{
	static const struct metric_def def = {
		.name = "auth_logins_total",
		.help = "Logins: ok, refused, locked (refused without a look at the password), "
			"throttled (the client address had too many).",
		.kind = METRIC_COUNTER,
		.labels = { "result" },
	};
	static const struct str names[LOGIN_RESULTS] = {
		[LOGIN_OK] = S_INIT("ok"),
		[LOGIN_REFUSED] = S_INIT("refused"),
		[LOGIN_LOCKED] = S_INIT("locked"),
		[LOGIN_THROTTLED] = S_INIT("throttled"),
	};
	struct metric_family *family = metric_register(&def);

	if (!family)
		return -(int)err_last()->code;
	for (size_t i = 0; i < LOGIN_RESULTS; i++)
		results[i] = metric_series(family, &names[i]);
	return 0;
}

/* What went wrong for other reasons is no login. */
static int counted(const struct login *login, int r)
{
	bool locked = login->trial.attempt.verdict == ATTEMPT_REFUSED;

	if (r == 0)
		metric_count(results[LOGIN_OK], 1);
	else if (r == -ERR_UNAUTHORIZED || r == -ERR_FORBIDDEN)
		metric_count(results[locked ? LOGIN_LOCKED : LOGIN_REFUSED], 1);
	else if (r == -ERR_TOO_MANY)
		metric_count(results[LOGIN_THROTTLED], 1);
	return r;
}

/* --- which account ------------------------------------------------------------------------ */

/* 1 when the tenant is known. Without one the address must have exactly one account. */
static int find_tenant(struct login *login)
{
	struct db system = db_of_system(req_server(login->req)->store, &login->req->arena);
	struct accounts accounts = { 0 };
	int r;

	if (login->in->tenant.set)
		return served_tenant(login->req, login->in->tenant.value, &login->tenant);
	r = accounts_of_email(&system, login->in->email, &accounts);
	if (r < 0 || accounts.count != 1)
		return r;
	return served_tenant(login->req, accounts.at[0].tenant_id, &login->tenant);
}

static int read_account(struct tx *tx, void *arg)
{
	struct login *login = arg;
	int r = user_by_email_in_tx(tx, login->in->email, &login->user);

	if (r < 0 && r != -ERR_NOT_FOUND)
		return r;
	login->found = r == 0;
	login->user_id = r == 0 ? signin_uuid(login->user.id) : (struct uuid){ 0 };
	r = password_get_in_tx(tx, &login->user_id, &login->stored);
	login->has_password = r == 0;
	return r == -ERR_NOT_FOUND ? 0 : r;
}

/* Without a tenant the same is read among the rows of the installation, and thrown away. */
static int find_account(struct login *login)
{
	struct db db;
	int known = find_tenant(login), r;

	if (known < 0)
		return known;
	login->tenant_id = known ? signin_uuid(login->tenant.tenant_id) : tenant_system;
	db = db_of(req_server(login->req)->store, &login->tenant_id, &login->req->arena);
	r = db_read(&db, read_account, login);
	login->found = login->found && known;
	return r;
}

/* --- wrong ---------------------------------------------------------------------------------- */

static int note_failure(struct tx *tx, void *arg)
{
	const struct login *login = arg;
	enum attempt_verdict verdict = login->trial.attempt.verdict;
	struct audit_entry entry = {
		.action = verdict == ATTEMPT_ALLOWED ? S("auth.login_failed") : S("auth.locked"),
		.type = S("user"),
		.id = login->found ? login->user.id : str_of(NULL, 0),
		.security = true,
	};
	struct errand errand = { .kind = ERRAND_UNLOCK, .email = login->in->email };
	const struct uuid *whose = login->found ? &login->tenant_id : &tenant_system;
	int r = tx_enter(tx, whose);

	/* What is refused was noted when the lock began. */
	if (r == 0 && verdict != ATTEMPT_REFUSED)
		r = tx_audit(tx, &login->actor, &entry);
	if (r == 0)
		r = tx_leave(tx);
	if (r < 0 || verdict != ATTEMPT_LOCKS || login->trial.attempt.known_device)
		return r;
	r = tx_enter(tx, &tenant_system);
	if (r == 0)
		r = errand_put_in_tx(tx, &errand, login->req);
	return r < 0 ? r : tx_leave(tx);
}

/* One answer for everything. That it could not be noted is told by an error of its own. */
static int refuse(struct login *login)
{
	static const struct tx_options soft = { "login failed", .durability = TX_SOFT };
	struct db system = db_of_system(req_server(login->req)->store, &login->req->arena);
	int r = db_write_with(&system, &soft, note_failure, login);

	return r < 0 ? r : fail(ERR_UNAUTHORIZED, "the address or the password is wrong");
}

/* --- right ---------------------------------------------------------------- */

/* A hash that is not as new ones are is made anew while the password is at hand. */
static int renew(struct login *login, struct str *ret)
{
	struct str prepared;
	int r;

	if (!login->stored.imported && !passwords_outdated(login->stored.hash))
		return 0;
	/* One that was taken elsewhere may be none that can be prepared: then it stays. */
	if (password_prepare(login->in->password, &login->req->arena, &prepared) < 0)
		return 0;
	r = passwords_hash(prepared, &login->req->arena, ret);
	return r;
}

/* Who has it all may not be who it should be. */
static int tell_owner(struct tx *tx, const struct login *login)
{
	struct mail_post mail = {
		.kind = MAIL_ALERT,
		.to = login->user.email,
		.name = login->user.name,
		.tenant_name = login->tenant.name,
		.proved = login->user.email_verified_at.set,
		.detail = arena_printf(tx_arena(tx),
			"Somebody has signed in with the password from a browser or program that "
			"was not seen before, at the address %.*s. If that was not you, change the "
			"password.",
			STR_ARG(login->req->client_text)),
	};

	return mail.detail.at ? mail_post_in_tx(tx, &mail) : -(int)err_last()->code;
}

/* What was read before the hash may have changed since. */
static int begin_session(struct tx *tx, void *arg)
{
	struct login *login = arg;
	struct password_row now = { 0 };
	struct audit_entry entry = {
		.action = S("auth.login"), .type = S("user"), .id = login->user.id
	};
	int r = user_get_in_tx(tx, &login->user_id, &login->user);

	if (r == 0)
		r = password_get_in_tx(tx, &login->user_id, &now);
	if (r == -ERR_NOT_FOUND || (r == 0 && (login->user.status != USER_ACTIVE ||
						      !str_eq(now.hash, login->stored.hash))))
		return fail(ERR_UNAUTHORIZED, "the address or the password is wrong");
	if (r == 0 && login->renewed.len)
		r = password_renew_in_tx(tx, &login->user_id, login->stored.hash, login->renewed);
	if (r == 0)
		r = session_begin_in_tx(tx, &login->session, &login->made);
	if (r == 0 && login->strange)
		r = tell_owner(tx, login);
	return r < 0 ? r : tx_audit(tx, &login->actor, &entry);
}

/* The right password, but not yet the address: who knows the password may know that. */
static int verify_first(struct login *login)
{
	struct errand errand = {
		.kind = ERRAND_VERIFY,
		.email = login->in->email,
		.tenant_id = { .set = true, .value = login->tenant.tenant_id },
	};
	int r = errand_put(login->req, &errand);

	return r < 0 ? r
		     : fail_field(ERR_FORBIDDEN, "email", "unverified",
			       "must be verified first; a link was mailed");
}

/* Of a browser that proves one by the bundle that is known already. */
static int look_at_sessions(struct login *login, const struct db *db)
{
	struct session_outlook outlook;
	int r;

	if (login->session.bundle)
		return 0;
	r = session_look(db, &login->user_id, login->session.user_agent, &outlook);
	if (r < 0)
		return r;
	login->session.room = outlook.room;
	login->strange = outlook.strange && !login->trial.attempt.seen_device;
	return 0;
}

static int admit(struct login *login, struct signed_in *out)
{
	struct req *req = login->req;
	struct db db = db_of(req_server(req)->store, &login->tenant_id, &req->arena);
	struct uuid bundle;
	int r;

	if (auth_options()->verify_first && !login->user.email_verified_at.set)
		return verify_first(login);
	r = session_bundle(req,
		login->in->refresh_token.set ? login->in->refresh_token.value : str_of(NULL, 0),
		&bundle);
	if (r < 0)
		return r;
	login->session = (struct session_new){
		.user = &login->user_id,
		.bundle = r ? &bundle : NULL,
		.user_agent = h1_find(&req->head, S("user-agent")),
		.address = req->client_text,
	};
	r = look_at_sessions(login, &db);
	if (r == 0)
		r = db_write(&db, begin_session, login);
	if (r == 0)
		r = session_answer(req, &login->made, &login->user, &login->tenant, out);
	crypto_wipe(login->made.refresh, sizeof(login->made.refresh));
	return r;
}

/* --- the handler ---------------------------------------------------------- */

static int try(struct login *login, bool *ret_right)
{
	int r = find_account(login);

	if (r < 0) {
		attempt_undo(login->req, &login->trial.attempt);
		return r;
	}
	r = trial_check(login->req, &login->trial, login->in->password,
		login->found && login->has_password ? &login->stored : NULL, ret_right);
	if (r < 0)
		return r;
	*ret_right = *ret_right && login->user.status == USER_ACTIVE;
	return *ret_right ? renew(login, &login->renewed) : 0;
}

int auth_login(struct req *req, const struct login_in *in, struct signed_in *out)
{
	struct login login = { .req = req, .in = in, .actor = audit_actor_of(req) };
	bool right = false;
	int r = trial_begin(req, in->email, &login.trial);

	if (r < 0)
		return counted(&login, r);
	r = try(&login, &right);
	trial_end(req, &login.trial, r == 0 && right, in->email);
	if (r < 0)
		return r;
	return counted(&login, right ? admit(&login, out) : refuse(&login));
}
