/*
 * Hints: after commits that have something to tell an instance sends NOTIFY, once for all of the
 * last millisecond and never inside of a transaction (which would make all commits of the database
 * wait for each other); those that LISTEN look for notices at once instead of after half a second.
 * Both go over one connection past the pooler. Without it everything works, half a second later.
 * Its end also tells that the server may have crashed.
 */
#include "store/notice_poller.h"

#include "crypto/random.h"
#include "observe/clock.h"
#include "observe/log.h"
#include "store/pg.h"
#include "store/store_internal.h"

#include <sys/ioctl.h>

#define CHANNEL "bulkhead_notice"

/* A connection that failed is tried again after this and as much again by chance. */
#define CONNECT_PAUSE (5 * SECOND)
#define NOTIFY_EVERY  MILLISECOND
#define FLUSH_EVERY   (20 * MILLISECOND)

enum { READS_MAX = 64 }; /* of what has come, before others have their turn */

/* --- asked for by a commit ------------------------------------------------------------ */

static void be_asked(struct message *message)
{
	struct notice_hint *hint = CONTAINER_OF(message, struct notice_hint, message);

	hint->asked = true;
	if (hint->ready)
		ready_changed(hint->ready, true, false, false);
}

void notice_hint_want(struct notice_poller *poller)
{
	struct notice_hint *hint = &poller->hint;

	if (atomic_exchange(&hint->wanted, true))
		return; /* the next NOTIFY is for this one, too */
	hint->message.deliver = be_asked;
	worker_send(&poller->worker, &hint->message);
}

/* --- the connection --------------------------------------------------------------------- */

struct attempt {
	struct pg_target target;
	PGconn *pg;
	struct err err;
};

/* Blocks; on a thread of the engine's. */
static void connect_there(void *arg)
{
	struct attempt *attempt = arg;
	PGresult *result;

	attempt->pg = pg_connect(&attempt->target);
	if (!attempt->pg) {
		attempt->err = *err_last();
		return;
	}
	result = PQexec(attempt->pg, "LISTEN " CHANNEL);
	if (PQresultStatus(result) != PGRES_COMMAND_OK || PQsetnonblocking(attempt->pg, 1) < 0) {
		(void)fail(ERR_UNAVAILABLE, "PostgreSQL does not let us listen");
		attempt->err = *err_last();
		PQfinish(TAKE(attempt->pg));
	}
	PQclear(result);
}

/* --- a round ----------------------------------------------------------------------------- */

/* Reads all that has come, since the poller tells of changes only. False when it has ended. */
static bool read_all(PGconn *pg, struct ready *ready)
{
	int least = PQsslInUse(pg) ? 2 : 1; /* libpq may hold a part of what TLS has read */
	int left = 0;

	ready->readable = false;
	for (int i = 0; i < least || (i < READS_MAX && left > 0); i++)
		if (!PQconsumeInput(pg) || ioctl(PQsocket(pg), FIONREAD, &left) < 0)
			return false;
	ready->readable = left > 0;
	return !ready->ended;
}

/* True when another instance has something to tell. */
static bool hear(PGconn *pg)
{
	bool heard = false;
	PGnotify *notify;

	while ((notify = PQnotifies(pg))) {
		heard |= notify->be_pid != PQbackendPID(pg);
		PQfreemem(notify);
	}
	return heard;
}

/* Sends the hint when there is one to send and the last one is done with; false when it cannot. */
static bool send_hint(PGconn *pg, struct notice_hint *hint)
{
	while (hint->sending && !PQisBusy(pg)) {
		PGresult *result = PQgetResult(pg);

		hint->sending = result;
		PQclear(result);
	}
	if (!hint->asked || hint->sending || clock_now_ns() < hint->sent_ns + NOTIFY_EVERY)
		return true;

	hint->asked = false;
	atomic_store(&hint->wanted, false); /* commits from now on need another one */
	hint->sent_ns = clock_now_ns();
	hint->sending = true;
	return PQsendQuery(pg, "NOTIFY " CHANNEL);
}

/* Until the connection ends: -ERR_IO, or we do: -ERR_CANCELLED. */
static int serve(struct notice_poller *poller, PGconn *pg, struct ready *ready)
{
	struct notice_hint *hint = &poller->hint;

	for (;;) {
		uint64_t until_ns = TIME_NEVER;
		int unsent, r;

		if (!read_all(pg, ready) || !send_hint(pg, hint))
			return fail(ERR_IO, "the connection for hints is lost");
		if (hear(pg))
			notice_poller_wake(poller);
		unsent = PQflush(pg);
		if (unsent < 0)
			return fail(ERR_IO, "the connection for hints is lost");

		if (hint->asked && !hint->sending)
			until_ns = hint->sent_ns + NOTIFY_EVERY;
		if (unsent)
			until_ns = sched_now() + FLUSH_EVERY;
		r = ready_wait(ready, READY_READ, until_ns);
		if (r < 0 && r != -ERR_TIMEOUT)
			return r;
	}
}

static int serve_watched(struct notice_poller *poller, PGconn *pg)
{
	struct watch watch;
	int r = watch_add(&poller->worker.poller, &watch, PQsocket(pg));

	if (r < 0)
		return r;
	poller->hint.ready = &watch.ready;
	poller->hint.sending = false;
	notice_poller_doubt(poller); /* we do not know what was before this session */
	r = serve(poller, pg, &watch.ready);
	notice_poller_doubt(poller);
	poller->hint.ready = NULL;
	watch_remove(&watch);
	return r;
}

int notice_hint_run(void *arg)
{
	struct notice_poller *poller = arg;
	struct pg_engine *engine = CONTAINER_OF(poller->store->engine, struct pg_engine, engine);
	const struct pg_pool_options *options = &engine->system.options;
	int r;

	if (options->target.pooled) { /* sessions are not ours there, so nobody hears */
		log_info("no hints of notices: there is no way past the pooler");
		return 0;
	}
	do {
		struct attempt attempt = { .target = { options->target.url, NULL,
						   options->target.connect_ns } };

		r = offload_call(&engine->offload, connect_there, &attempt);
		if (r == 0 && attempt.pg)
			r = serve_watched(poller, attempt.pg);
		if (r < 0 && r != -ERR_CANCELLED)
			log_debug("no hints of notices for a while", LOG_ERR);
		PQfinish(attempt.pg);
		if (r != -ERR_CANCELLED)
			r = fiber_sleep_until(
				sched_now() + CONNECT_PAUSE + random_u64() % CONNECT_PAUSE);
	} while (r == 0);
	return 0;
}
