/*
 * CORS: the first line of the input is the origin, the rest are the headers that a preflight asks
 * for. What comes out is lines and nothing but lines, and an origin that is not on the list is
 * never granted anything.
 */
#include "http/cors.h"

#include "base/check.h"
#include "http/chars.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const struct str origins[] = { S_INIT("https://app.example"), S_INIT("http://localhost:1") };
static struct h1_head head;

static void add(enum h1_known known, struct str value)
{
	if (!h1_has(&head, known))
		head.first[known] = (uint8_t)head.count;
	head.seen |= UINT64_C(1) << known;
	head.fields[head.count++] = (struct h1_field){ h1_known_name(known), value, known };
}

static bool listed(struct str origin)
{
	return str_eq(origin, origins[0]) || str_eq(origin, origins[1]);
}

static void check_lines(struct str lines, bool granted)
{
	while (lines.len) {
		struct str line = str_cut(&lines, '\n');
		struct str name = str_cut(&line, ':');

		CHECK(chars_token(name) && line.len > 2 && line.at[line.len - 1] == '\r');
		CHECK(chars_all(str_first(line, line.len - 1), CHAR_FIELD));
		CHECK(granted || str_eq(name, S("vary")));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const struct cors_config config = { .origins = { origins, LEN(origins) } };
	struct str rest = str_of((const char *)bytes, size);
	struct str origin = str_trim(str_cut(&rest, '\n'));
	struct buf lines;
	struct cors cors;

	head.seen = head.count = 0;
	head.method = HTTP_OPTIONS;
	add(H1_ORIGIN, origin);
	add(H1_ACCESS_CONTROL_REQUEST_METHOD, S("PUT"));
	while (rest.at && head.count < H1_FIELDS_MAX)
		add(H1_ACCESS_CONTROL_REQUEST_HEADERS, str_trim(str_cut(&rest, '\n')));

	CHECK(cors_init(&cors, &config) == 0);
	buf_init(&lines, 64 * 1024);
	CHECK(cors_apply(&cors, &head, &lines) == (origin.at != NULL));
	CHECK(!lines.failed);
	check_lines(buf_str(&lines), listed(origin));
	buf_done(&lines);
	cors_done(&cors);
	return 0;
}
