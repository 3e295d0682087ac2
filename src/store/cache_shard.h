/*
 * A part of a cache under one lock: entries by name, in the order of their last use, by tag; what
 * was forgotten when; the loads under way. Internal to the cache.
 *
 * "When" is a number that grows with each forgetting. A load remembers the number at its start
 * (`began`); what it brings is kept only if nothing that concerns it was forgotten since. Those
 * moments are remembered by hash in a small table, so two names may share one: then something is
 * not kept that could have been, never the other way round.
 */
#ifndef STORE_CACHE_SHARD_H
#define STORE_CACHE_SHARD_H

#include "base/list.h"
#include "crypto/uuid.h"
#include "store/cache.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	CACHE_MOMENTS = 64, /* a power of two */
	CACHE_FLIGHT_LISTS = 16,
	CACHE_BLOCK_COST = 16, /* what malloc adds to a block */
};

/* What an entry is known by: tenant and key. */
struct cache_name {
	uint64_t hash;
	size_t len;
	char bytes[sizeof(struct uuid) + CACHE_KEY_MAX];
};

/* False when the key is too long. */
bool cache_name_init(struct cache_name *name, const struct uuid *tenant, struct str key);

/* The hashes of a tenant, and of a tag of a tenant, which are all that is kept of it: tags that
 * collide are forgotten together. */
uint64_t cache_owner_hash(const struct uuid *tenant);
uint64_t cache_tag_hash(uint64_t owner, struct str tag);

/* --- entries ------------------------------------------------------------------------ */

struct cache_label {
	struct link link; /* in the shard's list of the tag's hash */
	uint64_t hash;
	struct cache_entry *entry;
};

/* An answer: a value, or an error with its text. Constant once it is made, so that it is copied
 * without the lock. */
struct cache_entry {
	struct cache_entry *next; /* in its bucket, or in cache_changes.removed */
	struct link order;        /* in shard->order */
	uint64_t hash, expires_ns;
	_Atomic uint32_t uses; /* the shard, and those who copy from it */
	int result;            /* 0, or negative: `value` is the text of the error */
	size_t size;           /* of the block */
	struct str value;
	uint16_t name_len, label_count;
	struct cache_label labels[]; /* then the name, then the value */
};

/* An entry with one use, the caller's; NULL without memory. `tags` are hashes. */
struct cache_entry *cache_entry_make(const struct cache_name *name, int result, struct str value,
	const uint64_t *tags, size_t tag_count, uint64_t expires_ns);

static inline struct cache_entry *cache_entry_use(struct cache_entry *entry)
{
	(void)atomic_fetch_add_explicit(&entry->uses, 1, memory_order_relaxed);
	return entry;
}

/* Ends a use; the last one frees it. NULL is allowed. Without the lock. */
void cache_entry_release(struct cache_entry *entry);

/* --- shards -------------------------------------------------------------------------- */

struct cache_shard {
	_Alignas(64) pthread_mutex_t lock;
	size_t mask;                    /* of the two tables */
	struct cache_entry **names;     /* buckets */
	struct link *tags;              /* struct cache_label */
	struct link order;              /* struct cache_entry, the last used first */
	size_t bytes, limit;            /* of entries */
	uint64_t moment;                /* of the last forgetting */
	uint64_t all;                   /* when all of it was forgotten */
	uint64_t keys[CACHE_MOMENTS];   /* when a name was, by its hash */
	uint64_t labels[CACHE_MOMENTS]; /* when a tag was, by its hash */
	uint64_t owners[CACHE_MOMENTS]; /* when any tag of a tenant was, by the tenant's hash */
	struct link flights[CACHE_FLIGHT_LISTS]; /* the cache's: loads under way, by name hash */
};

/* What a change has taken out, for after the lock. Begins zeroed. */
struct cache_changes {
	struct cache_entry *removed;
	int64_t bytes; /* by which the shard has grown */
	size_t evicted;
};

/* A shard that takes at most `memory` bytes of the heap. -ERR_NO_MEMORY. */
int cache_shard_init(struct cache_shard *shard, size_t memory);
void cache_shard_done(struct cache_shard *shard);

/* Gives back what was taken out. Without the lock. */
void cache_changes_end(struct cache_changes *changes);

/* All of these under the lock: */

/* The entry of a name, in use for the caller, or NULL. */
struct cache_entry *cache_shard_find(struct cache_shard *shard, const struct cache_name *name,
	uint64_t now_ns, struct cache_changes *changes);

/* Keeps an entry, in the place of another one of its name; the least used go when there is no room.
 * Not when it is larger than the whole, or something that concerns it was forgotten since `began`.
 */
void cache_shard_keep(struct cache_shard *shard, const struct cache_name *name,
	struct cache_entry *entry, uint64_t began, struct cache_changes *changes);

/* True when a load of this name that began then cannot have missed anything that was forgotten, not
 * even by a tag, which nobody knows before it ends. */
bool cache_shard_current(const struct cache_shard *shard, const struct cache_name *name,
	uint64_t owner, uint64_t began);

void cache_shard_forget(
	struct cache_shard *shard, const struct cache_name *name, struct cache_changes *changes);
void cache_shard_forget_tag(
	struct cache_shard *shard, uint64_t owner, uint64_t tag, struct cache_changes *changes);
void cache_shard_forget_all(struct cache_shard *shard, struct cache_changes *changes);

#endif
