/* Rows of links, and the mails that carry them. */
#include "modules/auth/auth_links.h"

#include "base/check.h"
#include "base/err.h"
#include "crypto/digest.h"
#include "crypto/random.h"
#include "modules/auth/auth_internal.h"
#include "modules/mails/mails.h"
#include "modules/tenants/tenants.h"

static const struct str prefix = S_INIT("bh_ml_");

enum { LINK_TEXT_LEN = OPAQUE_LEN(6, LINK_BYTES) };

/* --- kinds ------------------------------------------------------------------------------ */

#define KINDS CHOICES("verify", "reset", "change_email", "unlock")

static const struct {
	enum mail_kind mail;
	const char *path;
	int64_t minutes;
} kinds[LINK_KINDS] = {
	[LINK_VERIFY] = { MAIL_VERIFY, "verify-email", 24 * 60 },
	[LINK_RESET] = { MAIL_RESET, "reset-password", 60 },
	[LINK_CHANGE_EMAIL] = { MAIL_CHANGE_EMAIL, "confirm-email", 24 * 60 },
	[LINK_UNLOCK] = { MAIL_UNLOCK, "unlock", 24 * 60 },
};

/* --- rows --------------------------------------------------------------------------------- */

/* A row of main.auth_link: one of each user and kind. */
struct link_row {
	struct str user_id;
	enum link_kind kind;
	struct str id;
	struct opt_str secret_hash; /* not set: used */
	struct opt_str email;
	int64_t expires_at;
	int64_t limit; /* of those within the hour */
};

struct link_by {
	struct str id, user_id, secret_hash;
	enum link_kind kind;
	int64_t limit;
};

/* clang-format off */
static const struct schema link_row_schema = SCHEMA(link_row, "A link.",
	FIELD(link_row, user_id, "Whose.", .format = FORMAT_UUID),
	FIELD(link_row, kind, "What for.", KINDS),
	FIELD(link_row, id, "Which.", .format = FORMAT_UUID),
	FIELD(link_row, secret_hash, "Of its secret."),
	FIELD(link_row, email, "The new address."),
	FIELD(link_row, expires_at, "Until when."),
	FIELD(link_row, limit, "How many within the hour."));

static const struct schema link_of_user_schema = SCHEMA(link_by, "Of a user and kind.",
	FIELD(link_by, user_id, "Whose.", .format = FORMAT_UUID),
	FIELD(link_by, kind, "What for.", KINDS));

static const struct schema link_secret_schema = SCHEMA(link_by, "By its text.",
	FIELD(link_by, id, "Which.", .format = FORMAT_UUID),
	FIELD(link_by, secret_hash, "Of its secret."),
	FIELD(link_by, kind, "What for.", KINDS));

static const struct schema link_limit_schema = SCHEMA(link_by, "How many.",
	FIELD(link_by, limit, "At most."));

static const struct schema link_owner_schema = SCHEMA(link_owner, "Who a link was for.",
	FIELD(link_owner, user_id, "Who.", .format = FORMAT_UUID),
	FIELD(link_owner, email, "The new address."));
/* clang-format on */

/*
 * The first of its hour, or one more of them; no row when there were enough. Nothing is read by
 * itself: what PostgreSQL remembers of reads are whole pages, so people who sign up at the same
 * time would run into each other.
 */
static const struct statement link_put = STATEMENT("link_put",
	.sql = "INSERT INTO main.auth_link AS l (tenant_id, user_id, kind, id, secret_hash, email, "
	       "sent, window_at, expires_at) VALUES (:tenant, :user_id, :kind, :id, "
	       ":secret_hash, :email, 1, :now, :expires_at) "
	       "ON CONFLICT (tenant_id, user_id, kind) DO UPDATE SET id = excluded.id, "
	       "secret_hash = excluded.secret_hash, email = excluded.email, "
	       "sent = CASE WHEN l.window_at <= :now - 3600000000 THEN 1 ELSE l.sent + 1 END, "
	       "window_at = CASE WHEN l.window_at <= :now - 3600000000 THEN :now "
	       "ELSE l.window_at END, expires_at = excluded.expires_at "
	       "WHERE l.window_at <= :now - 3600000000 OR l.sent < :limit",
	.in = &link_row_schema);

static const struct statement link_look = STATEMENT("link_look",
	.sql = "SELECT user_id, email FROM auth_link WHERE tenant_id = :tenant AND id = :id "
	       "AND kind = :kind AND secret_hash = :secret_hash AND expires_at > :now",
	.in = &link_secret_schema, .out = &link_owner_schema);

static const struct statement link_use = STATEMENT("link_use",
	.sql = "UPDATE main.auth_link SET secret_hash = NULL WHERE tenant_id = :tenant "
	       "AND id = :id AND kind = :kind AND secret_hash = :secret_hash "
	       "AND expires_at > :now",
	.in = &link_secret_schema, .expect = EXPECT_ONE);

static const struct statement link_void = STATEMENT("link_void",
	.sql = "UPDATE main.auth_link SET secret_hash = NULL WHERE tenant_id = :tenant "
	       "AND user_id = :user_id AND kind = :kind",
	.in = &link_of_user_schema);

/* Ended an hour ago: what was sent is no longer counted then either. */
static const struct statement link_sweep = STATEMENT("link_sweep",
	.sql = "DELETE FROM main.auth_link WHERE (tenant_id, user_id, kind) IN "
	       "(SELECT tenant_id, user_id, kind FROM main.auth_link "
	       "WHERE expires_at < :now - 3600000000 LIMIT :limit)",
	.in = &link_limit_schema, .flags = STATEMENT_SYSTEM);

static const struct statement link_erase = STATEMENT("link_erase",
	.sql = "DELETE FROM main.auth_link WHERE tenant_id = :tenant AND user_id = :user_id",
	.in = &link_of_user_schema);

const struct statement *const link_statements[LINK_STATEMENTS] = { &link_put, &link_look, &link_use,
	&link_void, &link_sweep, &link_erase };

/* --- texts --------------------------------------------------------------------------------- */

int link_refuse(void)
{
	return fail_field(ERR_INVALID, "token", "invalid_token",
		"is not good, or not good any more; ask for a new one");
}

bool link_read(struct str text, struct link_ref *ret)
{
	uint8_t bytes[LINK_BYTES];

	if (!opaque_read(text, prefix, bytes, sizeof(bytes)))
		return false;
	memcpy(ret->tenant.bytes, bytes, 16);
	memcpy(ret->id.bytes, bytes + 16, 16);
	opaque_hash(ret->hash, str_of((const char *)bytes + 32, LINK_SECRET_LEN));
	crypto_wipe(bytes, sizeof(bytes));
	return true;
}

/* The address that is mailed, and the row's share of it. */
static struct str make_link(
	struct tx *tx, enum link_kind kind, const struct uuid *id, char hash[OPAQUE_HASH_LEN])
{
	struct str app = auth_options()->app_url;
	uint8_t bytes[LINK_BYTES];
	char text[LINK_TEXT_LEN];

	memcpy(bytes, tx_tenant(tx)->bytes, 16);
	memcpy(bytes + 16, id->bytes, 16);
	random_bytes(bytes + 32, LINK_SECRET_LEN);
	opaque_hash(hash, str_of((const char *)bytes + 32, LINK_SECRET_LEN));
	opaque_write(text, prefix, str_of((const char *)bytes, sizeof(bytes)));
	crypto_wipe(bytes, sizeof(bytes));
	return arena_printf(tx_arena(tx), "%.*s/%s?token=%.*s", STR_ARG(app), kinds[kind].path,
		(int)sizeof(text), text);
}

/* --- transactions ---------------------------------------------------------------------------- */

static int post(struct tx *tx, const struct link_order *order, int64_t expires_us, struct str link)
{
	struct mail_post mail = {
		.kind = kinds[order->kind].mail,
		.to = order->email.len ? order->email : order->user->email,
		.name = order->user->name,
		.tenant_name = order->tenant_name,
		.link = link,
		.expires_us = expires_us,
		/* Not to another address, which may be anybody's. */
		.proved = !order->email.len && order->user->email_verified_at.set,
	};
	struct tenant tenant = { 0 };
	int r;

	if (mail.tenant_name.len)
		return mail_post_in_tx(tx, &mail);
	r = tenant_get_in_tx(tx, &tenant);
	mail.tenant_name = tenant.name;
	return r < 0 ? r : mail_post_in_tx(tx, &mail);
}

int link_mail_in_tx(struct tx *tx, const struct link_order *order)
{
	int64_t now = tx_now_us(tx);
	char hash[OPAQUE_HASH_LEN], id_text[UUID_TEXT_LEN];
	struct link_row row = {
		.user_id = order->user->id,
		.kind = order->kind,
		.id = str_of(id_text, sizeof(id_text)),
		.secret_hash = { .set = true, .value = str_of(hash, sizeof(hash)) },
		.email = { .set = order->email.len, .value = order->email },
		.expires_at = now + kinds[order->kind].minutes * (int64_t)(MINUTE / MICROSECOND),
		.limit = LINKS_PER_HOUR,
	};
	size_t put = 0;
	struct uuid id;
	struct str link;
	int r;

	uuid_v7(&id, now);
	uuid_write(id_text, &id);
	link = make_link(tx, order->kind, &id, hash);
	if (!link.at)
		return -(int)err_last()->code;
	r = tx_change(tx, &link_put, &row, &put);
	if (r < 0 || put == 0)
		return r;
	r = post(tx, order, row.expires_at, link);
	return r < 0 ? r : 1;
}

int link_look_in_tx(
	struct tx *tx, const struct link_ref *ref, enum link_kind kind, struct link_owner *ret)
{
	char id[UUID_TEXT_LEN];
	struct link_by by = { .id = str_of(id, sizeof(id)),
		.secret_hash = str_of(ref->hash, sizeof(ref->hash)),
		.kind = kind };
	int r;

	uuid_write(id, &ref->id);
	r = tx_one(tx, &link_look, &by, ret);
	return r == -ERR_NOT_FOUND ? link_refuse() : r;
}

int link_take_in_tx(
	struct tx *tx, const struct link_ref *ref, enum link_kind kind, struct link_owner *ret)
{
	char id[UUID_TEXT_LEN];
	struct link_by by = { .id = str_of(id, sizeof(id)),
		.secret_hash = str_of(ref->hash, sizeof(ref->hash)),
		.kind = kind };
	int r = link_look_in_tx(tx, ref, kind, ret);

	uuid_write(id, &ref->id);
	return r < 0 ? r : tx_exec(tx, &link_use, &by);
}

int links_drop_in_tx(struct tx *tx, const struct uuid *user, enum link_kind kind)
{
	char text[UUID_TEXT_LEN];
	struct link_by by = { .user_id = str_of(text, sizeof(text)), .kind = kind };

	uuid_write(text, user);
	if (kind < LINK_KINDS)
		return tx_exec(tx, &link_void, &by);
	by.kind = LINK_VERIFY; /* not asked for */
	return tx_exec(tx, &link_erase, &by);
}

/* --- sweeping ------------------------------------------------------------- */

enum { SWEEP_STEP = 500, SWEEP_STEPS_MAX = 2000 };

static int sweep_in_tx(struct tx *tx, void *arg)
{
	return tx_change(tx, &link_sweep, &(struct link_by){ .limit = SWEEP_STEP }, arg);
}

int links_sweep(struct store *store)
{
	static const struct tx_options soft = { .name = "sweep links", .durability = TX_SOFT };
	size_t gone = SWEEP_STEP;
	struct arena arena;
	struct db db = db_of_system(store, &arena);
	int r = 0;

	arena_init(&arena, 16 * KILOBYTE, MEGABYTE);
	for (int i = 0; i < SWEEP_STEPS_MAX && gone == SWEEP_STEP && r == 0; i++)
		r = db_write_with(&db, &soft, sweep_in_tx, &gone);
	arena_done(&arena);
	return r;
}
