/* What loading found: notes in an arena, bounded in number and size, and their two forms. */
#include "config_value.h"

#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

enum { MESSAGE_MAX = 1024 }; /* bytes; longer ones are cut */

PRINTF_LIKE(4, 0)
static void add_note(struct config_report *report, bool warning, struct str name,
	const char *format, va_list args)
{
	struct config_note *note;
	char text[MESSAGE_MAX];

	(void)vsnprintf(text, sizeof(text), format, args);
	if (warning)
		report->warnings++;
	else
		report->problems++;
	if (report->problems + report->warnings > CONFIG_NOTES_MAX) {
		report->unlisted++;
		return;
	}

	note = arena_new(&report->arena, struct config_note);
	if (note) {
		note->warning = warning;
		note->name = arena_str(&report->arena, name);
		note->message = arena_str(&report->arena, str_from_c(text));
	}
	if (!note || !note->name.at || !note->message.at) {
		report->failed = -(int)err_last()->code;
		return;
	}

	*report->last = note;
	report->last = &note->next;
}

void config_problem(struct config_report *report, struct str name, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_note(report, false, name, format, args);
	va_end(args);
}

void config_warning(struct config_report *report, struct str name, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_note(report, true, name, format, args);
	va_end(args);
}

bool config_sound(const struct config_report *report, struct str name)
{
	for (const struct config_note *note = report->first; note; note = note->next)
		if (!note->warning && str_eq(note->name, name))
			return false;
	return true;
}

void config_report_done(struct config_report *report)
{
	arena_done(&report->arena);
	report->first = NULL;
	report->last = &report->first;
}

static void write_lines(const struct config_report *report, bool warnings, struct buf *out)
{
	for (const struct config_note *note = report->first; note; note = note->next) {
		if (note->warning != warnings)
			continue;
		buf_append(out, warnings ? S("warning: ") : S("problem: "));
		buf_append(out, note->name);
		buf_byte(out, ' ');
		buf_append(out, note->message);
		buf_byte(out, '\n');
	}
}

void config_report_write(const struct config_report *report, struct buf *out)
{
	write_lines(report, false, out);
	write_lines(report, true, out);
	if (report->unlisted)
		buf_printf(out, "and %zu more\n", report->unlisted);
}

static void write_json_list(const struct config_report *report, bool warnings, struct buf *out)
{
	bool first = true;

	buf_byte(out, '[');
	for (const struct config_note *note = report->first; note; note = note->next) {
		if (note->warning != warnings)
			continue;
		buf_append(out, first ? S("{\"name\":") : S(",{\"name\":"));
		config_json_text(note->name, out);
		buf_append(out, S(",\"message\":"));
		config_json_text(note->message, out);
		buf_byte(out, '}');
		first = false;
	}
	buf_byte(out, ']');
}

void config_report_write_json(const struct config_report *report, struct buf *out)
{
	buf_append(out, report->problems ? S("{\"valid\":false") : S("{\"valid\":true"));
	buf_append(out, S(",\"problems\":"));
	write_json_list(report, false, out);
	buf_append(out, S(",\"warnings\":"));
	write_json_list(report, true, out);
	buf_printf(out, ",\"unlisted\":%zu}\n", report->unlisted);
}
