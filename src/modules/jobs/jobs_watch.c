/* What is watched is two sorted arrays: each look is merged with the one before. */
#include "modules/jobs/jobs_watch.h"

#include "base/err.h"
#include "base/mem.h"

int watch_key_cmp(const struct watch_key *a, const struct watch_key *b)
{
	int r = uuid_cmp(&a->tenant, &b->tenant);

	return r ? r : uuid_cmp(&a->id, &b->id);
}

void watch_begin(struct watch *watch)
{
	watch->now_count = 0;
	watch->at = 0;
}

void watch_end(struct watch *watch)
{
	struct watch seen = *watch;

	watch->former = seen.now;
	watch->former_count = seen.now_count;
	watch->former_room = seen.now_room;
	watch->now = seen.former;
	watch->now_room = seen.former_room;
}

void watch_done(struct watch *watch)
{
	mem_free(watch->former, watch->former_room * sizeof(*watch->former));
	mem_free(watch->now, watch->now_room * sizeof(*watch->now));
	*watch = (struct watch){ NULL };
}

static int make_room(struct watch *watch)
{
	size_t room = watch->now_room ? watch->now_room * 2 : 64, size = sizeof(*watch->now);
	struct watched *now;

	if (watch->now_count < watch->now_room)
		return 0;
	if (watch->now_count >= WATCHED_MAX)
		return fail(ERR_FULL, "more than %d things to watch", WATCHED_MAX);
	now = mem_resize(watch->now, watch->now_room * size, room * size);
	if (!now)
		return -(int)err_last()->code;
	watch->now = now;
	watch->now_room = room;
	return 0;
}

int watch_see(struct watch *watch, const struct watch_key *key, int64_t version, uint64_t now_ns,
	uint64_t *ret_since)
{
	uint64_t since_ns = now_ns;
	int r = make_room(watch);

	if (r < 0)
		return r;
	while (watch->at < watch->former_count &&
		watch_key_cmp(&watch->former[watch->at].key, key) < 0)
		watch->at++;
	if (watch->at < watch->former_count) {
		const struct watched *former = &watch->former[watch->at];

		if (watch_key_cmp(&former->key, key) == 0 && former->version == version)
			since_ns = former->since_ns;
	}
	watch->now[watch->now_count++] = (struct watched){ *key, version, since_ns };
	*ret_since = since_ns;
	return 0;
}
