/*
 * Decoding by a table that has every kind of member. The first byte chooses the mode. What is taken
 * must be encoded and decoded again to the same text; what is refused must have problems.
 */
#include "base/buf.h"
#include "base/err.h"
#include "schema/decode.h"
#include "schema/encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct dot {
	double x, y;
};

struct label {
	struct str text;
};

struct mark {
	enum { MARK_DOT, MARK_LABEL, MARK_NONE } kind;
	union {
		struct dot dot;
		struct label label;
	};
};

struct thing {
	struct str name, email, id;
	bool on;
	int64_t count, made_at;
	double share;
	int state;
	struct opt_str note;
	struct opt_i64 ends_at;
	struct opt_bool maybe;
	struct json_value extra;
	struct mark mark;
	struct thing *inner;
	LIST_OF(struct thing) parts;
	LIST_OF(struct str) tags;
	LIST_OF(double) numbers;
	MAP_OF(struct mark) marks;
};

/* clang-format off */
static const struct schema dot_schema = SCHEMA(dot, "A place.",
	FIELD(dot, x, "Across.", BOUNDS(-1, 1)),
	FIELD(dot, y, "Up.", .if_missing = "0.5"));
static const struct schema label_schema = SCHEMA(label, "Words.",
	FIELD(label, text, "The words.", .flags = REQUIRED | MULTILINE));
static const struct schema mark_schema = UNION(mark, kind, "A mark.",
	CASE(mark, dot, &dot_schema),
	CASE(mark, label, &label_schema),
	BARE_CASE(none));
static const struct schema thing_schema = SCHEMA(thing, "A thing.",
	FIELD(thing, name, "Its name.", .flags = REQUIRED, RANGE(1, 20), .pattern = "([a-z]+-?)+"),
	FIELD(thing, email, "Whose.", .format = FORMAT_EMAIL),
	FIELD(thing, id, "Its id.", .format = FORMAT_UUID),
	FIELD(thing, on, "Runs.", .if_missing = "true"),
	FIELD(thing, count, "How many.", RANGE(-10, 1000000)),
	FIELD(thing, made_at, "When.", .format = FORMAT_DATE_TIME, .flags = READ_ONLY),
	FIELD(thing, share, "Of all."),
	FIELD(thing, state, "How.", CHOICES("new", "old")),
	FIELD(thing, note, "For people.", .flags = NULLABLE | ANY_TEXT),
	FIELD(thing, ends_at, "Until.", .flags = NULLABLE, .format = FORMAT_DATE_TIME),
	FIELD(thing, maybe, "Perhaps."),
	FIELD(thing, extra, "Anything."),
	FIELD(thing, mark, "On it.", .nested = &mark_schema),
	FIELD(thing, inner, "In it.", .flags = NULLABLE, .nested = &thing_schema),
	LIST(thing, parts, "Of it.", RANGE(0, 5), .nested = &thing_schema),
	LIST(thing, tags, "On it.", .flags = UNIQUE, .item = RULES(RANGE(0, 9))),
	LIST(thing, numbers, "Of it.", .flags = UNIQUE),
	MAP(thing, marks, "By name.", .nested = &mark_schema, .key = RULES(RANGE(1, 9))));
/* clang-format on */

static void encode(const struct thing *thing, struct buf *buf)
{
	struct json_writer writer;

	buf_init(buf, 16 * MEGABYTE);
	json_writer_init(&writer, buf);
	schema_encode(&thing_schema, SCHEMA_ALL, thing, &writer);
	CHECK(json_writer_done(&writer) == 0);
}

static void check_back(const struct thing *thing, struct arena *arena)
{
	struct problems problems;
	struct thing again;
	struct buf first, second, log;
	struct json_writer writer;

	encode(thing, &first);
	problems_init(&problems, arena);
	CHECK(schema_decode(&thing_schema, SCHEMA_ALL, buf_str(&first), arena, &problems, &again) ==
		0);
	encode(&again, &second);
	CHECK(str_eq(buf_str(&first), buf_str(&second)));

	buf_init(&log, 16 * MEGABYTE);
	json_writer_init(&writer, &log);
	schema_log(&thing_schema, thing, &writer);
	CHECK(json_writer_done(&writer) == 0);
	buf_done(&log);
	buf_done(&first);
	buf_done(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct problems problems;
	struct thing thing;
	struct arena arena;
	int r;

	if (!thing_schema.slot->plan)
		CHECK(schema_compile(&thing_schema) == 0);
	if (size == 0)
		return 0;

	arena_init(&arena, 64 * KILOBYTE, 64 * MEGABYTE);
	problems_init(&problems, &arena);
	r = schema_decode(&thing_schema, data[0] & 1 ? SCHEMA_ALL : SCHEMA_INPUT,
		str_of((const char *)data + 1, size - 1), &arena, &problems, &thing);
	CHECK((r == -ERR_INVALID) == (problems.count > 0) || r == -ERR_TOO_LARGE);
	if (r == 0)
		check_back(&thing, &arena);
	arena_done(&arena);
	return 0;
}
