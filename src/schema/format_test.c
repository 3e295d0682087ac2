/* Formats: tables of what they take and refuse, the calendar day by day, and the official suite's
 * cases as far as our formats go. */
#include "schema/format.h"

#include "base/check.h"
#include "base/test.h"
#include "base/time_text.h"

TEST(schema_formats)
{
	static const struct {
		enum format format;
		bool valid;
		struct str text;
	} cases[] = {
		{ FORMAT_EMAIL, true, S_INIT("a.b+c@mail.example.co") },
		{ FORMAT_EMAIL, true, S_INIT("!#$%&'*+-/=?^_`{|}~@a.b") },
		{ FORMAT_EMAIL, false, S_INIT("a@localhost") },
		{ FORMAT_EMAIL, false, S_INIT("a@b.") },
		{ FORMAT_EMAIL, false, S_INIT("a..b@b.c") },
		{ FORMAT_EMAIL, false, S_INIT(".a@b.c") },
		{ FORMAT_EMAIL, false, S_INIT("a@b.c@d.e") },
		{ FORMAT_EMAIL, false, S_INIT("\"a b\"@b.c") },
		{ FORMAT_EMAIL, false, S_INIT("a@[127.0.0.1]") },
		{ FORMAT_EMAIL, false, S_INIT("\xC3\xA9@b.c") },
		{ FORMAT_EMAIL, false, S_INIT("a@b.c\n") },
		{ FORMAT_EMAIL, false,
			S_INIT("12345678901234567890123456789012345678901234567890123456789012345@"
			       "b.c") },
		{ FORMAT_EMAIL, false, S_INIT("") },
		{ FORMAT_EMAIL, false, S_INIT("@b.c") },
		{ FORMAT_SLUG, true, S_INIT("a-1-b") },
		{ FORMAT_SLUG, false, S_INIT("a--b") },
		{ FORMAT_SLUG, false, S_INIT("-a") },
		{ FORMAT_SLUG, false, S_INIT("A") },
		{ FORMAT_SLUG, false, S_INIT("") },
		{ FORMAT_UUID, true, S_INIT("0190a1b2-c3d4-7e5f-8a9b-0123456789AB") },
		{ FORMAT_UUID, false, S_INIT("0190a1b2-c3d4-7e5f-8a9b-0123456789A") },
		{ FORMAT_UUID, false, S_INIT("0190a1b2c-3d4-7e5f-8a9b-0123456789ab") },
		{ FORMAT_IPV4, true, S_INIT("255.0.10.1") },
		{ FORMAT_IPV4, false, S_INIT("1.2.3") },
		{ FORMAT_IPV4, false, S_INIT("1.2.3.4.") },
		{ FORMAT_IPV4, false, S_INIT("1.2.3.04") },
		{ FORMAT_IPV4, false, S_INIT("1.2.3.256") },
		{ FORMAT_IPV6, true, S_INIT("::") },
		{ FORMAT_IPV6, true, S_INIT("1::8") },
		{ FORMAT_IPV6, true, S_INIT("1:2:3:4:5:6:1.2.3.4") },
		{ FORMAT_IPV6, false, S_INIT("1:2:3:4:5:6:7::8") },
		{ FORMAT_IPV6, false, S_INIT("1.2.3.4::") },
		{ FORMAT_IPV6, false, S_INIT(":::") },
		{ FORMAT_IPV6, false, S_INIT("") },
		{ FORMAT_CIDR, true, S_INIT("10.0.0.0/8") },
		{ FORMAT_CIDR, true, S_INIT("::/0") },
		{ FORMAT_CIDR, true, S_INIT("2001:db8::/128") },
		{ FORMAT_CIDR, false, S_INIT("10.0.0.0/33") },
		{ FORMAT_CIDR, false, S_INIT("10.0.0.0") },
		{ FORMAT_CIDR, false, S_INIT("10.0.0.0/08") },
		{ FORMAT_CIDR, false, S_INIT("::/129") },
		{ FORMAT_SEMVER, true, S_INIT("1.0.0-alpha.1+001") },
		{ FORMAT_SEMVER, true, S_INIT("10.20.30+a-b") },
		{ FORMAT_SEMVER, true, S_INIT("1.0.0--") },
		{ FORMAT_SEMVER, false, S_INIT("1.0") },
		{ FORMAT_SEMVER, false, S_INIT("01.0.0") },
		{ FORMAT_SEMVER, false, S_INIT("1.0.0-01") },
		{ FORMAT_SEMVER, false, S_INIT("1.0.0-") },
		{ FORMAT_SEMVER, false, S_INIT("1.0.0+a+b") },
		{ FORMAT_SEMVER, false, S_INIT("v1.0.0") },
		{ FORMAT_URI, true, S_INIT("https://u:p@[::1]:8080/a/b?c=d#e") },
		{ FORMAT_URI, true, S_INIT("a:") },
		{ FORMAT_URI, true, S_INIT("file:///etc/hosts") },
		{ FORMAT_URI, true, S_INIT("x://[v7.a:b]/") },
		{ FORMAT_URI, false, S_INIT("//a/b") },
		{ FORMAT_URI, false, S_INIT("http://a b") },
		{ FORMAT_URI, false, S_INIT("http://[::1]x") },
		{ FORMAT_URI, false, S_INIT("http://a:b:80/") },
		{ FORMAT_URI, false, S_INIT("http://a/#b#c") },
		{ FORMAT_URI, false, S_INIT("http://a/%zz") },
		{ FORMAT_URI_REFERENCE, true, S_INIT("") },
		{ FORMAT_URI_REFERENCE, true, S_INIT("../a?b#c") },
		{ FORMAT_URI_REFERENCE, true, S_INIT("./a:b") },
		{ FORMAT_URI_REFERENCE, false, S_INIT("1a:b") },
		{ FORMAT_URI_REFERENCE, false, S_INIT("a\\b") },
		{ FORMAT_HOSTNAME, true, S_INIT("a-b.xn--abc.c3") },
		{ FORMAT_HOSTNAME, false, S_INIT("a_b") },
		{ FORMAT_HOSTNAME, false, S_INIT("ab--c") },
		{ FORMAT_JSON_POINTER, true, S_INIT("") },
		{ FORMAT_JSON_POINTER, true, S_INIT("/a~0~1//\xC3\xA9") },
		{ FORMAT_JSON_POINTER, false, S_INIT("a") },
		{ FORMAT_JSON_POINTER, false, S_INIT("/~2") },
		{ FORMAT_JSON_POINTER, false, S_INIT("/~") },
		{ FORMAT_DATE, true, S_INIT("2024-02-29") },
		{ FORMAT_DATE, false, S_INIT("2023-02-29") },
		{ FORMAT_DATE, false, S_INIT("1900-02-29") },
		{ FORMAT_DATE, true, S_INIT("2000-02-29") },
		{ FORMAT_DATE, false, S_INIT("2024-13-01") },
		{ FORMAT_DATE, false, S_INIT("2024-00-01") },
		{ FORMAT_DATE, false, S_INIT("2024-01-00") },
		{ FORMAT_DATE_TIME, false, S_INIT("0000-01-01T00:00:00+00:01") },
		{ FORMAT_DATE_TIME, false, S_INIT("9999-12-31T23:59:59-00:01") },
		{ FORMAT_DATE_TIME, true, S_INIT("9999-12-31T23:59:59.9999999999Z") },
		{ FORMAT_DATE_TIME, false, S_INIT("2024-01-01 00:00:00Z") },
		{ FORMAT_DATE_TIME, false, S_INIT("2024-01-01T00:00:00.Z") },
		{ FORMAT_DATE_TIME, false, S_INIT("2024-01-01T00:00:00") },
		{ FORMAT_DURATION, true, S_INIT("P1DT1H") },
		{ FORMAT_DURATION, false, S_INIT("PT") },
		{ FORMAT_DURATION, false, S_INIT("P1H") },
		{ FORMAT_NONE, true, S_INIT("anything") },
	};

	for (size_t i = 0; i < LEN(cases); i++)
		test_note(format_valid(cases[i].format, cases[i].text) == cases[i].valid, __FILE__,
			__LINE__, "case %zu, \"%.*s\", should be %d", i, STR_ARG(cases[i].text),
			cases[i].valid);
}

TEST(schema_format_table)
{
	for (enum format format = FORMAT_NONE + 1; format < FORMATS; format++) {
		const struct format_info *info = format_info(format);

		EXPECT_INT(format_find(info->name), format);
		EXPECT(strncmp(info->code, "invalid_", 8) == 0 && info->what && info->valid);
		EXPECT(!info->valid(S("\xFF")) || format == FORMAT_JSON_POINTER);
	}
	EXPECT_INT(format_find(S("none")), FORMAT_NONE);
}

/* Each day of ten thousand years is written and read again, at some time of it. */
TEST(schema_format_every_day)
{
	const int64_t day_us = INT64_C(86400000000);
	uint64_t state = 7;

	for (int64_t day = -719528; day < 2932897; day += test_long() ? 1 : 13) {
		int64_t time_us = day * day_us + (int64_t)(test_random(&state) % 86400000) * 1000,
			back;
		char text[TIME_RFC3339_LEN];

		time_write_rfc3339(text, time_us);
		REQUIRE(format_read_date_time(str_of(text, sizeof(text)), &back));
		REQUIRE(back == time_us);
		REQUIRE(format_date(str_of(text, TIME_DATE_LEN)));
	}
}

TEST(schema_format_uuid_back)
{
	uint8_t bytes[16];
	char text[36];

	REQUIRE(format_read_uuid(S("0190A1b2-c3d4-7e5f-8a9b-0123456789ab"), bytes));
	EXPECT(bytes[0] == 0x01 && bytes[15] == 0xAB);
	format_write_uuid(text, bytes);
	EXPECT_STR(str_of(text, sizeof(text)), S("0190a1b2-c3d4-7e5f-8a9b-0123456789ab"));
}
