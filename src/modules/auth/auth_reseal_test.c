/*
 * A change of the master key, on both engines: what was sealed, derived or chained under the one
 * before is good while both are known, and after it was sealed anew under the new one alone. Each
 * step is a process of its own on one database; what people have in their hands is in memory that
 * all share.
 */
#include "modules/auth/auth_fixture_test.h"

#include "base/fault.h"
#include "http/server.h"
#include "modules/audit/audit_test.h"
#include "modules/auth/auth_keys.h"
#include "modules/mails/mails_fixture_test.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { ROOM = 8192, LETTERS = 120 }; /* more than fit into a transaction */

static struct hands {
	struct person ada, bob;
	char parent[REFRESH_LEN], token[REFRESH_LEN]; /* the second is the child of the first */
	char access[ROOM], csrf[100], cookies[2 * ROOM];
	char head[AUDIT_HEAD_TEXT + 1];
	size_t sealed; /* by a step */
} * hands;

static const struct master_key keys[] = { { { 'a' } }, { { 'b' } }, { { 'c' } } };

static const struct module *modules[16];

__attribute__((constructor)) static void join_modules(void)
{
	size_t count = 0;

	for (; auth_modules[count]; count++)
		modules[count] = auth_modules[count];
	modules[count] = &mail_fixture_module;
}

/* --- steps -------------------------------------------------------------------------------- */

/* In a process of its own, under key `now` with `before` (-1: none). */
static void step(const struct store_options *options, void (*body)(struct world *), int now,
	int before, bool killed)
{
	pid_t child = fork();
	int status;

	REQUIRE(child >= 0);
	if (child == 0) {
		world_master_key = keys[now];
		world_former_key = before < 0 ? NULL : &keys[before];
		world_run_on(options, modules, body);
		test_end();
	}
	REQUIRE(waitpid(child, &status, 0) == child);
	REQUIRE(killed ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void on_one_database(enum engine_kind engine, void (*steps)(const struct store_options *))
{
	struct store_options options = { .pool_wait_ns = 20 * SECOND };
	char path[256];

	hands = mmap(
		NULL, sizeof(*hands), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(hands != MAP_FAILED);
	options.folder = world_folder(path, sizeof(path));
	if (engine == ENGINE_POSTGRES)
		options.url = store_test_postgres(false);
	steps(&options);
	world_remove_folder(path);
	(void)munmap(hands, sizeof(*hands));
}

/* --- what there is ---------------------------------------------------------------------------- */

static int post_in_tx(struct tx *tx, void *arg)
{
	struct mail_post post = { .kind = MAIL_VERIFY,
		.to = S("ada@example.com"),
		.name = S("Ada"),
		.tenant_name = S("A"),
		.link = S("https://app.example/x?token=secret") };
	int r = 0;

	(void)arg;
	for (int i = 0; i < LETTERS && r == 0; i++)
		r = mail_post_in_tx(tx, &post);
	return r;
}

static int post(const struct db *db, void *arg)
{
	return db_write(db, post_in_tx, arg);
}

static struct str refresh_text(const char *at)
{
	return str_of(at, REFRESH_LEN);
}

static int read_head(struct tx *tx, void *arg)
{
	char text[AUDIT_HEAD_TEXT];
	struct audit_mark head;

	(void)arg;
	REQUIRE(audit_mark_read(tx, AUDIT_HEAD, &head) > 0);
	(void)snprintf(hands->head, sizeof(hands->head), "%.*s",
		STR_ARG(audit_head_write(text, tx_tenant(tx), &head)));
	return 0;
}

static int note_head(const struct db *db, void *arg)
{
	return db_read(db, read_head, arg);
}

static struct answer make_key(struct world *world)
{
	return world_call(world, hands->access, "POST /api/v1/invitations",
		"Idempotency-Key: once\r\n", "{\"email\":\"eve@example.com\",\"role\":\"member\"}");
}

static void make_all(struct world *world)
{
	struct session_made made;

	hands->ada = person_make(world, "a", "ada@example.com", "owner");
	hands->bob = person_make(world, "b", "bob@example.com", "member");
	made = person_sign_in(world, &hands->ada, NULL);
	memcpy(hands->parent, made.refresh, REFRESH_LEN);
	REQUIRE(refresh_by(world, refresh_text(hands->parent), hands->access, hands->cookies) ==
		200);
	memcpy(hands->token, hands->cookies, REFRESH_LEN);
	EXPECT_INT(make_key(world).status, 201);
	world_do(world, "a", post, NULL);
	world_do(world, "a", audit_chain_all, NULL);
	world_do(world, "a", note_head, NULL);
}

/* --- what is good ------------------------------------------------------------------------- */

static void expect_chain(struct world *world)
{
	struct audit_heads heads = { 0 };
	struct audit_verdict verdict;
	size_t done;

	world_do(world, "o", audit_chain_all, NULL);
	verdict = audit_verdict_of(world, NULL); /* which gets to know the keys */
	REQUIRE(audit_heads_add(&heads, str_from_c(hands->head), true, &done) == 0);
	EXPECT_INT(heads.forged, 0);
	EXPECT_INT(heads.count, 1);
	verdict = audit_verdict_of(world, &heads);
	EXPECT_INT(verdict.report.found, 0);
	EXPECT_INT(verdict.report.unchained, 0);
	EXPECT(verdict.report.entries > 0);
	audit_heads_done(&heads);
}

static void expect_all(struct world *world)
{
	struct answer answer;
	char text[ROOM];

	/* access tokens, and new ones by the same signing key */
	answer = world_call(world, hands->access, "GET /api/v1/auth/sessions", "", NULL);
	EXPECT_INT(answer.status, 200);
	/* the newest token gets the next, and its parent the same once more */
	memcpy(hands->parent, hands->token, REFRESH_LEN);
	REQUIRE(refresh_by(world, refresh_text(hands->parent), hands->access, text) == 200);
	memcpy(hands->token, text, REFRESH_LEN);
	/* answers that are kept */
	answer = make_key(world);
	EXPECT_INT(answer.status, 201);
	EXPECT(str_find(answer.response.head, S("idempotent-replayed: true")) > 0);
	/* letters that wait */
	EXPECT_INT(mail_posted_count(world, "a", MAIL_VERIFY, "ada@example.com"), LETTERS);
	expect_chain(world);
}

static void expect_parent(struct world *world)
{
	char text[ROOM] = "", first[ROOM] = "";

	/* The parent was used under the key before. */
	EXPECT_INT(refresh_by(world, refresh_text(hands->parent), NULL, text), 200);
	REQUIRE(refresh_by(world, refresh_text(hands->token), hands->access, first) == 200);
	REQUIRE(refresh_by(world, refresh_text(text), hands->access, hands->cookies) == 200);
	EXPECT_STR(str_from_c(first), str_of(hands->cookies, strlen(hands->cookies)));
	memcpy(hands->token, first, REFRESH_LEN);
	expect_all(world);
}

static void expect_neither(struct world *world)
{
	EXPECT_INT(world_call(world, hands->access, "GET /api/v1/users", "", NULL).status, 500);
	EXPECT_INT(refresh_by(world, refresh_text(hands->token), NULL, NULL), 401);
}

/* --- sealing anew ------------------------------------------------------------------------------
 */

static int reseal_some(const struct db *db, void *arg)
{
	struct server server = {
		.store = db->store, .master_key = &world_master_key, .former_key = world_former_key
	};
	struct resealed counted = { 0 };
	size_t *limit = arg;
	int r = 0;

	for (size_t i = 0; modules[i] && i < *limit && r == 0; i++)
		if (modules[i]->reseal)
			r = modules[i]->reseal(&server, &counted);
	hands->sealed = counted.sealed;
	EXPECT_INT(counted.lost, 0);
	return r;
}

static void reseal(struct world *world, size_t *limit)
{
	world_do(world, "o", reseal_some, limit);
}

static void reseal_all(struct world *world)
{
	size_t all = SIZE_MAX;

	expect_all(world);
	reseal(world, &all);
	EXPECT(hands->sealed > LETTERS);
	reseal(world, &all);
	EXPECT_INT(hands->sealed, 0); /* what is done is done */
	expect_all(world);
	reseal(world, &all);
	EXPECT_INT(hands->sealed, 0);
}

static void change(const struct store_options *options)
{
	step(options, make_all, 0, -1, false);
	step(options, expect_neither, 1, -1, false);
	step(options, expect_parent, 1, 0, false);
	step(options, expect_all, 0, 1, false); /* the other way round: a fleet half way */
	step(options, reseal_all, 1, 0, false);
	step(options, expect_all, 1, -1, false);
	step(options, expect_neither, 0, -1, false);
	/* and once more: two former keys */
	step(options, reseal_all, 2, 1, false);
	step(options, expect_all, 2, -1, false);
}

TEST(master_key_is_changed_sqlite)
{
	on_one_database(ENGINE_SQLITE, change);
}

TEST(master_key_is_changed_postgres)
{
	on_one_database(ENGINE_POSTGRES, change);
}

/* --- cut off ------------------------------------------------------------------------------ */

static size_t until; /* the number of modules that are done */

static void reseal_and_die(struct world *world)
{
	size_t limit = until;

	reseal(world, &limit);
	(void)kill(getpid(), SIGKILL);
}

static void reseal_rest(struct world *world)
{
	size_t all = SIZE_MAX;

	reseal(world, &all);
	expect_all(world);
}

static void kill_between(const struct store_options *options)
{
	step(options, make_all, 0, -1, false);
	for (until = 1; modules[until - 1]; until++) {
		step(options, reseal_and_die, 1, 0, true);
		step(options, expect_all, 1, 0, false);
	}
	step(options, reseal_rest, 1, 0, false);
	step(options, expect_all, 1, -1, false);
}

TEST(master_key_change_survives_kill_sqlite)
{
	on_one_database(ENGINE_SQLITE, kill_between);
}

TEST(master_key_change_survives_kill_postgres)
{
	on_one_database(ENGINE_POSTGRES, kill_between);
}

/* Each allocation fails in turn; what was committed before stays. Of PostgreSQL alone: what writes
 * to SQLite is another thread, where no fault strikes. */
static int reseal_without_memory(const struct db *db, void *arg)
{
	struct server server = {
		.store = db->store, .master_key = &world_master_key, .former_key = world_former_key
	};
	struct resealed counted = { 0 };
	size_t failed = 0;

	(void)arg;
	for (size_t i = 0; modules[i]; i++) {
		int r = -1;

		for (size_t nth = 1; modules[i]->reseal && r < 0; nth += 1 + nth / 8) {
			fault_arm(FAULT_MEMORY, nth);
			r = modules[i]->reseal(&server, &counted);
			fault_arm(FAULT_MEMORY, 0);
			failed += r < 0;
			EXPECT(r == 0 || r == -ERR_NO_MEMORY || r == -ERR_FULL);
		}
	}
	EXPECT(failed > 10);
	EXPECT_INT(counted.lost, 0);
	return 0;
}

static void reseal_slowly(struct world *world)
{
	world_do(world, "o", reseal_without_memory, NULL);
	expect_all(world);
}

static void fail_each(const struct store_options *options)
{
	step(options, make_all, 0, -1, false);
	step(options, reseal_slowly, 1, 0, false);
	step(options, expect_all, 1, -1, false);
}

TEST(master_key_change_without_memory_postgres)
{
#ifndef BULKHEAD_FAULTS
	test_skip("without faults");
#endif
	on_one_database(ENGINE_POSTGRES, fail_each);
}
