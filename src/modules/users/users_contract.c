/* What goes in and out of the module. */
#include "modules/users/users_internal.h"

#define STATUSES CHOICES("active", "suspended")

/* clang-format off */
const struct schema user_schema = SCHEMA(user, "A person of a tenant.",
	FIELD(user, id, "Which.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(user, email, "Where mails go; the name to sign in with.", .flags = REQUIRED,
		RANGE(3, USER_EMAIL_MAX), .format = FORMAT_EMAIL, .example = "ada@example.com"),
	FIELD(user, name, "Name for people.", .flags = REQUIRED, RANGE(1, USER_NAME_MAX),
		.example = "Ada Lovelace"),
	FIELD(user, status, "Whether they may sign in.", .flags = REQUIRED, STATUSES),
	FIELD(user, email_verified_at, "When the address was proved; not there: it was not.",
		.format = FORMAT_DATE_TIME),
	FIELD(user, version, "Grows by one on each change.", .flags = REQUIRED, .example = "1"),
	FIELD(user, created_at, "When it was made.", .flags = REQUIRED, .format = FORMAT_DATE_TIME),
	FIELD(user, updated_at, "When it was changed last.", .flags = REQUIRED,
		.format = FORMAT_DATE_TIME));

const struct schema user_ref_schema = SCHEMA(user_ref, "A user by the id.",
	FIELD(user_ref, id, "Which.", .from = FROM_PATH, .format = FORMAT_UUID));
/* clang-format on */
