/*
 * Tenants: whom the rows belong to. Operators make, change, suspend and delete them; a tenant sees
 * and changes itself. Others ask here whom a name or an id stands for, and whether it is served.
 */
#ifndef TENANTS_H
#define TENANTS_H

#include "http/module.h"
#include "schema/schema.h"
#include "store/db.h"

enum tenant_tier { TENANT_FREE, TENANT_STARTER, TENANT_PROFESSIONAL, TENANT_ENTERPRISE };

enum tenant_status {
	TENANT_ACTIVE,
	TENANT_SUSPENDED, /* its callers are refused, its rows stay */
	TENANT_DELETING,  /* its callers are refused, its rows go, for good */
};

enum {
	TENANT_SLUG_MAX = 63,              /* ASCII */
	TENANT_SETTINGS_MAX = 100,         /* entries */
	TENANT_SETTING_BYTES = 4096,       /* of one value */
	TENANT_SETTINGS_BYTES = 16 * 1024, /* of all names and values */
};

/* A name and any JSON value, for the product to use; as MAP_OF would make it. */
struct setting {
	struct str key;
	struct json_value value;
};

struct settings {
	struct setting *at;
	size_t count;
};

/* Instead of what the tier gives. */
struct tenant_limits {
	struct opt_i64 requests_per_minute;        /* of users and publishable keys, each */
	struct opt_i64 server_requests_per_minute; /* of secret keys, each */
	struct opt_i64 total_requests_per_minute;  /* of all of them together */
};

struct tenant {
	struct str tenant_id;
	struct str slug; /* names it in addresses; one of its kind */
	struct str name;
	enum tenant_tier tier;
	enum tenant_status status;
	struct settings settings;
	struct tenant_limits limits;
	int64_t version;                /* grows by one on each change; the ETag */
	int64_t created_at, updated_at; /* microseconds since 1970 */
};

extern const struct schema tenant_schema;

/*
 * The tenant of an id, or of a slug; kept in memory, as is that there is none. Texts live in the
 * arena. -ERR_NOT_FOUND; errors of the store. On a fiber, outside of transactions.
 */
int tenant_find(
	struct store *store, const struct uuid *id, struct arena *arena, struct tenant *ret);
int tenant_find_slug(struct store *store, struct str slug, struct arena *arena, struct tenant *ret);

/* The tenant of the transaction. Texts live in the transaction's arena. -ERR_NOT_FOUND; errors of
 * tx_one. */
int tenant_get_in_tx(struct tx *tx, struct tenant *ret);

/* Makes a tenant with nothing but a slug and a name, on a system handle. -ERR_CONFLICT, field
 * "slug", when that is taken; errors of tx_exec. Emits tenant.created. */
int tenant_make_in_tx(struct tx *tx, struct str slug, struct str name, struct tenant *ret);

/* Whether the tenant's callers are served. -ERR_FORBIDDEN when it is suspended, being deleted, or
 * does not exist. The server asks for every request of somebody (hooks.admit). */
int tenant_admit(struct store *store, const struct uuid *id, struct arena *arena);

/*
 * Deletes the rows of tenants that are being deleted, in small transactions, and then the tenants;
 * goes on where it was interrupted. To be called now and then on a fiber, and after a start;
 * returns when nothing is left to do, or when its scope ends. Several instances may do it at once.
 * The number of tenants that are gone now goes to `*ret_gone`, which may be NULL.
 */
int tenants_purge(struct store *store, size_t *ret_gone);

/* How many rows of the tenant there are, in all tables that have tenants. */
int tenant_rows_left(struct store *store, const struct uuid *id, struct arena *arena, int64_t *ret);

extern const struct module tenants_module;

#endif
