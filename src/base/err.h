/*
 * Errors. A function that can fail returns 0 (or a count) or a negative `enum err_code`, and has
 * filled the error slot of the current fiber: `return fail(ERR_CONFLICT, "flag is at version %lld",
 * v);`. Callers branch on the number; the text is for people. err_wrap adds what the caller was
 * doing, so a slot holds a chain from the outermost intention to the cause.
 *
 * One table gives each code its HTTP status, the code on the wire (DESIGN section 6), whether a
 * caller may simply try again, and the sentence that production shows.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/check.h"
#include "base/str.h"

#include <stdbool.h>

#pragma GCC visibility push(default)

/* X(name, HTTP status, code on the wire, may be retried, text for the caller) */
#define ERR_TABLE(X)                                                                               \
	X(INVALID, 400, "VALIDATION_ERROR", false, "The request is not valid.")                    \
	X(UNAUTHORIZED, 401, "UNAUTHORIZED", false, "Sign in to do this.")                         \
	X(FORBIDDEN, 403, "FORBIDDEN", false, "You lack the right to do this.")                    \
	X(NOT_FOUND, 404, "NOT_FOUND", false, "There is nothing at this address.")                 \
	X(METHOD, 405, "METHOD_NOT_ALLOWED", false, "This method is not allowed here.")            \
	X(SLOW_REQUEST, 408, "TIMEOUT", true, "The request took too long to arrive.")              \
	X(CONFLICT, 409, "CONFLICT", false, "The state does not allow this.")                      \
	X(PRECONDITION, 412, "PRECONDITION_FAILED", false, "Somebody else was faster.")            \
	X(TOO_LARGE, 413, "PAYLOAD_TOO_LARGE", false, "The request is too large.")                 \
	X(TARGET_TOO_LONG, 414, "PAYLOAD_TOO_LARGE", false, "The address is too long.")            \
	X(MEDIA_TYPE, 415, "UNSUPPORTED_MEDIA_TYPE", false, "This media type is not taken here.")  \
	X(EXPECTATION, 417, "VALIDATION_ERROR", false, "This expectation cannot be met.")          \
	X(IDEMPOTENCY, 422, "IDEMPOTENCY_MISMATCH", false, "This key was used for another body.")  \
	X(UPGRADE, 426, "VALIDATION_ERROR", false, "This address wants another protocol.")         \
	X(TOO_MANY, 429, "TOO_MANY_REQUESTS", true, "Too many requests; slow down.")               \
	X(HEAD_TOO_LARGE, 431, "PAYLOAD_TOO_LARGE", false, "The header fields are too large.")     \
	X(INTERNAL, 500, "INTERNAL_ERROR", false, "Something went wrong on our side.")             \
	X(UNKNOWN_METHOD, 501, "METHOD_NOT_ALLOWED", false, "This is not implemented.")            \
	X(AI_SERVICE, 502, "AI_SERVICE_ERROR", true, "The AI service failed.")                     \
	X(UNAVAILABLE, 503, "SERVICE_UNAVAILABLE", true, "Not available just now; try again.")     \
	X(NO_MEMORY, 503, "SERVICE_UNAVAILABLE", true, "Not available just now; try again.")       \
	X(FULL, 503, "SERVICE_UNAVAILABLE", true, "Not available just now; try again.")            \
	X(TIMEOUT, 504, "TIMEOUT", true, "This took too long.")                                    \
	X(VERSION, 505, "VALIDATION_ERROR", false, "This HTTP version is not spoken here.")        \
	X(IO, 500, "INTERNAL_ERROR", false, "Something went wrong on our side.")                   \
	X(CLOSED, 500, "INTERNAL_ERROR", false, "The other side has closed.")                      \
	X(CANCELLED, 503, "SERVICE_UNAVAILABLE", true, "The work was cancelled.")

#define ERR_ENUM(name, status, wire, retry, text) ERR_##name,
enum err_code { ERR_OK, ERR_TABLE(ERR_ENUM) ERR_CODES };
#undef ERR_ENUM

/* What the table says of a code. */
struct err_info {
	const char *name; /* "CONFLICT" */
	int status;       /* HTTP status */
	struct str wire;  /* code in the error shape */
	bool retryable;
	struct str text;
};

/* The row of a code; takes it positive or, as functions return it, negative. Unknown: INTERNAL's.
 */
const struct err_info *err_info(int code);

enum { ERR_FRAMES = 4, ERR_TEXT_MAX = 240, ERR_FIELD_MAX = 64, ERR_RULE_MAX = 32 };

/* One line of the chain. */
struct err_frame {
	const char *file;
	int line;
	char text[ERR_TEXT_MAX]; /* NUL-terminated; longer text is cut */
};

/* The last error of a fiber (or of a thread outside fibers). frames[0] is the cause. */
struct err {
	enum err_code code;
	unsigned depth; /* frames in use; deeper wraps than ERR_FRAMES replace the last one */
	char field[ERR_FIELD_MAX]; /* the member of the input that is to blame; empty: none */
	char rule[ERR_RULE_MAX];   /* the rule it breaks, for programs: "unique" */
	struct err_frame frames[ERR_FRAMES];
};

/*
 * Fills the slot and returns the negative code.
 * fail(ERR_X, format, ...) starts a new chain.
 */
#define fail(code, ...) err_set(code, __FILE__, __LINE__, __VA_ARGS__)

/* The same, and says which member of the input breaks which rule: fail_field(ERR_CONFLICT, "slug",
 * "unique", "is taken"). The text goes after the field's name. */
#define fail_field(code, field, rule, ...) (fail(code, __VA_ARGS__), err_blame(field, rule))

/* Adds a frame to the slot's chain and returns the slot's negative code: `return err_wrap("while
 * ...");` */
#define err_wrap(...) err_add(__FILE__, __LINE__, __VA_ARGS__)

int err_set(enum err_code code, const char *file, int line, const char *format, ...)
	PRINTF_LIKE(4, 5) __attribute__((cold));
int err_add(const char *file, int line, const char *format, ...) PRINTF_LIKE(3, 4)
	__attribute__((cold));

/* Names the member and the rule in the slot; longer ones are cut. Returns the slot's negative code.
 */
int err_blame(const char *field, const char *rule) __attribute__((cold));

/* Puts an error back into the slot, after a clean-up that may have used it. Returns its negative
 * code. */
int err_restore(const struct err *err);

/* The slot in use. Never NULL; code is ERR_OK when nothing has failed yet. */
const struct err *err_last(void);

/* The outermost text of the slot ("" when empty): what one line for a person should say. */
const char *err_text(void);

/* Writes "outermost: ...: cause" into `at` (at most `size` bytes with the NUL); returns its length.
 */
size_t err_describe(const struct err *err, char *at, size_t size);

/* Points this thread at another slot (a fiber's; NULL: the thread's own) and returns the former
 * one. */
struct err *err_slot_swap(struct err *next);

/* Text for an errno value; thread-safe, unlike strerror. */
const char *err_errno_text(int number);

#pragma GCC visibility pop

#endif
