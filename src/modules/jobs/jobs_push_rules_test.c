#include "modules/jobs/jobs_push.h"

#include "base/test.h"

#define NOW ((int64_t)1700000000 * 1000000)

static void count_up(uint8_t *at, uint8_t from)
{
	for (size_t i = 0; i < PUSH_SECRET_LEN; i++)
		at[i] = (uint8_t)(from + i);
}

/* Signatures made by another program's HMAC. */
TEST(push_signatures_are_those_of_the_standard)
{
	struct push_secrets secrets = { .count = 2 };
	char text[PUSH_SIGNATURES_MAX], word[PUSH_SECRET_TEXT_LEN];
	uint8_t back[PUSH_SECRET_LEN];
	size_t len;

	count_up(secrets.at[0], 0);
	count_up(secrets.at[1], 1);
	len = push_sign(&secrets, S("msg-1"), S("1700000000"), S("{\"type\":\"a.b\"}"), text);
	EXPECT_STR(str_of(text, len), S("v1,8n5cjCFUsE4KcQFxLTq5d90qC2F49FTY+DA9UvU3mB0= "
					"v1,VGSzlvqwmUvbI4o4eqisyvLDtRyUBF9ZO7fXT2KWvfw="));
	secrets.count = 1;
	len = push_sign(&secrets, S("msg-1"), S("1700000000"), S("{\"type\":\"a.b\"}"), text);
	EXPECT_STR(str_of(text, len), S("v1,8n5cjCFUsE4KcQFxLTq5d90qC2F49FTY+DA9UvU3mB0="));

	push_secret_write(word, secrets.at[0]);
	EXPECT_STR(str_of(word, sizeof(word)),
		S("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="));
	EXPECT(push_secret_read(str_of(word, sizeof(word)), back));
	EXPECT(memcmp(back, secrets.at[0], sizeof(back)) == 0);
	EXPECT(!push_secret_read(str_of(word, sizeof(word) - 1), back));
	EXPECT(!push_secret_read(S("whsec_"), back));
}

TEST(push_retry_after_is_seconds_or_a_date)
{
	static const struct {
		struct str text;
		int64_t seconds;
	} rows[] = {
		{ S_INIT("1"), 1 },
		{ S_INIT("0"), 1 },
		{ S_INIT("120"), 120 },
		{ S_INIT("86400"), 86400 },
		{ S_INIT("86401"), 86400 },
		{ S_INIT("18446744073709551615"), 86400 },
		{ S_INIT("Tue, 14 Nov 2023 22:14:20 GMT"), 60 },
		{ S_INIT("Tue, 14 Nov 2023 22:13:20 GMT"), 1 },
		{ S_INIT("Tue, 14 Nov 2000 22:13:20 GMT"), 1 },
		{ S_INIT("Tue, 14 Nov 2028 22:13:20 GMT"), 86400 },
		{ S_INIT(""), 0 },
		{ S_INIT("-1"), 0 },
		{ S_INIT("soon"), 0 },
		{ S_INIT("1.5"), 0 },
	};

	for (size_t i = 0; i < LEN(rows); i++)
		EXPECT_INT(push_retry_after(rows[i].text, NOW), rows[i].seconds * 1000000);
}

TEST(push_answers_decide)
{
	static const struct {
		struct http_answer answer;
		enum end_kind kind;
		struct str result;
		const char *message;
		int64_t delay_us;
	} rows[] = {
		{ { 200, S_INIT("{}"), S_INIT("application/json"), S_INIT("") }, END_COMPLETE,
			S_INIT("{}"), "", 0 },
		{ { 299, S_INIT("[1]"), S_INIT("application/vnd.x+json; charset=utf-8"),
			  S_INIT("") },
			END_COMPLETE, S_INIT("[1]"), "", 0 },
		{ { 200, S_INIT("{}{}"), S_INIT("application/json"), S_INIT("") }, END_COMPLETE,
			S_INIT(""), "", 0 },
		{ { 200, S_INIT("{}"), S_INIT("text/plain"), S_INIT("") }, END_COMPLETE, S_INIT(""),
			"", 0 },
		{ { 204, S_INIT(""), S_INIT(""), S_INIT("") }, END_COMPLETE, S_INIT(""), "", 0 },
		{ { 301, S_INIT(""), S_INIT(""), S_INIT("") }, END_FAIL, S_INIT(""),
			"the address has answered 301", 0 },
		{ { 429, S_INIT(""), S_INIT(""), S_INIT("7") }, END_SNOOZE, S_INIT(""),
			"the address has answered 429", 7000000 },
		{ { 429, S_INIT(""), S_INIT(""), S_INIT("") }, END_FAIL, S_INIT(""),
			"the address has answered 429", 0 },
		{ { 503, S_INIT(""), S_INIT(""), S_INIT("9999999") }, END_SNOOZE, S_INIT(""),
			"the address has answered 503", INT64_C(86400000000) },
		{ { 500, S_INIT("no"), S_INIT("text/plain"), S_INIT("5") }, END_FAIL, S_INIT(""),
			"the address has answered 500: no", 0 },
		{ { 500, S_INIT("\xff\xfe"), S_INIT(""), S_INIT("") }, END_FAIL, S_INIT(""),
			"the address has answered 500: (no text)", 0 },
		{ { 410, S_INIT(""), S_INIT(""), S_INIT("") }, END_DISCARD, S_INIT(""),
			"the address has answered 410", 0 },
	};
	struct arena arena;

	arena_init(&arena, 4 * KILOBYTE, MEGABYTE);
	for (size_t i = 0; i < LEN(rows); i++) {
		struct job_end end = { 0 };

		REQUIRE(push_judge(&rows[i].answer, NOW, &arena, &end) == 0);
		EXPECT_INT(end.kind, rows[i].kind);
		EXPECT_STR(end.result.json, rows[i].result);
		EXPECT_STR(end.message, str_from_c(rows[i].message));
		EXPECT_INT(end.delay_us, rows[i].delay_us);
	}
	arena_done(&arena);
}
