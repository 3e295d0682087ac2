/*
 * Payloads that nobody could work on. They were looked at when they were added, but the schema may
 * be from later, and a job may come from a database's own transaction, which knows no schemas. This
 * is done behind the commit of the take: schemas are in memory, and reading them may park.
 */
#include "modules/jobs/jobs_adding.h"
#include "modules/jobs/jobs_run.h"

#include "base/err.h"
#include "schema/problem.h"

enum { SENTENCES_MAX = 5 };

/* Those of a take that are discarded. */
struct sieve {
	char lease[UUID_TEXT_LEN];
	struct job_end *ends;
	struct str *tenants; /* of each */
	size_t count;
};

static struct str sentences(struct arena *arena, const struct problems *problems)
{
	struct str text = S("the payload is not what its schema wants");

	for (size_t i = 0; i < MIN(problems->count, (size_t)SENTENCES_MAX) && text.at; i++)
		text = arena_printf(arena, "%.*s%s%.*s %.*s", STR_ARG(text), i ? "; " : ": ",
			STR_ARG(problems->at[i].field), STR_ARG(problems->at[i].message));
	return text;
}

/* 1 when it stays. From a database's own transaction there may also come a name that is not for
 * that queue. */
static int look(
	const struct db *db, struct sieve *sieve, struct str queue, const struct taken *taken)
{
	struct job_end *end = &sieve->ends[sieve->count];
	struct arena_mark mark = arena_mark(db->arena);
	bool stray = job_name_reserved(taken->name) && !queue_name_reserved(queue);
	struct problems problems;
	struct db tenant = *db;
	int r;

	CHECK(uuid_parse(taken->tenant_id, &tenant.tenant));
	tenant.system = false;
	problems_init(&problems, db->arena);
	r = stray ? -ERR_INVALID
		  : job_payload_check(&tenant, taken->name, taken->payload.json, S(""), &problems);
	if (r == 0) {
		arena_back(db->arena, mark);
		return 1;
	}
	if (r != -ERR_INVALID && r != -ERR_TOO_LARGE)
		return r;
	*end = (struct job_end){ .id = taken->id,
		.lease_id = str_of(sieve->lease, sizeof(sieve->lease)),
		.attempt = taken->attempt,
		.kind = END_INVALID,
		.message = stray ? S("the name is of jobs that only the program itself adds")
				 : sentences(db->arena, &problems) };
	sieve->tenants[sieve->count++] = taken->tenant_id;
	return end->message.at ? 0 : -(int)err_last()->code;
}

static int discard_in_tx(struct tx *tx, void *arg)
{
	const struct sieve *sieve = arg;
	size_t count;
	int r = 0;

	for (size_t i = 0; i < sieve->count && r == 0; i += count) {
		struct uuid tenant;

		CHECK(uuid_parse(sieve->tenants[i], &tenant));
		for (count = 1; i + count < sieve->count; count++)
			if (!str_eq(sieve->tenants[i + count], sieve->tenants[i]))
				break;
		r = tx_enter(tx, &tenant);
		if (r == 0)
			r = jobs_end_in_tx(tx, &sieve->ends[i], count);
		if (r == 0)
			r = tx_leave(tx);
	}
	return r;
}

int jobs_sift(struct store *store, struct arena *arena, const struct take *take,
	struct taken *taken, size_t *count)
{
	struct db db = db_of_system(store, arena);
	struct sieve sieve = { .count = 0 };
	size_t kept = 0;

	if (!*count)
		return 0;
	uuid_write(sieve.lease, &take->lease.id);
	sieve.ends = arena_alloc(arena, *count * sizeof(*sieve.ends));
	sieve.tenants = arena_alloc(arena, *count * sizeof(*sieve.tenants));
	if (!sieve.ends || !sieve.tenants)
		return -(int)err_last()->code;
	for (size_t i = 0; i < *count; i++) {
		int r = look(&db, &sieve, take->queue, &taken[i]);

		if (r < 0)
			return r;
		if (r > 0)
			taken[kept++] = taken[i];
	}
	*count = kept;
	return sieve.count ? db_write_with(&db, &jobs_ending, discard_in_tx, &sieve) : 0;
}
