/*
 * People who change jobs while workers take and end them, all at once: whoever is first, seats of
 * groups are taken by those who have them, a key belongs to the job that lives, and no job is lost.
 */
#include "base/err.h"
#include "modules/audit/audit.h"
#include "modules/jobs/jobs_admin_fixture_test.h"
#include "modules/jobs/jobs_change.h"
#include "modules/jobs/jobs_fixture_test.h"
#include "observe/clock.h"
#include "rest/idempotency.h"

enum { JOBS = 60, ROUNDS = 5, ROUNDS_LONG = 60 };

struct found {
	int64_t count;
};

/* clang-format off */
static const struct schema found_schema = SCHEMA(found, "How many.",
	FIELD(found, count, "So many."));
/* clang-format on */

#define LIVE  "state IN ('scheduled', 'available', 'running', 'retryable')"
#define COUNT .out = &found_schema, .sql = "SELECT count(*) AS count FROM "

static const struct statement jobs_in_all =
	STATEMENT("test_race_jobs", COUNT "job WHERE tenant_id = :tenant");

/* Groups whose numbers are not those of their jobs. */
static const struct statement wrong_groups = STATEMENT("test_race_groups",
	COUNT "job_group AS g WHERE g.tenant_id = :tenant AND (g.active > 1 OR g.active <> "
	      "(SELECT count(*) FROM job AS j WHERE j.tenant_id = :tenant AND j.queue = g.queue "
	      "AND j.group_key = g.key AND j.seated AND j." LIVE ") OR g.waiting <> "
	      "(SELECT count(*) FROM job AS j WHERE j.tenant_id = :tenant AND j.queue = g.queue "
	      "AND j.group_key = g.key AND j.blocked))");

/* Jobs that may start without a seat, or that wait although nobody has one. */
static const struct statement wrong_seats = STATEMENT("test_race_seats",
	COUNT "job AS j WHERE j.tenant_id = :tenant AND j.group_key IS NOT NULL "
	      "AND j.state IN ('available', 'running', 'retryable') "
	      "AND (j.seated = j.blocked OR NOT EXISTS (SELECT 1 FROM job_group AS g "
	      "WHERE g.tenant_id = :tenant AND g.queue = j.queue AND g.key = j.group_key))");

/* Live jobs whose key is somebody else's. */
static const struct statement wrong_keys = STATEMENT("test_race_keys",
	COUNT "job AS j WHERE j.tenant_id = :tenant AND j.unique_key IS NOT NULL AND j." LIVE
	      " AND NOT EXISTS (SELECT 1 FROM job_unique AS u WHERE u.tenant_id = :tenant "
	      "AND u.queue = j.queue AND u.key = j.unique_key AND u.job_id = j.id)");

static const struct statement *const race_statements[] = { &jobs_in_all, &wrong_groups,
	&wrong_seats, &wrong_keys };

static const struct module race_module = {
	MODULE_HEAD,
	.name = "jobs-race",
	.statements = race_statements,
	.statement_count = LEN(race_statements),
};

static const struct module *const race_world[] = { &rest_module, &audit_module,
	&tenant_tables_module, &jobs_module, &jobs_admin_module, &race_module, NULL };

/* --- actors ---------------------------------------------------------------------------------- */

struct actor {
	struct store *store;
	const struct uuid *tenant;
	struct arena arena;
	enum job_change change; /* JOB_CHANGES: a worker */
	enum job_state state;
	uint64_t random;
	int result;
};

static int change_all(struct actor *actor)
{
	static const struct audit_actor program = { .kind = AUDIT_PROGRAM };
	struct jobs_change_all all = { .change = actor->change, .most = JOBS };
	struct jobs_changed done;

	all.filter.state = (struct opt_int){ .set = true, .value = (int)actor->state };
	return jobs_change_all(actor->store, &actor->arena, actor->tenant, &program, &all, &done);
}

struct shift {
	struct take take;
	struct taken *at;
	struct job_end *ends;
	size_t count;
	int64_t next;
	const struct uuid *tenant;
};

static int take_in_tx(struct tx *tx, void *arg)
{
	struct shift *shift = arg;

	return jobs_take_in_tx(tx, &shift->take, &shift->at, &shift->count, &shift->next);
}

static int end_in_tx(struct tx *tx, void *arg)
{
	struct shift *shift = arg;
	int r = tx_enter(tx, shift->tenant);

	if (r == 0)
		r = jobs_end_in_tx(tx, shift->ends, shift->count);
	return r < 0 ? r : tx_leave(tx);
}

static int work(struct actor *actor)
{
	static const enum end_kind kinds[] = { END_COMPLETE, END_FAIL, END_RELEASE, END_DISCARD };
	struct db db = db_of_system(actor->store, &actor->arena);
	struct shift shift = { .tenant = actor->tenant };
	int r;

	shift.take = (struct take){ .queue = S("q"), .max = 10 };
	shift.take.lease = (struct lease){
		.tenant = tenant_system, .worker = S("racer"), .lease_us = 4000000
	};
	uuid_v7(&shift.take.lease.id, clock_wall_us());
	r = db_write_with(&db, &jobs_taking, take_in_tx, &shift);
	if (r < 0 || !shift.count)
		return r;
	shift.ends = arena_zalloc(&actor->arena, shift.count * sizeof(*shift.ends));
	REQUIRE(shift.ends);
	for (size_t i = 0; i < shift.count; i++)
		shift.ends[i] = (struct job_end){ .id = shift.at[i].id,
			.lease_id = uuid_text(&actor->arena, &shift.take.lease.id),
			.attempt = shift.at[i].attempt,
			.message = S("no luck"),
			.kind = kinds[test_random(&actor->random) % LEN(kinds)] };
	return db_write_with(&db, &jobs_ending, end_in_tx, &shift);
}

static int act(void *arg)
{
	struct actor *actor = arg;

	for (int i = 0; i < 4 && actor->result == 0; i++)
		actor->result = actor->change == JOB_CHANGES ? work(actor) : change_all(actor);
	return 0;
}

static const struct {
	enum job_change change;
	enum job_state state;
} parts[] = {
	{ JOB_RETRY, JOB_DISCARDED },
	{ JOB_RETRY, JOB_COMPLETED },
	{ JOB_RETRY, JOB_DISCARDED },
	{ JOB_CANCEL, JOB_AVAILABLE },
	{ JOB_PROMOTE, JOB_RETRYABLE },
	{ JOB_RETRY, JOB_CANCELLED },
	{ JOB_CHANGES },
	{ JOB_CHANGES },
};

static int race(const struct db *db, void *arg)
{
	uint64_t *random = arg;
	struct actor actors[LEN(parts)] = { 0 };
	struct scope scope;

	scope_open(&scope, TIME_NEVER);
	for (size_t i = 0; i < LEN(parts); i++) {
		actors[i] = (struct actor){ .store = db->store,
			.tenant = &db->tenant,
			.change = parts[i].change,
			.state = parts[i].state,
			.random = test_random(random) | 1 };
		arena_init(&actors[i].arena, 16 * KILOBYTE, 4 * MEGABYTE);
		REQUIRE(scope_spawn(&scope, act, &actors[i]) == 0);
	}
	REQUIRE(scope_close(&scope) == 0);
	for (size_t i = 0; i < LEN(parts); i++) {
		arena_done(&actors[i].arena);
		/* five conflicts in a row are told, not hidden */
		EXPECT(actors[i].result == 0 || actors[i].result == -ERR_UNAVAILABLE);
	}
	return 0;
}

/* --- what must hold ------------------------------------------------------------------------- */

static int64_t count(const struct db *db, const struct statement *what)
{
	struct found found = { -1 };

	REQUIRE(db_one(db, what, NULL, &found) == 0);
	return found.count;
}

static int check_laws(const struct db *db, void *arg)
{
	(void)arg;
	EXPECT_INT(count(db, &jobs_in_all), JOBS);
	EXPECT_INT(count(db, &wrong_groups), 0);
	EXPECT_INT(count(db, &wrong_seats), 0);
	EXPECT_INT(count(db, &wrong_keys), 0);
	return 0;
}

WORLD_TEST(jobs_are_changed_while_others_work, race_world)
{
	static const struct str groups[] = { S_INIT("g1"), S_INIT("g2"), { NULL, 0 } };
	char key[16];
	uint64_t random = 4711;

	for (int i = 0; i < JOBS; i++) {
		key[0] = (char)('a' + i / 4);
		(void)job_add(world, "ada",
			(struct job_new){ .name = S("test:race"),
				.queue = S("q"),
				.attempts = 1 + i % 2,
				.group_key = groups[i % 3],
				.unique_key = i % 4 ? str_of(NULL, 0) : str_of(key, 1) });
	}
	for (int round = 0; round < (test_long() ? ROUNDS_LONG : ROUNDS); round++) {
		world_do(world, "ada", race, &random);
		world_do(world, "ada", check_laws, NULL);
	}
}
