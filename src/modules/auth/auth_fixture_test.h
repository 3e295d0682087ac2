/* For tests of whoever needs people who are signed in: users with sessions, made beside the server.
 */
#ifndef MODULES_AUTH_FIXTURE_TEST_H
#define MODULES_AUTH_FIXTURE_TEST_H

#include "modules/auth/auth_session.h"
#include "rest/world_test.h"

/* All modules that sessions need, auth the last. */
extern const struct module *const auth_modules[];

/* Somebody in a tenant. */
struct person {
	char tenant_name[2]; /* "a", "b": see world_tenant */
	struct uuid tenant, user;
};

/* Makes a user with a role ("" for none) in the tenant of `caller`, and the tenant if need be. */
struct person person_make(
	struct world *world, const char *caller, const char *email, const char *role);

/* Begins a session of theirs. `bundle` NULL: another browser. */
struct session_made person_sign_in(
	struct world *world, const struct person *person, const struct uuid *bundle);

/* The refresh token as the body of a request. At most 8 are good at a time. */
const char *refresh_body(struct str refresh);

/* Exchanges it; the answer's status. Tokens are copied to where they are wanted (NULL: not), which
 * has room for 8192 bytes. */
int refresh_by(struct world *world, struct str refresh, char *ret_access, char *ret_refresh);

/* The access token of a new session. At most 16 are good at a time. */
enum { PERSON_TOKENS_MAX = 16 };
const char *person_token(struct world *world, const struct person *person);

#endif
