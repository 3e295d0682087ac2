/*
 * Where log lines go in the end: a descriptor, or files that rotate by day and size and are deleted
 * by number and age. One thread at a time uses it (the writer). Whatever happens to the disk or the
 * reader of a pipe, lines are counted as lost and the program goes on.
 */
#ifndef OBSERVE_LOG_SINK_H
#define OBSERVE_LOG_SINK_H

#include "base/str.h"
#include "base/time_text.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { SINK_NAME_MAX = 100, SINK_FOLDER_MAX = 1024 };

struct log_sink {
	_Atomic int fd; /* -1: nothing open */
	bool files;     /* rotating files; else the caller's descriptor */
	bool waits;     /* a pipe, socket or terminal: asked by poll before each write */
	bool dead;      /* the reader of the pipe has gone */
	bool mid_line;  /* the last write ended inside a line */

	int folder; /* descriptor of the folder */
	char name[SINK_NAME_MAX + 1];
	char date[TIME_DATE_LEN + 1]; /* of the current file */
	uint64_t index;               /* of the current file, from 1 */
	uint64_t size;                /* of the current file */
	uint64_t rotate_bytes;
	size_t keep_files, keep_days;
	int64_t retry_us; /* after a failure to open the next file: not before this time */

	/* Read by others at any time. */
	_Atomic uint64_t lost; /* lines */
	_Atomic uint64_t bytes;
	int error; /* errno of the last failure */

	/* True when waiting for a slow reader must end now. May be NULL: never waits for one. */
	bool (*give_up)(void *arg);
	void *give_up_arg;
};

/* Writes to the caller's descriptor. */
void log_sink_init_fd(struct log_sink *sink, int fd);

/*
 * Writes to files in a folder, as struct log_options says. Makes the folder if only its last part
 * is missing. ERR_INVALID for a bad name, ERR_IO.
 */
int log_sink_init_files(struct log_sink *sink, struct str folder, struct str name, int64_t now_us);

/* Closes what log_sink_init_files opened. */
void log_sink_done(struct log_sink *sink);

/*
 * Writes whole lines, into the next file if the day or the size says so. False when some were lost
 * (counted in `lost`, errno in `error`); there is no second try for them.
 */
bool log_sink_write(struct log_sink *sink, struct str lines, int64_t now_us);

/* Opens the current file anew by its name. Nothing for a descriptor. */
void log_sink_reopen(struct log_sink *sink);

/* Counts the lines as lost. */
void log_sink_lose(struct log_sink *sink, struct str lines);

#endif
