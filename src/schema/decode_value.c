/* From one JSON value, or one parameter's text, to one C value. */
#include "schema/decode_value.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/num.h"
#include "base/utf8.h"

enum { CHOICES_TEXT_MAX = 300, FIRST_ITEMS = 4 };

int report_type(struct decoder *decoder, const struct node *node, const struct path *path)
{
	static const char *const wanted[NODE_KINDS] = {
		[NODE_TEXT] = "text",
		[NODE_BOOL] = "true or false",
		[NODE_ENUM] = "text",
		[NODE_INTEGER] = "an integer",
		[NODE_NUMBER] = "a number",
		[NODE_TIME] = "text with a date and time",
		[NODE_RAW] = "a value",
		[NODE_STRUCT] = "an object",
		[NODE_POINTER] = "an object",
		[NODE_LIST] = "an array",
		[NODE_MAP] = "an object",
	};

	return report_at(&decoder->report, path, PROBLEM_INVALID_TYPE, "must be %s%s",
		wanted[node->kind], node->flags & NULLABLE ? " or null" : "");
}

/* --- texts --------------------------------------------------------------------- */

int choice_find(struct choices choices, struct str text)
{
	for (size_t i = 0; i < choices.count; i++)
		if (str_eq(choices.at[i], text))
			return (int)i;
	return -1;
}

static int report_choice(
	struct decoder *decoder, const struct choices *choices, const struct path *path)
{
	char text[CHOICES_TEXT_MAX];
	size_t len = 0;

	for (size_t i = 0; i < choices->count; i++) {
		struct str choice = choices->at[i];

		if (len + choice.len + 6 > sizeof(text)) {
			memcpy(text + len, ", ...", 5);
			len += 5;
			break;
		}
		if (i > 0) {
			memcpy(text + len, ", ", 2);
			len += 2;
		}
		memcpy(text + len, choice.at, choice.len);
		len += choice.len;
	}
	return report_at(&decoder->report, path, PROBLEM_INVALID_ENUM, "must be one of: %.*s",
		(int)len, text);
}

static int store_text(struct decoder *decoder, const struct node *node, const struct path *path,
	struct str text, void *to)
{
	*(struct str *)to = text;
	if (node->choices.count)
		return choice_find(node->choices, text) < 0
			       ? report_choice(decoder, &node->choices, path)
			       : 0;
	return rule_text(&node->text, text, &decoder->matcher, &decoder->report, path);
}

static int store_choice(struct decoder *decoder, const struct node *node, const struct path *path,
	struct str text, void *to)
{
	int position = choice_find(node->choices, text);

	if (position < 0)
		return report_choice(decoder, &node->choices, path);
	*(int *)to = position;
	return 0;
}

static int store_time(struct decoder *decoder, const struct path *path, struct str text, void *to)
{
	const struct format_info *info = format_info(FORMAT_DATE_TIME);

	if (!format_read_date_time(text, to))
		return report_at(&decoder->report, path, info->code, "must be %s", info->what);
	return 0;
}

/* --- numbers ------------------------------------------------------------------- */

static int store_integer(struct decoder *decoder, const struct node *node, const struct path *path,
	struct str number, void *to)
{
	struct decimal decimal;
	int64_t value;

	if (LIKELY(num_parse_i64(number, &value))) {
		*(int64_t *)to = value;
		return rule_integer(&node->integer, value, &decoder->report, path);
	}

	decimal = decimal_read(number); /* 1.0 and 1e2 are integers, too */
	if (!decimal_is_integer(decimal))
		return report_type(decoder, node, path);
	if (!decimal_i64(decimal, &value))
		return report_at(&decoder->report, path,
			decimal.negative ? PROBLEM_TOO_SMALL : PROBLEM_TOO_LARGE,
			"must be between %lld and %lld", (long long)node->integer.min,
			(long long)node->integer.max);
	*(int64_t *)to = value;
	return rule_integer(&node->integer, value, &decoder->report, path);
}

static int store_number(struct decoder *decoder, const struct node *node, const struct path *path,
	struct str number, void *to)
{
	double value;

	if (json_number_double(number, &value) < 0)
		return report_at(&decoder->report, path,
			number.at[0] == '-' ? PROBLEM_TOO_SMALL : PROBLEM_TOO_LARGE,
			"is beyond what a double can hold");
	*(double *)to = value;
	return rule_number(&node->number, value, &decoder->report, path);
}

/* --- scalars ------------------------------------------------------------------- */

/* Marks an opt_x as there; returns where its value goes. */
static void *open_optional(const struct node *node, void *to, bool null)
{
	bool *head = to;

	if (node->optional) {
		head[0] = true;
		head[1] = null;
	}
	return (char *)to + node->inner;
}

int decode_scalar(struct decoder *decoder, const struct node *node, const struct path *path,
	int event, void *to)
{
	struct str text = decoder->reader->text;
	void *value;

	if (event == JSON_NULL && node->flags & NULLABLE) {
		(void)open_optional(node, to, true);
		return 0;
	}

	value = open_optional(node, to, false);
	switch (node->kind) {
	case NODE_TEXT:
		if (event == JSON_STRING)
			return store_text(decoder, node, path, text, value);
		break;
	case NODE_BOOL:
		if (event == JSON_TRUE || event == JSON_FALSE) {
			*(bool *)value = event == JSON_TRUE;
			return 0;
		}
		break;
	case NODE_ENUM:
		if (event == JSON_STRING)
			return store_choice(decoder, node, path, text, value);
		break;
	case NODE_INTEGER:
		if (event == JSON_NUMBER)
			return store_integer(decoder, node, path, text, value);
		break;
	case NODE_NUMBER:
		if (event == JSON_NUMBER)
			return store_number(decoder, node, path, text, value);
		break;
	default:
		if (event == JSON_STRING)
			return store_time(decoder, path, text, value);
		break;
	}
	if (json_skip(decoder->reader) < 0)
		return -(int)err_last()->code;
	return report_type(decoder, node, path);
}

/* True when the text is a JSON number and nothing else. */
static bool is_number(struct str text, struct arena *arena)
{
	struct json_reader reader;

	if (text.len == 0 || text.len > JSON_DOUBLE_MAX * 2)
		return false;
	json_reader_init(&reader, text, arena, NULL);
	return json_next(&reader) == JSON_NUMBER && reader.text.len == text.len;
}

int decode_text(struct decoder *decoder, const struct node *node, const struct path *path,
	struct str text, void *to)
{
	void *value = open_optional(node, to, false);
	bool yes = str_eq(text, S("true"));

	if (!utf8_valid(text))
		return report_at(&decoder->report, path, PROBLEM_INVALID_TEXT, "must be UTF-8");

	switch (node->kind) {
	case NODE_TEXT: return store_text(decoder, node, path, text, value);
	case NODE_ENUM: return store_choice(decoder, node, path, text, value);
	case NODE_TIME: return store_time(decoder, path, text, value);
	case NODE_BOOL:
		if (!yes && !str_eq(text, S("false")))
			return report_type(decoder, node, path);
		*(bool *)value = yes;
		return 0;
	default: break;
	}

	if (!is_number(text, decoder->arena))
		return report_type(decoder, node, path);
	return node->kind == NODE_INTEGER ? store_integer(decoder, node, path, text, value)
					  : store_number(decoder, node, path, text, value);
}

/* --- many ---------------------------------------------------------------------- */

void *many_grow(struct arena *arena, struct many *many, size_t stride)
{
	size_t count = many->count;
	bool full = count == 0 || (count >= FIRST_ITEMS && (count & (count - 1)) == 0);
	char *grown;

	if (full) {
		grown = arena_alloc(arena, stride * MAX(2 * count, (size_t)FIRST_ITEMS));
		if (!grown)
			return NULL;
		if (count)
			memcpy(grown, many->at, count * stride);
		many->at = grown;
	}
	return memset(many->at + count * stride, 0, stride);
}

/* The bytes that are equal when two items are. */
static struct str item_bytes(const struct node *item, const char *at, double *space)
{
	struct str text;

	if (item->kind == NODE_TEXT) {
		memcpy(&text, at, sizeof(text));
		return text;
	}
	if (item->kind == NODE_NUMBER) {
		memcpy(space, at, sizeof(*space));
		*space += 0.0; /* -0 is 0 */
		return str_of((const char *)space, sizeof(*space));
	}
	return str_of(at, item->size);
}

/* Finds the first item that equals an earlier one; in a table under the process' secret, so that
 * nobody can choose items that collide. Returns its position, the count when there is none, or a
 * negative code. */
static ptrdiff_t find_twin(
	struct decoder *decoder, const struct node *node, const struct many *many)
{
	struct arena_mark mark = arena_mark(decoder->arena);
	size_t mask = 4, i;
	uint32_t *table;

	while (mask < 2 * many->count)
		mask *= 2;
	table = arena_zalloc(decoder->arena, mask-- * sizeof(*table));
	if (!table)
		return -(ptrdiff_t)err_last()->code;

	for (i = 0; i < many->count; i++) {
		double mine, other;
		struct str bytes = item_bytes(node->item, many->at + i * node->many.stride, &mine);
		size_t slot = hash_str(bytes) & mask;
		bool twin = false;

		for (; table[slot] && !twin; slot = (slot + 1) & mask)
			twin = str_eq(bytes,
				item_bytes(node->item,
					many->at + (table[slot] - 1) * node->many.stride, &other));
		if (twin)
			break;
		table[slot] = (uint32_t)i + 1;
	}
	arena_back(decoder->arena, mark);
	return (ptrdiff_t)i;
}

int check_many(struct decoder *decoder, const struct node *node, const struct path *path,
	struct many many, size_t count)
{
	struct report *report = &decoder->report;
	ptrdiff_t twin;
	int r = rule_count(count, node->many.min, node->many.max,
		node->kind == NODE_LIST ? "items" : "entries", report, path);

	if (r < 0 || !(node->flags & UNIQUE) || many.count < 2)
		return r;

	twin = find_twin(decoder, node, &many);
	if (twin < 0)
		return (int)twin;
	if ((size_t)twin == many.count)
		return 0;
	return report_at(report, &(struct path){ .up = path, .index = (size_t)twin },
		PROBLEM_NOT_UNIQUE, "must differ from the other items");
}
