/* Lease tokens of jobs: what is read is written the same, and nothing else is taken. */
#include "modules/jobs/jobs_token.h"

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct str text = str_of((const char *)bytes, size);
	struct job_token token;
	char again[JOB_TOKEN_LEN];

	if (!job_token_read(text, &token))
		return 0;
	CHECK(size == JOB_TOKEN_LEN && token.attempt > 0);
	job_token_write(again, &token);
	CHECK(memcmp(again, bytes, size) == 0);
	return 0;
}
