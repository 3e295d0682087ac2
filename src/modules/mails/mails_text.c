/*
 * What mails say. One table of wordings makes the plain form and the one with markup, so that they
 * cannot differ. Whatever a person chose (names, details) is escaped, stays on its line, and never
 * becomes a link: only ours is one.
 */
#include "modules/mails/mails_internal.h"

#include "base/check.h"
#include "base/err.h"
#include "base/time_text.h"
#include "base/utf8.h"

/* --- wordings --------------------------------------------------------------------------- */

/* In all of them {place} is the tenant's name, or the product's where there is none. */
struct wording {
	const char *subject;
	const char *before;
	const char *button; /* of the link, if the mail has one */
	const char *after;
};

static const struct wording wordings[MAIL_KINDS] = {
	[MAIL_WELCOME] = { "Welcome to {place}", "Your account at {place} is ready.", "Sign in",
		"" },
	[MAIL_VERIFY] = { "Confirm your e-mail address",
		"Please confirm that this address belongs to your account at {place}.",
		"Confirm the address", "If you did not ask for this, you can ignore this mail." },
	[MAIL_RESET] = { "Reset your password",
		"Somebody, we hope you, asked for a new password for your account at {place}.",
		"Choose a new password",
		"If it was not you, ignore this mail: your password stays as it is." },
	[MAIL_CHANGE_EMAIL] = { "Confirm your new e-mail address",
		"This address is to become the one of your account at {place}.",
		"Confirm the new address",
		"If you did not ask for this, ignore this mail: nothing changes." },
	[MAIL_UNLOCK] = { "Your account is locked",
		"Your account at {place} was locked because a wrong password was given too often. "
		"It opens by itself after a while, or at once with the link below.",
		"Unlock the account",
		"If it was not you, somebody may be trying to guess your password. As long as "
		"nobody else knows it, there is nothing you need to do." },
	[MAIL_INVITATION] = { "You are invited to {place}",
		"You have been invited to join {place}.", "Accept the invitation",
		"If you do not know what this is about, ignore this mail." },
	[MAIL_TENANTS] = { "Where you have accounts",
		"Somebody, we hope you, asked where this address has accounts.", "Sign in",
		"If it was not you, ignore this mail: nobody else was told." },
	[MAIL_ALREADY_THERE] = { "You have an account already",
		"Somebody, we hope you, tried to register with this address at {place}, where it "
		"has an account already.",
		"Sign in",
		"If you do not know your password any more, ask for a new one where you sign in. "
		"If "
		"it was not you, ignore this mail." },
	[MAIL_ALERT] = { "Your account was changed",
		"Something about your account at {place} has changed.", "Look at the account",
		"If this was you, there is nothing you need to do. If not, ask for a new password "
		"at once, and tell those who look after {place}." },
	[MAIL_INVOICE] = { "Your invoice from {place}",
		"There is a new invoice for you from {place}.", "Look at the invoice", "" },
};

/* --- what others wrote -------------------------------------------------------------------- */

enum form { FORM_TEXT, FORM_HTML };

static void escape(struct buf *buf, char c)
{
	switch (c) {
	case '&': buf_append(buf, S("&amp;")); break;
	case '<': buf_append(buf, S("&lt;")); break;
	case '>': buf_append(buf, S("&gt;")); break;
	case '"': buf_append(buf, S("&quot;")); break;
	case '\'': buf_append(buf, S("&#39;")); break;
	default: buf_byte(buf, c); break;
	}
}

static void put(struct buf *buf, enum form form, struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (form == FORM_HTML)
			escape(buf, text.at[i]);
		else
			buf_byte(buf, text.at[i]);
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

/*
 * A name on a line. Programs that show mails make links of what looks like an address, and whoever
 * registers with somebody else's address chooses the name: so there is a space of no width behind
 * each dot within a word, and behind the colon of a scheme.
 */
static void put_name(struct buf *buf, enum form form, struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.at[i];

		put(buf, form, c < ' ' || c == 0x7f ? S(" ") : str_of(&name.at[i], 1));
		if (i + 1 < name.len && ((c == '.' && is_word(name.at[i + 1])) ||
						(c == ':' && name.at[i + 1] == '/')))
			buf_append(buf, S("\xe2\x80\x8b"));
	}
}

static void put_lines(struct buf *buf, enum form form, struct str lines)
{
	while (lines.at) {
		put_name(buf, form, str_cut(&lines, '\n'));
		if (lines.at)
			buf_append(buf, form == FORM_HTML ? S("<br>\n") : S("\n"));
	}
}

/* --- paragraphs ----------------------------------------------------------------------------- */

struct page {
	enum form form;
	const struct letter *letter;
	struct str place;
	struct buf *buf;
};

static void put_wording(const struct page *page, const char *wording)
{
	static const struct str place = S_INIT("{place}");
	struct str rest = str_from_c(wording);
	ptrdiff_t at;

	while ((at = str_find(rest, place)) >= 0) {
		put(page->buf, page->form, str_first(rest, (size_t)at));
		put_name(page->buf, page->form, page->place);
		rest = str_from(rest, (size_t)at + place.len);
	}
	put(page->buf, page->form, rest);
}

static void begin(const struct page *page)
{
	if (page->form == FORM_HTML)
		buf_append(page->buf, S("<p>"));
}

static void end(const struct page *page)
{
	buf_append(page->buf, page->form == FORM_HTML ? S("</p>\n") : S("\n\n"));
}

static void put_greeting(const struct page *page)
{
	begin(page);
	buf_append(page->buf, S("Hello"));
	if (page->letter->name.len) {
		buf_byte(page->buf, ' ');
		put_name(page->buf, page->form, page->letter->name);
	}
	buf_byte(page->buf, ',');
	end(page);
}

static void put_paragraph(const struct page *page, const char *wording)
{
	if (!*wording)
		return;
	begin(page);
	put_wording(page, wording);
	end(page);
}

static void put_detail(const struct page *page)
{
	if (!page->letter->detail.len)
		return;
	begin(page);
	put_lines(page->buf, page->form, page->letter->detail);
	end(page);
}

/* "20 Nov 2026, 08:15 UTC" */
static void put_time(struct buf *buf, int64_t time_us)
{
	char text[TIME_HTTP_LEN];

	time_write_http(text, time_us);
	buf_append(buf, str_of(text + sizeof("Fri, ") - 1, sizeof("20 Nov 2026") - 1));
	buf_append(buf, S(", "));
	buf_append(buf, str_of(text + sizeof("Fri, 20 Nov 2026 ") - 1, sizeof("08:15") - 1));
	buf_append(buf, S(" UTC"));
}

/* Once as a link and once as text, for programs that show no links. */
static void put_link(const struct page *page, const char *button)
{
	const struct letter *letter = page->letter;

	if (!letter->link.len)
		return;
	begin(page);
	if (page->form == FORM_HTML) {
		buf_append(page->buf, S("<a href=\""));
		put(page->buf, FORM_HTML, letter->link);
		buf_append(page->buf,
			S("\" style=\"display:inline-block;padding:10px 18px;border-radius:6px;"
			  "background:#1f4fd8;color:#ffffff;text-decoration:none\">"));
		put(page->buf, FORM_HTML, str_from_c(button));
		buf_append(page->buf, S("</a></p>\n<p style=\"color:#555555\">If that does not "
					"work, copy this address:<br>\n<span "
					"style=\"word-break:break-all\">"));
		put(page->buf, FORM_HTML, letter->link);
		buf_append(page->buf, S("</span>"));
	} else {
		buf_append(page->buf, str_from_c(button));
		buf_append(page->buf, S(":\n\n"));
		buf_append(page->buf, letter->link);
	}
	end(page);
	if (letter->expires_us <= 0)
		return;
	begin(page);
	buf_append(page->buf, S("The link can be used once, until "));
	put_time(page->buf, letter->expires_us);
	buf_byte(page->buf, '.');
	end(page);
}

static void put_page(const struct page *page, const struct wording *wording, struct str product)
{
	if (page->form == FORM_HTML)
		buf_append(page->buf,
			S("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
			  "<meta name=\"viewport\" content=\"width=device-width\"></head>\n"
			  "<body style=\"font:16px/1.5 sans-serif;color:#111111;max-width:36em;"
			  "margin:24px auto;padding:0 16px\">\n"));
	put_greeting(page);
	put_paragraph(page, wording->before);
	put_detail(page);
	put_link(page, wording->button);
	put_paragraph(page, wording->after);
	begin(page);
	put(page->buf, page->form, product);
	end(page);
	if (page->form == FORM_HTML)
		buf_append(page->buf, S("</body></html>\n"));
}

/* --- mails ------------------------------------------------------------------------------------ */

/* A name within a subject: not much of it, without half a character at the end. */
static struct str cut(struct str name)
{
	enum { SUBJECT_NAME_MAX = 80 };
	size_t len = MIN(name.len, (size_t)SUBJECT_NAME_MAX);

	while (len > 0 && len < name.len && ((unsigned char)name.at[len] & 0xc0) == 0x80)
		len--;
	return str_first(name, len);
}

static int finish(struct buf *buf, struct arena *arena, struct str *ret)
{
	if (buf->failed)
		return buf->failed;
	*ret = arena_str(arena, buf_str(buf));
	return ret->at ? 0 : -(int)err_last()->code;
}

int letter_write(struct arena *arena, enum mail_kind kind, const struct letter *letter,
	struct str product, struct mail *ret)
{
	const struct wording *wording = &wordings[kind];
	struct str place = letter->tenant_name.len ? letter->tenant_name : product;
	struct buf buf;
	struct page page = { FORM_TEXT, letter, cut(place), &buf };
	int r;

	buf_init(&buf, MAIL_BODY_MAX);
	put_wording(&page, wording->subject);
	r = finish(&buf, arena, &ret->subject);

	page.place = place;
	buf_reset(&buf);
	put_page(&page, wording, product);
	if (r == 0)
		r = finish(&buf, arena, &ret->text);

	page.form = FORM_HTML;
	buf_reset(&buf);
	put_page(&page, wording, product);
	if (r == 0)
		r = finish(&buf, arena, &ret->html);
	buf_done(&buf);
	ret->to = (struct mail_address){ letter->name, letter->to };
	return r;
}
