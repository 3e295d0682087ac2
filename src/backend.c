/* The order in which the store and the modules are opened. */
#include "backend.h"

#include "base/err.h"
#include "store/store.h"
#include "store_config.h"

static int migrate(const struct config *config, const struct module_list *modules)
{
	struct migration_source sources[MIGRATION_SOURCES_MAX];
	size_t count = module_list_migrations(modules, sources);

	return store_migrate(config, sources, count);
}

int backend_open(const struct config *config, struct module_list *modules, struct server *server)
{
	struct store_options options = store_options_of(config);
	struct err err;
	int r = migrate(config, modules);

	if (r == 0)
		r = store_open(&options, &server->store);
	if (r < 0)
		return r;
	server->modules = modules->at;
	server->module_count = modules->count;
	r = module_list_register(modules, server);
	if (r == 0)
		r = module_list_open(modules, server);
	if (r == 0)
		r = store_start(server->store);
	if (r == 0)
		return 0;

	err = *err_last();
	backend_close(modules, server);
	return err_restore(&err);
}

void backend_close(struct module_list *modules, struct server *server)
{
	module_list_close(modules, server);
	server->modules = NULL;
	server->module_count = 0;
	store_close(server->store);
	server->store = NULL;
}
