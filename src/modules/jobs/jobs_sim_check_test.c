/* The rows of a simulation, compared with the model. */
#include "modules/jobs/jobs_sim_test.h"

#include <stdio.h>

enum { TENANT_NUMBERS = 60000 };

/* --- rows ------------------------------------------------------------------------------------- */

struct sim_row {
	struct str id;
	enum job_state state;
	int64_t attempt, uncounted, attempts, turn, run_at, timeout_us;
	struct opt_str group_key;
	bool seated, blocked, cancelling;
};

struct sim_key {
	struct str queue, key, job_id;
	struct opt_str before_id;
	int64_t until;
};

struct sim_group {
	struct str queue, key;
	int64_t active, waiting, next_at;
	bool halted;
};

/* clang-format off */
static const struct schema sim_row_schema = SCHEMA(sim_row, "A job.",
	FIELD(sim_row, id, "Which.", .format = FORMAT_UUID),
	FIELD(sim_row, state, "What it does.", .choices = job_state_names),
	FIELD(sim_row, attempt, "Starts."),
	FIELD(sim_row, uncounted, "That do not count."),
	FIELD(sim_row, attempts, "Of how many."),
	FIELD(sim_row, turn, "Its turn."),
	FIELD(sim_row, run_at, "Its time."),
	FIELD(sim_row, timeout_us, "How long a start may take."),
	FIELD(sim_row, group_key, "With whom it takes turns."),
	FIELD(sim_row, seated, "Has a seat."),
	FIELD(sim_row, blocked, "Waits for one."),
	FIELD(sim_row, cancelling, "Is to stop."));

static const struct schema sim_key_schema = SCHEMA(sim_key, "A key.",
	FIELD(sim_key, queue, "Of which queue."),
	FIELD(sim_key, key, "Which."),
	FIELD(sim_key, job_id, "Its job.", .format = FORMAT_UUID),
	FIELD(sim_key, before_id, "Behind which one.", .format = FORMAT_UUID),
	FIELD(sim_key, until, "How long it throttles."));

static const struct schema sim_group_schema = SCHEMA(sim_group, "A group.",
	FIELD(sim_group, queue, "Of which queue."),
	FIELD(sim_group, key, "Which."),
	FIELD(sim_group, active, "Seats taken."),
	FIELD(sim_group, waiting, "Who wait."),
	FIELD(sim_group, next_at, "The next start."),
	FIELD(sim_group, halted, "Whether it is."));
/* clang-format on */

static const struct statement sim_rows = STATEMENT("test_sim_rows",
	.sql = "SELECT id, state, attempt, uncounted, attempts, turn, run_at, timeout_us, "
	       "group_key, seated, blocked, cancelling FROM job "
	       "WHERE tenant_id = :tenant ORDER BY id",
	.out = &sim_row_schema);

static const struct statement sim_key_rows = STATEMENT("test_sim_keys",
	.sql = "SELECT queue, key, job_id, before_id, until FROM job_unique "
	       "WHERE tenant_id = :tenant",
	.out = &sim_key_schema);

static const struct statement sim_group_rows = STATEMENT("test_sim_groups",
	.sql = "SELECT queue, key, active, waiting, next_at, halted FROM job_group "
	       "WHERE tenant_id = :tenant",
	.out = &sim_group_schema);

#define SWEEP(table)                                                                               \
	STATEMENT("test_sim_sweep_" table, .sql = "DELETE FROM main." table " WHERE 1 = 1",        \
		.flags = STATEMENT_SYSTEM)

static const struct statement sweeps[] = { SWEEP("job"), SWEEP("job_group"), SWEEP("job_unique"),
	SWEEP("job_error"), SWEEP("job_lease"), SWEEP("job_rate"), SWEEP("job_pause") };

const struct statement *const sim_statements[SIM_STATEMENTS] = { &sim_rows, &sim_key_rows,
	&sim_group_rows, &sweeps[0], &sweeps[1], &sweeps[2], &sweeps[3], &sweeps[4], &sweeps[5],
	&sweeps[6] };

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

static void compare_row(struct sim *sim, const struct sim_row *row, const struct model_job *job)
{
	struct str group = job->group < 0 ? S("") : sim_keys[job->group];
	char text[400];

	(void)snprintf(text, sizeof(text),
		"job %.*s of %s is %s, attempt %lld of %lld, seated %d, blocked %d, cancelling %d, "
		"run_at %lld; the model says %s, %lld of %lld, %d, %d, %d, %lld",
		STR_ARG(row->id), model_queues[job->queue].name, job_state_names[row->state],
		(long long)row->attempt, (long long)row->attempts, row->seated, row->blocked,
		row->cancelling, (long long)row->run_at, job_state_names[job->state],
		(long long)job->attempt, (long long)job->attempts, job->seated, job->blocked,
		job->cancelling, (long long)job->run_at);
	(void)sim_holds(sim,
		row->state == job->state && row->attempt == job->attempt &&
			row->uncounted == job->uncounted && row->attempts == job->attempts &&
			row->seated == job->seated && row->blocked == job->blocked &&
			row->cancelling == job->cancelling && row->run_at == job->run_at &&
			row->turn == job->turn && row->timeout_us == job->timeout_us &&
			str_eq(row->group_key.value, group),
		text);
}

static size_t compare_jobs(struct sim *sim, const struct db *db, size_t tenant)
{
	struct sim_row *rows;
	size_t count;

	REQUIRE(db_all(db, &sim_rows, NULL, &rows, &count) == 0);
	for (size_t i = 0; i < count; i++) {
		struct model_job *job;
		struct uuid id;

		REQUIRE(uuid_parse(rows[i].id, &id));
		job = model_find(&sim->model, &id);
		if (sim_holds(
			    sim, job && job->tenant == tenant && !job->gone, "a job from nowhere"))
			compare_row(sim, &rows[i], job);
	}
	return count;
}

static size_t index_of_queue(struct str name)
{
	for (size_t i = 0; i < MODEL_QUEUES; i++)
		if (str_eq(name, str_from_c(model_queues[i].name)))
			return i;
	CHECK(false);
	return 0;
}

static size_t index_of_key(struct str key)
{
	return str_eq(key, sim_keys[0]) ? 0 : 1;
}

static bool same_id(struct str text, const struct uuid *id)
{
	struct uuid parsed;

	return uuid_parse(text, &parsed) && uuid_cmp(&parsed, id) == 0;
}

static void compare_keys(struct sim *sim, const struct db *db, size_t tenant)
{
	size_t count, wanted = 0;
	struct sim_key *rows;

	for (size_t i = 0; i < (size_t)MODEL_QUEUES * MODEL_KEYS; i++)
		wanted += (&sim->model.keys[tenant][0][0])[i].there;
	REQUIRE(db_all(db, &sim_key_rows, NULL, &rows, &count) == 0);
	(void)sim_holds(sim, count == wanted, "a key is not free, or is free too early");
	for (size_t i = 0; i < count; i++) {
		const struct model_key *key = &sim->model.keys[tenant][index_of_queue(
			rows[i].queue)][index_of_key(rows[i].key)];

		(void)sim_holds(sim,
			key->there && same_id(rows[i].job_id, &key->job) &&
				rows[i].before_id.set == key->behind &&
				(!key->behind || same_id(rows[i].before_id.value, &key->before)) &&
				rows[i].until == key->until,
			"a key stands for another job, or another time");
	}
}

static void compare_groups(struct sim *sim, const struct db *db, size_t tenant)
{
	struct sim_group *rows;
	size_t count, busy = 0;

	for (size_t i = 0; i < (size_t)MODEL_QUEUES * MODEL_GROUPS; i++) {
		const struct model_group *group = &(&sim->model.groups[tenant][0][0])[i];

		busy += group->active || group->waiting || group->halted;
	}
	REQUIRE(db_all(db, &sim_group_rows, NULL, &rows, &count) == 0);
	for (size_t i = 0; i < count; i++) {
		size_t queue = index_of_queue(rows[i].queue);
		const struct model_group *group =
			&sim->model.groups[tenant][queue][index_of_key(rows[i].key)];

		busy -= group->active || group->waiting || group->halted;
		(void)sim_holds(sim,
			rows[i].active == group->active && rows[i].waiting == group->waiting &&
				rows[i].halted == group->halted &&
				(!model_queues[queue].step_us || rows[i].next_at == group->next_at),
			"a group counts otherwise");
	}
	(void)sim_holds(sim, busy == 0, "a group is gone that has jobs");
}

void sim_compare(struct sim *sim)
{
	size_t rows_wanted = 0, rows_seen = 0;

	for (size_t i = 0; i < sim->model.job_count; i++) {
		const struct model_job *job = &sim->model.jobs[i];

		rows_wanted += !job->gone;
		(void)sim_holds(sim, job->attempt - job->uncounted <= job->attempts,
			"more starts than there may be");
	}
	for (size_t tenant = 0; tenant < MODEL_TENANTS; tenant++) {
		struct db db = sim_tenant_db(sim, tenant);

		rows_seen += compare_jobs(sim, &db, tenant);
		compare_keys(sim, &db, tenant);
		compare_groups(sim, &db, tenant);
	}
	(void)sim_holds(sim, rows_seen == rows_wanted,
		"a job is lost, or one that should be gone is there");
}

void sim_check_rate(struct sim *sim)
{
	const struct model *model = &sim->model;

	for (size_t q = 0; q < MODEL_QUEUES; q++) {
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
