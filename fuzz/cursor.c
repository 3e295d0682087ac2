/*
 * Cursors. The first byte says whether the rest is the text, or the bytes behind a sound head.
 * Laws: what is read is the cursor of what was read, to the byte; all else is ERR_INVALID.
 */
#include "base/err.h"
#include "crypto/base64.h"
#include "store/page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct place {
	int64_t votes, created_us;
	struct str title, id;
	bool pinned;
	double score;
	int state;
	struct opt_str note;
	struct opt_i64 due_us;
};

/* clang-format off */
static const struct schema place_schema = SCHEMA(place, "A sort key.",
	FIELD(place, votes, "How many."),
	FIELD(place, created_us, "When.", .format = FORMAT_DATE_TIME),
	FIELD(place, title, "Any.", RANGE(1, 50)),
	FIELD(place, id, "Which.", .format = FORMAT_UUID),
	FIELD(place, pinned, "First."),
	FIELD(place, score, "How much."),
	FIELD(place, state, "How.", CHOICES("new", "old")),
	FIELD(place, note, "Some.", .flags = NULLABLE),
	FIELD(place, due_us, "Until."));
/* clang-format on */

enum { HEAD_LEN = 9, BYTES_MAX = 2 * CURSOR_MAX };

#define PLACES S("places")

/* Version and check of the list, as they are in any of its cursors. */
static void make_head(struct arena *arena, char head[HEAD_LEN])
{
	struct place place = { .id = S("0190a1b2-c3d4-7e5f-8a9b-0123456789ab") };
	char bytes[CURSOR_MAX];
	struct str cursor;
	size_t len;

	CHECK(cursor_write(arena, PLACES, &place_schema, &place, &cursor) == 0);
	CHECK(base64_read(BASE64_URL, cursor, bytes, sizeof(bytes), &len));
	memcpy(head, bytes, HEAD_LEN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char bytes[HEAD_LEN + BYTES_MAX], text[BASE64_SIZE(sizeof(bytes))];
	struct str cursor, again;
	struct place place;
	struct arena arena;
	int r;

	if (!place_schema.slot->plan)
		CHECK(schema_compile(&place_schema) == 0);
	if (size == 0 || size > BYTES_MAX)
		return 0;

	arena_init(&arena, 4096, MEGABYTE);
	cursor = str_of((const char *)data + 1, size - 1);
	if (data[0] & 1) {
		make_head(&arena, bytes);
		memcpy(bytes + HEAD_LEN, cursor.at, cursor.len);
		cursor = str_of(
			text, base64_write(BASE64_URL, text, str_of(bytes, HEAD_LEN + cursor.len)));
	}
	r = cursor_read(&arena, PLACES, &place_schema, cursor, &place);
	CHECK(r == 0 || r == -ERR_INVALID);
	if (r == 0) {
		CHECK(cursor_write(&arena, PLACES, &place_schema, &place, &again) == 0);
		CHECK(str_eq(again, cursor));
	}
	arena_done(&arena);
	return 0;
}
