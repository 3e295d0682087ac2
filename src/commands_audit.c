/*
 * bulkhead audit: whether the audit log is what was written. A running server looks at it; when
 * there is none, this process opens the database itself.
 */
#include "commands_audit.h"

#include "base/err.h"
#include "commands_backup.h"
#include "http/server.h"
#include "modules/audit/audit_verify.h"
#include "offline.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ARENA_MAX = 1024 * 1024, PIECE = 64 * 1024, OPERANDS_MAX = 64 };

/* How a head begins, as logs and exports have it. */
static const struct str head_prefix = S_INIT("audit-head:");

/* --- heads from elsewhere --------------------------------------------------------------------- */

/* A file of whatever size, piece by piece; heads that were cut in two are put together. Others get
 * their turn in between. */
static int read_pieces(int fd, const char *path, struct audit_heads *heads)
{
	struct buf text;
	int r = 0;

	buf_init(&text, 2 * PIECE);
	while (r == 0) {
		ssize_t got = buf_room(&text, PIECE) ? read(fd, text.at + text.len, PIECE) : 0;
		size_t done = 0;

		if (got < 0)
			r = fail(ERR_IO, "cannot read %s: %s", path, err_errno_text(errno));
		text.len += got > 0 ? (size_t)got : 0;
		if (r == 0)
			r = text.failed;
		if (r == 0)
			r = audit_heads_add(heads, buf_str(&text), got == 0, &done);
		buf_consume(&text, done);
		if (r < 0 || got == 0)
			break;
		fiber_yield();
	}
	buf_done(&text);
	return r;
}

static int read_heads(const char *path, struct audit_heads *heads)
{
	size_t before = heads->count + heads->forged;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;
	struct stat status;

	if (fd < 0)
		return fail(ERR_IO, "cannot open %s: %s", path, err_errno_text(errno));
	/* The server reads it: a pipe would keep a whole worker waiting. */
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
		r = read_pieces(fd, path, heads);
	else
		r = fail(ERR_INVALID, "%s is no file", path);
	(void)close(fd);
	if (r == 0 && heads->count + heads->forged == before)
		return fail(ERR_INVALID, "there is no head in %s", path);
	return r;
}

/* The lines of the argument. */
static int gather_heads(struct str argument, struct arena *arena, struct audit_heads *heads)
{
	int r = 0;

	while (argument.len && r == 0) {
		struct str line = str_cut(&argument, '\n');
		size_t done;

		if (str_starts(line, head_prefix)) {
			r = audit_heads_add(heads, line, true, &done);
		} else {
			struct str path = arena_str(arena, line); /* with a NUL behind it */

			r = path.at ? read_heads(path.at, heads) : -(int)err_last()->code;
		}
	}
	return r;
}

/* --- the work ------------------------------------------------------------- */

int audit_command_verify(const struct command_job *job, struct buf *out)
{
	struct audit_heads heads = { 0 };
	struct audit_report report;
	struct arena arena;
	int r;

	arena_init(&arena, 64 * KILOBYTE, ARENA_MAX);
	r = gather_heads(job->argument, &arena, &heads);
	if (r == 0)
		r = audit_verify(job->server->store, &heads, &arena, &report);
	if (r == 0) {
		audit_report_write(&report, job->json, out);
		r = report.found ? AUDIT_BROKEN : 0;
	}
	audit_heads_done(&heads);
	arena_done(&arena);
	return r;
}

/* --- the command line ----------------------------------------------------- */

/* A head as it is; a file by a path that is good in another process. */
static int add_operand(const char *operand, struct buf *argument)
{
	char *path;
	int r;

	if (argument->len)
		buf_byte(argument, '\n');
	if (str_starts(str_from_c(operand), head_prefix)) {
		buf_append(argument, str_from_c(operand));
		return argument->failed;
	}
	path = realpath(operand, NULL);
	if (!path)
		return fail(ERR_IO, "cannot open %s: %s", operand, err_errno_text(errno));
	buf_append(argument, str_from_c(path));
	r = strchr(path, '\n') ? fail(ERR_INVALID, "%s has a line break in its path", operand)
			       : argument->failed;
	free(path);
	return r;
}

static int run_verify(const struct command_line *line)
{
	struct command_job job = { .json = line->options & COMMAND_JSON };
	struct buf argument, out;
	int r = 0;

	buf_init(&argument, CONTROL_ARGUMENT_MAX);
	for (size_t i = 0; i < line->count && r == 0; i++)
		r = add_operand(line->operands[i], &argument);
	if (r < 0) {
		buf_done(&argument);
		return command_fail("");
	}
	job.argument = buf_str(&argument);
	if (command_load(&job.config) < 0) {
		buf_done(&argument);
		return COMMAND_FAILED;
	}
	buf_init(&out, COMMAND_OUTPUT_MAX);
	r = command_by_server("audit verify", NULL, &job, &out);
	if (r == -ERR_NOT_FOUND)
		r = offline_run(audit_command_verify, &job, &out);
	r = r < 0 ? (buf_done(&out), command_fail("")) : command_print(&out, r);
	config_free(job.config);
	buf_done(&argument);
	return r;
}

static const struct command commands[] = {
	{ "audit", "verify", "[HEAD|FILE...]", 0, OPERANDS_MAX, COMMAND_JSON,
		"Find out whether the audit log is what was written.",
		"Finds entries that were changed, moved, added or taken out, and tells which are "
		"not "
		"chained\nyet. What was cut off at the end shows by heads from elsewhere: give the "
		"log "
		"of the server,\nan export, or the text of a head (audit-head:1:...).\n"
		"Exit codes: 0 whole, 1 it could not be verified, 2 used wrongly, 3 something was "
		"found.",
		run_verify },
	{ "audit", "export", "TENANT", 1, 1, COMMAND_JSON | COMMAND_CSV,
		"Write the audit log of a tenant (slug, id or system) to standard output.",
		"JSON lines, or CSV; the last line is the signed head of the chain, for `bulkhead "
		"audit\nverify`. That it was exported is an entry, too.\n"
		"Exit codes: 0 all of it was written, 1 not all, 2 used wrongly.",
		audit_run_export },
};

const struct command_family audit_commands = { commands, LEN(commands) };
