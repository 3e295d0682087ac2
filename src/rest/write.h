/*
 * Writing for a request, so that a client that heard no answer can safely ask again:
 *
 *     struct note_write write = { .in = in, .ret = out };
 *
 *     return req_write(req, create_in_tx, &write);
 *
 * When the request carries an Idempotency-Key, its answer becomes part of the transaction: after
 * the function has succeeded the handler's output is encoded and stored beside what was written.
 * Either both are there or neither. Therefore the function fills in the handler's `out`, and what
 * is stored is what is answered. One write of a request does this; later ones only write.
 */
#ifndef REST_WRITE_H
#define REST_WRITE_H

#include "store/db.h"

#pragma GCC visibility push(default)

struct req;

/*
 * db_write as the caller's tenant. When another instance was faster with the same key, what this
 * one did is rolled back, the request is answered as the other one was, and -ERR_CONFLICT returned:
 * like any error it is passed on, and what the handler returns does not matter any more.
 */
int req_write(struct req *req, int (*fn)(struct tx *, void *arg), void *arg);

/* The same as db_write_with. */
int req_write_with(struct req *req, const struct tx_options *options,
	int (*fn)(struct tx *, void *arg), void *arg);

/* Whether the answer of the request's write is to be kept: it has an Idempotency-Key, and nothing
 * was written yet. Else whoever has but one statement may do without a transaction function. */
bool req_write_keeps(const struct req *req);

/* The same on the system handle, for operators' routes (rest/db.h). */
int req_system_write(struct req *req, int (*fn)(struct tx *, void *arg), void *arg);

#pragma GCC visibility pop

#endif
