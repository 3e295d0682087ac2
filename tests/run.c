/*
 * Runs the unit tests: `unit [--list] [--jobs N] [--times] [NAME...]`. A NAME selects tests whose
 * name or file contains it; --times prints milliseconds of each: CPU, and on the clock. Each test
 * runs in a child of its own with its output kept aside and shown when it fails; a child that
 * outlives its seconds is killed, and all die with this process. The last line counts; before it
 * are those that failed, a line "FAILED NAME (FILE): WHY" each.
 */
#include "base/test.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if BUILT_WITH_ASAN
#include <sanitizer/lsan_interface.h>
#endif
#ifdef BULKHEAD_COVERAGE
#include <gcov.h>
#endif

enum {
	DEFAULT_SECONDS = 60,
	SLOWDOWN = 4, /* sanitizers and valgrind take their time */
	MAX_JOBS = 16,
	EXIT_FAILED = 1,
	EXIT_SKIPPED = 77,
};

/* The linker's names for the ends of the section. */
extern const struct test *const __start_tests[], *const __stop_tests[];

struct job {
	const struct test *test;
	pid_t pid;
	int output; /* memfd */
	time_t deadline;
	struct timespec began;
};

static unsigned failures; /* in the child */
static unsigned passed, failed, skipped;
static bool print_times;

/* Those that failed, in the order in which they ended. */
static struct failed_test {
	const struct test *test;
	const char *verdict;
} * failed_tests;

bool test_note(bool ok, const char *file, int line, const char *format, ...)
{
	va_list args;

	if (ok)
		return true;

	failures++;
	va_start(args, format);
	fprintf(stderr, "  %s:%d: ", file, line);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return false;
}

/* Ends the child without the parent's exit handlers, which would run a second time. */
static _Noreturn void leave(int status)
{
	fflush(NULL);
#ifdef BULKHEAD_COVERAGE
	__gcov_dump();
#endif
	_exit(status);
}

void test_skip(const char *reason)
{
	fprintf(stderr, "  skipped: %s\n", reason);
	leave(failures ? EXIT_FAILED : EXIT_SKIPPED);
}

void test_end(void)
{
	leave(failures ? EXIT_FAILED : EXIT_SUCCESS);
}

bool test_long(void)
{
	return getenv("TEST_LONG") != NULL;
}

uint64_t test_random(uint64_t *state)
{
	CHECK(*state != 0);
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545F4914F6CDD1Du;
}

bool test_dies(void (*body)(void *), void *arg, int signal_number)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_DUMPABLE, 0);
		(void)!freopen("/dev/null", "w", stderr);
		body(arg);
		_exit(EXIT_SUCCESS);
	}

	CHECK(waitpid(pid, &status, 0) == pid);
#if BUILT_WITH_ASAN || BUILT_WITH_TSAN
	(void)signal_number;
	return !(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS);
#else
	return WIFSIGNALED(status) && WTERMSIG(status) == signal_number;
#endif
}

static void start(struct job *job, const struct test *test)
{
	pid_t parent = getpid();
	unsigned seconds = test->seconds ? test->seconds : DEFAULT_SECONDS;

	fflush(NULL);
	*job = (struct job){ .test = test, .output = memfd_create("output", 0) };
	CHECK(job->output >= 0);
	job->deadline = time(NULL) + (time_t)seconds * SLOWDOWN;
	(void)clock_gettime(CLOCK_MONOTONIC, &job->began);
	job->pid = fork();
	CHECK(job->pid >= 0);
	if (job->pid != 0)
		return;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILED);
	(void)dup2(job->output, STDOUT_FILENO);
	(void)dup2(job->output, STDERR_FILENO);
	test->run();
#if BUILT_WITH_ASAN
	if (__lsan_do_recoverable_leak_check())
		failures++;
#endif
	test_end();
}

static void show_output(int fd)
{
	char chunk[4096];
	off_t at = 0;
	ssize_t got;

	while ((got = pread(fd, chunk, sizeof(chunk), at)) > 0) {
		(void)!write(STDOUT_FILENO, chunk, (size_t)got);
		at += got;
	}
}

static void say_times(const struct job *job, const struct rusage *usage)
{
	const struct timeval *user = &usage->ru_utime, *system = &usage->ru_stime;
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	printf("%7ld %7ld %s\n",
		(user->tv_sec + system->tv_sec) * 1000 + (user->tv_usec + system->tv_usec) / 1000,
		(now.tv_sec - job->began.tv_sec) * 1000 +
			(now.tv_nsec - job->began.tv_nsec) / 1000000,
		job->test->name);
}

static void finish(struct job *job, int status, bool timed_out)
{
	const char *verdict = NULL;

	if (timed_out)
		verdict = "TIMED OUT";
	else if (WIFSIGNALED(status))
		verdict = strsignal(WTERMSIG(status));
	else if (WEXITSTATUS(status) == EXIT_SKIPPED)
		verdict = "skipped";
	else if (WEXITSTATUS(status) != EXIT_SUCCESS)
		verdict = "FAILED";

	if (!verdict) {
		passed++;
	} else {
		printf("%s (%s): %s\n", job->test->name, job->test->file, verdict);
		fflush(stdout);
		show_output(job->output);
		if (strcmp(verdict, "skipped") == 0)
			skipped++;
		else
			failed_tests[failed++] = (struct failed_test){ job->test, verdict };
	}

	close(job->output);
	job->test = NULL;
}

/* Looks once at every running job; true when one has ended. */
static bool collect(struct job *jobs, size_t count)
{
	bool ended = false;

	for (size_t i = 0; i < count; i++) {
		struct job *job = &jobs[i];
		bool late = job->test && time(NULL) > job->deadline;
		struct rusage usage;
		int status = 0;

		if (!job->test)
			continue;
		if (late)
			(void)kill(job->pid, SIGKILL);
		if (wait4(job->pid, &status, late ? 0 : WNOHANG, &usage) != job->pid)
			continue;
		if (print_times)
			say_times(job, &usage);
		finish(job, status, late);
		ended = true;
	}
	return ended;
}

static bool selected(const struct test *test, char **names)
{
	if (!*names)
		return true;

	for (; *names; names++)
		if (strstr(test->name, *names) || strstr(test->file, *names))
			return true;
	return false;
}

static size_t running(const struct job *jobs)
{
	size_t busy = 0;

	for (size_t i = 0; i < MAX_JOBS; i++)
		busy += jobs[i].test != NULL;
	return busy;
}

static void run_all(char **names, size_t job_limit)
{
	struct job jobs[MAX_JOBS] = { 0 };
	const struct test *const *next = __start_tests;

	while (next < __stop_tests || running(jobs)) {
		for (size_t i = 0; i < job_limit && next < __stop_tests; i++) {
			if (jobs[i].test)
				continue;
			while (next < __stop_tests && !selected(*next, names))
				next++;
			if (next < __stop_tests)
				start(&jobs[i], *next++);
		}
		if (!collect(jobs, MAX_JOBS))
			(void)poll(NULL, 0, 1);
	}
}

int main(int argc, char **argv)
{
	size_t job_limit = 2;

	(void)signal(SIGPIPE, SIG_IGN);
	argv++;
	if (argc > 1 && strcmp(*argv, "--list") == 0) {
		for (const struct test *const *test = __start_tests; test < __stop_tests; test++)
			printf("%s %s\n", (*test)->name, (*test)->file);
		return EXIT_SUCCESS;
	}
	if (argc > 2 && strcmp(*argv, "--jobs") == 0) {
		job_limit = MIN((size_t)strtoul(argv[1], NULL, 10), (size_t)MAX_JOBS);
		job_limit = MAX(job_limit, (size_t)1);
		argv += 2;
	}
	if (*argv && strcmp(*argv, "--times") == 0) {
		print_times = true;
		argv++;
	}

	failed_tests = calloc((size_t)(__stop_tests - __start_tests), sizeof(*failed_tests));
	CHECK(failed_tests);
	run_all(argv, job_limit);
	for (size_t i = 0; i < failed; i++)
		printf("FAILED %s (%s): %s\n", failed_tests[i].test->name,
			failed_tests[i].test->file, failed_tests[i].verdict);
	free(failed_tests);
	if (skipped)
		printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	else
		printf("%u passed, %u failed\n", passed, failed);
	return failed || passed + skipped == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
