/* Notices from inside. Internal to this folder. */
#ifndef STORE_NOTICE_INTERNAL_H
#define STORE_NOTICE_INTERNAL_H

#include "store/notice.h"
#include "store/statement.h"

#include <pthread.h>
#include <stdatomic.h>

#define NOTICE_STALE_AFTER (5 * SECOND)
#define NOTICE_LOOK_EVERY  (500 * MILLISECOND)
#define NOTICE_RETENTION   (10 * MINUTE)

struct notice_batch;
struct notice_poller;

struct notices {
	pthread_rwlock_t lock; /* of the list; held for reading while listeners hear */
	struct notice_listener *listeners;
	size_t count;
	bool polled;    /* PostgreSQL: there may be other instances */
	int64_t origin; /* this one, by chance */
	/* When the last look that succeeded began; 0: none yet. */
	_Atomic uint64_t looked_ns;
	struct notice_poller *poller;         /* NULL on SQLite, and before store_start */
	uint64_t look_every_ns, retention_ns; /* as above; tests change them before store_start */
};

/* -ERR_NO_MEMORY. */
int notices_open(bool polled, struct notices **ret);
void notices_close(struct notices *notices);

/* Tells the listeners of a topic. From any thread. */
void notices_tell(
	struct notices *notices, struct str topic, const struct uuid *tenant, struct str key);

/* Tells all listeners that they may have missed something. */
void notices_tell_missed(struct notices *notices);

/* What a transaction has to tell, in the order given: when it is committed, or may be. */
void notices_tell_batch(const struct notice_batch *batch);

/* notices_fresh at a time of clock_now_ns. */
bool notices_fresh_at(const struct notices *notices, uint64_t now_ns);

/* Of PostgreSQL, to be registered. */
extern const struct statement *const notice_statements[], *const notice_poller_statements[];
extern const size_t notice_statement_count, notice_poller_statement_count;

#endif
