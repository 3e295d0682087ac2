/* The text of migrations: sections, numbers, what each engine sees, sums, statements, reasons. */
#include "store/migration_text.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"

#include <stdlib.h>

static struct arena arena;

static int parse(const char *text, enum engine_kind engine, struct migrations *ret)
{
	static struct migration_source source;

	source = (struct migration_source){ "notes", text };
	return migration_parse(&arena, &source, engine, ret);
}

static void begin(void)
{
	arena_init(&arena, 4096, 16 * MEGABYTE);
}

static void end(void)
{
	arena_done(&arena);
	EXPECT_INT(mem_used(), 0);
}

TEST(migration_text_sections)
{
	static const char text[] = "-- Notes.\n"
				   "\n"
				   "-- up 1: notes\n"
				   "a;\n"
				   "-- down 1\n"
				   "b;\n"
				   "-- up 2 sqlite: find, lite\n"
				   "c;\n"
				   "-- up 2 postgres: find\n"
				   "-- runs beside 0.2.0\n"
				   "d;\n"
				   "-- down 2 postgres\n"
				   "e;\n"
				   "-- up 3 postgres: only there\n"
				   "f;\n";
	struct migrations list;

	begin();
	REQUIRE(parse(text, ENGINE_POSTGRES, &list) == 0);
	REQUIRE(list.count == 3);
	EXPECT_INT(list.at[0].number, 1);
	EXPECT_STR(list.at[0].title, S("notes"));
	EXPECT_STR(list.at[0].up.text, S("a;\n"));
	EXPECT_INT(list.at[0].up.line, 4);
	EXPECT_STR(list.at[0].down.text, S("b;\n"));
	EXPECT_STR(list.at[1].title, S("find"));
	EXPECT_STR(list.at[1].beside, S("0.2.0"));
	EXPECT_STR(list.at[1].up.text, S("-- runs beside 0.2.0\nd;\n"));
	EXPECT(list.at[1].down.given);
	EXPECT_STR(list.at[2].up.text, S("f;\n"));

	REQUIRE(parse(text, ENGINE_SQLITE, &list) == 0);
	REQUIRE(list.count == 3);
	EXPECT_STR(list.at[1].title, S("find, lite"));
	EXPECT_STR(list.at[1].beside, S(""));
	EXPECT(!list.at[1].down.given);
	EXPECT_STR(list.at[2].title, S("only there"));
	EXPECT(!list.at[2].up.given);

	REQUIRE(parse("", ENGINE_SQLITE, &list) == 0);
	EXPECT_INT(list.count, 0);
	end();
}

TEST(migration_text_for_each_engine)
{
	static const struct {
		const char *text, *sqlite, *postgres;
	} cases[] = {
		{ "a --sqlite: b\nc", "a           b\nc", "a            \nc" },
		{ "a --postgres: b --sqlite: c", "a                         c",
			"a             b            " },
		{ "-- word --sqlite: b", "-- word           b", "-- word            " },
		{ "--sqlite:\nb", "         \nb", "         \nb" },
		{ "no marker -- here", "no marker -- here", "no marker -- here" },
	};

	begin();
	for (size_t i = 0; i < LEN(cases); i++) {
		struct str text = arena_printf(&arena, "-- up 1: x\n%s", cases[i].text);
		struct migrations list;

		REQUIRE(parse(text.at, ENGINE_SQLITE, &list) == 0);
		EXPECT_STR(list.at[0].up.text, str_from_c(cases[i].sqlite));
		REQUIRE(parse(text.at, ENGINE_POSTGRES, &list) == 0);
		EXPECT_STR(list.at[0].up.text, str_from_c(cases[i].postgres));
	}
	end();
}

TEST(migration_text_mistakes)
{
	static const struct {
		const char *text, *said;
	} cases[] = {
		{ "SELECT 1;", "notes.sql:1: only comments may stand before the first section" },
		{ "-- up 2: x", "notes.sql:1: up 2 stands behind up 0: sections are numbered 1, 2, "
				"3, without gaps, each down behind its up" },
		{ "-- up 1: x\n-- up 3: y", "notes.sql:2: up 3 stands behind up 1: sections are "
					    "numbered 1, 2, 3, without gaps, each down behind its "
					    "up" },
		{ "-- up 1: x\n-- up 1: y",
			"notes.sql:2: there is a section up 1 for this engine already" },
		{ "-- up 1 sqlite: x\n-- up 1: y",
			"notes.sql:2: there is a section up 1 for this engine already" },
		{ "-- up 1: x\n-- down 1\n-- down 1 sqlite",
			"notes.sql:3: there is a section down 1 for this engine already" },
		{ "-- up 1: x\n-- up 2: y\n-- down 1",
			"notes.sql:3: down 1 stands behind up 2: sections are numbered 1, 2, 3, "
			"without gaps, each down behind its up" },
		{ "-- down 1",
			"notes.sql:1: down 1 stands behind up 0: sections are numbered 1, 2, "
			"3, without gaps, each down behind its up" },
		{ "-- up 1: x\n\r\n", "notes.sql:2: lines end with LF, not CR LF" },
		{ "-- up 1: x\n\f", "notes.sql:2: control byte 0x0c" },
		{ "-- up 1: \xff", "notes.sql: not UTF-8" },
		{ "-- up 1: x\n-- sqlite: y", "notes.sql:2: write --sqlite: or --postgres:" },
		{ "-- up 1: x\n--pg: y", "notes.sql:2: write --sqlite: or --postgres:" },
		{ "-- runs beside 1.0.0",
			"notes.sql:1: \"runs beside\" belongs into an up section, once" },
		{ "-- up 1: x\n-- down 1\n-- runs beside 1.0.0",
			"notes.sql:3: \"runs beside\" belongs into an up section, once" },
		{ "-- up 1: x\n-- runs beside 1.0.0\n-- runs beside 1.0.0",
			"notes.sql:3: \"runs beside\" belongs into an up section, once" },
		{ "-- up 1: x\n-- runs beside 1.0", "notes.sql:2: write -- runs beside X.Y.Z: the "
						    "oldest version that may run beside it" },
		{ "-- up 1: x\n--runs beside 1.0.0",
			"notes.sql:2: write -- runs beside X.Y.Z: the oldest version that may run "
			"beside it" },
	};
	static const char *const headings[] = { "-- up 1", "-- up 1 :x", "--up 1: x", "-- Up 1: x",
		"--  up 1: x", " -- up 1: x", "-- up 01: x", "-- up 1001: x", "-- up 0: x",
		"-- up 1 mysql: x", "-- up 1:x", "-- up 1: ", "-- down 1: x", "-- down 1 lite" };

	begin();
	for (size_t i = 0; i < LEN(cases); i++) {
		struct migrations list;

		test_note(parse(cases[i].text, ENGINE_SQLITE, &list) == -ERR_INVALID, __FILE__,
			__LINE__, "taken: %s", cases[i].text);
		EXPECT_STR(str_from_c(err_text()), str_from_c(cases[i].said));
	}
	for (size_t i = 0; i < LEN(headings); i++) {
		struct migrations list;

		test_note(parse(headings[i], ENGINE_SQLITE, &list) == -ERR_INVALID, __FILE__,
			__LINE__, "taken: %s", headings[i]);
		test_note(strstr(err_text(), "write -- up N: title") != NULL, __FILE__, __LINE__,
			"%s: %s", headings[i], err_text());
	}
	end();
}

TEST(migration_text_has_limits)
{
	size_t size = MIGRATION_TEXT_MAX + 2;
	char *text = malloc(size);
	struct migrations list;
	struct buf many;

	begin();
	REQUIRE(text != NULL);
	memset(text, ' ', size - 1);
	text[size - 1] = '\0';
	EXPECT_INT(parse(text, ENGINE_SQLITE, &list), -ERR_INVALID);
	text[MIGRATION_TEXT_MAX] = '\0';
	EXPECT_INT(parse(text, ENGINE_SQLITE, &list), 0);
	free(text);

	buf_init(&many, MEGABYTE);
	for (int i = 1; i <= MIGRATIONS_MAX; i++)
		buf_printf(&many, "-- up %d: x\n", i);
	buf_byte(&many, '\0');
	EXPECT_INT(parse(many.at, ENGINE_SQLITE, &list), 0);
	EXPECT_INT(list.count, MIGRATIONS_MAX);
	many.len--;
	buf_printf(&many, "-- up %d: x\n%c", MIGRATIONS_MAX + 1, '\0');
	EXPECT_INT(parse(many.at, ENGINE_SQLITE, &list), -ERR_INVALID);

	buf_reset(&many);
	buf_append(&many, S("-- up 1: x\n"));
	for (int i = 0; i <= MIGRATION_STATEMENTS_MAX; i++)
		buf_append(&many, S("a;\n"));
	buf_byte(&many, '\0');
	REQUIRE(parse(many.at, ENGINE_SQLITE, &list) == 0);
	struct migration_statements statements;
	EXPECT_INT(migration_cut(&arena, list.source, &list.at[0].up, ENGINE_SQLITE, &statements),
		-ERR_INVALID);
	buf_done(&many);
	end();
}

/* The same sum: what comes behind a section. Another one: whatever is in it. */
TEST(migration_text_sums)
{
	static const struct {
		const char *text;
		bool same;
	} cases[] = {
		{ "-- up 1: x\na;\nb;", true },
		{ "-- up 1: x\na;\nb;\n\n\n", true },
		{ "-- before\n\n-- up 1: x\na;\nb;\n-- about the next\n\n-- up 2: y\nc;", true },
		{ "-- up 1: x\na;\nb;\n-- down 1\nc;", true },
		{ "-- up 1: y\na;\nb;\n", false },
		{ "-- up 1: x\na;\n\nb;\n", false },
		{ "-- up 1: x\na;\nb; --sqlite: c\n", false },
		{ "-- up 1: x\na;\nb;\n--postgres: c;\n", false },
		{ "-- up 1: x\na; -- why\nb;\n", false },
		{ "-- up 1 sqlite: x\na;\nb;\n", false },
		{ "-- up 1 postgres: x\na;\nb;\n", false },
	};
	struct migrations list, first;

	begin();
	REQUIRE(parse("-- up 1: x\na;\nb;\n", ENGINE_SQLITE, &first) == 0);
	for (size_t i = 0; i < LEN(cases); i++) {
		REQUIRE(parse(cases[i].text, ENGINE_SQLITE, &list) == 0);
		test_note((memcmp(list.at[0].sum, first.at[0].sum, MIGRATION_SUM_LEN) == 0) ==
				  cases[i].same,
			__FILE__, __LINE__, "%s", cases[i].text);
	}
	end();
}

TEST(migration_text_statements)
{
	static const char text[] = "-- up 1: x\n"
				   "\n"
				   "CREATE TABLE main.a (b text DEFAULT ';'); -- safe:  one \n"
				   "/* c */ DROP TABLE main.b -- safe: two\n"
				   ";\n"
				   "d; e; -- safe: three\n"
				   "-- safe: of nothing\n"
				   "'-- safe: a text'; -- safe:\n"
				   "f -- unsafe\n"
				   " -- safe: four\n"
				   ", g";
	static const struct {
		const char *text;
		size_t line;
		const char *safe;
	} wanted[] = {
		{ "CREATE TABLE main.a (b text DEFAULT ';')", 3, "one" },
		{ "DROP TABLE main.b -- safe: two\n", 4, "two" },
		{ "d", 6, "" },
		{ "e", 6, "three" },
		{ "'-- safe: a text'", 8, "" },
		{ "f -- unsafe\n -- safe: four\n, g", 9, "four" },
	};
	struct migration_statements list;
	struct migrations migrations;

	begin();
	REQUIRE(parse(text, ENGINE_SQLITE, &migrations) == 0);
	REQUIRE(migration_cut(&arena, migrations.source, &migrations.at[0].up, ENGINE_SQLITE,
			&list) == 0);
	REQUIRE(list.count == LEN(wanted));
	for (size_t i = 0; i < list.count; i++) {
		EXPECT_STR(list.at[i].text, str_from_c(wanted[i].text));
		EXPECT_INT(list.at[i].line, wanted[i].line);
		EXPECT_STR(list.at[i].safe, str_from_c(wanted[i].safe));
		EXPECT(list.at[i].text.at[list.at[i].text.len] == '\0');
	}

	REQUIRE(parse("-- up 1: x\na;\n\nb 'open", ENGINE_SQLITE, &migrations) == 0);
	EXPECT_INT(migration_cut(
			   &arena, migrations.source, &migrations.at[0].up, ENGINE_SQLITE, &list),
		-ERR_INVALID);
	EXPECT(strncmp(err_text(), "notes.sql:", 10) == 0);
	end();
}

TEST(migration_text_concurrent)
{
	static const struct {
		const char *text;
		bool concurrent;
	} cases[] = {
		{ "CREATE INDEX CONCURRENTLY a ON main.b (c)", true },
		{ "create unique index concurrently a ON main.b (c)", true },
		{ "DROP INDEX CONCURRENTLY main.a", true },
		{ "CREATE INDEX a ON main.concurrently (c)", false },
		{ "CREATE INDEX \"CONCURRENTLY\" ON main.b (c)", false },
		{ "INSERT INTO main.x VALUES (concurrently)", false },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct str text = str_from_c(cases[i].text);

		test_note(migration_is_concurrent(text, ENGINE_POSTGRES) == cases[i].concurrent,
			__FILE__, __LINE__, "%s", cases[i].text);
		EXPECT(!migration_is_concurrent(text, ENGINE_SQLITE));
	}
}

TEST(migration_versions)
{
	static const char *const sound[] = { "0.0.0-a", "0.0.0", "0.0.1", "0.1.0-dev", "0.1.0",
		"0.1.10", "0.2.0", "1.0.0-rc.1", "1.0.0", "10.0.0" };
	static const char *const wrong[] = { "", "1", "1.0", "1.0.0.0", "v1.0.0", "1.0.x", "01.0.0",
		"1.0.0-", "1.0. 0", "-1.0.0" };

	for (size_t i = 0; i < LEN(sound); i++)
		for (size_t j = 0; j < LEN(sound); j++) {
			int order = version_compare(str_from_c(sound[i]), str_from_c(sound[j]));

			test_note((order > 0) - (order < 0) == (i > j) - (i < j), __FILE__,
				__LINE__, "%s, %s: %d", sound[i], sound[j], order);
		}
	for (size_t i = 0; i < LEN(sound); i++)
		EXPECT(version_is_sound(str_from_c(sound[i])));
	for (size_t i = 0; i < LEN(wrong); i++)
		test_note(!version_is_sound(str_from_c(wrong[i])), __FILE__, __LINE__, "%s",
			wrong[i]);
}
