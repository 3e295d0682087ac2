/* Refresh tokens without rows: what is read and refused, and that any order of uses is judged as a
 * small model says. */
#include "modules/auth/auth_session.h"

#include "base/test.h"

static const struct master_key master = { { 1, 2, 3 } }, other_master = { { 1, 2, 4 } };

static struct refresh_keys keys_of(const struct master_key *key)
{
	struct refresh_keys keys;

	refresh_keys_make(&keys, key, NULL);
	return keys;
}

static struct refresh_token new_token(void)
{
	struct uuid tenant, session;
	struct refresh_token token;

	uuid_v7(&tenant, 1);
	uuid_v7(&session, 2);
	refresh_begin(&tenant, &session, &token);
	return token;
}

static bool same(const struct refresh_token *a, const struct refresh_token *b)
{
	return uuid_cmp(&a->tenant, &b->tenant) == 0 && uuid_cmp(&a->session, &b->session) == 0 &&
	       a->generation == b->generation &&
	       memcmp(a->secret, b->secret, sizeof(a->secret)) == 0;
}

TEST(refresh_token_round_trip)
{
	struct refresh_keys keys = keys_of(&master), others = keys_of(&other_master);
	struct refresh_token token = new_token(), back;
	char text[REFRESH_LEN];

	token.generation = 0x01020304;
	refresh_write(&keys, &token, text);
	EXPECT(str_starts(str_of(text, sizeof(text)), S("bh_rt_")));
	REQUIRE(refresh_read(&keys, str_of(text, sizeof(text)), &back));
	EXPECT(same(&token, &back));
	EXPECT(!refresh_read(&others, str_of(text, sizeof(text)), &back));
	EXPECT(!refresh_read(&keys, S(""), &back));
}

/* The checksum is for typing errors: what counts is the proof, which whoever knows all the rest
 * cannot make. */
TEST(refresh_token_cannot_be_made_up)
{
	struct refresh_keys keys = keys_of(&master);
	struct refresh_token token = new_token(), back;
	uint8_t bytes[REFRESH_BYTES];
	char text[REFRESH_LEN];

	refresh_write(&keys, &token, text);
	REQUIRE(opaque_read(str_of(text, sizeof(text)), S("bh_rt_"), bytes, sizeof(bytes)));
	for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		opaque_write(text, S("bh_rt_"), str_of((const char *)bytes, sizeof(bytes)));
		EXPECT(!refresh_read(&keys, str_of(text, sizeof(text)), &back));
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t i = 0; i < sizeof(text); i++) {
		refresh_write(&keys, &token, text);
		text[i] = text[i] == 'a' ? 'b' : 'a';
		EXPECT(!refresh_read(&keys, str_of(text, sizeof(text)), &back));
	}
}

TEST(refresh_token_families_differ)
{
	struct refresh_keys keys = keys_of(&master), others = keys_of(&other_master);
	struct refresh_token token = new_token(), a, b, c;

	refresh_next(&keys, &token, &a);
	refresh_next(&keys, &token, &b);
	refresh_next(&others, &token, &c);
	EXPECT(same(&a, &b) && a.generation == 1);
	EXPECT(!same(&a, &c));
	refresh_jump(&keys, &token, &token.tenant, &token.session, 0, &b);
	EXPECT(b.generation == 1 && !same(&a, &b));
	refresh_jump(&keys, &token, &token.tenant, &token.session, 1, &c);
	EXPECT(memcmp(b.secret, c.secret, sizeof(b.secret)) != 0);
}

/* While the master key is changed: what was made before is ours, and its child the same. */
TEST(refresh_tokens_outlive_their_key)
{
	struct refresh_keys before = keys_of(&master), after, alone = keys_of(&other_master);
	struct refresh_token token = new_token(), child, next = { 0 };
	char text[REFRESH_LEN], csrf[CSRF_LEN], hash[REFRESH_HASH_LEN];
	struct refresh_state state = {
		.generation = 1, .token_hash = str_of(hash, sizeof(hash)), .expires_at = INT64_MAX
	};

	refresh_keys_make(&after, &other_master, &before);
	refresh_write(&before, &token, text);
	EXPECT(refresh_read(&after, str_of(text, sizeof(text)), &next) && same(&next, &token));
	EXPECT(!refresh_read(&alone, str_of(text, sizeof(text)), &next));
	refresh_write(&after, &token, text);
	EXPECT(refresh_read(&alone, str_of(text, sizeof(text)), &next));
	EXPECT(!refresh_read(&before, str_of(text, sizeof(text)), &next));

	refresh_next(&before, &token, &child);
	refresh_hash(&child, hash);
	EXPECT_INT(refresh_judge(&after, &token, &state, 1, &next), REFRESH_PARENT);
	EXPECT(same(&next, &child));
	EXPECT_INT(refresh_judge(&alone, &token, &state, 1, &next), REFRESH_REFUSED);
	refresh_next(&after, &token, &child);
	refresh_hash(&child, hash);
	EXPECT_INT(refresh_judge(&after, &token, &state, 1, &next), REFRESH_PARENT);
	EXPECT(same(&next, &child));

	csrf_write(&before, &token.session, csrf);
	EXPECT(csrf_is(&after, &token.session, str_of(csrf, sizeof(csrf))));
	EXPECT(!csrf_is(&alone, &token.session, str_of(csrf, sizeof(csrf))));
	EXPECT(!csrf_is(&after, &token.tenant, str_of(csrf, sizeof(csrf))));
}

/* --- any order of uses ------------------------------------------------------------------------ */

enum { TOKENS = 40, USES = 200, RUNS = 300, RUNS_LONG = 20000 };

/* What a session is, in the simplest words: which of its tokens is the newest, since when, whether
 * it came by a switch, and whether it is over. */
struct model {
	size_t newest;
	int64_t since_us;
	bool jumped, over;
};

static enum refresh_verdict expected(const struct model *model, size_t which, int64_t now_us)
{
	bool recent = now_us - model->since_us < (int64_t)(REFRESH_GRACE / MICROSECOND);

	if (model->over)
		return REFRESH_REFUSED;
	if (which == model->newest)
		return REFRESH_NEWEST;
	if (which + 1 < model->newest || !recent)
		return REFRESH_REUSED;
	return model->jumped ? REFRESH_REFUSED : REFRESH_PARENT;
}

struct run {
	struct refresh_keys keys;
	struct refresh_token tokens[TOKENS];
	char hash[REFRESH_HASH_LEN];
	struct refresh_state state;
	struct model model;
	int64_t now_us;
};

static void put_newest(struct run *run, const struct refresh_token *token, bool jumped)
{
	run->tokens[++run->model.newest] = *token;
	run->model.since_us = run->now_us;
	run->model.jumped = jumped;
	refresh_hash(token, run->hash);
	run->state.generation++;
	run->state.rotated_at = run->now_us;
	EXPECT_INT(token->generation, run->state.generation);
}

static void use(struct run *run, size_t which)
{
	struct refresh_token next = { 0 };
	enum refresh_verdict verdict =
		refresh_judge(&run->keys, &run->tokens[which], &run->state, run->now_us, &next);

	EXPECT_INT(verdict, expected(&run->model, which, run->now_us));
	switch (verdict) {
	case REFRESH_NEWEST:
		refresh_next(&run->keys, &run->tokens[which], &next);
		put_newest(run, &next, false);
		break;
	case REFRESH_PARENT: EXPECT(same(&next, &run->tokens[run->model.newest])); break;
	case REFRESH_REUSED: run->state.revoked = run->model.over = true; break;
	case REFRESH_REFUSED: break;
	}
}

static void run_once(uint64_t *random)
{
	struct run run = { .keys = keys_of(&master), .now_us = 1000000 };

	run.tokens[0] = new_token();
	run.model.since_us = run.state.rotated_at = run.now_us;
	run.state.expires_at = INT64_MAX;
	run.state.token_hash = str_of(run.hash, sizeof(run.hash));
	refresh_hash(&run.tokens[0], run.hash);
	for (int i = 0; i < USES && run.model.newest < TOKENS - 2; i++) {
		uint64_t what = test_random(random) % 20;
		size_t back =
			MIN((size_t)(test_random(random) % (what ? 2 : TOKENS)), run.model.newest);

		run.now_us += (int64_t)(test_random(random) % 20000000);
		if (what == 1) {
			struct refresh_token from = new_token(), to;

			refresh_jump(&run.keys, &from, &run.tokens[0].tenant,
				&run.tokens[0].session, (uint32_t)run.state.generation, &to);
			put_newest(&run, &to, true);
		} else {
			use(&run, run.model.newest - MIN(back, run.model.newest));
		}
	}
}

TEST(refresh_tokens_are_judged_as_the_model_says)
{
	uint64_t random = 0x5eed;

	for (int i = 0; i < (test_long() ? RUNS_LONG : RUNS); i++)
		run_once(&random);
}

TEST(refresh_tokens_of_sessions_that_are_over)
{
	struct refresh_keys keys = keys_of(&master);
	struct refresh_token token = new_token(), next;
	char hash[REFRESH_HASH_LEN];
	struct refresh_state state = { .token_hash = { hash, sizeof(hash) }, .expires_at = 100 };

	refresh_hash(&token, hash);
	EXPECT_INT(refresh_judge(&keys, &token, &state, 99, &next), REFRESH_NEWEST);
	EXPECT_INT(refresh_judge(&keys, &token, &state, 100, &next), REFRESH_REFUSED);
	state.revoked = true;
	EXPECT_INT(refresh_judge(&keys, &token, &state, 99, &next), REFRESH_REFUSED);
	state.revoked = false;
	hash[0] ^= 1; /* a row that was restored from before */
	EXPECT_INT(refresh_judge(&keys, &token, &state, 99, &next), REFRESH_REFUSED);
	token.generation = 1;
	EXPECT_INT(refresh_judge(&keys, &token, &state, 99, &next), REFRESH_REFUSED);
}
