/* The outbox: events of committed transactions, until they are old. tx_emit is in store/db.h. */
#ifndef STORE_OUTBOX_H
#define STORE_OUTBOX_H

#include "store/db.h"

/* How long an event stays, published or not. */
#define OUTBOX_KEEP (7 * 24 * HOUR)

/* Deletes older events in small transactions; on a fiber, every few minutes. At most OUTBOX_SWEEP
 * in one call. Errors of db_write. */
enum { OUTBOX_SWEEP = 100 * 1000 };
int outbox_sweep(struct store *store);

#endif
