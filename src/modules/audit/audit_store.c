/* Statements. */
#include "modules/audit/audit_internal.h"

const struct statement audit_insert = STATEMENT("audit_insert",
	.sql = "INSERT INTO main.audit (tenant_id, id, kind, user_id, key_id, session_id, "
	       "impersonator_id, address, address_salt, address_digest, action, target_type, "
	       "target_id, state_before, state_after, personal, personal_salt, personal_count, "
	       "security, request_id, trace_id, created_at, seal) VALUES (:tenant, :id, :kind, "
	       ":user_id, :key_id, :session_id, :impersonator_id, :address, :address_salt, "
	       ":address_digest, :action, :target_type, :target_id, :state_before, :state_after, "
	       ":personal, :personal_salt, :personal_count, :security, :request_id, :trace_id, "
	       ":created_at, :seal)",
	.in = &audit_row_schema);

const struct statement *const audit_statements[AUDIT_STATEMENTS] = { &audit_insert };
