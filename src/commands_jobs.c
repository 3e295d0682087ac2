/* The command line of jobs: reads what is wanted, and has it done by the server that runs, or here.
 */
#include "commands_jobs.h"

#include "base/err.h"
#include "base/num.h"
#include "commands_backup.h"
#include "offline.h"
#include "schema/encode.h"
#include "json/writer.h"

/* clang-format off */
const struct schema jobs_command_schema = SCHEMA(jobs_command, "What is wanted of jobs.",
	FIELD(jobs_command, tenant, "Whose."),
	FIELD(jobs_command, id, "Which job."),
	FIELD(jobs_command, role, "Which role of the database."),
	FIELD(jobs_command, queue, "Of which queue."),
	FIELD(jobs_command, state, "In which state."),
	FIELD(jobs_command, cursor, "Behind which job."),
	FIELD(jobs_command, limit, "How many."),
	FIELD(jobs_command, older_ms, "How old."));
/* clang-format on */

int jobs_commands_init(void)
{
	static bool compiled;
	int r = compiled ? 0 : schema_compile(&jobs_command_schema);

	compiled = compiled || r == 0;
	return r;
}

static int read_number(const char *text, int64_t *ret)
{
	if (!text)
		return 0;
	if (!num_parse_i64(str_from_c(text), ret) || *ret < 1)
		return fail(ERR_INVALID, "--limit wants a number from 1 on");
	return 0;
}

static int read_age(const char *text, int64_t *ret)
{
	uint64_t age_ns;

	if (!text)
		return 0;
	if (!num_parse_duration(str_from_c(text), &age_ns))
		return fail(ERR_INVALID, "--older-than wants a time such as 12h or 7d");
	*ret = (int64_t)(age_ns / MILLISECOND);
	return 0;
}

/* What the first operand is. */
enum operand { OF_JOB, OF_QUEUE, OF_ROLE };

static struct str operand_of(const struct command_line *line, enum operand is, enum operand want)
{
	return str_from_c(is == want && line->count ? line->operands[0] : NULL);
}

/* Behind a role stands a tenant, or "any", which is none. */
static struct str tenant_of(const struct command_line *line, enum operand is)
{
	struct str whom;

	if (is != OF_ROLE || line->count < 2)
		return str_from_c(line->tenant);
	whom = str_from_c(line->operands[1]);
	return str_eq(whom, S("any")) ? S("") : whom;
}

static int read_line(const struct command_line *line, enum operand is, struct jobs_command *ret)
{
	struct str queue = operand_of(line, is, OF_QUEUE);
	int r;

	*ret = (struct jobs_command){
		.tenant = tenant_of(line, is),
		.queue = queue.len ? queue : str_from_c(line->queue),
		.id = operand_of(line, is, OF_JOB),
		.role = operand_of(line, is, OF_ROLE),
		.state = str_from_c(line->state),
		.cursor = str_from_c(line->cursor),
	};
	r = read_number(line->limit, &ret->limit);
	return r < 0 ? r : read_age(line->older, &ret->older_ms);
}

static int write_argument(const struct jobs_command *command, struct buf *argument)
{
	struct json_writer writer;

	json_writer_init(&writer, argument);
	schema_encode(&jobs_command_schema, SCHEMA_ALL, command, &writer);
	return json_writer_done(&writer);
}

static int do_job(const struct control_command *how, struct command_job *job)
{
	struct buf out;
	int r;

	if (command_load(&job->config) < 0)
		return COMMAND_FAILED;
	buf_init(&out, COMMAND_OUTPUT_MAX);
	r = command_by_server(how->name, NULL, job, &out);
	if (r == -ERR_NOT_FOUND)
		r = offline_run(how->run, job, &out);
	r = r < 0 ? (buf_done(&out), command_fail("")) : command_print(&out, r);
	config_free(job->config);
	return r;
}

static int run(const struct command_line *line, command_fn *fn, enum operand is)
{
	static const struct control_command all[] = { JOBS_CONTROL_COMMANDS };
	struct command_job job = { .json = line->options & COMMAND_JSON };
	const struct control_command *how = all;
	struct jobs_command command;
	struct buf argument;
	int r = jobs_commands_init();

	while (how->run != fn)
		how++;
	buf_init(&argument, CONTROL_ARGUMENT_MAX);
	if (r == 0)
		r = read_line(line, is, &command);
	if (r == 0)
		r = write_argument(&command, &argument);
	job.argument = buf_str(&argument);
	r = r < 0 ? command_fail("") : do_job(how, &job);
	buf_done(&argument);
	return r;
}

#define RUN(what, is)                                                                              \
	static int run_##what(const struct command_line *line)                                     \
	{                                                                                          \
		return run(line, jobs_command_##what, is);                                         \
	}

RUN(list, OF_JOB)
RUN(show, OF_JOB)
RUN(retry, OF_JOB)
RUN(cancel, OF_JOB)
RUN(remove, OF_JOB)
RUN(clean, OF_JOB)
RUN(pause, OF_QUEUE)
RUN(resume, OF_QUEUE)
RUN(drain, OF_QUEUE)
RUN(queues, OF_JOB)
RUN(workers, OF_JOB)
RUN(stats, OF_JOB)
RUN(callers, OF_JOB)
RUN(grant, OF_ROLE)
RUN(revoke, OF_ROLE)

/* clang-format off */
#define ALL    (COMMAND_JSON | COMMAND_TENANT)
#define FILTER (ALL | COMMAND_QUEUE | COMMAND_STATE | COMMAND_LIMIT)

static const struct command commands[] = {
	{ "jobs", "list", NULL, 0, 0, FILTER | COMMAND_CURSOR, "List the jobs of a tenant, the newest first.", NULL, run_list },
	{ "jobs", "show", "ID", 1, 1, ALL, "Show a job, with why its attempts failed.", NULL, run_show },
	{ "jobs", "retry", "[ID]", 0, 1, FILTER, "Try a job again that has ended, or all that were discarded.", NULL, run_retry },
	{ "jobs", "cancel", "[ID]", 0, 1, FILTER, "Call a job off, or all in a state.", NULL, run_cancel },
	{ "jobs", "remove", "ID", 1, 1, ALL, "Remove a job that does not run.", NULL, run_remove },
	{ "jobs", "clean", NULL, 0, 0, FILTER | COMMAND_OLDER, "Remove jobs that have ended.",
		"--state completed, discarded or cancelled says which.", run_clean },
	{ "jobs", "pause", "QUEUE", 1, 1, ALL, "Start no more jobs of a queue, of all tenants or of one.", NULL, run_pause },
	{ "jobs", "resume", "QUEUE", 1, 1, ALL, "Start jobs of a queue again.", NULL, run_resume },
	{ "jobs", "drain", "QUEUE", 1, 1, ALL, "Call off what is ready in a queue, of all tenants or of one.", NULL, run_drain },
	{ "jobs", "queues", NULL, 0, 0, ALL, "List queues and what is in them, of all tenants or of one.", NULL, run_queues },
	{ "jobs", "workers", NULL, 0, 0, ALL, "List who takes jobs.", NULL, run_workers },
	{ "jobs", "stats", NULL, 0, 0, ALL, "Tell how many jobs there are, and how it goes.",
		"Exit codes: 0 all is well, 1 it failed, 2 used wrongly, 3 a queue is beyond its alarms.", run_stats },
	{ "jobs", "callers", NULL, 0, 0, COMMAND_JSON, "List the roles of PostgreSQL that may call bulkhead.enqueue and bulkhead.complete.", NULL, run_callers },
	{ "jobs", "grant", "ROLE TENANT|any", 2, 2, COMMAND_JSON, "Let a role of PostgreSQL add and complete jobs of a tenant, or of any.",
		"TENANT is a slug. A role that is listed already is changed; with any it names the tenant in each call.", run_grant },
	{ "jobs", "revoke", "ROLE", 1, 1, COMMAND_JSON, "Let a role of PostgreSQL add and complete no more jobs.", NULL, run_revoke },
};
/* clang-format on */

const struct command_family jobs_commands = { commands, LEN(commands) };
