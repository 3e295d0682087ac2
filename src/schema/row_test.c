/* Rows: every member goes into columns and comes back; NULL and foreign values. */
#include "schema/row.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "schema/decode.h"
#include "schema/encode.h"
#include "schema/sample_test.h"

static struct arena arena;

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

/* JSON to a struct, its columns to another one, which must be the same. */
static void round_trip(const struct schema *schema, struct str json, const enum row_kind *kinds)
{
	char one[sizeof(struct order)] = { 0 }, other[sizeof(struct order)];
	struct problems problems;

	problems_init(&problems, &arena);
	REQUIRE(schema_decode(schema, SCHEMA_ALL, json, &arena, &problems, one) == 0);
	memset(other, 0x55, sizeof(other));
	for (size_t i = 0; i < row_count(schema); i++) {
		struct row_value value;

		REQUIRE(row_get(schema, i, one, &arena, &value) == 0);
		EXPECT_INT(value.kind, kinds[i]);
		EXPECT(value.kind == ROW_NULL || value.kind == row_kind(schema, i));
		REQUIRE(row_set(schema, i, &value, &arena, other) == 0);
	}
	EXPECT_STR(encode(schema, other), encode(schema, one));
}

TEST(schema_rows)
{
	static const enum row_kind flag_kinds[] = { ROW_TEXT, ROW_TEXT, ROW_BOOL, ROW_INTEGER,
		ROW_TEXT, ROW_REAL, ROW_TIME, ROW_INTEGER };
	static const enum row_kind patch_kinds[] = { ROW_NULL, ROW_BOOL, ROW_NULL, ROW_REAL,
		ROW_TEXT, ROW_TIME };
	static const enum row_kind order_kinds[] = { ROW_UUID, ROW_TEXT, ROW_TEXT, ROW_JSON,
		ROW_NULL, ROW_JSON, ROW_JSON, ROW_JSON, ROW_JSON, ROW_JSON, ROW_JSON, ROW_NULL,
		ROW_TEXT };

	arena_init(&arena, 4096, MEGABYTE);
	REQUIRE(schema_compile_all(sample_schemas, sample_count) == 0);
	round_trip(&flag_schema,
		S("{\"key\":\"a\",\"description\":\"b\",\"state\":\"closed\",\"createdAt\":\"2026-"
		  "11-"
		  "20T08:15:30.123Z\",\"version\":9}"),
		flag_kinds);
	round_trip(&flag_patch_schema,
		S("{\"description\":null,\"enabled\":true,\"weight\":0.5,\"state\":\"live\","
		  "\"endsAt\":\"2026-11-20T08:15:30Z\"}"),
		patch_kinds);
	round_trip(&order_schema,
		S("{\"id\":\"0190a1b2-c3d4-7e5f-8a9b-0123456789ab\",\"password\":\"p\",\"billing\":"
		  "{"
		  "\"street\":\"s\",\"country\":\"DE\"},\"lines\":[{\"sku\":\"a\",\"quantity\":1}],"
		  "\"labels\":{\"a\":\"b\"},\"extra\":{\"x\":[]}}"),
		order_kinds);
	EXPECT_STR(row_name(&flag_schema, 6), S("created_at"));
	EXPECT_INT(row_find(&flag_schema, S("created_at")), 6);
	EXPECT_INT(row_find(&flag_schema, S("createdAt")), -1);
	for (size_t i = 0; i < sample_count; i++)
		schema_release(sample_schemas[i]);
	arena_done(&arena);
	EXPECT_INT(mem_used(), 0);
}

TEST(schema_rows_foreign)
{
	static const struct {
		const struct schema *schema;
		struct str column;
		struct row_value value;
		bool taken;
	} cases[] = {
		{ &flag_schema, S_INIT("enabled"), { ROW_INTEGER, .integer = 1 }, true },
		{ &flag_schema, S_INIT("enabled"), { ROW_INTEGER, .integer = 2 }, false },
		{ &flag_schema, S_INIT("weight"), { ROW_INTEGER, .integer = 2 }, true },
		{ &flag_schema, S_INIT("rollout"), { ROW_REAL, .real = 2 }, false },
		{ &flag_schema, S_INIT("created_at"), { ROW_INTEGER, .integer = 5 }, true },
		{ &flag_schema, S_INIT("state"), { ROW_TEXT, .text = S_INIT("open") }, false },
		{ &flag_schema, S_INIT("state"), { ROW_INTEGER, .integer = 0 }, false },
		{ &flag_schema, S_INIT("key"), { ROW_INTEGER, .integer = 0 }, false },
		{ &flag_schema, S_INIT("key"), { ROW_NULL }, true },
		{ &order_schema, S_INIT("id"), { ROW_TEXT, .text = S_INIT("x") }, true },
		{ &order_schema, S_INIT("lines"), { ROW_TEXT, .text = S_INIT("[{]") }, false },
		{ &order_schema, S_INIT("lines"), { ROW_TEXT, .text = S_INIT("[{}]") }, false },
		{ &order_schema, S_INIT("lines"), { ROW_INTEGER, .integer = 1 }, false },
	};
	char space[sizeof(struct order)] = { 0 };
	struct row_value value;

	arena_init(&arena, 4096, MEGABYTE);
	REQUIRE(schema_compile(&flag_schema) == 0 && schema_compile(&order_schema) == 0);
	for (size_t i = 0; i < LEN(cases); i++) {
		ptrdiff_t column = row_find(cases[i].schema, cases[i].column);

		REQUIRE(column >= 0);
		EXPECT_INT(row_set(cases[i].schema, (size_t)column, &cases[i].value, &arena, space),
			cases[i].taken ? 0 : -ERR_INTERNAL);
	}
	((struct order *)space)->id = S("not a uuid");
	EXPECT_INT(row_get(&order_schema, 0, space, &arena, &value), -ERR_INTERNAL);
	schema_release(&flag_schema);
	schema_release(&order_schema);
	arena_done(&arena);
}
