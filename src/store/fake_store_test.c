/* An engine that only calls the function. */
#include "store/fake_store_test.h"

#include "base/test.h"
#include "loop/worker.h"
#include "store/notice_internal.h"

#include <stdlib.h>

static int run(struct engine *engine, struct tx *tx)
{
	struct fake_store *fake = CONTAINER_OF(engine, struct fake_store, engine);
	int r = 0;

	for (unsigned i = 0; i <= fake->repeats && r == 0; i++) {
		tx_begin_attempt(tx);
		r = tx_call(tx);
	}
	return r == 0 && fake->outcome ? fail((enum err_code)fake->outcome, "the commit fails") : r;
}

static int enter(struct tx *tx)
{
	(void)tx;
	return 0;
}

void fake_store_open(struct fake_store *fake, bool polled)
{
	static const struct engine_ops ops = { .run = run, .enter = enter };

	*fake = (struct fake_store){ .engine = { ENGINE_SQLITE, &ops, &fake->store } };
	fake->store.engine = &fake->engine;
	REQUIRE(notices_open(polled, &fake->store.notices) == 0);
}

void fake_store_close(struct fake_store *fake)
{
	notices_close(fake->store.notices);
}

/* --- fibers -------------------------------------------------------------------------- */

enum { WORKERS_MAX = 8 };

struct crew;

struct member {
	struct crew *crew;
	size_t number;
};

struct crew {
	struct worker worker;
	struct member *members;
	size_t count;
	uint64_t order_seed;
	void (*body)(size_t number, void *arg);
	void *arg;
};

static int work(void *arg)
{
	struct member *member = arg;

	member->crew->body(member->number, member->crew->arg);
	return 0;
}

static int lead(void *arg)
{
	struct crew *crew = arg;
	struct scope scope;

	scope_open(&scope, TIME_NEVER);
	for (size_t i = 0; i < crew->count; i++)
		REQUIRE(scope_spawn(&scope, work, &crew->members[i]) == 0);
	REQUIRE(scope_close(&scope) == 0);
	worker_stop(&crew->worker);
	return 0;
}

static int start(struct worker *worker)
{
	struct crew *crew = worker->arg;

	worker->sched.order_seed = crew->order_seed;
	return scope_spawn(&worker->sched.root, lead, crew);
}

void run_fibers(size_t workers, size_t fibers, uint64_t order_seed,
	void (*body)(size_t number, void *arg), void *arg)
{
	static struct crew crews[WORKERS_MAX];

	REQUIRE(workers <= WORKERS_MAX);
	for (size_t i = 0; i < workers; i++) {
		struct crew *crew = &crews[i];

		*crew = (struct crew){ .members = calloc(fibers, sizeof(*crew->members)),
			.count = fibers,
			.order_seed = order_seed ? order_seed + i : 0,
			.body = body,
			.arg = arg };
		crew->worker = (struct worker){
			.fiber_limit = fibers + 100, .on_start = start, .arg = crew
		};
		for (size_t n = 0; n < fibers; n++)
			crew->members[n] = (struct member){ crew, i * fibers + n };
	}
	for (size_t i = 0; i < workers; i++)
		REQUIRE(worker_start(&crews[i].worker) == 0);
	for (size_t i = 0; i < workers; i++) {
		worker_join(&crews[i].worker);
		free(crews[i].members);
	}
}
