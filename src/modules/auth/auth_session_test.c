/* Sessions over HTTP on both engines: refreshing, switching, ending, and what is seen of them. */
#include "modules/auth/auth_fixture_test.h"

#include <stdio.h>
#include <stdlib.h>

static struct str refresh_of(const struct session_made *made)
{
	return str_of(made->refresh, sizeof(made->refresh));
}

WORLD_TEST(session_is_refreshed, auth_modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct session_made made = person_sign_in(world, &ada, NULL);
	char access[8192], second[8192], third[8192];
	struct answer answer;

	REQUIRE(refresh_by(world, refresh_of(&made), access, second) == 200);
	answer = world_call(world, access, "GET /api/v1/auth/sessions", "", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT(answer_count(&answer, "\"current\":true") == 1);
	EXPECT(answer_count(&answer, "\"userAgent\":\"Test/1.0\"") == 1);

	REQUIRE(refresh_by(world, refresh_of(&made), NULL, third) == 200);
	EXPECT_STR(str_from_c(third), str_from_c(second));
	REQUIRE(refresh_by(world, str_from_c(second), NULL, third) == 200);
	EXPECT(strcmp(third, second) != 0);

	EXPECT_INT(refresh_by(world, refresh_of(&made), NULL, NULL), 401);
	EXPECT_INT(refresh_by(world, str_from_c(third), NULL, NULL), 401);
	answer = world_call(world, access, "GET /api/v1/auth/sessions", "", NULL);
	EXPECT_INT(answer.status, 401);
}
