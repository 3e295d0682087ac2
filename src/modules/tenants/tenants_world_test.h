/* For the tests of those who need tenants: those of the callers of the world as rows. */
#ifndef TENANTS_WORLD_TEST_H
#define TENANTS_WORLD_TEST_H

#include "rest/world_test.h"

/* Makes the tenant of a caller, with that slug, which is its name, too; when it is there already,
 * it stays as it is. Needs tenants_module and tenant_fixture_module in the world. */
void world_make_tenant(struct world *world, const char *caller, const char *slug);

extern const struct module tenant_fixture_module;

#endif
