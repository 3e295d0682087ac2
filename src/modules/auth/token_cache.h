/*
 * Tokens that were verified a moment ago, so that the requests of one client cost one signature
 * check a minute. One cache per worker, without locks.
 *
 * A token is known by the SHA-256 of a secret of the cache and all its bytes; all 32 bytes are
 * compared, and neither tokens nor anything they could be rebuilt from is kept. The secret keeps
 * anybody from choosing tokens that displace each other. What is kept are the claims, from the
 * moment of verification until 60 s later or `exp` without leeway, whichever is sooner, and only
 * while the generation of the keyring stays the same: another set of keys, or token_keyring_revoke,
 * empties the cache at once. Refusals are not kept.
 *
 * A cache belongs to one keyring and one set of rules, so that what was verified under others
 * cannot be found in it. Memory is taken once and never grows: 4 ways of a set, of which the one
 * unused for longest gives way. Claims of more than some 800 bytes are verified each time.
 */
#ifndef MODULES_AUTH_TOKEN_CACHE_H
#define MODULES_AUTH_TOKEN_CACHE_H

#include "modules/auth/token.h"

enum {
	TOKEN_CACHE_ENTRIES = 4096,  /* the usual size: 4.3 MB, resident as far as it is used */
	TOKEN_CACHE_ENTRIES_MIN = 4, /* one set */
	TOKEN_CACHE_ENTRIES_MAX = 1 << 16,
	TOKEN_CACHE_SECONDS = 60, /* that claims are believed without another look */
};

struct token_cache;

/*
 * A cache of so many entries (a power of two within the bounds above). The keyring and the texts of
 * the rules must outlive it. ERR_INVALID as token_rules_check, ERR_CONFLICT or ERR_FULL when the
 * metric cannot be registered, ERR_NO_MEMORY.
 */
int token_cache_new(struct token_keyring *keyring, const struct token_rules *rules, size_t entries,
	struct token_cache **ret);

/* Frees it. NULL is allowed. */
void token_cache_free(struct token_cache *cache);

/*
 * token_verify with the keyring's keys and the cache's rules, from the cache where it can be.
 * Claims are copied to the arena in either case; errors and what they leave are those of
 * token_verify. Counted in auth_token_checks_total by result: cached, verified, refused.
 */
int token_check(struct token_cache *cache, struct str token, int64_t now_us, struct arena *arena,
	struct token_claims *ret);

#endif
