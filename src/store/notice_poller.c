/*
 * Looking for notices of other instances.
 *
 * Rows become visible in another order than they take positions, so neither positions nor times say
 * what is new. A snapshot does: a row is new when its transaction is visible now and was not in the
 * snapshot of the last look. That misses nothing, however late a transaction commits, and gives
 * nothing twice.
 *
 * Unless the server crashed: then transactions that it had confirmed softly are gone, with what was
 * kept of them here, and their numbers are given again. A crash ends all sessions, so when the one
 * that hints come over has ended, and after five seconds without a look, all may have been missed.
 *
 * Rows are deleted when their transaction was over in a snapshot that is as old as the retention,
 * so they can be seen for at least so long.
 */
#include "store/notice_poller.h"

#include "base/mem.h"
#include "base/num.h"
#include "observe/clock.h"
#include "observe/log.h"
#include "observe/metric.h"
#include "store/store_internal.h"

enum {
	LOOK_MAX = 5000,  /* LIMIT of notice_look; beyond it all is forgotten */
	CLEAN_MAX = 5000, /* LIMIT of notice_clean, after one look */
	FIBERS_MAX = 64,
	ARENA_CHUNK = 16 * 1024,
	ARENA_LIMIT = 16 * 1024 * 1024,
	SNAPSHOT_MAX = 1024 * 1024,
};

#define LOOK_TIME  (4 * SECOND)       /* at most, of one look; less than NOTICE_STALE_AFTER */
#define HINT_PAUSE (20 * MILLISECOND) /* between two looks, however many hints come */

/* --- statements ---------------------------------------------------------------------- */

struct seen {
	struct str snapshot;
};

struct look_key {
	struct str since;
	int64_t origin;
};

struct notice_seen {
	struct str tenant_id;
	struct str topic, key;
};

static const struct schema seen_schema = SCHEMA(seen, "What a moment of the database shows.",
	FIELD(seen, snapshot, "As pg_snapshot writes it."));
static const struct schema look_key_schema = SCHEMA(look_key, "Which notices are new.",
	FIELD(look_key, since, "A snapshot."), FIELD(look_key, origin, "Not those of this one."));
static const struct schema notice_seen_schema = SCHEMA(notice_seen, "A notice.",
	FIELD(notice_seen, tenant_id, "Whose.", .format = FORMAT_UUID),
	FIELD(notice_seen, topic, "About what."), FIELD(notice_seen, key, "Which."));

#define SINCE  "CAST(CAST(:since AS text) AS pg_snapshot)"
#define BEFORE "CAST(CAST(:snapshot AS text) AS pg_snapshot)"

static const struct statement notice_moment = STATEMENT("notice_moment",
	.postgres = "SELECT CAST(pg_current_snapshot() AS text) AS snapshot", .out = &seen_schema,
	.flags = STATEMENT_SYSTEM);
static const struct statement notice_look = STATEMENT("notice_look",
	.postgres = "SELECT n.tenant_id, n.topic, n.key FROM main.notice AS n "
		    "WHERE n.xact >= pg_snapshot_xmin(" SINCE ") "
		    "AND NOT pg_visible_in_snapshot(n.xact, " SINCE ") "
		    "AND n.origin <> :origin ORDER BY n.xact, n.position LIMIT 5000",
	.in = &look_key_schema, .out = &notice_seen_schema, .flags = STATEMENT_SYSTEM);
static const struct statement notice_clean = STATEMENT("notice_clean",
	.postgres = "DELETE FROM main.notice AS n WHERE n.xact < pg_snapshot_xmin(" BEFORE ") "
		    "AND n.position IN (SELECT m.position FROM main.notice AS m "
		    "WHERE m.xact < pg_snapshot_xmin(" BEFORE ") "
		    "ORDER BY m.xact, m.position LIMIT 5000)",
	.in = &seen_schema, .flags = STATEMENT_SYSTEM);

const struct statement *const notice_poller_statements[] = { &notice_moment, &notice_look,
	&notice_clean };
const size_t notice_poller_statement_count = LEN(notice_poller_statements);

/* --- one look --------------------------------------------------------------------------- */

struct look {
	struct look_key key;
	struct seen now;
	struct notice_seen *notices;
	size_t count;
	bool doubt;
};

/* Both statements see the same. */
static int look_in_tx(struct tx *tx, void *arg)
{
	struct look *look = arg;
	int r = tx_one(tx, &notice_moment, NULL, &look->now);

	look->count = 0;
	if (r < 0 || look->key.since.len == 0 || str_eq(look->now.snapshot, look->key.since))
		return r;
	return tx_all(tx, &notice_look, &look->key, &look->notices, &look->count);
}

/* The second number of a snapshot, xmin:xmax:running: from there on no transaction had begun. */
static uint64_t end_of(struct str snapshot)
{
	uint64_t end = 0;

	(void)str_cut(&snapshot, ':');
	(void)num_parse_u64(str_cut(&snapshot, ':'), &end);
	return end;
}

/* Whether the later one of two snapshots shows an earlier database: one that was restored, or a
 * standby that had not received all. */
static bool went_back(struct str since, struct str now)
{
	return end_of(now) < end_of(since);
}

/*
 * Whether there may be notices that were not found: the first look, which knows nothing of what was
 * before; doubt (notice_poller_doubt); a pause, by either clock, since one stands still while a
 * machine sleeps; too many; a database that is an older one.
 */
static bool may_have_missed(
	const struct notice_poller *poller, const struct look *look, uint64_t began_ns)
{
	uint64_t looked_ns = poller->notices->looked_ns;

	return looked_ns == 0 || look->doubt || began_ns - looked_ns > NOTICE_STALE_AFTER ||
	       clock_wall_us() - poller->looked_us > (int64_t)(NOTICE_STALE_AFTER / MICROSECOND) ||
	       look->count == LOOK_MAX || went_back(look->key.since, look->now.snapshot);
}

static void tell_all(struct notice_poller *poller, const struct look *look)
{
	for (size_t i = 0; i < look->count; i++) {
		const struct notice_seen *notice = &look->notices[i];
		struct uuid tenant;

		if (uuid_parse(notice->tenant_id, &tenant))
			notices_tell(poller->notices, notice->topic, &tenant, notice->key);
	}
	metric_count(poller->heard, look->count);
}

/* Tells what was found, and then that it was: notices_fresh must not be true before. */
static int tell(struct notice_poller *poller, const struct look *look, uint64_t began_ns)
{
	int64_t began_us = clock_wall_us() - (int64_t)((clock_now_ns() - began_ns) / MICROSECOND);

	if (may_have_missed(poller, look, began_ns)) {
		notices_tell_missed(poller->notices);
		metric_count(poller->missed, 1);
	} else {
		tell_all(poller, look);
	}

	buf_reset(&poller->since);
	buf_append(&poller->since, look->now.snapshot);
	if (poller->since.failed) {
		int r = poller->since.failed;

		buf_reset(&poller->since); /* all will be forgotten with the next look */
		atomic_store_explicit(&poller->notices->looked_ns, 0, memory_order_release);
		return r;
	}
	poller->looked_us = began_us;
	atomic_store_explicit(&poller->notices->looked_ns, began_ns, memory_order_release);
	return 0;
}

static int look_once(struct notice_poller *poller)
{
	struct look look = { .key = { buf_str(&poller->since), poller->notices->origin },
		.doubt = poller->doubt };
	struct db db = db_of_system(poller->store, &poller->arena);
	uint64_t began_ns = clock_now_ns();
	int r;

	poller->doubt = false; /* what comes up from now on is the next look's */
	r = db_read(&db, look_in_tx, &look);
	if (r == 0)
		r = tell(poller, &look, began_ns);
	poller->doubt |= r < 0 && look.doubt;
	return r;
}

/* --- deleting ----------------------------------------------------------------------------- */

struct cleaning {
	struct seen before;
	size_t deleted;
};

static int clean_in_tx(struct tx *tx, void *arg)
{
	struct cleaning *cleaning = arg;

	return tx_change(tx, &notice_clean, &cleaning->before, &cleaning->deleted);
}

/* From here on what is over now waits to be deleted. */
static void remember_moment(struct notice_poller *poller)
{
	buf_reset(&poller->before);
	buf_append(&poller->before, buf_str(&poller->since));
	if (poller->before.failed)
		buf_reset(&poller->before);
	poller->before_ns = poller->notices->looked_ns;
}

/* Once in a retention all rows that are older than one, some after each look. Other instances do
 * the same: whoever is second finds them gone. */
static void clean(struct notice_poller *poller)
{
	static const struct tx_options options = {
		.name = "notice_clean", .durability = TX_SOFT, .isolation = TX_READ_COMMITTED
	};
	struct cleaning cleaning = { .before = { buf_str(&poller->before) } };
	struct db db = db_of_system(poller->store, &poller->arena);
	uint64_t retention_ns = poller->notices->retention_ns, now_ns = clock_now_ns();

	if (poller->before.len == 0)
		remember_moment(poller);
	if (now_ns - poller->before_ns < retention_ns)
		return;
	if (db_write_with(&db, &options, clean_in_tx, &cleaning) < 0) {
		log_warn("old notices cannot be deleted", LOG_ERR);
		poller->before_ns = now_ns - retention_ns + retention_ns / 10; /* then again */
	} else if (cleaning.deleted < CLEAN_MAX) {
		remember_moment(poller);
	}
}

/* --- the fiber ------------------------------------------------------------------------------ */

static void note(struct notice_poller *poller, int r)
{
	bool failing = r < 0 && r != -ERR_CANCELLED;

	if (failing)
		metric_count(poller->failures, 1);
	if (failing && !poller->failing)
		log_warn("cannot look for notices of other instances: caches will be read through",
			LOG_ERR);
	if (r == 0 && poller->failing)
		log_info("notices of other instances are found again");
	poller->failing = r < 0;
}

/* Until it is time again, or there is a hint. */
static int rest(struct notice_poller *poller, uint64_t began_ns)
{
	int r = 0;

	if (!poller->hinted)
		r = cond_wait(&poller->woken, began_ns + poller->notices->look_every_ns);
	if (poller->hinted)
		r = fiber_sleep_until(began_ns + HINT_PAUSE);
	poller->hinted = false;
	return r == -ERR_TIMEOUT ? 0 : r;
}

static int look_forever(void *arg)
{
	struct notice_poller *poller = arg;
	uint64_t began_ns;

	if (scope_spawn(&poller->worker.sched.root, notice_hint_run, poller) < 0)
		log_warn("there will be no hints of notices", LOG_ERR);
	do {
		struct scope scope;
		int r;

		began_ns = sched_now();
		scope_open(&scope, began_ns + LOOK_TIME);
		r = look_once(poller);
		note(poller, r);
		if (r == 0)
			clean(poller);
		(void)scope_close(&scope);
		arena_reset(&poller->arena);
	} while (rest(poller, began_ns) == 0);
	return 0;
}

void notice_poller_doubt(struct notice_poller *poller)
{
	poller->doubt = true;
	notice_poller_wake(poller);
}

void notice_poller_wake(struct notice_poller *poller)
{
	poller->hinted = true;
	cond_signal(&poller->woken);
}

/* --- start and stop ------------------------------------------------------- */

static int find_metrics(struct notice_poller *poller)
{
	static const struct metric_def heard = { "store_notices_heard_total",
		"Notices of other instances.", METRIC_COUNTER, { NULL } };
	static const struct metric_def missed = { "store_notices_missed_total",
		"Times that notices may have been missed, so that all was forgotten.",
		METRIC_COUNTER, { NULL } };
	static const struct metric_def failures = { "store_notice_look_failures_total",
		"Looks for notices of other instances that failed.", METRIC_COUNTER, { NULL } };

	poller->heard = metric_register_one(&heard);
	poller->missed = metric_register_one(&missed);
	poller->failures = metric_register_one(&failures);
	return poller->heard && poller->missed && poller->failures ? 0 : -(int)err_last()->code;
}

static int begin(struct worker *worker)
{
	return scope_spawn(&worker->sched.root, look_forever, worker->arg);
}

int notice_poller_start(struct store *store)
{
	struct notice_poller *poller;
	int r;

	if (!store->notices->polled)
		return 0;
	poller = mem_zalloc(sizeof(*poller));
	if (!poller)
		return -ERR_NO_MEMORY;

	poller->store = store;
	poller->notices = store->notices;
	cond_init(&poller->woken);
	(void)pthread_mutex_init(&poller->hint.lock, NULL);
	arena_init(&poller->arena, ARENA_CHUNK, ARENA_LIMIT);
	buf_init(&poller->since, SNAPSHOT_MAX);
	buf_init(&poller->before, SNAPSHOT_MAX);
	poller->worker.fiber_limit = FIBERS_MAX;
	poller->worker.on_start = begin;
	poller->worker.arg = poller;
	r = find_metrics(poller);
	if (r == 0)
		r = worker_start(&poller->worker);
	if (r < 0) {
		(void)pthread_mutex_destroy(&poller->hint.lock);
		mem_free(poller, sizeof(*poller));
		return r;
	}
	(void)pthread_setname_np(poller->worker.thread, "notices");
	store->notices->poller = poller;
	return 0;
}

void notice_poller_stop(struct notices *notices)
{
	struct notice_poller *poller = notices ? TAKE(notices->poller) : NULL;

	if (!poller)
		return;
	worker_stop(&poller->worker);
	worker_join(&poller->worker);
	arena_done(&poller->arena);
	buf_done(&poller->since);
	buf_done(&poller->before);
	(void)pthread_mutex_destroy(&poller->hint.lock);
	mem_free(poller, sizeof(*poller));
}
