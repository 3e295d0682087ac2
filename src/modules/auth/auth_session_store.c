/* Rows of sessions: beginning and ending them. Refreshing is auth_session_refresh.c's. */
#include "modules/auth/auth_session.h"

#include "base/utf8.h"
#include "crypto/random.h"
#include "schema/encode.h"

/* --- statements ------------------------------------------------------------------------------ */

#define COLUMNS                                                                                    \
	"tenant_id, id, bundle_id, user_id, impersonator_id, user_agent, address, generation, "    \
	"token_hash, created_at, used_at, rotated_at, expires_at, ends_at, revoked_at"

/* clang-format off */
static const struct schema id_schema = SCHEMA(session_ref, "Which session.",
	FIELD(session_ref, id, "Its id.", .format = FORMAT_UUID));

static const struct schema rotation_schema = SCHEMA(session_rotation, "A new refresh token.",
	FIELD(session_rotation, id, "Which session.", .format = FORMAT_UUID),
	FIELD(session_rotation, generation, "Of the newest token until now."),
	FIELD(session_rotation, token_hash, "Of its secret.", .flags = SECRET),
	FIELD(session_rotation, next_hash, "Of the new one's.", .flags = SECRET),
	FIELD(session_rotation, until, "Over then, unless used.", .format = FORMAT_DATE_TIME));

static const struct schema of_user_schema = SCHEMA(session_search, "Sessions of a user.",
	FIELD(session_search, user_id, "Whose.", .format = FORMAT_UUID),
	FIELD(session_search, limit, "At most."));

static const struct schema of_bundle_schema = SCHEMA(session_search, "Sessions of a browser.",
	FIELD(session_search, bundle_id, "Which.", .format = FORMAT_UUID),
	FIELD(session_search, limit, "At most."));

static const struct schema revoked_schema = SCHEMA(session_search, "Sessions that have ended.",
	FIELD(session_search, since, "Not before.", .format = FORMAT_DATE_TIME));

static const struct schema sweep_schema = SCHEMA(session_search, "Sessions to be forgotten.",
	FIELD(session_search, since, "Ended or revoked before.", .format = FORMAT_DATE_TIME),
	FIELD(session_search, limit, "At most."));
/* clang-format on */

static const struct statement session_insert = STATEMENT("session_insert",
	.sql = "INSERT INTO main.session (" COLUMNS ") VALUES (:tenant, :id, :bundle_id, :user_id, "
	       ":impersonator_id, :user_agent, :address, :generation, :token_hash, :created_at, "
	       ":used_at, :rotated_at, :expires_at, :ends_at, :revoked_at)",
	.in = &session_schema);

const struct statement session_get = STATEMENT("session_get",
	.sql = "SELECT " COLUMNS " FROM session WHERE tenant_id = :tenant AND id = :id",
	.in = &id_schema, .out = &session_schema);

const struct statement session_live = STATEMENT("session_live",
	.sql = "SELECT id FROM session WHERE tenant_id = :tenant AND id = :id "
	       "AND revoked_at IS NULL AND ends_at > :now",
	.in = &id_schema, .out = &id_schema);

const struct statement session_advance = STATEMENT("session_advance",
	.sql = "UPDATE main.session SET generation = generation + 1, token_hash = :next_hash, "
	       "used_at = :now, rotated_at = :now, "
	       "expires_at = CASE WHEN :until < ends_at THEN :until ELSE ends_at END "
	       "WHERE tenant_id = :tenant AND id = :id AND generation = :generation "
	       "AND token_hash = :token_hash AND revoked_at IS NULL AND expires_at > :now "
	       "RETURNING " COLUMNS,
	.in = &rotation_schema, .out = &session_schema);

static const struct statement session_revoke = STATEMENT("session_revoke",
	.sql = "UPDATE main.session SET revoked_at = :now "
	       "WHERE tenant_id = :tenant AND id = :id AND revoked_at IS NULL",
	.in = &id_schema);

const struct statement session_of_user = STATEMENT("session_of_user",
	.sql = "SELECT " COLUMNS " FROM session WHERE tenant_id = :tenant AND user_id = :user_id "
	       "AND revoked_at IS NULL AND expires_at > :now "
	       "ORDER BY used_at DESC, id DESC LIMIT :limit",
	.in = &of_user_schema, .out = &session_schema);

static const struct statement session_forget_user = STATEMENT("session_forget_user",
	.sql = "DELETE FROM main.session WHERE tenant_id = :tenant AND user_id = :user_id",
	.in = &of_user_schema);

const struct statement session_of_bundle = STATEMENT("session_of_bundle",
	.sql = "SELECT " COLUMNS " FROM main.session WHERE bundle_id = :bundle_id "
	       "AND revoked_at IS NULL AND expires_at > :now "
	       "ORDER BY used_at DESC, id DESC LIMIT :limit",
	.in = &of_bundle_schema, .out = &session_schema, .flags = STATEMENT_SYSTEM);

const struct statement session_revoked_since = STATEMENT("session_revoked_since",
	.sql = "SELECT tenant_id, id, revoked_at FROM main.session WHERE revoked_at >= :since",
	.in = &revoked_schema, .out = &session_schema, .flags = STATEMENT_SYSTEM);

static const struct statement session_sweep_ended = STATEMENT("session_sweep_ended",
	.sql = "DELETE FROM main.session WHERE (tenant_id, id) IN (SELECT tenant_id, id "
	       "FROM main.session WHERE ends_at < :since ORDER BY ends_at LIMIT :limit)",
	.in = &sweep_schema, .flags = STATEMENT_SYSTEM);

static const struct statement session_sweep_revoked = STATEMENT("session_sweep_revoked",
	.sql = "DELETE FROM main.session WHERE (tenant_id, id) IN (SELECT tenant_id, id "
	       "FROM main.session WHERE revoked_at < :since ORDER BY revoked_at LIMIT :limit)",
	.in = &sweep_schema, .flags = STATEMENT_SYSTEM);

const struct statement *const auth_session_statements[AUTH_SESSION_STATEMENTS] = { &session_insert,
	&session_get, &session_live, &session_advance, &session_revoke, &session_of_user,
	&session_forget_user, &session_of_bundle, &session_revoked_since, &session_sweep_ended,
	&session_sweep_revoked };

/* --- texts ---------------------------------------------------------------- */

/* Cut between two characters. A header field may hold any bytes: what is no text becomes '?'. */
static int keep_agent(struct arena *arena, struct str from, struct str *ret)
{
	char *at = arena_alloc(arena, SESSION_AGENT_MAX);
	size_t len = 0, size;
	uint32_t point;

	if (!at)
		return -(int)err_last()->code;
	for (; from.len; from = str_from(from, size)) {
		size = utf8_read(from, &point);
		if (len + MAX(size, 1) > SESSION_AGENT_MAX)
			break;
		memcpy(at + len, size ? from.at : "?", MAX(size, 1));
		size = MAX(size, 1);
		len += size;
	}
	*ret = str_of(at, len);
	return 0;
}

/* --- ending --------------------------------------------------------------- */

/* What is told of one. */
struct session_ended {
	struct str id, user_id, reason;
};

/* clang-format off */
const struct schema session_ended_schema = SCHEMA(session_ended, "A session has ended.",
	FIELD(session_ended, id, "Which.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(session_ended, user_id, "Whose.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(session_ended, reason, "Why.", .flags = REQUIRED));
/* clang-format on */

int session_end_in_tx(struct tx *tx, const struct session *session, const char *reason)
{
	const struct session_ref ref = { session->id };
	const struct session_ended ended = { session->id, session->user_id, str_from_c(reason) };
	const struct event event = { S("session.revoked"), session->id, &session_ended_schema,
		&ended };
	size_t changed = 0;
	int r = tx_change(tx, &session_revoke, &ref, &changed);

	if (r < 0 || changed == 0)
		return r < 0 ? r : 1;
	r = tx_emit(tx, &event);
	return r < 0 ? r : tx_notice(tx, S(SESSION_TOPIC), session->id);
}

static int sessions_of(struct tx *tx, const struct uuid *user, struct session **ret, size_t *count)
{
	struct session_search search = { .user_id = uuid_text(tx_arena(tx), user),
		.limit = 2 * SESSIONS_OF_USER_MAX };

	if (!search.user_id.at)
		return -(int)err_last()->code;
	return tx_all(tx, &session_of_user, &search, ret, count);
}

static int end_all(
	struct tx *tx, const struct uuid *user, const struct uuid *except, const char *reason)
{
	struct session *sessions = NULL;
	size_t count = 0;
	int r = sessions_of(tx, user, &sessions, &count);

	for (size_t i = 0; i < count && r >= 0; i++) {
		struct uuid id;

		CHECK(uuid_parse(sessions[i].id, &id));
		if (!except || uuid_cmp(&id, except) != 0)
			r = session_end_in_tx(tx, &sessions[i], reason);
	}
	return MIN(r, 0);
}

int sessions_revoke_in_tx(struct tx *tx, const struct uuid *user, const struct uuid *except)
{
	return end_all(tx, user, except, "revoked");
}

/* --- beginning ------------------------------------------------------------ */

void session_make(
	const struct session *row, const struct refresh_token *token, struct session_made *ret)
{
	struct session_made made = {
		.tenant = token->tenant, .id = token->session, .expires_us = row->ends_at
	};

	CHECK(uuid_parse(row->bundle_id, &made.bundle) && uuid_parse(row->user_id, &made.user));
	if (row->impersonator_id.set && !row->impersonator_id.null)
		CHECK(uuid_parse(row->impersonator_id.value, &made.impersonator));
	refresh_write(session_keys(), token, made.refresh);
	*ret = made;
}

/* Makes room: the same user in the same browser is the same session, begun anew, and what is more
 * than a user may have goes, the one unused for longest first. */
static int make_room(struct tx *tx, const struct session_new *session)
{
	struct session *sessions = NULL;
	size_t count = 0;
	int r = sessions_of(tx, session->user, &sessions, &count);

	for (size_t i = 0; i < count && r >= 0; i++) {
		struct uuid bundle;

		CHECK(uuid_parse(sessions[i].bundle_id, &bundle));
		if (session->bundle && uuid_cmp(&bundle, session->bundle) == 0)
			r = session_end_in_tx(tx, &sessions[i], "replaced");
		else if (i + 1 >= SESSIONS_OF_USER_MAX)
			r = session_end_in_tx(tx, &sessions[i], "too many");
	}
	return MIN(r, 0);
}

static void set_times(struct session *row, int64_t now_us, uint64_t lifetime_ns)
{
	const struct auth_options *options = auth_options();
	uint64_t life_ns =
		lifetime_ns ? MIN(lifetime_ns, options->session_ns) : options->session_ns;

	row->created_at = row->used_at = row->rotated_at = now_us;
	row->ends_at = now_us + (int64_t)(life_ns / MICROSECOND);
	row->expires_at = now_us + (int64_t)(MIN(life_ns, options->refresh_ns) / MICROSECOND);
}

static int insert(struct tx *tx, const struct session_new *session, struct refresh_token *token,
	struct session *row)
{
	struct arena *arena = tx_arena(tx);
	struct uuid id, bundle;
	char *hash = arena_alloc(arena, REFRESH_HASH_LEN);
	int r;

	uuid_v7(&id, tx_now_us(tx));
	if (session->bundle)
		bundle = *session->bundle;
	else
		uuid_v7(&bundle, tx_now_us(tx));
	refresh_begin(tx_tenant(tx), &id, token);
	row->id = uuid_text(arena, &id);
	row->bundle_id = uuid_text(arena, &bundle);
	row->user_id = uuid_text(arena, session->user);
	if (!hash || !row->id.at || !row->bundle_id.at || !row->user_id.at)
		return -(int)err_last()->code;
	refresh_hash(token, hash);
	row->token_hash = str_of(hash, REFRESH_HASH_LEN);
	row->address = session->address;
	row->impersonator_id = (struct opt_str){
		.set = true, .null = session->impersonator.len == 0, .value = session->impersonator
	};
	set_times(row, tx_now_us(tx), session->lifetime_ns);
	r = keep_agent(arena, session->user_agent, &row->user_agent);
	return r < 0 ? r : tx_exec(tx, &session_insert, row);
}

int session_begin_in_tx(struct tx *tx, const struct session_new *session, struct session_made *ret)
{
	struct refresh_token token = { 0 };
	struct session row = { 0 };
	int r = make_room(tx, session);

	if (r == 0)
		r = insert(tx, session, &token, &row);
	if (r == 0)
		session_make(&row, &token, ret);
	crypto_wipe(&token, sizeof(token));
	return r;
}

/* --- users ---------------------------------------------------------------- */

static int user_suspended(struct tx *tx, const struct uuid *user)
{
	return end_all(tx, user, NULL, "suspended");
}

/* Where they signed in from goes with them. */
static int user_deleted(struct tx *tx, const struct uuid *user)
{
	struct session_search search = { .user_id = uuid_text(tx_arena(tx), user) };
	int r = end_all(tx, user, NULL, "deleted");

	if (r == 0 && !search.user_id.at)
		r = -(int)err_last()->code;
	return r < 0 ? r : tx_exec(tx, &session_forget_user, &search);
}

void session_show(const struct session *row, struct str current, struct session_view *ret)
{
	*ret = (struct session_view){ .id = row->id,
		.user_agent = row->user_agent,
		.address = row->address,
		.created_at = row->created_at,
		.used_at = row->used_at,
		.expires_at = row->expires_at,
		.impersonated = row->impersonator_id.set && !row->impersonator_id.null,
		.current = str_eq(row->id, current) };
}

static int user_export(struct tx *tx, const struct uuid *user, struct json_writer *writer)
{
	struct session *sessions = NULL;
	size_t count = 0;
	int r = sessions_of(tx, user, &sessions, &count);

	if (r < 0)
		return r;
	json_write_array(writer);
	for (size_t i = 0; i < count; i++) {
		struct session_view view;

		session_show(&sessions[i], str_of(NULL, 0), &view);
		schema_encode(&session_view_schema, SCHEMA_OUTPUT, &view, writer);
	}
	json_write_array_end(writer);
	return 0;
}

struct user_watcher session_watcher = {
	.suspended = user_suspended,
	.deleted = user_deleted,
	.export_name = "sessions",
	.export = user_export,
};

/* --- sweeping ------------------------------------------------------------- */

enum { SWEEP_BATCH = 500, SWEEP_ROUNDS = 200 };

/* Those that have ended may still be replayed, which is worth a line in the log of refusals; and
 * instances that start learn from the rows which access tokens are void. */
#define KEEP_ENDED (24 * HOUR)

struct sweep {
	const struct statement *statement;
	struct session_search search;
	size_t deleted;
};

static int sweep_in_tx(struct tx *tx, void *arg)
{
	struct sweep *sweep = arg;

	sweep->search.since =
		tx_now_us(tx) - (int64_t)((KEEP_ENDED + auth_options()->access_ns) / MICROSECOND);
	return tx_change(tx, sweep->statement, &sweep->search, &sweep->deleted);
}

static int sweep(struct store *store, const struct statement *statement)
{
	static const struct tx_options options = { "session_sweep", .durability = TX_SOFT };
	struct sweep sweep = { .statement = statement, .search.limit = SWEEP_BATCH };
	struct arena arena;
	int r = 0;

	arena_init(&arena, 4 * KILOBYTE, MEGABYTE);
	for (int round = 0; round < SWEEP_ROUNDS && r == 0; round++) {
		struct db db = db_of_system(store, &arena);

		r = db_write_with(&db, &options, sweep_in_tx, &sweep);
		arena_reset(&arena);
		if (sweep.deleted < SWEEP_BATCH)
			break;
	}
	arena_done(&arena);
	return r;
}

int sessions_sweep(struct store *store)
{
	int r = sweep(store, &session_sweep_ended);

	return r < 0 ? r : sweep(store, &session_sweep_revoked);
}
