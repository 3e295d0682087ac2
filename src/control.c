/* Callers of the control socket, each with a fiber, a deadline and one request. */
#include "control.h"

#include "base/mem.h"
#include "config.h"
#include "net/tcp.h"
#include "observe/clock.h"
#include "observe/log.h"

#include <errno.h>
#include <unistd.h>

/* Until the request is there, and for each part of the answer that the caller takes. */
#define CALLER_TIME (5 * SECOND)

/* A new server may take so long from having the sockets to being ready for all else. */
#define READY_TIME (60 * SECOND)

/* A caller. */
struct caller {
	struct control *control;
	struct tcp tcp;
	struct arena arena;
	pid_t pid;
	size_t len; /* of what has come of the line */
	char line[CONTROL_REQUEST_MAX];
};

/* --- in and out ------------------------------------------------------------------------ */

/* The next line. Nothing may come behind it: whoever says more than one thing at once is confused.
 */
static int read_line(struct caller *caller, uint64_t deadline_ns, struct str *ret)
{
	caller->len = 0;
	for (;;) {
		ssize_t got;
		char *end;

		got = stream_read(&caller->tcp.stream, caller->line + caller->len,
			sizeof(caller->line) - caller->len, deadline_ns);
		if (got < 0)
			return (int)got;
		if (got == 0)
			return fail(ERR_CLOSED, "the caller has gone");

		end = memchr(caller->line + caller->len, '\n', (size_t)got);
		caller->len += (size_t)got;
		if (end && end + 1 == caller->line + caller->len) {
			*ret = str_of(caller->line, caller->len - 1);
			return 0;
		}
		if (end || caller->len == sizeof(caller->line))
			return fail(ERR_INVALID, "a request is one line of at most %d bytes",
				CONTROL_REQUEST_MAX);
	}
}

static int write_bytes(struct caller *caller, struct str bytes)
{
	struct stream_pace pace = { CALLER_TIME, 0 };

	return stream_write(&caller->tcp.stream, &bytes, 1, &pace);
}

static int answer(struct caller *caller, const struct control_answer *message)
{
	struct buf out;
	int r;

	buf_init(&out, CONTROL_ANSWER_MAX);
	r = control_encode(&control_answer_schema, message, &out);
	if (r == 0)
		r = write_bytes(caller, buf_str(&out));
	buf_done(&out);
	return r;
}

static int answer_error(struct caller *caller, const struct err *err)
{
	char text[ERR_TEXT_MAX * ERR_FRAMES];
	size_t len = err_describe(err, text, sizeof(text));
	struct control_answer message = { .error = { .set = true, .value = str_of(text, len) },
		.exit = { .set = true, .value = 1 } };

	return answer(caller, &message);
}

static int answer_lines(struct caller *caller, struct str text, int exit_code)
{
	struct control_answer end = { .done = { .set = true, .value = true },
		.exit = { .set = true, .value = exit_code } };
	int r = 0;

	while (text.len && r == 0) {
		struct control_answer message = { .line = { .set = true,
							  .value = str_cut(&text, '\n') } };

		r = answer(caller, &message);
	}
	return r < 0 ? r : answer(caller, &end);
}

/* --- commands -------------------------------------------------------------------------- */

/* A command on its way to a thread and back. */
struct run {
	command_fn *fn;
	struct command_job job;
	struct buf out;
	int result;
	struct err err;
};

static void run_here(void *arg)
{
	struct run *run = arg;

	run->result = run->fn(&run->job, &run->out);
	if (run->result < 0)
		run->err = *err_last();
	else if (run->out.failed)
		run->result = run->out.failed;
}

static int run_command(struct caller *caller, const struct control_command *command,
	const struct control_request *request)
{
	const struct control_options *options = &caller->control->options;
	struct run run = { .fn = command->run,
		.job = { options->config, options->stop, command->on_fiber ? options->server : NULL,
			request->argument, request->json } };
	int r;

	buf_init(&run.out, CONTROL_OUTPUT_MAX);
	log_info(
		"command", LOG_STR("command", request->command), LOG_INT("callerPid", caller->pid));
	if (command->on_fiber)
		run_here(&run), r = 0;
	else
		r = offload_call(options->pool, run_here, &run);
	if (r < 0)
		run.err = *err_last();
	else
		r = run.result;
	r = r < 0 ? answer_error(caller, &run.err) : answer_lines(caller, buf_str(&run.out), r);
	buf_done(&run.out);
	return r;
}

/* --- a hand-over ------------------------------------------------------------------------ */

/* The new server gets the sockets and says when it has done all that it can do beside this one.
 * From there on the main thread goes on with it. */
static int hand_over(struct caller *caller)
{
	const struct control_options *options = &caller->control->options;
	struct control_answer message = { 0 };
	int fds[CONTROL_FDS_MAX];
	size_t count = options->sockets(options->arg, fds);
	struct str line = { 0 };
	int fd, r;

	log_info("a new server wants to take over", LOG_INT("newPid", caller->pid));
	/* A socket that has just been connected has room for a line. */
	r = control_step(caller->tcp.watch.fd, S("sockets"), fds, count, 0);
	if (r == 0)
		r = read_line(caller, sched_now() + READY_TIME, &line);
	if (r == 0)
		r = control_decode(&control_answer_schema, line, &caller->arena, &message);
	if (r == 0 && (!message.step.set || !str_eq(message.step.value, S("ready"))))
		r = fail(ERR_INVALID, "the new server said something else than \"ready\"");
	if (r < 0) {
		log_warn("the new server did not take over", LOG_ERR);
		return r;
	}

	fd = dup(caller->tcp.watch.fd);
	if (fd < 0)
		return fail(ERR_IO, "dup: %s", err_errno_text(errno));
	r = options->hand_over(options->arg, fd);
	if (r < 0)
		(void)close(fd);
	return r;
}

/* --- callers ---------------------------------------------------------------------------- */

static int serve_request(struct caller *caller, const struct control_request *request)
{
	const struct control_options *options = &caller->control->options;

	if (options->hand_over && str_eq(request->command, S("handover")))
		return hand_over(caller);
	for (size_t i = 0; i < options->command_count; i++)
		if (str_eq(request->command, str_from_c(options->commands[i].name)))
			return run_command(caller, &options->commands[i], request);
	return fail(ERR_INVALID, "the server knows no command \"%.*s\"", STR_ARG(request->command));
}

static int serve(void *arg)
{
	struct caller *caller = arg;
	struct control *control = caller->control;
	struct control_request request = { 0 };
	struct str line = { 0 };
	int r = read_line(caller, sched_now() + CALLER_TIME, &line);

	/* A copy: a later line comes to the same place. */
	if (r == 0) {
		line = arena_str(&caller->arena, line);
		r = line.at ? control_decode(
				      &control_request_schema, line, &caller->arena, &request)
			    : -(int)err_last()->code;
	}
	if (r == 0)
		r = serve_request(caller, &request);
	if (r < 0 && r != -ERR_CLOSED && r != -ERR_CANCELLED) {
		struct err err = *err_last();

		(void)answer_error(caller, &err);
	}
	stream_close(&caller->tcp.stream);
	arena_done(&caller->arena);
	mem_free(caller, sizeof(*caller));
	control->callers--;
	return 0;
}

/* The file's mode lets nobody else in; this holds even when somebody has changed that. */
static bool may_call(int fd, pid_t *ret_pid)
{
	uid_t uid;

	if (!control_peer(fd, ret_pid, &uid))
		return false;
	if (uid == geteuid() || uid == 0)
		return true;
	log_warn("a caller of the control socket was refused", LOG_INT("callerPid", *ret_pid),
		LOG_INT("callerUid", uid));
	return false;
}

/* A socket that has just been connected has room for it. */
static void refuse(int fd, struct str sentence)
{
	struct control_answer message = { .error = { .set = true, .value = sentence },
		.exit = { .set = true, .value = 1 } };
	struct buf out;

	buf_init(&out, CONTROL_REQUEST_MAX);
	if (control_encode(&control_answer_schema, &message, &out) == 0)
		(void)control_write(fd, buf_str(&out), NULL, 0, 0);
	buf_done(&out);
	(void)close(fd);
}

static void accepted(struct acceptor *acceptor, int fd, const struct address *peer)
{
	struct control *control = CONTAINER_OF(acceptor, struct control, acceptor);
	struct caller *caller;
	pid_t pid;

	(void)peer;
	if (!may_call(fd, &pid)) {
		refuse(fd, S("only the user of the server and root may say anything here"));
		return;
	}
	caller = control->callers < CONTROL_CALLERS_MAX ? mem_zalloc(sizeof(*caller)) : NULL;
	if (!caller) {
		refuse(fd, S("the server has too many callers just now"));
		return;
	}
	caller->control = control;
	caller->pid = pid;
	arena_init(&caller->arena, 4096, 64 * KILOBYTE);
	if (tcp_open(&caller->tcp, &control->worker->poller, fd) < 0) {
		mem_free(caller, sizeof(*caller));
		return;
	}
	control->callers++;
	if (scope_spawn(&control->worker->sched.root, serve, caller) < 0) {
		stream_close(&caller->tcp.stream);
		mem_free(caller, sizeof(*caller));
		control->callers--;
	}
}

int control_open(
	struct control *control, struct worker *worker, const struct control_options *options)
{
	int r;

	*control = (struct control){ .options = *options, .worker = worker };
	r = control_listen(options->config->data_dir, &control->listener.fd);
	if (r < 0)
		return r;
	control->acceptor.listener = &control->listener;
	control->acceptor.on_accept = accepted;
	r = acceptor_start(&control->acceptor, &worker->poller, &worker->sched.timers);
	if (r < 0)
		control_unlisten(options->config->data_dir, control->listener.fd);
	return r;
}

void control_close(struct control *control)
{
	acceptor_stop(&control->acceptor);
	control_unlisten(control->options.config->data_dir, control->listener.fd);
}
