/*
 * Keys in memory, as what a request needs to know of them, so that it costs a digest and a look and
 * no query. That there is no such key is kept for a moment, too. Changes are heard of by the
 * notices of the cache: everywhere within half a second, and an instance that cannot hear reads
 * through.
 */
#include "modules/api_keys/api_keys_internal.h"

#include "crypto/base64.h"
#include "store/cache.h"

static struct cache *keys;

int known_open(struct store *store)
{
	static const struct cache_options options = {
		.name = "api_key",
		.memory = 16 * MEGABYTE,
		.ttl_ns = 5 * MINUTE,
		.absent_ns = 10 * SECOND,
	};

	return cache_open(store, &options, &keys);
}

void known_close(void)
{
	cache_close(TAKE(keys));
}

/* --- from a row ----------------------------------------------------------------------------- */

static int64_t time_of(const struct opt_i64 *time, int64_t none)
{
	return time->set && !time->null ? time->value : none;
}

static int read_hash(struct str text, uint8_t ret[SHA256_LEN])
{
	if (hex_read(text, ret, SHA256_LEN))
		return 0;
	return fail(ERR_INTERNAL, "the digest of a key is none");
}

static int read_hashes(const struct api_key *key, struct known_key *known)
{
	int r = read_hash(key->secret_hash, known->hash);

	known->has_previous = key->previous_hash.set && !key->previous_hash.null;
	if (r == 0 && known->has_previous)
		r = read_hash(key->previous_hash.value, known->previous);
	return r;
}

static int read_limit(const struct api_key *key, struct known_key *known)
{
	const struct opt_i64 *pace = &key->requests_per_minute;

	known->has_limit = pace->set && !pace->null;
	if (!known->has_limit)
		return 0;
	known->limit = (struct limit){ .quota = (uint64_t)pace->value, .window_ns = MINUTE };
	return limit_prepare(&known->limit);
}

static int read_networks(const struct key_texts *networks, struct known_key *known)
{
	int r = 0;

	for (size_t i = 0; i < networks->count && r == 0; i++)
		r = network_parse(networks->at[i], &known->networks[i]);
	known->network_count = networks->count;
	return r < 0 ? fail(ERR_INTERNAL, "the network of a key is none") : 0;
}

static int read_owner(const struct api_key *key, struct known_key *known)
{
	if (!uuid_parse(key->owner_id, &known->owner_id))
		return fail(ERR_INTERNAL, "the owner of a key has no id");
	uuid_write(known->owner, &known->owner_id);
	return 0;
}

static int make_known(const struct api_key *key, struct known_key *known)
{
	int r;

	known->kind = key->kind;
	known->ends_us = time_of(&key->ends_at, INT64_MAX);
	known->previous_until_us = time_of(&key->previous_until, 0);
	scopes_rights(key->kind, &key->scopes, &known->scopes);
	r = read_hashes(key, known);
	if (r == 0)
		r = read_limit(key, known);
	if (r == 0)
		r = read_owner(key, known);
	if (r == 0)
		r = read_networks(&key->allowed_addresses, known);
	return r;
}

/* --- the cache ------------------------------------------------------------ */

struct loading {
	struct str id;   /* of the key, as text */
	struct str *tag; /* its owner, by which it may be forgotten */
};

static int load(const struct db *db, void *arg, struct cache_value *ret)
{
	struct loading *loading = arg;
	struct api_key_ref ref = { loading->id };
	struct known_key *known;
	struct api_key key;
	size_t size;
	int r = db_one(db, &key_get, &ref, &key);

	if (r < 0)
		return r;
	size = sizeof(*known) + key.allowed_addresses.count * sizeof(known->networks[0]);
	known = arena_zalloc(db->arena, size);
	if (!known)
		return -(int)err_last()->code;
	r = make_known(&key, known);
	if (r < 0)
		return r;

	*loading->tag = str_of(known->owner, sizeof(known->owner));
	*ret = (struct cache_value){
		.bytes = str_of((const char *)known, size), .tags = loading->tag, .tag_count = 1
	};
	return 0;
}

int known_find(struct store *store, const struct uuid *tenant, const struct uuid *id,
	struct arena *arena, const struct known_key **ret)
{
	struct db db = db_of(store, tenant, arena);
	char text[UUID_TEXT_LEN];
	struct str tag, bytes;
	struct loading loading = { str_of(text, sizeof(text)), &tag };
	int r;

	uuid_write(text, id);
	r = cache_get_or_load(keys, &db, loading.id, load, &loading, &bytes);
	if (r == 0) /* what is in an arena is aligned for everything */
		*ret = (const struct known_key *)(const void *)bytes.at;
	return r;
}

int known_forget(struct tx *tx, struct str id)
{
	return cache_forget(tx, keys, id);
}

int known_forget_owner(struct tx *tx, const struct uuid *owner)
{
	char text[UUID_TEXT_LEN];

	uuid_write(text, owner);
	return cache_forget_tag(tx, keys, str_of(text, sizeof(text)));
}
