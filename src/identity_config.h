/* What the modules of identity are told of the configuration, and the rules that concern more than
 * one of its settings. */
#ifndef IDENTITY_CONFIG_H
#define IDENTITY_CONFIG_H

#include "config.h"

/* Where the server can be reached, for what the configuration leaves open in development. */
struct identity_site {
	uint16_t port;
	bool tls;
};

/* Hands the settings to the modules; before they are opened. -ERR_INVALID with a sentence for
 * people, -ERR_NO_MEMORY. */
int identity_configure(const struct config *config, const struct identity_site *site);

/* The rules, for the check function of the table. */
void identity_config_check(const struct config *config, struct config_report *report);

#endif
