/*
 * Requests that are repeated under one Idempotency-Key are done once. The answer is kept for at
 * least IDEMPOTENCY_KEEP in the rows of the caller's tenant, by a digest of caller, route and key:
 *
 *  - The same request again is answered as before: status, data and ETag; a new request id, and the
 *    header idempotent-replayed: true.
 *  - Another request under the key: -ERR_IDEMPOTENCY (422).
 *  - While the first is in work: -ERR_CONFLICT (409).
 *  - When what is kept cannot be read: -ERR_CONFLICT (409). It is sealed under the installation's
 *    key (server->master_key), since an answer may hold a secret; under another key it is known
 *    that the request was done, but not what came of it.
 *
 * Whether a request is in work is known within the process. When two instances have the same key in
 * work, both do it and the one that commits second finds the other's answer by the unique index:
 * its own work is rolled back and it answers what the other did (rest/write.h). A request that
 * failed keeps nothing, so its key can be used again. Callers who are nobody, or have no tenant,
 * are not told apart well enough: their keys are ignored.
 */
#ifndef REST_IDEMPOTENCY_H
#define REST_IDEMPOTENCY_H

#include "store/db.h"

struct module;

/* How long an answer is kept, at least: until the sweep after that. */
#define IDEMPOTENCY_KEEP (24 * HOUR)

/* Sets the hooks; brings the table. Without the installation's key answers are sealed under one
 * that ends with the process. Before the modules whose routes are idempotent. */
extern const struct module rest_module;

/*
 * Deletes what was kept long enough, in small transactions; to be called every few minutes, on a
 * fiber. At most IDEMPOTENCY_SWEEP rows in one call; their number goes to `*ret`, which may be
 * NULL. Errors of db_write.
 */
enum { IDEMPOTENCY_SWEEP = 100 * 1000 };
int idempotency_sweep(struct store *store, size_t *ret);

#endif
