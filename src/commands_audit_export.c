/*
 * bulkhead audit export: the log of a tenant on standard output. A running server gives it part
 * after part, so that neither of the two needs memory for all; when there is none, this process
 * opens the database itself.
 */
#include "base/err.h"
#include "base/num.h"
#include "commands_audit.h"
#include "commands_backup.h"
#include "http/server.h"
#include "modules/audit/audit_dump.h"
#include "modules/tenants/tenants.h"
#include "offline.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { ARENA_MAX = 1024 * 1024, PLACE_MAX = 200 };

/* --- where an export is: "jsonl TENANT ID COUNT", "-" for no id yet, and "over" in the end --- */

static void write_place(const struct audit_dump *dump, char at[PLACE_MAX])
{
	char tenant[UUID_TEXT_LEN];

	uuid_write(tenant, &dump->tenant);
	(void)snprintf(at, PLACE_MAX, "%s %.*s %.*s %lld", dump->csv ? "csv" : "jsonl",
		UUID_TEXT_LEN, tenant, dump->begun ? UUID_TEXT_LEN : 1,
		dump->begun ? dump->after : "-", (long long)dump->count);
}

static int find_tenant(struct store *store, struct str name, struct uuid *ret)
{
	struct tenant tenant;
	struct arena arena;
	int r;

	if (str_eq(name, S("system"))) {
		*ret = tenant_system;
		return 0;
	}
	if (uuid_parse(name, ret))
		return 0;
	arena_init(&arena, 4 * KILOBYTE, ARENA_MAX);
	r = tenant_find_slug(store, name, &arena, &tenant);
	if (r == 0)
		CHECK(uuid_parse(tenant.tenant_id, ret));
	else if (r == -ERR_NOT_FOUND)
		r = fail(ERR_NOT_FOUND, "there is no tenant %.*s", STR_ARG(name));
	arena_done(&arena);
	return r;
}

/* The first time the tenant may be a slug. */
static int read_place(struct store *store, struct str text, struct audit_dump *ret)
{
	struct str format = str_cut(&text, ' '), tenant = str_cut(&text, ' ');
	struct str after = str_cut(&text, ' ');
	struct uuid id;

	*ret = (struct audit_dump){ .csv = str_eq(format, S("csv")) };
	if ((!ret->csv && !str_eq(format, S("jsonl"))) || tenant.len == 0 ||
		!num_parse_i64(text, &ret->count) || ret->count < 0)
		return fail(ERR_INVALID, "this is no place in an export");
	if (!str_eq(after, S("-"))) {
		if (!uuid_parse(after, &id))
			return fail(ERR_INVALID, "this is no place in an export");
		uuid_write(ret->after, &id);
		ret->begun = true;
	}
	return find_tenant(store, tenant, &ret->tenant);
}

/* --- the work ------------------------------------------------------------- */

/* A part, behind a line that says where the next one begins. */
int audit_command_export(const struct command_job *job, struct buf *out)
{
	struct store *store = job->server->store;
	char place[PLACE_MAX];
	struct audit_dump dump;
	struct buf part;
	int r = read_place(store, job->argument, &dump);

	buf_init(&part, COMMAND_OUTPUT_MAX);
	if (r == 0)
		r = audit_dump_part(store, &dump, &part);
	if (r == 0) {
		write_place(&dump, place);
		buf_append(out, str_from_c(dump.over ? "over" : place));
		buf_byte(out, '\n');
		buf_append(out, buf_str(&part));
	}
	buf_done(&part);
	return r < 0 ? r : out->failed;
}

static int print(struct str text)
{
	if (fwrite(text.at, 1, text.len, stdout) != text.len || fflush(stdout) != 0)
		return fail(ERR_IO, "standard output: %s", err_errno_text(errno));
	return 0;
}

/* All of it, while nobody else has the database. */
static int export_here(const struct command_job *job, struct buf *out)
{
	struct store *store = job->server->store;
	struct audit_dump dump;
	struct buf part;
	int r = read_place(store, job->argument, &dump);

	(void)out;
	buf_init(&part, COMMAND_OUTPUT_MAX);
	while (r == 0 && !dump.over) {
		r = audit_dump_part(store, &dump, &part);
		if (r == 0)
			r = print(buf_str(&part));
		buf_reset(&part);
	}
	buf_done(&part);
	return r;
}

/* --- the command line ----------------------------------------------------- */

/* One part from the server; where the next one begins takes the place of `place`. 1 at the end. */
static int export_part(struct command_job *job, char place[PLACE_MAX])
{
	struct buf out;
	struct str rest, next;
	int r;

	job->argument = str_from_c(place);
	buf_init(&out, COMMAND_OUTPUT_MAX);
	r = command_by_server("audit export", NULL, job, &out);
	if (r == 0) {
		rest = buf_str(&out);
		next = str_cut(&rest, '\n');
		r = print(rest);
		if (r == 0 && (next.len == 0 || next.len >= PLACE_MAX))
			r = fail(ERR_INTERNAL, "the server does not say where to go on");
		if (r == 0) {
			memcpy(place, next.at, next.len);
			place[next.len] = '\0';
			r = str_eq(next, S("over"));
		}
	}
	buf_done(&out);
	return r;
}

static int export_all(struct command_job *job, char place[PLACE_MAX])
{
	struct buf none;
	int r = export_part(job, place);

	if (r == -ERR_NOT_FOUND) { /* nobody serves; a tenant that is not there is another error */
		job->argument = str_from_c(place);
		buf_init(&none, COMMAND_OUTPUT_MAX);
		r = offline_run(export_here, job, &none);
		buf_done(&none);
		return r;
	}
	while (r == 0)
		r = export_part(job, place);
	return MIN(r, 0);
}

int audit_run_export(const struct command_line *line)
{
	bool csv = line->options & COMMAND_CSV;
	struct command_job job = { .json = !csv };
	char place[PLACE_MAX];
	int len = snprintf(
		place, sizeof(place), "%s %s - 0", csv ? "csv" : "jsonl", line->operands[0]);
	int r;

	if (len < 0 || len >= PLACE_MAX || strpbrk(line->operands[0], " \n") ||
		(csv && (line->options & COMMAND_JSON))) {
		(void)fail(ERR_INVALID, csv && (line->options & COMMAND_JSON)
						? "either --json or --csv"
						: "a tenant is a slug, an id, or system");
		(void)command_fail("");
		return COMMAND_USAGE;
	}
	if (command_load(&job.config) < 0)
		return COMMAND_FAILED;
	r = export_all(&job, place);
	if (r < 0)
		(void)command_fail("");
	config_free(job.config);
	return r < 0 ? COMMAND_FAILED : COMMAND_DONE;
}
