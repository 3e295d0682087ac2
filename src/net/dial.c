/* Attempts to connect, and the race of several. */
#include "net/dial.h"

#include "base/fault.h"
#include "fiber/sync.h"
#include "loop/worker.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- one attempt -------------------------------------------------------- */

static int cannot_connect(const struct address *to, int number)
{
	static const int passing[] = { ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ENETUNREACH,
		EHOSTDOWN, ENETDOWN, ETIMEDOUT, EADDRNOTAVAIL };
	char text[ADDRESS_TEXT_MAX];
	int len = (int)address_write(to, text);
	enum err_code code = ERR_IO;

	for (size_t i = 0; i < LEN(passing); i++)
		if (number == passing[i])
			code = ERR_UNAVAILABLE;
	return fail(code, "cannot connect to %.*s: %s", len, text, err_errno_text(number));
}

/* Parks until the socket is connected or the attempt has failed. */
static int wait_connected(const struct address *to, int fd, uint64_t deadline_ns)
{
	struct watch watch;
	int number = 0;
	socklen_t size = sizeof(number);
	int r = watch_add(&worker_here()->poller, &watch, fd);

	if (r < 0)
		return r;
	watch.ready.readable = watch.ready.writable = false; /* the poller will tell */
	r = ready_wait(&watch.ready, READY_WRITE, deadline_ns);
	watch_remove(&watch);
	if (r < 0)
		return r;

	errno = EIO;
	if (fault_point(FAULT_SYSCALL) || getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &size) < 0)
		number = errno;
	return number ? cannot_connect(to, number) : 0;
}

/* A connected socket in *ret_fd. */
static int connect_to(const struct address *to, uint64_t deadline_ns, int *ret_fd)
{
	int on = 1, fd, r = 0;

	errno = EMFILE;
	fd = fault_point(FAULT_SYSCALL)
		     ? -1
		     : socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return cannot_connect(to, errno);

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	errno = ECONNREFUSED;
	if (fault_point(FAULT_SYSCALL) || connect(fd, &to->any, to->len) < 0)
		r = errno == EINPROGRESS ? wait_connected(to, fd, deadline_ns)
					 : cannot_connect(to, errno);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int dial_address(struct tcp *tcp, const struct address *to, uint64_t deadline_ns)
{
	int fd = -1;
	int r = connect_to(to, deadline_ns, &fd);

	return r < 0 ? r : tcp_open(tcp, &worker_here()->poller, fd);
}

/* --- the race ----------------------------------------------------------- */

struct race;

struct attempt {
	struct race *race;
	const struct address *to;
};

struct race {
	struct scope scope;
	struct attempt attempts[ADDRESSES_MAX];
	size_t count, started, ended;
	struct cond changed;
	int fd;         /* of the first that is connected; -1 */
	int failed;     /* of the first that failed */
	struct err why; /* the same in words */
};

/* A fiber of its own. Failing here is no reason to stop the others, so it is no error. */
static int attempt(void *arg)
{
	struct attempt *attempt = arg;
	struct race *race = attempt->race;
	int fd = -1;
	int r = connect_to(attempt->to, TIME_NEVER, &fd);

	if (r == 0 && race->fd < 0) {
		race->fd = fd;
	} else if (r == 0) {
		(void)close(fd);
	} else if (!race->failed) {
		race->failed = r;
		race->why = *err_last();
	}
	race->ended++;
	cond_broadcast(&race->changed);
	return 0;
}

/* Returns when an attempt has won, all have failed, or the scope is over. */
static int run_race(struct race *race)
{
	uint64_t next_ns = 0; /* when the next attempt begins at the latest */
	int r;

	while (race->fd < 0 && race->ended < race->count) {
		bool idle = race->started == race->ended;

		if (race->started < race->count && (idle || next_ns <= sched_now())) {
			r = scope_spawn(&race->scope, attempt, &race->attempts[race->started]);
			if (r < 0)
				return r;
			race->started++;
			next_ns = sched_now() + DIAL_STAGGER;
		}

		r = cond_wait(&race->changed, race->started < race->count ? next_ns : TIME_NEVER);
		if (r < 0 && scope_over(&race->scope))
			return r;
	}
	return race->fd < 0 ? race->failed : 0;
}

/* The allowed addresses, families in turn: RFC 8305 4. */
static void line_up(struct race *race, const struct addresses *to, dial_filter allow)
{
	size_t at[2] = { 0, 0 }; /* of the first address' family, of the other one */
	bool other = false;

	while (at[0] < to->count || at[1] < to->count) {
		size_t *next = &at[other];

		for (; *next < to->count; ++*next) {
			const struct address *one = &to->at[*next];
			bool differs = one->any.sa_family != to->at[0].any.sa_family;

			if (differs == other && (!allow || allow(one)))
				break;
		}
		if (*next < to->count)
			race->attempts[race->count++] =
				(struct attempt){ race, &to->at[(*next)++] };
		other = !other;
	}
}

/* Inside the race's scope, which has the deadline. */
static int connect_first(struct race *race)
{
	int r;

	if (race->count == 0)
		return fail(ERR_FORBIDDEN, "this address must not be connected to");
	if (race->count == 1) /* no race, no fiber */
		return connect_to(race->attempts[0].to, TIME_NEVER, &race->fd);

	r = run_race(race);
	scope_cancel(&race->scope);
	return r;
}

int dial_any(struct tcp *tcp, const struct addresses *to, dial_filter allow, uint64_t deadline_ns)
{
	struct race race = { .fd = -1 };
	int r;

	CHECK(to->count <= ADDRESSES_MAX);
	line_up(&race, to, allow);
	cond_init(&race.changed);
	scope_open(&race.scope, deadline_ns);
	r = connect_first(&race);
	(void)scope_close(&race.scope); /* attempts answer 0 */

	if (race.fd >= 0)
		return tcp_open(tcp, &worker_here()->poller, race.fd);
	if (race.failed && r == race.failed)
		return fail(race.why.code, "%s", race.why.frames[0].text);
	return r;
}

int dial_host(struct tcp *tcp, struct offload *resolver, struct str host, uint16_t port,
	dial_filter allow, uint64_t deadline_ns)
{
	struct addresses found;
	struct scope scope;
	int r;

	scope_open(&scope, deadline_ns);
	r = resolve(resolver, host, port, &found);
	if (r == 0)
		r = dial_any(tcp, &found, allow, deadline_ns);
	(void)scope_close(&scope); /* has no children */
	return r < 0 ? err_wrap("cannot reach \"%.*s\"", STR_ARG(str_first(host, 80))) : 0;
}
