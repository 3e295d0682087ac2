/* Jobs as the API shows them and takes them: structs and schemas that several files share. */
#include "modules/jobs/jobs_rows.h"

/* clang-format off */
#define WAIT_MS RANGE(0, JOB_BACKOFF_MS_MAX)

const struct schema job_backoff_schema = SCHEMA(job_backoff, "How long to wait after a failed attempt.",
	FIELD(job_backoff, kind, "exponential: twice as long each time; fixed: always as long; list: one for each attempt.",
		CHOICES("exponential", "fixed", "list"), .if_missing = "exponential"),
	FIELD(job_backoff, delay_ms, "The first wait, or every one.", WAIT_MS, .if_missing = "1000", .example = "1000"),
	FIELD(job_backoff, max_ms, "No wait is longer.", WAIT_MS, .if_missing = "3600000", .example = "3600000"),
	LIST(job_backoff, list_ms, "Of a list: one wait after the other, the last again and again.",
		RANGE(0, JOB_BACKOFFS_MAX), .item = RULES(WAIT_MS)),
	FIELD(job_backoff, jitter, "Percent of the wait that is left to chance.", RANGE(0, 100), .if_missing = "20"));

const struct schema job_shown_schema = SCHEMA(job_shown, "A job: work that is done later.",
	JOB_BRIEF_FIELDS,
	JOB_LONG_FIELDS);

const struct schema job_ref_schema = SCHEMA(job_ref, "A job by its id.",
	FIELD(job_ref, id, "Which.", .format = FORMAT_UUID));
/* clang-format on */

struct job_shown job_shown_of(const struct job_row *row)
{
	bool behind = row->run_at >= JOB_BEHIND_US;
	struct job_shown shown = {
		.id = row->id,
		.queue = row->queue,
		.name = row->name,
		.state = row->state,
		.payload = row->payload,
		.priority = row->priority,
		.run_at = { .set = !behind, .value = behind ? 0 : row->run_at },
		.attempts = row->attempts,
		.backoff = row->backoff,
		.timeout_ms = { .set = row->timeout_us.set, .value = row->timeout_us.value / 1000 },
		.unique_key = row->unique_key,
		.group_key = row->group_key,
		.blocked = row->blocked,
		.traceparent = row->trace,
		.created_at = row->created_at,
	};

	shown.tags.at = row->tags.at;
	shown.tags.count = row->tags.count;
	return shown;
}
