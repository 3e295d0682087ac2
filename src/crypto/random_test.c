/* The random store: sizes, the boundaries of the store, forks, threads. */
#include "crypto/random.h"

#include "base/test.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(random_fills_every_size)
{
	uint8_t bytes[5000];

	for (size_t len = 0; len < sizeof(bytes); len = len * 2 + 1) {
		uint8_t seen[256] = { 0 };

		/* Each byte of the range changes within 40 tries, the one behind it never. */
		for (int attempt = 0; attempt < 40; attempt++) {
			memset(bytes, 0, sizeof(bytes));
			random_bytes(bytes, len);
			EXPECT(bytes[len] == 0);
			for (size_t i = 0; i < MIN(len, sizeof(seen)); i++)
				seen[i] |= bytes[len - 1 - i];
		}
		for (size_t i = 0; i < MIN(len, sizeof(seen)); i++)
			EXPECT(seen[i] != 0);
	}
}

static int order(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

enum { COUNT = 20000 };

static size_t repeats(uint64_t *values, size_t count)
{
	size_t found = 0;

	qsort(values, count, sizeof(*values), order);
	for (size_t i = 1; i < count; i++)
		found += values[i] == values[i - 1];
	return found;
}

TEST(random_does_not_repeat)
{
	static uint64_t values[COUNT];
	size_t ones = 0;

	for (size_t i = 0; i < COUNT; i++) {
		values[i] = random_u64();
		ones += (size_t)__builtin_popcountll(values[i]);
	}
	EXPECT_INT(repeats(values, COUNT), 0);
	EXPECT(ones > COUNT * 31 && ones < COUNT * 33); /* 100 standard deviations */
}

TEST(random_differs_after_fork)
{
	enum { EACH = 300 };
	uint64_t values[2 * EACH];
	int ends[2];
	pid_t child;

	(void)random_u64(); /* the store is filled and would be inherited */
	REQUIRE(pipe(ends) == 0);
	child = fork();
	REQUIRE(child >= 0);
	for (size_t i = 0; i < EACH; i++)
		values[i] = random_u64();
	if (child == 0)
		_exit(write(ends[1], values, sizeof(values) / 2) != (ssize_t)sizeof(values) / 2);

	REQUIRE(read(ends[0], values + EACH, sizeof(values) / 2) == (ssize_t)sizeof(values) / 2);
	REQUIRE(waitpid(child, NULL, 0) == child);
	EXPECT_INT(repeats(values, LEN(values)), 0);
}

static void *fill(void *at)
{
	uint64_t *values = at;

	for (size_t i = 0; i < COUNT / 2; i++)
		values[i] = random_u64();
	return NULL;
}

TEST(random_differs_between_threads)
{
	static uint64_t values[COUNT];
	pthread_t other;

	REQUIRE(pthread_create(&other, NULL, fill, values) == 0);
	(void)fill(values + COUNT / 2);
	REQUIRE(pthread_join(other, NULL) == 0);
	EXPECT_INT(repeats(values, COUNT), 0);
}
