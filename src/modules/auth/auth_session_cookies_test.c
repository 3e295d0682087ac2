/* Browsers, on both engines: cookies instead of tokens, pages of others, and several accounts in
 * one browser. */
#include "modules/auth/auth_fixture_test.h"

#include <stdio.h>

enum { ROOM = 8192 };

/* What a browser keeps. */
struct jar {
	char access[ROOM], refresh[ROOM], csrf[100];
};

/* The value that a set-cookie line of the answer gives; "" when it has none. */
static void take_cookie(const struct answer *answer, const char *name, char *to, size_t room)
{
	struct str rest = answer->response.head;
	char start[100];
	ptrdiff_t at;

	(void)snprintf(start, sizeof(start), "\r\nset-cookie: %s=", name);
	at = str_find(rest, str_from_c(start));
	if (at < 0)
		return;
	rest = str_from(rest, (size_t)at + strlen(start));
	rest = str_cut(&rest, ';');
	REQUIRE(rest.len < room);
	memcpy(to, rest.at, rest.len);
	to[rest.len] = '\0';
}

static void take_cookies(const struct answer *answer, struct jar *jar)
{
	take_cookie(answer, "__Host-bh_access", jar->access, ROOM);
	take_cookie(answer, "__Host-bh_refresh", jar->refresh, ROOM);
	take_cookie(answer, "__Host-bh_csrf", jar->csrf, sizeof(jar->csrf));
}

/* A request with the cookies and more header lines; the jar takes what comes back. */
static struct answer browse(struct world *world, struct jar *jar, const char *request,
	const char *headers, const char *body)
{
	static char all[4 * ROOM];
	struct answer answer;

	(void)snprintf(all, sizeof(all),
		"Cookie: other=1; __Host-bh_access=%s; __Host-bh_refresh=%s; "
		"__Host-bh_csrf=%s\r\n%s",
		jar->access, jar->refresh, jar->csrf, headers);
	answer = world_call(world, NULL, request, all, body);
	take_cookies(&answer, jar);
	return answer;
}

static struct answer browse_safely(
	struct world *world, struct jar *jar, const char *request, const char *body)
{
	char headers[200];

	(void)snprintf(
		headers, sizeof(headers), "X-CSRF-Token: %s\r\nOrigin: https://x\r\n", jar->csrf);
	return browse(world, jar, request, headers, body);
}

static void sign_in(struct world *world, const struct session_made *made, struct jar *jar)
{
	struct answer answer = world_call(world, NULL, "POST /api/v1/auth/refresh",
		"X-Session: cookie\r\n", refresh_body(str_of(made->refresh, REFRESH_LEN)));

	REQUIRE(answer.status == 200);
	take_cookies(&answer, jar);
}

WORLD_TEST(cookie_instead_of_tokens, auth_modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct session_made made = person_sign_in(world, &ada, NULL);
	struct answer answer = world_call(world, NULL, "POST /api/v1/auth/refresh",
		"X-Session: cookie\r\n", refresh_body(str_of(made.refresh, REFRESH_LEN)));
	struct jar jar = { 0 };
	char before[ROOM];

	REQUIRE(answer.status == 200);
	EXPECT(answer_count(&answer, "accessToken") == 0);
	EXPECT(answer_count(&answer, "refreshToken") == 0);
	EXPECT(answer_count(&answer, "bh_rt_") == 0);
	EXPECT(answer_count(&answer, "\"csrfToken\"") == 1);
	EXPECT(str_find(answer.response.head, S("Path=/; Max-Age=900; Secure; HttpOnly; "
						"SameSite=Lax\r\n")) > 0);
	EXPECT(str_find(answer.response.head, S("Path=/; Max-Age=604800; Secure; HttpOnly; "
						"SameSite=Strict\r\n")) > 0);
	take_cookies(&answer, &jar);
	EXPECT(jar.access[0] && jar.refresh[0] && jar.csrf[0]);

	answer = browse(world, &jar, "GET /api/v1/auth/sessions", "", NULL);
	EXPECT_INT(answer.status, 200);
	answer = browse(world, &jar, "GET /api/v1/auth/csrf", "", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT_STR(str_from_c(answer_text(&answer, "csrfToken")), str_from_c(jar.csrf));

	(void)snprintf(before, sizeof(before), "%s", jar.refresh);
	answer = browse_safely(world, &jar, "POST /api/v1/auth/refresh", "{}");
	EXPECT_INT(answer.status, 200);
	EXPECT(answer_count(&answer, "bh_rt_") == 0);
	EXPECT(strcmp(before, jar.refresh) != 0);

	answer = browse_safely(world, &jar, "POST /api/v1/auth/logout", "{}");
	EXPECT_INT(answer.status, 204);
	EXPECT(str_find(answer.response.head, S("__Host-bh_refresh=; Path=/; Max-Age=0;")) > 0);
	EXPECT(str_find(answer.response.head, S("clear-site-data: \"cache\", \"storage\"\r\n")) >
		0);
	EXPECT_STR(str_from_c(jar.access), S(""));
}

/* What pages of others can make a browser send changes nothing. */
WORLD_TEST(cookie_needs_a_page_of_ours, auth_modules)
{
	static const struct {
		const char *headers;
		bool csrf;
		int refresh, end, list;
	} cases[] = {
		{ "", true, 200, 204, 200 },
		{ "", false, 403, 403, 200 },
		{ "Origin: https://x\r\n", true, 200, 204, 200 },
		{ "Origin: http://localhost\r\n", true, 200, 204, 200 },
		{ "Origin: https://evil.example\r\n", true, 403, 403, 200 },
		{ "Origin: https://x.evil.example\r\n", true, 403, 403, 200 },
		{ "Origin: null\r\n", true, 403, 403, 200 },
		{ "Sec-Fetch-Site: same-origin\r\n", true, 200, 204, 200 },
		{ "Sec-Fetch-Site: none\r\n", true, 200, 204, 200 },
		{ "Sec-Fetch-Site: same-site\r\n", true, 403, 403, 200 },
		{ "Sec-Fetch-Site: cross-site\r\n", true, 403, 403, 200 },
		{ "Sec-Fetch-Site: cross-site\r\nOrigin: https://x\r\n", false, 403, 403, 200 },
		{ "X-CSRF-Token: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n", false, 403, 403,
			200 },
	};
	struct person ada = person_make(world, "a", "ada@example.com", "member");

	for (size_t i = 0; i < LEN(cases); i++) {
		struct session_made made = person_sign_in(world, &ada, NULL);
		struct jar jar = { 0 };
		char headers[400];
		struct answer answer;

		sign_in(world, &made, &jar);
		(void)snprintf(headers, sizeof(headers), "%s%s%s%s", cases[i].headers,
			cases[i].csrf ? "X-CSRF-Token: " : "", cases[i].csrf ? jar.csrf : "",
			cases[i].csrf ? "\r\n" : "");
		answer = browse(world, &jar, "GET /api/v1/auth/sessions", headers, NULL);
		test_note(answer.status == cases[i].list, __FILE__, __LINE__, "list %zu: %d", i,
			answer.status);
		answer = browse(world, &jar, "POST /api/v1/auth/refresh", headers, "{}");
		test_note(answer.status == cases[i].refresh, __FILE__, __LINE__, "refresh %zu: %d",
			i, answer.status);
		answer = browse(
			world, &jar, "DELETE /api/v1/auth/sessions?except=current", headers, NULL);
		test_note(answer.status == cases[i].end, __FILE__, __LINE__, "end %zu: %d", i,
			answer.status);
	}
}

/* The CSRF token of one session is none of another. */
WORLD_TEST(cookie_csrf_is_of_its_session, auth_modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct session_made one = person_sign_in(world, &ada, NULL);
	struct session_made two = person_sign_in(world, &ada, NULL);
	struct jar first = { 0 }, second = { 0 };

	sign_in(world, &one, &first);
	sign_in(world, &two, &second);
	memcpy(second.csrf, first.csrf, sizeof(first.csrf));
	EXPECT_INT(browse_safely(world, &second, "DELETE /api/v1/auth/sessions", NULL).status, 403);
	EXPECT_INT(browse_safely(world, &first, "DELETE /api/v1/auth/sessions", NULL).status, 204);
	EXPECT_INT(browse(world, &second, "GET /api/v1/auth/sessions", "", NULL).status, 401);
}

/* Old cookies are not in the way of signing in. */
WORLD_TEST(cookie_that_is_over_is_none, auth_modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct session_made made = person_sign_in(world, &ada, NULL), again;
	struct jar jar = { 0 };
	struct answer answer;

	sign_in(world, &made, &jar);
	EXPECT_INT(browse_safely(world, &jar, "DELETE /api/v1/auth/sessions", NULL).status, 204);
	again = person_sign_in(world, &ada, NULL);
	answer = browse(world, &jar, "POST /api/v1/auth/refresh", "",
		refresh_body(str_of(again.refresh, REFRESH_LEN)));
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(browse(world, &jar, "GET /api/v1/auth/sessions", "", NULL).status, 401);

	/* Two that differ: one of them was put there by somebody else. */
	answer = world_call(world, NULL, "GET /api/v1/auth/csrf",
		"Cookie: __Host-bh_refresh=a; __Host-bh_refresh=b\r\n", NULL);
	EXPECT_INT(answer.status, 401);
}

/* --- several accounts ----------------------------------------------------- */

struct family {
	struct person ada, bob, eve; /* in the tenants a, b, a */
	struct session_made adas, bobs, eves;
};

static struct family make_family(struct world *world)
{
	struct family family = { .ada = person_make(world, "a", "ada@example.com", "member"),
		.bob = person_make(world, "b", "bob@example.com", "member"),
		.eve = person_make(world, "a", "eve@example.com", "member") };

	family.adas = person_sign_in(world, &family.ada, NULL);
	family.bobs = person_sign_in(world, &family.bob, &family.adas.bundle);
	family.eves = person_sign_in(world, &family.eve, NULL);
	return family;
}

static const char *target(const struct session_made *made)
{
	static char texts[4][200];
	static size_t next;
	char *text = texts[next++ % LEN(texts)], id[UUID_TEXT_LEN];

	uuid_write(id, &made->id);
	(void)snprintf(text, sizeof(texts[0]), "{\"sessionId\":\"%.*s\"}", UUID_TEXT_LEN, id);
	return text;
}

WORLD_TEST(accounts_of_a_browser, auth_modules)
{
	struct family family = make_family(world);
	struct jar jar = { 0 };
	struct answer answer;

	sign_in(world, &family.adas, &jar);
	answer = browse(world, &jar, "GET /api/v1/auth/accounts", "", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(answer_count(&answer, "\"sessionId\""), 2);
	EXPECT_INT(answer_count(&answer, "\"email\":\"bob@example.com\""), 1);
	EXPECT_INT(answer_count(&answer, "\"tenantSlug\":\"tenant-b\""), 1);
	EXPECT_INT(answer_count(&answer, "\"current\":true"), 1);

	answer =
		browse_safely(world, &jar, "POST /api/v1/auth/switch", "{\"tenant\":\"tenant-b\"}");
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(answer_count(&answer, "\"email\":\"bob@example.com\""), 1);
	answer = browse(world, &jar, "GET /api/v1/auth/accounts", "", NULL);
	EXPECT_INT(answer_count(&answer, "\"current\":true"), 1);

	answer = browse_safely(world, &jar, "POST /api/v1/auth/switch", target(&family.adas));
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(answer_count(&answer, "\"email\":\"ada@example.com\""), 1);
	answer = browse_safely(world, &jar, "POST /api/v1/auth/refresh", "{}");
	EXPECT_INT(answer.status, 200);
}

WORLD_TEST(accounts_of_others_are_out_of_reach, auth_modules)
{
	struct family family = make_family(world);
	struct jar jar = { 0 }, others = { 0 };
	struct answer answer;

	sign_in(world, &family.adas, &jar);
	sign_in(world, &family.eves, &others);
	answer = browse_safely(world, &others, "POST /api/v1/auth/switch", target(&family.bobs));
	EXPECT_INT(answer.status, 404);
	answer = browse_safely(
		world, &others, "POST /api/v1/auth/switch", "{\"tenant\":\"tenant-b\"}");
	EXPECT_INT(answer.status, 404);
	answer = browse_safely(world, &others, "POST /api/v1/auth/switch", "{\"tenant\":\"none\"}");
	EXPECT_INT(answer.status, 404);
	answer = browse_safely(world, &others, "POST /api/v1/auth/switch", "{}");
	EXPECT_INT(answer.status, 400);
	answer = browse(world, &jar, "POST /api/v1/auth/switch", "", target(&family.bobs));
	EXPECT_INT(answer.status, 403);
	answer = world_call(world, NULL, "POST /api/v1/auth/switch", "", target(&family.bobs));
	EXPECT_INT(answer.status, 401);
}

WORLD_TEST(accounts_that_ended_are_refused, auth_modules)
{
	struct family family = make_family(world);
	struct jar jar = { 0 };
	struct answer answer;

	answer = world_call(world, NULL, "POST /api/v1/auth/logout", "",
		refresh_body(str_of(family.bobs.refresh, REFRESH_LEN)));
	EXPECT_INT(answer.status, 204);
	sign_in(world, &family.adas, &jar);
	answer = browse_safely(world, &jar, "POST /api/v1/auth/switch", target(&family.bobs));
	EXPECT_INT(answer.status, 404);

	/* Who signs in again in this browser takes the place of the former session. */
	struct session_made again = person_sign_in(world, &family.ada, &family.adas.bundle);
	struct jar fresh = { 0 };

	EXPECT_INT(browse_safely(world, &jar, "POST /api/v1/auth/refresh", "{}").status, 401);
	sign_in(world, &again, &fresh);
	EXPECT_INT(browse(world, &fresh, "GET /api/v1/auth/sessions", "", NULL).status, 200);
}

/* With the cookies the way back to the others goes, too. */
WORLD_TEST(accounts_all_end_with_the_cookies, auth_modules)
{
	struct family family = make_family(world);
	struct jar jar = { 0 };
	struct answer answer;

	sign_in(world, &family.adas, &jar);
	answer = browse_safely(world, &jar, "POST /api/v1/auth/logout", "{}");
	EXPECT_INT(answer.status, 204);
	EXPECT_INT(refresh_by(world, str_of(family.bobs.refresh, REFRESH_LEN), NULL, NULL), 401);
	EXPECT_INT(refresh_by(world, str_of(family.eves.refresh, REFRESH_LEN), NULL, NULL), 200);
}

/* Two pages that switch at the same time get the same session with the same token. */
WORLD_TEST(accounts_switched_by_many_at_once, auth_modules)
{
	enum { CLIENTS = 30 };
	struct family family = make_family(world);
	struct client *clients[CLIENTS];
	char body[400], first[ROOM] = "", id[UUID_TEXT_LEN];

	uuid_write(id, &family.bobs.id);
	(void)snprintf(body, sizeof(body), "{\"sessionId\":\"%.*s\",\"refreshToken\":\"%.*s\"}",
		UUID_TEXT_LEN, id, (int)REFRESH_LEN, family.adas.refresh);
	for (size_t i = 0; i < CLIENTS; i++)
		clients[i] = client_open(world->net);
	for (size_t i = 0; i < CLIENTS; i++)
		world_send(clients[i], NULL, "POST /api/v1/auth/switch", "", body);
	for (size_t i = 0; i < CLIENTS; i++) {
		struct answer answer = world_answer(clients[i]);
		const char *token = answer_text(&answer, "refreshToken");

		EXPECT_INT(answer.status, 200);
		if (i == 0)
			(void)snprintf(first, sizeof(first), "%s", token);
		EXPECT_STR(str_from_c(token), str_from_c(first));
	}
	EXPECT_INT(refresh_by(world, str_from_c(first), NULL, NULL), 200);
	EXPECT_INT(refresh_by(world, str_of(family.adas.refresh, REFRESH_LEN), NULL, NULL), 200);
}
