/*
 * Objects, arrays and unions: the recursive part of decoding. Follows the reader's events and the
 * plan side by side; each level of recursion is a level of the document, which the reader bounds.
 */
#include "schema/decode.h"

#include "base/err.h"
#include "schema/decode_value.h"

struct schema_input {
	struct decoder decoder;
	const struct schema_plan *plan;
	char *base;
	struct seen seen, over; /* over: lists that are full, and said so */
	bool has_document;      /* it was there, whatever was in it */
};

/* NOLINTBEGIN(misc-no-recursion): by the levels of the document, which the reader limits, and
 * SCHEMA_LEVELS_MAX */

/* --- objects ------------------------------------------------------------------- */

/* Reads past the value behind a name and reports it. */
static int refuse_member(
	struct decoder *decoder, const struct path *path, const char *code, const char *message)
{
	int r = json_skip(decoder->reader);

	return r < 0 ? r : report_at(&decoder->report, path, code, "%s", message);
}

/* The value behind the name that was just read. */
static int decode_member(struct decoder *decoder, const struct schema_plan *plan,
	const struct path *path, char *base, struct seen *seen)
{
	struct member *member = plan ? plan_find(plan, decoder->reader->text) : NULL;
	struct path here = { .up = path, .name = decoder->reader->text };
	int event;

	if (UNLIKELY(!member || (member->from != FROM_BODY && decoder->mode == SCHEMA_INPUT)))
		return refuse_member(decoder, &here, PROBLEM_UNKNOWN_MEMBER, "is not known here");

	seen_add(seen, member_index(plan, member));
	if (UNLIKELY(member->node.flags & READ_ONLY && decoder->mode == SCHEMA_INPUT))
		return refuse_member(decoder, &here, PROBLEM_READ_ONLY, "cannot be set");

	event = json_next(decoder->reader);
	if (event < 0)
		return event;
	return decode_value(decoder, &member->node, &here, event, base + member->offset);
}

static int report_missing(struct decoder *decoder, const struct schema_plan *plan,
	const struct path *path, const struct seen *seen)
{
	for (size_t i = 0; i < plan->count; i++) {
		struct path here = { .up = path, .name = plan->members[i].name };
		int r;

		if (!seen_has(&plan->required, i) || seen_has(seen, i))
			continue;
		r = report_at(&decoder->report, &here, PROBLEM_REQUIRED, "is required");
		if (r < 0)
			return r;
	}
	return 0;
}

/* What the input did not have: problems and defaults. */
static int finish_object(struct decoder *decoder, const struct schema_plan *plan,
	const struct path *path, char *base, const struct seen *seen)
{
	uint64_t missing = 0;

	for (size_t i = 0; i < SEEN_WORDS; i++)
		missing |= plan->required.words[i] & ~seen->words[i];
	if (plan->has_presets)
		for (size_t i = 0; i < plan->count; i++) {
			const struct member *member = &plan->members[i];

			if (member->preset && !seen_has(seen, i))
				memcpy(base + member->offset, member->preset, member->node.size);
		}
	return UNLIKELY(missing) ? report_missing(decoder, plan, path, seen) : 0;
}

/* The members up to the end of the object; `event` is the first one's. A member named `tag` has
 * been looked at before. */
static int decode_members(struct decoder *decoder, const struct schema_plan *plan,
	const struct path *path, char *base, struct seen *seen, int event, struct str tag)
{
	int r;

	for (; event == JSON_KEY; event = json_next(decoder->reader)) {
		if (tag.at && str_eq(decoder->reader->text, tag))
			r = json_skip(decoder->reader);
		else
			r = decode_member(decoder, plan, path, base, seen);
		if (r < 0)
			return r;
	}
	return MIN(event, 0);
}

/* --- unions -------------------------------------------------------------------- */

/* Reads past the rest of the object whose first name has been read. */
static int skip_members(struct decoder *decoder, int event)
{
	for (; event == JSON_KEY; event = json_next(decoder->reader))
		if (json_skip(decoder->reader) < 0)
			return -(int)err_last()->code;
	return MIN(event, 0);
}

/*
 * Looks for the tag with a second reader, without moving the first one. The value goes to `*ret`
 * with JSON_STRING returned, or whatever stands there; JSON_END when there is no tag.
 */
static int look_ahead(struct decoder *decoder, struct str object, struct str tag, struct str *ret)
{
	struct json_reader reader;
	int event;

	json_reader_init(&reader, object, decoder->arena, decoder->limits);
	event = json_next(&reader);
	while (event >= 0 && (event = json_next(&reader)) == JSON_KEY) {
		if (str_eq(reader.text, tag)) {
			event = json_next(&reader);
			*ret = reader.text;
			return event;
		}
		if (json_skip(&reader) < 0)
			return -(int)err_last()->code;
	}
	return event < 0 ? event : JSON_END;
}

/* Which case the object is; NULL after a problem. The object starts at `start` of the document, its
 * first event has been read. */
static int find_case(struct decoder *decoder, const struct schema_plan *plan,
	const struct path *path, size_t start, const struct member **ret)
{
	const struct member *tag = plan->tag;
	struct path here = { .up = path, .name = tag->name };
	struct arena_mark mark = arena_mark(decoder->arena);
	struct str text = { 0 };
	int event, position = -1;

	*ret = NULL;
	event = look_ahead(decoder, str_from(decoder->document, start), tag->name, &text);
	if (event == JSON_STRING)
		position = choice_find(tag->node.choices, text);
	arena_back(decoder->arena, mark);
	if (event < 0)
		return event;
	if (position >= 0) {
		*ret = &plan->members[position];
		return 0;
	}

	if (event == JSON_END)
		return report_at(&decoder->report, &here, PROBLEM_REQUIRED, "is required");
	if (event != JSON_STRING)
		return report_type(decoder, &tag->node, &here);
	return report_at(&decoder->report, &here, PROBLEM_INVALID_ENUM,
		"must be the name of one of the %zu cases", plan->count);
}

/* The object of a union. */
static int decode_union(struct decoder *decoder, const struct schema_plan *plan,
	const struct path *path, char *base)
{
	size_t start = decoder->reader->offset;
	struct seen seen = { 0 };
	const struct member *chosen;
	char *inner;
	int event, r;

	r = find_case(decoder, plan, path, start, &chosen);
	if (r < 0)
		return r;
	event = json_next(decoder->reader);
	if (event < 0)
		return event;
	if (!chosen)
		return skip_members(decoder, event);

	inner = base + chosen->offset;
	*(int *)(base + plan->tag->offset) = (int)member_index(plan, chosen);
	r = decode_members(
		decoder, chosen->node.nested, path, inner, &seen, event, plan->tag->name);
	if (r < 0 || !chosen->node.nested)
		return r;
	return finish_object(decoder, chosen->node.nested, path, inner, &seen);
}

/* The object whose beginning has been read. */
static int decode_struct(struct decoder *decoder, const struct schema_plan *plan,
	const struct path *path, char *base)
{
	struct seen seen = { 0 };
	int event, r;

	if (++decoder->levels > SCHEMA_LEVELS_MAX)
		return fail(ERR_TOO_LARGE, "more than %d objects in each other", SCHEMA_LEVELS_MAX);
	if (plan->tag) {
		r = decode_union(decoder, plan, path, base);
	} else {
		event = json_next(decoder->reader);
		r = event < 0 ? event
			      : decode_members(
					decoder, plan, path, base, &seen, event, str_of(NULL, 0));
		if (r == 0)
			r = finish_object(decoder, plan, path, base, &seen);
	}
	decoder->levels--;
	return r;
}

/* --- lists, maps, raw JSON ------------------------------------------------------ */

static int decode_list(
	struct decoder *decoder, const struct node *node, const struct path *path, void *to)
{
	struct path here = { .up = path };
	struct many many = { 0 };
	int event, r;

	while ((event = json_next(decoder->reader)) != JSON_ARRAY_END) {
		void *item;

		if (event < 0)
			return event;
		if (here.index++ >= node->many.max) { /* only counted */
			r = json_skip(decoder->reader);
			if (r < 0)
				return r;
			continue;
		}

		item = many_grow(decoder->arena, &many, node->many.stride);
		if (!item)
			return -(int)err_last()->code;
		many.count++;
		r = decode_value(decoder, node->item,
			&(struct path){ .up = path, .index = here.index - 1 }, event, item);
		if (r < 0)
			return r;
	}
	memcpy(to, &many, sizeof(many));
	return check_many(decoder, node, path, many, here.index);
}

/* One name of a map and its value. */
static int decode_entry(
	struct decoder *decoder, const struct node *node, const struct path *path, char *entry)
{
	const struct node *key = node->key;
	struct str name = decoder->reader->text;
	struct path here = { .up = path, .name = name };
	int event, r;

	*(struct str *)entry = name;
	if (key->choices.count && choice_find(key->choices, name) < 0)
		return refuse_member(
			decoder, &here, PROBLEM_UNKNOWN_MEMBER, "is not one of the names allowed");
	r = rule_text(&key->text, name, &decoder->matcher, &decoder->report, &here);
	if (r < 0)
		return r;
	event = json_next(decoder->reader);
	if (event < 0)
		return event;
	return decode_value(decoder, node->item, &here, event, entry + node->many.value_offset);
}

static int decode_map(
	struct decoder *decoder, const struct node *node, const struct path *path, void *to)
{
	struct many many = { 0 };
	size_t count = 0;
	int event, r;

	while ((event = json_next(decoder->reader)) == JSON_KEY) {
		char *entry;

		if (count++ >= node->many.max) {
			r = json_skip(decoder->reader);
		} else {
			entry = many_grow(decoder->arena, &many, node->many.stride);
			if (!entry)
				return -(int)err_last()->code;
			many.count++;
			r = decode_entry(decoder, node, path, entry);
		}
		if (r < 0)
			return r;
	}
	if (event < 0)
		return event;
	memcpy(to, &many, sizeof(many));
	return check_many(decoder, node, path, many, count);
}

/* Any value: its text from where it begins to where the reader stands behind it. */
static int decode_raw(
	struct decoder *decoder, const struct node *node, const struct path *path, void *to)
{
	struct json_reader *reader = decoder->reader;
	size_t start = reader->offset;
	struct json_value value;
	int r = json_skip(reader);

	if (r < 0)
		return r;
	value.json = str_from(decoder->document, start);
	value.json.len = (size_t)(reader->at - value.json.at);
	*(struct json_value *)to = value;
	return rule_count(value.json.len, node->many.min, node->many.max, "bytes of JSON",
		&decoder->report, path);
}

static int decode_pointer(
	struct decoder *decoder, const struct node *node, const struct path *path, void *to)
{
	char *at = arena_zalloc(decoder->arena, node->nested->schema->size);

	if (!at)
		return -(int)err_last()->code;
	memcpy(to, &at, sizeof(at));
	return decode_struct(decoder, node->nested, path, at);
}

int decode_value(struct decoder *decoder, const struct node *node, const struct path *path,
	int event, void *to)
{
	int r;

	switch (node->kind) {
	case NODE_STRUCT:
		if (event == JSON_OBJECT)
			return decode_struct(decoder, node->nested, path, to);
		break;
	case NODE_POINTER:
		if (event == JSON_OBJECT)
			return decode_pointer(decoder, node, path, to);
		if (event == JSON_NULL && node->flags & NULLABLE)
			return 0;
		break;
	case NODE_LIST:
		if (event == JSON_ARRAY)
			return decode_list(decoder, node, path, to);
		break;
	case NODE_MAP:
		if (event == JSON_OBJECT)
			return decode_map(decoder, node, path, to);
		break;
	case NODE_RAW: return decode_raw(decoder, node, path, to);
	default: return decode_scalar(decoder, node, path, event, to);
	}
	r = json_skip(decoder->reader);
	return r < 0 ? r : report_type(decoder, node, path);
}

/* NOLINTEND(misc-no-recursion) */

/* --- the outermost struct ------------------------------------------------------- */

static void input_init(struct schema_input *input, const struct schema *schema,
	enum schema_mode mode, struct arena *arena, struct problems *problems, void *ret)
{
	CHECK(mode == SCHEMA_INPUT || mode == SCHEMA_ALL);
	*input = (struct schema_input){
		.decoder = { .arena = arena, .report = { arena, problems, 0 }, .mode = mode },
		.plan = plan_of(schema),
		.base = ret,
	};
	matcher_init(&input->decoder.matcher, arena);
	memset(ret, 0, schema->size);
}

static int decode_document(struct schema_input *input)
{
	struct decoder *decoder = &input->decoder;
	struct path whole = { 0 };
	int event = json_next(decoder->reader), r;

	if (event < 0)
		return event;
	if (event != JSON_OBJECT) {
		r = json_skip(decoder->reader);
		if (r == 0)
			r = report_at(&decoder->report, &whole, PROBLEM_INVALID_TYPE,
				"must be an object");
		input->seen = input->plan->required; /* one problem is enough */
	} else if (input->plan->tag) {
		r = decode_union(decoder, input->plan, &whole, input->base);
	} else {
		event = json_next(decoder->reader);
		r = event < 0 ? event
			      : decode_members(decoder, input->plan, &whole, input->base,
					&input->seen, event, str_of(NULL, 0));
	}
	if (r < 0)
		return r;
	return json_next(decoder->reader);
}

int schema_input_json(struct schema_input *input, struct str json, const struct json_limits *limits)
{
	struct decoder *decoder = &input->decoder;
	struct json_reader reader;
	int r;

	json_reader_init(&reader, json, decoder->arena, limits);
	decoder->reader = &reader;
	decoder->document = json;
	decoder->limits = limits;
	decoder->levels = 1;
	input->has_document = true;
	r = decode_document(input);
	decoder->reader = NULL;
	if (r != -ERR_INVALID)
		return r;

	input->seen = input->plan->required; /* what follows the mistake was not looked at */
	return report_at(&decoder->report, &(struct path){ 0 }, PROBLEM_INVALID_JSON,
		"is not valid JSON: %s", err_text());
}

int schema_input_end(struct schema_input *input)
{
	struct decoder *decoder = &input->decoder;
	const struct schema_plan *plan = input->plan;
	struct path whole = { 0 };
	int r = 0;

	if (!plan->tag)
		r = finish_object(decoder, plan, &whole, input->base, &input->seen);
	else if (!input->has_document) /* else nobody knows which case it is */
		r = report_at(&decoder->report, &whole, PROBLEM_REQUIRED, "is required");
	for (size_t i = 0; r == 0 && plan->has_params && i < plan->count; i++) {
		const struct member *member = &plan->members[i];
		struct path here = { .up = &whole, .name = member->name };
		struct many many;

		if (member->from == FROM_BODY || member->node.kind != NODE_LIST ||
			!seen_has(&input->seen, i) || seen_has(&input->over, i))
			continue;
		memcpy(&many, input->base + member->offset, sizeof(many));
		r = check_many(decoder, &member->node, &here, many, many.count);
	}
	if (r < 0)
		return r;
	if (decoder->report.found == 0)
		return 0;
	return fail(ERR_INVALID, "%zu problem%s in the input", decoder->report.found,
		decoder->report.found == 1 ? "" : "s");
}

int schema_decode(const struct schema *schema, enum schema_mode mode, struct str json,
	struct arena *arena, struct problems *problems, void *ret)
{
	struct schema_input input;
	int r;

	input_init(&input, schema, mode, arena, problems, ret);
	r = schema_input_json(&input, json, NULL);
	return r < 0 ? r : schema_input_end(&input);
}

/* --- parameters ----------------------------------------------------------------- */

struct schema_input *schema_input_start(const struct schema *schema, enum schema_mode mode,
	struct arena *arena, struct problems *problems, void *ret)
{
	struct schema_input *input = arena_alloc(arena, sizeof(*input));

	if (input)
		input_init(input, schema, mode, arena, problems, ret);
	return input;
}

/* Headers are compared without case; there are few of them. */
static const struct member *find_parameter(
	const struct schema_plan *plan, enum field_from from, struct str name)
{
	const struct member *member;

	if (from != FROM_HEADER) {
		member = plan_find(plan, name);
		return member && member->from == from ? member : NULL;
	}
	for (member = plan->members; member < plan->members + plan->count; member++)
		if (member->from == from && str_eq_nocase(member->name, name))
			return member;
	return NULL;
}

static int add_item(struct schema_input *input, const struct member *member,
	const struct path *path, struct str value)
{
	struct decoder *decoder = &input->decoder;
	const struct node *node = &member->node;
	size_t index = member_index(input->plan, member);
	struct many many;
	void *item;
	int r;

	memcpy(&many, input->base + member->offset, sizeof(many));
	if (many.count >= node->many.max) {
		if (seen_has(&input->over, index))
			return 0;
		seen_add(&input->over, index);
		return rule_count(
			many.count + 1, 0, node->many.max, "values", &decoder->report, path);
	}

	item = many_grow(decoder->arena, &many, node->many.stride);
	if (!item)
		return -(int)err_last()->code;
	r = decode_text(decoder, node->item, &(struct path){ .up = path, .index = many.count },
		value, item);
	many.count++;
	memcpy(input->base + member->offset, &many, sizeof(many));
	return r;
}

int schema_input_text(
	struct schema_input *input, enum field_from from, struct str name, struct str value)
{
	const struct member *member = find_parameter(input->plan, from, name);
	struct path whole = { 0 }, here = { .up = &whole, .name = member ? member->name : name };
	struct report *report = &input->decoder.report;
	size_t index;

	CHECK(from != FROM_BODY);
	if (!member)
		return from == FROM_HEADER ? 0
					   : report_at(report, &here, PROBLEM_UNKNOWN_MEMBER,
						     "is not known here");

	index = member_index(input->plan, member);
	if (member->node.kind != NODE_LIST && seen_has(&input->seen, index))
		return report_at(report, &here, PROBLEM_GIVEN_TWICE, "must be given once");
	seen_add(&input->seen, index);
	if (member->node.kind == NODE_LIST)
		return add_item(input, member, &here, value);
	return decode_text(
		&input->decoder, &member->node, &here, value, input->base + member->offset);
}

bool schema_has(const struct schema *schema, enum field_from from)
{
	if (schema->tag)
		return from == FROM_BODY;
	for (size_t i = 0; i < schema->count; i++)
		if (schema->fields[i].from == from)
			return true;
	return false;
}

bool schema_requires(const struct schema *schema, enum field_from from)
{
	if (schema->tag)
		return from == FROM_BODY;
	for (size_t i = 0; i < schema->count; i++)
		if (schema->fields[i].from == from && schema->fields[i].flags & REQUIRED)
			return true;
	return false;
}
