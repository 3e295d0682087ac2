/* Who may register in a tenant: what the tenant says, or else the installation. */
#ifndef MODULES_AUTH_POLICY_H
#define MODULES_AUTH_POLICY_H

#include "http/request.h"
#include "modules/auth/auth.h"

struct auth_policy {
	enum auth_sign_up sign_up;
	int64_t version; /* grows by one on each change; 0: the tenant has said nothing */
};

struct auth_policy_patch {
	struct opt_int sign_up;
};

extern const struct schema auth_policy_schema, auth_policy_patch_schema;

/* That of the transaction's tenant. */
int policy_get_in_tx(struct tx *tx, struct auth_policy *ret);

/* Applies a change that a request asks for; audited. -ERR_PRECONDITION. */
struct policy_change {
	const struct req *req; /* for If-Match */
	const struct audit_actor *actor;
	const struct auth_policy_patch *patch;
	struct auth_policy *ret;
};
int policy_change_in_tx(struct tx *tx, void *arg); /* struct policy_change */

enum { POLICY_STATEMENTS = 2 };
extern const struct statement *const policy_statements[POLICY_STATEMENTS];

#endif
