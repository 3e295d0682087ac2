/*
 * Whoever takes jobs and is gone. A lease is lost when this process has looked again and again for
 * as long as the lease may be silent, and its beats were the same; a start has run out of time when
 * it was there for as long. Both are counted by looks, at most LOOK_MAX each: a clock that jumps or
 * differs, a process that stood still, or a database that could not be asked make nobody look dead.
 *
 * First the row of the lease goes, if its beats are still the same. Then jobs that run for a lease
 * without a row are ended, so it does not matter when this process dies in between.
 */
#include "modules/jobs/jobs_lookout.h"
#include "modules/jobs/jobs_run.h"

#include "base/err.h"
#include "base/mem.h"
#include "modules/jobs/jobs_counts.h"
#include "observe/clock.h"
#include "observe/log.h"
#include "store/store.h"

#include <stdlib.h>

enum {
	VERDICTS_MAX = JOBS_END_MAX, /* of a look */
	RECOVER_ROUNDS = 10000,
	STARTS_PART = 20, /* looking at starts takes at most such a part of the time */
	REAP_MEMORY = 16 * MEGABYTE,
};

#define LOOK_MAX     (2 * SECOND)
#define STARTS_EVERY SECOND
#define GRACE        (2 * SECOND) /* for its worker to end it itself */

/* --- statements ------------------------------------------------------------------------- */

struct reap_page {
	int64_t limit;
};

struct lease_seen {
	struct str tenant_id, id;
	int64_t lease_us, beats;
};

struct start_seen {
	struct str tenant_id, id;
	struct str lease_id;
	int64_t attempt, started_at, timeout_at;
	bool held;
};

/* clang-format off */
static const struct schema reap_page_schema = SCHEMA(reap_page, "How many.",
	FIELD(reap_page, limit, "So many."));

static const struct schema lease_seen_schema = SCHEMA(lease_seen, "Who takes jobs.",
	FIELD(lease_seen, tenant_id, "Whose.", .format = FORMAT_UUID),
	FIELD(lease_seen, id, "Which.", .format = FORMAT_UUID),
	FIELD(lease_seen, lease_us, "How long it lives without a beat."),
	FIELD(lease_seen, beats, "So far."));

static const struct schema start_seen_schema = SCHEMA(start_seen, "A job that runs.",
	FIELD(start_seen, tenant_id, "Whose.", .format = FORMAT_UUID),
	FIELD(start_seen, id, "Which.", .format = FORMAT_UUID),
	FIELD(start_seen, lease_id, "Who has it.", .format = FORMAT_UUID),
	FIELD(start_seen, attempt, "Which start."),
	FIELD(start_seen, started_at, "Since when."),
	FIELD(start_seen, timeout_at, "Until when."),
	FIELD(start_seen, held, "That lease is there."));
/* clang-format on */

static const struct statement reap_leases = STATEMENT("job_reap_leases",
	.sql = "SELECT l.tenant_id, l.id, l.lease_us, l.beats FROM main.job_lease AS l "
	       "ORDER BY l.tenant_id, l.id LIMIT :limit",
	.in = &reap_page_schema, .out = &lease_seen_schema, .flags = STATEMENT_SYSTEM);

static const struct statement reap_lost = STATEMENT("job_reap_lost",
	.sql = "DELETE FROM main.job_lease AS l WHERE l.tenant_id = :tenant_id AND l.id = :id "
	       "AND l.beats = :beats",
	.in = &lease_seen_schema, .flags = STATEMENT_SYSTEM);

static const struct statement reap_programs = STATEMENT("job_reap_programs",
	.sql = "DELETE FROM main.job_lease AS l WHERE l.kind = 'program'",
	.flags = STATEMENT_SYSTEM);

#define LEASE_OF(tenant)                                                                           \
	"EXISTS (SELECT 1 FROM main.job_lease AS l WHERE l.tenant_id = " tenant                    \
	" AND l.id = j.lease_id)"

/* The order is not to be had from an index, or all jobs would be read in that order. */
#define STARTS_SEEN(tenant_order, id_order)                                                        \
	"SELECT j.tenant_id, j.id, j.lease_id, j.attempt, j.started_at, j.timeout_at, "            \
	"(" LEASE_OF("j.tenant_id") " OR " LEASE_OF(                                               \
		":tenant") ") AS held "                                                            \
			   "FROM main.job AS j WHERE j.state = 'running' AND j.queue >= '' "       \
			   "ORDER BY " tenant_order ", " id_order " LIMIT :limit"

static const struct statement reap_starts = STATEMENT("job_reap_starts",
	.sqlite = STARTS_SEEN("+j.tenant_id", "+j.id"),
	.postgres = STARTS_SEEN("coalesce(j.tenant_id, j.id)", "coalesce(j.id, j.tenant_id)"),
	.in = &reap_page_schema, .out = &start_seen_schema, .flags = STATEMENT_SYSTEM);

const struct job_statements job_reap_statements =
	JOB_STATEMENTS(&reap_leases, &reap_lost, &reap_programs, &reap_starts);

/* --- a look ---------------------------------------------------------------------------------- */

struct lost_lease {
	struct lookout_key key;
	int64_t beats;
};

/* A start that is to end. */
struct verdict {
	struct lookout_key key;
	struct uuid lease;
	int64_t attempt;
	enum end_kind kind;
};

struct reaper {
	struct store *store;
	struct arena arena; /* of a look */
	struct lookout leases, starts;
	uint64_t watched_ns;     /* how long was looked in all */
	uint64_t looked_ns;      /* the last time; 0: never */
	uint64_t starts_ns;      /* when starts are looked at again, by watched_ns */
	bool orphans;            /* leases have gone since they were looked at */
	struct lost_lease *lost; /* at this look, in the arena */
	size_t lost_count;
	struct verdict *verdicts; /* the same */
	size_t verdict_count;
};

static void key_of(struct str tenant, struct str id, struct lookout_key *ret)
{
	CHECK(uuid_parse(tenant, &ret->tenant) && uuid_parse(id, &ret->id));
}

static bool is_over(const struct reaper *reaper, uint64_t since_ns, int64_t limit_us)
{
	return reaper->watched_ns - since_ns >= (uint64_t)MAX(limit_us, 0) * MICROSECOND;
}

static int see_lease(void *row, void *arg)
{
	const struct lease_seen *seen = row;
	struct reaper *reaper = arg;
	struct lookout_key key;
	uint64_t since_ns;
	int r;

	key_of(seen->tenant_id, seen->id, &key);
	r = lookout_see(&reaper->leases, &key, seen->beats, reaper->watched_ns, &since_ns);
	if (r == 0 && is_over(reaper, since_ns, seen->lease_us) &&
		reaper->lost_count < VERDICTS_MAX)
		reaper->lost[reaper->lost_count++] = (struct lost_lease){ key, seen->beats };
	return r;
}

static int see_start(void *row, void *arg)
{
	const struct start_seen *seen = row;
	struct reaper *reaper = arg;
	struct verdict verdict = { .attempt = seen->attempt, .kind = END_LOST };
	int64_t limit_us = seen->timeout_at - seen->started_at + (int64_t)(GRACE / MICROSECOND);
	uint64_t since_ns;
	int r;

	key_of(seen->tenant_id, seen->id, &verdict.key);
	r = lookout_see(
		&reaper->starts, &verdict.key, seen->started_at, reaper->watched_ns, &since_ns);
	if (r < 0)
		return r;
	if (seen->held && !is_over(reaper, since_ns, limit_us))
		return 0;
	if (seen->held)
		verdict.kind = END_TIMEOUT;
	CHECK(uuid_parse(seen->lease_id, &verdict.lease));
	reaper->verdicts[reaper->verdict_count++] = verdict;
	return reaper->verdict_count == VERDICTS_MAX;
}

static int look_at_leases_in_tx(struct tx *tx, void *arg)
{
	struct reaper *reaper = arg;
	struct lease_seen row;

	lookout_begin(&reaper->leases);
	reaper->lost_count = 0;
	return tx_each(
		tx, &reap_leases, &(struct reap_page){ WATCHED_MAX }, &row, see_lease, reaper);
}

static int look_at_starts_in_tx(struct tx *tx, void *arg)
{
	struct reaper *reaper = arg;
	struct start_seen row;

	lookout_begin(&reaper->starts);
	reaper->verdict_count = 0;
	return tx_each(
		tx, &reap_starts, &(struct reap_page){ WATCHED_MAX }, &row, see_start, reaper);
}

/* --- what comes of it --------------------------------------------------------------------------
 */

static const struct tx_options reaping = {
	.name = "job-reap",
	.durability = TX_SOFT,
	.isolation = TX_READ_COMMITTED,
};

static int lose_in_tx(struct tx *tx, void *arg)
{
	struct reaper *reaper = arg;
	int r = 0;

	for (size_t i = 0; i < reaper->lost_count && r == 0; i++) {
		const struct lost_lease *lost = &reaper->lost[i];
		char tenant[UUID_TEXT_LEN], id[UUID_TEXT_LEN];
		struct lease_seen row = { .tenant_id = str_of(tenant, sizeof(tenant)),
			.id = str_of(id, sizeof(id)),
			.beats = lost->beats };

		uuid_write(tenant, &lost->key.tenant);
		uuid_write(id, &lost->key.id);
		r = tx_exec(tx, &reap_lost, &row);
	}
	return r;
}

static int make_ends(
	struct arena *arena, const struct verdict *verdicts, size_t count, struct job_end **ret)
{
	struct job_end *ends = arena_alloc(arena, count * sizeof(*ends));

	if (!ends)
		return -(int)err_last()->code;
	for (size_t i = 0; i < count; i++) {
		const struct verdict *verdict = &verdicts[i];

		ends[i] = (struct job_end){ .id = uuid_text(arena, &verdict->key.id),
			.lease_id = uuid_text(arena, &verdict->lease),
			.attempt = verdict->attempt,
			.kind = verdict->kind,
			.message = verdict->kind == END_LOST ? S("its worker is gone")
							     : S("it took longer than it may") };
		if (!ends[i].id.at || !ends[i].lease_id.at)
			return -(int)err_last()->code;
	}
	*ret = ends;
	return 0;
}

/* Verdicts are sorted by tenant. */
static int end_in_tx(struct tx *tx, void *arg)
{
	struct reaper *reaper = arg;
	size_t count;
	int r = 0;

	for (size_t i = 0; i < reaper->verdict_count && r == 0; i += count) {
		const struct verdict *first = &reaper->verdicts[i];
		struct job_end *ends = NULL;

		for (count = 1; i + count < reaper->verdict_count; count++)
			if (uuid_cmp(&first[count].key.tenant, &first->key.tenant) != 0)
				break;
		r = make_ends(tx_arena(tx), first, count, &ends);
		if (r == 0)
			r = tx_enter(tx, &first->key.tenant);
		if (r == 0)
			r = jobs_end_in_tx(tx, ends, count);
		if (r == 0)
			r = tx_leave(tx);
	}
	return r;
}

static int look_at_leases(struct reaper *reaper, const struct db *db)
{
	int r = db_read(db, look_at_leases_in_tx, reaper);

	if (r < 0)
		return r;
	lookout_end(&reaper->leases);
	if (!reaper->lost_count)
		return 0;
	r = db_write_with(db, &reaping, lose_in_tx, reaper);
	if (r == 0) {
		job_count_lost(reaper->lost_count);
		reaper->orphans = true;
	}
	return r;
}

/* Ends what nobody holds, or has run out of time. `*ret_more` says that there may be more. */
static int look_at_starts(struct reaper *reaper, const struct db *db, bool *ret_more)
{
	int r = db_read(db, look_at_starts_in_tx, reaper);

	if (r < 0)
		return r;
	*ret_more = reaper->verdict_count == VERDICTS_MAX;
	if (!*ret_more)
		lookout_end(&reaper->starts);
	if (!reaper->verdict_count)
		return 0;
	r = db_write_with(db, &reaping, end_in_tx, reaper);
	if (r == 0)
		log_info("jobs were taken from their workers",
			LOG_INT("jobs", (int64_t)reaper->verdict_count));
	return r;
}

/* --- the reaper ------------------------------------------------------------------------ */

static int begin_look(struct reaper *reaper)
{
	uint64_t now = clock_now_ns();

	if (reaper->looked_ns)
		reaper->watched_ns += MIN(now - reaper->looked_ns, LOOK_MAX);
	reaper->looked_ns = now;
	arena_reset(&reaper->arena);
	reaper->lost = arena_alloc(&reaper->arena, VERDICTS_MAX * sizeof(*reaper->lost));
	reaper->verdicts = arena_alloc(&reaper->arena, VERDICTS_MAX * sizeof(*reaper->verdicts));
	return reaper->lost && reaper->verdicts ? 0 : -(int)err_last()->code;
}

int reaper_look(struct reaper *reaper)
{
	struct db db = db_of_system(reaper->store, &reaper->arena);
	uint64_t began;
	bool more = false;
	int r = begin_look(reaper);

	if (r == 0)
		r = look_at_leases(reaper, &db);
	if (r < 0 || (!reaper->orphans && reaper->watched_ns < reaper->starts_ns))
		return r;
	began = clock_now_ns();
	r = look_at_starts(reaper, &db, &more);
	if (r < 0)
		return r;
	reaper->orphans = more;
	reaper->starts_ns =
		reaper->watched_ns + MAX(STARTS_EVERY, (clock_now_ns() - began) * STARTS_PART);
	return 0;
}

int reaper_open(struct store *store, struct reaper **ret)
{
	struct reaper *reaper = mem_zalloc(sizeof(*reaper));

	if (!reaper)
		return -(int)err_last()->code;
	reaper->store = store;
	arena_init(&reaper->arena, 64 * KILOBYTE, REAP_MEMORY);
	*ret = reaper;
	return 0;
}

void reaper_close(struct reaper *reaper)
{
	if (!reaper)
		return;
	lookout_done(&reaper->leases);
	lookout_done(&reaper->starts);
	arena_done(&reaper->arena);
	mem_free(reaper, sizeof(*reaper));
}

/* --- at the start ---------------------------------------------------------------------- */

static int forget_programs_in_tx(struct tx *tx, void *arg)
{
	(void)arg;
	return tx_exec(tx, &reap_programs, NULL);
}

int jobs_recover(struct store *store, struct arena *arena)
{
	struct db db = db_of_system(store, arena);
	struct reaper *reaper = NULL;
	bool more = store_is_sqlite(store);
	int r;

	if (!more)
		return 0;
	r = reaper_open(store, &reaper);
	if (r < 0)
		return r;
	CHECK(reaper);
	db.arena = &reaper->arena;
	r = db_write_with(&db, &reaping, forget_programs_in_tx, NULL);
	for (size_t i = 0; i < RECOVER_ROUNDS && more && r == 0; i++) {
		r = begin_look(reaper);
		if (r == 0)
			r = look_at_starts(reaper, &db, &more);
	}
	reaper_close(reaper);
	return r;
}
