/* Each thread of the pool talks by a handle of its own, so that libcurl keeps its connection. */
#include "client/smtp.h"

#include "base/arena.h"
#include "base/mem.h"
#include "fiber/fiber.h"
#include "loop/offload.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>

enum {
	MEMORY = 8 * 1024 * 1024, /* of one mail with all its forms */
	HEADER_MAX = 4 * 1024,
	URL_MAX = 300,
};

struct smtp {
	struct offload pool;
	pthread_mutex_t lock;
	CURL *idle[SMTP_THREADS]; /* handles that nobody uses now */
	size_t idle_count;
	char url[URL_MAX];
	char *user, *password, *ca_file; /* NULL: none */
	bool must_secure;
	uint64_t timeout_ns;
};

/* One mail under way; owns all it needs, since its caller may leave. */
struct sending {
	struct offload_task task;
	struct smtp *smtp;
	struct arena arena;
	struct mail mail;
	char from[MAIL_ADDRESS_MAX + 3], to[MAIL_ADDRESS_MAX + 3]; /* in brackets */
	int result;
	struct err err;
};

/* --- open and close ---------------------------------------------------------------- */

/* This machine by whatever name: what goes there cannot be listened to. */
static bool is_here(struct str host)
{
	return str_eq(host, S("localhost")) || str_starts(host, S("127.")) ||
	       str_eq(host, S("::1"));
}

static bool is_host(struct str host)
{
	if (host.len == 0 || host.len > 253)
		return false;
	for (size_t i = 0; i < host.len; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:",
			    host.at[i]))
			return false;
	return true;
}

static char *copy_of(struct str text)
{
	char *copy = text.len ? mem_alloc(text.len + 1) : NULL;

	if (copy) {
		memcpy(copy, text.at, text.len);
		copy[text.len] = '\0';
	}
	return copy;
}

static void free_copy(char *copy)
{
	mem_free(copy, copy ? strlen(copy) + 1 : 0);
}

static void set_up(struct smtp *smtp, const struct smtp_options *options)
{
	bool bare6 = str_find_byte(options->host, ':') >= 0;
	unsigned port = options->port ? options->port : options->tls ? 465 : 587;

	(void)snprintf(smtp->url, sizeof(smtp->url), "%s://%s%.*s%s:%u",
		options->tls ? "smtps" : "smtp", bare6 ? "[" : "", STR_ARG(options->host),
		bare6 ? "]" : "", port);
	smtp->user = copy_of(options->user);
	smtp->password = copy_of(options->password);
	smtp->ca_file = copy_of(str_from_c(options->ca_file));
	smtp->must_secure = !is_here(options->host);
	smtp->timeout_ns = options->timeout_ns ? options->timeout_ns : 30 * SECOND;
}

int smtp_open(const struct smtp_options *options, struct smtp **ret)
{
	struct smtp *smtp;
	int r;

	if (!is_host(options->host))
		return fail(ERR_INVALID, "the mail server's name is none");
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return fail(ERR_NO_MEMORY, "libcurl does not start");
	smtp = mem_zalloc(sizeof(*smtp));
	if (!smtp)
		return -ERR_NO_MEMORY;

	set_up(smtp, options);
	(void)pthread_mutex_init(&smtp->lock, NULL);
	if ((options->user.len && !smtp->user) || (options->password.len && !smtp->password) ||
		(options->ca_file && !smtp->ca_file))
		r = -ERR_NO_MEMORY;
	else
		r = offload_open(&smtp->pool, "smtp", SMTP_THREADS, SMTP_QUEUE);
	if (r < 0) {
		smtp_close(smtp);
		return r;
	}
	*ret = smtp;
	return 0;
}

void smtp_close(struct smtp *smtp)
{
	if (!smtp)
		return;
	if (smtp->pool.thread_count)
		offload_close(&smtp->pool);
	while (smtp->idle_count > 0)
		curl_easy_cleanup(smtp->idle[--smtp->idle_count]);
	(void)pthread_mutex_destroy(&smtp->lock);
	free_copy(smtp->user);
	free_copy(smtp->password);
	free_copy(smtp->ca_file);
	mem_free(smtp, sizeof(*smtp));
}

/* --- handles ---------------------------------------------------------------------------- */

static CURL *take_handle(struct smtp *smtp)
{
	CURL *handle = NULL;

	(void)pthread_mutex_lock(&smtp->lock);
	if (smtp->idle_count > 0)
		handle = smtp->idle[--smtp->idle_count];
	(void)pthread_mutex_unlock(&smtp->lock);
	return handle ? handle : curl_easy_init();
}

/* Keeps its connection for the next mail; there are never more handles than threads. */
static void give_handle(struct smtp *smtp, CURL *handle)
{
	curl_easy_reset(handle);
	(void)pthread_mutex_lock(&smtp->lock);
	CHECK(smtp->idle_count < SMTP_THREADS);
	smtp->idle[smtp->idle_count++] = handle;
	(void)pthread_mutex_unlock(&smtp->lock);
}

/* --- the message ---------------------------------------------------------------------------- */

/* What one transfer needs, to be given back in one place. */
struct transfer {
	CURL *handle;
	curl_mime *mime;
	struct curl_slist *headers, *to;
	struct buf text; /* a form with CRLF */
	char why[CURL_ERROR_SIZE];
	bool failed; /* no memory */
};

static void add_header(struct transfer *transfer, struct str line)
{
	char text[HEADER_MAX];
	struct curl_slist *longer;

	CHECK(line.len < sizeof(text));
	memcpy(text, line.at, line.len);
	text[line.len] = '\0';
	longer = curl_slist_append(transfer->headers, text);
	if (longer)
		transfer->headers = longer;
	else
		transfer->failed = true;
}

static void add_headers(struct transfer *transfer, const struct mail *mail)
{
	struct buf line;

	buf_init(&line, HEADER_MAX - 1);
	for (enum mail_header header = 0; header < MAIL_HEADERS; header++) {
		buf_reset(&line);
		mail_header_write(mail, header, &line);
		transfer->failed |= line.failed < 0;
		if (line.len && !line.failed)
			add_header(transfer, buf_str(&line));
	}
	buf_done(&line);
	if (mail->html.len)
		add_header(transfer, S("Content-Type: multipart/alternative"));
	/* Nobody should answer a machine by machine (RFC 3834 section 5). */
	add_header(transfer, S("Auto-Submitted: auto-generated"));
}

/* Lines end with CRLF on the wire, however they end here. */
static void with_crlf(struct str text, struct buf *out)
{
	buf_reset(out);
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '\r' && i + 1 < text.len && text.at[i + 1] == '\n')
			continue;
		if (text.at[i] == '\n')
			buf_byte(out, '\r');
		buf_byte(out, text.at[i]);
	}
}

static void add_form(struct transfer *transfer, struct str text, const char *type)
{
	curl_mimepart *part = curl_mime_addpart(transfer->mime);

	with_crlf(text, &transfer->text);
	if (!part || transfer->text.failed ||
		curl_mime_data(part, transfer->text.at, transfer->text.len) != CURLE_OK ||
		curl_mime_type(part, type) != CURLE_OK ||
		curl_mime_encoder(part, "quoted-printable") != CURLE_OK)
		transfer->failed = true;
}

static void set_message(struct transfer *transfer, struct sending *sending)
{
	CURL *handle = transfer->handle;

	transfer->mime = curl_mime_init(handle);
	transfer->to = curl_slist_append(NULL, sending->to);
	if (!transfer->mime || !transfer->to) {
		transfer->failed = true;
		return;
	}
	add_headers(transfer, &sending->mail);
	add_form(transfer, sending->mail.text, "text/plain; charset=utf-8");
	if (sending->mail.html.len)
		add_form(transfer, sending->mail.html, "text/html; charset=utf-8");
	(void)curl_easy_setopt(handle, CURLOPT_HTTPHEADER, transfer->headers);
	(void)curl_easy_setopt(handle, CURLOPT_MIMEPOST, transfer->mime);
	(void)curl_easy_setopt(handle, CURLOPT_MAIL_FROM, sending->from);
	(void)curl_easy_setopt(handle, CURLOPT_MAIL_RCPT, transfer->to);
}

static void set_server(struct transfer *transfer, const struct smtp *smtp)
{
	CURL *handle = transfer->handle;

	(void)curl_easy_setopt(handle, CURLOPT_URL, smtp->url);
	(void)curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	(void)curl_easy_setopt(handle, CURLOPT_PROXY, ""); /* the environment has no say */
	(void)curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(handle, CURLOPT_USE_SSL,
		(long)(smtp->must_secure ? CURLUSESSL_ALL : CURLUSESSL_TRY));
	(void)curl_easy_setopt(handle, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, (long)(smtp->timeout_ns / MILLISECOND));
	(void)curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, transfer->why);
	if (smtp->ca_file)
		(void)curl_easy_setopt(handle, CURLOPT_CAINFO, smtp->ca_file);
	if (smtp->user) {
		(void)curl_easy_setopt(handle, CURLOPT_USERNAME, smtp->user);
		(void)curl_easy_setopt(
			handle, CURLOPT_PASSWORD, smtp->password ? smtp->password : "");
	}
}

/* --- sending ------------------------------------------------------------------------------ */

static int judge(const struct transfer *transfer, CURLcode code)
{
	const char *why = transfer->why[0] ? transfer->why : curl_easy_strerror(code);
	long reply = 0;

	if (code == CURLE_OK)
		return 0;
	(void)curl_easy_getinfo(transfer->handle, CURLINFO_RESPONSE_CODE, &reply);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return fail(ERR_TIMEOUT, "the mail server is too slow: %s", why);
	if (code == CURLE_OUT_OF_MEMORY)
		return fail(ERR_NO_MEMORY, "no memory for a mail");
	if (code == CURLE_SEND_ERROR && reply >= 500 && reply < 600 &&
		str_starts(str_from_c(why), S("RCPT"))) /* and not of the sender or the login */
		return fail_field(
			ERR_INVALID, "to", "refused", "is refused by the mail server: %s", why);
	/* The answer to the final dot: libcurl has no words of its own for that one, but for all
	 * before it. */
	if (code == CURLE_WEIRD_SERVER_REPLY && reply >= 500 && reply < 600 &&
		strcmp(why, curl_easy_strerror(code)) == 0)
		return fail(ERR_INVALID, "the mail server refuses the mail: %ld", reply);
	return fail(ERR_UNAVAILABLE, "the mail server: %s", why);
}

static int transfer_mail(struct sending *sending)
{
	struct transfer transfer = { .handle = take_handle(sending->smtp) };
	int r;

	if (!transfer.handle)
		return fail(ERR_NO_MEMORY, "no memory for a mail");
	buf_init(&transfer.text, 2 * (size_t)MAIL_BODY_MAX);
	set_server(&transfer, sending->smtp);
	set_message(&transfer, sending);
	r = transfer.failed ? fail(ERR_NO_MEMORY, "no memory for a mail")
			    : judge(&transfer, curl_easy_perform(transfer.handle));

	curl_mime_free(transfer.mime);
	curl_slist_free_all(transfer.headers);
	curl_slist_free_all(transfer.to);
	buf_done(&transfer.text);
	give_handle(sending->smtp, transfer.handle);
	return r;
}

static void run_sending(struct offload_task *task)
{
	struct sending *sending = CONTAINER_OF(task, struct sending, task);

	sending->result = transfer_mail(sending);
	if (sending->result < 0)
		sending->err = *err_last();
}

static void free_sending(struct offload_task *task)
{
	struct sending *sending = CONTAINER_OF(task, struct sending, task);

	arena_done(&sending->arena);
	mem_free(sending, sizeof(*sending));
}

static bool copy_text(struct arena *arena, struct str *text)
{
	if (text->len)
		*text = arena_str(arena, *text);
	return text->len == 0 || text->at;
}

static int copy_mail(struct sending *sending, const struct mail *mail)
{
	struct mail *copy = &sending->mail;
	struct str *const texts[] = { &copy->id, &copy->from.name, &copy->from.address,
		&copy->to.name, &copy->to.address, &copy->reply_to, &copy->subject, &copy->text,
		&copy->html };

	*copy = *mail;
	for (size_t i = 0; i < LEN(texts); i++)
		if (!copy_text(&sending->arena, texts[i]))
			return -(int)err_last()->code;
	(void)snprintf(sending->from, sizeof(sending->from), "<%.*s>", STR_ARG(mail->from.address));
	(void)snprintf(sending->to, sizeof(sending->to), "<%.*s>", STR_ARG(mail->to.address));
	return 0;
}

int smtp_send(struct smtp *smtp, const struct mail *mail)
{
	struct sending *sending;
	int r = mail_check(mail);

	if (r < 0)
		return r;
	sending = mem_zalloc(sizeof(*sending));
	if (!sending)
		return -ERR_NO_MEMORY;

	sending->smtp = smtp;
	sending->task.run = run_sending;
	sending->task.free = free_sending;
	arena_init(&sending->arena, 16 * KILOBYTE, MEMORY);
	r = copy_mail(sending, mail);
	if (r < 0) {
		free_sending(&sending->task);
		return r;
	}
	r = offload_start(&smtp->pool, &sending->task);
	if (r < 0)
		return r;

	r = sending->result;
	if (r < 0)
		fiber_current()->err = sending->err;
	free_sending(&sending->task);
	return r;
}
