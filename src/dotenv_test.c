/* The `.env` reader: a table of texts with what they say, line numbers, recovery, and the law that
 * no text whatever makes it read outside, loop or hand out a malformed name. */
#include "base/buf.h"
#include "base/test.h"
#include "dotenv.h"

#include <stdlib.h>

/* Writes what the reader finds as "line:NAME=value;", or "line:NAME!;" for a problem. */
static void read_all(struct str text, struct buf *out)
{
	char *exact = malloc(MAX(text.len, (size_t)1)); /* so that ASan sees an overrun */
	struct dotenv_item item;
	struct dotenv dotenv;

	REQUIRE(exact != NULL);
	memcpy(exact, text.at, text.len);
	dotenv = dotenv_start(exact, text.len);
	while (dotenv_next(&dotenv, &item)) {
		buf_printf(out, "%u:", item.line);
		buf_append(out, item.name);
		buf_byte(out, item.problem ? '!' : '=');
		buf_append(out, item.value);
		buf_byte(out, ';');
	}
	free(exact);
}

TEST(dotenv_table)
{
	static const struct {
		struct str text, found;
	} cases[] = {
		{ S_INIT(""), S_INIT("") },
		{ S_INIT("\n\n  \n# A=1\n  # B=2"), S_INIT("") },
		{ S_INIT("A=1"), S_INIT("1:A=1;") },
		{ S_INIT("A=1\r\nB=2\r\n"), S_INIT("1:A=1;2:B=2;") },
		{ S_INIT("\xEF\xBB\xBF"
			 "A=1"),
			S_INIT("1:A=1;") },
		{ S_INIT("A="), S_INIT("1:A=;") },
		{ S_INIT("A=  "), S_INIT("1:A=;") },
		{ S_INIT("  A =  two words \t"), S_INIT("1:A=two words;") },
		{ S_INIT("export A=1"), S_INIT("1:A=1;") },
		{ S_INIT("export\tA=1"), S_INIT("1:A=1;") },
		{ S_INIT("export=1"), S_INIT("1:export=1;") },
		{ S_INIT("exportA=1"), S_INIT("1:exportA=1;") },
		{ S_INIT("_a9=1"), S_INIT("1:_a9=1;") },
		{ S_INIT("A=b=c"), S_INIT("1:A=b=c;") },
		{ S_INIT("A=b#c #d"), S_INIT("1:A=b#c;") },
		{ S_INIT("A=#c"), S_INIT("1:A=#c;") },
		{ S_INIT("A= #c"), S_INIT("1:A=;") },
		{ S_INIT("A=it's \\n"), S_INIT("1:A=it's \\n;") },
		{ S_INIT("A=${B}"), S_INIT("1:A=${B};") },
		{ S_INIT("A=gr\xC3\xBC\xC3\x9F"), S_INIT("1:A=gr\xC3\xBC\xC3\x9F;") },
		{ S_INIT("A=''"), S_INIT("1:A=;") },
		{ S_INIT("A=' x # \\n $B\"'"), S_INIT("1:A= x # \\n $B\";") },
		{ S_INIT("A=\"x\" # note"), S_INIT("1:A=x;") },
		{ S_INIT("A=\"x\"# note"), S_INIT("1:A=x;") },
		{ S_INIT("A=\"\\n\\r\\t\\\"\\\\\\$'\""), S_INIT("1:A=\n\r\t\"\\$';") },
		{ S_INIT("A=\"1\n2\r\n3\"\nB=4"), S_INIT("1:A=1\n2\n3;4:B=4;") },
		{ S_INIT("A='1\n2' # x\nB=3"), S_INIT("1:A=1\n2;3:B=3;") },
		/* what is refused, and that reading goes on */
		{ S_INIT("A\nB=1"), S_INIT("1:!;2:B=1;") },
		{ S_INIT("export A\nB=1"), S_INIT("1:!;2:B=1;") },
		{ S_INIT("=1"), S_INIT("1:!;") },
		{ S_INIT("1A=1"), S_INIT("1:!;") },
		{ S_INIT("A.B=1\nA-B=1\nA B=1"), S_INIT("1:!;2:!;3:!;") },
		{ S_INIT("A='1\nB=2"), S_INIT("1:A!;2:B=2;") },
		{ S_INIT("A='1\nB='2'"), S_INIT("1:A!;2:B=2;") },
		{ S_INIT("A=\"1\\\""), S_INIT("1:A!;") },
		{ S_INIT("A=\"1\\"), S_INIT("1:A!;") },
		{ S_INIT("A='1'2\nB=3"), S_INIT("1:A!;2:B=3;") },
		{ S_INIT("A=\"C:\\dir\"\nB=3"), S_INIT("1:A!;2:B=3;") },
		{ S_INIT("A=1\0002\nB=3"), S_INIT("1:A!;2:B=3;") },
		{ S_INIT("A='1\0002'\nB=3"), S_INIT("1:A!;2:B=3;") },
		{ S_INIT("A=1\r2"), S_INIT("1:A!;") },
		{ S_INIT("A=\x1b[2J"), S_INIT("1:A!;") },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct buf out;

		buf_init(&out, KILOBYTE);
		read_all(cases[i].text, &out);
		test_note(str_eq(buf_str(&out), cases[i].found), __FILE__, __LINE__,
			"case %zu: \"%.*s\" gave \"%.*s\"", i, STR_ARG(cases[i].text),
			STR_ARG(buf_str(&out)));
		buf_done(&out);
	}
}

TEST(dotenv_name_length)
{
	char text[DOTENV_NAME_MAX + 8];
	struct buf out;

	memset(text, 'A', sizeof(text));
	text[DOTENV_NAME_MAX] = '=';
	buf_init(&out, KILOBYTE);
	read_all(str_of(text, DOTENV_NAME_MAX + 1), &out);
	EXPECT_INT(out.len, DOTENV_NAME_MAX + 4);
	buf_reset(&out);
	text[DOTENV_NAME_MAX] = 'A';
	text[DOTENV_NAME_MAX + 1] = '=';
	read_all(str_of(text, DOTENV_NAME_MAX + 2), &out);
	EXPECT_STR(buf_str(&out), S("1:!;"));
	buf_done(&out);
}

/* Random texts of the bytes that matter. */
TEST(dotenv_any_text)
{
	static const char bytes[] = "AB=='\"\\n# \n\r\t\0$x";
	uint64_t seed = 7;

	for (int round = 0; round < 20000; round++) {
		char text[40];
		size_t len = test_random(&seed) % sizeof(text);
		struct dotenv_item item;
		struct dotenv dotenv;
		unsigned line = 0;

		for (size_t i = 0; i < len; i++)
			text[i] = bytes[test_random(&seed) % (sizeof(bytes) - 1)];
		dotenv = dotenv_start(text, len);
		while (dotenv_next(&dotenv, &item)) {
			REQUIRE(item.line > line);
			line = item.line;
			REQUIRE(item.problem ? item.value.len == 0 : item.name.len > 0);
			REQUIRE(item.value.len == 0 ||
				(item.value.at >= text &&
					item.value.at + item.value.len <= text + len));
			REQUIRE(str_find_byte(item.value, 0) < 0);
		}
	}
}
