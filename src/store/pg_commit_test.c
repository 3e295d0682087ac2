/* An answer that never comes, of a commit for one: something between us and PostgreSQL swallows it.
 */
#include "store/pg_fixture_test.h"

#include "observe/clock.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* --- what is in between ---------------------------------------------------- */

enum { PAIRS_MAX = 16 };

/* Connections of clients, each with one to the server, on a thread of its own. */
struct between {
	pthread_t thread;
	int listener;
	struct sockaddr_un server;
	int pairs[PAIRS_MAX][2]; /* client, server; -1: none */
	bool late[PAIRS_MAX];    /* came when others were swallowed already: is not */
	_Atomic bool swallows;   /* what the server says */
	bool mute;               /* it lets a connection stand, and then nothing more through */
	const char *word;        /* what answers this is swallowed, and all that comes after it */
	_Atomic bool deaf[PAIRS_MAX]; /* where this has happened */
	_Atomic bool over;
};

static struct sockaddr_un socket_of(const struct pg_server *server)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/.s.PGSQL.%u", server->folder,
		server->port);
	return address;
}

static void let_in(struct between *between)
{
	int client = accept(between->listener, NULL, NULL);
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t free = 0;

	while (free < PAIRS_MAX && between->pairs[free][0] >= 0)
		free++;
	CHECK(client >= 0 && server >= 0 && free < PAIRS_MAX);
	CHECK(connect(server, (struct sockaddr *)&between->server, sizeof(between->server)) == 0);
	between->pairs[free][0] = client;
	between->pairs[free][1] = server;
	between->late[free] = between->swallows && !between->mute;
	between->deaf[free] = false;
}

/* What a server says to a log-in begins with AuthenticationOk. */
static bool is_welcome(const char *bytes, ssize_t len)
{
	return len > 0 && bytes[0] == 'R';
}

static bool is_swallowed(
	const struct between *between, size_t number, const char *bytes, ssize_t len)
{
	if (between->deaf[number])
		return true;
	return between->swallows && !between->late[number] &&
	       !(between->mute && is_welcome(bytes, len));
}

/* Moves what there is; false when one of them has gone. */
static bool pass(struct between *between, size_t number, int from)
{
	const int *pair = between->pairs[number];
	char bytes[8192];
	ssize_t got = recv(pair[from], bytes, sizeof(bytes), 0), sent = 0;

	if (from == 0 && between->word && got > 0 &&
		memmem(bytes, (size_t)got, between->word, strlen(between->word)))
		between->deaf[number] = true;
	if (from == 1 && is_swallowed(between, number, bytes, got))
		return got > 0;
	while (got > 0 && sent < got) {
		ssize_t more = send(pair[!from], bytes + sent, (size_t)(got - sent), MSG_NOSIGNAL);

		if (more < 0)
			return false;
		sent += more;
	}
	return got > 0;
}

static void *run_between(void *arg)
{
	struct between *between = arg;
	struct pollfd entries[1 + 2 * PAIRS_MAX];

	while (!between->over) {
		entries[0] = (struct pollfd){ .fd = between->listener, .events = POLLIN };
		for (size_t i = 0; i < LEN(entries) - 1; i++)
			entries[1 + i] = (struct pollfd){ .fd = between->pairs[i / 2][i % 2],
				.events = POLLIN };
		(void)poll(entries, LEN(entries), 20);
		for (size_t i = 0; i < LEN(entries) - 1; i++) {
			int *pair = between->pairs[i / 2];

			if (pair[0] < 0 || !entries[1 + i].revents ||
				pass(between, i / 2, (int)(i % 2)))
				continue;
			(void)close(pair[0]);
			(void)close(pair[1]);
			pair[0] = pair[1] = -1;
		}
		if (entries[0].revents)
			let_in(between);
	}
	return NULL;
}

/* Beside the server's socket, under another port's name, which `ret` gets. */
static void open_between(struct between *between, const struct pg_server *server,
	struct pg_server *ret, const char *word)
{
	struct sockaddr_un address;

	*ret = *server;
	ret->port = server->port + 1;
	*between = (struct between){ .server = socket_of(server), .word = word };
	memset(between->pairs, -1, sizeof(between->pairs));
	address = socket_of(ret);
	between->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(between->listener >= 0);
	REQUIRE(bind(between->listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	REQUIRE(listen(between->listener, PAIRS_MAX) == 0);
	CHECK(pthread_create(&between->thread, NULL, run_between, between) == 0);
}

static void close_between(struct between *between)
{
	between->over = true;
	CHECK(pthread_join(between->thread, NULL) == 0);
	for (size_t i = 0; i < 2 * PAIRS_MAX; i++)
		if (between->pairs[i / 2][i % 2] >= 0)
			(void)close(between->pairs[i / 2][i % 2]);
	(void)close(between->listener);
}

/* --- the test -------------------------------------------------------------- */

static struct between between;

struct addition {
	struct thing thing;
	unsigned runs;
};

/* What it has asked is answered; what comes now is the commit. */
static int add_and_swallow(struct tx *tx, void *arg)
{
	struct addition *addition = arg;
	struct thing found;
	int r;

	addition->runs++;
	r = tx_exec(tx, &thing_add, &addition->thing);
	if (r == 0)
		r = tx_one(tx, &thing_get, &addition->thing, &found);
	between.swallows = r == 0;
	return r;
}

static int commit_into_nothing(struct pg_bench *bench, unsigned worker)
{
	struct uuid tenant = { { 0x01, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1 } };
	struct addition addition = { 0 };
	struct total total;
	struct arena arena;
	struct scope scope;
	struct db db;
	uint64_t began;

	(void)worker;
	arena_init(&arena, 16 * KILOBYTE, MEGABYTE);
	db = db_of(bench->store, &tenant, &arena);
	addition.thing = (struct thing){ .id = thing_id(&arena), .name = S("a"), .amount = 1 };

	began = clock_now_ns();
	scope_open(&scope, sched_now() + SECOND);
	EXPECT_INT(db_write(&db, add_and_swallow, &addition), -ERR_UNAVAILABLE);
	EXPECT(strstr(err_text(), "being committed: whether it was is unknown"));
	(void)scope_close(&scope);
	EXPECT(clock_now_ns() - began >= SECOND);
	EXPECT_INT(addition.runs, 1); /* it is not for us to do it again */

	/* It was; and what follows has another connection. */
	EXPECT_INT(db_one(&db, &thing_total, NULL, &total), 0);
	EXPECT_INT(total.count, 1);
	between.swallows = false;
	arena_done(&arena);
	return 0;
}

/* The caller hears that nobody knows, a while after its time is over, and not never. */
TEST_SLOW(postgres_commit_without_an_answer, 60)
{
	char app_url[PG_URL_MAX], owner_url[PG_URL_MAX];
	struct pg_server server, other;
	struct store_options options = { .pool_max = 4 };
	struct pg_bench bench;

	pg_server_start(&server, NULL);
	pg_server_database(&server, "things");
	open_between(&between, &server, &other, NULL);
	options.url = pg_server_url(&other, "app", "things", "", app_url);
	pg_bench_open(&bench, &options, pg_server_url(&server, "owner", "things", "", owner_url));
	pg_bench_run(&bench, 1, commit_into_nothing);
	pg_bench_close(&bench);
	close_between(&between);
	pg_server_remove(&server);
}

/* A server that lets connections stand and then says nothing does not hold up who connects. */
TEST_SLOW(postgres_connection_without_an_answer, 60)
{
	char url[PG_URL_MAX];
	struct pg_server server, other;
	struct pg_target target = { .connect_ns = SECOND };
	uint64_t began;

	pg_server_start(&server, NULL);
	pg_server_database(&server, "things");
	open_between(&between, &server, &other, NULL);
	between.mute = true;
	between.swallows = true;
	target.url = pg_server_url(&other, "app", "things", "", url).at;
	began = clock_now_ns();
	EXPECT(pg_connect(&target) == NULL);
	EXPECT_STR(str_from_c(err_text()), S("cannot connect to PostgreSQL: it does not answer"));
	EXPECT(clock_now_ns() - began >= SECOND);
	close_between(&between);
	pg_server_remove(&server);
}

/* Nor does one that falls silent in the connection for notices: the store closes all the same. */
static void close_without_an_answer(const char *word, unsigned wait_ms)
{
	char app_url[PG_URL_MAX], owner_url[PG_URL_MAX];
	struct pg_server server, other;
	struct store_options options = { .pool_max = 4 };
	struct pg_bench bench;
	bool deaf = false;

	pg_server_start(&server, NULL);
	pg_server_database(&server, "things");
	open_between(&between, &server, &other, word);
	options.url = pg_server_url(&other, "app", "things", "", app_url);
	pg_bench_open(&bench, &options, pg_server_url(&server, "owner", "things", "", owner_url));
	while (!deaf) {
		(void)usleep(1000);
		for (size_t i = 0; i < PAIRS_MAX; i++)
			deaf |= between.deaf[i];
	}
	(void)poll(NULL, 0, (int)wait_ms);
	pg_bench_close(&bench);
	close_between(&between);
	pg_server_remove(&server);
}

TEST_SLOW(postgres_listens_without_an_answer, 60)
{
	close_without_an_answer("LISTEN", 0);
}

/* It is when it wants to say something again that it might wait without end. */
TEST_SLOW(postgres_notifies_without_an_answer, 60)
{
	close_without_an_answer("pg_notify", 4500);
}
