/* Where the key of the installation comes from. */
#ifndef MASTER_KEY_FILE_H
#define MASTER_KEY_FILE_H

#include "config.h"
#include "crypto/master_key.h"

#define MASTER_KEY_FILE "master.key"

/*
 * The key of MASTER_KEY; in development, when that is empty, the one in DATA_DIR/master.key, which
 * is made the first time, mode 0600. The data folder is there. The caller wipes the key
 * (master_key_done).
 *
 * -ERR_INVALID for a text that is no key, and for a file that others may read or write; -ERR_IO.
 */
int master_key_load(const struct config *config, struct master_key *ret);

/* The key of MASTER_KEY_PREVIOUS: 1, or 0 when there is none. -ERR_INVALID. */
int master_key_load_former(const struct config *config, struct master_key *ret);

#endif
