/* email:send: a job becomes a mail, in one commit. On both engines. */
#include "modules/mails/mails.h"

#include "http/server.h"
#include "modules/audit/audit.h"
#include "modules/jobs/jobs_fixture_test.h"
#include "modules/jobs/jobs_internal.h"
#include "modules/jobs/jobs_work.h"
#include "modules/mails/mails_fixture_test.h"
#include "observe/clock.h"

static const struct module *const modules[] = { &audit_module, &tenant_tables_module, &jobs_module,
	&mails_module, &mail_fixture_module, NULL };

static const char invoice[] =
	"{\"kind\":\"invoice\",\"to\":\"jo@example.org\",\"name\":\"Jo\",\"tenantName\":\"Acme\","
	"\"link\":\"https://example.org/invoices/7\",\"detail\":\"Number 7\\n12.50 EUR\"}";

static int add_in_tx(struct tx *tx, void *arg)
{
	struct job_new job = { .name = S("email:send"), .payload = str_from_c(arg) };

	return tx_enqueue(tx, &job, NULL);
}

static int add(const struct db *db, void *arg)
{
	return db_write_with(db, &jobs_adding, add_in_tx, arg);
}

static int add_bad(const struct db *db, void *arg)
{
	EXPECT_INT(db_write_with(db, &jobs_adding, add_in_tx, arg), -ERR_INVALID);
	return 0;
}

WORLD_TEST(jobs_become_mails, modules)
{
	static struct server server = { .limits.request_memory = 16 * MEGABYTE };
	static const struct jobs_options options = { .work = true };
	uint64_t until = clock_now_ns() + 20 * SECOND;
	const struct posted *posted;

	server.store = world->store;
	REQUIRE(job_kind_declare(&server, &email_send) == 0);
	world_do(world, "ada", add_bad, (void *)"{\"kind\":\"spam\",\"to\":\"jo@example.org\"}");
	world_do(world, "ada", add_bad, (void *)"{\"kind\":\"alert\",\"to\":\"nobody\"}");
	jobs_configure(&options);
	REQUIRE(jobs_start(&server) == 0);
	world_do(world, "ada", add, (void *)invoice);
	do
		posted = mail_posted(world, "ada", MAIL_INVOICE, "jo@example.org");
	while (!posted->found && clock_now_ns() < until);
	jobs_stop();
	REQUIRE(posted->found);
	EXPECT_STR(str_from_c(posted->link), S("https://example.org/invoices/7"));
	EXPECT_STR(str_from_c(posted->detail), S("Number 7\n12.50 EUR"));
	EXPECT_STR(str_from_c(posted->tenant_name), S("Acme"));
	EXPECT_INT(mail_posted_count(world, "ada", MAIL_INVOICE, "jo@example.org"), 1);
}
