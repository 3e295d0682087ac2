/* The password hashes of users: rows of their tenants. In transactions. */
#ifndef MODULES_AUTH_PASSWORD_STORE_H
#define MODULES_AUTH_PASSWORD_STORE_H

#include "crypto/uuid.h"
#include "schema/schema.h"
#include "store/db.h"

struct password_row {
	struct str user_id;
	struct str hash;
	bool imported;      /* computed elsewhere, of the bytes as they were typed */
	int64_t changed_at; /* microseconds since 1970 */
};

/* -ERR_NOT_FOUND for a user without one. */
int password_get_in_tx(struct tx *tx, const struct uuid *user, struct password_row *ret);

/* Sets or replaces it. */
int password_put_in_tx(struct tx *tx, const struct uuid *user, struct str hash, bool imported);

/* Puts another hash of the same password in the place of `former`; nothing when that is not there
 * any more. */
int password_renew_in_tx(
	struct tx *tx, const struct uuid *user, struct str former, struct str hash);

int password_remove_in_tx(struct tx *tx, const struct uuid *user);

enum { PASSWORD_STATEMENTS = 4 };
extern const struct statement *const password_statements[PASSWORD_STATEMENTS];

#endif
