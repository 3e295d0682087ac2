/* Users and invitations over HTTP and in transactions, on both engines. */
#include "modules/users/users_internal.h"

#include "modules/mails/mails_fixture_test.h"
#include "modules/tenants/tenants.h"
#include "rest/idempotency.h"

static const struct module *const modules[] = { &rest_module, &tenants_module, &mails_module,
	&mail_fixture_module, &users_module, NULL };

static int create_in_tx(struct tx *tx, void *arg)
{
	const struct user_new *in = arg;
	struct user user, again;
	struct uuid id;
	struct mail_post post = { .kind = MAIL_WELCOME, .to = in->email, .name = in->name };
	int r = user_create_in_tx(tx, in, &user);

	if (r < 0)
		return r;
	EXPECT_INT(user_by_email_in_tx(tx, S("ADA@example.com"), &again), 0);
	EXPECT_STR(again.id, user.id);
	EXPECT_STR(again.name, S("Ada"));
	REQUIRE(uuid_parse(user.id, &id));
	EXPECT_INT(user_get_in_tx(tx, &id, &again), 0);
	EXPECT(again.email_verified_at.set == false);
	EXPECT_INT(user_verified_in_tx(tx, &id, NULL), 0);
	EXPECT_INT(user_get_in_tx(tx, &id, &again), 0);
	EXPECT(again.email_verified_at.set && again.version == 2);
	return mail_post_in_tx(tx, &post);
}

static int create(const struct db *db, void *arg)
{
	return db_write(db, create_in_tx, arg);
}

WORLD_TEST(users_smoke, modules)
{
	struct user_new in = { .email = S("Ada@Example.com"), .name = S(" Ada ") };

	world_do(world, "ada", create, &in);
	EXPECT(mail_posted(world, "ada", MAIL_WELCOME, "Ada@Example.com")->found);
}
