/*
 * The rules of tenancy that a text can be held to. The engines have guards of their own (row-level
 * security; views, authorizer and row guard), which do not trust these rules, nor these them.
 */
#include "store/sql_rules.h"

#include "base/err.h"

/* --- names ---------------------------------------------------------------------- */

static const char *const schemas[] = { "temp", "information_schema", "public" };
static const char *const prefixes[] = { "pg_", "sqlite_", "pragma_" };

static bool has_taken_prefix(struct str name)
{
	for (size_t i = 0; i < LEN(prefixes); i++) {
		struct str prefix = str_from_c(prefixes[i]);

		if (str_eq_nocase(str_first(name, prefix.len), prefix))
			return true;
	}
	return false;
}

bool sql_rule_taken(struct str name)
{
	for (size_t i = 0; i < LEN(schemas); i++)
		if (str_eq_nocase(name, str_from_c(schemas[i])))
			return true;
	return str_eq_nocase(name, S("main")) || has_taken_prefix(name);
}

int sql_rule_schemas(const char *name, struct sql_span text, bool system, size_t *ret_main)
{
	size_t mains = 0, found = text.count;

	for (size_t i = 0; i + 1 < text.count; i++) {
		const struct sql_token *token = &text.at[i];

		if (!sql_is_sign(&text.at[i + 1], '.'))
			continue;
		if (sql_names(token, "main")) {
			mains++;
			found = i;
		} else if (token->kind != SQL_SIGN && token->kind != SQL_NUMBER &&
			   sql_rule_taken(token->body)) {
			return fail(ERR_INVALID, "%s: nothing may be named %.*s.x", name,
				STR_ARG(str_first(token->text, SQL_QUOTE_MAX)));
		}
	}
	if (mains > 1 && !system)
		return fail(ERR_INVALID,
			"%s: main.x stands once, for the table that is written; its columns are "
			"named through an alias, and tables are read by their plain name",
			name);
	*ret_main = found;
	return 0;
}

/* --- the tenant ------------------------------------------------------------------ */

/* Whether a span is these words and signs; ":tenant" is the parameter. */
static bool is_written(struct sql_span span, const char *const *parts, size_t count)
{
	if (span.count != count)
		return false;
	for (size_t i = 0; i < count; i++) {
		const struct sql_token *token = &span.at[i];

		if (!str_eq_nocase(token->text, str_from_c(parts[i])))
			return false;
		if (token->kind == SQL_PARAMETER && !str_eq(token->body, S("tenant")))
			return false;
	}
	return true;
}

bool sql_rule_is_tenant(struct sql_span value, enum engine_kind engine)
{
	static const char *const plain[] = { ":tenant" };
	static const char *const sqlite[] = { "current_tenant", "(", ")" };
	static const char *const colons[] = { ":tenant", "::", "uuid" };
	static const char *const cast[] = { "CAST", "(", ":tenant", "AS", "uuid", ")" };

	if (is_written(value, plain, LEN(plain)))
		return true;
	if (engine == ENGINE_SQLITE)
		return is_written(value, sqlite, LEN(sqlite));
	return is_written(value, colons, LEN(colons)) || is_written(value, cast, LEN(cast));
}

static bool is_tenant_id(const struct sql_token *token)
{
	return token->kind != SQL_STRING && sql_names(token, "tenant_id");
}

/* tenant_id = :tenant, n.tenant_id = :tenant */
static bool binds_tenant(struct sql_span part, struct str table, enum engine_kind engine)
{
	if (part.count > 2 && sql_is_sign(&part.at[1], '.')) {
		if (part.at[0].kind == SQL_STRING || !str_eq_nocase(part.at[0].body, table))
			return false;
		part = (struct sql_span){ part.at + 2, part.count - 2 };
	}
	return part.count > 2 && is_tenant_id(&part.at[0]) && sql_is_sign(&part.at[1], '=') &&
	       sql_rule_is_tenant((struct sql_span){ part.at + 2, part.count - 2 }, engine);
}

/*
 * AND binds tighter than OR only, so without an OR outside of brackets every part between two ANDs
 * must hold by itself. The AND of a BETWEEN joins no parts; nor do those inside of CASE ... END,
 * which therefore wants brackets.
 */
bool sql_rule_keeps_tenant(struct sql_span condition, struct str table, enum engine_kind engine)
{
	size_t level = 0, betweens = 0, from = 0;
	bool kept = false;

	for (size_t i = 0; i <= condition.count; i++) {
		const struct sql_token *token = &condition.at[i];
		bool last = i == condition.count;

		if (!last) {
			bool column = i > 0 && sql_is_sign(token - 1, '.');

			if (sql_is_sign(token, '(') || sql_is_sign(token, '['))
				level++;
			else if (sql_is_sign(token, ')') || sql_is_sign(token, ']'))
				level--;
			if (level || column)
				continue;
			if (sql_is(token, "OR") || sql_is(token, "CASE"))
				return false;
			if (sql_is(token, "BETWEEN"))
				betweens++;
			if (!sql_is(token, "AND") || (betweens && betweens--))
				continue;
		}
		if (binds_tenant((struct sql_span){ condition.at + from, i - from }, table, engine))
			kept = true;
		from = i + 1;
	}
	return kept;
}
