/* Status codes that we send: their reason phrases, and a small number for tables. */
#ifndef HTTP_STATUS_H
#define HTTP_STATUS_H

#include "base/str.h"

#pragma GCC visibility push(default)

/* X(code, reason phrase) */
#define HTTP_STATUSES(X)                                                                           \
	X(101, "Switching Protocols")                                                              \
	X(200, "OK")                                                                               \
	X(201, "Created")                                                                          \
	X(202, "Accepted")                                                                         \
	X(204, "No Content")                                                                       \
	X(206, "Partial Content")                                                                  \
	X(207, "Multi-Status")                                                                     \
	X(301, "Moved Permanently")                                                                \
	X(302, "Found")                                                                            \
	X(303, "See Other")                                                                        \
	X(304, "Not Modified")                                                                     \
	X(307, "Temporary Redirect")                                                               \
	X(308, "Permanent Redirect")                                                               \
	X(400, "Bad Request")                                                                      \
	X(401, "Unauthorized")                                                                     \
	X(402, "Payment Required")                                                                 \
	X(403, "Forbidden")                                                                        \
	X(404, "Not Found")                                                                        \
	X(405, "Method Not Allowed")                                                               \
	X(406, "Not Acceptable")                                                                   \
	X(408, "Request Timeout")                                                                  \
	X(409, "Conflict")                                                                         \
	X(410, "Gone")                                                                             \
	X(411, "Length Required")                                                                  \
	X(412, "Precondition Failed")                                                              \
	X(413, "Content Too Large")                                                                \
	X(414, "URI Too Long")                                                                     \
	X(415, "Unsupported Media Type")                                                           \
	X(416, "Range Not Satisfiable")                                                            \
	X(417, "Expectation Failed")                                                               \
	X(422, "Unprocessable Content")                                                            \
	X(426, "Upgrade Required")                                                                 \
	X(428, "Precondition Required")                                                            \
	X(429, "Too Many Requests")                                                                \
	X(431, "Request Header Fields Too Large")                                                  \
	X(500, "Internal Server Error")                                                            \
	X(501, "Not Implemented")                                                                  \
	X(502, "Bad Gateway")                                                                      \
	X(503, "Service Unavailable")                                                              \
	X(504, "Gateway Timeout")                                                                  \
	X(505, "HTTP Version Not Supported")                                                       \
	X(507, "Insufficient Storage")

#define HTTP_STATUS_SLOT(code, text) HTTP_SLOT_##code,
enum http_status_slot { HTTP_STATUSES(HTTP_STATUS_SLOT) HTTP_STATUS_SLOTS };
#undef HTTP_STATUS_SLOT

/* The place of a code in tables; only codes of the list may be sent (CHECK). */
enum http_status_slot http_status_slot(int code);

/* "HTTP/1.1 200 OK\r\n". */
struct str http_status_line(int code);

/* True when a response with this code never has a body. */
static inline bool http_status_bodyless(int code)
{
	return code < 200 || code == 204 || code == 304;
}

#pragma GCC visibility pop

#endif
