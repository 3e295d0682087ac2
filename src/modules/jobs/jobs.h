/*
 * Jobs: work that is done later, at least once, by this program or by workers in any language. A
 * job is a row of the transaction that wants it, so it is there if and only if that committed.
 *
 *     static int send_in_tx(struct tx *tx, void *arg)
 *     {
 *             struct job_new job = { .name = S("email:send"), .schema = &letter_schema,
 *                     .data = arg };
 *
 *             return tx_enqueue(tx, &job, NULL);
 *     }
 *
 *     static int send(struct job *job, const void *payload) { ... return 0; }
 *
 *     static const struct job_kind kind = { .name = "email:send", .queue = "email",
 *             .schema = &letter_schema, .run = send };
 *
 *     r = job_kind_declare(server, &kind);   // in the module's open
 */
#ifndef JOBS_H
#define JOBS_H

#include "http/module.h"
#include "schema/schema.h"
#include "store/db.h"

#pragma GCC visibility push(default)

enum {
	JOB_QUEUE_MAX = 64,           /* bytes of a queue's name: [a-z][a-z0-9_-]* */
	JOB_NAME_MAX = 100,           /* bytes of a job's name: "domain:action" */
	JOB_KEY_MAX = 200,            /* characters of a unique or group key */
	JOB_PAYLOAD_MAX = 256 * 1024, /* bytes of JSON */
	JOB_RESULT_MAX = 256 * 1024,  /* bytes of JSON */
	JOB_TAGS_MAX = 20,            /* of a job, */
	JOB_TAG_MAX = 64,             /* characters each */
	JOB_ATTEMPTS_MAX = 100,       /* of a job */
	JOB_BACKOFFS_MAX = 100,       /* waits of a custom list */
	JOB_PRIORITIES = 10,          /* 0 is the most urgent */
	JOB_PRIORITY_NORMAL = 5,
	JOB_BULK_MAX = 1000,           /* jobs of one call */
	JOB_TENANT_QUEUES_MAX = 256,   /* queues in which jobs of a tenant wait */
	JOB_MESSAGE_MAX = 10000,       /* bytes of an attempt's error */
	JOB_LINES_MAX = 1000,          /* log lines of a job, */
	JOB_LINE_MAX = 8192,           /* bytes each */
	JOB_NOTE_MAX = 500,            /* characters of a progress's note */
	JOB_DELAY_DAYS = 366,          /* longest delay */
	JOB_TIMEOUT_MS_MAX = 86400000, /* of an attempt */
};

/* --- adding -------------------------------------------------------------------------- */

enum job_unique_mode {
	JOB_UNIQUE_REJECT,   /* while one is there that has not ended: -ERR_CONFLICT */
	JOB_UNIQUE_REPLACE,  /* one that waits takes payload, time and options of the new one; one
				that runs stays, and the new one waits behind it */
	JOB_UNIQUE_THROTTLE, /* for `unique_ns` from the first on, others come to nothing */
	JOB_UNIQUE_DEBOUNCE, /* as REPLACE, and starts `unique_ns` after the last one */
};

enum job_backoff_kind { JOB_BACKOFF_EXPONENTIAL, JOB_BACKOFF_FIXED, JOB_BACKOFF_LIST };

/* How long to wait after a failed attempt. */
struct job_backoff {
	enum job_backoff_kind kind;
	int64_t delay_ms;         /* of FIXED; of EXPONENTIAL the first, then twice as long */
	int64_t max_ms;           /* of EXPONENTIAL: never longer */
	LIST_OF(int64_t) list_ms; /* of LIST: one for each attempt, the last again and again */
	int64_t jitter;           /* percent of the wait that is left to chance */
};

/* A job to be added. What is zero is as the kind says, or the queue. Texts are copied. */
struct job_new {
	struct str name;             /* REQUIRED: "domain:action" */
	struct str queue;            /* empty: the kind's, else "default" */
	const struct schema *schema; /* of `data`; NULL: */
	const void *data;
	struct str payload; /* JSON; empty: {} */
	struct opt_i64 priority;
	int64_t run_at_us; /* 0: at once */
	uint64_t delay_ns; /* instead of run_at_us */
	int64_t attempts;  /* starts in all */
	const struct job_backoff *backoff;
	uint64_t timeout_ns; /* of an attempt */
	struct str unique_key;
	enum job_unique_mode unique_mode;
	uint64_t unique_ns; /* of THROTTLE and DEBOUNCE */
	struct str group_key;
	const struct str *tags;
	size_t tag_count;
};

enum job_outcome {
	JOB_ADDED,
	JOB_REPLACED, /* another one that waited has become this one */
	JOB_KEPT,     /* there is one already; nothing was added */
};

struct job_added {
	struct uuid id; /* of the job that there is now */
	enum job_outcome outcome;
};

/*
 * Adds a job to the tenant of the transaction; `ret` may be NULL. It starts after the commit.
 *
 * -ERR_INVALID with the field for a name, queue, key, number or payload that breaks a rule (a
 * payload against the schema of a kind of this program: VALIDATION_ERROR with all problems),
 * -ERR_TOO_LARGE for a payload beyond JOB_PAYLOAD_MAX, -ERR_CONFLICT field "unique.key",
 * -ERR_TOO_MANY field "queue" or "group" when as many wait as may; errors of tx_one. Fields have
 * the names of the API. Schemas of the API are minded when the job is leased.
 */
int tx_enqueue(struct tx *tx, const struct job_new *job, struct job_added *ret);

/* --- doing --------------------------------------------------------------------------- */

/* One start of a job, for its handler. Texts live until the handler returns. */
struct job {
	struct uuid id, tenant;
	struct str name, queue;
	struct json_value payload; /* as it was added */
	int64_t attempt, attempts; /* from 1 on */
	int64_t created_at;        /* microseconds */
	struct str trace;          /* traceparent of who added it; may be empty */
	struct server *server;
	struct arena *arena; /* of this attempt */
	struct db db;        /* the rows of its tenant */
};

/*
 * A kind of job that this program does itself. Static. `run` is straight-line code on a fiber with
 * a deadline (the timeout); `payload` is the decoded struct of `schema`, NULL without one.
 *
 *     0                the job is completed
 *     -code of fail()  the attempt has failed; again after the backoff, while there are attempts
 *     job_snooze()     again later; the attempt does not count
 *     job_discard()    never again
 */
struct job_kind {
	const char *name;
	const char *queue; /* NULL: "default". "system.NAME" is the installation's own: such jobs
			      are added by modules, without naming the queue, and done by the
			      program; tenants neither see nor touch them */
	const struct schema *schema;
	int (*run)(struct job *job, const void *payload); /* NULL: for workers outside */
	int64_t attempts;                                 /* 0: the queue's */
	uint64_t timeout_ns;                              /* 0: the queue's */
	uint64_t every_ns; /* added by itself so often, for the installation (tenant_system) and by
			      one instance only; without a payload. 0: never */
};

/* From a module's open, after that of jobs. -ERR_CONFLICT for a name that another kind has,
 * -ERR_INVALID, -ERR_FULL. */
int job_kind_declare(struct server *server, const struct job_kind *kind);

/* For `run` to return. Texts are copied. */
int job_snooze(struct job *job, uint64_t delay_ns);
int job_discard(struct job *job, struct str why);

/* How far it has come, for people: 0 to 100, and a few words (may be empty). SOFT. */
int job_progress(struct job *job, int64_t percent, struct str note);

/* A line of the job's own log. -ERR_FULL beyond JOB_LINES_MAX. SOFT. */
int job_log(struct job *job, enum log_level level, struct str line);

/* What it came to, as JSON, kept beside the job. Copied. -ERR_TOO_LARGE. */
int job_result(struct job *job, struct str json);

/*
 * Completes the job in a transaction of its own writes (a handle of its tenant), so that either
 * both are there or neither; `run` returns 0 afterwards. -ERR_CONFLICT when the job is somebody
 * else's by now: then nothing may be written.
 */
int tx_complete_job(struct tx *tx, struct job *job);

/* In this order: jobs themselves, how people look at them and decide about them, queues. */
extern const struct module jobs_module;
extern const struct module jobs_admin_module;
extern const struct module jobs_queues_module;

#pragma GCC visibility pop

#endif
