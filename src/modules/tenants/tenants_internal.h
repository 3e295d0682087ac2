/* What the files of this module share. */
#ifndef TENANTS_INTERNAL_H
#define TENANTS_INTERNAL_H

#include "http/server.h"
#include "modules/audit/audit.h"
#include "modules/tenants/tenants.h"

/* --- what goes in and out (tenants_contract.c) ------------------------------------ */

struct tenant_new {
	struct str slug, name;
	enum tenant_tier tier;
	struct settings settings;
	struct tenant_limits limits;
};

/* A member that is not set keeps its value; of settings and limits the same holds for each of
 * their members, and null takes one away. */
struct tenant_patch {
	struct str id;
	struct opt_str slug, name;
	struct opt_int tier;
	struct settings settings;
	struct tenant_limits limits;
};

/* What a tenant may change of itself. */
struct tenant_self_patch {
	struct opt_str name;
	struct settings settings;
};

struct tenant_ref {
	struct str id;
};

struct tenant_query {
	int64_t limit;
	struct str cursor;
	struct opt_int status, tier;
	struct str after_id; /* where the page begins */
};

struct tenant_page {
	LIST_OF(struct tenant) items;
};

extern const struct schema tenant_new_schema, tenant_patch_schema, tenant_self_patch_schema,
	tenant_ref_schema, tenant_query_schema, tenant_page_schema;

/* --- rules, without rows (tenants_rules.c) ------------------------------------------ */

/* Applies a change. What is new lives in the arena or where the patch has it. -ERR_INVALID when all
 * settings together are too many or too large. */
int tenant_merge(struct arena *arena, const struct tenant_patch *patch, struct tenant *tenant);

/* Moves a tenant to a status: 1 when that changes something, 0 when it is there already,
 * -ERR_CONFLICT when the way is closed: out of deleting, or for the tenant of the installation. */
int tenant_move(struct tenant *tenant, enum tenant_status to);

/* How much a tenant's callers may do in a minute; prepared. */
struct tenant_quotas {
	struct limit user, server; /* of each user or publishable key, of each secret key */
	struct limit total;        /* of all together */
};

/* What the limiters say (SERVER_LIMITERS of them) times the factor of the tier, but where the
 * tenant has numbers of its own. Whoever has one for a caller and none for all together gets as
 * much for these. */
void tenant_quotas_of(
	const struct tenant *tenant, const struct limiter *limiters, struct tenant_quotas *ret);

/* --- rows (tenants_store.c) ------------------------------------------------------------ */

extern const struct statement tenant_self, tenant_by_id, tenant_list;
enum { TENANT_STATEMENTS = 9 };
extern const struct statement *const tenant_statements[TENANT_STATEMENTS];

/* A change under way, of one tenant. */
struct tenant_change {
	const struct req *req; /* for If-Match */
	struct uuid id;
	const struct tenant_patch *patch; /* NULL: a move to */
	enum tenant_status to;
	struct tenant *ret;
	struct audit_actor actor;
};

/* Transaction functions: on a system handle, but change_self as the tenant itself. */
int tenant_create_in_tx(struct tx *tx, void *arg); /* struct tenant_create */
int tenant_change_in_tx(struct tx *tx, void *arg); /* struct tenant_change */
int tenant_change_self_in_tx(struct tx *tx, void *arg);

struct tenant_create {
	const struct tenant_new *in;
	struct tenant *ret;
	const struct audit_actor *actor; /* the operator; NULL: it is made by signing up */
};

/* The last step of a deletion, on a system handle: the row itself and the event. `arg` is the id's
 * text. -ERR_CONFLICT when it is not being deleted. */
int tenant_forget_in_tx(struct tx *tx, void *arg);

/* What every request of a tenant asks for. */
struct tenant_brief {
	enum tenant_status status;
	bool limited; /* there are limiters, and `quotas` */
	struct tenant_quotas quotas;
};

/* The brief in the arena; -ERR_FORBIDDEN when the tenant's callers are not served. As tenant_admit.
 */
int tenant_brief(struct store *store, const struct uuid *id, struct arena *arena,
	const struct tenant_brief **ret);

/* The cache of tenant_find; before the store starts. */
int tenant_cache_open(const struct server *server);
void tenant_cache_close(void);

/* --- deletion (tenants_delete.c) ------------------------------------------------------- */

/* Makes and registers the statements that delete and count, from the tables that there are. */
int tenant_tables_open(struct store *store);

#endif
