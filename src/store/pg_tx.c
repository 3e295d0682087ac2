/*
 * Transactions on a connection, in as few round trips as there can be: what begins one travels with
 * its first statement, what ends one with its last, and changes whose answer nobody wants are not
 * waited for. A transaction of one statement is one round trip, with a few exceptions that would
 * otherwise be committed before their failure is seen (`ends_itself`).
 *
 * What is certain: a transaction is run again only when it was surely not committed. Once its
 * COMMIT is on the way and the connection breaks, nobody knows, and the caller is told so.
 */
#include "store/pg.h"

#include "base/num.h"
#include "crypto/random.h"
#include "observe/clock.h"
#include "observe/log.h"

/* How long a commit is waited for when its caller's time is over. */
#define GRACE (10 * SECOND)

/* Between two runs: chance, at first up to this, or to what the run took if that is more; never
 * more than that much. */
#define BACK_OFF      (8 * MILLISECOND)
#define BACK_OFF_MOST (2 * SECOND)

enum { LOSSES_MAX = 1, STALES_MAX = 4, SURPRISES_MAX = 3, SURPLUS_MAX = 1000 };

/* One run of a transaction. */
struct pg_session {
	struct pg_engine *engine;
	struct tx *tx;
	struct pg_connection *connection;
	bool begun;     /* BEGIN has been queued */
	bool closing;   /* so has COMMIT */
	bool plan_once; /* what is sent from now on */
	bool uncertain; /* it may have been committed */
	bool doubtful;  /* an answer that is not there yet may be a reason to roll back */
	size_t changes; /* statements that change something */
	bool expecting; /* one of them wants to have touched a row */
	int cut_off;    /* the caller's time ended while the commit was on the way: why */
	enum pg_trouble trouble;
};

/* --- sending ------------------------------------------------------------------------ */

static int send_command(struct pg_session *session, enum pg_command command,
	const struct pg_value *values, enum pg_expected_kind kind)
{
	const struct pg_engine *engine = session->engine;
	const struct pg_expected expected = { .kind = kind };

	return pg_send(session->connection, &engine->commands[session->tx->system][command], values,
		!engine->unprepared, &expected);
}

static struct pg_value text_value(const char *text, size_t len)
{
	return (struct pg_value){ .at = text, .len = (int)len };
}

/* Says who the rows are of, in the same flush as what follows. */
static int send_opening(struct pg_session *session)
{
	const struct tx *tx = session->tx;
	bool soft = !tx->read_only && tx->options.durability == TX_SOFT;
	char id[UUID_TEXT_LEN];
	struct pg_value value = text_value(id, sizeof(id));

	uuid_write(id, &tx->home);
	return send_command(
		session, soft ? PG_OPENING_SOFT : PG_OPENING, &value, PG_EXPECT_COMMAND);
}

static int begin(struct pg_session *session)
{
	const struct tx *tx = session->tx;
	enum pg_command command = tx->read_only ? PG_BEGIN_READ_ONLY
				  : tx->options.isolation == TX_READ_COMMITTED
					  ? PG_BEGIN_READ_COMMITTED
					  : PG_BEGIN_SERIALIZABLE;
	int r;

	if (session->begun)
		return 0;
	session->begun = true;
	r = send_command(session, command, NULL, PG_EXPECT_COMMAND);
	return r < 0 ? r : send_opening(session);
}

/*
 * The number of rows that a change has touched can be wrong, which the server does not mind. When
 * it can only be none or one, and there is no other change, a commit does no harm: there is nothing
 * in it.
 */
static void note_change(struct pg_session *session, const struct statement *statement)
{
	const struct sql_plan *plan = statement_plan(statement, ENGINE_POSTGRES);

	if (plan->verb == SQL_READ)
		return;
	session->changes++;
	if (statement->expect != EXPECT_ANY && !plan->at_most_one)
		session->doubtful = true;
	session->expecting |= statement->expect != EXPECT_ANY;
}

static int plan_once(struct pg_session *session, const struct statement *statement)
{
	if (!(statement->flags & STATEMENT_PLAN_ONCE) || session->plan_once)
		return 0;
	session->plan_once = true;
	return send_command(session, PG_PLAN_ONCE, NULL, PG_EXPECT_COMMAND);
}

static int send_statement(struct pg_session *session, const struct statement *statement,
	const void *in, struct tx_rows *rows, size_t *changed)
{
	const struct sql_plan *plan = statement_plan(statement, ENGINE_POSTGRES);
	const struct pg_expected expected = { .kind = PG_EXPECT_STATEMENT,
		.statement = statement,
		.rows = rows,
		.changed = changed };
	struct pg_value values[SQL_PARAMS_MAX];
	Oid types[SQL_PARAMS_MAX];
	const struct pg_text text = { .number = PG_COMMANDS + statement->slot->number,
		.name = plan->name,
		.text = plan->text.at,
		.types = types,
		.count = plan->param_count };

	for (size_t i = 0; i < plan->param_count; i++) {
		struct row_value value;
		int r = tx_param(session->tx, statement, plan, i, in, &value);

		types[i] = plan->params[i].type;
		if (r == 0)
			r = pg_value_write(&value, types[i], session->tx->arena, &values[i]);
		if (r < 0)
			return r;
	}
	note_change(session, statement);
	return pg_send(session->connection, &text, values, !session->engine->unprepared, &expected);
}

/* --- rows --------------------------------------------------------------------------- */

static int read_row(const struct statement *statement, const PGresult *result, int row,
	struct arena *arena, void *to)
{
	const struct sql_plan *plan = statement_plan(statement, ENGINE_POSTGRES);

	for (size_t i = 0; i < plan->column_count; i++) {
		int column = (int)i, r = 0;
		struct row_value value = { ROW_NULL };

		if (!PQgetisnull(result, row, column))
			r = pg_value_read(plan->column_types[i],
				str_of(PQgetvalue(result, row, column),
					(size_t)PQgetlength(result, row, column)),
				&value);
		if (r == 0)
			r = row_set(statement->out, plan->columns[i], &value, arena, to);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The columns may have changed since the start, by a migration of a newer program. */
static int check_columns(const struct statement *statement, const PGresult *result)
{
	const struct sql_plan *plan = statement_plan(statement, ENGINE_POSTGRES);
	bool same = (size_t)PQnfields(result) == plan->column_count;

	for (size_t i = 0; same && i < plan->column_count; i++)
		same = PQftype(result, (int)i) == plan->column_types[i];
	return same ? 0
		    : fail(ERR_INTERNAL, "the columns of statement %s are not what they were",
			      statement->name);
}

/* 1 when no more rows are wanted. */
static int read_rows(
	const struct pg_expected *expected, const PGresult *result, struct arena *arena)
{
	struct tx_rows *rows = expected->rows;
	int count = PQntuples(result), r = check_columns(expected->statement, result);

	for (int i = 0; i < count && r == 0; i++) {
		void *to;

		r = rows->place(rows, &to);
		if (r == 0)
			r = read_row(expected->statement, result, i, arena, to);
		if (r == 0)
			r = rows->taken(rows);
	}
	return r;
}

static int read_count(const struct pg_expected *expected, const PGresult *result)
{
	const struct sql_plan *plan = statement_plan(expected->statement, ENGINE_POSTGRES);
	uint64_t changed = 0;

	(void)num_parse_u64(str_from_c(PQcmdTuples((PGresult *)result)), &changed);
	if (expected->changed)
		*expected->changed = changed;
	return plan->verb == SQL_READ ? 0 : statement_expects(expected->statement, changed);
}

/* --- receiving ------------------------------------------------------------------------ */

/* A prepared statement is not there, or there already: a pooler gave us another server. When that
 * goes on, prepared statements are given up. */
static void note_stale(struct pg_session *session, const struct pg_expected *expected)
{
	struct pg_engine *engine = session->engine;

	if (expected->kind == PG_EXPECT_STATEMENT)
		pg_unprepare(session->connection, PG_COMMANDS + expected->statement->slot->number);
	session->connection->lost = true; /* what else it has is not known either */
	if (atomic_fetch_add(&engine->surprises, 1) + 1 == SURPRISES_MAX &&
		!atomic_exchange(&engine->unprepared, true))
		log_warn("prepared statements are not kept, so they are not used any more: is "
			 "there a pooler in transaction mode?");
}

/* The first error of a transaction; others only follow from it. */
static int take_error(
	struct pg_session *session, const struct pg_expected *expected, const PGresult *result)
{
	const struct statement *statement =
		expected->kind == PG_EXPECT_STATEMENT ? expected->statement : NULL;
	int r;

	session->trouble = pg_error(result, &session->engine->catalog, statement, &r);
	if (session->trouble == PG_STALE)
		note_stale(session, expected);
	if (session->trouble == PG_GONE) {
		session->connection->lost = true;
		session->uncertain = session->closing && expected->kind == PG_EXPECT_COMMIT;
	}
	if (r == -ERR_TIMEOUT && session->cut_off)
		r = fail((enum err_code) - session->cut_off,
			"the transaction was stopped when its caller's time was over");
	return r;
}

static int take_result(struct pg_session *session, const struct pg_expected *expected,
	const PGresult *result, bool *enough)
{
	int r = 0;

	switch (PQresultStatus(result)) {
	case PGRES_SINGLE_TUPLE:
	case PGRES_TUPLES_OK:
	case PGRES_COMMAND_OK:
		if (expected->kind != PG_EXPECT_STATEMENT || expected->nobodys || session->trouble)
			return 0;
		if (expected->rows && !*enough)
			r = read_rows(expected, result, session->tx->arena);
		*enough |= r != 0;
		if (r >= 0 && PQresultStatus(result) != PGRES_SINGLE_TUPLE)
			r = read_count(expected, result);
		if (r < 0)
			session->trouble = PG_REFUSED;
		return MIN(r, 0);
	case PGRES_PIPELINE_ABORTED:
		if (expected->kind == PG_EXPECT_PREPARED)
			pg_unprepare(session->connection, expected->number);
		return 0;
	default:
		if (expected->kind == PG_EXPECT_PREPARED)
			pg_unprepare(session->connection, expected->number);
		return expected->nobodys || session->trouble
			       ? 0
			       : take_error(session, expected, result);
	}
}

/* The caller's time is over while the commit is on the way. The server is told to stop, and its
 * answer says which was faster. */
static int cut_off(struct pg_session *session, int r)
{
	struct pg_connection *connection = session->connection;
	bool in_call = connection->in_call;

	if (!session->closing || session->cut_off) {
		session->trouble = PG_ABANDONED;
		session->uncertain = session->closing;
		return r;
	}
	session->cut_off = r;
	if (in_call)
		nopark_end();
	pg_pool_interrupt(connection);
	if (in_call)
		nopark_begin();
	return 0;
}

static int fetch(struct pg_session *session, PGresult **ret)
{
	for (;;) {
		uint64_t former = 0;
		int r;

		if (session->cut_off)
			former = shield_begin(sched_now() + GRACE);
		r = pg_fetch(session->connection, ret);
		if (session->cut_off)
			shield_end(former);

		if (r == -ERR_TIMEOUT || r == -ERR_CANCELLED) {
			r = cut_off(session, r);
			if (r == 0)
				continue;
		} else if (r < 0) {
			session->trouble = PG_GONE;
			session->uncertain = session->closing;
		}
		return r;
	}
}

/* Whether libpq hands out rows as they come. Otherwise it gathers all of them first, which is
 * faster for a few and needs memory without a bound for many. */
static bool one_by_one(const struct pg_expected *expected)
{
	const struct tx_rows *rows = expected->rows;

	if (expected->nobodys || !rows)
		return false;
	return !rows->again || !statement_plan(expected->statement, ENGINE_POSTGRES)->few_rows;
}

/* All results of what is next in line. */
static int receive_one(struct pg_session *session)
{
	const struct pg_expected *expected = pg_next(session->connection);
	size_t surplus = 0;
	bool enough = false;
	int first = 0;

	if (one_by_one(expected))
		(void)PQsetSingleRowMode(session->connection->pg);
	for (;;) {
		PGresult *result;
		bool last;
		int r = fetch(session, &result);

		if (r < 0)
			return r;
		last = !result || PQresultStatus(result) == PGRES_PIPELINE_SYNC;
		if (!last) {
			r = take_result(session, expected, result, &enough);
			first = first ? first : r;
			surplus += first < 0;
		}
		PQclear(result);
		if (last)
			break;
		if (surplus > SURPLUS_MAX) { /* who knows how many rows there still are */
			session->trouble = PG_ABANDONED;
			return first;
		}
	}
	pg_done(session->connection);
	return first;
}

/* Everything that was asked for. An error ends it, since what follows is skipped by the server;
 * unless that has an end of its own, which must be seen. */
static int receive(struct pg_session *session)
{
	int first = 0;

	while (pg_next(session->connection)) {
		int r = receive_one(session);

		first = first ? first : r;
		if (r < 0 && (!session->closing || session->trouble >= PG_GONE))
			return first;
	}
	session->doubtful = session->expecting = false;
	return first;
}

/* --- statements ------------------------------------------------------------------------ */

/*
 * Whether the end of a transaction of one statement may travel with it: when its answer cannot be a
 * reason to roll back, because it touches one row at most, or because any number is welcome.
 */
static bool ends_itself(const struct tx *tx)
{
	const struct tx_single *single = tx->single;
	const struct sql_plan *plan;

	if (!single)
		return false;
	plan = statement_plan(single->statement, ENGINE_POSTGRES);
	return tx->read_only || plan->at_most_one ||
	       (!single->rows && single->statement->expect == EXPECT_ANY);
}

static int send_end(struct pg_session *session)
{
	int r = 0;

	if (session->begun)
		r = send_command(session, PG_COMMIT, NULL, PG_EXPECT_COMMIT);
	if (r == 0)
		r = pg_send_sync(session->connection);
	session->closing = r == 0 && !session->tx->read_only;
	return r;
}

/* A failure to send is one of the connection; of our own making otherwise. */
static int sent(struct pg_session *session, int r)
{
	if (r < 0 && session->connection->lost)
		session->trouble = PG_GONE;
	return r;
}

/* Makes room for what a statement and the end of the transaction take. */
static int make_room(struct pg_session *session)
{
	int r;

	if (session->connection->count <= PG_PIPELINE_MAX - PG_PIPELINE_ROOM)
		return 0;
	r = sent(session, pg_send_flush(session->connection));
	return r < 0 ? r : receive(session);
}

int pg_tx_step(struct tx *tx, const struct statement *statement, const void *in,
	struct tx_rows *rows, size_t *changed)
{
	struct pg_session *session = tx->session;
	bool whole = ends_itself(tx);
	int r = make_room(session);

	if (r < 0)
		return r;
	if (whole && tx->read_only)
		r = send_opening(session); /* a transaction by itself, up to the Sync */
	else
		r = begin(session);
	if (r == 0)
		r = plan_once(session, statement);
	if (r == 0)
		r = send_statement(session, statement, in, rows, changed);
	if (r == 0 && whole)
		r = send_end(session);
	else if (r == 0 && (rows || changed))
		r = pg_send_flush(session->connection);
	if (r < 0)
		return sent(session, r);
	return whole || rows || changed ? receive(session) : 0;
}

int pg_tx_enter(struct tx *tx)
{
	struct pg_session *session = tx->session;
	const struct pg_engine *engine = session->engine;
	const char *role = tx->entered ? engine->login : engine->role;
	char id[UUID_TEXT_LEN];
	struct pg_value values[] = { text_value(role, strlen(role)), text_value(id, sizeof(id)) };
	int r = make_room(session);

	if (r < 0)
		return r;
	uuid_write(id, &tx->tenant);
	r = begin(session);
	if (r == 0)
		r = send_command(session, PG_ENTER, values, PG_EXPECT_COMMAND);
	return sent(session, r);
}

/* --- the end ------------------------------------------------------------------------------ */

static int scope_error(void)
{
	const struct scope *scope = fiber_current()->scope;

	if (fiber_current()->shield_ns || !scope_over(scope))
		return 0;
	return scope->cancelled
		       ? fail((enum err_code) - scope->cancelled,
				 "the transaction was cancelled before its commit")
		       : fail(ERR_TIMEOUT, "the transaction's time was over before its commit");
}

/* Waits for what may be a reason not to commit. */
static int resolve_doubts(struct pg_session *session)
{
	int r;

	if (!session->doubtful && !(session->expecting && session->changes > 1))
		return 0;
	if (session->connection->count == 0)
		return 0;
	r = sent(session, pg_send_flush(session->connection));
	return r < 0 ? r : receive(session);
}

static int commit(struct pg_session *session)
{
	struct pg_connection *connection = session->connection;
	bool unread = connection->count > 0;
	int r;

	if (!session->begun || session->closing)
		return 0;
	r = scope_error();
	if (r == 0)
		r = resolve_doubts(session);
	if (r == 0)
		r = sent(session, send_end(session));
	if (r < 0)
		return r;
	if (session->tx->read_only && !unread) { /* nothing depends on it */
		pg_forget(connection);
		return 0;
	}
	return receive(session);
}

/* Rolls back without waiting: whoever has the connection next reads past it. The Sync in front
 * makes the server take the command after an error. */
static void roll_back(struct pg_session *session)
{
	struct pg_connection *connection = session->connection;

	if (session->begun && !connection->lost &&
		(pg_send_sync(connection) < 0 ||
			send_command(session, PG_ROLLBACK, NULL, PG_EXPECT_ANYTHING) < 0 ||
			pg_send_sync(connection) < 0))
		connection->lost = true;
	pg_forget(connection);
}

/* Parts with the connection. */
static int part(struct pg_session *session, int r)
{
	struct pg_connection *connection = session->connection;
	struct err err;

	if (r == 0 && !session->cut_off) {
		pg_pool_give(connection);
		return 0;
	}
	err = *err_last();
	if (session->cut_off || session->trouble == PG_GONE)
		connection->lost = true; /* the word to stop may still be on its way */
	else if (session->trouble != PG_ABANDONED)
		roll_back(session);
	pg_forget(connection);
	if (session->trouble == PG_ABANDONED)
		pg_pool_cancel(connection);
	else
		pg_pool_give(connection);
	if (r < 0)
		(void)err_restore(&err);
	return r; /* even when the function that gave it did not fill the slot */
}

/* --- runs ---------------------------------------------------------------------------------- */

/*
 * A pooler counts the ends of transactions that are still to come and takes the server away when it
 * has seen them all, even if the beginning of another one has passed it since: its answers would go
 * to somebody else. So behind one nothing is sent before the former end was answered (as it mostly
 * was, long ago).
 */
static int see_the_end(struct pg_session *session)
{
	int r;

	if (!session->connection->pooled || !pg_next(session->connection))
		return 0;
	r = receive(session);
	if (r < 0 && session->trouble == PG_FINE)
		session->trouble = PG_GONE;
	return r;
}

static int run_once(struct pg_session *session)
{
	struct tx *tx = session->tx;
	int r = see_the_end(session);

	if (r < 0)
		return part(session, r);
	tx_begin_attempt(tx);
	tx->session = session;
	session->connection->in_call = true;
	r = tx_call(tx);
	session->connection->in_call = false;
	if (r == 0 && session->trouble == PG_FINE)
		r = commit(session);
	return part(session, r);
}

/* The whole of the wait is random, so that those who met do not meet again, and its bound doubles:
 * how many are at the same row shows only in how often they met. Runs that take longer, as all do
 * where there is too much to do, need more room to miss each other. */
static int back_off(unsigned conflicts, uint64_t run_ns)
{
	uint64_t most = MIN(MAX(BACK_OFF, run_ns) << (conflicts - 1), BACK_OFF_MOST);

	return fiber_sleep_until(sched_now() + random_u64() % most);
}

static const char *name_of(const struct tx *tx)
{
	if (tx->options.name)
		return tx->options.name;
	return tx->single ? tx->single->statement->name : tx->read_only ? "read" : "write";
}

/* What is counted over all runs. */
struct runs {
	unsigned losses, stales, conflicts;
	uint64_t began_ns; /* the last one */
};

/* After a failure: 0 to run again, or the error. */
static int judge(const struct pg_session *session, struct runs *runs, int r)
{
	const struct pg_engine *engine = session->engine;
	const struct tx *tx = session->tx;

	switch (session->trouble) {
	case PG_CONFLICT:
		metric_count(engine->conflicts, 1);
		if (++runs->conflicts == TX_ATTEMPTS)
			return fail(ERR_UNAVAILABLE, "transaction %s met conflicts %d times",
				name_of(tx), TX_ATTEMPTS);
		return back_off(runs->conflicts, clock_now_ns() - runs->began_ns);
	case PG_STALE: return ++runs->stales <= STALES_MAX ? 0 : r;
	case PG_GONE:
	case PG_ABANDONED:
		if (session->uncertain) {
			metric_count(engine->unknown, 1);
			return fail(ERR_UNAVAILABLE,
				"the connection to the database was lost while transaction %s was "
				"being committed: whether it was is unknown",
				name_of(tx));
		}
		if (session->trouble == PG_ABANDONED)
			return r;
		if (++runs->losses <= LOSSES_MAX)
			return 0;
		return fail(ERR_UNAVAILABLE, "the connection to the database was lost");
	default: return r;
	}
}

int pg_tx_run(struct engine *engine, struct tx *tx)
{
	struct pg_engine *pg = CONTAINER_OF(engine, struct pg_engine, engine);
	struct runs runs = { 0 };

	for (;;) {
		struct pg_session session = { .engine = pg, .tx = tx };
		int r = scope_error();

		if (r == 0)
			r = pg_pool_take(
				tx->system ? &pg->system : &pg->tenant, &session.connection);
		if (r < 0)
			return r;
		CHECK(session.connection);
		runs.began_ns = clock_now_ns();
		r = run_once(&session);
		if (r == 0)
			return 0;
		r = judge(&session, &runs, r);
		if (r < 0)
			return r;
		metric_count(pg->repetitions, 1);
	}
}
