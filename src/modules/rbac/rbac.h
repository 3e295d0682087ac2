/*
 * Rights: what a caller may do. A right is a text "resource:action"; the routes and the modules say
 * which there are, roles are sets of them, and users have roles in their tenant.
 */
#ifndef RBAC_H
#define RBAC_H

#include "crypto/uuid.h"
#include "http/module.h"
#include "schema/schema.h"
#include "store/db.h"

#pragma GCC visibility push(default)

enum {
	RIGHTS_MAX = 512,    /* that there are */
	RIGHT_TEXT_MAX = 64, /* bytes */
	ROLES_OF_USER_MAX = 16,
};

/* A set. What authorize() asks (struct caller's rights). */
struct rights {
	uint64_t bits[RIGHTS_MAX / 64];
};

/* The topic of notices (store/notice.h) when what a user may do has changed. The key is the id of
 * the user, or RBAC_ALL: of all users of the tenant. */
#define RBAC_TOPIC "rbac"
#define RBAC_ALL   "*"

struct texts {
	struct str *at;
	size_t count;
};

/* A right that no route needs but code asks for; from a module's open, after rbac's. The text is
 * copied. -ERR_INVALID for what is not resource:action, -ERR_FULL. */
int right_declare(struct str right);

/* Whether the set holds a right; false for one that there is not. */
bool rights_has(const struct rights *rights, struct str right);

/* Whether all of `part` are in `whole`. */
bool rights_within(const struct rights *part, const struct rights *whole);

void rights_intersect(struct rights *rights, const struct rights *with);

/* Adds what a pattern stands for: "jobs:read", "jobs:*", "*:read" and "*" (all but platform:).
 * -ERR_INVALID for a pattern that stands for nothing. */
int rights_add(struct rights *rights, struct str pattern);

/*
 * What a user may do, and the names of the roles, from memory. Names live in the arena. No rights
 * and no roles when the user has none or is not active. On a fiber, outside of transactions; errors
 * of the store.
 */
int rbac_rights(struct store *store, const struct uuid *tenant, const struct uuid *user,
	struct arena *arena, struct rights *ret, struct texts *ret_roles);

/* The rights of who asks: a user's, or a key's. None for nobody, and on public routes, where nobody
 * asked for them. */
const struct rights *req_rights(const struct req *req);

#pragma GCC visibility pop

/* --- in transactions of the user's tenant -------------------------------------------- */

/* There is such a user from now on, active, without a role. Whoever makes a user calls this or
 * rbac_grant_in_tx: who was never told of has no rights, not even account:self. Again: nothing. */
int rbac_add_in_tx(struct tx *tx, const struct uuid *user);

/* Gives a role, built-in or custom, without asking who gives it: for sign-up and invitations.
 * -ERR_NOT_FOUND for no such role, -ERR_FULL. */
int rbac_grant_in_tx(struct tx *tx, const struct uuid *user, struct str role);

/* Whether the giver, whose rights these are, may give a role: nobody gives what they lack.
 * -ERR_FORBIDDEN, -ERR_NOT_FOUND. */
int rbac_may_grant_in_tx(struct tx *tx, const struct rights *giver, struct str role);

/* Whether somebody with these rights may suspend, change or delete that user, who then must not
 * have more of them. -ERR_FORBIDDEN. */
int rbac_may_touch_in_tx(struct tx *tx, const struct rights *by, const struct uuid *user);

/* The user is suspended, or active again: counts no more as an owner and has no rights.
 * -ERR_CONFLICT for the last owner. */
int rbac_set_active_in_tx(struct tx *tx, const struct uuid *user, bool active);

/* The user goes. -ERR_CONFLICT for the last owner. */
int rbac_forget_in_tx(struct tx *tx, const struct uuid *user);

/* --- the catalogue ------------------------------------------------------------------- */

/* The rights that there are, in the order of their texts. */
size_t rights_count(void);
struct str right_at(size_t position);

/* For who has no server: a catalogue with no rights but the module's own, and those that routes
 * need. RIGHT_PUBLIC and RIGHT_SELF are none: no role and no pattern holds them. -ERR_INVALID,
 * -ERR_FULL. */
int rights_begin(void);
int rights_of_routes(const struct route *routes, size_t count);

/* The built-in roles that have a right, the strongest first; those of the tenant of the
 * installation for platform:. All of them for RIGHT_SELF, none for RIGHT_PUBLIC. */
enum { BUILT_IN_ROLES_MAX = 8 };
size_t right_roles(struct str right, struct str ret[BUILT_IN_ROLES_MAX]);

/* Members of an object for who reads the API's document (http/openapi.h): the built-in roles that
 * have the right, and for platform: in which tenant. Nothing for a right that there is not. */
void right_write(struct str right, struct json_writer *writer);

extern const struct module rbac_module;

#endif
