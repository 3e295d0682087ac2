/* What goes in and out of the module. */
#include "modules/rbac/rbac_internal.h"

#include "rest/page.h"

#define NAME        RANGE(1, ROLE_NAME_MAX), .pattern = "[a-z][a-z0-9-]*", .example = "billing-clerk"
#define DESCRIPTION RANGE(0, ROLE_DESCRIPTION_MAX), .example = "Sees to the invoices."
#define PATTERNS                                                                                   \
	RANGE(1, ROLE_PATTERNS_MAX),                                                               \
		.item = RULES(RANGE(1, RIGHT_TEXT_MAX), .example = "invoices:*")
#define ROLE_NAMES(most) RANGE(0, most), .item = RULES(RANGE(1, ROLE_NAME_MAX))

/* clang-format off */
const struct schema role_schema = SCHEMA(role, "A set of rights that users have.",
	FIELD(role, name, "Which.", .flags = REQUIRED, NAME),
	FIELD(role, id, "Of one that the tenant has made.", .format = FORMAT_UUID),
	FIELD(role, description, "For people.", .flags = REQUIRED, DESCRIPTION),
	LIST(role, rights, "Rights, or patterns that stand for some: \"invoices:*\", \"*:read\", \"*\".",
		.flags = REQUIRED, RANGE(0, RIGHTS_MAX),
		.item = RULES(RANGE(1, RIGHT_TEXT_MAX), .example = "invoices:*")),
	FIELD(role, built_in, "Whether every tenant has it and none can change it.", .flags = REQUIRED),
	FIELD(role, version, "Grows by one on each change.", .flags = REQUIRED, .example = "1"),
	FIELD(role, created_at, "When it was made.", .format = FORMAT_DATE_TIME),
	FIELD(role, updated_at, "When it was changed last.", .format = FORMAT_DATE_TIME));

const struct schema role_new_schema = SCHEMA(role_new, "A role to be.",
	FIELD(role_new, name, "What it is called, for good.", .flags = REQUIRED, NAME),
	FIELD(role_new, description, "For people.", DESCRIPTION),
	LIST(role_new, rights, "What it gives.", .flags = REQUIRED | UNIQUE, PATTERNS));

const struct schema role_patch_schema = SCHEMA(role_patch, "What is to change; the rest stays.",
	FIELD(role_patch, name, "Which.", .from = FROM_PATH, RANGE(1, ROLE_NAME_MAX)),
	FIELD(role_patch, description, "For people.", DESCRIPTION),
	LIST(role_patch, rights, "What it gives.", .flags = UNIQUE, PATTERNS));

const struct schema role_ref_schema = SCHEMA(role_ref, "A role by its name.",
	FIELD(role_ref, name, "Which.", .from = FROM_PATH, RANGE(1, ROLE_NAME_MAX)));

const struct schema role_page_schema = SCHEMA(role_page, "All roles.",
	LIST(role_page, items, "The built-in ones first, the strongest of them first.",
		.flags = REQUIRED, RANGE(0, ROLES_MAX + BUILT_IN_ROLES), .item = RULES(.nested = &role_schema)));

static const struct schema member_schema = SCHEMA(member, "Somebody who has the role.",
	FIELD(member, user_id, "Who.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(member, active, "Whether it counts: false for who is suspended.", .flags = REQUIRED));

const struct schema member_query_schema = SCHEMA(member_query, "Who has a role.",
	FIELD(member_query, name, "Which.", .from = FROM_PATH, RANGE(1, ROLE_NAME_MAX)),
	PAGE_FIELDS(member_query));

const struct schema member_page_schema = SCHEMA(member_page, "Users who have a role, the oldest first.",
	LIST(member_page, items, "Those of this page.", .flags = REQUIRED, RANGE(0, PAGE_MAX),
		.item = RULES(.nested = &member_schema)));

const struct schema member_ref_schema = SCHEMA(member_ref, "A user by its id.",
	FIELD(member_ref, id, "Who.", .from = FROM_PATH, .format = FORMAT_UUID));

const struct schema user_roles_schema = SCHEMA(user_roles, "What a user may do.",
	FIELD(user_roles, user_id, "Who.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(user_roles, active, "False for who is suspended, and has no rights.", .flags = REQUIRED),
	LIST(user_roles, roles, "The roles.", .flags = REQUIRED, ROLE_NAMES(ROLES_OF_USER_MAX)),
	LIST(user_roles, rights, "What comes of them.", .flags = REQUIRED, RANGE(0, RIGHTS_MAX),
		.item = RULES(RANGE(1, RIGHT_TEXT_MAX), .example = "invoices:read")),
	FIELD(user_roles, version, "Grows by one on each change.", .flags = REQUIRED, .example = "1"));

const struct schema user_roles_new_schema = SCHEMA(user_roles_new, "The roles that a user is to have.",
	FIELD(user_roles_new, id, "Who.", .from = FROM_PATH, .format = FORMAT_UUID),
	LIST(user_roles_new, roles, "All of them.", .flags = REQUIRED | UNIQUE, ROLE_NAMES(ROLES_OF_USER_MAX)));

static const struct schema right_info_schema = SCHEMA(right_info, "Something that one may do.",
	FIELD(right_info, right, "Resource and action.", .flags = REQUIRED, RANGE(1, RIGHT_TEXT_MAX),
		.example = "invoices:read"),
	LIST(right_info, roles, "The built-in roles that have it.", .flags = REQUIRED,
		ROLE_NAMES(BUILT_IN_ROLES)));

const struct schema right_page_schema = SCHEMA(right_page, "All rights that roles of the tenant can have.",
	LIST(right_page, items, "In their order.", .flags = REQUIRED, RANGE(0, RIGHTS_MAX),
		.item = RULES(.nested = &right_info_schema)));
/* clang-format on */
