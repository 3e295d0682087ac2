/* What goes in and out of the routes about sessions. */
#include "modules/auth/auth_session.h"

#define TOKEN_TEXT RANGE(0, REFRESH_LEN), .flags = SECRET

/* clang-format off */
const struct schema signed_in_schema = SCHEMA(signed_in, "Somebody has signed in.",
	FIELD(signed_in, user, "Who.", .flags = REQUIRED, .nested = &user_schema),
	FIELD(signed_in, tenant, "Where.", .flags = REQUIRED, .nested = &tenant_schema),
	FIELD(signed_in, access_token, "For the header Authorization; not with cookies.",
		.flags = SECRET, RANGE(0, 8192)),
	FIELD(signed_in, refresh_token, "Gets the next access token, once; not with cookies.",
		.flags = SECRET, RANGE(0, REFRESH_LEN)),
	FIELD(signed_in, csrf_token, "With cookies: for the header x-csrf-token.", .flags = SECRET),
	FIELD(signed_in, expires_in, "Seconds that the access token is good.", .flags = REQUIRED,
		.example = "900"));

const struct schema session_schema = SCHEMA(session, "A session.",
	FIELD(session, tenant_id, "Whose.", .format = FORMAT_UUID),
	FIELD(session, id, "Which.", .format = FORMAT_UUID),
	FIELD(session, bundle_id, "Sessions of one browser.", .format = FORMAT_UUID),
	FIELD(session, user_id, "Who.", .format = FORMAT_UUID),
	FIELD(session, impersonator_id, "Who acts as the user.", .flags = NULLABLE, .format = FORMAT_UUID),
	FIELD(session, user_agent, "The program.", .flags = ANY_TEXT),
	FIELD(session, address, "Where from."),
	FIELD(session, generation, "Of the newest refresh token."),
	FIELD(session, token_hash, "Of its secret.", .flags = SECRET),
	FIELD(session, created_at, "Signed in.", .format = FORMAT_DATE_TIME),
	FIELD(session, used_at, "Refreshed last.", .format = FORMAT_DATE_TIME),
	FIELD(session, rotated_at, "Got its newest refresh token.", .format = FORMAT_DATE_TIME),
	FIELD(session, expires_at, "Over then, unless used.", .format = FORMAT_DATE_TIME),
	FIELD(session, ends_at, "Over then in any case.", .format = FORMAT_DATE_TIME),
	FIELD(session, revoked_at, "Ended.", .flags = NULLABLE, .format = FORMAT_DATE_TIME));

const struct schema session_view_schema = SCHEMA(session_view, "A device on which the user is signed in.",
	FIELD(session_view, id, "Which session.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(session_view, user_agent, "The program, as it calls itself.", .flags = REQUIRED | ANY_TEXT,
		.example = "Mozilla/5.0"),
	FIELD(session_view, address, "Where it signed in from.", .flags = REQUIRED, .example = "192.0.2.7"),
	FIELD(session_view, created_at, "Signed in.", .flags = REQUIRED, .format = FORMAT_DATE_TIME),
	FIELD(session_view, used_at, "Last used, to some minutes.", .flags = REQUIRED, .format = FORMAT_DATE_TIME),
	FIELD(session_view, expires_at, "Over then, unless it is used.", .flags = REQUIRED,
		.format = FORMAT_DATE_TIME),
	FIELD(session_view, impersonated, "An operator acts as the user.", .flags = REQUIRED),
	FIELD(session_view, current, "The one that asks.", .flags = REQUIRED));

const struct schema session_list_schema = SCHEMA(session_list, "The user's sessions, the last used first.",
	LIST(session_list, items, "Those that live.", .flags = REQUIRED, RANGE(0, SESSIONS_OF_USER_MAX),
		.item = RULES(.nested = &session_view_schema)));

const struct schema session_ref_schema = SCHEMA(session_ref, "A session by its id.",
	FIELD(session_ref, id, "Which.", .from = FROM_PATH, .format = FORMAT_UUID));

const struct schema session_except_schema = SCHEMA(session_except, "Which sessions are to end.",
	FIELD(session_except, except, "Which one goes on.", .from = FROM_QUERY, CHOICES("current")));

const struct schema refresh_input_schema = SCHEMA(refresh_input, "A session, by its newest refresh token.",
	FIELD(refresh_input, refresh_token, "Not needed with cookies.", TOKEN_TEXT));

const struct schema switch_input_schema = SCHEMA(switch_input,
	"Another session of the same browser, by one of the two.",
	FIELD(switch_input, refresh_token, "Of any session of the browser; not needed with cookies.", TOKEN_TEXT),
	FIELD(switch_input, session_id, "The session.", .format = FORMAT_UUID),
	FIELD(switch_input, tenant, "The tenant, by its slug.", RANGE(2, TENANT_SLUG_MAX), .format = FORMAT_SLUG));

const struct schema bundle_account_schema = SCHEMA(bundle_account, "Somebody who is signed in in this browser.",
	FIELD(bundle_account, session_id, "By which session.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(bundle_account, user_id, "Who.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(bundle_account, email, "The address.", .flags = REQUIRED, RANGE(0, USER_EMAIL_MAX)),
	FIELD(bundle_account, name, "The name.", .flags = REQUIRED, RANGE(0, USER_NAME_MAX)),
	FIELD(bundle_account, tenant_id, "Where.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(bundle_account, tenant_slug, "The tenant's name in addresses.", .flags = REQUIRED),
	FIELD(bundle_account, tenant_name, "The tenant's name for people.", .flags = REQUIRED),
	FIELD(bundle_account, current, "The one that asks.", .flags = REQUIRED));

const struct schema bundle_accounts_schema = SCHEMA(bundle_accounts, "Who is signed in in this browser.",
	LIST(bundle_accounts, items, "The accounts.", .flags = REQUIRED, RANGE(0, SESSIONS_OF_BUNDLE_MAX),
		.item = RULES(.nested = &bundle_account_schema)));

const struct schema csrf_answer_schema = SCHEMA(csrf_answer, "What pages send along when they change something.",
	FIELD(csrf_answer, csrf_token, "For the header x-csrf-token.", .flags = REQUIRED | SECRET));
/* clang-format on */
