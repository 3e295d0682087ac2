/* The module: what it is set up with, and what it does beside requests. */
#include "modules/mails/mails_internal.h"

#include "base/embed.h"
#include "base/err.h"
#include "http/server.h"

EMBED_TEXT(mails_sql, "src/modules/mails/mails.sql");

/* --- options ------------------------------------------------------------------------------ */

enum { PRODUCT_MAX = 200 };

/* A mail as it would leave, to see whether the options are sound. */
static int check(const struct mails_options *options)
{
	struct mail mail = {
		.id = S("x"),
		.from = options->from,
		.to.address = S("x@x"),
		.subject = options->product,
		.text = S("x"),
	};

	if (options->product.len > PRODUCT_MAX)
		return fail(ERR_INVALID, "the product's name is too long");
	if (options->folder && strlen(options->folder) > MAIL_FOLDER_MAX)
		return fail(ERR_INVALID, "the path of the folder for mails is too long");
	return mail_check(&mail) < 0 ? err_wrap("mails") : 0;
}

static bool keep(struct str *text)
{
	if (text->len)
		*text = arena_str(&mailer.arena, *text);
	return text->len == 0 || text->at;
}

static bool keep_c(const char **text)
{
	if (*text)
		*text = arena_str(&mailer.arena, str_from_c(*text)).at;
	return *text != NULL;
}

/* Copies all texts. */
static bool keep_all(struct mails_options *options)
{
	struct smtp_options *smtp = &options->smtp;

	return keep(&options->from.name) && keep(&options->from.address) &&
	       keep(&options->product) && keep(&smtp->host) && keep(&smtp->user) &&
	       keep(&smtp->password) && (!smtp->ca_file || keep_c(&smtp->ca_file)) &&
	       (!options->folder || keep_c(&options->folder));
}

static void forget_options(void)
{
	if (mailer.arena.chunk_size)
		arena_done(&mailer.arena);
	mailer.options = (struct mails_options){ 0 };
	mailer.configured = false;
}

int mails_configure(const struct mails_options *options)
{
	struct mails_options own = *options;
	int r;

	if (!own.product.len)
		own.product = S("Bulkhead");
	if (!own.from.address.len && !own.smtp.host.len)
		own.from.address = S("no-reply@localhost");
	r = check(&own);
	if (r < 0)
		return r;
	forget_options();
	arena_init(&mailer.arena, KILOBYTE, 64 * KILOBYTE);
	if (!keep_all(&own)) {
		forget_options();
		return -(int)err_last()->code;
	}
	mailer.options = own;
	mailer.configured = true;
	return 0;
}

/* --- up and down ---------------------------------------------------------------------------- */

static void close_mailer(void)
{
	smtp_close(TAKE(mailer.smtp));
	if (mailer.files.threads)
		offload_close(&mailer.files);
}

static int open_mailer(void)
{
	const struct mails_options *options = &mailer.options;

	if (options->smtp.host.len)
		return smtp_open(&options->smtp, &mailer.smtp);
	return options->folder ? offload_open(&mailer.files, "mails", 1, MAIL_FILES_AT_ONCE) : 0;
}

static int open_module(struct server *server)
{
	int r = mail_metrics_open();

	if (r == 0)
		r = letters_open(server->master_key, server->former_key);
	if (r < 0)
		return r;
	r = open_mailer();
	if (r == 0)
		r = job_kind_declare(server, &mail_deliver);
	if (r < 0) {
		close_mailer();
		letters_close();
	}
	return r;
}

static void close_module(struct server *server)
{
	(void)server;
	close_mailer();
	letters_close();
}

/* --- beside requests ------------------------------------------------------ */

static int sweep_mails(struct server *server)
{
	struct mail_file files = { .folder = mailer.options.folder };
	int64_t waiting;
	int r = mails_sweep(server->store, &waiting);

	if (r < 0)
		return r;
	mail_count_waiting(waiting);
	return mailer.files.threads ? offload_call(&mailer.files, mail_files_prune, &files) : 0;
}

static int reseal(struct server *server, struct resealed *counted)
{
	return mails_reseal(server->store, counted);
}

static const struct chore chores[] = {
	{ "mails to look after", MINUTE, sweep_mails },
};

const struct module mails_module = {
	MODULE_HEAD,
	.name = "mails",
	.migrations = mails_sql,
	.statements = mail_statements,
	.statement_count = MAIL_STATEMENTS,
	.open = open_module,
	.close = close_module,
	.chores = chores,
	.chore_count = LEN(chores),
	.reseal = reseal,
};
