/* Servers with a store, for tests. */
#include "rest/world_test.h"

#include "base/fault.h"
#include "base/num.h"
#include "crypto/digest.h"
#include "http/server.h"
#include "store/migration.h"
#include "store/store_internal.h"

#include <dirent.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SOURCES_MAX = 16 };

/* --- callers ---------------------------------------------------------------------------- */

struct uuid world_tenant(const char *caller)
{
	static const struct uuid base = { { 0x01, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80 } };
	struct uuid id = base;

	if (*caller == 'o')
		return tenant_system;
	id.bytes[15] = (uint8_t)((*caller | 0x20) - 'a' + 1);
	return id;
}

/* "X-Fault: 3" makes the third allocation of the request from here on fail; the next request
 * without it on this thread ends that. */
void world_arm(const struct req *req)
{
#ifdef BULKHEAD_FAULTS
	uint64_t nth = 0;

	for (size_t i = 0; i < req->head.count; i++)
		if (str_eq_nocase(req->head.fields[i].name, S("x-fault")))
			REQUIRE(num_parse_u64(req->head.fields[i].value, &nth));
	fault_arm(FAULT_MEMORY, (size_t)nth);
#else
	(void)req;
#endif
}

struct uuid world_user(struct str name)
{
	uint8_t hash[SHA256_LEN];
	struct uuid id;

	digest(DIGEST_SHA256, name, hash);
	memcpy(id.bytes, hash, sizeof(id.bytes));
	id.bytes[6] = 0x70 | (id.bytes[6] & 0x0f);
	id.bytes[8] = 0x80 | (id.bytes[8] & 0x3f);
	return id;
}

static struct str name_of(const struct req *req)
{
	struct str value = h1_value(&req->head, H1_AUTHORIZATION);

	return str_starts(value, S("Bearer ")) ? str_from(value, sizeof("Bearer ") - 1)
					       : str_of(NULL, 0);
}

static int identify(struct req *req, struct caller *ret)
{
	static _Thread_local char tenants[64][UUID_TEXT_LEN], users[64][UUID_TEXT_LEN];
	static _Thread_local size_t next;
	struct str name = name_of(req);
	char *text;
	struct uuid id;

	world_arm(req);
	if (name.len == 0)
		return 0;
	text = users[next % LEN(users)];
	id = world_user(name);
	uuid_write(text, &id);
	*ret = (struct caller){ .kind = CALLER_USER, .id = str_of(text, UUID_TEXT_LEN) };
	if (name.at[0] == 'n')
		return 0;
	text = tenants[next++ % LEN(tenants)];
	id = world_tenant(name.at);
	uuid_write(text, &id);
	ret->tenant = str_of(text, UUID_TEXT_LEN);
	return 0;
}

static int authorize(struct req *req, struct str right)
{
	struct str name = name_of(req);
	bool capital = name.at[0] < 'a';
	bool operates = name.at[0] == 'o';

	if (capital || (str_starts(right, S("platform:")) && !operates))
		return fail(ERR_FORBIDDEN, "%.*s lacks %.*s", STR_ARG(name), STR_ARG(right));
	return 0;
}

/* --- up and down ---------------------------------------------------------------------------- */

static void must(int r, const char *doing)
{
	char text[ERR_TEXT_MAX * ERR_FRAMES];

	if (r >= 0)
		return;
	(void)err_describe(err_last(), text, sizeof(text));
	test_note(false, __FILE__, __LINE__, "%s: %s", doing, text);
	test_end();
}

static void migrate(struct world *world)
{
	struct migration_source sources[SOURCES_MAX] = { { "store", store_migrations } };
	struct migration_options how = { .store = world->options };
	size_t count = 1;

	for (const struct module *const *module = world->modules; *module; module++)
		if ((*module)->migrations) {
			REQUIRE(count < SOURCES_MAX);
			sources[count++] =
				(struct migration_source){ (*module)->name, (*module)->migrations };
		}
	must((how.store.url.len ? store_test_postgres_migrate : migrate_up)(&how, sources, count),
		"migrate_up");
}

static void open_modules(struct server *server, const struct world *world)
{
	for (const struct module *const *at = world->modules; *at; at++)
		must(store_register(world->store, (*at)->statements, (*at)->statement_count),
			(*at)->name);
	for (const struct module *const *at = world->modules; *at; at++)
		if ((*at)->open)
			must((*at)->open(server), (*at)->name);
}

struct master_key world_master_key = { { 0x77, 0x6f, 0x72, 0x6c, 0x64 } };

const struct master_key *world_former_key;

static void set_up(struct server *server, void *arg)
{
	struct world *world = arg;

	must(store_open(&world->options, &world->store), "store_open");
	server->store = world->store;
	server->master_key = &world_master_key;
	server->former_key = world_former_key;
	server->hooks.identify = identify;
	server->hooks.authorize = authorize;
	open_modules(server, world);
	must(store_start(world->store), "store_start");
}

static void take_down(struct world *world)
{
	struct server server = { .store = world->store, .master_key = &world_master_key };

	for (const struct module *const *at = world->modules; *at; at++)
		if ((*at)->close)
			(*at)->close(&server);
	store_close(world->store);
}

static void scenario(struct loopback *net, void *arg)
{
	struct world *world = arg;

	world->net = net;
	world->client = client_open(net);
	REQUIRE(world->client);
	world->worker.fiber_limit = 100;
	REQUIRE(worker_start(&world->worker) == 0);
	world->body(world);
	worker_stop(&world->worker);
	worker_join(&world->worker);
}

static void join_routes(struct world *world)
{
	size_t count = 0;

	for (const struct module *const *at = world->modules; *at; at++)
		for (size_t i = 0; i < (*at)->route_count; i++) {
			REQUIRE(count < LEN(world->routes));
			world->routes[count++] = (*at)->routes[i];
		}
	world->all = (struct module){ MODULE_HEAD, .name = "all", .routes = world->routes,
		.route_count = count };
}

void world_remove_folder(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		char name[600];

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		(void)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (entry->d_type == DT_DIR)
			world_remove_folder(name);
		else
			(void)unlink(name);
	}
	if (folder)
		(void)closedir(folder);
	(void)rmdir(path);
}

struct str world_folder(char *path, size_t size)
{
	const char *base = getenv("TMPDIR");

	(void)snprintf(path, size, "%s/bulkhead-world-XXXXXX", base ? base : "/tmp");
	REQUIRE(mkdtemp(path) != NULL);
	return str_from_c(path);
}

void world_run_on(const struct store_options *options, const struct module *const *modules,
	void (*body)(struct world *))
{
	struct world world = { .modules = modules, .body = body, .options = *options };
	struct server_limits limits = loopback_limits;
	struct loopback_options how = { .way = LOOPBACK_TCP,
		.limits = &limits,
		.module = &world.all,
		.set_up = set_up,
		.show_causes = true };

	limits.head.field = limits.head.line = 8 * KILOBYTE; /* tokens and cookies are long */
	limits.head.head = 16 * KILOBYTE;
	limits.connections = limits.connections_per_address = 200;
	join_routes(&world);
	migrate(&world);
	(void)loopback_run(&how, scenario, &world);
	take_down(&world);
}

void world_run(
	enum engine_kind engine, const struct module *const *modules, void (*body)(struct world *))
{
	struct store_options options = { .pool_wait_ns = 20 * SECOND }; /* slow machines */
	char path[256];

	options.folder = world_folder(path, sizeof(path));
	if (engine == ENGINE_POSTGRES)
		options.url = store_test_postgres_url(false);
	world_run_on(&options, modules, body);
	world_remove_folder(path);
}

/* --- calls ---------------------------------------------------------------- */

void world_send(struct client *client, const char *caller, const char *request, const char *headers,
	const char *body)
{
	enum { ROOM = 64 * 1024 };
	char *text = malloc(ROOM), length[100] = "";
	int len;

	REQUIRE(text && client);
	if (body)
		(void)snprintf(length, sizeof(length),
			"Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
	len = snprintf(text, ROOM, "%s HTTP/1.1\r\nHost: x\r\n%s%s%s%s%s\r\n%s", request,
		caller ? "Authorization: Bearer " : "", caller ? caller : "", caller ? "\r\n" : "",
		headers, length, body ? body : "");
	REQUIRE(len > 0 && len < ROOM);
	REQUIRE(client_send(client, str_of(text, (size_t)len)));
	free(text);
}

struct answer world_answer(struct client *client)
{
	struct answer answer = { .response = client_response(client, false) };

	answer.status = answer.response.status;
	answer.body = answer.response.body;
	return answer;
}

struct answer world_call(struct world *world, const char *caller, const char *request,
	const char *headers, const char *body)
{
	world_send(world->client, caller, request, headers, body);
	return world_answer(world->client);
}

struct answer world_get(struct world *world, const char *caller, const char *format, ...)
{
	char request[1000] = "GET ";
	va_list args;

	va_start(args, format);
	(void)vsnprintf(request + 4, sizeof(request) - 4, format, args);
	va_end(args);
	return world_call(world, caller, request, "", NULL);
}

const char *answer_text(const struct answer *answer, const char *member)
{
	static char texts[16][600];
	static size_t next;
	char *text = texts[next++ % LEN(texts)], name[100];
	struct str rest = answer->body;
	ptrdiff_t at;
	size_t len = 0;

	(void)snprintf(name, sizeof(name), "\"%s\":", member);
	text[0] = '\0';
	at = str_find(rest, str_from_c(name));
	if (at < 0)
		return text;
	rest = str_from(rest, (size_t)at + strlen(name));
	if (rest.len && rest.at[0] == '"')
		rest = str_cut(&(struct str){ rest.at + 1, rest.len - 1 }, '"');
	else
		while (len < rest.len && rest.at[len] != ',' && rest.at[len] != '}')
			len++;
	rest = len ? str_first(rest, len) : rest;
	(void)snprintf(text, sizeof(texts[0]), "%.*s", STR_ARG(rest));
	return text;
}

size_t answer_count(const struct answer *answer, const char *text)
{
	struct str rest = answer->body;
	size_t count = 0;
	ptrdiff_t at;

	while ((at = str_find(rest, str_from_c(text))) >= 0) {
		rest = str_from(rest, (size_t)at + 1);
		count++;
	}
	return count;
}

/* --- beside the server --------------------------------------------------------------- */

/* Something to be done by the world's own worker, which lives as long as those of the server: the
 * store may leave a connection with it. */
struct errand {
	struct message message;
	struct arena arena;
	struct db db;
	int (*fn)(const struct db *db, void *arg);
	void *arg;
	int result;
	struct err err;
	sem_t done;
};

static int run_errand(void *arg)
{
	struct errand *errand = arg;

	errand->result = errand->fn(&errand->db, errand->arg);
	errand->err = *err_last();
	CHECK(sem_post(&errand->done) == 0);
	return 0;
}

static void start_errand(struct message *message)
{
	struct errand *errand = CONTAINER_OF(message, struct errand, message);

	CHECK(scope_spawn(&worker_here()->sched.root, run_errand, errand) == 0);
}

void world_do(struct world *world, const char *caller, int (*fn)(const struct db *db, void *arg),
	void *arg)
{
	struct uuid tenant = world_tenant(caller);
	struct errand errand = { .message.deliver = start_errand, .fn = fn, .arg = arg };

	arena_init(&errand.arena, 64 * KILOBYTE, 64 * MEGABYTE);
	errand.db = *caller == 'o' ? db_of_system(world->store, &errand.arena)
				   : db_of(world->store, &tenant, &errand.arena);
	REQUIRE(sem_init(&errand.done, 0, 0) == 0);
	worker_send(&world->worker, &errand.message);
	while (sem_wait(&errand.done) < 0)
		continue;
	(void)sem_destroy(&errand.done);
	if (errand.result < 0)
		(void)fail(errand.err.code, "%s", errand.err.frames[0].text);
	must(errand.result, "world_do");
	arena_done(&errand.arena);
}
