/* Rows of invitations, and their texts. */
#include "modules/users/users_internal.h"

#include "base/check.h"
#include "base/err.h"
#include "crypto/base64.h"
#include "crypto/opaque.h"

/* --- texts ------------------------------------------------------------------------------- */

static const struct str prefix = S_INIT("bh_in_");

/* What the text stands for. */
struct token {
	struct uuid tenant, id;
	uint8_t secret[INVITATION_SECRET_LEN];
};

_Static_assert(sizeof(struct token) == 64, "a token has no holes");

bool invitation_read(struct str text, struct invitation_ref *ret)
{
	struct token token;
	bool good = opaque_read(text, prefix, &token, sizeof(token));

	if (good) {
		ret->tenant = token.tenant;
		ret->id = token.id;
		digest(DIGEST_SHA256, str_of((const char *)token.secret, sizeof(token.secret)),
			ret->secret_hash);
	}
	crypto_wipe(&token, sizeof(token));
	return good;
}

/* --- statements ---------------------------------------------------------------------------- */

/* A row as it is taken. */
struct invitation_row {
	struct str id, email, role, secret_hash;
	int64_t expires_at;
};

/* clang-format off */
static const struct schema invitation_id_schema = SCHEMA(user_ref, "An invitation by its id.",
	FIELD(user_ref, id, "Which.", .format = FORMAT_UUID));

static const struct schema invitation_row_schema = SCHEMA(invitation_row, "An open invitation.",
	FIELD(invitation_row, id, "Which.", .format = FORMAT_UUID),
	FIELD(invitation_row, email, "Whom."),
	FIELD(invitation_row, role, "As what."),
	FIELD(invitation_row, secret_hash, "What the text must have."),
	FIELD(invitation_row, expires_at, "Until when.", .format = FORMAT_DATE_TIME));
/* clang-format on */

const struct statement invitation_secret = STATEMENT("invitation_secret",
	.sql = "SELECT id, email, role, secret_hash, expires_at FROM invitation "
	       "WHERE tenant_id = :tenant AND id = :id",
	.in = &invitation_id_schema, .out = &invitation_row_schema);

const struct statement invitation_remove = STATEMENT("invitation_remove",
	.sql = "DELETE FROM main.invitation WHERE tenant_id = :tenant AND id = :id",
	.in = &invitation_id_schema, .expect = EXPECT_ONE);

/* --- taking ---------------------------------------------------------------------------------- */

static bool is_good(
	struct tx *tx, const struct invitation_ref *ref, const struct invitation_row *row)
{
	char hash[INVITATION_HASH_LEN];

	hex_write(hash, str_of((const char *)ref->secret_hash, sizeof(ref->secret_hash)));
	return crypto_equal(row->secret_hash, str_of(hash, sizeof(hash))) &&
	       row->expires_at > tx_now_us(tx);
}

int invitation_take_in_tx(struct tx *tx, const struct invitation_ref *ref, struct str name,
	const struct audit_actor *actor, struct user *ret)
{
	struct user_new user = { .name = name, .verified = true, .actor = actor };
	struct invitation_row row;
	char id[UUID_TEXT_LEN];
	int r;

	uuid_write(id, &ref->id);
	r = tx_one(tx, &invitation_secret, &(struct user_ref){ str_of(id, sizeof(id)) }, &row);
	if (r == 0 && !is_good(tx, ref, &row))
		r = fail(ERR_NOT_FOUND, "this invitation is none any more");
	if (r == 0)
		r = tx_exec(tx, &invitation_remove, &(struct user_ref){ row.id });
	if (r < 0)
		return r;
	user.email = row.email;
	return user_create_in_tx(tx, &user, ret);
}
