/* What goes in and out of the module, and its rows. */
#include "modules/audit/audit_internal.h"

#define KINDS   CHOICES("program", "nobody", "user", "key")
#define ID      .format = FORMAT_UUID
#define SOME(n) RANGE(1, n) /* empty is NULL */
#define DIGEST  RANGE(1, AUDIT_DIGEST_TEXT)

/* clang-format off */
const struct schema audit_row_schema = SCHEMA(audit_row, "An entry of the audit log.",
	FIELD(audit_row, tenant_id, "Whose.", ID),
	FIELD(audit_row, id, "Which.", ID),
	FIELD(audit_row, sequence, "Its place in the chain."),
	FIELD(audit_row, chain, "The chain up to here.", DIGEST),
	FIELD(audit_row, kind, "Who it was.", KINDS),
	FIELD(audit_row, user_id, "The user, or the user whose key it was.", ID),
	FIELD(audit_row, key_id, "The key.", ID),
	FIELD(audit_row, session_id, "The session.", ID),
	FIELD(audit_row, impersonator_id, "The operator behind the user.", ID),
	FIELD(audit_row, address, "From where.", SOME(AUDIT_ADDRESS_MAX), .flags = PERSONAL),
	FIELD(audit_row, address_salt, "Of its digest.", SOME(AUDIT_SALT_TEXT)),
	FIELD(audit_row, address_digest, "What is sealed of it.", DIGEST),
	FIELD(audit_row, action, "What.", SOME(AUDIT_ACTION_MAX)),
	FIELD(audit_row, target_type, "To what.", SOME(AUDIT_TYPE_MAX)),
	FIELD(audit_row, target_id, "To which one.", SOME(AUDIT_ID_MAX)),
	FIELD(audit_row, state_before, "What it was before.", SOME(AUDIT_STATE_MAX)),
	FIELD(audit_row, state_after, "What it was after.", SOME(AUDIT_STATE_MAX)),
	FIELD(audit_row, personal, "Values of personal members.", SOME(AUDIT_STATE_INPUT), .flags = PERSONAL),
	FIELD(audit_row, personal_salt, "Of their digests.", SOME(AUDIT_SALT_TEXT)),
	FIELD(audit_row, personal_count, "How many there were."),
	FIELD(audit_row, security, "An attack, or what looks like one."),
	FIELD(audit_row, request_id, "The request.", SOME(AUDIT_REQUEST_MAX)),
	FIELD(audit_row, trace_id, "The trace.", SOME(AUDIT_REQUEST_MAX)),
	FIELD(audit_row, created_at, "When.", .format = FORMAT_DATE_TIME),
	FIELD(audit_row, seal, "Over all that never changes.", DIGEST));
/* clang-format on */
