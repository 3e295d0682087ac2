/*
 * Which jobs go is told by a cut in the order of their ends: everything up to it does. By age it is
 * a moment, by number the place of the first one too many; the later of the two counts. Looked up
 * and deleted by the same index, so that the work is that of what goes.
 */
#include "modules/jobs/jobs_cleanup.h"
#include "modules/jobs/jobs_work.h"

#include "base/err.h"
#include "http/server.h"
#include "modules/jobs/jobs_adding.h"
#include "modules/jobs/jobs_census.h"
#include "modules/jobs/jobs_counts.h"
#include "observe/clock.h"
#include "rest/page.h"

/* --- statements ------------------------------------------------------------------------- */

/* Jobs that have ended: of a tenant, queue and state. */
struct ended {
	struct str tenant_id, queue;
	enum job_state state;
	int64_t keep;  /* so many stay */
	int64_t at;    /* the cut: ended then */
	struct str id; /* and of those this one, and those before it */
	int64_t limit;
};

struct old_rows {
	int64_t before;
	int64_t limit;
};

/* clang-format off */
static const struct schema ended_schema = SCHEMA(ended, "Jobs that have ended.",
	FIELD(ended, tenant_id, "Whose.", .format = FORMAT_UUID),
	FIELD(ended, queue, "Where."),
	FIELD(ended, state, "How.", .choices = job_state_names),
	FIELD(ended, keep, "How many stay."),
	FIELD(ended, at, "Up to when."),
	FIELD(ended, id, "Up to which.", .format = FORMAT_UUID),
	FIELD(ended, limit, "How many at once."));

static const struct schema old_rows_schema = SCHEMA(old_rows, "Rows that are old.",
	FIELD(old_rows, before, "Older than this."),
	FIELD(old_rows, limit, "How many at once."));
/* clang-format on */

#define ENDED "ended_at IS NOT NULL"

/* The next tenant and queue that have some. */
static const struct statement ended_next = STATEMENT("job_ended_next",
	.sql = "SELECT tenant_id, queue FROM main.job WHERE " ENDED
	       " AND (tenant_id, queue) > (:tenant_id, :queue) ORDER BY tenant_id, queue LIMIT 1",
	.in = &ended_schema, .out = &ended_schema, .flags = STATEMENT_SYSTEM);

#define OF_STATE "tenant_id = :tenant AND queue = :queue AND state = :state AND " ENDED

/* The first one too many. */
static const struct statement ended_cut = STATEMENT("job_ended_cut",
	.sql = "SELECT ended_at AS at, id FROM job WHERE " OF_STATE
	       " ORDER BY ended_at DESC, id DESC LIMIT 1 OFFSET :keep",
	.in = &ended_schema, .out = &ended_schema);

/* Whether something goes. */
static const struct statement ended_some = STATEMENT("job_ended_some",
	.sql = "SELECT id FROM job WHERE " OF_STATE
	       " AND (ended_at, id) <= (:at, :id) ORDER BY ended_at, id LIMIT 1",
	.in = &ended_schema, .out = &ended_schema);

#define VICTIMS                                                                                    \
	"(SELECT id FROM job WHERE " OF_STATE                                                      \
	" AND (ended_at, id) <= (:at, :id) ORDER BY ended_at, id LIMIT :limit)"

static const struct statement ended_lines = STATEMENT("job_ended_lines",
	.sql = "DELETE FROM main.job_line WHERE tenant_id = :tenant AND job_id IN " VICTIMS,
	.in = &ended_schema);

static const struct statement ended_errors = STATEMENT("job_ended_errors",
	.sql = "DELETE FROM main.job_error WHERE tenant_id = :tenant AND job_id IN " VICTIMS,
	.in = &ended_schema);

static const struct statement ended_delete = STATEMENT("job_ended_delete",
	.sql = "DELETE FROM main.job WHERE tenant_id = :tenant AND id IN " VICTIMS,
	.in = &ended_schema);

static const struct statement tallies_old = STATEMENT("job_tallies_old",
	.sql = "DELETE FROM main.job_tally WHERE (tenant_id, queue, minute) IN (SELECT "
	       "t.tenant_id, t.queue, t.minute FROM main.job_tally AS t WHERE t.minute < :before "
	       "ORDER BY t.minute LIMIT :limit)",
	.in = &old_rows_schema, .flags = STATEMENT_SYSTEM);

static const struct statement rates_old = STATEMENT("job_rates_old",
	.sql = "DELETE FROM main.job_rate WHERE (tenant_id, queue) IN (SELECT r.tenant_id, "
	       "r.queue FROM main.job_rate AS r WHERE r.next_at < :before LIMIT :limit) "
	       "AND next_at < :before",
	.in = &old_rows_schema, .flags = STATEMENT_SYSTEM);

/* The reaper ends leases that are lost; these have outlived it, and nobody can have a job by them.
 */
static const struct statement leases_old = STATEMENT("job_leases_old",
	.sql = "DELETE FROM main.job_lease AS d WHERE (d.tenant_id, d.id) IN (SELECT "
	       "l.tenant_id, l.id FROM main.job_lease AS l WHERE l.seen_at < :before "
	       "AND NOT EXISTS (SELECT 1 FROM main.job AS j WHERE j.state = 'running' "
	       "AND j.lease_id = l.id) LIMIT :limit) AND d.seen_at < :before",
	.in = &old_rows_schema, .flags = STATEMENT_SYSTEM);

const struct job_statements job_cleanup_statements =
	JOB_STATEMENTS(&ended_next, &ended_cut, &ended_some, &ended_lines, &ended_errors,
		&ended_delete, &tallies_old, &rates_old, &leases_old);

/* --- jobs that have ended ------------------------------------------------------------------ */

/* A transaction of one tenant, queue and state. */
struct batch {
	struct uuid tenant;
	struct ended of;
	int64_t keep_us;
	bool some;      /* out: there is something to delete */
	size_t deleted; /* out */
};

/* Up to where they go: by age, or by number if that is later. */
static int find_cut(struct tx *tx, struct ended *of, int64_t keep_us)
{
	struct ended first;
	int r;

	of->at = tx_now_us(tx) - keep_us;
	of->id = S(UUID_LAST);
	r = tx_one(tx, &ended_cut, of, &first);
	if (r == 0 && first.at > of->at) {
		of->at = first.at;
		of->id = first.id;
	}
	return r == -ERR_NOT_FOUND ? 0 : r;
}

/* Without a writer: most of the time nothing goes. */
static int look_in_tx(struct tx *tx, void *arg)
{
	struct batch *batch = arg;
	struct ended of = batch->of, first;
	int r = tx_enter(tx, &batch->tenant);

	if (r == 0)
		r = find_cut(tx, &of, batch->keep_us);
	if (r == 0)
		r = tx_one(tx, &ended_some, &of, &first);
	batch->some = r == 0;
	if (r < 0 && r != -ERR_NOT_FOUND)
		return r;
	return tx_leave(tx);
}

/* All statements see the same state of the table, and so mean the same jobs. */
static int delete_in_tx(struct tx *tx, void *arg)
{
	struct batch *batch = arg;
	struct ended of = batch->of;
	int r = tx_enter(tx, &batch->tenant);

	if (r == 0)
		r = find_cut(tx, &of, batch->keep_us);
	if (r == 0)
		r = tx_exec(tx, &ended_lines, &of);
	if (r == 0)
		r = tx_exec(tx, &ended_errors, &of);
	if (r == 0)
		r = tx_change(tx, &ended_delete, &of, &batch->deleted);
	return r < 0 ? r : tx_leave(tx);
}

static int clean_state(const struct db *db, struct batch *batch, const struct queue_keep *keep,
	enum job_state state, size_t *jobs)
{
	static const struct tx_options soft = { "job_cleanup", .durability = TX_SOFT };
	int r;

	batch->of.state = state;
	batch->of.keep = keep->count;
	batch->of.limit = JOBS_CLEAN_BATCH;
	batch->keep_us = keep->ms * 1000;
	r = db_read(db, look_in_tx, batch);
	batch->deleted = batch->some ? JOBS_CLEAN_BATCH : 0;
	while (r == 0 && batch->deleted == JOBS_CLEAN_BATCH) {
		struct arena_mark mark = arena_mark(db->arena);

		r = db_write_with(db, &soft, delete_in_tx, batch);
		arena_back(db->arena, mark);
		*jobs += r == 0 ? batch->deleted : 0;
	}
	return r;
}

static int clean_queue(const struct db *db, const struct ended *at, size_t *jobs)
{
	struct batch batch = { .of.queue = at->queue };
	struct queue_settings settings;
	int r;

	CHECK(uuid_parse(at->tenant_id, &batch.tenant));
	queue_settings(at->queue, &settings);
	r = clean_state(db, &batch, &settings.completed, JOB_COMPLETED, jobs);
	if (r == 0)
		r = clean_state(db, &batch, &settings.discarded, JOB_DISCARDED, jobs);
	if (r == 0)
		r = clean_state(db, &batch, &settings.cancelled, JOB_CANCELLED, jobs);
	return r;
}

/* From one tenant and queue to the next. */
static int clean_ended(const struct db *db, size_t *jobs)
{
	char tenant[UUID_TEXT_LEN] = UUID_FIRST, queue[JOB_QUEUE_MAX];
	struct ended at = { .tenant_id = str_of(tenant, sizeof(tenant)),
		.queue = str_of(queue, 0) };
	int r;

	do {
		struct arena_mark mark = arena_mark(db->arena);
		struct ended next;

		r = db_one(db, &ended_next, &at, &next);
		if (r == 0 && next.queue.len <= sizeof(queue)) {
			memcpy(tenant, next.tenant_id.at, sizeof(tenant));
			memcpy(queue, next.queue.at, next.queue.len);
			at.queue.len = next.queue.len;
			r = clean_queue(db, &at, jobs);
		}
		arena_back(db->arena, mark);
	} while (r == 0);
	return r == -ERR_NOT_FOUND ? 0 : r;
}

/* --- all the rest ---------------------------------------------------------------------------- */

enum { SWEEP_BATCH = 1000, SWEEP_ROUNDS = 100 };

struct sweep {
	const struct statement *statement;
	struct old_rows old;
	size_t deleted;
};

static int sweep_in_tx(struct tx *tx, void *arg)
{
	struct sweep *sweep = arg;

	return tx_change(tx, sweep->statement, &sweep->old, &sweep->deleted);
}

static int sweep_all(const struct db *db, const struct statement *statement, int64_t before)
{
	static const struct tx_options soft = { "job_cleanup", .durability = TX_SOFT };
	struct sweep sweep = { statement, { before, SWEEP_BATCH }, SWEEP_BATCH };
	int r = 0;

	for (int i = 0; i < SWEEP_ROUNDS && r == 0 && sweep.deleted == SWEEP_BATCH; i++)
		r = db_write_with(db, &soft, sweep_in_tx, &sweep);
	return r;
}

/* How long what nobody needs stays all the same: clocks differ. */
#define SPARE_US INT64_C(3600000000)

static int clean_rest(const struct db *db)
{
	int64_t now = clock_wall_us(), minute = now / (int64_t)(MINUTE / MICROSECOND);
	int r = sweep_all(db, &tallies_old, minute - JOBS_TALLY_MINUTES);

	if (r == 0)
		r = sweep_all(db, &rates_old, now - SPARE_US);
	if (r == 0)
		r = sweep_all(db, &leases_old, now - 24 * SPARE_US);
	if (r == 0)
		r = unique_sweep(db->store);
	return r < 0 ? r : groups_sweep(db->store);
}

int jobs_cleanup(struct store *store, size_t *ret_jobs)
{
	struct arena arena;
	struct db db;
	size_t jobs = 0;
	int r;

	arena_init(&arena, 16 * KILOBYTE, MEGABYTE);
	db = db_of_system(store, &arena);
	r = clean_ended(&db, &jobs);
	if (r == 0)
		r = clean_rest(&db);
	arena_done(&arena);
	if (ret_jobs)
		*ret_jobs = jobs;
	return r;
}

/* --- by schedule -------------------------------------------------------------------------------
 */

static int run_cleanup(struct job *job, const void *payload)
{
	struct str result;
	size_t jobs;
	int r = jobs_cleanup(job->server->store, &jobs);

	(void)payload;
	if (r < 0)
		return r;
	result = arena_printf(job->arena, "{\"jobs\":%zu}", jobs);
	return result.at ? job_result(job, result) : -(int)err_last()->code;
}

const struct job_kind jobs_cleanup_kind = { .name = "jobs:cleanup",
	.queue = "maintenance",
	.run = run_cleanup,
	.timeout_ns = 10 * MINUTE,
	.every_ns = 10 * MINUTE };
