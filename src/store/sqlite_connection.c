/* Preparing, binding, stepping, and rows straight into structs. */
#include "store/sqlite_connection.h"

#include "base/mem.h"
#include "observe/clock.h"
#include "store/sqlite_error.h"
#include "store/sqlite_reference.h"

#include <errno.h>

enum {
	/* Instructions of SQLite's machine between two looks at the clock: some microseconds. */
	PROGRESS_OPS = 500,

	/* Looks that a read gets in any case. One that is over its budget before has not worked but
	 * waited, for the processor or a page; elsewhere it would wait as long. */
	BUDGET_LOOKS = 4,
};

static const char *const own_sql[SQLITE_OWNS] = {
	[SQLITE_OWN_BEGIN] = "BEGIN",
	[SQLITE_OWN_BEGIN_IMMEDIATE] = "BEGIN IMMEDIATE",
	[SQLITE_OWN_COMMIT] = "COMMIT",
	[SQLITE_OWN_ROLLBACK] = "ROLLBACK",
	[SQLITE_OWN_SAVEPOINT] = "SAVEPOINT member",
	[SQLITE_OWN_RELEASE] = "RELEASE member",
	[SQLITE_OWN_ROLLBACK_TO] = "ROLLBACK TO member",
};

/* --- what ends a transaction -------------------------------------------------------- */

static int stop_of(const struct sqlite_limits *limits)
{
	return limits->stop ? atomic_load_explicit(limits->stop, memory_order_relaxed) : 0;
}

/* Asked by SQLite now and then; not 0 interrupts the statement. */
static int progress(void *arg)
{
	struct sqlite_connection *connection = arg;
	const struct sqlite_limits *limits = &connection->limits;
	uint64_t now;

	if (!connection->tx)
		return 0;
	if (stop_of(limits))
		return 1;
	now = clock_now_ns();
	connection->looks++;
	if (now >= limits->budget_until_ns && connection->looks >= BUDGET_LOOKS)
		connection->over_budget = true;
	return now >= limits->deadline_ns || connection->over_budget;
}

static int fail_interrupted(const struct sqlite_connection *connection)
{
	int why = stop_of(&connection->limits);

	if (!why)
		why = connection->over_budget ? -ERR_UNAVAILABLE : -ERR_TIMEOUT;
	return fail((enum err_code) - why, "the transaction was interrupted: %s",
		why == -ERR_TIMEOUT       ? "its time was over"
		: why == -ERR_UNAVAILABLE ? "it takes too long here"
					  : "nobody waits for it any more");
}

/* --- opening ------------------------------------------------------------------------- */

static int prepare_own(struct sqlite_connection *connection)
{
	int code = SQLITE_OK;

	sqlite_guard_open(&connection->guard);
	for (size_t i = 0; i < SQLITE_OWNS && code == SQLITE_OK; i++)
		code = sqlite3_prepare_v3(connection->db, own_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
			&connection->own[i], NULL);
	sqlite_guard_close(&connection->guard);
	return code == SQLITE_OK ? 0 : sqlite_fail(connection->db, code);
}

int sqlite_connection_open(struct sqlite_connection *connection,
	const struct sqlite_database *database, enum sqlite_role role)
{
	int r;

	*connection = (struct sqlite_connection){ .database = database };
	r = sqlite_file_open(&database->file, role, &connection->db);
	if (r == 0)
		r = sqlite_guard_init(&connection->guard, connection->db, &database->schema,
			role == SQLITE_WRITER);
	if (r == 0)
		r = prepare_own(connection);
	if (r < 0) {
		sqlite_connection_close(connection);
		return r;
	}
	sqlite3_progress_handler(connection->db, PROGRESS_OPS, progress, connection);
	return 0;
}

void sqlite_connection_close(struct sqlite_connection *connection)
{
	CHECK(!connection->tx);
	for (size_t i = 0; i < SQLITE_OWNS; i++)
		(void)sqlite3_finalize(connection->own[i]);
	for (size_t i = 0; i < connection->statement_room; i++)
		(void)sqlite3_finalize(connection->statements[i].stmt);
	mem_free(connection->statements,
		connection->statement_room * sizeof(*connection->statements));
	if (connection->db)
		CHECK(sqlite3_close(connection->db) == SQLITE_OK); /* nothing is left open */
	*connection = (struct sqlite_connection){ 0 };
}

int sqlite_connection_do(struct sqlite_connection *connection, enum sqlite_own what)
{
	int code;

	errno = 0; /* for sqlite_fail */
	code = sqlite3_step(connection->own[what]);
	if (code == SQLITE_DONE)
		code = SQLITE_OK;
	(void)sqlite3_reset(connection->own[what]);
	return code;
}

void sqlite_connection_attach(
	struct sqlite_connection *connection, struct tx *tx, const struct sqlite_limits *limits)
{
	CHECK(!connection->tx);
	tx_begin_attempt(tx);
	tx->session = connection;
	connection->tx = tx;
	connection->limits = *limits;
	connection->over_budget = false;
	connection->looks = 0;
	connection->slow = NULL;
	connection->wrote = NULL;
	connection->guard.tenant = tx->tenant;
}

void sqlite_connection_detach(struct sqlite_connection *connection)
{
	static const struct uuid nil;

	connection->tx->session = NULL;
	connection->tx = NULL;
	connection->limits = (struct sqlite_limits){ 0 };
	connection->guard.tenant = nil;
}

/* --- preparing ------------------------------------------------------------------------ */

static int make_room(struct sqlite_connection *connection, size_t number)
{
	size_t room = MAX(statement_numbers(), number) + 1, old = connection->statement_room;
	struct sqlite_prepared *grown;

	if (number < old)
		return 0;
	grown = mem_resize(connection->statements, old * sizeof(*grown), room * sizeof(*grown));
	if (!grown)
		return -ERR_NO_MEMORY;
	memset(grown + old, 0, (room - old) * sizeof(*grown));
	connection->statements = grown;
	connection->statement_room = room;
	return 0;
}

/* Only a mistake of whoever wrote the statement, since it is prepared when it is registered. */
static int fail_prepare(
	const struct sqlite_connection *connection, const struct statement *statement, int code)
{
	const char *denied = connection->guard.denied;

	if ((code & 0xFF) != SQLITE_ERROR && (code & 0xFF) != SQLITE_AUTH)
		return sqlite_fail(connection->db, code);
	return fail(ERR_INVALID, "%s: %s", statement->name,
		denied[0] ? denied : sqlite3_errmsg(connection->db));
}

int sqlite_connection_prepare(
	struct sqlite_connection *connection, const struct statement *statement, sqlite3_stmt **ret)
{
	const struct sql_plan *plan = statement_plan(statement, ENGINE_SQLITE);
	sqlite3_stmt *stmt = NULL;
	int code;

	sqlite_guard_enter(&connection->guard, plan);
	code = sqlite3_prepare_v3(connection->db, plan->text.at, (int)plan->text.len,
		SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
	sqlite_guard_leave(&connection->guard);
	if (code != SQLITE_OK)
		return fail_prepare(connection, statement, code);
	if (!stmt)
		return fail(ERR_INVALID, "%s: it is empty", statement->name);
	*ret = stmt;
	return 0;
}

/*
 * The statement kept under its number. Statements of the same text share one, and a number may
 * belong to another text when a process has stores of both engines: so the text decides.
 */
static int find_prepared(
	struct sqlite_connection *connection, const struct statement *statement, sqlite3_stmt **ret)
{
	const struct sql_plan *plan = statement_plan(statement, ENGINE_SQLITE);
	size_t number = statement->slot->number;
	struct sqlite_prepared *prepared;
	int r;

	CHECK(number > 0);
	r = make_room(connection, number);
	if (r < 0)
		return r;
	prepared = &connection->statements[number];
	if (UNLIKELY(prepared->text != plan->text.at)) {
		if (!prepared->stmt || strcmp(sqlite3_sql(prepared->stmt), plan->text.at) != 0) {
			(void)sqlite3_finalize(TAKE(prepared->stmt));
			r = sqlite_connection_prepare(connection, statement, &prepared->stmt);
			if (r < 0)
				return r;
		}
		prepared->text = plan->text.at;
	}
	*ret = prepared->stmt;
	return 0;
}

/* --- values ---------------------------------------------------------------------------- */

int sqlite_bind(sqlite3_stmt *stmt, int number, const struct row_value *value)
{
	int code = SQLITE_OK;

	switch (value->kind) {
	case ROW_NULL: code = sqlite3_bind_null(stmt, number); break;
	case ROW_BOOL: code = sqlite3_bind_int(stmt, number, value->boolean); break;
	case ROW_INTEGER:
	case ROW_TIME: code = sqlite3_bind_int64(stmt, number, value->integer); break;
	case ROW_REAL: code = sqlite3_bind_double(stmt, number, value->real); break;
	case ROW_UUID:
		code = sqlite3_bind_blob(
			stmt, number, value->uuid, sizeof(value->uuid), SQLITE_STATIC);
		break;
	case ROW_TEXT:
	case ROW_JSON: /* a NULL pointer would be a NULL */
		code = sqlite3_bind_text64(stmt, number, value->text.len ? value->text.at : "",
			value->text.len, SQLITE_STATIC, SQLITE_UTF8);
		break;
	}
	if (code == SQLITE_OK)
		return 0;
	return code == SQLITE_TOOBIG ? fail(ERR_TOO_LARGE, "a value is too large")
				     : sqlite_fail(NULL, code);
}

/* A value as SQLite has it; the column's table decides what it becomes. */
static int read_column(sqlite3_stmt *stmt, int at, enum row_kind wanted, struct row_value *ret)
{
	switch (sqlite3_column_type(stmt, at)) {
	case SQLITE_NULL: ret->kind = ROW_NULL; return 0;
	case SQLITE_INTEGER:
		ret->kind = ROW_INTEGER;
		ret->integer = sqlite3_column_int64(stmt, at);
		return 0;
	case SQLITE_FLOAT:
		ret->kind = ROW_REAL;
		ret->real = sqlite3_column_double(stmt, at);
		return 0;
	case SQLITE_TEXT:
		ret->kind = ROW_TEXT;
		ret->text.at = (const char *)sqlite3_column_text(stmt, at);
		ret->text.len = (size_t)sqlite3_column_bytes(stmt, at);
		return ret->text.at ? 0 : fail(ERR_NO_MEMORY, "no memory for a column");
	default: break;
	}
	if (wanted != ROW_UUID || sqlite3_column_bytes(stmt, at) != sizeof(ret->uuid))
		return fail(ERR_INTERNAL, "column %s holds bytes that are no UUID",
			sqlite3_column_name(stmt, at));
	ret->kind = ROW_UUID;
	memcpy(ret->uuid, sqlite3_column_blob(stmt, at), sizeof(ret->uuid));
	return 0;
}

static int read_row(struct tx *tx, const struct statement *statement, const struct sql_plan *plan,
	sqlite3_stmt *stmt, struct tx_rows *rows)
{
	void *to;
	int r = rows->place(rows, &to);

	for (size_t i = 0; i < plan->column_count && r == 0; i++) {
		size_t column = plan->columns[i];
		struct row_value value;

		r = read_column(stmt, (int)i, row_kind(statement->out, column), &value);
		if (r == 0)
			r = row_set(statement->out, column, &value, tx->arena, to);
	}
	return r < 0 ? r : rows->taken(rows);
}

/* --- stepping --------------------------------------------------------------------------- */

/* One statement on its way. */
struct step {
	struct sqlite_connection *connection;
	struct tx *tx;
	const struct statement *statement;
	const struct sql_plan *plan;
	sqlite3_stmt *stmt;
	struct row_value values[SQL_PARAMS_MAX]; /* what is bound points in here */
};

static int bind(struct step *step, const void *in)
{
	for (size_t i = 0; i < step->plan->param_count; i++) {
		int r = tx_param(step->tx, step->statement, step->plan, i, in, &step->values[i]);

		if (r == 0)
			r = sqlite_bind(step->stmt, (int)i + 1, &step->values[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int fail_violated(const struct step *step)
{
	int unseen = step->connection->guard.unseen;

	if (unseen != SQLITE_OK)
		return sqlite_fail(NULL, unseen);
	return fail(ERR_INTERNAL, "statement %s touches a row of another tenant",
		step->statement->name);
}

/* Steps to the end, or until no more rows are wanted. The last result code goes to `ret_code`. */
static int step_rows(struct step *step, struct tx_rows *rows, int *ret_code)
{
	struct sqlite_connection *connection = step->connection;
	int r = 0;

	while (r == 0) {
		*ret_code = sqlite3_step(step->stmt);
		if (connection->guard.violated)
			return fail_violated(step);
		if (*ret_code != SQLITE_ROW)
			break;
		if (rows)
			r = read_row(step->tx, step->statement, step->plan, step->stmt, rows);
	}
	return r < 0 ? r : 0;
}

static int fail_step(struct step *step, const void *in, int code)
{
	struct sqlite_connection *connection = step->connection;

	if ((code & 0xFF) == SQLITE_INTERRUPT) {
		if (connection->over_budget)
			connection->slow = step->statement;
		return fail_interrupted(connection);
	}
	if (code == SQLITE_CONSTRAINT_FOREIGNKEY)
		return sqlite_fail_reference(connection, step->tx, step->statement, in);
	if (sqlite_is_constraint(code))
		return sqlite_fail_constraint(connection->db, code, step->statement);
	return sqlite_fail(connection->db, code);
}

static int count_changes(struct step *step, size_t *changed)
{
	size_t count = 0;

	if (step->plan->verb != SQL_READ)
		count = (size_t)sqlite3_changes64(step->connection->db);
	if (changed)
		*changed = count;
	return step->plan->verb == SQL_READ ? 0 : statement_expects(step->statement, count);
}

int sqlite_connection_step(struct tx *tx, const struct statement *statement, const void *in,
	struct tx_rows *rows, size_t *changed)
{
	struct sqlite_connection *connection = tx->session;
	struct step step;
	int code = SQLITE_DONE, r;

	step.connection = connection;
	step.tx = tx;
	step.statement = statement;
	step.plan = statement_plan(statement, ENGINE_SQLITE);
	if (step.plan->verb != SQL_READ)
		connection->wrote = statement;
	CHECK(!step.plan->system || (tx->system && !tx->entered));
	if (stop_of(&connection->limits))
		return fail_interrupted(connection);
	r = find_prepared(connection, statement, &step.stmt);
	if (r == 0)
		r = bind(&step, in);
	if (r < 0)
		return r;

	sqlite_guard_enter(&connection->guard, step.plan);
	r = step_rows(&step, rows, &code);
	(void)sqlite3_reset(step.stmt); /* or it would keep the state of the database it reads */
	sqlite_guard_leave(&connection->guard);

	if (r < 0)
		return r;
	if (code != SQLITE_DONE && code != SQLITE_ROW)
		return fail_step(&step, in, code);
	return count_changes(&step, changed);
}

int sqlite_connection_enter(struct tx *tx)
{
	struct sqlite_connection *connection = tx->session;

	/* A statement that gives its rows must not find another tenant half way. */
	if (tx->stepping)
		return fail(ERR_INTERNAL, "no tenant is entered or left between two rows");
	connection->guard.tenant = tx->tenant;
	return 0;
}
