/*
 * Messages from other threads to a worker. Sending is lock-free: an intrusive list that many push
 * to and one takes whole, and an eventfd that is written only when the list was empty. The message
 * belongs to the receiver until deliver() has run; deliver() says what becomes of its memory.
 */
#ifndef LOOP_MAILBOX_H
#define LOOP_MAILBOX_H

#include "loop/poller.h"

#include <stdatomic.h>

struct message {
	struct message *next;
	void (*deliver)(
		struct message *); /* on the receiving worker, in the scheduler: must not park */
};

struct mailbox {
	struct message *_Atomic newest;
	struct watch bell; /* the eventfd */
};

/* -ERR_IO. */
int mailbox_init(struct mailbox *mailbox, struct poller *poller);

/* Delivers what is still inside and leaves the poller; on the receiving thread. Who sent the last
 * message may still be about to ring, so the bell itself stays until mailbox_done. */
void mailbox_shut(struct mailbox *mailbox);

/* Closes the bell of a mailbox that was shut, when nobody sends any more. */
void mailbox_done(struct mailbox *mailbox);

/* From any thread. Messages of one sender are delivered in order. */
void mailbox_send(struct mailbox *mailbox, struct message *message);

#endif
