/*
 * The Idempotency-Key field (draft-ietf-httpapi-idempotency-key-header-07), and the fingerprint
 * that tells a repeated request from another one under the same key. What was answered is kept
 * elsewhere.
 */
#ifndef HTTP_IDEMPOTENCY_KEY_H
#define HTTP_IDEMPOTENCY_KEY_H

#include "crypto/digest.h"

#pragma GCC visibility push(default)

enum {
	IDEMPOTENCY_KEY_MAX = 255,
	IDEMPOTENCY_PARAMS_MAX = 8,
};

struct idempotency_key {
	char text[IDEMPOTENCY_KEY_MAX];
	size_t len;
};

/*
 * Takes the field's value: a structured-field string in quotes (RFC 9651 3.3.3), as the draft has
 * it, or bare, as most clients send it. Both give the same key when they hold the same text, which
 * is 1 to IDEMPOTENCY_KEY_MAX bytes of visible ASCII (0x21 to 0x7E). -ERR_INVALID for anything
 * else: among it a quote inside a bare value, other escapes than \" and \\, parameters, and several
 * values.
 */
int idempotency_key_parse(struct str value, struct idempotency_key *ret);

static inline struct str idempotency_key_str(const struct idempotency_key *key)
{
	return str_of(key->text, key->len);
}

/* All that makes a request the same as another. */
struct idempotent_request {
	struct str method;        /* "POST" */
	struct str route;         /* pattern: "/accounts/{id}/payments" */
	struct str caller;        /* who asks: tenant and user or key, in one text */
	const struct str *params; /* decoded path parameters, in the pattern's order */
	size_t param_count;       /* at most IDEMPOTENCY_PARAMS_MAX */
	struct str query;         /* as it came; empty when there is none */
	struct str body;          /* as it came, or in the canonical form of its decoder */
};

/*
 * SHA-256 over the parts, each behind its length in 8 bytes, so that no two requests differ only in
 * where one part ends. Fit for storage: the order of parts and the form are fixed.
 */
void idempotency_fingerprint(const struct idempotent_request *request, uint8_t ret[SHA256_LEN]);

#pragma GCC visibility pop

#endif
