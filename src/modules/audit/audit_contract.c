/* What goes in and out of the module, and its rows. */
#include "modules/audit/audit_internal.h"

#define KINDS   CHOICES("program", "nobody", "user", "key")
#define ID      .format = FORMAT_UUID
#define TIME    .format = FORMAT_DATE_TIME
#define SOME(n) RANGE(1, n) /* empty is NULL */
#define DIGEST  RANGE(1, AUDIT_DIGEST_TEXT)
#define QUERY   .from = FROM_QUERY
#define ACTION  .pattern = "[a-z][a-z0-9_-]*(\\.[a-z][a-z0-9_-]*)*(\\.\\*)?", .example = "user.*"

/* clang-format off */
const struct schema audit_row_schema = SCHEMA(audit_row, "An entry of the audit log, as it is kept.",
	FIELD(audit_row, id, "Which.", ID),
	FIELD(audit_row, sequence, "Its place in the chain."),
	FIELD(audit_row, chain, "The chain up to here.", DIGEST),
	FIELD(audit_row, kind, "Who it was.", KINDS),
	FIELD(audit_row, user_id, "The user, or the user whose key it was.", ID),
	FIELD(audit_row, key_id, "The key.", ID),
	FIELD(audit_row, session_id, "The session.", ID),
	FIELD(audit_row, impersonator_id, "The operator behind the user.", ID),
	FIELD(audit_row, address, "From where.", SOME(AUDIT_ADDRESS_MAX)),
	FIELD(audit_row, address_salt, "Of its digest.", SOME(AUDIT_SALT_TEXT)),
	FIELD(audit_row, address_digest, "What is sealed of it.", DIGEST),
	FIELD(audit_row, action, "What.", SOME(AUDIT_ACTION_MAX)),
	FIELD(audit_row, target_type, "To what.", SOME(AUDIT_TYPE_MAX)),
	FIELD(audit_row, target_id, "To which one.", SOME(AUDIT_ID_MAX)),
	FIELD(audit_row, state_before, "What it was before.", SOME(AUDIT_STATE_MAX)),
	FIELD(audit_row, state_after, "What it was after.", SOME(AUDIT_STATE_MAX)),
	FIELD(audit_row, person_id, "Whom personal values tell of.", ID),
	FIELD(audit_row, personal, "Values of personal members.", SOME(AUDIT_STATE_MAX)),
	FIELD(audit_row, personal_salt, "Of their digests.", SOME(AUDIT_SALT_TEXT)),
	FIELD(audit_row, personal_count, "How many there were."),
	FIELD(audit_row, security, "An attack, or what looks like one."),
	FIELD(audit_row, request_id, "The request.", SOME(AUDIT_REQUEST_MAX)),
	FIELD(audit_row, trace_id, "The trace.", SOME(AUDIT_REQUEST_MAX)),
	FIELD(audit_row, created_at, "When.", TIME),
	FIELD(audit_row, seal, "Over all that never changes.", DIGEST));

const struct schema audit_mark_schema = SCHEMA(audit_mark, "Where a chain begins or ends.",
	FIELD(audit_mark, tenant_id, "Whose.", ID),
	FIELD(audit_mark, kind, "Which of them.", CHOICES("head", "start")),
	FIELD(audit_mark, sequence, "Behind which entry."),
	FIELD(audit_mark, chain, "The chain there."),
	FIELD(audit_mark, broken_at, "Where it was broken."),
	FIELD(audit_mark, marked_at, "When.", TIME),
	FIELD(audit_mark, seal, "Over all that."),
	FIELD(audit_mark, told_sequence, "What the log knows,"),
	FIELD(audit_mark, told_at, "since when.", TIME),
	FIELD(audit_mark, former, "What was there before."));

const struct schema audit_item_schema = SCHEMA(audit_item, "An entry of the audit log: who did what to which thing.",
	FIELD(audit_item, id, "Which.", .flags = REQUIRED, ID),
	FIELD(audit_item, sequence, "Its place in the chain; an entry gets one within a second or so."),
	FIELD(audit_item, kind, "Who it was: the program itself, nobody in particular, a user, an API key.", .flags = REQUIRED, KINDS),
	FIELD(audit_item, user_id, "The user, or the user who made the key.", ID),
	FIELD(audit_item, key_id, "The key.", ID),
	FIELD(audit_item, session_id, "The session.", ID),
	FIELD(audit_item, impersonator_id, "The operator who acted as the user.", ID),
	FIELD(audit_item, address, "From where; not there when it was erased.", SOME(AUDIT_ADDRESS_MAX), .flags = PERSONAL),
	FIELD(audit_item, action, "What was done.", .flags = REQUIRED, .example = "user.created"),
	FIELD(audit_item, target_type, "To what.", SOME(AUDIT_TYPE_MAX), .example = "user"),
	FIELD(audit_item, target_id, "To which one.", SOME(AUDIT_ID_MAX)),
	FIELD(audit_item, before, "What it was before. In the place of what was erased stands {\"personal\":DIGEST}.", RANGE(0, 4 * AUDIT_STATE_MAX)),
	FIELD(audit_item, after, "What it was after.", RANGE(0, 4 * AUDIT_STATE_MAX)),
	FIELD(audit_item, security, "Whether it was an attack, or looks like one.", .flags = REQUIRED),
	FIELD(audit_item, request_id, "The request in which it was done.", SOME(AUDIT_REQUEST_MAX)),
	FIELD(audit_item, trace_id, "The trace of that.", SOME(AUDIT_REQUEST_MAX)),
	FIELD(audit_item, created_at, "When.", .flags = REQUIRED, TIME));

const struct schema audit_page_schema = SCHEMA(audit_page, "Entries, the newest first.",
	LIST(audit_page, items, "Those of this page: fewer than asked for when they are long.", .flags = REQUIRED, RANGE(0, PAGE_MAX),
		.item = RULES(.nested = &audit_item_schema)));

#define FILTERS \
	FIELD(audit_query, user_id, "Only what this user did, or a key of theirs.", QUERY, ID), \
	FIELD(audit_query, key_id, "Only what was done with this API key.", QUERY, ID), \
	FIELD(audit_query, action, "Only this action, or with .* at its end all that begin like this.", QUERY, RANGE(1, AUDIT_ACTION_MAX), ACTION), \
	FIELD(audit_query, target_type, "Only what was done to things of this type.", QUERY, RANGE(1, AUDIT_TYPE_MAX)), \
	FIELD(audit_query, target_id, "Only what was done to this thing.", QUERY, RANGE(1, AUDIT_ID_MAX)), \
	FIELD(audit_query, from, "Not before this time.", QUERY, TIME), \
	FIELD(audit_query, to, "Before this time.", QUERY, TIME), \
	FIELD(audit_query, security, "Only attacks and what looks like them, or only the rest.", QUERY)

const struct schema audit_query_schema = SCHEMA(audit_query, "Which entries.",
	PAGE_FIELDS(audit_query),
	FILTERS);

const struct schema audit_export_schema = SCHEMA(audit_query, "Which entries, and how.",
	FIELD(audit_query, format, "JSON lines, or CSV.", QUERY, CHOICES("jsonl", "csv"), .if_missing = "jsonl"),
	FILTERS);

const struct schema audit_search_schema = SCHEMA(audit_query, "Which rows.",
	FIELD(audit_query, limit, "How many."),
	FIELD(audit_query, user_id, "The user.", ID),
	FIELD(audit_query, key_id, "The key.", ID),
	FIELD(audit_query, action, "The action,"),
	FIELD(audit_query, action_from, "or from here"),
	FIELD(audit_query, action_to, "to there."),
	FIELD(audit_query, target_type, "The type."),
	FIELD(audit_query, target_id, "The thing."),
	FIELD(audit_query, from, "Not before.", TIME),
	FIELD(audit_query, to, "Before.", TIME),
	FIELD(audit_query, security, "Whether it is marked."),
	FIELD(audit_query, after_id, "Behind this one,", ID),
	FIELD(audit_query, first_id, "not before this one,", ID),
	FIELD(audit_query, last_id, "before this one.", ID));
/* clang-format on */
