/* What is watched is two sorted arrays: each look is merged with the one before. */
#include "modules/jobs/jobs_lookout.h"

#include "base/err.h"
#include "base/mem.h"

int lookout_key_cmp(const struct lookout_key *a, const struct lookout_key *b)
{
	int r = uuid_cmp(&a->tenant, &b->tenant);

	return r ? r : uuid_cmp(&a->id, &b->id);
}

void lookout_begin(struct lookout *lookout)
{
	lookout->now_count = 0;
	lookout->at = 0;
}

void lookout_end(struct lookout *lookout)
{
	struct lookout seen = *lookout;

	lookout->former = seen.now;
	lookout->former_count = seen.now_count;
	lookout->former_room = seen.now_room;
	lookout->now = seen.former;
	lookout->now_room = seen.former_room;
}

void lookout_done(struct lookout *lookout)
{
	mem_free(lookout->former, lookout->former_room * sizeof(*lookout->former));
	mem_free(lookout->now, lookout->now_room * sizeof(*lookout->now));
	*lookout = (struct lookout){ NULL };
}

static int make_room(struct lookout *lookout)
{
	size_t room = lookout->now_room ? lookout->now_room * 2 : 64, size = sizeof(*lookout->now);
	struct watched *now;

	if (lookout->now_count < lookout->now_room)
		return 0;
	if (lookout->now_count >= WATCHED_MAX)
		return fail(ERR_FULL, "more than %d things to watch", WATCHED_MAX);
	now = mem_resize(lookout->now, lookout->now_room * size, room * size);
	if (!now)
		return -(int)err_last()->code;
	lookout->now = now;
	lookout->now_room = room;
	return 0;
}

int lookout_see(struct lookout *lookout, const struct lookout_key *key, int64_t version,
	uint64_t now_ns, uint64_t *ret_since)
{
	uint64_t since_ns = now_ns;
	int r = make_room(lookout);

	if (r < 0)
		return r;
	while (lookout->at < lookout->former_count &&
		lookout_key_cmp(&lookout->former[lookout->at].key, key) < 0)
		lookout->at++;
	if (lookout->at < lookout->former_count) {
		const struct watched *former = &lookout->former[lookout->at];

		if (lookout_key_cmp(&former->key, key) == 0 && former->version == version)
			since_ns = former->since_ns;
	}
	lookout->now[lookout->now_count++] = (struct watched){ *key, version, since_ns };
	*ret_since = since_ns;
	return 0;
}
