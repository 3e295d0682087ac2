/* The text of lines: exact forms, escaping, redaction, limits; random fields against a strict
 * little JSON reader. */
#include "observe/log_line.h"

#include "base/test.h"
#include "base/utf8.h"
#include "observe/log_redact.h"

enum { TIME_US = 1794989730 }; /* seconds; 2026-11-18T08:15:30Z */

static char text[LOG_LINE_MAX + 64];

static struct str json(const struct log_line_parts *parts)
{
	return str_of(text, log_line_json(text, parts));
}

static struct log_line_parts parts_of(const struct log_field *fields, size_t count)
{
	return (struct log_line_parts){ .time_us = (int64_t)TIME_US * 1000000 + 123456,
		.level = LOG_INFO,
		.message = S("hello"),
		.fields = fields,
		.count = count };
}

/* --- a strict reader ------------------------------------------------------ */

static bool skip(struct str *rest, struct str what)
{
	if (!str_starts(*rest, what))
		return false;
	*rest = str_from(*rest, what.len);
	return true;
}

static bool read_escape(struct str *rest)
{
	if (skip(rest, S("u"))) {
		for (size_t i = 0; i < 4; i++) {
			if (!rest->len || !memchr("0123456789abcdef", rest->at[0], 16))
				return false;
			*rest = str_from(*rest, 1);
		}
		return true;
	}
	if (!rest->len || !memchr("\"\\bfnrt", rest->at[0], 7))
		return false;
	*rest = str_from(*rest, 1);
	return true;
}

static bool read_string(struct str *rest)
{
	if (!skip(rest, S("\"")))
		return false;

	while (!skip(rest, S("\""))) {
		uint32_t point;
		size_t len = utf8_read(*rest, &point);

		if (len == 0 || point < 0x20)
			return false;
		*rest = str_from(*rest, len);
		if (point == '\\' && !read_escape(rest))
			return false;
	}
	return true;
}

static bool read_digits(struct str *rest)
{
	size_t count = 0;

	while (count < rest->len && rest->at[count] >= '0' && rest->at[count] <= '9')
		count++;
	*rest = str_from(*rest, count);
	return count > 0;
}

static bool read_value(struct str *rest, unsigned depth)
{
	if (rest->len && rest->at[0] == '"')
		return read_string(rest);
	if (skip(rest, S("true")) || skip(rest, S("false")))
		return true;
	if (!skip(rest, S("{"))) {
		(void)skip(rest, S("-"));
		return read_digits(rest) && (!skip(rest, S(".")) || read_digits(rest));
	}

	if (depth == 0)
		return false;
	do {
		if (!read_string(rest) || !skip(rest, S(":")) || !read_value(rest, depth - 1))
			return false;
	} while (skip(rest, S(",")));
	return skip(rest, S("}"));
}

/* One object on one line, with the newline at the end and nowhere else. */
static bool valid(struct str line)
{
	return line.len <= LOG_LINE_MAX && str_find_byte(line, '\n') == (ptrdiff_t)line.len - 1 &&
	       read_value(&line, 2) && str_eq(line, S("\n"));
}

TEST(log_line_reader_is_strict)
{
	EXPECT(valid(S("{\"a\":\"b\\u0001\",\"c\":-1.5,\"d\":{\"e\":true}}\n")));
	EXPECT(!valid(S("{\"a\":\"b\"}")));
	EXPECT(!valid(S("{\"a\":\"\x01\"}\n")));
	EXPECT(!valid(S("{\"a\":\"\xFF\"}\n")));
	EXPECT(!valid(S("{\"a\":1,}\n")));
	EXPECT(!valid(S("{\"a\":1}}\n")));
}

/* --- forms ---------------------------------------------------------------- */

TEST(log_line_json_form)
{
	const struct log_field fields[] = { LOG_STR("s", S("x y")), LOG_INT("i", -7),
		LOG_U64("u", UINT64_MAX), LOG_DURATION(1234567), LOG_BOOL("t", true),
		LOG_BOOL("f", false), LOG_STR("empty", str_of(NULL, 0)), LOG_MS("wait", 999) };
	struct log_line_parts parts = parts_of(fields, LEN(fields));
	struct log_line_parts bare = parts_of(NULL, 0);

	EXPECT_STR(json(&parts),
		S("{\"time\":\"2026-11-18T08:15:30.123Z\",\"level\":\"info\",\"msg\":\"hello\","
		  "\"s\":\"x y\",\"i\":-7,\"u\":18446744073709551615,\"durationMs\":1.234,"
		  "\"t\":true,\"f\":false,\"empty\":\"\",\"wait\":0.000}\n"));
	EXPECT(valid(json(&parts)));

	bare.level = LOG_FATAL;
	bare.time_us = -1000; /* before 1970: the second is cached rounded down */
	EXPECT_STR(json(&bare), S("{\"time\":\"1969-12-31T23:59:59.999Z\",\"level\":\"fatal\","
				  "\"msg\":\"hello\"}\n"));
}

TEST(log_line_error_field)
{
	struct err slot = { .code = ERR_CONFLICT,
		.depth = 2,
		.frames = { { "a\".c", 12, "version \"3\"\n" }, { "b.c", 7, "while saving" } } };
	struct err none = { .code = ERR_OK };
	struct log_field field = { .key = LOG_KEY("error"), .kind = LOG_KIND_ERR, .err = &slot };
	struct log_line_parts parts = parts_of(&field, 1);

	EXPECT(str_find(json(&parts),
		       S("\"error\":{\"code\":\"CONFLICT\",\"text\":\"while saving: version "
			 "\\\"3\\\"\\n\",\"at\":\"a\\\".c:12\"}}")) > 0);
	EXPECT(valid(json(&parts)));

	field.err = &none;
	EXPECT(str_find(json(&parts), S("\"error\":{\"code\":\"OK\",\"text\":\"\",\"at\":\"\"}}")) >
		0);
}

TEST(log_line_context)
{
	const struct log_field outer_fields[] = { LOG_STR("job", S("mail")) };
	const struct log_field inner_fields[] = { LOG_INT("attempt", 2) };
	struct log_context outer = { .request_id = S("r1"),
		.trace_id = S("t1"),
		.span_id = S("s1"),
		.tenant_id = S("ten\n"),
		.fields = outer_fields,
		.field_count = 1 };
	struct log_context inner = { .parent = &outer,
		.span_id = S("s2"),
		.user_id = S("u1"),
		.fields = inner_fields,
		.field_count = 1 };
	struct log_field field = LOG_STR("k", S("v"));
	struct log_line_parts parts = parts_of(&field, 1);

	parts.context = &inner;
	EXPECT(str_ends(json(&parts),
		S("\"msg\":\"hello\",\"requestId\":\"r1\",\"traceId\":\"t1\",\"spanId\":\"s2\","
		  "\"tenantId\":\"ten\\n\",\"userId\":\"u1\",\"job\":\"mail\",\"attempt\":2,"
		  "\"k\":\"v\"}\n")));

	outer.parent = &inner; /* a ring: broken, but a line must end */
	EXPECT(valid(json(&parts)));
}

TEST(log_line_escapes)
{
	static const struct {
		struct str in, out;
	} cases[] = {
		{ S_INIT("a\"b\\c"), S_INIT("a\\\"b\\\\c") },
		{ S_INIT("line\nbreak\r\t\b\f"), S_INIT("line\\nbreak\\r\\t\\b\\f") },
		{ S_INIT("nul\0\x1B[31m"), S_INIT("nul\\u0000\\u001b[31m") },
		{ S_INIT("gr\xC3\xBC\xC3\x9F"
			 "e"),
			S_INIT("gr\xC3\xBC\xC3\x9F"
			       "e") },
		{ S_INIT("\xF0\x9F\x98\x80"), S_INIT("\xF0\x9F\x98\x80") },
		{ S_INIT("bad\xFF\xC3"), S_INIT("bad\xEF\xBF\xBD\xEF\xBF\xBD") },
		{ S_INIT("\xED\xA0\x80"), S_INIT("\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD") },
		{ S_INIT("csi\xC2\x9B"
			 "1m nel\xC2\x85"),
			S_INIT("csi\\u009b1m nel\\u0085") },
		{ S_INIT("ls\xE2\x80\xA8ps\xE2\x80\xA9"), S_INIT("ls\\u2028ps\\u2029") },
		{ S_INIT("12345678\n2345678"), S_INIT("12345678\\n2345678") },
		{ S_INIT("1234567\""), S_INIT("1234567\\\"") },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct log_field field = LOG_STR("v", cases[i].in);
		struct log_line_parts parts = parts_of(&field, 1);
		struct str line = json(&parts);
		struct str head = S("{\"time\":\"2026-11-18T08:15:30.123Z\",\"level\":\"info\","
				    "\"msg\":\"hello\",\"v\":\"");

		EXPECT(valid(line));
		REQUIRE(line.len > head.len + 3);
		EXPECT_STR(str_of(line.at + head.len, line.len - head.len - 3), cases[i].out);
	}
}

TEST(log_line_every_byte_and_length)
{
	char value[40];

	for (size_t len = 0; len <= sizeof(value); len++)
		for (unsigned byte = 0; byte < 256; byte++) {
			struct log_field field = LOG_STR("v", str_of(value, len));
			struct log_line_parts parts = parts_of(&field, 1);

			memset(value, 'a', sizeof(value));
			if (len)
				value[byte % len] = (char)byte;
			REQUIRE(valid(json(&parts)));
		}
}

/* --- limits --------------------------------------------------------------- */

static char big[20000];

TEST(log_line_long_values_are_cut)
{
	struct log_field fields[] = { LOG_STR("a", str_of(big, sizeof(big))), LOG_INT("b", 1) };
	struct log_line_parts parts = parts_of(fields, LEN(fields));
	struct str line;

	memset(big, 'x', sizeof(big));
	line = json(&parts);
	EXPECT(valid(line));
	EXPECT(str_ends(line, S("xxx[cut]\",\"b\":1}\n")));
	EXPECT(line.len < LOG_VALUE_MAX + 200);

	/* Never inside a character or an escape. */
	for (size_t shift = 0; shift < 8; shift++) {
		for (size_t i = shift; i + 3 < sizeof(big); i += 3)
			memcpy(big + i, "\xE2\x82\xAC", 3);
		EXPECT(valid(json(&parts)));
		memset(big + shift, '\n', sizeof(big) - shift);
		EXPECT(valid(json(&parts)));
	}
}

TEST(log_line_too_many_fields)
{
	struct log_field fields[40];
	struct log_line_parts parts = parts_of(fields, LEN(fields));

	memset(big, 'x', sizeof(big));
	for (size_t len = 100; len < 4000; len += 37) {
		struct str line;

		for (size_t i = 0; i < LEN(fields); i++)
			fields[i] = (struct log_field)LOG_STR("field", str_of(big, len));
		line = json(&parts);
		EXPECT(valid(line));
		if (len * LEN(fields) > LOG_LINE_MAX)
			EXPECT(str_ends(line, S(",\"truncated\":true}\n")));
		if (len * LEN(fields) < LOG_LINE_MAX / 2)
			EXPECT(str_ends(line, S("x\"}\n")));
		line = str_of(text, log_line_pretty(text, &parts));
		EXPECT(line.len <= LOG_LINE_MAX);
	}
}

/* A field of any kind with any bytes. */
static struct log_field random_field(uint64_t *seed, const struct err *err)
{
	struct log_field field = LOG_STR("someKey", str_of(big, 0));
	uint64_t number = test_random(seed);

	field.kind = (enum log_kind)(number % 6);
	switch (field.kind) {
	case LOG_KIND_STR:
		field.text = str_of(big + test_random(seed) % 10000, test_random(seed) % 3000);
		break;
	case LOG_KIND_ERR: field.err = err; break;
	case LOG_KIND_BOOL: field.truth = number & 64; break;
	default: field.u64 = test_random(seed);
	}
	return field;
}

TEST(log_line_random_fields_stay_valid)
{
	uint64_t seed = 42;
	struct err err = { .code = ERR_IO, .depth = ERR_FRAMES };

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)(test_random(&seed) % 4 ? 'a' + i % 26 : test_random(&seed));
	for (size_t i = 0; i < ERR_FRAMES; i++) {
		err.frames[i].file = "some/file.c";
		memcpy(err.frames[i].text, big + i * 300, ERR_TEXT_MAX - 1);
	}

	for (int round = 0; round < 2000; round++) {
		struct log_field fields[24];
		size_t count = test_random(&seed) % (LEN(fields) + 1);
		struct log_line_parts parts = parts_of(fields, count);
		struct str line;

		for (size_t i = 0; i < count; i++)
			fields[i] = random_field(&seed, &err);
		REQUIRE(valid(json(&parts)));
		line = str_of(text, log_line_pretty(text, &parts));
		EXPECT(line.len <= LOG_LINE_MAX && utf8_valid(line));
		EXPECT_INT(str_find_byte(line, '\n'), line.len - 1);
	}
}

/* --- pretty --------------------------------------------------------------- */

TEST(log_line_pretty_form)
{
	struct err slot = { .code = ERR_IO, .depth = 1, .frames = { { "a.c", 3, "no disk" } } };
	const struct log_field fields[] = { LOG_STR("word", S("plain")),
		LOG_STR("text", S("two words")), LOG_STR("bad", S("\x1B[2J")),
		LOG_STR("password", S("x")), LOG_INT("n", 5),
		{ .key = LOG_KEY("error"), .kind = LOG_KIND_ERR, .err = &slot } };
	struct log_context context = { .request_id = S("r1") };
	struct log_line_parts parts = parts_of(fields, LEN(fields));
	struct str line;

	parts.context = &context;
	line = str_of(text, log_line_pretty(text, &parts));
#define KEY(name) " \033[2m" name "=\033[0m"
	EXPECT_STR(
		line, S("08:15:30.123 \033[32mINFO \033[0m hello" KEY("requestId") "r1" KEY("word") "plain" KEY("text") "\"two words\"" KEY(
			      "bad") "\"\\u001b[2J\"" KEY("password") "[redacted]" KEY("n") "5" KEY("error") "IO \"no disk\" at a.c:3\n"));
}

/* --- redaction ------------------------------------------------------------ */

TEST(log_redact_names)
{
	static const char *const secrets[] = { "password", "Password", "user_password",
		"passwordHash", "secret", "client_secret", "clientSecret", "token", "refreshToken",
		"accesstoken", "ACCESS_TOKEN", "authorization", "Proxy-Authorization", "cookie",
		"set-cookie", "Set-Cookie", "apiKey", "api_key", "x-api-key", "X-API-KEY", "apikey",
		"privateKey", "MASTER_KEY", "jwt", "csrf", "pin", "userPin", "user_pin", "PIN",
		"otp", "OTPCode", "otp_code", "cvv", "dsn", "pwd", "credentials", "DATABASE_URL",
		"tokens", "bearer" };
	static const char *const open[] = { "", "user", "shipping", "spinning", "pinned", "hotpath",
		"optional", "author", "compass", "passed", "keyId", "monkey", "userId", "requestId",
		"durationMs", "path", "status", "bypass", "sessionless", "idempotencyKey" };

	for (size_t i = 0; i < LEN(secrets); i++)
		test_note(log_redacted(str_from_c(secrets[i]), false), __FILE__, __LINE__,
			"%s is not redacted", secrets[i]);
	for (size_t i = 0; i < LEN(open); i++)
		test_note(!log_redacted(str_from_c(open[i]), false), __FILE__, __LINE__,
			"%s is redacted", open[i]);

	EXPECT(!log_redacted(S("promptTokens"), true) && !log_redacted(S("max_tokens"), true));
	EXPECT(log_redacted(S("promptTokens"), false) && log_redacted(S("token"), true));
	EXPECT(log_redacted(S("tokensToken"), true) && log_redacted(S("pin"), true));
	EXPECT(log_redacted(str_of(big, REDACT_NAME_MAX + 1), false));
}

TEST(log_redact_in_lines)
{
	const struct log_field fields[] = { LOG_STR("password", S("hunter2")), LOG_INT("pin", 1234),
		LOG_U64("promptTokens", 99), LOG_STR("apiTokens", S("a,b")),
		LOG_STR("codeword", S("open sesame")) };
	struct log_line_parts parts = parts_of(fields, LEN(fields));

	EXPECT(str_ends(json(&parts),
		S("\"password\":\"[redacted]\",\"pin\":\"[redacted]\",\"promptTokens\":99,"
		  "\"apiTokens\":\"[redacted]\",\"codeword\":\"open sesame\"}\n")));

	/* What was remembered of the name is forgotten when a name is added. */
	EXPECT_INT(log_redact_add(S("Code-Word")), 0);
	EXPECT(str_ends(json(&parts), S("\"codeword\":\"[redacted]\"}\n")));
	EXPECT_INT(log_redact_add(S("--a_b")), -ERR_INVALID);
	EXPECT_INT(log_redact_add(str_of(big, REDACT_NAME_MAX + 1)), -ERR_INVALID);
	for (size_t i = 1; i < REDACT_ADDED_MAX; i++)
		REQUIRE(log_redact_add(S("abc")) == 0);
	EXPECT_INT(log_redact_add(S("abc")), -ERR_FULL);
}

TEST(log_line_more_keys_than_are_remembered)
{
	static char keys[4096];
	size_t found = 0;

	memset(keys, 'k', sizeof(keys));
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i + 8 < sizeof(keys); i += 8) {
			struct log_field field = {
				.key = str_of(keys + i, 8), .kind = LOG_KIND_STR, .text = S("v")
			};
			struct log_line_parts parts = parts_of(&field, 1);

			if (i % 64 == 0)
				memcpy(keys + i, "mytoken_", 8);
			found += str_find(json(&parts), S("[redacted]")) > 0;
		}
	EXPECT_INT(found, 3 * 64);
}
