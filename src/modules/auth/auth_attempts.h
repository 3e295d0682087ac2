/*
 * Failed logins, as rows of the installation (tenant_system): one of each e-mail address, whatever
 * tenants it has accounts in and whether it has any, so that nothing about it can be learnt here;
 * and one of each client address. Rows are found by an HMAC under a key of the installation, name
 * nobody, and are thrown away after a day without a try.
 *
 * A try is counted by a transaction of its own before the password is looked at. However many
 * requests come at a time, on however many instances, the database gives out no more tries than the
 * limit says (auth_attempts_rules.h).
 *
 * A browser that has signed in to the address before holds a cookie that says so; its tries are
 * counted by themselves, so that strangers who lock the address do not lock out its owner (OWASP's
 * device cookies).
 */
#ifndef MODULES_AUTH_ATTEMPTS_H
#define MODULES_AUTH_ATTEMPTS_H

#include "http/request.h"
#include "modules/auth/auth_attempts_rules.h"
#include "store/db.h"

enum {
	ATTEMPT_KEY_LEN = 1 + 32, /* a letter, and 16 bytes in hexadecimal digits */
	ATTEMPTS_OF_ADDRESS = 10, /* a client address may fail so many times as often */
	DEVICE_NONCE_LEN = 16,
	DEVICE_DAYS = 180, /* that a browser is remembered */
};

/* A try under way. */
struct attempt {
	char account[ATTEMPT_KEY_LEN], address[ATTEMPT_KEY_LEN];
	char email[ATTEMPT_KEY_LEN]; /* `account` is this, or of a device */
	uint8_t device[DEVICE_NONCE_LEN];
	bool known_device; /* whose tries are counted by themselves */
	bool seen_device;  /* it has signed in before, whatever it did since */
	enum attempt_verdict verdict;
	int64_t begins_us; /* when it is allowed */
};

/* Derives the keys; before anything else here. */
void attempts_open(const struct server *server);

/*
 * Counts a try at an e-mail address: durably enough that it outlives the process. ret->verdict says
 * whether it may go on; then not before ret->begins_us. -ERR_TOO_MANY when the client address has
 * failed too often (a Retry-After is set); errors of the store.
 */
int attempt_begin(struct req *req, struct str email, struct attempt *ret);

/* Parks until the try may begin. Errors of fiber_sleep_until. */
int attempt_wait(const struct attempt *attempt);

/* It did not happen: the password was not looked at. Errors of the store are logged. */
void attempt_undo(struct req *req, const struct attempt *attempt);

/* It was right: what was counted against the address and this device is forgotten, and the browser
 * gets its cookie. Errors of the store are logged. */
void attempt_succeeded(struct req *req, const struct attempt *attempt, struct str email);

/* Forgets what was counted against an e-mail address. In a transaction of tenant_system. */
int attempts_clear_in_tx(struct tx *tx, struct str email);

/* --- a row in a transaction of tenant_system, under attempt_tx -------------------------------- */

/* READ COMMITTED: what is counted on is held. */
extern const struct tx_options attempt_tx;

/* The key of an e-mail address. */
void attempt_email_key(char at[ATTEMPT_KEY_LEN], struct str email);

/* Reads a row, or makes it, and holds it until the end of the transaction: whoever else wants it
 * waits, and reads what this one has saved. */
int attempt_hold_in_tx(struct tx *tx, const char *key, struct attempt_row *ret);

/* Writes what is held. */
int attempt_save_in_tx(struct tx *tx, const char *key, const struct attempt_row *row);

/* --- old ones -------------------------------------------------------------------------------- */

/* Throws old rows away, in small transactions. Errors of db_write. */
int attempts_sweep(struct store *store);

enum { ATTEMPT_STATEMENTS = 4 };
extern const struct statement *const attempt_statements[ATTEMPT_STATEMENTS];

#endif
