/* Handlers, their contract, and the module. */
#include "modules/audit/audit_internal.h"

#include "base/embed.h"
#include "http/server.h"

EMBED_TEXT(audit_sql, "src/modules/audit/audit.sql");

static int open_module(struct server *server)
{
	audit_keys_set(server->master_key);
	return 0;
}

static void close_module(struct server *server)
{
	(void)server;
	audit_keys_forget();
}

const struct module audit_module = {
	MODULE_HEAD,
	.name = "audit",
	.migrations = audit_sql,
	.statements = audit_statements,
	.statement_count = AUDIT_STATEMENTS,
	.open = open_module,
	.close = close_module,
};
