/*
 * bulkhead admin: accounts of operators, for scripts and for who has lost the password. A running
 * server does the work; when there is none, this process opens the database itself.
 */
#include "commands_admin.h"

#include "base/err.h"
#include "commands_backup.h"
#include "crypto/digest.h"
#include "crypto/password.h"
#include "http/server.h"
#include "modules/operators/operators.h"
#include "offline.h"
#include "schema/decode.h"
#include "schema/encode.h"
#include "json/writer.h"

#include <errno.h>
#include <unistd.h>

enum { ARENA_MAX = 1024 * 1024 };

/* Name and address when no name was given. */
static struct str name_of(struct str email)
{
	ptrdiff_t at = str_find_byte(email, '@');

	return at > 0 ? str_first(email, (size_t)at) : email;
}

/* --- what goes to the server and comes back ------------------------------- */

struct admin_answer {
	struct str id, email;
	struct opt_str link;
};

/* clang-format off */
static const struct schema account_schema = SCHEMA(operator_account, "An operator's account.",
	FIELD(operator_account, email, "Its address.", .flags = REQUIRED),
	FIELD(operator_account, name, "For people.", .flags = REQUIRED),
	FIELD(operator_account, password, "Empty: a link is wanted.", .flags = REQUIRED | SECRET | ANY_TEXT));

static const struct schema answer_schema = SCHEMA(admin_answer, "What was made.",
	FIELD(admin_answer, id, "Of the account."),
	FIELD(admin_answer, email, "Its address."),
	FIELD(admin_answer, link, "Where the password is chosen."));
/* clang-format on */

int admin_commands_init(void)
{
	static const struct schema *const all[] = { &account_schema, &answer_schema };
	static bool compiled;
	int r = compiled ? 0 : schema_compile_all(all, LEN(all));

	compiled = compiled || r == 0;
	return r;
}

/* Texts live in the arena. */
static int write_account(
	const struct operator_account *account, struct arena *arena, struct str *ret)
{
	struct json_writer writer;
	struct buf out;
	int r;

	buf_init(&out, CONTROL_REQUEST_MAX);
	json_writer_init(&writer, &out);
	schema_encode(&account_schema, SCHEMA_ALL, account, &writer);
	r = json_writer_done(&writer);
	if (r == 0) {
		*ret = arena_str(arena, buf_str(&out));
		r = ret->at ? 0 : -(int)err_last()->code;
	}
	if (out.at)
		crypto_wipe(out.at, out.cap); /* the password is in it */
	buf_done(&out);
	return r;
}

static int read_account(struct str text, struct arena *arena, struct operator_account *ret)
{
	struct problems problems;
	int r;

	problems_init(&problems, arena);
	r = schema_decode(&account_schema, SCHEMA_ALL, text, arena, &problems, ret);
	return r == -ERR_INVALID ? fail(ERR_INVALID, "this is no account") : r;
}

/* --- the work ------------------------------------------------------------- */

static int write_answer(const struct command_job *job, const struct user *user, struct str link,
	const char *did, struct buf *out)
{
	struct admin_answer answer = { user->id, user->email,
		{ .set = link.len > 0, .value = link } };
	struct json_writer writer;
	int r = 0;

	if (job->json) {
		json_writer_init(&writer, out);
		schema_encode(&answer_schema, SCHEMA_ALL, &answer, &writer);
		r = json_writer_done(&writer);
		buf_byte(out, '\n');
		return r;
	}
	buf_printf(out, "%.*s %s\n", STR_ARG(user->email), did);
	if (link.len)
		buf_printf(out, "good once, for a day: %.*s\n", STR_ARG(link));
	return 0;
}

/* An error of one member as a sentence. */
static int name_member(int r)
{
	const struct err *err = err_last();

	if (r < 0 && err->field[0])
		return err_wrap("%s", err->field);
	return r;
}

typedef int work_fn(struct store *store, struct arena *arena,
	const struct operator_account *account, struct user *ret, struct str *ret_url);

static int work(const struct command_job *job, work_fn *fn, const char *did, struct buf *out)
{
	struct operator_account account = { 0 };
	struct arena arena;
	struct user user = { 0 };
	struct str link = { 0 };
	int r;

	arena_init(&arena, 16 * KILOBYTE, ARENA_MAX);
	r = read_account(job->argument, &arena, &account);
	if (r == 0)
		r = name_member(fn(job->server->store, &arena, &account, &user, &link));
	if (r == 0)
		r = write_answer(job, &user, link, did, out);
	arena_done(&arena);
	return r;
}

int admin_command_create(const struct command_job *job, struct buf *out)
{
	return work(job, operator_create, "is an operator now", out);
}

int admin_command_reset(const struct command_job *job, struct buf *out)
{
	return work(job, operator_reset, "is signed out everywhere", out);
}

/* --- the command line ----------------------------------------------------- */

/* The password is what comes on standard input, without a line break at its end. */
static int read_password(char *at, size_t size, size_t *ret_len)
{
	size_t len = 0;

	while (len < size) {
		ssize_t got = read(STDIN_FILENO, at + len, size - len);

		if (got == 0)
			break;
		if (got > 0)
			len += (size_t)got;
		else if (errno != EINTR)
			return fail(ERR_IO, "standard input: %s", err_errno_text(errno));
	}
	if (len > 0 && at[len - 1] == '\n')
		len--;
	if (len > 0 && at[len - 1] == '\r')
		len--;
	if (len == 0 || len > PASSWORD_MAX)
		return fail(ERR_INVALID, "a password of 1 to %d bytes is wanted on standard input",
			PASSWORD_MAX);
	*ret_len = len;
	return 0;
}

/* By the server that runs, or here. */
static int run_anywhere(
	const char *name, command_fn *fn, const struct command_job *job, struct buf *out)
{
	int r = command_by_server(name, NULL, job, out);

	return r == -ERR_NOT_FOUND ? offline_run(fn, job, out) : r;
}

static int run(const struct command_line *line, const char *name, command_fn *fn)
{
	struct str email = str_from_c(line->operands[0]);
	struct operator_account account = { .email = email,
		.name = line->name ? str_from_c(line->name) : name_of(email) };
	struct command_job job = { .json = line->options & COMMAND_JSON };
	char password[PASSWORD_MAX + 3];
	struct arena arena;
	struct buf out;
	int r = admin_commands_init();

	if (r < 0 || command_load(&job.config) < 0)
		return r < 0 ? command_fail("") : COMMAND_FAILED;
	arena_init(&arena, 8 * KILOBYTE, ARENA_MAX);
	buf_init(&out, COMMAND_OUTPUT_MAX);
	if (line->options & COMMAND_PASSWORD)
		r = read_password(password, sizeof(password), &account.password.len);
	account.password.at = password;
	if (r == 0)
		r = write_account(&account, &arena, &job.argument);
	if (r == 0)
		r = run_anywhere(name, fn, &job, &out);
	r = r < 0 ? (buf_done(&out), command_fail("")) : command_print(&out, r);
	crypto_wipe(password, sizeof(password));
	crypto_wipe((char *)job.argument.at, job.argument.len);
	arena_done(&arena);
	config_free(job.config);
	return r;
}

static int run_create(const struct command_line *line)
{
	return run(line, "admin create", admin_command_create);
}

static int run_reset(const struct command_line *line)
{
	return run(line, "admin reset", admin_command_reset);
}

static const struct command commands[] = {
	{ "admin", "create", "EMAIL", 1, 1, COMMAND_JSON | COMMAND_NAME | COMMAND_PASSWORD,
		"Make an operator; prints a link to choose the password by.",
		"With --password-stdin the password is read from standard input instead.",
		run_create },
	{ "admin", "reset", "EMAIL", 1, 1, COMMAND_JSON | COMMAND_PASSWORD,
		"Sign an operator out everywhere and print a link to a new password.",
		"With --password-stdin the password is read from standard input instead.",
		run_reset },
};

const struct command_family admin_commands = { commands, LEN(commands) };
