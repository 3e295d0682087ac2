/*
 * The native half of ./bench schema: decoding with checks, by table and by hand over jansson's tree
 *
 *   bench-schema_native FILE ROUNDS    prints the processor nanoseconds of one document by each
 *
 * Both fill the same struct, refuse the same documents and name the same member; by hand stops at
 * the first problem.
 */
#include "base/err.h"
#include "schema/decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Some names are jansson's and ours; from here on they are jansson's, whose macros use them. */
#define JSON_OBJECT JANSSON_OBJECT
#define JSON_ARRAY  JANSSON_ARRAY
#define JSON_STRING JANSSON_STRING
#define JSON_TRUE   JANSSON_TRUE
#define JSON_FALSE  JANSSON_FALSE
#define JSON_NULL   JANSSON_NULL
#include <jansson.h>

struct item {
	struct str sku;
	int64_t quantity;
	double price;
	struct str note;
};

struct basket {
	struct str id;
	struct str email;
	struct str reference;
	int64_t placed_at;
	int state;
	bool gift;
	struct opt_str comment;
	LIST_OF(struct str) tags;
	LIST_OF(struct item) items;
};

/* clang-format off */
static const struct schema item_schema = SCHEMA(item, "A line.",
	FIELD(item, sku, "What.", .flags = REQUIRED, RANGE(1, 40), .pattern = "[a-z0-9-]+"),
	FIELD(item, quantity, "How many.", .flags = REQUIRED, RANGE(1, 1000)),
	FIELD(item, price, "For one.", .flags = REQUIRED, BOUNDS(0, 1e6)),
	FIELD(item, note, "For people.", RANGE(0, 200)));
static const struct schema basket_schema = SCHEMA(basket, "An order.",
	FIELD(basket, id, "Its id.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(basket, email, "Whose.", .flags = REQUIRED, .format = FORMAT_EMAIL),
	FIELD(basket, reference, "The customer's own.", RANGE(1, 30), .pattern = "[A-Z]{2}-[0-9]+"),
	FIELD(basket, placed_at, "When.", .flags = REQUIRED, .format = FORMAT_DATE_TIME),
	FIELD(basket, state, "Where it is.", .flags = REQUIRED, CHOICES("open", "paid", "sent")),
	FIELD(basket, gift, "To be wrapped."),
	FIELD(basket, comment, "For people.", .flags = NULLABLE, RANGE(0, 500)),
	LIST(basket, tags, "Labels.", RANGE(0, 10), .flags = UNIQUE, .item = RULES(RANGE(1, 20))),
	LIST(basket, items, "What is ordered.", .flags = REQUIRED, RANGE(1, 100),
		.nested = &item_schema));
/* clang-format on */

static struct arena arena;

static bool by_table(struct str text)
{
	struct problems problems;
	struct basket basket;
	int r;

	problems_init(&problems, &arena);
	r = schema_decode(&basket_schema, SCHEMA_INPUT, text, &arena, &problems, &basket);
	arena_reset(&arena);
	return r == 0;
}

/* --- by hand ------------------------------------------------------------------------ */

/* A member that is text of so many characters. */
static bool take_text(
	json_t *object, const char *name, bool required, size_t min, size_t max, struct str *ret)
{
	json_t *value = json_object_get(object, name);
	size_t length = 0;

	if (!value)
		return !required;
	if (!json_is_string(value))
		return false;
	*ret = str_of(json_string_value(value), json_string_length(value));
	for (size_t i = 0; i < ret->len; i++) {
		unsigned char byte = (unsigned char)ret->at[i];

		if (byte < 0x20 || byte == 0x7F)
			return false;
		length += (byte & 0xC0) != 0x80;
	}
	return length >= min && length <= max;
}

static bool only_names(json_t *object, const char *const *known, size_t count)
{
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value)
	{
		size_t i = 0;

		while (i < count && strcmp(known[i], name) != 0)
			i++;
		if (i == count)
			return false;
	}
	return true;
}

static bool is_sku(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!(text.at[i] >= 'a' && text.at[i] <= 'z') &&
			!(text.at[i] >= '0' && text.at[i] <= '9') && text.at[i] != '-')
			return false;
	return text.len > 0;
}

static bool is_reference(struct str text)
{
	if (text.len < 4 || text.at[2] != '-')
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (i != 2 && !(i < 2 ? text.at[i] >= 'A' && text.at[i] <= 'Z'
				      : text.at[i] >= '0' && text.at[i] <= '9'))
			return false;
	return true;
}

static bool take_item(json_t *object, struct item *item)
{
	static const char *const names[] = { "sku", "quantity", "price", "note" };
	json_t *quantity = json_object_get(object, "quantity");
	json_t *price = json_object_get(object, "price");

	if (!json_is_object(object) || !only_names(object, names, LEN(names)) ||
		!take_text(object, "sku", true, 1, 40, &item->sku) || !is_sku(item->sku) ||
		!take_text(object, "note", false, 0, 200, &item->note) ||
		!json_is_integer(quantity) || !json_is_number(price))
		return false;
	item->quantity = json_integer_value(quantity);
	item->price = json_number_value(price);
	return item->quantity >= 1 && item->quantity <= 1000 && item->price >= 0 &&
	       item->price <= 1e6;
}

static bool take_tags(json_t *array, struct basket *basket)
{
	size_t count = json_array_size(array);

	if (!array)
		return true;
	if (!json_is_array(array) || count > 10)
		return false;
	basket->tags.at = calloc(count + 1, sizeof(struct str));
	for (size_t i = 0; i < count; i++) {
		json_t *value = json_array_get(array, i);
		struct str tag;

		if (!json_is_string(value))
			return false;
		tag = str_of(json_string_value(value), json_string_length(value));
		if (tag.len < 1 || tag.len > 80)
			return false;
		for (size_t j = 0; j < i; j++)
			if (str_eq(basket->tags.at[j], tag))
				return false;
		basket->tags.at[i] = tag;
	}
	basket->tags.count = count;
	return true;
}

static bool take_items(json_t *array, struct basket *basket)
{
	size_t count = json_array_size(array);

	if (!json_is_array(array) || count < 1 || count > 100)
		return false;
	basket->items.at = calloc(count, sizeof(struct item));
	basket->items.count = count;
	for (size_t i = 0; i < count; i++)
		if (!take_item(json_array_get(array, i), &basket->items.at[i]))
			return false;
	return true;
}

static bool take_state(struct str text, int *ret)
{
	static const struct str states[] = { S_INIT("open"), S_INIT("paid"), S_INIT("sent") };

	for (size_t i = 0; i < LEN(states); i++)
		if (str_eq(states[i], text)) {
			*ret = (int)i;
			return true;
		}
	return false;
}

static bool take_basket(json_t *object, struct basket *basket)
{
	static const char *const names[] = { "id", "email", "reference", "placedAt", "state",
		"gift", "comment", "tags", "items" };
	json_t *gift = json_object_get(object, "gift");
	json_t *comment = json_object_get(object, "comment");
	struct str placed, state;

	if (!json_is_object(object) || !only_names(object, names, LEN(names)) ||
		!take_text(object, "id", true, 36, 36, &basket->id) || !format_uuid(basket->id) ||
		!take_text(object, "email", true, 3, 254, &basket->email) ||
		!format_email(basket->email) ||
		!take_text(object, "reference", false, 1, 30, &basket->reference) ||
		(basket->reference.at && !is_reference(basket->reference)) ||
		!take_text(object, "placedAt", true, 20, 40, &placed) ||
		!format_read_date_time(placed, &basket->placed_at) ||
		!take_text(object, "state", true, 1, 10, &state) ||
		!take_state(state, &basket->state) || (gift && !json_is_boolean(gift)))
		return false;
	basket->gift = json_is_true(gift);
	basket->comment.set = comment != NULL;
	basket->comment.null = json_is_null(comment);
	if (comment && !basket->comment.null &&
		!take_text(object, "comment", true, 0, 500, &basket->comment.value))
		return false;
	return take_tags(json_object_get(object, "tags"), basket) &&
	       take_items(json_object_get(object, "items"), basket);
}

static bool by_hand(struct str text)
{
	struct basket basket = { 0 };
	json_t *tree = json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES, NULL);
	bool taken = tree && take_basket(tree, &basket);

	free(basket.tags.at);
	free(basket.items.at);
	json_decref(tree);
	return taken;
}

/* --- the run ------------------------------------------------------------------------- */

static double measure(bool (*judge)(struct str), struct str text, size_t rounds, bool *ret_taken)
{
	struct timespec from, to;

	CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from) == 0);
	for (size_t i = 0; i < rounds; i++)
		*ret_taken = judge(text);
	CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to) == 0);
	return ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) /
	       (double)rounds;
}

int main(int argc, char **argv)
{
	static char text[MEGABYTE];
	bool table_takes = false, hand_takes = false;
	double table_ns, hand_ns;
	size_t len, rounds;
	FILE *file;

	if (argc != 3) {
		fprintf(stderr, "usage: %s FILE ROUNDS (./bench schema runs it)\n", argv[0]);
		return 2;
	}
	file = fopen(argv[1], "r");
	CHECK(file);
	len = fread(text, 1, sizeof(text), file);
	(void)fclose(file);
	rounds = (size_t)strtoul(argv[2], NULL, 10);
	arena_init(&arena, 64 * KILOBYTE, 16 * MEGABYTE);
	CHECK(schema_compile(&basket_schema) == 0);

	(void)measure(by_table, str_of(text, len), rounds / 10 + 1, &table_takes);
	(void)measure(by_hand, str_of(text, len), rounds / 10 + 1, &hand_takes);
	table_ns = measure(by_table, str_of(text, len), rounds, &table_takes);
	hand_ns = measure(by_hand, str_of(text, len), rounds, &hand_takes);
	printf("{\"table\":%.1f,\"hand\":%.1f,\"valid\":%s}\n", table_ns, hand_ns,
		table_takes ? "true" : "false");
	CHECK(table_takes == hand_takes);
	schema_release(&basket_schema);
	arena_done(&arena);
	return 0;
}
