/*
 * Computing password hashes without hurting anybody else: on threads of its own, at most so many at
 * a time, in at most so much memory. Who finds it full is told so at once (-ERR_FULL, a 503 with
 * Retry-After); nobody waits in a queue without end.
 *
 * A place is taken before anything is asked of the database, and given back at the end:
 *
 *     r = passwords_enter();
 *     if (r < 0)
 *             return r;
 *     ... look for the account, count the try ...
 *     r = passwords_check(password, hash, &right);
 *     passwords_leave();
 *
 * All functions but open and close are for fibers; passwords are prepared (password_prepare).
 */
#ifndef MODULES_AUTH_PASSWORD_H
#define MODULES_AUTH_PASSWORD_H

#include "base/arena.h"
#include "crypto/password.h"
#include "modules/auth/auth_password_rules.h"

enum {
	PASSWORD_PLACES_PER_THREAD = 32, /* who computes, waits for it, or is about to */
	PASSWORD_THREADS_MAX = 64,
};

struct password_pool_options {
	struct password_cost cost;
	size_t memory;             /* bytes of all that is computed at a time; at least one hash */
	const char *breached_file; /* NULL: none */
	size_t min;                /* characters of a new one */
};

/* Starts the threads: one per processor, as far as the memory allows. Once in a process.
 * -ERR_INVALID with a sentence for people, -ERR_IO, -ERR_NO_MEMORY. */
int passwords_open(const struct password_pool_options *options);
void passwords_close(void);

/* A place. -ERR_FULL. */
int passwords_enter(void);
void passwords_leave(void);

/* The hash of a password at the current cost, in the arena. -ERR_NO_MEMORY, -ERR_TOO_LARGE. */
int passwords_hash(struct str password, struct arena *arena, struct str *ret);

/*
 * Whether it is the password of this hash, which may be of any kind that crypto/password.h
 * verifies. Without a hash one is computed all the same, at the current cost, and the answer is no:
 * whoever looks at the time learns nothing. -ERR_NO_MEMORY, -ERR_INVALID for what is no hash.
 */
int passwords_check(struct str password, struct str hash, bool *ret_right);

/* Whether the hash is another than a new one would be. */
bool passwords_outdated(struct str hash);

/* Whether a new password may be taken: password_refuse, and not in the file of breached ones
 * ("breached"). When that cannot be read, the log says so and the password is taken. */
int passwords_refuse(struct str password, const struct password_context *context);

/* How many hashes have been computed in this process. For metrics, and for tests that count. */
uint64_t passwords_computed(void);

#endif
