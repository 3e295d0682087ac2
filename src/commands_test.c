/* The command line: which words name what, help, exit codes; bulkhead migrate in a folder. */
#include "commands.h"

#include "base/buf.h"
#include "base/test.h"
#include "command.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 12 };

/* What the last command wrote, on either output. */
static char said[64 * 1024];

/* Runs "bulkhead ..." of these words; ends with NULL. */
static int run(const char *first, ...)
{
	const char *argv[ARGUMENTS_MAX + 2] = { "bulkhead" };
	int argc = 1, output = memfd_create("said", 0), saved[2], exit_code;
	ssize_t len;
	va_list args;

	va_start(args, first);
	for (const char *word = first; word; word = va_arg(args, const char *)) {
		REQUIRE(argc <= ARGUMENTS_MAX);
		argv[argc++] = word;
	}
	va_end(args);

	REQUIRE(output >= 0 && fflush(NULL) == 0);
	for (int fd = 1; fd <= 2; fd++) {
		saved[fd - 1] = dup(fd);
		REQUIRE(saved[fd - 1] >= 0 && dup2(output, fd) == fd);
	}
	exit_code = commands_run(argc, (char **)argv);
	(void)fflush(NULL);
	for (int fd = 1; fd <= 2; fd++)
		REQUIRE(dup2(saved[fd - 1], fd) == fd && close(saved[fd - 1]) == 0);
	len = pread(output, said, sizeof(said) - 1, 0);
	REQUIRE(len >= 0);
	said[len] = '\0';
	(void)close(output);
	return exit_code;
}

#define RUN(...) run(__VA_ARGS__, NULL)

static bool has_said(const char *words)
{
	return strstr(said, words) != NULL;
}

#define SAID(words) test_note(has_said(words), __FILE__, __LINE__, "no \"%s\" in:\n%s", words, said)

static char folder[] = "/tmp/commands-XXXXXX";

static void enter_folder(void)
{
	REQUIRE(mkdtemp(folder) != NULL && chdir(folder) == 0);
	REQUIRE(setenv("DATA_DIR", "data", 1) == 0);
}

static void leave_folder(void)
{
	char command[sizeof(folder) + 16];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	REQUIRE(chdir("/") == 0 && system(command) == 0);
}

TEST(commands_help)
{
	EXPECT_INT(RUN("--help"), 0);
	SAID("migrate up [MODULE]");
	SAID("backup restore NAME");
	EXPECT_INT(RUN("help"), 0);
	SAID("  serve ");
	EXPECT_INT(RUN("migrate", "-h"), 0);
	SAID("migrate lint");
	EXPECT(!has_said("backup"));
	EXPECT_INT(RUN("help", "migrate", "status"), 0);
	SAID("Usage: bulkhead migrate status [--json]");
	SAID("3 something is pending");
	EXPECT_INT(RUN("config", "doc", "--help"), 0);
	SAID("Usage: bulkhead config doc\n");
	EXPECT_INT(RUN("admin", "create", "--help"), 0);
	SAID("admin create EMAIL [--json] [--name NAME] [--password-stdin]\n");
	SAID("\n  --json            print JSON\n"
	     "  --name NAME       the name for people\n"
	     "  --password-stdin  read the password from standard input\n");
	EXPECT_INT(RUN("keys", "rotate", "--help"), 0);
	SAID("\n  --json  print JSON\n  --now   at once\n");
}

TEST(commands_used_wrongly)
{
	EXPECT_INT(run(NULL), COMMAND_USAGE);
	SAID("Usage: bulkhead COMMAND");
	EXPECT_INT(RUN("nothing"), COMMAND_USAGE);
	EXPECT_INT(RUN("migrate"), COMMAND_USAGE);
	EXPECT(!has_said("backup"));
	EXPECT_INT(RUN("migrate", "sideways"), COMMAND_USAGE);
	EXPECT_INT(RUN("version", "now"), COMMAND_USAGE);
	SAID("Usage: bulkhead version");
	EXPECT_INT(RUN("version", "--dry-run"), COMMAND_USAGE);
	EXPECT_INT(RUN("version", "--jason"), COMMAND_USAGE);
	SAID("there is no option --jason");
	EXPECT_INT(RUN("migrate", "down"), COMMAND_USAGE);
	EXPECT_INT(RUN("migrate", "down", "notes", "0"), COMMAND_USAGE);
	SAID("STEPS is a number from 1 to 1000");
	EXPECT_INT(RUN("migrate", "down", "notes", "x"), COMMAND_USAGE);
	EXPECT_INT(RUN("migrate", "down", "notes", "1", "2"), COMMAND_USAGE);
	EXPECT_INT(RUN("migrate", "create", "notes"), COMMAND_USAGE);
	EXPECT_INT(RUN("version", "--", "--json"), COMMAND_USAGE);
}

TEST(commands_version)
{
	EXPECT_INT(RUN("version"), 0);
	SAID("bulkhead 0.");
	EXPECT_INT(RUN("--json", "version"), 0);
	SAID("{\"version\":\"0.");
}

TEST(commands_migrate_a_folder)
{
	enter_folder();
	EXPECT_INT(RUN("migrate", "status"), 3);
	SAID("pending  store 1: events and notices\n");
	EXPECT_INT(RUN("migrate", "up", "--dry-run"), 0);
	SAID("would apply store 1");
	EXPECT_INT(RUN("migrate", "status", "--json"), 3);
	SAID("{\"module\":\"store\",\"number\":1,\"title\":\"events and notices\",\"state\":"
	     "\"pending\"}");
	EXPECT_INT(RUN("migrate", "up"), 0);
	SAID("applied store 1: events and notices (");
	EXPECT_INT(RUN("migrate", "up"), 0);
	SAID("nothing to do");
	EXPECT_INT(RUN("migrate", "status"), 0);
	SAID("applied  store 1: events and notices (20");
	EXPECT_INT(RUN("migrate", "up", "nobody"), 1);
	SAID("bulkhead: there is no module nobody with migrations");
	EXPECT_INT(RUN("migrate", "down", "store", "2"), 1);
	SAID("store has 1 migrations to undo, not 2");
	EXPECT_INT(RUN("migrate", "down", "store"), 0);
	SAID("snapshot: data/backups/migration-");
	SAID("undid store 1");
	EXPECT_INT(RUN("migrate", "status"), 3);
	leave_folder();
}

TEST(commands_migrate_with_a_bad_configuration)
{
	enter_folder();
	REQUIRE(setenv("PORT", "x", 1) == 0);
	EXPECT_INT(RUN("migrate", "up"), 1);
	SAID("problem: PORT must be");
	EXPECT_INT(RUN("migrate", "status"), 1);
	EXPECT_INT(RUN("migrate", "lint"), 1);
	REQUIRE(setenv("PORT", "8080", 1) == 0 && setenv("MODULES", "./none.so", 1) == 0);
	EXPECT_INT(RUN("migrate", "up"), 1);
	SAID("none.so");
	leave_folder();
}

static void expect_file(const char *path, const char *wanted)
{
	char text[4096];
	int fd = open(path, O_RDONLY);
	ssize_t len = read(fd, text, sizeof(text));

	REQUIRE(fd >= 0 && len >= 0 && close(fd) == 0);
	EXPECT_STR(str_of(text, (size_t)len), str_from_c(wanted));
}

static void put_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	REQUIRE(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

TEST(commands_migrate_create_and_lint)
{
	enter_folder();
	EXPECT_INT(RUN("migrate", "lint"), 0);
	SAID("no mistakes");
	EXPECT_INT(RUN("migrate", "create", "./notes.sql", "notes"), 0);
	SAID("./notes.sql: up 1 and down 1\n");
	EXPECT_INT(RUN("migrate", "create", "notes.sql", "find", "by", "title"), 0);
	expect_file("notes.sql", "-- up 1: notes\n\n-- down 1\n\n-- up 2: find by title\n\n-- down "
				 "2\n");
	EXPECT_INT(RUN("migrate", "lint", "notes.sql"), 0);
	put_file("notes.sql", "-- up 1: notes\nDROP TABLE main.x;\nBEGIN;");
	EXPECT_INT(RUN("migrate", "lint", "notes.sql"), 1);
	SAID("notes.sql:2: main.x is not a table of this module\nnotes.sql:3: BEGIN: ");
	EXPECT_INT(RUN("migrate", "create", "notes.sql", "more"), 0);
	expect_file("notes.sql", "-- up 1: notes\nDROP TABLE main.x;\nBEGIN;\n\n-- up 2: "
				 "more\n\n-- down 2\n");

	put_file("notes.sql", "-- up 2: notes\n");
	EXPECT_INT(RUN("migrate", "create", "notes.sql", "more"), 1);
	SAID("notes.sql:1: up 2 stands behind up 0");
	EXPECT_INT(RUN("migrate", "create", "Notes", "more"), 1);
	SAID("neither a module");
	EXPECT_INT(RUN("migrate", "create", "notes", "more"), 1);
	SAID("cannot write src/modules/notes/notes.sql");
	EXPECT_INT(RUN("migrate", "create", "x.sql", "two\nlines"), 1);
	SAID("a title is one line");
	EXPECT_INT(RUN("migrate", "create", "x.sql", " "), 1);
	EXPECT_INT(RUN("migrate", "lint", "none.sql"), 1);
	SAID("cannot open none.sql");
	EXPECT_INT(RUN("migrate", "lint", "Notes.sql"), 1);
	SAID("is not MODULE.sql");
	leave_folder();
}

TEST(commands_print_the_matrix_of_rights)
{
	EXPECT_INT(RUN("rbac", "matrix"), 0);
	SAID("RIGHT ");
	SAID("\nplatform:tenants      system  system  -       -\n");
	SAID("\ntenant:transfer       yes     -       -       -\n");
	SAID("\naccount:self          yes     yes     yes     yes\n");
	EXPECT_INT(RUN("rbac", "matrix", "--json"), 0);
	SAID("{\"right\":\"tenant:write\",\"roles\":[\"owner\",\"admin\"],\"systemOnly\":false}");
	EXPECT_INT(RUN("rbac", "matrix", "more"), 2);
	EXPECT_INT(RUN("rbac"), 2);
}
