/* The text of a lease token. Pure: no rows, no secrets. */
#include "modules/jobs/jobs_token.h"

#include "base/check.h"

static const struct str mark = S_INIT("bh_ls_");

_Static_assert(JOB_TOKEN_BYTES % 3 == 0, "no bits behind the last byte");

void job_token_write(char *at, const struct job_token *token)
{
	uint8_t bytes[JOB_TOKEN_BYTES];
	uint32_t attempt = (uint32_t)token->attempt;

	CHECK(token->attempt > 0 && token->attempt <= INT32_MAX);
	memcpy(bytes, token->tenant.bytes, sizeof(token->tenant));
	memcpy(bytes + sizeof(struct uuid), token->lease.bytes, sizeof(token->lease));
	for (size_t i = 0; i < 4; i++)
		bytes[JOB_TOKEN_BYTES - 1 - i] = (uint8_t)(attempt >> 8 * i);
	memcpy(at, mark.at, mark.len);
	(void)base64_write(BASE64_URL, at + mark.len, str_of((const char *)bytes, sizeof(bytes)));
}

bool job_token_read(struct str text, struct job_token *ret)
{
	uint8_t bytes[JOB_TOKEN_BYTES];
	uint32_t attempt = 0;

	if (!str_starts(text, mark) ||
		!base64_read_exact(BASE64_URL, str_from(text, mark.len), bytes, sizeof(bytes)))
		return false;
	for (size_t i = JOB_TOKEN_BYTES - 4; i < JOB_TOKEN_BYTES; i++)
		attempt = attempt << 8 | bytes[i];
	if (attempt == 0 || attempt > INT32_MAX)
		return false;
	memcpy(ret->tenant.bytes, bytes, sizeof(ret->tenant));
	memcpy(ret->lease.bytes, bytes + sizeof(struct uuid), sizeof(ret->lease));
	ret->attempt = attempt;
	return true;
}
