/* The list of problems: bounded, on the arena, in the order of discovery. */
#include "schema/problem.h"

#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

enum { MESSAGE_MAX = 400, FIRST_ROOM = 8 };

void problems_init(struct problems *problems, struct arena *arena)
{
	*problems = (struct problems){ .arena = arena };
}

/* Room for one more: the array doubles from FIRST_ROOM on. */
static int make_room(struct problems *problems)
{
	size_t count = problems->count;
	struct problem *grown;

	if (count != 0 && (count < FIRST_ROOM || (count & (count - 1)) != 0))
		return 0;

	grown = arena_alloc(problems->arena,
		sizeof(*grown) * (count < FIRST_ROOM ? (size_t)FIRST_ROOM : 2 * count));
	if (!grown)
		return -(int)err_last()->code;
	if (count)
		memcpy(grown, problems->at, count * sizeof(*grown));
	problems->at = grown;
	return 0;
}

int problems_add(
	struct problems *problems, struct str field, const char *code, const char *format, ...)
{
	char text[MESSAGE_MAX];
	struct str message;
	va_list args;
	int len;

	if (problems->count == PROBLEMS_MAX) {
		problems->more++;
		return 0;
	}

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	CHECK(len >= 0);
	message = arena_str(problems->arena, str_of(text, MIN((size_t)len, sizeof(text) - 1)));
	if (!message.at || make_room(problems) < 0)
		return -(int)err_last()->code;

	problems->at[problems->count++] =
		(struct problem){ .field = field, .message = message, .code = code };
	return 0;
}

static void write_problem(
	struct json_writer *writer, struct str field, struct str message, const char *code)
{
	json_write_object(writer);
	json_write_key(writer, S("field"));
	json_write_string(writer, field);
	json_write_key(writer, S("message"));
	json_write_string(writer, message);
	json_write_key(writer, S("code"));
	json_write_string(writer, str_from_c(code));
	json_write_object_end(writer);
}

void problems_write(const struct problems *problems, struct json_writer *writer)
{
	char text[64];
	int len;

	json_write_array(writer);
	for (size_t i = 0; i < problems->count; i++)
		write_problem(writer, problems->at[i].field, problems->at[i].message,
			problems->at[i].code);
	if (problems->more) {
		len = snprintf(text, sizeof(text), "and %zu more problems", problems->more);
		write_problem(writer, S(""), str_of(text, (size_t)len), PROBLEM_TOO_MANY);
	}
	json_write_array_end(writer);
}
