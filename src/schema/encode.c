/* Walks the plan over the struct; the writer bounds the depth. */
#include "schema/encode.h"

#include "base/time_text.h"
#include "schema/decode_value.h"
#include "schema/encode_value.h"

/* NOLINTBEGIN(misc-no-recursion): by the writer's levels */
static void encode_members(
	struct encoder *encoder, const struct schema_plan *plan, const char *base);

bool value_missing(const struct node *node, const char *from)
{
	struct str text;
	void *pointer;

	if (node->optional)
		return !*(const bool *)from;

	switch (node->kind) {
	case NODE_TEXT: memcpy(&text, from, sizeof(text)); return node->omit_empty && text.len == 0;
	case NODE_RAW: return ((const struct json_value *)from)->json.len == 0;
	case NODE_POINTER:
		memcpy(&pointer, from, sizeof(pointer));
		return !pointer && !(node->flags & NULLABLE);
	default: return false;
	}
}

static void encode_text(const struct encoder *encoder, struct str text)
{
	if (encoder->log && text.len > SCHEMA_LOG_TEXT)
		text.len = SCHEMA_LOG_TEXT;
	json_write_string(encoder->writer, text);
}

static void encode_time(const struct encoder *encoder, int64_t time_us)
{
	char text[TIME_RFC3339_LEN];

	time_write_rfc3339(text, time_us);
	json_write_string(encoder->writer, str_of(text, sizeof(text)));
}

static void encode_choice(const struct encoder *encoder, const struct node *node, int position)
{
	CHECK(position >= 0 && (size_t)position < node->choices.count);
	json_write_string(encoder->writer, node->choices.at[position]);
}

static void encode_raw(const struct encoder *encoder, struct str json)
{
	if (encoder->log)
		json_write_u64(encoder->writer, json.len);
	else
		json_write_raw(encoder->writer, json);
}

static void encode_struct(struct encoder *encoder, const struct schema_plan *plan, const char *base)
{
	struct json_writer *writer = encoder->writer;
	const struct member *chosen;
	int position;

	json_write_object(writer);
	if (!plan->tag) {
		encode_members(encoder, plan, base);
	} else {
		position = *(const int *)(base + plan->tag->offset);
		json_write_key(writer, plan->tag->name);
		encode_choice(encoder, &plan->tag->node, position);
		chosen = &plan->members[position];
		if (chosen->node.nested)
			encode_members(encoder, chosen->node.nested, base + chosen->offset);
	}
	json_write_object_end(writer);
}

static void encode_pointer(struct encoder *encoder, const struct node *node, const char *from)
{
	const char *pointer;

	memcpy(&pointer, from, sizeof(pointer));
	if (pointer)
		encode_struct(encoder, node->nested, pointer);
	else
		json_write_null(encoder->writer);
}

static void encode_many(struct encoder *encoder, const struct node *node, const char *from)
{
	struct json_writer *writer = encoder->writer;
	bool list = node->kind == NODE_LIST;
	struct many many;
	size_t count;

	memcpy(&many, from, sizeof(many));
	count = encoder->log ? MIN(many.count, (size_t)SCHEMA_LOG_ITEMS) : many.count;
	if (list)
		json_write_array(writer);
	else
		json_write_object(writer);
	for (size_t i = 0; i < count; i++) {
		const char *item = many.at + i * node->many.stride;

		if (!list)
			json_write_key(writer, *(const struct str *)item);
		encode_value(encoder, node->item, item + node->many.value_offset);
	}
	if (list)
		json_write_array_end(writer);
	else
		json_write_object_end(writer);
}

void encode_value(struct encoder *encoder, const struct node *node, const char *from)
{
	struct json_writer *writer = encoder->writer;
	const char *value = from + node->inner;

	if (node->optional && ((const bool *)from)[1]) {
		json_write_null(writer);
		return;
	}

	switch (node->kind) {
	case NODE_TEXT: encode_text(encoder, *(const struct str *)value); return;
	case NODE_BOOL: json_write_bool(writer, *(const bool *)value); return;
	case NODE_ENUM: encode_choice(encoder, node, *(const int *)value); return;
	case NODE_INTEGER: json_write_i64(writer, *(const int64_t *)value); return;
	case NODE_NUMBER: json_write_double(writer, *(const double *)value); return;
	case NODE_TIME: encode_time(encoder, *(const int64_t *)value); return;
	case NODE_RAW: encode_raw(encoder, ((const struct json_value *)value)->json); return;
	case NODE_STRUCT: encode_struct(encoder, node->nested, value); return;
	case NODE_POINTER: encode_pointer(encoder, node, value); return;
	default: encode_many(encoder, node, value); return;
	}
}

/* The value goes to a text of its own, which the redactor takes. */
static void encode_personal(struct encoder *encoder, const struct node *node, const char *from)
{
	struct schema_redactor *redactor = encoder->redactor;
	struct json_writer *outer = encoder->writer, inner;
	int r;

	buf_reset(&redactor->value);
	json_writer_init(&inner, &redactor->value);
	encoder->writer = &inner;
	encoder->personal = true;
	encode_value(encoder, node, from);
	encoder->personal = false;
	encoder->writer = outer;

	r = json_writer_done(&inner);
	if (r < 0 && !outer->buf->failed)
		outer->buf->failed = r;
	redactor->personal(redactor, buf_str(&redactor->value), outer);
}

static void encode_members(
	struct encoder *encoder, const struct schema_plan *plan, const char *base)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct member *member = &plan->members[i];
		const char *from = base + member->offset;

		if (member->node.flags & WRITE_ONLY && encoder->mode == SCHEMA_OUTPUT)
			continue;
		if (member->node.flags & SECRET && encoder->redactor)
			continue;
		if (value_missing(&member->node, from))
			continue;
		json_write_key(encoder->writer, member->name);
		if (encoder->log && member->node.flags & SECRET)
			json_write_string(encoder->writer, S("[secret]"));
		else if (encoder->redactor && member->node.flags & PERSONAL && !encoder->personal)
			encode_personal(encoder, &member->node, from);
		else
			encode_value(encoder, &member->node, from);
	}
}

/* NOLINTEND(misc-no-recursion) */

void schema_encode(const struct schema *schema, enum schema_mode mode, const void *in,
	struct json_writer *writer)
{
	struct encoder encoder = { .writer = writer, .mode = mode };

	CHECK(mode == SCHEMA_OUTPUT || mode == SCHEMA_ALL);
	encode_struct(&encoder, plan_of(schema), in);
}

void schema_log(const struct schema *schema, const void *in, struct json_writer *writer)
{
	struct encoder encoder = { .writer = writer, .mode = SCHEMA_ALL, .log = true };

	encode_struct(&encoder, plan_of(schema), in);
}

void schema_redact(const struct schema *schema, const void *in, struct schema_redactor *redactor,
	struct json_writer *writer)
{
	struct encoder encoder = { .writer = writer, .mode = SCHEMA_OUTPUT, .redactor = redactor };

	encode_struct(&encoder, plan_of(schema), in);
}
