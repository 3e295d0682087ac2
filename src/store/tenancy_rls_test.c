/*
 * Row-level security alone, as the last guard on PostgreSQL: generated statements go past the store
 * and its rules to the server, as the login that the program has, with the tenant set as the engine
 * sets it. Tenant 1 must get the same answers whatever tenant 2 has, and change nothing of it.
 */
#include "base/buf.h"
#include "store/pg_server_test.h"
#include "store/tenancy_grammar_test.h"
#include "store/tenancy_test.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

enum { STATEMENTS = 500, TELLS = 5 };

static PGconn *connection;
static char tenants[2][UUID_TEXT_LEN + 1];

struct made {
	char *sql;
	bool loose;
	struct attack_result answer;
};

static struct made made[STATEMENTS];
static size_t told;

static void run(const char *sql)
{
	PGresult *result = PQexec(connection, sql);

	CHECK(PQresultStatus(result) == PGRES_COMMAND_OK ||
		PQresultStatus(result) == PGRES_TUPLES_OK);
	PQclear(result);
}

/* Values in the place of parameters; the grammar has them as words of their own. */
static void bind(struct buf *out, struct str sql)
{
	const struct {
		struct str name;
		const char *before, *value, *after;
	} values[] = { { S(":tenant"), "'", tenants[0], "'::uuid" },
		{ S(":other"), "'", tenants[1], "'::uuid" }, { S(":id"), "", "1", "::bigint" },
		{ S(":body"), "", "'x'", "::text" } };

	for (size_t at = 0; at < sql.len;) {
		struct str rest = str_from(sql, at);
		size_t i = 0;

		while (i < LEN(values) && !str_starts(rest, values[i].name))
			i++;
		if (i == LEN(values)) {
			buf_byte(out, sql.at[at++]);
			continue;
		}
		buf_printf(out, "%s%s%s", values[i].before, values[i].value, values[i].after);
		at += values[i].name.len;
	}
	buf_byte(out, '\0');
}

static bool tells(const char *text)
{
	return strcasestr(text, ATTACK_SECRET) != NULL;
}

static void look_at(PGresult *result, struct attack_result *ret)
{
	ret->count = (size_t)PQntuples(result);
	if (PQnfields(result) == 0)
		ret->count = strtoul(PQcmdTuples(result), NULL, 10);
	for (int row = 0; row < PQntuples(result); row++) {
		uint64_t hash = 14695981039346656037u;

		for (int column = 0; column < PQnfields(result); column++) {
			const char *text = PQgetvalue(result, row, column);

			ret->told = ret->told || tells(text);
			for (; *text; text++)
				hash = (hash ^ (uint8_t)*text) * 1099511628211u;
		}
		ret->rows += hash * 0x9E3779B97F4A7C15u;
	}
}

/* As tenant 1, in a transaction; the extended protocol takes one statement only. */
static void attack(const struct made *statement, bool keep, struct attack_result *ret)
{
	char set[128];
	PGresult *result;

	*ret = (struct attack_result){ 0 };
	(void)snprintf(
		set, sizeof(set), "BEGIN; SELECT set_config('app.tenant', '%s', true)", tenants[0]);
	run(set);
	result = PQexecParams(connection, statement->sql, 0, NULL, NULL, NULL, NULL, 0);
	if (PQresultStatus(result) == PGRES_COMMAND_OK ||
		PQresultStatus(result) == PGRES_TUPLES_OK) {
		look_at(result, ret);
	} else {
		ret->code = -ERR_INVALID;
		(void)snprintf(ret->text, sizeof(ret->text), "%s", PQresultErrorMessage(result));
		ret->told = tells(ret->text);
	}
	PQclear(result);
	run(keep && ret->code == 0 ? "COMMIT" : "ROLLBACK");
}

static void tell(const struct made *statement, const char *what)
{
	if (told++ < TELLS)
		fprintf(stderr, "  %s\n    %s\n    %s\n", what, statement->sql,
			statement->answer.text);
}

static void make_statements(void)
{
	uint64_t random = 20260777;
	struct buf buf, bound;

	buf_init(&buf, GRAMMAR_TEXT_MAX);
	buf_init(&bound, (size_t)4 * GRAMMAR_TEXT_MAX);
	for (size_t i = 0; i < STATEMENTS; i++) {
		struct grammar_statement next;

		grammar_next(&random, ENGINE_POSTGRES, &buf, &next);
		buf_reset(&bound);
		bind(&bound, next.sql);
		made[i] = (struct made){ .sql = strdup(bound.at), .loose = next.loose };
	}
	buf_done(&buf);
	buf_done(&bound);
}

static void connect_as_program(struct store_test *test)
{
	char url[PG_URL_MAX];

	for (unsigned i = 0; i < 2; i++) {
		struct db db = store_test_tenant(test, i + 1);

		uuid_write(tenants[i], &db.tenant);
	}
	(void)snprintf(url, sizeof(url), "%.*s", STR_ARG(test->options.url));
	connection = PQconnectdb(url);
	REQUIRE(PQstatus(connection) == CONNECTION_OK);
	run("SET search_path = main");
}

static void judge(struct store_test *test)
{
	size_t answered = 0;
	struct str before;

	connect_as_program(test);
	make_statements();
	attack_set_up(test, 0);
	for (size_t i = 0; i < STATEMENTS; i++)
		attack(&made[i], false, &made[i].answer);
	attack_set_up(test, 1);
	for (size_t i = 0; i < STATEMENTS; i++) {
		struct attack_result again;

		attack(&made[i], false, &again);
		answered += again.code == 0 && again.count > 0;
		if (made[i].answer.told || again.told)
			tell(&made[i], "a text of the other tenant came back");
		if (made[i].answer.code != again.code || made[i].answer.count != again.count ||
			(made[i].answer.rows != again.rows && !made[i].loose))
			tell(&made[i], "the rows of the other tenant show");
	}

	attack_set_up(test, 0);
	before = attack_snapshot(test);
	for (size_t i = 0; i < STATEMENTS; i++) {
		struct arena_mark mark = arena_mark(&test->arena);

		attack(&made[i], true, &made[i].answer);
		if (!str_eq(attack_snapshot(test), before))
			tell(&made[i], "rows of the other tenant have changed");
		arena_back(&test->arena, mark);
		if (i % 20 == 19)
			attack_set_up(test, 0);
	}
	EXPECT_INT(told, 0);
	EXPECT(answered > STATEMENTS / 4);
	PQfinish(connection);
	for (size_t i = 0; i < STATEMENTS; i++)
		free(made[i].sql);
}

TEST(tenancy_generated_row_level_security)
{
	attack_test(ENGINE_POSTGRES, NULL, judge);
}
