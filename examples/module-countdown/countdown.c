/*
 * A module that brings a kind of job: "countdown:run" counts down from so many steps, and says how
 * far it is. It waits on its fiber, so a thousand of them need one thread; and it may be started
 * again after a crash, since all it knows is in its payload.
 */
#include "base/buf.h"
#include "fiber/fiber.h"
#include "http/module.h"
#include "modules/jobs/jobs.h"
#include "observe/clock.h"
#include "json/writer.h"

#define VERSION "1.0.0"

enum { RESULT_MAX = 200 };

struct countdown {
	int64_t steps;
	int64_t step_ms;
};

static const struct schema countdown_schema = SCHEMA(countdown, "What to count down.",
	FIELD(countdown, steps, "From where.", .flags = REQUIRED, RANGE(1, 1000)),
	FIELD(countdown, step_ms, "How long a step takes, in milliseconds.", .flags = REQUIRED,
		RANGE(0, 60000)));

/* Says which start it was that came to the end. */
static int tell(struct job *job, const struct countdown *countdown)
{
	struct json_writer json;
	struct buf buf;
	int r;

	buf_init(&buf, RESULT_MAX);
	json_writer_init(&json, &buf);
	json_write_object(&json);
	json_write_key(&json, S("steps"));
	json_write_i64(&json, countdown->steps);
	json_write_key(&json, S("attempt"));
	json_write_i64(&json, job->attempt);
	json_write_object_end(&json);
	r = json_writer_done(&json);
	if (r == 0)
		r = job_result(job, buf_str(&buf));
	buf_done(&buf);
	return r;
}

/* A wait fails when the job is cancelled, takes too long or the server ends: returned as it is, it
 * becomes what it should. */
static int run(struct job *job, const void *payload)
{
	const struct countdown *countdown = payload;

	for (int64_t i = 0; i < countdown->steps; i++) {
		uint64_t until = clock_now_ns() + (uint64_t)countdown->step_ms * MILLISECOND;
		int r = job_progress(job, i * 100 / countdown->steps, S(""));

		if (r == 0)
			r = fiber_sleep_until(until);
		if (r < 0)
			return r;
	}
	return tell(job, countdown);
}

static const struct job_kind countdown_kind = {
	.name = "countdown:run",
	.queue = "countdown",
	.schema = &countdown_schema,
	.run = run,
};

static int open_countdown(struct server *server)
{
	return job_kind_declare(server, &countdown_kind);
}

static const struct module countdown_module = {
	MODULE_HEAD,
	.name = "countdown",
	.version = VERSION,
	.open = open_countdown,
};

BULKHEAD_MODULE(countdown_module);
