/* What goes in and out of the module. */
#include "modules/api_keys/api_keys_internal.h"

#include "rest/page.h"

#define KINDS CHOICES("secret", "publishable")
#define NAME  RANGE(1, API_KEY_NAME_MAX), .example = "billing server"
#define PACE  .flags = NULLABLE, RANGE(1, 1000000000), .example = "600"
#define SCOPE                                                                                      \
	.item = RULES(RANGE(1, RIGHT_TEXT_MAX), .example = "jobs:read",                            \
		.pattern = "\\*|([a-z][a-z0-9_-]*|\\*):([a-z][a-z0-9_-]*|\\*)")
#define SCOPES(least) RANGE(least, API_KEY_SCOPES_MAX), SCOPE
#define NETWORKS(least)                                                                            \
	RANGE(least, API_KEY_NETWORKS_MAX), .item = RULES(RANGE(1, 50), .example = "10.0.0.0/8")

/* clang-format off */
#define SHOWN                                                                                      \
	FIELD(api_key, id, "Which.", .flags = REQUIRED, .format = FORMAT_UUID),                    \
	FIELD(api_key, kind, "Whether it is for servers or may be seen in a browser.", .flags = REQUIRED, KINDS), \
	FIELD(api_key, name, "Name for people.", .flags = REQUIRED, NAME),                         \
	FIELD(api_key, prefix, "How its text begins, up to the secret.", .flags = REQUIRED, RANGE(1, KEY_PREFIX_LEN)), \
	FIELD(api_key, ending, "How its text ends.", .flags = REQUIRED, RANGE(1, OPAQUE_CHECK_LEN)), \
	LIST(api_key, scopes, "What it may do, as far as its owner may.", .flags = REQUIRED, SCOPES(0)), \
	LIST(api_key, allowed_addresses, "Networks it may be used from; none: any.", .flags = REQUIRED, NETWORKS(0)), \
	FIELD(api_key, requests_per_minute, "Its own limit, when that is lower than the tenant's.", PACE), \
	FIELD(api_key, owner_id, "The user whose rights bound it.", .flags = REQUIRED, .format = FORMAT_UUID), \
	FIELD(api_key, created_with, "The key that made it, if it was one.", .flags = NULLABLE, .format = FORMAT_UUID), \
	FIELD(api_key, expires_at, "When it ends by itself.", .flags = NULLABLE, .format = FORMAT_DATE_TIME), \
	FIELD(api_key, revoked_at, "When it was revoked.", .flags = NULLABLE, .format = FORMAT_DATE_TIME), \
	FIELD(api_key, previous_until, "Until when its former secret holds, too.", .flags = NULLABLE, .format = FORMAT_DATE_TIME), \
	FIELD(api_key, last_used_at, "When it was used last, to a minute or two.", .flags = NULLABLE, .format = FORMAT_DATE_TIME), \
	FIELD(api_key, last_used_address, "From where.", .flags = NULLABLE | PERSONAL, RANGE(0, ADDRESS_TEXT_MAX)), \
	FIELD(api_key, version, "Grows by one on each change.", .flags = REQUIRED, .example = "1"), \
	FIELD(api_key, created_at, "When it was made.", .flags = REQUIRED, .format = FORMAT_DATE_TIME), \
	FIELD(api_key, updated_at, "When it was changed last.", .flags = REQUIRED, .format = FORMAT_DATE_TIME)

const struct schema api_key_schema = SCHEMA(api_key, "A credential of a program.", SHOWN);

_Static_assert(offsetof(struct api_key_made, shown) == 0, "its fields are those of the key in it");

const struct schema api_key_made_schema = SCHEMA(api_key_made, "A new key, with its text.", SHOWN,
	FIELD(api_key, key, "The key itself: shown now and never again.", .flags = REQUIRED | SECRET,
		RANGE(KEY_TEXT_LEN, KEY_TEXT_LEN)));

const struct schema api_key_new_schema = SCHEMA(api_key_new, "A key to be.",
	FIELD(api_key_new, name, "Name for people.", .flags = REQUIRED, NAME),
	FIELD(api_key_new, kind, "Whether it is for servers or may be seen in a browser.", KINDS, .if_missing = "secret"),
	LIST(api_key_new, scopes, "What it may do: rights, or patterns of them.", .flags = REQUIRED | UNIQUE, SCOPES(1)),
	LIST(api_key_new, allowed_addresses, "Networks it may be used from; none: any.", .flags = UNIQUE, NETWORKS(0)),
	FIELD(api_key_new, requests_per_minute, "A limit of its own.", PACE),
	FIELD(api_key_new, expires_at, "When it ends by itself.", .flags = NULLABLE, .format = FORMAT_DATE_TIME));

const struct schema api_key_patch_schema = SCHEMA(api_key_patch, "What is to change; the rest stays.",
	FIELD(api_key_patch, id, "Which.", .from = FROM_PATH, .format = FORMAT_UUID),
	FIELD(api_key_patch, name, "Name for people.", NAME),
	LIST(api_key_patch, scopes, "What it may do.", .flags = UNIQUE, SCOPES(1)),
	LIST(api_key_patch, allowed_addresses, "Networks it may be used from; 0.0.0.0/0 and ::/0 are all there are.",
		.flags = UNIQUE, NETWORKS(1)),
	FIELD(api_key_patch, requests_per_minute, "A limit of its own; null: none.", PACE),
	FIELD(api_key_patch, expires_at, "When it ends by itself; null: never.", .flags = NULLABLE, .format = FORMAT_DATE_TIME));

const struct schema api_key_rotation_schema = SCHEMA(api_key_rotation, "How a key gets another secret.",
	FIELD(api_key_rotation, id, "Which.", .from = FROM_PATH, .format = FORMAT_UUID),
	FIELD(api_key_rotation, overlap, "How long the former secret holds, too: a number and ms, s, m, h or d; at most 7d.",
		.if_missing = "0", RANGE(1, 20), .pattern = "[0-9]+[a-z]*", .example = "24h"));

const struct schema api_key_ref_schema = SCHEMA(api_key_ref, "A key by its id.",
	FIELD(api_key_ref, id, "Which.", .from = FROM_PATH, .format = FORMAT_UUID));

const struct schema api_key_query_schema = SCHEMA(api_key_query, "Which keys.",
	PAGE_FIELDS(api_key_query),
	FIELD(api_key_query, owner_id, "Only those of that user.", .from = FROM_QUERY, .format = FORMAT_UUID));

const struct schema api_key_page_schema = SCHEMA(api_key_page, "Keys, the newest first.",
	LIST(api_key_page, items, "Those of this page.", .flags = REQUIRED, RANGE(0, PAGE_MAX),
		.item = RULES(.nested = &api_key_schema)));
/* clang-format on */
