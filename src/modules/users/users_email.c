/*
 * email:send: mails that users of the queue want sent, in the wordings of mails. The handler posts
 * a mail and completes the job in one transaction; from there on it is a mail like any other, with
 * the limits of its address. It goes to the tenant's own people only, unless the installation
 * allows more: who may add jobs must not be able to mail the world in its name.
 */
#include "modules/users/users_internal.h"

#include "base/err.h"
#include "modules/jobs/jobs.h"
#include "modules/mails/mails.h"

enum {
	NAME_MAX_CHARACTERS = 200,
	LINK_MAX_CHARACTERS = 900,
	DETAIL_MAX_CHARACTERS = 8000,
	UNSENT_MAX = 500, /* mails of a tenant; more jobs wait: in their queue they take nobody's
			     place */
};

#define WHEN_CROWDED (10 * SECOND)

struct email_send {
	int kind;
	struct str to, name, tenant_name, link, detail;
	struct opt_i64 expires_at;
};

static const enum mail_kind kinds[] = { MAIL_WELCOME, MAIL_VERIFY, MAIL_RESET, MAIL_ALERT,
	MAIL_INVOICE };

/* clang-format off */
static const struct schema email_send_schema = SCHEMA(email_send, "A mail to be sent, as HTML and as text.",
	FIELD(email_send, kind, "What it says.", .flags = REQUIRED,
		CHOICES("welcome", "verify", "reset_password", "alert", "invoice")),
	FIELD(email_send, to, "To whom.", .flags = REQUIRED | PERSONAL, .format = FORMAT_EMAIL),
	FIELD(email_send, name, "Of the person.", RANGE(0, NAME_MAX_CHARACTERS), .flags = PERSONAL),
	FIELD(email_send, tenant_name, "On whose behalf; if missing, the product's.", RANGE(0, NAME_MAX_CHARACTERS)),
	FIELD(email_send, link, "Where its button leads.", RANGE(0, LINK_MAX_CHARACTERS), .format = FORMAT_URI),
	FIELD(email_send, detail, "A sentence, or lines.", RANGE(0, DETAIL_MAX_CHARACTERS), .flags = MULTILINE),
	FIELD(email_send, expires_at, "Until when the link can be used.", .format = FORMAT_DATE_TIME));
/* clang-format on */

/* What the transaction came to. */
enum posted { POSTED, CROWDED, NO_RECIPIENT };

struct posting {
	struct job *job;
	struct mail_post post;
	enum posted posted;
};

/* Whether they are one of the tenant's, and the address theirs. 1 or 0. */
static int is_recipient(struct tx *tx, struct str to)
{
	struct user user;
	int r;

	if (users_email_anyone())
		return 1;
	r = user_by_email_in_tx(tx, to, &user);
	if (r == -ERR_NOT_FOUND)
		return 0;
	return r < 0 ? r : user.status == USER_ACTIVE && user.email_verified_at.set;
}

static int post_in_tx(struct tx *tx, void *arg)
{
	struct posting *posting = arg;
	size_t unsent;
	int r = mails_unsent_in_tx(tx, UNSENT_MAX, &unsent);

	posting->posted = POSTED;
	if (r == 0 && unsent >= UNSENT_MAX) {
		posting->posted = CROWDED;
		return 0;
	}
	if (r == 0)
		r = is_recipient(tx, posting->post.to);
	if (r == 0)
		posting->posted = NO_RECIPIENT;
	if (r <= 0)
		return r;
	r = mail_post_in_tx(tx, &posting->post);
	return r < 0 ? r : tx_complete_job(tx, posting->job);
}

static int post_and_complete(struct job *job, const void *payload)
{
	const struct email_send *email = payload;
	struct posting posting = {
		.job = job,
		.post = {
			.kind = kinds[email->kind],
			.to = email->to,
			.name = email->name,
			.tenant_name = email->tenant_name,
			.link = email->link,
			.detail = email->detail,
			.expires_us = email->expires_at.value,
			.bulk = true,
		},
	};
	int r;

	if (!mails_can_leave())
		return job_discard(job, S("there is no way to send mails: SMTP_URL is not set"));
	r = db_write(&job->db, post_in_tx, &posting);
	if (r == -ERR_INVALID)
		return job_discard(job, str_from_c(err_text()));
	if (r < 0 || posting.posted == POSTED)
		return r;
	if (posting.posted == CROWDED)
		return job_snooze(job, WHEN_CROWDED);
	return job_discard(job, S("to: must be the proved address of an active user of the tenant, "
				  "while EMAIL_SEND_TO is \"users\""));
}

const struct job_kind email_send = { .name = "email:send",
	.queue = "email",
	.schema = &email_send_schema,
	.run = post_and_complete };
