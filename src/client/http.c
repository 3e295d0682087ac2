/*
 * One thread has all calls in a "multi" of libcurl, which also keeps connections for the next ones.
 * A call belongs to that thread from its submission on; the fiber that waits gets it back by a
 * message, and one that leaves before lets the thread free it.
 */
#include "client/http.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/version.h"
#include "fiber/fiber.h"
#include "loop/worker.h"
#include "net/address.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	FIELD_MAX = 8 * 1024, /* bytes of a line */
	LOOK_MS = 1000,       /* libcurl is woken for everything; this is for its own clocks */
};

struct http_client {
	pthread_t thread;
	CURLM *multi;
	bool allow_private;
	char *ca_file;
	pthread_mutex_t lock; /* of what follows */
	struct link submitted;
	size_t count; /* calls that were not freed yet */
	bool closing;
};

/* Whose it is. */
enum call_state { CALL_RUNS, CALL_ANSWERED, CALL_LEFT };

struct exchange {
	struct http_client *client;
	struct link link;    /* among the submitted, or those that run */
	_Atomic int state;   /* enum call_state */
	struct message done; /* to its worker, once it is answered */
	struct worker *home;
	struct wait *wait;  /* NULL: nobody waits any more */
	struct arena arena; /* of the texts */
	CURL *handle;
	struct curl_slist *fields;
	struct buf answer;
	char why[CURL_ERROR_SIZE];
	bool refused; /* an address was not allowed */
	uint64_t timeout_ns;
	int result;
	struct err err;
};

/* --- addresses --------------------------------------------------------------------------- */

bool http_url_valid(struct str url)
{
	CURLU *parsed;
	char text[HTTP_URL_MAX + 1], *scheme = NULL, *fragment = NULL;
	bool good;

	if (url.len == 0 || url.len > HTTP_URL_MAX)
		return false;
	for (size_t i = 0; i < url.len; i++)
		if ((unsigned char)url.at[i] <= ' ' || (unsigned char)url.at[i] >= 0x7f)
			return false;
	memcpy(text, url.at, url.len);
	text[url.len] = '\0';
	parsed = curl_url();
	if (!parsed)
		return false;
	good = curl_url_set(parsed, CURLUPART_URL, text, CURLU_DISALLOW_USER) == CURLUE_OK &&
	       curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
	       (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
	       curl_url_get(parsed, CURLUPART_FRAGMENT, &fragment, 0) == CURLUE_NO_FRAGMENT;
	curl_free(scheme);
	curl_free(fragment);
	curl_url_cleanup(parsed);
	return good;
}

bool http_date_read(struct str text, int64_t *ret_us)
{
	char copy[64];
	time_t at;

	if (text.len == 0 || text.len >= sizeof(copy))
		return false;
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	at = curl_getdate(copy, NULL);
	if (at < 0)
		return false;
	*ret_us = (int64_t)at * (int64_t)(SECOND / MICROSECOND);
	return true;
}

/* The last place where an address is known before it is connected to, and nothing comes between. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct exchange *exchange = arg;
	struct address address = { 0 };

	if (purpose != CURLSOCKTYPE_IPCXN || to->addrlen > sizeof(address.v6))
		return CURL_SOCKET_BAD;
	memcpy(&address, &to->addr, to->addrlen);
	address.len = to->addrlen;
	address_normalise(&address);
	if (!exchange->client->allow_private && !address_is_public(&address)) {
		exchange->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(to->family, to->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, to->protocol);
}

/* --- calls ------------------------------------------------------------------------------- */

static void exchange_free(struct exchange *exchange)
{
	struct http_client *client = exchange->client;

	curl_easy_cleanup(exchange->handle);
	curl_slist_free_all(exchange->fields);
	buf_done(&exchange->answer);
	arena_done(&exchange->arena);
	mem_free(exchange, sizeof(*exchange));
	(void)pthread_mutex_lock(&client->lock);
	client->count--;
	(void)pthread_mutex_unlock(&client->lock);
}

static size_t take_answer(char *at, size_t size, size_t count, void *arg)
{
	struct exchange *exchange = arg;

	buf_append(&exchange->answer, str_of(at, size * count));
	return exchange->answer.failed ? 0 : size * count;
}

static bool is_line(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (((unsigned char)text.at[i] < ' ' && text.at[i] != '\t') || text.at[i] == 0x7f)
			return false;
	return true;
}

static int add_line(struct exchange *exchange, const char *line)
{
	struct curl_slist *longer = curl_slist_append(exchange->fields, line);

	if (!longer)
		return fail(ERR_NO_MEMORY, "no memory for a request");
	exchange->fields = longer;
	return 0;
}

static int add_field(struct exchange *exchange, const struct http_field *field)
{
	struct str line;

	if (field->name.len == 0 || field->name.len + field->value.len > FIELD_MAX ||
		!is_line(field->name) || !is_line(field->value) ||
		str_find_byte(field->name, ':') >= 0)
		return fail(ERR_INVALID, "a header field of the request is none");
	line = arena_printf(
		&exchange->arena, "%.*s: %.*s", STR_ARG(field->name), STR_ARG(field->value));
	return line.at ? add_line(exchange, line.at) : -(int)err_last()->code;
}

static int set_fields(struct exchange *exchange, const struct http_call *call)
{
	int r = add_line(exchange, "Expect:"); /* the body is small: nobody need wait for it */

	if (call->field_count > HTTP_HEADERS_MAX)
		return fail(
			ERR_INVALID, "a request has at most %d header fields", HTTP_HEADERS_MAX);
	for (size_t i = 0; i < call->field_count && r == 0; i++)
		r = add_field(exchange, &call->fields[i]);
	return r;
}

static void set_options(struct exchange *exchange, struct str url, struct str body)
{
	const struct http_client *client = exchange->client;
	CURL *handle = exchange->handle;
	long timeout_ms = (long)(exchange->timeout_ns / MILLISECOND);

	(void)curl_easy_setopt(handle, CURLOPT_URL, url.at);
	(void)curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(handle, CURLOPT_PROXY, ""); /* the environment has no say */
	(void)curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(handle, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	(void)curl_easy_setopt(handle, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)curl_easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, 1L);
	(void)curl_easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, 2L);
	if (client->ca_file)
		(void)curl_easy_setopt(handle, CURLOPT_CAINFO, client->ca_file);
	(void)curl_easy_setopt(handle, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	(void)curl_easy_setopt(handle, CURLOPT_OPENSOCKETDATA, exchange);
	(void)curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, MAX(timeout_ms, 1L));
	(void)curl_easy_setopt(handle, CURLOPT_USERAGENT, "Bulkhead/" BULKHEAD_VERSION);
	(void)curl_easy_setopt(handle, CURLOPT_HTTPHEADER, exchange->fields);
	(void)curl_easy_setopt(handle, CURLOPT_POST, 1L);
	(void)curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body.at ? body.at : "");
	(void)curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
	(void)curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, take_answer);
	(void)curl_easy_setopt(handle, CURLOPT_WRITEDATA, exchange);
	(void)curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, exchange->why);
	(void)curl_easy_setopt(handle, CURLOPT_PRIVATE, exchange);
}

static int set_up(struct exchange *exchange, const struct http_call *call)
{
	struct str url = arena_str(&exchange->arena, call->url);
	struct str body = arena_str(&exchange->arena, call->body);
	int r;

	if (!url.at || !body.at)
		return -(int)err_last()->code;
	exchange->handle = curl_easy_init();
	if (!exchange->handle)
		return fail(ERR_NO_MEMORY, "no memory for a request");
	r = set_fields(exchange, call);
	if (r == 0)
		set_options(exchange, url, body);
	return r;
}

/* --- on the client's thread ------------------------------------------------------------------ */

static int judge(struct exchange *exchange, CURLcode code)
{
	const char *why = exchange->why[0] ? exchange->why : curl_easy_strerror(code);

	if (code == CURLE_OK)
		return 0;
	if (exchange->answer.failed)
		return exchange->answer.failed == -ERR_TOO_LARGE
			       ? fail(ERR_TOO_LARGE, "the answer has more than %zu bytes",
					 exchange->answer.limit)
			       : fail(ERR_NO_MEMORY, "no memory for an answer");
	if (code == CURLE_OPERATION_TIMEDOUT)
		return fail(ERR_TIMEOUT, "no answer in time: %s", why);
	if (code == CURLE_OUT_OF_MEMORY)
		return fail(ERR_NO_MEMORY, "no memory for a request");
	if (exchange->refused)
		return fail(ERR_FORBIDDEN, "the address is not of the public Internet");
	return fail(ERR_UNAVAILABLE, "%s", why);
}

/* The caller gets it, or it ends here. */
static void finish(struct exchange *exchange)
{
	int runs = CALL_RUNS;

	link_remove(&exchange->link);
	if (atomic_compare_exchange_strong(&exchange->state, &runs, CALL_ANSWERED))
		worker_send(exchange->home, &exchange->done);
	else
		exchange_free(exchange);
}

static void begin_submitted(struct http_client *client, struct link *running)
{
	struct exchange *exchange;

	(void)pthread_mutex_lock(&client->lock);
	LIST_EACH (exchange, &client->submitted, struct exchange, link) {
		link_remove(&exchange->link);
		list_push(running, &exchange->link);
		(void)curl_multi_add_handle(client->multi, exchange->handle);
	}
	(void)pthread_mutex_unlock(&client->lock);
}

/* Nobody waits for those any more. */
static void end_left(struct http_client *client, struct link *running)
{
	struct exchange *exchange;

	LIST_EACH (exchange, running, struct exchange, link)
		if (atomic_load(&exchange->state) == CALL_LEFT) {
			(void)curl_multi_remove_handle(client->multi, exchange->handle);
			finish(exchange);
		}
}

static void end_answered(struct http_client *client)
{
	struct CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(client->multi, &left))) {
		struct exchange *exchange = NULL;
		CURLcode code = message->data.result;

		(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&exchange);
		exchange->result = judge(exchange, code);
		if (exchange->result < 0)
			exchange->err = *err_last();
		(void)curl_multi_remove_handle(client->multi, exchange->handle);
		finish(exchange);
	}
}

static bool is_closing(struct http_client *client)
{
	bool closing;

	(void)pthread_mutex_lock(&client->lock);
	closing = client->closing;
	(void)pthread_mutex_unlock(&client->lock);
	return closing;
}

static void *run(void *arg)
{
	struct http_client *client = arg;
	struct link running = LIST_INIT(running);
	int count;

	do {
		begin_submitted(client, &running);
		end_left(client, &running);
		(void)curl_multi_perform(client->multi, &count);
		end_answered(client);
		if (!is_closing(client))
			(void)curl_multi_poll(client->multi, NULL, 0, LOOK_MS, NULL);
	} while (!is_closing(client) || !list_empty(&running));
	return NULL;
}

/* --- open and close -------------------------------------------------------------------------- */

static int start_thread(struct http_client *client)
{
	sigset_t all, former;
	int r;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &former);
	r = pthread_create(&client->thread, NULL, run, client);
	(void)pthread_sigmask(SIG_SETMASK, &former, NULL);
	if (r != 0)
		return fail(ERR_IO, "no thread for requests: %s", err_errno_text(r));
	(void)pthread_setname_np(client->thread, "http client");
	return 0;
}

static void free_client(struct http_client *client)
{
	(void)curl_multi_cleanup(client->multi);
	mem_free(client->ca_file, client->ca_file ? strlen(client->ca_file) + 1 : 0);
	(void)pthread_mutex_destroy(&client->lock);
	mem_free(client, sizeof(*client));
}

int http_client_open(const struct http_client_options *options, struct http_client **ret)
{
	struct http_client *client;
	int r;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return fail(ERR_NO_MEMORY, "libcurl does not start");
	client = mem_zalloc(sizeof(*client));
	if (!client)
		return -ERR_NO_MEMORY;
	client->allow_private = options->allow_private;
	(void)pthread_mutex_init(&client->lock, NULL);
	link_init(&client->submitted);
	client->multi = curl_multi_init();
	if (options->ca_file) {
		size_t size = strlen(options->ca_file) + 1;

		client->ca_file = mem_alloc(size);
		if (client->ca_file)
			memcpy(client->ca_file, options->ca_file, size);
	}
	if (!client->multi || (options->ca_file && !client->ca_file))
		r = fail(ERR_NO_MEMORY, "no memory for requests");
	else
		r = start_thread(client);
	if (r < 0) {
		free_client(client);
		return r;
	}
	(void)curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)HTTP_CONNECTIONS_KEPT);
	*ret = client;
	return 0;
}

void http_client_close(struct http_client *client)
{
	if (!client)
		return;
	(void)pthread_mutex_lock(&client->lock);
	client->closing = true;
	(void)pthread_mutex_unlock(&client->lock);
	(void)curl_multi_wakeup(client->multi);
	(void)pthread_join(client->thread, NULL);
	free_client(client);
}

/* --- for fibers ------------------------------------------------------------------------------ */

/* Back on the worker. */
static void deliver(struct message *message)
{
	struct exchange *exchange = CONTAINER_OF(message, struct exchange, done);

	if (exchange->wait)
		(void)wake(TAKE(exchange->wait), 0);
	else
		exchange_free(exchange);
}

/* Counts it in. -ERR_FULL. */
static int count_in(struct http_client *client)
{
	bool full;

	(void)pthread_mutex_lock(&client->lock);
	full = client->closing || client->count >= HTTP_CALLS_MAX;
	if (!full)
		client->count++;
	(void)pthread_mutex_unlock(&client->lock);
	return full ? fail(ERR_FULL, "%d requests are under way already", HTTP_CALLS_MAX) : 0;
}

static int exchange_new(
	struct http_client *client, const struct http_call *call, struct exchange **ret)
{
	struct exchange *exchange;
	int r = count_in(client);

	if (r < 0)
		return r;
	exchange = mem_zalloc(sizeof(*exchange));
	if (!exchange) {
		(void)pthread_mutex_lock(&client->lock);
		client->count--;
		(void)pthread_mutex_unlock(&client->lock);
		return -ERR_NO_MEMORY;
	}
	exchange->client = client;
	exchange->home = worker_here();
	exchange->done.deliver = deliver;
	exchange->timeout_ns = call->timeout_ns;
	link_init(&exchange->link);
	arena_init(&exchange->arena, 4 * KILOBYTE, 2 * (size_t)HTTP_BODY_MAX);
	buf_init(&exchange->answer, MIN(call->answer_max, (size_t)HTTP_ANSWER_MAX));
	r = set_up(exchange, call);
	if (r < 0)
		exchange_free(exchange);
	else
		*ret = exchange;
	return r;
}

/* Hands it over and waits. With a negative result it is the thread's, or of its message. */
static int perform(struct exchange *exchange)
{
	struct http_client *client = exchange->client;
	struct wait wait;
	int runs = CALL_RUNS, r;

	wait_init(&wait);
	exchange->wait = &wait;
	(void)pthread_mutex_lock(&client->lock);
	list_push(&client->submitted, &exchange->link);
	(void)pthread_mutex_unlock(&client->lock);
	(void)curl_multi_wakeup(client->multi);
	r = park(&wait, TIME_NEVER);
	if (r == 0)
		return 0;
	exchange->wait = NULL;
	if (atomic_compare_exchange_strong(&exchange->state, &runs, CALL_LEFT))
		(void)curl_multi_wakeup(client->multi);
	return r;
}

static int copy_text(struct arena *arena, struct str text, struct str *ret)
{
	*ret = text.len ? arena_str(arena, text) : str_of(NULL, 0);
	return text.len == 0 || ret->at ? 0 : -(int)err_last()->code;
}

static int copy_answer(struct exchange *exchange, struct arena *arena, struct http_answer *ret)
{
	struct curl_header *header = NULL;
	struct http_answer answer = { 0 };
	char *type = NULL;
	long status = 0;
	int r;

	(void)curl_easy_getinfo(exchange->handle, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(exchange->handle, CURLINFO_CONTENT_TYPE, &type);
	if (curl_easy_header(exchange->handle, "Retry-After", 0, CURLH_HEADER, -1, &header) !=
		CURLHE_OK)
		header = NULL;
	answer.status = (int)status;
	r = copy_text(arena, buf_str(&exchange->answer), &answer.body);
	if (r == 0)
		r = copy_text(arena, str_from_c(type), &answer.content_type);
	if (r == 0)
		r = copy_text(
			arena, str_from_c(header ? header->value : NULL), &answer.retry_after);
	if (r == 0)
		*ret = answer;
	return r;
}

int http_post(struct http_client *client, const struct http_call *call, struct arena *arena,
	struct http_answer *ret)
{
	struct exchange *exchange = NULL;
	int r;

	if (!http_url_valid(call->url))
		return fail(ERR_INVALID, "this is no address to call");
	if (call->body.len > HTTP_BODY_MAX)
		return fail(ERR_INVALID, "a request has at most %d bytes", HTTP_BODY_MAX);
	r = exchange_new(client, call, &exchange);
	if (r == 0)
		r = perform(exchange);
	if (r < 0)
		return r;
	r = exchange->result < 0 ? err_restore(&exchange->err) : copy_answer(exchange, arena, ret);
	exchange_free(exchange);
	return r;
}
