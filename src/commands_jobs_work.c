/* What a server, or a process without one, does for the commands about jobs. */
#include "commands_jobs_work.h"
#include "base/err.h"
#include "base/time_text.h"
#include "http/health.h"
#include "http/server.h"
#include "modules/jobs/jobs_change.h"
#include "modules/jobs/jobs_queues.h"
#include "modules/jobs/jobs_settings.h"
#include "modules/tenants/tenants.h"
#include "observe/clock.h"
#include "schema/decode.h"
#include "schema/encode.h"
#include "json/writer.h"

enum {
	ARENA_MAX = 64 * 1024 * 1024,
	LIST_LIMIT = 50,
	QUEUES_SHOWN = 1000, /* queues and workers of one answer */
};

static const struct audit_actor program = { .kind = AUDIT_PROGRAM };

/* --- beginning --------------------------------------------------------------------------- */

static int find_tenant(struct jobs_work *work)
{
	struct str slug = work->command.tenant;
	struct tenant tenant;
	int r;

	if (slug.len == 0)
		return 0;
	work->has_tenant = true;
	if (str_eq(slug, S("system"))) {
		work->tenant = tenant_system;
		return 0;
	}
	r = tenant_find_slug(work->store, slug, &work->arena, &tenant);
	if (r == -ERR_NOT_FOUND)
		return fail(ERR_INVALID, "there is no tenant %.*s", STR_ARG(slug));
	if (r == 0)
		CHECK(uuid_parse(tenant.tenant_id, &work->tenant));
	return r;
}

int jobs_work_begin(struct jobs_work *work, const struct command_job *job, struct buf *out)
{
	struct problems problems;
	int r;

	*work = (struct jobs_work){ .job = job, .store = job->server->store, .out = out };
	arena_init(&work->arena, 64 * KILOBYTE, ARENA_MAX);
	work->system = db_of_system(work->store, &work->arena);
	problems_init(&problems, &work->arena);
	r = schema_decode(&jobs_command_schema, SCHEMA_ALL, job->argument, &work->arena, &problems,
		&work->command);
	if (r == -ERR_INVALID)
		return fail(ERR_INVALID, "this is no command about jobs");
	return r < 0 ? r : find_tenant(work);
}

/* An error of one member as a sentence. */
int jobs_work_end(struct jobs_work *work, int r)
{
	const struct err *err = err_last();

	if (r < 0 && err->field[0])
		r = err_wrap("%s", err->field);
	arena_done(&work->arena);
	return r;
}

static int need_tenant(const struct jobs_work *work)
{
	return work->has_tenant ? 0 : fail(ERR_INVALID, "whose? --tenant SLUG is missing");
}

static const struct uuid *tenant_or_all(const struct jobs_work *work)
{
	return work->has_tenant ? &work->tenant : NULL;
}

static int state_of(struct str text, struct opt_int *ret)
{
	if (text.len == 0)
		return 0;
	for (int i = 0; i < JOB_STATES; i++)
		if (str_eq(text, str_from_c(job_state_names[i]))) {
			*ret = (struct opt_int){ .set = true, .value = i };
			return 0;
		}
	return fail(ERR_INVALID, "there is no state %.*s", STR_ARG(text));
}

static int filter_of(const struct jobs_work *work, struct job_filter *ret)
{
	const struct jobs_command *command = &work->command;

	/* What the installation does for tenants is touched only by who names it. */
	*ret = (struct job_filter){ .queue = { .set = command->queue.len > 0,
					    .value = command->queue },
		.reserved = queue_name_reserved(command->queue) };
	if (command->older_ms) {
		ret->ended_before.set = true;
		ret->ended_before.value = clock_wall_us() - command->older_ms * 1000;
	}
	return state_of(command->state, &ret->state);
}

static int check_id(struct str id)
{
	struct uuid uuid;

	return uuid_parse(id, &uuid) ? 0 : fail(ERR_INVALID, "%.*s is no id", STR_ARG(id));
}

/* --- writing ------------------------------------------------------------------------------- */

int jobs_work_json(struct jobs_work *work, const struct schema *schema, const void *at)
{
	struct json_writer writer;
	int r;

	json_writer_init(&writer, work->out);
	schema_encode(schema, SCHEMA_OUTPUT, at, &writer);
	r = json_writer_done(&writer);
	buf_byte(work->out, '\n');
	return r < 0 ? r : work->out->failed;
}

static void write_time(struct buf *out, int64_t at_us)
{
	char text[TIME_RFC3339_LEN];

	time_write_rfc3339(text, at_us);
	buf_append(out, str_of(text, sizeof(text)));
}

/* "1234 ms", or "-". */
static struct str ms_text(struct arena *arena, struct opt_i64 ms)
{
	return ms.set ? arena_printf(arena, "%lld ms", (long long)ms.value) : S("-");
}

/* --- jobs ------------------------------------------------------------------------------------ */

static void write_item(struct buf *out, const struct job_item *item)
{
	const struct job_shown *job = &item->shown;

	buf_printf(out, "%.*s  %-11s %-16.*s %-24.*s %lld/%lld  ", STR_ARG(job->id),
		job_state_names[job->state], STR_ARG(job->queue), STR_ARG(job->name),
		(long long)job->attempt, (long long)job->attempts);
	write_time(out, job->created_at);
	buf_byte(out, '\n');
}

static int list(struct jobs_work *work)
{
	struct str cursor = work->command.cursor;
	struct job_window window = { .after_id = cursor.len ? cursor : S(UUID_LAST),
		.limit = work->command.limit ? (size_t)work->command.limit : LIST_LIMIT };
	struct job_filter filter;
	struct job_found found = { 0 };
	int r = need_tenant(work);

	if (r == 0)
		r = filter_of(work, &filter);
	if (r == 0 && cursor.len)
		r = check_id(cursor);
	if (r == 0 && window.limit > JOBS_CALL_MAX)
		r = fail(ERR_INVALID, "at most %d jobs at once", (int)JOBS_CALL_MAX);
	if (r == 0)
		r = jobs_find(work->store, &work->arena, &work->tenant, &filter, &window, &found);
	for (size_t i = 0; r == 0 && i < found.count; i++)
		if (work->job->json)
			r = jobs_work_json(work, &job_item_schema, &found.items[i]);
		else
			write_item(work->out, &found.items[i]);
	if (r == 0 && found.next_id.len && !work->job->json)
		buf_printf(work->out, "more: --cursor %.*s\n", STR_ARG(found.next_id));
	return r;
}

static void write_details(struct buf *out, const struct job_details *job)
{
	const struct job_item item = { job->shown, job->running_ms };

	write_item(out, &item);
	if (job->shown.worker.set)
		buf_printf(out, "worker: %.*s\n", STR_ARG(job->shown.worker.value));
	if (job->shown.progress.set)
		buf_printf(out, "progress: %lld %% %.*s\n", (long long)job->shown.progress.value,
			STR_ARG(job->shown.progress_note.value));
	buf_printf(out, "payload: %.*s\n", STR_ARG(job->shown.payload.json));
	if (job->shown.result.json.len)
		buf_printf(out, "result: %.*s\n", STR_ARG(job->shown.result.json));
	for (size_t i = 0; i < job->errors.count; i++) {
		const struct job_error_shown *error = &job->errors.at[i];

		buf_printf(out, "attempt %lld, ", (long long)error->attempt);
		write_time(out, error->at);
		buf_printf(out, ", %.*s: %.*s\n", STR_ARG(error->kind), STR_ARG(error->message));
	}
}

static int show(struct jobs_work *work)
{
	struct db db = db_of(work->store, &work->tenant, &work->arena);
	struct job_details job = { 0 };
	int r = need_tenant(work);

	if (r == 0)
		r = check_id(work->command.id);
	if (r == 0)
		r = job_details_get(&db, work->command.id, true, &job);
	if (r == -ERR_NOT_FOUND)
		return fail(ERR_NOT_FOUND, "there is no job %.*s", STR_ARG(work->command.id));
	if (r < 0)
		return r;
	if (work->job->json)
		return jobs_work_json(work, &job_details_schema, &job);
	write_details(work->out, &job);
	return work->out->failed;
}

/* --- changes ------------------------------------------------------------------------------- */

struct one {
	enum job_change change;
	struct str id;
};

static int change_in_tx(struct tx *tx, void *arg)
{
	const struct one *one = arg;
	int r = job_change_in_tx(tx, one->change, one->id, (struct opt_int){ 0 });

	return r < 0 ? r : job_change_audit(tx, &program, one->change, one->id);
}

static int change_one(struct jobs_work *work, enum job_change change)
{
	struct db db = db_of(work->store, &work->tenant, &work->arena);
	struct one one = { change, work->command.id };
	int r = check_id(one.id);

	if (r == 0)
		r = db_write(&db, change_in_tx, &one);
	if (r == -ERR_NOT_FOUND)
		return fail(ERR_NOT_FOUND, "there is no job %.*s", STR_ARG(one.id));
	return r;
}

/* Call after call, until all or as many as wanted are done. */
static int change_all(struct jobs_work *work, enum job_change change,
	const struct job_filter *filter, struct jobs_changed *ret)
{
	struct jobs_change_all all = { .change = change, .filter = *filter };
	int64_t left = work->command.limit ? work->command.limit : INT64_MAX;
	char cursor[UUID_TEXT_LEN];
	int r = 0;

	*ret = (struct jobs_changed){ .more = true };
	while (r == 0 && ret->more && left > 0) {
		struct arena_mark mark = arena_mark(&work->arena);
		struct jobs_changed done = { 0 };

		all.most = (size_t)MIN(left, (int64_t)JOBS_CALL_MAX);
		r = jobs_change_all(
			work->store, &work->arena, &work->tenant, &program, &all, &done);
		if (r == 0 && done.more) {
			memcpy(cursor, done.next_id.value.at, sizeof(cursor));
			all.after_id = str_of(cursor, sizeof(cursor));
		}
		arena_back(&work->arena, mark);
		left -= done.count + done.skipped;
		ret->count += done.count;
		ret->skipped += done.skipped;
		ret->more = done.more;
	}
	return r;
}

static int write_changed(struct jobs_work *work, const struct jobs_changed *changed)
{
	if (work->job->json)
		return jobs_work_json(work, &jobs_changed_schema, changed);
	buf_printf(work->out, "%lld done, %lld left as they are%s\n", (long long)changed->count,
		(long long)changed->skipped, changed->more ? "; there are more" : "");
	return work->out->failed;
}

/* One by its id, or all that fit; `otherwise` is the state when none is given. */
static int change(
	struct jobs_work *work, enum job_change change, unsigned allowed, struct opt_int otherwise)
{
	struct jobs_changed changed = { .count = 1 };
	struct job_filter filter;
	int r = need_tenant(work);

	if (r < 0)
		return r;
	if (work->command.id.len) {
		r = change_one(work, change);
		return r < 0 ? r : write_changed(work, &changed);
	}
	r = filter_of(work, &filter);
	if (r == 0 && !filter.state.set)
		filter.state = otherwise;
	if (r == 0 && !filter.state.set)
		r = fail(ERR_INVALID, "which ones? --state STATE is missing");
	if (r == 0 && !(allowed & 1U << filter.state.value))
		r = fail(ERR_INVALID, "this is not done with jobs that are %s",
			job_state_names[filter.state.value]);
	if (r == 0)
		r = change_all(work, change, &filter, &changed);
	return r < 0 ? r : write_changed(work, &changed);
}

#define ENDED (1U << JOB_COMPLETED | 1U << JOB_DISCARDED | 1U << JOB_CANCELLED)
#define LIVE  (1U << JOB_SCHEDULED | 1U << JOB_AVAILABLE | 1U << JOB_RETRYABLE | 1U << JOB_RUNNING)

/* --- queues ---------------------------------------------------------------------------------- */

struct pausing {
	struct str queue;
	bool paused;
};

static int pause_in_tx(struct tx *tx, void *arg)
{
	const struct pausing *pausing = arg;
	int r = queue_pause_in_tx(tx, pausing->queue, pausing->paused);

	return r < 0 ? r
		     : tx_audit(tx, &program,
			       &(struct audit_entry){ .action = pausing->paused
									? S("queue.paused")
									: S("queue.resumed"),
				       .type = S("queue"),
				       .id = pausing->queue });
}

static int pause(struct jobs_work *work, bool paused)
{
	struct db db = db_of(work->store, &work->tenant, &work->arena);
	struct pausing pausing = { work->command.queue, paused };
	struct queue_config config;
	struct queue_change wanted = {
		.actor = program,
		.name = work->command.queue,
		.what = paused ? QUEUE_PAUSE : QUEUE_RESUME,
		.ret = &config,
	};
	int r = queue_name_check_any(wanted.name);

	if (r == 0 && work->has_tenant)
		r = db_write(&db, pause_in_tx, &pausing);
	else if (r == 0)
		r = db_write(&work->system, queue_change_in_tx, &wanted);
	if (r == 0)
		r = queues_refresh(work->store, &work->arena);
	if (r < 0)
		return r;
	if (work->job->json)
		buf_printf(work->out, "{\"queue\":\"%.*s\",\"paused\":%s}\n", STR_ARG(wanted.name),
			paused ? "true" : "false");
	else
		buf_printf(work->out, "%.*s is %s\n", STR_ARG(wanted.name),
			paused ? "paused" : "not paused");
	return work->out->failed;
}

static int drain(struct jobs_work *work)
{
	struct jobs_changed changed = { .more = true }, done;
	int r = queue_name_check_any(work->command.queue);

	while (r == 0 && changed.more) {
		r = queue_drain(work->store, &work->arena, tenant_or_all(work), work->command.queue,
			false, &program, &done);
		if (r < 0)
			break;
		changed.count += done.count;
		changed.skipped += done.skipped;
		changed.more = done.more && done.count > 0;
	}
	return r < 0 ? r : write_changed(work, &changed);
}

/* Counted now, since nobody may have done so. */
static int read_queues(struct jobs_work *work, struct queue_shown **ret, size_t *ret_count)
{
	const struct queues_ask ask = { .tenant = tenant_or_all(work), .limit = QUEUES_SHOWN };
	int r = queues_load(work->store, &work->arena);

	if (r == 0)
		r = census_count(work->store, (1U << CENSUS_PARTS) - 1);
	if (r == 0)
		r = census_read(work->store);
	return r < 0 ? r : queues_show(&work->system, &ask, ret, ret_count);
}

static void write_queue(struct jobs_work *work, const struct queue_shown *queue)
{
	struct str oldest = ms_text(&work->arena, queue->oldest_ready_ms);
	int64_t later = queue->scheduled + queue->retryable;

	buf_printf(work->out, "%-16.*s %-8s %8lld %8lld %8lld %8lld %8lld %9lld %9lld  %.*s\n",
		STR_ARG(queue->name), queue->paused || queue->paused_tenant ? "paused" : "open",
		(long long)queue->ready, (long long)queue->blocked, (long long)later,
		(long long)queue->running, (long long)queue->completed, (long long)queue->discarded,
		(long long)queue->cancelled, STR_ARG(oldest));
}

static int queues(struct jobs_work *work)
{
	struct queue_shown *shown;
	size_t count;
	int r = read_queues(work, &shown, &count);

	if (r == 0 && !work->job->json)
		buf_printf(work->out, "%-16s %-8s %8s %8s %8s %8s %8s %9s %9s  %s\n", "QUEUE", "",
			"ready", "blocked", "later", "running", "done", "discarded", "cancelled",
			"oldest");
	for (size_t i = 0; r == 0 && i < count; i++)
		if (work->job->json)
			r = jobs_work_json(work, &queue_shown_schema, &shown[i]);
		else
			write_queue(work, &shown[i]);
	return r;
}

static int workers(struct jobs_work *work)
{
	struct worker_shown *at;
	size_t count;
	int r = workers_show(
		&work->system, tenant_or_all(work), S(UUID_FIRST), QUEUES_SHOWN, &at, &count);

	for (size_t i = 0; r == 0 && i < count; i++) {
		if (work->job->json) {
			r = jobs_work_json(work, &worker_shown_schema, &at[i]);
			continue;
		}
		buf_printf(work->out, "%.*s  %.*s  %lld running, seen ", STR_ARG(at[i].id),
			STR_ARG(at[i].worker), (long long)at[i].running);
		write_time(work->out, at[i].seen_at);
		buf_byte(work->out, '\n');
	}
	return r;
}

/* --- stats ------------------------------------------------------------------------------------ */

struct jobs_stats {
	int64_t queues, ready, blocked, scheduled, retryable, running;
	int64_t completed, discarded, cancelled;
	double per_minute;
	struct str alarm; /* sentences; empty: all is well */
};

static void add_queue(struct jobs_stats *stats, const struct queue_shown *queue)
{
	stats->queues++;
	stats->ready += queue->ready;
	stats->blocked += queue->blocked;
	stats->scheduled += queue->scheduled;
	stats->retryable += queue->retryable;
	stats->running += queue->running;
	stats->completed += queue->completed;
	stats->discarded += queue->discarded;
	stats->cancelled += queue->cancelled;
	stats->per_minute += queue->per_minute;
}

static int write_stats(struct jobs_work *work, const struct jobs_stats *stats)
{
	const struct {
		struct str name;
		int64_t value;
	} rows[] = {
		{ S("queues"), stats->queues },
		{ S("ready"), stats->ready },
		{ S("blocked"), stats->blocked },
		{ S("scheduled"), stats->scheduled },
		{ S("retryable"), stats->retryable },
		{ S("running"), stats->running },
		{ S("completed"), stats->completed },
		{ S("discarded"), stats->discarded },
		{ S("cancelled"), stats->cancelled },
	};
	struct json_writer writer;
	int r;

	if (!work->job->json) {
		for (size_t i = 0; i < LEN(rows); i++)
			buf_printf(work->out, "%-12.*s %lld\n", STR_ARG(rows[i].name),
				(long long)rows[i].value);
		buf_printf(work->out, "%-12s %.1f\n", "per minute", stats->per_minute);
		if (stats->alarm.len)
			buf_printf(work->out, "alarm: %.*s\n", STR_ARG(stats->alarm));
		return work->out->failed;
	}
	json_writer_init(&writer, work->out);
	json_write_object(&writer);
	for (size_t i = 0; i < LEN(rows); i++) {
		json_write_key(&writer, rows[i].name);
		json_write_i64(&writer, rows[i].value);
	}
	json_write_key(&writer, S("perMinute"));
	json_write_double(&writer, stats->per_minute);
	if (stats->alarm.len) {
		json_write_key(&writer, S("alarm"));
		json_write_string(&writer, stats->alarm);
	}
	json_write_object_end(&writer);
	r = json_writer_done(&writer);
	buf_byte(work->out, '\n');
	return r < 0 ? r : work->out->failed;
}

static int stats(struct jobs_work *work)
{
	struct jobs_stats sums = { 0 };
	struct queue_shown *shown;
	struct buf why;
	size_t count;
	bool well;
	int r = read_queues(work, &shown, &count);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		add_queue(&sums, &shown[i]);
	buf_init(&why, HEALTH_WHY_MAX);
	well = jobs_health.is_well(&why);
	sums.alarm = buf_str(&why);
	r = write_stats(work, &sums);
	buf_done(&why);
	return r < 0 ? r : well ? 0 : JOBS_ALARM;
}

/* --- the commands --------------------------------------------------------------------------- */

static const struct opt_int none;

JOBS_COMMAND(list, list(&work))
JOBS_COMMAND(show, show(&work))
JOBS_COMMAND(
	retry, change(&work, JOB_RETRY, ENDED, ((struct opt_int){ true, false, JOB_DISCARDED })))
JOBS_COMMAND(cancel, change(&work, JOB_CANCEL, LIVE, none))
JOBS_COMMAND(remove, change(&work, JOB_REMOVE, ENDED, none))
JOBS_COMMAND(clean, change(&work, JOB_REMOVE, ENDED, none))
JOBS_COMMAND(pause, pause(&work, true))
JOBS_COMMAND(resume, pause(&work, false))
JOBS_COMMAND(drain, drain(&work))
JOBS_COMMAND(queues, queues(&work))
JOBS_COMMAND(workers, workers(&work))
JOBS_COMMAND(stats, stats(&work))
