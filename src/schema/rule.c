/* Checks of single values; each problem names the bound that was broken. */
#include "schema/rule.h"

#include "base/check.h"
#include "base/utf8.h"
#include "json/number.h"

#define EACH(byte) (0x0101010101010101u * (byte))

static bool refused_control(uint32_t point, enum text_controls allowed)
{
	if (point >= 0x20 && (point < 0x7F || point > 0x9F))
		return false;
	switch (allowed) {
	case CONTROLS_LINES: return point != '\t' && point != '\n' && point != '\r';
	case CONTROLS_ALL_BUT_NUL: return point == 0;
	case CONTROLS_ALL: return false;
	default: return true;
	}
}

/* Eight bytes of which none can be (the start of) a control character: 00-1F, 7F, C2 80 to C2 9F.
 */
static bool plain_eight(const char *at)
{
	uint64_t eight, low, delete, start;

	memcpy(&eight, at, 8);
	low = (eight - EACH(0x20)) & ~eight;
	delete = (eight ^ EACH(0x7F)) - EACH(1);
	start = (eight ^ EACH(0xC2)) - EACH(1);
	return ((low | (delete &~(eight ^ EACH(0x7F))) | (start & ~(eight ^ EACH(0xC2)))) &
		       EACH(0x80)) == 0;
}

/* True when a text holds a control character that is not allowed. */
static bool has_control(struct str text, enum text_controls allowed)
{
	size_t i = 0;

	if (allowed == CONTROLS_ALL)
		return false;

	while (i < text.len) {
		unsigned char byte = (unsigned char)text.at[i];
		uint32_t point = byte;

		if (text.len - i >= 8 && plain_eight(text.at + i)) {
			i += 8;
			continue;
		}
		if (byte == 0xC2 && i + 1 < text.len)
			point = (unsigned char)text.at[++i];
		else if (byte >= 0x80)
			point = UINT32_MAX;
		if (refused_control(point, allowed))
			return true;
		i++;
	}
	return false;
}

/* Counts characters only when bytes cannot tell: a character has one to four of them. */
static int check_length(const struct text_rule *rule, struct str text, struct report *report,
	const struct path *path)
{
	size_t length;

	if (LIKELY(text.len <= rule->max && text.len >= 4 * rule->min))
		return 0;

	length = utf8_length(text);
	if (length < rule->min && length == 0 && rule->min == 1)
		return report_at(report, path, PROBLEM_TOO_SHORT, "must not be empty");
	if (length < rule->min)
		return report_at(report, path, PROBLEM_TOO_SHORT,
			"must have at least %zu characters", rule->min);
	if (length > rule->max)
		return report_at(report, path, PROBLEM_TOO_LONG, "must have at most %zu characters",
			rule->max);
	return 0;
}

static int check_pattern(const struct text_rule *rule, struct str text, struct matcher *matcher,
	struct report *report, const struct path *path)
{
	int r = pattern_match(rule->pattern, text, matcher);

	if (r == PATTERN_NO)
		return report_at(report, path, PROBLEM_INVALID_PATTERN,
			"must match the pattern %.*s",
			STR_ARG(str_first(pattern_source(rule->pattern), PROBLEM_NAME_MAX)));
	if (r == PATTERN_TOO_COMPLEX)
		return report_at(report, path, PROBLEM_PATTERN_TOO_COMPLEX,
			"cannot be matched against its pattern in reasonable time");
	return MIN(r, 0);
}

int rule_text(const struct text_rule *rule, struct str text, struct matcher *matcher,
	struct report *report, const struct path *path)
{
	size_t before = report->found;
	int r = check_length(rule, text, report, path);

	if (r < 0)
		return r;
	if (UNLIKELY(has_control(text, rule->controls)))
		return report_at(report, path, PROBLEM_CONTROL_CHARACTER,
			"must not contain control characters");
	if (rule->format != FORMAT_NONE && !format_valid(rule->format, text))
		return report_at(report, path, format_info(rule->format)->code, "must be %s",
			format_info(rule->format)->what);
	if (rule->pattern && report->found == before)
		return check_pattern(rule, text, matcher, report, path);
	return 0;
}

int rule_integer(const struct integer_rule *rule, int64_t value, struct report *report,
	const struct path *path)
{
	if (value < rule->min)
		return report_at(report, path, PROBLEM_TOO_SMALL, "must be at least %lld",
			(long long)rule->min);
	if (value > rule->max)
		return report_at(report, path, PROBLEM_TOO_LARGE, "must be at most %lld",
			(long long)rule->max);
	return 0;
}

static int report_bound(struct report *report, const struct path *path, const char *code,
	const char *relation, double bound)
{
	char text[JSON_DOUBLE_MAX];

	return report_at(report, path, code, "must be at %s %.*s", relation,
		(int)json_number_write(text, bound), text);
}

int rule_number(const struct number_rule *rule, double value, struct report *report,
	const struct path *path)
{
	if (value < rule->min)
		return report_bound(report, path, PROBLEM_TOO_SMALL, "least", rule->min);
	if (value > rule->max)
		return report_bound(report, path, PROBLEM_TOO_LARGE, "most", rule->max);
	return 0;
}

int rule_count(size_t count, size_t min, size_t max, const char *things, struct report *report,
	const struct path *path)
{
	if (count < min)
		return report_at(
			report, path, PROBLEM_TOO_FEW, "must have at least %zu %s", min, things);
	if (count > max)
		return report_at(
			report, path, PROBLEM_TOO_MANY, "must have at most %zu %s", max, things);
	return 0;
}
