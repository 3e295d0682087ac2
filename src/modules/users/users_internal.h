/* What the files of this module share. */
#ifndef USERS_INTERNAL_H
#define USERS_INTERNAL_H

#include "modules/users/users.h"

#include "crypto/digest.h"
#include "modules/rbac/rbac.h"

enum {
	INVITATIONS_MAX = 1000, /* open ones of a tenant */
	INVITATION_DAYS = 7,
	INVITATION_SECRET_LEN = 32,
	INVITATION_ROLE_MAX = 64,           /* bytes */
	USER_EXPORT_MAX = 16 * 1024 * 1024, /* bytes of the data of one person */
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

/* A member that is not set keeps its value. */
struct user_patch {
	struct str id;
	struct opt_str name;
	struct opt_int status;
};

struct me_patch {
	struct str name;
};

struct user_query {
	int64_t limit;
	struct str cursor;
	struct opt_int status;
	struct opt_str email, search;
};

struct user_page {
	LIST_OF(struct user) items;
};

struct me_tenant {
	struct str id, slug, name;
};

/* Who asks. */
struct me {
	struct user user;
	struct me_tenant tenant;
	struct texts roles, rights;
	struct opt_str impersonator;
};

struct invitation {
	struct str id;
	struct str email, role;
	struct opt_str invited_by; /* id of the user */
	int64_t created_at, expires_at;
};

struct invitation_new {
	struct str email, role;
};

struct invitation_query {
	int64_t limit;
	struct str cursor;
	struct str after_id; /* where the page begins */
};

struct invitation_page {
	LIST_OF(struct invitation) items;
};

extern const struct schema user_path_schema, user_patch_schema, me_patch_schema, user_query_schema,
	user_page_schema, me_schema, invitation_schema, invitation_new_schema,
	invitation_query_schema, invitation_page_schema;

/* --- rows of users (users_store.c) ---------------------------------------------------------- */

/* The parameters of user_list and user_list_email. */
struct user_search {
	int64_t limit;
	struct opt_int status;
	struct opt_str email_key, search;
	struct str after_id;
};

extern const struct statement user_insert, user_update, user_remove, user_by_id, user_by_email,
	user_list, user_list_email, user_accounts;

/* The id alone: a key of rows, and what is told of who is gone. */
extern const struct schema user_id_schema;

/* Inserts or updates a row. */
int user_write(struct tx *tx, const struct statement *how, const struct user *user);

/* The text of an id, in the transaction's arena. */
int user_id_text(struct tx *tx, const struct uuid *id, struct str *ret);

/* --- changes (users_change.c) --------------------------------------------- */

/* What somebody asks for. */
struct user_change {
	const struct req *req;       /* for If-Match */
	const struct rights *rights; /* of who asks; NULL: it is about themselves */
	struct audit_actor actor;
	struct uuid id;
	bool self; /* who asks is the user, or a key of the user */
	struct opt_str name;
	struct opt_int status;
	struct user *ret; /* NULL: the user is to go */
};

/* A transaction function; `arg` is a struct user_change. -ERR_FORBIDDEN for somebody with rights
 * that the asker lacks, -ERR_CONFLICT for the last owner and for what one must not do to oneself.
 */
int user_change_in_tx(struct tx *tx, void *arg);

/* Something that was refused since it goes too far. */
struct user_refusal {
	struct audit_actor actor;
	struct str action, type, id;
};

int user_refusal_in_tx(struct tx *tx, void *arg); /* struct user_refusal */

/* What watchers keep of a user: members of the object that is being written. */
int user_export_in_tx(struct tx *tx, const struct uuid *id, struct json_writer *writer);

void user_watchers_forget(void);

/* --- invitations (users_invitations.c) ------------------------------------ */

extern const struct statement invitation_secret, invitation_by_id, invitation_list,
	invitation_count, invitation_insert, invitation_remove, invitation_replace,
	invitation_renew, invitation_sweep;

/* An invitation on its way; all but `ret` is filled in before the transaction. */
struct invitation_order {
	const struct invitation_new *in; /* NULL: again, or withdrawn */
	struct uuid id;                  /* of a new one, or of the one that is meant */
	uint8_t secret[INVITATION_SECRET_LEN];
	struct audit_actor actor;
	const struct rights *rights; /* of who asks */
	struct str asker;            /* id of the user, or of whom the key belongs to */
	struct str tenant_name;
	struct invitation *ret;
};

/* Transaction functions; `arg` is a struct invitation_order. */
int invitation_make_in_tx(struct tx *tx, void *arg);
int invitation_again_in_tx(struct tx *tx, void *arg);
int invitation_withdraw_in_tx(struct tx *tx, void *arg);

/* Deletes those that are too old. */
int invitations_sweep(struct store *store);

/* Where links lead; in users_routes.c. */
struct str users_app_url(void);
bool users_email_anyone(void);

#endif
