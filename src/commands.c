/* Which command does what; each with --help, and --json where there is something to print. */
#include "commands.h"

#include "app.h"
#include "base/version.h"
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 2, OUTPUT_MAX = 4 * 1024 * 1024 };

struct command {
	const char *name;
	const char *action; /* second word, or NULL */
	const char *text;   /* for help */
	bool takes_json;
	int (*run)(bool json);
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

static int run_serve(bool json)
{
	const struct config *config;
	struct app app;
	int r;

	(void)json;
	if (load(&config) < 0)
		return EXIT_FAILURE;

	r = app_open(&app, config);
	if (r < 0) {
		(void)say_error("");
	} else {
		app_run(&app);
		app_close(&app);
	}
	config_free(config);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run_config_check(bool json)
{
	struct config_source source = config_process();
	const struct config *config = NULL;
	struct config_report report;
	struct buf out;
	int r = config_load(&source, &report, &config);

	buf_init(&out, OUTPUT_MAX);
	if (json)
		config_report_write_json(&report, &out);
	else
		config_report_write(&report, &out);
	if (r == 0 && !json && report.warnings == 0)
		buf_append(&out, S("the configuration is valid\n"));
	config_report_done(&report);
	config_free(config);
	return print(&out, r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

static int run_config_print(bool json)
{
	const struct config *config;
	struct buf out;

	if (load(&config) < 0)
		return EXIT_FAILURE;

	buf_init(&out, OUTPUT_MAX);
	if (json)
		config_print_json(config, &out);
	else
		config_print(config, &out);
	config_free(config);
	return print(&out, EXIT_SUCCESS);
}

static int run_config_doc(bool json)
{
	struct buf out;

	(void)json;
	buf_init(&out, OUTPUT_MAX);
	config_doc(&config_table, &out);
	return print(&out, EXIT_SUCCESS);
}

static int run_version(bool json)
{
	(void)printf(json ? "{\"version\":\"%s\"}\n" : "bulkhead %s\n", BULKHEAD_VERSION);
	return EXIT_SUCCESS;
}

static const struct command commands[] = {
	{ "serve", NULL, "Run the server.", false, run_serve },
	{ "config", "check", "Check the configuration and list every problem.", true,
		run_config_check },
	{ "config", "print", "Print what is in force and where it comes from, without secrets.",
		true, run_config_print },
	{ "config", "doc", "Print the reference of all settings (Markdown).", false,
		run_config_doc },
	{ "version", NULL, "Print the version.", true, run_version },
};

static void help(FILE *to, const char *name)
{
	(void)fprintf(to, "Usage: bulkhead COMMAND [--json] [--help]\n\n");
	for (size_t i = 0; i < LEN(commands); i++)
		if (!name || strcmp(commands[i].name, name) == 0)
			(void)fprintf(to, "  %-8s%-7s%s%s\n", commands[i].name,
				commands[i].action ? commands[i].action : "", commands[i].text,
				commands[i].takes_json ? " [--json]" : "");
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

int commands_run(int argc, char **argv)
{
	const char *words[2] = { NULL, NULL };
	const struct command *command;
	bool json = false, wants_help = false;
	size_t count = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			json = true;
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
	command = words[0] ? find(words[0], words[1]) : NULL;
	if (!command || (json && !command->takes_json)) {
		help(stderr, named(words[0]) ? words[0] : NULL);
		return EXIT_USAGE;
	}
	return command->run(json);
}
