/* Counting and cleaning up, against a model of what should be there. */
#include "modules/jobs/jobs_cleanup.h"

#include "base/embed.h"
#include "base/err.h"
#include "base/fault.h"
#include "modules/jobs/jobs_census.h"
#include "modules/jobs/jobs_fixture_test.h"
#include "observe/clock.h"

#include <stdio.h>
#include <stdlib.h>

EMBED_TEXT(jobs_cleanup_test_sql, "src/modules/jobs/jobs.sql");
EMBED_TEXT(jobs_cleanup_test_tenants_sql, "src/modules/tenants/tenants.sql");

enum { TENANTS = 3, QUEUES = 3, ROWS = 300 };

/* A job as the model has it. */
struct model {
	char id[UUID_TEXT_LEN];
	int tenant, queue;
	enum job_state state;
	bool blocked;
	int64_t ended_at;
	bool gone;
};

struct seed_row {
	struct str id, queue;
	enum job_state state;
	bool blocked;
	int64_t created_at;
	struct opt_i64 started_at, ended_at;
};

struct left {
	struct str id;
	int64_t errors, lines;
};

struct depth_sums {
	struct str queue;
	int64_t ready, blocked, scheduled, retryable, waiting, running;
	int64_t completed, discarded, cancelled;
};

/* clang-format off */
static const struct schema seed_row_schema = SCHEMA(seed_row, "A job.",
	FIELD(seed_row, id, "Which.", .format = FORMAT_UUID),
	FIELD(seed_row, queue, "Where."),
	FIELD(seed_row, state, "How far it is.", .choices = job_state_names),
	FIELD(seed_row, blocked, "Behind others."),
	FIELD(seed_row, created_at, "When."),
	FIELD(seed_row, started_at, "When."),
	FIELD(seed_row, ended_at, "When."));

static const struct schema left_schema = SCHEMA(left, "What is left of a job.",
	FIELD(left, id, "Which.", .format = FORMAT_UUID),
	FIELD(left, errors, "How many."),
	FIELD(left, lines, "How many."));

static const struct schema depth_sums_schema = SCHEMA(depth_sums, "What was counted.",
	FIELD(depth_sums, queue, "Where."),
	FIELD(depth_sums, ready, "Jobs."),
	FIELD(depth_sums, blocked, "Jobs."),
	FIELD(depth_sums, scheduled, "Jobs."),
	FIELD(depth_sums, retryable, "Jobs."),
	FIELD(depth_sums, waiting, "Jobs."),
	FIELD(depth_sums, running, "Jobs."),
	FIELD(depth_sums, completed, "Jobs."),
	FIELD(depth_sums, discarded, "Jobs."),
	FIELD(depth_sums, cancelled, "Jobs."));
/* clang-format on */

static const struct statement seed_job = STATEMENT("test_seed_job",
	.sql = "INSERT INTO main.job (tenant_id, id, queue, name, state, priority, turn, run_at, "
	       "attempt, attempts, seated, blocked, cancelling, created_at, started_at, ended_at, "
	       "payload) VALUES (:tenant, :id, :queue, 'test:plain', :state, 5, :created_at, "
	       ":created_at, 0, 3, FALSE, :blocked, FALSE, :created_at, :started_at, :ended_at, "
	       "'{}')",
	.in = &seed_row_schema);

static const struct statement seed_error = STATEMENT("test_seed_error",
	.sql = "INSERT INTO main.job_error (tenant_id, job_id, attempt, kind, message, at) "
	       "VALUES (:tenant, :id, 1, 'failed', 'it broke', :created_at)",
	.in = &seed_row_schema);

static const struct statement seed_line = STATEMENT("test_seed_line",
	.sql = "INSERT INTO main.job_line (tenant_id, job_id, id, level, line, at) "
	       "VALUES (:tenant, :id, :id, 'info', 'hello', :created_at)",
	.in = &seed_row_schema);

static const struct statement move_job = STATEMENT("test_move_job",
	.sql = "UPDATE main.job SET state = :state, blocked = :blocked, started_at = :started_at, "
	       "ended_at = :ended_at WHERE tenant_id = :tenant AND id = :id",
	.in = &seed_row_schema);

static const struct statement jobs_left = STATEMENT("test_jobs_left",
	.sql = "SELECT j.id, (SELECT count(*) FROM job_error AS e WHERE e.tenant_id = :tenant "
	       "AND e.job_id = j.id) AS errors, (SELECT count(*) FROM job_line AS l "
	       "WHERE l.tenant_id = :tenant AND l.job_id = j.id) AS lines FROM job AS j "
	       "WHERE j.tenant_id = :tenant",
	.out = &left_schema);

static const struct statement orphans = STATEMENT("test_orphans",
	.sql = "SELECT e.job_id AS id, 1 AS errors FROM job_error AS e WHERE e.tenant_id = :tenant "
	       "AND NOT EXISTS (SELECT 1 FROM job AS j WHERE j.tenant_id = :tenant "
	       "AND j.id = e.job_id)",
	.out = &left_schema);

static const struct statement depths_of = STATEMENT("test_depths_of",
	.sql = "SELECT queue, ready, blocked, scheduled, retryable, waiting, running, completed, "
	       "discarded, cancelled FROM job_depth WHERE tenant_id = :tenant",
	.out = &depth_sums_schema);

static const struct statement give = STATEMENT("test_keep_give",
	.sql = "INSERT INTO main.job_queue (name, settings, paused, version, updated_at) "
	       "VALUES (:name, :settings, FALSE, 1, 0)",
	.in = &queue_row_schema, .flags = STATEMENT_SYSTEM);

static const struct statement *const statements[] = { &seed_job, &seed_error, &seed_line, &move_job,
	&jobs_left, &orphans, &depths_of, &give };

static void registered(struct store *store)
{
	REQUIRE(jobs_register(store) == 0);
	REQUIRE(jobs_memory_open(store) == 0);
}

static const struct store_test_module modules[] = {
	{ "tenants", jobs_cleanup_test_tenants_sql },
	{ "jobs", jobs_cleanup_test_sql, statements, LEN(statements), .registered = registered },
	{ NULL },
};

static void (*current)(struct store_test *);

static void run_body(struct store_test *test)
{
	current(test);
	jobs_memory_close(test->store);
}

#define CLEANUP_TEST(name_)                                                                        \
	static void cleanup_test_##name_(struct store_test *test);                                 \
	TEST(name_##_sqlite)                                                                       \
	{                                                                                          \
		current = cleanup_test_##name_;                                                    \
		store_test_run(ENGINE_SQLITE, modules, NULL, run_body);                            \
	}                                                                                          \
	TEST(name_##_postgres)                                                                     \
	{                                                                                          \
		current = cleanup_test_##name_;                                                    \
		store_test_run(ENGINE_POSTGRES, modules, NULL, run_body);                          \
	}                                                                                          \
	static void cleanup_test_##name_(struct store_test *test)

/* --- the model -------------------------------------------------------------------------------- */

static struct model rows[ROWS];
static const struct str queue_names[QUEUES] = { S_INIT("a"), S_INIT("b-c"), S_INIT("b_c") };

static struct seed_row row_of(const struct model *model, int64_t now)
{
	bool ended = model->ended_at > 0;

	return (struct seed_row){
		.id = str_of(model->id, UUID_TEXT_LEN),
		.queue = queue_names[model->queue],
		.state = model->state,
		.blocked = model->blocked,
		.created_at = now,
		.started_at = { .set = model->state == JOB_RUNNING, .value = now },
		.ended_at = { .set = ended, .value = model->ended_at },
	};
}

/* Ages are in whole hours, so that none is near a limit, and many are the same. */
static void choose(struct model *model, uint64_t *seed, int64_t now)
{
	model->state = (enum job_state)(test_random(seed) % JOB_STATES);
	model->blocked = model->state == JOB_AVAILABLE && test_random(seed) % 3 == 0;
	model->ended_at = 0;
	if (model->state >= JOB_COMPLETED)
		model->ended_at = now - (int64_t)(test_random(seed) % 60) * 3600000000 - 1800000000;
}

struct seeding {
	const struct statement *jobs;
	int tenant;
	int64_t now;
	bool children;
};

static int seed_in_tx(struct tx *tx, void *arg)
{
	const struct seeding *seeding = arg;
	int r = 0;

	for (size_t i = 0; i < ROWS && r == 0; i++) {
		struct seed_row row = row_of(&rows[i], seeding->now);

		if (rows[i].tenant != seeding->tenant)
			continue;
		r = tx_exec(tx, seeding->jobs, &row);
		if (r == 0 && seeding->children)
			r = tx_exec(tx, &seed_error, &row);
		if (r == 0 && seeding->children)
			r = tx_exec(tx, &seed_line, &row);
	}
	return r;
}

static void write_rows(struct store_test *test, const struct statement *how, int64_t now)
{
	for (int tenant = 0; tenant < TENANTS; tenant++) {
		struct seeding seeding = { how, tenant, now, how == &seed_job };
		struct db db = store_test_tenant(test, tenant + 1);

		REQUIRE(db_write(&db, seed_in_tx, &seeding) == 0);
	}
}

static void make_rows(struct store_test *test, uint64_t *seed, int64_t now)
{
	for (size_t i = 0; i < ROWS; i++) {
		struct uuid id;

		uuid_v7(&id, now);
		uuid_write(rows[i].id, &id);
		rows[i].tenant = (int)(test_random(seed) % TENANTS);
		rows[i].queue = (int)(test_random(seed) % QUEUES);
		choose(&rows[i], seed, now);
	}
	write_rows(test, &seed_job, now);
}

/* --- the census ------------------------------------------------------------------------------- */

static int64_t count_of(int tenant, struct str queue, enum job_state state, int blocked)
{
	int64_t count = 0;

	for (size_t i = 0; i < ROWS; i++)
		count += rows[i].tenant == tenant && str_eq(queue_names[rows[i].queue], queue) &&
			 rows[i].state == state && (blocked < 0 || rows[i].blocked == blocked);
	return count;
}

static void compare_depths(struct store_test *test, int tenant)
{
	struct db db = store_test_tenant(test, tenant + 1);
	struct depth_sums *sums;
	int64_t all = 0, wanted = 0;
	size_t count;

	REQUIRE(db_all(&db, &depths_of, NULL, &sums, &count) == 0);
	for (size_t i = 0; i < count; i++) {
		struct str queue = sums[i].queue;

		EXPECT_INT(sums[i].ready, count_of(tenant, queue, JOB_AVAILABLE, 0));
		EXPECT_INT(sums[i].blocked, count_of(tenant, queue, JOB_AVAILABLE, 1));
		EXPECT_INT(sums[i].scheduled, count_of(tenant, queue, JOB_SCHEDULED, -1));
		EXPECT_INT(sums[i].retryable, count_of(tenant, queue, JOB_RETRYABLE, -1));
		EXPECT_INT(sums[i].running, count_of(tenant, queue, JOB_RUNNING, -1));
		EXPECT_INT(sums[i].completed, count_of(tenant, queue, JOB_COMPLETED, -1));
		EXPECT_INT(sums[i].discarded, count_of(tenant, queue, JOB_DISCARDED, -1));
		EXPECT_INT(sums[i].cancelled, count_of(tenant, queue, JOB_CANCELLED, -1));
		all += sums[i].waiting + sums[i].running + sums[i].completed + sums[i].discarded +
		       sums[i].cancelled;
	}
	for (size_t i = 0; i < ROWS; i++)
		wanted += rows[i].tenant == tenant;
	EXPECT_INT(all, wanted);
}

static const unsigned all_parts = (1U << CENSUS_PARTS) - 1;

CLEANUP_TEST(the_census_counts_what_there_is)
{
	int64_t now = clock_wall_us();
	uint64_t seed = 7;

	make_rows(test, &seed, now);
	for (int round = 0; round < 3; round++) {
		REQUIRE(census_count(test->store, all_parts) == 0);
		for (int tenant = 0; tenant < TENANTS; tenant++)
			compare_depths(test, tenant);
		for (size_t i = 0; i < ROWS; i++)
			choose(&rows[i], &seed, now);
		write_rows(test, &move_job, now);
		/* part by part is the same as all at once */
		for (unsigned part = 0; part < CENSUS_PARTS; part++)
			REQUIRE(census_count(test->store, 1U << part) == 0);
		for (int tenant = 0; tenant < TENANTS; tenant++)
			compare_depths(test, tenant);
	}
}

static void sum_up(const struct job_depth *sums, void *arg)
{
	*(int64_t *)arg +=
		sums->waiting + sums->running + sums->completed + sums->discarded + sums->cancelled;
}

CLEANUP_TEST(the_census_is_read_by_queue)
{
	uint64_t seed = 11;
	int64_t all = 0;

	make_rows(test, &seed, clock_wall_us());
	REQUIRE(census_turn(test->store) == 0);
	census_each(sum_up, &all);
	EXPECT_INT(all, ROWS);
	EXPECT(census_counted_us() > 0);
}

/* A count that fails has changed nothing that the next one does not put right. */
CLEANUP_TEST(the_census_survives_a_lack_of_memory)
{
	uint64_t seed = 13;
	int r = -1;

	make_rows(test, &seed, clock_wall_us());
	for (size_t nth = 1; nth < 500 && r < 0; nth++) {
		fault_arm(FAULT_MEMORY, nth);
		r = census_count(test->store, all_parts);
		fault_arm(FAULT_MEMORY, 0);
		EXPECT(r == 0 || r == -ERR_NO_MEMORY || r == -ERR_UNAVAILABLE);
	}
	REQUIRE(r == 0);
	for (int tenant = 0; tenant < TENANTS; tenant++)
		compare_depths(test, tenant);
}

/* --- cleaning up ----------------------------------------------------------------------- */

struct keep {
	int64_t hours, count;
};

static int latest_first(const void *a, const void *b)
{
	const struct model *const *x = a, *const *y = b;

	if ((*x)->ended_at != (*y)->ended_at)
		return (*x)->ended_at < (*y)->ended_at ? 1 : -1;
	return -memcmp((*x)->id, (*y)->id, UUID_TEXT_LEN);
}

/* Marks what goes of one tenant, queue and state. */
static void model_clean(int tenant, int queue, enum job_state state, struct keep keep, int64_t now)
{
	struct model *ended[ROWS];
	size_t count = 0;

	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].tenant == tenant && rows[i].queue == queue && rows[i].state == state)
			ended[count++] = &rows[i];
	qsort(ended, count, sizeof(*ended), latest_first);
	for (size_t i = 0; i < count; i++)
		ended[i]->gone = (int64_t)i >= keep.count ||
				 ended[i]->ended_at < now - keep.hours * 3600000000;
}

/* The same for all states. */
static struct keep give_keep(struct store_test *test, struct str queue, uint64_t *seed)
{
	struct keep keep = { (int64_t)(test_random(seed) % 60), (int64_t)(test_random(seed) % 8) };
	struct db db = db_of_system(test->store, &test->arena);
	struct str how = arena_printf(&test->arena, "{\"ms\":%lld,\"count\":%lld}",
		(long long)keep.hours * 3600000, (long long)keep.count);
	struct queue_row row = { .name = queue };

	row.settings.json = arena_printf(&test->arena,
		"{\"backoff\":{},\"completed\":%.*s,\"discarded\":%.*s,\"cancelled\":%.*s}",
		STR_ARG(how), STR_ARG(how), STR_ARG(how));
	REQUIRE(db_exec(&db, &give, &row) == 0);
	REQUIRE(queues_load(test->store, &test->arena) == 0);
	return keep;
}

static void compare_left(struct store_test *test, int tenant)
{
	struct db db = store_test_tenant(test, tenant + 1);
	struct left *left;
	size_t count, wanted = 0;

	REQUIRE(db_all(&db, &jobs_left, NULL, &left, &count) == 0);
	for (size_t i = 0; i < ROWS; i++)
		wanted += rows[i].tenant == tenant && !rows[i].gone;
	EXPECT_INT(count, wanted);
	for (size_t i = 0; i < count; i++) {
		bool found = false;

		for (size_t k = 0; k < ROWS && !found; k++)
			found = !rows[k].gone &&
				str_eq(str_of(rows[k].id, UUID_TEXT_LEN), left[i].id);
		EXPECT(found);
		EXPECT_INT(left[i].errors, 1);
		EXPECT_INT(left[i].lines, 1);
	}
	REQUIRE(db_all(&db, &orphans, NULL, &left, &count) == 0);
	EXPECT_INT(count, 0);
}

CLEANUP_TEST(what_is_kept_is_what_the_settings_say)
{
	int64_t now = clock_wall_us();
	uint64_t seed = 17;
	size_t jobs, gone = 0;

	for (size_t i = 0; i < ROWS; i++)
		rows[i].gone = false;
	make_rows(test, &seed, now);
	for (int queue = 0; queue < QUEUES; queue++) {
		struct keep keep = give_keep(test, queue_names[queue], &seed);

		for (int tenant = 0; tenant < TENANTS; tenant++)
			for (int state = JOB_COMPLETED; state < JOB_STATES; state++)
				model_clean(tenant, queue, (enum job_state)state, keep, now);
	}
	for (size_t i = 0; i < ROWS; i++)
		gone += rows[i].gone;
	REQUIRE(gone > 0);
	REQUIRE(jobs_cleanup(test->store, &jobs) == 0);
	EXPECT_INT(jobs, gone);
	for (int tenant = 0; tenant < TENANTS; tenant++)
		compare_left(test, tenant);
	REQUIRE(jobs_cleanup(test->store, &jobs) == 0);
	EXPECT_INT(jobs, 0);
}
