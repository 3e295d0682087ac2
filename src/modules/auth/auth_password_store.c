/* Rows of main.auth_password. */
#include "modules/auth/auth_password_store.h"

#include "crypto/password.h"

struct password_renewal {
	struct str user_id, former, hash;
};

#define HASH RANGE(0, PASSWORD_HASH_MAX), .flags = SECRET

/* clang-format off */
static const struct schema password_row_schema = SCHEMA(password_row, "A password's hash.",
	FIELD(password_row, user_id, "Whose.", .format = FORMAT_UUID),
	FIELD(password_row, hash, "As a text.", HASH),
	FIELD(password_row, imported, "Whether it was made elsewhere."),
	FIELD(password_row, changed_at, "When.", .format = FORMAT_DATE_TIME));

static const struct schema password_of_schema = SCHEMA(password_row, "Of a user.",
	FIELD(password_row, user_id, "Whose.", .format = FORMAT_UUID));

static const struct schema password_renewal_schema = SCHEMA(password_renewal, "A newer hash.",
	FIELD(password_renewal, user_id, "Whose.", .format = FORMAT_UUID),
	FIELD(password_renewal, former, "Instead of this.", HASH),
	FIELD(password_renewal, hash, "As a text.", HASH));
/* clang-format on */

static const struct statement password_get = STATEMENT("auth_password_get",
	.sql = "SELECT user_id, hash, imported, changed_at FROM auth_password "
	       "WHERE tenant_id = :tenant AND user_id = :user_id",
	.in = &password_of_schema, .out = &password_row_schema);

static const struct statement password_put = STATEMENT("auth_password_put",
	.sql = "INSERT INTO main.auth_password (tenant_id, user_id, hash, imported, changed_at) "
	       "VALUES (:tenant, :user_id, :hash, :imported, :now) "
	       "ON CONFLICT (tenant_id, user_id) DO UPDATE SET hash = excluded.hash, "
	       "imported = excluded.imported, changed_at = excluded.changed_at",
	.in = &password_row_schema);

static const struct statement password_renew = STATEMENT("auth_password_renew",
	.sql = "UPDATE main.auth_password SET hash = :hash, imported = FALSE "
	       "WHERE tenant_id = :tenant AND user_id = :user_id AND hash = :former",
	.in = &password_renewal_schema);

static const struct statement password_remove = STATEMENT("auth_password_remove",
	.sql = "DELETE FROM main.auth_password WHERE tenant_id = :tenant AND user_id = :user_id",
	.in = &password_of_schema);

const struct statement *const password_statements[PASSWORD_STATEMENTS] = { &password_get,
	&password_put, &password_renew, &password_remove };

int password_get_in_tx(struct tx *tx, const struct uuid *user, struct password_row *ret)
{
	char text[UUID_TEXT_LEN];

	uuid_write(text, user);
	return tx_one(tx, &password_get,
		&(struct password_row){ .user_id = str_of(text, sizeof(text)) }, ret);
}

int password_put_in_tx(struct tx *tx, const struct uuid *user, struct str hash, bool imported)
{
	char text[UUID_TEXT_LEN];

	uuid_write(text, user);
	return tx_exec(tx, &password_put,
		&(struct password_row){ str_of(text, sizeof(text)), hash, imported, 0 });
}

int password_renew_in_tx(struct tx *tx, const struct uuid *user, struct str former, struct str hash)
{
	char text[UUID_TEXT_LEN];

	uuid_write(text, user);
	return tx_exec(tx, &password_renew,
		&(struct password_renewal){ str_of(text, sizeof(text)), former, hash });
}

int password_remove_in_tx(struct tx *tx, const struct uuid *user)
{
	char text[UUID_TEXT_LEN];

	uuid_write(text, user);
	return tx_exec(tx, &password_remove,
		&(struct password_row){ .user_id = str_of(text, sizeof(text)) });
}
