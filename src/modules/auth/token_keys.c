/* Sets of verification keys and their exchange. The mutex guards a pointer and a count; nothing is
 * allocated, freed or computed under it. */
#include "modules/auth/token_keys.h"

#include "base/err.h"
#include "base/mem.h"

#include <pthread.h>

struct token_keys {
	_Atomic size_t references;
	size_t count;
	struct sign_key *keys[TOKEN_KEYS_MAX]; /* a reference each */
};

struct token_keyring {
	pthread_mutex_t mutex;   /* guards what follows; the generation is also read without it */
	struct token_keys *keys; /* a reference */
	_Atomic uint64_t generation; /* of the keys; changed together with them */
};

/* --- sets ---------------------------------------------------------------------- */

int token_keys_new(struct sign_key *const *keys, size_t count, struct token_keys **ret)
{
	struct token_keys *set;

	if (count > TOKEN_KEYS_MAX)
		return fail(ERR_INVALID, "at most %d keys verify tokens, not %zu", TOKEN_KEYS_MAX,
			count);

	set = mem_zalloc(sizeof(*set));
	if (!set)
		return err_wrap("making a set of keys");

	atomic_init(&set->references, 1);
	for (size_t i = 0; i < count; i++) {
		struct str id = sign_key_id(keys[i]);

		if (token_keys_find(set, id)) {
			token_keys_unref(set);
			return fail(ERR_INVALID, "the key %.*s comes twice", STR_ARG(id));
		}
		set->keys[set->count++] = sign_key_ref(keys[i]);
	}

	*ret = set;
	return 0;
}

struct token_keys *token_keys_ref(struct token_keys *keys)
{
	atomic_fetch_add_explicit(&keys->references, 1, memory_order_relaxed);
	return keys;
}

void token_keys_unref(struct token_keys *keys)
{
	if (!keys || atomic_fetch_sub_explicit(&keys->references, 1, memory_order_acq_rel) != 1)
		return;

	for (size_t i = 0; i < keys->count; i++)
		sign_key_unref(keys->keys[i]);
	mem_free(keys, sizeof(*keys));
}

const struct sign_key *token_keys_find(const struct token_keys *keys, struct str kid)
{
	for (size_t i = 0; i < keys->count; i++)
		if (str_eq(sign_key_id(keys->keys[i]), kid))
			return keys->keys[i];
	return NULL;
}

/* A member that this kind of key has. */
static void write_member(struct json_writer *writer, struct str name, struct str value)
{
	if (value.len == 0)
		return;
	json_write_key(writer, name);
	json_write_string(writer, value);
}

static void write_key(struct json_writer *writer, const struct sign_key *key)
{
	const struct sign_jwk *jwk = sign_key_jwk(key);

	json_write_object(writer);
	write_member(writer, S("kty"), jwk->kty);
	write_member(writer, S("use"), S("sig"));
	write_member(writer, S("alg"), sign_alg(sign_key_kind(key)));
	write_member(writer, S("kid"), sign_key_id(key));
	write_member(writer, S("crv"), jwk->crv);
	write_member(writer, S("n"), jwk->n);
	write_member(writer, S("e"), jwk->e);
	write_member(writer, S("x"), jwk->x);
	write_member(writer, S("y"), jwk->y);
	json_write_object_end(writer);
}

void token_keys_write(const struct token_keys *keys, struct json_writer *writer)
{
	json_write_object(writer);
	json_write_key(writer, S("keys"));
	json_write_array(writer);
	for (size_t i = 0; i < keys->count; i++)
		write_key(writer, keys->keys[i]);
	json_write_array_end(writer);
	json_write_object_end(writer);
}

/* --- exchange ------------------------------------------------------------------ */

int token_keyring_new(struct token_keys *keys, struct token_keyring **ret)
{
	struct token_keyring *keyring = mem_zalloc(sizeof(*keyring));

	if (!keyring)
		return err_wrap("making a keyring");

	CHECK(pthread_mutex_init(&keyring->mutex, NULL) == 0);
	keyring->keys = token_keys_ref(keys);
	atomic_init(&keyring->generation, 1);
	*ret = keyring;
	return 0;
}

void token_keyring_free(struct token_keyring *keyring)
{
	if (!keyring)
		return;

	token_keys_unref(keyring->keys);
	(void)pthread_mutex_destroy(&keyring->mutex);
	mem_free(keyring, sizeof(*keyring));
}

/* Puts `keys` (a reference that it takes over; NULL: those there are) in force under a new
 * generation. */
static void change(struct token_keyring *keyring, struct token_keys *keys)
{
	struct token_keys *former = NULL;

	CHECK(pthread_mutex_lock(&keyring->mutex) == 0);
	if (keys) {
		former = keyring->keys;
		keyring->keys = keys;
	}
	atomic_fetch_add_explicit(&keyring->generation, 1, memory_order_release);
	CHECK(pthread_mutex_unlock(&keyring->mutex) == 0);

	token_keys_unref(former);
}

void token_keyring_publish(struct token_keyring *keyring, struct token_keys *keys)
{
	change(keyring, token_keys_ref(keys));
}

void token_keyring_revoke(struct token_keyring *keyring)
{
	change(keyring, NULL);
}

/* Takes the set in force and its generation, which belong together under the mutex. */
static void look(struct token_view *view)
{
	struct token_keyring *keyring = view->keyring;
	struct token_keys *former = view->keys;

	CHECK(pthread_mutex_lock(&keyring->mutex) == 0);
	view->keys = token_keys_ref(keyring->keys);
	view->generation = atomic_load_explicit(&keyring->generation, memory_order_relaxed);
	CHECK(pthread_mutex_unlock(&keyring->mutex) == 0);

	token_keys_unref(former);
}

void token_view_init(struct token_view *view, struct token_keyring *keyring)
{
	*view = (struct token_view){ .keyring = keyring };
	look(view);
}

void token_view_done(struct token_view *view)
{
	token_keys_unref(view->keys);
	*view = (struct token_view){ 0 };
}

const struct token_keys *token_view_keys(struct token_view *view)
{
	if (UNLIKELY(atomic_load_explicit(&view->keyring->generation, memory_order_acquire) !=
		     view->generation))
		look(view);
	return view->keys;
}
