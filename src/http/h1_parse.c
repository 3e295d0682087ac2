/*
 * Scanner and parser of request heads. Two passes over each byte: the scan finds the end and
 * refuses control bytes early, the parse takes the lines apart. Promises: linear time however the
 * bytes arrive, no allocation, the same verdict for the same bytes. Does not decode the target and
 * does not read the body.
 */
#include "http/h1_parse.h"

#include "base/err.h"
#include "base/num.h"
#include "http/chars.h"

/* --- scan -------------------------------------------------------------------- */

/* Before the request line: at most one empty line, then a byte that can start a method. */
static int scan_start(struct h1_scan *scan, struct str input)
{
	if (input.len && input.at[0] == '\r') {
		if (input.len == 1)
			return 0;
		if (input.at[1] != '\n')
			return fail(ERR_INVALID, "a carriage return without a line feed");
		scan->line = 2;
	}
	if (scan->line == input.len)
		return 0;
	if (!char_is(input.at[scan->line], CHAR_TOKEN))
		return fail(ERR_INVALID, "byte 0x%02x cannot start a request",
			(unsigned char)input.at[scan->line]);

	scan->at = scan->line;
	scan->begun = true;
	return 1;
}

static int line_too_long(const struct h1_scan *scan, struct str input)
{
	struct str line = str_of(input.at + scan->line, scan->at - scan->line);

	if (scan->fields)
		return fail(ERR_HEAD_TOO_LARGE, "a field line is too long");
	(void)chars_cut_token(&line);
	return line.len && line.at[0] == ' '
		       ? fail(ERR_TARGET_TOO_LONG, "the request line is too long")
		       : fail(ERR_INVALID, "the request line does not start with a method");
}

/*
 * Looks for the end of the current line in the first `end` bytes. Returns 1 with `at` behind its
 * CRLF, 0 when it is not there yet.
 */
static int scan_line(struct h1_scan *scan, struct str input, size_t limit)
{
	size_t most = scan->line + limit + 1; /* the CR stands before this */
	size_t end = MIN(input.len, most);

	do {
		scan->at = chars_find_control(input.at, scan->at, end);
	} while (scan->at < end && input.at[scan->at] == '\t' && ++scan->at);

	if (scan->at == most)
		return line_too_long(scan, input);
	if (scan->at == end)
		return 0;
	if (input.at[scan->at] == '\n')
		return fail(ERR_INVALID, "a line feed without a carriage return");
	if (input.at[scan->at] != '\r')
		return fail(ERR_INVALID, "control byte 0x%02x in the head",
			(unsigned char)input.at[scan->at]);
	if (scan->at + 1 == input.len)
		return 0;
	if (input.at[scan->at + 1] != '\n')
		return fail(ERR_INVALID, "a carriage return without a line feed");

	scan->at += 2;
	return 1;
}

ptrdiff_t h1_head_scan(struct h1_scan *scan, struct str input, const struct h1_limits *limits)
{
	bool full = input.len >= limits->head;
	int r = 1;

	input = str_first(input, limits->head);
	if (!scan->begun)
		r = scan_start(scan, input);

	while (r > 0) {
		r = scan_line(scan, input, scan->fields ? limits->field : limits->line);
		if (r <= 0)
			break;
		if (scan->fields && scan->at == scan->line + 2)
			return (ptrdiff_t)scan->at;
		scan->line = scan->at;
		scan->fields = true;
	}

	return r == 0 && full ? fail(ERR_HEAD_TOO_LARGE, "the head is too large") : r;
}

/* --- names ------------------------------------------------------------------- */

struct str http_method_text(enum http_method method)
{
#define METHOD_TEXT(name) [HTTP_##name] = S_INIT(#name),
	static const struct str texts[] = { HTTP_METHODS(METHOD_TEXT) };
#undef METHOD_TEXT

	CHECK(method < HTTP_METHODS_COUNT);
	return texts[method];
}

bool http_method_of(struct str text, enum http_method *ret_method)
{
#define METHOD_CASE(name)                                                                          \
	if (text.len == sizeof(#name) - 1 && memcmp(text.at, #name, sizeof(#name) - 1) == 0) {     \
		*ret_method = HTTP_##name;                                                         \
		return true;                                                                       \
	}
	HTTP_METHODS(METHOD_CASE)
#undef METHOD_CASE
	return false;
}

enum { H1_ONCE = 1, H1_HOP = 2, KNOWN_SLOTS = 128 };

struct known_row {
	struct str name;
	unsigned flags;
};

#define KNOWN_ROW(id, name, first, last, flags) [H1_##id] = { S_INIT(name), flags },
static const struct known_row known_rows[H1_KNOWN_COUNT] = { H1_KNOWN_FIELDS(KNOWN_ROW) };
#undef KNOWN_ROW

/* Perfect over the table: two rows in one slot do not compile (an initializer is overridden). */
#define KNOWN_SLOT(len, first, last)                                                               \
	(((size_t)(len) + 29 * (size_t)(first) + 32 * (size_t)(last)) % KNOWN_SLOTS)

#define KNOWN_AT(id, name, first, last, flags)                                                     \
	[KNOWN_SLOT(sizeof(name) - 1, first, last)] = H1_##id,
static const uint8_t known_slots[KNOWN_SLOTS] = { H1_KNOWN_FIELDS(KNOWN_AT) };
#undef KNOWN_AT

#define KNOWN_BIT(id, name, first, last, flags) | ((uint64_t)(((flags)&H1_ONCE) != 0) << H1_##id)
static const uint64_t once_fields = 0 H1_KNOWN_FIELDS(KNOWN_BIT);
#undef KNOWN_BIT

/*
 * `at` is a token, `lower` has letters a to z, digits and '-' only. No other token byte than the
 * upper-case letter becomes one of these when its bit 0x20 is set. Both have at least two bytes.
 */
static bool same_name(const char *at, const char *lower, size_t len)
{
	const uint64_t fold = 0x2020202020202020u;
	uint64_t a, b;

	if (len < 8) {
		for (size_t i = 0; i < len; i++)
			if ((at[i] | 0x20) != lower[i])
				return false;
		return true;
	}

	for (size_t i = 0; i + 8 < len; i += 8) {
		memcpy(&a, at + i, 8);
		memcpy(&b, lower + i, 8);
		if ((a | fold) != b)
			return false;
	}
	memcpy(&a, at + len - 8, 8);
	memcpy(&b, lower + len - 8, 8);
	return (a | fold) == b;
}

/* For a name that is known to be a token. */
static enum h1_known known_of_token(struct str name)
{
	size_t slot = KNOWN_SLOT(name.len, (unsigned char)name.at[0] | 0x20,
		(unsigned char)name.at[name.len - 1] | 0x20);
	enum h1_known known = known_slots[slot];
	struct str lower = known_rows[known].name;

	return lower.len == name.len && same_name(name.at, lower.at, name.len) ? known : H1_OTHER;
}

enum h1_known h1_known_of(struct str name)
{
	return chars_token(name) ? known_of_token(name) : H1_OTHER;
}

struct str h1_known_name(enum h1_known known)
{
	CHECK(known < H1_KNOWN_COUNT);
	return known == H1_OTHER ? S("") : known_rows[known].name;
}

/* --- request line -------------------------------------------------------------- */

/* What is still to be parsed. */
struct input {
	const char *at, *end;
};

static size_t left(const struct input *in)
{
	return (size_t)(in->end - in->at);
}

/* A method and the space behind it. */
static int parse_method(struct input *in, struct h1_head *head)
{
	const char *start = in->at;

	while (in->at < in->end && char_is(*in->at, CHAR_TOKEN))
		in->at++;
	if (in->at == start || in->at == in->end || *in->at != ' ')
		return fail(
			ERR_INVALID, "the request line does not start with a method and one space");

	head->method_text = str_of(start, (size_t)(in->at - start));
	in->at++;
	return 0;
}

/* A target and the space behind it. The target itself is looked at later. */
static int parse_target(struct input *in, size_t limit, struct h1_head *head)
{
	const char *space = memchr(in->at, ' ', MIN(left(in), limit));

	if (!space && left(in) > limit)
		return fail(ERR_TARGET_TOO_LONG, "the request line is too long");
	if (!space || space == in->at)
		return fail(ERR_INVALID, "the request line is not method, target and version");

	head->target_text = str_of(in->at, (size_t)(space - in->at));
	in->at = space + 1;
	return 0;
}

/* HTTP-version and CRLF. One digit on each side of the dot, RFC 9112 2.3. */
static int parse_version(struct input *in, unsigned *ret_minor)
{
	const char *at = in->at;

	if (left(in) < strlen("HTTP/1.1\r\n") || memcmp(at, "HTTP/", 5) != 0 || at[5] < '0' ||
		at[5] > '9' || at[6] != '.' || at[7] < '0' || at[7] > '9' || at[8] != '\r' ||
		at[9] != '\n')
		return fail(ERR_INVALID, "the request line does not end in HTTP/1.1");
	if (at[5] != '1')
		return fail(ERR_VERSION, "HTTP/%c is not spoken here", at[5]);

	in->at += strlen("HTTP/1.1\r\n");
	*ret_minor = at[7] == '0' ? 0 : 1;
	return 0;
}

/* Asterisk-form and the two methods that are not for an origin server. */
static int check_method(const struct h1_head *head)
{
	if (head->method == HTTP_CONNECT || head->method == HTTP_TRACE)
		return fail(ERR_METHOD, "%s is not allowed", http_method_text(head->method).at);
	if (head->target.form == TARGET_ASTERISK && head->method != HTTP_OPTIONS)
		return fail(ERR_INVALID, "the target * goes with OPTIONS only");
	return 0;
}

static int parse_request_line(
	struct input *in, const struct h1_limits *limits, struct h1_head *head)
{
	const char *start = in->at;
	int r;

	r = parse_method(in, head);
	if (r < 0)
		return r;
	r = parse_target(in, limits->line, head);
	if (r < 0)
		return r;
	r = parse_version(in, &head->minor);
	if (r < 0)
		return r;
	if ((size_t)(in->at - start) > limits->line + 2)
		return fail(ERR_TARGET_TOO_LONG, "the request line is too long");

	if (!http_method_of(head->method_text, &head->method))
		return fail(ERR_UNKNOWN_METHOD, "the method is not known");
	if (head->method == HTTP_CONNECT) /* its target has a form of its own */
		return check_method(head);
	r = target_parse(head->target_text, &head->target);
	if (r < 0)
		return r;
	return check_method(head);
}

/* --- fields ------------------------------------------------------------------ */

/* Says which rule the byte behind the name broke. */
__attribute__((cold)) static int bad_name(const struct input *in, struct str name)
{
	unsigned char byte = in->at < in->end ? (unsigned char)*in->at : 0;
	bool white = byte == ' ' || byte == '\t';

	if (white && name.len == 0)
		return fail(ERR_INVALID, "a field line is folded or starts with white space");
	if (white)
		return fail(ERR_INVALID, "white space between a field name and its colon");
	if (byte == ':')
		return fail(ERR_INVALID, "a field name is empty");
	if (byte == '\r')
		return fail(ERR_INVALID, "a field line has no colon");
	return fail(ERR_INVALID, "byte 0x%02x in a field name", byte);
}

static int parse_name(struct input *in, struct str *ret_name)
{
	const char *start = in->at;
	struct str name;

	while (in->at < in->end && char_is(*in->at, CHAR_TOKEN))
		in->at++;

	name = str_of(start, (size_t)(in->at - start));
	if (UNLIKELY(in->at == in->end || *in->at != ':' || name.len == 0))
		return bad_name(in, name);

	in->at++;
	*ret_name = name;
	return 0;
}

/* A value without the white space around it, and its CRLF. */
static int parse_value(struct input *in, struct str *ret_value)
{
	size_t size = left(in);
	size_t at = 0, start = 0;

	while (start < size && (in->at[start] == ' ' || in->at[start] == '\t'))
		start++;

	at = chars_find_control(in->at, start, size);
	while (at < size && in->at[at] == '\t')
		at = chars_find_control(in->at, at + 1, size);
	if (UNLIKELY(at == size || in->at[at] != '\r'))
		return fail(ERR_INVALID, "a control byte in a field value");
	if (UNLIKELY(at + 1 == size || in->at[at + 1] != '\n'))
		return fail(ERR_INVALID, "a carriage return without a line feed");

	size = at + 2;
	while (at > start && (in->at[at - 1] == ' ' || in->at[at - 1] == '\t'))
		at--;
	*ret_value = str_of(in->at + start, at - start);
	in->at += size;
	return 0;
}

/* An unknown name that becomes a framing field when a gateway takes '_' for '-'. */
static bool is_framing_twin(struct str name)
{
	static const enum h1_known framing[] = { H1_CONTENT_LENGTH, H1_TRANSFER_ENCODING };

	for (size_t i = 0; i < LEN(framing); i++) {
		struct str wanted = known_rows[framing[i]].name;
		size_t same = 0;

		while (wanted.len == name.len && same < name.len &&
			((name.at[same] | 0x20) == wanted.at[same] ||
				(name.at[same] == '_' && wanted.at[same] == '-')))
			same++;
		if (same && same == name.len)
			return true;
	}
	return false;
}

bool h1_list_next(struct str *rest, struct str *ret_member)
{
	while (rest->len) {
		struct str member;
		bool quoted = false;
		size_t at = 0;

		for (; at < rest->len && (quoted || rest->at[at] != ','); at++) {
			if (rest->at[at] == '"')
				quoted = !quoted;
			else if (quoted && rest->at[at] == '\\')
				at++;
		}

		member = str_trim(str_first(*rest, at));
		*rest = str_from(*rest, at + 1);
		if (member.len) {
			*ret_member = member;
			return true;
		}
	}
	return false;
}

/* Content-Length: RFC 9110 8.6, with no list, sign, space or leading zero. */
static int note_length(struct h1_head *head, struct str value, const struct h1_limits *limits)
{
	if (!num_parse_u64(value, &head->length))
		return fail(ERR_INVALID, "Content-Length is not a decimal number");
	if (head->length > limits->body)
		return fail(ERR_TOO_LARGE, "Content-Length is over %llu",
			(unsigned long long)limits->body);
	return 0;
}

/* One transfer coding: a token, perhaps with parameters that are looked at only as far as that
 * they start with a semicolon (the answer is an error in any case). */
static bool is_coding(struct str member)
{
	struct str token = chars_cut_token(&member);

	member = str_trim(member);
	return token.len && (member.len == 0 || member.at[0] == ';');
}

/*
 * Transfer-Encoding other than plain "chunked". RFC 9112 6.1 wants 501 for a coding nobody knows,
 * 6.3 wants 400 when chunked is not the last one, 7 forbids it twice.
 */
__attribute__((cold)) static int refuse_coding(struct str value)
{
	size_t members = 0, chunked = 0;
	struct str member;
	bool last = false;

	while (h1_list_next(&value, &member)) {
		if (!is_coding(member))
			return fail(ERR_INVALID, "Transfer-Encoding is malformed");
		last = str_eq_nocase(member, S("chunked"));
		chunked += last;
		members++;
	}
	if (members < 2 || chunked != 1 || !last)
		return fail(ERR_INVALID, "Transfer-Encoding does not end in one \"chunked\"");
	return fail(ERR_UNKNOWN_METHOD, "a transfer coding besides chunked is not implemented");
}

static int note_coding(struct h1_head *head, struct str value)
{
	if (head->minor == 0)
		return fail(ERR_INVALID, "Transfer-Encoding in HTTP/1.0");
	return str_eq_nocase(value, S("chunked")) ? 0 : refuse_coding(value);
}

/* What one pass over the fields finds out beside the head itself. */
struct notes {
	size_t options;      /* members of Connection */
	bool keep_alive;     /* Connection: keep-alive */
	bool option_upgrade; /* Connection: upgrade */
	bool option_other;   /* Connection names fields to be dropped */
};

/* A connection option that names a field. */
static int note_option(struct str option, struct notes *notes)
{
	enum h1_known known = h1_known_of(option);

	if (!chars_token(option))
		return fail(ERR_INVALID, "Connection is not a list of tokens");
	if (known != H1_OTHER && !(known_rows[known].flags & H1_HOP))
		return fail(
			ERR_INVALID, "Connection names the field %s", known_rows[known].name.at);

	if (known == H1_UPGRADE)
		notes->option_upgrade = true;
	else if (known == H1_OTHER)
		notes->option_other = true;
	return 0;
}

/*
 * Connection options. RFC 9110 7.6.1 forbids to name a field that is meant for the receiver: where
 * a gateway obeys it, it takes Content-Length or Authorization off the request.
 */
static int note_connection(struct h1_head *head, struct str value, struct notes *notes)
{
	struct str option;

	while (h1_list_next(&value, &option)) {
		if (++notes->options > H1_CONNECTION_OPTIONS_MAX)
			return fail(ERR_INVALID, "too many members in Connection");

		if (str_eq_nocase(option, S("keep-alive"))) {
			notes->keep_alive = true;
		} else if (str_eq_nocase(option, S("close"))) {
			head->close = true;
		} else {
			int r = note_option(option, notes);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* The fields that decide about the message itself. */
static int note_field(struct h1_head *head, const struct h1_field *field,
	const struct h1_limits *limits, struct notes *notes)
{
	switch (field->known) {
	case H1_OTHER:
		return is_framing_twin(field->name)
			       ? fail(ERR_INVALID, "a framing field is spelt with underscores")
			       : 0;
	case H1_HOST: return authority_parse(field->value, &head->authority);
	case H1_CONTENT_LENGTH: return note_length(head, field->value, limits);
	case H1_TRANSFER_ENCODING: return note_coding(head, field->value);
	case H1_CONNECTION: return note_connection(head, field->value, notes);
	case H1_EXPECT:
		return head->minor == 0 || str_eq_nocase(field->value, S("100-continue"))
			       ? 0
			       : fail(ERR_EXPECTATION, "the only expectation is 100-continue");
	default: return 0;
	}
}

/* Puts a field into the index; refuses the second of those that may come once. */
static int index_field(struct h1_head *head, size_t at)
{
	enum h1_known known = head->fields[at].known;
	uint64_t bit = (uint64_t)1 << known;

	if (known == H1_OTHER)
		return 0;
	if (!(head->seen & bit)) {
		head->seen |= bit;
		head->first[known] = (uint8_t)at;
		return 0;
	}
	return once_fields & bit ? fail(ERR_INVALID, "%s is given twice", known_rows[known].name.at)
				 : 0;
}

/* Field lines up to and with the empty line. */
static int parse_fields(
	struct input *in, const struct h1_limits *limits, struct h1_head *head, struct notes *notes)
{
	size_t most = MIN(limits->fields, (size_t)H1_FIELDS_MAX);

	while (left(in) >= 2 && in->at[0] != '\r') {
		struct h1_field *field = &head->fields[head->count];
		const char *start = in->at;
		int r;

		if (head->count == most)
			return fail(ERR_HEAD_TOO_LARGE, "more than %zu fields", most);
		r = parse_name(in, &field->name);
		if (r < 0)
			return r;
		r = parse_value(in, &field->value);
		if (r < 0)
			return r;
		if ((size_t)(in->at - start) > limits->field + 2)
			return fail(ERR_HEAD_TOO_LARGE, "a field line is too long");

		field->known = known_of_token(field->name);
		r = index_field(head, head->count++);
		if (r < 0)
			return r;
		r = note_field(head, field, limits, notes);
		if (r < 0)
			return r;
	}

	if (left(in) != 2 || in->at[0] != '\r' || in->at[1] != '\n')
		return fail(ERR_INVALID, "the head does not end in an empty line");
	return 0;
}

/* True when Connection names this field. */
static bool is_named(const struct h1_head *head, struct str name)
{
	struct str value, option;
	size_t at = 0;

	while (h1_each(head, H1_CONNECTION, &at, &value))
		while (h1_list_next(&value, &option))
			if (str_eq_nocase(option, name))
				return true;
	return false;
}

/*
 * Takes out the unknown fields that Connection names; known ones cannot be. In the worst case
 * H1_FIELDS_MAX times H1_CONNECTION_OPTIONS_MAX comparisons.
 */
__attribute__((cold)) static void drop_named(struct h1_head *head)
{
	bool drop[H1_FIELDS_MAX];
	size_t kept = 0;

	for (size_t i = 0; i < head->count; i++)
		drop[i] = head->fields[i].known == H1_OTHER && is_named(head, head->fields[i].name);
	for (size_t i = 0; i < head->count; i++)
		if (!drop[i])
			head->fields[kept++] = head->fields[i];

	head->count = kept;
	head->seen = 0;
	for (size_t i = 0; i < kept; i++)
		CHECK(index_field(head, i) == 0);
}

/* Who is asked: Host, and the same in an absolute target (RFC 9112 3.2, 3.2.2). */
static int judge_host(struct h1_head *head)
{
	struct authority asked;
	uint16_t port = head->target.scheme.len == strlen("https") ? 443 : 80;
	int r;

	if (!h1_has(head, H1_HOST) && head->minor > 0)
		return fail(ERR_INVALID, "Host is missing");
	if (head->target.form != TARGET_ABSOLUTE)
		return 0;

	r = authority_parse(head->target.authority, &asked);
	if (r < 0)
		return r;
	if (!h1_has(head, H1_HOST))
		head->authority = asked;
	if (!authority_eq(&asked, &head->authority, port))
		return fail(ERR_INVALID, "Host is not the host of the request target");
	return 0;
}

/* Where the body ends (RFC 9112 6.3) and whether the connection goes on (9.3). */
static int judge_framing(struct h1_head *head, const struct notes *notes)
{
	bool length = h1_has(head, H1_CONTENT_LENGTH);
	bool chunked = h1_has(head, H1_TRANSFER_ENCODING);

	if (length && chunked)
		return fail(ERR_INVALID, "both Content-Length and Transfer-Encoding");

	head->framing = chunked ? H1_BODY_CHUNKED : length ? H1_BODY_LENGTH : H1_BODY_NONE;
	head->keep_alive = !head->close && (head->minor > 0 || notes->keep_alive);
	head->upgrade = head->minor > 0 && notes->option_upgrade && h1_has(head, H1_UPGRADE);
	head->expect_continue =
		head->minor > 0 && h1_has(head, H1_EXPECT) && (chunked || head->length > 0);
	return 0;
}

/* What is added to, or is for the log after an error; the rest is set in any case. */
static void clear(struct h1_head *head)
{
	head->method_text = head->target_text = str_of(NULL, 0);
	head->authority = (struct authority){ 0 };
	head->length = 0;
	head->close = false;
	head->seen = 0;
	head->count = 0;
}

int h1_head_parse(struct str text, const struct h1_limits *limits, struct h1_head *ret_head)
{
	struct h1_head *head = ret_head;
	struct input in = { text.at, text.at + text.len };
	struct notes notes = { 0 };
	int r;

	clear(head);
	if (text.len > limits->head)
		return fail(ERR_HEAD_TOO_LARGE, "the head is too large");
	if (text.len >= 2 && text.at[0] == '\r' && text.at[1] == '\n')
		in.at += 2;

	r = parse_request_line(&in, limits, head);
	if (r < 0)
		return r;
	r = parse_fields(&in, limits, head, &notes);
	if (r < 0)
		return r;
	if (notes.option_other)
		drop_named(head);

	r = judge_host(head);
	if (r < 0)
		return r;
	return judge_framing(head, &notes);
}

/* --- looking at a head ------------------------------------------------------- */

bool h1_each(const struct h1_head *head, enum h1_known known, size_t *at, struct str *ret_value)
{
	size_t i = *at;

	if (!h1_has(head, known))
		return false;
	for (i = MAX(i, (size_t)head->first[known]); i < head->count; i++) {
		if (head->fields[i].known == known) {
			*ret_value = head->fields[i].value;
			*at = i + 1;
			return true;
		}
	}
	return false;
}

struct str h1_find(const struct h1_head *head, struct str name)
{
	enum h1_known known = h1_known_of(name);

	if (known != H1_OTHER)
		return h1_value(head, known);
	for (size_t i = 0; i < head->count; i++)
		if (head->fields[i].known == H1_OTHER && str_eq_nocase(head->fields[i].name, name))
			return head->fields[i].value;
	return str_of(NULL, 0);
}
