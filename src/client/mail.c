/* Headers of a mail, and what may be in them: nothing that could end a line and begin another. */
#include "client/mail.h"

#include "base/err.h"
#include "base/time_text.h"
#include "base/utf8.h"
#include "crypto/base64.h"

enum {
	LINE_MAX_LENGTH = 76, /* RFC 2047: of a line with an encoded word */
	/* Bytes of text in one encoded word, so that it fits on a line behind "Reply-To: ". */
	WORD_BYTES = 36,
};

/* --- checks --------------------------------------------------------------------- */

/* One line of text: UTF-8 without control characters. */
static bool is_line(struct str text, size_t most)
{
	if (text.len > most || !utf8_valid(text))
		return false;
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] < ' ' || text.at[i] == 0x7f)
			return false;
	return true;
}

/* RFC 5322 3.2.3 atext. */
static bool is_atext(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool is_domain_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-';
}

/* Words of these bytes with single dots between. */
static bool is_dotted(struct str text, bool (*fits)(char))
{
	bool in_word = false;

	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '.' ? !in_word : !fits(text.at[i]))
			return false;
		in_word = text.at[i] != '.';
	}
	return in_word;
}

static bool is_address(struct str address)
{
	ptrdiff_t at = str_find_byte(address, '@');

	return at > 0 && at <= 64 && address.len <= MAIL_ADDRESS_MAX &&
	       is_dotted(str_first(address, (size_t)at), is_atext) &&
	       is_dotted(str_from(address, (size_t)at + 1), is_domain_byte);
}

static bool is_body(struct str text)
{
	return text.len <= MAIL_BODY_MAX && utf8_valid(text) &&
	       !memchr(text.at ? text.at : "", 0, text.len);
}

int mail_check(const struct mail *mail)
{
	const struct {
		const char *field;
		bool good;
		const char *rule, *text;
	} rows[] = {
		{ "id", mail->id.len <= 100 && is_dotted(mail->id, is_atext), "invalid",
			"is no message id" },
		{ "from", is_address(mail->from.address), "invalid_email", "is no e-mail address" },
		{ "to", is_address(mail->to.address), "invalid_email", "is no e-mail address" },
		{ "replyTo", !mail->reply_to.len || is_address(mail->reply_to), "invalid_email",
			"is no e-mail address" },
		{ "from", is_line(mail->from.name, MAIL_NAME_MAX), "invalid_text",
			"has no good name" },
		{ "to", is_line(mail->to.name, MAIL_NAME_MAX), "invalid_text", "has no good name" },
		{ "subject", mail->subject.len && is_line(mail->subject, MAIL_SUBJECT_MAX),
			"invalid_text", "is no line of text" },
		{ "text", mail->text.len && is_body(mail->text), "invalid_text",
			"is no good text" },
		{ "html", is_body(mail->html), "invalid_text", "is no good text" },
	};

	for (size_t i = 0; i < LEN(rows); i++)
		if (!rows[i].good)
			return fail_field(
				ERR_INVALID, rows[i].field, rows[i].rule, "%s", rows[i].text);
	return 0;
}

/* --- headers ---------------------------------------------------------------------- */

static bool is_plain(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] >= 0x80)
			return false;
	return !str_starts(text, S("=?")) && str_find(text, S(" =?")) < 0;
}

/* As many whole characters as fit into one encoded word. */
static struct str cut_word(struct str *rest)
{
	size_t len = MIN(rest->len, (size_t)WORD_BYTES);
	struct str word;

	while (len < rest->len && ((unsigned char)rest->at[len] & 0xc0) == 0x80)
		len--;
	word = str_first(*rest, len);
	*rest = str_from(*rest, len);
	return word;
}

/* Encoded words of RFC 2047, one to a line behind the first. */
static void write_encoded(struct str text, struct buf *buf)
{
	bool first = true;

	while (text.len) {
		struct str word = cut_word(&text);

		buf_append(buf, first ? S("=?UTF-8?B?") : S("\r\n =?UTF-8?B?"));
		base64_append(buf, BASE64_PADDED, word);
		buf_append(buf, S("?="));
		first = false;
	}
}

/* Folds at spaces so that lines stay short; a longer word stands alone. */
static void write_folded(struct str text, size_t column, struct buf *buf)
{
	while (text.at && text.len) {
		ptrdiff_t space = str_find_byte(str_from(text, 1), ' ');
		size_t len = space < 0 ? text.len : (size_t)space + 1;

		if (column + len > LINE_MAX_LENGTH && text.at[0] == ' ') {
			buf_append(buf, S("\r\n"));
			column = 0;
		}
		buf_append(buf, str_first(text, len));
		column += len;
		text = str_from(text, len);
	}
}

static void write_text(struct str text, size_t column, struct buf *buf)
{
	if (is_plain(text))
		write_folded(text, column, buf);
	else
		write_encoded(text, buf);
}

static void write_quoted(struct str name, struct buf *buf)
{
	buf_byte(buf, '"');
	for (size_t i = 0; i < name.len; i++) {
		if (name.at[i] == '"' || name.at[i] == '\\')
			buf_byte(buf, '\\');
		buf_byte(buf, name.at[i]);
	}
	buf_byte(buf, '"');
}

static void write_address(const struct mail_address *address, struct buf *buf)
{
	if (address->name.len) {
		if (is_plain(address->name))
			write_quoted(address->name, buf);
		else
			write_encoded(address->name, buf);
		buf_append(buf, S("\r\n "));
	}
	buf_byte(buf, '<');
	buf_append(buf, address->address);
	buf_byte(buf, '>');
}

/* "Fri, 20 Nov 2026 08:49:37 +0000": HTTP's form of the date with the zone of RFC 5322. */
static void write_date(int64_t date_us, struct buf *buf)
{
	char text[TIME_HTTP_LEN];

	time_write_http(text, date_us);
	buf_append(buf, str_of(text, TIME_HTTP_LEN - 3));
	buf_append(buf, S("+0000"));
}

static void write_id(const struct mail *mail, struct buf *buf)
{
	struct str from = mail->from.address;

	buf_byte(buf, '<');
	buf_append(buf, mail->id);
	buf_append(buf, str_from(from, (size_t)str_find_byte(from, '@')));
	buf_byte(buf, '>');
}

void mail_header_write(const struct mail *mail, enum mail_header header, struct buf *buf)
{
	switch (header) {
	case MAIL_FROM:
		buf_append(buf, S("From: "));
		write_address(&mail->from, buf);
		break;
	case MAIL_TO:
		buf_append(buf, S("To: "));
		write_address(&mail->to, buf);
		break;
	case MAIL_REPLY_TO:
		if (mail->reply_to.len) {
			buf_append(buf, S("Reply-To: "));
			buf_append(buf, mail->reply_to);
		}
		break;
	case MAIL_SUBJECT:
		buf_append(buf, S("Subject: "));
		write_text(mail->subject, 9, buf);
		break;
	case MAIL_DATE:
		buf_append(buf, S("Date: "));
		write_date(mail->date_us, buf);
		break;
	case MAIL_MESSAGE_ID:
		buf_append(buf, S("Message-ID: "));
		write_id(mail, buf);
		break;
	case MAIL_HEADERS: break;
	}
}
