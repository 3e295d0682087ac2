/* Who may see which rows. */
#include "rest/db.h"

#include "http/request.h"
#include "http/server.h"

struct db req_db(struct req *req)
{
	struct store *store = req_server(req)->store;
	struct uuid tenant;

	if (!store || req->caller.kind == CALLER_NOBODY || !uuid_parse(req->caller.tenant, &tenant))
		return (struct db){ 0 };
	return db_of(store, &tenant, &req->arena);
}

struct db req_system_db(struct req *req)
{
	struct store *store = req_server(req)->store;
	struct str need = str_from_c(req->entry->route->need);

	if (!store || req->caller.kind == CALLER_NOBODY || !str_starts(need, S("platform:")))
		return (struct db){ 0 };
	return db_of_system(store, &req->arena);
}
