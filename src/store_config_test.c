/* Settings arrive where the store looks for them. */
#include "store_config.h"

#include "base/test.h"

#include <fcntl.h>

TEST(store_config_options)
{
	static const char *const variables[] = { "DATA_DIR=/x", "DATABASE_URL=postgres://app@db/a",
		"DATABASE_OWNER_URL=postgres://own@db/a", "DATABASE_DIRECT_URL=postgres://app@pg/a",
		"DATABASE_POOL_MAX=7", "DATABASE_POOL_WAIT=3s", "DATABASE_CONNECT_TIMEOUT=4s",
		"DATABASE_CONNECTION_AGE=5m", "DATABASE_PREPARE=false", "SQLITE_CACHE=6mb",
		"SQLITE_READ_THREADS=8", "SQLITE_WRITE_QUEUE=90", "APP_ENV=production",
		"MIGRATE_ON_START=no", "PUBLIC_URL=https://api.example.com",
		"MASTER_KEY=8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918",
		NULL };
	struct config_source source = { variables, open("/", O_RDONLY | O_DIRECTORY) };
	const struct config *config = NULL;
	struct migration_options options;
	struct config_report report;

	REQUIRE(config_load(&source, &report, &config) == 0);
	options = migration_options_of(config);
	EXPECT_STR(options.owner_url, S("postgres://own@db/a"));
	EXPECT(options.snapshot && !options.dry_run);
	EXPECT_STR(options.store.folder, S("/x"));
	EXPECT_STR(options.store.url, S("postgres://app@db/a"));
	EXPECT_STR(options.store.direct_url, S("postgres://app@pg/a"));
	EXPECT_INT(options.store.pool_max, 7);
	EXPECT_INT(options.store.pool_wait_ns, 3 * SECOND);
	EXPECT_INT(options.store.connect_ns, 4 * SECOND);
	EXPECT_INT(options.store.connection_age_ns, 5 * MINUTE);
	EXPECT(options.store.unprepared && options.store.production);
	EXPECT_INT(options.store.cache_bytes, 6 * MEGABYTE);
	EXPECT_INT(options.store.read_threads, 8);
	EXPECT_INT(options.store.write_queue, 90);

	/* Switched off, nothing is looked at. */
	EXPECT_INT(store_migrate(config, &(struct migration_source){ "x", "no migrations" }, 1), 0);
	config_free(config);
	config_report_done(&report);
}
