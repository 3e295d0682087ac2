/* How many connections each address holds. Shared by all workers: touched when a connection comes
 * or goes. */
#ifndef HTTP_PEERS_H
#define HTTP_PEERS_H

#include "net/address.h"

#include <pthread.h>

enum { PEERS_SHARDS = 64 };

struct peer;

struct peers_shard {
	pthread_mutex_t lock;
	struct peer **buckets; /* chains; their number is a power of two */
	size_t bucket_count, peer_count;
};

struct peers {
	struct peers_shard shards[PEERS_SHARDS];
};

void peers_init(struct peers *peers);
void peers_done(struct peers *peers);

/* Counts one more connection of the address, unless it has `limit` already: -ERR_TOO_MANY;
 * -ERR_NO_MEMORY. The table is as large as the number of connections. */
int peers_enter(struct peers *peers, const struct address *address, size_t limit);

/* One less. */
void peers_leave(struct peers *peers, const struct address *address);

#endif
