/* At the start, once for each statement. */
#include "store/sqlite_check.h"

#include "base/buf.h"
#include "store/sqlite_error.h"

#include <stdlib.h>

/* --- columns ------------------------------------------------------------------------ */

static int match_column(
	const struct statement *statement, struct sql_plan *plan, size_t at, const char *name)
{
	ptrdiff_t column = row_find(statement->out, str_from_c(name));

	if (column < 0)
		return fail(ERR_INVALID, "%s: column %s is no member of %s", statement->name, name,
			statement->out->type);
	for (size_t i = 0; i < at; i++)
		if (plan->columns[i] == (size_t)column)
			return fail(
				ERR_INVALID, "%s: column %s is there twice", statement->name, name);
	plan->columns[at] = (size_t)column;
	return 0;
}

static int match_columns(
	const struct statement *statement, struct sql_plan *plan, sqlite3_stmt *stmt)
{
	size_t count = (size_t)sqlite3_column_count(stmt);
	int r = 0;

	if (!statement->out != !count)
		return fail(ERR_INVALID,
			count ? "%s: it answers with rows, but has no .out"
			      : "%s: it has an .out, but answers with no rows",
			statement->name);
	if (count > SQL_COLUMNS_MAX)
		return fail(
			ERR_INVALID, "%s: more than %d columns", statement->name, SQL_COLUMNS_MAX);

	plan->columns = arena_alloc(&plan->arena, (count + 1) * sizeof(*plan->columns));
	if (!plan->columns)
		return -(int)err_last()->code;
	plan->column_count = count;
	for (size_t i = 0; i < count && r == 0; i++)
		r = match_column(statement, plan, i, sqlite3_column_name(stmt, (int)i));
	return r;
}

/* --- tables --------------------------------------------------------------------------- */

/* A tenant statement names tables of tenants only. The authorizer has seen to that as well; here is
 * what the plan knows. */
static int check_tables(struct sqlite_connection *connection, const struct statement *statement)
{
	const struct sql_plan *plan = statement_plan(statement, ENGINE_SQLITE);

	for (size_t i = 0; i < plan->table_count; i++) {
		const struct sqlite_table *table =
			sqlite_schema_find(&connection->database->schema, plan->tables[i]);

		if (!table || (!plan->system && !table->tenant))
			return fail(ERR_INVALID, "%s: %.*s is no table%s", statement->name,
				STR_ARG(plan->tables[i]), plan->system ? "" : " of tenants");
	}
	return 0;
}

/* --- the query plan ------------------------------------------------------------------- */

/* Whether the index is searched for the tenant: as its first column, or behind others that are
 * searched for, too. */
static bool of_one_tenant(struct str search)
{
	return str_find(search, S("(tenant_id=?")) >= 0 ||
	       str_find(search, S(" AND tenant_id=?")) >= 0;
}

/*
 * A line of EXPLAIN QUERY PLAN: "SEARCH main.note USING INDEX x (tenant_id=? AND id=?)". Views are
 * flattened, and tables behind them told as main.x; a plain name is the target's other one, or a
 * table that refers to it, whose rows a foreign key looks for. The rest are subqueries, which only
 * pass on what was read elsewhere.
 */
static int check_line(const struct sqlite_schema *schema, const struct statement *statement,
	const struct sql_plan *plan, struct str line)
{
	struct str rest = line, word = str_cut(&rest, ' '), of = str_cut(&rest, ' ');
	struct str alias = plan->alias;

	if (!str_starts(of, S("main.")) && !(alias.len && str_eq_nocase(of, alias)) &&
		!sqlite_schema_find(schema, of))
		return 0;
	/* DELETE ... LIMIT takes rows by the numbers that a search of its own has found, which is
	 * another line. */
	if (plan->verb == SQL_DELETE && str_eq(rest, S("USING INTEGER PRIMARY KEY (rowid=?)")))
		return 0;
	if (str_eq(word, S("SCAN")) || (str_eq(word, S("SEARCH")) && !of_one_tenant(rest)))
		return fail(ERR_INVALID, "%s: it reads more than one tenant's rows: %.*s",
			statement->name, STR_ARG(line));
	return 0;
}

static int check_query_plan(struct sqlite_connection *connection, const struct statement *statement)
{
	static const char explain[] = "EXPLAIN QUERY PLAN ";
	const struct sql_plan *plan = statement_plan(statement, ENGINE_SQLITE);
	sqlite3_stmt *stmt = NULL;
	struct buf sql;
	int code = SQLITE_NOMEM, r = 0;

	buf_init(&sql, sizeof(explain) + SQL_TEXT_MAX * 2);
	buf_append(&sql, S(explain));
	buf_append(&sql, plan->text);
	if (!sql.failed) {
		sqlite_guard_enter(&connection->guard, plan);
		code = sqlite3_prepare_v2(connection->db, sql.at, (int)sql.len, &stmt, NULL);
		sqlite_guard_leave(&connection->guard);
	}
	buf_done(&sql);
	while (code == SQLITE_OK || code == SQLITE_ROW) {
		code = sqlite3_step(stmt);
		if (code == SQLITE_ROW)
			r = check_line(&connection->database->schema, statement, plan,
				str_from_c((const char *)sqlite3_column_text(stmt, 3)));
		if (r < 0)
			break;
	}
	if (r == 0 && code != SQLITE_DONE)
		r = sqlite_fail(connection->db, code);
	(void)sqlite3_finalize(stmt);
	return r;
}

/* --- all of it -------------------------------------------------------------------------- */

static int check_prepared(struct sqlite_connection *connection, const struct statement *statement,
	struct sql_plan *plan, sqlite3_stmt *stmt)
{
	int r;

	if ((size_t)sqlite3_bind_parameter_count(stmt) != plan->param_count)
		return fail(ERR_INVALID, "%s: it has %d parameters, its plan %zu", statement->name,
			sqlite3_bind_parameter_count(stmt), plan->param_count);
	if (plan->verb == SQL_READ && !sqlite3_stmt_readonly(stmt))
		return fail(ERR_INVALID, "%s: it changes rows but does not begin like that",
			statement->name);

	r = check_tables(connection, statement);
	if (r == 0)
		r = match_columns(statement, plan, stmt);
	if (r == 0 && !plan->system)
		r = check_query_plan(connection, statement);
	return r;
}

int sqlite_check(struct sqlite_connection *connection, const struct statement *statement)
{
	struct sql_plan *plan = statement->slot->plan[ENGINE_SQLITE];
	sqlite3_stmt *stmt;
	int r;

	r = sqlite_connection_prepare(connection, statement, &stmt);
	if (r < 0)
		return r;
	r = check_prepared(connection, statement, plan, stmt);
	(void)sqlite3_finalize(stmt);
	return r;
}
