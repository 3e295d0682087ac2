/* Transactions of a request, with the answer to its Idempotency-Key as their last row. */
#include "rest/write.h"

#include "http/request.h"
#include "rest/db.h"
#include "rest/kept.h"

struct write_call {
	struct req *req;
	int (*fn)(struct tx *, void *arg);
	void *arg;
	struct repeat *repeat;
	struct str data; /* of the answer that was kept */
};

/* The last row of the transaction, among those of the caller's tenant. */
static int keep_in_tx(struct tx *tx, struct write_call *call)
{
	struct kept kept;
	int r = kept_make(call->req, call->repeat, &kept, &call->data);

	return r < 0 ? r : tx_exec(tx, &kept_insert, &kept);
}

static int write_in_tx(struct tx *tx, void *arg)
{
	struct write_call *call = arg;
	int r = call->fn(tx, call->arg);

	return r < 0 ? r : keep_in_tx(tx, call);
}

static int system_write_in_tx(struct tx *tx, void *arg)
{
	struct write_call *call = arg;
	int r = call->fn(tx, call->arg);

	if (r == 0)
		r = tx_enter(tx, &call->repeat->db.tenant);
	if (r == 0)
		r = keep_in_tx(tx, call);
	return r < 0 ? r : tx_leave(tx);
}

/* Whether another instance did the same meanwhile, so that this one could not. If not, the error
 * stands. */
static int yield_to_faster(struct req *req, struct repeat *repeat)
{
	struct err err = *err_last();
	int found = kept_replay(req, repeat);

	if (found > 0) {
		req->replayed = repeat->kept = true;
		return fail(ERR_CONFLICT, "another instance has done this request");
	}
	if (found == -ERR_IDEMPOTENCY || found == -ERR_CONFLICT)
		return found;
	return err_restore(&err);
}

static int write_and_keep(struct req *req, const struct db *db, const struct tx_options *options,
	int (*in_tx)(struct tx *, void *arg), struct write_call *call)
{
	int r = db_write_with(db, options, in_tx, call);

	if (r < 0)
		return err_info(r)->status < 500 ? yield_to_faster(req, call->repeat) : r;
	call->repeat->kept = true;
	req->data = call->data;
	return 0;
}

bool req_write_keeps(const struct req *req)
{
	const struct repeat *repeat = req->repeat;

	return repeat && !repeat->kept;
}

int req_write_with(struct req *req, const struct tx_options *options,
	int (*fn)(struct tx *, void *arg), void *arg)
{
	struct write_call call = { .req = req, .fn = fn, .arg = arg, .repeat = req->repeat };
	struct db db = req_db(req);

	return req_write_keeps(req) ? write_and_keep(req, &db, options, write_in_tx, &call)
				    : db_write_with(&db, options, fn, arg);
}

int req_write(struct req *req, int (*fn)(struct tx *, void *arg), void *arg)
{
	return req_write_with(req, &(struct tx_options){ 0 }, fn, arg);
}

int req_system_write(struct req *req, int (*fn)(struct tx *, void *arg), void *arg)
{
	struct write_call call = { .req = req, .fn = fn, .arg = arg, .repeat = req->repeat };
	struct db db = req_system_db(req);

	return req_write_keeps(req) ? write_and_keep(req, &db, &(struct tx_options){ 0 },
					      system_write_in_tx, &call)
				    : db_write(&db, fn, arg);
}
