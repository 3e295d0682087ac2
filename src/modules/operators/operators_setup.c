/* Links that make an operator or set the password of one: rows, and what using one does. */
#include "modules/operators/operators_internal.h"

#include "base/err.h"
#include "crypto/digest.h"
#include "crypto/opaque.h"
#include "crypto/random.h"

#define LINK_PREFIX S("bh_su_")

/* --- texts ------------------------------------------------------------------------------ */

bool setup_read(struct str text, struct setup_ref *ret)
{
	uint8_t bytes[OPERATOR_LINK_BYTES];

	if (text.len != OPERATOR_LINK_LEN || !opaque_read(text, LINK_PREFIX, bytes, sizeof(bytes)))
		return false;
	memcpy(ret->id.bytes, bytes, sizeof(ret->id.bytes));
	opaque_hash(ret->secret_hash, str_of((const char *)bytes + 16, 32));
	crypto_wipe(bytes, sizeof(bytes));
	return true;
}

int setup_url(const struct setup_new *link, struct arena *arena, struct str *ret)
{
	*ret = arena_printf(arena, "%.*s/setup?token=%.*s",
		STR_ARG(operators_options()->public_url), OPERATOR_LINK_LEN, link->text);
	return ret->at ? 0 : -(int)err_last()->code;
}

/* --- statements ------------------------------------------------------------------------- */

struct first {
	struct str user_id;
	int64_t created_at;
};

struct room {
	int64_t room;
};

/* clang-format off */
static const struct schema link_schema = SCHEMA(setup_link, "A link.",
	FIELD(setup_link, id, "Which.", .format = FORMAT_UUID),
	FIELD(setup_link, user_id, "Whose password it sets.", .format = FORMAT_UUID),
	FIELD(setup_link, secret_hash, "SHA-256 of its secret."),
	FIELD(setup_link, expires_at, "Until when.", .format = FORMAT_DATE_TIME));

static const struct schema link_key_schema = SCHEMA(setup_link, "A link by its id.",
	FIELD(setup_link, id, "Which.", .format = FORMAT_UUID));

static const struct schema link_user_schema = SCHEMA(setup_link, "Links of a user.",
	FIELD(setup_link, user_id, "Whose.", .format = FORMAT_UUID));

static const struct schema first_schema = SCHEMA(first, "The first operator.",
	FIELD(first, user_id, "Who.", .format = FORMAT_UUID),
	FIELD(first, created_at, "When.", .format = FORMAT_DATE_TIME));

static const struct schema room_schema = SCHEMA(room, "How many.",
	FIELD(room, room, "Rows."));
/* clang-format on */

static const struct statement link_insert = STATEMENT("operator_link_insert",
	.sql = "INSERT INTO main.operator_link (tenant_id, id, user_id, secret_hash, expires_at) "
	       "VALUES (:tenant, :id, :user_id, :secret_hash, :expires_at)",
	.in = &link_schema);

static const struct statement link_get = STATEMENT("operator_link_get",
	.sql = "SELECT id, user_id, secret_hash, expires_at FROM operator_link "
	       "WHERE tenant_id = :tenant AND id = :id AND expires_at > :now",
	.in = &link_key_schema, .out = &link_schema);

static const struct statement link_delete = STATEMENT("operator_link_delete",
	.sql = "DELETE FROM main.operator_link WHERE tenant_id = :tenant AND id = :id",
	.in = &link_key_schema, .expect = EXPECT_ONE);

static const struct statement link_delete_first = STATEMENT("operator_link_delete_first",
	.sql = "DELETE FROM main.operator_link WHERE tenant_id = :tenant AND user_id IS NULL");

static const struct statement link_delete_of = STATEMENT("operator_link_delete_of",
	.sql = "DELETE FROM main.operator_link WHERE tenant_id = :tenant AND user_id = :user_id",
	.in = &link_user_schema);

static const struct statement link_clean = STATEMENT("operator_link_clean",
	.sql = "DELETE FROM main.operator_link WHERE tenant_id = :tenant AND expires_at <= :now");

static const struct statement link_crowd = STATEMENT("operator_link_crowd",
	.sql = "DELETE FROM main.operator_link WHERE tenant_id = :tenant AND id IN (SELECT id FROM "
	       "operator_link WHERE tenant_id = :tenant ORDER BY expires_at DESC, id DESC "
	       "LIMIT 1000 OFFSET :room)",
	.in = &room_schema);

static const struct statement first_get = STATEMENT("operator_first_get",
	.sql = "SELECT user_id, created_at FROM operator_first WHERE tenant_id = :tenant",
	.out = &first_schema);

static const struct statement first_insert = STATEMENT("operator_first_insert",
	.sql = "INSERT INTO main.operator_first (tenant_id, user_id, created_at) "
	       "VALUES (:tenant, :user_id, :created_at)",
	.in = &first_schema);

const struct statement *const operator_statements[OPERATOR_STATEMENTS] = { &link_insert, &link_get,
	&link_delete, &link_delete_first, &link_delete_of, &link_clean, &link_crowd, &first_get,
	&first_insert, &impersonation_insert, &impersonation_get, &impersonation_stop,
	&impersonation_rows, &impersonation_clean };

/* --- transactions ------------------------------------------------------------------------- */

int operator_known_in_tx(struct tx *tx)
{
	struct first first;
	int r = tx_one(tx, &first_get, NULL, &first);

	return r == -ERR_NOT_FOUND ? 0 : r < 0 ? r : 1;
}

int setup_clean_in_tx(struct tx *tx, void *arg)
{
	(void)arg;
	return tx_exec(tx, &link_clean, NULL);
}

int setup_make_in_tx(struct tx *tx, void *arg)
{
	struct setup_new *new = arg;
	uint8_t bytes[OPERATOR_LINK_BYTES];
	char id[UUID_TEXT_LEN], user[UUID_TEXT_LEN], hash[OPAQUE_HASH_LEN];
	struct setup_link link = { .id = str_of(id, sizeof(id)),
		.user_id = { .set = new->user != NULL, .value = str_of(user, sizeof(user)) },
		.secret_hash = str_of(hash, sizeof(hash)),
		.expires_at = tx_now_us(tx) + (int64_t)(OPERATOR_LINK_LIFE / MICROSECOND) };
	struct uuid uuid;
	int r;

	uuid_v7(&uuid, tx_now_us(tx));
	memcpy(bytes, uuid.bytes, sizeof(uuid.bytes));
	random_bytes(bytes + sizeof(uuid.bytes), 32);
	uuid_write(id, &uuid);
	if (new->user)
		uuid_write(user, new->user);
	opaque_hash(hash, str_of((const char *)bytes + sizeof(uuid.bytes), 32));
	opaque_write(new->text, LINK_PREFIX, str_of((const char *)bytes, sizeof(bytes)));
	crypto_wipe(bytes, sizeof(bytes));

	r = tx_exec(tx, &link_clean, NULL);
	if (r == 0)
		r = tx_exec(tx, &link_crowd, &(struct room){ OPERATOR_LINKS_MAX - 1 });
	return r < 0 ? r : tx_exec(tx, &link_insert, &link);
}

static int refuse(void)
{
	return fail(ERR_NOT_FOUND, "this link was used, is too old, or never was");
}

int setup_get_in_tx(
	struct tx *tx, const struct setup_ref *ref, struct setup_link *ret, struct user *ret_user)
{
	char id[UUID_TEXT_LEN];
	struct setup_link key = { .id = str_of(id, sizeof(id)) };
	struct uuid user;
	int r;

	uuid_write(id, &ref->id);
	r = tx_one(tx, &link_get, &key, ret);
	if (r == -ERR_NOT_FOUND)
		return refuse();
	if (r < 0)
		return r;
	if (!crypto_equal(ret->secret_hash, str_of(ref->secret_hash, sizeof(ref->secret_hash))))
		return refuse();
	if (!ret->user_id.set) {
		r = operator_known_in_tx(tx);
		*ret_user = (struct user){ 0 };
		return r > 0 ? refuse() : r;
	}
	CHECK(uuid_parse(ret->user_id.value, &user));
	r = user_get_in_tx(tx, &user, ret_user);
	return r == -ERR_NOT_FOUND ? refuse() : r;
}

static int note_first(struct tx *tx, const struct user *user)
{
	int r = operator_known_in_tx(tx);

	if (r == 0)
		r = tx_exec(tx, &first_insert, &(struct first){ user->id, tx_now_us(tx) });
	return r < 0 ? r : tx_exec(tx, &link_delete_first, NULL);
}

int operator_make_in_tx(struct tx *tx, const struct audit_actor *actor,
	const struct operator_account *account, struct str hash, struct user *ret)
{
	struct user_new new = {
		.email = account->email,
		.name = account->name,
		.role = S("owner"),
		.verified = true,
		.actor = actor,
	};
	struct uuid id;
	int r = user_create_in_tx(tx, &new, ret);

	if (r < 0)
		return r;
	CHECK(uuid_parse(ret->id, &id));
	if (hash.len)
		r = auth_set_password_in_tx(tx, &id, hash, actor);
	if (r == 0)
		r = note_first(tx, ret);
	return r < 0 ? r
		     : tx_audit(tx, actor,
			       &(struct audit_entry){ .action = S("operator.created"),
				       .type = S("user"),
				       .id = ret->id,
				       .security = true });
}

static int use_reset(struct tx *tx, const struct setup_use *use, const struct user *user)
{
	struct setup_link of = { .user_id = { .set = true, .value = user->id } };
	struct uuid id;
	int r;

	CHECK(uuid_parse(user->id, &id));
	r = auth_set_password_in_tx(tx, &id, use->hash, &use->actor);
	return r < 0 ? r : tx_exec(tx, &link_delete_of, &of);
}

int setup_use_in_tx(struct tx *tx, void *arg)
{
	struct setup_use *use = arg;
	struct operator_account account = { .email = use->email, .name = use->name };
	struct setup_link link = { 0 };
	struct user user = { 0 };
	int r = setup_get_in_tx(tx, use->ref, &link, &user);

	if (r == 0)
		r = tx_exec(tx, &link_delete, &link);
	if (r < 0)
		return r;
	if (link.user_id.set) {
		*use->ret = user;
		return use_reset(tx, use, &user);
	}
	return operator_make_in_tx(tx, &use->actor, &account, use->hash, use->ret);
}
