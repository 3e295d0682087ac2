/*
 * email:deliver: the job of a mail. It opens the letter, asks how many its address has had, hands
 * it to the server, and is complete in the transaction that says so. When the process dies in
 * between, the mail is sent again under the same Message-ID. Nothing of the letter, and nothing
 * that a server says, gets into the job: people of the tenant may look at that, or at its errors.
 */
#include "modules/mails/mails_internal.h"

#include "base/err.h"
#include "observe/clock.h"
#include "observe/log.h"
#include "observe/metric.h"

#define SETTLE_WITHIN (10 * SECOND)

enum { BULK_PRIORITY = JOB_PRIORITIES - 1 };

struct mailer mailer;

static bool mailer_sends(void)
{
	return mailer.smtp || mailer.files.threads;
}

bool mails_can_leave(void)
{
	return !mailer.configured || mailer_sends();
}

/* --- metrics ------------------------------------------------------------------------------ */

static const struct metric *results[MAIL_RESULTS], *waiting;

int mail_metrics_open(void)
{
	static const struct metric_def results_def = {
		.name = "mails_total",
		.help = "Mails by what became of them; a retry is one that will be tried again.",
		.kind = METRIC_COUNTER,
		.labels = { "result" },
	};
	static const struct metric_def waiting_def = {
		.name = "mails_waiting",
		.help = "Mails of the installation that are to be sent, as of the last minute.",
		.kind = METRIC_GAUGE,
	};
	static const struct str names[MAIL_RESULTS] = { S_INIT("sent"), S_INIT("retry"),
		S_INIT("failed"), S_INIT("dropped"), S_INIT("refused") };
	struct metric_family *family = metric_register(&results_def);

	waiting = metric_register_one(&waiting_def);
	if (!family || !waiting)
		return -(int)err_last()->code;
	for (int i = 0; i < MAIL_RESULTS; i++)
		results[i] = metric_series(family, &names[i]);
	return 0;
}

void mail_count(enum mail_result result)
{
	metric_count(results[result], 1);
}

void mail_count_waiting(int64_t count)
{
	metric_gauge_set(waiting, count);
}

/* --- the job ------------------------------------------------------------------------------------
 */

struct mail_job {
	struct str mail;
};

/* clang-format off */
static const struct schema mail_job_schema = SCHEMA(mail_job, "A mail to be sent.",
	FIELD(mail_job, mail, "Which.", .flags = REQUIRED, .format = FORMAT_UUID));
/* clang-format on */

int mail_enqueue_in_tx(struct tx *tx, struct str id, bool bulk)
{
	const struct mail_job payload = { id };
	const struct job_new job = {
		.name = str_from_c(mail_deliver.name),
		.schema = &mail_job_schema,
		.data = &payload,
		.priority = { .set = true, .value = bulk ? BULK_PRIORITY : 0 },
		.backoff = &mail_backoff,
	};

	return tx_enqueue(tx, &job, NULL);
}

/* --- sending -------------------------------------------------------------------------------- */

static int put_into_file(
	struct arena *arena, const struct mail_found *found, const struct mail *mail)
{
	struct str kind = str_from_c(mail_kind_names[found->kind]);
	struct mail_file file = { .folder = mailer.options.folder, .mail = mail };
	int r;

	file.name = arena_printf(arena, "%.*s-%.*s.eml", STR_ARG(found->id), STR_ARG(kind));
	if (!file.name.at)
		return -(int)err_last()->code;
	r = offload_call(&mailer.files, mail_file_write, &file);
	if (r < 0)
		return r;
	if (file.result < 0)
		return err_restore(&file.err);
	log_info("mail written", LOG_STR("kind", kind), LOG_STR("folder", str_from_c(file.folder)),
		LOG_STR("file", file.name));
	return 0;
}

static int send_letter(struct job *job, const struct mail_found *found)
{
	struct mail mail = {
		.id = found->id, .from = mailer.options.from, .date_us = found->created_at
	};
	struct letter letter;
	struct uuid id;
	int r;

	if (!mailer_sends())
		return fail(ERR_UNAVAILABLE, "there is no way to send mails");
	if (!uuid_parse(found->id, &id))
		return fail(ERR_INTERNAL, "a mail has no id");
	r = letter_open(job->arena, &job->tenant, &id, found->box, &letter);
	if (r == 0)
		r = letter_write(job->arena, found->kind, &letter, mailer.options.product, &mail);
	if (r < 0)
		return r;
	return mailer.smtp ? smtp_send(mailer.smtp, &mail)
			   : put_into_file(job->arena, found, &mail);
}

/* --- what comes of it ------------------------------------------------------------------------- */

/* The row goes first: a job that is started again finds it. */
static int give_up(struct job *job, const struct mail_found *mail, const char *why)
{
	int r;

	log_warn("a mail was given up", LOG_STR("kind", str_from_c(mail_kind_names[mail->kind])),
		LOG_STR("mail", mail->id), LOG_INT("attempts", job->attempt), LOG_ERR);
	r = mail_settle(job, mail, MAIL_FAILED);
	if (r < 0)
		return r;
	mail_count(MAIL_RESULT_FAILED);
	return job_discard(job, str_from_c(why));
}

static int try_later(struct job *job, const struct mail_found *mail)
{
	int64_t next = clock_wall_us() + (int64_t)(mail_wait(job->attempt) / MICROSECOND);

	if (next >= mail->expires_at || job->attempt >= job->attempts)
		return give_up(job, mail, "no mail server has taken it in time");
	log_warn("a mail could not be sent",
		LOG_STR("kind", str_from_c(mail_kind_names[mail->kind])), LOG_STR("mail", mail->id),
		LOG_INT("attempts", job->attempt), LOG_ERR);
	mail_count(MAIL_RESULT_RETRY);
	return fail(ERR_UNAVAILABLE, "the mail could not be sent; the program's log says why");
}

static int end(struct job *job, const struct mail_found *mail, enum mail_status status,
	enum mail_result result)
{
	int r = mail_settle(job, mail, status);

	if (r == 0)
		mail_count(result);
	return r;
}

/* Written down also when the process is about to end. */
static int settle(struct job *job, const struct mail_found *mail, int result)
{
	uint64_t former = shield_begin(clock_now_ns() + SETTLE_WITHIN);
	int r = result;

	if (result == 0)
		r = end(job, mail, MAIL_SENT, MAIL_RESULT_SENT);
	else if (result == -ERR_INVALID)
		r = give_up(job, mail,
			str_eq(str_from_c(err_last()->field), S("to"))
				? "the mail server refuses the recipient"
				: "it cannot be sent as it is; the program's log says why");
	else if (result != -ERR_CANCELLED) /* then nobody knows; it is sent again */
		r = try_later(job, mail);
	shield_end(former);
	return r;
}

static int deliver(struct job *job, const void *payload)
{
	const struct mail_job *which = payload;
	struct db system = db_of_system(job->db.store, job->arena);
	struct mail_found mail;
	int64_t neighbours = 0;
	int r = mail_get(&job->db, which->mail, &mail);

	if (r == -ERR_NOT_FOUND)
		return job_discard(job, S("the mail is not there any more"));
	if (r < 0 || mail.status != MAIL_WAITING)
		return r;
	if (mail.expires_at <= clock_wall_us())
		return (void)fail(ERR_TIMEOUT, "it is of no use any more"),
		       give_up(job, &mail, "it was of no use any more");
	r = mail_neighbours(&system, &mail, &neighbours);
	if (r < 0)
		return r;
	if (neighbours >= MAILS_AN_HOUR)
		return end(job, &mail, MAIL_DROPPED, MAIL_RESULT_DROPPED);
	return settle(job, &mail, send_letter(job, &mail));
}

const struct job_kind mail_deliver = { .name = "email:deliver",
	.queue = "system.email",
	.schema = &mail_job_schema,
	.run = deliver,
	.attempts = MAIL_ATTEMPTS,
	.timeout_ns = 2 * MINUTE };
