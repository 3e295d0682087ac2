/* What workers send and get. */
#include "modules/jobs/jobs_push.h"
#include "modules/jobs/jobs_worker_internal.h"

/* An item of a batch has its id in the body, a request about one job in the path. */
#define EXAMPLE_TOKEN "bh_ls_AZAAAAAAcACAAAAAAAAAAQGQAAAAAHAAgAAAAAAAAAIAAAAB"

/* clang-format off */
#define ID(type)      FIELD(type, id, "Which job.", .flags = REQUIRED, .format = FORMAT_UUID)
#define ID_PATH(type) FIELD(type, id, "Which job.", .from = FROM_PATH, .format = FORMAT_UUID)
#define TOKEN(type) \
	FIELD(type, lease_token, "What the job was leased with.", .flags = REQUIRED, \
		RANGE(JOB_TOKEN_LEN, JOB_TOKEN_LEN), .pattern = "bh_ls_[A-Za-z0-9_-]+", \
		.example = EXAMPLE_TOKEN)
#define RESULT \
	FIELD(job_complete_item, result, "What it came to: any JSON, kept beside the job.", RANGE(0, JOB_RESULT_MAX))
#define FAILURE \
	FIELD(job_fail_item, message, "Why, for people; kept up to 10,000 bytes.", .flags = REQUIRED | ANY_TEXT, \
		RANGE(0, WORKER_MESSAGE_MAX), .example = "upstream timeout"), \
	FIELD(job_fail_item, retry_in_ms, "When to try again, instead of the job's backoff.", \
		RANGE(0, JOB_DELAY_DAYS * INT64_C(86400000))), \
	FIELD(job_fail_item, discard, "Never again, whatever attempts are left.")
#define BATCH(type, text_, schema_) \
	LIST(type, jobs, text_, .flags = REQUIRED, RANGE(1, JOBS_TAKE_MAX), .item = RULES(.nested = &(schema_)))
#define WORKER(type, ...) \
	FIELD(type, worker_id, "The worker's name for itself, one of its kind in the tenant.", \
		RANGE(1, WORKER_ID_MAX), .pattern = "[A-Za-z0-9][A-Za-z0-9._:@-]*", .example = "worker-1", \
		##__VA_ARGS__)
#define QUEUE(type) \
	FIELD(type, name, "The queue.", .from = FROM_PATH, RANGE(1, JOB_QUEUE_MAX), \
		.pattern = "[a-z][a-z0-9_-]*", .example = "default")
#define STATES CHOICES("scheduled", "available", "running", "retryable", "completed", "discarded", "cancelled")

/* --- one start, and what is said of it --------------------------------------------------- */

static const struct schema job_start_ref_schema = SCHEMA(job_start_ref, "A job and the token of its start.",
	ID(job_start_ref), TOKEN(job_start_ref));

const struct schema job_start_request_schema = SCHEMA(job_start_request, "A job that a worker has.",
	ID_PATH(job_start_ref), TOKEN(job_start_ref));

static const struct schema job_complete_item_schema = SCHEMA(job_complete_item, "A job that is done.",
	ID(job_complete_item), TOKEN(job_complete_item), RESULT);

const struct schema job_complete_request_schema = SCHEMA(job_complete_request, "A job is done.",
	ID_PATH(job_complete_item), TOKEN(job_complete_item), RESULT);

static const struct schema job_fail_item_schema = SCHEMA(job_fail_item, "A job whose attempt has failed.",
	ID(job_fail_item), TOKEN(job_fail_item), FAILURE);

const struct schema job_fail_request_schema = SCHEMA(job_fail_request, "The attempt has failed.",
	ID_PATH(job_fail_item), TOKEN(job_fail_item), FAILURE);

const struct schema job_snooze_request_schema = SCHEMA(job_snooze_request, "Later again; the attempt does not count.",
	ID_PATH(job_snooze_request), TOKEN(job_snooze_request),
	FIELD(job_snooze_request, delay_ms, "How much later.", .flags = REQUIRED,
		RANGE(0, JOB_DELAY_DAYS * INT64_C(86400000)), .example = "60000"));

const struct schema job_progress_request_schema = SCHEMA(job_progress_request, "How far a job has come; renews its lease.",
	ID_PATH(job_progress_request), TOKEN(job_progress_request),
	FIELD(job_progress_request, percent, "From 0 to 100.", .flags = REQUIRED, RANGE(0, 100), .example = "40"),
	FIELD(job_progress_request, note, "A few words for people.", RANGE(0, JOB_NOTE_MAX)));

static const struct schema job_log_line_schema = SCHEMA(job_log_line, "A line of a job's own log.",
	FIELD(job_log_line, level, "How much it matters.", CHOICES("trace", "debug", "info", "warn", "error"),
		.if_missing = "info"),
	FIELD(job_log_line, message, "The line.", .flags = REQUIRED | ANY_TEXT, RANGE(0, JOB_LINE_MAX),
		.example = "page 3 of 9"));

const struct schema job_log_request_schema = SCHEMA(job_log_request, "Lines for a job's own log.",
	ID_PATH(job_log_request), TOKEN(job_log_request),
	LIST(job_log_request, lines, "In their order.", .flags = REQUIRED, RANGE(1, WORKER_LINES_MAX),
		.item = RULES(.nested = &job_log_line_schema)));

/* --- several at once ------------------------------------------------------------------------ */

const struct schema job_start_refs_schema = SCHEMA(job_start_refs, "Jobs that a worker has.",
	BATCH(job_start_refs, "Which.", job_start_ref_schema));

const struct schema job_complete_items_schema = SCHEMA(job_complete_items, "Jobs that are done.",
	BATCH(job_complete_items, "Which.", job_complete_item_schema));

const struct schema job_fail_items_schema = SCHEMA(job_fail_items, "Jobs whose attempt has failed.",
	BATCH(job_fail_items, "Which.", job_fail_item_schema));

/* --- taking --------------------------------------------------------------------------------- */

const struct schema job_lease_request_schema = SCHEMA(job_lease_request, "A worker wants jobs.",
	QUEUE(job_lease_request),
	WORKER(job_lease_request, .flags = REQUIRED),
	FIELD(job_lease_request, max, "How many at most.", RANGE(1, JOBS_TAKE_MAX), .if_missing = "1"),
	FIELD(job_lease_request, wait_ms, "How long to wait for the first one.", RANGE(0, WORKER_WAIT_MAX_MS),
		.if_missing = "0", .example = "0"),
	FIELD(job_lease_request, lease_ms, "How long they are the worker's without a heartbeat, when it has no session.",
		RANGE(WORKER_LEASE_MIN_MS, WORKER_LEASE_MAX_MS), .example = "30000"),
	LIST(job_lease_request, complete, "Jobs that are done, written down in the same transaction.",
		RANGE(0, JOBS_TAKE_MAX), .item = RULES(.nested = &job_complete_item_schema)),
	FIELD(job_lease_request, lost_answer,
		"The answer to an earlier call was lost: jobs of the worker's session that are neither in complete nor in "
		"holding are handed back. Not while another call is under way."),
	LIST(job_lease_request, holding, "Ids of the jobs that the worker works on.", RANGE(0, WORKER_HOLDING_MAX),
		.item = RULES(.format = FORMAT_UUID)));

static const struct schema leased_job_schema = SCHEMA(leased_job, "A job that is the worker's from now on.",
	ID(leased_job),
	FIELD(leased_job, tenant_id, "Whose it is; for workers of all tenants.", .format = FORMAT_UUID),
	FIELD(leased_job, name, "What is to be done.", .flags = REQUIRED, RANGE(1, JOB_NAME_MAX), .example = "report:make"),
	FIELD(leased_job, queue, "The queue.", .flags = REQUIRED, RANGE(1, JOB_QUEUE_MAX)),
	FIELD(leased_job, payload, "With what, as it was added.", .flags = REQUIRED, RANGE(0, JOB_PAYLOAD_MAX)),
	FIELD(leased_job, priority, "0 is the most urgent.", .flags = REQUIRED, RANGE(0, JOB_PRIORITIES - 1)),
	FIELD(leased_job, attempt, "Which start this is, from 1 on.", .flags = REQUIRED),
	FIELD(leased_job, attempts, "How many there may be.", .flags = REQUIRED),
	FIELD(leased_job, lease_token, "To be shown with all that is said of this start.", .flags = REQUIRED,
		RANGE(JOB_TOKEN_LEN, JOB_TOKEN_LEN)),
	FIELD(leased_job, lease_expires_at, "It is started again elsewhere when nothing was heard until then.",
		.flags = REQUIRED, .format = FORMAT_DATE_TIME),
	FIELD(leased_job, timeout_ms, "How long the attempt may take.", .flags = REQUIRED),
	FIELD(leased_job, traceparent, "Trace context of who added it.", RANGE(0, 100)),
	FIELD(leased_job, group_key, "Of its group one at a time.", RANGE(1, JOB_KEY_MAX)),
	FIELD(leased_job, unique_key, "There is one of this key.", RANGE(1, JOB_KEY_MAX)),
	LIST(leased_job, tags, "Words to find it by.", .flags = REQUIRED, RANGE(0, JOB_TAGS_MAX),
		.item = RULES(RANGE(1, JOB_TAG_MAX))),
	FIELD(leased_job, created_at, "When it was added.", .flags = REQUIRED, .format = FORMAT_DATE_TIME));

/* --- answers -------------------------------------------------------------------------------- */

static const struct schema job_refusal_schema = SCHEMA(job_refusal, "Why nothing was done.",
	FIELD(job_refusal, code, "For programs.", .flags = REQUIRED, .example = "CONFLICT"),
	FIELD(job_refusal, message, "For people.", .flags = REQUIRED));

static const struct schema job_ending_schema = SCHEMA(job_ending, "What became of one of several jobs.",
	ID(job_ending),
	FIELD(job_ending, state, "Its state now.", STATES),
	FIELD(job_ending, error, "Why nothing was done.", .nested = &job_refusal_schema));

const struct schema job_endings_schema = SCHEMA(job_endings, "What became of each job.",
	BATCH(job_endings, "In the order of the request.", job_ending_schema));

const struct schema job_lease_answer_schema = SCHEMA(job_lease_answer, "What there was to do.",
	LIST(job_lease_answer, jobs, "In the order they are to start.", .flags = REQUIRED, RANGE(0, JOBS_TAKE_MAX),
		.item = RULES(.nested = &leased_job_schema)),
	LIST(job_lease_answer, completed, "What became of each of `complete`.", .flags = REQUIRED,
		RANGE(0, JOBS_TAKE_MAX), .item = RULES(.nested = &job_ending_schema)));

const struct schema job_ended_schema = SCHEMA(job_ended, "A job that its worker has no more.",
	ID(job_ended),
	FIELD(job_ended, state, "Its state now.", .flags = REQUIRED, STATES));

const struct schema job_logged_schema = SCHEMA(job_logged, "Lines that were kept.",
	FIELD(job_logged, kept, "How many.", .flags = REQUIRED),
	FIELD(job_logged, dropped, "How many were too many: a job has at most 1,000.", .flags = REQUIRED));

const struct schema job_standing_schema = SCHEMA(job_standing, "How a start stands.",
	FIELD(job_standing, cancel, "Somebody wants it to stop.", .flags = REQUIRED),
	FIELD(job_standing, lease_expires_at, "It is the worker's until then.", .flags = REQUIRED,
		.format = FORMAT_DATE_TIME));

static const struct schema job_standing_item_schema = SCHEMA(job_standing_item, "How one of several starts stands.",
	ID(job_standing_item),
	FIELD(job_standing_item, cancel, "Somebody wants it to stop."),
	FIELD(job_standing_item, lease_expires_at, "It is the worker's until then.", .format = FORMAT_DATE_TIME),
	FIELD(job_standing_item, error, "Why it is not the worker's.", .nested = &job_refusal_schema));

const struct schema job_standings_schema = SCHEMA(job_standings, "How starts stand.",
	BATCH(job_standings, "In the order of the request.", job_standing_item_schema));

/* --- workers -------------------------------------------------------------------------------- */

const struct schema worker_ref_schema = SCHEMA(worker_ref, "A worker by its name.",
	WORKER(worker_ref, .from = FROM_PATH));

const struct schema worker_session_request_schema = SCHEMA(worker_session_request, "A worker's connection.",
	WORKER(worker_session_request, .from = FROM_PATH),
	FIELD(worker_session_request, last_event_id, "The session of an earlier connection that goes on: what it leased stays.",
		.name = "last-event-id", .from = FROM_HEADER, .format = FORMAT_UUID));

const struct schema push_queue_ref_schema = SCHEMA(push_queue_ref, "A queue by its name.", QUEUE(push_queue_ref));

const struct schema push_secret_schema = SCHEMA(push_secret, "What signs.",
	FIELD(push_secret, secret, "The key of the signatures, as Standard Webhooks writes it.", .flags = REQUIRED | SECRET,
		RANGE(PUSH_SECRET_TEXT_LEN, PUSH_SECRET_TEXT_LEN)));

const struct schema worker_released_schema = SCHEMA(worker_released, "What a worker has handed back.",
	FIELD(worker_released, released, "How many jobs.", .flags = REQUIRED));
/* clang-format on */

_Static_assert(offsetof(struct job_start_request, of) == 0 &&
		       offsetof(struct job_complete_request, of) == 0 &&
		       offsetof(struct job_fail_request, of) == 0,
	"their fields are those of the items in them");
