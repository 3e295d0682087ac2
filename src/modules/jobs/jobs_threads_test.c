/* Threads that do the jobs of a world. */
#include "modules/jobs/jobs_threads_test.h"

#include "http/server.h"
#include "modules/jobs/jobs_work.h"

void jobs_threads_start(struct world *world)
{
	static struct server server = { .limits.request_memory = 16 * MEGABYTE };
	static const struct jobs_options options = { .work = true, .schedule = true, .threads = 3 };

	server.store = world->store;
	jobs_configure(&options);
	REQUIRE(jobs_start(&server) == 0);
}

void jobs_threads_stop(void)
{
	jobs_stop();
}
