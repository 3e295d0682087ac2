/*
 * What is done for somebody who has not signed in, after the answer: a row of the installation, put
 * down by the request and worked off within a second or two. The request does the same whether the
 * address has an account or not, and so takes the same time.
 *
 * Each errand is done in one transaction that also removes it, so it is done once on however many
 * instances. What cannot be done is dropped; what is older than an hour, too.
 */
#ifndef MODULES_AUTH_ERRANDS_H
#define MODULES_AUTH_ERRANDS_H

#include "http/request.h"
#include "modules/auth/auth_links.h"

enum errand_kind {
	ERRAND_JOIN,    /* make an account of `tenant`, or tell its owner that somebody tried */
	ERRAND_VERIFY,  /* mail links to accounts whose address is not verified */
	ERRAND_RESET,   /* mail links to new passwords */
	ERRAND_TENANTS, /* mail the list of tenants */
	ERRAND_UNLOCK,  /* mail a link that ends the lock */
};

/* Texts may be empty where the kind does not need them. */
struct errand {
	enum errand_kind kind;
	struct str email;
	struct opt_str tenant_id; /* only the account of this tenant; not set: of all */
	struct str name, hash;    /* of the account to be made */
};

/* In a transaction of tenant_system. */
int errand_put_in_tx(struct tx *tx, const struct errand *errand, const struct req *req);

/* The same, in a transaction of its own. */
int errand_put(struct req *req, const struct errand *errand);

enum { ERRANDS_AT_ONCE = 100 };

/* Does what is there, at most ERRANDS_AT_ONCE; their number goes to `*ret`, which may be NULL.
 * Errors of the store; those of single errands are logged. */
int errands_run(struct store *store, size_t *ret);

enum { ERRAND_STATEMENTS = 4 };
extern const struct statement *const errand_statements[ERRAND_STATEMENTS];

#endif
