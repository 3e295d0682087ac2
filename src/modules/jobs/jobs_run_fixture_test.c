/* Taking and ending jobs, for tests. */
#include "modules/jobs/jobs_run_fixture_test.h"

#include "base/err.h"
#include "observe/clock.h"

struct take taker(const char *queue, size_t max)
{
	struct take take = {
		.queue = str_from_c(queue),
		.lease = { .tenant = tenant_system,
			.kind = LEASE_CALL,
			.worker = S("tester"),
			.lease_us = 4000000 },
		.max = max,
	};

	uuid_v7(&take.lease.id, clock_wall_us());
	return take;
}

struct hauling {
	struct take *take;
	struct haul *ret;
};

static int haul_in_tx(struct tx *tx, void *arg)
{
	struct hauling *hauling = arg;

	return jobs_take_in_tx(
		tx, hauling->take, &hauling->ret->at, &hauling->ret->count, &hauling->ret->next_us);
}

struct haul haul_in(struct store_test *test, struct arena *arena, struct take *take)
{
	struct db db = db_of_system(test->store, arena);
	struct haul haul = { NULL };
	struct hauling hauling = { take, &haul };

	REQUIRE(db_write_with(&db, &jobs_taking, haul_in_tx, &hauling) == 0);
	take->lease_opened |= haul.count > 0;
	return haul;
}

struct haul haul(struct store_test *test, struct take *take)
{
	return haul_in(test, &test->arena, take);
}

struct job_end end_of(const struct take *take, const struct taken *taken, enum end_kind kind)
{
	static char leases[8][UUID_TEXT_LEN];
	static size_t next;
	char *lease = leases[next++ % LEN(leases)];

	uuid_write(lease, &take->lease.id);
	return (struct job_end){ .id = taken->id,
		.lease_id = str_of(lease, UUID_TEXT_LEN),
		.attempt = taken->attempt,
		.kind = kind,
		.message = S("no luck") };
}

struct batch {
	struct job_end *ends;
	size_t count;
};

static int end_in_tx(struct tx *tx, void *arg)
{
	struct batch *batch = arg;

	return jobs_end_in_tx(tx, batch->ends, batch->count);
}

int end_all(const struct db *db, struct job_end *ends, size_t count)
{
	struct batch batch = { ends, count };

	return db_write_with(db, &jobs_ending, end_in_tx, &batch);
}

int end_one(struct store_test *test, const struct take *take, const struct taken *taken,
	enum end_kind kind)
{
	struct job_end end = end_of(take, taken, kind);
	struct uuid tenant;
	struct db db;

	REQUIRE(uuid_parse(taken->tenant_id, &tenant));
	db = db_of(test->store, &tenant, &test->arena);
	REQUIRE(end_all(&db, &end, 1) == 0);
	return end.result_code;
}

struct cancelling {
	struct str id;
	enum job_state *ret;
};

static int cancel_in_tx(struct tx *tx, void *arg)
{
	const struct cancelling *cancelling = arg;

	return job_cancel_in_tx(tx, cancelling->id, cancelling->ret);
}

int job_cancel(const struct db *db, struct str id, enum job_state *ret)
{
	struct cancelling cancelling = { id, ret };

	return db_write(db, cancel_in_tx, &cancelling);
}

size_t promote(struct store_test *test)
{
	size_t count = 0;
	int64_t next_us;

	REQUIRE(jobs_promote(test->store, &test->arena, &count, &next_us) == 0);
	return count;
}
