/*
 * The rules of tables and indexes: that a tenant's rows are found by their tenant first, and that a
 * change neither locks a table for long nor takes something away from the version that still runs.
 */
#include "store/migration_lint.h"

#include "base/err.h"

/* --- what is searchable under row-level security ------------------------------------ */

/* PostgreSQL uses an index below a policy only with comparisons that are marked leakproof: those of
 * these types (first words, upper case). Not of citext, numeric, json, arrays, enumerations. */
static const char *const leakproof_types[] = { "UUID", "TEXT", "VARCHAR", "CHARACTER", "CHAR",
	"BPCHAR", "BIGINT", "INT8", "INTEGER", "INT", "INT4", "SMALLINT", "INT2", "BOOLEAN", "BOOL",
	"BYTEA", "BLOB", "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ", "TIMETZ", "INTERVAL", "REAL",
	"FLOAT4", "FLOAT8", "DOUBLE", "NAME", "XID8", "OID", "INET", "CIDR", "MACADDR", "MONEY" };

/* Operator classes of them beside the default ones. */
static const char *const leakproof_classes[] = { "TEXT_OPS", "TEXT_PATTERN_OPS", "VARCHAR_OPS",
	"VARCHAR_PATTERN_OPS", "BPCHAR_OPS", "BPCHAR_PATTERN_OPS", "UUID_OPS", "INT8_OPS",
	"INT4_OPS", "INT2_OPS", "TIMESTAMPTZ_OPS", "BYTEA_OPS" };

static const char *const index_methods[] = { "BTREE", "HASH", "BRIN" };

static bool is_one_of(const struct sql_token *token, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (sql_is(token, words[i]))
			return true;
	return false;
}

static const struct lint_column *find_column(const struct lint_table *table, struct str name)
{
	for (const struct lint_column *column = table->columns; column; column = column->next)
		if (str_eq_nocase(column->name, name))
			return column;
	return NULL;
}

/* One part of an index: a column or an expression, and how it is compared. */
static void check_searchable(
	struct lint *lint, const struct lint_table *table, const struct words *item)
{
	struct words rest = *item;
	const struct lint_column *column;
	struct lint_name name;

	if (!table->tenant || lint->engine != ENGINE_POSTGRES)
		return;

	lint->focus = words_peek(item, 0);
	if (!words_take_name(&rest, &name) || words_sign(&rest, 0, '(')) {
		lint_unsafe(lint, "an index on an expression is not used under row-level security "
				  "unless its functions are leakproof; use a generated column");
		return;
	}
	column = find_column(table, name.name);
	if (column && !column->leakproof)
		lint_unsafe(lint,
			"an index on %.*s is not used under row-level security: comparing values "
			"of its type is not leakproof",
			STR_ARG(name.name));
	if (words_take(&rest, "COLLATE"))
		(void)words_take_name(&rest, &name);
	if (words_peek(&rest, 0)->kind == SQL_WORD && !words_is(&rest, 0, "ASC") &&
		!words_is(&rest, 0, "DESC") && !words_is(&rest, 0, "NULLS") &&
		!words_is(&rest, 0, "WITH") &&
		!is_one_of(words_peek(&rest, 0), leakproof_classes, LEN(leakproof_classes)))
		lint_unsafe(lint,
			"an index by %.*s is not used under row-level security: its "
			"operators are not leakproof",
			STR_ARG(words_peek(&rest, 0)->text));
}

/* --- keys ----------------------------------------------------------------------- */

static bool begins_with_tenant(const struct words *columns)
{
	struct words rest = *columns;
	struct lint_name name;

	return words_take_name(&rest, &name) && str_eq_nocase(name.name, S("tenant_id")) &&
	       !words_sign(&rest, 0, '(');
}

/* The columns of a primary key, a unique constraint or a unique index. */
static void check_key(struct lint *lint, const struct lint_table *table, const char *what,
	const struct words *columns)
{
	struct words rest = *columns, item;

	if (table->tenant && !begins_with_tenant(columns))
		lint_wrong(lint,
			"%s of main.%.*s begins with tenant_id: else a tenant learns of the "
			"others' values",
			what, STR_ARG(table->name));
	while (words_take_item(&rest, &item))
		check_searchable(lint, table, &item);
}

/* FOREIGN KEY (a, b) REFERENCES main.x (c, d), behind the first list. */
static void check_reference(struct lint *lint, const struct lint_table *table,
	const struct words *columns, struct words *words)
{
	struct lint_table *target;
	struct lint_name name;
	struct words theirs;
	bool tenants;

	if (!table->tenant || !words_take(words, "REFERENCES") || !words_take_name(words, &name))
		return;
	target = lint_find(lint, name.name);
	tenants = target && target->tenant;
	if (!words_take_group(words, &theirs))
		theirs = *columns; /* the primary key, which begins with the tenant */
	else
		tenants = tenants || words_have(&theirs, "TENANT_ID");
	if (tenants && !(begins_with_tenant(columns) && begins_with_tenant(&theirs)))
		lint_wrong(lint,
			"a reference to main.%.*s begins with tenant_id on both sides: else a row "
			"may refer to another tenant's",
			STR_ARG(name.name));
}

/* A constraint of a table, its name taken already. */
static void check_constraint(struct lint *lint, const struct lint_table *table, struct words *words)
{
	struct words group;

	if (words_take(words, "PRIMARY KEY")) {
		if (words_take_group(words, &group))
			check_key(lint, table, "the primary key", &group);
	} else if (words_take(words, "UNIQUE")) {
		while (words_peek(words, 0)->kind == SQL_WORD && !words_is(words, 0, "USING"))
			words->next++; /* NULLS NOT DISTINCT */
		if (words_take_group(words, &group))
			check_key(lint, table, "a unique constraint", &group);
	} else if (words_take(words, "EXCLUDE")) {
		if (words_take(words, "USING"))
			words->next++;
		if (words_take_group(words, &group))
			check_key(lint, table, "an exclusion", &group);
	} else if (words_take(words, "FOREIGN KEY")) {
		if (words_take_group(words, &group))
			check_reference(lint, table, &group, words);
	}
}

/* --- columns --------------------------------------------------------------------- */

static struct lint_column *add_column(
	struct lint *lint, struct lint_table *table, const struct words *definition)
{
	struct words rest = *definition;
	struct lint_column *column = arena_new(lint->arena, struct lint_column);
	struct lint_name name = { 0 };

	(void)words_take_name(&rest, &name);
	if (!column) {
		lint->out->failed = -(int)err_last()->code;
		return NULL;
	}
	column->name = name.name;
	column->leakproof =
		is_one_of(words_peek(&rest, 0), leakproof_types, LEN(leakproof_types)) &&
		!words_have(&rest, "ARRAY");
	for (size_t i = 0; i < 6 && column->leakproof; i++)
		column->leakproof = !words_sign(&rest, i, '[');
	column->next = table->columns;
	table->columns = column;
	return column;
}

static bool is_serial(const struct words *definition)
{
	static const char *const types[] = { "SERIAL", "BIGSERIAL", "SMALLSERIAL", "SERIAL4",
		"SERIAL8", "SERIAL2" };

	return is_one_of(words_peek(definition, 1), types, LEN(types));
}

/* A number that SQLite gives to the row itself; no value of a tenant can be in its way. */
static bool is_row_number(const struct lint *lint, const struct words *definition)
{
	return lint->engine == ENGINE_SQLITE && words_is(definition, 1, "INTEGER") &&
	       words_have(definition, "PRIMARY KEY AUTOINCREMENT");
}

/* What can be said of one column in CREATE TABLE and in ADD COLUMN. */
static void check_column(
	struct lint *lint, struct lint_table *table, const struct words *definition)
{
	const struct lint_column *column = add_column(lint, table, definition);
	struct words one = { definition->at, definition->next + 1, definition->next };
	bool key = words_have(definition, "PRIMARY KEY"), unique = words_have(definition, "UNIQUE");
	struct words rest = *definition;

	if (!column)
		return;
	lint->focus = words_peek(definition, 0);
	if (is_serial(definition))
		lint_wrong(lint, "number rows by bigint GENERATED ALWAYS AS IDENTITY, which needs "
				 "no rights on a sequence");
	if ((key || unique) && !is_row_number(lint, definition))
		check_key(lint, table, key ? "the primary key" : "a unique constraint", &one);
	while (rest.next < rest.count && !words_is(&rest, 0, "REFERENCES"))
		rest.next++;
	check_reference(lint, table, &one, &rest);
	if (str_eq_nocase(column->name, S("tenant_id")) &&
		!(words_is(definition, 1, "UUID") && words_have(definition, "NOT NULL")))
		lint_wrong(lint, "tenant_id is uuid NOT NULL");
}

/* --- CREATE TABLE ----------------------------------------------------------------- */

static bool is_constraint(const struct words *item)
{
	static const char *const words[] = { "CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN",
		"EXCLUDE", "LIKE" };

	return is_one_of(words_peek(item, 0), words, LEN(words));
}

static bool is_named(const struct words *item, const char *column)
{
	return !is_constraint(item) && sql_names(words_peek(item, 0), column);
}

/* Whether something in the parentheses is a primary key. */
static bool has_primary_key(const struct words *body)
{
	struct words rest = *body, item;

	while (words_take_item(&rest, &item))
		if (words_have(&item, "PRIMARY KEY"))
			return true;
	return false;
}

static void check_body(struct lint *lint, struct lint_table *table, const struct words *body)
{
	struct words rest = *body, item;
	struct lint_name name;

	while (words_take_item(&rest, &item))
		table->tenant = table->tenant || is_named(&item, "tenant_id");
	rest = *body;
	while (words_take_item(&rest, &item)) {
		if (!is_constraint(&item))
			check_column(lint, table, &item);
	}
	rest = *body;
	while (words_take_item(&rest, &item)) {
		lint->focus = words_peek(&item, 0);
		if (words_take(&item, "CONSTRAINT"))
			(void)words_take_name(&item, &name);
		if (is_constraint(&item))
			check_constraint(lint, table, &item);
	}
	lint->focus = NULL;
	if (table->tenant && !has_primary_key(body))
		lint_wrong(lint, "main.%.*s has no primary key", STR_ARG(table->name));
}

static struct lint_table *add_table(struct lint *lint, struct str name)
{
	struct lint_table *table = arena_new(lint->arena, struct lint_table);

	if (!table) {
		lint->out->failed = -(int)err_last()->code;
		return NULL;
	}
	*table =
		(struct lint_table){ .next = lint->tables, .name = name, .section = lint->section };
	lint->tables = table;
	return table;
}

void lint_create_table(struct lint *lint, struct words *words)
{
	struct lint_table *table;
	struct lint_name name;
	struct words body;

	(void)words_take(words, "IF NOT EXISTS");
	if (!words_take_name(words, &name))
		return;
	if (!str_eq_nocase(name.schema, S("main")))
		lint_wrong(lint, "write main.%.*s", STR_ARG(name.name));
	if (str_eq_nocase(name.name, S("migration")))
		lint_wrong(lint, "main.migration is the store's own");
	table = add_table(lint, name.name);
	if (!table)
		return;
	if (words_take_group(words, &body))
		check_body(lint, table, &body);
	else
		lint_unsafe(lint,
			"main.%.*s is made of another table: its key and its tenant are "
			"not looked at",
			STR_ARG(name.name));
}

/* --- indexes ------------------------------------------------------------------------ */

void lint_create_index(struct lint *lint, struct words *words, bool unique)
{
	bool concurrently = words_take(words, "CONCURRENTLY");
	struct lint_table *table;
	struct lint_name name;
	struct words group, item;

	(void)words_take(words, "IF NOT EXISTS");
	if (words_is(words, 0, "ON") || !words_take_name(words, &name)) {
		lint_wrong(lint, "an index needs a name");
		return;
	}
	if (name.schema.len)
		lint_wrong(lint, "write the index without a schema: it goes where its table is");
	if (!words_take(words, "ON"))
		return;
	table = lint_take_table(lint, words);
	if (!table)
		return;
	if (!concurrently && lint->engine == ENGINE_POSTGRES && !lint_is_new(lint, table))
		lint_unsafe(lint,
			"an index on main.%.*s without CONCURRENTLY holds up all who "
			"write it",
			STR_ARG(table->name));
	if (words_take(words, "USING")) {
		if (table->tenant &&
			!is_one_of(words_peek(words, 0), index_methods, LEN(index_methods)))
			lint_unsafe(lint,
				"an index of the kind %.*s is not used under row-level "
				"security: its operators are not leakproof",
				STR_ARG(words_peek(words, 0)->text));
		words->next++;
	}
	if (!words_take_group(words, &group))
		return;
	if (unique)
		check_key(lint, table, "a unique index", &group);
	else
		while (words_take_item(&group, &item))
			check_searchable(lint, table, &item);
}

void lint_drop_index(struct lint *lint, struct words *words)
{
	bool concurrently = words_take(words, "CONCURRENTLY");
	struct lint_name name;

	(void)words_take(words, "IF EXISTS");
	if (!words_take_name(words, &name))
		return;
	if (!str_eq_nocase(name.schema, S("main")))
		lint_wrong(lint, "write main.%.*s", STR_ARG(name.name));
	if (!concurrently && lint->engine == ENGINE_POSTGRES)
		lint_unsafe(lint, "dropping an index without CONCURRENTLY waits for all who use "
				  "its table, and all others wait behind it");
}

/* --- DROP TABLE ----------------------------------------------------------------------- */

void lint_drop_table(struct lint *lint, struct words *words)
{
	struct words item;

	(void)words_take(words, "IF EXISTS");
	while (words_take_item(words, &item)) {
		struct lint_table *table = lint_take_table(lint, &item);

		if (table && !lint_is_new(lint, table))
			lint_unsafe(lint, "dropping main.%.*s: what runs beside it still uses it",
				STR_ARG(table->name));
	}
}

/* --- ALTER TABLE ---------------------------------------------------------------------- */

/* DEFAULT f(): every row gets a value of its own, so all are written anew. Functions that are
 * constant in a statement are not. */
static bool has_volatile_default(const struct words *definition)
{
	static const char *const stable[] = { "NOW", "CURRENT_TIMESTAMP", "TRANSACTION_TIMESTAMP",
		"STATEMENT_TIMESTAMP", "CURRENT_SETTING" };
	struct words rest = *definition;

	while (rest.next < rest.count && !words_is(&rest, 0, "DEFAULT"))
		rest.next++;
	for (rest.next++; rest.next < rest.count; rest.next++)
		if (words_peek(&rest, 0)->kind == SQL_WORD && words_sign(&rest, 1, '(') &&
			!is_one_of(words_peek(&rest, 0), stable, LEN(stable)) &&
			!words_is(&rest, 0, "CHECK") && !words_is(&rest, 0, "REFERENCES"))
			return true;
	return false;
}

static void alter_add_column(
	struct lint *lint, struct lint_table *table, const struct words *definition)
{
	bool is_new = lint_is_new(lint, table), generated = words_have(definition, "GENERATED");

	check_column(lint, table, definition);
	if (sql_names(words_peek(definition, 0), "tenant_id")) {
		lint_wrong(lint, "a table belongs to tenants from its first day or never: its key "
				 "begins with tenant_id");
		table->tenant = true;
	}
	if (is_new)
		return;
	if (words_have(definition, "NOT NULL") && !words_have(definition, "DEFAULT") && !generated)
		lint_unsafe(lint, "a new column that is NOT NULL needs a DEFAULT: what runs beside "
				  "it does not give a value");
	if (generated)
		lint_unsafe(lint, "a new generated column writes the whole table anew, and holds "
				  "up all who use it");
	if (lint->engine == ENGINE_POSTGRES && has_volatile_default(definition))
		lint_unsafe(lint, "a DEFAULT that is another one for each row writes the whole "
				  "table anew, and holds up all who use it");
	if (words_have(definition, "CHECK") || words_have(definition, "UNIQUE") ||
		words_have(definition, "PRIMARY KEY"))
		lint_unsafe(lint, "a constraint on a new column reads the whole table, and holds "
				  "up all who use it");
	if (words_have(definition, "REFERENCES"))
		lint_unsafe(lint, "a new foreign key holds up all who write either table, and what "
				  "runs beside it does not know it");
}

static void alter_add_constraint(struct lint *lint, struct lint_table *table, struct words *action)
{
	struct lint_name name;
	struct words rest;

	if (words_take(action, "CONSTRAINT"))
		(void)words_take_name(action, &name);
	rest = *action;
	check_constraint(lint, table, &rest);
	lint->adds_unchecked = lint->adds_unchecked || words_have(action, "NOT VALID");
	if (lint_is_new(lint, table))
		return;
	if (words_is(action, 0, "FOREIGN"))
		lint_unsafe(lint, "a new foreign key holds up all who write either table, and what "
				  "runs beside it does not know it");
	else if (!words_have(action, "NOT VALID") && !words_have(action, "USING INDEX"))
		lint_unsafe(lint, "a constraint that is checked at once reads the whole table, and "
				  "holds up all who use it; add it NOT VALID (of a unique index "
				  "made CONCURRENTLY: USING INDEX), validate it later");
}

static void alter_column(struct lint *lint, struct lint_table *table, struct words *action)
{
	static const char *const harmless[] = { "DROP NOT NULL", "SET DEFAULT", "DROP DEFAULT",
		"SET STATISTICS", "SET STORAGE", "SET GENERATED", "DROP EXPRESSION" };
	struct lint_name name;

	(void)words_take(action, "COLUMN");
	(void)words_take_name(action, &name);
	if (words_is(action, 0, "TYPE") || words_take(action, "SET DATA")) {
		if (!lint_is_new(lint, table))
			lint_unsafe(lint, "another type writes the whole table anew, and what runs "
					  "beside it expects the old one");
		return;
	}
	if (words_take(action, "SET NOT NULL")) {
		if (!lint_is_new(lint, table))
			lint_unsafe(lint, "NOT NULL reads the whole table, and what runs beside it "
					  "may still write none");
		return;
	}
	for (size_t i = 0; i < LEN(harmless); i++)
		if (words_take(action, harmless[i]))
			return;
	if (!lint_is_new(lint, table))
		lint_unsafe(lint, "ALTER TABLE: this change is not known here");
}

static void alter_rename(struct lint *lint, struct lint_table *table, struct words *action)
{
	struct lint_name name;

	if (words_take(action, "CONSTRAINT"))
		return;
	if (!lint_is_new(lint, table))
		lint_unsafe(lint, "what runs beside it still uses the old name");
	if (words_take(action, "TO") && words_take_name(action, &name)) {
		struct lint_table *renamed = add_table(lint, name.name);

		if (renamed) {
			renamed->tenant = table->tenant;
			renamed->section = table->section;
			renamed->columns = table->columns;
		}
	}
}

static void alter_drop(struct lint *lint, struct lint_table *table, struct words *action)
{
	if (!lint_is_new(lint, table))
		lint_unsafe(lint, "dropping a %s: what runs beside it still counts on it",
			words_is(action, 0, "CONSTRAINT") ? "constraint" : "column");
}

/* One of the actions, which stand with commas between them. */
static void alter_action(struct lint *lint, struct lint_table *table, struct words *action)
{
	static const char *const rights[] = { "ENABLE ROW", "DISABLE ROW", "FORCE ROW", "NO FORCE",
		"OWNER TO" };

	lint->focus = words_peek(action, 0);
	for (size_t i = 0; i < LEN(rights); i++)
		if (words_take(action, rights[i])) {
			lint_wrong(lint, "roles, rights and policies are the store's");
			return;
		}
	if (words_take(action, "SET SCHEMA")) {
		lint_wrong(lint, "there is one schema, and the store makes it");
	} else if (words_take(action, "ADD")) {
		if (is_constraint(action)) {
			alter_add_constraint(lint, table, action);
			return;
		}
		(void)words_take(action, "COLUMN");
		(void)words_take(action, "IF NOT EXISTS");
		alter_add_column(lint, table, action);
	} else if (words_take(action, "RENAME")) {
		alter_rename(lint, table, action);
	} else if (words_take(action, "DROP")) {
		alter_drop(lint, table, action);
	} else if (words_take(action, "ALTER")) {
		alter_column(lint, table, action);
	} else if (words_take(action, "VALIDATE CONSTRAINT")) {
		if (lint->adds_unchecked)
			lint_unsafe(lint, "validating in the section that adds the constraint "
					  "holds up all who use the table; do it in the next one");
	} else if (!((words_is(action, 0, "SET") || words_is(action, 0, "RESET")) &&
			   words_sign(action, 1, '('))) {
		lint_unsafe(lint, "ALTER TABLE: this change is not known here");
	}
}

void lint_alter_table(struct lint *lint, struct words *words)
{
	struct lint_table *table;
	struct words action;

	(void)words_take(words, "IF EXISTS");
	table = lint_take_table(lint, words);
	if (!table)
		return;
	while (words_take_item(words, &action))
		alter_action(lint, table, &action);
}
