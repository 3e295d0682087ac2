/* The table of secret names and the comparison that sees through spelling. */
#include "observe/log_redact.h"

#include "base/check.h"
#include "base/err.h"

#include <stdatomic.h>

/* Found anywhere in the folded name. */
static const struct str parts[] = {
	S_INIT("password"),
	S_INIT("passwd"),
	S_INIT("passphrase"),
	S_INIT("passcode"),
	S_INIT("pwd"),
	S_INIT("secret"),
	S_INIT("token"),
	S_INIT("authorization"),
	S_INIT("cookie"),
	S_INIT("apikey"),
	S_INIT("accesskey"),
	S_INIT("privatekey"),
	S_INIT("masterkey"),
	S_INIT("signingkey"),
	S_INIT("encryptionkey"),
	S_INIT("credential"),
	S_INIT("bearer"),
	S_INIT("jwt"),
	S_INIT("csrf"),
	S_INIT("xsrf"),
	S_INIT("creditcard"),
	S_INIT("cardnumber"),
	S_INIT("connectionstring"),
	S_INIT("databaseurl"),
	S_INIT("redisurl"),
	S_INIT("smtpurl"),
};

/* Found as a whole word only: they are part of too many harmless ones. */
static const struct str words[] = {
	S_INIT("pass"),
	S_INIT("pin"),
	S_INIT("otp"),
	S_INIT("totp"),
	S_INIT("cvv"),
	S_INIT("cvc"),
	S_INIT("ssn"),
	S_INIT("dsn"),
};

static struct {
	char text[REDACT_NAME_MAX];
	size_t len;
} added[REDACT_ADDED_MAX];
static size_t added_count;
static _Atomic uint32_t version;

static bool upper(char byte)
{
	return byte >= 'A' && byte <= 'Z';
}

static bool lower_or_digit(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
}

/* Letters and digits of the name in lower case; `at` has room for all of it. */
static struct str fold(struct str name, char *at)
{
	size_t len = 0;

	for (size_t i = 0; i < name.len; i++) {
		if (upper(name.at[i]))
			at[len++] = (char)(name.at[i] | 0x20);
		else if (lower_or_digit(name.at[i]))
			at[len++] = name.at[i];
	}
	return str_of(at, len);
}

/* True when a new word starts at `i`: after a separator, at "userPin" and at the P of "OTPPin". */
static bool word_starts(struct str name, size_t i)
{
	char before = i > 0 ? name.at[i - 1] : '-';
	char here = name.at[i];

	if (!upper(here))
		return lower_or_digit(here) && !upper(before) && !lower_or_digit(before);
	return !upper(before) || (i + 1 < name.len && lower_or_digit(name.at[i + 1]));
}

static bool is_word(struct str word)
{
	for (size_t i = 0; i < LEN(words); i++)
		if (str_eq_nocase(word, words[i]))
			return true;
	return false;
}

static bool has_word(struct str name)
{
	for (size_t from = 0; from < name.len; from++) {
		size_t end = from + 1;

		if (!word_starts(name, from))
			continue;
		while (end < name.len && !word_starts(name, end) &&
			(upper(name.at[end]) || lower_or_digit(name.at[end])))
			end++;
		if (is_word(str_of(name.at + from, end - from)))
			return true;
	}
	return false;
}

/* True when `part` is in the folded name, and is not the "token" of "tokens" in front of a number.
 */
static bool has_part(struct str folded, struct str part, bool number)
{
	ptrdiff_t at = str_find(folded, part);

	while (at >= 0) {
		struct str behind = str_from(folded, (size_t)at + part.len);

		if (!number || !str_eq(part, S("token")) || !str_starts(behind, S("s")))
			return true;
		folded = behind;
		at = str_find(folded, part);
	}
	return false;
}

bool log_redacted(struct str name, bool number)
{
	char at[REDACT_NAME_MAX];
	struct str folded;

	if (name.len > REDACT_NAME_MAX)
		return true;

	folded = fold(name, at);
	for (size_t i = 0; i < LEN(parts); i++)
		if (has_part(folded, parts[i], number))
			return true;
	for (size_t i = 0; i < added_count; i++)
		if (has_part(folded, str_of(added[i].text, added[i].len), false))
			return true;
	return has_word(name);
}

int log_redact_add(struct str name)
{
	if (added_count == REDACT_ADDED_MAX)
		return fail(ERR_FULL, "more than %d names to redact", REDACT_ADDED_MAX);
	if (name.len > REDACT_NAME_MAX)
		return fail(
			ERR_INVALID, "a name to redact has more than %d bytes", REDACT_NAME_MAX);

	added[added_count].len = fold(name, added[added_count].text).len;
	if (added[added_count].len < 3)
		return fail(ERR_INVALID, "\"%.*s\" is too short a name to redact", STR_ARG(name));

	added_count++;
	atomic_fetch_add_explicit(&version, 1, memory_order_relaxed);
	return 0;
}

uint32_t log_redact_version(void)
{
	return atomic_load_explicit(&version, memory_order_relaxed);
}
