/*
 * Two tenants with rows in several tables, and statements that one of them runs: what the tests of
 * the tenancy have in common. Statements are given one by one; some are refused when they are
 * registered, the others run as tenant 1. Whatever they do, nothing of tenant 2 may change, and
 * nothing of it may come back: all its texts hold a word that no other has.
 *
 * Parameters are :tenant, :id (1), :body ("x") and :other (the id of tenant 2), answers have the
 * columns a (text) and n (integer). The tables are these, each with tenant_id, id, body and amount:
 *
 *  - note, folder, link: in order.
 *  - badge: the unique index of its body forgets the tenant; tenant 2 has the body "taken".
 *  - part: its body refers to a badge's, whatever their tenants, and cascades. SQLite: tenant 2 has
 *    one that refers to a badge of tenant 1.
 *  - spied: a trigger changes the notes of the same id, whoever they belong to.
 *  - copied: a trigger copies what others have in note.
 *
 * and shared (id, body), which belongs to no tenant.
 */
#ifndef STORE_TENANCY_TEST_H
#define STORE_TENANCY_TEST_H

#include "store/store_test.h"

/* In every text of tenant 2, in whatever case. */
#define ATTACK_SECRET "secret"

enum { ATTACK_WHY_MAX = 2 * ERR_TEXT_MAX };

/* One that may run. */
struct attack {
	struct statement statement; /* of its own */
	struct statement_slot slot;
	char name[16];
	bool refused;
	char why[ATTACK_WHY_MAX]; /* the sentence, when it was refused */
};

/* What an attack has answered. */
struct attack_result {
	int code;      /* 0 or negative */
	size_t count;  /* of rows, or of rows that changed */
	uint64_t rows; /* a number for all of them together, whatever their order */
	bool told;     /* there was something of tenant 2 in a row or in the error's text */
	char text[ATTACK_WHY_MAX]; /* the error */
};

/* Runs `body` in a fiber on a new store with the tables. Before it starts, `prepare` registers
 * attacks. */
void attack_test(enum engine_kind engine, void (*prepare)(struct store *),
	void (*body)(struct store_test *));

/* Registers a statement of this text. `rows`: it answers with rows. The text and the attack must
 * stay until the store is closed. */
void attack_register(struct store *store, struct attack *attack, const char *sql, bool rows);

/* Both tenants get the rows they have at the start. `variant` changes what tenant 2 has: none of
 * its values and not even the number of its rows are the same. */
void attack_set_up(struct store_test *test, unsigned variant);

/* Runs an attack as tenant 1 and rolls it back when `keep` is not set. */
void attack_run(
	struct store_test *test, const struct attack *attack, bool keep, struct attack_result *ret);

/* All rows of tenant 2 as text; lives in the test's arena. */
struct str attack_snapshot(struct store_test *test);

#endif
