/*
 * JSON Schemas of payloads. What they judge is in memory: the loaded ones, and that there is none;
 * notices say when that is no longer so. What the tenant of the installation has set holds for all.
 */
#include "modules/jobs/jobs_schemas.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "http/match.h"
#include "http/request.h"
#include "schema/loaded.h"
#include "store/notice.h"

#include <pthread.h>
#include <stdatomic.h>

#define TOPIC "jobs.schema"

enum {
	KNOWN_MAX = 16 * 1024, /* names and tenants of which it is known whether there is one */
	KNOWN_SLOTS = 2 * KNOWN_MAX,
};

static const size_t TEXT_MAX = 32 * MEGABYTE; /* of all that are loaded */

/* --- rows ----------------------------------------------------------------------------------- */

struct schema_count {
	int64_t count;
};

/* clang-format off */
static const struct schema row_schema = SCHEMA(job_schema, "A schema of payloads.",
	FIELD(job_schema, name, "Of which jobs."),
	FIELD(job_schema, schema, "What they must be like.", RANGE(0, JOB_SCHEMA_BYTES)),
	FIELD(job_schema, version, "Grows by one on each change."),
	FIELD(job_schema, updated_at, "When it was changed last.", .format = FORMAT_DATE_TIME));

static const struct schema name_schema = SCHEMA(job_schema_ref, "A schema by its name.",
	FIELD(job_schema_ref, name, "Of which jobs."));

static const struct schema page_schema = SCHEMA(job_schema_query, "Where a page begins.",
	FIELD(job_schema_query, limit, "How many."),
	FIELD(job_schema_query, after_name, "Behind which."));

static const struct schema count_schema = SCHEMA(schema_count, "How many.",
	FIELD(schema_count, count, "So many."));
/* clang-format on */

#define COLUMNS "name, schema, version, updated_at"

const struct statement job_schema_get = STATEMENT("job_schema_get",
	.sql = "SELECT " COLUMNS " FROM job_schema WHERE tenant_id = :tenant AND name = :name",
	.in = &name_schema, .out = &row_schema);

const struct statement job_schema_list = STATEMENT("job_schema_list",
	.sql = "SELECT " COLUMNS " FROM job_schema WHERE tenant_id = :tenant "
	       "AND name > :after_name ORDER BY name LIMIT :limit + 1",
	.in = &page_schema, .out = &row_schema);

static const struct statement schema_count = STATEMENT("job_schema_count",
	.sql = "SELECT count(*) AS count FROM job_schema WHERE tenant_id = :tenant",
	.out = &count_schema);

static const struct statement schema_insert = STATEMENT("job_schema_insert",
	.sql = "INSERT INTO main.job_schema (tenant_id, " COLUMNS ") VALUES (:tenant, :name, "
	       ":schema, :version, :updated_at)",
	.in = &row_schema);

static const struct statement schema_update = STATEMENT("job_schema_update",
	.sql = "UPDATE main.job_schema SET schema = :schema, version = :version, "
	       "updated_at = :updated_at WHERE tenant_id = :tenant AND name = :name",
	.in = &row_schema, .expect = EXPECT_ONE);

static const struct statement schema_delete = STATEMENT("job_schema_delete",
	.sql = "DELETE FROM main.job_schema WHERE tenant_id = :tenant AND name = :name",
	.in = &name_schema, .expect = EXPECT_ONE);

const struct job_statements job_schema_statements = JOB_STATEMENTS(&job_schema_get,
	&job_schema_list, &schema_count, &schema_insert, &schema_update, &schema_delete);

/* --- changing -------------------------------------------------------------------------------- */

static int check_room(struct tx *tx)
{
	struct schema_count had;
	int r = tx_one(tx, &schema_count, NULL, &had);

	if (r == 0 && had.count >= JOB_SCHEMAS_MAX)
		return fail_field(ERR_CONFLICT, "name", "too_many",
			"is one too many: there are %d schemas already", JOB_SCHEMAS_MAX);
	return r;
}

int job_schema_put_in_tx(struct tx *tx, void *arg)
{
	const struct job_schema_change *change = arg;
	const struct job_schema_ref ref = { change->name };
	struct job_schema row;
	int r = tx_one(tx, &job_schema_get, &ref, &row);
	bool found = r == 0;

	if (r < 0 && r != -ERR_NOT_FOUND)
		return r;
	r = req_if_match(change->req, found ? row.version : 0);
	if (r == 0 && !found)
		r = check_room(tx);
	if (r < 0)
		return r;
	row = (struct job_schema){ .name = change->name,
		.schema = { change->schema },
		.version = found ? row.version + 1 : 1,
		.updated_at = tx_now_us(tx) };
	r = tx_exec(tx, found ? &schema_update : &schema_insert, &row);
	if (r == 0)
		r = tx_notice(tx, S(TOPIC), change->name);
	if (r == 0)
		*change->ret = row;
	return r;
}

int job_schema_delete_in_tx(struct tx *tx, void *arg)
{
	const struct job_schema_change *change = arg;
	const struct job_schema_ref ref = { change->name };
	struct job_schema row;
	int r = tx_one(tx, &job_schema_get, &ref, &row);

	if (r == 0)
		r = req_if_match(change->req, row.version);
	if (r == 0)
		r = tx_exec(tx, &schema_delete, &ref);
	return r < 0 ? r : tx_notice(tx, S(TOPIC), change->name);
}

/* --- in memory ------------------------------------------------------------------------------- */

/* One that is loaded, as long as somebody has it. */
struct shared {
	atomic_size_t users;
	struct schema_loaded *loaded;
	size_t bytes; /* of its text */
};

/* What is known of a name of a tenant; of the empty name, whether the tenant has any schema. */
struct known {
	struct uuid tenant;
	char name[JOB_NAME_MAX];
	uint8_t len;
	bool stale, some;
	struct shared *shared; /* NULL: there is none, or the name is empty */
};

static struct {
	pthread_mutex_t lock;
	struct known *at; /* KNOWN_MAX of them */
	uint16_t *slots;  /* number + 1, or 0 */
	size_t count, bytes;
	uint64_t changes; /* that were heard of */
	struct notice_listener listener;
} memory = { .lock = PTHREAD_MUTEX_INITIALIZER };

_Static_assert(KNOWN_MAX < UINT16_MAX, "fits");

static void let_go(struct shared *shared)
{
	if (!shared || atomic_fetch_sub(&shared->users, 1) > 1)
		return;
	schema_loaded_free(shared->loaded);
	mem_free(shared, sizeof(*shared));
}

static bool is_of(const struct known *known, const struct uuid *tenant, struct str name)
{
	return uuid_cmp(&known->tenant, tenant) == 0 &&
	       str_eq(str_of(known->name, known->len), name);
}

/* Where it is known, or the empty place where it would be. */
static size_t slot_of(const struct uuid *tenant, struct str name)
{
	char key[sizeof(tenant->bytes) + JOB_NAME_MAX];
	size_t at;

	memcpy(key, tenant->bytes, sizeof(tenant->bytes));
	if (name.len)
		memcpy(key + sizeof(tenant->bytes), name.at, name.len);
	at = (size_t)hash_str(str_of(key, sizeof(tenant->bytes) + name.len)) % KNOWN_SLOTS;
	while (memory.slots[at] && !is_of(&memory.at[memory.slots[at] - 1], tenant, name))
		at = (at + 1) % KNOWN_SLOTS;
	return at;
}

static struct known *find(const struct uuid *tenant, struct str name)
{
	size_t slot;

	if (name.len > JOB_NAME_MAX)
		return NULL;
	slot = slot_of(tenant, name);
	return memory.slots[slot] ? &memory.at[memory.slots[slot] - 1] : NULL;
}

static void drop(struct known *known)
{
	if (known->shared)
		memory.bytes -= known->shared->bytes;
	let_go(known->shared);
	known->shared = NULL;
	known->stale = true;
}

static void forget_all(void)
{
	for (size_t i = 0; i < memory.count; i++)
		drop(&memory.at[i]);
	if (memory.count)
		memset(memory.slots, 0, KNOWN_SLOTS * sizeof(*memory.slots));
	memory.count = 0;
}

/* Notes what was found, unless something has changed since. Takes over no use of `shared`. */
static void note(const struct uuid *tenant, struct str name, bool some, struct shared *shared,
	uint64_t changes)
{
	size_t bytes = shared ? shared->bytes : 0;
	struct known *known;

	if (memory.changes != changes)
		return;
	if (memory.bytes + bytes > TEXT_MAX)
		forget_all();
	known = find(tenant, name);
	if (!known) {
		if (memory.count == KNOWN_MAX)
			forget_all();
		known = &memory.at[memory.count++];
		*known = (struct known){ .tenant = *tenant, .len = (uint8_t)name.len };
		if (name.len)
			memcpy(known->name, name.at, name.len);
		memory.slots[slot_of(tenant, name)] = (uint16_t)memory.count;
	}
	drop(known);
	known->stale = false;
	known->some = some;
	known->shared = shared;
	if (shared) {
		memory.bytes += bytes;
		atomic_fetch_add(&shared->users, 1);
	}
}

static void heard(struct notice_listener *listener, const struct uuid *tenant, struct str key)
{
	struct known *known;

	(void)listener;
	pthread_mutex_lock(&memory.lock);
	memory.changes++;
	if (!key.len) {
		forget_all();
	} else {
		known = find(tenant, str_of(NULL, 0));
		if (known)
			drop(known);
		known = find(tenant, key);
		if (known)
			drop(known);
	}
	pthread_mutex_unlock(&memory.lock);
}

/* --- reading -------------------------------------------------------------------------------- */

/* What is known: whether that is enough, and a use of the schema if there is one. */
static bool ask(const struct uuid *tenant, struct str name, bool *ret_some, struct shared **ret,
	uint64_t *ret_changes)
{
	const struct known *known;
	bool found;

	pthread_mutex_lock(&memory.lock);
	*ret_changes = memory.changes;
	known = find(tenant, name);
	found = known && !known->stale;
	if (found) {
		*ret_some = known->some;
		*ret = known->shared;
		if (*ret)
			atomic_fetch_add(&(*ret)->users, 1);
	}
	pthread_mutex_unlock(&memory.lock);
	return found;
}

static void tell(const struct uuid *tenant, struct str name, bool some, struct shared *shared,
	uint64_t changes)
{
	pthread_mutex_lock(&memory.lock);
	note(tenant, name, some, shared, changes);
	pthread_mutex_unlock(&memory.lock);
}

static int read_any(const struct db *db, bool *ret)
{
	struct schema_count had;
	int r = db_one(db, &schema_count, NULL, &had);

	if (r == 0)
		*ret = had.count > 0;
	return r;
}

static int read_one(const struct db *db, struct str name, struct shared **ret)
{
	struct job_schema row;
	struct shared *shared;
	int r = db_one(db, &job_schema_get, &(struct job_schema_ref){ name }, &row);

	if (r == -ERR_NOT_FOUND) {
		*ret = NULL;
		return 0;
	}
	if (r < 0)
		return r;
	shared = mem_zalloc(sizeof(*shared));
	if (!shared)
		return fail(ERR_NO_MEMORY, "no memory for a schema");
	r = schema_load(row.schema.json, &shared->loaded);
	if (r < 0) {
		mem_free(shared, sizeof(*shared));
		return r == -ERR_INVALID ? fail(ERR_INTERNAL, "the schema of %.*s cannot be used",
						   STR_ARG(name))
					 : r;
	}
	shared->users = 1;
	shared->bytes = row.schema.json.len;
	*ret = shared;
	return 0;
}

/* A use of the schema that the handle's tenant has for the name; NULL: it has none. */
static int schema_of(const struct db *db, struct str name, struct shared **ret)
{
	bool fresh = notices_fresh(db->store), some = false;
	struct shared *shared = NULL;
	uint64_t changes;
	int r = 0;

	if (!fresh || !ask(&db->tenant, str_of(NULL, 0), &some, &shared, &changes)) {
		r = read_any(db, &some);
		if (r == 0 && fresh)
			tell(&db->tenant, str_of(NULL, 0), some, NULL, changes);
	}
	if (r < 0 || !some) {
		*ret = NULL;
		return r;
	}
	if (fresh && ask(&db->tenant, name, &some, &shared, &changes)) {
		*ret = shared;
		return 0;
	}
	r = read_one(db, name, &shared);
	if (r == 0 && fresh)
		tell(&db->tenant, name, shared, shared, changes);
	if (r == 0)
		*ret = shared;
	return r;
}

/* --- judging --------------------------------------------------------------------------------- */

static int check_one(const struct db *db, struct str name, struct str payload, struct str at,
	struct problems *problems)
{
	struct problems own;
	struct shared *shared = NULL;
	int r = schema_of(db, name, &shared);

	if (r < 0 || !shared)
		return r;
	problems_init(&own, problems->arena);
	r = schema_loaded_check(shared->loaded, payload, problems->arena, &own);
	let_go(shared);
	return r == -ERR_INVALID ? problems_under(&own, at, problems) : r;
}

static size_t found(const struct problems *problems)
{
	return problems->count + problems->more;
}

static int say_invalid(struct str name)
{
	return fail(ERR_INVALID, "the payload is not what the schema of %.*s wants", STR_ARG(name));
}

int job_schemas_check(const struct db *db, struct str name, struct str payload, struct str at,
	struct problems *problems)
{
	struct db system = db_of(db->store, &tenant_system, db->arena);
	size_t before = found(problems);
	int r;

	if (!db->store)
		return fail(ERR_FORBIDDEN, "this needs a tenant");
	if (job_name_reserved(name))
		return 0;
	r = check_one(&system, name, payload, at, problems);
	if (r == 0 && uuid_cmp(&db->tenant, &tenant_system) != 0)
		r = check_one(db, name, payload, at, problems);
	return r == 0 && found(problems) > before ? say_invalid(name) : r;
}

int job_payload_check(const struct db *db, struct str name, struct str payload, struct str at,
	struct problems *problems)
{
	const struct job_kind *kind = job_kind_find(name);
	size_t before = found(problems);
	int r = kind ? job_kind_check(kind, payload, at, problems) : 0;

	if (r == 0)
		r = job_schemas_check(db, name, payload, at, problems);
	return r == 0 && found(problems) > before ? say_invalid(name) : r;
}

/* --- up and down -------------------------------------------------------------------------------
 */

static void free_memory(void)
{
	mem_free(memory.at, memory.at ? KNOWN_MAX * sizeof(*memory.at) : 0);
	mem_free(memory.slots, memory.slots ? KNOWN_SLOTS * sizeof(*memory.slots) : 0);
	memory.at = NULL;
	memory.slots = NULL;
}

int job_schemas_open(struct store *store)
{
	int r;

	memory.at = mem_zalloc(KNOWN_MAX * sizeof(*memory.at));
	memory.slots = mem_zalloc(KNOWN_SLOTS * sizeof(*memory.slots));
	if (!memory.at || !memory.slots) {
		free_memory();
		return fail(ERR_NO_MEMORY, "no memory for schemas of jobs");
	}
	memory.listener = (struct notice_listener){ .topic = TOPIC, .heard = heard };
	r = notice_listen(store, &memory.listener);
	if (r < 0)
		free_memory();
	return r;
}

void job_schemas_close(struct store *store)
{
	notice_unlisten(store, &memory.listener);
	forget_all();
	free_memory();
}
