/* Kinds of jobs that this program knows by name. Declared while the modules open; only read after.
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

int job_kind_declare(struct server *server, const struct job_kind *kind)
{
	struct str name = str_from_c(kind->name), queue = str_from_c(kind->queue);
	const struct job_kind **slot = slot_of(name);

	(void)server;
	if (!job_name_valid(name) || (queue.len && !queue_name_valid(queue)))
		return fail(ERR_INVALID, "\"%s\" of queue \"%.*s\" is no kind of job", kind->name,
			STR_ARG(queue));
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

void job_kinds_close(void)
{
	for (size_t i = 0; i < KIND_SLOTS; i++)
		if (kinds.slots[i] && kinds.slots[i]->schema)
			schema_release(kinds.slots[i]->schema);
	memset(kinds.slots, 0, sizeof(kinds.slots));
	kinds.count = 0;
}

const struct job_statements job_kind_statements = { NULL, 0 };
