/* Answers that are kept, between the hooks (idempotency.c) and the transaction that writes them
 * (write.c). Internal to this folder. */
#ifndef REST_KEPT_H
#define REST_KEPT_H

#include "crypto/digest.h"
#include "schema/schema.h"
#include "store/db.h"

struct master_key;
struct req;
struct resealed;

/* A row of main.idempotency. */
struct kept {
	struct str key_hash;   /* hex digest of caller, route and key */
	struct opt_str sealed; /* the answer, base64url of a sealed box; not set before section 2 */
};

/* What is known of a repeatable request while it is in work; req->repeat. */
struct repeat {
	struct db db; /* of the caller's tenant */
	uint8_t key[SHA256_LEN], fingerprint[SHA256_LEN];
	char key_text[2 * SHA256_LEN];
	bool kept; /* the answer is stored */
};

extern const struct statement kept_insert, kept_get, kept_boxes, kept_box_set;

/* Where the keys come from that answers are sealed with. NULL: from random bytes, so that nothing
 * that is kept can be read after the end of this process. What is under those of `former` (or NULL)
 * is read, too. */
void kept_open(const struct master_key *master, const struct master_key *former);

/* As sealing_again, for the answer of that row. */
int kept_again(struct str key_hash, struct str text, struct arena *arena, struct str *ret);

/* Seals anew what is under the former key (struct module); kept_reseal.c. */
int kept_reseal(struct store *store, struct resealed *counted);

/* The row of the handler's answer, and the answer's JSON (empty: no body). Texts are the repeat's
 * and the request's arena's. */
int kept_make(struct req *req, const struct repeat *repeat, struct kept *ret, struct str *ret_data);

/* Answers with what was kept for this key: 1 when there was something, 0 when not.
 * -ERR_IDEMPOTENCY when it was another request, -ERR_CONFLICT when it cannot be read. */
int kept_replay(struct req *req, const struct repeat *repeat);

#endif
