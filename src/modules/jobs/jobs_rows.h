/* What rows of jobs look like, for the files that write and read them, and the schemas they share.
 */
#ifndef JOBS_ROWS_H
#define JOBS_ROWS_H

#include "modules/jobs/jobs_internal.h"

struct db;
struct server;

/* --- statements ------------------------------------------------------------------------ */

/* Those of a file; jobs_module.c lists all of them and registers each list. */
struct job_statements {
	const struct statement *const *at;
	size_t count;
};

#define JOB_STATEMENTS(...)                                                                        \
	{                                                                                          \
		.at = (const struct statement *const[]){ __VA_ARGS__ },                            \
		.count = sizeof((const struct statement *const[]){ __VA_ARGS__ }) /                \
			 sizeof(struct statement *)                                                \
	}

extern const struct job_statements job_add_statements, job_unique_statements, job_group_statements,
	job_seats_statements, job_seats_statements_sqlite, job_seats_statements_postgres,
	job_queue_statements, job_depth_statements, job_note_statements, job_look_statements;

/* Registers all of them, before store_start. */
int jobs_register(struct store *store);

/* What is kept in memory: bells, settings of queues, depths; before store_start, and closed before
 * the store. */
int jobs_memory_open(struct store *store);
void jobs_memory_close(struct store *store);

/* --- a job ------------------------------------------------------------------------------- */

/* The first start of a job that waits behind the running one of its unique key: not before that has
 * ended, which sets it to what its turn says. In no calendar. */
#define JOB_BEHIND_US INT64_C(9000000000000000000)

enum { JOB_BACKOFF_MS_MAX = 24 * 60 * 60 * 1000 }; /* longest wait between attempts */

/* The column backoff, and what a caller may say. */
extern const struct schema job_backoff_schema;

/* A row as it is made. */
struct job_row {
	struct str id, queue, name;
	enum job_state state;
	struct json_value payload;
	int64_t priority, turn, run_at;
	int64_t attempts;
	const struct job_backoff *backoff; /* NULL: the queue's */
	struct opt_i64 timeout_us;         /* not set: the queue's */
	struct opt_str unique_key, group_key;
	bool seated, blocked;
	LIST_OF(struct str) tags;
	struct opt_str trace;
	int64_t created_at;
};

/* A job as the API shows it. */
struct job_shown {
	struct str id, queue, name;
	enum job_state state;
	struct json_value payload;
	int64_t priority;
	struct opt_i64 run_at; /* not set: behind another one of its unique key */
	int64_t attempt, attempts;
	const struct job_backoff *backoff;
	struct opt_i64 timeout_ms;
	struct opt_str unique_key, group_key;
	bool blocked;
	LIST_OF(struct str) tags;
	struct opt_str traceparent, worker;
	bool cancelling;
	struct opt_i64 progress;
	struct opt_str progress_note;
	struct json_value result;
	int64_t created_at;
	struct opt_i64 started_at, ended_at;
};

extern const struct schema job_shown_schema;

/* Its rows, for schemas of structs that begin with it; and those of what may be long. */
/* clang-format off */
#define JOB_BRIEF_FIELDS \
	FIELD(job_shown, id, "Which.", .flags = REQUIRED, .format = FORMAT_UUID), \
	FIELD(job_shown, queue, "Where it waits.", .flags = REQUIRED, RANGE(1, JOB_QUEUE_MAX), .example = "email"), \
	FIELD(job_shown, name, "What is to be done.", .flags = REQUIRED, RANGE(1, JOB_NAME_MAX), .example = "email:send"), \
	FIELD(job_shown, state, "How far it has come.", .flags = REQUIRED, .choices = job_state_names), \
	FIELD(job_shown, priority, "0 is the most urgent.", .flags = REQUIRED, RANGE(0, JOB_PRIORITIES - 1)), \
	FIELD(job_shown, run_at, "Not before then.", .format = FORMAT_DATE_TIME), \
	FIELD(job_shown, attempt, "How often it was started.", .flags = REQUIRED), \
	FIELD(job_shown, attempts, "How often it may be.", .flags = REQUIRED), \
	FIELD(job_shown, backoff, "How long to wait after a failure; not there: as the queue says.", .nested = &job_backoff_schema), \
	FIELD(job_shown, timeout_ms, "How long an attempt may take; not there: as the queue says."), \
	FIELD(job_shown, unique_key, "What it is one of its kind of.", RANGE(1, JOB_KEY_MAX)), \
	FIELD(job_shown, group_key, "With which others it takes turns.", RANGE(1, JOB_KEY_MAX)), \
	FIELD(job_shown, blocked, "Whether others of its group go first.", .flags = REQUIRED), \
	LIST(job_shown, tags, "Words to find it by.", RANGE(0, JOB_TAGS_MAX), .item = RULES(RANGE(1, JOB_TAG_MAX))), \
	FIELD(job_shown, traceparent, "The trace of who added it."), \
	FIELD(job_shown, worker, "Who has it, or had it last."), \
	FIELD(job_shown, cancelling, "Whether it was asked to stop.", .flags = REQUIRED), \
	FIELD(job_shown, progress, "Percent that are done."), \
	FIELD(job_shown, progress_note, "How far it has come, for people.", RANGE(0, JOB_NOTE_MAX)), \
	FIELD(job_shown, created_at, "When it was added.", .flags = REQUIRED, .format = FORMAT_DATE_TIME), \
	FIELD(job_shown, started_at, "When its last attempt began.", .format = FORMAT_DATE_TIME), \
	FIELD(job_shown, ended_at, "When it ended.", .format = FORMAT_DATE_TIME)

#define JOB_LONG_FIELDS \
	FIELD(job_shown, payload, "What with.", .flags = REQUIRED, RANGE(0, JOB_PAYLOAD_MAX)), \
	FIELD(job_shown, result, "What it came to.", RANGE(0, JOB_RESULT_MAX))
/* clang-format on */

/* What a SELECT of struct job_shown names, out of a table called job. */
#define JOB_SHOWN_COLUMNS                                                                          \
	"id, queue, name, state, payload, priority, "                                              \
	"CASE WHEN run_at < 9000000000000000000 THEN run_at END AS run_at, "                       \
	"attempt - uncounted AS attempt, attempts, "                                               \
	"backoff, timeout_us / 1000 AS timeout_ms, unique_key, group_key, blocked, tags, "         \
	"trace AS traceparent, worker, cancelling, progress, progress_note, result, created_at, "  \
	"started_at, ended_at"

/* The job that a row makes. Texts are the row's. */
struct job_shown job_shown_of(const struct job_row *row);

/* One by its id: struct job_ref in, struct job_shown out. A tenant statement. */
extern const struct statement job_get;

struct job_ref {
	struct str id;
};
extern const struct schema job_ref_schema;

#endif
