/* Paths as text, and problems at them. */
#include "schema/report.h"

#include "base/err.h"
#include "base/num.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>

enum { SEGMENTS_MAX = 64, MESSAGE_MAX = 400 };

/* A name from outside, no longer than PROBLEM_NAME_MAX and cut between characters. */
static struct str shorten(struct str name)
{
	size_t len = PROBLEM_NAME_MAX;

	if (name.len <= len)
		return name;
	while (len > 0 && ((unsigned char)name.at[len] & 0xC0) == 0x80)
		len--;
	return str_first(name, len);
}

static size_t segment_len(const struct path *path)
{
	return path->name.at ? shorten(path->name).len : (size_t)NUM_TEXT_MAX;
}

static char *put_segment(char *at, const struct path *path)
{
	struct str name = shorten(path->name);

	if (!path->name.at)
		return at + num_write_u64(at, path->index);
	memcpy(at, name.at, name.len);
	return at + name.len;
}

/* "items.0.email" in the arena; NULL pointer without memory. */
static struct str path_text(const struct path *path, struct arena *arena)
{
	const struct path *segments[SEGMENTS_MAX];
	size_t count = 0, room = 1;
	char *text, *at;

	for (; path && path->up && count < SEGMENTS_MAX; path = path->up) {
		segments[count++] = path;
		room += segment_len(path) + 1;
	}

	text = at = arena_alloc(arena, room);
	if (!text)
		return str_of(NULL, 0);
	while (count-- > 0) {
		at = put_segment(at, segments[count]);
		if (count > 0)
			*at++ = '.';
	}
	return str_of(text, (size_t)(at - text));
}

int report_at(
	struct report *report, const struct path *path, const char *code, const char *format, ...)
{
	char message[MESSAGE_MAX];
	struct str field;
	va_list args;

	report->found++;
	if (!report->problems)
		return 0;
	if (report->problems->count == PROBLEMS_MAX) {
		report->problems->more++;
		return 0;
	}

	va_start(args, format);
	(void)vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	field = path_text(path, report->arena);
	if (!field.at)
		return -(int)err_last()->code;
	return problems_add(report->problems, field, code, "%s", message);
}
