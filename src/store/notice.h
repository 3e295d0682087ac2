/*
 * Notices: what instances keep in memory and must forget when it changes elsewhere (tx_notice in
 * store/db.h). On SQLite there is one instance and the transaction tells it directly; on PostgreSQL
 * a notice is a row that the others find by polling, however late its transaction commits, and a
 * coalesced NOTIFY makes them look sooner.
 */
#ifndef STORE_NOTICE_H
#define STORE_NOTICE_H

#include "store/db.h"

#pragma GCC visibility push(default)

enum {
	NOTICE_LISTENERS_MAX = 64,
};

/* Called for each notice of the topic, at least once (also for those of this instance), on some
 * thread: must neither wait nor park nor listen or unlisten. An empty key means that notices may
 * have been missed: forget all of the topic, whosever it is. */
struct notice_listener {
	const char *topic; /* at most NOTICE_TOPIC_MAX bytes */
	void (*heard)(struct notice_listener *, const struct uuid *tenant, struct str key);
	struct notice_listener *next; /* the store's */
};

/* From here on the listener hears. Memory of the caller's, until notice_unlisten or store_close.
 * -ERR_FULL. */
int notice_listen(struct store *store, struct notice_listener *listener);

/* Hears no more, also on other threads, when this returns. Not while it hears. */
void notice_unlisten(struct store *store, struct notice_listener *listener);

/*
 * A word to other instances, soon and without a promise: those that listen to the topic hear the
 * key, of the nil tenant. Nothing is written and nothing heard here; nothing happens on SQLite, or
 * when no other instance was heard of for ten seconds. Topic and key without spaces or line breaks,
 * at most NOTICE_KEY_MAX bytes together; when too much is said at once, the key becomes empty. Any
 * thread.
 */
void notice_hint(struct store *store, struct str topic, struct str key);

/* False when this instance could not look for 5 s: what it keeps may be out of date, so read
 * through, or answer 503. */
bool notices_fresh(const struct store *store);

#pragma GCC visibility pop

#endif
