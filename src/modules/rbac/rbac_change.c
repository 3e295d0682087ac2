/*
 * What somebody asks to be changed, one transaction each. Nobody gives, takes away or changes what
 * they do not have themselves; what they have is read again in the transaction, so that a right
 * that is taken away meanwhile is gone.
 */
#include "modules/rbac/rbac_internal.h"

#include "base/check.h"
#include "http/match.h"
#include "http/request.h"
#include "schema/problem.h"

/* --- who asks ------------------------------------------------------------------------ */

struct asker asker_of(struct req *req)
{
	const struct caller *caller = &req->caller;
	struct asker asker = { .actor = audit_actor_of(req), .rights = *req_rights(req) };

	(void)uuid_parse(caller->owner.len ? caller->owner : caller->id, &asker.user);
	return asker;
}

/* What the asker has now: of a key no more than its scopes. */
static int rights_of_asker(struct tx *tx, const struct asker *asker, struct rights *ret)
{
	struct holding holding = { 0 };
	int r = holding_get_in_tx(tx, &asker->user, &holding);

	if (r < 0)
		return r;
	*ret = asker->rights;
	rights_intersect(ret, &holding.rights);
	return 0;
}

static int must_have(const struct rights *all, const struct rights *some, struct str role)
{
	if (rights_within(some, all))
		return 0;
	return fail(ERR_FORBIDDEN, "the role %.*s has rights that you lack", STR_ARG(role));
}

int refusal_in_tx(struct tx *tx, void *arg)
{
	const struct refusal *refusal = arg;
	struct audit_entry entry = { .action = S("role.refused"),
		.type = refusal->type,
		.id = refusal->id,
		.security = true };

	return tx_audit(tx, &refusal->actor, &entry);
}

/* --- roles --------------------------------------------------------------------------- */

/* The audit entry and the event of a role. */
static int note_role(struct tx *tx, const struct asker *asker, struct str action,
	const struct role *before, const struct role *after)
{
	const struct role *role = after ? after : before;
	struct audit_entry entry = { .action = action,
		.type = S("role"),
		.id = role->name,
		.schema = &role_schema,
		.before = before,
		.after = after };
	int r = tx_audit(tx, &asker->actor, &entry);

	return r < 0 ? r : tx_emit(tx, &(struct event){ action, role->name, &role_schema, role });
}

static int name_is_free(struct tx *tx, struct str name)
{
	struct role_ref ref = { .name = name };
	struct role_count roles;
	struct role role;
	int r = built_in_find(name) >= 0 ? 0 : tx_one(tx, &role_get, &ref, &role);

	if (r == 0)
		return fail_field(ERR_CONFLICT, "name", "unique", "is taken");
	if (r != -ERR_NOT_FOUND)
		return r;
	r = tx_one(tx, &role_count, NULL, &roles);
	if (r == 0 && roles.count >= ROLES_MAX)
		return fail(ERR_CONFLICT, "a tenant has at most %d roles of its own", ROLES_MAX);
	return r;
}

/* Whether these patterns may be given by the asker. */
static int check_rights(
	struct tx *tx, const struct rights *has, const struct texts *patterns, struct str role)
{
	struct rights rights;
	int r = patterns_check(tx_tenant(tx), patterns->at, patterns->count);

	if (r < 0)
		return r;
	patterns_rights(tx_tenant(tx), patterns->at, patterns->count, &rights);
	return must_have(has, &rights, role);
}

static int make_role(struct tx *tx, const struct role_new *in, struct role *ret)
{
	struct opt_i64 now = { .set = true, .value = tx_now_us(tx) };
	struct uuid id;
	struct str text;

	uuid_v7(&id, tx_now_us(tx));
	text = uuid_text(tx_arena(tx), &id);
	if (!text.at)
		return -(int)err_last()->code;
	*ret = (struct role){
		.name = in->name,
		.id = text,
		.description = in->description,
		.rights = in->rights,
		.version = 1,
		.created_at = now,
		.updated_at = now,
	};
	return 0;
}

int role_create_in_tx(struct tx *tx, void *arg)
{
	const struct role_create *create = arg;
	struct rights has;
	struct role role;
	int r = rights_of_asker(tx, &create->asker, &has);

	if (r == 0)
		r = check_rights(tx, &has, &create->in->rights, create->in->name);
	if (r == 0)
		r = name_is_free(tx, create->in->name);
	if (r == 0)
		r = make_role(tx, create->in, &role);
	if (r == 0)
		r = tx_exec(tx, &role_insert, &role);
	if (r == 0)
		r = note_role(tx, &create->asker, S("role.created"), NULL, &role);
	if (r == 0)
		*create->ret = role;
	return r;
}

static int update_role(struct tx *tx, const struct role_change *change, const struct rights *has,
	const struct role *before)
{
	const struct role_patch *patch = change->patch;
	struct role after = *before;
	int r = 0;

	if (patch->description.set)
		after.description = patch->description.value;
	if (patch->rights.count) {
		after.rights = patch->rights;
		r = check_rights(tx, has, &after.rights, after.name);
	}
	after.version++;
	after.updated_at.value = tx_now_us(tx);
	if (r == 0)
		r = tx_exec(tx, &role_update, &after);
	if (r == 0)
		r = note_role(tx, &change->asker, S("role.changed"), before, &after);
	if (r == 0)
		r = tx_notice(tx, S(RBAC_TOPIC), S(RBAC_ALL));
	if (r == 0)
		*change->ret = after;
	return r;
}

static int delete_role(struct tx *tx, const struct role_change *change, const struct role *role)
{
	struct role_ref ref = { .name = role->name };
	struct role_count members;
	int r = tx_one(tx, &role_member_count, &ref, &members);

	if (r == 0 && members.count > 0)
		return fail(ERR_CONFLICT, "%lld users have this role", (long long)members.count);
	if (r == 0)
		r = tx_exec(tx, &role_delete, &ref);
	return r < 0 ? r : note_role(tx, &change->asker, S("role.deleted"), role, NULL);
}

int role_change_in_tx(struct tx *tx, void *arg)
{
	const struct role_change *change = arg;
	struct role_ref ref = { .name = change->name };
	struct rights has, given;
	struct role before = { 0 };
	int r;

	if (built_in_find(change->name) >= 0)
		return fail(ERR_CONFLICT, "the built-in roles stay what they are");
	r = tx_one(tx, &role_get, &ref, &before);
	if (r == 0)
		r = req_if_match(change->req, before.version);
	if (r == 0)
		r = rights_of_asker(tx, &change->asker, &has);
	if (r < 0)
		return r;

	patterns_rights(tx_tenant(tx), before.rights.at, before.rights.count, &given);
	r = must_have(&has, &given, before.name);
	if (r < 0)
		return r;
	return change->patch ? update_role(tx, change, &has, &before)
			     : delete_role(tx, change, &before);
}

/* --- roles of a user ----------------------------------------------------------------- */

/* clang-format off */
const struct schema user_state_schema = SCHEMA(user_roles, "The roles of a user.",
	LIST(user_roles, roles, "All of them.", RANGE(0, ROLES_OF_USER_MAX),
		.item = RULES(RANGE(1, ROLE_NAME_MAX))));
/* clang-format on */

int user_roles_make(
	struct arena *arena, struct str user, const struct holding *holding, struct user_roles *ret)
{
	struct texts rights = { arena_alloc(arena, (rights_count() + 1) * sizeof(*rights.at)), 0 };
	struct str id = arena_str(arena, user);

	if (!rights.at || !id.at)
		return -(int)err_last()->code;
	for (size_t i = 0; i < rights_count(); i++)
		if (rights_has(&holding->rights, right_at(i)))
			rights.at[rights.count++] = right_at(i);
	*ret = (struct user_roles){ id, holding->active, holding->roles, rights, holding->version };
	return 0;
}

/* Gives and takes one role after the other; the number of changes. */
static int apply_roles(struct tx *tx, const struct roles_set *set, const struct rights *has,
	const struct holding *before)
{
	int changes = 0, r = 0;

	for (size_t i = 0; i < set->roles->count && r == 0; i++) {
		struct str role = set->roles->at[i];

		if (texts_have(&before->roles, role))
			continue;
		r = rbac_may_grant_in_tx(tx, has, role);
		if (r == -ERR_NOT_FOUND)
			return fail_field(ERR_INVALID, "roles", "unknown_role",
				"there is no role %.*s", STR_ARG(role));
		if (r == 0)
			r = member_add_in_tx(tx, &set->user, role);
		changes++;
	}
	for (size_t i = 0; i < before->roles.count && r == 0; i++) {
		struct str role = before->roles.at[i];

		if (texts_have(set->roles, role))
			continue;
		r = rbac_may_grant_in_tx(tx, has, role);
		if (r == 0)
			r = member_remove_in_tx(tx, &set->user, before, role);
		changes++;
	}
	return r < 0 ? r : changes;
}

/* The audit entry and the event of a user whose roles are others now. */
static int note_user(struct tx *tx, const struct asker *asker, const struct user_roles *before,
	const struct user_roles *after)
{
	struct audit_entry entry = { .action = S("user.roles_changed"),
		.type = S("user"),
		.id = after->user_id,
		.schema = &user_state_schema,
		.before = before,
		.after = after };
	int r = tx_audit(tx, &asker->actor, &entry);

	if (r < 0)
		return r;
	return tx_emit(tx, &(struct event){ S("user.roles_changed"), after->user_id,
				   &user_state_schema, after });
}

int roles_set_in_tx(struct tx *tx, void *arg)
{
	const struct roles_set *set = arg;
	struct user_roles was, is;
	struct holding before = { 0 }, after = { 0 };
	char user[UUID_TEXT_LEN];
	struct str id = str_of(user, sizeof(user));
	struct rights has;
	int r = holding_get_in_tx(tx, &set->user, &before);

	uuid_write(user, &set->user);
	if (r == 0 && !before.known)
		r = fail(ERR_NOT_FOUND, "there is no such user");
	if (r == 0)
		r = req_if_match(set->req, before.version);
	if (r == 0)
		r = rights_of_asker(tx, &set->asker, &has);
	if (r == 0)
		r = apply_roles(tx, set, &has, &before);
	if (r < 0)
		return r;

	if (r > 0)
		r = user_changed_in_tx(tx, &set->user);
	if (r == 0)
		r = holding_get_in_tx(tx, &set->user, &after);
	if (r == 0)
		r = user_roles_make(tx_arena(tx), id, &before, &was);
	if (r == 0)
		r = user_roles_make(tx_arena(tx), id, &after, &is);
	if (r == 0 && before.version != after.version)
		r = note_user(tx, &set->asker, &was, &is);
	if (r == 0)
		*set->ret = is;
	return r;
}
