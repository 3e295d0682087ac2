/* What may be in a mail, and how its headers look. */
#include "client/mail.h"

#include "base/err.h"
#include "base/test.h"

static struct mail good(void)
{
	return (struct mail){ .id = S("0190.a-b"),
		.from = { S("Bulkhead"), S("no-reply@example.com") },
		.to = { S(""), S("ada@example.org") },
		.subject = S("Hello"),
		.text = S("Hi.\n"),
		.date_us = INT64_C(1795162177000000) };
}

struct row {
	const char *what;
	struct str value;
	bool taken;
};

static void check(const char *field, struct str *member, struct mail *mail, const struct row *rows)
{
	for (; rows->what; rows++) {
		*member = rows->value;
		if (!test_note((mail_check(mail) == 0) == rows->taken, __FILE__, __LINE__, "%s: %s",
			    field, rows->what))
			continue;
		if (!rows->taken)
			EXPECT_STR(str_from_c(err_last()->field), str_from_c(field));
	}
}

TEST(mail_addresses)
{
	static char long_one[300];
	struct row rows[] = {
		{ "plain", S("a@b"), true },
		{ "all of atext", S("a!#$%&'*+-/=?^_`{|}~9@x-1.example.com"), true },
		{ "no @", S("ab"), false },
		{ "two @", S("a@b@c"), false },
		{ "nothing before", S("@b"), false },
		{ "nothing behind", S("a@"), false },
		{ "dot first", S(".a@b"), false },
		{ "dots together", S("a..b@c"), false },
		{ "dot last", S("a@b."), false },
		{ "space", S("a b@c"), false },
		{ "line end", S("a@b\r\nBcc: x@y"), false },
		{ "NUL", S("a@b\0c"), false },
		{ "brackets", S("<a@b>"), false },
		{ "quoted", S("\"a\"@b"), false },
		{ "another language", S("\xc3\xa4@b"), false },
		{ "comma", S("a@b,c@d"), false },
		{ "empty", S(""), false },
		{ "long", { long_one, sizeof(long_one) }, false },
		{ 0 },
	};
	struct mail mail = good();

	memset(long_one, 'a', sizeof(long_one));
	long_one[3] = '@';
	check("to", &mail.to.address, &mail, rows);
	mail = good();
	check("from", &mail.from.address, &mail, rows);
}

TEST(mail_lines)
{
	static const struct row rows[] = {
		{ "plain", S_INIT("Hello, world"), true },
		{ "another language",
			S_INIT("Gr\xc3\xbc\xc3\x9f"
			       "e"),
			true },
		{ "line end", S_INIT("a\nBcc: x@y"), false },
		{ "carriage return", S_INIT("a\rb"), false },
		{ "tab", S_INIT("a\tb"), false },
		{ "NUL", S_INIT("a\0b"), false },
		{ "ill-formed", S_INIT("\xff"), false },
		{ 0 },
	};
	struct mail mail = good();

	check("subject", &mail.subject, &mail, rows);
	mail = good();
	check("to", &mail.to.name, &mail, rows);
	mail = good();
	mail.text = S("");
	EXPECT_INT(mail_check(&mail), -ERR_INVALID);
}

static void expect_header(const struct mail *mail, enum mail_header header, const char *wanted)
{
	struct buf buf;

	buf_init(&buf, 4096);
	mail_header_write(mail, header, &buf);
	EXPECT_INT(buf.failed, 0);
	EXPECT_STR(buf_str(&buf), str_from_c(wanted));
	buf_done(&buf);
}

TEST(mail_headers)
{
	struct mail mail = good();

	expect_header(&mail, MAIL_FROM, "From: \"Bulkhead\"\r\n <no-reply@example.com>");
	expect_header(&mail, MAIL_TO, "To: <ada@example.org>");
	expect_header(&mail, MAIL_REPLY_TO, "");
	expect_header(&mail, MAIL_SUBJECT, "Subject: Hello");
	expect_header(&mail, MAIL_DATE, "Date: Fri, 20 Nov 2026 08:09:37 +0000");
	expect_header(&mail, MAIL_MESSAGE_ID, "Message-ID: <0190.a-b@example.com>");

	mail.to.name = S("Ada \"the\" \\ L.");
	mail.subject = S("Gr\xc3\xbc\xc3\x9f"
			 "e");
	mail.reply_to = S("help@example.com");
	expect_header(&mail, MAIL_TO, "To: \"Ada \\\"the\\\" \\\\ L.\"\r\n <ada@example.org>");
	expect_header(&mail, MAIL_SUBJECT, "Subject: =?UTF-8?B?R3LDvMOfZQ==?=");
	expect_header(&mail, MAIL_REPLY_TO, "Reply-To: help@example.com");

	mail.subject = S("=?UTF-8?B?SGk=?="); /* as written, not as what it looks like */
	expect_header(&mail, MAIL_SUBJECT, "Subject: =?UTF-8?B?PT9VVEYtOD9CP1NHaz0/PQ==?=");
}

/* Whatever the subject, no line is longer than 78 columns or begins without a space. */
TEST(mail_subjects_fold)
{
	static const char *const words[] = { "mail", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
		" ", "a", "  ", "=?", "configuration" };

	for (uint64_t seed = 1; seed <= 500; seed++) {
		uint64_t state = seed;
		char text[MAIL_SUBJECT_MAX + 1] = "s";
		struct mail mail = good();
		struct buf buf;
		struct str rest;

		while (strlen(text) + 20 < sizeof(text))
			(void)strcat(text, words[test_random(&state) % LEN(words)]);
		mail.subject = str_from_c(text);
		REQUIRE(mail_check(&mail) == 0);
		buf_init(&buf, 4096);
		mail_header_write(&mail, MAIL_SUBJECT, &buf);
		rest = buf_str(&buf);
		for (bool first = true; rest.at; first = false) {
			struct str line = str_cut(&rest, '\n');

			EXPECT(line.len <= 78 + 1); /* with the CR */
			EXPECT(first || line.at[0] == ' ');
		}
		buf_done(&buf);
	}
}
