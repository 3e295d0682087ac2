/* The epoll descriptor of one worker. */
#include "loop/poller.h"

#include "base/fault.h"

#include <errno.h>
#include <unistd.h>

int poller_init(struct poller *poller)
{
	poller->next = poller->count = 0;
	poller->epoll = fault_point(FAULT_SYSCALL) ? -1 : epoll_create1(EPOLL_CLOEXEC);
	if (poller->epoll < 0)
		return fail(ERR_IO, "epoll_create1: %s", err_errno_text(errno));
	return 0;
}

void poller_done(struct poller *poller)
{
	if (poller->epoll >= 0)
		(void)close(poller->epoll);
	poller->epoll = -1;
}

static int add(struct poller *poller, struct watch *watch, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	ready_init(&watch->ready);
	watch->poller = poller;
	watch->fd = fd;
	if (fault_point(FAULT_SYSCALL) || epoll_ctl(poller->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return fail(ERR_IO, "epoll_ctl: %s", err_errno_text(errno));
	return 0;
}

int watch_add(struct poller *poller, struct watch *watch, int fd)
{
	int r = add(poller, watch, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);

	watch->ready.readable = watch->ready.writable = true;
	return r;
}

int watch_add_shared(struct poller *poller, struct watch *watch, int fd)
{
	return add(poller, watch, fd, EPOLLIN | EPOLLEXCLUSIVE);
}

void watch_remove(struct watch *watch)
{
	struct poller *poller = watch->poller;

	(void)epoll_ctl(poller->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
	for (int i = poller->next; i < poller->count; i++) /* told of nothing any more */
		if (poller->events[i].data.ptr == watch)
			poller->events[i].data.ptr = NULL;
	ready_close(&watch->ready);
}

int poller_wait(struct poller *poller, int timeout_ms)
{
	poller->next = 0;
	poller->count = epoll_wait(poller->epoll, poller->events, POLLER_BATCH, timeout_ms);
	if (poller->count < 0) {
		poller->count = 0;
		return errno == EINTR ? 0 : fail(ERR_IO, "epoll_wait: %s", err_errno_text(errno));
	}
	return 0;
}

void poller_tell(struct poller *poller)
{
	while (poller->next < poller->count) {
		struct epoll_event *event = &poller->events[poller->next++];
		struct watch *watch = event->data.ptr;
		bool broken = event->events & (EPOLLHUP | EPOLLERR);
		bool ended = broken || (event->events & EPOLLRDHUP);

		if (watch)
			ready_changed(&watch->ready, ended || (event->events & EPOLLIN),
				broken || (event->events & EPOLLOUT), ended);
	}
	poller->next = poller->count = 0;
}
