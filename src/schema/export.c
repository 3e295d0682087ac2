/* Walks the plan, not the struct: what is written comes from the rules that decoding uses. */
#include "schema/export.h"

#include "base/buf.h"
#include "schema/encode_value.h"
#include "schema/plan.h"

#include <float.h>

struct exporter {
	struct json_writer *writer;
	enum schema_mode mode;
	bool openapi; /* references go to components, unions have a discriminator */
};

static void write_node(const struct exporter *exporter, const struct node *node);

/* --- small words ------------------------------------------------------------------ */

static void write_text(const struct exporter *exporter, struct str key, struct str value)
{
	json_write_key(exporter->writer, key);
	json_write_string(exporter->writer, value);
}

static void write_true(const struct exporter *exporter, struct str key)
{
	json_write_key(exporter->writer, key);
	json_write_bool(exporter->writer, true);
}

/* Bounds of a length or number of things; a least of 0 says nothing. */
static void write_counts(
	const struct exporter *exporter, struct str least, struct str most, size_t min, size_t max)
{
	if (min > 0) {
		json_write_key(exporter->writer, least);
		json_write_u64(exporter->writer, min);
	}
	json_write_key(exporter->writer, most);
	json_write_u64(exporter->writer, max);
}

static void write_type(const struct exporter *exporter, const struct node *node, struct str type)
{
	struct json_writer *writer = exporter->writer;

	json_write_key(writer, S("type"));
	if (!(node->flags & NULLABLE)) {
		json_write_string(writer, type);
		return;
	}
	json_write_array(writer);
	json_write_string(writer, type);
	json_write_string(writer, S("null"));
	json_write_array_end(writer);
}

/* --- values ----------------------------------------------------------------------- */

static void write_choices(const struct exporter *exporter, const struct node *node)
{
	json_write_key(exporter->writer, S("enum"));
	json_write_array(exporter->writer);
	for (size_t i = 0; i < node->choices.count; i++)
		json_write_string(exporter->writer, node->choices.at[i]);
	if (node->flags & NULLABLE)
		json_write_null(exporter->writer);
	json_write_array_end(exporter->writer);
}

static void write_text_rules(const struct exporter *exporter, const struct node *node)
{
	const struct text_rule *rule = &node->text;
	struct buf pattern;

	if (node->choices.count) {
		write_choices(exporter, node);
		return;
	}
	write_counts(exporter, S("minLength"), S("maxLength"), rule->min, rule->max);
	if (rule->format)
		write_text(exporter, S("format"), format_info(rule->format)->name);
	if (rule->pattern) {
		buf_init(&pattern, PATTERN_MAX + 16);
		buf_append(&pattern, S("^(?:"));
		buf_append(&pattern, pattern_source(rule->pattern));
		buf_append(&pattern, S(")$"));
		if (pattern.failed)
			exporter->writer->buf->failed = pattern.failed;
		write_text(exporter, S("pattern"), buf_str(&pattern));
		buf_done(&pattern);
	}
}

static void write_integer_rules(const struct exporter *exporter, const struct integer_rule *rule)
{
	if (exporter->openapi && rule->min == INT64_MIN && rule->max == INT64_MAX) {
		write_text(exporter, S("format"), S("int64"));
		return;
	}
	json_write_key(exporter->writer, S("minimum"));
	json_write_i64(exporter->writer, rule->min);
	json_write_key(exporter->writer, S("maximum"));
	json_write_i64(exporter->writer, rule->max);
}

static void write_number_rules(const struct exporter *exporter, const struct number_rule *rule)
{
	if (rule->min == -DBL_MAX && rule->max == DBL_MAX)
		return;
	json_write_key(exporter->writer, S("minimum"));
	json_write_double(exporter->writer, rule->min);
	json_write_key(exporter->writer, S("maximum"));
	json_write_double(exporter->writer, rule->max);
}

static void write_reference(const struct exporter *exporter, const struct schema_plan *plan)
{
	struct buf text;

	buf_init(&text, 4 * KILOBYTE);
	buf_append(&text, exporter->openapi ? S("#/components/schemas/") : S("#/$defs/"));
	buf_append(&text, plan->name);
	if (text.failed)
		exporter->writer->buf->failed = text.failed;
	write_text(exporter, S("$ref"), buf_str(&text));
	buf_done(&text);
}

static void write_nested(const struct exporter *exporter, const struct node *node)
{
	struct json_writer *writer = exporter->writer;

	if (!(node->flags & NULLABLE)) {
		write_reference(exporter, node->nested);
		return;
	}
	json_write_key(writer, S("anyOf"));
	json_write_array(writer);
	json_write_object(writer);
	write_reference(exporter, node->nested);
	json_write_object_end(writer);
	json_write_object(writer);
	write_text(exporter, S("type"), S("null"));
	json_write_object_end(writer);
	json_write_array_end(writer);
}

/* NOLINTBEGIN(misc-no-recursion): items and values of a list or map are never lists or maps */
static void write_object_of(
	const struct exporter *exporter, struct str key, const struct node *node)
{
	json_write_key(exporter->writer, key);
	json_write_object(exporter->writer);
	write_node(exporter, node);
	json_write_object_end(exporter->writer);
}

static void write_list(const struct exporter *exporter, const struct node *node)
{
	write_type(exporter, node, S("array"));
	write_object_of(exporter, S("items"), node->item);
	write_counts(exporter, S("minItems"), S("maxItems"), node->many.min, node->many.max);
	if (node->flags & UNIQUE)
		write_true(exporter, S("uniqueItems"));
}

static void write_map(const struct exporter *exporter, const struct node *node)
{
	write_type(exporter, node, S("object"));
	write_object_of(exporter, S("additionalProperties"), node->item);
	json_write_key(exporter->writer, S("propertyNames"));
	json_write_object(exporter->writer);
	write_text_rules(exporter, node->key);
	json_write_object_end(exporter->writer);
	write_counts(
		exporter, S("minProperties"), S("maxProperties"), node->many.min, node->many.max);
}

/* The members of the schema object of a value. */
static void write_node(const struct exporter *exporter, const struct node *node)
{
	switch (node->kind) {
	case NODE_TEXT:
		write_type(exporter, node, S("string"));
		write_text_rules(exporter, node);
		return;
	case NODE_BOOL: write_type(exporter, node, S("boolean")); return;
	case NODE_ENUM:
		write_type(exporter, node, S("string"));
		write_choices(exporter, node);
		return;
	case NODE_INTEGER:
		write_type(exporter, node, S("integer"));
		write_integer_rules(exporter, &node->integer);
		return;
	case NODE_NUMBER:
		write_type(exporter, node, S("number"));
		write_number_rules(exporter, &node->number);
		return;
	case NODE_TIME:
		write_type(exporter, node, S("string"));
		write_text(exporter, S("format"), S("date-time"));
		return;
	case NODE_LIST: write_list(exporter, node); return;
	case NODE_MAP: write_map(exporter, node); return;
	case NODE_STRUCT:
	case NODE_POINTER: write_nested(exporter, node); return;
	default: return; /* raw JSON: anything */
	}
}
/* NOLINTEND(misc-no-recursion) */

/* --- members ---------------------------------------------------------------------- */

static void write_example(const struct exporter *exporter, const struct member *member)
{
	struct str example = str_from_c(member->field->example);
	enum node_kind kind = member->node.kind;

	json_write_key(exporter->writer, S("examples"));
	json_write_array(exporter->writer);
	if (kind == NODE_TEXT || kind == NODE_ENUM || kind == NODE_TIME)
		json_write_string(exporter->writer, example);
	else
		json_write_raw(exporter->writer, example);
	json_write_array_end(exporter->writer);
}

static void write_member(const struct exporter *exporter, const struct member *member)
{
	struct encoder encoder = { .writer = exporter->writer, .mode = SCHEMA_ALL };

	json_write_object(exporter->writer);
	write_node(exporter, &member->node);
	write_text(exporter, S("description"), str_from_c(member->field->text));
	if (member->preset && exporter->mode != SCHEMA_OUTPUT) {
		json_write_key(exporter->writer, S("default"));
		encode_value(&encoder, &member->node, member->preset);
	}
	if (member->field->example)
		write_example(exporter, member);
	if (member->node.flags & READ_ONLY)
		write_true(exporter, S("readOnly"));
	if (member->node.flags & WRITE_ONLY)
		write_true(exporter, S("writeOnly"));
	json_write_object_end(exporter->writer);
}

static bool takes_part(const struct exporter *exporter, const struct member *member)
{
	if (exporter->mode == SCHEMA_OUTPUT)
		return !(member->node.flags & WRITE_ONLY);
	/* What comes otherwise is no part of a body, which would be refused with it. */
	return member->from == FROM_BODY &&
	       !(exporter->mode == SCHEMA_INPUT && member->node.flags & READ_ONLY);
}

/* True when encoding always writes it. */
static bool is_always_there(const struct node *node)
{
	return !node->optional && !node->omit_empty && node->kind != NODE_RAW &&
	       !(node->kind == NODE_POINTER && !(node->flags & NULLABLE));
}

static bool is_required(const struct exporter *exporter, const struct schema_plan *plan,
	const struct member *member)
{
	bool in = seen_has(&plan->required, member_index(plan, member));
	bool out = is_always_there(&member->node);

	if (exporter->mode == SCHEMA_OUTPUT)
		return out;
	return in || (exporter->mode == SCHEMA_ALL && out && member->node.flags & READ_ONLY);
}

/* An object's members; `tag` and its value stand before them in a case of a union. */
static void write_members(const struct exporter *exporter, const struct schema_plan *plan,
	struct str tag, struct str value)
{
	struct json_writer *writer = exporter->writer;

	write_text(exporter, S("type"), S("object"));
	json_write_key(writer, S("properties"));
	json_write_object(writer);
	if (tag.at) {
		json_write_key(writer, tag);
		json_write_object(writer);
		write_text(exporter, S("const"), value);
		json_write_object_end(writer);
	}
	for (size_t i = 0; plan && i < plan->count; i++)
		if (takes_part(exporter, &plan->members[i])) {
			json_write_key(writer, plan->members[i].name);
			write_member(exporter, &plan->members[i]);
		}
	json_write_object_end(writer);

	json_write_key(writer, S("required"));
	json_write_array(writer);
	if (tag.at)
		json_write_string(writer, tag);
	for (size_t i = 0; plan && i < plan->count; i++)
		if (takes_part(exporter, &plan->members[i]) &&
			is_required(exporter, plan, &plan->members[i]))
			json_write_string(writer, plan->members[i].name);
	json_write_array_end(writer);
	if (exporter->mode != SCHEMA_OUTPUT) {
		json_write_key(writer, S("additionalProperties"));
		json_write_bool(writer, false);
	}
}

static void write_union(const struct exporter *exporter, const struct schema_plan *plan)
{
	struct json_writer *writer = exporter->writer;

	json_write_key(writer, S("oneOf"));
	json_write_array(writer);
	for (size_t i = 0; i < plan->count; i++) {
		json_write_object(writer);
		write_members(exporter, plan->members[i].node.nested, plan->tag->name,
			plan->members[i].name);
		json_write_object_end(writer);
	}
	json_write_array_end(writer);
	if (exporter->openapi) {
		json_write_key(writer, S("discriminator"));
		json_write_object(writer);
		write_text(exporter, S("propertyName"), plan->tag->name);
		json_write_object_end(writer);
	}
}

/* The members of a table's schema object. */
static void write_plan(const struct exporter *exporter, const struct schema_plan *plan)
{
	write_text(exporter, S("description"), str_from_c(plan->schema->text));
	if (plan->tag)
		write_union(exporter, plan);
	else
		write_members(exporter, plan, str_of(NULL, 0), str_of(NULL, 0));
}

/* --- whole tables ------------------------------------------------------------------ */

struct str schema_name(const struct schema *schema)
{
	return plan_of(schema)->name;
}

void schema_each(const struct schema *schema, void (*visit)(const struct schema *schema, void *arg),
	void *arg)
{
	const struct schema_plan *own = plan_of(schema), *plan;

	visit(schema, arg);
	for (plan = own->owner->plans; plan; plan = plan->next)
		if (plan != own)
			visit(plan->schema, arg);
}

void schema_write_component(
	const struct schema *schema, enum schema_mode mode, struct json_writer *writer)
{
	struct exporter exporter = { writer, mode, true };

	json_write_object(writer);
	write_plan(&exporter, plan_of(schema));
	json_write_object_end(writer);
}

void schema_write_document(
	const struct schema *schema, enum schema_mode mode, struct json_writer *writer)
{
	struct exporter exporter = { writer, mode, false };
	const struct schema_plan *own = plan_of(schema), *plan;

	json_write_object(writer);
	write_text(&exporter, S("$schema"), S("https://json-schema.org/draft/2020-12/schema"));
	write_reference(&exporter, own);
	json_write_key(writer, S("$defs"));
	json_write_object(writer);
	for (plan = own->owner->plans; plan; plan = plan->next) {
		json_write_key(writer, plan->name);
		json_write_object(writer);
		write_plan(&exporter, plan);
		json_write_object_end(writer);
	}
	json_write_object_end(writer);
	json_write_object_end(writer);
}

void schema_write_parameters(const struct schema *schema, struct json_writer *writer)
{
	static const struct str places[] = { [FROM_PATH] = S_INIT("path"),
		[FROM_QUERY] = S_INIT("query"),
		[FROM_HEADER] = S_INIT("header") };
	struct exporter exporter = { writer, SCHEMA_INPUT, true };
	const struct schema_plan *plan = plan_of(schema);

	for (size_t i = 0; i < plan->count; i++) {
		const struct member *member = &plan->members[i];

		if (member->from == FROM_BODY)
			continue;
		json_write_object(writer);
		write_text(&exporter, S("name"), member->name);
		write_text(&exporter, S("in"), places[member->from]);
		json_write_key(writer, S("required"));
		json_write_bool(writer, seen_has(&plan->required, i));
		json_write_key(writer, S("schema"));
		write_member(&exporter, member);
		json_write_object_end(writer);
	}
}
