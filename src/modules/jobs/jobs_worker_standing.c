/*
 * What workers say while they work: that they live, how far they are, and lines of the job's own
 * log. The lease beats if the job is still theirs, and the answer tells whether it shall stop.
 */
#include "base/err.h"
#include "http/server.h"
#include "modules/jobs/jobs_worker_internal.h"
#include "modules/jobs/jobs_worker_store.h"
#include "observe/clock.h"
#include "observe/log.h"

/* One start that is asked about. */
struct asked {
	struct start start;
	struct job_token token;
	int refused;      /* the token is no good: why */
	int result;       /* out: 0, -ERR_CONFLICT or -ERR_NOT_FOUND; */
	bool cancel;      /* with 0, whether it shall stop, */
	int64_t lease_us; /* and how long it has from now on */
};

struct standing {
	struct worker_caller caller;
	struct asked *asked;
	size_t count;
	/* What comes with it, of the only one; NULL: nothing. */
	const struct job_progress_request *progress;
	const struct job_log_request *log;
	struct job_logged *logged;
};

static int read_token(const struct worker_caller *caller, struct arena *arena, struct str id,
	struct str text, struct asked *ret)
{
	*ret = (struct asked){ .start = { .id = id } };
	if (!job_token_read(text, &ret->token))
		ret->refused = -ERR_CONFLICT;
	else if (!worker_may(caller, &ret->token))
		ret->refused = -ERR_NOT_FOUND;
	ret->start.attempt = ret->token.attempt;
	ret->start.lease_id = uuid_text(arena, &ret->token.lease);
	return ret->start.lease_id.at ? 0 : -(int)err_last()->code;
}

/* --- in a transaction ------------------------------------------------------------------------ */

static bool is_verdict(int r)
{
	return r == -ERR_NOT_FOUND || r == -ERR_CONFLICT;
}

/* The job may have ended since it was looked at. */
static int set_progress_in_tx(
	struct tx *tx, struct asked *asked, const struct job_progress_request *in)
{
	struct job_progress_row row = { .id = asked->start.id,
		.lease_id = asked->start.lease_id,
		.attempt = asked->start.attempt,
		.percent = in->percent,
		.note = in->note };
	size_t changed;
	int r = tx_change(tx, &job_progress_set, &row, &changed);

	if (r == 0 && changed == 0)
		asked->result = -ERR_CONFLICT;
	return r;
}

static int add_line_in_tx(struct tx *tx, struct str job_id, const struct job_log_line *line)
{
	struct job_line_row row = { .job_id = job_id,
		.level = log_level_name(line->level),
		.line = worker_cut(line->message, JOB_LINE_MAX) };
	struct uuid id;

	uuid_v7(&id, clock_wall_us());
	row.id = uuid_text(tx_arena(tx), &id);
	return row.id.at ? tx_exec(tx, &job_line_insert, &row) : -(int)err_last()->code;
}

static int add_lines_in_tx(struct tx *tx, const struct standing *standing)
{
	const struct job_log_request *in = standing->log;
	struct job_line_count lines = { 0 };
	struct lease_found key = { in->id };
	int64_t count = (int64_t)in->lines.count, kept;
	int r = tx_one(tx, &job_lines_count, &key, &lines);

	kept = MIN(count, JOB_LINES_MAX - lines.count);
	for (int64_t i = 0; i < kept && r == 0; i++)
		r = add_line_in_tx(tx, in->id, &in->lines.at[i]);
	*standing->logged = (struct job_logged){ kept, count - kept };
	return r;
}

/* The job itself, as its tenant. What is wrong with the start becomes its result. */
static int look_in_tx(struct tx *tx, const struct standing *standing, struct asked *asked)
{
	enum job_state state;
	int r = worker_enter(tx, &standing->caller, &asked->token.tenant);

	if (r < 0)
		return r;
	r = start_look_in_tx(tx, &asked->start, &state, &asked->cancel);
	if (r < 0 && !is_verdict(r))
		return r;
	asked->result = r > 0 ? -ERR_CONFLICT : r;
	r = 0;
	if (asked->result == 0 && standing->progress)
		r = set_progress_in_tx(tx, asked, standing->progress);
	if (asked->result == 0 && standing->log && r == 0)
		r = add_lines_in_tx(tx, standing);
	return r < 0 ? r : worker_leave(tx, &standing->caller);
}

/* The same lease beats once, however many of its jobs are asked about. */
static const struct asked *asked_before(const struct standing *standing, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (standing->asked[k].lease_us > 0 &&
			uuid_cmp(&standing->asked[k].token.lease,
				&standing->asked[i].token.lease) == 0)
			return &standing->asked[k];
	return NULL;
}

/* Its lease, among those of the caller. */
static int renew_in_tx(struct tx *tx, const struct standing *standing, size_t i)
{
	const struct asked *before = asked_before(standing, i);
	struct asked *asked = &standing->asked[i];
	int r;

	if (before) {
		asked->lease_us = before->lease_us;
		return 0;
	}
	r = worker_enter(tx, &standing->caller, &standing->caller.tenant);
	if (r == 0)
		r = lease_renew_in_tx(tx, &asked->token.lease, &asked->lease_us);
	if (r == -ERR_NOT_FOUND) {
		asked->result = -ERR_CONFLICT;
		r = 0;
	}
	return r < 0 ? r : worker_leave(tx, &standing->caller);
}

static int stand_in_tx(struct tx *tx, void *arg)
{
	struct standing *standing = arg;
	int r = 0;

	for (size_t i = 0; i < standing->count && r == 0; i++) {
		struct asked *asked = &standing->asked[i];

		asked->result = asked->refused;
		asked->lease_us = 0;
		if (asked->refused == 0)
			r = look_in_tx(tx, standing, asked);
		if (r == 0 && asked->result == 0)
			r = renew_in_tx(tx, standing, i);
	}
	return r;
}

/* --- handlers -------------------------------------------------------------------------------- */

static int stand(struct req *req, struct standing *standing)
{
	struct db db = worker_db(&standing->caller, &req->arena);

	return db_write_with(&db, &worker_soft, stand_in_tx, standing);
}

static int64_t expires_at(const struct asked *asked)
{
	return clock_wall_us() + asked->lease_us;
}

static int stand_one(struct req *req, struct standing *standing, struct str id, struct str token,
	struct job_standing *ret)
{
	struct asked *asked = standing->asked = arena_new(&req->arena, struct asked);
	int r = worker_caller_of(req, &standing->caller);

	if (!asked)
		return -(int)err_last()->code;
	standing->count = 1;
	if (r == 0)
		r = read_token(&standing->caller, &req->arena, id, token, asked);
	if (r == 0)
		r = stand(req, standing);
	if (r < 0)
		return r;
	if (asked->result < 0)
		return fail((enum err_code) - asked->result, "%.*s",
			STR_ARG(worker_refusal(asked->result)));
	*ret = (struct job_standing){ asked->cancel, expires_at(asked) };
	return 0;
}

int worker_heartbeat(struct req *req, const struct job_start_request *in, struct job_standing *out)
{
	struct standing standing = { 0 };

	return stand_one(req, &standing, in->of.id, in->of.lease_token, out);
}

int worker_progress(
	struct req *req, const struct job_progress_request *in, struct job_standing *out)
{
	struct standing standing = { .progress = in };

	return stand_one(req, &standing, in->id, in->lease_token, out);
}

int worker_log(struct req *req, const struct job_log_request *in, struct job_logged *out)
{
	struct standing standing = { .log = in, .logged = out };
	struct job_standing unused;

	return stand_one(req, &standing, in->id, in->lease_token, &unused);
}

static int show(struct arena *arena, const struct asked *asked, struct job_standing_item *ret)
{
	*ret = (struct job_standing_item){ .id = asked->start.id };
	if (asked->result < 0)
		return worker_refuse(arena, asked->result, &ret->error);
	ret->cancel = (struct opt_bool){ .set = true, .value = asked->cancel };
	ret->lease_expires_at = (struct opt_i64){ .set = true, .value = expires_at(asked) };
	return 0;
}

int worker_heartbeats(struct req *req, const struct job_start_refs *in, struct job_standings *out)
{
	struct standing standing = { .count = in->jobs.count };
	int r = worker_caller_of(req, &standing.caller);

	standing.asked = arena_zalloc(&req->arena, standing.count * sizeof(*standing.asked));
	out->jobs.at = arena_zalloc(&req->arena, standing.count * sizeof(*out->jobs.at));
	out->jobs.count = standing.count;
	if (!standing.asked || !out->jobs.at)
		return -(int)err_last()->code;
	for (size_t i = 0; i < standing.count && r == 0; i++)
		r = read_token(&standing.caller, &req->arena, in->jobs.at[i].id,
			in->jobs.at[i].lease_token, &standing.asked[i]);
	if (r == 0)
		r = stand(req, &standing);
	for (size_t i = 0; i < standing.count && r == 0; i++)
		r = show(&req->arena, &standing.asked[i], &out->jobs.at[i]);
	return r;
}
