/*
 * That it works: the rules by tables, the API on both engines over a real port, what happens when
 * several want the same thing at once, and that tenants do not meet. Bulkhead's own tests run this
 * file (rest/world_test.h tells who the callers are).
 */
#include "notes.h"

#include "base/err.h"
#include "rest/idempotency.h"
#include "rest/world_test.h"

#include <stdio.h>

static const struct module *const modules[] = { &rest_module, &notes_module, NULL };

/* --- rules ------------------------------------------------------------------------------- */

#define TEXT(text)                                                                                 \
	{                                                                                          \
		.set = true, .value = S_INIT(text)                                                 \
	}

TEST(note_merge)
{
	static const struct {
		struct note_patch patch;
		const char *title, *tag; /* afterwards; "" without */
		bool pinned, changed;
	} cases[] = {
		{ { .title = { 0 } }, "Tea", "home", false, false },
		{ { .title = TEXT("Tea") }, "Tea", "home", false, false },
		{ { .title = TEXT("Milk") }, "Milk", "home", false, true },
		{ { .body = TEXT("now") }, "Tea", "home", false, true },
		{ { .tag = TEXT("home") }, "Tea", "home", false, false },
		{ { .tag = TEXT("work") }, "Tea", "work", false, true },
		{ { .tag = { .set = true, .null = true } }, "Tea", "", false, true },
		{ { .pinned = { .set = true } }, "Tea", "home", false, false },
		{ { .pinned = { .set = true, .value = true } }, "Tea", "home", true, true },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct note note = { .title = S("Tea"), .body = S(""), .tag = TEXT("home") };

		EXPECT(note_merge(&note, &cases[i].patch) == cases[i].changed);
		EXPECT_STR(note.title, str_from_c(cases[i].title));
		EXPECT_STR(note.tag.value, str_from_c(cases[i].tag));
		EXPECT(note.tag.set == (cases[i].tag[0] != '\0'));
		EXPECT(note.pinned == cases[i].pinned);
	}
}

TEST(note_check_pinned)
{
	EXPECT_INT(note_check_pinned(0), 0);
	EXPECT_INT(note_check_pinned(NOTES_PINNED_MAX - 1), 0);
	EXPECT_INT(note_check_pinned(NOTES_PINNED_MAX), -ERR_CONFLICT);
	EXPECT_STR(str_from_c(err_last()->field), S("pinned"));
}

/* --- helpers -------------------------------------------------------------------------------- */

/* A new note; its id is good for some calls. */
static const char *write_note(struct world *world, const char *caller, const char *body)
{
	struct answer answer = world_call(world, caller, "POST /api/v1/notes", "", body);

	EXPECT_INT(answer.status, 201);
	return answer_text(&answer, "id");
}

static struct answer call_note(struct world *world, const char *caller, const char *method,
	const char *id, const char *headers, const char *body)
{
	char request[200];

	(void)snprintf(request, sizeof(request), "%s /api/v1/notes/%s", method, id);
	return world_call(world, caller, request, headers, body);
}

/* How many events of the caller's tenant there are. */
struct event_count {
	struct str type;
	int64_t count;
};

/* clang-format off */
static const struct schema event_count_schema = SCHEMA(event_count, "How many events.",
	FIELD(event_count, type, "Of which type."), FIELD(event_count, count, "So many."));
/* clang-format on */

static const struct statement events_of = STATEMENT("notes_test_events",
	.sql = "SELECT count(*) AS count FROM outbox WHERE tenant_id = :tenant AND type = :type",
	.in = &event_count_schema, .out = &event_count_schema);

static const struct statement *const test_statements[] = { &events_of };

static const struct module test_module = {
	MODULE_HEAD,
	.name = "notes-test",
	.statements = test_statements,
	.statement_count = LEN(test_statements),
};

static const struct module *const with_events[] = { &rest_module, &notes_module, &test_module,
	NULL };

static int count_events(const struct db *db, void *arg)
{
	return db_one(db, &events_of, arg, arg);
}

static int64_t events(struct world *world, const char *caller, struct str type)
{
	struct event_count events = { .type = type };

	world_do(world, caller, count_events, &events);
	return events.count;
}

/* --- the API ---------------------------------------------------------------------------------- */

WORLD_TEST(notes_api, modules)
{
	static const struct {
		const char *title, *caller, *request, *body;
		int status;
		const char *contains;
	} cases[] = {
		{ "smallest", "ada", "POST /api/v1/notes", "{\"title\":\"a\"}", 201,
			"\"version\":1" },
		{ "all members", "ada", "POST /api/v1/notes",
			"{\"title\":\"b\",\"body\":\"c\\n\",\"tag\":\"d\",\"pinned\":true}", 201,
			"\"pinned\":true" },
		{ "no title", "ada", "POST /api/v1/notes", "{}", 400, "\"field\":\"title\"" },
		{ "several mistakes", "ada", "POST /api/v1/notes",
			"{\"title\":\"\",\"tag\":\"A B\",\"pinned\":1}", 400, "\"invalid_slug\"" },
		{ "only we set it", "ada", "POST /api/v1/notes", "{\"title\":\"a\",\"version\":9}",
			400, "\"unknown_member\"" },
		{ "not allowed", "Ada", "POST /api/v1/notes", "{\"title\":\"a\"}", 403, "" },
		{ "nobody", NULL, "POST /api/v1/notes", "{\"title\":\"a\"}", 401, "" },
		{ "no tenant", "nemo", "POST /api/v1/notes", "{\"title\":\"a\"}", 403, "" },
		{ "list", "ada", "GET /api/v1/notes", NULL, 200, "\"title\":\"b\"" },
		{ "other tenant", "bob", "GET /api/v1/notes", NULL, 200, "\"items\":[]" },
		{ "no note", "ada", "GET /api/v1/notes/01900000-0000-7000-8000-00000000ffff", NULL,
			404, "" },
		{ "no id", "ada", "GET /api/v1/notes/1", NULL, 400, "\"invalid_uuid\"" },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct answer answer =
			world_call(world, cases[i].caller, cases[i].request, "", cases[i].body);

		if (!EXPECT_INT(answer.status, cases[i].status) ||
			!EXPECT(str_find(answer.body, str_from_c(cases[i].contains)) >= 0))
			fprintf(stderr, "  %s: %.*s\n", cases[i].title, STR_ARG(answer.body));
	}
}

WORLD_TEST(notes_are_changed, with_events)
{
	const char *id = write_note(world, "ada", "{\"title\":\"Tea\",\"tag\":\"home\"}");
	struct answer answer;

	answer = call_note(world, "ada", "GET", id, "", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT_STR(response_header(&answer.response, S("etag")), S("\"1\""));
	answer = call_note(world, "ada", "GET", id, "If-None-Match: \"1\"\r\n", NULL);
	EXPECT_INT(answer.status, 304);

	answer =
		call_note(world, "ada", "PATCH", id, "If-Match: \"1\"\r\n", "{\"title\":\"Milk\"}");
	EXPECT_INT(answer.status, 200);
	EXPECT_STR(response_header(&answer.response, S("etag")), S("\"2\""));
	EXPECT_STR(str_from_c(answer_text(&answer, "title")), S("Milk"));
	EXPECT_STR(str_from_c(answer_text(&answer, "tag")), S("home"));
	answer = call_note(world, "ada", "PATCH", id, "If-Match: \"1\"\r\n", "{\"title\":\"Ale\"}");
	EXPECT_INT(answer.status, 412);
	answer = call_note(world, "ada", "PATCH", id, "", "{\"tag\":null}");
	EXPECT_STR(response_header(&answer.response, S("etag")), S("\"3\""));
	EXPECT_INT(answer_count(&answer, "\"tag\""), 0);
	answer = call_note(world, "ada", "PATCH", id, "", "{\"title\":\"Milk\"}");
	EXPECT_STR(response_header(&answer.response, S("etag")), S("\"3\"")); /* as it was */
	EXPECT_INT(events(world, "ada", S("note.created")), 1);
	EXPECT_INT(events(world, "ada", S("note.changed")), 2);

	EXPECT_INT(call_note(world, "ada", "DELETE", id, "If-Match: \"2\"\r\n", NULL).status, 412);
	EXPECT_INT(call_note(world, "ada", "DELETE", id, "If-Match: \"3\"\r\n", NULL).status, 204);
	EXPECT_INT(call_note(world, "ada", "DELETE", id, "", NULL).status, 404);
	EXPECT_INT(call_note(world, "ada", "GET", id, "", NULL).status, 404);
	EXPECT_INT(events(world, "ada", S("note.deleted")), 1);
	EXPECT_INT(events(world, "bob", S("note.created")), 0);
}

WORLD_TEST(notes_are_filtered_and_paged, modules)
{
	static const struct {
		const char *query;
		size_t count; /* on the first page */
		bool more;
	} cases[] = {
		{ "", 20, true },
		{ "?limit=30", 30, false },
		{ "?title=Note+1", 11, false },
		{ "?title=note", 0, false },
		{ "?title=%25", 0, false }, /* no wildcards */
		{ "?tag=odd", 15, false },
		{ "?tag=odd&limit=15", 15, false },
		{ "?tag=odd&limit=14", 14, true },
		{ "?pinned=true", 3, false },
		{ "?pinned=false&limit=100", 27, false },
		{ "?pinned=true&tag=odd", 1, false },
		{ "?pinned=true&tag=odd&title=Note+2", 0, false },
	};

	for (int i = 0; i < 30; i++) {
		char body[100];

		(void)snprintf(body, sizeof(body), "{\"title\":\"Note %d\",%s\"pinned\":%s}", i,
			i % 2 ? "\"tag\":\"odd\"," : "", i < 3 ? "true" : "false");
		(void)write_note(world, "ada", body);
	}
	for (size_t i = 0; i < LEN(cases); i++) {
		struct answer answer = world_get(world, "ada", "/api/v1/notes%s", cases[i].query);

		EXPECT_INT(answer.status, 200);
		if (!EXPECT_INT(answer_count(&answer, "\"version\""), cases[i].count) ||
			!EXPECT(answer_count(&answer, "\"nextCursor\"") == cases[i].more))
			fprintf(stderr, "  query %s\n", cases[i].query);
	}
	struct answer first = world_get(world, "ada", "/api/v1/notes?tag=odd&limit=14");
	struct answer last = world_get(world, "ada", "/api/v1/notes?tag=odd&limit=14&cursor=%s",
		answer_text(&first, "nextCursor"));

	EXPECT_STR(str_from_c(answer_text(&last, "title")), S("Note 1")); /* the oldest odd one */
	EXPECT_INT(answer_count(&last, "\"version\""), 1);
}

WORLD_TEST(notes_of_tenants_do_not_meet, modules)
{
	const char *id = write_note(world, "ada", "{\"title\":\"secret\"}");

	EXPECT_INT(call_note(world, "alf", "GET", id, "", NULL).status, 200); /* the same tenant */
	EXPECT_INT(call_note(world, "bob", "GET", id, "", NULL).status, 404);
	EXPECT_INT(call_note(world, "bob", "PATCH", id, "", "{\"title\":\"x\"}").status, 404);
	EXPECT_INT(call_note(world, "bob", "DELETE", id, "", NULL).status, 404);
	EXPECT_INT(call_note(world, "otto", "GET", id, "", NULL).status, 404); /* operators, too */
	EXPECT_INT(call_note(world, "ada", "GET", id, "", NULL).status, 200);
}

WORLD_TEST(note_is_written_once, with_events)
{
	static const char headers[] = "Idempotency-Key: k\r\n", body[] = "{\"title\":\"once\"}";
	struct answer first, second;
	const char *id;

	first = world_call(world, "ada", "POST /api/v1/notes", headers, body);
	id = answer_text(&first, "id");
	second = world_call(world, "ada", "POST /api/v1/notes", headers, body);
	EXPECT_INT(second.status, 201);
	EXPECT_STR(str_from_c(answer_text(&second, "id")), str_from_c(id));
	EXPECT_STR(response_header(&second.response, S("idempotent-replayed")), S("true"));
	EXPECT_INT(events(world, "ada", S("note.created")), 1);
}

/* --- several at once ------------------------------------------------------ */

enum { CLIENTS = 8 };

/* Sends the same change by all clients at once; how many came through. */
static size_t race(struct world *world, struct client **clients, const char *const *requests,
	const char *headers, const char *body, int refused)
{
	size_t won = 0;

	(void)world;
	for (size_t i = 0; i < CLIENTS; i++)
		world_send(clients[i], "ada", requests[i], headers, body);
	for (size_t i = 0; i < CLIENTS; i++) {
		int status = world_answer(clients[i]).status;

		won += status == 200;
		EXPECT(status == 200 || status == refused);
	}
	return won;
}

/* Of changes that were made for the same version one wins, and none is lost. */
WORLD_TEST(note_race_for_a_version, modules)
{
	struct client *clients[CLIENTS];
	const char *requests[CLIENTS];
	char request[100];
	const char *id = write_note(world, "ada", "{\"title\":\"0\"}");

	(void)snprintf(request, sizeof(request), "PATCH /api/v1/notes/%s", id);
	for (size_t i = 0; i < CLIENTS; i++) {
		clients[i] = client_open(world->net);
		requests[i] = request;
	}
	for (int version = 1; version <= 10; version++) {
		char headers[40], body[40];

		(void)snprintf(headers, sizeof(headers), "If-Match: \"%d\"\r\n", version);
		(void)snprintf(body, sizeof(body), "{\"title\":\"%d\"}", version);
		EXPECT_INT(race(world, clients, requests, headers, body, 412), 1);
	}
}

/* Each looks how many are pinned and pins another one: together they must not pin too many. */
WORLD_TEST(note_race_for_the_last_pins, modules)
{
	struct client *clients[CLIENTS];
	const char *requests[CLIENTS];
	char texts[CLIENTS][100];
	struct answer answer;

	for (int i = 0; i < NOTES_PINNED_MAX - 2; i++)
		(void)write_note(world, "ada", "{\"title\":\"pinned\",\"pinned\":true}");
	for (size_t i = 0; i < CLIENTS; i++) {
		(void)snprintf(texts[i], sizeof(texts[i]), "PATCH /api/v1/notes/%s",
			write_note(world, "ada", "{\"title\":\"free\"}"));
		clients[i] = client_open(world->net);
		requests[i] = texts[i];
	}
	EXPECT_INT(race(world, clients, requests, "", "{\"pinned\":true}", 409), 2);
	answer = world_get(world, "ada", "/api/v1/notes?pinned=true");
	EXPECT_INT(answer_count(&answer, "\"version\""), NOTES_PINNED_MAX);
	answer = world_call(
		world, "ada", "POST /api/v1/notes", "", "{\"title\":\"x\",\"pinned\":true}");
	EXPECT_INT(answer.status, 409);
	EXPECT_STR(str_from_c(answer_text(&answer, "field")), S("pinned"));
}
