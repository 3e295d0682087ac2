/* What goes in and out of the module. */
#include "modules/tenants/tenants_internal.h"

#include "rest/page.h"

#define TIERS    CHOICES("free", "starter", "professional", "enterprise")
#define STATUSES CHOICES("active", "suspended", "deleting")

#define SLUG RANGE(2, TENANT_SLUG_MAX), .format = FORMAT_SLUG, .example = "acme"
#define NAME RANGE(1, 200), .example = "Acme Inc."
#define SETTINGS                                                                                   \
	RANGE(0, TENANT_SETTINGS_MAX), .item = RULES(RANGE(0, TENANT_SETTING_BYTES)),              \
				       .key = RULES(RANGE(1, 64), .pattern = "[A-Za-z0-9_.-]+")

/* clang-format off */
static const struct schema tenant_limits_schema = SCHEMA(tenant_limits, "Limits of one tenant, instead of those of its tier.",
	FIELD(tenant_limits, requests_per_minute, "Requests of a user or a publishable key.",
		.flags = NULLABLE, RANGE(1, 1000000000), .example = "600"),
	FIELD(tenant_limits, server_requests_per_minute, "Requests of a secret key.",
		.flags = NULLABLE, RANGE(1, 1000000000), .example = "60000"),
	FIELD(tenant_limits, total_requests_per_minute, "Requests of all its callers together.",
		.flags = NULLABLE, RANGE(1, 1000000000), .example = "120000"));

const struct schema tenant_schema = SCHEMA(tenant, "Somebody whose data is kept apart from everybody else's.",
	FIELD(tenant, tenant_id, "Which.", .name = "id", .format = FORMAT_UUID, .flags = REQUIRED),
	FIELD(tenant, slug, "Name in addresses.", .flags = REQUIRED, SLUG),
	FIELD(tenant, name, "Name for people.", .flags = REQUIRED, NAME),
	FIELD(tenant, tier, "What it pays for.", .flags = REQUIRED, TIERS),
	FIELD(tenant, status, "Whether it is served.", .flags = REQUIRED, STATUSES),
	MAP(tenant, settings, "What the product keeps for it.", .flags = REQUIRED, SETTINGS),
	FIELD(tenant, limits, "Exceptions from its tier.", .flags = REQUIRED, .nested = &tenant_limits_schema),
	FIELD(tenant, version, "Grows by one on each change.", .flags = REQUIRED, .example = "1"),
	FIELD(tenant, created_at, "When it was made.", .flags = REQUIRED, .format = FORMAT_DATE_TIME),
	FIELD(tenant, updated_at, "When it was changed last.", .flags = REQUIRED, .format = FORMAT_DATE_TIME));

const struct schema tenant_new_schema = SCHEMA(tenant_new, "A tenant to be.",
	FIELD(tenant_new, slug, "Name in addresses.", .flags = REQUIRED, SLUG),
	FIELD(tenant_new, name, "Name for people.", .flags = REQUIRED, NAME),
	FIELD(tenant_new, tier, "What it pays for.", TIERS, .if_missing = "free"),
	MAP(tenant_new, settings, "What the product keeps for it.", SETTINGS),
	FIELD(tenant_new, limits, "Exceptions from its tier.", .nested = &tenant_limits_schema));

const struct schema tenant_patch_schema = SCHEMA(tenant_patch, "What is to change; the rest stays.",
	FIELD(tenant_patch, id, "Which.", .from = FROM_PATH, .format = FORMAT_UUID),
	FIELD(tenant_patch, slug, "Name in addresses.", SLUG),
	FIELD(tenant_patch, name, "Name for people.", NAME),
	FIELD(tenant_patch, tier, "What it pays for.", TIERS),
	MAP(tenant_patch, settings, "Settings to set, or with null to remove.", SETTINGS),
	FIELD(tenant_patch, limits, "Exceptions from its tier; null ends one.", .nested = &tenant_limits_schema));

const struct schema tenant_self_patch_schema = SCHEMA(tenant_self_patch, "What a tenant changes of itself; the rest stays.",
	FIELD(tenant_self_patch, name, "Name for people.", NAME),
	MAP(tenant_self_patch, settings, "Settings to set, or with null to remove.", SETTINGS));

const struct schema tenant_ref_schema = SCHEMA(tenant_ref, "A tenant by its id.",
	FIELD(tenant_ref, id, "Which.", .from = FROM_PATH, .format = FORMAT_UUID));

const struct schema tenant_query_schema = SCHEMA(tenant_query, "Which tenants.",
	PAGE_FIELDS(tenant_query),
	FIELD(tenant_query, status, "Only those.", .from = FROM_QUERY, STATUSES),
	FIELD(tenant_query, tier, "Only those.", .from = FROM_QUERY, TIERS));

const struct schema tenant_page_schema = SCHEMA(tenant_page, "Tenants, the newest first.",
	LIST(tenant_page, items, "Those of this page.", .flags = REQUIRED, RANGE(0, PAGE_MAX),
		.item = RULES(.nested = &tenant_schema)));
/* clang-format on */
