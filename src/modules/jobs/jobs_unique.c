/*
 * Unique keys. The row of a key says which job it stands for, and is there as long as that job
 * lives or throttles. Who wants a key makes the row or locks the one there is, in one statement; so
 * of two who come at once one is first.
 */
#include "modules/jobs/jobs_adding.h"

#include "base/err.h"

struct unique_take {
	struct str queue, key, job_id;
	struct opt_str before_id;
	int64_t until;
};

struct unique_limit {
	int64_t limit;
};

/* clang-format off */
static const struct schema unique_take_schema = SCHEMA(unique_take, "A key and its job.",
	FIELD(unique_take, queue, "Of which queue."),
	FIELD(unique_take, key, "Which."),
	FIELD(unique_take, job_id, "Which job.", .format = FORMAT_UUID),
	FIELD(unique_take, before_id, "Which one has to end first.", .format = FORMAT_UUID),
	FIELD(unique_take, until, "How long it throttles."));

static const struct schema unique_there_schema = SCHEMA(unique_there, "The job that has a key.",
	FIELD(unique_there, id, "Which.", .format = FORMAT_UUID),
	FIELD(unique_there, state, "How far it is.", .choices = job_state_names),
	FIELD(unique_there, attempt, "How often it was started."),
	FIELD(unique_there, run_at, "When it is to start."),
	FIELD(unique_there, group_key, "Its group.", RANGE(0, JOB_KEY_MAX)),
	FIELD(unique_there, seated, "Whether it has a seat there."),
	FIELD(unique_there, blocked, "Or waits for one."));

static const struct schema unique_limit_schema = SCHEMA(unique_limit, "How many.",
	FIELD(unique_limit, limit, "At most."));
/* clang-format on */

/* The row stays what it was when there is one, and is locked. */
static const struct statement unique_take = STATEMENT("job_unique_take",
	.sql = "INSERT INTO main.job_unique AS u (tenant_id, queue, key, job_id, until) "
	       "VALUES (:tenant, :queue, :key, :job_id, :until) "
	       "ON CONFLICT (tenant_id, queue, key) DO UPDATE SET job_id = u.job_id "
	       "RETURNING queue, key, job_id, until",
	.in = &unique_take_schema, .out = &unique_take_schema);

static const struct statement unique_set = STATEMENT("job_unique_set",
	.sql = "UPDATE main.job_unique SET job_id = :job_id, before_id = :before_id, until = "
	       ":until "
	       "WHERE tenant_id = :tenant AND queue = :queue AND key = :key",
	.in = &unique_take_schema, .expect = EXPECT_ONE);

static const struct statement unique_there = STATEMENT("job_unique_there",
	.sql = "SELECT id, state, attempt, run_at, group_key, seated, blocked FROM job "
	       "WHERE tenant_id = :tenant AND id = :job_id",
	.in = &unique_take_schema, .out = &unique_there_schema);

/* Locks the job while it waits, and changes nothing. */
static const struct statement unique_hold = STATEMENT("job_unique_hold",
	.sql = "UPDATE main.job AS j SET cancelling = j.cancelling WHERE j.tenant_id = :tenant "
	       "AND j.id = :job_id AND j.state IN ('scheduled', 'available', 'retryable') "
	       "RETURNING id, state, attempt, run_at, group_key, seated, blocked",
	.in = &unique_take_schema, .out = &unique_there_schema);

static const struct statement unique_free = STATEMENT("job_unique_free",
	.sql = "DELETE FROM main.job_unique WHERE tenant_id = :tenant AND queue = :queue "
	       "AND key = :key AND job_id = :job_id AND before_id IS NULL AND until <= :now",
	.in = &unique_take_schema);

/* Who waited behind another one is gone: the key is that one's again. */
static const struct statement unique_back = STATEMENT("job_unique_back",
	.sql = "UPDATE main.job_unique SET job_id = before_id, before_id = NULL "
	       "WHERE tenant_id = :tenant AND queue = :queue AND key = :key "
	       "AND job_id = :job_id AND before_id IS NOT NULL",
	.in = &unique_take_schema);

/* Whom one has waited behind is gone. */
static const struct statement unique_unblock = STATEMENT("job_unique_unblock",
	.sql = "UPDATE main.job_unique SET before_id = NULL WHERE tenant_id = :tenant "
	       "AND queue = :queue AND key = :key AND before_id = :job_id "
	       "RETURNING queue, key, job_id, until",
	.in = &unique_take_schema, .out = &unique_take_schema);

/* It starts at the time that its turn was made of. */
static const struct statement unique_release = STATEMENT("job_unique_release",
	.sql = "UPDATE main.job SET run_at = turn - priority * 10000000 "
	       "WHERE tenant_id = :tenant AND id = :job_id AND state = 'scheduled' "
	       "AND run_at = 9000000000000000000",
	.in = &unique_take_schema);

_Static_assert(JOB_PRIORITY_STEP / MICROSECOND == 10000000, "as the statement has it");

static const struct statement unique_sweep_old = STATEMENT("job_unique_sweep",
	.sql = "DELETE FROM main.job_unique WHERE (tenant_id, queue, key) IN "
	       "(SELECT u.tenant_id, u.queue, u.key FROM main.job_unique AS u "
	       "WHERE u.until > 0 AND u.until <= :now AND NOT EXISTS (SELECT 1 FROM main.job AS j "
	       "WHERE j.tenant_id = u.tenant_id AND j.id = u.job_id AND j.state IN ('scheduled', "
	       "'available', 'running', 'retryable')) LIMIT :limit) AND until <= :now",
	.in = &unique_limit_schema, .flags = STATEMENT_SYSTEM);

const struct job_statements job_unique_statements =
	JOB_STATEMENTS(&unique_take, &unique_set, &unique_there, &unique_hold, &unique_free,
		&unique_back, &unique_unblock, &unique_release, &unique_sweep_old);

/* --- taking ---------------------------------------------------------------------------- */

enum { LOOKS_MAX = 4 };

static bool is_waiting(enum job_state state)
{
	return state == JOB_SCHEDULED || state == JOB_AVAILABLE || state == JOB_RETRYABLE;
}

/* The job that has the key; one that waits stays as it is from here on when it is to be replaced.
 * Whose row is gone has ended. */
static int look(
	struct tx *tx, const struct unique_take *had, bool replaces, struct unique_there *ret)
{
	for (int i = 0; i < LOOKS_MAX; i++) {
		int r = replaces ? tx_one(tx, &unique_hold, had, ret) : -ERR_NOT_FOUND;

		if (r == -ERR_NOT_FOUND) {
			r = tx_one(tx, &unique_there, had, ret);
			if (r == 0 && replaces && is_waiting(ret->state))
				continue; /* only just */
		}
		if (r == -ERR_NOT_FOUND) {
			*ret = (struct unique_there){ .id = had->job_id, .state = JOB_COMPLETED };
			r = 0;
		}
		return r;
	}
	return fail(ERR_UNAVAILABLE, "job %.*s changes too often", STR_ARG(had->job_id));
}

/* What becomes of a job whose key another one has. */
static int judge(enum job_unique_mode mode, const struct unique_there *there, bool throttled,
	enum unique_verdict *ret)
{
	bool lives = there->state == JOB_RUNNING || is_waiting(there->state);

	if (mode == JOB_UNIQUE_REJECT && lives)
		return fail_field(ERR_CONFLICT, "unique.key", "unique",
			"belongs to job %.*s, which has not ended", STR_ARG(there->id));
	if (mode == JOB_UNIQUE_THROTTLE && (lives || throttled))
		*ret = UNIQUE_KEPT;
	else if (!lives)
		*ret = UNIQUE_INSERT;
	else
		*ret = there->state == JOB_RUNNING ? UNIQUE_BEHIND : UNIQUE_REPLACE;
	return 0;
}

int unique_take_in_tx(struct tx *tx, const struct job_row *row, enum job_unique_mode mode,
	int64_t until, enum unique_verdict *ret, struct unique_there *ret_there)
{
	struct unique_take take = {
		.queue = row->queue, .key = row->unique_key.value, .job_id = row->id, .until = until
	};
	struct unique_take had;
	bool replaces = mode == JOB_UNIQUE_REPLACE || mode == JOB_UNIQUE_DEBOUNCE;
	int r = tx_one(tx, &unique_take, &take, &had);

	if (r < 0)
		return r;
	if (str_eq(had.job_id, row->id)) {
		*ret = UNIQUE_INSERT;
		return 0;
	}
	r = look(tx, &had, replaces, ret_there);
	if (r == 0)
		r = judge(mode, ret_there, had.until > tx_now_us(tx), ret);
	if (r == 0 && *ret == UNIQUE_BEHIND)
		take.before_id = (struct opt_str){ .set = true, .value = ret_there->id };
	if (r == 0 && (*ret == UNIQUE_INSERT || *ret == UNIQUE_BEHIND))
		r = tx_exec(tx, &unique_set, &take);
	return r;
}

/* --- freeing --------------------------------------------------------------------------- */

int unique_free_in_tx(struct tx *tx, struct str queue, struct str key, struct str job_id)
{
	const struct unique_take take = { .queue = queue, .key = key, .job_id = job_id };
	struct unique_take next;
	size_t count;
	int r = tx_change(tx, &unique_free, &take, &count);

	if (r < 0 || count)
		return r;
	r = tx_change(tx, &unique_back, &take, &count);
	if (r < 0 || count)
		return r;
	r = tx_one(tx, &unique_unblock, &take, &next);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r == 0)
		r = tx_exec(tx, &unique_release, &next);
	return r < 0 ? r : bell_ring_after(tx, bell_of_later());
}

int unique_sweep(struct store *store)
{
	static const struct unique_limit some = { 10000 };
	struct arena arena;
	struct db db;
	int r;

	arena_init(&arena, KILOBYTE, 64 * KILOBYTE);
	db = db_of_system(store, &arena);
	r = db_exec(&db, &unique_sweep_old, &some);
	arena_done(&arena);
	return r;
}
