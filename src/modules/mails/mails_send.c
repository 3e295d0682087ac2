/*
 * Takes mails that are due and sends them, several at once. Before it sends, it moves the mail's
 * turn into the future: as long as that lease lasts no other instance takes it, and when this one
 * dies, it is due again and sent again under the same Message-ID.
 */
#include "modules/mails/mails_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "crypto/random.h"
#include "fiber/sync.h"
#include "observe/clock.h"
#include "observe/log.h"
#include "observe/metric.h"

#define LOOK_EVERY    (500 * MILLISECOND)
#define SETTLE_WITHIN (10 * SECOND)

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

/* --- one mail ------------------------------------------------------------------------------- */

/* The one that sends, as long as it does. */
struct sender {
	struct store *store;
	struct scope scope;
	struct cond ended;
	bool freed; /* a mail has ended since the last look */
	size_t under_way;
	int failed; /* the first error of the database; the round ends with it */
	struct err err;
};

struct job {
	struct sender *sender;
	struct arena arena;
	struct uuid tenant;
	char id[UUID_TEXT_LEN];
};

/* Longer than one try can take, with its wait for a thread. */
static uint64_t lease_ns(void)
{
	uint64_t timeout = mailer.options.smtp.timeout_ns;

	return 3 * (timeout ? timeout : 30 * SECOND);
}

static int put_into_file(struct job *job, const struct mail_taken *taken, const struct mail *mail)
{
	struct mail_file file = { .folder = mailer.options.folder, .mail = mail };
	int r;

	file.name = arena_printf(
		&job->arena, "%.*s-%s.eml", STR_ARG(taken->id), mail_kind_names[taken->kind]);
	if (!file.name.at)
		return -(int)err_last()->code;
	r = offload_call(&mailer.files, mail_file_write, &file);
	if (r < 0)
		return r;
	if (file.result < 0)
		return err_restore(&file.err);
	log_info("mail written", LOG_STR("kind", str_from_c(mail_kind_names[taken->kind])),
		LOG_STR("folder", str_from_c(file.folder)), LOG_STR("file", file.name));
	return 0;
}

static int deliver(struct job *job, const struct mail_taken *taken)
{
	struct mail mail = {
		.id = taken->id, .from = mailer.options.from, .date_us = taken->created_at
	};
	struct letter letter;
	struct uuid id;
	int r;

	if (!uuid_parse(taken->id, &id))
		return fail(ERR_INTERNAL, "a mail has no id");
	r = letter_open(&job->arena, &job->tenant, &id, taken->box, &letter);
	if (r == 0)
		r = letter_write(&job->arena, taken->kind, &letter, mailer.options.product, &mail);
	if (r < 0)
		return r;
	return mailer.smtp ? smtp_send(mailer.smtp, &mail) : put_into_file(job, taken, &mail);
}

/* Tries again are spread by a tenth, so that they do not come all at once. */
static int64_t next_try(int64_t attempts, int64_t now_us)
{
	uint64_t wait = mail_backoff(attempts);

	wait += random_u64() % (wait / 10);
	return now_us + (int64_t)(wait / MICROSECOND);
}

static int give_up(const struct db *db, const struct mail_taken *taken)
{
	log_warn("a mail was given up", LOG_STR("kind", str_from_c(mail_kind_names[taken->kind])),
		LOG_STR("mail", taken->id), LOG_INT("attempts", taken->attempts), LOG_ERR);
	mail_count(MAIL_RESULT_FAILED);
	return mail_end(db, taken, MAIL_FAILED);
}

static int try_later(const struct db *db, const struct mail_taken *taken)
{
	int64_t next = next_try(taken->attempts, clock_wall_us());

	if (next >= taken->expires_at || taken->attempts >= MAIL_ATTEMPTS_MAX)
		return give_up(db, taken);
	log_warn("a mail could not be sent",
		LOG_STR("kind", str_from_c(mail_kind_names[taken->kind])),
		LOG_STR("mail", taken->id), LOG_INT("attempts", taken->attempts), LOG_ERR);
	mail_count(MAIL_RESULT_RETRY);
	return mail_again(db, taken, next);
}

/* Written down also when the process is about to end. */
static int settle(const struct db *db, const struct mail_taken *taken, int result)
{
	uint64_t former = shield_begin(clock_now_ns() + SETTLE_WITHIN);
	int r = 0;

	if (result == 0) {
		mail_count(MAIL_RESULT_SENT);
		r = mail_end(db, taken, MAIL_SENT);
	} else if (result == -ERR_INVALID) {
		r = give_up(db, taken);
	} else if (result != -ERR_CANCELLED) { /* then nobody knows; the lease decides */
		r = try_later(db, taken);
	}
	shield_end(former);
	return r;
}

static int work(struct job *job, const struct db *db, const struct mail_taken *taken)
{
	struct db system = db_of_system(job->sender->store, &job->arena);
	int64_t neighbours = 0;
	int r;

	if (taken->expires_at <= clock_wall_us())
		return (void)fail(ERR_TIMEOUT, "it is of no use any more"), give_up(db, taken);
	r = mail_neighbours(&system, taken, &neighbours);
	if (r == 0 && neighbours >= MAILS_AN_HOUR) {
		mail_count(MAIL_RESULT_DROPPED);
		return mail_end(db, taken, MAIL_DROPPED);
	}
	if (r == 0)
		r = deliver(job, taken);
	return settle(db, taken, r);
}

static void free_job(struct job *job)
{
	arena_done(&job->arena);
	mem_free(job, sizeof(*job));
}

static int run_job(void *arg)
{
	struct job *job = arg;
	struct sender *sender = job->sender;
	struct db db = db_of(sender->store, &job->tenant, &job->arena);
	struct mail_taken taken;
	int r = mail_take(&db, str_of(job->id, sizeof(job->id)), lease_ns(), &taken);

	if (r == 0)
		r = work(job, &db, &taken);
	if (r < 0 && r != -ERR_NOT_FOUND && !sender->failed) { /* not found: somebody else has it */
		sender->failed = r;
		sender->err = *err_last();
	}
	free_job(job);
	sender->under_way--;
	sender->freed = true;
	cond_signal(&sender->ended);
	return 0;
}

/* --- all of them ---------------------------------------------------------- */

enum { JOB_MEMORY = 8 * 1024 * 1024 };

static int start_job(struct sender *sender, const struct mail_due *due)
{
	struct job *job = mem_alloc(sizeof(*job));
	int r;

	if (!job)
		return -ERR_NO_MEMORY;
	job->sender = sender;
	arena_init(&job->arena, 16 * KILOBYTE, JOB_MEMORY);
	CHECK(uuid_parse(due->tenant_id, &job->tenant) && due->id.len == sizeof(job->id));
	memcpy(job->id, due->id.at, sizeof(job->id));
	r = scope_spawn(&sender->scope, run_job, job);
	if (r < 0)
		free_job(job);
	else
		sender->under_way++;
	return r;
}

/* Starts what is due, as much as there are hands. Its number, or a negative code. */
static int look(struct sender *sender)
{
	size_t hands = MAILS_AT_ONCE - sender->under_way, count = 0;
	struct mail_due *due = NULL;
	struct arena arena;
	struct db system = db_of_system(sender->store, &arena);
	int r;

	if (hands == 0)
		return 0;
	arena_init(&arena, 4 * KILOBYTE, 64 * KILOBYTE);
	r = mails_due(&system, (int64_t)hands, &due, &count);
	for (size_t i = 0; i < count && r == 0; i++)
		r = start_job(sender, &due[i]);
	arena_done(&arena);
	return r < 0 ? r : (int)count;
}

static void open_sender(struct sender *sender, struct store *store)
{
	*sender = (struct sender){ .store = store };
	cond_init(&sender->ended);
	scope_open(&sender->scope, TIME_NEVER);
}

/* Waits for those under way. `r` goes through, unless one of them has failed. */
static int close_sender(struct sender *sender, int r)
{
	int closed = scope_close(&sender->scope);

	if (sender->failed < 0)
		return err_restore(&sender->err);
	return closed < 0 ? closed : MIN(r, 0);
}

int mails_send(struct store *store)
{
	struct sender sender;
	int r = 0;

	if (!mailer_sends())
		return 0;
	open_sender(&sender, store);
	while (r >= 0 && !sender.failed) {
		sender.freed = false;
		r = look(&sender);
		if (r < 0 || sender.freed)
			continue;
		r = cond_wait(&sender.ended, clock_now_ns() + LOOK_EVERY);
		if (r == -ERR_TIMEOUT)
			r = 0;
	}
	return close_sender(&sender, r);
}

int mails_send_due(struct store *store, size_t *ret)
{
	struct sender sender;
	int r;

	*ret = 0;
	open_sender(&sender, store);
	do {
		r = look(&sender);
		if (r > 0)
			*ret += (size_t)r;
		while (sender.under_way > 0 && cond_wait(&sender.ended, TIME_NEVER) == 0)
			continue;
	} while (r > 0 && !sender.failed);
	return close_sender(&sender, r);
}
