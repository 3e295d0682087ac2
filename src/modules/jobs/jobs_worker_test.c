/* The worker protocol over HTTP, on both engines. */
#include "modules/jobs/jobs_worker.h"

#include "http/server.h"
#include "modules/jobs/jobs_fixture_test.h"
#include "modules/jobs/jobs_rows.h"
#include "rest/idempotency.h"
#include "rest/world_test.h"

#include <stdio.h>

static const struct statement pause_queue =
	STATEMENT("test_worker_pause", .sql = "INSERT INTO main.job_pause (tenant_id, queue, at) "
					      "VALUES (:tenant, 'behind', :now)");

struct old_lease {
	struct str id;
};

static const struct schema old_lease_schema = SCHEMA(old_lease, "A lease of an earlier call.",
	FIELD(old_lease, id, "Which.", .format = FORMAT_UUID));

static const struct statement old_lease_put = STATEMENT("test_worker_old_lease",
	.sql = "INSERT INTO main.job_lease (tenant_id, id, kind, worker, lease_us, beats, "
	       "began_at, seen_at) VALUES (:tenant, :id, 'call', 'w', 3600000000, 0, :now, :now)",
	.in = &old_lease_schema);

struct lease_count {
	int64_t count;
};

static const struct schema lease_count_schema =
	SCHEMA(lease_count, "How many.", FIELD(lease_count, count, "So many."));

static const struct statement leases_counted = STATEMENT("test_worker_leases",
	.sql = "SELECT count(*) AS count FROM job_lease WHERE tenant_id = :tenant",
	.out = &lease_count_schema);

static const struct statement *const pausing_statements[] = { &pause_queue, &old_lease_put,
	&leases_counted };

static const struct module pausing_module = {
	MODULE_HEAD,
	.name = "test-pausing",
	.statements = pausing_statements,
	.statement_count = LEN(pausing_statements),
};

static const struct module *const modules[] = { &rest_module, &tenant_tables_module, &jobs_module,
	&job_workers_module, &pausing_module, NULL };

/* --- jobs ------------------------------------------------------------------------------------ */

struct putting {
	const struct job_new *job;
	size_t count;
	struct job_added added;
};

static int put_in_tx(struct tx *tx, void *arg)
{
	struct putting *putting = arg;
	int r = 0;

	for (size_t i = 0; i < putting->count && r == 0; i++)
		r = tx_enqueue(tx, putting->job, &putting->added);
	return r;
}

static int put(const struct db *db, void *arg)
{
	return db_write(db, put_in_tx, arg);
}

/* Adds so many, and keeps the id of the last. */
static const char *add_with(
	struct world *world, const char *who, const char *queue, size_t count, struct str payload)
{
	static char ids[8][UUID_TEXT_LEN + 1];
	static size_t next;
	struct job_new job = {
		.name = S("test:work"), .queue = str_from_c(queue), .payload = payload
	};
	struct putting putting = { .job = &job, .count = count };
	char *id = ids[next++ % LEN(ids)];

	world_do(world, who, put, &putting);
	uuid_write(id, &putting.added.id);
	id[UUID_TEXT_LEN] = '\0';
	return id;
}

struct looking {
	const char *id;
	struct job_shown shown;
};

static int look(const struct db *db, void *arg)
{
	struct looking *looking = arg;

	return db_one(db, &job_get, &(struct job_ref){ str_from_c(looking->id) }, &looking->shown);
}

static const char *add(struct world *world, const char *who, const char *queue, size_t count)
{
	return add_with(world, who, queue, count, S("{\"n\":1}"));
}

/* --- calls ------------------------------------------------------------------------------------ */

static struct answer lease(
	struct world *world, const char *who, const char *queue, const char *body)
{
	char request[200];

	(void)snprintf(request, sizeof(request), "POST /api/v1/%squeues/%s/lease",
		*who == 'o' ? "platform/" : "", queue);
	return world_call(world, who, request, "", body);
}

/* "POST /api/v1/jobs/ID/WHAT" with the token and whatever else. */
static struct answer say(struct world *world, const char *who, const char *id, const char *what,
	const char *token, const char *more)
{
	char request[200], body[1000];

	(void)snprintf(request, sizeof(request), "POST /api/v1/%sjobs/%s/%s",
		*who == 'o' ? "platform/" : "", id, what);
	(void)snprintf(body, sizeof(body), "{\"leaseToken\":\"%s\"%s}", token, more);
	return world_call(world, who, request, "", body);
}

#define ONE "{\"workerId\":\"w\",\"max\":1}"

/* --- tests -------------------------------------------------------------------------------------
 */

WORLD_TEST(a_worker_takes_and_completes, modules)
{
	const char *id = add(world, "ada", "default", 1), *token;
	struct answer answer = lease(world, "ada", "default", ONE);

	EXPECT_INT(answer.status, 200);
	EXPECT_STR(str_from_c(answer_text(&answer, "id")), str_from_c(id));
	EXPECT_STR(str_from_c(answer_text(&answer, "name")), S("test:work"));
	EXPECT_INT(answer_count(&answer, "\"payload\":{\"n\":1}"), 1);
	EXPECT_INT(answer_count(&answer, "\"attempt\":1,\"attempts\":3"), 1);
	EXPECT_INT(answer_count(&answer, "tenantId"), 0);
	token = answer_text(&answer, "leaseToken");

	answer = lease(world, "ada", "default", ONE);
	EXPECT_INT(answer_count(&answer, "\"jobs\":[]"), 1);

	answer = say(world, "ada", id, "heartbeat", token, "");
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(answer_count(&answer, "\"cancel\":false"), 1);
	answer = say(world, "ada", id, "progress", token, ",\"percent\":40,\"note\":\"so far\"");
	EXPECT_INT(answer.status, 200);
	answer = say(world, "ada", id, "log", token,
		",\"lines\":[{\"message\":\"a\"},{\"level\":\"warn\",\"message\":\"b\"}]");
	EXPECT_INT(answer_count(&answer, "\"kept\":2,\"dropped\":0"), 1);

	answer = say(world, "ada", id, "complete", token, ",\"result\":{\"sum\":2}");
	EXPECT_INT(answer.status, 200);
	EXPECT_STR(str_from_c(answer_text(&answer, "state")), S("completed"));
	/* the answer was lost */
	answer = say(world, "ada", id, "complete", token, ",\"result\":{\"sum\":2}");
	EXPECT_INT(answer.status, 200);
	EXPECT_STR(str_from_c(answer_text(&answer, "state")), S("completed"));
	/* but it cannot have failed, too */
	answer = say(world, "ada", id, "fail", token, ",\"message\":\"no\"");
	EXPECT_INT(answer.status, 409);
	answer = say(world, "ada", id, "heartbeat", token, "");
	EXPECT_INT(answer.status, 409);
}

/* Whoever heard no answer asks again, whatever it was. */
WORLD_TEST(what_is_said_again_is_heard_again, modules)
{
	static const struct {
		const char *what, *more, *state;
	} cases[] = {
		{ "snooze", ",\"delayMs\":60000", "scheduled" },
		{ "release", "", "available" },
		{ "fail", ",\"message\":\"no\"", "retryable" },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		const char *queue[] = { "one", "two", "three" };
		const char *id = add(world, "ada", queue[i], 1), *token;
		struct answer answer = lease(world, "ada", queue[i], ONE);

		token = answer_text(&answer, "leaseToken");
		for (int again = 0; again < 2; again++) {
			answer = say(world, "ada", id, cases[i].what, token, cases[i].more);
			EXPECT_INT(answer.status, 200);
			EXPECT_STR(str_from_c(answer_text(&answer, "state")),
				str_from_c(cases[i].state));
		}
	}
}

/* A call asks for more than its memory has room for, and gets as much as there is. */
WORLD_TEST(large_jobs_are_taken_few_at_a_time, modules)
{
	enum { JOBS = 24, BYTES = 200000 };
	static char payload[BYTES + 1];
	struct job_new job = { .name = S("test:work"), .queue = S("large") };
	struct putting putting = { .job = &job, .count = 1 };
	int got = 0;

	memset(payload, 'x', BYTES);
	payload[0] = payload[BYTES - 1] = '"';
	job.payload = str_of(payload, BYTES);
	for (int i = 0; i < JOBS; i++)
		world_do(world, "ada", put, &putting);
	for (int i = 0; i < JOBS && got < JOBS; i++) {
		struct answer answer =
			lease(world, "ada", "large", "{\"workerId\":\"w\",\"max\":100}");
		int some = (int)answer_count(&answer, "leaseToken");

		EXPECT_INT(answer.status, 200);
		EXPECT(some > 0);
		got += some;
	}
	EXPECT_INT(got, JOBS);
}

static int open_session_in_tx(struct tx *tx, void *arg)
{
	struct lease lease = { .tenant = *tx_tenant(tx),
		.kind = LEASE_SESSION,
		.worker = S("w"),
		.lease_us = 60000000 };

	(void)arg;
	uuid_v7(&lease.id, tx_now_us(tx));
	return lease_open_in_tx(tx, &lease);
}

static int open_session(const struct db *db, void *arg)
{
	return db_write(db, open_session_in_tx, arg);
}

/* A session may have more jobs than end in one go. */
WORLD_TEST(a_worker_forgets_more_than_end_at_once, modules)
{
	static const size_t counts[] = { 700, 500 };
	struct answer answer;
	int got = 0;

	world_do(world, "ada", open_session, NULL);
	for (size_t i = 0; i < LEN(counts); i++)
		(void)add(world, "ada", "many", counts[i]);
	for (int i = 0; i < 12 && got < 1200; i++) {
		answer = lease(world, "ada", "many", "{\"workerId\":\"w\",\"max\":300}");
		got += (int)answer_count(&answer, "leaseToken");
	}
	EXPECT_INT(got, 1200);
	answer = lease(world, "ada", "many",
		"{\"workerId\":\"w\",\"max\":1,\"lostAnswer\":true,\"holding\":[]}");
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(answer_count(&answer, "leaseToken"), 1);
}

enum { LEASES_MANY = 1205 };

static int add_leases_in_tx(struct tx *tx, void *arg)
{
	int r = 0;

	(void)arg;
	for (int i = 0; i < LEASES_MANY && r == 0; i++) {
		struct uuid id;

		uuid_v7(&id, tx_now_us(tx));
		r = tx_exec(
			tx, &old_lease_put, &(struct old_lease){ uuid_text(tx_arena(tx), &id) });
	}
	return r;
}

static int add_leases(const struct db *db, void *arg)
{
	return db_write(db, add_leases_in_tx, arg);
}

static int count_leases(const struct db *db, void *arg)
{
	return db_one(db, &leases_counted, NULL, arg);
}

/* Each call without a session is a lease of its own. */
WORLD_TEST(a_worker_that_goes_gives_up_all_its_leases, modules)
{
	struct lease_count left = { -1 };

	world_do(world, "ada", add_leases, NULL);
	EXPECT_INT(world_call(world, "ada", "DELETE /api/v1/workers/w", "", NULL).status, 200);
	world_do(world, "ada", count_leases, &left);
	EXPECT_INT(left.count, 0);
}

/* The schema came after the job, which nobody could do now. */
WORLD_TEST(a_worker_gets_no_payload_that_its_schema_refuses, modules)
{
	struct looking looking = { .id = add(world, "ada", "default", 1) };
	struct answer answer = world_call(world, "ada", "PUT /api/v1/job-schemas/test:work", "",
		"{\"schema\":{\"type\":\"object\",\"required\":[\"x\"],"
		"\"properties\":{\"x\":{\"type\":\"integer\"}}}}");

	EXPECT_INT(answer.status, 200);
	answer = lease(world, "ada", "default", ONE);
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(answer_count(&answer, "\"jobs\":[]"), 1);
	world_do(world, "ada", look, &looking);
	EXPECT_INT(looking.shown.state, JOB_DISCARDED);
}

enum { MANY_TENANTS = 70 };

/* Tenants in front of all others, each with a job, and with the queue paused. */
static int put_paused(const struct db *db, void *arg)
{
	int r = 0;

	for (uint8_t i = 1; i <= MANY_TENANTS && r == 0; i++) {
		struct uuid tenant = { .bytes = { [14] = 0xff, [15] = i } };
		struct db own = db_of(db->store, &tenant, db->arena);

		r = put(&own, arg);
		if (r == 0)
			r = db_exec(&own, &pause_queue, NULL);
	}
	return r;
}

/* However many there are of whom it may take nothing. */
WORLD_TEST(a_worker_of_all_finds_who_is_behind_many, modules)
{
	struct job_new job = { .name = S("test:work"), .queue = S("behind") };
	struct putting putting = { .job = &job, .count = 1 };
	const char *id;
	struct answer answer;

	world_do(world, "otto", put_paused, &putting);
	id = add(world, "ada", "behind", 1);
	answer = lease(world, "otto", "behind", "{\"workerId\":\"w\",\"max\":10,\"waitMs\":5000}");
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(answer_count(&answer, "leaseToken"), 1);
	EXPECT_STR(str_from_c(answer_text(&answer, "id")), str_from_c(id));
}

WORLD_TEST(a_start_is_known_by_its_token, modules)
{
	const char *id = add(world, "ada", "default", 1), *first;
	struct answer answer = lease(world, "ada", "default", ONE);

	first = answer_text(&answer, "leaseToken");
	answer = say(world, "ada", id, "fail", first, ",\"message\":\"no\",\"retryInMs\":0");
	EXPECT_INT(answer.status, 200);
	answer = say(world, "ada", id, "fail", first, ",\"message\":\"no\",\"retryInMs\":0");
	EXPECT_INT(answer.status, 200);
	EXPECT_STR(str_from_c(answer_text(&answer, "state")), S("retryable"));
}

WORLD_TEST(batches_and_tenants_are_kept_apart, modules)
{
	static char body[4000];
	const char *mine = add(world, "ada", "default", 1),
		   *theirs = add(world, "bob", "default", 1);
	const char *first, *second;
	struct answer answer = lease(world, "ada", "default", "{\"workerId\":\"w\",\"max\":10}");

	EXPECT_INT(answer_count(&answer, "leaseToken"), 1);
	first = answer_text(&answer, "leaseToken");
	answer = lease(world, "bob", "default", "{\"workerId\":\"w\",\"max\":10}");
	EXPECT_STR(str_from_c(answer_text(&answer, "id")), str_from_c(theirs));
	second = answer_text(&answer, "leaseToken");

	EXPECT_INT(say(world, "bob", mine, "complete", first, "").status, 404);
	EXPECT_INT(say(world, "bob", mine, "heartbeat", first, "").status, 404);
	EXPECT_INT(say(world, "ada", mine, "complete", second, "").status, 404);
	EXPECT_INT(say(world, "bob", theirs, "complete", first, "").status, 404);
	EXPECT_INT(say(world, "ada", theirs, "complete", first, "").status, 404);
	EXPECT_INT(say(world, "Ada", mine, "complete", first, "").status, 403);

	(void)snprintf(body, sizeof(body),
		"{\"jobs\":[{\"id\":\"%s\",\"leaseToken\":\"%s\"},{\"id\":\"%s\",\"leaseToken\":"
		"\"%s\"},{\"id\":\"%s\",\"leaseToken\":\"%s\"}]}",
		mine, first, theirs, second, mine, first);
	answer = world_call(world, "ada", "POST /api/v1/jobs/heartbeat", "", body);
	EXPECT_INT(answer_count(&answer, "\"cancel\":false"), 2);
	EXPECT_INT(answer_count(&answer, "\"NOT_FOUND\""), 1);
	answer = world_call(world, "ada", "POST /api/v1/jobs/complete", "", body);
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(answer_count(&answer, "\"completed\""), 2);
	EXPECT_INT(answer_count(&answer, "\"NOT_FOUND\""), 1);
	answer = world_call(world, "olga", "POST /api/v1/platform/jobs/complete", "", body);
	EXPECT_INT(answer_count(&answer, "\"completed\""), 3);
}

/* --- what goes wrong ------------------------------------------------------------------------- */

#ifdef BULKHEAD_FAULTS

/* The same with the nth allocation failing; a new connection when that broke the old one. */
static struct answer faulty(struct world *world, int nth, const char *request, const char *body)
{
	char headers[40];
	struct answer answer;

	(void)snprintf(headers, sizeof(headers), "X-Fault: %d\r\n", nth);
	answer = world_call(world, "ada", request, headers, body);
	if (answer.status == 0)
		world->client = client_open(world->net);
	return answer;
}

/* Whatever fails in the middle of a lease, the job is not lost, and was not started. */
WORLD_TEST(a_lease_that_fails_takes_nothing_along, modules)
{
	static char payload[100000]; /* so that there is something to allocate */
	const char *id;
	int nth = 0, status = 0;

	memset(payload, '1', sizeof(payload));
	payload[0] = payload[sizeof(payload) - 1] = '"';
	id = add_with(world, "ada", "default", 1, str_of(payload, sizeof(payload)));
	while (status != 200 && ++nth < 500) {
		struct answer answer = faulty(world, nth, "POST /api/v1/queues/default/lease", ONE);
		bool broke = answer.status == 0;

		status = answer.status;
		if (status != 200) {
			EXPECT(broke || status == 503);
			if (broke) /* it was answered, but nobody heard */
				(void)world_call(
					world, "ada", "DELETE /api/v1/workers/w", "", NULL);
			answer = lease(world, "ada", "default", ONE);
		}
		EXPECT_STR(str_from_c(answer_text(&answer, "id")), str_from_c(id));
		EXPECT_INT(answer_count(&answer, "\"attempt\":1,"), 1);
		EXPECT_INT(say(world, "ada", id, "release", answer_text(&answer, "leaseToken"), "")
				   .status,
			200);
	}
	EXPECT(nth > 1 && nth < 500);
}

/* Whatever fails in the middle of an end, asking again has it ended once. */
WORLD_TEST(an_end_that_fails_can_be_asked_for_again, modules)
{
	for (int nth = 1, done = 0; !done && nth < 500; nth++) {
		const char *id = add(world, "ada", "default", 1), *token;
		struct answer answer = lease(world, "ada", "default", ONE);
		char request[200], body[200];

		token = answer_text(&answer, "leaseToken");
		(void)snprintf(request, sizeof(request), "POST /api/v1/jobs/%s/complete", id);
		(void)snprintf(body, sizeof(body), "{\"leaseToken\":\"%s\",\"result\":1}", token);
		answer = faulty(world, nth, request, body);
		done = answer.status == 200;
		EXPECT(done || answer.status == 0 || answer.status == 503);
		answer = say(world, "ada", id, "complete", token, ",\"result\":1");
		EXPECT_INT(answer.status, 200);
		EXPECT_STR(str_from_c(answer_text(&answer, "state")), S("completed"));
		EXPECT(done || nth < 499);
	}
}

#endif

/* --- at once -----------------------------------------------------------------------------------
 */

/* Opens a session on a connection of its own. */
static struct client *hold_session(struct world *world, const char *who)
{
	struct client *client = client_open(world->net);

	world_send(client, who, "GET /api/v1/workers/w/session", "", NULL);
	while (str_find(client_unread(client), S("event: ready")) < 0)
		REQUIRE(client_fill(client));
	return client;
}

/* Nothing is left to a lease that is gone: who takes for a session, and who ends it, at once. */
WORLD_TEST(a_session_that_ends_while_it_takes_leaves_nothing, modules)
{
	struct client *taking = client_open(world->net), *ending = client_open(world->net);
	size_t taken = 0;

	(void)add(world, "ada", "default", 1);
	for (int round = 0; round < 30; round++) {
		struct client *session = hold_session(world, "ada");
		struct answer answer;

		world_send(taking, "ada", "POST /api/v1/queues/default/lease", "", ONE);
		world_send(ending, "ada", "DELETE /api/v1/workers/w", "", NULL);
		answer = world_answer(taking);
		EXPECT_INT(answer.status, 200);
		taken += answer_count(&answer, "leaseToken");
		EXPECT_INT(world_answer(ending).status, 200);
		client_close(session);

		/* Wherever it was, it goes back now. */
		(void)world_call(world, "ada", "DELETE /api/v1/workers/w", "", NULL);
		answer = lease(world, "ada", "default", "{\"workerId\":\"other\"}");
		EXPECT_INT(answer_count(&answer, "leaseToken"), 1);
		EXPECT_INT(answer_count(&answer, "\"attempt\":1,"), 1);
		(void)world_call(world, "ada", "DELETE /api/v1/workers/other", "", NULL);
	}
	EXPECT(taken > 0);
}
