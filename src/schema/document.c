/* From plans to JSON Schema. What a node cannot tell (the text of a pattern, an example) stands in
 * the row. */
#include "schema/document.h"

#include "schema/plan.h"

#include <stdio.h>

static const struct field no_rules = { 0 };

static void write_value(const struct node *node, const struct field *rules, const char *text,
	struct json_writer *json);

/* --- names -------------------------------------------------------------- */

struct str schema_name(const struct schema *schema)
{
	return plan_of(schema)->name;
}

static void write_ref(struct str name, struct json_writer *json)
{
	char text[200];
	int len = snprintf(text, sizeof(text), "#/components/schemas/%.*s", STR_ARG(name));

	CHECK(len > 0 && (size_t)len < sizeof(text));
	json_write_key(json, S("$ref"));
	json_write_string(json, str_of(text, (size_t)len));
}

void schema_write_ref(const struct schema *schema, struct json_writer *writer)
{
	json_write_object(writer);
	write_ref(schema_name(schema), writer);
	json_write_object_end(writer);
}

/* --- pieces ------------------------------------------------------------- */

static void put_text(struct json_writer *json, struct str key, struct str value)
{
	json_write_key(json, key);
	json_write_string(json, value);
}

static void put_count(struct json_writer *json, struct str key, uint64_t value)
{
	json_write_key(json, key);
	json_write_u64(json, value);
}

static void put_true(struct json_writer *json, struct str key)
{
	json_write_key(json, key);
	json_write_bool(json, true);
}

/* "type":"string", or with null. */
static void put_type(struct json_writer *json, struct str type, const struct node *node)
{
	json_write_key(json, S("type"));
	if (!(node->flags & NULLABLE)) {
		json_write_string(json, type);
		return;
	}
	json_write_array(json);
	json_write_string(json, type);
	json_write_string(json, S("null"));
	json_write_array_end(json);
}

/* A default or an example, which stand in the row as a parameter's text. */
static void put_literal(struct json_writer *json, const struct node *node, const char *literal)
{
	struct str text = str_from_c(literal);
	bool bare =
		node->kind == NODE_BOOL || node->kind == NODE_INTEGER || node->kind == NODE_NUMBER;

	if (bare)
		json_write_raw(json, text);
	else
		json_write_string(json, text);
}

/* --- kinds -------------------------------------------------------------- */

static void write_text(const struct node *node, const struct field *rules, struct json_writer *json)
{
	put_type(json, S("string"), node);
	if (node->text.min > 0)
		put_count(json, S("minLength"), node->text.min);
	put_count(json, S("maxLength"), node->text.max);
	if (rules->format != FORMAT_NONE)
		put_text(json, S("format"), format_info(rules->format)->name);
	if (rules->pattern) {
		char pattern[1024]; /* schema_compile takes no longer ones */
		int len = snprintf(pattern, sizeof(pattern), "^(?:%s)$", rules->pattern);

		CHECK(len > 0 && (size_t)len < sizeof(pattern));
		put_text(json, S("pattern"), str_of(pattern, (size_t)len));
	}
}

static void write_choices(const struct node *node, struct json_writer *json)
{
	put_type(json, S("string"), node);
	json_write_key(json, S("enum"));
	json_write_array(json);
	for (size_t i = 0; i < node->choices.count; i++)
		json_write_string(json, node->choices.at[i]);
	if (node->flags & NULLABLE)
		json_write_null(json);
	json_write_array_end(json);
}

static void write_integer(const struct node *node, struct json_writer *json)
{
	put_type(json, S("integer"), node);
	put_text(json, S("format"), S("int64"));
	if (node->integer.min != INT64_MIN) {
		json_write_key(json, S("minimum"));
		json_write_i64(json, node->integer.min);
	}
	if (node->integer.max != INT64_MAX) {
		json_write_key(json, S("maximum"));
		json_write_i64(json, node->integer.max);
	}
}

static void write_number(
	const struct node *node, const struct field *rules, struct json_writer *json)
{
	put_type(json, S("number"), node);
	if (!rules->bounded)
		return;
	json_write_key(json, S("minimum"));
	json_write_double(json, node->number.min);
	json_write_key(json, S("maximum"));
	json_write_double(json, node->number.max);
}

static void write_list(const struct node *node, const struct field *rules, struct json_writer *json)
{
	put_type(json, S("array"), node);
	if (node->many.min > 0)
		put_count(json, S("minItems"), node->many.min);
	put_count(json, S("maxItems"), node->many.max);
	if (node->flags & UNIQUE)
		put_true(json, S("uniqueItems"));
	json_write_key(json, S("items"));
	write_value(node->item, rules->item ? rules->item : &no_rules, NULL, json);
}

static void write_map(const struct node *node, const struct field *rules, struct json_writer *json)
{
	put_type(json, S("object"), node);
	if (node->many.min > 0)
		put_count(json, S("minProperties"), node->many.min);
	put_count(json, S("maxProperties"), node->many.max);
	json_write_key(json, S("propertyNames"));
	write_value(node->key, rules->key ? rules->key : &no_rules, NULL, json);
	json_write_key(json, S("additionalProperties"));
	write_value(node->item, rules->item ? rules->item : &no_rules, NULL, json);
}

/* Null is another type than the object, and a reference has no place to say so. */
static void write_struct(const struct node *node, struct json_writer *json)
{
	if (!(node->flags & NULLABLE)) {
		write_ref(node->nested->name, json);
		return;
	}
	json_write_key(json, S("anyOf"));
	json_write_array(json);
	json_write_object(json);
	write_ref(node->nested->name, json);
	json_write_object_end(json);
	json_write_object(json);
	put_text(json, S("type"), S("null"));
	json_write_object_end(json);
	json_write_array_end(json);
}

static void write_kind(const struct node *node, const struct field *rules, struct json_writer *json)
{
	switch (node->kind) {
	case NODE_TEXT:
		if (node->choices.count)
			write_choices(node, json);
		else
			write_text(node, rules, json);
		break;
	case NODE_ENUM: write_choices(node, json); break;
	case NODE_BOOL: put_type(json, S("boolean"), node); break;
	case NODE_INTEGER: write_integer(node, json); break;
	case NODE_NUMBER: write_number(node, rules, json); break;
	case NODE_TIME:
		put_type(json, S("string"), node);
		put_text(json, S("format"), S("date-time"));
		break;
	case NODE_STRUCT:
	case NODE_POINTER: write_struct(node, json); break;
	case NODE_LIST: write_list(node, rules, json); break;
	case NODE_MAP: write_map(node, rules, json); break;
	case NODE_RAW: /* anything */
	case NODE_KINDS: break;
	}
}

/* The recursion ends at structs, which are only referred to: lists of lists are not in the tables.
 */
static void write_value(const struct node *node, const struct field *rules, const char *text,
	struct json_writer *json) /* NOLINT(misc-no-recursion) */
{
	json_write_object(json);
	write_kind(node, rules, json);
	if (text && *text)
		put_text(json, S("description"), str_from_c(text));
	if (rules->if_missing) {
		json_write_key(json, S("default"));
		put_literal(json, node, rules->if_missing);
	}
	if (rules->example) {
		json_write_key(json, S("examples"));
		json_write_array(json);
		put_literal(json, node, rules->example);
		json_write_array_end(json);
	}
	if (node->flags & READ_ONLY)
		put_true(json, S("readOnly"));
	if (node->flags & WRITE_ONLY)
		put_true(json, S("writeOnly"));
	json_write_object_end(json);
}

/* --- structs ------------------------------------------------------------ */

static void write_properties(const struct schema_plan *plan, struct json_writer *json)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct member *member = &plan->members[i];

		if (member->from != FROM_BODY)
			continue;
		json_write_key(json, member->name);
		write_value(&member->node, member->field, member->field->text, json);
	}
}

static void write_required(const struct schema_plan *plan, struct json_writer *json)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->members[i].from == FROM_BODY && seen_has(&plan->required, i))
			json_write_string(json, plan->members[i].name);
}

static void write_object(const struct schema_plan *plan, struct json_writer *json)
{
	put_text(json, S("type"), S("object"));
	put_text(json, S("description"), str_from_c(plan->schema->text));
	json_write_key(json, S("properties"));
	json_write_object(json);
	write_properties(plan, json);
	json_write_object_end(json);
	json_write_key(json, S("required"));
	json_write_array(json);
	write_required(plan, json);
	json_write_array_end(json);
	json_write_key(json, S("additionalProperties"));
	json_write_bool(json, false);
}

/* One case of a union: its members beside the tag that names it. */
static void write_case(
	const struct schema_plan *plan, const struct member *member, struct json_writer *json)
{
	const struct schema_plan *nested = member->node.nested;

	json_write_object(json);
	put_text(json, S("type"), S("object"));
	json_write_key(json, S("properties"));
	json_write_object(json);
	json_write_key(json, plan->tag->name);
	json_write_object(json);
	put_text(json, S("type"), S("string"));
	put_text(json, S("const"), member->name);
	json_write_object_end(json);
	if (nested)
		write_properties(nested, json);
	json_write_object_end(json);
	json_write_key(json, S("required"));
	json_write_array(json);
	json_write_string(json, plan->tag->name);
	if (nested)
		write_required(nested, json);
	json_write_array_end(json);
	json_write_key(json, S("additionalProperties"));
	json_write_bool(json, false);
	json_write_object_end(json);
}

static void write_union(const struct schema_plan *plan, struct json_writer *json)
{
	put_text(json, S("description"), str_from_c(plan->schema->text));
	json_write_key(json, S("oneOf"));
	json_write_array(json);
	for (size_t i = 0; i < plan->count; i++)
		write_case(plan, &plan->members[i], json);
	json_write_array_end(json);
}

const struct schema_plan *schema_plan(const struct schema *schema)
{
	return plan_of(schema);
}

const struct schema *schema_of(const struct schema_plan *plan)
{
	return plan->schema;
}

void schema_write_component(const struct schema_plan *plan, struct json_writer *writer)
{
	json_write_key(writer, plan->name);
	json_write_object(writer);
	if (plan->tag)
		write_union(plan, writer);
	else
		write_object(plan, writer);
	json_write_object_end(writer);
}

static const struct schema_plan *nested_of(const struct node *node)
{
	if (node->kind == NODE_LIST || node->kind == NODE_MAP)
		node = node->item;
	return node->kind == NODE_STRUCT || node->kind == NODE_POINTER ? node->nested : NULL;
}

const struct schema_plan *schema_nested(const struct schema_plan *plan, size_t index)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct schema_plan *nested = nested_of(&plan->members[i].node);

		if (nested && index-- == 0)
			return nested;
	}
	return NULL;
}

/* --- parameters --------------------------------------------------------- */

bool schema_next_param(const struct schema *schema, size_t *at, struct schema_param *ret)
{
	const struct schema_plan *plan = plan_of(schema);

	for (; *at < plan->count; (*at)++) {
		const struct member *member = &plan->members[*at];

		if (member->from == FROM_BODY)
			continue;
		*ret = (struct schema_param){
			.name = member->name,
			.text = member->field->text,
			.from = member->from,
			.required = seen_has(&plan->required, *at),
			.index = (*at)++,
		};
		return true;
	}
	return false;
}

void schema_write_param(
	const struct schema *schema, const struct schema_param *param, struct json_writer *writer)
{
	const struct member *member = &plan_of(schema)->members[param->index];

	write_value(&member->node, member->field, NULL, writer);
}
