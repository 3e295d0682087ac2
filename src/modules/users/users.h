/* Users: the people of a tenant. How they prove who they are is the business of auth. */
#ifndef USERS_H
#define USERS_H

#include "crypto/opaque.h"
#include "crypto/uuid.h"
#include "http/module.h"
#include "modules/audit/audit.h"
#include "schema/schema.h"
#include "store/db.h"
#include "json/writer.h"

enum {
	USER_EMAIL_MAX = 254,    /* bytes */
	USER_NAME_MAX = 200,     /* characters */
	USERS_OF_EMAIL_MAX = 50, /* accounts of one address that are looked at */
};

enum user_status {
	USER_ACTIVE,
	USER_SUSPENDED, /* cannot sign in; keys and sessions are void */
};

struct user {
	struct str id;
	struct str email; /* as it was given; one of its kind in the tenant but for case */
	struct str name;
	enum user_status status;
	struct opt_i64 email_verified_at;
	int64_t version;
	int64_t created_at, updated_at; /* microseconds since 1970 */
};

extern const struct schema user_schema;

/* The text is copied. */
struct users_options {
	struct str app_url; /* of the product's pages, where links in mails lead: no '/' at its end
			     */
	bool email_anyone;  /* email:send mails anybody, not only users who have proved their
			       address */
};

/* Before the module is opened. -ERR_INVALID with a sentence for people. Without it, an address for
 * tests. */
int users_configure(const struct users_options *options);

/* --- in transactions of the user's tenant ---------------------------------------------------
 *
 * Each change is audited as done by `actor` (NULL: by the program). Two addresses are the same when
 * they differ in the case of ASCII letters only, also before the @. Errors of tx_exec besides those
 * that are named. What comes back lives in the transaction's arena. */

struct user_new {
	struct str email, name; /* the name is trimmed */
	struct str role;        /* given as by rbac_grant_in_tx; empty: none */
	bool verified;          /* the address has been proved */
	const struct audit_actor *actor;
};

/* -ERR_CONFLICT, field "email", when the tenant has one with that address; -ERR_INVALID for what is
 * no address or no name; -ERR_NOT_FOUND for no such role. Emits user.created. */
int user_create_in_tx(struct tx *tx, const struct user_new *in, struct user *ret);

/* -ERR_NOT_FOUND. */
int user_get_in_tx(struct tx *tx, const struct uuid *id, struct user *ret);
int user_by_email_in_tx(struct tx *tx, struct str email, struct user *ret);

/* The address is another one and verified. -ERR_CONFLICT, -ERR_NOT_FOUND, -ERR_INVALID. Emits
 * user.updated. */
int user_set_email_in_tx(struct tx *tx, const struct uuid *id, struct str email,
	const struct audit_actor *actor, struct user *ret);

/* The address has been proved. Again: nothing. -ERR_NOT_FOUND. Emits user.updated. */
int user_verified_in_tx(struct tx *tx, const struct uuid *id, const struct audit_actor *actor);

/* The user goes, and all that watchers keep of them. -ERR_NOT_FOUND; -ERR_CONFLICT for the last
 * owner. Emits user.deleted. Whether the actor may do that was asked before. */
int user_delete_in_tx(struct tx *tx, const struct uuid *id, const struct audit_actor *actor);

/* --- on a system handle ---------------------------------------------------------------------- */

struct account {
	struct str tenant_id, user_id;
	struct str slug, tenant_name;
};

struct accounts {
	struct account *at;
	size_t count;
};

/* Active accounts of an address in tenants that are served, at most USERS_OF_EMAIL_MAX. What is no
 * address has none, at the same price. */
int accounts_of_email(const struct db *system, struct str email, struct accounts *ret);

/* --- invitations ------------------------------------------------------------------------------ */

/* What the text of an invitation says; none of it is to be believed before invitation_take_in_tx.
 */
struct invitation_ref {
	struct uuid tenant, id;
	char secret_hash[OPAQUE_HASH_LEN];
};

/* False for what is none: nothing was asked for it. */
bool invitation_read(struct str text, struct invitation_ref *ret);

/* Uses an invitation up: makes the user, with an address that is verified by that, and gives the
 * role. In a transaction of its tenant. -ERR_NOT_FOUND when it was used, withdrawn, is too old or
 * never was, or its role is gone; -ERR_CONFLICT when the address has an account by now. */
int invitation_take_in_tx(struct tx *tx, const struct invitation_ref *ref, struct str name,
	const struct audit_actor *actor, struct user *ret);

/* --- for those who keep things of users ------------------------------------------------------- */

/* Static. Each may be NULL; in the transaction of the user's tenant that does it. */
struct user_watcher {
	int (*suspended)(struct tx *tx, const struct uuid *user); /* or deleted: called first */
	int (*deleted)(struct tx *tx, const struct uuid *user);
	/* For the export of a person's data: appends the value of one member of a JSON object, the
	 * name of which is export_name. Reads only. */
	const char *export_name;
	int (*export)(struct tx *tx, const struct uuid *user, struct json_writer *writer);
	struct user_watcher *next; /* the module's */
};

/* From a module's open, after that of users. Forgotten when users closes. */
void users_watch(struct user_watcher *watcher);

/* email:send, for users of the queue (doc/mails.md). To be declared by the program. */
struct job_kind;
extern const struct job_kind email_send;

extern const struct module users_module;

#endif
