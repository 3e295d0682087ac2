/* What the files of this module share. */
#ifndef OPERATORS_INTERNAL_H
#define OPERATORS_INTERNAL_H

#include "crypto/opaque.h"
#include "modules/auth/auth.h"
#include "modules/operators/operators.h"
#include "modules/tenants/tenants.h"

enum {
	OPERATOR_LINKS_MAX = 16, /* that are good at a time; the oldest go first */
	IMPERSONATION_MINUTES = 15,
	IMPERSONATION_MINUTES_MAX = 60,
	IMPERSONATION_REASON_MAX = 500, /* characters */
};

#define OPERATOR_LINK_LIFE (24 * HOUR)

/* How long it is known who acted as whom; the audit log has its own retention. */
#define IMPERSONATION_KEPT (30 * 24 * HOUR)

/* The options in force; never empty. */
const struct operators_options *operators_options(void);

/* --- links (operators_setup.c) -------------------------------------------- */

/* What the text of a link says; not to be believed before setup_use_in_tx. */
struct setup_ref {
	struct uuid id;
	char secret_hash[OPAQUE_HASH_LEN];
};

/* False for what is none. */
bool setup_read(struct str text, struct setup_ref *ret);

/* What a link is for. */
struct setup_link {
	struct str id;
	struct opt_str user_id; /* whose password it sets; not set: it makes the first operator */
	struct str secret_hash;
	int64_t expires_at;
};

/* A link to be: `user` NULL for one to the first operator. Its text goes to `text`. */
struct setup_new {
	const struct uuid *user;
	char text[OPERATOR_LINK_LEN];
};

/* Transaction functions, in the tenant of the installation. */
int setup_make_in_tx(struct tx *tx, void *arg); /* struct setup_new */

/* The link, and whose password it sets (*ret_user is zeroed for a first operator). -ERR_NOT_FOUND
 * when it was used, is too old, never was, or is of no more use. */
int setup_get_in_tx(
	struct tx *tx, const struct setup_ref *ref, struct setup_link *ret, struct user *ret_user);

/* The address of a link's page. */
int setup_url(const struct setup_new *link, struct arena *arena, struct str *ret);

/* What a link brings about. */
struct setup_use {
	const struct setup_ref *ref;
	struct audit_actor actor;
	struct str email, name, hash; /* of the account; the first two only for a new one */
	struct user *ret;
};

/* Uses a link up, and all others that are for the same. Errors of setup_get_in_tx,
 * user_create_in_tx. */
int setup_use_in_tx(struct tx *tx, void *arg); /* struct setup_use */

/* What is too old goes. */
int setup_clean_in_tx(struct tx *tx, void *arg);

/* 1 when there has been an operator, else 0. */
int operator_known_in_tx(struct tx *tx);

/* Makes an operator; in the tenant of the installation. `hash` may be empty. */
int operator_make_in_tx(struct tx *tx, const struct audit_actor *actor,
	const struct operator_account *account, struct str hash, struct user *ret);

/* --- impersonation (operators_contract.c, operators_impersonate.c) -------- */

struct impersonate {
	struct str tenant; /* id or slug */
	struct str user_id;
	struct str reason;
	int64_t minutes;
};

struct impersonation {
	struct str id;          /* the session's */
	struct str operator_id; /* who acts */
	struct str of_tenant_id, user_id;
	struct str reason;
	int64_t created_at, expires_at;
	struct opt_i64 ended_at;
};

struct impersonated {
	struct impersonation impersonation;
	struct user user;
	struct tenant tenant;
	struct str access_token;
	int64_t expires_in; /* seconds */
};

struct impersonation_access {
	struct str access_token;
	int64_t expires_in; /* seconds */
};

struct impersonation_ref {
	struct str id;
};

struct impersonation_query {
	int64_t limit;
	struct str cursor;
	struct str after_id; /* where the page begins */
};

struct impersonation_page {
	LIST_OF(struct impersonation) items;
};

extern const struct schema impersonate_schema, impersonation_schema, impersonated_schema,
	impersonation_access_schema, impersonation_ref_schema, impersonation_query_schema,
	impersonation_page_schema;

int impersonate(struct req *req, const struct impersonate *in, struct impersonated *out);
int impersonation_token(
	struct req *req, const struct impersonation_ref *in, struct impersonation_access *out);
int impersonation_end(struct req *req, const struct impersonation_ref *in, struct nothing *out);
int impersonation_list(
	struct req *req, const struct impersonation_query *in, struct impersonation_page *out);

/* Whether an operator who acts as a user may do what a route does. */
bool impersonator_may(const struct route *route);

int impersonations_clean_in_tx(struct tx *tx, void *arg);

/* --- the page (operators_page.c) ------------------------------------------ */

int setup_show(struct req *req);
int setup_do(struct req *req);

/* --- statements ----------------------------------------------------------- */

enum { OPERATOR_STATEMENTS = 14 };

extern const struct statement impersonation_insert, impersonation_get, impersonation_stop,
	impersonation_rows, impersonation_clean;
extern const struct statement *const operator_statements[OPERATOR_STATEMENTS];

#endif
