/* The rows of a simulation, compared with the model. */
#include "modules/jobs/jobs_sim_test.h"

#include <stdio.h>

enum { TENANT_NUMBERS = 60000 };

/* --- rows ------------------------------------------------------------------------------------- */

struct sim_row {
	struct str id;
	enum job_state state;
	int64_t attempt, uncounted, turn, run_at;
	bool seated, blocked, cancelling;
};

struct sim_group {
	struct str queue, key;
};

/* clang-format off */
static const struct schema sim_row_schema = SCHEMA(sim_row, "A job.",
	FIELD(sim_row, id, "Which.", .format = FORMAT_UUID),
	FIELD(sim_row, state, "What it does.", .choices = job_state_names),
	FIELD(sim_row, attempt, "Starts."),
	FIELD(sim_row, uncounted, "That do not count."),
	FIELD(sim_row, turn, "Its turn."),
	FIELD(sim_row, run_at, "Its time."),
	FIELD(sim_row, seated, "Has a seat."),
	FIELD(sim_row, blocked, "Waits for one."),
	FIELD(sim_row, cancelling, "Is to stop."));
/* clang-format on */

static const struct statement sim_rows = STATEMENT("test_sim_rows",
	.sql = "SELECT id, state, attempt, uncounted, turn, run_at, seated, blocked, "
	       "cancelling FROM job "
	       "WHERE tenant_id = :tenant ORDER BY id",
	.out = &sim_row_schema);

#define SWEEP(table)                                                                               \
	STATEMENT("test_sim_sweep_" table, .sql = "DELETE FROM main." table " WHERE 1 = 1",        \
		.flags = STATEMENT_SYSTEM)

static const struct statement sweeps[] = { SWEEP("job"), SWEEP("job_group"), SWEEP("job_unique"),
	SWEEP("job_error"), SWEEP("job_lease"), SWEEP("job_rate") };

const struct statement *const sim_statements[SIM_STATEMENTS] = { &sim_rows, &sweeps[0], &sweeps[1],
	&sweeps[2], &sweeps[3], &sweeps[4], &sweeps[5] };

/* --- a run -------------------------------------------------------------------------------- */

bool sim_holds(struct sim *sim, bool ok, const char *what)
{
	if (!ok && !sim->failed) {
		sim->failed = true;
		test_note(false, __FILE__, __LINE__,
			"seed %llu, step %zu (%s): %s; JOBS_SIM_SEED=%llu plays it again",
			(unsigned long long)sim->seed, sim->step, sim->said, what,
			(unsigned long long)sim->seed);
	}
	return ok;
}

struct db sim_tenant_db(struct sim *sim, size_t tenant)
{
	unsigned number = (unsigned)(sim->seed * MODEL_TENANTS % TENANT_NUMBERS + tenant + 1);
	struct db db = store_test_tenant(sim->test, number);

	db.arena = &sim->arena;
	return db;
}

static int sweep_in_tx(struct tx *tx, void *arg)
{
	int r = 0;

	(void)arg;
	for (size_t i = 0; i < LEN(sweeps) && r == 0; i++)
		r = tx_exec(tx, &sweeps[i], NULL);
	return r;
}

void sim_sweep(struct sim *sim)
{
	struct db db = db_of_system(sim->test->store, &sim->arena);

	REQUIRE(db_write(&db, sweep_in_tx, NULL) == 0);
}

/* --- comparing ------------------------------------------------------------------------- */

static void compare_row(struct sim *sim, const struct sim_row *row, struct model_job *job)
{
	char text[300];

	(void)snprintf(text, sizeof(text),
		"job %.*s of %s is %s, attempt %lld, seated %d, blocked %d, cancelling %d, run_at "
		"%lld; the model says %s, %lld, %d, %d, %d, %lld",
		STR_ARG(row->id), model_queues[job->queue].name, job_state_names[row->state],
		(long long)row->attempt, row->seated, row->blocked, row->cancelling,
		(long long)row->run_at, job_state_names[job->state], (long long)job->attempt,
		job->seated, job->blocked, job->cancelling, (long long)job->run_at);
	(void)sim_holds(sim,
		row->state == job->state && row->attempt == job->attempt &&
			row->uncounted == job->uncounted && row->seated == job->seated &&
			row->blocked == job->blocked && row->cancelling == job->cancelling &&
			row->run_at == job->run_at && row->turn == job->turn,
		text);
}

void sim_compare(struct sim *sim)
{
	size_t rows_wanted = 0, rows_seen = 0;

	for (size_t i = 0; i < sim->model.job_count; i++) {
		const struct model_job *job = &sim->model.jobs[i];

		rows_wanted += !(model_queues[job->queue].keeps_none && model_is_final(job->state));
		(void)sim_holds(sim, job->attempt - job->uncounted <= job->attempts,
			"more starts than there may be");
	}
	for (size_t tenant = 0; tenant < MODEL_TENANTS; tenant++) {
		struct db db = sim_tenant_db(sim, tenant);
		struct sim_row *rows;
		size_t count;

		REQUIRE(db_all(&db, &sim_rows, NULL, &rows, &count) == 0);
		rows_seen += count;
		for (size_t i = 0; i < count; i++) {
			struct model_job *job;
			struct uuid id;

			REQUIRE(uuid_parse(rows[i].id, &id));
			job = model_find(&sim->model, &id);
			if (sim_holds(sim, job && job->tenant == tenant, "a job from nowhere"))
				compare_row(sim, &rows[i], job);
		}
	}
	(void)sim_holds(sim, rows_seen == rows_wanted,
		"a job is lost, or one that should be gone is there");
}

void sim_check_rate(struct sim *sim)
{
	const struct model *model = &sim->model;

	for (size_t q = 0; q < model_queue_count; q++) {
		const struct model_queue *queue = &model_queues[q];

		for (size_t i = 0; i < model->start_count && queue->rate_count; i++)
			for (size_t k = i; k < model->start_count; k++) {
				int64_t span = model->starts[k] - model->starts[i];

				if (k > i && model->starts[k] < model->starts[k - 1])
					break; /* the clock was set back there */
				(void)sim_holds(sim,
					(int64_t)(k - i + 1) <=
						queue->rate_count +
							span * queue->rate_count / queue->rate_us +
							1,
					"more starts than the rate allows");
			}
	}
}
