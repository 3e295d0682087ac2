/*
 * How many jobs of a tenant wait in a queue: what was counted a moment ago (main.job_depth), and
 * what was added here since. So an add is held against the bound without a count, and what is told
 * may be wrong by what other instances have added within the last second or two. In how many queues
 * of a tenant jobs wait is counted in the same way, so that no tenant makes new ones without end.
 */
#include "modules/jobs/jobs_adding.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "modules/jobs/jobs_census.h"
#include "observe/clock.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	DEPTHS_MAX = 16 * 1024, /* tenants and queues that are known at once */
	DEPTH_SLOTS = 2 * DEPTHS_MAX,
	ROWS_MAX = 10000, /* that are looked at, those with most jobs first */
	TICKS = 16,       /* of TICK_US: how far back it is known what was added by when */
};

#define TICK_US INT64_C(200000)

struct depth {
	struct uuid tenant;
	char queue[JOB_QUEUE_MAX];
	uint8_t queue_len;
	int64_t waiting;   /* as counted at `counted_at`, */
	int64_t base;      /* when so many had been added here */
	int64_t oldest_at; /* of the ready ones; 0: there are none */
	int64_t counted_at;
	int64_t added;       /* here, in all */
	int64_t tick;        /* number of the last one in `then` */
	int64_t then[TICKS]; /* `added` at the begin of each tick, by number modulo */
	uint64_t seen;       /* refresh that saw it counted */
	int64_t queues; /* of the one without a name: in so many others of the tenant jobs wait */
};

static struct {
	pthread_mutex_t lock;
	struct depth *at; /* DEPTHS_MAX of them */
	uint16_t *slots;  /* number + 1, or 0 */
	size_t count;
	uint64_t refreshes;
} depths = { .lock = PTHREAD_MUTEX_INITIALIZER };

_Static_assert(DEPTHS_MAX < UINT16_MAX, "fits");

/* --- in memory ------------------------------------------------------------------------------ */

static bool is_of(const struct depth *depth, const struct uuid *tenant, struct str queue)
{
	return uuid_cmp(&depth->tenant, tenant) == 0 &&
	       str_eq(str_of(depth->queue, depth->queue_len), queue);
}

static size_t slot_of(const struct uuid *tenant, struct str queue)
{
	char key[sizeof(tenant->bytes) + JOB_QUEUE_MAX];
	size_t len = MIN(queue.len, (size_t)JOB_QUEUE_MAX), at;

	memcpy(key, tenant->bytes, sizeof(tenant->bytes));
	memcpy(key + sizeof(tenant->bytes), queue.at, len);
	at = (size_t)hash_str(str_of(key, sizeof(tenant->bytes) + len)) % DEPTH_SLOTS;
	while (depths.slots[at] && !is_of(&depths.at[depths.slots[at] - 1], tenant, queue))
		at = (at + 1) % DEPTH_SLOTS;
	return at;
}

static struct depth *find(const struct uuid *tenant, struct str queue)
{
	size_t slot = slot_of(tenant, queue);

	return depths.slots[slot] ? &depths.at[depths.slots[slot] - 1] : NULL;
}

/* NULL when there are too many: then nobody counts for it. */
static struct depth *make(const struct uuid *tenant, struct str queue)
{
	size_t slot = slot_of(tenant, queue);
	struct depth *depth;

	if (depths.slots[slot])
		return &depths.at[depths.slots[slot] - 1];
	if (depths.count == DEPTHS_MAX || queue.len > JOB_QUEUE_MAX)
		return NULL;
	depth = &depths.at[depths.count++];
	*depth = (struct depth){ .tenant = *tenant, .queue_len = (uint8_t)queue.len };
	memcpy(depth->queue, queue.at, queue.len);
	depths.slots[slot] = (uint16_t)depths.count;
	return depth;
}

/* Notes what had been added when the ticks since the last one began. */
static void tick(struct depth *depth, int64_t now_us)
{
	int64_t number = now_us / TICK_US;

	if (number - depth->tick > TICKS || number < depth->tick)
		depth->tick = number - TICKS;
	while (depth->tick < number)
		depth->then[++depth->tick % TICKS] = depth->added;
}

/* What had been added here at that time, as far as that is known. */
static int64_t added_by(const struct depth *depth, int64_t at_us)
{
	int64_t number = at_us / TICK_US, first = depth->tick - TICKS + 1;

	if (number > depth->tick)
		return depth->added;
	return depth->then[MAX(number, first) % TICKS];
}

static int64_t waiting_of(const struct depth *depth)
{
	return depth->waiting + depth->added - depth->base;
}

/* Jobs wait in one queue more of the tenant. */
static void count_queue(const struct uuid *tenant)
{
	struct depth *own = make(tenant, S(""));

	if (own)
		own->queues++;
}

static int64_t queues_of(const struct uuid *tenant)
{
	const struct depth *own = find(tenant, S(""));

	return own ? own->queues : 0;
}

int depth_check(const struct uuid *tenant, struct str queue, const struct queue_settings *settings,
	const struct depth_more *more, int64_t now_us)
{
	const struct depth *depth;
	int64_t waiting = 0, oldest_at = 0, queues;

	pthread_mutex_lock(&depths.lock);
	depth = find(tenant, queue);
	if (depth) {
		waiting = waiting_of(depth);
		oldest_at = depth->oldest_at;
	}
	queues = queues_of(tenant) + (int64_t)more->queues;
	pthread_mutex_unlock(&depths.lock);

	if (waiting <= 0 && queues >= JOB_TENANT_QUEUES_MAX)
		return fail_field(ERR_TOO_MANY, "queue", "queues",
			"is one too many: jobs wait in %lld queues, and in at most %d they may",
			(long long)queues, JOB_TENANT_QUEUES_MAX);
	if (settings->backlog && waiting + (int64_t)more->count > settings->backlog)
		return fail_field(ERR_TOO_MANY, "queue", "backlog",
			"has %lld jobs waiting, and at most %lld may", (long long)waiting,
			(long long)settings->backlog);
	if (settings->backlog_age_ms && oldest_at &&
		(now_us - oldest_at) / 1000 > settings->backlog_age_ms)
		return fail_field(ERR_TOO_MANY, "queue", "backlog_age",
			"has a job that has been ready for %lld ms; nothing is added beyond %lld",
			(long long)((now_us - oldest_at) / 1000),
			(long long)settings->backlog_age_ms);
	return waiting <= 0;
}

void depth_add(const struct uuid *tenant, struct str queue, size_t count)
{
	int64_t now = clock_wall_us();
	struct depth *depth;

	pthread_mutex_lock(&depths.lock);
	depth = make(tenant, queue);
	if (depth) {
		if (count > 0 && waiting_of(depth) <= 0)
			count_queue(tenant);
		tick(depth, now);
		depth->added += (int64_t)count;
	}
	pthread_mutex_unlock(&depths.lock);
}

/* --- what was counted ----------------------------------------------------------------------- */

struct depth_limit {
	int64_t limit;
};

struct depth_row {
	struct str tenant_id, queue;
	int64_t waiting;
	struct opt_i64 oldest_at;
	int64_t counted_at;
};

/* clang-format off */
static const struct schema depth_limit_schema = SCHEMA(depth_limit, "How many rows.",
	FIELD(depth_limit, limit, "At most."));

static const struct schema depth_row_schema = SCHEMA(depth_row, "How many jobs wait.",
	FIELD(depth_row, tenant_id, "Whose.", .format = FORMAT_UUID),
	FIELD(depth_row, queue, "Where."),
	FIELD(depth_row, waiting, "How many."),
	FIELD(depth_row, oldest_at, "Since when the first one is ready."),
	FIELD(depth_row, counted_at, "When that was."));
/* clang-format on */

static const struct statement depth_rows = STATEMENT("job_depth_rows",
	.sql = "SELECT tenant_id, queue, waiting, oldest_at, counted_at FROM main.job_depth "
	       "ORDER BY waiting DESC LIMIT :limit",
	.in = &depth_limit_schema, .out = &depth_row_schema, .flags = STATEMENT_SYSTEM);

const struct job_statements job_depth_statements = JOB_STATEMENTS(&depth_rows);

static void take_row(const struct depth_row *row, int64_t counted_us, int64_t now_us)
{
	int64_t counted_at;
	struct uuid tenant;
	struct depth *depth =
		uuid_parse(row->tenant_id, &tenant) ? make(&tenant, row->queue) : NULL;

	if (!depth)
		return;
	tick(depth, now_us);
	depth->seen = depths.refreshes;
	depth->oldest_at = row->oldest_at.set ? row->oldest_at.value : 0;
	/* rows whose count is the same as before are not written again */
	counted_at = MAX(row->counted_at, counted_us);
	if (counted_at == depth->counted_at)
		return;
	depth->waiting = row->waiting;
	depth->counted_at = counted_at;
	depth->base = added_by(depth, counted_at);
}

/* What is not there any more was counted, too, and found empty. */
static void forget_unseen(int64_t now_us)
{
	for (size_t i = 0; i < depths.count; i++) {
		struct depth *depth = &depths.at[i];

		if (depth->seen == depths.refreshes)
			continue;
		tick(depth, now_us);
		depth->waiting = depth->oldest_at = depth->counted_at = 0;
		depth->base = added_by(depth, now_us - 2 * (int64_t)(SECOND / MICROSECOND));
	}
}

/* In how many queues of each tenant jobs wait, by what is known now. */
static void count_queues(void)
{
	size_t count = depths.count; /* what is made on the way has no jobs */

	for (size_t i = 0; i < count; i++)
		depths.at[i].queues = 0;
	for (size_t i = 0; i < count; i++)
		if (depths.at[i].queue_len && waiting_of(&depths.at[i]) > 0)
			count_queue(&depths.at[i].tenant);
}

/* When it is full, those of which nothing is known any more make room. */
static void make_room(void)
{
	size_t kept = 0;

	if (depths.count < DEPTHS_MAX)
		return;
	for (size_t i = 0; i < depths.count; i++)
		if (waiting_of(&depths.at[i]) > 0 || depths.at[i].queues > 0)
			depths.at[kept++] = depths.at[i];
	depths.count = kept;
	memset(depths.slots, 0, DEPTH_SLOTS * sizeof(*depths.slots));
	for (size_t i = 0; i < kept; i++) {
		const struct depth *depth = &depths.at[i];

		depths.slots[slot_of(&depth->tenant, str_of(depth->queue, depth->queue_len))] =
			(uint16_t)(i + 1);
	}
}

int depth_refresh(struct store *store, struct arena *arena)
{
	static const struct depth_limit all = { ROWS_MAX };
	struct db db = db_of_system(store, arena);
	int64_t now = clock_wall_us(), counted = census_counted_us();
	struct depth_row *rows;
	size_t count;
	int r = db_all(&db, &depth_rows, &all, &rows, &count);

	if (r < 0)
		return r;
	pthread_mutex_lock(&depths.lock);
	depths.refreshes++;
	for (size_t i = 0; i < count; i++)
		take_row(&rows[i], counted, now);
	forget_unseen(now);
	count_queues();
	make_room();
	pthread_mutex_unlock(&depths.lock);
	return 0;
}

int depth_open(struct store *store)
{
	(void)store;
	depths.at = mem_zalloc(DEPTHS_MAX * sizeof(*depths.at));
	depths.slots = mem_zalloc(DEPTH_SLOTS * sizeof(*depths.slots));
	if (depths.at && depths.slots)
		return 0;
	depth_close(store);
	return fail(ERR_NO_MEMORY, "no memory for the depths of queues");
}

void depth_close(struct store *store)
{
	(void)store;
	mem_free(depths.at, depths.at ? DEPTHS_MAX * sizeof(*depths.at) : 0);
	mem_free(depths.slots, depths.slots ? DEPTH_SLOTS * sizeof(*depths.slots) : 0);
	depths.at = NULL;
	depths.slots = NULL;
	depths.count = 0;
}
