/* Rows of main.auth_policy, at most one of each tenant. */
#include "modules/auth/auth_policy.h"

#include "http/match.h"
#include "modules/audit/audit.h"
#include "modules/auth/auth_internal.h"

#define SIGN_UPS CHOICES("open", "invitation", "closed")

/* clang-format off */
const struct schema auth_policy_schema = SCHEMA(auth_policy, "Who may have an account in the tenant.",
	FIELD(auth_policy, sign_up, "Who may register: anybody, who was invited, or nobody.",
		.flags = REQUIRED, SIGN_UPS),
	FIELD(auth_policy, version, "Grows by one on each change.", .flags = REQUIRED, .example = "1"));

const struct schema auth_policy_patch_schema = SCHEMA(auth_policy_patch, "What is to change; the rest stays.",
	FIELD(auth_policy_patch, sign_up, "Who may register.", SIGN_UPS));
/* clang-format on */

static const struct statement policy_get = STATEMENT("auth_policy_get",
	.sql = "SELECT sign_up, version FROM auth_policy WHERE tenant_id = :tenant",
	.out = &auth_policy_schema);

static const struct statement policy_put = STATEMENT("auth_policy_put",
	.sql = "INSERT INTO main.auth_policy (tenant_id, sign_up, version, updated_at) "
	       "VALUES (:tenant, :sign_up, :version, :now) ON CONFLICT (tenant_id) DO UPDATE SET "
	       "sign_up = excluded.sign_up, version = excluded.version, "
	       "updated_at = excluded.updated_at",
	.in = &auth_policy_schema);

const struct statement *const policy_statements[POLICY_STATEMENTS] = { &policy_get, &policy_put };

int policy_get_in_tx(struct tx *tx, struct auth_policy *ret)
{
	int r = tx_one(tx, &policy_get, NULL, ret);

	if (r != -ERR_NOT_FOUND)
		return r;
	*ret = (struct auth_policy){ .sign_up = auth_options()->sign_up };
	return 0;
}

int policy_change_in_tx(struct tx *tx, void *arg)
{
	const struct policy_change *change = arg;
	struct auth_policy before, after;
	char id[UUID_TEXT_LEN];
	struct audit_entry entry = { .action = S("auth.policy_changed"),
		.type = S("tenant"),
		.id = str_of(id, sizeof(id)),
		.schema = &auth_policy_schema,
		.before = &before,
		.after = &after };
	int r = policy_get_in_tx(tx, &before);

	if (r == 0)
		r = req_if_match(change->req, before.version);
	if (r < 0)
		return r;
	after = before;
	if (change->patch->sign_up.set)
		after.sign_up = (enum auth_sign_up)change->patch->sign_up.value;
	if (change->patch->sign_up.set && (after.sign_up != before.sign_up || !before.version)) {
		after.version++;
		uuid_write(id, tx_tenant(tx));
		r = tx_exec(tx, &policy_put, &after);
		if (r == 0)
			r = tx_audit(tx, change->actor, &entry);
	}
	if (r == 0)
		*change->ret = after;
	return r;
}
