/*
 * Boxes at rest under a key of the installation, also while that is being changed: what is sealed
 * is sealed under the key in force; what is opened may still be under the one before.
 */
#ifndef CRYPTO_SEALING_H
#define CRYPTO_SEALING_H

#include "base/arena.h"
#include "crypto/aead.h"
#include "crypto/master_key.h"

/* The keys of one purpose; by value, to be wiped with sealing_done. */
struct sealing {
	struct aead_key key, former;
	bool has_former;
};

/* AES-256-GCM under keys that are derived for the purpose. `former` may be NULL. */
void sealing_init(struct sealing *ret, const struct master_key *key,
	const struct master_key *former, struct str purpose);

/* The keys for a narrower purpose (a row). */
void sealing_derive(const struct sealing *from, struct str purpose, struct sealing *ret);

void sealing_done(struct sealing *sealing);

/* Opens a box into `at` (box.len - AEAD_OVERHEAD bytes). 0, or 1 when it was under the former key;
 * -ERR_INVALID as aead_open. */
int sealing_open(const struct sealing *sealing, struct str associated, struct str box, void *at);

/* Whether a text (base64url of a box) has to be sealed anew: 1 with the new text in the arena, 0
 * when it is under the key in force. -ERR_INVALID when it opens under neither; -ERR_NO_MEMORY,
 * -ERR_FULL. */
int sealing_again(const struct sealing *sealing, struct str associated, struct str text,
	struct arena *arena, struct str *ret);

#endif
