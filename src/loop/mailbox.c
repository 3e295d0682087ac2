/* A many-to-one list with a bell. */
#include "loop/mailbox.h"

#include "base/fault.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Takes everything and hands it out oldest first. */
static void deliver_all(struct mailbox *mailbox)
{
	struct message *newest =
		atomic_exchange_explicit(&mailbox->newest, NULL, memory_order_acquire);
	struct message *oldest = NULL;

	while (newest) {
		struct message *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest) {
		struct message *message = oldest;

		oldest = message->next;
		message->deliver(message);
	}
}

static void rung(struct ready *ready)
{
	struct watch *bell = CONTAINER_OF(ready, struct watch, ready);
	uint64_t count;

	/* Silence the bell before looking inside: a message that comes between rings again. */
	(void)!read(bell->fd, &count, sizeof(count));
	ready->readable = false;
	deliver_all(CONTAINER_OF(bell, struct mailbox, bell));
}

int mailbox_init(struct mailbox *mailbox, struct poller *poller)
{
	int fd = fault_point(FAULT_SYSCALL) ? -1 : eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int r;

	atomic_init(&mailbox->newest, NULL);
	if (fd < 0)
		return fail(ERR_IO, "eventfd: %s", err_errno_text(errno));

	r = watch_add(poller, &mailbox->bell, fd);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	mailbox->bell.ready.on_change = rung;
	return 0;
}

void mailbox_shut(struct mailbox *mailbox)
{
	deliver_all(mailbox);
	watch_remove(&mailbox->bell);
}

void mailbox_done(struct mailbox *mailbox)
{
	(void)close(mailbox->bell.fd);
}

void mailbox_send(struct mailbox *mailbox, struct message *message)
{
	struct message *newest = atomic_load_explicit(&mailbox->newest, memory_order_relaxed);

	do {
		message->next = newest;
	} while (!atomic_compare_exchange_weak_explicit(
		&mailbox->newest, &newest, message, memory_order_release, memory_order_relaxed));

	if (!newest) {
		uint64_t one = 1;

		/* Fails only when the counter is full, and then the bell is ringing anyway. */
		(void)!write(mailbox->bell.fd, &one, sizeof(one));
	}
}
