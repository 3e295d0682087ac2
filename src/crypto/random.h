/*
 * Random bytes for keys, nonces, tokens and ids, from the kernel (getrandom). Each thread takes a
 * kilobyte at a time, so that a small request is a copy and no system call; bytes are wiped as they
 * are handed out, and a process forked through libc starts with an empty store. Nothing here can
 * fail: a process whose kernel gives no entropy aborts. Not for signal handlers.
 */
#ifndef CRYPTO_RANDOM_H
#define CRYPTO_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(default)

/* Fills `at` with `len` random bytes, fit for keys. */
void random_bytes(void *at, size_t len);

/* 64 random bits. */
uint64_t random_u64(void);

#pragma GCC visibility pop

#endif
