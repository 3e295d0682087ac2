/*
 * Rows of roles and of who has them, and the functions that other modules call in their
 * transactions. What it takes to keep the last owner is read in the transaction that would take it
 * away, so that of two that meet one fails or runs again.
 */
#include "modules/rbac/rbac_internal.h"

#include "base/check.h"

/* --- statements ---------------------------------------------------------------------- */

#define ROLE_COLUMNS "name, id, description, rights, version, created_at, updated_at"

struct holding_row {
	bool active;
	int64_t version;
	struct str role; /* empty: none at all */
	struct texts rights;
};

/* clang-format off */
static const struct schema member_search_schema = SCHEMA(member_query, "Which rows of the list.",
	FIELD(member_query, name, "Of this role."),
	FIELD(member_query, limit, "How many."),
	FIELD(member_query, after_id, "Where the page begins.", .format = FORMAT_UUID));

static const struct schema holding_row_schema = SCHEMA(holding_row, "A user with one of its roles.",
	FIELD(holding_row, active, "Whether it counts."),
	FIELD(holding_row, version, "Of its roles."),
	FIELD(holding_row, role, "One of them.", RANGE(0, ROLE_NAME_MAX)),
	LIST(holding_row, rights, "What it gives, if it is the tenant's own.", RANGE(0, ROLE_PATTERNS_MAX),
		.item = RULES(RANGE(1, RIGHT_TEXT_MAX))));

const struct schema member_row_schema = SCHEMA(member, "Who has which role.",
	FIELD(member, user_id, "Who.", .format = FORMAT_UUID),
	FIELD(member, role, "Which.", RANGE(0, ROLE_NAME_MAX)),
	FIELD(member, active, "Whether it counts."));

static const struct schema role_key_schema = SCHEMA(role_ref, "A role by its name.",
	FIELD(role_ref, name, "Which."));

static const struct schema count_schema = SCHEMA(role_count, "How many there are.",
	FIELD(role_count, count, "So many."));
/* clang-format on */

const struct statement role_get = STATEMENT("role_get",
	.sql = "SELECT " ROLE_COLUMNS " FROM role WHERE tenant_id = :tenant AND name = :name",
	.in = &role_key_schema, .out = &role_schema);

const struct statement role_list = STATEMENT("role_list",
	.sql = "SELECT " ROLE_COLUMNS " FROM role WHERE tenant_id = :tenant ORDER BY name",
	.out = &role_schema);

const struct statement role_count = STATEMENT("role_count",
	.sql = "SELECT count(*) AS count FROM role WHERE tenant_id = :tenant",
	.out = &count_schema);

const struct statement role_insert = STATEMENT("role_insert",
	.sql = "INSERT INTO main.role (tenant_id, " ROLE_COLUMNS ") VALUES (:tenant, :name, :id, "
	       ":description, :rights, :version, :created_at, :updated_at)",
	.in = &role_schema);

const struct statement role_update = STATEMENT("role_update",
	.sql = "UPDATE main.role SET description = :description, rights = :rights, "
	       "version = :version, updated_at = :updated_at "
	       "WHERE tenant_id = :tenant AND name = :name",
	.in = &role_schema, .expect = EXPECT_ONE);

const struct statement role_delete = STATEMENT("role_delete",
	.sql = "DELETE FROM main.role WHERE tenant_id = :tenant AND name = :name",
	.in = &role_key_schema, .expect = EXPECT_ONE);

const struct statement role_member_list = STATEMENT("role_member_list",
	.sql = "SELECT m.user_id, m.role, u.active FROM role_member m "
	       "JOIN role_user u ON u.tenant_id = m.tenant_id AND u.user_id = m.user_id "
	       "WHERE m.tenant_id = :tenant AND m.role = :name AND m.user_id > :after_id "
	       "ORDER BY m.user_id LIMIT :limit + 1",
	.in = &member_search_schema, .out = &member_row_schema);

const struct statement role_member_count = STATEMENT("role_member_count",
	.sql = "SELECT count(*) AS count FROM role_member WHERE tenant_id = :tenant "
	       "AND role = :name",
	.in = &role_key_schema, .out = &count_schema);

static const struct statement holding_get = STATEMENT("role_holding",
	.sql = "SELECT u.active, u.version, m.role, r.rights FROM role_user u "
	       "LEFT JOIN role_member m ON m.tenant_id = u.tenant_id AND m.user_id = u.user_id "
	       "LEFT JOIN role r ON r.tenant_id = m.tenant_id AND r.name = m.role "
	       "WHERE u.tenant_id = :tenant AND u.user_id = :user_id",
	.in = &member_row_schema, .out = &holding_row_schema);

static const struct statement user_add = STATEMENT("role_user_add",
	.sql = "INSERT INTO main.role_user (tenant_id, user_id, active, version, created_at, "
	       "updated_at) VALUES (:tenant, :user_id, :active, 1, :now, :now) "
	       "ON CONFLICT (tenant_id, user_id) DO NOTHING",
	.in = &member_row_schema);

static const struct statement user_change = STATEMENT("role_user_change",
	.sql = "UPDATE main.role_user SET version = version + 1, updated_at = :now "
	       "WHERE tenant_id = :tenant AND user_id = :user_id",
	.in = &member_row_schema, .expect = EXPECT_ONE);

static const struct statement user_set_active = STATEMENT("role_user_set_active",
	.sql = "UPDATE main.role_user SET active = :active, version = version + 1, "
	       "updated_at = :now WHERE tenant_id = :tenant AND user_id = :user_id",
	.in = &member_row_schema, .expect = EXPECT_ONE);

static const struct statement user_forget = STATEMENT("role_user_forget",
	.sql = "DELETE FROM main.role_user WHERE tenant_id = :tenant AND user_id = :user_id",
	.in = &member_row_schema);

static const struct statement member_add = STATEMENT("role_member_add",
	.sql = "INSERT INTO main.role_member (tenant_id, user_id, role, created_at) "
	       "VALUES (:tenant, :user_id, :role, :now)",
	.in = &member_row_schema);

static const struct statement member_remove = STATEMENT("role_member_remove",
	.sql = "DELETE FROM main.role_member WHERE tenant_id = :tenant AND user_id = :user_id "
	       "AND role = :role",
	.in = &member_row_schema, .expect = EXPECT_ONE);

static const struct statement members_forget = STATEMENT("role_member_forget",
	.sql = "DELETE FROM main.role_member WHERE tenant_id = :tenant AND user_id = :user_id",
	.in = &member_row_schema);

/* An active user other than this one that has the role. */
static const struct statement member_other = STATEMENT("role_member_other",
	.sql = "SELECT m.user_id, m.role, u.active FROM role_member m "
	       "JOIN role_user u ON u.tenant_id = m.tenant_id AND u.user_id = m.user_id "
	       "WHERE m.tenant_id = :tenant AND m.role = :role AND m.user_id <> :user_id "
	       "AND u.active LIMIT 1",
	.in = &member_row_schema, .out = &member_row_schema);

const struct statement *const rbac_statements[RBAC_STATEMENTS] = { &role_get, &role_list,
	&role_count, &role_insert, &role_update, &role_delete, &role_member_count, &holding_get,
	&user_add, &user_change, &user_set_active, &user_forget, &member_add, &member_remove,
	&members_forget, &member_other, &role_member_list };

/* --- what a user has ----------------------------------------------------------------- */

/* The key of a user's rows; the text lives in `text`. */
static struct member member_of(const struct uuid *user, char text[UUID_TEXT_LEN])
{
	uuid_write(text, user);
	return (struct member){ .user_id = str_of(text, UUID_TEXT_LEN), .active = true };
}

/* What a role gives in the tenant. */
static struct rights rights_of_role(
	const struct uuid *tenant, struct str name, const struct str *patterns, size_t count)
{
	int built_in = built_in_find(name);
	struct rights rights;

	if (built_in >= 0)
		return *built_in_rights((enum built_in)built_in, tenant);
	patterns_rights(tenant, patterns, count, &rights);
	return rights;
}

/* From the rows of a user; a user without roles has one row without a role. */
static int holding_of_rows(const struct uuid *tenant, struct arena *arena,
	const struct holding_row *rows, size_t count, struct holding *ret)
{
	struct holding holding = { 0 };

	holding.roles.at = arena_alloc(arena, MAX(count, 1U) * sizeof(*holding.roles.at));
	if (!holding.roles.at)
		return -(int)err_last()->code;
	for (size_t i = 0; i < count; i++) {
		const struct holding_row *row = &rows[i];
		struct rights rights;

		holding.known = true;
		holding.active = row->active;
		holding.version = row->version;
		if (row->role.len == 0)
			continue;
		holding.roles.at[holding.roles.count++] = row->role;
		rights = rights_of_role(tenant, row->role, row->rights.at, row->rights.count);
		if (row->active)
			rights_unite(&holding.rights, &rights);
	}
	texts_sort(&holding.roles);
	*ret = holding;
	return 0;
}

int holding_get_in_tx(struct tx *tx, const struct uuid *user, struct holding *ret)
{
	char text[UUID_TEXT_LEN];
	struct member member = member_of(user, text);
	struct holding_row *rows;
	size_t count;
	int r = tx_all(tx, &holding_get, &member, &rows, &count);

	return r < 0 ? r : holding_of_rows(tx_tenant(tx), tx_arena(tx), rows, count, ret);
}

int holding_get_db(const struct db *db, const struct uuid *user, struct holding *ret)
{
	char text[UUID_TEXT_LEN];
	struct member member = member_of(user, text);
	struct holding_row *rows;
	size_t count;
	int r = db_all(db, &holding_get, &member, &rows, &count);

	return r < 0 ? r : holding_of_rows(&db->tenant, db->arena, rows, count, ret);
}

/* What a role gives. -ERR_NOT_FOUND. */
static int role_rights_in_tx(struct tx *tx, struct str name, struct rights *ret)
{
	struct role_ref ref = { .name = name };
	struct role role = { 0 };
	int r = built_in_find(name) >= 0 ? 0 : tx_one(tx, &role_get, &ref, &role);

	if (r == -ERR_NOT_FOUND)
		return fail(ERR_NOT_FOUND, "there is no role %.*s",
			STR_ARG(str_first(name, ROLE_NAME_MAX)));
	if (r == 0)
		*ret = rights_of_role(tx_tenant(tx), name, role.rights.at, role.rights.count);
	return r;
}

/* --- changes of a user --------------------------------------------------------------- */

static int tell_user(struct tx *tx, struct str user)
{
	return tx_notice(tx, S(RBAC_TOPIC), user);
}

/* When a user that is an owner stops to count as one. */
static int keep_an_owner(struct tx *tx, const struct member *user)
{
	struct member owner = *user, other;
	int r;

	owner.role = built_in_roles[ROLE_OWNER].name;
	r = tx_one(tx, &member_other, &owner, &other);
	return r == -ERR_NOT_FOUND ? fail(ERR_CONFLICT, "this is the last owner of the tenant") : r;
}

static bool is_owner(const struct holding *holding)
{
	return holding->active && texts_have(&holding->roles, built_in_roles[ROLE_OWNER].name);
}

int member_add_in_tx(struct tx *tx, const struct uuid *user, struct str role)
{
	char text[UUID_TEXT_LEN];
	struct member member = member_of(user, text);

	member.role = role;
	return tx_exec(tx, &member_add, &member);
}

int member_remove_in_tx(
	struct tx *tx, const struct uuid *user, const struct holding *holding, struct str role)
{
	char text[UUID_TEXT_LEN];
	struct member member = member_of(user, text);
	int r = 0;

	member.role = role;
	if (is_owner(holding) && str_eq(role, built_in_roles[ROLE_OWNER].name))
		r = keep_an_owner(tx, &member);
	return r < 0 ? r : tx_exec(tx, &member_remove, &member);
}

int user_changed_in_tx(struct tx *tx, const struct uuid *user)
{
	char text[UUID_TEXT_LEN];
	struct member member = member_of(user, text);
	int r = tx_exec(tx, &user_change, &member);

	return r < 0 ? r : tell_user(tx, member.user_id);
}

int rbac_add_in_tx(struct tx *tx, const struct uuid *user)
{
	char text[UUID_TEXT_LEN];
	struct member member = member_of(user, text);
	int r = tx_exec(tx, &user_add, &member);

	return r < 0 ? r : tell_user(tx, member.user_id);
}

/* One who was here before. */
static int grant_more(struct tx *tx, const struct uuid *user, struct str role)
{
	struct holding holding = { 0 };
	int r = holding_get_in_tx(tx, user, &holding);

	if (r < 0 || texts_have(&holding.roles, role))
		return r;
	if (holding.roles.count == ROLES_OF_USER_MAX)
		return fail(ERR_FULL, "a user has at most %d roles", ROLES_OF_USER_MAX);
	r = member_add_in_tx(tx, user, role);
	return r < 0 ? r : user_changed_in_tx(tx, user);
}

/*
 * Of a new user nothing is read: what PostgreSQL remembers of reads are whole pages, so in small
 * tables people who sign up at the same time would run into each other.
 */
int rbac_grant_in_tx(struct tx *tx, const struct uuid *user, struct str role)
{
	char text[UUID_TEXT_LEN];
	struct member member = member_of(user, text);
	struct rights rights;
	size_t added = 0;
	int r = role_rights_in_tx(tx, role, &rights);

	if (r == 0)
		r = tx_change(tx, &user_add, &member, &added);
	if (r < 0)
		return r;
	if (added == 0)
		return grant_more(tx, user, role);
	r = member_add_in_tx(tx, user, role);
	return r < 0 ? r : tell_user(tx, member.user_id);
}

int rbac_may_grant_in_tx(struct tx *tx, const struct rights *giver, struct str role)
{
	struct rights rights;
	int r = role_rights_in_tx(tx, role, &rights);

	if (r < 0)
		return r;
	return rights_within(&rights, giver)
		       ? 0
		       : fail(ERR_FORBIDDEN, "the role %.*s has rights that you lack",
				 STR_ARG(role));
}

int rbac_may_touch_in_tx(struct tx *tx, const struct rights *by, const struct uuid *user)
{
	struct holding holding = { 0 };
	int r = holding_get_in_tx(tx, user, &holding);

	for (size_t i = 0; i < holding.roles.count && r == 0; i++)
		r = rbac_may_grant_in_tx(tx, by, holding.roles.at[i]);
	return r;
}

int rbac_set_active_in_tx(struct tx *tx, const struct uuid *user, bool active)
{
	char text[UUID_TEXT_LEN];
	struct member member = member_of(user, text);
	struct holding holding = { 0 };
	int r = holding_get_in_tx(tx, user, &holding);

	if (r == 0 && !holding.known)
		r = rbac_add_in_tx(tx, user);
	else if (r == 0 && !active && is_owner(&holding))
		r = keep_an_owner(tx, &member);
	member.active = active;
	if (r == 0)
		r = tx_exec(tx, &user_set_active, &member);
	return r < 0 ? r : tell_user(tx, member.user_id);
}

int rbac_forget_in_tx(struct tx *tx, const struct uuid *user)
{
	char text[UUID_TEXT_LEN];
	struct member member = member_of(user, text);
	struct holding holding = { 0 };
	int r = holding_get_in_tx(tx, user, &holding);

	if (r == 0 && is_owner(&holding))
		r = keep_an_owner(tx, &member);
	if (r == 0)
		r = tx_exec(tx, &members_forget, &member);
	if (r == 0)
		r = tx_exec(tx, &user_forget, &member);
	return r < 0 ? r : tell_user(tx, member.user_id);
}
