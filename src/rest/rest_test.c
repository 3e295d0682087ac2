/*
 * Repeated requests, writes and pages, over HTTP, on both engines: a module of things that are made
 * in all the ways that a handler can make them.
 */
#include "rest/idempotency.h"

#include "observe/clock.h"
#include "rest/db.h"
#include "rest/in_flight.h"
#include "rest/kept.h"
#include "rest/page.h"
#include "rest/world_test.h"
#include "rest/write.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- things ----------------------------------------------------------------------------- */

static const char thing_sql[] =
	"-- up 1: things\n"
	"CREATE TABLE main.thing (\n"
	"	tenant_id uuid NOT NULL,\n"
	"	id uuid NOT NULL,\n"
	"	name text NOT NULL,\n"
	"	version bigint NOT NULL,\n"
	"	PRIMARY KEY (tenant_id, id)\n"
	") --sqlite: WITHOUT ROWID\n"
	";\n"
	"CREATE UNIQUE INDEX thing_by_name ON main.thing (tenant_id, name);\n";

struct thing {
	struct str id, name;
	int64_t version;
};

struct thing_new {
	struct str name;
};

struct thing_query {
	int64_t limit;
	struct str cursor;
	struct str after_id;
};

struct thing_page {
	LIST_OF(struct thing) items;
};

/* clang-format off */
static const struct schema thing_schema = SCHEMA(thing, "Something.",
	FIELD(thing, id, "Which.", .format = FORMAT_UUID),
	FIELD(thing, name, "Its name.", RANGE(1, 100)),
	FIELD(thing, version, "Its version."));

static const struct schema thing_new_schema = SCHEMA(thing_new, "Something to be.",
	FIELD(thing_new, name, "Its name.", .flags = REQUIRED, RANGE(1, 100)));

static const struct schema thing_query_schema = SCHEMA(thing_query, "Which things.",
	PAGE_FIELDS(thing_query));

static const struct schema thing_search_schema = SCHEMA(thing_query, "Which rows.",
	FIELD(thing_query, limit, "How many."),
	FIELD(thing_query, after_id, "From where.", .format = FORMAT_UUID));

static const struct schema thing_page_schema = SCHEMA(thing_page, "Things.",
	LIST(thing_page, items, "Those of this page.", .item = RULES(.nested = &thing_schema)));
/* clang-format on */

static const struct statement thing_insert = STATEMENT("thing_insert",
	.sql = "INSERT INTO main.thing (tenant_id, id, name, version) "
	       "VALUES (:tenant, :id, :name, :version)",
	.in = &thing_schema);

static const struct statement thing_list = STATEMENT("thing_list",
	.sql = "SELECT id, name, version FROM thing WHERE tenant_id = :tenant AND id > :after_id "
	       "ORDER BY id LIMIT :limit + 1",
	.in = &thing_search_schema, .out = &thing_schema);

struct seal {
	struct opt_str sealed;
};

static const struct schema seal_schema =
	SCHEMA(seal, "What is kept.", FIELD(seal, sealed, "An answer."));

static const struct statement seal_list = STATEMENT("seal_list",
	.sql = "SELECT sealed FROM idempotency WHERE tenant_id = :tenant ORDER BY created_us",
	.out = &seal_schema);

static const struct statement seal_all = STATEMENT("seal_all",
	.sql = "UPDATE main.idempotency SET sealed = :sealed WHERE tenant_id = :tenant",
	.in = &seal_schema);

static const struct statement *const statements[] = { &thing_insert, &thing_list, &seal_list,
	&seal_all };

static _Atomic size_t runs;

struct creation {
	const struct thing_new *in;
	struct thing *ret;
};

static int create_in_tx(struct tx *tx, void *arg)
{
	struct creation *creation = arg;
	struct thing thing = { .name = creation->in->name, .version = 1 };
	char *text = arena_alloc(tx_arena(tx), UUID_TEXT_LEN);
	struct uuid id;
	int r;

	if (!text)
		return -(int)err_last()->code;
	uuid_v7(&id, tx_now_us(tx));
	uuid_write(text, &id);
	thing.id = str_of(text, UUID_TEXT_LEN);
	r = tx_exec(tx, &thing_insert, &thing);
	if (r == 0)
		*creation->ret = thing;
	if (r == 0 && str_eq(thing.name, S("refused")))
		return fail(ERR_INVALID, "this one is refused");
	return r;
}

static int thing_create(struct req *req, const struct thing_new *in, struct thing *out)
{
	struct creation creation = { in, out };

	runs++;
	return req_write(req, create_in_tx, &creation);
}
HANDLER(thing_create, thing_new, thing, 0)

/* The answer never leaves: what a crash behind the commit looks like to the client. */
static int thing_lose(struct req *req, const struct thing_new *in, struct thing *out)
{
	int r = thing_create(req, in, out);

	return r < 0 ? r : fail(ERR_INTERNAL, "lost");
}
HANDLER(thing_lose, thing_new, thing, 0)

/* A real crash at that moment. */
static int thing_die(struct req *req, const struct thing_new *in, struct thing *out)
{
	int r = thing_create(req, in, out);

	(void)kill(getpid(), SIGKILL);
	return r;
}
HANDLER(thing_die, thing_new, thing, 0)

/* Writes, but not by req_write. */
static int thing_plain(struct req *req, const struct thing_new *in, struct thing *out)
{
	struct creation creation = { in, out };
	struct db db = req_db(req);

	runs++;
	return db_write(&db, create_in_tx, &creation);
}
HANDLER(thing_plain, thing_new, thing, 0)

static int thing_nothing(struct req *req, const struct thing_new *in, struct nothing *out)
{
	(void)req, (void)in, (void)out;
	runs++;
	return 0;
}
HANDLER(thing_nothing, thing_new, nothing, 0)

/* Long enough that a repetition meets it. */
static int thing_slow(struct req *req, const struct thing_new *in, struct thing *out)
{
	int r = fiber_sleep_until(sched_now() + SECOND / 2);

	return r < 0 ? r : thing_create(req, in, out);
}
HANDLER(thing_slow, thing_new, thing, 0)

/* As if another instance had done the same request while this one did it. */
static int thing_late(struct req *req, const struct thing_new *in, struct thing *out)
{
	struct db db = req_db(req);
	struct repeat other;
	struct kept kept;
	struct str data;
	int r;

	*out = (struct thing){ S_INIT("00000000-0000-7000-8000-000000000001"), S_INIT("faster"),
		7 };
	REQUIRE(req->repeat);
	other = *(struct repeat *)req->repeat;
	if (str_eq(in->name, S("mismatch")))
		other.fingerprint[0] ^= 1;
	r = kept_make(req, &other, &kept, &data);
	if (r < 0)
		return r;
	if (str_eq(in->name, S("unreadable")))
		kept.sealed.value.len--;
	r = db_exec(&db, &kept_insert, &kept);
	return r < 0 ? r : thing_create(req, in, out);
}
HANDLER(thing_late, thing_new, thing, 0)

static int system_in_tx(struct tx *tx, void *arg)
{
	struct creation *creation = arg;
	struct uuid id = world_tenant("bob");
	int r = tx_enter(tx, &id);

	if (r == 0)
		r = create_in_tx(tx, creation);
	return r < 0 ? r : tx_leave(tx);
}

static int thing_for_bob(struct req *req, const struct thing_new *in, struct thing *out)
{
	struct creation creation = { in, out };

	runs++;
	return req_system_write(req, system_in_tx, &creation);
}
HANDLER(thing_for_bob, thing_new, thing, 0)

static const struct page_order by_id = {
	.name = S_INIT("things by id"),
	.list = &thing_list,
	.key = { "id" },
	.after = { "after_id" },
	.start = { UUID_FIRST },
};

static int things_get(struct req *req, const struct thing_query *in, struct thing_page *out)
{
	struct thing_query query = *in;
	struct db db = req_db(req);
	int r;

	r = page_begin(req, &by_id, in->cursor, &query);
	if (r < 0)
		return r;
	r = db_all(&db, &thing_list, &query, &out->items.at, &out->items.count);
	if (r < 0)
		return r;
	return page_end(req, &by_id, in->limit, out->items.at, &out->items.count);
}
HANDLER(things_get, thing_query, thing_page, 0)

#define MAKE(path_, handler_, out_, ...)                                                           \
	{                                                                                          \
		HTTP_POST, path_, "Make one", .place = ROUTE_PUBLIC, .handler = &(handler_),       \
					      .in = &thing_new_schema, .out = (out_),              \
					      .idempotent = true, __VA_ARGS__                      \
	}

static const struct route routes[] = {
	MAKE("/things", thing_create_handler, &thing_schema, .need = "things:write", .status = 201,
		.versioned = true),
	MAKE("/bare", thing_create_handler, &thing_schema, .need = "things:write",
		.shape = ROUTE_BARE),
	MAKE("/lost", thing_lose_handler, &thing_schema, .need = "things:write"),
	MAKE("/die", thing_die_handler, &thing_schema, .need = "things:write"),
	MAKE("/plain", thing_plain_handler, &thing_schema, .need = "things:write", .status = 201),
	MAKE("/nothing", thing_nothing_handler, NULL, .need = "things:write"),
	MAKE("/slow", thing_slow_handler, &thing_schema, .need = "things:write", .status = 201),
	MAKE("/late", thing_late_handler, &thing_schema, .need = "things:write", .status = 201,
		.versioned = true),
	MAKE("/open", thing_nothing_handler, NULL, .need = RIGHT_PUBLIC),
	MAKE("/for-bob", thing_for_bob_handler, &thing_schema, .need = "platform:things"),
	MAKE("/not-for-bob", thing_for_bob_handler, &thing_schema, .need = "things:write"),
	{ HTTP_GET, "/things", "List", .place = ROUTE_PUBLIC, .handler = &things_get_handler,
		.in = &thing_query_schema, .out = &thing_page_schema, .need = "things:read" },
};

static const struct module things_module = {
	MODULE_HEAD,
	.name = "things",
	.routes = routes,
	.route_count = LEN(routes),
	.migrations = thing_sql,
	.statements = statements,
	.statement_count = LEN(statements),
};

static const struct module *const modules[] = { &rest_module, &things_module, NULL };

/* --- helpers --------------------------------------------------------------------------------- */

#define KEY(text) "Idempotency-Key: " text "\r\n"

static struct answer post(struct world *world, const char *caller, const char *path,
	const char *key, const char *name)
{
	char request[200], headers[300] = "", body[300];

	(void)snprintf(request, sizeof(request), "POST %s", path);
	if (key)
		(void)snprintf(headers, sizeof(headers), KEY("%s"), key);
	(void)snprintf(body, sizeof(body), "{\"name\":\"%s\"}", name);
	return world_call(world, caller, request, headers, body);
}

static bool replayed(const struct answer *answer)
{
	return str_eq(response_header(&answer->response, S("idempotent-replayed")), S("true"));
}

static size_t things_of(struct world *world, const char *caller)
{
	struct answer answer = world_get(world, caller, "/things?limit=100");

	EXPECT_INT(answer.status, 200);
	return answer_count(&answer, "\"name\":");
}

static void nothing_in_work(void)
{
	EXPECT_INT(in_flight_count(), 0);
}

/* --- repeated requests ---------------------------------------------------- */

WORLD_TEST(repeat_is_done_once, modules)
{
	struct answer first = post(world, "ada", "/things", "k1", "one"), second;
	const char *id = answer_text(&first, "id"), *request = answer_text(&first, "requestId");

	EXPECT_INT(first.status, 201);
	EXPECT(!replayed(&first));
	EXPECT_STR(response_header(&first.response, S("etag")), S("\"1\""));

	for (int i = 0; i < 3; i++) {
		second = post(world, "ada", "/things", "k1", "one");
		EXPECT_INT(second.status, 201);
		EXPECT(replayed(&second));
		EXPECT_STR(response_header(&second.response, S("etag")), S("\"1\""));
		EXPECT_STR(str_from_c(answer_text(&second, "id")), str_from_c(id));
		EXPECT_STR(str_from_c(answer_text(&second, "statusCode")), S("201"));
		EXPECT(strcmp(answer_text(&second, "requestId"), request) != 0);
	}
	second = world_call(world, "ada", "POST /things", KEY("\"k1\""), "{\"name\":\"one\"}");
	EXPECT(replayed(&second)); /* in quotes it is the same key */
	EXPECT_INT(runs, 1);
	EXPECT_INT(things_of(world, "ada"), 1);
	nothing_in_work();
}

WORLD_TEST(repeat_tells_requests_apart, modules)
{
	static const struct {
		const char *caller, *path, *key, *name;
		int status;
	} cases[] = {
		{ "ada", "/things", "k", "one", 201 },
		{ "ada", "/things", "k", "other", 422 }, /* another body */
		{ "ada", "/things", "l", "two", 201 },   /* another key */
		{ "ada", "/plain", "k", "three", 201 },  /* another route */
		{ "alf", "/things", "k", "four", 201 },  /* another user of the tenant */
		{ "bob", "/things", "k", "five", 201 },  /* another tenant */
		{ "ada", "/things", NULL, "six", 201 },  /* no key at all */
		{ "ada", "/things", "k", "one", 201 },   /* still known */
		{ "ada", "/things", "k k", "one", 400 }, /* no key */
		{ "Ada", "/things", "k", "one", 403 },   /* rights come first */
		{ NULL, "/things", "k", "one", 401 },
	};
	struct answer answer;

	for (size_t i = 0; i < LEN(cases); i++) {
		answer = post(world, cases[i].caller, cases[i].path, cases[i].key, cases[i].name);
		if (!EXPECT_INT(answer.status, cases[i].status))
			fprintf(stderr, "  row %zu: %.*s\n", i, STR_ARG(answer.body));
	}
	answer = world_call(world, "ada", "POST /things", KEY("k"), "{\"name\": \"one\"}");
	EXPECT_INT(answer.status, 422); /* another body, if only by a space */
	EXPECT_STR(str_from_c(answer_text(&answer, "code")), S("IDEMPOTENCY_MISMATCH"));
	EXPECT_INT(runs, 6);
	EXPECT_INT(things_of(world, "ada"), 5);
	EXPECT_INT(things_of(world, "bob"), 1);
	nothing_in_work();
}

WORLD_TEST(repeat_keeps_no_failures, modules)
{
	struct answer answer = post(world, "ada", "/things", "k", "refused");

	EXPECT_INT(answer.status, 400); /* by the transaction, whose row is gone */
	EXPECT_INT(things_of(world, "ada"), 0);
	answer = world_call(world, "ada", "POST /things", KEY("k"), "{\"nome\":1}");
	EXPECT_INT(answer.status, 400); /* by validation */
	answer = world_call(world, "ada", "POST /things", KEY("k"), "{");
	EXPECT_INT(answer.status, 400);
	answer = world_call(world, "ada", "POST /things", KEY("k"), NULL);
	EXPECT_INT(answer.status, 400); /* without a body */

	answer = post(world, "ada", "/things", "k", "one");
	EXPECT_INT(answer.status, 201);
	EXPECT(!replayed(&answer));
	answer = post(world, "ada", "/things", "l", "one"); /* the name is taken */
	EXPECT_INT(answer.status, 409);
	EXPECT(!replayed(&answer));
	EXPECT_STR(str_from_c(answer_text(&answer, "field")), S("name"));
	EXPECT_INT(things_of(world, "ada"), 1);
	nothing_in_work();
}

WORLD_TEST(repeat_finds_what_was_committed_before_a_crash, modules)
{
	struct answer answer = post(world, "ada", "/lost", "k", "one");

	EXPECT_INT(answer.status, 500);
	answer = post(world, "ada", "/lost", "k", "one");
	EXPECT_INT(answer.status, 200);
	EXPECT(replayed(&answer));
	EXPECT_STR(str_from_c(answer_text(&answer, "name")), S("one"));
	EXPECT_INT(runs, 1);
	EXPECT_INT(things_of(world, "ada"), 1);
}

WORLD_TEST(repeat_keeps_answers_of_other_handlers, modules)
{
	static const struct {
		const char *path;
		int status;
		const char *contains;
	} cases[] = {
		{ "/plain", 201, "{\"success\":true,\"statusCode\":201,\"data\":{\"id\":" },
		{ "/bare", 200, "{\"id\":\"" },
		{ "/nothing", 204, "" },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		size_t before = runs;
		struct answer answer = post(world, "ada", cases[i].path, "k", cases[i].path);
		char data[300];

		EXPECT_INT(answer.status, cases[i].status);
		EXPECT(!replayed(&answer));
		EXPECT(str_starts(answer.body, str_from_c(cases[i].contains)));
		(void)snprintf(data, sizeof(data), "%.*s",
			STR_ARG(str_first(answer.body, 120))); /* ends before the request id */

		answer = post(world, "ada", cases[i].path, "k", cases[i].path);
		EXPECT_INT(answer.status, cases[i].status);
		EXPECT(replayed(&answer));
		EXPECT_STR(str_first(answer.body, strlen(data)), str_from_c(data));
		EXPECT_INT(runs, before + 1);
	}
	nothing_in_work();
}

WORLD_TEST(repeat_of_nobody_is_done_again, modules)
{
	for (size_t i = 1; i <= 2; i++) {
		struct answer answer = post(world, NULL, "/open", "k", "one");

		EXPECT_INT(answer.status, 204);
		EXPECT(!replayed(&answer));
		answer = post(world, "nemo", "/open", "k", "one"); /* has no tenant */
		EXPECT_INT(answer.status, 204);
		EXPECT(!replayed(&answer));
		EXPECT_INT(runs, 2 * i);
	}
	EXPECT_INT(post(world, "nemo", "/things", "k", "one").status, 403);
	nothing_in_work();
}

WORLD_TEST(repeat_meets_the_first_in_work, modules)
{
	struct client *first = client_open(world->net);
	struct answer answer;

	world_send(first, "ada", "POST /slow", KEY("k"), "{\"name\":\"one\"}");
	while (in_flight_count() == 0)
		loopback_pause(world->net);
	answer = post(world, "ada", "/slow", "k", "one");
	EXPECT_INT(answer.status, 409);
	answer = post(world, "ada", "/slow", "l", "two"); /* another key is none of its business */
	EXPECT_INT(answer.status, 201);
	answer = world_answer(first);
	EXPECT_INT(answer.status, 201);
	EXPECT(!replayed(&answer));
	answer = post(world, "ada", "/slow", "k", "one");
	EXPECT_INT(answer.status, 201);
	EXPECT(replayed(&answer));
	EXPECT_INT(things_of(world, "ada"), 2);
	nothing_in_work();
}

WORLD_TEST(repeat_twenty_at_once, modules)
{
	enum { COUNT = 20, ROUNDS = 10 };
	struct client *clients[COUNT];

	for (int i = 0; i < COUNT; i++)
		clients[i] = client_open(world->net);
	for (int round = 0; round < ROUNDS; round++) {
		char key[60], body[60], id[UUID_TEXT_LEN + 1] = "";
		size_t made = 0;

		(void)snprintf(key, sizeof(key), KEY("round-%d"), round);
		(void)snprintf(body, sizeof(body), "{\"name\":\"%d\"}", round);
		for (int i = 0; i < COUNT; i++)
			world_send(clients[i], "ada", "POST /things", key, body);
		for (int i = 0; i < COUNT; i++) {
			struct answer answer = world_answer(clients[i]);

			if (answer.status == 409)
				continue;
			EXPECT_INT(answer.status, 201);
			made += !replayed(&answer);
			if (!id[0])
				(void)snprintf(id, sizeof(id), "%s", answer_text(&answer, "id"));
			EXPECT_STR(str_from_c(answer_text(&answer, "id")), str_from_c(id));
		}
		EXPECT_INT(made, 1);
		EXPECT_INT(things_of(world, "ada"), round + 1);
	}
	nothing_in_work();
}

WORLD_TEST(repeat_yields_to_another_instance, modules)
{
	struct answer answer = post(world, "ada", "/late", "k", "one");

	EXPECT_INT(answer.status, 201);
	EXPECT(replayed(&answer));
	EXPECT_STR(str_from_c(answer_text(&answer, "name")), S("faster"));
	EXPECT_STR(response_header(&answer.response, S("etag")), S("\"7\""));
	EXPECT_INT(things_of(world, "ada"), 0);

	answer = post(world, "ada", "/late", "l", "mismatch");
	EXPECT_INT(answer.status, 422);
	answer = post(world, "ada", "/late", "m", "unreadable");
	EXPECT_INT(answer.status, 409);
	EXPECT_INT(answer_count(&answer, "cannot be told again"), 1);
	EXPECT_INT(things_of(world, "ada"), 0);
	nothing_in_work();
}

WORLD_TEST(repeat_of_operators, modules)
{
	struct answer answer;

	for (int i = 0; i < 2; i++) {
		answer = post(world, "otto", "/for-bob", "k", "one");
		EXPECT_INT(answer.status, 200);
		EXPECT(replayed(&answer) == (i == 1));
	}
	EXPECT_INT(runs, 1);
	EXPECT_INT(things_of(world, "bob"), 1);
	EXPECT_INT(things_of(world, "otto"), 0);
	EXPECT_INT(post(world, "ada", "/for-bob", NULL, "two").status, 403);
	EXPECT_INT(
		post(world, "otto", "/not-for-bob", NULL, "two").status, 403); /* by the handle */
	EXPECT_INT(things_of(world, "bob"), 1);
}

/* --- sealing ---------------------------------------------------------------------- */

/* All rows of the tenant get the box of the first one. */
static int copy_box(const struct db *db, void *arg)
{
	struct seal *seals;
	size_t count;
	int r = db_all(db, &seal_list, NULL, &seals, &count);

	(void)arg;
	if (r == 0) {
		EXPECT_INT(count, 2);
		EXPECT(!str_eq(seals[0].sealed.value, seals[1].sealed.value));
		r = db_exec(db, &seal_all, &seals[0]);
	}
	return r;
}

/* As they were before there were boxes. */
static int remove_boxes(const struct db *db, void *arg)
{
	struct seal none = { 0 };

	(void)arg;
	return db_exec(db, &seal_all, &none);
}

static void expect_unreadable(struct world *world, const char *key, const char *name)
{
	struct answer answer = post(world, "ada", "/things", key, name);

	EXPECT_INT(answer.status, 409);
	EXPECT(!replayed(&answer));
	EXPECT_INT(answer_count(&answer, "cannot be told again"), 1);
}

WORLD_TEST(repeat_is_not_done_again_when_its_answer_is_unreadable, modules)
{
	EXPECT_INT(post(world, "ada", "/things", "k", "one").status, 201);
	EXPECT_INT(post(world, "ada", "/things", "l", "two").status, 201);
	world_do(world, "ada", copy_box, NULL);
	EXPECT_INT(post(world, "ada", "/things", "k", "one").status, 201);
	expect_unreadable(world, "l", "two");
	world_do(world, "ada", remove_boxes, NULL);
	expect_unreadable(world, "k", "one");
	expect_unreadable(world, "l", "two");
	EXPECT_INT(runs, 2);
	EXPECT_INT(things_of(world, "ada"), 2);
	nothing_in_work();
}

/* --- kill -9 between commit and answer -------------------------------------------- */

static void call_and_die(struct world *world)
{
	world_send(world->client, "ada", "POST /die", KEY("k"), "{\"name\":\"one\"}");
	(void)client_fill(world->client);
}

static void call_again(struct world *world)
{
	struct answer answer = post(world, "ada", "/die", "k", "one");

	EXPECT_INT(answer.status, 200);
	EXPECT(replayed(&answer));
	EXPECT_STR(str_from_c(answer_text(&answer, "name")), S("one"));
	EXPECT_INT(runs, 0);
	EXPECT_INT(things_of(world, "ada"), 1);
}

static void make_one(struct world *world)
{
	EXPECT_INT(post(world, "ada", "/things", "k", "one").status, 201);
}

static void find_one(struct world *world)
{
	struct answer answer = post(world, "ada", "/things", "k", "one");

	EXPECT_INT(answer.status, 201);
	EXPECT(replayed(&answer));
}

static void find_none(struct world *world)
{
	expect_unreadable(world, "k", "one");
	EXPECT_INT(runs, 0);
	EXPECT_INT(things_of(world, "ada"), 1);
}

/* In a process of its own, on the same database; `killed`: by itself. */
static void run_in_child(
	const struct store_options *options, void (*body)(struct world *), bool killed)
{
	pid_t child = fork();
	int status;

	REQUIRE(child >= 0);
	if (child == 0) {
		world_run_on(options, modules, body);
		test_end();
	}
	EXPECT_INT(waitpid(child, &status, 0), child);
	EXPECT(killed ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void on_one_database(enum engine_kind engine, void (*steps)(const struct store_options *))
{
	struct store_options options = { 0 };
	char path[256];

	options.folder = world_folder(path, sizeof(path));
	if (engine == ENGINE_POSTGRES)
		options.url = store_test_postgres(false);
	steps(&options);
	world_remove_folder(path);
}

static void kill_before_the_answer(const struct store_options *options)
{
	run_in_child(options, call_and_die, true);
	run_in_child(options, call_again, false);
}

TEST(repeat_after_kill_sqlite)
{
	on_one_database(ENGINE_SQLITE, kill_before_the_answer);
}

TEST(repeat_after_kill_postgres)
{
	on_one_database(ENGINE_POSTGRES, kill_before_the_answer);
}

static void change_the_key(const struct store_options *options)
{
	run_in_child(options, make_one, false);
	run_in_child(options, find_one, false);
	world_master_key.bytes[0] ^= 1;
	run_in_child(options, find_none, false);
	world_master_key.bytes[0] ^= 1;
	run_in_child(options, find_one, false);
}

TEST(repeat_under_another_master_key_sqlite)
{
	on_one_database(ENGINE_SQLITE, change_the_key);
}

TEST(repeat_under_another_master_key_postgres)
{
	on_one_database(ENGINE_POSTGRES, change_the_key);
}

/* --- no memory ---------------------------------------------------------------------- */

/* Whatever allocation fails: what was answered with success is there, what was not can be asked for
 * again, and in the end each is there once. */
WORLD_TEST(repeat_without_memory, modules)
{
	enum { MOST = 60, ENOUGH = 20 };
	size_t made = 0, failed = 0;

#ifndef BULKHEAD_FAULTS
	test_skip("without faults");
#endif
	for (int nth = 1, whole = 0; whole < ENOUGH && nth < MOST; nth++, made++) {
		char headers[100], body[60];
		struct answer answer;
		int first;

		(void)snprintf(headers, sizeof(headers), KEY("%d") "X-Fault: %d\r\n", nth, nth);
		(void)snprintf(body, sizeof(body), "{\"name\":\"%d\"}", nth);
		answer = world_call(world, "ada", "POST /things", headers, body);
		first = answer.status;
		EXPECT(first == 201 || first == 503 || first == 500 || first == 0);
		whole = first == 201 ? whole + 1 : 0;
		failed += first != 201;
		if (first == 0) /* not even an error could be said */
			world->client = client_open(world->net);

		(void)snprintf(headers, sizeof(headers), KEY("%d"), nth);
		answer = world_call(world, "ada", "POST /things", headers, body);
		EXPECT_INT(answer.status, 201);
		EXPECT(first != 201 || replayed(&answer));
	}
	EXPECT(failed > 0);
	EXPECT_INT(things_of(world, "ada"), made);
	nothing_in_work();
}

/* --- sweeping ------------------------------------------------------------- */

static uint64_t now_ns(void *arg)
{
	struct timespec time;

	(void)arg;
	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

/* The wall clock, some hours ahead. */
static int64_t wall_us(void *arg)
{
	_Atomic int64_t *hours = arg;
	struct timespec time;

	(void)clock_gettime(CLOCK_REALTIME, &time);
	return time.tv_sec * INT64_C(1000000) + time.tv_nsec / 1000 +
	       *hours * (int64_t)(HOUR / MICROSECOND);
}

static int sweep(const struct db *db, void *arg)
{
	return idempotency_sweep(db->store, arg);
}

WORLD_TEST(repeat_is_forgotten_after_a_day, modules)
{
	static _Atomic int64_t hours;
	static const struct clock_source source = { now_ns, wall_us, (void *)&hours };
	size_t deleted = 7;

	clock_replace(&source);
	for (int i = 0; i < 30; i++) {
		char name[12];

		(void)snprintf(name, sizeof(name), "%d", i);
		EXPECT_INT(post(world, i % 2 ? "ada" : "bob", "/things", name, name).status, 201);
	}
	hours = 12;
	EXPECT_INT(post(world, "ada", "/things", "late", "late").status, 201);
	hours = 23;
	world_do(world, "o", sweep, &deleted);
	EXPECT_INT(deleted, 0);
	hours = 25;
	world_do(world, "o", sweep, &deleted);
	EXPECT_INT(deleted, 30);
	world_do(world, "o", sweep, &deleted);
	EXPECT_INT(deleted, 0);

	EXPECT_INT(post(world, "ada", "/things", "1", "1").status, 409); /* done again: taken */
	EXPECT_INT(post(world, "ada", "/things", "late", "late").status, 201);
	clock_replace(NULL);
}

/* --- pages ---------------------------------------------------------------- */

WORLD_TEST(pages_follow_each_other, modules)
{
	enum { COUNT = 45 };
	char cursor[600] = "", last[UUID_TEXT_LEN + 1] = "";
	size_t seen = 0, pages = 0;

	for (int i = 0; i < COUNT; i++) {
		char name[12];

		(void)snprintf(name, sizeof(name), "%d", i);
		EXPECT_INT(post(world, "ada", "/things", NULL, name).status, 201);
	}
	EXPECT_INT(post(world, "bob", "/things", NULL, "of bob").status, 201);

	do {
		struct answer answer =
			world_get(world, "ada", "/things%s%s", cursor[0] ? "?cursor=" : "", cursor);
		struct answer rest = answer;
		ptrdiff_t at;

		REQUIRE(answer.status == 200);
		while ((at = str_find(rest.body, S("\"id\":"))) >= 0) {
			const char *id;

			rest.body = str_from(rest.body, (size_t)at);
			id = answer_text(&rest, "id");
			EXPECT(strcmp(id, last) > 0);
			(void)snprintf(last, sizeof(last), "%s", id);
			rest.body = str_from(rest.body, 1);
			seen++;
		}
		(void)snprintf(cursor, sizeof(cursor), "%s", answer_text(&answer, "nextCursor"));
		pages++;
	} while (cursor[0] && pages < 10);
	EXPECT_INT(pages, 3);
	EXPECT_INT(seen, COUNT);
}

WORLD_TEST(pages_at_their_bounds, modules)
{
	struct answer answer = world_get(world, "ada", "/things");
	const char *cursor;

	EXPECT_INT(answer.status, 200);
	EXPECT_INT(answer_count(&answer, "nextCursor"), 0);
	EXPECT_INT(answer_count(&answer, "\"items\":[]"), 1);

	EXPECT_INT(post(world, "ada", "/things", NULL, "one").status, 201);
	EXPECT_INT(post(world, "ada", "/things", NULL, "two").status, 201);
	answer = world_get(world, "ada", "/things?limit=2"); /* exactly full: nothing follows */
	EXPECT_INT(answer_count(&answer, "nextCursor"), 0);
	answer = world_get(world, "ada", "/things?limit=1");
	EXPECT_INT(answer_count(&answer, "nextCursor"), 1);
	cursor = answer_text(&answer, "nextCursor");
	answer = world_get(world, "ada", "/things?limit=1&cursor=%s", cursor);
	EXPECT_INT(answer_count(&answer, "nextCursor"), 0);
	EXPECT_INT(answer_count(&answer, "\"two\""), 1);
	answer = world_get(world, "bob", "/things?cursor=%s", cursor); /* the tenant is not in it */
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(answer_count(&answer, "\"name\""), 0);

	EXPECT_INT(world_get(world, "ada", "/things?limit=0").status, 400);
	EXPECT_INT(world_get(world, "ada", "/things?limit=101").status, 400);
	EXPECT_INT(world_get(world, "ada", "/things?cursor=AAAA").status, 400);
	answer = world_get(world, "ada", "/things?cursor=%sA", cursor);
	EXPECT_INT(answer.status, 400);
	EXPECT_STR(str_from_c(answer_text(&answer, "field")), S("cursor"));
	EXPECT_INT(answer_count(&answer, "\"invalid_cursor\""), 1);
}
