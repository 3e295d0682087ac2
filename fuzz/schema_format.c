/*
 * Formats and patterns. Every format over the same text: what two of them say about it must go
 * together. The first line is also a pattern for the rest, which must end within its limits.
 */
#include "base/check.h"
#include "base/err.h"
#include "base/time_text.h"
#include "base/utf8.h"
#include "schema/format.h"
#include "schema/pattern.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_formats(struct str text)
{
	char time[TIME_RFC3339_LEN], uuid[36];
	uint8_t bytes[16];
	int64_t us, back;

	if (format_email(text))
		CHECK(text.len <= 254 && str_find_byte(text, '@') > 0);
	if (format_slug(text))
		CHECK(text.at[0] != '-' && str_find(text, S("--")) < 0);
	if (format_uri(text))
		CHECK(format_uri_reference(text) && str_find_byte(text, ':') > 0);
	if (format_uri_reference(text))
		CHECK(str_find_byte(text, ' ') < 0 && str_find_byte(text, '\\') < 0);
	if (format_ipv4(text) || format_ipv6(text))
		CHECK(!format_cidr(text) && text.len <= 45);
	if (format_read_date_time(text, &us)) {
		time_write_rfc3339(time, us);
		CHECK(format_read_date_time(str_of(time, sizeof(time)), &back));
		CHECK(back <= us && us - back < 1000);
		CHECK(format_date(str_first(text, 10)) && format_time(str_from(text, 11)));
	}
	if (format_read_uuid(text, bytes)) {
		format_write_uuid(uuid, bytes);
		CHECK(str_eq_nocase(str_of(uuid, sizeof(uuid)), text));
	}
	for (enum format format = FORMAT_NONE + 1; format < FORMATS; format++)
		if (format != FORMAT_JSON_POINTER && format_valid(format, text))
			CHECK(utf8_valid(text) && str_find_byte(text, '\n') < 0);
}

static void check_pattern(struct str source, struct str text)
{
	struct pattern *pattern;
	struct matcher matcher;
	struct arena arena;

	if (!utf8_valid(text))
		return;
	arena_init(&arena, 64 * KILOBYTE, 16 * MEGABYTE);
	for (int whole = 0; whole < 2; whole++) {
		int found = PATTERN_NO;

		if (pattern_compile(source, whole, &pattern) < 0)
			continue;
		matcher_init(&matcher, &arena);
		found = pattern_match(pattern, text, &matcher);
		CHECK(found >= PATTERN_NO && found <= PATTERN_TOO_COMPLEX);
		pattern_free(pattern);
	}
	arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1); /* in memory of its own, for reads beyond the end */
	struct str text = str_of(copy, size), first;

	CHECK(copy);
	memcpy(copy, data, size);
	check_formats(text);
	first = str_cut(&text, '\n');
	if (text.at)
		check_pattern(first, text);
	free(copy);
	return 0;
}
