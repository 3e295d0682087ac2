/* Codes to errors. What a caller may wait out is 503; what only an operator can mend is ERR_IO. */
#include "store/sqlite_error.h"

#include <errno.h>

/* By primary code; the first text is ours, SQLite's own follows. */
static const struct {
	int code;
	enum err_code err;
	const char *text;
} rows[] = {
	{ SQLITE_BUSY, ERR_UNAVAILABLE, "another program holds the database" },
	{ SQLITE_LOCKED, ERR_UNAVAILABLE, "another program holds the database" },
	{ SQLITE_NOMEM, ERR_NO_MEMORY, "no memory for the database" },
	{ SQLITE_READONLY, ERR_IO, "the database cannot be written" },
	{ SQLITE_INTERRUPT, ERR_CANCELLED, "interrupted" },
	{ SQLITE_IOERR, ERR_IO, "the disk of the database failed" },
	{ SQLITE_CORRUPT, ERR_IO, "the database file is corrupt" },
	{ SQLITE_NOTADB, ERR_IO, "the file is not a database" },
	{ SQLITE_FULL, ERR_UNAVAILABLE, "the disk is full" },
	{ SQLITE_CANTOPEN, ERR_IO, "the database file cannot be opened" },
	{ SQLITE_PERM, ERR_IO, "the database file cannot be opened" },
	{ SQLITE_TOOBIG, ERR_TOO_LARGE, "a value is too large" },
};

static bool is_no_room(int number)
{
	return number == ENOSPC || number == EDQUOT || number == EFBIG;
}

/* A quota, or a limit on the size of files, is a full disk to us. SQLite remembers the system's
 * number of a statement's error but not of a commit's; there it is still in errno. */
static bool means_full(sqlite3 *db, int code, int number)
{
	return (code & 0xFF) == SQLITE_IOERR &&
	       (is_no_room(number) || (db && is_no_room(sqlite3_system_errno(db))));
}

int sqlite_fail(sqlite3 *db, int code)
{
	int number = errno;
	const char *said = db ? sqlite3_errmsg(db) : sqlite3_errstr(code);

	if (means_full(db, code, number))
		code = SQLITE_FULL;
	for (size_t i = 0; i < LEN(rows); i++)
		if (rows[i].code == (code & 0xFF))
			return fail(rows[i].err, "%s (%s, code %d)", rows[i].text, said, code);
	return fail(ERR_INTERNAL, "%s (code %d)", said, code);
}

bool sqlite_lost_trust(int code)
{
	return (code & 0xFF) == SQLITE_IOERR || (code & 0xFF) == SQLITE_CORRUPT;
}

/* "UNIQUE constraint failed: note.tenant_id, note.slug" blames slug; "... failed: index 'x'" has no
 * column, but a name. */
static struct str blamed(struct str said)
{
	ptrdiff_t colon = str_find(said, S("failed: "));
	struct str rest = colon < 0 ? said : str_from(said, (size_t)colon + 8), last = rest;
	ptrdiff_t dot;

	if (str_starts(rest, S("index '")) && str_ends(rest, S("'")))
		return str_of(rest.at + 7, rest.len - 8);
	while (rest.at)
		last = str_trim(str_cut(&rest, ','));
	dot = str_find_byte(last, '.');
	return dot < 0 ? last : str_from(last, (size_t)dot + 1);
}

int sqlite_fail_constraint(sqlite3 *db, int code, const struct statement *statement)
{
	struct str said = str_from_c(sqlite3_errmsg(db));
	ptrdiff_t colon = str_find(said, S("failed: "));

	switch (code) {
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
		return fail_constraint(CONSTRAINT_UNIQUE, statement, blamed(said));
	case SQLITE_CONSTRAINT_NOTNULL:
		return fail_constraint(CONSTRAINT_REQUIRED, statement, blamed(said));
	case SQLITE_CONSTRAINT_CHECK: /* its name, or its text */
		return fail_constraint(CONSTRAINT_CHECK, statement,
			colon < 0 ? said : str_from(said, (size_t)colon + 8));
	case SQLITE_CONSTRAINT_TRIGGER: /* what RAISE said */
		return fail_constraint(CONSTRAINT_CHECK, statement, said);
	default: return sqlite_fail(db, code);
	}
}
