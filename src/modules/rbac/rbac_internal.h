/* What the files of this module share. */
#ifndef RBAC_INTERNAL_H
#define RBAC_INTERNAL_H

#include "base/err.h"
#include "modules/audit/audit.h"
#include "modules/rbac/rbac.h"

enum {
	ROLE_NAME_MAX = 63,         /* bytes */
	ROLE_DESCRIPTION_MAX = 500, /* characters */
	ROLE_PATTERNS_MAX = 100,
	ROLES_MAX = 100, /* that a tenant makes */
};

/* --- the catalogue, and sets (rbac_catalogue.c) -------------------------------------- */

/* The number of a right, or -1. */
ptrdiff_t right_number(struct str right);

bool right_is_platform(struct str right);

/* Adds what a route needs. built_in_refresh afterwards. Errors of rights_of_routes. */
int right_of_route(const struct route *route);

void rights_unite(struct rights *rights, const struct rights *with);
void rights_remove(struct rights *rights, const struct rights *without);

/* --- roles, without rows (rbac_rules.c) ---------------------------------------------- */

enum built_in { ROLE_OWNER, ROLE_ADMIN, ROLE_MEMBER, ROLE_VIEWER, BUILT_IN_ROLES };

struct built_in_role {
	struct str name, text;
	const char *rule; /* words, one after the other: a pattern adds, "-" and one takes away */
	bool operates;    /* in the tenant of the installation: platform:* as well */
};

extern const struct built_in_role built_in_roles[BUILT_IN_ROLES];

/* Which one has that name, or -1. */
int built_in_find(struct str name);

/* Its rights in a tenant. */
const struct rights *built_in_rights(enum built_in role, const struct uuid *tenant);

/* After a change of the catalogue. */
void built_in_refresh(void);

/* What a role of a tenant's own gives: patterns that stand for nothing (any more) give nothing, and
 * platform: is for the tenant of the installation only. */
void patterns_rights(
	const struct uuid *tenant, const struct str *patterns, size_t count, struct rights *ret);

/* Whether there is such a role as far as its patterns go. -ERR_INVALID for one that stands for
 * nothing, or for platform: elsewhere. */
int patterns_check(const struct uuid *tenant, const struct str *patterns, size_t count);

/* The order of names. */
void texts_sort(struct texts *texts);
bool texts_have(const struct texts *texts, struct str text);

/* --- what goes in and out (rbac_contract.c) ------------------------------------------ */

struct role {
	struct str name;
	struct str id; /* empty: a built-in one */
	struct str description;
	struct texts rights; /* patterns */
	bool built_in;
	int64_t version;                       /* grows by one on each change; the ETag */
	struct opt_i64 created_at, updated_at; /* microseconds since 1970; none of a built-in one */
};

struct role_new {
	struct str name, description;
	struct texts rights;
};

/* A member that is not there keeps its value; there is no role without patterns. */
struct role_patch {
	struct str name;
	struct opt_str description;
	struct texts rights;
};

struct role_ref {
	struct str name;
};

struct role_page {
	LIST_OF(struct role) items;
};

struct member {
	struct str user_id;
	struct str role;
	bool active;
};

struct member_query {
	struct str name;
	int64_t limit;
	struct str cursor;
	struct str after_id; /* where the page begins */
};

struct member_page {
	LIST_OF(struct member) items;
};

struct member_ref {
	struct str id;
};

/* What a user has. */
struct user_roles {
	struct str user_id;
	bool active;
	struct texts roles;
	struct texts rights; /* what comes of them */
	int64_t version;
};

struct user_roles_new {
	struct str id;
	struct texts roles;
};

struct right_info {
	struct str right;
	struct texts roles; /* built-in ones */
};

struct right_page {
	LIST_OF(struct right_info) items;
};

extern const struct schema role_schema, role_new_schema, role_patch_schema, role_ref_schema,
	role_page_schema, member_query_schema, member_page_schema, member_ref_schema,
	user_roles_schema, user_roles_new_schema, right_page_schema;

/* --- rows (rbac_store.c) ------------------------------------------------------------- */

extern const struct schema member_row_schema;
extern const struct statement role_get, role_list, role_count, role_insert, role_update,
	role_delete, role_member_list, role_member_count;
enum { RBAC_STATEMENTS = 17 };
extern const struct statement *const rbac_statements[RBAC_STATEMENTS];

struct role_count {
	int64_t count;
};

/* What a user holds. Names of roles live in the arena. */
struct holding {
	bool known;  /* there is such a user */
	bool active; /* it counts; without it there are roles, but no rights */
	int64_t version;
	struct rights rights;
	struct texts roles; /* in their order */
};

int holding_get_in_tx(struct tx *tx, const struct uuid *user, struct holding *ret);
int holding_get_db(const struct db *db, const struct uuid *user, struct holding *ret);

/* One role more or less. `holding` is from before. -ERR_CONFLICT for the last owner. */
int member_add_in_tx(struct tx *tx, const struct uuid *user, struct str role);
int member_remove_in_tx(
	struct tx *tx, const struct uuid *user, const struct holding *holding, struct str role);

/* The next version, and a notice. */
int user_changed_in_tx(struct tx *tx, const struct uuid *user);

/* --- changes that somebody asks for (rbac_change.c) ---------------------------------- */

extern const struct schema user_state_schema;

/* Who asks. Its rights are looked at once more in the transaction. */
struct asker {
	struct audit_actor actor;
	struct rights rights;
	struct uuid user; /* whose they are; of a key, who made it */
};

struct asker asker_of(struct req *req);

/* Transaction functions. */
struct role_create {
	struct asker asker;
	const struct role_new *in;
	struct role *ret;
};
int role_create_in_tx(struct tx *tx, void *arg);

struct role_change {
	struct asker asker;
	const struct req *req; /* for If-Match */
	struct str name;
	const struct role_patch *patch; /* NULL: it goes */
	struct role *ret;
};
int role_change_in_tx(struct tx *tx, void *arg);

struct roles_set {
	struct asker asker;
	const struct req *req;
	struct uuid user;
	const struct texts *roles;
	struct user_roles *ret;
};
int roles_set_in_tx(struct tx *tx, void *arg);

/* Somebody tried to give, take or change what is beyond them. */
struct refusal {
	struct audit_actor actor;
	struct str type, id; /* of what they meant */
};
int refusal_in_tx(struct tx *tx, void *arg);

/* The API's form of what a user holds. Texts live in the arena. */
int user_roles_make(struct arena *arena, struct str user, const struct holding *holding,
	struct user_roles *ret);

/* --- what is asked (rbac_check.c) ---------------------------------------------------- */

/* The hook, and the memory behind it. */
int rbac_check_open(struct server *server);
void rbac_check_close(struct server *server);

#endif
