/* Waiting for signals in the main thread. */
#include "loop/signals.h"

#include "base/check.h"
#include "observe/clock.h"

#include <signal.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

static void listened_to(sigset_t *set)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2 };

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

void signals_wake(void)
{
	(void)kill(getpid(), SIGUSR2);
}

static void (*at_crash)(void);

/* The sanitizers have handlers of their own, with better last words. */
static bool sanitized(void)
{
#if BUILT_WITH_ASAN || BUILT_WITH_TSAN
	return true;
#else
	return false;
#endif
}

static void crashed(int number)
{
	static volatile sig_atomic_t once;

	if (!__atomic_exchange_n(&once, 1, __ATOMIC_RELAXED))
		at_crash();
	(void)raise(number); /* SA_RESETHAND: the default action this time */
}

void signals_on_crash(void (*last_words)(void))
{
	static const int numbers[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	struct sigaction action = { .sa_handler = crashed,
		.sa_flags = SA_ONSTACK | (int)SA_RESETHAND | SA_NODEFER };

	if (sanitized())
		return;
	at_crash = last_words;
	for (size_t i = 0; i < LEN(numbers); i++)
		(void)sigaction(numbers[i], &action, NULL);
}

void signals_crash_stack(void *memory)
{
	stack_t stack = {
		.ss_sp = memory, .ss_size = SIGNAL_STACK, .ss_flags = memory ? 0 : SS_DISABLE
	};

	if (sanitized())
		return;
	CHECK(sigaltstack(&stack, NULL) == 0);
}
