/*
 * One start of a job in this process: what was taken becomes a struct job with an arena of its own,
 * its handler runs on a fiber whose scope ends with the timeout, and what it returns becomes the
 * end that its crew tells the store.
 */
#include "modules/jobs/jobs_adding.h"
#include "modules/jobs/jobs_run.h"
#include "modules/jobs/jobs_work_internal.h"

#include "crypto/random.h"
#include "observe/clock.h"
#include "observe/log.h"
#include "observe/span.h"
#include "schema/decode.h"

#define UNJUDGED_PAUSE SECOND      /* of a job whose payload's schema cannot be read */
#define HAND_TIME      MILLISECOND /* of handlers that do not wait, until others have their turn */

/* --- filling in ---------------------------------------------------------------------------- */

/* What is known without memory: enough to tell how it ended. */
static int name_it(struct start *start, const struct taken *taken, const struct uuid *lease)
{
	CHECK(taken->id.len == UUID_TEXT_LEN);
	memcpy(start->id, taken->id.at, UUID_TEXT_LEN);
	uuid_write(start->lease_id, lease);
	start->end = (struct job_end){ .id = str_of(start->id, UUID_TEXT_LEN),
		.queue = start->crew->queue,
		.lease_id = str_of(start->lease_id, UUID_TEXT_LEN),
		.attempt = taken->attempt };
	if (!uuid_parse(taken->id, &start->job.id) ||
		!uuid_parse(taken->tenant_id, &start->job.tenant))
		return fail(ERR_INTERNAL, "a job without an id");
	return 0;
}

static bool keep(struct arena *arena, struct str text, struct str *ret)
{
	*ret = text.len ? arena_str(arena, text) : text;
	return text.len == 0 || ret->at;
}

/* A handler may take so long: what the job says, else its kind, else the queue. */
static uint64_t timeout_of(const struct start *start, const struct taken *taken)
{
	struct queue_settings settings;

	if (taken->timeout_us.set && taken->timeout_us.value > 0)
		return (uint64_t)taken->timeout_us.value * MICROSECOND;
	if (start->kind && start->kind->timeout_ns)
		return start->kind->timeout_ns;
	queue_settings(start->crew->queue, &settings);
	return (uint64_t)settings.timeout_ms * MILLISECOND;
}

int start_fill(struct start *start, const struct taken *taken, const struct uuid *lease)
{
	struct job *job = &start->job;
	struct arena *arena = &start->arena;
	int r = name_it(start, taken, lease);

	if (r < 0)
		return r;
	job->attempt = taken->counted;
	job->attempts = taken->attempts;
	job->created_at = taken->created_at;
	job->queue = start->crew->queue;
	job->server = start->crew->thread->work->server;
	job->arena = arena;
	job->db = db_of(job->server->store, &job->tenant, arena);
	if (!keep(arena, taken->name, &job->name) || !keep(arena, taken->trace, &job->trace) ||
		!keep(arena, taken->payload.json, &job->payload.json) ||
		!keep(arena, taken->group_key.value, &start->end.group))
		return -(int)err_last()->code;
	start->kind = job_kind_find(taken->name);
	start->timeout_ns = timeout_of(start, taken);
	return 0;
}

/* --- its end ------------------------------------------------------------------------------- */

static void say(struct start *start, struct str message)
{
	struct str kept = arena_str(&start->arena, str_first(message, JOB_MESSAGE_MAX));

	start->end.message = kept.at ? kept : S("out of memory");
}

void start_end(struct start *start, enum end_kind kind, const char *message)
{
	start->end.kind = kind;
	start->end.message = str_from_c(message);
}

void start_failed(struct start *start, int r)
{
	char text[ERR_TEXT_MAX * ERR_FRAMES];
	const struct err *err = err_last();

	start->end.kind = END_FAIL;
	if ((int)err->code == -r)
		say(start, str_of(text, err_describe(err, text, sizeof(text))));
	else /* the handler's own, without a text */
		say(start, err_info(r)->text);
}

/* What a negative result of the handler comes to. */
static void judge_failure(struct start *start, int r, bool late)
{
	if (start->stop == START_STOPPED || start->stop == START_LOST) {
		start_end(start, END_RELEASE, "");
	} else if (start->stop == START_CANCELLED) {
		start_end(start, END_FAIL, "cancelled");
	} else if (late) {
		start_end(start, END_TIMEOUT, "the handler took longer than its timeout");
	} else {
		start_failed(start, r);
	}
}

/* Error text in the slot is the handler's. */
static void judge(struct start *start, int r, bool late)
{
	if (r < 0) {
		judge_failure(start, r, late);
	} else if (start->judged) {
		start->end.kind = start->verdict;
	} else {
		start->end.kind = END_COMPLETE;
		start->end.result = (struct json_value){ start->result };
	}
}

/* --- the handler -------------------------------------------------------------------------------
 */

/* A payload that a schema refuses will never be a better one. */
static int refuse(struct start *start, struct str why)
{
	start->judged = true;
	start->verdict = END_INVALID;
	say(start, why);
	return 0;
}

/* What the API's schemas say of the payload: 1 when it may be worked on. One that cannot be judged
 * now comes again in a moment. */
static int mind_schemas(struct start *start)
{
	struct job *job = &start->job;
	struct arena_mark mark = arena_mark(&start->arena);
	struct problems problems;
	int r;

	problems_init(&problems, &start->arena);
	r = job_schemas_check(&job->db, job->name, job->payload.json, S(""), &problems);
	if (r == 0) {
		arena_back(&start->arena, mark);
		return 1;
	}
	if (!job_unjudged(r))
		return refuse(start, job_refusal(&start->arena, &problems));
	if (scope_over(start->scope))
		return r;
	log_warn("the payload of a job cannot be judged now", LOG_ERR);
	return job_snooze(job, UNJUDGED_PAUSE);
}

static int decode_and_run(struct start *start)
{
	const struct schema *schema = start->kind->schema;
	struct problems problems;
	void *payload = NULL;
	int r = 0;

	if (job_stray(start->job.name, start->job.queue))
		return refuse(start, S(JOB_STRAY));
	problems_init(&problems, &start->arena);
	if (schema) {
		payload = arena_zalloc(&start->arena, schema->size);
		r = payload ? schema_decode(schema, SCHEMA_ALL, start->job.payload.json,
				      &start->arena, &problems, payload)
			    : -(int)err_last()->code;
	}
	if (r == -ERR_INVALID)
		return refuse(start, job_refusal(&start->arena, &problems));
	if (r == 0)
		r = mind_schemas(start);
	return r > 0 ? start->kind->run(&start->job, payload) : r;
}

/* Who added the job has a trace, and this is a part of it. */
static void begin_span(struct span *span, const struct job *job)
{
	struct trace parent;

	if (trace_parse(job->trace, &parent)) {
		struct trace trace = trace_child(&parent, random_u64());

		span_start(span, &trace, parent.span, S("job"), SPAN_CONSUMER);
	} else {
		uint8_t random[TRACE_RANDOM_LEN];
		struct trace trace;

		random_bytes(random, sizeof(random));
		trace = trace_start(random, true);
		span_start(span, &trace, 0, S("job"), SPAN_CONSUMER);
	}
	span_str(span, "messaging.operation.name", job->name);
	span_str(span, "messaging.destination.name", job->queue);
}

/* Runs the handler with a span and a context for the log. */
static int run_traced(struct start *start)
{
	const struct job *job = &start->job;
	char trace_text[TRACE_ID_LEN], span_text[TRACE_SPAN_LEN], tenant_text[UUID_TEXT_LEN];
	const struct log_field fields[] = {
		LOG_STR("job", job->name),
		LOG_STR("jobId", str_of(start->id, UUID_TEXT_LEN)),
		LOG_INT("attempt", job->attempt),
	};
	struct log_context context = {
		.trace_id = str_of(trace_text, TRACE_ID_LEN),
		.span_id = str_of(span_text, TRACE_SPAN_LEN),
		.tenant_id = str_of(tenant_text, UUID_TEXT_LEN),
		.fields = fields,
		.field_count = LEN(fields),
	};
	struct span span;
	int r;

	begin_span(&span, job);
	trace_write_id(trace_text, &span.trace);
	trace_write_span(span_text, span.trace.span);
	uuid_write(tenant_text, &job->tenant);
	log_context_push(&context);
	r = decode_and_run(start);
	start->end.trace = arena_str(&start->arena, context.trace_id);
	log_context_pop(&context);
	span_end(&span, r < 0 ? SPAN_ERROR : SPAN_OK);
	return r;
}

static uint64_t deadline_of(const struct start *start, uint64_t now)
{
	return start->timeout_ns && start->timeout_ns < TIME_NEVER - now ? now + start->timeout_ns
									 : TIME_NEVER;
}

/* Does it; the time at which it ended. */
static uint64_t run(struct start *start, uint64_t began)
{
	uint64_t ended;
	struct scope scope;
	int r = 0;

	fiber_current()->err = (struct err){ 0 }; /* of the job before it */
	scope_open(&scope, deadline_of(start, began));
	start->scope = &scope;
	if (start->stop == START_GOES_ON)
		r = run_traced(start);
	else
		r = -ERR_CANCELLED;
	ended = clock_now_ns();
	judge(start, r, scope.deadline_ns <= ended);
	start->scope = NULL;
	(void)scope_close(&scope);

	notes_settle(start);
	return ended;
}

int start_run(void *arg)
{
	uint64_t began = clock_now_ns(), turn = began;

	for (struct start *start = arg; start;) {
		uint64_t ended = run(start, began);

		start = crew_take_back(start, ended - began);
		if (start && ended - turn > HAND_TIME) {
			fiber_yield();
			ended = turn = clock_now_ns();
		}
		began = ended;
	}
	return 0;
}

void start_cancel(struct start *start, enum start_stop why)
{
	if (start->stop != START_GOES_ON)
		return;
	start->stop = why;
	if (start->scope)
		scope_cancel(start->scope);
}

/* --- what a handler may say ------------------------------------------------------------ */

int job_snooze(struct job *job, uint64_t delay_ns)
{
	struct start *start = start_of(job);
	uint64_t most = JOB_DELAY_DAYS * 24 * HOUR;

	start->judged = true;
	start->verdict = END_SNOOZE;
	start->end.delay_us = (int64_t)(MIN(delay_ns, most) / MICROSECOND);
	return 0;
}

int job_discard(struct job *job, struct str why)
{
	struct start *start = start_of(job);

	start->judged = true;
	start->verdict = END_DISCARD;
	say(start, why);
	return 0;
}

/* Whether it is one JSON value, which others may parse later. */
static int check_json(struct arena *arena, struct str json)
{
	struct arena_mark mark = arena_mark(arena);
	struct json_reader reader;
	int r;

	json_reader_init(&reader, json, arena, NULL);
	r = json_next(&reader);
	if (r >= 0)
		r = json_skip(&reader);
	if (r >= 0)
		r = json_next(&reader);
	arena_back(arena, mark);
	return r < 0 ? r : 0;
}

int job_result(struct job *job, struct str json)
{
	struct start *start = start_of(job);
	int r;

	if (json.len > JOB_RESULT_MAX)
		return fail(ERR_TOO_LARGE, "a result of a job is at most %d bytes long",
			JOB_RESULT_MAX);
	r = check_json(&start->arena, json);
	if (r < 0)
		return r;
	json = arena_str(&start->arena, json);
	if (!json.at)
		return -(int)err_last()->code;
	start->result = json;
	return 0;
}

/* --- completing it with its own writes ------------------------------------------------- */

static void remember(void *arg)
{
	struct start *start = arg;

	start->completed = true;
}

int tx_complete_job(struct tx *tx, struct job *job)
{
	struct start *start = start_of(job);
	struct job_end end = start->end;
	int r;

	if (uuid_cmp(tx_tenant(tx), &job->tenant) != 0)
		return tx_fail(tx, fail(ERR_INTERNAL, "a job of another tenant"));
	end.kind = END_COMPLETE;
	end.result = (struct json_value){ start->result };
	r = notes_write_in_tx(tx, start);
	if (r == 0)
		r = jobs_end_in_tx(tx, &end, 1);
	if (r == 0 && end.result_code < 0)
		r = fail(ERR_CONFLICT, "somebody else has the job by now");
	if (r == 0)
		r = tx_after_commit(tx, remember, start);
	return tx_fail(tx, r);
}
