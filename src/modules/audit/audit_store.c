/*
 * Statements, and the marks. What is read across tenants are the ids of those with something to do;
 * everything that is done is done as the tenant.
 */
#include "modules/audit/audit_internal.h"

/* clang-format off */
static const struct schema ask_schema = SCHEMA(audit_ask, "What a statement asks for.",
	FIELD(audit_ask, kind, "Which mark.", CHOICES("head", "start")),
	FIELD(audit_ask, id, "Which entry.", .format = FORMAT_UUID),
	FIELD(audit_ask, user_id, "Which user.", .format = FORMAT_UUID),
	FIELD(audit_ask, person_id, "Which other one.", .format = FORMAT_UUID),
	FIELD(audit_ask, target, "The one user."),
	FIELD(audit_ask, other, "The other one."),
	FIELD(audit_ask, after_id, "Behind this one,", .format = FORMAT_UUID),
	FIELD(audit_ask, last_id, "up to this one.", .format = FORMAT_UUID),
	FIELD(audit_ask, tenant_id, "Behind this tenant.", .format = FORMAT_UUID),
	FIELD(audit_ask, sequence, "Behind this place,"),
	FIELD(audit_ask, last_sequence, "up to this one."),
	FIELD(audit_ask, limit, "How many."),
	FIELD(audit_ask, before, "Before this time.", .format = FORMAT_DATE_TIME),
	FIELD(audit_ask, chain, "The chain up to there."),
	FIELD(audit_ask, seal, "The seal."),
	FIELD(audit_ask, rounds, "How often it was done."),
	FIELD(audit_ask, erased, "How much."),
	FIELD(audit_ask, due_at, "When it is done again.", .format = FORMAT_DATE_TIME));

static const struct schema found_schema = SCHEMA(audit_found, "What was found.",
	FIELD(audit_found, tenant_id, "Which tenant.", .format = FORMAT_UUID),
	FIELD(audit_found, id, "Which entry.", .format = FORMAT_UUID),
	FIELD(audit_found, count, "How many."));

static const struct schema erasure_schema = SCHEMA(audit_erasure, "A user to be erased.",
	FIELD(audit_erasure, tenant_id, "Whose.", .format = FORMAT_UUID),
	FIELD(audit_erasure, user_id, "Which.", .format = FORMAT_UUID),
	FIELD(audit_erasure, rounds, "How often it was done."),
	FIELD(audit_erasure, erased, "How much."),
	FIELD(audit_erasure, due_at, "When it is done again.", .format = FORMAT_DATE_TIME),
	FIELD(audit_erasure, seal, "That it was asked for."));

const struct schema audit_erased_schema = SCHEMA(audit_erasure, "What was erased.",
	FIELD(audit_erasure, erased, "In how many places.", .name = "entries"));
/* clang-format on */

/* clang-format off */
static const struct schema era_schema = SCHEMA(audit_era, "Where a former key ends.",
	FIELD(audit_era, key_id, "Which key."),
	FIELD(audit_era, sequence, "The last place that counts."),
	FIELD(audit_era, chain, "The chain there."),
	FIELD(audit_era, seal, "Under the key in force."));

static const struct schema former_schema = SCHEMA(audit_former, "A former key.",
	FIELD(audit_former, key_id, "Which."),
	FIELD(audit_former, sealed, "Under the key in force.", .flags = SECRET));
/* clang-format on */

/* --- entries ------------------------------------------------------------------------------- */

#define COLUMNS                                                                                    \
	"id, sequence, chain, kind, user_id, key_id, session_id, impersonator_id, address, "       \
	"address_salt, address_digest, action, target_type, target_id, state_before, "             \
	"state_after, person_id, personal, personal_salt, personal_count, security, request_id, "  \
	"trace_id, created_at, seal"

const struct statement audit_insert = STATEMENT("audit_insert",
	.sql = "INSERT INTO main.audit (tenant_id, id, kind, user_id, key_id, session_id, "
	       "impersonator_id, address, address_salt, address_digest, action, target_type, "
	       "target_id, state_before, state_after, person_id, personal, personal_salt, "
	       "personal_count, security, request_id, trace_id, created_at, seal) VALUES (:tenant, "
	       ":id, :kind, :user_id, :key_id, :session_id, :impersonator_id, :address, "
	       ":address_salt, :address_digest, :action, :target_type, :target_id, :state_before, "
	       ":state_after, :person_id, :personal, :personal_salt, :personal_count, :security, "
	       ":request_id, :trace_id, :created_at, :seal)",
	.in = &audit_row_schema);

const struct statement audit_unchained = STATEMENT("audit_unchained",
	.sql = "SELECT id, seal FROM audit WHERE tenant_id = :tenant AND sequence IS NULL "
	       "ORDER BY id LIMIT :limit",
	.in = &ask_schema, .out = &audit_row_schema);

const struct statement audit_chain_set = STATEMENT("audit_chain_set",
	.sql = "UPDATE main.audit SET sequence = :sequence, chain = :chain "
	       "WHERE tenant_id = :tenant AND id = :id AND sequence IS NULL",
	.in = &ask_schema, .expect = EXPECT_ONE);

const struct statement audit_by_sequence = STATEMENT("audit_by_sequence",
	.sql = "SELECT " COLUMNS " FROM audit WHERE tenant_id = :tenant AND sequence > :sequence "
	       "ORDER BY sequence LIMIT :limit",
	.in = &ask_schema, .out = &audit_row_schema);

const struct statement audit_loose = STATEMENT("audit_loose",
	.sql = "SELECT " COLUMNS " FROM audit WHERE tenant_id = :tenant AND id IN "
	       "(SELECT id FROM audit WHERE tenant_id = :tenant AND sequence IS NULL "
	       "AND id > :after_id ORDER BY id LIMIT :limit) ORDER BY id",
	.in = &ask_schema, .out = &audit_row_schema);

const struct statement audit_next_loose = STATEMENT("audit_next_loose",
	.sql = "SELECT id FROM audit WHERE tenant_id = :tenant AND sequence IS NULL "
	       "AND id > :after_id ORDER BY id LIMIT 1",
	.in = &ask_schema, .out = &found_schema);

const struct statement audit_next_sequence = STATEMENT("audit_next_sequence",
	.sql = "SELECT coalesce(min(sequence), 0) AS count FROM audit WHERE tenant_id = :tenant "
	       "AND sequence > :sequence",
	.in = &ask_schema, .out = &found_schema);

const struct statement audit_last_sequence = STATEMENT("audit_last_sequence",
	.sql = "SELECT coalesce(max(sequence), 0) AS count FROM audit WHERE tenant_id = :tenant "
	       "AND sequence IS NOT NULL",
	.out = &found_schema);

const struct statement audit_delete = STATEMENT("audit_delete",
	.sql = "DELETE FROM main.audit WHERE tenant_id = :tenant AND sequence > :sequence "
	       "AND sequence <= :last_sequence",
	.in = &ask_schema);

/* --- lists ---------------------------------------------------------------- */

#define MAYBE(column) " AND (" #column " = :" #column " OR :" #column " IS NULL)"

#define FILTERS                                                                                    \
	MAYBE(user_id)                                                                             \
	MAYBE(key_id)                                                                              \
	MAYBE(action)                                                                              \
	MAYBE(target_type)                                                                         \
	MAYBE(target_id)                                                                           \
	MAYBE(security)                                                                            \
	" AND (created_at >= :from OR :from IS NULL) AND (created_at < :to OR :to IS NULL)"        \
	" AND (action >= :action_from OR :action_from IS NULL)"                                    \
	" AND (action < :action_to OR :action_to IS NULL)"

/*
 * `driver` is what the statement is for: it has an index of its own. SQLite, which takes a tenant
 * for ten rows, would rather walk through all of them by the primary key, which saves it a look-up;
 * so the ids come from the index first, which has all that is asked for there.
 */
#define SQLITE_IDS(driver, range)                                                                  \
	"SELECT " COLUMNS                                                                          \
	" FROM (SELECT id AS entry_id FROM audit WHERE tenant_id = :tenant" driver range           \
	") AS i CROSS JOIN audit WHERE tenant_id = :tenant AND id = i.entry_id" FILTERS

#define PLAIN(driver, range)                                                                       \
	"SELECT " COLUMNS " FROM audit WHERE tenant_id = :tenant" driver range FILTERS

#define BACKWARD_RANGE " AND id < :after_id AND id >= :first_id"
#define FORWARD_RANGE  " AND id > :after_id AND id < :last_id"

#define LIST_STATEMENT(name_, driver)                                                              \
	STATEMENT("audit_list_" name_,                                                             \
		.sqlite = SQLITE_IDS(driver, BACKWARD_RANGE) " ORDER BY i.entry_id DESC "          \
							     "LIMIT :limit + 1",                   \
		.postgres = PLAIN(driver, BACKWARD_RANGE) " ORDER BY id DESC LIMIT :limit + 1",    \
		.in = &audit_search_schema, .out = &audit_row_schema)

#define FORWARD_STATEMENT(name_, driver)                                                           \
	STATEMENT("audit_forward_" name_,                                                          \
		.sqlite = SQLITE_IDS(driver, FORWARD_RANGE) " ORDER BY i.entry_id LIMIT :limit",   \
		.postgres = PLAIN(driver, FORWARD_RANGE) " ORDER BY id LIMIT :limit",              \
		.in = &audit_search_schema, .out = &audit_row_schema)

#define BY_TARGET " AND target_id = :target_id"
#define BY_KEY    " AND key_id = :key_id"
#define BY_USER   " AND user_id = :user_id"
#define BY_ACTION " AND action = :action"

const struct statement audit_lists[LISTS] = {
	[LIST_ALL] = LIST_STATEMENT("all", ""),
	[LIST_TARGET] = LIST_STATEMENT("target", BY_TARGET),
	[LIST_KEY] = LIST_STATEMENT("key", BY_KEY),
	[LIST_USER] = LIST_STATEMENT("user", BY_USER),
	[LIST_ACTION] = LIST_STATEMENT("action", BY_ACTION),
	[LIST_SECURITY] = LIST_STATEMENT("security", " AND security = true"),
};

const struct statement audit_forward[LISTS] = {
	[LIST_ALL] = FORWARD_STATEMENT("all", ""),
	[LIST_TARGET] = FORWARD_STATEMENT("target", BY_TARGET),
	[LIST_KEY] = FORWARD_STATEMENT("key", BY_KEY),
	[LIST_USER] = FORWARD_STATEMENT("user", BY_USER),
	[LIST_ACTION] = FORWARD_STATEMENT("action", BY_ACTION),
	[LIST_SECURITY] = FORWARD_STATEMENT("security", " AND security = true"),
};

enum audit_list audit_list_of(const struct audit_query *query)
{
	if (query->target_id.set)
		return LIST_TARGET;
	if (query->key_id.set)
		return LIST_KEY;
	if (query->user_id.set)
		return LIST_USER;
	if (query->action.set)
		return LIST_ACTION;
	return query->security.set && query->security.value ? LIST_SECURITY : LIST_ALL;
}

/* --- who has something to do ---------------------------------------------- */

const struct statement audit_next_unchained = STATEMENT("audit_next_unchained",
	.sql = "SELECT tenant_id FROM main.audit WHERE sequence IS NULL AND tenant_id > :tenant_id "
	       "ORDER BY tenant_id LIMIT 1",
	.in = &ask_schema, .out = &found_schema, .flags = STATEMENT_SYSTEM);

const struct statement audit_next_entry = STATEMENT("audit_next_entry",
	.sql = "SELECT tenant_id FROM main.audit WHERE tenant_id > :tenant_id "
	       "ORDER BY tenant_id LIMIT 1",
	.in = &ask_schema, .out = &found_schema, .flags = STATEMENT_SYSTEM);

const struct statement audit_next_mark = STATEMENT("audit_next_mark",
	.sql = "SELECT tenant_id FROM main.audit_mark WHERE tenant_id > :tenant_id "
	       "ORDER BY tenant_id LIMIT 1",
	.in = &ask_schema, .out = &found_schema, .flags = STATEMENT_SYSTEM);

const struct statement audit_next_old = STATEMENT("audit_next_old",
	.sql = "SELECT m.tenant_id FROM main.audit_mark AS m WHERE m.kind = 'head' "
	       "AND m.tenant_id > :tenant_id AND EXISTS (SELECT 1 FROM main.audit AS a "
	       "WHERE a.tenant_id = m.tenant_id AND a.id < :last_id) "
	       "ORDER BY m.tenant_id LIMIT 1",
	.in = &ask_schema, .out = &found_schema, .flags = STATEMENT_SYSTEM);

/* --- marks ------------------------------------------------------------------------------------ */

#define MARK "kind, sequence, chain, broken_at, marked_at, seal, told_sequence, told_at"

static const struct statement mark_get = STATEMENT("audit_mark_get",
	.sql = "SELECT " MARK " FROM audit_mark WHERE tenant_id = :tenant AND kind = :kind",
	.in = &ask_schema, .out = &audit_mark_schema);

static const struct statement mark_insert = STATEMENT("audit_mark_insert",
	.sql = "INSERT INTO main.audit_mark (tenant_id, " MARK ") VALUES (:tenant, :kind, "
	       ":sequence, :chain, :broken_at, :marked_at, :seal, :told_sequence, :told_at)",
	.in = &audit_mark_schema);

static const struct statement mark_update = STATEMENT("audit_mark_update",
	.sql = "UPDATE main.audit_mark SET sequence = :sequence, chain = :chain, "
	       "broken_at = :broken_at, marked_at = :marked_at, seal = :seal "
	       "WHERE tenant_id = :tenant AND kind = :kind AND sequence = :former",
	.in = &audit_mark_schema, .expect = EXPECT_ONE);

const struct statement audit_mark_told = STATEMENT("audit_mark_told",
	.sql = "UPDATE main.audit_mark SET told_sequence = :sequence, told_at = :now "
	       "WHERE tenant_id = :tenant AND kind = 'head' AND told_sequence < :sequence",
	.in = &ask_schema);

const struct statement audit_marks_untold = STATEMENT("audit_marks_untold",
	.sql = "SELECT tenant_id, " MARK " FROM main.audit_mark "
	       "WHERE told_sequence < sequence AND told_at < :before ORDER BY told_at LIMIT :limit",
	.in = &ask_schema, .out = &audit_mark_schema, .flags = STATEMENT_SYSTEM);

int audit_mark_read(struct tx *tx, enum audit_mark_kind kind, struct audit_mark *ret)
{
	struct audit_ask ask = { .kind = kind };
	int r = tx_one(tx, &mark_get, &ask, ret);

	return r == 0 ? 1 : r == -ERR_NOT_FOUND ? 0 : r;
}

int audit_mark_put(struct tx *tx, struct audit_mark *mark, int64_t former)
{
	char seal[AUDIT_DIGEST_TEXT];

	mark->marked_at = tx_now_us(tx);
	audit_mark_seal(0, tx_tenant(tx), mark, seal);
	mark->seal = str_of(seal, sizeof(seal));
	mark->former = former;
	return tx_exec(tx, former < 0 ? &mark_insert : &mark_update, mark);
}

/* --- erasure -------------------------------------------------------------- */

const struct statement audit_of_user = STATEMENT("audit_of_user",
	.sql = "SELECT id FROM audit WHERE tenant_id = :tenant AND user_id = :user_id "
	       "AND id > :after_id ORDER BY id LIMIT :limit",
	.in = &ask_schema, .out = &found_schema);

/* The entries of others that tell of this one; the condition is that of the index. */
#define OF_OTHER "person_id = :user_id AND person_id IS DISTINCT FROM user_id"

const struct statement audit_of_other = STATEMENT("audit_of_other",
	.sql = "SELECT id FROM audit WHERE tenant_id = :tenant AND " OF_OTHER
	       " AND id > :after_id ORDER BY id LIMIT :limit",
	.in = &ask_schema, .out = &found_schema);

/* One's own entries, and those of others, up to the last one that was found, through their index.
 */
#define ERASED_OF(whose)                                                                           \
	" WHERE tenant_id = :tenant AND id IN (SELECT id FROM audit WHERE tenant_id = :tenant "    \
	"AND " whose " AND id > :after_id AND id <= :last_id)"

const struct statement audit_erase_address = STATEMENT("audit_erase_address",
	.sql = "UPDATE main.audit SET address = NULL, address_salt = NULL" ERASED_OF(
		"user_id = :user_id") " AND address_salt IS NOT NULL",
	.in = &ask_schema);

const struct statement audit_erase_own = STATEMENT("audit_erase_own",
	.sql = "UPDATE main.audit SET personal = NULL, personal_salt = NULL" ERASED_OF(
		"user_id = :user_id") " AND person_id = :user_id AND personal_salt IS NOT NULL",
	.in = &ask_schema);

/* The address of nobody is the person's, as far as anybody knows. */
const struct statement audit_erase_other = STATEMENT("audit_erase_other",
	.sql = "UPDATE main.audit SET personal = NULL, personal_salt = NULL, "
	       "address = CASE WHEN kind = 'nobody' THEN NULL ELSE address END, "
	       "address_salt = CASE WHEN kind = 'nobody' THEN NULL ELSE address_salt END" ERASED_OF(
		       OF_OTHER) " AND (personal_salt IS NOT NULL OR "
				 "(kind = 'nobody' AND address_salt IS NOT NULL))",
	.in = &ask_schema);

const struct statement audit_erasure_add = STATEMENT("audit_erasure_add",
	.sql = "INSERT INTO main.audit_erasure (tenant_id, user_id, rounds, erased, due_at, seal) "
	       "VALUES (:tenant, :user_id, 0, 0, :now, :seal) "
	       "ON CONFLICT (tenant_id, user_id) DO UPDATE SET rounds = 0, due_at = :now",
	.in = &ask_schema);

const struct statement audit_erasure_due = STATEMENT("audit_erasure_due",
	.sql = "SELECT tenant_id, user_id, rounds, erased, due_at, seal FROM main.audit_erasure "
	       "WHERE due_at <= :before ORDER BY due_at LIMIT :limit",
	.in = &ask_schema, .out = &erasure_schema, .flags = STATEMENT_SYSTEM);

const struct statement audit_erasure_again = STATEMENT("audit_erasure_again",
	.sql = "UPDATE main.audit_erasure SET rounds = rounds + 1, erased = erased + :erased, "
	       "due_at = :due_at WHERE tenant_id = :tenant AND user_id = :user_id "
	       "AND rounds = :rounds",
	.in = &ask_schema, .expect = EXPECT_ONE);

const struct statement audit_erasure_done = STATEMENT("audit_erasure_done",
	.sql = "DELETE FROM main.audit_erasure WHERE tenant_id = :tenant AND user_id = :user_id "
	       "AND rounds = :rounds",
	.in = &ask_schema, .expect = EXPECT_ONE);

const struct statement audit_erasures_of = STATEMENT("audit_erasures_of",
	.sql = "SELECT user_id, seal FROM audit_erasure WHERE tenant_id = :tenant "
	       "AND (user_id = :user_id OR user_id = :person_id)",
	.in = &ask_schema, .out = &erasure_schema);

const struct statement audit_erased_entry = STATEMENT("audit_erased_entry",
	.sql = "SELECT " COLUMNS " FROM audit WHERE tenant_id = :tenant AND id IN (SELECT id "
	       "FROM audit WHERE tenant_id = :tenant AND action = '" AUDIT_ERASED "' "
	       "AND target_id IN (:target, :other)) ORDER BY id DESC LIMIT 1",
	.in = &ask_schema, .out = &audit_row_schema);

const struct statement audit_erasures_all = STATEMENT("audit_erasures_all",
	.sql = "SELECT user_id, seal FROM audit_erasure WHERE tenant_id = :tenant "
	       "AND user_id > :after_id ORDER BY user_id LIMIT :limit",
	.in = &ask_schema, .out = &erasure_schema);

const struct statement audit_erasure_set = STATEMENT("audit_erasure_set",
	.sql = "UPDATE main.audit_erasure SET seal = :seal WHERE tenant_id = :tenant "
	       "AND user_id = :user_id",
	.in = &ask_schema);

/* --- former keys ---------------------------------------------------------- */

const struct statement audit_era_list = STATEMENT("audit_era_list",
	.sql = "SELECT key_id, sequence, chain, seal FROM audit_era WHERE tenant_id = :tenant "
	       "ORDER BY sequence",
	.out = &era_schema);

const struct statement audit_era_put = STATEMENT("audit_era_put",
	.sql = "INSERT INTO main.audit_era (tenant_id, key_id, sequence, chain, seal) "
	       "VALUES (:tenant, :key_id, :sequence, :chain, :seal) "
	       "ON CONFLICT (tenant_id, key_id) DO UPDATE SET sequence = :sequence, "
	       "chain = :chain, seal = :seal",
	.in = &era_schema);

const struct statement audit_era_drop = STATEMENT("audit_era_drop",
	.sql = "DELETE FROM main.audit_era WHERE tenant_id = :tenant "
	       "AND sequence <= :last_sequence",
	.in = &ask_schema);

const struct statement audit_former_list = STATEMENT("audit_former_list",
	.sql = "SELECT key_id, sealed FROM audit_former_key WHERE tenant_id = :tenant "
	       "ORDER BY retired_at, key_id",
	.out = &former_schema);

const struct statement audit_former_put = STATEMENT("audit_former_put",
	.sql = "INSERT INTO main.audit_former_key (tenant_id, key_id, sealed, retired_at) "
	       "VALUES (:tenant, :key_id, :sealed, :now)",
	.in = &former_schema);

const struct statement audit_former_set = STATEMENT("audit_former_set",
	.sql = "UPDATE main.audit_former_key SET sealed = :sealed WHERE tenant_id = :tenant "
	       "AND key_id = :key_id",
	.in = &former_schema);

/* Not while a change may still be under way. */
const struct statement audit_former_drop = STATEMENT("audit_former_drop",
	.sql = "DELETE FROM main.audit_former_key AS f WHERE f.retired_at < :now - 86400000000 "
	       "AND NOT EXISTS (SELECT 1 FROM main.audit_era AS e WHERE e.key_id = f.key_id)",
	.flags = STATEMENT_SYSTEM);

/* One that cannot be believed counts for nothing. */
int audit_eras_read(struct tx *tx, struct audit_eras *ret)
{
	struct audit_era *rows = NULL;
	char seal[AUDIT_DIGEST_TEXT];
	size_t count = 0, key;
	int r = tx_all(tx, &audit_era_list, NULL, &rows, &count);

	*ret = (struct audit_eras){ .count = 0 };
	for (size_t i = 0; i < count && r == 0; i++) {
		bool sound = false;

		for (key = 0; key < audit_key_count() && !sound; key++) {
			audit_era_seal(key, tx_tenant(tx), &rows[i], seal);
			sound = audit_key_at(key)->trusted &&
				crypto_equal(str_of(seal, sizeof(seal)), rows[i].seal);
		}
		if (!sound || !audit_key_of(rows[i].key_id, &key) ||
			rows[i].chain.len != AUDIT_DIGEST_TEXT || ret->count == AUDIT_KEYS_MAX) {
			ret->forged = true;
			continue;
		}
		ret->at[ret->count].key = key;
		ret->at[ret->count].until = rows[i].sequence;
		memcpy(ret->at[ret->count++].chain, rows[i].chain.at, AUDIT_DIGEST_TEXT);
	}
	return r;
}

const struct statement *const audit_statements[AUDIT_STATEMENTS] = { &audit_insert,
	&audit_unchained, &audit_chain_set, &audit_by_sequence, &audit_loose, &audit_next_loose,
	&audit_next_sequence, &audit_last_sequence, &audit_delete, &audit_lists[LIST_ALL],
	&audit_lists[LIST_TARGET], &audit_lists[LIST_KEY], &audit_lists[LIST_USER],
	&audit_lists[LIST_ACTION], &audit_lists[LIST_SECURITY], &audit_forward[LIST_ALL],
	&audit_forward[LIST_TARGET], &audit_forward[LIST_KEY], &audit_forward[LIST_USER],
	&audit_forward[LIST_ACTION], &audit_forward[LIST_SECURITY], &audit_next_unchained,
	&audit_next_entry, &audit_next_mark, &audit_next_old, &mark_get, &mark_insert, &mark_update,
	&audit_mark_told, &audit_marks_untold, &audit_of_user, &audit_of_other,
	&audit_erase_address, &audit_erase_own, &audit_erase_other, &audit_erasure_add,
	&audit_erasure_due, &audit_erasure_again, &audit_erasure_done, &audit_erasures_of,
	&audit_erased_entry, &audit_erasures_all, &audit_erasure_set, &audit_era_list,
	&audit_era_put, &audit_era_drop, &audit_former_list, &audit_former_put, &audit_former_set,
	&audit_former_drop };
