/* Waiting for signals in the main thread. */
#include "loop/signals.h"

#include "base/check.h"
#include "observe/clock.h"

#include <signal.h>
#include <time.h>

static void listened_to(sigset_t *set)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };

	(void)sigemptyset(set);
	for (size_t i = 0; i < LEN(numbers); i++)
		(void)sigaddset(set, numbers[i]);
}

void signals_block(void)
{
	sigset_t set;

	listened_to(&set);
	CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	(void)signal(SIGPIPE, SIG_IGN);
}

int signals_wait(uint64_t deadline_ns)
{
	sigset_t set;

	listened_to(&set);
	for (;;) {
		uint64_t now = clock_now_ns();
		uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
		struct timespec timeout = { (time_t)MIN(left / SECOND, (uint64_t)1 << 30),
			(long)(left % SECOND) };
		int number = sigtimedwait(&set, NULL, &timeout);

		if (number > 0)
			return number;
		if (left == 0)
			return 0;
	}
}
