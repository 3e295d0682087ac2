/*
 * Rate limiters: one take, by algorithm and by what is asked of the table. CPU time of the calling
 * thread, the best of several rounds.
 *
 * What is inside the clock: hashing a 16-byte key, the lock, finding or making its slot, the
 * verdict. Reading the clock is not: the time is made up, so that quotas flow back as they would at
 * a million takes a second.
 */
#include "http/limiter.h"
#include "base/err.h"

#include <stdio.h>
#include <time.h>

enum { ROUNDS = 5, TAKES = 2000 * 1000, THREADS = 2 };

/* One way to use a limiter. */
struct load {
	const char *name;
	uint64_t keys; /* that take turns; 0: a new one each time */
	size_t threads;
	bool shared; /* the threads use the same keys */
};

static const struct load loads[] = {
	{ "one key", 1, 1, false },
	{ "1,000 keys", 1000, 1, false },
	{ "50,000 keys", 50000, 1, false },
	{ "flood of new keys", 0, 1, false },
	{ "2 threads, keys of their own", 1000, THREADS, false },
	{ "2 threads, one key", 1, THREADS, true },
};

struct runner {
	struct limiter *limiter;
	const struct load *load;
	uint64_t number;
	double ns; /* a take */
	uint64_t allowed;
	pthread_t thread;
};

static uint64_t cpu_ns(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static void *run(void *arg)
{
	struct runner *runner = arg;
	const struct load *load = runner->load;
	struct limit_verdict verdict;
	uint64_t key[2] = { 0, load->shared ? 0 : runner->number };
	uint64_t start = cpu_ns();

	for (uint64_t i = 0; i < TAKES; i++) {
		key[0] = load->keys ? i % load->keys : i;
		limiter_take(runner->limiter, str_of((char *)key, sizeof(key)), 1, i * MICROSECOND,
			&verdict);
		runner->allowed += verdict.allowed;
	}
	runner->ns = (double)(cpu_ns() - start) / TAKES;
	return NULL;
}

static double measure(const struct limiter_options *options, const struct load *load)
{
	double best = 1e9;

	for (size_t round = 0; round < ROUNDS; round++) {
		struct runner runners[THREADS];
		struct limiter limiter;
		uint64_t allowed = 0;
		double worst = 0;

		CHECK(limiter_init(&limiter, options) == 0);
		for (size_t i = 0; i < load->threads; i++) {
			runners[i] =
				(struct runner){ .limiter = &limiter, .load = load, .number = i };
			CHECK(pthread_create(&runners[i].thread, NULL, run, &runners[i]) == 0);
		}
		for (size_t i = 0; i < load->threads; i++) {
			(void)pthread_join(runners[i].thread, NULL);
			allowed += runners[i].allowed;
			worst = MAX(worst, runners[i].ns);
		}
		CHECK(allowed > 0);
		limiter_done(&limiter);
		best = MIN(best, worst);
	}
	return best;
}

int main(void)
{
	const struct limiter_options bucket = { S("bucket"), LIMITER_TOKEN_BUCKET,
		{ .quota = 60000, .window_ns = MINUTE }, 0 };
	const struct limiter_options window = { S("window"), LIMITER_SLIDING_WINDOW,
		{ .quota = 60000, .window_ns = MINUTE }, 0 };

	printf("%-30s %12s %12s\n", "ns a take", "bucket", "window");
	for (size_t i = 0; i < LEN(loads); i++)
		printf("%-30s %12.0f %12.0f\n", loads[i].name, measure(&bucket, &loads[i]),
			measure(&window, &loads[i]));
	return 0;
}
