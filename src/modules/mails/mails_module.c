/* The module: what it is set up with, and what it does beside requests. */
#include "modules/mails/mails_internal.h"

#include "base/embed.h"
#include "http/server.h"

EMBED_TEXT(mails_sql, "src/modules/mails/mails.sql");

static const struct statement *const statements[] = { &mail_insert };

int mails_configure(const struct mails_options *options)
{
	(void)options;
	return 0;
}

static int open_module(struct server *server)
{
	return letters_open(server->master_key);
}

static void close_module(struct server *server)
{
	(void)server;
	letters_close();
}

const struct module mails_module = {
	MODULE_HEAD,
	.name = "mails",
	.migrations = mails_sql,
	.statements = statements,
	.statement_count = LEN(statements),
	.open = open_module,
	.close = close_module,
};
