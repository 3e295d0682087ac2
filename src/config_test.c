/*
 * Configuration: every type with every kind of mistake, the sources and their order, files and who
 * may read them, mistyped names, the report, the three ways of showing, and the server's own table.
 * The loader is tried on a table of its own that has each type and flag.
 */
#include "config.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"
#include "config_value.h"

#include <ctype.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* clang-format off */
#define TRIAL_TABLE(X)                                                                             \
	X(app_env, APP_ENV, ENUM(app_env), ALWAYS("development"), 0, "One", "Where.")              \
	X(title, TITLE, STRING(2, 10), ALWAYS(""), 0, "One", "A text.")                            \
	X(folder, FOLDER, PATH, ALWAYS("./x"), 0, "One", "A path.")                                \
	X(server, SERVER, HOST, DEVELOPMENT_ELSE("localhost", "0.0.0.0"), 0, "One", "A host.")     \
	X(enabled, ENABLED, BOOL, ALWAYS("off"), 0, "One", "A switch.")                            \
	X(count, COUNT, INTEGER(2, 1000), ALWAYS("7"), 0, "One", "A number.")                      \
	X(limit, LIMIT, INTEGER(16, 1000), ALWAYS("0"), CONFIG_OR_ZERO, "One", "With zero.")       \
	X(share, SHARE, PERCENT, ALWAYS("50%"), 0, "One", "A part.")                               \
	X(pause, PAUSE, DURATION(10 * MILLISECOND, HOUR), ALWAYS("90s"), 0, "One", "A time.")      \
	X(room, ROOM, SIZE(KILOBYTE, MEGABYTE), ALWAYS("64kb"), 0, "One", "A size.")               \
	X(door, DOOR, PORT, ALWAYS("80"), 0, "Two", "A port.")                                     \
	X(gate, GATE, LISTEN, ALWAYS(":9090"), 0, "Two", "An address.")                            \
	X(store, STORE, URL("postgres", "postgresql"), ALWAYS(""), 0, "Two", "A URL.")             \
	X(names, NAMES, LIST(3), ALWAYS(""), 0, "Two", "A list.")                                  \
	X(nets, NETS, CIDRS(4), ALWAYS("10.0.0.0/8"), 0, "Two", "Networks.")                       \
	X(master_secret, MASTER_SECRET, STRING(6, 100), ALWAYS(""),                                \
		CONFIG_SECRET | CONFIG_REQUIRED_IN_PRODUCTION, "Two", "A secret.")
/* clang-format on */

struct trial {
	TRIAL_TABLE(CONFIG_MEMBER)
};

#define TRIAL_ROW(...) CONFIG_ENTRY(trial, __VA_ARGS__),
static const struct config_entry trial_entries[] = { TRIAL_TABLE(TRIAL_ROW) };
static const struct config_table trial_table = {
	.entries = trial_entries,
	.count = LEN(trial_entries),
	.size = sizeof(struct trial),
};

/* --- a folder, a load and its findings ---------------------------------------------- */

static char folder[] = "/tmp/config-test-XXXXXX";
static int directory = -1;

static void remove_file(const char *name)
{
	(void)unlinkat(directory, name, 0);
}

static void leave_folder(void)
{
	remove_file(".env");
	remove_file("secret");
	(void)unlinkat(directory, "dir", AT_REMOVEDIR);
	(void)rmdir(folder);
}

static void enter_folder(void)
{
	REQUIRE(mkdtemp(folder) != NULL);
	directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	REQUIRE(directory >= 0);
}

static void put_file(const char *name, struct str text, mode_t mode)
{
	int fd = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	REQUIRE(fd >= 0 && write(fd, text.at, text.len) == (ssize_t)text.len);
	REQUIRE(fchmod(fd, mode) == 0 && close(fd) == 0);
}

enum { VARIABLES_MAX = 16 };

/* One load: what came back, and the report as text. */
struct outcome {
	int r;
	const void *loaded;
	struct config_report report;
	struct buf said;
};

static void load(
	const struct config_table *table, const char *const *variables, struct outcome *ret)
{
	struct config_source source = { variables, directory < 0 ? AT_FDCWD : directory };

	*ret = (struct outcome){ 0 };
	buf_init(&ret->said, MEGABYTE);
	ret->r = config_load_table(table, &source, &ret->report, &ret->loaded);
	config_report_write(&ret->report, &ret->said);
}

static void outcome_done(struct outcome *outcome)
{
	config_free(outcome->loaded);
	config_report_done(&outcome->report);
	buf_done(&outcome->said);
	EXPECT_INT(mem_used(), 0);
}

/* Loads with variables that are separated by "|" and expects exactly this report. */
static void expect_said(
	const struct config_table *table, const char *variables, const char *said, int line)
{
	char *copy = strdup(variables);
	const char *list[VARIABLES_MAX + 1] = { 0 };
	size_t count = 0;
	struct outcome outcome;

	REQUIRE(copy != NULL);
	for (char *rest = copy, *part; (part = strsep(&rest, "|")) && count < VARIABLES_MAX;)
		list[count++] = part;
	load(table, list, &outcome);
	test_note(str_eq(buf_str(&outcome.said), str_from_c(said)), __FILE__, line,
		"\"%s\" said:\n%.*swanted:\n%s", variables, STR_ARG(buf_str(&outcome.said)), said);
	test_note((outcome.r < 0) == (outcome.report.problems > 0), __FILE__, line, "%s: %d",
		variables, outcome.r);
	outcome_done(&outcome);
	free(copy);
}

#define EXPECT_SAID(variables, said) expect_said(&trial_table, variables, said, __LINE__)

/* --- types ------------------------------------------------------------------------------ */

static const struct config_entry *entry_named(const struct config_table *table, const char *name)
{
	for (size_t i = 0; i < table->count; i++)
		if (str_eq(table->entries[i].name, str_from_c(name)))
			return &table->entries[i];
	REQUIRE(!"no such entry");
	return NULL;
}

/* Every type: a text, and how the value is written; NULL when the text must be refused. */
TEST(config_types)
{
	static const struct {
		const char *name, *text, *written;
	} cases[] = {
		{ "APP_ENV", "production", "production" },
		{ "APP_ENV", "Staging", "staging" },
		{ "APP_ENV", "prod", NULL },
		{ "TITLE", "ab", "ab" },
		{ "TITLE", "a", NULL },
		{ "TITLE", "0123456789", "0123456789" },
		{ "TITLE", "0123456789a", NULL },
		{ "TITLE", "a\nb", NULL },
		{ "TITLE", "a\x7f", NULL },
		{ "TITLE", "a\xff", NULL },
		{ "TITLE", "gr\xC3\xBC\xC3\x9F", "gr\xC3\xBC\xC3\x9F" },
		{ "FOLDER", "/a b/c", "/a b/c" },
		{ "FOLDER", "a\tb", NULL },
		{ "SERVER", "127.0.0.1", "127.0.0.1" },
		{ "SERVER", "::1", "::1" },
		{ "SERVER", "a-b.example.com", "a-b.example.com" },
		{ "SERVER", "my_db", "my_db" },
		{ "SERVER", "127.0.0.256", NULL },
		{ "SERVER", "127.0.0", NULL },
		{ "SERVER", "01.2.3.4", NULL },
		{ "SERVER", "[::1]", NULL },
		{ "SERVER", "::1::", NULL },
		{ "SERVER", "a..b", NULL },
		{ "SERVER", "a.", NULL },
		{ "SERVER", "-a", NULL },
		{ "SERVER", "a-", NULL },
		{ "SERVER", "a b", NULL },
		{ "SERVER", "a:80", NULL },
		{ "ENABLED", "true", "true" },
		{ "ENABLED", "TRUE", "true" },
		{ "ENABLED", "1", "true" },
		{ "ENABLED", "yes", "true" },
		{ "ENABLED", "on", "true" },
		{ "ENABLED", "false", "false" },
		{ "ENABLED", "0", "false" },
		{ "ENABLED", "no", "false" },
		{ "ENABLED", "off", "false" },
		{ "ENABLED", "y", NULL },
		{ "ENABLED", "2", NULL },
		{ "COUNT", "2", "2" },
		{ "COUNT", "1000", "1000" },
		{ "COUNT", "1", NULL },
		{ "COUNT", "0", NULL },
		{ "COUNT", "1001", NULL },
		{ "COUNT", "07", NULL },
		{ "COUNT", "+7", NULL },
		{ "COUNT", "-7", NULL },
		{ "COUNT", "7.0", NULL },
		{ "COUNT", "18446744073709551623", NULL },
		{ "LIMIT", "0", "0" },
		{ "LIMIT", "16", "16" },
		{ "LIMIT", "15", NULL },
		{ "SHARE", "0", "0%" },
		{ "SHARE", "100%", "100%" },
		{ "SHARE", "101", NULL },
		{ "SHARE", "%", NULL },
		{ "SHARE", "5%%", NULL },
		{ "PAUSE", "10ms", "10ms" },
		{ "PAUSE", "60s", "1m" },
		{ "PAUSE", "90s", "90s" },
		{ "PAUSE", "60m", "1h" },
		{ "PAUSE", "9ms", NULL },
		{ "PAUSE", "61m", NULL },
		{ "PAUSE", "0", NULL },
		{ "PAUSE", "15", NULL },
		{ "ROOM", "1024", "1kb" },
		{ "ROOM", "1025", "1025b" },
		{ "ROOM", "1MB", "1mb" },
		{ "ROOM", "1gb", NULL },
		{ "ROOM", "1k", NULL },
		{ "DOOR", "0", "0" },
		{ "DOOR", "65535", "65535" },
		{ "DOOR", "65536", NULL },
		{ "DOOR", "http", NULL },
		{ "GATE", "127.0.0.1:9090", "127.0.0.1:9090" },
		{ "GATE", "[::1]:9090", "[::1]:9090" },
		{ "GATE", ":9090", ":9090" },
		{ "GATE", "localhost:0", "localhost:0" },
		{ "GATE", "9090", NULL },
		{ "GATE", "::1:9090", NULL },
		{ "GATE", "[::1]", NULL },
		{ "GATE", "[::1]9090", NULL },
		{ "GATE", "[::1", NULL },
		{ "GATE", "[127.0.0.1]:1", NULL },
		{ "GATE", "localhost:", NULL },
		{ "GATE", "localhost:65536", NULL },
		{ "NAMES", "a", "a" },
		{ "NAMES", "a, b ,c", "a,b,c" },
		{ "NAMES", "a,b,c,d", NULL },
		{ "NAMES", "a,,b", NULL },
		{ "NAMES", "a,", NULL },
		{ "NAMES", "a\nb", NULL },
		{ "NETS", "10.0.0.0/8, 192.168.1.1", "10.0.0.0/8,192.168.1.1/32" },
		{ "NETS", "0.0.0.0/0", "0.0.0.0/0" },
		{ "NETS", "::/0", "::/0" },
		{ "NETS", "2001:db8::/32,::1", "2001:db8::/32,::1/128" },
		{ "NETS", "::ffff:10.0.0.0/104", "10.0.0.0/8" },
		{ "NETS", "10.0.0.1/8", NULL },
		{ "NETS", "10.0.0.0/33", NULL },
		{ "NETS", "2001:db8::1/127", NULL },
		{ "NETS", "::/129", NULL },
		{ "NETS", "10.0.0.0/", NULL },
		{ "NETS", "10.0.0.0/08", NULL },
		{ "NETS", "localhost", NULL },
		{ "NETS", "1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5", NULL },
		{ "MASTER_SECRET", "line\nline", "line\nline" },
		{ "MASTER_SECRET", "\xff\xfe\xfd\xfc\xfb\xfa", "\xff\xfe\xfd\xfc\xfb\xfa" },
		{ "MASTER_SECRET", "short", NULL },
		{ "STORE", "postgres://db", "postgres://db" },
		{ "STORE", "postgresql://u:p%20w@db.example:5432/x?y=z",
			"postgresql://********@db.example:5432/x?********" },
		{ "STORE", "postgres://u@[::1]:5432/", "postgres://********@[::1]:5432/" },
		{ "STORE", "postgres://:pw@db", "postgres://********@db" },
		{ "STORE", "mysql://db", NULL },
		{ "STORE", "POSTGRES://db", NULL },
		{ "STORE", "postgres:db", NULL },
		{ "STORE", "postgres:///db", NULL },
		{ "STORE", "postgres://db:0", NULL },
		{ "STORE", "postgres://db:", NULL },
		{ "STORE", "postgres://db:65536", NULL },
		{ "STORE", "postgres://a@b@db", NULL },
		{ "STORE", "postgres://@db", NULL },
		{ "STORE", "postgres://u:p w@db", NULL },
		{ "STORE", "postgres://u:p%2@db", NULL },
		{ "STORE", "postgres://u:p%zz@db", NULL },
		{ "STORE", "postgres://u:p%00@db", NULL },
		{ "STORE", "postgres://db/x#y", NULL },
		{ "STORE", "postgres://db/x y", NULL },
		{ "STORE", "postgres://d b", NULL },
		{ "STORE", "postgres://[::1", NULL },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		const struct config_entry *entry = entry_named(&trial_table, cases[i].name);
		const struct config_kind *kind = &config_kinds[entry->type];
		_Alignas(16) char memory[4096] = { 0 }, member[sizeof(struct config_url)];
		struct config_region region = { memory, memory + sizeof(memory), false };
		struct buf written;
		bool ok;

		buf_init(&written, KILOBYTE);
		ok = kind->parse(entry, str_from_c(cases[i].text), &region, member);
		if (ok)
			kind->write(entry, member, &written);
		test_note(ok == (cases[i].written != NULL) && !region.full &&
				  str_eq(buf_str(&written), str_from_c(cases[i].written)),
			__FILE__, __LINE__, "%s=%s gave %s \"%.*s\"", cases[i].name, cases[i].text,
			ok ? "true" : "false", STR_ARG(buf_str(&written)));
		buf_done(&written);
	}
}

/* A NUL can only come from a file. */
TEST(config_refuses_nul)
{
	static const char *const names[] = { "TITLE", "FOLDER", "SERVER", "NAMES", "STORE", "NETS",
		"MASTER_SECRET", "COUNT" };

	for (size_t i = 0; i < LEN(names); i++) {
		const struct config_entry *entry = entry_named(&trial_table, names[i]);
		_Alignas(16) char memory[512] = { 0 }, member[sizeof(struct config_url)];
		struct config_region region = { memory, memory + sizeof(memory), false };

		test_note(!config_kinds[entry->type].parse(entry, S("postgres\0"), &region, member),
			__FILE__, __LINE__, "%s", names[i]);
	}
}

TEST(config_url_parts)
{
	const char *variables[] = { "STORE=postgres://us%40er:a:b@[2001:db8::1]:5432/x/y?z=1?2",
		NULL };
	const struct config_url *url;
	struct outcome outcome;

	load(&trial_table, variables, &outcome);
	REQUIRE(outcome.r == 0);
	url = &((const struct trial *)outcome.loaded)->store;
	EXPECT_STR(url->text, S("postgres://us%40er:a:b@[2001:db8::1]:5432/x/y?z=1?2"));
	EXPECT_STR(url->scheme, S("postgres"));
	EXPECT_STR(url->user, S("us%40er"));
	EXPECT_STR(url->password, S("a:b"));
	EXPECT_STR(url->host, S("2001:db8::1"));
	EXPECT_INT(url->port, 5432);
	EXPECT_STR(url->path, S("/x/y"));
	EXPECT_STR(url->query, S("z=1?2"));
	outcome_done(&outcome);
}

/* Whatever amount is written is read back as the same. */
TEST(config_amounts_round_trip)
{
	static const struct config_entry duration = { CONFIG_OF_DURATION(0, UINT64_MAX) };
	static const struct config_entry size = { CONFIG_OF_SIZE(0, UINT64_MAX) };
	uint64_t seed = 11;

	for (int round = 0; round < 10000; round++) {
		uint64_t number = test_random(&seed) >> test_random(&seed) % 64;
		uint64_t time = number / MILLISECOND * MILLISECOND, back = 0;
		struct config_region none = { 0 };
		struct buf text;

		buf_init(&text, 100);
		config_kinds[CONFIG_DURATION].write(&duration, &time, &text);
		REQUIRE(config_kinds[CONFIG_DURATION].parse(
			&duration, buf_str(&text), &none, &back));
		REQUIRE(back == time);
		buf_reset(&text);
		config_kinds[CONFIG_SIZE].write(&size, &number, &text);
		REQUIRE(config_kinds[CONFIG_SIZE].parse(&size, buf_str(&text), &none, &back));
		REQUIRE(back == number);
		buf_done(&text);
	}
}

/* --- sources ----------------------------------------------------------------------------- */

TEST(config_defaults_follow_app_env)
{
	const char *none[] = { NULL };
	const char *staging[] = { "APP_ENV=staging", NULL };
	const struct trial *trial;
	struct outcome outcome;

	enter_folder();
	load(&trial_table, none, &outcome);
	REQUIRE(outcome.r == 0);
	trial = outcome.loaded;
	EXPECT_INT(trial->app_env, APP_DEVELOPMENT);
	EXPECT_INT(trial->title.len, 0);
	EXPECT_STR(trial->folder, S("./x"));
	EXPECT_INT(trial->folder.at[3], 0);
	EXPECT_STR(trial->server, S("localhost"));
	EXPECT(!trial->enabled);
	EXPECT_INT(trial->count, 7);
	EXPECT_INT(trial->limit, 0);
	EXPECT_INT(trial->share, 50);
	EXPECT_INT(trial->pause, 90 * SECOND);
	EXPECT_INT(trial->room, 64 * KILOBYTE);
	EXPECT_INT(trial->door, 80);
	EXPECT(trial->gate.host.len == 0 && trial->gate.port == 9090);
	EXPECT(trial->names.count == 0 && trial->store.text.len == 0);
	REQUIRE(trial->nets.count == 1);
	EXPECT_INT(trial->nets.at[0].bits, 104);
	EXPECT_INT(trial->nets.at[0].address[12], 10);
	outcome_done(&outcome);

	load(&trial_table, staging, &outcome);
	REQUIRE(outcome.r == 0);
	EXPECT_STR(((const struct trial *)outcome.loaded)->server, S("0.0.0.0"));
	outcome_done(&outcome);
	leave_folder();
}

/* The environment, its _FILE, `.env`, its _FILE, the default; empty stands for the default. */
TEST(config_precedence)
{
	static const struct {
		const char *direct, *file, *dotenv;
		const char *value;
	} cases[] = {
		{ "TITLE=env", NULL, "TITLE=dot", "env" },
		{ NULL, "TITLE_FILE=secret", "TITLE=dot", "from file" },
		{ "TITLE=env", NULL, "TITLE_FILE=secret", "env" },
		{ NULL, NULL, "TITLE=dot", "dot" },
		{ NULL, NULL, "TITLE_FILE=secret", "from file" },
		{ NULL, NULL, "", "" },
		{ "TITLE=", NULL, "TITLE=dot", "" },
		{ "TITLE=", "TITLE_FILE=secret", "", "from file" },
		{ "TITLE=env", "TITLE_FILE=", "", "env" },
		{ NULL, "TITLE_FILE=", "TITLE=dot", "dot" },
		{ NULL, NULL, "TITLE=\nTITLE_FILE=secret", "from file" },
	};

	enter_folder();
	put_file("secret", S("from file\n"), 0644);
	for (size_t i = 0; i < LEN(cases); i++) {
		const char *variables[3] = { 0 };
		struct outcome outcome;
		size_t count = 0;

		if (cases[i].direct)
			variables[count++] = cases[i].direct;
		if (cases[i].file)
			variables[count++] = cases[i].file;
		put_file(".env", str_from_c(cases[i].dotenv), 0644);
		load(&trial_table, variables, &outcome);
		test_note(outcome.r == 0 && outcome.report.warnings == 0 &&
				  str_eq(((const struct trial *)outcome.loaded)->title,
					  str_from_c(cases[i].value)),
			__FILE__, __LINE__, "case %zu", i);
		outcome_done(&outcome);
	}
	leave_folder();
}

TEST(config_lists_all_problems)
{
	enter_folder();
	put_file("secret", S("from file"), 0600);
	put_file(".env",
		S("TITLE=x\nnonsense\nTITLE=y\nROOM='64kb\nPAUSE=\"5\\q\"\nCOUNT = 8 # fine\n"
		  "NAMES=a\nNAMES_FILE=secret\n"),
		0644);
	EXPECT_SAID("APP_ENV=prod|COUNT=one|COUNT=2|DOOR=99999|SHARE=x\x1b[2Jy|FOLDER=a|"
		    "FOLDER_FILE=b|STORE=postgres://user:topsecret@|MASTER_SECRET=abc",
		"problem: COUNT is given twice (environment)\n"
		"problem: .env is not NAME=value (letters, digits and _ in the name) (.env line "
		"2)\n"
		"problem: TITLE is given twice (.env lines 1 and 3)\n"
		"problem: ROOM has a quote that is never closed (.env line 4)\n"
		"problem: PAUSE holds an unknown escape (known are \\n \\r \\t \\\" \\\\ \\$; "
		"single "
		"quotes take a backslash as it is) (.env line 5)\n"
		"problem: APP_ENV must be development, staging or production, not \"prod\" "
		"(environment)\n"
		"problem: TITLE must be text of 2 to 10 bytes, not \"x\" (.env line 1)\n"
		"problem: FOLDER is given both directly and as _FILE (environment)\n"
		"problem: COUNT must be an integer from 2 to 1000, not \"one\" (environment)\n"
		"problem: SHARE must be a percentage from 0% to 100%, not \"x?[2Jy\" "
		"(environment)\n"
		"problem: DOOR must be a port from 0 to 65535, not \"99999\" (environment)\n"
		"problem: STORE must be a URL with the scheme postgres or postgresql, a host and "
		"no fragment (environment)\n"
		"problem: NAMES is given both directly and as _FILE (.env line 8)\n"
		"problem: MASTER_SECRET must be a secret of 6 to 100 bytes (environment)\n");
	leave_folder();
}

TEST(config_dotenv_file)
{
	static char large[70000];

	enter_folder();
	EXPECT_SAID("APP_ENV=staging", "");
	memset(large, '#', sizeof(large));
	put_file(".env", str_of(large, 65536), 0644);
	EXPECT_SAID("APP_ENV=staging", "");
	put_file(".env", str_of(large, 65537), 0644);
	EXPECT_SAID("APP_ENV=staging", "problem: .env is larger than 65536 bytes\n");
	remove_file(".env");
	REQUIRE(mkdirat(directory, ".env", 0700) == 0);
	EXPECT_SAID("APP_ENV=staging", "problem: .env is a folder, a device or a pipe\n");
	REQUIRE(unlinkat(directory, ".env", AT_REMOVEDIR) == 0);
	REQUIRE(mkfifoat(directory, ".env", 0600) == 0);
	EXPECT_SAID("APP_ENV=staging", "problem: .env is a folder, a device or a pipe\n");
	leave_folder();
}

TEST(config_name_file)
{
	static const struct {
		struct str content, value; /* value: NULL when refused */
	} cases[] = {
		{ S_INIT("secret"), S_INIT("secret") },
		{ S_INIT("secret\n"), S_INIT("secret") },
		{ S_INIT("secret\r\n"), S_INIT("secret") },
		{ S_INIT("secret\n\n"), S_INIT("secret\n") },
		{ S_INIT(" secret "), S_INIT(" secret ") },
		{ S_INIT("\n"), { NULL, 0 } },
		{ S_INIT(""), { NULL, 0 } },
		{ S_INIT("secr\0et"), { NULL, 0 } },
	};
	const char *variables[] = { "MASTER_SECRET_FILE=secret", NULL };

	enter_folder();
	for (size_t i = 0; i < LEN(cases); i++) {
		struct outcome outcome;

		put_file("secret", cases[i].content, 0640);
		load(&trial_table, variables, &outcome);
		test_note((outcome.r == 0) == (cases[i].value.at != NULL), __FILE__, __LINE__,
			"case %zu: %.*s", i, STR_ARG(buf_str(&outcome.said)));
		if (outcome.r == 0)
			EXPECT_STR(((const struct trial *)outcome.loaded)->master_secret,
				cases[i].value);
		outcome_done(&outcome);
	}

	EXPECT_SAID("TITLE_FILE=nothing",
		"problem: TITLE is in a file that cannot be opened: No such file or directory "
		"(TITLE_FILE=nothing, environment)\n");
	EXPECT_SAID("TITLE_FILE=/",
		"problem: TITLE is in a file that is a folder, a device or a pipe "
		"(TITLE_FILE=/, environment)\n");
	EXPECT_SAID("TITLE_FILE=\x1b[2J",
		"problem: TITLE has a _FILE that is not a path (environment)\n");
	put_file("secret", S("x"), 0600);
	EXPECT_SAID("MASTER_SECRET_FILE=secret",
		"problem: MASTER_SECRET must be a secret of 6 to 100 bytes "
		"(MASTER_SECRET_FILE=secret, environment)\n");
	leave_folder();
}

#define EXPOSED " is secret but everybody can read the file; make it mode 0400 or 0440 "

TEST(config_files_of_secrets_are_private)
{
	enter_folder();
	put_file("secret", S("very secret"), 0644);
	EXPECT_SAID("MASTER_SECRET_FILE=secret",
		"warning: MASTER_SECRET" EXPOSED "(MASTER_SECRET_FILE=secret, environment)\n");
	EXPECT_SAID("APP_ENV=production|MASTER_SECRET_FILE=secret",
		"warning: MASTER_SECRET" EXPOSED "(MASTER_SECRET_FILE=secret, environment)\n");
	put_file("secret", S("very secret"), 0440);
	EXPECT_SAID("APP_ENV=production|MASTER_SECRET_FILE=secret", "");

	put_file("secret", S("postgres://u:p@db\n"), 0644);
	EXPECT_SAID("APP_ENV=production|MASTER_SECRET=abcdef|STORE_FILE=secret",
		"warning: STORE" EXPOSED "(STORE_FILE=secret, environment)\n");
	put_file("secret", S("postgres://u@db\n"), 0644);
	EXPECT_SAID("APP_ENV=production|MASTER_SECRET=abcdef|STORE_FILE=secret", "");

	put_file(".env", S("MASTER_SECRET=abcdef"), 0604);
	EXPECT_SAID("APP_ENV=production", "warning: MASTER_SECRET" EXPOSED "(.env line 1)\n");
	put_file(".env", S("MASTER_SECRET=abcdef"), 0600);
	EXPECT_SAID("APP_ENV=production", "");
	leave_folder();
}

TEST(config_required_and_redacted)
{
	enter_folder();
	EXPECT_SAID("APP_ENV=staging", "");
	EXPECT_SAID("APP_ENV=production",
		"problem: MASTER_SECRET is required in production; give it or "
		"MASTER_SECRET_FILE\n");
	EXPECT_SAID("APP_ENV=production|MASTER_SECRET=",
		"problem: MASTER_SECRET is required in production; give it or "
		"MASTER_SECRET_FILE\n");
	EXPECT_SAID("MASTER_SECRET=********",
		"problem: MASTER_SECRET is the asterisks of `config print`, not the secret "
		"(environment)\n");
	EXPECT_SAID("STORE=postgres://********@db",
		"problem: STORE is the asterisks of `config print`, not the secret "
		"(environment)\n");
	leave_folder();
}

/* --- mistyped names ------------------------------------------------------------------------- */

TEST(config_mistyped_names)
{
	enter_folder();
	EXPECT_SAID("TITEL=x|Titel_FILE=y|MASTERSECRET=x|MASTR_SECRT_FILE=y|COUMT=1|door=2",
		"warning: TITEL is not a setting; did you mean TITLE? (environment)\n"
		"warning: Titel_FILE is not a setting; did you mean TITLE_FILE? (environment)\n"
		"warning: MASTERSECRET is not a setting; did you mean MASTER_SECRET? "
		"(environment)\n"
		"warning: MASTR_SECRT_FILE is not a setting; did you mean MASTER_SECRET_FILE? "
		"(environment)\n"
		"warning: COUMT is not a setting; did you mean COUNT? (environment)\n"
		"warning: door is not a setting; did you mean DOOR? (environment)\n");
	EXPECT_SAID("TLE=x|MSTRSECRET=x|A=b|NOVALUE|=x|TI\x1bLES=x|_FILE=x", "");
	put_file(".env", S("TITLES=x\nCOUMTS=y\nPOSTGRES_DB=z"), 0600);
	EXPECT_SAID("TZ=UTC",
		"warning: TITLES is not a setting; did you mean TITLE? (.env line 1)\n"
		"warning: COUMTS is not a setting; did you mean COUNT? (.env line 2)\n"
		"warning: POSTGRES_DB is not a setting and has no effect (.env line 3)\n");
	leave_folder();
}

/* What ordinary machines, containers and build servers have in their environment. */
TEST(config_ordinary_names_are_left_alone)
{
	enter_folder();
	expect_said(&config_table,
		"HOSTNAME=a|HOSTTYPE=b|HOME=/|LOGNAME=x|MAIL=y|PATH=/bin|SSL_CERT_FILE=/x|"
		"SSL_CERT_DIR=/"
		"y|NODE_ENV=test|HTTP_PROXY=x|http_proxy=y|NO_PROXY=z|DATABASE_NAME=x",
		"", __LINE__);
	expect_said(&config_table,
		"USER=a|SHELL=b|TERM=c|LANG=d|LC_ALL=e|PWD=/|OLDPWD=/|TZ=UTC|TMPDIR=/tmp|EDITOR=vi|"
		"POSTGRES_PORT=tcp://10.0.0.1:5432|APP_NAME=x|LOG_DIR=/x|TLS=1|WORKDIR=/|DEBUG=1",
		"", __LINE__);
	leave_folder();
}

TEST(config_report_is_bounded)
{
	struct outcome outcome;
	const char *none[] = { NULL };
	struct buf text;

	enter_folder();
	buf_init(&text, 65536);
	while (text.len < 65000)
		buf_append(&text, S("nonsense\nX=1\n"));
	put_file(".env", buf_str(&text), 0600);
	buf_done(&text);
	load(&trial_table, none, &outcome);
	EXPECT_INT(outcome.r, -ERR_INVALID);
	EXPECT_INT(outcome.report.problems, 5000);
	EXPECT_INT(outcome.report.warnings, 5000);
	EXPECT_INT(outcome.report.unlisted, 10000 - CONFIG_NOTES_MAX);
	EXPECT(str_ends(buf_str(&outcome.said), S("\nand 9800 more\n")));
	outcome_done(&outcome);
	leave_folder();
}

/* --- the loaded struct ------------------------------------------------------------------------ */

static void overwrite(void *member)
{
	*(volatile size_t *)member = 1;
}

TEST(config_cannot_be_changed)
{
	const char *variables[] = { "COUNT=3", "TITLE=words", NULL };
	const struct trial *trial;
	struct outcome outcome;

	load(&trial_table, variables, &outcome);
	REQUIRE(outcome.r == 0);
	trial = outcome.loaded;
	EXPECT(test_dies(overwrite, (void *)&trial->count, SIGSEGV));
	EXPECT(test_dies(overwrite, (void *)trial->title.at, SIGSEGV));
	EXPECT_INT(trial->count, 3);
	outcome_done(&outcome);
}

#ifdef BULKHEAD_FAULTS
TEST(config_survives_every_failure)
{
	const char *variables[] = { "STORE=postgres://u:p@db", "MASTER_SECRET_FILE=secret", "DOR=1",
		NULL };

	enter_folder();
	put_file("secret", S("very secret"), 0600);
	put_file(".env", S("TITLE=\"wo\\\"rds\"\nNAMES=a,b"), 0600);
	for (enum fault_kind kind = 0; kind < FAULT_KINDS; kind++) {
		bool struck = true;

		for (size_t nth = 1; struck; nth++) {
			struct config_source source = { variables, directory };
			struct config_report report;
			const void *loaded = NULL;
			int r;

			fault_arm(kind, nth);
			r = config_load_table(&trial_table, &source, &report, &loaded);
			struck = fault_struck(kind);
			fault_arm(kind, 0);
			test_note((r < 0) == struck && (r < 0) == !loaded, __FILE__, __LINE__,
				"kind %d, passage %zu: %d", kind, nth, r);
			config_free(loaded);
			config_report_done(&report);
			EXPECT_INT(mem_used(), 0);
		}
	}
	leave_folder();
}
#endif

TEST(config_too_large_for_its_memory)
{
	static struct config_entry entries[] = {
		{ .name = S_INIT("APP_ENV"),
			CONFIG_OF_ENUM(app_env),
			.defaults = CONFIG_DEFAULT_ALWAYS("development") },
		{ .name = S_INIT("TEXT"),
			CONFIG_OF_STRING(1, 8 * MEGABYTE),
			.offset = 16,
			.defaults = CONFIG_DEFAULT_ALWAYS("") },
	};
	static const struct config_table table = { entries, LEN(entries), 32, NULL };
	static char variable[2 * 1024 * 1024] = "TEXT=";
	const char *variables[] = { variable, NULL };
	struct outcome outcome;

	memset(variable + 5, 'x', sizeof(variable) - 6);
	load(&table, variables, &outcome);
	EXPECT_INT(outcome.r, -ERR_TOO_LARGE);
	outcome_done(&outcome);
}

/* --- showing -------------------------------------------------------------- */

static const char *shown_variables[] = { "TITLE=a \"b\" $c", "MASTER_SECRET=topsecret",
	"STORE=postgres://user:topsecret@db/x?password=topsecret", "NETS=::1,10.0.0.0/8",
	"NAMES=x y,z", "SHARE=7", NULL };

static const char shown[] = "APP_ENV=development  # default\n"
			    "TITLE=\"a \\\"b\\\" \\$c\"  # environment\n"
			    "FOLDER=/tmp/x  # .env line 2\n"
			    "SERVER=from.file  # SERVER_FILE=secret, .env line 3\n"
			    "ENABLED=false  # default\n"
			    "COUNT=7  # default\n"
			    "LIMIT=0  # default\n"
			    "SHARE=7%  # environment\n"
			    "PAUSE=90s  # default\n"
			    "ROOM=64kb  # default\n"
			    "DOOR=80  # default\n"
			    "GATE=:9090  # default\n"
			    "STORE=postgres://********@db/x?********  # environment\n"
			    "NAMES=\"x y,z\"  # environment\n"
			    "NETS=::1/128,10.0.0.0/8  # environment\n"
			    "MASTER_SECRET=********  # environment\n";

static const char shown_json[] =
	"{\"APP_ENV\":{\"value\":\"development\",\"origin\":\"default\"},"
	"\"TITLE\":{\"value\":\"a \\\"b\\\" $c\",\"origin\":\"environment\"},"
	"\"FOLDER\":{\"value\":\"/tmp/x\",\"origin\":\".env line 2\"},"
	"\"SERVER\":{\"value\":\"from.file\",\"origin\":\"SERVER_FILE=secret, .env line 3\"},"
	"\"ENABLED\":{\"value\":false,\"origin\":\"default\"},"
	"\"COUNT\":{\"value\":7,\"origin\":\"default\"},"
	"\"LIMIT\":{\"value\":0,\"origin\":\"default\"},"
	"\"SHARE\":{\"value\":\"7%\",\"origin\":\"environment\"},"
	"\"PAUSE\":{\"value\":\"90s\",\"origin\":\"default\"},"
	"\"ROOM\":{\"value\":\"64kb\",\"origin\":\"default\"},"
	"\"DOOR\":{\"value\":80,\"origin\":\"default\"},"
	"\"GATE\":{\"value\":\":9090\",\"origin\":\"default\"},"
	"\"STORE\":{\"value\":\"postgres://********@db/x?********\",\"origin\":\"environment\"},"
	"\"NAMES\":{\"value\":[\"x y\",\"z\"],\"origin\":\"environment\"},"
	"\"NETS\":{\"value\":[\"::1/128\",\"10.0.0.0/8\"],\"origin\":\"environment\"},"
	"\"MASTER_SECRET\":{\"value\":\"********\",\"origin\":\"environment\"}}\n";

static void load_shown(struct outcome *ret)
{
	put_file("secret", S("from.file\n"), 0644);
	put_file(".env", S("# comment\nFOLDER='/tmp/x'\nSERVER_FILE=secret\n"), 0644);
	load(&trial_table, shown_variables, ret);
	REQUIRE(ret->r == 0 && ret->report.warnings == 0);
}

TEST(config_print_redacts)
{
	struct outcome outcome;
	struct buf out;

	enter_folder();
	load_shown(&outcome);
	buf_init(&out, MEGABYTE);
	config_print(outcome.loaded, &out);
	EXPECT_STR(buf_str(&out), str_from_c(shown));
	buf_reset(&out);
	config_print_json(outcome.loaded, &out);
	EXPECT_STR(buf_str(&out), str_from_c(shown_json));
	buf_done(&out);
	outcome_done(&outcome);
	leave_folder();
}

/* Of a secret only whether there is one is shown. */
TEST(config_print_of_nothing)
{
	const char *none[] = { NULL };
	struct outcome outcome;
	struct buf out;

	enter_folder();
	load(&trial_table, none, &outcome);
	buf_init(&out, MEGABYTE);
	config_print(outcome.loaded, &out);
	EXPECT(str_find(buf_str(&out), S("\nTITLE=  # default\n")) > 0);
	EXPECT(str_find(buf_str(&out), S("\nMASTER_SECRET=  # default\n")) > 0);
	buf_reset(&out);
	config_print_json(outcome.loaded, &out);
	EXPECT(str_find(buf_str(&out), S("\"MASTER_SECRET\":{\"value\":null,")) > 0);
	EXPECT(str_find(buf_str(&out), S("\"NAMES\":{\"value\":[],")) > 0);
	buf_done(&out);
	outcome_done(&outcome);
	leave_folder();
}

/* The printed text is a `.env` that prints as the same again, origins aside. */
TEST(config_print_is_a_dotenv)
{
	const char *secrets[] = { "MASTER_SECRET=topsecret", "STORE=postgres://user:x@db/x?y",
		NULL };
	struct outcome outcome;
	struct buf out, again;
	struct str one, two;

	enter_folder();
	load_shown(&outcome);
	buf_init(&out, MEGABYTE);
	buf_init(&again, MEGABYTE);
	config_print(outcome.loaded, &out);
	config_free(outcome.loaded);
	config_report_done(&outcome.report);

	put_file(".env", buf_str(&out), 0600);
	load(&trial_table, secrets, &outcome);
	REQUIRE(outcome.r == 0);
	config_print(outcome.loaded, &again);
	one = buf_str(&out);
	two = buf_str(&again);
	while (one.len && two.len) {
		struct str a = str_cut(&one, '\n'), b = str_cut(&two, '\n');

		EXPECT_STR(str_first(a, (size_t)str_find(a, S("  # "))),
			str_first(b, (size_t)str_find(b, S("  # "))));
	}
	EXPECT(one.len == 0 && two.len == 0);
	buf_done(&out);
	buf_done(&again);
	outcome_done(&outcome);
	leave_folder();
}

TEST(config_report_json)
{
	const char *variables[] = { "COUNT=\"", "TITEL=x", NULL };
	struct outcome outcome;
	struct buf out;

	enter_folder();
	load(&trial_table, variables, &outcome);
	buf_init(&out, MEGABYTE);
	config_report_write_json(&outcome.report, &out);
	EXPECT_STR(buf_str(&out),
		S("{\"valid\":false,\"problems\":[{\"name\":\"COUNT\",\"message\":\"must be an "
		  "integer from 2 to 1000, not \\\"\\\"\\\" (environment)\"}],\"warnings\":[{"
		  "\"name\":\"TITEL\",\"message\":\"is not a setting; did you mean TITLE? "
		  "(environment)\"}],\"unlisted\":0}\n"));
	buf_done(&out);
	outcome_done(&outcome);
	leave_folder();
}

/* An output buffer that is too small says so, whichever part did not fit. */
TEST(config_print_into_too_little)
{
	const char *variables[] = { "TITLE=0123456789", NULL };
	struct outcome outcome;
	struct buf out;

	load(&trial_table, variables, &outcome);
	REQUIRE(outcome.r == 0);
	for (size_t limit = 1; limit < 200; limit++) {
		buf_init(&out, limit);
		config_print(outcome.loaded, &out);
		EXPECT_INT(out.failed, -ERR_TOO_LARGE);
		buf_done(&out);
		buf_init(&out, limit);
		config_print_json(outcome.loaded, &out);
		EXPECT_INT(out.failed, -ERR_TOO_LARGE);
		buf_done(&out);
	}
	outcome_done(&outcome);
}

TEST(config_json_text_escapes)
{
	struct buf out;

	buf_init(&out, KILOBYTE);
	config_json_text(S("a\"\\/\n\x1f\x7fgr\xC3\xBC\xC3\x9F"), &out);
	EXPECT_STR(buf_str(&out), S("\"a\\\"\\\\/\\u000a\\u001f\x7fgr\xC3\xBC\xC3\x9F\""));
	buf_done(&out);
}

TEST(config_doc_of_a_table)
{
	struct buf out;

	buf_init(&out, MEGABYTE);
	config_doc(&trial_table, &out);
	EXPECT(str_find(buf_str(&out),
		       S("\n## Two\n\n| name | must be | default | meaning |\n|---|---|---|---|\n"
			 "| `DOOR` | a port from 0 to 65535 | `80` | A port. |\n")) > 0);
	EXPECT(str_find(buf_str(&out),
		       S("| `localhost` in development, `0.0.0.0` elsewhere | A host. |")) > 0);
	EXPECT(str_find(buf_str(&out), S("| `LIMIT` | 0 or an integer from 16 to 1000 |")) > 0);
	EXPECT(str_find(buf_str(&out), S("| empty; required in production | Secret. A secret. |")) >
		0);
	buf_done(&out);
}

/* --- the server's table --------------------------------------------------- */

/* The member is the name in lower case and has the size its type stores. */
TEST(config_table_members)
{
#define ROW(member_name, NAME, ...) { #member_name, sizeof(((struct config *)0)->member_name) },
	static const struct {
		const char *member;
		size_t size;
	} members[] = { CONFIG_TABLE(ROW) };
#undef ROW

	REQUIRE(LEN(members) == config_table.count);
	for (size_t i = 0; i < config_table.count; i++) {
		const struct config_entry *entry = &config_table.entries[i];

		test_note(str_eq_nocase(str_from_c(members[i].member), entry->name) &&
				  members[i].size == config_kinds[entry->type].size,
			__FILE__, __LINE__, "%s", members[i].member);
	}
}

TEST(config_table_is_complete)
{
	for (size_t i = 0; i < config_table.count; i++) {
		const struct config_entry *entry = &config_table.entries[i];
		struct str text = str_from_c(entry->text);

		test_note(str_ends(text, S(".")) && str_find_byte(text, '|') < 0, __FILE__,
			__LINE__, "%s: \"%s\"", entry->name.at, entry->text);
		test_note(entry->max < UINT64_MAX / 4 && entry->min <= entry->max, __FILE__,
			__LINE__, "%s: no limit is infinite", entry->name.at);
		for (size_t j = 0; j < i; j++) {
			const struct config_entry *other = &config_table.entries[j];
			struct buf file;

			buf_init(&file, KILOBYTE);
			buf_printf(&file, "%s_FILE", other->name.at);
			test_note(!str_eq(entry->name, other->name) &&
					  !str_eq(entry->name, buf_str(&file)),
				__FILE__, __LINE__, "%s is in the way of %s", entry->name.at,
				other->name.at);
			buf_done(&file);
			test_note(strcmp(entry->section, other->section) != 0 ||
					  strcmp(entry->section, entry[-1].section) == 0,
				__FILE__, __LINE__, "%s stands apart from its section",
				entry->name.at);
		}
	}
}

/* What has no default outside of development. */
#define MASTER_KEY_TEXT    "8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918"
#define IDENTITY_VARIABLES "MASTER_KEY=" MASTER_KEY_TEXT, "PUBLIC_URL=https://api.example.com"
#define MAIL_VARIABLES     "SMTP_URL=smtp://localhost", "MAIL_FROM=Acme <no-reply@example.com>"
#define IDENTITY                                                                                   \
	"MASTER_KEY=" MASTER_KEY_TEXT "|PUBLIC_URL=https://api.example.com|"                       \
	"SMTP_URL=smtps://a:b%40@mail.example.com:465|MAIL_FROM=no-reply@example.com|"

TEST(config_defaults_of_the_server)
{
	static const char *environments[APP_ENV_COUNT][6] = { { "APP_ENV=development" },
		{ "APP_ENV=staging", IDENTITY_VARIABLES, MAIL_VARIABLES },
		{ "APP_ENV=production", IDENTITY_VARIABLES, MAIL_VARIABLES } };

	enter_folder();
	for (size_t i = 0; i < APP_ENV_COUNT; i++) {
		struct config_source source = { environments[i], directory };
		const struct config *config = NULL;
		struct config_report report;
		bool development = i == APP_DEVELOPMENT;

		REQUIRE(config_load(&source, &report, &config) == 0);
		EXPECT_INT(report.warnings, 0);
		EXPECT_INT(config->app_env, i);
		EXPECT_STR(config->host, development ? S("127.0.0.1") : S("0.0.0.0"));
		EXPECT_INT(config->port, 8080);
		EXPECT_STR(config->ops_listen.host, S("127.0.0.1"));
		EXPECT_INT(config->hello_enabled, development);
		EXPECT_INT(config->shutdown_delay, development ? 0 : 5 * SECOND);
		EXPECT_INT(config->log_level, CONFIG_LOG_INFO);
		EXPECT_INT(config->log_file_max_age, 30 * 24 * HOUR);
		EXPECT_INT(config->tls_min_version, CONFIG_TLS_1_2);
		EXPECT_INT(config->http_max_body, MEGABYTE);
		EXPECT_INT(config->memory_limit, 0);
		EXPECT_INT(config->trusted_proxies.count, 0);
		config_free(config);
		config_report_done(&report);
	}
	leave_folder();
}

TEST(config_load_fails)
{
	static const char *const variables[] = { "PORT=x", NULL };
	struct config_source source = { variables, AT_FDCWD };
	const struct config *config = NULL;
	struct config_report report;

	EXPECT_INT(config_load(&source, &report, &config), -ERR_INVALID);
	EXPECT(strcmp(err_text(), "the configuration has 1 problem") == 0);
	EXPECT(config == NULL);
	config_report_done(&report);
}

TEST(config_rules_across_settings)
{
	static const struct {
		const char *variables, *said;
	} cases[] = {
		{ "TLS_CERT_FILE=a|TLS_KEY_FILE=b", "" },
		{ "TLS_CERT_FILE=a", "problem: TLS_KEY_FILE is missing: TLS_CERT_FILE is set; set "
				     "both or neither\n" },
		{ "TLS_KEY_FILE=a", "problem: TLS_CERT_FILE is missing: TLS_KEY_FILE is set; set "
				    "both or neither\n" },
		{ "TLS_CERT_FILE=a\tb|TLS_KEY_FILE=b",
			"problem: TLS_CERT_FILE must be a path of at most 4095 bytes, not "
			"\"a?b\" (environment)\n" },
		{ "PORT=9090", "" },
		{ IDENTITY "APP_ENV=staging|PORT=9090",
			"problem: OPS_LISTEN must not be the address and port that HOST and PORT "
			"listen on\n" },
		{ IDENTITY "APP_ENV=staging|PORT=9090|HOST=10.0.0.1", "" },
		{ IDENTITY "APP_ENV=staging|PORT=9090|HOST=10.0.0.1|OPS_LISTEN=:9090",
			"problem: OPS_LISTEN must not be the address and port that HOST and PORT "
			"listen on\n" },
		{ IDENTITY "APP_ENV=staging|PORT=0|OPS_LISTEN=:0", "" },
		{ "MEMORY_LIMIT=64mb|REQUEST_MEMORY_LIMIT=65mb",
			"problem: REQUEST_MEMORY_LIMIT must not be larger than MEMORY_LIMIT\n" },
		{ "HTTP_MAX_BODY=17mb", "problem: REQUEST_MEMORY_LIMIT must not be smaller than "
					"HTTP_MAX_BODY: a body is held in it\n" },
		{ "MASTER_KEY=" MASTER_KEY_TEXT
		  "|DATABASE_URL=postgres://app:x@db/a|DATABASE_OWNER_URL=postgres://own@db/a",
			"" },
		{ "DATABASE_OWNER_URL=postgres://own@db/a|DATABASE_DIRECT_URL=postgres://app@db/a",
			"problem: DATABASE_URL is missing: DATABASE_OWNER_URL is set\n"
			"problem: DATABASE_URL is missing: DATABASE_DIRECT_URL is set\n" },
		{ "MASTER_KEY=" MASTER_KEY_TEXT "|DATABASE_URL=postgres://db/a",
			"problem: DATABASE_URL must name its user: "
			"migrations give it its rights\n" },
		{ "MASTER_KEY=" MASTER_KEY_TEXT
		  "|DATABASE_URL=postgres://app@db/a|DATABASE_OWNER_URL=postgres://app@db/a",
			"problem: DATABASE_OWNER_URL must be another login than that of "
			"DATABASE_URL, who may not own tables\n" },
		{ IDENTITY "APP_ENV=production|DATABASE_URL=postgres://app@db/a",
			"problem: DATABASE_OWNER_URL is missing: in production the login of "
			"DATABASE_URL may not own tables; set it, or MIGRATE_ON_START=false and "
			"migrate as a step of its own\n" },
		{ IDENTITY "APP_ENV=production|DATABASE_URL=postgres://app@db/"
			   "a|MIGRATE_ON_START=false",
			"" },
		{ "APP_ENV=production",
			"problem: MASTER_KEY is required outside of development; `openssl rand "
			"-hex 32` makes one, to be kept apart from the backups\n"
			"problem: PUBLIC_URL is required outside of development: tokens name it as "
			"their issuer\n"
			"warning: SMTP_URL is not set: no mail can be sent, neither to verify an "
			"address nor to reset a password\n" },
		{ "MASTER_KEY=0123456789012345678901234567890123456789",
			"problem: MASTER_KEY is not 32 bytes as 64 hexadecimal digits or base64; "
			"`openssl rand -hex 32` makes some\n" },
		{ "DATABASE_URL=postgres://app@db/a",
			"warning: MASTER_KEY is made in DATA_DIR; instances with the same "
			"DATABASE_URL need the same one, too\n" },
		{ "PUBLIC_URL=http://a.example/|APP_URL=http://me@a.example",
			"problem: PUBLIC_URL must have no user, no query and no / at its end: "
			"paths are added to it\n"
			"problem: APP_URL must have no user, no query and no / at its end: paths "
			"are added to it\n" },
		{ IDENTITY "APP_ENV=staging|APP_URL=http://a.example/app",
			"warning: APP_URL is not https: tokens can be read on the way\n" },
		{ "PASSWORD_PASSES=1|PASSWORD_MEMORY=46mb", "" },
		{ "PASSWORD_PASSES=64|PASSWORD_MEMORY=64mb",
			"problem: PASSWORD_MEMORY with PASSWORD_PASSES: Argon2id memory times "
			"passes is at most 2097152 KB\n" },
		{ "PASSWORD_POOL_MEMORY=18mb",
			"problem: PASSWORD_POOL_MEMORY must have room for one hash of "
			"PASSWORD_MEMORY\n" },
		{ "JWT_ACCESS_EXPIRY=1h|JWT_REFRESH_EXPIRY=30m",
			"problem: JWT_ACCESS_EXPIRY must not be longer than JWT_REFRESH_EXPIRY\n" },
		{ "JWT_REFRESH_EXPIRY=31d",
			"problem: JWT_REFRESH_EXPIRY must not be longer than SESSION_EXPIRY\n" },
		{ "MAIL_FROM=Acme no-reply@example.com",
			"problem: MAIL_FROM must be an address, or Name <address>\n" },
		{ "SMTP_URL=smtp://localhost:1025",
			"problem: MAIL_FROM is missing: SMTP_URL is set\n" },
		{ "SMTP_URL=smtp://localhost/x|MAIL_FROM=<a@b.example>",
			"problem: SMTP_URL must have neither path nor query\n" },
		{ "TRUSTED_PROXIES=0.0.0.0/0",
			"warning: TRUSTED_PROXIES trusts the whole internet: "
			"anybody can invent a client address\n" },
		{ "TRUSTED_PROXIES=10.0.0.0/8,fd00::/8", "" },
		{ "TRUSTED_PROXIES=10.0.0.0/8,::/0",
			"warning: TRUSTED_PROXIES trusts the whole internet: "
			"anybody can invent a client address\n" },
		{ "TRUSTED_PROXIES=x|REQUEST_MEMORY_LIMIT="
		  "0123456789012345678901234567890123456789012345678901234567890123456789",
			"problem: TRUSTED_PROXIES must be a list of 1 to 64 networks such as "
			"10.0.0.0/8 or ::1 with commas between them, no address bit set behind "
			"the prefix, not \"x\" (environment)\n"
			"problem: REQUEST_MEMORY_LIMIT must be a size from 64kb to 1gb (units b, "
			"kb, mb, gb), not "
			"\"012345678901234567890123456789012345678901234567890123456789...\" "
			"(environment)\n" },
	};

	enter_folder();
	for (size_t i = 0; i < LEN(cases); i++)
		expect_said(&config_table, cases[i].variables, cases[i].said, __LINE__);
	leave_folder();
}

TEST(config_of_this_process)
{
	struct config_source source = config_process();
	bool found = false;

	REQUIRE(setenv("CONFIG_TEST", "1", 1) == 0);
	source = config_process();
	EXPECT_INT(source.directory, AT_FDCWD);
	for (const char *const *at = source.variables; *at; at++)
		found = found || strcmp(*at, "CONFIG_TEST=1") == 0;
	EXPECT(found);
}

/* --- the repository ------------------------------------------------------- */

static char *read_source(const char *path, size_t *ret_len)
{
	FILE *file = fopen(path, "r");
	char *text = NULL;
	size_t cap = 0;
	ssize_t got;

	REQUIRE(file != NULL);
	got = getdelim(&text, &cap, 0, file);
	fclose(file);
	*ret_len = got < 0 ? 0 : (size_t)got;
	return text;
}

static void blank_comments(char *text, size_t len)
{
	char *end = text + len;

	for (char *at = text; (at = memmem(at, (size_t)(end - at), "/*", 2)) != NULL;) {
		char *close = memmem(at, (size_t)(end - at), "*/", 2);
		char *stop = close ? close + 2 : end;

		memset(at, ' ', (size_t)(stop - at));
		at = stop;
	}
}

static bool has_word(struct str text, struct str word)
{
	for (size_t from = 0;;) {
		ptrdiff_t at = str_find(str_from(text, from), word);
		size_t start = from + (size_t)at, end = start + word.len;

		if (at < 0)
			return false;
		if ((start == 0 || !(text.at[start - 1] == '_' || isalnum(text.at[start - 1]))) &&
			(end == text.len || !(text.at[end] == '_' || isalnum(text.at[end]))))
			return true;
		from = end;
	}
}

static int look_for_environment(
	const char *path, const struct stat *status, int type, struct FTW *walk)
{
	static const struct str words[] = { S_INIT("getenv"), S_INIT("secure_getenv"),
		S_INIT("environ"), S_INIT("__environ"), S_INIT("envp") };
	struct str name = str_from_c(path);
	size_t len;
	char *text;

	(void)status;
	(void)walk;
	if (type != FTW_F || str_eq(name, S("src/config.c")) || str_ends(name, S("_test.c")) ||
		!(str_ends(name, S(".c")) || str_ends(name, S(".h"))))
		return 0;

	text = read_source(path, &len);
	blank_comments(text, len);
	for (size_t i = 0; i < LEN(words); i++)
		test_note(!has_word(str_of(text, len), words[i]), __FILE__, __LINE__,
			"%s reads the environment (%s); only src/config.c may", path, words[i].at);
	free(text);
	return 0;
}

TEST(config_alone_reads_the_environment)
{
	REQUIRE(has_word(S("x = getenv(y)"), S("getenv")));
	REQUIRE(!has_word(S("the environment, my_environ"), S("environ")));
	REQUIRE(nftw("src", look_for_environment, 16, FTW_PHYS) == 0);
}

TEST(config_reference_is_current)
{
	const char *path = "doc/configuration-reference.md";
	struct buf out;
	size_t len;
	char *text;

	buf_init(&out, MEGABYTE);
	config_doc(&config_table, &out);
	text = read_source(path, &len);
	test_note(str_eq(str_of(text, len), buf_str(&out)), __FILE__, __LINE__,
		"%s is old; bulkhead config doc >%s", path, path);
	free(text);
	buf_done(&out);
}
