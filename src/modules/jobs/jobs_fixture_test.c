/* Jobs as rows, for tests. */
#include "modules/jobs/jobs_fixture_test.h"

#include "base/embed.h"

#include <stdio.h>

EMBED_TEXT(jobs_test_sql, "src/modules/jobs/jobs.sql");
EMBED_TEXT(jobs_test_tenants_sql, "src/modules/tenants/tenants.sql");

struct number {
	int64_t count;
};

struct standing {
	struct str status;
};

struct move {
	struct str id;
	enum job_state state;
};

/* clang-format off */
static const struct schema number_schema = SCHEMA(number, "How many.", FIELD(number, count, "So many."));

static const struct schema standing_schema = SCHEMA(standing, "Whether a tenant is served.",
	FIELD(standing, status, "What it is."));

static const struct schema move_schema = SCHEMA(move, "A job that moves on.",
	FIELD(move, id, "Which.", .format = FORMAT_UUID),
	FIELD(move, state, "To what.", .choices = job_state_names));

static const struct schema give_schema = SCHEMA(queue_row, "Settings.",
	FIELD(queue_row, name, "Of which queue."),
	FIELD(queue_row, settings, "What.", RANGE(0, QUEUE_SETTINGS_BYTES)),
	FIELD(queue_row, paused, "Nothing starts."),
	FIELD(queue_row, updated_at, "When.", .format = FORMAT_DATE_TIME));

static const struct schema job_named_schema = SCHEMA(group_ref, "A job and a name.",
	FIELD(group_ref, queue, "The job.", .format = FORMAT_UUID),
	FIELD(group_ref, key, "The name."));

static const struct schema group_key_schema = SCHEMA(group_ref, "A group.",
	FIELD(group_ref, queue, "Of which queue."),
	FIELD(group_ref, key, "Which."));

static const struct schema group_seen_schema = SCHEMA(group_seen, "A group.",
	FIELD(group_seen, active, "Seats taken."),
	FIELD(group_seen, waiting, "Who wait."),
	FIELD(group_seen, halted, "Whether it is."),
	FIELD(group_seen, next_at, "When."));
/* clang-format on */

#define COUNT(what) .sql = "SELECT count(*) AS count FROM " what, .out = &number_schema

#define IN_STATE(state) "job WHERE tenant_id = :tenant AND state = '" state "'"

static const struct statement counts[] = {
	[COUNT_JOBS] = STATEMENT("test_jobs", COUNT("job WHERE tenant_id = :tenant")),
	[COUNT_WAITING] = STATEMENT("test_jobs_waiting",
		COUNT("job WHERE tenant_id = :tenant AND state IN ('scheduled', 'available', "
		      "'retryable')")),
	[COUNT_OPEN] = STATEMENT("test_jobs_open",
		COUNT("job WHERE tenant_id = :tenant AND state IN ('scheduled', 'available', "
		      "'retryable', 'running')")),
	[COUNT_SCHEDULED] = STATEMENT("test_jobs_scheduled", COUNT(IN_STATE("scheduled"))),
	[COUNT_RETRYABLE] = STATEMENT("test_jobs_retryable", COUNT(IN_STATE("retryable"))),
	[COUNT_COMPLETED] = STATEMENT("test_jobs_completed", COUNT(IN_STATE("completed"))),
	[COUNT_ERRORS] = STATEMENT("test_job_errors", COUNT("job_error WHERE tenant_id = :tenant")),
	[COUNT_BURNT] = STATEMENT("test_job_burnt",
		COUNT("job_error WHERE tenant_id = :tenant AND message LIKE '%printer%'")),
	[COUNT_LINES] = STATEMENT("test_job_lines", COUNT("job_line WHERE tenant_id = :tenant")),
	[COUNT_GROUPS] = STATEMENT("test_job_groups", COUNT("job_group WHERE tenant_id = :tenant")),
	[COUNT_KEYS] = STATEMENT("test_job_keys", COUNT("job_unique WHERE tenant_id = :tenant")),
};

static const struct statement move = STATEMENT("test_job_move",
	.sql = "UPDATE main.job SET state = :state WHERE tenant_id = :tenant AND id = :id",
	.in = &move_schema, .expect = EXPECT_ONE);

static const struct statement rename_job = STATEMENT("test_job_rename",
	.sql = "UPDATE main.job SET name = :key WHERE tenant_id = :tenant AND id = :queue",
	.in = &job_named_schema, .expect = EXPECT_ONE);

static const struct statement count_in = STATEMENT("test_jobs_in",
	.sql = "SELECT count(*) AS count FROM job WHERE tenant_id = :tenant AND state = :state",
	.in = &move_schema, .out = &number_schema);

static const struct statement give = STATEMENT("test_job_queue_give",
	.sql = "INSERT INTO main.job_queue (name, settings, paused, version, updated_at) "
	       "VALUES (:name, :settings, :paused, 1, :updated_at) "
	       "ON CONFLICT (name) DO UPDATE SET settings = excluded.settings, "
	       "paused = excluded.paused",
	.in = &give_schema, .flags = STATEMENT_SYSTEM);

static const struct statement pause_queue = STATEMENT("test_job_pause",
	.sql = "INSERT INTO main.job_pause (tenant_id, queue, at) VALUES (:tenant, :queue, :now)",
	.in = &group_key_schema);

static const struct statement set_tenant = STATEMENT("test_job_tenant",
	.sql = "INSERT INTO main.tenant (tenant_id, slug, name, tier, status, settings, limits, "
	       "version, created_at, updated_at) VALUES (:tenant, 'some', 'Some', 'free', :status, "
	       "'{}', '{}', 1, :now, :now) "
	       "ON CONFLICT (tenant_id) DO UPDATE SET status = excluded.status",
	.in = &standing_schema);

static const struct statement group_seen = STATEMENT("test_job_group_seen",
	.sql = "SELECT active, waiting, halted, next_at FROM job_group "
	       "WHERE tenant_id = :tenant AND queue = :queue AND key = :key",
	.in = &group_key_schema, .out = &group_seen_schema);

static const struct statement *const statements[] = { &counts[0], &counts[1], &counts[2],
	&counts[3], &counts[4], &counts[5], &counts[6], &counts[7], &counts[8], &counts[9],
	&counts[10], &move, &rename_job, &give, &pause_queue, &set_tenant, &count_in, &group_seen };

/* --- up and down ---------------------------------------------------------------------------- */

static void registered(struct store *store)
{
	REQUIRE(jobs_register(store) == 0);
	REQUIRE(store_register(store, job_add_test_statements.at, job_add_test_statements.count) ==
		0);
	REQUIRE(store_register(store, job_law_test_statements.at, job_law_test_statements.count) ==
		0);
	REQUIRE(jobs_memory_open(store) == 0);
	REQUIRE(schema_compile(&queue_settings_schema) == 0);
}

const struct module tenant_tables_module = {
	MODULE_HEAD,
	.name = "tenants",
	.migrations = jobs_test_tenants_sql,
};

struct store_test_module jobs_test_modules[] = {
	{ "tenants", jobs_test_tenants_sql },
	{ "jobs", jobs_test_sql, statements, LEN(statements), .registered = registered },
	{ NULL }, /* the test's own */
	{ NULL },
};

static void (*current)(struct store_test *);

static void run_body(struct store_test *test)
{
	current(test);
	jobs_memory_close(test->store);
}

void jobs_test_with(const struct statement *const *more, size_t count)
{
	jobs_test_modules[2] = (struct store_test_module){ "test", NULL, more, count };
}

void jobs_test_run(enum engine_kind engine, void (*body)(struct store_test *))
{
	current = body;
	store_test_run(engine, jobs_test_modules, NULL, run_body);
}

/* --- jobs ---------------------------------------------------------------------------------------
 */

struct trial {
	const struct job_new *job;
	struct job_added *ret;
};

static int try_in_tx(struct tx *tx, void *arg)
{
	const struct trial *trial = arg;

	return tx_enqueue(tx, trial->job, trial->ret);
}

int job_try(const struct db *db, const struct job_new *job, struct job_added *ret)
{
	struct trial trial = { job, ret };

	return db_write_with(db, &jobs_adding, try_in_tx, &trial);
}

static struct str id_text(const struct db *db, const struct uuid *id)
{
	char *text = arena_alloc(db->arena, UUID_TEXT_LEN);

	REQUIRE(text);
	uuid_write(text, id);
	return str_of(text, UUID_TEXT_LEN);
}

struct str job_put(const struct db *db, const struct job_new *job)
{
	struct job_added added = { 0 };

	REQUIRE(job_try(db, job, &added) == 0);
	return id_text(db, &added.id);
}

struct job_shown job_look(const struct db *db, struct str id)
{
	struct job_shown job = { 0 };

	REQUIRE(db_one(db, &job_get, &(struct job_ref){ id }, &job) == 0);
	return job;
}

int64_t jobs_count(const struct db *db, enum jobs_count what)
{
	struct number number = { 0 };

	REQUIRE(db_one(db, &counts[what], NULL, &number) == 0);
	return number.count;
}

int64_t jobs_in(const struct db *db, enum job_state state)
{
	struct number number = { 0 };

	REQUIRE(db_one(db, &count_in, &(struct move){ .state = state }, &number) == 0);
	return number.count;
}

void job_move(const struct db *db, struct str id, enum job_state state)
{
	REQUIRE(db_exec(db, &move, &(struct move){ id, state }) == 0);
}

void job_rename(const struct db *db, struct str id, const char *name)
{
	REQUIRE(db_exec(db, &rename_job, &(struct group_ref){ id, str_from_c(name) }) == 0);
}

struct group_seen group_look(const struct db *db, const char *queue, const char *key)
{
	const struct group_ref group = { str_from_c(queue), str_from_c(key) };
	struct group_seen seen = { 0 };
	int r = db_one(db, &group_seen, &group, &seen);

	REQUIRE(r == 0 || r == -ERR_NOT_FOUND);
	return seen;
}

void queue_give(struct store_test *test, const char *queue, const char *settings)
{
	static const char *const needed[] = { "backoff", "completed", "discarded", "cancelled" };
	struct db db = db_of_system(test->store, &test->arena);
	struct str text = arena_printf(&test->arena, "{%s", settings);
	struct queue_row row = { .name = str_from_c(queue) };

	for (size_t i = 0; i < LEN(needed); i++) {
		struct str member = arena_printf(&test->arena, "\"%s\":", needed[i]);

		if (str_find(text, member) < 0)
			text = arena_printf(&test->arena, "%.*s%s%.*s{}", STR_ARG(text),
				text.len > 1 ? "," : "", STR_ARG(member));
	}
	row.settings.json = arena_printf(&test->arena, "%.*s}", STR_ARG(text));
	REQUIRE(row.settings.json.at);
	row.paused = str_find(row.settings.json, S("\"paused\":true")) >= 0;
	REQUIRE(db_exec(&db, &give, &row) == 0);
	REQUIRE(queues_load(test->store, &test->arena) == 0);
}

void tenant_pause(const struct db *db, const char *queue)
{
	REQUIRE(db_exec(db, &pause_queue, &(struct group_ref){ .queue = str_from_c(queue) }) == 0);
}

static int set_tenant_in_tx(struct tx *tx, void *arg)
{
	struct standing standing = { str_from_c(arg) };
	int r = tx_exec(tx, &set_tenant, &standing);

	return r < 0 ? r : tx_notice(tx, S("tenant"), S("self"));
}

void tenant_is(const struct db *db, const char *status)
{
	REQUIRE(db_write(db, set_tenant_in_tx, (void *)status) == 0);
}
