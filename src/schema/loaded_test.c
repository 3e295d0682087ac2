/*
 * Loaded schemas: what is refused and where, verdicts and paths, limits, failing memory, and the
 * official suite (draft 2020-12) as far as its cases keep to the keywords that are taken.
 */
#include "schema/loaded.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"
#include "schema/decode.h"

#include <stdio.h>
#include <stdlib.h>

static struct arena arena;

static struct schema_loaded *load(struct str text)
{
	struct schema_loaded *loaded = NULL;
	int r = schema_load(text, &loaded);

	test_note(
		r == 0, __FILE__, __LINE__, "%.*s: %s", STR_ARG(str_first(text, 200)), err_text());
	REQUIRE(r == 0);
	return loaded;
}

/* The problems as "field code; field code". */
static struct str judge(struct str schema, struct str json)
{
	struct schema_loaded *loaded = load(schema);
	struct problems problems;
	struct str text = S("");
	int r;

	problems_init(&problems, &arena);
	r = schema_loaded_check(loaded, json, &arena, &problems);
	EXPECT(r == (problems.count ? -ERR_INVALID : 0));
	for (size_t i = 0; i < problems.count; i++)
		text = arena_printf(&arena, "%.*s%s%.*s %s", STR_ARG(text), i ? "; " : "",
			STR_ARG(problems.at[i].field), problems.at[i].code);
	schema_loaded_free(loaded);
	return text;
}

TEST(schema_loaded_problems)
{
	static const struct {
		struct str schema, json, problems;
	} cases[] = {
		{ S_INIT("true"), S_INIT("[1,{\"a\":null}]"), S_INIT("") },
		{ S_INIT("false"), S_INIT("1"), S_INIT(" excluded") },
		{ S_INIT("{}"), S_INIT("{"), S_INIT(" invalid_json") },
		{ S_INIT("{\"type\":\"integer\"}"), S_INIT("1.0"), S_INIT("") },
		{ S_INIT("{\"type\":[\"integer\",\"null\"]}"), S_INIT("1.5"),
			S_INIT(" invalid_type") },
		{ S_INIT("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\","
			 "\"minLength\":"
			 "2},\"b\":{\"items\":{\"format\":\"email\"}}},\"required\":[\"c\"],"
			 "\"additionalProperties\":false}"),
			S_INIT("{\"a\":\"x\",\"b\":[\"a@b.co\",\"x\",3],\"d\":1}"),
			S_INIT("a too_short; b.1 invalid_email; d unknown_member; c required") },
		{ S_INIT("{\"anyOf\":[{\"minimum\":5},{\"type\":\"string\"}]}"), S_INIT("3"),
			S_INIT(" no_match") },
		{ S_INIT("{\"oneOf\":[{\"minimum\":5},{\"maximum\":7}]}"), S_INIT("6"),
			S_INIT(" many_matches") },
		{ S_INIT("{\"not\":{\"const\":{\"a\":[1,2]}}}"), S_INIT("{\"a\":[1.0,2e0]}"),
			S_INIT(" excluded") },
		{ S_INIT("{\"if\":{\"required\":[\"a\"]},\"then\":{\"required\":[\"b\"]},\"else\":{"
			 "\"maxProperties\":0}}"),
			S_INIT("{\"a\":1}"), S_INIT("b required") },
		{ S_INIT("{\"$defs\":{\"node\":{\"properties\":{\"next\":{\"$ref\":\"#/$defs/"
			 "node\"},"
			 "\"v\":{\"type\":\"number\"}}}},\"$ref\":\"#/$defs/node\"}"),
			S_INIT("{\"next\":{\"next\":{\"v\":\"\"}}}"),
			S_INIT("next.next.v invalid_type") },
		{ S_INIT("{\"uniqueItems\":true}"),
			S_INIT("[{\"a\":1,\"b\":2},{\"b\":2,\"a\":1.0}]"), S_INIT("1 not_unique") },
		{ S_INIT("{\"patternProperties\":{\"^x-\":{\"type\":\"string\"}},"
			 "\"additionalProperties\":{\"type\":\"number\"},\"propertyNames\":{"
			 "\"maxLength\":3}}"),
			S_INIT("{\"x-a\":1,\"b\":\"\",\"long\":1}"),
			S_INIT("x-a invalid_type; b invalid_type; long too_long") },
		{ S_INIT("{\"multipleOf\":0.01,\"exclusiveMaximum\":1}"), S_INIT("1.005"),
			S_INIT(" too_large; not_multiple") },
		{ S_INIT("{\"pattern\":\"^(a+)+$\"}"),
			S_INIT("\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\""),
			S_INIT(" pattern_too_complex") },
		{ S_INIT("{\"not\":{\"pattern\":\"^(a+)+$\"}}"),
			S_INIT("\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\""),
			S_INIT(" pattern_too_complex") },
	};

	arena_init(&arena, 4096, 64 * MEGABYTE);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct str got = judge(cases[i].schema, cases[i].json);

		if (i == 13) /* one number, two problems at the same place */
			EXPECT_STR(got, S(" too_large;  not_multiple"));
		else
			EXPECT_STR(got, cases[i].problems);
	}
	arena_done(&arena);
	EXPECT_INT(mem_used(), 0);
}

TEST(schema_load_refused)
{
	static const struct {
		struct str schema;
		const char *sentence;
	} cases[] = {
		{ S_INIT("{"), "line 1" },
		{ S_INIT("3"), "#: expected a schema" },
		{ S_INIT("{\"minimun\":3}"), "#/minimun: an unknown keyword" },
		{ S_INIT("{\"properties\":{\"a/b~\":{\"x\":1}}}"),
			"#/properties/a~1b~0/x: an unknown keyword" },
		{ S_INIT("{\"items\":[{}]}"), "#/items: expected a schema" },
		{ S_INIT("{\"allOf\":[]}"), "#/allOf: expected at least one schema" },
		{ S_INIT("{\"type\":\"text\"}"), "#/type: expected the name of a type" },
		{ S_INIT("{\"type\":[\"null\",\"null\"]}"),
			"#/type/1: expected the name of a type" },
		{ S_INIT("{\"type\":[]}"), "#/type: expected at least one type" },
		{ S_INIT("{\"enum\":{}}"), "#/enum" },
		{ S_INIT("{\"minLength\":-1}"), "#/minLength" },
		{ S_INIT("{\"minItems\":1.5}"), "#/minItems" },
		{ S_INIT("{\"multipleOf\":0}"), "#/multipleOf" },
		{ S_INIT("{\"maximum\":\"1\"}"), "#/maximum" },
		{ S_INIT("{\"pattern\":\"(?i)a\"}"), "#/pattern" },
		{ S_INIT("{\"patternProperties\":{\"(\":true}}"), "#/patternProperties/(" },
		{ S_INIT("{\"format\":\"color\"}"), "#/format: an unknown format" },
		{ S_INIT("{\"required\":[1]}"), "#/required/0" },
		{ S_INIT("{\"uniqueItems\":1}"), "#/uniqueItems" },
		{ S_INIT("{\"dependentRequired\":{\"a\":1}}"), "#/dependentRequired/a" },
		{ S_INIT("{\"$ref\":\"http://example.com/a\"}"), "#/$ref: expected a reference" },
		{ S_INIT("{\"$ref\":\"#/$defs/x\"}"), "#/$ref: refers to nothing" },
		{ S_INIT("{\"$ref\":\"#/title\",\"title\":\"x\"}"), "#/$ref: refers to nothing" },
		{ S_INIT("{\"$ref\":\"#/%zz\"}"), "#/$ref: refers to nothing" },
		{ S_INIT("{\"$ref\":\"#\"}"), "refers to itself" },
		{ S_INIT("{\"allOf\":[{\"minimum\":1},{\"anyOf\":[true,{\"$ref\":\"#/allOf/"
			 "1\"}]}]}"),
			"refers to itself" },
		{ S_INIT("{\"properties\":{\"a\":{\"$id\":\"x\"}}}"), "#/properties/a/$id" },
		{ S_INIT("{\"$schema\":\"http://json-schema.org/draft-07/schema#\"}"),
			"#/$schema" },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct schema_loaded *loaded = NULL;
		char text[2 * ERR_TEXT_MAX];

		EXPECT_INT(schema_load(cases[i].schema, &loaded), -ERR_INVALID);
		(void)err_describe(err_last(), text, sizeof(text));
		test_note(strstr(text, cases[i].sentence) != NULL, __FILE__, __LINE__,
			"case %zu: %s", i, text);
		EXPECT_INT(mem_used(), 0);
	}
}

/* --- limits ------------------------------------------------------------------------ */

/* Each definition applies the next one twice: 2^n applications. */
static struct str doubling(int levels)
{
	struct str text = S("{\"$defs\":{");

	for (int i = 0; i < levels; i++)
		text = arena_printf(&arena,
			"%.*s\"d%d\":{\"properties\":{\"a\":{\"allOf\":[{\"$ref\":\"#/$defs/"
			"d%d\"},{"
			"\"$ref\":\"#/$defs/d%d\"}]}}},",
			STR_ARG(text), i, i + 1, i + 1);
	return arena_printf(
		&arena, "%.*s\"d%d\":true},\"$ref\":\"#/$defs/d0\"}", STR_ARG(text), levels);
}

static struct str nested(const char *open, struct str core, const char *close, int levels)
{
	for (int i = 0; i < levels; i++)
		core = arena_printf(&arena, "%s%.*s%s", open, STR_ARG(core), close);
	return core;
}

static int check(struct str schema, struct str json)
{
	struct schema_loaded *loaded = load(schema);
	struct problems problems;
	int r;

	problems_init(&problems, &arena);
	r = schema_loaded_check(loaded, json, &arena, &problems);
	schema_loaded_free(loaded);
	return r;
}

TEST(schema_loaded_limits)
{
	struct schema_loaded *loaded;
	struct str text;
	struct buf many;

	arena_init(&arena, 4096, 64 * MEGABYTE);
	EXPECT_INT(check(doubling(10), nested("{\"a\":", S("1"), "}", 10)), 0);
	EXPECT_INT(check(doubling(30), nested("{\"a\":", S("1"), "}", 30)), -ERR_TOO_LARGE);

	text = S("{\"items\":{\"allOf\":[{\"$ref\":\"#\"}]}}");
	EXPECT_INT(check(text, nested("[", S("1"), "]", 40)), 0);
	EXPECT_INT(check(text, nested("[", S("1"), "]", 60)), -ERR_TOO_LARGE);

	EXPECT_INT(schema_load(nested("{\"not\":", S("true"), "}", LOADED_INPLACE_MAX), &loaded),
		-ERR_INVALID);
	EXPECT_INT(
		schema_load(nested("{\"items\":", S("true"), "}", LOADED_DEPTH_MAX + 1), &loaded),
		-ERR_TOO_LARGE);

	buf_init(&many, MEGABYTE);
	buf_append(&many, S("{\"allOf\":["));
	for (int i = 0; i <= LOADED_PATTERNS_MAX; i++)
		buf_printf(&many, "%s{\"pattern\":\"a\"}", i ? "," : "");
	buf_append(&many, S("]}"));
	EXPECT_INT(schema_load(buf_str(&many), &loaded), -ERR_TOO_LARGE);
	buf_reset(&many);
	for (int i = 0; i <= LOADED_BYTES_MAX; i++)
		buf_byte(&many, ' ');
	EXPECT_INT(schema_load(buf_str(&many), &loaded), -ERR_TOO_LARGE);
	buf_done(&many);
	schema_loaded_free(NULL);
	arena_done(&arena);
	EXPECT_INT(mem_used(), 0);
}

/* --- failing memory ------------------------------------------------------------------ */

#ifdef BULKHEAD_FAULTS
TEST(schema_loaded_torture)
{
	struct str schema =
		S("{\"$defs\":{\"a~b\":{\"pattern\":\"^a\",\"minLength\":2}},\"properties\":{"
		  "\"x\":{\"$ref\":\"#/$defs/a~0b\"},\"y\":{\"uniqueItems\":true}},"
		  "\"additionalProperties\":false}");
	struct str json = S("{\"x\":\"b\\n\",\"y\":[1,2,1],\"z\":0,\"a\":1,\"b\":1,\"c\":1,\"d\":1,"
			    "\"e\":1}");
	size_t n;

	for (n = 1; n < 1000; n++) {
		struct schema_loaded *loaded = NULL;
		struct problems problems;
		int r;

		arena_init(&arena, 64, MEGABYTE);
		problems_init(&problems, &arena);
		fault_arm(FAULT_MEMORY, n);
		r = schema_load(schema, &loaded);
		if (r == 0)
			r = schema_loaded_check(loaded, json, &arena, &problems);
		schema_loaded_free(loaded);
		arena_done(&arena);
		EXPECT_INT(mem_used(), 0);
		if (!fault_struck(FAULT_MEMORY)) {
			EXPECT_INT(r, -ERR_INVALID);
			break;
		}
		EXPECT(r == -ERR_NO_MEMORY || r == -ERR_INVALID); /* JIT goes without */
	}
	fault_arm(FAULT_MEMORY, 0);
	EXPECT(n > 5 && n < 1000);
}
#endif

/* --- the official suite ---------------------------------------------------------------- */

struct suite_case {
	struct str description;
	struct str comment;
	struct json_value data;
	bool valid;
};

struct suite_group {
	struct str description;
	struct str comment;
	struct json_value specification;
	struct json_value schema;
	LIST_OF(struct suite_case) tests;
};

struct suite_file {
	LIST_OF(struct suite_group) groups;
};

/* clang-format off */
static const struct schema suite_case_schema = SCHEMA(suite_case, "A value and its verdict.",
	FIELD(suite_case, description, "What for.", .flags = ANY_TEXT),
	FIELD(suite_case, comment, "Why.", .flags = ANY_TEXT),
	FIELD(suite_case, data, "The value."),
	FIELD(suite_case, valid, "The verdict."));
static const struct schema suite_group_schema = SCHEMA(suite_group, "A schema with values.",
	FIELD(suite_group, description, "What for.", .flags = ANY_TEXT),
	FIELD(suite_group, comment, "Why.", .flags = ANY_TEXT),
	FIELD(suite_group, specification, "Where it is said."),
	FIELD(suite_group, schema, "The schema."),
	LIST(suite_group, tests, "Values.", RANGE(1, 1000), .nested = &suite_case_schema));
static const struct schema suite_file_schema = SCHEMA(suite_file, "A file of the suite.",
	LIST(suite_file, groups, "Schemas.", RANGE(1, 1000), .nested = &suite_group_schema));
/* clang-format on */

static const char *const suite_files[] = { "additionalProperties", "allOf", "anyOf",
	"boolean_schema", "const", "contains", "default", "defs", "dependentRequired",
	"dependentSchemas", "enum", "exclusiveMaximum", "exclusiveMinimum", "if-then-else",
	"infinite-loop-detection", "items", "maxContains", "maxItems", "maxLength", "maxProperties",
	"maximum", "minContains", "minItems", "minLength", "minProperties", "minimum", "multipleOf",
	"not", "oneOf", "pattern", "patternProperties", "prefixItems", "properties",
	"propertyNames", "ref", "required", "type", "uniqueItems", "optional/bignum",
	"optional/float-overflow", "optional/non-bmp-regex", "optional/no-schema",
	"optional/ecmascript-regex", "optional/format/date", "optional/format/date-time",
	"optional/format/duration", "optional/format/email", "optional/format/hostname",
	"optional/format/ipv4", "optional/format/ipv6", "optional/format/json-pointer",
	"optional/format/time", "optional/format/uri", "optional/format/uri-reference",
	"optional/format/uuid" };

/* Where we differ on purpose; doc/schema.md says why. */
static bool differs(const char *file, struct str group, const struct suite_case *test)
{
	static const struct {
		struct str group, test;
	} known[] = {
		{ S_INIT("validation of e-mail addresses"), S_INIT("a quoted string with") },
		{ S_INIT("validation of e-mail addresses"),
			S_INIT("an IPv4-address-literal after") },
		{ S_INIT("validation of e-mail addresses"),
			S_INIT("an IPv6-address-literal after") },
		{ S_INIT("ECMA 262 \\s matches whitespace"), S_INIT("") },
		{ S_INIT("ECMA 262 \\S matches everything but whitespace"), S_INIT("") },
	};

	for (size_t i = 0; i < LEN(known); i++)
		if (str_eq(known[i].group, group) && str_starts(test->description, known[i].test))
			return true;
	return strcmp(file, "optional/format/hostname") == 0 &&
	       (str_find(test->data.json, S("xn--")) >= 0 ||
		       str_find(test->data.json, S("XN--")) >= 0);
}

static unsigned suite_run, suite_left, suite_schemas_left, suite_differ;

static void run_group(const char *file, const struct suite_group *group)
{
	struct schema_loaded *loaded = NULL;
	bool agrees;

	if (schema_load(group->schema.json, &loaded) < 0) {
		fprintf(stderr, "  left out: %s, %.*s: %s\n", file, STR_ARG(group->description),
			err_text());
		suite_schemas_left++;
		suite_left += (unsigned)group->tests.count;
		return;
	}
	for (size_t i = 0; i < group->tests.count; i++) {
		const struct suite_case *test = &group->tests.at[i];
		struct arena_mark mark = arena_mark(&arena);
		struct problems problems;
		int r;

		problems_init(&problems, &arena);
		r = schema_loaded_check(loaded, test->data.json, &arena, &problems);
		arena_back(&arena, mark);
		agrees = r == (test->valid ? 0 : -ERR_INVALID);
		if (!agrees && differs(file, group->description, test)) {
			suite_differ++;
			continue;
		}
		suite_run++;
		test_note(agrees, __FILE__, __LINE__, "%s: %.*s: %.*s: %d, %s", file,
			STR_ARG(group->description), STR_ARG(test->description), r, err_text());
	}
	schema_loaded_free(loaded);
}

static struct str read_suite_file(const char *folder, const char *name)
{
	char path[400];
	static char text[MEGABYTE];
	size_t len;
	FILE *file;

	(void)snprintf(
		path, sizeof(path), "%s/json-schema/tests/draft2020-12/%s.json", folder, name);
	file = fopen(path, "r");
	test_note(file != NULL, __FILE__, __LINE__, "%s", path);
	REQUIRE(file);
	len = fread(text, 1, sizeof(text), file);
	(void)fclose(file);
	return arena_printf(&arena, "{\"groups\":%.*s}", (int)len, text);
}

TEST(schema_loaded_suite)
{
	const char *folder = getenv("CONFORMANCE_DATA");

	if (!folder)
		test_skip("CONFORMANCE_DATA is not set");
	REQUIRE(schema_compile(&suite_file_schema) == 0);
	for (size_t i = 0; i < LEN(suite_files); i++) {
		struct suite_file file;
		struct problems problems;

		arena_init(&arena, 64 * KILOBYTE, 64 * MEGABYTE);
		problems_init(&problems, &arena);
		if (schema_decode(&suite_file_schema, SCHEMA_INPUT,
			    read_suite_file(folder, suite_files[i]), &arena, &problems,
			    &file) < 0) {
			test_note(false, __FILE__, __LINE__, "%s: %.*s %.*s", suite_files[i],
				STR_ARG(problems.count ? problems.at[0].field : S("")),
				STR_ARG(problems.count ? problems.at[0].message : S("")));
			test_end();
		}
		for (size_t j = 0; j < file.groups.count; j++)
			run_group(suite_files[i], &file.groups.at[j]);
		arena_done(&arena);
	}
	schema_release(&suite_file_schema);
	fprintf(stderr,
		"  %u cases agree; left out %u cases of %u schemas with other keywords, and %u "
		"that "
		"differ on purpose\n",
		suite_run, suite_left, suite_schemas_left, suite_differ);
	EXPECT(suite_run > 1200);
}
