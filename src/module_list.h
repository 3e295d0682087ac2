/* The modules of the program, in the order of their start: those compiled in, then those of
 * MODULES. */
#ifndef MODULE_LIST_H
#define MODULE_LIST_H

#include "config.h"
#include "module_file.h"
#include "store/migration.h"

struct module_list {
	const struct module **at; /* what the configuration wants of them */
	size_t count, room;
	struct module_file *files; /* of MODULES */
	size_t file_count;
	size_t opened; /* the first ones, by module_list_open */
};

/* Loads what MODULES names. -ERR_CONFLICT for a name that is there twice, errors of module_open;
 * module_list_done in any case. */
int module_list_load(struct module_list *list, const struct config *config);

/* Unloads them. Nothing may be left that refers to them: threads, the log, the error slot. */
void module_list_done(struct module_list *list);

/* Adds the routes of all; `probes_only`: of ops alone, for an instance that serves nothing else. */
int module_list_add(const struct module_list *list, struct server *server, bool probes_only);

/* The migrations of all there are, of switched off ones too, the store's own first. Returns their
 * number. */
enum { MIGRATION_SOURCES_MAX = 128, MODULES_MAX = MIGRATION_SOURCES_MAX - 1 };
size_t module_list_migrations(
	const struct module_list *list, struct migration_source ret[MIGRATION_SOURCES_MAX]);

/* Registers the statements of all with the server's store. */
int module_list_register(const struct module_list *list, struct server *server);

/* Opens them in order; after a failure those that were opened are closed again. */
int module_list_open(struct module_list *list, struct server *server);

/* Closes those that are open, the last one first. */
void module_list_close(struct module_list *list, struct server *server);

#endif
