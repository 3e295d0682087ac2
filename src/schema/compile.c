/*
 * From tables to plans. All plans and patterns that one table needs, its nested ones included,
 * belong to one owner with one arena, so that releasing is simple although tables may refer to each
 * other in circles.
 */
#include "base/err.h"
#include "base/mem.h"
#include "schema/decode_value.h"
#include "schema/plan.h"
#include "schema/table_check.h"

#include <float.h>

enum { OWNER_MEMORY = 16 * 1024 * 1024, TABLE_SEEDS = 200, NAME_MAX_LEN = 200 };

/* NOLINTBEGIN(misc-no-recursion): once for each table, whose number is the program's */
static int compile_plan(
	struct plan_owner *owner, const struct schema *schema, const struct schema_plan **ret);

/* --- names --------------------------------------------------------------------- */

static int no_memory(void)
{
	return -(int)err_last()->code;
}

static char upper(char byte)
{
	return byte >= 'a' && byte <= 'z' ? (char)(byte - 'a' + 'A') : byte;
}

/* snake_case as camelCase, PascalCase (`first` in upper case) or, with a hyphen, kebab-case. */
static struct str restyle(struct arena *arena, const char *snake, bool first, bool hyphen)
{
	size_t len = 0;
	char *text = arena_alloc(arena, strlen(snake) + 1);
	bool raise = first;

	if (!text)
		return str_of(NULL, 0);
	for (; *snake; snake++) {
		if (*snake == '_' && snake[1] && !hyphen) {
			raise = true;
			continue;
		}
		text[len++] = *snake == '_' && hyphen ? '-' : raise ? upper(*snake) : *snake;
		raise = false;
	}
	return str_of(text, len);
}

static struct str json_name(struct arena *arena, const struct field *field)
{
	if (field->name)
		return str_from_c(field->name);
	return restyle(arena, field->member, false, field->from == FROM_HEADER);
}

/* --- values -------------------------------------------------------------------- */

static const struct field no_rules;

static enum node_kind node_kind_of(enum field_kind kind, bool pointer, const struct field *rules)
{
	switch (kind_base(kind)) {
	case FIELD_TEXT: return NODE_TEXT;
	case FIELD_BOOL: return NODE_BOOL;
	case FIELD_ENUM: return NODE_ENUM;
	case FIELD_INTEGER: return rules->format == FORMAT_DATE_TIME ? NODE_TIME : NODE_INTEGER;
	case FIELD_NUMBER: return NODE_NUMBER;
	case FIELD_RAW: return NODE_RAW;
	case FIELD_LIST: return NODE_LIST;
	case FIELD_MAP: return NODE_MAP;
	default: return pointer ? NODE_POINTER : NODE_STRUCT;
	}
}

/* Where the value of an opt_x lies. */
static uint32_t inner_of(enum field_kind kind)
{
	switch (kind) {
	case FIELD_OPT_TEXT: return offsetof(struct opt_str, value);
	case FIELD_OPT_BOOL: return offsetof(struct opt_bool, value);
	case FIELD_OPT_ENUM: return offsetof(struct opt_int, value);
	case FIELD_OPT_INTEGER: return offsetof(struct opt_i64, value);
	case FIELD_OPT_NUMBER: return offsetof(struct opt_f64, value);
	default: return 0;
	}
}

static int add_pattern(
	struct plan_owner *owner, const char *source, const struct pattern **ret_pattern)
{
	struct pattern **grown =
		arena_alloc(&owner->arena, (owner->pattern_count + 1) * sizeof(*grown));
	int r;

	if (!grown)
		return no_memory();
	if (owner->pattern_count)
		memcpy(grown, owner->patterns, owner->pattern_count * sizeof(*grown));
	owner->patterns = grown;
	r = pattern_compile(str_from_c(source), true, &grown[owner->pattern_count]);
	if (r < 0)
		return r;
	*ret_pattern = grown[owner->pattern_count++];
	return 0;
}

static int set_text(struct plan_owner *owner, const struct field *rules, size_t default_max,
	struct text_rule *ret)
{
	*ret = (struct text_rule){
		.min = rules->ranged ? (size_t)rules->min : 0,
		.max = rules->ranged ? (size_t)rules->max : default_max,
		.format = rules->format,
		.controls = rules->flags & ANY_TEXT    ? CONTROLS_ALL_BUT_NUL
			    : rules->flags & MULTILINE ? CONTROLS_LINES
						       : CONTROLS_NONE,
	};
	return rules->pattern ? add_pattern(owner, rules->pattern, &ret->pattern) : 0;
}

static int set_choices(struct plan_owner *owner, const struct field *rules, struct choices *ret)
{
	size_t count = 0;
	struct str *at;

	if (!rules->choices)
		return 0;
	while (rules->choices[count])
		count++;

	at = arena_alloc(&owner->arena, count * sizeof(*at));
	if (!at)
		return no_memory();
	for (size_t i = 0; i < count; i++)
		at[i] = str_from_c(rules->choices[i]);
	*ret = (struct choices){ at, count };
	return 0;
}

/* The rules of one value, by its kind. */
static int set_rules(struct plan_owner *owner, const struct field *rules, struct node *node)
{
	size_t min = rules->ranged ? (size_t)rules->min : 0;

	switch (node->kind) {
	case NODE_TEXT: return set_text(owner, rules, DEFAULT_TEXT_MAX, &node->text);
	case NODE_INTEGER:
		node->integer.min = rules->ranged ? rules->min : INT64_MIN;
		node->integer.max = rules->ranged ? rules->max : INT64_MAX;
		return 0;
	case NODE_NUMBER:
		node->number.min = rules->bounded ? rules->low : -DBL_MAX;
		node->number.max = rules->bounded ? rules->high : DBL_MAX;
		return 0;
	case NODE_RAW:
		node->many.min = min;
		node->many.max = rules->ranged ? (size_t)rules->max : DEFAULT_RAW_MAX;
		return 0;
	case NODE_LIST:
	case NODE_MAP:
		node->many.min = min;
		node->many.max = rules->ranged ? (size_t)rules->max : DEFAULT_LIST_MAX;
		return 0;
	default: return 0;
	}
}

/* A value of a kind with its rules; `nested` of structs. */
static int build_value(struct plan_owner *owner, enum field_kind kind, bool pointer,
	const struct field *rules, const struct schema *nested, struct node *node)
{
	int r;

	node->kind = node_kind_of(kind, pointer, rules);
	node->flags = rules->flags;
	node->optional = kind_is_optional(kind);
	node->inner = inner_of(kind);
	r = set_rules(owner, rules, node);
	if (r == 0)
		r = set_choices(owner, rules, &node->choices);
	if (r == 0 && (node->kind == NODE_STRUCT || node->kind == NODE_POINTER))
		r = compile_plan(owner, nested, &node->nested);
	return r;
}

static int build_many(struct plan_owner *owner, const struct field *field, struct node *node)
{
	const struct field *rules = field->item ? field->item : &no_rules;
	struct node *parts = arena_zalloc(&owner->arena, 2 * sizeof(*parts));
	int r;

	if (!parts)
		return no_memory();
	node->item = &parts[0];
	node->key = &parts[1];
	node->many.stride = field->stride;
	node->many.value_offset = field->value_offset;
	parts[0].size = field->item_size;
	r = build_value(owner, field->item_kind, field->item_pointer, rules,
		rules->nested ? rules->nested : field->nested, &parts[0]);
	if (r < 0 || node->kind != NODE_MAP)
		return r;

	parts[1].size = sizeof(struct str);
	parts[1].kind = NODE_TEXT;
	r = set_text(owner, field->key ? field->key : &no_rules, DEFAULT_KEY_MAX, &parts[1].text);
	return r < 0 || !field->key ? r : set_choices(owner, field->key, &parts[1].choices);
}

/* --- rows ---------------------------------------------------------------------- */

/* Reads a default or an example by the row's own rules. */
static int read_own(struct plan_owner *owner, const struct schema *schema,
	const struct member *member, const char *text, const char *which, void *to)
{
	struct problems problems;
	struct decoder decoder = { .arena = &owner->arena };
	int r;

	problems_init(&problems, &owner->arena);
	decoder.report = (struct report){ &owner->arena, &problems, 0 };
	matcher_init(&decoder.matcher, &owner->arena);
	r = decode_text(&decoder, &member->node, &(struct path){ 0 }, str_from_c(text), to);
	if (r == 0 && problems.count)
		return MISTAKE(schema, member->field, "its %s \"%s\" %.*s", which, text,
			STR_ARG(problems.at[0].message));
	return r;
}

static int set_preset(struct plan_owner *owner, const struct schema *schema, struct member *member)
{
	const struct field *field = member->field;
	struct arena_mark mark;
	void *value = arena_zalloc(&owner->arena, member->node.size);
	int r = 0;

	if (!value)
		return no_memory();
	mark = arena_mark(&owner->arena);
	if (field->example)
		r = read_own(owner, schema, member, field->example, "example", value);
	memset(value, 0, member->node.size);
	if (r == 0 && field->if_missing) {
		r = read_own(owner, schema, member, field->if_missing, "default", value);
		member->preset = value;
	}
	arena_back(&owner->arena, mark);
	return r;
}

/* An empty text that its own rules refuse can only mean "not there". */
static void set_omit(struct member *member)
{
	struct node *node = &member->node;

	node->omit_empty = node->kind == NODE_TEXT && !node->optional &&
			   !(node->flags & REQUIRED) &&
			   (node->text.min > 0 || node->text.format || node->text.pattern ||
				   node->choices.count);
}

static int build_member(
	struct plan_owner *owner, struct schema_plan *plan, const struct field *field, size_t index)
{
	struct member *member = &plan->members[index];
	int r;

	member->field = field;
	member->name = json_name(&owner->arena, field);
	member->offset = field->offset;
	member->from = field->from;
	member->node.size = field->size;
	if (!member->name.at)
		return no_memory();
	if (plan->schema->tag && !field->nested)
		return 0; /* BARE_CASE */

	r = build_value(owner, field->kind, field->pointer, field, field->nested, &member->node);
	if (r == 0 && (field->kind == FIELD_LIST || field->kind == FIELD_MAP))
		r = build_many(owner, field, &member->node);
	if (r == 0 && (field->if_missing || field->example))
		r = set_preset(owner, plan->schema, member);
	if (r < 0)
		return r == -ERR_INVALID ? err_wrap("%s.%s", plan->schema->type, field->member) : r;

	set_omit(member);
	plan->has_presets |= member->preset != NULL;
	plan->has_params |= field->from != FROM_BODY;
	if (field->flags & REQUIRED || field->from == FROM_PATH)
		seen_add(&plan->required, index);
	return 0;
}

/* --- finding members by name --------------------------------------------------- */

/* The first and the last bytes and the length: enough to tell the names of a table apart. */
static inline uint64_t name_mix(struct str name, uint64_t seed)
{
	uint64_t first = 0, last = 0;
	uint32_t low, high;

	if (name.len >= 8) {
		memcpy(&first, name.at, 8);
		memcpy(&last, name.at + name.len - 8, 8);
	} else if (name.len >= 4) {
		memcpy(&low, name.at, 4);
		memcpy(&high, name.at + name.len - 4, 4);
		first = low;
		last = high;
	} else if (name.len > 0) {
		first = (unsigned char)name.at[0];
		last = (uint64_t)(unsigned char)name.at[name.len / 2] << 8 |
		       (unsigned char)name.at[name.len - 1];
	}
	first = (first ^ (last << 29 | last >> 35) ^ name.len) * seed;
	return first ^ first >> 32;
}

struct member *plan_find(const struct schema_plan *plan, struct str name)
{
	size_t slot = name_mix(name, plan->table_seed) & plan->table_mask;

	for (; plan->table[slot]; slot = (slot + 1) & plan->table_mask) {
		struct member *member = &plan->members[plan->table[slot] - 1];

		if (str_eq(member->name, name))
			return member;
	}
	return NULL;
}

/* Fills the table under the plan's seed; returns how many names are not at their own place. */
static size_t fill_table(struct schema_plan *plan)
{
	size_t moved = 0;

	memset(plan->table, 0, plan->table_mask + 1);
	for (size_t i = 0; i < plan->count; i++) {
		size_t slot = name_mix(plan->members[i].name, plan->table_seed) & plan->table_mask;

		for (; plan->table[slot]; slot = (slot + 1) & plan->table_mask)
			moved++;
		plan->table[slot] = (uint8_t)(i + 1);
	}
	return moved;
}

/* Looks for a seed under which no name has to move; otherwise the best one serves. */
static int build_table(struct plan_owner *owner, struct schema_plan *plan)
{
	uint64_t seed = UINT64_C(0x9E3779B97F4A7C15), best_seed = seed;
	size_t size = 4, best = SIZE_MAX;

	while (size < 2 * plan->count)
		size *= 2;
	plan->table_mask = (uint32_t)size - 1;
	plan->table = arena_alloc(&owner->arena, size);
	if (!plan->table)
		return no_memory();

	for (size_t i = 0; i < TABLE_SEEDS && best > 0; i++) {
		size_t moved;

		plan->table_seed = seed;
		moved = fill_table(plan);
		if (moved < best) {
			best = moved;
			best_seed = seed;
		}
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
		seed |= 1;
	}
	plan->table_seed = best_seed;
	(void)fill_table(plan);
	return 0;
}

static int check_names(const struct schema_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct member *member = &plan->members[i];

		if (plan_find(plan, member->name) != member)
			return MISTAKE(plan->schema, member->field,
				"the name \"%.*s\" is there twice", STR_ARG(member->name));
		if (member->name.len == 0 || member->name.len > NAME_MAX_LEN)
			return MISTAKE(plan->schema, member->field, "a name has 1 to %d bytes",
				NAME_MAX_LEN);
		if (plan->tag && member->node.nested &&
			plan_find(member->node.nested, plan->tag->name))
			return MISTAKE(
				plan->schema, member->field, "has a member of the tag's name");
	}
	return 0;
}

/* --- plans --------------------------------------------------------------------- */

/* The tag: an enum whose choices are the cases. */
static int build_tag(struct plan_owner *owner, struct schema_plan *plan)
{
	struct member *tag = arena_new(&owner->arena, struct member);
	struct str *names = arena_alloc(&owner->arena, plan->count * sizeof(*names));

	if (!tag || !names)
		return no_memory();
	for (size_t i = 0; i < plan->count; i++)
		names[i] = plan->members[i].name;
	tag->field = plan->schema->tag;
	tag->name = json_name(&owner->arena, tag->field);
	tag->offset = tag->field->offset;
	tag->node = (struct node){
		.kind = NODE_ENUM, .size = tag->field->size, .choices = { names, plan->count }
	};
	plan->tag = tag;
	return tag->name.at ? 0 : no_memory();
}

static struct schema_plan *new_plan(struct plan_owner *owner, const struct schema *schema)
{
	struct schema_plan *plan = arena_new(&owner->arena, struct schema_plan);
	struct member *members = arena_zalloc(&owner->arena, schema->count * sizeof(struct member));

	if (!plan || !members)
		return NULL;
	plan->schema = schema;
	plan->owner = owner;
	plan->members = members;
	plan->count = schema->count;
	plan->name = restyle(&owner->arena, schema->type, true, false);
	plan->next = owner->plans;
	owner->plans = plan;
	return plan->name.at ? plan : NULL;
}

static int compile_plan(
	struct plan_owner *owner, const struct schema *schema, const struct schema_plan **ret)
{
	struct schema_plan *plan;
	int r;

	for (plan = owner->plans; plan; plan = plan->next)
		if (plan->schema == schema) {
			*ret = plan;
			return 0;
		}

	r = table_check(schema);
	if (r < 0)
		return r;
	plan = new_plan(owner, schema);
	if (!plan)
		return no_memory();
	for (size_t i = 0; i < plan->count; i++) {
		r = build_member(owner, plan, &schema->fields[i], i);
		if (r < 0)
			return r;
	}

	r = build_table(owner, plan);
	if (r == 0 && schema->tag)
		r = build_tag(owner, plan);
	*ret = plan;
	return r;
}

/* NOLINTEND(misc-no-recursion) */

/* The plan of the table that was asked for, and all it needs. */
static int compile_owner(
	struct plan_owner *owner, const struct schema *schema, struct schema_plan **ret)
{
	const struct schema_plan *ignored;
	struct schema_plan *plan;
	int r = compile_plan(owner, schema, &ignored);

	for (plan = owner->plans; r == 0 && plan; plan = plan->next) {
		r = check_names(plan);
		if (plan->schema == schema)
			*ret = plan;
	}
	return r;
}

static void owner_free(struct plan_owner *owner)
{
	struct arena arena = owner->arena;

	for (size_t i = 0; i < owner->pattern_count; i++)
		pattern_free(owner->patterns[i]);
	arena_done(&arena);
}

int schema_compile(const struct schema *schema)
{
	struct arena arena;
	struct plan_owner *owner;
	int r;

	if (!schema->slot)
		return table_check(schema);
	if (schema->slot->uses++ > 0)
		return 0;

	arena_init(&arena, 8 * KILOBYTE, OWNER_MEMORY);
	owner = arena_new(&arena, struct plan_owner);
	if (!owner) {
		schema->slot->uses--;
		return no_memory();
	}
	owner->arena = arena;
	r = compile_owner(owner, schema, &schema->slot->plan);
	if (r < 0) {
		owner_free(owner);
		*schema->slot = (struct schema_slot){ 0 };
	}
	return r;
}

void schema_release(const struct schema *schema)
{
	CHECK(schema->slot && schema->slot->uses > 0);
	if (--schema->slot->uses > 0)
		return;
	owner_free(schema->slot->plan->owner);
	schema->slot->plan = NULL;
}

int schema_compile_all(const struct schema *const *schemas, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int r = schema_compile(schemas[i]);

		if (r == 0)
			continue;
		while (i-- > 0)
			schema_release(schemas[i]);
		return r;
	}
	return 0;
}

const struct schema_plan *plan_of(const struct schema *schema)
{
	CHECK(schema->slot && schema->slot->plan);
	return schema->slot->plan;
}
