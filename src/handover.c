/* The steps of a hand-over, on either side. */
#include "handover.h"

#include "base/err.h"
#include "loop/signals.h"
#include "observe/clock.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

/* The old server answers from its loop. */
#define ANSWER_TIME (10 * SECOND)

/* Longer than any SHUTDOWN_TIMEOUT. */
#define RELEASE_TIME (11 * MINUTE)

/* A process that has died may be seen to be gone before its locks are. */
#define RECLAIM_TIME (5 * SECOND)

static int send_request(const struct control_wire *wire)
{
	struct control_request request = { .command = S("handover") };
	struct buf out;
	int r;

	buf_init(&out, CONTROL_REQUEST_MAX);
	r = control_encode(&control_request_schema, &request, &out);
	if (r == 0)
		r = control_write(wire->fd, buf_str(&out), NULL, 0, clock_now_ns() + ANSWER_TIME);
	buf_done(&out);
	return r;
}

int handover_ask(struct str folder, struct handover *ret)
{
	struct handover handover = { .open = true };
	uid_t uid;
	int r = control_wire_init();

	if (r == 0)
		r = control_connect(folder, &handover.wire);
	if (r < 0)
		return r;
	if (!control_peer(handover.wire.fd, &handover.pid, &uid))
		handover.pid = 0;
	r = send_request(&handover.wire);
	if (r == 0)
		r = control_await_step(&handover.wire, S("sockets"), clock_now_ns() + ANSWER_TIME);
	if (r < 0) {
		r = err_wrap("the server that runs (pid %d) does not hand over", (int)handover.pid);
		control_wire_close(&handover.wire);
		return r;
	}
	*ret = handover;
	return 0;
}

/* Takes one of the sockets if it suits. */
static int take(struct handover *handover, size_t index, const struct address *wanted)
{
	struct listener listener;
	int fd = handover->wire.fds[index];

	handover->wire.fds[index] = -1;
	if (fd < 0 || listener_adopt(&listener, fd) < 0)
		return -1; /* closed by that */
	if (listener_suits(&listener, wanted))
		return fd;
	handover->wire.fds[index] = fd;
	return -1;
}

int handover_take(struct handover *handover, size_t index, const struct address *wanted)
{
	size_t count = handover->open ? handover->wire.fd_count : 0;
	int fd = index < count ? take(handover, index, wanted) : -1;

	for (size_t i = 0; i < count && fd < 0 && address_port(wanted) != 0; i++)
		fd = take(handover, i, wanted);
	return fd;
}

/* Until the claim is free, or the time is over. */
static int claim_soon(struct str folder, uint64_t deadline_ns, int *ret_claim)
{
	int r;

	while ((r = control_claim(folder, ret_claim)) == -ERR_CONFLICT &&
		clock_now_ns() < deadline_ns)
		(void)poll(NULL, 0, 20);
	return r;
}

/* The old server ends what runs within its SHUTDOWN_TIMEOUT, which may be long; nobody else looks
 * for signals meanwhile. */
static int await_release(struct handover *handover)
{
	uint64_t deadline = clock_now_ns() + RELEASE_TIME;

	for (;;) {
		uint64_t now = clock_now_ns();
		int number = signals_wait(now);
		int r;

		if (number == SIGTERM || number == SIGINT)
			return fail(ERR_CANCELLED, "stopped by a signal");
		r = control_await_step(
			&handover->wire, S("released"), MIN(now + SECOND / 4, deadline));
		if (r != -ERR_TIMEOUT || now >= deadline)
			return r;
	}
}

int handover_claim(struct handover *handover, struct str folder, int *ret_claim)
{
	int r = control_step(handover->wire.fd, S("ready"), NULL, 0, clock_now_ns() + ANSWER_TIME);

	if (r == 0)
		r = await_release(handover);
	/* An old server that has died has let go as well. */
	if (r == 0 || r == -ERR_CLOSED)
		return claim_soon(folder, clock_now_ns() + SECOND, ret_claim);
	return err_wrap("the server that runs (pid %d) does not hand over", (int)handover->pid);
}

void handover_close(struct handover *handover, bool serving)
{
	if (!handover->open)
		return;
	if (serving) /* one that has died meanwhile need not know */
		(void)control_step(
			handover->wire.fd, S("serving"), NULL, 0, clock_now_ns() + ANSWER_TIME);
	control_wire_close(&handover->wire);
	handover->open = false;
}

/* --- the old server's ------------------------------------------------------------------ */

enum successor handover_look(struct control_wire *successor)
{
	int r = control_await_step(successor, S("serving"), 0);

	if (r == 0)
		return SUCCESSOR_SERVES;
	return r == -ERR_TIMEOUT ? SUCCESSOR_WAITS : SUCCESSOR_GONE;
}

int handover_release(struct control_wire *successor)
{
	return control_step(successor->fd, S("released"), NULL, 0, clock_now_ns() + ANSWER_TIME);
}

int handover_reclaim(struct str folder, int *ret_claim)
{
	return claim_soon(folder, clock_now_ns() + RECLAIM_TIME, ret_claim);
}
