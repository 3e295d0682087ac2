/* For ./bench jobs: a kind of job that does nothing but note when it was started, and a route that
 * tells. The payload's `at` is when the job was sent, by the clock that all processes share. */
#include "modules/jobs/jobs.h"
#include "observe/clock.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { SAMPLES_MAX = 1 << 16 };

struct noop {
	int64_t at;
	struct str text;
};

static const struct schema noop_schema = SCHEMA(noop, "Nothing to do.",
	FIELD(noop, at, "When it was sent, nanoseconds of the monotonic clock."),
	FIELD(noop, text, "Makes it as long as it shall be."));

/* Of the jobs since the last reset. */
static _Atomic int64_t started, first_ns, last_ns;
static int64_t waited_ns[SAMPLES_MAX];

static int noop(struct job *job, const void *payload)
{
	const struct noop *in = payload;
	int64_t now = (int64_t)clock_now_ns();
	int64_t number = atomic_fetch_add_explicit(&started, 1, memory_order_acq_rel);

	(void)job;
	if (number == 0)
		atomic_store_explicit(&first_ns, now, memory_order_relaxed);
	atomic_store_explicit(&last_ns, now, memory_order_relaxed);
	waited_ns[number % SAMPLES_MAX] = now - in->at;
	return 0;
}

static const struct job_kind noop_kind = {
	.name = "bench:noop", .queue = "bench", .schema = &noop_schema, .run = noop
};

/* --- what it tells --------------------------------------------------------------------- */

struct starts {
	int64_t started, first_ns, last_ns;
};

struct waits {
	int64_t started, p50_ns, p99_ns;
};

static const struct schema starts_schema = SCHEMA(starts, "Starts since the last reset.",
	FIELD(starts, started, "How many."), FIELD(starts, first_ns, "When the first was."),
	FIELD(starts, last_ns, "When the last was."));

static const struct schema waits_schema =
	SCHEMA(waits, "How long jobs waited since the last reset.",
		FIELD(waits, started, "How many were started."),
		FIELD(waits, p50_ns, "Time from sent to started, the median."),
		FIELD(waits, p99_ns, "The same, of the slowest hundredth."));

static int by_value(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

	return (left > right) - (left < right);
}

static int starts_get(struct req *req, const struct nothing *in, struct starts *out)
{
	(void)req, (void)in;
	*out = (struct starts){ atomic_load_explicit(&started, memory_order_acquire), first_ns,
		last_ns };
	return 0;
}
HANDLER(starts_get, nothing, starts, 0)

static int waits_get(struct req *req, const struct nothing *in, struct waits *out)
{
	int64_t count = atomic_load_explicit(&started, memory_order_acquire), *sorted;
	size_t kept = (size_t)(count < SAMPLES_MAX ? count : SAMPLES_MAX);

	(void)in;
	*out = (struct waits){ .started = count };
	if (kept == 0)
		return 0;
	sorted = arena_alloc(&req->arena, kept * sizeof(sorted[0]));
	if (!sorted)
		return -ERR_NO_MEMORY;
	memcpy(sorted, waited_ns, kept * sizeof(sorted[0]));
	qsort(sorted, kept, sizeof(sorted[0]), by_value);
	out->p50_ns = sorted[(kept - 1) / 2];
	out->p99_ns = sorted[(kept - 1) * 99 / 100];
	return 0;
}
HANDLER(waits_get, nothing, waits, 0)

/* When nothing runs. */
static int starts_reset(struct req *req, const struct nothing *in, struct nothing *out)
{
	(void)req, (void)in, (void)out;
	atomic_store_explicit(&started, 0, memory_order_release);
	return 0;
}
HANDLER(starts_reset, nothing, nothing, 0)

static const struct route routes[] = {
	{ HTTP_GET, "/bench/starts", "Starts since the last reset", .place = ROUTE_PUBLIC,
		.handler = &starts_get_handler, .out = &starts_schema, .need = RIGHT_PUBLIC,
		.limit = ROUTE_LIMIT_NONE },
	{ HTTP_GET, "/bench/waits", "How long jobs waited since the last reset",
		.place = ROUTE_PUBLIC, .handler = &waits_get_handler, .out = &waits_schema,
		.need = RIGHT_PUBLIC, .limit = ROUTE_LIMIT_NONE },
	{ HTTP_DELETE, "/bench/starts", "Reset", .place = ROUTE_PUBLIC,
		.handler = &starts_reset_handler, .need = RIGHT_PUBLIC, .limit = ROUTE_LIMIT_NONE },
};

static int worked_open(struct server *server)
{
	return job_kind_declare(server, &noop_kind);
}

static const struct module worked_module = {
	MODULE_HEAD,
	.name = "worked",
	.version = "1",
	.routes = routes,
	.route_count = LEN(routes),
	.open = worked_open,
};

BULKHEAD_MODULE(worked_module);
