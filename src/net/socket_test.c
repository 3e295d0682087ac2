/* Sockets with real workers: TCP streams, listeners, names, and connecting. */
#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"
#include "loop/worker.h"
#include "net/dial.h"
#include "net/listener.h"
#include "net/tcp.h"
#include "observe/clock.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct stream_pace pace = { .stall_ns = 10 * SECOND };

/* --- one fiber on a worker ---------------------------------------------- */

struct task {
	int (*run)(void *);
	sem_t done;
};

static int run_task(void *arg)
{
	struct task *task = arg;

	EXPECT_INT(task->run(NULL), 0);
	(void)sem_post(&task->done);
	return 0;
}

static int start_task(struct worker *worker)
{
	return scope_spawn(&worker->sched.root, run_task, worker->arg);
}

static void on_worker(int (*run)(void *))
{
	struct task task = { .run = run };
	struct worker worker = { .fiber_limit = 100, .on_start = start_task, .arg = &task };

	CHECK(sem_init(&task.done, 0, 0) == 0);
	REQUIRE(worker_start(&worker) == 0);
	CHECK(sem_wait(&task.done) == 0);
	worker_stop(&worker);
	worker_join(&worker);
	EXPECT_INT(mem_used(), 0);
}

static struct poller *poller(void)
{
	return &worker_here()->poller;
}

static uint64_t soon(void)
{
	return sched_now() + 10 * SECOND;
}

/* --- tcp ---------------------------------------------------------------- */

static void open_pair(struct tcp sides[2])
{
	int fds[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	REQUIRE(tcp_open(&sides[0], poller(), fds[0]) == 0);
	REQUIRE(tcp_open(&sides[1], poller(), fds[1]) == 0);
}

enum { MUCH = 3000000 };

static int write_much(void *arg)
{
	struct tcp *tcp = arg;
	char *text = malloc(MUCH);
	struct str parts[3];

	CHECK(text);
	for (size_t i = 0; i < MUCH; i++)
		text[i] = (char)(i * 7 + i / 251);
	parts[0] = str_of(text, 1);
	parts[1] = str_of(text + 1, MUCH / 2);
	parts[2] = str_of(text + 1 + MUCH / 2, MUCH / 2 - 1);
	EXPECT_INT(stream_write(&tcp->stream, parts, 3, &pace), 0);
	EXPECT_INT(stream_end(&tcp->stream, soon()), 0);
	free(text);
	return 0;
}

static int carry_much(void *arg)
{
	struct tcp sides[2];
	struct scope scope;
	size_t len = 0;
	char at[50000];
	ssize_t got;

	(void)arg;
	open_pair(sides);
	scope_open(&scope, soon());
	REQUIRE(scope_spawn(&scope, write_much, &sides[0]) == 0);
	while ((got = stream_read(&sides[1].stream, at, sizeof(at), TIME_NEVER)) > 0)
		for (ssize_t i = 0; i < got; i++, len++)
			CHECK(at[i] == (char)(len * 7 + len / 251));
	EXPECT_INT(got, 0);
	EXPECT_INT(len, MUCH);
	EXPECT_INT(scope_close(&scope), 0);

	EXPECT_INT(stream_try_read(&sides[0].stream, at, 1), STREAM_WANT_READ);
	stream_close(&sides[1].stream);
	EXPECT_INT(stream_read(&sides[0].stream, at, 1, soon()), 0);
	EXPECT_INT(stream_write(&sides[0].stream, &S("x"), 1, &pace), -ERR_CLOSED);
	stream_close(&sides[0].stream);
	return 0;
}

TEST(tcp_carries_more_than_its_buffers)
{
	on_worker(carry_much);
}

/* An end that comes together with the last bytes is told once; it must not get lost. */
static int read_end_with_bytes(void *arg)
{
	struct tcp sides[2];
	char at[100];

	(void)arg;
	for (size_t rest = 0; rest < 3; rest++) {
		open_pair(sides);
		EXPECT_INT(stream_try_read(&sides[1].stream, at, 1), STREAM_WANT_READ);
		EXPECT_INT(stream_write(&sides[0].stream, &S("abc"), 1, &pace), 0);
		stream_close(&sides[0].stream);
		EXPECT_INT(stream_read(&sides[1].stream, at, 3 + rest, soon()), 3);
		EXPECT_INT(stream_read(&sides[1].stream, at, sizeof(at), soon()), 0);
		stream_close(&sides[1].stream);
	}
	return 0;
}

TEST(tcp_end_with_the_last_bytes)
{
	on_worker(read_end_with_bytes);
}

#ifdef BULKHEAD_FAULTS
static int fail_calls(void *arg)
{
	struct tcp sides[2];
	char at[10];
	int fd = dup(STDERR_FILENO);

	(void)arg;
	open_pair(sides);
	fault_arm(FAULT_SYSCALL, 1);
	EXPECT_INT(stream_try_read(&sides[0].stream, at, 1), -ERR_IO);
	fault_arm(FAULT_SYSCALL, 1);
	EXPECT_INT(stream_try_write(&sides[0].stream, &S("x"), 1), -ERR_IO);
	stream_close(&sides[0].stream);
	stream_close(&sides[1].stream);

	fault_arm(FAULT_SYSCALL, 1);
	EXPECT_INT(tcp_open(&sides[0], poller(), fd), -ERR_IO);
	EXPECT(close(fd) < 0); /* tcp_open has closed it */
	return 0;
}

TEST(tcp_reports_failed_calls)
{
	on_worker(fail_calls);
}
#endif

/* --- listener ----------------------------------------------------------- */

static struct listener listener;

static struct address local(uint16_t port)
{
	struct address address;

	REQUIRE(address_parse(S("127.0.0.1"), port, &address) == 0);
	return address;
}

static void listen_here(void)
{
	struct address any = local(0);

	REQUIRE(listener_open(&listener, &any) == 0);
	EXPECT(address_port(&listener.address) != 0);
}

TEST(listener_says_what_is_wrong)
{
	struct listener second = { .fd = -1 };
	struct address address;

	listen_here();
	EXPECT_INT(listener_open(&second, &listener.address), -ERR_IO);
	EXPECT(strstr(err_text(), "the port is taken"));
	listener_close(&second);
	listener_close(&listener);
	listener_close(&listener);

	REQUIRE(address_parse(S("192.0.2.1"), 0, &address) == 0);
	EXPECT_INT(listener_open(&second, &address), -ERR_IO);
	EXPECT(strstr(
		err_text(), "cannot listen on 192.0.2.1:0: this machine has no such address"));

	second.fd = STDERR_FILENO; /* what a failed one leaves behind must be safe to close */
	EXPECT_INT(listener_open(&second, &address), -ERR_IO);
	EXPECT_INT(second.fd, -1);
}

struct server {
	struct acceptor acceptor; /* first */
	struct worker worker;
};

struct guest {
	struct tcp tcp;
};

static _Atomic unsigned served;

static int serve(void *arg)
{
	struct guest *guest = arg;
	char at[10];
	ssize_t got = stream_read(&guest->tcp.stream, at, sizeof(at), soon());

	if (got > 0)
		(void)stream_write(&guest->tcp.stream, &(struct str){ at, (size_t)got }, 1, &pace);
	stream_close(&guest->tcp.stream);
	free(guest);
	served++;
	return 0;
}

static void welcome(struct acceptor *acceptor, int fd, const struct address *peer)
{
	struct server *server = CONTAINER_OF(acceptor, struct server, acceptor);
	struct guest *guest = malloc(sizeof(*guest));
	char text[ADDRESS_TEXT_MAX];

	CHECK(guest);
	EXPECT_STR(str_of(text, address_write_host(peer, text)), S("127.0.0.1"));
	REQUIRE(tcp_open(&guest->tcp, &server->worker.poller, fd) == 0);
	REQUIRE(scope_spawn(&server->worker.sched.root, serve, guest) == 0);
}

static int start_server(struct worker *worker)
{
	struct server *server = worker->arg;
	int r;

	server->acceptor.listener = &listener;
	server->acceptor.on_accept = welcome;
	r = acceptor_start(&server->acceptor, &worker->poller, &worker->sched.timers);
#ifdef BULKHEAD_FAULTS
	if (worker->index == 1)
		fault_arm(FAULT_SYSCALL, 1); /* the first accept answers EMFILE */
#endif
	return r;
}

static void stop_server(struct worker *worker)
{
	struct server *server = worker->arg;

	acceptor_stop(&server->acceptor);
}

static void start(struct server *server, unsigned index)
{
	server->worker = (struct worker){
		.index = index,
		.fiber_limit = 100,
		.on_start = start_server,
		.on_stop = stop_server,
		.arg = server,
	};
	REQUIRE(worker_start(&server->worker) == 0);
}

static void stop(struct server *server)
{
	worker_stop(&server->worker);
	worker_join(&server->worker);
}

static void visit(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char at[10];

	CHECK(fd >= 0);
	CHECK(connect(fd, &listener.address.any, listener.address.len) == 0);
	CHECK(send(fd, "hello", 5, MSG_NOSIGNAL) == 5);
	EXPECT_INT(recv(fd, at, sizeof(at), MSG_WAITALL), 5);
	CHECK(close(fd) == 0);
}

TEST(listener_is_shared_by_workers)
{
	struct server servers[2];

	listen_here();
	start(&servers[0], 0);
	start(&servers[1], 0);
	for (size_t i = 0; i < 200; i++)
		visit();
	stop(&servers[0]);
	stop(&servers[1]);
	EXPECT_INT(served, 200);
	listener_close(&listener);
	EXPECT_INT(mem_used(), 0);
}

#ifdef BULKHEAD_FAULTS
TEST(listener_waits_when_descriptors_run_out)
{
	struct server server;
	uint64_t began;

	listen_here();
	start(&server, 1);
	began = clock_now_ns();
	visit(); /* is not lost: it waits in the queue of the kernel */
	EXPECT(clock_now_ns() - began >= 100 * MILLISECOND);
	visit();
	stop(&server);
	EXPECT_INT(server.acceptor.failures, 1);
	EXPECT_INT(served, 2);
	listener_close(&listener);
	EXPECT_INT(mem_used(), 0);
}

TEST(listener_stops_while_it_waits_for_descriptors)
{
	struct server server;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	listen_here();
	start(&server, 1);
	CHECK(connect(fd, &listener.address.any, listener.address.len) == 0);
	(void)usleep(20000);
	stop(&server);
	EXPECT_INT(server.acceptor.failures, 1);
	CHECK(close(fd) == 0);
	listener_close(&listener);
	EXPECT_INT(mem_used(), 0);
}
#endif

/* --- resolve ------------------------------------------------------------ */

static struct offload pool;

static void with_pool(int (*run)(void *))
{
	REQUIRE(setenv("RES_OPTIONS", "timeout:1 attempts:1", 1) == 0);
	REQUIRE(offload_open(&pool, "resolve", 1, 4) == 0);
	{
		struct task task = { .run = run };
		struct worker worker = { .fiber_limit = 100, .on_start = start_task, .arg = &task };

		CHECK(sem_init(&task.done, 0, 0) == 0);
		REQUIRE(worker_start(&worker) == 0);
		CHECK(sem_wait(&task.done) == 0);
		offload_close(&pool); /* before the worker, to which it reports */
		worker_stop(&worker);
		worker_join(&worker);
	}
	EXPECT_INT(mem_used(), 0);
}

static int resolve_cases(void *arg)
{
	static char long_label[64 + 3], long_name[300];
	static const char *const bad[] = { "", ".", "..", "a..b", ".a", "a b", "a/b", "a:80", "-a",
		"a\n", "127.1", "127.0.0.1.", "2130706433", "0x7f000001", "0x7f.1", "1.2.3.256",
		"a.0", "a.0x1f", "a.0x", "fe80::1%lo", "[127.0.0.1]", "[::1", "%41",
		"ex\xc3\xa4mple.com", long_label, long_name };
	struct addresses found;
	char text[ADDRESS_TEXT_MAX];

	(void)arg;
	memset(long_label, 'a', 64);
	memset(long_name, 'a', sizeof(long_name) - 1);
	for (size_t i = 50; i < sizeof(long_name); i += 50)
		long_name[i] = '.';
	for (size_t i = 0; i < LEN(bad); i++)
		test_note(resolve(&pool, str_from_c(bad[i]), 1, &found) == -ERR_INVALID, __FILE__,
			__LINE__, "\"%s\" is taken", bad[i]);
	EXPECT_INT(resolve(&pool, S("localhost\0"), 1, &found), -ERR_INVALID);

	EXPECT_INT(resolve(NULL, S("192.0.2.7"), 443, &found), 0); /* without a thread */
	EXPECT_INT(found.count, 1);
	EXPECT_STR(str_of(text, address_write(&found.at[0], text)), S("192.0.2.7:443"));
	EXPECT_INT(resolve(NULL, S("[2001:db8::1]"), 443, &found), 0);
	EXPECT_STR(str_of(text, address_write(&found.at[0], text)), S("[2001:db8::1]:443"));

	EXPECT_INT(resolve(&pool, S("localhost"), 8080, &found), 0);
	EXPECT(found.count >= 1);
	for (size_t i = 0; i < found.count; i++) {
		EXPECT_INT(address_port(&found.at[i]), 8080);
		EXPECT(!address_is_public(&found.at[i]));
	}
	return 0;
}

TEST(resolve_names_and_numbers)
{
	with_pool(resolve_cases);
}

static int resolve_nothing(void *arg)
{
	struct addresses found = { .count = 77 };
	int r = resolve(&pool, S("no-such-host.invalid"), 1, &found);

	(void)arg;
	/* Without a name server the answer is that it is not known now. */
	EXPECT(r == -ERR_NOT_FOUND || r == -ERR_UNAVAILABLE);
	EXPECT(strstr(err_text(), "\"no-such-host.invalid\""));
	EXPECT_INT(found.count, 77);
	return 0;
}

TEST(resolve_says_that_there_is_nothing)
{
	with_pool(resolve_nothing);
}

static void hold_thread(void *arg)
{
	(void)arg;
	(void)usleep(50000);
}

static int hold(void *arg)
{
	(void)arg;
	return offload_call(&pool, hold_thread, NULL);
}

static int resolve_late(void *arg)
{
	struct scope holders, scope;
	struct addresses found;

	(void)arg;
	scope_open(&holders, TIME_NEVER);
	REQUIRE(scope_spawn(&holders, hold, NULL) == 0);
	fiber_yield();
	scope_open(&scope, sched_now() + 5 * MILLISECOND);
	EXPECT_INT(resolve(&pool, S("localhost"), 1, &found), -ERR_TIMEOUT);
	EXPECT_INT(scope_close(&scope), 0);
	EXPECT_INT(scope_close(&holders), 0);
	return 0;
}

TEST(resolve_is_left_behind_at_the_deadline)
{
	with_pool(resolve_late);
}

#ifdef BULKHEAD_FAULTS
static int resolve_without_memory(void *arg)
{
	struct addresses found;
	size_t n = 0;
	int r;

	(void)arg;
	do {
		fault_arm(FAULT_MEMORY, ++n);
		r = resolve(&pool, S("localhost"), 1, &found);
		EXPECT_INT(r, fault_struck(FAULT_MEMORY) ? -ERR_NO_MEMORY : 0);
	} while (r < 0);
	fault_arm(FAULT_MEMORY, 0);
	EXPECT(n > 1);
	return 0;
}

TEST(resolve_memory_torture)
{
	with_pool(resolve_without_memory);
}
#endif

/* --- dial --------------------------------------------------------------- */

static struct address refusing, silent, answering;
static int refusing_fd, silent_fd, queued[3];

static int bind_here(struct address *ret)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret = local(0);
	CHECK(fd >= 0 && bind(fd, &ret->any, ret->len) == 0 &&
		getsockname(fd, &ret->any, &ret->len) == 0);
	return fd;
}

/* A port that is held but not listened at, one whose queue is full so that nobody answers, and one
 * that works. */
static void open_places(void)
{
	refusing_fd = bind_here(&refusing);
	silent_fd = bind_here(&silent);
	CHECK(listen(silent_fd, 0) == 0);
	for (size_t i = 0; i < LEN(queued); i++) {
		queued[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(queued[i], &silent.any, silent.len);
	}
	listen_here();
	answering = listener.address;
}

static void close_places(void)
{
	listener_close(&listener);
	(void)close(refusing_fd);
	(void)close(silent_fd);
	for (size_t i = 0; i < LEN(queued); i++)
		(void)close(queued[i]);
}

static void expect_connected(struct tcp *tcp)
{
	struct sockaddr_in there = { 0 };
	socklen_t len = sizeof(there);

	CHECK(getpeername(tcp->watch.fd, (struct sockaddr *)&there, &len) == 0);
	EXPECT_INT(there.sin_port, answering.v4.sin_port);
	EXPECT_INT(stream_write(&tcp->stream, &S("hi"), 1, &pace), 0);
	stream_close(&tcp->stream);
}

static int dial_one(void *arg)
{
	struct address nowhere;
	struct tcp tcp;

	(void)arg;
	REQUIRE(dial_address(&tcp, &answering, soon()) == 0);
	expect_connected(&tcp);
	EXPECT_INT(dial_address(&tcp, &refusing, soon()), -ERR_UNAVAILABLE);
	EXPECT(strstr(err_text(), "cannot connect to 127.0.0.1:"));
	EXPECT(strstr(err_text(), "Connection refused"));
	EXPECT_INT(dial_address(&tcp, &silent, sched_now() + 20 * MILLISECOND), -ERR_TIMEOUT);
	REQUIRE(address_parse(S("255.255.255.255"), 9, &nowhere) == 0);
	EXPECT(dial_address(&tcp, &nowhere, soon()) < 0);
	return 0;
}

TEST(dial_address_connects_or_says_why)
{
	open_places();
	on_worker(dial_one);
	close_places();
}

static bool allow_all(const struct address *address)
{
	return address_port(address) != 0;
}

static bool allow_answering(const struct address *address)
{
	return address->v4.sin_port == answering.v4.sin_port;
}

static int dial_several(void *arg)
{
	struct tcp tcp;
	uint64_t began;

	(void)arg;
	/* One that fails is followed at once, one that is silent after the stagger. */
	REQUIRE(dial_any(&tcp, &(struct addresses){ { refusing, answering }, 2 }, NULL, soon()) ==
		0);
	expect_connected(&tcp);
	began = clock_now_ns();
	REQUIRE(dial_any(&tcp, &(struct addresses){ { silent, refusing, answering, silent }, 4 },
			allow_all, soon()) == 0);
	expect_connected(&tcp);
	EXPECT(clock_now_ns() - began >= DIAL_STAGGER);

	REQUIRE(dial_any(&tcp, &(struct addresses){ { silent, answering }, 2 }, allow_answering,
			soon()) == 0);
	expect_connected(&tcp);
	EXPECT_INT(dial_any(&tcp, &(struct addresses){ { silent, refusing }, 2 }, allow_answering,
			   soon()),
		-ERR_FORBIDDEN);

	EXPECT_INT(dial_any(&tcp, &(struct addresses){ { refusing, refusing }, 2 }, NULL, soon()),
		-ERR_UNAVAILABLE);
	EXPECT(strstr(err_text(), "refused"));
	EXPECT_INT(dial_any(&tcp, &(struct addresses){ { silent, silent }, 2 }, NULL,
			   sched_now() + 20 * MILLISECOND),
		-ERR_TIMEOUT);
	return 0;
}

TEST(dial_any_races)
{
	open_places();
	on_worker(dial_several);
	close_places();
}

static int dial_then_cancel(void *arg)
{
	struct tcp tcp;

	EXPECT_INT(dial_any(&tcp, &(struct addresses){ { silent, silent }, 2 }, NULL, TIME_NEVER),
		-ERR_CANCELLED);
	*(bool *)arg = true;
	return 0;
}

static int cancel_dial(void *arg)
{
	struct scope scope;
	bool ended = false;

	(void)arg;
	scope_open(&scope, TIME_NEVER);
	REQUIRE(scope_spawn(&scope, dial_then_cancel, &ended) == 0);
	(void)fiber_sleep_until(sched_now() + 5 * MILLISECOND);
	scope_cancel(&scope);
	EXPECT_INT(scope_close(&scope), 0);
	EXPECT(ended);
	return 0;
}

TEST(dial_is_cancelled)
{
	open_places();
	on_worker(cancel_dial);
	close_places();
}

static int dial_names(void *arg)
{
	uint16_t port = address_port(&answering);
	struct tcp tcp;

	(void)arg;
	REQUIRE(dial_host(&tcp, &pool, S("localhost"), port, NULL, soon()) == 0);
	expect_connected(&tcp);
	REQUIRE(dial_host(&tcp, &pool, S("127.0.0.1"), port, NULL, soon()) == 0);
	expect_connected(&tcp);
	EXPECT_INT(dial_host(&tcp, &pool, S("localhost"), port, address_is_public, soon()),
		-ERR_FORBIDDEN);
	EXPECT_STR(str_from_c(err_text()), S("cannot reach \"localhost\""));
	EXPECT_INT(dial_host(&tcp, &pool, S("127.0.0.1"), port, address_is_public, soon()),
		-ERR_FORBIDDEN);
	EXPECT_INT(dial_host(&tcp, &pool, S("local host"), port, NULL, soon()), -ERR_INVALID);
	return 0;
}

TEST(dial_host_by_name)
{
	open_places();
	with_pool(dial_names);
	close_places();
}

#ifdef BULKHEAD_FAULTS
static int dial_torture(void *arg)
{
	struct addresses to = { { refusing, answering }, 2 };

	(void)arg;
	for (int kind = 0; kind < FAULT_KINDS; kind++) {
		size_t n = 0;
		bool struck;

		do {
			struct tcp tcp;
			int r;

			fault_arm(kind, ++n);
			r = dial_any(&tcp, &to, NULL, soon());
			struck = fault_struck(kind);
			EXPECT(r == 0 || struck);
			if (r == 0)
				stream_close(&tcp.stream);
		} while (struck);
		fault_arm(kind, 0);
	}
	return 0;
}

TEST(dial_fault_torture)
{
	open_places();
	on_worker(dial_torture);
	close_places();
}
#endif
