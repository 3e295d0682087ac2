/*
 * Lists in pages, for handlers. The query has two members that PAGE_FIELDS describes (limit and
 * cursor) and the sort key behind which the page begins; an order says which columns that is:
 *
 *     static const struct page_order newest_first = {
 *             .name = S_INIT("notes, newest first"),
 *             .list = &note_list,
 *             .key = { "id" },
 *             .after = { "after_id" },
 *             .start = { UUID_LAST },
 *     };
 *
 * and a handler has three lines:
 *
 *     r = page_begin(req, &newest_first, in->cursor, &query);
 *     ...
 *     r = db_all(&db, &note_list, &query, &out->items.at, &out->items.count);
 *     ...
 *     return page_end(req, &newest_first, in->limit, out->items.at, &out->items.count);
 *
 * The statement asks for one row more than the page has, so that it is known whether there are
 * more:
 *
 *     ... WHERE tenant_id = :tenant AND id < :after_id ORDER BY id DESC LIMIT :limit + 1
 */
#ifndef REST_PAGE_H
#define REST_PAGE_H

#include "store/page.h"
#include "store/statement.h"

#pragma GCC visibility push(default)

struct req;

enum { PAGE_KEYS_MAX = 4 };

/* The rows of `limit` (int64_t) and `cursor` (struct str) in the schema of a query. */
#define PAGE_FIELDS(type)                                                                          \
	FIELD(type, limit, "How many at most.", .from = FROM_QUERY, RANGE(1, PAGE_MAX),            \
		.if_missing = "20", .example = "50"),                                              \
		FIELD(type, cursor, "Where to go on: nextCursor of the page before.",              \
			.from = FROM_QUERY, RANGE(0, CURSOR_MAX))

/* The first and the last id there can be. */
#define UUID_FIRST "00000000-0000-0000-0000-000000000000"
#define UUID_LAST  "ffffffff-ffff-ffff-ffff-ffffffffffff"

/* A list and its order: a constant. */
struct page_order {
	struct str name; /* "notes, newest first": cursors of other lists are refused */
	const struct statement *list;
	const char *key[PAGE_KEYS_MAX];   /* columns of its rows that make the order, together one
					     of a kind */
	const char *after[PAGE_KEYS_MAX]; /* its parameters that take them, in the same order */
	const char *start[PAGE_KEYS_MAX]; /* their values before the first row, as text */
};

/* Puts the key behind which the page begins into `query`, the struct of the list's parameters: the
 * cursor's, or `start` when that is empty. -ERR_INVALID, rule "invalid_cursor". */
int page_begin(struct req *req, const struct page_order *order, struct str cursor, void *query);

/* Keeps `limit` of up to limit + 1 rows; when there was one more, meta tells the cursor of the next
 * page. Errors of cursor_write. */
int page_end(struct req *req, const struct page_order *order, int64_t limit, const void *rows,
	size_t *count);

#pragma GCC visibility pop

#endif
