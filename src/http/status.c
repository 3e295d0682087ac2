/* The list of status codes as a switch and a table. */
#include "http/status.h"

#include "base/check.h"

enum http_status_slot http_status_slot(int code)
{
#define CASE(number, text)                                                                         \
	case number: return HTTP_SLOT_##number;
	switch (code) {
		HTTP_STATUSES(CASE)
	}
#undef CASE
	CHECK(!"a status code of the list");
	return HTTP_SLOT_500;
}

struct str http_status_line(int code)
{
#define LINE(number, text) [HTTP_SLOT_##number] = S_INIT("HTTP/1.1 " #number " " text "\r\n"),
	static const struct str lines[HTTP_STATUS_SLOTS] = { HTTP_STATUSES(LINE) };
#undef LINE

	return lines[http_status_slot(code)];
}
