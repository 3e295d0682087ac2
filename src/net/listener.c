/* Listening and accepting. */
#include "net/listener.h"

#include "base/fault.h"
#include "fiber/fiber.h"
#include "observe/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BACKLOG = 4096, /* the kernel cuts it to net.core.somaxconn */
	ACCEPTS_PER_TURN = 16,
};

/* Without descriptors, accepting waits this long: a level-triggered socket would spin. */
#define RETRY_AFTER (100 * MILLISECOND)

static int cannot_listen(const struct address *address, int number)
{
	char text[ADDRESS_TEXT_MAX];
	size_t len = address_write(address, text);
	const char *why = err_errno_text(number);

	if (number == EADDRINUSE)
		why = "the port is taken by another program";
	else if (number == EACCES)
		why = "ports below 1024 need the right to bind them";
	else if (number == EADDRNOTAVAIL)
		why = "this machine has no such address";
	return fail(ERR_IO, "cannot listen on %.*s: %s", (int)len, text, why);
}

int listener_open(struct listener *listener, const struct address *address)
{
	int on = 1;
	int fd;

	listener->fd = -1; /* closing a listener that could not be opened does nothing */
	listener->address = *address;
	errno = EMFILE;
	fd = fault_point(FAULT_SYSCALL) ? -1
					: socket(address->any.sa_family,
						  SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return cannot_listen(address, errno);

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address->any.sa_family == AF_INET6) /* "::" means both families */
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 0 }, sizeof(int));
	if (bind(fd, &address->any, address->len) < 0 || listen(fd, BACKLOG) < 0 ||
		getsockname(fd, &listener->address.any,
			&(socklen_t){ sizeof(struct sockaddr_in6) }) < 0) {
		int number = errno;

		(void)close(fd);
		return cannot_listen(address, number);
	}

	listener->fd = fd;
	return 0;
}

/* What the socket itself says: a listening TCP socket, and where. */
static bool is_listening(int fd, struct address *ret)
{
	int domain = 0, type = 0, listens = 0;
	socklen_t size = sizeof(int);

	ret->len = sizeof(ret->v6);
	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
	       (domain == AF_INET || domain == AF_INET6) &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens &&
	       getsockname(fd, &ret->any, &ret->len) == 0;
}

int listener_adopt(struct listener *listener, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	listener->fd = -1;
	if (!is_listening(fd, &listener->address) || flags < 0 ||
		fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		(void)close(fd);
		return fail(ERR_INVALID, "what was handed over is no listening socket");
	}
	listener->fd = fd;
	return 0;
}

bool listener_suits(const struct listener *listener, const struct address *wanted)
{
	unsigned char own[16], other[16];
	uint16_t port = address_port(wanted);

	address_key(&listener->address, own);
	address_key(wanted, other);
	return listener->address.any.sa_family == wanted->any.sa_family &&
	       memcmp(own, other, sizeof(own)) == 0 &&
	       (port == 0 || port == address_port(&listener->address));
}

void listener_close(struct listener *listener)
{
	if (listener->fd >= 0)
		(void)close(listener->fd);
	listener->fd = -1;
}

static int accept_one(struct acceptor *acceptor, struct address *peer)
{
	int on = 1;
	int fd;

	peer->len = sizeof(peer->v6);
	errno = EMFILE;
	fd = fault_point(FAULT_SYSCALL) ? -1
					: accept4(acceptor->watch.fd, &peer->any, &peer->len,
						  SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return -1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	address_normalise(peer);
	return fd;
}

static bool out_of_descriptors(int number)
{
	return number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM;
}

static void can_accept(struct ready *ready)
{
	struct acceptor *acceptor =
		CONTAINER_OF(CONTAINER_OF(ready, struct watch, ready), struct acceptor, watch);

	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct address peer;
		int fd = accept_one(acceptor, &peer);

		if (fd >= 0) {
			acceptor->on_accept(acceptor, fd, &peer);
			continue;
		}
		if (out_of_descriptors(errno)) {
			acceptor->failures++;
			watch_remove(&acceptor->watch);
			/* Without even a timer, the next worker's turn will do. */
			(void)timer_arm(
				acceptor->timers, &acceptor->retry, clock_now_ns() + RETRY_AFTER);
		} else if (errno != EAGAIN) {
			continue; /* this one connection failed: ECONNABORTED and the like */
		}
		return;
	}
}

static int look(struct acceptor *acceptor)
{
	int r = watch_add_shared(acceptor->watch.poller, &acceptor->watch, acceptor->listener->fd);

	acceptor->watch.ready.on_change = can_accept;
	return r;
}

static void try_again(struct timer *timer)
{
	struct acceptor *acceptor = CONTAINER_OF(timer, struct acceptor, retry);

	if (look(acceptor) < 0)
		(void)timer_arm(acceptor->timers, timer, sched_now() + RETRY_AFTER);
}

int acceptor_start(struct acceptor *acceptor, struct poller *poller, struct timers *timers)
{
	acceptor->watch.poller = poller;
	acceptor->timers = timers;
	acceptor->retry = (struct timer){ .fire = try_again };
	acceptor->failures = 0;
	return look(acceptor);
}

void acceptor_drain(struct acceptor *acceptor)
{
	struct address peer;
	int fd;

	while (!acceptor->watch.ready.closed && (fd = accept_one(acceptor, &peer)) >= 0)
		acceptor->on_accept(acceptor, fd, &peer);
}

void acceptor_stop(struct acceptor *acceptor)
{
	timer_disarm(acceptor->timers, &acceptor->retry);
	if (!acceptor->watch.ready.closed)
		watch_remove(&acceptor->watch);
}

void acceptor_restart(struct acceptor *acceptor)
{
	try_again(&acceptor->retry);
}
