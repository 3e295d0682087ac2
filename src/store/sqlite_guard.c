/* The rules of who may touch what. Denied is what is not allowed here. */
#define SQLITE_ENABLE_PREUPDATE_HOOK /* as the library was built, for its header */
#include "store/sqlite_guard.h"

#include "store/sqlite_error.h"

#include <stdio.h>
#include <stdlib.h>

enum { FOLLOW_DEPTH_MAX = 16 }; /* tables in a chain of foreign key actions */

/*
 * Functions that compute and do nothing else. Not here: those that tell about the connection or
 * what others did on it (changes, last_insert_rowid, total_changes), make large values from nothing
 * (zeroblob, randomblob), load code, and differ from run to run (random, datetime with 'now'; the
 * time of a transaction is :now). Sorted.
 */
static const char *const functions[] = { "->", "->>", "abs", "avg", "ceil", "ceiling", "char",
	"coalesce", "count", "cume_dist", "dense_rank", "exp", "first_value", "floor", "format",
	"glob", "group_concat", "hex", "ifnull", "iif", "instr", "json", "json_array",
	"json_array_length", "json_each", "json_extract", "json_group_array", "json_group_object",
	"json_insert", "json_object", "json_patch", "json_quote", "json_remove", "json_replace",
	"json_set", "json_tree", "json_type", "json_valid", "lag", "last_value", "lead", "length",
	"like", "likelihood", "likely", "ln", "log", "log10", "log2", "lower", "ltrim", "max",
	"min", "mod", "nth_value", "ntile", "nullif", "octet_length", "percent_rank", "pow",
	"power", "printf", "quote", "rank", "replace", "round", "row_number", "rtrim", "sign",
	"sqrt", "substr", "substring", "sum", "total", "trim", "trunc", "typeof", "unicode",
	"unlikely", "upper" };

/* Table-valued functions: they see their arguments only. */
static const char *const values_of[] = { "json_each", "json_tree" };

static int compare_names(const void *key, const void *row)
{
	return strcmp(key, *(const char *const *)row);
}

/* SQLite gives functions the name they were defined with, in lower case. */
static bool is_harmless(const char *function)
{
	return function &&
	       bsearch(function, functions, LEN(functions), sizeof(functions[0]), compare_names);
}

static bool is_values_of(const char *table)
{
	for (size_t i = 0; i < LEN(values_of); i++)
		if (strcmp(table, values_of[i]) == 0)
			return true;
	return false;
}

/* --- the authorizer ----------------------------------------------------------------- */

/* What SQLite asks. */
struct question {
	int action;
	const char *what, *more; /* their meaning depends on the action; may be NULL */
	const char *database;
	const char *inside; /* the innermost trigger or view; NULL: the statement itself */
};

static bool names(const char *text, struct str name)
{
	return text && str_eq_nocase(str_from_c(text), name);
}

/* NOLINTBEGIN(misc-no-recursion): by FOLLOW_DEPTH_MAX */
/* True when rows of the table can change by foreign key actions of the target: it refers to it, if
 * through others. */
static bool follows(const struct sqlite_schema *schema, const struct sqlite_table *table,
	struct str target, unsigned depth)
{
	for (size_t i = 0; i < table->reference_count; i++) {
		const struct sqlite_table *next =
			sqlite_schema_find(schema, table->references[i].table);

		if (!next || next == table)
			continue;
		if (str_eq_nocase(next->name, target) ||
			(depth < FOLLOW_DEPTH_MAX && follows(schema, next, target, depth + 1)))
			return true;
	}
	return false;
}

/* NOLINTEND(misc-no-recursion) */

/* The target of a statement that writes, and what SQLite changes with it. */
static bool is_written(const struct sqlite_guard *guard, const struct sqlite_table *table)
{
	struct str target = guard->plan->target;

	return target.len && table->tenant &&
	       (str_eq_nocase(target, table->name) || follows(guard->schema, table, target, 0));
}

static bool refers_to(
	const struct sqlite_table *from, const struct sqlite_table *to, struct str column)
{
	for (size_t i = 0; i < from->reference_count; i++) {
		const struct sqlite_reference *reference = &from->references[i];

		for (size_t j = 0; j < reference->count; j++)
			if (str_eq_nocase(reference->table, to->name) &&
				str_eq_nocase(reference->to[j], column))
				return true;
	}
	return false;
}

/* A column that SQLite compares with a foreign key of a table that is written. */
static bool is_compared(
	const struct sqlite_guard *guard, const struct sqlite_table *table, struct str column)
{
	for (size_t i = 0; i < guard->schema->count; i++)
		if (is_written(guard, &guard->schema->tables[i]) &&
			refers_to(&guard->schema->tables[i], table, column))
			return true;
	return false;
}

/*
 * That foreign keys make SQLite read tables itself, which looks the same as a statement that names
 * them, gives nothing away: the text of a statement names main.x only as its target, and what has
 * no main. in front of it is a view.
 */
static bool tenant_may_read(const struct sqlite_guard *guard, const struct question *question)
{
	const struct sqlite_table *table =
		sqlite_schema_find(guard->schema, str_from_c(question->what));
	bool in_main = names(question->database, S("main"));

	if (!table)
		return in_main && is_values_of(question->what);
	if (names(question->database, S("temp")))
		return table->tenant; /* the view */
	if (!in_main)
		return false;
	if (question->inside)
		return table->tenant && names(question->inside, table->name);
	return is_written(guard, table) || is_compared(guard, table, str_from_c(question->more));
}

static bool tenant_may_write(const struct sqlite_guard *guard, const struct question *question)
{
	const struct sqlite_table *table =
		sqlite_schema_find(guard->schema, str_from_c(question->what));

	return guard->plan->verb != SQL_READ && table && is_written(guard, table) &&
	       !question->inside && names(question->database, S("main"));
}

/* current_tenant() tells the views whose rows they show, and anybody else what he knows. */
static bool tenant_may_call(const struct question *question)
{
	return names(question->more, S("current_tenant")) || is_harmless(question->more);
}

static bool tenant_may(const struct sqlite_guard *guard, const struct question *question)
{
	switch (question->action) {
	case SQLITE_SELECT:
	case SQLITE_RECURSIVE: return true;
	case SQLITE_FUNCTION: return tenant_may_call(question);
	case SQLITE_READ: return tenant_may_read(guard, question);
	case SQLITE_INSERT:
	case SQLITE_UPDATE:
	case SQLITE_DELETE: return tenant_may_write(guard, question);
	default: return false;
	}
}

/* A statement that crosses tenants reads and writes all tables, and nothing that is none. */
static bool system_may(const struct sqlite_guard *guard, const struct question *question)
{
	bool table;

	switch (question->action) {
	case SQLITE_SELECT:
	case SQLITE_RECURSIVE: return true;
	case SQLITE_FUNCTION: return is_harmless(question->more);
	case SQLITE_READ:
	case SQLITE_INSERT:
	case SQLITE_UPDATE:
	case SQLITE_DELETE:
		table = sqlite_schema_find(guard->schema, str_from_c(question->what));
		return names(question->database, S("main")) &&
		       (table || (question->action == SQLITE_READ && is_values_of(question->what)));
	default: return false;
	}
}

/* What a denied statement wanted, for whoever wrote it. */
static void describe(struct sqlite_guard *guard, const struct question *question)
{
	const char *what = question->what ? question->what : "";
	const char *database = question->database ? question->database : "";
	const char *dot = question->database ? "." : "";
	char *to = guard->denied;
	size_t size = sizeof(guard->denied);

	if (to[0])
		return; /* the first reason is the best */
	switch (question->action) {
	case SQLITE_FUNCTION:
		(void)snprintf(to, size, "the function %s is not on the list of harmless ones",
			question->more ? question->more : "");
		return;
	case SQLITE_READ:
		(void)snprintf(to, size, "it may not read %s%s%s here", database, dot, what);
		return;
	case SQLITE_INSERT:
	case SQLITE_UPDATE:
	case SQLITE_DELETE:
		(void)snprintf(to, size, "it may not write %s%s%s here", database, dot, what);
		return;
	default:
		(void)snprintf(
			to, size, "it may not do that (action %d, %s)", question->action, what);
	}
}

static int authorize(void *arg, int action, const char *what, const char *more,
	const char *database, const char *inside)
{
	struct sqlite_guard *guard = arg;
	struct question question = { action, what, more, database, inside };
	bool may;

	if (guard->own)
		return SQLITE_OK;
	if (!guard->plan)
		may = false;
	else if (guard->plan->system)
		may = system_may(guard, &question);
	else
		may = tenant_may(guard, &question);
	if (may)
		return SQLITE_OK;
	describe(guard, &question);
	return SQLITE_DENY;
}

/* --- the hook ------------------------------------------------------------------------- */

static bool is_ours(const struct sqlite_guard *guard, sqlite3_value *value)
{
	return sqlite3_value_type(value) == SQLITE_BLOB &&
	       sqlite3_value_bytes(value) == sizeof(guard->tenant.bytes) &&
	       memcmp(sqlite3_value_blob(value), guard->tenant.bytes,
		       sizeof(guard->tenant.bytes)) == 0;
}

/* The tenant of the row before (or after) the change. */
static bool side_is_ours(
	struct sqlite_guard *guard, int column, int (*side)(sqlite3 *, int, sqlite3_value **))
{
	sqlite3_value *value = NULL;
	int code = side(guard->db, column, &value);

	if (code != SQLITE_OK)
		guard->unseen = code;
	return code == SQLITE_OK && is_ours(guard, value);
}

static bool row_is_ours(struct sqlite_guard *guard, int action, int column)
{
	return (action == SQLITE_INSERT || side_is_ours(guard, column, sqlite3_preupdate_old)) &&
	       (action == SQLITE_DELETE || side_is_ours(guard, column, sqlite3_preupdate_new));
}

/* Before each row that changes. It cannot stop the statement: whoever steps looks at `violated`. */
static void before_row(void *arg, sqlite3 *db, int action, const char *database, const char *name,
	sqlite3_int64 key, sqlite3_int64 new_key)
{
	struct sqlite_guard *guard = arg;

	(void)db, (void)key, (void)new_key;
	if (guard->own || (guard->plan && guard->plan->system))
		return;
	if (!guard->seen || strcmp(guard->seen->name.at, name) != 0)
		guard->seen = sqlite_schema_find(guard->schema, str_from_c(name));
	if (!guard->plan || strcmp(database, "main") != 0 || !guard->seen || !guard->seen->tenant ||
		!row_is_ours(guard, action, guard->seen->tenant_column))
		guard->violated = true;
}

/* --- setting up ------------------------------------------------------------------------ */

/* NULL without a tenant: then nothing is equal to it. The bytes stay where they are and stay the
 * same as long as a statement runs. */
static void current_tenant(sqlite3_context *context, int count, sqlite3_value **values)
{
	static const struct uuid nil;
	const struct sqlite_guard *guard = sqlite3_user_data(context);

	(void)count, (void)values;
	if (uuid_cmp(&guard->tenant, &nil) == 0)
		sqlite3_result_null(context);
	else
		sqlite3_result_blob(
			context, guard->tenant.bytes, sizeof(guard->tenant.bytes), SQLITE_STATIC);
}

static int make_view(sqlite3 *db, const char *table)
{
	char *sql = sqlite3_mprintf("CREATE TEMP VIEW \"%w\" AS SELECT * FROM main.\"%w\" "
				    "WHERE tenant_id = current_tenant()",
		table, table);
	int code = sql ? sqlite3_exec(db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;

	sqlite3_free(sql);
	return code;
}

/* SQLite declares these tables when they are named first, and asks for that as for a CREATE TABLE:
 * so it is done before anybody is asked. */
static int name_values_of(sqlite3 *db)
{
	int code = SQLITE_OK;

	for (size_t i = 0; i < LEN(values_of) && code == SQLITE_OK; i++) {
		char sql[64];

		(void)snprintf(sql, sizeof(sql), "SELECT 1 FROM %s('[]')", values_of[i]);
		code = sqlite3_exec(db, sql, NULL, NULL, NULL);
	}
	return code;
}

int sqlite_guard_init(
	struct sqlite_guard *guard, sqlite3 *db, const struct sqlite_schema *schema, bool writes)
{
	int code;

	*guard = (struct sqlite_guard){ .db = db, .schema = schema };
	code = sqlite3_create_function_v2(db, "current_tenant", 0,
		SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, guard, current_tenant, NULL,
		NULL, NULL);
	for (size_t i = 0; i < schema->count && code == SQLITE_OK; i++)
		if (schema->tables[i].tenant)
			code = make_view(db, schema->tables[i].name.at);
	if (code == SQLITE_OK)
		code = name_values_of(db);
	if (code == SQLITE_OK)
		code = sqlite3_set_authorizer(db, authorize, guard);
	if (code != SQLITE_OK)
		return sqlite_fail(db, code);

	/* Before anything is prepared: a DELETE of all rows takes a shortcut without it. */
	if (writes)
		(void)sqlite3_preupdate_hook(db, before_row, guard);
	return 0;
}
