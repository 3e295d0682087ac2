/*
 * Reading x.sql, line by line. A line that begins a section ends the one before; what a line means
 * never depends on the SQL around it, so that a mistake in a statement cannot hide a section.
 */
#include "store/migration_text.h"

#include "base/err.h"
#include "base/num.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>

enum { FOR_SQLITE = 1 << ENGINE_SQLITE, FOR_POSTGRES = 1 << ENGINE_POSTGRES };

static const struct str markers[] = {
	[ENGINE_SQLITE] = S_INIT("--sqlite:"),
	[ENGINE_POSTGRES] = S_INIT("--postgres:"),
};

/* The first line of a section. */
struct heading {
	bool down;
	int64_t number;
	unsigned engines; /* bits by enum engine_kind */
	struct str title;
};

struct reader {
	struct arena *arena;
	const struct migration_source *source;
	enum engine_kind engine;
	struct str text;
	size_t line; /* of the line under way, from 1 */

	struct heading heading; /* of the section under way; number 0: none yet */
	size_t start, body;     /* of it, in the text */
	size_t body_line;
	struct str beside;

	unsigned seen[2]; /* engines that the current number has sections for: up, down */
	struct migration *at;
	size_t count, room;
};

PRINTF_LIKE(3, 4)
static int wrong(const struct migration_source *source, size_t line, const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return fail(ERR_INVALID, "%s.sql:%zu: %s", source->module, line, text);
}

bool migration_module_is_sound(struct str name)
{
	if (name.len == 0 || name.len > MIGRATION_NAME_MAX || name.at[0] < 'a' || name.at[0] > 'z')
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (!((name.at[i] >= 'a' && name.at[i] <= 'z') || name.at[i] == '-' ||
			    (name.at[i] >= '0' && name.at[i] <= '9')))
			return false;
	return true;
}

/* --- versions ---------------------------------------------------------------- */

struct version {
	uint64_t parts[3];
	bool release; /* without a suffix */
};

static bool version_parse(struct str text, struct version *ret)
{
	struct str rest = text;
	struct str numbers = str_cut(&rest, '-');
	struct version version = { .release = rest.at == NULL };

	if (rest.at && rest.len == 0)
		return false;
	for (size_t i = 0; i < LEN(version.parts); i++)
		if (!numbers.at || !num_parse_u64(str_cut(&numbers, '.'), &version.parts[i]))
			return false;
	if (numbers.at)
		return false;
	*ret = version;
	return true;
}

bool version_is_sound(struct str text)
{
	struct version version;

	return version_parse(text, &version);
}

int version_compare(struct str a, struct str b)
{
	struct version left = { 0 }, right = { 0 };

	(void)version_parse(a, &left);
	(void)version_parse(b, &right);
	for (size_t i = 0; i < LEN(left.parts); i++)
		if (left.parts[i] != right.parts[i])
			return left.parts[i] < right.parts[i] ? -1 : 1;
	return (int)left.release - (int)right.release;
}

/* --- lines ------------------------------------------------------------------- */

/* Without blanks at its start. */
static struct str skip_blanks(struct str text)
{
	while (text.len && (text.at[0] == ' ' || text.at[0] == '\t'))
		text = str_from(text, 1);
	return text;
}

static bool starts_nocase(struct str text, struct str prefix)
{
	return str_eq_nocase(str_first(text, prefix.len), prefix);
}

/* The text of a line that is nothing but a comment; .at is NULL when it is something else. A line
 * for one engine is not a comment. */
static struct str comment_of(struct str line)
{
	struct str text = skip_blanks(line);

	for (size_t i = 0; i < LEN(markers); i++)
		if (str_starts(text, markers[i]))
			return str_of(NULL, 0);
	if (!str_starts(text, S("--")))
		return str_of(NULL, 0);
	text.at += 2;
	text.len -= 2;
	return str_trim(text);
}

static bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

/* True for a comment that somebody may take for the first line of a section. */
static bool looks_like_heading(struct str comment)
{
	struct str words[] = { S("up"), S("down") };

	for (size_t i = 0; i < LEN(words); i++) {
		struct str rest = str_from(comment, words[i].len);
		struct str number = skip_blanks(rest);

		if (starts_nocase(comment, words[i]) && number.len && is_digit(number.at[0]) &&
			number.len < rest.len)
			return true;
	}
	return false;
}

static int64_t take_number(struct str *rest)
{
	size_t digits = 0;
	uint64_t number;

	while (digits < rest->len && is_digit(rest->at[digits]))
		digits++;
	if (!num_parse_u64(str_first(*rest, digits), &number) || number > MIGRATIONS_MAX)
		return 0;
	*rest = str_from(*rest, digits);
	return (int64_t)number;
}

static unsigned take_engines(struct str *rest)
{
	static const struct str names[] = {
		[ENGINE_SQLITE] = S_INIT(" sqlite"),
		[ENGINE_POSTGRES] = S_INIT(" postgres"),
	};

	for (size_t i = 0; i < LEN(names); i++)
		if (str_starts(*rest, names[i])) {
			*rest = str_from(*rest, names[i].len);
			return 1U << i;
		}
	return FOR_SQLITE | FOR_POSTGRES;
}

/* "-- up 3 postgres: title", "-- down 3". False when it is not written so. */
static bool parse_heading(struct str line, struct heading *ret)
{
	struct str prefix = S("-- up ");
	struct heading heading = { 0 };
	struct str rest;

	if (str_starts(line, S("-- down "))) {
		prefix = S("-- down ");
		heading.down = true;
	} else if (!str_starts(line, prefix)) {
		return false;
	}
	rest = str_from(line, prefix.len);
	heading.number = take_number(&rest);
	heading.engines = take_engines(&rest);
	if (heading.number == 0)
		return false;
	if (!heading.down) {
		if (!str_starts(rest, S(": ")))
			return false;
		heading.title = str_trim(str_from(rest, 2));
		rest = str_of(NULL, 0);
		if (heading.title.len == 0 || heading.title.len > MIGRATION_TITLE_MAX)
			return false;
	}
	if (rest.len)
		return false;
	*ret = heading;
	return true;
}

/* --- a section as an engine sees it ---------------------------------------------- */

/* Which marker stands at the start of the text: an enum engine_kind, or -1. */
static int marker_at(struct str text)
{
	for (size_t i = 0; i < LEN(markers); i++)
		if (str_starts(text, markers[i]))
			return (int)i;
	return -1;
}

/* Blanks out the markers, and what is behind those of the other engine to the end of its line. */
static struct str view_of(struct reader *reader, struct str source)
{
	struct str copy = arena_str(reader->arena, source);
	char *at = (char *)copy.at;
	bool seen = true;

	for (size_t i = 0; at && i < copy.len; i++) {
		int marker = marker_at(str_from(source, i));

		if (marker >= 0) {
			seen = marker == (int)reader->engine;
			memset(at + i, ' ', markers[marker].len);
			i += markers[marker].len - 1;
		} else if (source.at[i] == '\n') {
			seen = true;
		} else if (!seen) {
			at[i] = ' ';
		}
	}
	return copy;
}

/* Without comments and blank lines at its end: they may belong to the next section, or be added
 * later. */
static struct str without_tail(struct str text)
{
	while (text.len) {
		size_t start = text.len;
		struct str line;

		while (start > 0 && text.at[start - 1] != '\n')
			start--;
		line = str_of(text.at + start, text.len - start);
		if (str_trim(line).len && !comment_of(line).at)
			break;
		text.len = start ? start - 1 : 0;
	}
	return text;
}

static void write_sum(struct str source, char *at)
{
	uint8_t sum[SHA256_LEN];

	digest(DIGEST_SHA256, without_tail(source), sum);
	for (size_t i = 0; i < sizeof(sum); i++)
		num_write_hex(at + 2 * i, sum[i], 2);
}

/* Puts the section under way, which ends at `end`, into its migration. */
static int end_section(struct reader *reader, size_t end)
{
	const struct heading *heading = &reader->heading;
	struct migration *migration;
	struct migration_part *part;

	if (heading->number == 0)
		return 0;
	migration = &reader->at[heading->number - 1];
	if (!heading->down && migration->title.len == 0)
		migration->title = heading->title;
	if (!(heading->engines & 1U << reader->engine))
		return 0;

	part = heading->down ? &migration->down : &migration->up;
	part->given = true;
	part->line = reader->body_line;
	part->text = view_of(reader, str_of(reader->text.at + reader->body, end - reader->body));
	if (!part->text.at)
		return -(int)err_last()->code;
	if (heading->down)
		return 0;
	migration->title = heading->title;
	migration->beside = reader->beside;
	write_sum(str_of(reader->text.at + reader->start, end - reader->start), migration->sum);
	return 0;
}

/* --- sections ---------------------------------------------------------------- */

static int add_migration(struct reader *reader)
{
	if (reader->count == reader->room) {
		size_t room = reader->room ? reader->room * 2 : 16;
		struct migration *at = arena_zalloc(reader->arena, room * sizeof(*at));

		if (!at)
			return -(int)err_last()->code;
		if (reader->count)
			memcpy(at, reader->at, reader->count * sizeof(*at));
		reader->at = at;
		reader->room = room;
	}
	reader->at[reader->count] = (struct migration){ .number = (int64_t)reader->count + 1 };
	write_sum(str_of(NULL, 0), reader->at[reader->count].sum);
	reader->count++;
	reader->seen[0] = reader->seen[1] = 0;
	return 0;
}

/* Up sections come in the order of their numbers, the down section of each behind it. */
static int begin_section(struct reader *reader, const struct heading *heading)
{
	int64_t current = (int64_t)reader->count;
	int r;

	if (!heading->down && heading->number == current + 1) {
		r = add_migration(reader);
		if (r < 0)
			return r;
	} else if (heading->number != current) {
		return wrong(reader->source, reader->line,
			"%s %lld stands behind up %lld: sections are numbered 1, 2, 3, without "
			"gaps, each down behind its up",
			heading->down ? "down" : "up", (long long)heading->number,
			(long long)current);
	}
	if (reader->seen[heading->down] & heading->engines)
		return wrong(reader->source, reader->line,
			"there is a section %s %lld for this engine already",
			heading->down ? "down" : "up", (long long)heading->number);
	reader->seen[heading->down] |= heading->engines;
	reader->heading = *heading;
	reader->beside = str_of(NULL, 0);
	return 0;
}

static int read_beside(struct reader *reader, struct str line, struct str comment)
{
	struct str prefix = S("-- runs beside ");
	struct str version = str_trim(str_from(comment, strlen("runs beside ")));

	if (reader->heading.number == 0 || reader->heading.down || reader->beside.len)
		return wrong(reader->source, reader->line,
			"\"runs beside\" belongs into an up section, once");
	if (!str_starts(line, prefix) || !version_is_sound(version))
		return wrong(reader->source, reader->line,
			"write -- runs beside X.Y.Z: the oldest version that may run beside it");
	reader->beside = version;
	return 0;
}

/* What somebody may take for a marker would be a comment for both engines. */
static bool has_mistyped_marker(struct str line)
{
	static const struct str mistyped[] = { S_INIT("-- sqlite:"), S_INIT("-- postgres:"),
		S_INIT("--postgresql:"), S_INIT("-- postgresql:"), S_INIT("--pg:"),
		S_INIT("--sqlite3:") };

	for (size_t i = 0; i < LEN(mistyped); i++)
		if (str_find(line, mistyped[i]) >= 0)
			return true;
	return false;
}

static int read_line(struct reader *reader, struct str line, size_t start)
{
	struct str comment = comment_of(line);
	struct heading heading;
	int r;

	if (parse_heading(line, &heading)) {
		r = end_section(reader, start);
		if (r == 0)
			r = begin_section(reader, &heading);
		reader->start = start;
		reader->body = MIN(start + line.len + 1, reader->text.len);
		reader->body_line = reader->line + 1;
		return r;
	}
	if (comment.at && looks_like_heading(comment))
		return wrong(reader->source, reader->line,
			"write -- up N: title, -- up N sqlite: title, -- down N or -- down N "
			"postgres; N is at most %d, a title has at most %d bytes",
			MIGRATIONS_MAX, MIGRATION_TITLE_MAX);
	if (comment.at && starts_nocase(comment, S("runs beside")))
		return read_beside(reader, line, comment);
	if (has_mistyped_marker(line))
		return wrong(reader->source, reader->line, "write --sqlite: or --postgres:");
	if (reader->heading.number == 0 && !comment.at && str_trim(line).len)
		return wrong(reader->source, reader->line,
			"only comments may stand before the first section");
	return 0;
}

/* --- the whole text ------------------------------------------------------------ */

/* Something that is no text, or that looks the same but is not. */
static int check_bytes(const struct migration_source *source, struct str text)
{
	size_t line = 1;

	if (text.len > MIGRATION_TEXT_MAX)
		return fail(ERR_INVALID, "%s.sql: longer than %d bytes", source->module,
			MIGRATION_TEXT_MAX);
	if (!utf8_valid(text))
		return fail(ERR_INVALID, "%s.sql: not UTF-8", source->module);
	for (size_t i = 0; i < text.len; i++) {
		unsigned char byte = (unsigned char)text.at[i];

		if (byte == '\n')
			line++;
		else if (byte == '\r')
			return wrong(source, line, "lines end with LF, not CR LF");
		else if ((byte < ' ' && byte != '\t') || byte == 0x7f)
			return wrong(source, line, "control byte 0x%02x", byte);
	}
	return 0;
}

int migration_parse(struct arena *arena, const struct migration_source *source,
	enum engine_kind engine, struct migrations *ret)
{
	struct reader reader = {
		.arena = arena, .source = source, .engine = engine, .text = str_from_c(source->text)
	};
	struct str rest = reader.text;
	int r = check_bytes(source, reader.text);

	while (r == 0 && rest.at) {
		size_t start = (size_t)(rest.at - reader.text.at);
		struct str line = str_cut(&rest, '\n');

		reader.line++;
		r = read_line(&reader, line, start);
	}
	if (r == 0)
		r = end_section(&reader, reader.text.len);
	if (r < 0)
		return r;
	*ret = (struct migrations){ source, reader.at, reader.count };
	return 0;
}

/* --- statements ---------------------------------------------------------------- */

static size_t count_lines(const char *from, const char *to)
{
	size_t count = 0;

	for (; from < to; from++)
		count += *from == '\n';
	return count;
}

/* The reason in the first `-- safe:` comment of something that is only comments and white space. */
static struct str find_reason(struct str gap)
{
	struct str rest = gap;

	while (rest.at) {
		struct str line = str_cut(&rest, '\n');
		ptrdiff_t dashes = str_find(line, S("--"));
		struct str comment;

		if (dashes < 0)
			continue;
		comment = str_trim(str_from(line, (size_t)dashes + 2));
		if (str_starts(comment, S("safe:")))
			return str_trim(str_from(comment, strlen("safe:")));
	}
	return str_of(NULL, 0);
}

/* Looks between the tokens of a statement and behind its semicolon, on the same line. */
static struct str reason_of(
	struct str text, struct str behind, const struct sql_token *tokens, size_t count)
{
	const char *end = text.at;
	struct str line = str_cut(&behind, '\n');
	struct str reason;

	for (size_t i = 0; i < count; i++) {
		const char *start =
			tokens[i].kind == SQL_END ? text.at + text.len : tokens[i].text.at;

		reason = find_reason(str_of(end, (size_t)(start - end)));
		if (reason.len)
			return reason;
		end = start + tokens[i].text.len;
	}
	line = skip_blanks(line);
	return str_starts(line, S("--")) ? find_reason(line) : str_of(NULL, 0);
}

int migration_tokens(struct arena *arena, struct str text, enum engine_kind engine,
	struct sql_token **ret, size_t *ret_count)
{
	struct sql_scan scan = { text, engine };
	size_t count = 0, room = 32;
	struct sql_token *at = arena_alloc(arena, room * sizeof(*at));
	int r;

	for (;;) {
		if (at && count == room) {
			struct sql_token *more = arena_alloc(arena, 2 * room * sizeof(*at));

			if (more)
				memcpy(more, at, count * sizeof(*at));
			at = more;
			room *= 2;
		}
		if (!at)
			return -(int)err_last()->code;
		r = sql_next(&scan, &at[count]);
		if (r < 0)
			return r;
		if (at[count++].kind == SQL_END)
			break;
	}
	*ret = at;
	*ret_count = count;
	return 0;
}

static int add_statement(struct arena *arena, enum engine_kind engine, struct str text,
	struct str behind, struct migration_statement *ret)
{
	struct sql_token *tokens = NULL;
	struct arena_mark mark;
	size_t count = 0;
	int r;

	if (text.len > SQL_TEXT_MAX)
		return fail(ERR_INVALID, "a statement of more than %d bytes", SQL_TEXT_MAX);
	ret->text = arena_str(arena, text);
	if (!ret->text.at)
		return -(int)err_last()->code;

	mark = arena_mark(arena);
	r = migration_tokens(arena, text, engine, &tokens, &count);
	if (r == 0)
		ret->safe = reason_of(text, behind, tokens, count);
	arena_back(arena, mark);
	return r;
}

/* Room for one more, zeroed. */
static struct migration_statement *next_statement(
	struct arena *arena, struct migration_statements *list, size_t *room)
{
	struct migration_statement *at = list->at;

	if (list->count == *room) {
		*room = *room ? *room * 2 : 8;
		at = arena_zalloc(arena, *room * sizeof(*at));
		if (at && list->count)
			memcpy(at, list->at, list->count * sizeof(*at));
		list->at = at;
	}
	return at ? &at[list->count] : NULL;
}

int migration_cut(struct arena *arena, const struct migration_source *source,
	const struct migration_part *part, enum engine_kind engine,
	struct migration_statements *ret)
{
	struct migration_statements list = { 0 };
	struct str rest = part->text, text;
	size_t room = 0, line = part->line;
	int r;

	while ((r = sql_cut(&rest, engine, &text)) > 0) {
		struct migration_statement *statement = next_statement(arena, &list, &room);

		if (!statement)
			return -(int)err_last()->code;
		line = statement->line = part->line + count_lines(part->text.at, text.at);
		r = add_statement(arena, engine, text, rest, statement);
		if (r == 0 && ++list.count > MIGRATION_STATEMENTS_MAX)
			r = fail(ERR_INVALID, "more than %d statements in a section",
				MIGRATION_STATEMENTS_MAX);
		if (r < 0)
			break;
	}
	if (r == -ERR_INVALID) {
		struct err err = *err_last();

		return wrong(source, line, "%s", err.frames[0].text);
	}
	if (r < 0)
		return r;
	*ret = list;
	return 0;
}

bool migration_is_concurrent(struct str statement, enum engine_kind engine)
{
	struct sql_scan scan = { statement, engine };
	struct sql_token token;
	bool found = false;

	if (engine != ENGINE_POSTGRES)
		return false;
	for (size_t i = 0; i < 4 && !found; i++) {
		if (sql_next(&scan, &token) < 0 || token.kind != SQL_WORD)
			return false;
		if (i == 0 && !sql_is(&token, "CREATE") && !sql_is(&token, "DROP"))
			return false;
		found = sql_is(&token, "CONCURRENTLY");
	}
	return found;
}
