/*
 * Push: jobs of a queue with a push_url are sent there by this program, signed as Standard Webhooks
 * (standardwebhooks.com), and the answer says what became of them:
 *
 *     2xx                    completed; a body of JSON is the result
 *     429, 503               again after Retry-After; the attempt does not count. Without
 *                            Retry-After the attempt has failed
 *     410                    discarded
 *     anything else, nothing the attempt has failed
 *
 * Redirects are not followed. Each queue has a secret of its own, sealed under the installation's
 * key; after a change the former one signs, too, for a day.
 */
#ifndef JOBS_PUSH_H
#define JOBS_PUSH_H

#include "client/http.h"
#include "modules/jobs/jobs_worker_internal.h"

enum {
	PUSH_SECRET_LEN = 32,
	PUSH_SECRET_TEXT_LEN = 6 + BASE64_SIZE(PUSH_SECRET_LEN), /* "whsec_..." */
	PUSH_AT_ONCE = 100,       /* jobs of a queue under way, when the queue has no bound; */
	PUSH_QUEUES_MAX = 200,    /* queues with an address, */
	PUSH_ANSWER_MAX = 300000, /* bytes of an answer; a result has at most JOB_RESULT_MAX */
	PUSH_SIGNATURES_MAX = 2 * (3 + BASE64_SIZE(32) + 1),
};

const struct push_options *push_options(void);

/* --- rules (jobs_push_rules.c): pure ------------------------------------------------------------
 */

/* Secrets that sign: the newest first. */
struct push_secrets {
	size_t count; /* 1 or 2 */
	uint8_t at[2][PUSH_SECRET_LEN];
};

/* The text of a secret, PUSH_SECRET_TEXT_LEN bytes, no NUL; and back. */
void push_secret_write(char *at, const uint8_t secret[PUSH_SECRET_LEN]);
bool push_secret_read(struct str text, uint8_t ret[PUSH_SECRET_LEN]);

/* "v1,... v1,..." over id, timestamp and body; the number of bytes, at most PUSH_SIGNATURES_MAX. */
size_t push_sign(const struct push_secrets *secrets, struct str id, struct str timestamp,
	struct str body, char *at);

/* What is sent. */
struct push_message {
	const struct taken *job;
	struct str queue;
	int64_t now_us;
};
void push_write(const struct push_message *message, struct json_writer *json);

/* What an answer makes of a job: kind, result or message, delay. Texts are the arena's and the
 * answer's. */
int push_judge(
	const struct http_answer *answer, int64_t now_us, struct arena *arena, struct job_end *ret);

/* Seconds or a date (RFC 9110 10.2.3) as microseconds from now on: at least a second, at most a
 * day; 0 for what is neither. */
int64_t push_retry_after(struct str text, int64_t now_us);

/* --- secrets (jobs_push_store.c) ----------------------------------------------------------------
 */

/* Those of a queue; makes one where there is none. On a fiber. */
int push_secrets_get(
	struct store *store, struct arena *arena, struct str queue, struct push_secrets *ret);

/* A new one; the former signs, too, for a day. */
int push_secret_rotate(
	struct store *store, struct arena *arena, struct str queue, struct push_secrets *ret);

/* Names of queues that may have an address: those with settings of their own. */
int push_queues(struct store *store, struct arena *arena, struct str **ret, size_t *ret_count);

/* Before anything is served; and sealing anew (struct module). */
void push_secrets_open(const struct server *server);
int push_secrets_reseal(struct server *server, struct resealed *counted);
void push_secrets_close(void);

enum { JOB_PUSH_STATEMENTS = 6 };
extern const struct statement *const job_push_statements[JOB_PUSH_STATEMENTS];

/* --- sending (jobs_push.c) ----------------------------------------------------------------------
 */

/* A chore: sends jobs as long as the server runs, on a thread of its own. */
int push_jobs(struct server *server);

#endif
