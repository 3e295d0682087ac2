/* What operators may do to accounts of theirs, and in those of others. */
#include "modules/auth/auth.h"

#include "base/err.h"
#include "crypto/digest.h"
#include "http/server.h"
#include "modules/auth/auth_attempts.h"
#include "modules/auth/auth_links.h"
#include "modules/auth/auth_password.h"
#include "modules/auth/auth_password_store.h"
#include "modules/auth/auth_session.h"
#include "observe/clock.h"

/* --- passwords ------------------------------------------------------------------------------- */

static int hash(struct str prepared, struct arena *arena, struct str *ret)
{
	int r = passwords_enter();

	if (r < 0)
		return r;
	r = passwords_hash(prepared, arena, ret);
	passwords_leave();
	return r;
}

/* The rule is said already. */
static int blame(int r)
{
	char rule[ERR_RULE_MAX];

	if (r != -ERR_INVALID)
		return r;
	memcpy(rule, err_last()->rule, sizeof(rule));
	return err_blame("password", rule);
}

int auth_password_hash(struct str given, struct str email, struct str name, struct arena *arena,
	struct str *ret_hash)
{
	struct password_context context = { .email = email, .name = name };
	struct str prepared;
	int r = password_prepare(given, arena, &prepared);

	if (r == 0)
		r = passwords_refuse(prepared, &context);
	return r < 0 ? blame(r) : hash(prepared, arena, ret_hash);
}

static int audit(
	struct tx *tx, const struct audit_actor *actor, struct str action, const struct user *user)
{
	return tx_audit(tx, actor,
		&(struct audit_entry){
			.action = action, .type = S("user"), .id = user->id, .security = true });
}

/* Sessions, links and locks of somebody else's making end. */
static int end_all(struct tx *tx, const struct uuid *id, const struct user *user)
{
	int r = sessions_revoke_in_tx(tx, id, NULL);

	if (r == 0)
		r = links_drop_in_tx(tx, id, LINK_RESET);
	if (r == 0)
		r = links_drop_in_tx(tx, id, LINK_CHANGE_EMAIL);
	if (r == 0)
		r = links_drop_in_tx(tx, id, LINK_UNLOCK);
	return r < 0 ? r : attempts_clear_in_tx(tx, user->email);
}

int auth_set_password_in_tx(
	struct tx *tx, const struct uuid *user, struct str hash, const struct audit_actor *actor)
{
	struct user row = { 0 };
	int r = user_get_in_tx(tx, user, &row);

	if (r == 0)
		r = password_put_in_tx(tx, user, hash, false);
	if (r == 0)
		r = end_all(tx, user, &row);
	return r < 0 ? r : audit(tx, actor, S("password.set"), &row);
}

int auth_shut_out_in_tx(struct tx *tx, const struct uuid *user, const struct audit_actor *actor)
{
	struct user row = { 0 };
	int r = user_get_in_tx(tx, user, &row);

	if (r == 0)
		r = password_remove_in_tx(tx, user);
	if (r == 0)
		r = end_all(tx, user, &row);
	return r < 0 ? r : audit(tx, actor, S("password.removed"), &row);
}

/* --- acting as a user ----------------------------------------------------- */

int auth_visit_begin_in_tx(
	struct tx *tx, const struct auth_visitor *visitor, struct auth_visit *ret)
{
	struct session_new new = {
		.user = visitor->user,
		.user_agent = visitor->user_agent,
		.address = visitor->address,
		.impersonator = visitor->operator_id,
		.lifetime_ns = visitor->lifetime_ns,
	};
	struct session_made made = { 0 };
	int r = session_begin_in_tx(tx, &new, &made);

	if (r < 0)
		return r;
	*ret = (struct auth_visit){ made.tenant, made.id, made.user, made.impersonator,
		made.expires_us };
	crypto_wipe(&made, sizeof(made));
	return 0;
}

int auth_visit_end_in_tx(struct tx *tx, const struct uuid *session)
{
	char id[UUID_TEXT_LEN];
	struct session_ref ref = { str_of(id, sizeof(id)) };
	struct session row = { 0 };
	int r;

	uuid_write(id, session);
	r = tx_one(tx, &session_get, &ref, &row);
	if (r == -ERR_NOT_FOUND) /* swept away */
		return 0;
	return r < 0 ? r : MIN(session_end_in_tx(tx, &row, "impersonation ended"), 0);
}

/* An ended session is remembered only as long as the access tokens that it had at its end. */
static int check_lives(struct req *req, const struct auth_visit *visit)
{
	struct db db = db_of(req_server(req)->store, &visit->tenant, &req->arena);
	struct session_ref ref = { uuid_text(&req->arena, &visit->session) }, found;
	int r = ref.id.at ? db_one(&db, &session_live, &ref, &found) : -(int)err_last()->code;

	return r == -ERR_NOT_FOUND ? fail(ERR_CONFLICT, "it is over") : r;
}

int auth_visit_token(
	struct req *req, const struct auth_visit *visit, struct str *ret, int64_t *ret_seconds)
{
	int64_t usual_s = (int64_t)(auth_options()->access_ns / SECOND);
	int64_t left_s = (visit->expires_us - clock_wall_us()) / 1000000;
	struct session_made made = { .tenant = visit->tenant,
		.id = visit->session,
		.user = visit->user,
		.impersonator = visit->operator,
		.expires_us = visit->expires_us };
	int r = check_lives(req, visit);

	if (r < 0)
		return r;
	*ret_seconds = MAX(MIN(usual_s, left_s), 1);
	return session_sign(req, &made, ret);
}
