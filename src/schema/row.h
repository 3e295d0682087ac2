/*
 * A struct as a row of a table: columns are the members, by the names they have in C. Texts,
 * numbers, bools and times are columns of their own kind, UUIDs 16 bytes, enums their text;
 * structs, lists, maps and raw JSON are JSON. A member that is not there, or null, is NULL.
 */
#ifndef SCHEMA_ROW_H
#define SCHEMA_ROW_H

#include "base/arena.h"
#include "schema/schema.h"

enum row_kind { ROW_NULL, ROW_BOOL, ROW_INTEGER, ROW_TIME, ROW_REAL, ROW_TEXT, ROW_UUID, ROW_JSON };

/* A value of a column. */
struct row_value {
	enum row_kind kind;
	union {
		bool boolean;
		int64_t integer; /* ROW_TIME: microseconds since 1970 */
		double real;
		struct str text; /* ROW_JSON: JSON */
		uint8_t uuid[16];
	};
};

/* Number of columns, the name of one, and the one of a name (or -1). Not for unions. */
size_t row_count(const struct schema *schema);
struct str row_name(const struct schema *schema, size_t column);
ptrdiff_t row_find(const struct schema *schema, struct str name);

/* The member's name on the wire: in JSON, in details of errors. */
struct str row_wire_name(const struct schema *schema, size_t column);

/* What a column holds when it is not NULL. */
enum row_kind row_kind(const struct schema *schema, size_t column);

/*
 * The value to bind. Text stays where it is in the struct; JSON is made in the arena. ERR_INTERNAL
 * when a text should be a UUID and is none; ERR_TOO_LARGE, ERR_NO_MEMORY.
 */
int row_get(const struct schema *schema, size_t column, const void *in, struct arena *arena,
	struct row_value *ret) WARN_UNUSED;

/*
 * Stores a value that was read. Texts and JSON are copied into the arena. Taken as well: 0 and 1
 * for a bool, an integer for a real and a time, text for a UUID and for JSON. Anything else, and
 * JSON that the table refuses, is ERR_INTERNAL: the store holds what we did not write.
 */
int row_set(const struct schema *schema, size_t column, const struct row_value *value,
	struct arena *arena, void *to) WARN_UNUSED;

#endif
