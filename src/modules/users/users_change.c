/* Changes of users and their end, and who else has to do with that. */
#include "modules/users/users_internal.h"

#include "base/err.h"
#include "http/match.h"

static const struct audit_actor program = { .kind = AUDIT_PROGRAM };

/* --- watchers ------------------------------------------------------------------------------ */

/* Set before anything is served, and only read from then on; in the order of their coming. */
static struct user_watcher *watchers;

void users_watch(struct user_watcher *watcher)
{
	struct user_watcher **last = &watchers;

	while (*last)
		last = &(*last)->next;
	watcher->next = NULL;
	*last = watcher;
}

void user_watchers_forget(void)
{
	watchers = NULL;
}

static int tell_suspended(struct tx *tx, const struct uuid *id)
{
	int r = 0;

	for (const struct user_watcher *at = watchers; at && r == 0; at = at->next)
		if (at->suspended)
			r = at->suspended(tx, id);
	return r;
}

static int tell_deleted(struct tx *tx, const struct uuid *id)
{
	int r = tell_suspended(tx, id);

	for (const struct user_watcher *at = watchers; at && r == 0; at = at->next)
		if (at->deleted)
			r = at->deleted(tx, id);
	return r;
}

int user_export_in_tx(struct tx *tx, const struct uuid *id, struct json_writer *writer)
{
	int r = 0;

	for (const struct user_watcher *at = watchers; at && r == 0; at = at->next) {
		if (!at->export)
			continue;
		json_write_key(writer, str_from_c(at->export_name));
		r = at->export(tx, id, writer);
	}
	return r;
}

/* --- changing ------------------------------------------------------------- */

/* Writes what has changed, with the entry and the event. */
static int update(struct tx *tx, const struct audit_actor *actor, struct str action,
	const struct user *before, struct user *after)
{
	struct audit_entry entry = {
		.action = action,
		.type = S("user"),
		.id = after->id,
		.schema = &user_schema,
		.before = before,
		.after = after,
	};
	int r;

	after->version++;
	after->updated_at = tx_now_us(tx);
	r = user_write(tx, &user_update, after);
	if (r == 0)
		r = tx_audit(tx, actor ? actor : &program, &entry);
	return r < 0 ? r
		     : tx_emit(tx, &(struct event){
					   S("user.updated"), after->id, &user_schema, after });
}

static struct opt_i64 verified_now(const struct tx *tx)
{
	return (struct opt_i64){ .set = true, .value = tx_now_us(tx) };
}

int user_set_email_in_tx(struct tx *tx, const struct uuid *id, struct str email,
	const struct audit_actor *actor, struct user *ret)
{
	struct user before, after;
	int r = user_check_email(email);

	if (r == 0)
		r = user_get_in_tx(tx, id, &before);
	if (r < 0)
		return r;
	after = before;
	after.email = email;
	after.email_verified_at = verified_now(tx);
	r = update(tx, actor, S("user.email_changed"), &before, &after);
	if (r == 0)
		*ret = after;
	return r;
}

int user_verified_in_tx(struct tx *tx, const struct uuid *id, const struct audit_actor *actor)
{
	struct user before, after;
	int r = user_get_in_tx(tx, id, &before);

	if (r < 0 || before.email_verified_at.set)
		return r;
	after = before;
	after.email_verified_at = verified_now(tx);
	return update(tx, actor, S("user.email_verified"), &before, &after);
}

/* Suspends, or ends that. The action goes to `*ret`. */
static int move(struct tx *tx, const struct user_change *change, struct user *user, struct str *ret)
{
	bool active = change->status.value == USER_ACTIVE;
	int r;

	if (change->self)
		return fail(ERR_CONFLICT, "nobody suspends themselves");
	user->status = (enum user_status)change->status.value;
	*ret = active ? S("user.resumed") : S("user.suspended");
	r = rbac_set_active_in_tx(tx, &change->id, active);
	return r < 0 || active ? r : tell_suspended(tx, &change->id);
}

static int patch(struct tx *tx, const struct user_change *change, const struct user *before)
{
	struct str action = S("user.updated");
	struct user after = *before;
	int r = 0;

	if (change->name.set)
		r = user_clean_name(change->name.value, &after.name);
	if (r == 0 && change->status.set && change->status.value != (int)before->status)
		r = move(tx, change, &after, &action);
	if (r == 0 && (after.status != before->status || !str_eq(after.name, before->name)))
		r = update(tx, &change->actor, action, before, &after);
	if (r == 0)
		*change->ret = after;
	return r;
}

int user_change_in_tx(struct tx *tx, void *arg)
{
	const struct user_change *change = arg;
	struct user before;
	int r = user_get_in_tx(tx, &change->id, &before);

	if (r == 0)
		r = req_if_match(change->req, before.version);
	if (r == 0 && change->rights)
		r = rbac_may_touch_in_tx(tx, change->rights, &change->id);
	if (r < 0)
		return r;
	if (change->ret)
		return patch(tx, change, &before);
	return change->self ? fail(ERR_CONFLICT, "one deletes oneself with DELETE /api/v1/me")
			    : user_delete_in_tx(tx, &change->id, &change->actor);
}

int user_refusal_in_tx(struct tx *tx, void *arg)
{
	const struct user_refusal *refusal = arg;
	struct audit_entry entry = {
		.action = refusal->action,
		.type = refusal->type,
		.id = refusal->id,
		.security = true,
	};

	return tx_audit(tx, &refusal->actor, &entry);
}

/* --- deleting ------------------------------------------------------------- */

int user_delete_in_tx(struct tx *tx, const struct uuid *id, const struct audit_actor *actor)
{
	struct user user;
	struct audit_entry entry = { .action = S("user.deleted"),
		.type = S("user"),
		.schema = &user_schema,
		.before = &user };
	struct user_ref ref;
	int r = user_get_in_tx(tx, id, &user);

	if (r == 0)
		r = tell_deleted(tx, id);
	if (r == 0)
		r = rbac_forget_in_tx(tx, id);
	if (r < 0)
		return r;
	entry.id = ref.id = user.id;
	r = tx_exec(tx, &user_remove, &ref);
	if (r == 0)
		r = tx_audit(tx, actor ? actor : &program, &entry);
	if (r == 0) /* also what this entry says of them */
		r = audit_erase_user_in_tx(tx, id);
	return r < 0 ? r
		     : tx_emit(tx, &(struct event){
					   S("user.deleted"), user.id, &user_id_schema, &ref });
}
