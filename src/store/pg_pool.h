/*
 * A bounded number of connections that all workers of the process share. An idle one stays with the
 * worker that used it last, whose poller notices its end; another worker that wants it has it sent.
 * Who finds none waits in a line, for a bounded time, and the line is bounded, too. Connections are
 * made on demand; while the server cannot be reached nobody waits for it: callers fail at once, and
 * one of them tries again when the pause (100 ms, doubling up to 10 s) is over. Internal to this
 * folder.
 */
#ifndef STORE_PG_POOL_H
#define STORE_PG_POOL_H

#include "loop/offload.h"
#include "loop/worker.h"
#include "observe/metric.h"
#include "store/pg_connection.h"

struct pg_pool_options {
	const char *name; /* label of its metrics: "tenant" */
	struct pg_target target;
	size_t max;       /* connections */
	size_t queue_max; /* callers that may wait */
	uint64_t wait_ns; /* at most so long */
	uint64_t age_ns;  /* a connection is replaced then, a tenth earlier or later */
	size_t numbers;   /* of texts, see pg_connection_new */
};

struct pg_pool_metrics {
	const struct metric *used, *idle, *pending; /* gauges */
	const struct metric *wait_time;             /* histogram */
	const struct metric *timeouts, *refused;    /* counters */
	const struct metric *connects, *connect_failures;
};

struct pg_pool {
	struct pg_pool_options options;
	struct pg_pool_metrics metrics;
	struct offload *offload; /* where connections are made and cancelled */

	pthread_mutex_t lock; /* never held across a wait */
	struct link idle;     /* struct pg_connection.link; the one used last is first */
	struct link waiters;  /* struct pg_waiter.link; the one that waits longest is first */
	struct link places;   /* struct pg_place.link */
	size_t waiting;
	size_t open;       /* connections, with those being made and those being closed */
	size_t connecting; /* of these */
	unsigned failures; /* to connect, one after the other */
	uint64_t retry_ns; /* not before */
	struct err reason; /* of the last failure */
};

/* Nothing is connected yet. The errors of metric_register. */
int pg_pool_init(
	struct pg_pool *pool, const struct pg_pool_options *options, struct offload *offload);

/* Closes all connections. None may be taken, and workers have ended, but for the one (if it is one)
 * that calls this. */
void pg_pool_done(struct pg_pool *pool);

/* Adds a connection that was made elsewhere, before the workers begin. */
int pg_pool_adopt(struct pg_pool *pool, PGconn *pg);

/* A connection for the calling fiber, which must give it back. -ERR_UNAVAILABLE (none came free in
 * time, too many are waiting, the server cannot be reached), -ERR_TIMEOUT, -ERR_CANCELLED,
 * -ERR_NO_MEMORY. */
int pg_pool_take(struct pg_pool *pool, struct pg_connection **ret);

/* Back. A lost one is closed. */
void pg_pool_give(struct pg_connection *connection);

/* Instead: stops what the server does for it and closes it; the server is told from another thread,
 * nobody waits. */
void pg_pool_cancel(struct pg_connection *connection);

/* Stops what the server does for it and waits until it was told; the connection is still the
 * caller's, and not to be used for another transaction. */
void pg_pool_interrupt(struct pg_connection *connection);

#endif
