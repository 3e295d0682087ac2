/* What a client does with a coded body. For tests. */
#ifndef HTTP_DECODE_TEST_H
#define HTTP_DECODE_TEST_H

#include "base/buf.h"
#include "http/accept.h"

/* Appends what a client reads from `packed`, which may stop after a flush. Ends the test when it is
 * malformed, and skips it when there is no decoder for br. */
void decode(enum encoding encoding, struct str packed, struct buf *plain);

#endif
