/* The catalogue, the laws of sets of rights, and the built-in roles. */
#include "modules/rbac/rbac_internal.h"

#include "base/test.h"

#include <stdio.h>

static const char *const needs[] = { "jobs:write", "jobs:read", "flags:read", "flags:write",
	"users:read", "users:write", "keys:read", "audit:read", "roles:write", "tenant:read",
	"tenant:write", "platform:tenants", "platform:observe", "sessions:read", "public",
	"account:self", "jobs:read" };

static void fill(void)
{
	REQUIRE(rights_begin() == 0);
	for (size_t i = 0; i < LEN(needs); i++) {
		struct route route = { HTTP_GET, "/x", .need = needs[i] };

		REQUIRE(rights_of_routes(&route, 1) == 0);
	}
}

/* --- the catalogue ------------------------------------------------------------------- */

TEST(rights_are_gathered)
{
	fill();
	EXPECT_INT(rights_count(), 16); /* two of them the module's own */
	for (size_t i = 1; i < rights_count(); i++)
		EXPECT(str_cmp(right_at(i - 1), right_at(i)) < 0);
	EXPECT_STR(right_at(0), S("audit:read"));
	EXPECT_INT(right_number(S("public")), -1);
	EXPECT_INT(right_number(S("account:self")), -1);
	EXPECT_INT(right_number(S("")), -1);

	/* Numbers stay, whatever comes later. */
	for (size_t i = 0; i < LEN(needs); i++) {
		ptrdiff_t number = right_number(str_from_c(needs[i]));

		EXPECT_INT(right_declare(S("aaa:read")), 0);
		EXPECT_INT(right_number(str_from_c(needs[i])), number);
	}
	EXPECT_STR(right_at(0), S("aaa:read"));
	EXPECT_INT(rights_count(), 17);
}

TEST(rights_have_a_form)
{
	static const struct {
		const char *text;
		int result;
	} cases[] = {
		{ "jobs:read", 0 },
		{ "api_keys:read-all", 0 },
		{ "a:b", 0 },
		{ "a1:b2", 0 },
		{ "", -ERR_INVALID },
		{ "jobs", -ERR_INVALID },
		{ ":read", -ERR_INVALID },
		{ "jobs:", -ERR_INVALID },
		{ "jobs:read:all", -ERR_INVALID },
		{ "Jobs:read", -ERR_INVALID },
		{ "1a:read", -ERR_INVALID },
		{ "jobs:*", -ERR_INVALID },
		{ "*", -ERR_INVALID },
		{ "jo bs:read", -ERR_INVALID },
		{ "a:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 0 },
		{ "a:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
			-ERR_INVALID },
	};

	fill();
	for (size_t i = 0; i < LEN(cases); i++) {
		struct route route = { HTTP_GET, "/x", .need = cases[i].text };

		if (!EXPECT_INT(right_declare(str_from_c(cases[i].text)), cases[i].result))
			fprintf(stderr, "  %s\n", cases[i].text);
		EXPECT_INT(rights_of_routes(&route, 1), cases[i].result);
	}
}

TEST(rights_are_bounded)
{
	size_t before;
	char text[20];

	fill();
	before = rights_count();
	for (size_t i = before; i < RIGHTS_MAX; i++) {
		(void)snprintf(text, sizeof(text), "r%zu:read", i);
		REQUIRE(right_declare(str_from_c(text)) == 0);
	}
	EXPECT_INT(rights_count(), RIGHTS_MAX);
	EXPECT_INT(right_declare(S("one:more")), -ERR_FULL);
	EXPECT_INT(right_declare(S("jobs:read")), 0);
	for (size_t i = 0; i < RIGHTS_MAX; i++)
		EXPECT(right_number(right_at(i)) >= 0);
	EXPECT(rights_has(built_in_rights(ROLE_VIEWER, &tenant_system), str_from_c(text)));
}

/* --- sets ---------------------------------------------------------------------------- */

/* The members of a set, each with a blank behind. */
static const char *members(const struct rights *rights)
{
	static char text[RIGHTS_MAX];
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < rights_count(); i++)
		if (rights_has(rights, right_at(i)))
			len += (size_t)snprintf(
				text + len, sizeof(text) - len, "%.*s ", STR_ARG(right_at(i)));
	return text;
}

TEST(rights_patterns)
{
	static const struct {
		const char *pattern, *members; /* NULL: -ERR_INVALID */
	} cases[] = {
		{ "jobs:read", "jobs:read " },
		{ "jobs:*", "jobs:read jobs:write " },
		{ "*:write", "flags:write jobs:write roles:write tenant:write users:write " },
		{ "*", "audit:read flags:read flags:write jobs:read jobs:write keys:read "
		       "roles:write sessions:read tenant:delete tenant:read tenant:transfer "
		       "tenant:write users:read users:write " },
		{ "*:*", "audit:read flags:read flags:write jobs:read jobs:write keys:read "
			 "roles:write sessions:read tenant:delete tenant:read tenant:transfer "
			 "tenant:write users:read users:write " },
		{ "platform:*", "platform:observe platform:tenants " },
		{ "platform:tenants", "platform:tenants " },
		{ "*:tenants", NULL }, /* of platform: only by name */
		{ "jobs:fly", NULL },
		{ "job:*", NULL },
		{ "jobs", NULL },
		{ "", NULL },
		{ "**", NULL },
		{ "jobs:*:x", NULL },
		{ "j*:read", NULL },
		{ "account:self", NULL },
		{ "account:*", NULL },
		{ "public", NULL },
	};

	fill();
	for (size_t i = 0; i < LEN(cases); i++) {
		struct rights rights = { 0 };
		int r = rights_add(&rights, str_from_c(cases[i].pattern));

		if (!EXPECT_INT(r, cases[i].members ? 0 : -ERR_INVALID) ||
			!EXPECT_STR(str_from_c(members(&rights)),
				str_from_c(cases[i].members ? cases[i].members : "")))
			fprintf(stderr, "  %s\n", cases[i].pattern);
	}
}

static struct rights random_set(uint64_t *random)
{
	struct rights rights = { 0 };
	uint64_t chosen = test_random(random);

	for (size_t i = 0; i < rights_count(); i++)
		if (chosen >> i & 1)
			REQUIRE(rights_add(&rights, right_at(i)) == 0);
	return rights;
}

TEST(rights_laws)
{
	static const char *const patterns[] = { "*", "jobs:*", "*:read", "platform:*",
		"users:write" };
	struct rights none = { 0 };
	uint64_t random = 7;

	fill();
	for (int i = 0; i < 2000; i++) {
		struct rights a = random_set(&random), b = random_set(&random), both = a,
			      either = a, added = a, alone = { 0 };
		struct str pattern = str_from_c(patterns[test_random(&random) % LEN(patterns)]);

		rights_intersect(&both, &b);
		rights_unite(&either, &b);
		EXPECT(rights_within(&a, &a) && rights_within(&none, &a));
		EXPECT(rights_within(&both, &a) && rights_within(&both, &b));
		EXPECT(rights_within(&a, &either) && rights_within(&b, &either));
		EXPECT(rights_within(&a, &b) == (memcmp(&both, &a, sizeof(a)) == 0));
		for (size_t k = 0; k < rights_count(); k++) {
			struct str right = right_at(k);

			EXPECT(rights_has(&both, right) ==
				(rights_has(&a, right) && rights_has(&b, right)));
			EXPECT(rights_has(&either, right) ==
				(rights_has(&a, right) || rights_has(&b, right)));
		}
		/* A pattern adds what it stands for, no more, and once is enough. */
		REQUIRE(rights_add(&added, pattern) == 0 && rights_add(&alone, pattern) == 0);
		either = a;
		rights_unite(&either, &alone);
		EXPECT(memcmp(&added, &either, sizeof(added)) == 0);
		REQUIRE(rights_add(&added, pattern) == 0);
		EXPECT(memcmp(&added, &either, sizeof(added)) == 0);
		rights_remove(&either, &alone);
		rights_intersect(&either, &alone);
		EXPECT(rights_within(&either, &none));
	}
}

/* --- roles --------------------------------------------------------------------------- */

TEST(rbac_built_in_roles)
{
	static const struct uuid tenant = { { 1 } };
	static const struct {
		enum built_in role;
		const char *members;
	} cases[] = {
		{ ROLE_OWNER, "audit:read flags:read flags:write jobs:read jobs:write keys:read "
			      "roles:write sessions:read tenant:delete tenant:read tenant:transfer "
			      "tenant:write users:read users:write " },
		{ ROLE_ADMIN, "audit:read flags:read flags:write jobs:read jobs:write keys:read "
			      "roles:write sessions:read tenant:read tenant:write users:read "
			      "users:write " },
		{ ROLE_MEMBER, "flags:read flags:write jobs:read jobs:write tenant:read "
			       "users:read " },
		{ ROLE_VIEWER, "flags:read jobs:read tenant:read users:read " },
	};

	fill();
	for (size_t i = 0; i < LEN(cases); i++) {
		const struct rights *here = built_in_rights(cases[i].role, &tenant);
		const struct rights *there = built_in_rights(cases[i].role, &tenant_system);

		EXPECT_STR(str_from_c(members(here)), str_from_c(cases[i].members));
		EXPECT(rights_within(here, there));
		EXPECT(!rights_has(here, S("platform:tenants")));
		EXPECT(rights_has(there, S("platform:tenants")) == (cases[i].role <= ROLE_ADMIN));
		if (i > 0) /* each is weaker than the one before */
			EXPECT(rights_within(here, built_in_rights(cases[i - 1].role, &tenant)));
		EXPECT_INT(built_in_find(built_in_roles[i].name), (int)i);
	}
	EXPECT_INT(built_in_find(S("own")), -1);
	EXPECT_INT(built_in_find(S("")), -1);
}

TEST(rbac_patterns_of_roles)
{
	static const struct uuid tenant = { { 1 } };
	static const struct str patterns[] = { S_INIT("gone:*"), S_INIT("platform:tenants"),
		S_INIT("platform:*"), S_INIT("jobs:*") };
	struct rights rights;

	fill();
	patterns_rights(&tenant, patterns, LEN(patterns), &rights);
	EXPECT_STR(str_from_c(members(&rights)), S("jobs:read jobs:write "));
	patterns_rights(&tenant_system, patterns, LEN(patterns), &rights);
	EXPECT_STR(str_from_c(members(&rights)),
		S("jobs:read jobs:write platform:observe platform:tenants "));
	EXPECT_INT(patterns_check(&tenant, patterns + 3, 1), 0);
	EXPECT_INT(patterns_check(&tenant, patterns, 1), -ERR_INVALID);
	EXPECT_INT(patterns_check(&tenant, patterns + 2, 2), -ERR_INVALID);
	EXPECT_INT(patterns_check(&tenant_system, patterns + 1, 3), 0);
}
