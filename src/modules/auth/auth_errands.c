/* Errands: rows, and the transactions that do them. */
#include "modules/auth/auth_errands.h"

#include "http/server.h"
#include "modules/audit/audit.h"
#include "modules/auth/auth_internal.h"
#include "modules/auth/auth_password_store.h"
#include "modules/mails/mails.h"
#include "modules/tenants/tenants.h"
#include "observe/log.h"

/* --- rows ------------------------------------------------------------------------------ */

/* A row of main.auth_errand. */
struct errand_row {
	struct str id;
	enum errand_kind kind;
	struct str email;
	struct opt_str target_id;
	struct str name, hash;
	struct str address, request; /* of who asked */
};

struct errand_by {
	struct str id;
	int64_t limit;
};

#define KINDS CHOICES("join", "verify", "reset", "tenants", "unlock")

/* clang-format off */
static const struct schema errand_row_schema = SCHEMA(errand_row, "An errand.",
	FIELD(errand_row, id, "Which.", .format = FORMAT_UUID),
	FIELD(errand_row, kind, "What.", KINDS),
	FIELD(errand_row, email, "For whom."),
	FIELD(errand_row, target_id, "In which tenant.", .format = FORMAT_UUID),
	FIELD(errand_row, name, "Of the account."),
	FIELD(errand_row, hash, "Of the password.", .flags = SECRET),
	FIELD(errand_row, address, "Who asked."),
	FIELD(errand_row, request, "Who asked."));

static const struct schema errand_id_schema = SCHEMA(errand_by, "One errand.",
	FIELD(errand_by, id, "Which.", .format = FORMAT_UUID));

static const struct schema errand_limit_schema = SCHEMA(errand_by, "The next ones.",
	FIELD(errand_by, limit, "How many."));
/* clang-format on */

static const struct statement errand_insert = STATEMENT("auth_errand_put",
	.sql = "INSERT INTO main.auth_errand (tenant_id, id, kind, email, target_id, name, hash, "
	       "address, request, created_at) VALUES (:tenant, :id, :kind, :email, :target_id, "
	       ":name, :hash, :address, :request, :now)",
	.in = &errand_row_schema);

static const struct statement errand_next = STATEMENT("auth_errand_next",
	.sql = "SELECT id, kind, email, target_id, name, hash, address, request FROM auth_errand "
	       "WHERE tenant_id = :tenant ORDER BY id LIMIT :limit",
	.in = &errand_limit_schema, .out = &errand_row_schema);

static const struct statement errand_remove = STATEMENT("auth_errand_remove",
	.sql = "DELETE FROM main.auth_errand WHERE tenant_id = :tenant AND id = :id",
	.in = &errand_id_schema, .expect = EXPECT_ONE);

static const struct statement errand_expire = STATEMENT(
	"auth_errand_expire", .sql = "DELETE FROM main.auth_errand WHERE tenant_id = :tenant "
				     "AND created_at < :now - 3600000000");

const struct statement *const errand_statements[ERRAND_STATEMENTS] = { &errand_insert, &errand_next,
	&errand_remove, &errand_expire };

/* --- putting down ------------------------------------------------------------------------- */

struct put {
	const struct errand *errand;
	const struct req *req;
};

int errand_put_in_tx(struct tx *tx, const struct errand *errand, const struct req *req)
{
	char text[UUID_TEXT_LEN];
	struct errand_row row = {
		.id = str_of(text, sizeof(text)),
		.kind = errand->kind,
		.email = errand->email,
		.target_id = errand->tenant_id,
		.name = errand->name,
		.hash = errand->hash,
		.address = req->client_text,
		.request = req->id,
	};
	struct uuid id;

	uuid_v7(&id, tx_now_us(tx));
	uuid_write(text, &id);
	return tx_exec(tx, &errand_insert, &row);
}

static int put_in_tx(struct tx *tx, void *arg)
{
	const struct put *put = arg;

	return errand_put_in_tx(tx, put->errand, put->req);
}

int errand_put(struct req *req, const struct errand *errand)
{
	struct db db = db_of(req_server(req)->store, &tenant_system, &req->arena);

	return db_write(&db, put_in_tx, &(struct put){ errand, req });
}

/* --- doing ---------------------------------------------------------------------------------- */

/* One errand, with the accounts that it is about. */
struct doing {
	const struct errand_row *row;
	struct accounts accounts;
	struct audit_actor actor;
};

static struct uuid uuid_of(struct str text)
{
	struct uuid id;

	CHECK(uuid_parse(text, &id));
	return id;
}

static int keep_password(struct tx *tx, const struct doing *doing, const struct user *user)
{
	struct uuid id = uuid_of(user->id);
	int r = password_put_in_tx(tx, &id, doing->row->hash, false);

	if (r == 0)
		r = link_mail_in_tx(tx, &(struct link_order){ .kind = LINK_VERIFY, .user = user });
	return MIN(r, 0);
}

/* As the tenant that is joined. */
static int join(struct tx *tx, const struct doing *doing)
{
	struct user_new new = {
		.email = doing->row->email,
		.name = doing->row->name,
		.role = S("member"),
		.actor = &doing->actor,
	};
	struct mail_post mail = { .kind = MAIL_ALREADY_THERE };
	struct tenant tenant;
	struct user user;
	int r = user_by_email_in_tx(tx, doing->row->email, &user);

	if (r == -ERR_NOT_FOUND) {
		r = user_create_in_tx(tx, &new, &user);
		return r < 0 ? r : keep_password(tx, doing, &user);
	}
	if (r == 0)
		r = tenant_get_in_tx(tx, &tenant);
	if (r < 0)
		return r;
	mail.to = user.email;
	mail.name = user.name;
	mail.tenant_name = tenant.name;
	return mail_post_in_tx(tx, &mail);
}

static int mail_link(struct tx *tx, const struct doing *doing, const struct user *user)
{
	static const enum link_kind kinds[] = {
		[ERRAND_VERIFY] = LINK_VERIFY,
		[ERRAND_RESET] = LINK_RESET,
		[ERRAND_UNLOCK] = LINK_UNLOCK,
	};
	enum link_kind kind = kinds[doing->row->kind];
	struct audit_entry entry = {
		.action = S("auth.reset_requested"), .type = S("user"), .id = user->id
	};
	int r;

	if (kind == LINK_VERIFY && user->email_verified_at.set)
		return 0;
	r = link_mail_in_tx(tx, &(struct link_order){ .kind = kind, .user = user });
	if (r > 0 && kind == LINK_RESET)
		r = tx_audit(tx, &doing->actor, &entry);
	return MIN(r, 0);
}

/* One line for each account, as its tenants name themselves. */
static int mail_tenants(struct tx *tx, const struct doing *doing, const struct user *user)
{
	struct mail_post mail = {
		.kind = MAIL_TENANTS, .to = user->email, .name = user->name, .detail = S("")
	};

	for (size_t i = 0; i < doing->accounts.count; i++) {
		const struct account *account = &doing->accounts.at[i];

		mail.detail = arena_printf(tx_arena(tx), "%.*s%s%.*s (%.*s)", STR_ARG(mail.detail),
			i ? "\n" : "", STR_ARG(account->tenant_name), STR_ARG(account->slug));
		if (!mail.detail.at)
			return -(int)err_last()->code;
	}
	return mail_post_in_tx(tx, &mail);
}

/* As the tenant of the account. Who has gone meanwhile is no error. */
static int do_for(struct tx *tx, const struct doing *doing, const struct account *account)
{
	struct uuid tenant = uuid_of(account->tenant_id), id = uuid_of(account->user_id);
	struct user user;
	int r = tx_enter(tx, &tenant);

	if (r < 0)
		return r;
	r = user_get_in_tx(tx, &id, &user);
	if (r == 0 && user.status == USER_ACTIVE)
		r = doing->row->kind == ERRAND_TENANTS ? mail_tenants(tx, doing, &user)
						       : mail_link(tx, doing, &user);
	if (r < 0 && r != -ERR_NOT_FOUND)
		return r;
	return tx_leave(tx);
}

static int join_target(struct tx *tx, const struct doing *doing)
{
	struct uuid tenant = uuid_of(doing->row->target_id.value);
	int r = tx_enter(tx, &tenant);

	if (r == 0)
		r = join(tx, doing);
	return r < 0 ? r : tx_leave(tx);
}

static int remove_row(struct tx *tx, const struct errand_row *row)
{
	int r = tx_enter(tx, &tenant_system);

	if (r == 0)
		r = tx_exec(tx, &errand_remove, &(struct errand_by){ .id = row->id });
	return r < 0 ? r : tx_leave(tx);
}

static bool concerns(const struct errand_row *row, const struct account *account)
{
	return !row->target_id.set || str_eq(row->target_id.value, account->tenant_id);
}

static int do_in_tx(struct tx *tx, void *arg)
{
	const struct doing *doing = arg;
	const struct errand_row *row = doing->row;
	/* One mail says it all; the others get one for each account. */
	bool once = row->kind == ERRAND_TENANTS || row->kind == ERRAND_UNLOCK;
	int r = remove_row(tx, row);

	if (r < 0 || row->kind == ERRAND_JOIN)
		return r < 0 ? r : join_target(tx, doing);
	for (size_t i = 0; i < doing->accounts.count && r == 0; i++) {
		if (!concerns(row, &doing->accounts.at[i]))
			continue;
		r = do_for(tx, doing, &doing->accounts.at[i]);
		if (once)
			break;
	}
	return r;
}

static int drop_in_tx(struct tx *tx, void *arg)
{
	return remove_row(tx, arg);
}

/* What may go well later is tried again then; anything else is dropped. */
static void do_one(const struct db *system, const struct errand_row *row)
{
	struct doing doing = { .row = row,
		.actor = {
			.kind = AUDIT_NOBODY, .address = row->address, .request = row->request } };
	int r = accounts_of_email(system, row->email, &doing.accounts);

	if (r == 0)
		r = db_write(system, do_in_tx, &doing);
	if (r == 0)
		return;
	if (r != -ERR_NOT_FOUND) /* another instance was faster, or the tenant is gone */
		log_warn("an errand of sign-in failed", LOG_ERR);
	if (!err_info(r)->retryable)
		(void)db_write(system, drop_in_tx, (void *)row);
}

int errands_run(struct store *store, size_t *ret)
{
	struct errand_by by = { .limit = ERRANDS_AT_ONCE };
	struct errand_row *rows;
	size_t count = 0;
	struct arena arena;
	struct db db = db_of(store, &tenant_system, &arena), system = db_of_system(store, &arena);
	int r;

	arena_init(&arena, 16 * KILOBYTE, 16 * MEGABYTE);
	r = db_all(&db, &errand_next, &by, &rows, &count);
	for (size_t i = 0; i < count && r == 0; i++) {
		struct arena_mark mark = arena_mark(&arena);

		do_one(&system, &rows[i]);
		arena_back(&arena, mark);
	}
	if (r == 0)
		r = db_exec(&db, &errand_expire, NULL);
	arena_done(&arena);
	if (r == 0 && ret)
		*ret = count;
	return r;
}
