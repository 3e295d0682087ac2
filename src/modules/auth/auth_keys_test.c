/* Signing keys on both engines: made once, exchanged with overlap or at once, and never published
 * too short or too long. */
#include "modules/auth/auth_keys_internal.h"

#include "crypto/base64.h"
#include "http/server.h"
#include "modules/auth/auth_fixture_test.h"
#include "observe/clock_test.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROOM = 8192 };

/* --- beside the server ---------------------------------------------------- */

struct rotation {
	enum key_reason reason;
	char kid[SIGN_KEY_ID_LEN + 1];
	int result;
};

static int rotate(const struct db *db, void *arg)
{
	struct rotation *rotation = arg;
	struct signing_key key = { 0 };

	rotation->result = keys_rotate(db->store, rotation->reason, db->arena, &key);
	(void)snprintf(rotation->kid, sizeof(rotation->kid), "%.*s", STR_ARG(key.id));
	return 0;
}

static struct rotation do_rotate(struct world *world, enum key_reason reason)
{
	struct rotation rotation = { .reason = reason };

	world_do(world, "o", rotate, &rotation);
	return rotation;
}

static int tend(const struct db *db, void *arg)
{
	struct server server = { .store = db->store };

	(void)arg;
	return keys_tend(&server);
}

static void do_tend(struct world *world)
{
	world_do(world, "o", tend, NULL);
}

static size_t published(struct world *world)
{
	struct answer answer = world_get(world, NULL, "/.well-known/jwks.json");

	EXPECT_INT(answer.status, 200);
	EXPECT(answer_count(&answer, "\"use\":\"sig\"") == answer_count(&answer, "\"kid\""));
	EXPECT(answer_count(&answer, "\"d\":") == 0);
	return answer_count(&answer, "\"kid\"");
}

static bool is_published(struct world *world, const char *kid)
{
	struct answer answer = world_get(world, NULL, "/.well-known/jwks.json");

	return answer_count(&answer, kid) == 1;
}

/* The kid of a token. At most 8 are good at a time. */
static const char *signer(const char *token)
{
	static char headers[8][200];
	static size_t next;
	char *header = headers[next++ % LEN(headers)];
	struct str rest = str_from_c(token), first = str_cut(&rest, '.');
	size_t len = 0;
	char *at;

	REQUIRE(base64_read(BASE64_URL, first, header, sizeof(headers[0]) - 1, &len));
	header[len] = '\0';
	at = strstr(header, "\"kid\":\"");
	REQUIRE(at);
	at[7 + SIGN_KEY_ID_LEN] = '\0';
	return at + 7;
}

static int status_of(struct world *world, const char *access)
{
	return world_call(world, access, "GET /api/v1/auth/sessions", "", NULL).status;
}

/* --- tests ---------------------------------------------------------------- */

WORLD_TEST(keys_first_is_made_by_who_needs_it, auth_modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	const char *token = person_token(world, &ada);

	EXPECT_INT(published(world), 1);
	EXPECT(is_published(world, signer(token)));
	EXPECT_INT(do_rotate(world, KEY_FIRST).result, 0);
	do_tend(world);
	EXPECT_INT(published(world), 1);
}

WORLD_TEST(keys_overlap, auth_modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	const char *first = person_token(world, &ada), *second, *third;
	struct rotation rotation = do_rotate(world, KEY_COMMAND);

	REQUIRE(rotation.result == 0);
	EXPECT_INT(published(world), 2);
	second = person_token(world, &ada);
	EXPECT(strcmp(signer(second), rotation.kid) != 0);
	EXPECT_STR(str_from_c(do_rotate(world, KEY_COMMAND).kid), str_from_c(rotation.kid));
	EXPECT_INT(published(world), 2);

	clock_pass(10 * MINUTE); /* so long a JWK Set is kept */
	second = person_token(world, &ada);
	EXPECT(strcmp(signer(second), rotation.kid) != 0);
	clock_pass(2 * MINUTE);
	third = person_token(world, &ada);
	EXPECT_STR(str_from_c(signer(third)), str_from_c(rotation.kid));
	EXPECT_INT(status_of(world, first), 200);

	clock_pass(
		auth_options()->access_ns - 2 * MINUTE); /* the last token of the old one lives */
	do_tend(world);
	EXPECT_INT(published(world), 2);
	EXPECT_INT(status_of(world, second), 200);
	clock_pass(4 * MINUTE);
	do_tend(world);
	EXPECT_INT(published(world), 1);
	EXPECT(is_published(world, rotation.kid));
	EXPECT_INT(status_of(world, first), 401);
	clock_back();
}

WORLD_TEST(keys_now_makes_the_old_ones_void, auth_modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct session_made made = person_sign_in(world, &ada, NULL);
	char access[ROOM], refresh[ROOM];
	struct rotation rotation;

	REQUIRE(refresh_by(world, str_of(made.refresh, REFRESH_LEN), access, refresh) == 200);
	EXPECT_INT(status_of(world, access), 200);
	EXPECT_INT(do_rotate(world, KEY_COMMAND).result, 0);
	rotation = do_rotate(world, KEY_NOW);
	REQUIRE(rotation.result == 0);
	EXPECT_INT(status_of(world, access), 401);
	EXPECT_INT(published(world), 1);
	REQUIRE(refresh_by(world, str_from_c(refresh), access, NULL) == 200);
	EXPECT_STR(str_from_c(signer(access)), str_from_c(rotation.kid));
	EXPECT_INT(status_of(world, access), 200);
}

static void with_options(void (*change)(struct auth_options *))
{
	struct auth_options options = *auth_options();

	change(&options);
	REQUIRE(auth_configure(&options) == 0);
}

static void every_day(struct auth_options *options)
{
	options->key_every_ns = 24 * HOUR;
}

static void by_ed25519(struct auth_options *options)
{
	options->algorithm = SIGN_EDDSA;
}

WORLD_TEST(keys_change_by_schedule, auth_modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	const char *first = person_token(world, &ada), *second;

	with_options(every_day);
	do_tend(world);
	EXPECT_INT(published(world), 1);
	clock_pass(24 * HOUR - 5 * MINUTE);
	do_tend(world);
	do_tend(world);
	EXPECT_INT(published(world), 2);
	clock_pass(10 * MINUTE);
	second = person_token(world, &ada);
	EXPECT_STR(str_from_c(signer(second)), str_from_c(signer(first)));
	clock_pass(2 * MINUTE);
	second = person_token(world, &ada);
	EXPECT(strcmp(signer(second), signer(first)) != 0);
	EXPECT(is_published(world, signer(second)));
	clock_back();
}

WORLD_TEST(keys_change_with_the_algorithm, auth_modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	const char *token = person_token(world, &ada);

	with_options(by_ed25519);
	do_tend(world);
	EXPECT_INT(published(world), 2);
	clock_pass(12 * MINUTE);
	token = person_token(world, &ada);
	EXPECT_INT(status_of(world, token), 200);
	EXPECT_INT(answer_count(
			   &(struct answer){
				   .body = world_get(world, NULL, "/.well-known/jwks.json").body },
			   "\"crv\":\"Ed25519\""),
		1);
	clock_back();
}

/* However many ask at once for the first key, there is one. */
WORLD_TEST(keys_first_by_many_at_once, auth_modules)
{
	enum { CLIENTS = 40 };
	struct client *clients[CLIENTS];

	for (size_t i = 0; i < CLIENTS; i++)
		clients[i] = client_open(world->net);
	for (size_t i = 0; i < CLIENTS; i++)
		world_send(clients[i], NULL, "GET /.well-known/jwks.json", "", NULL);
	for (size_t i = 0; i < CLIENTS; i++) {
		struct answer answer = world_answer(clients[i]);

		EXPECT_INT(answer.status, 200);
		EXPECT_INT(answer_count(&answer, "\"kid\""), 1);
	}
	EXPECT_INT(published(world), 1);
}

/* --- two processes ---------------------------------------------------------------------------- */

/* What they share: how many are ready, and what each has made. */
static struct meeting {
	_Atomic int ready;
	enum key_reason reason;
	char kids[2][SIGN_KEY_ID_LEN + 1];
} * meeting;

static void rotate_together(struct world *world)
{
	struct rotation rotation;
	int me = meeting->ready++;

	while (meeting->ready < 2)
		(void)sched_yield();
	rotation = do_rotate(world, meeting->reason);
	EXPECT_INT(rotation.result, 0);
	memcpy(meeting->kids[me], rotation.kid, sizeof(rotation.kid));
}

static void meet(const struct store_options *options, enum key_reason reason)
{
	pid_t children[2];
	int status;

	meeting->ready = 0;
	meeting->reason = reason;
	for (size_t i = 0; i < LEN(children); i++) {
		children[i] = fork();
		REQUIRE(children[i] >= 0);
		if (children[i] == 0) {
			world_run_on(options, auth_modules, rotate_together);
			test_end();
		}
	}
	for (size_t i = 0; i < LEN(children); i++) {
		REQUIRE(waitpid(children[i], &status, 0) == children[i]);
		REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
}

static void expect_one(struct world *world)
{
	EXPECT_INT(published(world), 1);
	EXPECT(is_published(world, meeting->kids[0]) || is_published(world, meeting->kids[1]));
}

static void expect_two(struct world *world)
{
	EXPECT_INT(published(world), 2);
	EXPECT(is_published(world, meeting->kids[0]));
}

static void in_child(const struct store_options *options, void (*body)(struct world *))
{
	pid_t child = fork();
	int status;

	REQUIRE(child >= 0);
	if (child == 0) {
		world_run_on(options, auth_modules, body);
		test_end();
	}
	REQUIRE(waitpid(child, &status, 0) == child);
	REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Two instances that want a key at the same moment have the same one, whatever they want it for. */
TEST(keys_of_two_processes_are_one)
{
	struct store_options options = { .pool_wait_ns = 20 * SECOND };
	char path[256];

	options.folder = world_folder(path, sizeof(path));
	options.url = store_test_postgres(false);
	meeting = mmap(
		NULL, sizeof(*meeting), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(meeting != MAP_FAILED);

	meet(&options, KEY_FIRST);
	EXPECT_STR(str_from_c(meeting->kids[0]), str_from_c(meeting->kids[1]));
	in_child(&options, expect_one);
	for (int i = 0; i < 3; i++) { /* one more, and it stays the next one */
		meet(&options, KEY_COMMAND);
		EXPECT_STR(str_from_c(meeting->kids[0]), str_from_c(meeting->kids[1]));
		in_child(&options, expect_two);
	}
	meet(&options, KEY_NOW); /* each takes away what was there: the later one stays */
	in_child(&options, expect_one);

	(void)munmap(meeting, sizeof(*meeting));
	world_remove_folder(path);
}

WORLD_TEST(keys_are_refused_beyond_a_number, auth_modules)
{
	int r = 0;

	for (int i = 0; i < TOKEN_KEYS_MAX + 1 && r == 0; i++) {
		r = do_rotate(world, KEY_COMMAND).result;
		clock_pass(12 * MINUTE);
		if (i < SIGNING_KEYS_MAX)
			EXPECT_INT(r, 0);
	}
	EXPECT_INT(r, -ERR_FULL);
	EXPECT_INT(do_rotate(world, KEY_NOW).result, 0);
	EXPECT_INT(published(world), 1);
	clock_back();
}

/* --- sealing -------------------------------------------------------------- */

struct reading {
	struct sign_key *key;
	bool moved;
	int result;
};

static int read_key(const struct db *db, void *arg)
{
	struct reading *reading = arg;
	struct signing_key *rows;
	size_t count;
	int r = signing_keys_read(db, &rows, &count);

	REQUIRE(r == 0 && count == 1);
	EXPECT(str_find(rows[0].sealed, S("PRIVATE")) < 0);
	if (reading->moved)
		rows[0].id = S("another row");
	reading->result = signing_key_open(&rows[0], &reading->key);
	return 0;
}

static int read_as_installation(const struct db *db, void *arg)
{
	struct db own = db_of(db->store, &tenant_system, db->arena);

	return read_key(&own, arg);
}

WORLD_TEST(keys_are_sealed, auth_modules)
{
	struct reading good = { 0 }, moved = { .moved = true };

	REQUIRE(do_rotate(world, KEY_FIRST).result == 0);
	world_do(world, "o", read_as_installation, &good);
	EXPECT_INT(good.result, 0);
	EXPECT(sign_key_private(good.key));
	sign_key_unref(good.key);
	world_do(world, "o", read_as_installation, &moved);
	EXPECT_INT(moved.result, -ERR_INTERNAL);
}

/* --- documents ------------------------------------------------------------ */

WORLD_TEST(keys_documents_are_for_everybody, auth_modules)
{
	static const char *const paths[] = { "/.well-known/jwks.json",
		"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server" };

	for (size_t i = 0; i < LEN(paths); i++) {
		struct answer answer = world_get(world, NULL, "%s", paths[i]);

		EXPECT_INT(answer.status, 200);
		EXPECT_STR(response_header(&answer.response, S("content-type")),
			S("application/json"));
		EXPECT_STR(response_header(&answer.response, S("access-control-allow-origin")),
			S("*"));
		EXPECT_STR(response_header(&answer.response, S("cache-control")),
			S("public, max-age=300"));
		if (i > 0)
			EXPECT(answer_count(&answer, "\"issuer\":\"http://localhost\"") == 1 &&
				answer_count(&answer, "\"jwks_uri\":\"http://localhost/"
						      ".well-known/jwks.json\"") == 1);
	}
}
