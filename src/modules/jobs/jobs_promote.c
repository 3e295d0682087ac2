/*
 * What is due. The jobs are found across tenants, and then changed as those of each tenant, by
 * comparing and setting: who promotes at the same time finds nothing left to do.
 */
#include "modules/jobs/jobs_adding.h"
#include "modules/jobs/jobs_run.h"

#include "base/err.h"
#include "store/store.h"

#include <stdlib.h>

enum {
	PROMOTE_MAX = 500, /* of one transaction */
	ROUNDS_MAX = 100,  /* of one call; what is left is due at once */
};

struct due_page {
	int64_t limit;
};

struct due_job {
	struct str tenant_id, id, queue;
	int64_t run_at;
};

struct due_ref {
	struct str id;
};

/* A list for PostgreSQL, one for SQLite. */
struct due_batch {
	struct str id;
	LIST_OF(struct due_ref) list;
};

struct due_row {
	struct str id, queue;
	bool seated;
	struct opt_str group_key;
};

struct due_seat {
	struct str id;
	bool later, blocked;
	int64_t run_at;
};

/* clang-format off */
static const struct schema due_page_schema = SCHEMA(due_page, "How many.",
	FIELD(due_page, limit, "So many."));

static const struct schema due_job_schema = SCHEMA(due_job, "A job whose time comes.",
	FIELD(due_job, tenant_id, "Whose.", .format = FORMAT_UUID),
	FIELD(due_job, id, "Which.", .format = FORMAT_UUID),
	FIELD(due_job, queue, "Where."),
	FIELD(due_job, run_at, "When."));

static const struct schema due_ref_schema = SCHEMA(due_ref, "A job.",
	FIELD(due_ref, id, "Which."));

static const struct schema due_batch_schema = SCHEMA(due_batch, "Jobs.",
	FIELD(due_batch, id, "One of them.", .format = FORMAT_UUID),
	LIST(due_batch, list, "All.", .nested = &due_ref_schema));

static const struct schema due_row_schema = SCHEMA(due_row, "A job whose time has come.",
	FIELD(due_row, id, "Which.", .format = FORMAT_UUID),
	FIELD(due_row, queue, "Where."),
	FIELD(due_row, seated, "Has a seat in its group."),
	FIELD(due_row, group_key, "Which group."));

static const struct schema due_seat_schema = SCHEMA(due_seat, "What its group says.",
	FIELD(due_seat, id, "To which job.", .format = FORMAT_UUID),
	FIELD(due_seat, later, "Not yet."),
	FIELD(due_seat, blocked, "Not before another one has left."),
	FIELD(due_seat, run_at, "When then."));
/* clang-format on */

static const struct statement due_jobs = STATEMENT("job_due",
	.sql = "SELECT j.tenant_id, j.id, j.queue, j.run_at FROM main.job AS j "
	       "WHERE j.state IN ('scheduled', 'retryable') AND j.run_at <= :now "
	       "ORDER BY j.run_at LIMIT :limit",
	.in = &due_page_schema, .out = &due_job_schema, .flags = STATEMENT_SYSTEM);

static const struct statement due_next = STATEMENT("job_due_next",
	.sql = "SELECT j.tenant_id, j.id, j.queue, j.run_at FROM main.job AS j "
	       "WHERE j.state IN ('scheduled', 'retryable') ORDER BY j.run_at LIMIT :limit",
	.in = &due_page_schema, .out = &due_job_schema, .flags = STATEMENT_SYSTEM);

static const struct statement due_ready = STATEMENT("job_due_ready",
	.sqlite = "UPDATE main.job SET state = 'available' WHERE tenant_id = :tenant AND id = :id "
		  "AND state IN ('scheduled', 'retryable') AND run_at <= :now "
		  "RETURNING id, queue, seated, group_key",
	.postgres = "UPDATE main.job AS j SET state = 'available' "
		    "FROM jsonb_to_recordset(:list) AS x (id uuid) "
		    "WHERE j.tenant_id = :tenant AND j.id = x.id "
		    "AND j.state IN ('scheduled', 'retryable') AND j.run_at <= :now "
		    "RETURNING j.id, j.queue, j.seated, j.group_key",
	.in = &due_batch_schema, .out = &due_row_schema);

static const struct statement due_joined = STATEMENT("job_due_joined",
	.sql = "UPDATE main.job SET state = CASE WHEN :later THEN 'scheduled' ELSE 'available' "
	       "END, "
	       "run_at = CASE WHEN :later THEN :run_at ELSE run_at END, "
	       "seated = NOT :blocked, blocked = :blocked WHERE tenant_id = :tenant AND id = :id",
	.in = &due_seat_schema, .expect = EXPECT_ONE);

const struct job_statements job_promote_statements =
	JOB_STATEMENTS(&due_jobs, &due_next, &due_ready, &due_joined);

/* --- jobs ------------------------------------------------------------------------------------ */

struct promotion {
	const struct due_job *jobs; /* sorted by tenant, then id */
	size_t count;
	size_t changed;
};

static int by_group(const void *a, const void *b)
{
	const struct due_row *left = a, *right = b;
	const struct group_ref x = { left->queue, left->group_key.value };
	const struct group_ref y = { right->queue, right->group_key.value };
	int r = group_cmp(&x, &y);

	return r ? r : str_cmp(left->id, right->id);
}

/* Jobs that have joined a group: who has no seat waits for one. */
static int sit_down(struct tx *tx, const struct due_row *rows, const struct group_joining *joining)
{
	int r = 0;

	for (size_t i = 0; i < joining->count && r == 0; i++) {
		struct due_seat seat = { .id = rows[i].id, .blocked = i >= joining->seated };

		seat.run_at = joining->at + (int64_t)i * joining->step;
		seat.later = !seat.blocked && seat.run_at > tx_now_us(tx);
		r = tx_exec(tx, &due_joined, &seat);
	}
	return r;
}

/* Jobs of one queue, by group. */
static int join_queue(struct tx *tx, const struct due_row *rows, size_t count)
{
	struct group_joining *groups = arena_zalloc(tx_arena(tx), count * sizeof(*groups));
	size_t group_count = 0;
	int r;

	if (!groups)
		return -(int)err_last()->code;
	for (size_t i = 0; i < count; i++) {
		if (!group_count || !str_eq(groups[group_count - 1].key, rows[i].group_key.value))
			groups[group_count++].key = rows[i].group_key.value;
		groups[group_count - 1].count++;
	}
	r = groups_join_in_tx(tx, rows[0].queue, groups, group_count);
	for (size_t i = 0; i < group_count && r == 0; i++) {
		r = sit_down(tx, rows, &groups[i]);
		rows += groups[i].count;
	}
	return r;
}

/* The groups of jobs that were not in line while they were scheduled. */
static int join(struct tx *tx, struct due_row *rows, size_t count)
{
	size_t joining = 0, some;
	int r = 0;

	for (size_t i = 0; i < count; i++)
		if (rows[i].group_key.set && !rows[i].seated)
			rows[joining++] = rows[i];
	if (joining > 1)
		qsort(rows, joining, sizeof(*rows), by_group);
	for (size_t i = 0; i < joining && r == 0; i += some) {
		for (some = 1; i + some < joining; some++)
			if (!str_eq(rows[i + some].queue, rows[i].queue))
				break;
		r = join_queue(tx, &rows[i], some);
	}
	return r;
}

/* Jobs of one tenant. */
static int make_ready(struct tx *tx, const struct due_job *jobs, size_t count, struct due_row **ret,
	size_t *ret_count)
{
	struct due_batch batch = { .id = jobs[0].id };
	size_t found = 0;

	batch.list.at = arena_alloc(tx_arena(tx), count * sizeof(*batch.list.at));
	if (!batch.list.at)
		return -(int)err_last()->code;
	for (size_t i = 0; i < count; i++)
		batch.list.at[i].id = jobs[i].id;
	batch.list.count = count;
	if (!store_is_sqlite(tx_store(tx)))
		return tx_all(tx, &due_ready, &batch, ret, ret_count);

	*ret = arena_alloc(tx_arena(tx), count * sizeof(**ret));
	if (!*ret)
		return -(int)err_last()->code;
	for (size_t i = 0; i < count; i++) {
		struct due_batch one = { .id = jobs[i].id };
		int r = tx_one(tx, &due_ready, &one, &(*ret)[found]);

		if (r < 0 && r != -ERR_NOT_FOUND)
			return r;
		found += r == 0;
	}
	*ret_count = found;
	return 0;
}

static int promote_tenant(struct tx *tx, const struct due_job *jobs, size_t count, size_t *changed)
{
	struct due_row *rows = NULL;
	size_t found = 0;
	int r = make_ready(tx, jobs, count, &rows, &found);

	if (r < 0 || !found)
		return r;
	*changed += found;
	return join(tx, rows, found);
}

static int promote_in_tx(struct tx *tx, void *arg)
{
	struct promotion *promotion = arg;
	size_t count;
	int r = 0;

	promotion->changed = 0;
	for (size_t i = 0; i < promotion->count && r == 0; i += count) {
		const struct due_job *first = &promotion->jobs[i];
		struct uuid tenant;

		CHECK(uuid_parse(first->tenant_id, &tenant));
		for (count = 1; i + count < promotion->count; count++)
			if (!str_eq(first[count].tenant_id, first->tenant_id))
				break;
		r = tx_enter(tx, &tenant);
		if (r == 0)
			r = promote_tenant(tx, first, count, &promotion->changed);
		if (r == 0)
			r = tx_leave(tx);
	}
	return r;
}

static int by_tenant(const void *a, const void *b)
{
	const struct due_job *left = a, *right = b;
	int r = str_cmp(left->tenant_id, right->tenant_id);

	return r ? r : str_cmp(left->id, right->id);
}

/* --- the whole ---------------------------------------------------------------------------------
 */

static void ring(const struct due_job *jobs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (i == 0 || !str_eq(jobs[i].queue, jobs[i - 1].queue))
			bell_ring(bell_of(jobs[i].queue));
}

static int promote_some(const struct db *db, size_t *ret_seen, size_t *ret_changed)
{
	static const struct tx_options soft = {
		.name = "job-promote",
		.durability = TX_SOFT,
		.isolation = TX_READ_COMMITTED,
	};
	struct promotion promotion = { NULL };
	struct due_job *jobs;
	int r = db_all(db, &due_jobs, &(struct due_page){ PROMOTE_MAX }, &jobs, &promotion.count);

	*ret_seen = r == 0 ? promotion.count : 0;
	if (r < 0 || !promotion.count)
		return r;
	qsort(jobs, promotion.count, sizeof(*jobs), by_tenant);
	promotion.jobs = jobs;
	r = db_write_with(db, &soft, promote_in_tx, &promotion);
	if (r < 0)
		return r;
	ring(jobs, promotion.count);
	*ret_changed += promotion.changed;
	return 0;
}

int jobs_promote(struct store *store, struct arena *arena, size_t *ret_count, int64_t *ret_next_us)
{
	struct db db = db_of_system(store, arena);
	struct due_job *next = NULL;
	size_t changed = 0, seen = PROMOTE_MAX, count = 0;
	int r = 0;

	for (size_t i = 0; i < ROUNDS_MAX && r == 0 && seen == PROMOTE_MAX; i++) {
		struct arena_mark mark = arena_mark(arena);

		r = promote_some(&db, &seen, &changed);
		arena_back(arena, mark);
	}
	if (r == 0)
		r = db_all(&db, &due_next, &(struct due_page){ 1 }, &next, &count);
	if (r < 0)
		return r;
	*ret_count = changed;
	*ret_next_us = count && next->run_at < JOB_BEHIND_US ? next->run_at : 0;
	return 0;
}
