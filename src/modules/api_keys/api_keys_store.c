/*
 * Rows of keys. Every change is made, bounded and audited in one transaction; the secret itself
 * never comes here, only its digest.
 */
#include "modules/api_keys/api_keys_internal.h"

#include "crypto/base64.h"
#include "http/match.h"
#include "observe/clock.h"

/* --- statements --------------------------------------------------------------------------- */

#define COLUMNS                                                                                    \
	"id, kind, name, prefix, ending, scopes, allowed_addresses, requests_per_minute, "         \
	"owner_id, created_with, expires_at, revoked_at, previous_until, last_used_at, "           \
	"last_used_address, version, created_at, updated_at"

#define HIDDEN "secret_hash, previous_hash, ends_at"

struct key_counts {
	int64_t usable, all_keys;
};

struct key_sweep {
	int64_t before, room;
};

#define KINDS CHOICES("secret", "publishable")
#define TEXTS RANGE(0, API_KEY_SCOPES_MAX), .item = RULES(RANGE(0, RIGHT_TEXT_MAX))

/* clang-format off */
static const struct schema row_schema = SCHEMA(api_key, "A key with what only its row has.",
	FIELD(api_key, id, "Which.", .format = FORMAT_UUID),
	FIELD(api_key, kind, "Of what kind.", KINDS),
	FIELD(api_key, name, "Name for people."),
	FIELD(api_key, prefix, "How its text begins."),
	FIELD(api_key, ending, "How its text ends."),
	LIST(api_key, scopes, "What it may do.", TEXTS),
	LIST(api_key, allowed_addresses, "From where.", TEXTS),
	FIELD(api_key, requests_per_minute, "Its own limit.", .flags = NULLABLE),
	FIELD(api_key, owner_id, "Whose rights bound it.", .format = FORMAT_UUID),
	FIELD(api_key, created_with, "The key that made it.", .flags = NULLABLE, .format = FORMAT_UUID),
	FIELD(api_key, expires_at, "When it ends.", .flags = NULLABLE, .format = FORMAT_DATE_TIME),
	FIELD(api_key, revoked_at, "When it was ended.", .flags = NULLABLE, .format = FORMAT_DATE_TIME),
	FIELD(api_key, previous_until, "Of the former secret.", .flags = NULLABLE, .format = FORMAT_DATE_TIME),
	FIELD(api_key, last_used_at, "When.", .flags = NULLABLE, .format = FORMAT_DATE_TIME),
	FIELD(api_key, last_used_address, "From where.", .flags = NULLABLE),
	FIELD(api_key, version, "Which."),
	FIELD(api_key, created_at, "When.", .format = FORMAT_DATE_TIME),
	FIELD(api_key, updated_at, "When.", .format = FORMAT_DATE_TIME),
	FIELD(api_key, secret_hash, "SHA-256 of the secret.", .flags = SECRET),
	FIELD(api_key, previous_hash, "Of the former one.", .flags = NULLABLE | SECRET),
	FIELD(api_key, ends_at, "When it was ended or ends.", .flags = NULLABLE, .format = FORMAT_DATE_TIME));

static const struct schema key_ref_schema = SCHEMA(api_key_ref, "A key by its id.",
	FIELD(api_key_ref, id, "Which.", .format = FORMAT_UUID));

static const struct schema key_search_schema = SCHEMA(api_key_query, "Which rows of the list.",
	FIELD(api_key_query, limit, "How many."),
	FIELD(api_key_query, owner_id, "Only those of a user.", .format = FORMAT_UUID),
	FIELD(api_key_query, after_id, "Where the page begins.", .format = FORMAT_UUID));

static const struct schema key_counts_schema = SCHEMA(key_counts, "How many keys there are.",
	FIELD(key_counts, usable, "That have not ended."),
	FIELD(key_counts, all_keys, "That there are."));

static const struct schema key_sweep_schema = SCHEMA(key_sweep, "What is to be forgotten.",
	FIELD(key_sweep, before, "Ended before then.", .format = FORMAT_DATE_TIME),
	FIELD(key_sweep, room, "At most so many."));

static const struct schema key_use_schema = SCHEMA(key_use, "That a key was used.",
	FIELD(key_use, id, "Which.", .format = FORMAT_UUID),
	FIELD(key_use, last_used_at, "When.", .format = FORMAT_DATE_TIME),
	FIELD(key_use, last_used_address, "From where."));
/* clang-format on */

const struct statement key_get = STATEMENT("api_key_get",
	.sql = "SELECT " COLUMNS ", " HIDDEN " FROM api_key WHERE tenant_id = :tenant AND id = :id",
	.in = &key_ref_schema, .out = &row_schema);

const struct statement key_list = STATEMENT("api_key_list",
	.sql = "SELECT " COLUMNS " FROM api_key WHERE tenant_id = :tenant AND id < :after_id "
	       "AND (owner_id = :owner_id OR :owner_id IS NULL) "
	       "ORDER BY id DESC LIMIT :limit + 1",
	.in = &key_search_schema, .out = &row_schema);

static const struct statement key_count = STATEMENT("api_key_count",
	.sql = "SELECT count(*) AS all_keys, "
	       "count(CASE WHEN ends_at IS NULL OR ends_at > :now THEN 1 END) AS usable "
	       "FROM api_key WHERE tenant_id = :tenant",
	.out = &key_counts_schema);

static const struct statement key_insert = STATEMENT("api_key_insert",
	.sql = "INSERT INTO main.api_key (tenant_id, " COLUMNS ", " HIDDEN ") VALUES (:tenant, "
	       ":id, :kind, :name, :prefix, :ending, :scopes, :allowed_addresses, "
	       ":requests_per_minute, :owner_id, :created_with, :expires_at, :revoked_at, "
	       ":previous_until, :last_used_at, :last_used_address, :version, :created_at, "
	       ":updated_at, :secret_hash, :previous_hash, :ends_at)",
	.in = &row_schema);

static const struct statement key_update = STATEMENT("api_key_update",
	.sql = "UPDATE main.api_key SET name = :name, ending = :ending, scopes = :scopes, "
	       "allowed_addresses = :allowed_addresses, "
	       "requests_per_minute = :requests_per_minute, expires_at = :expires_at, "
	       "revoked_at = :revoked_at, previous_until = :previous_until, "
	       "secret_hash = :secret_hash, previous_hash = :previous_hash, ends_at = :ends_at, "
	       "version = :version, updated_at = :updated_at "
	       "WHERE tenant_id = :tenant AND id = :id",
	.in = &row_schema, .expect = EXPECT_ONE);

const struct statement key_use_set = STATEMENT("api_key_use_set",
	.sql = "UPDATE main.api_key SET last_used_at = :last_used_at, "
	       "last_used_address = :last_used_address WHERE tenant_id = :tenant AND id = :id "
	       "AND (last_used_at IS NULL OR last_used_at < :last_used_at)",
	.in = &key_use_schema);

const struct statement key_owned = STATEMENT("api_key_owned",
	.sql = "SELECT " COLUMNS " FROM api_key WHERE tenant_id = :tenant AND owner_id = :id "
	       "ORDER BY id",
	.in = &key_ref_schema, .out = &row_schema);

const struct statement key_end_owned = STATEMENT("api_key_end_owned",
	.sql = "UPDATE main.api_key SET revoked_at = :now, previous_hash = NULL, "
	       "previous_until = NULL, version = version + 1, updated_at = :now, "
	       "ends_at = CASE WHEN ends_at < :now THEN ends_at ELSE :now END "
	       "WHERE tenant_id = :tenant AND owner_id = :id AND revoked_at IS NULL",
	.in = &key_ref_schema);

static const struct statement key_sweep = STATEMENT("api_key_sweep",
	.sql = "DELETE FROM main.api_key WHERE (tenant_id, id) IN "
	       "(SELECT tenant_id, id FROM main.api_key "
	       "WHERE ends_at < :before ORDER BY ends_at LIMIT :room)",
	.in = &key_sweep_schema, .flags = STATEMENT_SYSTEM);

const struct statement *const key_statements[KEY_STATEMENTS] = { &key_get, &key_list, &key_count,
	&key_insert, &key_update, &key_use_set, &key_owned, &key_end_owned, &key_sweep };

/* --- parts of transactions -------------------------------------------------------------------- */

/* What everybody may hear of it: the list, the audit log, who listens to events. */
static int tell(struct tx *tx, const struct key_asker *asker, struct str what,
	const struct api_key *before, const struct api_key *after)
{
	const struct audit_entry entry = { .action = what,
		.type = S("api_key"),
		.id = after->id,
		.schema = &api_key_schema,
		.before = before,
		.after = after };
	int r = tx_audit(tx, &asker->actor, &entry);

	if (r == 0)
		r = tx_emit(tx, &(struct event){ what, after->id, &api_key_schema, after });
	return r;
}

/* Nobody gives what he lacks; a key that asks is looked at as it is now. */
static int check_within(struct tx *tx, const struct key_asker *asker, const struct api_key *key)
{
	struct api_key_ref ref = { asker->with };
	struct api_key with;
	int r;

	if (asker->with.len == 0)
		return key_is_within(key, &asker->rights, NULL);
	r = tx_one(tx, &key_get, &ref, &with);
	if (r == -ERR_NOT_FOUND || (r == 0 && key_has_ended(&with, tx_now_us(tx))))
		return fail(ERR_FORBIDDEN, "the key that asks has ended");
	return r < 0 ? r : key_is_within(key, &asker->rights, &with);
}

static int check_room(struct tx *tx)
{
	struct key_counts counts;
	int r = tx_one(tx, &key_count, NULL, &counts);

	if (r < 0)
		return r;
	if (counts.usable >= API_KEYS_MAX)
		return fail_field(ERR_CONFLICT, "", "too_many",
			"there are %d keys already; revoke some", API_KEYS_MAX);
	if (counts.all_keys >= API_KEYS_KEPT_MAX)
		return fail_field(ERR_CONFLICT, "", "too_many",
			"%d keys have been made and ended within %d days", API_KEYS_KEPT_MAX,
			API_KEY_KEPT_DAYS);
	return 0;
}

static int check_expiry(struct tx *tx, const struct opt_i64 *expires)
{
	if (!expires->set || expires->null || expires->value > tx_now_us(tx))
		return 0;
	return fail_field(ERR_INVALID, "expiresAt", "in_the_past", "must be in the future");
}

/* Gives the key the text: what is kept of it, and what its owner gets to see this once. */
static int set_text(struct tx *tx, const struct key_text *text, struct api_key *key)
{
	char *whole = arena_alloc(tx_arena(tx), KEY_TEXT_LEN + KEY_HASH_LEN);

	if (!whole)
		return -(int)err_last()->code;
	key_text_write(whole, text);
	opaque_hash(whole + KEY_TEXT_LEN, str_of((const char *)text->secret, KEY_SECRET_LEN));

	key->key = str_of(whole, KEY_TEXT_LEN);
	key->prefix = str_of(whole, KEY_PREFIX_LEN);
	key->ending = str_of(whole + KEY_TEXT_LEN - OPAQUE_CHECK_LEN, OPAQUE_CHECK_LEN);
	key->secret_hash = str_of(whole + KEY_TEXT_LEN, KEY_HASH_LEN);
	return 0;
}

static int set_id(struct tx *tx, const struct uuid *id, struct api_key *key)
{
	key->id = uuid_text(tx_arena(tx), id);
	return key->id.at ? 0 : -(int)err_last()->code;
}

/* --- create --------------------------------------------------------------------------------- */

int key_create_in_tx(struct tx *tx, void *arg)
{
	struct key_creation *creation = arg;
	const struct api_key_new *in = creation->in;
	struct api_key key = {
		.kind = in->kind,
		.name = in->name,
		.scopes = in->scopes,
		.allowed_addresses = in->allowed_addresses,
		.requests_per_minute = in->requests_per_minute,
		.owner_id = creation->owner_id,
		.created_with = { .set = creation->asker.with.len > 0,
			.value = creation->asker.with },
		.expires_at = in->expires_at,
		.version = 1,
		.created_at = tx_now_us(tx),
		.updated_at = tx_now_us(tx),
	};
	int r = check_expiry(tx, &in->expires_at);

	if (r == 0)
		r = check_within(tx, &creation->asker, &key);
	if (r == 0)
		r = check_room(tx);
	if (r == 0)
		r = set_id(tx, &creation->text.id, &key);
	if (r == 0)
		r = set_text(tx, &creation->text, &key);
	if (r < 0)
		return r;

	key_set_end(&key);
	r = tx_exec(tx, &key_insert, &key);
	if (r == 0)
		r = tell(tx, &creation->asker, S("api_key.created"), NULL, &key);
	if (r == 0)
		*creation->ret = key;
	return r;
}

/* --- change --------------------------------------------------------------- */

static int apply_patch(
	struct tx *tx, const struct key_change *change, struct api_key *key, struct str *ret)
{
	int r = check_expiry(tx, &change->patch->expires_at);

	if (r == 0)
		r = scopes_check(key->kind, &change->patch->scopes);
	if (r < 0)
		return r;
	if (key_merge(key, change->patch))
		*ret = S("api_key.updated");
	return check_within(tx, &change->asker, key);
}

/* The former secret holds for the overlap, the one before it no more. */
static int apply_text(
	struct tx *tx, const struct key_change *change, struct api_key *key, struct str *ret)
{
	struct opt_str former = { .set = true, .value = key->secret_hash };
	int r;

	if (key_has_ended(key, tx_now_us(tx)))
		return fail(ERR_CONFLICT, "this key has expired");
	r = check_within(tx, &change->asker, key);
	change->text->kind = key->kind;
	if (r == 0)
		r = set_text(tx, change->text, key);
	if (r < 0)
		return r;

	key->previous_hash = change->overlap_us ? former : (struct opt_str){ 0 };
	key->previous_until = (struct opt_i64){ .set = change->overlap_us > 0,
		.value = change->overlap_us ? tx_now_us(tx) + change->overlap_us : 0 };
	*ret = S("api_key.rotated");
	return 0;
}

/* Whoever may write keys may end any of them. Again: nothing. */
static void apply_end(struct tx *tx, struct api_key *key, struct str *ret)
{
	if (key->revoked_at.set && !key->revoked_at.null)
		return;
	key->revoked_at = (struct opt_i64){ .set = true, .value = tx_now_us(tx) };
	key->previous_hash = (struct opt_str){ 0 };
	key->previous_until = (struct opt_i64){ 0 };
	key_set_end(key);
	*ret = S("api_key.revoked");
}

static int apply(
	struct tx *tx, const struct key_change *change, struct api_key *key, struct str *ret)
{
	if (!change->patch && !change->text) {
		apply_end(tx, key, ret);
		return 0;
	}
	if (key->revoked_at.set && !key->revoked_at.null)
		return fail(ERR_CONFLICT, "this key was revoked");
	return change->patch ? apply_patch(tx, change, key, ret) : apply_text(tx, change, key, ret);
}

int key_change_in_tx(struct tx *tx, void *arg)
{
	const struct key_change *change = arg;
	struct api_key_ref ref = { change->id };
	struct api_key before, after;
	struct str what = { 0 };
	int r = tx_one(tx, &key_get, &ref, &before);

	if (r == 0)
		r = req_if_match(change->req, before.version);
	if (r < 0)
		return r;

	after = before;
	r = apply(tx, change, &after, &what);
	if (r == 0 && what.len) {
		after.version++;
		after.updated_at = tx_now_us(tx);
		r = tx_exec(tx, &key_update, &after);
		if (r == 0)
			r = tell(tx, &change->asker, what, &before, &after);
		if (r == 0)
			r = known_forget(tx, after.id);
	}
	if (r == 0)
		*change->ret = after;
	return r;
}

/* --- what has ended ------------------------------------------------------- */

enum { SWEEP_BATCH = 500, SWEEP_ROUNDS = 1000 };

struct sweep {
	struct key_sweep in;
	size_t deleted;
};

static int sweep_in_tx(struct tx *tx, void *arg)
{
	struct sweep *sweep = arg;

	return tx_change(tx, &key_sweep, &sweep->in, &sweep->deleted);
}

int keys_sweep(struct store *store)
{
	static const struct tx_options options = { "api_key_sweep", .durability = TX_SOFT };
	const int64_t kept_us = API_KEY_KEPT_DAYS * (int64_t)(24 * HOUR / MICROSECOND);
	struct sweep sweep = { { clock_wall_us() - kept_us, SWEEP_BATCH }, SWEEP_BATCH };
	struct arena arena;
	struct db db;
	int r = 0;

	arena_init(&arena, 4 * KILOBYTE, MEGABYTE);
	db = db_of_system(store, &arena);
	for (int round = 0; round < SWEEP_ROUNDS && sweep.deleted == SWEEP_BATCH && r == 0; round++)
		r = db_write_with(&db, &options, sweep_in_tx, &sweep);
	arena_done(&arena);
	return r;
}
