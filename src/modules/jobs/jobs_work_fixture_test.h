/*
 * This program at work, for tests: kinds of jobs whose handlers count, and a start of all that
 * works. Each test has a process of its own, so what is counted begins at zero.
 *
 *     JOBS_TEST(a_job_is_done)
 *     {
 *             work_begin(test, &work_all);
 *             work_add(test, 1, "test:plain", 1);
 *             EXPECT(work_holds(test, work_none_waits));
 *             jobs_stop();
 *             EXPECT_INT(atomic_load(&work_runs), 1);
 *     }
 */
#ifndef JOBS_WORK_FIXTURE_TEST_H
#define JOBS_WORK_FIXTURE_TEST_H

#include "modules/jobs/jobs_fixture_test.h"
#include "modules/jobs/jobs_work.h"

#include "http/server.h"

#include <stdatomic.h>

/*
 * The kinds: "test:plain" (queue plain), "test:slow" (20 ms, queue slow), "test:number" (with
 * work_number_schema; adds to work_sum), "test:wait" (until work_gate is open, queue wait),
 * "test:timeout" (the same, for 100 ms and once), "test:fail" (but at the last attempt),
 * "test:snooze" (the first time), "test:discard", and "test:outside" without a handler.
 */
struct work_number {
	int64_t number;
};
extern const struct schema work_number_schema;

extern atomic_int work_runs;    /* handlers that have returned */
extern atomic_int work_at_once; /* of those who wait at the gate, */
extern atomic_int work_most_at_once;
extern atomic_int work_gate; /* not 0: open */
extern int64_t work_sum;

extern struct server work_server;
extern const struct jobs_options work_all; /* works and schedules, and stops within a second */

/* Declares the kinds, and starts. Ended by jobs_stop(). */
void work_begin(struct store_test *test, const struct jobs_options *options);

/* Waits until a condition holds of tenant 1, up to 20 s; what it looks at lies in the test's arena.
 * Goes by the monotonic clock, also where the wall clock is a test's. */
bool work_holds(struct store_test *test, bool (*condition)(const struct db *db));

bool work_none_waits(const struct db *db); /* nor runs; tenants 1 and 2 */
bool work_one_runs(const struct db *db);   /* one is at the gate */

struct job_new work_one(const char *name);

/* Adds so many to a tenant. */
void work_add(struct store_test *test, unsigned tenant, const char *name, size_t count);

#endif
