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

#define KEY RANGE(1, JOB_KEY_MAX)
#define TAGS RANGE(0, JOB_TAGS_MAX), .item = RULES(RANGE(1, JOB_TAG_MAX))

const struct schema job_shown_schema = SCHEMA(job_shown, "A job: work that is done later.",
	FIELD(job_shown, id, "Which.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(job_shown, queue, "Where it waits.", .flags = REQUIRED, RANGE(1, JOB_QUEUE_MAX), .example = "email"),
	FIELD(job_shown, name, "What is to be done.", .flags = REQUIRED, RANGE(1, JOB_NAME_MAX), .example = "email:send"),
	FIELD(job_shown, state, "How far it has come.", .flags = REQUIRED, .choices = job_state_names),
	FIELD(job_shown, payload, "What with.", .flags = REQUIRED, RANGE(0, JOB_PAYLOAD_MAX)),
	FIELD(job_shown, priority, "0 is the most urgent.", .flags = REQUIRED, RANGE(0, JOB_PRIORITIES - 1)),
	FIELD(job_shown, run_at, "Not before then.", .format = FORMAT_DATE_TIME),
	FIELD(job_shown, attempt, "How often it was started.", .flags = REQUIRED),
	FIELD(job_shown, attempts, "How often it may be.", .flags = REQUIRED),
	FIELD(job_shown, backoff, "How long to wait after a failure; not there: as the queue says.", .nested = &job_backoff_schema),
	FIELD(job_shown, timeout_ms, "How long an attempt may take; not there: as the queue says."),
	FIELD(job_shown, unique_key, "What it is one of its kind of.", KEY),
	FIELD(job_shown, group_key, "With which others it takes turns.", KEY),
	FIELD(job_shown, blocked, "Whether others of its group go first.", .flags = REQUIRED),
	LIST(job_shown, tags, "Words to find it by.", TAGS),
	FIELD(job_shown, traceparent, "The trace of who added it."),
	FIELD(job_shown, worker, "Who has it, or had it last."),
	FIELD(job_shown, cancelling, "Whether it was asked to stop.", .flags = REQUIRED),
	FIELD(job_shown, progress, "Percent that are done."),
	FIELD(job_shown, progress_note, "How far it has come, for people.", RANGE(0, JOB_NOTE_MAX)),
	FIELD(job_shown, result, "What it came to.", RANGE(0, JOB_RESULT_MAX)),
	FIELD(job_shown, created_at, "When it was added.", .flags = REQUIRED, .format = FORMAT_DATE_TIME),
	FIELD(job_shown, started_at, "When its last attempt began.", .format = FORMAT_DATE_TIME),
	FIELD(job_shown, ended_at, "When it ended.", .format = FORMAT_DATE_TIME));

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
