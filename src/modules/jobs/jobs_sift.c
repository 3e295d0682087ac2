/*
 * Payloads that nobody could work on. They were looked at when they were added, but the schema may
 * be from later, and a job may come from a database's own transaction, which knows no schemas. This
 * is done behind the commit of the take: schemas are in memory, and reading them may park. A
 * payload that cannot be judged now waits a moment, so that it holds up no other one; what fails
 * leaves all that was taken to the caller, who hands it back.
 */
#include "modules/jobs/jobs_run.h"

#include "base/err.h"
#include "modules/jobs/jobs_adding.h"
#include "observe/log.h"
#include "schema/problem.h"

enum { SENTENCES_MAX = 5, JUDGE_MEMORY = 16 * 1024 * 1024 };

#define UNJUDGED_PAUSE ((int64_t)(SECOND / MICROSECOND))

/* Those of a take that are not to be worked on. */
struct sieve {
	struct str queue;
	char lease[UUID_TEXT_LEN];
	struct arena *arena;  /* of what stays */
	struct arena judging; /* of one payload */
	struct job_end *ends;
	struct str *tenants; /* of each */
	size_t count;
};

struct str job_refusal(struct arena *arena, const struct problems *problems)
{
	struct str text = S("the payload is not what its schema wants");

	for (size_t i = 0; i < MIN(problems->count, (size_t)SENTENCES_MAX); i++) {
		struct str more =
			arena_printf(arena, "%.*s%s%.*s %.*s", STR_ARG(text), i ? "; " : ": ",
				STR_ARG(problems->at[i].field), STR_ARG(problems->at[i].message));

		if (!more.at)
			break;
		text = more;
	}
	return text;
}

bool job_stray(struct str name, struct str queue)
{
	return job_name_reserved(name) && !queue_name_reserved(queue);
}

bool job_unjudged(int r)
{
	return r < 0 && r != -ERR_INVALID && r != -ERR_TOO_LARGE;
}

/* Puts one aside: `r` is what was found of its payload. */
static int set_aside(struct sieve *sieve, const struct taken *taken, int r, struct str message)
{
	struct job_end *end = &sieve->ends[sieve->count];

	*end = (struct job_end){ .id = taken->id,
		.lease_id = str_of(sieve->lease, sizeof(sieve->lease)),
		.attempt = taken->attempt,
		.kind = job_unjudged(r) ? END_SNOOZE : END_INVALID,
		.delay_us = UNJUDGED_PAUSE };
	if (!job_unjudged(r)) {
		end->message = arena_str(sieve->arena, message);
		if (!end->message.at)
			return -(int)err_last()->code;
	}
	sieve->tenants[sieve->count++] = taken->tenant_id;
	return 0;
}

/* 1 when it stays. */
static int look(struct store *store, struct sieve *sieve, const struct taken *taken)
{
	struct problems problems;
	struct uuid tenant;
	struct db db;
	int r;

	if (job_stray(taken->name, sieve->queue))
		return set_aside(sieve, taken, -ERR_INVALID, S(JOB_STRAY));
	arena_reset(&sieve->judging);
	CHECK(uuid_parse(taken->tenant_id, &tenant));
	db = db_of(store, &tenant, &sieve->judging);
	problems_init(&problems, &sieve->judging);
	r = job_payload_check(&db, taken->name, taken->payload.json, S(""), &problems);
	if (r == 0 || r == -ERR_CANCELLED)
		return r == 0 ? 1 : r;
	if (job_unjudged(r))
		log_warn("the payload of a job cannot be judged now", LOG_ERR,
			LOG_STR("job", taken->name), LOG_STR("jobId", taken->id));
	return set_aside(sieve, taken, r, job_refusal(&sieve->judging, &problems));
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

/* Those that stay go to `kept`. */
static int look_at_all(struct store *store, struct sieve *sieve, const struct taken *taken,
	size_t count, struct taken *kept, size_t *ret_kept)
{
	size_t stay = 0;

	for (size_t i = 0; i < count; i++) {
		int r = look(store, sieve, &taken[i]);

		if (r < 0)
			return r;
		if (r > 0)
			kept[stay++] = taken[i];
	}
	*ret_kept = stay;
	return 0;
}

int jobs_sift(struct store *store, struct arena *arena, const struct take *take,
	struct taken *taken, size_t *count)
{
	struct db db = db_of_system(store, arena);
	struct sieve sieve = { .queue = take->queue, .arena = arena };
	struct taken *kept;
	size_t stay = 0;
	int r;

	if (!*count)
		return 0;
	uuid_write(sieve.lease, &take->lease.id);
	sieve.ends = arena_alloc(arena, *count * sizeof(*sieve.ends));
	sieve.tenants = arena_alloc(arena, *count * sizeof(*sieve.tenants));
	kept = arena_alloc(arena, *count * sizeof(*kept));
	if (!sieve.ends || !sieve.tenants || !kept)
		return -(int)err_last()->code;
	arena_init(&sieve.judging, 16 * KILOBYTE, JUDGE_MEMORY);
	r = look_at_all(store, &sieve, taken, *count, kept, &stay);
	arena_done(&sieve.judging);
	if (r == 0 && sieve.count)
		r = db_write_with(&db, &jobs_ending, discard_in_tx, &sieve);
	if (r < 0)
		return r;
	if (stay)
		memcpy(taken, kept, stay * sizeof(*kept));
	*count = stay;
	return 0;
}
