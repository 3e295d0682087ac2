/*
 * The kernel's generator with a store per thread. There is no generator of our own whose state
 * could leak: what is handed out is wiped, what is left is unused.
 */
#include "crypto/random.h"

#include "base/check.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

enum {
	STORE_SIZE = 1024,
	STORED_MAX =
		256, /* larger requests go to the kernel; they would empty the store too often */
};

struct store {
	uint8_t bytes[STORE_SIZE]; /* the first `left` are unused, the others wiped */
	size_t left;
	unsigned forks; /* the count of forks when it was filled */
};

static _Thread_local struct store store;
static _Atomic unsigned forks;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void count_fork(void)
{
	atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

static void watch_forks(void)
{
	CHECK(pthread_atfork(NULL, NULL, count_fork) == 0);
}

static void from_kernel(uint8_t *at, size_t len)
{
	while (len > 0) {
		ssize_t got = getrandom(at, len, 0);

		CHECK(got > 0 || (got < 0 && errno == EINTR));
		if (got > 0) {
			at += got;
			len -= (size_t)got;
		}
	}
}

static void refill(unsigned forks_now)
{
	CHECK(pthread_once(&once, watch_forks) == 0);
	from_kernel(store.bytes, sizeof(store.bytes));
	store.left = sizeof(store.bytes);
	store.forks = forks_now;
}

void random_bytes(void *at, size_t len)
{
	unsigned forks_now = atomic_load_explicit(&forks, memory_order_relaxed);

	if (len > STORED_MAX) {
		from_kernel(at, len);
		return;
	}
	if (len == 0)
		return;
	if (store.left < len || store.forks != forks_now)
		refill(forks_now);

	store.left -= len;
	memcpy(at, store.bytes + store.left, len);
	explicit_bzero(store.bytes + store.left, len);
}

uint64_t random_u64(void)
{
	uint64_t value;

	random_bytes(&value, sizeof(value));
	return value;
}
