/*
 * The keys that access tokens are verified with: an immutable set, and the place where it is
 * exchanged while workers verify.
 *
 * A `struct token_keys` never changes and is counted. A `struct token_keyring` holds the set that
 * is in force, under a mutex, and a generation that grows with every change. Each worker has a
 * `struct token_view` with a reference of its own to the set it saw last; looking is one atomic
 * load of the generation, and only when that has grown does the worker take the mutex, for as long
 * as two pointers take. A set is freed with its last reference, so none is freed under a reader;
 * nothing depends on when workers look.
 */
#ifndef MODULES_AUTH_TOKEN_KEYS_H
#define MODULES_AUTH_TOKEN_KEYS_H

#include "crypto/sign.h"
#include "json/writer.h"

#include <stdatomic.h>

enum {
	TOKEN_KEYS_MAX = 16
}; /* those in force, the next one, and old ones until their tokens end */

struct token_keys;

/*
 * A set of keys, each found by its RFC 7638 thumbprint; takes references of its own. An empty set
 * refuses every token. ERR_INVALID when there are more than TOKEN_KEYS_MAX or one comes twice,
 * ERR_NO_MEMORY.
 */
int token_keys_new(struct sign_key *const *keys, size_t count, struct token_keys **ret);

/* Another reference to the set; returns it. */
struct token_keys *token_keys_ref(struct token_keys *keys);

/* Drops a reference; the last one frees the set. NULL is allowed. */
void token_keys_unref(struct token_keys *keys);

/* The key with this "kid", compared byte by byte; NULL when there is none. Lives as long as the
 * set. */
const struct sign_key *token_keys_find(const struct token_keys *keys, struct str kid);

/*
 * Writes the JWK Set (RFC 7517 section 5) as one value: the public members, "use" (always "sig"),
 * "alg" and "kid" of each key, in the order of token_keys_new.
 */
void token_keys_write(const struct token_keys *keys, struct json_writer *writer);

/* --- exchange ------------------------------------------------------------------ */

struct token_keyring;

/* A keyring with a first set, of which it takes a reference of its own. ERR_NO_MEMORY. */
int token_keyring_new(struct token_keys *keys, struct token_keyring **ret);

/* Frees it. No view may be left. NULL is allowed. */
void token_keyring_free(struct token_keyring *keyring);

/* Puts another set in force; takes a reference of its own. Any thread. A check that began before
 * may still end with the former set, none that begins afterwards does. */
void token_keyring_publish(struct token_keyring *keyring, struct token_keys *keys);

/* Keeps the keys and makes all caches forget what they verified. Any thread. */
void token_keyring_revoke(struct token_keyring *keyring);

/* What one worker sees of a keyring. For one thread. */
struct token_view {
	struct token_keyring *keyring;
	struct token_keys *keys; /* a reference of its own */
	uint64_t generation;     /* the keyring's, when `keys` was taken from it; from 1 */
};

/* The view of a keyring, which must outlive it. */
void token_view_init(struct token_view *view, struct token_keyring *keyring);

/* Drops its reference. Does nothing on a zeroed struct. */
void token_view_done(struct token_view *view);

/* The set in force, and in view->generation its generation. Good until the next call with this
 * view, so not to be kept across a park. */
const struct token_keys *token_view_keys(struct token_view *view);

#endif
