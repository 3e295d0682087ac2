/* Rows of mails: posting them with their jobs, and what became of them. */
#include "modules/mails/mails_internal.h"

#include "base/err.h"
#include "base/utf8.h"
#include "modules/audit/audit.h"

/* --- statements ------------------------------------------------------------------------- */

const char *const mail_kind_names[MAIL_KINDS + 1] = { "welcome", "verify", "reset", "change_email",
	"unlock", "invitation", "tenants", "already_there", "alert", "invoice", NULL };

static const char *const status_names[MAIL_STATUSES + 1] = { "waiting", "sent", "failed", "dropped",
	NULL };

/* A row as it is posted. */
struct mail_row {
	struct str id;
	enum mail_kind kind;
	struct str recipient, box;
	int64_t expires_at;
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
};

struct mail_limit {
	int64_t limit;
};

/* clang-format off */
const struct schema mail_ref_schema = SCHEMA(mail_ref, "A mail.",
	FIELD(mail_ref, tenant_id, "Whose.", .format = FORMAT_UUID),
	FIELD(mail_ref, id, "Which.", .format = FORMAT_UUID));

const struct schema mail_number_schema = SCHEMA(mail_number, "How many.",
	FIELD(mail_number, count, "So many."));

static const struct schema mail_row_schema = SCHEMA(mail_row, "A mail to be sent.",
	FIELD(mail_row, id, "Which.", .format = FORMAT_UUID),
	FIELD(mail_row, kind, "What it is about.", .choices = mail_kind_names),
	FIELD(mail_row, recipient, "What stands for the address."),
	FIELD(mail_row, box, "The letter, sealed.", RANGE(0, MAIL_BOX_MAX)),
	FIELD(mail_row, expires_at, "When nobody wants it any more.", .format = FORMAT_DATE_TIME));

static const struct schema mail_found_schema = SCHEMA(mail_found, "A mail as it stands.",
	FIELD(mail_found, id, "Which.", .format = FORMAT_UUID),
	FIELD(mail_found, kind, "What it is about.", .choices = mail_kind_names),
	FIELD(mail_found, status, "What has become of it.", .choices = status_names),
	FIELD(mail_found, recipient, "What stands for the address."),
	FIELD(mail_found, box, "The letter, sealed.", RANGE(0, MAIL_BOX_MAX)),
	FIELD(mail_found, created_at, "When it was posted.", .format = FORMAT_DATE_TIME),
	FIELD(mail_found, expires_at, "When nobody wants it.", .format = FORMAT_DATE_TIME));

static const struct schema mail_near_schema = SCHEMA(mail_near, "Mails to one address.",
	FIELD(mail_near, id, "Before this one.", .format = FORMAT_UUID),
	FIELD(mail_near, recipient, "To whom."),
	FIELD(mail_near, since, "From when on.", .format = FORMAT_DATE_TIME),
	FIELD(mail_near, alert, "Of that kind."),
	FIELD(mail_near, limit, "How many are counted."));

static const struct schema mail_ending_schema = SCHEMA(mail_ending, "What became of a mail.",
	FIELD(mail_ending, id, "Which.", .format = FORMAT_UUID),
	FIELD(mail_ending, attempts, "After so many tries.", RANGE(0, INT64_MAX)),
	FIELD(mail_ending, status, "What.", .choices = status_names));

static const struct schema mail_limit_schema = SCHEMA(mail_limit, "How many are counted.",
	FIELD(mail_limit, limit, "So many."));
/* clang-format on */

static const struct statement mail_insert = STATEMENT("mail_insert",
	.sql = "INSERT INTO main.mail (tenant_id, id, kind, status, recipient, box, attempts, "
	       "created_at, expires_at) VALUES (:tenant, :id, :kind, 'waiting', "
	       ":recipient, :box, 0, :now, :expires_at)",
	.in = &mail_row_schema);

static const struct statement mail_find = STATEMENT("mail_find",
	.sql = "SELECT id, kind, status, recipient, box, created_at, expires_at FROM mail "
	       "WHERE tenant_id = :tenant AND id = :id",
	.in = &mail_ref_schema, .out = &mail_found_schema);

static const struct statement mail_near = STATEMENT("mail_near",
	.sql = "SELECT count(*) AS count FROM (SELECT m.id FROM main.mail AS m "
	       "WHERE m.recipient = :recipient AND m.created_at > :since "
	       "AND m.id < :id AND m.status <> 'dropped' "
	       "AND (m.kind = 'alert') = :alert LIMIT :limit) AS x",
	.in = &mail_near_schema, .out = &mail_number_schema, .flags = STATEMENT_SYSTEM);

/* That a server has it is the truth, also when somebody has given it up meanwhile. */
static const struct statement mail_done = STATEMENT("mail_done",
	.sql = "UPDATE main.mail SET status = :status, box = NULL, next_at = NULL, "
	       "attempts = :attempts WHERE tenant_id = :tenant AND id = :id "
	       "AND (status = 'waiting' OR :status = 'sent')",
	.in = &mail_ending_schema);

static const struct statement mail_unsent = STATEMENT("mail_unsent",
	.sql = "SELECT count(*) AS count FROM (SELECT id FROM mail WHERE tenant_id = :tenant "
	       "AND status = 'waiting' LIMIT :limit) AS x",
	.in = &mail_limit_schema, .out = &mail_number_schema);

const struct statement *const mail_statements[MAIL_STATEMENTS] = { &mail_insert, &mail_find,
	&mail_near, &mail_done, &mail_unsent, &mail_expired, &mail_stray, &mail_adopt, &mail_old,
	&mail_waiting, &mail_boxes, &mail_box_set };

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
	if (r == 0)
		r = tx_exec(tx, &mail_insert, &row);
	return r < 0 ? r : mail_enqueue_in_tx(tx, row.id, post->bulk);
}

int mails_unsent_in_tx(struct tx *tx, size_t most, size_t *ret)
{
	struct mail_number number;
	int r = tx_one(tx, &mail_unsent, &(struct mail_limit){ (int64_t)most }, &number);

	if (r == 0)
		*ret = (size_t)number.count;
	return r;
}

/* --- looking and ending --------------------------------------------------------------------- */

int mail_get(const struct db *db, struct str id, struct mail_found *ret)
{
	return db_one(db, &mail_find, &(struct mail_ref){ .id = id }, ret);
}

int mail_neighbours(const struct db *system, const struct mail_found *mail, int64_t *ret)
{
	struct mail_near near = {
		.id = mail->id,
		.recipient = mail->recipient,
		.since = mail->created_at - (int64_t)(HOUR / MICROSECOND),
		.alert = mail->kind == MAIL_ALERT,
		.limit = MAILS_AN_HOUR,
	};
	struct mail_number number;
	int r = db_one(system, &mail_near, &near, &number);

	if (r == 0)
		*ret = number.count;
	return r;
}

/* That somebody was not told is worth an entry; to whom, the row does not say any more. */
int mail_end_in_tx(struct tx *tx, struct str id, int64_t attempts, enum mail_status status)
{
	static const struct audit_actor nobody = { .kind = AUDIT_PROGRAM };
	const struct mail_ending ending = { id, attempts, status };
	size_t changed = 0;
	int r = tx_change(tx, &mail_done, &ending, &changed);

	if (r == 0 && changed && status == MAIL_FAILED)
		r = tx_audit(tx, &nobody,
			&(struct audit_entry){
				.action = S("mail.failed"), .type = S("mail"), .id = id });
	return r;
}

struct settlement {
	struct job *job;
	struct str id;
	enum mail_status status;
};

/* One that is discarded ends after its handler, not with it. */
static int settle_in_tx(struct tx *tx, void *arg)
{
	const struct settlement *settlement = arg;
	struct job *job = settlement->job;
	int r = mail_end_in_tx(tx, settlement->id, job->attempt, settlement->status);

	return r < 0 || settlement->status == MAIL_FAILED ? r : tx_complete_job(tx, job);
}

int mail_settle(struct job *job, const struct mail_found *mail, enum mail_status status)
{
	/* Rows by their keys, each compared and set by one statement. */
	static const struct tx_options how = { .name = "mail", .isolation = TX_READ_COMMITTED };
	struct settlement settlement = { job, mail->id, status };

	return db_write_with(&job->db, &how, settle_in_tx, &settlement);
}
