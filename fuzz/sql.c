/*
 * Texts of statements. The first byte says for which engine, and whether for the system. Laws of
 * tokens, of cutting and of plans; and a tenant statement that the rules take for SQLite is run on
 * a database where nothing but the views and those rules keeps two tenants apart: it must not see
 * or touch a row of the other.
 */
#include "store/sql.h"
#include "base/check.h"
#include "base/err.h"

#include <sqlite3.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the other tenant has: nothing that a text, which is ASCII, could say. */
#define SECRET "\xc5\x9d\xc3\xab\xc3\xa7\xc5\x95"

enum {
	MINE = 1,
	THEIRS = 2,
	STEPS_MAX = 200000, /* of SQLite's machine, for one statement */
	ROWS_MAX = 1000,
};

struct row {
	struct str id, title, other;
	int64_t version;
};

static const struct schema row_schema = SCHEMA(row, "Parameters.", FIELD(row, id, "x"),
	FIELD(row, title, "x"), FIELD(row, other, "x"), FIELD(row, version, "x"));

/* --- tokens ------------------------------------------------------------------------ */

static void check_gap(struct str gap, enum engine_kind engine)
{
	struct sql_scan scan = { gap, engine };
	struct sql_token token;

	CHECK(sql_next(&scan, &token) == 0 && token.kind == SQL_END);
}

static void check_tokens(struct str text, enum engine_kind engine)
{
	struct sql_scan scan = { text, engine };
	const char *at = text.at;
	struct sql_token token;
	int r;

	while ((r = sql_next(&scan, &token)) == 0 && token.kind != SQL_END) {
		CHECK(token.text.len > 0 && token.text.at >= at);
		check_gap(str_of(at, (size_t)(token.text.at - at)), engine);
		at = token.text.at + token.text.len;
		CHECK(scan.rest.at == at && at + scan.rest.len == text.at + text.len);
		CHECK(token.body.at >= token.text.at && token.body.at + token.body.len <= at);
	}
	CHECK(r == 0 || (r == -ERR_INVALID && sql_next(&scan, &token) == r));
	if (r == 0)
		check_gap(str_of(at, (size_t)(text.at + text.len - at)), engine);
}

static void check_cuts(struct str text, enum engine_kind engine)
{
	struct str rest = text, statement = { 0 }, again;
	size_t left = text.len + 1;

	while (sql_cut(&rest, engine, &statement) == 1) {
		CHECK(statement.len > 0 && rest.len < left);
		left = rest.len;
		CHECK(sql_cut(&statement, engine, &again) == 1 && statement.len == 0);
	}
}

/* --- a database of two tenants --------------------------------------------------------- */

static sqlite3 *database;
static sqlite3_stmt *theirs; /* what the other has, and who else there is */
static const struct sql_plan *running;

static void tenant_of(sqlite3_context *context, int count, sqlite3_value **values)
{
	(void)count, (void)values;
	sqlite3_result_int(context, MINE);
}

/* Nothing outside of the views is read but the target (and the arguments of table functions). */
static int watch(void *arg, int action, const char *table, const char *column, const char *schema,
	const char *view)
{
	(void)arg, (void)column;
	if (running && action == SQLITE_READ && !view && schema && strcmp(schema, "main") == 0)
		CHECK(str_eq_nocase(str_from_c(table), running->target) ||
			strcmp(table, "json_each") == 0 || strcmp(table, "json_tree") == 0);
	CHECK(!running || (action != SQLITE_PRAGMA && action != SQLITE_ATTACH &&
				  action != SQLITE_TRANSACTION && action != SQLITE_DROP_TABLE));
	return SQLITE_OK;
}

static int stop(void *arg)
{
	(void)arg;
	return 1;
}

static void run(const char *sql)
{
	CHECK(sqlite3_exec(database, sql, NULL, NULL, NULL) == SQLITE_OK);
}

static void make_table(const char *name)
{
	char *sql = sqlite3_mprintf(
		"CREATE TABLE main.%s (tenant_id INTEGER NOT NULL, id, title TEXT, version INTEGER,"
		" PRIMARY KEY (tenant_id, id), UNIQUE (title, version)) WITHOUT ROWID;"
		"INSERT INTO main.%s VALUES (1, 'a', 'mine', 1), (1, 'b', 'mine', 2),"
		" (2, 'a', '" SECRET "', 1), (2, 'b', '" SECRET "', 3);"
		"CREATE TEMP VIEW %s AS SELECT * FROM main.%s WHERE tenant_id = current_tenant()",
		name, name, name, name);

	run(sql);
	sqlite3_free(sql);
}

static void set_up(void)
{
	static const char sums[] =
		"SELECT (SELECT group_concat(tenant_id || ',' || id || ',' || title || ',' || "
		"version) FROM main.note WHERE tenant_id <> 1) || ';' || (SELECT "
		"group_concat(tenant_id || ',' || id || ',' || title || ',' || version) FROM "
		"main.tag WHERE tenant_id <> 1)";

	CHECK(sqlite3_open(":memory:", &database) == SQLITE_OK);
	CHECK(sqlite3_create_function(database, "current_tenant", 0,
		      SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL, tenant_of, NULL,
		      NULL) == SQLITE_OK);
	make_table("note");
	make_table("tag");
	run("SELECT 1 FROM json_each('[]'), json_tree('[]')"); /* looks at the schema, once */
	CHECK(sqlite3_prepare_v2(database, sums, -1, &theirs, NULL) == SQLITE_OK);
	(void)sqlite3_set_authorizer(database, watch, NULL);
	(void)sqlite3_limit(database, SQLITE_LIMIT_LENGTH, 1 << 20);
}

static void check_theirs(void)
{
	static const char all[] = "2,a," SECRET ",1,2,b," SECRET ",3";

	CHECK(sqlite3_step(theirs) == SQLITE_ROW);
	CHECK(strncmp((const char *)sqlite3_column_text(theirs, 0), all, strlen(all)) == 0);
	CHECK(strcmp((const char *)sqlite3_column_text(theirs, 0) + strlen(all) + 1, all) == 0);
	CHECK(sqlite3_reset(theirs) == SQLITE_OK);
}

static void bind(sqlite3_stmt *stmt, const struct sql_plan *plan)
{
	CHECK((size_t)sqlite3_bind_parameter_count(stmt) == plan->param_count);
	for (size_t i = 0; i < plan->param_count; i++) {
		const struct sql_param *param = &plan->params[i];
		int at = (int)i + 1;

		if (param->source == SQL_TENANT)
			(void)sqlite3_bind_int(stmt, at, MINE);
		else if (param->source == SQL_NOW || param->column == 3)
			(void)sqlite3_bind_int(stmt, at, 3);
		else if (param->column == 2)
			(void)sqlite3_bind_int(stmt, at, THEIRS);
		else
			(void)sqlite3_bind_text(stmt, at, "a", 1, SQLITE_STATIC);
	}
}

static void check_row(sqlite3_stmt *stmt)
{
	for (int i = 0; i < sqlite3_column_count(stmt); i++) {
		const char *text = (const char *)sqlite3_column_text(stmt, i);

		CHECK(!text || !strstr(text, SECRET));
	}
}

/* The engine lets no tenant statement at a table that is not one of tenants. */
static bool is_ours(const struct sql_plan *plan)
{
	for (size_t i = 0; i < plan->table_count; i++)
		if (!str_eq(plan->tables[i], S("note")) && !str_eq(plan->tables[i], S("tag")))
			return false;
	return true;
}

static void check_run(const struct sql_plan *plan)
{
	sqlite3_stmt *stmt;
	const char *rest;
	size_t rows = 0;

	if (!database)
		set_up();

	running = plan;
	if (sqlite3_prepare_v2(database, plan->text.at, -1, &stmt, &rest) == SQLITE_OK) {
		CHECK(stmt && *rest == '\0');
		CHECK(plan->verb != SQL_READ || sqlite3_stmt_readonly(stmt));
		running = NULL;
		run("SAVEPOINT s");
		bind(stmt, plan);
		sqlite3_progress_handler(database, STEPS_MAX, stop, NULL);
		while (rows++ < ROWS_MAX && sqlite3_step(stmt) == SQLITE_ROW)
			check_row(stmt);
		sqlite3_progress_handler(database, 0, NULL, NULL);
		(void)sqlite3_finalize(stmt);
		check_theirs();
		CHECK(!sqlite3_get_autocommit(database));
		run("ROLLBACK TO s; RELEASE s");
	}
	running = NULL;
}

/* --- plans ------------------------------------------------------------------------------ */

static void check_plan(const char *text, enum engine_kind engine, bool system)
{
	struct statement statement = STATEMENT(
		"st", .sql = text, .in = &row_schema, .flags = system ? STATEMENT_SYSTEM : 0);
	struct sql_plan plan;
	int r = sql_plan_make(&statement, engine, &plan);

	CHECK(r == 0 || (r == -ERR_INVALID && strncmp(err_text(), "st: ", 4) == 0));
	if (r < 0)
		return;
	CHECK(plan.text.at[plan.text.len] == 0 && strlen(plan.text.at) == plan.text.len);
	CHECK(strlen(plan.name) < sizeof(plan.name) && plan.system == system);
	CHECK((plan.verb == SQL_READ) == (plan.target.len == 0));
	if (engine == ENGINE_SQLITE && !system && is_ours(&plan))
		check_run(&plan);
	sql_plan_done(&plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum engine_kind engine;
	char *text;

	if (size == 0)
		return 0;
	engine = data[0] & 1 ? ENGINE_POSTGRES : ENGINE_SQLITE;
	text = malloc(size);
	CHECK(text);
	memcpy(text, data + 1, size - 1);

	/* tokens know no NUL at the end of a text, so none is there to be found */
	check_tokens(str_of(text, size - 1), engine);
	check_cuts(str_of(text, size - 1), engine);
	text[size - 1] = '\0';
	check_plan(text, engine, data[0] & 2);
	free(text);
	return 0;
}
