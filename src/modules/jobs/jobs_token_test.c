#include "modules/jobs/jobs_token.h"

#include "base/test.h"
#include "crypto/random.h"

TEST(job_tokens_come_back)
{
	static const int64_t attempts[] = { 1, 2, 255, 256, 65536, INT32_MAX };

	for (size_t i = 0; i < 1000; i++) {
		struct job_token token, back;
		char text[JOB_TOKEN_LEN], again[JOB_TOKEN_LEN];

		random_bytes(&token, sizeof(token));
		token.attempt = attempts[i % LEN(attempts)];
		job_token_write(text, &token);
		REQUIRE(job_token_read(str_of(text, sizeof(text)), &back));
		EXPECT(uuid_cmp(&token.tenant, &back.tenant) == 0);
		EXPECT(uuid_cmp(&token.lease, &back.lease) == 0);
		EXPECT(back.attempt == token.attempt);
		job_token_write(again, &back);
		EXPECT(memcmp(text, again, sizeof(text)) == 0);
	}
}

TEST(job_tokens_that_are_none)
{
	static const struct job_token token = { { { 1, 2 } }, { { 3, 4 } }, 7 };
	struct job_token back = token;
	char good[JOB_TOKEN_LEN];

	job_token_write(good, &token);
	EXPECT(job_token_read(str_of(good, sizeof(good)), &back));
	for (size_t len = 0; len < sizeof(good); len++)
		EXPECT(!job_token_read(str_of(good, len), &back));
	for (size_t i = 0; i < sizeof(good); i++) {
		static const char bad[] = { 0, ' ', '=', '+', '/', '.', '\n', (char)0xff };
		char text[JOB_TOKEN_LEN];

		for (size_t k = 0; k < sizeof(bad); k++) {
			memcpy(text, good, sizeof(text));
			text[i] = bad[k];
			EXPECT(!job_token_read(str_of(text, sizeof(text)), &back));
		}
	}
	EXPECT(!job_token_read(str_of(NULL, 0), &back));
	/* attempts that there are none of: 0, and more than 31 bits */
	memset(good + JOB_TOKEN_LEN - 6, 'A', 6);
	EXPECT(!job_token_read(str_of(good, sizeof(good)), &back));
	memset(good + JOB_TOKEN_LEN - 6, '_', 6);
	EXPECT(!job_token_read(str_of(good, sizeof(good)), &back));
	EXPECT(back.attempt == token.attempt);
}
