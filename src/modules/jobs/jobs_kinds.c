/*
 * Kinds of jobs that this program knows by name, and what their payloads must be like. Declared
 * while the modules open; only read after.
 */
#include "modules/jobs/jobs_adding.h"

#include "base/err.h"
#include "base/hash.h"
#include "schema/decode.h"

enum { KINDS_MAX = 256, KIND_SLOTS = 2 * KINDS_MAX };

static struct {
	const struct job_kind *slots[KIND_SLOTS]; /* by hash of the name */
	size_t count;
} kinds;

/* --- declaring ------------------------------------------------------------------------------- */

static const struct job_kind **slot_of(struct str name)
{
	size_t at = (size_t)hash_str(name) % KIND_SLOTS;

	while (kinds.slots[at] && !str_eq(str_from_c(kinds.slots[at]->name), name))
		at = (at + 1) % KIND_SLOTS;
	return &kinds.slots[at];
}

const struct job_kind *job_kind_find(struct str name)
{
	return kinds.count ? *slot_of(name) : NULL;
}

const struct job_kind *job_kind_next(size_t *at)
{
	while (*at < KIND_SLOTS)
		if (kinds.slots[(*at)++])
			return kinds.slots[*at - 1];
	return NULL;
}

bool job_name_reserved(struct str name)
{
	const struct job_kind *kind = job_kind_find(name);

	return kind && kind->queue && queue_name_reserved(str_from_c(kind->queue));
}

/* Numbers that no job of the kind could have. */
static bool is_sound(const struct job_kind *kind)
{
	struct str queue = str_from_c(kind->queue);

	return job_name_valid(str_from_c(kind->name)) &&
	       (!queue.len || queue_name_valid(queue) || queue_name_reserved(queue)) &&
	       kind->attempts >= 0 && kind->attempts <= JOB_ATTEMPTS_MAX &&
	       kind->timeout_ns <= JOB_TIMEOUT_MS_MAX * MILLISECOND;
}

int job_kind_declare(struct server *server, const struct job_kind *kind)
{
	const struct job_kind **slot = slot_of(str_from_c(kind->name));

	(void)server;
	if (!is_sound(kind))
		return fail(ERR_INVALID,
			"%s is no kind of job: its name, queue, attempts or timeout", kind->name);
	if (*slot)
		return fail(ERR_CONFLICT, "there is a kind of job %s already", kind->name);
	if (kinds.count == KINDS_MAX)
		return fail(ERR_FULL, "more than %d kinds of jobs", KINDS_MAX);
	if (kind->schema && schema_compile(kind->schema) < 0)
		return err_wrap("kind of job %s", kind->name);
	*slot = kind;
	kinds.count++;
	return 0;
}

void job_kinds_close(struct store *store)
{
	(void)store;

	for (size_t i = 0; i < KIND_SLOTS; i++)
		if (kinds.slots[i] && kinds.slots[i]->schema)
			schema_release(kinds.slots[i]->schema);
	memset(kinds.slots, 0, sizeof(kinds.slots));
	kinds.count = 0;
}

/* --- payloads -----------------------------------------------------------------------------------
 */

int problems_under(const struct problems *from, struct str at, struct problems *to)
{
	for (size_t i = 0; i < from->count; i++) {
		const struct problem *problem = &from->at[i];
		struct str path = arena_printf(to->arena, "%.*spayload%s%.*s", STR_ARG(at),
			problem->field.len ? "." : "", STR_ARG(problem->field));
		int r = path.at ? problems_add(to, path, problem->code, "%.*s",
					  STR_ARG(problem->message))
				: -(int)err_last()->code;

		if (r < 0)
			return r;
	}
	return 0;
}

int job_kind_check(
	const struct job_kind *kind, struct str payload, struct str at, struct problems *problems)
{
	struct problems own;
	void *decoded;
	int r;

	if (!kind->schema)
		return 0;
	decoded = arena_alloc(problems->arena, kind->schema->size);
	if (!decoded)
		return -(int)err_last()->code;
	problems_init(&own, problems->arena);
	r = schema_decode(kind->schema, SCHEMA_ALL, payload, problems->arena, &own, decoded);
	return r == -ERR_INVALID ? problems_under(&own, at, problems) : r;
}
