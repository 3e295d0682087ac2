/* Mistakes in tables: each is found when the table is compiled, and named. */
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "schema/decode.h"
#include "schema/sample_test.h"

#include <signal.h>

struct plain {
	struct str a, b;
	int64_t n;
	bool yes;
	double d;
	int choice;
	struct opt_str maybe;
	struct address home;
	struct address *other;
	LIST_OF(struct str) list;
	LIST_OF(struct opt_str) odd_list;
	LIST_OF(struct address) homes;
	MAP_OF(int64_t) map;
	void *unknown;
};

struct tagged {
	struct str tag_text;
	int kind;
	struct circle circle;
	struct shape shape;
};

struct kinded {
	struct str kind;
};

/* clang-format off */
static const struct schema kinded_schema = SCHEMA(kinded, "x",
	FIELD(kinded, kind, "x"));

struct with_kind {
	int kind;
	struct kinded kinded;
};

#define ONE(name, ...) SCHEMA(plain, "x", FIELD(plain, name, "x", ##__VA_ARGS__))

static const struct mistake {
	struct schema schema;
	const char *sentence;
} mistakes[] = {
	{ ONE(a, RANGE(64, 1)), "plain.a: the least, 64, is above the most, 1" },
	{ ONE(a, RANGE(-1, 1)), "plain.a: a RANGE of lengths" },
	{ ONE(a, .pattern = "a("), "plain.a" },
	{ ONE(a, .pattern = "(?i)a"), "plain.a" },
	{ ONE(a, .pattern = "a", RANGE(0, 9000)), "plain.a: a text with a pattern needs" },
	{ ONE(a, BOUNDS(0, 1)), "plain.a: BOUNDS are for a double" },
	{ ONE(a, .flags = NULLABLE), "plain.a: NULLABLE is for opt_x" },
	{ ONE(a, .flags = UNIQUE), "plain.a: UNIQUE is for lists" },
	{ ONE(a, .flags = READ_ONLY | WRITE_ONLY), "plain.a: READ_ONLY excludes" },
	{ ONE(a, .flags = READ_ONLY | REQUIRED), "plain.a: READ_ONLY excludes" },
	{ ONE(a, .flags = REQUIRED, .if_missing = "x"), "plain.a: what is REQUIRED has no default" },
	{ ONE(a, .if_missing = "x", RANGE(2, 3)), "plain.a: its default \"x\" must have at least 2" },
	{ ONE(a, .example = "x", .format = FORMAT_EMAIL), "plain.a: its example \"x\" must be an e-" },
	{ ONE(a, .format = FORMATS), "plain.a: there is no such format" },
	{ ONE(a, CHOICES("x", "y", "x")), "plain.a: the choice \"x\" is there twice" },
	{ ONE(a, CHOICES("x"), RANGE(1, 2)), "plain.a: with CHOICES, no RANGE" },
	{ ONE(a, .nested = &address_schema), "plain.a: has .nested but is no struct" },
	{ ONE(a, .item = RULES(RANGE(1, 2))), "plain.a: .item and .key are for lists" },
	{ ONE(a, .name = ""), "plain.a: a name has 1 to 200 bytes" },
	{ ONE(n, .format = FORMAT_EMAIL), "plain.n: a format is for text" },
	{ ONE(n, .format = FORMAT_DATE_TIME, RANGE(1, 2)), "plain.n: a RANGE of times" },
	{ ONE(n, .if_missing = "1.5"), "plain.n: its default \"1.5\" must be an integer" },
	{ ONE(n, .flags = MULTILINE), "plain.n: MULTILINE and ANY_TEXT are for text" },
	{ ONE(yes, RANGE(0, 1)), "plain.yes: a RANGE is for texts" },
	{ ONE(yes, CHOICES("no")), "plain.yes: CHOICES are for text and enums" },
	{ ONE(d, BOUNDS(1, 0)), "plain.d: the BOUNDS hold no number" },
	{ ONE(d, BOUNDS(0, __builtin_nan(""))), "plain.d: the BOUNDS hold no number" },
	{ ONE(choice), "plain.choice: an enum needs CHOICES" },
	{ ONE(home), "plain.home: its C type is none" },
	{ ONE(home, .nested = &line_schema), "plain.home: 32 bytes, but struct line has 40" },
	{ ONE(home, .nested = &search_schema), "plain.home: 32 bytes" },
	{ ONE(home, .nested = &address_schema, .if_missing = "{}"), "plain.home: defaults and" },
	{ ONE(home, .nested = &address_schema, .from = FROM_QUERY), "plain.home: a parameter is a" },
	{ ONE(other, .nested = &search_schema), "plain.other: search has parameters" },
	{ ONE(unknown), "plain.unknown: its C type is none" },
	{ ONE(maybe, .from = FROM_QUERY, .flags = NULLABLE), "plain.maybe: a parameter is neither" },
	{ SCHEMA(plain, "x", LIST(plain, list, "x", .flags = REQUIRED, .item = RULES(.flags = REQUIRED))),
		"plain.list: its .item says more" },
	{ SCHEMA(plain, "x", LIST(plain, list, "x", .item = RULES(.pattern = "["))), "plain.list" },
	{ SCHEMA(plain, "x", LIST(plain, list, "x", .key = RULES(RANGE(0, 1)))),
		"plain.list: .key is for maps" },
	{ SCHEMA(plain, "x", LIST(plain, list, "x", .from = FROM_PATH)), "plain.list: a path has" },
	{ SCHEMA(plain, "x", LIST(plain, odd_list, "x")), "plain.odd_list: an item is never missing" },
	{ SCHEMA(plain, "x", LIST(plain, homes, "x", .flags = UNIQUE, .nested = &address_schema)),
		"plain.homes: UNIQUE is for lists of texts" },
	{ SCHEMA(plain, "x", MAP(plain, map, "x", .key = RULES(.name = "y"))), "plain.map: its .key" },
	{ SCHEMA(plain, "x", MAP(plain, map, "x", .flags = UNIQUE)), "plain.map: UNIQUE is for lists" },
	{ SCHEMA(plain, "x", FIELD(plain, a, "")), "plain.a: lacks its sentence" },
	{ SCHEMA(plain, "", FIELD(plain, a, "x")), "plain: lacks its sentence" },
	{ SCHEMA(plain, "x", FIELD(plain, a, "x"), FIELD(plain, b, "x", .name = "a")),
		"plain.b: the name \"a\" is there twice" },
	{ UNION(tagged, tag_text, "x", CASE(tagged, circle, &circle_schema)),
		"tagged.tag_text: the tag of a union is an int or an enum" },
	{ UNION(tagged, kind, "x", CASE(tagged, shape, &shape_schema)),
		"tagged.shape: a case cannot be a union itself" },
	{ UNION(with_kind, kind, "x", CASE(with_kind, kinded, &kinded_schema)),
		"with_kind.kinded: has a member of the tag's name" },
	{ { .type = "empty" }, "a schema that was not written with SCHEMA" },
};
/* clang-format on */

TEST(schema_compile_mistakes)
{
	char text[2 * ERR_TEXT_MAX];

	for (size_t i = 0; i < LEN(mistakes); i++) {
		EXPECT_INT(schema_compile(&mistakes[i].schema), -ERR_INVALID);
		(void)err_describe(err_last(), text, sizeof(text));
		test_note(strncmp(text, mistakes[i].sentence, strlen(mistakes[i].sentence)) == 0 ||
				  strstr(text, mistakes[i].sentence),
			__FILE__, __LINE__, "case %zu: \"%s\", wanted \"%s\"", i, text,
			mistakes[i].sentence);
		EXPECT_INT(mem_used(), 0);
	}
}

/* A table is compiled once and lives until the last user has released it. */
TEST(schema_compile_uses)
{
	static const struct schema *const some[] = { &flag_schema, &order_schema, &flag_schema,
		&mistakes[0].schema };
	struct problems problems;
	struct flag flag;
	struct arena arena;

	arena_init(&arena, 4096, MEGABYTE);
	problems_init(&problems, &arena);
	EXPECT_INT(schema_compile_all(some, LEN(some)), -ERR_INVALID);
	EXPECT_INT(mem_used(), 0);
	EXPECT_INT(schema_compile_all(some, 3), 0);
	schema_release(&order_schema);
	schema_release(&flag_schema);
	EXPECT_INT(schema_decode(&flag_schema, SCHEMA_INPUT, S("{\"key\":\"a\"}"), &arena,
			   &problems, &flag),
		0);
	schema_release(&flag_schema);
	arena_done(&arena);
	EXPECT_INT(mem_used(), 0);
}

static void decode_uncompiled(void *arg)
{
	struct flag flag;

	EXPECT(schema_decode(&flag_schema, SCHEMA_INPUT, S("{}"), arg, NULL, &flag) < 0);
}

TEST(schema_uncompiled_dies)
{
	struct arena arena;

	arena_init(&arena, 4096, MEGABYTE);
	EXPECT(test_dies(decode_uncompiled, &arena, SIGABRT));
	arena_done(&arena);
}
