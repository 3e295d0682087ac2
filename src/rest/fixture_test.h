/* Databases that earlier versions have made: in tests/fixtures, NAME.db and NAME.sql (a dump of
 * PostgreSQL). The same steps make them and read them. */
#ifndef REST_FIXTURE_TEST_H
#define REST_FIXTURE_TEST_H

#include "rest/world_test.h"

/* Makes one with `make`, looks at it with `look` on a second start, and writes it to the folder of
 * WRITE_FIXTURES, if that is set, under `name`. */
void fixture_try(enum engine_kind engine, const struct module *const *modules, const char *name,
	void (*make)(struct world *), void (*look)(struct world *));

/* Opens those of tests/fixtures/FOLDER ("" for itself), each in a process of its own, with this
 * program, and looks at them. */
void fixtures_open(enum engine_kind engine, const struct module *const *modules, const char *folder,
	void (*look)(struct world *));

#endif
