/*
 * Counting jobs. Each state has an index of its own to be counted from; what was counted is
 * compared with the rows that there are, and only differences are written. Of what is counted
 * seldom, the columns stay as they are meanwhile.
 */
#include "modules/jobs/jobs_census.h"

#include "base/buf.h"
#include "base/err.h"
#include "observe/clock.h"
#include "observe/log.h"

#include <stdlib.h>

enum { BATCH = 200 }; /* rows of one transaction */

/* --- statements ------------------------------------------------------------------------- */

/* clang-format off */
static const struct schema depth_schema = SCHEMA(job_depth, "How many jobs there are.",
	FIELD(job_depth, tenant_id, "Whose.", .format = FORMAT_UUID),
	FIELD(job_depth, queue, "Where."),
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
/* clang-format on */

static const struct statement count_ready = STATEMENT("job_count_ready",
	.sql = "SELECT g.tenant_id, g.queue, g.ready, (SELECT j.run_at FROM main.job AS j "
	       "WHERE j.state = 'available' AND NOT j.blocked AND j.queue = g.queue "
	       "AND j.tenant_id = g.tenant_id ORDER BY j.turn LIMIT 1) AS oldest_at "
	       "FROM (SELECT queue, tenant_id, count(*) AS ready FROM main.job "
	       "WHERE state = 'available' AND NOT blocked GROUP BY queue, tenant_id) AS g",
	.out = &depth_schema, .flags = STATEMENT_SYSTEM);

static const struct statement count_blocked = STATEMENT("job_count_blocked",
	.sql = "SELECT tenant_id, queue, count(*) AS blocked FROM main.job WHERE blocked "
	       "GROUP BY tenant_id, queue",
	.out = &depth_schema, .flags = STATEMENT_SYSTEM);

static const struct statement count_running = STATEMENT("job_count_running",
	.sql = "SELECT tenant_id, queue, count(*) AS running, min(started_at) AS running_at "
	       "FROM main.job WHERE state = 'running' GROUP BY queue, tenant_id",
	.out = &depth_schema, .flags = STATEMENT_SYSTEM);

/* The order and the limit, which is more than there can be, have SQLite read the index alone. */
static const struct statement count_later = STATEMENT("job_count_later",
	.sql = "SELECT tenant_id, queue, count(CASE WHEN state = 'scheduled' THEN 1 END) AS "
	       "scheduled, count(CASE WHEN state = 'retryable' THEN 1 END) AS retryable "
	       "FROM (SELECT tenant_id, queue, state FROM main.job "
	       "WHERE state IN ('scheduled', 'retryable') AND run_at > -1 ORDER BY run_at "
	       "LIMIT 1000000000) AS j GROUP BY tenant_id, queue",
	.out = &depth_schema, .flags = STATEMENT_SYSTEM);

static const struct statement count_ended = STATEMENT("job_count_ended",
	.sql = "SELECT tenant_id, queue, count(CASE WHEN state = 'completed' THEN 1 END) AS "
	       "completed, "
	       "count(CASE WHEN state = 'discarded' THEN 1 END) AS discarded, "
	       "count(CASE WHEN state = 'cancelled' THEN 1 END) AS cancelled FROM main.job "
	       "WHERE ended_at IS NOT NULL GROUP BY tenant_id, queue",
	.out = &depth_schema, .flags = STATEMENT_SYSTEM);

#define COLUMNS                                                                                    \
	"ready, blocked, scheduled, retryable, running, running_at, completed, discarded, "        \
	"cancelled, oldest_at"

static const struct statement depth_all = STATEMENT("job_depth_all",
	.sql = "SELECT tenant_id, queue, " COLUMNS " FROM main.job_depth", .out = &depth_schema,
	.flags = STATEMENT_SYSTEM);

static const struct statement depth_put = STATEMENT("job_depth_put",
	.sql = "INSERT INTO main.job_depth AS d (tenant_id, queue, waiting, counted_at, " COLUMNS
	       ") VALUES (:tenant_id, :queue, :waiting, :now, :ready, :blocked, :scheduled, "
	       ":retryable, :running, :running_at, :completed, :discarded, :cancelled, :oldest_at) "
	       "ON CONFLICT (tenant_id, queue) DO UPDATE SET waiting = excluded.waiting, "
	       "counted_at = excluded.counted_at, ready = excluded.ready, "
	       "blocked = excluded.blocked, scheduled = excluded.scheduled, "
	       "retryable = excluded.retryable, running = excluded.running, "
	       "running_at = excluded.running_at, completed = excluded.completed, "
	       "discarded = excluded.discarded, cancelled = excluded.cancelled, "
	       "oldest_at = excluded.oldest_at",
	.in = &depth_schema, .flags = STATEMENT_SYSTEM);

static const struct statement depth_drop = STATEMENT("job_depth_drop",
	.sql = "DELETE FROM main.job_depth WHERE tenant_id = :tenant_id AND queue = :queue",
	.in = &depth_schema, .flags = STATEMENT_SYSTEM);

/* --- gathering ------------------------------------------------------------------------------ */

/* A row of a count, or of the table. */
struct entry {
	struct job_depth depth;
	bool stored;
};

/* Rows of all statements, one behind the other; their texts in an arena of its own. */
struct gathering {
	struct buf entries;
	struct arena arena;
	struct str queue, tenant; /* those of the row before, which are often the same */
	bool stored;              /* what is gathered now */
};

static void gathering_open(struct gathering *gathering)
{
	*gathering = (struct gathering){ 0 };
	buf_init(&gathering->entries, 2 * CENSUS_ENTRIES * sizeof(struct entry));
	arena_init(&gathering->arena, 64 * KILOBYTE, 64 * MEGABYTE);
}

static void gathering_done(struct gathering *gathering)
{
	buf_done(&gathering->entries);
	arena_done(&gathering->arena);
}

/* A copy that lasts. */
static bool keep(struct gathering *gathering, struct str *last, struct str *text)
{
	if (!last->at || !str_eq(*last, *text))
		*last = arena_str(&gathering->arena, *text);
	*text = *last;
	return last->at != NULL;
}

static int take_row(void *row, void *arg)
{
	struct gathering *gathering = arg;
	struct entry entry = { .depth = *(struct job_depth *)row, .stored = gathering->stored };

	if (!keep(gathering, &gathering->queue, &entry.depth.queue) ||
		!keep(gathering, &gathering->tenant, &entry.depth.tenant_id))
		return -(int)err_last()->code;
	buf_append(&gathering->entries, str_of((const char *)&entry, sizeof(entry)));
	return gathering->entries.failed;
}

struct look {
	struct gathering *gathering;
	const struct statement *statement;
	size_t from; /* bytes of entries before it; a look may be repeated */
};

static int look_in_tx(struct tx *tx, void *arg)
{
	struct look *look = arg;
	struct job_depth row;

	look->gathering->entries.len = look->from;
	return tx_each(tx, look->statement, NULL, &row, take_row, look->gathering);
}

static int gather(const struct db *db, struct gathering *gathering,
	const struct statement *statement, bool stored)
{
	struct look look = { gathering, statement, gathering->entries.len };

	gathering->stored = stored;
	return db_read(db, look_in_tx, &look);
}

/* --- comparing ---------------------------------------------------------------------------- */

static int order(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int r = str_cmp(x->depth.tenant_id, y->depth.tenant_id);

	return r ? r : str_cmp(x->depth.queue, y->depth.queue);
}

static void add(struct job_depth *to, const struct job_depth *more)
{
	to->ready += more->ready;
	to->blocked += more->blocked;
	to->scheduled += more->scheduled;
	to->retryable += more->retryable;
	to->running += more->running;
	to->completed += more->completed;
	to->discarded += more->discarded;
	to->cancelled += more->cancelled;
	if (more->oldest_at.set)
		to->oldest_at = more->oldest_at;
	if (more->running_at.set)
		to->running_at = more->running_at;
}

/* What is not counted now stays. */
static void keep_others(struct job_depth *now, const struct job_depth *before, unsigned parts)
{
	if (!(parts & 1U << CENSUS_LIVE)) {
		now->ready = before->ready;
		now->blocked = before->blocked;
		now->running = before->running;
		now->oldest_at = before->oldest_at;
		now->running_at = before->running_at;
	}
	if (!(parts & 1U << CENSUS_LATER)) {
		now->scheduled = before->scheduled;
		now->retryable = before->retryable;
	}
	if (!(parts & 1U << CENSUS_ENDED)) {
		now->completed = before->completed;
		now->discarded = before->discarded;
		now->cancelled = before->cancelled;
	}
	now->waiting = now->ready + now->blocked + now->scheduled + now->retryable;
}

static bool same_time(struct opt_i64 a, struct opt_i64 b)
{
	return a.set == b.set && (!a.set || a.value == b.value);
}

static bool same(const struct job_depth *a, const struct job_depth *b)
{
	return a->ready == b->ready && a->blocked == b->blocked && a->scheduled == b->scheduled &&
	       a->retryable == b->retryable && a->running == b->running &&
	       a->completed == b->completed && a->discarded == b->discarded &&
	       a->cancelled == b->cancelled && same_time(a->oldest_at, b->oldest_at) &&
	       same_time(a->running_at, b->running_at);
}

static bool is_empty(const struct job_depth *depth)
{
	return depth->waiting == 0 && depth->running == 0 && depth->completed == 0 &&
	       depth->discarded == 0 && depth->cancelled == 0;
}

/* Folds entries of one tenant and queue into what it is now; keeps in front of `entries` those that
 * differ from the table. Returns their number. */
static size_t differences(struct entry *entries, size_t count, unsigned parts)
{
	size_t kept = 0;

	for (size_t i = 0, end; i < count; i = end) {
		struct job_depth before = { 0 }, now = { 0 };
		bool stored = false;

		for (end = i; end < count && order(&entries[i], &entries[end]) == 0; end++) {
			stored = stored || entries[end].stored;
			add(entries[end].stored ? &before : &now, &entries[end].depth);
		}
		keep_others(&now, &before, parts);
		now.tenant_id = entries[i].depth.tenant_id;
		now.queue = entries[i].depth.queue;
		if (stored ? is_empty(&now) || !same(&now, &before) : !is_empty(&now))
			entries[kept++].depth = now;
	}
	return kept;
}

struct batch {
	const struct entry *at;
	size_t count;
};

static int write_in_tx(struct tx *tx, void *arg)
{
	const struct batch *batch = arg;
	int r = 0;

	for (size_t i = 0; i < batch->count && r == 0; i++) {
		const struct job_depth *depth = &batch->at[i].depth;

		r = tx_exec(tx, is_empty(depth) ? &depth_drop : &depth_put, depth);
	}
	return r;
}

/* --- counting --------------------------------------------------------------------------------- */

static int count_parts(const struct db *db, struct gathering *gathering, unsigned parts)
{
	static const struct {
		enum census_part part;
		const struct statement *statement;
	} counts[] = { { CENSUS_LIVE, &count_ready }, { CENSUS_LIVE, &count_blocked },
		{ CENSUS_LIVE, &count_running }, { CENSUS_LATER, &count_later },
		{ CENSUS_ENDED, &count_ended } };
	int r = 0;

	for (size_t i = 0; i < LEN(counts) && r == 0; i++)
		if (parts & 1U << counts[i].part)
			r = gather(db, gathering, counts[i].statement, false);
	return r == 0 ? gather(db, gathering, &depth_all, true) : r;
}

static int write_differences(const struct db *db, struct gathering *gathering, unsigned parts)
{
	/* Each row is written whole by one statement; who counted later is right. */
	static const struct tx_options how = { "job_depth", .durability = TX_SOFT,
		.isolation = TX_READ_COMMITTED };
	struct entry *entries = (struct entry *)(void *)gathering->entries.at;
	size_t count = gathering->entries.len / sizeof(*entries);
	struct batch batch;
	int r = 0;

	if (count == 0)
		return 0;
	qsort(entries, count, sizeof(*entries), order);
	count = differences(entries, count, parts);
	for (size_t i = 0; i < count && r == 0; i += batch.count) {
		struct arena_mark mark = arena_mark(db->arena);

		batch = (struct batch){ &entries[i], MIN(count - i, (size_t)BATCH) };
		r = db_write_with(db, &how, write_in_tx, &batch);
		arena_back(db->arena, mark);
	}
	return r;
}

int census_count(struct store *store, unsigned parts)
{
	struct gathering gathering;
	struct arena arena;
	struct db db;
	int r;

	gathering_open(&gathering);
	arena_init(&arena, 64 * KILOBYTE, MEGABYTE);
	db = db_of_system(store, &arena);
	r = count_parts(&db, &gathering, parts);
	if (r == 0)
		r = write_differences(&db, &gathering, parts);
	gathering_done(&gathering);
	arena_done(&arena);
	return r == -ERR_TOO_LARGE ? fail(ERR_FULL, "more than %d tenants and queues to count",
					     (int)CENSUS_ENTRIES)
				   : r;
}

const struct job_statements job_census_statements = JOB_STATEMENTS(&count_ready, &count_blocked,
	&count_running, &count_later, &count_ended, &depth_all, &depth_put, &depth_drop);
