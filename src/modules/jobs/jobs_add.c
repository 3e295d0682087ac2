/*
 * Adding jobs: a row of the transaction that wants it, and what wakes the workers after its commit.
 * One without a key and a group is a single INSERT whose answer nobody waits for.
 */
#include "modules/jobs/jobs_adding.h"

#include "base/err.h"
#include "observe/log.h"
#include "observe/trace.h"
#include "schema/encode.h"

#include <stdio.h>

const struct tx_options jobs_adding = { "jobs_add", TX_DURABLE, TX_READ_COMMITTED };

/* clang-format off */
static const struct schema job_row_schema = SCHEMA(job_row, "A job as it is added.",
	FIELD(job_row, id, "Which.", .format = FORMAT_UUID),
	FIELD(job_row, queue, "Where it waits."),
	FIELD(job_row, name, "What is to be done."),
	FIELD(job_row, state, "How far it has come.", .choices = job_state_names),
	FIELD(job_row, payload, "What with.", RANGE(0, JOB_PAYLOAD_MAX)),
	FIELD(job_row, priority, "How urgent it is."),
	FIELD(job_row, turn, "Where it stands among the others."),
	FIELD(job_row, run_at, "Not before then."),
	FIELD(job_row, attempts, "How often it may be started."),
	FIELD(job_row, backoff, "How long to wait after a failure.", .nested = &job_backoff_schema),
	FIELD(job_row, timeout_us, "How long an attempt may take."),
	FIELD(job_row, unique_key, "What it is one of its kind of."),
	FIELD(job_row, group_key, "With which others it takes turns."),
	FIELD(job_row, seated, "Whether it has a seat in its group."),
	FIELD(job_row, blocked, "Whether it waits for one."),
	LIST(job_row, tags, "Words to find it by.", RANGE(0, JOB_TAGS_MAX)),
	FIELD(job_row, trace, "Who added it."),
	FIELD(job_row, created_at, "When."));
/* clang-format on */

static const struct statement job_insert = STATEMENT("job_insert",
	.sql = "INSERT INTO main.job (tenant_id, id, queue, name, state, payload, priority, turn, "
	       "run_at, attempt, attempts, backoff, timeout_us, unique_key, group_key, seated, "
	       "blocked, tags, trace, cancelling, created_at) VALUES (:tenant, :id, :queue, :name, "
	       ":state, :payload, :priority, :turn, :run_at, 0, :attempts, :backoff, :timeout_us, "
	       ":unique_key, :group_key, :seated, :blocked, :tags, :trace, FALSE, :created_at)",
	.in = &job_row_schema);

/* The number of starts goes on, so that it and the lease together still name one start. */
static const struct statement job_replace = STATEMENT("job_replace",
	.sql = "UPDATE main.job SET name = :name, state = :state, payload = :payload, "
	       "priority = :priority, turn = :turn, run_at = :run_at, "
	       "attempts = attempt - uncounted + :attempts, backoff = :backoff, timeout_us = "
	       ":timeout_us, "
	       "group_key = :group_key, seated = :seated, blocked = :blocked, tags = :tags, "
	       "trace = :trace WHERE tenant_id = :tenant AND id = :id",
	.in = &job_row_schema, .expect = EXPECT_ONE);

const struct statement job_get = STATEMENT("job_get",
	.sql = "SELECT " JOB_SHOWN_COLUMNS " FROM job WHERE tenant_id = :tenant AND id = :id",
	.in = &job_ref_schema, .out = &job_shown_schema);

const struct job_statements job_add_statements =
	JOB_STATEMENTS(&job_insert, &job_replace, &job_get);

/* --- what a transaction has added ------------------------------------------------------------ */

/* Of one queue; found again by each add of the transaction. */
struct added_here {
	struct uuid tenant;
	struct str queue;
	size_t count;
	bool fresh; /* nothing waited there before */
	struct added_here *next;
};

static void tell_depth(void *arg)
{
	for (const struct added_here *here = arg; here; here = here->next)
		depth_add(&here->tenant, here->queue, here->count);
}

static bool is_of(const struct added_here *here, const struct uuid *tenant, struct str queue)
{
	return str_eq(here->queue, queue) && uuid_cmp(&here->tenant, tenant) == 0;
}

/* What this transaction has added to the queue; NULL without memory. */
static struct added_here *added_here(struct tx *tx, struct str queue)
{
	struct added_here *first = tx_after_arg(tx, tell_depth), *here = first;

	while (here && !is_of(here, tx_tenant(tx), queue))
		here = here->next;
	if (here)
		return here;
	here = arena_new(tx_arena(tx), struct added_here);
	if (!here)
		return NULL;
	*here = (struct added_here){ .tenant = *tx_tenant(tx), .queue = queue };
	if (first) {
		here->next = first->next;
		first->next = here;
		return here;
	}
	return tx_after_commit(tx, tell_depth, here) < 0 ? NULL : here;
}

/* In how many queues of the tenant, other than this one, this transaction was the first to add. */
static size_t fresh_queues(struct tx *tx, const struct added_here *but)
{
	size_t count = 0;

	for (const struct added_here *here = tx_after_arg(tx, tell_depth); here; here = here->next)
		count += here != but && here->fresh && here->count &&
			 uuid_cmp(&here->tenant, tx_tenant(tx)) == 0;
	return count;
}

/* --- the row ------------------------------------------------------------------------------------
 */

static struct opt_str text_of(struct str text)
{
	return (struct opt_str){ .set = text.len > 0, .value = text };
}

/* When it is to start: at once, then, or after the wait that a debounce means. */
static int64_t start_of(const struct job_new *job, int64_t now)
{
	int64_t at = now;

	if (job->run_at_us)
		at = MAX(job->run_at_us, now); /* nobody gets before others by a time long ago */
	else if (job->delay_ns)
		at = now + (int64_t)(job->delay_ns / MICROSECOND);
	if (job->unique_key.len && job->unique_mode == JOB_UNIQUE_DEBOUNCE)
		at = MAX(at, now + (int64_t)(job->unique_ns / MICROSECOND));
	return at;
}

static bool throttles(const struct job_new *job)
{
	return job->unique_key.len && job->unique_mode == JOB_UNIQUE_THROTTLE;
}

/* The traceparent of the running work; empty when there is none. */
static int trace_now(struct arena *arena, struct opt_str *ret)
{
	const struct log_context *context = log_context_now();
	char *text;

	while (context && context->span_id.len != TRACE_SPAN_LEN)
		context = context->parent;
	if (!context || context->trace_id.len != TRACE_ID_LEN)
		return 0;
	text = arena_alloc(arena, TRACE_PARENT_LEN);
	if (!text)
		return -(int)err_last()->code;
	memcpy(text, "00-", 3);
	memcpy(text + 3, context->trace_id.at, TRACE_ID_LEN);
	text[3 + TRACE_ID_LEN] = '-';
	memcpy(text + 4 + TRACE_ID_LEN, context->span_id.at, TRACE_SPAN_LEN);
	memcpy(text + 4 + TRACE_ID_LEN + TRACE_SPAN_LEN, "-01", 3);
	*ret = text_of(str_of(text, TRACE_PARENT_LEN));
	return 0;
}

static int encode_payload(const struct job_new *job, struct arena *arena, struct str *ret)
{
	struct json_writer writer;
	struct buf text;
	int r;

	buf_init(&text, JOB_PAYLOAD_MAX);
	json_writer_init(&writer, &text);
	schema_encode(job->schema, SCHEMA_ALL, job->data, &writer);
	r = json_writer_done(&writer);
	if (r == 0) {
		*ret = arena_str(arena, buf_str(&text));
		r = ret->at ? 0 : -(int)err_last()->code;
	}
	buf_done(&text);
	return r;
}

static int payload_of(const struct job_new *job, struct arena *arena, struct str *ret)
{
	if (job->schema && encode_payload(job, arena, ret) < 0) {
		if (err_last()->code != ERR_TOO_LARGE)
			return -(int)err_last()->code;
		return fail_field(ERR_TOO_LARGE, "payload", "too_long", "must be at most %d bytes",
			JOB_PAYLOAD_MAX);
	}
	if (!job->schema)
		*ret = job->payload.len ? job->payload : S("{}");
	return 0;
}

static int new_id(struct arena *arena, int64_t now, struct str *ret)
{
	char *text = arena_alloc(arena, UUID_TEXT_LEN);
	struct uuid id;

	if (!text)
		return -(int)err_last()->code;
	uuid_v7(&id, now);
	uuid_write(text, &id);
	*ret = str_of(text, UUID_TEXT_LEN);
	return 0;
}

/* What the job says, else its kind, else (by leaving it out) the queue. */
static void take_options(const struct job_new *job, const struct job_kind *kind, struct adding *ret)
{
	struct job_row *row = &ret->row;
	uint64_t timeout_ns = job->timeout_ns ? job->timeout_ns : kind ? kind->timeout_ns : 0;

	row->name = job->name;
	row->queue = job->queue;
	if (!row->queue.len)
		row->queue = kind && kind->queue ? str_from_c(kind->queue) : S("default");
	queue_settings(row->queue, &ret->settings);
	row->priority = job->priority.set ? job->priority.value : JOB_PRIORITY_NORMAL;
	row->attempts = job->attempts ? job->attempts : kind ? kind->attempts : 0;
	if (!row->attempts)
		row->attempts = ret->settings.attempts;
	row->backoff = job->backoff;
	row->timeout_us.set = timeout_ns > 0;
	row->timeout_us.value = (int64_t)(timeout_ns / MICROSECOND);
	row->unique_key = text_of(job->unique_key);
	row->group_key = text_of(job->group_key);
	row->tags.at = (struct str *)job->tags;
	row->tags.count = job->tag_count;
}

int adding_make(const struct job_new *job, struct arena *arena, int64_t now, struct adding *ret)
{
	struct job_row *row = &ret->row;
	int64_t start = start_of(job, now);
	int r;

	*ret = (struct adding){ .mode = job->unique_mode,
		.until = throttles(job) ? now + (int64_t)(job->unique_ns / MICROSECOND) : 0 };
	take_options(job, job_kind_find(job->name), ret);
	row->state = start > now ? JOB_SCHEDULED : JOB_AVAILABLE;
	row->run_at = start;
	row->turn = job_turn(start, row->priority);
	row->created_at = now;
	r = payload_of(job, arena, &row->payload.json);
	if (r == 0)
		r = trace_now(arena, &row->trace);
	return r < 0 ? r : new_id(arena, now, &row->id);
}

/* --- into the table --------------------------------------------------------------------------- */

bool adding_wants_seat(const struct adding *adding)
{
	return adding->row.state == JOB_AVAILABLE && adding->row.group_key.set && !adding->joined;
}

int adding_place(
	struct adding *adding, const struct group_joining *joining, size_t place, int64_t now)
{
	const int64_t backlog = adding->settings.group_backlog;
	struct job_row *row = &adding->row;
	int64_t at = joining->at + (int64_t)place * joining->step;

	if (backlog && place >= joining->seated && joining->waiting > backlog)
		return fail_field(ERR_TOO_MANY, "group", "backlog",
			"has %lld jobs waiting, and no more may", (long long)backlog);
	adding->joined = true;
	row->seated = place < joining->seated;
	row->blocked = !row->seated;
	if (row->seated && at > now) {
		row->state = JOB_SCHEDULED;
		row->run_at = at;
	}
	return 0;
}

/* Whoever commits all the same has added nothing. */
static int give_up_place(struct tx *tx, const struct group_ref *group)
{
	const struct err err = *err_last();
	int r = group_unwait_in_tx(tx, group);

	return r < 0 ? r : err_restore(&err);
}

/* A ready job of a group wants a seat there. One that only changes its place among those of its
 * group makes them no more. */
static int join(struct tx *tx, struct adding *adding, bool stays)
{
	const struct group_ref group = { adding->row.queue, adding->row.group_key.value };
	struct group_joining joining = { .key = group.key, .count = 1 };
	int r;

	if (!adding_wants_seat(adding))
		return 0;
	r = groups_join_in_tx(tx, group.queue, &joining, 1);
	if (r < 0)
		return r;
	if (stays)
		joining.waiting = 0;
	r = adding_place(adding, &joining, 0, tx_now_us(tx));
	return r < 0 ? give_up_place(tx, &group) : 0;
}

/* Gives up its place among its group. */
static int leave(struct tx *tx, const struct job_row *row, const struct unique_there *there)
{
	const struct group_ref group = { row->queue, there->group_key.value };

	if (there->blocked)
		return group_unwait_in_tx(tx, &group);
	return there->seated ? group_leave_in_tx(tx, &group, false) : 0;
}

/* The one that waits becomes this one. Refused by another group, it is still what it was. */
static int replace(struct tx *tx, struct adding *adding, const struct unique_there *there)
{
	struct job_row *row = &adding->row;
	bool placed = there->blocked || there->seated;
	bool stays = placed && row->group_key.set &&
		     str_eq(row->group_key.value, there->group_key.value);
	int r = 0;

	if (there->run_at == JOB_BEHIND_US) {
		row->state = JOB_SCHEDULED;
		row->run_at = JOB_BEHIND_US;
	} else if (!stays) {
		r = join(tx, adding, false);
	}
	row->id = there->id;
	if (r == 0)
		r = leave(tx, row, there);
	if (r == 0 && stays && there->run_at != JOB_BEHIND_US)
		r = join(tx, adding, true);
	return r < 0 ? r : tx_exec(tx, &job_replace, row);
}

static int insert(struct tx *tx, struct adding *adding)
{
	struct added_here *here = added_here(tx, adding->row.queue);
	struct depth_more more;
	int r;

	if (!here)
		return -(int)err_last()->code;
	more = (struct depth_more){ here->count + 1, fresh_queues(tx, here) };
	r = depth_check(tx_tenant(tx), adding->row.queue, &adding->settings, &more, tx_now_us(tx));
	if (r < 0)
		return r;
	here->fresh = r > 0;
	r = join(tx, adding, false);
	if (r == 0)
		r = tx_exec(tx, &job_insert, &adding->row);
	if (r == 0)
		here->count++;
	return r;
}

/* Who waits for it hears of it: workers, or who looks at the time. */
static int ring(struct tx *tx, const struct job_row *row)
{
	if (row->state == JOB_AVAILABLE)
		return row->blocked ? 0 : bell_ring_after(tx, bell_of(row->queue));
	return row->run_at == JOB_BEHIND_US ? 0 : bell_ring_after(tx, bell_of_later());
}

/* One with a unique key. */
static int add_unique(struct tx *tx, struct adding *adding, enum job_outcome *ret)
{
	struct job_row *row = &adding->row;
	enum unique_verdict verdict;
	struct unique_there there;
	int r = unique_take_in_tx(tx, row, adding->mode, adding->until, &verdict, &there);

	if (r < 0)
		return r;
	switch (verdict) {
	case UNIQUE_KEPT:
		row->id = there.id;
		*ret = JOB_KEPT;
		return 0;
	case UNIQUE_REPLACE: *ret = JOB_REPLACED; return replace(tx, adding, &there);
	case UNIQUE_BEHIND:
		row->state = JOB_SCHEDULED;
		row->run_at = JOB_BEHIND_US;
		break;
	case UNIQUE_INSERT: break;
	}
	*ret = JOB_ADDED;
	return insert(tx, adding);
}

int adding_put_in_tx(struct tx *tx, struct adding *adding, struct job_added *ret)
{
	enum job_outcome outcome = JOB_ADDED;
	int r = adding->row.unique_key.set ? add_unique(tx, adding, &outcome) : insert(tx, adding);

	if (r == 0 && outcome != JOB_KEPT)
		r = ring(tx, &adding->row);
	if (r < 0)
		return r;
	ret->outcome = outcome;
	CHECK(uuid_parse(adding->row.id, &ret->id));
	return 0;
}

int adding_put(const struct db *db, struct adding *adding)
{
	static const struct depth_more one = { .count = 1 };
	const struct job_row *row = &adding->row;
	int r;

	CHECK(!row->unique_key.set && !row->group_key.set);
	r = depth_check(&db->tenant, row->queue, &adding->settings, &one, row->created_at);
	if (r >= 0)
		r = db_exec_with(db, &jobs_adding, &job_insert, row);
	if (r < 0)
		return r;
	depth_add(&db->tenant, row->queue, 1);
	if (row->state == JOB_AVAILABLE) {
		struct bell_offer offer = { .tenant = db->tenant };

		CHECK(uuid_parse(row->id, &offer.job));
		bell_ring_for(bell_of(row->queue), &offer);
	} else {
		bell_ring(bell_of_later());
	}
	return 0;
}

/* --- for modules ---------------------------------------------------------------------------------
 */

/* The first of what is wrong, and how many more. */
static int refuse(const struct problems *problems)
{
	const struct problem *first = &problems->at[0];
	char field[ERR_FIELD_MAX];

	(void)snprintf(field, sizeof(field), "%.*s", STR_ARG(first->field));
	return fail_field(ERR_INVALID, field, first->code, "%.*s (%zu problems in all)",
		STR_ARG(first->message), problems->count + problems->more);
}

static int check(struct tx *tx, const struct job_new *job)
{
	const struct job_kind *kind = job_kind_find(job->name);
	struct problems problems;
	int r;

	problems_init(&problems, tx_arena(tx));
	r = job_check(job, tx_now_us(tx), str_of(NULL, 0), &problems);
	if (r == 0 && job->queue.len && job_name_reserved(job->name))
		r = problems_add(&problems, S("queue"), "reserved", "must be that of the kind");
	if (r == 0 && problems.count == 0 && kind && !job->schema)
		r = job_kind_check(kind, job->payload.len ? job->payload : S("{}"), str_of(NULL, 0),
			&problems);
	if (r == 0 && problems.count)
		r = refuse(&problems);
	return r;
}

int jobs_add_in_tx(struct tx *tx, const struct job_new *jobs, size_t count, struct job_added *ret)
{
	struct adding *addings = arena_alloc(tx_arena(tx), count * sizeof(*addings));
	struct job_added added;
	size_t which;
	int r = 0;

	if (!addings)
		return -(int)err_last()->code;
	for (size_t i = 0; i < count && r == 0; i++) {
		r = check(tx, &jobs[i]);
		if (r == 0)
			r = adding_make(&jobs[i], tx_arena(tx), tx_now_us(tx), &addings[i]);
	}
	if (r == 0)
		r = addings_join_in_tx(tx, addings, count, &which);
	for (size_t i = 0; i < count && r == 0; i++)
		r = adding_put_in_tx(tx, &addings[i], ret ? &ret[i] : &added);
	return r < 0 && count > 1 ? tx_fail(tx, r) : r;
}

int tx_enqueue(struct tx *tx, const struct job_new *job, struct job_added *ret)
{
	return jobs_add_in_tx(tx, job, 1, ret);
}
