/* Rows of mails: posting them, taking what is due, and what became of it. */
#include "modules/mails/mails_internal.h"

#include "base/err.h"
#include "base/utf8.h"
#include "modules/audit/audit.h"

/* --- statements ------------------------------------------------------------------------- */

const char *const mail_kind_names[MAIL_KINDS + 1] = { "welcome", "verify", "reset", "change_email",
	"unlock", "invitation", "tenants", "already_there", "alert", "invoice", NULL };

/* A row as it is posted. */
struct mail_row {
	struct str id;
	enum mail_kind kind;
	struct str recipient, box;
	int64_t expires_at;
};

struct mail_page {
	int64_t limit;
};

struct mail_lease {
	struct str id;
	int64_t next_at;
};

struct mail_near {
	struct str id, recipient;
	int64_t since;
	bool alert;
	int64_t limit;
};

struct mail_ending {
	struct str id;
	int64_t attempts;
	enum mail_status status;
	int64_t next_at;
};

struct mail_age {
	int64_t before;
};

struct mail_number {
	int64_t count;
};

/* clang-format off */
static const struct schema mail_row_schema = SCHEMA(mail_row, "A mail to be sent.",
	FIELD(mail_row, id, "Which.", .format = FORMAT_UUID),
	FIELD(mail_row, kind, "What it is about.", .choices = mail_kind_names),
	FIELD(mail_row, recipient, "What stands for the address."),
	FIELD(mail_row, box, "The letter, sealed.", RANGE(0, MAIL_BOX_MAX)),
	FIELD(mail_row, expires_at, "When nobody wants it any more.", .format = FORMAT_DATE_TIME));

static const struct schema mail_due_schema = SCHEMA(mail_due, "A mail that is due.",
	FIELD(mail_due, tenant_id, "Whose.", .format = FORMAT_UUID),
	FIELD(mail_due, id, "Which.", .format = FORMAT_UUID));

static const struct schema mail_page_schema = SCHEMA(mail_page, "How many of them.",
	FIELD(mail_page, limit, "So many."));

static const struct schema mail_lease_schema = SCHEMA(mail_lease, "A mail to take.",
	FIELD(mail_lease, id, "Which.", .format = FORMAT_UUID),
	FIELD(mail_lease, next_at, "Until when.", .format = FORMAT_DATE_TIME));

static const struct schema mail_taken_schema = SCHEMA(mail_taken, "A mail that was taken.",
	FIELD(mail_taken, id, "Which.", .format = FORMAT_UUID),
	FIELD(mail_taken, kind, "What it is about.", .choices = mail_kind_names),
	FIELD(mail_taken, recipient, "What stands for the address."),
	FIELD(mail_taken, box, "The letter, sealed.", RANGE(0, MAIL_BOX_MAX)),
	FIELD(mail_taken, attempts, "How often."),
	FIELD(mail_taken, created_at, "When it was posted.", .format = FORMAT_DATE_TIME),
	FIELD(mail_taken, expires_at, "When nobody wants it.", .format = FORMAT_DATE_TIME));

static const struct schema mail_near_schema = SCHEMA(mail_near, "Mails to one address.",
	FIELD(mail_near, id, "Before this one.", .format = FORMAT_UUID),
	FIELD(mail_near, recipient, "To whom."),
	FIELD(mail_near, since, "From when on.", .format = FORMAT_DATE_TIME),
	FIELD(mail_near, alert, "Of that kind."),
	FIELD(mail_near, limit, "How many are counted."));

static const struct schema mail_ending_schema = SCHEMA(mail_ending, "What became of a mail.",
	FIELD(mail_ending, id, "Which.", .format = FORMAT_UUID),
	FIELD(mail_ending, attempts, "Which try.", RANGE(0, INT64_MAX)),
	FIELD(mail_ending, status, "What.", CHOICES("waiting", "sent", "failed", "dropped")),
	FIELD(mail_ending, next_at, "When again.", .format = FORMAT_DATE_TIME));

static const struct schema mail_age_schema = SCHEMA(mail_age, "Old rows.",
	FIELD(mail_age, before, "Made before.", .format = FORMAT_DATE_TIME));

static const struct schema mail_number_schema = SCHEMA(mail_number, "How many.",
	FIELD(mail_number, count, "So many."));
/* clang-format on */

static const struct statement mail_insert = STATEMENT("mail_insert",
	.sql = "INSERT INTO main.mail (tenant_id, id, kind, status, recipient, box, attempts, "
	       "next_at, created_at, expires_at) VALUES (:tenant, :id, :kind, 'waiting', "
	       ":recipient, :box, 0, :now, :now, :expires_at)",
	.in = &mail_row_schema);

static const struct statement mail_due = STATEMENT("mail_due",
	.sql = "SELECT tenant_id, id FROM main.mail WHERE next_at <= :now ORDER BY next_at "
	       "LIMIT :limit",
	.in = &mail_page_schema, .out = &mail_due_schema, .flags = STATEMENT_SYSTEM);

/* Who takes it moves its turn away; a second one finds that it is not due any more. */
static const struct statement mail_lease = STATEMENT("mail_lease",
	.sql = "UPDATE main.mail SET next_at = :next_at, attempts = attempts + 1 "
	       "WHERE tenant_id = :tenant AND id = :id AND next_at <= :now "
	       "RETURNING id, kind, recipient, box, attempts, created_at, expires_at",
	.in = &mail_lease_schema, .out = &mail_taken_schema);

static const struct statement mail_near = STATEMENT("mail_near",
	.sql = "SELECT count(*) AS count FROM (SELECT m.id FROM main.mail AS m "
	       "WHERE m.recipient = :recipient AND m.created_at > :since "
	       "AND m.id < :id AND m.status <> 'dropped' "
	       "AND (m.kind = 'alert') = :alert LIMIT :limit) AS x",
	.in = &mail_near_schema, .out = &mail_number_schema, .flags = STATEMENT_SYSTEM);

static const struct statement mail_done = STATEMENT("mail_done",
	.sql = "UPDATE main.mail SET status = :status, box = NULL, next_at = NULL "
	       "WHERE tenant_id = :tenant AND id = :id AND attempts = :attempts",
	.in = &mail_ending_schema);

static const struct statement mail_later = STATEMENT("mail_later",
	.sql = "UPDATE main.mail SET next_at = :next_at WHERE tenant_id = :tenant AND id = :id "
	       "AND attempts = :attempts AND box IS NOT NULL",
	.in = &mail_ending_schema);

static const struct statement mail_sweep = STATEMENT("mail_sweep",
	.sql = "DELETE FROM main.mail AS m WHERE (m.tenant_id, m.id) IN (SELECT x.tenant_id, x.id "
	       "FROM main.mail AS x WHERE x.created_at < :before ORDER BY x.created_at LIMIT 500)",
	.in = &mail_age_schema, .flags = STATEMENT_SYSTEM);

static const struct statement mail_waiting = STATEMENT("mail_waiting",
	.sql = "SELECT count(*) AS count FROM main.mail WHERE next_at IS NOT NULL",
	.out = &mail_number_schema, .flags = STATEMENT_SYSTEM);

const struct statement *const mail_statements[MAIL_STATEMENTS] = { &mail_insert, &mail_due,
	&mail_lease, &mail_near, &mail_done, &mail_later, &mail_sweep, &mail_waiting, &mail_boxes,
	&mail_box_set };

/* --- posting -------------------------------------------------------------------------------- */

/* As much of a name as a header takes, without half a character at the end. */
static struct str cut_name(struct str name)
{
	size_t len = MIN(name.len, (size_t)MAIL_NAME_MAX);

	while (len > 0 && len < name.len && ((unsigned char)name.at[len] & 0xc0) == 0x80)
		len--;
	return str_first(name, len);
}

/* A text of at most so many characters. */
static bool is_text(struct str text, size_t most)
{
	return utf8_valid(text) && utf8_length(text) <= most && str_find_byte(text, '\0') < 0;
}

/* What could never be sent is refused here, where somebody hears of it. */
static int check(const struct letter *letter)
{
	struct mail mail = {
		.id = S("x"),
		.from.address = S("x@x"),
		.to = { letter->name, letter->to },
		.subject = S("x"),
		.text = S("x"),
	};
	const struct {
		const char *field;
		struct str text;
		size_t most;
	} rows[] = {
		{ "tenantName", letter->tenant_name, MAIL_TENANT_MAX },
		{ "link", letter->link, MAIL_LINK_MAX },
		{ "detail", letter->detail, MAIL_DETAIL_MAX },
	};
	int r = mail_check(&mail);

	for (size_t i = 0; i < LEN(rows) && r == 0; i++)
		if (!is_text(rows[i].text, rows[i].most))
			r = fail_field(ERR_INVALID, rows[i].field, "invalid_text",
				"is no text, or too long");
	return r;
}

int mail_post_in_tx(struct tx *tx, const struct mail_post *post)
{
	int64_t latest = tx_now_us(tx) + MAIL_KEEP_HOURS * (int64_t)(HOUR / MICROSECOND);
	struct letter letter = {
		.to = post->to,
		.name = cut_name(post->name),
		.tenant_name = post->tenant_name,
		.link = post->link,
		.detail = post->detail,
		.expires_us = post->expires_us,
	};
	struct mail_row row = { .kind = post->kind,
		.expires_at = post->expires_us ? MIN(post->expires_us, latest) : latest };
	char text[UUID_TEXT_LEN], recipient[RECIPIENT_LEN];
	struct uuid id;
	int r = check(&letter);

	if (r < 0)
		return r;
	if (!mails_can_leave()) {
		mail_count(MAIL_RESULT_REFUSED);
		return 0;
	}
	uuid_v7(&id, tx_now_us(tx));
	uuid_write(text, &id);
	letter_recipient(letter.to, post->proved ? tx_tenant(tx) : NULL, recipient);
	row.id = str_of(text, sizeof(text));
	row.recipient = str_of(recipient, sizeof(recipient));
	r = letter_seal(tx_arena(tx), tx_tenant(tx), &id, &letter, &row.box);
	return r < 0 ? r : tx_exec(tx, &mail_insert, &row);
}

/* --- taking and settling ---------------------------------------------------------------------- */

int mails_due(const struct db *system, int64_t limit, struct mail_due **ret_at, size_t *ret_count)
{
	return db_all(system, &mail_due, &(struct mail_page){ limit }, ret_at, ret_count);
}

struct take {
	struct mail_lease lease;
	uint64_t lease_ns;
	struct mail_taken *ret;
};

static int take_in_tx(struct tx *tx, void *arg)
{
	struct take *take = arg;

	take->lease.next_at = tx_now_us(tx) + (int64_t)(take->lease_ns / MICROSECOND);
	return tx_one(tx, &mail_lease, &take->lease, take->ret);
}

/* One row by its key, compared and set by one statement: nothing that a snapshot would have to
 * guard. */
static const struct tx_options leases = {
	.name = "mail",
	.durability = TX_SOFT,
	.isolation = TX_READ_COMMITTED,
};

int mail_take(const struct db *db, struct str id, uint64_t lease_ns, struct mail_taken *ret)
{
	struct take take = { { .id = id }, lease_ns, ret };

	return db_write_with(db, &leases, take_in_tx, &take);
}

int mail_neighbours(const struct db *system, const struct mail_taken *taken, int64_t *ret)
{
	struct mail_near near = {
		.id = taken->id,
		.recipient = taken->recipient,
		.since = taken->created_at - (int64_t)(HOUR / MICROSECOND),
		.alert = taken->kind == MAIL_ALERT,
		.limit = MAILS_AN_HOUR,
	};
	struct mail_number number;
	int r = db_one(system, &mail_near, &near, &number);

	if (r == 0)
		*ret = number.count;
	return r;
}

struct settlement {
	const struct statement *statement;
	struct mail_ending result;
};

/* That somebody was not told is worth an entry; to whom, the row does not say any more. */
static int settle_in_tx(struct tx *tx, void *arg)
{
	static const struct audit_actor nobody = { .kind = AUDIT_PROGRAM };
	const struct settlement *settlement = arg;
	struct audit_entry entry = {
		.action = S("mail.failed"),
		.type = S("mail"),
		.id = settlement->result.id,
	};
	size_t changed = 0;
	int r = tx_change(tx, settlement->statement, &settlement->result, &changed);

	if (r == 0 && changed && settlement->result.status == MAIL_FAILED)
		r = tx_audit(tx, &nobody, &entry);
	return r;
}

static int settle(const struct db *db, struct settlement *settlement)
{
	static const struct tx_options how = { .name = "mail", .isolation = TX_READ_COMMITTED };

	return db_write_with(db, &how, settle_in_tx, settlement);
}

int mail_end(const struct db *db, const struct mail_taken *taken, enum mail_status status)
{
	struct settlement settlement = { .statement = &mail_done,
		.result = { .id = taken->id, .attempts = taken->attempts, .status = status } };

	return settle(db, &settlement);
}

int mail_again(const struct db *db, const struct mail_taken *taken, int64_t next_us)
{
	struct settlement settlement = { .statement = &mail_later,
		.result = { .id = taken->id, .attempts = taken->attempts, .next_at = next_us } };

	return settle(db, &settlement);
}

/* --- old rows ------------------------------------------------------------- */

enum { SWEEP_BATCH = 500, SWEEP_ROUNDS = 100 };

struct sweep {
	struct mail_age age;
	size_t deleted;
};

static int sweep_in_tx(struct tx *tx, void *arg)
{
	struct sweep *sweep = arg;

	sweep->age.before = tx_now_us(tx) - 2 * MAIL_KEEP_HOURS * (int64_t)(HOUR / MICROSECOND);
	return tx_change(tx, &mail_sweep, &sweep->age, &sweep->deleted);
}

int mails_sweep(struct store *store, int64_t *ret_waiting)
{
	struct mail_number waiting = { 0 };
	struct sweep sweep;
	struct arena arena;
	struct db db = db_of_system(store, &arena);
	int r = 0;

	arena_init(&arena, 4 * KILOBYTE, MEGABYTE);
	for (int i = 0; i < SWEEP_ROUNDS && r == 0; i++) {
		r = db_write(&db, sweep_in_tx, &sweep);
		if (r == 0 && sweep.deleted < SWEEP_BATCH)
			break;
		arena_reset(&arena);
	}
	if (r == 0)
		r = db_one(&db, &mail_waiting, NULL, &waiting);
	if (r == 0)
		*ret_waiting = waiting.count;
	arena_done(&arena);
	return r;
}
