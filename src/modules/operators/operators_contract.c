/* What goes in and out of the module. */
#include "modules/operators/operators_internal.h"

#include "rest/page.h"

/* clang-format off */
const struct schema impersonate_schema = SCHEMA(impersonate, "Whom to act as, and why.",
	FIELD(impersonate, tenant, "Of the user: its id or its slug.", .flags = REQUIRED,
		RANGE(2, TENANT_SLUG_MAX), .example = "acme"),
	FIELD(impersonate, user_id, "Who.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(impersonate, reason, "Why; the tenant reads it in its audit log.", .flags = REQUIRED,
		RANGE(3, IMPERSONATION_REASON_MAX), .example = "Ticket 4711: invoices are missing"),
	FIELD(impersonate, minutes, "For how long.", RANGE(1, IMPERSONATION_MINUTES_MAX),
		.if_missing = "15"));

const struct schema impersonation_schema = SCHEMA(impersonation, "An operator who acts as a user for a while.",
	FIELD(impersonation, id, "Which; also the session's.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(impersonation, operator_id, "Who acts.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(impersonation, of_tenant_id, "The user's tenant.", .name = "tenantId", .flags = REQUIRED,
		.format = FORMAT_UUID),
	FIELD(impersonation, user_id, "As whom.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(impersonation, reason, "Why.", .flags = REQUIRED, RANGE(3, IMPERSONATION_REASON_MAX)),
	FIELD(impersonation, created_at, "From when.", .flags = REQUIRED, .format = FORMAT_DATE_TIME),
	FIELD(impersonation, expires_at, "Until when at most.", .flags = REQUIRED, .format = FORMAT_DATE_TIME),
	FIELD(impersonation, ended_at, "When it was ended before.", .flags = NULLABLE, .format = FORMAT_DATE_TIME));

const struct schema impersonated_schema = SCHEMA(impersonated, "What one needs to act as the user.",
	FIELD(impersonated, impersonation, "What was noted of it.", .flags = REQUIRED, .nested = &impersonation_schema),
	FIELD(impersonated, user, "The user.", .flags = REQUIRED, .nested = &user_schema),
	FIELD(impersonated, tenant, "The tenant.", .flags = REQUIRED, .nested = &tenant_schema),
	FIELD(impersonated, access_token, "For Authorization: Bearer. It cannot be refreshed.",
		.flags = REQUIRED | SECRET, RANGE(1, 8192)),
	FIELD(impersonated, expires_in, "Seconds it is good for.", .flags = REQUIRED, .example = "900"));

const struct schema impersonation_access_schema = SCHEMA(impersonation_access, "Another access token.",
	FIELD(impersonation_access, access_token, "For Authorization: Bearer.", .flags = REQUIRED | SECRET,
		RANGE(1, 8192)),
	FIELD(impersonation_access, expires_in, "Seconds it is good for.", .flags = REQUIRED, .example = "900"));

const struct schema impersonation_ref_schema = SCHEMA(impersonation_ref, "An impersonation by its id.",
	FIELD(impersonation_ref, id, "Which.", .from = FROM_PATH, .format = FORMAT_UUID));

const struct schema impersonation_query_schema = SCHEMA(impersonation_query, "Which impersonations.",
	PAGE_FIELDS(impersonation_query));

const struct schema impersonation_page_schema = SCHEMA(impersonation_page, "Impersonations, the newest first.",
	LIST(impersonation_page, items, "Those of this page.", .flags = REQUIRED, RANGE(0, PAGE_MAX),
		.item = RULES(.nested = &impersonation_schema)));
/* clang-format on */
