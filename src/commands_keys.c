/* bulkhead keys: the keys that access tokens are signed with. A running server does the work; when
 * there is none, this process opens the database itself. */
#include "commands_keys.h"

#include "base/err.h"
#include "base/time_text.h"
#include "commands_backup.h"
#include "http/module.h"
#include "http/server.h"
#include "module_list.h"
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

/* --- sealing anew ------------------------------------------------------------------------------
 */

/* What a module found. */
struct report {
	const char *module;
	struct resealed found;
};

static int reseal_all(struct server *server, struct report *reports, size_t *ret_count)
{
	size_t count = 0;

	for (size_t i = 0; i < server->module_count; i++) {
		const struct module *module = server->modules[i];
		struct report *report = &reports[count];

		if (!module->reseal)
			continue;
		*report = (struct report){ .module = module->name };
		if (module->reseal(server, &report->found) < 0)
			return err_wrap("module %s", module->name);
		count++;
	}
	*ret_count = count;
	return 0;
}

static void write_found(struct json_writer *writer, const struct resealed *found)
{
	json_write_key(writer, S("sealed"));
	json_write_i64(writer, (int64_t)found->sealed);
	json_write_key(writer, S("lost"));
	json_write_i64(writer, (int64_t)found->lost);
}

static int write_reports_json(
	const struct report *reports, size_t count, const struct resealed *all, struct buf *out)
{
	struct json_writer writer;
	int r;

	json_writer_init(&writer, out);
	json_write_object(&writer);
	json_write_key(&writer, S("modules"));
	json_write_array(&writer);
	for (size_t i = 0; i < count; i++) {
		json_write_object(&writer);
		json_write_key(&writer, S("name"));
		json_write_string(&writer, str_from_c(reports[i].module));
		write_found(&writer, &reports[i].found);
		json_write_object_end(&writer);
	}
	json_write_array_end(&writer);
	write_found(&writer, all);
	json_write_object_end(&writer);
	r = json_writer_done(&writer);
	buf_byte(out, '\n');
	return r;
}

static void write_reports(
	const struct report *reports, size_t count, const struct resealed *all, struct buf *out)
{
	for (size_t i = 0; i < count; i++) {
		buf_printf(out, "%s: %zu sealed anew", reports[i].module, reports[i].found.sealed);
		if (reports[i].found.lost)
			buf_printf(out, ", %zu open under neither key", reports[i].found.lost);
		buf_byte(out, '\n');
	}
	if (all->lost == 0)
		buf_append(out, S("All is under MASTER_KEY. Who has not come back since it was "
				  "changed signs in again\nonce MASTER_KEY_PREVIOUS is gone; after "
				  "JWT_REFRESH_EXPIRY that is nobody.\n"));
}

int keys_command_reseal(const struct command_job *job, struct buf *out)
{
	struct report reports[MODULES_MAX];
	struct resealed all = { 0 };
	size_t count = 0;
	int r;

	if (!job->server->former_key)
		return fail(ERR_INVALID, "MASTER_KEY_PREVIOUS is not set: there is no other key to "
					 "open anything with");
	CHECK(job->server->module_count <= LEN(reports));
	r = reseal_all(job->server, reports, &count);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		all.sealed += reports[i].found.sealed;
		all.lost += reports[i].found.lost;
	}
	if (job->json)
		r = write_reports_json(reports, count, &all, out);
	else
		write_reports(reports, count, &all, out);
	return r < 0 ? r : all.lost ? KEYS_LOST : 0;
}

/* --- the command line ------------------------------------------------------------------------- */

static int run(const struct command_line *line, const char *name, command_fn *fn)
{
	struct command_job job = { .json = line->options & COMMAND_JSON };
	struct buf out;
	int r;

	if (command_load(&job.config) < 0)
		return COMMAND_FAILED;
	if (line->options & COMMAND_NOW)
		job.argument = S("now");
	buf_init(&out, COMMAND_OUTPUT_MAX);
	r = command_by_server(name, NULL, &job, &out);
	if (r == -ERR_NOT_FOUND)
		r = offline_run(fn, &job, &out);
	r = r < 0 ? (buf_done(&out), command_fail("")) : command_print(&out, r);
	config_free(job.config);
	return r;
}

static int run_rotate(const struct command_line *line)
{
	return run(line, "keys rotate", keys_command_rotate);
}

static int run_reseal(const struct command_line *line)
{
	return run(line, "keys reseal", keys_command_reseal);
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
	{ "keys", "reseal", .options = COMMAND_JSON,
		.text = "Seal under MASTER_KEY what is under MASTER_KEY_PREVIOUS.",
		.more = "For a change of MASTER_KEY: give servers both keys, then call this, then "
			"take\n"
			"MASTER_KEY_PREVIOUS away. It can be stopped anywhere and called again.\n"
			"Exit codes: 0 done, 1 failed, 2 used wrongly, 3 something opens under "
			"neither key.",
		.run = run_reseal },
};

const struct command_family keys_commands = { commands, LEN(commands) };
