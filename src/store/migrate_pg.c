/*
 * Migrations of a PostgreSQL database, by the owner of the tables. One migrator at a time, by an
 * advisory lock; each migration in one transaction with its row of history and with row-level
 * security for what it has made, so that a table of tenants is never there without. What must run
 * CONCURRENTLY is noted as begun first, and taken up from there after a crash.
 */
#include "store/migrate_pg.h"

#include "base/err.h"
#include "base/num.h"
#include "observe/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define HISTORY                                                                                    \
	"CREATE TABLE main.migration ("                                                            \
	"module text NOT NULL, number bigint NOT NULL, sum text NOT NULL, title text NOT NULL, "   \
	"version text NOT NULL, beside text NOT NULL, applied_us bigint NOT NULL, "                \
	"PRIMARY KEY (module, number))"

enum {
	LOCK_PAUSE_MS = 100,
	STEP_TRIES = 5, /* of one that meets locks or a deadlock */
	STEP_PAUSE_MS = 1000,
	CONNECT_S = 5,
};

/* --- talking to it ----------------------------------------------------------------- */

static void pause_ms(long ms)
{
	struct timespec pause = { ms / 1000, (ms % 1000) * (long)MILLISECOND };

	(void)nanosleep(&pause, NULL);
}

static bool state_begins(const char *state, const char *with)
{
	return strncmp(state, with, strlen(with)) == 0;
}

/* Somebody else was in the way; the same may work in a moment. */
static bool met_others(const struct pg_migrator *pg)
{
	return state_begins(pg->state, "55P03") || state_begins(pg->state, "40P01") ||
	       state_begins(pg->state, "40001");
}

/* What libpq itself has to say. */
static struct str first_line(const PGconn *connection)
{
	struct str rest = str_from_c(PQerrorMessage(connection));

	return str_cut(&rest, '\n');
}

static int fail_pg(struct pg_migrator *pg, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	bool unavailable;

	(void)snprintf(pg->state, sizeof(pg->state), "%s", state ? state : "");
	unavailable = !pg->state[0] || met_others(pg) || state_begins(pg->state, "08") ||
		      state_begins(pg->state, "53") || state_begins(pg->state, "57P");
	if (!message) {
		struct str line = first_line(pg->connection);

		return fail(unavailable ? ERR_UNAVAILABLE : ERR_INVALID, "%.*s", STR_ARG(line));
	}
	return fail(unavailable ? ERR_UNAVAILABLE : ERR_INVALID, "%s%s%s", message,
		detail ? ": " : "", detail ? detail : "");
}

int pg_migrator_run(struct pg_migrator *pg, const char *sql, size_t count,
	const char *const *values, PGresult **ret)
{
	PGresult *result =
		PQexecParams(pg->connection, sql, (int)count, NULL, values, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(result);
	int r = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
				status == PGRES_EMPTY_QUERY
			? 0
			: fail_pg(pg, result);

	if (r == 0 && ret)
		*ret = result;
	else
		PQclear(result);
	return r;
}

int pg_migrator_do(struct pg_migrator *pg, const char *sql)
{
	return pg_migrator_run(pg, sql, 0, NULL, NULL);
}

/* Rolls back after a failure and keeps its error. */
static int undo(struct pg_migrator *pg, int r)
{
	struct err err = *err_last();
	char state[sizeof(pg->state)];

	memcpy(state, pg->state, sizeof(state));
	(void)pg_migrator_do(pg, "ROLLBACK");
	memcpy(pg->state, state, sizeof(state));
	(void)fail(err.code, "%s", err.frames[0].text);
	return r;
}

/* --- connecting --------------------------------------------------------------------- */

static void ignore_notice(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

/* NUL behind it, as libpq wants it. */
static int copy_url(struct migrate_run *run, struct str url, const char **ret)
{
	struct str copy = arena_str(&run->arena, url);

	*ret = copy.at;
	return copy.at ? 0 : -(int)err_last()->code;
}

/* What libpq says of a URL that it cannot read may hold the password. */
static int check_url(const char *url)
{
	PQconninfoOption *options = PQconninfoParse(url, NULL);

	PQconninfoFree(options);
	return options ? 0 : fail(ERR_INVALID, "the URL of the database cannot be read");
}

/* The login in the URL of the program. */
static int read_app(struct pg_migrator *pg, const char *url)
{
	PQconninfoOption *options = PQconninfoParse(url, NULL);
	const char *user = NULL;
	int r = 0;

	for (PQconninfoOption *option = options; option && option->keyword; option++)
		if (strcmp(option->keyword, "user") == 0)
			user = option->val;
	if (!options)
		r = fail(ERR_INVALID, "the URL of the database cannot be read");
	else if (!user || !user[0])
		r = fail(ERR_INVALID, "the URL of the database names no user");
	else if (strlen(user) + strlen("_system") > PG_NAME_MAX)
		r = fail(ERR_INVALID, "the user of the database has a name of more than %zu bytes",
			PG_NAME_MAX - strlen("_system"));
	if (r == 0) {
		(void)snprintf(pg->app, sizeof(pg->app), "%s", user);
		(void)snprintf(pg->system, sizeof(pg->system), "%.*s_system",
			(int)(PG_NAME_MAX - strlen("_system")), user);
	}
	PQconninfoFree(options);
	return r;
}

static int connect_to(struct migrate_run *run, struct pg_migrator *pg)
{
	const struct migration_options *options = run->options;
	uint64_t seconds = options->store.connect_ns / SECOND;
	const char *app = NULL, *url = NULL,
		   *keys[] = { "dbname", "application_name", "client_encoding", "connect_timeout",
			   NULL };
	char timeout[NUM_TEXT_MAX + 1];
	struct str text;
	int r = copy_url(run, options->store.url, &app);

	text = options->owner_url.len          ? options->owner_url
	       : options->store.direct_url.len ? options->store.direct_url
					       : options->store.url;
	if (r == 0)
		r = read_app(pg, app);
	if (r == 0)
		r = copy_url(run, text, &url);
	if (r == 0)
		r = check_url(url);
	if (r < 0)
		return r;

	timeout[num_write_u64(timeout, seconds ? seconds : CONNECT_S)] = '\0';
	pg->connection = PQconnectdbParams(
		keys, (const char *const[]){ url, "bulkhead migrate", "UTF8", timeout, NULL }, 1);
	if (PQstatus(pg->connection) != CONNECTION_OK) {
		struct str line = first_line(pg->connection);

		return fail(ERR_UNAVAILABLE, "cannot connect to migrate: %.*s", STR_ARG(line));
	}
	(void)PQsetNoticeReceiver(pg->connection, ignore_notice, NULL);
	return 0;
}

/* Nothing is found that is not named with its schema, and nothing waits for ever behind a lock that
 * others wait behind in turn. */
static int set_up(struct pg_migrator *pg)
{
	static const char *const settings[] = { "SET search_path = pg_catalog",
		"SET statement_timeout = 0", "SET idle_in_transaction_session_timeout = 0",
		"SET lock_timeout = '5s'", "SET row_security = on" };
	PGresult *result = NULL;
	int r = 0;

	for (size_t i = 0; i < LEN(settings) && r == 0; i++)
		r = pg_migrator_do(pg, settings[i]);
	if (r == 0)
		r = pg_migrator_run(pg, "SELECT current_user", 0, NULL, &result);
	if (r < 0)
		return r;
	(void)snprintf(pg->owner, sizeof(pg->owner), "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
	return 0;
}

/* The lock ends with the connection at the latest. Asking again and again, not waiting in the
 * server, where CREATE INDEX CONCURRENTLY would in turn wait for us. */
static int take_lock(struct migrate_run *run, struct pg_migrator *pg)
{
	uint64_t end_ns = clock_now_ns() + run->wait_ns;
	bool told = false;

	for (;;) {
		PGresult *result = NULL;
		bool taken;
		int r = pg_migrator_run(
			pg, "SELECT pg_try_advisory_lock(" MIGRATE_LOCK_KEY ")", 0, NULL, &result);

		if (r < 0)
			return r;
		taken = PQgetvalue(result, 0, 0)[0] == 't';
		PQclear(result);
		if (taken)
			return 0;
		if (clock_now_ns() >= end_ns)
			return fail(ERR_UNAVAILABLE, "another instance migrates the database");
		if (!told)
			migrate_say(run, "another instance migrates the database; waiting");
		told = true;
		pause_ms(LOCK_PAUSE_MS);
	}
}

static int pg_open(struct migrate_run *run, bool change)
{
	struct pg_migrator *pg = arena_new(&run->arena, struct pg_migrator);
	int r;

	if (!pg)
		return -(int)err_last()->code;
	run->database = pg;
	r = connect_to(run, pg);
	if (r == 0)
		r = set_up(pg);
	if (r == 0 && change)
		r = take_lock(run, pg);
	return r;
}

static void pg_close(struct migrate_run *run)
{
	PGconn *connection = run->database ? pg_migrator_of(run)->connection : NULL;

	/* The server notices the end of a connection when it comes to it; who migrates next would
	 * find the lock taken until then. */
	if (PQstatus(connection) == CONNECTION_OK)
		PQclear(PQexec(connection, "SELECT pg_advisory_unlock_all()"));
	PQfinish(connection);
	run->database = NULL;
}

/* --- history --------------------------------------------------------------------------- */

/* 1 when the query has a row, 0 when it has none. */
static int has_row(struct pg_migrator *pg, const char *sql, size_t count, const char *const *values)
{
	PGresult *result = NULL;
	int r = pg_migrator_run(pg, sql, count, values, &result);

	if (r < 0)
		return r;
	r = PQntuples(result) > 0;
	PQclear(result);
	return r;
}

static int has_history(struct pg_migrator *pg)
{
	return has_row(pg, "SELECT 1 WHERE to_regclass('main.migration') IS NOT NULL", 0, NULL);
}

static struct str value_at(const PGresult *result, int row, int column)
{
	return str_of(PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column));
}

static int pg_history(struct migrate_run *run)
{
	struct pg_migrator *pg = pg_migrator_of(run);
	PGresult *result = NULL;
	int r = has_history(pg);

	if (r <= 0)
		return r;
	r = pg_migrator_run(pg,
		"SELECT module, number, sum, title, version, beside, applied_us "
		"FROM main.migration ORDER BY module COLLATE \"C\", number LIMIT 100001",
		0, NULL, &result);
	if (r < 0 && strcmp(pg->state, "42501") == 0)
		return fail(ERR_FORBIDDEN,
			"%s does not own the tables and cannot migrate; DATABASE_OWNER_URL is for "
			"who does",
			pg->owner);
	if (r < 0)
		return r;
	for (int i = 0; r == 0 && i < PQntuples(result); i++) {
		struct migrate_applied applied = {
			.module = value_at(result, i, 0),
			.number = strtoll(PQgetvalue(result, i, 1), NULL, 10),
			.sum = value_at(result, i, 2),
			.title = value_at(result, i, 3),
			.version = value_at(result, i, 4),
			.beside = value_at(result, i, 5),
			.applied_us = strtoll(PQgetvalue(result, i, 6), NULL, 10),
		};

		r = migrate_add_applied(run, &applied);
	}
	PQclear(result);
	return r;
}

/* Notes a step as begun (time 0), as done, or, undone, forgets it. */
static int write_history(struct migrate_run *run, const struct migrate_step *step, int64_t time_us)
{
	static const char add[] =
		"INSERT INTO main.migration AS m "
		"(module, number, sum, title, version, beside, applied_us) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (module, number) DO UPDATE SET "
		"sum = excluded.sum, title = excluded.title, version = excluded.version, "
		"beside = excluded.beside, applied_us = excluded.applied_us "
		"WHERE m.applied_us = 0";
	static const char forget[] = "DELETE FROM main.migration WHERE module = $1 AND number = $2";
	const struct migration *migration = step->migration;
	char number[NUM_TEXT_MAX + 1], time[NUM_TEXT_MAX + 1];
	struct str texts[] = { str_of(migration->sum, sizeof(migration->sum)), migration->title,
		run->version, migration->beside };
	const char *values[7] = { step->source->module, number };

	number[num_write_i64(number, migration->number)] = '\0';
	time[num_write_i64(time, time_us)] = '\0';
	if (step->down)
		return pg_migrator_run(pg_migrator_of(run), forget, 2, values, NULL);
	for (size_t i = 0; i < LEN(texts); i++) {
		struct str copy = arena_str(&run->arena, texts[i]);

		if (!copy.at)
			return -(int)err_last()->code;
		values[2 + i] = copy.at;
	}
	values[6] = time;
	return pg_migrator_run(pg_migrator_of(run), add, LEN(values), values, NULL);
}

/* --- steps in a transaction ---------------------------------------------------------------- */

static bool begins_with(const struct migration_statement *statement, const char *word)
{
	struct sql_scan scan = { statement->text, ENGINE_POSTGRES };
	struct sql_token token;

	return sql_next(&scan, &token) == 0 && sql_is(&token, word);
}

/* Whether rows are touched, beside tables. */
static bool touches_rows(const struct migrate_step *step)
{
	static const char *const words[] = { "INSERT", "UPDATE", "DELETE", "WITH", "MERGE",
		"SELECT", "DO", "CALL" };

	for (size_t i = 0; i < step->statements.count; i++)
		for (size_t j = 0; j < LEN(words); j++)
			if (begins_with(&step->statements.at[i], words[j]))
				return true;
	return false;
}

static int run_statements(struct migrate_run *run, const struct migrate_step *step)
{
	struct pg_migrator *pg = pg_migrator_of(run);

	for (size_t i = 0; i < step->statements.count; i++) {
		const struct migration_statement *statement = &step->statements.at[i];

		if (pg_migrator_do(pg, statement->text.at) < 0) {
			struct err err = *err_last();

			return migrate_fail(step, statement, err.code, err.frames[0].text);
		}
	}
	return 0;
}

static int try_step(struct migrate_run *run, const struct migrate_step *step)
{
	struct pg_migrator *pg = pg_migrator_of(run);
	int r = pg_migrator_do(pg, "BEGIN");

	if (r < 0)
		return r;
	if (touches_rows(step))
		r = pg_open_tables(run);
	if (r == 0)
		r = run_statements(run, step);
	if (r == 0) {
		r = pg_secure_tables(run);
		if (r == -ERR_INVALID) {
			struct err err = *err_last();

			r = migrate_fail(step, NULL, ERR_INVALID, err.frames[0].text);
		}
	}
	if (r == 0)
		r = write_history(run, step, clock_wall_us());
	if (r == 0)
		r = pg_migrator_do(pg, "COMMIT");
	return r < 0 ? undo(pg, r) : 0;
}

/* --- steps outside of one -------------------------------------------------------------------- */

/* The index that a statement of a concurrent step makes or drops. */
struct index_step {
	bool drop;
	char name[PG_NAME_MAX + 1];
};

/* [CREATE | DROP] [UNIQUE] INDEX CONCURRENTLY [IF [NOT] EXISTS] [main .] name */
static int read_index(const struct migrate_step *step, const struct migration_statement *statement,
	struct index_step *ret)
{
	struct sql_scan scan = { statement->text, ENGINE_POSTGRES };
	struct sql_token token, name = { 0 };
	struct str text;

	*ret = (struct index_step){ .drop = begins_with(statement, "DROP") };
	do {
		if (sql_next(&scan, &token) < 0 || token.kind == SQL_END)
			return migrate_fail(step, statement, ERR_INVALID, "an index needs a name");
	} while (!sql_is(&token, "CONCURRENTLY"));
	while (sql_next(&scan, &token) == 0 && token.kind != SQL_END) {
		bool dot = token.kind == SQL_SIGN && token.text.at[0] == '.';

		if (sql_is(&token, "IF") || sql_is(&token, "NOT") || sql_is(&token, "EXISTS") ||
			dot)
			continue;
		if (name.text.at && !sql_names(&name, "main"))
			break;
		name = token;
	}
	text = name.body.len ? name.body : name.text;
	if (text.len == 0 || text.len > PG_NAME_MAX)
		return migrate_fail(step, statement, ERR_INVALID, "an index needs a name");
	for (size_t i = 0; i < text.len; i++)
		ret->name[i] = name.kind == SQL_WORD && text.at[i] >= 'A' && text.at[i] <= 'Z'
				       ? (char)(text.at[i] + 'a' - 'A')
				       : text.at[i];
	return 0;
}

static int drop_index(struct pg_migrator *pg, const char *name)
{
	char sql[2 * PG_NAME_MAX + 64];
	char *quoted = PQescapeIdentifier(pg->connection, name, strlen(name));

	if (!quoted)
		return fail(ERR_NO_MEMORY, "no memory");
	(void)snprintf(sql, sizeof(sql), "DROP INDEX CONCURRENTLY IF EXISTS main.%s", quoted);
	PQfreemem(quoted);
	return pg_migrator_do(pg, sql);
}

/* Whether an index is there and whole; one that is left over of an attempt that ended is dropped.
 * `keep`: a whole one is what the statement would make. */
static int clear_index(struct pg_migrator *pg, const char *name, bool keep)
{
	static const char whole[] =
		"SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
		"WHERE c.relnamespace = 'main'::regnamespace AND c.relname = $1 "
		"AND i.indisvalid";
	int r = has_row(pg, whole, 1, &name);

	if (r < 0 || (r == 1 && keep))
		return r;
	r = drop_index(pg, name);
	return r < 0 ? r : 0;
}

static int run_concurrent(
	struct migrate_run *run, const struct migrate_step *step, size_t index, bool same)
{
	const struct migration_statement *statement = &step->statements.at[index];
	struct pg_migrator *pg = pg_migrator_of(run);
	struct index_step what;
	int r = read_index(step, statement, &what);

	if (r < 0)
		return r;
	if (step->begun && what.drop)
		r = drop_index(pg, what.name);
	else if (step->begun)
		r = clear_index(pg, what.name, same);
	if (r == 0 && !(step->begun && what.drop))
		r = pg_migrator_do(pg, statement->text.at);
	if (r < 0) {
		struct err err = *err_last();

		return migrate_fail(step, statement, err.code, err.frames[0].text);
	}
	return 0;
}

/* What is there before the first attempt is not ours, whatever a later one finds. */
static int check_names(struct migrate_run *run, const struct migrate_step *step)
{
	static const char there[] = "SELECT 1 WHERE to_regclass('main.' || quote_ident($1)) "
				    "IS NOT NULL";

	for (size_t i = 0; i < step->statements.count; i++) {
		const struct migration_statement *statement = &step->statements.at[i];
		struct index_step what;
		int r = read_index(step, statement, &what);

		if (r == 0 && !what.drop)
			r = has_row(
				pg_migrator_of(run), there, 1, (const char *const[]){ what.name });
		if (r < 0)
			return r;
		if (r > 0)
			return migrate_fail(step, statement, ERR_INVALID,
				"something of that name is there already");
	}
	return 0;
}

/* Without a limit on waiting: the locks are such that nobody waits behind them. */
static int step_concurrently(struct migrate_run *run, const struct migrate_step *step)
{
	struct pg_migrator *pg = pg_migrator_of(run);
	bool same = step->begun &&
		    str_eq(step->begun->sum, str_of(step->migration->sum, MIGRATION_SUM_LEN));
	int r = step->begun ? 0 : check_names(run, step);

	if (r == 0 && !step->down)
		r = write_history(run, step, 0);
	if (r == 0)
		r = pg_migrator_do(pg, "SET lock_timeout = 0");
	for (size_t i = 0; i < step->statements.count && r == 0; i++)
		r = run_concurrent(run, step, i, same && !step->down);
	if (r < 0)
		return r;
	r = pg_migrator_do(pg, "SET lock_timeout = '5s'");
	return r < 0 ? r : write_history(run, step, clock_wall_us());
}

static int pg_step(struct migrate_run *run, const struct migrate_step *step)
{
	struct pg_migrator *pg = pg_migrator_of(run);
	int r;

	if (step->concurrent)
		return step_concurrently(run, step);
	for (int tries = 1;; tries++) {
		r = try_step(run, step);
		if (r == 0 || tries == STEP_TRIES || !met_others(pg))
			return r;
		migrate_say(run, "%s %lld waits for others: %s", step->source->module,
			(long long)step->migration->number, err_text());
		pause_ms(STEP_PAUSE_MS);
	}
}

/* --- before and after ----------------------------------------------------- */

static int pg_prepare(struct migrate_run *run, const struct migrate_step *steps, size_t count)
{
	struct pg_migrator *pg = pg_migrator_of(run);
	int r = pg_migrator_do(pg, "BEGIN");

	(void)steps;
	(void)count;
	if (r < 0)
		return r;
	r = pg_secure_roles(run);
	if (r == 0) {
		r = has_history(pg);
		if (r == 0)
			r = pg_migrator_do(pg, HISTORY);
		else if (r > 0)
			r = 0;
	}
	if (r == 0)
		r = pg_migrator_do(pg, "COMMIT");
	return r < 0 ? undo(pg, r) : 0;
}

static int pg_secure(struct migrate_run *run)
{
	struct pg_migrator *pg = pg_migrator_of(run);
	bool dry = run->options->dry_run;
	int r = pg_migrator_do(pg, dry ? "BEGIN READ ONLY" : "BEGIN");

	if (r < 0)
		return r;
	if (dry)
		r = pg_secure_roles(run);
	if (r == 0)
		r = pg_secure_tables(run);
	if (r >= 0)
		r = pg_migrator_do(pg, "COMMIT");
	return r < 0 ? undo(pg, r) : 0;
}

const struct migrate_engine migrate_postgres = {
	.kind = ENGINE_POSTGRES,
	.open = pg_open,
	.history = pg_history,
	.prepare = pg_prepare,
	.step = pg_step,
	.secure = pg_secure,
	.close = pg_close,
};
