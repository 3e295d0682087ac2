/* The table of codes and the error slot of the current fiber. Allocates nothing, so that running
 * out of memory can be reported like everything else. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

#define ERR_ROW(code_name, http, wire_code, retry, sentence)                                       \
	[ERR_##code_name] = { .name = #code_name,                                                  \
		.status = http,                                                                    \
		.wire = S_INIT(wire_code),                                                         \
		.retryable = retry,                                                                \
		.text = S_INIT(sentence) },
static const struct err_info table[ERR_CODES] = { [ERR_OK] = { .name = "OK", .status = 200 },
	ERR_TABLE(ERR_ROW) };
#undef ERR_ROW

static _Thread_local struct err thread_slot;
static _Thread_local struct err *slot;

static struct err *current(void)
{
	return slot ? slot : &thread_slot;
}

const struct err_info *err_info(int code)
{
	int index = code < 0 ? -code : code;

	return index < ERR_CODES ? &table[index] : &table[ERR_INTERNAL];
}

PRINTF_LIKE(4, 0)
static void fill(
	struct err_frame *frame, const char *file, int line, const char *format, va_list args)
{
	frame->file = file;
	frame->line = line;
	(void)vsnprintf(frame->text, sizeof(frame->text), format, args);
}

int err_set(enum err_code code, const char *file, int line, const char *format, ...)
{
	struct err *err = current();
	struct err_frame frame; /* the arguments may point into the slot */
	va_list args;

	va_start(args, format);
	fill(&frame, file, line, format, args);
	va_end(args);

	err->code = code;
	err->depth = 1;
	err->field[0] = 0;
	err->rule[0] = 0;
	err->frames[0] = frame;
	return -(int)code;
}

int err_add(const char *file, int line, const char *format, ...)
{
	struct err *err = current();
	struct err_frame frame;
	va_list args;

	CHECK(err->code != ERR_OK);

	va_start(args, format);
	fill(&frame, file, line, format, args);
	va_end(args);

	if (err->depth < ERR_FRAMES)
		err->depth++;
	err->frames[err->depth - 1] = frame;
	return -(int)err->code;
}

int err_blame(const char *field, const char *rule)
{
	struct err *err = current();

	(void)snprintf(err->field, sizeof(err->field), "%s", field);
	(void)snprintf(err->rule, sizeof(err->rule), "%s", rule);
	return -(int)err->code;
}

int err_restore(const struct err *err)
{
	*current() = *err;
	return -(int)err->code;
}

const struct err *err_last(void)
{
	return current();
}

const char *err_text(void)
{
	const struct err *err = current();

	return err->depth ? err->frames[err->depth - 1].text : "";
}

size_t err_describe(const struct err *err, char *at, size_t size)
{
	size_t len = 0;

	CHECK(size > 0);
	at[0] = 0;

	for (unsigned i = err->depth; i-- > 0 && len + 1 < size;) {
		int wrote = snprintf(
			at + len, size - len, "%s%s", len ? ": " : "", err->frames[i].text);

		if (wrote > 0)
			len = MIN(len + (size_t)wrote, size - 1);
	}
	return len;
}

struct err *err_slot_swap(struct err *next)
{
	struct err *former = slot;

	slot = next;
	return former;
}

const char *err_errno_text(int number)
{
	const char *text = strerrordesc_np(number);

	return text ? text : "unknown error";
}
