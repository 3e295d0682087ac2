/*
 * Tallies: how many jobs of a tenant and queue were started and what came of them, gathered in
 * memory and added to rows every few seconds. Adding is one lock of a few nanoseconds and never
 * waits for the store; two instances add to the same rows.
 */
#include "modules/jobs/jobs_counts.h"

#include "base/err.h"
#include "base/hash.h"
#include "observe/clock.h"

#include <pthread.h>

enum {
	SLOTS = 2 * JOBS_TALLIES, /* a power of two */
	BATCH = 200,              /* rows of one transaction */
};

/* A row of main.job_tally. */
struct job_tally {
	struct str tenant_id, queue;
	int64_t minute;
	int64_t started, completed, failed, discarded, waited_us, ran_us;
};

/* clang-format off */
static const struct schema job_tally_schema = SCHEMA(job_tally, "What came of jobs in one minute.",
	FIELD(job_tally, tenant_id, "Whose.", .format = FORMAT_UUID),
	FIELD(job_tally, queue, "Where."),
	FIELD(job_tally, minute, "Which, since 1970."),
	FIELD(job_tally, started, "Starts."),
	FIELD(job_tally, completed, "That went well."),
	FIELD(job_tally, failed, "That did not."),
	FIELD(job_tally, discarded, "Jobs that were given up."),
	FIELD(job_tally, waited_us, "From due to started, all together."),
	FIELD(job_tally, ran_us, "From started to ended, all together."));
/* clang-format on */

const struct statement job_tally_add = STATEMENT("job_tally_add",
	.sql = "INSERT INTO main.job_tally AS t (tenant_id, queue, minute, started, completed, "
	       "failed, discarded, waited_us, ran_us) VALUES (:tenant_id, :queue, :minute, "
	       ":started, :completed, :failed, :discarded, :waited_us, :ran_us) "
	       "ON CONFLICT (tenant_id, queue, minute) DO UPDATE SET "
	       "started = t.started + excluded.started, "
	       "completed = t.completed + excluded.completed, "
	       "failed = t.failed + excluded.failed, "
	       "discarded = t.discarded + excluded.discarded, "
	       "waited_us = t.waited_us + excluded.waited_us, "
	       "ran_us = t.ran_us + excluded.ran_us",
	.in = &job_tally_schema, .flags = STATEMENT_SYSTEM);

/* --- in memory -------------------------------------------------------------------------- */

/* Of one tenant and queue; `sums` without its key. */
struct entry {
	struct uuid tenant;
	char queue[JOB_QUEUE_MAX];
	size_t len;
	struct job_tally sums;
};

struct tallies {
	struct entry at[JOBS_TALLIES];
	size_t count;
	uint16_t slots[SLOTS]; /* place in `at` and 1; 0: free */
};

/* One is filled while the other is written. */
static struct tallies tallies[2];
static size_t filling;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static size_t slot_of(const struct uuid *tenant, struct str queue)
{
	uint64_t high = hash_str(str_of((const char *)tenant->bytes, sizeof(tenant->bytes)));

	return (size_t)((high * 31) ^ hash_str(queue)) & (SLOTS - 1);
}

static bool is_of(const struct entry *entry, const struct uuid *tenant, struct str queue)
{
	return uuid_cmp(&entry->tenant, tenant) == 0 &&
	       str_eq(str_of(entry->queue, entry->len), queue);
}

/* NULL when there are too many. Under the lock. */
static struct entry *entry_of(struct tallies *in, const struct uuid *tenant, struct str queue)
{
	size_t slot = slot_of(tenant, queue);
	struct entry *entry;

	for (; in->slots[slot]; slot = (slot + 1) & (SLOTS - 1)) {
		entry = &in->at[in->slots[slot] - 1];
		if (is_of(entry, tenant, queue))
			return entry;
	}
	if (in->count == JOBS_TALLIES || queue.len > JOB_QUEUE_MAX)
		return NULL;
	entry = &in->at[in->count++];
	*entry = (struct entry){ .tenant = *tenant, .len = queue.len };
	memcpy(entry->queue, queue.at, queue.len);
	in->slots[slot] = (uint16_t)in->count;
	return entry;
}

static void add(const struct uuid *tenant, struct str queue, const struct job_tally *more)
{
	struct entry *entry;

	CHECK(pthread_mutex_lock(&lock) == 0);
	entry = entry_of(&tallies[filling], tenant, queue);
	if (entry) {
		entry->sums.started += more->started;
		entry->sums.completed += more->completed;
		entry->sums.failed += more->failed;
		entry->sums.discarded += more->discarded;
		entry->sums.waited_us += more->waited_us;
		entry->sums.ran_us += more->ran_us;
	}
	CHECK(pthread_mutex_unlock(&lock) == 0);
}

/* --- how long they run ------------------------------------------------------------------------ */

enum { RUNS = 16384 }; /* starts that are remembered; a later one may push another out */

struct run {
	struct uuid id;
	uint64_t began_ns; /* 0: nothing here */
};

static struct run runs[RUNS];

static struct run *run_of(const struct uuid *id)
{
	return &runs[hash_str(str_of((const char *)id->bytes, sizeof(id->bytes))) % RUNS];
}

static void run_begin(struct str text)
{
	struct uuid id;

	if (!uuid_parse(text, &id))
		return;
	CHECK(pthread_mutex_lock(&lock) == 0);
	*run_of(&id) = (struct run){ id, clock_now_ns() };
	CHECK(pthread_mutex_unlock(&lock) == 0);
}

/* Microseconds, or JOB_RAN_UNKNOWN. */
static int64_t run_end(struct str text)
{
	int64_t ran = JOB_RAN_UNKNOWN;
	struct uuid id;
	struct run *run;

	if (!uuid_parse(text, &id))
		return ran;
	CHECK(pthread_mutex_lock(&lock) == 0);
	run = run_of(&id);
	if (run->began_ns && uuid_cmp(&run->id, &id) == 0) {
		ran = (int64_t)((clock_now_ns() - run->began_ns) / MICROSECOND);
		run->began_ns = 0;
	}
	CHECK(pthread_mutex_unlock(&lock) == 0);
	return ran;
}

/* --- after the commit --------------------------------------------------------------------- */

/* Of one take; a transaction may have several. */
struct starts {
	struct starts *next;
	struct str queue;
	const struct taken *at;
	size_t count;
	int64_t now_us;
};

void job_count_start(struct str queue, const struct taken *taken, int64_t now_us)
{
	int64_t due = taken->turn - (job_turn(0, taken->priority) - job_turn(0, 0));
	int64_t waited = MAX(now_us - due, 0);
	struct job_tally more = { .started = 1, .waited_us = waited };
	struct uuid tenant;

	job_metrics_start(queue, waited);
	run_begin(taken->id);
	if (uuid_parse(taken->tenant_id, &tenant))
		add(&tenant, queue, &more);
}

static void tell_starts(void *arg)
{
	for (const struct starts *starts = arg; starts; starts = starts->next)
		for (size_t i = 0; i < starts->count; i++)
			job_count_start(starts->queue, &starts->at[i], starts->now_us);
}

int job_count_starts(struct tx *tx, struct str queue, const struct taken *taken, size_t count)
{
	struct starts *first = tx_after_arg(tx, tell_starts), *starts;

	if (count == 0)
		return 0;
	starts = arena_new(tx_arena(tx), struct starts);
	if (!starts)
		return -(int)err_last()->code;
	*starts = (struct starts){ NULL, queue, taken, count, tx_now_us(tx) };
	if (!first)
		return tx_after_commit(tx, tell_starts, starts);
	starts->next = first->next;
	first->next = starts;
	return 0;
}

/* Of one tenant; a transaction may have several. */
struct ends {
	struct ends *next;
	struct uuid tenant;
	const struct job_ended *at;
	size_t count;
};

/* What was snoozed or handed back neither went well nor failed. */
static void tell_ends_of(const struct ends *ends)
{
	for (size_t i = 0; i < ends->count; i++) {
		const struct job_ended *ended = &ends->at[i];
		bool failed = ended->how == END_FAIL || ended->how == END_TIMEOUT ||
			      ended->how == END_LOST || ended->how == END_DISCARD;
		int64_t ran = run_end(ended->id);
		struct job_tally more = {
			.completed = ended->state == JOB_COMPLETED,
			.failed = failed && ended->state != JOB_CANCELLED,
			.discarded = ended->state == JOB_DISCARDED,
			.ran_us = MAX(ran, 0),
		};

		job_metrics_end(ended->queue, ended->how, ended->state, ran);
		add(&ends->tenant, ended->queue, &more);
	}
}

static void tell_ends(void *arg)
{
	for (const struct ends *ends = arg; ends; ends = ends->next)
		tell_ends_of(ends);
}

int job_count_ends(struct tx *tx, const struct job_ended *ended, size_t count)
{
	struct ends *first = tx_after_arg(tx, tell_ends), *ends;

	if (count == 0)
		return 0;
	ends = arena_new(tx_arena(tx), struct ends);
	if (!ends)
		return -(int)err_last()->code;
	*ends = (struct ends){ NULL, *tx_tenant(tx), ended, count };
	if (!first)
		return tx_after_commit(tx, tell_ends, ends);
	ends->next = first->next;
	first->next = ends;
	return 0;
}

/* --- to rows ------------------------------------------------------------------------------ */

struct batch {
	const struct entry *at;
	size_t count;
	int64_t minute;
};

static int write_in_tx(struct tx *tx, void *arg)
{
	const struct batch *batch = arg;
	int r = 0;

	for (size_t i = 0; i < batch->count && r == 0; i++) {
		const struct entry *entry = &batch->at[i];
		struct job_tally row = entry->sums;

		row.tenant_id = uuid_text(tx_arena(tx), &entry->tenant);
		if (!row.tenant_id.at)
			return -(int)err_last()->code;
		row.queue = str_of(entry->queue, entry->len);
		row.minute = batch->minute;
		r = tx_exec(tx, &job_tally_add, &row);
	}
	return r;
}

/* Of what is written nobody else knows; the other half is filled meanwhile. */
static struct tallies *turn_over(void)
{
	struct tallies *full;

	CHECK(pthread_mutex_lock(&lock) == 0);
	full = &tallies[filling];
	if (full->count)
		filling = !filling;
	CHECK(pthread_mutex_unlock(&lock) == 0);
	return full;
}

int job_tallies_write(struct store *store, struct arena *arena)
{
	/* Each row is changed by one statement that adds to what it finds. */
	static const struct tx_options how = { "job_tally", .durability = TX_SOFT,
		.isolation = TX_READ_COMMITTED };
	struct tallies *full = turn_over();
	struct db db = db_of_system(store, arena);
	struct batch batch = { .minute = clock_wall_us() / (int64_t)(MINUTE / MICROSECOND) };
	int r = 0;

	for (size_t i = 0; i < full->count && r == 0; i += batch.count) {
		struct arena_mark mark = arena_mark(arena);

		batch.at = &full->at[i];
		batch.count = MIN(full->count - i, (size_t)BATCH);
		r = db_write_with(&db, &how, write_in_tx, &batch);
		arena_back(arena, mark);
	}
	/* What could not be written is not tried again: it might be there twice. */
	memset(full->slots, 0, full->count ? sizeof(full->slots) : 0);
	full->count = 0;
	return r;
}
