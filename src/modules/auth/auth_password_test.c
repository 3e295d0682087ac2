/* Passwords: their form, what they must not be, the file of breached ones, and the pool. */
#include "modules/auth/auth_password.h"

#include "base/err.h"
#include "base/num.h"
#include "base/test.h"
#include "crypto/digest.h"
#include "fiber/scope.h"
#include "loop/worker.h"
#include "modules/auth/auth_password_list.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- the form ------------------------------------------------------------------------- */

TEST(password_is_prepared)
{
	static const struct {
		const char *given, *prepared; /* NULL: refused by */
		const char *rule;
	} cases[] = {
		{ "correct horse", "correct horse", "" },
		{ " a ", " a ", "" },               /* nothing is trimmed */
		{ "u\xcc\x88", "\xc3\xbc", "" },    /* u + diaeresis */
		{ "\xc3\xbc", "\xc3\xbc", "" },     /* u with diaeresis */
		{ "\xe2\x84\xab", "\xc3\x85", "" }, /* Angstrom sign */
		{ "a\xc2\xa0"
		  "b\xe3\x80\x80"
		  "c",
			"a b c", "" },                              /* no-break, ideographic */
		{ "q\xcc\x87\xcc\xa3", "q\xcc\xa3\xcc\x87", "" },   /* marks in order */
		{ "\xe1\x84\x80\xe1\x85\xa1", "\xea\xb0\x80", "" }, /* Hangul */
		{ "\xef\xac\x81", "\xef\xac\x81", "" },             /* fi: not compatibility */
		{ "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80",
			"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80", "" }, /* emoji */
		{ "", NULL, "too_short" },
		{ "a\x07"
		  "b",
			NULL, "invalid_character" },
		{ "a\xc2\x85"
		  "b",
			NULL, "invalid_character" },
		{ "\xcd\xb8", NULL, "invalid_character" }, /* U+0378 is none */
		{ "a\xff"
		  "b",
			NULL, "invalid_character" },
		{ "a\xed\xa0\x80", NULL, "invalid_character" }, /* a surrogate */
	};
	struct arena arena;

	arena_init(&arena, KILOBYTE, MEGABYTE);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct str ret = S("none");
		int r = password_prepare(str_from_c(cases[i].given), &arena, &ret);

		EXPECT_INT(r, cases[i].prepared ? 0 : -ERR_INVALID);
		if (r == 0)
			EXPECT_STR(ret, str_from_c(cases[i].prepared));
		else
			EXPECT_STR(str_from_c(err_last()->rule), str_from_c(cases[i].rule));
	}
	arena_done(&arena);
}

TEST(password_is_never_cut)
{
	char text[PASSWORD_MAX + 1];
	struct arena arena;
	struct str ret = S("");

	arena_init(&arena, KILOBYTE, MEGABYTE);
	memset(text, 'x', sizeof(text));
	EXPECT_INT(password_prepare(str_of(text, PASSWORD_MAX), &arena, &ret), 0);
	EXPECT_INT(ret.len, PASSWORD_MAX);
	EXPECT_INT(password_prepare(str_of(text, PASSWORD_MAX + 1), &arena, &ret), -ERR_INVALID);
	EXPECT_STR(str_from_c(err_last()->rule), S("too_long"));

	/* U+1D160 is longer when normalised: 4 bytes become 12. */
	for (size_t i = 0; i + 4 <= PASSWORD_MAX; i += 4)
		memcpy(text + i, "\xf0\x9d\x85\xa0", 4);
	EXPECT_INT(password_prepare(str_of(text, 340), &arena, &ret), 0);
	EXPECT_INT(ret.len, 1020);
	EXPECT_INT(password_prepare(str_of(text, 344), &arena, &ret), -ERR_INVALID);
	EXPECT_INT(password_prepare(str_of(text, PASSWORD_MAX), &arena, &ret), -ERR_INVALID);
	arena_done(&arena);
}

/* Preparing again changes nothing, whatever was given. */
TEST(password_prepared_twice_is_the_same)
{
	uint64_t seed = 11;
	struct arena arena;
	size_t taken = 0;

	arena_init(&arena, 64 * KILOBYTE, MEGABYTE);
	for (int i = 0; i < 20000; i++) {
		static const char *const parts[] = { "a", "e\xcc\x81", "\xcc\x88", "\xcc\xa3",
			"\xc3\xa4", "\xe1\x84\x80", "\xe1\x85\xa1", "\xe1\x86\xa8", "\xe2\x80\x83",
			"\xf0\x9d\x85\xa0", "\xe0\xa4\x95\xe0\xa4\xbc", "\xef\xbb\xbf", " ",
			"\xe2\x80\x8d", "\xf0\x9f\x98\x80" };
		struct arena_mark mark = arena_mark(&arena);
		char text[200] = "";
		struct str once, twice;
		size_t count = test_random(&seed) % 20;

		for (size_t k = 0; k < count; k++)
			strcat(text, parts[test_random(&seed) % LEN(parts)]);
		if (password_prepare(str_from_c(text), &arena, &once) == 0) {
			taken++;
			EXPECT_INT(password_prepare(once, &arena, &twice), 0);
			EXPECT_STR(twice, once);
		}
		arena_back(&arena, mark);
	}
	EXPECT(taken > 10000);
	arena_done(&arena);
}

/* --- what it must not be ---------------------------------------------------------------- */

TEST(password_is_refused)
{
	static const struct password_context context = {
		.email = S_INIT("grace.hopper@navy.example"),
		.name = S_INIT("Grace Brewster Hopper"),
		.tenant_slug = S_INIT("flowmatic"),
		.tenant = S_INIT("Flow-Matic & Sons"),
	};
	static const struct {
		const char *password, *rule; /* "": taken */
	} cases[] = {
		{ "seven77", "too_short" },
		{ "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc!",
			"too_short" }, /* characters, not bytes */
		{ "password", "too_common" },
		{ "Password1!", "too_common" },
		{ "P@ssw0rd2024", "too_common" },
		{ "$3cr3t!!", "too_common" },
		{ "12345678", "too_common" },
		{ "1234567890", "too_common" },
		{ "24.12.1987", "too_common" },
		{ "qwertyuiop", "too_common" },
		{ "qwerty123456", "too_common" },
		{ "1qaz2wsx3edc", "too_common" },
		{ "asdfghjkl;", "too_common" },
		{ "aaaaaaaaaaaa", "too_common" },
		{ "abcabcabcabc", "too_common" },
		{ "abcd1234", "too_common" },
		{ "iloveyou!", "too_common" },
		{ "123football", "too_common" },
		{ "Bulkhead2026", "too_common" },
		{ "correcthorsebatterystaple", "too_common" },
		{ "grace.hopper", "is_known" },
		{ "gracehopper99", "is_known" },
		{ "Flow-Matic1", "is_known" },
		{ "flowmatic!", "is_known" },
		{ "Grace Brewster Hopper", "is_known" },
		{ "grace.hopper@navy.example", "is_known" },
		{ "tin whistle over boots", "" },
		{ "grace lets the clock run nanoseconds", "" },
		{ "kvz82mqa", "" },
		{ "passwords are a pity", "" },
		{ "9f3b1c77e0", "" },
		{ "\xe3\x81\x93\xe3\x82\x93\xe3\x81\xab\xe3\x81\xa1\xe3\x81\xaf\xe5\xb1\xb1\xe5\xb7"
		  "\x9d\xe9\xa2\xa8",
			"" },
		{ "        q", "" },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		int r = password_refuse(str_from_c(cases[i].password), &context, 8);
		bool taken = !*cases[i].rule;

		if (!EXPECT_INT(r, taken ? 0 : -ERR_INVALID) ||
			(!taken && !EXPECT_STR(str_from_c(err_last()->rule),
					   str_from_c(cases[i].rule))))
			fprintf(stderr, "  %s\n", cases[i].password);
	}
}

/* A text without anything known says nothing about anybody. */
TEST(password_context_may_be_empty)
{
	static const struct password_context nothing, little = { .name = S_INIT("Al") };

	EXPECT_INT(password_refuse(S("tin whistle"), &nothing, 8), 0);
	EXPECT_INT(password_refuse(S("all tin whistles"), &little, 8), 0);
}

/* --- breached ones ------------------------------------------------------------------------- */

static void write_file(char path[64], const char *text)
{
	int fd;

	(void)snprintf(path, 64, "/tmp/bulkhead-list-XXXXXX");
	fd = mkstemp(path);
	REQUIRE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	(void)close(fd);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Every line of a sorted file is found, and nothing else, whatever the lengths of the counts and
 * the ends of the lines. */
TEST(password_list_of_digests)
{
	enum { COUNT = 500, LINE = 64 };
	static char lines[COUNT][LINE], text[COUNT * LINE + 1];
	static char *sorted[COUNT];
	static const char *const ends[] = { "\n", "\r\n" };

	for (size_t form = 0; form < 4; form++) {
		struct password_list list;
		char path[64];
		uint64_t seed = 5 + form;
		size_t count = form == 3 ? 1 : COUNT;

		for (size_t i = 0; i < count; i++) {
			char password[20];
			uint8_t bytes[SHA1_LEN];

			(void)snprintf(password, sizeof(password), "in %zu", i);
			digest(DIGEST_SHA1, str_from_c(password), bytes);
			for (size_t k = 0; k < SHA1_LEN; k++)
				(void)snprintf(
					lines[i] + 2 * k, 3, form == 1 ? "%02x" : "%02X", bytes[k]);
			if (form != 2)
				(void)snprintf(lines[i] + 40, LINE - 40, ":%llu",
					1ull << (test_random(&seed) % 40));
			sorted[i] = lines[i];
		}
		qsort(sorted, count, sizeof(*sorted), compare_lines);
		text[0] = '\0';
		for (size_t i = 0; i < count; i++) {
			strcat(text, sorted[i]);
			strcat(text, i + 1 < count || form ? ends[form % 2] : "");
		}
		write_file(path, text);
		REQUIRE(password_list_open(path, &list) == 0);
		EXPECT(list.fd >= 0);
		for (size_t i = 0; i < count; i++) {
			char password[20];

			(void)snprintf(password, sizeof(password), "in %zu", i);
			EXPECT_INT(password_list_has(&list, str_from_c(password)), 1);
			(void)snprintf(password, sizeof(password), "out %zu", i);
			EXPECT_INT(password_list_has(&list, str_from_c(password)), 0);
		}
		password_list_close(&list);
		(void)unlink(path);
	}
}

TEST(password_list_of_passwords)
{
	struct password_list list;
	char path[64];

	write_file(path, "tin whistle\nletmein\r\n\nlast one");
	REQUIRE(password_list_open(path, &list) == 0);
	EXPECT_INT(list.count, 3);
	EXPECT_INT(password_list_has(&list, S("tin whistle")), 1);
	EXPECT_INT(password_list_has(&list, S("letmein")), 1);
	EXPECT_INT(password_list_has(&list, S("last one")), 1);
	EXPECT_INT(password_list_has(&list, S("Tin whistle")), 0);
	EXPECT_INT(password_list_has(&list, S("")), 0);
	password_list_close(&list);
	(void)unlink(path);
}

TEST(password_list_that_is_none)
{
	struct password_list list = { .fd = -1 };
	char path[64];

	EXPECT_INT(password_list_open(NULL, &list), 0);
	EXPECT_INT(password_list_has(&list, S("x")), 0);
	password_list_close(&list);
	EXPECT_INT(password_list_open("/nowhere/to/be/found", &list), -ERR_INVALID);
	EXPECT_INT(password_list_open("/tmp", &list), -ERR_INVALID);

	/* Digests with something between them: an error where it is met, not an answer. */
	write_file(path, "0000000000000000000000000000000000000000:1\nhello\n");
	REQUIRE(password_list_open(path, &list) == 0);
	EXPECT_INT(password_list_has(&list, S("x")), -ERR_IO);
	password_list_close(&list);
	(void)unlink(path);
}

/* --- the pool -------------------------------------------------------------------------------- */

static const struct password_pool_options cheap = {
	.cost = { .memory_kb = PASSWORD_MEMORY_KB_MIN, .passes = 1, .lanes = 1 },
	.memory = 2 * PASSWORD_MEMORY_KB_MIN * KILOBYTE,
	.min = 8,
};

static sem_t ended;

static int in_fiber(void *arg)
{
	void (*body)(void) = *(void (**)(void))arg;

	body();
	CHECK(sem_post(&ended) == 0);
	return 0;
}

struct errand {
	struct message message;
	void (*body)(void);
};

static void start(struct message *message)
{
	struct errand *errand = CONTAINER_OF(message, struct errand, message);

	CHECK(scope_spawn(&worker_here()->sched.root, in_fiber, &errand->body) == 0);
}

static void with_pool(const struct password_pool_options *options, void (*body)(void))
{
	struct errand errand = { .message.deliver = start, .body = body };
	struct worker worker = { .fiber_limit = 200 };

	REQUIRE(passwords_open(options) == 0);
	REQUIRE(sem_init(&ended, 0, 0) == 0 && worker_start(&worker) == 0);
	worker_send(&worker, &errand.message);
	while (sem_wait(&ended) < 0)
		continue;
	worker_stop(&worker);
	worker_join(&worker);
	passwords_close();
}

static void make_and_check(void)
{
	static const struct str bcrypt = /* of "U*U" */
		S_INIT("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW");
	struct arena arena;
	struct str hash;
	uint64_t before = passwords_computed();
	bool right = false;

	arena_init(&arena, KILOBYTE, MEGABYTE);
	EXPECT_INT(passwords_hash(S("tin whistle"), &arena, &hash), 0);
	EXPECT(str_starts(hash, S("$argon2id$v=19$m=7168,t=1,p=1$")));
	EXPECT(!passwords_outdated(hash));
	EXPECT_INT(passwords_check(S("tin whistle"), hash, &right), 0);
	EXPECT(right);
	EXPECT_INT(passwords_check(S("tin whistles"), hash, &right), 0);
	EXPECT(!right);

	EXPECT_INT(passwords_check(S("U*U"), bcrypt, &right), 0);
	EXPECT(right && passwords_outdated(bcrypt));
	EXPECT_INT(passwords_computed() - before, 4);

	EXPECT_INT(passwords_check(S("x"), str_of(NULL, 0), &right), 0);
	EXPECT(!right);
	EXPECT_INT(passwords_computed() - before, 5); /* computed all the same */
	EXPECT_INT(passwords_check(S("x"), S("$nothing$"), &right), -ERR_INVALID);
	arena_done(&arena);
}

TEST(passwords_are_made_and_checked)
{
	with_pool(&cheap, make_and_check);
}

static void refuse_new(void)
{
	static const struct password_context nobody;

	EXPECT_INT(passwords_refuse(S("tin whistle over boots"), &nobody), 0);
	EXPECT_INT(passwords_refuse(S("short"), &nobody), -ERR_INVALID);
	EXPECT_STR(str_from_c(err_last()->rule), S("too_short"));
	EXPECT_INT(passwords_refuse(S("leaked by others"), &nobody), -ERR_INVALID);
	EXPECT_STR(str_from_c(err_last()->rule), S("breached"));
}

TEST(breached_passwords_are_refused)
{
	struct password_pool_options options = cheap;
	char path[64];

	write_file(path, "leaked by others\n");
	options.breached_file = path;
	with_pool(&options, refuse_new);
	(void)unlink(path);
}

static int one_check(void *arg)
{
	bool right;

	(void)arg;
	EXPECT_INT(passwords_check(S("x"), str_of(NULL, 0), &right), 0);
	passwords_leave();
	return 0;
}

/* There are so many places and no more; everybody who has one is served, with memory for two. */
static void fill_places(void)
{
	struct scope scope;
	uint64_t before = passwords_computed();
	size_t places = 0;

	scope_open(&scope, 0);
	while (places < 1000 && passwords_enter() == 0) {
		places++;
		if (places % 4 == 0)
			EXPECT_INT(scope_spawn(&scope, one_check, NULL), 0);
	}
	EXPECT_INT(err_last()->code, ERR_FULL);
	EXPECT(places % PASSWORD_PLACES_PER_THREAD == 0 && places > 0);
	EXPECT_INT(scope_close(&scope), 0);
	EXPECT_INT(passwords_computed() - before, places / 4);
	for (size_t i = 0; i < places / 4; i++)
		EXPECT_INT(passwords_enter(), 0);
	EXPECT_INT(passwords_enter(), -ERR_FULL);
	for (size_t i = 0; i < places; i++)
		passwords_leave();
	EXPECT_INT(passwords_enter(), 0);
	passwords_leave();
}

TEST(password_places_are_bounded)
{
	with_pool(&cheap, fill_places);
}

TEST(password_pool_wants_memory_for_one)
{
	struct password_pool_options options = cheap;

	options.memory = 1000;
	EXPECT_INT(passwords_open(&options), -ERR_INVALID);
	options.memory = cheap.memory;
	options.cost.passes = 0;
	EXPECT_INT(passwords_open(&options), -ERR_INVALID);
}
