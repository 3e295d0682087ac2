/* The list of status codes, and what the error table needs of it. */
#include "http/status.h"

#include "base/err.h"
#include "base/num.h"
#include "base/test.h"

#include <signal.h>

static const int codes[] = {
#define CODE(code, text) code,
	HTTP_STATUSES(CODE)
#undef CODE
};

TEST(status_lines_are_well_formed)
{
	for (size_t i = 0; i < LEN(codes); i++) {
		struct str line = http_status_line(codes[i]);
		uint64_t code = 0;

		EXPECT(str_starts(line, S("HTTP/1.1 ")));
		EXPECT(num_parse_u64(str_first(str_from(line, 9), 3), &code));
		EXPECT_INT(code, codes[i]);
		EXPECT(line.len > 15 && line.at[12] == ' ' && line.at[13] >= 'A' &&
			line.at[13] <= 'Z');
		EXPECT(str_ends(line, S("\r\n")) && str_find_byte(line, '\n') == line.len - 1);
	}
	EXPECT_STR(http_status_line(414), S("HTTP/1.1 414 URI Too Long\r\n"));
}

TEST(status_slots_are_the_places_in_the_list)
{
	for (size_t i = 0; i < LEN(codes); i++) {
		EXPECT_INT(http_status_slot(codes[i]), i);
		EXPECT(i == 0 || codes[i] > codes[i - 1]);
	}
	EXPECT_INT(LEN(codes), HTTP_STATUS_SLOTS);
}

TEST(status_without_body)
{
	for (size_t i = 0; i < LEN(codes); i++)
		EXPECT_INT(http_status_bodyless(codes[i]),
			codes[i] == 101 || codes[i] == 204 || codes[i] == 304);
}

TEST(status_of_each_error_can_be_sent)
{
	for (int code = 1; code < ERR_CODES; code++) {
		int status = err_info(code)->status;

		EXPECT(status >= 400);
		EXPECT_INT(codes[http_status_slot(status)], status);
	}
}

static void ask_for(void *code)
{
	(void)http_status_slot(*(int *)code);
}

TEST(status_outside_the_list_stops_the_program)
{
	EXPECT(test_dies(ask_for, &(int){ 299 }, SIGABRT));
	EXPECT(test_dies(ask_for, &(int){ 0 }, SIGABRT));
}
