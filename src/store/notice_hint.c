/*
 * Hints: after commits that have something to tell an instance sends NOTIFY, once for all of the
 * last millisecond and never inside of a transaction (which would make all commits of the database
 * wait for each other); those that LISTEN look for notices at once instead of after half a second.
 * Both go over one connection past the pooler. Without it everything works, half a second later.
 * Its end also tells that the server may have crashed.
 *
 * What a NOTIFY carries is lines: "+", there are rows; "topic key", what notice_hint was told; "!",
 * somebody is there; "?", and wants to know who else is. Nothing at all means rows, too. Who has
 * heard of nobody for a while keeps words to itself.
 */
#include "store/notice_poller.h"

#include "crypto/random.h"
#include "observe/clock.h"
#include "observe/log.h"
#include "store/pg.h"
#include "store/store_internal.h"

#include <stdio.h>
#include <sys/ioctl.h>

#define CHANNEL "bulkhead_notice"

/* A connection that failed is tried again after this and as much again by chance. */
#define CONNECT_PAUSE (5 * SECOND)
#define NOTIFY_EVERY  MILLISECOND
#define FLUSH_EVERY   (20 * MILLISECOND)

/* How often an instance says that it is there, and how long others believe that. */
#define SAY_EVERY    (4 * SECOND)
#define BELIEVE_FOR  (10 * SECOND)
#define ANSWER_LIMIT (5 * SECOND) /* a server that says nothing for so long is not there */

enum { READS_MAX = 64 }; /* of what has come, before others have their turn */

/* --- asked for by a commit ------------------------------------------------------------ */

static void be_asked(struct message *message)
{
	struct notice_hint *hint = CONTAINER_OF(message, struct notice_hint, message);

	hint->asked = true;
	if (hint->ready)
		ready_changed(hint->ready, true, false, false);
}

static void want(struct notice_poller *poller)
{
	struct notice_hint *hint = &poller->hint;

	if (atomic_exchange(&hint->wanted, true))
		return; /* the next NOTIFY is for this one, too */
	hint->message.deliver = be_asked;
	worker_send(&poller->worker, &hint->message);
}

void notice_hint_want(struct notice_poller *poller)
{
	atomic_store(&poller->hint.rows, true);
	want(poller);
}

/* With the lock. Whether it is said already, or there is no room for it. */
static bool add_word(struct notice_hint *hint, struct str word)
{
	struct str words = str_of(hint->words, hint->words_len);

	while (words.len)
		if (str_eq(str_cut(&words, '\n'), word))
			return true;
	if (hint->words_len + word.len + 1 > sizeof(hint->words))
		return false;
	memcpy(hint->words + hint->words_len, word.at, word.len);
	hint->words[hint->words_len + word.len] = '\n';
	hint->words_len += word.len + 1;
	return true;
}

void notice_hint_say(struct notice_poller *poller, struct str topic, struct str key)
{
	struct notice_hint *hint = &poller->hint;
	char word[NOTICE_KEY_MAX + 2];
	int len = snprintf(word, sizeof(word), "%.*s %.*s", STR_ARG(topic), STR_ARG(key));

	CHECK(len > 0 && (size_t)len < sizeof(word));
	if (clock_now_ns() > atomic_load(&hint->others_until_ns))
		return;
	(void)pthread_mutex_lock(&hint->lock);
	if (!add_word(hint, str_of(word, (size_t)len))) {
		hint->words_len = 0; /* it is all of the topic then, and of those before it */
		(void)add_word(hint, S("* "));
	}
	(void)pthread_mutex_unlock(&hint->lock);
	want(poller);
}

/* --- the connection --------------------------------------------------------------------- */

struct attempt {
	struct pg_target target;
	PGconn *pg;
};

/* Blocks; on a thread of the engine's. */
static void connect_there(void *arg)
{
	struct attempt *attempt = arg;

	attempt->pg = pg_connect(&attempt->target);
	if (attempt->pg &&
		(pg_listen(attempt->pg, CHANNEL) < 0 || PQsetnonblocking(attempt->pg, 1) < 0)) {
		(void)fail(ERR_UNAVAILABLE, "PostgreSQL does not let us listen");
		PQfinish(TAKE(attempt->pg));
	}
	if (!attempt->pg)
		log_debug("no hints of notices for a while", LOG_ERR);
}

/* --- a round ----------------------------------------------------------------------------- */

/* Reads all that has come, since the poller tells of changes only. False when it has ended. */
static bool read_all(PGconn *pg, struct ready *ready)
{
	int least = PQsslInUse(pg) ? 2 : 1; /* libpq may hold a part of what TLS has read */
	int left = 0;

	ready->readable = false;
	for (int i = 0; i < least || (i < READS_MAX && left > 0); i++)
		if (!PQconsumeInput(pg) || ioctl(PQsocket(pg), FIONREAD, &left) < 0)
			return false;
	ready->readable = left > 0;
	return !ready->ended;
}

/* One line of what another instance says. */
static void hear_line(struct notice_poller *poller, struct str line)
{
	static const struct uuid nobody;
	struct str topic = str_cut(&line, ' ');

	if (str_eq(topic, S("+")))
		notice_poller_wake(poller);
	else if (str_eq(topic, S("?")))
		poller->hint.answer = true;
	else if (str_eq(topic, S("*")))
		notices_tell_missed(poller->notices);
	else if (!str_eq(topic, S("!")))
		notices_tell(poller->notices, topic, &nobody, line);
}

static void hear_words(struct notice_poller *poller, struct str words)
{
	atomic_store(&poller->hint.others_until_ns, clock_now_ns() + BELIEVE_FOR);
	if (!words.len)
		notice_poller_wake(poller);
	while (words.len)
		hear_line(poller, str_cut(&words, '\n'));
}

static void hear(struct notice_poller *poller, PGconn *pg)
{
	PGnotify *notify;

	while ((notify = PQnotifies(pg))) {
		if (notify->be_pid != PQbackendPID(pg))
			hear_words(poller, str_from_c(notify->extra));
		PQfreemem(notify);
	}
}

/* What there is to tell, as a text that ends with NUL. */
static void gather(struct notice_hint *hint, bool first, char text[NOTICE_WORDS_MAX + 16])
{
	size_t len = (size_t)snprintf(text, 16, "%s%s",
		atomic_exchange(&hint->rows, false) ? "+\n" : "", first ? "?\n" : "!\n");

	(void)pthread_mutex_lock(&hint->lock);
	memcpy(text + len, hint->words, hint->words_len);
	text[len + hint->words_len] = '\0';
	hint->words_len = 0;
	(void)pthread_mutex_unlock(&hint->lock);
}

static bool send_words(PGconn *pg, struct notice_hint *hint)
{
	char text[NOTICE_WORDS_MAX + 16];
	const char *values[] = { text };
	bool first = hint->said_ns == 0;

	gather(hint, first, text);
	hint->said_ns = hint->sent_ns = clock_now_ns();
	hint->sending = true;
	return PQsendQueryParams(pg, "SELECT pg_catalog.pg_notify('" CHANNEL "', $1)", 1, NULL,
		values, NULL, NULL, 0);
}

/* Sends what there is to be sent when the last one is done with; false when it cannot. */
static bool send_hint(PGconn *pg, struct notice_hint *hint)
{
	uint64_t now = clock_now_ns();

	while (hint->sending && !PQisBusy(pg)) {
		PGresult *result = PQgetResult(pg);

		hint->sending = result;
		PQclear(result);
	}
	if (hint->sending && now >= hint->sent_ns + ANSWER_LIMIT)
		return false;
	hint->asked |= hint->answer || now >= hint->said_ns + SAY_EVERY;
	if (!hint->asked || hint->sending || now < hint->sent_ns + NOTIFY_EVERY)
		return true;

	hint->asked = hint->answer = false;
	atomic_store(&hint->wanted, false); /* what comes from now on needs another one */
	return send_words(pg, hint);
}

/* Until the connection ends: -ERR_IO, or we do: -ERR_CANCELLED. */
static int serve(struct notice_poller *poller, PGconn *pg, struct ready *ready)
{
	struct notice_hint *hint = &poller->hint;

	for (;;) {
		uint64_t until_ns;
		int unsent, r;

		if (!read_all(pg, ready))
			return fail(ERR_IO, "the connection for hints is lost");
		hear(poller, pg);
		if (!send_hint(pg, hint))
			return fail(ERR_IO, "the connection for hints is lost");
		unsent = PQflush(pg);
		if (unsent < 0)
			return fail(ERR_IO, "the connection for hints is lost");

		if (hint->sending)
			until_ns = hint->sent_ns + ANSWER_LIMIT;
		else if (hint->asked)
			until_ns = hint->sent_ns + NOTIFY_EVERY;
		else
			until_ns = hint->said_ns + SAY_EVERY;
		if (unsent)
			until_ns = sched_now() + FLUSH_EVERY;
		r = ready_wait(ready, READY_READ, until_ns);
		if (r < 0 && r != -ERR_TIMEOUT)
			return r;
	}
}

static int serve_watched(struct notice_poller *poller, PGconn *pg)
{
	struct watch watch;
	int r = watch_add(&poller->worker.poller, &watch, PQsocket(pg));

	if (r < 0)
		return r;
	poller->hint.ready = &watch.ready;
	poller->hint.sending = false;
	poller->hint.said_ns = 0;
	notice_poller_doubt(poller); /* we do not know what was before this session */
	r = serve(poller, pg, &watch.ready);
	notice_poller_doubt(poller);
	poller->hint.ready = NULL;
	watch_remove(&watch);
	return r;
}

int notice_hint_run(void *arg)
{
	struct notice_poller *poller = arg;
	struct pg_engine *engine = CONTAINER_OF(poller->store->engine, struct pg_engine, engine);
	const struct pg_pool_options *options = &engine->system.options;
	int r;

	if (options->target.pooled) { /* sessions are not ours there, so nobody hears */
		log_info("no hints of notices: there is no way past the pooler");
		return 0;
	}
	do {
		struct attempt attempt = { .target = { options->target.url, NULL,
						   options->target.connect_ns } };

		r = offload_call(&engine->offload, connect_there, &attempt);
		if (r == 0 && attempt.pg)
			r = serve_watched(poller, attempt.pg);
		if (r < 0 && r != -ERR_CANCELLED)
			log_debug("no hints of notices for a while", LOG_ERR);
		PQfinish(attempt.pg);
		if (r != -ERR_CANCELLED)
			r = fiber_sleep_until(
				sched_now() + CONNECT_PAUSE + random_u64() % CONNECT_PAUSE);
	} while (r == 0);
	return 0;
}
