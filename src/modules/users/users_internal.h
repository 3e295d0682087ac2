/* What the files of this module share. */
#ifndef USERS_INTERNAL_H
#define USERS_INTERNAL_H

#include "modules/users/users.h"

#include "crypto/digest.h"

enum {
	INVITATIONS_MAX = 1000, /* open ones of a tenant */
	INVITATION_DAYS = 7,
	INVITATION_SECRET_LEN = 32,
	INVITATION_HASH_LEN = 2 * SHA256_LEN, /* hex digits */
};

/* --- rules, without rows (users_rules.c) ------------------------------------------------ */

/* The form in which addresses are compared: ASCII letters in lower case. Also of names, where they
 * are searched. `.at` is NULL on failure. */
struct str user_key_of(struct arena *arena, struct str text);

/* -ERR_INVALID, field "email". */
int user_check_email(struct str email);

/* The name without white space at its ends. -ERR_INVALID, field "name": nothing left, too long, or
 * a character that is no part of a line of text. */
int user_clean_name(struct str name, struct str *ret);

/* --- what goes in and out (users_contract.c) ---------------------------------------------- */

struct user_ref {
	struct str id;
};

extern const struct schema user_ref_schema;

/* --- rows of users (users_store.c) ---------------------------------------------------------- */

extern const struct statement user_insert, user_update, user_remove, user_by_id, user_by_email,
	user_accounts;

/* --- rows of invitations (users_invitations.c) ------------------------------------------------ */

struct invitation {
	struct str id;
	struct str email, role;
	struct opt_str invited_by; /* id of the user */
	int64_t created_at, expires_at;
};

extern const struct statement invitation_secret, invitation_remove;

#endif
