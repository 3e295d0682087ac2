/* Servers and clients for tests. The client's memory is not counted, so that faults strike the
 * server (and the pipes). */
#include "http/loopback_test.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/test.h"
#include "http/metrics.h"
#include "observe/clock.h"
#include "observe/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PIPE_WHOLE = 64 * 1024,
	PIPE_CHOPPED = 512, /* its bytes move up at each read of one */
	FIBERS = 1000,
	TCP_WORKERS = 2,
	QUIET_POLLS = 4, /* without news before time may jump */
};

#define START    (1000 * SECOND)
#define TCP_TIME 20 /* seconds */

const struct server_limits loopback_limits = {
	.head = { .line = 512, .field = 512, .head = 2048, .fields = 30, .body = UINT64_MAX / 2 },
	.connections = 50,
	.connections_per_address = 50,
	.requests_per_connection = 100000,
	.connection_age_ns = 24 * HOUR,
	.handshake_ns = 5 * SECOND,
	.head_ns = 10 * SECOND,
	.idle_ns = 60 * SECOND,
	.handler_ns = 30 * SECOND,
	.body_grace_ns = 10 * SECOND,
	.body_rate = 1000,
	.write_stall_ns = 10 * SECOND,
	.body = 256 * KILOBYTE,
	.pipelined = 2048,
	.response_queue = 16 * KILOBYTE,
	.request_memory = 4 * MEGABYTE,
	.compress_from = 1000,
};

/* Growing bytes outside the counted heap. */
struct text {
	char *at;
	size_t len, room;
};

struct client {
	struct client *next;
	struct loopback *net;
	struct pipe_end ends[2]; /* ours, the server's */
	struct tcp tcp;          /* LOOPBACK_POLLED */
	struct stream *stream;   /* NULL: closed, or a socket */
	int fd;                  /* LOOPBACK_TCP; -1 */
	bool ended;
	struct text in, head, body;
	size_t used;      /* of `in` */
	struct str aside; /* client_send_aside */
};

struct loopback {
	const struct loopback_options *options;
	struct server server;
	struct server_worker *home; /* NULL: threads */
	struct client *clients;
	void (*scenario)(struct loopback *, void *arg);
	void *arg;
	bool finished;
};

static void text_add(struct text *text, const char *at, size_t len)
{
	while (text->room - text->len < len) {
		text->room = MAX(text->room * 2, (size_t)1024);
		text->at = realloc(text->at, text->room);
		CHECK(text->at);
	}
	if (len)
		memcpy(text->at + text->len, at, len);
	text->len += len;
}

/* --- the server --------------------------------------------------------- */

/* Series of metrics stay for ever, so they are made before memory is compared. */
static void make_series(struct router *router)
{
	static const int successes[] = { 101, 200, 201, 204, 304, 308 };
	static bool made;

	if (made)
		return;
	made = true;
	for (struct router_entry *entry = router->first; entry; entry = entry->next) {
		for (size_t k = 0; k < LEN(successes); k++)
			metrics_request(entry, successes[k], 1);
		for (int code = 1; code < ERR_CODES; code++)
			metrics_request(entry, err_info(code)->status, 1);
	}
	metrics_request(&router->unmatched, 204, 1);
	for (int code = 1; code < ERR_CODES; code++)
		metrics_request(&router->unmatched, err_info(code)->status, 1);
	metrics_count(HTTP_COUNTER_ACCEPTED);
	metrics_connections(+1);
	metrics_connections(-1);
}

static void prepare(struct loopback *net)
{
	struct server *server = &net->server;

	loopback_make_bodies();
	server->limits = net->options->limits ? *net->options->limits : loopback_limits;
	server->show_causes = net->options->show_causes;
	CHECK(metrics_init() == 0);
}

static void add_modules(struct loopback *net)
{
	REQUIRE(server_add(&net->server, &loopback_module) == 0);
	if (net->options->module && server_add(&net->server, net->options->module) < 0) {
		fprintf(stderr, "  %s\n", err_text());
		REQUIRE(!"the module is taken");
	}
	if (net->options->set_up)
		net->options->set_up(&net->server, net->arg);
}

static bool is_proxy(const struct address *address, void *arg)
{
	return server_trusts(arg, address);
}

/* What server_start does for a worker, without its thread. */
static void open_worker(struct loopback *net)
{
	struct server *server = &net->server;

	prepare(net);
	router_init(&server->sites[0].router);
	server->sites[0].place = ROUTE_ANYWHERE;
	server->sites[0].listener.fd = -1;
	server->site_count = 1;
	peers_init(&server->peers);
	server->trust.trusted = is_proxy;
	server->trust.arg = server;
	add_modules(net);
	make_series(&server->sites[0].router);

	net->home = calloc(1, sizeof(*net->home));
	CHECK(net->home);
	net->home->server = server;
	link_init(&net->home->conns);
	compress_pool_init(&net->home->compress, 1, 4);
	sched_init(&net->home->worker.sched, FIBERS);
	net->home->worker.sched.now_ns = START;
	if (net->options->way == LOOPBACK_SHUFFLED)
		net->home->worker.sched.order_seed = net->options->seed;
	if (net->options->way == LOOPBACK_POLLED)
		CHECK(poller_init(&net->home->worker.poller) == 0);
	server->workers = net->home;
	server->worker_count = 1;
	atomic_store(&server->ready, true);
}

static void close_worker(struct loopback *net)
{
	struct server_worker *home = net->home;

	EXPECT_INT(server_connections(&net->server), 0);
	EXPECT_INT(home->load, 0);
	EXPECT(list_empty(&home->conns));
	exchange_free_all(home);
	compress_pool_done(&home->compress);
	if (net->options->way == LOOPBACK_POLLED)
		poller_done(&home->worker.poller);
	sched_done(&home->worker.sched);
	peers_done(&net->server.peers);
	server_done(&net->server);
	free(home);
}

/* Runs until nothing is left to do, jumping from deadline to deadline. */
static void run_dry(struct loopback *net)
{
	struct sched *sched = &net->home->worker.sched;
	uint64_t now = sched->now_ns;
	size_t quiet = 0;

	for (;;) {
		uint64_t next = sched_run(sched, now);

		if (net->options->way == LOOPBACK_POLLED) {
			CHECK(poller_wait(&net->home->worker.poller, 0) == 0);
			poller_tell(&net->home->worker.poller);
			quiet = list_empty(&sched->ready) ? quiet + 1 : 0;
			if (quiet < QUIET_POLLS)
				continue;
		}
		quiet = 0;
		if (next == TIME_NEVER)
			return;
		now = MAX(now, next);
	}
}

static void close_clients(struct loopback *net)
{
	while (net->clients) {
		struct client *client = net->clients;

		client_close(client);
		net->clients = client->next;
		free(client->in.at);
		free(client->head.at);
		free(client->body.at);
		free(client);
	}
}

static int run_scenario(void *arg)
{
	struct loopback *net = arg;

#ifdef BULKHEAD_FAULTS
	fault_arm(FAULT_MEMORY, net->options->fail_memory);
	fault_arm(FAULT_SYSCALL, net->options->fail_syscall);
#endif
	net->scenario(net, net->arg);
	for (struct client *client = net->clients; client; client = client->next)
		client_close(client);
	net->finished = true;
	return 0;
}

static void open_log(int fd)
{
	struct log_options options = { .level = LOG_TRACE, .format = LOG_JSON, .fd = fd };

	CHECK(log_open(&options) == 0);
}

static void close_log(void)
{
	EXPECT_INT(log_close(clock_now_ns() + TCP_TIME * SECOND), 0);
}

static bool run_virtual(struct loopback *net)
{
	bool struck = false;

	if (net->options->log)
		open_log(net->options->log);
	open_worker(net);
	CHECK(scope_spawn(&net->home->worker.sched.root, run_scenario, net) == 0);
	run_dry(net);
#ifdef BULKHEAD_FAULTS
	struck = fault_struck(FAULT_MEMORY) || fault_struck(FAULT_SYSCALL);
	fault_arm(FAULT_MEMORY, 0);
	fault_arm(FAULT_SYSCALL, 0);
#endif
	if (!EXPECT(net->finished)) /* it waits for ever */
		test_end();
	REQUIRE(net->home->worker.sched.count == 0);
	close_clients(net);
	close_worker(net);
	if (net->options->log)
		close_log();
	return struck;
}

static void wait_until_idle(struct server *server)
{
	for (int i = 0; i < TCP_TIME * 1000 && server_connections(server) > 0; i++)
		(void)poll(NULL, 0, 1);
	EXPECT_INT(server_connections(server), 0);
}

static void run_threads(struct loopback *net)
{
	struct server *server = &net->server;
	struct address address;
	int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

	prepare(net);
	CHECK(nowhere >= 0);
	open_log(net->options->log ? net->options->log : nowhere);
	CHECK(address_parse(S("127.0.0.1"), 0, &address) == 0);
	REQUIRE(server_listen(server, &address, NULL, ROUTE_ANYWHERE) == 0);
	add_modules(net);
	REQUIRE(server_start(server, TCP_WORKERS) == 0);

	net->scenario(net, net->arg);
	close_clients(net);
	server_drain(server);
	wait_until_idle(server);
	server_stop(server);
	server_done(server);
	close_log();
	(void)close(nowhere);
}

bool loopback_run(const struct loopback_options *options,
	void (*scenario)(struct loopback *, void *arg), void *arg)
{
	struct loopback net = { .options = options, .scenario = scenario, .arg = arg };

	if (options->way < LOOPBACK_VIRTUAL)
		return run_virtual(&net);
	run_threads(&net);
	return false;
}

void loopback_run_ways(const struct loopback_options *options, enum loopback_way ways,
	void (*scenario)(struct loopback *, void *arg), void *arg)
{
	enum { SEEDS = 10 };

	for (enum loopback_way way = 0; way < ways; way++)
		for (uint64_t seed = 1; seed <= (way == LOOPBACK_SHUFFLED ? SEEDS : 1); seed++) {
			struct loopback_options one = *options;

			if (BUILT_WITH_TSAN && way > 0 && way < LOOPBACK_VIRTUAL)
				continue; /* one thread has no races to show */

			one.way = way;
			one.seed = seed;
			(void)loopback_run(&one, scenario, arg);
		}
}

void loopback_run_all(void (*scenario)(struct loopback *, void *arg), void *arg)
{
	loopback_run_ways(&(struct loopback_options){ 0 }, LOOPBACK_WAYS, scenario, arg);
}

struct server *loopback_server(struct loopback *net)
{
	return &net->server;
}

struct server_worker *loopback_worker(struct loopback *net)
{
	return net->home;
}

enum loopback_way loopback_way(const struct loopback *net)
{
	return net->options->way;
}

void loopback_pause(struct loopback *net)
{
	if (net->home)
		(void)fiber_sleep_until(sched_now() + MICROSECOND);
	else
		(void)poll(NULL, 0, 1);
}

double loopback_time(const struct loopback *net)
{
	CHECK(net->home);
	return (double)(sched_now() - START) / (double)SECOND;
}

void loopback_sleep(double seconds)
{
	(void)fiber_sleep_until(sched_now() + (uint64_t)(seconds * (double)SECOND));
}

/* --- clients ------------------------------------------------------------ */

static bool open_pipe(struct client *client)
{
	struct loopback *net = client->net;
	size_t chop = SIZE_MAX;

	if (net->options->way == LOOPBACK_CHOPPED)
		chop = 1;
	else if (net->options->way == LOOPBACK_SHUFFLED)
		chop = 1 + net->options->seed * 7 % 200;
	pipe_open(client->ends, chop == SIZE_MAX ? PIPE_WHOLE : PIPE_CHOPPED, chop);
	client->stream = &client->ends[0].stream;
	return conn_open_stream(net->home, &net->server.sites[0], &client->ends[1].stream);
}

/* As if `fds[1]` had been accepted. */
static bool open_polled(struct client *client)
{
	struct server *server = &client->net->server;
	struct server_worker *home = client->net->home;
	struct address peer;
	int fds[2];

	CHECK(address_parse(S("127.0.0.1"), 1, &peer) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	if (!server_trusts(server, &peer) &&
		peers_enter(&server->peers, &peer, server->limits.connections_per_address) < 0) {
		(void)close(fds[0]);
		(void)close(fds[1]);
		return false;
	}
	atomic_fetch_add(&server->connections, 1);
	atomic_fetch_add(&home->load, 1);
	metrics_connections(+1);
	conn_open(home, &server->sites[0], fds[1], &peer);
	if (tcp_open(&client->tcp, &home->worker.poller, fds[0]) < 0)
		return false;
	client->stream = &client->tcp.stream;
	return true;
}

static bool open_socket(struct client *client)
{
	const struct address *address = &client->net->server.sites[0].listener.address;
	struct timeval time = { .tv_sec = TCP_TIME };

	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(client->fd >= 0);
	CHECK(setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)) == 0);
	CHECK(setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)) == 0);
	CHECK(setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)) == 0);
	REQUIRE(connect(client->fd, &address->any, address->len) == 0);
	return true;
}

struct client *client_open(struct loopback *net)
{
	struct client *client = calloc(1, sizeof(*client));
	bool ok;

	CHECK(client);
	client->net = net;
	client->fd = -1;
	client->next = net->clients;
	net->clients = client;
	switch (net->options->way) {
	case LOOPBACK_TCP: ok = open_socket(client); break;
	case LOOPBACK_POLLED: ok = open_polled(client); break;
	default: ok = open_pipe(client); break;
	}
	return ok ? client : NULL;
}

bool client_send(struct client *client, struct str text)
{
	static const struct stream_pace pace = { .stall_ns = 24 * HOUR };

	if (client->stream)
		return stream_write(client->stream, &text, 1, &pace) == 0;

	while (client->fd >= 0 && text.len) {
		ssize_t took = send(client->fd, text.at, text.len, MSG_NOSIGNAL);

		if (took < 0)
			return false;
		text = str_from(text, (size_t)took);
	}
	return client->fd >= 0;
}

static int send_aside(void *arg)
{
	struct client *client = arg;

	(void)client_send(client, client->aside);
	return 0;
}

void client_send_aside(struct client *client, struct str text)
{
	struct loopback *net = client->net;

	client->aside = text;
	if (!net->home)
		EXPECT(client_send(client, text));
	else if (scope_spawn(&net->home->worker.sched.root, send_aside, client) < 0)
		client_close(client);
}

void client_end(struct client *client)
{
	if (client->stream)
		(void)stream_end(client->stream, TIME_NEVER);
	else if (client->fd >= 0)
		(void)shutdown(client->fd, SHUT_WR);
}

void client_close(struct client *client)
{
	stream_close(TAKE(client->stream));
	if (client->fd >= 0)
		(void)close(client->fd);
	client->fd = -1;
	client->ended = true;
}

bool client_fill(struct client *client)
{
	char piece[16 * 1024];
	ssize_t got;

	if (client->ended)
		return false;
	if (client->stream)
		got = stream_read(client->stream, piece, sizeof(piece), TIME_NEVER);
	else
		got = recv(client->fd, piece, sizeof(piece), 0);
	if (client->fd >= 0 && got < 0)
		EXPECT(errno != EAGAIN); /* the server neither answers nor closes */
	client->ended = got <= 0;
	if (got > 0)
		text_add(&client->in, piece, (size_t)got);
	return got > 0;
}

struct str client_unread(const struct client *client)
{
	return str_from(str_of(client->in.at, client->in.len), client->used);
}

void client_use(struct client *client, size_t count)
{
	client->used += count;
	if (client->used == client->in.len)
		client->used = client->in.len = 0;
}

bool client_is_closed(struct client *client)
{
	return client_unread(client).len == 0 && !client_fill(client);
}

/* --- responses ---------------------------------------------------------- */

/* Bytes up to and with `mark`, read as needed; false when the connection ended before. */
static bool take_until(struct client *client, struct str mark, struct text *to)
{
	size_t seen = 0;

	for (;;) {
		struct str unread = client_unread(client);
		ptrdiff_t at = str_find(str_from(unread, seen), mark);

		if (at >= 0) {
			size_t len = seen + (size_t)at + mark.len;

			text_add(to, unread.at, len);
			client_use(client, len);
			return true;
		}
		seen = unread.len > mark.len ? unread.len - mark.len : 0;
		if (!client_fill(client))
			return false;
	}
}

static bool take_bytes(struct client *client, uint64_t count, struct text *to)
{
	while (count > 0) {
		struct str part = str_first(client_unread(client), (size_t)count);

		if (part.len == 0 && !client_fill(client))
			return false;
		if (to)
			text_add(to, part.at, part.len);
		client_use(client, part.len);
		count -= part.len;
	}
	return true;
}

static bool take_chunks(struct client *client, struct text *to)
{
	for (;;) {
		struct text line = { 0 };
		uint64_t size = 0;
		bool ok = take_until(client, S("\r\n"), &line);

		if (ok)
			ok = EXPECT(num_parse_hex(str_of(line.at, line.len - 2), &size));
		free(line.at);
		line = (struct text){ 0 };
		ok = ok && take_bytes(client, size, to) && take_bytes(client, 2, &line);
		if (ok)
			ok = EXPECT_STR(str_of(line.at, line.len), S("\r\n"));
		free(line.at);
		if (!ok || size == 0)
			return ok;
	}
}

struct str response_header(const struct response *response, struct str name)
{
	struct str rest = response->head;

	while (rest.at) {
		struct str line = str_cut(&rest, '\n');
		struct str field = str_cut(&line, ':');

		if (line.at && str_eq(field, name))
			return str_trim(str_first(line, line.len ? line.len - 1 : 0));
	}
	return str_of(NULL, 0);
}

/* Every line is a field, none of those that frame the message comes twice, and what every answer
 * has is there. */
static void check_head(const struct response *response)
{
	struct str rest = response->head;
	struct str line = str_cut(&rest, '\n');
	size_t framing = 0;

	EXPECT(str_starts(line, S("HTTP/1.1 ")) && line.len > 14 && line.at[12] == ' ' &&
		line.at[line.len - 1] == '\r');
	while (rest.at && rest.len > 2) {
		ptrdiff_t colon;

		line = str_cut(&rest, '\n');
		colon = str_find_byte(line, ':');
		if (!EXPECT(colon > 0 && line.len > (size_t)colon + 1 &&
			    line.at[colon + 1] == ' ' && line.at[line.len - 1] == '\r' &&
			    str_find_byte(str_first(line, line.len - 1), '\r') < 0))
			fprintf(stderr, "  line \"%.*s\"\n", STR_ARG(line));
		framing += str_starts(line, S("content-length:")) ||
			   str_starts(line, S("transfer-encoding:"));
	}
	EXPECT_STR(rest, S("\r\n"));
	EXPECT(framing <= 1);
	if (response->status >= 200)
		EXPECT(response_header(response, S("date")).len == TIME_HTTP_LEN &&
			response_header(response, S("x-content-type-options")).len);
	if (response->status != 100)
		EXPECT(response_header(response, S("x-request-id")).len > 0);
}

struct response client_response(struct client *client, bool bodyless)
{
	struct response response = { 0 };
	struct str length, coding;
	uint64_t number = 0;
	bool whole = true;

	client->head.len = client->body.len = 0;
	if (!take_until(client, S("\r\n\r\n"), &client->head)) {
		response.cut = client_unread(client).len > 0;
		return response;
	}

	response.head = str_of(client->head.at, client->head.len);
	if (response.head.len > 12)
		(void)num_parse_u64(str_of(response.head.at + 9, 3), &number);
	response.status = (int)number;
	check_head(&response);
	length = response_header(&response, S("content-length"));
	coding = response_header(&response, S("transfer-encoding"));
	if (bodyless || http_status_bodyless(response.status)) {
		EXPECT(bodyless || !coding.at);
	} else if (coding.at) {
		EXPECT_STR(coding, S("chunked"));
		whole = take_chunks(client, &client->body);
	} else if (length.at) {
		EXPECT(num_parse_u64(length, &number));
		whole = take_bytes(client, number, &client->body);
	} else {
		do {
			struct str rest = client_unread(client);

			text_add(&client->body, rest.at, rest.len);
			client_use(client, rest.len);
		} while (client_fill(client));
	}
	response.cut = !whole;
	response.body = str_of(client->body.at, client->body.len);
	return response;
}
