/*
 * Schemas from outside: the first line is one, the rest a document. Loading must end with a
 * verdict, judging as well, with problems exactly when it refuses; and not(schema) must say the
 * opposite.
 */
#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "schema/loaded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int judge(const struct schema_loaded *loaded, struct str json, bool *ret_unsure)
{
	struct problems problems;
	struct arena arena;
	int r;

	arena_init(&arena, 64 * KILOBYTE, 64 * MEGABYTE);
	problems_init(&problems, &arena);
	r = schema_loaded_check(loaded, json, &arena, &problems);
	CHECK((r == -ERR_INVALID) == (problems.count > 0) || r == -ERR_TOO_LARGE);
	for (size_t i = 0; i < problems.count; i++)
		if (strcmp(problems.at[i].code, PROBLEM_PATTERN_TOO_COMPLEX) == 0 ||
			strcmp(problems.at[i].code, PROBLEM_INVALID_JSON) == 0)
			*ret_unsure = true;
	arena_done(&arena);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str json = str_of((const char *)data, size), text = str_cut(&json, '\n');
	struct schema_loaded *loaded, *opposite;
	bool unsure = false;
	struct buf buf;
	int r, other;

	if (schema_load(text, &loaded) < 0)
		return 0;

	r = judge(loaded, json, &unsure);
	buf_init(&buf, MEGABYTE);
	buf_printf(&buf, "{\"not\":%.*s}", STR_ARG(text));
	if (str_find(text, S("$ref")) < 0 && str_find(text, S("$id")) < 0 &&
		schema_load(buf_str(&buf), &opposite) == 0) {
		other = judge(opposite, json, &unsure);
		if (!unsure && r != -ERR_TOO_LARGE && other != -ERR_TOO_LARGE)
			CHECK((r == 0) == (other == -ERR_INVALID));
		schema_loaded_free(opposite);
	}
	buf_done(&buf);
	schema_loaded_free(loaded);
	return 0;
}
