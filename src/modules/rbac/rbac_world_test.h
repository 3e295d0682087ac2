/* A world with things that rights are about, and users with roles in it. */
#ifndef RBAC_WORLD_TEST_H
#define RBAC_WORLD_TEST_H

#include "modules/rbac/rbac_internal.h"
#include "rest/world_test.h"

extern const struct module *const rbac_world[];

/* Of "/look", "/work", "/users", "/keys", "/tenant", "/operate", "/self" and "/public", which want
 * a right each, the first letters of those that are open to a caller. Good until the next call. */
const char *world_doors(struct world *world, const char *caller);

/* "X-Key: jobs:* roles:write" makes a request one of a secret key of the caller with these scopes,
 * whatever the caller has itself. */

/* Makes a user, with a role (NULL: none), as other modules do it. What rbac_grant_in_tx says. */
int world_give(struct world *world, const char *name, const char *role);

/* The path of a user's roles, for a request: "PUT /api/v1/users/ID/roles". One at a time. */
const char *world_roles_path(const char *method, const char *name);

/* What a user may do, from memory. */
struct rights world_rights(struct world *world, const char *name);

/* Takes a role from all who have it in the caller's tenant, and tells nobody. */
void world_take_silently(struct world *world, const char *caller, const char *role);

/* How many rows of the caller's tenant have this in that column: audit entries by action, events by
 * type. */
int64_t world_audits(struct world *world, const char *caller, const char *action);
int64_t world_events(struct world *world, const char *caller, const char *type);

#endif
