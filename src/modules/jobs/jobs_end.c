/*
 * Ending starts. Completions, of which there are many, are one change each and nothing is read for
 * them; everything else first locks the rows and reads them whole. Which start it was is compared
 * by the change itself, so that one that is somebody else's by now is never touched.
 */
#include "modules/jobs/jobs_run.h"

#include "base/err.h"
#include "crypto/random.h"
#include "modules/jobs/jobs_counts.h"

#include <stdlib.h>

const struct tx_options jobs_ending = {
	.name = "job-end",
	.durability = TX_DURABLE,
	.isolation = TX_READ_COMMITTED,
};

/* An end that is looked at. */
struct start {
	struct end_ref ref;
	struct job_end *end;
	bool over;
};

/* Several ends; no two of the same job in one pass. */
struct ending {
	struct tx *tx;
	struct start *starts; /* sorted by id */
	size_t count;
	struct start **pass;
	size_t pass_count;
	struct end_ref *refs; /* of a statement, and whose they are */
	struct start **whose;
	size_t ref_count;
	struct job_ended *ended; /* to be told after the commit */
	size_t ended_count;
};

/* --- what becomes of it: pure ----------------------------------------------------------------- */

static bool is_final(enum job_state state)
{
	return state == JOB_COMPLETED || state == JOB_DISCARDED || state == JOB_CANCELLED;
}

static const struct queue_keep *keep_of(const struct queue_settings *settings, enum job_state state)
{
	return state == JOB_COMPLETED   ? &settings->completed
	       : state == JOB_DISCARDED ? &settings->discarded
					: &settings->cancelled;
}

/* What a kind of end is called where errors are told, and whether the start counts. */
static const struct end_rule {
	const char *error; /* NULL: it is none */
	bool again;        /* while there are starts left */
	bool uncounted;
} rules[] = {
	[END_COMPLETE] = { NULL, false, false },
	[END_FAIL] = { "failed", true, false },
	[END_SNOOZE] = { NULL, true, true },
	[END_RELEASE] = { NULL, true, true },
	[END_DISCARD] = { "discarded", false, false },
	[END_LOST] = { "lost", true, false },
	[END_TIMEOUT] = { "timeout", true, false },
	[END_INVALID] = { "VALIDATION_ERROR", false, false },
};

/* Starts that count, the one that ends included. */
static int64_t counted(const struct end_row *row)
{
	return row->attempt - row->uncounted;
}

static enum job_state state_after(
	const struct end_row *row, const struct job_end *end, int64_t wait_us)
{
	const struct end_rule *rule = &rules[end->kind];

	if (end->kind == END_COMPLETE)
		return JOB_COMPLETED;
	if (row->cancelling)
		return JOB_CANCELLED;
	if (!rule->again || (!rule->uncounted && counted(row) >= row->attempts))
		return JOB_DISCARDED;
	if (wait_us <= 0)
		return JOB_AVAILABLE;
	return end->kind == END_SNOOZE ? JOB_SCHEDULED : JOB_RETRYABLE;
}

static int64_t wait_of(const struct end_row *row, const struct job_end *end,
	const struct queue_settings *settings, uint64_t chance)
{
	const int64_t most = JOB_DELAY_DAYS * (int64_t)(24 * HOUR / MICROSECOND);

	if (end->kind == END_RELEASE || end->kind == END_LOST)
		return 0;
	if (end->kind == END_SNOOZE || end->delay_us)
		return MIN(end->delay_us, most);
	return job_backoff_us(
		row->backoff ? row->backoff : &settings->backoff, counted(row), chance);
}

struct end_settle end_decide(const struct end_row *row, const struct job_end *end,
	const struct queue_settings *settings, int64_t now, uint64_t chance)
{
	int64_t wait_us = wait_of(row, end, settings, chance);
	struct end_settle settle = {
		.id = row->id,
		.state = state_after(row, end, wait_us),
		.uncounted = row->uncounted + (rules[end->kind].uncounted ? 1 : 0),
		.run_at = row->run_at,
		.turn = row->turn,
	};

	if (is_final(settle.state)) {
		settle.ended_at = (struct opt_i64){ .set = true, .value = now };
	} else {
		settle.seated = row->group_key.set;
		if (wait_us > 0) {
			settle.run_at = now + wait_us;
			settle.turn = job_turn(settle.run_at, row->priority);
		}
	}
	if (settle.state == JOB_COMPLETED && end->result.json.len)
		settle.result = (struct opt_str){ .set = true, .value = end->result.json };
	return settle;
}

/* --- rows of a statement ------------------------------------------------------------------------
 */

static void add_ref(struct ending *ending, struct start *start)
{
	ending->refs[ending->ref_count] = start->ref;
	ending->whose[ending->ref_count++] = start;
}

/* Runs the statement for what was added; the rows know which end they are of. */
static int change(struct ending *ending, enum end_how how, struct str queue, struct end_row **ret,
	size_t *ret_count)
{
	size_t at = 0;
	int r = end_rows_in_tx(
		ending->tx, how, queue, ending->refs, ending->ref_count, ret, ret_count);

	for (size_t i = 0; r == 0 && i < *ret_count; i++) {
		struct end_row *row = &(*ret)[i];

		while (at < ending->ref_count && !str_eq(ending->refs[at].id, row->id))
			at++;
		CHECK(at < ending->ref_count);
		row->end = ending->whose[at]->end;
		ending->whose[at]->over = true;
		row->end->result_code = 0;
	}
	ending->ref_count = 0;
	return r;
}

static int by_group(const void *a, const void *b)
{
	const struct end_row *left = *(struct end_row *const *)a;
	const struct end_row *right = *(struct end_row *const *)b;
	int r = str_cmp(left->queue, right->queue);

	if (r == 0)
		r = str_cmp(left->group_key.value, right->group_key.value);
	return r ? r : str_cmp(left->id, right->id);
}

/* Gives up seats and keys, in an order that is everybody's. */
static int leave(struct ending *ending, struct end_row *rows, size_t count)
{
	struct end_row **leaving =
		arena_alloc(tx_arena(ending->tx), count * sizeof(struct end_row *));
	size_t leaving_count = 0;

	if (!leaving)
		return -(int)err_last()->code;
	for (size_t i = 0; i < count; i++) {
		struct end_row *row = &rows[i];
		struct queue_settings settings;

		if (!is_final(row->end->state) || (!row->group_key.set && !row->unique_key.set))
			continue;
		if (row->end->state == JOB_DISCARDED) {
			queue_settings(row->queue, &settings);
			row->halts = settings.on_discard == QUEUE_HALT;
		}
		leaving[leaving_count++] = row;
	}
	if (leaving_count > 1)
		qsort(leaving, leaving_count, sizeof(struct end_row *), by_group);
	return end_leave_in_tx(ending->tx, leaving, leaving_count);
}

static void note(struct ending *ending, const struct end_row *row)
{
	ending->ended[ending->ended_count++] =
		(struct job_ended){ row->id, row->queue, row->end->kind, row->end->state };
}

/* --- completions ----------------------------------------------------------------------- */

static bool is_quick(const struct start *start)
{
	return !start->over && start->end->kind == END_COMPLETE && start->end->queue.len;
}

/* All of one queue. Those that are of another one, or stale, are left to be looked at. */
static int complete_queue(struct ending *ending, size_t first)
{
	struct str queue = ending->pass[first]->end->queue;
	struct queue_settings settings;
	struct end_row *rows;
	size_t count;
	bool keep;
	int r;

	queue_settings(queue, &settings);
	keep = settings.completed.count > 0;
	for (size_t i = first; i < ending->pass_count; i++) {
		struct start *start = ending->pass[i];

		if (!is_quick(start) || !str_eq(start->end->queue, queue))
			continue;
		add_ref(ending, start);
	}
	r = change(ending, keep ? END_KEEP : END_DROP, queue, &rows, &count);
	if (r < 0 || !count)
		return r;
	for (size_t i = 0; i < count; i++) {
		rows[i].queue = queue;
		rows[i].end->state = JOB_COMPLETED;
		note(ending, &rows[i]);
	}
	if (!keep)
		r = end_forget_in_tx(ending->tx, rows, count);
	return r < 0 ? r : leave(ending, rows, count);
}

static bool was_seen(const struct ending *ending, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (ending->pass[i]->end->kind == END_COMPLETE &&
			str_eq(ending->pass[i]->end->queue, ending->pass[at]->end->queue))
			return true;
	return false;
}

static int complete(struct ending *ending)
{
	struct str last = { NULL, 0 };
	int r = 0;

	for (size_t i = 0; i < ending->pass_count && r == 0; i++) {
		struct start *start = ending->pass[i];

		if (!is_quick(start) || str_eq(start->end->queue, last) || was_seen(ending, i))
			continue;
		last = start->end->queue;
		r = complete_queue(ending, i);
	}
	return r;
}

/* --- all others ------------------------------------------------------------------------ */

static int put_error(struct ending *ending, const struct end_row *row)
{
	const struct job_end *end = row->end;
	struct end_error error = {
		.job_id = row->id,
		.attempt = counted(row),
		.message = end->message,
		.worker = row->worker,
		.trace = { .set = end->trace.len > 0, .value = end->trace },
	};

	if (!rules[end->kind].error)
		return 0;
	error.kind = str_from_c(rules[end->kind].error);
	return end_error_in_tx(ending->tx, &error);
}

static int ring(struct ending *ending, const struct end_row *row)
{
	enum job_state state = row->end->state;

	if (is_final(state))
		return 0;
	return bell_ring_after(
		ending->tx, state == JOB_AVAILABLE ? bell_of(row->queue) : bell_of_later());
}

static int settle(struct ending *ending, const struct end_row *row)
{
	struct queue_settings settings;
	struct end_settle settle;
	int r;

	queue_settings(row->queue, &settings);
	settle = end_decide(row, row->end, &settings, tx_now_us(ending->tx), random_u64());
	row->end->state = settle.state;
	if (is_final(settle.state) && keep_of(&settings, settle.state)->count == 0) {
		r = end_drop_in_tx(ending->tx, row->id);
		return r < 0 ? r : end_forget_in_tx(ending->tx, row, 1);
	}
	r = put_error(ending, row);
	if (r == 0)
		r = end_settle_in_tx(ending->tx, &settle);
	return r < 0 ? r : ring(ending, row);
}

static int claim(struct ending *ending)
{
	struct end_row *rows;
	size_t count;
	int r;

	for (size_t i = 0; i < ending->pass_count; i++)
		if (!ending->pass[i]->over)
			add_ref(ending, ending->pass[i]);
	if (!ending->ref_count)
		return 0;
	r = change(ending, END_CLAIM, str_of(NULL, 0), &rows, &count);
	for (size_t i = 0; i < count && r == 0; i++) {
		r = settle(ending, &rows[i]);
		note(ending, &rows[i]);
	}
	return r < 0 || !count ? r : leave(ending, rows, count);
}

/* --- the whole ------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
	const struct start *left = a, *right = b;
	int r = str_cmp(left->ref.id, right->ref.id);

	/* one after the other, as they were given */
	return r ? r : (left->end > right->end) - (left->end < right->end);
}

/* As ids are written in answers, so that they can be compared. 1 when it is none. */
static int same_text(struct arena *arena, struct str text, struct str *ret)
{
	struct uuid id;

	if (!uuid_parse(text, &id))
		return 1;
	*ret = uuid_text(arena, &id);
	return ret->at ? 0 : -(int)err_last()->code;
}

static int make_room(struct ending *ending, size_t count)
{
	struct arena *arena = tx_arena(ending->tx);

	ending->starts = arena_alloc(arena, count * sizeof(*ending->starts));
	ending->pass = arena_alloc(arena, count * sizeof(struct start *));
	ending->whose = arena_alloc(arena, count * sizeof(struct start *));
	ending->refs = arena_alloc(arena, count * sizeof(*ending->refs));
	ending->ended = arena_alloc(arena, count * sizeof(*ending->ended));
	return ending->starts && ending->pass && ending->whose && ending->refs && ending->ended
		       ? 0
		       : -(int)err_last()->code;
}

/* What has no id is no start of anybody's. */
static int make_starts(struct ending *ending, struct job_end *ends, size_t count)
{
	struct arena *arena = tx_arena(ending->tx);
	int r = make_room(ending, count);

	for (size_t i = 0; i < count && r >= 0; i++) {
		struct start *start = &ending->starts[ending->count];

		ends[i].result_code = -ERR_CONFLICT;
		*start = (struct start){ .end = &ends[i],
			.ref = { .attempt = ends[i].attempt,
				.result = ends[i].result.json,
				.group = ends[i].group } };
		r = same_text(arena, ends[i].id, &start->ref.id);
		if (r == 0)
			r = same_text(arena, ends[i].lease_id, &start->ref.lease_id);
		ending->count += r == 0;
	}
	if (r >= 0)
		qsort(ending->starts, ending->count, sizeof(*ending->starts), by_id);
	return MIN(r, 0);
}

/* The first end of each job that is not over. */
static bool next_pass(struct ending *ending)
{
	ending->pass_count = 0;
	for (size_t i = 0; i < ending->count; i++) {
		struct start *start = &ending->starts[i];
		struct start *last =
			ending->pass_count ? ending->pass[ending->pass_count - 1] : NULL;

		if (!start->over && (!last || !str_eq(last->ref.id, start->ref.id)))
			ending->pass[ending->pass_count++] = start;
	}
	return ending->pass_count > 0;
}

int jobs_end_in_tx(struct tx *tx, struct job_end *ends, size_t count)
{
	struct ending ending = { .tx = tx };
	int r;

	CHECK(count <= JOBS_END_MAX);
	if (!count)
		return 0;
	r = make_starts(&ending, ends, count);
	while (r == 0 && next_pass(&ending)) {
		r = complete(&ending);
		if (r == 0)
			r = claim(&ending);
		for (size_t i = 0; i < ending.pass_count; i++)
			ending.pass[i]->over = true;
	}
	return r < 0 ? r : job_count_ends(tx, ending.ended, ending.ended_count);
}
