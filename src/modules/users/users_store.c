/* Rows of users: statements, making them, finding them. */
#include "modules/users/users_internal.h"

#include "base/err.h"

/* --- statements ------------------------------------------------------------------------ */

#define COLUMNS "id, email, name, status, email_verified_at, version, created_at, updated_at"

/* A row as it is written. */
struct user_row {
	struct str id;
	struct str email, email_key;
	struct str name, name_key;
	enum user_status status;
	struct opt_i64 email_verified_at;
	int64_t version, created_at, updated_at;
};

struct user_email {
	struct str email_key;
};

struct account_limit {
	struct str email_key;
	int64_t limit;
};

#define STATUSES CHOICES("active", "suspended")

/* clang-format off */
/* What is one of its kind is the key, and "email" is what a caller has sent. */
static const struct schema user_row_schema = SCHEMA(user_row, "A user with what is searched by.",
	FIELD(user_row, id, "Which.", .format = FORMAT_UUID),
	FIELD(user_row, email, "As it was given.", .name = "emailGiven", RANGE(0, USER_EMAIL_MAX)),
	FIELD(user_row, email_key, "As it is compared.", .name = "email", RANGE(0, USER_EMAIL_MAX)),
	FIELD(user_row, name, "For people."),
	FIELD(user_row, name_key, "As it is searched."),
	FIELD(user_row, status, "Whether they may sign in.", STATUSES),
	FIELD(user_row, email_verified_at, "When.", .format = FORMAT_DATE_TIME),
	FIELD(user_row, version, "Grows."),
	FIELD(user_row, created_at, "When.", .format = FORMAT_DATE_TIME),
	FIELD(user_row, updated_at, "When.", .format = FORMAT_DATE_TIME));

const struct schema user_id_schema = SCHEMA(user_ref, "A user by the id.",
	FIELD(user_ref, id, "Which.", .flags = REQUIRED, .format = FORMAT_UUID));

static const struct schema user_email_schema = SCHEMA(user_email, "A user by the address.",
	FIELD(user_email, email_key, "Which.", RANGE(0, USER_EMAIL_MAX)));

static const struct schema user_search_schema = SCHEMA(user_search, "Which rows of the list.",
	FIELD(user_search, limit, "How many."),
	FIELD(user_search, status, "Only those.", STATUSES),
	FIELD(user_search, email_key, "Only that one.", RANGE(0, USER_EMAIL_MAX)),
	FIELD(user_search, search, "What the name or the address begins with."),
	FIELD(user_search, after_id, "Where the page begins.", .format = FORMAT_UUID));

static const struct schema account_schema = SCHEMA(account, "A user and the tenant.",
	FIELD(account, tenant_id, "Where.", .format = FORMAT_UUID),
	FIELD(account, user_id, "Who.", .format = FORMAT_UUID),
	FIELD(account, slug, "Of the tenant."),
	FIELD(account, tenant_name, "For people."));

static const struct schema account_limit_schema = SCHEMA(account_limit, "Accounts of an address.",
	FIELD(account_limit, email_key, "Which.", RANGE(0, USER_EMAIL_MAX)),
	FIELD(account_limit, limit, "How many."));
/* clang-format on */

const struct statement user_insert = STATEMENT("user_insert",
	.sql = "INSERT INTO main.users (tenant_id, id, email, email_key, name, name_key, status, "
	       "email_verified_at, version, created_at, updated_at) VALUES (:tenant, :id, :email, "
	       ":email_key, :name, :name_key, :status, :email_verified_at, :version, :created_at, "
	       ":updated_at)",
	.in = &user_row_schema);

const struct statement user_update = STATEMENT("user_update",
	.sql = "UPDATE main.users SET email = :email, email_key = :email_key, name = :name, "
	       "name_key = :name_key, status = :status, email_verified_at = :email_verified_at, "
	       "version = :version, updated_at = :updated_at "
	       "WHERE tenant_id = :tenant AND id = :id",
	.in = &user_row_schema, .expect = EXPECT_ONE);

const struct statement user_remove = STATEMENT("user_remove",
	.sql = "DELETE FROM main.users WHERE tenant_id = :tenant AND id = :id",
	.in = &user_id_schema, .expect = EXPECT_ONE);

const struct statement user_by_id = STATEMENT("user_by_id",
	.sql = "SELECT " COLUMNS " FROM users WHERE tenant_id = :tenant AND id = :id",
	.in = &user_id_schema, .out = &user_schema);

const struct statement user_by_email = STATEMENT("user_by_email",
	.sql = "SELECT " COLUMNS " FROM users WHERE tenant_id = :tenant AND email_key = :email_key",
	.in = &user_email_schema, .out = &user_schema);

#define USER_LIST(email)                                                                           \
	"SELECT " COLUMNS " FROM users WHERE tenant_id = :tenant AND id < :after_id " email        \
	"AND (status = :status OR :status IS NULL) "                                               \
	"AND (substr(email_key, 1, length(:search)) = :search "                                    \
	"OR substr(name_key, 1, length(:search)) = :search OR :search IS NULL) "                   \
	"ORDER BY id DESC LIMIT :limit + 1"

/* Goes along the users of the tenant, the newest first, until the page is full. */
const struct statement user_list = STATEMENT(
	"user_list", .sql = USER_LIST(""), .in = &user_search_schema, .out = &user_schema);

/* At most one, found by the index. */
const struct statement user_list_email =
	STATEMENT("user_list_email", .sql = USER_LIST("AND email_key = :email_key "),
		.in = &user_search_schema, .out = &user_schema);

/* With the tenants in one statement, so that its time does not tell how many accounts there are. */
const struct statement user_accounts = STATEMENT("user_accounts",
	.sql = "SELECT u.tenant_id, u.id AS user_id, t.slug, t.name AS tenant_name "
	       "FROM main.users AS u JOIN main.tenant AS t ON t.tenant_id = u.tenant_id "
	       "WHERE u.email_key = :email_key AND u.status = 'active' AND t.status = 'active' "
	       "ORDER BY u.tenant_id LIMIT :limit",
	.in = &account_limit_schema, .out = &account_schema, .flags = STATEMENT_SYSTEM);

/* --- making ---------------------------------------------------------------------------------- */

int user_id_text(struct tx *tx, const struct uuid *id, struct str *ret)
{
	struct str text = uuid_text(tx_arena(tx), id);

	if (!text.at)
		return -(int)err_last()->code;
	*ret = text;
	return 0;
}

int user_write(struct tx *tx, const struct statement *how, const struct user *user)
{
	struct user_row row = {
		.id = user->id,
		.email = user->email,
		.email_key = user_key_of(tx_arena(tx), user->email),
		.name = user->name,
		.name_key = user_key_of(tx_arena(tx), user->name),
		.status = user->status,
		.email_verified_at = user->email_verified_at,
		.version = user->version,
		.created_at = user->created_at,
		.updated_at = user->updated_at,
	};

	if (!row.email_key.at || !row.name_key.at)
		return -(int)err_last()->code;
	return tx_exec(tx, how, &row);
}

static int insert(struct tx *tx, const struct uuid *id, const struct user *user,
	const struct audit_actor *actor)
{
	static const struct audit_actor program = { .kind = AUDIT_PROGRAM };
	struct audit_entry entry = {
		.action = S("user.created"),
		.type = S("user"),
		.id = user->id,
		.schema = &user_schema,
		.after = user,
	};
	int r = user_write(tx, &user_insert, user);

	if (r == 0)
		r = rbac_add_in_tx(tx, id);
	if (r == 0)
		r = tx_audit(tx, actor ? actor : &program, &entry);
	return r < 0 ? r
		     : tx_emit(tx,
			       &(struct event){ S("user.created"), user->id, &user_schema, user });
}

int user_create_in_tx(struct tx *tx, const struct user_new *in, struct user *ret)
{
	int64_t now = tx_now_us(tx);
	struct user user = {
		.email = in->email,
		.email_verified_at = { .set = in->verified, .value = in->verified ? now : 0 },
		.version = 1,
		.created_at = now,
		.updated_at = now,
	};
	struct uuid id;
	int r = user_check_email(in->email);

	uuid_v7(&id, now);
	if (r == 0)
		r = user_clean_name(in->name, &user.name);
	if (r == 0)
		r = user_id_text(tx, &id, &user.id);
	if (r == 0)
		r = insert(tx, &id, &user, in->actor);
	if (r == 0)
		*ret = user;
	return r;
}

/* --- finding -------------------------------------------------------------- */

int user_get_in_tx(struct tx *tx, const struct uuid *id, struct user *ret)
{
	char text[UUID_TEXT_LEN];

	uuid_write(text, id);
	return tx_one(tx, &user_by_id, &(struct user_ref){ str_of(text, sizeof(text)) }, ret);
}

int user_by_email_in_tx(struct tx *tx, struct str email, struct user *ret)
{
	struct user_email by = { .email_key = user_key_of(
					 tx_arena(tx), str_first(email, USER_EMAIL_MAX + 1)) };

	if (!by.email_key.at)
		return -(int)err_last()->code;
	return tx_one(tx, &user_by_email, &by, ret);
}

int accounts_of_email(const struct db *system, struct str email, struct accounts *ret)
{
	struct account_limit of = {
		.email_key = user_key_of(system->arena, str_first(email, USER_EMAIL_MAX + 1)),
		.limit = USERS_OF_EMAIL_MAX,
	};

	if (!of.email_key.at)
		return -(int)err_last()->code;
	return db_all(system, &user_accounts, &of, &ret->at, &ret->count);
}
