/*
 * What workers say of their starts. A start is named by its token; whether that still is the job's
 * start is decided in the transaction that ends it. A client that heard no answer asks again: what
 * this very start has come to already is then no conflict.
 */
#include "modules/jobs/jobs_worker_internal.h"

#include "base/err.h"
#include "http/request.h"
#include "http/server.h"
#include "rest/db.h"

/* --- who asks ------------------------------------------------------------------------------ */

int worker_caller_of(struct req *req, struct worker_caller *ret)
{
	bool platform = req_system_db(req).system;

	*ret = (struct worker_caller){
		.store = req_server(req)->store, .platform = platform, .tenant = tenant_system
	};
	if (!platform && !uuid_parse(req->caller.tenant, &ret->tenant))
		return fail(ERR_FORBIDDEN, "who belongs to no tenant has no jobs");
	return 0;
}

struct db worker_db(const struct worker_caller *caller, struct arena *arena)
{
	return caller->platform ? db_of_system(caller->store, arena)
				: db_of(caller->store, &caller->tenant, arena);
}

bool worker_may(const struct worker_caller *caller, const struct job_token *token)
{
	return caller->platform || uuid_cmp(&caller->tenant, &token->tenant) == 0;
}

int worker_enter(struct tx *tx, const struct worker_caller *caller, const struct uuid *tenant)
{
	return caller->platform ? tx_enter(tx, tenant) : 0;
}

int worker_leave(struct tx *tx, const struct worker_caller *caller)
{
	return caller->platform ? tx_leave(tx) : 0;
}

/* --- ends ------------------------------------------------------------------------------------ */

struct str worker_refusal(int result)
{
	return result == -ERR_NOT_FOUND
		       ? S("there is no such job")
		       : S("this start is over: its lease was lost, or the job has ended");
}

int worker_refuse(struct arena *arena, int result, struct job_refusal **ret)
{
	struct job_refusal *refusal = arena_new(arena, struct job_refusal);

	if (!refusal)
		return -(int)err_last()->code;
	*refusal = (struct job_refusal){ err_info(result)->wire, worker_refusal(result) };
	*ret = refusal;
	return 0;
}

struct str worker_cut(struct str text, size_t bytes)
{
	size_t len = MIN(text.len, bytes);

	while (len < text.len && len > 0 && ((unsigned char)text.at[len] & 0xc0) == 0x80)
		len--;
	return str_first(text, len);
}

int worker_ends_read(const struct worker_caller *caller, struct arena *arena,
	struct worker_end *ends, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct job_token token;

		if (!job_token_read(ends[i].token, &token)) {
			ends[i].result = -ERR_CONFLICT;
			continue;
		}
		if (!worker_may(caller, &token)) {
			ends[i].result = -ERR_NOT_FOUND;
			continue;
		}
		ends[i].tenant = token.tenant;
		ends[i].end.attempt = token.attempt;
		ends[i].end.lease_id = uuid_text(arena, &token.lease);
		ends[i].result = 0;
		if (!ends[i].end.lease_id.at)
			return -(int)err_last()->code;
	}
	return 0;
}

/* What a start comes to that ends like that. */
static bool fits(const struct worker_end *end, enum job_state state)
{
	switch (end->end.kind) {
	case END_COMPLETE: return state == JOB_COMPLETED;
	case END_FAIL: return state == JOB_RETRYABLE || state == JOB_DISCARDED;
	case END_DISCARD: return state == JOB_DISCARDED;
	case END_SNOOZE: return state == JOB_SCHEDULED;
	case END_RELEASE: return state == JOB_AVAILABLE;
	case END_LOST:
	case END_TIMEOUT:
	case END_INVALID: break;
	}
	return false;
}

/* Why a start could not be ended: it is somebody else's by now, or it was ended like that before.
 */
static int judge_in_tx(struct tx *tx, struct worker_end *end)
{
	struct start start = { end->end.id, end->end.lease_id, end->end.attempt };
	enum job_state state = JOB_RUNNING;
	bool cancelling;
	int r = start_look_in_tx(tx, &start, &state, &cancelling);

	if (r == -ERR_NOT_FOUND || r == -ERR_CONFLICT) {
		end->result = r;
		return 0;
	}
	if (r < 0)
		return r;
	end->result = fits(end, state) ? 0 : -ERR_CONFLICT;
	end->state = state;
	return 0;
}

/* Those of one tenant, at most JOBS_END_MAX. */
static int end_some_in_tx(struct tx *tx, struct worker_end *const *ends, size_t count)
{
	struct job_end *list = arena_alloc(tx_arena(tx), count * sizeof(*list));
	int r = list ? 0 : -(int)err_last()->code;

	for (size_t i = 0; i < count && r == 0; i++)
		list[i] = ends[i]->end;
	if (r == 0)
		r = jobs_end_in_tx(tx, list, count);
	for (size_t i = 0; i < count && r == 0; i++) {
		ends[i]->state = list[i].state;
		ends[i]->result = list[i].result_code;
		if (list[i].result_code < 0)
			r = judge_in_tx(tx, ends[i]);
	}
	return r;
}

/* Takes those of the first tenant out of what is left, as many as may end together; their number.
 * A session may have more. */
static size_t pick(struct worker_end **left, size_t *left_count, struct worker_end **ret)
{
	struct uuid tenant = left[0]->tenant;
	size_t count = 0, kept = 0;

	for (size_t i = 0; i < *left_count; i++) {
		struct worker_end *end = left[i];

		if (count < JOBS_END_MAX && uuid_cmp(&end->tenant, &tenant) == 0)
			ret[count++] = end;
		else
			left[kept++] = end;
	}
	*left_count = kept;
	return count;
}

int worker_ends_in_tx(
	struct tx *tx, const struct worker_caller *caller, struct worker_end *ends, size_t count)
{
	struct worker_end **left =
		arena_alloc(tx_arena(tx), 2 * count * sizeof(struct worker_end *));
	struct worker_end **some = left + count;
	size_t left_count = 0;
	int r = left || count == 0 ? 0 : -(int)err_last()->code;

	for (size_t i = 0; i < count && r == 0; i++)
		if (ends[i].end.lease_id.at)
			left[left_count++] = &ends[i];
	while (left_count > 0 && r == 0) {
		size_t picked = pick(left, &left_count, some);

		r = worker_enter(tx, caller, &some[0]->tenant);
		if (r == 0)
			r = end_some_in_tx(tx, some, picked);
		if (r == 0)
			r = worker_leave(tx, caller);
	}
	return r;
}

struct ending {
	const struct worker_caller *caller;
	struct worker_end *ends;
	size_t count;
};

static int end_in_tx(struct tx *tx, void *arg)
{
	struct ending *ending = arg;

	return worker_ends_in_tx(tx, ending->caller, ending->ends, ending->count);
}

int worker_ends(const struct worker_caller *caller, struct arena *arena, struct worker_end *ends,
	size_t count)
{
	struct ending ending = { caller, ends, count };
	struct db db = worker_db(caller, arena);
	int r = worker_ends_read(caller, arena, ends, count);

	return r < 0 ? r : db_write_with(&db, &jobs_ending, end_in_tx, &ending);
}
