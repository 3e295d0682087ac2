/*
 * Password hashes: vectors of the Argon2 reference implementation, RFC 7914, crypt(5) and texts as
 * passlib and Django write them; malformed and too costly texts; memory.
 */
#include "crypto/password.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"

#include <pthread.h>

static const struct password_cost cheap = {
	.memory_kb = PASSWORD_MEMORY_KB_MIN, .passes = 1, .lanes = 1
};

static const struct {
	struct str password, hash;
	size_t memory;
} known[] = {
	/* Argon2, reference implementation */
	{ S_INIT("password"),
		S_INIT("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$"
		       "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"),
		65536 * KILOBYTE },
	{ S_INIT("password"),
		S_INIT("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$"
		       "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"),
		256 * KILOBYTE },
	{ S_INIT("password"),
		S_INIT("$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$"
		       "bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"),
		256 * KILOBYTE },
	{ S_INIT("differentpassword"),
		S_INIT("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$"
		       "C4TWUs9rDEvq7w3+J4umqA32aWKB1+DSiRuBfYxFj94"),
		65536 * KILOBYTE },
	{ S_INIT("password"),
		S_INIT("$argon2i$v=19$m=256,t=2,p=2$c29tZXNhbHQ$"
		       "T/XOJ2mh1/TIpJHfCdQan76Q5esCFVoT5MAeIM1Oq2E"),
		256 * KILOBYTE },
	/* bcrypt; the third has a salt with unused bits set, the last two differ behind byte 72 */
	{ S_INIT("U*U"), S_INIT("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
		32 * KILOBYTE },
	{ S_INIT("U*U*U"), S_INIT("$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"),
		32 * KILOBYTE },
	{ S_INIT("U*U"), S_INIT("$2b$05$CCCCCCCCCCCCCCCCCCCCC/E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
		32 * KILOBYTE },
	{ S_INIT("\xa3"), S_INIT("$2y$05$/OK.fbVrR/bpIqNJ5ianF.Sa7shbm4.OzKpvFnX1pQLmQW96oUlCq"),
		32 * KILOBYTE },
	{ S_INIT(""), S_INIT("$2b$04$CCCCCCCCCCCCCCCCCCCCC.Cg0ly9t/KVBCBYYDfOmZKwry9JuXClC"),
		32 * KILOBYTE },
	{ S_INIT("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
		S_INIT("$2y$04$CCCCCCCCCCCCCCCCCCCCC.ug0A3dTXhy5U.dFjx/qguZ8I4CB77BC"),
		32 * KILOBYTE },
	{ S_INIT("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxyyy"),
		S_INIT("$2y$04$CCCCCCCCCCCCCCCCCCCCC.ug0A3dTXhy5U.dFjx/qguZ8I4CB77BC"),
		32 * KILOBYTE },
	/* scrypt: RFC 7914's vectors as passlib and as crypt(5) write them */
	{ S_INIT("password"),
		S_INIT("$scrypt$ln=10,r=8,p=16$TmFDbA$"
		       "/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWIurzDZLiKjiG/"
		       "xCSedmDDaxyevuUqD7m2DYMvfoswGQA"),
		1042 * KILOBYTE },
	{ S_INIT("pleaseletmein"),
		S_INIT("$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$"
		       "cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkD"
		       "fzwF7RVdYhw"),
		16387 * KILOBYTE },
	{ S_INIT("pleaseletmein"),
		S_INIT("$7$C6..../....SodiumChloride$kBGj9fHznVYFQMEn/qDCfrDevf9YDtcDdKvEqHJLV8D"),
		16387 * KILOBYTE },
	/* PBKDF2: RFC 7914's vector, passlib, Django */
	{ S_INIT("passwd"),
		S_INIT("$pbkdf2-sha256$1$c2FsdA$VawEblbjCJ/sFpHCJUS2BflBhSFt3gRl5oudV8INrLw"),
		KILOBYTE },
	{ S_INIT("p\xc3\xa4ss"),
		S_INIT("$pbkdf2-sha512$25000$./..MDEyMzQ1Njc4OWFiYw$"
		       "ogRWrXk6u1GgrC9zArYBsYRr6o3SspMo5PZDmOuOnp4y1kiZz/"
		       "MUD89qpcKlqWjssWUmGOqgusqGKJnFLRhAQA"),
		KILOBYTE },
	{ S_INIT("l\xc3\xa8tmein"),
		S_INIT("pbkdf2_sha256$26000$Ab3dEf7hIjKl$"
		       "1eYszhGUZJxLV6wAEYcnT+TMFWh6tiWWtiqRW2I2P5E="),
		KILOBYTE },
};

TEST(password_known_hashes)
{
	for (size_t i = 0; i < LEN(known); i++) {
		size_t memory = 0;

		test_note(password_verify(known[i].password, known[i].hash) == 0, __FILE__,
			__LINE__, "%.*s", STR_ARG(known[i].hash));
		EXPECT_INT(password_memory(known[i].hash, &memory), 0);
		test_note(memory == known[i].memory, __FILE__, __LINE__, "%.*s: %zu bytes",
			STR_ARG(known[i].hash), memory);
		EXPECT(password_needs_rehash(known[i].hash, &cheap));
	}
}

TEST(password_known_hashes_refuse)
{
	static const struct str wrong[] = { S_INIT("Password"), S_INIT("password\0"), S_INIT("x") };
	static char long_one[PASSWORD_MAX + 1];

	for (size_t i = 0; i < LEN(known); i++) {
		for (size_t j = 0; j < LEN(wrong); j++)
			EXPECT_INT(password_verify(wrong[j], known[i].hash), -ERR_UNAUTHORIZED);
		EXPECT_INT(password_verify(str_of(long_one, sizeof(long_one)), known[i].hash),
			-ERR_UNAUTHORIZED);
	}
}

/* Another character anywhere in a hash text: refused, or it no longer fits the password. The only
 * exceptions are bits that bcrypt does not use. */
TEST(password_changed_hash)
{
	for (size_t i = 0; i < LEN(known); i++) {
		char text[PASSWORD_HASH_MAX];
		struct str hash = str_of(text, known[i].hash.len);
		bool bcrypt = str_starts(known[i].hash, S("$2"));
		size_t digest_at = hash.len - 20;
		/* The first half of scrypt's 64 bytes is what scrypt gives for 32. */
		size_t half = str_starts(known[i].hash, S("$scrypt$")) ? hash.len - 43 : hash.len;

		if (known[i].memory > 20 * MEGABYTE)
			continue;
		memcpy(text, known[i].hash.at, hash.len);
		for (size_t at = digest_at; at < hash.len - bcrypt; at++) {
			text[at] ^= 2;
			EXPECT(password_verify(known[i].password, hash) < 0);
			text[at] ^= 2;
		}
		for (size_t len = 0; len < hash.len; len++)
			EXPECT(len == half ||
				password_verify(known[i].password, str_first(hash, len)) < 0);
	}
}

TEST(password_hash_round_trip)
{
	static const struct password_cost costs[] = {
		{ PASSWORD_MEMORY_KB_MIN, 1, 1 },
		{ 8 * 1024, 2, 3 },
		{ PASSWORD_MEMORY_KB_MIN, 3, PASSWORD_LANES_MAX },
	};

	for (size_t i = 0; i < LEN(costs); i++) {
		char first[PASSWORD_HASH_SIZE], second[PASSWORD_HASH_SIZE];
		int len = password_hash(S("p\0ss"), &costs[i], first);
		struct str hash = str_of(first, (size_t)MAX(len, 0));
		struct password_cost other = costs[i];
		size_t memory = 0;

		REQUIRE(len > 0);
		EXPECT(str_starts(hash, S("$argon2id$v=19$m=")));
		EXPECT_INT(password_verify(S("p\0ss"), hash), 0);
		EXPECT_INT(password_verify(S("p\0st"), hash), -ERR_UNAUTHORIZED);
		EXPECT_INT(password_verify(S("p"), hash), -ERR_UNAUTHORIZED);
		EXPECT_INT(password_verify(S(""), hash), -ERR_UNAUTHORIZED);
		EXPECT_INT(password_memory(hash, &memory), 0);
		EXPECT_INT(memory, password_cost_memory(&costs[i]));

		EXPECT(!password_needs_rehash(hash, &costs[i]));
		other.passes++;
		EXPECT(password_needs_rehash(hash, &other));
		other = costs[i];
		other.memory_kb++;
		EXPECT(password_needs_rehash(hash, &other));
		other = costs[i];
		other.lanes--;
		EXPECT(password_needs_rehash(hash, &other));

		EXPECT_INT(password_hash(S("p\0ss"), &costs[i], second), len);
		EXPECT(memcmp(first, second, (size_t)len) != 0); /* the salt is new */
	}
}

TEST(password_longest)
{
	static char password[PASSWORD_MAX + 1];
	char hash[PASSWORD_HASH_SIZE];
	int len = password_hash(str_of(password, PASSWORD_MAX), &cheap, hash);

	REQUIRE(len > 0);
	EXPECT_INT(password_verify(str_of(password, PASSWORD_MAX), str_of(hash, (size_t)len)), 0);
	EXPECT_INT(password_hash(str_of(password, PASSWORD_MAX + 1), &cheap, hash), -ERR_INVALID);
}

TEST(password_costs)
{
	static const struct {
		struct password_cost cost;
		bool ok;
	} cases[] = {
		{ { 19 * 1024, 2, 1 }, true },
		{ { PASSWORD_MEMORY_KB_MAX, 8, 4 }, true },
		{ { PASSWORD_MEMORY_KB_MAX, 9, 4 }, false }, /* work */
		{ { PASSWORD_MEMORY_KB_MIN - 1, 2, 1 }, false },
		{ { PASSWORD_MEMORY_KB_MAX + 1, 2, 1 }, false },
		{ { UINT32_MAX, UINT32_MAX, 1 }, false },
		{ { 19 * 1024, 0, 1 }, false },
		{ { 19 * 1024, PASSWORD_PASSES_MAX, 1 }, true },
		{ { 19 * 1024, PASSWORD_PASSES_MAX + 1, 1 }, false },
		{ { 19 * 1024, 2, 0 }, false },
		{ { 19 * 1024, 2, PASSWORD_LANES_MAX }, true },
		{ { 19 * 1024, 2, PASSWORD_LANES_MAX + 1 }, false },
	};
	char hash[PASSWORD_HASH_SIZE];

	for (size_t i = 0; i < LEN(cases); i++) {
		EXPECT_INT(password_cost_check(&cases[i].cost), cases[i].ok ? 0 : -ERR_INVALID);
		if (!cases[i].ok)
			EXPECT_INT(password_hash(S("x"), &cases[i].cost, hash), -ERR_INVALID);
	}
}

/* Digests and salts that are well-formed, so that only what a case is about is wrong. */
#define D32 "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
#define D64 "/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWIurzDZLiKjiG/xCSedmDDaxyevuUqD7m2DYMvfoswGQA"
#define D53 "CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
#define D43 "kBGj9fHznVYFQMEn/qDCfrDevf9YDtcDdKvEqHJLV8D"

static const struct str good_texts[] = {
	S_INIT("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=19$m=262144,t=8,p=16$c29tZXNhbHQ$" D32),
	S_INIT("$argon2i$v=19$m=32768,t=64,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$2a$04$" D53),
	S_INIT("$2b$15$" D53),
	S_INIT("$scrypt$ln=1,r=1,p=1$$" D32),
	S_INIT("$scrypt$ln=18,r=8,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$7$36..../....x$" D43),
	S_INIT("$pbkdf2-sha256$1$$" D32),
	S_INIT("$pbkdf2-sha512$4000000$c29tZXNhbHQ$" D64),
	S_INIT("pbkdf2_sha256$4000000$s$" D32 "="),
};

static const struct str bad_texts[] = {
	S_INIT(""),
	S_INIT("$"),
	S_INIT("plain text"),
	S_INIT("5f4dcc3b5aa765d61d8327deb882cf99"),
	S_INIT("$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/"),
	S_INIT("$6$saltsalt$x"),
	S_INIT("$2x$05$" D53),
	S_INIT("*0"),
	/* Argon2: what is missing, unknown, out of order or too much */
	S_INIT("$argon2id$"),
	S_INIT("$argon2d$v=19$m=256,t=2,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$m=256,t=2,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=19,k=1$m=256,t=2,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=19$t=2,m=256,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=19$m=256,t=2$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=19$m=256,t=2,p=1,keyid=AA$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=19$m=256,t=2,p=1,$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=19$m=0256,t=2,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=19$m=+256,t=2,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=19$m=7,t=2,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=19$m=15,t=2,p=2$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=19$m=262145,t=1,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=19$m=262144,t=9,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=19$m=4294967296,t=1,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=19$m=18446744073709551616,t=1,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=19$m=256,t=0,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=19$m=256,t=65,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=19$m=256,t=2,p=0$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=19$m=256,t=2,p=17$c29tZXNhbHQ$" D32),
	S_INIT("$argon2id$v=19$m=256,t=2,p=1$c2FsdA$" D32),
	S_INIT("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ=$" D32),
	S_INIT("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$" D32 "="),
	S_INIT("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$" D32 "$"),
	S_INIT("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$AAAA"),
	S_INIT("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$" D32 D32 D32),
	S_INIT("$argon2id$v=19$m=256,t=2,p=1$" D32 D32 D32 "$" D32),
	S_INIT("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$"),
	S_INIT("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ"),
	/* bcrypt */
	S_INIT("$2b$03$" D53),
	S_INIT("$2b$16$" D53),
	S_INIT("$2b$31$" D53),
	S_INIT("$2b$5$" D53 "x"),
	S_INIT("$2b$005$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe"),
	S_INIT("$2b$05$" D53 "x"),
	S_INIT("$2b$05$"),
	S_INIT("$2b$"),
	S_INIT("$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe+"),
	S_INIT("$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe\0"),
	/* scrypt */
	S_INIT("$scrypt$ln=0,r=8,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$scrypt$ln=19,r=8,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$scrypt$ln=64,r=8,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$scrypt$ln=16,r=1,p=1$c29tZXNhbHQ$" D32), /* N < 2^(128 r / 8) */
	S_INIT("$scrypt$ln=4,r=33,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$scrypt$ln=4,r=8,p=65$c29tZXNhbHQ$" D32),
	S_INIT("$scrypt$ln=18,r=8,p=5$c29tZXNhbHQ$" D32),
	S_INIT("$scrypt$ln=4,r=0,p=1$c29tZXNhbHQ$" D32),
	S_INIT("$scrypt$ln=4,r=8$c29tZXNhbHQ$" D32),
	S_INIT("$scrypt$ln=4,r=8,p=1$c29tZXNhbHQ$c29tZXNhbHQc29tZXNhbHQ"),
	S_INIT("$scrypt$16384$8$1$c29tZXNhbHQ$" D32),
	S_INIT("$scrypt$"),
	S_INIT("$7$"),
	S_INIT("$7$C6..../...."),
	S_INIT("$7$C6..../....$" D43),
	S_INIT("$7$C6..../....salt"),
	S_INIT("$7$C6..../....salt$" D43 "."),
	S_INIT("$7$C6..../....salt$kBGj9fHznVYFQMEn/qDCfrDevf9YDtcDdKvEqHJLV8z"), /* spare bits */
	S_INIT("$7$zzzzzzzzzzzsalt$" D43),
	S_INIT("$7$C!..../....salt$" D43),
	/* PBKDF2 */
	S_INIT("$pbkdf2-sha256$0$c2FsdA$" D32),
	S_INIT("$pbkdf2-sha256$4000001$c2FsdA$" D32),
	S_INIT("$pbkdf2-sha256$-1$c2FsdA$" D32),
	S_INIT("$pbkdf2-sha256$1$c2FsdA$" D64), /* as long as another digest */
	S_INIT("$pbkdf2-sha512$1$c2FsdA$" D32),
	S_INIT("$pbkdf2-sha256$1$c2FsdA$" D32 "AAAA"),
	S_INIT("$pbkdf2-sha256$1$c2FsdA"),
	S_INIT("$pbkdf2-sha1$1$c2FsdA$" D32),
	S_INIT("$pbkdf2-sha256$"),
	S_INIT("pbkdf2_sha256$1$salt$" D32),
	S_INIT("pbkdf2_sha256$1$$" D32 "="),
	S_INIT("pbkdf2_sha256$1$salt"),
	S_INIT("pbkdf2_sha256$4000001$salt$" D32 "="),
	S_INIT("pbkdf2_sha1$1$salt$" D32 "="),
};

TEST(password_texts)
{
	static char long_text[PASSWORD_HASH_MAX + 1];
	size_t memory = 7;

	for (size_t i = 0; i < LEN(good_texts); i++)
		test_note(password_memory(good_texts[i], &memory) == 0 &&
				  memory <= (size_t)PASSWORD_MEMORY_KB_MAX * KILOBYTE + MEGABYTE,
			__FILE__, __LINE__, "%.*s", STR_ARG(good_texts[i]));

	memory = 7;
	for (size_t i = 0; i < LEN(bad_texts); i++) {
		test_note(password_verify(S("x"), bad_texts[i]) == -ERR_INVALID, __FILE__, __LINE__,
			"%.*s", STR_ARG(bad_texts[i]));
		EXPECT_INT(password_memory(bad_texts[i], &memory), -ERR_INVALID);
		EXPECT(password_needs_rehash(bad_texts[i], &cheap));
	}
	memcpy(long_text, "pbkdf2_sha256$1$", 16);
	EXPECT_INT(password_memory(str_of(long_text, sizeof(long_text)), &memory), -ERR_INVALID);
	EXPECT_INT(memory, 7);
}

#ifdef BULKHEAD_FAULTS
TEST(password_without_memory)
{
	char hash[PASSWORD_HASH_SIZE];

	fault_arm(FAULT_MEMORY, 1);
	EXPECT_INT(password_hash(S("x"), &cheap, hash), -ERR_NO_MEMORY);
	EXPECT(fault_struck(FAULT_MEMORY));
	fault_arm(FAULT_MEMORY, 1);
	EXPECT_INT(password_verify(known[1].password, known[1].hash), -ERR_NO_MEMORY);
	fault_arm(FAULT_MEMORY, 1);
	EXPECT_INT(password_verify(S("U*U"),
			   S("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")),
		-ERR_NO_MEMORY);
	EXPECT_INT(mem_used(), 0);
}
#endif

TEST(password_obeys_the_memory_limit)
{
	char hash[PASSWORD_HASH_SIZE];

	mem_limit(password_cost_memory(&cheap) - 1);
	EXPECT_INT(password_hash(S("x"), &cheap, hash), -ERR_NO_MEMORY);
	mem_limit(0);
	EXPECT(password_hash(S("x"), &cheap, hash) > 0);
	EXPECT_INT(mem_used(), 0);
}

static void *verify_all(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < LEN(known); i++)
		EXPECT_INT(password_verify(known[i].password, known[i].hash), 0);
	return NULL;
}

TEST(password_in_threads)
{
	pthread_t other;

	REQUIRE(pthread_create(&other, NULL, verify_all, NULL) == 0);
	(void)verify_all(NULL);
	REQUIRE(pthread_join(other, NULL) == 0);
}
