/* Starts that are used again and again: a thread keeps some, with the first chunk of their arenas.
 */
#include "modules/jobs/jobs_work_internal.h"

#include "base/mem.h"

enum { START_CHUNK = 2048 };

static struct start *make_start(struct work_thread *thread)
{
	struct start *start = mem_zalloc(sizeof(*start));

	if (!start)
		return NULL;
	notes_init(&start->notes);
	arena_init(&start->arena, START_CHUNK, thread->work->server->limits.request_memory);
	return start;
}

void start_free(struct start *start)
{
	notes_done(&start->notes);
	arena_done(&start->arena);
	mem_free(start, sizeof(*start));
}

/* Gives it back, for another job. */
void start_put(struct work_thread *thread, struct start *start)
{
	if (thread->pool_count >= STARTS_KEPT) {
		start_free(start);
		return;
	}
	notes_reset(&start->notes);
	arena_reset(&start->arena);
	list_push_first(&thread->pool, &start->link);
	thread->pool_count++;
}

/* Puts starts aside for a turn, so that every job that it takes can at least be handed back.
 * Returns for how many there is memory. */
size_t starts_prepare(struct lane *lane, size_t count)
{
	struct work_thread *thread = lane->crew->thread;
	size_t ready = 0;

	for (; ready < count; ready++) {
		struct link *link = list_pop(&thread->pool);
		struct start *start;

		if (link) {
			thread->pool_count--;
			start = CONTAINER_OF(link, struct start, link);
		} else {
			start = make_start(thread);
		}
		if (!start)
			break;
		list_push(&lane->prepared, &start->link);
	}
	return ready;
}

/* Those that were not needed. */
void starts_unprepare(struct lane *lane)
{
	struct link *link;

	while ((link = list_pop(&lane->prepared)))
		start_put(lane->crew->thread, CONTAINER_OF(link, struct start, link));
}

/* One of those that were put aside. */
struct start *start_take(struct lane *lane)
{
	struct link *link = list_pop(&lane->prepared);
	struct start *start;

	CHECK(link);
	start = CONTAINER_OF(link, struct start, link);
	start->crew = lane->crew;
	start->kind = NULL;
	start->scope = NULL;
	start->stop = START_GOES_ON;
	start->judged = start->completed = false;
	start->result = str_of(NULL, 0);
	return start;
}

void crew_free_starts(struct work_thread *thread)
{
	struct link *link;

	while ((link = list_pop(&thread->pool)))
		start_free(CONTAINER_OF(link, struct start, link));
}
