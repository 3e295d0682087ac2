/* One shard against a model: it never takes more than it may, forgets all it must, keeps the order
 * of use. */
#include "store/cache_shard.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"
#include <stdio.h>

static struct uuid tenant_of(unsigned number)
{
	return (struct uuid){ { 1, [15] = (uint8_t)number } };
}

static struct cache_name name_of(unsigned tenant, unsigned number)
{
	struct uuid id = tenant_of(tenant);
	struct cache_name name;
	char key[16];

	(void)snprintf(key, sizeof(key), "key %u", number);
	REQUIRE(cache_name_init(&name, &id, str_from_c(key)));
	return name;
}

static uint64_t tag_of(unsigned tenant, unsigned number)
{
	struct uuid id = tenant_of(tenant);
	char tag[16];

	(void)snprintf(tag, sizeof(tag), "tag %u", number);
	return cache_tag_hash(cache_owner_hash(&id), str_from_c(tag));
}

/* Keeps a value of so many bytes. */
static void keep(struct cache_shard *shard, const struct cache_name *name, size_t len,
	const uint64_t *tags, size_t tag_count, uint64_t began, struct cache_changes *changes)
{
	static char bytes[128 * 1024];
	struct cache_entry *entry =
		cache_entry_make(name, 0, str_of(bytes, len), tags, tag_count, (uint64_t)-1);

	REQUIRE(entry);
	cache_shard_keep(shard, name, entry, began, changes);
	cache_entry_release(entry);
}

static bool has(struct cache_shard *shard, const struct cache_name *name)
{
	struct cache_changes changes = { 0 };
	struct cache_entry *entry = cache_shard_find(shard, name, 1, &changes);

	cache_changes_end(&changes);
	cache_entry_release(entry);
	return entry;
}

/* --- memory ------------------------------------------------------------------------------- */

/* Whatever is kept, found and forgotten: the heap holds no more than it may, and all is counted. */
TEST(cache_shard_never_takes_more)
{
	enum { MEMORY = 96 * 1024 };
	size_t before = mem_used(), evicted = 0;
	struct cache_shard shard;
	uint64_t seed = 3;
	int64_t bytes = 0;

	REQUIRE(cache_shard_init(&shard, MEMORY) == 0);
	for (size_t i = 0; i < 50000; i++) {
		struct cache_name name = name_of(test_random(&seed) % 3, test_random(&seed) % 400);
		struct cache_changes changes = { 0 };
		uint64_t tags[CACHE_TAGS_MAX];
		size_t tag_count = test_random(&seed) % (CACHE_TAGS_MAX + 1);
		unsigned what = test_random(&seed) % 100;

		for (size_t t = 0; t < tag_count; t++)
			tags[t] = tag_of(1, test_random(&seed) % 20);
		if (what < 70)
			keep(&shard, &name, test_random(&seed) % (what ? 2000 : MEMORY + 1000),
				tags, tag_count, shard.moment, &changes);
		else if (what < 80)
			cache_shard_forget(&shard, &name, &changes);
		else if (what < 82)
			cache_shard_forget_tag(&shard, 5, tag_of(1, what % 20), &changes);
		else if (what == 99 && i % 16 == 0)
			cache_shard_forget_all(&shard, &changes);
		else
			cache_entry_release(cache_shard_find(&shard, &name, 1, &changes));
		cache_changes_end(&changes);
		bytes += changes.bytes;
		evicted += changes.evicted;
		REQUIRE(shard.bytes <= shard.limit);
		REQUIRE(bytes == (int64_t)shard.bytes);
		REQUIRE(mem_used() - before <= MEMORY);
	}
	EXPECT(evicted > 1000);
	cache_shard_done(&shard);
	EXPECT_INT(mem_used(), before);
}

TEST(cache_shard_evicts_what_was_used_least_recently)
{
	enum { COUNT = 40 };
	struct cache_changes changes = { 0 };
	struct cache_shard shard;
	struct cache_name big = name_of(1, 1000);
	size_t room;

	REQUIRE(cache_shard_init(&shard, 64 * 1024) == 0);
	for (unsigned i = 0; i < COUNT; i++) {
		struct cache_name name = name_of(1, i);

		keep(&shard, &name, 1000, NULL, 0, 0, &changes);
	}
	EXPECT_INT(changes.evicted, 0);
	for (unsigned i = 0; i < COUNT; i += 2) {
		struct cache_name name = name_of(1, i);

		EXPECT(has(&shard, &name));
	}

	/* Needs the room of ten: those with odd numbers go first. */
	room = shard.limit - shard.bytes + 10 * (shard.bytes / COUNT);
	keep(&shard, &big, room - 200, NULL, 0, 0, &changes);
	EXPECT_INT(changes.evicted, 10);
	for (unsigned i = 0; i < COUNT; i++) {
		struct cache_name name = name_of(1, i);

		EXPECT(has(&shard, &name) == (i % 2 == 0 || i >= 20));
	}

	/* One that has no room at all changes nothing. */
	keep(&shard, &big, shard.limit, NULL, 0, 0, &changes);
	EXPECT(has(&shard, &big));
	cache_changes_end(&changes);
	cache_shard_done(&shard);
	EXPECT_INT(mem_used(), 0);
}

/* --- names and tags -------------------------------------------------------------------------- */

TEST(cache_shard_knows_tenants_apart)
{
	struct cache_changes changes = { 0 };
	struct cache_name one = name_of(1, 7), other = name_of(2, 7), empty, none;
	struct uuid tenant = tenant_of(1);
	char key[CACHE_KEY_MAX + 1] = { 0 };
	struct cache_shard shard;

	REQUIRE(cache_shard_init(&shard, 64 * 1024) == 0);
	EXPECT(!cache_name_init(&none, &tenant, str_of(key, sizeof(key))));
	REQUIRE(cache_name_init(&none, &tenant, str_of(key, CACHE_KEY_MAX)));
	REQUIRE(cache_name_init(&empty, &tenant, S("")));
	keep(&shard, &one, 10, NULL, 0, 0, &changes);
	EXPECT(has(&shard, &one));
	EXPECT(!has(&shard, &other));
	EXPECT(!has(&shard, &empty));
	EXPECT(!has(&shard, &none));

	other.hash = one.hash; /* even then */
	EXPECT(!has(&shard, &other));
	cache_shard_forget(&shard, &other, &changes);
	EXPECT(has(&shard, &one));
	cache_changes_end(&changes);
	cache_shard_done(&shard);
}

/* Entries with random tags, against a table of who has which. */
TEST(cache_shard_forgets_by_tag)
{
	enum { KEYS = 200, TAGS = 12 };
	uint16_t tags_of[KEYS];
	struct cache_shard shard;
	uint64_t seed = 11;

	REQUIRE(cache_shard_init(&shard, 1024 * 1024) == 0);
	for (size_t round = 0; round < 50; round++) {
		struct cache_changes changes = { 0 };
		unsigned gone = test_random(&seed) % TAGS;

		for (unsigned i = 0; i < KEYS; i++) {
			struct cache_name name = name_of(1, i);
			uint64_t tags[CACHE_TAGS_MAX];
			size_t count = test_random(&seed) % (CACHE_TAGS_MAX + 1);

			tags_of[i] = 0;
			for (size_t t = 0; t < count; t++) { /* the same one twice is allowed */
				unsigned tag = test_random(&seed) % TAGS;

				tags[t] = tag_of(1, tag);
				tags_of[i] |= (uint16_t)(1U << tag);
			}
			keep(&shard, &name, 20, tags, count, shard.moment, &changes);
		}
		cache_shard_forget_tag(&shard, 1, tag_of(2, gone), &changes);
		cache_shard_forget_tag(&shard, 1, tag_of(1, gone), &changes);
		cache_changes_end(&changes);
		for (unsigned i = 0; i < KEYS; i++) {
			struct cache_name name = name_of(1, i);

			EXPECT(has(&shard, &name) == !(tags_of[i] >> gone & 1));
		}
	}
	cache_shard_done(&shard);
	EXPECT_INT(mem_used(), 0);
}

TEST(cache_shard_keeps_nothing_older_than_its_forgetting)
{
	struct cache_changes changes = { 0 };
	struct cache_name name = name_of(1, 1), fine = name_of(1, 2);
	uint64_t tag = tag_of(1, 1), other = tag_of(1, 2), owner = 77, began;
	struct cache_shard shard;

	REQUIRE(cache_shard_init(&shard, 64 * 1024) == 0);
	began = shard.moment;
	cache_shard_forget(&shard, &name, &changes);
	EXPECT(!cache_shard_current(&shard, &name, owner, began));
	EXPECT(cache_shard_current(&shard, &fine, owner, began));
	keep(&shard, &name, 10, NULL, 0, began, &changes);
	keep(&shard, &fine, 10, NULL, 0, began, &changes);
	EXPECT(!has(&shard, &name));
	EXPECT(has(&shard, &fine));

	began = shard.moment;
	EXPECT(cache_shard_current(&shard, &name, owner, began));
	keep(&shard, &name, 10, NULL, 0, began, &changes);
	EXPECT(has(&shard, &name));

	cache_shard_forget_tag(&shard, owner, tag, &changes);
	EXPECT(!cache_shard_current(&shard, &fine, owner, began));
	EXPECT(cache_shard_current(&shard, &fine, owner + ((uint64_t)1 << 32), began));
	keep(&shard, &fine, 11, &tag, 1, began, &changes);
	cache_shard_forget(&shard, &fine, &changes);
	keep(&shard, &fine, 10, &tag, 1, began, &changes);
	EXPECT(!has(&shard, &fine));
	began = shard.moment;
	keep(&shard, &fine, 10, &other, 1, began, &changes);
	EXPECT(has(&shard, &fine));

	cache_shard_forget_all(&shard, &changes);
	EXPECT(!cache_shard_current(&shard, &fine, owner, began));
	keep(&shard, &fine, 10, NULL, 0, began, &changes);
	EXPECT(!has(&shard, &fine));
	EXPECT(!has(&shard, &name));
	EXPECT_INT(shard.bytes, 0);
	cache_changes_end(&changes);
	cache_shard_done(&shard);
	EXPECT_INT(mem_used(), 0);
}

TEST(cache_entry_lives_as_long_as_it_is_used)
{
	struct cache_changes changes = { 0 };
	struct cache_name name = name_of(1, 1);
	struct cache_entry *entry;
	struct cache_shard shard;

	REQUIRE(cache_shard_init(&shard, 64 * 1024) == 0);
	entry = cache_entry_make(&name, 0, S("value"), NULL, 0, 100);
	REQUIRE(entry);
	cache_shard_keep(&shard, &name, entry, 0, &changes);
	cache_entry_release(entry);
	entry = cache_shard_find(&shard, &name, 99, &changes);
	REQUIRE(entry);
	EXPECT(!cache_shard_find(&shard, &name, 100, &changes)); /* its time is over */
	EXPECT_INT(shard.bytes, 0);
	cache_changes_end(&changes);
	cache_shard_done(&shard);
	EXPECT_STR(entry->value, S("value"));
	cache_entry_release(entry);
	EXPECT_INT(mem_used(), 0);
}

#ifdef BULKHEAD_FAULTS
TEST(cache_shard_without_memory)
{
	struct cache_name name = name_of(1, 1);
	struct cache_shard shard;

	for (size_t nth = 1; nth <= 2; nth++) {
		fault_arm(FAULT_MEMORY, nth);
		EXPECT_INT(cache_shard_init(&shard, 64 * 1024), -ERR_NO_MEMORY);
		EXPECT_INT(mem_used(), 0);
	}
	fault_arm(FAULT_MEMORY, 1);
	EXPECT(!cache_entry_make(&name, 0, S("x"), NULL, 0, 1));
	fault_arm(FAULT_MEMORY, 0);
}
#endif
