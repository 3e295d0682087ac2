/* What SQLSTATEs become. */
#include "store/pg_fixture_test.h"

#include <stdio.h>

TEST(pg_errors_have_their_meaning)
{
	static const struct {
		const char *state;
		enum pg_trouble trouble;
		int code;
	} cases[] = {
		{ "40001", PG_CONFLICT, -ERR_UNAVAILABLE },
		{ "40P01", PG_CONFLICT, -ERR_UNAVAILABLE }, { "26000", PG_STALE, -ERR_UNAVAILABLE },
		{ "42P05", PG_STALE, -ERR_UNAVAILABLE }, { "57014", PG_REFUSED, -ERR_TIMEOUT },
		{ "55P03", PG_REFUSED, -ERR_UNAVAILABLE }, { "57P01", PG_GONE, -ERR_UNAVAILABLE },
		{ "57P02", PG_GONE, -ERR_UNAVAILABLE }, { "25006", PG_GONE, -ERR_UNAVAILABLE },
		{ "08006", PG_GONE, -ERR_UNAVAILABLE }, { "53100", PG_REFUSED, -ERR_UNAVAILABLE },
		{ "53200", PG_REFUSED, -ERR_UNAVAILABLE },
		{ "53300", PG_REFUSED, -ERR_UNAVAILABLE }, { "22003", PG_REFUSED, -ERR_INVALID },
		{ "22021", PG_REFUSED, -ERR_INVALID }, { "22P05", PG_REFUSED, -ERR_INVALID },
		{ "42501", PG_REFUSED, -ERR_FORBIDDEN }, { "54001", PG_REFUSED, -ERR_TOO_LARGE },
		{ "42P01", PG_REFUSED, -ERR_INTERNAL }, { "XX000", PG_REFUSED, -ERR_INTERNAL },
		{ "P0001", PG_REFUSED, -ERR_INTERNAL },
		{ "23505", PG_REFUSED, -ERR_CONFLICT }, /* without a statement: its text */
	};
	const struct pg_catalog catalog = { 0 };
	PGconn *pg = PQconnectdb(store_test_postgres(false).at);

	REQUIRE(PQstatus(pg) == CONNECTION_OK);
	for (size_t i = 0; i < LEN(cases); i++) {
		PGresult *result;
		char sql[128];
		int r = 0;

		(void)snprintf(sql, sizeof(sql),
			"DO $$ BEGIN RAISE EXCEPTION 'oh' USING ERRCODE = '%s'; END $$",
			cases[i].state);
		result = PQexec(pg, sql);
		EXPECT_INT(pg_error(result, &catalog, NULL, &r), cases[i].trouble);
		test_note(r == cases[i].code, __FILE__, __LINE__, "%s is %d, wanted %d",
			cases[i].state, r, cases[i].code);
		EXPECT(strstr(err_text(), "oh") && strstr(err_text(), cases[i].state));
		PQclear(result);
	}
	PQfinish(pg);
}
