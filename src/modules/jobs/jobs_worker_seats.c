/*
 * How many polls and sessions each tenant has at this instance. A table of few shards; a tenant
 * without any is in none.
 */
#include "modules/jobs/jobs_worker_internal.h"

#include "base/hash.h"
#include "base/mem.h"

#include <pthread.h>

enum { SHARDS = 64 };

static const struct {
	size_t most;
	const char *what;
} seats[WORKER_SEATS] = {
	[SEAT_POLL] = { WORKER_POLLS_MAX, "polls that wait for jobs" },
	[SEAT_SESSION] = { WORKER_SESSIONS_MAX, "sessions of workers" },
};

struct sitter {
	struct sitter *next;
	struct uuid tenant;
	size_t taken[WORKER_SEATS];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sitter *shards[SHARDS];

static struct sitter **find(const struct uuid *tenant)
{
	struct str key = str_of((const char *)tenant->bytes, sizeof(tenant->bytes));
	struct sitter **at = &shards[hash_str(key) % SHARDS];

	while (*at && uuid_cmp(&(*at)->tenant, tenant) != 0)
		at = &(*at)->next;
	return at;
}

static struct sitter *find_or_make(const struct uuid *tenant)
{
	struct sitter **at = find(tenant);

	if (!*at) {
		*at = mem_zalloc(sizeof(**at));
		if (*at)
			(*at)->tenant = *tenant;
	}
	return *at;
}

int seat_take(enum worker_seat kind, const struct uuid *tenant)
{
	struct sitter *sitter;
	bool full;

	(void)pthread_mutex_lock(&lock);
	sitter = find_or_make(tenant);
	full = sitter && sitter->taken[kind] >= seats[kind].most;
	if (sitter && !full)
		sitter->taken[kind]++;
	(void)pthread_mutex_unlock(&lock);
	if (!sitter)
		return -ERR_NO_MEMORY;
	return full ? fail(ERR_TOO_MANY, "there are %zu %s of this tenant already",
			      seats[kind].most, seats[kind].what)
		    : 0;
}

void seat_give(enum worker_seat kind, const struct uuid *tenant)
{
	struct sitter **at, *sitter;

	(void)pthread_mutex_lock(&lock);
	at = find(tenant);
	sitter = *at;
	CHECK(sitter && sitter->taken[kind] > 0);
	if (--sitter->taken[kind] == 0 && sitter->taken[SEAT_POLL] == sitter->taken[SEAT_SESSION]) {
		*at = sitter->next;
		mem_free(sitter, sizeof(*sitter));
	}
	(void)pthread_mutex_unlock(&lock);
}
