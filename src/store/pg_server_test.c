/* Starts servers by tests/postgres, and makes databases. */
#include "store/pg_server_test.h"

#include "base/hash.h"
#include "store/store_test.h"

#include <fcntl.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 16, STATUS_NOT_INSTALLED = 77, PATH_SIZE = 4096 };

/* tests/postgres of the working copy that this program was built in: build/FLAVOUR/unit. */
static const char *script(void)
{
	static char path[PATH_SIZE + 32];
	char program[PATH_SIZE];
	ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);

	CHECK(len > 0);
	program[len] = '\0';
	for (int up = 0; up < 3; up++) {
		char *slash = strrchr(program, '/');

		CHECK(slash);
		*slash = '\0';
	}
	(void)snprintf(path, sizeof(path), "%s/tests/postgres", program);
	return path;
}

/* Runs the script; its exit status. */
static int run_script(const char *command, const char *folder, const char *const *options)
{
	const char *arguments[ARGUMENTS_MAX] = { script(), command, folder };
	size_t count = 3;
	pid_t pid;
	int status;

	for (; options && *options; options++) {
		CHECK(count + 1 < ARGUMENTS_MAX);
		arguments[count++] = *options;
	}

	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		(void)dup2(null, STDOUT_FILENO);
		(void)execv(arguments[0], (char *const *)arguments);
		_exit(STATUS_NOT_INSTALLED);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static unsigned read_port(const char *folder)
{
	char path[PG_FOLDER_MAX + 16];
	unsigned port = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/port", folder);
	file = fopen(path, "re");
	CHECK(file && fscanf(file, "%u", &port) == 1);
	(void)fclose(file);
	return port;
}

static void start(struct pg_server *server, const char *const *options)
{
	int status = run_script("start", server->folder, options);

	if (status == STATUS_NOT_INSTALLED)
		test_skip("PostgreSQL is not installed");
	REQUIRE(status == 0);
	server->port = read_port(server->folder);
}

void pg_server_start(struct pg_server *server, const char *const *options)
{
	const char *base = getenv("TMPDIR");
	int len = snprintf(
		server->folder, sizeof(server->folder), "%s/postgres-XXXXXX", base ? base : "/tmp");

	REQUIRE(len < (int)sizeof(server->folder) && mkdtemp(server->folder));
	start(server, options);
}

void pg_server_restart(struct pg_server *server, const char *const *options)
{
	start(server, options);
}

void pg_server_stop(struct pg_server *server, const char *signal)
{
	REQUIRE(run_script("stop", server->folder, (const char *const[]){ signal, NULL }) == 0);
}

void pg_server_remove(struct pg_server *server)
{
	char command[PG_FOLDER_MAX + 16];

	pg_server_stop(server, "QUIT");
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", server->folder);
	EXPECT(system(command) == 0);
}

struct str pg_server_url(const struct pg_server *server, const char *role, const char *database,
	const char *more, char *url)
{
	int len = snprintf(url, PG_URL_MAX, "postgresql://%s@/%s?host=%s&port=%u%s", role, database,
		server->folder, server->port, more);

	CHECK(len > 0 && len < PG_URL_MAX);
	return str_of(url, (size_t)len);
}

/* --- the shared one -------------------------------------------------------------- */

/* When a process began, in ticks: with its number, which one it is. */
static unsigned long long birth_of(pid_t pid)
{
	unsigned long long ticks = 0;
	char path[64], line[1024];
	const char *at;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	at = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	(void)fclose(file);
	for (int field = 2; at && field < 22; field++) {
		at = strchr(at, ' ');
		at = at ? at + 1 : NULL;
	}
	if (at)
		ticks = strtoull(at, NULL, 10);
	return ticks;
}

/* The tests of a run are children of one runner: whoever of them is first starts the server, for as
 * long as the runner lives. */
static void start_shared(struct pg_server *server)
{
	const char *base = getenv("TMPDIR");
	char ready_path[PG_FOLDER_MAX + 16], runner[16];
	pid_t parent = getppid();
	int lock, len;

	len = snprintf(server->folder, sizeof(server->folder), "%s/unit-postgres-%d-%llu",
		base ? base : "/tmp", (int)parent, birth_of(parent));
	REQUIRE(len < (int)sizeof(server->folder));
	(void)snprintf(runner, sizeof(runner), "%d", (int)parent);
	(void)snprintf(ready_path, sizeof(ready_path), "%s/ready", server->folder);

	(void)mkdir(server->folder, 0700);
	lock = open(server->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	REQUIRE(lock >= 0 && flock(lock, LOCK_EX) == 0);
	if (access(ready_path, F_OK) == 0) {
		server->port = read_port(server->folder);
	} else {
		start(server, (const char *const[]){ "--for", runner, NULL });
		REQUIRE(close(open(ready_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) == 0);
	}
	(void)close(lock);
}

const struct pg_server *pg_server_shared(void)
{
	static struct pg_server shared;

	if (!shared.port)
		start_shared(&shared);
	return &shared;
}

/* --- databases ------------------------------------------------------------------- */

static PGconn *connect_to(struct str url)
{
	PGconn *connection = PQconnectdb(url.at);

	if (!test_note(PQstatus(connection) == CONNECTION_OK, __FILE__, __LINE__, "%s",
		    PQerrorMessage(connection)))
		test_end();
	return connection;
}

static void ignore_notice(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

static char answer[1024];

static void run(struct str url, const char *sql)
{
	PGconn *connection = connect_to(url);
	ExecStatusType status;
	PGresult *result;

	(void)PQsetNoticeReceiver(connection, ignore_notice, NULL);
	result = PQexec(connection, sql);
	status = PQresultStatus(result);
	if (!test_note(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK, __FILE__, __LINE__,
		    "%s: %s", sql, PQerrorMessage(connection)))
		test_end();
	(void)snprintf(answer, sizeof(answer), "%s",
		PQntuples(result) > 0 && PQnfields(result) > 0 ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
	PQfinish(connection);
}

void pg_run(struct str url, const char *sql)
{
	run(url, sql);
}

const char *pg_ask(struct str url, const char *sql)
{
	run(url, sql);
	return answer;
}

bool pg_somebody_waits(struct str url)
{
	return strcmp(pg_ask(url, "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
				  "WHERE NOT granted AND datname = current_database()"),
		       "0") != 0;
}

void pg_server_database(const struct pg_server *server, const char *name)
{
	char url[PG_URL_MAX], sql[200];

	(void)snprintf(
		sql, sizeof(sql), "CREATE DATABASE \"%s\" TEMPLATE pattern OWNER owner", name);
	pg_run(pg_server_url(server, "postgres", "postgres", "", url), sql);
}

/* Those of tests that have ended, however: nobody else throws them away before the server ends. */
static void drop_dead(PGconn *connection)
{
	PGresult *names = PQexec(connection, "SELECT datname, substr(datname, 6) FROM pg_database "
					     "WHERE datname ~ '^test_[0-9]+$'");

	for (int i = 0; i < PQntuples(names); i++) {
		char sql[200];

		if (kill((pid_t)strtol(PQgetvalue(names, i, 1), NULL, 10), 0) == 0)
			continue;
		(void)snprintf(sql, sizeof(sql), "DROP DATABASE IF EXISTS \"%s\" WITH (FORCE)",
			PQgetvalue(names, i, 0));
		PQclear(PQexec(connection, sql)); /* another test may be at it, too */
	}
	PQclear(names);
}

static struct {
	char name[32];
	bool made;
} own;

/* Makes this test's database. */
static void make_database(const char *pattern)
{
	const struct pg_server *server = pg_server_shared();
	char url[PG_URL_MAX], sql[200];
	PGconn *connection = connect_to(pg_server_url(server, "postgres", "postgres", "", url));

	(void)PQsetNoticeReceiver(connection, ignore_notice, NULL);
	drop_dead(connection);
	PQfinish(connection);
	(void)snprintf(sql, sizeof(sql), "CREATE DATABASE \"%s\" TEMPLATE \"%s\" OWNER owner",
		own.name, pattern);
	pg_run(pg_server_url(server, "postgres", "postgres", "", url), sql);
	own.made = true;
}

struct str store_test_postgres_url(bool owner)
{
	static char urls[2][PG_URL_MAX];

	if (!own.name[0]) /* a test's children have its database */
		(void)snprintf(own.name, sizeof(own.name), "test_%d", (int)getpid());
	return pg_server_url(
		pg_server_shared(), owner ? "owner" : "app", own.name, "", urls[owner]);
}

struct str store_test_postgres(bool owner)
{
	struct str url = store_test_postgres_url(owner);

	if (!own.made)
		make_database("pattern");
	return url;
}

/* --- migrated ones ----------------------------------------------------------------- */

/* What has been migrated alike has the same name. */
static void name_pattern(
	const struct migration_source *sources, size_t count, char *name, size_t size)
{
	struct hash_key key = { 1, 2 };

	for (size_t i = 0; i < count; i++) {
		key.low = hash_keyed(key, str_from_c(sources[i].module));
		key.high = hash_keyed(key, str_from_c(sources[i].text));
	}
	(void)snprintf(name, size, "pattern_%016" PRIx64 "%016" PRIx64, key.low, key.high);
}

/* Migrates a database to be copied; nobody else does so meanwhile. */
static int make_pattern(const char *pattern, const struct migration_options *options,
	const struct migration_source *sources, size_t count)
{
	const struct pg_server *server = pg_server_shared();
	char url[PG_URL_MAX], owner[PG_URL_MAX], sql[200];
	struct migration_options how = *options;
	struct str admin = pg_server_url(server, "postgres", "postgres", "", url);

	/* One who was killed has left half of it. */
	(void)snprintf(sql, sizeof(sql), "DROP DATABASE IF EXISTS \"%s\" WITH (FORCE)", pattern);
	pg_run(admin, sql);
	pg_server_database(server, pattern);
	how.store.url = pg_server_url(server, "app", pattern, "", url);
	how.owner_url = pg_server_url(server, "owner", pattern, "", owner);
	return migrate_up(&how, sources, count);
}

int store_test_postgres_migrate(const struct migration_options *options,
	const struct migration_source *sources, size_t count)
{
	char pattern[60], path[PG_FOLDER_MAX + 80];
	struct migration_options how = *options;
	struct stat status;
	int ready, r = 0;

	if (own.made) {
		how.owner_url = store_test_postgres_url(true);
		return migrate_up(&how, sources, count);
	}

	name_pattern(sources, count, pattern, sizeof(pattern));
	(void)snprintf(path, sizeof(path), "%s/%s", pg_server_shared()->folder, pattern);
	ready = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	REQUIRE(ready >= 0 && flock(ready, LOCK_EX) == 0 && fstat(ready, &status) == 0);
	if (status.st_size == 0) {
		r = make_pattern(pattern, options, sources, count);
		if (r == 0)
			REQUIRE(write(ready, "1", 1) == 1);
	}
	(void)close(ready);
	if (r == 0)
		make_database(pattern);
	return r;
}

TEST(postgres_gives_each_test_a_database)
{
	struct str owner = store_test_postgres(true), app = store_test_postgres(false);

	pg_run(owner, "CREATE TABLE main.x (a int); INSERT INTO main.x VALUES (7);"
		      "GRANT SELECT ON main.x TO app");
	EXPECT_STR(str_from_c(pg_ask(app, "SELECT a FROM main.x")), S("7"));
	EXPECT_STR(str_from_c(pg_ask(owner, "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE "
					    "rolname = current_user")),
		S("f"));
}

TEST(postgres_that_is_killed_starts_again_with_its_data)
{
	const char *const options[] = { "--fsync", NULL };
	char url[PG_URL_MAX];
	struct pg_server server;
	struct str owner;

	pg_server_start(&server, options);
	pg_server_database(&server, "kept");
	owner = pg_server_url(&server, "owner", "kept", "", url);
	pg_run(owner, "CREATE TABLE main.x AS SELECT 5 AS a");
	pg_server_stop(&server, "KILL");
	pg_server_restart(&server, options);
	EXPECT_STR(str_from_c(pg_ask(owner, "SELECT a FROM main.x")), S("5"));
	pg_server_remove(&server);
}
