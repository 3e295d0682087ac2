/*
 * What was counted, read by every instance each second: kept in memory for health and whoever asks,
 * and told as metrics. And who counts: one instance at a time, the others see its rows.
 */
#include "modules/jobs/jobs_census.h"

#include "base/err.h"
#include "modules/jobs/jobs_counts.h"
#include "observe/clock.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

struct round {
	struct str name;
	int64_t before;
};

/* What is read besides. */
struct worker_count {
	int64_t count;
	struct opt_i64 counted_at; /* where instances take turns */
};

struct sums_limit {
	int64_t limit;
};

/* clang-format off */
static const struct schema sums_schema = SCHEMA(job_depth, "How many jobs a queue has.",
	FIELD(job_depth, queue, "Which."),
	FIELD(job_depth, ready, "That may start."),
	FIELD(job_depth, blocked, "Behind others of their group."),
	FIELD(job_depth, scheduled, "Whose time has not come."),
	FIELD(job_depth, retryable, "That have failed and come again."),
	FIELD(job_depth, waiting, "All of these."),
	FIELD(job_depth, running, "That run."),
	FIELD(job_depth, completed, "That went well."),
	FIELD(job_depth, discarded, "That were given up."),
	FIELD(job_depth, cancelled, "That were called off."),
	FIELD(job_depth, oldest_at, "Since when the next one waits.", .format = FORMAT_DATE_TIME),
	FIELD(job_depth, running_at, "When the oldest start was.", .format = FORMAT_DATE_TIME));

static const struct schema sums_limit_schema = SCHEMA(sums_limit, "How many queues.",
	FIELD(sums_limit, limit, "At most."));

static const struct schema round_schema = SCHEMA(round, "Work that one does for all.",
	FIELD(round, name, "Which."),
	FIELD(round, before, "When it was begun last.", .format = FORMAT_DATE_TIME));

static const struct schema worker_count_schema = SCHEMA(worker_count, "How many leases.",
	FIELD(worker_count, count, "So many."),
	FIELD(worker_count, counted_at, "When jobs were counted.", .format = FORMAT_DATE_TIME));
/* clang-format on */

#define SUM(column) "CAST(sum(" #column ") AS bigint) AS " #column

/* clang-format off */
static const struct statement census_sums = STATEMENT("job_census_sums",
	.sql = "SELECT queue, " SUM(ready) ", " SUM(blocked) ", " SUM(scheduled) ", " SUM(retryable) ", "
		SUM(waiting) ", " SUM(running) ", " SUM(completed) ", " SUM(discarded) ", " SUM(cancelled) ", "
		"min(oldest_at) AS oldest_at, min(running_at) AS running_at FROM main.job_depth "
		"GROUP BY queue ORDER BY queue LIMIT :limit",
	.in = &sums_limit_schema, .out = &sums_schema, .flags = STATEMENT_SYSTEM);
/* clang-format on */

static const struct statement census_workers =
	STATEMENT("job_census_workers", .sql = "SELECT count(*) AS count FROM main.job_lease",
		.out = &worker_count_schema, .flags = STATEMENT_SYSTEM);

/* A clock that was ahead must not keep others waiting until it comes true. */
static const struct statement round_begin = STATEMENT("job_round_begin",
	.sql = "INSERT INTO main.job_round AS r (name, begun_at) VALUES (:name, :now) "
	       "ON CONFLICT (name) DO UPDATE SET begun_at = excluded.begun_at "
	       "WHERE r.begun_at <= :before OR r.begun_at > :now",
	.in = &round_schema, .flags = STATEMENT_SYSTEM);

const struct job_statements job_census_read_statements =
	JOB_STATEMENTS(&census_sums, &census_workers, &round_begin, &job_tally_add);

/* --- in memory ------------------------------------------------------------------------------ */

struct census {
	struct job_depth sums[CENSUS_QUEUES];
	char names[CENSUS_QUEUES][JOB_QUEUE_MAX];
	size_t count;
};

static struct census census;
static _Atomic int64_t counted_us;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void take_over(const struct job_depth *sums, size_t count)
{
	CHECK(pthread_mutex_lock(&lock) == 0);
	census.count = 0;
	for (size_t i = 0; i < count && i < CENSUS_QUEUES; i++) {
		struct job_depth *depth = &census.sums[census.count];
		char *name = census.names[census.count];

		if (sums[i].queue.len > JOB_QUEUE_MAX)
			continue;
		memcpy(name, sums[i].queue.at, sums[i].queue.len);
		*depth = sums[i];
		depth->queue = str_of(name, sums[i].queue.len);
		depth->tenant_id = str_of(NULL, 0);
		census.count++;
	}
	CHECK(pthread_mutex_unlock(&lock) == 0);
}

int64_t census_counted_us(void)
{
	return atomic_load(&counted_us);
}

void census_each(void (*fn)(const struct job_depth *sums, void *arg), void *arg)
{
	CHECK(pthread_mutex_lock(&lock) == 0);
	for (size_t i = 0; i < census.count; i++)
		fn(&census.sums[i], arg);
	CHECK(pthread_mutex_unlock(&lock) == 0);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void tell_gauges(const struct job_depth *sums, size_t count, int64_t workers)
{
	int64_t now = clock_wall_us();

	job_gauges_begin();
	for (size_t i = 0; i < count; i++) {
		const struct job_depth *sum = &sums[i];
		const struct job_gauges gauges = {
			.ready = sum->ready,
			.blocked = sum->blocked,
			.scheduled = sum->scheduled,
			.retryable = sum->retryable,
			.running = sum->running,
			.completed = sum->completed,
			.discarded = sum->discarded,
			.cancelled = sum->cancelled,
			.oldest_us = sum->oldest_at.set ? MAX(now - sum->oldest_at.value, 0) : 0,
		};

		job_gauge(sum->queue, &gauges);
	}
	job_gauges_end(workers);
}

static int read_sums(struct store *store, struct arena *arena)
{
	static const struct sums_limit some = { CENSUS_QUEUES };
	struct db db = db_of_system(store, arena);
	struct worker_count workers = { 0 };
	struct job_depth *sums = NULL;
	size_t count = 0;
	int r = db_all(&db, &census_sums, &some, &sums, &count);

	if (r == 0)
		r = db_one(&db, &census_workers, NULL, &workers);
	if (r < 0)
		return r;
	take_over(sums, count);
	if (workers.counted_at.set)
		atomic_store(&counted_us, workers.counted_at.value);
	tell_gauges(sums, count, workers.count);
	return 0;
}

int census_read(struct store *store)
{
	struct arena arena;
	int r;

	arena_init(&arena, 64 * KILOBYTE, 4 * MEGABYTE);
	r = read_sums(store, &arena);
	arena_done(&arena);
	return r;
}

/* --- turns ----------------------------------------------------------------------------- */

static const struct {
	const char *name;
	uint64_t every_ns;
} parts[CENSUS_PARTS] = {
	[CENSUS_LIVE] = { "census.live", SECOND },
	[CENSUS_LATER] = { "census.later", 5 * SECOND },
	[CENSUS_ENDED] = { "census.ended", MINUTE },
};

/* A count may take this part of the time. */
enum { SHARE = 20 };

/* When a part is due again, by the clock that never goes back. Of the one fiber that takes turns.
 */
static uint64_t due_ns[CENSUS_PARTS];

void census_forget(void)
{
	memset(due_ns, 0, sizeof(due_ns));
	atomic_store(&counted_us, 0);
	take_over(NULL, 0);
}

struct round_wanted {
	struct str name;
	int64_t every_us;
};

static int begin_in_tx(struct tx *tx, void *arg)
{
	const struct round_wanted *wanted = arg;
	struct round at = { wanted->name, tx_now_us(tx) - wanted->every_us };
	size_t changed;
	int r = tx_change(tx, &round_begin, &at, &changed);

	return r < 0 ? r : changed ? 0 : -ERR_NOT_FOUND;
}

int round_take(const struct db *system, struct str name, int64_t every_us)
{
	static const struct tx_options how = { "job_round", .durability = TX_SOFT,
		.isolation = TX_READ_COMMITTED };
	struct round_wanted round = { name, every_us };
	int r = store_is_sqlite(system->store) ? 0
					       : db_write_with(system, &how, begin_in_tx, &round);

	return r == 0 ? 1 : r == -ERR_NOT_FOUND ? 0 : r;
}

/* The parts whose time has come, and which nobody else has counted. */
static int take_parts(struct store *store, unsigned *ret)
{
	struct arena arena;
	struct db db;
	int r = 0;

	arena_init(&arena, KILOBYTE, 64 * KILOBYTE);
	db = db_of_system(store, &arena);
	*ret = 0;
	for (size_t i = 0; i < CENSUS_PARTS && r >= 0; i++) {
		int64_t every = (int64_t)(parts[i].every_ns / MICROSECOND);

		if (clock_now_ns() < due_ns[i])
			continue;
		/* a little less, since turns are not taken to the moment */
		r = round_take(&db, str_from_c(parts[i].name), every - every / 10);
		if (r > 0)
			*ret |= 1U << i;
	}
	arena_done(&arena);
	return MIN(r, 0);
}

static int count_them(struct store *store, unsigned which)
{
	uint64_t begun = clock_now_ns(), took;
	int64_t begun_us = clock_wall_us();
	int r = census_count(store, which);

	if (r == 0 && which & 1U << CENSUS_LIVE)
		atomic_store(&counted_us, begun_us);
	took = clock_now_ns() - begun;
	for (size_t i = 0; i < CENSUS_PARTS; i++)
		if (which & 1U << i)
			due_ns[i] = begun +
				    MAX(parts[i].every_ns - parts[i].every_ns / 10, SHARE * took);
	return r;
}

int census_turn(struct store *store)
{
	unsigned which;
	int r = take_parts(store, &which);

	if (r == 0 && which)
		r = count_them(store, which);
	return r < 0 ? r : census_read(store);
}
