/* What the files of this module share. */
#ifndef AUDIT_INTERNAL_H
#define AUDIT_INTERNAL_H

#include "modules/audit/audit.h"

#include "crypto/digest.h"
#include "crypto/master_key.h"

enum {
	AUDIT_DIGEST_TEXT = 43, /* bytes of a SHA-256 or HMAC in base64url */
	AUDIT_SALT_LEN = 16,
	AUDIT_SALT_TEXT = 22,
	AUDIT_STATE_MAX = 16 * 1024, /* bytes of a state; of a longer one only a digest is kept */
	AUDIT_STATE_INPUT = 1024 * 1024, /* bytes of a state that is looked at */
	AUDIT_ACTION_MAX = 100,          /* bytes, */
	AUDIT_TYPE_MAX = 64,
	AUDIT_ID_MAX = 255,
	AUDIT_ADDRESS_MAX = 100,
	AUDIT_REQUEST_MAX = 128,
};

/* --- entries (audit_contract.c) ------------------------------------------------------------ */

/* A row of main.audit. An empty text is NULL. */
struct audit_row {
	struct str tenant_id; /* only of what is read across tenants */
	struct str id;
	struct opt_i64 sequence; /* not set: not chained yet */
	struct str chain;
	enum audit_kind kind;
	struct str user_id, key_id, session_id, impersonator_id;
	struct str address, address_salt, address_digest;
	struct str action, target_type, target_id;
	struct str state_before, state_after;
	struct str personal, personal_salt; /* values of PERSONAL members: RS JSON RS JSON ... */
	int64_t personal_count;
	bool security;
	struct str request_id, trace_id;
	int64_t created_at;
	struct str seal;
};

extern const struct schema audit_row_schema;

/* --- seals, without rows (audit_seal.c) ------------------------------------------------------ */

/* The keys of this installation, from its master key; NULL: one of zero bytes. */
void audit_keys_set(const struct master_key *master_key);
void audit_keys_forget(void);

/* What stands for a personal value: HMAC under its salt. */
void audit_digest(struct str salt, struct str value, char ret[AUDIT_DIGEST_TEXT]);

/* The seal of an entry: over all that never changes. */
void audit_seal(
	const struct uuid *tenant, const struct audit_row *row, char ret[AUDIT_DIGEST_TEXT]);

/* --- rows (audit_store.c) ----------------------------------------------------------------------
 */

extern const struct statement audit_insert;
enum { AUDIT_STATEMENTS = 1 };
extern const struct statement *const audit_statements[AUDIT_STATEMENTS];

#endif
