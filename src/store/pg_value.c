/* The binary formats of PostgreSQL's types (the send and receive functions in its
 * src/backend/utils/adt): big-endian numbers, UUIDs as 16 bytes, texts as they are. */
#include "store/pg_value.h"

#include "base/err.h"
#include "schema/format.h"
#include "json/number.h"

#include <endian.h>
#include <limits.h>
#include <stdio.h>

enum { UUID_LEN = 16, UUID_TEXT = 36, JSONB_VERSION = 1 };

/* Times count from 2000-01-01 there; microseconds. */
#define EPOCH_2000 ((int64_t)946684800 * 1000000)

/* Kinds as bits, for the tables below. */
#define BIT(kind) (1u << (kind))
#define INTEGERS  (BIT(ROW_INTEGER) | BIT(ROW_TIME) | BIT(ROW_BOOL))
#define TEXTS     (BIT(ROW_TEXT) | BIT(ROW_UUID) | BIT(ROW_JSON))

static const struct {
	uint32_t type;
	unsigned takes, gives; /* kinds */
} types[] = {
	{ PG_BOOL, BIT(ROW_BOOL), BIT(ROW_BOOL) },
	{ PG_INT2, BIT(ROW_INTEGER) | BIT(ROW_BOOL), INTEGERS | BIT(ROW_REAL) },
	{ PG_INT4, BIT(ROW_INTEGER) | BIT(ROW_BOOL), INTEGERS | BIT(ROW_REAL) },
	{ PG_INT8, INTEGERS, INTEGERS | BIT(ROW_REAL) },
	{ PG_FLOAT4, BIT(ROW_REAL), BIT(ROW_REAL) },
	{ PG_FLOAT8, BIT(ROW_REAL) | BIT(ROW_INTEGER), BIT(ROW_REAL) }, { PG_TEXT, TEXTS, TEXTS },
	{ PG_VARCHAR, TEXTS, TEXTS }, { PG_BPCHAR, TEXTS, BIT(ROW_TEXT) },
	{ PG_NAME, BIT(ROW_TEXT), BIT(ROW_TEXT) }, { PG_JSON, BIT(ROW_JSON), BIT(ROW_JSON) },
	{ PG_JSONB, BIT(ROW_JSON), BIT(ROW_JSON) }, { PG_UUID, BIT(ROW_UUID), BIT(ROW_UUID) },
	{ PG_TIMESTAMPTZ, BIT(ROW_TIME), BIT(ROW_TIME) },
	{ PG_NUMERIC, 0, BIT(ROW_INTEGER) | BIT(ROW_REAL) }, /* what sum and avg of integers give */
};

bool pg_type_takes(uint32_t type, enum row_kind kind)
{
	for (size_t i = 0; i < LEN(types); i++)
		if (types[i].type == type)
			return types[i].takes & BIT(kind);
	return false;
}

bool pg_type_gives(uint32_t type, enum row_kind kind)
{
	for (size_t i = 0; i < LEN(types); i++)
		if (types[i].type == type)
			return types[i].gives & BIT(kind);
	return false;
}

/* --- out ------------------------------------------------------------------------- */

static int out_fixed(struct pg_value *ret, const void *bytes, size_t len)
{
	memcpy(ret->fixed, bytes, len);
	ret->at = ret->fixed;
	ret->len = (int)len;
	return 0;
}

static int out_of_range(int64_t value)
{
	return fail(ERR_INVALID, "%lld is out of the column's range", (long long)value);
}

static int out_integer(int64_t value, uint32_t type, struct pg_value *ret)
{
	uint64_t wide = htobe64((uint64_t)value);
	uint32_t middle = htobe32((uint32_t)value);
	uint16_t narrow = htobe16((uint16_t)value);

	switch (type) {
	case PG_INT2:
		if (value < INT16_MIN || value > INT16_MAX)
			return out_of_range(value);
		return out_fixed(ret, &narrow, sizeof(narrow));
	case PG_INT4:
		if (value < INT32_MIN || value > INT32_MAX)
			return out_of_range(value);
		return out_fixed(ret, &middle, sizeof(middle));
	default: return out_fixed(ret, &wide, sizeof(wide));
	}
}

static int out_real(double value, uint32_t type, struct pg_value *ret)
{
	float single = (float)value;
	uint64_t wide;
	uint32_t narrow;

	memcpy(&wide, &value, sizeof(wide));
	memcpy(&narrow, &single, sizeof(narrow));
	wide = htobe64(wide);
	narrow = htobe32(narrow);
	return type == PG_FLOAT4 ? out_fixed(ret, &narrow, sizeof(narrow))
				 : out_fixed(ret, &wide, sizeof(wide));
}

static int out_time(int64_t value, uint32_t type, struct pg_value *ret)
{
	int64_t since;

	if (type != PG_TIMESTAMPTZ)
		return out_integer(value, type, ret);
	if (__builtin_sub_overflow(value, EPOCH_2000, &since))
		return out_of_range(value);
	return out_integer(since, PG_INT8, ret);
}

static int out_text(struct str text, struct pg_value *ret)
{
	if (text.len > INT_MAX)
		return fail(ERR_TOO_LARGE, "a value of %zu bytes", text.len);
	ret->at = text.at ? text.at : ""; /* NULL would be NULL */
	ret->len = (int)text.len;
	return 0;
}

static int out_json(struct str json, uint32_t type, struct arena *arena, struct pg_value *ret)
{
	char *at;

	if (type != PG_JSONB)
		return out_text(json, ret);
	at = arena_alloc(arena, json.len + 1);
	if (!at)
		return -(int)err_last()->code;
	at[0] = JSONB_VERSION;
	memcpy(at + 1, json.at, json.len);
	return out_text(str_of(at, json.len + 1), ret);
}

static int out_uuid(
	const uint8_t uuid[UUID_LEN], uint32_t type, struct arena *arena, struct pg_value *ret)
{
	char *at;

	if (type == PG_UUID)
		return out_fixed(ret, uuid, UUID_LEN);
	at = arena_alloc(arena, UUID_TEXT);
	if (!at)
		return -(int)err_last()->code;
	format_write_uuid(at, uuid);
	return out_text(str_of(at, UUID_TEXT), ret);
}

int pg_value_write(
	const struct row_value *value, uint32_t type, struct arena *arena, struct pg_value *ret)
{
	char byte;

	switch (value->kind) {
	case ROW_NULL:
		ret->at = NULL;
		ret->len = 0;
		return 0;
	case ROW_BOOL:
		byte = value->boolean;
		return type == PG_BOOL ? out_fixed(ret, &byte, 1)
				       : out_integer(value->boolean, type, ret);
	case ROW_INTEGER:
		return type == PG_FLOAT8 ? out_real((double)value->integer, type, ret)
					 : out_integer(value->integer, type, ret);
	case ROW_TIME: return out_time(value->integer, type, ret);
	case ROW_REAL: return out_real(value->real, type, ret);
	case ROW_TEXT: return out_text(value->text, ret);
	case ROW_JSON: return out_json(value->text, type, arena, ret);
	case ROW_UUID: return out_uuid(value->uuid, type, arena, ret);
	}
	return fail(ERR_INTERNAL, "a value of no kind");
}

/* --- in -------------------------------------------------------------------------- */

static int bad_bytes(uint32_t type, struct str bytes)
{
	return fail(ERR_INTERNAL, "%zu bytes from PostgreSQL are no value of type %u", bytes.len,
		(unsigned)type);
}

static int64_t read_integer(struct str bytes)
{
	uint64_t wide;
	uint32_t middle;
	uint16_t narrow;

	switch (bytes.len) {
	case sizeof(narrow):
		memcpy(&narrow, bytes.at, sizeof(narrow));
		return (int16_t)be16toh(narrow);
	case sizeof(middle):
		memcpy(&middle, bytes.at, sizeof(middle));
		return (int32_t)be32toh(middle);
	default: memcpy(&wide, bytes.at, sizeof(wide)); return (int64_t)be64toh(wide);
	}
}

static double read_real(struct str bytes)
{
	uint64_t wide;
	uint32_t narrow;
	double value;
	float single;

	if (bytes.len == sizeof(narrow)) {
		memcpy(&narrow, bytes.at, sizeof(narrow));
		narrow = be32toh(narrow);
		memcpy(&single, &narrow, sizeof(single));
		return (double)single;
	}
	memcpy(&wide, bytes.at, sizeof(wide));
	wide = be64toh(wide);
	memcpy(&value, &wide, sizeof(value));
	return value;
}

/* Bytes that a value of the type has; 0: any number. */
static size_t size_of(uint32_t type)
{
	switch (type) {
	case PG_BOOL: return 1;
	case PG_INT2: return 2;
	case PG_INT4:
	case PG_FLOAT4: return 4;
	case PG_INT8:
	case PG_FLOAT8:
	case PG_TIMESTAMPTZ: return 8;
	case PG_UUID: return UUID_LEN;
	default: return 0;
	}
}

static int read_time(struct str bytes, struct row_value *ret)
{
	int64_t since = read_integer(bytes), value;

	if (since == INT64_MIN || __builtin_add_overflow(since, EPOCH_2000, &value))
		return fail(ERR_INTERNAL, "a time from PostgreSQL is infinite");
	*ret = (struct row_value){ ROW_TIME, .integer = value };
	return 0;
}

/* --- numeric: a header of four 16-bit numbers, then digits of base 10000 --------------- */

enum { NUMERIC_HEADER = 8, NUMERIC_DIGITS_MAX = 80, NUMERIC_NEGATIVE = 0x4000 };

struct numeric {
	int64_t count;  /* of digits */
	int64_t weight; /* the first digit counts 10000 to the power of this */
	bool negative;
	const char *digits;
};

static int64_t numeric_digit(const struct numeric *numeric, int64_t i)
{
	return read_integer(str_of(numeric->digits + 2 * i, 2));
}

/* False when it has a fraction or does not fit. */
static bool numeric_integer(const struct numeric *numeric, int64_t *ret)
{
	int64_t value = 0;

	if (numeric->count > numeric->weight + 1)
		return false;
	for (int64_t i = 0; i <= numeric->weight && numeric->count > 0; i++) {
		int64_t digit = i < numeric->count ? numeric_digit(numeric, i) : 0;

		if (__builtin_mul_overflow(value, 10000, &value) ||
			__builtin_sub_overflow(value, digit, &value))
			return false;
	}
	if (!numeric->negative &&
		value == INT64_MIN) /* gathered below zero, which reaches further */
		return false;
	*ret = numeric->negative ? value : -value;
	return true;
}

static int numeric_real(const struct numeric *numeric, double *ret)
{
	char text[NUMERIC_DIGITS_MAX * 4 + 32];
	size_t len = 0;

	if (numeric->negative)
		text[len++] = '-';
	for (int64_t i = 0; i < numeric->count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, i ? "%04lld" : "%lld",
			(long long)numeric_digit(numeric, i));
	len += (size_t)snprintf(text + len, sizeof(text) - len, "e%lld",
		4 * (long long)(numeric->weight - numeric->count + 1));
	return json_number_double(str_of(text, len), ret);
}

static int read_numeric(struct str bytes, struct row_value *ret)
{
	struct numeric numeric;
	int64_t sign;

	if (bytes.len < NUMERIC_HEADER)
		return bad_bytes(PG_NUMERIC, bytes);
	numeric.count = read_integer(str_of(bytes.at, 2));
	numeric.weight = read_integer(str_of(bytes.at + 2, 2));
	sign = read_integer(str_of(bytes.at + 4, 2));
	numeric.negative = sign == NUMERIC_NEGATIVE;
	numeric.digits = bytes.at + NUMERIC_HEADER;
	if ((sign != 0 && !numeric.negative) || numeric.count < 0 ||
		numeric.count > NUMERIC_DIGITS_MAX ||
		bytes.len != NUMERIC_HEADER + 2 * (size_t)numeric.count)
		return bad_bytes(PG_NUMERIC, bytes);
	for (int64_t i = 0; i < numeric.count; i++)
		if (numeric_digit(&numeric, i) < 0 || numeric_digit(&numeric, i) > 9999)
			return bad_bytes(PG_NUMERIC, bytes);

	ret->kind = ROW_INTEGER;
	if (numeric_integer(&numeric, &ret->integer))
		return 0;
	ret->kind = ROW_REAL;
	return numeric_real(&numeric, &ret->real) < 0
		       ? fail(ERR_INTERNAL, "a numeric from PostgreSQL is too large")
		       : 0;
}

int pg_value_read(uint32_t type, struct str bytes, struct row_value *ret)
{
	size_t size = size_of(type);

	if (size && bytes.len != size)
		return bad_bytes(type, bytes);

	switch (type) {
	case PG_BOOL: *ret = (struct row_value){ ROW_BOOL, .boolean = bytes.at[0] != 0 }; return 0;
	case PG_INT2:
	case PG_INT4:
	case PG_INT8:
		*ret = (struct row_value){ ROW_INTEGER, .integer = read_integer(bytes) };
		return 0;
	case PG_FLOAT4:
	case PG_FLOAT8: *ret = (struct row_value){ ROW_REAL, .real = read_real(bytes) }; return 0;
	case PG_TIMESTAMPTZ: return read_time(bytes, ret);
	case PG_NUMERIC: return read_numeric(bytes, ret);
	case PG_UUID:
		ret->kind = ROW_UUID;
		memcpy(ret->uuid, bytes.at, UUID_LEN);
		return 0;
	case PG_JSONB:
		if (bytes.len < 1 || bytes.at[0] != JSONB_VERSION)
			return bad_bytes(type, bytes);
		*ret = (struct row_value){ ROW_JSON, .text = str_from(bytes, 1) };
		return 0;
	case PG_JSON: *ret = (struct row_value){ ROW_JSON, .text = bytes }; return 0;
	default: *ret = (struct row_value){ ROW_TEXT, .text = bytes }; return 0;
	}
}
