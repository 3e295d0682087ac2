/* Cursors: every kind comes back, NULL included; nothing else is read; changed ones are refused or
 * are the cursor of another row. */
#include "store/page.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"
#include "crypto/base64.h"

struct place {
	struct str title, id, tag;
	bool pinned;
	int64_t votes, created_us;
	double score;
	enum { PLACE_NEW, PLACE_OLD } state;
	struct opt_str note;
	struct opt_bool read;
	struct opt_int mood;
	struct opt_i64 due_us;
	struct opt_f64 weight;
};

/* clang-format off */
static const struct schema place_schema = SCHEMA(place, "A sort key of every kind.",
	FIELD(place, title, "Any."),
	FIELD(place, id, "Which.", .format = FORMAT_UUID),
	FIELD(place, tag, "Not empty, or NULL.", RANGE(1, 100)),
	FIELD(place, pinned, "First."),
	FIELD(place, votes, "How many."),
	FIELD(place, created_us, "When.", .format = FORMAT_DATE_TIME),
	FIELD(place, score, "How much."),
	FIELD(place, state, "How.", CHOICES("new", "old")),
	FIELD(place, note, "Some.", .flags = NULLABLE),
	FIELD(place, read, "Was."),
	FIELD(place, mood, "Of them.", .flags = NULLABLE, CHOICES("good", "bad")),
	FIELD(place, due_us, "Until.", .format = FORMAT_DATE_TIME),
	FIELD(place, weight, "Of it.", .flags = NULLABLE));

struct short_key {
	int64_t created_us;
	struct str id;
};
static const struct schema short_key_schema = SCHEMA(short_key, "A usual sort key.",
	FIELD(short_key, created_us, "When.", .format = FORMAT_DATE_TIME),
	FIELD(short_key, id, "Which.", .format = FORMAT_UUID));

struct list_key {
	LIST_OF(struct str) tags;
};
static const struct schema list_key_schema = SCHEMA(list_key, "No sort key.",
	LIST(list_key, tags, "Some."));
/* clang-format on */

static const struct schema *const schemas[] = { &place_schema, &short_key_schema,
	&list_key_schema };

static struct arena arena;

#define PLACES S("places by everything")

static void begin(void)
{
	arena_init(&arena, 4096, MEGABYTE);
	REQUIRE(schema_compile_all(schemas, LEN(schemas)) == 0);
}

static void end(void)
{
	for (size_t i = 0; i < LEN(schemas); i++)
		schema_release(schemas[i]);
	arena_done(&arena);
	EXPECT_INT(mem_used(), 0);
}

static void expect_invalid(struct str list, const struct schema *schema, struct str cursor)
{
	char space[sizeof(struct place)], before[sizeof(space)];

	memset(space, 0x5a, sizeof(space));
	memcpy(before, space, sizeof(space));
	EXPECT_INT(cursor_read(&arena, list, schema, cursor, space), -ERR_INVALID);
	EXPECT_STR(str_from_c(err_last()->field), S("cursor"));
	EXPECT_STR(str_from_c(err_last()->rule), S("invalid_cursor"));
	EXPECT(memcmp(space, before, sizeof(space)) == 0);
}

/* --- random rows ------------------------------------------------------------------- */

static struct str random_text(uint64_t *seed, size_t least, char *space)
{
	static const char *const parts[] = { "a", "Z", " ", "'", "\xc3\xa4", "\xf0\x9f\x90\xb3" };
	size_t count = least + test_random(seed) % 5;
	size_t len = 0;

	for (size_t i = 0; i < count; i++) {
		const char *part = parts[test_random(seed) % LEN(parts)];

		memcpy(space + len, part, strlen(part));
		len += strlen(part);
	}
	return arena_str(&arena, str_of(space, len));
}

/* Small and large ones alike. */
static int64_t random_integer(uint64_t *seed)
{
	return (int64_t)(test_random(seed) << test_random(seed) % 64);
}

static double random_real(uint64_t *seed)
{
	return (double)random_integer(seed) / (double)(1 + test_random(seed) % 1000);
}

static void random_place(uint64_t *seed, struct place *ret)
{
	char space[64], id[36];

	for (size_t i = 0; i < sizeof(id); i++)
		id[i] = i == 8 || i == 13 || i == 18 || i == 23
				? '-'
				: "0123456789abcdef"[test_random(seed) % 16];
	*ret = (struct place){
		.title = random_text(seed, 0, space),
		.id = arena_str(&arena, str_of(id, sizeof(id))),
		.tag = random_text(seed, 0, space),
		.pinned = test_random(seed) % 2,
		.votes = random_integer(seed),
		.created_us = random_integer(seed),
		.score = random_real(seed),
		.state = test_random(seed) % 2 ? PLACE_NEW : PLACE_OLD,
	};
	if (test_random(seed) % 2)
		ret->note = (struct opt_str){ true, false, random_text(seed, 0, space) };
	else
		ret->note = (struct opt_str){ true, true };
	if (test_random(seed) % 2)
		ret->read = (struct opt_bool){ true, false, test_random(seed) % 2 };
	if (test_random(seed) % 2)
		ret->mood = (struct opt_int){ true, false, (int)(test_random(seed) % 2) };
	else
		ret->mood = (struct opt_int){ true, true };
	if (test_random(seed) % 2)
		ret->due_us = (struct opt_i64){ true, false, random_integer(seed) };
	if (test_random(seed) % 2)
		ret->weight = (struct opt_f64){ true, false, random_real(seed) };
	else
		ret->weight = (struct opt_f64){ true, true };
}

static void expect_same(const struct place *a, const struct place *b)
{
	EXPECT_STR(a->title, b->title);
	EXPECT_STR(a->id, b->id);
	EXPECT_STR(a->tag, b->tag);
	EXPECT(a->pinned == b->pinned && a->votes == b->votes && a->created_us == b->created_us);
	EXPECT(a->score == b->score && a->state == b->state);
	EXPECT(a->note.set == b->note.set && a->note.null == b->note.null);
	EXPECT_STR(a->note.value, b->note.value);
	EXPECT(a->read.set == b->read.set && a->read.value == b->read.value);
	EXPECT(a->mood.null == b->mood.null && a->mood.value == b->mood.value);
	EXPECT(a->due_us.set == b->due_us.set && a->due_us.value == b->due_us.value);
	EXPECT(a->weight.null == b->weight.null && a->weight.value == b->weight.value);
}

TEST(cursor_brings_every_kind_back)
{
	uint64_t seed = 1;

	begin();
	for (size_t i = 0; i < 5000; i++) {
		struct arena_mark mark = arena_mark(&arena);
		struct place place, back;
		struct str cursor, again;

		random_place(&seed, &place);
		REQUIRE(cursor_write(&arena, PLACES, &place_schema, &place, &cursor) == 0);
		REQUIRE(cursor.len <= CURSOR_MAX);
		REQUIRE(cursor_read(&arena, PLACES, &place_schema, cursor, &back) == 0);
		expect_same(&place, &back);
		REQUIRE(cursor_write(&arena, PLACES, &place_schema, &back, &again) == 0);
		EXPECT_STR(again, cursor);
		arena_back(&arena, mark);
	}
	end();
}

/* --- changed ones -------------------------------------------------------------------- */

/* 1 when it is read, and is then the cursor of what was read. */
static size_t try_changed(struct str cursor)
{
	struct arena_mark mark = arena_mark(&arena);
	struct place place;
	struct str again;
	int r = cursor_read(&arena, PLACES, &place_schema, cursor, &place);

	REQUIRE(r == 0 || r == -ERR_INVALID);
	if (r == 0) {
		REQUIRE(cursor_write(&arena, PLACES, &place_schema, &place, &again) == 0);
		REQUIRE(str_eq(again, cursor));
	}
	arena_back(&arena, mark);
	return r == 0;
}

/* Every byte of the text, and every byte below it, set to every other value. */
TEST(cursor_changed_is_refused_or_another_one)
{
	uint64_t seed = 7;
	size_t read = 0;

	begin();
	for (size_t round = 0; round < (BUILT_WITH_TSAN ? 1 : 4); round++) {
		char text[CURSOR_MAX], bytes[CURSOR_MAX];
		struct place place;
		struct str cursor;
		size_t len;

		random_place(&seed, &place);
		REQUIRE(cursor_write(&arena, PLACES, &place_schema, &place, &cursor) == 0);
		REQUIRE(base64_read(BASE64_URL, cursor, bytes, sizeof(bytes), &len));
		memcpy(text, cursor.at, cursor.len);
		for (size_t i = 0; i < cursor.len; i++) {
			for (unsigned value = 0; value < 256; value++) {
				text[i] = (char)value;
				if (text[i] != cursor.at[i])
					read += try_changed(str_of(text, cursor.len));
			}
			text[i] = cursor.at[i];
			(void)try_changed(str_of(text, i));
		}
		for (size_t i = 0; i < len; i++) {
			char former = bytes[i];

			for (unsigned value = 0; value < 256; value++) {
				bytes[i] = (char)value;
				(void)base64_write(BASE64_URL, text, str_of(bytes, len));
				read += try_changed(str_of(text, cursor.len));
			}
			bytes[i] = former;
		}
	}
	EXPECT(read > 1000); /* numbers and letters may change */
	end();
}

TEST(cursor_refuses_what_is_none)
{
	static const struct str cases[] = {
		S_INIT(""),
		S_INIT("AQ"),
		S_INIT("AQ=="),
		S_INIT("not base64!"),
		S_INIT("AAAAAAAAAAAA"),
		S_INIT("\0\0\0\0"),
	};
	struct short_key key = { 5, S("0190a1b2-c3d4-7e5f-8a9b-0123456789ab") };
	struct str cursor, longer;
	char text[CURSOR_MAX + 4];

	begin();
	for (size_t i = 0; i < LEN(cases); i++)
		expect_invalid(PLACES, &short_key_schema, cases[i]);

	REQUIRE(cursor_write(&arena, PLACES, &short_key_schema, &key, &cursor) == 0);
	expect_invalid(S("another list"), &short_key_schema, cursor);
	expect_invalid(PLACES, &place_schema, cursor);
	longer = arena_printf(&arena, "%.*sAAAA", STR_ARG(cursor));
	expect_invalid(PLACES, &short_key_schema, longer);
	memset(text, 'A', sizeof(text));
	expect_invalid(PLACES, &short_key_schema, str_of(text, sizeof(text)));
	expect_invalid(PLACES, &short_key_schema, str_of(text, CURSOR_MAX));
	end();
}

/* Kinds that fit in another column's place, and values that no row has. */
TEST(cursor_refuses_kinds_and_values_of_no_row)
{
	static const struct {
		struct str bytes; /* behind version and check */
		bool taken;
	} cases[] = {
		{ S_INIT("\3\0\0\0\0\0\0\0\5"
			 "\6xxxxxxxxxxxxxxxx"),
			true },
		{ S_INIT("\2\0\0\0\0\0\0\0\5"
			 "\6xxxxxxxxxxxxxxxx"),
			false }, /* an integer for a time */
		{ S_INIT("\0"
			 "\6xxxxxxxxxxxxxxxx"),
			false },                                /* NULL in what is never NULL */
		{ S_INIT("\3\0\0\0\0\0\0\0\5\0"), true },       /* an empty id is NULL */
		{ S_INIT("\3\0\0\0\0\0\0\0\5\5\0\1x"), false }, /* text for a UUID */
		{ S_INIT("\3\0\0\0\0\0\0\0\5"
			 "\6xxxxxxxxxxxxxxx"),
			false },
		{ S_INIT("\3\0\0\0\0\0\0\0\5"
			 "\6xxxxxxxxxxxxxxxxx"),
			false },
		{ S_INIT("\3\0\0\0\0\0\0\0\5"
			 "\xffxxxxxxxxxxxxxxxx"),
			false },
	};
	struct short_key key = { 5, S("0190a1b2-c3d4-7e5f-8a9b-0123456789ab") }, back;
	char bytes[CURSOR_MAX], text[CURSOR_MAX];
	struct str cursor;
	size_t len;

	begin();
	REQUIRE(cursor_write(&arena, PLACES, &short_key_schema, &key, &cursor) == 0);
	REQUIRE(base64_read(BASE64_URL, cursor, bytes, sizeof(bytes), &len));
	for (size_t i = 0; i < LEN(cases); i++) {
		memcpy(bytes + 9, cases[i].bytes.at, cases[i].bytes.len);
		len = base64_write(BASE64_URL, text, str_of(bytes, 9 + cases[i].bytes.len));
		EXPECT_INT(cursor_read(&arena, PLACES, &short_key_schema, str_of(text, len), &back),
			cases[i].taken ? 0 : -ERR_INVALID);
	}
	end();
}

TEST(cursor_refuses_to_be_written)
{
	struct place place = { .id = S("0190a1b2-c3d4-7e5f-8a9b-0123456789ab") };
	struct list_key list = { 0 };
	struct str cursor = S("untouched");
	char text[600];

	begin();
	memset(text, 'x', sizeof(text));
	for (size_t len = 0; len <= sizeof(text); len++) {
		int r;

		place.title = str_of(text, len);
		r = cursor_write(&arena, PLACES, &place_schema, &place, &cursor);
		REQUIRE(r == 0 || r == -ERR_TOO_LARGE);
		REQUIRE((r == 0) == (len <= 300) || (len > 300 && len < 384));
		REQUIRE(r < 0 || cursor.len <= CURSOR_MAX);
	}
	place.title = S("a\0b");
	EXPECT_INT(cursor_write(&arena, PLACES, &place_schema, &place, &cursor), -ERR_INTERNAL);
	place.title = S("\xff");
	EXPECT_INT(cursor_write(&arena, PLACES, &place_schema, &place, &cursor), -ERR_INTERNAL);
	place.title = S("");
	place.score = __builtin_nan("");
	EXPECT_INT(cursor_write(&arena, PLACES, &place_schema, &place, &cursor), -ERR_INTERNAL);
	place.score = 0;
	place.id = S("no uuid");
	EXPECT_INT(cursor_write(&arena, PLACES, &place_schema, &place, &cursor), -ERR_INTERNAL);
	EXPECT_INT(cursor_write(&arena, PLACES, &list_key_schema, &list, &cursor), -ERR_INTERNAL);
	end();
}

#ifdef BULKHEAD_FAULTS
TEST(cursor_without_memory)
{
	struct place place = { .id = S("0190a1b2-c3d4-7e5f-8a9b-0123456789ab"),
		.note = { true, false, S("x") } };
	struct place back;
	struct str cursor;

	begin();
	for (size_t nth = 1;; nth++) {
		struct arena small;
		int r;

		arena_init(&small, 64, MEGABYTE); /* a chunk for every allocation */
		fault_arm(FAULT_MEMORY, nth);
		r = cursor_write(&small, PLACES, &place_schema, &place, &cursor);
		if (r == 0)
			r = cursor_read(&small, PLACES, &place_schema, cursor, &back);
		arena_done(&small);
		if (!fault_struck(FAULT_MEMORY)) {
			EXPECT_INT(r, 0);
			EXPECT(nth > 3);
			break;
		}
		EXPECT_INT(r, -ERR_NO_MEMORY);
	}
	fault_arm(FAULT_MEMORY, 0);
	end();
}
#endif
