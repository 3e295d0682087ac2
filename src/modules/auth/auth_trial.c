/*
 * What stands in front of every look at a password: the bounds of the pool and the count of tries,
 * in an order in which a flood costs least. A place first, which costs nothing; then the try, which
 * is a small transaction; then the turn, for which nobody holds a place; then the hash.
 */
#include "modules/auth/auth_signin.h"

#include "http/server.h"
#include "observe/clock.h"
#include "rest/db.h"

struct uuid signin_uuid(struct str text)
{
	struct uuid id;

	CHECK(uuid_parse(text, &id));
	return id;
}

/* --- trials -------------------------------------------------------------------------- */

static void leave(struct trial *trial)
{
	if (trial->placed)
		passwords_leave();
	trial->placed = false;
}

static int enter(struct trial *trial)
{
	int r = passwords_enter();

	trial->placed = r == 0;
	return r;
}

/* Who has to wait makes room for others meanwhile. */
static int take_turn(struct req *req, struct trial *trial)
{
	int r;

	if (trial->attempt.verdict == ATTEMPT_REFUSED ||
		trial->attempt.begins_us <= clock_wall_us())
		return 0;
	leave(trial);
	r = attempt_wait(&trial->attempt);
	if (r < 0)
		return r; /* gone, and counted: nobody asks for more by hanging up */
	r = enter(trial);
	if (r < 0)
		attempt_undo(req, &trial->attempt);
	return r;
}

int trial_begin(struct req *req, struct str email, struct trial *ret)
{
	int r;

	*ret = (struct trial){ 0 };
	r = enter(ret);
	if (r == 0)
		r = attempt_begin(req, email, &ret->attempt);
	if (r == 0)
		r = take_turn(req, ret);
	if (r < 0)
		leave(ret);
	return r;
}

/* Hashes of ours are of the prepared form. One that came from elsewhere was made of what was typed,
 * as far as anybody knows. What cannot be prepared is nobody's password: empty. */
static int form_for(
	struct req *req, const struct password_row *row, struct str given, struct str *ret)
{
	int r;

	*ret = given;
	if (row && row->imported)
		return 0;
	r = password_prepare(given, &req->arena, ret);
	if (r != -ERR_INVALID)
		return r;
	*ret = str_of(NULL, 0);
	return 0;
}

int trial_check(struct req *req, struct trial *trial, struct str given,
	const struct password_row *row, bool *ret_right)
{
	struct str form, hash = str_of(NULL, 0);
	int r = form_for(req, row, given, &form);

	if (r == 0 && row && form.len && trial->attempt.verdict != ATTEMPT_REFUSED)
		hash = row->hash;
	if (r == 0)
		r = passwords_check(form, hash, ret_right);
	if (r < 0)
		attempt_undo(req, &trial->attempt);
	return r;
}

void trial_end(struct req *req, struct trial *trial, bool right, struct str email)
{
	leave(trial);
	if (right)
		attempt_succeeded(req, &trial->attempt, email);
}

/* --- for who is signed in ----------------------------------------------------------------- */

struct caller_read {
	struct uuid user;
	struct user *ret;
	struct tenant *ret_tenant;
};

static int caller_in_tx(struct tx *tx, void *arg)
{
	const struct caller_read *read = arg;
	int r = user_get_in_tx(tx, &read->user, read->ret);

	return r < 0 ? r : tenant_get_in_tx(tx, read->ret_tenant);
}

int caller_user(struct req *req, struct user *ret, struct tenant *ret_tenant)
{
	struct caller_read read = { .ret = ret, .ret_tenant = ret_tenant };
	struct db db = req_db(req);

	if (req->caller.kind != CALLER_USER || !uuid_parse(req->caller.id, &read.user))
		return fail(ERR_FORBIDDEN, "only users have an account");
	return db_read(&db, caller_in_tx, &read);
}

struct stored_read {
	struct uuid user;
	struct password_row *ret;
};

static int stored_in_tx(struct tx *tx, void *arg)
{
	const struct stored_read *read = arg;

	return password_get_in_tx(tx, &read->user, read->ret);
}

int confirm_password(struct req *req, const struct user *user, struct str given, const char *field)
{
	struct db db = req_db(req);
	struct password_row row;
	struct stored_read read = { signin_uuid(user->id), &row };
	struct trial trial;
	bool right = false;
	int r = db_read(&db, stored_in_tx, &read);
	bool stored = r == 0;

	if (r < 0 && r != -ERR_NOT_FOUND)
		return r;
	r = trial_begin(req, user->email, &trial);
	if (r < 0)
		return r;
	r = trial_check(req, &trial, given, stored ? &row : NULL, &right);
	trial_end(req, &trial, r == 0 && right, user->email);
	if (r == 0 && !right)
		r = fail_field(ERR_INVALID, field, "wrong_password", "is wrong");
	return r;
}

/* --- new passwords --------------------------------------------------------------------------- */

/* The rule's name stays; the field is the route's. */
static int blame(const char *field)
{
	struct err err = *err_last();

	return err.code == ERR_INVALID && err.rule[0] ? err_blame(field, err.rule) : -(int)err.code;
}

static int hash_new(struct req *req, struct str prepared, const struct password_context *context,
	struct str *ret)
{
	int r = passwords_refuse(prepared, context);

	return r < 0 ? r : passwords_hash(prepared, &req->arena, ret);
}

int choose_password(struct req *req, struct str given, const struct password_context *context,
	const char *field, struct str *ret_hash)
{
	struct str prepared;
	int r = password_prepare(given, &req->arena, &prepared);

	if (r == 0)
		r = passwords_enter();
	if (r < 0)
		return blame(field);
	r = hash_new(req, prepared, context, ret_hash);
	passwords_leave();
	return r < 0 ? blame(field) : 0;
}

/* --- tenants -------------------------------------------------------------- */

static int is_served(int found, const struct tenant *tenant)
{
	if (found == -ERR_NOT_FOUND)
		return 0;
	return found < 0 ? found : tenant->status == TENANT_ACTIVE;
}

int served_tenant_id(struct req *req, const struct uuid *id, struct tenant *ret)
{
	return is_served(tenant_find(req_server(req)->store, id, &req->arena, ret), ret);
}

int served_tenant(struct req *req, struct str name, struct tenant *ret)
{
	struct uuid id;

	if (uuid_parse(name, &id))
		return served_tenant_id(req, &id, ret);
	return is_served(tenant_find_slug(req_server(req)->store, name, &req->arena, ret), ret);
}
