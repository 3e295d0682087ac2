/* Handlers, their contract, and the module. */
#include "modules/users/users_internal.h"

#include "base/embed.h"

EMBED_TEXT(users_sql, "src/modules/users/users.sql");

static const struct statement *const statements[] = {
	&user_insert,
	&user_update,
	&user_remove,
	&user_by_id,
	&user_by_email,
	&user_accounts,
	&invitation_secret,
	&invitation_remove,
};

int users_configure(const struct users_options *options)
{
	(void)options;
	return 0;
}

const struct module users_module = {
	MODULE_HEAD,
	.name = "users",
	.migrations = users_sql,
	.statements = statements,
	.statement_count = LEN(statements),
};
