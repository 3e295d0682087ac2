/* bulkhead keys: the keys that access tokens are signed with. A running server does the work; when
 * there is none, this process opens the database itself. */
#include "commands_keys.h"

#include "base/err.h"
#include "base/time_text.h"
#include "commands_backup.h"
#include "http/server.h"
#include "modules/auth/auth_keys.h"
#include "offline.h"
#include "json/writer.h"

#include <stdlib.h>

enum { ARENA_MAX = 1024 * 1024 };

/* --- the work ------------------------------------------------------------------------------ */

static int write_json(const struct signing_key *key, struct buf *out)
{
	char signs_at[TIME_RFC3339_LEN];
	struct json_writer writer;
	int r;

	time_write_rfc3339(signs_at, key->signs_at);
	json_writer_init(&writer, out);
	json_write_object(&writer);
	json_write_key(&writer, S("kid"));
	json_write_string(&writer, key->id);
	json_write_key(&writer, S("alg"));
	json_write_string(&writer, sign_alg(key->algorithm));
	json_write_key(&writer, S("signsAt"));
	json_write_string(&writer, str_of(signs_at, sizeof(signs_at)));
	json_write_object_end(&writer);
	r = json_writer_done(&writer);
	buf_byte(out, '\n');
	return r;
}

static void write_text(const struct signing_key *key, struct buf *out)
{
	char signs_at[TIME_RFC3339_LEN];
	struct str alg = sign_alg(key->algorithm);

	time_write_rfc3339(signs_at, key->signs_at);
	buf_printf(out, "%.*s (%.*s) signs from %.*s on\n", STR_ARG(key->id), STR_ARG(alg),
		(int)sizeof(signs_at), signs_at);
}

int keys_command_rotate(const struct command_job *job, struct buf *out)
{
	bool now = str_eq(job->argument, S("now"));
	struct signing_key key;
	struct arena arena;
	int r;

	arena_init(&arena, 16 * KILOBYTE, ARENA_MAX);
	r = keys_rotate(job->server->store, now ? KEY_NOW : KEY_COMMAND, &arena, &key);
	if (r == 0 && job->json)
		r = write_json(&key, out);
	else if (r == 0)
		write_text(&key, out);
	arena_done(&arena);
	return r;
}

/* --- the command line ------------------------------------------------------------------------- */

static int run_rotate(const struct command_line *line)
{
	struct command_job job = { .json = line->options & COMMAND_JSON };
	struct buf out;
	int r;

	if (command_load(&job.config) < 0)
		return COMMAND_FAILED;
	if (line->options & COMMAND_NOW)
		job.argument = S("now");
	buf_init(&out, COMMAND_OUTPUT_MAX);
	r = command_by_server("keys rotate", NULL, &job, &out);
	if (r == -ERR_NOT_FOUND)
		r = offline_run(keys_command_rotate, &job, &out);
	r = r < 0 ? (buf_done(&out), command_fail("")) : command_print(&out, r);
	config_free(job.config);
	return r;
}

static const struct command commands[] = {
	{ "keys", "rotate", .options = COMMAND_JSON | COMMAND_NOW,
		.text = "Make another key to sign access tokens with.",
		.more = "It is published at once and signs some minutes later, when everybody who\n"
			"verifies tokens knows it; the old one stays until its tokens have "
			"expired.\n"
			"With --now it signs at once and the old ones go, for when somebody has "
			"got\n"
			"hold of one: all access tokens are void then, and clients refresh them.",
		.run = run_rotate },
};

const struct command_family keys_commands = { commands, LEN(commands) };
