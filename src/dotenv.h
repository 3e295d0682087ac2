/*
 * The `.env` format: one `NAME=value` a line, as the dotenv libraries of other languages read it.
 *
 *     # a comment, and blank lines
 *     export NAME=value          "export" is allowed and means nothing
 *     NAME = two words # note    unquoted: trimmed, a comment begins at # behind a blank
 *     NAME='as $it is'           single quotes: literal
 *     NAME="one\ntwo"            double quotes: \n \r \t \" \\ \$
 *
 * Quoted values may go over several lines. Nothing is expanded. Where those libraries guess, this
 * reader refuses: an unknown escape, text behind a closing quote, a line without "=", control
 * characters.
 */
#ifndef DOTENV_H
#define DOTENV_H

#include "base/str.h"

enum { DOTENV_NAME_MAX = 128 }; /* bytes of a name */

/* A place in the text. */
struct dotenv {
	char *at, *end;
	unsigned line; /* of `at`, from 1 */
};

/* One assignment, or one thing that is wrong. */
struct dotenv_item {
	struct str name;  /* empty when the problem comes before it */
	struct str value; /* without quotes and escapes; empty with a problem */
	unsigned line;    /* where it starts */
	const char
		*problem; /* NULL, or what is wrong: static text that quotes nothing of the file */
};

/*
 * Starts at the beginning of the text, which is the caller's and is overwritten: escapes are
 * undone in place, so nothing is allocated and a secret is in one place only.
 */
struct dotenv dotenv_start(char *text, size_t len);

/*
 * Reads on to the next item; false at the end. Names and values point into the text. After a
 * problem it goes on with the next line, so one pass finds them all.
 */
bool dotenv_next(struct dotenv *dotenv, struct dotenv_item *ret);

#endif
