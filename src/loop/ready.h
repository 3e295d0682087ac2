/*
 * Readiness of something that can be read and written without waiting: a socket, or one end of a
 * pipe in memory. The bits are sticky: they stay set until a try has found them wrong, so a fiber
 * tries first and waits only then. At most one fiber waits for each direction. Without a waiting
 * fiber a change is told to on_change, and the end of the other side in any case. It runs in the
 * scheduler, must not park, and may spawn a fiber: an idle connection needs no stack.
 */
#ifndef LOOP_READY_H
#define LOOP_READY_H

#include "fiber/fiber.h"

#pragma GCC visibility push(default)

struct ready {
	bool readable, writable;
	bool ended;  /* the other side has closed, or the thing is broken */
	bool closed; /* by us: nothing may wait here any more */
	struct wait *reader, *writer;
	void (*on_change)(struct ready *); /* NULL: nobody is interested */
	void *owner;                       /* of on_change; not touched here */
};

/* What a wait is for. */
enum ready_side { READY_READ, READY_WRITE };

void ready_init(struct ready *ready);

/* Parks until that side is ready; the result of park, or -ERR_CLOSED. */
int ready_wait(struct ready *ready, enum ready_side side, uint64_t deadline_ns);

/* For the poller or the other end of a pipe: sets bits and tells whoever waits. on_change may free
 * what `ready` is part of, so the caller must not touch it afterwards. */
void ready_changed(struct ready *ready, bool readable, bool writable, bool ended);

/* Wakes waiters with -ERR_CLOSED; later waits fail at once. */
void ready_close(struct ready *ready);

#pragma GCC visibility pop

#endif
