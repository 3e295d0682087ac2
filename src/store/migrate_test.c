/* Migrations on both engines: history, edits, failures, crashes, two at once, down, dry runs. */
#include "store/migrate_test.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "observe/clock.h"
#include "store/folder_lock.h"
#include "store/migration_text.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TABLE                                                                                      \
	"-- up 1: notes\n"                                                                         \
	"CREATE TABLE main.note (tenant_id uuid NOT NULL, id uuid NOT NULL, title text NOT NULL, " \
	"PRIMARY KEY (tenant_id, id)) --sqlite: WITHOUT ROWID\n"                                   \
	";\n"                                                                                      \
	"-- down 1\n"                                                                              \
	"DROP TABLE main.note; -- safe: going down\n"
#define COLUMN                                                                                     \
	"-- up 2: stars\n"                                                                         \
	"ALTER TABLE main.note ADD COLUMN stars bigint NOT NULL DEFAULT 0;\n"                      \
	"-- down 2\n"                                                                              \
	"ALTER TABLE main.note DROP COLUMN stars; -- safe: going down\n"
#define INDEX                                                                                      \
	"-- up 3: find by title\n"                                                                 \
	"CREATE INDEX CONCURRENTLY note_title ON main.note (tenant_id, title);\n"                  \
	"-- down 3\n"                                                                              \
	"DROP INDEX CONCURRENTLY main.note_title;\n"

#define COUNT_APPLIED "SELECT count(*) FROM main.migration WHERE applied_us > 0"

static void expect_answer(struct migrate_test *test, const char *sql, const char *wanted, int line)
{
	const char *got = migrate_test_ask(test, sql);

	test_note(strcmp(got, wanted) == 0, __FILE__, line, "%s is \"%s\", wanted \"%s\"", sql, got,
		wanted);
}

#define EXPECT_ANSWER(sql, wanted) expect_answer(test, sql, wanted, __LINE__)

static bool has_said(const struct migrate_test *test, const char *words)
{
	return str_find(buf_str(&test->said), str_from_c(words)) >= 0;
}

static bool has_table(struct migrate_test *test, const char *name)
{
	char sql[200];

	(void)snprintf(sql, sizeof(sql),
		test->engine == ENGINE_POSTGRES
			? "SELECT 1 FROM pg_class WHERE relnamespace = 'main'::regnamespace AND "
			  "relname = '%s'"
			: "SELECT 1 FROM sqlite_schema WHERE name = '%s'",
		name);
	return migrate_test_ask(test, sql)[0] == '1';
}

/* --- up ------------------------------------------------------------------------- */

MIGRATE_TEST(migrate_up_applies_what_is_pending)
{
	int64_t before = clock_wall_us();

	MUST(migrate_test_up(test, TABLE));
	EXPECT(has_said(test, "applied notes 1: notes ("));
	EXPECT_ANSWER("SELECT module || ' ' || number || ' ' || title || ' ' || version "
		      "FROM main.migration",
		"notes 1 notes 0.1.0");
	EXPECT(strtoll(migrate_test_ask(test, "SELECT applied_us FROM main.migration"), NULL, 10) >=
		before);

	MUST(migrate_test_up(test, TABLE COLUMN INDEX));
	EXPECT(!has_said(test, "notes 1:"));
	EXPECT(has_said(test, "applied notes 2: stars (") &&
		has_said(test, "applied notes 3: find by title ("));
	EXPECT(has_table(test, "note_title"));

	MUST(migrate_test_up(test, TABLE COLUMN INDEX));
	EXPECT_STR(buf_str(&test->said), S("nothing to do\n"));
	EXPECT_ANSWER(COUNT_APPLIED, "3");
}

MIGRATE_TEST(migrate_up_in_the_order_of_modules)
{
	struct migration_source sources[] = { { "store", store_migrations }, { "notes", TABLE },
		{ "other", "-- up 1: one\nCREATE TABLE main.other (a bigint, note uuid);\n" } };

	MUST(migrate_up(&test->options, sources, LEN(sources)));
	EXPECT(str_starts(buf_str(&test->said), S("applied store 1: events and notices (")));
	EXPECT_ANSWER(COUNT_APPLIED, "3");
	EXPECT(has_table(test, "outbox") && has_table(test, "notice") && has_table(test, "other"));

	test->options.only = S("nobody");
	FAILS(migrate_up(&test->options, sources, LEN(sources)), -ERR_INVALID,
		"there is no module nobody");
	test->options.only = S("other");
	sources[1].text = TABLE COLUMN;
	MUST(migrate_up(&test->options, sources, LEN(sources)));
	EXPECT_ANSWER(COUNT_APPLIED, "3");

	sources[2].module = "notes";
	FAILS(migrate_up(&test->options, sources, LEN(sources)), -ERR_INVALID, "there twice");
	sources[2].module = "Other";
	FAILS(migrate_up(&test->options, sources, LEN(sources)), -ERR_INVALID,
		"no name of a module");
}

/* What is for the other engine is a migration without statements. */
MIGRATE_TEST(migrate_up_of_the_other_engine)
{
	static const char text[] = "-- up 1 sqlite: one\nCREATE TABLE main.lite (a bigint);\n"
				   "-- up 2 postgres: two\nCREATE TABLE main.post (a bigint);\n";
	bool postgres = test->engine == ENGINE_POSTGRES;

	MUST(migrate_test_up(test, text));
	EXPECT(has_table(test, "lite") == !postgres && has_table(test, "post") == postgres);
	EXPECT_ANSWER("SELECT title FROM main.migration WHERE number = 1", "one");
	EXPECT_ANSWER(COUNT_APPLIED, "2");
}

/* --- what must not be -------------------------------------------------------------- */

MIGRATE_TEST(migrate_refuses_an_edited_history)
{
	MUST(migrate_test_up(test, TABLE COLUMN));
	FAILS(migrate_test_up(test,
		      "-- up 1: notes\n"
		      "CREATE TABLE main.note (tenant_id uuid NOT NULL PRIMARY KEY);\n" COLUMN),
		-ERR_CONFLICT, "notes 1 (notes) was applied and edited afterwards");
	FAILS(migrate_test_down(test, "-- up 1: renamed\n" COLUMN, 1), -ERR_CONFLICT,
		"edited afterwards");
	EXPECT_ANSWER(COUNT_APPLIED, "2");

	/* Comments behind it, and the way down, may change. */
	MUST(migrate_test_up(test, TABLE "-- more\n" COLUMN));
}

MIGRATE_TEST(migrate_refuses_a_gap)
{
	MUST(migrate_test_up(test, TABLE COLUMN));
	migrate_test_run(test, "DELETE FROM main.migration WHERE number = 1");
	FAILS(migrate_test_up(test, TABLE COLUMN), -ERR_CONFLICT,
		"notes 2 is applied, notes 1 before it is not");
}

MIGRATE_TEST(migrate_beside_a_newer_program)
{
	static const char newer[] = TABLE "-- up 2: more\n-- runs beside 0.3.0\n"
					  "ALTER TABLE main.note ADD more text;\n";

	test->options.version = S("0.4.0");
	MUST(migrate_test_up(test, newer));
	test->options.version = S("0.3.0");
	MUST(migrate_test_up(test, TABLE));
	EXPECT_STR(buf_str(&test->said), S("nothing to do\n"));
	test->options.version = S("0.3.0-dev");
	FAILS(migrate_test_up(test, TABLE), -ERR_CONFLICT,
		"notes 2 (more) was applied by version 0.4.0; beside it runs 0.3.0 or newer, this "
		"is "
		"0.3.0-dev");
	test->options.version = S("0.4.0");
	FAILS(migrate_test_down(test, TABLE, 1), -ERR_INVALID, "notes 2 is not in the text");

	/* Of a module that is not there nobody can say anything. */
	MUST(migrate_up(&test->options, &(struct migration_source){ "other", "" }, 1));
}

MIGRATE_TEST(migrate_refuses_what_lint_refuses)
{
	FAILS(migrate_test_up(test, TABLE "-- up 2: gone\nDROP TABLE main.note;\n"), -ERR_INVALID,
		"notes.sql:7: dropping main.note");
	EXPECT(has_said(test, "notes.sql:7: dropping main.note"));
	EXPECT(!has_table(test, "note"));
	FAILS(migrate_test_up(test, "-- up 2: x\n"), -ERR_INVALID, "notes.sql:1: up 2 stands");
}

/* A rule that came later does not make a text wrong that was applied before. */
MIGRATE_TEST(migrate_lints_only_what_is_pending)
{
	static const char old[] = "-- up 1: old\nDROP TABLE main.gone;\n";
	struct migration_source source = { "notes", old };
	struct migrations list;
	struct arena arena;
	char sql[500];

	arena_init(&arena, 4096, MEGABYTE);
	REQUIRE(migration_parse(&arena, &source, test->engine, &list) == 0);
	FAILS(migrate_test_up(test, old), -ERR_INVALID, "main.gone");
	MUST(migrate_test_up(test, ""));
	(void)snprintf(sql, sizeof(sql),
		"INSERT INTO main.migration (module, number, sum, title, version, beside, "
		"applied_us) VALUES ('notes', 1, '%.*s', 'old', '0.0.1', '', 1)",
		MIGRATION_SUM_LEN, list.at[0].sum);
	migrate_test_run(test, sql);
	MUST(migrate_test_up(test, "-- up 1: old\nDROP TABLE main.gone;\n"
				   "-- up 2: new\nCREATE TABLE main.fresh (a bigint);\n"));
	EXPECT(has_table(test, "fresh"));
	arena_done(&arena);
}

/* The statement that fails is named; nothing of its migration stays, those before do. */
MIGRATE_TEST(migrate_failure_undoes_its_migration)
{
	static const char text[] = TABLE "-- up 2: two\n"
					 "CREATE TABLE main.two (a bigint);\n"
					 "INSERT INTO main.two (b)\n VALUES (1);\n";

	FAILS(migrate_test_up(test, text), -ERR_INVALID, "notes.sql:8: ");
	EXPECT(strstr(err_text(), "b") != NULL);
	EXPECT_ANSWER(COUNT_APPLIED, "1");
	EXPECT(has_table(test, "note") && !has_table(test, "two"));
	MUST(migrate_test_up(test, TABLE "-- up 2: two\nCREATE TABLE main.two (a bigint);\n"));
	EXPECT(has_table(test, "two"));
}

/* What lint cannot see, the database is asked for. */
MIGRATE_TEST(migrate_checks_tenancy_in_the_database)
{
	static const char *const texts[] = {
		TABLE "-- up 2: x\nCREATE TABLE main.x AS SELECT * FROM main.note; -- safe: not\n",
		TABLE "-- up 2: x\nALTER TABLE main.note RENAME TO memo; -- safe: x\n"
		      "CREATE TABLE main.x AS SELECT * FROM main.memo; -- safe: not\n",
	};

	MUST(migrate_test_up(test, TABLE));
	for (size_t i = 0; i < LEN(texts); i++) {
		FAILS(migrate_test_up(test, texts[i]), -ERR_INVALID,
			"tenants are not safe in main.x: ");
		EXPECT_ANSWER(COUNT_APPLIED, "1");
		EXPECT(!has_table(test, "x"));
	}
	/* Also what somebody did by hand. */
	migrate_test_run(test, test->engine == ENGINE_POSTGRES
				       ? "CREATE UNIQUE INDEX leak ON main.note (title)"
				       : "CREATE UNIQUE INDEX leak ON note (title)");
	FAILS(migrate_test_up(test, TABLE), -ERR_INVALID,
		"tenants are not safe in main.note: its unique index leak does not begin with "
		"tenant_id");
}

/* --- down, dry, status ------------------------------------------------------------------ */

MIGRATE_TEST(migrate_down_undoes)
{
	static const char text[] = TABLE COLUMN INDEX "-- up 4: for good\n"
						      "ALTER TABLE main.note ADD body text;\n";

	MUST(migrate_test_up(test, TABLE COLUMN INDEX));
	MUST(migrate_test_down(test, TABLE COLUMN INDEX, 2));
	EXPECT(has_said(test, "undid notes 3: find by title (") &&
		has_said(test, "undid notes 2: stars ("));
	EXPECT_ANSWER(COUNT_APPLIED, "1");
	EXPECT(has_table(test, "note") && !has_table(test, "note_title"));
	FAILS(migrate_test_down(test, TABLE, 2), -ERR_INVALID,
		"notes has 1 migrations to undo, not 2");
	FAILS(migrate_test_down(test, TABLE, 0), -ERR_INVALID, "how many");

	MUST(migrate_test_up(test, text));
	FAILS(migrate_test_down(test, text, 2), -ERR_INVALID, "notes 4 has no down section");
	EXPECT_ANSWER(COUNT_APPLIED, "4");
	FAILS(migrate_down(&test->options, NULL, 0, 1), -ERR_INVALID, "there is no module");
}

MIGRATE_TEST(migrate_dry_run_changes_nothing)
{
	test->options.dry_run = true;
	MUST(migrate_test_up(test, TABLE COLUMN));
	EXPECT(has_said(test, "would apply notes 1: notes (1 statements)\n"
			      "would apply notes 2: stars (1 statements)\n"));
	if (test->engine == ENGINE_SQLITE) {
		char path[400];

		(void)snprintf(path, sizeof(path), "%s/bulkhead.db", test->folder);
		EXPECT(access(path, F_OK) < 0);
	} else {
		EXPECT(!has_table(test, "migration"));
	}

	test->options.dry_run = false;
	MUST(migrate_test_up(test, TABLE));
	test->options.dry_run = true;
	MUST(migrate_test_up(test, TABLE COLUMN));
	EXPECT(has_said(test, "would apply notes 2: stars"));
	MUST(migrate_test_down(test, TABLE, 1));
	EXPECT(has_said(test, "would undo notes 1: notes"));
	EXPECT_ANSWER(COUNT_APPLIED, "1");
	EXPECT(has_table(test, "note"));
}

MIGRATE_TEST(migrate_status_tells)
{
	static const enum migration_state wanted[] = { MIGRATION_APPLIED, MIGRATION_EDITED,
		MIGRATION_PENDING, MIGRATION_UNKNOWN };
	struct migration_source source = { "notes", TABLE COLUMN };
	struct migration_rows rows;
	struct arena arena;

	arena_init(&arena, 4096, MEGABYTE);
	MUST(migrate_status(&test->options, &source, 1, &arena, &rows));
	REQUIRE(rows.count == 2);
	EXPECT_INT(rows.at[0].state, MIGRATION_PENDING);
	EXPECT_INT(rows.at[1].state, MIGRATION_PENDING);

	MUST(migrate_test_up(test, TABLE COLUMN));
	MUST(migrate_up(&test->options,
		&(struct migration_source){ "other", "-- up 1: x\nCREATE TABLE main.x (a int);\n" },
		1));
	source.text = TABLE "-- up 2: edited\n-- up 3: new\n";
	MUST(migrate_status(&test->options, &source, 1, &arena, &rows));
	REQUIRE(rows.count == LEN(wanted));
	for (size_t i = 0; i < LEN(wanted); i++)
		EXPECT_INT(rows.at[i].state, wanted[i]);
	EXPECT_STR(rows.at[0].module, S("notes"));
	EXPECT_STR(rows.at[0].title, S("notes"));
	EXPECT_STR(rows.at[0].version, S("0.1.0"));
	EXPECT(rows.at[0].applied_us > 0 && rows.at[2].applied_us == 0);
	EXPECT_STR(rows.at[3].module, S("other"));

	source.text = TABLE;
	MUST(migrate_status(&test->options, &source, 1, &arena, &rows));
	REQUIRE(rows.count == 3);
	EXPECT_INT(rows.at[1].number, 2);
	EXPECT_INT(rows.at[1].state, MIGRATION_UNKNOWN);
	arena_done(&arena);
}

/* --- two at once, and crashes --------------------------------------------------------------- */

/* Ten tables in one migration and one for each: something to be killed in. */
static char *many_migrations(void)
{
	static char text[16 * 1024];
	size_t len = 0;

	for (int i = 1; i <= 6; i++) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "-- up %d: step\n", i);
		if (i == 4)
			len += (size_t)snprintf(text + len, sizeof(text) - len,
				"CREATE INDEX CONCURRENTLY t3_a ON main.t3_1 (a);\n"
				"CREATE INDEX CONCURRENTLY t3_b ON main.t3_2 (a);\n");
		for (int j = 1; j <= 4 && i != 4; j++)
			len += (size_t)snprintf(text + len, sizeof(text) - len,
				"CREATE TABLE main.t%d_%d (a bigint);\n"
				"INSERT INTO main.t%d_%d VALUES (1);\n",
				i, j, i, j);
	}
	return text;
}

/* Each migration is there whole with its row, or not at all. */
static void check_halves(struct migrate_test *test)
{
	char sql[200], name[32];

	if (!has_table(test, "migration"))
		return;
	for (int i = 1; i <= 6; i++) {
		bool applied;

		(void)snprintf(sql, sizeof(sql),
			"SELECT count(*) FROM main.migration WHERE number = %d AND applied_us > 0",
			i);
		applied = strcmp(migrate_test_ask(test, sql), "1") == 0;
		if (i == 4) /* may leave the first index */
			continue;
		for (int j = 1; j <= 4; j++) {
			(void)snprintf(name, sizeof(name), "t%d_%d", i, j);
			test_note(has_table(test, name) == applied, __FILE__, __LINE__,
				"%s is half there", name);
		}
	}
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

static void expect_all(struct migrate_test *test)
{
	EXPECT_ANSWER(COUNT_APPLIED, "6");
	EXPECT_ANSWER("SELECT count(*) FROM main.t6_4", "1");
	EXPECT(has_table(test, "t3_a") && has_table(test, "t3_b"));
	check_halves(test);
}

MIGRATE_TEST(migrate_two_at_once)
{
	const char *text = many_migrations();
	pid_t pids[4];

	for (size_t i = 0; i < LEN(pids); i++)
		pids[i] = start_migrator(test, text);
	for (size_t i = 0; i < LEN(pids); i++)
		EXPECT_INT(wait_for(pids[i]), 0);
	expect_all(test);
}

MIGRATE_TEST(migrate_survives_kill)
{
	const char *text = many_migrations();
	uint64_t seed = 20261121;
	unsigned kills = 0;

	for (size_t i = 0; i < (test_long() ? 200 : 12); i++) {
		pid_t pid = start_migrator(test, text);

		usleep((useconds_t)(1000 + test_random(&seed) % 60000));
		(void)kill(pid, SIGKILL);
		kills += wait_for(pid) < 0;
		check_halves(test);
	}
	EXPECT(kills > 0);
	MUST(migrate_test_up(test, text));
	expect_all(test);
}

/* --- SQLite's own -------------------------------------------------------------------------- */

static size_t count_snapshots(struct migrate_test *test, char *newest, size_t size)
{
	char command[500];
	size_t count = 0;
	FILE *list;

	(void)snprintf(
		command, sizeof(command), "ls '%s/backups' 2>/dev/null | sort", test->folder);
	list = popen(command, "r");
	REQUIRE(list != NULL);
	while (fgets(newest, (int)size, list))
		count++;
	newest[strcspn(newest, "\n")] = '\0';
	(void)pclose(list);
	return count;
}

TEST(migrate_sqlite_takes_snapshots)
{
	struct migrate_test test_, *test = &test_;
	char newest[200] = "", text[4096] = TABLE, path[600];
	struct stat status;

	migrate_test_open(test, ENGINE_SQLITE);
	test->options.snapshot = true;
	MUST(migrate_test_up(test, text));
	EXPECT_INT(count_snapshots(test, newest, sizeof(newest)), 0); /* there was nothing */

	for (int i = 2; i <= MIGRATION_SNAPSHOTS + 3; i++) {
		size_t len = strlen(text);

		(void)snprintf(text + len, sizeof(text) - len,
			"-- up %d: more\nALTER TABLE main.note ADD c%d text;\n", i, i);
		MUST(migrate_test_up(test, text));
		EXPECT_INT(count_snapshots(test, newest, sizeof(newest)),
			MIN(i - 1, MIGRATION_SNAPSHOTS));
		(void)snprintf(path, sizeof(path), "-notes-%d.db", i);
		EXPECT(str_ends(str_from_c(newest), str_from_c(path)));
		EXPECT(has_said(test, newest));
	}

	/* It is the database from before, in one private file. */
	(void)snprintf(path, sizeof(path), "%s/backups/%s", test->folder, newest);
	REQUIRE(stat(path, &status) == 0);
	EXPECT_INT(status.st_mode & 0777, 0600);
	(void)snprintf(text, sizeof(text), "mv '%s' '%s/bulkhead.db' && rm -f '%s/bulkhead.db-wal'",
		path, test->folder, test->folder);
	REQUIRE(system(text) == 0);
	EXPECT_ANSWER(COUNT_APPLIED, "7");
	EXPECT_ANSWER("PRAGMA integrity_check", "ok");

	migrate_test_close(test);
}

/* Without a copy nothing is changed. */
TEST(migrate_sqlite_without_room_for_a_snapshot)
{
	struct migrate_test test_, *test = &test_;
	char path[400];

	migrate_test_open(test, ENGINE_SQLITE);
	MUST(migrate_test_up(test, TABLE));
	test->options.snapshot = true;
	(void)snprintf(path, sizeof(path), "%s/backups", test->folder);
	REQUIRE(close(creat(path, 0600)) == 0);
	FAILS(migrate_test_up(test, TABLE COLUMN), -ERR_IO, "no snapshot before migrating");
	EXPECT_ANSWER(COUNT_APPLIED, "1");
	migrate_test_close(test);
}

/* Tables can be rebuilt: what refers to them is looked at before the commit. */
TEST(migrate_sqlite_rebuilds_tables)
{
	static const char before[] =
		TABLE "-- up 2: stars\n"
		      "CREATE TABLE main.star (tenant_id uuid NOT NULL, note uuid NOT NULL, "
		      "PRIMARY KEY (tenant_id, note), FOREIGN KEY (tenant_id, note) REFERENCES "
		      "main.note (tenant_id, id));\n"
		      "INSERT INTO main.note VALUES (1, 2, 'a');\n"
		      "INSERT INTO main.star VALUES (1, 2);\n";
	char text[4096];
	struct migrate_test test_, *test = &test_;

	migrate_test_open(test, ENGINE_SQLITE);
	MUST(migrate_test_up(test, before));
	(void)snprintf(text, sizeof(text),
		"%s-- up 3 sqlite: longer\n"
		"CREATE TABLE main.other (tenant_id uuid NOT NULL, id uuid NOT NULL, body text, "
		"PRIMARY KEY (tenant_id, id));\n"
		"INSERT INTO main.other SELECT tenant_id, id, title FROM main.note;\n"
		"DROP TABLE main.note; -- safe: one instance\n"
		"ALTER TABLE main.other RENAME TO note;\n",
		before);
	MUST(migrate_test_up(test, text));
	EXPECT_ANSWER("SELECT body FROM note", "a");

	(void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
		"-- up 4: lost\nDELETE FROM main.note WHERE id = 2;\n");
	FAILS(migrate_test_up(test, text), -ERR_INVALID,
		"notes.sql:15: rows of main.star refer to rows of main.note that are not there");
	EXPECT_ANSWER(COUNT_APPLIED, "3");
	migrate_test_close(test);
}

/* Every allocation and call that can fail in turn: an error, nothing half done, nothing left. */
TEST_SLOW(migrate_sqlite_survives_every_failure, 120)
{
	struct migrate_test test_, *test = &test_;

	for (enum fault_kind kind = FAULT_MEMORY; kind < FAULT_KINDS; kind++)
		for (size_t nth = 1;; nth++) {
			bool struck;
			int r;

			migrate_test_open(test, ENGINE_SQLITE);
			test->options.say = NULL;
			MUST(migrate_test_up(test, TABLE));
			test->options.snapshot = true;
			fault_arm(kind, nth);
			r = migrate_test_up(test, TABLE COLUMN INDEX);
			struck = fault_struck(kind);
			fault_arm(kind, 0);
			if (r < 0)
				EXPECT(struck);
			MUST(migrate_test_up(test, TABLE COLUMN INDEX));
			EXPECT_ANSWER(COUNT_APPLIED, "3");
			migrate_test_close(test);
			EXPECT_INT(mem_used(), 0);
			if (!struck)
				break;
			REQUIRE(nth < 300);
		}
}

/* A process of its own that has the folder until it is killed, or for a minute. */
static pid_t hold_folder(struct str folder)
{
	struct folder_lock lock;
	int pipes[2];
	pid_t pid;
	char byte;

	REQUIRE(pipe(pipes) == 0);
	pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		(void)alarm(60);
		if (folder_lock_take(folder, &lock) == 0 && write(pipes[1], "x", 1) == 1)
			(void)pause();
		_exit(1);
	}
	(void)close(pipes[1]);
	REQUIRE(read(pipes[0], &byte, 1) == 1);
	(void)close(pipes[0]);
	return pid;
}

TEST(migrate_sqlite_waits_for_the_folder)
{
	struct migrate_test test_, *test = &test_;
	struct migration_rows rows;
	struct arena arena;
	char holder[60];
	pid_t pid;

	migrate_test_open(test, ENGINE_SQLITE);
	MUST(migrate_test_up(test, TABLE));
	pid = hold_folder(test->options.store.folder);
	(void)snprintf(holder, sizeof(holder), "(pid %d) has the data folder", (int)pid);
	test->options.wait_ns = 200 * MILLISECOND;
	FAILS(migrate_test_up(test, TABLE COLUMN), -ERR_UNAVAILABLE, holder);
	EXPECT(has_said(test, "; waiting"));

	/* Who only reads need not wait. */
	arena_init(&arena, 4096, MEGABYTE);
	MUST(migrate_status(
		&test->options, &(struct migration_source){ "notes", TABLE }, 1, &arena, &rows));
	EXPECT_INT(rows.at[0].state, MIGRATION_APPLIED);
	arena_done(&arena);
	(void)kill(pid, SIGKILL);
	(void)wait_for(pid);
	MUST(migrate_test_up(test, TABLE COLUMN));
	migrate_test_close(test);
}
