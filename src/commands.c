/* The table of commands: which words name one, what it takes, and its help. */
#include "commands.h"

#include "app.h"
#include "base/version.h"
#include "command.h"
#include "commands_admin.h"
#include "commands_audit.h"
#include "commands_backup.h"
#include "commands_jobs.h"
#include "commands_keys.h"
#include "commands_migrate.h"
#include "commands_rbac.h"

#include <stdio.h>

enum { WORDS_SIZE = 64, TEXT_COLUMN = 36 };

/* --- for all commands ------------------------------------------------------------ */

int command_fail(const char *while_doing)
{
	char text[ERR_TEXT_MAX * ERR_FRAMES];

	(void)err_describe(err_last(), text, sizeof(text));
	(void)fprintf(stderr, "bulkhead: %s%s\n", while_doing, text);
	return COMMAND_FAILED;
}

int command_print(struct buf *out, int exit_code)
{
	int r = out->failed;

	if (r == 0 && out->len > 0 && fwrite(out->at, 1, out->len, stdout) != out->len)
		r = fail(ERR_IO, "cannot write to standard output");
	if (r == 0 && fflush(stdout) != 0)
		r = fail(ERR_IO, "cannot write to standard output");
	buf_done(out);
	return r < 0 ? command_fail("") : exit_code;
}

int command_load(const struct config **ret)
{
	struct config_source source = config_process();
	struct config_report report;
	struct buf out;
	int r = config_load(&source, &report, ret);

	buf_init(&out, COMMAND_OUTPUT_MAX);
	config_report_write(&report, &out);
	if (out.len)
		(void)fwrite(out.at, 1, out.len, stderr);
	buf_done(&out);
	if (r < 0 && report.problems == 0)
		(void)command_fail("configuration: ");
	config_report_done(&report);
	return r;
}

/* --- serve, config, version --------------------------------------------------------- */

static int run_serve(const struct command_line *line)
{
	const struct config *config;
	struct app app;
	int r;

	if (command_load(&config) < 0)
		return COMMAND_FAILED;

	r = app_open(&app, config, line->options & COMMAND_REPLACE);
	if (r < 0) {
		(void)command_fail("");
	} else {
		r = app_run(&app);
		app_close(&app);
	}
	config_free(config);
	return r < 0 ? COMMAND_FAILED : COMMAND_DONE;
}

static int run_config_check(const struct command_line *line)
{
	struct config_source source = config_process();
	const struct config *config = NULL;
	bool json = line->options & COMMAND_JSON;
	struct config_report report;
	struct buf out;
	int r = config_load(&source, &report, &config);

	buf_init(&out, COMMAND_OUTPUT_MAX);
	if (json)
		config_report_write_json(&report, &out);
	else
		config_report_write(&report, &out);
	if (r == 0 && !json && report.warnings == 0)
		buf_append(&out, S("the configuration is valid\n"));
	config_report_done(&report);
	config_free(config);
	return command_print(&out, r < 0 ? COMMAND_FAILED : COMMAND_DONE);
}

static int run_config_print(const struct command_line *line)
{
	const struct config *config;
	struct buf out;

	if (command_load(&config) < 0)
		return COMMAND_FAILED;

	buf_init(&out, COMMAND_OUTPUT_MAX);
	if (line->options & COMMAND_JSON)
		config_print_json(config, &out);
	else
		config_print(config, &out);
	config_free(config);
	return command_print(&out, COMMAND_DONE);
}

static int run_config_doc(const struct command_line *line)
{
	struct buf out;

	(void)line;
	buf_init(&out, COMMAND_OUTPUT_MAX);
	config_doc(&config_table, &out);
	return command_print(&out, COMMAND_DONE);
}

static int run_version(const struct command_line *line)
{
	(void)printf(line->options & COMMAND_JSON ? "{\"version\":\"%s\"}\n" : "bulkhead %s\n",
		BULKHEAD_VERSION);
	return COMMAND_DONE;
}

/* --- what a running server does --------------------------------------------------------- */

/* Runs the work of a command with the configuration and prints what comes of it. `by_server`: the
 * name that a running server knows it by; NULL: it is done here in any case. */
static int run_job(const struct command_line *line, const char *by_server, command_fn *here)
{
	struct command_job job = { .json = line->options & COMMAND_JSON,
		.argument = str_from_c(line->count ? line->operands[0] : NULL) };
	struct buf out;
	int r;

	if (command_load(&job.config) < 0)
		return COMMAND_FAILED;

	buf_init(&out, COMMAND_OUTPUT_MAX);
	r = by_server ? command_by_server(by_server, here, &job, &out) : here(&job, &out);
	if (r < 0) {
		buf_done(&out);
		r = command_fail("");
	} else {
		r = command_print(&out, r);
	}
	config_free(job.config);
	return r;
}

static int run_ping(const struct command_line *line)
{
	return run_job(line, "ping", NULL);
}

static int run_stop(const struct command_line *line)
{
	return run_job(line, "stop", NULL);
}

static int run_backup_create(const struct command_line *line)
{
	return run_job(line, "backup create", backup_command_create);
}

static int run_backup_list(const struct command_line *line)
{
	return run_job(line, NULL, backup_command_list);
}

static int run_backup_verify(const struct command_line *line)
{
	return run_job(line, NULL, backup_command_verify);
}

static int run_backup_restore(const struct command_line *line)
{
	return run_job(line, NULL, backup_command_restore);
}

static int run_backup_check(const struct command_line *line)
{
	return run_job(line, "backup check", backup_command_check);
}

/* --- the table ----------------------------------------------------------------------------- */

static const struct command server_commands[] = {
	{ "serve", .text = "Run the server.", .options = COMMAND_REPLACE, .run = run_serve },
	{ "ping", .text = "Ask the server that runs on DATA_DIR whether it does.",
		.options = COMMAND_JSON, .run = run_ping },
	{ "stop", .text = "Stop it as SIGTERM does.", .run = run_stop },
};

static const struct command other_commands[] = {
	{ "backup", "create", .text = "Copy the database, while the server runs or not.",
		.options = COMMAND_JSON, .run = run_backup_create },
	{ "backup", "list", .text = "List the backups, the newest first.", .options = COMMAND_JSON,
		.run = run_backup_list },
	{ "backup", "verify", "NAME", 1, 1, COMMAND_JSON, "Read all of a backup and check it.",
		.run = run_backup_verify },
	{ "backup", "restore", "NAME", 1, 1, COMMAND_JSON,
		"Put a backup in the place of the database. Stop the server first.",
		.run = run_backup_restore },
	{ "backup", "check", .text = "Check the database itself.", .run = run_backup_check },
	{ "config", "check", .text = "Check the configuration and list every problem.",
		.options = COMMAND_JSON, .run = run_config_check },
	{ "config", "print",
		.text = "Print what is in force and where it comes from, without secrets.",
		.options = COMMAND_JSON, .run = run_config_print },
	{ "config", "doc", .text = "Print the reference of all settings (Markdown).",
		.run = run_config_doc },
	{ "version", .text = "Print the version.", .options = COMMAND_JSON, .run = run_version },
};

/* In the order of the help. */
static const struct command_family *const families[] = {
	&(const struct command_family){ server_commands, LEN(server_commands) },
	&migrate_commands,
	&admin_commands,
	&keys_commands,
	&rbac_commands,
	&audit_commands,
	&jobs_commands,
	&(const struct command_family){ other_commands, LEN(other_commands) },
};

#define VALUE(member) offsetof(struct command_line, member)

static const struct {
	const char *text;
	enum command_option option;
	const char *means;
	const char *word; /* how help calls the word that it takes; NULL: none */
	size_t value;     /* where in struct command_line that goes */
} options[] = {
	{ "--json", COMMAND_JSON, "print JSON" },
	{ "--dry-run", COMMAND_DRY_RUN, "only tell what would be done" },
	{ "--replace", COMMAND_REPLACE, "take over from a server that runs" },
	{ "--now", COMMAND_NOW, "at once" },
	{ "--csv", COMMAND_CSV, "print CSV" },
	{ "--name", COMMAND_NAME, "the name for people", "NAME", VALUE(name) },
	{ "--tenant", COMMAND_TENANT, "whose, by its slug; system: the installation's own", "SLUG",
		VALUE(tenant) },
	{ "--queue", COMMAND_QUEUE, "of that queue", "NAME", VALUE(queue) },
	{ "--state", COMMAND_STATE, "in that state", "STATE", VALUE(state) },
	{ "--older-than", COMMAND_OLDER, "that have ended so long ago: 12h, 7d", "TIME",
		VALUE(older) },
	{ "--limit", COMMAND_LIMIT, "how many at most", "NUMBER", VALUE(limit) },
	{ "--cursor", COMMAND_CURSOR, "where to go on", "TEXT", VALUE(cursor) },
	{ "--password-stdin", COMMAND_PASSWORD, "read the password from standard input" },
};

/* --- help ------------------------------------------------------------------------------------ */

/* "--name NAME"; its length. */
static int option_words(size_t i, char (*ret_words)[WORDS_SIZE])
{
	const char *word = options[i].word;

	return snprintf(*ret_words, sizeof(*ret_words), "%s%s%s", options[i].text, word ? " " : "",
		word ? word : "");
}

static void help_options(FILE *to, const struct command *command)
{
	char words[WORDS_SIZE];

	for (size_t i = 0; i < LEN(options); i++)
		if (command->options & options[i].option) {
			(void)option_words(i, &words);
			(void)fprintf(to, " [%s]", words);
		}
}

/* A line for each, the meanings below each other. */
static void help_meanings(FILE *to, const struct command *command)
{
	char words[WORDS_SIZE];
	int width = 0;

	for (size_t i = 0; i < LEN(options); i++)
		if (command->options & options[i].option) {
			int len = option_words(i, &words);

			width = len > width ? len : width;
		}
	for (size_t i = 0; i < LEN(options); i++)
		if (command->options & options[i].option) {
			(void)option_words(i, &words);
			(void)fprintf(to, "\n  %-*s  %s", width, words, options[i].means);
		}
}

static void help_line(FILE *to, const struct command *command)
{
	char words[WORDS_SIZE];
	int len = snprintf(words, sizeof(words), "%s%s%s%s%s", command->name,
		command->action ? " " : "", command->action ? command->action : "",
		command->operands ? " " : "", command->operands ? command->operands : "");

	(void)fprintf(to, "  %s%*s%s", words, len < TEXT_COLUMN ? TEXT_COLUMN - len : 1, "",
		command->text);
	help_options(to, command);
	(void)fputc('\n', to);
}

/* All commands, or (name) those of a first word. */
static void help_all(FILE *to, const char *name)
{
	(void)fprintf(to, "Usage: bulkhead COMMAND [OPTION...] [--help]\n\n");
	for (size_t i = 0; i < LEN(families); i++)
		for (size_t j = 0; j < families[i]->count; j++)
			if (!name || strcmp(families[i]->at[j].name, name) == 0)
				help_line(to, &families[i]->at[j]);
	(void)fprintf(to,
		"\nSettings come from the environment and from .env; see bulkhead config doc.\n"
		"Exit codes: 0 done, 1 failed, 2 used wrongly.\n");
}

static void help_one(FILE *to, const struct command *command)
{
	(void)fprintf(to, "Usage: bulkhead %s", command->name);
	if (command->action)
		(void)fprintf(to, " %s", command->action);
	if (command->operands)
		(void)fprintf(to, " %s", command->operands);
	help_options(to, command);
	(void)fprintf(to, "\n\n%s\n", command->text);
	if (command->more)
		(void)fprintf(to, "%s\n", command->more);
	help_meanings(to, command);
	(void)fputs(command->options ? "\n" : "", to);
}

/* --- which one it is ------------------------------------------------------ */

/* The command of these words (NULL behind the last one), and how many of them are its own. */
static const struct command *find(const char *const *words, size_t *ret_own)
{
	for (size_t i = 0; i < LEN(families) && words[0]; i++)
		for (size_t j = 0; j < families[i]->count; j++) {
			const struct command *command = &families[i]->at[j];

			if (strcmp(command->name, words[0]) != 0)
				continue;
			if (command->action &&
				!(words[1] && strcmp(command->action, words[1]) == 0))
				continue;
			*ret_own = command->action ? 2 : 1;
			return command;
		}
	return NULL;
}

static bool is_first_word(const char *word)
{
	for (size_t i = 0; i < LEN(families); i++)
		for (size_t j = 0; j < families[i]->count; j++)
			if (word && strcmp(families[i]->at[j].name, word) == 0)
				return true;
	return false;
}

/* The place of an option in the table, or -1. */
static int option_of(const char *text)
{
	for (size_t i = 0; i < LEN(options); i++)
		if (strcmp(text, options[i].text) == 0)
			return (int)i;
	return -1;
}

/* Takes an option with the word behind it if it wants one; the number of words, or -1. */
static int take_option(struct command_line *line, int option, const char *next)
{
	const char **value;

	line->options |= options[option].option;
	if (!options[option].word)
		return 1;
	if (!next)
		return (void)fprintf(stderr, "bulkhead: %s wants a word behind it\n",
			       options[option].text),
		       -1;
	value = (const char **)(void *)((char *)line + options[option].value);
	*value = next;
	return 2;
}

/* Moves the words to the front of argv and a NULL behind them; the number of words, or -1 for an
 * option that there is not. Behind "--" everything is a word. */
static int sort_words(int argc, char **argv, struct command_line *line, bool *ret_help)
{
	bool ended = false;
	int count = 0;

	for (int i = 1; i < argc; i++) {
		int option = ended ? -1 : option_of(argv[i]), took;

		if (!ended && strcmp(argv[i], "--") == 0) {
			ended = true;
		} else if (!ended &&
			   (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
			*ret_help = true;
		} else if (option >= 0) {
			took = take_option(line, option, argv[i + 1]);
			if (took < 0)
				return -1;
			i += took - 1;
		} else if (!ended && argv[i][0] == '-' && argv[i][1]) {
			(void)fprintf(stderr, "bulkhead: there is no option %s\n", argv[i]);
			return -1;
		} else {
			argv[count++] = argv[i];
		}
	}
	argv[count] = NULL;
	return count;
}

static bool fits(const struct command *command, const struct command_line *line)
{
	return (line->options & ~command->options) == 0 && line->count >= command->least &&
	       line->count <= command->most;
}

int commands_run(int argc, char **argv)
{
	const struct command *command;
	struct command_line line = { 0 };
	bool wants_help = false;
	size_t own = 0;
	int count = argc > 0 ? sort_words(argc, argv, &line, &wants_help) : 0;
	const char *const *words = (const char *const *)argv;

	if (count < 0)
		return COMMAND_USAGE;
	if (count > 0 && strcmp(words[0], "help") == 0) {
		wants_help = true;
		words++;
		count--;
	}
	command = count > 0 ? find(words, &own) : NULL;
	if (wants_help) {
		if (command)
			help_one(stdout, command);
		else
			help_all(stdout, count > 0 && is_first_word(words[0]) ? words[0] : NULL);
		return COMMAND_DONE;
	}
	line.operands = words + own;
	line.count = (size_t)count - own;
	if (command && fits(command, &line))
		return command->run(&line);

	if (command)
		help_one(stderr, command);
	else
		help_all(stderr, count > 0 && is_first_word(words[0]) ? words[0] : NULL);
	return COMMAND_USAGE;
}
