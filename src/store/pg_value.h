/*
 * Values on the wire to PostgreSQL, in its binary format, by the oid of their type. Internal to
 * this folder.
 */
#ifndef STORE_PG_VALUE_H
#define STORE_PG_VALUE_H

#include "base/arena.h"
#include "schema/row.h"

/* Types that a parameter or a column may have (pg_type.dat of PostgreSQL; these never change). */
enum pg_type {
	PG_BOOL = 16,
	PG_NAME = 19,
	PG_INT8 = 20,
	PG_INT2 = 21,
	PG_INT4 = 23,
	PG_TEXT = 25,
	PG_JSON = 114,
	PG_FLOAT4 = 700,
	PG_FLOAT8 = 701,
	PG_BPCHAR = 1042,
	PG_VARCHAR = 1043,
	PG_TIMESTAMPTZ = 1184,
	PG_NUMERIC = 1700,
	PG_UUID = 2950,
	PG_JSONB = 3802,
};

enum { PG_FIXED_MAX = 16 };

/* A parameter as libpq takes it. */
struct pg_value {
	const char *at; /* NULL: the value is NULL */
	int len;
	char fixed[PG_FIXED_MAX]; /* of what has a fixed size; `at` points here then */
};

/* Whether values of this kind can be sent as that type. */
bool pg_type_takes(uint32_t type, enum row_kind kind);

/* Whether a column of that type can be read into a member of this kind. */
bool pg_type_gives(uint32_t type, enum row_kind kind);

/*
 * The value as a parameter of a type that takes its kind. Texts stay where they are; what must be
 * made is made in the arena. `ret` must stay where it is until the value is sent. -ERR_INVALID for
 * an integer that the type cannot hold; -ERR_TOO_LARGE, -ERR_NO_MEMORY.
 */
int pg_value_write(
	const struct row_value *value, uint32_t type, struct arena *arena, struct pg_value *ret);

/* The value of a column; a numeric is an integer when it is one that fits, else a real. Texts and
 * JSON point into `bytes`. -ERR_INTERNAL for bytes that are none of the type, and for infinite
 * times. */
int pg_value_read(uint32_t type, struct str bytes, struct row_value *ret);

#endif
