/* What goes in and out when people look at jobs. */
#include "modules/jobs/jobs_admin.h"

_Static_assert(offsetof(struct job_item, shown) == 0, "its fields are those of the job in it");
_Static_assert(offsetof(struct job_details, shown) == 0, "its fields are those of the job in it");
_Static_assert(offsetof(struct job_query, filter) == 0, "its fields are those of the filter");

#define TIME .format = FORMAT_DATE_TIME

/* clang-format off */
const struct schema job_item_schema = SCHEMA(job_item, "A job, without payload and result.",
	JOB_BRIEF_FIELDS,
	FIELD(job_item, running_ms, "How long it has been running."));

const struct schema job_page_schema = SCHEMA(job_page, "Jobs, the newest first.",
	LIST(job_page, items, "Those of this page; there may be few, or none, and a further page.",
		.flags = REQUIRED, RANGE(0, PAGE_MAX), .item = RULES(.nested = &job_item_schema)));

const struct schema job_error_shown_schema = SCHEMA(job_error_shown, "Why an attempt came to nothing.",
	FIELD(job_error_shown, attempt, "Which.", .flags = REQUIRED),
	FIELD(job_error_shown, kind, "How it ended.", .flags = REQUIRED, .example = "fail"),
	FIELD(job_error_shown, message, "What was said.", .flags = REQUIRED | MULTILINE, RANGE(0, JOB_MESSAGE_MAX)),
	FIELD(job_error_shown, worker, "Who had it."),
	FIELD(job_error_shown, trace, "The trace of the attempt."),
	FIELD(job_error_shown, at, "When.", .flags = REQUIRED, TIME));

const struct schema job_details_schema = SCHEMA(job_details, "A job with all that is known of it.",
	JOB_BRIEF_FIELDS,
	JOB_LONG_FIELDS,
	FIELD(job_details, running_ms, "How long it has been running."),
	LIST(job_details, errors, "Of attempts that failed, in their order.", .flags = REQUIRED,
		RANGE(0, JOB_STARTS_MAX), .item = RULES(.nested = &job_error_shown_schema)));

const struct schema job_by_id_schema = SCHEMA(job_by_id, "A job by its id.",
	FIELD(job_by_id, id, "Which.", .from = FROM_PATH, .format = FORMAT_UUID));

const struct schema job_query_schema = SCHEMA(job_query, "Which jobs.",
	PAGE_FIELDS(job_query),
	FIELD(job_filter, queue, "Of that queue.", .from = FROM_QUERY, RANGE(1, JOB_QUEUE_MAX)),
	FIELD(job_filter, name, "Of that name.", .from = FROM_QUERY, RANGE(1, JOB_NAME_MAX)),
	FIELD(job_filter, state, "In that state.", .from = FROM_QUERY, .choices = job_state_names),
	FIELD(job_filter, tag, "With that tag.", .from = FROM_QUERY, RANGE(1, JOB_TAG_MAX)),
	FIELD(job_filter, group_key, "Of that group.", .from = FROM_QUERY, RANGE(1, JOB_KEY_MAX)),
	FIELD(job_filter, unique_key, "With that key.", .from = FROM_QUERY, RANGE(1, JOB_KEY_MAX)),
	FIELD(job_filter, created_after, "Added then or later.", .from = FROM_QUERY, TIME),
	FIELD(job_filter, created_before, "Added before then.", .from = FROM_QUERY, TIME));

const struct schema job_lines_query_schema = SCHEMA(job_lines_query, "Lines of a job's log.",
	FIELD(job_lines_query, id, "Which job.", .from = FROM_PATH, .format = FORMAT_UUID),
	PAGE_FIELDS(job_lines_query));

const struct schema job_line_shown_schema = SCHEMA(job_line_shown, "A line of a job's log.",
	FIELD(job_line_shown, id, "Which.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(job_line_shown, level, "How serious.", .flags = REQUIRED, .example = "info"),
	FIELD(job_line_shown, line, "What it says.", .flags = REQUIRED | MULTILINE, RANGE(0, JOB_LINE_MAX)),
	FIELD(job_line_shown, at, "When.", .flags = REQUIRED, TIME));

const struct schema job_lines_page_schema = SCHEMA(job_lines_page, "Lines of a job's log, in their order.",
	LIST(job_lines_page, items, "Those of this page.", .flags = REQUIRED, RANGE(0, PAGE_MAX),
		.item = RULES(.nested = &job_line_shown_schema)));
/* clang-format on */
