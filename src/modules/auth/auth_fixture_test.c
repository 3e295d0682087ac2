/* People who are signed in, for tests. */
#include "modules/auth/auth_fixture_test.h"

#include "http/server.h"
#include "modules/audit/audit.h"
#include "modules/jobs/jobs.h"
#include "modules/mails/mails.h"
#include "modules/rbac/rbac.h"
#include "modules/tenants/tenants_world_test.h"
#include "rest/idempotency.h"

#include <stdio.h>

/* The hook of auth, and X-Fault. */
static int (*former)(struct req *, struct caller *);

static int identify(struct req *req, struct caller *ret)
{
	world_arm(req);
	return former(req, ret);
}

static int open_fixture(struct server *server)
{
	former = server->hooks.identify;
	server->hooks.identify = identify;
	return 0;
}

static const struct module fixture_module = {
	MODULE_HEAD,
	.name = "auth-fixture",
	.open = open_fixture,
};

const struct module *const auth_modules[] = { &rest_module, &tenants_module, &audit_module,
	&rbac_module, &jobs_module, &mails_module, &users_module, &auth_module,
	&tenant_fixture_module, &fixture_module, NULL };

/* --- people --------------------------------------------------------------- */

struct making {
	struct user_new new;
	struct str role;
	struct uuid user;
};

static int make_in_tx(struct tx *tx, void *arg)
{
	struct making *making = arg;
	struct user user;
	int r = user_create_in_tx(tx, &making->new, &user);

	if (r < 0)
		return r;
	REQUIRE(uuid_parse(user.id, &making->user));
	return making->role.len ? rbac_grant_in_tx(tx, &making->user, making->role)
				: rbac_add_in_tx(tx, &making->user);
}

static int make(const struct db *db, void *arg)
{
	return db_write(db, make_in_tx, arg);
}

struct person person_make(
	struct world *world, const char *caller, const char *email, const char *role)
{
	struct making making = { .new = { .email = str_from_c(email), .name = S("Some One") },
		.role = str_from_c(role) };
	struct person person = { .tenant_name = { *caller }, .tenant = world_tenant(caller) };
	char slug[] = "tenant-a";

	slug[sizeof(slug) - 2] = *caller;
	if (*caller != 'o')
		world_make_tenant(world, person.tenant_name, slug);
	world_do(world, person.tenant_name, make, &making);
	person.user = making.user;
	return person;
}

struct beginning {
	struct session_new new;
	struct session_made made;
};

static int begin_in_tx(struct tx *tx, void *arg)
{
	struct beginning *beginning = arg;

	return session_begin_in_tx(tx, &beginning->new, &beginning->made);
}

static int begin(const struct db *db, void *arg)
{
	return db_write(db, begin_in_tx, arg);
}

struct session_made person_sign_in(
	struct world *world, const struct person *person, const struct uuid *bundle)
{
	struct beginning beginning = { .new = { .user = &person->user,
					       .bundle = bundle,
					       .user_agent = S("Test/1.0"),
					       .address = S("192.0.2.7") } };

	world_do(world, person->tenant_name, begin, &beginning);
	return beginning.made;
}

/* --- tokens --------------------------------------------------------------- */

const char *refresh_body(struct str refresh)
{
	static char texts[8][512];
	static size_t next;
	char *text = texts[next++ % LEN(texts)];

	(void)snprintf(text, sizeof(texts[0]), "{\"refreshToken\":\"%.*s\"}", STR_ARG(refresh));
	return text;
}

static void copy_text(const struct answer *answer, const char *member, char *to)
{
	char name[100];
	ptrdiff_t at;
	struct str rest;

	(void)snprintf(name, sizeof(name), "\"%s\":\"", member);
	at = str_find(answer->body, str_from_c(name));
	REQUIRE(at >= 0);
	rest = str_from(answer->body, (size_t)at + strlen(name));
	rest = str_cut(&rest, '"');
	REQUIRE(rest.len < 8192);
	memcpy(to, rest.at, rest.len);
	to[rest.len] = '\0';
}

int refresh_by(struct world *world, struct str refresh, char *ret_access, char *ret_refresh)
{
	struct answer answer =
		world_call(world, NULL, "POST /api/v1/auth/refresh", "", refresh_body(refresh));

	if (answer.status == 200 && ret_access)
		copy_text(&answer, "accessToken", ret_access);
	if (answer.status == 200 && ret_refresh)
		copy_text(&answer, "refreshToken", ret_refresh);
	return answer.status;
}

const char *person_token(struct world *world, const struct person *person)
{
	struct session_made made = person_sign_in(world, person, NULL);
	static char texts[PERSON_TOKENS_MAX][8192];
	static size_t next;
	char *access = texts[next++ % PERSON_TOKENS_MAX];

	REQUIRE(refresh_by(world, str_of(made.refresh, REFRESH_LEN), access, NULL) == 200);
	return access;
}
