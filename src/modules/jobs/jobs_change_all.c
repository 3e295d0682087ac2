/*
 * Changing all jobs that fit a filter: they are looked for page by page, and each page is changed
 * in transactions of its own. Between the look and the change a job may have gone on; then it is
 * left as it is.
 */
#include "modules/jobs/jobs_change.h"

#include "base/err.h"

#include <stdlib.h>

/* For the audit log. */
struct jobs_batch_done {
	struct job_filter filter;
	int64_t count;
};

#define TIME .format = FORMAT_DATE_TIME

/* clang-format off */
static const struct schema done_schema = SCHEMA(jobs_batch_done, "Jobs that were changed together.",
	FIELD(job_filter, queue, "Of that queue.", RANGE(0, JOB_QUEUE_MAX)),
	FIELD(job_filter, name, "Of that name.", RANGE(0, JOB_NAME_MAX)),
	FIELD(job_filter, state, "In that state.", .choices = job_state_names),
	FIELD(job_filter, tag, "With that tag.", RANGE(0, JOB_TAG_MAX)),
	FIELD(job_filter, group_key, "Of that group.", RANGE(0, JOB_KEY_MAX)),
	FIELD(job_filter, unique_key, "With that key.", RANGE(0, JOB_KEY_MAX)),
	FIELD(job_filter, created_after, "Added then or later.", TIME),
	FIELD(job_filter, created_before, "Added before then.", TIME),
	FIELD(job_filter, ended_before, "Ended before then.", TIME),
	FIELD(jobs_batch_done, count, "How many."));

const struct schema jobs_changed_schema = SCHEMA(jobs_changed, "What came of jobs that were changed together.",
	FIELD(jobs_changed, count, "That were changed.", .flags = REQUIRED),
	FIELD(jobs_changed, skipped, "That did not allow it, or had gone on by then.", .flags = REQUIRED),
	FIELD(jobs_changed, more, "Whether there may be further ones.", .flags = REQUIRED),
	FIELD(jobs_changed, next_id, "Where to go on: cursor of the next call.", .name = "nextCursor"));
/* clang-format on */

_Static_assert(offsetof(struct jobs_batch_done, filter) == 0, "its fields are those of the filter");

static const struct str actions[JOB_CHANGES] = {
	[JOB_RETRY] = S_INIT("job.retried"),
	[JOB_CANCEL] = S_INIT("job.cancelled"),
	[JOB_PROMOTE] = S_INIT("job.promoted"),
	[JOB_REMOVE] = S_INIT("job.removed"),
};

static const struct str all_actions[JOB_CHANGES] = {
	[JOB_RETRY] = S_INIT("jobs.retried"),
	[JOB_CANCEL] = S_INIT("jobs.cancelled"),
	[JOB_PROMOTE] = S_INIT("jobs.promoted"),
	[JOB_REMOVE] = S_INIT("jobs.removed"),
};

int job_change_audit(
	struct tx *tx, const struct audit_actor *actor, enum job_change change, struct str id)
{
	return tx_audit(tx, actor,
		&(struct audit_entry){ .action = actions[change], .type = S("job"), .id = id });
}

int jobs_change_compile(void)
{
	return schema_compile(&done_schema);
}

void jobs_change_release(void)
{
	schema_release(&done_schema);
}

/* --- a batch -------------------------------------------------------------------------------- */

struct batch {
	const struct jobs_change_all *all;
	const struct uuid *tenant;
	const struct audit_actor *actor;
	struct job_item *items;
	size_t count;
	int64_t changed, skipped; /* out */
};

static int audit_batch(struct tx *tx, const struct batch *batch)
{
	const struct jobs_batch_done done = { batch->all->filter, batch->changed };

	return tx_audit(tx, batch->actor,
		&(struct audit_entry){ .action = all_actions[batch->all->change],
			.type = S("jobs"),
			.schema = &done_schema,
			.after = &done });
}

static int by_id(const void *a, const void *b)
{
	const struct job_item *x = a, *y = b;

	return str_cmp(x->shown.id, y->shown.id);
}

static int by_group(const void *a, const void *b)
{
	const struct job_item *x = a, *y = b;
	int r = str_cmp(x->shown.queue, y->shown.queue);

	return r ? r : str_cmp(x->shown.group_key.value, y->shown.group_key.value);
}

/* Locks rows in the order in which those who end jobs do: jobs by id, then groups by key. So nobody
 * waits for each other. */
static int hold_each(struct tx *tx, struct batch *batch)
{
	int r = 0;

	qsort(batch->items, batch->count, sizeof(*batch->items), by_id);
	for (size_t i = 0; i < batch->count && r == 0; i++) {
		r = job_hold_in_tx(tx, batch->items[i].shown.id);
		if (r == -ERR_NOT_FOUND)
			r = 0;
	}
	qsort(batch->items, batch->count, sizeof(*batch->items), by_group);
	return r;
}

static int change_each(struct tx *tx, struct batch *batch)
{
	const struct jobs_change_all *all = batch->all;
	int held = hold_each(tx, batch);

	batch->changed = batch->skipped = 0;
	if (held < 0)
		return held;
	for (size_t i = 0; i < batch->count; i++) {
		int r = job_change_in_tx(
			tx, all->change, batch->items[i].shown.id, all->filter.state);

		if (r < 0 && r != -ERR_CONFLICT && r != -ERR_NOT_FOUND)
			return r;
		batch->changed += r == 0;
		batch->skipped += r < 0;
	}
	return batch->changed ? audit_batch(tx, batch) : 0;
}

static int change_in_tx(struct tx *tx, void *arg)
{
	struct batch *batch = arg;
	int r = tx_enter(tx, batch->tenant);

	if (r == 0)
		r = change_each(tx, batch);
	return r < 0 ? r : tx_leave(tx);
}

/* --- all of them --------------------------------------------------------------------------------
 */

static int change_batch(struct store *store, struct batch *batch)
{
	/* Every row is locked before it is looked at. */
	static const struct tx_options how = { "jobs_change", .isolation = TX_READ_COMMITTED };
	struct arena arena;
	struct db db;
	int r;

	arena_init(&arena, 16 * KILOBYTE, 16 * MEGABYTE);
	db = db_of_system(store, &arena);
	r = db_write_with(&db, &how, change_in_tx, batch);
	arena_done(&arena);
	return r;
}

/* One look and what it finds. Ids live in `arena`; where to go on goes to `*next`, empty at the
 * end.
 */
static int change_page(struct store *store, struct arena *arena, struct batch *batch, size_t most,
	struct str *next)
{
	const struct job_window window = { *next, MIN(most, (size_t)JOBS_BATCH) };
	struct job_found found;
	int r = jobs_find(store, arena, batch->tenant, &batch->all->filter, &window, &found);

	if (r < 0)
		return r;
	batch->items = found.items;
	batch->count = found.count;
	batch->changed = batch->skipped = 0;
	r = found.count ? change_batch(store, batch) : 0;
	*next = found.next_id;
	return r;
}

int jobs_change_all(struct store *store, struct arena *arena, const struct uuid *tenant,
	const struct audit_actor *actor, const struct jobs_change_all *all,
	struct jobs_changed *ret)
{
	struct batch batch = { .all = all, .tenant = tenant, .actor = actor };
	struct str next = all->after_id.len ? all->after_id : S(UUID_LAST);
	struct jobs_changed done = { 0 };
	char id[UUID_TEXT_LEN];
	size_t tried = 0;
	int r = 0;

	for (int i = 0; i < JOBS_LOOKS && next.len && tried < all->most && r == 0; i++) {
		struct arena_mark mark = arena_mark(arena);

		r = change_page(store, arena, &batch, all->most - tried, &next);
		if (r == 0 && next.len) {
			memcpy(id, next.at, sizeof(id));
			next = str_of(id, sizeof(id));
		}
		arena_back(arena, mark);
		done.count += batch.changed;
		done.skipped += batch.skipped;
		tried += batch.count;
	}
	if (r < 0)
		return r;
	done.more = next.len > 0;
	done.next_id.set = done.more;
	done.next_id.value = done.more ? arena_str(arena, next) : next;
	*ret = done;
	return done.more && !done.next_id.value.at ? -(int)err_last()->code : 0;
}
