/*
 * Cursors. The bytes: a version, the first eight of the SHA-256 of the list's name, and the columns
 * one behind the other, each a kind (enum row_kind) and its value, numbers with the highest byte
 * first, texts behind a length of two. Every row has exactly one cursor, and only what cursor_write
 * would write is read. The eight bytes are no signature: they keep clients from mixing up lists,
 * and the tenant is not in a cursor at all, since the database adds it.
 */
#include "store/cursor.h"

#include "base/err.h"
#include "base/utf8.h"
#include "crypto/base64.h"
#include "crypto/digest.h"
#include "store/page.h"

#include <math.h>

enum {
	VERSION = 1,
	CHECK_LEN = 8,
	HEAD_LEN = 1 + CHECK_LEN,
	BYTES_MAX = CURSOR_MAX / 4 * 3,
	UUID_LEN = 16,
};
_Static_assert(BASE64_SIZE(BYTES_MAX) == CURSOR_MAX, "the text of the most bytes just fits");

/* Bytes that are written or read, from the front. */
struct bytes {
	char *at;
	size_t len, room;
};

static void put_head(char *at, struct str list)
{
	uint8_t hash[SHA256_LEN];

	digest(DIGEST_SHA256, list, hash);
	at[0] = VERSION;
	memcpy(at + 1, hash, CHECK_LEN);
}

/* --- writing ---------------------------------------------------------------------- */

static int put(struct bytes *bytes, const void *at, size_t len)
{
	if (len > bytes->room - bytes->len)
		return fail(ERR_TOO_LARGE, "the sort key of a row does not fit into a cursor");
	if (len)
		memcpy(bytes->at + bytes->len, at, len);
	bytes->len += len;
	return 0;
}

static int put_number(struct bytes *bytes, uint64_t number, size_t size)
{
	uint8_t big[sizeof(number)];

	for (size_t i = 0; i < size; i++)
		big[i] = (uint8_t)(number >> 8 * (size - 1 - i));
	return put(bytes, big, size);
}

/* Text that every database can hold. */
static bool is_sound(struct str text)
{
	return utf8_valid(text) && str_find_byte(text, 0) < 0;
}

static int put_text(struct bytes *bytes, struct str text)
{
	int r = put_number(bytes, MIN(text.len, BYTES_MAX), 2);

	if (r == 0)
		r = put(bytes, text.at, text.len);
	if (r == 0 && !is_sound(text))
		r = fail(ERR_INTERNAL, "a text of a sort key is no text");
	return r;
}

static int put_value(struct bytes *bytes, const struct row_value *value)
{
	uint64_t bits;
	int r = put_number(bytes, value->kind, 1);

	if (r < 0)
		return r;
	switch (value->kind) {
	case ROW_NULL: return 0;
	case ROW_BOOL: return put_number(bytes, value->boolean, 1);
	case ROW_INTEGER:
	case ROW_TIME: return put_number(bytes, (uint64_t)value->integer, sizeof(uint64_t));
	case ROW_REAL:
		if (!isfinite(value->real))
			break;
		memcpy(&bits, &value->real, sizeof(bits));
		return put_number(bytes, bits, sizeof(bits));
	case ROW_TEXT: return put_text(bytes, value->text);
	case ROW_UUID: return put(bytes, value->uuid, UUID_LEN);
	case ROW_JSON: break;
	}
	return fail(ERR_INTERNAL, "a column of a sort key has no order");
}

int cursor_write_values(struct arena *arena, struct str list, const struct row_value *values,
	size_t count, struct str *ret)
{
	char space[BYTES_MAX], *text;
	struct bytes bytes = { space, HEAD_LEN, sizeof(space) };

	put_head(space, list);
	for (size_t i = 0; i < count; i++) {
		int r = put_value(&bytes, &values[i]);

		if (r < 0)
			return r;
	}

	text = arena_alloc(arena, base64_len(BASE64_URL, bytes.len));
	if (!text)
		return -(int)err_last()->code;
	*ret = str_of(text, base64_write(BASE64_URL, text, str_of(space, bytes.len)));
	return 0;
}

int cursor_write(struct arena *arena, struct str list, const struct schema *schema, const void *key,
	struct str *ret)
{
	struct row_value values[CURSOR_COLUMNS_MAX];
	size_t count = row_count(schema);

	if (count > CURSOR_COLUMNS_MAX)
		return fail(ERR_TOO_LARGE, "a sort key has at most %d columns", CURSOR_COLUMNS_MAX);
	for (size_t i = 0; i < count; i++) {
		int r = row_get(schema, i, key, arena, &values[i]);

		if (r < 0)
			return r;
	}
	return cursor_write_values(arena, list, values, count, ret);
}

/* --- reading ---------------------------------------------------------------------- */

int cursor_invalid(void)
{
	return fail_field(ERR_INVALID, "cursor", "invalid_cursor", "is not a cursor of this list");
}

/* The next `len` bytes, or NULL when there are not so many. */
static const char *take(struct str *rest, size_t len)
{
	const char *at = rest->at;

	if (len > rest->len)
		return NULL;
	*rest = str_of(at + len, rest->len - len);
	return at;
}

static bool take_number(struct str *rest, size_t size, uint64_t *ret)
{
	const char *at = take(rest, size);
	uint64_t number = 0;

	if (!at)
		return false;
	for (size_t i = 0; i < size; i++)
		number = number << 8 | (uint8_t)at[i];
	*ret = number;
	return true;
}

static bool take_text(struct str *rest, struct str *ret)
{
	uint64_t len;

	if (!take_number(rest, 2, &len))
		return false;
	*ret = str_of(take(rest, (size_t)len), (size_t)len);
	return ret->at && is_sound(*ret);
}

static bool take_real(struct str *rest, double *ret)
{
	uint64_t bits;

	if (!take_number(rest, sizeof(bits), &bits))
		return false;
	memcpy(ret, &bits, sizeof(*ret));
	return isfinite(*ret);
}

/* The value of a column that holds values of `kind`, or NULL. */
static bool take_value(struct str *rest, enum row_kind kind, struct row_value *ret)
{
	uint64_t number;
	const char *at;

	if (!take_number(rest, 1, &number) || (number != ROW_NULL && number != kind))
		return false;

	*ret = (struct row_value){ .kind = (enum row_kind)number };
	switch (ret->kind) {
	case ROW_NULL: return true;
	case ROW_BOOL:
		if (!take_number(rest, 1, &number) || number > 1)
			return false;
		ret->boolean = number == 1;
		return true;
	case ROW_INTEGER:
	case ROW_TIME:
		if (!take_number(rest, sizeof(number), &number))
			return false;
		ret->integer = (int64_t)number;
		return true;
	case ROW_REAL: return take_real(rest, &ret->real);
	case ROW_TEXT: return take_text(rest, &ret->text);
	case ROW_UUID:
		at = take(rest, UUID_LEN);
		if (at)
			memcpy(ret->uuid, at, UUID_LEN);
		return at;
	case ROW_JSON: break;
	}
	return false;
}

int cursor_read_values(struct arena *arena, struct str list, const enum row_kind *kinds,
	size_t count, struct str cursor, struct row_value *ret)
{
	char head[HEAD_LEN], *space = arena_alloc(arena, BYTES_MAX);
	struct str rest = { space };

	if (!space)
		return -(int)err_last()->code;
	if (!base64_read(BASE64_URL, cursor, space, BYTES_MAX, &rest.len))
		return cursor_invalid();
	put_head(head, list);
	if (!str_starts(rest, str_of(head, sizeof(head))))
		return cursor_invalid();

	(void)take(&rest, sizeof(head));
	for (size_t i = 0; i < count; i++)
		if (!take_value(&rest, kinds[i], &ret[i]))
			return cursor_invalid();
	return rest.len > 0 ? cursor_invalid() : 0;
}

/*
 * Stores a column. A member that cannot hold the value as such (NULL in one that is never NULL, a
 * choice that there is not) gives another one back, or an error: no row has that cursor.
 */
static int store_column(struct arena *arena, const struct schema *schema, size_t column,
	const struct row_value *value, void *to)
{
	struct row_value back;
	int r = row_set(schema, column, value, arena, to);

	if (r == 0)
		r = row_get(schema, column, to, arena, &back);
	if (r == -ERR_INTERNAL || (r == 0 && back.kind != value->kind))
		return cursor_invalid();
	return r;
}

int cursor_read(struct arena *arena, struct str list, const struct schema *schema,
	struct str cursor, void *ret)
{
	struct row_value values[CURSOR_COLUMNS_MAX];
	enum row_kind kinds[CURSOR_COLUMNS_MAX];
	size_t count = row_count(schema);
	void *key;
	int r;

	if (count > CURSOR_COLUMNS_MAX)
		return fail(ERR_TOO_LARGE, "a sort key has at most %d columns", CURSOR_COLUMNS_MAX);
	for (size_t i = 0; i < count; i++)
		kinds[i] = row_kind(schema, i);
	r = cursor_read_values(arena, list, kinds, count, cursor, values);
	if (r < 0)
		return r;

	key = arena_zalloc(arena, schema->size);
	if (!key)
		return -(int)err_last()->code;
	for (size_t i = 0; i < count && r == 0; i++)
		r = store_column(arena, schema, i, &values[i], key);
	if (r == 0)
		memcpy(ret, key, schema->size);
	return r;
}
