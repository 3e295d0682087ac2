/*
 * A ledger to be torn: what the tests of power cuts and kills write, and how they find out what
 * became of it. A transaction moves money between two accounts and leaves two halves of a token,
 * numbered in the order of the commits; what was acknowledged is noted outside of the database.
 * Afterwards
 *
 *     the money is what it was;
 *     each token has both halves, of the same number, once, or none;
 *     the numbers have no gap, so what is there is what was committed up to some moment;
 *     each DURABLE transaction that was acknowledged is there.
 */
#ifndef STORE_LEDGER_TEST_H
#define STORE_LEDGER_TEST_H

#include "store/store_test.h"

enum { LEDGER_TOKENS_MAX = 1 << 20, LEDGER_ACCOUNTS = 64, LEDGER_WHY_MAX = 200 };

extern const struct store_test_module ledger_modules[];

enum ledger_note { LEDGER_UNKNOWN, LEDGER_SOFT, LEDGER_DURABLE };

/* What is noted outside. */
struct ledger {
	bool numbered; /* tokens are numbered; not where that row would be everybody's conflict */
	size_t token_count; /* tokens are below */
	uint8_t *notes;     /* enum ledger_note of each */
};

enum ledger_verdict { LEDGER_WHOLE, LEDGER_FORGOTTEN, LEDGER_BROKEN };

/* An empty one without tokens; its end. */
void ledger_init(struct ledger *ledger, size_t token_count, bool numbered);
void ledger_done(struct ledger *ledger);

/* Notes that it was acknowledged. */
void ledger_note(struct ledger *ledger, size_t token, enum tx_durability durability);

/* Puts the accounts in. */
void ledger_found(struct store_test *test);

/* One transaction; the random number chooses amounts, accounts and the size of its rows. */
int ledger_write(const struct db *db, const struct ledger *ledger, size_t token,
	enum tx_durability durability, uint64_t random);

/* What is in the database. With BROKEN and FORGOTTEN `why` (LEDGER_WHY_MAX) tells what is wrong;
 * FORGOTTEN: all is consistent, but a DURABLE transaction is missing. */
enum ledger_verdict ledger_check(struct store_test *test, const struct ledger *ledger, char *why);

#endif
