/* Jobs as the API shows them and takes them: structs and schemas that several files share. */
#include "modules/jobs/jobs_post.h"
#include "modules/jobs/jobs_schemas.h"

#include "rest/page.h"

/* clang-format off */
#define DELAY_MS_MAX (JOB_DELAY_DAYS * INT64_C(86400000))
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

#define SHOWN JOB_BRIEF_FIELDS, JOB_LONG_FIELDS

const struct schema job_shown_schema = SCHEMA(job_shown, "A job: work that is done later.", SHOWN);

_Static_assert(offsetof(struct job_posted, shown) == 0, "its fields are those of the job in it");

const struct schema job_posted_schema = SCHEMA(job_posted, "A job that there is now.", SHOWN,
	FIELD(job_posted, outcome, "added; replaced: one that waited has become this one; kept: there is one already.",
		.flags = REQUIRED, CHOICES("added", "replaced", "kept")));

static const struct schema job_post_unique_schema = SCHEMA(job_post_unique, "One job of its kind.",
	FIELD(job_post_unique, key, "What it is one of its kind of, in its queue.", .flags = REQUIRED, KEY, .example = "invoice-17"),
	FIELD(job_post_unique, mode, "When there is one that has not ended. reject: 409; replace: one that waits becomes this one, behind one "
		"that runs this one waits; throttle: nothing is added for ttlMs from the first one on; debounce: as replace, and starts ttlMs after the last one.",
		CHOICES("reject", "replace", "throttle", "debounce"), .if_missing = "reject"),
	FIELD(job_post_unique, ttl_ms, "Of throttle and debounce.", RANGE(1, DELAY_MS_MAX), .example = "60000"));

const struct schema job_post_schema = SCHEMA(job_post, "A job to be.",
	FIELD(job_post, queue, "Where it waits: small letters, digits, _ and -. If missing, that of its kind, or \"default\".",
		RANGE(1, JOB_QUEUE_MAX), .example = "email"),
	FIELD(job_post, name, "What is to be done, as domain:action.", .flags = REQUIRED, RANGE(1, JOB_NAME_MAX), .example = "email:send"),
	FIELD(job_post, payload, "What with.", RANGE(0, JOB_PAYLOAD_MAX)),
	FIELD(job_post, priority, "0 is the most urgent; 5 if missing.", RANGE(0, JOB_PRIORITIES - 1)),
	FIELD(job_post, run_at, "Not before then.", .format = FORMAT_DATE_TIME),
	FIELD(job_post, delay_ms, "Not before that time has passed.", RANGE(0, DELAY_MS_MAX)),
	FIELD(job_post, attempts, "How often it may be started; as the queue says, if missing.", RANGE(1, JOB_ATTEMPTS_MAX)),
	FIELD(job_post, backoff, "How long to wait after a failure; as the queue says, if missing.", .nested = &job_backoff_schema),
	FIELD(job_post, timeout_ms, "How long an attempt may take; as the queue says, if missing.", RANGE(1, JOB_TIMEOUT_MS_MAX)),
	FIELD(job_post, unique, "That there is one of its kind.", .nested = &job_post_unique_schema),
	FIELD(job_post, group, "With which others of its queue it takes turns.", KEY, .example = "customer-17"),
	LIST(job_post, tags, "Words to find it by.", .flags = UNIQUE, TAGS));

const struct schema jobs_post_schema = SCHEMA(jobs_post, "Jobs to be, all or none.",
	LIST(jobs_post, jobs, "In their order.", .flags = REQUIRED, RANGE(1, JOB_BULK_MAX), .item = RULES(.nested = &job_post_schema)));

const struct schema jobs_posted_schema = SCHEMA(jobs_posted, "Jobs that there are now.",
	LIST(jobs_posted, ids, "In the order of the request.", .flags = REQUIRED, RANGE(0, JOB_BULK_MAX), .item = RULES(.format = FORMAT_UUID)),
	FIELD(jobs_posted, added, "How many are new.", .flags = REQUIRED),
	FIELD(jobs_posted, replaced, "How many took the place of ones that waited.", .flags = REQUIRED),
	FIELD(jobs_posted, kept, "For how many there was one already.", .flags = REQUIRED));

const struct schema job_ref_schema = SCHEMA(job_ref, "A job by its id.",
	FIELD(job_ref, id, "Which.", .format = FORMAT_UUID));

#define SCHEMA_NAME "The name of the jobs whose payloads it judges."

const struct schema job_schema_schema = SCHEMA(job_schema, "What the payloads of jobs of a name must be like.",
	FIELD(job_schema, name, SCHEMA_NAME, .flags = REQUIRED, RANGE(1, JOB_NAME_MAX), .example = "email:send"),
	FIELD(job_schema, schema, "A JSON Schema (2020-12).", .flags = REQUIRED, RANGE(0, JOB_SCHEMA_BYTES)),
	FIELD(job_schema, version, "Grows by one on each change.", .flags = REQUIRED, .example = "1"),
	FIELD(job_schema, updated_at, "When it was changed last.", .flags = REQUIRED, .format = FORMAT_DATE_TIME));

const struct schema job_schema_put_schema = SCHEMA(job_schema_put, "A schema to set.",
	FIELD(job_schema_put, name, SCHEMA_NAME, .from = FROM_PATH, RANGE(1, JOB_NAME_MAX)),
	FIELD(job_schema_put, schema, "A JSON Schema (2020-12).", .flags = REQUIRED, RANGE(2, JOB_SCHEMA_BYTES)));

const struct schema job_schema_ref_schema = SCHEMA(job_schema_ref, "A schema by its name.",
	FIELD(job_schema_ref, name, SCHEMA_NAME, .from = FROM_PATH, RANGE(1, JOB_NAME_MAX)));

const struct schema job_schema_query_schema = SCHEMA(job_schema_query, "Which schemas.",
	PAGE_FIELDS(job_schema_query));

const struct schema job_schema_page_schema = SCHEMA(job_schema_page, "Schemas, by their names.",
	LIST(job_schema_page, items, "Those of this page.", .flags = REQUIRED, RANGE(0, PAGE_MAX),
		.item = RULES(.nested = &job_schema_schema)));
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

static uint64_t of_ms(int64_t ms)
{
	return (uint64_t)ms * MILLISECOND;
}

struct job_new job_new_of(const struct job_post *post)
{
	struct job_new job = {
		.name = post->name,
		.queue = post->queue,
		.payload = post->payload.json.len ? post->payload.json : S("{}"),
		.priority = post->priority,
		.run_at_us = post->run_at.set ? MAX(post->run_at.value, 1) : 0,
		.delay_ns = of_ms(post->delay_ms),
		.attempts = post->attempts,
		.backoff = post->backoff,
		.timeout_ns = of_ms(post->timeout_ms),
		.group_key = post->group,
		.tags = post->tags.at,
		.tag_count = post->tags.count,
	};

	if (post->unique) {
		job.unique_key = post->unique->key;
		job.unique_mode = post->unique->mode;
		job.unique_ns = of_ms(post->unique->ttl_ms);
	}
	return job;
}
