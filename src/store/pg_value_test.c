/* Values there and back, and what is refused. */
#include "base/err.h"
#include "base/test.h"
#include "store/pg_value.h"
#include "store/store_test.h"

#include <libpq-fe.h>
#include <stdio.h>

static bool same(const struct row_value *a, const struct row_value *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case ROW_BOOL: return a->boolean == b->boolean;
	case ROW_REAL: return memcmp(&a->real, &b->real, sizeof(a->real)) == 0;
	case ROW_UUID: return memcmp(a->uuid, b->uuid, sizeof(a->uuid)) == 0;
	case ROW_TEXT:
	case ROW_JSON: return str_eq(a->text, b->text);
	default: return a->integer == b->integer;
	}
}

#define UUID_BYTES                                                                                 \
	{                                                                                          \
		1, 2, 3, 4, 5, 6, 0x77, 8, 0x89, 10, 11, 12, 13, 14, 15, 255                       \
	}

TEST(pg_values_come_back)
{
	const struct {
		uint32_t type;
		struct row_value value;
	} cases[] = {
		{ PG_BOOL, { ROW_BOOL, .boolean = true } },
		{ PG_BOOL, { ROW_BOOL, .boolean = false } },
		{ PG_INT2, { ROW_INTEGER, .integer = INT16_MIN } },
		{ PG_INT2, { ROW_INTEGER, .integer = INT16_MAX } },
		{ PG_INT4, { ROW_INTEGER, .integer = INT32_MIN } },
		{ PG_INT4, { ROW_INTEGER, .integer = -1 } },
		{ PG_INT8, { ROW_INTEGER, .integer = INT64_MIN } },
		{ PG_INT8, { ROW_INTEGER, .integer = INT64_MAX } },
		{ PG_FLOAT8, { ROW_REAL, .real = -1.5e300 } },
		{ PG_FLOAT8, { ROW_REAL, .real = -0.0 } },
		{ PG_FLOAT4, { ROW_REAL, .real = 0.25 } },
		{ PG_TEXT, { ROW_TEXT, .text = S_INIT("z\xc3\xbcrich") } },
		{ PG_VARCHAR, { ROW_TEXT, .text = S_INIT("") } },
		{ PG_JSON, { ROW_JSON, .text = S_INIT("{\"a\":[1]}") } },
		{ PG_JSONB, { ROW_JSON, .text = S_INIT("null") } },
		{ PG_UUID, { ROW_UUID, .uuid = UUID_BYTES } },
		{ PG_TIMESTAMPTZ, { ROW_TIME, .integer = 0 } },
		{ PG_TIMESTAMPTZ, { ROW_TIME, .integer = 1763690000123456 } },
		{ PG_TIMESTAMPTZ, { ROW_TIME, .integer = -62135596800000000 } },
	};
	struct arena arena;

	arena_init(&arena, 1024, 64 * KILOBYTE);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct pg_value written;
		struct row_value back;

		EXPECT(pg_type_takes(cases[i].type, cases[i].value.kind));
		EXPECT(pg_type_gives(cases[i].type, cases[i].value.kind));
		REQUIRE(pg_value_write(&cases[i].value, cases[i].type, &arena, &written) == 0);
		REQUIRE(pg_value_read(cases[i].type, str_of(written.at, (size_t)written.len),
				&back) == 0);
		test_note(same(&cases[i].value, &back), __FILE__, __LINE__, "case %zu", i);
	}
	arena_done(&arena);
}

TEST(pg_values_that_do_not_fit_are_refused)
{
	const struct {
		uint32_t type;
		struct row_value value;
	} cases[] = {
		{ PG_INT2, { ROW_INTEGER, .integer = INT16_MAX + 1 } },
		{ PG_INT2, { ROW_INTEGER, .integer = INT16_MIN - 1 } },
		{ PG_INT4, { ROW_INTEGER, .integer = (int64_t)INT32_MAX + 1 } },
		{ PG_TIMESTAMPTZ, { ROW_TIME, .integer = INT64_MIN } },
	};
	struct arena arena;
	struct pg_value written;

	arena_init(&arena, 1024, 64 * KILOBYTE);
	for (size_t i = 0; i < LEN(cases); i++)
		EXPECT_INT(pg_value_write(&cases[i].value, cases[i].type, &arena, &written),
			-ERR_INVALID);
	arena_done(&arena);
}

TEST(pg_bytes_that_are_no_value_are_refused)
{
	const struct {
		uint32_t type;
		struct str bytes;
	} cases[] = {
		{ PG_BOOL, S_INIT("") },
		{ PG_INT4, S_INIT("123") },
		{ PG_INT8, S_INIT("123456789") },
		{ PG_UUID, S_INIT("123456789012345") },
		{ PG_FLOAT8, S_INIT("1") },
		{ PG_JSONB, S_INIT("") },
		{ PG_JSONB, S_INIT("\002{}") },
		{ PG_TIMESTAMPTZ, S_INIT("\x7f\xff\xff\xff\xff\xff\xff\xff") }, /* infinity */
		{ PG_TIMESTAMPTZ, S_INIT("\x80\x00\x00\x00\x00\x00\x00\x00") },
	};
	struct row_value value;

	for (size_t i = 0; i < LEN(cases); i++)
		EXPECT_INT(pg_value_read(cases[i].type, cases[i].bytes, &value), -ERR_INTERNAL);
}

TEST(pg_types_take_only_their_kinds)
{
	EXPECT(!pg_type_takes(PG_UUID, ROW_TEXT));
	EXPECT(!pg_type_takes(PG_JSONB, ROW_TEXT));
	EXPECT(!pg_type_takes(PG_INT8, ROW_REAL));
	EXPECT(!pg_type_takes(PG_BOOL, ROW_INTEGER));
	EXPECT(!pg_type_takes(PG_NUMERIC, ROW_REAL));
	EXPECT(!pg_type_gives(PG_FLOAT8, ROW_INTEGER));
	EXPECT(pg_type_takes(PG_TEXT, ROW_UUID));
	EXPECT(pg_type_gives(PG_INT8, ROW_TIME));
}

/* As the server itself sends it. */
TEST(pg_numerics_are_integers_or_reals)
{
	static const struct {
		const char *text;
		struct row_value value;
	} cases[] = {
		{ "0", { ROW_INTEGER, .integer = 0 } },
		{ "1", { ROW_INTEGER, .integer = 1 } },
		{ "-12345678", { ROW_INTEGER, .integer = -12345678 } },
		{ "10000", { ROW_INTEGER, .integer = 10000 } },
		{ "100000000.000", { ROW_INTEGER, .integer = 100000000 } },
		{ "9223372036854775807", { ROW_INTEGER, .integer = INT64_MAX } },
		{ "-9223372036854775808", { ROW_INTEGER, .integer = INT64_MIN } },
		{ "9223372036854775808", { ROW_REAL, .real = 9223372036854775808.0 } },
		{ "-9223372036854775809", { ROW_REAL, .real = -9223372036854775808.0 } },
		{ "0.5", { ROW_REAL, .real = 0.5 } },
		{ "-1234567.000123", { ROW_REAL, .real = -1234567.000123 } },
		{ "0.00000000000000001", { ROW_REAL, .real = 1e-17 } },
		{ "1e100", { ROW_REAL, .real = 1e100 } },
	};
	PGconn *pg = PQconnectdb(store_test_postgres(false).at);
	struct row_value value;

	REQUIRE(PQstatus(pg) == CONNECTION_OK);
	for (size_t i = 0; i < LEN(cases) + 2; i++) {
		PGresult *result;
		char sql[64];
		int r;

		(void)snprintf(sql, sizeof(sql), "SELECT '%s'::numeric",
			i < LEN(cases)    ? cases[i].text
			: i == LEN(cases) ? "NaN"
					  : "1e400");
		result = PQexecParams(pg, sql, 0, NULL, NULL, NULL, NULL, 1);
		REQUIRE(PQntuples(result) == 1);
		r = pg_value_read(PG_NUMERIC,
			str_of(PQgetvalue(result, 0, 0), (size_t)PQgetlength(result, 0, 0)),
			&value);
		if (i < LEN(cases))
			test_note(r == 0 && same(&value, &cases[i].value), __FILE__, __LINE__, "%s",
				sql);
		else
			EXPECT_INT(r, -ERR_INTERNAL);
		PQclear(result);
	}
	PQfinish(pg);
}
