/*
 * Users from another system, with the hashes of their passwords. Whatever is wrong is told at once,
 * for all of them; then all are made in one transaction, or none.
 */
#include "modules/auth/auth_signin.h"

#include "http/server.h"
#include "modules/rbac/rbac.h"
#include "rest/write.h"

static const struct str member = S_INIT("member");

/* What the rows say against one of them. */
enum objection { FINE, EMAIL_TAKEN, NO_ROLE, NO_RIGHT };

struct import {
	const struct import_in *in;
	struct audit_actor actor;
	const struct rights *giver;
	enum objection *objections; /* of each user; written by the transaction */
	bool objected;
	struct imported *ret;
};

/* --- without rows ---------------------------------------------------------------------- */

static int add_problem(
	struct req *req, size_t number, const char *member_, const char *code, const char *text)
{
	struct str field = arena_printf(&req->arena, "users.%zu.%s", number, member_);

	if (!field.at)
		return -(int)err_last()->code;
	return problems_add(&req->problems, field, code, "%s", text);
}

/* Open addressing over at most IMPORT_MAX addresses. */
enum { SEEN_SLOTS = 4096 };

static uint64_t email_hash(struct str email)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < email.len; i++) {
		char byte = email.at[i];

		hash ^= (uint8_t)(byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte);
		hash *= UINT64_C(0x100000001b3);
	}
	return hash;
}

/* Whether the address came before; `seen` has numbers from 1. */
static bool seen_before(const struct import_in *in, size_t number, uint16_t seen[SEEN_SLOTS])
{
	struct str email = in->users.at[number].email;
	size_t slot = email_hash(email) % SEEN_SLOTS;

	for (; seen[slot]; slot = (slot + 1) % SEEN_SLOTS)
		if (str_eq_nocase(in->users.at[seen[slot] - 1].email, email))
			return true;
	seen[slot] = (uint16_t)(number + 1);
	return false;
}

static int check_one(
	struct req *req, const struct import_in *in, size_t number, uint16_t seen[SEEN_SLOTS])
{
	const struct import_user *user = &in->users.at[number];
	size_t bytes;
	int r = 0;

	if (user->password_hash.set && password_memory(user->password_hash.value, &bytes) < 0)
		r = add_problem(req, number, "passwordHash", "invalid_hash",
			"is no hash that is understood here, or too dear to verify");
	if (r == 0 && seen_before(in, number, seen))
		r = add_problem(req, number, "email", "unique", "stands here twice");
	return r;
}

static int check(struct req *req, const struct import_in *in)
{
	uint16_t *seen = arena_zalloc(&req->arena, SEEN_SLOTS * sizeof(*seen));
	size_t roles = 0;
	int r = seen ? 0 : -(int)err_last()->code;

	for (size_t i = 0; i < in->users.count && r == 0; i++) {
		r = check_one(req, in, i, seen);
		roles += MAX(in->users.at[i].roles.count, 1);
	}
	if (r == 0 && roles > IMPORT_MAX)
		r = problems_add(&req->problems, S("users"), "too_many_roles",
			"have more than %d roles together; send fewer at a time", IMPORT_MAX);
	return r;
}

/* --- with rows -------------------------------------------------------------------------------- */

static int role_objection(struct tx *tx, const struct import *import, struct str role)
{
	int r = rbac_may_grant_in_tx(tx, import->giver, role);

	return r == -ERR_NOT_FOUND ? NO_ROLE : r == -ERR_FORBIDDEN ? NO_RIGHT : r;
}

/* What is against a user: an objection, or a negative code. */
static int ask(struct tx *tx, const struct import *import, const struct import_user *user)
{
	struct user there;
	int r = user_by_email_in_tx(tx, user->email, &there);

	if (r == 0)
		return EMAIL_TAKEN;
	if (r != -ERR_NOT_FOUND)
		return r;
	if (user->roles.count == 0)
		return role_objection(tx, import, member);
	for (size_t i = 0; i < user->roles.count; i++) {
		r = role_objection(tx, import, user->roles.at[i]);
		if (r != FINE)
			return r;
	}
	return FINE;
}

static int ask_all(struct tx *tx, struct import *import)
{
	import->objected = false;
	for (size_t i = 0; i < import->in->users.count; i++) {
		struct arena_mark mark = arena_mark(tx_arena(tx));
		int r = ask(tx, import, &import->in->users.at[i]);

		arena_back(tx_arena(tx), mark);
		if (r < 0)
			return r;
		import->objections[i] = (enum objection)r;
		import->objected |= r != FINE;
	}
	return import->objected ? fail(ERR_INVALID, "some users cannot be made") : 0;
}

static int make_one(struct tx *tx, const struct import *import, const struct import_user *in,
	struct imported_user *ret)
{
	struct user_new new = { .email = in->email,
		.name = in->name,
		.verified = in->verified,
		.actor = &import->actor };
	struct user user;
	struct uuid id;
	int r = user_create_in_tx(tx, &new, &user);

	if (r < 0)
		return r;
	id = signin_uuid(user.id);
	if (in->roles.count == 0)
		r = rbac_grant_in_tx(tx, &id, member);
	for (size_t i = 0; i < in->roles.count && r == 0; i++)
		r = rbac_grant_in_tx(tx, &id, in->roles.at[i]);
	if (r == 0 && in->password_hash.set)
		r = password_put_in_tx(tx, &id, in->password_hash.value, true);
	*ret = (struct imported_user){ user.id, user.email };
	return r;
}

static int import_in_tx(struct tx *tx, void *arg)
{
	struct import *import = arg;
	size_t count = import->in->users.count;
	struct imported_user *made = arena_alloc(tx_arena(tx), count * sizeof(*made));
	int r = made ? ask_all(tx, import) : -(int)err_last()->code;

	for (size_t i = 0; i < count && r == 0; i++)
		r = make_one(tx, import, &import->in->users.at[i], &made[i]);
	if (r == 0) {
		import->ret->users.at = made;
		import->ret->users.count = count;
	}
	return r;
}

/* --- the handler ---------------------------------------------------------- */

/* Rights that are lacked are another answer than mistakes. */
static int tell(struct req *req, const struct import *import)
{
	static const struct {
		const char *member, *code, *text;
	} texts[] = {
		[EMAIL_TAKEN] = { "email", "unique", "has an account already" },
		[NO_ROLE] = { "roles", "unknown", "names a role that there is not" },
		[NO_RIGHT] = { "roles", "forbidden", "names a role with rights that you lack" },
	};
	bool forbidden = false;
	int r = 0;

	for (size_t i = 0; i < import->in->users.count && r == 0; i++) {
		enum objection objection = import->objections[i];

		forbidden |= objection == NO_RIGHT;
		if (objection != FINE)
			r = add_problem(req, i, texts[objection].member, texts[objection].code,
				texts[objection].text);
	}
	if (r < 0)
		return r;
	return forbidden ? fail(ERR_FORBIDDEN, "a role has rights that you lack")
			 : fail(ERR_INVALID, "some users cannot be made");
}

int auth_import(struct req *req, const struct import_in *in, struct imported *out)
{
	struct import import = {
		.in = in, .actor = audit_actor_of(req), .giver = req_rights(req), .ret = out
	};
	int r = check(req, in);

	if (r == 0 && req->problems.count)
		r = fail(ERR_INVALID, "some users cannot be made");
	if (r < 0)
		return r;
	import.objections = arena_zalloc(&req->arena, in->users.count * sizeof(*import.objections));
	if (!import.objections)
		return -(int)err_last()->code;
	r = req_write(req, import_in_tx, &import);
	return r == -ERR_INVALID && import.objected ? tell(req, &import) : r;
}
