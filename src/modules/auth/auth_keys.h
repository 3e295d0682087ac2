/*
 * The signing keys: made, sealed in the database, exchanged by schedule or command, the same on all
 * instances. A key is published some time before it signs, so that whoever has fetched the JWK Set
 * knows it by then, and stays published until the last token that it signed has expired.
 */
#ifndef MODULES_AUTH_KEYS_H
#define MODULES_AUTH_KEYS_H

#include "modules/auth/auth.h"
#include "modules/auth/token_keys.h"

/* A row of main.signing_key. */
struct signing_key {
	struct str id; /* RFC 7638 thumbprint */
	enum sign_kind algorithm;
	struct str sealed;
	int64_t made_at, signs_at; /* microseconds since 1970 */
	int64_t token_us;          /* longest lifetime of what it signs */
};

enum { SIGNING_KEY_STATEMENTS = 5 };
extern const struct statement *const signing_key_statements[SIGNING_KEY_STATEMENTS];

/* What a new key is made for. */
enum key_reason {
	KEY_FIRST,    /* there is none */
	KEY_SCHEDULE, /* the newest one is too old or of another algorithm */
	KEY_COMMAND,  /* somebody wants another one */
	KEY_NOW,      /* somebody has got hold of the old ones: they go at once */
};

int keys_open(struct server *server);
void keys_close(struct server *server);

/* The keys that access tokens are verified with. */
struct token_keyring *keys_ring(void);

/* --- on fibers, outside of transactions; errors of the store --------------------------- */

/* Sees to it that the keys are those of the database, which gets a first one when it has none. */
int keys_ready(struct store *store);

/* A reference to the key that signs now. */
int keys_signer(struct store *store, struct sign_key **ret);

/* A reference to the set that is published. */
int keys_published(struct store *store, struct token_keys **ret);

/* Makes a new key. With KEY_SCHEDULE and KEY_COMMAND one that waits for its time already is enough.
 * -ERR_FULL when too many old ones are still needed. The key that is there in the end, in the
 * arena. */
int keys_rotate(
	struct store *store, enum key_reason reason, struct arena *arena, struct signing_key *ret);

/* A chore: makes a new key when it is time, and takes away those that nothing needs any more. */
int keys_tend(struct server *server);

#endif
