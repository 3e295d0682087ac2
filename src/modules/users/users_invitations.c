/*
 * Invitations: rows, and the texts that open them. A row knows only a digest of its text's secret,
 * so the text is in the mail and nowhere else; sending it again makes another one.
 */
#include "modules/users/users_internal.h"

#include "base/err.h"
#include "crypto/opaque.h"
#include "modules/mails/mails.h"
#include "schema/problem.h"

/* --- texts ------------------------------------------------------------------------------- */

static const struct str prefix = S_INIT("bh_in_");

/* What the text stands for. */
struct token {
	struct uuid tenant, id;
	uint8_t secret[INVITATION_SECRET_LEN];
};

enum { TOKEN_LEN = OPAQUE_LEN(sizeof("bh_in_") - 1, sizeof(struct token)) };

_Static_assert(sizeof(struct token) == 64, "a token has no holes");

static struct str secret_str(const uint8_t secret[INVITATION_SECRET_LEN])
{
	return str_of((const char *)secret, INVITATION_SECRET_LEN);
}

bool invitation_read(struct str text, struct invitation_ref *ret)
{
	struct token token;
	bool good = opaque_read(text, prefix, &token, sizeof(token));

	if (good) {
		ret->tenant = token.tenant;
		ret->id = token.id;
		opaque_hash(ret->secret_hash, secret_str(token.secret));
	}
	crypto_wipe(&token, sizeof(token));
	return good;
}

/* --- statements ---------------------------------------------------------------------------- */

#define COLUMNS "id, email, role, invited_by, created_at, expires_at"

/* A row as it is written, and as it is taken. */
struct invitation_row {
	struct str id, email, email_key, role, secret_hash;
	struct opt_str invited_by;
	int64_t created_at, expires_at;
};

struct invitation_number {
	int64_t count;
};

/* clang-format off */
static const struct schema invitation_row_schema = SCHEMA(invitation_row, "An open invitation.",
	FIELD(invitation_row, id, "Which.", .format = FORMAT_UUID),
	FIELD(invitation_row, email, "Whom.", .name = "emailGiven"),
	FIELD(invitation_row, email_key, "As it is compared.", .name = "email"),
	FIELD(invitation_row, role, "As what."),
	FIELD(invitation_row, secret_hash, "What the text must have."),
	FIELD(invitation_row, invited_by, "By whom.", .format = FORMAT_UUID),
	FIELD(invitation_row, created_at, "When.", .format = FORMAT_DATE_TIME),
	FIELD(invitation_row, expires_at, "Until when.", .format = FORMAT_DATE_TIME));

static const struct schema invitation_search_schema = SCHEMA(invitation_query, "Rows of the list.",
	FIELD(invitation_query, limit, "How many."),
	FIELD(invitation_query, after_id, "Where the page begins.", .format = FORMAT_UUID));

static const struct schema invitation_number_schema = SCHEMA(invitation_number, "How many.",
	FIELD(invitation_number, count, "So many."));
/* clang-format on */

const struct statement invitation_secret = STATEMENT("invitation_secret",
	.sql = "SELECT id, email, role, secret_hash, expires_at FROM invitation "
	       "WHERE tenant_id = :tenant AND id = :id",
	.in = &user_id_schema, .out = &invitation_row_schema);

const struct statement invitation_by_id = STATEMENT("invitation_by_id",
	.sql = "SELECT " COLUMNS " FROM invitation "
	       "WHERE tenant_id = :tenant AND id = :id AND expires_at > :now",
	.in = &user_id_schema, .out = &invitation_schema);

const struct statement invitation_list = STATEMENT("invitation_list",
	.sql = "SELECT " COLUMNS " FROM invitation WHERE tenant_id = :tenant AND id < :after_id "
	       "AND expires_at > :now ORDER BY id DESC LIMIT :limit + 1",
	.in = &invitation_search_schema, .out = &invitation_schema);

const struct statement invitation_count = STATEMENT("invitation_count",
	.sql = "SELECT count(*) AS count FROM invitation WHERE tenant_id = :tenant "
	       "AND expires_at > :now",
	.out = &invitation_number_schema);

const struct statement invitation_insert = STATEMENT("invitation_insert",
	.sql = "INSERT INTO main.invitation (tenant_id, id, email, email_key, role, secret_hash, "
	       "invited_by, created_at, expires_at) VALUES (:tenant, :id, :email, :email_key, "
	       ":role, :secret_hash, :invited_by, :created_at, :expires_at)",
	.in = &invitation_row_schema);

const struct statement invitation_renew = STATEMENT("invitation_renew",
	.sql = "UPDATE main.invitation SET secret_hash = :secret_hash, expires_at = :expires_at "
	       "WHERE tenant_id = :tenant AND id = :id",
	.in = &invitation_row_schema, .expect = EXPECT_ONE);

const struct statement invitation_remove = STATEMENT("invitation_remove",
	.sql = "DELETE FROM main.invitation WHERE tenant_id = :tenant AND id = :id",
	.in = &user_id_schema, .expect = EXPECT_ONE);

const struct statement invitation_replace = STATEMENT("invitation_replace",
	.sql = "DELETE FROM main.invitation WHERE tenant_id = :tenant AND email_key = :email_key",
	.in = &invitation_row_schema);

const struct statement invitation_sweep = STATEMENT("invitation_sweep",
	.sql = "DELETE FROM main.invitation AS i WHERE (i.tenant_id, i.id) IN ("
	       "SELECT x.tenant_id, x.id FROM main.invitation AS x WHERE x.expires_at <= :now "
	       "ORDER BY x.expires_at LIMIT 500)",
	.flags = STATEMENT_SYSTEM);

/* --- parts ----------------------------------------------------------------------------------- */

static int64_t expiry(const struct tx *tx)
{
	return tx_now_us(tx) + INVITATION_DAYS * (int64_t)(24 * HOUR / MICROSECOND);
}

/* APP_URL/invitation?token=bh_in_... */
static int link_of(struct tx *tx, const struct invitation_order *order, struct str *ret)
{
	struct token token = { .tenant = *tx_tenant(tx), .id = order->id };
	char text[TOKEN_LEN];

	memcpy(token.secret, order->secret, sizeof(token.secret));
	opaque_write(text, prefix, str_of((const char *)&token, sizeof(token)));
	*ret = arena_printf(tx_arena(tx), "%.*s/invitation?token=%.*s", STR_ARG(users_app_url()),
		TOKEN_LEN, text);
	crypto_wipe(&token, sizeof(token));
	crypto_wipe(text, sizeof(text));
	return ret->at ? 0 : -(int)err_last()->code;
}

/* Who invites may be nobody of this tenant: an operator, or somebody who is gone. */
static int who_invites(struct tx *tx, const struct invitation_order *order, struct str *ret)
{
	struct user user = { 0 };
	struct uuid id;
	int r = uuid_parse(order->asker, &id) ? user_get_in_tx(tx, &id, &user)
					      : fail(ERR_NOT_FOUND, "nobody");

	*ret = S("");
	if (r < 0)
		return r == -ERR_NOT_FOUND ? 0 : r;
	*ret = arena_printf(tx_arena(tx), "%.*s has invited you.", STR_ARG(user.name));
	return ret->at ? 0 : -(int)err_last()->code;
}

static int send_mail(
	struct tx *tx, const struct invitation_order *order, const struct invitation *invitation)
{
	struct mail_post post = {
		.kind = MAIL_INVITATION,
		.to = invitation->email,
		.tenant_name = order->tenant_name,
		.expires_us = invitation->expires_at,
	};
	int r = link_of(tx, order, &post.link);

	if (r == 0)
		r = who_invites(tx, order, &post.detail);
	return r < 0 ? r : mail_post_in_tx(tx, &post);
}

/* The entry and the event. */
static int note(struct tx *tx, const struct audit_actor *actor, struct str action,
	const struct invitation *before, const struct invitation *after)
{
	const struct invitation *invitation = after ? after : before;
	struct audit_entry entry = {
		.action = action,
		.type = S("invitation"),
		.id = invitation->id,
		.schema = &invitation_schema,
		.before = before,
		.after = after,
	};
	struct event event = { action, invitation->id, &invitation_schema, invitation };
	int r = tx_audit(tx, actor, &entry);

	return r < 0 ? r : tx_emit(tx, &event);
}

/* --- making --------------------------------------------------------------- */

static int is_free(struct tx *tx, struct str email)
{
	struct user user;
	int r = user_by_email_in_tx(tx, email, &user);

	if (r == 0)
		return fail_field(ERR_CONFLICT, "email", "unique", "has an account already");
	return r == -ERR_NOT_FOUND ? 0 : r;
}

static int is_room(struct tx *tx)
{
	struct invitation_number number;
	int r = tx_one(tx, &invitation_count, NULL, &number);

	if (r == 0 && number.count >= INVITATIONS_MAX)
		r = fail(ERR_CONFLICT, "%d invitations are open already", INVITATIONS_MAX);
	return r;
}

static int insert(
	struct tx *tx, const struct invitation_order *order, const struct invitation *invitation)
{
	char hash[OPAQUE_HASH_LEN];
	struct invitation_row row = {
		.id = invitation->id,
		.email = invitation->email,
		.email_key = user_key_of(tx_arena(tx), invitation->email),
		.role = invitation->role,
		.invited_by = invitation->invited_by,
		.created_at = invitation->created_at,
		.expires_at = invitation->expires_at,
	};
	int r;

	if (!row.email_key.at)
		return -(int)err_last()->code;
	opaque_hash(hash, secret_str(order->secret));
	row.secret_hash = str_of(hash, sizeof(hash));
	r = tx_exec(tx, &invitation_replace, &row);
	if (r == 0)
		r = is_room(tx);
	return r < 0 ? r : tx_exec(tx, &invitation_insert, &row);
}

int invitation_make_in_tx(struct tx *tx, void *arg)
{
	const struct invitation_order *order = arg;
	struct invitation invitation = {
		.email = order->in->email,
		.role = order->in->role,
		.invited_by = { .set = order->asker.len > 0, .value = order->asker },
		.created_at = tx_now_us(tx),
		.expires_at = expiry(tx),
	};
	int r = rbac_may_grant_in_tx(tx, order->rights, order->in->role);

	if (r == -ERR_NOT_FOUND)
		r = fail_field(ERR_INVALID, "role", "unknown_reference", "there is no such role");
	if (r == 0)
		r = is_free(tx, invitation.email);
	if (r == 0)
		r = user_id_text(tx, &order->id, &invitation.id);
	if (r == 0)
		r = insert(tx, order, &invitation);
	if (r == 0)
		r = send_mail(tx, order, &invitation);
	if (r == 0)
		r = note(tx, &order->actor, S("user.invited"), NULL, &invitation);
	if (r == 0)
		*order->ret = invitation;
	return r;
}

/* --- again, or not at all ------------------------------------------------- */

static int get(struct tx *tx, const struct uuid *id, struct invitation *ret)
{
	char text[UUID_TEXT_LEN];

	uuid_write(text, id);
	return tx_one(tx, &invitation_by_id, &(struct user_ref){ str_of(text, sizeof(text)) }, ret);
}

static int renew(
	struct tx *tx, const struct invitation_order *order, const struct invitation *invitation)
{
	char hash[OPAQUE_HASH_LEN];
	struct invitation_row row = { .id = invitation->id, .expires_at = invitation->expires_at };

	opaque_hash(hash, secret_str(order->secret));
	row.secret_hash = str_of(hash, sizeof(hash));
	return tx_exec(tx, &invitation_renew, &row);
}

int invitation_again_in_tx(struct tx *tx, void *arg)
{
	const struct invitation_order *order = arg;
	struct invitation before, after;
	int r = get(tx, &order->id, &before);

	if (r == 0)
		r = rbac_may_grant_in_tx(tx, order->rights, before.role);
	if (r == -ERR_NOT_FOUND)
		return fail(ERR_NOT_FOUND, "there is no such invitation, or no such role");
	if (r < 0)
		return r;
	after = before;
	after.expires_at = expiry(tx);
	r = renew(tx, order, &after);
	if (r == 0)
		r = send_mail(tx, order, &after);
	if (r == 0)
		r = note(tx, &order->actor, S("user.invited_again"), &before, &after);
	if (r == 0)
		*order->ret = after;
	return r;
}

int invitation_withdraw_in_tx(struct tx *tx, void *arg)
{
	const struct invitation_order *order = arg;
	struct invitation invitation;
	int r = get(tx, &order->id, &invitation);

	if (r == 0)
		r = tx_exec(tx, &invitation_remove, &(struct user_ref){ invitation.id });
	return r < 0 ? r
		     : note(tx, &order->actor, S("user.invitation_withdrawn"), &invitation, NULL);
}

/* --- taking ---------------------------------------------------------------------------------- */

static bool is_good(
	struct tx *tx, const struct invitation_ref *ref, const struct invitation_row *row)
{
	struct str hash = str_of(ref->secret_hash, sizeof(ref->secret_hash));

	return uuid_cmp(tx_tenant(tx), &ref->tenant) == 0 && crypto_equal(row->secret_hash, hash) &&
	       row->expires_at > tx_now_us(tx);
}

int invitation_take_in_tx(struct tx *tx, const struct invitation_ref *ref, struct str name,
	const struct audit_actor *actor, struct user *ret)
{
	struct user_new in = { .name = name, .verified = true, .actor = actor };
	struct invitation_row row;
	char text[UUID_TEXT_LEN];
	int r;

	uuid_write(text, &ref->id);
	r = tx_one(tx, &invitation_secret, &(struct user_ref){ str_of(text, sizeof(text)) }, &row);
	if (r == 0 && !is_good(tx, ref, &row))
		r = fail(ERR_NOT_FOUND, "this invitation is none any more");
	if (r == 0)
		r = tx_exec(tx, &invitation_remove, &(struct user_ref){ row.id });
	if (r < 0)
		return r;

	in.email = row.email;
	in.role = row.role;
	return user_create_in_tx(tx, &in, ret);
}

/* --- old ones -------------------------------------------------------------------------------- */

enum { SWEEP_BATCH = 500, SWEEP_ROUNDS = 100 };

static int sweep_in_tx(struct tx *tx, void *arg)
{
	return tx_change(tx, &invitation_sweep, NULL, arg);
}

int invitations_sweep(struct store *store)
{
	struct arena arena;
	struct db db = db_of_system(store, &arena);
	size_t deleted = SWEEP_BATCH;
	int r = 0;

	arena_init(&arena, 4 * KILOBYTE, MEGABYTE);
	for (int i = 0; i < SWEEP_ROUNDS && r == 0 && deleted == SWEEP_BATCH; i++) {
		r = db_write(&db, sweep_in_tx, &deleted);
		arena_reset(&arena);
	}
	arena_done(&arena);
	return r;
}
