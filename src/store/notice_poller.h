/*
 * The thread that hears on PostgreSQL: one fiber looks for rows of other instances, another one
 * holds the connection over which instances tell each other that there is something to see.
 * Internal to this folder.
 */
#ifndef STORE_NOTICE_POLLER_H
#define STORE_NOTICE_POLLER_H

#include "base/buf.h"
#include "fiber/sync.h"
#include "loop/worker.h"
#include "observe/metric.h"
#include "store/notice_internal.h"

enum { NOTICE_WORDS_MAX = 4096 }; /* less than NOTIFY can carry */

struct store;

/* The connection of hints (notice_hint.c). Of the poller's thread, but for `wanted`. */
struct notice_hint {
	atomic_bool wanted; /* there is something to tell; the message is on its way, or ... */
	bool asked;         /* ... was delivered */
	atomic_bool rows;   /* there are new rows */
	pthread_mutex_t lock;
	char words[NOTICE_WORDS_MAX]; /* under the lock: "topic key" and a new line each */
	size_t words_len;
	_Atomic uint64_t others_until_ns; /* other instances were heard lately */
	uint64_t said_ns;                 /* when this one said last that it is there */
	bool answer;                      /* a new one wants to know who is there */
	struct message message;
	struct ready *ready; /* of the connection; NULL while there is none */
	uint64_t sent_ns;    /* the last NOTIFY */
	bool sending;        /* it has no answer yet */
};

struct notice_poller {
	struct worker worker;
	struct store *store;
	struct notices *notices;
	struct notice_hint hint;

	struct cond woken; /* the fiber that looks, by a hint */
	bool hinted;
	bool doubt; /* the server may have crashed since the last look */

	struct arena arena; /* of one look */
	struct buf since;   /* snapshot of the last look: what it shows has been told */
	struct buf before;  /* an older one: what was over then may be deleted a retention later */
	uint64_t before_ns;
	int64_t looked_us; /* wall clock when the last look began */
	bool failing;      /* the last look has failed; it was logged */
	const struct metric *heard, *missed, *failures;
};

/* Starts looking, on PostgreSQL; after the engine's start. -ERR_NO_MEMORY, -ERR_IO. */
int notice_poller_start(struct store *store);

/* Ends it. Nobody commits any more. */
void notice_poller_stop(struct notices *notices);

/* Something was committed that others should look for soon. From any thread. */
void notice_hint_want(struct notice_poller *poller);

/* For notice_hint. From any thread. */
void notice_hint_say(struct notice_poller *poller, struct str topic, struct str key);

/* The fiber that gives and takes hints, until the worker ends; `arg` is the poller. */
int notice_hint_run(void *arg);

/* For that fiber: makes the other one look; and says that the server may have crashed since it did.
 */
void notice_poller_wake(struct notice_poller *poller);
void notice_poller_doubt(struct notice_poller *poller);

#endif
