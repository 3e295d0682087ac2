/* Opening: who is let in, what is said when it fails, TLS, and a pooler in between. */
#include "store/pg_fixture_test.h"

#include <stdio.h>

static struct pg_server server;
static char app_url[PG_URL_MAX], owner_url[PG_URL_MAX], super_url[PG_URL_MAX];

static struct store_options start_own(const char *const *options)
{
	pg_server_start(&server, options);
	pg_server_database(&server, "things");
	(void)pg_server_url(&server, "postgres", "things", "", super_url);
	(void)pg_server_url(&server, "owner", "things", "", owner_url);
	return (struct store_options){ .url = pg_server_url(
					       &server, "app", "things", "", app_url) };
}

static void expect_refused(const struct store_options *options, int code, const char *words)
{
	struct store *store;
	int r = store_open(options, &store);

	test_note(r == code && strstr(err_text(), words), __FILE__, __LINE__,
		"%d \"%s\", wanted %d and \"%s\"", r, r < 0 ? err_text() : "", code, words);
	if (r == 0)
		store_close(store);
}

static void expect_opens(const struct store_options *options)
{
	struct store *store;
	int r = store_open(options, &store);

	if (test_note(r == 0, __FILE__, __LINE__, "%s", r < 0 ? err_text() : ""))
		store_close(store);
}

/* --- rights ----------------------------------------------------------------------------------- */

TEST(pg_open_refuses_what_would_undo_tenancy)
{
	static const struct {
		const char *before, *after;
		bool only_production;
		const char *words;
	} cases[] = {
		{ "ALTER ROLE app SUPERUSER", "ALTER ROLE app NOSUPERUSER", false, "superuser" },
		{ "ALTER ROLE app BYPASSRLS", "ALTER ROLE app NOBYPASSRLS", false, "bypass" },
		{ "GRANT postgres TO app", "REVOKE postgres FROM app", false, "member of a role" },
		{ "ALTER ROLE app INHERIT", "ALTER ROLE app NOINHERIT", false, "NOINHERIT" },
		{ "ALTER ROLE app_system RENAME TO x", "ALTER ROLE x RENAME TO app_system", false,
			"no role for system work" },
		{ "REVOKE app_system FROM app", "GRANT app_system TO app", false, "no member" },
		{ "ALTER TABLE main.thing NO FORCE ROW LEVEL SECURITY",
			"ALTER TABLE main.thing FORCE ROW LEVEL SECURITY", false,
			"forced row-level security" },
		{ "CREATE VIEW main.all_things AS SELECT * FROM main.thing;"
		  "GRANT SELECT ON main.all_things TO app",
			"DROP VIEW main.all_things", false, "forced row-level security" },
		{ "CREATE TABLE main.part (tenant_id uuid, id uuid REFERENCES main.whole (id) ON "
		  "DELETE CASCADE)",
			"DROP TABLE main.part", false, "cascades past row-level security" },
		{ "CREATE TABLE main.part (tenant_id uuid, other uuid, FOREIGN KEY (other, "
		  "tenant_id) REFERENCES main.whole (tenant_id, id))",
			"DROP TABLE main.part", false, "does not compare it" },
		{ "GRANT owner TO app", "REVOKE owner FROM app", true, "owns tables" },
		{ "ALTER SCHEMA main RENAME TO other", "ALTER SCHEMA other RENAME TO main", false,
			"must be migrated" },
	};
	const char *const with_fsync[] = { "--fsync", NULL };
	struct store_options options = start_own(with_fsync);
	struct pg_bench bench;

	options.production = true;
	pg_bench_open(&bench, &options, str_from_c(owner_url)); /* migrates */
	pg_bench_close(&bench);
	/* What refers to it as it should; the login has no rights on either. */
	pg_run(str_from_c(super_url),
		"CREATE TABLE main.whole (tenant_id uuid, id uuid UNIQUE, UNIQUE (tenant_id, id), "
		"UNIQUE (id, tenant_id));"
		"CREATE TABLE main.right_part (tenant_id uuid, id uuid, FOREIGN KEY (id, "
		"tenant_id) "
		"REFERENCES main.whole (id, tenant_id) ON DELETE CASCADE)");
	for (size_t i = 0; i < LEN(cases); i++) {
		pg_run(str_from_c(super_url), cases[i].before);
		options.production = true;
		expect_refused(&options, -ERR_INVALID, cases[i].words);
		options.production = false;
		if (cases[i].only_production)
			expect_opens(&options);
		else
			expect_refused(&options, -ERR_INVALID, cases[i].words);
		pg_run(str_from_c(super_url), cases[i].after);
	}
	options.production = true;
	expect_opens(&options);
	pg_server_remove(&server);
}

TEST(pg_open_refuses_fsync_off_in_production)
{
	struct store_options options = start_own(NULL);
	struct pg_bench bench;

	pg_bench_open(&bench, &options, str_from_c(owner_url));
	pg_bench_close(&bench);
	expect_opens(&options);
	options.production = true;
	expect_refused(&options, -ERR_INVALID, "fsync=off");
	pg_server_remove(&server);
}

TEST(pg_open_tells_why_it_cannot_connect)
{
	static const struct {
		const char *url;
		int code;
		const char *words;
	} cases[] = {
		{ "postgresql://app:geheim@127.0.0.1:1/x", -ERR_UNAVAILABLE, "Connection refused" },
		{ "postgresql://app:geheim@host.invalid/x", -ERR_UNAVAILABLE, "host.invalid" },
		{ "postgresql://app:geheim@/x?host=/nowhere", -ERR_UNAVAILABLE, "/nowhere" },
		{ "postgresql://app:geheim@%zz/x", -ERR_INVALID, "no URL" },
		{ "postgresql://app:geheim@h/x?no_such=geheim", -ERR_INVALID, "no URL" },
		{ "mysql://app:geheim@h/x", -ERR_INVALID, "no URL" },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		const struct store_options options = { .url = str_from_c(cases[i].url) };

		expect_refused(&options, cases[i].code, cases[i].words);
		EXPECT(!strstr(err_text(), "geheim"));
	}
}

/* --- statements ----------------------------------------------------------- */

struct wrong {
	double amount;
	struct str id;
	struct str tenant_id;
};

static const struct schema wrong_schema =
	SCHEMA(wrong, "Wrong kinds.", FIELD(wrong, amount, "A real."), FIELD(wrong, id, "No UUID."),
		FIELD(wrong, tenant_id, "Which.", .format = FORMAT_UUID));

#define WRONG(name_, sql_, ...) STATEMENT(name_, .sql = sql_, ##__VA_ARGS__)

static const struct statement wrong_kind =
	WRONG("wrong_kind", "SELECT id FROM thing WHERE tenant_id = :tenant", .out = &wrong_schema);
static const struct statement wrong_param = WRONG("wrong_param",
	"UPDATE main.thing SET amount = :amount WHERE tenant_id = :tenant", .in = &wrong_schema);
static const struct statement wrong_member = WRONG(
	"wrong_member", "SELECT name FROM thing WHERE tenant_id = :tenant", .out = &wrong_schema);
static const struct statement wrong_twice = WRONG("wrong_twice",
	"SELECT tenant_id, tenant_id FROM thing WHERE tenant_id = :tenant", .out = &wrong_schema);
static const struct statement wrong_table = WRONG("wrong_table",
	"SELECT tenant_id FROM nothing WHERE tenant_id = :tenant", .out = &wrong_schema);
static const struct statement wrong_system_table = WRONG("wrong_system_table",
	"SELECT name AS tenant_id FROM migration WHERE name = :tenant", .out = &wrong_schema);
static const struct statement wrong_column = WRONG("wrong_column",
	"SELECT nothing AS tenant_id FROM thing WHERE tenant_id = :tenant", .out = &wrong_schema);
static const struct statement wrong_rows =
	WRONG("wrong_rows", "DELETE FROM main.thing WHERE tenant_id = :tenant RETURNING tenant_id");
static const struct statement wrong_no_rows = WRONG(
	"wrong_no_rows", "DELETE FROM main.thing WHERE tenant_id = :tenant", .out = &wrong_schema);

TEST(pg_statements_are_checked_against_the_database)
{
	static const struct {
		const struct statement *statement;
		const char *words;
	} cases[] = {
		{ &wrong_kind, "does not fit text" },
		{ &wrong_param, "does not take" },
		{ &wrong_member, "no member" },
		{ &wrong_twice, "twice" },
		{ &wrong_table, "no table of tenants" },
		{ &wrong_system_table, "no table of tenants" },
		{ &wrong_column, "nothing" },
		{ &wrong_rows, "no schema" },
		{ &wrong_no_rows, "gives none" },
	};
	struct store_options options = { .url = store_test_postgres(false) };
	struct pg_bench bench;
	struct store *store;

	pg_bench_open(&bench, &options, store_test_postgres(true));
	pg_bench_close(&bench);
	REQUIRE(store_open(&options, &store) == 0);
	for (size_t i = 0; i < LEN(cases); i++) {
		int r = store_register(store, &cases[i].statement, 1);

		test_note(r == -ERR_INVALID && strstr(err_text(), cases[i].words) &&
				  strstr(err_text(), cases[i].statement->name),
			__FILE__, __LINE__, "%s: %d %s", cases[i].statement->name, r, err_text());
	}
	store_close(store);
}

/* --- in use --------------------------------------------------------------- */

static int add_and_set(struct tx *tx, void *arg)
{
	struct thing thing = *(const struct thing *)arg, read;
	int r = tx_exec(tx, &thing_add, &thing);

	thing.amount = 3;
	if (r == 0)
		r = tx_exec(tx, &thing_set, &thing);
	return r < 0 ? r : tx_one(tx, &thing_get, &thing, &read);
}

static int work(void *arg)
{
	struct pg_bench *bench = arg;
	struct arena arena;

	arena_init(&arena, 16 * KILOBYTE, MEGABYTE);
	for (int i = 0; i < 20; i++) {
		struct uuid tenant = { { 1, [15] = (uint8_t)(i % 3 + 1) } };
		struct db db = db_of(bench->store, &tenant, &arena);
		struct thing thing = { .id = thing_id(&arena), .amount = 2 };
		int r = -ERR_UNAVAILABLE;

		thing.name = thing.id;
		for (int k = 0; k < 20 && r == -ERR_UNAVAILABLE; k++) /* conflicts */
			r = db_write(&db, add_and_set, &thing);
		test_note(r == 0, __FILE__, __LINE__, "%s", r ? err_text() : "");
		r = db_one(&db, &thing_get, &thing, &thing);
		test_note(r == 0, __FILE__, __LINE__, "%s", r ? err_text() : "");
		EXPECT_INT(thing.amount, 3);
	}
	arena_done(&arena);
	return 0;
}

static int work_together(struct pg_bench *bench, unsigned worker)
{
	struct arena arena;
	struct scope scope;
	struct total total;
	struct db system = db_of_system(bench->store, &arena);

	(void)worker;
	arena_init(&arena, 16 * KILOBYTE, MEGABYTE);
	scope_open(&scope, TIME_NEVER);
	for (int i = 0; i < 6; i++)
		EXPECT_INT(scope_spawn(&scope, work, bench), 0);
	EXPECT_INT(scope_close(&scope), 0);
	EXPECT_INT(db_one(&system, &thing_total_of_all, NULL, &total), 0);
	EXPECT_INT(total.count, 120);
	EXPECT_INT(total.sum, 360);
	arena_done(&arena);
	return 0;
}

static void use(const struct store_options *options)
{
	struct pg_bench bench;

	pg_bench_open(&bench, options, str_from_c(owner_url));
	pg_bench_run(&bench, 1, work_together);
	pg_bench_close(&bench);
}

/* --- TLS ------------------------------------------------------------------ */

static struct str tls_url(char *url, const char *password, const char *authority)
{
	(void)snprintf(url, PG_URL_MAX,
		"postgresql://app:%s@127.0.0.1:%u/things?sslmode=verify-full&sslrootcert=%s/%s.pem",
		password, server.port, server.folder, authority);
	return str_from_c(url);
}

TEST(pg_over_tls_with_the_right_authority)
{
	static const char *const with_tls[] = { "--tcp", "--tls", NULL };
	struct store_options options = start_own(with_tls);
	char url[PG_URL_MAX];

	options.url = tls_url(url, "secret", "ca");
	use(&options);
	EXPECT_STR(str_from_c(pg_ask(options.url,
			   "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")),
		S("t"));

	options.url = tls_url(url, "secret", "stranger");
	expect_refused(&options, -ERR_UNAVAILABLE, "certificate verify failed");
	options.url = tls_url(url, "geheim", "ca");
	expect_refused(&options, -ERR_UNAVAILABLE, "password authentication failed");
	EXPECT(!strstr(err_text(), "geheim"));
	pg_server_remove(&server);
}

/* --- a pooler ------------------------------------------------------------- */

static void use_pooler(bool unprepared, bool direct)
{
	static const char *const with_pooler[] = { "--pooler", NULL };
	struct pg_server pooler;
	char url[PG_URL_MAX];
	struct store_options options = start_own(with_pooler);

	pooler = server;
	pooler.port = 6432;
	if (direct)
		options.direct_url = options.url;
	options.url = pg_server_url(&pooler, "app", "things", "", url);
	options.unprepared = unprepared;
	use(&options);
	pg_server_remove(&server);
}

TEST(pg_behind_a_pooler_without_prepared_statements)
{
	use_pooler(true, true);
}

TEST(pg_behind_a_pooler_without_a_way_past_it)
{
	use_pooler(true, false);
}

/* Of its servers each has prepared something else: found out, and given up. */
TEST(pg_behind_a_pooler_that_keeps_no_prepared_statements)
{
	use_pooler(false, true);
}

TEST(pg_without_prepared_statements)
{
	struct store_options options = start_own(NULL);

	options.unprepared = true;
	use(&options);
	pg_server_remove(&server);
}
