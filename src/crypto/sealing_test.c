/* Boxes while the key of the installation changes. */
#include "crypto/sealing.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/test.h"
#include "crypto/base64.h"

static const struct master_key first = { { 1 } }, second = { { 2 } }, third = { { 3 } };

static struct sealing sealing_of(const struct master_key *key, const struct master_key *former)
{
	struct sealing made, row;

	sealing_init(&made, key, former, S("test/boxes"));
	sealing_derive(&made, S("row 1"), &row);
	sealing_done(&made);
	return row;
}

/* A text that is sealed under a key. */
static struct str text_under(const struct sealing *sealing, struct str plain, struct arena *arena)
{
	char *box = arena_alloc(arena, plain.len + AEAD_OVERHEAD);
	char *text = arena_alloc(arena, base64_len(BASE64_URL, plain.len + AEAD_OVERHEAD));

	REQUIRE(box && text && aead_seal(&sealing->key, S("place"), plain, box) == 0);
	return str_of(text, base64_write(BASE64_URL, text, str_of(box, plain.len + AEAD_OVERHEAD)));
}

static int opens(const struct sealing *sealing, struct str text, struct str plain)
{
	char box[200], room[200];
	size_t len = 0;
	int r;

	REQUIRE(base64_read(BASE64_URL, text, box, sizeof(box), &len));
	r = sealing_open(sealing, S("place"), str_of(box, len), room);
	EXPECT(r < 0 || str_eq(str_of(room, len - AEAD_OVERHEAD), plain));
	return r;
}

TEST(sealing_opens_what_the_former_key_sealed)
{
	struct sealing before = sealing_of(&first, NULL), during = sealing_of(&second, &first);
	struct sealing after = sealing_of(&second, NULL), other = sealing_of(&third, &second);
	struct str plains[] = { S(""), S("x"), S("something longer than a block of the cipher") };
	struct arena arena;

	arena_init(&arena, 4096, 65536);
	for (size_t i = 0; i < LEN(plains); i++) {
		struct str text = text_under(&before, plains[i], &arena), made, none = S("none");

		EXPECT_INT(opens(&before, text, plains[i]), 0);
		EXPECT_INT(opens(&during, text, plains[i]), 1);
		EXPECT_INT(opens(&after, text, plains[i]), -ERR_INVALID);
		EXPECT_INT(sealing_again(&before, S("place"), text, &arena, &none), 0);
		EXPECT_INT(sealing_again(&other, S("place"), text, &arena, &none), -ERR_INVALID);
		EXPECT_INT(sealing_again(&during, S("where"), text, &arena, &none), -ERR_INVALID);
		EXPECT_STR(none, S("none"));

		REQUIRE(sealing_again(&during, S("place"), text, &arena, &made) == 1);
		EXPECT_INT(opens(&during, made, plains[i]), 0);
		EXPECT_INT(opens(&after, made, plains[i]), 0);
		EXPECT_INT(opens(&before, made, plains[i]), -ERR_INVALID);
		EXPECT_INT(sealing_again(&during, S("place"), made, &arena, &none), 0);
	}
	arena_done(&arena);
}

TEST(sealing_again_refuses_what_is_no_box)
{
	struct sealing during = sealing_of(&second, &first);
	struct str texts[] = { S(""), S("AAAA"), S("no base64!"),
		S("AQAAAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA") };
	struct str none = S("none");
	struct arena arena;

	arena_init(&arena, 4096, 65536);
	for (size_t i = 0; i < LEN(texts); i++)
		EXPECT_INT(sealing_again(&during, S(""), texts[i], &arena, &none), -ERR_INVALID);
	EXPECT_STR(none, S("none"));
	arena_done(&arena);
}

TEST(sealing_again_without_memory)
{
	struct sealing before = sealing_of(&first, NULL), during = sealing_of(&second, &first);
	struct arena arena;
	struct str text, made;
	int r = -1;

#ifndef BULKHEAD_FAULTS
	test_skip("without faults");
#endif
	arena_init(&arena, 4096, 65536);
	text = text_under(&before, S("plain"), &arena);
	for (int nth = 1; r < 0; nth++) {
		REQUIRE(nth < 20);
		fault_arm(FAULT_MEMORY, (size_t)nth);
		r = sealing_again(&during, S("place"), text, &arena, &made);
		fault_arm(FAULT_MEMORY, 0);
		EXPECT(r == 1 || r == -ERR_NO_MEMORY);
	}
	EXPECT_INT(opens(&during, made, S("plain")), 0);
	arena_done(&arena);
}
