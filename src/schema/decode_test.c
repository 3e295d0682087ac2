/*
 * Decoding: what each kind of member takes and refuses, all problems at once, parameters, unions,
 * limits, failing memory. Encoding what was decoded must decode to the same.
 */
#include "schema/decode.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"
#include "schema/encode.h"
#include "schema/sample_test.h"

#include <stdio.h>

static struct arena arena;
static struct problems problems;

static void start(void)
{
	arena_init(&arena, 4096, 64 * MEGABYTE);
	problems_init(&problems, &arena);
	REQUIRE(schema_compile_all(sample_schemas, sample_count) == 0);
}

static void stop(void)
{
	for (size_t i = 0; i < sample_count; i++)
		schema_release(sample_schemas[i]);
	arena_done(&arena);
	EXPECT_INT(mem_used(), 0);
}

static int decode(const struct schema *schema, struct str json, void *ret)
{
	problems_init(&problems, &arena);
	return schema_decode(schema, SCHEMA_INPUT, json, &arena, &problems, ret);
}

/* The problems as "field code; field code", in the arena. */
static struct str problem_text(void)
{
	struct str text = S("");

	for (size_t i = 0; i < problems.count; i++)
		text = arena_printf(&arena, "%.*s%s%.*s %s", STR_ARG(text), i ? "; " : "",
			STR_ARG(problems.at[i].field), problems.at[i].code);
	return text;
}

TEST(schema_decode_flag)
{
	struct flag flag;

	start();
	EXPECT_INT(decode(&flag_schema,
			   S("{\"key\":\"dark-mode\",\"rollout\":5,\"state\":\"closed\","
			     "\"enabled\":false,\"description\":\"a\\nb\",\"weight\":1}"),
			   &flag),
		0);
	EXPECT_STR(flag.key, S("dark-mode"));
	EXPECT_STR(flag.description, S("a\nb"));
	EXPECT_INT(flag.rollout, 5);
	EXPECT_INT(flag.state, FLAG_CLOSED);
	EXPECT(!flag.enabled && flag.weight == 1);

	EXPECT_INT(decode(&flag_schema, S("{\"key\":\"k\"}"), &flag), 0);
	EXPECT(flag.enabled && flag.rollout == 100 && flag.weight == 0.5);
	EXPECT_INT(flag.state, FLAG_DRAFT);

	EXPECT_INT(
		schema_decode(&flag_schema, SCHEMA_ALL,
			S("{\"key\":\"k\",\"version\":7,\"createdAt\":\"1970-01-01T00:00:01Z\"}"),
			&arena, &problems, &flag),
		0);
	EXPECT(flag.version == 7 && flag.created_at == 1000000);
	stop();
}

TEST(schema_decode_patch)
{
	struct flag_patch patch;

	start();
	EXPECT_INT(decode(&flag_patch_schema, S("{}"), &patch), 0);
	EXPECT(!patch.description.set && !patch.enabled.set && !patch.ends_at.set);
	EXPECT_INT(
		decode(&flag_patch_schema,
			S("{\"description\":null,\"enabled\":false,\"rollout\":1e1,"
			  "\"weight\":null,\"state\":\"live\",\"endsAt\":\"2026-11-20T08:15:30.5+"
			  "01:00\"}"),
			&patch),
		0);
	EXPECT(patch.description.set && patch.description.null);
	EXPECT(patch.enabled.set && !patch.enabled.null && !patch.enabled.value);
	EXPECT(patch.rollout.set && patch.rollout.value == 10);
	EXPECT(patch.weight.null && patch.state.value == FLAG_LIVE);
	EXPECT_INT(patch.ends_at.value, 1795158930500000);
	stop();
}

/* What is wrong, and the problems that say so. */
TEST(schema_decode_problems)
{
	static const struct {
		const struct schema *schema;
		struct str json, problems;
	} cases[] = {
		{ &flag_schema, S_INIT("{}"), S_INIT("key required") },
		{ &flag_schema, S_INIT("[]"), S_INIT(" invalid_type") },
		{ &flag_schema, S_INIT("3"), S_INIT(" invalid_type") },
		{ &flag_schema, S_INIT("{\"key\":"), S_INIT(" invalid_json") },
		{ &flag_schema, S_INIT("{\"key\":\"a\"} x"), S_INIT(" invalid_json") },
		{ &flag_schema, S_INIT("{\"key\":\"a\",\"key\":\"b\"}"), S_INIT(" invalid_json") },
		{ &flag_schema, S_INIT("{\"key\":\"\"}"), S_INIT("key too_short") },
		{ &flag_schema, S_INIT("{\"key\":\"A\"}"), S_INIT("key invalid_pattern") },
		{ &flag_schema, S_INIT("{\"key\":\"a\\n\"}"), S_INIT("key control_character") },
		{ &flag_schema, S_INIT("{\"key\":\"a\",\"description\":\"\\u0007\"}"),
			S_INIT("description control_character") },
		{ &flag_schema, S_INIT("{\"key\":null}"), S_INIT("key invalid_type") },
		{ &flag_schema, S_INIT("{\"key\":{\"a\":[1]},\"enabled\":\"true\"}"),
			S_INIT("key invalid_type; enabled invalid_type") },
		{ &flag_schema, S_INIT("{\"key\":\"a\",\"rollout\":101,\"weight\":-0.5}"),
			S_INIT("rollout too_large; weight too_small") },
		{ &flag_schema, S_INIT("{\"key\":\"a\",\"rollout\":1.5}"),
			S_INIT("rollout invalid_type") },
		{ &flag_schema, S_INIT("{\"key\":\"a\",\"rollout\":1e30,\"weight\":1e999}"),
			S_INIT("rollout too_large; weight too_large") },
		{ &flag_schema, S_INIT("{\"key\":\"a\",\"version\":1,\"created_at\":0}"),
			S_INIT("version read_only; created_at unknown_member") },
		{ &flag_schema, S_INIT("{\"key\":\"a\",\"state\":\"open\",\"Key\":1}"),
			S_INIT("state invalid_enum; Key unknown_member") },
		{ &flag_patch_schema,
			S_INIT("{\"rollout\":null,\"endsAt\":\"2026-02-30T00:00:00Z\"}"),
			S_INIT("rollout invalid_type; endsAt invalid_date_time") },
		{ &order_schema, S_INIT("{\"billing\":{\"street\":\"\"},\"lines\":[]}"),
			S_INIT("billing.street too_short; billing.country required; lines "
			       "too_few") },
		{ &order_schema,
			S_INIT("{\"id\":\"x\",\"billing\":1,\"lines\":[{\"sku\":\"a\",\"quantity\":"
			       "1},"
			       "{\"sku\":\"A\",\"quantity\":0,\"email\":\"x\",\"y\":[{}]}]}"),
			S_INIT("id invalid_uuid; billing invalid_type; lines.1.sku invalid_slug; "
			       "lines.1.quantity too_small; lines.1.email invalid_email; "
			       "lines.1.y unknown_member") },
		{ &order_schema,
			S_INIT("{\"billing\":{\"street\":\"s\",\"country\":\"DE\"},\"lines\":[{"
			       "\"sku\":"
			       "\"a\",\"quantity\":1},0,0,0,0,0,0],\"tags\":[\"a\",\"b\",\"a\"],"
			       "\"numbers\":[1,2,1.0,9]}"),
			S_INIT("lines.1 invalid_type; lines.2 invalid_type; lines.3 invalid_type; "
			       "lines.4 invalid_type; lines too_many; tags.2 not_unique; "
			       "numbers.3 too_large; numbers.2 not_unique") },
		{ &order_schema,
			S_INIT("{\"billing\":{\"street\":\"s\",\"country\":\"DE\"},\"lines\":[{"
			       "\"sku\":"
			       "\"a\",\"quantity\":1}],\"labels\":{\"a\":\"\",\"B\":\"\",\"c\":1,"
			       "\"d\":"
			       "1},\"places\":{\"home\":{\"street\":1}},\"website\":\"/"
			       "x\",\"shipping\":"
			       "[],\"extra\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18],"
			       "\"note\":\"\\u0000\"}"),
			S_INIT("labels.B invalid_pattern; labels.c invalid_type; labels too_many; "
			       "places.home.street invalid_type; places.home.country required; "
			       "website invalid_uri; shipping invalid_type; extra too_many; "
			       "note control_character") },
		{ &drawing_schema, S_INIT("{\"main\":{}}"), S_INIT("main.kind required") },
		{ &drawing_schema, S_INIT("{\"main\":{\"radius\":1,\"kind\":\"oval\"}}"),
			S_INIT("main.kind invalid_enum") },
		{ &drawing_schema, S_INIT("{\"main\":{\"radius\":1,\"kind\":7}}"),
			S_INIT("main.kind invalid_type") },
		{ &drawing_schema,
			S_INIT("{\"main\":{\"side\":1,\"kind\":\"circle\"},\"shapes\":[{\"kind\":"
			       "\"nothing\",\"side\":1},{\"kind\":\"square\"},null]}"),
			S_INIT("main.side unknown_member; main.radius required; shapes.0.side "
			       "unknown_member; shapes.1.side required; shapes.2 invalid_type") },
		{ &drawing_schema, S_INIT("{\"main\":{\"radius\":[}}"), S_INIT(" invalid_json") },
		{ &shape_schema, S_INIT("{\"kind\":\"square\",\"side\":\"1\"}"),
			S_INIT("side invalid_type") },
		{ &comment_schema, S_INIT("{\"text\":\"a\",\"replies\":[{\"replies\":[{}]}]}"),
			S_INIT("replies.0.replies.0.text required; replies.0.text required") },
	};
	char space[sizeof(struct order)];

	start();
	for (size_t i = 0; i < LEN(cases); i++) {
		EXPECT_INT(decode(cases[i].schema, cases[i].json, space), -ERR_INVALID);
		EXPECT_STR(problem_text(), cases[i].problems);
	}
	stop();
}

TEST(schema_decode_order)
{
	struct order order;
	struct str json =
		S("{\"id\":\"0190A1b2-c3d4-7e5f-8a9b-0123456789ab\",\"password\":\"p\","
		  "\"apiKey\":\"k\",\"billing\":{\"street\":\"s\",\"country\":\"DE\"},"
		  "\"shipping\":{\"country\":\"FR\",\"street\":\"\\u00e9\"},\"lines\":[{"
		  "\"sku\":\"a-1\",\"quantity\":3,\"email\":\"a@b.co\"}],\"tags\":[\"x\","
		  "\"y\"],\"labels\":{\"one\":\"1\",\"two\":\"2\"},\"extra\": [ 1 , {} ] ,"
		  "\"note\":\"\\u0001\",\"places\":{}}");

	start();
	REQUIRE(decode(&order_schema, json, &order) == 0);
	EXPECT(order.lines.count == 1 && order.lines.at[0].quantity == 3);
	EXPECT_STR(order.lines.at[0].email, S("a@b.co"));
	EXPECT(order.shipping && str_eq(order.shipping->street, S("é")));
	EXPECT(order.tags.count == 2 && str_eq(order.tags.at[1], S("y")));
	EXPECT(order.labels.count == 2 && str_eq(order.labels.at[1].key, S("two")));
	EXPECT_STR(order.labels.at[1].value, S("2"));
	EXPECT_STR(order.extra.json, S("[ 1 , {} ]"));
	EXPECT(order.places.count == 0 && !order.places.at);
	EXPECT(order.tags.at[0].at > json.at && order.tags.at[0].at < json.at + json.len);
	stop();
}

TEST(schema_decode_union)
{
	struct drawing drawing;

	start();
	REQUIRE(decode(&drawing_schema,
			S("{\"shapes\":[{\"kind\":\"nothing\"},{\"side\":2,\"colour\":\"red\","
			  "\"k\\u0069nd\":\"square\"}],\"main\":{\"kind\":\"circle\",\"radius\":1}"
			  "}"),
			&drawing) == 0);
	EXPECT(drawing.main.kind == SHAPE_CIRCLE && drawing.main.circle.radius == 1);
	EXPECT(drawing.shapes.count == 2 && drawing.shapes.at[0].kind == SHAPE_NOTHING);
	EXPECT(drawing.shapes.at[1].kind == SHAPE_SQUARE && drawing.shapes.at[1].square.side == 2);
	EXPECT_STR(drawing.shapes.at[1].square.colour, S("red"));
	stop();
}

/* --- bounds -------------------------------------------------------------------- */

TEST(schema_decode_bounded_problems)
{
	struct flag flag;
	struct buf json;
	struct buf details;
	struct json_writer writer;

	start();
	buf_init(&json, MEGABYTE);
	buf_append(&json, S("{\"key\":\"a\""));
	for (int i = 0; i < 250; i++)
		buf_printf(&json, ",\"unknown%d\":[]", i);
	buf_byte(&json, '}');
	EXPECT_INT(decode(&flag_schema, buf_str(&json), &flag), -ERR_INVALID);
	EXPECT(problems.count == PROBLEMS_MAX && problems.more == 150);
	EXPECT(strstr(err_text(), "250 problems"));

	buf_init(&details, MEGABYTE);
	json_writer_init(&writer, &details);
	problems_write(&problems, &writer);
	EXPECT_INT(json_writer_done(&writer), 0);
	EXPECT(str_ends(
		buf_str(&details), S("{\"field\":\"\",\"message\":\"and 150 more problems\","
				     "\"code\":\"too_many\"}]")));
	buf_done(&details);
	buf_done(&json);
	stop();
}

static struct str nested_comments(size_t levels)
{
	struct str text = S("{\"text\":\"a\"}");

	for (size_t i = 1; i < levels; i++)
		text = arena_printf(&arena, "{\"text\":\"a\",\"replies\":[%.*s]}", STR_ARG(text));
	return text;
}

TEST(schema_decode_levels)
{
	struct comment comment;

	start();
	EXPECT_INT(decode(&comment_schema, nested_comments(SCHEMA_LEVELS_MAX), &comment), 0);
	EXPECT_INT(decode(&comment_schema, nested_comments(SCHEMA_LEVELS_MAX + 1), &comment),
		-ERR_TOO_LARGE);
	stop();
}

TEST(schema_decode_long_names)
{
	struct flag flag;
	struct buf json;

	start();
	buf_init(&json, MEGABYTE);
	buf_append(&json, S("{\"key\":\"a\",\""));
	for (int i = 0; i < 5000; i++)
		buf_append(&json, S("é"));
	buf_append(&json, S("\":0}"));
	EXPECT_INT(decode(&flag_schema, buf_str(&json), &flag), -ERR_INVALID);
	REQUIRE(problems.count == 1);
	EXPECT_INT(problems.at[0].field.len, PROBLEM_NAME_MAX);
	buf_done(&json);
	stop();
}

/* --- parameters ---------------------------------------------------------------- */

struct pair {
	enum field_from from;
	struct str name, value;
};

static int decode_pairs(const struct pair *pairs, size_t count, struct str body, struct search *ret)
{
	struct schema_input *input;
	int r = 0;

	problems_init(&problems, &arena);
	input = schema_input_start(&search_schema, SCHEMA_INPUT, &arena, &problems, ret);
	REQUIRE(input);
	for (size_t i = 0; i < count && r == 0; i++)
		r = schema_input_text(input, pairs[i].from, pairs[i].name, pairs[i].value);
	if (r == 0 && body.len)
		r = schema_input_json(input, body, NULL);
	return r < 0 ? r : schema_input_end(input);
}

TEST(schema_decode_parameters)
{
	static const struct pair good[] = {
		{ FROM_PATH, S_INIT("tenant"), S_INIT("acme") },
		{ FROM_QUERY, S_INIT("pageSize"), S_INIT("7") },
		{ FROM_QUERY, S_INIT("states"), S_INIT("live") },
		{ FROM_QUERY, S_INIT("archived"), S_INIT("true") },
		{ FROM_QUERY, S_INIT("states"), S_INIT("closed") },
		{ FROM_QUERY, S_INIT("least"), S_INIT("2.5e-1") },
		{ FROM_HEADER, S_INIT("Idempotency-Key"), S_INIT("abc") },
		{ FROM_HEADER, S_INIT("Accept"), S_INIT("*/*") },
	};
	static const struct pair bad[] = {
		{ FROM_PATH, S_INIT("tenant"), S_INIT("Acme") },
		{ FROM_QUERY, S_INIT("pageSize"), S_INIT(" 7") },
		{ FROM_QUERY, S_INIT("pageSize"), S_INIT("8") },
		{ FROM_QUERY, S_INIT("states"), S_INIT("live") },
		{ FROM_QUERY, S_INIT("states"), S_INIT("open") },
		{ FROM_QUERY, S_INIT("states"), S_INIT("live") },
		{ FROM_QUERY, S_INIT("states"), S_INIT("live") },
		{ FROM_QUERY, S_INIT("tag"), S_INIT("a") },
		{ FROM_QUERY, S_INIT("tag"), S_INIT("a") },
		{ FROM_QUERY, S_INIT("archived"), S_INIT("1") },
		{ FROM_QUERY, S_INIT("least"), S_INIT("0x1") },
		{ FROM_QUERY, S_INIT("query"), S_INIT("not here") },
		{ FROM_QUERY, S_INIT("tenant"), S_INIT("nor here") },
		{ FROM_HEADER, S_INIT("idempotency-key"), S_INIT("\xFF") },
	};
	struct search search;

	start();
	EXPECT(schema_has(&search_schema, FROM_BODY) && schema_has(&search_schema, FROM_PATH));
	EXPECT(!schema_has(&flag_schema, FROM_QUERY) && !schema_has(&shape_schema, FROM_QUERY));

	EXPECT_INT(decode_pairs(good, LEN(good), S("{\"query\":\"q\"}"), &search), 0);
	EXPECT_STR(search.tenant, S("acme"));
	EXPECT(search.page_size == 7 && search.archived.set && search.archived.value);
	EXPECT(search.states.count == 2 && search.states.at[1] == FLAG_CLOSED);
	EXPECT(search.least == 0.25 && str_eq(search.idempotency_key, S("abc")));

	EXPECT_INT(decode_pairs(good, 1, S("{\"query\":\"q\"}"), &search), 0);
	EXPECT(search.page_size == 20 && !search.archived.set);

	EXPECT_INT(decode_pairs(NULL, 0, S(""), &search), -ERR_INVALID);
	EXPECT_STR(problem_text(), S("tenant required; query required"));

	EXPECT_INT(decode_pairs(bad, LEN(bad), S("{\"tenant\":1}"), &search), -ERR_INVALID);
	EXPECT_STR(problem_text(),
		S("tenant invalid_slug; pageSize invalid_type; pageSize given_twice; states.1 "
		  "invalid_enum; states too_many; archived invalid_type; least invalid_type; query "
		  "unknown_member; tenant unknown_member; idempotency-key invalid_text; tenant "
		  "unknown_member; query required; tag.1 not_unique"));
	stop();
}

/* --- encoding ------------------------------------------------------------------- */

static struct str encode(const struct schema *schema, int mode, const void *in)
{
	struct json_writer writer;
	struct buf buf;
	struct str text;

	buf_init(&buf, MEGABYTE);
	json_writer_init(&writer, &buf);
	if (mode < 0)
		schema_log(schema, in, &writer);
	else
		schema_encode(schema, (enum schema_mode)mode, in, &writer);
	REQUIRE(json_writer_done(&writer) == 0);
	text = arena_str(&arena, buf_str(&buf));
	buf_done(&buf);
	return text;
}

TEST(schema_encode_order)
{
	struct address home = { S("h"), S("FR") };
	struct line line = { .sku = S("a"), .quantity = 2 };
	struct str tags[] = { S("x"), S("y") };
	struct order order = { .password = S("p"),
		.api_key = S("k"),
		.billing = { S("s"), S("DE") },
		.lines = { &line, 1 },
		.tags = { tags, 2 },
		.extra = { S("{\"a\":1}") } };

	start();
	EXPECT_STR(encode(&order_schema, SCHEMA_OUTPUT, &order),
		S("{\"apiKey\":\"k\",\"billing\":{\"street\":\"s\",\"country\":\"DE\"},"
		  "\"shipping\":"
		  "null,\"lines\":[{\"sku\":\"a\",\"quantity\":2}],\"tags\":[\"x\",\"y\"],"
		  "\"numbers\":[],\"labels\":{},\"places\":{},\"extra\":{\"a\":1},\"note\":\"\"}"));
	order.shipping = &home;
	EXPECT_STR(encode(&order_schema, -1, &order),
		S("{\"password\":\"[secret]\",\"apiKey\":\"[secret]\",\"billing\":{\"street\":"
		  "\"s\","
		  "\"country\":\"DE\"},\"shipping\":{\"street\":\"h\",\"country\":\"FR\"},"
		  "\"lines\":["
		  "{\"sku\":\"a\",\"quantity\":2}],\"tags\":[\"x\",\"y\"],\"numbers\":[],"
		  "\"labels\":"
		  "{},\"places\":{},\"extra\":7,\"note\":\"\"}"));
	EXPECT(str_find(encode(&order_schema, SCHEMA_ALL, &order), S("\"password\":\"p\"")) > 0);
	stop();
}

TEST(schema_encode_back)
{
	static const struct {
		const struct schema *schema;
		struct str json;
	} cases[] = {
		{ &flag_schema, S_INIT("{\"key\":\"a\",\"description\":\"\",\"enabled\":true,"
				       "\"rollout\":-0,"
				       "\"state\":\"live\",\"weight\":0.25,\"createdAt\":\"2026-11-"
				       "20T08:15:"
				       "30.123Z\",\"version\":-9223372036854775808}") },
		{ &flag_patch_schema, S_INIT("{}") },
		{ &flag_patch_schema,
			S_INIT("{\"description\":null,\"enabled\":true,\"rollout\":4,\"weight\":"
			       "null,"
			       "\"state\":\"closed\",\"endsAt\":\"1969-12-31T23:59:59.999Z\"}") },
		{ &drawing_schema,
			S_INIT("{\"main\":{\"kind\":\"nothing\"},\"shapes\":[{\"kind\":\"square\","
			       "\"side\":1e-7,\"colour\":\"red\"},{\"kind\":\"circle\",\"radius\":"
			       "1000}]}") },
		{ &comment_schema, S_INIT("{\"text\":\"\\\"\",\"replies\":[{\"text\":\"b\","
					  "\"replies\":[]}]}") },
	};
	char space[sizeof(struct order)];

	start();
	for (size_t i = 0; i < LEN(cases); i++) {
		struct str wanted = cases[i].json;

		problems_init(&problems, &arena);
		EXPECT_INT(schema_decode(
				   cases[i].schema, SCHEMA_ALL, wanted, &arena, &problems, space),
			0);
		if (i == 0) { /* -0 is 0 */
			ptrdiff_t zero = str_find(wanted, S("-0,"));

			wanted = arena_printf(&arena, "%.*s%.*s",
				STR_ARG(str_first(wanted, (size_t)zero)),
				STR_ARG(str_from(wanted, (size_t)zero + 1)));
		}
		EXPECT_STR(encode(cases[i].schema, SCHEMA_ALL, space), wanted);
	}
	stop();
}

/* --- failing memory ------------------------------------------------------------- */

#ifdef BULKHEAD_FAULTS
static const char torture_json[] =
	"{\"billing\":{\"street\":\"\\u0041\",\"country\":\"DE\"},\"shipping\":{\"street\":\"b\","
	"\"country\":\"FR\"},\"lines\":[{\"sku\":\"a\",\"quantity\":1},{\"sku\":\"b\",\"quantity\":"
	"2}],\"tags\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"a\"],\"labels\":{\"q\":\"1\"},\"x\":1}";

TEST(schema_decode_torture)
{
	struct order order;
	size_t n;
	int r = -ERR_NO_MEMORY;

	start();
	for (n = 1; n < 1000; n++) {
		struct arena small;

		arena_init(&small, 64, MEGABYTE); /* a chunk for nearly each allocation */
		problems_init(&problems, &small);
		fault_arm(FAULT_MEMORY, n);
		r = schema_decode(
			&order_schema, SCHEMA_INPUT, S(torture_json), &small, &problems, &order);
		if (!fault_struck(FAULT_MEMORY)) {
			EXPECT_INT(problems.count, 2);
			arena_done(&small);
			break;
		}
		EXPECT_INT(r, -ERR_NO_MEMORY);
		arena_done(&small);
	}
	fault_arm(FAULT_MEMORY, 0);
	EXPECT(n > 5 && n < 1000);
	EXPECT_INT(r, -ERR_INVALID);
	stop();
}

TEST(schema_compile_torture)
{
	int r = -1;
	size_t n;

	for (n = 1; n < 1000 && r != 0; n++) {
		fault_arm(FAULT_MEMORY, n);
		r = schema_compile_all(sample_schemas, sample_count);
		if (r == 0)
			break;
		EXPECT_INT(r, -ERR_NO_MEMORY);
		EXPECT_INT(mem_used(), 0);
	}
	EXPECT(n > 5 && n < 1000);
	fault_arm(FAULT_MEMORY, 0);
	for (size_t i = 0; r == 0 && i < sample_count; i++)
		schema_release(sample_schemas[i]);
	EXPECT_INT(mem_used(), 0);
}
#endif

TEST(schema_decode_arena_limit)
{
	struct order order;
	struct arena small;

	start();
	arena_init(&small, 64, 300);
	problems_init(&problems, &small);
	EXPECT_INT(schema_decode(&order_schema, SCHEMA_INPUT,
			   S("{\"tags\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\"]}"),
			   &small, &problems, &order),
		-ERR_TOO_LARGE);
	arena_done(&small);
	stop();
}
