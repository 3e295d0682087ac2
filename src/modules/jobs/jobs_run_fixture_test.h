/* Taking and ending jobs, for tests. */
#ifndef JOBS_RUN_FIXTURE_TEST_H
#define JOBS_RUN_FIXTURE_TEST_H

#include "modules/jobs/jobs_fixture_test.h"
#include "modules/jobs/jobs_run.h"

/* What a take gave. */
struct haul {
	struct taken *at;
	size_t count;
	int64_t next_us;
};

/* Someone who takes from a queue, for all tenants, with a lease of its own. */
struct take taker(const char *queue, size_t max);

/* Takes; in the test's arena. */
struct haul haul(struct store_test *test, struct take *take);

/* The same in another arena. */
struct haul haul_in(struct store_test *test, struct arena *arena, struct take *take);

/* The end of a start. */
struct job_end end_of(const struct take *take, const struct taken *taken, enum end_kind kind);

/* Ends in a transaction of the tenant; 0 or the error. */
int end_all(const struct db *db, struct job_end *ends, size_t count);

/* Ends one start; its result_code. REQUIREs that the transaction commits. */
int end_one(struct store_test *test, const struct take *take, const struct taken *taken,
	enum end_kind kind);

/* Cancels in a transaction of its own. */
int job_cancel(const struct db *db, struct str id, enum job_state *ret);

/* Makes due jobs available; how many. */
size_t promote(struct store_test *test);

#endif
