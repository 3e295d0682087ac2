/*
 * From exec to the first answer, and the memory of an idle server
 *
 *   ./bench start [RUNS]
 *
 * Starts the program of BULKHEAD (build/release/bulkhead) again and again on the same data folder
 * and asks for /health/live until that answers 200. The clock runs from before the fork to the last
 * byte of the status line; a refused connection is tried again after 50 us. The memory is read
 * after one request and a moment of rest. Logs go to a file.
 */
#include "base/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	DEFAULT_RUNS = 20,
	MAX_RUNS = 1000,
	PATH_SIZE = 4096,
};

static const double BUDGET_MS = 50, BUDGET_MB = 20;
static const uint64_t START_LIMIT_NS = 10 * SECOND, RETRY_NS = 50 * MICROSECOND;
static const char request[] =
	"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

static _Noreturn void die(const char *what)
{
	(void)fprintf(stderr, "start: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static void pause_ns(uint64_t ns)
{
	struct timespec time = { .tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND) };

	(void)nanosleep(&time, NULL);
}

/* A port that is free now; the servers of this run take it one after the other. */
static struct sockaddr_in free_address(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 ||
		getsockname(fd, (struct sockaddr *)&address, &size) != 0)
		die("no free port");
	close(fd);
	return address;
}

static _Noreturn void run_server(const char *program, const char *folder, uint16_t port)
{
	char text[8];
	int log = open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	(void)snprintf(text, sizeof(text), "%u", (unsigned)port);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0 ||
		setenv("HOST", "127.0.0.1", 1) != 0 || setenv("PORT", text, 1) != 0 ||
		setenv("DATA_DIR", folder, 1) != 0 || setenv("LOG_FORMAT", "json", 1) != 0)
		_exit(EXIT_FAILURE);
	(void)execl(program, program, "serve", (char *)NULL);
	_exit(EXIT_FAILURE);
}

/* One attempt: true when the server has answered 200. */
static bool answers(const struct sockaddr_in *address)
{
	char status[16];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ssize_t got = 0;

	if (fd < 0)
		die("socket");
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 &&
		send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) ==
			(ssize_t)sizeof(request) - 1)
		got = recv(fd, status, 12, MSG_WAITALL);
	close(fd);
	return got == 12 && memcmp(status, "HTTP/1.1 200", 12) == 0;
}

/* Starts a server and returns the nanoseconds until its first answer. */
static uint64_t start(
	const char *program, const char *folder, const struct sockaddr_in *address, pid_t *ret_pid)
{
	uint64_t from = now_ns();
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0)
		run_server(program, folder, ntohs(address->sin_port));

	while (!answers(address)) {
		if (waitpid(pid, NULL, WNOHANG) == pid || now_ns() - from > START_LIMIT_NS) {
			(void)kill(pid, SIGKILL);
			(void)fprintf(stderr, "start: %s gives no answer\n", program);
			exit(EXIT_FAILURE);
		}
		pause_ns(RETRY_NS);
	}
	*ret_pid = pid;
	return now_ns() - from;
}

static void stop(pid_t pid)
{
	(void)kill(pid, SIGTERM);
	if (waitpid(pid, NULL, 0) != pid)
		die("waitpid");
}

/* One line of /proc/PID/smaps_rollup, in megabytes. */
static double memory_mb(pid_t pid, const char *name)
{
	char path[64], line[256];
	double kilobytes = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	file = fopen(path, "re");
	if (!file)
		die(path);
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0)
			kilobytes = strtod(line + strlen(name), NULL);
	(void)fclose(file);
	return kilobytes / 1024;
}

static int by_value(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

static bool within(const char *what, double value, double limit, const char *unit)
{
	printf("%s  %s: %.1f %s, budget %.0f %s\n", value <= limit ? "pass" : "FAIL", what, value,
		unit, limit, unit);
	return value <= limit;
}

int main(int argc, char **argv)
{
	size_t runs = argc > 1 ? strtoul(argv[1], NULL, 10) : DEFAULT_RUNS;
	const char *chosen = getenv("BULKHEAD");
	const char *temporary = getenv("TMPDIR");
	char *program = realpath(chosen ? chosen : "build/release/bulkhead", NULL);
	struct sockaddr_in address = free_address();
	uint64_t times[MAX_RUNS];
	char folder[PATH_SIZE];
	double pss, rss, middle;
	bool quick, small;
	pid_t pid;

	if (!program || runs == 0 || runs > MAX_RUNS)
		die("usage: start [RUNS], at most 1000, of the program BULKHEAD");
	(void)snprintf(folder, sizeof(folder), "%s/start-XXXXXX", temporary ? temporary : "/tmp");
	if (!mkdtemp(folder) || chdir(folder) != 0)
		die(folder);

	(void)start(program, folder, &address, &pid); /* makes what a first start makes */
	stop(pid);
	for (size_t i = 0; i < runs; i++) {
		times[i] = start(program, folder, &address, &pid);
		if (i + 1 < runs)
			stop(pid);
	}
	pause_ns(SECOND / 2);
	pss = memory_mb(pid, "Pss:");
	rss = memory_mb(pid, "Rss:");
	stop(pid);

	qsort(times, runs, sizeof(times[0]), by_value);
	middle = (double)times[runs / 2] / (double)MILLISECOND;
	printf("%zu starts: fastest %.1f ms, slowest %.1f ms; PSS %.1f MB, RSS %.1f MB\n", runs,
		(double)times[0] / (double)MILLISECOND,
		(double)times[runs - 1] / (double)MILLISECOND, pss, rss);
	free(program);
	quick = within("exec to first answer, median", middle, BUDGET_MS, "ms");
	small = within("resident memory, idle", rss, BUDGET_MB, "MB");
	return quick && small ? EXIT_SUCCESS : EXIT_FAILURE;
}
