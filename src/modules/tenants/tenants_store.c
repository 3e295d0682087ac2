/*
 * Rows of tenants. Whatever changes one tenant is done as that tenant, by statements that the
 * database holds to its rows, also when an operator does it (tx_enter); only looking over all of
 * them crosses tenants.
 */
#include "modules/tenants/tenants_internal.h"

#include "base/check.h"
#include "http/match.h"
#include "schema/decode.h"
#include "schema/encode.h"
#include "store/cache.h"

/* --- statements ------------------------------------------------------------------------ */

#define COLUMNS                                                                                    \
	"tenant_id, slug, name, tier, status, settings, limits, version, created_at, updated_at"

/* A row of main.tenant_slug. */
struct tenant_slug {
	struct str slug;
	struct str id;
};

/* clang-format off */
static const struct schema tenant_slug_schema = SCHEMA(tenant_slug, "A tenant by its slug.",
	FIELD(tenant_slug, slug, "Which."),
	FIELD(tenant_slug, id, "Whose.", .format = FORMAT_UUID));

static const struct schema slug_key_schema = SCHEMA(tenant_slug, "A slug.",
	FIELD(tenant_slug, slug, "Which."));

static const struct schema tenant_id_schema = SCHEMA(tenant_ref, "A tenant by its id.",
	FIELD(tenant_ref, id, "Which.", .format = FORMAT_UUID));

static const struct schema tenant_search_schema = SCHEMA(tenant_query, "Which rows of the list.",
	FIELD(tenant_query, limit, "How many."),
	FIELD(tenant_query, status, "Only those.", CHOICES("active", "suspended", "deleting")),
	FIELD(tenant_query, tier, "Only those.", CHOICES("free", "starter", "professional", "enterprise")),
	FIELD(tenant_query, after_id, "Where the page begins.", .format = FORMAT_UUID));
/* clang-format on */

const struct statement tenant_self = STATEMENT("tenant_self",
	.sql = "SELECT " COLUMNS " FROM tenant WHERE tenant_id = :tenant", .out = &tenant_schema);

static const struct statement tenant_insert = STATEMENT("tenant_insert",
	.sql = "INSERT INTO main.tenant (" COLUMNS ") VALUES (:tenant, :slug, :name, :tier, "
	       ":status, :settings, :limits, :version, :created_at, :updated_at)",
	.in = &tenant_schema);

static const struct statement tenant_update = STATEMENT("tenant_update",
	.sql = "UPDATE main.tenant SET slug = :slug, name = :name, tier = :tier, status = :status, "
	       "settings = :settings, limits = :limits, version = :version, "
	       "updated_at = :updated_at WHERE tenant_id = :tenant",
	.in = &tenant_schema, .expect = EXPECT_ONE);

static const struct statement tenant_delete = STATEMENT("tenant_delete",
	.sql = "DELETE FROM main.tenant WHERE tenant_id = :tenant", .expect = EXPECT_ONE);

static const struct statement slug_get = STATEMENT("tenant_slug_get",
	.sql = "SELECT slug, id FROM main.tenant_slug WHERE slug = :slug", .in = &slug_key_schema,
	.out = &tenant_slug_schema, .flags = STATEMENT_SYSTEM);

static const struct statement slug_take = STATEMENT("tenant_slug_take",
	.sql = "INSERT INTO main.tenant_slug (slug, id) VALUES (:slug, :id)",
	.in = &tenant_slug_schema, .flags = STATEMENT_SYSTEM);

static const struct statement slug_free = STATEMENT("tenant_slug_free",
	.sql = "DELETE FROM main.tenant_slug WHERE slug = :slug AND id = :id",
	.in = &tenant_slug_schema, .flags = STATEMENT_SYSTEM, .expect = EXPECT_ONE);

const struct statement tenant_by_id = STATEMENT("tenant_by_id",
	.sql = "SELECT " COLUMNS " FROM main.tenant WHERE tenant_id = :id", .in = &tenant_id_schema,
	.out = &tenant_schema, .flags = STATEMENT_SYSTEM);

const struct statement tenant_list = STATEMENT("tenant_list",
	.sql = "SELECT " COLUMNS " FROM main.tenant WHERE tenant_id < :after_id "
	       "AND (status = :status OR :status IS NULL) AND (tier = :tier OR :tier IS NULL) "
	       "ORDER BY tenant_id DESC LIMIT :limit + 1",
	.in = &tenant_search_schema, .out = &tenant_schema, .flags = STATEMENT_SYSTEM);

const struct statement *const tenant_statements[TENANT_STATEMENTS] = { &tenant_self, &tenant_insert,
	&tenant_update, &tenant_delete, &slug_get, &slug_take, &slug_free, &tenant_by_id,
	&tenant_list };

/* --- what is kept in memory --------------------------------------------------------------- */

/* Of a tenant its row, among its own; of a slug the id, among those of the installation. */
static struct cache *tenants;

/* Whose limiters are behind the quotas; they may come after the cache. */
static const struct server *home;

static const struct str self_key = S_INIT("self");

enum { SLUG_KEY_MAX = 5 + TENANT_SLUG_MAX };

/* "slug:acme". The slug may be any bytes, but not too many. */
static struct str slug_key(char *at, struct str slug)
{
	static const struct str prefix = S_INIT("slug:");

	CHECK(prefix.len + slug.len <= SLUG_KEY_MAX);
	memcpy(at, prefix.at, prefix.len);
	if (slug.len)
		memcpy(at + prefix.len, slug.at, slug.len);
	return str_of(at, prefix.len + slug.len);
}

int tenant_cache_open(const struct server *server)
{
	static const struct cache_options options = {
		.name = "tenant",
		.memory = 16 * MEGABYTE,
		.ttl_ns = MINUTE,
		.absent_ns = 10 * SECOND,
	};

	home = server;
	return cache_open(server->store, &options, &tenants);
}

void tenant_cache_close(void)
{
	cache_close(TAKE(tenants));
	home = NULL;
}

static struct tenant_brief brief_of(const struct tenant *tenant)
{
	struct tenant_brief brief;

	memset(&brief, 0, sizeof(brief)); /* all bytes of it are kept */
	brief.status = tenant->status;
	brief.limited = home->limiters;
	if (brief.limited)
		tenant_quotas_of(tenant, home->limiters, &brief.quotas);
	return brief;
}

/* What every request asks for, and behind it the row as JSON. */
static int load_self(const struct db *db, void *arg, struct cache_value *ret)
{
	struct tenant_brief brief;
	struct tenant tenant;
	struct json_writer json;
	struct buf text;
	int r = db_one(db, &tenant_self, NULL, &tenant);

	(void)arg;
	if (r < 0)
		return r;
	buf_init(&text, CACHE_VALUE_MAX);
	brief = brief_of(&tenant);
	buf_append(&text, str_of((const char *)&brief, sizeof(brief)));
	json_writer_init(&json, &text);
	schema_encode(&tenant_schema, SCHEMA_ALL, &tenant, &json);
	r = json_writer_done(&json);
	if (r == 0) {
		ret->bytes = arena_str(db->arena, buf_str(&text));
		r = ret->bytes.at ? 0 : -(int)err_last()->code;
	}
	buf_done(&text);
	return r;
}

static int load_slug(const struct db *db, void *arg, struct cache_value *ret)
{
	struct tenant_slug slug;
	int r = db_one(db, &slug_get, arg, &slug);

	if (r == 0)
		ret->bytes = slug.id;
	return r;
}

static int get_self(
	struct store *store, const struct uuid *id, struct arena *arena, struct str *ret)
{
	struct db db = db_of(store, id, arena);

	return cache_get_or_load(tenants, &db, self_key, load_self, NULL, ret);
}

int tenant_find(struct store *store, const struct uuid *id, struct arena *arena, struct tenant *ret)
{
	struct problems problems;
	struct str bytes;
	int r = get_self(store, id, arena, &bytes);

	if (r < 0)
		return r;
	problems_init(&problems, arena);
	r = schema_decode(&tenant_schema, SCHEMA_ALL, str_from(bytes, sizeof(struct tenant_brief)),
		arena, &problems, ret);
	return r == -ERR_INVALID ? fail(ERR_INTERNAL, "a tenant in the cache is none") : r;
}

int tenant_find_slug(struct store *store, struct str slug, struct arena *arena, struct tenant *ret)
{
	struct db db = db_of_system(store, arena);
	struct tenant_slug by = { .slug = slug };
	char key[SLUG_KEY_MAX];
	struct uuid id;
	struct str text;
	int r;

	if (slug.len > TENANT_SLUG_MAX)
		return fail(ERR_NOT_FOUND, "no slug is so long");
	r = cache_get_or_load(tenants, &db, slug_key(key, slug), load_slug, &by, &text);
	if (r < 0)
		return r;
	CHECK(uuid_parse(text, &id));
	return tenant_find(store, &id, arena, ret);
}

int tenant_brief(struct store *store, const struct uuid *id, struct arena *arena,
	const struct tenant_brief **ret)
{
	const struct tenant_brief *brief;
	struct str bytes;
	int r = get_self(store, id, arena, &bytes);

	if (r == -ERR_NOT_FOUND)
		return fail(ERR_FORBIDDEN, "there is no such tenant");
	if (r < 0)
		return r;
	brief = (const struct tenant_brief *)(const void *)bytes.at; /* arenas align */
	switch (brief->status) {
	case TENANT_ACTIVE: *ret = brief; return 0;
	case TENANT_SUSPENDED: return fail(ERR_FORBIDDEN, "this tenant is suspended");
	case TENANT_DELETING: break;
	}
	return fail(ERR_FORBIDDEN, "this tenant is being deleted");
}

int tenant_admit(struct store *store, const struct uuid *id, struct arena *arena)
{
	const struct tenant_brief *brief;

	return tenant_brief(store, id, arena, &brief);
}

/* --- transactions --------------------------------------------------------- */

static int emit(struct tx *tx, struct str type, const struct tenant *tenant)
{
	return tx_emit(tx, &(struct event){ type, tenant->tenant_id, &tenant_schema, tenant });
}

static int audit(struct tx *tx, const struct audit_actor *actor, struct str action,
	const struct tenant *before, const struct tenant *after)
{
	return tx_audit(tx, actor,
		&(struct audit_entry){ .action = action,
			.type = S("tenant"),
			.id = after->tenant_id,
			.schema = &tenant_schema,
			.before = before,
			.after = after });
}

/* The same entry among those of the installation, whose operator it was; on the system handle. */
static int audit_operator(struct tx *tx, const struct audit_actor *actor, struct str action,
	const struct tenant *before, const struct tenant *after)
{
	int r = tx_enter(tx, &tenant_system);

	if (r == 0)
		r = audit(tx, actor, action, before, after);
	return r < 0 ? r : tx_leave(tx);
}

/* Takes or frees the tenant's slug, on the system handle. */
static int change_slug(struct tx *tx, const struct statement *how, const struct tenant *tenant)
{
	struct tenant_slug row = { tenant->slug, tenant->tenant_id };
	char key[SLUG_KEY_MAX];
	int r = tx_exec(tx, how, &row);

	return r < 0 ? r : cache_forget(tx, tenants, slug_key(key, tenant->slug));
}

/* Nothing may be left of an absence that was kept. */
static int insert(struct tx *tx, const struct audit_actor *actor, const struct tenant *tenant)
{
	static const struct audit_actor program = { .kind = AUDIT_PROGRAM };
	int r = tx_exec(tx, &tenant_insert, tenant);

	if (r == 0)
		r = audit(tx, actor ? actor : &program, S("tenant.created"), NULL, tenant);

	if (r == 0)
		r = emit(tx, S("tenant.created"), tenant);
	return r < 0 ? r : cache_forget(tx, tenants, self_key);
}

int tenant_create_in_tx(struct tx *tx, void *arg)
{
	struct tenant_create *create = arg;
	const struct tenant_new *in = create->in;
	const struct tenant_patch all = { .settings = in->settings, .limits = in->limits };
	struct tenant tenant = {
		.slug = in->slug, .name = in->name, .tier = in->tier, .version = 1
	};
	struct uuid id;
	int r;

	uuid_v7(&id, tx_now_us(tx));
	tenant.tenant_id = uuid_text(tx_arena(tx), &id);
	if (!tenant.tenant_id.at)
		return -(int)err_last()->code;
	tenant.created_at = tenant.updated_at = tx_now_us(tx);

	r = tenant_merge(tx_arena(tx), &all, &tenant);
	if (r == 0)
		r = change_slug(tx, &slug_take, &tenant);
	if (r == 0)
		r = tx_enter(tx, &id);
	if (r == 0)
		r = insert(tx, create->actor, &tenant);
	if (r == 0)
		r = tx_leave(tx);
	if (r == 0 && create->actor)
		r = audit_operator(tx, create->actor, S("tenant.created"), NULL, &tenant);
	if (r == 0)
		*create->ret = tenant;
	return r;
}

int tenant_make_in_tx(struct tx *tx, struct str slug, struct str name, struct tenant *ret)
{
	const struct tenant_new in = { .slug = slug, .name = name, .tier = TENANT_FREE };

	return tenant_create_in_tx(tx, &(struct tenant_create){ &in, ret });
}

int tenant_get_in_tx(struct tx *tx, struct tenant *ret)
{
	return tx_one(tx, &tenant_self, NULL, ret);
}

/* Applies the change to `tenant`; the type of its event goes to `*ret`, empty when nothing changes.
 */
static int apply(
	struct tx *tx, const struct tenant_change *change, struct tenant *tenant, struct str *ret)
{
	static const struct str moved[] = {
		[TENANT_ACTIVE] = S_INIT("tenant.resumed"),
		[TENANT_SUSPENDED] = S_INIT("tenant.suspended"),
		[TENANT_DELETING] = S_INIT("tenant.deleting"),
	};
	int r;

	if (change->patch) {
		*ret = S("tenant.updated");
		return tenant->status == TENANT_DELETING
			       ? fail(ERR_CONFLICT, "this tenant is being deleted")
			       : tenant_merge(tx_arena(tx), change->patch, tenant);
	}
	r = tenant_move(tenant, change->to);
	*ret = r > 0 ? moved[change->to] : str_of(NULL, 0);
	return MIN(r, 0);
}

/* The type of the event goes to `*ret_type`, empty when nothing changed. */
static int change_self(struct tx *tx, const struct tenant_change *change, struct tenant *before,
	struct tenant *ret, struct str *ret_type)
{
	struct tenant after;
	struct str type;
	int r = tx_one(tx, &tenant_self, NULL, before);

	if (r == 0)
		r = req_if_match(change->req, before->version);
	if (r < 0)
		return r;

	after = *before;
	r = apply(tx, change, &after, &type);
	if (r == 0 && type.len) {
		after.version++;
		after.updated_at = tx_now_us(tx);
		r = tx_exec(tx, &tenant_update, &after);
		if (r == 0)
			r = emit(tx, type, &after);
		if (r == 0)
			r = audit(tx, &change->actor, type, before, &after);
		if (r == 0)
			r = cache_forget(tx, tenants, self_key);
	}
	if (r < 0)
		return r;
	*ret = after;
	*ret_type = type;
	return 0;
}

int tenant_change_self_in_tx(struct tx *tx, void *arg)
{
	const struct tenant_change *change = arg;
	struct tenant before;
	struct str type;

	return change_self(tx, change, &before, change->ret, &type);
}

int tenant_change_in_tx(struct tx *tx, void *arg)
{
	const struct tenant_change *change = arg;
	struct tenant before = { 0 }, after = { 0 };
	struct str type = { 0 };
	int r = tx_enter(tx, &change->id);

	if (r == 0)
		r = change_self(tx, change, &before, &after, &type);
	if (r == 0)
		r = tx_leave(tx);
	if (r == 0 && type.len)
		r = audit_operator(tx, &change->actor, type, &before, &after);
	if (r == 0 && !str_eq(before.slug, after.slug)) {
		r = change_slug(tx, &slug_free, &before);
		if (r == 0)
			r = change_slug(tx, &slug_take, &after);
	}
	if (r == 0)
		*change->ret = after;
	return r;
}

/*
 * Its notice went out when the deletion began; another one would be a row of a tenant that is gone.
 * The event therefore is one of the installation's own.
 */
int tenant_forget_in_tx(struct tx *tx, void *arg)
{
	const struct uuid *id = arg;
	struct tenant tenant = { 0 };
	int r = tx_enter(tx, id);

	if (r == 0)
		r = tx_one(tx, &tenant_self, NULL, &tenant);
	if (r == 0 && tenant.status != TENANT_DELETING)
		r = fail(ERR_CONFLICT, "this tenant is not being deleted");
	if (r == 0)
		r = tx_exec(tx, &tenant_delete, NULL);
	if (r == 0)
		r = tx_leave(tx);
	if (r == 0)
		r = emit(tx, S("tenant.deleted"), &tenant);
	if (r == 0)
		r = audit_operator(tx, &(struct audit_actor){ .kind = AUDIT_PROGRAM },
			S("tenant.deleted"), &tenant, &tenant);
	return r < 0 ? r : change_slug(tx, &slug_free, &tenant);
}
