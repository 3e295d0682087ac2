/* The reader of `.env` files: one pass, in place, no allocation. A quoted value is first measured
 * up to its closing quote and only then decoded, so that a quote that is never closed costs one
 * line. */
#include "dotenv.h"

#include "base/check.h"

static bool is_blank(char byte)
{
	return byte == ' ' || byte == '\t';
}

static bool is_control(char byte)
{
	return ((unsigned char)byte < 0x20 && byte != '\t') || byte == 0x7f;
}

static char *skip_blanks(char *at, const char *end)
{
	while (at < end && is_blank(*at))
		at++;
	return at;
}

struct dotenv dotenv_start(char *text, size_t len)
{
	struct dotenv dotenv = { text, text + len, 1 };

	if (str_starts(str_of(text, len), S("\xEF\xBB\xBF"))) /* a byte order mark */
		dotenv.at += 3;
	return dotenv;
}

/* The end of the line at `at`, its "\n" or "\r\n" not included; `*ret_next` is where the next one
 * starts. */
static char *line_end(char *at, char *end, char **ret_next)
{
	char *newline = memchr(at, '\n', (size_t)(end - at));
	char *stop = newline ? newline : end;

	*ret_next = newline ? newline + 1 : end;
	if (newline && stop > at && stop[-1] == '\r')
		stop--;
	return stop;
}

/* The byte an escape stands for, 0 for an unknown one. */
static char unescape(char byte)
{
	switch (byte) {
	case 'n': return '\n';
	case 'r': return '\r';
	case 't': return '\t';
	case '"':
	case '\\':
	case '$': return byte;
	default: return 0;
	}
}

/* The closing quote for the one at `at`, or NULL. */
static char *closing_quote(char *at, char *end)
{
	char quote = *at;

	for (at++; at < end; at++) {
		if (*at == quote)
			return at;
		if (quote == '"' && *at == '\\')
			at++;
	}
	return NULL;
}

/* Decodes what stands between the quotes in place; returns the problem or NULL. */
static const char *decode(char *open, char *close, struct str *ret)
{
	char *to = open + 1;

	for (char *from = open + 1; from < close; from++) {
		char byte = *from;

		if (byte == '\r' && from[1] == '\n') /* a line end; close is behind */
			continue;
		if (byte != '\n' && is_control(byte))
			return "holds a control character";
		if (*open == '"' && byte == '\\') {
			byte = unescape(*++from);
			if (!byte)
				return "holds an unknown escape (known are \\n \\r \\t \\\" \\\\ "
				       "\\$; single quotes take a backslash as it is)";
		}
		*to++ = byte;
	}

	*ret = str_of(open + 1, (size_t)(to - open - 1));
	return NULL;
}

static unsigned count_lines(const char *at, const char *end)
{
	unsigned lines = 0;

	while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		lines++;
		at++;
	}
	return lines;
}

/* A value in quotes that starts at `at`. Moves the reader behind its last line. */
static const char *read_quoted(struct dotenv *dotenv, char *at, struct str *ret)
{
	char *close = closing_quote(at, dotenv->end);
	char *rest, *stop, *next;

	if (!close)
		return "has a quote that is never closed";

	stop = line_end(close + 1, dotenv->end, &next);
	rest = skip_blanks(close + 1, stop);
	if (rest < stop && *rest != '#')
		return "has text behind the closing quote";

	dotenv->line += count_lines(dotenv->at, next);
	dotenv->at = next;
	return decode(at, close, ret);
}

/* A value without quotes, from `at` to the end of its line or its comment. */
static const char *read_plain(char *at, char *stop, struct str *ret)
{
	char *end = at;

	for (; end < stop; end++) {
		if (*end == '#' && is_blank(end[-1])) /* "=" stands before the first */
			break;
		if (is_control(*end))
			return "holds a control character";
	}

	*ret = str_trim(str_of(at, (size_t)(end - at)));
	return NULL;
}

static bool is_name_byte(char byte, bool first)
{
	return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || byte == '_' ||
	       (!first && byte >= '0' && byte <= '9');
}

/* The name at `*at`, which moves behind the "="; empty when there is none. */
static struct str read_name(char **at, char *stop)
{
	char *start = *at;
	char *end;

	if (str_starts(str_of(start, (size_t)(stop - start)), S("export")) && stop - start > 6 &&
		is_blank(start[6]))
		start = skip_blanks(start + 6, stop);

	end = start;
	while (end < stop && is_name_byte(*end, end == start))
		end++;
	*at = skip_blanks(end, stop);
	if (*at == stop || **at != '=' || end - start > DOTENV_NAME_MAX)
		return str_of(NULL, 0);

	++*at;
	return str_of(start, (size_t)(end - start));
}

/* The assignment on the line from `at` to `stop`; the reader stands at that line. */
static void read_item(
	struct dotenv *dotenv, char *at, char *stop, char *next, struct dotenv_item *ret)
{
	const char *before = dotenv->at;

	*ret = (struct dotenv_item){ .line = dotenv->line };
	ret->name = read_name(&at, stop);
	if (ret->name.len == 0) {
		ret->problem = "is not NAME=value (letters, digits and _ in the name)";
	} else {
		at = skip_blanks(at, stop);
		if (at < stop && (*at == '"' || *at == '\''))
			ret->problem = read_quoted(dotenv, at, &ret->value);
		else
			ret->problem = read_plain(at, stop, &ret->value);
	}

	if (dotenv->at == before) {
		dotenv->at = next;
		dotenv->line++;
	}
}

bool dotenv_next(struct dotenv *dotenv, struct dotenv_item *ret)
{
	while (dotenv->at < dotenv->end) {
		char *next;
		char *stop = line_end(dotenv->at, dotenv->end, &next);
		char *at = skip_blanks(dotenv->at, stop);

		if (at < stop && *at != '#') {
			read_item(dotenv, at, stop, next, ret);
			return true;
		}
		dotenv->at = next;
		dotenv->line++;
	}
	return false;
}
