/* What the files of the signing keys share. */
#ifndef MODULES_AUTH_KEYS_INTERNAL_H
#define MODULES_AUTH_KEYS_INTERNAL_H

#include "crypto/digest.h"
#include "crypto/sealing.h"
#include "modules/auth/auth_keys.h"

/* Clocks of those who verify may differ by so much; also for tokens. */
#define KEY_MARGIN MINUTE

#define SIGNING_KEY_TOPIC "signing-key"

/* One place is left for the key that KEY_NOW makes. */
enum { SIGNING_KEYS_MAX = TOKEN_KEYS_MAX - 1 };

extern const struct schema signing_key_schema;

/* What private keys are sealed with, from the installation's key as keys_open was given it. */
const struct sealing *keys_sealing(void);

/* Fills in id, algorithm and the sealed private key, in the arena. */
int signing_key_seal(const struct sign_key *key, struct arena *arena, struct signing_key *ret);

/* -ERR_INTERNAL with a sentence for people when it does not open. */
int signing_key_open(const struct signing_key *row, struct sign_key **ret);

/* All of them, in the order they sign. */
int signing_keys_read(const struct db *db, struct signing_key **ret, size_t *ret_count);

/* Until when the key of a row is needed; INT64_MAX for the last one. */
int64_t signing_key_until(const struct signing_key *rows, size_t count, size_t which);

/* A new key on its way. */
struct key_add {
	enum key_reason reason;
	struct str newest; /* the key behind which it comes; empty: there is none */
	uint64_t wait_ns;  /* before it signs */
	struct signing_key row;
	bool added; /* false: another instance was faster, or there is one already */
};

/* --- in transactions of tenant_system ----------------------------------------------------- */

int signing_key_add_in_tx(struct tx *tx, void *arg); /* struct key_add */

/* Deletes those that are not needed any more. `arg`: int64_t, the lifetime of tokens (us), which
 * the keys learn if it has become longer. */
int signing_keys_sweep_in_tx(struct tx *tx, void *arg);

int signing_keys_reseal_in_tx(struct tx *tx, void *arg); /* struct resealed, which it sets */

#endif
