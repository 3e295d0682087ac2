/*
 * Rights: what it costs to ask whether a user may do something, beside copying the set of rights
 *
 * 300 rights; users with one to three roles in 100 tenants, all in memory already. A check is what
 * the server calls for each request of somebody (hooks.authorize): from the ids as text to yes or
 * no, with the rights left in the request's arena. The peers in the same run are a call of a
 * function that does nothing, and a memcpy of a set of rights, in turn with it. Processor time of
 * the thread, medians of several rounds; "read" is the same check when the rows have to be read
 * (SQLite, pages in memory).
 */
#include "http/conn.h"
#include "modules/rbac/rbac.h"
#include "observe/clock.h"
#include "store/migration.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { TENANTS = 100, USERS = 10000, RESOURCES = 150, ROUNDS = 7, CHECKS = 1000000, READS = 20000 };

static struct server server;
static struct server_worker home = { .server = &server };
static struct conn conn = { .home = &home };
static struct req request = { .conn = &conn };

static struct uuid tenants[TENANTS], users[USERS];
static char tenant_texts[TENANTS][UUID_TEXT_LEN], user_texts[USERS][UUID_TEXT_LEN];
static struct str rights[2 * RESOURCES];
static volatile int sink;

static void must(int r, const char *doing)
{
	if (r == 0)
		return;
	(void)fprintf(stderr, "%s: %s\n", doing, err_text());
	exit(1);
}

/* --- who there is ---------------------------------------------------------------------- */

static void declare(void)
{
	static char texts[2 * RESOURCES][32];

	for (size_t i = 0; i < 2 * RESOURCES; i++) {
		int len = snprintf(texts[i], sizeof(texts[i]), "resource-%zu:%s", i / 2,
			i % 2 ? "write" : "read");

		rights[i] = str_of(texts[i], (size_t)len);
		must(right_declare(rights[i]), "right_declare");
	}
}

static int grant_in_tx(struct tx *tx, void *arg)
{
	static const struct str roles[] = { S_INIT("member"), S_INIT("viewer"), S_INIT("admin") };
	size_t tenant = (size_t)(uintptr_t)arg;
	int r = 0;

	for (size_t i = tenant; i < USERS; i += TENANTS)
		for (size_t k = 0; k <= i / TENANTS % LEN(roles) && r == 0; k++)
			r = rbac_grant_in_tx(tx, &users[i], roles[k]);
	return r;
}

static void make_users(struct arena *arena)
{
	for (size_t i = 0; i < TENANTS; i++) {
		uuid_v7(&tenants[i], clock_wall_us());
		uuid_write(tenant_texts[i], &tenants[i]);
	}
	for (size_t i = 0; i < USERS; i++) {
		uuid_v7(&users[i], clock_wall_us());
		uuid_write(user_texts[i], &users[i]);
	}
	for (size_t i = 0; i < TENANTS; i++) {
		struct db db = db_of(server.store, &tenants[i], arena);

		must(db_write(&db, grant_in_tx, (void *)(uintptr_t)i), "rbac_grant_in_tx");
		arena_reset(arena);
	}
}

/* --- what is measured --------------------------------------------------------------------- */

static int nothing(struct req *req, struct str right)
{
	(void)req, (void)right;
	return 0;
}

static struct rights from, to;

static int copy(struct req *req, struct str right)
{
	(void)req, (void)right;
	__asm__ volatile("" : : "r"(&from) : "memory");
	memcpy(&to, &from, sizeof(to));
	__asm__ volatile("" : : "r"(&to) : "memory");
	return 0;
}

static uint64_t cpu_ns(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

/* Nanoseconds of a check of one of so many users, in no order. */
static double once(int (*check)(struct req *, struct str), size_t count, size_t checks)
{
	uint64_t seed = 1, began = cpu_ns();

	for (size_t i = 0; i < checks; i++) {
		size_t user = (seed = seed * 6364136223846793005ULL + 1442695040888963407ULL) >> 33;

		user %= count;
		request.caller = (struct caller){ .kind = CALLER_USER,
			.id = str_of(user_texts[user], UUID_TEXT_LEN),
			.tenant = str_of(tenant_texts[user % TENANTS], UUID_TEXT_LEN) };
		sink = check(&request, rights[(seed >> 20) % LEN(rights)]);
		if (i % 64 == 0)
			arena_reset(&request.arena);
	}
	return (double)(cpu_ns() - began) / (double)checks;
}

static int by_size(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return left < right ? -1 : left > right;
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(values[0]), by_size);
	return values[ROUNDS / 2];
}

/* A line: the time, and its ratios to those of the peers in the same round. */
static void print(const char *name, double *ns, const double *empty, const double *copied)
{
	double by_call[ROUNDS], by_copy[ROUNDS], beyond[ROUNDS];

	for (size_t i = 0; i < ROUNDS; i++) {
		by_call[i] = ns[i] / empty[i];
		by_copy[i] = ns[i] / copied[i];
		beyond[i] = ns[i] - empty[i];
	}
	printf("%-28s %8.1f %14.2f %10.2f %16.1f\n", name, median(ns), median(by_call),
		median(by_copy), median(beyond));
}

static int measure(void *arg)
{
	static const size_t counts[] = { 1, 1000, USERS };
	double empty[ROUNDS], copied[ROUNDS], checked[LEN(counts)][ROUNDS], read_ns;

	arena_init(&request.arena, 64 * KILOBYTE, 16 * MEGABYTE);
	declare();
	make_users(&request.arena);
	read_ns = once(server.hooks.authorize, USERS, READS);
	(void)once(server.hooks.authorize, USERS, CHECKS);
	for (size_t i = 0; i < ROUNDS; i++) {
		empty[i] = once(nothing, USERS, CHECKS);
		copied[i] = once(copy, USERS, CHECKS);
		for (size_t k = 0; k < LEN(counts); k++)
			checked[k][i] = once(server.hooks.authorize, counts[k], CHECKS);
	}
	printf("%-28s %8s %14s %10s %16s\n", "", "ns", "x empty call", "x memcpy",
		"ns beyond call");
	for (size_t k = 0; k < LEN(counts); k++) {
		char name[40];

		(void)snprintf(name, sizeof(name), "check, of %zu users", counts[k]);
		print(name, checked[k], empty, copied);
	}
	printf("%-28s %8.1f\n", "a call that does nothing", median(empty));
	printf("%-28s %8.1f\n", "memcpy of a set", median(copied));
	printf("%-28s %8.1f\n", "rows are read, and kept", read_ns);
	printf("budget: 200 ns for a check\n");
	worker_stop(arg);
	return 0;
}

static int on_start(struct worker *worker)
{
	return scope_spawn(&worker->sched.root, measure, worker);
}

int main(void)
{
	char folder[] = "/tmp/bulkhead-rights-XXXXXX", command[100];
	struct worker worker = { .fiber_limit = 100, .on_start = on_start };
	struct store_options options = { 0 };
	const struct migration_source sources[] = { { "store", store_migrations },
		{ "rbac", rbac_module.migrations } };
	struct migration_options how = { 0 };

	if (!mkdtemp(folder))
		return 1;
	options.folder = str_from_c(folder);
	how.store = options;
	must(migrate_up(&how, sources, LEN(sources)), "migrate_up");
	must(store_open(&options, &server.store), "store_open");
	must(store_register(server.store, rbac_module.statements, rbac_module.statement_count),
		"store_register");
	must(rbac_module.open(&server), "open");
	must(store_start(server.store), "store_start");
	must(worker_start(&worker), "worker");
	worker_join(&worker);
	rbac_module.close(&server);
	store_close(server.store);
	(void)snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command) != 0;
}
