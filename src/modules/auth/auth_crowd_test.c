/* Many at once: nobody who signs up or in is turned away because others do so at the same time. */
#include "modules/auth/auth_fixture_test.h"
#include "modules/mails/mails_fixture_test.h"
#include "observe/metric.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { GROUP = 8, SMALL_CROWD = 24, CROWD = 100, CONNECTIONS = 24 };

static const struct module *modules[16];

__attribute__((constructor)) static void join_modules(void)
{
	size_t count = 0;

	for (; auth_modules[count]; count++)
		modules[count] = auth_modules[count];
	modules[count] = &mail_fixture_module;
}

/* With more connections than usual, so that many transactions are really under way at a time. */
static void crowd_run(enum engine_kind engine, void (*body)(struct world *))
{
	struct store_options options = { .pool_wait_ns = 20 * SECOND, .pool_max = CONNECTIONS };
	char path[256];

	options.folder = world_folder(path, sizeof(path));
	if (engine == ENGINE_POSTGRES)
		options.url = store_test_postgres_url(false);
	world_run_on(&options, modules, body);
	world_remove_folder(path);
}

#define CROWD_TEST(name_)                                                                          \
	static void crowd_test_##name_(struct world *world);                                       \
	TEST(name_##_sqlite)                                                                       \
	{                                                                                          \
		crowd_run(ENGINE_SQLITE, crowd_test_##name_);                                      \
	}                                                                                          \
	TEST(name_##_postgres)                                                                     \
	{                                                                                          \
		crowd_run(ENGINE_POSTGRES, crowd_test_##name_);                                    \
	}                                                                                          \
	static void crowd_test_##name_(struct world *world)

/* Transactions of this process that met a conflict, from whatever reason. */
static int64_t conflicts(void)
{
	struct str name = S("\nstore_conflicts_total ");
	struct buf text;
	ptrdiff_t at;
	int64_t count;

	buf_init(&text, 4 * MEGABYTE);
	REQUIRE(metric_write(&text, METRIC_TEXT) == 0);
	buf_byte(&text, (char)0);
	at = str_find(buf_str(&text), name);
	count = at < 0 ? 0 : strtoll(text.at + at + name.len, NULL, 10);
	buf_done(&text);
	return count;
}

/* What became of a crowd's requests. */
struct outcome {
	size_t done, full, failed;
	int64_t conflicts; /* that were solved by repetition, or not */
};

/* Each comes with a connection of its own, and leaves with it: the server closes idle ones. */
static struct client *clients[CROWD];

static void come(struct world *world, size_t size)
{
	for (size_t i = 0; i < size; i++)
		REQUIRE((clients[i] = client_open(world->net)) != NULL);
}

static void leave(size_t size)
{
	for (size_t i = 0; i < size; i++)
		client_close(clients[i]);
}

/* The pool of passwords has so many places and no more; that is a limit, and says so. */
static void count(struct outcome *outcome, const struct answer *answer)
{
	if (answer->status == 200 || answer->status == 201) {
		outcome->done++;
	} else if (answer->status == 503 && answer_count(answer, "passwords are being looked at")) {
		outcome->full++;
	} else {
		outcome->failed++;
		(void)fprintf(stderr, "  %.*s\n", STR_ARG(answer->body));
	}
}

/* Which time it is, and the number of the first of those who come. */
static size_t round_, first_;

/* A request of each at the same time. */
static struct outcome all_at_once(struct world *world, size_t size, const char *request,
	void (*write_body)(char *body, size_t room, size_t who))
{
	struct outcome outcome = { 0 };
	int64_t before = conflicts();

	come(world, size);
	for (size_t i = 0; i < size; i++) {
		char body[400];

		write_body(body, sizeof(body), first_ + i);
		world_send(clients[i], NULL, request, "", body);
	}
	for (size_t i = 0; i < size; i++) {
		struct answer answer = world_answer(clients[i]);

		count(&outcome, &answer);
	}
	leave(size);
	outcome.conflicts = conflicts() - before;
	return outcome;
}

#define ACCOUNT                                                                                    \
	"{\"email\":\"user%zu-%zu@example.com\",\"password\":\"tin whistle over boots\","          \
	"\"name\":\"Some One\",\"tenant\":"

static void write_founder(char *body, size_t room, size_t who)
{
	(void)snprintf(body, room, ACCOUNT "{\"name\":\"Tenant\",\"slug\":\"t-%zu-%zu\"}}", round_,
		who, round_, who);
}

static void write_joiner(char *body, size_t room, size_t who)
{
	(void)snprintf(body, room, ACCOUNT "{\"slug\":\"meeting\"}}", round_, who);
}

static void write_login(char *body, size_t room, size_t who)
{
	(void)snprintf(body, room,
		"{\"email\":\"user%zu-%zu@example.com\",\"password\":\"tin whistle over boots\"}",
		round_, who);
}

/* That all of them get through is not enough: it must not be by luck. A row that all of them
 * change would make several conflicts of each; a few come of a machine that has much to do. */
static void expect_all(const struct outcome *outcome, size_t size)
{
	if (!EXPECT(outcome->conflicts <= (int64_t)size / 2))
		(void)fprintf(stderr, "  %" PRId64 " conflicts\n", outcome->conflicts);
	EXPECT_INT(outcome->failed, 0);
	EXPECT_INT(outcome->done + outcome->full, size);
	if (size == SMALL_CROWD)
		EXPECT_INT(outcome->full, 0);
	else
		EXPECT(outcome->done >= SMALL_CROWD);
}

static void try_sizes(struct world *world, const char *request,
	void (*write_body)(char *body, size_t room, size_t who))
{
	static const size_t sizes[] = { SMALL_CROWD, CROWD };

	for (size_t i = 0; i < LEN(sizes); i++) {
		struct outcome outcome = all_at_once(world, sizes[i], request, write_body);

		expect_all(&outcome, sizes[i]);
		round_++;
	}
}

CROWD_TEST(crowd_founds_tenants)
{
	try_sizes(world, "POST /api/v1/auth/register", write_founder);
}

CROWD_TEST(crowd_joins_a_tenant)
{
	struct answer answer = world_call(world, NULL, "POST /api/v1/auth/register", "",
		"{\"email\":\"ada@example.com\",\"password\":\"tin whistle over boots\","
		"\"name\":\"Ada\",\"tenant\":{\"name\":\"Meeting\",\"slug\":\"meeting\"}}");

	REQUIRE(answer.status == 201);
	try_sizes(world, "POST /api/v1/auth/register", write_joiner);
}

/* Those who have just signed up, each from the same place as all others. */
CROWD_TEST(crowd_signs_in)
{
	struct outcome outcome =
		all_at_once(world, SMALL_CROWD, "POST /api/v1/auth/register", write_founder);

	REQUIRE(outcome.done == SMALL_CROWD);
	for (int i = 0; i < 4; i++) {
		outcome = all_at_once(world, SMALL_CROWD, "POST /api/v1/auth/login", write_login);
		expect_all(&outcome, SMALL_CROWD);
	}
}

/* More people at a time than the pool has places: who gets in is right, who does not is told so,
 * and comes in the next time. */
CROWD_TEST(crowd_of_a_hundred_signs_in)
{
	struct outcome outcome;

	for (size_t made = 0; made < CROWD; made += GROUP) {
		first_ = made;
		outcome = all_at_once(world, MIN((size_t)GROUP, CROWD - made),
			"POST /api/v1/auth/register", write_founder);
		REQUIRE(outcome.failed == 0 && outcome.full == 0);
	}
	first_ = 0;
	for (int i = 0; i < 3; i++) {
		outcome = all_at_once(world, CROWD, "POST /api/v1/auth/login", write_login);
		expect_all(&outcome, CROWD);
	}
}

/* --- where addresses are proved first --------------------------------------------------------- */

/* Joining is an errand then: the same answer for who is there already. */
static void join_unseen(struct world *world)
{
	struct answer answer;

	answer = world_call(world, NULL, "POST /api/v1/auth/register", "",
		"{\"email\":\"ada@example.com\",\"password\":\"tin whistle over boots\","
		"\"name\":\"Ada\",\"tenant\":{\"name\":\"Meeting\",\"slug\":\"meeting\"}}");
	REQUIRE(answer.status == 201);
	try_sizes(world, "POST /api/v1/auth/register", write_joiner);
	round_--; /* all of them once more: nobody hears that they are there */
	for (int i = 0; i < 2; i++) {
		struct outcome outcome =
			all_at_once(world, SMALL_CROWD, "POST /api/v1/auth/register", write_joiner);

		expect_all(&outcome, SMALL_CROWD);
	}
}

static void crowd_run_unseen(enum engine_kind engine)
{
	struct auth_options usual = *auth_options(), options = usual;

	options.verify_first = true;
	REQUIRE(auth_configure(&options) == 0);
	crowd_run(engine, join_unseen);
	REQUIRE(auth_configure(&usual) == 0);
}

TEST(crowd_joins_unseen_sqlite)
{
	crowd_run_unseen(ENGINE_SQLITE);
}

TEST(crowd_joins_unseen_postgres)
{
	crowd_run_unseen(ENGINE_POSTGRES);
}

/* --- an invitation ------------------------------------------------------------------------ */

static char invitation[300];

static void write_guest(char *body, size_t room, size_t who)
{
	(void)snprintf(body, room,
		"{\"invitation\":\"%s\",\"password\":\"tin whistle over boots\","
		"\"name\":\"Guest %zu\"}",
		invitation, who);
}

/* A hundred have the link: one of them becomes the user, the others are told that it is used. */
CROWD_TEST(crowd_with_one_invitation)
{
	struct person ada = person_make(world, "a", "ada@example.com", "owner");
	const char *owner = person_token(world, &ada);
	size_t won = 0, used = 0, full = 0;
	struct answer answer = world_call(world, owner, "POST /api/v1/invitations", "",
		"{\"email\":\"guest@example.com\",\"role\":\"member\"}");

	REQUIRE(answer.status == 201);
	(void)snprintf(invitation, sizeof(invitation), "%s",
		posted_token(mail_posted(world, "a", MAIL_INVITATION, "guest@example.com")));
	REQUIRE(*invitation);
	come(world, CROWD);
	for (size_t i = 0; i < CROWD; i++) {
		char body[600];

		write_guest(body, sizeof(body), i);
		world_send(clients[i], NULL, "POST /api/v1/auth/register", "", body);
	}
	for (size_t i = 0; i < CROWD; i++) {
		answer = world_answer(clients[i]);
		won += answer.status == 201;
		used += answer.status == 400;
		full += answer.status == 503;
		if (!EXPECT(answer.status == 201 || answer.status == 400 || answer.status == 503))
			(void)fprintf(stderr, "  %.*s\n", STR_ARG(answer.body));
	}
	leave(CROWD);
	EXPECT_INT(won, 1);
	EXPECT(used > 0);
	EXPECT_INT(won + used + full, CROWD);
	answer = world_call(world, owner, "GET /api/v1/users", "", NULL);
	EXPECT_INT(answer_count(&answer, "\"email\":"), 2);
}
