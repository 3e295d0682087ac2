/*
 * SipHash-1-3. The process' secret is derived from the 16 random bytes that the kernel hands every
 * program (AT_RANDOM), before main, so that hashing needs no system call, no lock and no set-up.
 */
#include "base/hash.h"

#include "base/check.h"

#include <sys/auxv.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are loaded as they stand");

struct sip {
	uint64_t a, b, c, d;
};

static struct hash_key secret; /* written once, by choose_secret */

static uint64_t rotate(uint64_t word, unsigned bits)
{
	return word << bits | word >> (64 - bits);
}

static inline void sip_round(struct sip *sip)
{
	sip->a += sip->b;
	sip->b = rotate(sip->b, 13) ^ sip->a;
	sip->a = rotate(sip->a, 32);
	sip->c += sip->d;
	sip->d = rotate(sip->d, 16) ^ sip->c;
	sip->a += sip->d;
	sip->d = rotate(sip->d, 21) ^ sip->a;
	sip->c += sip->b;
	sip->b = rotate(sip->b, 17) ^ sip->c;
	sip->c = rotate(sip->c, 32);
}

static inline void sip_word(struct sip *sip, uint64_t word)
{
	sip->d ^= word;
	sip_round(sip);
	sip->a ^= word;
}

uint64_t hash_keyed(struct hash_key key, struct str text)
{
	struct sip sip = {
		key.low ^ 0x736f6d6570736575u,
		key.high ^ 0x646f72616e646f6du,
		key.low ^ 0x6c7967656e657261u,
		key.high ^ 0x7465646279746573u,
	};
	size_t whole = text.len & ~(size_t)7;
	uint64_t word;

	for (size_t i = 0; i < whole; i += 8) {
		memcpy(&word, text.at + i, 8);
		sip_word(&sip, word);
	}

	word = (uint64_t)text.len << 56;
	for (size_t i = whole; i < text.len; i++)
		word |= (uint64_t)(unsigned char)text.at[i] << 8 * (i - whole);
	sip_word(&sip, word);

	sip.c ^= 0xff;
	sip_round(&sip);
	sip_round(&sip);
	sip_round(&sip);
	return sip.a ^ sip.b ^ sip.c ^ sip.d;
}

/* The kernel's bytes also guard the stack, so they are the key of a derivation and not the secret
 * itself. */
__attribute__((constructor)) static void choose_secret(void)
{
	const void *random = (const void *)getauxval(AT_RANDOM);
	struct hash_key key;

	CHECK(random);
	memcpy(&key, random, sizeof(key));
	secret.low = hash_keyed(key, S("hash low"));
	secret.high = hash_keyed(key, S("hash high"));
}

uint64_t hash_str(struct str text)
{
	return hash_keyed(secret, text);
}
