/*
 * When keys were used, and from where: remembered in a table of fixed size, written by a chore, so
 * that no request waits for it and a key costs at most a row a minute however busy it is. What
 * finds no room in its set is forgotten until the next round; what was remembered last is lost when
 * the process ends. last_used_at is for people who tidy up, not for the audit log.
 */
#include "modules/api_keys/api_keys_internal.h"

#include "base/hash.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>

enum {
	SETS = 512,  /* a power of two, each under its own lock */
	WAYS = 16,   /* keys of a set */
	BATCH = 100, /* rows of one transaction */
};

struct use {
	struct uuid tenant, id;
	int64_t at_us; /* 0: free */
	struct address address;
};

struct use_set {
	_Alignas(64) pthread_mutex_t lock;
	struct use uses[WAYS];
};

static struct use_set *sets;

int uses_open(void)
{
	sets = mem_zalloc(SETS * sizeof(*sets));
	if (!sets)
		return -ERR_NO_MEMORY;
	for (size_t i = 0; i < SETS; i++)
		CHECK(pthread_mutex_init(&sets[i].lock, NULL) == 0);
	return 0;
}

void uses_close(void)
{
	for (size_t i = 0; sets && i < SETS; i++)
		(void)pthread_mutex_destroy(&sets[i].lock);
	mem_free(sets, sets ? SETS * sizeof(*sets) : 0);
	sets = NULL;
}

/* --- remembering ---------------------------------------------------------------------------- */

static struct use *place_of(struct use_set *set, const struct uuid *tenant, const struct uuid *id)
{
	struct use *free_one = NULL;

	for (size_t i = 0; i < WAYS; i++) {
		struct use *use = &set->uses[i];

		if (use->at_us == 0)
			free_one = use;
		else if (uuid_cmp(&use->id, id) == 0 && uuid_cmp(&use->tenant, tenant) == 0)
			return use;
	}
	return free_one;
}

void use_note(const struct uuid *tenant, const struct uuid *id, int64_t now_us,
	const struct address *address)
{
	uint64_t hash = hash_str(str_of((const char *)id->bytes, sizeof(id->bytes)));
	struct use_set *set = &sets[hash & (SETS - 1)];
	struct use *use;

	(void)pthread_mutex_lock(&set->lock);
	use = place_of(set, tenant, id);
	if (use)
		*use = (struct use){ *tenant, *id, now_us, *address };
	(void)pthread_mutex_unlock(&set->lock);
}

/* --- writing -------------------------------------------------------------- */

struct batch {
	struct use uses[BATCH];
	size_t count;
};

/* Takes a set's uses out, as many as there is room for. */
static void take(struct use_set *set, struct batch *batch)
{
	(void)pthread_mutex_lock(&set->lock);
	for (size_t i = 0; i < WAYS && batch->count < BATCH; i++)
		if (set->uses[i].at_us) {
			batch->uses[batch->count++] = set->uses[i];
			set->uses[i].at_us = 0;
		}
	(void)pthread_mutex_unlock(&set->lock);
}

/* One order for all instances, so that none waits for another in a circle. */
static int compare(const void *left, const void *right)
{
	const struct use *a = left, *b = right;
	int order = uuid_cmp(&a->tenant, &b->tenant);

	return order ? order : uuid_cmp(&a->id, &b->id);
}

static int write_one(struct tx *tx, const struct use *use)
{
	char *text = arena_alloc(tx_arena(tx), UUID_TEXT_LEN + ADDRESS_TEXT_MAX);
	struct key_use row;
	int r;

	if (!text)
		return -(int)err_last()->code;
	uuid_write(text, &use->id);
	row = (struct key_use){ .id = str_of(text, UUID_TEXT_LEN), .last_used_at = use->at_us };
	row.last_used_address = str_of(
		text + UUID_TEXT_LEN, address_write_host(&use->address, text + UUID_TEXT_LEN));

	r = tx_enter(tx, &use->tenant);
	if (r == 0)
		r = tx_exec(tx, &key_use_set, &row);
	return r < 0 ? r : tx_leave(tx);
}

static int write_in_tx(struct tx *tx, void *arg)
{
	const struct batch *batch = arg;
	int r = 0;

	for (size_t i = 0; i < batch->count && r == 0; i++)
		r = write_one(tx, &batch->uses[i]);
	return r;
}

static int write_batch(const struct db *db, struct batch *batch)
{
	static const struct tx_options options = { "api_key_use", .durability = TX_SOFT };
	struct arena_mark mark = arena_mark(db->arena);
	int r;

	qsort(batch->uses, batch->count, sizeof(batch->uses[0]), compare);
	r = db_write_with(db, &options, write_in_tx, batch);
	arena_back(db->arena, mark);
	batch->count = 0;
	return r;
}

static int write_all(const struct db *db, struct batch *batch)
{
	int r = 0;

	for (size_t i = 0; i < SETS && r == 0; i++) {
		if (batch->count + WAYS > BATCH)
			r = write_batch(db, batch);
		if (r == 0)
			take(&sets[i], batch);
	}
	return r == 0 && batch->count ? write_batch(db, batch) : r;
}

int uses_write(struct store *store)
{
	struct batch *batch;
	struct arena arena;
	struct db db;
	int r;

	arena_init(&arena, 64 * KILOBYTE, MEGABYTE);
	db = db_of_system(store, &arena);
	batch = arena_new(&arena, struct batch);
	r = batch ? write_all(&db, batch) : -(int)err_last()->code;
	arena_done(&arena);
	return r;
}
