/* What is told of the audit log over HTTP, and what is written, on both engines. */
#include "modules/audit/audit_test.h"

#include <stdio.h>

/* --- what is told ------------------------------------------------------------------------ */

WORLD_TEST(audit_entry_is_told, audit_world)
{
	static const struct {
		const char *member, *value;
	} members[] = {
		{ "kind", "user" },
		{ "userId", "01900000-0000-7000-8000-0000000000aa" },
		{ "sessionId", "01900000-0000-7000-8000-0000000000bb" },
		{ "keyId", "" },
		{ "impersonatorId", "" },
		{ "address", "192.0.2.7" },
		{ "action", "user.updated" },
		{ "targetType", "user" },
		{ "targetId", "01900000-0000-7000-8000-0000000000cc" },
		{ "security", "false" },
		{ "traceId", "4bf92f3577b34da6a3ce929d0e0e4736" },
		{ "sequence", "1" },
	};
	struct some some = audit_some(1);
	struct answer answer;

	world_do(world, "ada", audit_write_some, &some);
	world_do(world, "ada", audit_chain_all, NULL);
	answer = world_get(world, "ada", "/api/v1/audit");
	EXPECT_INT(answer.status, 200);
	for (size_t i = 0; i < LEN(members); i++)
		EXPECT_STR(str_from_c(answer_text(&answer, members[i].member)),
			str_from_c(members[i].value));
	EXPECT_INT(answer_count(&answer,
			   "\"before\":{\"id\":\"1\",\"email\":\"ada@example.com\",\"age\":36}"),
		1);
	EXPECT_INT(answer_count(&answer, "\"email\":\"countess@example.com\",\"age\":37}"), 1);
	EXPECT_INT(answer_count(&answer, "xyzzy"), 0);
	EXPECT_INT(answer_count(&answer, "password"), 0);
	EXPECT_INT(answer_count(&answer, "personal"), 0);
}

/* What a caller is in entries. */
WORLD_TEST(audit_actor_is_the_caller, audit_world)
{
	struct answer answer = world_call(
		world, "ada", "GET /api/v1/audit/export", "X-Request-Id: export-1\r\n", NULL);
	struct uuid ada = world_user(S("ada"));
	char id[UUID_TEXT_LEN];

	EXPECT_INT(answer.status, 200);
	uuid_write(id, &ada);
	answer = world_get(world, "ada", "/api/v1/audit");
	EXPECT_STR(str_from_c(answer_text(&answer, "action")), S("audit.exported"));
	EXPECT_STR(str_from_c(answer_text(&answer, "kind")), S("user"));
	EXPECT_STR(str_from_c(answer_text(&answer, "userId")), str_of(id, sizeof(id)));
	EXPECT_STR(str_from_c(answer_text(&answer, "address")), S("127.0.0.1"));
	EXPECT_STR(str_from_c(answer_text(&answer, "requestId")), S("export-1"));
	EXPECT(strlen(answer_text(&answer, "traceId")) == TRACE_ID_LEN);
}

/* A state that is too long is not kept, but what it was can be proved. */
WORLD_TEST(audit_long_state_is_digested, audit_world)
{
	static char text[AUDIT_STATE_MAX];
	struct some some = audit_some(1);
	struct subject long_one;
	struct answer answer;

	memset(text, 'x', sizeof(text));
	long_one = (struct subject){ .id = str_of(text, sizeof(text)), .email = S("a@b.c") };
	some.entry.after = &long_one;
	world_do(world, "ada", audit_write_some, &some);
	world_do(world, "ada", audit_chain_all, NULL);
	answer = world_get(world, "ada", "/api/v1/audit");
	EXPECT_INT(answer_count(&answer, "\"after\":{\"omitted\":{\"bytes\":"), 1);
	EXPECT_INT(answer_count(&answer, "\"email\":\"ada@example.com\""), 1);
	EXPECT_INT(answer_count(&answer, "a@b.c"), 0);
	EXPECT_INT(audit_verdict_of(world, NULL).report.found, 0);
}

static int write_too_long(const struct db *db, void *arg)
{
	(void)arg;
	for (int i = 0; i < 3; i++) {
		static char text[2 * AUDIT_STATE_INPUT];
		struct some some = audit_some(1);
		struct subject person = { .id = str_of(text, sizeof(text)) };

		memset(text, 'x', sizeof(text));
		if (i == 0)
			some.entry.after = &person;
		else if (i == 1)
			some.entry.id = str_of(text, AUDIT_ID_MAX + 1);
		else
			some.entry.action = str_of(text, AUDIT_ACTION_MAX + 1);
		EXPECT_INT(audit_write_some(db, &some), -ERR_TOO_LARGE);
	}
	return 0;
}

WORLD_TEST(audit_entry_has_limits, audit_world)
{
	world_do(world, "ada", write_too_long, NULL);
}

/* --- lists ---------------------------------------------------------------------------------- */

static void write_as(struct world *world, const char *caller, const char *action, const char *type,
	const char *id, bool security, size_t count)
{
	struct some some = audit_some(count);

	some.entry.action = str_from_c(action);
	some.entry.type = str_from_c(type);
	some.entry.id = str_from_c(id);
	some.entry.security = security;
	world_do(world, caller, audit_write_some, &some);
}

WORLD_TEST(audit_list_is_filtered, audit_world)
{
	static const struct {
		const char *query;
		size_t count;
	} cases[] = {
		{ "", 14 },
		{ "action=user.created", 4 },
		{ "action=user.*", 7 },
		{ "action=user.created.*", 0 },
		{ "action=use.*", 0 },
		{ "action=users.created", 2 },
		{ "targetId=t1", 4 },
		{ "targetId=t1&targetType=user", 4 },
		{ "targetId=t1&targetType=role", 0 },
		{ "targetType=role", 5 },
		{ "security=true", 3 },
		{ "security=false", 11 },
		{ "security=true&action=user.*", 3 },
		{ "userId=01900000-0000-7000-8000-0000000000aa", 14 },
		{ "userId=01900000-0000-7000-8000-0000000000ab", 0 },
		{ "keyId=01900000-0000-7000-8000-0000000000aa", 0 },
		{ "userId=01900000-0000-7000-8000-0000000000aa&targetId=r1", 5 },
		{ "from=2020-01-01T00:00:00Z", 14 },
		{ "to=2020-01-01T00:00:00Z", 0 },
		{ "from=9000-01-01T00:00:00Z", 0 },
		{ "to=9000-01-01T00:00:00Z&action=role.changed", 5 },
		{ "targetId=%27%20OR%201=1", 0 },
	};

	write_as(world, "ada", "user.created", "user", "t1", false, 4);
	write_as(world, "ada", "user.locked", "user", "t2", true, 3);
	write_as(world, "ada", "users.created", "users", "t3", false, 2);
	write_as(world, "ada", "role.changed", "role", "r1", false, 5);
	write_as(world, "bob", "user.created", "user", "t1", true, 9);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct answer answer =
			world_get(world, "ada", "/api/v1/audit?limit=100&%s", cases[i].query);

		test_note(answer.status == 200 &&
				  answer_count(&answer, "\"createdAt\"") == cases[i].count,
			__FILE__, __LINE__, "%s: status %d, %zu items", cases[i].query,
			answer.status, answer_count(&answer, "\"createdAt\""));
	}
}

WORLD_TEST(audit_query_is_checked, audit_world)
{
	static const char *const bad[] = { "action=User", "action=*", "action=user.", "action=.*",
		"userId=x", "from=yesterday", "security=maybe", "cursor=abc", "limit=0",
		"limit=101", "action=user.*.created", "other=1&limit=" };

	for (size_t i = 0; i < LEN(bad); i++)
		test_note(world_get(world, "ada", "/api/v1/audit?%s", bad[i]).status == 400,
			__FILE__, __LINE__, "%s", bad[i]);
	EXPECT_INT(world_get(world, "ada", "/api/v1/audit/export?format=xml").status, 400);
	EXPECT_INT(world_get(world, NULL, "/api/v1/audit").status, 401);
	EXPECT_INT(world_get(world, "Ada", "/api/v1/audit").status, 403);
	EXPECT_INT(world_get(world, "Ada", "/api/v1/audit/export").status, 403);
	EXPECT_INT(world_get(world, "nemo", "/api/v1/audit").status, 403);
	EXPECT_INT(world_get(world, "nemo", "/api/v1/audit/export").status, 403);
}

/* Pages follow one another, newest first, each entry once; a filter goes along; the cursor of a
 * tenant shows another one nothing but its own. */
WORLD_TEST(audit_list_is_paged, audit_world)
{
	char cursor[600] = "", first[600] = "", last[100] = "~";
	size_t seen = 0, pages = 0;

	write_as(world, "ada", "user.created", "user", "t1", false, 23);
	write_as(world, "ada", "role.changed", "role", "r1", false, 3);
	write_as(world, "bob", "user.created", "user", "b1", false, 2);
	do {
		struct answer answer = world_get(
			world, "ada", "/api/v1/audit?limit=5&action=user.*&cursor=%s", cursor);

		REQUIRE(answer.status == 200);
		EXPECT(strcmp(answer_text(&answer, "id"), last) < 0);
		(void)snprintf(last, sizeof(last), "%s", answer_text(&answer, "id"));
		seen += answer_count(&answer, "\"action\":\"user.created\"");
		EXPECT_INT(answer_count(&answer, "role.changed"), 0);
		(void)snprintf(cursor, sizeof(cursor), "%s", answer_text(&answer, "nextCursor"));
		if (pages++ == 0)
			(void)snprintf(first, sizeof(first), "%s", cursor);
	} while (cursor[0] && pages < 10);
	EXPECT_INT(seen, 23);
	EXPECT_INT(pages, 5);

	EXPECT_INT(answer_count(&(struct answer[]){ world_get(
					world, "bob", "/api/v1/audit?cursor=%s", first) }[0],
			   "t1"),
		0);
}

/* Entries with long states make pages of fewer entries; none is lost. */
WORLD_TEST(audit_page_is_bounded, audit_world)
{
	static char text[AUDIT_STATE_MAX - 200];
	struct subject person = { .id = str_of(text, sizeof(text)) };
	struct some some = audit_some(150);
	char cursor[600] = "";
	size_t seen = 0, pages = 0;

	memset(text, 'x', sizeof(text));
	some.entry.before = NULL;
	some.entry.after = &person;
	world_do(world, "ada", audit_write_some, &some);
	do {
		struct answer answer =
			world_get(world, "ada", "/api/v1/audit?limit=100&cursor=%s", cursor);

		REQUIRE(answer.status == 200);
		seen += answer_count(&answer, "\"createdAt\"");
		(void)snprintf(cursor, sizeof(cursor), "%s", answer_text(&answer, "nextCursor"));
		pages++;
	} while (cursor[0] && pages < 10);
	EXPECT_INT(seen, 150);
	EXPECT_INT(pages, 3);
}

/* --- export ----------------------------------------------------------------------------------- */

static size_t count_lines(struct str text)
{
	size_t count = 0;

	for (size_t i = 0; i < text.len; i++)
		count += text.at[i] == '\n';
	return count;
}

WORLD_TEST(audit_export_is_whole, audit_world)
{
	struct audit_heads heads = { 0 };
	struct answer answer;
	size_t done;

	write_as(world, "ada", "user.created", "user", "target of ada", false,
		2 * AUDIT_EXPORT_BATCH + 1);
	write_as(world, "bob", "user.created", "user", "b1", false, 3);
	answer = world_get(world, "ada", "/api/v1/audit/export");
	EXPECT_INT(answer.status, 200);
	EXPECT_STR(response_header(&answer.response, S("content-type")), S("application/jsonl"));
	EXPECT_INT(
		count_lines(answer.body), 2 * AUDIT_EXPORT_BATCH + 3); /* and itself, and the end */
	EXPECT_INT(answer_count(&answer, "\"b1\""), 0);
	EXPECT(str_ends(answer.body, S("\"head\":null}\n")));

	world_do(world, "ada", audit_chain_all, NULL);
	answer = world_get(world, "ada",
		"/api/v1/audit/export?action=audit.exported&from=2020-01-01T00:00:00Z");
	EXPECT_INT(count_lines(answer.body), 3);
	REQUIRE(audit_heads_add(&heads, answer.body, true, &done) == 0);
	EXPECT_INT(heads.count, 1);
	EXPECT_INT(heads.forged, 0);
	EXPECT_INT(heads.at[0].sequence, 2 * AUDIT_EXPORT_BATCH + 2);
	EXPECT_INT(audit_verdict_of(world, &heads).report.found, 0);
	audit_heads_done(&heads);

	answer = world_get(world, "bob", "/api/v1/audit/export?format=csv&targetId=b1");
	EXPECT_INT(count_lines(answer.body), 5);
	EXPECT(str_starts(answer.body, S("id,sequence,createdAt,")));
	EXPECT(str_find(answer.body, S("\r\n\"# audit-head:1:")) > 0);
	EXPECT_INT(answer_count(&answer, "target of ada"), 0);
}

#ifdef BULKHEAD_FAULTS
/* Whichever allocation fails: an error, or a part that does not look like the whole. */
WORLD_TEST(audit_requests_survive_failures, audit_world)
{
	static const char *const paths[] = { "GET /api/v1/audit?action=user.*",
		"GET /api/v1/audit/export", "GET /api/v1/audit/export?format=csv" };

	write_as(world, "ada", "user.created", "user", "t1", false, 5);
	world_do(world, "ada", audit_chain_all, NULL);
	for (size_t i = 0; i < LEN(paths); i++)
		for (int nth = 1; nth < 60; nth += 3) {
			struct client *client = client_open(world->net);
			char header[50];
			struct answer answer;

			(void)snprintf(header, sizeof(header), "X-Fault: %d\r\n", nth);
			world_send(client, "ada", paths[i], header, NULL);
			answer = world_answer(client);
			EXPECT(answer.status == 200 || answer.status == 503 || answer.status == 0);
			client_close(client);
		}
	EXPECT_INT(world_get(world, "ada", "/api/v1/audit").status, 200);
	world_do(world, "ada", audit_chain_all, NULL);
	EXPECT_INT(audit_verdict_of(world, NULL).report.found, 0);
}
#endif
