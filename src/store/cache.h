/*
 * What was loaded and may be asked for again: bytes by key, in bounded memory, each for a time.
 * However many ask at once for what is not there, one loads it and the others wait for the same
 * answer. That something does not exist can be kept as well. Shared by all workers.
 *
 * A key belongs to the tenant of the handle, so that tenants cannot meet. Entries are forgotten by
 * key or by tag on all instances with cache_forget inside of the transaction that changes what they
 * were made from. When db_write returns, nobody on this instance gets what was loaded before; other
 * instances follow within half a second, and one that cannot hear of changes (notices_fresh) reads
 * through.
 */
#ifndef STORE_CACHE_H
#define STORE_CACHE_H

#include "store/db.h"

#pragma GCC visibility push(default)

enum {
	CACHE_KEY_MAX = 200, /* bytes, also of a tag; text, so that it fits into a notice */
	CACHE_VALUE_MAX = 1024 * 1024, /* bytes; larger values are not kept */
	CACHE_TAGS_MAX = 8,            /* of one entry */
	CACHE_MEMORY_MIN = 16 * 1024,  /* bytes */
};

struct cache;

struct cache_options {
	const char *name;   /* for metrics, and the topic of its notices: "tenant" */
	size_t memory;      /* bytes of entries with their keys, tags and all that is needed to find
			       them; at least CACHE_MEMORY_MIN */
	uint64_t ttl_ns;    /* how long a value is good; up to a tenth shorter, by chance */
	uint64_t absent_ns; /* how long "there is none" is good; 0: not kept */
};

/* Makes a cache. -ERR_NO_MEMORY, -ERR_CONFLICT (the name is taken), -ERR_FULL. Before store_start.
 */
int cache_open(struct store *store, const struct cache_options *options, struct cache **ret);

/* Frees it, before store_close. Nobody may be asking. NULL is allowed. */
void cache_close(struct cache *cache);

/* What a loader has found. */
struct cache_value {
	struct str bytes; /* in the arena of the caller */
	const struct str
		*tags; /* at most CACHE_TAGS_MAX; may be NULL; also of what does not exist */
	size_t tag_count;
	uint64_t ttl_ns; /* 0: the cache's */
};

/*
 * The value under a key of the handle's tenant, in its arena; from `load` when it is not there.
 * load(db, arg, ret) runs on the caller's fiber, may wait, and returns 0, -ERR_NOT_FOUND (kept for
 * absent_ns) or another error (not kept, and given to all who wait). It must not ask the same
 * cache. What changed while it was loaded is not kept. Who waits for a load whose caller is
 * cancelled or out of time loads in its place.
 *
 * Errors: those of load, -ERR_CANCELLED and -ERR_TIMEOUT of a caller that waits, -ERR_TOO_LARGE (a
 * key beyond CACHE_KEY_MAX, the arena), -ERR_NO_MEMORY.
 */
int cache_get_or_load(struct cache *cache, const struct db *db, struct str key,
	int (*load)(const struct db *db, void *arg, struct cache_value *ret), void *arg,
	struct str *ret);

/* Forgets a key, or all entries with a tag, of the transaction's tenant, on all instances, once it
 * is committed. Errors are those of tx_notice, and -ERR_TOO_LARGE. */
int cache_forget(struct tx *tx, struct cache *cache, struct str key);
int cache_forget_tag(struct tx *tx, struct cache *cache, struct str tag);

#pragma GCC visibility pop

#endif
