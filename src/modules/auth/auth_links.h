/*
 * Links in mails: secrets that prove that somebody reads an address. Each user has at most one that
 * is good of each kind; a new one replaces the former. A link is used up by what it does. Only the
 * SHA-256 of its secret is stored.
 *
 *     bh_ml_ + base32(tenant 16 | link 16 | secret 32) + checksum
 */
#ifndef MODULES_AUTH_LINKS_H
#define MODULES_AUTH_LINKS_H

#include "crypto/opaque.h"
#include "crypto/uuid.h"
#include "modules/users/users.h"
#include "store/db.h"

enum link_kind {
	LINK_VERIFY,       /* the address of the account; 24 hours */
	LINK_RESET,        /* a new password; an hour */
	LINK_CHANGE_EMAIL, /* a new address; 24 hours */
	LINK_UNLOCK,       /* ends a lock; 24 hours */
	LINK_KINDS,
};

enum {
	LINKS_PER_HOUR = 5, /* of a kind, for a user */
	LINK_SECRET_LEN = 32,
	LINK_BYTES = 16 + 16 + LINK_SECRET_LEN,
};

/* What the text of a link says; none of it is to be believed before link_take_in_tx. */
struct link_ref {
	struct uuid tenant, id;
	char hash[OPAQUE_HASH_LEN];
};

/* False for what is none: nothing was asked for it. */
bool link_read(struct str text, struct link_ref *ret);

/* Who it was for. */
struct link_owner {
	struct str user_id;
	struct opt_str email; /* of LINK_CHANGE_EMAIL: the new address */
};

/* --- in transactions of the link's tenant -------------------------------------------------- */

/* A link to be mailed. */
struct link_order {
	enum link_kind kind;
	const struct user *user;
	struct str email;       /* of LINK_CHANGE_EMAIL: where to, instead of the user's address */
	struct str tenant_name; /* empty: it is read */
};

/*
 * Makes a link and mails it. 1 when it went out, 0 when there were too many within the hour, which
 * is no error: who asks is not told. Errors of tx_exec and mail_post_in_tx.
 */
int link_mail_in_tx(struct tx *tx, const struct link_order *order);

/* Who a good link is for, without using it. -ERR_INVALID, field "token", when it is not good: used,
 * replaced, too old, of another kind. */
int link_look_in_tx(
	struct tx *tx, const struct link_ref *ref, enum link_kind kind, struct link_owner *ret);

/* Uses it up. Errors as link_look_in_tx. */
int link_take_in_tx(
	struct tx *tx, const struct link_ref *ref, enum link_kind kind, struct link_owner *ret);

/* The links of a user are good no more: of one kind, or the rows go (LINK_KINDS). */
int links_drop_in_tx(struct tx *tx, const struct uuid *user, enum link_kind kind);

/* What every route says of a token that is no link, or not a good one. */
int link_refuse(void);

enum { LINK_STATEMENTS = 6 };
extern const struct statement *const link_statements[LINK_STATEMENTS];

/* Throws away rows whose links have ended, in small transactions. */
int links_sweep(struct store *store);

#endif
