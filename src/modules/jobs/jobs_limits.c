/*
 * What a queue allows to start. Running jobs are counted where they stand, by their index, so that
 * there is no counter to drift; rates are a time each. Whoever looks at either holds the lock of
 * the queue until the commit (on SQLite there is one writer anyway); queues without a bound have no
 * lock.
 */
#include "modules/jobs/jobs_run.h"

#include "base/hash.h"

/* --- statements ------------------------------------------------------------------------- */

struct limit_lock {
	int64_t key;
};

struct limit_locked {
	struct str locked;
};

struct limit_of {
	struct str queue;
	int64_t bound;
};

struct limit_seen {
	int64_t running;
	struct opt_i64 next_at;
};

struct limit_rate {
	struct str queue;
	int64_t next_at;
};

/* clang-format off */
static const struct schema limit_lock_schema = SCHEMA(limit_lock, "A lock.",
	FIELD(limit_lock, key, "Which."));

static const struct schema limit_locked_schema = SCHEMA(limit_locked, "A lock that is held.",
	FIELD(limit_locked, locked, "Nothing to know."));

static const struct schema limit_of_schema = SCHEMA(limit_of, "A queue with a bound.",
	FIELD(limit_of, queue, "Which."),
	FIELD(limit_of, bound, "How many may run; so many are counted."));

static const struct schema limit_seen_schema = SCHEMA(limit_seen, "What a queue does now.",
	FIELD(limit_seen, running, "Jobs that run."),
	FIELD(limit_seen, next_at, "Of its rate."));

static const struct schema limit_rate_schema = SCHEMA(limit_rate, "The rate of a queue.",
	FIELD(limit_rate, queue, "Which."),
	FIELD(limit_rate, next_at, "When the next one would be on time."));
/* clang-format on */

/* SQLite has one writer, and so nothing to lock. */
static const struct statement limit_lock =
	STATEMENT("job_limit_lock", .sqlite = "SELECT CAST(:key AS text) AS locked",
		.postgres = "SELECT pg_advisory_xact_lock(:key)::text AS locked",
		.in = &limit_lock_schema, .out = &limit_locked_schema, .flags = STATEMENT_SYSTEM);

static const struct statement limit_see = STATEMENT("job_limit_see",
	.sql = "SELECT (SELECT count(*) FROM (SELECT 1 AS one FROM main.job AS j "
	       "WHERE j.queue = :queue AND j.state = 'running' LIMIT :bound) AS x) AS running, "
	       "(SELECT r.next_at FROM main.job_rate AS r WHERE r.tenant_id = :tenant "
	       "AND r.queue = :queue) AS next_at",
	.in = &limit_of_schema, .out = &limit_seen_schema, .flags = STATEMENT_SYSTEM);

static const struct statement limit_rate_get = STATEMENT("job_limit_rate_get",
	.sql = "SELECT queue, next_at FROM job_rate WHERE tenant_id = :tenant AND queue = :queue",
	.in = &limit_rate_schema, .out = &limit_rate_schema);

static const struct statement limit_rate_set = STATEMENT("job_limit_rate_set",
	.sql = "INSERT INTO main.job_rate (tenant_id, queue, next_at) "
	       "VALUES (:tenant, :queue, :next_at) "
	       "ON CONFLICT (tenant_id, queue) DO UPDATE SET next_at = excluded.next_at",
	.in = &limit_rate_schema);

const struct job_statements job_limit_statements =
	JOB_STATEMENTS(&limit_lock, &limit_see, &limit_rate_get, &limit_rate_set);

/* --- of the queue ------------------------------------------------------------------------- */

/* The same in every instance; two queues that share one only wait for each other. */
static int64_t lock_key(struct str queue)
{
	static const struct hash_key key = { UINT64_C(0x6a6f62732e717565),
		UINT64_C(0x75652e6c696d6974) };

	return (int64_t)(hash_keyed(key, queue) >> 1);
}

static void note_again(struct limits *limits, int64_t at)
{
	if (!limits->again_us || at < limits->again_us)
		limits->again_us = at;
}

static int look(struct tx *tx, struct limits *limits)
{
	const struct queue_settings *settings = &limits->settings;
	struct limit_of of = { limits->queue, settings->concurrency };
	struct limit_seen seen;
	int r = tx_one(tx, &limit_see, &of, &seen);

	if (r < 0)
		return r;
	if (settings->concurrency)
		limits->room = MIN(limits->room, MAX(settings->concurrency - seen.running, 0));
	if (settings->rate.count && limits->room > 0) {
		int64_t now = tx_now_us(tx), most = limits->room;

		limits->next_at = seen.next_at.value;
		limits->room = rate_room(&settings->rate, limits->next_at, now, most);
		if (limits->room < most)
			note_again(limits, rate_again(&settings->rate, limits->next_at, now));
	}
	return 0;
}

int limits_open_in_tx(struct tx *tx, struct str queue, int64_t most, struct limits *ret)
{
	struct limits limits = { .queue = queue, .room = most };
	const struct queue_settings *settings = &limits.settings;
	struct limit_lock lock = { lock_key(queue) };
	int r = 0;

	queue_settings(queue, &limits.settings);
	if (settings->paused)
		limits.room = 0;
	limits.bounded = settings->concurrency || settings->rate.count ||
			 settings->tenant_concurrency || settings->tenant_rate.count;
	if (limits.room > 0 && limits.bounded)
		r = tx_exec(tx, &limit_lock, &lock);
	if (r == 0 && limits.room > 0 && (settings->concurrency || settings->rate.count))
		r = look(tx, &limits);
	if (r == 0)
		*ret = limits;
	return r;
}

/* --- rates ------------------------------------------------------------------------------------ */

static int spend(struct tx *tx, const struct limits *limits, const struct queue_rate *rate,
	int64_t next_at, int64_t count)
{
	struct limit_rate row = { .queue = limits->queue };

	if (!rate->count || !count)
		return 0;
	row.next_at = rate_spend(rate, next_at, tx_now_us(tx), count);
	return tx_exec(tx, &limit_rate_set, &row);
}

/* The installation's own jobs are no tenant's, and their row is that of the queue. */
static const struct queue_rate *tenant_rate(struct tx *tx, const struct limits *limits)
{
	static const struct queue_rate none;

	return uuid_cmp(tx_tenant(tx), &tenant_system) == 0 ? &none : &limits->settings.tenant_rate;
}

int limits_tenant_in_tx(struct tx *tx, struct limits *limits, int64_t most, int64_t *ret)
{
	const struct queue_rate *rate = tenant_rate(tx, limits);
	struct limit_rate row = { limits->queue, 0 };
	int64_t room;
	int r;

	if (!rate->count) {
		*ret = most;
		return 0;
	}
	r = tx_one(tx, &limit_rate_get, &row, &row);
	if (r < 0 && r != -ERR_NOT_FOUND)
		return r;
	limits->tenant_at = row.next_at;
	room = rate_room(rate, row.next_at, tx_now_us(tx), most);
	if (room < most)
		note_again(limits, rate_again(rate, row.next_at, tx_now_us(tx)));
	*ret = room;
	return 0;
}

int limits_spend_tenant_in_tx(struct tx *tx, struct limits *limits, int64_t count)
{
	limits->spent += count;
	return spend(tx, limits, tenant_rate(tx, limits), limits->tenant_at, count);
}

int limits_spend_in_tx(struct tx *tx, struct limits *limits)
{
	int r;

	if (!limits->settings.rate.count || !limits->spent)
		return 0;
	r = tx_enter(tx, &tenant_system);
	if (r == 0)
		r = spend(tx, limits, &limits->settings.rate, limits->next_at, limits->spent);
	return r < 0 ? r : tx_leave(tx);
}
