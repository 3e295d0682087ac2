/* Answers that are kept, between the hooks (idempotency.c) and the transaction that writes them
 * (write.c). Internal to this folder. */
#ifndef REST_KEPT_H
#define REST_KEPT_H

#include "crypto/digest.h"
#include "schema/schema.h"
#include "store/db.h"

struct req;

/* A row of main.idempotency. */
struct kept {
	struct str key_hash, fingerprint;
	int64_t status;
	struct opt_i64 version; /* the ETag's */
	struct opt_str data;    /* JSON, as it was answered; not set: no body */
};

/* What is known of a repeatable request while it is in work; req->repeat. */
struct repeat {
	struct db db; /* of the caller's tenant */
	uint8_t key[SHA256_LEN];
	char key_text[2 * SHA256_LEN], fingerprint_text[2 * SHA256_LEN];
	bool kept; /* the answer is stored */
};

extern const struct statement kept_insert;

/* The row of the handler's answer. Texts are the repeat's and, of `data`, the request's arena's. */
int kept_make(struct req *req, const struct repeat *repeat, struct kept *ret);

/* Answers with what was kept for this key: 1 when there was something, 0 when not.
 * -ERR_IDEMPOTENCY when it was another request. */
int kept_replay(struct req *req, const struct repeat *repeat);

#endif
