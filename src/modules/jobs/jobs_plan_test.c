/*
 * How databases find the rows: no statement of those that run again and again reads main.job from
 * end to end, on either engine, with many jobs that wait and many that have ended.
 */
#include "modules/jobs/jobs_run_fixture_test.h"

#include "modules/jobs/jobs_admin.h"
#include "modules/jobs/jobs_queues.h"
#include "modules/jobs/jobs_worker_store.h"
#include "store/store_internal.h"

#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

enum { TENANTS = 10, EACH = 2000 };

/* Those of others that are about what runs. */
static const struct statement *const running[] = { &lease_jobs, &lease_cancelled };
static const struct job_statements job_worker_plan_statements = { running, LEN(running) };

static const struct job_statements *const lists[] = { &job_take_statements, &job_limit_statements,
	&job_end_statements, &job_cancel_statements, &job_promote_statements, &job_reap_statements,
	&job_seats_statements, &job_worker_plan_statements };
static const struct job_statements *const of_sqlite[] = { &job_end_statements_sqlite,
	&job_seats_statements_sqlite };
static const struct job_statements *const of_postgres[] = { &job_end_statements_postgres,
	&job_seats_statements_postgres };

/* Whether a line of a plan reads a table of jobs from end to end, or all of a tenant's. */
static bool reads_all(struct str line)
{
	static const char *const tables[] = { "job", "main.job", "j", "t", "b", "r" };

	line = str_trim(line);
	if (str_find(line, S("Seq Scan on job")) >= 0)
		return str_find(line, S("Seq Scan on job_lease")) < 0; /* all of them are read */
	if (str_starts(line, S("SEARCH o "))) /* the one row of the tenant itself */
		return false;
	if (str_starts(line, S("SEARCH ")))
		return str_ends(line, S("USING PRIMARY KEY (tenant_id=?)")) ||
		       str_ends(line, S("USING PRIMARY KEY (tenant_id=? AND id>? AND id<?)"));
	if (!str_starts(line, S("SCAN ")) || str_find(line, S(" USING ")) >= 0)
		return false;
	for (size_t i = 0; i < LEN(tables); i++)
		if (str_eq(str_from(line, 5), str_from_c(tables[i])))
			return true;
	return false;
}

static void judge(const struct statement *statement, const char *line)
{
	if (reads_all(str_from_c(line)))
		test_note(false, __FILE__, __LINE__, "%s: %s", statement->name, line);
}

/* --- SQLite ------------------------------------------------------------------------------------
 */

static void explain_sqlite(sqlite3 *db, const struct statement *statement)
{
	struct sql_plan *plan = statement->slot->plan[ENGINE_SQLITE];
	sqlite3_stmt *stmt = NULL;
	bool window = false; /* j is what a query inside of it gives */
	char *sql = NULL;

	REQUIRE(asprintf(&sql, "EXPLAIN QUERY PLAN %.*s", STR_ARG(plan->text)) > 0);
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		test_note(false, __FILE__, __LINE__, "%s: %s", statement->name, sqlite3_errmsg(db));
	while (stmt && sqlite3_step(stmt) == SQLITE_ROW) {
		const char *line = (const char *)sqlite3_column_text(stmt, 3);

		window = window || strcmp(line, "CO-ROUTINE j") == 0;
		if (!window || strcmp(line, "SCAN j") != 0)
			judge(statement, line);
	}
	sqlite3_finalize(stmt);
	free(sql);
}

static void look_sqlite(struct store_test *test)
{
	sqlite3 *db = NULL;
	char path[512];

	(void)snprintf(path, sizeof(path), "%.*s/bulkhead.db", STR_ARG(test->options.folder));
	REQUIRE(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK);
	for (size_t i = 0; i < LEN(lists); i++)
		for (size_t k = 0; k < lists[i]->count; k++)
			explain_sqlite(db, lists[i]->at[k]);
	for (size_t i = 0; i < LEN(of_sqlite); i++)
		for (size_t k = 0; k < of_sqlite[i]->count; k++)
			explain_sqlite(db, of_sqlite[i]->at[k]);
	for (size_t k = 0; k < job_list_statements.count; k++)
		if (strstr(job_list_statements.at[k]->name, "running"))
			explain_sqlite(db, job_list_statements.at[k]);
	for (size_t k = 0; k < job_queues_statements.count; k++)
		if (strstr(job_queues_statements.at[k]->name, "workers"))
			explain_sqlite(db, job_queues_statements.at[k]);
	sqlite3_close(db);
}

/* --- PostgreSQL ----------------------------------------------------------------------------------
 */

static void run(PGconn *pg, const char *sql)
{
	PGresult *result = PQexec(pg, sql);

	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
		test_note(false, __FILE__, __LINE__, "%s: %s", sql, PQerrorMessage(pg));
	PQclear(result);
}

/* As it is planned when nothing is known of the parameters. */
static void explain_with(PGconn *pg, const struct statement *statement,
	void (*judge_line)(const struct statement *statement, const char *line))
{
	static const char nulls[] = "(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, "
				    "NULL, NULL, NULL, NULL, NULL, NULL";
	struct sql_plan *plan = statement->slot->plan[ENGINE_POSTGRES];
	int given = (int)plan->param_count * 6 - 1; /* of the text above */
	PGresult *result;
	char *sql = NULL;

	REQUIRE(given < (int)sizeof(nulls));
	REQUIRE(asprintf(&sql, "PREPARE p AS %.*s", STR_ARG(plan->text)) > 0);
	run(pg, sql);
	free(sql);
	REQUIRE(asprintf(&sql, "EXPLAIN EXECUTE p%.*s%s", MAX(given, 0), nulls,
			plan->param_count ? ")" : "") > 0);
	result = PQexec(pg, sql);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		test_note(false, __FILE__, __LINE__, "%s: %s", statement->name, PQerrorMessage(pg));
	for (int i = 0; i < PQntuples(result); i++)
		judge_line(statement, PQgetvalue(result, i, 0));
	PQclear(result);
	run(pg, "DEALLOCATE p");
	free(sql);
}

static void explain_postgres(PGconn *pg, const struct statement *statement)
{
	explain_with(pg, statement, judge);
}

/* --- plans of an empty table ----------------------------------------------------------------- */

static bool bounded;

/* Whether rows are found by what was picked, and not only by whose they are. */
static void look_for_bounds(const struct statement *statement, const char *line)
{
	(void)statement;
	if (strstr(line, "Index Cond: ") &&
		(strstr(line, "(id >= $") || strstr(line, "(id = ANY ($")))
		bounded = true;
}

/* PostgreSQL keeps a plan until the next ANALYZE, however many rows there are by then. */
static void look_empty(struct store_test *test)
{
	PGconn *owner = PQconnectdb(store_test_postgres(true).at);
	PGconn *pg = PQconnectdb(test->options.url.at);
	const struct statement *const take = job_take_statements.at[1];

	REQUIRE(PQstatus(owner) == CONNECTION_OK && PQstatus(pg) == CONNECTION_OK);
	run(owner, "VACUUM ANALYZE main.job");
	PQfinish(owner);
	run(pg, "SET search_path = main, pg_catalog");
	run(pg, "SET plan_cache_mode = force_generic_plan");
	run(pg, "SELECT set_config('app.tenant', '01900000-0000-7000-8000-000000000001', false)");
	run(pg, "SET enable_seqscan = off"); /* as the store says with STATEMENT_PLAN_ONCE */
	REQUIRE(strcmp(take->name, "job_take") == 0);
	explain_with(pg, take, look_for_bounds);
	EXPECT(bounded);
	bounded = false;
	explain_with(pg, job_seats_statements_postgres.at[0], look_for_bounds);
	EXPECT(bounded);
	PQfinish(pg);
}

static void look_postgres(struct store_test *test)
{
	PGconn *owner = PQconnectdb(store_test_postgres(true).at);
	PGconn *pg = PQconnectdb(test->options.url.at);
	PGresult *result;
	char role[200];

	REQUIRE(PQstatus(owner) == CONNECTION_OK && PQstatus(pg) == CONNECTION_OK);
	run(owner, "ANALYZE main.job");
	PQfinish(owner);
	run(pg, "SET search_path = main, pg_catalog");
	run(pg, "SET plan_cache_mode = force_generic_plan");
	run(pg, "SELECT set_config('app.tenant', '01900000-0000-7000-8000-000000000001', false)");
	for (size_t i = 0; i < LEN(lists); i++)
		for (size_t k = 0; k < lists[i]->count; k++)
			if (!(lists[i]->at[k]->flags & STATEMENT_SYSTEM))
				explain_postgres(pg, lists[i]->at[k]);
	for (size_t i = 0; i < LEN(of_postgres); i++)
		for (size_t k = 0; k < of_postgres[i]->count; k++)
			explain_postgres(pg, of_postgres[i]->at[k]);

	result = PQexec(pg, "SELECT 'SET ROLE ' || quote_ident(current_user || '_system')");
	(void)snprintf(role, sizeof(role), "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
	run(pg, role);
	for (size_t i = 0; i < LEN(lists); i++)
		for (size_t k = 0; k < lists[i]->count; k++)
			if (lists[i]->at[k]->flags & STATEMENT_SYSTEM)
				explain_postgres(pg, lists[i]->at[k]);
	PQfinish(pg);
}

/* --- both ------------------------------------------------------------------------------ */

static int put_in_tx(struct tx *tx, void *arg)
{
	struct job_new *jobs = arena_zalloc(tx_arena(tx), JOB_BULK_MAX * sizeof(*jobs));
	struct job_added *added = arena_zalloc(tx_arena(tx), JOB_BULK_MAX * sizeof(*added));

	(void)arg;
	for (size_t i = 0; i < JOB_BULK_MAX; i++)
		jobs[i] =
			(struct job_new){ .name = S("test:plain"), .delay_ns = i % 10 ? 0 : HOUR };
	return jobs_add_in_tx(tx, jobs, JOB_BULK_MAX, added);
}

static void find_plans(struct store_test *test)
{
	if (!store_is_sqlite(test->store))
		look_empty(test);
	for (unsigned i = 0; i < TENANTS; i++) {
		struct take take = taker("default", JOBS_TAKE_MAX);
		struct db db = store_test_tenant(test, i + 1);
		struct haul got;

		for (size_t k = 0; k < EACH; k += JOB_BULK_MAX)
			REQUIRE(db_write_with(&db, &jobs_adding, put_in_tx, NULL) == 0);
		take.tenant = &db.tenant;
		got = haul(test, &take);
		for (size_t k = 0; k + 20 < got.count; k += 200) {
			struct job_end ends[200];
			size_t count = MIN(got.count - k, (size_t)200);

			for (size_t n = 0; n < count; n++)
				ends[n] = end_of(&take, &got.at[k + n], END_COMPLETE);
			for (size_t n = 0; n < count; n++)
				ends[n].lease_id = ends[count - 1].lease_id;
			REQUIRE(end_all(&db, ends, count) == 0);
		}
		arena_reset(&test->arena);
	}
	if (store_is_sqlite(test->store))
		look_sqlite(test);
	else
		look_postgres(test);
}

TEST(jobs_are_found_by_indexes_sqlite)
{
	jobs_test_with(running, LEN(running));
	jobs_test_run(ENGINE_SQLITE, find_plans);
}

TEST(jobs_are_found_by_indexes_postgres)
{
	jobs_test_with(running, LEN(running));
	jobs_test_run(ENGINE_POSTGRES, find_plans);
}
