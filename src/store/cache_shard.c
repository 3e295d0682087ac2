/*
 * Entries in chains of a table that never grows: it is sized by the memory at the start, one bucket
 * for each kilobyte, so a chain is about as long as a kilobyte has entries. Blocks are freed by
 * whoever used them last, after the lock.
 */
#include "store/cache_shard.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"

enum { BYTES_PER_BUCKET = 1024, BUCKETS_MIN = 8 };

/* --- names ----------------------------------------------------------------------- */

bool cache_name_init(struct cache_name *name, const struct uuid *tenant, struct str key)
{
	if (key.len > CACHE_KEY_MAX)
		return false;
	memcpy(name->bytes, tenant->bytes, sizeof(*tenant));
	if (key.len)
		memcpy(name->bytes + sizeof(*tenant), key.at, key.len);
	name->len = sizeof(*tenant) + key.len;
	name->hash = hash_str(str_of(name->bytes, name->len));
	return true;
}

uint64_t cache_owner_hash(const struct uuid *tenant)
{
	return hash_str(str_of((const char *)tenant->bytes, sizeof(tenant->bytes)));
}

uint64_t cache_tag_hash(uint64_t owner, struct str tag)
{
	return hash_keyed((struct hash_key){ owner, ~owner }, tag);
}

/* --- entries ---------------------------------------------------------------------- */

struct cache_entry *cache_entry_make(const struct cache_name *name, int result, struct str value,
	const uint64_t *tags, size_t tag_count, uint64_t expires_ns)
{
	size_t labels = tag_count * sizeof(struct cache_label);
	size_t size = sizeof(struct cache_entry) + labels + name->len + value.len;
	struct cache_entry *entry = mem_alloc(size);
	char *bytes;

	if (!entry)
		return NULL;
	*entry = (struct cache_entry){
		.hash = name->hash,
		.expires_ns = expires_ns,
		.uses = 1,
		.result = result,
		.size = size,
		.name_len = (uint16_t)name->len,
		.label_count = (uint16_t)tag_count,
	};
	link_init(&entry->order);
	for (size_t i = 0; i < tag_count; i++) {
		entry->labels[i] = (struct cache_label){ .hash = tags[i], .entry = entry };
		link_init(&entry->labels[i].link);
	}

	bytes = (char *)entry->labels + labels;
	memcpy(bytes, name->bytes, name->len);
	entry->value = str_of(bytes + name->len, value.len);
	if (value.len)
		memcpy(bytes + name->len, value.at, value.len);
	return entry;
}

void cache_entry_release(struct cache_entry *entry)
{
	if (entry && atomic_fetch_sub_explicit(&entry->uses, 1, memory_order_acq_rel) == 1)
		mem_free(entry, entry->size);
}

static size_t cost(const struct cache_entry *entry)
{
	return entry->size + CACHE_BLOCK_COST;
}

static bool is_named(const struct cache_entry *entry, const struct cache_name *name)
{
	return entry->hash == name->hash && entry->name_len == name->len &&
	       memcmp(entry->labels + entry->label_count, name->bytes, name->len) == 0;
}

/* --- shards ------------------------------------------------------------------------ */

int cache_shard_init(struct cache_shard *shard, size_t memory)
{
	size_t buckets = BUCKETS_MIN, tables;

	while (buckets * 2 <= memory / BYTES_PER_BUCKET)
		buckets *= 2;
	tables = buckets * (sizeof(*shard->names) + sizeof(*shard->tags)) + 2 * CACHE_BLOCK_COST;
	CHECK(tables < memory);

	*shard = (struct cache_shard){ .mask = buckets - 1, .limit = memory - tables };
	shard->names = mem_zalloc(buckets * sizeof(*shard->names));
	if (!shard->names)
		return -ERR_NO_MEMORY;
	shard->tags = mem_alloc(buckets * sizeof(*shard->tags));
	if (!shard->tags) {
		mem_free(shard->names, buckets * sizeof(*shard->names));
		return -ERR_NO_MEMORY;
	}
	for (size_t i = 0; i < buckets; i++)
		link_init(&shard->tags[i]);
	for (size_t i = 0; i < CACHE_FLIGHT_LISTS; i++)
		link_init(&shard->flights[i]);
	link_init(&shard->order);
	(void)pthread_mutex_init(&shard->lock, NULL);
	return 0;
}

void cache_shard_done(struct cache_shard *shard)
{
	struct cache_changes changes = { 0 };

	cache_shard_forget_all(shard, &changes);
	cache_changes_end(&changes);
	mem_free(shard->names, (shard->mask + 1) * sizeof(*shard->names));
	mem_free(shard->tags, (shard->mask + 1) * sizeof(*shard->tags));
	(void)pthread_mutex_destroy(&shard->lock);
}

void cache_changes_end(struct cache_changes *changes)
{
	while (changes->removed) {
		struct cache_entry *entry = changes->removed;

		changes->removed = entry->next;
		cache_entry_release(entry);
	}
}

static struct cache_entry **place_of(struct cache_shard *shard, uint64_t hash)
{
	return &shard->names[hash & shard->mask];
}

static void take_out(
	struct cache_shard *shard, struct cache_entry *entry, struct cache_changes *changes)
{
	struct cache_entry **at = place_of(shard, entry->hash);

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	link_remove(&entry->order);
	for (size_t i = 0; i < entry->label_count; i++)
		link_remove(&entry->labels[i].link);
	shard->bytes -= cost(entry);
	changes->bytes -= (int64_t)cost(entry);
	entry->next = changes->removed;
	changes->removed = entry;
}

static struct cache_entry *find(struct cache_shard *shard, const struct cache_name *name)
{
	struct cache_entry *entry = *place_of(shard, name->hash);

	while (entry && !is_named(entry, name))
		entry = entry->next;
	return entry;
}

struct cache_entry *cache_shard_find(struct cache_shard *shard, const struct cache_name *name,
	uint64_t now_ns, struct cache_changes *changes)
{
	struct cache_entry *entry = find(shard, name);

	if (!entry)
		return NULL;
	if (now_ns >= entry->expires_ns) {
		take_out(shard, entry, changes);
		return NULL;
	}
	link_remove(&entry->order);
	list_push_first(&shard->order, &entry->order);
	return cache_entry_use(entry);
}

static size_t moment_of(uint64_t hash)
{
	return hash >> 32 & (CACHE_MOMENTS - 1);
}

static bool may_keep(
	const struct cache_shard *shard, const struct cache_entry *entry, uint64_t began)
{
	if (cost(entry) > shard->limit || began < shard->all ||
		began < shard->keys[moment_of(entry->hash)])
		return false;
	for (size_t i = 0; i < entry->label_count; i++)
		if (began < shard->labels[moment_of(entry->labels[i].hash)])
			return false;
	return true;
}

void cache_shard_keep(struct cache_shard *shard, const struct cache_name *name,
	struct cache_entry *entry, uint64_t began, struct cache_changes *changes)
{
	struct cache_entry *former = find(shard, name), **bucket = place_of(shard, entry->hash);

	if (!may_keep(shard, entry, began))
		return;
	if (former)
		take_out(shard, former, changes);
	while (shard->bytes + cost(entry) > shard->limit) {
		take_out(
			shard, CONTAINER_OF(shard->order.prev, struct cache_entry, order), changes);
		changes->evicted++;
	}

	entry->next = *bucket;
	*bucket = cache_entry_use(entry);
	list_push_first(&shard->order, &entry->order);
	for (size_t i = 0; i < entry->label_count; i++)
		list_push(
			&shard->tags[entry->labels[i].hash & shard->mask], &entry->labels[i].link);
	shard->bytes += cost(entry);
	changes->bytes += (int64_t)cost(entry);
}

bool cache_shard_current(const struct cache_shard *shard, const struct cache_name *name,
	uint64_t owner, uint64_t began)
{
	return began >= shard->all && began >= shard->keys[moment_of(name->hash)] &&
	       began >= shard->owners[moment_of(owner)];
}

void cache_shard_forget(
	struct cache_shard *shard, const struct cache_name *name, struct cache_changes *changes)
{
	struct cache_entry *entry = find(shard, name);

	shard->keys[moment_of(name->hash)] = ++shard->moment;
	if (entry)
		take_out(shard, entry, changes);
}

void cache_shard_forget_tag(
	struct cache_shard *shard, uint64_t owner, uint64_t tag, struct cache_changes *changes)
{
	struct link *list = &shard->tags[tag & shard->mask], *at = list->next;

	shard->moment++;
	shard->labels[moment_of(tag)] = shard->owners[moment_of(owner)] = shard->moment;
	while (at != list) {
		struct cache_label *label = CONTAINER_OF(at, struct cache_label, link);

		at = at->next;
		if (label->hash != tag)
			continue;
		/* Labels of an entry stand together in a list, and go together. */
		while (at != list &&
			CONTAINER_OF(at, struct cache_label, link)->entry == label->entry)
			at = at->next;
		take_out(shard, label->entry, changes);
	}
}

void cache_shard_forget_all(struct cache_shard *shard, struct cache_changes *changes)
{
	shard->all = ++shard->moment;
	while (!list_empty(&shard->order))
		take_out(
			shard, CONTAINER_OF(shard->order.next, struct cache_entry, order), changes);
}
