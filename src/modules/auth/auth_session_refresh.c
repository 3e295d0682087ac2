/*
 * Refresh tokens in use. On PostgreSQL these transactions are READ COMMITTED: a hundred requests
 * with one token meet at one row, and SERIALIZABLE would make most of them fail and try again.
 * What keeps them right is one statement, which advances the row only if the token is its newest;
 * who comes second waits for the row, changes nothing, and then reads what the first one has
 * committed.
 */
#include "modules/auth/auth_session.h"

#include "http/server.h"
#include "observe/clock.h"

static const struct tx_options options = {
	.name = "session_refresh",
	.isolation = TX_READ_COMMITTED,
};

enum { JUMPS_MAX = 5 }; /* tries to switch to a session that others use at the same time */

static struct refresh_state state_of(const struct session *row)
{
	return (struct refresh_state){ .generation = row->generation,
		.token_hash = row->token_hash,
		.rotated_at = row->rotated_at,
		.expires_at = row->expires_at,
		.revoked = row->revoked_at.set && !row->revoked_at.null };
}

static int get(struct tx *tx, const struct uuid *id, struct session *ret)
{
	const struct session_ref ref = { uuid_text(tx_arena(tx), id) };

	return ref.id.at ? tx_one(tx, &session_get, &ref, ret) : -(int)err_last()->code;
}

/* Puts `next` in place of the newest token. -ERR_NOT_FOUND when that is not the newest. */
static int advance(struct tx *tx, const struct session_rotation *from,
	const struct refresh_token *next, struct session *ret)
{
	struct session_rotation rotation = *from;
	char hash[REFRESH_HASH_LEN];

	refresh_hash(next, hash);
	rotation.next_hash = str_of(hash, sizeof(hash));
	rotation.until = tx_now_us(tx) + (int64_t)(auth_options()->refresh_ns / MICROSECOND);
	return tx_one(tx, &session_advance, &rotation, ret);
}

/* The user, who must be active: sessions of others are revoked, but perhaps a moment later. */
static int take_user(struct tx *tx, struct session_use *use, const struct session *row,
	const struct refresh_token *token)
{
	int r;

	session_make(row, token, &use->made);
	r = user_get_in_tx(tx, &use->made.user, &use->user);
	if (r == -ERR_NOT_FOUND || (r == 0 && use->user.status != USER_ACTIVE)) {
		use->verdict = REFRESH_REFUSED;
		return 0;
	}
	return r;
}

/* Somebody has a copy of the token, and nobody knows who of the two is the user: both are out. */
static int revoke_family(struct tx *tx, struct session_use *use, const struct session *row)
{
	struct audit_actor actor = use->actor;
	const struct audit_entry entry = {
		.action = S("session.reused"), .type = S("session"), .id = row->id, .security = true
	};
	int r = session_end_in_tx(tx, row, "reused");

	actor.session = row->id;
	return r ? MIN(r, 0) : tx_audit(tx, &actor, &entry);
}

/* --- refresh -------------------------------------------------------------- */

static int refresh_in_tx(struct tx *tx, void *arg)
{
	struct session_use *use = arg;
	struct refresh_token next;
	char hash[REFRESH_HASH_LEN];
	struct session row = { 0 };
	struct refresh_state state;
	struct session_rotation from = { .id = uuid_text(tx_arena(tx), &use->token.session),
		.generation = use->token.generation,
		.token_hash = str_of(hash, sizeof(hash)) };
	int r;

	if (!from.id.at)
		return -(int)err_last()->code;
	refresh_hash(&use->token, hash);
	refresh_next(session_keys(), &use->token, &next);
	use->verdict = REFRESH_NEWEST;
	r = advance(tx, &from, &next, &row);
	if (r != -ERR_NOT_FOUND)
		return r < 0 ? r : take_user(tx, use, &row, &next);

	r = get(tx, &use->token.session, &row);
	use->verdict = REFRESH_REFUSED;
	if (r < 0)
		return r == -ERR_NOT_FOUND ? 0 : r;
	state = state_of(&row);
	use->verdict = refresh_judge(session_keys(), &use->token, &state, tx_now_us(tx), &next);
	switch (use->verdict) {
	case REFRESH_PARENT: return take_user(tx, use, &row, &next);
	case REFRESH_REUSED: return revoke_family(tx, use, &row);
	case REFRESH_NEWEST: /* it is now, and was not a moment ago: never */
	case REFRESH_REFUSED: break;
	}
	use->verdict = REFRESH_REFUSED;
	return 0;
}

int session_refresh(struct req *req, struct session_use *use)
{
	struct db db = db_of(req_server(req)->store, &use->token.tenant, &req->arena);

	return db_write_with(&db, &options, refresh_in_tx, use);
}

/* --- the bundle ----------------------------------------------------------- */

/* The row of a token's session, and its newest token, which the token must be or have been a moment
 * ago. -ERR_NOT_FOUND when it is not. On a system handle that has entered the tenant. */
static int prove(struct tx *tx, const struct refresh_token *token, struct session *ret,
	struct refresh_token *ret_newest)
{
	struct refresh_token newest = *token;
	struct refresh_state state;
	enum refresh_verdict verdict;
	int r = get(tx, &token->session, ret);

	if (r < 0)
		return r;
	state = state_of(ret);
	verdict = refresh_judge(session_keys(), token, &state, tx_now_us(tx), &newest);
	if (verdict != REFRESH_NEWEST && verdict != REFRESH_PARENT)
		return fail(ERR_NOT_FOUND, "the session is over");
	*ret_newest = newest;
	return 0;
}

struct bundle_proof {
	const struct refresh_token *token;
	struct session row;
};

static int prove_in_tx(struct tx *tx, void *arg)
{
	struct bundle_proof *proof = arg;
	struct refresh_token newest;

	return prove(tx, proof->token, &proof->row, &newest);
}

int session_bundle(struct req *req, struct str refresh_token, struct uuid *ret)
{
	bool by_cookie = refresh_token.len == 0;
	struct refresh_token token;
	struct bundle_proof proof = { .token = &token };
	struct db db;
	int r;

	if (by_cookie)
		refresh_token = cookie_get(req, COOKIE_REFRESH);
	if (!refresh_read(session_keys(), refresh_token, &token))
		return 0;
	if (by_cookie && csrf_check(req, &token.session) < 0)
		return 0;
	db = db_of(req_server(req)->store, &token.tenant, &req->arena);
	r = db_read(&db, prove_in_tx, &proof);
	if (r < 0)
		return r == -ERR_NOT_FOUND ? 0 : r;
	CHECK(uuid_parse(proof.row.bundle_id, ret));
	return 1;
}

/* --- switching ------------------------------------------------------------ */

static int find_sibling(struct tx *tx, const struct session_use *use, const struct session *from,
	struct session *ret)
{
	struct session_search search = { .bundle_id = from->bundle_id,
		.limit = SESSIONS_OF_BUNDLE_MAX };
	struct session *rows = NULL;
	size_t count = 0;
	int r = tx_all(tx, &session_of_bundle, &search, &rows, &count);

	for (size_t i = 0; i < count && r == 0; i++)
		if (str_eq(rows[i].id, use->to_session) ||
			str_eq(rows[i].tenant_id, use->to_tenant)) {
			*ret = rows[i];
			return 0;
		}
	return r < 0 ? r : fail(ERR_NOT_FOUND, "there is no such session in this browser");
}

/* Whether the newest token of the sibling is the one that a switch with `from` makes: then another
 * request was faster. */
static bool has_jumped(struct tx *tx, const struct refresh_token *from, const struct uuid *tenant,
	const struct uuid *session, const struct refresh_state *state, struct refresh_token *ret)
{
	const struct refresh_keys *keys = session_keys();
	bool found = false;

	for (; keys && state->generation > 0 && !found; keys = keys->former) {
		refresh_jump(keys, from, tenant, session, (uint32_t)state->generation - 1, ret);
		found = refresh_judge(keys, ret, state, tx_now_us(tx), ret) == REFRESH_NEWEST;
	}
	return found;
}

/*
 * The browser has lost the sibling's token when it got that of another account, so the sibling gets
 * a new one, made from the token that proves the bundle: requests that switch at the same time all
 * get the same.
 */
static int jump(struct tx *tx, struct session_use *use, const struct refresh_token *from,
	const struct session *sibling, const struct uuid *tenant, const struct uuid *session)
{
	struct session row = *sibling;
	int r = -ERR_NOT_FOUND;

	for (int i = 0; i < JUMPS_MAX && r == -ERR_NOT_FOUND; i++) {
		struct refresh_state state = state_of(&row);
		struct refresh_token next;
		struct session_rotation rotation = { row.id, row.generation, row.token_hash };

		if (state.revoked || state.expires_at <= tx_now_us(tx))
			return fail(ERR_NOT_FOUND, "the session has just ended");
		if (has_jumped(tx, from, tenant, session, &state, &next))
			return take_user(tx, use, &row, &next);
		refresh_jump(
			session_keys(), from, tenant, session, (uint32_t)row.generation, &next);
		r = advance(tx, &rotation, &next, &row);
		if (r == 0)
			return take_user(tx, use, &row, &next);
		if (r == -ERR_NOT_FOUND)
			r = get(tx, session, &row) < 0 ? -(int)err_last()->code : -ERR_NOT_FOUND;
	}
	return r == -ERR_NOT_FOUND ? fail(ERR_UNAVAILABLE, "the session is in use") : r;
}

static int note_switch(struct tx *tx, const struct session_use *use, const struct session *sibling)
{
	struct audit_actor actor = use->actor;
	const struct audit_entry entry = {
		.action = S("session.switched"), .type = S("session"), .id = sibling->id
	};

	actor.kind = AUDIT_USER;
	actor.user = sibling->user_id;
	actor.session = sibling->id;
	return tx_audit(tx, &actor, &entry);
}

static int prove_bundle(struct tx *tx, const struct refresh_token *token, struct session *ret,
	struct refresh_token *ret_newest)
{
	int r = tx_enter(tx, &token->tenant);
	int proved = r < 0 ? r : prove(tx, token, ret, ret_newest);

	r = tx_leave(tx);
	return proved < 0 ? proved : r;
}

static int enter_sibling(struct tx *tx, struct session_use *use, const struct refresh_token *from,
	const struct session *sibling)
{
	struct uuid tenant, session;
	int r, jumped;

	CHECK(uuid_parse(sibling->tenant_id, &tenant) && uuid_parse(sibling->id, &session));
	r = tx_enter(tx, &tenant);
	jumped = r < 0 ? r : jump(tx, use, from, sibling, &tenant, &session);
	use->found = jumped == 0 && use->verdict == REFRESH_NEWEST;
	if (use->found)
		jumped = note_switch(tx, use, sibling);
	r = tx_leave(tx);
	return jumped < 0 ? jumped : r;
}

static int switch_in_tx(struct tx *tx, void *arg)
{
	struct session_use *use = arg;
	struct session from = { 0 }, sibling = { 0 };
	struct refresh_token newest = { 0 };
	int r = prove_bundle(tx, &use->token, &from, &newest);

	use->found = false;
	use->verdict = r == 0 ? REFRESH_NEWEST : REFRESH_REFUSED;
	if (r == 0)
		r = find_sibling(tx, use, &from, &sibling);
	if (r == 0)
		r = enter_sibling(tx, use, &newest, &sibling);
	return r == -ERR_NOT_FOUND ? 0 : r;
}

int session_switch(struct req *req, struct session_use *use)
{
	struct db db = db_of_system(req_server(req)->store, &req->arena);

	return db_write_with(&db, &options, switch_in_tx, use);
}

/* --- leaving -------------------------------------------------------------- */

struct leaving {
	const struct refresh_token *token;
	struct audit_actor actor;
	bool bundle;
};

static int end(struct tx *tx, const struct leaving *leaving, const struct session *row)
{
	struct audit_actor actor = leaving->actor;
	const struct audit_entry entry = {
		.action = S("session.ended"), .type = S("session"), .id = row->id
	};
	int r = session_end_in_tx(tx, row, "logout");

	actor.kind = AUDIT_USER;
	actor.user = row->user_id;
	actor.session = row->id;
	return r ? MIN(r, 0) : tx_audit(tx, &actor, &entry);
}

/* The token's own session, whichever of its tokens it is: who has an old one may end it, too. */
static int end_own(struct tx *tx, const struct leaving *leaving, struct session *ret)
{
	int r = tx_enter(tx, &leaving->token->tenant);
	int ended = r < 0 ? r : get(tx, &leaving->token->session, ret);

	if (ended == 0)
		ended = end(tx, leaving, ret);
	r = tx_leave(tx);
	return ended < 0 ? ended : r;
}

static int leave_in_tx(struct tx *tx, void *arg)
{
	const struct leaving *leaving = arg;
	struct session own = { 0 }, *rows = NULL;
	struct session_search search = { .limit = SESSIONS_OF_BUNDLE_MAX };
	size_t count = 0;
	int r = end_own(tx, leaving, &own);

	if (r < 0)
		return r == -ERR_NOT_FOUND ? 0 : r;
	search.bundle_id = own.bundle_id;
	if (leaving->bundle)
		r = tx_all(tx, &session_of_bundle, &search, &rows, &count);
	for (size_t i = 0; i < count && r == 0; i++) {
		struct uuid tenant;

		CHECK(uuid_parse(rows[i].tenant_id, &tenant));
		r = tx_enter(tx, &tenant);
		if (r == 0)
			r = end(tx, leaving, &rows[i]);
		if (r == 0)
			r = tx_leave(tx);
	}
	return r;
}

int session_leave(struct req *req, const struct refresh_token *token, bool bundle)
{
	struct leaving leaving = { token, audit_actor_of(req), bundle };
	struct db db = db_of_system(req_server(req)->store, &req->arena);

	return db_write(&db, leave_in_tx, &leaving);
}
