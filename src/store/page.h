/*
 * Lists in pages, by cursor: the caller gets up to `limit` rows and a text that means "go on behind
 * the last one". The text holds the sort key of that row and which list it belongs to; it is not a
 * secret and not trusted: a changed one is refused or gives another place of the same tenant's
 * list.
 *
 *     SELECT ... FROM note WHERE tenant_id = :tenant
 *             AND (created_at, id) < (:after_us, :after_id) ORDER BY created_at DESC, id DESC
 *             LIMIT :room
 *
 * asks for one row more than the page has (room), so that it is known whether there are more.
 */
#ifndef STORE_PAGE_H
#define STORE_PAGE_H

#include "base/arena.h"
#include "schema/schema.h"

#pragma GCC visibility push(default)

enum {
	PAGE_DEFAULT = 20,
	PAGE_MAX = 100,
	CURSOR_MAX = 512, /* bytes of the text; 384 of what it stands for, 9 of them before the key
			   */
};

/*
 * Makes the cursor of a row: the columns of `schema` (compiled; all of them) of the struct at
 * `key`. `list` names the list and its order ("notes by created"), so that a cursor of another one
 * is refused. The text is in the arena. -ERR_TOO_LARGE when the key does not fit: sort by something
 * shorter. -ERR_INTERNAL for what has no order that both engines agree on: JSON, a real that is no
 * number.
 */
int cursor_write(struct arena *arena, struct str list, const struct schema *schema, const void *key,
	struct str *ret);

/* Reads it back, texts into the arena. -ERR_INVALID, field "cursor", rule "invalid_cursor", for
 * anything that cursor_write does not write for this list and schema. */
int cursor_read(struct arena *arena, struct str list, const struct schema *schema,
	struct str cursor, void *ret);

#pragma GCC visibility pop

#endif
