/*
 * Tenants over HTTP on both engines: what operators do with them, what they see of themselves, who
 * is let in, and that a deleted one leaves nothing while its neighbour keeps everything, also when
 * the process is killed on the way.
 */
#include "modules/tenants/tenants_internal.h"

#include "modules/tenants/tenants_world_test.h"
#include "observe/clock_test.h"
#include "rest/idempotency.h"
#include "rest/world_test.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- rules ------------------------------------------------------------------------------- */

#define VALUE(key_, json_)                                                                         \
	{                                                                                          \
		S_INIT(key_),                                                                      \
		{                                                                                  \
			S_INIT(json_)                                                              \
		}                                                                                  \
	}

TEST(tenant_settings_are_merged)
{
	static const struct {
		struct setting before[2], patch[3];
		size_t before_count, patch_count;
		const char *after; /* "a=1 b=2" */
	} cases[] = {
		{ { VALUE("a", "1"), VALUE("b", "2") }, { VALUE("a", "3") }, 2, 1, "a=3 b=2 " },
		{ { VALUE("a", "1"), VALUE("b", "2") }, { VALUE("a", "null") }, 2, 1, "b=2 " },
		{ { VALUE("a", "1") }, { VALUE("b", "[]"), VALUE("c", "{}") }, 1, 2,
			"a=1 b=[] c={} " },
		{ { VALUE("a", "1") }, { VALUE("b", "null") }, 1, 1, "a=1 " },
		{ { VALUE("a", "1") }, { VALUE("a", "null"), VALUE("b", "2"), VALUE("a", "3") }, 1,
			3, "b=2 a=3 " },
		{ { VALUE("a", "1") }, { VALUE("b", "0") }, 1, 0, "a=1 " },
	};
	struct arena arena;

	arena_init(&arena, KILOBYTE, MEGABYTE);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct tenant tenant = { .settings = { (struct setting *)cases[i].before,
						 cases[i].before_count } };
		struct tenant_patch patch = { .settings = { (struct setting *)cases[i].patch,
						      cases[i].patch_count } };
		char text[200] = "";

		EXPECT_INT(tenant_merge(&arena, &patch, &tenant), 0);
		for (size_t k = 0; k < tenant.settings.count; k++)
			(void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
				"%.*s=%.*s ", STR_ARG(tenant.settings.at[k].key),
				STR_ARG(tenant.settings.at[k].value.json));
		EXPECT_STR(str_from_c(text), str_from_c(cases[i].after));
	}
	arena_done(&arena);
}

TEST(tenant_settings_are_bounded)
{
	static struct setting all[TENANT_SETTINGS_MAX + 1];
	static char names[TENANT_SETTINGS_MAX + 1][8], value[TENANT_SETTING_BYTES];
	struct tenant tenant = { 0 };
	struct tenant_patch patch = { .settings = { all, TENANT_SETTINGS_MAX } };
	struct arena arena;

	arena_init(&arena, KILOBYTE, MEGABYTE);
	memset(value, '1', sizeof(value));
	for (size_t i = 0; i < LEN(all); i++) {
		(void)snprintf(names[i], sizeof(names[i]), "%zu", i);
		all[i] = (struct setting){ str_from_c(names[i]), { S("1") } };
	}
	EXPECT_INT(tenant_merge(&arena, &patch, &tenant), 0);
	patch.settings = (struct settings){ all + TENANT_SETTINGS_MAX, 1 };
	EXPECT_INT(tenant_merge(&arena, &patch, &tenant), -ERR_INVALID);
	EXPECT_STR(str_from_c(err_last()->rule), S("too_many"));

	tenant = (struct tenant){ 0 };
	patch.settings = (struct settings){ all, TENANT_SETTINGS_BYTES / TENANT_SETTING_BYTES };
	for (size_t i = 0; i < patch.settings.count; i++)
		all[i].value.json = str_of(value, sizeof(value));
	EXPECT_INT(
		tenant_merge(&arena, &patch, &tenant), -ERR_INVALID); /* the names are too much */
	EXPECT_STR(str_from_c(err_last()->rule), S("too_large"));
	for (size_t i = 0; i < patch.settings.count; i++)
		all[i].value.json.len -= 1;
	tenant = (struct tenant){ 0 };
	EXPECT_INT(tenant_merge(&arena, &patch, &tenant), 0);
	arena_done(&arena);
}

TEST(tenant_moves)
{
	static const struct {
		enum tenant_status from, to;
		int result;
	} cases[] = {
		{ TENANT_ACTIVE, TENANT_ACTIVE, 0 },
		{ TENANT_ACTIVE, TENANT_SUSPENDED, 1 },
		{ TENANT_ACTIVE, TENANT_DELETING, 1 },
		{ TENANT_SUSPENDED, TENANT_ACTIVE, 1 },
		{ TENANT_SUSPENDED, TENANT_DELETING, 1 },
		{ TENANT_DELETING, TENANT_DELETING, 0 },
		{ TENANT_DELETING, TENANT_ACTIVE, -ERR_CONFLICT },
		{ TENANT_DELETING, TENANT_SUSPENDED, -ERR_CONFLICT },
	};
	struct tenant system = { .tenant_id = S("00000000-0000-8000-8000-000000000001") };

	for (size_t i = 0; i < LEN(cases); i++) {
		struct tenant tenant = { .tenant_id = S("01900000-0000-7000-8000-000000000001"),
			.status = cases[i].from };

		EXPECT_INT(tenant_move(&tenant, cases[i].to), cases[i].result);
		EXPECT(tenant.status == (cases[i].result < 0 ? cases[i].from : cases[i].to));
	}
	EXPECT_INT(tenant_move(&system, TENANT_ACTIVE), 0);
	EXPECT_INT(tenant_move(&system, TENANT_SUSPENDED), -ERR_CONFLICT);
	EXPECT_INT(tenant_move(&system, TENANT_DELETING), -ERR_CONFLICT);
}

/* --- two tables of tenants, one that refers to the other ------------------------------------ */

static const char pets_sql[] =
	"-- up 1: owners and pets\n"
	"CREATE TABLE main.owner (\n"
	"	tenant_id uuid NOT NULL,\n"
	"	id bigint NOT NULL,\n"
	"	PRIMARY KEY (tenant_id, id)\n"
	") --sqlite: WITHOUT ROWID\n"
	";\n"
	"CREATE TABLE main.pet (\n"
	"	tenant_id uuid NOT NULL,\n"
	"	id bigint NOT NULL,\n"
	"	owner_id bigint NOT NULL,\n"
	"	PRIMARY KEY (tenant_id, id),\n"
	"	FOREIGN KEY (tenant_id, owner_id) REFERENCES main.owner (tenant_id, id)\n"
	");\n"
	"CREATE INDEX pet_by_owner ON main.pet (tenant_id, owner_id);\n";

struct pet {
	int64_t id, owner_id;
};

struct event_row {
	struct str type;
	struct opt_str subject;
};

/* clang-format off */
static const struct schema pet_schema = SCHEMA(pet, "A pet, or an owner.",
	FIELD(pet, id, "Which."), FIELD(pet, owner_id, "Whose."));

static const struct schema event_row_schema = SCHEMA(event_row, "An event.",
	FIELD(event_row, type, "What happened."), FIELD(event_row, subject, "To what."));
/* clang-format on */

static const struct statement owner_add = STATEMENT("test_owner_add",
	.sql = "INSERT INTO main.owner (tenant_id, id) VALUES (:tenant, :id)", .in = &pet_schema);
static const struct statement pet_add = STATEMENT("test_pet_add",
	.sql = "INSERT INTO main.pet (tenant_id, id, owner_id) VALUES (:tenant, :id, :owner_id)",
	.in = &pet_schema);
static const struct statement event_all = STATEMENT("test_event_all",
	.sql = "SELECT type, subject FROM outbox WHERE tenant_id = :tenant ORDER BY position",
	.out = &event_row_schema);
static const struct statement event_system = STATEMENT("test_event_system",
	.sql = "SELECT type, subject FROM main.outbox WHERE tenant_id = :tenant ORDER BY position",
	.out = &event_row_schema, .flags = STATEMENT_SYSTEM);

static const struct statement *const statements[] = { &owner_add, &pet_add, &event_all,
	&event_system };

static int hello(struct req *req, const struct nothing *in, struct nothing *out)
{
	(void)req, (void)in, (void)out;
	return 0;
}
HANDLER(hello, nothing, nothing, 0)

static const struct route routes[] = {
	{ HTTP_GET, "/pets", "Whether one is let in", .place = ROUTE_PUBLIC,
		.handler = &hello_handler, .need = "pets:read" },
	{ HTTP_GET, "/public", "The same for all", .place = ROUTE_PUBLIC, .handler = &hello_handler,
		.need = RIGHT_PUBLIC },
};

static const struct module pets_module = {
	MODULE_HEAD,
	.name = "pets",
	.routes = routes,
	.route_count = LEN(routes),
	.migrations = pets_sql,
	.statements = statements,
	.statement_count = LEN(statements),
};

static const struct module *const modules[] = { &rest_module, &pets_module, &tenants_module,
	&tenant_fixture_module, &audit_module, NULL };

/* --- helpers ---------------------------------------------------------------------------------- */

enum { OWNERS = 600, PETS = 1700 };

static int fill_in_tx(struct tx *tx, void *arg)
{
	int r = 0;

	(void)arg;
	for (int64_t i = 0; i < OWNERS && r == 0; i++)
		r = tx_exec(tx, &owner_add, &(struct pet){ i, 0 });
	for (int64_t i = 0; i < PETS && r == 0; i++)
		r = tx_exec(tx, &pet_add, &(struct pet){ i, i % OWNERS });
	return r;
}

static int fill(const struct db *db, void *arg)
{
	return db_write(db, fill_in_tx, arg);
}

static int count_left(const struct db *db, void *arg)
{
	return tenant_rows_left(db->store, &db->tenant, db->arena, arg);
}

static int64_t rows_left(struct world *world, const char *caller)
{
	int64_t rows = -1;

	world_do(world, caller, count_left, &rows);
	return rows;
}

static int purge(const struct db *db, void *arg)
{
	return tenants_purge(db->store, arg);
}

struct events {
	const struct statement *statement;
	char text[2000]; /* types, a space behind each */
};

static int read_events(const struct db *db, void *arg)
{
	struct events *events = arg;
	struct event_row *rows;
	size_t count;
	int r = db_all(db, events->statement, NULL, &rows, &count);

	for (size_t i = 0; i < count && r == 0; i++)
		(void)snprintf(events->text + strlen(events->text),
			sizeof(events->text) - strlen(events->text), "%.*s ",
			STR_ARG(rows[i].type));
	return r;
}

static const char *events_of(struct world *world, const char *caller)
{
	static struct events events;

	events = (struct events){ *caller == 'o' ? &event_system : &event_all, "" };
	world_do(world, caller, read_events, &events);
	return events.text;
}

static const char *id_of(const char *caller)
{
	static char texts[4][UUID_TEXT_LEN + 1];
	static size_t next;
	struct uuid id = world_tenant(caller);
	char *text = texts[next++ % LEN(texts)];

	uuid_write(text, &id);
	text[UUID_TEXT_LEN] = '\0';
	return text;
}

static struct answer call(struct world *world, const char *caller, const char *method,
	const char *id, const char *what, const char *headers, const char *body)
{
	char request[200];

	(void)snprintf(request, sizeof(request), "%s /api/v1/tenants/%s%s", method, id, what);
	return world_call(world, caller, request, headers, body);
}

static int status_of(struct world *world, const char *caller, const char *path)
{
	return world_get(world, caller, "%s", path).status;
}

/* --- operators ------------------------------------------------------------ */

WORLD_TEST(tenants_api, modules)
{
	static const struct {
		const char *title, *caller, *request, *body;
		int status;
		const char *contains;
	} cases[] = {
		{ "smallest", "otto", "POST /api/v1/tenants",
			"{\"slug\":\"acme\",\"name\":\"Acme\"}", 201,
			"\"tier\":\"free\",\"status\":\"active\",\"settings\":{},\"limits\":{}," },
		{ "all members", "otto", "POST /api/v1/tenants",
			"{\"slug\":\"beta\",\"name\":\"Beta\",\"tier\":\"enterprise\",\"settings\":"
			"{\"theme\":{\"dark\":true},\"gone\":null},\"limits\":{"
			"\"requestsPerMinute\":5}}",
			201,
			"\"settings\":{\"theme\":{\"dark\":true}},\"limits\":{"
			"\"requestsPerMinute\":5}" },
		{ "the slug is taken", "otto", "POST /api/v1/tenants",
			"{\"slug\":\"acme\",\"name\":\"x\"}", 409, "\"field\":\"slug\"" },
		{ "that of the installation is, too", "otto", "POST /api/v1/tenants",
			"{\"slug\":\"system\",\"name\":\"x\"}", 409, "\"code\":\"unique\"" },
		{ "no slug", "otto", "POST /api/v1/tenants", "{\"slug\":\"A b\",\"name\":\"x\"}",
			400, "\"invalid_slug\"" },
		{ "a name of a setting", "otto", "POST /api/v1/tenants",
			"{\"slug\":\"ccc\",\"name\":\"x\",\"settings\":{\"a b\":1}}", 400,
			"settings" },
		{ "only we set it", "otto", "POST /api/v1/tenants",
			"{\"slug\":\"ccc\",\"name\":\"x\",\"status\":\"active\"}", 400, "status" },
		{ "not an operator", "ada", "POST /api/v1/tenants",
			"{\"slug\":\"ddd\",\"name\":\"x\"}", 403, "" },
		{ "list", "otto", "GET /api/v1/tenants", NULL, 200, "\"slug\":\"beta\"" },
		{ "by tier", "otto", "GET /api/v1/tenants?tier=starter", NULL, 200,
			"\"items\":[]" },
		{ "by status", "otto", "GET /api/v1/tenants?status=active&limit=1", NULL, 200,
			"nextCursor" },
		{ "no such status", "otto", "GET /api/v1/tenants?status=gone", NULL, 400,
			"invalid_enum" },
		{ "list by others", "ada", "GET /api/v1/tenants", NULL, 403, "" },
		{ "the installation", "otto",
			"GET /api/v1/tenants/00000000-0000-8000-8000-000000000001", NULL, 200,
			"\"slug\":\"system\"" },
		{ "none", "otto", "GET /api/v1/tenants/01900000-0000-7000-8000-00000000ffff", NULL,
			404, "" },
		{ "none to change", "otto",
			"PATCH /api/v1/tenants/01900000-0000-7000-8000-00000000ffff", "{}", 404,
			"" },
		{ "itself", "ada", "GET /api/v1/tenant", NULL, 200, "\"slug\":\"alpha\"" },
		{ "changes itself", "ada", "PATCH /api/v1/tenant",
			"{\"name\":\"Alpha!\",\"settings\":{\"a\":[1,2]}}", 200, "\"a\":[1,2]" },
		{ "but not that", "ada", "PATCH /api/v1/tenant", "{\"tier\":\"enterprise\"}", 400,
			"unknown_member" },
		{ "without a right", "Ada", "PATCH /api/v1/tenant", "{}", 403, "" },
		{ "nobody", NULL, "GET /api/v1/tenant", NULL, 401, "" },
		{ "without a tenant", "nemo", "GET /api/v1/tenant", NULL, 403, "" },
	};

	world_make_tenant(world, "ada", "alpha");
	for (size_t i = 0; i < LEN(cases); i++) {
		struct answer answer =
			world_call(world, cases[i].caller, cases[i].request, "", cases[i].body);

		if (!EXPECT_INT(answer.status, cases[i].status) ||
			!EXPECT(str_find(answer.body, str_from_c(cases[i].contains)) >= 0))
			fprintf(stderr, "  %s: %.*s\n", cases[i].title, STR_ARG(answer.body));
	}
}

WORLD_TEST(tenant_is_changed, modules)
{
	static const char body[] = "{\"slug\":\"acme\",\"name\":\"Acme\"}";
	struct answer answer =
		world_call(world, "otto", "POST /api/v1/tenants", "Idempotency-Key: k\r\n", body);
	const char *id = answer_text(&answer, "id");

	EXPECT_INT(answer.status, 201);
	answer = world_call(world, "otto", "POST /api/v1/tenants", "Idempotency-Key: k\r\n", body);
	EXPECT_STR(str_from_c(answer_text(&answer, "id")), str_from_c(id));

	answer = call(world, "otto", "PATCH", id, "", "If-Match: \"1\"\r\n",
		"{\"tier\":\"starter\",\"slug\":\"acme-2\",\"limits\":{\"requestsPerMinute\":7}}");
	EXPECT_INT(answer.status, 200);
	EXPECT_STR(response_header(&answer.response, S("etag")), S("\"2\""));
	EXPECT_STR(str_from_c(answer_text(&answer, "slug")), S("acme-2"));
	EXPECT_STR(str_from_c(answer_text(&answer, "name")), S("Acme"));
	answer = call(world, "otto", "PATCH", id, "", "If-Match: \"1\"\r\n", "{\"name\":\"x\"}");
	EXPECT_INT(answer.status, 412);
	answer = call(
		world, "otto", "PATCH", id, "", "", "{\"limits\":{\"requestsPerMinute\":null}}");
	EXPECT_INT(answer_count(&answer, "requestsPerMinute"), 0);
	answer = call(world, "otto", "PATCH", id, "", "", "{\"slug\":\"system\"}");
	EXPECT_INT(answer.status, 409);

	EXPECT_INT(call(world, "otto", "POST", id, "/suspend", "If-Match: \"2\"\r\n", NULL).status,
		412);
	answer = call(world, "otto", "POST", id, "/suspend", "If-Match: \"3\"\r\n", NULL);
	EXPECT_STR(str_from_c(answer_text(&answer, "status")), S("suspended"));
	answer = call(world, "otto", "POST", id, "/suspend", "", NULL); /* as it is */
	EXPECT_STR(response_header(&answer.response, S("etag")), S("\"4\""));
	answer = call(world, "otto", "POST", id, "/resume", "", NULL);
	EXPECT_STR(response_header(&answer.response, S("etag")), S("\"5\""));
	answer = call(world, "otto", "DELETE", id, "", "If-Match: \"4\"\r\n", NULL);
	EXPECT_INT(answer.status, 412);
	answer = call(world, "otto", "DELETE", id, "", "", NULL);
	EXPECT_INT(answer.status, 202);
	EXPECT_STR(str_from_c(answer_text(&answer, "status")), S("deleting"));
	EXPECT_INT(call(world, "otto", "POST", id, "/resume", "", NULL).status, 409);
	EXPECT_INT(call(world, "otto", "PATCH", id, "", "", "{\"name\":\"x\"}").status, 409);

	id = id_of("otto");
	EXPECT_INT(call(world, "otto", "POST", id, "/suspend", "", NULL).status, 409);
	EXPECT_INT(call(world, "otto", "DELETE", id, "", "", NULL).status, 409);
	EXPECT_INT(call(world, "otto", "GET", id, "", "", NULL).status, 200);
}

/* --- who is let in -------------------------------------------------------- */

WORLD_TEST(tenant_is_suspended, modules)
{
	EXPECT_INT(status_of(world, "ada", "/pets"), 403); /* there is no such tenant */
	EXPECT_INT(status_of(world, NULL, "/public"), 204);
	EXPECT_INT(status_of(world, "nemo", "/public"), 204);

	world_make_tenant(world, "bob", "beta");
	EXPECT_INT(status_of(world, "bob", "/pets"), 204);
	EXPECT_INT(call(world, "otto", "POST", id_of("bob"), "/suspend", "", NULL).status, 200);
	EXPECT_INT(status_of(world, "bob", "/pets"), 403);
	EXPECT_INT(status_of(world, "bob", "/public"), 403); /* whoever says who it is */
	EXPECT_INT(status_of(world, NULL, "/public"), 204);
	EXPECT_INT(status_of(world, "bob", "/api/v1/tenant"), 403);
	EXPECT_INT(status_of(world, "otto", "/pets"), 204);
	EXPECT_INT(call(world, "otto", "POST", id_of("bob"), "/resume", "", NULL).status, 200);
	EXPECT_INT(status_of(world, "bob", "/pets"), 204);
	EXPECT_STR(str_from_c(events_of(world, "bob")), S("tenant.suspended tenant.resumed "));
}

struct finding {
	const char *slug; /* NULL: by the id of the handle */
	char name[100];
	int result;
};

static int find(const struct db *db, void *arg)
{
	struct finding *finding = arg;
	struct tenant tenant;
	int r = finding->slug
			? tenant_find_slug(db->store, str_from_c(finding->slug), db->arena, &tenant)
			: tenant_find(db->store, &db->tenant, db->arena, &tenant);

	finding->result = r;
	if (r == 0)
		(void)snprintf(finding->name, sizeof(finding->name), "%.*s", STR_ARG(tenant.name));
	return 0;
}

static struct finding found(struct world *world, const char *caller, const char *slug)
{
	struct finding finding = { .slug = slug };

	world_do(world, caller, find, &finding);
	return finding;
}

WORLD_TEST(tenant_is_found, modules)
{
	EXPECT_INT(found(world, "bob", NULL).result, -ERR_NOT_FOUND);
	EXPECT_INT(found(world, "otto", "acme").result, -ERR_NOT_FOUND); /* and that is kept */
	EXPECT_INT(world_call(world, "otto", "POST /api/v1/tenants", "",
			   "{\"slug\":\"acme\",\"name\":\"Acme\"}")
			   .status,
		201);
	EXPECT_STR(str_from_c(found(world, "otto", "acme").name), S("Acme"));
	EXPECT_STR(str_from_c(found(world, "otto", "system").name), S("System"));

	world_make_tenant(world, "ada", "alpha");
	EXPECT_STR(str_from_c(found(world, "ada", NULL).name), S("alpha"));
	EXPECT_STR(str_from_c(found(world, "otto", "alpha").name), S("alpha"));
	EXPECT_INT(
		world_call(world, "ada", "PATCH /api/v1/tenant", "", "{\"name\":\"Own\"}").status,
		200);
	EXPECT_STR(str_from_c(found(world, "ada", NULL).name), S("Own"));
	EXPECT_INT(call(world, "otto", "PATCH", id_of("ada"), "", "",
			   "{\"name\":\"Other\",\"slug\":\"omega\"}")
			   .status,
		200);
	EXPECT_STR(str_from_c(found(world, "ada", NULL).name), S("Other"));
	EXPECT_STR(str_from_c(found(world, "otto", "omega").name), S("Other"));
	EXPECT_INT(found(world, "otto", "alpha").result, -ERR_NOT_FOUND);
}

/* --- deletion ------------------------------------------------------------- */

static void make_neighbours(struct world *world)
{
	world_make_tenant(world, "ada", "alpha");
	world_make_tenant(world, "bob", "beta");
	world_do(world, "ada", fill, NULL);
	world_do(world, "bob", fill, NULL);
}

WORLD_TEST(tenant_is_deleted, modules)
{
	struct answer answer;
	int64_t before;
	size_t gone = 7;

	clock_ahead(0);
	make_neighbours(world);
	EXPECT_INT(
		call(world, "otto", "PATCH", id_of("bob"), "", "", "{\"name\":\"B\"}").status, 200);
	before = rows_left(world, "bob");
	EXPECT(before >= OWNERS + PETS + 2);

	answer = call(world, "otto", "DELETE", id_of("ada"), "", "", NULL);
	EXPECT_INT(answer.status, 202);
	EXPECT_INT(status_of(world, "ada", "/pets"), 403);
	EXPECT_INT(status_of(world, "bob", "/pets"), 204);
	world_do(world, "otto", purge, &gone); /* too early: somebody may still be at work */
	EXPECT_INT(gone, 0);
	EXPECT(rows_left(world, "ada") > OWNERS + PETS);

	clock_ahead(3 * MINUTE);
	world_do(world, "otto", purge, &gone);
	EXPECT_INT(gone, 1);
	EXPECT_INT(rows_left(world, "ada"), 0);
	EXPECT_INT(rows_left(world, "bob"), before);
	EXPECT_INT(call(world, "otto", "GET", id_of("ada"), "", "", NULL).status, 404);
	EXPECT_INT(call(world, "otto", "GET", id_of("bob"), "", "", NULL).status, 200);
	EXPECT_STR(str_from_c(events_of(world, "otto")), S("tenant.deleted "));

	world_do(world, "otto", purge, &gone);
	EXPECT_INT(gone, 0);
	EXPECT_INT(world_call(world, "otto", "POST /api/v1/tenants", "",
			   "{\"slug\":\"alpha\",\"name\":\"Again\"}")
			   .status,
		201);
	clock_back();
}

/* A purge whose scope ends in the middle stops there. */
static int purge_for_a_moment(const struct db *db, void *arg)
{
	struct scope scope;
	int r;

	scope_open(&scope, sched_now() + MILLISECOND);
	r = tenants_purge(db->store, arg);
	(void)scope_close(&scope);
	EXPECT(r == 0 || r == -ERR_TIMEOUT);
	return 0;
}

WORLD_TEST(tenant_deletion_goes_on, modules)
{
	int64_t before, left = INT64_MAX;
	size_t gone = 0;

	clock_ahead(0);
	make_neighbours(world);
	before = rows_left(world, "bob");
	EXPECT_INT(call(world, "otto", "DELETE", id_of("ada"), "", "", NULL).status, 202);
	clock_ahead(3 * MINUTE);
	for (int i = 0; i < 1000 && gone == 0; i++) {
		world_do(world, "otto", purge_for_a_moment, &gone);
		EXPECT(rows_left(world, "ada") <= left);
		left = rows_left(world, "ada");
	}
	world_do(world, "otto", purge, NULL);
	EXPECT_INT(rows_left(world, "ada"), 0);
	EXPECT_INT(rows_left(world, "bob"), before);
	clock_back();
}

/* --- kill -9 -------------------------------------------------------------- */

static int started[2]; /* a pipe: the deletion begins */

static void begin_deletion(struct world *world)
{
	clock_ahead(3 * MINUTE);
	REQUIRE(write(started[1], "x", 1) == 1);
	world_do(world, "otto", purge, NULL);
}

static void prepare_deletion(struct world *world)
{
	make_neighbours(world);
	EXPECT_INT(call(world, "otto", "DELETE", id_of("ada"), "", "", NULL).status, 202);
}

static void finish_deletion(struct world *world)
{
	struct answer answer = call(world, "otto", "GET", id_of("ada"), "", "", NULL);

	if (answer.status == 200) /* until it is gone it is what it was */
		EXPECT_STR(str_from_c(answer_text(&answer, "status")), S("deleting"));
	clock_ahead(3 * MINUTE);
	world_do(world, "otto", purge, NULL);
	EXPECT_INT(rows_left(world, "ada"), 0);
	EXPECT_INT(rows_left(world, "bob"), OWNERS + PETS + 1);
	EXPECT_STR(str_from_c(events_of(world, "otto")), S("tenant.deleted "));
	clock_back();
}

static void run_in_child(
	const struct store_options *options, void (*body)(struct world *), useconds_t kill_after)
{
	pid_t child;
	int status;
	char byte;

	REQUIRE(pipe(started) == 0);
	child = fork();
	REQUIRE(child >= 0);
	if (child == 0) {
		world_run_on(options, modules, body);
		test_end();
	}
	(void)close(started[1]);
	if (kill_after) {
		EXPECT_INT(read(started[0], &byte, 1), 1);
		(void)usleep(kill_after);
		(void)kill(child, SIGKILL);
	}
	EXPECT_INT(waitpid(child, &status, 0), child);
	EXPECT(kill_after || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
	(void)close(started[0]);
}

/* Each step in a process of its own, on the same database. */
static void kill_in_the_middle(enum engine_kind engine)
{
	struct store_options options = { 0 };
	char path[256];

	options.folder = world_folder(path, sizeof(path));
	if (engine == ENGINE_POSTGRES)
		options.url = store_test_postgres(false);
	run_in_child(&options, prepare_deletion, 0);
	for (useconds_t i = 1; i <= 4; i++)
		run_in_child(&options, begin_deletion, i * 1500);
	run_in_child(&options, finish_deletion, 0);
	world_remove_folder(path);
}

TEST(tenant_deletion_survives_kill_sqlite)
{
	kill_in_the_middle(ENGINE_SQLITE);
}

TEST(tenant_deletion_survives_kill_postgres)
{
	kill_in_the_middle(ENGINE_POSTGRES);
}
