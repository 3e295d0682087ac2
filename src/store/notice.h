/*
 * Notices: what instances keep in memory and must forget when it changes elsewhere (tx_notice in
 * store/db.h). On SQLite there is one instance and the transaction tells it directly; on PostgreSQL
 * a notice is a row that the others find by polling, with an overlap for transactions that commit
 * late, and a coalesced NOTIFY makes them look sooner.
 */
#ifndef STORE_NOTICE_H
#define STORE_NOTICE_H

#include "store/db.h"

#pragma GCC visibility push(default)

enum {
	NOTICE_LISTENERS_MAX = 64,
};

/* Called for each notice of the topic, at least once (also for those of this instance), on some
 * thread: must not park nor touch fibers. An empty key means that notices may have been missed:
 * forget all of the topic. */
struct notice_listener {
	const char *topic;
	void (*heard)(struct notice_listener *, const struct uuid *tenant, struct str key);
	struct notice_listener *next; /* the store's */
};

/* Before store_start. The listener lives as long as the store. */
int notice_listen(struct store *store, struct notice_listener *listener);

/* False when this instance could not look for 5 s: what it keeps may be out of date, so read
 * through, or answer 503. */
bool notices_fresh(const struct store *store);

#pragma GCC visibility pop

#endif
