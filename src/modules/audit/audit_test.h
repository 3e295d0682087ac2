/* What the tests of this module share: entries to be written, and a clock that can be set ahead. */
#ifndef AUDIT_TEST_H
#define AUDIT_TEST_H

#include "modules/audit/audit_internal.h"

#include "rest/world_test.h"

struct subject {
	struct str id, email, password;
	int64_t age;
};

/* Compiled by the test module. */
extern const struct schema subject_schema;

/* audit_module and what it needs; statements of tests, too. Ends with NULL. */
extern const struct module *const audit_world[];

/* What is written; for world_do(world, caller, audit_write_some, &some). */
struct some {
	struct audit_actor actor;
	struct audit_entry entry;
	size_t count;
};
int audit_write_some(const struct db *db, void *arg);

/* An entry about a user with personal data, from an address. */
struct some audit_some(size_t count);

/* These run on any handle. */
int audit_chain_all(const struct db *db, void *arg);

/* Verifies all; arg is a struct audit_verdict. */
struct audit_verdict {
	struct audit_heads *heads;  /* NULL: none */
	struct audit_report report; /* without the findings */
	size_t kinds[FINDING_KINDS];
	int64_t first; /* sequence of the first finding */
};
int audit_verify_all(const struct db *db, void *arg);
struct audit_verdict audit_verdict_of(struct world *world, struct audit_heads *heads);

#endif
