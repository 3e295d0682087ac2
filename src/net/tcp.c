/* Sockets: read and write as long as the sticky bits say so. */
#include "net/tcp.h"

#include "base/fault.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static struct tcp *tcp_of(struct stream *stream)
{
	return CONTAINER_OF(stream, struct tcp, stream);
}

static bool gone(int number)
{
	return number == ECONNRESET || number == EPIPE || number == ETIMEDOUT;
}

static int broken(const char *call, int number)
{
	return fail(gone(number) ? ERR_CLOSED : ERR_IO, "%s: %s", call, err_errno_text(number));
}

static ssize_t tcp_read(struct stream *stream, char *at, size_t size)
{
	struct tcp *tcp = tcp_of(stream);
	ssize_t got;

	if (!tcp->watch.ready.readable)
		return STREAM_WANT_READ;

	do {
		errno = EIO;
		got = fault_point(FAULT_SYSCALL) ? -1 : recv(tcp->watch.fd, at, size, 0);
	} while (got < 0 && errno == EINTR);

	/* Less than asked for: the socket is empty, and the next arrival will be told. An end that
	 * was told already will not be told again, so then the bit stays. */
	if (got > 0 && (size_t)got < size && !tcp->watch.ready.ended)
		tcp->watch.ready.readable = false;
	if (got >= 0)
		return got;

	if (errno != EAGAIN)
		return broken("recv", errno);
	tcp->watch.ready.readable = false;
	return STREAM_WANT_READ;
}

static ssize_t tcp_write(struct stream *stream, const struct str *parts, size_t count)
{
	struct tcp *tcp = tcp_of(stream);
	struct iovec io[STREAM_PARTS_MAX];
	struct msghdr message = { .msg_iov = io, .msg_iovlen = count };
	ssize_t took;

	if (!tcp->watch.ready.writable)
		return STREAM_WANT_WRITE;

	for (size_t i = 0; i < count; i++)
		io[i] = (struct iovec){ (void *)parts[i].at, parts[i].len };
	do {
		errno = EIO;
		if (fault_point(FAULT_SYSCALL))
			took = -1;
		else if (count == 1)
			took = send(tcp->watch.fd, parts[0].at, parts[0].len, MSG_NOSIGNAL);
		else
			took = sendmsg(tcp->watch.fd, &message, MSG_NOSIGNAL);
	} while (took < 0 && errno == EINTR);

	if (took >= 0)
		return took;
	if (errno != EAGAIN)
		return broken("send", errno);
	tcp->watch.ready.writable = false;
	return STREAM_WANT_WRITE;
}

static int tcp_end(struct stream *stream)
{
	if (shutdown(tcp_of(stream)->watch.fd, SHUT_WR) < 0 && errno != ENOTCONN)
		return broken("shutdown", errno);
	return 0;
}

static void tcp_close(struct stream *stream)
{
	struct tcp *tcp = tcp_of(stream);

	watch_remove(&tcp->watch);
	(void)close(tcp->watch.fd);
}

static const struct stream_ops tcp_ops = {
	.read = tcp_read,
	.write = tcp_write,
	.end = tcp_end,
	.close = tcp_close,
};

int tcp_open(struct tcp *tcp, struct poller *poller, int fd)
{
	int r = watch_add(poller, &tcp->watch, fd);

	tcp->stream = (struct stream){ &tcp_ops, &tcp->watch.ready };
	if (r < 0)
		(void)close(fd);
	return r;
}

void tcp_give_up_after(struct tcp *tcp, uint64_t after_ns)
{
	unsigned after_ms = (unsigned)(after_ns / MILLISECOND);

	/* A socket that is none of TCP has nobody who could be gone unnoticed. */
	(void)setsockopt(tcp->watch.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &after_ms, sizeof(after_ms));
}
