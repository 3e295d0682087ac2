/* The way of errors: it may prepare what it asks. */
#include "store/sqlite_reference.h"

#include "base/buf.h"
#include "store/sqlite_error.h"

enum { QUESTION_MAX = 8 * 1024 };

/* The parameter of the plan that the column gets its value from, by its name; -1. */
static ptrdiff_t param_of(
	const struct statement *statement, const struct sql_plan *plan, struct str column)
{
	for (size_t i = 0; i < plan->param_count; i++) {
		const struct sql_param *param = &plan->params[i];

		if (param->source == SQL_TENANT && str_eq_nocase(column, S("tenant_id")))
			return (ptrdiff_t)i;
		if (param->source == SQL_MEMBER &&
			str_eq_nocase(column, row_name(statement->in, param->column)))
			return (ptrdiff_t)i;
	}
	return -1;
}

/* The values of a foreign key. 1: it has them all and none is NULL; 0: it cannot be to blame, or
 * cannot be told. */
static int values_of(struct tx *tx, const struct statement *statement, const void *in,
	const struct sqlite_reference *reference, struct row_value *ret)
{
	const struct sql_plan *plan = statement_plan(statement, ENGINE_SQLITE);

	for (size_t i = 0; i < reference->count; i++) {
		ptrdiff_t param = param_of(statement, plan, reference->from[i]);
		int r;

		if (param < 0)
			return 0;
		r = tx_param(tx, statement, plan, (size_t)param, in, &ret[i]);
		if (r < 0)
			return r;
		if (ret[i].kind == ROW_NULL)
			return 0;
	}
	return 1;
}

static void quote(struct buf *buf, struct str name)
{
	buf_byte(buf, '"');
	for (size_t i = 0; i < name.len; i++) {
		if (name.at[i] == '"')
			buf_byte(buf, '"');
		buf_byte(buf, name.at[i]);
	}
	buf_byte(buf, '"');
}

static int prepare_question(struct sqlite_connection *connection,
	const struct sqlite_reference *reference, sqlite3_stmt **ret)
{
	struct buf sql;
	int code, r;

	buf_init(&sql, QUESTION_MAX);
	buf_append(&sql, S("SELECT 1 FROM main."));
	quote(&sql, reference->table);
	for (size_t i = 0; i < reference->count; i++) {
		buf_append(&sql, i == 0 ? S(" WHERE ") : S(" AND "));
		quote(&sql, reference->to[i]);
		buf_append(&sql, S(" = ?"));
		buf_u64(&sql, i + 1);
	}
	r = sql.failed;
	if (r == 0) {
		sqlite_guard_open(&connection->guard);
		code = sqlite3_prepare_v2(connection->db, sql.at, (int)sql.len, ret, NULL);
		sqlite_guard_close(&connection->guard);
		r = code == SQLITE_OK ? 0 : sqlite_fail(connection->db, code);
	}
	buf_done(&sql);
	return r;
}

/* 1 when no row has those values. */
static int is_missing(struct sqlite_connection *connection,
	const struct sqlite_reference *reference, const struct row_value *values)
{
	sqlite3_stmt *stmt = NULL;
	int r = prepare_question(connection, reference, &stmt), code;

	for (size_t i = 0; i < reference->count && r == 0; i++)
		r = sqlite_bind(stmt, (int)i + 1, &values[i]);
	if (r == 0) {
		code = sqlite3_step(stmt);
		r = code == SQLITE_DONE  ? 1
		    : code == SQLITE_ROW ? 0
					 : sqlite_fail(connection->db, code);
	}
	(void)sqlite3_finalize(stmt);
	return r;
}

/* The column to blame: the last that is not the tenant. */
static struct str column_of(const struct sqlite_reference *reference)
{
	for (size_t i = reference->count; i > 0; i--)
		if (!str_eq_nocase(reference->from[i - 1], S("tenant_id")))
			return reference->from[i - 1];
	return reference->from[0];
}

int sqlite_fail_reference(struct sqlite_connection *connection, struct tx *tx,
	const struct statement *statement, const void *in)
{
	const struct sql_plan *plan = statement_plan(statement, ENGINE_SQLITE);
	const struct sqlite_table *table =
		sqlite_schema_find(&connection->database->schema, plan->target);
	struct row_value values[SQLITE_REFERENCE_COLUMNS_MAX];

	if (!table || plan->verb == SQL_DELETE)
		return fail_constraint(CONSTRAINT_REFERENCED, statement, str_of(NULL, 0));

	for (size_t i = 0; i < table->reference_count; i++) {
		const struct sqlite_reference *reference = &table->references[i];
		int r = values_of(tx, statement, in, reference, values);

		if (r > 0)
			r = is_missing(connection, reference, values);
		if (r < 0)
			return r;
		if (r > 0)
			return fail_constraint(
				CONSTRAINT_REFERENCE, statement, column_of(reference));
	}
	if (plan->verb == SQL_UPDATE && table->referenced)
		return fail_constraint(CONSTRAINT_REFERENCED, statement, str_of(NULL, 0));
	return fail_constraint(CONSTRAINT_REFERENCE, statement, table->name);
}
