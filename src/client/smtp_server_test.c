/* The mail server of the tests, as a process beside them. */
#include "client/smtp_server_test.h"

#include "base/test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATUS_NO_PROGRAM = 77 };

uint16_t smtp_free_port(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(any);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&any, len) == 0 &&
		getsockname(fd, (struct sockaddr *)&any, &len) == 0);
	(void)close(fd);
	return ntohs(any.sin_port);
}

/* tests/smtp of the working copy that this program was built in: build/FLAVOUR/unit. */
static void find_script(char *path, size_t size)
{
	char program[4096];
	ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);

	REQUIRE(len > 0);
	program[len] = '\0';
	for (int up = 0; up < 3; up++)
		*strrchr(program, '/') = '\0';
	(void)snprintf(path, size, "%s/tests/smtp", program);
}

/* Whether it says that it is ready. */
static bool hears_ready(int fd)
{
	char line[16] = "";
	size_t len = 0;
	ssize_t n;

	while (len < sizeof(line) - 1 && !strchr(line, '\n')) {
		n = read(fd, line + len, sizeof(line) - 1 - len);
		if (n == 0 || (n < 0 && errno != EINTR))
			break;
		len += n > 0 ? (size_t)n : 0;
	}
	return strcmp(line, "ready\n") == 0;
}

/* One try on one port; false when somebody else was faster to take it. */
static bool try_start(struct smtp_server *server, const char *const *options)
{
	const char *arguments[16] = { 0 };
	char script[4200], port[8];
	bool ready;
	int to[2], from[2];
	size_t count = 3;

	(void)snprintf(port, sizeof(port), "%u", server->port);
	find_script(script, sizeof(script));
	arguments[0] = script, arguments[1] = port, arguments[2] = server->folder;
	for (; options && *options; options++)
		arguments[count++] = *options;

	REQUIRE(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0);
	server->pid = fork();
	REQUIRE(server->pid >= 0);
	if (server->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)dup2(to[0], STDIN_FILENO);
		(void)dup2(from[1], STDOUT_FILENO);
		(void)execv(script, (char *const *)arguments);
		_exit(STATUS_NO_PROGRAM);
	}
	server->input = to[1];
	(void)close(to[0]);
	(void)close(from[1]);
	ready = hears_ready(from[0]);
	(void)close(from[0]);
	if (ready)
		return true;
	(void)close(server->input);
	(void)waitpid(server->pid, NULL, 0);
	return false;
}

static void make_folder(struct smtp_server *server)
{
	(void)snprintf(server->folder, sizeof(server->folder), "/tmp/bulkhead-smtp-XXXXXX");
	REQUIRE(mkdtemp(server->folder) != NULL);
}

void smtp_server_start_at(struct smtp_server *server, uint16_t port)
{
	make_folder(server);
	server->port = port;
	REQUIRE(try_start(server, NULL));
}

void smtp_server_start(struct smtp_server *server, const char *const *options)
{
	bool started = false;

	make_folder(server);
	for (int i = 0; i < 5 && !started; i++) {
		server->port = smtp_free_port();
		started = try_start(server, options);
	}
	REQUIRE(started);
}

void smtp_server_stop(struct smtp_server *server)
{
	char command[128];

	(void)close(server->input);
	(void)waitpid(server->pid, NULL, 0);
	(void)snprintf(command, sizeof(command), "rm -rf %s", server->folder);
	EXPECT_INT(system(command), 0);
}

size_t smtp_server_read(const struct smtp_server *server, unsigned number, char *at, size_t size)
{
	char path[128];
	FILE *file;
	size_t len = 0;

	(void)snprintf(path, sizeof(path), "%s/%u.eml", server->folder, number);
	file = fopen(path, "re");
	if (file) {
		len = fread(at, 1, size - 1, file);
		(void)fclose(file);
	}
	at[len] = '\0';
	return len;
}
