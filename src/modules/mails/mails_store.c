/* Rows of mails: posting them, taking what is due, and what became of it. */
#include "modules/mails/mails_internal.h"

#include "base/err.h"
#include "base/utf8.h"
#include "client/mail.h"

/* --- statements ------------------------------------------------------------------------- */

const char *const mail_kind_names[MAIL_KINDS + 1] = { "welcome", "verify", "reset", "change_email",
	"unlock", "invitation", "tenants", "already_there", "alert", NULL };

/* A row as it is posted. */
struct mail_row {
	struct str id;
	enum mail_kind kind;
	struct str recipient, box;
	int64_t expires_at;
};

/* clang-format off */
static const struct schema mail_row_schema = SCHEMA(mail_row, "A mail to be sent.",
	FIELD(mail_row, id, "Which.", .format = FORMAT_UUID),
	FIELD(mail_row, kind, "What it is about.", .choices = mail_kind_names),
	FIELD(mail_row, recipient, "What stands for the address."),
	FIELD(mail_row, box, "The letter, sealed.", RANGE(0, MAIL_BOX_MAX)),
	FIELD(mail_row, expires_at, "When nobody wants it any more.", .format = FORMAT_DATE_TIME));
/* clang-format on */

const struct statement mail_insert = STATEMENT("mail_insert",
	.sql = "INSERT INTO main.mail (tenant_id, id, kind, status, recipient, box, attempts, "
	       "next_at, created_at, expires_at) VALUES (:tenant, :id, :kind, 'waiting', "
	       ":recipient, :box, 0, :now, :now, :expires_at)",
	.in = &mail_row_schema);

/* --- posting -------------------------------------------------------------------------------- */

/* As much of a name as a header takes, without half a character at the end. */
static struct str cut_name(struct str name)
{
	size_t len = MIN(name.len, (size_t)MAIL_NAME_MAX);

	while (len > 0 && len < name.len && ((unsigned char)name.at[len] & 0xc0) == 0x80)
		len--;
	return str_first(name, len);
}

/* What would be refused by the server is refused here, where somebody hears of it. */
static int check(const struct letter *letter)
{
	struct mail mail = {
		.id = S("x"),
		.from.address = S("x@x"),
		.to = { letter->name, letter->to },
		.subject = S("x"),
		.text = S("x"),
	};
	int r = mail_check(&mail);

	if (r == 0 && (letter->link.len > MAIL_LINK_MAX || !utf8_valid(letter->link)))
		r = fail_field(ERR_INVALID, "link", "too_long", "is no link");
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
	uuid_v7(&id, tx_now_us(tx));
	uuid_write(text, &id);
	letter_recipient(letter.to, recipient);
	row.id = str_of(text, sizeof(text));
	row.recipient = str_of(recipient, sizeof(recipient));
	r = letter_seal(tx_arena(tx), tx_tenant(tx), &id, &letter, &row.box);
	return r < 0 ? r : tx_exec(tx, &mail_insert, &row);
}
