/*
 * kill -9 in the middle of writes. A process of its own writes a ledger with twelve fibers and says
 * through a pipe what was acknowledged; it is killed at some moment, and another process opens the
 * store and looks. What the operating system has was not lost, so SOFT transactions must be there,
 * too. On PostgreSQL it is also the server that is killed, under a store that lives on.
 */
#include "store/ledger_test.h"
#include "store/migration.h"
#include "store/pg_server_test.h"

#include "observe/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	WRITERS = 12,
	KILLS = 20,          /* of one database */
	DATABASES_LONG = 25, /* one after the other */
	TOKENS_EACH = 20000, /* of one life */
	KILL_WITHIN_MS = 50, /* after the first answer */
	SERVER_KILLS = 4,
	SERVER_KILLS_LONG = 60,
	ANSWER_WITHIN_MS = 30000,
};

struct trial {
	struct store_test test;
	struct ledger ledger;
	uint64_t random;
	size_t first_token, end_token; /* of this life */
	int answers;                   /* end of the pipe that the writers have */
	bool *stop;                    /* shared with the writers */
	size_t next_token;             /* in the writers' process */
};

/* --- processes -------------------------------------------------------------------------- */

/* Starts fn(trial) in a process that ends with this one. Nothing here has threads, so it may. */
static pid_t start(struct trial *trial, void (*fn)(struct trial *))
{
	pid_t parent = getpid(), pid;

	fflush(NULL);
	pid = fork();
	REQUIRE(pid >= 0);
	if (pid > 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	fn(trial);
	test_end();
}

/* Runs it and waits for its end. */
static void run(struct trial *trial, void (*fn)(struct trial *))
{
	pid_t pid = start(trial, fn);
	int status;

	REQUIRE(waitpid(pid, &status, 0) == pid);
	REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS);
}

static void open_store(struct trial *trial)
{
	if (store_test_open(&trial->test, ledger_modules) == 0)
		return;
	test_note(false, __FILE__, __LINE__, "the store does not open: %s", err_text());
	test_end();
}

static void found(struct trial *trial)
{
	open_store(trial);
	store_test_work(&trial->test, ledger_found);
	store_test_close(&trial->test);
}

static void look_inside(struct store_test *test)
{
	struct trial *trial = test->arg;
	char why[LEDGER_WHY_MAX];

	if (ledger_check(test, &trial->ledger, why) != LEDGER_WHOLE)
		test_note(false, __FILE__, __LINE__, "%s", why);
}

static void look(struct trial *trial)
{
	open_store(trial);
	store_test_work(&trial->test, look_inside);
	store_test_close(&trial->test);
}

/* --- the writers ---------------------------------------------------------------------------- */

struct answer {
	uint32_t token;
	bool soft;
};

/* Writes until it is killed, told to stop, or out of tokens. */
static int write_on(void *arg)
{
	struct trial *trial = arg;
	struct db db = store_test_tenant(&trial->test, 1);
	struct arena arena;

	arena_init(&arena, 4096, MEGABYTE);
	db.arena = &arena;
	while (trial->next_token < trial->end_token &&
		!__atomic_load_n(trial->stop, __ATOMIC_RELAXED)) {
		uint64_t random = test_random(&trial->random);
		struct answer answer = { (uint32_t)trial->next_token++, random >> 62 == 0 };
		enum tx_durability durability = answer.soft ? TX_SOFT : TX_DURABLE;
		int r = ledger_write(&db, &trial->ledger, answer.token, durability, random);

		if (r == 0)
			CHECK(write(trial->answers, &answer, sizeof(answer)) == sizeof(answer));
		else
			(void)fiber_sleep_until(sched_now() + 20 * MILLISECOND);
		arena_reset(&arena);
	}
	arena_done(&arena);
	return 0;
}

static void write_all(struct store_test *test)
{
	struct scope scope;

	scope_open(&scope, TIME_NEVER);
	for (size_t i = 0; i < WRITERS; i++)
		REQUIRE(scope_spawn(&scope, write_on, test->arg) == 0);
	(void)scope_close(&scope);
}

static void write_ledger(struct trial *trial)
{
	trial->next_token = trial->first_token;
	open_store(trial);
	store_test_work(&trial->test, write_all);
	store_test_close(&trial->test);
}

/* --- listening to them ------------------------------------------------------------------------ */

/* Notes what comes through the pipe within that time; how much it was. `process_only`: the server
 * lives, so what was SOFT must be there as well. */
static size_t listen_for(struct trial *trial, int answers, int ms, bool process_only)
{
	uint64_t until = clock_now_ns() + (uint64_t)ms * MILLISECOND;
	struct pollfd pollfd = { answers, POLLIN, 0 };
	size_t count = 0;

	for (;;) {
		uint64_t now = clock_now_ns();
		struct answer answer;
		ssize_t got;

		if (poll(&pollfd, 1, now < until ? (int)((until - now) / MILLISECOND) : 0) <= 0)
			return count;
		got = read(answers, &answer, sizeof(answer));
		if (got <= 0)
			return count;
		CHECK(got == sizeof(answer));
		ledger_note(&trial->ledger, answer.token,
			answer.soft && !process_only ? TX_SOFT : TX_DURABLE);
		count++;
	}
}

/* Waits for the first answer of a life. */
static size_t listen_first(int answers)
{
	struct pollfd pollfd = { answers, POLLIN, 0 };

	return poll(&pollfd, 1, ANSWER_WITHIN_MS) == 1 && (pollfd.revents & POLLIN);
}

/* --- killing the writers -------------------------------------------------- */

static void trial_init(struct trial *trial, uint64_t seed, size_t tokens, bool numbered)
{
	trial->random = seed;
	trial->test.arg = trial;
	ledger_init(&trial->ledger, tokens, numbered);
	trial->stop = mmap(NULL, sizeof(*trial->stop), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(trial->stop != MAP_FAILED);
}

static void trial_done(struct trial *trial)
{
	ledger_done(&trial->ledger);
	(void)munmap(trial->stop, sizeof(*trial->stop));
}

/* One life. How many transactions were acknowledged. */
static size_t kill_once(struct trial *trial, size_t life)
{
	int ends[2], status;
	size_t count;
	pid_t pid;

	trial->first_token = life * TOKENS_EACH;
	trial->end_token = trial->first_token + TOKENS_EACH;
	REQUIRE(pipe(ends) == 0);
	trial->answers = ends[1];
	(void)test_random(&trial->random);
	pid = start(trial, write_ledger);
	close(ends[1]);
	REQUIRE(listen_first(ends[0]));
	count = listen_for(
		trial, ends[0], (int)(test_random(&trial->random) % KILL_WITHIN_MS), true);
	REQUIRE(kill(pid, SIGKILL) == 0);
	count += listen_for(trial, ends[0], ANSWER_WITHIN_MS, true);
	REQUIRE(waitpid(pid, &status, 0) == pid);
	EXPECT(WIFSIGNALED(status)); /* not by itself before that */
	close(ends[0]);
	run(trial, look);
	return count;
}

static void migrate_here(struct trial *trial)
{
	store_test_migrate(&trial->test, ledger_modules);
}

static void kill_writers(enum engine_kind engine)
{
	for (uint64_t i = 1; i <= (test_long() ? DATABASES_LONG : 1); i++) {
		struct trial trial = { 0 };
		size_t count = 0;

		trial_init(
			&trial, 20260000 + i, (size_t)KILLS * TOKENS_EACH, engine == ENGINE_SQLITE);
		store_test_folder(&trial.test, engine);
		if (engine == ENGINE_POSTGRES)
			(void)store_test_postgres(true); /* of all the children */
		run(&trial, migrate_here);
		run(&trial, found);
		for (size_t life = 0; life < KILLS; life++)
			count += kill_once(&trial, life);
		/* They had the time to write something. */
		EXPECT(count > (size_t)(BUILT_WITH_TSAN || BUILT_WITH_ASAN ? KILLS : KILLS * 10));
		store_test_remove(&trial.test);
		trial_done(&trial);
	}
}

TEST_SLOW(killed_writers_sqlite, 900)
{
	kill_writers(ENGINE_SQLITE);
}

TEST_SLOW(killed_writers_postgres, 900)
{
	kill_writers(ENGINE_POSTGRES);
}

/* --- killing the server --------------------------------------------------- */

static const char *const durable[] = { "--fsync", NULL };

static struct pg_server server;

static void migrate_there(struct trial *trial)
{
	char url[PG_URL_MAX];
	struct migration_options how = { .store = trial->test.options,
		.owner_url = pg_server_url(&server, "owner", "ledger", "", url) };
	struct migration_source sources[] = { { "store", store_migrations },
		{ ledger_modules[0].name, ledger_modules[0].migrations } };

	if (migrate_up(&how, sources, LEN(sources)) < 0)
		test_note(false, __FILE__, __LINE__, "%s", err_text());
}

/* The server goes, as in a power cut as far as it can tell, and comes back; the store must get over
 * it by itself. */
static void kill_server_once(struct trial *trial, int answers)
{
	const char *signal = test_random(&trial->random) % 2 ? "KILL" : "QUIT";

	(void)listen_for(trial, answers, (int)(test_random(&trial->random) % 150), false);
	pg_server_stop(&server, signal);
	(void)listen_for(trial, answers, 0, false);
	pg_server_restart(&server, durable);
	(void)listen_for(trial, answers, 0, false);
	REQUIRE(listen_first(answers));
}

TEST_SLOW(killed_server_postgres, 900)
{
	size_t kills = test_long() ? SERVER_KILLS_LONG : SERVER_KILLS;
	struct trial trial = { 0 };
	char url[PG_URL_MAX];
	int ends[2], status;
	pid_t pid;

	pg_server_start(&server, durable);
	pg_server_database(&server, "ledger");
	store_test_folder(&trial.test, ENGINE_SQLITE);
	trial.test.options.url = pg_server_url(&server, "app", "ledger", "", url);
	trial_init(&trial, 20260101, LEDGER_TOKENS_MAX, false);
	trial.end_token = LEDGER_TOKENS_MAX;
	run(&trial, migrate_there);
	run(&trial, found);

	REQUIRE(pipe(ends) == 0);
	trial.answers = ends[1];
	pid = start(&trial, write_ledger);
	close(ends[1]);
	REQUIRE(listen_first(ends[0]));
	for (size_t i = 0; i < kills; i++)
		kill_server_once(&trial, ends[0]);
	__atomic_store_n(trial.stop, true, __ATOMIC_RELAXED);
	(void)listen_for(&trial, ends[0], ANSWER_WITHIN_MS, false);
	REQUIRE(waitpid(pid, &status, 0) == pid);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS);
	close(ends[0]);
	run(&trial, look);

	store_test_remove(&trial.test);
	pg_server_remove(&server);
	trial_done(&trial);
}
