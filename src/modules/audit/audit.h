/*
 * The audit log: who did what to which thing, written in the transaction that does it, chained
 * afterwards so that nothing can be changed, taken out or cut off unseen.
 */
#ifndef AUDIT_H
#define AUDIT_H

#include "http/module.h"
#include "store/db.h"

#pragma GCC visibility push(default)

enum audit_kind {
	AUDIT_PROGRAM, /* Bulkhead itself: schedules, commands */
	AUDIT_NOBODY,  /* a request without credentials */
	AUDIT_USER,
	AUDIT_KEY,
};

/* Who. A transaction function touches nothing but its argument, so this is made before it. Texts
 * are those of the request; empty where there is none. */
struct audit_actor {
	enum audit_kind kind;
	struct str user, key, session, impersonator; /* ids */
	struct str address;                          /* of the client */
	struct str request, trace;                   /* ids */
};

/* Who asks. On the request's fiber; good as long as the request. */
struct audit_actor audit_actor_of(const struct req *req);

/* What. Texts are copied. */
struct audit_entry {
	struct str action;           /* "user.created": lower case words with dots */
	struct str type, id;         /* of the thing it was done to: "user" and its id */
	const struct schema *schema; /* of the states; members that are SECRET are left out,
					PERSONAL ones kept so that they can be erased */
	const void *before, *after;  /* states of the thing; NULL: none */
	struct str person;           /* user whom the states tell of; empty: the thing when it is a
					user, else who asks */
	bool security;               /* an attack, or what looks like one */
};

/*
 * Writes an entry for the tenant of the transaction (a system handle has entered one): an insert,
 * nothing is read. Of a state that is longer than 16 KB as JSON only length and digest are kept.
 * Errors of tx_exec; -ERR_TOO_LARGE for a state beyond 1 MB, an action beyond 100 bytes, a type
 * beyond 64, an id beyond 255.
 */
int tx_audit(struct tx *tx, const struct audit_actor *actor, const struct audit_entry *entry);

/*
 * Has all that identifies a user (addresses, PERSONAL members of states about them) erased from the
 * entries of the transaction's tenant: soon after the commit, and once more when nothing that was
 * under way then can still write. The chain stays whole. For the deletion of a user. Errors of
 * tx_exec.
 */
int audit_erase_user_in_tx(struct tx *tx, const struct uuid *user);

struct audit_options {
	uint64_t retention_ns; /* entries are deleted at this age */
};

/* Before the module is opened. Without it: 90 days. */
void audit_configure(const struct audit_options *options);

/* audit:cleanup, by schedule: removes entries that are older than the retention. To be declared by
 * the program. */
struct job_kind;
extern const struct job_kind audit_cleanup;

extern const struct module audit_module;

#pragma GCC visibility pop

#endif
