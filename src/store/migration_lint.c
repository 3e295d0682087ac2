/*
 * Looks through migrations for mistakes and for what is unsafe beside running servers. It knows SQL
 * by its first words and a few shapes, and refuses what it does not know; the database has the last
 * word (migrate_pg.c and migrate_sqlite.c look again at what came out of it).
 */
#include "store/migration_lint.h"

#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

enum { LINT_ARENA_CHUNK = 64 * 1024, LINT_ARENA_MAX = 64 * 1024 * 1024, LINE_MAX_BYTES = 400 };

/* --- findings -------------------------------------------------------------------- */

/* The line of the file that the focus stands in. */
static size_t line_of(const struct lint *lint)
{
	struct str text = lint->statement->text;
	size_t line = lint->statement->line;

	if (lint->focus)
		for (const char *at = text.at; at < lint->focus->text.at; at++)
			line += *at == '\n';
	return line;
}

PRINTF_LIKE(3, 0)
static void tell(struct lint *lint, bool unsafe, const char *format, va_list args)
{
	const char *module = lint->migrations->source->module;
	char text[LINE_MAX_BYTES], line[LINE_MAX_BYTES + 128];
	int len;

	if (lint->muted || (unsafe && lint->statement->safe.len))
		return;

	(void)vsnprintf(text, sizeof(text), format, args);
	len = snprintf(line, sizeof(line), "%s.sql:%zu: %s%s\n", module, line_of(lint), text,
		unsafe ? "; if it is safe here, say why behind it: -- safe: ..." : "");
	lint->count++;
	if (str_find(buf_str(lint->out), str_of(line, (size_t)len)) < 0)
		buf_append(
			lint->out, str_of(line, (size_t)len)); /* not told for the other engine */
}

void lint_wrong(struct lint *lint, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tell(lint, false, format, args);
	va_end(args);
}

void lint_unsafe(struct lint *lint, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tell(lint, true, format, args);
	va_end(args);
}

/* --- tokens ------------------------------------------------------------------------ */

const struct sql_token *words_peek(const struct words *words, size_t ahead)
{
	static const struct sql_token end = { .kind = SQL_END };

	return words->next + ahead < words->count ? &words->at[words->next + ahead] : &end;
}

bool words_is(const struct words *words, size_t ahead, const char *word)
{
	return sql_is(words_peek(words, ahead), word);
}

bool words_sign(const struct words *words, size_t ahead, char sign)
{
	const struct sql_token *token = words_peek(words, ahead);

	return token->kind == SQL_SIGN && token->text.len == 1 && token->text.at[0] == sign;
}

bool words_take(struct words *words, const char *phrase)
{
	struct str rest = str_from_c(phrase);
	size_t count = 0;

	while (rest.at) {
		struct str word = str_cut(&rest, ' ');
		char text[32];

		CHECK(word.len < sizeof(text));
		memcpy(text, word.at, word.len);
		text[word.len] = '\0';
		if (!words_is(words, count++, text))
			return false;
	}
	words->next += count;
	return true;
}

bool words_take_group(struct words *words, struct words *ret)
{
	size_t depth = 0, from = words->next;

	if (!words_sign(words, 0, '('))
		return false;
	do {
		depth += words_sign(words, 0, '(');
		depth -= words_sign(words, 0, ')');
		words->next++;
	} while (depth > 0 && words->next < words->count);
	*ret = (struct words){ words->at, words->next - (depth == 0), from + 1 };
	return true;
}

bool words_take_item(struct words *words, struct words *ret)
{
	struct words group;
	size_t from = words->next;

	if (from >= words->count)
		return false;
	while (words->next < words->count && !words_sign(words, 0, ','))
		if (!words_take_group(words, &group))
			words->next++;
	*ret = (struct words){ words->at, words->next, from };
	words->next++;
	return true;
}

bool words_have(const struct words *words, const char *phrase)
{
	struct words rest = *words, group;

	while (rest.next < rest.count) {
		struct words here = rest;

		if (words_take(&here, phrase))
			return true;
		if (!words_take_group(&rest, &group))
			rest.next++;
	}
	return false;
}

bool words_take_name(struct words *words, struct lint_name *ret)
{
	const struct sql_token *first = words_peek(words, 0), *second = words_peek(words, 2);

	if (first->kind != SQL_WORD && first->kind != SQL_QUOTED)
		return false;
	words->next++;
	*ret = (struct lint_name){ .name = first->body.len ? first->body : first->text };
	if (words_sign(words, 0, '.') && (second->kind == SQL_WORD || second->kind == SQL_QUOTED)) {
		words->next += 2;
		ret->schema = ret->name;
		ret->name = second->body.len ? second->body : second->text;
	}
	return true;
}

/* --- tables ------------------------------------------------------------------------- */

struct lint_table *lint_find(struct lint *lint, struct str name)
{
	for (struct lint_table *table = lint->tables; table; table = table->next)
		if (str_eq_nocase(table->name, name))
			return table;
	return NULL;
}

bool lint_is_new(const struct lint *lint, const struct lint_table *table)
{
	return table->section == lint->section;
}

struct lint_table *lint_take_table(struct lint *lint, struct words *words)
{
	const struct sql_token *focus = words_peek(words, 0);
	struct lint_table *table;
	struct lint_name name;

	(void)words_take(words, "ONLY");
	if (!words_take_name(words, &name))
		return NULL;
	lint->focus = focus;
	if (!str_eq_nocase(name.schema, S("main"))) {
		lint_wrong(lint, "write main.%.*s", STR_ARG(name.name));
		return NULL;
	}
	table = lint_find(lint, name.name);
	if (!table)
		lint_wrong(lint, "main.%.*s is not a table of this module", STR_ARG(name.name));
	return table;
}

/* --- rows ---------------------------------------------------------------------------- */

static void check_insert(struct lint *lint, struct words *words)
{
	(void)words_take(words, "OR REPLACE");
	if (words_take(words, "INTO"))
		(void)lint_take_table(lint, words);
}

static void check_whole(struct lint *lint, struct words *words, const char *verb)
{
	struct lint_table *table = lint_take_table(lint, words);

	if (table && !lint_is_new(lint, table) && !words_have(words, "WHERE"))
		lint_unsafe(lint, "%s all rows of main.%.*s at once locks out its users", verb,
			STR_ARG(table->name));
}

static void check_update(struct lint *lint, struct words *words)
{
	if (words_take(words, "OR"))
		words->next++;
	check_whole(lint, words, "changing");
}

static void check_delete(struct lint *lint, struct words *words)
{
	(void)words_take(words, "FROM");
	check_whole(lint, words, "deleting");
}

static void check_with(struct lint *lint, struct words *words)
{
	static const struct {
		const char *verb;
		void (*check)(struct lint *, struct words *);
	} verbs[] = { { "INSERT", check_insert }, { "UPDATE", check_update },
		{ "DELETE", check_delete } };
	struct words group;

	while (words->next < words->count) {
		for (size_t i = 0; i < LEN(verbs); i++)
			if (words_take(words, verbs[i].verb)) {
				verbs[i].check(lint, words);
				return;
			}
		if (words_take_group(words, &group)) {
			if (words_is(&group, 0, "INSERT") || words_is(&group, 0, "UPDATE") ||
				words_is(&group, 0, "DELETE"))
				lint_wrong(lint, "no change of rows inside of WITH");
			continue;
		}
		words->next++;
	}
	lint_unsafe(lint, "a query has nothing to do here");
}

static void check_truncate(struct lint *lint, struct words *words)
{
	struct words item;

	(void)words_take(words, "TABLE");
	while (words_take_item(words, &item)) {
		struct lint_table *table = lint_take_table(lint, &item);

		if (table && !lint_is_new(lint, table))
			lint_unsafe(lint, "TRUNCATE throws away all rows of main.%.*s",
				STR_ARG(table->name));
	}
}

/* --- statements ------------------------------------------------------------------------ */

static void create_index(struct lint *lint, struct words *words)
{
	lint_create_index(lint, words, false);
}

static void create_unique_index(struct lint *lint, struct words *words)
{
	lint_create_index(lint, words, true);
}

static void allow(struct lint *lint, struct words *words)
{
	(void)lint;
	(void)words;
}

#define OWN_TRANSACTIONS "the store begins and ends transactions"
#define OWN_SETTINGS     "settings of the connection are the store's"
#define OWN_RIGHTS       "roles, rights and policies are the store's"
#define OWN_SCHEMA       "there is one schema, and the store makes it"
#define OWN_SESSION      "a migration changes tables, not its session"

/* By their first words. The first row that fits decides; a row has one of three verdicts. */
static const struct {
	const char *words;
	void (*check)(struct lint *, struct words *); /* a rule of its own, */
	const char *wrong;                            /* refused, */
	const char *unsafe;                           /* or refused unless it is said to be safe */
} statements[] = {
	{ "CREATE TABLE", lint_create_table },
	{ "CREATE INDEX", create_index },
	{ "CREATE UNIQUE INDEX", create_unique_index },
	{ "ALTER TABLE", lint_alter_table },
	{ "DROP TABLE", lint_drop_table },
	{ "DROP INDEX", lint_drop_index },
	{ "INSERT", check_insert },
	{ "REPLACE", check_insert },
	{ "UPDATE", check_update },
	{ "DELETE", check_delete },
	{ "WITH", check_with },
	{ "TRUNCATE", check_truncate },
	{ "COMMENT ON", allow },
	{ "ANALYZE", allow },
	{ "CREATE STATISTICS", allow },

	{ "BEGIN", .wrong = OWN_TRANSACTIONS },
	{ "START", .wrong = OWN_TRANSACTIONS },
	{ "COMMIT", .wrong = OWN_TRANSACTIONS },
	{ "END", .wrong = OWN_TRANSACTIONS },
	{ "ROLLBACK", .wrong = OWN_TRANSACTIONS },
	{ "ABORT", .wrong = OWN_TRANSACTIONS },
	{ "SAVEPOINT", .wrong = OWN_TRANSACTIONS },
	{ "RELEASE", .wrong = OWN_TRANSACTIONS },
	{ "PRAGMA", .wrong = OWN_SETTINGS },
	{ "SET", .wrong = OWN_SETTINGS },
	{ "RESET", .wrong = OWN_SETTINGS },
	{ "ATTACH", .wrong = OWN_SCHEMA },
	{ "DETACH", .wrong = OWN_SCHEMA },
	{ "GRANT", .wrong = OWN_RIGHTS },
	{ "REVOKE", .wrong = OWN_RIGHTS },
	{ "REASSIGN", .wrong = OWN_RIGHTS },
	{ "SECURITY", .wrong = OWN_RIGHTS },
	{ "CREATE ROLE", .wrong = OWN_RIGHTS },
	{ "CREATE USER", .wrong = OWN_RIGHTS },
	{ "CREATE GROUP", .wrong = OWN_RIGHTS },
	{ "CREATE POLICY", .wrong = OWN_RIGHTS },
	{ "ALTER ROLE", .wrong = OWN_RIGHTS },
	{ "ALTER USER", .wrong = OWN_RIGHTS },
	{ "ALTER GROUP", .wrong = OWN_RIGHTS },
	{ "ALTER POLICY", .wrong = OWN_RIGHTS },
	{ "ALTER DEFAULT", .wrong = OWN_RIGHTS },
	{ "DROP ROLE", .wrong = OWN_RIGHTS },
	{ "DROP USER", .wrong = OWN_RIGHTS },
	{ "DROP GROUP", .wrong = OWN_RIGHTS },
	{ "DROP POLICY", .wrong = OWN_RIGHTS },
	{ "DROP OWNED", .wrong = OWN_RIGHTS },
	{ "CREATE SCHEMA", .wrong = OWN_SCHEMA },
	{ "ALTER SCHEMA", .wrong = OWN_SCHEMA },
	{ "DROP SCHEMA", .wrong = OWN_SCHEMA },
	{ "CREATE DATABASE", .wrong = OWN_SCHEMA },
	{ "ALTER DATABASE", .wrong = OWN_SCHEMA },
	{ "DROP DATABASE", .wrong = OWN_SCHEMA },
	{ "ALTER SYSTEM", .wrong = OWN_SETTINGS },
	{ "CREATE TEMP", .wrong = "a temporary table takes the place of a table of its name" },
	{ "CREATE TEMPORARY", .wrong = "a temporary table takes the place of a table of its name" },
	{ "CREATE SEQUENCE",
		.wrong = "number rows by GENERATED ALWAYS AS IDENTITY, which needs no rights" },
	{ "VACUUM", .wrong = OWN_SESSION },
	{ "REINDEX", .wrong = OWN_SESSION },
	{ "CLUSTER", .wrong = OWN_SESSION },
	{ "CHECKPOINT", .wrong = OWN_SESSION },
	{ "COPY", .wrong = OWN_SESSION },
	{ "LOAD", .wrong = OWN_SESSION },
	{ "LISTEN", .wrong = OWN_SESSION },
	{ "UNLISTEN", .wrong = OWN_SESSION },
	{ "NOTIFY", .wrong = OWN_SESSION },
	{ "PREPARE", .wrong = OWN_SESSION },
	{ "EXECUTE", .wrong = OWN_SESSION },
	{ "DEALLOCATE", .wrong = OWN_SESSION },
	{ "DISCARD", .wrong = OWN_SESSION },

	{ "LOCK", .unsafe = "LOCK holds up everybody who uses the table" },
	{ "CREATE UNLOGGED", .unsafe = "an unlogged table is empty after a crash" },
	{ "CREATE VIEW", .unsafe = "a view shows what its owner may see, whoever the tenant is" },
	{ "CREATE MATERIALIZED", .unsafe = "a materialized view holds the rows of all tenants" },
	{ "CREATE VIRTUAL", .unsafe = "a virtual table does not know tenants" },
	{ "CREATE FUNCTION", .unsafe = "what a function does is not looked at" },
	{ "CREATE PROCEDURE", .unsafe = "what a procedure does is not looked at" },
	{ "CREATE OR REPLACE", .unsafe = "what stood there before is lost" },
	{ "CREATE TRIGGER", .unsafe = "what a trigger does is not looked at" },
	{ "CREATE", .unsafe = "this kind of object is not known here" },
	{ "DROP", .unsafe = "what runs beside it may still use it" },
	{ "ALTER", .unsafe = "this change is not known here" },
	{ "MERGE", .unsafe = "MERGE is not looked at" },
	{ "SELECT", .unsafe = "a query has nothing to do here" },
	{ "VALUES", .unsafe = "a query has nothing to do here" },
	{ "DO", .unsafe = "what a DO block does is not looked at" },
	{ "CALL", .unsafe = "what a procedure does is not looked at" },
};

static void check_verb(struct lint *lint, struct words *words)
{
	for (size_t i = 0; i < LEN(statements); i++) {
		if (!words_take(words, statements[i].words))
			continue;
		if (statements[i].check)
			statements[i].check(lint, words);
		else if (statements[i].wrong)
			lint_wrong(lint, "%s: %s", statements[i].words, statements[i].wrong);
		else
			lint_unsafe(lint, "%s: %s", statements[i].words, statements[i].unsafe);
		return;
	}
	lint_wrong(lint, "a statement that is not known here");
}

/* True when the FROM at `at` belongs to a function (EXTRACT, SUBSTRING, ...) or to IS DISTINCT. */
static bool is_other_from(const struct sql_token *tokens, size_t at)
{
	static const char *const functions[] = { "EXTRACT", "SUBSTRING", "TRIM", "OVERLAY" };
	size_t depth = 0;

	if (at > 0 && sql_is(&tokens[at - 1], "DISTINCT"))
		return true;
	while (at-- > 0) {
		bool sign = tokens[at].kind == SQL_SIGN && tokens[at].text.len == 1;

		if (sign && tokens[at].text.at[0] == ')')
			depth++;
		if (!sign || tokens[at].text.at[0] != '(' || depth-- > 0)
			continue;
		for (size_t i = 0; i < LEN(functions); i++)
			if (at > 0 && sql_is(&tokens[at - 1], functions[i]))
				return true;
		return false;
	}
	return false;
}

/* True when the name is that of a common table expression: x AS (, x (a, b) AS MATERIALIZED (. */
static bool is_common(const struct words *words, struct str name)
{
	for (size_t i = 0; i < words->count; i++) {
		struct words rest = { words->at, words->count, i }, group;
		struct lint_name here;

		if (!words_take_name(&rest, &here) || !str_eq_nocase(here.name, name))
			continue;
		(void)words_take_group(&rest, &group);
		if (!words_take(&rest, "AS"))
			continue;
		(void)words_take(&rest, "NOT");
		(void)words_take(&rest, "MATERIALIZED");
		if (words_sign(&rest, 0, '('))
			return true;
	}
	return false;
}

/* Every table that is read or referred to is main.x, a common table expression or a function. */
static void check_names(struct lint *lint, const struct words *words)
{
	for (size_t i = 0; i < words->count; i++) {
		const struct sql_token *token = &words->at[i];
		struct words rest = { words->at, words->count, i + 1 };
		struct lint_name name;

		lint->focus = token;
		if (sql_is(token, "SET_CONFIG"))
			lint_wrong(lint, "set_config: " OWN_SETTINGS);
		if (!sql_is(token, "JOIN") && !sql_is(token, "REFERENCES") &&
			!(sql_is(token, "FROM") && !is_other_from(words->at, i)))
			continue;
		(void)(words_take(&rest, "ONLY") || words_take(&rest, "LATERAL"));
		if (!words_take_name(&rest, &name) || str_eq_nocase(name.schema, S("main")))
			continue;
		if (name.schema.len == 0 &&
			((words_sign(&rest, 0, '(') && !sql_is(token, "REFERENCES")) ||
				is_common(words, name.name)))
			continue;
		lint_wrong(lint, "write main.%.*s", STR_ARG(name.name));
	}
}

static void check_statement(struct lint *lint, const struct migration_statement *statement)
{
	struct sql_token *tokens;
	struct words words;
	size_t count;

	if (migration_tokens(lint->arena, statement->text, lint->engine, &tokens, &count) < 0) {
		lint->out->failed = -(int)err_last()->code;
		return;
	}
	words = (struct words){ .at = tokens, .count = count - 1 };
	lint->statement = statement;
	check_names(lint, &words);
	lint->focus = NULL;
	check_verb(lint, &words);
}

/* --- sections --------------------------------------------------------------------------- */

/* What cannot run in a transaction stands alone, so that a crash leaves nothing half done that is
 * not tried again. */
static void check_alone(struct lint *lint, const struct migration_statements *list)
{
	size_t concurrent = 0;

	for (size_t i = 0; i < list->count; i++)
		concurrent += migration_is_concurrent(list->at[i].text, lint->engine);
	if (concurrent == 0 || concurrent == list->count)
		return;

	for (size_t i = 0; i < list->count; i++)
		if (!migration_is_concurrent(list->at[i].text, lint->engine)) {
			lint->statement = &list->at[i];
			lint->focus = NULL;
			lint_wrong(lint, "a section with CONCURRENTLY has no other statements: it "
					 "runs outside of a transaction");
			return;
		}
}

static int check_part(struct lint *lint, const struct migration_part *part)
{
	struct migration_statements list;
	int r;

	if (!part->given)
		return 0;
	r = migration_cut(lint->arena, lint->migrations->source, part, lint->engine, &list);
	if (r < 0)
		return r;

	lint->section++;
	lint->adds_unchecked = false;
	check_alone(lint, &list);
	for (size_t i = 0; i < list.count && !lint->out->failed; i++)
		check_statement(lint, &list.at[i]);
	return lint->out->failed;
}

int migration_lint_from(
	const struct migrations *migrations, enum engine_kind engine, int64_t from, struct buf *out)
{
	struct arena arena;
	struct lint lint = {
		.arena = &arena, .migrations = migrations, .engine = engine, .out = out
	};
	struct lint_table *tables;
	int r = 0;

	arena_init(&arena, LINT_ARENA_CHUNK, LINT_ARENA_MAX);
	for (size_t i = 0; i < migrations->count && r == 0; i++) {
		lint.muted = migrations->at[i].number < from;
		r = check_part(&lint, &migrations->at[i].up);
		tables = lint.tables;
		if (r == 0)
			r = check_part(&lint, &migrations->at[i].down);
		lint.tables = tables; /* nobody has gone down when the next one goes up */
	}
	arena_done(&arena);
	return r < 0 ? r : lint.count;
}
