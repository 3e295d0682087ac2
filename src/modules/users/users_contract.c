/* What goes in and out of the module. */
#include "modules/users/users_internal.h"

#include "rest/page.h"

#define STATUSES CHOICES("active", "suspended")
#define EMAIL    RANGE(3, USER_EMAIL_MAX), .format = FORMAT_EMAIL, .example = "ada@example.com"
#define NAME     RANGE(1, USER_NAME_MAX), .example = "Ada Lovelace"
#define ROLE     RANGE(1, INVITATION_ROLE_MAX), .example = "member"

/* clang-format off */
const struct schema user_schema = SCHEMA(user, "A person of a tenant.",
	FIELD(user, id, "Which.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(user, email, "Where mails go; the name to sign in with.", .flags = REQUIRED | PERSONAL, EMAIL),
	FIELD(user, name, "Name for people.", .flags = REQUIRED | PERSONAL, NAME),
	FIELD(user, status, "Whether they may sign in.", .flags = REQUIRED, STATUSES),
	FIELD(user, email_verified_at, "When the address was proved; missing: it was not.",
		.format = FORMAT_DATE_TIME),
	FIELD(user, version, "Grows by one on each change.", .flags = REQUIRED, .example = "1"),
	FIELD(user, created_at, "When it was made.", .flags = REQUIRED, .format = FORMAT_DATE_TIME),
	FIELD(user, updated_at, "When it was changed last.", .flags = REQUIRED, .format = FORMAT_DATE_TIME));

const struct schema user_path_schema = SCHEMA(user_ref, "Somebody or something by the id.",
	FIELD(user_ref, id, "Which.", .from = FROM_PATH, .format = FORMAT_UUID));

const struct schema user_patch_schema = SCHEMA(user_patch, "What is to change; the rest stays.",
	FIELD(user_patch, id, "Which.", .from = FROM_PATH, .format = FORMAT_UUID),
	FIELD(user_patch, name, "Name for people; white space at its ends goes.", NAME),
	FIELD(user_patch, status, "Whether they may sign in.", STATUSES));

const struct schema me_patch_schema = SCHEMA(me_patch, "What one changes of oneself.",
	FIELD(me_patch, name, "Name for people; white space at its ends goes.", .flags = REQUIRED, NAME));

const struct schema user_query_schema = SCHEMA(user_query, "Which users.",
	PAGE_FIELDS(user_query),
	FIELD(user_query, status, "Only those.", .from = FROM_QUERY, STATUSES),
	FIELD(user_query, email, "Only the one with that address.", .from = FROM_QUERY, EMAIL),
	FIELD(user_query, search, "What the name or the address begins with; ASCII letters of either case.",
		.from = FROM_QUERY, RANGE(1, USER_NAME_MAX), .example = "ada"));

const struct schema user_page_schema = SCHEMA(user_page, "Users, the newest first.",
	LIST(user_page, items, "Those of this page.", .flags = REQUIRED, RANGE(0, PAGE_MAX),
		.item = RULES(.nested = &user_schema)));

static const struct schema me_tenant_schema = SCHEMA(me_tenant, "The tenant of who asks.",
	FIELD(me_tenant, id, "Which.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(me_tenant, slug, "Name in addresses.", .flags = REQUIRED, .example = "acme"),
	FIELD(me_tenant, name, "Name for people.", .flags = REQUIRED, .example = "Acme Inc."));

const struct schema me_schema = SCHEMA(me, "Who asks, and what they may do.",
	FIELD(me, user, "The account.", .flags = REQUIRED, .nested = &user_schema),
	FIELD(me, tenant, "Where it is.", .flags = REQUIRED, .nested = &me_tenant_schema),
	LIST(me, roles, "Names of the roles.", .flags = REQUIRED, RANGE(0, ROLES_OF_USER_MAX)),
	LIST(me, rights, "What they allow.", .flags = REQUIRED, RANGE(0, RIGHTS_MAX)),
	FIELD(me, impersonator, "Id of the operator who acts as this user; missing: it is the user.",
		.format = FORMAT_UUID));

const struct schema invitation_schema = SCHEMA(invitation, "An address that may become a user.",
	FIELD(invitation, id, "Which.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(invitation, email, "Whom.", .flags = REQUIRED | PERSONAL, EMAIL),
	FIELD(invitation, role, "What they are to be.", .flags = REQUIRED, ROLE),
	FIELD(invitation, invited_by, "Id of the user who did it.", .format = FORMAT_UUID),
	FIELD(invitation, created_at, "When it was made.", .flags = REQUIRED, .format = FORMAT_DATE_TIME),
	FIELD(invitation, expires_at, "Until when it can be used.", .flags = REQUIRED, .format = FORMAT_DATE_TIME));

const struct schema invitation_new_schema = SCHEMA(invitation_new, "Somebody to invite.",
	FIELD(invitation_new, email, "Whom.", .flags = REQUIRED, EMAIL),
	FIELD(invitation_new, role, "What they are to be.", ROLE, .if_missing = "member"));

const struct schema invitation_query_schema = SCHEMA(invitation_query, "Which invitations.",
	PAGE_FIELDS(invitation_query));

const struct schema invitation_page_schema = SCHEMA(invitation_page, "Open invitations, the newest first.",
	LIST(invitation_page, items, "Those of this page.", .flags = REQUIRED, RANGE(0, PAGE_MAX),
		.item = RULES(.nested = &invitation_schema)));
/* clang-format on */
