/*
 * A store with the tables of jobs, for tests that work on rows, on both engines:
 *
 *     JOBS_TEST(job_is_added)
 *     {
 *             struct db db = store_test_tenant(test, 1);
 *             struct str id = job_put(&db, &(struct job_new){ .name = S("test:plain") });
 *             ...
 *     }
 */
#ifndef JOBS_FIXTURE_TEST_H
#define JOBS_FIXTURE_TEST_H

#include "http/module.h"
#include "modules/jobs/jobs_adding.h"
#include "store/store_test.h"

/* Statements of single tests. */
extern const struct job_statements job_add_test_statements, job_law_test_statements;
/* Statements of the test's own, before it is run. */
void jobs_test_with(const struct statement *const *more, size_t count);

/* The tables of tenants, without any other part of that module, for worlds with jobs_module. */
extern const struct module tenant_tables_module;

/* With the tables of jobs; for tests that open the store themselves. */
extern struct store_test_module jobs_test_modules[];

void jobs_test_run(enum engine_kind engine, void (*body)(struct store_test *));

#define JOBS_TEST(name_)                                                                           \
	static void jobs_test_##name_(struct store_test *test);                                    \
	TEST(name_##_sqlite)                                                                       \
	{                                                                                          \
		jobs_test_run(ENGINE_SQLITE, jobs_test_##name_);                                   \
	}                                                                                          \
	TEST(name_##_postgres)                                                                     \
	{                                                                                          \
		jobs_test_run(ENGINE_POSTGRES, jobs_test_##name_);                                 \
	}                                                                                          \
	static void jobs_test_##name_(struct store_test *test)

/* Adds a job in a transaction of its own; 0 or why not. */
int job_try(const struct db *db, const struct job_new *job, struct job_added *ret);

/* The same; REQUIREs that it is added, and gives its id, in the arena. */
struct str job_put(const struct db *db, const struct job_new *job);

/* A job as it is; REQUIREs that it is there. */
struct job_shown job_look(const struct db *db, struct str id);

/* How many rows there are. */
enum jobs_count {
	COUNT_JOBS,    /* of the tenant, in all states */
	COUNT_WAITING, /* scheduled, available, retryable */
	COUNT_OPEN,    /* those, and running */
	COUNT_SCHEDULED,
	COUNT_RETRYABLE,
	COUNT_COMPLETED,
	COUNT_ERRORS,
	COUNT_BURNT, /* errors that tell of a printer */
	COUNT_LINES,
	COUNT_GROUPS,
	COUNT_KEYS,
};
int64_t jobs_count(const struct db *db, enum jobs_count what);

/* How many jobs of the tenant are in a state. */
int64_t jobs_in(const struct db *db, enum job_state state);

/* Moves a job to a state, as a start or an end would, without leases: for what depends on it. */
void job_move(const struct db *db, struct str id, enum job_state state);

/* Gives it another name, which nobody has checked its payload for. */
void job_rename(const struct db *db, struct str id, const char *name);

/* Gives a queue settings of its own: members of queue_settings_schema, without the brackets. */
void queue_give(struct store_test *test, const char *queue, const char *settings);

/* Pauses a queue for the tenant. */
void tenant_pause(const struct db *db, const char *queue);

/* What the tenant is from now on: "active", "suspended" or "deleting". One that was never said to
 * be anything has no row, and jobs of such a tenant start. */
void tenant_is(const struct db *db, const char *status);

/* The group of a key as its row says; zero when there is none. */
struct group_seen {
	int64_t active, waiting;
	bool halted;
	int64_t next_at;
};
struct group_seen group_look(const struct db *db, const char *queue, const char *key);

#endif
