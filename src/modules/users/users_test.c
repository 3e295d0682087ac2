/*
 * Users and invitations over HTTP and in transactions, on both engines: what each may do, that
 * nobody goes beyond their rights or into another tenant, that an invitation works once.
 */
#include "modules/users/users_internal.h"

#include "modules/jobs/jobs.h"
#include "modules/mails/mails_fixture_test.h"
#include "modules/tenants/tenants.h"
#include "modules/tenants/tenants_world_test.h"
#include "modules/users/users_fixture_test.h"
#include "observe/clock_test.h"
#include "rest/idempotency.h"

#include <stdio.h>

/* --- rules ------------------------------------------------------------------------------- */

TEST(user_names_are_cleaned)
{
	static char longest[USER_NAME_MAX + 1];
	static const struct {
		struct str in;
		const char *out; /* NULL: refused, with that rule */
		const char *rule;
	} cases[] = {
		{ S_INIT("Ada"), "Ada", NULL },
		{ S_INIT("  Ada  Lovelace "), "Ada  Lovelace", NULL },
		{ S_INIT("\xe3\x80\x80\xe5\xb1\xb1\xc2\xa0"), "\xe5\xb1\xb1", NULL },
		{ S_INIT("\xf0\x9f\x98\x80"), "\xf0\x9f\x98\x80", NULL },
		{ S_INIT(""), NULL, "too_short" },
		{ S_INIT(" \xe2\x80\x83 "), NULL, "too_short" },
		{ S_INIT("a\tb"), NULL, "control_character" },
		{ S_INIT("a\n"), NULL, "control_character" },
		{ S_INIT("a\xc2\x85"), NULL, "control_character" },
		{ S_INIT("a\xe2\x80\xa8"), NULL, "control_character" },
		{ S_INIT("a\xe2\x80\xae"), NULL, "control_character" },
		{ S_INIT("a\x7f"), NULL, "control_character" },
		{ S_INIT("a\xff"), NULL, "invalid_text" },
	};
	struct str out;

	for (size_t i = 0; i < LEN(cases); i++) {
		int r = user_clean_name(cases[i].in, &out);

		EXPECT_INT(r, cases[i].out ? 0 : -ERR_INVALID);
		if (r == 0)
			EXPECT_STR(out, str_from_c(cases[i].out));
		else
			EXPECT_STR(str_from_c(err_last()->rule), str_from_c(cases[i].rule));
	}
	memset(longest, 'x', sizeof(longest));
	EXPECT_INT(user_clean_name(str_of(longest, USER_NAME_MAX), &out), 0);
	EXPECT_INT(user_clean_name(str_of(longest, sizeof(longest)), &out), -ERR_INVALID);
}

/* Cleaning what is clean changes nothing, and what comes out never begins or ends with a space. */
TEST(user_names_stay_clean)
{
	static const char *const pieces[] = { " ", "a", "\xc2\xa0", "\xe3\x80\x80", "\xc3\xa4",
		"b c" };
	uint64_t seed = 7;

	for (int round = 0; round < 2000; round++) {
		char text[64] = "";
		struct str once, twice;

		for (uint64_t n = test_random(&seed) % 8; n > 0; n--)
			strcat(text, pieces[test_random(&seed) % LEN(pieces)]);
		if (user_clean_name(str_from_c(text), &once) < 0)
			continue;
		REQUIRE(user_clean_name(once, &twice) == 0);
		EXPECT_STR(once, twice);
		EXPECT(once.at[0] != ' ' && once.at[once.len - 1] != ' ');
	}
}

TEST(invitation_texts)
{
	static const char *const none[] = { "", "bh_in_", "bh_in_aaaa", "bh_rt_aaaa" };
	struct invitation_ref ref;

	for (size_t i = 0; i < LEN(none); i++)
		EXPECT(!invitation_read(str_from_c(none[i]), &ref));
}

TEST(users_options)
{
	static const struct {
		struct str url;
		int result;
	} cases[] = { { S_INIT("https://app.example"), 0 }, { S_INIT("https://x.example/app"), 0 },
		{ S_INIT("https://x.example/"), -ERR_INVALID }, { S_INIT("app"), -ERR_INVALID },
		{ S_INIT(""), -ERR_INVALID } };

	for (size_t i = 0; i < LEN(cases); i++)
		EXPECT_INT(
			users_configure(&(struct users_options){ cases[i].url }), cases[i].result);
	EXPECT_STR(users_app_url(), S("https://x.example/app"));
}

/* --- a module that keeps things of users ------------------------------------------------------ */

struct line {
	struct str text;
};

/* clang-format off */
static const struct schema line_schema = SCHEMA(line, "A line of text.",
	FIELD(line, text, "As it is."));
/* clang-format on */

static const struct statement audit_lines = STATEMENT("test_user_audit",
	.sql = "SELECT action AS text FROM audit WHERE tenant_id = :tenant ORDER BY id",
	.out = &line_schema);
static const struct statement erasure_lines = STATEMENT("test_user_erasures",
	.sql = "SELECT 'erased' AS text FROM audit_erasure WHERE tenant_id = :tenant",
	.out = &line_schema);
static const struct statement event_lines = STATEMENT("test_user_events",
	.sql = "SELECT type AS text FROM outbox WHERE tenant_id = :tenant ORDER BY position",
	.out = &line_schema);
static const struct statement tenant_suspend = STATEMENT("test_user_tenant_suspend",
	.sql = "UPDATE main.tenant SET status = 'suspended' WHERE tenant_id = :tenant");

static const struct statement *const statements[] = { &audit_lines, &erasure_lines, &event_lines,
	&tenant_suspend };

static _Atomic int suspended, deleted, refuses;

static int hear_suspended(struct tx *tx, const struct uuid *user)
{
	(void)tx, (void)user;
	suspended++;
	return 0;
}

static int hear_deleted(struct tx *tx, const struct uuid *user)
{
	(void)tx, (void)user;
	deleted++;
	return refuses ? fail(ERR_CONFLICT, "not now") : 0;
}

static int export(struct tx *tx, const struct uuid *user, struct json_writer *writer)
{
	(void)tx, (void)user;
	json_write_string(writer, S("a thing"));
	return 0;
}

static int open_things(struct server *server)
{
	static struct user_watcher watcher = {
		.suspended = hear_suspended,
		.deleted = hear_deleted,
		.export_name = "things",
		.export = export,
	};

	(void)server;
	users_watch(&watcher);
	return 0;
}

static const struct module things_module = {
	MODULE_HEAD,
	.name = "things",
	.statements = statements,
	.statement_count = LEN(statements),
	.open = open_things,
};

static const struct module *const modules[] = { &rest_module, &tenants_module, &audit_module,
	&rbac_module, &jobs_module, &mails_module, &mail_fixture_module, &users_module,
	&tenant_fixture_module, &things_module, NULL };

/* --- helpers -------------------------------------------------------------- */

struct lines {
	const struct statement *statement;
	char text[4000]; /* a space behind each */
};

static int read_lines(const struct db *db, void *arg)
{
	struct lines *lines = arg;
	struct line *at;
	size_t count;
	int r = db_all(db, lines->statement, NULL, &at, &count);

	for (size_t i = 0; i < count && r == 0; i++)
		(void)snprintf(lines->text + strlen(lines->text),
			sizeof(lines->text) - strlen(lines->text), "%.*s ", STR_ARG(at[i].text));
	return r;
}

static const char *lines_of(
	struct world *world, const char *caller, const struct statement *statement)
{
	static struct lines all;

	all = (struct lines){ statement, "" };
	world_do(world, caller, read_lines, &all);
	return all.text;
}

static const char *id_of(const char *name)
{
	static char texts[8][UUID_TEXT_LEN + 1];
	static size_t next;
	struct uuid id = world_user(str_from_c(name));
	char *text = texts[next++ % LEN(texts)];

	uuid_write(text, &id);
	text[UUID_TEXT_LEN] = '\0';
	return text;
}

/* "PATCH", "ada" (or an id), ... */
static struct answer call(struct world *world, const char *caller, const char *method,
	const char *path, const char *id, const char *headers, const char *body)
{
	char request[300];

	(void)snprintf(request, sizeof(request), "%s /api/v1/%s%s", method, path, id);
	return world_call(world, caller, request, headers, body);
}

/* anna owns, adam is an admin, amy a member, alex looks; bob owns another one. */
static void settle(struct world *world)
{
	static const char *const users[][2] = { { "anna", "owner" }, { "adam", "admin" },
		{ "amy", "member" }, { "alex", "viewer" }, { "bob", "owner" } };

	suspended = deleted = refuses = 0;
	world_make_tenant(world, "anna", "aa");
	world_make_tenant(world, "bob", "bb");
	for (size_t i = 0; i < LEN(users); i++)
		world_make_user(world, users[i][0], users[i][1]);
}

/* --- users ---------------------------------------------------------------- */

#define PATCH(name) "PATCH", "users/", name

WORLD_TEST(users_api, modules)
{
	static const struct {
		const char *title, *caller, *request, *body;
		int status;
		const char *contains;
	} cases[] = {
		{ "all", "anna", "GET /api/v1/users", NULL, 200, "\"name\":\"alex\"" },
		{ "without a tenant", "nemo", "GET /api/v1/users?limit=1", NULL, 403, "" },
		{ "nobody", NULL, "GET /api/v1/users", NULL, 401, "" },
		{ "by address", "adam", "GET /api/v1/users?email=AMY@example.org", NULL, 200,
			"\"email\":\"amy@example.org\"" },
		{ "no such address", "adam", "GET /api/v1/users?email=bob@example.org", NULL, 200,
			"\"items\":[]" },
		{ "no address", "adam", "GET /api/v1/users?email=amy", NULL, 400, "invalid_email" },
		{ "by its beginning", "adam", "GET /api/v1/users?search=AL", NULL, 200,
			"alex@example.org" },
		{ "of others", "adam", "GET /api/v1/users?search=bob", NULL, 200, "\"items\":[]" },
		{ "not a pattern", "adam", "GET /api/v1/users?search=%25", NULL, 200,
			"\"items\":[]" },
		{ "by status", "adam", "GET /api/v1/users?status=suspended", NULL, 200,
			"\"items\":[]" },
		{ "no status", "adam", "GET /api/v1/users?status=gone", NULL, 400, "invalid_enum" },
		{ "in pages", "adam", "GET /api/v1/users?limit=2", NULL, 200, "nextCursor" },
		{ "none", "adam", "GET /api/v1/users/01900000-0000-7000-8000-00000000ffff", NULL,
			404, "" },
		{ "no id", "adam", "GET /api/v1/users/amy", NULL, 400, "invalid_uuid" },
	};

	settle(world);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct answer answer =
			world_call(world, cases[i].caller, cases[i].request, "", cases[i].body);

		test_note(answer.status == cases[i].status &&
				  str_find(answer.body, str_from_c(cases[i].contains)) >= 0,
			__FILE__, __LINE__, "%s: %d %.*s", cases[i].title, answer.status,
			STR_ARG(answer.body));
	}
}

WORLD_TEST(users_are_changed, modules)
{
	struct answer answer;

	settle(world);
	answer = call(world, "adam", PATCH(id_of("amy")), "If-Match: \"1\"\r\n",
		"{\"name\":\"  Amy B. \"}");
	EXPECT_INT(answer.status, 200);
	EXPECT_STR(str_from_c(answer_text(&answer, "name")), S("Amy B."));
	EXPECT_STR(str_from_c(answer_text(&answer, "version")), S("2"));
	answer = call(
		world, "adam", PATCH(id_of("amy")), "If-Match: \"1\"\r\n", "{\"name\":\"late\"}");
	EXPECT_INT(answer.status, 412);
	answer = call(world, "adam", PATCH(id_of("amy")), "", "{\"name\":\"Amy B.\"}");
	EXPECT_STR(str_from_c(answer_text(&answer, "version")), S("2"));
	answer = call(world, "adam", PATCH(id_of("amy")), "", "{\"name\":\"a\\u202eb\"}");
	EXPECT_INT(answer.status, 400);
	answer = call(world, "adam", PATCH(id_of("amy")), "", "{\"email\":\"x@y.example\"}");
	EXPECT_INT(answer.status, 400);

	/* of another tenant: not there */
	EXPECT_INT(call(world, "bob", PATCH(id_of("amy")), "", "{}").status, 404);
	EXPECT_INT(call(world, "bob", "GET", "users/", id_of("amy"), "", NULL).status, 404);
	EXPECT_INT(call(world, "bob", "DELETE", "users/", id_of("amy"), "", NULL).status, 404);
	EXPECT_INT(call(world, "alex", PATCH(id_of("amy")), "", "{}").status, 403);
	EXPECT_STR(str_from_c(lines_of(world, "anna", &event_lines)), S("user.updated "));
}

WORLD_TEST(users_are_suspended_and_deleted, modules)
{
	struct answer answer;

	settle(world);
	EXPECT_INT(world_get(world, "amy", "/api/v1/me").status, 200);
	answer = call(world, "adam", PATCH(id_of("amy")), "", "{\"status\":\"suspended\"}");
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(suspended, 1);
	EXPECT_INT(world_get(world, "amy", "/api/v1/me").status, 403);
	answer = call(world, "adam", PATCH(id_of("amy")), "", "{\"status\":\"active\"}");
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(suspended, 1);
	EXPECT_INT(world_get(world, "amy", "/api/v1/me").status, 200);

	refuses = 1; /* then all of it stays */
	EXPECT_INT(call(world, "adam", "DELETE", "users/", id_of("amy"), "", NULL).status, 409);
	EXPECT_INT(world_get(world, "amy", "/api/v1/me").status, 200);
	refuses = 0;
	EXPECT_INT(call(world, "adam", "DELETE", "users/", id_of("amy"), "", NULL).status, 204);
	EXPECT(deleted >= 2 && suspended >= 2);
	EXPECT_INT(world_get(world, "amy", "/api/v1/me").status, 403);
	EXPECT_INT(call(world, "adam", "GET", "users/", id_of("amy"), "", NULL).status, 404);
	EXPECT_INT(call(world, "adam", "DELETE", "users/", id_of("amy"), "", NULL).status, 404);
	EXPECT(strstr(lines_of(world, "anna", &audit_lines),
		       "user.suspended user.resumed user.deleted ") != NULL);
	EXPECT_STR(str_from_c(lines_of(world, "anna", &erasure_lines)), S("erased "));
	EXPECT_STR(str_from_c(lines_of(world, "anna", &event_lines)),
		S("user.updated user.updated user.deleted "));
}

/* Nobody touches who has more, nobody ends themselves here, and an owner stays. */
WORLD_TEST(users_keep_to_their_rights, modules)
{
	static const char *const suspend = "{\"status\":\"suspended\"}";

	settle(world);
	EXPECT_INT(call(world, "adam", PATCH(id_of("anna")), "", suspend).status, 403);
	EXPECT_INT(call(world, "adam", PATCH(id_of("anna")), "", "{\"name\":\"x\"}").status, 403);
	EXPECT_INT(call(world, "adam", "DELETE", "users/", id_of("anna"), "", NULL).status, 403);
	EXPECT(strstr(lines_of(world, "anna", &audit_lines), "access.denied") != NULL);
	EXPECT_INT(call(world, "adam", PATCH(id_of("adam")), "", suspend).status, 409);
	EXPECT_INT(call(world, "adam", "DELETE", "users/", id_of("adam"), "", NULL).status, 409);
	EXPECT_INT(call(world, "adam", PATCH(id_of("adam")), "", "{\"name\":\"A\"}").status, 200);

	/* a suspended owner has no rights, and still is none of the admin's business */
	world_make_user(world, "abby", "owner");
	EXPECT_INT(call(world, "anna", PATCH(id_of("abby")), "", suspend).status, 200);
	EXPECT_INT(call(world, "adam", "DELETE", "users/", id_of("abby"), "", NULL).status, 403);
	EXPECT_INT(call(world, "adam", PATCH(id_of("abby")), "", "{\"status\":\"active\"}").status,
		403);
	EXPECT_INT(call(world, "anna", "DELETE", "users/", id_of("abby"), "", NULL).status, 204);
}

/* --- oneself -------------------------------------------------------------- */

WORLD_TEST(me_api, modules)
{
	struct answer answer;

	settle(world);
	answer = world_get(world, "amy", "/api/v1/me");
	EXPECT_INT(answer.status, 200);
	EXPECT_STR(str_from_c(answer_text(&answer, "email")), S("amy@example.org"));
	EXPECT_STR(str_from_c(answer_text(&answer, "slug")), S("aa"));
	EXPECT(answer_count(&answer, "\"roles\":[\"member\"]") == 1);
	EXPECT(answer_count(&answer, "users:write") == 0);
	EXPECT(answer_count(&answer, "impersonator") == 0);
	answer = world_get(world, "adam", "/api/v1/me");
	EXPECT(answer_count(&answer, "\"users:write\"") == 1);
	EXPECT_INT(world_get(world, NULL, "/api/v1/me").status, 401);
	EXPECT_INT(world_get(world, "nemo", "/api/v1/me").status, 403);

	answer = call(
		world, "amy", "PATCH", "me", "", "If-Match: \"1\"\r\n", "{\"name\":\" Amy \"}");
	EXPECT_INT(answer.status, 200);
	EXPECT_STR(str_from_c(answer_text(&answer, "name")), S("Amy"));
	answer = call(
		world, "amy", "PATCH", "me", "", "", "{\"name\":\"Amy\",\"status\":\"active\"}");
	EXPECT_INT(answer.status, 400);
	EXPECT_INT(call(world, "amy", "PATCH", "me", "", "", "{}").status, 400);

	answer = world_get(world, "amy", "/api/v1/me/export");
	EXPECT_INT(answer.status, 200);
	EXPECT(answer_count(&answer, "\"email\":\"amy@example.org\"") == 1);
	EXPECT(answer_count(&answer, "\"roles\":[\"member\"],\"things\":\"a thing\"}") == 1);
	EXPECT(str_starts(answer.body, S("{\"exportedAt\":\"")));
	EXPECT_INT(world_get(world, "nemo", "/api/v1/me/export").status, 403);
}

/* --- invitations ---------------------------------------------------------- */

struct taking {
	struct invitation_ref ref;
	int result;
	struct user user;
	char id[UUID_TEXT_LEN + 1];
};

static int take_in_tx(struct tx *tx, void *arg)
{
	struct taking *taking = arg;
	int r = invitation_take_in_tx(tx, &taking->ref, S("New"), NULL, &taking->user);

	if (r == 0)
		(void)snprintf(taking->id, sizeof(taking->id), "%.*s", STR_ARG(taking->user.id));
	return r;
}

static int take(const struct db *db, void *arg)
{
	struct taking *taking = arg;

	taking->result = db_write(db, take_in_tx, taking);
	return 0;
}

/* Takes the invitation of a text; the id of the new user, or NULL. */
static const char *taken(struct world *world, const char *caller, const char *text)
{
	static struct taking taking;

	taking = (struct taking){ 0 };
	REQUIRE(invitation_read(str_from_c(text), &taking.ref));
	world_do(world, caller, take, &taking);
	EXPECT(taking.result == 0 || taking.result == -ERR_NOT_FOUND);
	return taking.result == 0 ? taking.id : NULL;
}

static struct answer invite(
	struct world *world, const char *caller, const char *to, const char *role)
{
	char body[200];

	(void)snprintf(body, sizeof(body), "{\"email\":\"%s\",\"role\":\"%s\"}", to, role);
	return call(world, caller, "POST", "invitations", "", "", body);
}

static const char *text_to(struct world *world, const char *to)
{
	static char texts[4][200];
	static size_t next;
	char *text = texts[next++ % LEN(texts)];
	const struct posted *posted = mail_posted(world, "anna", MAIL_INVITATION, to);

	REQUIRE(posted->found);
	(void)snprintf(text, sizeof(texts[0]), "%s", posted_token(posted));
	return text;
}

WORLD_TEST(invitations_become_users, modules)
{
	const struct posted *posted;
	const char *text, *id;
	struct answer answer;

	settle(world);
	REQUIRE(users_configure(&(struct users_options){ S("https://app.example") }) == 0);
	answer = invite(world, "adam", "new@example.org", "member");
	EXPECT_INT(answer.status, 201);
	EXPECT(answer_count(&answer, "bh_in_") == 0);
	EXPECT_STR(str_from_c(answer_text(&answer, "invitedBy")), str_from_c(id_of("adam")));
	posted = mail_posted(world, "anna", MAIL_INVITATION, "new@example.org");
	EXPECT(strstr(posted->link, "https://app.example/invitation?token=bh_in_") == posted->link);
	EXPECT_STR(str_from_c(posted->tenant_name), S("aa"));
	EXPECT_STR(str_from_c(posted->detail), S("adam has invited you."));
	answer = world_get(world, "adam", "/api/v1/invitations");
	EXPECT(answer_count(&answer, "new@example.org") == 1);
	EXPECT(answer_count(&answer, "hash") == 0);

	text = text_to(world, "new@example.org");
	EXPECT(taken(world, "bob", text) == NULL); /* not in another tenant */
	id = taken(world, "anna", text);
	REQUIRE(id);
	answer = call(world, "anna", "GET", "users/", id, "", NULL);
	EXPECT_STR(str_from_c(answer_text(&answer, "email")), S("new@example.org"));
	EXPECT(answer_count(&answer, "emailVerifiedAt") == 1);
	answer = world_get(world, "anna", "/api/v1/users/%s/roles", id);
	EXPECT(answer_count(&answer, "\"member\"") == 1);
	EXPECT(taken(world, "anna", text) == NULL);
	answer = world_get(world, "adam", "/api/v1/invitations");
	EXPECT(answer_count(&answer, "new@example.org") == 0);
	EXPECT_INT(invite(world, "adam", "NEW@example.org", "member").status, 409);
	EXPECT_STR(
		str_from_c(lines_of(world, "anna", &event_lines)), S("user.invited user.created "));
	EXPECT(strstr(lines_of(world, "anna", &audit_lines), "user.invited user.created ") != NULL);
}

WORLD_TEST(invitations_are_replaced_and_withdrawn, modules)
{
	const char *first, *second, *third;
	char id[UUID_TEXT_LEN + 1], resend[100];
	struct answer answer;

	settle(world);
	EXPECT_INT(invite(world, "anna", "new@example.org", "member").status, 201);
	first = text_to(world, "new@example.org");
	answer = invite(world, "anna", "NEW@example.org", "viewer");
	EXPECT_INT(answer.status, 201);
	(void)snprintf(id, sizeof(id), "%s", answer_text(&answer, "id"));
	second = text_to(world, "NEW@example.org");
	EXPECT(taken(world, "anna", first) == NULL);

	(void)snprintf(resend, sizeof(resend), "%s/resend", id);
	EXPECT_INT(call(world, "alex", "POST", "invitations/", resend, "", NULL).status, 403);
	EXPECT_INT(call(world, "bob", "POST", "invitations/", resend, "", NULL).status, 404);
	answer = call(world, "adam", "POST", "invitations/", resend, "", NULL);
	EXPECT_INT(answer.status, 200);
	third = text_to(world, "NEW@example.org");
	EXPECT(strcmp(second, third) != 0 && taken(world, "anna", second) == NULL);

	EXPECT_INT(call(world, "bob", "DELETE", "invitations/", id, "", NULL).status, 404);
	EXPECT_INT(call(world, "adam", "DELETE", "invitations/", id, "", NULL).status, 204);
	EXPECT_INT(call(world, "adam", "DELETE", "invitations/", id, "", NULL).status, 404);
	EXPECT(taken(world, "anna", third) == NULL);
}

static int sweep(const struct db *db, void *arg)
{
	(void)arg;
	return invitations_sweep(db->store);
}

WORLD_TEST(invitations_expire, modules)
{
	struct answer answer;
	char resend[100];

	clock_ahead(0);
	settle(world);
	answer = invite(world, "anna", "new@example.org", "member");
	(void)snprintf(resend, sizeof(resend), "%s/resend", answer_text(&answer, "id"));
	clock_ahead((INVITATION_DAYS * 24 * 60 + 1) * MINUTE);
	EXPECT(taken(world, "anna", text_to(world, "new@example.org")) == NULL);
	answer = world_get(world, "anna", "/api/v1/invitations");
	EXPECT(answer_count(&answer, "\"items\":[]") == 1);
	EXPECT_INT(call(world, "anna", "POST", "invitations/", resend, "", NULL).status, 404);
	world_do(world, "anna", sweep, NULL);
	EXPECT_INT(invite(world, "anna", "new@example.org", "member").status, 201);
	clock_back();
}

WORLD_TEST(invitations_keep_to_rights, modules)
{
	static const struct {
		const char *caller, *to, *role;
		int status;
	} cases[] = {
		{ "adam", "x@example.org", "owner", 403 },
		{ "adam", "x@example.org", "admin", 201 },
		{ "anna", "x@example.org", "owner", 201 },
		{ "amy", "x@example.org", "viewer", 403 },
		{ "alex", "x@example.org", "viewer", 403 },
		{ "bob", "x@example.org", "owner", 201 },
		{ "anna", "x@example.org", "nothing", 400 },
		{ "anna", "x@exa mple.org", "member", 400 },
		{ "anna", "x\\r\\n@example.org", "member", 400 },
		{ "anna", "amy@EXAMPLE.org", "member", 409 },
		{ NULL, "x@example.org", "member", 401 },
	};
	struct answer answer;
	char resend[100];

	settle(world);
	for (size_t i = 0; i < LEN(cases); i++) {
		answer = invite(world, cases[i].caller, cases[i].to, cases[i].role);
		test_note(answer.status == cases[i].status, __FILE__, __LINE__, "%s %s %s: %d %.*s",
			cases[i].caller ? cases[i].caller : "nobody", cases[i].to, cases[i].role,
			answer.status, STR_ARG(answer.body));
	}
	answer = world_get(world, "anna", "/api/v1/invitations");
	(void)snprintf(resend, sizeof(resend), "%s/resend", answer_text(&answer, "id"));
	EXPECT_INT(call(world, "adam", "POST", "invitations/", resend, "", NULL).status, 403);
}

static int fill_in_tx(struct tx *tx, void *arg)
{
	struct rights all = { { 0 } };
	int r = rights_add(&all, S("*"));

	(void)arg;
	for (int i = 0; i < INVITATIONS_MAX && r == 0; i++) {
		struct invitation made;
		struct invitation_new in = { .role = S("viewer") };
		struct invitation_order order = { .in = &in, .rights = &all, .ret = &made };

		uuid_v7(&order.id, tx_now_us(tx));
		in.email = arena_printf(tx_arena(tx), "x%d@example.org", i);
		r = invitation_make_in_tx(tx, &order);
	}
	return r;
}

static int fill(const struct db *db, void *arg)
{
	return db_write(db, fill_in_tx, arg);
}

WORLD_TEST(invitations_are_bounded, modules)
{
	settle(world);
	world_do(world, "anna", fill, NULL);
	EXPECT_INT(invite(world, "anna", "new@example.org", "member").status, 409);
	EXPECT_INT(invite(world, "anna", "x1@example.org", "member").status, 201);
	EXPECT_INT(invite(world, "bob", "new@example.org", "member").status, 201);
}

/* --- two at once ---------------------------------------------------------- */

/* One of two transactions that run beside each other. */
struct racer {
	struct store *store;
	struct uuid tenant;
	int (*fn)(struct tx *, void *);
	void *arg;
	int result;
};

static int run_racer(void *arg)
{
	struct racer *racer = arg;
	struct arena arena;
	struct db db = db_of(racer->store, &racer->tenant, &arena);

	arena_init(&arena, 16 * KILOBYTE, MEGABYTE);
	racer->result = db_write(&db, racer->fn, racer->arg);
	arena_done(&arena);
	return 0;
}

static int run_race(const struct db *db, void *arg)
{
	struct racer *racers = arg;
	struct scope scope;
	int r = 0;

	scope_open(&scope, TIME_NEVER);
	for (int i = 0; i < 2 && r == 0; i++) {
		racers[i].store = db->store;
		racers[i].tenant = db->tenant;
		r = scope_spawn(&scope, run_racer, &racers[i]);
	}
	return MIN(scope_close(&scope), r);
}

WORLD_TEST(invitations_are_taken_once, modules)
{
	struct taking takings[2] = { 0 };
	struct racer racers[2] = { { .fn = take_in_tx, .arg = &takings[0] },
		{ .fn = take_in_tx, .arg = &takings[1] } };

	settle(world);
	for (int round = 0; round < 5; round++) {
		EXPECT_INT(invite(world, "anna", "new@example.org", "viewer").status,
			round ? 409 : 201);
		if (round == 0)
			for (int i = 0; i < 2; i++)
				REQUIRE(invitation_read(
					str_from_c(text_to(world, "new@example.org")),
					&takings[i].ref));
		world_do(world, "anna", run_race, racers);
		EXPECT_INT((racers[0].result == 0) + (racers[1].result == 0), round == 0);
		for (int i = 0; i < 2; i++)
			EXPECT(racers[i].result == 0 || racers[i].result == -ERR_NOT_FOUND);
	}
}

static int delete_in_tx(struct tx *tx, void *arg)
{
	return user_delete_in_tx(tx, arg, NULL);
}

/* Each sees the other as the owner who stays. */
WORLD_TEST(users_keep_an_owner, modules)
{
	struct uuid owners[2] = { world_user(S("anna")), world_user(S("abby")) };
	struct racer racers[2] = { { .fn = delete_in_tx, .arg = &owners[0] },
		{ .fn = delete_in_tx, .arg = &owners[1] } };

	settle(world);
	world_make_user(world, "abby", "owner");
	world_do(world, "anna", run_race, racers);
	EXPECT_INT((racers[0].result == 0) + (racers[1].result == 0), 1);
	EXPECT_INT((racers[0].result == -ERR_CONFLICT) + (racers[1].result == -ERR_CONFLICT), 1);
}

/* --- what other modules do ------------------------------------------------ */

static int prove_in_tx(struct tx *tx, void *arg)
{
	struct user_new in = { .email = S("Ada@Example.com"), .name = S(" Ada ") };
	struct user user, again;
	struct uuid id;

	(void)arg;
	EXPECT_INT(user_by_email_in_tx(tx, in.email, &user), -ERR_NOT_FOUND);
	REQUIRE(user_create_in_tx(tx, &in, &user) == 0);
	REQUIRE(uuid_parse(user.id, &id));
	EXPECT_INT(user_by_email_in_tx(tx, S("aDA@example.COM"), &again), 0);
	EXPECT_STR(again.id, user.id);
	EXPECT_STR(again.name, S("Ada"));
	EXPECT_STR(again.email, S("Ada@Example.com"));
	EXPECT(!again.email_verified_at.set && again.version == 1);
	EXPECT_INT(user_verified_in_tx(tx, &id, NULL), 0);
	EXPECT_INT(user_verified_in_tx(tx, &id, NULL), 0);
	EXPECT_INT(user_get_in_tx(tx, &id, &again), 0);
	EXPECT(again.email_verified_at.set && again.version == 2);
	EXPECT_INT(user_set_email_in_tx(tx, &id, S("new@example.com"), NULL, &again), 0);
	EXPECT_STR(again.email, S("new@example.com"));
	EXPECT_INT(again.version, 3);
	EXPECT_INT(user_set_email_in_tx(tx, &id, S("new"), NULL, &again), -ERR_INVALID);
	in.email = S("none");
	EXPECT_INT(user_create_in_tx(tx, &in, &user), -ERR_INVALID);
	return 0;
}

static int prove(const struct db *db, void *arg)
{
	return db_write(db, prove_in_tx, arg);
}

struct moving {
	struct uuid id;
	const char *email;
	int result;
};

static int move_in_tx(struct tx *tx, void *arg)
{
	struct moving *moving = arg;
	struct user user;

	return user_set_email_in_tx(tx, &moving->id, str_from_c(moving->email), NULL, &user);
}

static int move(const struct db *db, void *arg)
{
	struct moving *moving = arg;

	moving->result = db_write(db, move_in_tx, moving);
	if (moving->result == -ERR_CONFLICT)
		EXPECT_STR(str_from_c(err_last()->field), S("email"));
	return 0;
}

WORLD_TEST(users_in_transactions, modules)
{
	struct moving moving = { world_user(S("amy")), "ADAM@example.org", 0 };

	settle(world);
	world_do(world, "anna", prove, NULL);
	world_do(world, "anna", move, &moving);
	EXPECT_INT(moving.result, -ERR_CONFLICT);
	moving.email = "bob@example.org"; /* of another tenant: free here */
	world_do(world, "anna", move, &moving);
	EXPECT_INT(moving.result, 0);
	moving.id = world_user(S("bob"));
	world_do(world, "anna", move, &moving);
	EXPECT_INT(moving.result, -ERR_NOT_FOUND);
}

struct looking {
	const char *email;
	size_t count;
	char slugs[100];
};

static int look(const struct db *db, void *arg)
{
	struct looking *looking = arg;
	struct accounts accounts;
	int r = accounts_of_email(db, str_from_c(looking->email), &accounts);

	looking->count = accounts.count;
	looking->slugs[0] = '\0';
	for (size_t i = 0; i < accounts.count && r == 0; i++)
		(void)snprintf(looking->slugs + strlen(looking->slugs),
			sizeof(looking->slugs) - strlen(looking->slugs), "%.*s ",
			STR_ARG(accounts.at[i].slug));
	return r;
}

static int suspend_tenant(const struct db *db, void *arg)
{
	(void)arg;
	return db_exec(db, &tenant_suspend, NULL);
}

static const char *slugs_of(struct world *world, const char *email)
{
	static struct looking looking;

	looking.email = email;
	world_do(world, "otto", look, &looking);
	return looking.slugs;
}

WORLD_TEST(accounts_of_an_address, modules)
{
	struct moving moving = { world_user(S("bob")), "Amy@Example.ORG", 0 };

	settle(world);
	EXPECT_STR(str_from_c(slugs_of(world, "amy@example.org")), S("aa "));
	world_do(world, "bob", move, &moving);
	EXPECT_STR(str_from_c(slugs_of(world, "AMY@example.org")), S("aa bb "));
	EXPECT_STR(str_from_c(slugs_of(world, "nobody@example.org")), S(""));
	EXPECT_STR(str_from_c(slugs_of(world, "")), S(""));
	EXPECT_INT(
		call(world, "anna", PATCH(id_of("amy")), "", "{\"status\":\"suspended\"}").status,
		200);
	EXPECT_STR(str_from_c(slugs_of(world, "amy@example.org")), S("bb "));
	world_do(world, "bob", suspend_tenant, NULL);
	EXPECT_STR(str_from_c(slugs_of(world, "amy@example.org")), S(""));
}

/* --- without memory ------------------------------------------------------- */

/* Each allocation fails in turn: the answer is 503 until it goes well. When it was the answer that
 * failed, the next try finds what is done: by its key, or because it is no other state. */
static void torture(struct world *world, const char *request, const char *body, int good)
{
	struct answer answer;
	char header[100];
	int nth = 0;

	do {
		(void)snprintf(header, sizeof(header), "X-Fault: %d\r\n%s", ++nth,
			good == 201 ? "Idempotency-Key: torture\r\n" : "");
		answer = world_call(world, "anna", request, header, body);
		test_note(answer.status == good || answer.status == 503, __FILE__, __LINE__,
			"%s, allocation %d: %d %.*s", request, nth, answer.status,
			STR_ARG(answer.body));
	} while (answer.status == 503 && nth < 500);
	EXPECT_INT(answer.status, good);
	(void)world_call(world, "anna", "GET /api/v1/me", "", NULL);
}

WORLD_TEST(users_without_memory, modules)
{
	char request[200];

	settle(world);
	torture(world, "POST /api/v1/invitations", "{\"email\":\"x@example.org\"}", 201);
	EXPECT_INT(mail_posted_count(world, "anna", MAIL_INVITATION, "x@example.org"), 1);
	(void)snprintf(request, sizeof(request), "PATCH /api/v1/users/%s", id_of("amy"));
	torture(world, request, "{\"name\":\"Amy\"}", 200);
	torture(world, "GET /api/v1/me", NULL, 200);
	torture(world, "GET /api/v1/me/export", NULL, 200);
	torture(world, "GET /api/v1/users?search=a", NULL, 200);
	(void)snprintf(request, sizeof(request), "DELETE /api/v1/users/%s", id_of("amy"));
	torture(world, request, NULL, 204);
	EXPECT_STR(str_from_c(lines_of(world, "anna", &event_lines)),
		S("user.invited user.updated user.deleted "));
}
