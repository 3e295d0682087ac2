/*
 * Our side of tests/differential: judges the cases of $SCHEMA_CASES and writes what came out to
 * $SCHEMA_VERDICTS, a line for each: 1 taken, 0 refused, ? the schema itself was refused. A case is
 * {"table":"flag","value":...} or {"schema":...,"value":...}, one a line.
 */
#include "base/err.h"
#include "base/test.h"
#include "schema/decode.h"
#include "schema/loaded.h"
#include "schema/sample_test.h"

#include <stdio.h>
#include <stdlib.h>

struct differential_case {
	struct str table;
	struct json_value schema;
	struct json_value value;
};

/* clang-format off */
static const struct schema differential_case_schema = SCHEMA(differential_case, "A case.",
	FIELD(differential_case, table, "Judged by this table."),
	FIELD(differential_case, schema, "Or by this schema."),
	FIELD(differential_case, value, "The value."));
/* clang-format on */

static struct arena arena;

static char judge_by_table(struct str table, struct str value)
{
	char space[sizeof(struct order)];
	struct problems problems;

	problems_init(&problems, &arena);
	for (size_t i = 0; i < sample_count; i++)
		if (str_eq(table, str_from_c(sample_schemas[i]->type)))
			return schema_decode(sample_schemas[i], SCHEMA_INPUT, value, &arena,
				       &problems, space) == 0
				       ? '1'
				       : '0';
	return '?';
}

static char judge_by_schema(struct str schema, struct str value)
{
	struct schema_loaded *loaded;
	struct problems problems;
	int r;

	if (schema_load(schema, &loaded) < 0) {
		fprintf(stderr, "  %.*s: %s\n", STR_ARG(schema), err_text());
		return '?';
	}
	problems_init(&problems, &arena);
	r = schema_loaded_check(loaded, value, &arena, &problems);
	schema_loaded_free(loaded);
	return r == 0 ? '1' : '0';
}

static char judge(struct str line)
{
	struct differential_case one;
	struct problems problems;

	problems_init(&problems, &arena);
	REQUIRE(schema_decode(&differential_case_schema, SCHEMA_INPUT, line, &arena, &problems,
			&one) == 0);
	return one.table.len ? judge_by_table(one.table, one.value.json)
			     : judge_by_schema(one.schema.json, one.value.json);
}

TEST_SLOW(schema_differential, 120)
{
	const char *cases = getenv("SCHEMA_CASES"), *verdicts = getenv("SCHEMA_VERDICTS");
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	FILE *in, *out;

	if (!cases || !verdicts)
		return; /* only with tests/differential */
	in = fopen(cases, "r");
	out = fopen(verdicts, "w");
	REQUIRE(in && out);
	REQUIRE(schema_compile(&differential_case_schema) == 0);
	REQUIRE(schema_compile_all(sample_schemas, sample_count) == 0);
	arena_init(&arena, 64 * KILOBYTE, 64 * MEGABYTE);
	while ((len = getline(&line, &room, in)) > 0) {
		fprintf(out, "%c\n", judge(str_of(line, (size_t)len)));
		arena_reset(&arena);
	}
	arena_done(&arena);
	free(line);
	(void)fclose(in);
	EXPECT(fclose(out) == 0);
	schema_release(&differential_case_schema);
	for (size_t i = 0; i < sample_count; i++)
		schema_release(sample_schemas[i]);
}
