/* Columns to members and back. What the database holds was checked when it came in; here only its
 * kind is. */
#include "schema/row.h"

#include "base/err.h"
#include "schema/decode_value.h"
#include "schema/encode_value.h"

enum { UUID_TEXT_LEN = 36, JSON_COLUMN_MAX = 16 * 1024 * 1024 };

static const char *const kind_names[] = { "NULL", "a bool", "an integer", "a time", "a real",
	"text", "a UUID", "JSON" };

static const struct member *column_of(const struct schema *schema, size_t column)
{
	const struct schema_plan *plan = plan_of(schema);

	CHECK(!plan->tag && column < plan->count);
	return &plan->members[column];
}

size_t row_count(const struct schema *schema)
{
	return schema->count;
}

struct str row_name(const struct schema *schema, size_t column)
{
	return str_from_c(column_of(schema, column)->field->member);
}

struct str row_wire_name(const struct schema *schema, size_t column)
{
	return column_of(schema, column)->name;
}

ptrdiff_t row_find(const struct schema *schema, struct str name)
{
	for (size_t i = 0; i < schema->count; i++)
		if (str_eq(name, str_from_c(schema->fields[i].member)))
			return (ptrdiff_t)i;
	return -1;
}

static enum row_kind kind_of(const struct node *node)
{
	switch (node->kind) {
	case NODE_TEXT: return node->text.format == FORMAT_UUID ? ROW_UUID : ROW_TEXT;
	case NODE_ENUM: return ROW_TEXT;
	case NODE_BOOL: return ROW_BOOL;
	case NODE_INTEGER: return ROW_INTEGER;
	case NODE_TIME: return ROW_TIME;
	case NODE_NUMBER: return ROW_REAL;
	default: return ROW_JSON;
	}
}

enum row_kind row_kind(const struct schema *schema, size_t column)
{
	return kind_of(&column_of(schema, column)->node);
}

/* --- out of the struct ---------------------------------------------------------- */

static int get_json(
	const struct node *node, const char *from, struct arena *arena, struct row_value *ret)
{
	struct json_writer writer;
	struct encoder encoder = { .writer = &writer, .mode = SCHEMA_ALL };
	struct str text = { 0 };
	struct buf buf;
	int r;

	if (node->kind == NODE_RAW) {
		*ret = (struct row_value){ ROW_JSON,
			.text = ((const struct json_value *)from)->json };
		return 0;
	}

	buf_init(&buf, JSON_COLUMN_MAX);
	json_writer_init(&writer, &buf);
	encode_value(&encoder, node, from);
	r = json_writer_done(&writer);
	if (r == 0) {
		text = arena_str(arena, buf_str(&buf));
		r = text.at ? 0 : -(int)err_last()->code;
	}
	buf_done(&buf);
	if (r == 0)
		*ret = (struct row_value){ ROW_JSON, .text = text };
	return r;
}

static int get_text(const struct schema *schema, const struct member *member, struct str text,
	struct row_value *ret)
{
	struct row_value value = { ROW_TEXT, .text = text };

	if (kind_of(&member->node) == ROW_UUID) {
		value.kind = ROW_UUID;
		if (!format_read_uuid(text, value.uuid))
			return fail(ERR_INTERNAL, "%s.%s is no UUID", schema->type,
				member->field->member);
	}
	*ret = value;
	return 0;
}

/* True when the column is NULL: not there, null, or a pointer to nothing. */
static bool is_null(const struct node *node, const char *from)
{
	void *pointer;

	if (value_missing(node, from) || (node->optional && ((const bool *)from)[1]))
		return true;
	memcpy(&pointer, from, node->kind == NODE_POINTER ? sizeof(pointer) : 0);
	return node->kind == NODE_POINTER && !pointer;
}

int row_get(const struct schema *schema, size_t column, const void *in, struct arena *arena,
	struct row_value *ret)
{
	const struct member *member = column_of(schema, column);
	const struct node *node = &member->node;
	const char *from = (const char *)in + member->offset, *value = from + node->inner;

	if (is_null(node, from)) {
		*ret = (struct row_value){ ROW_NULL };
		return 0;
	}

	switch (node->kind) {
	case NODE_TEXT: return get_text(schema, member, *(const struct str *)value, ret);
	case NODE_BOOL:
		*ret = (struct row_value){ ROW_BOOL, .boolean = *(const bool *)value };
		return 0;
	case NODE_INTEGER:
	case NODE_TIME:
		*ret = (struct row_value){ kind_of(node), .integer = *(const int64_t *)value };
		return 0;
	case NODE_NUMBER:
		*ret = (struct row_value){ ROW_REAL, .real = *(const double *)value };
		return 0;
	case NODE_ENUM:
		CHECK(*(const int *)value >= 0 &&
			(size_t) * (const int *)value < node->choices.count);
		*ret = (struct row_value){ ROW_TEXT,
			.text = node->choices.at[*(const int *)value] };
		return 0;
	default: return get_json(node, from, arena, ret);
	}
}

/* --- into the struct ------------------------------------------------------------ */

/* Decodes JSON of a column with the engine, as one value. */
static int set_json(const struct member *member, struct str json, struct arena *arena,
	struct problems *problems, char *to)
{
	struct decoder decoder = { .arena = arena, .mode = SCHEMA_ALL };
	struct path whole = { 0 }, here = { .up = &whole, .name = member->name };
	struct json_reader reader;
	int event;

	decoder.report = (struct report){ arena, problems, 0 };
	decoder.reader = &reader;
	decoder.document = json;
	matcher_init(&decoder.matcher, arena);
	json_reader_init(&reader, json, arena, NULL);
	event = json_next(&reader);
	if (event >= 0)
		event = decode_value(&decoder, &member->node, &here, event, to);
	return event < 0 ? event : json_next(&reader);
}

static int mismatch(
	const struct schema *schema, const struct member *member, const struct row_value *value)
{
	return fail(ERR_INTERNAL, "column %s.%s should be %s, but is %s", schema->type,
		member->field->member, kind_names[kind_of(&member->node)], kind_names[value->kind]);
}

/* Text, a UUID or JSON: copied. The text of a UUID is made. */
static struct str copy_text(const struct row_value *value, struct arena *arena)
{
	char text[UUID_TEXT_LEN];

	if (value->kind != ROW_UUID)
		return arena_str(arena, value->text);
	format_write_uuid(text, value->uuid);
	return arena_str(arena, str_of(text, sizeof(text)));
}

static int set_json_column(const struct schema *schema, const struct member *member,
	const struct row_value *value, struct arena *arena, char *to)
{
	struct str json = copy_text(value, arena);
	struct problems problems;
	int r;

	if (!json.at)
		return -(int)err_last()->code;
	problems_init(&problems, arena);
	r = set_json(member, json, arena, &problems, to);
	if (r == -ERR_INVALID)
		return fail(ERR_INTERNAL, "column %s.%s is no JSON", schema->type,
			member->field->member);
	if (r == 0 && problems.count)
		return fail(ERR_INTERNAL, "column %s.%s: %.*s %.*s", schema->type,
			member->field->member, STR_ARG(problems.at[0].field),
			STR_ARG(problems.at[0].message));
	return r;
}

/* Scalars by kind; true when the value's kind fits. */
static bool set_number(const struct node *node, const struct row_value *value, char *to)
{
	bool integer = value->kind == ROW_INTEGER || value->kind == ROW_TIME;

	if (node->kind == NODE_BOOL) {
		bool bit = integer && (value->integer == 0 || value->integer == 1);

		if (value->kind != ROW_BOOL && !bit)
			return false;
		*(bool *)to = bit ? value->integer == 1 : value->boolean;
		return true;
	}
	if (node->kind == NODE_NUMBER && (integer || value->kind == ROW_REAL)) {
		*(double *)to = integer ? (double)value->integer : value->real;
		return true;
	}
	if (node->kind == NODE_NUMBER || !integer)
		return false;
	*(int64_t *)to = value->integer;
	return true;
}

static int set_scalar(const struct schema *schema, const struct member *member,
	const struct row_value *value, struct arena *arena, char *to)
{
	const struct node *node = &member->node;
	int position;

	if (node->kind != NODE_TEXT && node->kind != NODE_ENUM)
		return set_number(node, value, to) ? 0 : mismatch(schema, member, value);
	if (value->kind != ROW_TEXT && !(value->kind == ROW_UUID && kind_of(node) == ROW_UUID))
		return mismatch(schema, member, value);

	if (node->kind == NODE_ENUM) {
		position = choice_find(node->choices, value->text);
		if (position < 0)
			return fail(ERR_INTERNAL, "column %s.%s holds \"%.*s\"", schema->type,
				member->field->member, STR_ARG(str_first(value->text, 50)));
		*(int *)to = position;
		return 0;
	}
	*(struct str *)to = copy_text(value, arena);
	return ((struct str *)to)->at ? 0 : -(int)err_last()->code;
}

int row_set(const struct schema *schema, size_t column, const struct row_value *value,
	struct arena *arena, void *to)
{
	const struct member *member = column_of(schema, column);
	const struct node *node = &member->node;
	char *at = (char *)to + member->offset;
	bool *head = (bool *)at;

	memset(at, 0, node->size);
	if (value->kind == ROW_NULL) {
		if (node->optional && node->flags & NULLABLE)
			head[0] = head[1] = true;
		return 0;
	}
	if (kind_of(node) == ROW_JSON) {
		if (value->kind != ROW_JSON && value->kind != ROW_TEXT)
			return mismatch(schema, member, value);
		return set_json_column(schema, member, value, arena, at);
	}
	if (node->optional)
		head[0] = true;
	return set_scalar(schema, member, value, arena, at + node->inner);
}
