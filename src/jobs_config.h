/* What the jobs are told of the configuration, and the roles of an instance. */
#ifndef JOBS_CONFIG_H
#define JOBS_CONFIG_H

#include "config.h"

/* What an instance does (ROLES). */
enum role {
	ROLE_API = 1,       /* serves all routes; without it the probes and metrics only */
	ROLE_WORKER = 2,    /* runs the handlers of jobs */
	ROLE_RELAY = 4,     /* passes events on */
	ROLE_SCHEDULER = 8, /* does what time does to jobs */
};

/* Those of ROLES, ORed. */
unsigned roles_of(const struct config *config);

/* Hands the settings to the jobs; before they are started. */
void jobs_config_apply(const struct config *config);

/* The rules, for the check function of the table. */
void jobs_config_check(const struct config *config, struct config_report *report);

#endif
