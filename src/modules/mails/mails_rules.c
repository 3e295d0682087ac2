/* When a mail is tried again. Pure. */
#include "modules/mails/mails_internal.h"

#define MINUTES(count) (INT64_C(60000) * (count))

static const int64_t waits_ms[] = { MINUTES(1), MINUTES(5), MINUTES(15), MINUTES(60), MINUTES(120),
	MINUTES(240) };

const struct job_backoff mail_backoff = {
	.kind = JOB_BACKOFF_LIST,
	.list_ms = { .at = (int64_t *)waits_ms, .count = LEN(waits_ms) },
	.jitter = 10,
};

uint64_t mail_wait(int64_t attempts)
{
	size_t at = attempts < 1 ? 0 : MIN((size_t)attempts - 1, LEN(waits_ms) - 1);

	return (uint64_t)waits_ms[at] * MILLISECOND;
}
