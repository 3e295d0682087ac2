/* Looks a password up among the breached ones: binary search in a sorted file, or in memory. */
#include "modules/auth/auth_password_list.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/num.h"
#include "crypto/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	HEX_LEN = 2 * SHA1_LEN,
	LINE_ROOM = 128, /* bytes of a line of digests: 40, a colon, a count, the end of line */
};

static void digest_hex(struct str password, char hex[HEX_LEN])
{
	uint8_t bytes[SHA1_LEN];

	digest(DIGEST_SHA1, password, bytes);
	for (size_t i = 0; i < sizeof(bytes); i++)
		num_write_hex(hex + 2 * i, bytes[i], 2);
}

static uint64_t digest_prefix(struct str password)
{
	uint8_t bytes[SHA1_LEN];
	uint64_t prefix;

	digest(DIGEST_SHA1, password, bytes);
	memcpy(&prefix, bytes, sizeof(prefix));
	return prefix;
}

/* --- sorted digests -------------------------------------------------------------------- */

/* True for "HEX" or "HEX:COUNT"; its digits, small, go to `hex`. */
static bool parse_line(struct str line, char hex[HEX_LEN])
{
	if (line.len && line.at[line.len - 1] == '\r')
		line.len--;
	if (line.len < HEX_LEN || (line.len > HEX_LEN && line.at[HEX_LEN] != ':'))
		return false;
	for (size_t i = 0; i < HEX_LEN; i++) {
		int digit = num_hex_digit(line.at[i]);

		if (digit < 0)
			return false;
		num_write_hex(hex + i, (uint64_t)digit, 1);
	}
	return true;
}

/*
 * The first line that begins at `from` or later: where it begins, and its digest. 0 when there is
 * none before `end`.
 */
static int line_from(const struct password_list *list, uint64_t from, uint64_t end,
	uint64_t *ret_start, uint64_t *ret_next, char hex[HEX_LEN])
{
	char room[2 * LINE_ROOM];
	uint64_t read_from = from ? from - 1 : 0; /* the end of the line before */
	ssize_t got = pread(list->fd, room, sizeof(room), (off_t)read_from);
	struct str text;
	ptrdiff_t at;

	if (got < 0)
		return fail(ERR_IO, "the file of breached passwords: %s", err_errno_text(errno));
	text = str_of(room, (size_t)got);
	if (from) {
		at = str_find_byte(text, '\n');
		if (at < 0 && read_from + text.len < list->size)
			return fail(ERR_IO, "the file of breached passwords has a long line");
		text = at < 0 ? str_of(NULL, 0) : str_from(text, (size_t)at + 1);
	}
	*ret_start = read_from + (size_t)got - text.len;
	if (text.len == 0 || *ret_start >= end)
		return 0;
	at = str_find_byte(text, '\n');
	*ret_next = at < 0 ? list->size : *ret_start + (uint64_t)at + 1;
	if (!parse_line(at < 0 ? text : str_first(text, (size_t)at), hex))
		return fail(ERR_IO, "the file of breached passwords has a line that is no digest");
	return 1;
}

static int search_file(const struct password_list *list, struct str password)
{
	char wanted[HEX_LEN], found[HEX_LEN];
	uint64_t low = 0, high = list->size; /* the line begins within, if it is there */

	digest_hex(password, wanted);
	while (low < high) {
		uint64_t middle = low + (high - low) / 2, start = 0, next = 0;
		int r = line_from(list, middle, high, &start, &next, found), order;

		if (r < 0)
			return r;
		order = r ? memcmp(wanted, found, HEX_LEN) : -1;
		if (order == 0)
			return 1;
		if (order < 0)
			high = middle;
		else
			low = next;
	}
	return 0;
}

/* --- passwords -------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static int add_prefix(struct password_list *list, uint64_t prefix)
{
	if (list->count == list->room) {
		size_t room = list->room ? 2 * list->room : 1024;
		uint64_t *more = mem_resize(
			list->prefixes, list->room * sizeof(*more), room * sizeof(*more));

		if (!more)
			return -ERR_NO_MEMORY;
		list->prefixes = more;
		list->room = room;
	}
	list->prefixes[list->count++] = prefix;
	return 0;
}

static int load_line(struct password_list *list, const char *path, char *line)
{
	size_t len = strlen(line);

	if (len + 1 == PASSWORD_LIST_LINE_MAX)
		return fail(ERR_INVALID, "%s: line %zu is too long", path, list->count + 1);
	while (len && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	if (len == 0)
		return 0;
	if (list->count == PASSWORD_LIST_MAX)
		return fail(ERR_TOO_LARGE,
			"%s: more than %d passwords; use sorted SHA-1 digests for so many", path,
			PASSWORD_LIST_MAX);
	return add_prefix(list, digest_prefix(str_of(line, len)));
}

static int load(struct password_list *list, const char *path, FILE *file)
{
	char line[PASSWORD_LIST_LINE_MAX];
	int r = 0;

	while (r == 0 && fgets(line, sizeof(line), file))
		r = load_line(list, path, line);
	if (r == 0 && ferror(file))
		r = fail(ERR_INVALID, "%s: %s", path, err_errno_text(errno));
	if (list->count)
		qsort(list->prefixes, list->count, sizeof(*list->prefixes), compare);
	return r;
}

/* --- open and close ------------------------------------------------------------------------ */

static bool begins_with_digest(FILE *file)
{
	char line[LINE_ROOM], hex[HEX_LEN];
	bool is = fgets(line, sizeof(line), file) &&
		  parse_line(str_first(str_from_c(line), strcspn(line, "\n")), hex);

	rewind(file);
	return is;
}

int password_list_open(const char *path, struct password_list *ret)
{
	struct password_list list = { .fd = -1 };
	struct stat stat;
	FILE *file;
	int r = 0;

	if (!path) {
		*ret = list;
		return 0;
	}
	file = fopen(path, "re");
	if (!file)
		return fail(ERR_INVALID, "%s: %s", path, err_errno_text(errno));
	if (fstat(fileno(file), &stat) < 0 || !S_ISREG(stat.st_mode))
		r = fail(ERR_INVALID, "%s is not a file", path);
	else if (!begins_with_digest(file))
		r = load(&list, path, file);
	else if ((list.fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		r = fail(ERR_INVALID, "%s: %s", path, err_errno_text(errno));
	else
		list.size = (uint64_t)stat.st_size;
	(void)fclose(file);

	if (r < 0)
		password_list_close(&list);
	else
		*ret = list;
	return r;
}

void password_list_close(struct password_list *list)
{
	if (list->fd >= 0)
		(void)close(list->fd);
	mem_free(list->prefixes, list->room * sizeof(*list->prefixes));
	*list = (struct password_list){ .fd = -1 };
}

int password_list_has(const struct password_list *list, struct str password)
{
	uint64_t prefix;

	if (list->fd >= 0)
		return search_file(list, password);
	if (list->count == 0)
		return 0;
	prefix = digest_prefix(password);
	return bsearch(&prefix, list->prefixes, list->count, sizeof(prefix), compare) != NULL;
}
