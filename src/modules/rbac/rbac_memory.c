/*
 * Set-associative: a hash chooses a set of WAYS entries. An entry is a row of atomic words under a
 * sequence number, which is odd while it is written; a reader that saw it change looks no further
 * and finds nothing. (The words are loaded with acquire and stored with release, so that a reader
 * that sees one of a later writing sees its odd number, too.)
 *
 * Forgetting touches no entry: there are counters, of all, by tenant and by user, and an entry has
 * the sum of its three from before its rows were read. They only grow, so the sum is the same only
 * if none of them has changed. Tenants and users that share a counter are forgotten together.
 */
#include "modules/rbac/rbac_memory.h"

#include "base/hash.h"
#include "base/mem.h"

#include <stdatomic.h>

enum {
	WAYS = 8,
	TENANT_COUNTERS = 1 << 10,
	USER_COUNTERS = 1 << 13,
	RIGHT_WORDS = RIGHTS_MAX / 64,
	ROLE_WORDS = MEMORY_ROLES_BYTES / 8,
};

/* Words of an entry, behind the sequence number. */
enum {
	WORD_TENANT,
	WORD_USER = WORD_TENANT + 2,
	WORD_MOMENT = WORD_USER + 2,
	WORD_FLAGS,
	WORD_RIGHTS = WORD_FLAGS + 2, /* a line of their own */
	WORD_ROLES = WORD_RIGHTS + RIGHT_WORDS,
	WORDS = WORD_ROLES + ROLE_WORDS,
};

enum { FLAG_KNOWN = 1, FLAG_ACTIVE = 2, FLAG_ROLES = 4, FLAGS_LEN_SHIFT = 8 };

struct entry {
	_Atomic uint64_t sequence;
	_Atomic uint64_t words[WORDS];
};
_Static_assert(sizeof(struct entry) == 256 && offsetof(struct entry, words[WORD_RIGHTS]) == 64,
	"four cache lines, of which a check needs two");

static struct {
	char *block;
	struct entry *entries; /* in it, aligned to their size */
	_Atomic uint64_t all, tenants[TENANT_COUNTERS], users[USER_COUNTERS];
	_Atomic uint64_t turn; /* which way gives way when all are good */
} memory;

/* Of a tenant and a user. */
struct place {
	uint64_t id[4];
	uint64_t hash; /* keyed, so that nobody can choose ids that displace those of others */
};

static struct place place_of(const struct uuid *tenant, const struct uuid *user)
{
	struct place place;

	memcpy(place.id, tenant->bytes, sizeof(tenant->bytes));
	memcpy(place.id + 2, user->bytes, sizeof(user->bytes));
	place.hash = hash_str(str_of((const char *)place.id, sizeof(place.id)));
	return place;
}

/* By what is random in a UUIDv7. That tenants share a counter costs no more than a second look. */
static _Atomic uint64_t *tenant_counter(const struct uuid *tenant)
{
	return &memory.tenants[(tenant->bytes[14] << 8 | tenant->bytes[15]) &
			       (TENANT_COUNTERS - 1)];
}

static _Atomic uint64_t *user_counter(const struct place *place)
{
	return &memory.users[place->hash >> 32 & (USER_COUNTERS - 1)];
}

/* The ways of the set, in an order of the user's own, so that most are found at the first look. */
static struct entry *way_of(const struct place *place, size_t number)
{
	size_t set = place->hash & (MEMORY_ENTRIES - 1) & ~(uint64_t)(WAYS - 1);

	return &memory.entries[set + (place->hash + number) % WAYS];
}

enum { ENTRY = sizeof(struct entry), BLOCK = (MEMORY_ENTRIES + 1) * ENTRY };

int memory_open(void)
{
	CHECK(!memory.entries);
	memory.block = mem_zalloc(BLOCK);
	if (!memory.block)
		return -ERR_NO_MEMORY;
	memory.entries = (struct entry *)(memory.block + (ENTRY - (uintptr_t)memory.block % ENTRY));
	return 0;
}

void memory_close(void)
{
	memory.entries = NULL;
	mem_free(TAKE(memory.block), BLOCK);
}

/* --- forgetting ---------------------------------------------------------------------- */

static uint64_t moment_of(const struct place *place, const struct uuid *tenant)
{
	return atomic_load_explicit(&memory.all, memory_order_acquire) +
	       atomic_load_explicit(tenant_counter(tenant), memory_order_acquire) +
	       atomic_load_explicit(user_counter(place), memory_order_acquire);
}

uint64_t memory_moment(const struct uuid *tenant, const struct uuid *user)
{
	struct place place = place_of(tenant, user);

	return moment_of(&place, tenant);
}

void memory_forget_user(const struct uuid *tenant, const struct uuid *user)
{
	struct place place = place_of(tenant, user);

	(void)atomic_fetch_add(user_counter(&place), 1);
}

void memory_forget_tenant(const struct uuid *tenant)
{
	(void)atomic_fetch_add(tenant_counter(tenant), 1);
}

void memory_forget_all(void)
{
	(void)atomic_fetch_add(&memory.all, 1);
}

/* --- reading ------------------------------------------------------------------------- */

static uint64_t word(const struct entry *entry, size_t at)
{
	return atomic_load_explicit(&entry->words[at], memory_order_acquire);
}

static bool is_of(const struct entry *entry, const struct place *place)
{
	uint64_t differs = 0;

	for (size_t i = 0; i < LEN(place->id); i++)
		differs |= word(entry, WORD_TENANT + i) ^ place->id[i];
	return differs == 0;
}

static void read_words(const struct entry *entry, bool roles, struct remembered *ret)
{
	uint64_t flags = word(entry, WORD_FLAGS);

	ret->known = flags & FLAG_KNOWN;
	ret->active = flags & FLAG_ACTIVE;
	ret->has_roles = roles && flags & FLAG_ROLES;
	ret->roles_len = roles ? flags >> FLAGS_LEN_SHIFT : 0;
	for (size_t i = 0; i < RIGHT_WORDS; i++)
		ret->rights.bits[i] = word(entry, WORD_RIGHTS + i);
	for (size_t i = 0; i < ROLE_WORDS && i * 8 < ret->roles_len; i++) {
		uint64_t bytes = word(entry, WORD_ROLES + i);

		memcpy(ret->roles + i * 8, &bytes, sizeof(bytes));
	}
}

bool memory_find(
	const struct uuid *tenant, const struct uuid *user, bool roles, struct remembered *ret)
{
	struct place place = place_of(tenant, user);

	if (!memory.entries)
		return false;
	for (size_t i = 0; i < WAYS; i++) {
		struct entry *entry = way_of(&place, i);
		uint64_t sequence = atomic_load_explicit(&entry->sequence, memory_order_acquire);

		if (sequence & 1 || !is_of(entry, &place) || sequence == 0)
			continue;
		if (word(entry, WORD_MOMENT) != moment_of(&place, tenant))
			continue;
		read_words(entry, roles, ret);
		if (atomic_load_explicit(&entry->sequence, memory_order_relaxed) == sequence)
			return true;
	}
	return false;
}

/* --- writing ------------------------------------------------------------------------- */

/* The entry to be written: the one that is of this user already, or was never used, or the next in
 * turn. */
static struct entry *victim(const struct place *place)
{
	struct entry *unused = NULL;

	for (size_t i = 0; i < WAYS; i++) {
		struct entry *entry = way_of(place, i);

		if (is_of(entry, place))
			return entry;
		if (!unused && atomic_load(&entry->sequence) == 0)
			unused = entry;
	}
	return unused ? unused : way_of(place, atomic_fetch_add(&memory.turn, 1) % WAYS);
}

static void put(struct entry *entry, size_t at, uint64_t value)
{
	atomic_store_explicit(&entry->words[at], value, memory_order_release);
}

static void write_words(struct entry *entry, const struct place *place, uint64_t moment,
	const struct remembered *what)
{
	for (size_t i = 0; i < LEN(place->id); i++)
		put(entry, WORD_TENANT + i, place->id[i]);
	put(entry, WORD_MOMENT, moment);
	put(entry, WORD_FLAGS,
		(what->known ? FLAG_KNOWN : 0) | (what->active ? FLAG_ACTIVE : 0) |
			(what->has_roles ? FLAG_ROLES : 0) |
			(uint64_t)what->roles_len << FLAGS_LEN_SHIFT);
	for (size_t i = 0; i < RIGHT_WORDS; i++)
		put(entry, WORD_RIGHTS + i, what->rights.bits[i]);
	for (size_t i = 0; i * 8 < what->roles_len; i++) {
		uint64_t bytes;

		memcpy(&bytes, what->roles + i * 8, sizeof(bytes));
		put(entry, WORD_ROLES + i, bytes);
	}
}

void memory_keep(const struct uuid *tenant, const struct uuid *user, uint64_t moment,
	const struct remembered *what)
{
	struct place place = place_of(tenant, user);
	struct entry *entry;
	uint64_t sequence;

	if (!memory.entries || moment != moment_of(&place, tenant))
		return;
	entry = victim(&place);
	sequence = atomic_load(&entry->sequence);
	if (sequence & 1 ||
		!atomic_compare_exchange_strong(&entry->sequence, &sequence, sequence + 1))
		return;
	write_words(entry, &place, moment, what);
	atomic_store_explicit(&entry->sequence, sequence + 2, memory_order_release);
}
