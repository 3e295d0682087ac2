/* Looks over the rows of a table before anything is made of them: what goes with what. */
#include "schema/table_check.h"

#include "base/err.h"

#include <math.h>

/* What of a row (or of the RULES of its items) is looked at together. */
struct look {
	const struct schema *schema;
	const struct field *row;   /* for the name in the sentence */
	const struct field *rules; /* the row itself, its .item or its .key */
	enum field_kind kind;      /* without opt_x */
	bool optional, pointer;
	uint32_t size;
	const struct schema *nested;
};

bool kind_is_optional(enum field_kind kind)
{
	return kind >= FIELD_OPT_TEXT && kind <= FIELD_OPT_NUMBER;
}

enum field_kind kind_base(enum field_kind kind)
{
	return kind_is_optional(kind) ? FIELD_TEXT + (kind - FIELD_OPT_TEXT) : kind;
}

/* True for the kinds that may come as the text of a parameter. */
static bool is_scalar(enum field_kind kind)
{
	return kind_base(kind) >= FIELD_TEXT && kind_base(kind) <= FIELD_NUMBER;
}

static int check_range(const struct look *look)
{
	const struct field *rules = look->rules;
	bool counts = look->kind == FIELD_TEXT || look->kind == FIELD_RAW ||
		      look->kind == FIELD_LIST || look->kind == FIELD_MAP;

	if (rules->bounded && look->kind != FIELD_NUMBER)
		return MISTAKE(look->schema, look->row, "BOUNDS are for a double");
	if (rules->bounded &&
		!(isfinite(rules->low) && isfinite(rules->high) && rules->low <= rules->high))
		return MISTAKE(look->schema, look->row, "the BOUNDS hold no number");
	if (!rules->ranged)
		return 0;

	if (!counts && look->kind != FIELD_INTEGER)
		return MISTAKE(look->schema, look->row,
			"a RANGE is for texts, integers, lists, maps and raw JSON");
	if (look->kind == FIELD_INTEGER && rules->format == FORMAT_DATE_TIME)
		return MISTAKE(look->schema, look->row, "a RANGE of times cannot be documented");
	if (rules->min > rules->max)
		return MISTAKE(look->schema, look->row, "the least, %lld, is above the most, %lld",
			(long long)rules->min, (long long)rules->max);
	if (counts && (rules->min < 0 || rules->max > UINT32_MAX))
		return MISTAKE(look->schema, look->row, "a RANGE of lengths is 0 to 4294967295");
	return 0;
}

static int check_text(const struct look *look)
{
	const struct field *rules = look->rules;
	bool time = look->kind == FIELD_INTEGER && rules->format == FORMAT_DATE_TIME;

	if (rules->format >= FORMATS)
		return MISTAKE(look->schema, look->row, "there is no such format");
	if (rules->format != FORMAT_NONE && look->kind != FIELD_TEXT && !time)
		return MISTAKE(look->schema, look->row,
			"a format is for text (FORMAT_DATE_TIME also for int64_t)");
	if (rules->pattern && look->kind != FIELD_TEXT)
		return MISTAKE(look->schema, look->row, "a pattern is for text");
	if (rules->pattern && (!rules->ranged ? DEFAULT_TEXT_MAX : rules->max) > 8000)
		return MISTAKE(look->schema, look->row,
			"a text with a pattern needs a RANGE of at most 8000 characters");
	if (rules->flags & (MULTILINE | ANY_TEXT) && look->kind != FIELD_TEXT)
		return MISTAKE(look->schema, look->row, "MULTILINE and ANY_TEXT are for text");
	return 0;
}

static int check_choices(const struct look *look)
{
	const char *const *choices = look->rules->choices;
	size_t count = 0;

	if (!choices && look->kind == FIELD_ENUM)
		return MISTAKE(look->schema, look->row, "an enum needs CHOICES");
	if (!choices)
		return 0;

	if (look->kind != FIELD_ENUM && look->kind != FIELD_TEXT)
		return MISTAKE(look->schema, look->row, "CHOICES are for text and enums");
	if (look->rules->format != FORMAT_NONE || look->rules->pattern || look->rules->ranged)
		return MISTAKE(look->schema, look->row,
			"with CHOICES, no RANGE, format or pattern counts");

	for (; choices[count]; count++)
		for (size_t i = 0; i < count; i++)
			if (strcmp(choices[i], choices[count]) == 0)
				return MISTAKE(look->schema, look->row,
					"the choice \"%s\" is there twice", choices[i]);
	if (count == 0 || count > SCHEMA_CHOICES_MAX)
		return MISTAKE(look->schema, look->row, "%zu choices; 1 to %d are possible", count,
			SCHEMA_CHOICES_MAX);
	return 0;
}

static int check_nested(const struct look *look)
{
	const struct schema *nested = look->nested;

	if (look->kind != FIELD_STRUCT)
		return nested && look->kind != FIELD_LIST && look->kind != FIELD_MAP
			       ? MISTAKE(look->schema, look->row, "has .nested but is no struct")
			       : 0;

	if (!nested)
		return MISTAKE(look->schema, look->row,
			"its C type is none of schema/schema.h; a struct needs .nested");
	if (!look->pointer && nested->size != look->size)
		return MISTAKE(look->schema, look->row, "%u bytes, but struct %s has %zu",
			look->size, nested->type, nested->size);
	for (size_t i = 0; i < nested->count; i++)
		if (nested->fields[i].from != FROM_BODY)
			return MISTAKE(look->schema, look->row,
				"%s has parameters, which only an outermost struct can",
				nested->type);
	return 0;
}

static int check_value(const struct look *look)
{
	int r = check_nested(look);

	if (r == 0)
		r = check_choices(look);
	if (r == 0)
		r = check_text(look);
	return r == 0 ? check_range(look) : r;
}

/* --- lists and maps ------------------------------------------------------------ */

/* The flags that say something about a value as such. */
static int check_part_flags(
	const struct schema *schema, const struct field *field, const char *part)
{
	const struct field *rules = *part == 'k' ? field->key : field->item;

	if (rules && (rules->flags & ~(unsigned)(MULTILINE | ANY_TEXT) || rules->if_missing ||
			     rules->item || rules->key || rules->from != FROM_BODY || rules->name))
		return MISTAKE(schema, field, "its .%s says more than what a value must be", part);
	return 0;
}

static const struct field no_rules;

static int check_many(const struct schema *schema, const struct field *field)
{
	const struct field *item = field->item ? field->item : &no_rules;
	struct look look = { schema, field, item, field->item_kind, false, field->item_pointer,
		field->item_size, item->nested ? item->nested : field->nested };
	int r = check_part_flags(schema, field, "item");

	if (r < 0)
		return r;
	if (kind_is_optional(field->item_kind))
		return MISTAKE(schema, field, "an item is never missing: take the plain type");
	if (field->flags & UNIQUE && (field->kind != FIELD_LIST || !is_scalar(field->item_kind) ||
					     field->item_kind == FIELD_BOOL))
		return MISTAKE(schema, field, "UNIQUE is for lists of texts, enums and numbers");
	r = check_value(&look);
	if (r < 0 || !field->key)
		return r;

	look = (struct look){ schema, field, field->key, .kind = FIELD_TEXT };
	if (field->kind != FIELD_MAP)
		return MISTAKE(schema, field, ".key is for maps");
	r = check_part_flags(schema, field, "key");
	return r < 0 ? r : check_value(&look);
}

/* --- rows ---------------------------------------------------------------------- */

static int check_flags(const struct schema *schema, const struct field *field)
{
	unsigned flags = field->flags;

	if (flags & NULLABLE && !kind_is_optional(field->kind) && !field->pointer)
		return MISTAKE(schema, field,
			"NULLABLE is for opt_x and pointers: where would the "
			"null go?");
	if (flags & UNIQUE && field->kind != FIELD_LIST)
		return MISTAKE(schema, field, "UNIQUE is for lists");
	if (flags & READ_ONLY && flags & (WRITE_ONLY | REQUIRED))
		return MISTAKE(schema, field, "READ_ONLY excludes WRITE_ONLY and REQUIRED");
	if (flags & REQUIRED && field->if_missing)
		return MISTAKE(schema, field, "what is REQUIRED has no default");
	if ((field->if_missing || field->example) && !is_scalar(field->kind))
		return MISTAKE(schema, field,
			"defaults and examples are for texts, numbers, bools "
			"and enums");
	return 0;
}

static int check_source(const struct schema *schema, const struct field *field)
{
	if (field->from == FROM_BODY)
		return 0;

	if (!is_scalar(field->kind) && !(field->kind == FIELD_LIST && is_scalar(field->item_kind)))
		return MISTAKE(schema, field,
			"a parameter is a text, number, bool or enum, or a "
			"list of them");
	if (field->from == FROM_PATH && field->kind == FIELD_LIST)
		return MISTAKE(schema, field, "a path has each parameter once");
	if (field->flags & (READ_ONLY | NULLABLE))
		return MISTAKE(schema, field, "a parameter is neither READ_ONLY nor NULLABLE");
	return 0;
}

static int check_row(const struct schema *schema, const struct field *field)
{
	struct look look = { schema, field, field, kind_base(field->kind),
		kind_is_optional(field->kind), field->pointer, field->size, field->nested };
	bool many = field->kind == FIELD_LIST || field->kind == FIELD_MAP;
	int r;

	if (!field->text || !*field->text)
		return MISTAKE(schema, field, "lacks its sentence");
	if (!many && (field->item || field->key))
		return MISTAKE(schema, field, ".item and .key are for lists and maps");

	r = check_flags(schema, field);
	if (r == 0)
		r = check_source(schema, field);
	if (r == 0)
		r = check_value(&look);
	return r == 0 && many ? check_many(schema, field) : r;
}

static int check_case(const struct schema *schema, const struct field *row)
{
	struct look look = { schema, row, row, row->kind, false, row->pointer, row->size,
		row->nested };

	if (!row->nested && row->size == 0)
		return 0; /* BARE_CASE */
	if (row->kind != FIELD_STRUCT || row->pointer)
		return MISTAKE(schema, row, "a case is a struct");
	if (row->nested && row->nested->tag)
		return MISTAKE(schema, row, "a case cannot be a union itself");
	return check_nested(&look);
}

int table_check(const struct schema *schema)
{
	if (!schema->type || !schema->fields || schema->count == 0 || !schema->slot)
		return fail(ERR_INVALID, "a schema that was not written with SCHEMA or UNION");
	if (schema->count > SCHEMA_FIELDS_MAX)
		return fail(ERR_INVALID, "%s: %zu members; at most %d are possible", schema->type,
			schema->count, SCHEMA_FIELDS_MAX);
	if (!schema->text || !*schema->text)
		return fail(ERR_INVALID, "%s: lacks its sentence", schema->type);
	if (schema->tag && (schema->tag->kind != FIELD_ENUM || schema->tag->pointer))
		return MISTAKE(schema, schema->tag, "the tag of a union is an int or an enum");

	for (size_t i = 0; i < schema->count; i++) {
		const struct field *row = &schema->fields[i];
		int r = schema->tag ? check_case(schema, row) : check_row(schema, row);

		if (r < 0)
			return r;
	}
	return 0;
}
