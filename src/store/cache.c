/*
 * Caches: which shard, who loads, who waits, and what is heard of changes.
 *
 * Whoever finds nothing and no load under way for the name makes a `struct flight`, on its own
 * stack, and loads. Others put a `struct waiter` of theirs into it and park. The flight ends under
 * the shard's lock: from then on nobody can join, and each waiter gets the same answer by a message
 * to its own worker. A waiter that is cancelled takes itself out, unless the flight has ended: then
 * the message is on its way and is waited for, since it is a part of the waiter.
 *
 * Something forgotten while a flight is under way makes it old: those who ask from then on do not
 * join it but start another one, and what it brings is not kept.
 */
#include "store/cache.h"

#include "base/mem.h"
#include "crypto/random.h"
#include "loop/worker.h"
#include "observe/clock.h"
#include "observe/metric.h"
#include "store/cache_shard.h"
#include "store/notice_internal.h"
#include "store/store_internal.h"

enum {
	SHARDS_MAX = 16, /* a power of two */
	SHARD_MEMORY_MIN = 4 * CACHE_VALUE_MAX,
	JITTER = 10, /* up to a tenth of its time */
	ASK_AGAIN = 1,
};

/* What a notice says in the first byte of its key. */
enum { SAYS_KEY = 'k', SAYS_TAG = 't' };

struct cache {
	struct notice_listener listener;
	struct store *store;
	char name[NOTICE_TOPIC_MAX + 1];
	uint64_t ttl_ns, absent_ns;
	const struct metric *hits, *misses, *loads, *evictions, *bytes;
	size_t shard_count; /* a power of two */
	struct cache_shard *shards;
};

/* A load under way. */
struct flight {
	struct link link; /* in shard->flights */
	const struct cache_name *name;
	const struct fiber *fiber; /* that loads */
	uint64_t began;            /* the shard's moment */
	struct link waiters;       /* struct waiter */
};

/* Somebody who waits for it, on his stack. */
struct waiter {
	struct link link;       /* in flight->waiters, under the shard's lock; in no list when the
				   flight has ended */
	struct waiter *next;    /* of those it has to tell */
	struct message message; /* from the loader, to ... */
	struct worker *home;
	struct wait wait;
	bool told;  /* the message has come; of the waiter's own thread, like `wait` */
	int result; /* 0: `entry` is the answer, in use for the waiter; ASK_AGAIN; an error */
	struct cache_entry *entry;
};

/* One call of cache_get_or_load. */
struct asking {
	struct cache *cache;
	struct cache_shard *shard;
	const struct db *db;
	int (*load)(const struct db *db, void *arg, struct cache_value *ret);
	void *arg;
	uint64_t now_ns;
	struct cache_name name;
};

/* --- changes ------------------------------------------------------------------------ */

static struct cache_shard *shard_of(const struct cache *cache, uint64_t hash)
{
	return &cache->shards[hash >> 48 & (cache->shard_count - 1)];
}

static void lock(struct cache_shard *shard)
{
	(void)pthread_mutex_lock(&shard->lock);
}

static void unlock(struct cache_shard *shard)
{
	(void)pthread_mutex_unlock(&shard->lock);
}

/* Frees and counts what has changed, after the lock. */
static void settle(const struct cache *cache, struct cache_changes *changes)
{
	cache_changes_end(changes);
	if (changes->bytes)
		metric_gauge_add(cache->bytes, changes->bytes);
	if (changes->evicted)
		metric_count(cache->evictions, changes->evicted);
}

static void forget_all(struct cache *cache)
{
	for (size_t i = 0; i < cache->shard_count; i++) {
		struct cache_changes changes = { 0 };

		lock(&cache->shards[i]);
		cache_shard_forget_all(&cache->shards[i], &changes);
		unlock(&cache->shards[i]);
		settle(cache, &changes);
	}
}

static void forget_tag(struct cache *cache, const struct uuid *tenant, struct str tag)
{
	uint64_t owner = cache_owner_hash(tenant), hash = cache_tag_hash(owner, tag);

	for (size_t i = 0; i < cache->shard_count; i++) {
		struct cache_changes changes = { 0 };

		lock(&cache->shards[i]);
		cache_shard_forget_tag(&cache->shards[i], owner, hash, &changes);
		unlock(&cache->shards[i]);
		settle(cache, &changes);
	}
}

static void forget_key(struct cache *cache, const struct uuid *tenant, struct str key)
{
	struct cache_changes changes = { 0 };
	struct cache_shard *shard;
	struct cache_name name;

	if (!cache_name_init(&name, tenant, key))
		return;
	shard = shard_of(cache, name.hash);
	lock(shard);
	cache_shard_forget(shard, &name, &changes);
	unlock(shard);
	settle(cache, &changes);
}

static void heard(struct notice_listener *listener, const struct uuid *tenant, struct str key)
{
	struct cache *cache = CONTAINER_OF(listener, struct cache, listener);

	if (key.len == 0)
		forget_all(cache);
	else if (key.at[0] == SAYS_KEY)
		forget_key(cache, tenant, str_from(key, 1));
	else if (key.at[0] == SAYS_TAG)
		forget_tag(cache, tenant, str_from(key, 1));
}

static int forget(struct tx *tx, struct cache *cache, char what, struct str text)
{
	char key[1 + CACHE_KEY_MAX];

	CHECK(tx->store == cache->store);
	if (text.len > CACHE_KEY_MAX)
		return tx_keep(tx, fail(ERR_TOO_LARGE, "a key of a cache has at most %d bytes",
					   CACHE_KEY_MAX));
	key[0] = what;
	if (text.len)
		memcpy(key + 1, text.at, text.len);
	return tx_notice(tx, str_from_c(cache->name), str_of(key, 1 + text.len));
}

int cache_forget(struct tx *tx, struct cache *cache, struct str key)
{
	return forget(tx, cache, SAYS_KEY, key);
}

int cache_forget_tag(struct tx *tx, struct cache *cache, struct str tag)
{
	return forget(tx, cache, SAYS_TAG, tag);
}

/* --- answers -------------------------------------------------------------------------- */

/* Gives what an entry says, and ends its use. */
static int give(struct cache_entry *entry, struct arena *arena, struct str *ret)
{
	struct str text;
	int r = entry->result;

	if (r < 0) {
		(void)fail((enum err_code) - r, "%.*s", STR_ARG(entry->value));
	} else {
		text = arena_str(arena, entry->value);
		if (text.at)
			*ret = text;
		else
			r = -(int)err_last()->code;
	}
	cache_entry_release(entry);
	return r;
}

/* A time up to a tenth shorter, so that what was loaded together is not loaded again together. */
static uint64_t jittered(uint64_t ttl_ns)
{
	return ttl_ns - random_u64() % (ttl_ns / JITTER + 1);
}

static uint64_t expiry(const struct asking *ask, int result, const struct cache_value *value)
{
	uint64_t ttl_ns = result < 0      ? ask->cache->absent_ns
			  : value->ttl_ns ? value->ttl_ns
					  : ask->cache->ttl_ns;

	return ask->now_ns + MIN(jittered(ttl_ns), UINT64_MAX - ask->now_ns);
}

/* What a load has brought, as an entry. NULL without memory. */
static struct cache_entry *make_entry(
	const struct asking *ask, int result, const struct cache_value *value)
{
	uint64_t owner = cache_owner_hash(&ask->db->tenant), tags[CACHE_TAGS_MAX];
	struct str text = result < 0 ? str_from_c(err_text()) : value->bytes;

	for (size_t i = 0; i < value->tag_count; i++)
		tags[i] = cache_tag_hash(owner, value->tags[i]);
	return cache_entry_make(
		&ask->name, result, text, tags, value->tag_count, expiry(ask, result, value));
}

/* --- loading --------------------------------------------------------------------------- */

static void be_told(struct message *message)
{
	struct waiter *waiter = CONTAINER_OF(message, struct waiter, message);

	waiter->told = true;
	(void)wake(&waiter->wait, 0);
}

/* Takes all waiters out of a flight, the first one first. Under the lock. */
static struct waiter *take_waiters(struct flight *flight)
{
	struct waiter *first = NULL, **last = &first;
	struct link *link;

	while ((link = list_pop(&flight->waiters))) {
		*last = CONTAINER_OF(link, struct waiter, link);
		last = &(*last)->next;
	}
	*last = NULL;
	return first;
}

/* Tells the waiters of a flight that has ended. They may be gone when their message is sent. */
static void tell(struct waiter *waiter, int result, struct cache_entry *entry)
{
	while (waiter) {
		struct waiter *next = waiter->next;

		waiter->result = result;
		waiter->entry = entry ? cache_entry_use(entry) : NULL;
		worker_send(waiter->home, &waiter->message);
		waiter = next;
	}
}

/* Ends a flight: keeps what came when it is good for others, and gives it to those who wait. */
static void land(const struct asking *ask, struct flight *flight, int result,
	const struct cache_value *value, struct cache_entry *entry)
{
	bool keep = entry && notices_fresh_at(ask->cache->store->notices, clock_now_ns()) &&
		    (result == 0 ? value->bytes.len <= CACHE_VALUE_MAX
				 : result == -ERR_NOT_FOUND && ask->cache->absent_ns > 0);
	struct cache_changes changes = { 0 };
	struct waiter *waiters;

	lock(ask->shard);
	link_remove(&flight->link);
	waiters = take_waiters(flight);
	if (keep)
		cache_shard_keep(ask->shard, &ask->name, entry, flight->began, &changes);
	unlock(ask->shard);

	settle(ask->cache, &changes);
	tell(waiters, result == ASK_AGAIN ? ASK_AGAIN : entry ? 0 : -ERR_NO_MEMORY, entry);
}

/* Loads and answers; the flight is in the shard's list. */
static int fly(const struct asking *ask, struct flight *flight, struct str *ret)
{
	struct cache_value value = { 0 };
	struct cache_entry *entry = NULL;
	int r = ask->load(ask->db, ask->arg, &value);

	CHECK(r <= 0 && value.tag_count <= CACHE_TAGS_MAX);
	metric_count(ask->cache->loads, 1);
	if (r < 0 && scope_over(fiber_current()->scope)) {
		land(ask, flight, ASK_AGAIN, &value, NULL); /* it was the caller, not the load */
		return r;
	}

	entry = make_entry(ask, r, &value);
	land(ask, flight, r, &value, entry);
	if (r < 0 && !entry)
		r = fail((enum err_code) - r, "%s", err_info(r)->text.at);
	cache_entry_release(entry);
	if (r == 0)
		*ret = value.bytes;
	return r;
}

/* --- waiting ----------------------------------------------------------------------------- */

/* Takes a waiter that was cancelled out of its flight. When that has ended, its message is on the
 * way, and what it brings is not wanted any more. */
static void leave(struct cache_shard *shard, struct waiter *waiter)
{
	bool waits;

	lock(shard);
	waits = !list_empty(&waiter->link);
	link_remove(&waiter->link);
	unlock(shard);
	if (waits)
		return;

	if (!waiter->told) {
		uint64_t former = shield_begin(TIME_NEVER);

		wait_init(&waiter->wait);
		(void)park(&waiter->wait, TIME_NEVER);
		shield_end(former);
	}
	cache_entry_release(waiter->entry);
}

/* Waits for a flight that the waiter is in already. ASK_AGAIN when it came to nothing. */
static int await(const struct asking *ask, struct waiter *waiter, struct str *ret)
{
	int r = park(&waiter->wait, TIME_NEVER);

	if (r < 0) {
		struct err err = *err_last();

		leave(ask->shard, waiter);
		return err_restore(&err);
	}
	if (waiter->result < 0)
		return fail(ERR_NO_MEMORY, "no memory for what was loaded");
	return waiter->result == ASK_AGAIN ? ASK_AGAIN : give(waiter->entry, ask->db->arena, ret);
}

/* --- asking -------------------------------------------------------------------------------- */

static struct link *flights_of(const struct asking *ask)
{
	return &ask->shard->flights[ask->name.hash >> 32 & (CACHE_FLIGHT_LISTS - 1)];
}

/* A flight whose answer is as good as if it began now, or NULL. Under the lock. */
static struct flight *flight_to_join(const struct asking *ask)
{
	struct flight *flight;

	LIST_EACH (flight, flights_of(ask), struct flight, link)
		if (flight->name->hash == ask->name.hash && flight->name->len == ask->name.len &&
			memcmp(flight->name->bytes, ask->name.bytes, ask->name.len) == 0 &&
			cache_shard_current(ask->shard, &ask->name,
				cache_owner_hash(&ask->db->tenant), flight->began))
			return flight;
	return NULL;
}

static void join(struct flight *flight, struct waiter *waiter)
{
	CHECK(flight->fiber != fiber_current()); /* it would wait for itself */
	waiter->message.deliver = be_told;
	waiter->home = worker_here();
	waiter->told = false;
	wait_init(&waiter->wait);
	list_push(&flight->waiters, &waiter->link);
}

static void begin(const struct asking *ask, struct flight *flight)
{
	flight->name = &ask->name;
	flight->fiber = fiber_current();
	flight->began = ask->shard->moment;
	link_init(&flight->waiters);
	list_push(flights_of(ask), &flight->link);
}

/* Finds, waits, or loads. */
static int ask_once(const struct asking *ask, struct str *ret)
{
	bool fresh = notices_fresh_at(ask->cache->store->notices, ask->now_ns);
	struct cache_changes changes = { 0 };
	struct cache_entry *entry = NULL;
	struct flight own, *flight = NULL;
	struct waiter waiter;

	lock(ask->shard);
	if (fresh)
		entry = cache_shard_find(ask->shard, &ask->name, ask->now_ns, &changes);
	if (!entry)
		flight = flight_to_join(ask);
	if (flight)
		join(flight, &waiter);
	else if (!entry)
		begin(ask, &own);
	unlock(ask->shard);

	settle(ask->cache, &changes);
	metric_count(entry ? ask->cache->hits : ask->cache->misses, 1);
	if (entry)
		return give(entry, ask->db->arena, ret);
	return flight ? await(ask, &waiter, ret) : fly(ask, &own, ret);
}

int cache_get_or_load(struct cache *cache, const struct db *db, struct str key,
	int (*load)(const struct db *db, void *arg, struct cache_value *ret), void *arg,
	struct str *ret)
{
	struct asking ask; /* not zeroed: the name is large */
	int r;

	CHECK(db->store == cache->store);
	if (!cache_name_init(&ask.name, &db->tenant, key))
		return fail(ERR_TOO_LARGE, "a key of a cache has at most %d bytes", CACHE_KEY_MAX);
	ask.cache = cache;
	ask.shard = shard_of(cache, ask.name.hash);
	ask.db = db;
	ask.load = load;
	ask.arg = arg;
	do {
		ask.now_ns = clock_now_ns();
		r = ask_once(&ask, ret);
	} while (r == ASK_AGAIN);
	return r;
}

/* --- open and close -------------------------------------------------------------------------- */

static int register_one(const struct metric_def *def, struct str name, const struct metric **ret)
{
	struct metric_family *family = metric_register(def);

	if (!family)
		return -(int)err_last()->code;
	*ret = metric_series(family, &name);
	return 0;
}

static int register_metrics(struct cache *cache)
{
	static const struct metric_def hits = { "cache_hits_total", "What was asked for and there.",
		METRIC_COUNTER, { "cache" } };
	static const struct metric_def misses = { "cache_misses_total",
		"What was asked for and not there.", METRIC_COUNTER, { "cache" } };
	static const struct metric_def loads = { "cache_loads_total",
		"Loads; fewer than misses when several wait for the same.", METRIC_COUNTER,
		{ "cache" } };
	static const struct metric_def evictions = { "cache_evictions_total",
		"Entries that gave way to others before their time.", METRIC_COUNTER, { "cache" } };
	static const struct metric_def bytes = { "cache_bytes",
		"Memory of entries with their keys and tags.", METRIC_GAUGE, { "cache" } };
	struct str name = str_from_c(cache->name);
	int r = register_one(&hits, name, &cache->hits);

	if (r == 0)
		r = register_one(&misses, name, &cache->misses);
	if (r == 0)
		r = register_one(&loads, name, &cache->loads);
	if (r == 0)
		r = register_one(&evictions, name, &cache->evictions);
	if (r == 0)
		r = register_one(&bytes, name, &cache->bytes);
	return r;
}

static int open_shards(struct cache *cache, size_t memory)
{
	size_t count = 1, made, each;
	int r = 0;

	while (count < SHARDS_MAX && memory / (2 * count) >= SHARD_MEMORY_MIN)
		count *= 2;
	each = (memory - sizeof(*cache)) / count - sizeof(*cache->shards);
	cache->shards = mem_zalloc(count * sizeof(*cache->shards));
	if (!cache->shards)
		return -ERR_NO_MEMORY;
	for (made = 0; made < count && r == 0; made += r == 0)
		r = cache_shard_init(&cache->shards[made], each);
	if (r < 0) {
		while (made > 0)
			cache_shard_done(&cache->shards[--made]);
		mem_free(TAKE(cache->shards), count * sizeof(*cache->shards));
		return r;
	}
	cache->shard_count = count;
	return 0;
}

static bool name_is_taken(struct notices *notices, struct str name)
{
	const struct notice_listener *listener;

	(void)pthread_rwlock_rdlock(&notices->lock);
	for (listener = notices->listeners; listener; listener = listener->next)
		if (listener->heard == heard && str_eq(str_from_c(listener->topic), name))
			break;
	(void)pthread_rwlock_unlock(&notices->lock);
	return listener;
}

int cache_open(struct store *store, const struct cache_options *options, struct cache **ret)
{
	struct str name = str_from_c(options->name);
	struct cache *cache;
	int r;

	CHECK(name.len > 0 && name.len <= NOTICE_TOPIC_MAX && options->ttl_ns > 0);
	CHECK(options->memory >= CACHE_MEMORY_MIN);
	if (name_is_taken(store->notices, name))
		return fail(ERR_CONFLICT, "there is a cache called \"%s\" already", options->name);
	cache = mem_zalloc(sizeof(*cache));
	if (!cache)
		return -ERR_NO_MEMORY;

	cache->store = store;
	cache->ttl_ns = options->ttl_ns;
	cache->absent_ns = options->absent_ns;
	memcpy(cache->name, name.at, name.len);
	cache->listener = (struct notice_listener){ .topic = cache->name, .heard = heard };
	r = register_metrics(cache);
	if (r == 0)
		r = open_shards(cache, options->memory);
	if (r == 0)
		r = notice_listen(store, &cache->listener);
	if (r < 0) {
		cache_close(cache);
		return r;
	}
	*ret = cache;
	return 0;
}

void cache_close(struct cache *cache)
{
	if (!cache)
		return;
	notice_unlisten(cache->store, &cache->listener);
	if (cache->shard_count)
		forget_all(cache);
	for (size_t i = 0; i < cache->shard_count; i++)
		cache_shard_done(&cache->shards[i]);
	mem_free(cache->shards, cache->shard_count * sizeof(*cache->shards));
	mem_free(cache, sizeof(*cache));
}
