/* Parts of the store that other branches bring. */
#include "store/migration.h"
#include "store/store_internal.h"

__attribute__((weak)) int sqlite_engine_open(
	const struct store_options *options, struct store *store, struct engine **ret)
{
	(void)options, (void)store, (void)ret;
	return fail(ERR_UNAVAILABLE, "no SQLite engine yet");
}

__attribute__((weak)) int pg_engine_open(
	const struct store_options *options, struct store *store, struct engine **ret)
{
	(void)options, (void)store, (void)ret;
	return fail(ERR_UNAVAILABLE, "no PostgreSQL engine yet");
}

__attribute__((weak)) const char store_migrations[] = "";

__attribute__((weak)) int migrate_up(const struct migration_options *options,
	const struct migration_source *sources, size_t count)
{
	(void)options, (void)sources, (void)count;
	return fail(ERR_UNAVAILABLE, "no migrations yet");
}
