/* What may become of a tenant. Pure: no rows, no time. */
#include "modules/tenants/tenants_internal.h"

#include "base/err.h"
#include "schema/problem.h"

/* --- settings ------------------------------------------------------------------------ */

static size_t position_of(const struct settings *settings, struct str key)
{
	size_t i = 0;

	while (i < settings->count && !str_eq(settings->at[i].key, key))
		i++;
	return i;
}

static void set(struct settings *settings, const struct setting *setting)
{
	size_t at = position_of(settings, setting->key);

	if (!str_eq(setting->value.json, S("null"))) {
		settings->at[at] = *setting;
		settings->count = MAX(settings->count, at + 1);
	} else if (at < settings->count) {
		settings->count--;
		memmove(&settings->at[at], &settings->at[at + 1],
			(settings->count - at) * sizeof(*settings->at));
	}
}

static int check_settings(const struct settings *settings)
{
	size_t bytes = 0;

	for (size_t i = 0; i < settings->count; i++)
		bytes += settings->at[i].key.len + settings->at[i].value.json.len;
	if (settings->count > TENANT_SETTINGS_MAX)
		return fail_field(ERR_INVALID, "settings", PROBLEM_TOO_MANY,
			"must have at most %d entries", TENANT_SETTINGS_MAX);
	if (bytes > TENANT_SETTINGS_BYTES)
		return fail_field(ERR_INVALID, "settings", PROBLEM_TOO_LARGE,
			"must have at most %d bytes", TENANT_SETTINGS_BYTES);
	return 0;
}

static int merge_settings(
	struct arena *arena, const struct settings *patch, struct settings *settings)
{
	struct settings all = { 0 };

	if (patch->count == 0)
		return 0;
	all.at = arena_alloc(arena, (settings->count + patch->count) * sizeof(*all.at));
	if (!all.at)
		return -(int)err_last()->code;
	for (size_t i = 0; i < settings->count; i++)
		all.at[all.count++] = settings->at[i];
	for (size_t i = 0; i < patch->count; i++)
		set(&all, &patch->at[i]);
	*settings = all;
	return check_settings(settings);
}

/* --- the rest -------------------------------------------------------------------------- */

static void merge_limit(const struct opt_i64 *patch, struct opt_i64 *limit)
{
	if (patch->set)
		*limit = patch->null ? (struct opt_i64){ 0 } : *patch;
}

int tenant_merge(struct arena *arena, const struct tenant_patch *patch, struct tenant *tenant)
{
	if (patch->slug.set)
		tenant->slug = patch->slug.value;
	if (patch->name.set)
		tenant->name = patch->name.value;
	if (patch->tier.set)
		tenant->tier = (enum tenant_tier)patch->tier.value;
	merge_limit(&patch->limits.requests_per_minute, &tenant->limits.requests_per_minute);
	merge_limit(&patch->limits.server_requests_per_minute,
		&tenant->limits.server_requests_per_minute);
	merge_limit(&patch->limits.total_requests_per_minute,
		&tenant->limits.total_requests_per_minute);
	return merge_settings(arena, &patch->settings, &tenant->settings);
}

int tenant_move(struct tenant *tenant, enum tenant_status to)
{
	struct uuid id;

	if (tenant->status == to)
		return 0;
	if (!uuid_parse(tenant->tenant_id, &id) || uuid_cmp(&id, &tenant_system) == 0)
		return fail(ERR_CONFLICT, "the tenant of the installation stays active");
	if (tenant->status == TENANT_DELETING)
		return fail(ERR_CONFLICT, "this tenant is being deleted");
	tenant->status = to;
	return 1;
}

/* --- quotas ------------------------------------------------------------------------------ */

/* What a tier has for every unit of the limiters, which are those of the first. */
static const uint64_t tier_factors[] = {
	[TENANT_FREE] = 1,
	[TENANT_STARTER] = 2,
	[TENANT_PROFESSIONAL] = 5,
	[TENANT_ENTERPRISE] = 20,
};

/* An exception, or 0. */
static uint64_t exception(const struct opt_i64 *own)
{
	return own->set && !own->null && own->value > 0 ? (uint64_t)own->value : 0;
}

static struct limit quota_of(const struct limit *base, uint64_t quota)
{
	struct limit limit = { .quota = MIN(quota, LIMIT_QUOTA_MAX),
		.window_ns = base->window_ns,
		.block_ns = base->block_ns };

	CHECK(limit_prepare(&limit) == 0);
	return limit;
}

void tenant_quotas_of(
	const struct tenant *tenant, const struct limiter *limiters, struct tenant_quotas *ret)
{
	const struct limit *user = &limiters[LIMITER_API].limit;
	const struct limit *server = &limiters[LIMITER_SERVER].limit;
	const struct limit *all = &limiters[LIMITER_TENANT].limit;
	uint64_t factor = tier_factors[tenant->tier];
	uint64_t own_user = exception(&tenant->limits.requests_per_minute);
	uint64_t own_server = exception(&tenant->limits.server_requests_per_minute);
	uint64_t own_all = exception(&tenant->limits.total_requests_per_minute);
	uint64_t wanted = MAX(own_user, own_server);

	ret->user = quota_of(user, own_user ? own_user : user->quota * factor);
	ret->server = quota_of(server, own_server ? own_server : server->quota * factor);
	ret->total = quota_of(all, own_all ? own_all : MAX(all->quota * factor, wanted));
}
