/* A module of one table, and stores on PostgreSQL that tests set up as they need them: on servers
 * of their own, with several workers. */
#ifndef STORE_PG_FIXTURE_TEST_H
#define STORE_PG_FIXTURE_TEST_H

#include "store/pg.h"
#include "store/pg_server_test.h"
#include "store/store_internal.h"
#include "store/store_test.h"

struct thing {
	struct str id;
	struct str name;
	int64_t amount;
	struct opt_str parent;
};

struct total {
	int64_t count, sum;
};

/* What a tenant has, what a system handle sees. */
extern const struct statement thing_add, thing_get, thing_set, thing_rename, thing_list,
	thing_total, thing_total_of_all, thing_drop;

/* The same without a name, planned each time or once. */
extern const struct statement thing_add_bare, thing_add_planned;

extern const struct store_test_module thing_modules[];

/* A new id, in the arena. */
struct str thing_id(struct arena *arena);

/* A store and workers. Times out with the test. */
struct pg_bench {
	struct store *store;
	struct worker workers[4];
	size_t worker_count;
	int (*body)(struct pg_bench *, unsigned worker);
};

/* Migrates the database of the owner's URL for the login of options->url, and opens it. */
void pg_bench_open(
	struct pg_bench *bench, const struct store_options *options, struct str owner_url);

/* Runs the body in a fiber of each of so many workers, and waits until all have ended. */
void pg_bench_run(
	struct pg_bench *bench, size_t workers, int (*body)(struct pg_bench *, unsigned worker));

void pg_bench_close(struct pg_bench *bench);

#endif
