/*
 * A set-associative table, as caches in hardware are: the hash of a key names a set of 16 slots,
 * and the key is in one of them or nowhere. There are no chains and no lists, so the longest a lock
 * can be held is one look at 16 slots, whatever an attacker sends, and nothing is allocated after
 * the start. A lock covers every 64th set.
 *
 * Times are compared by their difference, so they may pass 2^64.
 */
#include "http/limiter.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"

enum { FRACTION_BITS = 32 };

typedef unsigned __int128 fixed; /* nanoseconds and 32 bits of fraction */

/* What a key has used. 32 bytes, since a set of them is looked through when a key must go. */
struct tally {
	uint64_t expires_ns;       /* from then on it is like a key never seen */
	uint64_t blocked_until_ns; /* if `blocked` */
	union {
		uint64_t full_ns; /* of a bucket: when it will be full, and ... */
		uint64_t used;    /* of a window: units in all cells */
	};
	uint32_t full_part; /* ... the fraction of that */
	bool blocked;
	uint8_t first, count; /* of a window: cells in use */
};

_Static_assert(sizeof(struct tally) == 32, "two in a cache line");

/* Takes that lie close together: a window is a ring of them, in the order of time. */
struct cell {
	uint64_t began_ns; /* the first of them */
	uint32_t units;
};

/* --- times -------------------------------------------------------------- */

/* From `from` to `to`; 0 when that is in the past. */
static uint64_t span(uint64_t from, uint64_t to)
{
	int64_t ns = (int64_t)(to - from);

	return ns > 0 ? (uint64_t)ns : 0;
}

static uint64_t round_up(fixed time)
{
	return (uint64_t)((time + ((fixed)1 << FRACTION_BITS) - 1) >> FRACTION_BITS);
}

/* --- limits ------------------------------------------------------------- */

int limit_prepare(struct limit *limit)
{
	uint64_t burst = limit->burst ? limit->burst : limit->quota;

	if (limit->quota == 0 || limit->quota > LIMIT_QUOTA_MAX || burst > LIMIT_QUOTA_MAX)
		return fail(ERR_INVALID, "a quota and a burst are 1 to %llu units",
			(unsigned long long)LIMIT_QUOTA_MAX);
	if (limit->window_ns < LIMIT_WINDOW_MIN || limit->window_ns > LIMIT_SPAN_MAX)
		return fail(ERR_INVALID, "a limit's window is 1 ms to 366 days");
	if (limit->block_ns > LIMIT_SPAN_MAX)
		return fail(ERR_INVALID, "a limit's block is at most 366 days");

	limit->interval = ((fixed)limit->window_ns << FRACTION_BITS) / limit->quota;
	limit->capacity = burst * limit->interval;
	if (limit->capacity >> FRACTION_BITS > LIMIT_SPAN_MAX)
		return fail(ERR_INVALID, "a burst takes at most 366 days to come back");

	limit->burst = burst;
	limit->grain_ns = limit->quota <= LIMITER_CELLS
				  ? 0
				  : (limit->window_ns - 1) / (LIMITER_CELLS - 1) + 1;
	return 0;
}

/* --- the token bucket --------------------------------------------------- */

/* How long the bucket needs to be full. Never longer than an empty one, so that a clock which
 * jumped locks nobody out. */
static fixed bucket_lack(const struct tally *tally, const struct limit *limit, uint64_t now_ns)
{
	int64_t ns = (int64_t)(tally->full_ns - now_ns);
	fixed lack = ns < 0 ? 0 : (fixed)ns << FRACTION_BITS | tally->full_part;

	return MIN(lack, limit->capacity);
}

static void bucket_take(struct tally *tally, const struct limit *limit, uint64_t cost, bool commit,
	uint64_t now_ns, struct limit_verdict *verdict)
{
	fixed lack = bucket_lack(tally, limit, now_ns);
	fixed wish = lack + cost * limit->interval;

	verdict->limit = limit->burst;
	verdict->allowed = wish <= limit->capacity;
	if (!verdict->allowed) {
		verdict->retry_after_ns = round_up(wish - limit->capacity);
	} else if (commit) {
		lack = wish;
		tally->full_ns = now_ns + (uint64_t)(lack >> FRACTION_BITS);
		tally->full_part = (uint32_t)lack;
	}

	verdict->remaining = (uint64_t)((limit->capacity - lack) / limit->interval);
	verdict->full_ns = round_up(lack);
	if (verdict->remaining < limit->burst)
		verdict->more_ns = round_up(
			lack + (verdict->remaining + 1) * limit->interval - limit->capacity);
}

/* --- the sliding window ------------------------------------------------- */

struct window {
	struct tally *tally;
	struct cell *cells; /* LIMITER_CELLS */
};

static struct cell *cell_at(const struct window *window, size_t nth)
{
	return &window->cells[(window->tally->first + nth) % LIMITER_CELLS];
}

/* When all of a cell has come back. */
static uint64_t cell_end(const struct cell *cell, const struct limit *limit)
{
	return cell->began_ns + limit->window_ns + limit->grain_ns;
}

static void window_expire(struct window *window, const struct limit *limit, uint64_t now_ns)
{
	struct tally *tally = window->tally;

	while (tally->count && span(now_ns, cell_end(cell_at(window, 0), limit)) == 0) {
		tally->used -= cell_at(window, 0)->units;
		tally->first = (tally->first + 1) % LIMITER_CELLS;
		tally->count--;
	}
}

/* How long until `units` more can be taken; 0: now. At most the quota. */
static uint64_t window_wait(
	const struct window *window, const struct limit *limit, uint64_t units, uint64_t now_ns)
{
	uint64_t used = window->tally->used;
	uint64_t wait_ns = 0;

	for (size_t i = 0; i < window->tally->count && used + units > limit->quota; i++) {
		used -= cell_at(window, i)->units;
		wait_ns = span(now_ns, cell_end(cell_at(window, i), limit));
	}
	return wait_ns;
}

/* Only a change of limits can find all cells in use by then; the newest one is then kept longer,
 * which is the safe side. */
static void window_add(
	struct window *window, const struct limit *limit, uint64_t units, uint64_t now_ns)
{
	struct tally *tally = window->tally;
	struct cell *newest = cell_at(window, tally->count + LIMITER_CELLS - 1U);
	uint64_t age_ns = tally->count ? span(newest->began_ns, now_ns) : 0;

	if (tally->count && age_ns == 0)
		now_ns = newest->began_ns; /* never back */
	if (tally->count == LIMITER_CELLS && age_ns >= limit->grain_ns) {
		newest->began_ns = now_ns;
	} else if (tally->count == 0 || age_ns >= limit->grain_ns) {
		newest = cell_at(window, tally->count++);
		*newest = (struct cell){ .began_ns = now_ns };
	}
	newest->units += (uint32_t)units;
	tally->used += units;
}

static void window_take(struct window *window, const struct limit *limit, uint64_t cost,
	bool commit, uint64_t now_ns, struct limit_verdict *verdict)
{
	struct tally *tally = window->tally;

	window_expire(window, limit, now_ns);
	verdict->limit = limit->quota;
	verdict->retry_after_ns = cost ? window_wait(window, limit, cost, now_ns) : 0;
	verdict->allowed = verdict->retry_after_ns == 0;
	if (verdict->allowed && commit)
		window_add(window, limit, cost, now_ns);

	verdict->remaining = limit->quota - MIN(tally->used, limit->quota);
	if (tally->count) {
		verdict->more_ns = window_wait(window, limit, verdict->remaining + 1, now_ns);
		verdict->full_ns =
			span(now_ns, cell_end(cell_at(window, tally->count - 1U), limit));
	}
}

/* --- any of both -------------------------------------------------------- */

static void begin(const struct limiter *limiter, struct tally *tally, uint64_t now_ns)
{
	*tally = (struct tally){ .expires_ns = now_ns };
	if (limiter->algorithm == LIMITER_TOKEN_BUCKET)
		tally->full_ns = now_ns;
}

static void take(const struct limiter *limiter, struct tally *tally, struct cell *cells,
	const struct limit *limit, uint64_t cost, bool commit, uint64_t now_ns,
	struct limit_verdict *verdict)
{
	struct window window = { tally, cells };

	if (limiter->algorithm == LIMITER_TOKEN_BUCKET)
		bucket_take(tally, limit, cost, commit, now_ns, verdict);
	else
		window_take(&window, limit, cost, commit, now_ns, verdict);
}

/* A refusal by the block of a key. */
static void refuse(struct limit_verdict *verdict, uint64_t left_ns)
{
	verdict->allowed = false;
	verdict->blocked = true;
	verdict->remaining = 0;
	verdict->retry_after_ns = MAX(verdict->retry_after_ns, left_ns);
	verdict->more_ns = MAX(verdict->more_ns, left_ns);
	verdict->full_ns = MAX(verdict->full_ns, left_ns);
}

/* Takes from the slot of a key. */
static void judge(struct limiter *limiter, size_t slot, const struct limit *limit, uint64_t cost,
	uint64_t now_ns, struct limit_verdict *verdict)
{
	struct tally *tally = &limiter->tallies[slot];
	struct cell *cells = limiter->cells ? &limiter->cells[slot * LIMITER_CELLS] : NULL;
	uint64_t left_ns = tally->blocked ? span(now_ns, tally->blocked_until_ns) : 0;

	tally->blocked = left_ns > 0;
	take(limiter, tally, cells, limit, cost, cost > 0 && !tally->blocked, now_ns, verdict);
	if (!verdict->allowed && !tally->blocked && limit->block_ns) {
		tally->blocked = true;
		tally->blocked_until_ns = now_ns + limit->block_ns;
		left_ns = limit->block_ns;
	}
	if (tally->blocked)
		refuse(verdict, left_ns);
	tally->expires_ns = now_ns + verdict->full_ns;
}

/* The same for a key that is not known and whose cost does not count. */
static void look(const struct limiter *limiter, const struct limit *limit, uint64_t now_ns,
	struct limit_verdict *verdict)
{
	struct tally fresh;

	begin(limiter, &fresh, now_ns);
	take(limiter, &fresh, NULL, limit, 0, false, now_ns, verdict);
}

/* --- the table ---------------------------------------------------------- */

struct place {
	struct limiter_lock *lock;
	uint64_t tag;
	size_t first; /* slot of the set */
};

static struct place place_of(struct limiter *limiter, struct str key)
{
	uint64_t hash = hash_str(key);
	size_t set = hash & (limiter->slots / LIMITER_WAYS - 1);

	return (struct place){
		.lock = &limiter->locks[set % LIMITER_LOCKS],
		.tag = hash ? hash : 1,
		.first = set * LIMITER_WAYS,
	};
}

/* The slot with that tag, or SIZE_MAX. */
static size_t find(const struct limiter *limiter, const struct place *place)
{
	for (size_t slot = place->first; slot < place->first + LIMITER_WAYS; slot++)
		if (limiter->tags[slot] == place->tag)
			return slot;
	return SIZE_MAX;
}

/* What is lost with a tally, in the order of `enum`, then by `amount`, then by `left_ns`. */
struct loss {
	enum { LOSS_NOTHING, LOSS_UNITS, LOSS_BLOCK } kind;
	uint64_t amount;
	uint64_t left_ns;
};

static struct loss loss_of(
	const struct limiter *limiter, const struct tally *tally, uint64_t now_ns)
{
	struct loss loss = { .left_ns = span(now_ns, tally->expires_ns) };

	if (loss.left_ns == 0)
		return loss;
	if (tally->blocked && span(now_ns, tally->blocked_until_ns)) {
		loss.kind = LOSS_BLOCK;
	} else {
		loss.kind = LOSS_UNITS;
		if (limiter->algorithm == LIMITER_SLIDING_WINDOW)
			loss.amount = tally->used;
	}
	return loss;
}

static bool less(const struct loss *a, const struct loss *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind;
	if (a->amount != b->amount)
		return a->amount < b->amount;
	return a->left_ns < b->left_ns;
}

/* A slot for a new key: a free one, or that of the key which is missed least. */
static size_t claim(struct limiter *limiter, const struct place *place, uint64_t now_ns)
{
	struct loss least = { .kind = LOSS_BLOCK, .amount = UINT64_MAX };
	size_t best = place->first;

	for (size_t slot = place->first; slot < place->first + LIMITER_WAYS; slot++) {
		struct loss loss = { .kind = LOSS_NOTHING };

		if (limiter->tags[slot])
			loss = loss_of(limiter, &limiter->tallies[slot], now_ns);
		if (less(&loss, &least)) {
			least = loss;
			best = slot;
		}
		if (loss.kind == LOSS_NOTHING)
			break;
	}
	place->lock->evicted += least.kind != LOSS_NOTHING;
	limiter->tags[best] = place->tag;
	begin(limiter, &limiter->tallies[best], now_ns);
	return best;
}

void limiter_take_of(struct limiter *limiter, const struct limit *limit, struct str key,
	uint64_t cost, uint64_t now_ns, struct limit_verdict *ret)
{
	uint64_t most = limiter->algorithm == LIMITER_TOKEN_BUCKET ? limit->burst : limit->quota;
	bool impossible = cost > most;
	struct place place = place_of(limiter, key);
	size_t slot;

	CHECK(limit->interval > 0); /* prepared */
	*ret = (struct limit_verdict){
		.name = str_of(limiter->name, limiter->name_len),
		.quota = limit->quota,
		.window_ns = limit->window_ns,
	};
	if (impossible)
		cost = 0;

	(void)pthread_mutex_lock(&place.lock->lock);
	slot = find(limiter, &place);
	if (slot == SIZE_MAX && cost > 0)
		slot = claim(limiter, &place, now_ns);
	if (slot != SIZE_MAX)
		judge(limiter, slot, limit, cost, now_ns, ret);
	(void)pthread_mutex_unlock(&place.lock->lock);

	if (slot == SIZE_MAX)
		look(limiter, limit, now_ns, ret);
	if (impossible) {
		ret->allowed = false;
		ret->retry_after_ns = UINT64_MAX;
	}
}

void limiter_take(struct limiter *limiter, struct str key, uint64_t cost, uint64_t now_ns,
	struct limit_verdict *ret)
{
	limiter_take_of(limiter, &limiter->limit, key, cost, now_ns, ret);
}

void limiter_forget(struct limiter *limiter, struct str key)
{
	struct place place = place_of(limiter, key);
	size_t slot;

	(void)pthread_mutex_lock(&place.lock->lock);
	slot = find(limiter, &place);
	if (slot != SIZE_MAX)
		limiter->tags[slot] = 0;
	(void)pthread_mutex_unlock(&place.lock->lock);
}

uint64_t limiter_evicted(struct limiter *limiter)
{
	uint64_t evicted = 0;

	for (size_t i = 0; i < LIMITER_LOCKS; i++) {
		(void)pthread_mutex_lock(&limiter->locks[i].lock);
		evicted += limiter->locks[i].evicted;
		(void)pthread_mutex_unlock(&limiter->locks[i].lock);
	}
	return evicted;
}

/* --- life --------------------------------------------------------------- */

static bool name_good(struct str name)
{
	if (name.len == 0 || name.len > LIMITER_NAME_MAX)
		return false;

	for (size_t i = 0; i < name.len; i++) {
		char c = name.at[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
			return false;
	}
	return true;
}

static int copy_options(struct limiter *limiter, const struct limiter_options *options)
{
	size_t wish = options->slots ? options->slots : LIMITER_SLOTS;
	int r;

	if (!name_good(options->name))
		return fail(ERR_INVALID, "a limiter's name is 1 to %d of a-z, 0-9, - and _",
			LIMITER_NAME_MAX);
	if (wish > LIMITER_SLOTS_MAX)
		return fail(ERR_INVALID, "limiter %.*s: at most %d slots", STR_ARG(options->name),
			LIMITER_SLOTS_MAX);
	if (options->algorithm == LIMITER_SLIDING_WINDOW && options->limit.burst)
		return fail(ERR_INVALID, "limiter %.*s: a sliding window has no burst",
			STR_ARG(options->name));

	*limiter = (struct limiter){
		.name_len = options->name.len,
		.algorithm = options->algorithm,
		.limit = options->limit,
		.slots = LIMITER_WAYS,
	};
	memcpy(limiter->name, options->name.at, options->name.len);
	while (limiter->slots < wish)
		limiter->slots *= 2;
	r = limit_prepare(&limiter->limit);
	return r < 0 ? err_wrap("limiter %.*s", STR_ARG(options->name)) : 0;
}

static void free_table(struct limiter *limiter)
{
	mem_free(limiter->tags, limiter->slots * sizeof(*limiter->tags));
	mem_free(limiter->tallies, limiter->slots * sizeof(*limiter->tallies));
	mem_free(limiter->cells, limiter->slots * LIMITER_CELLS * sizeof(*limiter->cells));
	limiter->tags = NULL;
	limiter->tallies = NULL;
	limiter->cells = NULL;
}

/* Only tags need a value: a tally gets its own when its slot is claimed, a cell when it begins. */
static int make_table(struct limiter *limiter)
{
	bool windows = limiter->algorithm == LIMITER_SLIDING_WINDOW;

	limiter->tags = mem_zalloc(limiter->slots * sizeof(*limiter->tags));
	if (limiter->tags)
		limiter->tallies = mem_alloc(limiter->slots * sizeof(*limiter->tallies));
	if (limiter->tallies && windows)
		limiter->cells =
			mem_alloc(limiter->slots * LIMITER_CELLS * sizeof(*limiter->cells));
	if (limiter->tallies && (limiter->cells || !windows))
		return 0;

	free_table(limiter);
	return -ERR_NO_MEMORY;
}

int limiter_init(struct limiter *limiter, const struct limiter_options *options)
{
	pthread_mutexattr_t kind;
	int r = copy_options(limiter, options);

	if (r < 0 || (r = make_table(limiter)) < 0)
		return r;

	/* Held for less time than a sleep takes to begin. */
	(void)pthread_mutexattr_init(&kind);
	(void)pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ADAPTIVE_NP);
	for (size_t i = 0; i < LIMITER_LOCKS; i++)
		(void)pthread_mutex_init(&limiter->locks[i].lock, &kind);
	(void)pthread_mutexattr_destroy(&kind);
	return 0;
}

void limiter_done(struct limiter *limiter)
{
	if (!limiter->tags)
		return;

	for (size_t i = 0; i < LIMITER_LOCKS; i++)
		(void)pthread_mutex_destroy(&limiter->locks[i].lock);
	free_table(limiter);
}

void limiter_address_key(const struct address *address, char key[LIMITER_ADDRESS_KEY])
{
	unsigned char whole[LIMITER_ADDRESS_KEY];

	address_key(address, whole);
	memcpy(key, whole, sizeof(whole));
	if (address->any.sa_family == AF_INET6)
		memset(key + 8, 0, 8);
}
