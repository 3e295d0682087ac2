/*
 * What a lease has when it ends: its jobs go back, or their attempt is over, a bounded number in
 * one transaction.
 */
#include "modules/jobs/jobs_session.h"

#include "base/err.h"
#include "modules/jobs/jobs_worker_store.h"

#include <stdlib.h>

/* --- what it has ------------------------------------------------------------------------------ */

struct ending {
	struct worker_caller caller; /* of all tenants */
	enum end_kind kind;
	struct str message;
	const struct str *spared; /* sorted ids */
	size_t spared_count;
	size_t most; /* that end */
};

enum { FORGET_AT_ONCE = 250 }; /* in one transaction */

static int by_text(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static bool is_spared(const struct ending *ending, struct str id)
{
	return ending->spared_count > 0 &&
	       bsearch(&id, ending->spared, ending->spared_count, sizeof(id), by_text) != NULL;
}

/* `*ret` of them there were; returns how many were ended. */
static int end_jobs_in_tx(
	struct tx *tx, const struct ending *ending, struct str lease_id, int64_t limit, size_t *ret)
{
	struct lease_jobs_key key = { lease_id, limit };
	struct lease_job *jobs = NULL;
	struct worker_end *ends;
	size_t count = 0, ended = 0;
	int r = tx_all(tx, &lease_jobs, &key, &jobs, &count);

	if (r < 0)
		return r;
	*ret = count;
	ends = count ? arena_zalloc(tx_arena(tx), count * sizeof(*ends)) : NULL;
	if (count && !ends)
		return -(int)err_last()->code;
	for (size_t i = 0; i < count && ended < ending->most; i++) {
		struct worker_end *end = &ends[ended];

		if (is_spared(ending, jobs[i].id))
			continue;
		end->end = (struct job_end){ .id = jobs[i].id,
			.lease_id = lease_id,
			.attempt = jobs[i].attempt,
			.kind = ending->kind,
			.message = ending->message };
		CHECK(uuid_parse(jobs[i].tenant_id, &end->tenant));
		ended++;
	}
	r = ended ? worker_ends_in_tx(tx, &ending->caller, ends, ended) : 0;
	return r < 0 ? r : (int)ended;
}

int session_forget_in_tx(struct tx *tx, const struct worker_caller *caller,
	const struct uuid *session, const struct str *holding, size_t holding_count)
{
	struct ending ending = { .caller = *caller, .kind = END_RELEASE, .most = FORGET_AT_ONCE };
	struct str *sorted = arena_alloc(tx_arena(tx), (holding_count + 1) * sizeof(*sorted));
	struct str id = uuid_text(tx_arena(tx), session);
	size_t unused;
	int r;

	if (!sorted || !id.at)
		return -(int)err_last()->code;
	if (holding_count > 0) {
		memcpy(sorted, holding, holding_count * sizeof(*sorted));
		qsort(sorted, holding_count, sizeof(*sorted), by_text);
	}
	ending.spared = sorted;
	ending.spared_count = holding_count;
	ending.caller.platform = true;
	r = end_jobs_in_tx(tx, &ending, id, WORKER_HOLDING_MAX, &unused);
	return r < 0 ? r : r == FORGET_AT_ONCE;
}

/* --- closing it ------------------------------------------------------------------------------- */

int lease_close_in_tx(struct tx *tx, struct lease_closing *closing, struct str lease_id)
{
	struct ending ending = { .caller = { .platform = true },
		.kind = closing->kind,
		.message = closing->message,
		.most = SESSION_JOBS_AT_ONCE };
	struct lease_found key = { lease_id };
	size_t count = 0;
	int64_t unused;
	struct uuid id;
	int r = tx_enter(tx, &closing->tenant);

	CHECK(uuid_parse(lease_id, &id));
	if (r == 0)
		r = lease_renew_in_tx(tx, &id, &unused);
	if (r == -ERR_NOT_FOUND) /* the reaper was faster */
		return tx_leave(tx);
	if (r == 0)
		r = tx_leave(tx);
	if (r == 0)
		r = end_jobs_in_tx(tx, &ending, lease_id, SESSION_JOBS_AT_ONCE, &count);
	if (r < 0)
		return r;
	closing->ended += (size_t)r;
	if (count == SESSION_JOBS_AT_ONCE)
		return 1;
	r = tx_enter(tx, &closing->tenant);
	if (r == 0)
		r = tx_exec(tx, &lease_close, &key);
	if (r == 0)
		r = tx_notice(tx, S(JOBS_SESSION_TOPIC), lease_id);
	return r < 0 ? r : tx_leave(tx);
}
