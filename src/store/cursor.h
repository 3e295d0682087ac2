/* Cursors of values, below those of structs (store/page.h): for who knows the columns by name. */
#ifndef STORE_CURSOR_H
#define STORE_CURSOR_H

#include "schema/row.h"

enum { CURSOR_COLUMNS_MAX = 32 };

/* Makes the cursor of these values, in the arena. -ERR_TOO_LARGE, -ERR_INTERNAL for JSON. */
int cursor_write_values(struct arena *arena, struct str list, const struct row_value *values,
	size_t count, struct str *ret);

/* Reads it back, each value of its kind or NULL; texts live in the arena. cursor_invalid. */
int cursor_read_values(struct arena *arena, struct str list, const enum row_kind *kinds,
	size_t count, struct str cursor, struct row_value *ret);

/* Fails for what is not a cursor of the list: -ERR_INVALID, rule "invalid_cursor". */
int cursor_invalid(void);

#endif
