/*
 * The form of passwords and what they must not be. The list of common ones is made of rules, not of
 * millions of lines: a password that is a well-known word, a row of keys, a date or a repetition is
 * common however it is dressed up with digits and signs. Pure; no rows, no files.
 */
#include "modules/auth/auth_password_rules.h"

#include "base/err.h"
#include "base/utf8.h"
#include "crypto/digest.h"
#include "crypto/password.h"

#include <utf8proc.h>

/* --- the form ------------------------------------------------------------------------ */

static int refuse(const char *rule, const char *text)
{
	(void)fail(ERR_INVALID, "%s", text);
	return err_blame("", rule);
}

static int too_long(void)
{
	return refuse("too_long", "has more than 1024 bytes");
}

/* Copies the text with plain spaces; what cannot be in a password is refused. */
static int map_spaces(struct str given, char *at, size_t *ret_len)
{
	size_t out = 0, from = 0, len;
	uint32_t point;

	for (; (len = utf8_read(str_from(given, from), &point)); from += len) {
		utf8proc_category_t category = utf8proc_category((int32_t)point);

		if (category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CN)
			return refuse("invalid_character", "has a character that nobody can type");
		if (category == UTF8PROC_CATEGORY_ZS) {
			at[out++] = ' ';
		} else {
			memcpy(at + out, given.at + from, len);
			out += len;
		}
	}
	if (from < given.len)
		return refuse("invalid_character", "is not UTF-8");
	*ret_len = out;
	return 0;
}

int password_prepare(struct str given, struct arena *arena, struct str *ret)
{
	enum {
		POINTS = 4 * PASSWORD_MAX
	}; /* more of them compose to more than PASSWORD_MAX bytes */
	char mapped[PASSWORD_MAX];
	int32_t *points;
	utf8proc_ssize_t count, len;
	size_t mapped_len = 0;
	int r;

	if (given.len == 0)
		return refuse("too_short", "is empty");
	if (given.len > PASSWORD_MAX)
		return too_long();
	points = arena_alloc(arena, (POINTS + 1) * sizeof(*points));
	if (!points)
		return -(int)err_last()->code;
	r = map_spaces(given, mapped, &mapped_len);
	if (r < 0)
		return r;

	count = utf8proc_decompose((const uint8_t *)mapped, (utf8proc_ssize_t)mapped_len, points,
		POINTS, UTF8PROC_DECOMPOSE);
	crypto_wipe(mapped, sizeof(mapped));
	if (count < 0 || count > POINTS)
		return too_long();
	/* Composes and writes UTF-8 in place, with a NUL behind it. */
	len = utf8proc_reencode(points, count, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
	if (len < 0 || len > PASSWORD_MAX)
		return too_long();
	*ret = str_of((const char *)points, (size_t)len);
	return 0;
}

/* --- what is common -------------------------------------------------------------------- */

/* What people all over the world begin with, in its plainest form. */
static const char *const common[] = { "password", "passwort", "motdepasse", "contrasena", "senha",
	"parola", "wachtwoord", "haslo", "salasana", "losenord", "passw", "pass", "welcome",
	"willkommen", "bienvenue", "letmein", "login", "admin", "administrator", "root",
	"superuser", "user", "guest", "default", "changeme", "secret", "geheim", "private", "test",
	"testing", "testtest", "demo", "sample", "example", "temp", "temporary", "internet",
	"computer", "server", "database", "master", "access", "security", "trustno", "whatever",
	"nothing", "monkey", "dragon", "shadow", "sunshine", "princess", "football", "baseball",
	"basketball", "soccer", "hockey", "superman", "batman", "spiderman", "starwars", "pokemon",
	"minecraft", "iloveyou", "loveyou", "ilove", "lovely", "love", "babygirl", "angel",
	"flower", "hello", "hellohello", "michael", "jennifer", "jordan", "jessica", "ashley",
	"charlie", "daniel", "thomas", "andrew", "michelle", "summer", "winter", "spring", "autumn",
	"sommer", "january", "february", "march", "april", "june", "july", "august", "september",
	"october", "november", "december", "monday", "tuesday", "wednesday", "thursday", "friday",
	"saturday", "sunday", "company", "business", "office", "windows", "microsoft", "google",
	"apple", "samsung", "facebook", "linkedin", "amazon", "cheese", "chocolate", "cookie",
	"banana", "orange", "purple", "yellow", "silver", "golden", "diamond", "freedom",
	"liverpool", "arsenal", "chelsea", "barcelona", "mustang", "ferrari", "porsche", "harley",
	"corvette", "mercedes", "hunter", "killer", "matrix", "phoenix", "maverick", "ranger",
	"tigger", "pepper", "ginger", "maggie", "buster", "snoopy", "bulkhead",
	"correcthorsebatterystaple" };

/* Rows that fingers follow, forth and back; a part of at least four of one counts. */
static const char *const rows[] = { "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "asdfghjkl",
	"zxcvbnm", "qwertzuiopu", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn", "1234567890",
	"0987654321", "1qaz2wsx3edc4rfv5tgb6yhn7ujm", "1q2w3e4r5t6y7u8i9o0p",
	"q1w2e3r4t5y6u7i8o9p0", "qazwsxedcrfvtgbyhnujm", "147258369", "159357", "123321",
	"112233445566778899", "123abc", "abc123" };

enum { PLAIN_MAX = 64 }; /* longer ones are not common, whatever they are made of */

struct plain {
	char at[PLAIN_MAX];
	size_t len;
};

static struct str plain_str(const struct plain *plain)
{
	return str_of(plain->at, plain->len);
}

static bool is_letter(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte & 0x80);
}

static char fold(char byte)
{
	return byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
}

/* In small letters. False when it is too long to be common. */
static bool fold_all(struct str text, struct plain *ret)
{
	if (text.len > PLAIN_MAX)
		return false;
	ret->len = text.len;
	for (size_t i = 0; i < text.len; i++)
		ret->at[i] = fold(text.at[i]);
	return true;
}

/* Digits and signs that stand for a letter become that. */
static void undress(struct plain *plain)
{
	static const char from[] = "0134578@$!|", to[] = "oieastbasil";

	for (size_t i = 0; i < plain->len; i++) {
		const char *found = memchr(from, plain->at[i], sizeof(from) - 1);

		if (found)
			plain->at[i] = to[found - from];
	}
}

/* Without the digits and signs at both ends. */
static struct str core(struct str text)
{
	while (text.len && !is_letter(text.at[0]))
		text = str_from(text, 1);
	while (text.len && !is_letter(text.at[text.len - 1]))
		text.len--;
	return text;
}

static bool is_common_word(struct str text)
{
	for (size_t i = 0; i < LEN(common); i++)
		if (str_eq(text, str_from_c(common[i])))
			return true;
	return false;
}

/* Length of the longest beginning of `text` that is a part of a row, in either direction. */
static size_t row_run(struct str text)
{
	size_t best = 0;

	for (size_t i = 0; i < LEN(rows); i++) {
		struct str row = str_from_c(rows[i]);

		for (size_t at = 0; at < row.len; at++) {
			size_t forth = 0, back = 0;

			while (forth < text.len && at + forth < row.len &&
				text.at[forth] == row.at[at + forth])
				forth++;
			while (back < text.len && back <= at && text.at[back] == row.at[at - back])
				back++;
			best = MAX(best, MAX(forth, back));
		}
	}
	return best;
}

/* All of it is parts of rows, of four and more; what is left over is short. */
static bool is_rows(struct str text)
{
	size_t loose = 0, all = text.len;

	while (text.len) {
		size_t run = row_run(text);

		if (run < 4) {
			loose++;
			run = 1;
		}
		text = str_from(text, run);
	}
	return all && loose * 4 <= all;
}

/* A part of at most a third, again and again. */
static bool is_repetition(struct str text)
{
	for (size_t part = 1; part <= text.len / 2 && part <= 8; part++) {
		size_t i = part;

		while (i < text.len && text.at[i] == text.at[i - part])
			i++;
		if (i == text.len && (part * 3 <= text.len || part <= 4))
			return true;
	}
	return false;
}

/* Digits and what stands between them: dates, telephone numbers. */
static bool is_number(struct str text)
{
	size_t digits = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] >= '0' && text.at[i] <= '9')
			digits++;
		else if (!memchr(" -./:+#!", text.at[i], 8))
			return false;
	}
	return digits <= 10;
}

static bool is_common(struct str prepared)
{
	struct plain plain, bare;
	struct str text, inner;
	size_t from;

	if (!fold_all(prepared, &plain))
		return false;
	text = plain_str(&plain);
	inner = core(text);
	if (is_number(text) || is_repetition(text) || is_rows(text))
		return true;
	if (is_common_word(inner))
		return true;
	/* The ends are dress or letters: "p4ssw0rd1" has a 1 behind it, "$ecret" begins with an s.
	 */
	bare = plain;
	undress(&bare);
	from = inner.len ? (size_t)(inner.at - text.at) : 0;
	return is_common_word(str_of(bare.at + from, inner.len)) ||
	       is_common_word(str_of(bare.at, from + inner.len)) ||
	       is_common_word(plain_str(&bare));
}

/* --- what is known -------------------------------------------------------------------- */

/* Letters and digits only, small. */
static bool squeeze(struct str text, struct plain *ret)
{
	ret->len = 0;
	for (size_t i = 0; i < text.len; i++) {
		char byte = fold(text.at[i]);

		if (!is_letter(byte) && !(byte >= '0' && byte <= '9'))
			continue;
		if (ret->len == PLAIN_MAX)
			return false;
		ret->at[ret->len++] = byte;
	}
	return true;
}

/* Nothing but one of the account's texts, with at most four characters more. */
static bool is_made_of(const struct plain *password, struct str known)
{
	struct plain plain;

	return squeeze(known, &plain) && plain.len >= 4 && password->len >= plain.len &&
	       password->len - plain.len <= 4 &&
	       str_find(plain_str(password), plain_str(&plain)) >= 0;
}

static bool is_known(struct str prepared, const struct password_context *context)
{
	ptrdiff_t at = str_find_byte(context->email, '@');
	struct str local = at < 0 ? context->email : str_first(context->email, (size_t)at);
	const struct str known[] = { context->email, local, context->name, context->tenant_slug,
		context->tenant };
	struct plain password;

	if (!squeeze(prepared, &password))
		return false;
	for (size_t i = 0; i < LEN(known); i++)
		if (is_made_of(&password, known[i]))
			return true;
	return false;
}

int password_refuse(struct str prepared, const struct password_context *context, size_t min)
{
	if (utf8_length(prepared) < min) {
		(void)fail(ERR_INVALID, "has fewer than %zu characters", min);
		return err_blame("", "too_short");
	}
	if (is_common(prepared))
		return refuse("too_common", "is one of those that are guessed first");
	if (is_known(prepared, context))
		return refuse("is_known", "is made of your name, address or organisation");
	return 0;
}
