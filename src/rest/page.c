/* Between the parameters of a request, the columns of a statement and the text of a cursor. */
#include "rest/page.h"

#include "base/num.h"
#include "http/request.h"
#include "schema/row.h"
#include "store/cursor.h"

static size_t key_count(const struct page_order *order)
{
	size_t count = 0;

	while (count < PAGE_KEYS_MAX && order->key[count])
		count++;
	return count;
}

static size_t column_of(const struct schema *schema, const char *name)
{
	ptrdiff_t column = row_find(schema, str_from_c(name));

	CHECK(column >= 0); /* the order names a column that the statement has not */
	return (size_t)column;
}

/* A value as an order writes it. */
static int read_start(const char *text, enum row_kind kind, struct row_value *ret)
{
	int64_t number;

	if (kind == ROW_TEXT || kind == ROW_UUID) {
		*ret = (struct row_value){ ROW_TEXT, .text = str_from_c(text) };
		return 0;
	}
	if ((kind != ROW_INTEGER && kind != ROW_TIME) || !num_parse_i64(str_from_c(text), &number))
		return fail(ERR_INTERNAL, "a page cannot start at \"%s\"", text);
	*ret = (struct row_value){ kind, .integer = number };
	return 0;
}

static int start_values(const struct page_order *order, const enum row_kind *kinds, size_t count,
	struct row_value *ret)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++)
		r = read_start(order->start[i], kinds[i], &ret[i]);
	return r;
}

/* No row has a key without a value, nor one that its column cannot hold. */
static int store_values(struct req *req, const struct page_order *order,
	const struct row_value *values, size_t count, void *query)
{
	const struct schema *in = order->list->in;

	for (size_t i = 0; i < count; i++) {
		size_t column = column_of(in, order->after[i]);
		int r = values[i].kind == ROW_NULL
				? -ERR_INTERNAL
				: row_set(in, column, &values[i], &req->arena, query);

		if (r < 0)
			return r == -ERR_INTERNAL ? cursor_invalid() : r;
	}
	return 0;
}

int page_begin(struct req *req, const struct page_order *order, struct str cursor, void *query)
{
	const struct schema *in = order->list->in;
	struct row_value values[PAGE_KEYS_MAX] = { 0 };
	enum row_kind kinds[PAGE_KEYS_MAX];
	size_t count = key_count(order);
	int r;

	for (size_t i = 0; i < count; i++)
		kinds[i] = row_kind(in, column_of(in, order->after[i]));
	if (cursor.len)
		r = cursor_read_values(&req->arena, order->name, kinds, count, cursor, values);
	else
		r = start_values(order, kinds, count, values);
	return r < 0 ? r : store_values(req, order, values, count, query);
}

int page_end(struct req *req, const struct page_order *order, int64_t limit, const void *rows,
	size_t *count)
{
	const struct schema *out = order->list->out;
	struct row_value values[PAGE_KEYS_MAX];
	size_t keys = key_count(order);
	const char *last;

	CHECK(limit > 0);
	if (*count <= (size_t)limit)
		return 0;

	*count = (size_t)limit;
	last = (const char *)rows + (*count - 1) * out->size;
	for (size_t i = 0; i < keys; i++) {
		int r = row_get(out, column_of(out, order->key[i]), last, &req->arena, &values[i]);

		if (r < 0)
			return r;
	}
	return cursor_write_values(&req->arena, order->name, values, keys, &req->next_cursor);
}
