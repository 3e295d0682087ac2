/* Rows that only the worker protocol asks for. What starts and ends jobs is in jobs_lease.c and
 * jobs_end.c. */
#include "modules/jobs/jobs_worker_store.h"

#include "base/err.h"

const struct tx_options worker_soft = {
	.name = "job worker", .durability = TX_SOFT, .isolation = TX_READ_COMMITTED
};

/* --- what is bound and read -------------------------------------------------------------- */

struct job_key {
	struct str id;
};

struct job_start_row {
	enum job_state state;
	struct opt_str lease_id;
	int64_t attempt;
	bool cancelling;
};

struct worker_key {
	struct str worker;
};

struct queue_key {
	struct str queue;
};

struct ready_row {
	int64_t ready;
};

/* clang-format off */
static const struct schema job_key_schema = SCHEMA(job_key, "A job by its id.",
	FIELD(job_key, id, "Which.", .format = FORMAT_UUID));

static const struct schema job_start_row_schema = SCHEMA(job_start_row, "Which start a job is in.",
	FIELD(job_start_row, state, "Its state.", .choices = job_state_names),
	FIELD(job_start_row, lease_id, "Whose it is, or was.", .flags = NULLABLE, .format = FORMAT_UUID),
	FIELD(job_start_row, attempt, "Which start.", RANGE(0, INT64_MAX)),
	FIELD(job_start_row, cancelling, "It shall stop."));

static const struct schema worker_key_schema = SCHEMA(worker_key, "A worker.",
	FIELD(worker_key, worker, "Its name."));

static const struct schema worker_found_schema = SCHEMA(worker_found, "A lease.",
	FIELD(worker_found, id, "Which.", .format = FORMAT_UUID),
	FIELD(worker_found, lease_us, "How long it lasts.", RANGE(0, INT64_MAX)));

static const struct schema queue_key_schema = SCHEMA(queue_key, "A queue.",
	FIELD(queue_key, queue, "Its name."));

static const struct schema ready_row_schema = SCHEMA(ready_row, "Whether something is ready.",
	FIELD(ready_row, ready, "1 when it is."));

const struct schema lease_jobs_key_schema = SCHEMA(lease_jobs_key, "Jobs of a lease.",
	FIELD(lease_jobs_key, lease_id, "Which.", .format = FORMAT_UUID),
	FIELD(lease_jobs_key, limit, "How many.", RANGE(0, INT64_MAX)));

const struct schema lease_job_schema = SCHEMA(lease_job, "A job of a lease.",
	FIELD(lease_job, tenant_id, "Whose.", .format = FORMAT_UUID),
	FIELD(lease_job, id, "Which.", .format = FORMAT_UUID),
	FIELD(lease_job, attempt, "Which start.", RANGE(0, INT64_MAX)));

const struct schema lease_key_schema = SCHEMA(lease_key, "A lease.",
	FIELD(lease_key, tenant_id, "Whose.", .format = FORMAT_UUID),
	FIELD(lease_key, id, "Which.", .format = FORMAT_UUID));

const struct schema lease_found_schema = SCHEMA(lease_found, "A lease.",
	FIELD(lease_found, id, "Which.", .format = FORMAT_UUID));

const struct schema job_progress_row_schema = SCHEMA(job_progress_row, "How far a start has come.",
	FIELD(job_progress_row, id, "Of which job.", .format = FORMAT_UUID),
	FIELD(job_progress_row, lease_id, "Of which", .format = FORMAT_UUID),
	FIELD(job_progress_row, attempt, "start.", RANGE(0, INT64_MAX)),
	FIELD(job_progress_row, percent, "So far.", RANGE(0, 100)),
	FIELD(job_progress_row, note, "In words.", .flags = NULLABLE, RANGE(0, JOB_NOTE_MAX)));

const struct schema job_line_row_schema = SCHEMA(job_line_row, "A line of a job's log.",
	FIELD(job_line_row, job_id, "Of which job.", .format = FORMAT_UUID),
	FIELD(job_line_row, id, "Which line.", .format = FORMAT_UUID),
	FIELD(job_line_row, level, "How much it matters."),
	FIELD(job_line_row, line, "The line.", .flags = ANY_TEXT, RANGE(0, JOB_LINE_MAX)));

const struct schema job_line_count_schema = SCHEMA(job_line_count, "Lines there are.",
	FIELD(job_line_count, count, "How many.", RANGE(0, INT64_MAX)));
/* clang-format on */

/* --- statements -------------------------------------------------------------------------- */

static const struct statement start_get = STATEMENT("job_start_get",
	.sql = "SELECT state, lease_id, attempt, cancelling FROM job "
	       "WHERE tenant_id = :tenant AND id = :id",
	.in = &job_key_schema, .out = &job_start_row_schema);

static const struct statement session_newest = STATEMENT("job_session_newest",
	.sql = "SELECT id, lease_us FROM job_lease WHERE tenant_id = :tenant AND worker = :worker "
	       "AND kind = 'session' ORDER BY began_at DESC, id DESC LIMIT 1",
	.in = &worker_key_schema, .out = &worker_found_schema);

static const struct statement worker_leases = STATEMENT("job_worker_leases",
	.sql = "SELECT id, lease_us FROM job_lease WHERE tenant_id = :tenant AND worker = :worker "
	       "AND kind <> 'program' ORDER BY id LIMIT 100",
	.in = &worker_key_schema, .out = &worker_found_schema);

static const struct statement worker_sessions = STATEMENT("job_worker_sessions",
	.sql = "SELECT id, lease_us FROM job_lease WHERE tenant_id = :tenant AND worker = :worker "
	       "AND kind = 'session' ORDER BY id LIMIT 1000",
	.in = &worker_key_schema, .out = &worker_found_schema);

/* Whoever reads a lease says that it lives; and it stays until this has committed. */
static const struct statement lease_renew = STATEMENT("job_worker_lease_renew",
	.sql = "UPDATE main.job_lease SET beats = beats + 1, seen_at = :now "
	       "WHERE tenant_id = :tenant AND id = :id RETURNING id, lease_us",
	.in = &job_key_schema, .out = &worker_found_schema);

const struct statement lease_close = STATEMENT("job_lease_close",
	.sql = "DELETE FROM main.job_lease WHERE tenant_id = :tenant AND id = :id",
	.in = &lease_found_schema);

/* All tenants' at once: a lease may be of a worker of all of them. By the index of what runs; the
 * order is not to be had from an index, or all jobs would be read in that order. */
#define LEASE_JOBS(only, tenant_order, id_order)                                                   \
	"SELECT j.tenant_id, j.id, j.attempt FROM main.job AS j WHERE j.state = 'running' "        \
	"AND j.queue >= ''" only " AND j.lease_id = :lease_id ORDER BY " tenant_order              \
	", " id_order " LIMIT :limit"

#define LEASE_JOBS_SQLITE(only) LEASE_JOBS(only, "+j.tenant_id", "+j.id")
#define LEASE_JOBS_POSTGRES(only)                                                                  \
	LEASE_JOBS(only, "coalesce(j.tenant_id, j.id)", "coalesce(j.id, j.tenant_id)")

const struct statement lease_jobs = STATEMENT("job_lease_jobs", .sqlite = LEASE_JOBS_SQLITE(""),
	.postgres = LEASE_JOBS_POSTGRES(""), .in = &lease_jobs_key_schema, .out = &lease_job_schema,
	.flags = STATEMENT_SYSTEM);

const struct statement lease_cancelled =
	STATEMENT("job_lease_cancelled", .sqlite = LEASE_JOBS_SQLITE(" AND j.cancelling"),
		.postgres = LEASE_JOBS_POSTGRES(" AND j.cancelling"), .in = &lease_jobs_key_schema,
		.out = &lease_job_schema, .flags = STATEMENT_SYSTEM);

const struct statement cancelled_lease = STATEMENT("job_cancelled_lease",
	.sql = "SELECT lease_id AS id FROM main.job WHERE tenant_id = :tenant_id AND id = :id "
	       "AND state = 'running' AND cancelling",
	.in = &lease_key_schema, .out = &lease_found_schema, .flags = STATEMENT_SYSTEM);

/* Sessions of all tenants beat in one transaction. */
const struct statement session_beat = STATEMENT("job_session_beat",
	.sql = "UPDATE main.job_lease SET beats = beats + 1, seen_at = :now "
	       "WHERE tenant_id = :tenant_id AND id = :id",
	.in = &lease_key_schema, .flags = STATEMENT_SYSTEM);

const struct statement sessions_beaten = STATEMENT("job_sessions_beaten",
	.sql = "SELECT id FROM main.job_lease WHERE kind = 'session' AND seen_at = :now "
	       "LIMIT 10000",
	.out = &lease_found_schema, .flags = STATEMENT_SYSTEM);

const struct statement job_progress_set = STATEMENT("job_worker_progress",
	.sql = "UPDATE main.job SET progress = :percent, progress_note = :note "
	       "WHERE tenant_id = :tenant AND id = :id AND lease_id = :lease_id "
	       "AND attempt = :attempt AND state = 'running'",
	.in = &job_progress_row_schema);

#define LINE_INSERT                                                                                \
	"INSERT INTO main.job_line (tenant_id, job_id, id, level, line, at) "                      \
	"SELECT :tenant, j.id, :id, :level, :line, :now FROM job AS j "                            \
	"WHERE j.tenant_id = :tenant AND j.id = :job_id AND j.state = 'running'"

/* The row stays until the line is there: who throws both away finds both. */
const struct statement job_line_insert = STATEMENT("job_worker_line", .sqlite = LINE_INSERT,
	.postgres = LINE_INSERT " FOR KEY SHARE OF j", .in = &job_line_row_schema);

const struct statement job_lines_count = STATEMENT("job_worker_lines",
	.sql = "SELECT count(*) AS count FROM (SELECT l.id FROM job_line AS l "
	       "WHERE l.tenant_id = :tenant AND l.job_id = :id LIMIT 1000) AS lines",
	.in = &job_key_schema, .out = &job_line_count_schema);

static const struct statement ready_here = STATEMENT("job_worker_ready",
	.sql = "SELECT count(*) AS ready FROM (SELECT j.id FROM job AS j WHERE j.queue = :queue "
	       "AND j.tenant_id = :tenant AND j.state = 'available' AND NOT j.blocked LIMIT 1) "
	       "AS one",
	.in = &queue_key_schema, .out = &ready_row_schema);

static const struct statement ready_anywhere = STATEMENT("job_worker_ready_anywhere",
	.sql = "SELECT count(*) AS ready FROM (SELECT j.id FROM main.job AS j "
	       "WHERE j.queue = :queue AND j.state = 'available' AND NOT j.blocked LIMIT 1) AS one",
	.in = &queue_key_schema, .out = &ready_row_schema, .flags = STATEMENT_SYSTEM);

const struct statement *const job_worker_statements[JOB_WORKER_STATEMENTS] = { &start_get,
	&session_newest, &worker_leases, &worker_sessions, &lease_renew, &lease_close, &lease_jobs,
	&lease_cancelled, &cancelled_lease, &session_beat, &sessions_beaten, &job_progress_set,
	&job_line_insert, &job_lines_count, &ready_here, &ready_anywhere };

/* --- in transactions --------------------------------------------------------------------- */

int start_look_in_tx(
	struct tx *tx, const struct start *start, enum job_state *ret_state, bool *ret_cancelling)
{
	struct job_key key = { start->id };
	struct job_start_row row = { 0 };
	int r = tx_one(tx, &start_get, &key, &row);

	if (r == -ERR_NOT_FOUND)
		return fail(ERR_NOT_FOUND, "there is no such job");
	if (r < 0)
		return r;
	if (!row.lease_id.set || !str_eq(row.lease_id.value, start->lease_id) ||
		row.attempt != start->attempt)
		return fail(ERR_CONFLICT, "this start is over: its lease was lost, or the job "
					  "was handed back");
	*ret_state = row.state;
	*ret_cancelling = row.cancelling;
	return row.state != JOB_RUNNING;
}

int lease_renew_in_tx(struct tx *tx, const struct uuid *id, int64_t *ret_lease_us)
{
	struct job_key key = { uuid_text(tx_arena(tx), id) };
	struct worker_found row = { 0 };
	int r = key.id.at ? tx_one(tx, &lease_renew, &key, &row) : -(int)err_last()->code;

	if (r == 0)
		*ret_lease_us = row.lease_us;
	return r;
}

int session_find_in_tx(struct tx *tx, struct str worker, struct uuid *ret, int64_t *ret_lease_us)
{
	struct worker_key key = { worker };
	struct worker_found row = { 0 };
	struct uuid id;
	int r = tx_one(tx, &session_newest, &key, &row);

	if (r < 0)
		return r;
	CHECK(uuid_parse(row.id, &id));
	r = lease_renew_in_tx(tx, &id, ret_lease_us);
	if (r == 0)
		*ret = id;
	return r;
}

int worker_leases_in_tx(struct tx *tx, const struct uuid *tenant, struct str worker, bool sessions,
	struct worker_found **ret, size_t *ret_count)
{
	struct worker_key key = { worker };
	int r = tx_enter(tx, tenant);

	if (r == 0)
		r = tx_all(tx, sessions ? &worker_sessions : &worker_leases, &key, ret, ret_count);
	return r < 0 ? r : tx_leave(tx);
}

int worker_ready(const struct worker_caller *caller, struct arena *arena, struct str queue)
{
	struct db db = worker_db(caller, arena);
	struct queue_key key = { queue };
	struct ready_row row = { 0 };
	int r = db_one(&db, caller->platform ? &ready_anywhere : &ready_here, &key, &row);

	return r < 0 ? r : row.ready > 0;
}
