/*
 * Operators: users of the tenant of the installation (tenant_system), whose owners have platform:*.
 * Here is how the first one comes to be, by a link that the server prints; how commands make others
 * and give back access; and how an operator acts as a user for a while. doc/operators.md.
 */
#ifndef OPERATORS_H
#define OPERATORS_H

#include "crypto/opaque.h"
#include "modules/users/users.h"

enum {
	OPERATOR_LINK_BYTES = 16 + 32, /* id, secret */
	OPERATOR_LINK_LEN = OPAQUE_LEN(sizeof("bh_su_") - 1, OPERATOR_LINK_BYTES),
	OPERATOR_URL_MAX = 2048 + sizeof("/setup?token=") + OPERATOR_LINK_LEN,
};

/* Texts are copied. */
struct operators_options {
	struct str public_url; /* of the API, where /setup is; no '/' at its end */
	struct str product;    /* what the page calls it */
};

/* Before the module is opened. -ERR_INVALID, -ERR_NO_MEMORY. Without it, an address for tests. */
int operators_configure(const struct operators_options *options);

/* --- for commands, on a fiber --------------------------------------------- */

/* Texts are the caller's; the result's live in the arena. */
struct operator_account {
	struct str email, name;
	struct str password; /* empty: none yet */
};

/*
 * Makes an operator who is an owner of the installation, the first one or another one. Without a
 * password `*ret_url` is a link, good for a day, by which one is chosen; else it is empty.
 * -ERR_INVALID for a text that cannot be one, -ERR_CONFLICT when there is one of that address.
 */
int operator_create(struct store *store, struct arena *arena,
	const struct operator_account *account, struct user *ret, struct str *ret_url);

/* Gives an operator a new password, or a link to one: their sessions end and locks are opened.
 * -ERR_NOT_FOUND, -ERR_INVALID. */
int operator_reset(struct store *store, struct arena *arena, const struct operator_account *account,
	struct user *ret, struct str *ret_url);

extern const struct module operators_module;

#endif
