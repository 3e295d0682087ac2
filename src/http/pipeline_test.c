/*
 * The stages between head and handler: their order, what each answers and what it leaves in the
 * answer, with hooks and a second module that note who was asked. Each row is a world and what
 * happens in it, over pipes and sockets, whole and in pieces; and the same with memory that fails.
 */
#include "base/mem.h"
#include "base/num.h"
#include "base/test.h"
#include "http/loopback_test.h"
#include "http/module.h"
#include "observe/clock.h"
#include "schema/schema.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- who was asked ------------------------------------------------------ */

/* Words of what ran for the request: "who may begin run end". All on the test's thread. */
static char trail[100];
static size_t begun, ended;

static void note(const char *word)
{
	size_t len = strlen(trail);

	(void)snprintf(trail + len, sizeof(trail) - len, "%s%s", len ? " " : "", word);
}

/* Of "slow". */
static struct limit two_a_minute = { .quota = 2, .window_ns = MINUTE },
		    three_a_minute = { .quota = 3, .window_ns = MINUTE };

/* "Bearer ada" and so on; what is none of these is no good. */
static int identify(struct req *req, struct caller *ret)
{
	static const struct {
		struct str value;
		struct caller caller;
	} callers[] = {
		{ S_INIT("Bearer ada"), { CALLER_USER, S_INIT("ada"), S_INIT("acme") } },
		{ S_INIT("Bearer eve"), { CALLER_USER, S_INIT("eve"), S_INIT("acme") } },
		{ S_INIT("Bearer pk"), { CALLER_PUBLISHABLE, S_INIT("pk-1"), S_INIT("acme") } },
		{ S_INIT("Bearer sk"), { CALLER_SECRET, S_INIT("sk-1"), S_INIT("acme") } },
		{ S_INIT("Bearer slow"), { CALLER_USER, S_INIT("slow"), S_INIT("other"),
						 .limits = { &two_a_minute, &three_a_minute } } },
	};
	struct str value = h1_value(&req->head, H1_AUTHORIZATION);

	note("who");
	if (!value.at)
		return 0;
	for (size_t i = 0; i < LEN(callers); i++)
		if (str_eq(value, callers[i].value)) {
			*ret = callers[i].caller;
			return 0;
		}
	return fail(ERR_UNAUTHORIZED, "these credentials are no good");
}

static int authorize(struct req *req, struct str right)
{
	note("may");
	if (str_eq(req->caller.id, S("eve")))
		return fail(ERR_FORBIDDEN, "eve lacks %.*s", STR_ARG(right));
	return 0;
}

/* The key says what is known of it. */
static int repeat_begin(struct req *req, struct str key)
{
	note("begin");
	if (str_eq(key, S("kept")))
		return reply_json(req, 201, S("{\"kept\":true}")), 1;
	if (str_eq(key, S("running")))
		return fail(ERR_CONFLICT, "the first one is in work");
	if (str_eq(key, S("other")))
		return fail(ERR_IDEMPOTENCY, "another body");
	begun++;
	return 0;
}

/* Fails by itself, which must not become the answer. */
static void repeat_finish(struct req *req, int result)
{
	char word[40];

	(void)snprintf(word, sizeof(word), "end:%s", result == 0 ? "OK" : err_info(result)->name);
	note(word);
	ended++;
	if (result == 0)
		EXPECT(req->reply.status != 0);
	(void)fail(ERR_IO, "the store of answers is gone");
}

/* --- the module --------------------------------------------------------- */

struct thing {
	struct str name;
};

/* clang-format off */
static const struct schema thing_schema = SCHEMA(thing, "Something with a name.",
	FIELD(thing, name, "Its name.", .flags = REQUIRED, RANGE(1, 20)));
/* clang-format on */

static int make(struct req *req, const struct thing *in, struct thing *out)
{
	(void)req;
	note("run");
	if (str_eq(in->name, S("taken")))
		return fail(ERR_CONFLICT, "this name is taken");
	if (str_eq(in->name, S("broken")))
		return fail(ERR_IO, "the disk is gone");
	*out = *in;
	return 0;
}
HANDLER(make, thing, thing, ROUTE_FAILS(CONFLICT))

/* Who the log thinks it is, and where from. */
static int tell(struct req *req)
{
	const struct log_context *context = log_context_now();
	struct str text = arena_printf(&req->arena, "%.*s|%.*s|%.*s", STR_ARG(context->user_id),
		STR_ARG(context->tenant_id), STR_ARG(req->client_text));

	note("run");
	return text.at ? reply_send(req, 200, S("text/plain"), text) : -(int)err_last()->code;
}

static int swallow(struct req *req)
{
	struct str body;
	int r = req_read_all(req, &body);

	return r < 0 ? r : tell(req);
}

static const struct route routes[] = {
	{ HTTP_GET, "/open", "For all", tell, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
	{ HTTP_GET, "/guarded", "For some", tell, ROUTE_PUBLIC, .need = "things:read" },
	{ HTTP_POST, "/guarded", "Make one", .place = ROUTE_PUBLIC, .handler = &make_handler,
		.in = &thing_schema, .out = &thing_schema, .status = 201, .need = "things:write",
		.idempotent = true, .may_fail = ROUTE_FAILS(CONFLICT) },
	{ HTTP_POST, "/things", "Make one", .place = ROUTE_PUBLIC, .handler = &make_handler,
		.in = &thing_schema, .out = &thing_schema, .status = 201, .need = RIGHT_PUBLIC,
		.idempotent = true, .may_fail = ROUTE_FAILS(CONFLICT) },
	{ HTTP_POST, "/login", "Try", tell, ROUTE_PUBLIC, .need = RIGHT_PUBLIC,
		.limit = ROUTE_LIMIT_AUTH },
	{ HTTP_GET, "/probe", "Ask often", tell, ROUTE_PUBLIC, .need = RIGHT_PUBLIC,
		.limit = ROUTE_LIMIT_NONE },
	{ HTTP_POST, "/tiny", "At most 10 bytes", swallow, ROUTE_PUBLIC, .need = "things:write",
		.body_max = 10 },
};

static const struct module module = {
	MODULE_HEAD,
	.name = "pipeline",
	.routes = routes,
	.route_count = LEN(routes),
};

/* --- worlds ------------------------------------------------------------- */

struct step {
	const char *send;
	int status;
	const char *trail;      /* NULL: any */
	const char *body;       /* a part */
	const char *has, *also; /* parts of the head */
	const char *lacks;
};

struct row {
	const char *origins; /* one that is let in, "*", or NULL */
	const char *proxy;   /* network of trusted proxies */
	struct {
		uint64_t address, global, auth, api, server, tenant; /* a minute; 0: plenty */
	} quota;
	bool limited, no_hooks, no_authorize;
	struct step steps[7];
};

static struct limiter limiters[SERVER_LIMITERS];
static struct str origin;
static struct cors cors;
static struct network proxy;

static void open_limiters(const struct row *row)
{
	static const char *const names[] = { "address", "global", "auth", "api", "server",
		"tenant" };
	const uint64_t quotas[] = { row->quota.address, row->quota.global, row->quota.auth,
		row->quota.api, row->quota.server, row->quota.tenant };

	CHECK(limit_prepare(&two_a_minute) == 0 && limit_prepare(&three_a_minute) == 0);
	for (size_t i = 0; i < SERVER_LIMITERS; i++) {
		const struct limiter_options options = {
			.name = str_from_c(names[i]),
			.algorithm = LIMITER_SLIDING_WINDOW,
			.limit = { .quota = quotas[i] ? quotas[i] : 1000,
				.window_ns = MINUTE,
				.block_ns = i == LIMITER_AUTH ? 15 * MINUTE : 0 },
			.slots = 64,
		};

		CHECK(limiter_init(&limiters[i], &options) == 0);
	}
}

static void set_up(struct server *server, void *arg)
{
	const struct row *row = arg;

	if (!row->no_hooks)
		server->hooks = (struct hooks){ identify, row->no_authorize ? NULL : authorize,
			repeat_begin, repeat_finish };
	if (row->limited) {
		open_limiters(row);
		server->limiters = limiters;
	}
	if (row->origins) {
		origin = str_from_c(row->origins);
		CHECK(cors_init(&cors, &(struct cors_config){ .origins = { &origin, 1 },
					       .credentials = *row->origins != '*' }) == 0);
		server->cors = &cors;
	}
	if (row->proxy) {
		CHECK(network_parse(str_from_c(row->proxy), &proxy) == 0);
		server->proxies = &proxy;
		server->proxy_count = 1;
	}
}

static void take_down(void)
{
	for (size_t i = 0; i < SERVER_LIMITERS; i++) {
		limiter_done(&limiters[i]);
		limiters[i] = (struct limiter){ 0 };
	}
	cors_done(&cors);
	cors = (struct cors){ 0 };
}

static bool has(struct str text, const char *part)
{
	return !part || str_find(text, str_from_c(part)) >= 0;
}

static void try_step(struct loopback *net, const struct step *step)
{
	struct client *client = client_open(net);
	struct response response;

	REQUIRE(client);
	*trail = '\0';
	EXPECT(client_send(client, str_from_c(step->send)));
	response = client_response(client, str_starts(str_from_c(step->send), S("HEAD ")));
	if (!EXPECT(!response.cut && response.status == step->status &&
		    (!step->trail || strcmp(step->trail, trail) == 0) &&
		    has(response.body, step->body) && has(response.head, step->has) &&
		    has(response.head, step->also) &&
		    !(step->lacks && has(response.head, step->lacks))))
		fprintf(stderr, "  for \"%s\"\n  trail \"%s\", came %.*s%.*s\n", step->send, trail,
			STR_ARG(response.head), STR_ARG(response.body));
	client_close(client);
}

static void try_steps(struct loopback *net, void *arg)
{
	const struct row *row = arg;

	for (size_t i = 0; i < LEN(row->steps) && row->steps[i].send; i++)
		try_step(net, &row->steps[i]);
}

static void try_rows(const struct row *rows, size_t count)
{
	static const enum loopback_way ways[] = { LOOPBACK_WHOLE, LOOPBACK_CHOPPED,
		LOOPBACK_SHUFFLED, LOOPBACK_POLLED };

	for (size_t i = 0; i < count * LEN(ways); i++) {
		const struct loopback_options options = {
			.way = ways[i % LEN(ways)], .seed = 5, .module = &module, .set_up = set_up
		};

		begun = ended = 0;
		(void)loopback_run(&options, try_steps, (void *)&rows[i / LEN(ways)]);
		EXPECT_INT(ended, begun);
		take_down();
	}
}

#define LINES           " HTTP/1.1\r\nHost: a\r\n"
#define GET(path, more) "GET " path LINES more "\r\n"
#define POST(path, more, length, body)                                                             \
	"POST " path LINES more "Content-Type: application/json\r\nContent-Length: " length        \
	"\r\n\r\n" body
#define GOOD(path, more)      POST(path, more, "12", "{\"name\":\"x\"}")
#define EMPTY(path, more)     POST(path, more, "2", "{}")
#define BY(who)               "Authorization: Bearer " who "\r\n"
#define KEY(key)              "Idempotency-Key: " key "\r\n"
#define FROM(text)            "Origin: " text "\r\n"
#define VIA(list)             "X-Forwarded-For: " list "\r\n"
#define APP                   FROM("https://app.example")
#define ASKING                "Access-Control-Request-Method: POST\r\n"
#define PREFLIGHT(path, more) "OPTIONS " path LINES ASKING more "\r\n"

/* --- the order ---------------------------------------------------------- */

TEST(pipeline_order)
{
	static const struct row rows[] = {
		/* a refused address is told before anybody asks who it is */
		{ .limited = true,
			.quota = { .address = 1 },
			.steps = { { GET("/open", ""), 200, "who run" },
				{ GET("/guarded", BY("nobody")), 429, "" },
				{ GOOD("/guarded", BY("ada")), 429, "" } } },
		/* who, then whether */
		{ .steps = { { GET("/guarded", BY("nobody")), 401, "who" },
			  { GET("/guarded", ""), 401, "who" },
			  { GET("/guarded", BY("eve")), 403, "who may" },
			  { GET("/guarded", BY("ada")), 200, "who may run" } } },
		/* whoever lacks the right uses up nobody's limit */
		{ .limited = true,
			.quota = { .api = 1 },
			.steps = { { GET("/guarded", BY("eve")), 403, "who may",
					   .lacks = "\"api\"" },
				{ GET("/guarded", BY("eve")), 403, "who may" },
				{ GET("/guarded", ""), 401, "who" },
				{ GET("/guarded", BY("ada")), 200, "who may run",
					.has = "\"api\"" },
				{ GET("/guarded", BY("ada")), 429, "who may" },
				{ GET("/guarded", BY("eve")), 403, "who may" } } },
		/* the limit of the caller before repeats and validation */
		{ .limited = true,
			.quota = { .global = 1 },
			.steps = { { EMPTY("/things", ""), 400, "who" },
				{ EMPTY("/things", ""), 429, "who" },
				{ GOOD("/things", KEY("k")), 429, "who" } } },
		/* validation after all of them */
		{ .steps = { { EMPTY("/guarded", ""), 401, "who" },
			  { EMPTY("/guarded", BY("eve")), 403, "who may" },
			  { EMPTY("/guarded", BY("ada") KEY("kept")), 201, "who may begin" },
			  { EMPTY("/guarded", BY("ada")), 400, "who may", "\"field\":\"name\"" },
			  { GOOD("/guarded", BY("ada")), 201, "who may run" } } },
		/* a body that is too long before any of them */
		{ .steps = { { POST("/tiny", BY("ada"), "10", "0123456789"), 200, "who may run" },
			  { POST("/tiny", "", "11", ""), 413, "", .has = "connection: close" },
			  { POST("/tiny", BY("ada"), "11", ""), 413, "" },
			  { "POST /tiny" LINES BY("ada") "Transfer-Encoding: chunked\r\n\r\n"
							 "b\r\n0123456789a\r\n0\r\n\r\n",
				  413, "who may" } } },
	};

	try_rows(rows, LEN(rows));
}

/* --- hooks -------------------------------------------------------------- */

TEST(pipeline_callers)
{
	static const struct row rows[] = {
		{ .steps = { { GET("/open", ""), 200, "who run", "||127.0.0.1" },
			  { GET("/open", BY("ada")), 200, "who run", "ada|acme|127.0.0.1" },
			  { GET("/open", BY("pk")), 200, "who run", "pk-1|acme|" },
			  { GET("/open", BY("sk")), 200, "who run", "sk-1|acme|" },
			  { GET("/open", BY("nobody")), 401, "who",
				  "\"code\":\"UNAUTHORIZED\",\"message\":\"these credentials are "
				  "no good\"" },
			  { "HEAD /open" LINES BY("ada") "\r\n", 200, "who run" },
			  { GET("/nowhere", BY("nobody")), 404, "" } } },
		{ .no_authorize = true,
			.steps = { { GET("/guarded", ""), 401, "who", "sign in" },
				{ GET("/guarded", BY("ada")), 403, "who",
					"nobody has the right things:read" },
				{ GET("/open", BY("ada")), 200, "who run" } } },
		{ .no_hooks = true,
			.steps = { { GET("/open", BY("ada")), 200, "run", "||127.0.0.1" },
				{ GET("/guarded", BY("ada")), 401, "" },
				{ GOOD("/things", KEY("kept")), 201, "run" } } },
	};

	try_rows(rows, LEN(rows));
}

TEST(pipeline_repeats)
{
	static const struct row rows[] = {
		{ .steps = { { GOOD("/things", KEY("k")), 201, "who begin run end:OK",
				     "\"data\":{\"name\":\"x\"}" },
			  { GOOD("/things", KEY("\"kept\"")), 201, "who begin", "{\"kept\":true}" },
			  { GOOD("/things", KEY("running")), 409, "who begin", "in work" },
			  { GOOD("/things", KEY("other")), 422, "who begin",
				  "IDEMPOTENCY_MISMATCH" },
			  { GOOD("/things", KEY("two words")), 400, "who" },
			  { GOOD("/things", KEY("")), 400, "who" },
			  { GOOD("/things", ""), 201, "who run" } } },
		/* whatever becomes of a request that began, it ends, once, and is answered so */
		{ .steps = { { POST("/things", KEY("k"), "16", "{\"name\":\"taken\"}"), 409,
				     "who begin run end:CONFLICT", "this name is taken" },
			  { POST("/things", KEY("k"), "17", "{\"name\":\"broken\"}"), 500,
				  "who begin run end:IO" },
			  { EMPTY("/things", KEY("k")), 400, "who begin end:INVALID",
				  "\"field\":\"name\"" },
			  { POST("/things", KEY("k"), "4", "{\"a\""), 400, "who begin end:INVALID",
				  "invalid_json" },
			  { "POST /things" LINES KEY("k") "Content-Length: 2\r\n\r\n{}", 415,
				  "who begin end:MEDIA_TYPE", "application/json" },
			  { GET("/open", KEY("k")), 200, "who run" },
			  { POST("/login", KEY("k"), "0", ""), 200, "who run" } } },
	};

	try_rows(rows, LEN(rows));
}

/* --- limiters ----------------------------------------------------------- */

TEST(pipeline_limits)
{
	static const struct row rows[] = {
		/* what every answer says of them */
		{ .limited = true,
			.quota = { .global = 2 },
			.steps = { { GET("/open", ""), 200, NULL, NULL,
					   "ratelimit-policy: \"address\";q=1000;w=60, "
					   "\"global\";q=2;w=60\r\n",
					   "\r\nx-ratelimit-limit: 2\r\nx-ratelimit-remaining: "
					   "1\r\nx-ratelimit-reset: ",
					   "retry-after" },
				{ GET("/open", ""), 200, NULL, NULL, "\"global\";r=0;t=",
					"x-ratelimit-remaining: 0\r\n", "retry-after" },
				{
					GET("/open", ""),
					429,
					"who",
					"\"code\":\"TOO_MANY_REQUESTS\",\"message\":\"too many "
					"requests; see Retry-After\"",
					"\r\nretry-after: ",
					"\"address\";r=997;t=",
				},
				{ GET("/open", BY("ada")), 200, NULL, NULL, "\"api\"", NULL,
					"\"global\"" } } },
		/* each kind of caller, and each caller of a kind, has a limit of its own */
		{ .limited = true,
			.quota = { .api = 1, .server = 2 },
			.steps = { { GET("/open", BY("ada")), 200, NULL, NULL, "\"api\";q=1;" },
				{ GET("/open", BY("ada")), 429 }, { GET("/open", BY("eve")), 200 },
				{ GET("/open", BY("pk")), 200 }, { GET("/open", BY("pk")), 429 },
				{ GET("/open", BY("sk")), 200, NULL, NULL, "\"server\";q=2;" },
				{ GET("/open", ""), 200, NULL, NULL, "\"global\";q=1000;" } } },
		/* all of a tenant have one together, after their own; the identity may say another
		 */
		{ .limited = true,
			.quota = { .api = 1, .tenant = 2 },
			.steps = { { GET("/open", BY("ada")), 200, NULL, NULL,
					   "\"api\";q=1;w=60, \"tenant\";q=2;w=60\r\n",
					   "\"api\";r=0;t=" },
				{ GET("/open", BY("ada")), 429, NULL, NULL, NULL, NULL,
					"\"tenant\"" },
				{ GET("/open", BY("sk")), 200, NULL, NULL,
					"\"server\";r=999;t=", "\"tenant\";r=0;t=" },
				{ GET("/open", BY("sk")), 429, "who", NULL, "\"tenant\";r=0;",
					"\r\nretry-after: " },
				{ GET("/open", BY("slow")), 200, NULL, NULL,
					"\"api\";q=2;w=60, "
					"\"tenant\";q=3;w=60\r\n",
					"\"api\";r=1;" },
				{ GET("/open", ""), 200 } } },
		/* few tries to sign in, whoever it is, and then a block */
		{ .limited = true,
			.quota = { .auth = 2 },
			.steps = { { POST("/login", "", "0", ""), 200, NULL, NULL,
					   "\"auth\";q=2;w=60\r\n", NULL, "\"global\"" },
				{ POST("/login", BY("ada"), "0", ""), 200, NULL, NULL, "\"auth\"",
					NULL, "\"api\"" },
				{ POST("/login", "", "0", ""), 429, "who", NULL,
					"\r\nretry-after: 900\r\n" },
				{ POST("/login", BY("ada"), "0", ""), 429 },
				{ GET("/open", ""), 200 } } },
		/* probes are not counted, not even where nothing is left */
		{ .limited = true,
			.quota = { .address = 1, .global = 1 },
			.steps = { { GET("/probe", ""), 200, NULL, NULL, NULL, NULL, "ratelimit" },
				{ GET("/open", ""), 200 }, { GET("/open", ""), 429, "" },
				{ GET("/probe", ""), 200 } } },
		/* what is no route counts for the address */
		{ .limited = true,
			.quota = { .address = 1 },
			.steps = { { GET("/nowhere", ""), 404, "", NULL, "\"address\";r=0", NULL,
					   "\"global\"" },
				{ GET("/nowhere", ""), 429, "" },
				{ "PUT /open" LINES "\r\n", 429, "" },
				{ "OPTIONS /open" LINES "\r\n", 429, "" } } },
		/* and so does what is no path, or no path in particular */
		{ .limited = true,
			.quota = { .address = 1 },
			.steps = { { GET("/%ff", ""), 400, "", NULL, "\"address\";r=0" },
				{ GET("/%ff", ""), 429, "" },
				{ "OPTIONS *" LINES "\r\n", 429, "" } } },
		{ .steps = { { GET("/open", ""), 200, .lacks = "ratelimit" } } },
	};

	try_rows(rows, LEN(rows));
}

static uint64_t now_ns = HOUR;

static uint64_t tell_ns(void *arg)
{
	(void)arg;
	return now_ns;
}

static int64_t tell_us(void *arg)
{
	(void)arg;
	return (int64_t)(now_ns / MICROSECOND);
}

/* Sends a request and gives its status. */
static int ask_as(struct client *client, const char *credential, const char *path)
{
	char text[300];

	(void)snprintf(text, sizeof(text), "%s" LINES "%s\r\n", path, credential);
	EXPECT(client_send(client, str_from_c(text)));
	return client_response(client, false).status;
}

static int guess(struct client *client, int number)
{
	char line[100];

	(void)snprintf(line, sizeof(line), "Authorization: Bearer guess-%d\r\n", number);
	return ask_as(client, line, "GET /open");
}

/* Whoever tries one credential after the other is stopped, also with a good one, for a minute; who
 * tries the same again and again is not, nor are those who sign in from there. */
static void guess_on(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	(void)arg;
	for (int i = 0; i < 50; i++)
		EXPECT_INT(guess(client, 0), 401);
	for (int i = 1; i < 20; i++)
		EXPECT_INT(guess(client, i), 401);
	EXPECT_INT(ask_as(client, BY("ada"), "GET /open"), 200);
	EXPECT_INT(ask_as(client, "X-API-Key: a\r\n" BY("eve"), "GET /open"), 200);

	EXPECT_INT(guess(client, 20), 401); /* that was one too many */
	EXPECT_INT(guess(client, 21), 429);
	EXPECT_INT(guess(client, 0), 429);
	EXPECT_INT(ask_as(client, BY("ada"), "GET /open"), 429);
	EXPECT_INT(ask_as(client, "", "GET /open"), 200);
	EXPECT_INT(ask_as(client, BY("ada"), "GET /probe"), 200);
	EXPECT_INT(ask_as(client, "", "POST /login"), 200);
	EXPECT_INT(ask_as(client, VIA("192.0.2.7") BY("ada"), "GET /open"), 200);

	now_ns += 65 * SECOND;
	EXPECT_INT(ask_as(client, BY("ada"), "GET /open"), 200);
	EXPECT_INT(guess(client, 30), 401);
	client_close(client);
}

TEST(pipeline_guesses_are_bounded)
{
	static const struct row row = {
		.limited = true, .quota = { .auth = 2 }, .proxy = "0.0.0.0/0"
	};
	const struct loopback_options options = {
		.way = LOOPBACK_WHOLE, .module = &module, .set_up = set_up
	};

	clock_replace(&(struct clock_source){ tell_ns, tell_us, NULL });
	(void)loopback_run(&options, guess_on, (void *)&row);
	clock_replace(NULL);
	take_down();
}

/* --- CORS --------------------------------------------------------------- */

#define GRANTED "access-control-allow-origin: https://app.example\r\n"
#define VARY    "vary: origin\r\n"

TEST(pipeline_cors)
{
	static const struct row rows[] = {
		/* whatever the answer is, a script may read it */
		{ .origins = "https://app.example",
			.steps = { { GET("/open", APP), 200, "who run", NULL, GRANTED, VARY },
				{ GET("/guarded", APP), 401, "who", NULL, GRANTED, VARY },
				{ GET("/guarded", APP BY("eve")), 403, NULL, NULL, GRANTED, VARY },
				{ GET("/nowhere", APP), 404, NULL, NULL, GRANTED, VARY },
				{ "PUT /open" LINES APP "\r\n", 405, NULL, NULL, GRANTED,
					"allow: GET, HEAD, OPTIONS\r\n" },
				{ POST("/tiny", APP, "11", ""), 413, NULL, NULL, GRANTED, VARY },
				{ EMPTY("/things", APP), 400, NULL, NULL, GRANTED, VARY } } },
		{ .origins = "https://app.example",
			.limited = true,
			.quota = { .address = 6 },
			.steps = { { GET("/%ff", APP), 400, NULL, NULL, GRANTED, VARY },
				{ POST("/things", APP, "16", "{\"name\":\"taken\"}"), 409, NULL,
					NULL, GRANTED, VARY },
				{ "POST /things" LINES APP "Content-Length: 2\r\n\r\n{}", 415, NULL,
					NULL, GRANTED, VARY },
				{ POST("/things", APP, "17", "{\"name\":\"broken\"}"), 500, NULL,
					NULL, GRANTED, VARY },
				{ "OPTIONS /open" LINES APP "\r\n", 204, NULL, NULL, GRANTED,
					"allow: GET, HEAD, OPTIONS\r\n" },
				{ GET("/open", APP), 200, NULL, NULL, GRANTED,
					"access-control-expose-headers: " },
				{ GET("/open", APP), 429, "", NULL, GRANTED,
					"\r\nretry-after: " } } },
		/* a preflight asks nobody and counts for nothing */
		{ .origins = "https://app.example",
			.limited = true,
			.quota = { .address = 1 },
			.steps = { { PREFLIGHT("/guarded", APP), 204, "", NULL, GRANTED,
					   "access-control-max-age: ", "ratelimit" },
				{ PREFLIGHT("/things",
					  APP "Access-Control-Request-Headers: content-type\r\n"),
					204, "", NULL,
					"access-control-allow-headers: content-type\r\n",
					"access-control-allow-methods: " },
				{ PREFLIGHT("/nowhere", APP), 204, "", NULL, GRANTED },
				{ GET("/open", APP), 200 }, { GET("/open", APP), 429 },
				{ PREFLIGHT("/open", APP), 204, "", NULL, GRANTED } } },
		/* others learn nothing */
		{ .origins = "https://app.example",
			.steps = { { GET("/open", FROM("https://bad.example")), 200, NULL, NULL,
					   VARY, NULL, "access-control-allow" },
				{ PREFLIGHT("/open", FROM("https://bad.example")), 204, "", NULL,
					VARY, NULL, "access-control-allow" },
				{ GET("/open", FROM("null")), 200, NULL, NULL, VARY, NULL,
					"access-control-allow" },
				{ GET("/open", ""), 200, NULL, NULL, VARY, NULL,
					"access-control-allow" } } },
		{ .origins = "*",
			.steps = { { GET("/open", FROM("https://any.example")), 200, NULL, NULL,
				"access-control-allow-origin: *\r\n", NULL, "credentials" } } },
		{ .steps = { { PREFLIGHT("/open", APP), 204, "", NULL,
				     "allow: GET, HEAD, OPTIONS\r\n", NULL, "access-control" },
			  { PREFLIGHT("/nowhere", APP), 404, "" } } },
	};

	try_rows(rows, LEN(rows));
}

/* --- proxies ------------------------------------------------------------ */

TEST(pipeline_clients_behind_proxies)
{
	static const struct row rows[] = {
		{ .proxy = "127.0.0.0/8",
			.steps = { { GET("/open", VIA("203.0.113.9")), 200, NULL, "||203.0.113.9" },
				{ GET("/open", VIA("10.0.0.1, 203.0.113.9")), 200, NULL,
					"||203.0.113.9" },
				{ GET("/open", VIA("203.0.113.9, 127.0.0.7")), 200, NULL,
					"||203.0.113.9" },
				{ GET("/open", VIA("2001:db8::1")), 200, NULL, "||2001:db8::1" },
				{ GET("/open", VIA("nonsense")), 200, NULL, "||127.0.0.1" },
				{ GET("/open", ""), 200, NULL, "||127.0.0.1" },
				{ GET("/open", VIA("203.0.113.9") "X-Forwarded-Proto: https\r\n"),
					200, NULL, NULL, "strict-transport-security: " } } },
		/* from anybody else the header is made up */
		{ .proxy = "10.0.0.0/8",
			.steps = { { GET("/open", VIA("203.0.113.9")), 200, NULL, "||127.0.0.1" },
				{ GET("/open", "X-Forwarded-Proto: https\r\n"), 200,
					.lacks = "strict-transport" } } },
		{ .steps = { { GET("/open", VIA("203.0.113.9")), 200, NULL, "||127.0.0.1" } } },
		/* limits are those of the client, and nobody talks himself out of them */
		{ .proxy = "127.0.0.0/8",
			.limited = true,
			.quota = { .address = 1 },
			.steps = { { GET("/open", VIA("203.0.113.1")), 200 },
				{ GET("/open", VIA("203.0.113.1")), 429 },
				{ GET("/open", VIA("203.0.113.2")), 200 },
				{ GET("/open", VIA("9.9.9.9, 203.0.113.1")), 429 },
				{ GET("/open", "Forwarded: for=9.9.9.9\r\n" VIA("203.0.113.1")),
					429 } } },
		{ .limited = true,
			.quota = { .address = 1 },
			.steps = { { GET("/open", VIA("203.0.113.1")), 200 },
				{ GET("/open", VIA("203.0.113.2")), 429 } } },
	};

	try_rows(rows, LEN(rows));
}

/* --- the access log ----------------------------------------------------- */

/* A file without a name that takes the log. */
static int open_log(void)
{
	char path[] = "/tmp/pipeline-log-XXXXXX";
	int fd = mkostemp(path, O_APPEND | O_CLOEXEC);

	REQUIRE(fd >= 0 && unlink(path) == 0);
	REQUIRE(log_open(&(struct log_options){
			.level = LOG_INFO, .format = LOG_JSON, .fd = fd }) == 0);
	return fd;
}

TEST(pipeline_access_log)
{
	static const struct row row = { .proxy = "127.0.0.0/8",
		.steps = { { GET("/guarded", BY("ada") VIA("10.9.9.9, 203.0.113.9")), 200 },
			{ GET("/guarded", BY("eve") VIA("203.0.113.8")), 403 },
			{ GET("/guarded", VIA("203.0.113.7")), 401 } } };
	static const struct {
		const char *client, *who, *level;
		int status;
	} lines[] = {
		{ "203.0.113.9", "\"tenantId\":\"acme\",\"userId\":\"ada\"", "info", 200 },
		{ "203.0.113.8", "\"tenantId\":\"acme\",\"userId\":\"eve\"", "warn", 403 },
		{ "203.0.113.7", "\"msg\"", "warn", 401 },
	};
	int fd = open_log();
	static char text[16 * 1024];
	struct str rest;
	ssize_t len;

	(void)loopback_run(&(struct loopback_options){ .module = &module, .set_up = set_up },
		try_steps, (void *)&row);
	EXPECT_INT(log_close(clock_now_ns() + 10 * SECOND), 0);
	len = pread(fd, text, sizeof(text), 0);
	REQUIRE(len > 0);
	rest = str_of(text, (size_t)len);
	for (size_t i = 0; i < LEN(lines); i++) {
		struct str line = str_cut(&rest, '\n');
		char wanted[200];

		(void)snprintf(wanted, sizeof(wanted), "\"client\":\"%s\"", lines[i].client);
		EXPECT(has(line, wanted) && has(line, lines[i].who));
		(void)snprintf(wanted, sizeof(wanted), "\"status\":%d", lines[i].status);
		EXPECT(has(line, wanted) && has(line, lines[i].level));
		if (lines[i].status == 401)
			EXPECT(!has(line, "tenantId") && !has(line, "userId"));
	}
	EXPECT_STR(rest, S(""));
	(void)close(fd);
}

/* --- faults ------------------------------------------------------------- */

#ifdef BULKHEAD_FAULTS

/* What was asked for, or an honest failure (which without memory may have no body); never an answer
 * that is neither. */
static void try_faulty(struct loopback *net, void *arg)
{
	const struct row *row = arg;

	for (size_t i = 0; i < LEN(row->steps) && row->steps[i].send; i++) {
		const struct step *step = &row->steps[i];
		struct client *client = client_open(net);
		struct response response;

		if (!client)
			continue;
		*trail = '\0';
		if (client_send(client, str_from_c(step->send))) {
			response = client_response(client, false);
			if (!EXPECT(response.cut || response.status == 0 ||
				    response.status == step->status || response.status == 503))
				fprintf(stderr, "  for \"%s\"\n  came %.*s%.*s\n", step->send,
					STR_ARG(response.head), STR_ARG(response.body));
			if (response.status == step->status && !response.cut &&
				!EXPECT(has(response.head, step->has) &&
					(!response.body.len || has(response.body, step->body))))
				fprintf(stderr, "  for \"%s\"\n  came %.*s%.*s\n", step->send,
					STR_ARG(response.head), STR_ARG(response.body));
		}
		client_close(client);
	}
}

TEST(pipeline_torture)
{
	static const struct row row = { .origins = "https://app.example",
		.limited = true,
		.proxy = "127.0.0.0/8",
		.steps = { { GOOD("/guarded", APP BY("ada") KEY("k") VIA("203.0.113.1")), 201, NULL,
				   "\"data\":{\"name\":\"x\"}", GRANTED },
			{ EMPTY("/guarded", APP BY("ada") KEY("k")), 400, NULL,
				"\"field\":\"name\"", GRANTED },
			{ PREFLIGHT("/guarded", APP), 204, NULL, NULL, GRANTED },
			{ GET("/nowhere", APP), 404, NULL, NULL, GRANTED } } };
	bool struck = true;

	for (size_t nth = 1; struck; nth++) {
		const struct loopback_options options = {
			.module = &module, .set_up = set_up, .fail_memory = nth
		};

		begun = ended = 0;
		struck = loopback_run(&options, try_faulty, (void *)&row);
		EXPECT_INT(ended, begun);
		take_down();
		REQUIRE(nth < 1000);
	}
}

#endif
