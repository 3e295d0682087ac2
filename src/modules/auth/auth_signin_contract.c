/* What goes into sign-in. */
#include "modules/auth/auth_signin.h"

#include "modules/rbac/rbac.h"

#define EMAIL        RANGE(3, USER_EMAIL_MAX), .format = FORMAT_EMAIL, .example = "ada@example.com"
#define PASSWORD     RANGE(1, PASSWORD_MAX)
#define SECRET_TEXT  REQUIRED | SECRET | WRITE_ONLY | ANY_TEXT
#define TENANT_NAMED RANGE(1, TENANT_SLUG_MAX), .example = "acme"
#define LINK_TOKEN   RANGE(1, 200), .flags = REQUIRED | SECRET | WRITE_ONLY
#define REFRESH      RANGE(1, 200), .flags = SECRET | WRITE_ONLY

/* clang-format off */
const struct schema login_in_schema = SCHEMA(login_in, "Who wants to sign in.",
	FIELD(login_in, email, "Address of the account.", .flags = REQUIRED | PERSONAL, EMAIL),
	FIELD(login_in, password, "As it was chosen.", .flags = SECRET_TEXT, PASSWORD),
	FIELD(login_in, tenant, "Slug or id of the tenant; needed when the address has accounts in several.", TENANT_NAMED),
	FIELD(login_in, refresh_token, "Of another account on this device, to be able to switch.", REFRESH));

static const struct schema register_tenant_schema = SCHEMA(register_tenant, "A tenant to make or to join.",
	FIELD(register_tenant, name, "Name of a new tenant; without it the tenant is joined.", RANGE(1, 200), .example = "Acme Inc."),
	FIELD(register_tenant, slug, "Its name in addresses.", .flags = REQUIRED,
		RANGE(2, TENANT_SLUG_MAX), .format = FORMAT_SLUG, .example = "acme"));

const struct schema register_in_schema = SCHEMA(register_in, "Who wants an account.",
	FIELD(register_in, email, "Their address; with an invitation it is the invited one.", .flags = PERSONAL, EMAIL),
	FIELD(register_in, password, "Any characters; length is what counts.", .flags = SECRET_TEXT, PASSWORD),
	FIELD(register_in, name, "For people.", .flags = REQUIRED | PERSONAL, RANGE(1, USER_NAME_MAX), .example = "Ada"),
	FIELD(register_in, tenant, "Where; or an invitation.", .nested = &register_tenant_schema),
	FIELD(register_in, invitation, "The token of an invitation's link; or a tenant.", .flags = SECRET | WRITE_ONLY, RANGE(1, 200)),
	FIELD(register_in, refresh_token, "Of another account on this device, to be able to switch.", REFRESH));

const struct schema address_in_schema = SCHEMA(address_in, "Somebody's address.",
	FIELD(address_in, email, "Which.", .flags = REQUIRED | PERSONAL, EMAIL),
	FIELD(address_in, tenant, "Only the account of this tenant: slug or id.", TENANT_NAMED));

const struct schema email_in_schema = SCHEMA(email_in, "Somebody's address.",
	FIELD(email_in, email, "Which.", .flags = REQUIRED | PERSONAL, EMAIL));

const struct schema token_in_schema = SCHEMA(token_in, "The token of a link that was mailed.",
	FIELD(token_in, token, "What stands in the link.", LINK_TOKEN));

const struct schema reset_in_schema = SCHEMA(reset_in, "A new password, by a link that was mailed.",
	FIELD(reset_in, token, "What stands in the link.", LINK_TOKEN),
	FIELD(reset_in, password, "The new one.", .flags = SECRET_TEXT, PASSWORD));

const struct schema change_password_in_schema = SCHEMA(change_password_in, "A new password.",
	FIELD(change_password_in, current_password, "To be sure who asks.", .flags = SECRET_TEXT, PASSWORD),
	FIELD(change_password_in, new_password, "From now on.", .flags = SECRET_TEXT, PASSWORD));

const struct schema change_email_in_schema = SCHEMA(change_email_in, "A new address.",
	FIELD(change_email_in, password, "To be sure who asks.", .flags = SECRET_TEXT, PASSWORD),
	FIELD(change_email_in, email, "Gets a link; the address changes when that is used.", .flags = REQUIRED | PERSONAL, EMAIL));

const struct schema leave_in_schema = SCHEMA(leave_in, "The end of one's account.",
	FIELD(leave_in, password, "To be sure who asks.", .flags = SECRET_TEXT, PASSWORD));

static const struct schema import_user_schema = SCHEMA(import_user, "A user from another system.",
	FIELD(import_user, email, "Address.", .flags = REQUIRED | PERSONAL, EMAIL),
	FIELD(import_user, name, "For people.", .flags = REQUIRED | PERSONAL, RANGE(1, USER_NAME_MAX), .example = "Ada"),
	FIELD(import_user, password_hash, "bcrypt, scrypt, PBKDF2 or Argon2, as a text; without it the user resets the password.",
		.flags = SECRET | WRITE_ONLY, RANGE(1, PASSWORD_HASH_MAX),
		.example = "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW"),
	FIELD(import_user, verified, "Whether the address has been proved."),
	LIST(import_user, roles, "In the tenant; none is the role member.", RANGE(0, ROLES_OF_USER_MAX),
		.item = RULES(RANGE(1, RIGHT_TEXT_MAX)), .flags = UNIQUE));

const struct schema import_in_schema = SCHEMA(import_in, "Users from another system.",
	LIST(import_in, users, "All of them or none.", .flags = REQUIRED, RANGE(1, IMPORT_MAX),
		.item = RULES(.nested = &import_user_schema)));

static const struct schema imported_user_schema = SCHEMA(imported_user, "A user that was made.",
	FIELD(imported_user, id, "Which.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(imported_user, email, "Address.", .flags = REQUIRED | PERSONAL));

const struct schema imported_schema = SCHEMA(imported, "Users that were made.",
	LIST(imported, users, "In the order in which they came.", .flags = REQUIRED, RANGE(0, IMPORT_MAX),
		.item = RULES(.nested = &imported_user_schema)));
/* clang-format on */
