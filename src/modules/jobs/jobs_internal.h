/* Inside of jobs: what a row is, and what happens to it. */
#ifndef JOBS_INTERNAL_H
#define JOBS_INTERNAL_H

#include "modules/jobs/jobs.h"
#include "modules/jobs/jobs_bell.h"
#include "modules/jobs/jobs_queue.h"

enum job_state {
	JOB_SCHEDULED, /* its time has not come */
	JOB_AVAILABLE, /* may start, unless it is blocked by others of its group */
	JOB_RUNNING,
	JOB_RETRYABLE, /* has failed, and its next time has not come; keeps its seat */
	JOB_COMPLETED,
	JOB_DISCARDED, /* has failed for good: the dead letters */
	JOB_CANCELLED,
	JOB_STATES,
};
extern const char *const job_state_names[JOB_STATES + 1];

/* --- rules (jobs_rules.c): pure ---------------------------------------------------------- */

bool job_name_valid(struct str name); /* "domain:action", each [a-z][a-z0-9_.-]* */

/* A job of priority n goes before those of n + 1 that came up to this much earlier: nobody waits
 * for ever behind more urgent ones. */
#define JOB_PRIORITY_STEP (10 * SECOND)
int64_t job_turn(int64_t run_at_us, int64_t priority);

/* How long to wait after the attempt has failed, in microseconds. `chance` is random. */
int64_t job_backoff_us(const struct job_backoff *backoff, int64_t attempt, uint64_t chance);

/* --- adding (jobs_add.c) ----------------------------------------------------------------- */

/* tx_enqueue of several, in order; all or none. */
int jobs_add_in_tx(struct tx *tx, const struct job_new *jobs, size_t count, struct job_added *ret);

/* How adding alone runs on PostgreSQL: it compares and sets single rows by their keys. */
extern const struct tx_options jobs_adding;

/*
 * Whether a payload is what the kind of this program and the schemas of the API want, those of the
 * handle's tenant and those for all; of a reserved name only the kind's. For adds over HTTP, and
 * again for what was taken, where it may come from elsewhere or the schema from later: what is not
 * valid is discarded. Problems get `at` and "payload" before their paths. -ERR_INVALID,
 * -ERR_TOO_LARGE (as invalid: nobody can judge it), errors of db_one. On a fiber, outside of
 * transactions; reads memory as a rule.
 */
int job_payload_check(const struct db *db, struct str name, struct str payload, struct str at,
	struct problems *problems);

/* The same of the schemas of the API alone. */
int job_schemas_check(const struct db *db, struct str name, struct str payload, struct str at,
	struct problems *problems);

/* --- groups and unique keys (jobs_group.c, jobs_unique.c): in transactions of the tenant ----- */

struct group_ref {
	struct str queue, key;
};

/* The order in which groups are locked: by queue, then by key, byte by byte. */
static inline int group_cmp(const struct group_ref *a, const struct group_ref *b)
{
	int r = str_cmp(a->queue, b->queue);

	return r ? r : str_cmp(a->key, b->key);
}

/* Takes a seat or a place behind those who wait. `*ret_at` is when it may start by the group's
 * rate (at least `now`). */
int group_join_in_tx(
	struct tx *tx, const struct group_ref *group, bool *ret_blocked, int64_t *ret_at);

/* A seat becomes free, and goes to the next one unless the group is halted, or is by this. */
int group_leave_in_tx(struct tx *tx, const struct group_ref *group, bool halts);

/* The same for several, at most JOBS_END_MAX, in the order of group_cmp; one group may be there
 * more than once. Who halts a group is minded first. */
struct group_leaving {
	struct group_ref group;
	bool halts;
};

int groups_leave_in_tx(struct tx *tx, const struct group_leaving *leaving, size_t count);

/* One of those who wait is gone. */
int group_unwait_in_tx(struct tx *tx, const struct group_ref *group);

/* Goes on with a halted group; -ERR_NOT_FOUND when there is none. */
int group_resume_in_tx(struct tx *tx, const struct group_ref *group);

/* The job has ended: its key is free again, unless it still throttles. */
int unique_free_in_tx(struct tx *tx, struct str queue, struct str key, struct str job_id);

/* --- starting (jobs_lease.c) ------------------------------------------------------------- */

/* Who takes jobs. A row of job_lease; beats say that it lives. */
enum lease_kind { LEASE_PROGRAM, LEASE_SESSION, LEASE_CALL };

struct lease {
	struct uuid tenant, id;
	enum lease_kind kind;
	struct str worker, queue; /* for people; queue may be empty */
	int64_t lease_us;         /* lost when it has not beaten for so long */
};

/* On a handle of lease->tenant (tenant_system for the program and for platform workers). */
int lease_open_in_tx(struct tx *tx, const struct lease *lease);
int lease_beat_in_tx(struct tx *tx, const struct uuid *id);  /* -ERR_NOT_FOUND: lost */
int lease_check_in_tx(struct tx *tx, const struct uuid *id); /* -ERR_CONFLICT: lost */

/* Who asks for jobs, and for how many. */
struct take {
	struct str queue;
	const struct uuid *tenant; /* its jobs only; NULL: of all */
	struct uuid after;         /* of all: the tenant served last; moved on */
	struct lease lease;        /* whose they become; not opened when it takes nothing */
	bool lease_opened;         /* there is a row already */
	size_t max;                /* 1 to JOBS_TAKE_MAX */
};

enum { JOBS_TAKE_MAX = 1000 };

/* A job that was taken. Texts live in the transaction's arena. */
struct taken {
	struct str tenant_id, id;
	struct str name, worker;
	struct json_value payload;
	int64_t priority, turn;
	int64_t attempt;           /* number of the start: names it, together with the lease */
	int64_t counted, attempts; /* starts that count, this one included; of so many */
	struct opt_i64 timeout_us;
	struct str trace;
	struct opt_str group_key, unique_key;
	LIST_OF(struct str) tags;
	int64_t created_at;
};

/*
 * Takes ready jobs, fairly by tenant, as far as concurrency and rates of the queue, of each tenant
 * and a pause allow; in the order in which they are to start. On a system handle, SOFT and READ
 * COMMITTED (jobs_taking). `*ret_next_us` is when to ask again without a ring: a rate allows the
 * next one then, or further tenants have their turn (0: neither). Nothing that is taken may start
 * for the second time before a durable commit (jobs_sync) has followed. -ERR_CONFLICT when the
 * program's lease was lost meanwhile: others would end at once what was taken under it.
 */
int jobs_take_in_tx(struct tx *tx, struct take *take, struct taken **ret, size_t *ret_count,
	int64_t *ret_next_us);
extern const struct tx_options jobs_taking;

/*
 * Takes that one job of take->tenant if it is ready, nobody has it, and neither a pause nor the
 * tenant's state forbids it, under a program's lease that is open and not lost: 1, else 0. On a
 * system handle, in one round trip; of queues without bounds and rates. After an error it may have
 * been taken all the same, as its first start. Memory of the handle's arena.
 */
int jobs_take_named(
	const struct db *db, const struct take *take, const struct uuid *id, struct taken *ret);

/* On a fiber, when the take has committed: jobs whose payload schemas refuse are discarded, those
 * that cannot be judged now are put off, and neither is among the `*count` any longer. When it
 * fails, all that was taken is still there, to be handed back. Memory of the arena's. */
int jobs_sift(struct store *store, struct arena *arena, const struct take *take,
	struct taken *taken, size_t *count);

/* Returns when all that was committed before is on the disk. */
int jobs_sync(struct store *store, struct arena *arena);

/* --- ending (jobs_end.c) ----------------------------------------------------------------- */

enum end_kind {
	END_COMPLETE,
	END_FAIL,    /* again after the backoff, or discarded */
	END_SNOOZE,  /* again after `delay_us`; the attempt does not count */
	END_RELEASE, /* handed back: at once, and the attempt does not count */
	END_DISCARD, /* never again */
	END_LOST,    /* its worker is: again at once, or discarded; the attempt counts */
	END_TIMEOUT, /* as FAIL */
	END_INVALID, /* its payload is: never again, VALIDATION_ERROR */
};

/* How a start ended. */
struct job_end {
	struct str id;
	struct str queue; /* of the job, where it is known: several of one go together; or empty */
	struct str
		group; /* its group's key, where it is known; SQLite reads nothing then; or empty */
	struct str lease_id; /* with `attempt`: which start it was */
	int64_t attempt;
	enum end_kind kind;
	struct json_value result; /* of COMPLETE; may be empty */
	struct str message;       /* of what failed */
	struct str trace;
	int64_t delay_us;     /* of SNOOZE; of FAIL instead of the backoff when not 0 */
	int result_code;      /* out: 0, or -ERR_CONFLICT when it was somebody else's by then */
	enum job_state state; /* out: what became of it */
};

enum { JOBS_END_MAX = JOBS_TAKE_MAX };

/* In a transaction of the jobs' tenant (entered, on a system handle); READ COMMITTED
 * (jobs_ending) when nothing else is in it. Stale ends change nothing and do not fail the others.
 */
int jobs_end_in_tx(struct tx *tx, struct job_end *ends, size_t count);
extern const struct tx_options jobs_ending;

/* Ends a job that does not run, or asks one that does to stop (cancelling, and a notice).
 * -ERR_NOT_FOUND, -ERR_CONFLICT when it has ended. */
int job_cancel_in_tx(struct tx *tx, struct str id, enum job_state *ret);

/* The topic of notices (store/notice.h) about running jobs that shall stop; the key is the id. */
#define JOBS_CANCEL_TOPIC "jobs.cancel"

/* --- what time does (jobs_promote.c, jobs_reap.c): on a system handle's store --------------- */

/* Makes due jobs available; `*ret_next_us` is when the next one is due (0: none is). */
int jobs_promote(struct store *store, struct arena *arena, size_t *ret_count, int64_t *ret_next_us);

/*
 * Watches leases: remembers when each last beat by this process's monotonic clock, so that clocks
 * that jump or differ do not matter, and ends what lost ones had. Ends what has run out of time.
 * To be called about every half second.
 */
struct reaper;
int reaper_open(struct store *store, struct reaper **ret);
void reaper_close(struct reaper *reaper);
int reaper_look(struct reaper *reaper);

/* At the start, on SQLite: nobody else can live, so all leases of programs are lost. */
int jobs_recover(struct store *store, struct arena *arena);

#endif
