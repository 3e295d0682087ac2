/*
 * Random statements over three tables of one shape, for tests of the tenancy: most are of the kind
 * that modules have, some try to reach the rows of others. Which ones may run is for the store to
 * decide; nothing is promised about them but these:
 *
 *     the tables are note, folder and link, each with the columns tenant_id, id (integer), body
 *     (text) and amount (integer), and the primary key (tenant_id, id);
 *     parameters are :tenant, :id (integer), :body (text) and :other (the id of another tenant);
 *     an answer has the columns a (text) and n (integer);
 *     what it gives to a tenant does not depend on chance or on the order of rows, unless `loose`.
 */
#ifndef STORE_TENANCY_GRAMMAR_TEST_H
#define STORE_TENANCY_GRAMMAR_TEST_H

#include "base/buf.h"
#include "store/sql.h"

enum { GRAMMAR_TEXT_MAX = 8192 };

struct grammar_statement {
	struct str sql; /* in the buffer, with a NUL behind it */
	bool rows;      /* it gives rows */
	bool loose;     /* only the number of its rows is certain */
	bool mean;      /* something in it is meant to be an attack */
};

/* Makes the next statement into the (emptied) buffer. */
void grammar_next(
	uint64_t *random, enum engine_kind engine, struct buf *buf, struct grammar_statement *ret);

#endif
