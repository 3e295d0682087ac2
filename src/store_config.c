/* From settings to the store's options; nothing is decided here. */
#include "store_config.h"

#include "observe/log.h"

struct store_options store_options_of(const struct config *config)
{
	return (struct store_options){
		.folder = config->data_dir,
		.read_threads = config->sqlite_read_threads,
		.write_queue = config->sqlite_write_queue,
		.cache_bytes = config->sqlite_cache,
		.url = config->database_url.text,
		.direct_url = config->database_direct_url.text,
		.pool_max = config->database_pool_max,
		.pool_wait_ns = config->database_pool_wait,
		.connection_age_ns = config->database_connection_age,
		.connect_ns = config->database_connect_timeout,
		.unprepared = !config->database_prepare,
		.production = config->app_env == APP_PRODUCTION,
	};
}

struct migration_options migration_options_of(const struct config *config)
{
	return (struct migration_options){
		.store = store_options_of(config),
		.owner_url = config->database_owner_url.text,
		.snapshot = true,
	};
}

static void say(void *arg, struct str line)
{
	(void)arg;
	log_info("migration", LOG_STR("did", line));
}

int store_migrate(const struct config *config, const struct migration_source *sources, size_t count)
{
	struct migration_options options = migration_options_of(config);

	if (!config->migrate_on_start)
		return 0;
	options.say = say;
	return migrate_up(&options, sources, count);
}
