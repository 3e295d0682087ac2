/*
 * A keyed hash for tables whose keys come from outside: without the key nobody can choose texts
 * that collide. SipHash-1-3 (Aumasson and Bernstein, 2012, with one and three rounds as Rust, Ruby
 * and Python use it for the same purpose). Not for anything that leaves the process: use crypto/
 * there.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/str.h"

#include <stdint.h>

struct hash_key {
	uint64_t low, high;
};

/* SipHash-1-3 of the text under a key. */
uint64_t hash_keyed(struct hash_key key, struct str text);

/* The same under this process' own secret, which differs from start to start. */
uint64_t hash_str(struct str text);

#endif
