/*
 * The least a server can do on this kernel: limit-epoll PORT THREADS. Each thread has a listener
 * (SO_REUSEPORT) and an epoll of its own and answers every request with the same bytes, looking
 * only for the end of its head. It is the yardstick of the hello benchmark and nobody's server: no
 * routing, no limits, no clocks, no log, no bodies.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	BUFFER_SIZE = 16 * 1024,
	MAX_EVENTS = 256,
	MAX_CONNECTIONS = 65536, /* by file descriptor */
	MAX_THREADS = 256,
	BACKLOG = 1024,
};

static const char reply[] = "HTTP/1.1 200 OK\r\n"
			    "Content-Type: application/json\r\n"
			    "Content-Length: 55\r\n"
			    "\r\n"
			    "{\"success\":true,\"statusCode\":200,\"data\":{\"hello\":\"me\"}}";

enum { REPLY_SIZE = sizeof(reply) - 1 };

/* One thread's buffers: a connection between two events is nothing but the end of an unfinished
 * head, which is kept only when there is one. */
struct loop {
	int poller;
	int listener;
	char *partial[MAX_CONNECTIONS];
	size_t partial_len[MAX_CONNECTIONS];
	char in[BUFFER_SIZE];
	char out[BUFFER_SIZE];
};

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0 ||
		bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
		listen(fd, BACKLOG) != 0)
		die("listen");
	return fd;
}

static void watch(struct loop *loop, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(loop->poller, EPOLL_CTL_ADD, fd, &event) != 0)
		die("epoll_ctl");
}

static void accept_all(struct loop *loop)
{
	int on = 1;
	int fd;

	while ((fd = accept4(loop->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (fd >= MAX_CONNECTIONS) {
			close(fd);
			continue;
		}
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		watch(loop, fd);
	}
}

static void drop(struct loop *loop, int fd)
{
	free(loop->partial[fd]);
	loop->partial[fd] = NULL;
	loop->partial_len[fd] = 0;
	close(fd);
}

/* Replies are small and the client waits for them, so the socket buffer always has room; a client
 * for whom that is not so is dropped. */
static bool flush(struct loop *loop, int fd, size_t len)
{
	return len == 0 || send(fd, loop->out, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* Answers all complete heads among the `len` bytes read; returns how many bytes those were, or -1.
 */
static ssize_t answer(struct loop *loop, int fd, size_t len)
{
	size_t at = 0, out = 0;

	while (at < len) {
		const char *end = memmem(loop->in + at, len - at, "\r\n\r\n", 4);

		if (!end)
			break;
		at = (size_t)(end - loop->in) + 4;
		if (out + REPLY_SIZE > BUFFER_SIZE) {
			if (!flush(loop, fd, out))
				return -1;
			out = 0;
		}
		memcpy(loop->out + out, reply, REPLY_SIZE);
		out += REPLY_SIZE;
	}
	return flush(loop, fd, out) ? (ssize_t)at : -1;
}

/* Keeps the beginning of a head for the next event. */
static bool keep(struct loop *loop, int fd, size_t from, size_t len)
{
	if (len == BUFFER_SIZE && from == 0)
		return false;

	free(loop->partial[fd]);
	loop->partial[fd] = NULL;
	loop->partial_len[fd] = len - from;
	if (from == len)
		return true;
	loop->partial[fd] = malloc(len - from);
	if (!loop->partial[fd])
		return false;
	memcpy(loop->partial[fd], loop->in + from, len - from);
	return true;
}

static void serve(struct loop *loop, int fd)
{
	size_t kept = loop->partial_len[fd];
	ssize_t got, done;

	if (kept > 0)
		memcpy(loop->in, loop->partial[fd], kept);

	got = recv(fd, loop->in + kept, BUFFER_SIZE - kept, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		drop(loop, fd);
		return;
	}

	done = answer(loop, fd, kept + (size_t)got);
	if (done < 0) {
		drop(loop, fd);
		return;
	}
	if (kept == 0 && done == got)
		return;
	if (!keep(loop, fd, (size_t)done, kept + (size_t)got))
		drop(loop, fd);
}

static void *run(void *arg)
{
	struct epoll_event events[MAX_EVENTS];
	struct loop *loop = arg;

	for (;;) {
		int count = epoll_wait(loop->poller, events, MAX_EVENTS, -1);

		if (count < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == loop->listener)
				accept_all(loop);
			else
				serve(loop, events[i].data.fd);
		}
	}
	return NULL;
}

static struct loop *loop_open(uint16_t port)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		die("calloc");
	loop->listener = listen_on(port);
	loop->poller = epoll_create1(EPOLL_CLOEXEC);
	if (loop->poller < 0)
		die("epoll_create1");
	watch(loop, loop->listener);
	return loop;
}

int main(int argc, char **argv)
{
	unsigned long port = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
	unsigned long threads = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	struct loop *loops[MAX_THREADS];
	pthread_t thread;

	if (port == 0 || port > UINT16_MAX || threads == 0 || threads > MAX_THREADS) {
		fprintf(stderr, "usage: limit-epoll PORT THREADS\n");
		return EXIT_FAILURE;
	}

	for (unsigned long i = 0; i < threads; i++)
		loops[i] = loop_open((uint16_t)port);
	for (unsigned long i = 1; i < threads; i++)
		if (pthread_create(&thread, NULL, run, loops[i]) != 0)
			die("pthread_create");
	run(loops[0]);
	return EXIT_SUCCESS;
}
