/*
 * Loading in three passes: the document as a tree; a rule for each subschema, keyword by keyword;
 * then the references, and whether the rules that apply to one and the same value come to an end.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/num.h"
#include "schema/loaded_rule.h"

enum { MEMORY_MAX = 32 * 1024 * 1024 };

/* What a keyword does with its value. `member` is the keyword's member of the schema. */
typedef int keyword_fn(struct schema_loaded *loaded, struct rule *rule, struct tree *member);

/* NOLINTBEGIN(misc-no-recursion): by the levels of the schema's document, LOADED_DEPTH_MAX */
static int load_rule(struct schema_loaded *loaded, struct tree *tree);

static int refuse(struct schema_loaded *loaded, const struct tree *tree, const char *what)
{
	struct str place = tree_pointer(tree, &loaded->arena);

	return fail(ERR_INVALID, "%.*s: %s", STR_ARG(str_first(place, 150)), what);
}

/* --- values of keywords ---------------------------------------------------------- */

static int read_count(struct schema_loaded *loaded, const struct tree *member, size_t *ret)
{
	int64_t value;

	if (member->kind != TREE_NUMBER || !decimal_i64(member->number, &value) || value < 0 ||
		value > UINT32_MAX)
		return refuse(loaded, member, "expected an integer from 0 to 4294967295");
	*ret = (size_t)value;
	return 0;
}

static int read_bound(struct schema_loaded *loaded, const struct tree *member, struct bound *ret)
{
	if (member->kind != TREE_NUMBER)
		return refuse(loaded, member, "expected a number");
	*ret = (struct bound){ true, member->number };
	return 0;
}

static int read_strings(struct schema_loaded *loaded, const struct tree *array)
{
	if (array->kind != TREE_ARRAY)
		return refuse(loaded, array, "expected an array of names");
	for (const struct tree *item = array->first; item; item = item->next)
		if (item->kind != TREE_STRING)
			return refuse(loaded, item, "expected a name");
	return 0;
}

static int read_schema(struct schema_loaded *loaded, struct tree *member, const struct rule **ret)
{
	int r = load_rule(loaded, member);

	if (r == 0)
		*ret = member->rule;
	return r;
}

/* An object of schemas, or an array of at least one. */
static int read_schemas(struct schema_loaded *loaded, struct tree *member, enum tree_kind kind,
	const struct tree **ret)
{
	if (member->kind != kind)
		return refuse(loaded, member,
			kind == TREE_ARRAY ? "expected an array of schemas"
					   : "expected an object of schemas");
	if (kind == TREE_ARRAY && !member->first)
		return refuse(loaded, member, "expected at least one schema");
	for (struct tree *part = member->first; part; part = part->next) {
		int r = load_rule(loaded, part);

		if (r < 0)
			return r;
	}
	*ret = member;
	return 0;
}

static int add_pattern(struct schema_loaded *loaded, const struct tree *place, struct str source,
	struct pattern **ret)
{
	int r;

	if (loaded->pattern_count == LOADED_PATTERNS_MAX)
		return fail(
			ERR_TOO_LARGE, "more than %d patterns in a schema", LOADED_PATTERNS_MAX);
	r = pattern_compile(source, false, &loaded->patterns[loaded->pattern_count]);
	if (r < 0)
		return err_wrap(
			"%.*s", STR_ARG(str_first(tree_pointer(place, &loaded->arena), 150)));
	*ret = loaded->patterns[loaded->pattern_count++];
	return 0;
}

/* --- keywords --------------------------------------------------------------------- */

static unsigned type_of(struct str name)
{
	static const struct {
		struct str name;
		unsigned type;
	} types[] = {
		{ S_INIT("null"), TYPE_NULL },
		{ S_INIT("boolean"), TYPE_BOOLEAN },
		{ S_INIT("number"), TYPE_NUMBER },
		{ S_INIT("integer"), TYPE_INTEGER },
		{ S_INIT("string"), TYPE_STRING },
		{ S_INIT("array"), TYPE_ARRAY },
		{ S_INIT("object"), TYPE_OBJECT },
	};

	for (size_t i = 0; i < LEN(types); i++)
		if (str_eq(types[i].name, name))
			return types[i].type;
	return 0;
}

static int on_type(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	const struct tree *item = member->kind == TREE_ARRAY ? member->first : member;

	rule->types = 0;
	for (; item; item = member->kind == TREE_ARRAY ? item->next : NULL) {
		unsigned type = item->kind == TREE_STRING ? type_of(item->text) : 0;

		if (!type || rule->types & type)
			return refuse(loaded, item, "expected the name of a type, each once");
		rule->types |= type;
	}
	return rule->types ? 0 : refuse(loaded, member, "expected at least one type");
}

static int on_enum(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	if (member->kind != TREE_ARRAY)
		return refuse(loaded, member, "expected an array of values");
	rule->choices = member;
	return 0;
}

static int on_const(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	(void)loaded;
	rule->constant = member;
	return 0;
}

static int on_minimum(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_bound(loaded, member, &rule->min);
}

static int on_maximum(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_bound(loaded, member, &rule->max);
}

static int on_above(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_bound(loaded, member, &rule->above);
}

static int on_below(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_bound(loaded, member, &rule->below);
}

static int on_multiple(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	if (member->kind != TREE_NUMBER || member->number.negative || !member->number.digits)
		return refuse(loaded, member, "expected a number above 0");
	return read_bound(loaded, member, &rule->step);
}

static int on_min_length(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	rule->texts = true;
	return read_count(loaded, member, &rule->text.min);
}

static int on_max_length(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	rule->texts = true;
	return read_count(loaded, member, &rule->text.max);
}

static int on_pattern(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	struct pattern *pattern = NULL;
	int r;

	if (member->kind != TREE_STRING)
		return refuse(loaded, member, "expected a pattern");
	r = add_pattern(loaded, member, member->text, &pattern);
	if (r < 0)
		return r;
	rule->texts = true;
	rule->text.pattern = pattern;
	return 0;
}

static int on_format(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	rule->texts = true;
	rule->text.format = member->kind == TREE_STRING ? format_find(member->text) : FORMAT_NONE;
	return rule->text.format != FORMAT_NONE ? 0 : refuse(loaded, member, "an unknown format");
}

static int on_properties(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_schemas(loaded, member, TREE_OBJECT, &rule->properties);
}

static int on_patterns(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	int r = read_schemas(loaded, member, TREE_OBJECT, &rule->patterns);

	for (struct tree *part = member->first; r == 0 && part; part = part->next)
		r = add_pattern(loaded, part, part->name, &part->pattern);
	return r;
}

static int on_additional(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_schema(loaded, member, &rule->additional);
}

static int on_names(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_schema(loaded, member, &rule->names);
}

static int on_required(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	rule->required = member;
	return read_strings(loaded, member);
}

static int on_min_members(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_count(loaded, member, &rule->members.min);
}

static int on_max_members(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_count(loaded, member, &rule->members.max);
}

static int on_needs(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	int r = 0;

	if (member->kind != TREE_OBJECT)
		return refuse(loaded, member, "expected an object of arrays of names");
	rule->needs = member;
	for (const struct tree *part = member->first; r == 0 && part; part = part->next)
		r = read_strings(loaded, part);
	return r;
}

static int on_dependents(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_schemas(loaded, member, TREE_OBJECT, &rule->dependents);
}

static int on_items(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_schema(loaded, member, &rule->rest);
}

static int on_prefix(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_schemas(loaded, member, TREE_ARRAY, &rule->prefix);
}

static int on_contains(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_schema(loaded, member, &rule->contains);
}

static int on_min_contains(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_count(loaded, member, &rule->contained.min);
}

static int on_max_contains(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_count(loaded, member, &rule->contained.max);
}

static int on_min_items(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_count(loaded, member, &rule->items.min);
}

static int on_max_items(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_count(loaded, member, &rule->items.max);
}

static int on_unique(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	rule->unique = member->boolean;
	return member->kind == TREE_BOOL ? 0 : refuse(loaded, member, "expected true or false");
}

static int on_all(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_schemas(loaded, member, TREE_ARRAY, &rule->all);
}

static int on_any(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_schemas(loaded, member, TREE_ARRAY, &rule->any);
}

static int on_one(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_schemas(loaded, member, TREE_ARRAY, &rule->one);
}

static int on_not(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_schema(loaded, member, &rule->not );
}

static int on_if(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_schema(loaded, member, &rule->condition);
}

static int on_then(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_schema(loaded, member, &rule->consequence);
}

static int on_else(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	return read_schema(loaded, member, &rule->alternative);
}

static int on_defs(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	const struct tree *ignored;

	(void)rule;
	return read_schemas(loaded, member, TREE_OBJECT, &ignored);
}

static int on_ref(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	if (member->kind != TREE_STRING ||
		!(str_eq(member->text, S("#")) || str_starts(member->text, S("#/"))))
		return refuse(loaded, member, "expected a reference within the schema, \"#/...\"");
	rule->ref_source = member;
	return 0;
}

static int on_schema(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	(void)rule;
	if (member->kind != TREE_STRING ||
		!str_eq(member->text, S("https://json-schema.org/draft/2020-12/schema")))
		return refuse(loaded, member, "only draft 2020-12 is taken");
	return 0;
}

static int on_id(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	(void)rule;
	if (member->parent != loaded->root || member->kind != TREE_STRING ||
		str_find_byte(member->text, '#') >= 0)
		return refuse(loaded, member, "only the outermost schema may have an id");
	return 0;
}

static int on_annotation(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	(void)loaded;
	(void)rule;
	(void)member;
	return 0;
}

static const struct keyword {
	struct str name;
	keyword_fn *load;
} keywords[] = {
	{ S_INIT("type"), on_type },
	{ S_INIT("enum"), on_enum },
	{ S_INIT("const"), on_const },
	{ S_INIT("minimum"), on_minimum },
	{ S_INIT("maximum"), on_maximum },
	{ S_INIT("exclusiveMinimum"), on_above },
	{ S_INIT("exclusiveMaximum"), on_below },
	{ S_INIT("multipleOf"), on_multiple },
	{ S_INIT("minLength"), on_min_length },
	{ S_INIT("maxLength"), on_max_length },
	{ S_INIT("pattern"), on_pattern },
	{ S_INIT("format"), on_format },
	{ S_INIT("properties"), on_properties },
	{ S_INIT("patternProperties"), on_patterns },
	{ S_INIT("additionalProperties"), on_additional },
	{ S_INIT("propertyNames"), on_names },
	{ S_INIT("required"), on_required },
	{ S_INIT("minProperties"), on_min_members },
	{ S_INIT("maxProperties"), on_max_members },
	{ S_INIT("dependentRequired"), on_needs },
	{ S_INIT("dependentSchemas"), on_dependents },
	{ S_INIT("items"), on_items },
	{ S_INIT("prefixItems"), on_prefix },
	{ S_INIT("contains"), on_contains },
	{ S_INIT("minContains"), on_min_contains },
	{ S_INIT("maxContains"), on_max_contains },
	{ S_INIT("minItems"), on_min_items },
	{ S_INIT("maxItems"), on_max_items },
	{ S_INIT("uniqueItems"), on_unique },
	{ S_INIT("allOf"), on_all },
	{ S_INIT("anyOf"), on_any },
	{ S_INIT("oneOf"), on_one },
	{ S_INIT("not"), on_not },
	{ S_INIT("if"), on_if },
	{ S_INIT("then"), on_then },
	{ S_INIT("else"), on_else },
	{ S_INIT("$defs"), on_defs },
	{ S_INIT("$ref"), on_ref },
	{ S_INIT("$schema"), on_schema },
	{ S_INIT("$id"), on_id },
	{ S_INIT("$comment"), on_annotation },
	{ S_INIT("title"), on_annotation },
	{ S_INIT("description"), on_annotation },
	{ S_INIT("default"), on_annotation },
	{ S_INIT("examples"), on_annotation },
	{ S_INIT("deprecated"), on_annotation },
	{ S_INIT("readOnly"), on_annotation },
	{ S_INIT("writeOnly"), on_annotation },
};

/* --- rules ------------------------------------------------------------------------ */

static int load_keyword(struct schema_loaded *loaded, struct rule *rule, struct tree *member)
{
	for (size_t i = 0; i < LEN(keywords); i++)
		if (str_eq(keywords[i].name, member->name))
			return keywords[i].load(loaded, rule, member);
	return refuse(loaded, member, "an unknown keyword");
}

static struct rule *new_rule(struct schema_loaded *loaded)
{
	struct rule *rule = arena_new(&loaded->arena, struct rule);

	if (!rule)
		return NULL;
	rule->types = TYPE_ALL;
	rule->text = (struct text_rule){ .max = SIZE_MAX, .controls = CONTROLS_ALL };
	rule->members.max = rule->items.max = rule->contained.max = SIZE_MAX;
	rule->contained.min = 1;
	rule->next = loaded->rules;
	loaded->rules = rule;
	return rule;
}

/* The rule of a subschema. */
static int load_rule(struct schema_loaded *loaded, struct tree *tree)
{
	int r = 0;

	if (tree->kind != TREE_OBJECT && tree->kind != TREE_BOOL)
		return refuse(loaded, tree, "expected a schema");
	tree->rule = new_rule(loaded);
	if (!tree->rule)
		return -(int)err_last()->code;

	tree->rule->never = tree->kind == TREE_BOOL && !tree->boolean;
	for (struct tree *member = tree->first; r == 0 && member; member = member->next)
		r = load_keyword(loaded, tree->rule, member);
	return r;
}

/* NOLINTEND(misc-no-recursion) */

/* --- references ------------------------------------------------------------------- */

/* Removes the escapes of a URI fragment, in place. False when one is malformed. */
static bool decode_percent(struct str *text, char *at)
{
	size_t len = 0;

	for (size_t i = 0; i < text->len; i++) {
		uint64_t value = (unsigned char)text->at[i];

		if (value == '%') {
			if (!num_parse_hex(str_first(str_from(*text, i + 1), 2), &value) ||
				text->len - i < 3)
				return false;
			i += 2;
		}
		at[len++] = (char)value;
	}
	*text = str_of(at, len);
	return true;
}

/* Removes the escapes of a JSON pointer, in place. */
static bool decode_tilde(struct str *text, char *at)
{
	size_t len = 0;

	for (size_t i = 0; i < text->len; i++) {
		char byte = text->at[i];

		if (byte == '~') {
			char next = ++i < text->len ? text->at[i] : '\0';

			if (next != '0' && next != '1')
				return false;
			byte = next == '0' ? '~' : '/';
		}
		at[len++] = byte;
	}
	*text = str_of(at, len);
	return true;
}

static struct tree *child_of(const struct tree *tree, struct str token)
{
	struct tree *item = tree->first;
	uint64_t position;

	if (tree->kind == TREE_OBJECT)
		return tree_find(tree, token);
	if (tree->kind != TREE_ARRAY || !num_parse_u64(token, &position))
		return NULL;
	while (item && item->position < position)
		item = item->next;
	return item;
}

static int resolve(struct schema_loaded *loaded, struct rule *rule)
{
	struct str rest = str_from(rule->ref_source->text, 1), token;
	struct tree *at = loaded->root;
	char *space = arena_alloc(&loaded->arena, rest.len + 1);

	if (!space)
		return -(int)err_last()->code;
	if (!decode_percent(&rest, space))
		at = NULL;
	rest = rest.len ? str_from(rest, 1) : str_of(NULL, 0);
	while (at && rest.at) {
		token = str_cut(&rest, '/');
		at = decode_tilde(&token, (char *)token.at) ? child_of(at, token) : NULL;
	}
	if (!at || !at->rule)
		return refuse(loaded, rule->ref_source, "refers to nothing that is a schema");
	rule->ref = at->rule;
	return 0;
}

/* --- rules in place ----------------------------------------------------------------- */

/* NOLINTBEGIN(misc-no-recursion): by LOADED_INPLACE_MAX */
static int measure(struct schema_loaded *loaded, struct rule *rule, unsigned depth);

static int measure_part(
	struct schema_loaded *loaded, struct rule *rule, const struct rule *part, unsigned depth)
{
	int r;

	if (!part)
		return 0;
	r = measure(loaded, (struct rule *)part, depth + 1);
	rule->height = MAX(rule->height, part->height + 1);
	return r;
}

static int measure_parts(
	struct schema_loaded *loaded, struct rule *rule, const struct tree *parts, unsigned depth)
{
	int r = 0;

	for (const struct tree *part = parts ? parts->first : NULL; r == 0 && part;
		part = part->next)
		r = measure_part(loaded, rule, part->rule, depth);
	return r;
}

/*
 * The longest chain of rules that apply to the same value, from this one on. A circle is a chain
 * without end.
 */
static int measure(struct schema_loaded *loaded, struct rule *rule, unsigned depth)
{
	const struct rule *single[] = { rule->ref, rule->not, rule->condition, rule->consequence,
		rule->alternative };
	const struct tree *several[] = { rule->all, rule->any, rule->one, rule->dependents };
	int r = 0;

	if (depth + rule->height > LOADED_INPLACE_MAX)
		return fail(ERR_INVALID,
			"more than %d subschemas apply to one value, one within the other, or one "
			"refers to itself",
			LOADED_INPLACE_MAX);
	if (rule->measured)
		return 0;

	for (size_t i = 0; r == 0 && i < LEN(single); i++)
		r = measure_part(loaded, rule, single[i], depth);
	for (size_t i = 0; r == 0 && i < LEN(several); i++)
		r = measure_parts(loaded, rule, several[i], depth);
	rule->height = MAX(rule->height, 1u);
	rule->measured = true;
	return r;
}

/* NOLINTEND(misc-no-recursion) */

/* --- the whole ---------------------------------------------------------------------- */

static int load(struct schema_loaded *loaded, struct str text)
{
	static const struct json_limits limits = { LOADED_BYTES_MAX, LOADED_DEPTH_MAX,
		LOADED_BYTES_MAX, LOADED_ELEMENTS_MAX };
	struct str copy = arena_str(&loaded->arena, text);
	int r;

	if (!copy.at)
		return -(int)err_last()->code;
	r = tree_read(copy, &limits, &loaded->arena, &loaded->root);
	if (r == 0)
		r = load_rule(loaded, loaded->root);
	for (struct rule *rule = loaded->rules; r == 0 && rule; rule = rule->next)
		if (rule->ref_source)
			r = resolve(loaded, rule);
	for (struct rule *rule = loaded->rules; r == 0 && rule; rule = rule->next)
		r = measure(loaded, rule, 0);
	return r;
}

int schema_load(struct str text, struct schema_loaded **ret)
{
	struct schema_loaded *loaded;
	int r;

	if (text.len > LOADED_BYTES_MAX)
		return fail(ERR_TOO_LARGE, "a schema of more than %d bytes", LOADED_BYTES_MAX);
	loaded = mem_zalloc(sizeof(*loaded));
	if (!loaded)
		return -(int)err_last()->code;

	arena_init(&loaded->arena, 16 * KILOBYTE, MEMORY_MAX);
	r = load(loaded, text);
	if (r < 0) {
		schema_loaded_free(loaded);
		return r;
	}
	*ret = loaded;
	return 0;
}

void schema_loaded_free(struct schema_loaded *loaded)
{
	if (!loaded)
		return;
	for (size_t i = 0; i < loaded->pattern_count; i++)
		pattern_free(loaded->patterns[i]);
	arena_done(&loaded->arena);
	mem_free(loaded, sizeof(*loaded));
}
