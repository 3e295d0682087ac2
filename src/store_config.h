/* The store's options, made from the configuration. */
#ifndef STORE_CONFIG_H
#define STORE_CONFIG_H

#include "config.h"
#include "store/migration.h"

/* Both point into the configuration. */
struct store_options store_options_of(const struct config *config);
struct migration_options migration_options_of(const struct config *config);

/* For the start of the server, before the store is opened: brings the database up to date, unless
 * MIGRATE_ON_START is off, and logs what it does. Errors of migrate_up. */
int store_migrate(
	const struct config *config, const struct migration_source *sources, size_t count);

#endif
