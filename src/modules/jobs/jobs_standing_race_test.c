/*
 * What a worker says while it works, beside all that may end the start at the same moment: its own
 * end, a cancellation, the reaper. Two connections and the test's own fiber; whoever is first, the
 * answers fit what became of the job. On both engines.
 */
#include "modules/jobs/jobs_internal.h"

#include "base/err.h"
#include "modules/jobs/jobs_fixture_test.h"
#include "modules/jobs/jobs_rows.h"
#include "modules/jobs/jobs_worker.h"
#include "rest/idempotency.h"
#include "rest/world_test.h"

#include <stdio.h>

enum { ROUNDS = 12, ROUNDS_LONG = 300 };

static const struct statement lose_leases = STATEMENT("test_standing_leases_lost",
	.sql = "DELETE FROM main.job_lease WHERE 1 = 1", .flags = STATEMENT_SYSTEM);
static const struct statement *const statements[] = { &lose_leases };

static const struct module losing_module = {
	MODULE_HEAD,
	.name = "test-losing",
	.statements = statements,
	.statement_count = LEN(statements),
};

static const struct module *const modules[] = { &rest_module, &tenant_tables_module, &jobs_module,
	&job_workers_module, &losing_module, NULL };

/* --- the job, and what happens to it --------------------------------------------------------- */

struct scene {
	struct world *world;
	struct client *standing, *ending;
	char id[UUID_TEXT_LEN + 1];
	const char *token;
	int cancelled; /* what the cancellation said */
};

static int add_in_tx(struct tx *tx, void *arg)
{
	struct job_new job = { .name = S("test:work"), .attempts = 5 };

	return tx_enqueue(tx, &job, arg);
}

static int add(const struct db *db, void *arg)
{
	return db_write(db, add_in_tx, arg);
}

static int cancel_in_tx(struct tx *tx, void *arg)
{
	const struct scene *scene = arg;
	enum job_state state;

	return job_cancel_in_tx(tx, str_from_c(scene->id), &state);
}

static int cancel(const struct db *db, void *arg)
{
	struct scene *scene = arg;

	scene->cancelled = db_write(db, cancel_in_tx, scene);
	return 0;
}

/* All leases are lost, and the reaper, who has not seen any of them, looks. */
static int reap(const struct db *db, void *arg)
{
	struct db system = db_of_system(db->store, db->arena);
	struct reaper *reaper;
	int r = db_exec(&system, &lose_leases, NULL);

	(void)arg;
	REQUIRE(reaper_open(db->store, &reaper) == 0);
	if (r == 0)
		r = reaper_look(reaper);
	reaper_close(reaper);
	return r;
}

static int look(const struct db *db, void *arg)
{
	struct job_shown *ret = arg;
	static char note[100];
	char id[UUID_TEXT_LEN];
	int r;

	memcpy(id, ret->id.at, sizeof(id));
	r = db_one(db, &job_get, &(struct job_ref){ str_of(id, sizeof(id)) }, ret);
	if (r == 0 && ret->progress_note.set) { /* as long as the test wants it */
		size_t len = MIN(ret->progress_note.value.len, sizeof(note));

		memcpy(note, ret->progress_note.value.at, len);
		ret->progress_note.value = str_of(note, len);
	}
	return r;
}

static struct job_shown job_now(const struct scene *scene)
{
	struct job_shown shown = { .id = str_from_c(scene->id) };

	world_do(scene->world, "ada", look, &shown);
	return shown;
}

/* A job that runs. */
static void begin(struct scene *scene)
{
	struct job_added added;
	struct answer answer;

	world_do(scene->world, "ada", add, &added);
	uuid_write(scene->id, &added.id);
	scene->id[UUID_TEXT_LEN] = '\0';
	answer = world_call(scene->world, "ada", "POST /api/v1/queues/default/lease", "",
		"{\"workerId\":\"w\",\"max\":1}");
	REQUIRE(answer.status == 200 && answer_count(&answer, scene->id) == 1);
	scene->token = answer_text(&answer, "leaseToken");
}

static void say(
	const struct scene *scene, struct client *client, const char *what, const char *more)
{
	char request[200], body[300];

	(void)snprintf(request, sizeof(request), "POST /api/v1/jobs/%s/%s", scene->id, what);
	(void)snprintf(body, sizeof(body), "{\"leaseToken\":\"%s\"%s}", scene->token, more);
	world_send(client, "ada", request, "", body);
}

static void race(struct world *world, void (*round)(struct scene *scene, int nth))
{
	struct scene scene = { .world = world,
		.standing = client_open(world->net),
		.ending = client_open(world->net) };

	for (int i = 0; i < (test_long() ? ROUNDS_LONG : ROUNDS); i++) {
		begin(&scene);
		round(&scene, i);
	}
	client_close(scene.standing);
	client_close(scene.ending);
}

/* Nobody is told that a job is his that is not. */
static void expect_over(struct scene *scene)
{
	say(scene, scene->standing, "heartbeat", "");
	EXPECT_INT(world_answer(scene->standing).status, 409);
}

/* --- beside an end -----------------------------------------------------------------------------
 */

static void beside_completion(struct scene *scene, int nth)
{
	struct job_shown shown;
	int stood;

	if (nth % 2)
		say(scene, scene->ending, "complete", "");
	say(scene, scene->standing, "progress", ",\"percent\":77,\"note\":\"late\"");
	if (nth % 2 == 0)
		say(scene, scene->ending, "complete", "");
	stood = world_answer(scene->standing).status;
	EXPECT_INT(world_answer(scene->ending).status, 200);
	EXPECT(stood == 200 || stood == 409);
	shown = job_now(scene);
	EXPECT_INT(shown.state, JOB_COMPLETED);
	EXPECT_INT(shown.progress.set && shown.progress.value == 77, stood == 200);
	expect_over(scene);
}

WORLD_TEST(a_heartbeat_beside_the_end_of_its_job, modules)
{
	race(world, beside_completion);
}

/* --- beside a cancellation ---------------------------------------------------------------------
 */

static void beside_cancellation(struct scene *scene, int nth)
{
	bool fails = nth % 2;
	int stood;

	say(scene, scene->standing, "heartbeat", "");
	say(scene, scene->ending, fails ? "fail" : "complete", fails ? ",\"message\":\"no\"" : "");
	world_do(scene->world, "ada", cancel, scene);
	stood = world_answer(scene->standing).status;
	EXPECT_INT(world_answer(scene->ending).status, 200);
	EXPECT(stood == 200 || stood == 409);
	if (fails) /* asked to stop, and failed; or failed, and taken from those who wait */
		EXPECT_INT(scene->cancelled, 0);
	else
		EXPECT(scene->cancelled == 0 || scene->cancelled == -ERR_CONFLICT);
	EXPECT_INT(job_now(scene).state, fails ? JOB_CANCELLED : JOB_COMPLETED);
	expect_over(scene);
}

WORLD_TEST(a_heartbeat_beside_a_cancellation, modules)
{
	race(world, beside_cancellation);
}

/* --- beside the reaper -------------------------------------------------------------------------
 */

static void beside_reaper(struct scene *scene, int nth)
{
	bool ends = nth % 2;
	struct job_shown shown;
	int stood, ended = 409;

	say(scene, scene->standing, "heartbeat", "");
	if (ends)
		say(scene, scene->ending, "complete", "");
	world_do(scene->world, "ada", reap, NULL);
	stood = world_answer(scene->standing).status;
	if (ends)
		ended = world_answer(scene->ending).status;
	EXPECT(stood == 200 || stood == 409);
	EXPECT(ended == 200 || ended == 409);

	/* the worker's word, or the reaper's; whichever it was, it is told so */
	shown = job_now(scene);
	EXPECT_INT(shown.state, ended == 200 ? JOB_COMPLETED : JOB_AVAILABLE);
	EXPECT_INT(shown.attempt, 1);
	expect_over(scene);
	if (shown.state == JOB_AVAILABLE) { /* so that the next round takes its own */
		world_do(scene->world, "ada", cancel, scene);
		EXPECT_INT(scene->cancelled, 0);
	}
}

WORLD_TEST(a_heartbeat_beside_the_reaper, modules)
{
	race(world, beside_reaper);
}
