/* Sticky readiness bits and the two fibers that may wait for them. */
#include "loop/ready.h"

void ready_init(struct ready *ready)
{
	*ready = (struct ready){ 0 };
}

int ready_wait(struct ready *ready, enum ready_side side, uint64_t deadline_ns)
{
	struct wait **place = side == READY_READ ? &ready->reader : &ready->writer;
	struct wait wait;
	int r;

	if (ready->closed)
		return fail(ERR_CLOSED, "the connection was closed");
	if (side == READY_READ ? ready->readable : ready->writable)
		return 0;

	CHECK(!*place);
	wait_init(&wait);
	*place = &wait;
	r = park(&wait, deadline_ns);
	*place = NULL;
	return r;
}

void ready_changed(struct ready *ready, bool readable, bool writable, bool ended)
{
	bool waited_for = ready->reader || ready->writer;

	ready->readable |= readable;
	ready->writable |= writable;
	ready->ended |= ended;

	if (ready->readable && ready->reader)
		(void)wake(ready->reader, 0);
	if (ready->writable && ready->writer)
		(void)wake(ready->writer, 0);
	if (ready->on_change && (!waited_for || ended))
		ready->on_change(ready);
}

void ready_close(struct ready *ready)
{
	ready->closed = true;
	if (ready->reader)
		(void)wake(ready->reader, -ERR_CLOSED);
	if (ready->writer)
		(void)wake(ready->writer, -ERR_CLOSED);
}
