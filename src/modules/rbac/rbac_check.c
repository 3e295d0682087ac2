/*
 * What the server asks for each request of somebody, and what other modules ask of a user: from
 * memory where it may be believed, else from the rows.
 */
#include "modules/rbac/rbac_internal.h"
#include "modules/rbac/rbac_memory.h"

#include "http/server.h"
#include "store/notice.h"

/* Into the form in which it is kept. */
static void remember(const struct holding *holding, struct remembered *ret)
{
	size_t len = 0;

	*ret = (struct remembered){ .known = holding->known,
		.active = holding->active,
		.rights = holding->rights,
		.has_roles = true };
	for (size_t i = 0; i < holding->roles.count && ret->has_roles; i++) {
		struct str role = holding->roles.at[i];

		ret->has_roles = len + role.len + 1 <= sizeof(ret->roles);
		if (!ret->has_roles)
			break;
		memcpy(ret->roles + len, role.at, role.len);
		ret->roles[len + role.len] = '\n';
		len += role.len + 1;
	}
	ret->roles_len = ret->has_roles ? len : 0;
}

static int load(struct store *store, const struct uuid *tenant, const struct uuid *user,
	struct arena *arena, struct holding *ret)
{
	struct db db = db_of(store, tenant, arena);
	uint64_t moment = memory_moment(tenant, user);
	struct remembered remembered;
	int r = holding_get_db(&db, user, ret);

	if (r < 0)
		return r;
	if (notices_fresh(store)) {
		remember(ret, &remembered);
		memory_keep(tenant, user, moment, &remembered);
	}
	return 0;
}

static bool recall(struct store *store, const struct uuid *tenant, const struct uuid *user,
	bool roles, struct remembered *ret)
{
	return notices_fresh(store) && memory_find(tenant, user, roles, ret);
}

/* The names, copied into the arena. */
static int recall_roles(const struct remembered *from, struct arena *arena, struct texts *ret)
{
	struct str rest = arena_str(arena, str_of(from->roles, from->roles_len));
	struct texts roles = { arena_alloc(arena, ROLES_OF_USER_MAX * sizeof(*roles.at)), 0 };

	if (!rest.at || !roles.at)
		return -(int)err_last()->code;
	while (rest.len)
		roles.at[roles.count++] = str_cut(&rest, '\n');
	*ret = roles;
	return 0;
}

int rbac_rights(struct store *store, const struct uuid *tenant, const struct uuid *user,
	struct arena *arena, struct rights *ret, struct texts *ret_roles)
{
	struct remembered remembered;
	struct holding holding = { 0 };
	int r = 0;

	if (recall(store, tenant, user, true, &remembered) && remembered.has_roles) {
		if (remembered.active)
			r = recall_roles(&remembered, arena, &holding.roles);
		holding.rights = remembered.rights;
	} else {
		r = load(store, tenant, user, arena, &holding);
		if (!holding.active)
			holding.roles.count = 0;
	}
	if (r < 0)
		return r;
	*ret = holding.rights;
	*ret_roles = holding.roles;
	return 0;
}

static const struct rights no_rights;

const struct rights *req_rights(const struct req *req)
{
	return req->caller.rights ? req->caller.rights : &no_rights;
}

/* Whether a user is active; its rights go to where req_rights finds them. */
static int find_rights(struct req *req, bool *ret_active)
{
	struct store *store = req_server(req)->store;
	struct uuid tenant, user;
	struct remembered remembered;
	struct holding holding = { 0 };
	struct rights *rights = arena_alloc(&req->arena, sizeof(*rights));
	int r;

	if (!rights)
		return -(int)err_last()->code;
	if (!uuid_parse(req->caller.tenant, &tenant) || !uuid_parse(req->caller.id, &user))
		return fail(ERR_FORBIDDEN, "who belongs to no tenant has no rights");
	if (recall(store, &tenant, &user, false, &remembered)) {
		*rights = remembered.rights;
		*ret_active = remembered.active;
	} else {
		r = load(store, &tenant, &user, &req->arena, &holding);
		if (r < 0)
			return r;
		*rights = holding.rights;
		*ret_active = holding.active;
	}
	req->caller.rights = rights;
	return 0;
}

static int authorize(struct req *req, struct str right)
{
	bool active = false;
	int r = req->caller.rights ? 0 : find_rights(req, &active);

	if (r < 0)
		return r;
	if (str_eq(right, S(RIGHT_SELF)) ? req->caller.kind == CALLER_USER && active
					 : rights_has(req_rights(req), right))
		return 0;
	return fail(ERR_FORBIDDEN, "you lack the right %.*s", STR_ARG(right));
}

static void heard(struct notice_listener *listener, const struct uuid *tenant, struct str key)
{
	struct uuid user;

	(void)listener;
	if (key.len == 0)
		memory_forget_all();
	else if (uuid_parse(key, &user))
		memory_forget_user(tenant, &user);
	else
		memory_forget_tenant(tenant);
}

static struct notice_listener listener = { .topic = RBAC_TOPIC, .heard = heard };

int rbac_check_open(struct server *server)
{
	int r = memory_open();

	if (r == 0)
		r = notice_listen(server->store, &listener);
	if (r < 0)
		memory_close();
	else
		server->hooks.authorize = authorize;
	return r;
}

void rbac_check_close(struct server *server)
{
	server->hooks.authorize = NULL;
	notice_unlisten(server->store, &listener);
	memory_close();
}
