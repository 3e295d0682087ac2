/* email:send: a job becomes a mail, in one commit, to the tenant's own people. On both engines. */
#include "modules/users/users.h"

#include "modules/audit/audit.h"
#include "modules/jobs/jobs.h"
#include "modules/jobs/jobs_threads_test.h"
#include "modules/mails/mails_fixture_test.h"
#include "modules/rbac/rbac.h"
#include "modules/tenants/tenants.h"
#include "modules/users/users_fixture_test.h"
#include "observe/clock.h"
#include "rest/idempotency.h"

#include <stdio.h>

/* --- what has become of jobs ------------------------------------------------------------------ */

struct outcome {
	int64_t due, snoozed, refused;
};

/* clang-format off */
static const struct schema outcome_schema = SCHEMA(outcome, "Jobs of a tenant.",
	FIELD(outcome, due, "That wait or run."), FIELD(outcome, snoozed, "That put themselves off."),
	FIELD(outcome, refused, "That name the field and the rule."));
/* clang-format on */

static const struct statement outcome_get = STATEMENT("test_email_outcome",
	.sql = "SELECT count(CASE WHEN state IN ('available', 'running') THEN 1 END) AS due, "
	       "count(CASE WHEN state = 'scheduled' THEN 1 END) AS snoozed, "
	       "(SELECT count(*) FROM job_error WHERE tenant_id = :tenant AND message LIKE "
	       "'to: must be the proved address of%') AS refused "
	       "FROM job WHERE tenant_id = :tenant AND queue = 'email'",
	.out = &outcome_schema);

static const struct statement *const statements[] = { &outcome_get };

static const struct module outcome_module = {
	MODULE_HEAD,
	.name = "email-outcome",
	.statements = statements,
	.statement_count = LEN(statements),
};

static const struct module *const modules[] = { &rest_module, &tenants_module, &audit_module,
	&rbac_module, &jobs_module, &mails_module, &mail_fixture_module, &users_module,
	&outcome_module, NULL };

static int read_outcome(const struct db *db, void *arg)
{
	return db_one(db, &outcome_get, NULL, arg);
}

/* Does the jobs of a caller's tenant. */
static struct outcome work_off(struct world *world, const char *caller)
{
	uint64_t until = clock_now_ns() + 50 * SECOND;
	struct outcome outcome = { 0 };

	jobs_threads_start(world);
	do
		world_do(world, caller, read_outcome, &outcome);
	while (outcome.due > 0 && clock_now_ns() < until);
	jobs_threads_stop();
	EXPECT_INT(outcome.due, 0);
	return outcome;
}

/* --- adding -------------------------------------------------------------------------------------
 */

static int add_in_tx(struct tx *tx, void *arg)
{
	struct job_new job = { .name = S("email:send"), .payload = str_from_c(arg) };

	return tx_enqueue(tx, &job, NULL);
}

static int add_text(const struct db *db, void *arg)
{
	return db_write(db, add_in_tx, arg);
}

static int add_bad(const struct db *db, void *arg)
{
	EXPECT_INT(db_write(db, add_in_tx, arg), -ERR_INVALID);
	return 0;
}

static void add(struct world *world, const char *caller, const char *to)
{
	char text[500];

	(void)snprintf(text, sizeof(text),
		"{\"kind\":\"invoice\",\"to\":\"%s\",\"name\":\"Jo\",\"tenantName\":\"Acme\","
		"\"link\":\"https://example.org/invoices/7\",\"detail\":\"Number 7\\n12.50 EUR\"}",
		to);
	world_do(world, caller, add_text, text);
}

static int prove_in_tx(struct tx *tx, void *arg)
{
	return user_verified_in_tx(tx, arg, NULL);
}

static int prove(const struct db *db, void *arg)
{
	return db_write(db, prove_in_tx, arg);
}

/* Who has proved the address, who has not, and a stranger. */
static void begin(struct world *world)
{
	struct uuid amy = world_user(S("amy"));

	REQUIRE(job_kind_declare(NULL, &email_send) == 0);
	world_make_user(world, "amy", "");
	world_make_user(world, "adam", "");
	world_make_user(world, "bert", "");
	world_do(world, "amy", prove, &amy);
}

/* --- who is mailed ---------------------------------------------------------------------- */

WORLD_TEST(email_jobs_become_mails, modules)
{
	const struct posted *posted;

	begin(world);
	world_do(world, "ada", add_bad, (void *)"{\"kind\":\"spam\",\"to\":\"jo@example.org\"}");
	world_do(world, "ada", add_bad, (void *)"{\"kind\":\"alert\",\"to\":\"nobody\"}");
	add(world, "ada", "Amy@example.org");
	EXPECT_INT(work_off(world, "ada").refused, 0);
	posted = mail_posted(world, "ada", MAIL_INVOICE, "Amy@example.org");
	REQUIRE(posted->found);
	EXPECT_STR(str_from_c(posted->link), S("https://example.org/invoices/7"));
	EXPECT_STR(str_from_c(posted->detail), S("Number 7\n12.50 EUR"));
	EXPECT_STR(str_from_c(posted->tenant_name), S("Acme"));
	EXPECT_INT(mail_posted_count(world, "ada", MAIL_INVOICE, "Amy@example.org"), 1);
}

WORLD_TEST(email_jobs_mail_the_tenants_own_people, modules)
{
	static const char *const others[] = { "adam@example.org", "bert@example.org",
		"jo@example.com" };

	begin(world);
	for (size_t i = 0; i < LEN(others); i++)
		add(world, "ada", others[i]);
	EXPECT_INT(work_off(world, "ada").refused, LEN(others));
	for (size_t i = 0; i < LEN(others); i++)
		EXPECT_INT(mail_posted_count(world, "ada", MAIL_INVOICE, others[i]), 0);
}

static void mail_anyone(struct world *world)
{
	begin(world);
	add(world, "ada", "jo@example.com");
	EXPECT_INT(work_off(world, "ada").refused, 0);
	EXPECT_INT(mail_posted_count(world, "ada", MAIL_INVOICE, "jo@example.com"), 1);
}

static void run_with_anyone(enum engine_kind engine)
{
	const struct users_options options = { .app_url = S("http://localhost:3000"),
		.email_anyone = true };

	REQUIRE(users_configure(&options) == 0);
	world_run(engine, modules, mail_anyone);
}

TEST_SLOW(email_jobs_mail_anyone_where_that_is_allowed_sqlite, 60)
{
	run_with_anyone(ENGINE_SQLITE);
}

TEST_SLOW(email_jobs_mail_anyone_where_that_is_allowed_postgres, 60)
{
	run_with_anyone(ENGINE_POSTGRES);
}

/* --- a crowd ---------------------------------------------------------------------------- */

static int crowd_in_tx(struct tx *tx, void *arg)
{
	int r = 0;

	(void)arg;
	for (int i = 0; i < 500 && r == 0; i++) { /* to one address some would be dropped */
		struct mail_post post = { .kind = MAIL_WELCOME };

		post.to = arena_printf(tx_arena(tx), "jo%d@example.org", i);
		REQUIRE(post.to.at);
		r = mail_post_in_tx(tx, &post);
	}
	return r;
}

static int crowd(const struct db *db, void *arg)
{
	return db_write(db, crowd_in_tx, arg);
}

/* They wait in their own queue, not before the mails that somebody waits for. */
WORLD_TEST(email_jobs_wait_while_mails_do, modules)
{
	begin(world);
	world_do(world, "ada", crowd, NULL);
	add(world, "ada", "amy@example.org");
	EXPECT_INT(work_off(world, "ada").snoozed, 1);
	EXPECT_INT(mail_posted_count(world, "ada", MAIL_INVOICE, "amy@example.org"), 0);
}
