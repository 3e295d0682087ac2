/* What keeps tenants apart in PostgreSQL, tried by connecting as the login of the program; roles
 * and who may make them; drift; locks; indexes that are made concurrently. */
#include "store/migrate_test.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "observe/clock.h"
#include "store/migrate_pg.h"
#include "store/pg_server_test.h"

#include <libpq-fe.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ONE "01900000-0000-7000-8000-000000000001"
#define TWO "01900000-0000-7000-8000-000000000002"

#define TABLES                                                                                     \
	"-- up 1: notes\n"                                                                         \
	"CREATE TABLE main.note (tenant_id uuid NOT NULL, id bigint NOT NULL, title text, "        \
	"PRIMARY KEY (tenant_id, id));\n"                                                          \
	"CREATE TABLE main.plan (id bigint PRIMARY KEY, name text);\n"                             \
	"INSERT INTO main.note VALUES ('" ONE "', 1, 'a'), ('" ONE "', 2, 'b'), ('" TWO            \
	"', 1, 'c');\n"                                                                            \
	"INSERT INTO main.plan VALUES (1, 'free');\n"

/* --- a session that stays --------------------------------------------------------- */

static PGconn *session(struct str url)
{
	PGconn *connection = PQconnectdb(url.at);

	if (!test_note(PQstatus(connection) == CONNECTION_OK, __FILE__, __LINE__, "%s",
		    PQerrorMessage(connection)))
		test_end();
	return connection;
}

static char answer[1000];

/* The first value, "rows N" of a change, or "ERROR ..." */
static const char *tell(PGconn *connection, const char *sql)
{
	PGresult *result = PQexec(connection, sql);

	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		(void)snprintf(answer, sizeof(answer), "%s",
			PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
	else if (PQresultStatus(result) == PGRES_COMMAND_OK)
		(void)snprintf(answer, sizeof(answer), "rows %s", PQcmdTuples(result));
	else
		(void)snprintf(answer, sizeof(answer), "ERROR %s",
			PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
	PQclear(result);
	return answer;
}

static void expect_told(PGconn *connection, const char *sql, const char *wanted, int line)
{
	const char *told = tell(connection, sql);
	bool right = strncmp(wanted, "ERROR", 5) == 0 ? strstr(told, wanted) == told
						      : strcmp(told, wanted) == 0;

	test_note(right, __FILE__, line, "%s: %s; wanted %s", sql, told, wanted);
}

#define TOLD(sql, wanted) expect_told(connection, sql, wanted, __LINE__)

static void open_test(struct migrate_test *test)
{
	migrate_test_open(test, ENGINE_POSTGRES);
}

static bool has_said(const struct migrate_test *test, const char *words)
{
	return str_find(buf_str(&test->said), str_from_c(words)) >= 0;
}

/* --- in force ----------------------------------------------------------------------- */

TEST(migrate_postgres_policies_hold)
{
	struct migrate_test test;
	PGconn *connection;

	open_test(&test);
	MUST(migrate_test_up(&test, TABLES));
	connection = session(test.options.store.url);

	/* Nobody is no tenant: an error, not all rows, and not none. */
	TOLD("SELECT count(*) FROM main.note",
		"ERROR unrecognized configuration parameter \"app.tenant\"");
	TOLD("BEGIN", "rows ");
	TOLD("SELECT set_config('app.tenant', '" ONE "', true)", ONE);
	TOLD("SELECT count(*) FROM main.note", "2");
	TOLD("SELECT count(*) FROM main.note WHERE tenant_id = '" TWO "'", "0");
	TOLD("UPDATE main.note SET title = 'x'", "rows 2");
	TOLD("DELETE FROM main.note WHERE id = 1", "rows 1");
	TOLD("INSERT INTO main.note VALUES ('" ONE "', 9, 'n')", "rows 1");
	TOLD("COMMIT", "rows ");
	TOLD("SELECT count(*) FROM main.note", "ERROR invalid input syntax for type uuid: \"\"");

	TOLD("SELECT set_config('app.tenant', '" ONE "', false)", ONE);
	TOLD("INSERT INTO main.note VALUES ('" TWO "', 9, 'n')",
		"ERROR new row violates row-level security policy");
	TOLD("UPDATE main.note SET tenant_id = '" TWO "'",
		"ERROR new row violates row-level security policy");
	TOLD("SELECT count(*) FROM main.plan", "ERROR permission denied for table plan");
	TOLD("INSERT INTO main.plan VALUES (2, 'x')", "ERROR permission denied for table plan");
	TOLD("SELECT count(*) FROM main.migration", "ERROR permission denied");
	TOLD("TRUNCATE main.note", "ERROR permission denied");
	TOLD("CREATE TABLE main.x (a int)", "ERROR permission denied for schema main");
	TOLD("ALTER TABLE main.note DISABLE ROW LEVEL SECURITY", "ERROR must be owner");
	TOLD("DROP POLICY tenant ON main.note", "ERROR must be owner");
	TOLD("SET row_security = off", "rows ");
	TOLD("SELECT count(*) FROM main.note", "ERROR query would be affected by row-level");
	TOLD("RESET row_security", "rows ");

	/* The other role is put on knowingly, and sees all. */
	TOLD("SET ROLE app_system", "rows ");
	TOLD("SELECT count(*) FROM main.note", "3");
	TOLD("INSERT INTO main.note VALUES ('" TWO "', 9, 'n')", "rows 1");
	TOLD("UPDATE main.plan SET name = 'x'", "rows 1");
	TOLD("SELECT count(*) FROM main.migration", "1");
	TOLD("DELETE FROM main.migration", "ERROR permission denied");
	TOLD("CREATE TABLE main.x (a int)", "ERROR permission denied for schema main");
	PQfinish(connection);
	migrate_test_close(&test);
}

TEST(migrate_postgres_store_tables)
{
	struct migration_source source = { "store", store_migrations };
	struct migrate_test test;
	PGconn *connection;

	open_test(&test);
	MUST(migrate_up(&test.options, &source, 1));
	connection = session(test.options.store.url);
	TOLD("SELECT set_config('app.tenant', '" ONE "', false)", ONE);
	TOLD("INSERT INTO main.outbox (tenant_id, id, type, created_us) VALUES ('" ONE "', '" TWO
	     "', 'note.made', 1)",
		"rows 1");
	TOLD("SELECT position FROM main.outbox WHERE xact = pg_current_xact_id_if_assigned()", "");
	TOLD("SELECT position FROM main.outbox", "1");
	TOLD("INSERT INTO main.outbox (tenant_id, id, type, created_us) VALUES ('" ONE "', '" TWO
	     "', 'note.made', 1)",
		"ERROR duplicate key value");
	TOLD("INSERT INTO main.notice (tenant_id, topic, key, origin, created_us) VALUES ('" ONE
	     "', 'a', 'b', 7, 1)",
		"rows 1");
	PQfinish(connection);
	migrate_test_close(&test);
}

/* --- drift ------------------------------------------------------------------------------ */

TEST(migrate_postgres_mends_what_was_changed)
{
	static const char *const harm[] = {
		"ALTER TABLE main.note DISABLE ROW LEVEL SECURITY",
		"ALTER TABLE main.note NO FORCE ROW LEVEL SECURITY",
		"DROP POLICY tenant ON main.note",
		"DROP POLICY system ON main.note",
		"ALTER POLICY tenant ON main.note USING (true)",
		"ALTER POLICY tenant ON main.note WITH CHECK (true)",
		"ALTER POLICY tenant ON main.note TO PUBLIC",
		"ALTER POLICY system ON main.note TO app",
		"GRANT SELECT ON main.note TO PUBLIC",
		"GRANT SELECT ON main.plan TO app",
		"GRANT TRUNCATE ON main.note TO app",
		"REVOKE SELECT ON main.note FROM app",
		"GRANT DELETE ON main.migration TO app_system",
		"GRANT CREATE ON SCHEMA main TO app",
		"REVOKE USAGE ON SCHEMA main FROM app_system",
		"CREATE FUNCTION main.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
	};
	static const char look[] =
		"SELECT (SELECT string_agg(format('%s %s %s %s %s %s', polname, polcmd, polroles, "
		"pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), polrelid), "
		"'; ' ORDER BY polname) FROM pg_policy) || (SELECT string_agg(format('%s %s %s "
		"%s', "
		"relname, relacl, relrowsecurity, relforcerowsecurity), '; ' ORDER BY relname) "
		"FROM "
		"pg_class WHERE relnamespace = 'main'::regnamespace AND relkind = 'r') || (SELECT "
		"nspacl::text FROM pg_namespace WHERE nspname = 'main') || (SELECT count(*) FROM "
		"pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) x WHERE "
		"pronamespace = 'main'::regnamespace AND x.grantee = 0)";
	struct migrate_test test;
	char before[sizeof(answer)];

	open_test(&test);
	MUST(migrate_test_up(&test, TABLES));
	(void)snprintf(before, sizeof(before), "%s", pg_ask(test.options.owner_url, look));
	for (size_t i = 0; i < LEN(harm); i++) {
		pg_run(test.options.owner_url, harm[i]);
		test_note(strcmp(before, pg_ask(test.options.owner_url, look)) != 0, __FILE__,
			__LINE__, "%s does not show", harm[i]);
		test.options.dry_run = true;
		MUST(migrate_test_up(&test, TABLES));
		test_note(has_said(&test, "would run: "), __FILE__, __LINE__, "%s", harm[i]);
		test.options.dry_run = false;
		MUST(migrate_test_up(&test, TABLES));
		test_note(strcmp(before, pg_ask(test.options.owner_url, look)) == 0, __FILE__,
			__LINE__, "%s stays:\n%s\n%s", harm[i], before,
			pg_ask(test.options.owner_url, look));
	}
	migrate_test_close(&test);
}

TEST(migrate_postgres_refuses_other_policies)
{
	struct migrate_test test;

	open_test(&test);
	MUST(migrate_test_up(&test, TABLES));
	pg_run(test.options.owner_url, "CREATE POLICY peek ON main.note TO app USING (true)");
	FAILS(migrate_test_up(&test, TABLES), -ERR_INVALID,
		"tenants are not safe in main.note: it has a policy peek that is not the store's");
	pg_run(test.options.owner_url, "DROP POLICY peek ON main.note");
	pg_run(test.options.owner_url, "ALTER TABLE main.note DROP CONSTRAINT note_pkey; "
				       "ALTER TABLE main.note ALTER tenant_id DROP NOT NULL");
	FAILS(migrate_test_up(&test, TABLES), -ERR_INVALID, "tenant_id is not uuid NOT NULL");
	migrate_test_close(&test);
}

/* Somebody reads a table all the time: nothing to change is nothing to wait for. */
TEST(migrate_postgres_is_quick_when_nothing_changed)
{
	struct migrate_test test;
	PGconn *connection;
	uint64_t began_ns;

	open_test(&test);
	MUST(migrate_test_up(&test, TABLES));
	connection = session(test.options.owner_url);
	TOLD("BEGIN", "rows ");
	TOLD("LOCK main.note IN ROW EXCLUSIVE MODE", "rows ");
	began_ns = clock_now_ns();
	MUST(migrate_test_up(&test, TABLES));
	EXPECT(clock_now_ns() - began_ns < 4 * SECOND);
	EXPECT_STR(buf_str(&test.said), S("nothing to do\n"));
	PQfinish(connection);
	migrate_test_close(&test);
}

/* --- roles --------------------------------------------------------------------------------- */

/* A database and roles of the test's own. */
struct roles {
	struct migrate_test test;
	char name[32];
	char admin[PG_URL_MAX], owner[PG_URL_MAX], app[PG_URL_MAX];
};

static void run_admin(struct roles *roles, const char *format, ...) PRINTF_LIKE(2, 3);
static void run_admin(struct roles *roles, const char *format, ...)
{
	char sql[500];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(sql, sizeof(sql), format, args);
	va_end(args);
	pg_run(str_from_c(roles->admin), sql);
}

/* own_N owns the database; app_N may be there already. */
static void open_roles(struct roles *roles, const char *rights)
{
	const struct pg_server *server = pg_server_shared();
	char role[40];

	*roles = (struct roles){ 0 };
	(void)snprintf(roles->name, sizeof(roles->name), "roles_%d", (int)getpid());
	(void)pg_server_url(server, "postgres", "postgres", "", roles->admin);
	run_admin(roles, "CREATE ROLE own_%s LOGIN %s", roles->name, rights);
	run_admin(roles, "CREATE DATABASE %s OWNER own_%s", roles->name, roles->name);

	migrate_test_open(&roles->test, ENGINE_SQLITE);
	roles->test.engine = ENGINE_POSTGRES;
	(void)snprintf(role, sizeof(role), "own_%s", roles->name);
	roles->test.options.owner_url = pg_server_url(server, role, roles->name, "", roles->owner);
	(void)snprintf(role, sizeof(role), "app_%s", roles->name);
	roles->test.options.store.url =
		pg_server_url(server, role, roles->name, "&password=hush%27hush", roles->app);
}

static void close_roles(struct roles *roles)
{
	run_admin(roles, "DROP DATABASE %s WITH (FORCE)", roles->name);
	run_admin(roles, "DROP ROLE IF EXISTS app_%s_system, app_%s, own_%s", roles->name,
		roles->name, roles->name);
	migrate_test_close(&roles->test);
}

static const char *ask_role(struct roles *roles, const char *what, const char *suffix)
{
	char sql[300];

	(void)snprintf(sql, sizeof(sql), "SELECT %s FROM pg_authid WHERE rolname = 'app_%s%s'",
		what, roles->name, suffix);
	return pg_ask(str_from_c(roles->admin), sql);
}

TEST(migrate_postgres_makes_roles)
{
	struct roles roles;
	PGconn *connection;

	open_roles(&roles, "CREATEROLE");
	roles.test.options.dry_run = true;
	MUST(migrate_test_up(&roles.test, TABLES));
	EXPECT(has_said(&roles.test, " LOGIN NOINHERIT PASSWORD '...'"));
	EXPECT(!has_said(&roles.test, "hush"));
	roles.test.options.dry_run = false;
	MUST(migrate_test_up(&roles.test, TABLES));
	EXPECT_STR(str_from_c(ask_role(&roles,
			   "rolcanlogin AND NOT rolinherit AND rolpassword LIKE "
			   "'SCRAM%'",
			   "")),
		S("t"));
	EXPECT_STR(str_from_c(ask_role(&roles, "NOT rolcanlogin", "_system")), S("t"));

	connection = session(roles.test.options.store.url);
	TOLD("SELECT set_config('app.tenant', '" ONE "', false)", ONE);
	TOLD("SELECT count(*) FROM main.note", "2");
	PQfinish(connection);
	MUST(migrate_test_up(&roles.test, TABLES));
	EXPECT_STR(buf_str(&roles.test.said), S("nothing to do\n"));

	run_admin(&roles, "ALTER ROLE app_%s INHERIT", roles.name);
	MUST(migrate_test_up(&roles.test, TABLES));
	EXPECT_STR(str_from_c(ask_role(&roles, "rolinherit", "")), S("f"));
	close_roles(&roles);
}

/* What is shown can be run as it is, and then it works. */
TEST(migrate_postgres_tells_the_administrator)
{
	struct roles roles;
	size_t shown = 0;

	open_roles(&roles, "");
	for (int tries = 0; tries < 4; tries++) {
		struct str rest;
		int r = migrate_test_up(&roles.test, TABLES);

		if (r == 0)
			break;
		FAILS(r, -ERR_FORBIDDEN, "an administrator of the database has to run");
		EXPECT(!has_said(&roles.test, "hush"));
		rest = buf_str(&roles.test.said);
		while (rest.at) {
			struct str line = str_cut(&rest, '\n');

			if (!str_starts(line, S("    ")))
				continue;
			run_admin(&roles, "%.*s", STR_ARG(line));
			shown++;
		}
	}
	EXPECT_INT(shown, 3);
	MUST(migrate_test_up(&roles.test, TABLES));
	EXPECT_STR(buf_str(&roles.test.said), S("nothing to do\n"));
	close_roles(&roles);
}

TEST(migrate_postgres_refuses_logins_above_policies)
{
	struct roles roles;

	open_roles(&roles, "CREATEROLE");
	run_admin(&roles, "CREATE ROLE app_%s LOGIN SUPERUSER", roles.name);
	FAILS(migrate_test_up(&roles.test, TABLES), -ERR_INVALID,
		"is a superuser or has BYPASSRLS, and row-level security does not bind it");
	run_admin(&roles, "ALTER ROLE app_%s NOSUPERUSER BYPASSRLS", roles.name);
	FAILS(migrate_test_up(&roles.test, TABLES), -ERR_INVALID, "BYPASSRLS");
	run_admin(&roles, "ALTER ROLE app_%s NOBYPASSRLS", roles.name);
	run_admin(&roles, "GRANT own_%s TO app_%s", roles.name, roles.name);
	FAILS(migrate_test_up(&roles.test, TABLES), -ERR_INVALID, "who owns the tables");
	run_admin(&roles, "REVOKE own_%s FROM app_%s", roles.name, roles.name);
	MUST(migrate_test_up(&roles.test, TABLES));
	close_roles(&roles);
}

/* One login that owns and serves, as in development: bound by its own policies. */
TEST(migrate_postgres_with_one_login)
{
	static const char more[] =
		TABLES "-- up 2: louder\nUPDATE main.note SET title = upper(title) WHERE id > 0;\n";
	struct roles roles;
	PGconn *connection;

	open_roles(&roles, "CREATEROLE NOINHERIT");
	roles.test.options.store.url = roles.test.options.owner_url;
	roles.test.options.owner_url = str_of(NULL, 0);
	MUST(migrate_test_up(&roles.test, TABLES));
	MUST(migrate_test_up(&roles.test, more));
	connection = session(roles.test.options.store.url);
	TOLD("SELECT count(*) FROM main.note", "ERROR unrecognized configuration parameter");
	TOLD("SELECT set_config('app.tenant', '" TWO "', false)", TWO);
	TOLD("SELECT string_agg(title, '') FROM main.note", "C");
	TOLD("SELECT set_config('app.tenant', '" ONE "', false)", ONE);
	TOLD("SELECT string_agg(title, '' ORDER BY title) FROM main.note", "AB");
	PQfinish(connection);
	MUST(migrate_test_up(&roles.test, more));
	EXPECT_STR(buf_str(&roles.test.said), S("nothing to do\n"));
	run_admin(&roles, "DROP DATABASE %s WITH (FORCE)", roles.name);
	run_admin(&roles, "CREATE DATABASE %s", roles.name);
	run_admin(&roles, "DROP ROLE own_%s_system", roles.name);
	close_roles(&roles);
}

TEST(migrate_postgres_urls_that_do_not_do)
{
	struct migrate_test test;

	open_test(&test);
	test.options.store.url = S("postgresql:///x?host=/nowhere");
	FAILS(migrate_test_up(&test, TABLES), -ERR_INVALID, "names no user");
	test.options.store.url =
		S("postgresql://a123456789012345678901234567890123456789012345678901234567890@/x");
	FAILS(migrate_test_up(&test, TABLES), -ERR_INVALID, "a name of more than 56 bytes");
	test.options.store.url = S("postgresql://[");
	FAILS(migrate_test_up(&test, TABLES), -ERR_INVALID, "cannot be read");
	test.options.store.url = S("postgresql://app@/x");
	test.options.owner_url = S("postgresql://owner:hush%zz@/x");
	FAILS(migrate_test_up(&test, TABLES), -ERR_INVALID, "cannot be read");
	EXPECT(strstr(err_text(), "hush") == NULL);
	test.options.owner_url = S("postgresql://owner:hush@/x?host=/nowhere");
	FAILS(migrate_test_up(&test, TABLES), -ERR_UNAVAILABLE,
		"cannot connect to migrate: connection to server on socket "
		"\"/nowhere/.s.PGSQL.5432\" "
		"failed: No such file or directory");
	EXPECT(strstr(err_text(), "hush") == NULL);
	migrate_test_close(&test);
}

TEST(migrate_postgres_without_the_owner)
{
	struct migrate_test test;

	open_test(&test);
	MUST(migrate_test_up(&test, TABLES));
	test.options.owner_url = str_of(NULL, 0);
	FAILS(migrate_test_up(&test, TABLES), -ERR_FORBIDDEN, "app does not own the tables");
	migrate_test_close(&test);
}

/* --- rows of tenants in migrations --------------------------------------------------------- */

/* The owner is bound by the policies, too, and none is for it: without care a change of rows would
 * touch none, silently. */
TEST(migrate_postgres_changes_rows_of_all_tenants)
{
	static const char more[] =
		TABLES "-- up 2: louder\nUPDATE main.note SET title = upper(title) WHERE id > 0;\n";
	struct migrate_test test;

	open_test(&test);
	MUST(migrate_test_up(&test, TABLES));
	EXPECT_STR(str_from_c(pg_ask(test.options.owner_url, "SELECT count(*) FROM main.note")),
		S("0"));
	MUST(migrate_test_up(&test, more));
	EXPECT_STR(str_from_c(pg_ask(test.options.owner_url,
			   "SELECT relforcerowsecurity FROM pg_class WHERE relname = 'note'")),
		S("t"));
	pg_run(test.options.owner_url, "ALTER TABLE main.note NO FORCE ROW LEVEL SECURITY");
	EXPECT_STR(str_from_c(pg_ask(test.options.owner_url,
			   "SELECT string_agg(title, '' ORDER BY title) FROM main.note")),
		S("ABC"));
	migrate_test_close(&test);
}

/* As a member of the role for system work the owner needs not lock the tables. */
TEST(migrate_postgres_changes_rows_as_member)
{
	static const char more[] =
		TABLES "-- up 2: louder\nUPDATE main.note SET title = upper(title) WHERE id > 0;\n";
	struct roles roles;
	PGconn *connection;

	open_roles(&roles, "CREATEROLE");
	MUST(migrate_test_up(&roles.test, TABLES));
	connection = session(roles.test.options.store.url);
	TOLD("SELECT set_config('app.tenant', '" ONE "', false)", ONE);
	TOLD("BEGIN", "rows ");
	TOLD("SELECT count(*) FROM main.note", "2"); /* and its lock stays */
	MUST(migrate_test_up(&roles.test, more));
	TOLD("SELECT string_agg(title, '' ORDER BY title) FROM main.note", "AB");
	PQfinish(connection);
	close_roles(&roles);
}

/* --- locks ---------------------------------------------------------------- */

TEST(migrate_postgres_waits_for_other_instances)
{
	struct migrate_test test;
	PGconn *connection;

	open_test(&test);
	MUST(migrate_test_up(&test, TABLES));
	connection = session(test.options.owner_url);
	TOLD("SELECT pg_advisory_lock(" MIGRATE_LOCK_KEY ")", "");
	test.options.wait_ns = 300 * MILLISECOND;
	FAILS(migrate_test_up(&test, TABLES), -ERR_UNAVAILABLE, "another instance migrates");
	EXPECT(has_said(&test, "another instance migrates the database; waiting"));
	PQfinish(connection);
	test.options.wait_ns = 5 * SECOND;
	MUST(migrate_test_up(&test, TABLES));
	migrate_test_close(&test);
}

static pid_t start_migrator(struct migrate_test *test, const char *text)
{
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (pid == 0)
		_exit(migrate_test_up(test, text) == 0 ? 0 : 1);
	return pid;
}

static int wait_for(pid_t pid)
{
	int status = 0;

	REQUIRE(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Until the condition, a query, is true. */
static void wait_until(struct str url, const char *sql)
{
	for (int i = 0; i < 500; i++) {
		if (strcmp(pg_ask(url, sql), "t") == 0)
			return;
		usleep(20000);
	}
	test_note(false, __FILE__, __LINE__, "never: %s", sql);
	test_end();
}

#define SOMEBODY_WAITS                                                                             \
	"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname "  \
	"= "                                                                                       \
	"current_database())"

/* Killed between two statements of one transaction: neither is there. */
TEST(migrate_postgres_killed_between_statements)
{
	static const char more[] = TABLES "-- up 2: more\nCREATE TABLE main.first (a bigint);\n"
					  "ALTER TABLE main.note ADD more text;\n";
	struct migrate_test test;
	PGconn *connection;
	pid_t pid;

	open_test(&test);
	MUST(migrate_test_up(&test, TABLES));
	connection = session(test.options.owner_url);
	TOLD("BEGIN", "rows ");
	TOLD("LOCK main.note IN ACCESS SHARE MODE", "rows ");
	pid = start_migrator(&test, more);
	wait_until(test.options.owner_url, SOMEBODY_WAITS);
	(void)kill(pid, SIGKILL);
	EXPECT_INT(wait_for(pid), -1);
	PQfinish(connection);
	wait_until(test.options.owner_url, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE "
					   "application_name = 'bulkhead "
					   "migrate' AND datname = current_database())");
	EXPECT_STR(str_from_c(pg_ask(
			   test.options.owner_url, "SELECT to_regclass('main.first') IS NULL")),
		S("t"));
	MUST(migrate_test_up(&test, more));
	migrate_test_close(&test);
}

/* A lock that somebody holds for longer than we wait: nobody waits behind us, and we try again. */
TEST(migrate_postgres_tries_again_behind_a_lock)
{
	static const char more[] = TABLES "-- up 2: more\nALTER TABLE main.note ADD more text;\n";
	struct migrate_test test;
	PGconn *connection;
	pid_t pid;

	open_test(&test);
	MUST(migrate_test_up(&test, TABLES));
	connection = session(test.options.owner_url);
	TOLD("BEGIN", "rows ");
	TOLD("LOCK main.note IN ACCESS SHARE MODE", "rows ");
	pid = start_migrator(&test, more);
	wait_until(test.options.owner_url, SOMEBODY_WAITS);
	wait_until(test.options.owner_url, "SELECT NOT (" SOMEBODY_WAITS ")"); /* it let go */
	PQfinish(connection);
	EXPECT_INT(wait_for(pid), 0);
	migrate_test_close(&test);
}

/* --- indexes beside traffic ----------------------------------------------- */

#define INDEXED                                                                                    \
	TABLES "-- up 2: indexes\n"                                                                \
	       "CREATE INDEX CONCURRENTLY note_title ON main.note (tenant_id, title);\n"           \
	       "CREATE UNIQUE INDEX CONCURRENTLY \"Note_id\" ON main.note (tenant_id, id, "        \
	       "title);\n"

#define VALID_INDEXES                                                                              \
	"SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE "           \
	"c.relname IN ('note_title', 'Note_id') AND i.indisvalid"

/* A killed attempt leaves an index that is no good: it is dropped and made again. */
TEST(migrate_postgres_killed_while_indexing)
{
	struct migrate_test test;
	PGconn *connection;
	pid_t pid;

	open_test(&test);
	MUST(migrate_test_up(&test, TABLES));
	connection = session(test.options.owner_url);
	TOLD("BEGIN", "rows ");
	TOLD("LOCK main.note IN ROW EXCLUSIVE MODE", "rows ");
	pid = start_migrator(&test, INDEXED);
	wait_until(test.options.owner_url,
		"SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'note_title')");
	(void)kill(pid, SIGKILL);
	EXPECT_INT(wait_for(pid), -1);
	pg_run(test.options.owner_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
				       "WHERE application_name = 'bulkhead migrate' AND "
				       "datname = current_database()");
	PQfinish(connection);
	EXPECT_STR(str_from_c(pg_ask(test.options.owner_url, VALID_INDEXES)), S("0"));
	EXPECT_STR(str_from_c(pg_ask(test.options.owner_url,
			   "SELECT count(*) FROM main.migration WHERE applied_us = 0")),
		S("1"));

	MUST(migrate_test_up(&test, INDEXED));
	EXPECT_STR(str_from_c(pg_ask(test.options.owner_url, VALID_INDEXES)), S("2"));
	EXPECT_STR(str_from_c(pg_ask(test.options.owner_url,
			   "SELECT count(*) FROM main.migration WHERE applied_us > 0")),
		S("2"));
	migrate_test_close(&test);
}

/* What an attempt has made is kept when the text is the same, and made anew when it is not; what
 * others made under that name is not touched. */
TEST(migrate_postgres_takes_up_indexes)
{
	static const char broken[] = TABLES
		"-- up 2: indexes\n"
		"CREATE INDEX CONCURRENTLY note_title ON main.note (tenant_id, title);\n"
		"CREATE UNIQUE INDEX CONCURRENTLY \"Note_id\" ON main.note (tenant_id, nothing);\n";
	static const char oid[] = "SELECT oid FROM pg_class WHERE relname = 'note_title'";
	struct migrate_test test;
	char before[32];

	open_test(&test);
	MUST(migrate_test_up(&test, TABLES));
	pg_run(test.options.owner_url, "CREATE INDEX note_title ON main.note (title)");
	for (int i = 0; i < 2; i++)
		FAILS(migrate_test_up(&test, INDEXED), -ERR_INVALID,
			"notes.sql:7: something of that name is there already");
	pg_run(test.options.owner_url, "DROP INDEX main.note_title");

	FAILS(migrate_test_up(&test, broken), -ERR_INVALID, "notes.sql:8: column \"nothing\"");
	(void)snprintf(before, sizeof(before), "%s", pg_ask(test.options.owner_url, oid));
	FAILS(migrate_test_up(&test, broken), -ERR_INVALID, "notes.sql:8: column \"nothing\"");
	EXPECT_STR(str_from_c(pg_ask(test.options.owner_url, oid)), str_from_c(before));
	MUST(migrate_test_up(&test, INDEXED));
	EXPECT(strcmp(pg_ask(test.options.owner_url, oid), before) != 0);
	EXPECT_STR(str_from_c(pg_ask(test.options.owner_url, VALID_INDEXES)), S("2"));
	migrate_test_close(&test);
}

/* Every allocation of ours failed in turn: an error, and nothing half done. */
TEST_SLOW(migrate_postgres_survives_every_failure, 120)
{
	static const char more[] =
		TABLES "-- up 2: more\nALTER TABLE main.note ADD more text;\n"
		       "-- down 2\nALTER TABLE main.note DROP more; -- safe: x\n";
	struct migrate_test test;
	bool struck = true;
	int r;

	open_test(&test);
	test.options.say = NULL;
	MUST(migrate_test_up(&test, TABLES));
	buf_done(&test.said);
	for (size_t nth = 1; struck; nth++) {
		fault_arm(FAULT_MEMORY, nth);
		r = migrate_test_up(&test, more);
		struck = fault_struck(FAULT_MEMORY);
		fault_arm(FAULT_MEMORY, 0);
		EXPECT_INT(r, struck ? -ERR_NO_MEMORY : 0);
		EXPECT_INT(mem_used(), 0);
		MUST(migrate_test_up(&test, more));
		MUST(migrate_test_down(&test, more, 1));
		REQUIRE(nth < 300);
	}
	migrate_test_close(&test);
}
