/*
 * JSON Schema of tables: whole texts for small ones; and for all, over random documents, that our
 * own engine loads what is written and judges by it as decoding does, and that encoding gives back
 * what was decoded.
 */
#include "schema/export.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "schema/decode.h"
#include "schema/encode.h"
#include "schema/loaded.h"
#include "schema/sample_test.h"

#include <stdio.h>
#include <stdlib.h>

static struct arena arena;

static void start(void)
{
	arena_init(&arena, 64 * KILOBYTE, 64 * MEGABYTE);
	REQUIRE(schema_compile_all(sample_schemas, sample_count) == 0);
}

static void stop(void)
{
	for (size_t i = 0; i < sample_count; i++)
		schema_release(sample_schemas[i]);
	arena_done(&arena);
	EXPECT_INT(mem_used(), 0);
}

static struct str write(
	void (*write_one)(const struct schema *, enum schema_mode, struct json_writer *),
	const struct schema *schema, enum schema_mode mode)
{
	struct json_writer writer;
	struct buf buf;
	struct str text;

	buf_init(&buf, MEGABYTE);
	json_writer_init(&writer, &buf);
	write_one(schema, mode, &writer);
	REQUIRE(json_writer_done(&writer) == 0);
	text = arena_str(&arena, buf_str(&buf));
	REQUIRE(text.at);
	buf_done(&buf);
	return text;
}

TEST(schema_export_component)
{
	start();
	EXPECT_STR(write(schema_write_component, &address_schema, SCHEMA_INPUT),
		S("{\"description\":\"A postal "
		  "address.\",\"type\":\"object\",\"properties\":{\"street\":{"
		  "\"type\":\"string\",\"minLength\":1,\"maxLength\":100,\"description\":\"Street "
		  "and "
		  "number.\"},\"country\":{\"type\":\"string\",\"minLength\":2,\"maxLength\":2,"
		  "\"pattern\":\"^(?:[A-Z]{2})$\",\"description\":\"ISO 3166 "
		  "code.\"}},\"required\":["
		  "\"street\",\"country\"],\"additionalProperties\":false}"));
	EXPECT_STR(write(schema_write_component, &shape_schema, SCHEMA_INPUT),
		S("{\"description\":\"A "
		  "shape.\",\"oneOf\":[{\"type\":\"object\",\"properties\":{\"kind\":{"
		  "\"const\":\"circle\"},\"radius\":{\"type\":\"number\",\"minimum\":0,\"maximum\":"
		  "1000,"
		  "\"description\":\"From the middle.\"}},\"required\":[\"kind\",\"radius\"],"
		  "\"additionalProperties\":false},{\"type\":\"object\",\"properties\":{\"kind\":{"
		  "\"const\":\"square\"},\"side\":{\"type\":\"number\",\"minimum\":0,\"maximum\":"
		  "1000,"
		  "\"description\":\"Of all "
		  "four.\"},\"colour\":{\"type\":\"string\",\"enum\":[\"red\","
		  "\"green\"],\"description\":\"To fill it "
		  "with.\",\"default\":\"green\"}},\"required\":["
		  "\"kind\",\"side\"],\"additionalProperties\":false},{\"type\":\"object\","
		  "\"properties\":{\"kind\":{\"const\":\"nothing\"}},\"required\":[\"kind\"],"
		  "\"additionalProperties\":false}],\"discriminator\":{\"propertyName\":\"kind\"}"
		  "}"));
	EXPECT_STR(schema_name(&flag_patch_schema), S("FlagPatch"));
	stop();
}

/* What each mode leaves out and requires. */
TEST(schema_export_modes)
{
	struct str in, out, all;

	start();
	in = write(schema_write_component, &flag_schema, SCHEMA_INPUT);
	out = write(schema_write_component, &flag_schema, SCHEMA_OUTPUT);
	all = write(schema_write_component, &flag_schema, SCHEMA_ALL);
	EXPECT(str_find(in, S("createdAt")) < 0 && str_find(in, S("\"default\":100")) > 0);
	EXPECT(str_find(in, S("\"required\":[\"key\"]")) > 0);
	EXPECT(str_find(in, S("\"examples\":[\"dark-mode\"]")) > 0);
	EXPECT(str_find(out, S("\"default\"")) < 0 && str_find(out, S("additional")) < 0);
	EXPECT(str_find(out, S("\"required\":[\"description\",\"enabled\",\"rollout\",\"state\","
			       "\"weight\",\"createdAt\",\"version\"]")) < 0);
	EXPECT(str_find(out, S("\"required\":[\"key\",\"description\",\"enabled\",\"rollout\","
			       "\"state\",\"weight\",\"createdAt\",\"version\"]")) > 0);
	EXPECT(str_find(all, S("\"readOnly\":true")) > 0);
	EXPECT(str_find(all, S("\"required\":[\"key\",\"createdAt\",\"version\"]")) > 0);

	out = write(schema_write_component, &order_schema, SCHEMA_OUTPUT);
	EXPECT(str_find(out, S("password")) < 0 && str_find(out, S("apiKey")) > 0);
	EXPECT(str_find(out, S("\"anyOf\":[{\"$ref\":\"#/components/schemas/Address\"},{\"type\":"
			       "\"null\"}]")) > 0);
	in = write(schema_write_component, &search_schema, SCHEMA_INPUT);
	EXPECT(str_find(in, S("pageSize")) < 0 && str_find(in, S("\"query\"")) > 0);
	stop();
}

static void write_parameters(
	const struct schema *schema, enum schema_mode mode, struct json_writer *writer)
{
	(void)mode;
	json_write_array(writer);
	schema_write_parameters(schema, writer);
	json_write_array_end(writer);
}

static void count_one(const struct schema *schema, void *arg)
{
	*(size_t *)arg += schema != NULL;
}

struct renaming {
	struct str id, name;
};

/* clang-format off */
static const struct schema renaming_schema = SCHEMA(renaming, "A change.",
	FIELD(renaming, id, "Of what.", .from = FROM_PATH),
	FIELD(renaming, name, "The new name.", .flags = REQUIRED));
/* clang-format on */

/* A body with a member that comes by the path would be refused. */
TEST(schema_export_keeps_parameters_out)
{
	static const struct str wanted = S_INIT(
		"{\"description\":\"A change.\",\"type\":\"object\",\"properties\":{\"name\":{"
		"\"type\":\"string\",\"maxLength\":1000,\"description\":\"The new "
		"name.\"}},\"required\":[\"name\"],"
		"\"additionalProperties\":false}");

	start();
	REQUIRE(schema_compile(&renaming_schema) == 0);
	EXPECT_STR(write(schema_write_component, &renaming_schema, SCHEMA_ALL), wanted);
	EXPECT_STR(write(schema_write_component, &renaming_schema, SCHEMA_INPUT), wanted);
	schema_release(&renaming_schema);
	stop();
}

TEST(schema_export_parameters)
{
	struct str text;
	size_t count = 0;

	start();
	text = write(write_parameters, &search_schema, SCHEMA_INPUT);
	EXPECT(str_starts(text, S("[{\"name\":\"tenant\",\"in\":\"path\",\"required\":true,"
				  "\"schema\":{\"type\":\"string\",\"maxLength\":1000,\"format\":"
				  "\"slug\",\"description\":\"Whose.\"}},{\"name\":\"pageSize\"")));
	EXPECT(str_find(text, S("\"name\":\"idempotency-key\",\"in\":\"header\"")) > 0);
	EXPECT(str_find(text, S("\"name\":\"query\"")) < 0);
	schema_each(&order_schema, count_one, &count);
	EXPECT_INT(count, 3);
	stop();
}

/* --- the written schema and the table agree -------------------------------------------- */

/* Texts from which random documents are made: some fit, some almost. */
static const char *const pieces[] = { "null", "true", "false", "0", "1", "-1", "0.5", "1.0", "101",
	"1e3", "\"\"", "\"a\"", "\"dark-mode\"", "\"A\"", "\"DE\"", "\"live\"", "\"draft\"",
	"\"red\"", "\"green\"", "\"circle\"", "\"square\"", "\"nothing\"", "\"a@b.co\"",
	"\"2026-11-20T08:15:30Z\"", "\"2026-02-30T08:15:30Z\"",
	"\"0190a1b2-c3d4-7e5f-8a9b-0123456789ab\"", "\"https://a.b/\"",
	"\"toolongforalabelthatis\"", "[]", "{}", "[1,1]", "[1,2]", "[\"a\",\"a\"]",
	"[\"a\",\"b\"]", "[null]", "{\"a\":\"b\"}", "{\"A\":\"b\"}",
	"{\"street\":\"s\",\"country\":\"DE\"}", "{\"street\":\"s\",\"country\":\"de\"}",
	"{\"kind\":\"circle\",\"radius\":1}", "{\"radius\":1,\"kind\":\"square\"}",
	"{\"kind\":\"nothing\"}", "[{\"sku\":\"a-b\",\"quantity\":5}]",
	"[{\"sku\":\"a-b\",\"quantity\":5.5}]", "[{\"text\":\"x\",\"replies\":[]}]",
	"[{\"kind\":\"square\",\"side\":2,\"colour\":\"red\"}]",
	"{\"home\":{\"street\":\"s\",\"country\":\"DE\"}}" };

static const char *const names[] = { "key", "description", "enabled", "rollout", "state", "weight",
	"createdAt", "version", "endsAt", "street", "country", "sku", "quantity", "email", "id",
	"password", "apiKey", "billing", "shipping", "lines", "tags", "numbers", "labels", "places",
	"extra", "website", "note", "radius", "side", "colour", "kind", "main", "shapes", "text",
	"replies", "query", "other" };

/* A random object; members that the written schema mentions are the likelier ones. */
static struct str random_document(struct str written, uint64_t *state)
{
	struct str text = S("{");
	bool first = true;

	for (size_t i = 0; i < LEN(names); i++) {
		struct str quoted = arena_printf(&arena, "\"%s\":{", names[i]);
		bool known = str_find(written, quoted) >= 0;

		if (test_random(state) % 100 >= (known ? 80 : 1))
			continue;
		text = arena_printf(&arena, "%.*s%s\"%s\":%s", STR_ARG(text), first ? "" : ",",
			names[i], pieces[test_random(state) % LEN(pieces)]);
		first = false;
	}
	return arena_printf(&arena, "%.*s}", STR_ARG(text));
}

/* A document that fits, with one member replaced: most random ones are wrong in many ways. */
static struct str vary(struct str document, uint64_t *state)
{
	size_t from = test_random(state) % document.len, end;
	const char *piece = pieces[test_random(state) % LEN(pieces)];

	while (from < document.len && document.at[from] != ':')
		from++;
	for (end = from; end < document.len && !strchr(",}", document.at[end]); end++)
		;
	if (end >= document.len)
		return document;
	return arena_printf(&arena, "%.*s:%s%.*s", STR_ARG(str_first(document, from)), piece,
		STR_ARG(str_from(document, end)));
}

static struct str encode(const struct schema *schema, const void *in)
{
	struct json_writer writer;
	struct buf buf;
	struct str text;

	buf_init(&buf, MEGABYTE);
	json_writer_init(&writer, &buf);
	schema_encode(schema, SCHEMA_ALL, in, &writer);
	REQUIRE(json_writer_done(&writer) == 0);
	text = arena_str(&arena, buf_str(&buf));
	buf_done(&buf);
	return text;
}

/* What was decoded and is encoded decodes to the same. */
static void check_back(const struct schema *schema, const void *in)
{
	struct str first = encode(schema, in);
	char again[sizeof(struct order)];
	struct problems problems;

	problems_init(&problems, &arena);
	REQUIRE(schema_decode(schema, SCHEMA_ALL, first, &arena, &problems, again) == 0);
	REQUIRE(str_eq(encode(schema, again), first));
}

static bool same_verdict(
	const struct schema *schema, const struct schema_loaded *loaded, struct str document)
{
	struct problems by_table, by_text;
	char space[sizeof(struct order)];
	int table, text;

	problems_init(&by_table, &arena);
	problems_init(&by_text, &arena);
	table = schema_decode(schema, SCHEMA_INPUT, document, &arena, &by_table, space);
	if (table == 0)
		check_back(schema, space);
	text = schema_loaded_check(loaded, document, &arena, &by_text);
	if (by_table.count == 1 && str_eq(by_table.at[0].field, S("extra")))
		return true; /* the size of raw JSON is not in the schema */
	return test_note(table == text, __FILE__, __LINE__,
		"%s: %.*s: table %d (%.*s %s), schema %d (%.*s %s)", schema->type,
		STR_ARG(document), table, STR_ARG(by_table.count ? by_table.at[0].field : S("")),
		by_table.count ? by_table.at[0].code : "", text,
		STR_ARG(by_text.count ? by_text.at[0].field : S("")),
		by_text.count ? by_text.at[0].code : "");
}

static const struct {
	const struct schema *schema;
	struct str document;
} fitting[] = {
	{ &flag_schema, S_INIT("{\"key\":\"a\",\"description\":\"b\",\"enabled\":true,\"rollout\":"
			       "5,\"state\":"
			       "\"live\",\"weight\":0.5}") },
	{ &flag_patch_schema, S_INIT("{\"description\":null,\"enabled\":true,\"rollout\":5,"
				     "\"weight\":1,\"state\":null,"
				     "\"endsAt\":\"2026-11-20T08:15:30Z\"}") },
	{ &address_schema, S_INIT("{\"street\":\"s\",\"country\":\"DE\"}") },
	{ &line_schema, S_INIT("{\"sku\":\"a\",\"quantity\":1,\"email\":\"a@b.co\"}") },
	{ &order_schema, S_INIT("{\"id\":\"0190a1b2-c3d4-7e5f-8a9b-0123456789ab\",\"password\":"
				"\"x\",\"billing\":{"
				"\"street\":\"s\",\"country\":\"DE\"},\"shipping\":null,\"lines\":["
				"{\"sku\":\"a\","
				"\"quantity\":1}],\"tags\":[\"a\",\"b\"],\"labels\":{\"a\":\"b\"},"
				"\"extra\":1,"
				"\"places\":{\"x\":{\"street\":\"s\",\"country\":\"DE\"}},"
				"\"website\":\"a:b\"}") },
	{ &circle_schema, S_INIT("{\"radius\":1}") },
	{ &square_schema, S_INIT("{\"side\":1,\"colour\":\"red\"}") },
	{ &shape_schema, S_INIT("{\"side\":1,\"kind\":\"square\",\"colour\":\"red\"}") },
	{ &drawing_schema, S_INIT("{\"main\":{\"kind\":\"circle\",\"radius\":1},\"shapes\":[{"
				  "\"kind\":\"nothing\"},{"
				  "\"kind\":\"square\",\"side\":1}]}") },
	{ &comment_schema, S_INIT("{\"text\":\"a\",\"replies\":[{\"text\":\"b\"},{\"text\":\"c\","
				  "\"replies\":[]}]}") },
};

TEST(schema_export_agrees)
{
	uint64_t state = 2026;

	start();
	for (size_t i = 0; i < LEN(fitting); i++) {
		const struct schema *schema = fitting[i].schema;
		struct str written = write(schema_write_document, schema, SCHEMA_INPUT);
		struct schema_loaded *loaded = NULL;
		bool good = true;

		test_note(schema_load(written, &loaded) == 0, __FILE__, __LINE__, "%s", err_text());
		REQUIRE(loaded);
		EXPECT(same_verdict(schema, loaded, fitting[i].document));
		for (int round = 0; good && round < 3000; round++) {
			struct arena_mark mark = arena_mark(&arena);
			struct str document =
				round % 4 ? fitting[i].document : random_document(written, &state);

			for (int times = round % 4; times > 0; times--)
				document = vary(document, &state);
			good = same_verdict(schema, loaded, document);
			arena_back(&arena, mark);
		}
		schema_loaded_free(loaded);
	}
	stop();
}

/* --- for tests/differential ------------------------------------------------------------ */

/* Writes the tables' documents to $SCHEMA_EXPORT, one a line, for other validators to read. */
TEST(schema_export_file)
{
	const char *path = getenv("SCHEMA_EXPORT");
	FILE *file;

	if (!path)
		return;
	start();
	file = fopen(path, "w");
	REQUIRE(file);
	for (size_t i = 0; i < LEN(fitting); i++)
		fprintf(file, "{\"type\":\"%s\",\"schema\":%.*s,\"document\":%.*s}\n",
			fitting[i].schema->type,
			STR_ARG(write(schema_write_document, fitting[i].schema, SCHEMA_INPUT)),
			STR_ARG(fitting[i].document));
	EXPECT(fclose(file) == 0);
	stop();
}
