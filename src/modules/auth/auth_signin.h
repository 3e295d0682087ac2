/* What the files of sign-in share: bodies of requests, and the checks in front of a password. */
#ifndef MODULES_AUTH_SIGNIN_H
#define MODULES_AUTH_SIGNIN_H

#include "modules/audit/audit.h"
#include "modules/auth/auth_attempts.h"
#include "modules/auth/auth_errands.h"
#include "modules/auth/auth_internal.h"
#include "modules/auth/auth_password.h"
#include "modules/auth/auth_password_store.h"
#include "modules/auth/auth_policy.h"
#include "modules/auth/sessions.h"

/* --- what comes in (auth_signin_contract.c) ------------------------------------------------ */

struct login_in {
	struct str email, password;
	struct opt_str tenant;        /* its slug or id */
	struct opt_str refresh_token; /* of another account of the same device */
};

struct register_tenant {
	struct opt_str name; /* of a new tenant; not set: one that there is */
	struct str slug;
};

struct register_in {
	struct opt_str email; /* an invitation has its own */
	struct str password, name;
	struct register_tenant *tenant; /* this, */
	struct opt_str invitation;      /* or this */
	struct opt_str refresh_token;
};

struct address_in {
	struct str email;
	struct opt_str tenant;
};

struct email_in {
	struct str email;
};

struct token_in {
	struct str token;
};

struct reset_in {
	struct str token, password;
};

struct change_password_in {
	struct str current_password, new_password;
};

struct change_email_in {
	struct str password, email;
};

struct leave_in {
	struct str password;
};

struct import_user {
	struct str email, name;
	struct opt_str password_hash;
	bool verified;
	LIST_OF(struct str) roles;
};

struct import_in {
	LIST_OF(struct import_user) users;
};

struct imported_user {
	struct str id, email;
};

struct imported {
	LIST_OF(struct imported_user) users;
};

enum { IMPORT_MAX = 1000 }; /* users, and roles of all of them together */

extern const struct schema login_in_schema, register_in_schema, address_in_schema, email_in_schema,
	token_in_schema, reset_in_schema, change_password_in_schema, change_email_in_schema,
	leave_in_schema, import_in_schema, imported_schema;

/* --- guarded tries (auth_trial.c) ----------------------------------------- */

/* A password that somebody gives, from the door to the verdict: a place in the pool, a counted try,
 * its turn. */
struct trial {
	struct attempt attempt;
	bool placed;
};

/* After 0, and only then, trial_end must follow. -ERR_FULL without a place, -ERR_TOO_MANY when the
 * client address is refused. */
int trial_begin(struct req *req, struct str email, struct trial *ret);

/*
 * Whether the given password, as it was typed, is that of the row (NULL: nobody's, never right).
 * One hash is computed in any case, also when the try is refused, which is never right. When it
 * fails the try is not counted.
 */
int trial_check(struct req *req, struct trial *trial, struct str given,
	const struct password_row *row, bool *ret_right);

/* Gives the place back; a right password is no failure. */
void trial_end(struct req *req, struct trial *trial, bool right, struct str email);

/* Whether it is the password of the user who asks: 0, or -ERR_INVALID that names the field. Counted
 * as a login is. */
int confirm_password(struct req *req, const struct user *user, struct str given, const char *field);

/*
 * A password that somebody wants to have: prepared, not refused, hashed. -ERR_INVALID that names
 * the field, -ERR_FULL.
 */
int choose_password(struct req *req, struct str given, const struct password_context *context,
	const char *field, struct str *ret_hash);

/* The user who asks, and their tenant. Errors of the store. */
int caller_user(struct req *req, struct user *ret, struct tenant *ret_tenant);

/* The tenant of a slug or an id: 1, or 0 when there is none that is served. */
int served_tenant(struct req *req, struct str name, struct tenant *ret);

int served_tenant_id(struct req *req, const struct uuid *id, struct tenant *ret);

/* The id that a text is, which the database has written. */
struct uuid signin_uuid(struct str text);

/* --- handlers ------------------------------------------------------------- */

int auth_login(struct req *req, const struct login_in *in, struct signed_in *out);
int auth_register(struct req *req, const struct register_in *in, struct signed_in *out);
int auth_import(struct req *req, const struct import_in *in, struct imported *out);

int auth_reset_password(struct req *req, const struct reset_in *in, struct nothing *out);
int auth_change_password(struct req *req, const struct change_password_in *in, struct nothing *out);
int auth_change_email(struct req *req, const struct change_email_in *in, struct nothing *out);
int auth_confirm_email(struct req *req, const struct token_in *in, struct nothing *out);
int auth_verify_email(struct req *req, const struct token_in *in, struct nothing *out);
int auth_unlock(struct req *req, const struct token_in *in, struct nothing *out);
int auth_leave(struct req *req, const struct leave_in *in, struct nothing *out);

/* --- joined by auth.c (auth_signin_routes.c) ------------------------------------------------- */

enum {
	AUTH_SIGNIN_ROUTES = 15,
	AUTH_SIGNIN_STATEMENTS = ATTEMPT_STATEMENTS + LINK_STATEMENTS + ERRAND_STATEMENTS +
				 PASSWORD_STATEMENTS + POLICY_STATEMENTS,
};

extern const struct route auth_signin_routes[AUTH_SIGNIN_ROUTES];

/* Writes them to `at`, which has room for AUTH_SIGNIN_STATEMENTS. */
void auth_signin_statements(const struct statement **at);

/* Chores: does errands, every second; throws away what is old, now and then. */
int signin_errands(struct server *server);
int signin_sweep(struct server *server);

/* From the module's open and close. -ERR_INVALID with a sentence for people, errors of
 * passwords_open. */
int auth_signin_open(struct server *server);
void auth_signin_close(void);

#endif
