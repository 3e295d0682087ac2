/*
 * Set-associative: a digest chooses a set of WAYS slots and is compared in full with each. Slots
 * (what a search looks at) and contents (what a hit copies) stand apart, so a search touches one
 * cache line a way, and pages of contents that were never used take no memory.
 */
#include "modules/auth/token_cache.h"

#include "base/err.h"
#include "base/mem.h"
#include "crypto/digest.h"
#include "crypto/random.h"
#include "observe/metric.h"

enum {
	WAYS = 4,
	CONTENT_SIZE = 1024,
	SECOND_US = 1000000,
};

/* An entry is in force in [since_us, until_us) while the generation is its own; a zeroed one never
 * is. The lower end is for wall clocks that step back. */
struct slot {
	uint8_t digest[SHA256_LEN];
	uint64_t generation;
	int64_t since_us, until_us;
	uint64_t used; /* the cache's tick when it was used last */
};
_Static_assert(sizeof(struct slot) == 64, "a cache line");

/* The claims, and what they point at. */
struct content {
	struct token_claims claims;
	_Alignas(16) char bytes[CONTENT_SIZE - (sizeof(struct token_claims) + 15) / 16 * 16];
};
_Static_assert(sizeof(struct content) == CONTENT_SIZE, "no padding behind");

enum result { RESULT_CACHED, RESULT_VERIFIED, RESULT_REFUSED, RESULTS };

struct token_cache {
	struct token_view view;
	struct token_rules rules;
	const struct metric *results[RESULTS];
	size_t entries; /* a power of two */
	uint64_t tick;
	struct slot *slots;
	struct content *contents; /* contents[i] belongs to slots[i] */
	uint8_t secret[SHA256_LEN];
};

static int register_results(const struct metric **ret)
{
	static const struct metric_def def = {
		.name = "auth_token_checks_total",
		.help = "Access tokens that were checked: known, verified, or refused.",
		.kind = METRIC_COUNTER,
		.labels = { "result" },
	};
	static const struct str names[RESULTS] = {
		[RESULT_CACHED] = S_INIT("cached"),
		[RESULT_VERIFIED] = S_INIT("verified"),
		[RESULT_REFUSED] = S_INIT("refused"),
	};
	struct metric_family *family = metric_register(&def);

	if (!family)
		return -(int)err_last()->code;
	for (size_t i = 0; i < RESULTS; i++)
		ret[i] = metric_series(family, &names[i]);
	return 0;
}

int token_cache_new(struct token_keyring *keyring, const struct token_rules *rules, size_t entries,
	struct token_cache **ret)
{
	struct token_cache *cache;
	int r = token_rules_check(rules);

	CHECK(entries >= TOKEN_CACHE_ENTRIES_MIN && entries <= TOKEN_CACHE_ENTRIES_MAX &&
		(entries & (entries - 1)) == 0);
	if (r < 0)
		return r;

	cache = mem_zalloc(sizeof(*cache));
	if (!cache)
		return err_wrap("making a token cache");

	cache->rules = *rules;
	cache->entries = entries;
	r = register_results(cache->results);
	cache->slots = r < 0 ? NULL : mem_zalloc(entries * sizeof(*cache->slots));
	cache->contents = cache->slots ? mem_alloc(entries * sizeof(*cache->contents)) : NULL;
	if (!cache->contents) {
		token_cache_free(cache);
		return err_wrap("making a token cache");
	}

	token_view_init(&cache->view, keyring);
	random_bytes(cache->secret, sizeof(cache->secret));
	*ret = cache;
	return 0;
}

void token_cache_free(struct token_cache *cache)
{
	if (!cache)
		return;

	token_view_done(&cache->view);
	crypto_wipe(cache->secret, sizeof(cache->secret));
	mem_free(cache->slots, cache->entries * sizeof(*cache->slots));
	mem_free(cache->contents, cache->entries * sizeof(*cache->contents));
	mem_free(cache, sizeof(*cache));
}

/* What the token is known by. */
static void identify(const struct token_cache *cache, struct str token, uint8_t digest[SHA256_LEN])
{
	const struct str parts[] = { str_of((const char *)cache->secret, sizeof(cache->secret)),
		token };

	digest_parts(DIGEST_SHA256, parts, LEN(parts), digest);
}

/* The first slot of the digest's set. */
static size_t set_of(const struct token_cache *cache, const uint8_t digest[SHA256_LEN])
{
	uint64_t number;

	memcpy(&number, digest, sizeof(number));
	return (size_t)number & (cache->entries - 1) & ~(size_t)(WAYS - 1);
}

static bool in_force(const struct token_cache *cache, const struct slot *slot, int64_t now_us)
{
	return slot->generation == cache->view.generation && now_us >= slot->since_us &&
	       now_us < slot->until_us;
}

/* The slot with this digest, or NULL. */
static struct slot *find(
	const struct token_cache *cache, const uint8_t digest[SHA256_LEN], int64_t now_us)
{
	struct slot *set = &cache->slots[set_of(cache, digest)];

	for (struct slot *slot = set; slot < set + WAYS; slot++)
		if (memcmp(slot->digest, digest, SHA256_LEN) == 0 && in_force(cache, slot, now_us))
			return slot;
	return NULL;
}

/* The slot for a new entry: one that is not in force, else the one unused for longest. */
static struct slot *victim(
	const struct token_cache *cache, const uint8_t digest[SHA256_LEN], int64_t now_us)
{
	struct slot *set = &cache->slots[set_of(cache, digest)], *oldest = set;

	for (struct slot *slot = set; slot < set + WAYS; slot++) {
		if (!in_force(cache, slot, now_us))
			return slot;
		if (slot->used < oldest->used)
			oldest = slot;
	}
	return oldest;
}

static struct content *content_of(const struct token_cache *cache, const struct slot *slot)
{
	return &cache->contents[slot - cache->slots];
}

/* Keeps the claims that were verified under the view's generation. */
static void keep(struct token_cache *cache, const uint8_t digest[SHA256_LEN], int64_t now_us,
	const struct token_claims *claims)
{
	int64_t until_us =
		MIN(claims->expires_us, now_us + TOKEN_CACHE_SECONDS * (int64_t)SECOND_US);
	struct content *content;
	struct slot *slot;

	if (until_us <= now_us || token_claims_size(claims) > sizeof(content->bytes))
		return;

	slot = victim(cache, digest, now_us);
	content = content_of(cache, slot);
	token_claims_copy(claims, content->bytes, &content->claims);
	memcpy(slot->digest, digest, SHA256_LEN);
	slot->generation = cache->view.generation;
	slot->since_us = now_us;
	slot->until_us = until_us;
	slot->used = ++cache->tick;
}

/* Gives the claims of an entry. The next token may take its place, so they are copied. */
static int take(
	struct token_cache *cache, struct slot *slot, struct arena *arena, struct token_claims *ret)
{
	const struct token_claims *claims = &content_of(cache, slot)->claims;
	void *at = arena_alloc(arena, token_claims_size(claims));

	if (!at)
		return fail(ERR_NO_MEMORY, "no memory for the claims of a token");

	token_claims_copy(claims, at, ret);
	slot->used = ++cache->tick;
	metric_count(cache->results[RESULT_CACHED], 1);
	return 0;
}

int token_check(struct token_cache *cache, struct str token, int64_t now_us, struct arena *arena,
	struct token_claims *ret)
{
	const struct token_keys *keys = token_view_keys(&cache->view);
	bool cacheable = token.len <= TOKEN_MAX;
	uint8_t digest[SHA256_LEN];
	struct slot *slot = NULL;
	int r;

	if (cacheable) {
		identify(cache, token, digest);
		slot = find(cache, digest, now_us);
	}
	if (slot)
		return take(cache, slot, arena, ret);

	r = token_verify(keys, token, &cache->rules, now_us, arena, ret);
	if (r == 0)
		keep(cache, digest, now_us, ret);
	if (r == 0 || r == -ERR_UNAUTHORIZED)
		metric_count(cache->results[r == 0 ? RESULT_VERIFIED : RESULT_REFUSED], 1);
	return r;
}
