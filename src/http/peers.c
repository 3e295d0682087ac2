/* A sharded table of counters, keyed by address with a secret hash, so that no client can choose
 * its chain. */
#include "http/peers.h"

#include "base/check.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"

enum { KEY_LEN = 16, FIRST_BUCKETS = 16 };

struct peer {
	struct peer *next;
	unsigned char key[KEY_LEN];
	uint64_t hash;
	size_t connections;
};

void peers_init(struct peers *peers)
{
	for (size_t i = 0; i < PEERS_SHARDS; i++) {
		peers->shards[i] = (struct peers_shard){ 0 };
		(void)pthread_mutex_init(&peers->shards[i].lock, NULL);
	}
}

void peers_done(struct peers *peers)
{
	for (size_t i = 0; i < PEERS_SHARDS; i++) {
		struct peers_shard *shard = &peers->shards[i];

		CHECK(shard->peer_count == 0);
		mem_free(shard->buckets, shard->bucket_count * sizeof(struct peer *));
		(void)pthread_mutex_destroy(&shard->lock);
	}
}

static struct peers_shard *shard_of(
	struct peers *peers, const struct address *address, unsigned char *key, uint64_t *ret_hash)
{
	address_key(address, key);
	*ret_hash = hash_str(str_of((char *)key, KEY_LEN));
	return &peers->shards[*ret_hash % PEERS_SHARDS];
}

/* Where the pointer to the peer is, or where it would be appended. */
static struct peer **find(struct peers_shard *shard, const unsigned char *key, uint64_t hash)
{
	struct peer **place = &shard->buckets[hash / PEERS_SHARDS & (shard->bucket_count - 1)];

	while (*place && ((*place)->hash != hash || memcmp((*place)->key, key, KEY_LEN) != 0))
		place = &(*place)->next;
	return place;
}

static int grow(struct peers_shard *shard)
{
	size_t count = shard->bucket_count ? shard->bucket_count * 2 : FIRST_BUCKETS;
	struct peer **buckets = mem_zalloc(count * sizeof(struct peer *));

	if (!buckets)
		return -ERR_NO_MEMORY;

	for (size_t i = 0; i < shard->bucket_count; i++)
		while (shard->buckets[i]) {
			struct peer *peer = shard->buckets[i];
			struct peer **place = &buckets[peer->hash / PEERS_SHARDS & (count - 1)];

			shard->buckets[i] = peer->next;
			peer->next = *place;
			*place = peer;
		}
	mem_free(shard->buckets, shard->bucket_count * sizeof(struct peer *));
	shard->buckets = buckets;
	shard->bucket_count = count;
	return 0;
}

/* With the shard's lock held. */
static int enter(struct peers_shard *shard, const unsigned char *key, uint64_t hash, size_t limit)
{
	struct peer **place;

	if (shard->peer_count == shard->bucket_count && grow(shard) < 0)
		return -ERR_NO_MEMORY;

	place = find(shard, key, hash);
	if (!*place) {
		*place = mem_zalloc(sizeof(**place));
		if (!*place)
			return -ERR_NO_MEMORY;
		(*place)->hash = hash;
		memcpy((*place)->key, key, KEY_LEN);
		shard->peer_count++;
	}
	if ((*place)->connections >= limit)
		return fail(ERR_TOO_MANY, "%zu connections from one address", limit);
	(*place)->connections++;
	return 0;
}

int peers_enter(struct peers *peers, const struct address *address, size_t limit)
{
	unsigned char key[KEY_LEN];
	uint64_t hash;
	struct peers_shard *shard = shard_of(peers, address, key, &hash);
	int r;

	CHECK(limit > 0);
	(void)pthread_mutex_lock(&shard->lock);
	r = enter(shard, key, hash, limit);
	(void)pthread_mutex_unlock(&shard->lock);
	return r;
}

void peers_leave(struct peers *peers, const struct address *address)
{
	unsigned char key[KEY_LEN];
	uint64_t hash;
	struct peers_shard *shard = shard_of(peers, address, key, &hash);
	struct peer **place, *peer;

	(void)pthread_mutex_lock(&shard->lock);
	place = find(shard, key, hash);
	peer = *place;
	CHECK(peer && peer->connections > 0);
	if (--peer->connections == 0) {
		*place = peer->next;
		mem_free(peer, sizeof(*peer));
		shard->peer_count--;
	}
	(void)pthread_mutex_unlock(&shard->lock);
}
