/*
 * Jobs added and completed by other programs, in transactions of their own on PostgreSQL: as a role
 * that owns nothing, is mapped to a tenant, and gets no further than the two functions.
 */
#include "modules/jobs/jobs_fixture_test.h"
#include "modules/jobs/jobs_note.h"
#include "modules/jobs/jobs_token.h"
#include "observe/clock.h"
#include "store/pg_server_test.h"

#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define ONE   "01900000-0000-7000-8000-000000000001"
#define TWO   "01900000-0000-7000-8000-000000000002"
#define LEASE "01900000-0000-7000-8000-0000000000aa"

/* A caller's connection, and the role it is. */
struct outsider {
	char role[32];
	PGconn *connection;
};

static void admin(const char *format, ...) PRINTF_LIKE(1, 2);
static void admin(const char *format, ...)
{
	char url[PG_URL_MAX], sql[1000];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(sql, sizeof(sql), format, args);
	va_end(args);
	pg_run(pg_server_url(pg_server_shared(), "postgres", "postgres", "", url), sql);
}

/* A connection of that role to the test's database. */
static PGconn *connect_as(const char *role)
{
	struct str owner = store_test_postgres(true);
	char url[PG_URL_MAX], name[32];
	PGconn *connection;

	(void)snprintf(name, sizeof(name), "%s", pg_ask(owner, "SELECT current_database()"));
	(void)pg_server_url(pg_server_shared(), role, name, "", url);
	connection = PQconnectdb(url);
	REQUIRE(PQstatus(connection) == CONNECTION_OK);
	return connection;
}

/* A role that may act as `tenant`; NULL: as nobody. */
static struct outsider caller_open(const char *mark, const char *tenant)
{
	struct outsider caller;
	char sql[200];

	(void)snprintf(caller.role, sizeof(caller.role), "caller_%s_%d", mark, (int)getpid());
	admin("DROP ROLE IF EXISTS %s; CREATE ROLE %s LOGIN", caller.role, caller.role);
	(void)snprintf(sql, sizeof(sql), "INSERT INTO main.job_caller VALUES ('%s', '%s')",
		caller.role, tenant ? tenant : "");
	if (tenant)
		pg_run(store_test_postgres(true), sql);
	caller.connection = connect_as(caller.role);
	return caller;
}

static void caller_close(struct outsider *caller)
{
	PQfinish(caller->connection);
	admin("DROP ROLE %s", caller->role);
}

/* The first value, or the SQLSTATE. */
static const char *told_by(PGresult *result)
{
	static char texts[4][200];
	static size_t next;
	char *text = texts[next++ % LEN(texts)];
	bool rows = PQresultStatus(result) == PGRES_TUPLES_OK;
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (PQresultStatus(result) == PGRES_FATAL_ERROR)
		(void)snprintf(text, sizeof(texts[0]), "%s", state ? state : "lost");
	else
		(void)snprintf(text, sizeof(texts[0]), "%s",
			rows && PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
	return text;
}

static const char *ask(struct outsider *caller, const char *format, ...) PRINTF_LIKE(2, 3);
static const char *ask(struct outsider *caller, const char *format, ...)
{
	char sql[2000];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(sql, sizeof(sql), format, args);
	va_end(args);
	return told_by(PQexec(caller->connection, sql));
}

#define TOLD(caller, sql, wanted) EXPECT_STR(str_from_c(ask(caller, "%s", sql)), S(wanted))

/* Changes rows as the program may. */
static void as_program(const char *tenant, const char *format, ...) PRINTF_LIKE(2, 3);
static void as_program(const char *tenant, const char *format, ...)
{
	char sql[2000];
	size_t len = (size_t)snprintf(
		sql, sizeof(sql), "SELECT set_config('app.tenant', '%s', false); ", tenant);
	va_list args;

	va_start(args, format);
	(void)vsnprintf(sql + len, sizeof(sql) - len, format, args);
	va_end(args);
	pg_run(store_test_postgres(false), sql);
}

/* ONE and TWO are tenants. */
static void serve_both(struct store_test *test)
{
	for (unsigned i = 1; i <= 2; i++) {
		struct db db = store_test_tenant(test, i);

		tenant_is(&db, "active");
	}
}

#define SQL_TEST(name_)                                                                            \
	static void sql_test_##name_(struct store_test *test);                                     \
	static void sql_test_body_##name_(struct store_test *test)                                 \
	{                                                                                          \
		serve_both(test);                                                                  \
		sql_test_##name_(test);                                                            \
	}                                                                                          \
	TEST(name_##_postgres)                                                                     \
	{                                                                                          \
		jobs_test_run(ENGINE_POSTGRES, sql_test_body_##name_);                             \
	}                                                                                          \
	static void sql_test_##name_(struct store_test *test)

/* --- adding ------------------------------------------------------------------------------------
 */

SQL_TEST(sql_adds_in_the_callers_transaction)
{
	struct outsider caller = caller_open("a", ONE);
	struct db db = store_test_tenant(test, 1);
	struct job_shown here, there;
	char id[64];

	TOLD(&caller, "BEGIN", "");
	EXPECT(strlen(ask(&caller, "SELECT bulkhead.enqueue('a:b', '{\"n\": 1}')")) == 36);
	EXPECT_INT(jobs_count(&db, COUNT_JOBS), 0);
	TOLD(&caller, "ROLLBACK", "");
	EXPECT_INT(jobs_count(&db, COUNT_JOBS), 0);

	TOLD(&caller, "BEGIN", "");
	(void)snprintf(id, sizeof(id), "%s", ask(&caller, "SELECT bulkhead.enqueue('a:b')"));
	TOLD(&caller, "COMMIT", "");
	there = job_look(&db, str_from_c(id));
	here = job_look(&db, job_put(&db, &(struct job_new){ .name = S("a:b") }));
	EXPECT_STR(there.name, here.name);
	EXPECT_STR(there.queue, here.queue);
	EXPECT_STR(there.payload.json, here.payload.json);
	EXPECT_INT(there.state, here.state);
	EXPECT_INT(there.priority, here.priority);
	EXPECT_INT(there.attempts, here.attempts);
	EXPECT_INT(there.run_at.value, there.created_at);
	EXPECT(!there.group_key.set && !there.unique_key.set && !there.blocked);
	EXPECT(str_cmp(there.id, here.id) < 0); /* ids of both grow with the time */
	caller_close(&caller);
}

SQL_TEST(sql_takes_all_options)
{
	struct outsider caller = caller_open("o", ONE);
	struct db db = store_test_tenant(test, 1);
	struct job_shown job;
	char id[64];

	(void)snprintf(id, sizeof(id), "%s",
		ask(&caller, "SELECT bulkhead.enqueue('a:b', queue => 'webhooks', priority => 1, "
			     "run_at => now() + interval '1 minute', unique_key => 'u', "
			     "group_key => 'g', tags => ARRAY['x', 'y'])"));
	job = job_look(&db, str_from_c(id));
	EXPECT_STR(job.queue, S("webhooks"));
	EXPECT_INT(job.attempts, 5);
	EXPECT_INT(job.priority, 1);
	EXPECT_INT(job.state, JOB_SCHEDULED);
	EXPECT_STR(job.unique_key.value, S("u"));
	EXPECT_STR(job.group_key.value, S("g"));
	EXPECT_INT(job.tags.count, 2);
	EXPECT_STR(job.tags.at[1], S("y"));
	caller_close(&caller);
}

SQL_TEST(sql_refuses_what_breaks_a_rule)
{
	static const struct {
		const char *sql, *state;
	} rows[] = {
		{ "SELECT bulkhead.enqueue('nope')", "22023" },
		{ "SELECT bulkhead.enqueue(NULL)", "22023" },
		{ "SELECT bulkhead.enqueue('a:b', queue => 'A')", "22023" },
		{ "SELECT bulkhead.enqueue('a:b', NULL)", "54000" },
		{ "SELECT bulkhead.enqueue('a:b', to_jsonb(repeat('x', 262143)))", "54000" },
		{ "SELECT bulkhead.enqueue('a:b', priority => 10)", "22023" },
		{ "SELECT bulkhead.enqueue('a:b', priority => NULL)", "22023" },
		{ "SELECT bulkhead.enqueue('a:b', attempts => 0)", "22023" },
		{ "SELECT bulkhead.enqueue('a:b', unique_key => '')", "22023" },
		{ "SELECT bulkhead.enqueue('a:b', unique_key => E'a\\nb')", "22023" },
		{ "SELECT bulkhead.enqueue('a:b', group_key => repeat('x', 201))", "22023" },
		{ "SELECT bulkhead.enqueue('a:b', tags => ARRAY['a', NULL])", "22023" },
		{ "SELECT bulkhead.enqueue('a:b', run_at => now() + interval '367 days')",
			"22023" },
		{ "SELECT bulkhead.enqueue('a:b', tenant => '" TWO "')", "42501" },
		{ "SELECT count(*) FROM main.job", "42501" },
		{ "SELECT count(*) FROM main.job_caller", "42501" },
		{ "UPDATE main.job_caller SET tenant = 'any'", "42501" },
		{ "CREATE FUNCTION bulkhead.x() RETURNS int LANGUAGE sql AS 'SELECT 1'", "42501" },
	};
	struct outsider caller = caller_open("r", ONE);
	struct db db = store_test_tenant(test, 1);

	for (size_t i = 0; i < LEN(rows); i++) {
		const char *told = ask(&caller, "%s", rows[i].sql);

		test_note(strcmp(told, rows[i].state) == 0, __FILE__, __LINE__, "%s: %s, wanted %s",
			rows[i].sql, told, rows[i].state);
	}
	EXPECT_INT(jobs_count(&db, COUNT_JOBS), 0);
	caller_close(&caller);
}

SQL_TEST(sql_minds_who_calls)
{
	struct outsider nobody = caller_open("n", NULL), any = caller_open("y", "any"),
			one = caller_open("w", ONE);
	struct db first = store_test_tenant(test, 1), second = store_test_tenant(test, 2);

	TOLD(&nobody, "SELECT bulkhead.enqueue('a:b')", "42501");
	TOLD(&nobody, "SELECT bulkhead.enqueue('a:b', tenant => '" ONE "')", "42501");
	TOLD(&nobody, "SELECT bulkhead.complete('" ONE "', 'x')", "42501");
	TOLD(&any, "SELECT bulkhead.enqueue('a:b')", "22023");
	EXPECT(strlen(ask(&any, "SELECT bulkhead.enqueue('a:b', tenant => '" TWO "')")) == 36);
	EXPECT(strlen(ask(&one, "SELECT bulkhead.enqueue('a:b', tenant => '" ONE "')")) == 36);
	EXPECT_INT(jobs_count(&first, COUNT_JOBS), 1);
	EXPECT_INT(jobs_count(&second, COUNT_JOBS), 1);

	/* neither what the session says nor what it puts in the way matters */
	TOLD(&one, "SELECT set_config('app.tenant', '" TWO "', false)", TWO);
	TOLD(&one, "CREATE TEMP TABLE job_caller AS SELECT 'x'::text AS role, 'any' AS tenant", "");
	TOLD(&one, "SET search_path = pg_temp, main, bulkhead", "");
	TOLD(&one, "SELECT bulkhead.enqueue('a:b', tenant => '" TWO "')", "42501");
	EXPECT(strlen(ask(&one, "SELECT bulkhead.enqueue('a:b')")) == 36);
	TOLD(&one, "SELECT current_setting('app.tenant')", TWO);
	EXPECT_INT(jobs_count(&first, COUNT_JOBS), 2);
	EXPECT_INT(jobs_count(&second, COUNT_JOBS), 1);
	caller_close(&nobody);
	caller_close(&any);
	caller_close(&one);
}

SQL_TEST(sql_minds_keys_groups_and_bounds)
{
	struct outsider caller = caller_open("k", ONE);
	struct db db = store_test_tenant(test, 1);
	struct job_new job = { .name = S("a:b"), .group_key = S("g") };
	struct job_added added;

	/* keys, whoever has them */
	(void)job_put(&db, &(struct job_new){ .name = S("a:b"), .unique_key = S("u") });
	TOLD(&caller, "SELECT bulkhead.enqueue('a:b', unique_key => 'u')", "23505");
	EXPECT(strlen(ask(&caller, "SELECT bulkhead.enqueue('a:b', unique_key => 'v')")) == 36);
	EXPECT_INT(
		job_try(&db, &(struct job_new){ .name = S("a:b"), .unique_key = S("v") }, &added),
		-ERR_CONFLICT);

	/* one seat of a group, from both sides */
	(void)job_put(&db, &job);
	EXPECT(strlen(ask(&caller, "SELECT bulkhead.enqueue('a:b', group_key => 'g')")) == 36);
	(void)job_put(&db, &job);
	EXPECT_INT(group_look(&db, "default", "g").active, 1);
	EXPECT_INT(group_look(&db, "default", "g").waiting, 2);

	/* bounds */
	queue_give(test, "default", "\"backlog\":5,\"groupBacklog\":2");
	TOLD(&caller, "SELECT bulkhead.enqueue('a:b', group_key => 'g')", "53400");
	as_program(ONE, "INSERT INTO main.job_depth (tenant_id, queue, waiting, counted_at) VALUES "
			"('" ONE "', 'default', 5, 1)");
	TOLD(&caller, "SELECT bulkhead.enqueue('a:b')", "53400");

	/* queues */
	as_program(ONE,
		"INSERT INTO main.job_depth (tenant_id, queue, waiting, counted_at) SELECT "
		"'" ONE "', 'q' || n, 1, 1 FROM generate_series(2, %d) AS n",
		JOB_TENANT_QUEUES_MAX);
	TOLD(&caller, "SELECT bulkhead.enqueue('a:b', queue => 'beyond')", "53400");
	EXPECT(strlen(ask(&caller, "SELECT bulkhead.enqueue('a:b', queue => 'q7')")) == 36);
	caller_close(&caller);
}

/* Who comes second waits for the first, and is refused when that commits. */
SQL_TEST(sql_gives_a_key_to_one_of_two)
{
	struct outsider first = caller_open("f", ONE), second = caller_open("s", ONE);
	struct db db = store_test_tenant(test, 1);

	for (int commits = 0; commits < 2; commits++) {
		TOLD(&first, "BEGIN", "");
		EXPECT(strlen(ask(&first, "SELECT bulkhead.enqueue('a:b', unique_key => 'u%d')",
			       commits)) == 36);
		REQUIRE(PQsendQuery(second.connection,
			commits ? "SELECT bulkhead.enqueue('a:b', unique_key => 'u1')"
				: "SELECT bulkhead.enqueue('a:b', unique_key => 'u0')"));
		(void)ask(&first, commits ? "COMMIT" : "ROLLBACK");
		EXPECT_INT(strlen(told_by(PQgetResult(second.connection))), commits ? 5 : 36);
		PQclear(PQgetResult(second.connection));
	}
	EXPECT_INT(jobs_count(&db, COUNT_JOBS), 2);
	caller_close(&first);
	caller_close(&second);
}

/* --- completing ---------------------------------------------------------------------------------
 */

static const char *token_of(const char *tenant, int64_t attempt)
{
	static char text[JOB_TOKEN_LEN + 1];
	struct job_token token = { .attempt = attempt };

	REQUIRE(uuid_parse(str_from_c(tenant), &token.tenant));
	REQUIRE(uuid_parse(S(LEASE), &token.lease));
	job_token_write(text, &token);
	return text;
}

static void start(const char *tenant, struct str id)
{
	as_program(tenant,
		"UPDATE main.job SET state = 'running', lease_id = '" LEASE "', attempt = 1, "
		"started_at = 1 WHERE id = '%.*s'",
		STR_ARG(id));
}

#define COMPLETE "SELECT bulkhead.complete('%.*s', '%s', '{\"done\": true}')"

SQL_TEST(sql_completes_in_the_callers_transaction)
{
	struct outsider caller = caller_open("c", ONE), other = caller_open("d", TWO);
	struct db db = store_test_tenant(test, 1);
	const struct job_new job = { .name = S("a:b"), .group_key = S("g"), .unique_key = S("u") };
	struct str id = job_put(&db, &job), next;

	next = job_put(&db, &(struct job_new){ .name = S("a:b"), .group_key = S("g") });
	start(ONE, id);
	EXPECT_STR(str_from_c(ask(&other, COMPLETE, STR_ARG(id), token_of(ONE, 1))), S("42501"));
	EXPECT_STR(str_from_c(ask(&other, COMPLETE, STR_ARG(id), token_of(TWO, 1))), S("55000"));
	EXPECT_STR(str_from_c(ask(&caller, COMPLETE, STR_ARG(id), token_of(ONE, 2))), S("55000"));
	EXPECT_STR(str_from_c(ask(&caller, COMPLETE, STR_ARG(id), "bh_ls_nope")), S("22023"));

	TOLD(&caller, "BEGIN", "");
	EXPECT_STR(str_from_c(ask(&caller, COMPLETE, STR_ARG(id), token_of(ONE, 1))), S(""));
	TOLD(&caller, "ROLLBACK", "");
	EXPECT_INT(job_look(&db, id).state, JOB_RUNNING);
	EXPECT(job_look(&db, next).blocked);

	EXPECT_STR(str_from_c(ask(&caller, COMPLETE, STR_ARG(id), token_of(ONE, 1))), S(""));
	EXPECT_INT(job_look(&db, id).state, JOB_COMPLETED);
	EXPECT_STR(job_look(&db, id).result.json, S("{\"done\": true}"));
	EXPECT(!job_look(&db, next).blocked);
	EXPECT_INT(group_look(&db, "default", "g").active, 1);
	EXPECT_INT(group_look(&db, "default", "g").waiting, 0);
	EXPECT_INT(jobs_count(&db, COUNT_KEYS), 0);
	EXPECT_STR(str_from_c(ask(&caller, COMPLETE, STR_ARG(id), token_of(ONE, 1))), S("55000"));
	caller_close(&caller);
	caller_close(&other);
}

SQL_TEST(sql_refuses_a_tenant_that_is_not_served)
{
	static const char *const idle[] = { "suspended", "deleting" };
	struct outsider caller = caller_open("i", ONE), any = caller_open("j", "any");
	struct db db = store_test_tenant(test, 1);
	struct str id = job_put(&db, &(struct job_new){ .name = S("a:b") });

	start(ONE, id);
	for (size_t i = 0; i < LEN(idle); i++) {
		tenant_is(&db, idle[i]);
		TOLD(&caller, "SELECT bulkhead.enqueue('a:b')", "55000");
		TOLD(&any, "SELECT bulkhead.enqueue('a:b', tenant => '" ONE "')", "55000");
		EXPECT_STR(str_from_c(ask(&caller, COMPLETE, STR_ARG(id), token_of(ONE, 1))),
			S("55000"));
	}
	EXPECT(strlen(ask(&any, "SELECT bulkhead.enqueue('a:b', tenant => '" TWO "')")) == 36);
	TOLD(&any, "SELECT bulkhead.enqueue('a:b', tenant => '" LEASE "')", "55000"); /* none */
	EXPECT_INT(jobs_count(&db, COUNT_JOBS), 1);
	EXPECT_INT(job_look(&db, id).state, JOB_RUNNING);
	tenant_is(&db, "active");
	EXPECT_STR(str_from_c(ask(&caller, COMPLETE, STR_ARG(id), token_of(ONE, 1))), S(""));
	caller_close(&caller);
	caller_close(&any);
}

SQL_TEST(sql_completes_what_another_one_waits_behind)
{
	struct outsider caller = caller_open("b", ONE);
	struct db db = store_test_tenant(test, 1);
	struct job_new job = {
		.name = S("a:b"), .unique_key = S("u"), .unique_mode = JOB_UNIQUE_REPLACE
	};
	struct str id = job_put(&db, &job), next;

	queue_give(test, "default", "\"attempts\":3");
	start(ONE, id);
	next = job_put(&db, &job);
	EXPECT(!job_look(&db, next).run_at.set);
	EXPECT_STR(str_from_c(ask(&caller, COMPLETE, STR_ARG(id), token_of(ONE, 1))), S(""));
	EXPECT(job_look(&db, next).run_at.set);
	EXPECT_INT(jobs_count(&db, COUNT_KEYS), 1);
	caller_close(&caller);
}

SQL_TEST(sql_keeps_nothing_of_a_queue_that_keeps_none)
{
	struct outsider caller = caller_open("z", ONE);
	struct db db = store_test_tenant(test, 1);
	struct str id = job_put(&db, &(struct job_new){ .name = S("a:b"), .queue = S("none") });

	pg_run(store_test_postgres(true),
		"INSERT INTO main.job_queue (name, settings, paused, version, updated_at) VALUES "
		"('none', '{\"completed\":{\"ms\":1,\"count\":0}}', FALSE, 1, 1)");
	start(ONE, id);
	EXPECT_STR(str_from_c(ask(&caller, COMPLETE, STR_ARG(id), token_of(ONE, 1))), S(""));
	EXPECT_INT(jobs_count(&db, COUNT_JOBS), 0);
	caller_close(&caller);
}

/* --- beside others ----------------------------------------------------------------------------
 */

/* A connection of the program's login, as tenant ONE, with a transaction. */
static PGconn *begin_beside(void)
{
	PGconn *connection = PQconnectdb(store_test_postgres(false).at);

	REQUIRE(PQstatus(connection) == CONNECTION_OK);
	(void)told_by(PQexec(connection, "SELECT set_config('app.tenant', '" ONE "', false)"));
	(void)told_by(PQexec(connection, "BEGIN"));
	return connection;
}

/* Something that waits for a lock, or is done without. */
struct beside {
	struct db db;
	struct str id;
	bool done;
	int result;
};

static void await_lock(const struct beside *beside)
{
	uint64_t until = clock_now_ns() + 20 * SECOND;

	while (!beside->done && clock_now_ns() < until &&
		!pg_somebody_waits(store_test_postgres(true)))
		REQUIRE(fiber_sleep_until(clock_now_ns() + 5 * MILLISECOND) == 0);
}

static void await_end(const struct beside *beside)
{
	uint64_t until = clock_now_ns() + 20 * SECOND;

	while (!beside->done && clock_now_ns() < until)
		REQUIRE(fiber_sleep_until(clock_now_ns() + 5 * MILLISECOND) == 0);
	REQUIRE(beside->done);
}

static int line_in_tx(struct tx *tx, void *arg)
{
	const struct beside *beside = arg;
	struct uuid id;
	struct job_line line = { .job_id = beside->id,
		.lease_id = S(LEASE),
		.attempt = 1,
		.level = LOG_INFO,
		.line = S("late"),
		.at = tx_now_us(tx) };

	uuid_v7(&id, tx_now_us(tx));
	line.id = uuid_text(tx_arena(tx), &id);
	return job_line_in_tx(tx, &line);
}

static int write_line(void *arg)
{
	struct beside *beside = arg;

	beside->result = db_write_with(&beside->db, &jobs_noting, line_in_tx, beside);
	beside->done = true;
	return 0;
}

/* The job and its lines are thrown away just then. */
SQL_TEST(sql_lines_of_a_job_that_goes_do_not_stay)
{
	struct db db = store_test_tenant(test, 1);
	struct beside beside = { .db = db };
	PGconn *connection;
	char sql[300];

	beside.id = job_put(&db, &(struct job_new){ .name = S("a:b") });
	start(ONE, beside.id);
	connection = begin_beside();
	(void)snprintf(sql, sizeof(sql),
		"DELETE FROM main.job WHERE tenant_id = '" ONE "' AND id = '%.*s'",
		STR_ARG(beside.id));
	EXPECT_STR(str_from_c(told_by(PQexec(connection, sql))), S(""));
	EXPECT_STR(str_from_c(told_by(PQexec(
			   connection, "DELETE FROM main.job_line WHERE tenant_id = '" ONE "'"))),
		S(""));
	REQUIRE(scope_spawn(&worker_here()->sched.root, write_line, &beside) == 0);
	await_lock(&beside);
	(void)told_by(PQexec(connection, "COMMIT"));
	PQfinish(connection);
	await_end(&beside);
	EXPECT_INT(beside.result, 0);
	EXPECT_INT(jobs_count(&db, COUNT_LINES), 0);
}

static int cancel_in_tx(struct tx *tx, void *arg)
{
	const struct beside *beside = arg;
	enum job_state state;

	return job_cancel_in_tx(tx, beside->id, &state);
}

static int cancel_it(void *arg)
{
	struct beside *beside = arg;

	beside->result = db_write_with(&beside->db, &jobs_adding, cancel_in_tx, beside);
	beside->done = true;
	return 0;
}

/* Somebody has the key and is about to replace its job: who cancels that waits for the key, and not
 * with the job in his hands. */
SQL_TEST(sql_cancel_and_replace_take_rows_in_one_order)
{
	struct db db = store_test_tenant(test, 1);
	struct beside beside = { .db = db };
	PGconn *connection;
	char sql[300];

	beside.id = job_put(&db, &(struct job_new){ .name = S("a:b"), .unique_key = S("u") });
	connection = begin_beside();
	(void)told_by(PQexec(connection, "SELECT key FROM main.job_unique WHERE tenant_id = '" ONE
					 "' AND key = 'u' FOR UPDATE"));
	REQUIRE(scope_spawn(&worker_here()->sched.root, cancel_it, &beside) == 0);
	await_lock(&beside);
	(void)snprintf(sql, sizeof(sql),
		"SELECT name FROM main.job WHERE tenant_id = '" ONE
		"' AND id = '%.*s' FOR UPDATE NOWAIT",
		STR_ARG(beside.id));
	EXPECT_STR(str_from_c(told_by(PQexec(connection, sql))), S("a:b"));
	(void)told_by(PQexec(connection, "ROLLBACK"));
	PQfinish(connection);
	await_end(&beside);
	EXPECT_INT(beside.result, 0);
	EXPECT_INT(job_look(&db, beside.id).state, JOB_CANCELLED);
	EXPECT_INT(jobs_count(&db, COUNT_KEYS), 0);
}
