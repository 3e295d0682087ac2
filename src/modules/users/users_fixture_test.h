/* For the tests of those who need users: the callers of the world as rows. */
#ifndef USERS_FIXTURE_TEST_H
#define USERS_FIXTURE_TEST_H

#include "modules/users/users.h"
#include "rest/world_test.h"

/* Makes the user that a caller of that name is, named so, with the address NAME@example.org and a
 * role ("": none). Needs audit, rbac and users. */
void world_make_user(struct world *world, const char *name, const char *role);

#endif
