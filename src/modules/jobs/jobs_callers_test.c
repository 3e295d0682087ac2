/* Which roles may call the functions for other programs' transactions. */
#include "modules/jobs/jobs_callers.h"

#include "base/err.h"
#include "modules/jobs/jobs_admin_fixture_test.h"
#include "store/store.h"

static const struct audit_actor program = { .kind = AUDIT_PROGRAM };

static size_t listed(const struct db *db, struct job_caller **ret)
{
	size_t count = 0;

	*ret = NULL;
	REQUIRE(job_callers_get(db, ret, &count) == 0);
	return count;
}

static void on_postgres(const struct db *db, const struct uuid *tenant)
{
	char long_name[JOB_ROLE_MAX + 1];
	struct job_caller *rows;

	EXPECT_INT(job_caller_grant(db, &program, S("billing"), tenant), 0);
	EXPECT_INT(job_caller_grant(db, &program, S("Any One"), NULL), 0);
	REQUIRE(listed(db, &rows) == 2);
	EXPECT_STR(rows[0].role, S("Any One"));
	EXPECT_STR(rows[0].acts_as, S("any"));
	EXPECT_STR(rows[1].role, S("billing"));
	EXPECT_STR(rows[1].acts_as, uuid_text(db->arena, tenant));

	/* changed, taken away, and not twice */
	EXPECT_INT(job_caller_grant(db, &program, S("billing"), NULL), 0);
	REQUIRE(listed(db, &rows) == 2);
	EXPECT_STR(rows[1].acts_as, S("any"));
	EXPECT_INT(job_caller_revoke(db, &program, S("billing")), 0);
	EXPECT_INT(job_caller_revoke(db, &program, S("billing")), -ERR_NOT_FOUND);
	EXPECT_INT(listed(db, &rows), 1);

	memset(long_name, 'r', sizeof(long_name));
	EXPECT_INT(job_caller_grant(db, &program, S(""), NULL), -ERR_INVALID);
	EXPECT_STR(str_from_c(err_last()->field), S("role"));
	EXPECT_INT(job_caller_grant(db, &program, S("a\nb"), NULL), -ERR_INVALID);
	EXPECT_INT(job_caller_grant(db, &program, str_of(long_name, sizeof(long_name)), NULL),
		-ERR_INVALID);
	EXPECT_INT(job_caller_grant(db, &program, str_of(long_name, JOB_ROLE_MAX), NULL), 0);
}

static int look(const struct db *db, void *arg)
{
	struct db system = db_of_system(db->store, db->arena);
	struct job_caller *rows;
	size_t count;

	(void)arg;
	if (!store_is_sqlite(db->store)) {
		on_postgres(&system, &db->tenant);
		return 0;
	}
	EXPECT_INT(job_callers_get(&system, &rows, &count), -ERR_INVALID);
	EXPECT_INT(job_caller_grant(&system, &program, S("billing"), NULL), -ERR_INVALID);
	EXPECT_INT(job_caller_revoke(&system, &program, S("billing")), -ERR_INVALID);
	EXPECT(str_find(str_from_c(err_text()), S("PostgreSQL")) >= 0);
	return 0;
}

WORLD_TEST(roles_that_may_add_jobs_are_listed, jobs_world)
{
	world_do(world, "ada", look, NULL);
}
