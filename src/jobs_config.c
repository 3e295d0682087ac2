/* Roles, and the options of the jobs, made from the configuration. */
#include "jobs_config.h"

#include "modules/jobs/jobs_work.h"
#include "modules/jobs/jobs_worker.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const struct {
	struct str name;
	enum role role;
} names[] = {
	{ S_INIT("api"), ROLE_API },
	{ S_INIT("worker"), ROLE_WORKER },
	{ S_INIT("relay"), ROLE_RELAY },
	{ S_INIT("scheduler"), ROLE_SCHEDULER },
};

/* 0 when there is no such role. */
static unsigned role_of(struct str name)
{
	for (size_t i = 0; i < LEN(names); i++)
		if (str_eq(names[i].name, name))
			return names[i].role;
	return 0;
}

unsigned roles_of(const struct config *config)
{
	unsigned roles = 0;

	for (size_t i = 0; i < config->roles.count; i++)
		roles |= role_of(config->roles.at[i]);
	return roles;
}

void jobs_config_apply(const struct config *config)
{
	unsigned roles = roles_of(config);
	struct jobs_options options = {
		.work = roles & ROLE_WORKER,
		.schedule = roles & ROLE_SCHEDULER,
		.threads = config->jobs_threads,
		.stop_ns = config->jobs_shutdown_timeout,
	};

	struct push_options push = {
		.work = roles & ROLE_WORKER,
		.allow_private = config->jobs_push_private,
		.stop_ns = config->jobs_shutdown_timeout,
		.ca_file = config->jobs_push_ca_file.len ? config->jobs_push_ca_file.at : NULL,
	};

	jobs_configure(&options);
	push_configure(&push);
}

/* Else each push would fail, one by one. */
static void check_authorities(const struct config *config, struct config_report *report)
{
	struct str name = S("JOBS_PUSH_CA_FILE");

	if (config_sound(report, name) && config->jobs_push_ca_file.len &&
		access(config->jobs_push_ca_file.at, R_OK) != 0)
		config_problem(report, name, "cannot be read: %s", strerror(errno));
}

void jobs_config_check(const struct config *config, struct config_report *report)
{
	struct str name = S("ROLES");
	unsigned roles = roles_of(config);

	check_authorities(config, report);
	if (!config_sound(report, name))
		return;
	for (size_t i = 0; i < config->roles.count; i++)
		if (!role_of(config->roles.at[i])) {
			config_problem(report, name,
				"knows api, worker, relay and scheduler, not %.*s",
				STR_ARG(config->roles.at[i]));
			return;
		}
	if (!roles)
		config_problem(report, name, "is empty: this instance would do nothing");
	else if (!config->database_url.text.len &&
		 roles != (ROLE_API | ROLE_WORKER | ROLE_RELAY | ROLE_SCHEDULER))
		config_warning(report, name,
			"leaves something out, and without DATABASE_URL there is no other "
			"instance that could do it");
}
