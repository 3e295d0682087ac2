/*
 * Request targets. What was taken is free of what must not get in, and a decoded path or query
 * encoded again decodes to the same.
 */
#include "http/target.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_text(struct str text, struct str allowed)
{
	CHECK(utf8_valid(text));
	for (size_t i = 0; i < text.len; i++)
		CHECK(((unsigned char)text.at[i] >= 0x20 && text.at[i] != 0x7F) ||
			str_find_byte(allowed, text.at[i]) >= 0);
}

static void encode(struct buf *out, struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		buf_printf(out, "%%%02X", (unsigned char)text.at[i]);
}

/* Decodes all segments; each, encoded whole and decoded again, is the same. */
static void check_path(struct str path, struct arena *arena)
{
	struct path_segment segment, again;
	struct path_walk walk;

	path_start(&walk, path);
	while (path_next(&walk, arena, &segment) > 0) {
		struct path_walk second;
		struct buf out;

		check_text(segment.text, S(""));
		CHECK(str_find_byte(segment.text, '\\') < 0);
		CHECK(!str_eq(segment.text, S(".")) && !str_starts(segment.text, S("../")));
		CHECK(!str_eq(segment.text, S("..")) && !str_ends(segment.text, S("/..")));
		CHECK(str_find(segment.text, S("/../")) < 0);

		buf_init(&out, MEGABYTE);
		buf_byte(&out, '/');
		encode(&out, segment.text);
		path_start(&second, buf_str(&out));
		CHECK(path_next(&second, arena, &again) == 1 && str_eq(again.text, segment.text));
		CHECK(path_next(&second, arena, &again) == 0);
		buf_done(&out);
	}
}

static void check_query(struct str query, struct arena *arena)
{
	struct query_pair pair, again;
	struct query_walk walk;

	query_start(&walk, query);
	while (query_next(&walk, arena, &pair) > 0) {
		struct query_walk second;
		struct buf out;

		check_text(pair.name, S("\t\r\n"));
		check_text(pair.value, S("\t\r\n"));
		buf_init(&out, MEGABYTE);
		encode(&out, pair.name);
		buf_byte(&out, '=');
		encode(&out, pair.value);
		query_start(&second, buf_str(&out));
		CHECK(query_next(&second, arena, &again) == 1);
		CHECK(str_eq(again.name, pair.name) && str_eq(again.value, pair.value));
		buf_done(&out);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct str text = str_of((const char *)bytes, size);
	struct authority authority;
	struct target target;
	struct arena arena;

	arena_init(&arena, 4096, MEGABYTE);
	if (target_parse(text, &target) == 0) {
		check_path(target.path, &arena);
		check_query(target.query, &arena);
		if (target.authority.len)
			(void)authority_parse(target.authority, &authority);
	}
	check_query(text, &arena); /* as a form body: any byte */
	if (authority_parse(text, &authority) == 0)
		CHECK(authority.host.len > 0 && authority.host.at == text.at);
	arena_done(&arena);
	return 0;
}
