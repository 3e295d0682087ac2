/* A store without a database, for tests of what stands beside it: transactions run at once, touch
 * nothing, and commit unless they are told not to. And fibers on several threads to use it. */
#ifndef STORE_FAKE_STORE_TEST_H
#define STORE_FAKE_STORE_TEST_H

#include "store/store_internal.h"

struct fake_store {
	struct store store;
	struct engine engine;
	unsigned repeats; /* runs before the one that counts */
	int outcome;      /* of the next commits: 0, or the positive code they fail with */
};

/* `polled`: as if there were other instances; never fresh before notices->looked_ns is set. */
void fake_store_open(struct fake_store *fake, bool polled);
void fake_store_close(struct fake_store *fake);

/* Runs body(number, arg) in `fibers` fibers on each of `workers` threads and waits for all. With a
 * seed each thread runs its fibers in a random order. */
void run_fibers(size_t workers, size_t fibers, uint64_t order_seed,
	void (*body)(size_t number, void *arg), void *arg);

#endif
