/*
 * Things that are looked at again and again, to see which ones stay as they are: leases that do not
 * beat, starts that do not end. Pure.
 */
#ifndef JOBS_LOOKOUT_H
#define JOBS_LOOKOUT_H

#include "crypto/uuid.h"

enum { WATCHED_MAX = 200 * 1000 }; /* of one kind */

struct lookout_key {
	struct uuid tenant, id;
};

struct watched {
	struct lookout_key key;
	int64_t version;
	uint64_t since_ns;
};

/* What was seen at the last look, sorted, and what is seen at this one. Zero is empty. */
struct lookout {
	struct watched *former, *now;
	size_t former_count, now_count, former_room, now_room;
	size_t at; /* in `former`: how far this look has come */
};

/* A look: begin, see each of them in the order of their keys, end. Without an end, because it
 * failed, the look before is still the last one. */
void lookout_begin(struct lookout *lookout);
void lookout_end(struct lookout *lookout);

/* Since when the thing is of that version: `now_ns` when it was another one, or not there.
 * -ERR_NO_MEMORY, -ERR_FULL. */
int lookout_see(struct lookout *lookout, const struct lookout_key *key, int64_t version,
	uint64_t now_ns, uint64_t *ret_since);

void lookout_done(struct lookout *lookout);

int lookout_key_cmp(const struct lookout_key *a, const struct lookout_key *b);

#endif
