/*
 * Which repeatable requests are in work in this process, so that a repetition that comes too early
 * is told so. Bounded, shared by all workers. Internal to this folder.
 */
#ifndef REST_IN_FLIGHT_H
#define REST_IN_FLIGHT_H

#include "crypto/digest.h"

enum { IN_FLIGHT_MAX = 4096 };

/* `owner` tells several servers of one process apart: their store. */

/* Notes that it is in work. -ERR_CONFLICT when it is already, -ERR_FULL. */
int in_flight_enter(const void *owner, const uint8_t key[SHA256_LEN]);

/* It is no more; it was entered before. */
void in_flight_leave(const void *owner, const uint8_t key[SHA256_LEN]);

/* How many there are, of all owners. */
size_t in_flight_count(void);

#endif
