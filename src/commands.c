/* Which command does what; each with --help, and --json where there is something to print. */
#include "commands.h"

#include "app.h"
#include "base/version.h"
#include "commands_backup.h"
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 2, OUTPUT_MAX = 4 * 1024 * 1024 };

/* What stands behind the command's words. */
struct command_args {
	bool json;
	bool replace;
	const char *argument; /* NULL unless the command takes one */
};

struct command {
	const char *name;
	const char *action;   /* second word, or NULL */
	const char *argument; /* third word, for help; NULL: none */
	const char *text;     /* for help */
	bool takes_json;
	bool takes_replace;
	int (*run)(const struct command_args *args);
};

static int say_error(const char *while_doing)
{
	char text[ERR_TEXT_MAX * ERR_FRAMES];

	(void)err_describe(err_last(), text, sizeof(text));
	(void)fprintf(stderr, "bulkhead: %s%s\n", while_doing, text);
	return EXIT_FAILURE;
}

static int print(struct buf *out, int exit_code)
{
	int r = out->failed;

	if (r == 0 && fwrite(out->at, 1, out->len, stdout) != out->len)
		r = fail(ERR_IO, "cannot write to standard output");
	if (r == 0 && fflush(stdout) != 0)
		r = fail(ERR_IO, "cannot write to standard output");
	buf_done(out);
	return r < 0 ? say_error("") : exit_code;
}

/* Loads the configuration; what is wrong or suspicious goes to standard error. */
static int load(const struct config **ret)
{
	struct config_source source = config_process();
	struct config_report report;
	struct buf out;
	int r = config_load(&source, &report, ret);

	buf_init(&out, OUTPUT_MAX);
	config_report_write(&report, &out);
	if (out.len)
		(void)fwrite(out.at, 1, out.len, stderr);
	buf_done(&out);
	if (r < 0 && report.problems == 0)
		(void)say_error("configuration: ");
	config_report_done(&report);
	return r;
}

static int run_serve(const struct command_args *args)
{
	const struct config *config;
	struct app app;
	int r;

	if (load(&config) < 0)
		return EXIT_FAILURE;

	r = app_open(&app, config, args->replace);
	if (r < 0) {
		(void)say_error("");
	} else {
		r = app_run(&app);
		app_close(&app);
	}
	config_free(config);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run_config_check(const struct command_args *args)
{
	struct config_source source = config_process();
	const struct config *config = NULL;
	struct config_report report;
	struct buf out;
	int r = config_load(&source, &report, &config);

	buf_init(&out, OUTPUT_MAX);
	if (args->json)
		config_report_write_json(&report, &out);
	else
		config_report_write(&report, &out);
	if (r == 0 && !args->json && report.warnings == 0)
		buf_append(&out, S("the configuration is valid\n"));
	config_report_done(&report);
	config_free(config);
	return print(&out, r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

static int run_config_print(const struct command_args *args)
{
	const struct config *config;
	struct buf out;

	if (load(&config) < 0)
		return EXIT_FAILURE;

	buf_init(&out, OUTPUT_MAX);
	if (args->json)
		config_print_json(config, &out);
	else
		config_print(config, &out);
	config_free(config);
	return print(&out, EXIT_SUCCESS);
}

static int run_config_doc(const struct command_args *args)
{
	struct buf out;

	(void)args;
	buf_init(&out, OUTPUT_MAX);
	config_doc(&config_table, &out);
	return print(&out, EXIT_SUCCESS);
}

static int run_version(const struct command_args *args)
{
	(void)printf(args->json ? "{\"version\":\"%s\"}\n" : "bulkhead %s\n", BULKHEAD_VERSION);
	return EXIT_SUCCESS;
}

/* Runs the work of a command with the configuration and prints what comes of it. `by_server`: the
 * name that a running server knows it by; NULL: it is done here in any case. */
static int run_job(const struct command_args *args, const char *by_server, command_fn *here)
{
	struct command_job job = { .json = args->json, .argument = str_from_c(args->argument) };
	struct buf out;
	int r;

	if (load(&job.config) < 0)
		return EXIT_FAILURE;

	buf_init(&out, OUTPUT_MAX);
	r = by_server ? command_by_server(by_server, here, &job, &out) : here(&job, &out);
	if (r < 0) {
		buf_done(&out);
		r = say_error("");
	} else {
		r = print(&out, r);
	}
	config_free(job.config);
	return r;
}

static int run_ping(const struct command_args *args)
{
	return run_job(args, "ping", NULL);
}

static int run_stop(const struct command_args *args)
{
	return run_job(args, "stop", NULL);
}

static int run_backup_create(const struct command_args *args)
{
	return run_job(args, "backup create", backup_command_create);
}

static int run_backup_list(const struct command_args *args)
{
	return run_job(args, NULL, backup_command_list);
}

static int run_backup_verify(const struct command_args *args)
{
	return run_job(args, NULL, backup_command_verify);
}

static int run_backup_restore(const struct command_args *args)
{
	return run_job(args, NULL, backup_command_restore);
}

static int run_backup_check(const struct command_args *args)
{
	return run_job(args, "backup check", backup_command_check);
}

static const struct command commands[] = {
	{ "serve", .text = "Run the server. --replace takes over from one that runs.",
		.takes_replace = true, .run = run_serve },
	{ "ping", .text = "Ask the server that runs on DATA_DIR whether it does.",
		.takes_json = true, .run = run_ping },
	{ "stop", .text = "Stop it as SIGTERM does.", .run = run_stop },
	{ "backup", "create", .text = "Copy the database, while the server runs or not.",
		.takes_json = true, .run = run_backup_create },
	{ "backup", "list", .text = "List the backups, the newest first.", .takes_json = true,
		.run = run_backup_list },
	{ "backup", "verify", "NAME", .text = "Read all of a backup and check it.",
		.takes_json = true, .run = run_backup_verify },
	{ "backup", "restore", "NAME",
		.text = "Put a backup in the place of the database. Stop the server first.",
		.takes_json = true, .run = run_backup_restore },
	{ "backup", "check", .text = "Check the database itself.", .run = run_backup_check },
	{ "config", "check", .text = "Check the configuration and list every problem.",
		.takes_json = true, .run = run_config_check },
	{ "config", "print",
		.text = "Print what is in force and where it comes from, without secrets.",
		.takes_json = true, .run = run_config_print },
	{ "config", "doc", .text = "Print the reference of all settings (Markdown).",
		.run = run_config_doc },
	{ "version", .text = "Print the version.", .takes_json = true, .run = run_version },
};

static void help(FILE *to, const char *name)
{
	(void)fprintf(to, "Usage: bulkhead COMMAND [--json] [--help]\n\n");
	for (size_t i = 0; i < LEN(commands); i++) {
		const struct command *command = &commands[i];
		char words[64];

		if (name && strcmp(command->name, name) != 0)
			continue;
		(void)snprintf(words, sizeof(words), "%s %s %s", command->name,
			command->action ? command->action : "",
			command->argument ? command->argument : "");
		(void)fprintf(to, "  %-22s%s%s\n", words, command->text,
			command->takes_json ? " [--json]" : "");
	}
	(void)fprintf(to,
		"\nSettings come from the environment and from .env; see bulkhead config doc.\n"
		"Exit codes: 0 done, 1 failed, 2 used wrongly.\n");
}

static const struct command *find(const char *name, const char *action)
{
	for (size_t i = 0; i < LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0 &&
			(commands[i].action == NULL) == (action == NULL) &&
			(!action || strcmp(commands[i].action, action) == 0))
			return &commands[i];
	return NULL;
}

static bool named(const char *name)
{
	for (size_t i = 0; i < LEN(commands); i++)
		if (name && strcmp(commands[i].name, name) == 0)
			return true;
	return false;
}

/* True when what stands behind the command's words is what it takes. */
static bool fits(const struct command *command, const struct command_args *args)
{
	return (!args->json || command->takes_json) && (!args->replace || command->takes_replace) &&
	       (args->argument == NULL) == (command->argument == NULL);
}

int commands_run(int argc, char **argv)
{
	const char *words[3] = { NULL, NULL, NULL };
	struct command_args args = { 0 };
	const struct command *command;
	bool wants_help = false;
	size_t count = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			args.json = true;
		else if (strcmp(argv[i], "--replace") == 0)
			args.replace = true;
		else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			wants_help = true;
		else if (argv[i][0] != '-' && count < LEN(words))
			words[count++] = argv[i];
		else
			return (void)fprintf(
				       stderr, "bulkhead: unexpected argument \"%s\"\n", argv[i]),
			       EXIT_USAGE;
	}

	if (wants_help || (words[0] && strcmp(words[0], "help") == 0)) {
		help(stdout, named(words[0]) ? words[0] : NULL);
		return EXIT_SUCCESS;
	}
	args.argument = words[2];
	command = words[0] ? find(words[0], words[1]) : NULL;
	if (!command || !fits(command, &args)) {
		help(stderr, named(words[0]) ? words[0] : NULL);
		return EXIT_USAGE;
	}
	return command->run(&args);
}
