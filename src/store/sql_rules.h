/*
 * The rules of tenancy, as predicates of tokens; sql_parse.c knows where to ask them. Internal to
 * this folder.
 */
#ifndef STORE_SQL_RULES_H
#define STORE_SQL_RULES_H

#include "store/sql.h"

enum { SQL_QUOTE_MAX = 40 }; /* bytes of a statement that a sentence quotes */

/* A part of the tokens of a text. */
struct sql_span {
	const struct sql_token *at;
	size_t count;
};

/* True when the token is a sign of one byte. */
static inline bool sql_is_sign(const struct sql_token *token, char sign)
{
	return token->kind == SQL_SIGN && token->text.len == 1 && token->text.at[0] == sign;
}

/*
 * Looks at every token, of whatever kind, that can be read as the name of a schema and is followed
 * by a dot. Of a tenant statement `main` may be at most one, and `ret_main` tells which (the count
 * of tokens: none); of a system statement there may be several. No other schema in any.
 */
int sql_rule_schemas(const char *name, struct sql_span text, bool system, size_t *ret_main);

/* True for what must not be the name of a table, an alias or a common table expression: schemas,
 * and whatever belongs to an engine. */
bool sql_rule_taken(struct str name);

/* True when the value is the tenant's id: :tenant, with its cast on PostgreSQL, current_tenant() on
 * SQLite. */
bool sql_rule_is_tenant(struct sql_span value, enum engine_kind engine);

/* True when the condition holds only for rows of the tenant: tenant_id = :tenant, of the table that
 * is called `table` there, is one of several things joined by AND. */
bool sql_rule_keeps_tenant(struct sql_span condition, struct str table, enum engine_kind engine);

#endif
