/* Fuzzes the `.env` reader: any text, in memory of exactly its size. It must end, number lines
 * upward, hand out well-formed names, and values that lie in the text. */
#include "dotenv.h"
#include "base/check.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(struct str name)
{
	CHECK(name.len <= DOTENV_NAME_MAX && !isdigit(name.at[0]));
	for (size_t i = 0; i < name.len; i++)
		CHECK(isalnum(name.at[i]) || name.at[i] == '_');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(MAX(size, (size_t)1));
	struct dotenv dotenv;
	struct dotenv_item item;
	unsigned line = 0;

	CHECK(text);
	if (size)
		memcpy(text, data, size);
	dotenv = dotenv_start(text, size);
	while (dotenv_next(&dotenv, &item)) {
		CHECK(item.line > line && dotenv.line >= item.line);
		line = item.line;
		CHECK(item.problem || item.name.len);
		CHECK(!item.problem || item.value.len == 0);
		if (item.name.len)
			check_name(item.name);
		if (item.value.len)
			CHECK(item.value.at >= text &&
				item.value.at + item.value.len <= text + size);
		CHECK(str_find_byte(item.value, 0) < 0);
	}
	CHECK(dotenv.at == dotenv.end && dotenv.end == text + size);
	free(text);
	return 0;
}
