/* Tokens and cutting: tables for each engine, and laws on random texts. */
#include "store/sql.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"

#include <stdlib.h>

enum { SOUPS = 20000, SOUP_MAX = 40 /* pieces */ };

#define LITE ENGINE_SQLITE
#define PG   ENGINE_POSTGRES

/* --- tokens ------------------------------------------------------------------------- */

/* All tokens of a text: a letter for the kind, and the body. Or the error. */
static void describe(struct str text, enum engine_kind engine, struct buf *out)
{
	static const char kinds[] = "ewqsnp.";
	struct sql_scan scan = { text, engine };
	struct sql_token token;

	buf_reset(out);
	for (;;) {
		if (sql_next(&scan, &token) < 0) {
			EXPECT_INT(err_last()->code, ERR_INVALID);
			buf_printf(out, "%s! %s", out->len ? " " : "", err_text());
			return;
		}
		if (token.kind == SQL_END)
			return;
		buf_printf(out, "%s%c<%.*s>", out->len ? " " : "", kinds[token.kind],
			STR_ARG(token.body));
	}
}

struct scan_case {
	const char *text;
	const char *sqlite, *postgres; /* NULL: the same */
};

static const struct scan_case scan_cases[] = {
	{ "", "" },
	{ " \t\r\n", "" },
	{ "SELECT a", "w<SELECT> w<a>" },
	{ "a_1 _b", "w<a_1> w<_b>" },
	{ "main.note", "w<main> .<.> w<note>" },
	{ "main/**/./**/note", "w<main> .<.> w<note>" },
	{ "main--\n.note", "w<main> .<.> w<note>" },
	{ "main -- x\r\n . -- y", "w<main> .<.>" },
	{ "-- x\ry", "! a comment holds a lone carriage return" },
	{ "/* a", "! a comment is not closed" },
	{ "/*/", "! a comment is not closed" },
	{ "/**/", "" },
	{ "/***/a", "w<a>" },
	{ "/* /* */ a */", "w<a> .<*> .</>", "" },
	{ "/* /* */ a", "w<a>", "! a comment is not closed" },
	{ "a-- b", "w<a>" },
	{ "a - -b", "w<a> .<-> .<-> w<b>" },
	{ "a*/**/b", "w<a> .<*> w<b>" },

	{ "'a' 'b''c' ''", "s<a> s<b''c> s<>" },
	{ "'a", "! a quote (') is not closed" },
	{ "'a''", "! a quote (') is not closed" },
	{ "'\xc3\xa4\n\x01'", "s<\xc3\xa4\n\x01>" },
	{ "'a\\'", "s<a\\>", "! a backslash stands in front of a quote" },
	{ "'a\\''b'", "s<a\\''b>", "! a backslash stands in front of a quote" },
	{ "'a\\b'", "s<a\\b>" },
	{ "E'a\\'b'", "w<E> s<a\\> ! b'...' is not understood", "s<a\\'b>" },
	{ "e'a''b\\\\'", "w<e> s<a''b\\\\>", "s<a''b\\\\>" },
	{ "E'a\\", "w<E> ! a quote (') is not closed", "! a quote (E') is not closed" },
	{ "be'a'", "w<be> s<a>" },
	{ "x'6d'", "s<6d>", "! x'...' is not understood here" },
	{ "X'6d'", "s<6d>", "! X'...' is not understood here" },
	{ "b'01'", "! b'...' is not understood here" },
	{ "N'a'", "! N'...' is not understood here" },
	{ "U&'\\006d'", "! U&'...' and U&\"...\" are not allowed" },
	{ "u&\"m\\0061in\"", "! U&'...' and U&\"...\" are not allowed" },
	{ "u & 'a'", "w<u> .<&> s<a>" },
	{ "$$a$$", "! parameters are written :name, not with a $", "s<a>" },
	{ "$q$a$$b$q$", "! parameters", "s<a$$b>" },
	{ "$q$a$Q$", "! parameters", "! a quote ($q$) is not closed" },
	{ "$q$a$q$$q$b$q$", "! parameters", "s<a> s<b>" },
	{ "$$$$", "! parameters", "s<>" },
	{ "$a", "! parameters" },
	{ "$1", "! parameters are written :name, not with a $" },
	{ "$1$a$1$", "! parameters" },
	{ "a$$b$$", "! a name with a $ in it" },
	{ "a$b", "! a name with a $ in it" },
	{ "\"a\" \"b\"\"c\"", "q<a> q<b\"\"c>" },
	{ "\"main\".note", "q<main> .<.> w<note>" },
	{ "\"a", "! a quote (\") is not closed" },
	{ "`a` `b``c`", "q<a> q<b``c>", "! there is a ` outside of quotes" },
	{ "[a] [b", "q<a> ! a quote ([) is not closed", ".<[> w<a> .<]> .<[> w<b>" },
	{ "[a]]", "q<a> .<]>", ".<[> w<a> .<]> .<]>" },

	{ "1 1.5 .5 1. 1e9 1.5E-3 2e+4", "n<1> n<1.5> n<.5> n<1.> n<1e9> n<1.5E-3> n<2e+4>" },
	{ "0x1F", "n<0x1F>", "! a number runs into what stands behind it: \"0x\"" },
	{ "0x", "n<0x>", "! a number runs into" },
	{ "1a", "! a number runs into what stands behind it: \"1a\"" },
	{ "1e", "! a number runs into" },
	{ "1_000", "! a number runs into" },
	{ "1.2.3", "! a number runs into" },
	{ "1..2", "! a number runs into" },
	{ "1$$a$$", "! a number runs into" },
	{ "a.1", "w<a> n<.1>" },

	{ ":a :b_1", "p<a> p<b_1>" },
	{ "x=:a", "w<x> .<=> p<a>" },
	{ "x:a", "w<x> p<a>" },
	{ ":a::text", "p<a> .<::> w<text>" },
	{ ":a(b)", "p<a> .<(> w<b> .<)>" },
	{ ":1", "! a colon is not followed by the name of a parameter" },
	{ ": a", "! a colon is not followed" },
	{ ":=", "! a colon is not followed" },
	{ ":a$b", "! a name with a $ in it" },
	{ ":", "! a colon is not followed" },
	{ "?", "! parameters are written :name, not with a ?" },
	{ "?1", "! parameters are written :name, not with a ?" },
	{ "@a", "! parameters are written :name, not with a @" },
	{ "#1", "! parameters are written :name, not with a #" },
	{ "a @> b", "w<a> ! parameters are written :name, not with a @", "w<a> .<@> .<>> w<b>" },
	{ "a #> b", "w<a> ! parameters are written :name, not with a #", "w<a> .<#> .<>> w<b>" },

	{ "a<=b||c->>d", "w<a> .<<> .<=> w<b> .<|> .<|> w<c> .<-> .<>> .<>> w<d>" },
	{ "(a,b);", ".<(> w<a> .<,> w<b> .<)> .<;>" },
	{ "a\\b", "w<a> ! there is a \\ outside of quotes" },
	{ "\xef\xbb\xbfSELECT", "! there is a byte 0xef, which is not printable ASCII" },
	{ "a\xc2\xa0"
	  "b",
		"w<a> ! there is a byte 0xc2" },
	{ "a\fb", "w<a> ! there is a byte 0x0c" },
	{ "a\vb", "w<a> ! there is a byte 0x0b" },
	{ "a\x7f", "w<a> ! there is a byte 0x7f" },
	{ "-- \xc3\xa4\n/* \xc3\xa4 */a", "w<a>" },
};

static void expect_scan(const struct scan_case *c, enum engine_kind engine, struct buf *out)
{
	const char *wanted = engine == PG && c->postgres ? c->postgres : c->sqlite;
	const char *error = strchr(wanted, '!');
	size_t len = strlen(wanted);

	describe(str_from_c(c->text), engine, out);
	test_note(error ? str_starts(buf_str(out), str_of(wanted, len))
			: str_eq(buf_str(out), str_of(wanted, len)),
		__FILE__, __LINE__, "engine %d, \"%s\": %.*s, wanted %s", engine, c->text,
		STR_ARG(buf_str(out)), wanted);
}

TEST(sql_tokens)
{
	struct buf out;

	buf_init(&out, MEGABYTE);
	for (size_t i = 0; i < LEN(scan_cases); i++) {
		expect_scan(&scan_cases[i], LITE, &out);
		expect_scan(&scan_cases[i], PG, &out);
	}
	buf_done(&out);
}

TEST(sql_tokens_nul)
{
	static const struct str texts[] = { S_INIT("a\0b"), S_INIT("'a\0'"), S_INIT("\"\0\""),
		S_INIT("/*\0*/"), S_INIT("--\0\n"), S_INIT("E'\\\0'"), S_INIT("$$\0$$") };

	for (size_t i = 0; i < LEN(texts); i++)
		for (int engine = 0; engine < STATEMENT_ENGINES; engine++) {
			struct sql_scan scan = { texts[i], (enum engine_kind)engine };
			struct sql_token token = { 0 };
			int r;

			do
				r = sql_next(&scan, &token);
			while (r == 0 && token.kind != SQL_END);
			test_note(r == -ERR_INVALID, __FILE__, __LINE__, "text %zu", i);
		}
}

TEST(sql_comments_nest_so_deep)
{
	char text[2 * 200 + 1];
	struct sql_scan scan = { str_of(text, 2 * 200), PG };
	struct sql_token token;

	for (size_t i = 0; i < 200; i++)
		memcpy(text + 2 * i, i < 100 ? "/*" : "*/", 2);
	EXPECT_INT(sql_next(&scan, &token), 0);
	EXPECT_INT(token.kind, SQL_END);
	memcpy(text + 200, "/*", 2);
	scan.rest = str_of(text, 2 * 200);
	EXPECT_INT(sql_next(&scan, &token), -ERR_INVALID);
	EXPECT(strstr(err_text(), "nested too deeply"));
}

TEST(sql_tokens_are_names)
{
	static const struct {
		const char *text;
		bool is, names;
	} cases[] = { { "main", true, true }, { "MAIN", true, true }, { "Main", true, true },
		{ "\"main\"", false, true }, { "\"MaIn\"", false, true }, { "`main`", false, true },
		{ "[main]", false, true }, { "'main'", false, true }, { "mains", false, false },
		{ "mai", false, false }, { "\"ma\"\"in\"", false, false },
		{ ":main", false, false }, { "x'6d61696e'", false, false } };

	for (size_t i = 0; i < LEN(cases); i++) {
		struct sql_scan scan = { str_from_c(cases[i].text), LITE };
		struct sql_token token;

		REQUIRE(sql_next(&scan, &token) == 0);
		test_note(sql_is(&token, "MAIN") == cases[i].is &&
				  sql_names(&token, "main") == cases[i].names,
			__FILE__, __LINE__, "%s", cases[i].text);
	}
}

/* --- cutting -------------------------------------------------------------------------- */

struct cut_case {
	const char *text;
	const char *sqlite, *postgres; /* the statements, each behind a |; NULL: the same */
};

static const struct cut_case cut_cases[] = {
	{ "", "" },
	{ " ;; -- x\n ;", "" },
	{ "a", "|a" },
	{ "a;b", "|a|b" },
	{ "a ; b ;", "|a |b " },
	{ "-- x;\na /* ; */ b; /* y */ c -- z;", "|a /* ; */ b|c" },
	{ "a /* why */;", "|a /* why */" },
	{ "';' \";\"; b", "|';' \";\"|b" },
	{ "[;] `;`; b", "|[;] `;`|b", "|[|! there is a `" },
	{ "a $$ b; c $$; d", "|! parameters", "|a $$ b; c $$|d" },
	{ "CREATE TRIGGER t AFTER INSERT ON x BEGIN a; b; END; c",
		"|CREATE TRIGGER t AFTER INSERT ON x BEGIN a; b; END|c" },
	{ "create temp trigger t begin select case when 1 then 2 end; b; end; c",
		"|create temp trigger t begin select case when 1 then 2 end; b; end|c" },
	{ "CREATE TRIGGER t BEGIN SELECT new.end, new.case; b; END; c",
		"|CREATE TRIGGER t BEGIN SELECT new.end, new.case; b; END|c" },
	{ "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC a; b; END; c",
		"|CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC a; b; END|c" },
	{ "CREATE FUNCTION f() RETURN CASE WHEN a THEN b END; c",
		"|CREATE FUNCTION f() RETURN CASE WHEN a THEN b END|c" },
	{ "CREATE TABLE x (begin int); c", "|CREATE TABLE x (begin int)|c" },
	{ "BEGIN; a; END; b", "|BEGIN|a|END|b" },
	{ "CREATE TRIGGER t BEGIN a; b", "|! a BEGIN or a CASE is without its END" },
	{ "a; 'b", "|a|! a quote (') is not closed" },
};

static void cut_all(struct str text, enum engine_kind engine, struct buf *out)
{
	struct str statement = { 0 };
	int r;

	buf_reset(out);
	while ((r = sql_cut(&text, engine, &statement)) == 1)
		buf_printf(out, "|%.*s", STR_ARG(statement));
	if (r < 0)
		buf_printf(out, "|! %s", err_text());
}

TEST(sql_cuts)
{
	struct buf out;

	buf_init(&out, MEGABYTE);
	for (size_t i = 0; i < LEN(cut_cases); i++)
		for (int engine = 0; engine < STATEMENT_ENGINES; engine++) {
			const struct cut_case *c = &cut_cases[i];
			const char *wanted = engine == PG && c->postgres ? c->postgres : c->sqlite;
			size_t len = strlen(wanted);

			cut_all(str_from_c(c->text), (enum engine_kind)engine, &out);
			test_note(strchr(wanted, '!')
					  ? str_starts(buf_str(&out), str_of(wanted, len))
					  : str_eq(buf_str(&out), str_of(wanted, len)),
				__FILE__, __LINE__, "engine %d, \"%s\": %.*s, wanted %s", engine,
				c->text, STR_ARG(buf_str(&out)), wanted);
		}
	buf_done(&out);
}

/* --- laws ----------------------------------------------------------------------------- */

static const char *const pieces[] = { "SELECT", "a", "main", ".", "\"", "'", "`", "[", "]", "$$",
	"$q$", "$", ":", ":a", "::", "/*", "*/", "--", "\n", "\r", " ", "\t", "E'", "x'", "U&\"",
	"\\", "1", "e9", "0x", ".5", "?", "@", "#", ";", "(", ")", "BEGIN", "END", "CASE",
	"CREATE TRIGGER ", "\xef\xbb\xbf", "\x01", "-", "*", "/" };

/* A text of random pieces, in memory of just its size. */
static struct str make_soup(uint64_t *random, struct buf *buf)
{
	size_t count = test_random(random) % SOUP_MAX;
	char *copy;

	buf_reset(buf);
	for (size_t i = 0; i < count; i++)
		buf_append(buf, str_from_c(pieces[(test_random(random) >> 8) % LEN(pieces)]));
	copy = malloc(MAX(buf->len, (size_t)1));
	CHECK(copy);
	if (buf->len)
		memcpy(copy, buf->at, buf->len);
	return str_of(copy, buf->len);
}

/* A gap by itself holds no token. */
static void check_gap(struct str gap, enum engine_kind engine)
{
	struct sql_scan scan = { gap, engine };
	struct sql_token token;

	CHECK(sql_next(&scan, &token) == 0 && token.kind == SQL_END);
}

/* Tokens and the gaps between them are the text, in order; bodies lie inside of their tokens; the
 * end comes again and again. */
static void check_scan(struct str text, enum engine_kind engine)
{
	struct sql_scan scan = { text, engine };
	const char *at = text.at;
	struct sql_token token;
	int r;

	while ((r = sql_next(&scan, &token)) == 0 && token.kind != SQL_END) {
		CHECK(token.text.len > 0 && token.text.at >= at);
		check_gap(str_of(at, (size_t)(token.text.at - at)), engine);
		at = token.text.at + token.text.len;
		CHECK(scan.rest.at == at && at + scan.rest.len == text.at + text.len);
		CHECK(token.body.at >= token.text.at && token.body.at + token.body.len <= at);
	}
	if (r < 0) {
		CHECK(r == -ERR_INVALID && sql_next(&scan, &token) == r);
		return;
	}
	check_gap(str_of(at, (size_t)(text.at + text.len - at)), engine);
	CHECK(sql_next(&scan, &token) == 0 && token.kind == SQL_END && token.text.len == 0);
}

/* What was cut off is one statement. */
static void check_cut(struct str text, enum engine_kind engine)
{
	struct str rest = text, statement = { 0 }, again, inner;
	size_t left = text.len + 1;

	while (sql_cut(&rest, engine, &statement) == 1) {
		CHECK(statement.len > 0 && rest.len < left);
		left = rest.len;
		inner = statement;
		CHECK(sql_cut(&inner, engine, &again) == 1 && inner.len == 0);
		CHECK(statement.at == again.at && statement.len >= again.len);
	}
}

TEST(sql_laws)
{
	uint64_t random = 4711;
	struct buf buf;

	buf_init(&buf, MEGABYTE);
	for (size_t i = 0; i < SOUPS; i++) {
		struct str soup = make_soup(&random, &buf);

		for (int engine = 0; engine < STATEMENT_ENGINES; engine++) {
			check_scan(soup, (enum engine_kind)engine);
			check_cut(soup, (enum engine_kind)engine);
		}
		free((void *)soup.at);
	}
	buf_done(&buf);
	EXPECT_INT(mem_used(), 0);
}
