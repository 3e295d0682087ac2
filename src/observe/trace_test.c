/* Trace Context: the examples and refusals of the recommendation, and round trips. */
#include "observe/trace.h"

#include "base/test.h"

#define ID   "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"
#define GOOD "00-" ID "-" SPAN "-"

TEST(trace_parse)
{
	static const struct {
		struct str header;
		bool ok;
		uint8_t flags;
	} cases[] = {
		{ S_INIT(GOOD "00"), true, 0 },
		{ S_INIT(GOOD "01"), true, TRACE_SAMPLED },
		{ S_INIT(GOOD "02"), true, TRACE_RANDOM },
		{ S_INIT(GOOD "03"), true, TRACE_SAMPLED | TRACE_RANDOM },
		{ S_INIT(GOOD "ff"), true, TRACE_SAMPLED | TRACE_RANDOM },
		{ S_INIT(GOOD "fc"), true, 0 },
		{ S_INIT("cc-" ID "-" SPAN "-01"), true, 1 },
		{ S_INIT("cc-" ID "-" SPAN "-01-what-the-future-brings"), true, 1 },
		{ S_INIT("01-" ID "-" SPAN "-01-"), true, 1 },
		{ S_INIT("cc-" ID "-" SPAN "-01.what"), false, 0 },
		{ S_INIT("cc-" ID "-" SPAN "-0"), false, 0 },
		{ S_INIT(GOOD "01-"), false, 0 },
		{ S_INIT(GOOD "01-more"), false, 0 },
		{ S_INIT(GOOD "1"), false, 0 },
		{ S_INIT(GOOD "0G"), false, 0 },
		{ S_INIT(GOOD "0A"), false, 0 },
		{ S_INIT("ff-" ID "-" SPAN "-01"), false, 0 },
		{ S_INIT("FF-" ID "-" SPAN "-01"), false, 0 },
		{ S_INIT("0-" ID "-" SPAN "-01"), false, 0 },
		{ S_INIT("00-00000000000000000000000000000000-" SPAN "-01"), false, 0 },
		{ S_INIT("00-" ID "-0000000000000000-01"), false, 0 },
		{ S_INIT("00-4BF92f3577b34da6a3ce929d0e0e4736-" SPAN "-01"), false, 0 },
		{ S_INIT("00-" ID "-00F067aa0ba902b7-01"), false, 0 },
		{ S_INIT("00_" ID "-" SPAN "-01"), false, 0 },
		{ S_INIT("00-" ID "_" SPAN "-01"), false, 0 },
		{ S_INIT("00-" ID "-" SPAN "_01"), false, 0 },
		{ S_INIT(" " GOOD "01"), false, 0 },
		{ S_INIT(""), false, 0 },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct trace trace = { .span = 99 };

		test_note(trace_parse(cases[i].header, &trace) == cases[i].ok, __FILE__, __LINE__,
			"%.*s", STR_ARG(cases[i].header));
		EXPECT_INT(trace.flags, cases[i].flags);
		EXPECT(trace.span == (cases[i].ok ? 0x00f067aa0ba902b7u : 99));
		if (cases[i].ok)
			EXPECT(trace.high == 0x4bf92f3577b34da6u &&
				trace.low == 0xa3ce929d0e0e4736u);
	}
}

TEST(trace_start_and_child)
{
	static const uint8_t zeros[TRACE_RANDOM_LEN];
	uint8_t random[TRACE_RANDOM_LEN];
	char at[TRACE_PARENT_LEN], id[TRACE_ID_LEN], span[TRACE_SPAN_LEN];
	struct trace trace, child, again;

	memset(random, 0xAB, sizeof(random));
	trace = trace_start(random, true);
	trace_write(at, &trace);
	EXPECT_STR(str_of(at, sizeof(at)),
		S("00-abababababababababababababababab-abababababababab-03"));

	child = trace_child(&trace, 0x1234);
	trace_write(at, &child);
	EXPECT_STR(str_of(at, sizeof(at)),
		S("00-abababababababababababababababab-0000000000001234-03"));
	trace_write_id(id, &child);
	trace_write_span(span, child.span);
	EXPECT_STR(str_of(id, sizeof(id)), S("abababababababababababababababab"));
	EXPECT_STR(str_of(span, sizeof(span)), S("0000000000001234"));

	/* The random source says zero: still ids. */
	trace = trace_start(zeros, false);
	trace = trace_child(&trace, 0);
	trace_write(at, &trace);
	EXPECT(trace_parse(str_of(at, sizeof(at)), &again));
	EXPECT_INT(again.flags, TRACE_RANDOM);
}

TEST(trace_round_trip)
{
	uint64_t seed = 7;

	for (int i = 0; i < 10000; i++) {
		struct trace trace = { test_random(&seed), test_random(&seed), test_random(&seed),
			(uint8_t)(test_random(&seed) & 3) };
		struct trace again;
		char at[TRACE_PARENT_LEN];

		trace_write(at, &trace);
		REQUIRE(trace_parse(str_of(at, sizeof(at)), &again));
		EXPECT(memcmp(&again.high, &trace.high, 24) == 0 && again.flags == trace.flags);
	}
}

static char chars[300];

TEST(trace_state_valid)
{
	static const struct {
		struct str state;
		bool ok;
	} cases[] = {
		{ S_INIT(""), true },
		{ S_INIT("a=1"), true },
		{ S_INIT("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"), true },
		{ S_INIT("a=1,b=2,,c=3,"), true },
		{ S_INIT(" a=1 ,\t b=2\t"), true },
		{ S_INIT("0a-_*/@z=!\"#$%&'()*+-./:;<>?@[]^_`{|}~"), true },
		{ S_INIT("tenant@vendor=x"), true },
		{ S_INIT("a= x"), true }, /* a space inside the value */
		{ S_INIT("a=1,a=2"), false },
		{ S_INIT("A=1"), false },
		{ S_INIT("_a=1"), false },
		{ S_INIT("a b=1"), false },
		{ S_INIT("=1"), false },
		{ S_INIT("a="), false },
		{ S_INIT("a"), false },
		{ S_INIT("a=b=c"), false },
		{ S_INIT("a=\x7F"), false },
		{ S_INIT("a=\xC3\xBC"), false },
		{ S_INIT("a=1;b=2"), false },
		{ S_INIT("a=x\ny"), false },
	};

	for (size_t i = 0; i < LEN(cases); i++)
		test_note(trace_state_valid(cases[i].state) == cases[i].ok, __FILE__, __LINE__,
			"%.*s", STR_ARG(cases[i].state));

	memset(chars, 'k', sizeof(chars));
	chars[256] = '=';
	EXPECT(trace_state_valid(str_of(chars, 258)));
	EXPECT(trace_state_valid(str_of(chars + 255, 45)));
	EXPECT(!trace_state_valid(str_of(chars, 257)));
	chars[256] = 'k', chars[257] = '=';
	EXPECT(!trace_state_valid(str_of(chars, 259)));
	chars[257] = 'k', chars[1] = '=';
	EXPECT(trace_state_valid(str_of(chars, 2 + 256)));
	EXPECT(!trace_state_valid(str_of(chars, 2 + 257)));
}

static size_t add_members(char *at, size_t count, size_t value_len)
{
	size_t len = 0;

	for (size_t i = 0; i < count; i++) {
		if (len)
			at[len++] = ',';
		at[len++] = 'k';
		at[len++] = (char)('a' + i / 26);
		at[len++] = (char)('a' + i % 26);
		at[len++] = '=';
		memset(at + len, 'v', value_len);
		len += value_len;
	}
	return len;
}

TEST(trace_state_members)
{
	char state[TRACE_STATE_MAX + 100];

	EXPECT(trace_state_valid(str_of(state, add_members(state, 32, 1))));
	EXPECT(!trace_state_valid(str_of(state, add_members(state, 33, 1))));
	memset(state, ',', sizeof(state));
	EXPECT(trace_state_valid(str_of(state, TRACE_STATE_MAX)));
	EXPECT(!trace_state_valid(str_of(state, TRACE_STATE_MAX + 1)));
}

static struct str written(size_t size, struct str state, const char *key, const char *value)
{
	static char at[TRACE_STATE_MAX];

	return str_of(at, trace_state_write(at, size, state, str_from_c(key), str_from_c(value)));
}

TEST(trace_state_write)
{
	char state[TRACE_STATE_MAX];
	struct str out;

	EXPECT_STR(written(512, S("a=1,b=2"), "", ""), S("a=1,b=2"));
	EXPECT_STR(written(512, S("a=1, ,b=2 ,"), "", ""), S("a=1,b=2"));
	EXPECT_STR(written(512, S(""), "bh", "x"), S("bh=x"));
	EXPECT_STR(written(512, S("a=1,b=2"), "bh", "x"), S("bh=x,a=1,b=2"));
	EXPECT_STR(written(512, S("a=1,bh=old,b=2"), "bh", "x"), S("bh=x,a=1,b=2"));
	EXPECT_STR(written(512, S("broken"), "bh", "x"), S("bh=x"));

	/* 32 members and ours: the last one goes. */
	out = written(512, str_of(state, add_members(state, 32, 1)), "bh", "x");
	EXPECT(trace_state_valid(out) && str_starts(out, S("bh=x,kaa=v,")));
	EXPECT(str_ends(out, S(",kbe=v")));

	/* Too long: whole members, the right ones first. */
	EXPECT_STR(written(12, S("a=1,b=2,c=3,d=4"), "", ""), S("a=1,b=2,c=3"));
	EXPECT_STR(written(12, S("a=1,b=2,c=3"), "bh", "x"), S("bh=x,a=1,b=2"));
	EXPECT_STR(written(4, S("a=1"), "bh", "x"), S("bh=x"));
	EXPECT_STR(written(5, S("a=1"), "bh", "x"), S("bh=x"));
	EXPECT_STR(written(3, S("a=1"), "bh", "x"), S(""));
}

TEST(trace_state_large_members_go_first)
{
	char state[1000] = "a=1,big=", wanted[] = "a=1,z=2";
	size_t len = 8;

	memset(state + len, 'v', 200);
	len += 200;
	memcpy(state + len, ",z=2", 4);
	len += 4;
	EXPECT_STR(written(100, str_of(state, len), "", ""), str_from_c(wanted));
	EXPECT_INT(written(512, str_of(state, len), "", "").len, len);
}
