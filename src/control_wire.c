/* Messages, the socket, and waiting for either side without a loop: the caller's end is that of
 * commands and of a server that starts. */
#include "control_wire.h"

#include "base/err.h"
#include "observe/clock.h"
#include "schema/decode.h"
#include "schema/encode.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 16, READ_SIZE = 16 * 1024, SOCKET_MODE = 0600 };

#define SOCKET_NAME "control.sock"

/* How long a message of a few bytes may take to be written. */
#define WRITE_TIME (5 * SECOND)

/* --- messages ------------------------------------------------------------------------- */

const struct schema control_request_schema = SCHEMA(control_request, "A command.",
	FIELD(control_request, command, "Which.", .flags = REQUIRED, RANGE(1, 64)),
	FIELD(control_request, argument, "What it is about.", RANGE(0, CONTROL_ARGUMENT_MAX),
		.flags = MULTILINE),
	FIELD(control_request, json, "Whether its output is JSON."));

const struct schema control_answer_schema = SCHEMA(control_answer, "A part of an answer.",
	FIELD(control_answer, line, "A line of output.", .flags = ANY_TEXT,
		RANGE(0, CONTROL_ANSWER_MAX)),
	FIELD(control_answer, done, "Whether this is the end."),
	FIELD(control_answer, error, "Why it failed.", .flags = ANY_TEXT, RANGE(0, 4000)),
	FIELD(control_answer, step, "Of a hand-over.", RANGE(1, 32)),
	FIELD(control_answer, exit, "Code for the shell.", RANGE(0, 255)));

int control_wire_init(void)
{
	static const struct schema *const all[] = { &control_request_schema,
		&control_answer_schema };
	static bool compiled;
	int r = compiled ? 0 : schema_compile_all(all, LEN(all));

	compiled = compiled || r == 0;
	return r;
}

int control_decode(const struct schema *schema, struct str line, struct arena *arena, void *ret)
{
	struct problems problems;
	int r;

	problems_init(&problems, arena);
	r = schema_decode(schema, SCHEMA_ALL, line, arena, &problems, ret);
	if (r == -ERR_INVALID)
		return fail(ERR_INVALID, "not understood: %.*s %.*s", STR_ARG(problems.at[0].field),
			STR_ARG(problems.at[0].message));
	return r;
}

int control_encode(const struct schema *schema, const void *message, struct buf *out)
{
	struct json_writer writer;
	int r;

	json_writer_init(&writer, out);
	schema_encode(schema, SCHEMA_ALL, message, &writer);
	r = json_writer_done(&writer);
	buf_byte(out, '\n');
	return r < 0 ? r : out->failed;
}

/* --- the socket ----------------------------------------------------------------------- */

static int open_folder(struct str folder)
{
	char path[PATH_MAX];
	int len = snprintf(path, sizeof(path), "%.*s", STR_ARG(folder));
	int fd;

	if (len <= 0 || (size_t)len >= sizeof(path))
		return fail(ERR_INVALID, "the path of the data folder is too long");
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return fail(ERR_NOT_FOUND, "there is no data folder %s", path);
	return fd < 0 ? fail(ERR_IO, "cannot open the data folder %s: %s", path,
				err_errno_text(errno))
		      : fd;
}

/* An address holds 107 bytes of path only; through the folder's descriptor that is always enough.
 */
static struct sockaddr_un address_in(int folder)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" SOCKET_NAME,
		folder);
	return address;
}

int control_listen(struct str folder, int *ret_fd)
{
	int dir = open_folder(folder), fd, r = 0;
	struct sockaddr_un address;

	if (dir < 0)
		return dir;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	address = address_in(dir);
	(void)unlinkat(dir, SOCKET_NAME, 0);
	/* The mode of the socket becomes the mode of the file: it is never open to others. */
	if (fd < 0 || fchmod(fd, SOCKET_MODE) < 0 ||
		bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(fd, BACKLOG) < 0)
		r = fail(ERR_IO, "cannot make the control socket %.*s/" SOCKET_NAME ": %s",
			STR_ARG(folder), err_errno_text(errno));
	(void)close(dir);
	if (r < 0 && fd >= 0)
		(void)close(fd);
	if (r == 0)
		*ret_fd = fd;
	return r;
}

void control_unlisten(struct str folder, int fd)
{
	int dir = open_folder(folder);

	if (dir >= 0) {
		(void)unlinkat(dir, SOCKET_NAME, 0);
		(void)close(dir);
	}
	(void)close(fd);
}

bool control_peer(int fd, pid_t *ret_pid, uid_t *ret_uid)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return false;
	*ret_pid = peer.pid;
	*ret_uid = peer.uid;
	return true;
}

int control_connect(struct str folder, struct control_wire *ret)
{
	int dir = open_folder(folder), fd, number = 0;
	struct sockaddr_un address;

	if (dir < 0)
		return dir;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	address = address_in(dir);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		number = errno;
	(void)close(dir);
	if (number == 0) {
		control_wire_open(ret, fd);
		return 0;
	}
	if (fd >= 0)
		(void)close(fd);
	if (number == ENOENT || number == ECONNREFUSED)
		return fail(
			ERR_NOT_FOUND, "no server runs on the data folder %.*s", STR_ARG(folder));
	return fail(number == EACCES ? ERR_FORBIDDEN : ERR_IO,
		"cannot connect to %.*s/" SOCKET_NAME ": %s", STR_ARG(folder),
		err_errno_text(number));
}

/* --- a claim -------------------------------------------------------------------------- */

static int fail_claimed(struct str folder)
{
	struct control_wire wire = { .fd = -1 };
	pid_t pid = 0;
	uid_t uid;

	if (control_connect(folder, &wire) == 0) {
		if (!control_peer(wire.fd, &pid, &uid))
			pid = 0;
		control_wire_close(&wire);
	}
	if (pid)
		return fail(ERR_CONFLICT, "a server (pid %d) runs on the data folder %.*s",
			(int)pid, STR_ARG(folder));
	return fail(ERR_CONFLICT,
		"a server runs on the data folder %.*s; it is just starting or stopping",
		STR_ARG(folder));
}

int control_claim(struct str folder, int *ret_claim)
{
	int fd = open_folder(folder), r;

	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		*ret_claim = fd;
		return 0;
	}
	r = errno == EWOULDBLOCK ? fail_claimed(folder)
				 : fail(ERR_IO, "cannot lock the data folder %.*s: %s",
					   STR_ARG(folder), err_errno_text(errno));
	(void)close(fd);
	return r;
}

void control_unclaim(int claim)
{
	if (claim >= 0)
		(void)close(claim);
}

/* --- waiting -------------------------------------------------------------------------- */

void control_wire_open(struct control_wire *wire, int fd)
{
	*wire = (struct control_wire){ .fd = fd };
	buf_init(&wire->in, CONTROL_ANSWER_MAX + READ_SIZE);
}

void control_wire_close(struct control_wire *wire)
{
	for (size_t i = 0; i < wire->fd_count; i++)
		if (wire->fds[i] >= 0)
			(void)close(wire->fds[i]);
	wire->fd_count = 0;
	buf_done(&wire->in);
	if (wire->fd >= 0)
		(void)close(wire->fd);
	wire->fd = -1;
}

static int wait_for(int fd, short events, uint64_t deadline_ns)
{
	for (;;) {
		struct pollfd entry = { .fd = fd, .events = events };
		uint64_t now = clock_now_ns();
		uint64_t left = deadline_ns > now ? (deadline_ns - now) / MILLISECOND + 1 : 0;
		int ready = poll(&entry, 1, (int)MIN(left, (uint64_t)INT_MAX));

		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return fail(ERR_IO, "poll: %s", err_errno_text(errno));
		if (ready == 0 && left <= (uint64_t)INT_MAX)
			return fail(ERR_TIMEOUT, "the other side did not answer in time");
	}
}

/* Keeps the descriptors of a message; what there is no room for is closed. */
static void keep_fds(struct control_wire *wire, struct msghdr *message)
{
	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part;
		part = CMSG_NXTHDR(message, part)) {
		size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
			if (wire->fd_count < LEN(wire->fds))
				wire->fds[wire->fd_count++] = fd;
			else
				(void)close(fd);
		}
	}
}

/* Reads what is there now. 1, or 0 when that is nothing; -ERR_CLOSED at the end. */
static int read_some(struct control_wire *wire)
{
	_Alignas(struct cmsghdr) char rights[CMSG_SPACE(CONTROL_FDS_MAX * sizeof(int))];
	struct iovec part;
	struct msghdr message = { .msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = rights,
		.msg_controllen = sizeof(rights) };
	ssize_t got;

	if (!buf_room(&wire->in, READ_SIZE))
		return wire->in.failed;
	part = (struct iovec){ wire->in.at + wire->in.len, READ_SIZE };
	got = recvmsg(wire->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got <= 0)
		return fail(ERR_CLOSED, "the other side has closed the connection");
	keep_fds(wire, &message);
	wire->in.len += (size_t)got;
	return 1;
}

/* The next line, valid until the next call. -ERR_TIMEOUT (nothing is lost: it can be called again),
 * -ERR_CLOSED, -ERR_TOO_LARGE, -ERR_IO. */
static int read_line(struct control_wire *wire, uint64_t deadline_ns, struct str *ret)
{
	buf_consume(&wire->in, wire->used);
	wire->used = 0;
	for (;;) {
		ptrdiff_t end = str_find_byte(buf_str(&wire->in), '\n');
		int r;

		if (end >= 0) {
			wire->used = (size_t)end + 1;
			*ret = str_of(wire->in.at, (size_t)end);
			return 0;
		}
		r = read_some(wire);
		if (r == 0)
			r = wait_for(wire->fd, POLLIN, deadline_ns);
		if (r < 0)
			return r;
	}
}

/* Some of the bytes, and the descriptors if there are any. */
static ssize_t write_some(int fd, struct str bytes, const int *fds, size_t fd_count)
{
	_Alignas(struct cmsghdr) char rights[CMSG_SPACE(CONTROL_FDS_MAX * sizeof(int))] = { 0 };
	struct iovec part = { (void *)bytes.at, bytes.len };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	struct cmsghdr *head;

	CHECK(fd_count <= CONTROL_FDS_MAX);
	if (fd_count > 0) {
		message.msg_control = rights;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		head = CMSG_FIRSTHDR(&message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(head), fds, fd_count * sizeof(int));
	}
	return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int control_write(int fd, struct str bytes, const int *fds, size_t fd_count, uint64_t deadline_ns)
{
	while (bytes.len) {
		ssize_t took = write_some(fd, bytes, fds, fd_count);
		int r;

		if (took > 0) {
			bytes = str_from(bytes, (size_t)took);
			fd_count = 0;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return fail(errno == EPIPE || errno == ECONNRESET ? ERR_CLOSED : ERR_IO,
				"cannot write to the other side: %s", err_errno_text(errno));
		r = wait_for(fd, POLLOUT, deadline_ns);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- calls ---------------------------------------------------------------------------- */

int control_step(int fd, struct str step, const int *fds, size_t fd_count, uint64_t deadline_ns)
{
	struct control_answer message = { .step = { .set = true, .value = step } };
	struct buf out;
	int r;

	buf_init(&out, CONTROL_REQUEST_MAX);
	r = control_encode(&control_answer_schema, &message, &out);
	if (r == 0)
		r = control_write(fd, buf_str(&out), fds, fd_count, deadline_ns);
	buf_done(&out);
	return r;
}

static int read_answer(struct control_wire *wire, uint64_t deadline_ns, struct arena *arena,
	struct control_answer *ret)
{
	struct str line = { 0 };
	int r = read_line(wire, deadline_ns, &line);

	return r < 0 ? r : control_decode(&control_answer_schema, line, arena, ret);
}

int control_await_step(struct control_wire *wire, struct str step, uint64_t deadline_ns)
{
	struct control_answer answer = { 0 };
	struct arena arena;
	int r;

	arena_init(&arena, 4096, 64 * KILOBYTE);
	r = read_answer(wire, deadline_ns, &arena, &answer);
	if (r == 0 && answer.error.set)
		r = fail(ERR_UNAVAILABLE, "%.*s", STR_ARG(answer.error.value));
	else if (r == 0 && (!answer.step.set || !str_eq(answer.step.value, step)))
		r = fail(ERR_INVALID, "the other side said something else than \"%.*s\"",
			STR_ARG(step));
	arena_done(&arena);
	return r;
}

static int send_request(const struct control_wire *wire, const struct control_request *request)
{
	struct buf out;
	int r;

	buf_init(&out, CONTROL_REQUEST_MAX);
	r = control_encode(&control_request_schema, request, &out);
	if (r == 0)
		r = control_write(wire->fd, buf_str(&out), NULL, 0, clock_now_ns() + WRITE_TIME);
	buf_done(&out);
	return r;
}

/* Collects the answer. */
static int read_all(struct control_wire *wire, uint64_t deadline_ns, struct buf *out, int *ret_exit)
{
	struct arena arena;
	int r = 0;

	arena_init(&arena, 16 * KILOBYTE, 2 * CONTROL_ANSWER_MAX);
	while (r == 0) {
		struct control_answer answer = { 0 };

		r = read_answer(wire, deadline_ns, &arena, &answer);
		if (r < 0)
			break;
		if (answer.error.set)
			r = fail(ERR_UNAVAILABLE, "%.*s", STR_ARG(answer.error.value));
		if (answer.line.set) {
			buf_append(out, answer.line.value);
			buf_byte(out, '\n');
			r = out->failed;
		}
		if (answer.done.value && r == 0) {
			*ret_exit = answer.exit.set ? (int)answer.exit.value : 0;
			break;
		}
		arena_reset(&arena);
	}
	arena_done(&arena);
	return r;
}

int control_call(struct str folder, const struct control_request *request, uint64_t deadline_ns,
	struct buf *out, int *ret_exit)
{
	struct control_wire wire = { .fd = -1 };
	int r = control_wire_init();

	if (r == 0)
		r = control_connect(folder, &wire);
	if (r < 0)
		return r;
	r = send_request(&wire, request);
	/* Whoever does not want to hear us may have said why before. */
	if (r == 0 || r == -ERR_CLOSED)
		r = read_all(&wire, deadline_ns, out, ret_exit);
	control_wire_close(&wire);
	return r;
}
