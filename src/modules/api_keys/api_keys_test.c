/*
 * Keys over HTTP on both engines: who may make which, what they open, and that nothing of it is
 * more than its owner has, or stays when it should be gone.
 */
#include "modules/api_keys/api_keys_world_test.h"

#include "modules/rbac/rbac_world_test.h"
#include <stdio.h>

#define KEYS "/api/v1/api-keys"

WORLD_TEST(api_key_is_made_and_used, keys_world())
{
	struct answer answer;
	struct test_key key;
	char header[300];

	keys_begin(world);
	key = keys_make(world, "anna", "[\"jobs:read\",\"users:*\"]", "");
	EXPECT_INT(key.status, 201);
	EXPECT_INT(strlen(key.key), KEY_TEXT_LEN);
	EXPECT_STR(str_from_c(keys_doors(world, key.key)), S("lup"));
	EXPECT_INT(world_audits(world, "anna", "api_key.created"), 1);
	EXPECT_INT(world_events(world, "anna", "api_key.created"), 1);

	EXPECT_INT(world_get(world, key.key, "/look").status, 204); /* Bearer */
	(void)snprintf(header, sizeof(header), "Authorization: %s\r\n", key.key);
	EXPECT_INT(world_call(world, NULL, "GET /look", header, NULL).status, 204);
	(void)snprintf(header, sizeof(header), "Authorization: bearer %s\r\n", key.key);
	EXPECT_INT(world_call(world, NULL, "GET /look", header, NULL).status, 204);

	answer = world_get(world, "anna", KEYS "/%s", key.id);
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(answer_count(&answer, key.key), 0);
	EXPECT_INT(answer_count(&answer, "ash\""), 0); /* neither hash */
	EXPECT_INT(strlen(answer_text(&answer, "prefix")), KEY_PREFIX_LEN);
	EXPECT(strncmp(answer_text(&answer, "prefix"), key.key, KEY_PREFIX_LEN) == 0);
	EXPECT_STR(str_from_c(answer_text(&answer, "ending")),
		str_from_c(key.key + KEY_TEXT_LEN - OPAQUE_CHECK_LEN));
	answer = world_get(world, "anna", KEYS);
	EXPECT_INT(answer_count(&answer, key.id), 1);
	EXPECT_INT(answer_count(&answer, "\"key\""), 0);
}
